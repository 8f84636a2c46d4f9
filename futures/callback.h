/* callback.h: what callbacks of futures and hooks of tokens have in common.
 *
 * Both are registered with something, have their time once, run on its executor's coordinator, and can be taken back by
 * a handle. callback.c has the states and what both share; hook.c the tokens' part. */
#ifndef WEFT__CALLBACK_H
#define WEFT__CALLBACK_H

#include "future.h"

enum { WEFT__REGISTERED, WEFT__DUE, WEFT__RUNS, WEFT__RAN, WEFT__REMOVED };

struct weft_callback {
    _Atomic(uint64_t) word;  /* state and references */
    weft__link link;         /* in the mailbox, then in the coordinator's list of callbacks */
    weft__waiter node;       /* in the list of the future (under LOCK) or of the token (under its lock) */
    weft_executor *executor; /* constant, as all below */
    union {
        weft_future *future; /* referenced until the callback is freed */
        weft_token *token;   /* its memory is held until then */
    };
    union {
        weft_done_fn *fn;
        void (*hook)(void *data);
    };
    void *data;
};
_Static_assert(sizeof(struct weft_callback) <= 96, "a callback fits its class");

/* What is different. weft__link_ops(&callback->link) points to the first member. */
typedef struct weft__callback_ops {
    weft__ops link;
    bool (*detach)(weft_callback *cb);  /* out of the list; false: it is in none */
    void (*call)(weft_callback *cb);    /* runs the program's function */
    void (*dispose)(weft_callback *cb); /* gives up what it is registered with */
} weft__callback_ops;

static inline weft_callback *weft__node_callback(weft__waiter *node)
{
    return (weft_callback *)(void *)((char *)node - offsetof(struct weft_callback, node));
}

static inline weft_callback *weft__link_callback(weft__link *link)
{
    return (weft_callback *)(void *)((char *)link - offsetof(struct weft_callback, link));
}

/* NULL: no memory. With a reference for the registration and one for the handle. */
weft_callback *weft__callback_new(weft_executor *e, const weft__callback_ops *ops, bool handle);
bool weft__callback_change(weft_callback *cb, unsigned from, unsigned to);
void weft__callback_unref(weft_callback *cb);
void weft__callback_run(weft__link *link, weft__thread *none);

#endif
