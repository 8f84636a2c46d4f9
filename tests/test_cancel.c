/* test_cancel.c: section 6, cancellation of jobs and promises (CAN), and rule I5: the effect that weft_cancel answers
 * agrees with what then happens.
 *
 * Discipline. A job is queued because test_block holds the only worker, and running because it has said so; no test
 * guesses with time. Where chance chooses the order, see test_races.c.
 *
 * What needs tokens made by the program (CAN-11, CAN-12, CAN-14) belongs with the tests of tokens and scopes. */
#include "fixtures.h"

static void test_can_01_queued_job_is_cancelled_on_return(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    test_cell *cell = cell_make(NULL, 0);
    weft_future *future = submit(executor, cell);
    assert_int_equal(weft_future_state(future), WEFT_PENDING);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_DONE);
    assert_int_equal(weft_future_state(future), WEFT_CANCELLED);
    assert_int_equal(test_get(cell->arg_freed), 1);
    assert_true(weft_future_done(future));
    assert_true(weft_future_cancelled(future));
    assert_int_equal(weft_future_wait(future, 0), 0);
    assert_cancelled(future, WEFT_REASON_USER);
    test_unblock(gate);
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    assert_int_equal(test_get(cell->ran), 0);
    assert_int_equal(test_get(cell->arg_freed), 1);
    assert_int_equal(test_get(cell->value_freed), 0);
    assert_int_equal(weft_await(future, NULL), -ECANCELED);
    test_destroy(executor);
}

static void test_can_01_delayed_job_is_cancelled_with_its_timer(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    test_cell *cell = cell_make(NULL, 0);
    weft_submit_options options = {.delay = 3600 * 1000 * MS, .free_arg = test_cell_free_arg};
    weft_future *future = weft_submit_with(executor, test_cell_run, cell, &options);
    assert_non_null(future);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_DONE);
    assert_cancelled(future, WEFT_REASON_USER);
    assert_int_equal(test_get(cell->arg_freed), 1);
    assert_timers_soon(0);
    weft_manual_clock_advance(clock, 7200 * 1000 * MS);
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    assert_int_equal(test_get(cell->ran), 0);
    assert_int_equal(test_get(cell->arg_freed), 1);
    weft_future_release(future);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_can_01_many_queued_jobs_all_go(void **state)
{
    enum { JOBS = 500 };
    static test_cell many[JOBS];
    weft_future *futures[JOBS];
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    (void)state;
    memset(many, 0, sizeof many);
    for (unsigned i = 0; i < JOBS; i++) {
        futures[i] = submit(executor, &many[i]);
    }
    for (unsigned i = JOBS; i-- > 0;) {
        assert_int_equal(weft_cancel(futures[i]), WEFT_CANCEL_DONE);
        assert_int_equal(test_get(many[i].arg_freed), 1);
        weft_future_release(futures[i]);
    }
    test_unblock(gate);
    test_destroy(executor);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(test_get(many[i].ran), 0);
        assert_int_equal(test_get(many[i].arg_freed), 1);
    }
}

/* CAN-02: each kind of wait, in a thread of its own. */
typedef struct waiter {
    weft_future *future; /* a reference of its own */
    test_latch *ready;
    enum { BY_WAIT, BY_TIMED_WAIT, BY_GET, BY_TAKE, BY_AWAIT, BY_WEFT_WAIT, KINDS_OF_WAIT } kind;
} waiter;

static void *wait_in_thread(void *argument)
{
    waiter *self = argument;
    void *value = NULL;
    bool done[1] = {false};
    test_latch_hit(self->ready);
    switch (self->kind) {
    case BY_WAIT:
        TEST_EXPECT(weft_future_wait(self->future, WEFT_FOREVER) == 0);
        break;
    case BY_TIMED_WAIT:
        TEST_EXPECT(weft_future_wait(self->future, test_patience()) == 0);
        break;
    case BY_GET:
        TEST_EXPECT(weft_future_get(self->future, &value) == -ECANCELED);
        break;
    case BY_TAKE:
        TEST_EXPECT(weft_future_take(self->future, &value) == -ECANCELED);
        break;
    case BY_AWAIT:
        TEST_EXPECT(weft_await(self->future, &value) == -ECANCELED);
        return NULL;
    default:
        TEST_EXPECT(weft_wait(&self->future, 1, WEFT_ALL_COMPLETED, WEFT_FOREVER, done) == 0);
        TEST_EXPECT(done[0]);
        break;
    }
    weft_future_release(self->future);
    return NULL;
}

static void test_can_02_waiters_see_it_before_a_worker_does(void **state)
{
    static waiter waiters[KINDS_OF_WAIT];
    pthread_t threads[KINDS_OF_WAIT];
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    test_cell *cell = cell_make(NULL, 0);
    weft_future *future = submit(executor, cell);
    test_latch *ready = test_latch_make();
    (void)state;
    for (unsigned i = 0; i < KINDS_OF_WAIT; i++) {
        waiters[i].future = weft_future_retain(future);
        waiters[i].ready = ready;
        waiters[i].kind = i;
        threads[i] = test_spawn(wait_in_thread, &waiters[i]);
    }
    assert_true(test_latch_wait(ready, KINDS_OF_WAIT));
    test_pause(5 * MS);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_DONE);
    for (unsigned i = 0; i < KINDS_OF_WAIT; i++) {
        test_join(threads[i]);
    }
    assert_int_equal(test_gate_inside(gate), 1);
    test_unblock(gate);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_get(cell->ran), 0);
}

static void test_can_03_running_job_gets_a_request(void **state)
{
    static stubborn job;
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *future = submit_stubborn(executor, &job, 0);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    assert_int_equal(weft_future_state(future), WEFT_RUNNING);
    assert_true(test_latch_wait(job.asked, 1));
    assert_int_equal(weft_future_state(future), WEFT_RUNNING);
    assert_false(weft_future_done(future));
    assert_false(weft_future_cancelled(future));
    assert_int_equal(weft_future_wait(future, 0), -ETIMEDOUT);
    test_gate_open(job.cell->gate);
    assert_done_soon(future);
    assert_ok(future, job.cell);
    weft_future_release(future);
    test_destroy(executor);
}

static void test_can_04_acknowledged_request_gives_cancelled_with_its_reason(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_latch *started = test_latch_make();
    weft_future *future = weft_submit(executor, test_job_until_cancelled, started);
    assert_true(test_latch_wait(started, 1));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    assert_done_soon(future);
    assert_cancelled(future, WEFT_REASON_USER);
    assert_true(weft_future_cancelled(future));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_TOO_LATE);
    assert_int_equal(weft_await(future, NULL), -ECANCELED);
    test_destroy(executor);
}

static void ignored_request_keeps(int code)
{
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *cell = cell_make(gate, code);
    weft_future *future = submit(executor, cell);
    assert_true(test_gate_await(gate, 1));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    assert_int_equal(test_get(cell->arg_freed), 0);
    test_gate_open(gate);
    assert_done_soon(future);
    assert_true(test_get(cell->saw_cancel));
    assert_int_equal(test_get(cell->arg_freed), 1);
    assert_true(test_get(cell->freed_after_return));
    assert_false(weft_future_cancelled(future));
    if (code == 0) {
        assert_ok(future, cell);
    } else {
        assert_err(future, code);
    }
    assert_int_equal(test_get(cell->value_freed), 0);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), code == 0 ? 1 : 0);
}

static void test_can_05_ignored_request_keeps_the_value(void **state)
{
    (void)state;
    ignored_request_keeps(0);
}

static void test_can_05_ignored_request_keeps_the_error(void **state)
{
    (void)state;
    ignored_request_keeps(ECANCELED);
}

static void test_can_06_done_of_any_outcome_is_too_late(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *source = weft_promise_future(promise);
    weft_future *ok = weft_submit(executor, test_job_return_arg, executor);
    weft_future *failed = weft_submit(executor, test_job_fail_7, NULL);
    weft_future *cancelled = weft_submit(executor, test_job_cancel_self, NULL);
    weft_future *timed_out = weft_wait_for(source, 0, WEFT_NO_CANCEL);
    weft_future *all[] = {ok, failed, cancelled, timed_out};
    for (unsigned i = 0; i < 4; i++) {
        assert_done_soon(all[i]);
        assert_int_equal(weft_cancel(all[i]), WEFT_CANCEL_TOO_LATE);
        assert_int_equal(weft_cancel(all[i]), WEFT_CANCEL_TOO_LATE);
    }
    assert_ok(ok, executor);
    assert_err(failed, 7);
    assert_cancelled(cancelled, WEFT_REASON_SELF);
    assert_timed_out(timed_out);
    assert_int_equal(weft_cancel(NULL), WEFT_CANCEL_TOO_LATE);
    for (unsigned i = 0; i < 4; i++) {
        weft_future_release(all[i]);
    }
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    assert_int_equal(weft_cancel(source), WEFT_CANCEL_TOO_LATE);
    weft_future_release(source);
    weft_promise_destroy(promise);
    test_destroy(executor);
}

static void test_can_07_second_request_is_already_and_first_reason_stays(void **state)
{
    static stubborn job;
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    weft_future *future = submit_stubborn(executor, &job, -ECANCELED);
    weft_future *timed = weft_wait_for(future, 10 * MS, 0);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_ALREADY);
    weft_manual_clock_advance(clock, 20 * MS);
    assert_timed_out(timed);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_ALREADY);
    test_gate_open(job.cell->gate);
    assert_done_soon(future);
    assert_cancelled(future, WEFT_REASON_USER);
    weft_future_release(timed);
    weft_future_release(future);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_can_07_request_by_deadline_comes_first(void **state)
{
    static stubborn job;
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    weft_future *future = submit_stubborn(executor, &job, -ECANCELED);
    weft_future *timed = weft_wait_for(future, 10 * MS, 0);
    weft_manual_clock_advance(clock, 20 * MS);
    assert_true(test_latch_wait(job.asked, 1));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_ALREADY);
    test_gate_open(job.cell->gate);
    assert_done_soon(future);
    assert_cancelled(future, WEFT_REASON_TIMEOUT);
    weft_future_release(timed);
    weft_future_release(future);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

/* CAN-10: the job gets its own future through a slot that the test fills while the gate is shut. */
typedef struct self_cancel {
    test_gate *gate;
    weft_future *_Atomic own; /* by the test before the gate opens; read by the job after */
    int code;                 /* what the job ends with; 0: its own address */
} self_cancel;

static void *self_cancel_job(void *argument)
{
    self_cancel *self = argument;
    test_gate_pass(self->gate);
    TEST_EXPECT(!weft_cancelled());
    weft_future *own = atomic_load_explicit(&self->own, memory_order_acquire);
    TEST_EXPECT(weft_cancel(own) == WEFT_CANCEL_REQUESTED);
    TEST_EXPECT(weft_cancelled());
    TEST_EXPECT(weft_future_state(own) == WEFT_RUNNING);
    TEST_EXPECT(weft_cancel(own) == WEFT_CANCEL_ALREADY);
    return self->code != 0 ? weft_fail(self->code) : self;
}

static void self_cancel_ends(int code)
{
    static self_cancel job;
    weft_executor *executor = test_executor(1);
    job.gate = test_gate_make();
    job.code = code;
    weft_future *future = weft_submit(executor, self_cancel_job, &job);
    assert_non_null(future);
    atomic_store_explicit(&job.own, future, memory_order_release);
    test_gate_open(job.gate);
    assert_done_soon(future);
    if (code == 0) {
        assert_ok(future, &job);
    } else {
        assert_cancelled(future, WEFT_REASON_USER);
    }
    weft_future_release(future);
    test_destroy(executor);
}

static void test_can_10_job_cancels_itself_and_goes_on(void **state)
{
    (void)state;
    self_cancel_ends(0);
}

static void test_can_10_job_cancels_itself_and_acknowledges(void **state)
{
    (void)state;
    self_cancel_ends(-ECANCELED);
}

static void test_can_10_unasked_acknowledgement_is_self(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *future = weft_submit(executor, test_job_cancel_self, NULL);
    assert_done_soon(future);
    assert_cancelled(future, WEFT_REASON_SELF);
    weft_future_release(future);
    test_destroy(executor);
}

/* Effects, 0.1: a promise's future that is not DONE is cancelled at once; the value still belongs to the resolver. */
static void test_i5_promise_is_cancelled_at_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    test_cell *cell = cell_make(NULL, 0);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_DONE);
    assert_cancelled(future, WEFT_REASON_USER);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_TOO_LATE);
    assert_int_equal(weft_promise_resolve(promise, cell, test_cell_free_value), -EALREADY);
    assert_int_equal(weft_promise_reject(promise, 7), -EALREADY);
    weft_promise_destroy(promise);
    assert_cancelled(future, WEFT_REASON_USER);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 0);
}

static void test_i5_promise_rejected_as_cancelled_is_self(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    assert_int_equal(weft_promise_reject(promise, -ECANCELED), 0);
    assert_cancelled(future, WEFT_REASON_SELF);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_TOO_LATE);
    weft_promise_destroy(promise);
    weft_future_release(future);
    test_destroy(executor);
}

/* 0.4 and I8: while the first cancel runs free_arg, a second one answers ALREADY and the future is not yet DONE. */
typedef struct slow_arg {
    test_gate *gate;
    weft_future *future;
} slow_arg;

static void slow_free_arg(void *argument)
{
    slow_arg *arg = argument;
    TEST_EXPECT(weft_cancel(arg->future) == WEFT_CANCEL_ALREADY);
    TEST_EXPECT(!weft_future_done(arg->future));
    test_gate_pass(arg->gate);
}

static void *cancel_in_thread(void *future)
{
    TEST_EXPECT(weft_cancel(future) == WEFT_CANCEL_DONE);
    TEST_EXPECT(weft_future_done(future));
    return NULL;
}

static void test_i8_second_cancel_while_the_argument_is_freed(void **state)
{
    (void)state;
    static slow_arg arg;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    weft_submit_options options = {.free_arg = slow_free_arg};
    arg.gate = test_gate_make();
    arg.future = weft_submit_with(executor, test_job_return_arg, &arg, &options);
    assert_non_null(arg.future);
    pthread_t thread = test_spawn(cancel_in_thread, arg.future);
    assert_true(test_gate_await(arg.gate, 1));
    assert_int_equal(weft_cancel(arg.future), WEFT_CANCEL_ALREADY);
    assert_false(weft_future_done(arg.future));
    assert_int_equal(weft_future_wait(arg.future, 0), -ETIMEDOUT);
    test_gate_open(arg.gate);
    test_join(thread);
    assert_cancelled(arg.future, WEFT_REASON_USER);
    assert_int_equal(test_gate_reached(arg.gate), 1);
    test_unblock(gate);
    weft_future_release(arg.future);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_can_01_queued_job_is_cancelled_on_return),
        TEST(test_can_01_delayed_job_is_cancelled_with_its_timer),
        TEST(test_can_01_many_queued_jobs_all_go),
        TEST(test_can_02_waiters_see_it_before_a_worker_does),
        TEST(test_can_03_running_job_gets_a_request),
        TEST(test_can_04_acknowledged_request_gives_cancelled_with_its_reason),
        TEST(test_can_05_ignored_request_keeps_the_value),
        TEST(test_can_05_ignored_request_keeps_the_error),
        TEST(test_can_06_done_of_any_outcome_is_too_late),
        TEST(test_can_07_second_request_is_already_and_first_reason_stays),
        TEST(test_can_07_request_by_deadline_comes_first),
        TEST(test_can_10_job_cancels_itself_and_goes_on),
        TEST(test_can_10_job_cancels_itself_and_acknowledges),
        TEST(test_can_10_unasked_acknowledgement_is_self),
        TEST(test_i5_promise_is_cancelled_at_once),
        TEST(test_i5_promise_rejected_as_cancelled_is_self),
        TEST(test_i8_second_cancel_while_the_argument_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
