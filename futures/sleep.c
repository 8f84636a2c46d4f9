/* sleep.c: a future that time alone resolves. */
#include "future.h"

#include <errno.h>

static void sleep_expire(weft__link *link, weft__coordinator *c)
{
    weft_future *f = weft__link_future(link);
    if (weft__timed_fired(f, c) && weft__claim(f, WEFT__CLAIMED, 0))
        weft__settle(f, WEFT_SUCCEEDED, 0);
    weft__let_go(f); /* the wheel's */
}

static weft_cancel_effect sleep_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next)
{
    (void)next;
    if (!weft__settle_cancelled(f, reason)) {
        weft__wait_settled(f);
        return WEFT_CANCEL_TOO_LATE;
    }
    weft__timed_drop(f);
    return WEFT_CANCEL_DONE;
}

static void sleep_dispose(weft_future *f, uint64_t word)
{
    (void)f;
    (void)word;
}

static const weft__future_ops sleep_ops = {
    .link = {.handle = weft__timed_handle, .expire = sleep_expire},
    .kind = WEFT__SLEEP,
    .memory = WEFT__FUTURE_88,
    .cancel = sleep_cancel,
    .abandon = weft__timed_drop,
    .dispose = sleep_dispose,
};

weft_future *weft_sleep(weft_executor *e, int64_t delay, void *value)
{
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    if (weft__refused_phase(e))
        return weft__refuse(-ESHUTDOWN);
    weft_future *f = weft__future_new(e, &sleep_ops);
    if (!f)
        return NULL;
    f->value = value;
    bool timed = weft__timed_arm(f, delay);
    int64_t deadline = weft__link_timer(&f->link)->deadline;
    weft__future_publish(f, 1, 0);
    if (timed && !weft__timed_post(f, deadline))
        weft__cancel(f, WEFT_REASON_SHUTDOWN);
    /* While an executor drains, waiting is not drained. seq_cst: see weft__future_publish. */
    if (atomic_load_explicit(&e->phase, memory_order_seq_cst) != WEFT__OPEN)
        weft__cancel(f, WEFT_REASON_SHUTDOWN);
    return f;
}
