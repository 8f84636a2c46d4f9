/* test_then.c: section 14, then (THN-01, THN-02, THN-04): what it runs, where, and what passes through.
 * Values and errors stand in test_then_values.c; waiting, shutdown and races in test_then_threads.c.
 *
 * Discipline. Inputs are promises where the outcome matters, and a gate job holds every worker where it matters that
 * nothing has run yet. */
#include "follower.h"

/* THN-01 */

static void test_thn_01_runs_after_success(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 1);
    test_gate *gate = test_gate_make();
    follower *f = follower_make(gate, 0);
    weft_future *then = then_of(in.future[0], f);
    assert_int_equal(weft_future_state(then), WEFT_PENDING);
    assert_pending(executor, then);
    assert_int_equal(weft_promise_resolve(in.promise[0], &in, NULL), 0);
    assert_true(test_gate_await(gate, 1));
    assert_int_equal(weft_future_state(then), WEFT_RUNNING);
    assert_false(weft_future_done(then));
    test_gate_open(gate);
    assert_done_soon(then);
    assert_ok(then, f);
    assert_ran(f);
    assert_ptr_equal(f->value, &in);
    assert_ptr_equal(f->executor, executor);
    assert_false(test_get(f->saw_cancel));
    weft_future_release(then);
    inputs_free(&in);
    test_destroy(executor);
}

/* Futures that have failed, were cancelled, and timed out. */
static inputs ended_otherwise(weft_executor *executor, weft_future **timed_out)
{
    inputs in = inputs_make(executor, 3);
    *timed_out = weft_wait_for(in.future[2], 0, WEFT_NO_CANCEL);
    weft_promise_reject(in.promise[0], 7);
    assert_int_equal(weft_cancel(in.future[1]), WEFT_CANCEL_DONE);
    return in;
}

static void test_thn_01_other_outcomes_pass_through(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *timed_out = NULL;
    inputs in = ended_otherwise(executor, &timed_out);
    weft_future *input[] = {in.future[0], in.future[1], timed_out}, *then[3];
    follower *f[3];
    for (unsigned i = 0; i < 3; i++) {
        then[i] = then_of(input[i], f[i] = follower_make(NULL, 0));
        assert_true(weft_future_done(then[i])); /* nothing is to be run, so nothing to be waited for */
        assert_not_run(f[i]);
        assert_int_equal(weft_cancel(then[i]), WEFT_CANCEL_TOO_LATE);
    }
    assert_err(then[0], 7);
    assert_cancelled(then[1], WEFT_REASON_USER);
    assert_timed_out(then[2]);
    for (unsigned i = 0; i < 3; i++) {
        weft_future_release(then[i]);
    }
    weft_future_release(timed_out);
    inputs_free(&in);
    test_destroy(executor);
}

/* The same while it hangs on them, down a chain, and with the index of who failed. */
static void test_thn_01_other_outcomes_pass_down_a_chain(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    weft_future *all = gather(executor, in.future, 2, WEFT_FIRST_ERROR);
    follower *f[3];
    weft_future *then[3], *input = all;
    for (unsigned i = 0; i < 3; i++) {
        input = then[i] = then_of(input, f[i] = follower_make(NULL, 0));
    }
    weft_promise_reject(in.promise[1], 9);
    for (unsigned i = 0; i < 3; i++) {
        assert_done_soon(then[i]);
        assert_failed_at(then[i], 9, 1);
        assert_not_run(f[i]);
        weft_future_release(then[i]);
    }
    weft_future_release(all);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_thn_01_any_sees_each_outcome_and_may_recover(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_future *timed_out = NULL, *done = test_done_future(executor);
    inputs in = ended_otherwise(executor, &timed_out);
    weft_future *input[] = {in.future[0], in.future[1], timed_out, done};
    const weft_outcome seen[] = {{WEFT_FAILED, 7, NULL, 0, WEFT_REASON_NONE},
                                 {WEFT_CANCELLED, -ECANCELED, NULL, 0, WEFT_REASON_USER},
                                 {WEFT_TIMED_OUT, -ETIMEDOUT, NULL, 0, WEFT_REASON_TIMEOUT},
                                 {WEFT_SUCCEEDED, 0, executor, 0, WEFT_REASON_NONE}};
    for (unsigned i = 0; i < 4; i++) {
        follower *f = follower_make(NULL, 0);
        weft_future *then = then_any_of(input[i], f);
        assert_done_soon(then);
        assert_ok(then, f);
        assert_ran(f);
        assert_slot(&f->outcome, seen[i].state, seen[i].error, seen[i].value);
        assert_int_equal(f->outcome.index, seen[i].index);
        assert_int_equal(f->outcome.reason, seen[i].reason);
        weft_future_release(then);
    }
    weft_future_release(timed_out);
    weft_future_release(done);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_thn_01_of_a_value_that_was_taken(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    void *value = NULL;
    weft_future *done = test_done_future(executor);
    follower *before = follower_make(NULL, 0), *after = follower_make(NULL, 0), *any = follower_make(NULL, 0);
    weft_future *then_before = then_any_of(done, before);
    assert_int_equal(weft_future_take(done, &value), 0); /* without a destructor a value may be in two places */
    weft_future *then_after = then_of(done, after), *then_any = then_any_of(done, any);
    assert_true(weft_future_done(then_after));
    assert_err(then_after, -ENODATA);
    assert_not_run(after);
    assert_done_soon(then_any);
    assert_ok(then_any, any);
    assert_slot(&any->outcome, WEFT_FAILED, -ENODATA, NULL);
    assert_done_soon(then_before);
    assert_ptr_equal(before->value, executor);
    weft_future_release(then_before);
    weft_future_release(then_after);
    weft_future_release(then_any);
    weft_future_release(done);
    test_destroy(executor);
}

static void test_thn_01_ends_as_its_function_says(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_future *done = test_done_future(executor);
    follower *fails = follower_make(NULL, 12), *gives_up = follower_make(NULL, -ECANCELED);
    weft_future *failed = then_of(done, fails), *cancelled = then_of(done, gives_up);
    assert_done_soon(failed);
    assert_failed_at(failed, 12, 0);
    assert_done_soon(cancelled);
    assert_cancelled(cancelled, WEFT_REASON_SELF);
    assert_ran(fails);
    assert_ran(gives_up);
    weft_future_release(failed);
    weft_future_release(cancelled);
    weft_future_release(done);
    test_destroy(executor);
}

/* THN-02 */

/* On a future that is done and on one that is resolved later: nothing runs inside these calls, though no worker would
 * be in its way. */
static void test_thn_02_runs_on_the_pool(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *done = test_done_future(executor);
    inputs in = inputs_make(executor, 1);
    follower *f = follower_make(NULL, 0), *g = follower_make(NULL, 0);
    test_gate *gate = test_block(executor, 1);
    weft_future *on_done = then_of(done, f), *on_pending = then_of(in.future[0], g);
    assert_int_equal(weft_promise_resolve(in.promise[0], &in, NULL), 0);
    assert_int_equal(weft_future_state(on_done), WEFT_PENDING);
    assert_int_equal(weft_future_state(on_pending), WEFT_PENDING);
    assert_int_equal(test_get(f->ran) + test_get(g->ran), 0);
    test_unblock(gate);
    assert_done_soon(on_done);
    assert_done_soon(on_pending);
    assert_int_equal(test_get(f->worker), 0);
    assert_int_equal(test_get(g->worker), 0);
    assert_false(pthread_equal(f->thread, pthread_self()));
    assert_false(pthread_equal(g->thread, pthread_self()));
    weft_future_release(on_done);
    weft_future_release(on_pending);
    weft_future_release(done);
    inputs_free(&in);
    test_destroy(executor);
}

struct resolver {
    weft_promise *promise;
    follower *follower;
    unsigned ran_inside;
};

static void *resolve_inside(void *argument)
{
    struct resolver *r = argument;
    TEST_EXPECT(weft_promise_resolve(r->promise, r, NULL) == 0);
    r->ran_inside = test_get(r->follower->ran);
    return NULL;
}

/* Its one worker resolves the input and is free to run the then only afterwards; so with a callback. */
static void test_thn_02_never_in_the_frame_of_who_resolves(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    struct resolver r = {in.promise[0], follower_make(NULL, 0), 1};
    weft_future *then = then_of(in.future[0], r.follower);
    assert_int_equal(weft_await(weft_submit(executor, resolve_inside, &r), NULL), 0);
    assert_int_equal(r.ran_inside, 0);
    assert_done_soon(then);
    assert_ok(then, r.follower);
    assert_ptr_equal(r.follower->value, &r);
    weft_future_release(then);
    inputs_free(&in);
    test_destroy(executor);
}

static int resolve_in_callback(weft_future *future, void *argument)
{
    (void)future;
    resolve_inside(argument);
    return 0;
}

static void test_thn_02_resolved_by_a_callback(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_future *done = test_done_future(executor);
    inputs in = inputs_make(executor, 1);
    struct resolver r = {in.promise[0], follower_make(NULL, 0), 1};
    weft_future *then = then_of(in.future[0], r.follower);
    assert_int_equal(weft_on_done(done, resolve_in_callback, &r, NULL), 0);
    assert_done_soon(then);
    assert_ok(then, r.follower);
    assert_true(test_get(r.follower->worker) >= 0);
    weft_future_release(then);
    weft_future_release(done);
    inputs_free(&in);
    test_destroy(executor);
}

static void *note_and_return(void *value, void *data)
{
    test_note(data, (int)(intptr_t)value);
    return (void *)((intptr_t)value + 1);
}

static void test_thn_02_a_chain_runs_in_its_order(void **state)
{
    (void)state;
    enum { LINKS = 100 };
    weft_executor *executor = test_executor(0);
    test_log *log = test_log_make();
    weft_future *top = weft_submit(executor, test_job_return_arg, (void *)1);
    for (int i = 0; i < LINKS; i++) {
        weft_future *input = top;
        assert_non_null(top = weft_then(input, note_and_return, log));
        weft_future_release(input);
    }
    void *value = NULL;
    assert_int_equal(weft_await(top, &value), 0);
    assert_int_equal((intptr_t)value, LINKS + 1);
    assert_int_equal(test_log_size(log), LINKS);
    for (int i = 0; i < LINKS; i++) {
        assert_int_equal(test_log_at(log, (size_t)i), i + 1);
    }
    test_destroy(executor);
}

static void test_thn_02_priority(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *input[3], *then[3];
    test_log *log = test_log_make();
    const weft_priority priority[] = {WEFT_LOW, WEFT_NORMAL, WEFT_HIGH};
    test_gate *gate = test_block(executor, 1);
    for (int i = 0; i < 3; i++) {
        weft_submit_options options = {.priority = priority[i]};
        weft_promise *promise = weft_promise_create(executor);
        input[i] = weft_promise_future(promise);
        then[i] = weft_then_with(input[i], note_and_return, log, &options);
        assert_int_equal(weft_promise_resolve(promise, (void *)(intptr_t)priority[i], NULL), 0);
        weft_promise_destroy(promise);
    }
    test_unblock(gate);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(weft_await(then[i], NULL), 0);
        weft_future_release(input[i]);
    }
    assert_log(log, WEFT_HIGH, WEFT_NORMAL, WEFT_LOW);
    test_destroy(executor);
}

static weft_future *delayed(weft_future *input, follower *f, int64_t delay)
{
    weft_submit_options options = {.delay = delay, .free_arg = follower_free};
    weft_future *then = weft_then_with(input, follower_run, f, &options);
    assert_non_null(then);
    return then;
}

static void test_thn_02_delay_counts_from_the_input(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    inputs in = inputs_make(executor, 2);
    follower *f = follower_make(NULL, 0), *none = follower_make(NULL, 0);
    weft_future *then = delayed(in.future[0], f, 100 * MS), *failing = delayed(in.future[1], none, 100 * MS);
    weft_manual_clock_advance(clock, 500 * MS);
    assert_pending(executor, then);
    assert_timers_soon(0); /* until the input is done nothing is timed */
    assert_int_equal(weft_promise_resolve(in.promise[0], &in, NULL), 0);
    weft_manual_clock_advance(clock, 100 * MS - 1);
    assert_pending(executor, then);
    assert_timers_soon(1);
    weft_manual_clock_advance(clock, 1);
    assert_done_soon(then);
    assert_ok(then, f);
    assert_ran(f);
    weft_promise_reject(in.promise[1], 4); /* nothing to run, nothing to wait for */
    assert_true(weft_future_done(failing));
    assert_not_run(none);
    weft_future_release(failing);
    weft_future_release(then);
    inputs_free(&in);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_thn_02_cancel_while_delayed(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    weft_future *done = test_done_future(executor);
    follower *f = follower_make(NULL, 0), *g = follower_make(NULL, 0);
    weft_future *then = delayed(done, f, 100 * MS), *never = delayed(done, g, WEFT_FOREVER);
    assert_timers_soon(1);
    assert_int_equal(weft_cancel(then), WEFT_CANCEL_DONE);
    assert_int_equal(weft_cancel(never), WEFT_CANCEL_DONE);
    assert_cancelled(then, WEFT_REASON_USER);
    assert_cancelled(never, WEFT_REASON_USER);
    assert_timers_soon(0);
    weft_manual_clock_advance(clock, 200 * MS);
    assert_not_run(f);
    assert_not_run(g);
    weft_future_release(then);
    weft_future_release(never);
    weft_future_release(done);
    assert_true(test_until_counters(0, 0, 0));
    test_destroy(executor);
    weft_clock_destroy(clock);
}

/* THN-04 */

static void test_thn_04_cancel_reaches_the_input(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 3);
    follower *f[4];
    for (unsigned i = 0; i < 4; i++) {
        f[i] = follower_make(NULL, 0);
    }
    weft_future *plain = then_of(in.future[0], f[0]), *any = then_any_of(in.future[1], f[1]);
    weft_future *shield = weft_shield(in.future[2]), *behind = then_of(shield, f[2]);
    assert_int_equal(weft_cancel(plain), WEFT_CANCEL_DONE);
    assert_int_equal(weft_cancel(any), WEFT_CANCEL_DONE);
    assert_int_equal(weft_cancel(behind), WEFT_CANCEL_DONE);
    assert_cancelled(plain, WEFT_REASON_USER);
    assert_cancelled(any, WEFT_REASON_USER);
    assert_cancelled(behind, WEFT_REASON_USER);
    assert_cancelled(in.future[0], WEFT_REASON_PARENT);
    assert_cancelled(in.future[1], WEFT_REASON_PARENT);
    assert_cancelled(shield, WEFT_REASON_PARENT);
    assert_int_equal(weft_future_state(in.future[2]), WEFT_PENDING);
    assert_int_equal(weft_cancel(plain), WEFT_CANCEL_TOO_LATE);
    assert_not_run(f[0]);
    assert_not_run(f[1]);
    assert_not_run(f[2]);
    weft_future_release(plain);
    weft_future_release(any);
    weft_future_release(behind);
    weft_future_release(shield);
    inputs_free(&in);
    test_destroy(executor);
}

/* Down a chain to a running job, which goes on; up the chain what is not started is cancelled by its input's end. */
static void test_thn_04_cancel_in_a_chain(void **state)
{
    (void)state;
    static stubborn job;
    weft_executor *executor = test_executor(1);
    weft_future *input = submit_stubborn(executor, &job, 0);
    follower *f[3];
    weft_future *then[3];
    for (unsigned i = 0; i < 3; i++) {
        then[i] = then_of(i == 0 ? input : then[i - 1], f[i] = follower_make(NULL, 0));
    }
    assert_int_equal(weft_cancel(then[1]), WEFT_CANCEL_DONE);
    assert_true(test_latch_wait(job.asked, 1));
    assert_cancelled(then[0], WEFT_REASON_PARENT);
    assert_cancelled(then[1], WEFT_REASON_USER);
    assert_cancelled(then[2], WEFT_REASON_USER);
    for (unsigned i = 0; i < 3; i++) {
        assert_not_run(f[i]);
        weft_future_release(then[i]);
    }
    assert_true(test_until_counters(1, 0, 0)); /* nothing hangs on the job any more */
    test_gate_open(job.cell->gate);
    assert_done_soon(input);
    assert_ok(input, job.cell);
    weft_future_release(input);
    test_destroy(executor);
}

static void test_thn_04_a_deadline_travels_unchanged(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    follower *f = follower_make(NULL, 0);
    weft_future *then = then_of(in.future[0], f), *timed = weft_wait_for(then, 0, 0);
    assert_timed_out(timed);
    assert_cancelled(then, WEFT_REASON_TIMEOUT);
    assert_cancelled(in.future[0], WEFT_REASON_TIMEOUT);
    assert_not_run(f);
    weft_future_release(timed);
    weft_future_release(then);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_thn_04_cancel_a_queued_and_a_running_one(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *done = test_done_future(executor);
    follower *f = follower_make(test_gate_make(), 0), *g = follower_make(test_gate_make(), -ECANCELED),
             *queued = follower_make(NULL, 0);
    weft_future *running = then_of(done, f), *second = then_of(done, queued);
    assert_true(test_gate_await(f->gate, 1));
    assert_int_equal(weft_cancel(second), WEFT_CANCEL_DONE);
    assert_cancelled(second, WEFT_REASON_USER);
    assert_not_run(queued);
    assert_int_equal(weft_cancel(running), WEFT_CANCEL_REQUESTED);
    assert_int_equal(weft_cancel(running), WEFT_CANCEL_ALREADY);
    assert_int_equal(weft_future_state(running), WEFT_RUNNING);
    test_gate_open(f->gate);
    assert_done_soon(running);
    assert_ok(running, f); /* it ended so in spite of the request */
    assert_true(test_get(f->saw_cancel));
    assert_int_equal(weft_cancel(running), WEFT_CANCEL_TOO_LATE);
    weft_future *obeys = then_of(done, g);
    assert_true(test_gate_await(g->gate, 1));
    assert_int_equal(weft_cancel(obeys), WEFT_CANCEL_REQUESTED);
    test_gate_open(g->gate);
    assert_done_soon(obeys);
    assert_cancelled(obeys, WEFT_REASON_USER);
    assert_ran(g);
    weft_future_release(obeys);
    weft_future_release(running);
    weft_future_release(second);
    weft_future_release(done);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_thn_01_runs_after_success),
        TEST(test_thn_01_other_outcomes_pass_through),
        TEST(test_thn_01_other_outcomes_pass_down_a_chain),
        TEST(test_thn_01_any_sees_each_outcome_and_may_recover),
        TEST(test_thn_01_of_a_value_that_was_taken),
        TEST(test_thn_01_ends_as_its_function_says),
        TEST(test_thn_02_runs_on_the_pool),
        TEST(test_thn_02_never_in_the_frame_of_who_resolves),
        TEST(test_thn_02_resolved_by_a_callback),
        TEST(test_thn_02_a_chain_runs_in_its_order),
        TEST(test_thn_02_priority),
        TEST(test_thn_02_delay_counts_from_the_input),
        TEST(test_thn_02_cancel_while_delayed),
        TEST(test_thn_04_cancel_reaches_the_input),
        TEST(test_thn_04_cancel_in_a_chain),
        TEST(test_thn_04_a_deadline_travels_unchanged),
        TEST(test_thn_04_cancel_a_queued_and_a_running_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
