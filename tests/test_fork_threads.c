/* test_fork_threads.c: section 20, fork (FRK), where it comes at a bad moment: while other threads are inside weft,
 * from code of the program's that weft calls on the way (hooks, destructors), and again in the child.
 *
 * Discipline. Threads hammer every call that takes a lock of the process or of an executor, so that some of the forks
 * find one held; the child then has to go on where a lock taken by nobody would stop it for ever, which its alarm turns
 * into a failure. Under the sanitizers a child of busy threads allocates nothing, because their own allocator may be
 * locked there. What must be set up before the first call of weft runs in a program started anew, by an argument. */
#define _GNU_SOURCE
#include "child.h"

enum { SANITIZED = TEST_ASAN || TEST_TSAN };

/* ---- while others are inside weft ---- */

typedef struct hammer {
    weft_executor *executor; /* constant */
    weft_promise *promise;   /* constant */
    _Atomic(bool) over;      /* by the test */
    _Atomic(unsigned) rounds[6];
} hammer;

static bool goes_on(hammer *h, unsigned who)
{
    atomic_fetch_add_explicit(&h->rounds[who], 1, memory_order_relaxed);
    return !atomic_load_explicit(&h->over, memory_order_relaxed);
}

static void *submits(void *arg)
{
    hammer *h = arg;
    while (goes_on(h, 0)) {
        weft_future *future = weft_submit(h->executor, test_job_return_arg, h);
        TEST_EXPECT(weft_await(future, NULL) == 0);
    }
    return NULL;
}

static void *creates(void *arg)
{
    const weft_executor_options options = {.workers = 1};
    hammer *h = arg;
    while (goes_on(h, 1)) {
        bool by_default = test_get(h->rounds[1]) % 2;
        weft_executor *executor = by_default ? weft_executor_default() : weft_executor_create(&options);
        weft_execute(executor, test_job_return_arg, NULL);
        TEST_EXPECT(weft_executor_destroy(executor) == 0);
    }
    return NULL;
}

static void *counts(void *arg)
{
    hammer *h = arg;
    while (goes_on(h, 2)) {
        weft_stats stats;
        test_counters();
        TEST_EXPECT(weft_executor_stats(h->executor, &stats) == 0);
    }
    return NULL;
}

static void *gathers(void *arg)
{
    hammer *h = arg;
    weft_future *future = weft_promise_future(h->promise);
    while (goes_on(h, 3)) {
        weft_future *futures[] = {future, weft_wait_for(future, WEFT_SECONDS(100), WEFT_NO_CANCEL)};
        weft_future *all = weft_gather(h->executor, futures, 2, WEFT_SETTLED);
        weft_future_release(futures[1]);
        TEST_EXPECT(all != NULL);
        weft_future_release(all);
    }
    weft_future_release(future);
    return NULL;
}

/* A job that waits without end takes the lock of the waits; its thread's stand-in the roster. */
static void *blocks(void *arg)
{
    hammer *h = arg;
    while (goes_on(h, 4)) {
        weft_future *slept = weft_sleep(h->executor, 1000, NULL);
        TEST_EXPECT(weft_await(weft_submit(h->executor, wait_without_end, slept), NULL) == 0);
        weft_future_release(slept);
    }
    return NULL;
}

static void *submit_once(void *arg)
{
    hammer *h = arg;
    TEST_EXPECT(weft_execute(h->executor, test_job_return_arg, NULL) == 0);
    return NULL;
}

/* Threads that come, submit and go: their ports are given up and adopted. */
static void *comes_and_goes(void *arg)
{
    hammer *h = arg;
    while (goes_on(h, 5)) {
        test_join(test_spawn(submit_once, h));
    }
    return NULL;
}

static void child_of_busy_threads(hammer *h)
{
    weft_future *future = (weft_future *)(void *)h->promise;
    CHILD_EXPECT(weft_execute(h->executor, test_job_return_arg, NULL) == -ESTALE);
    CHILD_EXPECT(weft_future_wait(future, WEFT_FOREVER) == -ESTALE);
    CHILD_EXPECT(weft_promise_resolve(h->promise, NULL, NULL) == -ESTALE);
    CHILD_EXPECT(weft_executor_shutdown(h->executor, WEFT_CANCEL_ALL, WEFT_FOREVER) == -ESTALE);
    CHILD_EXPECT(weft_executor_destroy(h->executor) == -ESTALE);
    child_expect_counters_zero();
    if (!SANITIZED) {
        weft_executor *own = weft_executor_create(NULL);
        child_uses(own, 10);
        child_uses(NULL, 10);
        CHILD_EXPECT(weft_executor_destroy(own) == 0);
        CHILD_EXPECT(weft_executor_destroy(weft_executor_default()) == 0);
        child_expect_counters_zero();
    }
    child_finished();
    _exit(0);
}

static bool hammered_on(hammer *h, const unsigned before[6])
{
    for (unsigned i = 0; i < 6; i++) {
        if (atomic_load_explicit(&h->rounds[i], memory_order_relaxed) == before[i]) {
            return false;
        }
    }
    return true;
}

static void fork_many(hammer *h, unsigned forks)
{
    for (unsigned i = 0; i < forks; i++) {
        pid_t child = child_fork();
        if (child == 0) {
            child_of_busy_threads(h);
        }
        assert_true(child_ended_well(child));
    }
    assert_children(forks);
}

static void test_frk_01_while_others_are_inside_weft(void **state)
{
    (void)state;
    static void *(*const bodies[6])(void *) = {submits, creates, counts, gathers, blocks, comes_and_goes};
    static hammer h;
    unsigned before[6], forks = test_rounds(200);
    pthread_t threads[6];
    h.executor = test_executor(0);
    h.promise = weft_promise_create(h.executor);
    atomic_store_explicit(&h.over, false, memory_order_relaxed);
    for (unsigned i = 0; i < 6; i++) {
        before[i] = atomic_load_explicit(&h.rounds[i], memory_order_relaxed);
        threads[i] = test_spawn(bodies[i], &h);
    }
    fork_many(&h, forks);
    for (int64_t end = weft_now() + test_patience(); !hammered_on(&h, before) && weft_now() < end;) {
        test_pause(MS);
    }
    assert_true(hammered_on(&h, before));
    atomic_store_explicit(&h.over, true, memory_order_relaxed);
    for (unsigned i = 0; i < 6; i++) {
        test_join(threads[i]);
    }
    weft_promise_destroy(h.promise);
    test_destroy(h.executor);
}

/* ---- from code that weft calls ---- */

/* What forks here does so once, in the parent alone; the child counts as finished and goes on as it may. */
static _Atomic(unsigned) forks_left;
static pid_t hook_child; /* by who forked, before the test looks */

static void fork_once(void)
{
    if (getpid() != home->parent) {
        note_stray();
        return;
    }
    if (atomic_load_explicit(&forks_left, memory_order_acquire) == 0) {
        return;
    }
    hook_child = child_fork();
    if (hook_child == 0) {
        child_expect_counters_zero();
        child_finished();
        return;
    }
    TEST_EXPECT(child_ended_well(hook_child));
    atomic_store_explicit(&forks_left, 0, memory_order_release);
}

static void arm_fork(void)
{
    atomic_store_explicit(&forks_left, 1, memory_order_release);
}

static void free_and_fork(void *memory)
{
    (void)memory;
    fork_once();
}

static int start_and_fork(unsigned worker, void *data)
{
    (void)data;
    if (worker == 0) {
        fork_once();
    }
    return 0;
}

static void stop_and_fork(unsigned worker, void *data)
{
    (void)worker;
    (void)data;
    fork_once();
}

static void report_and_fork(const char *name, int error, void *data)
{
    (void)name;
    (void)error;
    (void)data;
    fork_once();
}

/* The hooks run on weft's threads, which end in the child; so does the child, with 0. */
static void test_frk_01_from_a_hook(void **state)
{
    (void)state;
    const weft_executor_options starts = {.workers = 2, .worker_start = start_and_fork};
    const weft_executor_options stops = {.workers = 1, .worker_stop = stop_and_fork};
    const weft_executor_options reports = {.workers = 1, .unobserved_error = report_and_fork};
    const weft_executor_options *each[] = {&starts, &stops, &reports};
    for (unsigned i = 0; i < 3; i++) {
        arm_fork();
        weft_executor *executor = test_executor_with(each[i]);
        for (unsigned k = 0; k < 3; k++) { /* two of them would report or start in the child as well */
            weft_execute(executor, test_job_fail_7, NULL);
        }
        test_destroy(executor);
        assert_children(1);
        assert_int_equal(test_get(forks_left), 0);
    }
}

/* A destructor that weft's threads call: of the argument, of a value beside a failure, of a value nobody wants. */
static void *fail_with_value(void *arg)
{
    note_stray();
    weft_fail(7);
    return arg;
}

static void *return_value(void *arg)
{
    note_stray();
    return arg;
}

static void test_frk_01_from_a_destructor_on_a_worker(void **state)
{
    (void)state;
    const weft_submit_options of_arg = {.free_arg = free_and_fork}, of_value = {.free_value = free_and_fork};
    int number = 0;
    for (unsigned i = 0; i < 3; i++) {
        weft_executor *executor = test_executor(1);
        test_gate *gate = test_block(executor, 1);
        arm_fork();
        for (unsigned k = 0; k < 3; k++) {
            weft_future_release(weft_submit_with(executor, i == 1 ? fail_with_value : return_value, &number,
                                                 i == 0 ? &of_arg : &of_value));
        }
        test_unblock(gate);
        test_destroy(executor);
        assert_children(1);
    }
}

/* The coordinator cancels what is queued; the rest of the queue is not the child's business. */
static void test_frk_01_from_a_destructor_in_shutdown(void **state)
{
    (void)state;
    const weft_submit_options options = {.free_arg = free_and_fork};
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    arm_fork();
    for (unsigned k = 0; k < 5; k++) {
        weft_future_release(weft_submit_with(executor, test_job_return_arg, NULL, &options));
    }
    assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_PENDING, 0), -ETIMEDOUT);
    for (int64_t end = weft_now() + test_patience(); test_get(forks_left) && weft_now() < end;) {
        test_pause(MS);
    }
    test_unblock(gate);
    test_destroy(executor);
    assert_children(1);
}

/* On a thread of the program's the call comes back, in the child too. */
static void test_frk_01_from_a_destructor_on_the_programs_thread(void **state)
{
    (void)state;
    const weft_submit_options of_arg = {.free_arg = free_and_fork}, of_value = {.free_value = free_and_fork};
    weft_executor *executor = test_executor(1);
    weft_future *values[3];
    for (unsigned i = 0; i < 3; i++) {
        values[i] = weft_submit_with(executor, test_job_return_arg, executor, &of_value);
        assert_done_soon(values[i]);
    }
    weft_future *all = gather(executor, values, 3, WEFT_SETTLED);
    for (unsigned i = 0; i < 3; i++) {
        weft_future_release(values[i]);
    }
    arm_fork();
    weft_future_release(all); /* drops three values; the first forks */
    if (getpid() != home->parent) {
        child_expect_counters_zero();
        _exit(0);
    }
    assert_children(1);
    test_gate *gate = test_block(executor, 1);
    weft_future *queued = weft_submit_with(executor, test_job_return_arg, NULL, &of_arg);
    arm_fork();
    weft_cancel_effect effect = weft_cancel(queued);
    if (getpid() != home->parent) {
        child_expect_counters_zero();
        _exit(0);
    }
    assert_int_equal(effect, WEFT_CANCEL_DONE);
    assert_children(1);
    weft_future_release(queued);
    test_unblock(gate);
    test_destroy(executor);
}

/* A job that a waiting job runs on its stack forks, and returns: neither of the two goes on. */
static void *inner_job(void *arg)
{
    fork_once();
    return arg;
}

static void *outer_job(void *executor)
{
    TEST_EXPECT(weft_await(weft_submit(executor, inner_job, NULL), NULL) == 0);
    note_stray();
    return executor;
}

static void test_frk_01_from_a_job_inside_a_wait(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    arm_fork();
    weft_future *future = weft_submit(executor, outer_job, executor);
    for (unsigned i = 0; i < 3; i++) {
        weft_execute(executor, inner_job, NULL); /* a stray if the child's worker went on */
    }
    assert_done_soon(future);
    assert_children(1);
    weft_future_release(future);
    test_destroy(executor);
}

/* ---- families ---- */

/* Each process refuses what any of its ancestors made, and uses its own. */
static void descend(weft_executor *const inherited[], unsigned generations)
{
    enum { MOST_GENERATIONS = 4 };
    weft_executor *known[MOST_GENERATIONS + 1];
    for (unsigned i = 0; i < generations; i++) {
        known[i] = inherited[i];
        CHILD_EXPECT(weft_execute(known[i], test_job_return_arg, NULL) == -ESTALE);
        CHILD_EXPECT(weft_executor_destroy(known[i]) == -ESTALE);
    }
    CHILD_EXPECT((known[generations] = weft_executor_create(NULL)) != NULL);
    child_uses(known[generations], 20);
    if (generations < MOST_GENERATIONS) {
        pid_t child = child_fork();
        if (child == 0) {
            descend(known, generations + 1);
            _exit(0);
        }
        CHILD_EXPECT(child_ended_well(child));
    }
    child_uses(known[generations], 20);
    CHILD_EXPECT(weft_executor_destroy(known[generations]) == 0);
    child_expect_counters_zero();
    child_finished();
}

static void test_frk_01_a_fork_in_a_fork(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    pid_t child = child_fork();
    if (child == 0) {
        descend(&executor, 1);
        _exit(0);
    }
    assert_true(child_ended_well(child));
    assert_children(4);
    test_destroy(executor);
}

/* Two children of one parent have each their own; what they inherit is the same. */
static void test_frk_01_two_children_at_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    pid_t children[2];
    for (unsigned i = 0; i < 2; i++) {
        children[i] = child_fork();
        if (children[i] == 0) {
            descend(&executor, 1);
            _exit(0);
        }
    }
    assert_true(child_ended_well(children[0]));
    assert_true(child_ended_well(children[1]));
    assert_children(8);
    weft_future *future = weft_submit(executor, test_job_return_arg, executor);
    assert_done_soon(future);
    assert_ok(future, executor);
    weft_future_release(future);
    test_destroy(executor);
}

/* ---- in a program started anew ---- */

static int memory_of_the_parent; /* anything with an address */
static _Atomic(size_t) blocks_out;

static void *own_alloc(size_t size, void *data)
{
    TEST_EXPECT(data == &memory_of_the_parent);
    atomic_fetch_add_explicit(&blocks_out, 1, memory_order_relaxed);
    return malloc(size);
}

static void own_free(void *memory, void *data)
{
    TEST_EXPECT(data == &memory_of_the_parent);
    atomic_fetch_sub_explicit(&blocks_out, 1, memory_order_relaxed);
    free(memory);
}

/* With an allocator of the program's: the child takes from it and gives back what it took, and none of the parent's. */
static int with_allocator(void)
{
    weft_set_allocator(own_alloc, own_free, &memory_of_the_parent);
    weft_executor *executor = weft_executor_create(NULL);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_submit(executor, test_job_return_arg, NULL);
    weft_future_wait(future, WEFT_FOREVER);
    pid_t child = child_fork();
    if (child == 0) {
        size_t out = atomic_load_explicit(&blocks_out, memory_order_relaxed);
        weft_future_release(future);
        weft_promise_destroy(promise);
        CHILD_EXPECT(weft_executor_destroy(executor) == -ESTALE);
        CHILD_EXPECT(atomic_load_explicit(&blocks_out, memory_order_relaxed) == out);
        if (CHILD_THREADS) {
            weft_executor *own = weft_executor_create(NULL);
            child_uses(own, 100);
            CHILD_EXPECT(weft_executor_destroy(own) == 0);
        }
        child_expect_counters_zero();
        CHILD_EXPECT(atomic_load_explicit(&blocks_out, memory_order_relaxed) == out);
        child_finished();
        _exit(0);
    }
    CHILD_EXPECT(child_ended_well(child));
    CHILD_EXPECT(atomic_load_explicit(&home->finished, memory_order_relaxed) == 1);
    weft_future_release(future);
    weft_promise_destroy(promise);
    CHILD_EXPECT(weft_executor_destroy(executor) == 0);
    CHILD_EXPECT(atomic_load_explicit(&blocks_out, memory_order_relaxed) == 0);
    return atomic_load_explicit(&home->failures, memory_order_relaxed) ? 1 : 0;
}

/* The linker puts this in the place of pthread_atfork. The runtime of ThreadSanitizer, where it is linked into the
 * program, calls it before it is ready for instrumented code. */
#if defined(__clang__)
#define NOT_INSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define NOT_INSTRUMENTED
#endif
static bool refuse_registration;
int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
NOT_INSTRUMENTED int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return refuse_registration ? ENOMEM : __real_pthread_atfork(prepare, parent, child);
}

/* Who cannot be told of forks makes nothing that could be inherited; the next call tries again. */
static int without_registration(void)
{
    refuse_registration = true;
    for (unsigned i = 0; i < 2; i++) {
        errno = 0;
        CHILD_EXPECT(weft_executor_create(NULL) == NULL && errno == ENOMEM);
        CHILD_EXPECT(weft_submit(NULL, test_job_return_arg, NULL) == NULL && errno == ENOMEM);
        errno = 0;
        CHILD_EXPECT(weft_manual_clock_create() == NULL && errno == ENOMEM);
        child_expect_counters_zero();
    }
    refuse_registration = false;
    weft_executor *executor = weft_executor_create(NULL);
    child_uses(executor, 10);
    CHILD_EXPECT(weft_executor_destroy(executor) == 0);
    return atomic_load_explicit(&home->failures, memory_order_relaxed) ? 1 : 0;
}

/* weft is first used in the child of a program that had not used it: nothing is inherited, nothing stale. */
static int first_used_in_a_child(void)
{
    weft_counters counters;
    pid_t child = child_fork();
    if (child == 0) {
        weft_counters_read(&counters);
        weft_executor *own = weft_executor_create(NULL);
        child_uses(own, 100);
        CHILD_EXPECT(weft_executor_destroy(own) == 0);
        child_finished();
        _exit(0);
    }
    CHILD_EXPECT(child_ended_well(child));
    CHILD_EXPECT(atomic_load_explicit(&home->finished, memory_order_relaxed) == 1);
    return atomic_load_explicit(&home->failures, memory_order_relaxed) ? 1 : 0;
}

static const struct {
    const char *argument;
    int (*run)(void);
} anew[] = {{"--allocator", with_allocator},
            {"--no-registration", without_registration},
            {"--first-used-in-a-child", first_used_in_a_child}};

static void start_anew(const char *argument)
{
    pid_t child = child_fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_fork_threads", argument, (char *)NULL);
        _exit(127);
    }
    assert_true(child_ended_well(child));
}

static void test_frk_01_with_an_allocator_of_the_programs(void **state)
{
    (void)state;
    start_anew("--allocator");
}

static void test_frk_01_a_registration_that_fails_is_enomem(void **state)
{
    (void)state;
    start_anew("--no-registration");
}

static void test_frk_01_first_used_in_a_child(void **state)
{
    (void)state;
    start_anew("--first-used-in-a-child");
}

int main(int argc, char **argv)
{
    home_make();
    for (unsigned i = 0; argc > 1 && i < sizeof anew / sizeof anew[0]; i++) {
        if (strcmp(argv[1], anew[i].argument) == 0) {
            return anew[i].run();
        }
    }
    const struct CMUnitTest tests[] = {
        TEST(test_frk_01_while_others_are_inside_weft),
        TEST(test_frk_01_from_a_hook),
        TEST(test_frk_01_from_a_destructor_on_a_worker),
        TEST(test_frk_01_from_a_destructor_in_shutdown),
        TEST(test_frk_01_from_a_destructor_on_the_programs_thread),
        TEST(test_frk_01_from_a_job_inside_a_wait),
        TEST(test_frk_01_with_an_allocator_of_the_programs),
        TEST(test_frk_01_a_registration_that_fails_is_enomem),
        TEST(test_frk_01_first_used_in_a_child),
    };
    const struct CMUnitTest with_threads[] = {
        TEST(test_frk_01_a_fork_in_a_fork),
        TEST(test_frk_01_two_children_at_once),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return CHILD_THREADS ? failed + cmocka_run_group_tests(with_threads, NULL, NULL) : failed;
}
