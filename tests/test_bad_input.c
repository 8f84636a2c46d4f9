/* test_bad_input.c: NULL handles and functions, modes that do not exist, calls from the wrong thread or too late, and
 * the limit on pending jobs (MEM-01, MEM-04).
 *
 * A refused call leaves everything as it was: the argument with its caller, the inputs unattached, the counters
 * still. */
#include "support.h"

#include <limits.h>

/* NULL for a future is a chain whose earlier step failed: errno stays what that step set it to. */
static void test_mem_01_null_for_a_future_passes_through(void **state)
{
    (void)state;
    void *value = NULL;
    errno = E2BIG;
    assert_null(weft_wait_for(NULL, WEFT_SECONDS(1), 0));
    assert_null(weft_shield(NULL));
    assert_null(weft_wait_for(weft_shield(NULL), 0, WEFT_JOIN));
    assert_int_equal(errno, E2BIG);
    assert_int_equal(weft_await(NULL, &value), -E2BIG);
    assert_int_equal(weft_await(NULL, NULL), -E2BIG);
    errno = 0;
    assert_int_equal(weft_await(NULL, &value), -EINVAL);
    weft_future_release(NULL);
    assert_null(weft_future_retain(NULL));
    assert_int_equal(errno, 0);
}

static void test_mem_01_null_for_a_future_is_an_error_elsewhere(void **state)
{
    (void)state;
    void *value = NULL;
    size_t n = 0;
    weft_outcome outcome;
    weft_callback *handle = NULL;
    errno = 0;
    assert_true(weft_future_wait(NULL, 0) < 0);
    assert_true(weft_future_wait(NULL, WEFT_FOREVER) < 0);
    assert_true(weft_future_get(NULL, &value) < 0);
    assert_true(weft_future_take(NULL, &value) < 0);
    assert_true(weft_future_outcome(NULL, &outcome) < 0);
    assert_true(weft_on_done(NULL, test_hit_latch, NULL, NULL) < 0);
    assert_true(weft_on_done(NULL, test_hit_latch, NULL, &handle) < 0);
    assert_int_equal(weft_cancel(NULL), WEFT_CANCEL_TOO_LATE);
    assert_false(weft_future_cancelled(NULL));
    assert_null(weft_gather_outcomes(NULL, &n));
    (void)weft_future_state(NULL);
    (void)weft_future_done(NULL);
    assert_null(value);
}

static void test_mem_01_null_for_a_promise_or_handle_is_harmless(void **state)
{
    (void)state;
    errno = 0;
    weft_promise_destroy(NULL);
    assert_null(weft_promise_future(NULL));
    assert_true(weft_promise_resolve(NULL, NULL, NULL) < 0);
    assert_true(weft_promise_reject(NULL, 1) < 0);
    assert_true(weft_callback_remove(NULL) < 0);
}

static void test_mem_01_a_null_function_is_not_registered(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_callback *handle = NULL;
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    assert_int_equal(weft_on_done(future, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(weft_on_done(future, NULL, NULL, &handle), -EINVAL);
    assert_int_equal(test_counters().callbacks, test_base().callbacks);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    weft_promise_destroy(promise);
    weft_future_release(future);
    test_destroy(executor);
}

static void test_mem_01_an_array_with_a_null_entry_is_refused_whole(void **state)
{
    (void)state;
    const weft_gather_mode gather_modes[] = {WEFT_FIRST_ERROR, WEFT_SETTLED, WEFT_STRICT};
    const weft_wait_mode wait_modes[] = {WEFT_FIRST_COMPLETED, WEFT_FIRST_EXCEPTION, WEFT_ALL_COMPLETED};
    const weft_submit_options options = {.free_value = test_cell_free_value};
    weft_executor *executor = test_executor(1);
    test_cell cell = {.value = &cell, .gate = test_gate_make()};
    bool done[3];
    void *value = NULL;
    weft_future *job = weft_submit_with(executor, test_cell_run, &cell, &options);
    for (size_t hole = 0; hole < 3; hole++) {
        weft_future *inputs[] = {job, job, job};
        inputs[hole] = NULL;
        for (int i = 0; i < 3; i++) {
            errno = 0;
            assert_null(weft_gather(executor, inputs, 3, gather_modes[i]));
            assert_int_equal(errno, EINVAL);
            assert_int_equal(weft_wait(inputs, 3, wait_modes[i], WEFT_FOREVER, done), -EINVAL);
        }
    }
    assert_true(test_until_counters(1, 0, 0));
    test_gate_open(cell.gate);
    assert_int_equal(weft_await(job, &value), 0);
    assert_ptr_equal(value, &cell);
    test_destroy(executor);
}

static void test_mem_01_modes_that_do_not_exist_are_einval(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *done = test_done_future(executor);
    errno = 0;
    assert_null(weft_gather(executor, &done, 1, (weft_gather_mode)99));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(weft_wait(&done, 1, (weft_wait_mode)99, 0, NULL), -EINVAL);
    assert_int_equal(weft_executor_shutdown(executor, (weft_shutdown_mode)99, 0), -EINVAL);
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    weft_future_release(done);
    test_destroy(executor);
}

static void test_mem_01_every_code_has_a_text(void **state)
{
    (void)state;
    const int codes[] = {0,           -ETIMEDOUT,       -ECANCELED,   -EINVAL, -ENOMEM,  -EAGAIN,
                         -ESHUTDOWN,  -EDEADLK,         -EOVERFLOW,   -EBUSY,  -ENODATA, -EALREADY,
                         -EOWNERDEAD, -ENOTRECOVERABLE, -EINPROGRESS, -EINTR,  -ESTALE,  -ELOOP,
                         7,           INT_MAX,          INT_MIN};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        const char *text = weft_strerror(codes[i]);
        assert_non_null(text);
        assert_true(text[0] != '\0');
    }
}

/* The wrong place. */

static int act_as_a_job(weft_future *future, void *latch)
{
    (void)future;
    TEST_EXPECT(weft_fail(5) == NULL);
    TEST_EXPECT(!weft_cancelled());
    TEST_EXPECT(weft_worker_index() == -1);
    test_latch_hit(latch);
    return 0;
}

static void test_mem_01_what_belongs_in_a_job_does_nothing_outside(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_latch *latch = test_latch_make();
    weft_future *done = test_done_future(executor);
    assert_null(weft_fail(5));
    assert_null(weft_fail(-ECANCELED));
    assert_false(weft_cancelled());
    assert_int_equal(weft_worker_index(), -1);
    assert_null(weft_executor_current());
    assert_int_equal(weft_on_done(done, act_as_a_job, latch, NULL), 0);
    test_latch_wait(latch, 1);
    assert_ok(done, executor);
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    weft_future_release(done);
    test_destroy(executor);
}

/* Too late: after shutdown returned and before destroy, a call is refused with ESHUTDOWN or holds what it promises. */
static void test_mem_01_use_after_shutdown_is_refused_or_holds(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_latch *latch = test_latch_make();
    weft_future *done = weft_submit(executor, test_job_return_arg, executor);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    int code = weft_on_done(done, test_hit_latch, latch, NULL);
    assert_true(code == 0 || code == -ESHUTDOWN);
    errno = 0;
    weft_future *derived[] = {weft_shield(done), weft_wait_for(done, 0, 0),
                              weft_gather(executor, &done, 1, WEFT_SETTLED)};
    for (int i = 0; i < 3; i++) {
        assert_true(derived[i] != NULL || errno == ESHUTDOWN);
    }
    assert_int_equal(weft_executor_workers(executor), 1);
    test_destroy(executor);
    assert_int_equal(test_latch_count(latch), code == 0 ? 1 : 0);
    for (int i = 0; i < 3; i++) {
        assert_true(derived[i] == NULL || weft_future_done(derived[i]));
        weft_future_release(derived[i]);
    }
    assert_ok(done, executor);
    weft_future_release(done);
}

/* MEM-04 */

enum { LIMIT = 4 };

static weft_executor *limited_executor(void)
{
    const weft_executor_options options = {.workers = 1, .max_pending = LIMIT};
    return test_executor_with(&options);
}

static void test_mem_04_beyond_the_limit_outside_submits_are_eagain(void **state)
{
    (void)state;
    weft_executor *executor = limited_executor();
    test_gate *gate = test_block(executor, 1);
    test_cell cells[LIMIT], refused = {.code = 0};
    weft_future *jobs[LIMIT], *none[LIMIT + 1] = {NULL};
    void *args[LIMIT + 1] = {&refused, &refused, &refused, &refused, &refused};
    const weft_submit_options options = {.free_arg = test_cell_free_arg};
    memset(cells, 0, sizeof cells);
    assert_int_equal(weft_submit_many(executor, test_cell_run, args, LIMIT + 1, none), -EAGAIN);
    for (int i = 0; i < LIMIT; i++) {
        jobs[i] = weft_submit_with(executor, test_cell_run, &cells[i], &options);
        assert_non_null(jobs[i]);
    }
    errno = 0;
    assert_null(weft_submit_with(executor, test_cell_run, &refused, &options));
    assert_int_equal(errno, EAGAIN);
    errno = 0;
    assert_null(weft_submit(executor, test_cell_run, &refused));
    assert_int_equal(errno, EAGAIN);
    errno = 0;
    assert_null(weft_submit_copy(executor, test_cell_run, &refused, sizeof refused));
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(weft_execute(executor, test_cell_run, &refused), -EAGAIN);
    assert_int_equal(weft_submit_many(executor, test_cell_run, args, 1, none), -EAGAIN);
    test_unblock(gate);
    for (int i = 0; i < LIMIT; i++) {
        assert_int_equal(weft_await(jobs[i], NULL), 0);
        assert_int_equal(test_get(cells[i].arg_freed), 1);
    }
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    test_destroy(executor);
    assert_int_equal(test_get(refused.ran) + test_get(refused.arg_freed), 0);
}

struct own_submits {
    weft_executor *executor;
    test_gate *gate;
    _Atomic(unsigned) ran;
    unsigned accepted;
    int last;
};

static void *count_one(void *arg)
{
    struct own_submits *own = arg;
    atomic_fetch_add_explicit(&own->ran, 1, memory_order_relaxed);
    return NULL;
}

static void *submit_a_thousand(void *arg)
{
    struct own_submits *own = arg;
    test_gate_pass(own->gate);
    for (int i = 0; i < 1000; i++) {
        own->last = weft_execute(own->executor, count_one, own);
        own->accepted += own->last == 0;
    }
    return NULL;
}

static void test_mem_04_a_jobs_own_submits_are_never_refused(void **state)
{
    (void)state;
    weft_executor *executor = limited_executor();
    struct own_submits own = {.executor = executor, .gate = test_gate_make()};
    weft_future *mother = weft_submit(executor, submit_a_thousand, &own);
    test_gate_await(own.gate, 1);
    for (int i = 0; i < LIMIT; i++) {
        assert_int_equal(weft_execute(executor, count_one, &own), 0);
    }
    assert_int_equal(weft_execute(executor, count_one, &own), -EAGAIN);
    test_gate_open(own.gate);
    assert_int_equal(weft_await(mother, NULL), 0);
    test_destroy(executor);
    assert_int_equal(own.accepted, 1000);
    assert_int_equal(test_get(own.ran), 1000 + LIMIT);
}

static void test_mem_04_a_job_of_another_executor_is_outside(void **state)
{
    (void)state;
    weft_executor *executor = limited_executor(), *other = test_executor(1);
    struct own_submits own = {.executor = executor, .gate = test_gate_make()};
    test_gate *gate = test_block(executor, 1);
    test_gate_open(own.gate);
    assert_int_equal(weft_await(weft_submit(other, submit_a_thousand, &own), NULL), 0);
    assert_int_equal(own.accepted, LIMIT);
    assert_int_equal(own.last, -EAGAIN);
    weft_stats stats;
    assert_int_equal(weft_executor_stats(executor, &stats), 0);
    assert_int_equal(stats.refused, 1000 - LIMIT);
    test_unblock(gate);
    test_destroy(executor);
    test_destroy(other);
    assert_int_equal(test_get(own.ran), LIMIT);
}

/* Many threads at the limit: never more than the limit is accepted while nothing starts. */
static void *submit_until_full(void *arg)
{
    struct own_submits *own = arg;
    unsigned accepted = 0;
    for (int i = 0; i < 100; i++) {
        accepted += weft_execute(own->executor, count_one, own) == 0;
    }
    return (void *)(uintptr_t)accepted;
}

static void test_mem_04_race_for_the_last_places(void **state)
{
    (void)state;
    for (unsigned round = 0; round < test_rounds(100); round++) {
        weft_executor *executor = limited_executor();
        struct own_submits own = {.executor = executor};
        test_gate *gate = test_block(executor, 1);
        pthread_t threads[4];
        uintptr_t accepted = 0;
        for (int i = 0; i < 4; i++) {
            threads[i] = test_spawn(submit_until_full, &own);
        }
        for (int i = 0; i < 4; i++) {
            accepted += (uintptr_t)test_join(threads[i]);
        }
        assert_int_equal(accepted, LIMIT);
        test_unblock(gate);
        test_destroy(executor);
        assert_int_equal(test_get(own.ran), LIMIT);
    }
}

int main(void)
{
    const struct CMUnitTest bad_input[] = {
        TEST(test_mem_01_null_for_a_future_passes_through),
        TEST(test_mem_01_null_for_a_future_is_an_error_elsewhere),
        TEST(test_mem_01_null_for_a_promise_or_handle_is_harmless),
        TEST(test_mem_01_a_null_function_is_not_registered),
        TEST(test_mem_01_an_array_with_a_null_entry_is_refused_whole),
        TEST(test_mem_01_modes_that_do_not_exist_are_einval),
        TEST(test_mem_01_every_code_has_a_text),
        TEST(test_mem_01_what_belongs_in_a_job_does_nothing_outside),
        TEST(test_mem_01_use_after_shutdown_is_refused_or_holds),
        TEST(test_mem_04_beyond_the_limit_outside_submits_are_eagain),
        TEST(test_mem_04_a_jobs_own_submits_are_never_refused),
        TEST(test_mem_04_a_job_of_another_executor_is_outside),
        TEST(test_mem_04_race_for_the_last_places),
    };
    return cmocka_run_group_tests(bad_input, NULL, NULL);
}
