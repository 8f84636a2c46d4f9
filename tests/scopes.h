/* scopes.h: what the tests of tokens, scopes and groups share beyond fixtures.h.
 *
 * Discipline. As in fixtures.h: what asserts is for the test's own thread, what runs as a job, a hook or a rival uses
 * TEST_EXPECT. A rival is a second thread that does one thing at a time, released by a spinning hand-over, so that both
 * sides of a race act within a few hundred nanoseconds; make it static, since a failed test leaves it running. */
#ifndef WEFT_TESTS_SCOPES_H
#define WEFT_TESTS_SCOPES_H

#include "fixtures.h"

#include <sched.h>

/* An executor under a clock of the test's own. */

typedef struct world {
    weft_clock *clock;
    weft_executor *executor;
} world;

static inline world world_make(unsigned workers)
{
    world here = {.clock = weft_manual_clock_create()};
    assert_non_null(here.clock);
    here.executor = test_executor_clock(workers, here.clock);
    return here;
}

static inline void world_end(world here)
{
    test_destroy(here.executor);
    weft_clock_destroy(here.clock);
}

/* Tokens. */

static inline weft_token *token_make(weft_executor *executor, weft_token *parent, int64_t timeout, unsigned flags)
{
    weft_token *token = weft_token_create(executor, parent, timeout, flags);
    assert_non_null(token);
    return token;
}

static inline bool token_is_set(void *token)
{
    return weft_token_cancelled(token);
}

static inline void assert_set_soon(weft_token *token)
{
    assert_true(test_until(token_is_set, token));
}

static inline bool token_has_expired(void *token)
{
    return weft_token_expired(token);
}

static inline bool tokens_above_base_are(void *wanted)
{
    return test_counters().tokens == test_base().tokens + *(const size_t *)wanted;
}

static inline void assert_tokens_soon(size_t wanted)
{
    assert_true(test_until(tokens_above_base_are, &wanted));
}

/* Everything that was posted to the coordinators of both has been acted on, also what one of them sent to the other. */
static inline void flush_both(weft_executor *one, weft_executor *other)
{
    for (unsigned i = 0; i < 2; i++) {
        flush(one);
        flush(other);
    }
}

/* Jobs under a token. */

static inline weft_future *submit_under(weft_executor *executor, weft_token *token, test_cell *cell)
{
    weft_submit_options options = {.token = token, .free_arg = test_cell_free_arg, .free_value = test_cell_free_value};
    weft_future *future = weft_submit_with(executor, test_cell_run, cell, &options);
    assert_non_null(future);
    return future;
}

/* Returns when the job runs; it ends when it is asked to stop, and says so. */
static inline weft_future *submit_obedient(weft_executor *executor, weft_token *token)
{
    weft_submit_options options = {.token = token};
    test_latch *started = test_latch_make();
    weft_future *future = weft_submit_with(executor, test_job_until_cancelled, started, &options);
    assert_non_null(future);
    assert_true(test_latch_wait(started, 1));
    return future;
}

/* It was never run, and its argument was given back once. */
static inline void assert_discarded(test_cell *cell)
{
    assert_int_equal(test_get(cell->ran), 0);
    assert_int_equal(test_get(cell->arg_freed), 1);
    assert_int_equal(test_get(cell->value_freed), 0);
}

/* It ran to its end once, and argument and value went back once; `values`: how many values there were, 0 or 1. */
static inline void assert_ran(test_cell *cell, unsigned values)
{
    assert_int_equal(test_get(cell->ran), 1);
    assert_int_equal(test_get(cell->returned), 1);
    assert_int_equal(test_get(cell->arg_freed), 1);
    assert_true(test_get(cell->freed_after_return));
    assert_int_equal(test_get(cell->value_freed), values);
}

/* Hooks. */

typedef struct hook {
    test_log *log;           /* set by the test before it registers; notes `number`; or NULL */
    test_gate *gate;         /* set by the test before it registers; the hook stands there; or NULL */
    int number;              /* set by the test before it registers */
    _Atomic(unsigned) calls; /* finished calls; by the hook */
    _Atomic(pthread_t) on;   /* the thread that it ran on; by the hook */
} hook;

static inline void hook_run(void *data)
{
    hook *self = data;
    TEST_EXPECT(weft_worker_index() == -1);
    atomic_store_explicit(&self->on, pthread_self(), memory_order_release);
    if (self->log != NULL) {
        test_note(self->log, self->number);
    }
    if (self->gate != NULL) {
        test_gate_pass(self->gate);
    }
    atomic_fetch_add_explicit(&self->calls, 1, memory_order_acq_rel);
}

static inline bool hook_has_run(void *data)
{
    return test_get(((hook *)data)->calls) != 0;
}

static inline void assert_hook_soon(hook *which)
{
    assert_true(test_until(hook_has_run, which));
}

/* Which thread the callbacks of that executor run on. */
static inline int note_thread(weft_future *future, void *place)
{
    (void)future;
    atomic_store_explicit((_Atomic(pthread_t) *)place, pthread_self(), memory_order_release);
    return 0;
}

static inline pthread_t coordinator_of(weft_executor *executor)
{
    _Atomic(pthread_t) place = pthread_self();
    weft_future *future = test_done_future(executor);
    assert_int_equal(weft_on_done(future, note_thread, &place, NULL), 0);
    flush(executor);
    weft_future_release(future);
    return test_get(place);
}

/* Runs act(data) on the coordinator and returns when it has. */
typedef struct errand {
    void (*act)(void *data);
    void *data;
} errand;

static inline int run_errand(weft_future *future, void *argument)
{
    errand *todo = argument;
    (void)future;
    todo->act(todo->data);
    return 0;
}

static inline void on_coordinator(weft_executor *executor, void (*act)(void *data), void *data)
{
    errand todo = {act, data};
    weft_future *future = test_done_future(executor);
    assert_int_equal(weft_on_done(future, run_errand, &todo, NULL), 0);
    flush(executor);
    weft_future_release(future);
}

/* Groups. */

static inline weft_group *group_make(weft_executor *executor, const weft_group_options *options)
{
    weft_group *group = weft_group_create(executor, options);
    assert_non_null(group);
    return group;
}

/* What the group does with argument and value shows in the cell. */
static inline int group_add(weft_group *group, test_cell *cell)
{
    weft_submit_options options = {.free_arg = test_cell_free_arg, .free_value = test_cell_free_value};
    return weft_group_submit_with(group, test_cell_run, cell, &options);
}

static inline void assert_joins(weft_group *group, int code)
{
    assert_int_equal(weft_group_join(group), code);
    assert_int_equal(weft_group_destroy(group), 0);
}

/* A thread that joins. */
typedef struct joiner {
    weft_group *group; /* by the test before the thread starts */
    test_latch *over;  /* the same; hit when the join has returned */
    int code;          /* by the thread before it hits the latch */
} joiner;

static inline void *join_group(void *argument)
{
    joiner *self = argument;
    self->code = weft_group_join(self->group);
    test_latch_hit(self->over);
    return NULL;
}

/* Races. */

typedef struct rival {
    void (*_Atomic act)(void *data); /* the test hands it over; the rival sets it back to NULL when it is through */
    void *data;                      /* by the test before the hand-over */
    _Atomic(bool) over;              /* by the test */
    _Atomic(bool) alive;             /* by the rival: so the first round is a race, too */
    pthread_t thread;
} rival;

static inline void *rival_body(void *argument)
{
    rival *self = argument;
    unsigned idle = 0;
    atomic_store_explicit(&self->alive, true, memory_order_release);
    while (!test_get(self->over)) {
        void (*act)(void *) = test_get(self->act);
        if (act != NULL) {
            act(self->data);
            atomic_store_explicit(&self->act, NULL, memory_order_release);
            continue;
        }
        idle = (idle + 1) % 256;
        if (idle == 0) {
            sched_yield();
        }
    }
    return NULL;
}

static inline void rival_start(rival *self)
{
    memset(self, 0, sizeof *self);
    self->thread = test_spawn(rival_body, self);
    while (!test_get(self->alive)) {
        sched_yield();
    }
}

static inline void rival_go(rival *self, void (*act)(void *data), void *data)
{
    self->data = data;
    atomic_store_explicit(&self->act, act, memory_order_release);
}

static inline void rival_wait(rival *self)
{
    while (test_get(self->act) != NULL) {
        sched_yield();
    }
}

static inline void rival_stop(rival *self)
{
    atomic_store_explicit(&self->over, true, memory_order_release);
    test_join(self->thread);
}

/* A little while, of a different length in each round. */
static inline void stagger(unsigned round)
{
    static _Atomic(unsigned) nothing;
    for (unsigned spin = 0; spin < round % 32 * 32; spin++) {
        atomic_load_explicit(&nothing, memory_order_acquire);
    }
}

/* As the act of a rival. */
static inline void cancel_token(void *token)
{
    weft_token_cancel(token);
}

#endif
