/* test_regressions_combine.c: defects that review found in futures made of others, each with the case that would show
 * it again.
 *
 * Discipline. As in fixtures.h. The free_arg of a then whose input failed runs while its thread is telling those that
 * follow: what that function resolves is told only after it has returned. Some cases use it to order what else only
 * chance would. */
#include "follower.h"

#include <time.h>

/* ---- flatten ---- */

typedef struct thief {
    weft_executor *executor;
    weft_promise *outer;
    weft_future *flat;
    int code;       /* of the take; by the hook */
    unsigned calls; /* the same */
} thief;

static void release_future(void *future)
{
    weft_future_release(future);
}

/* Resolves the outer future, cancels the flatten before that is told, takes the inner one and releases it. */
static void steal_inner(void *argument)
{
    thief *t = argument;
    void *inner = NULL;
    weft_future *outer = weft_promise_future(t->outer);
    t->calls++;
    TEST_EXPECT(weft_promise_resolve(t->outer, test_done_future(t->executor), release_future) == 0);
    TEST_EXPECT(weft_cancel(t->flat) == WEFT_CANCEL_DONE);
    t->code = weft_future_take(outer, &inner);
    weft_future_release(inner);
    weft_future_release(outer);
}

/* The flatten had given its loan back, and then held on to an inner future that was gone. */
static void test_thn_03_inner_released_before_flatten_is_told(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    thief t = {.executor = executor, .outer = in.promise[0], .flat = weft_flatten(in.future[0])};
    weft_submit_options options = {.free_arg = steal_inner};
    weft_future *then = weft_then_with(in.future[1], follower_run, &t, &options);
    assert_int_equal(weft_promise_reject(in.promise[1], 7), 0);
    assert_int_equal(t.calls, 1);
    assert_int_equal(t.code, 0);
    assert_cancelled(t.flat, WEFT_REASON_USER);
    assert_err(then, 7);
    weft_future_release(then);
    weft_future_release(t.flat);
    inputs_free(&in);
    test_destroy(executor);
}

/* ---- taking through a mirror ---- */

typedef struct taker {
    test_barrier *barrier;
    weft_future *shield; /* of the round; the test, before the barrier */
    unsigned rounds;
    int code; /* by the taker, before the barrier */
} taker;

static void *take_each(void *argument)
{
    taker *t = argument;
    for (unsigned i = 0; i < t->rounds && test_barrier_meet(t->barrier); i++) {
        void *value = NULL;
        for (unsigned k = 0; k < i % 61; k++) {
            atomic_signal_fence(memory_order_seq_cst);
        }
        t->code = weft_future_take(t->shield, &value);
        if (!test_barrier_meet(t->barrier)) {
            break;
        }
    }
    return NULL;
}

/* A value that was taken through a shield could be shown by a gather that was attached to the shield at that moment. */
static void test_res_03_taken_or_lent_never_both(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    taker t = {.barrier = test_barrier_make(2), .rounds = test_rounds(4000)};
    pthread_t thread = test_spawn(take_each, &t);
    for (unsigned i = 0; i < t.rounds; i++) {
        test_cell *cell = cell_make(NULL, 0);
        inputs in = inputs_make(executor, 1);
        assert_int_equal(weft_promise_resolve(in.promise[0], cell, test_cell_free_value), 0);
        t.shield = weft_shield(in.future[0]);
        assert_true(test_barrier_meet(t.barrier));
        for (unsigned k = 0; k < i % 47; k++) {
            atomic_signal_fence(memory_order_seq_cst);
        }
        weft_future *all = gather(executor, &t.shield, 1, WEFT_SETTLED);
        assert_true(test_barrier_meet(t.barrier));
        if (t.code == 0) {
            assert_slot(&slots(all, 1)[0], WEFT_FAILED, -ENODATA, NULL);
        } else {
            assert_int_equal(t.code, -EBUSY);
            assert_slot(&slots(all, 1)[0], WEFT_SUCCEEDED, 0, cell);
        }
        weft_future_release(all);
        weft_future_release(t.shield);
        inputs_free(&in);
        assert_int_equal(test_get(cell->value_freed), t.code != 0);
    }
    test_join(thread);
    test_destroy(executor);
}

/* ---- helping ---- */

static void *await_it(void *future)
{
    return weft_fail(weft_future_wait(future, WEFT_FOREVER) == 0 ? 1 : 2);
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 * MS + (int64_t)now.tv_nsec;
}

/* A wait looked into each composite once for each way down to it. */
static void test_blk_01_shared_inputs_are_not_multiplied(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    weft_future *top = weft_future_retain(in.future[0]);
    for (unsigned i = 0; i < 60; i++) {
        weft_future *both[] = {top, top};
        top = gather(executor, both, 2, WEFT_SETTLED);
        weft_future_release(both[0]);
    }
    int64_t before = cpu_ns();
    weft_future *job = weft_submit(executor, await_it, top);
    assert_true(test_until_state(job, WEFT_RUNNING));
    test_pause(2000 * MS);
    assert_true(cpu_ns() - before < 500 * MS);
    assert_int_equal(weft_promise_resolve(in.promise[0], NULL, NULL), 0);
    assert_done_soon(job);
    assert_err(job, 1);
    weft_future_release(job);
    weft_future_release(top);
    inputs_free(&in);
    test_destroy(executor);
}

typedef struct asked {
    weft_future *_Atomic job; /* by the test before the gate opens */
    test_gate *gate;
    _Atomic(unsigned) ran;
    weft_outcome outcome; /* of the map; by the job */
} asked;

static void *cancel_awaiter(void *argument)
{
    asked *a = argument;
    if (atomic_fetch_add_explicit(&a->ran, 1, memory_order_acq_rel) == 0) {
        TEST_EXPECT(weft_cancel(test_get(a->job)) == WEFT_CANCEL_REQUESTED);
    }
    return NULL;
}

static void *await_map(void *argument)
{
    asked *a = argument;
    void *const items[] = {a, a, a};
    test_gate_pass(a->gate);
    weft_future *map = weft_map(weft_executor_current(), cancel_awaiter, items, 3, 1, WEFT_FIRST_ERROR);
    weft_future *kept = weft_future_retain(map);
    TEST_EXPECT(weft_await(map, NULL) == -ECANCELED);
    TEST_EXPECT(weft_future_outcome(kept, &a->outcome) == 0);
    weft_future_release(kept);
    return NULL;
}

/* A request that came while the wait ran an item was not passed on: the map counted as failed. */
static void test_wai_06_await_passes_request_on_to_map(void **state)
{
    (void)state;
    static asked a;
    a = (asked){.gate = test_gate_make()};
    weft_executor *executor = test_executor(1);
    weft_future *job = weft_submit(executor, await_map, &a);
    atomic_store_explicit(&a.job, job, memory_order_release);
    test_gate_open(a.gate);
    assert_done_soon(job);
    assert_int_equal(test_get(a.ran), 1);
    assert_int_equal(a.outcome.state, WEFT_CANCELLED);
    assert_int_equal(a.outcome.reason, WEFT_REASON_PARENT);
    weft_future_release(job);
    test_destroy(executor);
}

/* ---- a delay without end ---- */

static void *do_nothing(void *argument)
{
    return argument;
}

/* A job or then that is never due was freed with its last reference: without its free_arg, and still in its token's
 * list. */
static void dropped_and_never_due(bool by_token)
{
    weft_executor *executor = test_executor(1);
    weft_token *token = weft_token_create(executor, NULL, WEFT_FOREVER, 0);
    follower *job = follower_make(NULL, 0), *then = follower_make(NULL, 0);
    weft_submit_options options = {.delay = WEFT_FOREVER, .token = token, .free_arg = follower_free};
    weft_future *done = test_done_future(executor);
    weft_future_release(weft_submit_with(executor, do_nothing, job, &options));
    weft_future_release(weft_then_with(done, follower_run, then, &options));
    weft_future_release(done);
    assert_int_equal(test_get(job->arg_freed) + test_get(then->arg_freed), 0);
    if (by_token) {
        weft_token_cancel(token);
        flush(executor);
    } else {
        assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    }
    assert_int_equal(test_get(job->arg_freed), 1);
    assert_not_run(then);
    weft_token_release(token);
    test_destroy(executor);
}

static void test_drp_03_never_due_and_token_cancelled(void **state)
{
    (void)state;
    dropped_and_never_due(true);
}

static void test_drp_03_never_due_and_shutdown(void **state)
{
    (void)state;
    dropped_and_never_due(false);
}

/* ---- a token that is set while a then is made ---- */

typedef struct setter {
    test_barrier *barrier;
    weft_token *token; /* of the round; the test, before the barrier */
    unsigned rounds;
} setter;

static void *set_each(void *argument)
{
    setter *s = argument;
    for (unsigned i = 0; i < s->rounds && test_barrier_meet(s->barrier); i++) {
        weft_token_cancel(s->token);
        if (!test_barrier_meet(s->barrier)) {
            break;
        }
    }
    return NULL;
}

/* The canceller looked at a node that its maker was about to write (ThreadSanitizer), and either must take it off. */
static void test_can_11_token_set_while_then_attaches(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    setter s = {.barrier = test_barrier_make(2), .rounds = test_rounds(4000)};
    pthread_t thread = test_spawn(set_each, &s);
    for (unsigned i = 0; i < s.rounds; i++) {
        follower *f = follower_make(NULL, 0);
        weft_future *shield = weft_shield(in.future[0]);
        s.token = weft_token_create(executor, NULL, WEFT_FOREVER, 0);
        weft_submit_options options = {.token = s.token, .free_arg = follower_free};
        assert_true(test_barrier_meet(s.barrier));
        for (unsigned k = 0; k < i % 97 * 16; k++) {
            atomic_signal_fence(memory_order_seq_cst);
        }
        weft_future *then = weft_then_with(shield, follower_run, f, &options);
        assert_true(test_barrier_meet(s.barrier));
        assert_done_soon(then);
        assert_cancelled(then, WEFT_REASON_USER);
        assert_not_run(f);
        weft_future_release(then);
        weft_future_release(shield);
        weft_token_release(s.token);
    }
    test_join(thread);
    inputs_free(&in);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_thn_03_inner_released_before_flatten_is_told), TEST(test_res_03_taken_or_lent_never_both),
        TEST(test_blk_01_shared_inputs_are_not_multiplied),      TEST(test_wai_06_await_passes_request_on_to_map),
        TEST(test_drp_03_never_due_and_token_cancelled),         TEST(test_drp_03_never_due_and_shutdown),
        TEST(test_can_11_token_set_while_then_attaches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
