/* test_deque.c: the split deque alone.
 *
 * First the rules one by one on one thread, then random operations against a plain array, then one owner against
 * thieves with an exactly-once oracle. test_explore_deque.c goes through all interleavings at small sizes. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "deque.h"
#include "points.h"

enum { MOST_SLOTS = 64 };

typedef struct fixture {
    weft__deque deque;
    _Atomic(void *) slots[MOST_SLOTS];
} fixture;

static void make(fixture *f, size_t capacity, uint64_t window, uint64_t start)
{
    weft__deque_init(&f->deque, f->slots, capacity, window);
    atomic_init(&f->deque.bottom, start);
    f->deque.limit = start;
    atomic_store_explicit(&f->deque.top, start, memory_order_relaxed);
    atomic_store_explicit(&f->deque.split, start, memory_order_seq_cst);
}

/* Entries are numbers from 0, spaced so that none is NULL or the retry mark. */
static void *entry(uint64_t number)
{
    return (void *)(uintptr_t)((number + 1) * 16);
}

static uint64_t number(const void *entry)
{
    return (uint64_t)(uintptr_t)entry / 16 - 1;
}

static void *pop(weft__deque *d)
{
    bool raised;

    return weft__deque_pop(d, &raised);
}

static void test_deque_starts_empty(void **state)
{
    (void)state;
    for (uint64_t window = 0; window < 3; window++) {
        fixture f;
        bool raised = true;
        make(&f, 4, window, 0);
        assert_null(weft__deque_pop(&f.deque, &raised));
        assert_false(raised);
        assert_null(weft__deque_steal(&f.deque));
        assert_null(weft__deque_newest(&f.deque));
        assert_false(weft__deque_visible(&f.deque));
        assert_false(weft__deque_publish(&f.deque));
        assert_int_equal(weft__deque_size(&f.deque), 0);
        assert_true(weft__deque_check(&f.deque));
    }
}

static void test_deque_refuses_when_full(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 8; capacity *= 2) {
        for (uint64_t window = 0; window < 10; window++) {
            fixture f;
            make(&f, capacity, window, 0);
            for (uint64_t i = 0; i < capacity; i++) {
                assert_int_not_equal(weft__deque_push(&f.deque, entry(i)), WEFT__PUSH_FULL);
                assert_true(weft__deque_check(&f.deque));
            }
            assert_int_equal(weft__deque_push(&f.deque, entry(99)), WEFT__PUSH_FULL);
            assert_ptr_equal(weft__deque_steal(&f.deque), entry(0));
            assert_int_not_equal(weft__deque_push(&f.deque, entry(capacity)), WEFT__PUSH_FULL);
            assert_int_equal(weft__deque_push(&f.deque, entry(99)), WEFT__PUSH_FULL);
            for (uint64_t i = capacity; i > 0; i--) {
                assert_ptr_equal(pop(&f.deque), entry(i));
                assert_true(weft__deque_check(&f.deque));
            }
            assert_null(pop(&f.deque));
        }
    }
}

static void test_deque_open_shows_every_push(void **state)
{
    fixture f;

    (void)state;
    make(&f, 8, 0, 0);
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(weft__deque_push(&f.deque, entry(i)), WEFT__PUSH_VISIBLE);
        assert_int_equal(weft__deque_size(&f.deque), i + 1);
        assert_true(weft__deque_visible(&f.deque));
    }
    for (uint64_t i = 8; i > 0; i--) {
        bool raised = true;
        assert_int_equal(weft__deque_size(&f.deque), i);
        assert_ptr_equal(weft__deque_pop(&f.deque, &raised), entry(i - 1));
        assert_false(raised);
    }
    assert_false(weft__deque_visible(&f.deque));
}

static void test_deque_window_bounds_what_is_hidden(void **state)
{
    fixture f;

    (void)state;
    make(&f, 64, 4, 0);
    assert_int_equal(weft__deque_push(&f.deque, entry(0)), WEFT__PUSH_VISIBLE);
    for (uint64_t i = 1; i < 5; i++) {
        assert_int_equal(weft__deque_push(&f.deque, entry(i)), WEFT__PUSH_PRIVATE);
        assert_int_equal(weft__deque_size(&f.deque), 1);
    }
    assert_int_equal(weft__deque_push(&f.deque, entry(5)), WEFT__PUSH_VISIBLE);
    assert_int_equal(weft__deque_size(&f.deque), 4);
    for (uint64_t i = 6; i < 40; i++) {
        assert_int_not_equal(weft__deque_push(&f.deque, entry(i)), WEFT__PUSH_FULL);
        assert_true(weft__deque_check(&f.deque));
    }
    for (uint64_t i = 40; i > 0; i--) {
        assert_ptr_equal(pop(&f.deque), entry(i - 1));
        assert_true(weft__deque_check(&f.deque));
    }
}

static void test_deque_feeds_hungry_thieves(void **state)
{
    fixture f;
    bool raised = false;

    (void)state;
    make(&f, 64, 8, 0);
    for (uint64_t i = 0; i < 4; i++) {
        weft__deque_push(&f.deque, entry(i));
    }
    assert_ptr_equal(weft__deque_steal(&f.deque), entry(0));
    assert_null(weft__deque_steal(&f.deque));
    assert_ptr_equal(weft__deque_pop(&f.deque, &raised), entry(3));
    assert_true(raised);
    assert_ptr_equal(weft__deque_steal(&f.deque), entry(1));
    assert_ptr_equal(weft__deque_steal(&f.deque), entry(2));
    assert_null(weft__deque_steal(&f.deque));
    assert_int_equal(weft__deque_push(&f.deque, entry(4)), WEFT__PUSH_VISIBLE);
    assert_ptr_equal(weft__deque_steal(&f.deque), entry(4));
    assert_null(pop(&f.deque));
    assert_true(weft__deque_check(&f.deque));
}

static void test_deque_publish_shows_all(void **state)
{
    fixture f;

    (void)state;
    make(&f, 64, 8, 0);
    for (uint64_t i = 0; i < 6; i++) {
        weft__deque_push(&f.deque, entry(i));
    }
    assert_int_equal(weft__deque_size(&f.deque), 1);
    assert_true(weft__deque_publish(&f.deque));
    assert_int_equal(weft__deque_size(&f.deque), 6);
    assert_false(weft__deque_publish(&f.deque));
    for (uint64_t i = 0; i < 6; i++) {
        assert_ptr_equal(weft__deque_steal(&f.deque), entry(i));
    }
    assert_null(weft__deque_steal(&f.deque));
}

static void test_deque_newest_is_what_pop_returns(void **state)
{
    (void)state;
    for (uint64_t window = 0; window < 5; window++) {
        fixture f;
        make(&f, 8, window, 0);
        for (uint64_t i = 0; i < 8; i++) {
            weft__deque_push(&f.deque, entry(i));
            assert_ptr_equal(weft__deque_newest(&f.deque), entry(i));
        }
        for (int i = 0; i < 8; i++) {
            void *newest = weft__deque_newest(&f.deque);
            assert_non_null(newest);
            assert_ptr_equal(pop(&f.deque), newest);
        }
        assert_null(weft__deque_newest(&f.deque));
    }
}

/* One random operation on the deque and on held[*oldest .. *newest), which must agree. */
static void compare_step(fixture *f, size_t capacity, uint64_t *held, size_t *oldest, size_t *newest)
{
    bool raised;
    void *x;

    switch (points_random(5)) {
    case 0:
    case 1:
        held[*newest] = *newest;
        if (weft__deque_push(&f->deque, entry(*newest)) == WEFT__PUSH_FULL) {
            assert_int_equal(*newest - *oldest, capacity);
        } else {
            assert_true(*newest - *oldest < capacity);
            ++*newest;
        }
        break;
    case 2:
        x = weft__deque_pop(&f->deque, &raised);
        assert_ptr_equal(x, *newest == *oldest ? NULL : entry(held[--*newest]));
        break;
    case 3:
        x = weft__deque_steal(&f->deque);
        if (x == NULL) {
            assert_false(weft__deque_visible(&f->deque));
        } else {
            assert_ptr_equal(x, entry(held[(*oldest)++]));
        }
        break;
    default:
        weft__deque_publish(&f->deque);
        assert_int_equal(weft__deque_size(&f->deque), *newest - *oldest);
    }
    assert_true(weft__deque_check(&f->deque));
}

static void compare_with_array(uint64_t start)
{
    enum { STEPS = 400 };

    for (size_t capacity = 1; capacity <= 16; capacity *= 2) {
        for (uint64_t window = 0; window < 6; window++) {
            fixture f;
            uint64_t held[STEPS + 1];
            size_t oldest = 0, newest = 0;
            make(&f, capacity, window, start);
            for (int i = 0; i < STEPS; i++) {
                compare_step(&f, capacity, held, &oldest, &newest);
            }
        }
    }
}

static void test_deque_behaves_like_an_array(void **state)
{
    (void)state;
    compare_with_array(0);
}

static void test_deque_indices_wrap(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 40; i++) {
        compare_with_array(UINT64_MAX - i);
    }
    compare_with_array((uint64_t)INT64_MAX - 7);
}

/* One owner, some thieves, and a mark for each entry. */

enum { MOST_THIEVES = 3 };

typedef struct race {
    fixture f;
    uint64_t entries;         /* constant: how many the owner makes */
    _Atomic(uint8_t) *taken;  /* how often each was taken; any thread */
    _Atomic(bool) owner_done; /* nothing will be pushed any more; owner */
    _Atomic(uint64_t) stolen; /* thieves */
    _Atomic(uint64_t) faults; /* entries taken twice or out of order; any thread */
} race;

static void take(race *r, const void *x)
{
    if (atomic_fetch_add_explicit(&r->taken[number(x)], 1, memory_order_relaxed) != 0) {
        atomic_fetch_add_explicit(&r->faults, 1, memory_order_relaxed);
    }
}

/* What one thief gets was pushed in the order in which it gets it. */
static void *thief_body(void *arg)
{
    race *r = arg;
    uint64_t least = 0, stolen = 0;

    for (;;) {
        bool last_look = atomic_load_explicit(&r->owner_done, memory_order_acquire);
        void *x = weft__deque_steal(&r->f.deque);
        if (x == NULL && last_look) {
            break;
        }
        if (x == NULL) {
            sched_yield();
        } else if (x != WEFT__STEAL_RETRY) {
            take(r, x);
            stolen++;
            if (number(x) < least) {
                atomic_fetch_add_explicit(&r->faults, 1, memory_order_relaxed);
            }
            least = number(x) + 1;
        }
    }
    atomic_fetch_add_explicit(&r->stolen, stolen, memory_order_relaxed);
    return NULL;
}

/* Bursts of pushes and pops, so that the deque is now full, now empty. A refused entry is taken on the spot. */
static void owner_body(race *r)
{
    uint64_t made = 0;

    while (made < r->entries) {
        for (uint64_t burst = 1 + points_random(r->f.deque.mask + 2); burst > 0 && made < r->entries; burst--) {
            void *x = entry(made++);
            if (weft__deque_push(&r->f.deque, x) == WEFT__PUSH_FULL) {
                take(r, x);
            }
        }
        for (uint64_t burst = points_random(r->f.deque.mask + 3); burst > 0; burst--) {
            void *x = pop(&r->f.deque);
            if (x != NULL) {
                take(r, x);
            }
        }
        if (points_random(64) == 0) {
            weft__deque_publish(&r->f.deque);
        }
    }
    weft__deque_publish(&r->f.deque);
    atomic_store_explicit(&r->owner_done, true, memory_order_release);
}

static uint64_t run_race(size_t capacity, uint64_t window, unsigned thieves, uint64_t entries, uint64_t start)
{
    static race r;
    pthread_t threads[MOST_THIEVES];
    uint64_t wrong = 0;

    memset((void *)&r, 0, sizeof r);
    r.entries = entries;
    r.taken = test_calloc(entries, sizeof *r.taken);
    make(&r.f, capacity, window, start);
    for (unsigned i = 0; i < thieves; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, thief_body, &r), 0);
    }
    owner_body(&r);
    for (unsigned i = 0; i < thieves; i++) {
        pthread_join(threads[i], NULL);
    }
    for (uint64_t i = 0; i < entries; i++) {
        wrong += atomic_load_explicit(&r.taken[i], memory_order_relaxed) != 1;
    }
    test_free((void *)r.taken);
    assert_int_equal(wrong, 0);
    assert_int_equal(atomic_load_explicit(&r.faults, memory_order_relaxed), 0);
    assert_true(weft__deque_check(&r.f.deque));
    assert_false(weft__deque_visible(&r.f.deque));
    return atomic_load_explicit(&r.stolen, memory_order_relaxed);
}

static void race_all_sizes(uint64_t start)
{
    static const size_t capacities[] = {2, 4, 8, 64};
    static const uint64_t windows[] = {0, 1, 3, 32};
    uint64_t stolen = 0;

    for (size_t c = 0; c < 4; c++) {
        for (size_t w = 0; w < 4; w++) {
            for (unsigned thieves = 1; thieves <= MOST_THIEVES; thieves++) {
                stolen += run_race(capacities[c], windows[w], thieves, points_rounds(60000), start);
            }
        }
    }
    assert_true(stolen > 0);
}

static void test_deque_each_entry_exactly_once(void **state)
{
    (void)state;
    race_all_sizes(0);
}

static void test_deque_each_entry_exactly_once_while_indices_wrap(void **state)
{
    (void)state;
    race_all_sizes(UINT64_MAX - points_rounds(60000) / 8);
}

/* Owner and thieves that sleep: no entry may stay visible next to a sleeper. */

typedef struct sleepers {
    fixture f;
    _Atomic(uint64_t) idle;  /* a bit for each sleeper; thieves set it, whoever clears it wakes */
    _Atomic(uint64_t) taken; /* by thieves */
    _Atomic(bool) stop;      /* owner */
    _Atomic(unsigned) next;  /* hands out the bits */
} sleepers;

static void notify(sleepers *s)
{
    uint64_t idle = atomic_load_explicit(&s->idle, memory_order_seq_cst);

    while (idle != 0 && !atomic_compare_exchange_weak_explicit(&s->idle, &idle, idle & (idle - 1), memory_order_seq_cst,
                                                               memory_order_seq_cst)) {
    }
}

static void sleep_until_notified(sleepers *s, uint64_t bit)
{
    atomic_fetch_or_explicit(&s->idle, bit, memory_order_seq_cst);
    if (weft__deque_visible(&s->f.deque)) {
        atomic_fetch_and_explicit(&s->idle, ~bit, memory_order_seq_cst);
        return;
    }
    while ((atomic_load_explicit(&s->idle, memory_order_acquire) & bit) != 0 &&
           !atomic_load_explicit(&s->stop, memory_order_acquire)) {
        sched_yield();
    }
}

static void *sleeping_thief_body(void *arg)
{
    sleepers *s = arg;
    uint64_t bit = UINT64_C(1) << atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);

    while (!atomic_load_explicit(&s->stop, memory_order_acquire)) {
        void *x = weft__deque_steal(&s->f.deque);
        if (x == NULL) {
            sleep_until_notified(s, bit);
        } else if (x != WEFT__STEAL_RETRY) {
            atomic_fetch_add_explicit(&s->taken, 1, memory_order_release);
        }
    }
    return NULL;
}

/* Pushes and pops a few, then stays away until the thieves have taken the rest. */
static bool feed_sleepers(sleepers *s, uint64_t *due)
{
    bool raised;

    for (uint64_t burst = 1 + points_random(6); burst > 0; burst--) {
        enum weft__push pushed = weft__deque_push(&s->f.deque, entry(7));
        if (pushed == WEFT__PUSH_VISIBLE) {
            notify(s);
        }
        *due += pushed != WEFT__PUSH_FULL;
    }
    for (uint64_t burst = points_random(3); burst > 0; burst--) {
        *due -= weft__deque_pop(&s->f.deque, &raised) != NULL;
        if (raised) {
            notify(s);
        }
    }
    if (weft__deque_publish(&s->f.deque)) {
        notify(s);
    }
    return points_await(&s->taken, *due);
}

static void test_deque_no_sleeper_next_to_visible_work(void **state)
{
    (void)state;
    for (uint64_t window = 0; window < 6; window += 2) {
        static sleepers s;
        pthread_t threads[2];
        uint64_t due = 0;
        bool fed = true;
        memset((void *)&s, 0, sizeof s);
        make(&s.f, 8, window, 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, sleeping_thief_body, &s), 0);
        }
        for (uint64_t i = 0; i < points_rounds(20000) && fed; i++) {
            fed = feed_sleepers(&s, &due);
        }
        atomic_store_explicit(&s.stop, true, memory_order_release);
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
        }
        assert_true(fed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deque_starts_empty),
        cmocka_unit_test(test_deque_refuses_when_full),
        cmocka_unit_test(test_deque_open_shows_every_push),
        cmocka_unit_test(test_deque_window_bounds_what_is_hidden),
        cmocka_unit_test(test_deque_feeds_hungry_thieves),
        cmocka_unit_test(test_deque_publish_shows_all),
        cmocka_unit_test(test_deque_newest_is_what_pop_returns),
        cmocka_unit_test(test_deque_behaves_like_an_array),
        cmocka_unit_test(test_deque_indices_wrap),
        cmocka_unit_test(test_deque_each_entry_exactly_once),
        cmocka_unit_test(test_deque_each_entry_exactly_once_while_indices_wrap),
        cmocka_unit_test(test_deque_no_sleeper_next_to_visible_work),
    };

    return points_result(cmocka_run_group_tests_name("deque", tests, NULL, NULL));
}
