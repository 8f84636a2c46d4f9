/* pair.h: an outer promise, an inner one, and the flatten of the outer one, for the tests of weft_flatten.
 *
 * Discipline. An outer promise owns its value, the inner future, as the header advises: weft_future_release is its
 * destructor; so each test also shows that no reference stays. Everything here is for the test's own thread, but for
 * pair_release and hand_out. */
#ifndef WEFT_TESTS_PAIR_H
#define WEFT_TESTS_PAIR_H

#include "follower.h"

static inline void pair_release(void *future)
{
    weft_future_release(future);
}

/* An outer promise (0) and an inner one (1), and the flatten. */
typedef struct pair {
    weft_executor *executor;
    inputs in;
    weft_future *flat;
} pair;

static inline pair pair_make(void)
{
    pair p = {.executor = test_executor(0)};
    p.in = inputs_make(p.executor, 2);
    assert_non_null(p.flat = weft_flatten(p.in.future[0]));
    return p;
}

static inline void hand_out(weft_promise *promise, weft_future *inner)
{
    assert_int_equal(weft_promise_resolve(promise, weft_future_retain(inner), pair_release), 0);
}

static inline void pair_end(pair *p)
{
    weft_future_release(p->flat);
    inputs_free(&p->in);
    test_destroy(p->executor);
}

#endif
