/* support.c: see support.h.
 *
 * Everything that blocks does so on a condition variable of one process-wide monitor, with a deadline on
 * CLOCK_MONOTONIC. One lock for all gates, latches, logs and barriers is slow and simple; it also means that a
 * broadcast reaches every waiter, so no wake-up can be aimed at the wrong one. */
#define _GNU_SOURCE
#include "support.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { POOL = 256, LOG_ENTRIES = 4096, GATE_FUTURES = 64 };

struct test_latch {
    unsigned hits; /* under the monitor */
};

struct test_gate {
    bool open;                          /* under the monitor */
    unsigned reached, through;          /* under the monitor */
    weft_future *futures[GATE_FUTURES]; /* by test_block and test_unblock, on the test's thread */
    unsigned held;                      /* the same */
};

struct test_barrier {
    unsigned size, present, round; /* under the monitor */
};

struct test_log {
    unsigned size;            /* under the monitor */
    int entries[LOG_ENTRIES]; /* under the monitor */
};

static pthread_mutex_t monitor = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_once_t changed_once = PTHREAD_ONCE_INIT;

/* The pools and how many of each were ever given out; under the monitor. */
static test_latch latches[POOL];
static test_gate gates[POOL];
static test_barrier barriers[POOL];
static test_log logs[32];
static size_t latches_used, gates_used, barriers_used, logs_used;

static const char *_Atomic running_test = "(no test)";
static _Atomic(unsigned) complaints;
static weft_counters base; /* by the setup, on the test's thread */

static void make_condition(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void enter(void)
{
    pthread_once(&changed_once, make_condition);
    pthread_mutex_lock(&monitor);
}

static void leave(void)
{
    pthread_mutex_unlock(&monitor);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Inside the monitor: sleeps until something changed or the deadline has passed; false in the second case. */
static bool sleep_until(int64_t deadline)
{
    struct timespec time = {.tv_sec = (time_t)(deadline / 1000000000), .tv_nsec = (long)(deadline % 1000000000)};
    return pthread_cond_timedwait(&changed, &monitor, &time) != ETIMEDOUT;
}

/* Until a number under the monitor has reached `wanted`; false when the time is up first. */
static bool wait_for_number(const unsigned *number, unsigned wanted, int64_t timeout)
{
    int64_t deadline = now() + timeout;
    enter();
    while (*number < wanted && sleep_until(deadline)) {
    }
    bool reached = *number >= wanted;
    leave();
    return reached;
}

static unsigned read_number(const unsigned *number)
{
    enter();
    unsigned value = *number;
    leave();
    return value;
}

static long environment(const char *name, long otherwise)
{
    const char *text = getenv(name);
    long number = text != NULL ? strtol(text, NULL, 10) : 0;
    return number > 0 ? number : otherwise;
}

/* The watchdog. */

static void report_hang(int number)
{
    static const char before[] = "\nwatchdog: test hangs: ";
    const char *name = atomic_load_explicit(&running_test, memory_order_relaxed);
    (void)number;
    if (write(STDERR_FILENO, before, sizeof before - 1) < 0 || write(STDERR_FILENO, name, strlen(name)) < 0 ||
        write(STDERR_FILENO, "\n", 1) < 0) {
        _exit(125);
    }
    _exit(124);
}

static void arm_watchdog(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = report_hang;
    sigaction(SIGALRM, &action, NULL);
    alarm((unsigned)environment("WEFT_TEST_TIMEOUT", TEST_TSAN ? 280 : 50));
}

/* Setup and teardown. */

static void open_all_gates(void)
{
    enter();
    for (size_t i = 0; i < POOL; i++) {
        gates[i].open = true;
    }
    pthread_cond_broadcast(&changed);
    leave();
}

static void begin(void **state)
{
    atomic_store_explicit(&running_test, *state != NULL ? (const char *)*state : "(no name)", memory_order_relaxed);
    atomic_store_explicit(&complaints, 0, memory_order_relaxed);
    arm_watchdog();
}

int test_setup(void **state)
{
    begin(state);
    weft_counters_read(&base);
    return 0;
}

int test_setup_default(void **state)
{
    begin(state);
    weft_await(weft_submit(NULL, test_job_return_arg, NULL), NULL);
    weft_counters_read(&base);
    return 0;
}

static bool differs(const char *what, size_t then, size_t here)
{
    if (then != here) {
        print_error("%s: %s: %zu before the test, %zu after it\n",
                    atomic_load_explicit(&running_test, memory_order_relaxed), what, then, here);
    }
    return then != here;
}

/* All fields are compared, so that one run reports all of them. */
static bool anything_left(bool compare_bytes)
{
    weft_counters here = test_counters();
    bool left = differs("futures", base.futures, here.futures);
    left |= differs("timers", base.timers, here.timers);
    left |= differs("callbacks", base.callbacks, here.callbacks);
    left |= differs("tokens", base.tokens, here.tokens);
    left |= differs("threads", base.threads, here.threads);
    if (compare_bytes) {
        left |= differs("bytes", base.bytes, here.bytes);
    }
    return left;
}

static int end(bool compare_bytes)
{
    open_all_gates();
    bool left = anything_left(compare_bytes);
    bool complained = atomic_load_explicit(&complaints, memory_order_acquire) != 0;
    alarm(0);
    atomic_store_explicit(&running_test, "(between tests)", memory_order_relaxed);
    return left || complained ? -1 : 0;
}

int test_teardown(void **state)
{
    (void)state;
    return end(true);
}

static bool at_base_but_bytes(void *data)
{
    weft_counters here = test_counters();
    (void)data;
    return here.futures == base.futures && here.timers == base.timers && here.callbacks == base.callbacks;
}

/* The default executor is not joined between tests, so what its threads let go of last is waited for. */
int test_teardown_default(void **state)
{
    (void)state;
    test_until(at_base_but_bytes, NULL);
    return end(false);
}

bool test_expect(bool holds, const char *what, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: %s: does not hold: %s\n", file, line,
                atomic_load_explicit(&running_test, memory_order_relaxed), what);
        atomic_fetch_add_explicit(&complaints, 1, memory_order_release);
    }
    return holds;
}

weft_counters test_base(void)
{
    return base;
}

weft_counters test_counters(void)
{
    weft_counters counters;
    weft_counters_read(&counters);
    return counters;
}

void test_assert_counters_at_base(const char *file, int line)
{
    _assert_true(!anything_left(true), "the counters are back at their base", file, line);
}

/* Numbers. */

int64_t test_patience(void)
{
    return (TEST_TSAN ? 60 : 15) * (int64_t)1000000000;
}

int64_t test_late(void)
{
    return (TEST_TSAN || TEST_ASAN ? 1000 : 250) * (int64_t)1000000;
}

unsigned test_workers(void)
{
    return (unsigned)environment("WEFT_TEST_WORKERS", 2);
}

unsigned test_rounds(unsigned n)
{
    unsigned here = TEST_TSAN ? (n + 9) / 10 : n;
    return here * (unsigned)environment("WEFT_TEST_FACTOR", 1);
}

/* Executors. */

weft_executor *test_executor_with(const weft_executor_options *options)
{
    weft_executor *executor = weft_executor_create(options);
    assert_non_null(executor);
    return executor;
}

weft_executor *test_executor_clock(unsigned workers, weft_clock *clock)
{
    weft_executor_options options = {.workers = workers != 0 ? workers : test_workers(), .clock = clock};
    return test_executor_with(&options);
}

weft_executor *test_executor(unsigned workers)
{
    return test_executor_clock(workers, NULL);
}

void test_destroy(weft_executor *executor)
{
    assert_int_equal(weft_executor_destroy(executor), 0);
}

/* Waiting. */

void test_pause(int64_t ns)
{
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

bool test_until(bool (*holds)(void *data), void *data)
{
    int64_t deadline = now() + test_patience();
    while (!holds(data)) {
        if (now() >= deadline) {
            return TEST_FAIL("a condition comes true");
        }
        test_pause(100000);
    }
    return true;
}

static bool counters_are(void *data)
{
    const weft_counters *wanted = data;
    weft_counters here = test_counters();
    return here.futures == wanted->futures && here.timers == wanted->timers && here.callbacks == wanted->callbacks;
}

bool test_until_counters(size_t futures, size_t timers, size_t callbacks)
{
    weft_counters wanted = base;
    wanted.futures += futures;
    wanted.timers += timers;
    wanted.callbacks += callbacks;
    return test_until(counters_are, &wanted);
}

struct future_and_state {
    weft_future *future;
    weft_state state;
};

static bool state_is(void *data)
{
    const struct future_and_state *wanted = data;
    return weft_future_state(wanted->future) == wanted->state;
}

bool test_until_state(weft_future *future, weft_state state)
{
    struct future_and_state wanted = {future, state};
    return test_until(state_is, &wanted);
}

/* Latches. */

/* The next place of a pool, round and round: a place is given out again only after all the others, so that what a
 * failed test left behind still finds its own. A test uses fewer than a pool at a time. */
static size_t take(size_t *used, size_t size)
{
    return (*used)++ % size;
}

test_latch *test_latch_make(void)
{
    enter();
    test_latch *latch = &latches[take(&latches_used, POOL)];
    latch->hits = 0;
    leave();
    return latch;
}

unsigned test_latch_hit(test_latch *latch)
{
    enter();
    unsigned hits = ++latch->hits;
    pthread_cond_broadcast(&changed);
    leave();
    return hits;
}

unsigned test_latch_count(test_latch *latch)
{
    return read_number(&latch->hits);
}

bool test_latch_wait_for(test_latch *latch, unsigned hits, int64_t timeout)
{
    return wait_for_number(&latch->hits, hits, timeout);
}

bool test_latch_wait(test_latch *latch, unsigned hits)
{
    return TEST_EXPECT(test_latch_wait_for(latch, hits, test_patience()));
}

/* Gates. */

test_gate *test_gate_make(void)
{
    enter();
    test_gate *gate = &gates[take(&gates_used, POOL)];
    memset(gate, 0, sizeof *gate);
    leave();
    return gate;
}

bool test_gate_pass(test_gate *gate)
{
    int64_t deadline = now() + test_patience();
    enter();
    gate->reached++;
    pthread_cond_broadcast(&changed);
    while (!gate->open && sleep_until(deadline)) {
    }
    bool open = gate->open;
    gate->through++;
    leave();
    return TEST_EXPECT(open);
}

void *test_gate_job(void *gate)
{
    test_gate_pass(gate);
    return gate;
}

void test_gate_open(test_gate *gate)
{
    enter();
    gate->open = true;
    pthread_cond_broadcast(&changed);
    leave();
}

bool test_gate_await(test_gate *gate, unsigned jobs)
{
    return TEST_EXPECT(wait_for_number(&gate->reached, jobs, test_patience()));
}

unsigned test_gate_reached(test_gate *gate)
{
    return read_number(&gate->reached);
}

unsigned test_gate_inside(test_gate *gate)
{
    enter();
    unsigned inside = gate->reached - gate->through;
    leave();
    return inside;
}

test_gate *test_block(weft_executor *executor, unsigned workers)
{
    test_gate *gate = test_gate_make();
    assert_true(workers <= GATE_FUTURES);
    for (unsigned i = 0; i < workers; i++) {
        gate->futures[gate->held] = weft_submit(executor, test_gate_job, gate);
        assert_non_null(gate->futures[gate->held]);
        gate->held++;
    }
    assert_true(test_gate_await(gate, workers));
    return gate;
}

void test_unblock(test_gate *gate)
{
    test_gate_open(gate);
    while (gate->held != 0) {
        void *value = NULL;
        assert_int_equal(weft_await(gate->futures[--gate->held], &value), 0);
        assert_ptr_equal(value, gate);
    }
}

/* Barriers. */

test_barrier *test_barrier_make(unsigned n)
{
    enter();
    test_barrier *barrier = &barriers[take(&barriers_used, POOL)];
    *barrier = (test_barrier){.size = n};
    leave();
    return barrier;
}

bool test_barrier_meet(test_barrier *barrier)
{
    int64_t deadline = now() + test_patience();
    enter();
    unsigned round = barrier->round;
    if (++barrier->present == barrier->size) {
        barrier->present = 0;
        barrier->round++;
        pthread_cond_broadcast(&changed);
    }
    while (barrier->round == round && sleep_until(deadline)) {
    }
    bool met = barrier->round != round;
    leave();
    return TEST_EXPECT(met);
}

/* Logs. */

test_log *test_log_make(void)
{
    enter();
    test_log *log = &logs[take(&logs_used, sizeof logs / sizeof logs[0])];
    log->size = 0;
    leave();
    return log;
}

void test_note(test_log *log, int entry)
{
    enter();
    if (log->size < LOG_ENTRIES) {
        log->entries[log->size++] = entry;
    }
    pthread_cond_broadcast(&changed);
    leave();
}

size_t test_log_size(test_log *log)
{
    return read_number(&log->size);
}

int test_log_at(test_log *log, size_t i)
{
    enter();
    int entry = i < log->size ? log->entries[i] : -1;
    leave();
    return entry;
}

bool test_log_wait(test_log *log, size_t entries)
{
    return TEST_EXPECT(wait_for_number(&log->size, (unsigned)entries, test_patience()));
}

void test_assert_log(test_log *log, const int *entries, size_t n, const char *file, int line)
{
    _assert_int_equal(test_log_size(log), n, file, line);
    for (size_t i = 0; i < n; i++) {
        _assert_int_equal((LargestIntegralType)test_log_at(log, i), (LargestIntegralType)entries[i], file, line);
    }
}

/* Threads. */

pthread_t test_spawn(void *(*body)(void *arg), void *arg)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, body, arg), 0);
    return thread;
}

void *test_join(pthread_t thread)
{
    void *result = NULL;
    assert_int_equal(pthread_join(thread, &result), 0);
    return result;
}

/* Cells and jobs. */

void *test_cell_run(void *argument)
{
    test_cell *cell = argument;
    atomic_fetch_add_explicit(&cell->ran, 1, memory_order_acq_rel);
    atomic_store_explicit(&cell->worker, weft_worker_index(), memory_order_release);
    if (cell->gate != NULL) {
        test_gate_pass(cell->gate);
    }
    atomic_store_explicit(&cell->saw_cancel, weft_cancelled(), memory_order_release);
    void *value = cell->code != 0 ? weft_fail(cell->code) : cell->value;
    atomic_fetch_add_explicit(&cell->returned, 1, memory_order_acq_rel);
    return value;
}

void test_cell_free_arg(void *argument)
{
    test_cell *cell = argument;
    atomic_store_explicit(&cell->freed_after_return, test_get(cell->ran) == test_get(cell->returned),
                          memory_order_release);
    atomic_fetch_add_explicit(&cell->arg_freed, 1, memory_order_acq_rel);
}

void test_cell_free_value(void *value)
{
    test_cell *cell = value;
    atomic_fetch_add_explicit(&cell->value_freed, 1, memory_order_acq_rel);
}

void test_hook_unobserved(const char *name, int error, void *data)
{
    test_hook *hook = data;
    atomic_store_explicit(&hook->last_name, name, memory_order_release);
    atomic_store_explicit(&hook->last_error, error, memory_order_release);
    atomic_fetch_add_explicit(&hook->errors, 1, memory_order_acq_rel);
}

void *test_job_return_arg(void *arg)
{
    return arg;
}

void *test_job_fail_7(void *arg)
{
    (void)arg;
    return weft_fail(7);
}

void *test_job_cancel_self(void *arg)
{
    (void)arg;
    return weft_fail(-ECANCELED);
}

void *test_job_until_cancelled(void *latch)
{
    int64_t deadline = now() + test_patience();
    test_latch_hit(latch);
    while (!weft_cancelled()) {
        if (now() >= deadline) {
            TEST_FAIL("the request to stop arrives");
            return NULL;
        }
        test_pause(50000);
    }
    return weft_fail(-ECANCELED);
}

int test_hit_latch(weft_future *future, void *latch)
{
    (void)future;
    test_latch_hit(latch);
    return 0;
}

weft_future *test_done_future(weft_executor *executor)
{
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    assert_int_equal(weft_promise_resolve(promise, executor, NULL), 0);
    weft_promise_destroy(promise);
    return future;
}

/* Outcomes. */

void test_assert_outcome_any_reason(weft_future *future, weft_state state, int error, const char *file, int line)
{
    weft_outcome outcome = {.state = WEFT_PENDING};
    _assert_int_equal((LargestIntegralType)weft_future_outcome(future, &outcome), 0, file, line);
    _assert_int_equal(outcome.state, state, file, line);
    _assert_int_equal((LargestIntegralType)outcome.error, (LargestIntegralType)error, file, line);
    _assert_int_equal(weft_future_state(future), state, file, line);
}

void test_assert_outcome(weft_future *future, weft_state state, int error, const void *value, weft_cancel_reason reason,
                         const char *file, int line)
{
    weft_outcome outcome = {.state = WEFT_PENDING};
    test_assert_outcome_any_reason(future, state, error, file, line);
    _assert_int_equal((LargestIntegralType)weft_future_outcome(future, &outcome), 0, file, line);
    _assert_int_equal((uintptr_t)outcome.value, (uintptr_t)value, file, line);
    _assert_int_equal(outcome.reason, reason, file, line);
}

void test_assert_done_soon(weft_future *future, const char *file, int line)
{
    _assert_int_equal((LargestIntegralType)weft_future_wait(future, test_patience()), 0, file, line);
    _assert_true(weft_future_done(future), "weft_future_done(future)", file, line);
}
