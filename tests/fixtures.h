/* fixtures.h: what the tests of waiting, combining and cancelling share beyond support.h.
 *
 * Discipline. As in support.h: everything here that asserts is for the test's own thread; the job functions use
 * TEST_EXPECT. Cells come from a ring that lives as long as the program, because the jobs of a failed test may still be
 * running, and comes round late: the last reference to a future may be the coordinator's, and its value's destructor
 * then runs when the test has long gone on. The functions are inline so that a program may leave some of them unused. */
#ifndef WEFT_TESTS_FIXTURES_H
#define WEFT_TESTS_FIXTURES_H

#include "support.h"

#define MS ((int64_t)1000000)

/* The timer tick that the documentation states: a deadline is met at most this much after it (manual clock). */
#define TICK ((int64_t)1)

/* Cells and the jobs on them. */

enum { CELLS = 1 << 16 };
static test_cell cell_ring[CELLS];
static size_t cells_used;

/* A job that passes the gate, if any, and then succeeds with its cell as value, or ends with `code`. */
static inline test_cell *cell_make(test_gate *gate, int code)
{
    test_cell *cell = &cell_ring[cells_used++ % CELLS];
    memset(cell, 0, sizeof *cell);
    cell->value = cell;
    cell->gate = gate;
    cell->code = code;
    return cell;
}

static inline weft_future *submit_named(weft_executor *executor, test_cell *cell, const char *name)
{
    weft_submit_options options = {.name = name, .free_arg = test_cell_free_arg, .free_value = test_cell_free_value};
    weft_future *future = weft_submit_with(executor, test_cell_run, cell, &options);
    assert_non_null(future);
    return future;
}

static inline weft_future *submit(weft_executor *executor, test_cell *cell)
{
    return submit_named(executor, cell, NULL);
}

/* A job that says when it sees the request to stop, and ends as its cell says only when the cell's gate opens. */
typedef struct stubborn {
    test_latch *started; /* by the test before submit; hit by the job */
    test_latch *asked;   /* the same */
    test_cell *cell;     /* by the test before submit */
} stubborn;

static inline void *stubborn_job(void *argument)
{
    stubborn *job = argument;
    int64_t deadline = weft_now() + test_patience();
    test_latch_hit(job->started);
    while (!weft_cancelled() && weft_now() < deadline) {
        test_pause(20000);
    }
    TEST_EXPECT(weft_cancelled());
    test_latch_hit(job->asked);
    return test_cell_run(job->cell);
}

/* Returns when the job has started. `job` must outlive it: make it static. */
static inline weft_future *submit_stubborn(weft_executor *executor, stubborn *job, int code)
{
    *job = (stubborn){test_latch_make(), test_latch_make(), cell_make(test_gate_make(), code)};
    weft_future *future = weft_submit(executor, stubborn_job, job);
    assert_non_null(future);
    assert_true(test_latch_wait(job->started, 1));
    return future;
}

/* The coordinator. */

static inline int hit(weft_future *future, void *latch)
{
    (void)future;
    test_latch_hit(latch);
    return 0;
}

/* Everything that was posted to the coordinator before has been acted on when this returns. */
static inline void flush(weft_executor *executor)
{
    test_latch *latch = test_latch_make();
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    assert_int_equal(weft_on_done(future, hit, latch, NULL), 0);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    assert_true(test_latch_wait(latch, 1));
    weft_future_release(future);
    weft_promise_destroy(promise);
}

/* Still not DONE after the coordinator has seen all that happened before. */
static inline void assert_pending(weft_executor *executor, weft_future *future)
{
    weft_outcome outcome;
    flush(executor);
    assert_false(weft_future_done(future));
    assert_int_equal(weft_future_outcome(future, &outcome), -EINPROGRESS);
}

static inline bool timers_above_base_are(void *wanted)
{
    return test_counters().timers == test_base().timers + *(const size_t *)wanted;
}

static inline void assert_timers_soon(size_t wanted)
{
    assert_true(test_until(timers_above_base_are, &wanted));
}

/* N promises and their futures. */
enum { MOST = 4 };
typedef struct inputs {
    size_t n;
    weft_promise *promise[MOST];
    weft_future *future[MOST];
} inputs;

static inline inputs inputs_make(weft_executor *executor, size_t n)
{
    inputs in = {.n = n};
    for (size_t i = 0; i < n; i++) {
        in.promise[i] = weft_promise_create(executor);
        in.future[i] = weft_promise_future(in.promise[i]);
        assert_non_null(in.future[i]);
    }
    return in;
}

static inline void inputs_free(inputs *in)
{
    for (size_t i = 0; i < in->n; i++) {
        weft_future_release(in->future[i]);
        weft_promise_destroy(in->promise[i]);
    }
}

/* Gathers. */

static inline weft_future *gather(weft_executor *executor, weft_future *const futures[], size_t n,
                                  weft_gather_mode mode)
{
    weft_future *future = weft_gather(executor, futures, n, mode);
    assert_non_null(future);
    return future;
}

static inline const weft_outcome *slots(weft_future *future, size_t n)
{
    size_t found = n + 1;
    const weft_outcome *outcomes = weft_gather_outcomes(future, &found);
    assert_non_null(outcomes);
    assert_int_equal(found, n);
    return outcomes;
}

#define assert_slot(slot, state, error, value) assert_slot_at((slot), (state), (error), (value), __FILE__, __LINE__)
static inline void assert_slot_at(const weft_outcome *slot, weft_state state, int error, const void *value,
                                  const char *file, int line)
{
    _assert_int_equal(slot->state, state, file, line);
    _assert_int_equal((LargestIntegralType)slot->error, (LargestIntegralType)error, file, line);
    _assert_int_equal((uintptr_t)slot->value, (uintptr_t)value, file, line);
}

#define assert_failed_at(future, code, index) assert_failed_at_((future), (code), (index), __FILE__, __LINE__)
static inline void assert_failed_at_(weft_future *future, int code, size_t index, const char *file, int line)
{
    weft_outcome outcome = {.state = WEFT_PENDING};
    void *value = NULL;
    _assert_int_equal((LargestIntegralType)weft_future_outcome(future, &outcome), 0, file, line);
    assert_slot_at(&outcome, WEFT_FAILED, code, NULL, file, line);
    _assert_int_equal(outcome.index, index, file, line);
    _assert_int_equal((LargestIntegralType)weft_future_get(future, &value), (LargestIntegralType)code, file, line);
}

#endif
