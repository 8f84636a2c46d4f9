/* hook.c: functions of the program's that run on the coordinator when a token is set.
 *
 * A hook waits in its token's list, under the token's lock. When the token is set the coordinator takes the whole list
 * and puts the hooks, oldest first, behind the callbacks that it already has to run. One that is registered with a
 * token that is set gets there by way of the mailbox: whoever registers looks at the flag under the lock, and the
 * coordinator takes the lock after the flag was there, so each hook is either in the list or posted. What is posted may
 * overtake the news that the token is set; so whichever comes first takes the list along.
 *
 * A hook holds the memory of its token but is no reference to it. When the last reference goes nobody can set the token
 * any more, and its hooks are dropped uncalled. */
#include "callback.h"
#include "token.h"

#include <errno.h>

static void call(weft_callback *cb)
{
    cb->hook(cb->data);
    weft__fork_check(cb->executor);
}

/* ---- the list; under the lock ---- */

static void append(weft_token *t, weft__waiter *node)
{
    weft__waiter *first = t->hooks;
    node->next = NULL;
    node->previous = first ? first->previous : node;
    if (first) {
        first->previous->next = node;
        first->previous = node;
    } else {
        t->hooks = node;
    }
}

static void take_out(weft_token *t, weft__waiter *node)
{
    weft__waiter *first = t->hooks;
    if (node == first) {
        t->hooks = node->next;
        if (node->next)
            node->next->previous = first->previous;
    } else {
        node->previous->next = node->next;
        if (node->next)
            node->next->previous = node->previous;
        else
            first->previous = node->previous;
    }
    node->previous = NULL;
}

static bool detach(weft_callback *cb)
{
    weft_token *t = cb->token;
    weft__tiny_lock_take(&t->lock);
    bool attached = cb->node.previous != NULL;
    if (attached)
        take_out(t, &cb->node);
    weft__tiny_unlock(&t->lock);
    return attached;
}

static void dispose(weft_callback *cb)
{
    weft__token_let_go(cb->token);
}

static void arrived(weft__link *link, weft__coordinator *c)
{
    weft_token *t = weft__link_callback(link)->token;
    weft__tiny_lock_take(&t->lock);
    weft__hooks_due(t, c); /* registered before it */
    weft__tiny_unlock(&t->lock);
    weft__coordinator_defer(c, link);
}

static const weft__callback_ops hook_ops = {
    .link = {.handle = arrived, .run = weft__callback_run},
    .detach = detach,
    .call = call,
    .dispose = dispose,
};

void weft__hooks_due(weft_token *t, weft__coordinator *c)
{
    for (weft__waiter *node; (node = t->hooks);) {
        take_out(t, node);
        weft__coordinator_defer(c, weft__callback_posted(node));
    }
}

void weft__hooks_drop(weft_token *t)
{
    weft__waiter *dropped = NULL;
    weft__tiny_lock_take(&t->lock);
    for (weft__waiter *node; (node = t->hooks);) {
        take_out(t, node);
        weft__callback_change(weft__node_callback(node), WEFT__REGISTERED, WEFT__REMOVED);
        node->next = dropped;
        dropped = node;
    }
    weft__tiny_unlock(&t->lock);
    for (weft__waiter *node = dropped, *next; node; node = next) {
        next = node->next;
        weft__callback_unref(weft__node_callback(node)); /* the registration's */
    }
}

static bool attach(weft_token *t, weft_callback *cb)
{
    weft__tiny_lock_take(&t->lock);
    /* seq_cst, partner of set_word in token.c: not set here means that the coordinator's look at the list comes
     * later. */
    bool waits = !(atomic_load_explicit(&t->word, memory_order_seq_cst) & WEFT__TOKEN_SET);
    if (waits)
        append(t, &cb->node);
    weft__tiny_unlock(&t->lock);
    return waits;
}

int weft_token_on_cancel(weft_token *t, void (*hook)(void *data), void *data, weft_callback **handle)
{
    if (!t || !hook)
        return -EINVAL;
    if (weft__stale(t->executor))
        return -ESTALE;
    if (weft__refused_phase(t->executor))
        return -ESHUTDOWN;
    weft_callback *cb = weft__callback_new(t->executor, &hook_ops, handle);
    if (!cb)
        return -ENOMEM;
    weft__token_hold(t);
    cb->token = t;
    cb->hook = hook;
    cb->data = data;
    if (handle)
        *handle = cb; /* before the hook can be called */
    if (attach(t, cb) || weft__coordinator_post(&t->executor->coordinator, weft__callback_posted(&cb->node), 0))
        return 0;
    if (handle) {
        *handle = NULL;
        weft__callback_unref(cb);
    }
    weft__callback_unref(cb);
    return -ESHUTDOWN;
}
