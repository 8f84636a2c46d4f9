/* test_future.c: the states of a future and who may read them, decide them and wait for them (FUT).
 *
 * Workers are held by gates, so each state is looked at while it cannot change. Where two parties race for one outcome
 * the round is repeated and the oracle is that exactly one of them won and that everybody saw that one. */
#include "support.h"

#include <limits.h>

/* FUT-01 */

struct inquiry {
    _Atomic(weft_future *) self;
    test_gate *gate;
    weft_state state;
    bool done, cancelled, asked;
};

static void *ask_about_oneself(void *arg)
{
    struct inquiry *inquiry = arg;
    test_gate_pass(inquiry->gate);
    weft_future *self = atomic_load_explicit(&inquiry->self, memory_order_acquire);
    inquiry->state = weft_future_state(self);
    inquiry->done = weft_future_done(self);
    inquiry->cancelled = weft_future_cancelled(self);
    inquiry->asked = true;
    return NULL;
}

static void test_fut_01_states_follow_the_gate(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct inquiry inquiry = {.gate = test_gate_make()};
    test_gate *blocker = test_block(executor, 1);
    weft_future *job = weft_submit(executor, ask_about_oneself, &inquiry);
    assert_non_null(job);
    atomic_store_explicit(&inquiry.self, job, memory_order_release);
    assert_int_equal(weft_future_state(job), WEFT_PENDING);
    assert_false(weft_future_done(job));
    assert_false(weft_future_cancelled(job));
    test_unblock(blocker);
    test_gate_await(inquiry.gate, 1);
    assert_int_equal(weft_future_state(job), WEFT_RUNNING);
    assert_false(weft_future_done(job));
    assert_false(weft_future_cancelled(job));
    test_gate_open(inquiry.gate);
    assert_done_soon(job);
    assert_true(inquiry.asked);
    assert_int_equal(inquiry.state, WEFT_RUNNING);
    assert_false(inquiry.done);
    assert_false(inquiry.cancelled);
    assert_int_equal(weft_future_state(job), WEFT_SUCCEEDED);
    assert_true(weft_future_done(job));
    assert_false(weft_future_cancelled(job));
    weft_future_release(job);
    test_destroy(executor);
}

static void check_final(weft_future *future, weft_state state, int error)
{
    assert_non_null(future);
    assert_done_soon(future);
    test_assert_outcome_any_reason(future, state, error, __FILE__, __LINE__);
    assert_true(weft_future_done(future));
    assert_int_equal(weft_future_cancelled(future), state == WEFT_CANCELLED);
    void *value = &value;
    assert_int_equal(weft_future_get(future, &value), error);
    assert_int_equal(weft_future_wait(future, 0), 0);
    assert_int_equal(weft_await(future, NULL), error);
}

static void test_fut_01_each_final_state_answers_alike(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    check_final(weft_submit(executor, test_job_return_arg, executor), WEFT_SUCCEEDED, 0);
    check_final(weft_submit(executor, test_job_fail_7, NULL), WEFT_FAILED, 7);
    check_final(weft_submit(executor, test_job_cancel_self, NULL), WEFT_CANCELLED, -ECANCELED);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *never = weft_promise_future(promise);
    check_final(weft_wait_for(never, 0, WEFT_NO_CANCEL), WEFT_TIMED_OUT, -ETIMEDOUT);
    assert_int_equal(weft_future_state(never), WEFT_PENDING);
    weft_future_release(never);
    weft_promise_destroy(promise);
    test_destroy(executor);
}

static void test_fut_01_promises_and_sleeps_are_pending_until_done(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    weft_future *sleep = weft_sleep(executor, WEFT_SECONDS(1), executor);
    assert_int_equal(weft_future_state(future), WEFT_PENDING);
    assert_int_equal(weft_future_state(sleep), WEFT_PENDING);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    assert_int_equal(weft_future_state(future), WEFT_SUCCEEDED);
    weft_manual_clock_advance(clock, WEFT_SECONDS(2));
    assert_int_equal(weft_future_state(sleep), WEFT_SUCCEEDED);
    assert_ok(sleep, executor);
    weft_promise_destroy(promise);
    weft_future_release(future);
    weft_future_release(sleep);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_fut_01_retain_gives_the_same_future(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *future = weft_submit(executor, test_job_return_arg, executor);
    assert_ptr_equal(weft_future_retain(future), future);
    weft_future_release(future);
    assert_done_soon(future);
    assert_ok(future, executor);
    weft_future_release(future);
    assert_null(weft_future_retain(NULL));
    weft_future_release(NULL);
    test_destroy(executor);
}

/* FUT-02 */

static void check_in_progress(weft_future *future)
{
    weft_outcome outcome, untouched;
    memset(&outcome, 0xA5, sizeof outcome);
    memset(&untouched, 0xA5, sizeof untouched);
    assert_non_null(future);
    assert_int_equal(weft_future_outcome(future, &outcome), -EINPROGRESS);
    assert_memory_equal(&outcome, &untouched, sizeof outcome);
}

static void test_fut_02_outcome_of_unfinished_is_einprogress(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    weft_future *running = weft_submit(executor, test_gate_job, gate);
    test_gate_await(gate, 1);
    weft_future *queued = weft_submit(executor, test_job_return_arg, NULL);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *promised = weft_promise_future(promise);
    weft_future *both[] = {queued, promised};
    weft_future *gather = weft_gather(executor, both, 2, WEFT_SETTLED);
    weft_future *bounded = weft_wait_for(running, WEFT_FOREVER, 0);
    weft_future *shield = weft_shield(running);
    weft_future *sleep = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
    weft_future *all[] = {running, queued, promised, gather, bounded, shield, sleep};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        check_in_progress(all[i]);
    }
    assert_int_equal(weft_cancel(sleep), WEFT_CANCEL_DONE);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    test_gate_open(gate);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_done_soon(all[i]);
        weft_future_release(all[i]);
    }
    weft_promise_destroy(promise);
    test_destroy(executor);
}

/* FUT-03 */

static void test_fut_03_resolve_again_is_ealready(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell first = {.code = 0}, second = {.code = 0};
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    assert_int_equal(weft_promise_resolve(promise, &first, test_cell_free_value), 0);
    assert_int_equal(weft_promise_resolve(promise, &second, test_cell_free_value), -EALREADY);
    assert_int_equal(weft_promise_reject(promise, 5), -EALREADY);
    assert_int_equal(weft_promise_reject(promise, -ECANCELED), -EALREADY);
    assert_ok(future, &first);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_TOO_LATE);
    weft_promise_destroy(promise);
    assert_ok(future, &first);
    assert_int_equal(test_get(first.value_freed), 0);
    weft_future_release(future);
    assert_int_equal(test_get(first.value_freed), 1);
    test_destroy(executor);
    assert_int_equal(test_get(second.value_freed), 0);
}

static void test_fut_03_resolve_after_reject_or_cancel_is_ealready(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell late = {.code = 0};
    weft_promise *rejected = weft_promise_create(executor);
    weft_promise *cancelled = weft_promise_create(executor);
    weft_future *one = weft_promise_future(rejected);
    weft_future *two = weft_promise_future(cancelled);
    assert_int_equal(weft_promise_reject(rejected, 5), 0);
    assert_int_equal(weft_cancel(two), WEFT_CANCEL_DONE);
    assert_int_equal(weft_promise_resolve(rejected, &late, test_cell_free_value), -EALREADY);
    assert_int_equal(weft_promise_reject(rejected, 6), -EALREADY);
    assert_int_equal(weft_promise_resolve(cancelled, &late, test_cell_free_value), -EALREADY);
    assert_int_equal(weft_promise_reject(cancelled, 6), -EALREADY);
    assert_err(one, 5);
    assert_cancelled(two, WEFT_REASON_USER);
    weft_promise_destroy(rejected);
    weft_promise_destroy(cancelled);
    weft_future_release(one);
    weft_future_release(two);
    test_destroy(executor);
    assert_int_equal(test_get(late.value_freed), 0);
}

static void test_fut_03_reject_takes_positive_codes_and_ecanceled(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    const int refused[] = {0, -1, -ETIMEDOUT, -EINVAL, INT_MIN};
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(weft_promise_reject(promise, refused[i]), -EINVAL);
        assert_int_equal(weft_future_state(future), WEFT_PENDING);
    }
    assert_int_equal(weft_promise_reject(promise, INT_MAX), 0);
    assert_err(future, INT_MAX);
    weft_promise_destroy(promise);
    weft_future_release(future);
    promise = weft_promise_create(executor);
    future = weft_promise_future(promise);
    assert_int_equal(weft_promise_reject(promise, -ECANCELED), 0);
    assert_cancelled(future, WEFT_REASON_SELF);
    weft_promise_destroy(promise);
    weft_future_release(future);
    test_destroy(executor);
}

static void test_fut_03_a_destroyed_promise_fails_its_future(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    weft_future *again = weft_promise_future(promise);
    assert_ptr_equal(future, again);
    weft_promise_destroy(promise);
    assert_err(future, -EOWNERDEAD);
    assert_int_equal(weft_await(future, NULL), -EOWNERDEAD);
    weft_future_release(again);
    weft_promise_destroy(weft_promise_create(executor));
    test_destroy(executor);
}

/* Four parties decide one promise at once: resolve, reject, cancel, resolve with another value. */
struct decision {
    test_barrier *start;
    weft_promise *promise;
    weft_future *future;
    test_cell values[2];
    int answers[4];
    unsigned rounds;
};

struct party {
    struct decision *decision;
    int role;
};

static int act(struct decision *decision, int role)
{
    switch (role) {
    case 0:
    case 1:
        return weft_promise_resolve(decision->promise, &decision->values[role], test_cell_free_value);
    case 2:
        return weft_promise_reject(decision->promise, 9);
    default:
        return weft_cancel(decision->future) == WEFT_CANCEL_DONE ? 0 : -EALREADY;
    }
}

static void *take_part(void *arg)
{
    struct party *party = arg;
    for (unsigned i = 0; i < party->decision->rounds; i++) {
        test_barrier_meet(party->decision->start);
        party->decision->answers[party->role] = act(party->decision, party->role);
        test_barrier_meet(party->decision->start);
    }
    return NULL;
}

static void check_decision(struct decision *decision)
{
    int winner = -1;
    for (int i = 0; i < 4; i++) {
        if (decision->answers[i] == 0) {
            assert_int_equal(winner, -1);
            winner = i;
        } else {
            assert_int_equal(decision->answers[i], -EALREADY);
        }
    }
    if (winner == 2) {
        assert_err(decision->future, 9);
    } else if (winner == 3) {
        assert_cancelled(decision->future, WEFT_REASON_USER);
    } else {
        assert_in_range(winner, 0, 1);
        assert_ok(decision->future, &decision->values[winner]);
    }
    weft_promise_destroy(decision->promise);
    weft_future_release(decision->future);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(test_get(decision->values[i].value_freed), i == winner ? 1 : 0);
        atomic_store_explicit(&decision->values[i].value_freed, 0, memory_order_relaxed);
    }
}

static void test_fut_03_race_has_exactly_one_winner(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct decision decision = {.start = test_barrier_make(5), .rounds = test_rounds(1000)};
    struct party parties[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        parties[i] = (struct party){&decision, i};
        threads[i] = test_spawn(take_part, &parties[i]);
    }
    for (unsigned i = 0; i < decision.rounds; i++) {
        decision.promise = weft_promise_create(executor);
        decision.future = weft_promise_future(decision.promise);
        test_barrier_meet(decision.start);
        test_barrier_meet(decision.start);
        check_decision(&decision);
    }
    for (int i = 0; i < 4; i++) {
        test_join(threads[i]);
    }
    test_destroy(executor);
}

/* FUT-06 */

enum { WAITERS = 8 };

struct waiter {
    weft_future *future;
    int64_t timeout;
    test_latch *at_work;
    int answer;
    int64_t took;
    weft_outcome outcome;
    bool read;
};

static void *wait_once(void *arg)
{
    struct waiter *waiter = arg;
    test_latch_hit(waiter->at_work);
    int64_t begun = weft_now();
    waiter->answer = weft_future_wait(waiter->future, waiter->timeout);
    waiter->took = weft_now() - begun;
    waiter->read = weft_future_outcome(waiter->future, &waiter->outcome) == 0;
    return NULL;
}

static const int64_t timeouts[WAITERS] = {
    0, -1, INT64_MIN, WEFT_MILLISECONDS(5), WEFT_MILLISECONDS(20), 1000000, WEFT_FOREVER, WEFT_FOREVER};

static void start_waiters(struct waiter *waiters, pthread_t *threads, weft_future *future)
{
    test_latch *at_work = test_latch_make();
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.future = future, .timeout = timeouts[i], .at_work = at_work};
        threads[i] = test_spawn(wait_once, &waiters[i]);
    }
    test_latch_wait(at_work, WAITERS);
}

/* Those with a time limit have given up, never early, and the future has not changed. */
static void check_timed_waiters(struct waiter *waiters, pthread_t *threads, weft_future *future, weft_state state)
{
    for (int i = 0; i < WAITERS - 2; i++) {
        int64_t limit = waiters[i].timeout > 0 ? waiters[i].timeout : 0;
        test_join(threads[i]);
        assert_int_equal(waiters[i].answer, -ETIMEDOUT);
        assert_false(waiters[i].read);
        assert_true(waiters[i].took >= limit);
        assert_true(waiters[i].took <= limit + test_late());
    }
    assert_int_equal(weft_future_state(future), state);
    assert_false(weft_future_cancelled(future));
}

static void check_patient_waiters(struct waiter *waiters, pthread_t *threads, const void *value)
{
    for (int i = WAITERS - 2; i < WAITERS; i++) {
        test_join(threads[i]);
        assert_int_equal(waiters[i].answer, 0);
        assert_true(waiters[i].read);
        assert_int_equal(waiters[i].outcome.state, WEFT_SUCCEEDED);
        assert_ptr_equal(waiters[i].outcome.value, value);
    }
}

static void test_fut_06_eight_threads_wait_on_a_pending_and_a_running_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct waiter on_pending[WAITERS], on_running[WAITERS];
    pthread_t pending_threads[WAITERS], running_threads[WAITERS];
    test_cell cell = {.value = &cell, .gate = test_gate_make()};
    test_gate *blocker = test_block(executor, 1);
    weft_future *job = weft_submit(executor, test_cell_run, &cell);
    start_waiters(on_pending, pending_threads, job);
    check_timed_waiters(on_pending, pending_threads, job, WEFT_PENDING);
    test_unblock(blocker);
    test_gate_await(cell.gate, 1);
    start_waiters(on_running, running_threads, job);
    check_timed_waiters(on_running, running_threads, job, WEFT_RUNNING);
    test_gate_open(cell.gate);
    check_patient_waiters(on_pending, pending_threads, &cell);
    check_patient_waiters(on_running, running_threads, &cell);
    assert_false(test_get(cell.saw_cancel));
    assert_ok(job, &cell);
    weft_future_release(job);
    test_destroy(executor);
}

static void test_fut_06_waits_on_a_done_future_end_at_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct waiter waiters[WAITERS];
    pthread_t threads[WAITERS];
    weft_future *job = weft_submit(executor, test_job_return_arg, waiters);
    assert_done_soon(job);
    start_waiters(waiters, threads, job);
    for (int i = 0; i < WAITERS; i++) {
        test_join(threads[i]);
        assert_int_equal(waiters[i].answer, 0);
        assert_ptr_equal(waiters[i].outcome.value, waiters);
    }
    weft_future_release(job);
    test_destroy(executor);
}

/* Waiters arrive while the future is being settled; each holds a reference of its own and lets it go at once, so that
 * whoever wakes them must not touch the future after it is DONE. */
struct crowd {
    test_barrier *start;
    weft_future *future;
    unsigned rounds;
    bool timed;
    _Atomic(unsigned) woken;
};

static void *wait_in_a_crowd(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 0; i < crowd->rounds; i++) {
        test_barrier_meet(crowd->start);
        weft_future *future = crowd->future;
        int answer = -ETIMEDOUT;
        while (answer == -ETIMEDOUT) {
            answer = weft_future_wait(future, crowd->timed ? 20000 : WEFT_FOREVER);
        }
        weft_outcome outcome = {.state = WEFT_PENDING};
        TEST_EXPECT(answer == 0);
        TEST_EXPECT(weft_future_outcome(future, &outcome) == 0 && outcome.state == WEFT_SUCCEEDED);
        TEST_EXPECT(outcome.value == crowd);
        weft_future_release(future);
        atomic_fetch_add_explicit(&crowd->woken, 1, memory_order_relaxed);
        test_barrier_meet(crowd->start);
    }
    return NULL;
}

static void run_crowd(bool timed, bool promised)
{
    weft_executor *executor = test_executor(2);
    struct crowd crowd = {.start = test_barrier_make(WAITERS + 1), .rounds = test_rounds(200), .timed = timed};
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        threads[i] = test_spawn(wait_in_a_crowd, &crowd);
    }
    for (unsigned i = 0; i < crowd.rounds; i++) {
        test_gate *gate = test_gate_make();
        weft_promise *promise = promised ? weft_promise_create(executor) : NULL;
        test_cell cell = {.value = &crowd, .gate = gate};
        crowd.future = promised ? weft_promise_future(promise) : weft_submit(executor, test_cell_run, &cell);
        for (int j = 1; j < WAITERS; j++) {
            weft_future_retain(crowd.future);
        }
        test_barrier_meet(crowd.start);
        if (promised) {
            assert_int_equal(weft_promise_resolve(promise, &crowd, NULL), 0);
            weft_promise_destroy(promise);
        } else {
            test_gate_open(gate);
        }
        test_barrier_meet(crowd.start);
    }
    for (int i = 0; i < WAITERS; i++) {
        test_join(threads[i]);
    }
    assert_int_equal(test_get(crowd.woken), crowd.rounds * WAITERS);
    test_destroy(executor);
}

static void test_fut_06_race_of_waits_with_a_job_that_ends(void **state)
{
    (void)state;
    run_crowd(false, false);
}

static void test_fut_06_race_of_timed_waits_with_a_job_that_ends(void **state)
{
    (void)state;
    run_crowd(true, false);
}

static void test_fut_06_race_of_waits_with_resolve(void **state)
{
    (void)state;
    run_crowd(false, true);
}

int main(void)
{
    const struct CMUnitTest future[] = {
        TEST(test_fut_01_states_follow_the_gate),
        TEST(test_fut_01_each_final_state_answers_alike),
        TEST(test_fut_01_promises_and_sleeps_are_pending_until_done),
        TEST(test_fut_01_retain_gives_the_same_future),
        TEST(test_fut_02_outcome_of_unfinished_is_einprogress),
        TEST(test_fut_03_resolve_again_is_ealready),
        TEST(test_fut_03_resolve_after_reject_or_cancel_is_ealready),
        TEST(test_fut_03_reject_takes_positive_codes_and_ecanceled),
        TEST(test_fut_03_a_destroyed_promise_fails_its_future),
        TEST(test_fut_03_race_has_exactly_one_winner),
        TEST(test_fut_06_eight_threads_wait_on_a_pending_and_a_running_job),
        TEST(test_fut_06_waits_on_a_done_future_end_at_once),
        TEST(test_fut_06_race_of_waits_with_a_job_that_ends),
        TEST(test_fut_06_race_of_timed_waits_with_a_job_that_ends),
        TEST(test_fut_06_race_of_waits_with_resolve),
    };
    return cmocka_run_group_tests(future, NULL, NULL);
}
