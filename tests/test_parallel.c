/* test_parallel.c: parallel loops: each element once, where the cuts are, what the call answers.
 *
 * Discipline. Which thread runs a piece is left to chance here, so each test holds for every schedule; those that count
 * what was not begun use one worker, which goes through a loop in order. test_parallel_threads.c has the gates. */
#include "loops.h"

static const size_t sizes[] = {1, 2, 3, 7, 64, 1000, 4097};
static const size_t grains[] = {0, 1, 3, 64, 5000, SIZE_MAX};
enum { SIZES = sizeof sizes / sizeof *sizes, GRAINS = sizeof grains / sizeof *grains };

static void each_element_once(unsigned workers, size_t base)
{
    weft_executor *executor = test_executor(workers);
    for (size_t i = 0; i < SIZES * GRAINS * 2; i++) {
        size_t n = sizes[i / 2 % SIZES];
        cover *c = cover_make(base, base + n, grains[i / 2 / SIZES]);
        c->executor = executor;
        assert_int_equal(i % 2 ? cover_run(executor, c) : cover_run_in_job(executor, c), 0);
        assert_covered(c);
        if (c->grain) {
            assert_int_equal(test_get(c->calls), (n - 1) / c->grain + 1);
        }
        free(c);
    }
    test_destroy(executor);
}

static void test_each_element_once_one_worker(void **state)
{
    (void)state;
    each_element_once(1, 0);
}

static void test_each_element_once_two_workers(void **state)
{
    (void)state;
    each_element_once(2, 5);
}

static void test_each_element_once_eight_workers(void **state)
{
    (void)state;
    each_element_once(8, 0);
}

static void test_each_element_once_64_workers(void **state)
{
    (void)state;
    each_element_once(64, 1000000);
}

static void test_up_to_the_largest_index(void **state)
{
    (void)state;
    each_element_once(test_workers(), SIZE_MAX - 4097);
}

static void count_and_fail_at_once(size_t begin, size_t end, void *data)
{
    (void)end;
    atomic_fetch_add_explicit((_Atomic(size_t) *)data, 1, memory_order_relaxed);
    weft_fail(begin == 0 ? 3 : 4);
}

static void count_call(size_t begin, size_t end, void *data)
{
    TEST_EXPECT(begin < end);
    atomic_fetch_add_explicit((_Atomic(size_t) *)data, 1, memory_order_relaxed);
}

static void test_the_whole_of_size_t(void **state)
{
    (void)state;
    static const size_t grain_calls[][2] = {
        {SIZE_MAX, 1}, {SIZE_MAX - 1, 2}, {SIZE_MAX / 2, 3}, {SIZE_MAX / 1000, 1001}};
    weft_executor *executor = test_executor(0);
    for (int i = 0; i < 4; i++) {
        _Atomic(size_t) calls = 0;
        assert_int_equal(weft_parallel_for(executor, 0, SIZE_MAX, grain_calls[i][0], count_call, &calls), 0);
        assert_int_equal(test_get(calls), grain_calls[i][1]);
    }
    for (size_t grain = 0; grain < 2; grain++) { /* nobody could run it all: it ends because it fails */
        _Atomic(size_t) calls = 0;
        assert_int_equal(weft_parallel_for(executor, 0, SIZE_MAX, grain, count_and_fail_at_once, &calls), 3);
        assert_true(test_get(calls) >= 1);
    }
    test_destroy(executor);
}

static int empty_in_callback(weft_future *future, void *code)
{
    (void)future;
    *(int *)code = weft_parallel_for(NULL, 3, 3, 0, count_call, NULL);
    return 0;
}

static void test_an_empty_range_is_done_at_once(void **state)
{
    (void)state;
    _Atomic(size_t) calls = 0;
    int code = -1;
    weft_executor *executor = test_executor(0);
    assert_int_equal(weft_parallel_for(executor, 5, 5, 0, count_call, &calls), 0);
    assert_int_equal(weft_parallel_for(NULL, SIZE_MAX, SIZE_MAX, 7, count_call, &calls), 0);
    weft_future *done = test_done_future(executor);
    assert_int_equal(weft_on_done(done, empty_in_callback, &code, NULL), 0);
    flush(executor);
    assert_int_equal(code, 0);
    weft_future_release(done);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(weft_parallel_for(executor, 0, 0, 1, count_call, &calls), 0);
    assert_int_equal(test_get(calls), 0);
    test_destroy(executor);
}

static void test_bad_input(void **state)
{
    (void)state;
    _Atomic(size_t) calls = 0;
    weft_executor *executor = test_executor(1);
    assert_int_equal(weft_parallel_for(executor, 1, 0, 0, count_call, &calls), -EINVAL);
    assert_int_equal(weft_parallel_for(executor, SIZE_MAX, 0, 1, count_call, &calls), -EINVAL);
    assert_int_equal(weft_parallel_for(executor, 0, 1, 0, NULL, &calls), -EINVAL);
    assert_int_equal(weft_parallel_for(executor, 1, 1, 0, NULL, &calls), -EINVAL);
    assert_int_equal(weft_parallel_for(NULL, 1, 0, 0, count_call, &calls), -EINVAL);
    assert_int_equal(test_get(calls), 0);
    test_destroy(executor);
}

static void test_the_default_executor(void **state)
{
    (void)state;
    cover *c = cover_make(0, 100, 0);
    c->executor = weft_executor_default();
    assert_non_null(c->executor);
    assert_int_equal(cover_run(NULL, c), 0);
    assert_covered(c);
    test_destroy(c->executor);
    free(c);
}

static uint64_t submitted(const weft_executor *executor)
{
    weft_stats stats;
    assert_int_equal(weft_executor_stats(executor, &stats), 0);
    return stats.submitted;
}

static void test_one_job_from_outside_and_none_in_a_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    cover *c = cover_make(0, 1000, 1), *again = cover_make(0, 1000, 1);
    assert_int_equal(cover_run(executor, c), 0);
    assert_int_equal(submitted(executor), 1);
    assert_int_equal(cover_run_in_job(executor, again), 0);
    assert_int_equal(submitted(executor), 2);
    free(c);
    free(again);
    test_destroy(executor);
}

static void *here_and_thread(void *argument)
{
    cover_call *call = argument;
    call->code = cover_run(call->executor, call->c);
    TEST_EXPECT(test_get(call->c->workers) == UINT64_C(1) << weft_worker_index());
    return NULL;
}

static void test_in_a_job_it_runs_on_its_thread(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    cover_call call = {executor, cover_make(0, 1000, 0), -1};
    assert_int_equal(weft_await(weft_submit(executor, here_and_thread, &call), NULL), 0);
    assert_int_equal(call.code, 0);
    assert_covered(call.c);
    free(call.c);
    test_destroy(executor);
}

/* Failures. */

static void test_the_lowest_failure_counts(void **state)
{
    (void)state;
    static const unsigned workers[] = {1, 2, 8};
    for (unsigned w = 0; w < 3; w++) {
        weft_executor *executor = test_executor(workers[w]);
        for (size_t round = 0; round < test_rounds(100); round++) {
            cover *c = cover_make(10, 10 + 500, round % 3);
            c->fail_from = 10 + round * 7 % 500;
            c->fail_step = 1 + round % 50;
            assert_int_equal(round % 2 ? cover_run(executor, c) : cover_run_in_job(executor, c), 1);
            assert_true(cover_hits(c, c->fail_from + 1) >= c->fail_from + 1 - 10);
            free(c);
        }
        test_destroy(executor);
    }
}

static void test_after_a_failure_nothing_above_is_begun(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (size_t grain = 0; grain < 3; grain++) {
        cover *c = cover_make(0, 1000, grain);
        c->fail_from = 10;
        c->fail_step = 1;
        assert_int_equal(cover_run(executor, c), 1);
        assert_int_equal(cover_hits(c, 11), 11);
        free(c);
    }
    test_destroy(executor);
}

static void *loop_fails_and_job_does_not(void *argument)
{
    cover_call *call = argument;
    call->code = cover_run(call->executor, call->c);
    return call;
}

static void *fails_before_a_loop(void *argument)
{
    weft_fail(9);
    loop_fails_and_job_does_not(argument);
    return NULL;
}

static void test_a_failed_loop_does_not_fail_its_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    cover_call call = {executor, cover_make(0, 1000, 1), -1};
    call.c->fail_from = 500;
    call.c->fail_step = 400;
    assert_int_equal(weft_await(weft_submit(executor, loop_fails_and_job_does_not, &call), NULL), 0);
    assert_int_equal(call.code, 1);
    free(call.c);
    call.c = cover_make(0, 1000, 1);
    assert_int_equal(weft_await(weft_submit(executor, fails_before_a_loop, &call), NULL), 9);
    assert_int_equal(call.code, 0);
    assert_covered(call.c);
    free(call.c);
    test_destroy(executor);
}

static void acknowledge(size_t begin, size_t end, void *data)
{
    (void)begin;
    (void)end;
    (void)data;
    weft_fail(-ECANCELED);
}

static void fail_oddly(size_t begin, size_t end, void *data)
{
    (void)begin;
    (void)end;
    weft_fail(*(int *)data);
}

static void test_codes_of_a_piece(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    int odd[] = {0, -1, -EINTR, -EOWNERDEAD, INT32_MIN};
    assert_int_equal(weft_parallel_for(executor, 0, 100, 0, acknowledge, NULL), -ECANCELED);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(weft_parallel_for(executor, 0, 100, 1, fail_oddly, &odd[i]), EINVAL);
    }
    odd[0] = INT32_MAX;
    assert_int_equal(weft_parallel_for(executor, 0, 100, 1, fail_oddly, &odd[0]), INT32_MAX);
    test_destroy(executor);
}

/* Requests to stop. */

static void *cancel_self_then_loop(void *argument)
{
    cover_call *call = argument;
    weft_cancel(test_get(call->c->cancels));
    atomic_store_explicit(&call->c->cancels, NULL, memory_order_release);
    call->code = cover_run(call->executor, call->c);
    return NULL;
}

static void *passes_gate_first(void *argument)
{
    cover_call *call = argument;
    test_gate_pass(call->c->gate);
    call->c->gate = NULL;
    return test_get(call->c->workers) ? cancel_self_then_loop(call) : cover_job(call);
}

/* By the job itself before the loop, or by its first piece. */
static void cancelled_loop(bool before, size_t grain)
{
    weft_executor *executor = test_executor(1);
    cover_call call = {executor, cover_make(0, 1000, grain), -1};
    test_gate *gate = call.c->gate = test_gate_make();
    atomic_store_explicit(&call.c->workers, before, memory_order_relaxed);
    weft_future *future = weft_submit(executor, passes_gate_first, &call);
    atomic_store_explicit(&call.c->cancels, future, memory_order_release);
    test_gate_open(gate);
    assert_int_equal(weft_await(future, NULL), 0);
    assert_int_equal(call.code, -ECANCELED);
    assert_int_equal(cover_hits(call.c, 0), before ? 0 : grain ? grain : 1);
    free(call.c);
    test_destroy(executor);
}

static void test_cancelled_before_the_loop(void **state)
{
    (void)state;
    cancelled_loop(true, 0);
    cancelled_loop(true, 10);
}

static void test_cancelled_in_a_piece_no_more_are_begun(void **state)
{
    (void)state;
    cancelled_loop(false, 0);
    cancelled_loop(false, 10);
}

static void test_cancelled_in_the_last_piece_it_is_whole(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    cover_call call = {executor, cover_make(0, 100, 100), -1};
    test_gate *gate = call.c->gate = test_gate_make();
    weft_future *future = weft_submit(executor, passes_gate_first, &call);
    atomic_store_explicit(&call.c->cancels, future, memory_order_release);
    test_gate_open(gate);
    assert_int_equal(weft_await(future, NULL), 0);
    assert_int_equal(call.code, 0);
    assert_covered(call.c);
    free(call.c);
    test_destroy(executor);
}

/* Nesting. */

typedef struct grid {
    weft_executor *executor;
    size_t n, row, grain;     /* row: of the inner loop; by the outer one's piece */
    _Atomic(size_t) *cells;   /* n * n */
    _Atomic(unsigned) failed; /* inner loops */
} grid;

static void grid_cells(size_t begin, size_t end, void *data)
{
    grid *row = data;
    for (size_t i = begin; i < end; i++) {
        atomic_fetch_add_explicit(&row->cells[row->row * row->n + i], 1, memory_order_relaxed);
    }
}

static void grid_rows(size_t begin, size_t end, void *data)
{
    grid *g = data;
    for (size_t i = begin; i < end; i++) {
        grid row = {.executor = g->executor, .n = g->n, .row = i, .cells = g->cells};
        if (weft_parallel_for(g->executor, 0, g->n, g->grain, grid_cells, &row) != 0) {
            atomic_fetch_add_explicit(&g->failed, 1, memory_order_relaxed);
        }
    }
}

static void test_loops_in_loops(void **state)
{
    (void)state;
    enum { N = 60 };
    static _Atomic(size_t) cells[N * N];
    for (unsigned workers = 1; workers <= 8; workers *= 2) {
        grid g = {.executor = test_executor(workers), .n = N, .cells = cells};
        memset(cells, 0, sizeof cells);
        for (g.grain = 0; g.grain < 3; g.grain++) {
            assert_int_equal(weft_parallel_for(g.executor, 0, N, g.grain, grid_rows, &g), 0);
        }
        assert_int_equal(test_get(g.failed), 0);
        for (size_t i = 0; i < N * N; i++) {
            assert_int_equal(test_get(cells[i]), 3);
        }
        test_destroy(g.executor);
    }
}

/* Where it may be called. */

static int loop_in_callback(weft_future *future, void *argument)
{
    (void)future;
    cover_job(argument);
    return 0;
}

static void test_on_a_coordinator_it_is_refused(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0), *other = test_executor(1);
    weft_executor *executors[] = {executor, other};
    weft_future *done = test_done_future(executor);
    for (int i = 0; i < 2; i++) {
        cover_call call = {executors[i], cover_make(0, 10, 0), 1};
        assert_int_equal(weft_on_done(done, loop_in_callback, &call, NULL), 0);
        flush(executor);
        assert_int_equal(call.code, -EDEADLK);
        assert_int_equal(test_get(call.c->calls), 0);
        free(call.c);
    }
    weft_future_release(done);
    test_destroy(other);
    test_destroy(executor);
}

static void test_after_shutdown(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    cover *c = cover_make(0, 10, 0);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(cover_run(executor, c), -ESHUTDOWN);
    assert_int_equal(test_get(c->calls), 0);
    free(c);
    test_destroy(executor);
}

static void test_max_pending(void **state)
{
    (void)state;
    weft_executor *executor = test_executor_with(&(weft_executor_options){.workers = 1, .max_pending = 1});
    test_gate *gate = test_block(executor, 1);
    weft_future *waiting = weft_submit(executor, test_job_return_arg, NULL);
    cover *c = cover_make(0, 10, 0);
    assert_int_equal(cover_run(executor, c), -EAGAIN);
    assert_int_equal(test_get(c->calls), 0);
    test_unblock(gate);
    assert_int_equal(weft_await(waiting, NULL), 0);
    assert_int_equal(cover_run(executor, c), 0);
    assert_covered(c);
    free(c);
    test_destroy(executor);
}

static int no_start(unsigned worker, void *data)
{
    (void)worker;
    (void)data;
    return -1;
}

static void test_a_broken_executor(void **state)
{
    (void)state;
    weft_executor *executor = test_executor_with(&(weft_executor_options){.workers = 1, .worker_start = no_start});
    cover *c = cover_make(0, 10, 0);
    assert_int_equal(cover_run(executor, c), -ENOTRECOVERABLE);
    assert_int_equal(test_get(c->calls), 0);
    free(c);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_element_once_one_worker),
        TEST(test_each_element_once_two_workers),
        TEST(test_each_element_once_eight_workers),
        TEST(test_each_element_once_64_workers),
        TEST(test_up_to_the_largest_index),
        TEST(test_the_whole_of_size_t),
        TEST(test_an_empty_range_is_done_at_once),
        TEST(test_bad_input),
        TEST(test_the_default_executor),
        TEST(test_one_job_from_outside_and_none_in_a_job),
        TEST(test_in_a_job_it_runs_on_its_thread),
        TEST(test_the_lowest_failure_counts),
        TEST(test_after_a_failure_nothing_above_is_begun),
        TEST(test_a_failed_loop_does_not_fail_its_job),
        TEST(test_codes_of_a_piece),
        TEST(test_cancelled_before_the_loop),
        TEST(test_cancelled_in_a_piece_no_more_are_begun),
        TEST(test_cancelled_in_the_last_piece_it_is_whole),
        TEST(test_loops_in_loops),
        TEST(test_on_a_coordinator_it_is_refused),
        TEST(test_after_shutdown),
        TEST(test_max_pending),
        TEST(test_a_broken_executor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
