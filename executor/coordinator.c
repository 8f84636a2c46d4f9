/* coordinator.c: the coordinator's loop.
 *
 * One round: look at the clock; take what is in the mailbox, oldest first, and do each thing; let every timer that was
 * due at that look expire, in order of deadline; answer a manual clock that asked; run one callback or hook of the
 * program's, if one is due; move far timers nearer if there is nothing else; sleep until the wheel's next event.
 * Callbacks come one a round, after timers, because they are foreign code that may take its time: what arrives
 * meanwhile is looked at before the next one. When many timers are due at once, the round's callback comes after the
 * first SLICE of them if it can: in memory that has been left alone for seconds a thousand timers take a millisecond,
 * and the first of them would have its callback that late.
 *
 * The clock comes before the mailbox: a timer that was posted before the time moved past its deadline is then in the
 * wheel together with all others that are due. The other way round, some would expire while an earlier one was on its
 * way.
 *
 * The pause. If a million timers are due within a second, going to sleep and waking up for each would cost more than
 * the timers. So when it has gone to sleep HURRIES times in a row because a timer had fired and the next was due within
 * PAUSE_NS, it sleeps until PAUSE_NS after the last that fired, and finds what is due by then in one piece. Nothing else
 * is late for that: a message that is urgent, or arms a timer for an earlier moment, wakes it as ever, and any that is
 * found puts an end to it; and a lone timer, or a few close together, do not go so far.
 *
 * Order. Messages are handled in the order in which they were posted. A callback is posted before its future can be
 * seen DONE, and deferred in that order, so callbacks of one executor run in the order in which their futures resolved.
 *
 * The coordinator waits for nothing but its mailbox and the time. A blocking call in a callback is refused with
 * -EDEADLK (futures/wait.c). */
#include "coordinator.h"

#include "clock.h"
#include "executor.h"

enum { LAZY_POSTS = 256, SOON_NS = 10000000, PAUSE_NS = 1 << 17, HURRIES = 8 };

#ifdef WEFT_TINY
enum { SLICE = 2 };
#else
enum { SLICE = 4 };
#endif

bool weft__coordinator_post(weft__coordinator *c, weft__link *link, int64_t deadline)
{
    /* A lazy message waits for the coordinator's next wake-up, which may be an hour off; so that they do not pile up,
     * each thread's every 256th wakes it. */
    static _Thread_local unsigned lazy;
    if (deadline == WEFT_FOREVER && ++lazy % LAZY_POSTS == 0)
        deadline = 0;
    return weft__coordinator_post_chain(c, link, link, deadline);
}

bool weft__coordinator_post_chain(weft__coordinator *c, weft__link *first, weft__link *last, int64_t deadline)
{
    switch (weft__mailbox_chain_post(&c->mailbox, first, last, deadline ? deadline : WEFT__POST_URGENT)) {
    case WEFT__POST_CLOSED:
        return false;
    case WEFT__POST_WAKE:
        weft__futex_wake(weft__futex_half(&c->mailbox.head), 1);
        return true;
    case WEFT__POSTED:
        break;
    }
    return true;
}

int64_t weft__coordinator_soon(const weft__coordinator *c)
{
    /* Relaxed: who reads an old value wakes it once too often, or waits for its next wake-up: see sleep_until. */
    return atomic_load_explicit(&c->lingers, memory_order_relaxed) ? WEFT_FOREVER : 0;
}

void weft__coordinator_defer(weft__coordinator *c, weft__link *link)
{
    atomic_store_explicit(&link->next, NULL, memory_order_relaxed);
    if (c->callbacks_last)
        atomic_store_explicit(&c->callbacks_last->next, link, memory_order_relaxed);
    else
        c->callbacks_first = link;
    c->callbacks_last = link;
}

void weft__coordinator_news(weft__coordinator *c)
{
    /* acq_rel, partner of handle_news. */
    if (atomic_exchange_explicit(&c->news_posted, 1, memory_order_acq_rel) == 0)
        weft__coordinator_post(c, &c->news, 0);
}

static void handle_news(weft__link *link, weft__coordinator *c)
{
    (void)link;
    /* acq_rel, with the exchange in weft__coordinator_news: who found 1 there has its news seen by what follows. */
    atomic_exchange_explicit(&c->news_posted, 0, memory_order_acq_rel);
}

static const weft__ops news_ops = {.handle = handle_news};

static void handle_messages(weft__coordinator *c)
{
    for (weft__link *link = weft__mailbox_take(&c->mailbox); link;) {
        weft__link *next = atomic_load_explicit(&link->next, memory_order_relaxed);
        c->busy = true;
        c->hurries = 0;
        weft__link_ops(link)->handle(link, c);
        weft__fork_check(c->executor);
        link = next;
    }
}

static bool run_callback(weft__coordinator *c)
{
    weft__link *link = c->callbacks_first;
    if (!link)
        return false;
    c->callbacks_first = atomic_load_explicit(&link->next, memory_order_relaxed);
    if (!c->callbacks_first)
        c->callbacks_last = NULL;
    /* Release, both, partners of the look in weft_counters_read: what was done before the callback, and in it. */
    atomic_store_explicit(&c->in_callback, 1, memory_order_release);
    weft__link_ops(link)->run(link, NULL);
    weft__fork_check(c->executor);
    atomic_store_explicit(&c->in_callback, 0, memory_order_release);
    return true;
}

/* True: the round's callback was run as well. */
static bool expire_timers(weft__coordinator *c, int64_t now)
{
    weft__timer *timer;
    bool called = false;
    for (unsigned n = 1; (timer = weft__wheel_expire(&c->wheel, now)); n++) {
        weft__link *link = weft__timer_link(timer);
        c->busy = true;
        c->fired_at = now;
        weft__link_ops(link)->expire(link, c);
        weft__fork_check(c->executor);
        if (!called && n % SLICE == 0) {
            handle_messages(c);
            called = run_callback(c);
        }
    }
    return called;
}

/* Sleeps until the mailbox wants it or the time of the wheel's next event has come. After a round that had something to
 * do it lingers: it sleeps for SOON_NS at most, once, and then sees to what was posted without waking it. */
static void sleep_until(weft__coordinator *c, int64_t next)
{
    weft_executor *e = c->executor;
    bool lingers = c->busy;
    c->busy = false;
    /* A poster that read true just before and posts just afterwards is seen at the next wake-up: tidiness only. */
    atomic_store_explicit(&c->lingers, lingers, memory_order_relaxed);
    /* A manual clock announces itself by message. */
    if (weft__mailbox_sleep(&c->mailbox, next) && !(e->clock && weft__clock_read(e->clock) >= next)) {
        int64_t until = e->clock ? INT64_MAX : next;
        int64_t soon = lingers ? weft__deadline(weft__now(), SOON_NS) : INT64_MAX;
        weft__futex_wait(weft__futex_half(&c->mailbox.head), weft__mailbox_sleep_value(), until < soon ? until : soon);
    }
    atomic_store_explicit(&c->lingers, true, memory_order_relaxed);
}

/* When to wake up, if the wheel wants it to be at `next` and this round began at `now`. */
static int64_t pace(weft__coordinator *c, int64_t now, int64_t next)
{
    if (c->executor->clock || now - c->fired_at >= PAUSE_NS || next - now >= PAUSE_NS) {
        c->hurries = 0;
        return next;
    }
    if (c->hurries < HURRIES) {
        c->hurries++;
        return next;
    }
    int64_t later = c->fired_at + PAUSE_NS;
    return next > later ? next : later;
}

static void round_once(weft__coordinator *c)
{
    weft_executor *e = c->executor;
    weft__link *asked = c->ticks;
    c->ticks = NULL;
    int64_t now = weft__executor_now(e);
    WEFT_POINT();
    handle_messages(c);
    bool called = expire_timers(c, now);
    weft__clock_answer(asked);
    if (called || run_callback(c) || c->ticks || !weft__mailbox_empty(&c->mailbox))
        return;
    if (weft__phase(e) != WEFT__OPEN && weft__shutdown_step(e))
        return;
    int64_t next = weft__wheel_next(&c->wheel);
    if (next <= now) /* something is due, or the wheel has more to spread */
        return;
    next = pace(c, now, next);
    if (next > weft__executor_now(e))
        sleep_until(c, next);
}

static void *coordinator_main(void *argument)
{
    weft__coordinator *c = argument;
    weft__self.coordinator = c;
    weft__thread_exact();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    weft__thread_register();
    while (!c->closed)
        round_once(c);
    weft__heap_detach(&c->port.heap);
    weft__self.coordinator = NULL;
    atomic_fetch_sub_explicit(&weft__threads_live, 1, memory_order_relaxed);
    return NULL;
}

int weft__coordinator_start(weft_executor *e)
{
    weft__coordinator *c = &e->coordinator;
    c->executor = e;
    atomic_init(&c->news.ops, &news_ops);
    weft__mailbox_init(&c->mailbox);
    weft__wheel_init(&c->wheel, weft__executor_now(e));
    weft__port_embed(&c->port, e);
    char name[24] = "coord";
    size_t n = 0;
    for (; e->name[n] && n < sizeof name - sizeof "-timer"; n++)
        name[n] = e->name[n];
    for (const char *s = "-timer"; *s; s++)
        name[n++] = *s;
    name[n] = '\0';
    int result = weft__thread_start(&c->id, e->stack_size, name, coordinator_main, c);
    if (result)
        return result;
    atomic_fetch_add_explicit(&weft__threads_live, 1, memory_order_relaxed);
    weft__clock_join(e->clock, c);
    return 0;
}

void weft__coordinator_join(weft_executor *e)
{
    weft__clock_leave(e->clock, &e->coordinator);
    pthread_join(e->coordinator.id, NULL);
}
