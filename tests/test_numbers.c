/* test_numbers.c: what executor/README.md states: bytes, fairness, and the locked instructions of each path.
 *
 * Locked instructions are counted, not estimated: the processor is put into single steps (the trap flag of x86-64), and
 * the handler looks at the instruction that comes next. A step belongs to the thread that set the flag, so a job can be
 * followed on its worker, out of its function, through the loop and into the next job's. Counted are instructions with
 * the lock prefix, exchanges with memory and full fences, those of the C library too. The figures hold for an optimised
 * build without sanitizers; elsewhere these cases are skipped. */
#define _GNU_SOURCE
#include "support.h"

#include "future.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <ucontext.h>

#if defined(__x86_64__) && defined(__OPTIMIZE__) && !defined(WEFT_TINY) && !TEST_TSAN && !TEST_ASAN
#define CAN_STEP 1
#else
#define CAN_STEP 0
#endif

#if CAN_STEP
static _Thread_local unsigned locked; /* by the handler, on the thread that is stepped; read there */

/* Is there a locked instruction at this address? Prefixes first, then the opcode. */
static bool is_locked(const unsigned char *at)
{
    while (*at == 0x66 || *at == 0xf2 || *at == 0xf3 || *at == 0x2e || *at == 0x3e || *at == 0x64)
        at++;
    if (*at == 0xf0)
        return true;
    if ((*at & 0xf0) == 0x40)
        at++;
    if (*at == 0x86 || *at == 0x87) /* xchg; with two registers it locks nothing */
        return at[1] < 0xc0;
    return at[0] == 0x0f && at[1] == 0xae && at[2] == 0xf0; /* mfence */
}

static void on_step(int number, siginfo_t *info, void *context)
{
    const ucontext_t *machine = context;
    (void)number;
    (void)info;
    locked += is_locked((const unsigned char *)machine->uc_mcontext.gregs[REG_RIP]);
}

/* The stack below the stack pointer may be in use. */
static inline void step_begin(void)
{
    locked = 0;
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
}

static inline unsigned step_end(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq $-257, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
    return locked;
}

static void steps_install(void)
{
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO | SA_RESTART};
    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
}
#else
static inline void step_begin(void)
{
}

static inline unsigned step_end(void)
{
    return 0;
}

static void steps_install(void)
{
    skip();
}
#endif

#define COUNT(counter, statement)                                                                                      \
    do {                                                                                                               \
        step_begin();                                                                                                  \
        statement;                                                                                                     \
        (counter) = step_end();                                                                                        \
    } while (0)

/* One job in WEFT__MEASURE has its time in the queue taken and goes another way, and memory may run out at any call: of
 * a few tries the least is the path that is meant. */
enum { TRIES = 5 };

static void least(unsigned *known, unsigned found)
{
    *known = found < *known ? found : *known;
}

static void *nothing(void *arg)
{
    return arg;
}

/* Nothing that is counted shall be the first of its kind. */
static void warm_up(weft_executor *executor)
{
    weft_future *futures[100];
    for (size_t i = 0; i < 100; i++) {
        assert_non_null(futures[i] = weft_submit(executor, nothing, NULL));
    }
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(weft_await(futures[i], NULL), 0);
    }
}

/* ---- from outside ---- */

static void test_locked_submit_and_await(void **state)
{
    (void)state;
    steps_install();
    weft_executor *executor = test_executor(1);
    warm_up(executor);
    unsigned submit = UINT_MAX, execute = UINT_MAX, await = UINT_MAX, n;
    for (int i = 0; i < TRIES; i++) {
        test_gate *gate = test_block(executor, 1); /* nobody is asleep */
        weft_future *future = NULL;
        int code = 0;
        COUNT(n, future = weft_submit(executor, nothing, NULL));
        least(&submit, n);
        COUNT(n, code = weft_execute(executor, nothing, NULL));
        least(&execute, n);
        assert_int_equal(code, 0);
        test_unblock(gate);
        assert_int_equal(weft_future_wait(future, WEFT_FOREVER), 0);
        assert_true(test_until_counters(1, 0, 0)); /* the worker has let go of it */
        COUNT(n, code = weft_await(future, NULL));
        least(&await, n);
        assert_int_equal(code, 0);
    }
    assert_int_equal(submit, 1);
    assert_int_equal(execute, 1);
    assert_int_equal(await, 0);
    test_destroy(executor);
}

/* The promise's future is resolved when somebody sleeps on it. */
static void *resolve_when_slept_on(void *promise)
{
    weft_future *future = weft_promise_future(promise);
    while (!(weft__word(future) & WEFT__SLEEPER)) {
        sched_yield();
    }
    weft_promise_resolve(promise, NULL, NULL);
    weft_future_release(future);
    return NULL;
}

static void test_locked_wait_that_blocks(void **state)
{
    (void)state;
    steps_install();
    weft_executor *executor = test_executor(1);
    warm_up(executor);
    unsigned wait = UINT_MAX, n;
    for (int i = 0; i < TRIES; i++) {
        weft_promise *promise = weft_promise_create(executor);
        weft_future *future = weft_promise_future(promise);
        weft_future *job = weft_submit(executor, resolve_when_slept_on, promise);
        int code = -1;
        COUNT(n, code = weft_future_wait(future, WEFT_FOREVER));
        least(&wait, n);
        assert_int_equal(code, 0);
        assert_int_equal(weft_await(job, NULL), 0);
        weft_future_release(future);
        weft_promise_destroy(promise);
    }
    assert_int_equal(wait, 1);
    test_destroy(executor);
}

static void test_locked_promise(void **state)
{
    (void)state;
    steps_install();
    weft_executor *executor = test_executor(1);
    warm_up(executor);
    unsigned create = UINT_MAX, resolve = UINT_MAX, destroy = UINT_MAX, n;
    for (int i = 0; i < TRIES; i++) {
        weft_promise *promise = NULL;
        COUNT(n, promise = weft_promise_create(executor));
        least(&create, n);
        COUNT(n, weft_promise_resolve(promise, NULL, NULL));
        least(&resolve, n);
        COUNT(n, weft_promise_destroy(promise));
        least(&destroy, n);
    }
    assert_int_equal(create, 1);
    assert_int_equal(resolve, 2);
    assert_int_equal(destroy, 0);
    test_destroy(executor);
}

/* ---- in jobs ---- */

/* A job counts from its end to the beginning of the next. */
static struct {
    bool running;      /* this thread is being stepped; the one worker */
    unsigned cycles;   /* ends that were counted; the worker */
    unsigned cheapest; /* the worker; the test reads both when the jobs are done */
    unsigned sum;
} cycle;

static void *stepped(void *last)
{
    if (cycle.running) {
        unsigned n = step_end();
        least(&cycle.cheapest, n);
        cycle.sum += n;
        cycle.cycles++;
    }
    cycle.running = last == NULL;
    if (cycle.running) {
        step_begin();
    }
    return NULL;
}

enum { STEPPED = 64 }; /* jobs; the last one ends the counting */

static void cycle_reset(void)
{
    cycle.running = false;
    cycle.cycles = cycle.sum = 0;
    cycle.cheapest = UINT_MAX;
}

/* What a job submits runs newest first. Returns the future of the last one to run. */
static void *submit_own(void *executor)
{
    static char end;
    weft_future *last = weft_submit(executor, stepped, &end);
    for (int i = 1; i < STEPPED; i++) {
        TEST_EXPECT(weft_execute(executor, stepped, NULL) == 0);
    }
    return last;
}

typedef struct own {
    weft_executor *executor;
    unsigned submit, await; /* by the job */
} own;

static void *count_in_job(void *argument)
{
    own *o = argument;
    unsigned n;
    o->submit = o->await = UINT_MAX;
    for (int i = 0; i < TRIES; i++) {
        weft_future *future = NULL;
        int code = -1;
        COUNT(n, future = weft_submit(o->executor, nothing, NULL));
        least(&o->submit, n);
        COUNT(n, code = weft_await(future, NULL));
        least(&o->await, n);
        TEST_EXPECT(code == 0);
    }
    return NULL;
}

/* On one worker, while `others` are held up. */
static own count_jobs_of_jobs(unsigned others)
{
    weft_executor *executor = test_executor(1 + others);
    warm_up(executor);
    test_gate *gate = others ? test_block(executor, others) : NULL;
    own o = {.executor = executor};
    assert_int_equal(weft_await(weft_submit(executor, count_in_job, &o), NULL), 0);
    cycle_reset();
    void *last = NULL;
    assert_int_equal(weft_await(weft_submit(executor, submit_own, executor), &last), 0);
    assert_int_equal(weft_await(last, NULL), 0);
    if (gate) {
        test_unblock(gate);
    }
    test_destroy(executor);
    assert_int_equal(cycle.cycles, STEPPED - 1);
    return o;
}

static void test_locked_jobs_of_jobs(void **state)
{
    (void)state;
    steps_install();
    own o = count_jobs_of_jobs(1);
    assert_int_equal(o.submit, 1);
    assert_int_equal(o.await, 4);
    assert_int_equal(cycle.cheapest, 3);
}

static void test_locked_jobs_of_jobs_with_one_worker(void **state)
{
    (void)state;
    steps_install();
    own o = count_jobs_of_jobs(0);
    assert_int_equal(o.submit, 0);
    assert_int_equal(o.await, 2);
    assert_int_equal(cycle.cheapest, 2);
}

static void *count_forks(void *argument)
{
    unsigned *most = argument, n;
    for (int i = 0; i < TRIES; i++) {
        weft_task task;
        COUNT(n, weft_fork(&task, nothing, NULL));
        *most = n > *most ? n : *most;
        COUNT(n, weft_join(&task));
        *most = n > *most ? n : *most;
    }
    return NULL;
}

static void test_locked_forks_of_one_worker(void **state)
{
    (void)state;
    unsigned most = 0;
    steps_install();
    weft_executor *executor = test_executor(1);
    assert_int_equal(weft_run(executor, count_forks, &most, NULL), 0);
    assert_int_equal(most, 0);
    test_destroy(executor);
}

static bool is_done(void *future)
{
    return weft_future_done(future);
}

static void test_locked_jobs_from_outside(void **state)
{
    static char end;
    (void)state;
    steps_install();
    weft_executor *executor = test_executor(1);
    warm_up(executor);
    test_gate *gate = test_block(executor, 1);
    weft_future *futures[STEPPED];
    cycle_reset();
    for (int i = 0; i < STEPPED; i++) {
        futures[i] = weft_submit(executor, stepped, i == STEPPED - 1 ? &end : NULL);
        assert_non_null(futures[i]);
    }
    test_unblock(gate);
    assert_true(test_until(is_done, futures[STEPPED - 1])); /* nobody interferes with the words meanwhile */
    for (int i = 0; i < STEPPED; i++) {
        assert_int_equal(weft_await(futures[i], NULL), 0);
    }
    test_destroy(executor);
    assert_int_equal(cycle.cycles, STEPPED - 1);
    /* Two a job, one more to take it out of the inbox; and once the second batch: three to take it, one to put all but
     * the first of it into the inbox, and that one is not taken out of there. */
    assert_int_equal(cycle.cheapest, 3);
    assert_int_equal(cycle.sum, (STEPPED - 1) * 3 + 3 + 1 - 1);
}

/* ---- derived futures ---- */

/* What gathering n promises costs, resolving them all, and dropping the gather. */
static void count_gather(weft_executor *executor, size_t n, unsigned counts[3])
{
    weft_promise *promises[64];
    weft_future *futures[64];
    for (size_t i = 0; i < n; i++) {
        promises[i] = weft_promise_create(executor);
        futures[i] = weft_promise_future(promises[i]);
    }
    weft_future *gather = NULL;
    COUNT(counts[0], gather = weft_gather(executor, futures, n, WEFT_FIRST_ERROR));
    COUNT(counts[1], for (size_t i = 0; i < n; i++) weft_promise_resolve(promises[i], NULL, NULL));
    assert_true(weft_future_done(gather));
    COUNT(counts[2], weft_future_release(gather));
    for (size_t i = 0; i < n; i++) {
        weft_promise_destroy(promises[i]);
        weft_future_release(futures[i]);
    }
}

static void test_locked_gather_for_each_input(void **state)
{
    (void)state;
    steps_install();
    weft_executor *executor = test_executor(1);
    warm_up(executor);
    unsigned few[3], many[3];
    for (int i = 0; i < 2; i++) { /* the first time malloc takes a lock */
        count_gather(executor, 16, few);
        count_gather(executor, 64, many);
    }
    assert_int_equal(many[0] - few[0], 3 * 48);
    assert_int_equal(many[1] - few[1], 4 * 48);
    assert_int_equal(many[2] - few[2], 1 * 48);
    test_destroy(executor);
}

static void test_locked_timers(void **state)
{
    (void)state;
    steps_install();
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    warm_up(executor);
    unsigned sleep = UINT_MAX, wait_for = UINT_MAX, in_time = UINT_MAX, n;
    for (int i = 0; i < TRIES; i++) {
        weft_promise *promise = weft_promise_create(executor);
        weft_future *future = weft_promise_future(promise), *timed = NULL, *timer = NULL;
        COUNT(n, timer = weft_sleep(executor, WEFT_SECONDS(1), NULL));
        least(&sleep, n);
        COUNT(n, timed = weft_wait_for(future, WEFT_SECONDS(2), 0));
        least(&wait_for, n);
        weft_manual_clock_advance(clock, WEFT_SECONDS(1));
        COUNT(n, weft_promise_resolve(promise, NULL, NULL));
        least(&in_time, n);
        assert_int_equal(weft_await(timed, NULL), 0);
        assert_int_equal(weft_await(timer, NULL), 0);
        weft_future_release(future);
        weft_promise_destroy(promise);
    }
    /* And one if the coordinator sleeps and has to be woken. */
    assert_in_range(sleep, 2, 3);
    assert_in_range(wait_for, 5, 6);
    assert_in_range(in_time, 9, 10);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

/* ---- bytes ---- */

static size_t bytes_of_gather(weft_executor *executor, weft_future *const futures[], size_t n)
{
    size_t before = test_counters().bytes;
    weft_future *gather = weft_gather(executor, futures, n, WEFT_SETTLED);
    size_t bytes = test_counters().bytes - before;
    weft_future_release(gather);
    return bytes;
}

static void test_bytes(void **state)
{
    (void)state;
    enum { FEW = 64, MANY = 6464 };
    static weft_future *futures[MANY];
    weft_executor *executor = test_executor(1);
    for (size_t i = 0; i < MANY; i++) {
        futures[i] = test_done_future(executor);
    }
    size_t few = bytes_of_gather(executor, futures, FEW), many = bytes_of_gather(executor, futures, MANY);
    /* A pointer and two bits: 8 1/4 bytes. */
    assert_int_equal((many - few) * 4, (MANY - FEW) * 33);
    assert_true(few - FEW * 33 / 4 <= 192);
    assert_int_equal(sizeof(weft_future), 64);
    assert_true(sizeof(weft__timed) <= 96);
    for (size_t i = 0; i < MANY; i++) {
        weft_future_release(futures[i]);
    }
    test_destroy(executor);
}

/* ---- fairness ---- */

/* A job that submits itself again until a stranger has run. */
typedef struct chain {
    weft_executor *executor;
    unsigned own;  /* jobs of the chain that came out of the worker's own deque; the one worker */
    bool first;    /* the one from outside has run; the worker */
    bool stranger; /* likewise, the stranger */
    unsigned waited;
} chain;

static void *chain_job(void *argument)
{
    chain *c = argument;
    c->own += c->first;
    c->first = true;
    if (!c->stranger && c->own < 1000) {
        TEST_EXPECT(weft_execute(c->executor, chain_job, c) == 0);
    }
    return NULL;
}

static void *stranger_job(void *argument)
{
    chain *c = argument;
    c->stranger = true;
    c->waited = c->own;
    return NULL;
}

static void test_local_jobs_before_a_look_outside(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    chain c = {.executor = executor};
    test_gate *gate = test_block(executor, 1);
    assert_int_equal(weft_execute(executor, chain_job, &c), 0);
    assert_int_equal(weft_execute(executor, stranger_job, &c), 0);
    test_unblock(gate);
    test_destroy(executor);
    assert_true(c.stranger);
    assert_int_equal(c.waited, WEFT__FAIR_TICK);
#ifndef WEFT_TINY
    assert_int_equal(WEFT__FAIR_TICK, 61);
#endif
}

/* ---- what is measured ---- */

enum { SUBMITS = 10 * WEFT__MEASURE };

static void *submit_many_times(void *executor)
{
    for (int i = 0; i < SUBMITS; i++) {
        TEST_EXPECT(weft_execute(executor, test_job_return_arg, NULL) == 0);
    }
    return NULL;
}

static uint64_t measured(weft_executor *executor)
{
    weft_stats stats;
    uint64_t sum = 0;
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, test_patience()), 0);
    assert_int_equal(weft_executor_stats(executor, &stats), 0);
    for (int k = 0; k < 64; k++) {
        sum += stats.latency_ns_log2[k];
    }
    return sum;
}

static void test_one_job_in_64_is_measured(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    assert_int_equal(weft_execute(executor, test_job_return_arg, NULL), 0); /* a thread's first one does not count */
    submit_many_times(executor);
    assert_int_equal(measured(executor), SUBMITS / WEFT__MEASURE);
    test_destroy(executor);
    executor = test_executor(1);
    assert_int_equal(weft_await(weft_submit(executor, submit_many_times, executor), NULL), 0);
    assert_int_equal(measured(executor), SUBMITS / WEFT__MEASURE);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_locked_submit_and_await),
        TEST(test_locked_wait_that_blocks),
        TEST(test_locked_promise),
        TEST(test_locked_jobs_of_jobs),
        TEST(test_locked_jobs_of_jobs_with_one_worker),
        TEST(test_locked_forks_of_one_worker),
        TEST(test_locked_jobs_from_outside),
        TEST(test_locked_gather_for_each_input),
        TEST(test_locked_timers),
        TEST(test_bytes),
        TEST(test_local_jobs_before_a_look_outside),
        TEST(test_one_job_in_64_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
