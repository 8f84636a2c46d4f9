/* test_map_threads.c: weft_map and the threads of its executor: maps that jobs make and wait for (I13), items that end
 * their thread (0.1).
 *
 * Discipline. As in test_map.c. Items end their thread by pthread_exit; whoever takes its place must go on behind them,
 * whatever the number of workers, and what the chunk held must be given back exactly once. */
#include "map.h"

/* A job that maps over cells in its own executor and waits for the map. */
typedef struct mapper {
    weft_executor *executor;
    test_cell *cells[6];
    weft_fn *fn;      /* NULL: test_cell_run */
    weft_future *map; /* by the job; released by the test */
    test_gate *gate;  /* passed before; or NULL */
    pthread_t thread; /* by the job */
} mapper;

static void *map_and_await(void *argument)
{
    mapper *m = argument;
    m->thread = pthread_self();
    if (m->gate) {
        test_gate_pass(m->gate);
    }
    m->map = weft_map_with(m->executor, m->fn ? m->fn : test_cell_run, (void *const *)m->cells, 6, 2, WEFT_FIRST_ERROR,
                           &freeing);
    TEST_EXPECT(m->map != NULL);
    TEST_EXPECT(weft_future_wait(m->map, WEFT_FOREVER) == 0);
    return m;
}

static void test_map_01_a_jobs_own_map_is_not_refused(void **state)
{
    (void)state;
    const weft_executor_options options = {.workers = 1, .max_pending = 1};
    weft_executor *executor = test_executor_with(&options);
    mapper m = {.executor = executor, .gate = test_gate_make()};
    cells_make(m.cells, 6);
    weft_future *job = weft_submit(executor, map_and_await, &m);
    assert_true(test_gate_await(m.gate, 1));
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT); /* nor while draining */
    assert_map_refused(executor, m.cells, 2, 1, ESHUTDOWN);
    test_gate_open(m.gate);
    assert_done_soon(job);
    assert_ok(job, &m);
    assert_ok(m.map, NULL);
    weft_future_release(job);
    weft_future_release(m.map);
    test_destroy(executor);
    assert_freed(m.cells, 6, 1);
}

/* ---- waiting in a worker ---- */

static pthread_t item_threads[6]; /* by the items; read when the map is done */
static _Atomic(unsigned) item_ran;

static void *note_thread(void *cell)
{
    item_threads[atomic_fetch_add_explicit(&item_ran, 1, memory_order_acq_rel)] = pthread_self();
    return test_cell_run(cell);
}

static void test_map_01_a_worker_that_waits_runs_the_chunks(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    mapper m = {.executor = executor, .fn = note_thread};
    cells_make(m.cells, 6);
    atomic_store_explicit(&item_ran, 0, memory_order_release);
    assert_int_equal(weft_await(weft_submit(executor, map_and_await, &m), NULL), 0);
    assert_int_equal(test_get(item_ran), 6);
    for (int i = 0; i < 6; i++) {
        assert_true(pthread_equal(item_threads[i], m.thread));
    }
    weft_future_release(m.map);
    test_destroy(executor);
}

static void *map_inside(void *argument)
{
    mapper *m = argument;
    return map_and_await(m);
}

static void test_map_01_maps_in_maps(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 2; workers++) {
        mapper mappers[4];
        void *items[4];
        weft_executor *executor = test_executor(workers);
        for (int i = 0; i < 4; i++) {
            mappers[i] = (mapper){.executor = executor};
            cells_make(mappers[i].cells, 6);
            items[i] = &mappers[i];
        }
        weft_future *map = map_with(executor, map_inside, items, 4, 2, WEFT_STRICT, NULL);
        assert_done_soon(map);
        assert_ok(map, NULL);
        for (size_t i = 0; i < 4; i++) {
            assert_slot(&slots(map, 4)[i], WEFT_SUCCEEDED, 0, &mappers[i]);
            assert_ok(mappers[i].map, NULL);
            weft_future_release(mappers[i].map);
        }
        weft_future_release(map);
        test_destroy(executor);
    }
}

/* ---- items that end their thread ---- */

enum { EXITS = -1 };

static void *run_or_exit(void *argument)
{
    test_cell *cell = argument;
    if (cell->code != EXITS) {
        return test_cell_run(cell);
    }
    if (cell->gate) {
        test_gate_pass(cell->gate);
    }
    pthread_exit(NULL);
}

static void check_exits(const weft_outcome *slot, test_cell *const cells[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool exits = cells[i]->code == EXITS;
        assert_slot(&slot[i], exits ? WEFT_FAILED : WEFT_SUCCEEDED, exits ? -EOWNERDEAD : 0, exits ? NULL : cells[i]);
        assert_int_equal(test_get(cells[i]->ran), !exits);
        assert_int_equal(test_get(cells[i]->arg_freed), 1);
    }
}

static void test_map_02_an_item_that_ends_its_thread_fails_alone(void **state)
{
    (void)state;
    static const unsigned who[] = {1, 2, 4, 6, 32, 63}; /* sets of items */
    for (size_t k = 0; k < sizeof who / sizeof *who; k++) {
        for (size_t chunk = 1; chunk <= 6; chunk++) {
            const weft_executor_options options = {.workers = 1 + (unsigned)k % 2, .max_pending = 6};
            test_cell *cells[6];
            weft_executor *executor = test_executor_with(&options);
            cells_make(cells, 6);
            for (size_t i = 0; i < 6; i++) {
                cells[i]->code = who[k] >> i & 1 ? EXITS : 0;
            }
            weft_future *map =
                map_with(executor, run_or_exit, (void *const *)cells, 6, chunk, WEFT_FIRST_ERROR, &freeing);
            assert_done_soon(map);
            assert_err(map, -EOWNERDEAD);
            check_exits(slots(map, 6), cells, 6);
            weft_future_release(map);
            assert_true(test_until_counters(0, 0, 0));
            /* The places that it had are free, and no more. */
            test_gate *gate = test_block(executor, options.workers);
            for (int i = 0; i < 6; i++) {
                assert_int_equal(weft_execute(executor, test_job_return_arg, NULL), 0);
            }
            assert_int_equal(weft_execute(executor, test_job_return_arg, NULL), -EAGAIN);
            test_unblock(gate);
            test_destroy(executor);
        }
    }
}

static void *await_given(void *argument)
{
    mapper *m = argument;
    test_gate_pass(m->gate);
    TEST_EXPECT(weft_future_wait(m->map, WEFT_FOREVER) == 0);
    return m;
}

/* The chunk is run inline by the job that waits for it, and both end with the thread. Its link is in the outside queue
 * still. */
static void test_map_02_an_inline_item_whose_chunk_is_queued(void **state)
{
    (void)state;
    for (size_t who = 0; who < 6; who++) {
        weft_executor *executor = test_executor(1);
        mapper m = {.executor = executor, .gate = test_gate_make()};
        cells_make(m.cells, 6);
        m.cells[who]->code = EXITS;
        weft_future *job = weft_submit(executor, await_given, &m);
        assert_true(test_gate_await(m.gate, 1));
        m.map = map_with(executor, run_or_exit, (void *const *)m.cells, 6, 3, WEFT_SETTLED, &freeing);
        test_gate_open(m.gate);
        assert_done_soon(job);
        assert_err(job, -EOWNERDEAD);
        assert_done_soon(m.map);
        assert_ok(m.map, NULL);
        check_exits(slots(m.map, 6), m.cells, 6);
        weft_future_release(job);
        weft_future_release(m.map);
        assert_true(test_until_counters(0, 0, 0));
        test_destroy(executor);
    }
}

/* The same with a map that the job has made, so the chunk mostly comes out of the worker's own deque. */
static void test_map_02_an_inline_item_that_ends_its_thread(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 12; round++) {
        weft_executor *executor = test_executor(1 + round % 2);
        mapper m = {.executor = executor, .fn = run_or_exit};
        cells_make(m.cells, 6);
        m.cells[round / 2]->code = EXITS;
        weft_future *job = weft_submit(executor, map_and_await, &m);
        assert_done_soon(job);
        weft_outcome outcome;
        assert_int_equal(weft_future_outcome(job, &outcome), 0);
        assert_true(outcome.error == -EOWNERDEAD || round % 2 == 1); /* with two, the other may have had it */
        assert_done_soon(m.map);
        assert_failed_at(m.map, -EOWNERDEAD, round / 2);
        check_exits(slots(m.map, 6), m.cells, 6);
        weft_future_release(job);
        weft_future_release(m.map);
        assert_true(test_until_counters(0, 0, 0));
        test_destroy(executor);
    }
}

/* What asks the map to stop meanwhile: a request, STRICT, shutdown. */
static void exit_and_stop(int what)
{
    test_cell *cells[4];
    weft_executor *executor = test_executor(1);
    cells_make(cells, 4);
    cells[1]->code = EXITS;
    cells[1]->gate = test_gate_make();
    weft_future *map =
        map_with(executor, run_or_exit, (void *const *)cells, 4, 3, what == 1 ? WEFT_STRICT : WEFT_SETTLED, &freeing);
    assert_true(test_gate_await(cells[1]->gate, 1));
    if (what == 0) {
        assert_int_equal(weft_cancel(map), WEFT_CANCEL_REQUESTED);
    } else if (what == 2) {
        assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_PENDING, 0), -ETIMEDOUT);
    }
    test_gate_open(cells[1]->gate);
    assert_done_soon(map);
    if (what == 1) {
        assert_failed_at(map, -EOWNERDEAD, 1);
    } else {
        assert_cancelled(map, what == 0 ? WEFT_REASON_USER : WEFT_REASON_SHUTDOWN);
    }
    static const weft_cancel_reason reasons[] = {WEFT_REASON_PARENT, WEFT_REASON_SIBLING, WEFT_REASON_SHUTDOWN};
    const weft_outcome *slot = slots(map, 4);
    assert_slot(&slot[0], WEFT_SUCCEEDED, 0, cells[0]);
    assert_slot(&slot[1], WEFT_FAILED, -EOWNERDEAD, NULL);
    assert_skipped(&slot[2], reasons[what]);
    assert_skipped(&slot[3], reasons[what]);
    weft_future_release(map);
    test_destroy(executor);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(test_get(cells[i]->arg_freed), 1);
    }
}

static void test_map_02_ended_threads_and_requests(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        exit_and_stop(what);
    }
}

/* Whatever comes between an item that ends its thread and the rest of its chunk: each item has one of three fates. */
static void test_map_02_race_of_ended_threads_with_a_request(void **state)
{
    (void)state;
    for (unsigned round = 0; round < test_rounds(120); round++) {
        mapper m = {.executor = test_executor(2)};
        cells_make(m.cells, 6);
        for (size_t i = 0; i < 6; i++) {
            m.cells[i]->code = (round >> i & 1) ? EXITS : 0;
        }
        weft_future *map = map_with(m.executor, run_or_exit, (void *const *)m.cells, 6, 1 + round % 6,
                                    (weft_gather_mode)(round % 3), &freeing);
        for (unsigned i = 0; i < round % 11 * 400; i++) {
            (void)weft_future_done(map);
        }
        if (round % 2 == 0) {
            weft_cancel(map);
        } else {
            assert_int_equal(weft_executor_shutdown(m.executor, WEFT_CANCEL_PENDING, test_patience()), 0);
        }
        assert_done_soon(map);
        for (size_t i = 0; i < 6; i++) {
            const weft_outcome *slot = &slots(map, 6)[i];
            bool ran = test_get(m.cells[i]->ran) != 0;
            assert_int_equal(test_get(m.cells[i]->arg_freed), 1);
            if (slot->state == WEFT_CANCELLED) {
                assert_false(ran);
            } else if (m.cells[i]->code == EXITS) {
                assert_slot(slot, WEFT_FAILED, -EOWNERDEAD, NULL);
            } else {
                assert_slot(slot, WEFT_SUCCEEDED, 0, m.cells[i]);
                assert_true(ran);
            }
        }
        weft_future_release(map);
        test_destroy(m.executor);
        assert_counters_at_base();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_map_01_a_jobs_own_map_is_not_refused),
        TEST(test_map_01_a_worker_that_waits_runs_the_chunks),
        TEST(test_map_01_maps_in_maps),
        TEST(test_map_02_an_item_that_ends_its_thread_fails_alone),
        TEST(test_map_02_an_inline_item_whose_chunk_is_queued),
        TEST(test_map_02_an_inline_item_that_ends_its_thread),
        TEST(test_map_02_ended_threads_and_requests),
        TEST(test_map_02_race_of_ended_threads_with_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
