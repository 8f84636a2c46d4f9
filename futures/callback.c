/* callback.c: functions of the program's that run on the coordinator when a future is done.
 *
 * A callback is a node in its future's waiter list and, when its time has come, a message to the coordinator. It is
 * posted by who settles the future, under the future's LOCK and before the future can be seen done (settle.c tells
 * why).
 *
 *   REGISTERED -> DUE          the settler, under LOCK; or on_done, for a future that is done already
 *   REGISTERED, DUE -> REMOVED weft_callback_remove
 *   DUE -> RUNS -> RAN         the coordinator
 *
 * Two references: the handle's, if the caller asked for one, and the registration's, which ends with REMOVED or RAN.
 *
 * A hook of a token goes through the same states (hook.c). */
#include "callback.h"

#include <errno.h>

enum { STATE_MASK = 7, ONE_REFERENCE = 8 };

static const weft__callback_ops *ops_of(const weft_callback *cb)
{
    return (const weft__callback_ops *)(const void *)weft__link_ops(&cb->link);
}

/* ---- what hooks share ---- */

weft_callback *weft__callback_new(weft_executor *e, const weft__callback_ops *ops, bool handle)
{
    weft__port *port = weft__port_get(e);
    weft_callback *cb = port ? weft__slab_alloc(&port->heap, WEFT__CALLBACK) : NULL;
    if (!cb)
        return NULL;
    atomic_store_explicit(&cb->link.ops, &ops->link, memory_order_relaxed);
    cb->node.next = cb->node.previous = NULL;
    cb->node.notify = weft__callback_notify;
    cb->executor = e;
    atomic_store_explicit(&cb->word, WEFT__REGISTERED | (handle ? 2 : 1) * ONE_REFERENCE, memory_order_relaxed);
    return cb;
}

void weft__callback_unref(weft_callback *cb)
{
    /* acq_rel, with all other drops: who frees comes after everybody's last use. */
    if (atomic_fetch_sub_explicit(&cb->word, ONE_REFERENCE, memory_order_acq_rel) >> 3 != 1)
        return;
    const weft__callback_ops *ops = ops_of(cb);
    weft_callback copy = {.future = cb->future};
    weft__port *port = weft__port_find(cb->executor);
    weft__slab_free(port ? &port->heap : NULL, cb);
    ops->dispose(&copy);
}

/* acq_rel, each with the next and with the look in wait_until_ran: what was done in one state is seen in the next; who
 * sees RAN sees all that the program's function did. */
bool weft__callback_change(weft_callback *cb, unsigned from, unsigned to)
{
    uint64_t word = atomic_load_explicit(&cb->word, memory_order_acquire);
    do {
        if ((word & STATE_MASK) != from)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&cb->word, &word, word - from + to, memory_order_acq_rel,
                                                    memory_order_acquire));
    return true;
}

void weft__callback_run(weft__link *link, weft__thread *none)
{
    (void)none;
    weft_callback *cb = weft__link_callback(link);
    if (weft__callback_change(cb, WEFT__DUE, WEFT__RUNS)) {
        weft_executor *e = cb->executor;
        uint32_t noted =
            weft__tracing(e) ? weft__trace_begin(e, WEFT__NOTE_CALLBACK, NULL, (weft__mark){0, 0}, false) : 0;
        ops_of(cb)->call(cb);
        weft__trace_end(e, noted, 0);
        weft__count_for(cb->executor, offsetof(weft__counts, callbacks), 1);
        weft__callback_change(cb, WEFT__RUNS, WEFT__RAN);
        weft__futex_wake(weft__futex_half(&cb->word), INT32_MAX);
    }
    weft__callback_unref(cb);
}

static int wait_until_ran(weft_callback *cb)
{
    for (;;) {
        /* Acquire, partner of the change to RAN. */
        uint64_t word = atomic_load_explicit(&cb->word, memory_order_acquire);
        if ((word & STATE_MASK) != WEFT__RUNS)
            break;
        if (weft__self.coordinator && weft__self.coordinator->executor == cb->executor)
            break; /* in the callback itself: nothing else runs on this thread */
        weft__futex_wait(weft__futex_half(&cb->word), (uint32_t)word, INT64_MAX);
    }
    uint64_t word = atomic_load_explicit(&cb->word, memory_order_relaxed);
    weft__callback_unref(cb);
    return (word & STATE_MASK) == WEFT__REMOVED ? 0 : -EALREADY;
}

int weft_callback_remove(weft_callback *cb)
{
    if (!cb)
        return -EINVAL;
    if (weft__stale(cb->executor))
        return -ESTALE;
    if (ops_of(cb)->detach(cb)) {
        weft__callback_change(cb, WEFT__REGISTERED, WEFT__REMOVED);
        weft__callback_unref(cb); /* the registration's */
        weft__callback_unref(cb);
        return 0;
    }
    /* It is on its way; the coordinator drops the registration when it meets it. */
    if (weft__callback_change(cb, WEFT__DUE, WEFT__REMOVED)) {
        weft__callback_unref(cb);
        return 0;
    }
    return wait_until_ran(cb);
}

/* ---- callbacks of futures ---- */

weft__link *weft__callback_posted(weft__waiter *node)
{
    weft_callback *cb = weft__node_callback(node);
    weft__callback_change(cb, WEFT__REGISTERED, WEFT__DUE);
    return &cb->link;
}

void weft__callback_notify(weft__waiter *node)
{
    (void)node;
}

static bool post(weft_callback *cb)
{
    return weft__coordinator_post(&cb->executor->coordinator, weft__callback_posted(&cb->node), 0);
}

static void callback_arrived(weft__link *link, weft__coordinator *c)
{
    weft__settle_verdict(weft__link_callback(link)->future); /* its settler may have been held up after posting */
    weft__coordinator_defer(c, link);
}

static void callback_call(weft_callback *cb)
{
    int error = cb->fn(cb->future, cb->data);
    weft__fork_check(cb->executor);
    if (error)
        weft__report_unobserved(cb->executor, weft__name(cb->future), error);
    weft__fork_check(cb->executor);
}

static bool callback_detach(weft_callback *cb)
{
    return weft__detach(cb->future, &cb->node);
}

static void callback_dispose(weft_callback *cb)
{
    weft__unref(cb->future);
}

static const weft__callback_ops callback_ops = {
    .link = {.handle = callback_arrived, .run = weft__callback_run},
    .detach = callback_detach,
    .call = callback_call,
    .dispose = callback_dispose,
};

int weft_on_done(weft_future *f, weft_done_fn *fn, void *data, weft_callback **handle)
{
    if (!f)
        return weft__no_future();
    if (!fn)
        return -EINVAL;
    if (weft__stale(f->executor))
        return -ESTALE;
    if (weft__refused_phase(f->executor))
        return -ESHUTDOWN;
    weft_callback *cb = weft__callback_new(f->executor, &callback_ops, handle);
    if (!cb)
        return -ENOMEM;
    cb->future = weft_future_retain(f);
    cb->fn = fn;
    cb->data = data;
    if (handle)
        *handle = cb; /* before the callback can run */
    if (weft__attach(f, &cb->node) || post(cb))
        return 0;
    if (handle) {
        *handle = NULL;
        weft__callback_unref(cb);
    }
    weft__callback_unref(cb);
    return -ESHUTDOWN;
}
