/* test_flatten_threads.c: flattens and the threads around them: a worker that waits, an inner future of another
 * executor, shutdown, races, and a million in a row. What a flatten is stands in test_flatten.c.
 *
 * Discipline. Races are repeated, two threads meeting at a barrier before each try and after it. */
#include "pair.h"

/* Workers, executors, shutdown. */

struct nest {
    weft_executor *executor;
    int code;
    void *value;
};

static void *submit_inner(void *executor)
{
    return weft_submit(executor, test_job_return_arg, executor);
}

static void *wait_for_nest(void *argument)
{
    struct nest *n = argument;
    weft_submit_options options = {.free_value = pair_release};
    weft_future *outer = weft_submit_with(n->executor, submit_inner, n->executor, &options);
    weft_future *flat = weft_flatten(outer);
    weft_future_release(outer);
    n->code = weft_await(flat, &n->value);
    return NULL;
}

static void test_blk_01_a_worker_runs_outer_and_inner(void **state)
{
    (void)state;
    weft_stats stats;
    struct nest n = {.executor = test_executor(1), .code = -1};
    assert_int_equal(weft_await(weft_submit(n.executor, wait_for_nest, &n), NULL), 0);
    assert_int_equal(n.code, 0);
    assert_ptr_equal(n.value, n.executor);
    assert_int_equal(weft_executor_stats(n.executor, &stats), 0);
    assert_int_equal(stats.inline_runs, 2);
    test_destroy(n.executor);
}

static void test_exe_12_an_inner_future_of_another_executor(void **state)
{
    (void)state;
    pair p = pair_make();
    weft_executor *there = test_executor(1);
    weft_future *inner = weft_submit(there, test_job_return_arg, there);
    hand_out(p.in.promise[0], inner);
    assert_done_soon(p.flat);
    assert_ok(p.flat, there);
    test_destroy(there);
    assert_ok(p.flat, there);
    weft_future_release(inner);
    pair_end(&p);
}

static void test_shd_09_what_rests_on_a_job_is_drained(void **state)
{
    (void)state;
    pair p = pair_make();
    test_gate *gate = test_gate_make();
    weft_future *job = weft_submit(p.executor, test_gate_job, gate);
    assert_true(test_gate_await(gate, 1));
    weft_future *of_job = weft_flatten(p.in.future[1]);
    hand_out(p.in.promise[1], job);
    assert_int_equal(weft_executor_shutdown(p.executor, WEFT_DRAIN, 0), -ETIMEDOUT);
    assert_done_soon(p.flat); /* it hangs on a promise */
    assert_cancelled(p.flat, WEFT_REASON_SHUTDOWN);
    assert_int_equal(weft_future_state(p.in.future[0]), WEFT_PENDING);
    assert_pending(p.executor, of_job);
    test_gate_open(gate);
    assert_int_equal(weft_executor_shutdown(p.executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_ok(of_job, gate);
    errno = 0;
    assert_null(weft_flatten(job));
    assert_int_equal(errno, ESHUTDOWN);
    assert_null(weft_flatten(NULL));
    assert_int_equal(errno, ESHUTDOWN);
    weft_future_release(of_job);
    weft_future_release(job);
    pair_end(&p);
}

/* Races. */

struct ring {
    test_barrier *barrier;
    weft_promise *promise;
    weft_future *inner;
    unsigned rounds;
};

static void *race_hand_out(void *argument)
{
    struct ring *r = argument;
    for (unsigned i = 0; i < r->rounds; i++) {
        test_barrier_meet(r->barrier);
        hand_out(r->promise, r->inner);
        test_barrier_meet(r->barrier);
    }
    return NULL;
}

static void test_thn_03_race_of_two_that_hand_each_other_out(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    struct ring r = {.barrier = test_barrier_make(2), .rounds = test_rounds(5000)};
    pthread_t thread = test_spawn(race_hand_out, &r);
    for (unsigned i = 0; i < r.rounds; i++) {
        inputs in = inputs_make(executor, 2);
        weft_future *flat[] = {weft_flatten(in.future[0]), weft_flatten(in.future[1])};
        r.promise = in.promise[0];
        r.inner = flat[1];
        test_barrier_meet(r.barrier);
        hand_out(in.promise[1], flat[0]);
        test_barrier_meet(r.barrier);
        for (unsigned k = 0; k < 2; k++) {
            assert_done_soon(flat[k]);
            assert_err(flat[k], -ELOOP);
            weft_future_release(flat[k]);
        }
        inputs_free(&in);
    }
    test_join(thread);
    test_destroy(executor);
}

/* What happens to the flatten while another thread hands it its inner future. */
static void against_the_outer_one(bool cancels)
{
    weft_executor *executor = test_executor(0);
    struct ring r = {.barrier = test_barrier_make(2), .rounds = test_rounds(3000)};
    pthread_t thread = test_spawn(race_hand_out, &r);
    for (unsigned i = 0; i < r.rounds; i++) {
        inputs in = inputs_make(executor, 2);
        weft_future *flat = weft_flatten(in.future[0]);
        r.promise = in.promise[0];
        r.inner = in.future[1];
        weft_future *outer =
            weft_shield(in.future[0]); /* so that the request cannot keep the promise from being kept */
        weft_future *behind = weft_flatten(outer);
        weft_future_release(outer);
        test_barrier_meet(r.barrier);
        if (cancels) {
            assert_int_equal(weft_cancel(behind), WEFT_CANCEL_DONE);
        }
        weft_future_release(behind);
        weft_future_release(flat);
        test_barrier_meet(r.barrier);
        assert_true(test_until_counters(2, 0, 0)); /* the promises: nothing hangs on the inner one, which is open */
        inputs_free(&in);
    }
    test_join(thread);
    assert_true(test_until_counters(0, 0, 0));
    test_destroy(executor);
}

static void test_thn_03_race_of_cancel_and_drop_with_the_outer_one(void **state)
{
    (void)state;
    against_the_outer_one(false);
    against_the_outer_one(true);
}

/* Many. */

static unsigned links(void)
{
#ifdef WEFT_TINY
    return 50000;
#else
    return 1000000;
#endif
}

/* flat[i] is of a promise whose value is flat[i - 1]; flat[0] is a promise's own future. The promises are kept from the
 * bottom or from the top. */
static void long_chain(bool from_the_top)
{
    unsigned n = links();
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    weft_promise **promise = calloc(n, sizeof(weft_promise *));
    weft_future **flat = calloc(n, sizeof(weft_future *));
    for (unsigned i = 0; i < n; i++) {
        promise[i] = weft_promise_create(executor);
        weft_future *outer = weft_promise_future(promise[i]);
        assert_non_null(flat[i] = weft_flatten(outer));
        weft_future_release(outer);
    }
    weft_future *top = weft_future_retain(flat[n - 1]);
    for (unsigned k = 0; k < n; k++) {
        unsigned i = from_the_top ? n - 1 - k : k;
        weft_future *inner = i == 0 ? weft_future_retain(in.future[0]) : flat[i - 1];
        assert_int_equal(weft_promise_resolve(promise[i], inner, pair_release), 0);
        weft_promise_destroy(promise[i]);
    }
    weft_future_release(flat[n - 1]);
    assert_false(weft_future_done(top));
    assert_int_equal(weft_promise_resolve(in.promise[0], &in, NULL), 0);
    assert_true(weft_future_done(top));
    assert_ok(top, &in);
    weft_future_release(top);
    free(promise);
    free(flat);
    inputs_free(&in);
    assert_true(test_until_counters(0, 0, 0));
    test_destroy(executor);
}

static void test_thn_03_a_long_chain(void **state)
{
    (void)state;
    long_chain(false);
    long_chain(true);
}

/* Each is the value of the next, and goes with it. */
static void test_res_01_values_that_are_futures(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *top = test_done_future(executor);
    for (unsigned i = 0; i < links(); i++) {
        weft_promise *promise = weft_promise_create(executor);
        weft_future *next = weft_promise_future(promise);
        assert_int_equal(weft_promise_resolve(promise, top, pair_release), 0);
        weft_promise_destroy(promise);
        top = next;
    }
    weft_future_release(top);
    assert_true(test_until_counters(0, 0, 0));
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blk_01_a_worker_runs_outer_and_inner),
        TEST(test_exe_12_an_inner_future_of_another_executor),
        TEST(test_shd_09_what_rests_on_a_job_is_drained),
        TEST(test_thn_03_race_of_two_that_hand_each_other_out),
        TEST(test_thn_03_race_of_cancel_and_drop_with_the_outer_one),
        TEST(test_thn_03_a_long_chain),
        TEST(test_res_01_values_that_are_futures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
