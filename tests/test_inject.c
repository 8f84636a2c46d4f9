/* test_inject.c: the outside queue alone.
 *
 * First the rules one by one on one thread, with half-linked pushes and held locks made by hand; then producers, takers
 * and a close against each other. A taker frees each link at once, so a producer that touched a link too late would
 * show under AddressSanitizer. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inject.h"
#include "points.h"

enum { BATCH = 8, LONGEST_CHAIN = 5 };

static weft__inject queue;
static weft__link links[16];

static void chain(weft__link *first, unsigned n)
{
    for (unsigned i = 0; i + 1 < n; i++) {
        atomic_store_explicit(&first[i].next, &first[i + 1], memory_order_relaxed);
    }
}

static bool push_one(unsigned hint, weft__link *link)
{
    return weft__inject_push(&queue, hint, link, link);
}

/* Takes from `home` and expects the n links from `first` on, in a batch of at most max. */
static void expect_taken(unsigned home, unsigned max, const weft__link *first, unsigned n, bool expected_more)
{
    weft__link *out[BATCH];
    bool more = !expected_more;

    assert_int_equal(weft__inject_take(&queue, home, out, max, &more), n);
    assert_int_equal(more, expected_more);
    for (unsigned i = 0; i < n; i++) {
        assert_ptr_equal(out[i], first + i);
    }
    assert_true(weft__inject_check(&queue));
}

static void test_inject_starts_empty(void **state)
{
    (void)state;
    for (unsigned shards = 1; shards <= WEFT__INJECT_SHARDS; shards *= 2) {
        weft__inject_init(&queue, shards);
        assert_true(weft__inject_empty(&queue));
        assert_false(weft__inject_visible(&queue));
        expect_taken(3, BATCH, links, 0, false);
    }
}

static void test_inject_first_in_first_out(void **state)
{
    (void)state;
    weft__inject_init(&queue, 1);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 10; i++) {
            assert_true(push_one(i, &links[i]));
            assert_true(weft__inject_visible(&queue));
            assert_true(weft__inject_check(&queue));
        }
        expect_taken(0, 1, &links[0], 1, true);
        expect_taken(0, 4, &links[1], 4, true);
        assert_true(push_one(0, &links[10]));
        expect_taken(0, 6, &links[5], 6, false);
        assert_true(weft__inject_empty(&queue));
        expect_taken(0, BATCH, links, 0, false);
    }
}

static void test_inject_takes_chains_apart(void **state)
{
    (void)state;
    weft__inject_init(&queue, 1);
    chain(&links[0], 5);
    chain(&links[6], 4);
    assert_true(weft__inject_push(&queue, 0, &links[0], &links[4]));
    assert_true(push_one(0, &links[5]));
    assert_true(weft__inject_push(&queue, 0, &links[6], &links[9]));
    expect_taken(0, 3, &links[0], 3, true);
    expect_taken(0, 5, &links[3], 5, true);
    expect_taken(0, BATCH, &links[8], 2, false);
}

static void test_inject_home_shard_comes_first(void **state)
{
    (void)state;
    weft__inject_init(&queue, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(push_one(i, &links[i]));
    }
    expect_taken(2, BATCH, &links[2], 1, false);
    expect_taken(2, BATCH, &links[3], 1, false);
    expect_taken(2, BATCH, &links[0], 1, false);
    assert_true(weft__inject_visible(&queue));
    expect_taken(2, BATCH, &links[1], 1, false);
    assert_false(weft__inject_visible(&queue));
}

static void test_inject_close_refuses_outside_only(void **state)
{
    (void)state;
    weft__inject_init(&queue, 2);
    assert_true(push_one(0, &links[0]));
    weft__inject_close(&queue);
    weft__inject_close(&queue);
    atomic_store_explicit(&links[5].next, &links[6], memory_order_relaxed);
    assert_false(push_one(0, &links[5]));
    assert_false(push_one(1, &links[5]));
    weft__inject_push_own(&queue, 0, &links[1], &links[1]);
    expect_taken(0, BATCH, &links[0], 2, false);
    assert_false(push_one(0, &links[5]));
    weft__inject_push_own(&queue, 1, &links[2], &links[2]);
    expect_taken(0, BATCH, &links[2], 1, false);
    assert_true(weft__inject_empty(&queue));
    assert_false(push_one(0, &links[5]));
}

static void test_inject_skips_a_shard_that_is_being_served(void **state)
{
    (void)state;
    weft__inject_init(&queue, 2);
    assert_true(push_one(0, &links[0]));
    atomic_store_explicit(&queue.shards[0].lock, 1, memory_order_relaxed);
    assert_false(weft__inject_visible(&queue));
    assert_false(weft__inject_empty(&queue));
    weft__link *out[BATCH];
    bool more = true;
    assert_int_equal(weft__inject_take(&queue, 0, out, BATCH, &more), 0);
    assert_false(more);
    assert_true(push_one(1, &links[1]));
    assert_true(weft__inject_visible(&queue));
    assert_int_equal(weft__inject_take(&queue, 0, out, BATCH, &more), 1);
    assert_ptr_equal(out[0], &links[1]);
    atomic_store_explicit(&queue.shards[0].lock, 0, memory_order_relaxed);
    expect_taken(0, BATCH, &links[0], 1, false);
}

/* The first half of a push: tail names the link, its predecessor does not know it yet. */
static weft__link *half_push(weft__link *link)
{
    atomic_store_explicit(&link->next, NULL, memory_order_relaxed);
    return (weft__link *)atomic_exchange_explicit(&queue.shards[0].tail, (uintptr_t)link, memory_order_seq_cst);
}

static void test_inject_half_linked_push_ends_the_batch(void **state)
{
    weft__link *out[BATCH];
    bool more = false;

    (void)state;
    weft__inject_init(&queue, 1);
    weft__link *before = half_push(&links[0]);
    assert_int_equal(weft__inject_take(&queue, 0, out, BATCH, &more), 0);
    assert_true(more);
    assert_true(weft__inject_visible(&queue));
    assert_false(weft__inject_empty(&queue));
    assert_true(push_one(0, &links[1]));
    assert_int_equal(weft__inject_take(&queue, 0, out, BATCH, &more), 0);
    atomic_store_explicit(&before->next, &links[0], memory_order_release);
    expect_taken(0, 1, &links[0], 1, true);

    assert_true(push_one(0, &links[2]));
    before = half_push(&links[3]);
    assert_ptr_equal(before, &links[2]);
    assert_int_equal(weft__inject_take(&queue, 0, out, BATCH, &more), 1);
    assert_ptr_equal(out[0], &links[1]);
    assert_true(more);
    assert_int_equal(weft__inject_take(&queue, 0, out, BATCH, &more), 0);
    assert_true(more);
    atomic_store_explicit(&before->next, &links[3], memory_order_release);
    expect_taken(0, BATCH, &links[2], 2, false);
}

/* Producers, takers and a close. */

enum { MOST_THREADS = 4 };

typedef struct item {
    weft__link link; /* first, so that a link is its item */
    unsigned producer;
    uint64_t turn; /* counts the items of its producer */
} item;

typedef struct race {
    unsigned producers, max; /* constant: how many producers there are, size of a batch */
    bool single_shard;       /* constant: a producer keeps to its hint, and so its order */
    _Atomic(uint64_t) accepted;
    _Atomic(uint64_t) refused;
    _Atomic(uint64_t) taken;
    _Atomic(uint64_t) faults;
    _Atomic(unsigned) next;      /* hands out numbers to the producers */
    _Atomic(unsigned) next_bit;  /* the same to the takers */
    _Atomic(uint64_t) idle;      /* a bit for each sleeping taker; whoever clears it wakes */
    _Atomic(bool) own_too;       /* producers go on as insiders after the close */
    _Atomic(bool) producers_end; /* nothing will be pushed any more */
} race;

static race r;

static void add(_Atomic(uint64_t) *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_release);
}

static void notify(void)
{
    uint64_t idle = atomic_load_explicit(&r.idle, memory_order_seq_cst);

    while (idle != 0 && !atomic_compare_exchange_weak_explicit(&r.idle, &idle, idle & (idle - 1), memory_order_seq_cst,
                                                               memory_order_seq_cst)) {
    }
}

/* A chain of n items with the producer's next turns. */
static void make_chain(unsigned producer, uint64_t turn, unsigned n, item **first, item **last)
{
    *first = *last = NULL;
    for (unsigned i = 0; i < n; i++) {
        item *made = malloc(sizeof *made);
        made->link.ops = NULL;
        made->producer = producer;
        made->turn = turn + i;
        if (*last == NULL) {
            *first = made;
        } else {
            atomic_store_explicit(&(*last)->link.next, &made->link, memory_order_relaxed);
        }
        *last = made;
    }
}

static void free_chain(item *first, const item *last)
{
    while (first != NULL) {
        item *next = first == last ? NULL : (item *)atomic_load_explicit(&first->link.next, memory_order_relaxed);
        free(first);
        first = next;
    }
}

static void *producer_body(void *arg)
{
    unsigned self = atomic_fetch_add_explicit(&r.next, 1, memory_order_relaxed);
    uint64_t turns = *(const uint64_t *)arg;

    for (uint64_t turn = 0; turn < turns;) {
        unsigned n = points_random(4) == 0 ? 1 + (unsigned)points_random(LONGEST_CHAIN) : 1;
        unsigned hint = r.single_shard ? self : (unsigned)points_random(16);
        item *first, *last;
        make_chain(self, turn, n, &first, &last);
        if (weft__inject_push(&queue, hint, &first->link, &last->link)) {
            add(&r.accepted, n);
        } else if (atomic_load_explicit(&r.own_too, memory_order_relaxed) && turn % 2 == 0) {
            weft__inject_push_own(&queue, hint, &first->link, &last->link);
            add(&r.accepted, n);
            add(&r.refused, 1);
        } else {
            free_chain(first, last);
            add(&r.refused, 1);
        }
        notify();
        turn += n;
    }
    return NULL;
}

/* Each producer's turns come in rising order, whoever takes them. */
static void receive(weft__link *const out[], unsigned n, uint64_t least[MOST_THREADS])
{
    for (unsigned i = 0; i < n; i++) {
        item *got = (item *)out[i];
        if (r.single_shard && got->turn < least[got->producer]) {
            add(&r.faults, 1);
        }
        least[got->producer] = got->turn + 1;
        free(got);
    }
    add(&r.taken, n);
}

static void sleep_until_notified(uint64_t bit)
{
    atomic_fetch_or_explicit(&r.idle, bit, memory_order_seq_cst);
    if (weft__inject_visible(&queue)) {
        atomic_fetch_and_explicit(&r.idle, ~bit, memory_order_seq_cst);
        return;
    }
    while ((atomic_load_explicit(&r.idle, memory_order_acquire) & bit) != 0 &&
           !atomic_load_explicit(&r.producers_end, memory_order_acquire)) {
        sched_yield();
    }
}

static void *taker_body(void *arg)
{
    uint64_t bit = UINT64_C(1) << atomic_fetch_add_explicit(&r.next_bit, 1, memory_order_relaxed);
    uint64_t least[MOST_THREADS] = {0};
    weft__link *out[BATCH];

    (void)arg;
    for (;;) {
        bool last_look = atomic_load_explicit(&r.producers_end, memory_order_acquire);
        bool more;
        unsigned n = weft__inject_take(&queue, (unsigned)points_random(16), out, r.max, &more);
        receive(out, n, least);
        if (more && n > 0) {
            notify();
        }
        if (n == 0 && last_look && weft__inject_empty(&queue)) {
            return NULL;
        }
        if (n == 0) {
            sleep_until_notified(bit);
        }
    }
}

static void set_up(unsigned shards, unsigned producers, unsigned max)
{
    memset((void *)&r, 0, sizeof r);
    weft__inject_init(&queue, shards);
    r.producers = producers;
    r.max = max;
    r.single_shard = true;
}

static void start(pthread_t *threads, unsigned n, void *(*body)(void *), void *arg)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, body, arg), 0);
    }
}

static void join(const pthread_t *threads, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
}

static uint64_t count(const _Atomic(uint64_t) *counter)
{
    return atomic_load_explicit(counter, memory_order_acquire);
}

/* Runs the producers to their end, closing in the middle if asked to, then waits until the takers, who may be asleep
 * and are not called, have taken everything. */
static void run_race(unsigned takers, uint64_t turns, bool close)
{
    pthread_t producing[MOST_THREADS], taking[MOST_THREADS];

    start(taking, takers, taker_body, NULL);
    start(producing, r.producers, producer_body, &turns);
    if (close) {
        assert_true(points_await(&r.accepted, turns / 2));
        weft__inject_close(&queue);
    }
    join(producing, r.producers);
    bool drained = points_await(&r.taken, count(&r.accepted));
    atomic_store_explicit(&r.producers_end, true, memory_order_release);
    join(taking, takers);
    assert_true(drained);
    assert_int_equal(count(&r.taken), count(&r.accepted));
    assert_int_equal(count(&r.faults), 0);
    assert_true(weft__inject_empty(&queue));
    assert_true(weft__inject_check(&queue));
}

static void test_inject_each_link_once_and_in_order(void **state)
{
    (void)state;
    for (unsigned shards = 1; shards <= 4; shards *= 4) {
        for (unsigned producers = 1; producers <= 3; producers++) {
            for (unsigned takers = 1; takers <= 3; takers++) {
                set_up(shards, producers, 1 + producers * takers % BATCH);
                run_race(takers, points_rounds(40000), false);
                assert_int_equal(count(&r.refused), 0);
            }
        }
    }
}

static void test_inject_spread_over_shards(void **state)
{
    (void)state;
    set_up(8, 3, 3);
    r.single_shard = false;
    run_race(2, points_rounds(100000), false);
}

static void test_inject_close_in_the_middle(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < points_rounds(100); i++) {
        set_up(1 + (unsigned)(i & 1), 3, 2);
        run_race(2, 400, true);
    }
}

static void test_inject_own_pushes_go_through_a_close(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < points_rounds(100); i++) {
        set_up(1, 2, 4);
        atomic_store_explicit(&r.own_too, true, memory_order_relaxed);
        run_race(2, 400, true);
    }
}

/* After the close has returned no outside push succeeds; a producer may still have to count the one that did before. */
static void test_inject_close_is_final_when_it_returns(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < points_rounds(200); i++) {
        pthread_t producing[2];
        uint64_t turns = 300;
        set_up(2, 2, 1);
        start(producing, 2, producer_body, &turns);
        while (count(&r.accepted) < 100) {
            sched_yield();
        }
        weft__inject_close(&queue);
        uint64_t at_close = count(&r.accepted);
        assert_false(push_one(0, &links[0]));
        assert_false(push_one(1, &links[0]));
        join(producing, 2);
        assert_in_range(count(&r.accepted), at_close, at_close + 2 * LONGEST_CHAIN);
        uint64_t least[MOST_THREADS] = {0};
        uint64_t before = count(&r.accepted);
        bool more = true;
        while (!weft__inject_empty(&queue)) {
            weft__link *out[BATCH];
            receive(out, weft__inject_take(&queue, 0, out, BATCH, &more), least);
        }
        assert_int_equal(count(&r.taken), before);
        assert_int_equal(count(&r.faults), 0);
    }
}

/* The producer waits after each push until it is taken: a lost wake-up ends the program's patience. */
static void test_inject_no_sleeper_next_to_visible_links(void **state)
{
    pthread_t taking[2];
    bool taken = true;
    uint64_t pushed = 0;

    (void)state;
    set_up(2, 1, 1);
    start(taking, 2, taker_body, NULL);
    for (uint64_t i = 0; i < points_rounds(20000) && taken; i++) {
        item *first, *last;
        unsigned n = 1 + (unsigned)points_random(3);
        make_chain(0, pushed, n, &first, &last);
        assert_true(weft__inject_push(&queue, 0, &first->link, &last->link));
        notify();
        pushed += n;
        taken = points_await(&r.taken, pushed);
    }
    atomic_store_explicit(&r.producers_end, true, memory_order_release);
    join(taking, 2);
    assert_true(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inject_starts_empty),
        cmocka_unit_test(test_inject_first_in_first_out),
        cmocka_unit_test(test_inject_takes_chains_apart),
        cmocka_unit_test(test_inject_home_shard_comes_first),
        cmocka_unit_test(test_inject_close_refuses_outside_only),
        cmocka_unit_test(test_inject_skips_a_shard_that_is_being_served),
        cmocka_unit_test(test_inject_half_linked_push_ends_the_batch),
        cmocka_unit_test(test_inject_each_link_once_and_in_order),
        cmocka_unit_test(test_inject_spread_over_shards),
        cmocka_unit_test(test_inject_close_in_the_middle),
        cmocka_unit_test(test_inject_own_pushes_go_through_a_close),
        cmocka_unit_test(test_inject_close_is_final_when_it_returns),
        cmocka_unit_test(test_inject_no_sleeper_next_to_visible_links),
    };

    return points_result(cmocka_run_group_tests_name("inject", tests, NULL, NULL));
}
