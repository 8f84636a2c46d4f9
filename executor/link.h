/* link.h: how the executor sees what it carries.
 *
 * A job in a queue and a message in the coordinator's mailbox are the same thing to the executor: a link to the next
 * one and a table of what may be done with it. futures/ embeds a weft__link in everything that it sends, so that a new
 * kind of future needs no change here. A link is in one place at a time: one queue, or the mailbox, or a list
 * of callbacks to be run or of futures to be disposed of. */
#ifndef WEFT__LINK_H
#define WEFT__LINK_H

#include "atomics.h"

struct weft__thread;
struct weft__coordinator;
typedef struct weft__link weft__link;

typedef struct weft__ops {
    /* On a worker that took the link out of a queue, which hands over the queue's reference. Or on the coordinator, with
     * NULL for a thread: a callback or hook whose turn it is, or what was in a queue when it emptied that. */
    void (*run)(weft__link *link, struct weft__thread *thread);
    /* On the coordinator that took the link out of its mailbox, which hands over the mailbox's reference. */
    void (*handle)(weft__link *link, struct weft__coordinator *coordinator);
    /* On the coordinator, when the timer that stands WEFT__TIMER_OFFSET behind the link was due. */
    void (*expire)(weft__link *link, struct weft__coordinator *coordinator);
} weft__ops;

/* What has a timer keeps it at this distance behind its link, so that 24 bytes of timer need no pointer back. */
#define WEFT__TIMER_OFFSET 56

struct weft__link {
    _Atomic(weft__link *) next; /* written by whoever holds the link; read by the consumer of the queue it is in */
    _Atomic(const weft__ops *)
        ops; /* set before the link is first shared; atomic only because shutdown's walk may look at
                                       memory that is just being made into something else */
};

/* A link in a deque that is closed to all but its owner (deque.h) is its own next, so that who comes to it by another
 * way can tell. Relaxed, both: who has to see it has been told of the link's being there by the program. */
static inline void weft__link_enclose(weft__link *link)
{
    atomic_store_explicit(&link->next, link, memory_order_relaxed);
}

static inline bool weft__link_enclosed(const weft__link *link)
{
    return atomic_load_explicit(&link->next, memory_order_relaxed) == link;
}

static inline const weft__ops *weft__link_ops(const weft__link *link)
{
    return atomic_load_explicit(&link->ops, memory_order_relaxed);
}

#endif
