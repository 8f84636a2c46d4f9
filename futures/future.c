/* future.c: a future's memory, references and queries. */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

bool weft__any_stale(weft_future *const futures[], size_t n)
{
    if (WEFT__LIKELY(weft__generation == 0))
        return false;
    for (size_t i = 0; i < n; i++)
        if (weft__stale(futures[i]->executor))
            return true;
    return false;
}

void weft__future_init(weft_future *f, weft_executor *e, const weft__future_ops *ops)
{
    atomic_store_explicit(&f->link.ops, &ops->link, memory_order_relaxed);
    f->executor = e;
    atomic_init(&f->todo, 0);
    f->error = 0;
    f->value = NULL;
    f->waiters = NULL;
    atomic_init(&f->options, NULL);
    atomic_store_explicit(&f->holds, 1, memory_order_relaxed);
}

/* The word last: from here on shutdown's walk may find the future. seq_cst, with the look at the phase that follows in
 * the calls that make futures only the walk would ever resolve: either they see the shutdown or the walk sees them. */
void weft__future_publish(weft_future *f, unsigned references, uint64_t bits)
{
    atomic_store_explicit(&f->word, references * WEFT__REF | bits, memory_order_seq_cst);
}

/* Nothing can happen to one that is done, so the walk passes it over and its maker needs no look. Release: the outcome,
 * for whoever the program hands it to in ways that order nothing. */
void weft__future_publish_done(weft_future *f, unsigned references, uint64_t bits)
{
    atomic_store_explicit(&f->word, references * WEFT__REF | bits, memory_order_release);
}

weft_future *weft__future_new(weft_executor *e, const weft__future_ops *ops)
{
    weft__port *port = weft__port_used(e);
    weft_future *f = port ? weft__slab_alloc(&port->heap, ops->memory) : NULL;
    if (!f)
        return weft__refuse(-ENOMEM);
    weft__future_init(f, e, ops);
    return f;
}

static void tell_unobserved(weft_executor *e, const char *name, int error)
{
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* the program is told in the middle of a call */
    if (e->unobserved_error)
        e->unobserved_error(name, error, e->data);
    else if (getenv("WEFT_DEBUG"))
        fprintf(stderr, "weft: %s failed with %d and nobody looked\n", name ? name : "a job", error);
    pthread_setcancelstate(state, NULL);
}

void weft__report_unobserved(weft_executor *e, const char *name, int error)
{
    atomic_fetch_add_explicit(&e->unobserved, 1, memory_order_relaxed);
    /* The hook belongs to a program that still has the executor; afterwards there is only the count. seq_cst, the count
     * of reports and then the phase, which destroy takes in the other order: either this sees that it is gone, or
     * destroy waits. */
    atomic_fetch_add_explicit(&e->reports, 1, memory_order_seq_cst);
    WEFT_POINT();
    if (atomic_load_explicit(&e->phase, memory_order_seq_cst) != WEFT__GONE)
        tell_unobserved(e, name, error);
    if (!weft__stale(e)) /* the hook has not forked */
        weft__report_over(e);
}

const char *weft__name(weft_future *f)
{
    for (;;) {
        const weft__future_ops *ops = weft__ops_of(f);
        const weft__options *o = weft__runs_function(f) ? weft__options_of(f) : NULL;
        if (o && o->name)
            return o->name;
        weft_future *input = ops->kind == WEFT__MANY ? weft__many_failed_input(f) : ops->input ? ops->input(f) : NULL;
        if (!input)
            return NULL;
        f = input;
    }
}

static void free_future(weft_future *f)
{
    weft__port *port = weft__port_known(f->executor);
    weft__slab_free(port ? &port->heap : NULL, f);
}

static void dispose(weft_future *f)
{
    weft_executor *e = f->executor;
    const weft__future_ops *ops = weft__ops_of(f);
    if (weft__stale(e)) /* as in weft__future_reap */
        return;
    uint64_t word = atomic_load_explicit(&f->word, memory_order_relaxed);
    atomic_store_explicit(&f->word, 0, memory_order_relaxed);
    ops->dispose(f, word);
    /* A destructor may have forked; then this is the child. */
    if (weft__stale(e) || ops->memory == WEFT__SLAB_CLASSES)
        return; /* it has freed itself: larger than any class */
    free_future(f);
}

static bool is_held(const weft_future *f)
{
    return !weft__runs_function(f) && weft__ops_of(f)->kind != WEFT__PROMISE;
}

void weft__hold(weft_future *f)
{
    atomic_fetch_add_explicit(&f->holds, 1, memory_order_relaxed);
}

void weft__hold_unseen(weft_future *f)
{
    /* Relaxed, both: the maker alone knows it. */
    atomic_store_explicit(&f->holds, atomic_load_explicit(&f->holds, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Disposing of a derived future drops its inputs, which may be derived futures again: in a loop, not by recursion. The
 * link is free by now to chain them. */
static void dispose_in_turn(weft_future *f)
{
    weft__self_t *self = &weft__self;
    atomic_store_explicit(&f->link.next, self->disposals, memory_order_relaxed);
    self->disposals = &f->link;
    if (!self->disposing)
        weft__dispose_rest();
}

void weft__dispose_rest(void)
{
    weft__self_t *self = &weft__self;
    self->disposing = true;
    for (weft__link *link; (link = self->disposals);) {
        self->disposals = atomic_load_explicit(&link->next, memory_order_relaxed);
        dispose(weft__link_future(link));
    }
    self->disposing = false;
}

void weft__let_go(weft_future *f)
{
    /* If this is the last one nobody is left who could add another, and no read-modify-write is needed. Acquire and
     * acq_rel, with all other drops: who frees comes after everybody's last use. */
    if (atomic_load_explicit(&f->holds, memory_order_acquire) == 1 ||
        atomic_fetch_sub_explicit(&f->holds, 1, memory_order_acq_rel) == 1)
        dispose_in_turn(f);
}

/* A job or promise is disposed of at once, so its destructors have run when the release returns. A destructor may
 * release a future whose destructor releases another one, and so on: beyond a few they take their turn. */
static void dispose_at_once(weft_future *f)
{
    enum { NESTED = 16 };
    weft__self_t *self = &weft__self;
    if (!weft__options_of(f)) { /* nor free_value, of a promise: nothing is released */
        dispose(f);
    } else if (self->nested < NESTED) {
        self->nested++;
        dispose(f);
        self->nested--;
    } else {
        dispose_in_turn(f);
    }
}

void weft__future_reap(weft_future *f, uint64_t word)
{
    /* Code of the program's further up in this call forked, and this is the child. */
    if (weft__stale(f->executor))
        return;
    if (WEFT__LIKELY(weft__has_no_options(f) && weft__state(word) == WEFT_SUCCEEDED)) {
        /* The common case of all below: nothing is to be reported, destroyed or let go. Relaxed, as in dispose: nobody
         * else has it, and for a walk it is free memory. */
        atomic_store_explicit(&f->word, 0, memory_order_relaxed);
        free_future(f);
        return;
    }
    if (weft__state(word) == WEFT_FAILED && !(word & WEFT__OBSERVED)) {
        weft__report_unobserved(f->executor, weft__name(f), f->error);
        if (weft__stale(f->executor)) /* the hook forked, and this is the child */
            return;
    }
    if (!is_held(f)) {
        if (weft__ops_of(f)->kind == WEFT__THEN)
            dispose_in_turn(f);
        else
            dispose_at_once(f);
        return;
    }
    if (!weft__done(word) && weft__ops_of(f)->abandon)
        weft__ops_of(f)->abandon(f);
    weft__let_go(f);
}

void weft__unref(weft_future *f)
{
    uint64_t word = weft__word(f);
    /* The only holder of a done future can be raced by nobody: shutdown's walk leaves done futures alone. */
    if (weft__refs(word) != 1 || !weft__done(word)) {
        /* acq_rel: whoever frees comes after everybody's last use. */
        word = atomic_fetch_sub_explicit(&f->word, WEFT__REF, memory_order_acq_rel);
        if (weft__refs(word) != 1)
            return;
    }
    weft__future_reap(f, word);
}

weft_future *weft_future_retain(weft_future *f)
{
    if (f && !weft__stale(f->executor))
        atomic_fetch_add_explicit(&f->word, WEFT__REF, memory_order_relaxed);
    return f;
}

void weft_future_release(weft_future *f)
{
    if (f && !weft__stale(f->executor))
        weft__unref(f);
}

int weft__lend(weft_future *f, bool duty)
{
    for (uint64_t word = atomic_load_explicit(&f->word, memory_order_relaxed);;) {
        if ((word & WEFT__LENT_MASK) == WEFT__LENT_MASK || (word & WEFT__REF_MASK) == WEFT__REF_MASK)
            return -EOVERFLOW;
        if (WEFT__UNLIKELY(word & WEFT__LOCK && weft__done(word))) {
            weft__lock(f); /* somebody may be moving its value out and has seen no loan: see read.c */
            weft__unlock(f, 0, 0);
            word = atomic_load_explicit(&f->word, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&f->word, &word,
                                                         (word + WEFT__REF + WEFT__LENT) | (duty ? WEFT__OBSERVED : 0),
                                                         memory_order_acq_rel, memory_order_relaxed)) {
            return 0; /* acquire: the caller may find it done and read its outcome */
        }
    }
}

uint64_t weft__lend_unlocked(weft_future *f)
{
    weft__lock(f);
    weft__unlock(f, 0, 0);
    return weft__word(f);
}

bool weft__try_ref_undone(weft_future *f)
{
    uint64_t word = weft__word(f);
    while (weft__refs(word) > 0 && !weft__done(word)) {
        /* acq_rel: of who published the future, as it may come from the walk; and as any reference. */
        if (atomic_compare_exchange_weak_explicit(&f->word, &word, word + WEFT__REF, memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    }
    return false;
}

void weft__observe(weft_future *f)
{
    if (!(atomic_load_explicit(&f->word, memory_order_relaxed) & WEFT__OBSERVED))
        atomic_fetch_or_explicit(&f->word, WEFT__OBSERVED, memory_order_relaxed);
}

int weft__no_future(void)
{
    return errno > 0 ? -errno : -EINVAL;
}

weft_state weft_future_state(const weft_future *f)
{
    if (!f)
        return WEFT_FAILED;
    unsigned state = weft__state(weft__word(f));
    return state == WEFT__CLAIMED ? WEFT_PENDING : (weft_state)state;
}

bool weft_future_done(const weft_future *f)
{
    return !f || weft__done(weft__word(f));
}

bool weft_future_cancelled(const weft_future *f)
{
    return f && weft__state(weft__word(f)) == WEFT_CANCELLED;
}

size_t weft__index_of(weft_future *f)
{
    for (;;) {
        const weft__future_ops *ops = weft__ops_of(f);
        if (ops->kind == WEFT__MANY)
            return weft__many_index(f);
        weft_future *input = ops->input ? ops->input(f) : NULL;
        if (!input)
            return 0;
        f = input;
    }
}

int weft__outcome_code(weft_future *f, uint64_t word)
{
    switch (weft__state(word)) {
    case WEFT_SUCCEEDED:
        return 0;
    case WEFT_CANCELLED:
        return -ECANCELED;
    case WEFT_TIMED_OUT:
        return -ETIMEDOUT;
    default:
        return f->error;
    }
}

void weft__outcome_read(weft_future *f, uint64_t word, weft_outcome *outcome)
{
    *outcome = (weft_outcome){.state = (weft_state)weft__state(word), .error = weft__outcome_code(f, word)};
    if (outcome->state == WEFT_SUCCEEDED && !(word & WEFT__TAKEN))
        outcome->value = f->value;
    if (outcome->state == WEFT_CANCELLED || outcome->state == WEFT_TIMED_OUT)
        outcome->reason = weft__reason(word);
    if (outcome->state == WEFT_FAILED || outcome->state == WEFT_SUCCEEDED)
        outcome->index = weft__index_of(f);
}

int weft_future_outcome(weft_future *f, weft_outcome *outcome)
{
    if (!f)
        return weft__no_future();
    if (!outcome)
        return -EINVAL;
    if (weft__stale(f->executor))
        return -ESTALE;
    uint64_t word = weft__word(f);
    if (!weft__done(word))
        return -EINPROGRESS;
    if (weft__state(word) == WEFT_FAILED)
        weft__observe(f);
    weft__outcome_read(f, word, outcome);
    return 0;
}
