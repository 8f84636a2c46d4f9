/* then.c: a function that is run as a job of its own when a future is done.
 *
 * A then is a job with an input. Until that is done it hangs there by a node; then it is decided, once, by whoever made
 * the input done: either the outcome passes through and the function is never run, or the then becomes a job like any
 * other, and from there on is taken, run inside a wait, asked to stop and reported by the code of job.c. It is never
 * run by who decides, who may be anybody in the midst of anything: it goes to a queue, or first to the wheel if it has
 * a delay.
 *
 *   stage      set by                    the input decides it    what a cancel does
 *   FOLLOWS    the maker                 yes                     takes it off the input, and asks that
 *   OWN        who made the input done   no                      as with a job, queued, delayed or running
 *   MIRRORS    the same                  has done so             comes too late
 *
 * References. Like a job it is born with two: the maker's and its registration's. The latter is the node's, goes to the
 * queue with the then, and so keeps one that was dropped until its function has run. Whoever takes the node off the
 * input before it is told, a cancel, drops it; who is told hands it on or drops it; never both, since the node is told
 * once or was detached. The input is held and lent until the then is disposed of, because the function may return its
 * value or a part of it.
 *
 * The link is in the mailbox, the wheel's record beside it, or in a queue, in this order and never in two at once.
 *
 * The idea is the continuation of futures in Scala and folly; that it belongs on the pool, and never into the frame of
 * who resolves, is what their users came to ask for. */
#include "token.h"

#include <errno.h>

enum { ANY = 1, WAS_TAKEN = 2 }; /* flags: runs after any outcome; the value was gone before the then was made */

enum { FOLLOWS, OWN, MIRRORS }; /* stage */

typedef struct then {
    weft__timed timed;  /* the timer is that of the delay */
    weft__waiter node;  /* on the input; has the registration's reference while attached or on its way */
    weft_future *input; /* referenced and lent; constant */
} then;
_Static_assert(sizeof(then) <= 128, "a then takes two cache lines");

static then *then_of(weft_future *f)
{
    return (then *)(void *)f;
}

static then *of_node(weft__waiter *node)
{
    return (then *)(void *)((char *)node - offsetof(then, node));
}

/* Acquire, partner of the release in stage_set: flags, which the maker may have changed. */
static unsigned stage_of(weft_future *f)
{
    return atomic_load_explicit(&then_of(f)->timed.stage, memory_order_acquire);
}

static void stage_set(then *t, unsigned stage)
{
    /* Release, partner of stage_of. */
    atomic_store_explicit(&t->timed.stage, (uint8_t)stage, memory_order_release);
}

static bool is_delayed(const weft_future *f)
{
    const weft__options *o = weft__options_of(f);
    return o && o->delay > 0;
}

/* ---- cancelling ---- */

/* The caller has claimed it, with a reason. True: the input is open. */
static bool cancel_claimed(then *t)
{
    weft_future *f = &t->timed.base;
    bool open = !weft__done(weft__word(t->input));
    /* Not made: its maker takes it off again, see begin. */
    bool registered = open && weft__then_made(f) && weft__detach(t->input, &t->node);
    if (weft__job_waits_for_time(f))
        weft__timed_drop(f);
    weft__job_cancel_claimed(f);
    if (registered)
        weft__unref(f);
    return open;
}

static weft_cancel_effect then_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next)
{
    if (weft__claim(f, WEFT__CLAIMED, weft__reason_bits(reason))) {
        if (cancel_claimed(then_of(f)))
            *next = weft_future_retain(then_of(f)->input);
        return WEFT_CANCEL_DONE;
    }
    uint64_t word = weft__word(f);
    if (weft__state(word) == WEFT__CLAIMED && !(word & WEFT__CANCEL)) {
        /* An outcome is passing through, which takes a few instructions if free_arg does not run: not to be waited for,
         * and this call may come from there. */
        const weft__options *o = weft__options_of(f);
        if (!o || !o->free_arg)
            weft__wait_settled(f);
        return WEFT_CANCEL_TOO_LATE;
    }
    return weft__job_request(f, reason);
}

void weft__then_cut_off(weft_future *f)
{
    if (weft__claim(f, WEFT__CLAIMED, weft__reason_bits(WEFT_REASON_SHUTDOWN)))
        cancel_claimed(then_of(f));
}

/* ---- the input is done ---- */

/* Has the coordinator queue the then when its delay is over; consumes the caller's reference. */
static void delay(weft_future *f)
{
    WEFT_POINT();
    bool due_some_day = weft__timed_arm(f, weft__options_of(f)->delay);
    int64_t deadline = weft__link_timer(&f->link)->deadline;
    /* Changes nothing. acq_rel, partner of the claim of a cancel: whichever of the two comes second on this word sees
     * what the other did before, so either this sees the cancel, or the cancel sees that the timer is armed. */
    uint64_t word = atomic_fetch_or_explicit(&f->word, 0, memory_order_acq_rel);
    if (weft__state(word) != WEFT_PENDING)
        weft__timed_drop(f);
    else if (due_some_day && !weft__timed_post(f, deadline))
        weft__then_cut_off(f);
    /* As with a delayed job: while an executor drains, waiting is not drained. */
    if (atomic_load_explicit(&f->executor->phase, memory_order_seq_cst) != WEFT__OPEN)
        weft__then_cut_off(f);
    weft__unref(f);
}

/* Has the outcome of the input nothing to do with the function? */
static bool passes_through(const then *t)
{
    uint64_t word = weft__word(t->input);
    if (weft__state(word) == WEFT_SUCCEEDED)
        return (t->timed.flags & (ANY | WAS_TAKEN)) == WAS_TAKEN;
    if (t->timed.flags & ANY)
        return weft__state(word) == WEFT_CANCELLED && weft__reason(word) == WEFT_REASON_SHUTDOWN;
    return true;
}

/* Consumes the registration's reference. */
static void pass_through(then *t)
{
    weft_future *f = &t->timed.base;
    if (weft__claim(f, WEFT__CLAIMED, 0)) {
        stage_set(t, MIRRORS);
        weft__job_argument_release(f, f->value);
        if (weft__stale(f->executor)) /* free_arg forked, and this is the child */
            return;
        weft__mirror(f, t->input, t->timed.flags & WAS_TAKEN);
    }
    weft__unref(f);
}

static void input_done(weft__waiter *node)
{
    then *t = of_node(node);
    weft_future *f = &t->timed.base;
    if (passes_through(t)) {
        pass_through(t);
    } else if (weft__state(weft__word(f)) != WEFT_PENDING) {
        weft__unref(f); /* cancelled meanwhile */
    } else {
        stage_set(t, OWN);
        if (is_delayed(f))
            delay(f);
        else
            weft__job_launch(f);
    }
}

/* ---- running ---- */

/* A value that has no destructor may have been moved out since; the pointer is good all the same. */
static void input_outcome(const then *t, weft_outcome *outcome)
{
    weft_future *input = t->input;
    weft__outcome_read(input, weft__word(input), outcome);
    if (t->timed.flags & WAS_TAKEN)
        *outcome = (weft_outcome){.state = WEFT_FAILED, .error = -ENODATA};
    else if (outcome->state == WEFT_SUCCEEDED)
        outcome->value = input->value;
}

void *weft__then_call(weft_future *f, weft_fn *fn, void *data)
{
    const then *t = then_of(f);
    if (!(t->timed.flags & ANY))
        return ((weft_then_fn *)(void (*)(void))fn)(t->input->value, data);
    weft_outcome outcome;
    input_outcome(t, &outcome);
    return ((weft_then_any_fn *)(void (*)(void))fn)(&outcome, data);
}

/* ---- what futures can be asked ---- */

static weft_future *then_input(weft_future *f)
{
    unsigned stage = stage_of(f);
    bool follows = stage == FOLLOWS && weft__state(weft__word(f)) == WEFT_PENDING;
    return follows || stage == MIRRORS ? then_of(f)->input : NULL;
}

static bool then_rests(weft_future *f)
{
    if (stage_of(f) == OWN)
        return !weft__job_waits_for_time(f);
    /* If the input is done, who finished it is about to decide. */
    weft_future *input = then_of(f)->input;
    return weft__done(weft__word(input)) || weft__rests_on_job(input);
}

static int then_help(weft_future *f, bool awaited)
{
    weft_future *input = then_of(f)->input;
    const weft__future_ops *ops = weft__ops_of(input);
    if (weft__stack_is_low(weft__self.thread))
        return 0;
    if (stage_of(f) == FOLLOWS && ops->help && !weft__done(weft__word(input))) {
        int code = ops->help(input, awaited);
        if (code)
            return code;
    }
    return stage_of(f) == OWN && weft__help_goes_on() ? weft__job_help(f, awaited) : 0;
}

/* Its own value first, which may be a part of the input's. */
static void then_dispose(weft_future *f, uint64_t word)
{
    weft__job_dispose(f, word);
    weft__unlend(then_of(f)->input);
}

bool weft__then_made(weft_future *f)
{
    /* seq_cst, partner of set_made. */
    return atomic_load_explicit(&then_of(f)->timed.made, memory_order_seq_cst);
}

bool weft__then_queued(weft_future *f)
{
    return stage_of(f) == OWN && weft__state(weft__word(f)) == WEFT_PENDING && !weft__job_waits_for_time(f);
}

static const weft__future_ops then_ops = {
    .link = {.run = weft__job_taken, .handle = weft__timed_handle, .expire = weft__job_due},
    .kind = WEFT__THEN,
    .memory = WEFT__FUTURE_128,
    .cancel = then_cancel,
    .help = then_help,
    .input = then_input,
    .rests_on_job = then_rests,
    .dispose = then_dispose,
};

/* ---- making one ---- */

/* A then that nobody sees yet, with a loan of the input. NULL: errno. */
static then *then_new(weft_future *input, weft_fn *fn, void *data, weft__options *options, unsigned flags)
{
    then *t = (then *)(void *)weft__derived_new(input, &then_ops, true, NULL);
    if (!t)
        return NULL;
    weft_future *f = &t->timed.base;
    f->fn = fn;
    f->value = data;
    atomic_store_explicit(&f->options, options, memory_order_relaxed);
    weft__timer_init(&t->timed.timer);
    atomic_init(&t->timed.todo, 0);
    atomic_init(&t->timed.stage, FOLLOWS);
    atomic_init(&t->timed.made, false);
    t->timed.flags = (uint8_t)flags;
    t->node.notify = input_done;
    t->node.previous = NULL;
    t->input = input;
    return t;
}

/* seq_cst, before the look at the seal: a walk of shutdown that passed it over as being made came after the seal.
 * Before weft__claimed in begin: who claims it later sees it, and takes the node off himself. */
static void set_made(then *t)
{
    atomic_store_explicit(&t->timed.made, true, memory_order_seq_cst);
}

/* Hands the registration's reference on: to the node, to the queue, or back. */
static void begin(then *t, weft_token *token)
{
    weft_future *f = &t->timed.base;
    if (token && weft__job_join(f, token) != WEFT_REASON_NONE) {
        weft__unref(f);
    } else if (!weft__attach_seen(t->input, &t->node)) {
        if (weft__word(t->input) & WEFT__TAKEN)
            t->timed.flags |= WAS_TAKEN;
        input_done(&t->node);
    } else {
        set_made(t);
        if (token && weft__claimed(f) && weft__detach(t->input, &t->node))
            weft__unref(f); /* the token was faster than the node */
    }
}

static weft_future *follow(weft_future *input, weft_fn *fn, void *data, const weft_submit_options *given,
                           unsigned flags)
{
    if (!input)
        return NULL;
    if (!fn || !weft__options_valid(given))
        return weft__refuse(-EINVAL);
    weft_executor *e = input->executor;
    weft_token *token = given ? given->token : NULL;
    int code = token && weft__stale(token->executor) ? -ESTALE : weft__derivable(input);
    if (code)
        return weft__refuse(code);
    static const weft_submit_options none;
    bool apart = given || weft__tracing(e);
    weft__options *options = apart ? weft__options_new(e, given ? given : &none, NULL, 0) : NULL;
    if (apart && !options)
        return weft__refuse(-ENOMEM);
    then *t = then_new(input, fn, data, options, flags);
    if (!t) {
        weft__options_free(e, options);
        return NULL;
    }
    weft_future *f = &t->timed.base;
    if (options)
        weft__note_submit(e, options);
    weft__future_publish(f, 2, 0);
    begin(t, token);
    set_made(t);
    if (weft__sealed(e))
        weft__then_cut_off(f);
    return f;
}

weft_future *weft_then_with(weft_future *future, weft_then_fn *fn, void *data, const weft_submit_options *options)
{
    return follow(future, (weft_fn *)(void (*)(void))fn, data, options, 0);
}

weft_future *weft_then_any_with(weft_future *future, weft_then_any_fn *fn, void *data,
                                const weft_submit_options *options)
{
    return follow(future, (weft_fn *)(void (*)(void))fn, data, options, ANY);
}

weft_future *weft_then(weft_future *future, weft_then_fn *fn, void *data)
{
    return weft_then_with(future, fn, data, NULL);
}

weft_future *weft_then_any(weft_future *future, weft_then_any_fn *fn, void *data)
{
    return weft_then_any_with(future, fn, data, NULL);
}
