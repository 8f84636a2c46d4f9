/* cancel.c: asking things to stop.
 *
 * A request is one compare-and-swap on the future's word, and its answer is exact: what the caller is told is what the
 * word decided. Futures that mirror another one pass the request on; weft__cancel follows them in a loop, so a chain of
 * any length costs no stack. A composite with many inputs leaves the passing on to the coordinator.
 *
 * A running job learns of a request in three ways: weft_cancelled() reads its own word; a job that runs inline because
 * another one awaits it looks outwards through the jobs on its stack; a job that is blocked in a wait is woken. The
 * last two hang on the executor's cancel_epoch, which grows with every request to a running job: weft_cancelled
 * compares it with one load and looks further only if it moved. Who asks a job that has made a token of its own sets
 * that as well (own_token.c); how a token asks its jobs stands in token.c. */
#include "future.h"

weft_cancel_reason weft__reason_below(weft_cancel_reason reason)
{
    return reason == WEFT_REASON_TIMEOUT || reason == WEFT_REASON_SHUTDOWN ? reason : WEFT_REASON_PARENT;
}

void weft__request_spread(weft_executor *e)
{
    /* seq_cst, before the look at blocked_count: a waiter is counted there before it looks at the words (block.c). */
    atomic_fetch_add_explicit(&e->cancel_epoch, 1, memory_order_seq_cst);
    weft__blocked_wake_all(e);
}

weft_cancel_effect weft__cancel(weft_future *f, weft_cancel_reason reason)
{
    weft_future *next = NULL;
    if (weft__stale(f->executor))
        return WEFT_CANCEL_TOO_LATE;
    weft_cancel_effect effect = weft__ops_of(f)->cancel(f, reason, &next);
    while (next && !weft__stale(f->executor)) {
        weft_future *below = next;
        next = NULL;
        reason = weft__reason_below(reason);
        weft__ops_of(below)->cancel(below, reason, &next);
        weft__unref(below);
    }
    return effect;
}

weft_cancel_effect weft_cancel(weft_future *f)
{
    return f ? weft__cancel(f, WEFT_REASON_USER) : WEFT_CANCEL_TOO_LATE;
}

/* Why this job is to stop though nobody asked it directly; NONE: it is not. */
static weft_cancel_reason reason_from_outside(const weft_future *job)
{
    weft_executor *e = job->executor;
    /* seq_cst, both: after being counted as blocked; shutdown_begin writes them and then looks at that count. */
    if (atomic_load_explicit(&e->phase, memory_order_seq_cst) != WEFT__OPEN &&
        atomic_load_explicit(&e->mode, memory_order_seq_cst) == WEFT_CANCEL_ALL)
        return WEFT_REASON_SHUTDOWN;
    for (weft_future *outer; job->outer & WEFT__RUN_AWAITED && (outer = weft__outer(job)); job = outer) {
        uint64_t word = atomic_load_explicit(&outer->word, memory_order_seq_cst);
        if (word & WEFT__CANCEL)
            return weft__reason_below(weft__reason(word));
    }
    return WEFT_REASON_NONE;
}

bool weft__job_cancelled(weft_future *f)
{
    uint64_t word = atomic_load_explicit(&f->word, memory_order_seq_cst);
    if (word & WEFT__CANCEL)
        return true;
    weft_cancel_reason reason = reason_from_outside(f);
    if (reason == WEFT_REASON_NONE)
        return false;
    while (!(word & WEFT__CANCEL) &&
           !atomic_compare_exchange_weak_explicit(&f->word, &word, word | weft__reason_bits(reason),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    return true;
}
