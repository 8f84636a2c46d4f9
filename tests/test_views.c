/* test_views.c: derived futures as views on their inputs (0.3), taking values through them (0.4), I7; GAT-11, GAT-12.
 *
 * Discipline. The value of each job is its cell, which counts how often it was destroyed. Where a derived future lets
 * go of its inputs the coordinator may be the one who does it, so "can be taken again" is polled for; "cannot be taken"
 * is asserted at once. */
#include "fixtures.h"

static weft_future *done_cell(weft_executor *executor, test_cell **cell)
{
    *cell = cell_make(NULL, 0);
    weft_future *future = submit(executor, *cell);
    assert_done_soon(future);
    return future;
}

static bool can_be_taken(void *future)
{
    void *value = NULL;
    int code = weft_future_take(future, &value);
    TEST_EXPECT(code == 0 || code == -EBUSY);
    return code == 0 && TEST_EXPECT(value != NULL);
}

static void test_gat_11_same_future_in_three_slots(void **state)
{
    (void)state;
    for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
        weft_executor *executor = test_executor(1);
        test_gate *gate = test_gate_make();
        test_cell *cell = cell_make(gate, 0), *other = cell_make(NULL, 0);
        weft_future *a = submit(executor, cell), *b = submit(executor, other);
        weft_future *futures[] = {a, b, a, a};
        weft_future *all = gather(executor, futures, 4, (weft_gather_mode)mode);
        weft_future_release(a);
        weft_future_release(b);
        assert_pending(executor, all);
        test_gate_open(gate);
        assert_done_soon(all);
        const weft_outcome *slot = slots(all, 4);
        assert_slot(&slot[0], WEFT_SUCCEEDED, 0, cell);
        assert_slot(&slot[1], WEFT_SUCCEEDED, 0, other);
        assert_slot(&slot[2], WEFT_SUCCEEDED, 0, cell);
        assert_slot(&slot[3], WEFT_SUCCEEDED, 0, cell);
        assert_int_equal(test_get(cell->value_freed), 0);
        weft_future_release(all);
        test_destroy(executor);
        assert_int_equal(test_get(cell->value_freed), 1);
        assert_int_equal(test_get(other->value_freed), 1);
    }
}

static void test_gat_11_same_future_cancelled_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {in.future[0], in.future[0], in.future[1], in.future[0]};
    weft_future *all = gather(executor, futures, 4, WEFT_STRICT);
    assert_int_equal(weft_cancel(in.future[0]), WEFT_CANCEL_DONE);
    assert_done_soon(all);
    assert_int_equal(weft_future_state(all), WEFT_FAILED);
    assert_cancelled(in.future[1], WEFT_REASON_SIBLING);
    const weft_outcome *slot = slots(all, 4);
    assert_slot(&slot[0], WEFT_CANCELLED, -ECANCELED, NULL);
    assert_slot(&slot[1], WEFT_CANCELLED, -ECANCELED, NULL);
    assert_slot(&slot[3], WEFT_CANCELLED, -ECANCELED, NULL);
    weft_future_release(all);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_gat_12_values_live_as_long_as_the_gather(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *cells[] = {cell_make(gate, 0), cell_make(NULL, 0), cell_make(NULL, 6)};
    weft_future *futures[3];
    for (unsigned i = 0; i < 3; i++) {
        futures[i] = submit(executor, cells[i]);
    }
    weft_future *all = gather(executor, futures, 3, WEFT_SETTLED);
    for (unsigned i = 0; i < 3; i++) {
        weft_future_release(futures[i]);
    }
    test_gate_open(gate);
    assert_done_soon(all);
    flush(executor);
    assert_int_equal(test_get(cells[0]->value_freed), 0);
    assert_int_equal(test_get(cells[1]->value_freed), 0);
    assert_slot(&slots(all, 3)[0], WEFT_SUCCEEDED, 0, cells[0]);
    assert_slot(&slots(all, 3)[1], WEFT_SUCCEEDED, 0, cells[1]);
    assert_slot(&slots(all, 3)[2], WEFT_FAILED, 6, NULL);
    weft_future_release(all);
    test_destroy(executor);
    assert_int_equal(test_get(cells[0]->value_freed), 1);
    assert_int_equal(test_get(cells[1]->value_freed), 1);
    assert_int_equal(test_get(cells[2]->value_freed), 0);
}

/* I16: the executor goes first. */
static void test_gat_12_values_outlive_the_executor(void **state)
{
    (void)state;
    test_cell *cell;
    weft_executor *executor = test_executor(1);
    weft_future *future = done_cell(executor, &cell);
    weft_future *all = gather(executor, &future, 1, WEFT_FIRST_ERROR);
    weft_future *timed = weft_wait_for(future, WEFT_FOREVER, 0);
    assert_done_soon(all);
    assert_done_soon(timed);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 0);
    assert_ok(all, NULL);
    assert_slot(&slots(all, 1)[0], WEFT_SUCCEEDED, 0, cell);
    assert_ok(timed, cell);
    weft_future_release(all);
    assert_int_equal(test_get(cell->value_freed), 0);
    weft_future_release(timed);
    assert_int_equal(test_get(cell->value_freed), 1);
}

/* A gather lends: the inputs cannot be taken while it is there, and nothing can be taken from itself. */
static void test_view_gathered_value_cannot_be_taken(void **state)
{
    (void)state;
    test_cell *cell;
    void *value = &cell;
    weft_executor *executor = test_executor(1);
    weft_future *future = done_cell(executor, &cell);
    inputs in = inputs_make(executor, 1);
    weft_future *futures[] = {future, in.future[0]};
    weft_future *all = gather(executor, futures, 2, WEFT_FIRST_ERROR);
    assert_int_equal(weft_future_take(future, &value), -EBUSY);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_done_soon(all);
    assert_int_equal(weft_future_take(future, &value), -EBUSY);
    assert_int_equal(weft_await(future, &value), -EBUSY);
    assert_ptr_equal(value, &cell);
    assert_int_equal(weft_future_get(future, &value), 0);
    assert_ptr_equal(value, cell);
    assert_int_equal(weft_future_take(all, &value), 0);
    assert_null(value);
    assert_slot(&slots(all, 2)[0], WEFT_SUCCEEDED, 0, cell);
    weft_future_release(all);
    assert_true(test_until(can_be_taken, future));
    assert_int_equal(weft_future_take(future, &value), -ENODATA);
    weft_future_release(future);
    inputs_free(&in);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 0);
}

static void test_view_await_without_value_is_never_busy(void **state)
{
    (void)state;
    test_cell *cell;
    weft_executor *executor = test_executor(1);
    weft_future *future = done_cell(executor, &cell);
    weft_future *all = gather(executor, &future, 1, WEFT_SETTLED);
    assert_int_equal(weft_await(future, NULL), 0);
    assert_done_soon(all);
    assert_slot(&slots(all, 1)[0], WEFT_SUCCEEDED, 0, cell);
    assert_int_equal(weft_await(all, NULL), 0);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 1);
}

static void test_view_plain_pointer_can_always_be_taken(void **state)
{
    (void)state;
    void *value = NULL;
    weft_executor *executor = test_executor(1);
    weft_future *future = weft_submit(executor, test_job_return_arg, &executor);
    weft_future *all = gather(executor, &future, 1, WEFT_SETTLED);
    weft_future *shield = weft_shield(future);
    assert_done_soon(all);
    assert_int_equal(weft_future_take(future, &value), 0);
    assert_ptr_equal(value, &executor);
    weft_future_release(all);
    weft_future_release(shield);
    weft_future_release(future);
    test_destroy(executor);
}

static void test_view_of_a_taken_value_is_nodata(void **state)
{
    (void)state;
    test_cell *cell;
    void *value = NULL;
    weft_executor *executor = test_executor(1);
    weft_future *future = done_cell(executor, &cell);
    weft_outcome outcome = {.value = &cell};
    assert_int_equal(weft_future_take(future, &value), 0);
    assert_ptr_equal(value, cell);
    assert_int_equal(weft_future_outcome(future, &outcome), 0);
    assert_slot(&outcome, WEFT_SUCCEEDED, 0, NULL);
    weft_future *settled = gather(executor, &future, 1, WEFT_SETTLED);
    weft_future *first = gather(executor, &future, 1, WEFT_FIRST_ERROR);
    weft_future *timed = weft_wait_for(future, WEFT_FOREVER, 0);
    weft_future *shield = weft_shield(future);
    assert_done_soon(settled);
    assert_ok(settled, NULL);
    assert_slot(&slots(settled, 1)[0], WEFT_FAILED, -ENODATA, NULL);
    assert_done_soon(first);
    assert_failed_at(first, -ENODATA, 0);
    assert_done_soon(timed);
    assert_int_equal(weft_future_get(timed, &value), -ENODATA);
    assert_done_soon(shield);
    assert_int_equal(weft_future_get(shield, &value), -ENODATA);
    weft_future_release(settled);
    weft_future_release(first);
    weft_future_release(timed);
    weft_future_release(shield);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 0);
}

typedef weft_future *mirror_of(weft_future *);

static weft_future *timed_mirror(weft_future *future)
{
    return weft_wait_for(future, 3600 * 1000 * MS, 0);
}

static weft_future *joining_mirror(weft_future *future)
{
    return weft_wait_for(future, 3600 * 1000 * MS, WEFT_JOIN);
}

static weft_future *mirror_of_mirror(weft_future *future)
{
    weft_future *shield = weft_shield(future);
    weft_future *timed = timed_mirror(shield);
    weft_future_release(shield);
    return timed;
}

static mirror_of *const mirrors[] = {timed_mirror, joining_mirror, weft_shield, mirror_of_mirror};
enum { MIRRORS = sizeof mirrors / sizeof mirrors[0] };

static void test_view_mirror_takes_from_its_input(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MIRRORS; i++) {
        weft_executor *executor = test_executor(1);
        test_gate *gate = test_gate_make();
        test_cell *cell = cell_make(gate, 0);
        void *value = NULL;
        weft_future *future = submit(executor, cell);
        weft_future *mirror = mirrors[i](future);
        assert_non_null(mirror);
        test_gate_open(gate);
        assert_done_soon(mirror);
        assert_int_equal(weft_future_get(mirror, &value), 0);
        assert_ptr_equal(value, cell);
        assert_int_equal(weft_future_take(future, &value), -EBUSY);
        assert_int_equal(weft_future_take(mirror, &value), 0);
        assert_ptr_equal(value, cell);
        assert_int_equal(weft_future_take(mirror, &value), -ENODATA);
        assert_int_equal(weft_future_get(mirror, &value), -ENODATA);
        assert_int_equal(weft_future_get(future, &value), -ENODATA);
        assert_int_equal(weft_await(mirror, &value), -ENODATA);
        weft_future_release(mirror);
        weft_future_release(future);
        test_destroy(executor);
        assert_int_equal(test_get(cell->value_freed), 0);
    }
}

static void test_view_await_through_a_mirror(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MIRRORS; i++) {
        weft_executor *executor = test_executor(1);
        test_cell *taken = cell_make(NULL, 0), *left = cell_make(NULL, 0);
        void *value = NULL;
        weft_future *future = submit(executor, taken);
        weft_future *mirror = mirrors[i](future);
        weft_future_release(future);
        assert_int_equal(weft_await(mirror, &value), 0);
        assert_ptr_equal(value, taken);
        future = submit(executor, left);
        mirror = mirrors[i](future);
        weft_future_release(future);
        assert_int_equal(weft_await(mirror, NULL), 0);
        test_destroy(executor);
        assert_int_equal(test_get(taken->value_freed), 0);
        assert_int_equal(test_get(left->value_freed), 1);
    }
}

static void test_view_two_mirrors_are_busy(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MIRRORS; i++) {
        weft_executor *executor = test_executor(1);
        test_cell *cell;
        void *value = NULL;
        weft_future *future = done_cell(executor, &cell);
        weft_future *mirror = mirrors[i](future), *other = weft_shield(future);
        assert_done_soon(mirror);
        assert_done_soon(other);
        assert_int_equal(weft_future_take(mirror, &value), -EBUSY);
        assert_int_equal(weft_await(mirror, &value), -EBUSY);
        assert_int_equal(weft_future_take(other, &value), -EBUSY);
        assert_int_equal(weft_future_get(mirror, &value), 0);
        assert_ptr_equal(value, cell);
        weft_future_release(other);
        assert_true(test_until(can_be_taken, mirror));
        weft_future_release(mirror);
        weft_future_release(future);
        test_destroy(executor);
        assert_int_equal(test_get(cell->value_freed), 0);
    }
}

static void test_view_gather_over_a_mirror_is_busy(void **state)
{
    (void)state;
    test_cell *cell;
    void *value = NULL;
    weft_executor *executor = test_executor(1);
    weft_future *future = done_cell(executor, &cell);
    weft_future *shield = weft_shield(future);
    weft_future *all = gather(executor, &shield, 1, WEFT_SETTLED);
    assert_done_soon(all);
    assert_slot(&slots(all, 1)[0], WEFT_SUCCEEDED, 0, cell);
    assert_int_equal(weft_future_take(shield, &value), -EBUSY);
    assert_int_equal(weft_future_take(future, &value), -EBUSY);
    weft_future_release(all);
    assert_true(test_until(can_be_taken, shield));
    weft_future_release(shield);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 0);
}

/* I15: a mirror that ended without its input's outcome has let go of it. */
static void test_view_mirror_that_ended_otherwise_lends_nothing(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *cell = cell_make(gate, 0);
    weft_future *future = submit(executor, cell);
    weft_future *timed = weft_wait_for(future, -1, WEFT_NO_CANCEL);
    weft_future *shield = weft_shield(future);
    assert_int_equal(weft_cancel(shield), WEFT_CANCEL_DONE);
    assert_done_soon(timed);
    assert_timed_out(timed);
    test_gate_open(gate);
    assert_done_soon(future);
    assert_true(test_until(can_be_taken, future));
    weft_future_release(timed);
    weft_future_release(shield);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 0);
}

/* 0.4: dropped before its end, a gather, wait_for or shield detaches; the input goes on and is the caller's alone. */
static void test_view_dropped_derived_detaches(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= MIRRORS; i++) {
        weft_executor *executor = test_executor(1);
        test_gate *gate = test_gate_make();
        test_cell *cell = cell_make(gate, 0);
        weft_future *future = submit(executor, cell);
        assert_true(test_gate_await(gate, 1));
        weft_future_release(i < MIRRORS ? mirrors[i](future) : gather(executor, &future, 1, WEFT_STRICT));
        assert_timers_soon(0);
        flush(executor);
        assert_int_equal(weft_future_state(future), WEFT_RUNNING);
        test_gate_open(gate);
        assert_done_soon(future);
        assert_false(test_get(cell->saw_cancel));
        assert_true(test_until(can_be_taken, future));
        weft_future_release(future);
        assert_true(test_until_counters(0, 0, 0));
        test_destroy(executor);
        assert_int_equal(test_get(cell->value_freed), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_gat_11_same_future_in_three_slots),
        TEST(test_gat_11_same_future_cancelled_once),
        TEST(test_gat_12_values_live_as_long_as_the_gather),
        TEST(test_gat_12_values_outlive_the_executor),
        TEST(test_view_gathered_value_cannot_be_taken),
        TEST(test_view_await_without_value_is_never_busy),
        TEST(test_view_plain_pointer_can_always_be_taken),
        TEST(test_view_of_a_taken_value_is_nodata),
        TEST(test_view_mirror_takes_from_its_input),
        TEST(test_view_await_through_a_mirror),
        TEST(test_view_two_mirrors_are_busy),
        TEST(test_view_gather_over_a_mirror_is_busy),
        TEST(test_view_mirror_that_ended_otherwise_lends_nothing),
        TEST(test_view_dropped_derived_detaches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
