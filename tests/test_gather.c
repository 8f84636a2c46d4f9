/* test_gather.c: section 7, gather in its three modes (GAT), and what the rules say of it besides: reasons (0.4), views
 * and taking (0.3), the effect of a cancel (I5), no residue (I15), shutdown and life beyond the executor (I16).
 *
 * Discipline. Inputs are promises where only the order of their ends matters, gate jobs where it matters that something
 * runs. Before a test says "not DONE" it sends a callback through the coordinator and so knows that the coordinator has
 * seen everything that happened before. */
#include "fixtures.h"

/* A gather that is not DONE lends no outcomes. */
static void assert_gather_pending(weft_executor *executor, weft_future *all)
{
    size_t n = 77;
    assert_pending(executor, all);
    errno = 0;
    assert_null(weft_gather_outcomes(all, &n));
    assert_int_equal(errno, EINPROGRESS);
}

static void test_gat_01_results_are_in_input_order(void **state)
{
    (void)state;
    for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
        int values[3];
        void *value = &mode;
        weft_executor *executor = test_executor(0);
        inputs in = inputs_make(executor, 3);
        weft_future *all = gather(executor, in.future, 3, (weft_gather_mode)mode);
        assert_gather_pending(executor, all);
        weft_promise_resolve(in.promise[1], &values[1], NULL);
        assert_gather_pending(executor, all);
        weft_promise_resolve(in.promise[0], &values[0], NULL);
        assert_gather_pending(executor, all);
        weft_promise_resolve(in.promise[2], &values[2], NULL);
        assert_done_soon(all);
        assert_ok(all, NULL);
        assert_int_equal(weft_future_get(all, &value), 0);
        assert_null(value);
        const weft_outcome *slot = slots(all, 3);
        for (size_t i = 0; i < 3; i++) {
            assert_slot(&slot[i], WEFT_SUCCEEDED, 0, &values[i]);
        }
        weft_future_release(all);
        inputs_free(&in);
        test_destroy(executor);
    }
}

typedef struct seen_thread {
    test_latch *latch;
    pthread_t thread; /* by the callback before it hits the latch */
} seen_thread;

static int see_thread(weft_future *future, void *data)
{
    seen_thread *seen = data;
    TEST_EXPECT(weft_future_done(future));
    seen->thread = pthread_self();
    test_latch_hit(seen->latch);
    return 0;
}

static void test_gat_02_no_inputs_is_done_on_return(void **state)
{
    (void)state;
    static seen_thread seen;
    weft_executor *executor = test_executor(1);
    weft_future *none[1] = {NULL};
    for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
        size_t n = 77;
        weft_future *all = gather(executor, none, 0, (weft_gather_mode)mode);
        assert_true(weft_future_done(all));
        assert_ok(all, NULL);
        weft_gather_outcomes(all, &n);
        assert_int_equal(n, 0);
        assert_int_equal(weft_cancel(all), WEFT_CANCEL_TOO_LATE);
        seen.latch = test_latch_make();
        assert_int_equal(weft_on_done(all, see_thread, &seen, NULL), 0);
        assert_true(test_latch_wait(seen.latch, 1));
        assert_false(pthread_equal(seen.thread, pthread_self()));
        weft_future_release(all);
    }
    test_destroy(executor);
}

static void test_gat_03_first_error_is_reported_at_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    test_gate *gate = test_gate_make();
    test_cell *running = cell_make(gate, 0);
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {submit(executor, running), in.future[0], in.future[1], NULL};
    futures[3] = weft_submit(executor, test_job_return_arg, &in);
    assert_true(test_gate_await(gate, 1));
    assert_done_soon(futures[3]);
    weft_future *all = gather(executor, futures, 4, WEFT_FIRST_ERROR);
    assert_gather_pending(executor, all);
    weft_promise_reject(in.promise[0], 7);
    assert_done_soon(all);
    assert_failed_at(all, 7, 1);
    const weft_outcome *slot = slots(all, 4);
    assert_slot(&slot[0], WEFT_PENDING, 0, NULL);
    assert_slot(&slot[1], WEFT_FAILED, 7, NULL);
    assert_slot(&slot[2], WEFT_PENDING, 0, NULL);
    assert_slot(&slot[3], WEFT_SUCCEEDED, 0, &in);
    assert_int_equal(weft_future_state(futures[0]), WEFT_RUNNING);
    assert_int_equal(weft_future_state(in.future[1]), WEFT_PENDING);
    test_gate_open(gate);
    assert_done_soon(futures[0]);
    assert_int_equal(weft_promise_resolve(in.promise[1], &in, NULL), 0);
    flush(executor);
    assert_false(test_get(running->saw_cancel));
    assert_ok(futures[0], running);
    assert_ptr_equal(slots(all, 4), slot);
    assert_slot(&slot[0], WEFT_PENDING, 0, NULL);
    assert_slot(&slot[2], WEFT_PENDING, 0, NULL);
    weft_future_release(all);
    weft_future_release(futures[0]);
    weft_future_release(futures[3]);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_gat_03_first_in_time_not_in_place(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 3);
    weft_future *all = gather(executor, in.future, 3, WEFT_FIRST_ERROR);
    weft_promise_reject(in.promise[2], 12);
    weft_promise_reject(in.promise[0], 10);
    assert_done_soon(all);
    assert_failed_at(all, 12, 2);
    weft_future_release(all);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_gat_03_input_failed_before(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_promise_reject(in.promise[1], 9);
    weft_future *all = gather(executor, in.future, 2, WEFT_FIRST_ERROR);
    assert_done_soon(all);
    assert_failed_at(all, 9, 1);
    assert_int_equal(weft_future_state(in.future[0]), WEFT_PENDING);
    weft_future_release(all);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_gat_04_settled_keeps_every_outcome(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 4);
    weft_future *late = weft_wait_for(in.future[3], 0, WEFT_NO_CANCEL);
    weft_future *futures[] = {in.future[0], in.future[1], in.future[2], late};
    weft_future *all = gather(executor, futures, 4, WEFT_SETTLED);
    weft_promise_reject(in.promise[1], 5);
    assert_int_equal(weft_cancel(in.future[2]), WEFT_CANCEL_DONE);
    assert_done_soon(late);
    assert_gather_pending(executor, all);
    weft_promise_resolve(in.promise[0], &in, NULL);
    assert_done_soon(all);
    assert_ok(all, NULL);
    const weft_outcome *slot = slots(all, 4);
    assert_slot(&slot[0], WEFT_SUCCEEDED, 0, &in);
    assert_slot(&slot[1], WEFT_FAILED, 5, NULL);
    assert_slot(&slot[2], WEFT_CANCELLED, -ECANCELED, NULL);
    assert_int_equal(slot[2].reason, WEFT_REASON_USER);
    assert_slot(&slot[3], WEFT_TIMED_OUT, -ETIMEDOUT, NULL);
    weft_future_release(all);
    weft_future_release(late);
    inputs_free(&in);
    test_destroy(executor);
}

/* STRICT over: a running job that ignores the request, a queued one, a running one that obeys, and a promise that ends
 * badly. The queued one is asked before the one whose worker would run it. */
static void strict_ends_with(int code)
{
    static stubborn job;
    weft_executor *executor = test_executor(2);
    inputs in = inputs_make(executor, 1);
    test_latch *obeying = test_latch_make();
    test_cell *queued = cell_make(NULL, 0);
    weft_future *futures[4] = {submit_stubborn(executor, &job, 0)};
    futures[2] = weft_submit(executor, test_job_until_cancelled, obeying);
    assert_true(test_latch_wait(obeying, 1));
    futures[1] = submit(executor, queued);
    futures[3] = in.future[0];
    weft_future *all = gather(executor, futures, 4, WEFT_STRICT);
    assert_gather_pending(executor, all);
    if (code == -ECANCELED) {
        assert_int_equal(weft_cancel(in.future[0]), WEFT_CANCEL_DONE);
    } else {
        weft_promise_reject(in.promise[0], code);
    }
    assert_true(test_latch_wait(job.asked, 1));
    assert_done_soon(futures[1]);
    assert_cancelled(futures[1], WEFT_REASON_SIBLING);
    assert_done_soon(futures[2]);
    assert_cancelled(futures[2], WEFT_REASON_SIBLING);
    assert_gather_pending(executor, all);
    test_gate_open(job.cell->gate);
    assert_done_soon(all);
    assert_int_equal(test_get(job.cell->returned), 1);
    assert_failed_at(all, code, 3);
    const weft_outcome *slot = slots(all, 4);
    assert_slot(&slot[0], WEFT_SUCCEEDED, 0, job.cell);
    assert_slot(&slot[1], WEFT_CANCELLED, -ECANCELED, NULL);
    assert_slot(&slot[2], WEFT_CANCELLED, -ECANCELED, NULL);
    assert_int_equal(slot[2].reason, WEFT_REASON_SIBLING);
    assert_slot(&slot[3], code == -ECANCELED ? WEFT_CANCELLED : WEFT_FAILED, code, NULL);
    weft_future_release(all);
    for (unsigned i = 0; i < 3; i++) {
        weft_future_release(futures[i]);
    }
    inputs_free(&in);
    test_destroy(executor);
    assert_int_equal(test_get(queued->ran), 0);
    assert_int_equal(test_get(queued->arg_freed), 1);
}

static void test_gat_05_strict_stops_the_rest_and_waits_for_it(void **state)
{
    (void)state;
    strict_ends_with(7);
}

static void test_gat_05_strict_takes_a_cancelled_input_for_a_failure(void **state)
{
    (void)state;
    strict_ends_with(-ECANCELED);
}

static void test_gat_05_strict_reports_the_first_failure(void **state)
{
    (void)state;
    static stubborn job;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {submit_stubborn(executor, &job, 10), in.future[0], in.future[1]};
    weft_future *all = gather(executor, futures, 3, WEFT_STRICT);
    weft_promise_reject(in.promise[1], 12);
    assert_true(test_latch_wait(job.asked, 1));
    test_gate_open(job.cell->gate);
    assert_done_soon(all);
    assert_failed_at(all, 12, 2);
    assert_slot(&slots(all, 3)[0], WEFT_FAILED, 10, NULL);
    assert_cancelled(in.future[0], WEFT_REASON_SIBLING);
    weft_future_release(all);
    weft_future_release(futures[0]);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_gat_05_strict_below_a_sibling_is_parent(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_future *inner = gather(executor, &in.future[1], 1, WEFT_SETTLED);
    weft_future *futures[] = {in.future[0], inner};
    weft_future *all = gather(executor, futures, 2, WEFT_STRICT);
    weft_promise_reject(in.promise[0], 3);
    assert_done_soon(all);
    assert_failed_at(all, 3, 0);
    assert_cancelled(inner, WEFT_REASON_SIBLING);
    assert_cancelled(in.future[1], WEFT_REASON_PARENT);
    weft_future_release(all);
    weft_future_release(inner);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_gat_05_strict_failed_then_cancelled(void **state)
{
    (void)state;
    static stubborn job;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    weft_future *futures[] = {in.future[0], submit_stubborn(executor, &job, 0)};
    weft_future *all = gather(executor, futures, 2, WEFT_STRICT);
    weft_promise_reject(in.promise[0], 3);
    assert_true(test_latch_wait(job.asked, 1));
    assert_gather_pending(executor, all);
    assert_int_equal(weft_cancel(all), WEFT_CANCEL_REQUESTED);
    assert_gather_pending(executor, all);
    test_gate_open(job.cell->gate);
    assert_done_soon(all);
    assert_cancelled(all, WEFT_REASON_USER);
    assert_slot(&slots(all, 2)[0], WEFT_FAILED, 3, NULL);
    assert_slot(&slots(all, 2)[1], WEFT_SUCCEEDED, 0, job.cell);
    weft_future_release(all);
    weft_future_release(futures[1]);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_gat_06_cancelled_input_is_a_failure_of_the_gather(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_future *all = gather(executor, in.future, 2, WEFT_FIRST_ERROR);
    assert_int_equal(weft_cancel(in.future[1]), WEFT_CANCEL_DONE);
    assert_done_soon(all);
    assert_failed_at(all, -ECANCELED, 1);
    assert_false(weft_future_cancelled(all));
    assert_slot(&slots(all, 2)[1], WEFT_CANCELLED, -ECANCELED, NULL);
    assert_int_equal(slots(all, 2)[1].reason, WEFT_REASON_USER);
    flush(executor);
    assert_int_equal(weft_future_state(in.future[0]), WEFT_PENDING);
    weft_future_release(all);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_gat_06_timed_out_input_is_a_failure_of_the_gather(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    inputs in = inputs_make(executor, 2);
    weft_future *timed = weft_wait_for(in.future[0], 10 * MS, 0);
    weft_future *futures[] = {timed, in.future[1]};
    weft_future *all = gather(executor, futures, 2, WEFT_FIRST_ERROR);
    assert_gather_pending(executor, all);
    weft_manual_clock_advance(clock, 20 * MS);
    assert_done_soon(all);
    assert_failed_at(all, -ETIMEDOUT, 0);
    assert_slot(&slots(all, 2)[0], WEFT_TIMED_OUT, -ETIMEDOUT, NULL);
    flush(executor);
    assert_int_equal(weft_future_state(in.future[1]), WEFT_PENDING);
    weft_future_release(all);
    weft_future_release(timed);
    inputs_free(&in);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void cancel_reaches_the_leaves(weft_gather_mode mode)
{
    static stubborn job;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 3);
    weft_future *job_future = submit_stubborn(executor, &job, -ECANCELED);
    test_cell *queued = cell_make(NULL, 0);
    weft_future *below[] = {job_future, in.future[0]};
    weft_future *inner = gather(executor, below, 2, mode);
    weft_future *futures[] = {submit(executor, queued), inner, in.future[1], in.future[2]};
    weft_promise_resolve(in.promise[2], &in, NULL);
    weft_future *all = gather(executor, futures, 4, mode);
    assert_int_equal(weft_cancel(all), WEFT_CANCEL_REQUESTED);
    assert_int_equal(weft_cancel(all), WEFT_CANCEL_ALREADY);
    assert_true(test_latch_wait(job.asked, 1));
    assert_done_soon(futures[0]);
    assert_cancelled(futures[0], WEFT_REASON_PARENT);
    assert_done_soon(in.future[1]);
    assert_cancelled(in.future[1], WEFT_REASON_PARENT);
    assert_done_soon(in.future[0]);
    assert_cancelled(in.future[0], WEFT_REASON_PARENT);
    assert_int_equal(weft_cancel(inner), WEFT_CANCEL_ALREADY);
    assert_pending(executor, inner);
    assert_gather_pending(executor, all);
    test_gate_open(job.cell->gate);
    assert_done_soon(all);
    assert_cancelled(all, WEFT_REASON_USER);
    assert_cancelled(inner, WEFT_REASON_PARENT);
    assert_cancelled(job_future, WEFT_REASON_PARENT);
    assert_slot(&slots(all, 4)[1], WEFT_CANCELLED, -ECANCELED, NULL);
    assert_slot(&slots(all, 4)[3], WEFT_SUCCEEDED, 0, &in);
    assert_int_equal(weft_cancel(all), WEFT_CANCEL_TOO_LATE);
    weft_future_release(all);
    weft_future_release(inner);
    weft_future_release(job_future);
    weft_future_release(futures[0]);
    inputs_free(&in);
    test_destroy(executor);
    assert_int_equal(test_get(queued->ran), 0);
}

static void test_gat_07_cancel_reaches_the_leaves(void **state)
{
    (void)state;
    cancel_reaches_the_leaves(WEFT_FIRST_ERROR);
    cancel_reaches_the_leaves(WEFT_SETTLED);
    cancel_reaches_the_leaves(WEFT_STRICT);
}

/* "Always REQUESTED", also where every input could be cancelled at once; and CANCELLED is quiet in each mode. */
static void cancelled_waits_for_all(weft_gather_mode mode, int first_code, int second_code)
{
    static stubborn first, second;
    weft_executor *executor = test_executor(2);
    weft_future *futures[] = {submit_stubborn(executor, &first, first_code),
                              submit_stubborn(executor, &second, second_code)};
    weft_future *all = gather(executor, futures, 2, mode);
    assert_int_equal(weft_cancel(all), WEFT_CANCEL_REQUESTED);
    assert_true(test_latch_wait(first.asked, 1));
    assert_true(test_latch_wait(second.asked, 1));
    test_gate_open(first.cell->gate);
    assert_done_soon(futures[0]);
    assert_gather_pending(executor, all);
    test_gate_open(second.cell->gate);
    assert_done_soon(all);
    assert_int_equal(test_get(second.cell->returned), 1);
    assert_cancelled(all, WEFT_REASON_USER);
    assert_int_equal(slots(all, 2)[0].error, first_code);
    assert_int_equal(slots(all, 2)[1].error, second_code);
    weft_future_release(all);
    weft_future_release(futures[0]);
    weft_future_release(futures[1]);
    test_destroy(executor);
}

static void test_gat_07_cancelled_is_quiet_whatever_the_inputs_do(void **state)
{
    (void)state;
    for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
        cancelled_waits_for_all((weft_gather_mode)mode, 0, 0);
        cancelled_waits_for_all((weft_gather_mode)mode, 5, 0);
        cancelled_waits_for_all((weft_gather_mode)mode, -ECANCELED, 6);
    }
}

static void test_gat_07_promises_alone_still_answer_requested(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_future *all = gather(executor, in.future, 2, WEFT_SETTLED);
    assert_int_equal(weft_cancel(all), WEFT_CANCEL_REQUESTED);
    assert_done_soon(all);
    assert_cancelled(all, WEFT_REASON_USER);
    assert_int_equal(weft_promise_resolve(in.promise[0], NULL, NULL), -EALREADY);
    assert_cancelled(in.future[0], WEFT_REASON_PARENT);
    assert_cancelled(in.future[1], WEFT_REASON_PARENT);
    weft_future_release(all);
    inputs_free(&in);
    test_destroy(executor);
}

/* Who has asked need not stay to see it happen. */
static void test_gat_07_a_request_outlives_the_gather(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned round = 0; round < test_rounds(100); round++) {
        inputs in = inputs_make(executor, 2);
        weft_future *all = gather(executor, in.future, 2, round % 2 ? WEFT_SETTLED : WEFT_FIRST_ERROR);
        weft_future *asked = round / 2 % 2 ? weft_wait_for(all, WEFT_SECONDS(3600), 0) : weft_future_retain(all);
        weft_future_release(all);
        assert_int_equal(weft_cancel(asked), round / 2 % 2 ? WEFT_CANCEL_DONE : WEFT_CANCEL_REQUESTED);
        weft_future_release(asked);
        for (size_t i = 0; i < in.n; i++) {
            assert_done_soon(in.future[i]);
            assert_cancelled(in.future[i], WEFT_REASON_PARENT);
        }
        inputs_free(&in);
    }
    test_destroy(executor);
}

static void test_gat_07_a_deadline_travels_down_unchanged(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    inputs in = inputs_make(executor, 2);
    weft_future *all = gather(executor, in.future, 2, WEFT_FIRST_ERROR);
    weft_future *timed = weft_wait_for(all, 10 * MS, 0);
    weft_manual_clock_advance(clock, 20 * MS);
    assert_timed_out(timed);
    assert_done_soon(all);
    assert_cancelled(all, WEFT_REASON_TIMEOUT);
    assert_cancelled(in.future[0], WEFT_REASON_TIMEOUT);
    assert_cancelled(in.future[1], WEFT_REASON_TIMEOUT);
    weft_future_release(timed);
    weft_future_release(all);
    inputs_free(&in);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_gat_10_cancel_after_the_first_error_is_too_late(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *running = cell_make(gate, 0);
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {submit(executor, running), in.future[0], in.future[1]};
    assert_true(test_gate_await(gate, 1));
    weft_future *all = gather(executor, futures, 3, WEFT_FIRST_ERROR);
    weft_promise_reject(in.promise[0], 7);
    assert_done_soon(all);
    assert_int_equal(weft_cancel(all), WEFT_CANCEL_TOO_LATE);
    flush(executor);
    assert_int_equal(weft_future_state(in.future[1]), WEFT_PENDING);
    test_gate_open(gate);
    assert_done_soon(futures[0]);
    assert_false(test_get(running->saw_cancel));
    assert_failed_at(all, 7, 1);
    weft_future_release(all);
    weft_future_release(futures[0]);
    inputs_free(&in);
    test_destroy(executor);
}

/* MEM-01: a refused gather leaves nothing on its inputs. */
static void test_gat_null_entry_is_refused(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {in.future[0], NULL, in.future[1]};
    for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
        weft_counters before = test_counters();
        errno = 0;
        assert_null(weft_gather(executor, futures, 3, (weft_gather_mode)mode));
        assert_int_equal(errno, EINVAL);
        weft_counters after = test_counters();
        assert_int_equal(after.futures, before.futures);
        assert_int_equal(after.callbacks, before.callbacks);
    }
    int value;
    weft_promise_resolve(in.promise[0], &value, NULL);
    flush(executor);
    assert_int_equal(weft_future_state(in.future[1]), WEFT_PENDING);
    inputs_free(&in);
    test_destroy(executor);
}

/* 0.4: a gather whose inputs the shutdown cancels is CANCELLED(SHUTDOWN), in each mode of both. */
static void test_gat_shutdown_cancels_what_only_promises_could_end(void **state)
{
    (void)state;
    for (int mode = 0; mode < 9; mode++) {
        weft_executor *executor = test_executor(0);
        inputs in = inputs_make(executor, 2);
        weft_promise_resolve(in.promise[0], &in, NULL);
        weft_future *all = gather(executor, in.future, 2, (weft_gather_mode)(mode % 3));
        assert_int_equal(weft_executor_shutdown(executor, (weft_shutdown_mode)(mode / 3), test_patience()), 0);
        assert_cancelled(all, WEFT_REASON_SHUTDOWN);
        assert_cancelled(in.future[1], WEFT_REASON_SHUTDOWN);
        assert_int_equal(weft_promise_resolve(in.promise[1], NULL, NULL), -EALREADY);
        weft_future_release(all);
        inputs_free(&in);
        test_destroy(executor);
    }
}

/* EXE-12: the inputs may belong to other executors than the gather. */
static void test_gat_inputs_of_two_executors(void **state)
{
    (void)state;
    weft_executor *one = test_executor(1), *two = test_executor(1);
    weft_future *futures[] = {weft_submit(one, test_job_return_arg, &one), weft_submit(two, test_job_return_arg, &two)};
    weft_future *all = gather(one, futures, 2, WEFT_FIRST_ERROR);
    assert_done_soon(all);
    assert_slot(&slots(all, 2)[0], WEFT_SUCCEEDED, 0, &one);
    assert_slot(&slots(all, 2)[1], WEFT_SUCCEEDED, 0, &two);
    weft_future_release(futures[0]);
    weft_future_release(futures[1]);
    weft_future_release(all);
    test_destroy(two);
    test_destroy(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_gat_01_results_are_in_input_order),
        TEST(test_gat_02_no_inputs_is_done_on_return),
        TEST(test_gat_03_first_error_is_reported_at_once),
        TEST(test_gat_03_first_in_time_not_in_place),
        TEST(test_gat_03_input_failed_before),
        TEST(test_gat_04_settled_keeps_every_outcome),
        TEST(test_gat_05_strict_stops_the_rest_and_waits_for_it),
        TEST(test_gat_05_strict_takes_a_cancelled_input_for_a_failure),
        TEST(test_gat_05_strict_reports_the_first_failure),
        TEST(test_gat_05_strict_below_a_sibling_is_parent),
        TEST(test_gat_05_strict_failed_then_cancelled),
        TEST(test_gat_06_cancelled_input_is_a_failure_of_the_gather),
        TEST(test_gat_06_timed_out_input_is_a_failure_of_the_gather),
        TEST(test_gat_07_cancel_reaches_the_leaves),
        TEST(test_gat_07_cancelled_is_quiet_whatever_the_inputs_do),
        TEST(test_gat_07_promises_alone_still_answer_requested),
        TEST(test_gat_07_a_request_outlives_the_gather),
        TEST(test_gat_07_a_deadline_travels_down_unchanged),
        TEST(test_gat_10_cancel_after_the_first_error_is_too_late),
        TEST(test_gat_null_entry_is_refused),
        TEST(test_gat_shutdown_cancels_what_only_promises_could_end),
        TEST(test_gat_inputs_of_two_executors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
