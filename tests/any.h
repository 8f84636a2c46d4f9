/* any.h: what the tests of weft_any share beyond fixtures.h.
 *
 * Discipline. As in fixtures.h. That an any has left its inputs is seen on their words; the coordinator does it, so a
 * callback is sent through it first. */
#ifndef WEFT_TESTS_ANY_H
#define WEFT_TESTS_ANY_H

#include "fixtures.h"

#include <future.h>

static inline weft_future *any(weft_executor *executor, weft_future *const futures[], size_t n)
{
    weft_future *future = weft_any(executor, futures, n);
    assert_non_null(future);
    return future;
}

/* Won by input `index` with `value`. */
#define assert_won(future, value, index) assert_won_((future), (value), (index), __FILE__, __LINE__)
static inline void assert_won_(weft_future *future, const void *value, size_t index, const char *file, int line)
{
    weft_outcome outcome = {.state = WEFT_PENDING};
    void *got = NULL;
    _assert_int_equal((LargestIntegralType)weft_future_outcome(future, &outcome), 0, file, line);
    assert_slot_at(&outcome, WEFT_SUCCEEDED, 0, value, file, line);
    _assert_int_equal(outcome.index, index, file, line);
    _assert_int_equal(outcome.reason, WEFT_REASON_NONE, file, line);
    _assert_int_equal((LargestIntegralType)weft_future_get(future, &got), 0, file, line);
    _assert_int_equal((uintptr_t)got, (uintptr_t)value, file, line);
}

static inline bool is_left(void *future)
{
    return !(weft__word(future) & WEFT__LISTED);
}

/* Nothing is registered on a future that is not done. Whoever decided an any may not have told the coordinator yet. */
static inline void assert_left(weft_executor *executor, weft_future *future)
{
    flush(executor);
    assert_false(weft_future_done(future));
    assert_true(test_until(is_left, future));
}

#endif
