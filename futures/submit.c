/* submit.c: how a job is made and handed to a queue.
 *
 * Submitting makes the job (64 bytes of the submitting thread's heap; what weft_submit_with was told lies apart), counts
 * it and hands its link to a queue: the ready deque of the worker that submits from inside a job, the outside queue
 * otherwise, the coordinator if it has a delay. A submit that is refused leaves nothing behind, and its argument is
 * still the caller's. */
#include "future.h"

#include <errno.h>
#include <string.h>

/* What weft_submit and its kin check first. own: the caller is a thread of e. 0 or a code. */
static int admit(weft_executor *e, bool own, size_t n, bool *counted)
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

static weft__options *options_new(weft_executor *e, const weft_submit_options *given, const void *copy, size_t size)
{
    weft__port *port = weft__port_get(e);
    weft__options *o = port ? weft__slab_alloc(&port->heap, WEFT__OPTIONS) : NULL;
    if (!o)
        return NULL;
    *o = (weft__options){.name = given->name,
                         .free_arg = given->free_arg,
                         .free_value = given->free_value,
                         .priority = given->priority,
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

/* A job that is not yet queued. NULL: no memory. */
static weft_future *job_new(weft_executor *e, weft_fn *fn, void *arg, weft__options *o, unsigned references)
{
    const weft__future_ops *ops = o && o->delay > 0 ? &weft__delayed_ops : &weft__job_ops;
    weft__port *port = weft__port_get(e);
    weft_future *f = port ? weft__slab_alloc(&port->heap, ops->memory) : NULL;
    if (!f)
        return NULL;
    atomic_store_explicit(&f->link.ops, &ops->link, memory_order_relaxed);
    f->executor = e;
    f->fn = fn;
    f->value = arg;
    f->waiters = NULL;
    f->options = o;
    if (ops == &weft__delayed_ops) { /* before the walk can find it */
        weft__timed *timed = (weft__timed *)(void *)f;
        atomic_init(&timed->todo, 0);
        atomic_init(&timed->armed, false);
    }
    /* Release, partner of the acquire load in shutdown's walk, which may meet the job before any queue does. Workers come by
     * way of the queue, whose own order publishes the job to them. */
    atomic_store_explicit(&f->word, references * WEFT__REF, memory_order_release);
    return f;
}

/* A job that no queue took. Its argument stays the caller's. Shutdown's walk may hold it for a moment. */
static void job_discard(weft_future *f, unsigned references)
{
    while (references-- > 0)
        weft__unref(f);
}

static void unadmit(weft_executor *e, bool counted, size_t n)
{
    if (counted)
        atomic_fetch_sub_explicit(&e->pending, n, memory_order_relaxed);
}

/* Has the coordinator queue the job when its delay is over. The caller has one reference to it. */
static void delay(weft_future *f)
{
    weft_executor *e = f->executor;
    weft__timed *timed = (weft__timed *)(void *)f;
    bool due_some_day = weft__timed_arm(f, f->options->delay);
    int64_t deadline = timed->timer.deadline;
    if (due_some_day && !weft__timed_post(f, deadline))
        weft__cancel(f, WEFT_REASON_SHUTDOWN);
    /* As with a sleep: while an executor drains, waiting is not drained. */
    if (atomic_load_explicit(&e->phase, memory_order_seq_cst) != WEFT__OPEN)
        weft__cancel(f, WEFT_REASON_SHUTDOWN);
}

/* Whether the next job has its latency taken: two looks at the clock would cost as much as the rest of a job. */
static bool measures(weft_executor *e)
{
    weft__port *port = weft__port_find(e);
    return port && ++port->measured % WEFT__MEASURE == 0;
}

/* Makes and queues one job. references: 2 for a caller who gets the future, 1 for fire and forget. 0 or a code. */
static int submit(weft_executor *e, weft_fn *fn, void *arg, const weft_submit_options *given, const void *copy,
                  size_t size, unsigned references, weft_future **future)
{
    bool own = weft__own_thread(e), counted = false;
    int code = admit(e, own, 1, &counted);
    if (code) {
        atomic_fetch_add_explicit(&e->refused, 1, memory_order_relaxed);
        return code;
    }
    static const weft_submit_options none;
    weft__options *o = NULL;
    bool measured = measures(e);
    if (given || copy || counted || measured) {
        o = options_new(e, given ? given : &none, copy, size);
        if (!o)
            goto no_memory;
        o->counted = counted;
        o->submitted_at = measured ? weft__now() : 0;
        if (copy)
            arg = o->copy;
    }
    bool delayed = o && o->delay > 0;
    weft_future *f = job_new(e, fn, arg, o, delayed ? 1 : references);
    if (!f)
        goto no_memory;
    *future = f;
    if (delayed) {
        delay(f);
        return 0;
    }
    unsigned priority = o ? (unsigned)o->priority : WEFT_NORMAL;
    if (own) {
        weft__enqueue_own(e, priority, &f->link);
    } else if (!weft__enqueue_outside(e, priority, &f->link, &f->link, 1)) {
        unadmit(e, counted, 1);
        job_discard(f, references);
        atomic_fetch_add_explicit(&e->refused, 1, memory_order_relaxed);
        return -ESHUTDOWN;
    }
    return 0;
no_memory:
    weft__options_free(e, o);
    unadmit(e, counted, 1);
    return -ENOMEM;
}

static weft_future *refuse(int code)
{
    errno = -code;
    return NULL;
}

weft_future *weft_submit(weft_executor *e, weft_fn *fn, void *arg)
{
    weft_future *f = NULL;
    if (!fn)
        return refuse(-EINVAL);
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    int code = submit(e, fn, arg, NULL, NULL, 0, 2, &f);
    return code ? refuse(code) : f;
}

static bool options_valid(const weft_submit_options *o)
{
    return !o || ((unsigned)o->priority <= WEFT_LOW && !o->token);
}

weft_future *weft_submit_with(weft_executor *e, weft_fn *fn, void *arg, const weft_submit_options *options)
{
    weft_future *f = NULL;
    if (!fn || !options_valid(options))
        return refuse(-EINVAL);
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    int code = submit(e, fn, arg, options, NULL, 0, 2, &f);
    return code ? refuse(code) : f;
}

weft_future *weft_submit_copy(weft_executor *e, weft_fn *fn, const void *arg, size_t size)
{
    weft_future *f = NULL;
    if (!fn || (!arg && size))
        return refuse(-EINVAL);
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    int code = submit(e, fn, NULL, NULL, arg ? arg : "", size, 2, &f);
    return code ? refuse(code) : f;
}

int weft_execute(weft_executor *e, weft_fn *fn, void *arg)
{
    weft_future *f = NULL;
    if (!fn)
        return -EINVAL;
    if (!(e = weft__executor_or_default(e)))
        return -errno;
    return submit(e, fn, arg, NULL, NULL, 0, 1, &f);
}

/* A batch while it is made: its jobs linked in order, the last one's link not yet written. */
typedef struct batch {
    weft_future *first, *last;
    unsigned references;
} batch;

static weft_future *batch_next(const batch *b, weft_future *f)
{
    return f == b->last ? NULL : weft__link_future(atomic_load_explicit(&f->link.next, memory_order_relaxed));
}

static void batch_discard(batch *b)
{
    for (weft_future *f = b->first, *next; f; f = next) {
        next = batch_next(b, f);
        job_discard(f, b->references);
    }
}

static void batch_append(batch *b, weft_future *f)
{
    if (b->last)
        atomic_store_explicit(&b->last->link.next, &f->link, memory_order_relaxed);
    else
        b->first = f;
    b->last = f;
}

static int batch_make(batch *b, weft_executor *e, weft_fn *fn, void *const args[], size_t n, bool counted)
{
    static const weft_submit_options none;
    for (size_t i = 0; i < n; i++) {
        weft__options *o = counted ? options_new(e, &none, NULL, 0) : NULL;
        weft_future *f = counted && !o ? NULL : job_new(e, fn, args ? args[i] : NULL, o, b->references);
        if (!f) {
            weft__options_free(e, o);
            batch_discard(b);
            return -ENOMEM;
        }
        if (o)
            o->counted = true;
        batch_append(b, f);
    }
    return 0;
}

/* Hands the futures out before the jobs can run. */
static void batch_store(const batch *b, weft_future *futures[])
{
    size_t i = 0;
    for (weft_future *f = b->first; f && futures; f = batch_next(b, f))
        futures[i++] = f;
}

static int batch_queue(batch *b, weft_executor *e, size_t n, bool own)
{
    if (!own) {
        if (weft__enqueue_outside(e, WEFT_NORMAL, &b->first->link, &b->last->link, n))
            return 0;
        batch_discard(b);
        return -ESHUTDOWN;
    }
    for (weft_future *f = b->first, *next; f; f = next) {
        next = batch_next(b, f);
        weft__enqueue_own(e, WEFT_NORMAL, &f->link);
    }
    return 0;
}

int weft_submit_many(weft_executor *e, weft_fn *fn, void *const args[], size_t n, weft_future *futures[])
{
    if (!fn)
        return -EINVAL;
    if (!(e = weft__executor_or_default(e)))
        return -errno;
    bool own = weft__own_thread(e), counted = false;
    int code = n ? admit(e, own, n, &counted) : 0;
    if (code)
        atomic_fetch_add_explicit(&e->refused, n, memory_order_relaxed);
    if (code || n == 0)
        return code;
    batch b = {.references = futures ? 2 : 1};
    code = batch_make(&b, e, fn, args, n, counted);
    if (!code) {
        batch_store(&b, futures);
        code = batch_queue(&b, e, n, own);
        for (size_t i = 0; code && futures && i < n; i++)
            futures[i] = NULL;
    }
    if (code) {
        unadmit(e, counted, n);
        atomic_fetch_add_explicit(&e->refused, n, memory_order_relaxed);
    }
    return code;
}
