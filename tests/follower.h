/* follower.h: a function for weft_then and weft_then_any that notes all that tests look at.
 *
 * Discipline. A test fills in `gate`, `code` and `result`, attaches with then_of or then_any_of, and reads the rest
 * when the result is done. Followers come from a ring that lives as long as the program, like the cells of
 * fixtures.h. */
#ifndef WEFT_TESTS_FOLLOWER_H
#define WEFT_TESTS_FOLLOWER_H

#include "fixtures.h"

typedef struct follower {
    test_gate *gate;               /* passed before it ends; the test, before it attaches */
    int code;                      /* how it ends: 0 with `result`, else as weft_fail(code); the same */
    void *result;                  /* the same */
    void *value;                   /* of the input; written by the function */
    weft_outcome outcome;          /* of the input, for then_any; written by the function */
    weft_executor *executor;       /* weft_executor_current(); written by the function */
    pthread_t thread;              /* that ran it; written by the function */
    _Atomic(int) worker;           /* that ran it; written by the function */
    _Atomic(bool) saw_cancel;      /* weft_cancelled() after the gate; written by the function */
    _Atomic(unsigned) ran;         /* how often the function was entered; any thread */
    _Atomic(unsigned) arg_freed;   /* calls of follower_free; any thread */
    _Atomic(unsigned) value_freed; /* calls of follower_free_value, for a value that is the follower; any thread */
} follower;

enum { FOLLOWERS = 256 };
static follower follower_ring[FOLLOWERS];
static size_t followers_used;

static inline follower *follower_make(test_gate *gate, int code)
{
    follower *f = &follower_ring[followers_used++ % FOLLOWERS];
    memset(f, 0, sizeof *f);
    f->gate = gate;
    f->code = code;
    f->result = f;
    return f;
}

static inline void *follower_end(follower *f)
{
    f->executor = weft_executor_current();
    f->thread = pthread_self();
    atomic_store_explicit(&f->worker, weft_worker_index(), memory_order_release);
    atomic_fetch_add_explicit(&f->ran, 1, memory_order_acq_rel);
    if (f->gate != NULL) {
        test_gate_pass(f->gate);
    }
    atomic_store_explicit(&f->saw_cancel, weft_cancelled(), memory_order_release);
    return f->code != 0 ? weft_fail(f->code) : f->result;
}

static inline void *follower_run(void *value, void *data)
{
    follower *f = data;
    f->value = value;
    return follower_end(f);
}

static inline void *follower_run_any(const weft_outcome *outcome, void *data)
{
    follower *f = data;
    f->outcome = *outcome;
    f->value = outcome->value;
    return follower_end(f);
}

static inline void follower_free(void *data)
{
    follower *f = data;
    atomic_fetch_add_explicit(&f->arg_freed, 1, memory_order_acq_rel);
}

static inline void follower_free_value(void *value)
{
    follower *f = value;
    atomic_fetch_add_explicit(&f->value_freed, 1, memory_order_acq_rel);
}

/* With free_arg, so that every attached follower says when it was let go of. */
static inline weft_future *then_of(weft_future *input, follower *f)
{
    weft_submit_options options = {.free_arg = follower_free};
    weft_future *then = weft_then_with(input, follower_run, f, &options);
    assert_non_null(then);
    return then;
}

static inline weft_future *then_any_of(weft_future *input, follower *f)
{
    weft_submit_options options = {.free_arg = follower_free};
    weft_future *then = weft_then_any_with(input, follower_run_any, f, &options);
    assert_non_null(then);
    return then;
}

#define assert_ran(f)     assert_followed((f), 1, __FILE__, __LINE__)
#define assert_not_run(f) assert_followed((f), 0, __FILE__, __LINE__)
static inline void assert_followed(follower *f, unsigned times, const char *file, int line)
{
    _assert_int_equal(test_get(f->ran), times, file, line);
    _assert_int_equal(test_get(f->arg_freed), 1, file, line);
}

#endif
