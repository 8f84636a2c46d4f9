/* derive.c: what futures have in common that depend on others or on time.
 *
 * weft__poke is how they reach the coordinator: a set of things to do is kept in the future itself, and the future is
 * its own message. Who adds to an empty set posts it; the coordinator takes the whole set. So a timer that is armed and
 * disarmed again before the coordinator looked costs it a look, and there is no second message to allocate.
 *
 * The same word says whether the timer counts (ARMED), so that to drop it and to send word of that is one step. The
 * maker of a sleep or wait_for sets ARM with it before anybody sees the future, together with the mailbox's hold, and
 * posts the message afterwards without looking again: who drops the timer in between finds ARM there and leaves the
 * message to the maker. */
#include "future.h"

#include <errno.h>

/* A job's or then's fn takes the place of todo and its options that of holds; one with a timer has more room, and the
 * mailbox holds an ordinary reference to it. */
static bool is_job(const weft_future *f)
{
    return weft__runs_function(f);
}

static _Atomic(uint32_t) *weft__todo(weft_future *f)
{
    return is_job(f) ? &((weft__timed *)(void *)f)->todo : &f->todo;
}

static void mailbox_hold(weft_future *f)
{
    if (is_job(f))
        weft_future_retain(f);
    else
        weft__hold(f);
}

void weft__poke_done(weft_future *f)
{
    if (is_job(f))
        weft__unref(f);
    else
        weft__let_go(f);
}

/* With the mailbox's hold. */
static bool post_held(weft_future *f, int64_t deadline)
{
    if (weft__coordinator_post(&f->executor->coordinator, &f->link, deadline))
        return true;
    weft__poke_done(f);
    return false;
}

bool weft__poke(weft_future *f, uint32_t what, int64_t deadline)
{
    /* acq_rel: what the poker wrote is seen by the coordinator, whose weft__poked is the partner. */
    if (atomic_fetch_or_explicit(weft__todo(f), what, memory_order_acq_rel) & WEFT__ERRANDS)
        return true;
    mailbox_hold(f);
    return post_held(f, deadline);
}

uint32_t weft__poked(weft_future *f)
{
    /* acq_rel, partner of weft__poke. */
    return atomic_fetch_and_explicit(weft__todo(f), ~(uint32_t)WEFT__ERRANDS, memory_order_acq_rel);
}

/* ---- making one ---- */

int weft__derivable(const weft_future *input)
{
    if (weft__stale(input->executor))
        return -ESTALE;
    return weft__refused_phase(input->executor) ? -ESHUTDOWN : 0;
}

weft_future *weft__derived_new(weft_future *input, const weft__future_ops *ops, bool duty, uint64_t *done)
{
    int code = weft__derivable(input);
    if (code)
        return weft__refuse(code);
    weft_future *f = weft__future_new(input->executor, ops);
    if (!f)
        return NULL;
    if (done && weft__lend_done(input, done))
        return f;
    if (done)
        *done = 0;
    code = weft__lend(input, duty);
    if (!code)
        return f;
    weft__slab_free(&weft__port_find(input->executor)->heap, f); /* where it was just taken from */
    return weft__refuse(code);
}

/* ---- timers ---- */

/* Was it dropped before the coordinator has seen it? Then there is no more to do, and nobody will ask for more, unless
 * it is a job, which may have to be launched. */
static bool died_young(weft_future *f)
{
    /* Acquire, partner of the drop. */
    return !is_job(f) && atomic_load_explicit(weft__todo(f), memory_order_acquire) == (WEFT__ARM | WEFT__DISARM);
}

void weft__timed_handle(weft__link *link, weft__coordinator *c)
{
    weft_future *f = weft__link_future(link);
    weft__timer *timer = weft__link_timer(link);
    if (died_young(f)) {
        weft__poke_done(f);
        return;
    }
    uint32_t todo = weft__poked(f);
    /* Not if it was dropped already: the message that said so may have come first. */
    if (todo & WEFT__ARM && todo & WEFT__ARMED) {
        weft__wheel_insert(&c->wheel, timer); /* the mailbox's hold becomes the wheel's */
        return;
    }
    if (todo & WEFT__DISARM && weft__timer_armed(timer)) {
        weft__wheel_remove(&c->wheel, timer);
        weft__poke_done(f);
    }
    if (todo & WEFT__LAUNCH) {
        const weft__options *o = weft__options_of(f);
        weft__enqueue_own(f->executor, o ? o->priority : WEFT_NORMAL, link); /* with the queue's reference */
    }
    weft__poke_done(f);
}

bool weft__timed_arm(weft_future *f, int64_t delay)
{
    weft__timer *timer = weft__link_timer(&f->link);
    weft__timer_init(timer);
    timer->deadline = weft__deadline(weft__executor_now(f->executor), delay);
    bool timed = timer->deadline != WEFT_FOREVER;
    if (is_job(f)) {
        if (!timed)
            weft_future_retain(f); /* in place of the wheel's: it was accepted, and stays until it is cancelled */
        /* One that is never due waits for time, too. Nobody else has written there yet. Release: the timer, for
         * shutdown's walk. */
        atomic_store_explicit(weft__todo(f), WEFT__ARMED, memory_order_release);
    } else if (timed) {
        weft__hold_unseen(f); /* the mailbox's */
        /* Relaxed: it is published later. */
        atomic_store_explicit(weft__todo(f), WEFT__ARMED | WEFT__ARM, memory_order_relaxed);
    }
    if (timed) {
        weft__count_for(f->executor, offsetof(weft__counts, timers_armed), 1);
        WEFT__PROBE1(timer__arm, f->executor);
        if (weft__tracing(f->executor))
            weft__note_timer(f->executor, WEFT__NOTE_ARM);
    }
    return timed;
}

bool weft__timed_post(weft_future *f, int64_t deadline)
{
    /* If it is disarmed before the coordinator wakes up that must not wait for hours: soon, if not by the deadline. */
    int64_t soon = weft__coordinator_soon(&f->executor->coordinator);
    deadline = soon < deadline ? soon : deadline;
    return is_job(f) ? weft__poke(f, WEFT__ARM, deadline) : post_held(f, deadline);
}

void weft__timed_spare(weft_future *f)
{
    weft__poke_done(f); /* ARM stays, so nobody will post it */
}

bool weft__timed_pending(weft_future *f)
{
    /* Acquire, partner of the release in weft__timed_arm. */
    return atomic_load_explicit(weft__todo(f), memory_order_acquire) & WEFT__ARMED;
}

bool weft__timed_fired(weft_future *f, weft__coordinator *c)
{
    /* acq_rel, with the step in weft__timed_drop: one of the two counts the timer. Acquire also of weft__timed_arm. */
    if (!(atomic_fetch_and_explicit(weft__todo(f), ~(uint32_t)WEFT__ARMED, memory_order_acq_rel) & WEFT__ARMED))
        return false;
    weft__count(&c->port.counts.timers_fired, 1);
    WEFT__PROBE1(timer__fire, f->executor);
    if (weft__tracing(f->executor))
        weft__note_timer(f->executor, WEFT__NOTE_FIRE);
    return true;
}

void weft__timed_drop(weft_future *f)
{
    _Atomic(uint32_t) *todo = weft__todo(f);
    /* A look, which spares most the rest. Acquire: of weft__timed_arm, for the deadline. */
    uint32_t seen = atomic_load_explicit(todo, memory_order_acquire), next;
    bool timed;
    do {
        if (!(seen & WEFT__ARMED))
            return;
        timed = weft__link_timer(&f->link)->deadline != WEFT_FOREVER;
        next = (seen & ~(uint32_t)WEFT__ARMED) | (timed ? WEFT__DISARM : 0);
        /* acq_rel: see weft__timed_fired, and weft__poke. */
    } while (!atomic_compare_exchange_weak_explicit(todo, &seen, next, memory_order_acq_rel, memory_order_acquire));
    if (!timed) { /* a job; no other is armed then. What weft__timed_arm took; the caller has his own */
        weft__unref(f);
        return;
    }
    weft__count_for(f->executor, offsetof(weft__counts, timers_dropped), 1);
    if (seen & WEFT__ERRANDS)
        return;
    mailbox_hold(f);
    post_held(f, weft__coordinator_soon(&f->executor->coordinator));
}

bool weft__settle_cancelled(weft_future *f, weft_cancel_reason reason)
{
    if (!weft__claim(f, WEFT__CLAIMED, weft__reason_bits(reason)))
        return false;
    weft__settle(f, WEFT_CANCELLED, 0);
    return true;
}

weft_cancel_effect weft__request(weft_future *f, weft_cancel_reason reason)
{
    uint64_t word = weft__word(f);
    do {
        if (weft__state(word) != WEFT_PENDING) {
            weft__wait_settled(f);
            return WEFT_CANCEL_TOO_LATE;
        }
        if (word & WEFT__CANCEL)
            return WEFT_CANCEL_ALREADY;
        /* acq_rel, partner of the claim by who decides the future: it sees the request, or this sees the claim. */
    } while (!atomic_compare_exchange_weak_explicit(&f->word, &word, word | weft__reason_bits(reason),
                                                    memory_order_acq_rel, memory_order_acquire));
    return WEFT_CANCEL_REQUESTED;
}

unsigned weft__mirrored(weft_future *f, weft_future *input, bool taken, uint64_t *bits)
{
    uint64_t word = weft__word(input);
    unsigned state = weft__state(word);
    *bits = 0;
    switch (state) {
    case WEFT_SUCCEEDED:
        f->value = input->value;
        if (taken) {
            f->value = NULL;
            f->error = -ENODATA;
            state = WEFT_FAILED;
        }
        break;
    case WEFT_FAILED:
        f->error = input->error;
        weft__observe(input);
        break;
    default:
        *bits = word & (WEFT__CANCEL | WEFT__REASON);
        break;
    }
    return state;
}

void weft__mirror(weft_future *f, weft_future *input, bool taken)
{
    uint64_t bits;
    unsigned state = weft__mirrored(f, input, taken, &bits);
    if (bits && !(weft__word(f) & WEFT__CANCEL))
        atomic_fetch_or_explicit(&f->word, bits, memory_order_relaxed);
    weft__settle(f, state, 0);
}

bool weft__sealed(weft_executor *e)
{
    /* seq_cst, after publishing a future; partner of the exchange in weft__shutdown_step, which a walk follows. */
    return atomic_load_explicit(&e->sealed, memory_order_seq_cst);
}

bool weft__refused_phase(weft_executor *e)
{
    return weft__phase(e) >= WEFT__QUIET;
}
