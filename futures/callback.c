/* callback.c: functions of the program's that run on the coordinator when a future is done.
 *
 * A callback is a node in its future's waiter list and, when its time has come, a message to the coordinator. It is
 * posted by who settles the future, under the future's LOCK and before the future can be seen done (settle.c tells why).
 *
 *   ATTACHED -> POSTED    the settler, under LOCK; or on_done, for a future that is done already
 *   ATTACHED, POSTED -> REMOVED   weft_callback_remove
 *   POSTED -> RUNNING -> RAN      the coordinator
 *
 * Two references: the handle's, if the caller asked for one, and the registration's, which ends with REMOVED or RAN. */
#include "future.h"

#include <errno.h>

enum { ATTACHED, POSTED, RUNNING, RAN, REMOVED, STATE_MASK = 7, ONE_REFERENCE = 8 };

struct weft_callback {
    _Atomic(uint64_t) word; /* state and references */
    weft__link link;        /* in the mailbox, then in the coordinator's list of callbacks */
    weft__waiter node;      /* in the future's list */
    weft_future *future;    /* referenced until the callback is freed */
    weft_done_fn *fn;
    void *data;
};
_Static_assert(sizeof(struct weft_callback) <= 96, "a callback fits its class");

static weft_callback *of_node(weft__waiter *node)
{
    return (weft_callback *)(void *)((char *)node - offsetof(struct weft_callback, node));
}

static weft_callback *of_link(weft__link *link)
{
    return (weft_callback *)(void *)((char *)link - offsetof(struct weft_callback, link));
}

static void callback_unref(weft_callback *cb)
{
    if (atomic_fetch_sub_explicit(&cb->word, ONE_REFERENCE, memory_order_acq_rel) >> 3 != 1)
        return;
    weft_future *f = cb->future;
    weft__port *port = weft__port_find(f->executor);
    weft__slab_free(port ? &port->heap : NULL, cb);
    weft__unref(f);
}

static bool change(weft_callback *cb, unsigned from, unsigned to)
{
    uint64_t word = atomic_load_explicit(&cb->word, memory_order_acquire);
    do {
        if ((word & STATE_MASK) != from)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&cb->word, &word, word - from + to, memory_order_acq_rel,
                                                    memory_order_acquire));
    return true;
}

weft__link *weft__callback_posted(weft__waiter *node)
{
    change(of_node(node), ATTACHED, POSTED);
    return &of_node(node)->link;
}

void weft__callback_notify(weft__waiter *node)
{
    (void)node;
}

static bool post(weft_callback *cb)
{
    return weft__coordinator_post(&cb->future->executor->coordinator, weft__callback_posted(&cb->node), 0);
}

static void callback_arrived(weft__link *link, weft__coordinator *c)
{
    weft__settle_verdict(of_link(link)->future); /* its settler may have been held up after posting */
    weft__coordinator_defer(c, link);
}

static void callback_run(weft__link *link, weft__thread *none)
{
    (void)none;
    weft_callback *cb = of_link(link);
    if (change(cb, POSTED, RUNNING)) {
        weft_future *f = cb->future;
        int error = cb->fn(f, cb->data);
        if (error)
            weft__report_unobserved(f->executor, weft__name(f), error);
        weft__count_for(f->executor, offsetof(weft__counts, callbacks), 1);
        change(cb, RUNNING, RAN);
        weft__futex_wake(weft__futex_half(&cb->word), INT32_MAX);
    }
    callback_unref(cb);
}

static const weft__ops callback_ops = {.handle = callback_arrived, .run = callback_run};

int weft_on_done(weft_future *f, weft_done_fn *fn, void *data, weft_callback **handle)
{
    if (!f)
        return weft__no_future();
    if (!fn)
        return -EINVAL;
    weft_executor *e = f->executor;
    if (weft__refused_phase(e))
        return -ESHUTDOWN;
    weft__port *port = weft__port_get(e);
    weft_callback *cb = port ? weft__slab_alloc(&port->heap, WEFT__CALLBACK) : NULL;
    if (!cb)
        return -ENOMEM;
    cb->link.ops = &callback_ops;
    cb->node.notify = weft__callback_notify;
    cb->future = weft_future_retain(f);
    cb->fn = fn;
    cb->data = data;
    atomic_store_explicit(&cb->word, ATTACHED | (handle ? 2 : 1) * ONE_REFERENCE, memory_order_relaxed);
    if (handle)
        *handle = cb; /* before the callback can run */
    if (weft__attach(f, &cb->node) || post(cb))
        return 0;
    if (handle) {
        *handle = NULL;
        callback_unref(cb);
    }
    callback_unref(cb);
    return -ESHUTDOWN;
}

static int wait_until_ran(weft_callback *cb)
{
    for (;;) {
        uint64_t word = atomic_load_explicit(&cb->word, memory_order_acquire);
        if ((word & STATE_MASK) != RUNNING)
            break;
        if (weft__self.coordinator && weft__self.coordinator->executor == cb->future->executor)
            break; /* in the callback itself: nothing else runs on this thread */
        weft__futex_wait(weft__futex_half(&cb->word), (uint32_t)word, INT64_MAX);
    }
    callback_unref(cb);
    return -EALREADY;
}

int weft_callback_remove(weft_callback *cb)
{
    if (!cb)
        return -EINVAL;
    if (weft__detach(cb->future, &cb->node)) {
        change(cb, ATTACHED, REMOVED);
        callback_unref(cb); /* the registration's */
        callback_unref(cb);
        return 0;
    }
    /* It is on its way; the coordinator drops the registration when it meets it. */
    if (change(cb, POSTED, REMOVED)) {
        callback_unref(cb);
        return 0;
    }
    return wait_until_ran(cb);
}
