/* queue.h: what queue.c and as_completed.c share: a queue of completions and its parts. The protocol is told in
 * queue.c. */
#ifndef WEFT__QUEUE_H
#define WEFT__QUEUE_H

#include "future.h"

#include <weft/queue.h>

/* One future that was added. Its node is in the future's list, then in the list of what its settler has to notify, then
 * in the queue's stack, then in its list `ready`; while it stands for nothing it is in `unused`. Aligned so that three
 * bits beside its address are free. */
typedef struct weft__completion {
    alignas(8)
        weft__waiter node; /* must be first; node.next links the stack and the two lists: whoever has it writes */
    weft_queue *queue;     /* set by who adds, before the node is attached */
    weft_future *future;   /* a reference; NULL: delivered, given up or unused. Under the queue's lock */
    void *tag;             /* set with the future; then what as_completed.c keeps of one that it gave up */
} weft__completion;

/* Entries are allocated so many at a time, and each is used again when it has been delivered. */
typedef struct weft__completions {
    struct weft__completions *next;
    size_t n; /* constant */
    weft__completion entries[];
} weft__completions;

/* A thread that is blocked in weft_queue_next; on its stack. */
typedef struct weft__consumer {
    struct weft__consumer *next, *previous; /* under the queue's lock */
    weft__thread *thread;                   /* whose bell to ring; NULL: an outside thread. Constant */
    _Atomic(uint32_t) told;                 /* 1: look again. Set under the lock by who wakes it; futex of an outside
                                               thread. Set: no longer in the list */
} weft__consumer;

struct weft_queue {
    /* Written by every thread that settles: the newest entry not taken yet, or one of the bits below, or 0. */
    alignas(WEFT__PAIR) _Atomic(uintptr_t) head;

    /* What consumers and who adds have to themselves; all of it under the lock. */
    alignas(WEFT__PAIR) pthread_mutex_t lock;
    weft__completion *ready; /* taken off the stack, oldest first */
    size_t outstanding;      /* entries that have a future: added and neither delivered nor given up */
    size_t early;            /* delivered without one; their push is still to be taken. as_completed.c */
    weft__completions *chunks;
    weft__completion *unused;
    size_t untouched; /* entries at the end of the first chunk that were never used */
    weft__consumer *first, *last;
    unsigned coming;            /* consumers that were told and have not had the lock since */
    uintptr_t asked;            /* the bits of head that were set and that no push is known to have cleared */
    uint32_t cleared;           /* pushes known to have cleared bits */
    _Atomic(uint32_t) answered; /* of those, how many have done what they owe; destroy sleeps on it */
    int event;                  /* negative: none */
    bool raised;                /* the event is readable */

    /* Of weft_as_completed; the first three constant. */
    bool fixed;          /* nothing can be added; the queue and its one chunk are one block */
    size_t size;         /* of that block, or of the queue */
    uint32_t generation; /* of the process that made it, see fork.h; constant in any queue */
    int64_t deadline;    /* CLOCK_MONOTONIC; INT64_MAX: none */
    bool expired;        /* the deadline has been acted on. Under the lock, as what follows */
    bool gave_up;        /* and there was something left that was not done */
    size_t cursor;       /* entries below it have no future any more */

    /* Entries that no list of the queue had when it was destroyed, less those whose settlers have met its end since.
     * Who makes it 0 after destroy has counted frees the queue. */
    _Atomic(ptrdiff_t) late;
};

/* Bits of head. ASLEEP and WATCHED stand there only while there is no completion to be had. */
enum {
    WEFT__QUEUE_ASLEEP = 1,  /* a consumer is blocked: whoever pushes is to wake it */
    WEFT__QUEUE_WATCHED = 2, /* there is an event: whoever pushes is to raise it */
    WEFT__QUEUE_CLOSED = 4   /* destroyed: nothing can be pushed; alone */
};
_Static_assert(alignof(weft__completion) >= 8, "three bits are free beside its address");

static inline weft__waiter *weft__node_of(weft__completion *entry)
{
    return (weft__waiter *)(void *)entry;
}

static inline weft__completion *weft__node_completion(weft__waiter *node)
{
    return (weft__completion *)(void *)node;
}

/* queue.c. All of a queue is in `size` zeroed bytes. NULL: no memory. */
weft_queue *weft__queue_new(size_t size);
void weft__completion_done(weft__waiter *node); /* notify of every entry; also for a future that was done when added */

/* as_completed.c; under the lock. expire: if the deadline has passed, sees to it that nothing more is added to what is
 * done; returns what is then to be released when the lock is free. early: an entry whose future is done but that has
 * not been pushed, or NULL; only after the deadline. */
weft__completion *weft__queue_expire(weft_queue *q);
void weft__queue_release(weft__completion *given_up);
weft__completion *weft__queue_early(weft_queue *q);

#endif
