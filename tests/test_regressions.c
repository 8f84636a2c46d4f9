/* test_regressions.c: defects that review found in waits, combinations and shutdown, each with the case that would
 * show it again. Those that take two threads to meet by chance are in test_regressions_threads.c.
 *
 * Discipline. As in fixtures.h. What a job needs lies in a struct on the test's stack; the test waits for every job
 * that uses it. Jobs that could hang in a broken library give up after test_patience. */
#define _GNU_SOURCE
#include "fixtures.h"

/* A chain is long enough to exhaust a stack if each link takes a frame; sanitizers make it slow. */
enum { LINKS = TEST_TSAN || TEST_ASAN ? 20000 : 200000 };

/* Until the calling job is asked to stop. */
static bool await_request(void)
{
    int64_t deadline = weft_now() + test_patience();
    while (!weft_cancelled() && weft_now() < deadline) {
        test_pause(20000);
    }
    return weft_cancelled();
}

typedef struct scene {
    weft_executor *executor;     /* by the test before submit */
    test_gate *gate;             /* the same */
    test_gate *second_gate;      /* the same */
    test_latch *latch;           /* the same */
    weft_promise *promise;       /* the same */
    weft_future *pending;        /* the same: the promise's */
    weft_future *_Atomic future; /* by the test or a job, for another job */
    weft_wait_mode mode;         /* by the test before submit */
    bool gathered;               /* the same */
    int code;                    /* by the job before it ends: what its wait answered */
    _Atomic(unsigned) count;     /* by jobs */
} scene;

static weft_future *job(scene *s, weft_fn *fn)
{
    weft_future *future = weft_submit(s->executor, fn, s);
    assert_non_null(future);
    return future;
}

static weft_future *handed(scene *s)
{
    weft_future *future;
    int64_t deadline = weft_now() + test_patience();
    while ((future = atomic_load_explicit(&s->future, memory_order_acquire)) == NULL && weft_now() < deadline) {
        test_pause(20000);
    }
    TEST_EXPECT(future != NULL);
    return future;
}

static void hand(scene *s, weft_future *future)
{
    atomic_store_explicit(&s->future, future, memory_order_release);
}

static void promise_in(scene *s)
{
    s->promise = weft_promise_create(s->executor);
    s->pending = weft_promise_future(s->promise);
    assert_non_null(s->pending);
}

static void promise_out(scene *s)
{
    weft_promise_destroy(s->promise);
    weft_future_release(s->pending);
}

/* Requests to stop. */

static void *until_asked(void *argument)
{
    (void)argument;
    return TEST_EXPECT(await_request()) ? weft_fail(-ECANCELED) : NULL;
}

static void *await_when_asked(void *argument)
{
    scene *s = argument;
    weft_future *child = weft_submit(s->executor, until_asked, NULL);
    test_latch_hit(s->latch);
    TEST_EXPECT(await_request());
    s->code = weft_await(child, NULL);
    return NULL;
}

static void test_wai_06_what_is_awaited_inline_sees_an_earlier_request(void **state)
{
    (void)state;
    scene s = {.executor = test_executor(1), .latch = test_latch_make()};
    weft_future *outer = job(&s, await_when_asked);
    assert_true(test_latch_wait(s.latch, 1));
    assert_int_equal(weft_cancel(outer), WEFT_CANCEL_REQUESTED);
    assert_done_soon(outer);
    assert_int_equal(s.code, -ECANCELED);
    weft_future_release(outer);
    test_destroy(s.executor);
}

enum { MANY = 50 };

/* The first waits for the request to be made; the others, whoever starts them, until the wait has answered it. */
static void *count_job(void *argument)
{
    scene *s = argument;
    unsigned before = atomic_fetch_add_explicit(&s->count, 1, memory_order_acq_rel);
    test_gate_pass(before == 0 ? s->gate : s->second_gate);
    return NULL;
}

static void *wait_for_many(void *argument)
{
    scene *s = argument;
    weft_future *futures[MANY];
    for (size_t i = 0; i < MANY; i++) {
        futures[i] = weft_submit(s->executor, count_job, s);
    }
    if (s->gathered) {
        weft_future *all = weft_gather(s->executor, futures, MANY, WEFT_SETTLED);
        s->code = weft_future_wait(all, WEFT_FOREVER);
        weft_future_release(all);
    } else {
        s->code = weft_wait(futures, MANY, WEFT_ALL_COMPLETED, WEFT_FOREVER, NULL);
    }
    TEST_EXPECT(test_get(s->count) <= 2);
    for (size_t i = 0; i < MANY; i++) {
        weft_future_release(futures[i]);
    }
    return NULL;
}

static void check_interrupted(bool gathered)
{
    scene s = {
        .executor = test_executor(1), .gate = test_gate_make(), .second_gate = test_gate_make(), .gathered = gathered};
    weft_future *outer = job(&s, wait_for_many);
    assert_true(test_gate_await(s.gate, 1));
    assert_int_equal(weft_cancel(outer), WEFT_CANCEL_REQUESTED);
    test_gate_open(s.gate);
    assert_done_soon(outer);
    test_gate_open(s.second_gate);
    assert_int_equal(s.code, -EINTR);
    weft_future_release(outer);
    test_destroy(s.executor);
    assert_int_equal(test_get(s.count), MANY);
}

static void test_wai_06_the_request_comes_between_the_inputs_of_a_gather(void **state)
{
    (void)state;
    check_interrupted(true);
}

static void test_wai_06_the_request_comes_between_many_futures(void **state)
{
    (void)state;
    check_interrupted(false);
}

/* Circles. */

static void *wait_for_own_deadline(void *argument)
{
    scene *s = argument;
    weft_future *timed = weft_wait_for(handed(s), 50 * MS, WEFT_NO_CANCEL);
    s->code = weft_await(timed, NULL);
    return NULL;
}

static void test_blk_04_a_deadline_over_the_own_future_is_no_circle(void **state)
{
    (void)state;
    scene s = {.executor = test_executor(1)};
    weft_future *future = job(&s, wait_for_own_deadline);
    hand(&s, future);
    assert_done_soon(future);
    assert_int_equal(s.code, -ETIMEDOUT);
    weft_future_release(future);
    test_destroy(s.executor);
}

static void *wait_for_the_canceller(void *argument)
{
    scene *s = argument;
    test_latch_hit(s->latch);
    int code = weft_future_wait(handed(s), WEFT_FOREVER);
    TEST_EXPECT(code == 0 || code == -EINTR);
    return NULL;
}

static void *cancel_and_wait(void *argument)
{
    scene *s = argument;
    handed(s);
    weft_future *other = weft_submit(s->executor, wait_for_the_canceller, s);
    test_latch_wait(s->latch, 1);
    test_pause(2 * MS); /* so that it blocks */
    weft_cancel(other);
    s->code = weft_future_wait(other, WEFT_FOREVER);
    weft_future_release(other);
    return NULL;
}

static void test_blk_04_a_cancelled_waiter_is_no_circle(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    for (unsigned round = 0; round < 50; round++) {
        scene s = {.executor = executor, .latch = test_latch_make()};
        weft_future *future = job(&s, cancel_and_wait);
        hand(&s, future);
        assert_done_soon(future);
        assert_int_equal(s.code, 0);
        weft_future_release(future);
    }
    test_destroy(executor);
}

/* Waits for one of two must not get caught inside the other. */

static void *slow_job(void *argument)
{
    scene *s = argument;
    int code = weft_future_wait(s->pending, WEFT_FOREVER);
    TEST_EXPECT(code == 0);
    return NULL;
}

static void *fast_job(void *argument)
{
    scene *s = argument;
    test_latch_hit(s->latch);
    test_pause(30 * MS);
    return weft_fail(7);
}

static void *first_of_two(void *argument)
{
    scene *s = argument;
    weft_future *futures[2] = {weft_submit(s->executor, fast_job, s), NULL};
    if (weft_executor_workers(s->executor) > 1) {
        test_latch_wait(s->latch, 1);
    }
    futures[1] = weft_submit(s->executor, slow_job, s);
    if (s->gathered) {
        weft_future *both = weft_gather(s->executor, futures, 2, WEFT_FIRST_ERROR);
        s->code = weft_future_get(both, NULL);
        weft_future_release(both);
    } else {
        s->code = weft_wait(futures, 2, s->mode, WEFT_FOREVER, NULL);
    }
    TEST_EXPECT(weft_promise_resolve(s->promise, NULL, NULL) == 0);
    TEST_EXPECT(weft_await(futures[0], NULL) == 7);
    TEST_EXPECT(weft_await(futures[1], NULL) == 0);
    return NULL;
}

static void check_first_of_two(bool gathered, weft_wait_mode mode, int code)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        scene s = {.executor = test_executor(workers), .latch = test_latch_make(), .gathered = gathered, .mode = mode};
        promise_in(&s);
        weft_future *future = job(&s, first_of_two);
        assert_done_soon(future);
        assert_int_equal(s.code, code);
        weft_future_release(future);
        promise_out(&s);
        test_destroy(s.executor);
    }
}

static void test_wai_02_the_first_of_two_in_a_worker(void **state)
{
    (void)state;
    check_first_of_two(false, WEFT_FIRST_COMPLETED, 0);
}

static void test_wai_03_the_first_failure_in_a_worker(void **state)
{
    (void)state;
    check_first_of_two(false, WEFT_FIRST_EXCEPTION, 0);
}

static void test_gat_03_the_first_failure_in_a_worker(void **state)
{
    (void)state;
    check_first_of_two(true, WEFT_FIRST_COMPLETED, 7);
}

static void *get_other(void *argument)
{
    scene *s = argument;
    test_latch_hit(s->latch);
    s->code = weft_future_get(s->pending, NULL);
    return NULL;
}

static void check_delayed_for_ever(weft_shutdown_mode mode, bool awaited)
{
    scene s = {.executor = test_executor(1), .latch = test_latch_make()};
    test_cell *cell = cell_make(NULL, 0);
    const weft_submit_options options = {.delay = WEFT_FOREVER, .free_arg = test_cell_free_arg};
    s.pending = weft_submit_with(s.executor, test_cell_run, cell, &options);
    weft_future *waiter = awaited ? job(&s, get_other) : NULL;
    if (awaited) {
        assert_true(test_latch_wait(s.latch, 1));
        test_pause(20 * MS); /* so that it blocks */
    }
    assert_int_equal(weft_executor_shutdown(s.executor, mode, test_patience()), 0);
    assert_cancelled(s.pending, WEFT_REASON_SHUTDOWN);
    assert_int_equal(test_get(cell->ran), 0);
    assert_int_equal(test_get(cell->arg_freed), 1);
    if (awaited) {
        assert_true(s.code == -ECANCELED || (s.code == -EINTR && mode == WEFT_CANCEL_ALL));
        weft_future_release(waiter);
    }
    weft_future_release(s.pending);
    test_destroy(s.executor);
}

static void test_shd_11_a_job_delayed_for_ever_is_cancelled(void **state)
{
    (void)state;
    check_delayed_for_ever(WEFT_DRAIN, false);
    check_delayed_for_ever(WEFT_CANCEL_PENDING, false);
    check_delayed_for_ever(WEFT_CANCEL_ALL, false);
}

static void test_shd_11_a_worker_that_waits_for_it_does_not_run_it(void **state)
{
    (void)state;
    check_delayed_for_ever(WEFT_DRAIN, true);
    check_delayed_for_ever(WEFT_CANCEL_PENDING, true);
    check_delayed_for_ever(WEFT_CANCEL_ALL, true);
}

static void test_shd_11_the_first_reason_stays(void **state)
{
    (void)state;
    scene s = {.executor = test_executor(1)};
    promise_in(&s);
    weft_future *joined = weft_wait_for(s.pending, WEFT_FOREVER, WEFT_JOIN | WEFT_NO_CANCEL);
    weft_future *timed = weft_wait_for(joined, 10 * MS, 0);
    assert_int_equal(weft_await(timed, NULL), -ETIMEDOUT);
    assert_int_equal(weft_executor_shutdown(s.executor, WEFT_DRAIN, test_patience()), 0);
    assert_cancelled(joined, WEFT_REASON_TIMEOUT);
    assert_cancelled(s.pending, WEFT_REASON_SHUTDOWN);
    weft_future_release(joined);
    promise_out(&s);
    test_destroy(s.executor);
}

static test_cell *inline_cell;

static void *await_the_cell(void *argument)
{
    scene *s = argument;
    weft_future *child = weft_submit(s->executor, test_cell_run, inline_cell);
    s->code = weft_await(child, NULL);
    return NULL;
}

static void test_shd_03_cancel_pending_leaves_an_inline_job_alone(void **state)
{
    (void)state;
    scene s = {.executor = test_executor(1), .gate = test_gate_make()};
    inline_cell = cell_make(s.gate, 0);
    weft_future *outer = job(&s, await_the_cell);
    assert_true(test_gate_await(s.gate, 1));
    weft_future *queued = weft_submit(s.executor, test_job_return_arg, NULL);
    assert_int_equal(weft_executor_shutdown(s.executor, WEFT_CANCEL_PENDING, 0), -ETIMEDOUT);
    test_pause(30 * MS); /* for what should not come */
    test_gate_open(s.gate);
    assert_int_equal(weft_executor_shutdown(s.executor, WEFT_CANCEL_PENDING, test_patience()), 0);
    assert_cancelled(queued, WEFT_REASON_SHUTDOWN);
    assert_false(test_get(inline_cell->saw_cancel));
    assert_int_equal(s.code, 0);
    assert_ok(outer, NULL);
    weft_future_release(queued);
    weft_future_release(outer);
    test_destroy(s.executor);
}

static void test_shd_11_gathers_of_the_same_twice_are_left_in_time(void **state)
{
    (void)state;
    scene s = {.executor = test_executor(1)};
    promise_in(&s);
    weft_future *top = weft_future_retain(s.pending);
    for (unsigned depth = 0; depth < 24; depth++) {
        weft_future *twice[2] = {top, top};
        weft_future *above = gather(s.executor, twice, 2, WEFT_SETTLED);
        weft_future_release(top);
        top = above;
    }
    int64_t begin = weft_now();
    assert_int_equal(weft_executor_shutdown(s.executor, WEFT_DRAIN, test_patience()), 0);
    assert_true(weft_now() - begin < WEFT_SECONDS(1));
    assert_true(weft_future_done(top));
    weft_future_release(top);
    promise_out(&s);
    test_destroy(s.executor);
}

static weft_future *chain_make(scene *s, weft_gather_mode mode)
{
    promise_in(s);
    weft_future *top = weft_future_retain(s->pending);
    for (unsigned i = 0; i < LINKS; i++) {
        weft_future *above = weft_gather(s->executor, &top, 1, mode);
        if (above == NULL) {
            fail_msg("link %u: %s", i, strerror(errno));
        }
        weft_future_release(top);
        top = above;
    }
    return top;
}

static void chain_end(scene *s, weft_future *top)
{
    weft_future_release(top);
    promise_out(s);
    test_destroy(s->executor);
}

static void test_gat_04_a_long_chain_settles(void **state)
{
    (void)state;
    scene s = {.executor = test_executor(1)};
    weft_future *top = chain_make(&s, WEFT_SETTLED);
    assert_int_equal(weft_promise_resolve(s.promise, NULL, NULL), 0);
    assert_done_soon(top);
    assert_ok(top, NULL);
    chain_end(&s, top);
}

static void test_gat_03_a_long_chain_fails(void **state)
{
    (void)state;
    scene s = {.executor = test_executor(1)};
    weft_future *top = chain_make(&s, WEFT_FIRST_ERROR);
    assert_int_equal(weft_promise_reject(s.promise, 5), 0);
    assert_done_soon(top);
    assert_err(top, 5);
    chain_end(&s, top);
}

static void test_gat_12_a_long_chain_is_dropped(void **state)
{
    (void)state;
    scene s = {.executor = test_executor(1)};
    weft_future *top = chain_make(&s, WEFT_SETTLED);
    weft_future_release(top);
    assert_int_equal(weft_promise_resolve(s.promise, NULL, NULL), 0);
    promise_out(&s);
    test_destroy(s.executor);
}

static void *wait_handed(void *argument)
{
    scene *s = argument;
    weft_future *future = handed(s);
    test_latch_hit(s->latch);
    s->code = weft_future_wait(future, WEFT_FOREVER);
    return NULL;
}

static void test_gat_04_a_worker_waits_for_a_long_chain(void **state)
{
    (void)state;
    scene s = {.executor = test_executor(1), .latch = test_latch_make()};
    weft_future *top = chain_make(&s, WEFT_SETTLED);
    hand(&s, top);
    weft_future *waiter = job(&s, wait_handed);
    assert_true(test_latch_wait(s.latch, 1));
    test_pause(20 * MS); /* so that it blocks */
    assert_int_equal(weft_promise_resolve(s.promise, NULL, NULL), 0);
    assert_done_soon(waiter);
    assert_int_equal(s.code, 0);
    weft_future_release(waiter);
    chain_end(&s, top);
}

/* Dropped wrappers. A wait_for whose input is done lets go of it, although all deadlines are hours away. */

static _Atomic(unsigned) freed;

static void count_freed(void *value)
{
    (void)value;
    atomic_fetch_add_explicit(&freed, 1, memory_order_acq_rel);
}

static void test_wfo_13_values_go_although_no_timer_is_due(void **state)
{
    (void)state;
    const unsigned jobs = 100;
    weft_executor *executor = test_executor(1);
    weft_future *sleep = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
    test_pause(20 * MS); /* so that the coordinator sleeps until then */
    atomic_store_explicit(&freed, 0, memory_order_relaxed);
    for (unsigned i = 0; i < jobs; i++) {
        const weft_submit_options options = {.free_value = count_freed};
        weft_future *future = weft_submit_with(executor, test_job_return_arg, executor, &options);
        weft_future *timed = weft_wait_for(future, WEFT_SECONDS(7200), 0);
        assert_int_equal(weft_future_wait(timed, test_patience()), 0);
        weft_future_release(timed);
        weft_future_release(future);
    }
    /* weft_counters_read would wake the coordinator, so nothing here may call it. */
    int64_t deadline = weft_now() + WEFT_SECONDS(2);
    while (test_get(freed) < jobs && weft_now() < deadline) {
        test_pause(MS);
    }
    assert_int_equal(test_get(freed), jobs);
    weft_future_release(sleep);
    test_destroy(executor);
}

/* Jobs that block and come back. */

static test_log *starts;

typedef struct numbered {
    scene *scene; /* by the test before submit */
    int number;   /* the same */
} numbered;

static void *numbered_job(void *argument)
{
    const numbered *n = argument;
    test_note(starts, n->number);
    if (n->number == 1) {
        n->scene->code = weft_future_wait(n->scene->pending, WEFT_FOREVER);
    } else if (n->number == 2) {
        TEST_EXPECT(weft_promise_resolve(n->scene->promise, NULL, NULL) == 0);
        test_pause(50 * MS); /* so that the first goes on while this one has its place */
    }
    return NULL;
}

static void test_exe_07_the_order_survives_a_job_that_blocks(void **state)
{
    (void)state;
    enum { JOBS = 100 };
    numbered jobs[JOBS];
    weft_future *futures[JOBS];
    scene s = {.executor = test_executor(1)};
    starts = test_log_make();
    promise_in(&s);
    test_gate *gate = test_block(s.executor, 1);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (numbered){&s, i + 1};
        futures[i] = weft_submit(s.executor, numbered_job, &jobs[i]);
        assert_non_null(futures[i]);
    }
    test_unblock(gate);
    for (int i = 0; i < JOBS; i++) {
        assert_done_soon(futures[i]);
        weft_future_release(futures[i]);
    }
    assert_int_equal(test_log_size(starts), JOBS);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(test_log_at(starts, (size_t)i), i + 1);
    }
    promise_out(&s);
    test_destroy(s.executor);
}

int main(void)
{
    const struct CMUnitTest regressions[] = {
        TEST(test_wai_06_what_is_awaited_inline_sees_an_earlier_request),
        TEST(test_wai_06_the_request_comes_between_the_inputs_of_a_gather),
        TEST(test_wai_06_the_request_comes_between_many_futures),
        TEST(test_blk_04_a_deadline_over_the_own_future_is_no_circle),
        TEST(test_blk_04_a_cancelled_waiter_is_no_circle),
        TEST(test_wai_02_the_first_of_two_in_a_worker),
        TEST(test_wai_03_the_first_failure_in_a_worker),
        TEST(test_gat_03_the_first_failure_in_a_worker),
        TEST(test_shd_11_a_job_delayed_for_ever_is_cancelled),
        TEST(test_shd_11_a_worker_that_waits_for_it_does_not_run_it),
        TEST(test_shd_11_the_first_reason_stays),
        TEST(test_shd_03_cancel_pending_leaves_an_inline_job_alone),
        TEST(test_shd_11_gathers_of_the_same_twice_are_left_in_time),
        TEST(test_gat_04_a_long_chain_settles),
        TEST(test_gat_03_a_long_chain_fails),
        TEST(test_gat_12_a_long_chain_is_dropped),
        TEST(test_gat_04_a_worker_waits_for_a_long_chain),
        TEST(test_wfo_13_values_go_although_no_timer_is_due),
        TEST(test_exe_07_the_order_survives_a_job_that_blocks),
    };
    return cmocka_run_group_tests(regressions, NULL, NULL);
}
