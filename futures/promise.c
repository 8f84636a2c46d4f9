/* promise.c: a future that the program resolves itself.
 *
 * The promise and its future are one object; the promise is one of its references. */
#include "future.h"

#include <errno.h>

static weft_cancel_effect promise_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next)
{
    (void)next;
    if (weft__settle_cancelled(f, reason))
        return WEFT_CANCEL_DONE;
    weft__wait_settled(f);
    return WEFT_CANCEL_TOO_LATE;
}

static void promise_dispose(weft_future *f, uint64_t word)
{
    if (weft__state(word) == WEFT_SUCCEEDED && !(word & WEFT__TAKEN) && f->free_value)
        f->free_value(f->value);
}

static const weft__future_ops promise_ops = {
    .kind = WEFT__PROMISE,
    .memory = WEFT__FUTURE_64,
    .cancel = promise_cancel,
    .dispose = promise_dispose,
};

static weft_future *future_of(weft_promise *promise)
{
    return (weft_future *)(void *)promise;
}

weft_promise *weft_promise_create(weft_executor *e)
{
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    weft_future *f = weft__refused_phase(e) ? (errno = ESHUTDOWN, NULL) : weft__future_new(e, &promise_ops);
    if (!f)
        return NULL;
    f->free_value = NULL;
    weft__future_publish(f, 1, 0);
    if (weft__sealed(e)) {
        weft__unref(f);
        errno = ESHUTDOWN;
        return NULL;
    }
    return (weft_promise *)(void *)f;
}

weft_future *weft_promise_future(weft_promise *promise)
{
    return promise ? weft_future_retain(future_of(promise)) : NULL;
}

int weft_promise_resolve(weft_promise *promise, void *value, void (*free_value)(void *))
{
    if (!promise)
        return -EINVAL;
    weft_future *f = future_of(promise);
    if (weft__stale(f->executor))
        return -ESTALE;
    if (!weft__claim(f, WEFT__CLAIMED, 0))
        return -EALREADY;
    f->value = value;
    f->free_value = free_value;
    weft__settle(f, WEFT_SUCCEEDED, 0);
    return 0;
}

int weft_promise_reject(weft_promise *promise, int code)
{
    if (!promise || (code <= 0 && code != -ECANCELED))
        return -EINVAL;
    weft_future *f = future_of(promise);
    if (weft__stale(f->executor))
        return -ESTALE;
    if (code == -ECANCELED)
        return weft__settle_cancelled(f, WEFT_REASON_SELF) ? 0 : -EALREADY;
    if (!weft__claim(f, WEFT__CLAIMED, 0))
        return -EALREADY;
    f->error = code;
    weft__settle(f, WEFT_FAILED, 0);
    return 0;
}

void weft_promise_destroy(weft_promise *promise)
{
    if (!promise || weft__stale(future_of(promise)->executor))
        return;
    weft_future *f = future_of(promise);
    if (weft__claim(f, WEFT__CLAIMED, 0)) {
        /* A promise that nobody took a future of breaks no promise. */
        if (weft__refs(weft__word(f)) == 1)
            weft__observe(f);
        f->error = -EOWNERDEAD;
        weft__settle(f, WEFT_FAILED, 0);
    }
    weft__unref(f);
}
