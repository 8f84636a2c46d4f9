/* test_then_threads.c: thens and the threads around them: a worker that waits for one (section 17), what runs inside
 * its function, shutdown in every mode (SHD-09, SHD-11), several executors (EXE-12), races, and a million in a row.
 *
 * Discipline. Races are repeated, two threads meeting at a barrier before each try; their oracle is that the answers,
 * the outcome and what was run and released agree. */
#include "follower.h"

/* ---- waiting in a worker ---- */

/* A job that makes a chain, waits for it and notes what came of it. */
struct waiter {
    weft_executor *executor;
    follower *first, *second;
    test_latch *latch; /* hit before it waits; NULL: none */
    weft_future *input;
    weft_future *then; /* held by the job while it waits */
    bool awaits;
    int code;
    void *value;
};

static void *submit_and_wait(void *argument)
{
    struct waiter *w = argument;
    weft_future *input = weft_submit(w->executor, test_job_return_arg, w);
    weft_future *middle = weft_then(input, follower_run, w->first), *then = weft_then(middle, follower_run, w->second);
    w->code = w->awaits ? weft_await(then, &w->value) : weft_future_get(then, &w->value);
    if (!w->awaits) {
        weft_future_release(then);
    }
    weft_future_release(input);
    weft_future_release(middle);
    return NULL;
}

/* With one worker, and without a thread that stands in for it. */
static void test_blk_01_a_worker_runs_what_it_waits_for(void **state)
{
    (void)state;
    for (unsigned awaits = 0; awaits < 2; awaits++) {
        weft_stats stats;
        weft_executor *executor = test_executor(1);
        struct waiter w = {executor, follower_make(NULL, 0), follower_make(NULL, 0), .awaits = awaits};
        weft_future *job = weft_submit(executor, submit_and_wait, &w);
        assert_int_equal(weft_await(job, NULL), 0);
        assert_int_equal(w.code, 0);
        assert_ptr_equal(w.value, w.second);
        assert_ptr_equal(w.first->value, &w);
        assert_ptr_equal(w.second->value, w.first);
        assert_int_equal(weft_executor_stats(executor, &stats), 0);
        assert_int_equal(stats.inline_runs, 3);
        assert_int_equal(stats.spares, 0);
        test_destroy(executor);
    }
}

static void *wait_for_then(void *argument)
{
    struct waiter *w = argument;
    if (w->latch != NULL) {
        test_latch_hit(w->latch);
    }
    w->code = w->awaits ? weft_await(w->then, &w->value) : weft_future_get(w->then, &w->value);
    return NULL;
}

/* The input is a promise: the wait blocks, and another thread stands in and runs the function. */
static void test_blk_01_a_worker_blocks_for_a_promise(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    follower *f = follower_make(NULL, 0);
    struct waiter w = {.executor = executor, .latch = test_latch_make(), .then = then_of(in.future[0], f)};
    weft_future *job = weft_submit(executor, wait_for_then, &w);
    assert_true(test_latch_wait(w.latch, 1));
    assert_int_equal(weft_promise_resolve(in.promise[0], &in, NULL), 0);
    assert_int_equal(weft_await(job, NULL), 0);
    assert_int_equal(w.code, 0);
    assert_ptr_equal(w.value, f);
    weft_future_release(w.then);
    inputs_free(&in);
    test_destroy(executor);
}

static void *wait_for_own(void *argument)
{
    struct waiter *w = argument;
    test_latch_wait(w->latch, 1); /* until the test has made the then */
    w->code = weft_future_wait(w->then, WEFT_FOREVER);
    return NULL;
}

static void *wait_for_itself(void *value, void *argument)
{
    (void)value;
    return wait_for_own(argument);
}

static void test_blk_04_circles(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct waiter below = {.latch = test_latch_make()}, self = {.latch = test_latch_make()};
    weft_future *job = weft_submit(executor, wait_for_own, &below);
    below.then = then_of(job, follower_make(NULL, 0));
    test_latch_hit(below.latch);
    assert_int_equal(weft_await(below.then, NULL), 0);
    assert_int_equal(below.code, -EDEADLK);
    self.then = weft_then(job, wait_for_itself, &self);
    test_latch_hit(self.latch);
    assert_done_soon(self.then);
    assert_int_equal(self.code, -EDEADLK);
    weft_future_release(self.then);
    weft_future_release(job);
    test_destroy(executor);
}

/* weft_await hands a request on: the then goes at once, and asks its input. */
static void test_wai_06_await_passes_the_request_on(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    follower *f = follower_make(NULL, 0);
    struct waiter w = {
        .executor = executor, .latch = test_latch_make(), .then = then_of(in.future[0], f), .awaits = true};
    weft_future *job = weft_submit(executor, wait_for_then, &w);
    assert_true(test_latch_wait(w.latch, 1));
    assert_int_equal(weft_cancel(job), WEFT_CANCEL_REQUESTED);
    assert_done_soon(job);
    assert_int_equal(w.code, -ECANCELED);
    assert_not_run(f);
    assert_cancelled(in.future[0], WEFT_REASON_PARENT);
    weft_future_release(job);
    inputs_free(&in);
    test_destroy(executor);
}

/* A thread that its function ends counts as failed, and is replaced. */
static void *end_thread(void *value, void *data)
{
    follower *f = data;
    atomic_fetch_add_explicit(&f->ran, 1, memory_order_acq_rel);
    pthread_exit(value);
}

static void test_exe_09_a_function_that_ends_its_thread(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *done = test_done_future(executor);
    follower *f = follower_make(NULL, 0), *next = follower_make(NULL, 0);
    weft_submit_options options = {.free_arg = follower_free};
    weft_future *then = weft_then_with(done, end_thread, f, &options), *after = then_any_of(then, next);
    assert_done_soon(then);
    assert_err(then, -EOWNERDEAD);
    assert_ran(f);
    assert_done_soon(after);
    assert_int_equal(next->outcome.error, -EOWNERDEAD);
    weft_future_release(after);
    weft_future_release(then);
    weft_future_release(done);
    test_destroy(executor);
}

/* ---- shutdown ---- */

static const weft_shutdown_mode modes[] = {WEFT_DRAIN, WEFT_CANCEL_PENDING, WEFT_CANCEL_ALL};

/* A running job with a chain of thens, one of them for any outcome; it goes on until the shutdown has begun. */
static void test_shd_09_thens_of_a_running_job(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        weft_executor *executor = test_executor(1);
        test_gate *gate = test_gate_make();
        weft_future *job = weft_submit(executor, test_gate_job, gate);
        follower *f = follower_make(NULL, 0), *g = follower_make(NULL, 0), *late = follower_make(NULL, 0);
        weft_future *then = then_of(job, f), *any = then_any_of(then, g);
        weft_submit_options hour = {.delay = WEFT_SECONDS(3600), .free_arg = follower_free};
        weft_future *delayed = weft_then_with(job, follower_run, late, &hour);
        assert_true(test_gate_await(gate, 1));
        assert_int_equal(weft_executor_shutdown(executor, modes[i], 0), -ETIMEDOUT);
        flush(executor);
        assert_int_equal(weft_future_state(then), WEFT_PENDING); /* a job decides about it */
        test_gate_open(gate);
        assert_int_equal(weft_executor_shutdown(executor, modes[i], WEFT_FOREVER), 0);
        assert_ok(job, gate);
        if (modes[i] == WEFT_DRAIN) {
            assert_ok(then, f);
            assert_ok(any, g);
            assert_ran(f);
            assert_ran(g);
        } else {
            assert_cancelled(then, WEFT_REASON_SHUTDOWN);
            assert_cancelled(any, WEFT_REASON_SHUTDOWN);
            assert_not_run(f);
            assert_not_run(g);
        }
        assert_cancelled(delayed, WEFT_REASON_SHUTDOWN); /* waiting is not drained */
        assert_not_run(late);
        weft_future_release(then);
        weft_future_release(any);
        weft_future_release(delayed);
        weft_future_release(job);
        test_destroy(executor);
    }
}

/* A delay that would begin while another job keeps the executor busy. */
static void test_shd_11_a_delay_does_not_begin(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    test_gate *gate = test_gate_make(), *other = test_gate_make();
    weft_future *job = weft_submit(executor, test_gate_job, gate), *busy = weft_submit(executor, test_gate_job, other);
    assert_true(test_gate_await(gate, 1) && test_gate_await(other, 1));
    follower *f = follower_make(NULL, 0);
    weft_submit_options hour = {.delay = WEFT_SECONDS(3600), .free_arg = follower_free};
    weft_future *then = weft_then_with(job, follower_run, f, &hour);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT);
    assert_pending(executor, then);
    test_gate_open(gate);
    assert_done_soon(then);
    assert_cancelled(then, WEFT_REASON_SHUTDOWN);
    assert_not_run(f);
    assert_false(weft_future_done(busy));
    test_gate_open(other);
    weft_future_release(then);
    weft_future_release(job);
    weft_future_release(busy);
    test_destroy(executor);
}

static void *resolve_then_pass(void *argument)
{
    struct waiter *w = argument;
    test_gate_pass(w->first->gate);
    w->code = weft_promise_resolve((weft_promise *)w->value, w, NULL);
    return NULL;
}

/* What hangs on a promise, on a sleep or on its delay falls at once, without asking the promise, which a job may
 * keep. */
static void test_shd_11_waiting_is_not_drained(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        weft_executor *executor = test_executor(1);
        inputs in = inputs_make(executor, 1);
        weft_future *done = test_done_future(executor), *sleep = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
        follower *f[4];
        weft_future *then[4];
        weft_submit_options hour = {.delay = WEFT_SECONDS(3600), .free_arg = follower_free};
        struct waiter w = {.first = follower_make(test_gate_make(), 0), .value = in.promise[0]};
        weft_future *job = weft_submit(executor, resolve_then_pass, &w);
        assert_true(test_gate_await(w.first->gate, 1));
        for (unsigned k = 0; k < 4; k++) {
            f[k] = follower_make(NULL, 0);
        }
        then[0] = then_of(in.future[0], f[0]);
        then[1] = then_of(then[0], f[1]);
        then[2] = then_any_of(sleep, f[2]);
        then[3] = weft_then_with(done, follower_run, f[3], &hour);
        assert_int_equal(weft_executor_shutdown(executor, modes[i], 0), -ETIMEDOUT);
        for (unsigned k = 0; k < 4; k++) {
            assert_done_soon(then[k]);
            assert_cancelled(then[k], WEFT_REASON_SHUTDOWN);
            assert_not_run(f[k]);
            weft_future_release(then[k]);
        }
        assert_int_equal(weft_future_state(in.future[0]), WEFT_PENDING);
        test_gate_open(w.first->gate);
        assert_int_equal(weft_executor_shutdown(executor, modes[i], WEFT_FOREVER), 0);
        assert_int_equal(w.code, 0);
        assert_ok(in.future[0], &w);
        weft_future_release(job);
        weft_future_release(sleep);
        weft_future_release(done);
        inputs_free(&in);
        test_destroy(executor);
    }
}

/* Made and decided while the executor drains, by a thread from which the queues take nothing any more. */
static void test_shd_09_decided_from_outside_while_draining(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT);
    flush(executor); /* what could not be drained has fallen by now */
    inputs in = inputs_make(executor, 1);
    follower *f = follower_make(NULL, 0), *high = follower_make(NULL, 0);
    weft_submit_options options = {.priority = WEFT_HIGH, .free_arg = follower_free};
    weft_future *then = then_of(in.future[0], f);
    weft_future *first = weft_then_with(in.future[0], follower_run, high, &options);
    assert_int_equal(weft_promise_resolve(in.promise[0], &in, NULL), 0);
    assert_pending(executor, then);
    test_gate_open(gate);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_ok(then, f);
    assert_ok(first, high);
    assert_ran(f);
    assert_ran(high);
    weft_future_release(first);
    weft_future_release(then);
    inputs_free(&in);
    test_unblock(gate);
    test_destroy(executor);
}

/* ---- several executors ---- */

static void test_exe_12_then_across_executors(void **state)
{
    (void)state;
    weft_executor *here = test_executor(1), *there = test_executor(1);
    inputs in = inputs_make(here, 1);
    weft_future *both[] = {in.future[0], weft_submit(there, test_job_return_arg, NULL)};
    weft_future *all = gather(there, both, 2, WEFT_SETTLED);
    follower *f = follower_make(NULL, 0), *g = follower_make(NULL, 0);
    weft_future *then = then_of(in.future[0], f), *of_all = then_of(all, g);
    /* A worker of the other executor resolves: it has no port to this one. */
    struct waiter resolver = {.first = follower_make(test_gate_make(), 0), .value = in.promise[0]};
    test_gate_open(resolver.first->gate);
    assert_int_equal(weft_await(weft_submit(there, resolve_then_pass, &resolver), NULL), 0);
    assert_done_soon(then);
    assert_done_soon(of_all);
    assert_ok(then, f);
    assert_ok(of_all, g);
    assert_ptr_equal(f->executor, here);
    assert_ptr_equal(g->executor, there);
    /* And a job there waits for a then here. */
    struct waiter w = {.then = weft_then(all, follower_run, g), .first = g};
    assert_int_equal(weft_await(weft_submit(here, wait_for_then, &w), NULL), 0);
    assert_int_equal(w.code, 0);
    weft_future_release(w.then);
    weft_future_release(of_all);
    weft_future_release(then);
    weft_future_release(all);
    weft_future_release(both[1]);
    inputs_free(&in);
    test_destroy(here);
    test_destroy(there);
}

/* ---- races ---- */

/* Resolves and cancels, or resolves and shuts down, at once. */
struct race {
    weft_executor *executor;
    test_barrier *barrier;
    weft_promise *promise;
    unsigned rounds;
    int code; /* of the resolve, in this round; read after the second meeting */
};

static void *race_resolver(void *argument)
{
    struct race *r = argument;
    for (unsigned i = 0; i < r->rounds; i++) {
        test_barrier_meet(r->barrier);
        r->code = weft_promise_resolve(r->promise, r, NULL);
        test_barrier_meet(r->barrier);
    }
    return NULL;
}

static void cancel_against_resolve(int64_t delay)
{
    struct race r = {test_executor(0), test_barrier_make(2), NULL, test_rounds(2000), 0};
    weft_submit_options options = {.free_arg = follower_free, .delay = delay};
    unsigned ran = 0, cancelled = 0;
    pthread_t thread = test_spawn(race_resolver, &r);
    for (unsigned i = 0; i < r.rounds; i++) {
        follower *f = follower_make(NULL, 0);
        r.promise = weft_promise_create(r.executor);
        weft_future *input = weft_promise_future(r.promise);
        weft_future *then = weft_then_with(input, follower_run, f, &options);
        test_barrier_meet(r.barrier);
        weft_cancel_effect effect = weft_cancel(then);
        bool done = weft_future_done(then);
        test_barrier_meet(r.barrier);
        assert_true(done || (effect != WEFT_CANCEL_DONE && effect != WEFT_CANCEL_TOO_LATE));
        assert_done_soon(then);
        if (effect == WEFT_CANCEL_DONE) {
            assert_cancelled(then, WEFT_REASON_USER);
            assert_int_equal(test_get(f->ran), 0);
            assert_true(weft_future_done(input));
            cancelled++;
        } else {
            assert_ok(then, f);
            assert_int_equal(test_get(f->ran), 1);
            assert_int_equal(r.code, 0);
            ran++;
        }
        assert_int_equal(test_get(f->arg_freed), 1);
        weft_future_release(then);
        weft_future_release(input);
        weft_promise_destroy(r.promise);
    }
    test_join(thread);
    assert_int_equal(ran + cancelled, r.rounds);
    assert_true(test_until_counters(0, 0, 0));
    test_destroy(r.executor);
}

static void test_thn_04_race_of_cancel_with_the_input(void **state)
{
    (void)state;
    cancel_against_resolve(0);
    cancel_against_resolve(1);
    cancel_against_resolve(WEFT_SECONDS(3600)); /* the cancel always comes in time */
}

/* An outside thread decides while the executor comes to rest: each then is done when it has, and has run or not. */
static void test_shd_09_race_of_the_input_with_shutdown(void **state)
{
    (void)state;
    struct race r = {NULL, test_barrier_make(2), NULL, test_rounds(300), 0};
    pthread_t thread = test_spawn(race_resolver, &r);
    for (unsigned i = 0; i < r.rounds; i++) {
        follower *f = follower_make(NULL, 0), *any = follower_make(NULL, 0), *late = follower_make(NULL, 0);
        weft_submit_options hour = {.delay = WEFT_SECONDS(3600), .free_arg = follower_free};
        r.executor = test_executor(1);
        r.promise = weft_promise_create(r.executor);
        weft_future *input = weft_promise_future(r.promise);
        weft_future *then[] = {then_of(input, f), NULL, weft_then_with(input, follower_run, late, &hour)};
        then[1] = then_any_of(then[0], any);
        test_barrier_meet(r.barrier);
        assert_int_equal(weft_executor_shutdown(r.executor, modes[i % 3], WEFT_FOREVER), 0);
        for (unsigned k = 0; k < 3; k++) {
            assert_true(weft_future_done(then[k]));
        }
        test_barrier_meet(r.barrier);
        for (unsigned k = 0; k < 3; k++) {
            follower *g = k == 0 ? f : k == 1 ? any : late;
            if (test_get(g->ran) != 0) {
                assert_ran(g);
                assert_ok(then[k], g);
            } else {
                assert_not_run(g);
                assert_cancelled(then[k], WEFT_REASON_SHUTDOWN);
            }
            weft_future_release(then[k]);
        }
        weft_future_release(input);
        weft_promise_destroy(r.promise);
        test_destroy(r.executor);
    }
    test_join(thread);
}

/* The last reference, the end of the input and the end of the executor at once. */
static void test_drp_03_race_of_drop_and_destroy_with_the_input(void **state)
{
    (void)state;
    struct race r = {NULL, test_barrier_make(2), NULL, test_rounds(300), 0};
    pthread_t thread = test_spawn(race_resolver, &r);
    for (unsigned i = 0; i < r.rounds; i++) {
        follower *f = follower_make(NULL, 0);
        weft_executor *executor = test_executor(1);
        r.promise = weft_promise_create(executor);
        weft_future *input = weft_promise_future(r.promise), *then = then_of(input, f);
        weft_future_release(input);
        test_barrier_meet(r.barrier);
        weft_future_release(then);
        test_destroy(executor);
        test_barrier_meet(r.barrier);
        assert_true(test_get(f->ran) <= 1);
        assert_int_equal(test_get(f->arg_freed), 1);
        weft_promise_destroy(r.promise);
    }
    test_join(thread);
}

/* ---- many ---- */

/* Enough to overflow a stack if there were recursion. */
static unsigned links(void)
{
#ifdef WEFT_TINY
    return 50000;
#else
    return 1000000;
#endif
}

static void *count(void *value, void *data)
{
    (void)data;
    return (void *)((uintptr_t)value + 1);
}

/* Only the top is held. */
static weft_future *chain_over(weft_future *input)
{
    weft_future *top = weft_future_retain(input);
    for (unsigned i = 0; i < links(); i++) {
        weft_future *then = weft_then(top, count, NULL);
        assert_non_null(then);
        weft_future_release(top);
        top = then;
    }
    return top;
}

static void test_thn_02_a_long_chain_runs(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    weft_future *top = chain_over(in.future[0]);
    void *value = NULL;
    assert_int_equal(weft_promise_resolve(in.promise[0], NULL, NULL), 0);
    assert_int_equal(weft_await(top, &value), 0); /* and goes, with all below it */
    assert_int_equal((uintptr_t)value, links());
    inputs_free(&in);
    test_destroy(executor);
}

static void test_thn_01_a_long_chain_fails(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    weft_future *top = chain_over(in.future[0]);
    assert_int_equal(weft_promise_reject(in.promise[0], 3), 0);
    assert_err(top, 3);
    weft_future_release(top);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_thn_04_a_long_chain_is_cancelled(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    weft_future *top = chain_over(in.future[0]);
    assert_int_equal(weft_cancel(top), WEFT_CANCEL_DONE);
    assert_cancelled(in.future[0], WEFT_REASON_PARENT);
    weft_future_release(top);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_blk_02_a_worker_waits_for_a_long_chain(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *input = weft_submit(executor, test_job_return_arg, NULL);
    struct waiter w = {.then = chain_over(input), .awaits = true};
    assert_int_equal(weft_await(weft_submit(executor, wait_for_then, &w), NULL), 0);
    assert_int_equal(w.code, 0);
    assert_int_equal((uintptr_t)w.value, links());
    weft_future_release(input);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blk_01_a_worker_runs_what_it_waits_for),
        TEST(test_blk_01_a_worker_blocks_for_a_promise),
        TEST(test_blk_04_circles),
        TEST(test_wai_06_await_passes_the_request_on),
        TEST(test_exe_09_a_function_that_ends_its_thread),
        TEST(test_shd_09_thens_of_a_running_job),
        TEST(test_shd_11_waiting_is_not_drained),
        TEST(test_shd_11_a_delay_does_not_begin),
        TEST(test_shd_09_decided_from_outside_while_draining),
        TEST(test_exe_12_then_across_executors),
        TEST(test_thn_04_race_of_cancel_with_the_input),
        TEST(test_shd_09_race_of_the_input_with_shutdown),
        TEST(test_drp_03_race_of_drop_and_destroy_with_the_input),
        TEST(test_thn_02_a_long_chain_runs),
        TEST(test_thn_01_a_long_chain_fails),
        TEST(test_thn_04_a_long_chain_is_cancelled),
        TEST(test_blk_02_a_worker_waits_for_a_long_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
