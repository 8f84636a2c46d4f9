/* coordinator.h: the one thread of an executor that owns time.
 *
 * Everything that needs the clock or must happen one after the other comes here: timers, callbacks, token hooks, the
 * propagation of a request to the inputs of a composite and to what hangs on a token, shutdown. It is reached through a
 * one-word mailbox and sleeps until the next event of its timer wheel; it never waits for anything else. */
#ifndef WEFT__COORDINATOR_H
#define WEFT__COORDINATOR_H

#include "link.h"
#include "mailbox.h"
#include "thread.h"
#include "timer_wheel.h"

#include <pthread.h>
#include <weft/base.h>

typedef struct weft__coordinator {
    weft__mailbox mailbox;
    /* The coordinator alone. */
    alignas(WEFT__PAIR) weft__wheel wheel;
    weft_executor *executor;
    weft__link *callbacks_first, *callbacks_last; /* callbacks due to run, oldest first */
    weft__port port;
    bool busy;        /* this round had something to do */
    bool closed;      /* the mailbox is closed: nothing is left to do but to end */
    unsigned hurries; /* sleeps in a row that were short because timers come close together, up to a few */
    int64_t fired_at; /* the time of the last round in which a timer fired; 0: none has */
    pthread_t id;
    _Atomic(bool) lingers; /* it sleeps for SOON_NS at most, or is awake; posters of what can wait a little read it */
    _Atomic(uint32_t) in_callback; /* 1 while foreign code runs here; who only wants figures does not wait for it */
    weft__link *ticks;             /* of those who wait until all that is due is resolved (clock.c) */
    struct weft__coordinator *next_on_clock; /* the clock's lock */
    /* Shutdown's message, posted by whoever has news for it. */
    weft__link news;
    _Atomic(uint32_t) news_posted;
    uint32_t shut_mode; /* 1 + the mode that tenant->shut was last called with; 0 none */
} weft__coordinator;

/* Hands a link to the coordinator. deadline: when it must have been looked at, at the latest, absolute on the
 * executor's clock (0: at once; WEFT_FOREVER: whenever it is awake anyway). false: it is gone, nothing was done. Any
 * thread, wait-free but for the contention on one word; does not block. */
bool weft__coordinator_post(weft__coordinator *c, weft__link *link, int64_t deadline);

/* The deadline for what should be looked at soon but not for each one at once, such as a timer that is of no more use:
 * WEFT_FOREVER while the coordinator is awake or lingers, 0 when it sleeps for long. */
int64_t weft__coordinator_soon(const weft__coordinator *c);

/* The same for a chain, oldest first; nothing else comes in between. */
bool weft__coordinator_post_chain(weft__coordinator *c, weft__link *first, weft__link *last, int64_t deadline);

/* On the coordinator: calls link's run, with NULL for a thread, after what is due, and after those deferred before. */
void weft__coordinator_defer(weft__coordinator *c, weft__link *link);

/* Any thread: shutdown may have got further. */
void weft__coordinator_news(weft__coordinator *c);

int weft__coordinator_start(weft_executor *e);
void weft__coordinator_join(weft_executor *e);

static inline weft__timer *weft__link_timer(weft__link *link)
{
    return (weft__timer *)(void *)((char *)link + WEFT__TIMER_OFFSET);
}

static inline weft__link *weft__timer_link(weft__timer *timer)
{
    return (weft__link *)(void *)((char *)timer - WEFT__TIMER_OFFSET);
}

#endif
