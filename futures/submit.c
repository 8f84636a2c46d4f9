/* submit.c: how a job is made and handed to a queue.
 *
 * Submitting makes the job (64 bytes of the submitting thread's heap; what weft_submit_with was told lies apart),
 * counts it and hands its link to a queue: the ready deque of the worker that submits from inside a job, the outside
 * queue otherwise, the coordinator if it has a delay. With a token it becomes a member of that before any queue has it,
 * and is cancelled then and there if the token is set. A submit that is refused leaves nothing behind, and its argument
 * is still the caller's. */
#include "token.h"

#include <errno.h>
#include <string.h>

/* What weft_submit and its kin check first. own: the caller is a thread of e. 0 or a code. */
int weft__admit(weft_executor *e, bool own, size_t n, bool *counted)
{
    int broken = atomic_load_explicit(&e->broken, memory_order_acquire);
    if (WEFT__UNLIKELY(broken != 0))
        return broken;
    uint32_t phase = weft__phase(e);
    if (WEFT__UNLIKELY(phase != WEFT__OPEN) && (!own || phase >= WEFT__QUIET || weft__cancels_pending(e)))
        return -ESHUTDOWN;
    *counted = e->max_pending && !own;
    if (!*counted)
        return 0;
    size_t pending = atomic_load_explicit(&e->pending, memory_order_relaxed);
    do {
        if (n > e->max_pending || pending > e->max_pending - n)
            return -EAGAIN;
    } while (!atomic_compare_exchange_weak_explicit(&e->pending, &pending, pending + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    return 0;
}

weft__options *weft__options_new(weft_executor *e, const weft_submit_options *given, const void *copy, size_t size)
{
    weft__port *port = weft__port_get(e);
    weft__options *o = port ? weft__slab_alloc(&port->heap, WEFT__OPTIONS) : NULL;
    if (!o)
        return NULL;
    *o = (weft__options){.name = given->name,
                         .free_arg = given->free_arg,
                         .free_value = given->free_value,
                         .priority = (uint8_t)given->priority,
                         .delay = given->delay,
                         .copy_size = size};
    if (copy) {
        o->copy = weft__memory_alloc(size ? size : 1);
        if (!o->copy) {
            weft__options_free(e, o);
            return NULL;
        }
        o->copy_size = size ? size : 1;
        memcpy(o->copy, copy, size);
    }
    return o;
}

void weft__note_submit(weft_executor *e, weft__options *o)
{
    if (!weft__tracing(e))
        return;
    weft__mark mark = weft__trace_submitted(e, o->name);
    o->trace = mark.trace;
    o->trace_id = mark.id;
}

/* Of whatever kind, but for its word, which publishes it; see there. */
static inline void job_init(weft_future *f, weft_executor *e, const weft__future_ops *ops, weft_fn *fn, void *arg,
                            weft__options *o)
{
    atomic_store_explicit(&f->link.next, NULL, memory_order_relaxed); /* not enclosed: see link.h and tenant.c */
    atomic_store_explicit(&f->link.ops, &ops->link, memory_order_relaxed);
    f->executor = e;
    f->fn = fn;
    f->value = arg;
    f->waiters = NULL;
    atomic_store_explicit(&f->options, o, memory_order_relaxed);
    WEFT__PROBE2(job__submit, f, fn);
}

/* Release, partner of the acquire load in shutdown's walk, which may meet the job before any queue does. Workers come
 * by way of the queue, whose own order publishes the job to them. */
static inline void job_publish(weft_future *f, unsigned references)
{
    atomic_store_explicit(&f->word, references * WEFT__REF, memory_order_release);
}

/* A job that is not yet queued. NULL: no memory. */
weft_future *weft__job_new(weft_executor *e, const weft__future_ops *ops, weft_fn *fn, void *arg, weft__options *o,
                           unsigned references)
{
    weft__port *port = weft__port_get(e);
    weft_future *f = port ? weft__slab_alloc(&port->heap, ops->memory) : NULL;
    if (!f)
        return NULL;
    if (o)
        weft__note_submit(e, o);
    job_init(f, e, ops, fn, arg, o);
    if (ops->link.expire) { /* before the walk can find it */
        weft__timed *timed = (weft__timed *)(void *)f;
        atomic_init(&timed->todo, 0);
    }
    job_publish(f, references);
    return f;
}

/* A job that no queue took. Its argument stays the caller's. Shutdown's walk may hold it for a moment. */
void weft__job_discard(weft_future *f, unsigned references)
{
    weft__options *o = weft__options_of(f);
    if (o)
        weft__member_leave(&o->given); /* while there is a reference: the token may be about to take one */
    while (references-- > 0)
        weft__unref(f);
}

void weft__unadmit(weft_executor *e, bool counted, size_t n)
{
    if (counted)
        atomic_fetch_sub_explicit(&e->pending, n, memory_order_relaxed);
}

void weft__job_delay(weft_future *f)
{
    weft_executor *e = f->executor;
    weft__timed *timed = (weft__timed *)(void *)f;
    WEFT_POINT();
    bool due_some_day = weft__timed_arm(f, weft__options_of(f)->delay);
    int64_t deadline = timed->timer.deadline;
    if (due_some_day && !weft__timed_post(f, deadline))
        weft__cancel(f, WEFT_REASON_SHUTDOWN);
    /* As with a sleep: while an executor drains, waiting is not drained. */
    if (atomic_load_explicit(&e->phase, memory_order_seq_cst) != WEFT__OPEN)
        weft__cancel(f, WEFT_REASON_SHUTDOWN);
    if (weft__claimed(f))
        weft__timed_drop(f); /* its token was faster: who cancels it may have found no timer yet */
}

void weft__job_launch(weft_future *f)
{
    weft_executor *e = f->executor;
    const weft__options *o = weft__options_of(f);
    unsigned priority = o ? o->priority : WEFT_NORMAL;
    if (weft__own_thread(e)) {
        weft__enqueue_own(e, priority, &f->link);
        return;
    }
    weft__executor_pin(e); /* once it is queued nothing else makes the executor's end wait for this thread */
    /* A thread that has never submitted here has no port; and while draining the queue is closed to all from outside.
     * If the mailbox is closed as well, everything has been swept. */
    weft__port *port = weft__port_find(e);
    bool queued = port && weft__enqueue_by(port, e, priority, &f->link, &f->link, 1);
    if (!queued && !weft__poke(f, WEFT__LAUNCH, 0)) {
        weft__cancel(f, WEFT_REASON_SHUTDOWN);
        weft__unref(f); /* the queue's */
    }
    weft__executor_unpin(e);
}

/* Whether the next job has its latency taken: two looks at the clock would cost as much as the rest of a job. */
static bool measures(weft_executor *e)
{
    weft__port *port = weft__port_find(e);
    if (!port || port->unmeasured-- > 0)
        return false;
    port->unmeasured = WEFT__MEASURE - 1;
    return true;
}

void weft__bear_cancelled(weft_future *f, weft_cancel_reason reason)
{
    /* Not in the sums that shutdown compares: no queue will see it, and nobody would send news of the second count. */
    atomic_fetch_add_explicit(&f->executor->unqueued, 1, memory_order_relaxed);
    weft__cancel(f, reason);
}

weft_cancel_reason weft__job_join(weft_future *f, weft_token *token)
{
    if (!token)
        return WEFT_REASON_NONE;
    weft__member *given = &weft__options_of(f)->given;
    weft_cancel_reason reason = weft__member_join(given, token, f);
    if (reason != WEFT_REASON_NONE)
        weft__bear_cancelled(f, reason);
    else if (weft__claimed(f))
        weft__member_leave(given); /* a child: its group was faster, and may have looked for this token too early */
    return reason;
}

/* The queue was closed. Whether that is the answer: if its token, which shared makes it have, has just cancelled the
 * job it was accepted after all. */
static bool take_back(weft_future *f, bool shared, bool counted, unsigned references)
{
    weft_executor *e = f->executor;
    if (shared && !weft__claim(f, WEFT__CLAIMED, 0)) {
        atomic_fetch_add_explicit(&e->unqueued, 1, memory_order_relaxed);
        weft__unref(f); /* the queue's */
        return false;
    }
    weft__unadmit(e, counted, 1);
    weft__job_discard(f, references);
    atomic_fetch_add_explicit(&e->refused, 1, memory_order_relaxed);
    return true;
}

/* Makes and queues one job. references: 2 for a caller who gets the future, 1 for fire and forget. 0 or a code. */
static int submit(weft_executor *e, weft_fn *fn, void *arg, const weft_submit_options *given, const void *copy,
                  size_t size, unsigned references, weft_future **future)
{
    if (given && given->token && weft__stale(given->token->executor))
        return -ESTALE;
    bool own = weft__own_thread(e), counted = false;
    int code = weft__admit(e, own, 1, &counted);
    if (code) {
        atomic_fetch_add_explicit(&e->refused, 1, memory_order_relaxed);
        return code;
    }
    static const weft_submit_options none;
    weft__options *o = NULL;
    bool measured = measures(e);
    if (given || copy || counted || measured || weft__tracing(e)) {
        o = weft__options_new(e, given ? given : &none, copy, size);
        if (!o)
            goto no_memory;
        o->counted = counted;
        o->submitted_at = measured ? weft__now() : 0;
        if (copy)
            arg = o->copy;
    }
    bool delayed = o && o->delay > 0;
    const weft__future_ops *ops = delayed ? &weft__delayed_ops : &weft__job_ops;
    weft_future *f = weft__job_new(e, ops, fn, arg, o, delayed ? 1 : references);
    if (!f)
        goto no_memory;
    *future = f;
    bool shared = given && given->token;
    if (shared && weft__job_join(f, given->token)) {
        if (!delayed)
            weft__unref(f);
        return 0;
    }
    if (delayed) {
        weft__job_delay(f);
        return 0;
    }
    unsigned priority = o ? (unsigned)o->priority : WEFT_NORMAL;
    if (own) {
        weft__enqueue_own(e, priority, &f->link);
    } else if (!weft__enqueue_outside(e, priority, &f->link, &f->link, 1)) {
        return take_back(f, shared, counted, references) ? -ESHUTDOWN : 0;
    }
    return 0;
no_memory:
    weft__options_free(e, o);
    weft__unadmit(e, counted, 1);
    return -ENOMEM;
}

/* Nothing is to be decided: no shutdown, no limit that concerns it, no measuring, no trace, no broken executor. */
static inline bool is_simple(const weft_executor *e, weft__port *port, bool own)
{
    return weft__phase(e) == WEFT__OPEN && atomic_load_explicit(&e->detour, memory_order_acquire) == 0 &&
           (own || !e->max_pending) && port->unmeasured > 0;
}

/* The common case of submit, for a caller with a port at hand; own: he is that worker. False: this is another case, and
 * nothing was done. */
WEFT__ALWAYS_INLINE bool submit_simply(weft_executor *e, weft__port *port, weft__thread *own, weft_fn *fn, void *arg,
                                       unsigned references, weft_future **future)
{
    if (!is_simple(e, port, own != NULL))
        return false;
    weft_future *f = weft__slab_alloc(&port->heap, WEFT__FUTURE_64);
    *future = f;
    if (WEFT__UNLIKELY(!f)) {
        weft__refuse(-ENOMEM);
        return true;
    }
    port->unmeasured--;
    job_init(f, e, &weft__job_ops, fn, arg, NULL);
    job_publish(f, references);
    if (own) {
        weft__count(&port->counts.submitted, 1);
        if (WEFT__UNLIKELY(!weft__ready_add(own, &f->link))) {
            weft__inject_push_own(&e->inject[WEFT_NORMAL], port->hint, &f->link, &f->link);
            weft__notify(e);
        }
    } else if (WEFT__UNLIKELY(!weft__enqueue_by(port, e, WEFT_NORMAL, &f->link, &f->link, 1))) {
        weft__job_discard(f, references);
        return false;
    }
    return true;
}

/* Likewise, for any caller. True: *future is the job, or NULL with errno. With one reference, the queue's, it may be
 * gone and only tells that it was accepted. */
WEFT__ALWAYS_INLINE bool submit_at_hand(weft_executor *e, weft_fn *fn, void *arg, unsigned references,
                                        weft_future **future)
{
    const weft__self_t *self = &weft__self;
    weft__thread *t = self->thread;
    if (!e || !fn || weft__stale(e))
        return false;
    if (t && t->executor == e)
        return submit_simply(e, &t->port, t, fn, arg, references, future);
    return self->port_id == e->id && !self->coordinator &&
           submit_simply(e, self->port, NULL, fn, arg, references, future);
}

weft_future *weft_submit(weft_executor *e, weft_fn *fn, void *arg)
{
    weft_future *f = NULL;
    if (WEFT__LIKELY(submit_at_hand(e, fn, arg, 2, &f)))
        return f;
    if (!fn)
        return weft__refuse(-EINVAL);
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    int code = submit(e, fn, arg, NULL, NULL, 0, 2, &f);
    return code ? weft__refuse(code) : f;
}

bool weft__options_valid(const weft_submit_options *o)
{
    return !o || (unsigned)o->priority <= WEFT_LOW;
}

weft_future *weft_submit_with(weft_executor *e, weft_fn *fn, void *arg, const weft_submit_options *options)
{
    weft_future *f = NULL;
    if (!fn || !weft__options_valid(options))
        return weft__refuse(-EINVAL);
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    int code = submit(e, fn, arg, options, NULL, 0, 2, &f);
    return code ? weft__refuse(code) : f;
}

weft_future *weft_submit_copy(weft_executor *e, weft_fn *fn, const void *arg, size_t size)
{
    weft_future *f = NULL;
    if (!fn || (!arg && size))
        return weft__refuse(-EINVAL);
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    int code = submit(e, fn, NULL, NULL, arg ? arg : "", size, 2, &f);
    return code ? weft__refuse(code) : f;
}

int weft_execute(weft_executor *e, weft_fn *fn, void *arg)
{
    weft_future *f = NULL;
    if (WEFT__LIKELY(submit_at_hand(e, fn, arg, 1, &f)))
        return f ? 0 : -ENOMEM;
    if (!fn)
        return -EINVAL;
    if (!(e = weft__executor_or_default(e)))
        return -errno;
    return submit(e, fn, arg, NULL, NULL, 0, 1, &f);
}
