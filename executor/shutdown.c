/* shutdown.c: how an executor comes to rest.
 *
 *   1. shutdown_begin, on any thread: raises the mode, closes the outside queues, moves the phase from OPEN to CLOSING, and
 *      sends the coordinator news. A submit from outside is refused from the moment its queue is closed, exactly: it went
 *      in, or it was told -ESHUTDOWN (inject.c).
 *   2. The coordinator, for each mode it has not seen yet: what only time or promises could resolve is cancelled, and in
 *      the stronger modes every job that has not started (tenant->shut).
 *   3. Workers go on until their queues are empty. What a job submits meanwhile is accepted (DRAIN) or refused.
 *   4. Each thread that goes to sleep while CLOSING sends news. The coordinator then sums up: links finished first, links
 *      submitted afterwards. Both only grow, and a job is counted as submitted before it can be seen and before the job
 *      that submitted it is counted as finished; so if the sums agree, there was a moment between the two readings when
 *      nothing was queued or ran, and since outside submits are refused nothing will be. What was accepted and is kept
 *      back for a while (children of a group with a limit) is counted apart, and keeps the executor open likewise.
 *   5. Then promises and what hangs on them are cancelled (tenant->sweep) and callbacks run; these may submit jobs again,
 *      so 4 is repeated until a round finds nothing.
 *   6. The executor is sealed: a promise or a derived future that is made now is refused or cancelled by its maker, who
 *      looks at the seal after publishing it. Then 4 and 5 once more, for what was published before.
 *   7. The mailbox is closed, which succeeds only while it is empty; the phase becomes QUIET and every thread ends, its
 *      worker_stop first. Whoever is last to leave wakes those who wait for quiet.
 *
 * Destroy is a shutdown that drains, waits for ever, and joins the threads. */
#include "executor.h"

#include <stddef.h>

static void raise_mode(weft_executor *e, weft_shutdown_mode mode)
{
    uint32_t now = atomic_load_explicit(&e->mode, memory_order_relaxed);
    while (now < (uint32_t)mode && !atomic_compare_exchange_weak_explicit(&e->mode, &now, (uint32_t)mode,
                                                                          memory_order_seq_cst, memory_order_relaxed))
        ;
}

void weft__shutdown_begin(weft_executor *e, weft_shutdown_mode mode)
{
    raise_mode(e, mode);
    /* The queues before the phase: once the coordinator sees CLOSING it may conclude that nothing comes any more. */
    for (unsigned p = 0; p < 3; p++)
        weft__inject_close(&e->inject[p]);
    uint32_t open = WEFT__OPEN;
    /* seq_cst: partner of the loads of phase by a thread that falls asleep (idle.c) and by who makes a promise or a
     * derived future (futures/): they look after their own store, this looks for what they stored afterwards. */
    atomic_compare_exchange_strong_explicit(&e->phase, &open, WEFT__CLOSING, memory_order_seq_cst,
                                            memory_order_relaxed);
    if (mode == WEFT_CANCEL_ALL) {
        atomic_fetch_add_explicit(&e->cancel_epoch, 1, memory_order_seq_cst);
        weft__blocked_wake_all(e);
    }
    weft__coordinator_news(&e->coordinator);
}

bool weft__shutdown_wait(weft_executor *e, int64_t timeout)
{
    int64_t deadline = timeout > 0 ? weft__deadline(weft__now(), timeout) : 0;
    for (;;) {
        if (atomic_load_explicit(&e->quiet, memory_order_acquire))
            return true;
        if (timeout <= 0 || weft__futex_wait(&e->quiet, 0, deadline) < 0)
            return atomic_load_explicit(&e->quiet, memory_order_acquire) != 0;
    }
}

bool weft__keep_open(weft_executor *e)
{
    /* seq_cst, before the look at the phase; the coordinator looks here after it saw CLOSING: one of the two sees the
     * other. */
    atomic_fetch_add_explicit(&e->kept_open, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&e->phase, memory_order_seq_cst) == WEFT__OPEN || weft__own_thread(e))
        return true;
    weft__need_not_stay_open(e);
    return false;
}

void weft__need_not_stay_open(weft_executor *e)
{
    weft__executor_pin(e); /* afterwards nothing else makes its end wait for this thread */
    /* seq_cst, likewise: either the coordinator sees it gone or this sees that it is waiting for that. */
    atomic_fetch_sub_explicit(&e->kept_open, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&e->phase, memory_order_seq_cst) != WEFT__OPEN)
        weft__coordinator_news(&e->coordinator);
    weft__executor_unpin(e);
}

/* Step 4. */
static bool jobs_quiet(weft_executor *e)
{
    /* A thread that fell asleep without seeing CLOSING changed its idle word before: reading the words makes what it
     * finished visible. The lock does the same for one that retired. */
    unsigned used = atomic_load_explicit(&e->idle.used, memory_order_seq_cst);
    for (unsigned g = 0; g < used; g++)
        (void)atomic_load_explicit(&e->idle.groups[g].word, memory_order_seq_cst);
    pthread_mutex_lock(&e->roster);
    pthread_mutex_unlock(&e->roster);
    /* First: what it keeps open for is counted as submitted before it is taken off here. */
    if (atomic_load_explicit(&e->kept_open, memory_order_seq_cst) != 0)
        return false;
    uint64_t finished = weft__ports_sum(e, offsetof(weft__counts, finished));
    finished += weft__ports_sum(e, offsetof(weft__counts, returned));
    WEFT_POINT();
    return finished == weft__ports_sum(e, offsetof(weft__counts, submitted));
}

static void announce_quiet(weft_executor *e)
{
    atomic_store_explicit(&e->quiet, 1, memory_order_release);
    weft__futex_wake(&e->quiet, INT32_MAX);
}

void weft__shutdown_left(weft_executor *e)
{
    /* Destroy joins the calling thread before it frees anything. */
    if (atomic_fetch_sub_explicit(&e->staying, 1, memory_order_acq_rel) == 1)
        announce_quiet(e);
}

static void become_quiet(weft_executor *e)
{
    e->coordinator.closed = true;
    atomic_store_explicit(&e->phase, WEFT__QUIET, memory_order_seq_cst);
    /* Behind the phase: a destructor that runs here can submit nothing any more. */
    for (weft__timer *timer; (timer = weft__wheel_any(&e->coordinator.wheel));) {
        weft__wheel_remove(&e->coordinator.wheel, timer);
        e->tenant->unarm(weft__timer_link(timer));
    }
    /* Under roster: nobody goes into reserve, or leaves it, behind this back (weft__block_begin, weft__block_end). */
    pthread_mutex_lock(&e->roster);
    atomic_store_explicit(&e->stopping, 1, memory_order_seq_cst);
    for (weft__thread *t = e->reserve; t; t = t->next_reserve)
        weft__unpark(t);
    pthread_mutex_unlock(&e->roster);
    weft__notify_all(e);
    weft__shutdown_left(e); /* the coordinator's part; the last worker to leave may be the one that announces it */
}

bool weft__shutdown_step(weft_executor *e)
{
    weft__coordinator *c = &e->coordinator;
    uint32_t mode = 1 + atomic_load_explicit(&e->mode, memory_order_seq_cst);
    if (c->shut_mode < mode) {
        c->shut_mode = mode;
        e->tenant->shut(e, (weft_shutdown_mode)(mode - 1));
        return true;
    }
    if (!jobs_quiet(e))
        return false;
    if (e->tenant->sweep(e))
        return true;
    WEFT_POINT();
    /* seq_cst: who makes a future looks after publishing it; either he sees the seal or the next walk sees it. */
    if (!atomic_exchange_explicit(&e->sealed, true, memory_order_seq_cst) || !weft__mailbox_close(&c->mailbox))
        return true;
    become_quiet(e);
    return true;
}
