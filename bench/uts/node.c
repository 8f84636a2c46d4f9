/* node.c: the nodes of the tree: SHA-1 (FIPS 180-4) of messages that fit one block, and what is drawn from a digest. */
#include "uts.h"

#include <math.h>

enum { SEED = 19, DEPTH = 10 };
static const double mean_children = 4.0;

static uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

typedef struct registers {
    uint32_t a, b, c, d, e;
} registers;

static inline registers turn(registers r, uint32_t f)
{
    return (registers){rotate(r.a, 5) + f + r.e, r.a, rotate(r.b, 30), r.c, r.d};
}

static inline uint32_t choose(registers r)
{
    return r.d ^ (r.b & (r.c ^ r.d));
}

static inline uint32_t parity(registers r)
{
    return r.b ^ r.c ^ r.d;
}

static inline uint32_t majority(registers r)
{
    return (r.b & r.c) | (r.d & (r.b | r.c));
}

/* The next word of the message schedule; the last sixteen are in w. */
static inline uint32_t next_word(uint32_t w[16], int i)
{
    return w[i & 15] = rotate(w[(i + 13) & 15] ^ w[(i + 8) & 15] ^ w[(i + 2) & 15] ^ w[i & 15], 1);
}

/* The digest of the first `bytes` bytes, a multiple of 4 below 56, of a block given in words, of which the rest is 0.
 * The block is used up. */
static void digest(uint32_t w[16], size_t bytes, uint32_t out[5])
{
    const registers start = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    registers r = start;
    w[bytes / 4] = UINT32_C(1) << 31;
    w[15] = (uint32_t)bytes * 8;
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        r = turn(r, choose(r) + w[i] + 0x5a827999);
#pragma GCC unroll 4
    for (int i = 16; i < 20; i++)
        r = turn(r, choose(r) + next_word(w, i) + 0x5a827999);
#pragma GCC unroll 20
    for (int i = 20; i < 40; i++)
        r = turn(r, parity(r) + next_word(w, i) + 0x6ed9eba1);
#pragma GCC unroll 20
    for (int i = 40; i < 60; i++)
        r = turn(r, majority(r) + next_word(w, i) + 0x8f1bbcdc);
#pragma GCC unroll 20
    for (int i = 60; i < 80; i++)
        r = turn(r, parity(r) + next_word(w, i) + 0xca62c1d6);
    out[0] = start.a + r.a;
    out[1] = start.b + r.b;
    out[2] = start.c + r.c;
    out[3] = start.d + r.d;
    out[4] = start.e + r.e;
}

uts_node uts_root(void)
{
    uts_node root = {.depth = 0};
    uint32_t block[16] = {[4] = SEED};
    digest(block, 20, root.state);
    return root;
}

int uts_children(const uts_node *node)
{
    if (node->depth >= DEPTH)
        return 0;
    double drawn = (double)(node->state[4] & 0x7fffffff) / 2147483648.0;
    double children = floor(log(1 - drawn) / log(1 - 1 / (1 + mean_children)));
    return children < UTS_MOST_CHILDREN ? (int)children : UTS_MOST_CHILDREN;
}

uts_node uts_child(const uts_node *node, int i)
{
    uts_node child = {.depth = node->depth + 1};
    uint32_t block[16] = {[5] = (uint32_t)i};
    for (int word = 0; word < 5; word++)
        block[word] = node->state[word];
    digest(block, 24, child.state);
    return child;
}
