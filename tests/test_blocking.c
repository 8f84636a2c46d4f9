/* test_blocking.c: section 17, waiting inside jobs and callbacks (BLK): I12, I13 and 0.4 on spares.
 *
 * Discipline. Mostly one worker, because with one every mistake is a deadlock, which the watchdog names. A job that
 * waits marks its thread, so that a job which runs on top of it can tell that it does. */
#include "fixtures.h"

#include "executor.h"

/* BLK-01. */

static void *fibonacci(void *argument)
{
    uintptr_t n = (uintptr_t)argument;
    if (n < 2) {
        return argument;
    }
    void *left = NULL, *right = NULL;
    weft_future *first = weft_submit(weft_executor_current(), fibonacci, (void *)(n - 1));
    weft_future *second = weft_submit(weft_executor_current(), fibonacci, (void *)(n - 2));
    TEST_EXPECT(weft_await(first, &left) == 0);
    TEST_EXPECT(weft_await(second, &right) == 0);
    return (void *)((uintptr_t)left + (uintptr_t)right);
}

static void fibonacci_on(unsigned workers)
{
    void *value = NULL;
    weft_executor *executor = test_executor(workers);
    assert_int_equal(weft_await(weft_submit(executor, fibonacci, (void *)(uintptr_t)(TEST_TSAN ? 15 : 20)), &value), 0);
    assert_int_equal((uintptr_t)value, TEST_TSAN ? 610 : 6765);
    test_destroy(executor);
}

static void test_blk_01_recursion_on_one_worker(void **state)
{
    (void)state;
    fibonacci_on(1);
}

static void test_blk_01_recursion_on_several_workers(void **state)
{
    (void)state;
    fibonacci_on(2);
    fibonacci_on(0);
}

/* A parent that awaits its child in each way. */
enum { BY_WAIT, BY_GET, BY_TAKE, BY_AWAIT, BY_WEFT_WAIT, BY_TIMED_WAIT, WAYS };

static int wait_by(int way, weft_future *future, void **value)
{
    bool done[1] = {false};
    switch (way) {
    case BY_WAIT:
        return weft_future_wait(future, WEFT_FOREVER);
    case BY_GET:
        return weft_future_get(future, value);
    case BY_TAKE:
        return weft_future_take(future, value);
    case BY_AWAIT:
        return weft_await(weft_future_retain(future), value);
    case BY_WEFT_WAIT:
        return weft_wait(&future, 1, WEFT_FIRST_COMPLETED, WEFT_FOREVER, done);
    default:
        return weft_future_wait(future, test_patience());
    }
}

static void *parent_job(void *way)
{
    void *value = NULL;
    weft_future *child = weft_submit(weft_executor_current(), test_job_return_arg, way);
    int code = wait_by(*(int *)way, child, &value);
    bool with_value = *(int *)way == BY_GET || *(int *)way == BY_TAKE || *(int *)way == BY_AWAIT;
    TEST_EXPECT(code == 0);
    TEST_EXPECT(value == (with_value ? way : NULL));
    TEST_EXPECT(weft_future_done(child));
    weft_future_release(child);
    return NULL;
}

static void test_blk_01_every_kind_of_wait_on_one_worker(void **state)
{
    (void)state;
    static int way;
    weft_executor *executor = test_executor(1);
    for (way = 0; way < WAYS; way++) {
        assert_int_equal(weft_await(weft_submit(executor, parent_job, &way), NULL), 0);
    }
    test_destroy(executor);
}

/* A job with one worker waits for what another queued job, submitted from outside, resolves. */
typedef struct resolver {
    weft_future *future;   /* the waiter waits for it */
    weft_promise *promise; /* the other job resolves it */
    int way;
    test_gate *gate; /* the waiter passes it first, so that the other job is queued by then */
} resolver;

static _Thread_local int waits_on_this_thread;

static void *waits_for_promise(void *argument)
{
    resolver *self = argument;
    void *value = NULL;
    test_gate_pass(self->gate);
    waits_on_this_thread++;
    TEST_EXPECT(wait_by(self->way, self->future, &value) == 0);
    waits_on_this_thread--;
    return NULL;
}

static void *resolves_promise(void *argument)
{
    resolver *self = argument;
    TEST_EXPECT(waits_on_this_thread == 0);
    TEST_EXPECT(weft_promise_resolve(self->promise, self, NULL) == 0);
    return NULL;
}

static void test_blk_01_promise_resolved_by_a_queued_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (int way = 0; way < WAYS; way++) {
        static resolver job;
        inputs in = inputs_make(executor, 1);
        job = (resolver){in.future[0], in.promise[0], way, test_gate_make()};
        weft_future *waiter = weft_submit(executor, waits_for_promise, &job);
        assert_true(test_gate_await(job.gate, 1));
        weft_future *other = weft_submit(executor, resolves_promise, &job);
        test_gate_open(job.gate);
        assert_int_equal(weft_await(waiter, NULL), 0);
        assert_int_equal(weft_await(other, NULL), 0);
        inputs_free(&in);
    }
    test_destroy(executor);
}

/* I13: the waiter runs what it waits for, or nothing; an unrelated job never runs on its stack. */
static void *unrelated_job(void *latch)
{
    TEST_EXPECT(waits_on_this_thread == 0);
    test_latch_hit(latch);
    return NULL;
}

static void *waits_among_others(void *latch)
{
    weft_future *before = weft_submit(weft_executor_current(), unrelated_job, latch);
    weft_future *child = weft_submit(weft_executor_current(), test_job_return_arg, latch);
    weft_future *after = weft_submit(weft_executor_current(), unrelated_job, latch);
    weft_future *timer = weft_sleep(weft_executor_current(), 2 * MS, NULL);
    waits_on_this_thread++;
    TEST_EXPECT(weft_await(child, NULL) == 0);
    TEST_EXPECT(weft_await(timer, NULL) == 0);
    waits_on_this_thread--;
    weft_future_release(before);
    weft_future_release(after);
    return NULL;
}

static void test_blk_01_no_unrelated_job_on_the_waiters_stack(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 2; workers++) {
        weft_executor *executor = test_executor(workers);
        test_latch *latch = test_latch_make();
        unsigned rounds = test_rounds(50);
        for (unsigned i = 0; i < rounds; i++) {
            assert_int_equal(weft_await(weft_submit(executor, waits_among_others, latch), NULL), 0);
        }
        assert_true(test_latch_wait(latch, 2 * rounds));
        test_destroy(executor);
    }
}

/* BLK-02. */

typedef struct chain {
    unsigned depth;            /* how deep a job may go */
    _Atomic(unsigned) deepest; /* by the jobs */
    _Atomic(unsigned) refused; /* how many waits answered -EOVERFLOW */
} chain;

typedef struct link {
    chain *chain;
    unsigned depth;
} link_t;

static void *nested_wait(void *argument)
{
    link_t self = *(link_t *)argument, next = {self.chain, self.depth + 1};
    if (self.depth > atomic_load_explicit(&self.chain->deepest, memory_order_relaxed)) {
        atomic_store_explicit(&self.chain->deepest, self.depth, memory_order_relaxed);
    }
    if (self.depth == self.chain->depth) {
        return NULL;
    }
    weft_future *child = weft_submit_copy(weft_executor_current(), nested_wait, &next, sizeof next);
    TEST_EXPECT(child != NULL);
    int code = weft_await(child, NULL);
    if (code == -EOVERFLOW) {
        atomic_fetch_add_explicit(&self.chain->refused, 1, memory_order_relaxed);
        TEST_EXPECT(!weft_future_done(child));
        TEST_EXPECT(weft_cancel(child) == WEFT_CANCEL_DONE);
        weft_future_release(child);
    } else {
        TEST_EXPECT(code == 0);
    }
    return NULL;
}

static void test_blk_02_a_thousand_nested_waits(void **state)
{
    (void)state;
    static chain deep;
    weft_executor *executor = test_executor(1);
    deep = (chain){.depth = 1000};
    link_t first = {&deep, 0};
    assert_int_equal(weft_await(weft_submit_copy(executor, nested_wait, &first, sizeof first), NULL), 0);
    assert_int_equal(test_get(deep.deepest), 1000);
    assert_int_equal(test_get(deep.refused), 0);
    test_destroy(executor);
}

/* I13: beyond the documented depth the wait is refused, the reference stays, and the job can go on. */
static void test_blk_02_too_deep_is_refused(void **state)
{
    (void)state;
    static chain deep;
    weft_executor *executor = test_executor(1);
    deep = (chain){.depth = 1000000};
    link_t first = {&deep, 0};
    assert_int_equal(weft_await(weft_submit_copy(executor, nested_wait, &first, sizeof first), NULL), 0);
    assert_true(test_get(deep.deepest) >= 1000);
    assert_int_equal(test_get(deep.refused), 1);
    test_destroy(executor);
}

/* BLK-04. A job that waits for itself. */
typedef struct self_wait {
    test_gate *gate;
    weft_future *own; /* by the test before the gate opens */
    weft_future *other;
} self_wait;

static void *waits_for_itself(void *argument)
{
    self_wait *self = argument;
    void *value = self;
    test_gate_pass(self->gate);
    weft_future *both[] = {self->other, self->own};
    bool done[2];
    for (int way = 0; way < BY_TIMED_WAIT; way++) {
        if (way != BY_AWAIT) {
            TEST_EXPECT(wait_by(way, self->own, &value) == -EDEADLK);
        }
    }
    TEST_EXPECT(weft_await(self->own, &value) == -EDEADLK);
    TEST_EXPECT(weft_await(self->own, NULL) == -EDEADLK);
    TEST_EXPECT(weft_wait(both, 2, WEFT_ALL_COMPLETED, WEFT_FOREVER, done) == -EDEADLK);
    TEST_EXPECT(weft_wait(both, 2, WEFT_FIRST_COMPLETED, WEFT_FOREVER, done) == 0);
    TEST_EXPECT(weft_future_wait(self->own, 0) == -ETIMEDOUT);
    TEST_EXPECT(value == self);
    return self;
}

static void test_blk_04_job_waits_for_itself(void **state)
{
    (void)state;
    static self_wait job;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    job = (self_wait){.gate = test_gate_make(), .other = in.future[0]};
    job.own = weft_submit(executor, waits_for_itself, &job);
    test_gate_open(job.gate);
    assert_done_soon(job.own);
    assert_ok(job.own, &job);
    weft_future_release(job.own);
    inputs_free(&in);
    test_destroy(executor);
}

/* Jobs that wait for each other in a ring. */
enum { RING = 3 };
typedef struct ring_job {
    test_gate *gate;
    weft_future *next; /* by the test before the gate opens */
    int result;
} ring_job;

static void *waits_for_the_next(void *argument)
{
    ring_job *self = argument;
    void *value = NULL;
    test_gate_pass(self->gate);
    self->result = weft_future_get(self->next, &value);
    return self;
}

static void jobs_in_a_ring(unsigned workers, unsigned n)
{
    static ring_job jobs[RING];
    weft_future *futures[RING];
    weft_executor *executor = test_executor(workers);
    for (unsigned round = 0; round < test_rounds(200); round++) {
        test_gate *gate = test_gate_make();
        unsigned refused = 0;
        for (unsigned i = 0; i < n; i++) {
            jobs[i] = (ring_job){.gate = gate};
            futures[i] = weft_submit(executor, waits_for_the_next, &jobs[i]);
        }
        for (unsigned i = 0; i < n; i++) {
            jobs[i].next = futures[(i + 1) % n];
        }
        assert_true(test_gate_await(gate, workers < n ? workers : n));
        test_gate_open(gate);
        for (unsigned i = 0; i < n; i++) {
            assert_done_soon(futures[i]);
            assert_ok(futures[i], &jobs[i]);
            assert_true(jobs[i].result == 0 || jobs[i].result == -EDEADLK);
            refused += jobs[i].result == -EDEADLK;
        }
        assert_true(refused >= 1);
        for (unsigned i = 0; i < n; i++) {
            weft_future_release(futures[i]);
        }
    }
    test_destroy(executor);
}

static void test_blk_04_jobs_wait_for_each_other(void **state)
{
    (void)state;
    jobs_in_a_ring(1, 2);
    jobs_in_a_ring(2, 2);
    jobs_in_a_ring(1, 3);
    jobs_in_a_ring(3, 3);
}

/* What was cancelled on its own waits for nobody, whatever it stood for. */
typedef struct shielded {
    test_gate *gate;
    weft_future *own; /* by the test before the gate opens */
    weft_future *other;
    int result;
} shielded;

static void *wait_for_own_shield(void *argument)
{
    shielded *self = argument;
    bool done[2];
    test_gate_pass(self->gate);
    weft_future *both[] = {weft_shield(self->own), self->other};
    TEST_EXPECT(weft_cancel(both[0]) == WEFT_CANCEL_DONE);
    self->result = weft_wait(both, 2, WEFT_ALL_COMPLETED, WEFT_FOREVER, done);
    weft_future_release(both[0]);
    return NULL;
}

static void test_blk_04_a_cancelled_shield_leads_nowhere(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    shielded self = {.gate = test_gate_make(), .result = 1};
    self.own = weft_submit(executor, wait_for_own_shield, &self);
    self.other = weft_sleep(executor, MS, NULL);
    test_gate_open(self.gate);
    assert_done_soon(self.own);
    assert_int_equal(self.result, 0);
    weft_future_release(self.own);
    weft_future_release(self.other);
    test_destroy(executor);
}

/* A wait for one of two jobs, which both wait for the same third one, which waits for the job that waits: neither comes.
 * Whoever of the four waits last closes the ring and is refused. */
typedef struct ways {
    test_gate *gate[4];
    weft_future *job[4]; /* by the test before the first gate opens; 0 and 1 wait for 2, 2 for 3, 3 for 0 or 1 */
    int result[4];
} ways;

typedef struct on_its_way {
    ways *all;
    unsigned i;
} on_its_way;

static void *waits_on_its_way(void *argument)
{
    on_its_way *self = argument;
    ways *all = self->all;
    bool done[2];
    test_gate_pass(all->gate[self->i]);
    if (self->i == 3) {
        all->result[3] = weft_wait(all->job, 2, WEFT_FIRST_COMPLETED, WEFT_FOREVER, done);
    } else {
        all->result[self->i] = weft_future_wait(all->job[self->i == 2 ? 3 : 2], WEFT_FOREVER);
    }
    return NULL;
}

typedef struct blocked {
    weft_executor *executor;
    unsigned n;
} blocked;

static bool as_many_are_blocked(void *data)
{
    const blocked *wanted = data;
    return atomic_load_explicit(&wanted->executor->blocked_count, memory_order_acquire) == wanted->n;
}

static void test_blk_04_both_ways_lead_back(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(4);
    for (unsigned last = 0; last < 4; last++) {
        static ways all;
        static on_its_way each[4];
        all = (ways){.result = {1, 1, 1, 1}};
        for (unsigned i = 0; i < 4; i++) {
            each[i] = (on_its_way){&all, i};
            all.gate[i] = test_gate_make();
            all.job[i] = weft_submit(executor, waits_on_its_way, &each[i]);
        }
        for (unsigned i = 0; i < 4; i++) {
            assert_true(test_gate_await(all.gate[i], 1));
        }
        for (unsigned k = 1; k <= 4; k++) {
            blocked wanted = {executor, k - 1};
            assert_true(test_until(as_many_are_blocked, &wanted));
            test_gate_open(all.gate[(last + k) % 4]);
        }
        for (unsigned i = 0; i < 4; i++) {
            assert_done_soon(all.job[i]);
        }
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(all.result[i], i == last ? -EDEADLK : 0);
            weft_future_release(all.job[i]);
        }
    }
    test_destroy(executor);
}

/* A callback that waits: refused at once on a pending future, answered where nothing has to be waited for. */
typedef struct waiting_callback {
    weft_future *pending, *ended;
    test_latch *latch;
} waiting_callback;

static int callback_waits(weft_future *future, void *data)
{
    waiting_callback *self = data;
    weft_future *both[] = {self->pending, self->ended};
    bool done[2] = {true, false};
    void *value = self;
    int64_t start = weft_now();
    (void)future;
    for (int way = 0; way < WAYS; way++) {
        if (way != BY_AWAIT) {
            TEST_EXPECT(wait_by(way, self->pending, &value) == -EDEADLK);
        }
        TEST_EXPECT(way == BY_TAKE || wait_by(way, self->ended, &value) == 0);
    }
    TEST_EXPECT(weft_await(self->pending, &value) == -EDEADLK);
    TEST_EXPECT(weft_await(self->pending, NULL) == -EDEADLK);
    TEST_EXPECT(weft_wait(both, 2, WEFT_ALL_COMPLETED, WEFT_FOREVER, done) == -EDEADLK);
    TEST_EXPECT(weft_wait(both, 2, WEFT_ALL_COMPLETED, 3600 * 1000 * MS, done) == -EDEADLK);
    TEST_EXPECT(weft_wait(both, 2, WEFT_FIRST_COMPLETED, WEFT_FOREVER, done) == 0);
    TEST_EXPECT(!done[0] && done[1]);
    TEST_EXPECT(weft_now() - start < 1000 * MS);
    test_latch_hit(self->latch);
    return 0;
}

static void test_blk_04_callback_waits(void **state)
{
    (void)state;
    static waiting_callback callback;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 3);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    callback = (waiting_callback){in.future[0], in.future[1], test_latch_make()};
    assert_int_equal(weft_on_done(in.future[2], callback_waits, &callback, NULL), 0);
    weft_promise_resolve(in.promise[2], NULL, NULL);
    assert_true(test_latch_wait(callback.latch, 1));
    assert_int_equal(weft_future_state(in.future[0]), WEFT_PENDING);
    inputs_free(&in);
    test_destroy(executor);
}

/* BLK-08. */
typedef struct impatient {
    test_gate *gate; /* holds the long job */
    int64_t timeout;
    int result; /* by the job before it returns, and so are the rest */
    int64_t took;
    weft_future *child; /* the test's to release */
} impatient;

static void *long_job(void *gate)
{
    TEST_EXPECT(waits_on_this_thread == 0);
    return test_gate_job(gate);
}

static void *waits_a_little(void *argument)
{
    impatient *self = argument;
    bool done[1];
    self->child = weft_submit(weft_executor_current(), long_job, self->gate);
    waits_on_this_thread++;
    int64_t start = weft_now();
    self->result = weft_future_wait(self->child, self->timeout);
    self->took = weft_now() - start;
    TEST_EXPECT(weft_wait(&self->child, 1, WEFT_ALL_COMPLETED, self->timeout, done) == -ETIMEDOUT);
    waits_on_this_thread--;
    return NULL;
}

static void test_blk_08_timed_wait_does_not_run_the_job(void **state)
{
    (void)state;
    const int64_t timeouts[] = {-1, 0, 30 * MS};
    for (unsigned i = 0; i < 3; i++) {
        static impatient job;
        weft_executor *executor = test_executor(1);
        job = (impatient){.gate = test_gate_make(), .timeout = timeouts[i]};
        assert_int_equal(weft_await(weft_submit(executor, waits_a_little, &job), NULL), 0);
        assert_int_equal(job.result, -ETIMEDOUT);
        assert_true(job.took >= timeouts[i]);
        assert_true(job.took <= (timeouts[i] > 0 ? timeouts[i] : 0) + 250 * MS);
        test_gate_open(job.gate);
        assert_int_equal(weft_await(job.child, NULL), 0);
        test_destroy(executor);
    }
}

/* BLK-10. */
typedef struct context {
    weft_executor *executor;
    weft_future *_Atomic child; /* by the parent before it waits; the child spins for it */
} context;

static void *child_in_context(void *argument)
{
    context *self = argument;
    weft_future *own;
    while ((own = atomic_load_explicit(&self->child, memory_order_acquire)) == NULL) {
        test_pause(10000);
    }
    TEST_EXPECT(weft_executor_current() == self->executor);
    TEST_EXPECT(weft_worker_index() >= 0);
    TEST_EXPECT(!weft_cancelled());
    TEST_EXPECT(weft_cancel(own) == WEFT_CANCEL_REQUESTED);
    TEST_EXPECT(weft_cancelled());
    return weft_fail(7);
}

static void *parent_in_context(void *argument)
{
    context *self = argument;
    int index = weft_worker_index();
    weft_future *child = weft_submit(self->executor, child_in_context, self);
    atomic_store_explicit(&self->child, child, memory_order_release);
    TEST_EXPECT(weft_future_wait(child, WEFT_FOREVER) == 0);
    TEST_EXPECT(!weft_cancelled());
    TEST_EXPECT(weft_worker_index() == index);
    TEST_EXPECT(weft_executor_current() == self->executor);
    TEST_EXPECT(weft_await(child, NULL) == 7);
    return self;
}

static void test_blk_10_inline_child_has_its_own_context(void **state)
{
    (void)state;
    static context job;
    weft_executor *executor = test_executor(1);
    job = (context){.executor = executor};
    weft_future *future = weft_submit(executor, parent_in_context, &job);
    assert_done_soon(future);
    assert_ok(future, &job);
    weft_future_release(future);
    test_destroy(executor);
}

/* 0.4, spares: `spares` jobs may block beside the workers; the wait of the next is refused, and accepted again
 * later. */
typedef struct blocked_job {
    weft_future *future;
    test_latch *started, *refused;
    int result; /* by the job before it returns */
} blocked_job;

static void *blocks_on_a_promise(void *argument)
{
    blocked_job *self = argument;
    void *value = NULL;
    test_latch_hit(self->started);
    self->result = weft_future_get(self->future, &value);
    if (self->result == -EAGAIN) {
        test_latch_hit(self->refused);
    }
    return NULL;
}

static void spares_run_out(unsigned workers, unsigned spares)
{
    enum { JOBS = 8 };
    static blocked_job jobs[JOBS];
    weft_future *futures[JOBS];
    weft_executor_options options = {.workers = workers, .max_spares = spares};
    weft_executor *executor = test_executor_with(&options);
    unsigned n = workers + spares;
    for (unsigned round = 0; round < 3; round++) {
        inputs in = inputs_make(executor, 1);
        test_latch *started = test_latch_make(), *refused = test_latch_make();
        for (unsigned i = 0; i < n; i++) {
            jobs[i] = (blocked_job){.future = in.future[0], .started = started, .refused = refused};
            futures[i] = weft_submit(executor, blocks_on_a_promise, &jobs[i]);
        }
        assert_true(test_latch_wait(started, n));
        assert_true(test_latch_wait(refused, workers));
        weft_stats stats;
        assert_int_equal(weft_executor_stats(executor, &stats), 0);
        assert_true(stats.spares <= spares);
        weft_promise_resolve(in.promise[0], NULL, NULL);
        unsigned count = 0;
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(weft_await(futures[i], NULL), 0);
            assert_true(jobs[i].result == 0 || jobs[i].result == -EAGAIN);
            count += jobs[i].result == -EAGAIN;
        }
        assert_int_equal(count, workers);
        inputs_free(&in);
    }
    test_destroy(executor);
}

static void test_blk_spares_run_out(void **state)
{
    (void)state;
    spares_run_out(1, 1);
    spares_run_out(1, 3);
    spares_run_out(2, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blk_01_recursion_on_one_worker),
        TEST(test_blk_01_recursion_on_several_workers),
        TEST(test_blk_01_every_kind_of_wait_on_one_worker),
        TEST(test_blk_01_promise_resolved_by_a_queued_job),
        TEST(test_blk_01_no_unrelated_job_on_the_waiters_stack),
        TEST(test_blk_02_a_thousand_nested_waits),
        TEST(test_blk_02_too_deep_is_refused),
        TEST(test_blk_04_job_waits_for_itself),
        TEST(test_blk_04_jobs_wait_for_each_other),
        TEST(test_blk_04_a_cancelled_shield_leads_nowhere),
        TEST(test_blk_04_both_ways_lead_back),
        TEST(test_blk_04_callback_waits),
        TEST(test_blk_08_timed_wait_does_not_run_the_job),
        TEST(test_blk_10_inline_child_has_its_own_context),
        TEST(test_blk_spares_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
