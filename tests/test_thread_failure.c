/* test_thread_failure.c: the system refuses a thread (EXE-11), while an executor is made and when a worker wants a
 * stand-in; or it refuses a new thread the memory for its data.
 *
 * This program is linked with --wrap=pthread_create and --wrap=pthread_setspecific, so the library's calls come here
 * first. Each pthread_create is counted; the k-th and, if asked for, all later ones fail as they do when the process has
 * no threads left. */
#include "support.h"

/* Weak, so that the program links without the option too, to say what it lacks. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *arg)
    __attribute__((weak));
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *arg);

static _Atomic(unsigned) calls, failures, fail_at; /* fail_at: number of the call; 0: none. Written by the test */
static _Atomic(bool) for_good;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *arg)
{
    unsigned number = atomic_fetch_add_explicit(&calls, 1, memory_order_acq_rel) + 1;
    unsigned at = test_get(fail_at);
    if (at != 0 && (number == at || (number > at && test_get(for_good)))) {
        atomic_fetch_add_explicit(&failures, 1, memory_order_acq_rel);
        return EAGAIN;
    }
    return __real_pthread_create(thread, attributes, body, arg);
}

static void fail_from(unsigned k, bool all)
{
    atomic_store_explicit(&calls, 0, memory_order_release);
    atomic_store_explicit(&failures, 0, memory_order_release);
    atomic_store_explicit(&for_good, all, memory_order_release);
    atomic_store_explicit(&fail_at, k, memory_order_release);
}

int __real_pthread_setspecific(pthread_key_t key, const void *value) __attribute__((weak));
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

static _Atomic(bool) no_data; /* by the test */

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    return test_get(no_data) ? ENOMEM : __real_pthread_setspecific(key, value);
}

static _Atomic(unsigned) starts, stops;

static int start_worker(unsigned worker, void *data)
{
    (void)worker;
    (void)data;
    atomic_fetch_add_explicit(&starts, 1, memory_order_acq_rel);
    return 0;
}

static void stop_worker(unsigned worker, void *data)
{
    (void)worker;
    (void)data;
    atomic_fetch_add_explicit(&stops, 1, memory_order_acq_rel);
}

/* For each thread that create starts, the coordinator's among them, that one fails. */
static void check_create(unsigned workers, bool all)
{
    const weft_executor_options options = {
        .workers = workers, .worker_start = start_worker, .worker_stop = stop_worker};
    unsigned refused = 0;
    for (unsigned k = 1;; k++) {
        atomic_store_explicit(&starts, 0, memory_order_release);
        atomic_store_explicit(&stops, 0, memory_order_release);
        fail_from(k, all);
        errno = 0;
        weft_executor *executor = weft_executor_create(&options);
        int code = errno;
        fail_from(0, false);
        if (executor != NULL) {
            assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
            test_destroy(executor);
            assert_int_equal(test_get(starts), workers);
            assert_int_equal(test_get(stops), workers);
            break;
        }
        refused++;
        assert_int_equal(code, EAGAIN);
        assert_int_equal(test_get(starts), test_get(stops));
        assert_counters_at_base();
    }
    assert_true(refused >= workers);
}

static void test_exe_11_create_undoes_itself_when_a_thread_fails(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 8; workers *= 2) {
        check_create(workers, false);
        check_create(workers, true);
    }
}

static void test_exe_11_the_default_executor_reports_it_and_can_be_made_later(void **state)
{
    (void)state;
    fail_from(1, true);
    errno = 0;
    assert_null(weft_executor_default());
    assert_int_equal(errno, EAGAIN);
    errno = 0;
    assert_null(weft_submit(NULL, test_job_return_arg, NULL));
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(weft_execute(NULL, test_job_return_arg, NULL), -EAGAIN);
    assert_null(weft_promise_create(NULL));
    assert_null(weft_sleep(NULL, 0, NULL));
    fail_from(0, false);
    assert_counters_at_base();
}

/* A job waits for what only another job can bring. With no thread to stand in for it the wait must be refused: the
 * other job never could run. */
struct blocked {
    weft_future *future;
    weft_promise *promise;
    test_gate *gate;
    int wait, get, take, await;
};

static void *wait_for_the_other(void *arg)
{
    struct blocked *blocked = arg;
    void *value = NULL;
    test_gate_pass(blocked->gate);
    blocked->wait = weft_future_wait(blocked->future, WEFT_FOREVER);
    blocked->get = weft_future_get(blocked->future, &value);
    blocked->take = weft_future_take(blocked->future, &value);
    blocked->await = weft_await(blocked->future, &value);
    return NULL;
}

static void *bring_it(void *arg)
{
    struct blocked *blocked = arg;
    TEST_EXPECT(weft_promise_resolve(blocked->promise, blocked, NULL) == 0);
    return NULL;
}

static void test_exe_11_a_wait_without_a_stand_in_is_refused(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct blocked blocked = {.gate = test_gate_make(), .promise = weft_promise_create(executor)};
    blocked.future = weft_promise_future(blocked.promise);
    weft_future *waiter = weft_submit(executor, wait_for_the_other, &blocked);
    test_gate_await(blocked.gate, 1);
    weft_future *bringer = weft_submit(executor, bring_it, &blocked);
    fail_from(1, true);
    test_gate_open(blocked.gate);
    assert_done_soon(waiter);
    assert_done_soon(bringer);
    fail_from(0, false);
    assert_int_equal(blocked.wait, -EAGAIN);
    assert_int_equal(blocked.get, -EAGAIN);
    assert_int_equal(blocked.take, -EAGAIN);
    assert_int_equal(blocked.await, -EAGAIN);
    assert_ok(blocked.future, &blocked);
    weft_promise_destroy(blocked.promise);
    weft_future_release(blocked.future);
    weft_future_release(waiter);
    weft_future_release(bringer);
    test_destroy(executor);
}

static void *end_thread(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

/* The thread then goes on from its own end. ThreadSanitizer has let go of a thread that ends a second time. */
static void test_exe_11_jobs_end_threads_that_cannot_be_replaced(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    fail_from(1, true);
    for (unsigned round = 0; round < (TEST_TSAN ? 1 : 6); round++) {
        weft_future *ends = weft_submit(executor, end_thread, NULL);
        assert_done_soon(ends);
        assert_err(ends, -EOWNERDEAD);
        weft_future *next = weft_submit(executor, test_job_return_arg, &calls);
        assert_done_soon(next);
        assert_ok(next, &calls);
        weft_future_release(ends);
        weft_future_release(next);
    }
    test_destroy(executor);
    fail_from(0, false);
}

static bool has_started(void *arg)
{
    (void)arg;
    return test_get(starts) > 0;
}

/* What settles a job that ends its thread hangs on the thread's data. */
static void test_exe_11_a_worker_gets_its_data_later(void **state)
{
    (void)state;
    if (TEST_ASAN || TEST_TSAN) {
        skip(); /* pthread_setspecific is the runtime's as well */
    }
    const weft_executor_options options = {.workers = 1, .worker_start = start_worker};
    atomic_store_explicit(&starts, 0, memory_order_release);
    atomic_store_explicit(&no_data, true, memory_order_release);
    weft_executor *executor = test_executor_with(&options);
    bool started = test_until(has_started, NULL);
    atomic_store_explicit(&no_data, false, memory_order_release);
    assert_true(started);
    weft_future *ends = weft_submit(executor, end_thread, NULL);
    assert_done_soon(ends);
    assert_err(ends, -EOWNERDEAD);
    weft_future_release(ends);
    test_destroy(executor);
}

int main(void)
{
    if (__real_pthread_create == NULL || (__real_pthread_setspecific == NULL && !TEST_ASAN && !TEST_TSAN)) {
        print_error("this program has to be linked with --wrap=pthread_create and --wrap=pthread_setspecific\n");
        return 1;
    }
    const struct CMUnitTest thread_failure[] = {
        TEST(test_exe_11_create_undoes_itself_when_a_thread_fails),
        TEST(test_exe_11_the_default_executor_reports_it_and_can_be_made_later),
        TEST(test_exe_11_a_wait_without_a_stand_in_is_refused),
        TEST(test_exe_11_jobs_end_threads_that_cannot_be_replaced),
        TEST(test_exe_11_a_worker_gets_its_data_later),
    };
    return cmocka_run_group_tests(thread_failure, NULL, NULL);
}
