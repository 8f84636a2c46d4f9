/* test_signals.c: section 21, signals (SIG): handlers of the program run on the program's threads, and what a signal
 * interrupts goes on with the time that was left.
 *
 * Discipline. A timer sends a signal to the process every millisecond; its handler notes on which thread it ran. While
 * the storm lasts the test's own thread and jobs wait, in every way there is. A wait that began anew with its full time
 * at each signal would never end, one that a signal ends would be early: each is measured on both sides. Untimed waits
 * end when a thread that counts the signals has seen enough of them. The handler is installed without SA_RESTART, so
 * system calls do come back. */
#define _GNU_SOURCE
#include "fixtures.h"

#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SIGNAL = SIGUSR1, THREADS = 64, WAIT = 100, ENOUGH = TEST_TSAN ? 1 : 20 };

/* Which threads the handler ran on, each once; a place is taken by compare-and-swap. */
static _Atomic(long) handled_on[THREADS];
static _Atomic(unsigned) handled;

static void handler(int number)
{
    int saved = errno;
    long self = syscall(SYS_gettid);
    (void)number;
    for (unsigned i = 0; i < THREADS; i++) {
        long seen = 0;
        if (atomic_compare_exchange_strong_explicit(&handled_on[i], &seen, self, memory_order_relaxed,
                                                    memory_order_relaxed) ||
            seen == self) {
            break;
        }
    }
    atomic_fetch_add_explicit(&handled, 1, memory_order_release);
    errno = saved;
}

typedef struct storm {
    timer_t timer;
    unsigned before; /* handled when it began */
} storm;

static storm storm_begin(void)
{
    struct sigevent event;
    const struct itimerspec every = {.it_interval = {.tv_nsec = MS}, .it_value = {.tv_nsec = MS}};
    storm s = {.before = test_get(handled)};
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL; /* to the process, whichever of its threads will have it */
    event.sigev_signo = SIGNAL;
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &s.timer), 0);
    assert_int_equal(timer_settime(s.timer, 0, &every, NULL), 0);
    return s;
}

static void storm_end(storm *s)
{
    assert_int_equal(timer_delete(s->timer), 0);
    assert_true(test_get(handled) >= s->before + ENOUGH);
}

static bool is_handled_on(long thread)
{
    for (unsigned i = 0; i < THREADS; i++) {
        if (atomic_load_explicit(&handled_on[i], memory_order_relaxed) == thread) {
            return true;
        }
    }
    return false;
}

/* weft's threads carry their executor's name. Returns how many of them there are now. */
static unsigned expect_no_library_thread_handled(void)
{
    unsigned found = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file != NULL && fgets(name, sizeof name, file) != NULL && strncmp(name, "signals-", 8) == 0) {
            found++;
            TEST_EXPECT(!is_handled_on(strtol(entry->d_name, NULL, 10)));
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    closedir(tasks);
    return found;
}

static weft_executor *named_executor(void)
{
    const weft_executor_options options = {.workers = 2, .name = "signals"};
    return test_executor_with(&options);
}

/* ---- waits with a time limit ---- */

/* Every timed wait for a future that stays pending: none is early, none late. On any thread. */
static void wait_in_time(weft_future *pending)
{
    for (unsigned i = 0; i < 4; i++) {
        int64_t begun = weft_now();
        int code = i == 0 ? weft_future_wait(pending, WAIT * MS)
                          : weft_wait(&pending, 1, (weft_wait_mode)(i - 1), WAIT * MS, NULL);
        int64_t took = weft_now() - begun;
        TEST_EXPECT(code == -ETIMEDOUT);
        TEST_EXPECT(took >= WAIT * MS);
        TEST_EXPECT(took < WAIT * MS + test_late());
    }
}

static void *wait_in_time_job(void *pending)
{
    wait_in_time(pending);
    return pending;
}

static void test_sig_01_timed_waits_keep_their_time(void **state)
{
    (void)state;
    weft_executor *executor = named_executor();
    inputs in = inputs_make(executor, 1);
    storm s = storm_begin();
    weft_future *job = weft_submit(executor, wait_in_time_job, in.future[0]);
    wait_in_time(in.future[0]);
    assert_done_soon(job);
    assert_true(expect_no_library_thread_handled() >= 3);
    storm_end(&s);
    weft_future_release(job);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_sig_01_time_itself_goes_on(void **state)
{
    (void)state;
    weft_executor *executor = named_executor();
    inputs in = inputs_make(executor, 1);
    storm s = storm_begin();
    for (unsigned i = 0; i < 3; i++) {
        int64_t begun = weft_now();
        assert_int_equal(weft_await(weft_sleep(executor, WAIT * MS, NULL), NULL), 0);
        int64_t took = weft_now() - begun;
        assert_true(took >= WAIT * MS && took < WAIT * MS + test_late());
        begun = weft_now();
        assert_int_equal(weft_await(weft_wait_for(in.future[0], WAIT * MS, WEFT_NO_CANCEL), NULL), -ETIMEDOUT);
        took = weft_now() - begun;
        assert_true(took >= WAIT * MS && took < WAIT * MS + test_late());
    }
    expect_no_library_thread_handled();
    storm_end(&s);
    inputs_free(&in);
    test_destroy(executor);
}

/* ---- waits without one ---- */

typedef struct keeper {
    weft_promise *promise; /* by the test */
    unsigned until;        /* how many signals must have been handled; by the test */
} keeper;

/* Resolves the promise after so many signals. It takes none itself, so that the waiting thread gets them. */
static void *keep_after_signals(void *arg)
{
    keeper *k = arg;
    for (int64_t end = weft_now() + test_patience(); test_get(handled) < k->until && weft_now() < end;) {
        test_pause(MS);
    }
    TEST_EXPECT(test_get(handled) >= k->until);
    TEST_EXPECT(weft_promise_resolve(k->promise, k, NULL) == 0);
    return NULL;
}

static pthread_t spawn_keeper(keeper *k)
{
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGNAL);
    pthread_sigmask(SIG_BLOCK, &mask, &before);
    pthread_t thread = test_spawn(keep_after_signals, k);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return thread;
}

static int wait_by(unsigned way, weft_future *future)
{
    switch (way) {
    case 0:
        return weft_future_wait(future, WEFT_FOREVER);
    case 1:
        return weft_future_get(future, NULL);
    case 2:
        return weft_future_take(future, NULL);
    case 3:
        return weft_await(weft_future_retain(future), NULL);
    default:
        return weft_wait(&future, 1, (weft_wait_mode)(way - 4), WEFT_FOREVER, NULL);
    }
}

enum { WAYS = 7 };

static void *wait_in_job(void *future)
{
    TEST_EXPECT(weft_future_wait(future, WEFT_FOREVER) == 0);
    return future;
}

static void test_sig_01_untimed_waits_are_not_ended(void **state)
{
    (void)state;
    weft_executor *executor = named_executor();
    storm s = storm_begin();
    for (unsigned way = 0; way < WAYS; way++) {
        inputs in = inputs_make(executor, 1);
        keeper k = {in.promise[0], test_get(handled) + ENOUGH};
        pthread_t thread = spawn_keeper(&k);
        weft_future *job = weft_submit(executor, wait_in_job, in.future[0]);
        assert_int_equal(wait_by(way, in.future[0]), 0);
        assert_true(test_get(handled) >= k.until);
        assert_true(weft_future_done(in.future[0]));
        assert_done_soon(job);
        test_join(thread);
        weft_future_release(job);
        inputs_free(&in);
    }
    expect_no_library_thread_handled();
    storm_end(&s);
    test_destroy(executor);
}

/* Several threads of the program's wait at once, each under signals of its own besides those to the process. */
static void *wait_for_all(void *future)
{
    TEST_EXPECT(weft_future_wait(future, WEFT_FOREVER) == 0);
    TEST_EXPECT(weft_future_get(future, NULL) == 0);
    return NULL;
}

static void test_sig_01_several_threads_under_signals_of_their_own(void **state)
{
    (void)state;
    weft_executor *executor = named_executor();
    inputs in = inputs_make(executor, 1);
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        threads[i] = test_spawn(wait_for_all, in.future[0]);
    }
    storm s = storm_begin();
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(pthread_kill(threads[i], SIGNAL), 0);
        }
        assert_int_equal(weft_future_wait(in.future[0], MS), -ETIMEDOUT);
    }
    expect_no_library_thread_handled();
    storm_end(&s);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    for (unsigned i = 0; i < 4; i++) {
        test_join(threads[i]);
    }
    inputs_free(&in);
    test_destroy(executor);
}

/* ---- shutdown ---- */

static void test_sig_01_shutdown_and_destroy_under_signals(void **state)
{
    (void)state;
    weft_executor *executor = named_executor();
    test_gate *gate = test_block(executor, 2);
    storm s = storm_begin();
    int64_t begun = weft_now();
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WAIT * MS), -ETIMEDOUT);
    int64_t took = weft_now() - begun;
    assert_true(took >= WAIT * MS && took < WAIT * MS + test_late());
    expect_no_library_thread_handled();
    storm_end(&s);
    test_unblock(gate);
    for (unsigned i = 0; i < 20; i++) {
        storm again = storm_begin();
        weft_executor *other = named_executor();
        weft_execute(other, test_job_return_arg, NULL);
        test_destroy(other);
        assert_int_equal(timer_delete(again.timer), 0);
    }
    test_destroy(executor);
}

/* ---- nobody takes what the program's threads do not want ---- */

static bool is_pending(void *unused)
{
    sigset_t pending;
    (void)unused;
    sigpending(&pending);
    return sigismember(&pending, SIGNAL) == 1;
}

/* Blocked in every thread of the program's, a signal to the process waits, however idle weft's threads are. */
static void test_sig_01_no_library_thread_takes_a_signal(void **state)
{
    (void)state;
    weft_executor *executor = named_executor();
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGNAL);
    pthread_sigmask(SIG_BLOCK, &mask, &before);
    unsigned handled_before = test_get(handled);
    weft_future *job = weft_submit(executor, test_job_return_arg, executor); /* workers that run, workers that sleep */
    assert_int_equal(kill(getpid(), SIGNAL), 0);
    assert_done_soon(job);
    flush(executor);
    assert_true(test_until(is_pending, NULL));
    assert_int_equal(weft_await(weft_sleep(executor, 20 * MS, NULL), NULL), 0);
    assert_true(is_pending(NULL));
    assert_int_equal(test_get(handled), handled_before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(test_get(handled), handled_before + 1);
    assert_true(is_handled_on(syscall(SYS_gettid)));
    assert_true(expect_no_library_thread_handled() >= 3);
    weft_future_release(job);
    test_destroy(executor);
}

int main(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigaction(SIGNAL, &action, NULL);
    const struct CMUnitTest tests[] = {
        TEST(test_sig_01_timed_waits_keep_their_time),
        TEST(test_sig_01_time_itself_goes_on),
        TEST(test_sig_01_untimed_waits_are_not_ended),
        TEST(test_sig_01_several_threads_under_signals_of_their_own),
        TEST(test_sig_01_shutdown_and_destroy_under_signals),
        TEST(test_sig_01_no_library_thread_takes_a_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
