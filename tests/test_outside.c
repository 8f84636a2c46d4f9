/* test_outside.c: how threads that are not weft's wait for one future after another (futures/outside.c).
 *
 * Discipline. A thread that is seen to await handle after handle naps before it sleeps. What must hold then is that it
 * is told although no worker ever runs out of work, and that its time limits are kept; so each row below begins with
 * jobs that take longer than any spinning, and ends with one that lets the worker go no further. Whether a thread has
 * spun or napped is read from what it has learnt from it: its spinning level, and the naps that it may still take in
 * vain. */
#include "fixtures.h"

#include "future.h"
#include "topology.h"

#include <sys/prctl.h>
#include <time.h>

enum { ROW = 40 }; /* more than make a row */

static void *slow_job(void *arg)
{
    test_pause(MS);
    return arg;
}

/* Two slow jobs, one that blocks at the gate, and quick ones, for one worker. */
static void submit_row(weft_executor *executor, weft_future *row[], test_gate *gate)
{
    for (size_t i = 0; i < ROW; i++) {
        row[i] = weft_submit(executor, i < 2 ? slow_job : i == 2 ? test_gate_job : test_job_return_arg, gate);
        assert_non_null(row[i]);
    }
}

static void await_rest(weft_future *row[])
{
    for (size_t i = 2; i < ROW; i++) {
        assert_int_equal(weft_await(row[i], NULL), 0);
    }
}

/* The worker goes on from the second job to one that blocks: it never looks for work in between. */
static void test_one_after_the_other_before_a_long_job(void **state)
{
    weft_executor *executor = test_executor(1);
    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        weft_future *row[ROW];
        test_gate *gate = test_gate_make();
        submit_row(executor, row, gate);
        assert_int_equal(weft_await(row[0], NULL), 0);
        assert_int_equal(weft_await(row[1], NULL), 0);
        test_gate_open(gate);
        await_rest(row);
    }
    test_destroy(executor);
}

/* A time limit that is shorter than a nap, one that is longer, and what was not done then is done later. */
static void test_one_after_the_other_with_time_limits(void **state)
{
    weft_executor *executor = test_executor(1);
    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        weft_future *row[ROW];
        test_gate *gate = test_gate_make();
        submit_row(executor, row, gate);
        assert_int_equal(weft_await(row[0], NULL), 0);
        assert_int_equal(weft_await(row[1], NULL), 0);
        assert_int_equal(weft_future_wait(row[2], 1000), -ETIMEDOUT);
        int64_t begun = weft_now();
        assert_int_equal(weft_future_wait(row[2], 2 * MS), -ETIMEDOUT);
        assert_true(weft_now() - begun >= 2 * MS);
        assert_int_equal(weft_future_wait(row[ROW - 1], MS), -ETIMEDOUT);
        test_gate_open(gate);
        await_rest(row);
    }
    test_destroy(executor);
}

/* Many rows of jobs that end at once, oldest first and newest first, from several threads: each wait ends. */
static void *many_rows(void *executor)
{
    for (unsigned round = 0; round < test_rounds(400); round++) {
        weft_future *row[ROW];
        for (size_t i = 0; i < ROW; i++) {
            row[i] = weft_submit(executor, test_job_return_arg, &row[i]);
        }
        for (size_t i = 0; i < ROW; i++) {
            size_t at = round % 2 ? i : ROW - 1 - i;
            void *value = NULL;
            TEST_EXPECT(weft_await(row[at], &value) == 0);
            TEST_EXPECT(value == &row[at]);
        }
    }
    return NULL;
}

static void test_rows_of_several_threads(void **state)
{
    weft_executor *executor = test_executor(0);
    pthread_t threads[3];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        threads[i] = test_spawn(many_rows, executor);
    }
    for (size_t i = 0; i < 3; i++) {
        test_join(threads[i]);
    }
    test_destroy(executor);
}

/* ---- when a nap ends ---- */

typedef struct napper {
    weft_executor *executor; /* by the test, as the next */
    test_latch *napping;
    int code; /* by the thread, before its end */
} napper;

static void *nap_long(void *argument)
{
    napper *n = argument;
    uint32_t bell = weft__nap_begin(n->executor);
    test_latch_hit(n->napping);
    n->code = weft__nap(n->executor, bell, weft_now() + test_patience());
    weft__nap_end(n->executor);
    return NULL;
}

static void assert_rung_after_the_last_job(weft_executor *executor, test_gate *gate)
{
    enum { NAPPERS = 3 };
    napper n[NAPPERS];
    pthread_t threads[NAPPERS];
    for (size_t i = 0; i < NAPPERS; i++) {
        n[i] = (napper){executor, test_latch_make(), -1};
        threads[i] = test_spawn(nap_long, &n[i]);
        assert_true(test_latch_wait(n[i].napping, 1));
    }
    test_unblock(gate);
    for (size_t i = 0; i < NAPPERS; i++) {
        test_join(threads[i]);
        assert_int_equal(n[i].code, 0);
    }
    assert_int_equal(atomic_load(&executor->idle.nappers), 0);
}

static void test_a_worker_without_work_ends_every_nap(void **state)
{
    weft_executor *executor = test_executor(1);
    (void)state;
    assert_rung_after_the_last_job(executor, test_block(executor, 1));
    test_destroy(executor);
}

/* So does one that may not search, because enough others do. */
static void test_a_worker_that_may_not_search_ends_every_nap(void **state)
{
    weft_executor *executor = test_executor(1);
    (void)state;
    test_gate *gate = test_block(executor, 1);
    executor->idle.searchers = 0; /* the gate's opening lets the worker see it */
    assert_rung_after_the_last_job(executor, gate);
    test_destroy(executor);
}

/* A ring between the look at what is awaited and the nap is not lost. */
static void test_a_ring_before_the_nap_counts(void **state)
{
    weft_executor *executor = test_executor(1);
    (void)state;
    test_gate *gate = test_block(executor, 1);
    uint32_t bell = weft__nap_begin(executor);
    test_unblock(gate);
    while (!weft__somebody_sleeps(executor)) {
        test_pause(20000);
    }
    assert_int_equal(weft__nap(executor, bell, weft_now() + test_patience()), 0);
    weft__nap_end(executor);
    test_destroy(executor);
}

/* ---- who naps ---- */

/* How many naps this thread may take in vain for jobs of the executor; it has submitted there last. */
static unsigned naps_left(weft_executor *executor)
{
    const weft__port *port = weft__port_find(executor);
    assert_non_null(port);
    return port->naps;
}

static void assert_in_vain(weft_future *future, int64_t timeout)
{
    assert_int_equal(weft_future_wait(future, timeout), -ETIMEDOUT);
}

/* Submits a row whose first job waits for the gate, and sleeps for that one in vain: the thread is in a row. */
static void begin_row(weft_executor *executor, weft_future *row[], test_gate *gate)
{
    for (size_t i = 0; i < ROW; i++) {
        row[i] = weft_submit(executor, i ? test_job_return_arg : test_gate_job, gate);
        assert_non_null(row[i]);
    }
    assert_true(test_gate_await(gate, 1));
    assert_in_vain(row[0], MS);
    assert_int_equal(naps_left(executor), 2);
}

static void end_row(weft_future *row[], test_gate *gate)
{
    test_gate_open(gate);
    for (size_t i = 0; i < ROW; i++) {
        assert_int_equal(weft_await(row[i], NULL), 0);
    }
}

/* No worker brings a promise or the end of a sleep, so nobody would ring: each wait would last as long as a nap. */
static void test_naps_are_for_jobs_and_their_mirrors(void **state)
{
    weft_executor *executor = test_executor(1);
    weft_future *row[ROW];
    test_gate *gate = test_gate_make();
    (void)state;
    weft_promise *promise = weft_promise_create(executor);
    weft_future *promised = weft_promise_future(promise);
    weft_future *mirror = weft_shield(promised);
    weft_future *sleep = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
    begin_row(executor, row, gate);
    weft_future *mirrored = weft_wait_for(row[1], WEFT_SECONDS(3600), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_in_vain(promised, MS);
        assert_in_vain(mirror, MS);
        assert_in_vain(sleep, MS);
        assert_int_equal(naps_left(executor), 2);
    }
    assert_in_vain(row[1], MS);
    assert_int_equal(naps_left(executor), 1);
    assert_in_vain(mirrored, MS);
    assert_int_equal(naps_left(executor), 0);
    assert_in_vain(row[1], MS);
    assert_int_equal(naps_left(executor), 0);
    end_row(row, gate);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    weft_cancel(sleep);
    weft_future_release(sleep);
    weft_future_release(mirrored);
    weft_future_release(mirror);
    weft_future_release(promised);
    weft_promise_destroy(promise);
    test_destroy(executor);
}

/* What a thread submits elsewhere is no part of its row, and the row does not make it nap elsewhere. */
static void test_a_row_is_one_executors(void **state)
{
    weft_executor *executor = test_executor(1), *other = test_executor(1);
    weft_future *row[ROW];
    test_gate *gate = test_gate_make(), *other_gate = test_gate_make();
    (void)state;
    begin_row(executor, row, gate);
    weft_future *elsewhere = weft_submit(other, test_gate_job, other_gate);
    assert_true(test_gate_await(other_gate, 1));
    for (unsigned i = 0; i < 3; i++) {
        assert_in_vain(row[1], MS);
        assert_in_vain(elsewhere, MS);
        assert_int_equal(naps_left(other), 0);
    }
    weft_future *one_more = weft_submit(executor, test_job_return_arg, NULL);
    assert_int_equal(naps_left(executor), 2); /* untouched */
    assert_in_vain(one_more, MS);
    assert_int_equal(naps_left(executor), 0); /* one job is no row */
    test_gate_open(other_gate);
    assert_int_equal(weft_await(elsewhere, NULL), 0);
    end_row(row, gate);
    assert_int_equal(weft_await(one_more, NULL), 0);
    test_destroy(other);
    test_destroy(executor);
}

/* ---- who spins ---- */

/* How many levels a wait in vain for a promise costs this thread. */
static unsigned levels_lost(weft_future *future)
{
    weft__self.spin = (weft__spin){.level = WEFT__SPIN_TOP};
    assert_in_vain(future, MS);
    return WEFT__SPIN_TOP - weft__self.spin.level;
}

static void test_spins_only_where_a_cpu_may_be_idle(void **state)
{
    const unsigned workers[] = {1, weft__cpus_allowed(), 64};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        weft_executor *executor = test_executor(workers[i]);
        weft_promise *promise = weft_promise_create(executor);
        weft_future *future = weft_promise_future(promise);
        assert_int_equal(executor->cpu_to_spare, executor->may_spin && workers[i] < workers[1]);
        test_gate *gate = test_block(executor, workers[i]);
        assert_int_equal(levels_lost(future), executor->cpu_to_spare ? 1 : 0);
        test_unblock(gate);
        while (!weft__somebody_sleeps(executor)) {
            test_pause(20000);
        }
        assert_int_equal(levels_lost(future), executor->may_spin ? 1 : 0);
        weft_future_release(future);
        weft_promise_destroy(promise);
        test_destroy(executor);
    }
}

/* A short time limit is no sign that spinning would have paid. */
static void *poll_with_short_limits(void *future)
{
    TEST_EXPECT(prctl(PR_SET_TIMERSLACK, 1UL) == 0); /* ns: else no sleep is short */
    for (unsigned i = 0; i < 200; i++) {
        TEST_EXPECT(weft_future_wait(future, 5000) == -ETIMEDOUT);
        TEST_EXPECT(weft__self.spin.level == 0);
    }
    return NULL;
}

static void test_short_limits_teach_nothing(void **state)
{
    weft_executor *executor = test_executor(0);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    (void)state;
    test_join(test_spawn(poll_with_short_limits, future));
    weft_future_release(future);
    weft_promise_destroy(promise);
    test_destroy(executor);
}

/* ---- long waits ---- */

typedef struct long_wait {
    weft_executor *executor; /* by the test, as all of it */
    weft_future *future;
    test_latch *waiting;
    int64_t timeout;
    int expected;
} long_wait;

static void *wait_long(void *argument)
{
    const long_wait *w = argument;
    weft_future *row[ROW];
    for (size_t i = 0; i < ROW; i++) {
        row[i] = weft_submit(w->executor, test_job_return_arg, NULL);
    }
    for (size_t i = ROW; i-- > 0;) {
        TEST_EXPECT(weft_await(row[i], NULL) == 0);
    }
    test_latch_hit(w->waiting);
    TEST_EXPECT(weft_future_wait(w->future, w->timeout) == w->expected);
    return NULL;
}

static int64_t cpu_time(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * WEFT_SECONDS(1) + time.tv_nsec;
}

/* Many threads that were in a row wait for one job and for jobs of their own, half of them with a limit. */
static void test_long_waits_use_no_cpu(void **state)
{
    enum { THREADS = 16 };
    weft_executor *executor = test_executor(0);
    test_latch *waiting = test_latch_make();
    test_gate *gate = test_gate_make();
    weft_future *futures[THREADS];
    long_wait waits[THREADS];
    pthread_t threads[THREADS];
    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        weft_submit_options later = {.delay = WEFT_MILLISECONDS(200)};
        futures[i] = i % 2 ? weft_future_retain(futures[0]) : weft_submit_with(executor, test_gate_job, gate, &later);
        assert_non_null(futures[i]);
        bool patient = i >= THREADS / 2;
        waits[i] = (long_wait){executor, futures[i], waiting, patient ? WEFT_FOREVER : WEFT_MILLISECONDS(600),
                               patient ? 0 : -ETIMEDOUT};
        threads[i] = test_spawn(wait_long, &waits[i]);
    }
    assert_true(test_latch_wait(waiting, THREADS));
    assert_true(test_gate_await(gate, 1));
    test_pause(WEFT_MILLISECONDS(20));
    int64_t before = cpu_time();
    test_pause(WEFT_MILLISECONDS(300));
    int64_t used = cpu_time() - before;
    assert_true(TEST_TSAN || used < WEFT_MILLISECONDS(15));
    for (size_t i = 0; i < THREADS; i++) {
        if (i == THREADS / 2) {
            test_gate_open(gate);
        }
        test_join(threads[i]);
        weft_future_release(futures[i]);
    }
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_after_the_other_before_a_long_job),
        TEST(test_one_after_the_other_with_time_limits),
        TEST(test_rows_of_several_threads),
        TEST(test_a_worker_without_work_ends_every_nap),
        TEST(test_a_worker_that_may_not_search_ends_every_nap),
        TEST(test_a_ring_before_the_nap_counts),
        TEST(test_naps_are_for_jobs_and_their_mirrors),
        TEST(test_a_row_is_one_executors),
        TEST(test_spins_only_where_a_cpu_may_be_idle),
        TEST(test_short_limits_teach_nothing),
        TEST(test_long_waits_use_no_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
