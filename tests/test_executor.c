/* test_executor.c: how jobs reach workers and which worker hooks run when (EXE).
 *
 * Concurrency is shown by rendezvous, not by timing: jobs that must run at once meet on a barrier, jobs that must not
 * are counted at a gate. */
#define _GNU_SOURCE
#include "support.h"

#include <limits.h>
#include <sched.h>
#include <time.h>

/* The default executor. Of the tests that leave it behind this is the first, so that eight threads race for it. */

static void *ask_for_default(void *barrier)
{
    test_barrier_meet(barrier);
    return weft_executor_default();
}

static void *current_executor(void *arg)
{
    (void)arg;
    return weft_executor_current();
}

static void test_exe_01_the_default_executor_is_made_once(void **state)
{
    (void)state;
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    test_barrier *barrier = test_barrier_make(THREADS);
    for (int i = 0; i < THREADS; i++) {
        threads[i] = test_spawn(ask_for_default, barrier);
    }
    weft_executor *executor = test_join(threads[0]);
    assert_non_null(executor);
    for (int i = 1; i < THREADS; i++) {
        assert_ptr_equal(test_join(threads[i]), executor);
    }
    void *value = NULL;
    assert_ptr_equal(weft_executor_default(), executor);
    assert_int_equal(weft_executor_workers(NULL), weft_executor_workers(executor));
    assert_int_equal(weft_await(weft_submit(NULL, current_executor, NULL), &value), 0);
    assert_ptr_equal(value, executor);
    assert_int_equal(weft_await(weft_sleep(NULL, 0, NULL), NULL), 0);
    assert_true(test_until_counters(0, 0, 0)); /* the base of the following tests */
}

/* EXE-01 */

struct visit {
    _Atomic(unsigned) entered;
    pthread_t thread;
    weft_executor *current;
    int worker;
    test_latch *latch;
};

static void *pay_visit(void *arg)
{
    struct visit *visit = arg;
    visit->thread = pthread_self();
    visit->current = weft_executor_current();
    visit->worker = weft_worker_index();
    atomic_fetch_add_explicit(&visit->entered, 1, memory_order_acq_rel);
    test_latch_hit(visit->latch);
    return arg;
}

static void check_visit(const struct visit *visit, weft_executor *executor)
{
    assert_int_equal(test_get(visit->entered), 1);
    assert_false(pthread_equal(visit->thread, pthread_self()));
    assert_ptr_equal(visit->current, executor);
    assert_in_range(visit->worker, 0, weft_executor_workers(executor) - 1);
}

static void test_exe_01_entered_once_on_a_worker_with_its_argument(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    struct visit visits[3] = {{.entered = 0}, {.entered = 0}, {.entered = 0}};
    test_latch *latch = test_latch_make();
    visits[0].latch = visits[1].latch = visits[2].latch = latch;
    assert_int_equal(weft_executor_workers(executor), test_workers());
    assert_int_equal(weft_worker_index(), -1);
    assert_null(weft_executor_current());
    weft_future *one = weft_submit(executor, pay_visit, &visits[0]);
    weft_future *two = weft_submit_with(executor, pay_visit, &visits[1], NULL);
    assert_int_equal(weft_execute(executor, pay_visit, &visits[2]), 0);
    assert_done_soon(one);
    assert_ok(one, &visits[0]);
    assert_done_soon(two);
    assert_ok(two, &visits[1]);
    test_latch_wait(latch, 3);
    weft_future_release(one);
    weft_future_release(two);
    test_destroy(executor);
    assert_int_equal(test_latch_count(latch), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(test_get(visits[i].entered), 1);
    }
}

static void test_exe_01_knows_its_worker_and_executor(void **state)
{
    (void)state;
    weft_executor *executors[] = {test_executor(1), test_executor(3)};
    for (int i = 0; i < 2; i++) {
        struct visit visit = {.latch = test_latch_make()};
        assert_int_equal(weft_await(weft_submit(executors[i], pay_visit, &visit), NULL), 0);
        check_visit(&visit, executors[i]);
    }
    test_destroy(executors[0]);
    test_destroy(executors[1]);
}

static void *name_of_thread(void *arg)
{
    return (void *)(intptr_t)(pthread_getname_np(pthread_self(), arg, 16) == 0);
}

static void test_exe_01_threads_carry_the_name(void **state)
{
    (void)state;
    const weft_executor_options named = {.workers = 1, .name = "mill"};
    const weft_executor_options unnamed = {.workers = 1};
    char name[16] = "";
    weft_executor *executor = test_executor_with(&named);
    assert_int_equal(weft_await(weft_submit(executor, name_of_thread, name), NULL), 0);
    test_destroy(executor);
    assert_memory_equal(name, "mill", 4);
    executor = test_executor_with(&unnamed);
    assert_int_equal(weft_await(weft_submit(executor, name_of_thread, name), NULL), 0);
    test_destroy(executor);
    assert_memory_equal(name, "weft", 4);
}

static void *size_of_stack(void *arg)
{
    pthread_attr_t attributes;
    size_t size = 0;
    (void)arg;
    TEST_EXPECT(pthread_getattr_np(pthread_self(), &attributes) == 0);
    TEST_EXPECT(pthread_attr_getstacksize(&attributes, &size) == 0);
    pthread_attr_destroy(&attributes);
    return (void *)size;
}

static void test_exe_01_workers_have_the_stack_asked_for(void **state)
{
    (void)state;
    const weft_executor_options options = {.workers = 1, .stack_size = (size_t)32 << 20};
    weft_executor *executor = test_executor_with(&options);
    void *size = NULL;
    assert_int_equal(weft_await(weft_submit(executor, size_of_stack, NULL), &size), 0);
    assert_true((size_t)size >= options.stack_size);
    test_destroy(executor);
}

static void test_exe_01_many_run_each_with_its_own_argument(void **state)
{
    (void)state;
    enum { N = 1000 };
    weft_executor *executor = test_executor(0);
    static int numbers[N];
    static void *args[N];
    static weft_future *futures[N];
    for (int i = 0; i < N; i++) {
        args[i] = &numbers[i];
        futures[i] = NULL;
    }
    assert_int_equal(weft_submit_many(executor, test_job_return_arg, args, N, futures), 0);
    for (int i = 0; i < N; i++) {
        void *value = NULL;
        assert_non_null(futures[i]);
        assert_int_equal(weft_await(futures[i], &value), 0);
        assert_ptr_equal(value, &numbers[i]);
    }
    assert_int_equal(weft_submit_many(executor, test_job_return_arg, args, 0, futures), 0);
    test_destroy(executor);
}

/* EXE-02 */

static void check_workers_of_this_process(void)
{
    cpu_set_t mask;
    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    weft_executor *executor = weft_executor_create(NULL);
    assert_non_null(executor);
    assert_in_range(weft_executor_workers(executor), 1, (unsigned)CPU_COUNT(&mask));
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    test_destroy(executor);
}

static void test_exe_02_no_number_means_the_cpus_of_this_process(void **state)
{
    (void)state;
    cpu_set_t whole, single;
    assert_int_equal(sched_getaffinity(0, sizeof whole, &whole), 0);
    check_workers_of_this_process();
    size_t first = 0;
    while (!CPU_ISSET(first, &whole)) {
        first++;
    }
    CPU_ZERO(&single);
    CPU_SET(first, &single);
    assert_int_equal(sched_setaffinity(0, sizeof single, &single), 0);
    check_workers_of_this_process();
    assert_int_equal(sched_setaffinity(0, sizeof whole, &whole), 0);
}

static void test_exe_02_absurd_numbers_are_einval(void **state)
{
    (void)state;
    const unsigned numbers[] = {1000000, UINT_MAX, UINT_MAX / 2 + 1};
    for (int i = 0; i < 3; i++) {
        const weft_executor_options options = {.workers = numbers[i]};
        errno = 0;
        assert_null(weft_executor_create(&options));
        assert_int_equal(errno, EINVAL);
        assert_counters_at_base();
    }
}

static void test_exe_02_a_null_function_is_einval(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell cell = {.code = 0};
    void *args[] = {&cell, &cell};
    weft_future *futures[] = {NULL, NULL};
    const weft_submit_options options = {.free_arg = test_cell_free_arg};
    errno = 0;
    assert_null(weft_submit(executor, NULL, &cell));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(weft_submit_with(executor, NULL, &cell, &options));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(weft_submit_copy(executor, NULL, &cell, sizeof cell));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(weft_submit_many(executor, NULL, args, 2, futures), -EINVAL);
    assert_int_equal(weft_execute(executor, NULL, &cell), -EINVAL);
    assert_true(test_until_counters(0, 0, 0));
    test_destroy(executor);
    assert_int_equal(test_get(cell.arg_freed), 0);
}

/* EXE-03 */

static void test_exe_03_exactly_as_many_at_once_as_there_are_workers(void **state)
{
    (void)state;
    enum { WORKERS = 4, JOBS = 60 };
    weft_executor *executor = test_executor(WORKERS);
    test_gate *gate = test_gate_make();
    weft_future *jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = weft_submit(executor, test_gate_job, gate);
    }
    test_gate_await(gate, WORKERS);
    test_pause(WEFT_MILLISECONDS(50));
    assert_int_equal(test_gate_reached(gate), WORKERS);
    unsigned running = 0;
    for (int i = 0; i < JOBS; i++) {
        running += weft_future_state(jobs[i]) == WEFT_RUNNING;
    }
    assert_int_equal(running, WORKERS);
    test_gate_open(gate);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(weft_await(jobs[i], NULL), 0);
    }
    assert_int_equal(test_gate_reached(gate), JOBS);
    test_destroy(executor);
}

/* EXE-04 */

struct rendezvous {
    test_barrier *barrier;
    unsigned children, way;
};

static void *meet(void *arg)
{
    struct rendezvous *rendezvous = arg;
    test_barrier_meet(rendezvous->barrier);
    return NULL;
}

static void *bring_children(void *arg)
{
    struct rendezvous *rendezvous = arg;
    void *args[16];
    weft_future *futures[16];
    for (unsigned i = 0; i < rendezvous->children; i++) {
        args[i] = rendezvous;
    }
    if (rendezvous->way == 0) {
        TEST_EXPECT(weft_submit_many(weft_executor_current(), meet, args, rendezvous->children, futures) == 0);
    }
    for (unsigned i = 0; i < rendezvous->children; i++) {
        if (rendezvous->way == 0) {
            weft_future_release(futures[i]);
        } else if (rendezvous->way == 1) {
            TEST_EXPECT(weft_execute(weft_executor_current(), meet, rendezvous) == 0);
        } else {
            weft_future_release(weft_submit(weft_executor_current(), meet, rendezvous));
        }
    }
    return meet(rendezvous);
}

static void check_rendezvous(unsigned workers, unsigned rounds)
{
    weft_executor *executor = test_executor(workers);
    for (unsigned i = 0; i < rounds; i++) {
        struct rendezvous rendezvous = {test_barrier_make(workers), workers - 1, i % 3};
        weft_future *mother = weft_submit(executor, bring_children, &rendezvous);
        assert_int_equal(weft_await(mother, NULL), 0);
        assert_true(test_until_counters(0, 0, 0));
        if (i % 8 == 0) {
            test_pause(200000);
        }
    }
    test_destroy(executor);
}

static void test_exe_04_idle_workers_come_for_the_children(void **state)
{
    (void)state;
    check_rendezvous(2, test_rounds(400));
    check_rendezvous(4, test_rounds(200));
    check_rendezvous(8, test_rounds(100));
}

/* The same with jobs from outside: as many as workers must run at once, however the wake-ups fall. */
static void test_exe_04_idle_workers_come_for_outside_jobs(void **state)
{
    (void)state;
    enum { WORKERS = 4 };
    weft_executor *executor = test_executor(WORKERS);
    for (unsigned i = 0; i < test_rounds(300); i++) {
        struct rendezvous rendezvous = {test_barrier_make(WORKERS), 0, 0};
        weft_future *jobs[WORKERS];
        for (int j = 0; j < WORKERS; j++) {
            jobs[j] = weft_submit(executor, meet, &rendezvous);
        }
        for (int j = 0; j < WORKERS; j++) {
            assert_int_equal(weft_await(jobs[j], NULL), 0);
        }
    }
    test_destroy(executor);
}

/* Idle threads sleep: nobody polls, so processor time stands still while wall time goes on. */
static void test_exe_04_an_idle_executor_uses_no_cpu(void **state)
{
    (void)state;
    struct timespec before, after;
    weft_executor *executor = test_executor(4);
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    weft_future *sleep = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
    test_pause(WEFT_MILLISECONDS(50));
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
    test_pause(WEFT_MILLISECONDS(400));
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), 0);
    int64_t used = (after.tv_sec - before.tv_sec) * WEFT_SECONDS(1) + after.tv_nsec - before.tv_nsec;
    assert_true(TEST_TSAN || used < WEFT_MILLISECONDS(20));
    weft_cancel(sleep);
    weft_future_release(sleep);
    test_destroy(executor);
}

/* EXE-07 */

struct entry {
    test_log *log;
    int number;
};

static void *enter_in_log(void *arg)
{
    struct entry *entry = arg;
    test_note(entry->log, entry->number);
    return NULL;
}

static void test_exe_07_one_worker_starts_outside_jobs_in_order(void **state)
{
    (void)state;
    enum { N = 100 };
    weft_executor *executor = test_executor(1);
    for (int way = 0; way < 2; way++) {
        test_log *log = test_log_make();
        struct entry entries[N];
        void *args[N];
        weft_future *jobs[N];
        test_gate *blocker = way == 0 ? test_block(executor, 1) : NULL;
        for (int i = 0; i < N; i++) {
            entries[i] = (struct entry){log, i + 1};
            args[i] = &entries[i];
        }
        for (int i = 0; i < 50; i++) {
            jobs[i] = weft_submit(executor, enter_in_log, args[i]);
        }
        assert_int_equal(weft_submit_many(executor, enter_in_log, args + 50, 50, jobs + 50), 0);
        if (blocker != NULL) {
            test_unblock(blocker);
        }
        for (int i = 0; i < N; i++) {
            assert_int_equal(weft_await(jobs[i], NULL), 0);
        }
        assert_int_equal(test_log_size(log), N);
        for (int i = 0; i < N; i++) {
            assert_int_equal(test_log_at(log, (size_t)i), i + 1);
        }
    }
    test_destroy(executor);
}

static void test_exe_07_priority_orders_what_has_not_started(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    const weft_priority priorities[] = {WEFT_LOW, WEFT_NORMAL, WEFT_HIGH, WEFT_LOW, WEFT_NORMAL, WEFT_HIGH};
    test_log *log = test_log_make();
    struct entry entries[6];
    weft_future *jobs[6];
    test_gate *blocker = test_block(executor, 1);
    for (int i = 0; i < 6; i++) {
        const weft_submit_options options = {.priority = priorities[i]};
        entries[i] = (struct entry){log, i};
        jobs[i] = weft_submit_with(executor, enter_in_log, &entries[i], &options);
    }
    test_unblock(blocker);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(weft_await(jobs[i], NULL), 0);
    }
    assert_log(log, 2, 5, 1, 4, 0, 3);
    test_destroy(executor);
}

/* Delay: not before its time, then like any other. */
static void test_exe_07_a_delayed_job_starts_when_due(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    test_cell due = {.code = 0}, past = {.code = 0}, stopped = {.code = 0};
    const weft_submit_options later = {.delay = WEFT_SECONDS(10), .free_arg = test_cell_free_arg};
    const weft_submit_options earlier = {.delay = -5, .free_arg = test_cell_free_arg};
    weft_future *one = weft_submit_with(executor, test_cell_run, &due, &later);
    weft_future *two = weft_submit_with(executor, test_cell_run, &past, &earlier);
    weft_future *three = weft_submit_with(executor, test_cell_run, &stopped, &later);
    assert_done_soon(two);
    weft_manual_clock_advance(clock, WEFT_SECONDS(9));
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    assert_int_equal(weft_future_state(one), WEFT_PENDING);
    assert_int_equal(test_get(due.ran), 0);
    assert_int_equal(weft_cancel(three), WEFT_CANCEL_DONE);
    assert_cancelled(three, WEFT_REASON_USER);
    assert_int_equal(test_get(stopped.arg_freed), 1);
    weft_manual_clock_advance(clock, WEFT_SECONDS(2));
    assert_done_soon(one);
    assert_true(test_until_counters(3, 0, 0));
    weft_future_release(one);
    weft_future_release(two);
    weft_future_release(three);
    test_destroy(executor);
    weft_clock_destroy(clock);
    assert_int_equal(test_get(due.ran) + test_get(past.ran), 2);
    assert_int_equal(test_get(due.arg_freed) + test_get(past.arg_freed), 2);
    assert_int_equal(test_get(stopped.ran), 0);
}

/* EXE-12 */

static void *await_other(void *future)
{
    void *value = NULL;
    TEST_EXPECT(weft_await(future, &value) == 0);
    return value;
}

static void test_exe_12_futures_of_two_executors_together(void **state)
{
    (void)state;
    weft_executor *one = test_executor(1), *two = test_executor(1);
    test_gate *gate = test_gate_make();
    weft_future *inputs[] = {weft_submit(one, test_job_return_arg, one), weft_submit(two, test_gate_job, gate)};
    weft_future *gather = weft_gather(one, inputs, 2, WEFT_SETTLED);
    weft_future *bounded = weft_wait_for(inputs[1], WEFT_FOREVER, 0);
    weft_future *waiter = weft_submit(one, await_other, weft_future_retain(inputs[1]));
    bool done[2] = {false, false};
    assert_int_equal(weft_wait(inputs, 2, WEFT_FIRST_COMPLETED, test_patience(), done), 0);
    assert_true(done[0]);
    assert_false(done[1]);
    assert_int_equal(weft_future_state(gather), WEFT_PENDING);
    test_gate_open(gate);
    assert_int_equal(weft_wait(inputs, 2, WEFT_ALL_COMPLETED, test_patience(), done), 0);
    assert_true(done[0] && done[1]);
    assert_done_soon(gather);
    size_t n = 0;
    const weft_outcome *outcomes = weft_gather_outcomes(gather, &n);
    assert_int_equal(n, 2);
    assert_ptr_equal(outcomes[0].value, one);
    assert_ptr_equal(outcomes[1].value, gate);
    assert_done_soon(bounded);
    assert_ok(bounded, gate);
    void *value = NULL;
    assert_int_equal(weft_await(waiter, &value), 0);
    assert_ptr_equal(value, gate);
    weft_future_release(gather);
    weft_future_release(bounded);
    weft_future_release(inputs[0]);
    weft_future_release(inputs[1]);
    test_destroy(one);
    test_destroy(two);
}

/* The counters of an executor. */

static void test_exe_01_stats_add_up(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    weft_stats stats, sum = {.submitted = 0};
    test_gate *blocker = test_block(executor, 2);
    weft_future *ok = weft_submit(executor, test_job_return_arg, NULL);
    weft_future *bad = weft_submit(executor, test_job_fail_7, NULL);
    weft_future *off = weft_submit(executor, test_job_return_arg, NULL);
    assert_int_equal(weft_executor_stats(executor, &stats), 0);
    assert_int_equal(stats.submitted, 5);
    assert_int_equal(stats.running, 2);
    assert_int_equal(stats.queued, 3);
    weft_cancel(off);
    test_unblock(blocker);
    assert_int_equal(weft_await(bad, NULL), 7);
    assert_int_equal(weft_await(ok, NULL), 0);
    weft_future_release(off);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_null(weft_submit(executor, test_job_return_arg, NULL));
    assert_int_equal(weft_executor_stats(executor, &stats), 0);
    assert_int_equal(stats.submitted, 5);
    assert_int_equal(stats.succeeded, 3);
    assert_int_equal(stats.failed, 1);
    assert_int_equal(stats.cancelled, 1);
    assert_int_equal(stats.refused, 1);
    assert_int_equal(stats.queued + stats.running + stats.spares + stats.unobserved_errors, 0);
    uint64_t started = 0;
    for (int i = 0; i < 64; i++) {
        started += stats.latency_ns_log2[i];
    }
    assert_true(started <= 4); /* a sample is measured */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(weft_worker_stats(executor, i, &stats), 0);
        sum.succeeded += stats.succeeded;
    }
    assert_int_equal(sum.succeeded, 3);
    assert_int_equal(weft_worker_stats(executor, 1000000, &stats), -EINVAL);
    test_destroy(executor);
}

/* No call is a cancellation point: a thread that is to be cancelled all along gets to the end of this, and nothing is
 * left of it. */
static void *use_it_while_cancelled(void *arrived)
{
    const weft_executor_options options = {.workers = 1};
    pthread_cancel(pthread_self());
    weft_executor *executor = weft_executor_create(&options);
    TEST_EXPECT(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL) == 0);
    TEST_EXPECT(weft_await(weft_sleep(executor, WEFT_MILLISECONDS(1), NULL), NULL) == 0);
    weft_queue *queue = weft_queue_create(executor);
    TEST_EXPECT(weft_queue_fd(queue) >= 0);
    weft_queue_destroy(queue);
    TEST_EXPECT(weft_trace_start(executor, "/dev/null") == 0);
    TEST_EXPECT(weft_trace_stop(executor) == 0);
    weft_future_release(weft_submit(executor, test_job_fail_7, NULL));
    TEST_EXPECT(weft_executor_destroy(executor) == 0);
    executor = weft_executor_default();
    TEST_EXPECT(weft_await(weft_submit(NULL, test_job_return_arg, NULL), NULL) == 0);
    TEST_EXPECT(weft_executor_destroy(executor) == 0);
    atomic_store_explicit((_Atomic(bool) *)arrived, true, memory_order_release);
    pthread_testcancel();
    return NULL;
}

static void test_exe_01_no_call_is_a_cancellation_point(void **state)
{
    (void)state;
    _Atomic(bool) arrived = false;
    assert_ptr_equal(test_join(test_spawn(use_it_while_cancelled, &arrived)), PTHREAD_CANCELED);
    assert_true(test_get(arrived));
}

int main(void)
{
    const struct CMUnitTest executor[] = {
        TEST(test_exe_01_no_call_is_a_cancellation_point),
        cmocka_unit_test(test_exe_01_the_default_executor_is_made_once),
        TEST(test_exe_01_entered_once_on_a_worker_with_its_argument),
        TEST(test_exe_01_knows_its_worker_and_executor),
        TEST(test_exe_01_threads_carry_the_name),
        TEST(test_exe_01_workers_have_the_stack_asked_for),
        TEST(test_exe_01_many_run_each_with_its_own_argument),
        TEST(test_exe_02_no_number_means_the_cpus_of_this_process),
        TEST(test_exe_02_absurd_numbers_are_einval),
        TEST(test_exe_02_a_null_function_is_einval),
        TEST(test_exe_03_exactly_as_many_at_once_as_there_are_workers),
        TEST(test_exe_04_idle_workers_come_for_the_children),
        TEST(test_exe_04_idle_workers_come_for_outside_jobs),
        TEST(test_exe_04_an_idle_executor_uses_no_cpu),
        TEST(test_exe_07_one_worker_starts_outside_jobs_in_order),
        TEST(test_exe_07_priority_orders_what_has_not_started),
        TEST(test_exe_07_a_delayed_job_starts_when_due),
        TEST(test_exe_12_futures_of_two_executors_together),
        TEST(test_exe_01_stats_add_up),
    };
    return cmocka_run_group_tests(executor, NULL, NULL);
}
