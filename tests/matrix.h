/* matrix.h: what test_matrix.c and test_matrix_fork.c share: functions that do nothing much, and one future of each
 * kind that is made of others. */
#ifndef WEFT_TESTS_MATRIX_H
#define WEFT_TESTS_MATRIX_H

#include "child.h"

typedef enum { OUTSIDE, JOB, CALLBACK, HOOK } place;

static inline void *succeed(void *arg)
{
    return arg ? arg : &home;
}

static inline void *follow(void *value, void *data)
{
    (void)data;
    return value;
}

static inline void *follow_any(const weft_outcome *outcome, void *data)
{
    (void)outcome;
    return data;
}

static inline int nothing(weft_future *future, void *data)
{
    (void)future;
    (void)data;
    return 0;
}

static inline void no_hook(void *data)
{
    (void)data;
}

enum { DERIVED = 13 };

/* One of each kind that is made of others; NULL where it was refused. */
static inline void derive(weft_executor *e, weft_future *input, weft_future *made[DERIVED])
{
    void *items[] = {&home};
    const weft_submit_options options = {.delay = 1};
    weft_future **next = made;
    *next++ = weft_gather(e, &input, 1, WEFT_SETTLED);
    *next++ = weft_any(e, &input, 1);
    *next++ = weft_wait_for(input, WEFT_SECONDS(3600), 0);
    *next++ = weft_wait_for(input, WEFT_FOREVER, WEFT_JOIN);
    *next++ = weft_shield(input);
    *next++ = weft_sleep(e, 1, NULL);
    *next++ = weft_then(input, follow, NULL);
    *next++ = weft_then_any(input, follow_any, NULL);
    *next++ = weft_then_with(input, follow, NULL, &options);
    *next++ = weft_then_any_with(input, follow_any, NULL, &options);
    *next++ = weft_flatten(input);
    *next++ = weft_map(e, succeed, items, 1, 0, WEFT_FIRST_ERROR);
    *next++ = weft_map_with(e, succeed, items, 1, 1, WEFT_STRICT, NULL);
}

#endif
