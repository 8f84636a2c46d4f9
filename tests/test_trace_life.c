/* test_trace_life.c: how a trace begins and ends: codes, bad files, no memory, no thread, shutdown and destroy, from
 * jobs and callbacks, threads that end, and beginning and end in the midst of work. */
#include "refusing.h"
#include "trace_file.h"

#include <fcntl.h>
#include <pthread.h>

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *arg)
    __attribute__((weak));
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *arg);

static _Atomic(bool) no_threads; /* set by the test */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *arg)
{
    return test_get(no_threads) ? EAGAIN : __real_pthread_create(thread, attributes, body, arg);
}

static char path[64];

static void *nothing(void *arg)
{
    return arg;
}

static void run_one(weft_executor *executor)
{
    assert_int_equal(weft_await(weft_submit(executor, nothing, NULL), NULL), 0);
}

/* The trace that is there by now is a good one and holds so many jobs. */
static void check_jobs(unsigned jobs)
{
    trace_file *file = trace_read(path);
    assert_int_equal(trace_count(file, 'B', "job", NULL), jobs);
    trace_free(file);
}

/* ---- codes ---- */

static void test_one_at_a_time(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0), *other = test_executor(0);
    char second[64];
    assert_int_equal(weft_trace_stop(executor), -EALREADY);
    trace_path(path);
    assert_int_equal(weft_trace_start(executor, NULL), -EINVAL);
    assert_int_equal(weft_trace_start(executor, path), 0);
    assert_int_equal(weft_trace_start(executor, path), -EBUSY);
    run_one(executor);
    memcpy(second, path, sizeof second);
    trace_path(path);
    assert_int_equal(weft_trace_start(other, path), 0); /* each has its own */
    run_one(other);
    run_one(other);
    assert_int_equal(weft_trace_stop(other), 0);
    check_jobs(2);
    assert_int_equal(weft_trace_stop(executor), 0);
    assert_int_equal(weft_trace_stop(executor), -EALREADY);
    memcpy(path, second, sizeof second);
    check_jobs(1);
    trace_path(path);
    assert_int_equal(weft_trace_start(executor, path), 0); /* and again */
    run_one(executor);
    assert_int_equal(weft_trace_stop(executor), 0);
    check_jobs(1);
    test_destroy(executor);
    test_destroy(other);
}

static void test_a_file_that_cannot_be_written(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    assert_int_equal(weft_trace_start(executor, ""), -ENOENT);
    assert_int_equal(weft_trace_start(executor, "/nowhere/at/all"), -ENOENT);
    assert_int_equal(weft_trace_start(executor, "/"), -EISDIR);
    assert_int_equal(weft_trace_start(executor, "/dev/null/trace"), -ENOTDIR);
    assert_int_equal(weft_trace_stop(executor), -EALREADY);
    run_one(executor);
    test_destroy(executor);
}

static void test_a_disk_that_is_full_ends_the_file_and_not_the_work(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    assert_int_equal(weft_trace_start(executor, "/dev/full"), 0);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(weft_execute(executor, nothing, NULL), 0);
    run_one(executor);
    assert_int_equal(weft_trace_stop(executor), -ENOSPC);
    assert_int_equal(weft_trace_stop(executor), -EALREADY);
    run_one(executor);
    test_destroy(executor);
}

static void test_a_pipe_that_nobody_reads_any_more(void **state)
{
    (void)state;
    char fifo[80];
    trace_path(path);
    snprintf(fifo, sizeof fifo, "%s.pipe", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int reader = open(fifo, O_RDONLY | O_NONBLOCK);
    weft_executor *executor = test_executor(0);
    assert_int_equal(weft_trace_start(executor, fifo), 0);
    close(reader);
    run_one(executor);
    assert_int_equal(weft_trace_stop(executor), -EPIPE); /* and no signal */
    test_destroy(executor);
    unlink(fifo);
    unlink(path);
}

static void test_without_memory(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    size_t base = test_get(refuser.bytes);
    bool refused = true;
    trace_path(path);
    for (size_t k = 1; refused; k++) {
        refuse(k, k % 2);
        int code = weft_trace_start(executor, path);
        refused = test_get(refuser.refusals) > 0;
        refuse_nothing();
        assert_int_equal(code, refused ? -ENOMEM : 0);
        if (refused) {
            assert_int_equal(test_get(refuser.bytes), base);
            assert_int_equal(weft_trace_stop(executor), -EALREADY);
        }
    }
    run_one(executor);
    assert_int_equal(weft_trace_stop(executor), 0);
    check_jobs(1);
    assert_true(test_get(refuser.bytes) <= base + 65536); /* the job's chunk, not the rings */
    test_destroy(executor);
}

/* A spare whose lane finds no memory runs all the same; what it would have noted is counted. */
struct waiting {
    test_gate *gate;
    weft_future *future;
};

static void *wait_behind_gate(void *argument)
{
    struct waiting *waiting = argument;
    test_gate_pass(waiting->gate);
    TEST_EXPECT(weft_future_wait(waiting->future, WEFT_FOREVER) == 0);
    return NULL;
}

static void test_a_spare_without_memory_for_a_lane(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    struct waiting waiting = {test_gate_make(), weft_promise_future(promise)};
    trace_path(path);
    assert_int_equal(weft_trace_start(executor, path), 0);
    weft_future *waits = weft_submit(executor, wait_behind_gate, &waiting);
    weft_future *meanwhile = weft_submit(executor, nothing, NULL);
    assert_true(test_gate_await(waiting.gate, 1));
    refuse(2, false); /* the first is for the thread */
    test_gate_open(waiting.gate);
    assert_done_soon(meanwhile);
    assert_int_equal(test_get(refuser.refusals), 1);
    refuse_nothing();
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    assert_done_soon(waits);
    assert_int_equal(weft_trace_stop(executor), 0);
    trace_file *file = trace_read(path);
    assert_int_equal(trace_count(file, 'B', "job", NULL), 1);
    assert_true(file->lost > 0);
    trace_free(file);
    weft_future_release(meanwhile);
    weft_future_release(waits);
    weft_future_release(waiting.future);
    weft_promise_destroy(promise);
    test_destroy(executor);
}

static void test_without_a_thread(void **state)
{
    (void)state;
    if (!__real_pthread_create)
        fail_msg("linked without --wrap=pthread_create");
    weft_executor *executor = test_executor(0);
    trace_path(path);
    atomic_store_explicit(&no_threads, true, memory_order_release);
    assert_int_equal(weft_trace_start(executor, path), -EAGAIN);
    atomic_store_explicit(&no_threads, false, memory_order_release);
    assert_int_equal(weft_trace_stop(executor), -EALREADY);
    assert_int_equal(weft_trace_start(executor, path), 0);
    run_one(executor);
    assert_int_equal(weft_trace_stop(executor), 0);
    check_jobs(1);
    test_destroy(executor);
}

/* ---- who may call ---- */

static int trace_in_callback(weft_future *future, void *executor)
{
    (void)future;
    TEST_EXPECT(weft_trace_start(executor, path) == -EDEADLK);
    TEST_EXPECT(weft_trace_stop(executor) == -EDEADLK);
    return 0;
}

static void test_refused_on_a_coordinator(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_future *future = weft_submit(executor, nothing, NULL);
    trace_path(path);
    assert_int_equal(weft_on_done(future, trace_in_callback, executor, NULL), 0);
    flush(executor);
    assert_int_equal(weft_trace_start(executor, path), 0);
    assert_int_equal(weft_on_done(future, trace_in_callback, executor, NULL), 0);
    flush(executor);
    assert_int_equal(weft_trace_stop(executor), 0);
    weft_future_release(future);
    unlink(path);
    test_destroy(executor);
}

static void *trace_in_job(void *executor)
{
    TEST_EXPECT(weft_trace_start(executor, path) == 0);
    TEST_EXPECT(weft_await(weft_submit(executor, nothing, NULL), NULL) == 0);
    TEST_EXPECT(weft_trace_stop(executor) == 0);
    return NULL;
}

static void test_a_job_may_trace_its_own_executor(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    trace_path(path);
    assert_int_equal(weft_await(weft_submit(executor, trace_in_job, executor), NULL), 0);
    check_jobs(1);
    test_destroy(executor);
}

static void test_the_default_executor(void **state)
{
    (void)state;
    trace_path(path);
    assert_int_equal(weft_trace_start(NULL, path), 0);
    run_one(NULL);
    assert_int_equal(weft_trace_stop(NULL), 0);
    check_jobs(1);
}

/* ---- the executor's end ---- */

static void test_shutdown_goes_on_to_be_traced_until_it_is_stopped(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    trace_path(path);
    assert_int_equal(weft_trace_start(executor, path), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(weft_execute(executor, nothing, NULL), 0);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(weft_trace_start(executor, path), -ESHUTDOWN);
    assert_int_equal(weft_trace_stop(executor), 0);
    assert_int_equal(weft_trace_start(executor, path), -ESHUTDOWN);
    check_jobs(20);
    test_destroy(executor);
}

static void test_destroy_completes_the_file(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    trace_path(path);
    assert_int_equal(weft_trace_start(executor, path), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(weft_execute(executor, nothing, NULL), 0);
    test_destroy(executor);
    check_jobs(20);
}

/* ---- threads that end ---- */

static void *end_thread(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

/* Its reference is the test's, since it does not come back to give it up. */
static void *wait_for_what_ends_the_thread(void *inner)
{
    weft_executor *executor = weft_executor_current();
    weft_future *future = weft_submit(executor, end_thread, NULL);
    *(weft_future **)inner = future;
    weft_future_wait(future, WEFT_FOREVER);
    return NULL;
}

static void test_a_job_that_ends_its_thread_ends_its_slices(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    trace_path(path);
    assert_int_equal(weft_trace_start(executor, path), 0);
    assert_int_equal(weft_await(weft_submit(executor, end_thread, NULL), NULL), -EOWNERDEAD);
    weft_future *inner = NULL;
    weft_await(weft_submit(executor, wait_for_what_ends_the_thread, &inner), NULL); /* two, one in the other */
    weft_future_release(inner);
    run_one(executor);
    assert_int_equal(weft_trace_stop(executor), 0);
    trace_file *file = trace_read(path);
    unsigned failed = 0;
    for (size_t i = 0; i < file->n; i++)
        failed += file->events[i].phase == 'B' && file->events[i].ended_code == -EOWNERDEAD;
    assert_int_equal(failed, 3);
    assert_int_equal(trace_count(file, 'B', "job", NULL), 4);
    trace_free(file);
    test_destroy(executor);
}

/* ---- in the midst of work ---- */

struct busy {
    weft_executor *executor;
    _Atomic(bool) enough; /* set by the test */
    _Atomic(unsigned) ran;
};

static void *fan_out(void *argument)
{
    struct busy *busy = argument;
    weft_future *futures[4];
    for (int i = 0; i < 4; i++)
        futures[i] = weft_submit(busy->executor, nothing, NULL);
    for (int i = 0; i < 4; i++)
        TEST_EXPECT(weft_await(futures[i], NULL) == 0);
    atomic_fetch_add_explicit(&busy->ran, 1, memory_order_relaxed);
    return NULL;
}

static void *keep_busy(void *argument)
{
    struct busy *busy = argument;
    while (!test_get(busy->enough)) {
        weft_future *futures[8];
        weft_submit_options named = {.name = "busy"};
        for (int i = 0; i < 8; i++)
            futures[i] = weft_submit_with(busy->executor, fan_out, busy, i % 2 ? &named : NULL);
        weft_await(weft_sleep(busy->executor, 1000, NULL), NULL);
        for (int i = 0; i < 8; i++)
            TEST_EXPECT(weft_await(futures[i], NULL) == 0);
    }
    return NULL;
}

/* Three threads outside keep an executor busy, and a fourth one that begins and ends traces; so does another. */
static void *trace_too(void *argument)
{
    struct busy *busy = argument;
    char own[64];
    trace_path(own);
    while (!test_get(busy->enough)) {
        int code = weft_trace_start(busy->executor, own);
        TEST_EXPECT(code == 0 || code == -EBUSY);
        code = weft_trace_stop(busy->executor);
        TEST_EXPECT(code == 0 || code == -EALREADY);
    }
    unlink(own);
    return NULL;
}

static void test_beginning_and_ending_in_the_midst_of_work(void **state)
{
    (void)state;
    struct busy busy = {.executor = test_executor(0)};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        threads[i] = test_spawn(keep_busy, &busy);
    for (unsigned round = 0; round < test_rounds(60); round++) {
        trace_path(path);
        assert_int_equal(weft_trace_start(busy.executor, path), 0);
        unsigned before = test_get(busy.ran);
        for (int64_t until = weft_now() + 20 * MS; test_get(busy.ran) < before + 3 && weft_now() < until;)
            test_pause(50000);
        assert_int_equal(weft_trace_stop(busy.executor), 0);
        trace_free(trace_read(path));
    }
    pthread_t other = test_spawn(trace_too, &busy);
    for (unsigned round = 0; round < test_rounds(60); round++) {
        trace_path(path);
        int code = weft_trace_start(busy.executor, path);
        assert_true(code == 0 || code == -EBUSY);
        int stopped = weft_trace_stop(busy.executor);
        assert_true(stopped == 0 || stopped == -EALREADY);
        unlink(path);
    }
    atomic_store_explicit(&busy.enough, true, memory_order_release);
    test_join(other);
    for (int i = 0; i < 3; i++)
        test_join(threads[i]);
    test_destroy(busy.executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_at_a_time),
        TEST(test_a_file_that_cannot_be_written),
        TEST(test_a_disk_that_is_full_ends_the_file_and_not_the_work),
        TEST(test_a_pipe_that_nobody_reads_any_more),
        TEST(test_without_memory),
        TEST(test_a_spare_without_memory_for_a_lane),
        TEST(test_without_a_thread),
        TEST(test_refused_on_a_coordinator),
        TEST(test_a_job_may_trace_its_own_executor),
        TEST_DEFAULT(test_the_default_executor),
        TEST(test_shutdown_goes_on_to_be_traced_until_it_is_stopped),
        TEST(test_destroy_completes_the_file),
        TEST(test_a_job_that_ends_its_thread_ends_its_slices),
        TEST(test_beginning_and_ending_in_the_midst_of_work),
    };
    heap_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
