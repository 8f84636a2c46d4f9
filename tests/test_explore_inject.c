/* test_explore_inject.c: the source of the outside queue in every interleaving of producers, takers and a close.
 *
 * Each accepted link is taken exactly once or still there, in the order of its producer; a push after the close is
 * refused; no taker sleeps next to a visible shard unless somebody awake is bound to look again. The same search on a
 * machine with weaker primitives must fail. The functions get other names here, so that this program can be linked with
 * the library. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explore.h"
#include "points.h"

#ifndef WEFT_TINY
#define WEFT_TINY /* a take does not look twice for a half-linked push */
#endif
#define weft__inject_init     explored_init
#define weft__inject_push     explored_push
#define weft__inject_push_own explored_push_own
#define weft__inject_close    explored_close
#define weft__inject_take     explored_take
#define weft__inject_visible  explored_visible
#define weft__inject_empty    explored_empty
#define weft__inject_check    explored_check
#include "../executor/inject.c"

enum { LINKS = 4, TRIES = 2 };

/* The scenario: a role for each fiber.
 *   1, 2   pushes one link, or a chain of two, and notifies
 *   o      the same as 1, from inside
 *   t      takes until it got something, then never comes back; sleeps when there is nothing
 *   c      closes */
static const char *roles;
static unsigned most; /* size of a batch */
static unsigned shards;

static weft__inject queue;

static struct {
    weft__link links[EXPLORE_FIBERS][LINKS];
    _Atomic(uint32_t) idle;                       /* a bit for each sleeping taker */
    _Atomic(uint32_t) closed;                     /* the close has returned */
    uint8_t taken[EXPLORE_FIBERS][LINKS];         /* how often; takers, each within a step */
    uint8_t accepted[EXPLORE_FIBERS];             /* links; producers */
    uint8_t turn[EXPLORE_FIBERS][EXPLORE_FIBERS]; /* what a taker expects at least of a producer */
    bool asleep[EXPLORE_FIBERS];                  /* takers that went to sleep */
    bool looking;                                 /* a taker that ran out of tries was about to look again */
} memory;

static void setup(void)
{
    memset((void *)&memory, 0, sizeof memory);
    weft__inject_init(&queue, shards);
    explore_memory(&memory, sizeof memory);
    explore_memory(&queue, offsetof(weft__inject, shards) + shards * sizeof queue.shards[0]);
    for (unsigned i = 0; i < shards; i++) {
        explore_plain(&queue.shards[i].first, sizeof queue.shards[i].first);
    }
}

static void notify(void)
{
    uint32_t idle = atomic_load_explicit(&memory.idle, memory_order_seq_cst);

    while (idle != 0 && !atomic_compare_exchange_weak_explicit(&memory.idle, &idle, idle & (idle - 1),
                                                               memory_order_seq_cst, memory_order_seq_cst)) {
    }
}

static void produce(unsigned fiber, unsigned n, bool own)
{
    weft__link *first = memory.links[fiber], *last = first + n - 1;
    bool pushed = true;

    if (n == 2) {
        atomic_store_explicit(&first->next, last, memory_order_relaxed);
    }
    bool after_close = atomic_load_explicit(&memory.closed, memory_order_seq_cst) != 0;
    if (own) {
        weft__inject_push_own(&queue, fiber, first, last);
    } else {
        pushed = weft__inject_push(&queue, fiber, first, last);
    }
    if (pushed && after_close && !own) {
        explore_fail("accepted after the close");
    }
    memory.accepted[fiber] = (uint8_t)(pushed ? n : 0);
    if (pushed) {
        notify();
    }
}

static void receive(unsigned fiber, weft__link *const out[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        size_t place = (size_t)(out[i] - &memory.links[0][0]);
        if (place / LINKS >= EXPLORE_FIBERS) {
            explore_fail("not a link");
            return;
        }
        if (place % LINKS < memory.turn[fiber][place / LINKS]) {
            explore_fail("out of order");
        }
        memory.turn[fiber][place / LINKS] = (uint8_t)(place % LINKS + 1);
        memory.taken[place / LINKS][place % LINKS]++;
    }
}

static void consume(unsigned fiber)
{
    uint32_t bit = 1u << fiber;

    for (unsigned i = 0; i < TRIES; i++) {
        weft__link *out[LINKS];
        bool more;
        explore_checkpoint(i);
        unsigned n = weft__inject_take(&queue, 0, out, most, &more);
        if (n > 0) {
            receive(fiber, out, n);
            if (more) {
                notify();
            }
            return;
        }
        atomic_fetch_or_explicit(&memory.idle, bit, memory_order_seq_cst);
        if (!weft__inject_visible(&queue)) {
            memory.asleep[fiber] = true;
            return;
        }
        atomic_fetch_and_explicit(&memory.idle, ~bit, memory_order_seq_cst);
    }
    memory.looking = true;
}

static void body(unsigned fiber)
{
    switch (roles[fiber]) {
    case 't':
        consume(fiber);
        break;
    case 'c':
        weft__inject_close(&queue);
        atomic_store_explicit(&memory.closed, 1, memory_order_seq_cst);
        break;
    default:
        produce(fiber, roles[fiber] == '2' ? 2 : 1, roles[fiber] == 'o');
    }
}

/* Everybody who sleeps was put there by himself, nobody was woken and has yet to look, and still something is
 * visible. */
static bool is_stuck(void)
{
    bool anybody = false;

    for (unsigned i = 0; i < EXPLORE_FIBERS; i++) {
        bool idle = (atomic_load_explicit(&memory.idle, memory_order_relaxed) >> i & 1) != 0;
        if (memory.asleep[i] && !idle) {
            return false;
        }
        anybody |= memory.asleep[i];
    }
    return anybody && !memory.looking && weft__inject_visible(&queue);
}

static const char *verdict(void)
{
    bool more = true;

    if (!weft__inject_check(&queue)) {
        return "the queue is torn";
    }
    if (is_stuck()) {
        return "a taker sleeps next to a visible shard";
    }
    memset(memory.turn, 0, sizeof memory.turn);
    while (!weft__inject_empty(&queue)) {
        weft__link *out[LINKS];
        receive(0, out, weft__inject_take(&queue, 0, out, LINKS, &more));
    }
    for (unsigned f = 0; f < EXPLORE_FIBERS; f++) {
        for (unsigned i = 0; i < LINKS; i++) {
            if (memory.taken[f][i] != (i < memory.accepted[f] ? 1 : 0)) {
                return memory.taken[f][i] > 1 ? "taken twice" : "lost, or taken without leave";
            }
        }
    }
    return explore_world.wrong;
}

static const char *search(const char *who, unsigned n_shards, unsigned batch, enum explore_fault fault)
{
    explore_scenario scenario = {(unsigned)strlen(who), setup, body, verdict, fault};

    roles = who;
    shards = n_shards;
    most = batch;
    explore_result result = explore(&scenario);
    if (fault == EXPLORE_SOUND) {
        print_message("%s, %u shards, batches of %u: %lu states%s%s\n", who, n_shards, batch, result.states,
                      result.wrong != NULL ? ": " : "", result.wrong != NULL ? result.wrong : "");
    }
    return result.wrong;
}

static void test_explore_producers_and_taker(void **state)
{
    (void)state;
    assert_null(search("2t", 1, 1, EXPLORE_SOUND));
    assert_null(search("11t", 1, 1, EXPLORE_SOUND));
    assert_null(search("21t", 1, 2, EXPLORE_SOUND));
    assert_null(search("11t", 2, 1, EXPLORE_SOUND));
}

static void test_explore_two_takers(void **state)
{
    (void)state;
    assert_null(search("1tt", 1, 1, EXPLORE_SOUND));
    assert_null(search("2tt", 1, 1, EXPLORE_SOUND));
    assert_null(search("1tt", 2, 1, EXPLORE_SOUND));
}

static void test_explore_close(void **state)
{
    (void)state;
    assert_null(search("1ct", 1, 1, EXPLORE_SOUND));
    assert_null(search("11c", 1, 2, EXPLORE_SOUND));
    assert_null(search("1oc", 1, 2, EXPLORE_SOUND));
    assert_null(search("oct", 1, 1, EXPLORE_SOUND));
    assert_null(search("11ct", 1, 1, EXPLORE_SOUND));
}

static void expect_caught(enum explore_fault fault, const char *who)
{
    const char *found = search(who, 1, 1, fault);

    assert_non_null(found);
    print_message("%s: %s\n", who, found);
}

static void test_explore_catches_weaker_primitives(void **state)
{
    (void)state;
    expect_caught(EXPLORE_SPLIT_RMW, "11");
    expect_caught(EXPLORE_SPLIT_RMW, "1c");
    expect_caught(EXPLORE_WEAK_RMW, "11t");
    expect_caught(EXPLORE_WEAK_STORES, "2tt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_explore_producers_and_taker),
        cmocka_unit_test(test_explore_two_takers),
        cmocka_unit_test(test_explore_close),
        cmocka_unit_test(test_explore_catches_weaker_primitives),
    };

    if (POINTS_TSAN || POINTS_ASAN) {
        print_message("sanitizers do not follow the switching of contexts: nothing explored\n");
        return 0;
    }
    return cmocka_run_group_tests_name("explore inject", tests, NULL, NULL);
}
