/* run.h: the steps that every job takes from its queue to its outcome, inline: they are what a job costs.
 *
 * job.c takes them for whatever comes out of a queue, await.c for a job that is awaited by who has just submitted it.
 * On the thread that runs the job. A plain job has no options: no name, no destructor, no token, no copy of its
 * argument, and nobody takes its time. What is rare is left to the functions in settle.c and job.c: each step here is
 * the common case of one there, and under the same rules (future.h, settle.c). */
#ifndef WEFT__RUN_H
#define WEFT__RUN_H

#include "future.h"

/* A job made by weft_submit and its like that was told nothing more, and has not asked for its token. */
static inline bool weft__has_no_options(const weft_future *f)
{
    return weft__link_ops(&f->link) == &weft__job_ops.link && !weft__options_of(f);
}

/* weft__claim for RUNNING. A first attempt here: nobody interferes as a rule. */
static inline bool weft__claim_to_run(weft_future *f)
{
    /* Relaxed: a guess. */
    uint64_t word = atomic_load_explicit(&f->word, memory_order_relaxed);
    /* acq_rel: as in weft__claim. */
    return (WEFT__LIKELY(weft__state(word) == WEFT_PENDING) &&
            WEFT__LIKELY(atomic_compare_exchange_strong_explicit(&f->word, &word, word | WEFT_RUNNING,
                                                                 memory_order_acq_rel, memory_order_relaxed))) ||
           weft__claim(f, WEFT_RUNNING, 0);
}

/* Calls the function of a claimed job with the thread's notes about the job that it interrupts put aside. how:
 * WEFT__RUN_*; job: it is certainly no then. *failure: what weft_fail said. */
static inline void *weft__call_as_job(weft_future *f, weft_executor *e, uintptr_t how, bool job, int *failure)
{
    weft__self_t *self = &weft__self;
    weft_future *outer = self->job;
    uint32_t outer_epoch = self->job_epoch;
    int outer_failure = self->failure;
    weft_fn *fn = f->fn;
    f->outer = (uintptr_t)outer | how;
    /* One behind: the first look goes outwards, since requests may have been made before the start. */
    self->job_epoch = atomic_load_explicit(&e->cancel_epoch, memory_order_relaxed) - 1;
    self->failure = 0;
    self->job = f;
    WEFT__PROBE2(job__start, f, fn);
    void *value = job || weft__ops_of(f)->kind == WEFT__JOB ? fn(f->value) : weft__then_call(f, fn, f->value);
    weft__fork_check(e);
    *failure = self->failure;
    WEFT__PROBE2(job__done, f, *failure);
    self->job = outer;
    self->job_epoch = outer_epoch;
    self->failure = outer_failure;
    return value;
}

/* weft__settle for SUCCEEDED while nobody is listed and nobody sleeps: the new word. 0: nothing was done. */
static inline uint64_t weft__settle_quietly(weft_future *f, unsigned drop)
{
    /* Relaxed: a guess. */
    uint64_t word = atomic_load_explicit(&f->word, memory_order_relaxed);
    uint64_t next = ((word & ~WEFT__STATE) | WEFT_SUCCEEDED) - drop * WEFT__REF;
    if (WEFT__UNLIKELY(word & (WEFT__LISTED | WEFT__LOCK | WEFT__SLEEPER)))
        return 0;
    /* acq_rel: as in weft__settle. */
    bool settled =
        atomic_compare_exchange_strong_explicit(&f->word, &word, next, memory_order_acq_rel, memory_order_relaxed);
    return WEFT__LIKELY(settled) ? next : 0;
}

/* A plain job's function has returned: settles it. The new word; 0: f may be gone, or has failed, or somebody waits. */
static inline uint64_t weft__job_end_plain(weft_future *f, weft__thread *t, void *value, int failure, unsigned drop)
{
    if (WEFT__UNLIKELY(failure != 0 || weft__options_of(f))) { /* options: it has asked for its token */
        weft__job_end(f, NULL, value, failure, drop);
        return 0;
    }
    f->value = value;
    weft__count(&t->port.counts.succeeded, 1);
    uint64_t word = weft__settle_quietly(f, drop);
    if (WEFT__UNLIKELY(word == 0)) {
        weft__settle(f, WEFT_SUCCEEDED, drop);
        weft__fork_check(t->executor); /* after destructors; as in weft__job_end */
    } else if (WEFT__UNLIKELY(weft__refs(word) == 0)) {
        weft__future_reap(f, word);
        return 0;
    }
    return word;
}

#endif
