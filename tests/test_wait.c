/* test_wait.c: section 8, weft_wait (WAI), and the waits of jobs that are asked to stop (WAI-06 and 0.4, "Waits and
 * stopping").
 *
 * Discipline. A blocked wait runs in a thread or a job of its own; the test makes it end by resolving promises, never
 * by time. The cases of waits on the coordinator (I12) and of deadlocks stand in test_blocking.c. */
#include "fixtures.h"

typedef struct waiter {
    weft_future *const *futures; /* by the test before the thread starts, down to timeout */
    size_t n;
    weft_wait_mode mode;
    int64_t timeout;
    test_latch *begun;
    int result;      /* by the thread; read after the join */
    bool done[MOST]; /* the same */
    pthread_t thread;
} waiter;

static void *waiter_body(void *argument)
{
    waiter *self = argument;
    test_latch_hit(self->begun);
    self->result = weft_wait(self->futures, self->n, self->mode, self->timeout, self->done);
    return NULL;
}

static void waiter_start(waiter *self, weft_future *const futures[], size_t n, weft_wait_mode mode)
{
    memset(self, 0, sizeof *self);
    self->futures = futures;
    self->n = n;
    self->mode = mode;
    self->timeout = mode == WEFT_FIRST_EXCEPTION ? test_patience() : WEFT_FOREVER;
    self->begun = test_latch_make();
    self->thread = test_spawn(waiter_body, self);
    assert_true(test_latch_wait(self->begun, 1));
    test_pause(2 * MS);
}

/* Joins and compares the result and the done flags, written as a string of '1' and '0'. */
static void waiter_ends(waiter *self, int result, const char *done)
{
    test_join(self->thread);
    assert_int_equal(self->result, result);
    for (size_t i = 0; i < self->n; i++) {
        assert_int_equal(self->done[i], done[i] == '1');
    }
}

/* A future of each kind of outcome; the promises that they came from are gone. */
static weft_future *ended(weft_executor *executor, weft_state outcome)
{
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    if (outcome == WEFT_TIMED_OUT) {
        weft_future *timed = weft_wait_for(future, 0, 0);
        weft_future_release(future);
        future = timed;
    } else if (outcome == WEFT_CANCELLED) {
        assert_int_equal(weft_cancel(future), WEFT_CANCEL_DONE);
    } else if (outcome == WEFT_FAILED) {
        assert_int_equal(weft_promise_reject(promise, 4), 0);
    } else {
        assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    }
    assert_done_soon(future);
    assert_int_equal(weft_future_state(future), outcome);
    weft_promise_destroy(promise);
    return future;
}

static void test_wai_01_all_of_any_outcome(void **state)
{
    (void)state;
    static waiter all;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 4);
    waiter_start(&all, in.future, 4, WEFT_ALL_COMPLETED);
    weft_promise_resolve(in.promise[2], NULL, NULL);
    weft_promise_reject(in.promise[0], 7);
    assert_int_equal(weft_cancel(in.future[3]), WEFT_CANCEL_DONE);
    bool done[] = {false, true, false, false};
    assert_int_equal(weft_wait(in.future, 4, WEFT_ALL_COMPLETED, 0, done), -ETIMEDOUT);
    assert_true(done[0] && !done[1] && done[2] && done[3]);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    waiter_ends(&all, 0, "1111");
    assert_int_equal(weft_wait(in.future, 4, WEFT_ALL_COMPLETED, WEFT_FOREVER, done), 0);
    assert_true(done[0] && done[1] && done[2] && done[3]);
    assert_err(in.future[0], 7);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_wai_01_all_over_jobs(void **state)
{
    (void)state;
    static waiter all;
    weft_executor *executor = test_executor(2);
    test_gate *gate = test_gate_make();
    weft_future *futures[] = {weft_submit(executor, test_job_fail_7, NULL), weft_submit(executor, test_gate_job, gate),
                              weft_submit(executor, test_job_cancel_self, NULL)};
    waiter_start(&all, futures, 3, WEFT_ALL_COMPLETED);
    test_gate_open(gate);
    waiter_ends(&all, 0, "111");
    assert_err(futures[0], 7);
    assert_ok(futures[1], gate);
    assert_cancelled(futures[2], WEFT_REASON_SELF);
    for (unsigned i = 0; i < 3; i++) {
        weft_future_release(futures[i]);
    }
    test_destroy(executor);
}

static void test_wai_02_first_of_any_outcome(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        static waiter first;
        weft_executor *executor = test_executor(0);
        inputs in = inputs_make(executor, 3);
        waiter_start(&first, in.future, 3, WEFT_FIRST_COMPLETED);
        if (how == 0) {
            weft_promise_resolve(in.promise[1], NULL, NULL);
        } else if (how == 1) {
            weft_promise_reject(in.promise[1], 7);
        } else {
            weft_cancel(in.future[1]);
        }
        waiter_ends(&first, 0, "010");
        inputs_free(&in);
        test_destroy(executor);
    }
}

static void test_wai_02_first_was_there_before(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 1);
    for (weft_state outcome = WEFT_SUCCEEDED; outcome <= WEFT_TIMED_OUT; outcome++) {
        weft_future *futures[] = {in.future[0], ended(executor, outcome)};
        bool done[] = {true, false};
        assert_int_equal(weft_wait(futures, 2, WEFT_FIRST_COMPLETED, WEFT_FOREVER, done), 0);
        assert_true(!done[0] && done[1]);
        done[1] = false;
        assert_int_equal(weft_wait(futures, 2, WEFT_FIRST_COMPLETED, 0, done), 0);
        assert_true(!done[0] && done[1]);
        weft_future_release(futures[1]);
    }
    inputs_free(&in);
    test_destroy(executor);
}

static void test_wai_03_cancelled_does_not_end_it_but_an_error_does(void **state)
{
    (void)state;
    static waiter first;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 4);
    waiter_start(&first, in.future, 4, WEFT_FIRST_EXCEPTION);
    assert_int_equal(weft_cancel(in.future[0]), WEFT_CANCEL_DONE);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    flush(executor);
    bool done[] = {false, false, true, true};
    assert_int_equal(weft_wait(in.future, 4, WEFT_FIRST_EXCEPTION, 5 * MS, done), -ETIMEDOUT);
    assert_true(done[0] && done[1] && !done[2] && !done[3]);
    weft_promise_reject(in.promise[3], 7);
    waiter_ends(&first, 0, "1101");
    inputs_free(&in);
    test_destroy(executor);
}

static void test_wai_03_timed_out_ends_it(void **state)
{
    (void)state;
    static waiter first;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {in.future[0], weft_wait_for(in.future[1], 10 * MS, 0)};
    waiter_start(&first, futures, 2, WEFT_FIRST_EXCEPTION);
    weft_manual_clock_advance(clock, 20 * MS);
    waiter_ends(&first, 0, "01");
    assert_timed_out(futures[1]);
    weft_future_release(futures[1]);
    inputs_free(&in);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_wai_03_without_an_error_waits_for_all(void **state)
{
    (void)state;
    static waiter first;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 3);
    waiter_start(&first, in.future, 3, WEFT_FIRST_EXCEPTION);
    weft_promise_resolve(in.promise[2], NULL, NULL);
    weft_cancel(in.future[0]);
    bool done[3];
    assert_int_equal(weft_wait(in.future, 3, WEFT_FIRST_EXCEPTION, 0, done), -ETIMEDOUT);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    waiter_ends(&first, 0, "111");
    inputs_free(&in);
    test_destroy(executor);
}

static void test_wai_03_error_was_there_before(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 1);
    for (weft_state outcome = WEFT_SUCCEEDED; outcome <= WEFT_TIMED_OUT; outcome++) {
        weft_future *futures[] = {in.future[0], ended(executor, outcome)};
        bool done[] = {true, false};
        bool counts = outcome == WEFT_FAILED || outcome == WEFT_TIMED_OUT;
        assert_int_equal(weft_wait(futures, 2, WEFT_FIRST_EXCEPTION, 0, done), counts ? 0 : -ETIMEDOUT);
        assert_true(!done[0] && done[1]);
        weft_future_release(futures[1]);
    }
    inputs_free(&in);
    test_destroy(executor);
}

static void test_wai_04_timeout_leaves_everything_alone(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *cell = cell_make(gate, 0);
    weft_future *futures[] = {submit(executor, cell), weft_submit(executor, test_job_return_arg, NULL),
                              ended(executor, WEFT_SUCCEEDED)};
    assert_true(test_gate_await(gate, 1));
    weft_counters before = test_counters();
    for (unsigned i = 0; i < 4; i++) {
        const int64_t timeouts[] = {30 * MS, 0, -1, INT64_MIN};
        bool done[] = {true, true, false};
        int64_t start = weft_now();
        assert_int_equal(weft_wait(futures, 3, WEFT_ALL_COMPLETED, timeouts[i], done), -ETIMEDOUT);
        int64_t took = weft_now() - start;
        assert_true(took >= (i == 0 ? timeouts[0] : 0));
        assert_true(took <= (i == 0 ? timeouts[0] : 0) + 250 * MS);
        assert_true(!done[0] && !done[1] && done[2]);
    }
    weft_counters after = test_counters();
    assert_int_equal(after.futures, before.futures);
    assert_int_equal(after.timers, before.timers);
    assert_int_equal(after.callbacks, before.callbacks);
    assert_int_equal(weft_future_state(futures[0]), WEFT_RUNNING);
    assert_int_equal(weft_future_state(futures[1]), WEFT_PENDING);
    test_gate_open(gate);
    assert_done_soon(futures[0]);
    assert_false(test_get(cell->saw_cancel));
    void *value = NULL;
    assert_int_equal(weft_await(futures[0], &value), 0);
    assert_ptr_equal(value, cell);
    weft_future_release(futures[1]);
    weft_future_release(futures[2]);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 0);
}

static void test_wai_05_duplicates_count_once(void **state)
{
    (void)state;
    static waiter all;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {in.future[0], in.future[1], in.future[0], in.future[0]};
    waiter_start(&all, futures, 4, WEFT_ALL_COMPLETED);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    bool done[4] = {false};
    assert_int_equal(weft_wait(futures, 4, WEFT_ALL_COMPLETED, 2 * MS, done), -ETIMEDOUT);
    assert_true(done[0] && !done[1] && done[2] && done[3]);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    waiter_ends(&all, 0, "1111");
    inputs_free(&in);
    test_destroy(executor);
}

static void test_wai_05_empty_and_bad_arguments(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {in.future[0], NULL};
    bool done[2] = {false};
    for (int mode = WEFT_FIRST_COMPLETED; mode <= WEFT_ALL_COMPLETED; mode++) {
        assert_int_equal(weft_wait(futures, 0, (weft_wait_mode)mode, WEFT_FOREVER, done), 0);
        assert_int_equal(weft_wait(futures, 0, (weft_wait_mode)mode, 0, done), 0);
        assert_int_equal(weft_wait(futures, 2, (weft_wait_mode)mode, 0, done), -EINVAL);
    }
    assert_int_equal(weft_wait(in.future, 2, (weft_wait_mode)77, 0, done), -EINVAL);
    assert_int_equal(weft_wait(in.future, 2, (weft_wait_mode)77, WEFT_FOREVER, done), -EINVAL);
    inputs_free(&in);
    test_destroy(executor);
}

/* WAI-06. A job that waits in one of these ways. */
enum { BY_WAIT, BY_TIMED_WAIT, BY_GET, BY_TAKE, BY_WEFT_WAIT, INTERRUPTIBLE, BY_AWAIT = INTERRUPTIBLE };

typedef struct waiting_job {
    int kind;
    weft_future *future; /* what it waits for; lent, or the job's own for BY_AWAIT */
    test_gate *begin;    /* NULL, or what it passes before it waits */
    test_latch *started;
    void *value; /* by the job before it returns, and so are the rest */
    int result;
    bool asked;
} waiting_job;

static int wait_by_kind(int kind, weft_future *future, void **value)
{
    bool done[1];
    switch (kind) {
    case BY_WAIT:
        return weft_future_wait(future, WEFT_FOREVER);
    case BY_TIMED_WAIT:
        return weft_future_wait(future, test_patience());
    case BY_GET:
        return weft_future_get(future, value);
    case BY_TAKE:
        return weft_future_take(future, value);
    case BY_WEFT_WAIT:
        return weft_wait(&future, 1, WEFT_ALL_COMPLETED, WEFT_FOREVER, done);
    default:
        return weft_await(future, value);
    }
}

static void *waiting_job_run(void *argument)
{
    waiting_job *self = argument;
    test_latch_hit(self->started);
    if (self->begin != NULL) {
        test_gate_pass(self->begin);
    }
    self->result = wait_by_kind(self->kind, self->future, &self->value);
    self->asked = weft_cancelled();
    return NULL;
}

static weft_future *waiting_job_start(weft_executor *executor, waiting_job *job, int kind, weft_future *future)
{
    *job = (waiting_job){.kind = kind, .future = future, .started = test_latch_make()};
    weft_future *job_future = weft_submit(executor, waiting_job_run, job);
    assert_true(test_latch_wait(job->started, 1));
    test_pause(2 * MS);
    return job_future;
}

static void test_wai_06_blocked_waits_are_interrupted(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    for (int kind = BY_WAIT; kind < INTERRUPTIBLE; kind++) {
        static waiting_job job;
        weft_future *future = waiting_job_start(executor, &job, kind, in.future[0]);
        assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
        assert_done_soon(future);
        assert_int_equal(job.result, -EINTR);
        assert_true(job.asked);
        assert_ok(future, NULL);
        assert_int_equal(weft_future_state(in.future[0]), WEFT_PENDING);
        weft_future_release(future);
    }
    assert_int_equal(weft_promise_resolve(in.promise[0], NULL, NULL), 0);
    inputs_free(&in);
    test_destroy(executor);
}

/* Begun when the request is there already: -EINTR on a pending future, 0 on one that is DONE. */
static void test_wai_06_waits_begun_after_the_request(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    for (int kind = BY_WAIT; kind < 2 * INTERRUPTIBLE; kind++) {
        static waiting_job job;
        unsigned which = kind < INTERRUPTIBLE ? 0 : 1;
        if (which == 1 && kind % INTERRUPTIBLE == BY_TAKE) {
            continue;
        }
        job = (waiting_job){.kind = kind % INTERRUPTIBLE, .future = in.future[which], .started = test_latch_make()};
        job.begin = test_gate_make();
        weft_future *future = weft_submit(executor, waiting_job_run, &job);
        assert_true(test_gate_await(job.begin, 1));
        assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
        test_gate_open(job.begin);
        assert_done_soon(future);
        assert_int_equal(job.result, which == 0 ? -EINTR : 0);
        weft_future_release(future);
    }
    assert_int_equal(weft_future_state(in.future[0]), WEFT_PENDING);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_wai_06_await_passes_the_request_on(void **state)
{
    (void)state;
    static waiting_job job;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    weft_future *future = waiting_job_start(executor, &job, BY_AWAIT, weft_future_retain(in.future[0]));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    assert_done_soon(future);
    assert_int_equal(job.result, -ECANCELED);
    assert_int_equal(weft_future_state(in.future[0]), WEFT_CANCELLED);
    assert_ok(future, NULL);
    weft_future_release(future);
    inputs_free(&in);
    test_destroy(executor);
}

/* The awaited job runs on another worker, ignores the request and keeps its value. */
static void await_of_a_running_job(int code)
{
    static waiting_job job;
    static stubborn awaited;
    weft_executor *executor = test_executor(2);
    weft_future *inner = submit_stubborn(executor, &awaited, code);
    weft_future *future = waiting_job_start(executor, &job, BY_AWAIT, inner);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    assert_true(test_latch_wait(awaited.asked, 1));
    assert_false(weft_future_done(future));
    test_gate_open(awaited.cell->gate);
    assert_done_soon(future);
    assert_int_equal(test_get(awaited.cell->returned), 1);
    assert_int_equal(job.result, code);
    assert_ptr_equal(job.value, code == 0 ? awaited.cell : NULL);
    weft_future_release(future);
    test_destroy(executor);
}

static void test_wai_06_await_returns_what_the_awaited_job_makes_of_it(void **state)
{
    (void)state;
    await_of_a_running_job(0);
    await_of_a_running_job(9);
    await_of_a_running_job(-ECANCELED);
}

/* One worker: the awaited job may run inside the wait, or on a spare. */
typedef struct nested {
    int kind;
    test_latch *begun;   /* hit by the outer job */
    test_latch *started; /* hit by the inner job */
    test_gate *gate;     /* holds the inner job of an interruptible wait */
    int result;          /* by the outer job before it returns */
    bool inner_asked;    /* by the inner job before it returns */
    weft_future *inner;  /* by the outer job before it waits; the test's to release unless awaited */
} nested;

static void *nested_inner(void *argument)
{
    nested *self = argument;
    void *value = NULL;
    if (self->kind == BY_AWAIT) {
        value = test_job_until_cancelled(self->started);
    } else {
        test_latch_hit(self->started);
        test_gate_pass(self->gate);
    }
    self->inner_asked = weft_cancelled();
    return value;
}

static void *nested_outer(void *argument)
{
    nested *self = argument;
    void *value = NULL;
    test_latch_hit(self->begun);
    self->inner = weft_submit(weft_executor_current(), nested_inner, self);
    TEST_EXPECT(self->inner != NULL);
    self->result = wait_by_kind(self->kind, self->inner, &value);
    return NULL;
}

static void test_wai_06_waits_for_a_job_that_had_not_started(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (int kind = BY_WAIT; kind <= BY_AWAIT; kind++) {
        static nested job;
        job =
            (nested){.kind = kind, .begun = test_latch_make(), .started = test_latch_make(), .gate = test_gate_make()};
        weft_future *outer = weft_submit(executor, nested_outer, &job);
        assert_true(test_latch_wait(job.begun, 1));
        assert_true(kind == BY_TIMED_WAIT || test_latch_wait(job.started, 1));
        test_pause(2 * MS);
        assert_int_equal(weft_cancel(outer), WEFT_CANCEL_REQUESTED);
        if (kind == BY_AWAIT) {
            assert_done_soon(outer);
            assert_int_equal(job.result, -ECANCELED);
            assert_true(job.inner_asked);
        } else {
            test_gate_open(job.gate);
            assert_done_soon(outer);
            assert_true(job.result == -EINTR || job.result == 0);
            assert_done_soon(job.inner);
            assert_false(job.inner_asked);
            assert_int_equal(weft_future_state(job.inner), WEFT_SUCCEEDED);
            weft_future_release(job.inner);
        }
        weft_future_release(outer);
    }
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wai_01_all_of_any_outcome),
        TEST(test_wai_01_all_over_jobs),
        TEST(test_wai_02_first_of_any_outcome),
        TEST(test_wai_02_first_was_there_before),
        TEST(test_wai_03_cancelled_does_not_end_it_but_an_error_does),
        TEST(test_wai_03_timed_out_ends_it),
        TEST(test_wai_03_without_an_error_waits_for_all),
        TEST(test_wai_03_error_was_there_before),
        TEST(test_wai_04_timeout_leaves_everything_alone),
        TEST(test_wai_05_duplicates_count_once),
        TEST(test_wai_05_empty_and_bad_arguments),
        TEST(test_wai_06_blocked_waits_are_interrupted),
        TEST(test_wai_06_waits_begun_after_the_request),
        TEST(test_wai_06_await_passes_the_request_on),
        TEST(test_wai_06_await_returns_what_the_awaited_job_makes_of_it),
        TEST(test_wai_06_waits_for_a_job_that_had_not_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
