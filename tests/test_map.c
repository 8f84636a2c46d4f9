/* test_map.c: section 15, map with chunks (MAP), and what the rules say of its items: an outcome each, whatever the
 * chunks; requests and their reasons (0.4, I5); who destroys arguments and values (I7, I8). How a map is dropped,
 * waited for, shut down and refused is in test_map_life.c.
 *
 * Discipline. Items are cells, some with a gate; one worker starts the chunks in their order, so which items have
 * started when a gate is reached is known. */
#include "map.h"

/* ---- MAP-01 ---- */

static void test_map_01_same_results_for_every_chunk_size(void **state)
{
    (void)state;
    enum { N = 10 };
    static const size_t sizes[] = {1, 3, 5, N, N + 1, SIZE_MAX, 0};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
            test_cell *cells[N];
            void *value = &cells;
            weft_executor *executor = test_executor(0);
            cells_make(cells, N);
            weft_future *map = map_cells(executor, cells, N, sizes[k], (weft_gather_mode)mode);
            assert_done_soon(map);
            assert_ok(map, NULL);
            assert_int_equal(weft_future_take(map, &value), 0);
            assert_null(value);
            for (size_t i = 0; i < N; i++) {
                assert_slot(&slots(map, N)[i], WEFT_SUCCEEDED, 0, cells[i]);
                assert_int_equal(slots(map, N)[i].index, 0);
                assert_int_equal(test_get(cells[i]->ran), 1);
            }
            assert_freed(cells, N, 0);
            assert_int_equal(weft_cancel(map), WEFT_CANCEL_TOO_LATE);
            weft_future_release(map);
            test_destroy(executor);
            assert_freed(cells, N, 1);
        }
    }
}

static void test_map_01_the_array_is_read_during_the_call_only(void **state)
{
    (void)state;
    test_cell *cells[4], *copy[4];
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    cells_make(cells, 4);
    memcpy(copy, cells, sizeof cells);
    weft_future *map = map_cells(executor, copy, 4, 2, WEFT_SETTLED);
    memset(copy, 0, sizeof copy);
    assert_pending(executor, map);
    size_t n = 77;
    errno = 0;
    assert_null(weft_gather_outcomes(map, &n));
    assert_int_equal(errno, EINPROGRESS);
    test_unblock(gate);
    assert_done_soon(map);
    assert_slot(&slots(map, 4)[3], WEFT_SUCCEEDED, 0, cells[3]);
    weft_future_release(map);
    test_destroy(executor);
}

static void test_map_01_nothing_is_done_on_return(void **state)
{
    (void)state;
    void *items[] = {NULL};
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
        for (size_t chunk = 0; chunk < 3; chunk++) {
            weft_future *map =
                weft_map(executor, test_cell_run, chunk ? items : NULL, 0, chunk, (weft_gather_mode)mode);
            size_t n = 77;
            assert_true(weft_future_done(map));
            assert_ok(map, NULL);
            assert_non_null(weft_gather_outcomes(map, &n));
            assert_int_equal(n, 0);
            weft_future_release(map);
        }
    }
    test_unblock(gate);
    test_destroy(executor);
}

static void test_map_01_bad_arguments_are_refused(void **state)
{
    (void)state;
    int thing;
    void *items[] = {&thing, NULL, &thing};
    const weft_submit_options wrong = {.priority = (weft_priority)3};
    weft_executor *executor = test_executor(1);
    errno = 0;
    assert_null(weft_map(executor, NULL, items, 1, 1, WEFT_SETTLED));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(weft_map(executor, test_cell_run, NULL, 1, 1, WEFT_SETTLED));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(weft_map(executor, test_cell_run, items, 3, 1, WEFT_SETTLED));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(weft_map(executor, test_cell_run, items, 1, 1, (weft_gather_mode)3));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(weft_map_with(executor, test_cell_run, items, 1, 1, WEFT_SETTLED, &wrong));
    assert_int_equal(errno, EINVAL);
    test_destroy(executor);
}

/* ---- MAP-02: an outcome for each item ---- */

static void test_map_02_only_the_failing_item_fails(void **state)
{
    (void)state;
    for (size_t chunk = 1; chunk <= 5; chunk++) {
        for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_SETTLED; mode++) {
            test_cell *cells[5];
            weft_executor *executor = test_executor(0);
            cells_make(cells, 5);
            cells[2]->code = 7;
            weft_future *map = map_cells(executor, cells, 5, chunk, (weft_gather_mode)mode);
            assert_done_soon(map);
            if (mode == WEFT_SETTLED) {
                assert_ok(map, NULL);
            } else {
                assert_failed_at(map, 7, 2);
            }
            for (size_t i = 0; i < 5; i++) {
                bool fails = i == 2;
                assert_slot(&slots(map, 5)[i], fails ? WEFT_FAILED : WEFT_SUCCEEDED, fails ? 7 : 0,
                            fails ? NULL : cells[i]);
            }
            weft_stats stats;
            assert_int_equal(weft_executor_stats(executor, &stats), 0);
            assert_int_equal(stats.succeeded,
                             (5 + chunk - 1) / chunk); /* no chunk takes an item's failure for its own */
            weft_future_release(map);
            test_destroy(executor);
            assert_freed(cells, 5, 1);
        }
    }
}

static void test_map_02_an_item_that_cancels_itself(void **state)
{
    (void)state;
    test_cell *cells[3];
    weft_executor *executor = test_executor(1);
    cells_make(cells, 3);
    cells[1]->code = -ECANCELED;
    weft_future *map = map_cells(executor, cells, 3, 3, WEFT_FIRST_ERROR);
    assert_done_soon(map);
    assert_failed_at(map, -ECANCELED, 1);
    assert_skipped(&slots(map, 3)[1], WEFT_REASON_SELF);
    assert_slot(&slots(map, 3)[2], WEFT_SUCCEEDED, 0, cells[2]);
    assert_false(test_get(cells[2]->saw_cancel));
    weft_future_release(map);
    test_destroy(executor);
}

static void *fail_with_a_value(void *argument)
{
    test_cell *cell = argument;
    if (cell->code) {
        weft_fail(cell->code);
    }
    return cell;
}

/* I7, RES-02: and what weft_fail said is forgotten before the next item. */
static void test_map_02_a_value_beside_a_failure_is_destroyed_at_once(void **state)
{
    (void)state;
    test_cell *cells[4];
    weft_executor *executor = test_executor(1);
    cells_make(cells, 4);
    cells[0]->code = 3;
    cells[2]->code = -ECANCELED;
    weft_future *map = map_with(executor, fail_with_a_value, (void *const *)cells, 4, 4, WEFT_SETTLED, &freeing);
    assert_done_soon(map);
    assert_int_equal(test_get(cells[0]->value_freed), 1);
    assert_int_equal(test_get(cells[1]->value_freed), 0);
    assert_int_equal(test_get(cells[2]->value_freed), 1);
    assert_slot(&slots(map, 4)[0], WEFT_FAILED, 3, NULL);
    assert_slot(&slots(map, 4)[1], WEFT_SUCCEEDED, 0, cells[1]);
    assert_skipped(&slots(map, 4)[2], WEFT_REASON_SELF);
    assert_slot(&slots(map, 4)[3], WEFT_SUCCEEDED, 0, cells[3]);
    weft_future_release(map);
    test_destroy(executor);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(test_get(cells[i]->value_freed), 1);
    }
}

static _Atomic(unsigned) nulls_freed;

static void count_null(void *value)
{
    if (TEST_EXPECT(value == NULL)) {
        atomic_fetch_add_explicit(&nulls_freed, 1, memory_order_acq_rel);
    }
}

static void *return_null(void *argument)
{
    return *(int *)argument ? weft_fail(*(int *)argument) : NULL;
}

/* The NULL that weft_fail returns is no value. */
static void test_map_02_null_is_a_value_like_any_other(void **state)
{
    (void)state;
    int codes[] = {0, 5, 0};
    void *items[] = {&codes[0], &codes[1], &codes[2]};
    const weft_submit_options each = {.free_value = count_null};
    weft_executor *executor = test_executor(1);
    atomic_store_explicit(&nulls_freed, 0, memory_order_release);
    weft_future *map = map_with(executor, return_null, items, 3, 2, WEFT_SETTLED, &each);
    assert_done_soon(map);
    assert_slot(&slots(map, 3)[0], WEFT_SUCCEEDED, 0, NULL);
    assert_int_equal(test_get(nulls_freed), 0);
    weft_future_release(map);
    test_destroy(executor);
    assert_int_equal(test_get(nulls_freed), 2);
}

/* ---- how the modes end ---- */

/* Quiet in FIRST_ERROR too. */
static void test_map_02_a_failing_map_waits_for_the_rest(void **state)
{
    (void)state;
    test_cell *cells[6];
    weft_executor *executor = test_executor(1);
    cells_make(cells, 6);
    cells[0]->code = 9;
    cells[3]->gate = test_gate_make();
    cells[4]->code = 4;
    weft_future *map = map_cells(executor, cells, 6, 2, WEFT_FIRST_ERROR);
    assert_true(test_gate_await(cells[3]->gate, 1));
    assert_pending(executor, map);
    test_gate_open(cells[3]->gate);
    assert_done_soon(map);
    assert_failed_at(map, 9, 0);
    assert_false(test_get(cells[3]->saw_cancel));
    assert_slot(&slots(map, 6)[4], WEFT_FAILED, 4, NULL);
    assert_slot(&slots(map, 6)[5], WEFT_SUCCEEDED, 0, cells[5]);
    weft_future_release(map);
    test_destroy(executor);
}

static void test_map_02_first_in_time_not_in_place(void **state)
{
    (void)state;
    test_cell *cells[4];
    weft_executor *executor = test_executor(2);
    cells_make(cells, 4);
    cells[0]->code = 10;
    cells[0]->gate = test_gate_make();
    cells[2]->code = 12;
    cells[3]->gate = test_gate_make();
    weft_future *map = map_cells(executor, cells, 4, 2, WEFT_FIRST_ERROR);
    assert_true(test_gate_await(cells[3]->gate, 1));
    test_gate_open(cells[0]->gate);
    test_gate_open(cells[3]->gate);
    assert_done_soon(map);
    assert_failed_at(map, 12, 2);
    assert_slot(&slots(map, 4)[0], WEFT_FAILED, 10, NULL);
    weft_future_release(map);
    test_destroy(executor);
}

static void test_map_04_strict_starts_no_more_items(void **state)
{
    (void)state;
    for (size_t chunk = 1; chunk <= 7; chunk++) {
        test_cell *cells[7];
        weft_executor *executor = test_executor(1);
        cells_make(cells, 7);
        cells[2]->code = 7;
        weft_future *map = map_cells(executor, cells, 7, chunk, WEFT_STRICT);
        assert_done_soon(map);
        assert_failed_at(map, 7, 2);
        const weft_outcome *slot = slots(map, 7);
        for (size_t i = 0; i < 2; i++) {
            assert_slot(&slot[i], WEFT_SUCCEEDED, 0, cells[i]);
        }
        for (size_t i = 3; i < 7; i++) {
            assert_skipped(&slot[i], WEFT_REASON_SIBLING);
            assert_int_equal(test_get(cells[i]->ran), 0);
        }
        weft_future_release(map);
        test_destroy(executor);
        assert_freed(cells, 7, 1);
    }
}

/* A running item is asked, and the map waits for it. */
static void test_map_04_strict_resolves_when_quiet(void **state)
{
    (void)state;
    test_latch *started = test_latch_make(), *asked = test_latch_make();
    stubborn job = {started, asked, cell_make(test_gate_make(), 0)};
    test_cell *fails = cell_make(test_gate_make(), 8), *obeys = cell_make(NULL, 0);
    item calls[] = {{stubborn_job, &job}, {test_cell_run, obeys}, {test_cell_run, fails}, {test_cell_run, obeys}};
    void *items[] = {&calls[0], &calls[1], &calls[2], &calls[3]};
    weft_executor *executor = test_executor(2);
    weft_future *map = map_with(executor, item_call, items, 4, 2, WEFT_STRICT, NULL);
    assert_true(test_latch_wait(started, 1));
    assert_true(test_gate_await(fails->gate, 1));
    test_gate_open(fails->gate);
    assert_true(test_latch_wait(asked, 1));
    assert_pending(executor, map);
    test_gate_open(job.cell->gate);
    assert_done_soon(map);
    assert_failed_at(map, 8, 2);
    const weft_outcome *slot = slots(map, 4);
    assert_slot(&slot[0], WEFT_SUCCEEDED, 0, job.cell);
    assert_skipped(&slot[1], WEFT_REASON_SIBLING);
    assert_skipped(&slot[3], WEFT_REASON_SIBLING);
    assert_int_equal(test_get(obeys->ran), 0);
    weft_future_release(map);
    test_destroy(executor);
}

static void test_map_04_strict_takes_a_cancelled_item_for_a_failure(void **state)
{
    (void)state;
    test_cell *cells[4];
    weft_executor *executor = test_executor(1);
    cells_make(cells, 4);
    cells[1]->code = -ECANCELED;
    weft_future *map = map_cells(executor, cells, 4, 2, WEFT_STRICT);
    assert_done_soon(map);
    assert_failed_at(map, -ECANCELED, 1);
    assert_skipped(&slots(map, 4)[1], WEFT_REASON_SELF);
    assert_skipped(&slots(map, 4)[3], WEFT_REASON_SIBLING);
    weft_future_release(map);
    test_destroy(executor);
}

/* ---- requests ---- */

/* Items 0 and 1 of the first chunk have run or run; item 2 of the same chunk and the second chunk have not. */
typedef struct scene {
    weft_executor *executor;
    weft_future *map;
    test_cell *cells[5];
} scene;

static void scene_make(scene *s, weft_clock *clock, weft_gather_mode mode)
{
    s->executor = clock ? test_executor_clock(1, clock) : test_executor(1);
    cells_make(s->cells, 5);
    s->cells[1]->gate = test_gate_make();
    s->map = map_cells(s->executor, s->cells, 5, 3, mode);
    assert_true(test_gate_await(s->cells[1]->gate, 1));
}

/* Ends it, after a request that reached the items with `reason`. */
static void scene_end(scene *s, weft_cancel_reason reason, weft_cancel_reason own_reason)
{
    assert_pending(s->executor, s->map);
    test_gate_open(s->cells[1]->gate);
    assert_done_soon(s->map);
    assert_cancelled(s->map, own_reason);
    const weft_outcome *slot = slots(s->map, 5);
    assert_slot(&slot[0], WEFT_SUCCEEDED, 0, s->cells[0]);
    if (s->cells[1]->code) {
        assert_skipped(&slot[1], reason);
    } else {
        assert_slot(&slot[1], WEFT_SUCCEEDED, 0, s->cells[1]);
    }
    assert_true(test_get(s->cells[1]->saw_cancel));
    for (size_t i = 2; i < 5; i++) {
        assert_skipped(&slot[i], reason);
        assert_int_equal(test_get(s->cells[i]->ran), 0);
    }
    assert_int_equal(weft_cancel(s->map), WEFT_CANCEL_TOO_LATE);
    weft_future_release(s->map);
    test_destroy(s->executor);
    assert_freed(s->cells, 5, 1);
}

static void test_map_05_a_deadline_over_a_map(void **state)
{
    (void)state;
    for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
        scene s;
        weft_clock *clock = weft_manual_clock_create();
        scene_make(&s, clock, (weft_gather_mode)mode);
        weft_future *timed = weft_wait_for(s.map, 10 * MS, 0);
        assert_pending(s.executor, timed);
        weft_manual_clock_advance(clock, 20 * MS);
        assert_done_soon(timed);
        assert_timed_out(timed);
        weft_future_release(timed);
        flush(s.executor);
        scene_end(&s, WEFT_REASON_TIMEOUT, WEFT_REASON_TIMEOUT);
        weft_clock_destroy(clock);
    }
}

static void test_map_05_a_cancelled_map_stops_between_items(void **state)
{
    (void)state;
    for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
        for (int acknowledges = 0; acknowledges < 2; acknowledges++) {
            scene s;
            scene_make(&s, NULL, (weft_gather_mode)mode);
            s.cells[1]->code = acknowledges ? -ECANCELED : 0;
            assert_int_equal(weft_cancel(s.map), WEFT_CANCEL_REQUESTED);
            assert_int_equal(weft_cancel(s.map), WEFT_CANCEL_ALREADY);
            flush(s.executor);
            scene_end(&s, WEFT_REASON_PARENT, WEFT_REASON_USER);
        }
    }
}

/* No item starts after weft_cancel has returned, though the coordinator is held up. */
static int pass_gate(weft_future *future, void *gate)
{
    (void)future;
    test_gate_pass(gate);
    return 0;
}

static void test_map_05_a_request_is_in_force_on_return(void **state)
{
    (void)state;
    scene s;
    test_gate *gate = test_gate_make();
    scene_make(&s, NULL, WEFT_SETTLED);
    weft_future *done = test_done_future(s.executor);
    assert_int_equal(weft_on_done(done, pass_gate, gate, NULL), 0);
    assert_true(test_gate_await(gate, 1));
    assert_int_equal(weft_cancel(s.map), WEFT_CANCEL_REQUESTED);
    test_gate_open(s.cells[1]->gate);
    assert_done_soon(s.map);
    assert_cancelled(s.map, WEFT_REASON_USER);
    for (size_t i = 2; i < 5; i++) {
        assert_skipped(&slots(s.map, 5)[i], WEFT_REASON_PARENT);
        assert_int_equal(test_get(s.cells[i]->ran), 0);
    }
    test_gate_open(gate);
    weft_future_release(done);
    weft_future_release(s.map);
    test_destroy(s.executor);
}

static void test_map_05_cancelled_before_any_start(void **state)
{
    (void)state;
    test_cell *cells[6];
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    cells_make(cells, 6);
    weft_future *map = map_cells(executor, cells, 6, 2, WEFT_FIRST_ERROR);
    assert_int_equal(weft_cancel(map), WEFT_CANCEL_REQUESTED);
    assert_done_soon(map); /* the worker is still at its gate */
    assert_cancelled(map, WEFT_REASON_USER);
    for (size_t i = 0; i < 6; i++) {
        assert_skipped(&slots(map, 6)[i], WEFT_REASON_PARENT);
    }
    assert_freed(cells, 6, 0);
    weft_future_release(map);
    test_unblock(gate);
    test_destroy(executor);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(test_get(cells[i]->ran), 0);
    }
}

static void test_map_05_below_a_strict_gather(void **state)
{
    (void)state;
    scene s;
    scene_make(&s, NULL, WEFT_SETTLED);
    inputs in = inputs_make(s.executor, 1);
    weft_future *futures[] = {in.future[0], s.map};
    weft_future *all = gather(s.executor, futures, 2, WEFT_STRICT);
    weft_promise_reject(in.promise[0], 3);
    flush(s.executor);
    flush(s.executor); /* the gather's request made another message, the map's */
    assert_int_equal(weft_cancel(s.map), WEFT_CANCEL_ALREADY);
    weft_future_release(all); /* detaches; the request stands */
    inputs_free(&in);
    scene_end(&s, WEFT_REASON_PARENT, WEFT_REASON_SIBLING);
}

/* Each item ran and succeeded, or was skipped; its argument went once. */
static void test_map_05_race_of_a_cancel_with_the_items(void **state)
{
    (void)state;
    enum { N = 8 };
    weft_executor *executor = test_executor(2);
    for (unsigned round = 0; round < test_rounds(300); round++) {
        test_cell *cells[N];
        cells_make(cells, N);
        weft_future *map = map_cells(executor, cells, N, 1 + round % 4, (weft_gather_mode)(round % 3));
        for (unsigned i = 0; i < round % 7 * 20; i++) {
            (void)weft_future_done(map);
        }
        weft_cancel_effect effect = weft_cancel(map);
        assert_done_soon(map);
        unsigned skipped = 0;
        for (size_t i = 0; i < N; i++) {
            const weft_outcome *slot = &slots(map, N)[i];
            bool ran = test_get(cells[i]->ran) != 0;
            skipped += !ran;
            assert_slot(slot, ran ? WEFT_SUCCEEDED : WEFT_CANCELLED, ran ? 0 : -ECANCELED, ran ? cells[i] : NULL);
            assert_int_equal(slot->reason, ran ? WEFT_REASON_NONE : WEFT_REASON_PARENT);
        }
        if (effect == WEFT_CANCEL_TOO_LATE) {
            assert_ok(map, NULL);
            assert_int_equal(skipped, 0);
        } else {
            assert_int_equal(effect, WEFT_CANCEL_REQUESTED);
            assert_cancelled(map, WEFT_REASON_USER);
        }
        weft_future_release(map);
        assert_true(test_until_counters(0, 0, 0)); /* the last worker has let go of it */
        assert_freed(cells, N, 1);
    }
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_map_01_same_results_for_every_chunk_size),
        TEST(test_map_01_the_array_is_read_during_the_call_only),
        TEST(test_map_01_nothing_is_done_on_return),
        TEST(test_map_01_bad_arguments_are_refused),
        TEST(test_map_02_only_the_failing_item_fails),
        TEST(test_map_02_an_item_that_cancels_itself),
        TEST(test_map_02_a_value_beside_a_failure_is_destroyed_at_once),
        TEST(test_map_02_null_is_a_value_like_any_other),
        TEST(test_map_02_a_failing_map_waits_for_the_rest),
        TEST(test_map_02_first_in_time_not_in_place),
        TEST(test_map_04_strict_starts_no_more_items),
        TEST(test_map_04_strict_resolves_when_quiet),
        TEST(test_map_04_strict_takes_a_cancelled_item_for_a_failure),
        TEST(test_map_05_a_deadline_over_a_map),
        TEST(test_map_05_a_cancelled_map_stops_between_items),
        TEST(test_map_05_a_request_is_in_force_on_return),
        TEST(test_map_05_cancelled_before_any_start),
        TEST(test_map_05_below_a_strict_gather),
        TEST(test_map_05_race_of_a_cancel_with_the_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
