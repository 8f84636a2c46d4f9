/* support.h: what the tests share. Gates, latches, logs, threads, and the check that nothing stays behind.
 *
 * Discipline. A test is declared with TEST(fn), which puts test_setup and test_teardown around it. Setup notes
 * weft_counters and arms a watchdog that ends the program, with the test's name, if the test hangs. Teardown opens
 * every gate that a failed test left shut, reports what other threads complained about and compares the counters with
 * those of the setup: so a test destroys its executors and clocks and releases its references before it returns.
 *
 * cmocka's assertions leave the test by longjmp and so belong on the test's own thread alone. Jobs, callbacks, hooks
 * and spawned threads use TEST_EXPECT, which reports and goes on; the teardown then fails the test.
 *
 * Gates, latches, logs and barriers come from pools that live as long as the program, so that a job which outlives a
 * failed test finds them still there. Nobody frees them; a pool's 256 places (32 logs) are given out round and
 * round. */
#ifndef WEFT_TESTS_SUPPORT_H
#define WEFT_TESTS_SUPPORT_H

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weft/testing.h>
#include <weft/weft.h>

#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

/* Life of a test. */

int test_setup(void **state);
int test_teardown(void **state);

/* For tests that use the default executor, which lives as long as the process: its threads belong to the baseline and
 * the bytes that it keeps are not compared. */
int test_setup_default(void **state);
int test_teardown_default(void **state);

#define TEST(fn) cmocka_unit_test_prestate_setup_teardown(fn, test_setup, test_teardown, (void *)#fn)
#define TEST_DEFAULT(fn)                                                                                               \
    cmocka_unit_test_prestate_setup_teardown(fn, test_setup_default, test_teardown_default, (void *)#fn)

/* Reports from any thread, and makes the teardown fail the test. True if the condition holds. */
#define TEST_EXPECT(condition) test_expect((condition), #condition, __FILE__, __LINE__)
#define TEST_FAIL(what)        test_expect(false, (what), __FILE__, __LINE__)
bool test_expect(bool holds, const char *what, const char *file, int line);

/* Compares with the counters at setup, now, on the test's thread: for checks in the middle of a test. */
#define assert_counters_at_base() test_assert_counters_at_base(__FILE__, __LINE__)
void test_assert_counters_at_base(const char *file, int line);
weft_counters test_base(void);     /* the counters at setup */
weft_counters test_counters(void); /* the counters now */

/* Numbers. */

int64_t test_patience(void);      /* ns: how long a thing may take that must happen; several seconds */
int64_t test_late(void);          /* ns: how late a timed thing may be on the real clock; 250 ms without sanitizers */
unsigned test_workers(void);      /* WEFT_TEST_WORKERS, else 2: for tests where the number does not matter */
unsigned test_rounds(unsigned n); /* repetitions of a race: n, fewer under ThreadSanitizer, times WEFT_TEST_FACTOR */

/* Executors. Each asserts that the call succeeded. */

weft_executor *test_executor(unsigned workers);                          /* 0: test_workers() */
weft_executor *test_executor_clock(unsigned workers, weft_clock *clock); /* the same on a manual clock */
weft_executor *test_executor_with(const weft_executor_options *options);
void test_destroy(weft_executor *executor);

/* Waiting. Those that return bool complain (as TEST_EXPECT does) and answer false when patience ends. */

bool test_until(bool (*holds)(void *data), void *data); /* polls: for effects that nothing announces */
bool test_until_counters(size_t futures, size_t timers, size_t callbacks); /* polls until exactly so many above base */
bool test_until_state(weft_future *future, weft_state state);
void test_pause(int64_t ns); /* lets time pass where the point is that nothing happens */

/* A latch counts hits from any thread; others wait for a number of them. */
typedef struct test_latch test_latch;
test_latch *test_latch_make(void);
unsigned test_latch_hit(test_latch *latch); /* its number, from 1 */
unsigned test_latch_count(test_latch *latch);
bool test_latch_wait(test_latch *latch, unsigned hits);
bool test_latch_wait_for(test_latch *latch, unsigned hits, int64_t timeout); /* does not complain */

/* A gate holds jobs. test_gate_job is a weft_fn whose argument is the gate: it says that it has started, blocks its
 * worker until the gate opens, and returns the gate. It does not look at its token. */
typedef struct test_gate test_gate;
test_gate *test_gate_make(void);
void *test_gate_job(void *gate);
bool test_gate_pass(test_gate *gate); /* the same from within another job; false: patience ended */
void test_gate_open(test_gate *gate);
bool test_gate_await(test_gate *gate, unsigned jobs); /* until so many have reached it */
unsigned test_gate_reached(test_gate *gate);
unsigned test_gate_inside(test_gate *gate); /* reached and not yet through: how many it blocks now */

/* Submits `workers` gate jobs and waits until all have started: from then on nothing else runs on that executor. The
 * returned futures are held by the gate; test_unblock opens it, waits for them and releases them. */
test_gate *test_block(weft_executor *executor, unsigned workers);
void test_unblock(test_gate *gate);

/* All of n threads meet; false, with a complaint, for those that waited in vain. Reusable. */
typedef struct test_barrier test_barrier;
test_barrier *test_barrier_make(unsigned n);
bool test_barrier_meet(test_barrier *barrier);

/* The order in which things happened, as numbers noted from any thread. At most 4096 entries. */
typedef struct test_log test_log;
test_log *test_log_make(void);
void test_note(test_log *log, int entry);
size_t test_log_size(test_log *log);
int test_log_at(test_log *log, size_t i);
bool test_log_wait(test_log *log, size_t entries);
#define assert_log(log, ...)                                                                                           \
    test_assert_log((log), (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int), __FILE__,     \
                    __LINE__)
void test_assert_log(test_log *log, const int *entries, size_t n, const char *file, int line);

/* Threads. */
pthread_t test_spawn(void *(*body)(void *arg), void *arg);
void *test_join(pthread_t thread);

/* A job with everything on it that tests look at. Zero-initialise, set what is needed, submit with test_cell_run. Its
 * job notes that it ran, passes the gate if there is one, then succeeds with `value` (code 0) or fails with `code`.
 * test_cell_free_arg takes the cell, test_cell_free_value takes a value that is the cell (value = &cell). */
typedef struct test_cell {
    void *value;                      /* set by the test before submit; read by the job */
    int code;                         /* set by the test before submit; read by the job */
    test_gate *gate;                  /* set by the test before submit; read by the job */
    _Atomic(unsigned) ran;            /* how often the function was entered; any thread */
    _Atomic(unsigned) returned;       /* how often it reached its end; any thread */
    _Atomic(unsigned) arg_freed;      /* calls of test_cell_free_arg; any thread */
    _Atomic(unsigned) value_freed;    /* calls of test_cell_free_value; any thread */
    _Atomic(bool) freed_after_return; /* false: an arg_freed came while the function was running; any thread */
    _Atomic(bool) saw_cancel;         /* weft_cancelled() after the gate; written by the job */
    _Atomic(int) worker;              /* weft_worker_index() inside; written by the job */
} test_cell;

void *test_cell_run(void *cell);
void test_cell_free_arg(void *cell);
void test_cell_free_value(void *cell);
#define test_get(field) atomic_load_explicit(&(field), memory_order_acquire)

/* Data for the executor's hooks: options.unobserved_error = test_hook_unobserved, options.data = the hook. */
typedef struct test_hook {
    _Atomic(unsigned) errors;        /* calls; any thread */
    _Atomic(int) last_error;         /* code of the latest call */
    _Atomic(const char *) last_name; /* name of the latest call */
} test_hook;
void test_hook_unobserved(const char *name, int error, void *hook);

/* Simple jobs. */
void *test_job_return_arg(void *arg);
void *test_job_fail_7(void *arg);            /* weft_fail(7) */
void *test_job_cancel_self(void *arg);       /* weft_fail(-ECANCELED) */
void *test_job_until_cancelled(void *latch); /* hits the latch, runs until weft_cancelled(), acknowledges */

/* A callback that hits its latch and does not look at the outcome. */
int test_hit_latch(weft_future *future, void *latch);

/* A new reference to a promise's future that is DONE/OK with the executor as its value. */
weft_future *test_done_future(weft_executor *executor);

/* Outcomes, read through weft_future_outcome (so they count as read). */
#define assert_ok(future, value)                                                                                       \
    test_assert_outcome((future), WEFT_SUCCEEDED, 0, (value), WEFT_REASON_NONE, __FILE__, __LINE__)
#define assert_err(future, code)                                                                                       \
    test_assert_outcome((future), WEFT_FAILED, (code), NULL, WEFT_REASON_NONE, __FILE__, __LINE__)
#define assert_cancelled(future, reason)                                                                               \
    test_assert_outcome((future), WEFT_CANCELLED, -ECANCELED, NULL, (reason), __FILE__, __LINE__)
#define assert_timed_out(future)                                                                                       \
    test_assert_outcome_any_reason((future), WEFT_TIMED_OUT, -ETIMEDOUT, __FILE__, __LINE__)
void test_assert_outcome(weft_future *future, weft_state state, int error, const void *value, weft_cancel_reason reason,
                         const char *file, int line);
void test_assert_outcome_any_reason(weft_future *future, weft_state state, int error, const char *file, int line);

/* Waits for DONE with patience; asserts. */
#define assert_done_soon(future) test_assert_done_soon((future), __FILE__, __LINE__)
void test_assert_done_soon(weft_future *future, const char *file, int line);

#endif
