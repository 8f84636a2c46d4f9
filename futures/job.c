/* job.c: the life of a job, from the queue to settle.
 *
 * A job is its own future. Whoever takes its link out of a queue owns the queue's reference; if the job was cancelled
 * or run inline meanwhile, that is all there is left to do.
 *
 * Thread-local storage says which job runs on a thread now, and `outer` in a job which one it interrupted: this is how
 * weft_cancelled and weft_fail know which job they are called in, also when a waiting job runs another one.
 *
 * A then (then.c) is a job from the moment when its input is done, and goes through the same hands. */
#include "run.h"

#include <errno.h>

static weft_cancel_effect job_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next);

static bool job_rests(weft_future *f)
{
    return !weft__done(weft__word(f));
}

const weft__future_ops weft__job_ops = {
    .link = {.run = weft__job_taken},
    .kind = WEFT__JOB,
    .memory = WEFT__FUTURE_64,
    .cancel = job_cancel,
    .help = weft__job_help,
    .rests_on_job = job_rests,
    .dispose = weft__job_dispose,
};

/* With a delay. The wheel's reference becomes the queue's when the time has come. */
const weft__future_ops weft__delayed_ops = {
    .link = {.run = weft__job_taken, .handle = weft__timed_handle, .expire = weft__job_due},
    .kind = WEFT__JOB,
    .memory = WEFT__FUTURE_96,
    .cancel = job_cancel,
    .help = weft__job_help,
    .rests_on_job = job_rests,
    .dispose = weft__job_dispose,
};

/* Of a group; the group decides when it goes into the queues. */
const weft__future_ops weft__child_ops = {
    .link = {.run = weft__job_taken, .handle = weft__timed_handle, .expire = weft__child_due},
    .kind = WEFT__JOB,
    .memory = WEFT__FUTURE_192,
    .cancel = job_cancel,
    .help = weft__job_help,
    .rests_on_job = job_rests,
    .dispose = weft__job_dispose,
};

bool weft__is_plain_job(const weft_future *f)
{
    return weft__link_ops(&f->link) == &weft__job_ops.link;
}

bool weft__job_waits_for_time(weft_future *f)
{
    return weft__link_ops(&f->link)->expire && weft__timed_pending(f);
}

/* ---- the argument and the value ---- */

void weft__job_argument_release(weft_future *f, void *arg)
{
    weft__options *o = weft__options_of(f);
    if (!o)
        return;
    weft__member_leave(&o->given);
    weft__member_unlist(&o->own);
    if (o->free_arg)
        o->free_arg(arg);
    if (o->copy) {
        weft__memory_free(o->copy, o->copy_size);
        o->copy = NULL;
    }
}

void weft__options_free(weft_executor *e, weft__options *o)
{
    if (!o)
        return;
    if (o->copy)
        weft__memory_free(o->copy, o->copy_size);
    weft__own_token_drop(o);
    weft__port *port = weft__port_find(e);
    weft__slab_free(port ? &port->heap : NULL, o);
}

void weft__job_dispose(weft_future *f, uint64_t word)
{
    weft__options *o = weft__options_of(f);
    if (o && o->free_value && weft__state(word) == WEFT_SUCCEEDED && !(word & WEFT__TAKEN)) {
        o->free_value(f->value);
        if (weft__stale(f->executor))
            return;
    }
    weft__options_free(f->executor, o);
}

/* ---- running ---- */

/* The job has started: it no longer counts against max_pending. */
static void count_started(weft_future *f)
{
    const weft__options *o = weft__options_of(f);
    if (o && o->counted)
        atomic_fetch_sub_explicit(&f->executor->pending, 1, memory_order_relaxed);
}

static void measure_latency(const weft__options *o)
{
    weft__thread *t = weft__self.thread;
    if (!o || !o->submitted_at || !t)
        return;
    int64_t ns = weft__now() - o->submitted_at;
    weft__count(&t->latency[ns > 0 ? 63 - __builtin_clzll((uint64_t)ns) : 0], 1);
}

static void count_outcome(weft_executor *e, unsigned state)
{
    static const size_t offsets[] = {[WEFT_SUCCEEDED] = offsetof(weft__counts, succeeded),
                                     [WEFT_FAILED] = offsetof(weft__counts, failed),
                                     [WEFT_CANCELLED] = offsetof(weft__counts, cancelled),
                                     [WEFT_TIMED_OUT] = offsetof(weft__counts, timed_out)};
    weft__count_for(e, offsets[state], 1);
}

/* The reason of a job that acknowledges a request: the one on its word, or whose request reached it otherwise. */
static void acknowledge(weft_future *f)
{
    if (weft__job_cancelled(f))
        return; /* the reason is on the word */
    uint64_t word = atomic_load_explicit(&f->word, memory_order_relaxed);
    while (!(word & WEFT__CANCEL) &&
           !atomic_compare_exchange_weak_explicit(&f->word, &word, word | weft__reason_bits(WEFT_REASON_SELF),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

/* Decides the outcome from what the function returned and said, and writes it; returns the state. */
static unsigned conclude(weft_future *f, void *value, int failure)
{
    const weft__options *o = weft__options_of(f);
    f->value = value;
    if (failure == 0)
        return WEFT_SUCCEEDED;
    if (value && o && o->free_value) {
        o->free_value(value);
        weft__fork_check(f->executor);
    }
    if (failure == -ECANCELED) {
        acknowledge(f);
        return WEFT_CANCELLED;
    }
    f->error = failure;
    return WEFT_FAILED;
}

void weft__job_end(weft_future *f, void *arg, void *value, int failure, unsigned drop)
{
    weft_executor *e = f->executor;
    if (weft__options_of(f)) {
        weft__job_argument_release(f, arg);
        weft__fork_check(e);
    }
    unsigned state = conclude(f, value, failure);
    count_outcome(e, state);
    weft__settle(f, state, drop);
    weft__fork_check(e); /* after destructors; a wait that runs the job goes on with what is the thread's */
}

/* What notes about the job go under. */
static weft__mark mark_of(const weft__options *o)
{
    return o ? (weft__mark){o->trace_id, o->trace} : (weft__mark){0, 0};
}

static void note_cancel(weft_future *f, weft__note note, weft_cancel_reason reason)
{
    const weft__options *o = weft__options_of(f);
    WEFT__PROBE2(job__cancel, f, reason);
    if (weft__tracing(f->executor))
        weft__trace_moment(f->executor, note, (int)reason, o ? o->name : NULL, mark_of(o));
}

/* Runs a job or then that the caller has claimed, and settles it, dropping `drop` references. */
void weft__job_execute(weft_future *f, uintptr_t how, unsigned drop)
{
    weft_executor *e = f->executor;
    void *arg = f->value, *value = NULL;
    int failure = atomic_load_explicit(&e->broken, memory_order_relaxed);
    count_started(f);
    if (WEFT__LIKELY(failure == 0)) {
        const weft__options *o = weft__options_of(f);
        uint32_t noted = 0;
        measure_latency(o);
        if (weft__tracing(e))
            noted = weft__trace_begin(e, WEFT__NOTE_JOB, o ? o->name : NULL, mark_of(o), how != WEFT__RUN_TAKEN);
        value = weft__call_as_job(f, e, how, false, &failure);
        if (WEFT__UNLIKELY(noted)) /* before it can be seen done, and the trace be ended for that */
            weft__trace_end(e, noted, failure);
    } else {
        f->outer = (uintptr_t)weft__self.job | how;
    }
    weft__job_end(f, arg, value, failure, drop);
}

bool weft__cancels_pending(const weft_executor *e)
{
    /* Acquire, both, partners of raise_mode and weft__shutdown_begin, which writes the mode first. */
    return weft__phase(e) != WEFT__OPEN && atomic_load_explicit(&e->mode, memory_order_acquire) >= WEFT_CANCEL_PENDING;
}

/* One that runs inside a wait may have its link in a queue still. */
void weft__job_cut_off(weft_future *f)
{
    if (!weft__claim(f, WEFT__CLAIMED, weft__reason_bits(WEFT_REASON_SHUTDOWN)))
        return;
    if (weft__job_waits_for_time(f))
        weft__timed_drop(f);
    weft__job_cancel_claimed(f);
}

/* A worker has taken the job's link out of a queue, and with it the queue's reference. */
void weft__job_taken(weft__link *link, weft__thread *thread)
{
    weft_future *f = weft__link_future(link);
    weft_executor *e = f->executor;
    int failure;
    if (WEFT__UNLIKELY(weft__cancels_pending(e)))
        weft__job_cut_off(f);
    if (!weft__claim_to_run(f)) {
        weft__unref(f);
    } else if (!weft__has_no_options(f) || atomic_load_explicit(&e->detour, memory_order_relaxed)) {
        weft__job_execute(f, WEFT__RUN_TAKEN, 1);
    } else {
        void *value = weft__call_as_job(f, e, WEFT__RUN_TAKEN, true, &failure);
        weft__job_end_plain(f, thread, value, failure, 1);
    }
}

/* The thread that ran the job is being ended by it. */
unsigned weft__job_abandon(weft_future *f)
{
    unsigned taken = f->outer & WEFT__RUN_TAKEN;
    if (weft__chunk_goes_on(f))
        return taken;
    weft__job_argument_release(f, f->value);
    if (weft__stale(f->executor))
        return taken;
    f->error = -EOWNERDEAD;
    count_outcome(f->executor, WEFT_FAILED);
    unsigned owned = f->outer & WEFT__RUN_OWNED ? 1 : 0;
    if (owned)
        weft__observe(f); /* who made it went with the thread, and it is his thread's end that it tells of */
    weft__settle(f, WEFT_FAILED, taken + owned);
    return taken;
}

/* A delayed job's time has come. */
void weft__job_due(weft__link *link, weft__coordinator *c)
{
    weft_future *f = weft__link_future(link);
    if (weft__timed_fired(f, c))
        weft__enqueue_own(f->executor, weft__options_of(f)->priority, link);
    else
        weft__unref(f);
}

/* ---- running while waiting ---- */

bool weft__stack_is_low(const weft__thread *t)
{
    char here;
    return (uintptr_t)&here < (uintptr_t)t->stack_low;
}

bool weft__job_pop_if_newest(weft__thread *t, weft_future *f)
{
    if (weft__deque_newest(&t->ready) != &f->link)
        return false;
    weft__link *link = weft__ready_take(t);
    if (link == &f->link)
        return true;
    if (link)
        weft__enqueue_again(t, link);
    return false;
}

/* Runs it, if it is still to be had; with the queue's reference if how has WEFT__RUN_TAKEN. */
static void run_in_wait(weft__thread *t, weft_future *f, uintptr_t how)
{
    bool taken = how & WEFT__RUN_TAKEN;
    if (!weft__claim(f, WEFT_RUNNING, 0)) {
        if (taken) {
            weft__count(&t->port.counts.finished, 1);
            weft__unref(f);
        }
        return;
    }
    t->depth++;
    weft__forks_apart apart = weft__forks_set_apart(t);
    bool interrupted = weft__notify_first(); /* else who is told in its course would wait for its end */
    weft__job_execute(f, how, taken ? 1 : 0);
    weft__notify_later(interrupted);
    weft__forks_put_back(t, apart);
    t->depth--;
    weft__self.looks = WEFT__HELP_LOOKS;
    weft__count(&t->port.counts.inline_runs, 1);
    if (taken)
        weft__count(&t->port.counts.finished, 1);
}

int weft__job_help(weft_future *f, bool awaited)
{
    weft__thread *t = weft__self.thread;
    if (weft__state(weft__word(f)) != WEFT_PENDING || f->executor != t->executor || weft__stack_is_low(t) ||
        weft__job_waits_for_time(f))
        return 0;
    if (WEFT__UNLIKELY(weft__cancels_pending(f->executor))) {
        weft__job_cut_off(f);
        weft__fork_check(t->executor);
        return 0;
    }
    if (t->depth >= WEFT__INLINE_DEPTH)
        return -EOVERFLOW;
    uintptr_t taken = weft__job_pop_if_newest(t, f) ? WEFT__RUN_TAKEN : 0;
    run_in_wait(t, f, taken | (awaited ? WEFT__RUN_AWAITED : 0));
    return 0;
}

int weft__job_run_fresh(weft_future *f)
{
    weft__thread *t = weft__self.thread;
    if (t->depth >= WEFT__INLINE_DEPTH)
        return -EOVERFLOW;
    weft__count(&t->port.counts.submitted, 1);
    if (WEFT__UNLIKELY(weft__cancels_pending(f->executor))) {
        weft__job_cut_off(f);
        weft__fork_check(t->executor);
    }
    /* Shutdown's walk may have found and cancelled it, here or before. */
    run_in_wait(t, f, WEFT__RUN_TAKEN | WEFT__RUN_AWAITED | WEFT__RUN_OWNED);
    return 0;
}

/* ---- cancelling ---- */

void weft__job_cancel_claimed(weft_future *f)
{
    count_started(f);
    note_cancel(f, WEFT__NOTE_CANCEL, weft__reason(weft__word(f)));
    weft__job_argument_release(f, f->value);
    if (weft__stale(f->executor))
        return;
    count_outcome(f->executor, WEFT_CANCELLED);
    weft__settle(f, WEFT_CANCELLED, 0);
}

void weft__job_end_claimed(weft_future *f, weft_cancel_reason reason)
{
    atomic_fetch_or_explicit(&f->word, weft__reason_bits(reason), memory_order_relaxed);
    weft__job_cancel_claimed(f);
}

static weft_cancel_effect job_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next)
{
    (void)next;
    if (weft__claim(f, WEFT__CLAIMED, weft__reason_bits(reason))) {
        if (weft__job_waits_for_time(f))
            weft__timed_drop(f);
        weft__job_cancel_claimed(f);
        return WEFT_CANCEL_DONE;
    }
    return weft__job_request(f, reason);
}

weft_cancel_effect weft__job_request(weft_future *f, weft_cancel_reason reason)
{
    /* seq_cst, before the looks of weft__request_spread: partner of the look at this word by a waiter that has been
     * counted as blocked (weft__job_cancelled): either it sees the request or it is rung. */
    uint64_t word = weft__word(f);
    do {
        if (weft__done(word))
            return WEFT_CANCEL_TOO_LATE;
        if (word & WEFT__CANCEL || weft__state(word) == WEFT__CLAIMED)
            return WEFT_CANCEL_ALREADY;
    } while (!atomic_compare_exchange_weak_explicit(&f->word, &word, word | weft__reason_bits(reason),
                                                    memory_order_seq_cst, memory_order_acquire));
    note_cancel(f, WEFT__NOTE_REQUEST, reason);
    weft__request_spread(f->executor);
    weft__own_token_set(f, reason);
    return WEFT_CANCEL_REQUESTED;
}

/* ---- inside a job ---- */

void *weft_fail(int code)
{
    weft__self.failure = code > 0 || code == -ECANCELED ? code : EINVAL;
    return NULL;
}

bool weft_cancelled(void)
{
    weft__self_t *self = &weft__self;
    weft_future *job = self->job;
    if (!job)
        return false;
    if (atomic_load_explicit(&job->word, memory_order_relaxed) & WEFT__CANCEL)
        return true;
    uint32_t epoch = atomic_load_explicit(&job->executor->cancel_epoch, memory_order_relaxed);
    if (WEFT__LIKELY(epoch == self->job_epoch))
        return false;
    self->job_epoch = epoch;
    return weft__job_cancelled(job);
}
