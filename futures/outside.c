/* outside.c: how a thread that is not weft's waits for a future.
 *
 * To sleep and to be woken costs such a thread, and the worker that wakes it, more than a small job; on another CPU
 * that has gone idle it costs as much as a thousand of them. So it does one of three things.
 *
 *   1. It spins, if a worker sleeps or there are fewer workers than CPUs: then there is likely to be a CPU that nobody
 *      needs. How long is learnt (executor/spin.h).
 *   2. It naps, if it is seen to await handle after handle: it has submitted many jobs since it last slept here, slept
 *      for one of them, and is here again without having submitted another. Woken for each job it would run for a
 *      moment each time; instead it is told when a worker finds nothing more to do, at the latest after NAP_NS, and by
 *      then many handles are done that it need not wait for. After NAPS naps of no use it takes no more of them. Only
 *      for what a worker brings, jobs and their mirrors: nobody rings when a promise is resolved or a sleep is over.
 *   3. It sleeps on the future's word (settle.c), to be woken by who settles it.
 *
 * A nap has a time limit, so its bell need not be exact: a ring that is missed costs the rest of the nap, and what is
 * slow is at most NAP_NS late, or a sixteenth of the time that the row has taken so far, up to LONG_NAP_NS. No wait
 * naps twice. Threads that wait for one job at a time sleep exactly, whatever else the executor has to do; and so do
 * those that have submitted something to another executor meanwhile. What is known of a row stands in the thread's
 * port. */
#include "future.h"

#include <errno.h>

#ifdef WEFT_TINY
enum { MANY = 2 };
#else
enum { MANY = 16 };
#endif
enum { PAUSES = 32 /* a round of spinning */, NAP_NS = 50000, LONG_NAP_NS = 200000, NAP_PART = 16, NAPS = 2 };

static bool done_soon(weft_future *f)
{
    weft__spin *spin = &weft__self.spin;
    const weft_executor *e = f->executor;
    if (!e->may_spin || !(e->cpu_to_spare || weft__somebody_sleeps(e)))
        return false;
    unsigned most = weft__spin_rounds(spin) * PAUSES;
    for (unsigned i = 0; i < most; i++) {
        weft__pause();
        if (weft__done(weft__word(f))) {
            if (i >= PAUSES)
                weft__spin_paid(spin);
            return true;
        }
    }
    weft__spin_failed(spin);
    return false;
}

/* This thread's port if it awaits handle after handle of e; else NULL. */
static weft__port *in_a_row(weft_executor *e)
{
    weft__port *port = weft__port_find(e);
    if (!port) /* what it submitted last went elsewhere, if anything did */
        return NULL;
    /* Relaxed: this thread is the only one to write it. */
    uint64_t now = atomic_load_explicit(&port->counts.submitted, memory_order_relaxed);
    if (port->slept_at == now)
        return port->naps > 0 ? port : NULL;
    port->naps = now - port->slept_at >= MANY ? NAPS : 0;
    port->slept_at = now;
    port->in_a_row_since = weft__now();
    return NULL;
}

/* Will a worker settle it, and then run out of work some time? */
static bool comes_from_worker(weft_future *f)
{
    for (weft__kind kind; (kind = weft__ops_of(f)->kind) == WEFT__WAIT_FOR || kind == WEFT__SHIELD;)
        f = weft__ops_of(f)->input(f); /* constant, and held by the mirror */
    return weft__runs_function(f);
}

/* Longer, the longer the row has taken: what was late is late by a small part of it. */
static int64_t nap_length(const weft__port *port, int64_t now)
{
    int64_t length = (now - port->in_a_row_since) / NAP_PART;
    return length < NAP_NS ? NAP_NS : length < LONG_NAP_NS ? length : LONG_NAP_NS;
}

static void nap(weft__port *port, weft_future *f, int64_t deadline)
{
    int64_t now = weft__now();
    int64_t end = weft__deadline(now, nap_length(port, now));
    uint32_t bell = weft__nap_begin(f->executor);
    int code = weft__done(weft__word(f)) ? 0 : weft__nap(f->executor, bell, end < deadline ? end : deadline);
    weft__nap_end(f->executor);
    if (weft__done(weft__word(f)))
        port->naps = NAPS;
    else if (code)
        port->naps--;
}

static int sleep_exactly(weft_future *f, int64_t deadline)
{
    for (;;) {
        uint64_t word = weft__word(f);
        if (weft__done(word))
            return 0;
        if (weft__word_sleep(f, word, deadline) == -ETIMEDOUT)
            return weft__done(weft__word(f)) ? 0 : -ETIMEDOUT;
    }
}

static int wait_outside(weft_future *f, int64_t deadline)
{
    if (done_soon(f))
        return 0;
    weft__port *row = comes_from_worker(f) ? in_a_row(f->executor) : NULL;
    if (row) {
        nap(row, f, deadline);
        return sleep_exactly(f, deadline);
    }
    int64_t from = weft__now();
    int code = sleep_exactly(f, deadline);
    if (!code) /* a limit that is short says nothing about what is awaited */
        weft__spin_slept(&weft__self.spin, weft__now() - from);
    return code;
}

int weft__wait_outside(weft_future *f, int64_t deadline)
{
    bool interrupted = weft__notify_first();
    /* A destructor that it has called may have forked, and this be the child. */
    int code = weft__stale(f->executor) ? -ESTALE : wait_outside(f, deadline);
    weft__notify_later(interrupted);
    return code;
}
