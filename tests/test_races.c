/* test_races.c: two threads that act on one future at once, and the table of what may come of it (I1, I5, I11).
 *
 * Discipline. Chance chooses the order, so each race is repeated and the oracle is that the two answers and the outcome
 * agree. The rival thread spins on a hand-over, so that both sides act within a few hundred nanoseconds. The pairs in
 * stress/stress_races.c are these, without cmocka and for as long as one likes. */
#define _GNU_SOURCE
#include "fixtures.h"

#include <sched.h>

/* The answer must agree with what the job did: the table of I5 for a job that ignores requests. */
static void check_effect(weft_cancel_effect effect, weft_future *future, test_cell *cell)
{
    switch (effect) {
    case WEFT_CANCEL_DONE:
        assert_int_equal(test_get(cell->arg_freed), 1);
        assert_cancelled(future, WEFT_REASON_USER);
        assert_int_equal(test_get(cell->ran), 0);
        break;
    case WEFT_CANCEL_TOO_LATE:
        assert_ok(future, cell);
        break;
    default:
        assert_int_equal(effect, WEFT_CANCEL_REQUESTED);
        assert_done_soon(future);
        assert_ok(future, cell);
        assert_int_equal(test_get(cell->ran), 1);
        break;
    }
}

static void test_i5_race_of_cancel_and_start(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned round = 0; round < test_rounds(20000); round++) {
        test_cell *cell = cell_make(NULL, 0);
        weft_future *future = submit(executor, cell);
        for (unsigned spin = 0; spin < round % 64 * 16; spin++) {
            atomic_load_explicit(&cell->ran, memory_order_acquire);
        }
        check_effect(weft_cancel(future), future, cell);
        assert_int_equal(test_get(cell->arg_freed), 1);
        weft_future_release(future);
    }
    test_destroy(executor);
}

/* A second thread that does one thing at a time, released by a spinning hand-over. */
typedef struct rival {
    weft_future *_Atomic future; /* the test hands it over; the rival sets it back to NULL when it is through */
    weft_promise *promise;       /* before the hand-over; NULL: the rival cancels, else it resolves */
    void *value;                 /* before the hand-over: what it resolves with */
    weft_cancel_effect effect;   /* by the rival before it sets future to NULL */
    int result;                  /* the same */
    _Atomic(bool) over;          /* by the test */
    _Atomic(bool) alive;         /* by the rival: so the first round is a race, too */
} rival;

static void *rival_body(void *argument)
{
    rival *self = argument;
    unsigned idle = 0;
    atomic_store_explicit(&self->alive, true, memory_order_release);
    while (!atomic_load_explicit(&self->over, memory_order_acquire)) {
        weft_future *future = atomic_load_explicit(&self->future, memory_order_acquire);
        if (future == NULL) {
            idle = (idle + 1) % 256;
            if (idle == 0) {
                sched_yield();
            }
            continue;
        }
        if (self->promise != NULL) {
            self->result = weft_promise_resolve(self->promise, self->value, test_cell_free_value);
        } else {
            self->effect = weft_cancel(future);
        }
        atomic_store_explicit(&self->future, NULL, memory_order_release);
    }
    return NULL;
}

static pthread_t rival_start(rival *self)
{
    memset(self, 0, sizeof *self);
    pthread_t thread = test_spawn(rival_body, self);
    while (!atomic_load_explicit(&self->alive, memory_order_acquire)) {
        sched_yield();
    }
    return thread;
}

static void rival_wait(rival *self)
{
    while (atomic_load_explicit(&self->future, memory_order_acquire) != NULL) {
        sched_yield();
    }
}

static void rival_stop(rival *self, pthread_t thread)
{
    atomic_store_explicit(&self->over, true, memory_order_release);
    test_join(thread);
}

static void test_i5_race_of_two_cancels(void **state)
{
    static rival other;
    weft_executor *executor = test_executor(1);
    pthread_t thread = rival_start(&other);
    (void)state;
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        test_cell *cell = cell_make(NULL, 0);
        weft_future *future = submit(executor, cell);
        atomic_store_explicit(&other.future, future, memory_order_release);
        weft_cancel_effect mine = weft_cancel(future);
        rival_wait(&other);
        bool mine_first = mine == WEFT_CANCEL_DONE || mine == WEFT_CANCEL_REQUESTED;
        bool rivals_first = other.effect == WEFT_CANCEL_DONE || other.effect == WEFT_CANCEL_REQUESTED;
        assert_false(mine_first && rivals_first);
        weft_cancel_effect first = rivals_first ? other.effect : mine;
        weft_cancel_effect second = rivals_first ? mine : other.effect;
        assert_true(mine_first || rivals_first || (mine == WEFT_CANCEL_TOO_LATE && second == WEFT_CANCEL_TOO_LATE));
        assert_true(second == WEFT_CANCEL_ALREADY || second == WEFT_CANCEL_TOO_LATE);
        assert_done_soon(future);
        check_effect(first, future, cell);
        weft_future_release(future);
    }
    rival_stop(&other, thread);
    test_destroy(executor);
}

static void test_i5_race_of_cancel_and_resolve(void **state)
{
    static rival other;
    weft_executor *executor = test_executor(1);
    pthread_t thread = rival_start(&other);
    (void)state;
    for (unsigned round = 0; round < test_rounds(10000); round++) {
        test_cell *cell = cell_make(NULL, 0);
        weft_future *future = weft_promise_future(other.promise = weft_promise_create(executor));
        other.value = cell;
        atomic_store_explicit(&other.future, future, memory_order_release);
        weft_cancel_effect effect = weft_cancel(future);
        rival_wait(&other);
        if (effect == WEFT_CANCEL_DONE) {
            assert_int_equal(other.result, -EALREADY);
            assert_cancelled(future, WEFT_REASON_USER);
        } else {
            assert_int_equal(effect, WEFT_CANCEL_TOO_LATE);
            assert_int_equal(other.result, 0);
            assert_ok(future, cell);
        }
        weft_promise_destroy(other.promise);
        weft_future_release(future);
        assert_int_equal(test_get(cell->value_freed), effect == WEFT_CANCEL_DONE ? 0 : 1);
    }
    rival_stop(&other, thread);
    test_destroy(executor);
}

/* I5 on a gather: REQUESTED means that it ends CANCELLED, TOO_LATE that its error was there. */
static void test_i5_race_of_cancel_and_first_error(void **state)
{
    static rival other;
    weft_executor *executor = test_executor(1);
    pthread_t thread = rival_start(&other);
    (void)state;
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        inputs in = inputs_make(executor, 2);
        weft_future *all = gather(executor, in.future, 2, WEFT_FIRST_ERROR);
        atomic_store_explicit(&other.future, all, memory_order_release);
        int rejected = weft_promise_reject(in.promise[0], 7);
        rival_wait(&other);
        assert_done_soon(all);
        if (other.effect == WEFT_CANCEL_TOO_LATE) {
            assert_int_equal(rejected, 0);
            assert_failed_at(all, 7, 0);
            assert_int_equal(weft_future_state(in.future[1]), WEFT_PENDING);
        } else {
            assert_int_equal(other.effect, WEFT_CANCEL_REQUESTED);
            assert_cancelled(all, WEFT_REASON_USER);
            assert_cancelled(in.future[1], WEFT_REASON_PARENT);
            assert_int_equal(weft_future_state(in.future[0]), rejected == 0 ? WEFT_FAILED : WEFT_CANCELLED);
        }
        weft_future_release(all);
        inputs_free(&in);
    }
    rival_stop(&other, thread);
    test_destroy(executor);
}

/* I5 and I11 on a wait_for: one of result, deadline and cancel, and the effect agrees. */
static void test_i5_race_of_cancel_deadline_and_result(void **state)
{
    static rival other;
    weft_executor *executor = test_executor(1);
    pthread_t thread = rival_start(&other);
    (void)state;
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        inputs in = inputs_make(executor, 1);
        weft_future *timed = weft_wait_for(in.future[0], (int64_t)(round % 4) * TICK, 0);
        assert_non_null(timed);
        for (unsigned spin = 0; spin < round % 32 * 64; spin++) {
            atomic_load_explicit(&other.alive, memory_order_acquire);
        }
        atomic_store_explicit(&other.future, timed, memory_order_release);
        int resolved = weft_promise_resolve(in.promise[0], &in, NULL);
        rival_wait(&other);
        assert_done_soon(timed);
        weft_state outcome = weft_future_state(timed);
        assert_true(other.effect == WEFT_CANCEL_DONE ? outcome == WEFT_CANCELLED
                                                     : other.effect == WEFT_CANCEL_TOO_LATE &&
                                                           (outcome == WEFT_SUCCEEDED || outcome == WEFT_TIMED_OUT));
        if (outcome == WEFT_SUCCEEDED) {
            assert_int_equal(resolved, 0);
            assert_ok(timed, &in);
        }
        if (resolved == 0) {
            assert_ok(in.future[0], &in);
        } else {
            assert_cancelled(in.future[0], outcome == WEFT_TIMED_OUT ? WEFT_REASON_TIMEOUT : WEFT_REASON_PARENT);
        }
        weft_future_release(timed);
        inputs_free(&in);
    }
    rival_stop(&other, thread);
    test_destroy(executor);
}

/* Inputs end while the gather is being made: each end is counted once. */
static void test_i1_race_of_inputs_and_the_making_of_a_gather(void **state)
{
    enum { INPUTS = 24 };
    (void)state;
    weft_executor *executor = test_executor(2);
    for (unsigned round = 0; round < test_rounds(3000); round++) {
        weft_future *futures[INPUTS];
        for (unsigned i = 0; i < INPUTS; i++) {
            futures[i] = weft_submit(executor, test_job_return_arg, &futures[i]);
        }
        weft_future *all = gather(executor, futures, INPUTS, (weft_gather_mode)(round % 3));
        assert_done_soon(all);
        assert_ok(all, NULL);
        for (unsigned i = 0; i < INPUTS; i++) {
            assert_slot(&slots(all, INPUTS)[i], WEFT_SUCCEEDED, 0, &futures[i]);
            weft_future_release(futures[i]);
        }
        weft_future_release(all);
    }
    test_destroy(executor);
}

/* I11: the inner future is DONE when the coordinator handles the expiry, so its result wins, each time. */
static void test_i11_result_before_the_expiry_is_handled_wins(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    for (unsigned round = 0; round < test_rounds(2000); round++) {
        inputs in = inputs_make(executor, 1);
        weft_future *wrapper = weft_wait_for(in.future[0], 10 * MS, round % 2 == 0 ? 0 : WEFT_JOIN);
        assert_int_equal(weft_promise_resolve(in.promise[0], &in, NULL), 0);
        weft_manual_clock_advance(clock, 20 * MS);
        assert_done_soon(wrapper);
        assert_ok(wrapper, &in);
        weft_future_release(wrapper);
        inputs_free(&in);
    }
    test_destroy(executor);
    weft_clock_destroy(clock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_i5_race_of_cancel_and_start),
        TEST(test_i5_race_of_two_cancels),
        TEST(test_i5_race_of_cancel_and_resolve),
        TEST(test_i5_race_of_cancel_and_first_error),
        TEST(test_i5_race_of_cancel_deadline_and_result),
        TEST(test_i11_result_before_the_expiry_is_handled_wins),
        TEST(test_i1_race_of_inputs_and_the_making_of_a_gather),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
