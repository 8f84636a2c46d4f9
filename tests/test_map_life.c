/* test_map_life.c: weft_map again: dropped ones (MAP-03) and unread errors (DRP), options of the chunks, refusals
 * (MEM-04, SHD-01), shutdown (0.4), life beyond the executor (I16).
 *
 * Discipline. As in test_map.c. */
#include "map.h"

/* ---- dropping, errors ---- */

static test_hook hook;

static weft_executor *hooked_executor(void)
{
    weft_executor_options options = {.workers = 1, .unobserved_error = test_hook_unobserved, .data = &hook};
    memset(&hook, 0, sizeof hook);
    return test_executor_with(&options);
}

static void test_map_03_dropped_all_items_run(void **state)
{
    (void)state;
    for (size_t chunk = 0; chunk < 4; chunk++) {
        test_cell *cells[7];
        weft_executor *executor = test_executor(1);
        test_gate *gate = test_block(executor, 1);
        cells_make(cells, 7);
        weft_future_release(map_cells(executor, cells, 7, chunk, WEFT_FIRST_ERROR));
        test_unblock(gate);
        assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, test_patience()), 0);
        assert_true(test_until_counters(0, 0, 0));
        for (size_t i = 0; i < 7; i++) {
            assert_int_equal(test_get(cells[i]->ran), 1);
        }
        assert_freed(cells, 7, 1);
        test_destroy(executor);
    }
}

static weft_future *failing_map(weft_executor *executor, test_gate *gate, test_cell *cells[4])
{
    weft_submit_options each = freeing;
    each.name = "map";
    cells_make(cells, 4);
    cells[2]->code = 7;
    cells[3]->gate = gate;
    return map_with(executor, test_cell_run, (void *const *)cells, 4, 2, WEFT_FIRST_ERROR, &each);
}

static void assert_reported(unsigned times)
{
    assert_int_equal(test_get(hook.errors), times);
    if (times) {
        assert_int_equal(test_get(hook.last_error), 7);
        assert_string_equal(test_get(hook.last_name), "map");
    }
}

static void test_drp_01_a_map_that_failed_unread(void **state)
{
    (void)state;
    for (int dropped_before = 0; dropped_before < 2; dropped_before++) {
        test_cell *cells[4];
        weft_executor *executor = hooked_executor();
        test_gate *gate = test_gate_make();
        weft_future *map = failing_map(executor, gate, cells);
        assert_true(test_gate_await(gate, 1));
        if (dropped_before) {
            weft_future_release(map);
        }
        flush(executor);
        assert_reported(0);
        test_gate_open(gate);
        if (!dropped_before) {
            assert_done_soon(map);
            weft_future_release(map);
        }
        test_destroy(executor);
        assert_reported(1);
        assert_freed(cells, 4, 1);
    }
}

static void test_drp_02_a_map_that_was_read_or_handed_on(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        test_cell *cells[4];
        weft_executor *executor = hooked_executor();
        weft_future *map = failing_map(executor, NULL, cells), *over = NULL;
        assert_done_soon(map);
        if (how == 0) {
            assert_err(map, 7);
        } else if (how == 1) {
            slots(map, 4);
        } else if (how == 2) {
            assert_int_equal(weft_future_get(map, NULL), 7);
        } else {
            over = gather(executor, &map, 1, WEFT_FIRST_ERROR);
        }
        weft_future_release(map);
        weft_future_release(over); /* reported there, by the name of what failed */
        test_destroy(executor);
        assert_reported(over != NULL);
    }
}

/* ---- options ---- */

static void test_map_01_chunks_have_the_priority(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    test_cell *cells[4], *normal = cell_make(NULL, 0);
    weft_submit_options each = freeing;
    cells_make(cells, 4);
    normal->gate = test_gate_make();
    each.priority = WEFT_HIGH;
    weft_future *job = submit(executor, normal);
    weft_future *map = map_with(executor, test_cell_run, (void *const *)cells, 4, 2, WEFT_SETTLED, &each);
    test_unblock(gate);
    assert_true(test_gate_await(normal->gate, 1));
    assert_done_soon(map);
    test_gate_open(normal->gate);
    assert_done_soon(job);
    weft_future_release(job);
    weft_future_release(map);
    test_destroy(executor);
}

static void test_map_01_chunks_have_the_delay(void **state)
{
    (void)state;
    for (int end = 0; end < 4; end++) { /* due, cancelled, dropped, shut down */
        test_cell *cells[4];
        weft_submit_options each = freeing;
        weft_clock *clock = weft_manual_clock_create();
        weft_executor *executor = test_executor_clock(1, clock);
        cells_make(cells, 4);
        each.delay = 10 * MS;
        weft_future *map = map_with(executor, test_cell_run, (void *const *)cells, 4, 2, WEFT_SETTLED, &each);
        assert_pending(executor, map);
        assert_timers_soon(2);
        if (end == 1) {
            assert_int_equal(weft_cancel(map), WEFT_CANCEL_REQUESTED);
            assert_done_soon(map);
            assert_cancelled(map, WEFT_REASON_USER);
            assert_skipped(&slots(map, 4)[3], WEFT_REASON_PARENT);
        } else if (end == 3) {
            assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, test_patience()), 0);
            assert_cancelled(map, WEFT_REASON_SHUTDOWN);
            assert_skipped(&slots(map, 4)[0], WEFT_REASON_SHUTDOWN);
        } else {
            weft_future *kept = end == 2 ? NULL : weft_future_retain(map);
            if (end == 2) {
                weft_future_release(map);
            }
            weft_manual_clock_advance(clock, 10 * MS + TICK);
            if (kept) {
                assert_done_soon(map);
                assert_ok(map, NULL);
            }
            weft_future_release(kept);
        }
        assert_true(test_until_counters(end == 2 ? 0 : 1 + 2, 0, 0));
        if (end != 2) {
            weft_future_release(map);
        }
        test_destroy(executor);
        weft_clock_destroy(clock);
        assert_freed(cells, 4, 1);
        assert_int_equal(test_get(cells[0]->ran), end == 0 || end == 2);
    }
}

/* ---- refusals ---- */

static void test_map_01_beyond_the_limit_it_is_eagain(void **state)
{
    (void)state;
    enum { LIMIT = 3 };
    const weft_executor_options options = {.workers = 1, .max_pending = LIMIT};
    test_cell *cells[8];
    weft_executor *executor = test_executor_with(&options);
    test_gate *gate = test_block(executor, 1);
    cells_make(cells, 8);
    for (int round = 0; round < 2; round++) {
        assert_map_refused(executor, cells, 8, 2, EAGAIN);
        assert_map_refused(executor, cells, 4, 1, EAGAIN);
        weft_future *map = map_cells(executor, cells, 8, round ? 0 : 3, WEFT_SETTLED); /* weft chooses what fits */
        assert_int_equal(weft_execute(executor, test_job_return_arg, NULL), -EAGAIN);
        assert_int_equal(weft_cancel(map), WEFT_CANCEL_REQUESTED);
        assert_done_soon(map); /* and its places are free again */
        weft_future_release(map);
        cells_make(cells, 8);
    }
    weft_future *jobs[LIMIT];
    for (int i = 0; i < LIMIT; i++) {
        jobs[i] = weft_submit(executor, test_job_return_arg, NULL);
        assert_non_null(jobs[i]);
    }
    assert_map_refused(executor, cells, 1, 1, EAGAIN);
    test_unblock(gate);
    for (int i = 0; i < LIMIT; i++) {
        assert_int_equal(weft_await(jobs[i], NULL), 0);
    }
    test_destroy(executor);
}

static void test_map_01_refused_after_shutdown(void **state)
{
    (void)state;
    for (int mode = WEFT_DRAIN; mode <= WEFT_CANCEL_ALL; mode++) {
        test_cell *cells[3];
        weft_submit_options each = freeing;
        weft_executor *executor = test_executor(1);
        cells_make(cells, 3);
        each.delay = MS;
        assert_int_equal(weft_executor_shutdown(executor, (weft_shutdown_mode)mode, test_patience()), 0);
        assert_map_refused(executor, cells, 3, 2, ESHUTDOWN);
        errno = 0;
        assert_null(weft_map(executor, test_cell_run, NULL, 0, 0, WEFT_SETTLED));
        assert_int_equal(errno, ESHUTDOWN);
        errno = 0;
        assert_null(weft_map_with(executor, test_cell_run, (void *const *)cells, 3, 1, WEFT_SETTLED, &each));
        assert_int_equal(errno, ESHUTDOWN);
        assert_untouched(cells, 3);
        test_destroy(executor);
    }
}

static test_gate *start_gate;

static int fail_to_start(unsigned worker, void *data)
{
    (void)worker;
    (void)data;
    test_gate_pass(start_gate);
    return 1;
}

static void test_map_01_a_broken_executor(void **state)
{
    (void)state;
    test_cell *cells[4];
    const weft_executor_options options = {
        .workers = 1, .worker_start = fail_to_start, .unobserved_error = test_hook_unobserved, .data = &hook};
    memset(&hook, 0, sizeof hook);
    start_gate = test_gate_make();
    weft_executor *executor = test_executor_with(&options);
    cells_make(cells, 4);
    weft_future *map = map_cells(executor, cells, 4, 2, WEFT_FIRST_ERROR);
    test_gate_open(start_gate);
    assert_done_soon(map);
    assert_failed_at(map, -ENOTRECOVERABLE, 0);
    for (size_t i = 0; i < 4; i++) {
        assert_slot(&slots(map, 4)[i], WEFT_FAILED, -ENOTRECOVERABLE, NULL);
    }
    assert_freed(cells, 4, 0);
    cells_make(cells, 4);
    assert_map_refused(executor, cells, 4, 2, ENOTRECOVERABLE);
    weft_future_release(map);
    test_destroy(executor);
    assert_reported(0); /* it was read, and its chunks have nothing to report */
}

static void *map_until_refused(void *argument)
{
    weft_executor *executor = argument;
    int thing;
    void *items[] = {&thing, &thing, &thing};
    weft_future *map;
    do {
        errno = 0;
        map = weft_map(executor, test_job_return_arg, items, 3, 1, WEFT_SETTLED);
        TEST_EXPECT(map || errno == ESHUTDOWN);
        TEST_EXPECT(!map || weft_future_wait(map, WEFT_FOREVER) == 0);
        weft_outcome outcome;
        if (map && TEST_EXPECT(weft_future_outcome(map, &outcome) == 0)) {
            TEST_EXPECT(outcome.state == WEFT_SUCCEEDED ||
                        (outcome.state == WEFT_CANCELLED && outcome.reason == WEFT_REASON_SHUTDOWN));
        }
        weft_future_release(map);
    } while (map);
    return NULL;
}

static void test_map_01_race_with_shutdown(void **state)
{
    (void)state;
    for (unsigned round = 0; round < test_rounds(60); round++) {
        weft_executor *executor = test_executor(2);
        pthread_t thread = test_spawn(map_until_refused, executor);
        for (unsigned i = 0; i < round * 50; i++) {
            (void)weft_executor_workers(executor);
        }
        assert_int_equal(weft_executor_shutdown(executor, (weft_shutdown_mode)(round % 3), test_patience()), 0);
        test_join(thread);
        test_destroy(executor);
    }
}

/* ---- shutdown ---- */

static void shutdown_over_chunks(weft_shutdown_mode shutdown, weft_gather_mode mode)
{
    test_cell *cells[5];
    weft_executor *executor = test_executor(1);
    cells_make(cells, 5);
    cells[0]->gate = test_gate_make();
    weft_future *map = map_cells(executor, cells, 5, 2, mode), *over = weft_shield(map);
    assert_true(test_gate_await(cells[0]->gate, 1));
    assert_int_equal(weft_executor_shutdown(executor, shutdown, 0), -ETIMEDOUT);
    assert_pending(executor, map);
    test_gate_open(cells[0]->gate);
    assert_int_equal(weft_executor_shutdown(executor, shutdown, test_patience()), 0);
    assert_slot(&slots(map, 5)[0], WEFT_SUCCEEDED, 0, cells[0]);
    /* In a STRICT map the chunks that shutdown cancels are failures, for which the others may be stopped. */
    bool sibling = mode == WEFT_STRICT && shutdown != WEFT_DRAIN;
    if (!sibling) {
        assert_int_equal(test_get(cells[0]->saw_cancel), shutdown == WEFT_CANCEL_ALL);
    }
    for (size_t i = 1; i < 5; i++) {
        if (shutdown == WEFT_DRAIN) {
            assert_slot(&slots(map, 5)[i], WEFT_SUCCEEDED, 0, cells[i]);
        } else if (!sibling) {
            assert_skipped(&slots(map, 5)[i], WEFT_REASON_SHUTDOWN);
        } else {
            assert_int_equal(slots(map, 5)[i].state, WEFT_CANCELLED);
            assert_int_equal(test_get(cells[i]->ran), 0);
        }
    }
    if (shutdown == WEFT_DRAIN) {
        assert_ok(map, NULL);
        assert_ok(over, NULL);
    } else {
        assert_cancelled(map, WEFT_REASON_SHUTDOWN);
        assert_cancelled(over, WEFT_REASON_SHUTDOWN);
    }
    test_destroy(executor);
    assert_int_equal(test_get(cells[0]->value_freed), 0);
    assert_slot(&slots(map, 5)[0], WEFT_SUCCEEDED, 0, cells[0]); /* I16 */
    weft_future_release(over);
    weft_future_release(map);
    assert_freed(cells, 5, 1);
}

static void test_map_03_shutdown_drains_or_cancels_items(void **state)
{
    (void)state;
    for (int shutdown = WEFT_DRAIN; shutdown <= WEFT_CANCEL_ALL; shutdown++) {
        for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
            shutdown_over_chunks((weft_shutdown_mode)shutdown, (weft_gather_mode)mode);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_map_03_dropped_all_items_run),
        TEST(test_drp_01_a_map_that_failed_unread),
        TEST(test_drp_02_a_map_that_was_read_or_handed_on),
        TEST(test_map_01_chunks_have_the_priority),
        TEST(test_map_01_chunks_have_the_delay),
        TEST(test_map_01_beyond_the_limit_it_is_eagain),
        TEST(test_map_01_refused_after_shutdown),
        TEST(test_map_01_a_broken_executor),
        TEST(test_map_01_race_with_shutdown),
        TEST(test_map_03_shutdown_drains_or_cancels_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
