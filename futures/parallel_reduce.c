/* parallel_reduce.c: a range folded into one value, in an order that does not depend on who did what.
 *
 * The range is cut into pieces, the pieces are shared out to at most PARTS parts of neighbours, and each part has an
 * accumulator, through which its pieces go one after the other. The parts are the leaves of a binary tree, halved from
 * the top, whose inner nodes combine the accumulator of the right side into that of the left. All this is a function of
 * begin, end, grain and the accumulator's size, never of workers, steals or time: so the program's functions are called
 * with the same ranges and combined in the same order in each run, and sums of floating-point numbers are the same bit
 * for bit. What is left to chance is where and when a part runs.
 *
 * For that the grain cannot be found by the clock, as in parallel_for.c. Without one a range is cut into PARTS pieces,
 * or into pieces of LONGEST elements if it is long. A part costs some ten nanoseconds beside its pieces (a fork and a
 * join, the identity copied, a call to combine), so PARTS of them cost a few microseconds, whatever the elements cost;
 * and they are enough for some dozens of workers.
 *
 * Accumulators. That of the right side of a node is needed from when the right side begins until the node is combined:
 * it is in the frame of who forked it, if it is small, and a frame stands until it has joined. Larger ones are in one
 * block with a place for each part, where a right side uses the place of its first part; there are the fewer parts, the
 * larger the accumulator is. Blocks are chained in the thread: a piece that ends the thread ends what would have freed
 * them, so the thread's end does (tenant.c), when nobody who has stolen a part writes to one any more.
 *
 * Where it comes from: fixed trees make reductions repeatable in oneTBB's parallel_deterministic_reduce; ours differs
 * in that the number of leaves is limited, so that what the tree costs does not grow with the range. */
#include "loop.h"

#include <errno.h>
#include <string.h>

enum {
    PARTS = 512,            /* at most */
    FEWEST_PARTS = 16,      /* however large an accumulator; unless there are not so many pieces */
    LONGEST = 4096,         /* elements of a piece, if the program gives no grain */
    SMALL = 256,            /* bytes: accumulators of up to so many are on the stack */
    BLOCK = 4 * 1024 * 1024 /* bytes: beyond, there are fewer parts */
};

/* In front of the places. */
typedef struct weft__reduce_block {
    size_t size;
    struct weft__reduce_block *outer; /* of a reduction further down the same stack */
} header;
_Static_assert(sizeof(header) <= WEFT__PAIR, "places begin a pair of lines further");

typedef struct reduction {
    weft__loop base;    /* must be first */
    weft_reduce_fn *fn; /* constant, as all */
    weft_combine_fn *combine;
    const void *identity;
    size_t size;          /* of an accumulator */
    size_t parts;         /* how many */
    size_t part;          /* elements of each, a multiple of the grain; the last may have fewer */
    unsigned char *block; /* a place for each part; the whole uses the first. NULL: the accumulators are small */
    size_t stride;        /* bytes from one place to the next */
    void *result;
} reduction;

/* The right side of a node, on the stack of who forked it. */
typedef struct side {
    weft_task task;
    reduction *r;        /* written before the fork, as the next three */
    size_t first, last;  /* parts, without the last */
    unsigned char *into; /* its accumulator: written by who runs it, combined by who joins it */
    int code;            /* before the fork, then by who runs it; read after the join */
    alignas(max_align_t) unsigned char accumulator[SMALL]; /* `into`, if it is small */
} side;

static int reduce(reduction *r, size_t first, size_t last, unsigned char *into);

static void *reduce_side(void *argument)
{
    side *s = argument;
    s->code = reduce(s->r, s->first, s->last, s->into);
    return NULL;
}

static size_t part_begin(const reduction *r, size_t part)
{
    return r->base.begin + part * r->part;
}

static int reduce_part(reduction *r, size_t part, unsigned char *into)
{
    weft__loop *l = &r->base;
    size_t begin = part_begin(r, part), end = weft__loop_end(l, begin, r->part);
    if (l->open)
        weft__loop_offer();
    memcpy(into, r->identity, r->size);
    for (size_t next; begin != end; begin = next) {
        next = end - begin > l->grain ? begin + l->grain : end;
        int code = weft__loop_look(l, begin);
        if (code)
            return code;
        weft__loop_enter();
        r->fn(begin, next, into, l->data);
        if ((code = weft__loop_leave(l, begin)))
            return code;
    }
    return 0;
}

static int combine(reduction *r, size_t last, unsigned char *into, const unsigned char *from)
{
    weft__loop_enter();
    r->combine(into, from, r->base.data);
    return weft__loop_leave(&r->base, part_begin(r, last - 1));
}

static int reduce(reduction *r, size_t first, size_t last, unsigned char *into)
{
    if (last - first == 1)
        return reduce_part(r, first, into);
    side right;
    right.r = r;
    right.first = first + (last - first) / 2;
    right.last = last;
    right.into = r->block ? r->block + right.first * r->stride : right.accumulator;
    right.code = WEFT__LOOP_UNFINISHED;
    weft_fork(&right.task, reduce_side, &right);
    int code = reduce(r, first, right.first, into);
    weft_join(&right.task);
    if (WEFT__UNLIKELY(code || right.code))
        return code ? code : right.code;
    return combine(r, last, into, right.into);
}

static int reduce_all(weft__loop *l)
{
    reduction *r = (reduction *)(void *)l;
    alignas(max_align_t) unsigned char accumulator[SMALL];
    l->open = weft__loop_open(l, r->parts);
    unsigned char *into = r->block ? r->block : accumulator;
    int code = reduce(r, 0, r->parts, into);
    if (!code)
        memcpy(r->result, into, r->size);
    return code;
}

/* Fixes the tree. Nothing but the range, the grain and the size may have a say in it. */
static void divide(reduction *r, size_t grain)
{
    weft__loop *l = &r->base;
    size_t n = l->end - l->begin, most = PARTS;
    if (r->size > BLOCK / PARTS)
        most = r->size > BLOCK / FEWEST_PARTS ? FEWEST_PARTS : BLOCK / r->size;
    if (grain == 0)
        grain = weft__loop_pieces(n, PARTS) < LONGEST ? weft__loop_pieces(n, PARTS) : LONGEST;
    size_t pieces = weft__loop_pieces(n, grain), of_part = weft__loop_pieces(pieces, most);
    l->grain = grain;
    r->parts = weft__loop_pieces(pieces, of_part);
    r->part = of_part * grain;
}

/* For large accumulators; see above. */
static bool make_room(reduction *r)
{
    if (r->size <= SMALL)
        return true;
    if (r->size > SIZE_MAX / 2 / PARTS)
        return false;
    r->stride = (r->size + WEFT__PAIR - 1) & ~(size_t)(WEFT__PAIR - 1);
    size_t size = WEFT__PAIR + r->parts * r->stride;
    header *h = weft__memory_alloc(size);
    if (!h)
        return false;
    *h = (header){size, weft__self.reductions};
    weft__self.reductions = h;
    r->block = (unsigned char *)h + WEFT__PAIR;
    return true;
}

static void free_innermost(void)
{
    header *h = weft__self.reductions;
    weft__self.reductions = h->outer;
    weft__memory_free(h, h->size);
}

void weft__reductions_abandon(void)
{
    while (weft__self.reductions)
        free_innermost();
}

int weft_parallel_reduce(weft_executor *e, size_t begin, size_t end, size_t grain, size_t size, const void *identity,
                         weft_reduce_fn *fn, weft_combine_fn *combine_fn, void *data, void *result)
{
    if (!fn || !combine_fn || !identity || !result || size == 0 || begin > end)
        return -EINVAL;
    if (begin == end) {
        memmove(result, identity, size);
        return 0;
    }
    reduction r = {.base = {.body = reduce_all, .begin = begin, .end = end, .data = data},
                   .fn = fn,
                   .combine = combine_fn,
                   .identity = identity,
                   .size = size,
                   .result = result};
    divide(&r, grain);
    if (!make_room(&r))
        return -ENOMEM;
    int code = weft__loop_run(&r.base, e);
    if (r.block && weft__self.reductions) /* none are known in a forked child */
        free_innermost();
    return code;
}
