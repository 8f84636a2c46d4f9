/* test_fork.c: section 20, fork (FRK): what a child may ask of what it inherited, and that this is all it may do.
 *
 * Discipline. `legacy` is an executor with one of everything on it, each in a state that does not change while the test
 * forks: its jobs stand at a gate, its time is a manual clock. The child asks all of it, from the thread that forked: a
 * thread of the program's, a worker inside a job, the coordinator inside a callback. Then the parent ends everything
 * and finds each outcome as if nothing had been. Forks that meet busy threads stand in test_fork_threads.c. */
#define _GNU_SOURCE
#include "child.h"

enum { FUTURES = 24, HOUR = 3600 };

typedef enum { OUTSIDE, JOB, CALLBACK } place;

typedef struct legacy {
    weft_executor *executor;
    weft_clock *clock;
    test_gate *gate;       /* the running job stands here */
    weft_promise *promise; /* pending */
    weft_promise *trigger; /* its callback forks */
    weft_future *running;  /* the job that stands at the gate; it forks if that is its place */
    weft_future *queued;   /* the one behind it */
    weft_future *future[FUTURES];
    weft_state state[FUTURES];
    size_t n;
    weft_callback *to_come, *has_run;
    test_latch *called;
    pthread_t waiter; /* a thread that is blocked in a wait */
    place where;
    bool works; /* the child makes an executor of its own */
} legacy;

/* In the parent, how often its code ran. */
static _Atomic(unsigned) args_freed, values_freed, errors_reported, workers_stopped;

static void tick_parents(_Atomic(unsigned) *counter)
{
    note_stray();
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void free_arg(void *arg)
{
    (void)arg;
    tick_parents(&args_freed);
}

static void free_value(void *value)
{
    (void)value;
    tick_parents(&values_freed);
}

static void report_error(const char *name, int error, void *data)
{
    (void)name;
    (void)error;
    (void)data;
    tick_parents(&errors_reported);
}

static void stop_worker(unsigned worker, void *data)
{
    (void)worker;
    (void)data;
    tick_parents(&workers_stopped);
}

static int parents_callback(weft_future *future, void *latch)
{
    note_stray();
    return hit(future, latch);
}

/* ---- what a child finds ---- */

static void expect_null(const void *made)
{
    CHILD_EXPECT(made == NULL);
    CHILD_EXPECT(errno == ESTALE);
    errno = 0;
}

static void expect_future_refuses(weft_future *f, weft_state state, weft_executor *own)
{
    void *value = &value;
    weft_outcome outcome = {.error = 99};
    weft_callback *handle = (weft_callback *)&value;
    bool done[1] = {false};
    weft_wait_mode wait_modes[] = {WEFT_FIRST_COMPLETED, WEFT_FIRST_EXCEPTION, WEFT_ALL_COMPLETED};
    CHILD_EXPECT(weft_future_state(f) == state);
    CHILD_EXPECT(weft_future_done(f) == (state > WEFT_RUNNING));
    CHILD_EXPECT(weft_future_cancelled(f) == (state == WEFT_CANCELLED));
    CHILD_EXPECT(weft_future_retain(f) == f);
    CHILD_EXPECT(weft_future_outcome(f, &outcome) == -ESTALE && outcome.error == 99);
    CHILD_EXPECT(weft_future_wait(f, 0) == -ESTALE);
    CHILD_EXPECT(weft_future_wait(f, WEFT_SECONDS(10)) == -ESTALE);
    CHILD_EXPECT(weft_future_wait(f, WEFT_FOREVER) == -ESTALE);
    CHILD_EXPECT(weft_future_get(f, &value) == -ESTALE && value == &value);
    CHILD_EXPECT(weft_future_take(f, &value) == -ESTALE && value == &value);
    CHILD_EXPECT(weft_await(f, &value) == -ESTALE && value == &value);
    CHILD_EXPECT(weft_await(f, NULL) == -ESTALE);
    CHILD_EXPECT(weft_cancel(f) == WEFT_CANCEL_TOO_LATE);
    CHILD_EXPECT(weft_on_done(f, parents_callback, NULL, &handle) == -ESTALE && handle == (weft_callback *)&value);
    expect_null(weft_wait_for(f, WEFT_FOREVER, 0));
    expect_null(weft_wait_for(f, 0, WEFT_JOIN));
    expect_null(weft_shield(f));
    expect_null(weft_gather_outcomes(f, NULL));
    for (unsigned i = 0; i < 3; i++) {
        CHILD_EXPECT(weft_wait(&f, 1, wait_modes[i], WEFT_FOREVER, done) == -ESTALE);
        expect_null(weft_gather(own, &f, 1, (weft_gather_mode)i));
    }
    weft_future_release(f);
    weft_future_release(f);
}

static void expect_executor_refuses(weft_executor *e)
{
    weft_stats stats;
    weft_future *many[2] = {NULL, NULL};
    int number = 0;
    const weft_submit_options options = {.free_arg = free_arg, .delay = 1};
    expect_null(weft_submit(e, test_job_return_arg, NULL));
    expect_null(weft_submit_with(e, test_job_return_arg, NULL, &options));
    expect_null(weft_submit_copy(e, test_job_return_arg, &number, sizeof number));
    CHILD_EXPECT(weft_submit_many(e, test_job_return_arg, NULL, 2, many) == -ESTALE);
    CHILD_EXPECT(weft_submit_many(e, test_job_return_arg, NULL, 0, NULL) == -ESTALE);
    CHILD_EXPECT(weft_execute(e, test_job_return_arg, NULL) == -ESTALE);
    expect_null(weft_sleep(e, 0, NULL));
    expect_null(weft_promise_create(e));
    expect_null(weft_gather(e, NULL, 0, WEFT_SETTLED));
    CHILD_EXPECT(weft_executor_stats(e, &stats) == -ESTALE);
    CHILD_EXPECT(weft_worker_stats(e, 0, &stats) == -ESTALE);
    CHILD_EXPECT(weft_executor_workers(e) == 1);
    for (unsigned mode = 0; mode < 3; mode++) {
        CHILD_EXPECT(weft_executor_shutdown(e, (weft_shutdown_mode)mode, WEFT_FOREVER) == -ESTALE);
        CHILD_EXPECT(weft_executor_shutdown(e, (weft_shutdown_mode)mode, 0) == -ESTALE);
    }
    CHILD_EXPECT(weft_executor_destroy(e) == -ESTALE);
    CHILD_EXPECT(weft_executor_destroy(e) == -ESTALE);
}

static void expect_promise_refuses(weft_promise *promise)
{
    CHILD_EXPECT(weft_promise_resolve(promise, promise, free_value) == -ESTALE);
    CHILD_EXPECT(weft_promise_reject(promise, 7) == -ESTALE);
    CHILD_EXPECT(weft_promise_reject(promise, -ECANCELED) == -ESTALE);
    CHILD_EXPECT(weft_promise_future(promise) == (weft_future *)(void *)promise);
    weft_promise_destroy(promise);
    weft_promise_destroy(promise);
}

static void expect_clock_stands(weft_clock *clock)
{
    const weft_executor_options options = {.workers = 1, .clock = clock};
    int64_t now = weft_clock_now(clock);
    weft_manual_clock_advance(clock, WEFT_SECONDS(10 * HOUR));
    CHILD_EXPECT(weft_clock_now(clock) == now);
    weft_clock_destroy(clock);
    expect_null(weft_executor_create(&options));
    weft_clock_destroy(clock);
}

static void expect_no_job_here(void)
{
    CHILD_EXPECT(weft_executor_current() == NULL);
    CHILD_EXPECT(weft_worker_index() == -1);
    CHILD_EXPECT(!weft_cancelled());
    CHILD_EXPECT(weft_fail(7) == NULL);
}

/* Asks everything. The objects themselves are compared byte by byte with what they were when the child began. */
static void child_asks(legacy *l)
{
    weft_executor *own = NULL;
    unsigned char before[FUTURES][sizeof(weft_future)];
    static weft_executor executor_before;
    static weft__thread threads_before[2];
    int64_t begun = weft_now();
    child_expect_counters_zero();
    if (l->works) {
        CHILD_EXPECT((own = weft_executor_create(NULL)) != NULL);
    }
    memcpy(&executor_before, l->executor, sizeof executor_before);
    for (unsigned i = 0; i < 2; i++) {
        memcpy(&threads_before[i], l->executor->threads[i], sizeof threads_before[i]);
    }
    for (size_t i = 0; i < l->n; i++) {
        memcpy(before[i], l->future[i], sizeof before[i]);
    }
    expect_no_job_here();
    for (size_t i = 0; i < l->n; i++) {
        expect_future_refuses(l->future[i], l->state[i], own ? own : l->executor);
    }
    expect_promise_refuses(l->promise);
    CHILD_EXPECT(weft_callback_remove(l->to_come) == -ESTALE);
    CHILD_EXPECT(weft_callback_remove(l->has_run) == -ESTALE);
    expect_executor_refuses(l->executor);
    expect_clock_stands(l->clock);
    CHILD_EXPECT(weft_now() - begun < WEFT_SECONDS(1) + test_late());
    if (own) {
        child_uses(own, 1000);
        CHILD_EXPECT(weft_executor_destroy(own) == 0);
    }
    child_expect_counters_zero();
    for (size_t i = 0; i < l->n; i++) {
        CHILD_EXPECT(memcmp(before[i], l->future[i], sizeof before[i]) == 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        CHILD_EXPECT(memcmp(&threads_before[i], l->executor->threads[i], sizeof threads_before[i]) == 0);
    }
    CHILD_EXPECT(memcmp(&executor_before, l->executor, sizeof executor_before) == 0);
    child_finished();
}

/* ---- the parent ---- */

static void fork_here(legacy *l)
{
    pid_t child = child_fork();
    if (child == 0) {
        child_asks(l);
        if (l->where == OUTSIDE) {
            _exit(0);
        }
        return; /* into weft, where this thread ends, and its process with it */
    }
    TEST_EXPECT(child_ended_well(child));
}

static void *running_job(void *arg)
{
    legacy *l = arg;
    note_stray();
    test_gate_pass(l->gate);
    if (l->where == JOB) {
        fork_here(l);
    }
    return arg;
}

static void *queued_job(void *arg)
{
    note_stray();
    return arg;
}

static void *blocked_job(void *future)
{
    void *value = NULL;
    TEST_EXPECT(weft_future_get(future, &value) == 0);
    note_stray();
    return value;
}

static void *blocked_thread(void *future)
{
    TEST_EXPECT(weft_future_wait(future, WEFT_FOREVER) == 0);
    return NULL;
}

static int fork_in_callback(weft_future *future, void *data)
{
    legacy *l = data;
    (void)future;
    if (l->where == CALLBACK) {
        fork_here(l);
    }
    return getpid() != home->parent; /* a failure, which must not be reported in the child */
}

static weft_future *keep(legacy *l, weft_future *future)
{
    assert_non_null(future);
    assert_true(l->n < FUTURES);
    l->future[l->n++] = future;
    return future;
}

static weft_future *submit_freed(legacy *l, weft_fn *fn, void *arg, int64_t delay)
{
    const weft_submit_options options = {.free_arg = free_arg, .free_value = free_value, .delay = delay};
    return keep(l, weft_submit_with(l->executor, fn, arg, &options));
}

/* What is done before the fork. */
static void make_done(legacy *l)
{
    weft_future *done = submit_freed(l, queued_job, l, 0), *failed = submit_freed(l, test_job_fail_7, NULL, 0);
    submit_freed(l, test_job_cancel_self, NULL, 0);
    for (size_t i = 0; i < l->n; i++) {
        assert_done_soon(l->future[i]);
    }
    keep(l, weft_wait_for(done, 0, 0));
    keep(l, weft_shield(failed));
    keep(l, weft_gather(l->executor, l->future, 2, WEFT_SETTLED));
    keep(l, test_done_future(l->executor));
    assert_int_equal(weft_on_done(done, parents_callback, l->called, &l->has_run), 0);
    assert_true(test_latch_wait(l->called, 1));
}

static bool job_is_blocked(void *executor)
{
    return atomic_load_explicit(&((weft_executor *)executor)->blocked_count, memory_order_relaxed) == 1;
}

/* What is open: one worker blocked in a wait, its stand-in at the gate, the rest behind them. */
static void make_open(legacy *l)
{
    l->promise = weft_promise_create(l->executor);
    weft_future *promised = keep(l, weft_promise_future(l->promise));
    submit_freed(l, blocked_job, promised, 0);
    assert_true(test_until(job_is_blocked, l->executor));
    l->running = submit_freed(l, running_job, l, 0);
    assert_true(test_gate_await(l->gate, 1));
    weft_future *queued = l->queued = submit_freed(l, queued_job, l, 0);
    submit_freed(l, queued_job, l, WEFT_SECONDS(HOUR));
    keep(l, weft_sleep(l->executor, WEFT_SECONDS(HOUR), l));
    keep(l, weft_wait_for(promised, WEFT_SECONDS(HOUR), 0));
    keep(l, weft_wait_for(queued, WEFT_SECONDS(HOUR), WEFT_JOIN));
    keep(l, weft_wait_for(promised, 0, WEFT_NO_CANCEL)); /* done: timed out */
    keep(l, weft_shield(queued));
    weft_future *both[] = {promised, queued};
    for (unsigned mode = 0; mode < 3; mode++) {
        keep(l, weft_gather(l->executor, both, 2, (weft_gather_mode)mode));
    }
    assert_int_equal(weft_on_done(promised, parents_callback, l->called, &l->to_come), 0);
    l->waiter = test_spawn(blocked_thread, promised);
}

static void legacy_make(legacy *l, place where, bool works)
{
    *l = (legacy){.where = where, .works = works};
    l->gate = test_gate_make();
    l->called = test_latch_make();
    l->clock = weft_manual_clock_create();
    const weft_executor_options options = {
        .workers = 1, .clock = l->clock, .unobserved_error = report_error, .worker_stop = stop_worker};
    l->executor = test_executor_with(&options);
    _Atomic(unsigned) *counters[] = {&args_freed, &values_freed, &errors_reported, &workers_stopped};
    for (unsigned i = 0; i < 4; i++) {
        atomic_store_explicit(counters[i], 0, memory_order_relaxed);
    }
    make_done(l);
    make_open(l);
    l->trigger = weft_promise_create(l->executor);
    weft_future *triggered = weft_promise_future(l->trigger);
    assert_int_equal(weft_on_done(triggered, fork_in_callback, l, NULL), 0);
    weft_future_release(triggered);
    for (size_t i = 0; i < l->n; i++) {
        l->state[i] = weft_future_state(l->future[i]);
    }
}

/* The parent has lost nothing: everything ends as it would have. */
static void legacy_end(legacy *l)
{
    weft_promise_resolve(l->promise, l, NULL);
    weft_promise_resolve(l->trigger, NULL, NULL);
    test_gate_open(l->gate);
    assert_done_soon(l->running);
    assert_done_soon(l->queued); /* before its deadline */
    weft_manual_clock_advance(l->clock, WEFT_SECONDS(2 * HOUR));
    for (size_t i = 0; i < l->n; i++) {
        bool was_done = l->state[i] > WEFT_RUNNING;
        assert_done_soon(l->future[i]);
        assert_int_equal(weft_future_state(l->future[i]), was_done ? l->state[i] : WEFT_SUCCEEDED);
    }
    test_join(l->waiter);
    assert_true(test_latch_wait(l->called, 2));
    flush(l->executor);
    assert_int_equal(weft_callback_remove(l->to_come), -EALREADY);
    assert_int_equal(weft_callback_remove(l->has_run), -EALREADY);
    for (size_t i = 0; i < l->n; i++) {
        weft_future_release(l->future[i]);
    }
    weft_promise_destroy(l->promise);
    weft_promise_destroy(l->trigger);
    test_destroy(l->executor);
    weft_clock_destroy(l->clock);
    assert_int_equal(test_get(args_freed), 7);
    assert_int_equal(test_get(values_freed), 5); /* all but the failed and the cancelled one */
    assert_int_equal(test_get(errors_reported), 1);
    assert_int_equal(test_get(workers_stopped), 2); /* the worker and the spare */
}

static void fork_from(place where, bool works)
{
    static legacy l;
    legacy_make(&l, where, works);
    if (where == OUTSIDE) {
        fork_here(&l);
    } else if (where == JOB) {
        test_gate_open(l.gate);
        assert_done_soon(l.running);
    } else {
        weft_promise_resolve(l.trigger, NULL, NULL);
        flush(l.executor);
    }
    assert_children(1);
    legacy_end(&l);
}

static void test_frk_01_from_outside_every_call_refuses(void **state)
{
    (void)state;
    fork_from(OUTSIDE, false);
}

static void test_frk_01_in_a_job_every_call_refuses_and_its_return_ends_the_child(void **state)
{
    (void)state;
    fork_from(JOB, false);
}

static void test_frk_01_in_a_callback_every_call_refuses_and_its_return_ends_the_child(void **state)
{
    (void)state;
    fork_from(CALLBACK, false);
}

static void test_frk_01_a_new_executor_beside_the_old_one(void **state)
{
    (void)state;
    fork_from(OUTSIDE, true);
}

static void test_frk_01_a_new_executor_made_in_a_job(void **state)
{
    (void)state;
    fork_from(JOB, true);
}

static void test_frk_01_a_new_executor_made_in_a_callback(void **state)
{
    (void)state;
    fork_from(CALLBACK, true);
}

/* ---- the old among the new ---- */

static void child_mixes(weft_executor *old, weft_future *pending, weft_future *done)
{
    weft_executor *own = weft_executor_create(NULL);
    weft_promise *promise = weft_promise_create(own);
    weft_future *mine = weft_promise_future(promise);
    weft_counters before = test_counters(), after;
    weft_future *mixtures[][3] = {{mine, pending, mine}, {done, mine, mine}, {mine, mine, done}};
    bool flags[3] = {true, false, true};
    for (unsigned i = 0; i < 3; i++) {
        expect_null(weft_gather(own, mixtures[i], 3, (weft_gather_mode)i));
        expect_null(weft_gather(old, &mine, 1, (weft_gather_mode)i));
        CHILD_EXPECT(weft_wait(mixtures[i], 3, (weft_wait_mode)i, WEFT_FOREVER, flags) == -ESTALE);
        CHILD_EXPECT(flags[0] && !flags[1] && flags[2]);
    }
    after = test_counters();
    CHILD_EXPECT(after.futures == before.futures && after.bytes == before.bytes);
    /* Nothing is left on what is the child's own: its value can be taken, and it ends as ever. */
    CHILD_EXPECT(weft_promise_resolve(promise, promise, free_value) == 0);
    void *value = NULL;
    CHILD_EXPECT(weft_await(mine, &value) == 0 && value == promise);
    weft_promise_destroy(promise);
    CHILD_EXPECT(weft_executor_destroy(own) == 0);
    child_expect_counters_zero();
    child_finished();
}

static void test_frk_01_the_old_is_refused_among_the_new(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    weft_future *done = test_done_future(executor);
    pid_t child = child_fork();
    if (child == 0) {
        child_mixes(executor, in.future[0], done);
        _exit(0);
    }
    assert_true(child_ended_well(child));
    assert_children(1);
    weft_future_release(done);
    inputs_free(&in);
    test_destroy(executor);
}

/* A future whose executor is gone, and one that outlived a child's executor, which the child's child inherits. */
static void test_frk_01_of_an_executor_that_was_gone(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *done = test_done_future(executor);
    test_destroy(executor);
    pid_t child = child_fork();
    if (child == 0) {
        child_expect_counters_zero();
        expect_future_refuses(done, WEFT_SUCCEEDED, NULL);
        child_expect_counters_zero();
        child_finished();
        _exit(0);
    }
    assert_true(child_ended_well(child));
    assert_children(1);
    void *value = NULL;
    assert_int_equal(weft_await(done, &value), 0);
    assert_ptr_equal(value, executor);
}

static void child_uses_default(weft_executor *old)
{
    weft_executor *own = weft_executor_default();
    CHILD_EXPECT(own != NULL && own != old);
    CHILD_EXPECT(weft_executor_default() == own);
    CHILD_EXPECT(weft_executor_destroy(old) == -ESTALE);
    CHILD_EXPECT(weft_executor_default() == own);
    child_uses(NULL, 100);
    CHILD_EXPECT(weft_executor_destroy(own) == 0);
    child_expect_counters_zero();
    child_uses(NULL, 10);
    child_finished();
}

static void test_frk_01_the_default_executor_is_made_anew(void **state)
{
    (void)state;
    weft_executor *old = weft_executor_default();
    assert_non_null(old);
    pid_t child = child_fork();
    if (child == 0) {
        child_uses_default(old);
        _exit(0);
    }
    assert_true(child_ended_well(child));
    assert_children(1);
    assert_ptr_equal(weft_executor_default(), old);
    assert_int_equal(weft_await(weft_submit(NULL, test_job_return_arg, NULL), NULL), 0);
}

int main(void)
{
    home_make();
    const struct CMUnitTest tests[] = {
        TEST(test_frk_01_from_outside_every_call_refuses),
        TEST(test_frk_01_in_a_job_every_call_refuses_and_its_return_ends_the_child),
        TEST(test_frk_01_in_a_callback_every_call_refuses_and_its_return_ends_the_child),
        TEST(test_frk_01_of_an_executor_that_was_gone),
    };
    const struct CMUnitTest with_threads[] = {
        TEST(test_frk_01_a_new_executor_beside_the_old_one),         TEST(test_frk_01_a_new_executor_made_in_a_job),
        TEST(test_frk_01_a_new_executor_made_in_a_callback),         TEST(test_frk_01_the_old_is_refused_among_the_new),
        TEST_DEFAULT(test_frk_01_the_default_executor_is_made_anew),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return CHILD_THREADS ? failed + cmocka_run_group_tests(with_threads, NULL, NULL) : failed;
}
