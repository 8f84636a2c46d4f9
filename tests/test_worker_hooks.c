/* test_worker_hooks.c: worker_start and worker_stop (EXE-09), a start that fails (EXE-10), a job that ends its thread.
 *
 * The start hook writes to a thread-local, which the jobs and the stop hook read: so it must have run on their thread
 * and before them. A start that is to fail stands at a gate first, while the test fills the queues. */
#include "support.h"

/* EXE-09, EXE-10: hooks of the workers. */

enum { MOST = 16 };

struct hooks {
    _Atomic(unsigned) started[MOST], stopped[MOST];
    _Atomic(unsigned) starts, stops;
    _Atomic(int) fail_on; /* index of the worker whose start fails; -1: none */
    test_gate *gate;      /* the failing one stands here first */
};

static _Thread_local struct {
    const struct hooks *hooks;
    unsigned worker, starts;
} mine;

static int start_worker(unsigned worker, void *data)
{
    struct hooks *hooks = data;
    atomic_fetch_add_explicit(&hooks->started[worker % MOST], 1, memory_order_acq_rel);
    atomic_fetch_add_explicit(&hooks->starts, 1, memory_order_acq_rel);
    mine.hooks = hooks;
    mine.worker = worker;
    mine.starts++;
    if (test_get(hooks->fail_on) != (int)worker) {
        return 0;
    }
    test_gate_pass(hooks->gate);
    return 5;
}

static void stop_worker(unsigned worker, void *data)
{
    struct hooks *hooks = data;
    TEST_EXPECT(mine.hooks == hooks && mine.worker == worker);
    mine.hooks = NULL;
    atomic_fetch_add_explicit(&hooks->stopped[worker % MOST], 1, memory_order_acq_rel);
    atomic_fetch_add_explicit(&hooks->stops, 1, memory_order_acq_rel);
}

static void *look_at_thread_data(void *hooks)
{
    TEST_EXPECT(mine.hooks == hooks);
    TEST_EXPECT(mine.starts == 1);
    TEST_EXPECT((int)mine.worker == weft_worker_index());
    return NULL;
}

static void test_exe_09_start_before_any_job_and_stop_before_shutdown_returns(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 8; workers *= 2) {
        struct hooks hooks = {.fail_on = -1};
        const weft_executor_options options = {
            .workers = workers, .worker_start = start_worker, .worker_stop = stop_worker, .data = &hooks};
        weft_executor *executor = test_executor_with(&options);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(weft_execute(executor, look_at_thread_data, &hooks), 0);
        }
        assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
        assert_int_equal(test_get(hooks.starts), workers);
        assert_int_equal(test_get(hooks.stops), workers);
        for (unsigned i = 0; i < workers; i++) {
            assert_int_equal(test_get(hooks.started[i]), 1);
            assert_int_equal(test_get(hooks.stopped[i]), 1);
        }
        test_destroy(executor);
        assert_int_equal(test_get(hooks.starts) + test_get(hooks.stops), 2 * workers);
    }
}

/* A job that ends its thread counts as failed; a replacement starts in its place and only that one is stopped. */
static void *end_thread(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

static void test_exe_09_a_job_that_ends_its_thread_is_replaced(void **state)
{
    (void)state;
    struct hooks hooks = {.fail_on = -1};
    const weft_executor_options options = {
        .workers = 1, .worker_start = start_worker, .worker_stop = stop_worker, .data = &hooks};
    const weft_submit_options freeing = {.free_arg = test_cell_free_arg, .free_value = test_cell_free_value};
    weft_executor *executor = test_executor_with(&options);
    test_cell cell = {.code = 0};
    for (int i = 0; i < 3; i++) {
        weft_future *ended = weft_submit_with(executor, end_thread, &cell, &freeing);
        assert_done_soon(ended);
        assert_err(ended, -EOWNERDEAD);
        assert_int_equal(test_get(cell.arg_freed), (unsigned)i + 1);
        weft_future_release(ended);
        assert_int_equal(weft_await(weft_submit(executor, look_at_thread_data, &hooks), NULL), 0);
    }
    assert_int_equal(weft_executor_workers(executor), 1);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    test_destroy(executor);
    assert_int_equal(test_get(hooks.starts), 4);
    assert_int_equal(test_get(hooks.started[0]), 4);
    assert_int_equal(test_get(hooks.stops), 1);
    assert_int_equal(test_get(cell.value_freed), 0);
}

static void check_broken(weft_executor *executor)
{
    test_cell cell = {.code = 0};
    void *args[] = {&cell};
    weft_future *futures[] = {NULL};
    const weft_submit_options options = {.free_arg = test_cell_free_arg};
    errno = 0;
    assert_null(weft_submit(executor, test_cell_run, &cell));
    assert_int_equal(errno, ENOTRECOVERABLE);
    errno = 0;
    assert_null(weft_submit_with(executor, test_cell_run, &cell, &options));
    assert_int_equal(errno, ENOTRECOVERABLE);
    assert_int_equal(weft_execute(executor, test_cell_run, &cell), -ENOTRECOVERABLE);
    assert_int_equal(weft_submit_many(executor, test_cell_run, args, 1, futures), -ENOTRECOVERABLE);
    assert_int_equal(test_get(cell.ran) + test_get(cell.arg_freed), 0);
}

static void test_exe_10_a_failing_start_breaks_the_executor(void **state)
{
    (void)state;
    enum { JOBS = 10 };
    struct hooks hooks = {.fail_on = 0, .gate = test_gate_make()};
    const weft_executor_options options = {
        .workers = 1, .worker_start = start_worker, .worker_stop = stop_worker, .data = &hooks};
    const weft_submit_options freeing = {.free_arg = test_cell_free_arg};
    weft_executor *executor = test_executor_with(&options);
    test_cell cells[JOBS];
    weft_future *jobs[JOBS];
    memset(cells, 0, sizeof cells);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = weft_submit_with(executor, test_cell_run, &cells[i], &freeing);
        assert_non_null(jobs[i]);
    }
    test_gate_open(hooks.gate);
    for (int i = 0; i < JOBS; i++) {
        assert_done_soon(jobs[i]);
        assert_err(jobs[i], -ENOTRECOVERABLE);
        assert_int_equal(weft_await(jobs[i], NULL), -ENOTRECOVERABLE);
        assert_int_equal(test_get(cells[i].ran), 0);
        assert_int_equal(test_get(cells[i].arg_freed), 1);
    }
    check_broken(executor);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    test_destroy(executor);
    assert_int_equal(test_get(hooks.starts), 1);
}

static void test_exe_10_one_failing_worker_of_several_is_enough(void **state)
{
    (void)state;
    enum { JOBS = 50 };
    struct hooks hooks = {.fail_on = 2, .gate = test_gate_make()};
    const weft_executor_options options = {
        .workers = 3, .worker_start = start_worker, .worker_stop = stop_worker, .data = &hooks};
    weft_executor *executor = test_executor_with(&options);
    test_gate *gate = test_gate_make();
    weft_future *jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = weft_submit(executor, test_gate_job, gate);
        assert_non_null(jobs[i]);
    }
    test_gate_await(gate, 2);
    test_gate_await(hooks.gate, 1);
    test_gate_open(hooks.gate);
    assert_done_soon(jobs[JOBS - 1]);
    assert_err(jobs[JOBS - 1], -ENOTRECOVERABLE);
    check_broken(executor);
    test_gate_open(gate);
    unsigned ran = 0;
    for (int i = 0; i < JOBS; i++) {
        int answer = weft_await(jobs[i], NULL);
        assert_true(answer == 0 || answer == -ENOTRECOVERABLE);
        ran += answer == 0;
    }
    assert_int_equal(ran, 2);
    assert_int_equal(ran, test_gate_reached(gate));
    assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_ALL, WEFT_FOREVER), 0);
    test_destroy(executor);
}

/* The thread before it was started, and has not been stopped; this one is neither. */
static bool has_started_twice(void *hooks)
{
    return test_get(((struct hooks *)hooks)->starts) == 2;
}

static void test_exe_10_a_failing_start_of_a_replacement(void **state)
{
    (void)state;
    struct hooks hooks = {.fail_on = -1, .gate = test_gate_make()};
    const weft_executor_options options = {
        .workers = 1, .worker_start = start_worker, .worker_stop = stop_worker, .data = &hooks};
    weft_executor *executor = test_executor_with(&options);
    assert_int_equal(weft_await(weft_submit(executor, look_at_thread_data, &hooks), NULL), 0);
    atomic_store_explicit(&hooks.fail_on, 0, memory_order_release);
    test_gate_open(hooks.gate);
    assert_int_equal(weft_await(weft_submit(executor, end_thread, NULL), NULL), -EOWNERDEAD);
    assert_true(test_until(has_started_twice, &hooks));
    test_destroy(executor);
    assert_int_equal(test_get(hooks.stops), 0);
}

int main(void)
{
    const struct CMUnitTest hooks[] = {
        TEST(test_exe_09_start_before_any_job_and_stop_before_shutdown_returns),
        TEST(test_exe_09_a_job_that_ends_its_thread_is_replaced),
        TEST(test_exe_10_a_failing_start_breaks_the_executor),
        TEST(test_exe_10_one_failing_worker_of_several_is_enough),
        TEST(test_exe_10_a_failing_start_of_a_replacement),
    };
    return cmocka_run_group_tests(hooks, NULL, NULL);
}
