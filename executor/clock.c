/* clock.c: the manual clock.
 *
 * A manual clock is a number and the list of coordinators that live by it. Advancing it sends each of them a tick and
 * waits until it says that everything due by then is resolved. The tick lies on the asker's stack and goes through the
 * mailbox, behind the messages that were there before it: a timer armed before advance() was called is in the wheel
 * when the tick arrives. It is answered at the end of the next round, the first that looks at the clock after its
 * arrival. */
#include "clock.h"

#include "executor.h"

#include <errno.h>

struct weft_clock {
    _Atomic(int64_t) now;      /* moved under lock, read by anyone */
    pthread_mutex_t advancing; /* one advance at a time; taken before lock */
    pthread_mutex_t lock;      /* the list; held briefly, so a callback may take it */
    weft__coordinator *first;  /* those who live by this clock */
    uint32_t generation;       /* weft__generation when it was made; constant */
};

weft_clock *weft_manual_clock_create(void)
{
    weft_clock *clock = weft__fork_watch() ? NULL : weft__memory_alloc(sizeof *clock);
    if (!clock)
        return weft__refuse(-ENOMEM);
    atomic_init(&clock->now, 0);
    clock->first = NULL;
    clock->generation = weft__generation;
    pthread_mutex_init(&clock->advancing, NULL);
    pthread_mutex_init(&clock->lock, NULL);
    return clock;
}

bool weft__clock_stale(const weft_clock *clock)
{
    return clock && weft__inherited(clock->generation);
}

void weft_clock_destroy(weft_clock *clock)
{
    if (!clock || weft__clock_stale(clock))
        return;
    pthread_mutex_destroy(&clock->advancing);
    pthread_mutex_destroy(&clock->lock);
    weft__memory_free(clock, sizeof *clock);
}

int64_t weft__clock_read(const weft_clock *clock)
{
    /* Acquire, partner of the release in advance: who sees the new time sees what was done before it came. */
    return clock ? atomic_load_explicit(&clock->now, memory_order_acquire) : weft__now();
}

int64_t weft_clock_now(const weft_clock *clock)
{
    return weft__clock_read(clock);
}

/* ---- waiting for coordinators ---- */

static void tick_arrived(weft__link *link, weft__coordinator *c)
{
    atomic_store_explicit(&link->next, c->ticks, memory_order_relaxed);
    c->ticks = link;
}

static const weft__ops tick_ops = {.handle = tick_arrived};

typedef struct tick {
    weft__link link;
    _Atomic(uint32_t) answered;
} tick;

void weft__clock_answer(weft__link *asked)
{
    for (weft__link *link = asked, *next; link; link = next) {
        next = atomic_load_explicit(&link->next, memory_order_relaxed);
        tick *t = (tick *)(void *)link;
        /* Release: all that is resolved. After it the asker's stack may be gone but for its address. */
        atomic_store_explicit(&t->answered, 1, memory_order_release);
        weft__futex_wake(&t->answered, 1);
    }
}

void weft__clock_settle(weft__coordinator *c)
{
    tick t = {.answered = 0};
    atomic_init(&t.link.ops, &tick_ops);
    if (!weft__coordinator_post(c, &t.link, 0))
        return; /* it is gone: nothing of it can become due */
    while (!atomic_load_explicit(&t.answered, memory_order_acquire))
        weft__futex_wait(&t.answered, 0, INT64_MAX);
}

static void move_hands(weft_clock *clock, int64_t by)
{
    pthread_mutex_lock(&clock->lock);
    int64_t now = atomic_load_explicit(&clock->now, memory_order_relaxed);
    atomic_store_explicit(&clock->now, weft__deadline(now, by), memory_order_release);
    for (weft__coordinator *c = clock->first; c; c = c->next_on_clock)
        weft__coordinator_news(c);
    pthread_mutex_unlock(&clock->lock);
}

/* Of those who live by the clock the one whose executor has the least id above this one, pinned: it may leave while it is
 * waited for, when a callback on another one destroys its executor. NULL: there is none. */
static weft__coordinator *next_of(weft_clock *clock, uint64_t id)
{
    weft__coordinator *next = NULL;
    pthread_mutex_lock(&clock->lock);
    for (weft__coordinator *c = clock->first; c; c = c->next_on_clock)
        if (c->executor->id > id && (!next || c->executor->id < next->executor->id))
            next = c;
    if (next)
        weft__executor_pin(next->executor); /* who has not left has its structure: destroy comes to that later */
    pthread_mutex_unlock(&clock->lock);
    return next;
}

void weft_manual_clock_advance(weft_clock *clock, int64_t by)
{
    if (!clock || weft__clock_stale(clock) || by < 0)
        return;
    if (weft__self.coordinator) {
        move_hands(clock, by);
        return;
    }
    uint64_t id = 0;
    pthread_mutex_lock(&clock->advancing);
    move_hands(clock, by);
    for (weft__coordinator *c; (c = next_of(clock, id)); weft__executor_unpin(c->executor)) {
        id = c->executor->id;
        weft__clock_settle(c);
    }
    pthread_mutex_unlock(&clock->advancing);
}

void weft__clock_join(weft_clock *clock, weft__coordinator *c)
{
    if (!clock)
        return;
    pthread_mutex_lock(&clock->lock);
    c->next_on_clock = clock->first;
    clock->first = c;
    pthread_mutex_unlock(&clock->lock);
}

void weft__clock_leave(weft_clock *clock, weft__coordinator *c)
{
    if (!clock)
        return;
    pthread_mutex_lock(&clock->lock);
    weft__coordinator **link = &clock->first;
    while (*link != c)
        link = &(*link)->next_on_clock;
    *link = c->next_on_clock;
    pthread_mutex_unlock(&clock->lock);
}
