/* test_any_life.c: weft_any again: dropped ones and unread errors (DRP), waits in workers (I13), shutdown, chains,
 * races of those who decide it (I1, I5).
 *
 * Discipline. Races are repeated; the oracle is that outcome, index and answers agree. */
#include "any.h"

/* ---- dropping, errors ---- */

static test_hook hook;

static weft_executor *hooked_executor(void)
{
    weft_executor_options options = {.workers = 1, .unobserved_error = test_hook_unobserved, .data = &hook};
    memset(&hook, 0, sizeof hook);
    return test_executor_with(&options);
}

static void test_any_dropped_detaches_and_cancels_nothing(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    weft_future_release(any(executor, in.future, 2));
    assert_left(executor, in.future[0]);
    assert_left(executor, in.future[1]);
    assert_int_equal(weft__word(in.future[0]) & WEFT__LENT_MASK, 0);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_drp_01_an_any_that_failed_unread(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor();
    test_cell *cells[] = {cell_make(NULL, 5), cell_make(test_gate_make(), 6)};
    weft_future *futures[] = {submit_named(executor, cells[0], "first"), submit_named(executor, cells[1], "second")};
    weft_future *first = any(executor, futures, 2);
    weft_future_release(futures[0]);
    weft_future_release(futures[1]);
    test_gate_open(cells[1]->gate); /* the one worker is through with the first, any and all */
    assert_done_soon(first);
    flush(executor);
    assert_int_equal(test_get(hook.errors), 0);
    weft_future_release(first);
    test_destroy(executor);
    assert_int_equal(test_get(hook.errors), 1);
    assert_int_equal(test_get(hook.last_error), 5);
    assert_string_equal(test_get(hook.last_name), "first");
}

static void test_drp_02_the_duty_passes_to_the_any_for_all(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor();
    inputs in = inputs_make(executor, 3);
    weft_future *first = any(executor, in.future, 3);
    weft_promise_reject(in.promise[0], 5);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    weft_future_release(first); /* it has succeeded */
    weft_promise_reject(in.promise[2], 6);
    weft_future *read = any(executor, &in.future[2], 1);
    assert_failed_at(read, 6, 0);
    weft_future_release(read);
    weft_future *cancelled = any(executor, in.future, 1);
    weft_future_release(cancelled); /* failed, and nobody has looked */
    inputs_free(&in);
    test_destroy(executor);
    assert_int_equal(test_get(hook.errors), 1);
    assert_int_equal(test_get(hook.last_error), 5);
}

/* ---- waiting in a worker ---- */

typedef struct waiter {
    weft_executor *executor;
    size_t n;
    pthread_t thread;     /* by the job */
    pthread_t ran_on;     /* by the first child */
    _Atomic(unsigned) at; /* children that have started */
} waiter;

static void *child(void *argument)
{
    waiter *w = argument;
    unsigned at = atomic_fetch_add_explicit(&w->at, 1, memory_order_acq_rel);
    if (at == 0) {
        w->ran_on = pthread_self();
    }
    return at == 0 ? w : NULL;
}

static void *wait_for_any(void *argument)
{
    waiter *w = argument;
    weft_future *futures[2];
    w->thread = pthread_self();
    for (size_t i = 0; i < w->n; i++) {
        futures[i] = weft_submit(w->executor, child, w);
    }
    weft_future *first = weft_any(w->executor, futures, w->n);
    TEST_EXPECT(weft_future_wait(first, WEFT_FOREVER) == 0);
    for (size_t i = 0; i < w->n; i++) {
        weft_future_release(futures[i]);
    }
    TEST_EXPECT(weft_await(first, NULL) == 0);
    return NULL;
}

static void test_any_a_worker_runs_only_a_single_input_itself(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 2; n++) {
        weft_executor *executor = test_executor(1);
        waiter w = {.executor = executor, .n = n};
        assert_int_equal(weft_await(weft_submit(executor, wait_for_any, &w), NULL), 0);
        test_destroy(executor);
        /* The first child to run is the one that ended the wait. */
        assert_int_equal(pthread_equal(w.ran_on, w.thread) != 0, n == 1);
    }
}

static int wait_in_callback(weft_future *future, void *pending)
{
    (void)future;
    TEST_EXPECT(weft_future_wait(pending, WEFT_FOREVER) == -EDEADLK);
    return 0;
}

static void test_any_is_not_waited_for_on_the_coordinator(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    weft_future *first = any(executor, in.future, 1);
    assert_int_equal(weft_on_done(in.future[1], wait_in_callback, first, NULL), 0);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    flush(executor);
    assert_int_equal(weft_cancel(first), WEFT_CANCEL_DONE);
    weft_future_release(first);
    inputs_free(&in);
    test_destroy(executor);
}

/* ---- shutdown ---- */

static void test_any_shutdown_cancels_what_only_promises_could_end(void **state)
{
    (void)state;
    for (int mode = WEFT_DRAIN; mode <= WEFT_CANCEL_ALL; mode++) {
        weft_executor *executor = test_executor(0);
        inputs in = inputs_make(executor, 2);
        weft_future *first = any(executor, in.future, 2);
        assert_int_equal(weft_executor_shutdown(executor, (weft_shutdown_mode)mode, test_patience()), 0);
        assert_cancelled(first, WEFT_REASON_SHUTDOWN);
        assert_cancelled(in.future[0], WEFT_REASON_SHUTDOWN);
        errno = 0;
        assert_null(weft_any(executor, in.future, 2));
        assert_int_equal(errno, ESHUTDOWN);
        weft_future_release(first);
        inputs_free(&in);
        test_destroy(executor);
    }
}

/* Over a running job and a queued one. */
static void shutdown_over_jobs(weft_shutdown_mode mode)
{
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *running = cell_make(gate, 4), *queued = cell_make(NULL, 0);
    weft_future *futures[] = {submit(executor, running), submit(executor, queued)};
    assert_true(test_gate_await(gate, 1));
    weft_future *first = any(executor, futures, 2);
    assert_int_equal(weft_executor_shutdown(executor, mode, 0), -ETIMEDOUT);
    test_gate_open(gate);
    assert_int_equal(weft_executor_shutdown(executor, mode, test_patience()), 0);
    if (mode == WEFT_DRAIN) {
        assert_won(first, queued, 1);
    } else {
        assert_cancelled(first, WEFT_REASON_SHUTDOWN);
    }
    weft_future_release(first);
    weft_future_release(futures[0]);
    weft_future_release(futures[1]);
    test_destroy(executor);
}

static void test_any_shutdown_drains_or_cancels_its_jobs(void **state)
{
    (void)state;
    shutdown_over_jobs(WEFT_DRAIN);
    shutdown_over_jobs(WEFT_CANCEL_PENDING);
    shutdown_over_jobs(WEFT_CANCEL_ALL);
}

static void test_any_inputs_of_two_executors(void **state)
{
    (void)state;
    weft_executor *mine = test_executor(1), *other = test_executor(1);
    inputs in = inputs_make(mine, 1), far = inputs_make(other, 1);
    weft_future *futures[] = {in.future[0], far.future[0]};
    weft_future *first = any(mine, futures, 2), *second = any(mine, futures, 2);
    assert_int_equal(weft_cancel(second), WEFT_CANCEL_DONE);
    assert_done_soon(in.future[0]);
    assert_done_soon(far.future[0]);
    assert_cancelled(far.future[0], WEFT_REASON_PARENT);
    assert_done_soon(first);
    assert_int_equal(weft_future_state(first), WEFT_FAILED);
    weft_future_release(first);
    weft_future_release(second);
    inputs_free(&in);
    inputs_free(&far);
    test_destroy(mine);
    test_destroy(other);
}

/* ---- many at once ---- */

/* Each is decided by the one before: in a loop, not by recursion. */
static void test_any_a_long_chain_is_won(void **state)
{
    (void)state;
    enum { LINKS = 100000 };
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    weft_future *last = weft_future_retain(in.future[0]);
    for (int i = 0; i < LINKS / (TEST_TSAN ? 10 : 1); i++) {
        weft_future *futures[] = {last, in.future[1]};
        weft_future *next = any(executor, futures, 2);
        weft_future_release(last);
        last = next;
    }
    weft_promise_resolve(in.promise[0], &in, NULL);
    assert_done_soon(last);
    assert_won(last, &in, 0);
    weft_future_release(last);
    inputs_free(&in);
    test_destroy(executor);
}

typedef struct race {
    weft_promise *promise;
    test_barrier *barrier;
    int code; /* 0: resolve with the promise as value */
    weft_future *cancel;
    weft_cancel_effect effect;
    int answer; /* of the promise */
} race;

static void *racer(void *argument)
{
    race *r = argument;
    test_barrier_meet(r->barrier);
    if (r->cancel) {
        r->effect = weft_cancel(r->cancel);
    } else if (r->code) {
        r->answer = weft_promise_reject(r->promise, r->code);
    } else {
        r->answer = weft_promise_resolve(r->promise, r->promise, NULL);
    }
    return NULL;
}

/* Two racers for the inputs of one any; what it became. */
static weft_outcome race_once(weft_executor *executor, race racers[2])
{
    inputs in = inputs_make(executor, 2);
    weft_future *first = any(executor, in.future, 2);
    weft_outcome outcome = {.state = WEFT_PENDING};
    test_barrier *barrier = test_barrier_make(2);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        racers[i].promise = in.promise[i];
        racers[i].barrier = barrier;
        racers[i].cancel = racers[i].cancel ? first : NULL;
        threads[i] = test_spawn(racer, &racers[i]);
    }
    for (int i = 0; i < 2; i++) {
        test_join(threads[i]);
    }
    assert_done_soon(first);
    assert_int_equal(weft_future_outcome(first, &outcome), 0);
    if (outcome.state == WEFT_SUCCEEDED) {
        assert_int_equal(racers[outcome.index].answer, 0);
        assert_ptr_equal(outcome.value, in.promise[outcome.index]);
        assert_slot(&slots(first, 2)[outcome.index], WEFT_SUCCEEDED, 0, outcome.value);
    }
    weft_future_release(first);
    inputs_free(&in);
    return outcome;
}

static void test_any_race_of_two_winners(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (unsigned i = 0; i < test_rounds(300); i++) {
        race racers[2] = {{.code = 0}, {.code = 0}};
        assert_int_equal(race_once(executor, racers).state, WEFT_SUCCEEDED);
    }
    test_destroy(executor);
}

static void test_any_race_of_the_winner_with_the_last_failure(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (unsigned i = 0; i < test_rounds(300); i++) {
        race racers[2] = {{.code = 0}, {.code = 5}};
        weft_outcome outcome = race_once(executor, racers);
        assert_int_equal(outcome.state, WEFT_SUCCEEDED);
        assert_int_equal(outcome.index, 0);
        race failures[2] = {{.code = 6}, {.code = 5}};
        outcome = race_once(executor, failures);
        assert_int_equal(outcome.state, WEFT_FAILED);
        assert_int_equal(outcome.error, outcome.index == 0 ? 6 : 5);
    }
    test_destroy(executor);
}

static void test_any_race_of_the_winner_with_a_cancel(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *yes = test_done_future(executor);
    for (unsigned i = 0; i < test_rounds(300); i++) {
        race racers[2] = {{.code = 0}, {.cancel = yes}};
        weft_outcome outcome = race_once(executor, racers);
        bool won = outcome.state == WEFT_SUCCEEDED;
        assert_int_equal(racers[1].effect, won ? WEFT_CANCEL_TOO_LATE : WEFT_CANCEL_DONE);
        assert_int_equal(outcome.state, won ? WEFT_SUCCEEDED : WEFT_CANCELLED);
        assert_true(racers[0].answer == 0 || (!won && racers[0].answer == -EALREADY));
    }
    weft_future_release(yes);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_any_dropped_detaches_and_cancels_nothing),
        TEST(test_drp_01_an_any_that_failed_unread),
        TEST(test_drp_02_the_duty_passes_to_the_any_for_all),
        TEST(test_any_a_worker_runs_only_a_single_input_itself),
        TEST(test_any_is_not_waited_for_on_the_coordinator),
        TEST(test_any_shutdown_cancels_what_only_promises_could_end),
        TEST(test_any_shutdown_drains_or_cancels_its_jobs),
        TEST(test_any_inputs_of_two_executors),
        TEST(test_any_a_long_chain_is_won),
        TEST(test_any_race_of_two_winners),
        TEST(test_any_race_of_the_winner_with_the_last_failure),
        TEST(test_any_race_of_the_winner_with_a_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
