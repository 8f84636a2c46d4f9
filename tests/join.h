/* join.h: what the tests of fork-join share: functions that note who runs them, and tasks that are stolen for certain.
 *
 * Discipline. A test that needs a task to be stolen forks it and then forks and joins trifles until it was entered by
 * another thread: a thread offers its tasks when it forks or joins. What decides an outcome stands behind a latch or a
 * gate. The functions are inline so that a program may leave some of them unused. */
#ifndef WEFT_TESTS_JOIN_H
#define WEFT_TESTS_JOIN_H

#include "fixtures.h"

#include <weft/fork_inline.h>

static inline void *run_in(weft_executor *executor, weft_fn *fn, void *arg)
{
    void *value = NULL;
    assert_int_equal(weft_run(executor, fn, arg, &value), 0);
    return value;
}

/* A function that notes who runs it, says so, passes a gate and does something. */
typedef struct step {
    weft_fn *fn; /* set by the test, as the next three; what it does, NULL: nothing */
    void *arg;
    test_latch *entered;
    test_gate *gate;    /* NULL: none */
    pthread_t thread;   /* written by the function, read after the join */
    _Atomic(bool) runs; /* set by the function once thread is written */
} step;

static inline void *take_step(void *argument)
{
    step *s = argument;
    s->thread = pthread_self();
    atomic_store_explicit(&s->runs, true, memory_order_release);
    test_latch_hit(s->entered);
    if (s->gate)
        test_gate_pass(s->gate);
    return s->fn ? s->fn(s->arg) : s;
}

static inline void *trifle(void *arg)
{
    return arg;
}

/* In a job: returns when the task that was just forked is being run by another thread. */
static inline void until_stolen(step *s)
{
    int64_t deadline = weft_now() + test_patience();
    while (!atomic_load_explicit(&s->runs, memory_order_acquire) && weft_now() < deadline) {
        weft_task poke;
        weft_fork(&poke, trifle, NULL);
        test_pause(20000);
        weft_join(&poke);
    }
    TEST_EXPECT(atomic_load_explicit(&s->runs, memory_order_acquire) && !pthread_equal(s->thread, pthread_self()));
}

static inline step step_make(weft_fn *fn, void *arg, test_gate *gate)
{
    return (step){.fn = fn, .arg = arg, .entered = test_latch_make(), .gate = gate};
}

/* Forks the step and joins it when another thread has entered it. */
static inline void *steal_one(void *argument)
{
    step *s = argument;
    weft_task task;
    weft_fork(&task, take_step, s);
    until_stolen(s);
    if (s->gate)
        test_gate_open(s->gate);
    return weft_join(&task);
}

static inline void *fib(void *argument)
{
    uintptr_t n = (uintptr_t)argument;
    if (n < 2)
        return argument;
    weft_task left;
    weft_fork(&left, fib, (void *)(n - 1));
    uintptr_t right = (uintptr_t)fib((void *)(n - 2));
    return (void *)((uintptr_t)weft_join(&left) + right);
}

#endif
