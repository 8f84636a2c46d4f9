/* await.c: weft_await, which ends a future for its holder: waits, moves the value out, gives the reference back.
 *
 * Its common case in a worker is a fork and its join: a job submits another one, does something else, and awaits it
 * before anybody has taken it. Then the awaited job is the newest entry of the worker's own ready deque. It comes out
 * of there, runs on this stack, and is over, with the references of queue and caller, without being looked for, waited
 * for or handed to anybody. What is left of the protocol are the two steps of its word, claim and settle: another
 * thread may know the future, the caller's own if he has told it, and may be asking the job to stop, or attaching to
 * it, as long as it is not done.
 *
 * Everything else is put together from the parts in wait.c and read.c. On any thread. */
#include "run.h"

/* May the job run on this stack, without any thought for options, shutdown, a worker that could not start, or what the
 * caller has forked and not joined (weft__forks_set_apart)? */
static inline bool may_run_here(const weft__thread *t, const weft_future *f)
{
    const weft_executor *e = t->executor;
    char here;
    return weft__has_no_options(f) && t->forks.list.newest == &t->forks.list.oldest && weft__phase(e) == WEFT__OPEN &&
           t->depth < WEFT__INLINE_DEPTH && !weft__self.draining &&
           atomic_load_explicit(&e->detour, memory_order_relaxed) == 0 && (uintptr_t)&here >= (uintptr_t)t->stack_low;
}

/* What the outcome leaves to do if the caller is the only one to know the future, whose new word this is: nothing but
 * to free it. It has no options, since it was settled without, and nobody can have taken or borrowed its value
 * before. */
static inline bool end_alone(weft_future *f, weft__thread *t, uint64_t word, void **value)
{
    if (weft__refs(word) != 1)
        return false;
    if (value)
        *value = f->value;
    /* Relaxed: nobody else has it, and as in future.c it is free memory for a walk. */
    atomic_store_explicit(&f->word, 0, memory_order_relaxed);
    weft__slab_free(&t->port.heap, f);
    return true;
}

/* Out of its queue, with the queue's reference, and claimed? */
static inline bool take_newest(weft__thread *t, weft_future *f)
{
    if (!weft__deque_take_this(&t->ready, &f->link) && (t->alone || !weft__job_pop_if_newest(t, f)))
        return false;
    if (WEFT__LIKELY(weft__claim_to_run(f)))
        return true;
    weft__count(&t->port.counts.finished, 1); /* it was cancelled */
    weft__unref(f);
    return false;
}

/* True: it is over, value and reference too. */
static inline bool await_newest(weft__thread *t, weft_future *f, void **value)
{
    int failure;
    if (!may_run_here(t, f) || !take_newest(t, f))
        return false;
    t->depth++;
    void *result = weft__call_as_job(f, t->executor, WEFT__RUN_TAKEN | WEFT__RUN_AWAITED, true, &failure);
    t->depth--;
    weft__count(&t->port.counts.inline_runs, 1);
    uint64_t word = weft__job_end_plain(f, t, result, failure, 1);
    weft__count(&t->port.counts.finished, 1);
    return word && end_alone(f, t, word, value);
}

int weft_await(weft_future *f, void **value)
{
    weft__thread *t = weft__self.thread;
    if (t && f && f->executor == t->executor && await_newest(t, f, value))
        return 0;
    return weft__await(f, value);
}
