/* test_mailbox.c: the coordinator's mailbox alone.
 *
 * First the table of transitions on one thread; then posters against a coordinator that really sleeps on the futex and
 * never looks without being woken, so that a lost wake-up shows as a message that is not handled. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mailbox.h"
#include "platform.h"
#include "points.h"

static weft__mailbox box;
static weft__link links[8];

static uint64_t head(void)
{
    return atomic_load_explicit(&box.head, memory_order_relaxed);
}

/* Takes all and expects the n links from `first` on. */
static void expect_taken(const weft__link *first, unsigned n)
{
    weft__link *link = weft__mailbox_take(&box);

    for (unsigned i = 0; i < n; i++) {
        assert_ptr_equal(link, first + i);
        link = atomic_load_explicit(&link->next, memory_order_relaxed);
    }
    assert_null(link);
    assert_true(weft__mailbox_empty(&box));
}

static void chain(weft__link *first, unsigned n)
{
    for (unsigned i = 0; i + 1 < n; i++) {
        atomic_store_explicit(&first[i].next, &first[i + 1], memory_order_relaxed);
    }
}

static void test_mailbox_starts_empty_and_awake(void **state)
{
    (void)state;
    weft__mailbox_init(&box);
    assert_true(weft__mailbox_empty(&box));
    assert_null(weft__mailbox_take(&box));
    assert_int_equal(head(), 0);
}

static void test_mailbox_hands_over_in_order_of_posts(void **state)
{
    (void)state;
    weft__mailbox_init(&box);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 8; i++) {
            assert_int_equal(weft__mailbox_post(&box, &links[i], WEFT__POST_URGENT), WEFT__POSTED);
            assert_false(weft__mailbox_empty(&box));
        }
        expect_taken(links, 8);
    }
}

static void test_mailbox_takes_chains(void **state)
{
    (void)state;
    weft__mailbox_init(&box);
    chain(&links[1], 3);
    chain(&links[4], 1);
    chain(&links[5], 3);
    assert_int_equal(weft__mailbox_post(&box, &links[0], WEFT__POST_LAZY), WEFT__POSTED);
    assert_int_equal(weft__mailbox_chain_post(&box, &links[1], &links[3], WEFT__POST_LAZY), WEFT__POSTED);
    assert_int_equal(weft__mailbox_chain_post(&box, &links[4], &links[4], WEFT__POST_LAZY), WEFT__POSTED);
    assert_int_equal(weft__mailbox_chain_post(&box, &links[5], &links[7], WEFT__POST_LAZY), WEFT__POSTED);
    expect_taken(links, 8);
}

static void test_mailbox_sleeps_only_when_empty(void **state)
{
    (void)state;
    weft__mailbox_init(&box);
    weft__mailbox_post(&box, &links[0], WEFT__POST_LAZY);
    assert_false(weft__mailbox_sleep(&box, 100));
    expect_taken(links, 1);
    assert_true(weft__mailbox_sleep(&box, 100));
    assert_int_equal((uint32_t)head(), weft__mailbox_sleep_value());
    assert_int_equal(atomic_load_explicit(weft__futex_half(&box.head), memory_order_relaxed),
                     weft__mailbox_sleep_value());
    assert_null(weft__mailbox_take(&box));
    assert_int_equal(head(), 0);
}

static void test_mailbox_wakes_for_what_cannot_wait(void **state)
{
    static const struct {
        int64_t next_wake, deadline;
        enum weft__post answer;
    } cases[] = {
        {100, 99, WEFT__POST_WAKE},
        {100, 100, WEFT__POSTED},
        {100, 101, WEFT__POSTED},
        {100, 0, WEFT__POST_WAKE},
        {100, WEFT__POST_URGENT, WEFT__POST_WAKE},
        {100, WEFT__POST_LAZY, WEFT__POSTED},
        {INT64_MAX, INT64_MAX - 1, WEFT__POST_WAKE},
        {INT64_MAX, WEFT__POST_LAZY, WEFT__POSTED},
        {INT64_MIN, WEFT__POST_URGENT, WEFT__POSTED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weft__mailbox_init(&box);
        assert_true(weft__mailbox_sleep(&box, cases[i].next_wake));
        assert_int_equal(weft__mailbox_post(&box, &links[0], cases[i].deadline), cases[i].answer);
        assert_int_equal(head() & 1, cases[i].answer == WEFT__POSTED);
        expect_taken(links, 1);
    }
}

static void test_mailbox_one_poster_wakes(void **state)
{
    (void)state;
    weft__mailbox_init(&box);
    assert_true(weft__mailbox_sleep(&box, 100));
    assert_int_equal(weft__mailbox_post(&box, &links[0], WEFT__POST_LAZY), WEFT__POSTED);
    assert_int_equal(weft__mailbox_post(&box, &links[1], 5), WEFT__POST_WAKE);
    assert_int_equal(weft__mailbox_post(&box, &links[2], 5), WEFT__POSTED);
    assert_int_equal(weft__mailbox_post(&box, &links[3], WEFT__POST_URGENT), WEFT__POSTED);
    assert_false(weft__mailbox_sleep(&box, 100));
    expect_taken(links, 4);
}

static void test_mailbox_closes_only_when_empty(void **state)
{
    (void)state;
    for (int asleep = 0; asleep < 2; asleep++) {
        weft__mailbox_init(&box);
        weft__mailbox_post(&box, &links[0], WEFT__POST_LAZY);
        assert_false(weft__mailbox_close(&box));
        expect_taken(links, 1);
        if (asleep) {
            assert_true(weft__mailbox_sleep(&box, INT64_MAX));
        }
        assert_true(weft__mailbox_close(&box));
        assert_true(weft__mailbox_close(&box));
        assert_int_equal(weft__mailbox_post(&box, &links[0], WEFT__POST_URGENT), WEFT__POST_CLOSED);
        assert_true(weft__mailbox_empty(&box));
        assert_null(weft__mailbox_take(&box));
        assert_int_equal(weft__mailbox_post(&box, &links[0], WEFT__POST_URGENT), WEFT__POST_CLOSED);
    }
}

static void test_mailbox_refused_chain_is_unchanged(void **state)
{
    (void)state;
    weft__mailbox_init(&box);
    assert_true(weft__mailbox_close(&box));
    chain(links, 4);
    assert_int_equal(weft__mailbox_chain_post(&box, &links[0], &links[3], 0), WEFT__POST_CLOSED);
    for (unsigned i = 0; i < 4; i++) {
        assert_ptr_equal(atomic_load_explicit(&links[i].next, memory_order_relaxed), i < 3 ? &links[i + 1] : NULL);
    }
}

/* Posters and a coordinator. */

enum { MOST_POSTERS = 3 };

typedef struct message {
    weft__link link; /* first, so that a link is its message */
    unsigned poster;
    uint64_t turn;    /* counts the messages of its poster */
    int64_t deadline; /* what it was posted with */
} message;

typedef struct race {
    uint64_t turns;                               /* constant: messages a poster */
    bool wait_for_urgent;                         /* constant: posters wait until an urgent message was handled */
    int64_t sleep_until;                          /* constant: the next_wake of each sleep */
    _Atomic(uint64_t) accepted;                   /* posters */
    _Atomic(uint64_t) refused;                    /* posters */
    _Atomic(uint64_t) handled;                    /* coordinator */
    _Atomic(uint64_t) faults;                     /* any thread */
    _Atomic(uint64_t) sleeps;                     /* coordinator: how often it slept */
    _Atomic(uint64_t) wakes;                      /* posters: how often one was told to wake */
    _Atomic(uint64_t) progress[MOST_POSTERS + 1]; /* coordinator: turns of this poster that were handled */
    _Atomic(unsigned) next;                       /* hands out numbers to the posters */
    _Atomic(bool) stop;                           /* main: close as soon as the mailbox is empty */
} race;

static race r;

static void add(_Atomic(uint64_t) *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_release);
}

static uint64_t count(const _Atomic(uint64_t) *counter)
{
    return atomic_load_explicit(counter, memory_order_acquire);
}

static enum weft__post post(message *m)
{
    enum weft__post answer = weft__mailbox_post(&box, &m->link, m->deadline);

    if (answer == WEFT__POST_WAKE) {
        add(&r.wakes, 1);
        weft__futex_wake(weft__futex_half(&box.head), 1);
    }
    return answer;
}

static void *poster_body(void *arg)
{
    unsigned self = atomic_fetch_add_explicit(&r.next, 1, memory_order_relaxed);

    (void)arg;
    for (uint64_t turn = 0; turn < r.turns; turn++) {
        message *m = malloc(sizeof *m);
        int64_t deadline = points_random(3) == 0 ? WEFT__POST_LAZY : (int64_t)points_random(200);
        bool urgent = deadline < r.sleep_until || turn + 1 == r.turns;
        m->link.ops = NULL;
        m->poster = self;
        m->turn = turn;
        m->deadline = turn + 1 == r.turns ? WEFT__POST_URGENT : deadline;
        if (post(m) == WEFT__POST_CLOSED) {
            free(m);
            add(&r.refused, 1);
            continue;
        }
        add(&r.accepted, 1);
        if (urgent && r.wait_for_urgent && !points_await(&r.progress[self], turn + 1)) {
            add(&r.faults, 1);
            return NULL;
        }
    }
    return NULL;
}

/* Each poster's messages come in the order of its posts. */
static void handle(weft__link *link)
{
    while (link != NULL) {
        message *m = (message *)link;
        link = atomic_load_explicit(&link->next, memory_order_relaxed);
        if (m->turn < count(&r.progress[m->poster])) {
            add(&r.faults, 1);
        }
        atomic_store_explicit(&r.progress[m->poster], m->turn + 1, memory_order_release);
        free(m);
        add(&r.handled, 1);
    }
}

static void *coordinator_body(void *arg)
{
    (void)arg;
    for (;;) {
        handle(weft__mailbox_take(&box));
        if (atomic_load_explicit(&r.stop, memory_order_acquire) && weft__mailbox_close(&box)) {
            return NULL;
        }
        if (weft__mailbox_sleep(&box, r.sleep_until)) {
            add(&r.sleeps, 1);
            weft__futex_wait(weft__futex_half(&box.head), weft__mailbox_sleep_value(), INT64_MAX);
        }
    }
}

static void set_up(uint64_t turns, bool wait_for_urgent, int64_t sleep_until)
{
    memset((void *)&r, 0, sizeof r);
    weft__mailbox_init(&box);
    r.turns = turns;
    r.wait_for_urgent = wait_for_urgent;
    r.sleep_until = sleep_until;
}

/* Runs the posters; tells the coordinator to stop once `enough` messages were accepted. */
static void run_race(unsigned posters, uint64_t enough)
{
    pthread_t coordinator, posting[MOST_POSTERS];
    message last = {.poster = MOST_POSTERS, .deadline = WEFT__POST_URGENT};

    assert_int_equal(pthread_create(&coordinator, NULL, coordinator_body, NULL), 0);
    for (unsigned i = 0; i < posters; i++) {
        assert_int_equal(pthread_create(&posting[i], NULL, poster_body, NULL), 0);
    }
    assert_true(points_await(&r.accepted, enough));
    atomic_store_explicit(&r.stop, true, memory_order_release);
    message *nudge = malloc(sizeof *nudge);
    *nudge = last;
    if (post(nudge) == WEFT__POST_CLOSED) {
        free(nudge);
    } else {
        add(&r.accepted, 1);
    }
    for (unsigned i = 0; i < posters; i++) {
        pthread_join(posting[i], NULL);
    }
    pthread_join(coordinator, NULL);
    assert_int_equal(count(&r.handled), count(&r.accepted));
    assert_int_equal(count(&r.faults), 0);
    assert_int_equal(post(&last), WEFT__POST_CLOSED);
}

static void test_mailbox_no_urgent_message_waits(void **state)
{
    (void)state;
    for (unsigned posters = 1; posters <= MOST_POSTERS; posters++) {
        set_up(points_rounds(10000), true, 100);
        run_race(posters, posters * r.turns);
        assert_int_equal(count(&r.refused), 0);
        assert_true(count(&r.sleeps) > 0);
        assert_true(count(&r.wakes) <= count(&r.sleeps));
    }
}

static void test_mailbox_each_message_once_and_in_order(void **state)
{
    (void)state;
    for (unsigned posters = 1; posters <= MOST_POSTERS; posters++) {
        set_up(points_rounds(100000), false, 100);
        run_race(posters, posters * r.turns);
        assert_int_equal(count(&r.refused), 0);
    }
}

static void test_mailbox_close_decides_each_post(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < points_rounds(200); i++) {
        set_up(1000, false, INT64_MAX);
        run_race(2, 50);
        assert_in_range(count(&r.handled) + count(&r.refused), 2000, 2001);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mailbox_starts_empty_and_awake),
        cmocka_unit_test(test_mailbox_hands_over_in_order_of_posts),
        cmocka_unit_test(test_mailbox_takes_chains),
        cmocka_unit_test(test_mailbox_sleeps_only_when_empty),
        cmocka_unit_test(test_mailbox_wakes_for_what_cannot_wait),
        cmocka_unit_test(test_mailbox_one_poster_wakes),
        cmocka_unit_test(test_mailbox_closes_only_when_empty),
        cmocka_unit_test(test_mailbox_refused_chain_is_unchanged),
        cmocka_unit_test(test_mailbox_no_urgent_message_waits),
        cmocka_unit_test(test_mailbox_each_message_once_and_in_order),
        cmocka_unit_test(test_mailbox_close_decides_each_post),
    };

    return points_result(cmocka_run_group_tests_name("mailbox", tests, NULL, NULL));
}
