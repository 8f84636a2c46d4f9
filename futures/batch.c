/* batch.c: many jobs submitted at once, all or none.
 *
 * The jobs are made first and linked in order; nothing of them can be seen before the whole batch goes into the queue,
 * in one piece from outside. So a batch that is refused, for whatever reason, leaves nothing behind.
 *
 * With a token all jobs become its members before they are queued, since a job that runs may end at any time. If the
 * token is set by then, the batch is accepted and cancelled on the spot. If the queue refuses a batch while the token
 * is being set, each job is claimed: those that cannot be are being cancelled by the token, their arguments are gone;
 * then the batch counts as accepted, and the rest is cancelled with them. */
#include "token.h"

#include <errno.h>

static weft_future *batch_next(const weft__batch *b, weft_future *f)
{
    return f == b->last ? NULL : weft__link_future(atomic_load_explicit(&f->link.next, memory_order_relaxed));
}

static void batch_append(weft__batch *b, weft_future *f)
{
    if (b->last)
        atomic_store_explicit(&b->last->link.next, &f->link, memory_order_relaxed);
    else
        b->first = f;
    b->last = f;
}

static bool delayed(const weft__batch *b)
{
    return b->given && b->given->delay > 0;
}

int weft__batch_begin(weft__batch *b, weft_executor *e, size_t n, unsigned references, const weft_submit_options *given)
{
    *b = (weft__batch){.executor = e, .given = given, .n = n, .references = references, .own = weft__own_thread(e)};
    if (given && given->token && weft__stale(given->token->executor))
        return -ESTALE;
    int code = weft__admit(e, b->own, n, &b->counted);
    if (code)
        atomic_fetch_add_explicit(&e->refused, n, memory_order_relaxed);
    if (delayed(b))
        b->references--; /* the queue's comes when the time has come */
    return code;
}

weft_future *weft__batch_add(weft__batch *b, weft_fn *fn, void *arg)
{
    static const weft_submit_options none;
    weft__options *o = NULL;
    if (b->given || b->counted || weft__tracing(b->executor)) {
        o = weft__options_new(b->executor, b->given ? b->given : &none, NULL, 0);
        if (!o)
            return NULL;
        o->counted = b->counted;
    }
    const weft__future_ops *ops = delayed(b) ? &weft__delayed_ops : &weft__job_ops;
    weft_future *f = weft__job_new(b->executor, ops, fn, arg, o, b->references);
    if (f)
        batch_append(b, f);
    else
        weft__options_free(b->executor, o);
    return f;
}

void weft__batch_refuse(weft__batch *b)
{
    for (weft_future *f = b->first, *next; f; f = next) {
        next = batch_next(b, f);
        weft__job_discard(f, b->references);
    }
    weft__unadmit(b->executor, b->counted, b->n);
}

/* Why the batch is cancelled from birth, or NONE. */
static weft_cancel_reason join_token(weft__batch *b)
{
    weft_token *token = b->given ? b->given->token : NULL;
    for (weft_future *f = b->first; f && token; f = batch_next(b, f)) {
        weft_cancel_reason reason = weft__member_join(&weft__options_of(f)->given, token, f);
        if (reason != WEFT_REASON_NONE)
            return reason;
    }
    return WEFT_REASON_NONE;
}

/* All were accepted and none will be queued. */
static void cancel_all(weft__batch *b, weft_cancel_reason reason)
{
    bool queued_some_day = delayed(b);
    for (weft_future *f = b->first, *next; f; f = next) {
        next = batch_next(b, f);
        weft__bear_cancelled(f, reason);
        if (!queued_some_day)
            weft__unref(f); /* the queue's */
    }
}

/* The queue is closed. -ESHUTDOWN, or 0: the token has cancelled some, so they are accepted and cancelled all. */
static int take_back(weft__batch *b)
{
    weft_token *token = b->given ? b->given->token : NULL;
    bool accepted = false;
    for (weft_future *f = b->first; f && token; f = batch_next(b, f))
        accepted |= !weft__claim(f, WEFT__CLAIMED, 0);
    if (!accepted) {
        atomic_fetch_add_explicit(&b->executor->refused, b->n, memory_order_relaxed);
        return -ESHUTDOWN;
    }
    weft_cancel_reason reason = weft__token_due(token);
    atomic_fetch_add_explicit(&b->executor->unqueued, b->n, memory_order_relaxed);
    for (weft_future *f = b->first, *next; f; f = next) {
        next = batch_next(b, f);
        if (!(weft__word(f) & WEFT__CANCEL)) /* it is ours; the token's claim says why */
            weft__job_end_claimed(f, reason);
        weft__unref(f); /* the queue's */
    }
    return 0;
}

int weft__batch_queue(weft__batch *b)
{
    unsigned priority = b->given ? (unsigned)b->given->priority : WEFT_NORMAL;
    bool waits = delayed(b);
    weft_cancel_reason reason = join_token(b);
    if (reason != WEFT_REASON_NONE) {
        cancel_all(b, reason);
        return 0;
    }
    if (!b->own && !waits)
        return weft__enqueue_outside(b->executor, priority, &b->first->link, &b->last->link, b->n) ? 0 : take_back(b);
    for (weft_future *f = b->first, *next; f; f = next) {
        next = batch_next(b, f);
        if (waits)
            weft__job_delay(f);
        else
            weft__enqueue_own(b->executor, priority, &f->link);
    }
    return 0;
}

static int queue_batch(void *batch)
{
    return weft__batch_queue(batch);
}

int weft__batch_queue_and_wait(weft__batch *b, weft_future *f)
{
    return weft__wait_start(f, queue_batch, b);
}

/* Hands the futures out before the jobs can run. */
static void batch_store(const weft__batch *b, weft_future *futures[])
{
    size_t i = 0;
    for (weft_future *f = b->first; f && futures; f = batch_next(b, f))
        futures[i++] = f;
}

int weft_submit_many(weft_executor *e, weft_fn *fn, void *const args[], size_t n, weft_future *futures[])
{
    weft__batch b;
    if (!fn)
        return -EINVAL;
    if (!(e = weft__executor_or_default(e)))
        return -errno;
    if (n == 0)
        return 0;
    int code = weft__batch_begin(&b, e, n, futures ? 2 : 1, NULL);
    if (code)
        return code;
    for (size_t i = 0; i < n && !code; i++)
        code = weft__batch_add(&b, fn, args ? args[i] : NULL) ? 0 : -ENOMEM;
    if (!code) {
        batch_store(&b, futures);
        code = weft__batch_queue(&b);
        for (size_t i = 0; code && futures && i < n; i++)
            futures[i] = NULL;
    }
    if (code)
        weft__batch_refuse(&b);
    return code;
}
