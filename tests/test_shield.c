/* test_shield.c: section 11, shield (SHI): it mirrors, and no cancel travels through it.
 *
 * Discipline. The inner future is a promise where its outcome matters and a running job where the absence of a request
 * must be seen; the latter looks at its token after the gate, when everything else has happened. Duties and views of
 * shields stand in test_drop.c and test_views.c. */
#include "fixtures.h"

static void test_shi_01_mirrors_each_outcome(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 4);
    weft_future *timed = weft_wait_for(in.future[3], 0, 0);
    weft_future *inner[] = {in.future[0], in.future[1], in.future[2], timed}, *shields[4];
    for (unsigned i = 0; i < 4; i++) {
        shields[i] = weft_shield(inner[i]);
        assert_non_null(shields[i]);
    }
    assert_int_equal(weft_future_state(shields[0]), WEFT_PENDING);
    weft_promise_resolve(in.promise[0], &in, NULL);
    weft_promise_reject(in.promise[1], 7);
    assert_int_equal(weft_cancel(in.future[2]), WEFT_CANCEL_DONE);
    for (unsigned i = 0; i < 4; i++) {
        assert_done_soon(shields[i]);
        assert_int_equal(weft_cancel(shields[i]), WEFT_CANCEL_TOO_LATE);
    }
    assert_ok(shields[0], &in);
    assert_err(shields[1], 7);
    assert_cancelled(shields[2], WEFT_REASON_USER);
    assert_timed_out(shields[3]);
    for (unsigned i = 0; i < 4; i++) {
        weft_future_release(shields[i]);
    }
    weft_future_release(timed);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_shi_01_of_a_done_future_is_done(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *inner[] = {weft_submit(executor, test_job_return_arg, &executor),
                            weft_submit(executor, test_job_fail_7, NULL),
                            weft_submit(executor, test_job_cancel_self, NULL)};
    for (unsigned i = 0; i < 3; i++) {
        assert_done_soon(inner[i]);
        weft_future *shield = weft_shield(inner[i]);
        assert_non_null(shield);
        assert_true(weft_future_done(shield));
        assert_int_equal(weft_cancel(shield), WEFT_CANCEL_TOO_LATE);
        assert_int_equal(weft_future_state(shield), weft_future_state(inner[i]));
        if (i == 0) {
            assert_ok(shield, &executor);
        } else if (i == 1) {
            assert_err(shield, 7);
        } else {
            assert_cancelled(shield, WEFT_REASON_SELF);
        }
        weft_future_release(shield);
        weft_future_release(inner[i]);
    }
    test_destroy(executor);
}

static void test_shi_01_mirrors_a_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *cell = cell_make(gate, 0);
    weft_future *inner = submit(executor, cell);
    weft_future *shield = weft_shield(inner);
    weft_future_release(inner);
    assert_true(test_gate_await(gate, 1));
    assert_pending(executor, shield);
    test_gate_open(gate);
    void *value = NULL;
    assert_int_equal(weft_future_get(shield, &value), 0);
    assert_ptr_equal(value, cell);
    assert_int_equal(test_get(cell->value_freed), 0);
    weft_future_release(shield);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 1);
}

static void test_shi_02_cancel_stops_at_the_shield(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *cell = cell_make(gate, 0), *queued = cell_make(NULL, 0);
    weft_future *inner[] = {submit(executor, cell), submit(executor, queued)};
    assert_true(test_gate_await(gate, 1));
    for (unsigned i = 0; i < 2; i++) {
        weft_future *shield = weft_shield(inner[i]);
        assert_int_equal(weft_cancel(shield), WEFT_CANCEL_DONE);
        assert_cancelled(shield, WEFT_REASON_USER);
        assert_int_equal(weft_cancel(shield), WEFT_CANCEL_TOO_LATE);
        weft_future_release(shield);
    }
    flush(executor);
    assert_int_equal(weft_future_state(inner[0]), WEFT_RUNNING);
    assert_int_equal(weft_future_state(inner[1]), WEFT_PENDING);
    test_gate_open(gate);
    assert_done_soon(inner[0]);
    assert_done_soon(inner[1]);
    assert_false(test_get(cell->saw_cancel));
    assert_ok(inner[0], cell);
    assert_ok(inner[1], queued);
    weft_future_release(inner[0]);
    weft_future_release(inner[1]);
    test_destroy(executor);
}

static void test_shi_02_other_shields_of_the_same_future_go_on(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 1);
    weft_future *one = weft_shield(in.future[0]), *two = weft_shield(in.future[0]), *three = weft_shield(two);
    assert_int_equal(weft_cancel(one), WEFT_CANCEL_DONE);
    assert_pending(executor, two);
    assert_pending(executor, three);
    weft_promise_resolve(in.promise[0], &in, NULL);
    assert_done_soon(three);
    assert_ok(two, &in);
    assert_ok(three, &in);
    assert_cancelled(one, WEFT_REASON_USER);
    weft_future_release(one);
    weft_future_release(two);
    weft_future_release(three);
    inputs_free(&in);
    test_destroy(executor);
}

static void gather_over_shields(weft_gather_mode mode)
{
    weft_executor *executor = test_executor(2);
    test_gate *gate = test_gate_make();
    test_cell *cells[] = {cell_make(gate, 0), cell_make(gate, 0)};
    weft_future *inner[2], *shields[2];
    for (unsigned i = 0; i < 2; i++) {
        inner[i] = submit(executor, cells[i]);
        shields[i] = weft_shield(inner[i]);
    }
    assert_true(test_gate_await(gate, 2));
    weft_future *all = gather(executor, shields, 2, mode);
    assert_int_equal(weft_cancel(all), WEFT_CANCEL_REQUESTED);
    assert_done_soon(all);
    assert_cancelled(all, WEFT_REASON_USER);
    assert_int_equal(test_gate_inside(gate), 2);
    test_gate_open(gate);
    for (unsigned i = 0; i < 2; i++) {
        assert_cancelled(shields[i], WEFT_REASON_PARENT);
        assert_done_soon(inner[i]);
        assert_ok(inner[i], cells[i]);
        assert_false(test_get(cells[i]->saw_cancel));
        weft_future_release(shields[i]);
        weft_future_release(inner[i]);
    }
    weft_future_release(all);
    test_destroy(executor);
}

static void test_shi_03_gather_over_shields(void **state)
{
    (void)state;
    gather_over_shields(WEFT_FIRST_ERROR);
    gather_over_shields(WEFT_SETTLED);
    gather_over_shields(WEFT_STRICT);
}

/* A failure in a STRICT gather stops at the shield, too. */
static void test_shi_03_strict_sibling_behind_a_shield(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {in.future[0], weft_shield(in.future[1])};
    weft_future *all = gather(executor, futures, 2, WEFT_STRICT);
    weft_promise_reject(in.promise[0], 7);
    assert_done_soon(all);
    assert_failed_at(all, 7, 0);
    assert_cancelled(futures[1], WEFT_REASON_SIBLING);
    assert_int_equal(weft_future_state(in.future[1]), WEFT_PENDING);
    assert_int_equal(weft_promise_resolve(in.promise[1], NULL, NULL), 0);
    weft_future_release(futures[1]);
    weft_future_release(all);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_shi_shutdown_and_after(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 1);
    weft_future *shield = weft_shield(in.future[0]);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, test_patience()), 0);
    assert_cancelled(shield, WEFT_REASON_SHUTDOWN);
    assert_cancelled(in.future[0], WEFT_REASON_SHUTDOWN);
    test_destroy(executor);
    errno = 0;
    assert_null(weft_shield(in.future[0]));
    assert_int_equal(errno, ESHUTDOWN);
    weft_future_release(shield);
    inputs_free(&in);
}

static void test_shi_of_null_is_null(void **state)
{
    (void)state;
    errno = EAGAIN;
    assert_null(weft_shield(NULL));
    assert_int_equal(errno, EAGAIN);
    errno = 0;
    assert_int_equal(weft_await(weft_shield(NULL), NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_shi_01_mirrors_each_outcome),
        TEST(test_shi_01_of_a_done_future_is_done),
        TEST(test_shi_01_mirrors_a_job),
        TEST(test_shi_02_cancel_stops_at_the_shield),
        TEST(test_shi_02_other_shields_of_the_same_future_go_on),
        TEST(test_shi_03_gather_over_shields),
        TEST(test_shi_03_strict_sibling_behind_a_shield),
        TEST(test_shi_shutdown_and_after),
        TEST(test_shi_of_null_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
