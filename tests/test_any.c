/* test_any.c: weft_any, the first of many that succeeds: who wins and what the others keep (0.3, 0.4), the effect of a
 * cancel (I5), its value and taking through it (0.4, I7). How it is dropped, waited for and shut down is in
 * test_any_life.c.
 *
 * Discipline. Inputs are promises where only the order of their ends matters, jobs where it matters that something
 * runs. */
#include "any.h"

/* ---- who wins ---- */

static void test_any_first_success_wins(void **state)
{
    (void)state;
    int value;
    size_t n = 77;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 3);
    weft_future *first = any(executor, in.future, 3);
    assert_pending(executor, first);
    errno = 0;
    assert_null(weft_gather_outcomes(first, &n));
    assert_int_equal(errno, EINPROGRESS);
    weft_promise_resolve(in.promise[1], &value, NULL);
    assert_true(weft_future_done(first)); /* on the spot */
    assert_won(first, &value, 1);
    const weft_outcome *slot = slots(first, 3);
    assert_slot(&slot[0], WEFT_PENDING, 0, NULL);
    assert_slot(&slot[1], WEFT_SUCCEEDED, 0, &value);
    assert_slot(&slot[2], WEFT_PENDING, 0, NULL);
    assert_left(executor, in.future[0]);
    assert_left(executor, in.future[2]);
    weft_promise_resolve(in.promise[0], &in, NULL);
    weft_promise_reject(in.promise[2], 5);
    assert_won(first, &value, 1);
    assert_ptr_equal(slots(first, 3), slot);
    assert_slot(&slot[0], WEFT_PENDING, 0, NULL);
    weft_future_release(first);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_any_losers_that_run_go_on(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *running = cell_make(gate, 0), *queued = cell_make(NULL, 0);
    inputs in = inputs_make(executor, 1);
    weft_future *futures[] = {submit(executor, running), submit(executor, queued), in.future[0]};
    assert_true(test_gate_await(gate, 1));
    weft_future *first = any(executor, futures, 3);
    weft_promise_resolve(in.promise[0], &in, NULL);
    assert_won(first, &in, 2);
    assert_left(executor, futures[0]);
    assert_left(executor, futures[1]);
    test_gate_open(gate);
    assert_done_soon(futures[0]);
    assert_done_soon(futures[1]);
    assert_ok(futures[0], running);
    assert_ok(futures[1], queued);
    assert_false(test_get(running->saw_cancel));
    weft_future_release(first);
    weft_future_release(futures[0]);
    weft_future_release(futures[1]);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_any_null_is_a_value(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_future *first = any(executor, in.future, 2);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    assert_won(first, NULL, 1);
    weft_future_release(first);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_any_failures_before_do_not_matter(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 4);
    weft_future *late = weft_wait_for(in.future[2], 0, WEFT_NO_CANCEL);
    weft_future *futures[] = {in.future[0], in.future[1], late, in.future[3]};
    weft_future *first = any(executor, futures, 4);
    weft_promise_reject(in.promise[1], 5);
    assert_int_equal(weft_cancel(in.future[0]), WEFT_CANCEL_DONE);
    assert_pending(executor, first);
    weft_promise_resolve(in.promise[3], &in, NULL);
    assert_won(first, &in, 3);
    const weft_outcome *slot = slots(first, 4);
    assert_slot(&slot[0], WEFT_CANCELLED, -ECANCELED, NULL);
    assert_int_equal(slot[0].reason, WEFT_REASON_USER);
    assert_slot(&slot[1], WEFT_FAILED, 5, NULL);
    assert_slot(&slot[2], WEFT_TIMED_OUT, -ETIMEDOUT, NULL);
    assert_slot(&slot[3], WEFT_SUCCEEDED, 0, &in);
    weft_future_release(first);
    weft_future_release(late);
    inputs_free(&in);
    test_destroy(executor);
}

/* Ends input i of `in` in one of the ways that are no success; returns the code. */
static int fail_input(inputs *in, size_t i, int how)
{
    if (how > 0) {
        weft_promise_reject(in->promise[i], how);
    } else {
        weft_cancel(in->future[i]);
    }
    return how > 0 ? how : -ECANCELED;
}

static void test_any_fails_with_the_first_failure_when_all_have(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) {
        weft_executor *executor = test_executor(0);
        inputs in = inputs_make(executor, 3);
        weft_future *first = any(executor, in.future, 3);
        int code = fail_input(&in, 2, how * 12);
        fail_input(&in, 0, 0);
        assert_pending(executor, first);
        fail_input(&in, 1, 7);
        assert_done_soon(first);
        assert_failed_at(first, code, 2);
        assert_slot(&slots(first, 3)[0], WEFT_CANCELLED, -ECANCELED, NULL);
        assert_slot(&slots(first, 3)[1], WEFT_FAILED, 7, NULL);
        assert_slot(&slots(first, 3)[2], how ? WEFT_FAILED : WEFT_CANCELLED, code, NULL);
        weft_future_release(first);
        inputs_free(&in);
        test_destroy(executor);
    }
}

static void test_any_timed_out_input_counts_as_failed(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    inputs in = inputs_make(executor, 2);
    weft_future *timed = weft_wait_for(in.future[0], 10 * MS, 0);
    weft_future *futures[] = {in.future[1], timed};
    weft_future *first = any(executor, futures, 2);
    weft_manual_clock_advance(clock, 20 * MS);
    assert_done_soon(timed);
    assert_pending(executor, first);
    weft_promise_reject(in.promise[1], 3);
    assert_done_soon(first);
    assert_failed_at(first, -ETIMEDOUT, 1);
    weft_future_release(first);
    weft_future_release(timed);
    inputs_free(&in);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_any_of_inputs_done_before(void **state)
{
    (void)state;
    int values[2];
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 4);
    weft_promise_reject(in.promise[0], 4);
    weft_promise_resolve(in.promise[3], &values[1], NULL); /* earlier, but later in the array */
    weft_promise_resolve(in.promise[2], &values[0], NULL);
    weft_future *first = any(executor, in.future, 4);
    assert_true(weft_future_done(first));
    assert_won(first, &values[0], 2);
    assert_slot(&slots(first, 4)[1], WEFT_PENDING, 0, NULL);
    assert_slot(&slots(first, 4)[3], WEFT_SUCCEEDED, 0, &values[1]);
    assert_left(executor, in.future[1]);
    weft_future *none = any(executor, in.future, 1);
    assert_true(weft_future_done(none));
    assert_failed_at(none, 4, 0);
    weft_future_release(none);
    weft_future_release(first);
    inputs_free(&in);
    test_destroy(executor);
}

/* None is left that could still tell it. */
static void test_any_of_nothing_but_inputs_done_before(void **state)
{
    (void)state;
    int value;
    void *taken = NULL;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 3);
    weft_promise_reject(in.promise[0], 4);
    weft_promise_resolve(in.promise[1], &value, NULL);
    weft_promise_resolve(in.promise[2], NULL, NULL);
    weft_future *first = any(executor, in.future, 3);
    assert_true(weft_future_done(first));
    assert_won(first, &value, 1);
    assert_int_equal(weft_future_take(first, &taken), 0);
    assert_ptr_equal(taken, &value);
    weft_future_release(first);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_any_bad_arguments_are_refused(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    weft_future *holed[] = {in.future[0], NULL, in.future[1]};
    weft_future *const *const arrays[] = {in.future, NULL, holed};
    const size_t counts[] = {0, 2, 3};
    for (size_t i = 0; i < 3; i++) {
        errno = 0;
        assert_null(weft_any(executor, arrays[i], counts[i]));
        assert_int_equal(errno, EINVAL);
    }
    assert_left(executor, in.future[0]);
    weft_promise_resolve(in.promise[0], &in, NULL);
    void *value = NULL;
    assert_int_equal(weft_future_take(in.future[0], &value), 0);
    inputs_free(&in);
    test_destroy(executor);
}

/* ---- cancelling ---- */

static void test_any_cancel_is_done_at_once_and_reaches_the_inputs(void **state)
{
    (void)state;
    static stubborn job;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    test_cell *queued = cell_make(NULL, 0);
    weft_future *futures[] = {submit_stubborn(executor, &job, 0), submit(executor, queued), in.future[0], in.future[1]};
    weft_promise_reject(in.promise[1], 8);
    weft_future *first = any(executor, futures, 4);
    assert_int_equal(weft_cancel(first), WEFT_CANCEL_DONE);
    assert_cancelled(first, WEFT_REASON_USER);
    assert_int_equal(weft_cancel(first), WEFT_CANCEL_TOO_LATE);
    assert_true(test_latch_wait(job.asked, 1));
    assert_done_soon(futures[1]);
    assert_cancelled(futures[1], WEFT_REASON_PARENT);
    assert_done_soon(in.future[0]);
    assert_cancelled(in.future[0], WEFT_REASON_PARENT);
    assert_left(executor, futures[0]);
    const weft_outcome *slot = slots(first, 4);
    assert_slot(&slot[0], WEFT_PENDING, 0, NULL);
    assert_slot(&slot[1], WEFT_PENDING, 0, NULL); /* as it was when the any was decided */
    assert_slot(&slot[3], WEFT_FAILED, 8, NULL);
    test_gate_open(job.cell->gate);
    assert_done_soon(futures[0]);
    assert_ok(futures[0], job.cell);
    assert_cancelled(first, WEFT_REASON_USER);
    weft_future_release(first);
    weft_future_release(futures[0]);
    weft_future_release(futures[1]);
    inputs_free(&in);
    test_destroy(executor);
    assert_int_equal(test_get(queued->ran), 0);
}

static void test_any_a_deadline_travels_down_unchanged(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_future *first = any(executor, in.future, 2);
    weft_future *timed = weft_wait_for(first, 0, 0);
    assert_timed_out(timed);
    assert_cancelled(first, WEFT_REASON_TIMEOUT);
    assert_done_soon(in.future[0]);
    assert_done_soon(in.future[1]);
    assert_cancelled(in.future[0], WEFT_REASON_TIMEOUT);
    assert_cancelled(in.future[1], WEFT_REASON_TIMEOUT);
    weft_future_release(timed);
    weft_future_release(first);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_any_below_a_gather_and_above_one(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 4);
    weft_future *below = gather(executor, in.future, 2, WEFT_SETTLED);
    weft_future *futures[] = {below, in.future[2]};
    weft_future *first = any(executor, futures, 2);
    weft_future *above[] = {first, in.future[3]};
    weft_future *all = gather(executor, above, 2, WEFT_STRICT);
    weft_promise_reject(in.promise[3], 6);
    assert_done_soon(all);
    assert_failed_at(all, 6, 1);
    assert_cancelled(first, WEFT_REASON_SIBLING);
    assert_done_soon(below);
    assert_cancelled(below, WEFT_REASON_PARENT);
    assert_done_soon(in.future[2]);
    assert_cancelled(in.future[2], WEFT_REASON_PARENT);
    assert_cancelled(in.future[0], WEFT_REASON_PARENT);
    weft_future_release(all);
    weft_future_release(first);
    weft_future_release(below);
    inputs_free(&in);
    test_destroy(executor);
}

/* ---- the value ---- */

static void test_any_take_goes_through_to_the_winner(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell *cell = cell_make(NULL, 0);
    inputs in = inputs_make(executor, 1);
    void *value = NULL;
    weft_future *futures[] = {in.future[0], submit(executor, cell)};
    weft_future *first = any(executor, futures, 2);
    assert_done_soon(first);
    assert_int_equal(weft_future_take(futures[1], &value), -EBUSY);
    weft_future *view = weft_shield(futures[1]);
    assert_int_equal(weft_future_take(first, &value), -EBUSY);
    assert_null(value);
    weft_future_release(view);
    assert_int_equal(weft_future_take(first, &value), 0);
    assert_ptr_equal(value, cell);
    assert_int_equal(weft_future_take(first, &value), -ENODATA);
    assert_int_equal(weft_future_take(futures[1], &value), -ENODATA);
    weft_outcome outcome;
    assert_int_equal(weft_future_outcome(first, &outcome), 0);
    assert_slot(&outcome, WEFT_SUCCEEDED, 0, NULL);
    assert_int_equal(outcome.index, 1);
    assert_slot(&slots(first, 2)[1], WEFT_SUCCEEDED, 0, NULL);
    weft_future_release(first);
    weft_future_release(futures[1]);
    inputs_free(&in);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 0);
}

static void test_any_await_moves_the_winners_value(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell *cells[] = {cell_make(NULL, 7), cell_make(NULL, 0)};
    weft_future *futures[] = {submit(executor, cells[0]), submit(executor, cells[1])};
    weft_future *first = any(executor, futures, 2);
    void *value = NULL;
    weft_future_release(futures[0]);
    weft_future_release(futures[1]);
    assert_int_equal(weft_await(first, &value), 0);
    assert_ptr_equal(value, cells[1]);
    test_destroy(executor);
    assert_int_equal(test_get(cells[1]->value_freed), 0);
}

static void test_any_a_value_nobody_takes_is_destroyed_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell *cells[] = {cell_make(NULL, 0), cell_make(NULL, 0)};
    weft_future *futures[] = {submit(executor, cells[0]), submit(executor, cells[1])};
    weft_future *first = any(executor, futures, 2);
    weft_future_release(futures[0]);
    weft_future_release(futures[1]);
    assert_done_soon(first);
    test_destroy(executor);
    assert_int_equal(test_get(cells[0]->value_freed), 0);
    void *value = NULL;
    assert_int_equal(weft_future_get(first, &value), 0); /* I16 */
    assert_int_equal(test_get(((test_cell *)value)->value_freed), 0);
    weft_future_release(first);
    assert_int_equal(test_get(cells[0]->value_freed), 1);
    assert_int_equal(test_get(cells[1]->value_freed), 1);
}

/* Lent more than once to the same any, the value can be taken through it all the same. */
static void same_future_often(bool done_before)
{
    weft_executor *executor = test_executor(1);
    test_cell *cell = cell_make(test_gate_make(), 0);
    inputs in = inputs_make(executor, 1);
    void *value = NULL;
    weft_future *job = submit(executor, cell);
    if (done_before) {
        test_gate_open(cell->gate);
        assert_done_soon(job);
    }
    weft_future *futures[] = {in.future[0], job, job, in.future[0], job};
    weft_future *first = any(executor, futures, 5);
    test_gate_open(cell->gate);
    assert_done_soon(first);
    assert_won(first, cell, 1);
    assert_slot(&slots(first, 5)[2], WEFT_SUCCEEDED, 0, cell);
    assert_int_equal(weft_future_take(job, &value), -EBUSY);
    assert_int_equal(weft_future_take(first, &value), 0);
    assert_ptr_equal(value, cell);
    assert_left(executor, in.future[0]);
    weft_future_release(first);
    weft_future_release(job);
    assert_true(test_until_counters(1, 0, 0)); /* the promise's */
    inputs_free(&in);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 0);
}

static void test_any_same_future_more_than_once(void **state)
{
    (void)state;
    same_future_often(false);
    same_future_often(true);
}

/* Not won: all loans come back with the any. */
static void test_any_same_future_cancelled_or_failed(void **state)
{
    (void)state;
    for (int won = 0; won < 2; won++) {
        weft_executor *executor = test_executor(1);
        inputs in = inputs_make(executor, 1);
        void *value = NULL;
        weft_future *futures[] = {in.future[0], weft_shield(in.future[0]), in.future[0]};
        weft_future *first = any(executor, futures, 3);
        if (won) {
            weft_promise_resolve(in.promise[0], &in, NULL);
            assert_won(first, &in, 0);
        } else {
            weft_promise_reject(in.promise[0], 9);
            assert_done_soon(first);
            assert_failed_at(first, 9, 0);
        }
        weft_future_release(first);
        weft_future_release(futures[1]);
        assert_true(test_until_counters(1, 0, 0)); /* the coordinator has let go of the any */
        assert_int_equal(weft__word(in.future[0]) & WEFT__LENT_MASK, 0);
        assert_int_equal(weft_future_take(in.future[0], &value), won ? 0 : 9);
        inputs_free(&in);
        test_destroy(executor);
    }
}

static void test_any_input_that_was_taken_counts_as_failed(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell *cell = cell_make(NULL, 0);
    void *value = NULL;
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {submit(executor, cell), in.future[0]};
    assert_int_equal(weft_future_take(futures[0], &value), 0);
    weft_future *first = any(executor, futures, 2), *alone = any(executor, futures, 1);
    assert_done_soon(alone);
    assert_failed_at(alone, -ENODATA, 0);
    assert_pending(executor, first);
    weft_promise_resolve(in.promise[0], &in, NULL);
    assert_won(first, &in, 1);
    assert_slot(&slots(first, 2)[0], WEFT_FAILED, -ENODATA, NULL);
    weft_future_release(first);
    weft_future_release(alone);
    weft_future_release(futures[0]);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_any_seen_through_other_futures(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell *cell = cell_make(NULL, 0);
    inputs in = inputs_make(executor, 1);
    void *value = NULL;
    weft_future *futures[] = {in.future[0], submit(executor, cell)};
    weft_future *first = any(executor, futures, 2);
    weft_future *timed = weft_wait_for(first, WEFT_FOREVER, 0);
    assert_done_soon(timed);
    assert_won(timed, cell, 1);
    assert_int_equal(weft_future_take(first, &value), -EBUSY);
    assert_int_equal(weft_await(timed, &value), 0);
    assert_ptr_equal(value, cell);
    assert_int_equal(weft_future_take(first, &value), -ENODATA);
    weft_future_release(first);
    weft_future_release(futures[1]);
    inputs_free(&in);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_any_first_success_wins),
        TEST(test_any_losers_that_run_go_on),
        TEST(test_any_null_is_a_value),
        TEST(test_any_failures_before_do_not_matter),
        TEST(test_any_fails_with_the_first_failure_when_all_have),
        TEST(test_any_timed_out_input_counts_as_failed),
        TEST(test_any_of_inputs_done_before),
        TEST(test_any_of_nothing_but_inputs_done_before),
        TEST(test_any_bad_arguments_are_refused),
        TEST(test_any_cancel_is_done_at_once_and_reaches_the_inputs),
        TEST(test_any_a_deadline_travels_down_unchanged),
        TEST(test_any_below_a_gather_and_above_one),
        TEST(test_any_take_goes_through_to_the_winner),
        TEST(test_any_await_moves_the_winners_value),
        TEST(test_any_a_value_nobody_takes_is_destroyed_once),
        TEST(test_any_same_future_more_than_once),
        TEST(test_any_same_future_cancelled_or_failed),
        TEST(test_any_input_that_was_taken_counts_as_failed),
        TEST(test_any_seen_through_other_futures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
