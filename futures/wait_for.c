/* wait_for.c: a deadline on a future, and shield, which is a wait_for without one that passes no cancel on.
 *
 * The wrapper hangs on its input by a node and on the wheel by a timer; whichever comes first claims it. The loser
 * finds it claimed and only gives its reference back. What is left registered then is removed at once: the node by who
 * settled the wrapper, the timer by a message to the coordinator. If the input is done already there is nothing to hang
 * on to: the wrapper is born done. */
#include "future.h"

#include <errno.h>

enum { WAS_TAKEN = 4 }; /* beside WEFT_JOIN, WEFT_NO_CANCEL: the value was gone before the wrapper was made */

typedef struct wrapper {
    weft__timed timed;
    weft__waiter node;  /* on the input; holds the wrapper while attached or on its way */
    weft_future *input; /* referenced and lent; constant */
} wrapper;
_Static_assert(sizeof(wrapper) <= 128, "a wait_for takes two cache lines");

static wrapper *wrapper_of(weft_future *f)
{
    return (wrapper *)(void *)f;
}

static wrapper *of_node(weft__waiter *node)
{
    return (wrapper *)(void *)((char *)node - offsetof(wrapper, node));
}

static weft_future *wrapper_input(weft_future *f)
{
    return wrapper_of(f)->input;
}

/* The wrapper ended without showing its input: the input is no longer lent to it. */
static void return_loan(wrapper *w)
{
    if (atomic_exchange_explicit(&w->timed.holds_loan, false, memory_order_relaxed))
        atomic_fetch_sub_explicit(&w->input->word, WEFT__LENT, memory_order_release);
}

/* After the wrapper was settled by something else than its input. */
static void leave_input(wrapper *w)
{
    if (weft__detach(w->input, &w->node))
        weft__let_go(&w->timed.base); /* the node's */
    return_loan(w);
}

/* The input is done; this is the node's hold. */
static void input_done(weft__waiter *node)
{
    wrapper *w = of_node(node);
    weft_future *f = &w->timed.base;
    if (!weft__claim(f, WEFT__CLAIMED, 0)) {
        weft__let_go(f);
        return;
    }
    weft__timed_drop(f);
    bool cancelled = weft__state(weft__word(w->input)) == WEFT_CANCELLED;
    if (weft__word(f) & WEFT__CANCEL) { /* only a JOIN is asked while it stays pending */
        return_loan(w);
        weft__settle(f, WEFT_CANCELLED, 0);
    } else if (cancelled && atomic_load_explicit(&w->timed.late, memory_order_acquire)) {
        return_loan(w);
        atomic_fetch_or_explicit(&f->word, (uint64_t)WEFT_REASON_TIMEOUT << WEFT__REASON_SHIFT, memory_order_relaxed);
        weft__settle(f, WEFT_TIMED_OUT, 0);
    } else {
        weft__mirror(f, w->input, w->timed.flags & WAS_TAKEN);
    }
    weft__let_go(f);
}

static void time_out(wrapper *w)
{
    weft_future *f = &w->timed.base;
    if (w->timed.flags & WEFT_JOIN) /* release, partner of the look in input_done */
        atomic_store_explicit(&w->timed.late, true, memory_order_release);
    else if (weft__claim(f, WEFT__CLAIMED, (uint64_t)WEFT_REASON_TIMEOUT << WEFT__REASON_SHIFT)) {
        weft__settle(f, WEFT_TIMED_OUT, 0);
        leave_input(w);
    } else
        return;
    if (!(w->timed.flags & WEFT_NO_CANCEL))
        weft__cancel(w->input, WEFT_REASON_TIMEOUT);
}

static void wrapper_expire(weft__link *link, weft__coordinator *c)
{
    weft_future *f = weft__link_future(link);
    wrapper *w = wrapper_of(f);
    /* A result that is there wins; who made it is about to tell the wrapper, or has. */
    if (weft__timed_fired(f, c) && !weft__done(weft__word(w->input)))
        time_out(w);
    weft__let_go(f); /* the wheel's */
}

static weft_cancel_effect wrapper_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next)
{
    wrapper *w = wrapper_of(f);
    weft_cancel_effect effect = WEFT_CANCEL_TOO_LATE;
    if (w->timed.flags & WEFT_JOIN) {
        effect = weft__request(f, reason);
    } else if (weft__settle_cancelled(f, reason)) {
        effect = WEFT_CANCEL_DONE;
        leave_input(w);
        weft__timed_drop(f);
    } else {
        weft__wait_settled(f);
    }
    if ((effect == WEFT_CANCEL_DONE || effect == WEFT_CANCEL_REQUESTED) && !(w->timed.flags & WEFT_NO_CANCEL))
        *next = weft_future_retain(w->input);
    return effect;
}

static void wrapper_abandon(weft_future *f)
{
    leave_input(wrapper_of(f));
    weft__timed_drop(f);
}

static bool wrapper_rests(weft_future *f)
{
    weft_future *input = wrapper_of(f)->input;
    return weft__done(weft__word(input)) || weft__rests_on_job(input);
}

static int wrapper_help(weft_future *f, bool awaited)
{
    wrapper *w = wrapper_of(f);
    const weft__future_ops *ops = weft__ops_of(w->input);
    /* With a deadline the caller is to be back in time, which it could not be from inside the job. */
    if (w->timed.timer.deadline != WEFT_FOREVER || !ops->help || weft__stack_is_low(weft__self.thread))
        return 0;
    return ops->help(w->input, awaited && !(w->timed.flags & WEFT_NO_CANCEL));
}

static bool wrapper_timed(weft_future *f)
{
    return wrapper_of(f)->timed.timer.deadline != WEFT_FOREVER;
}

static void wrapper_dispose(weft_future *f, uint64_t word)
{
    wrapper *w = wrapper_of(f);
    (void)word;
    if (atomic_load_explicit(&w->timed.holds_loan, memory_order_relaxed))
        weft__unlend(w->input);
    else
        weft__unref(w->input);
}

static const weft__future_ops wait_for_ops = {
    .link = {.handle = weft__timed_handle, .expire = wrapper_expire},
    .kind = WEFT__WAIT_FOR,
    .memory = WEFT__FUTURE_128,
    .cancel = wrapper_cancel,
    .help = wrapper_help,
    .input = wrapper_input,
    .timed = wrapper_timed,
    .abandon = wrapper_abandon,
    .rests_on_job = wrapper_rests,
    .dispose = wrapper_dispose,
};

static const weft__future_ops shield_ops = {
    .kind = WEFT__SHIELD,
    .memory = WEFT__FUTURE_128,
    .cancel = wrapper_cancel,
    .help = wrapper_help,
    .input = wrapper_input,
    .timed = wrapper_timed,
    .abandon = wrapper_abandon,
    .rests_on_job = wrapper_rests,
    .dispose = wrapper_dispose,
};

static void wrapper_init(wrapper *w, weft_future *input, unsigned flags)
{
    weft__timer_init(&w->timed.timer);
    w->timed.timer.deadline = WEFT_FOREVER;
    w->node.notify = input_done;
    w->node.previous = NULL;
    w->input = input;
    w->timed.flags = (uint8_t)flags;
    atomic_init(&w->timed.late, false);
    atomic_init(&w->timed.holds_loan, true);
}

/* A wrapper that nobody sees yet, with a loan of the input. *done: the input's word if it is done, else as a rule 0.
 * NULL: errno. */
static wrapper *wrapper_new(weft_future *input, const weft__future_ops *ops, unsigned flags, uint64_t *done)
{
    wrapper *w = (wrapper *)(void *)weft__derived_new(input, ops, ops->kind != WEFT__SHIELD, done);
    if (w)
        wrapper_init(w, input, flags);
    return w;
}

/* There is nothing left to wait for: it shows the outcome of its input from the beginning. */
static weft_future *wrap_done(wrapper *w, uint64_t done)
{
    uint64_t bits;
    unsigned state = weft__mirrored(&w->timed.base, w->input, done & WEFT__TAKEN, &bits);
    weft__future_publish_done(&w->timed.base, 1, state | bits);
    return &w->timed.base;
}

static weft_future *wrap(wrapper *w)
{
    weft_future *f = &w->timed.base;
    weft__hold_unseen(f); /* the node's */
    weft__future_publish(f, 1, 0);
    WEFT_POINT();
    if (!weft__attach_seen(w->input, &w->node)) {
        if (weft__word(w->input) & WEFT__TAKEN)
            w->timed.flags |= WAS_TAKEN;
        input_done(&w->node);
    } else if (weft__done(weft__word(f)) && weft__detach(w->input, &w->node)) {
        weft__let_go(f); /* shutdown's walk was faster than the node */
    }
    /* Shutdown's walk has passed if the phase says so: see weft__future_publish. */
    if (weft__sealed(f->executor) && weft__settle_cancelled(f, WEFT_REASON_SHUTDOWN))
        wrapper_abandon(f);
    return f;
}

weft_future *weft_wait_for(weft_future *input, int64_t timeout, unsigned flags)
{
    if (!input)
        return NULL;
    if (flags & ~(unsigned)(WEFT_JOIN | WEFT_NO_CANCEL))
        return weft__refuse(-EINVAL);
    uint64_t done;
    wrapper *w = wrapper_new(input, &wait_for_ops, flags, &done);
    if (!w)
        return NULL;
    if (done)
        return wrap_done(w, done);
    bool timed = timeout > 0 && weft__timed_arm(&w->timed.base, timeout);
    int64_t deadline = w->timed.timer.deadline;
    weft_future *f = wrap(w);
    WEFT_POINT();
    if (timed && weft__done(weft__word(f)))
        weft__timed_spare(f);
    else if (timed && !weft__timed_post(f, deadline))
        weft__cancel(f, WEFT_REASON_SHUTDOWN);
    if (timeout <= 0 && !weft__done(weft__word(f)))
        time_out(w);
    return f;
}

weft_future *weft_shield(weft_future *input)
{
    if (!input)
        return NULL;
    uint64_t done;
    wrapper *w = wrapper_new(input, &shield_ops, WEFT_NO_CANCEL, &done);
    if (!w)
        return NULL;
    return done ? wrap_done(w, done) : wrap(w);
}
