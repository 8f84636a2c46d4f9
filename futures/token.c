/* token.c: tokens and scopes: one flag for many jobs, in a tree, with deadlines.
 *
 * token.h has the word and the rules. What happens on which thread:
 *
 *   any thread     sets the flag; joins, leaves, closes, reschedules under the lock, for a few instructions
 *   coordinator    of the token's executor: expires the deadline; and when the flag is there, sets the tokens below, asks
 *                  the members to stop, hands the hooks to its list of callbacks ("spread")
 *
 * A token below may belong to another executor: to set it is one compare-and-swap and a message, and its own
 * coordinator goes on from there. So a tree of any depth costs no stack, and nobody waits for anybody.
 *
 * A deadline that has passed counts for who submits a job or asks a group, even if the coordinator has not come to it:
 * it is expired then and there (weft__token_due).
 *
 * Source: stop tokens of C++20, Go's context, Trio's cancel scopes. */
#include "token.h"

#include "clock.h"

#include <errno.h>

enum { SPREAD = 1, REARM = 2, SOONER = 4 }; /* SOONER: beside REARM, the deadline has come nearer */
enum { COUNTED = 8 };                       /* for post_deadline alone: there was no timer before */

/* ---- references, holds and messages ---- */

void weft__token_hold(weft_token *t)
{
    atomic_fetch_add_explicit(&t->holds, 1, memory_order_relaxed);
}

void weft__token_let_go(weft_token *t)
{
    /* acq_rel: who frees comes after everybody's last use. */
    if (atomic_fetch_sub_explicit(&t->holds, 1, memory_order_acq_rel) != 1)
        return;
    weft__port *port = weft__port_find(t->executor);
    atomic_store_explicit(&t->word, 0, memory_order_relaxed);
    weft__slab_free(port ? &port->heap : NULL, t);
}

static bool is_set(uint64_t word)
{
    return word & WEFT__TOKEN_SET;
}

static uint64_t word_of(const weft_token *t)
{
    /* Acquire: what was written before it was set. Partner: set_word. */
    return atomic_load_explicit(&t->word, memory_order_acquire);
}

/* Is there more to do by now than what a message that may wait until `deadline` was meant for? */
static bool grew_urgent(const weft_token *t, int64_t deadline)
{
    return deadline != 0 && (is_set(word_of(t)) || atomic_load_explicit(&t->deadline, memory_order_relaxed) < deadline);
}

/* As weft__poke. False: the coordinator is gone. A message that is under way may be one that can wait, posted without
 * waking the coordinator. So who adds something urgent to it sends news besides; and if the news came before the
 * message (which therefore comes after what was urgent, by the mailbox's word) who posts the message sends them. */
static bool poke(weft_token *t, uint32_t what, int64_t deadline)
{
    weft__coordinator *c = &t->executor->coordinator;
    /* acq_rel, with the exchange in token_handle: the coordinator sees what was written before. */
    uint32_t before = atomic_fetch_or_explicit(&t->todo, what, memory_order_acq_rel);
    if (before) {
        if (what & (SPREAD | SOONER)) /* what was SOONER before may have found a coordinator that was about to sleep */
            weft__coordinator_news(c);
        return true;
    }
    weft__token_hold(t);
    WEFT_POINT();
    /* A chain of one: the other way to post counts in thread-local storage, which a signal handler should not. */
    if (weft__coordinator_post_chain(c, &t->link, &t->link, deadline)) {
        if (grew_urgent(t, deadline))
            weft__coordinator_news(c);
        return true;
    }
    atomic_store_explicit(&t->todo, 0, memory_order_relaxed); /* so that the next one learns it too */
    weft__token_let_go(t);
    return false;
}

/* Whether this made the difference. */
static bool set_word(weft_token *t, uint64_t bits)
{
    uint64_t word = atomic_load_explicit(&t->word, memory_order_relaxed);
    do {
        if (is_set(word))
            return false;
        /* seq_cst: before the coordinator's look at the lists, as joining is before the look at this word. */
    } while (!atomic_compare_exchange_weak_explicit(&t->word, &word, word | WEFT__TOKEN_SET | bits,
                                                    memory_order_seq_cst, memory_order_relaxed));
    return true;
}

void weft__token_set(weft_token *t, weft_cancel_reason reason)
{
    if (set_word(t, (uint64_t)reason << 1))
        poke(t, SPREAD, 0);
}

static void set_below(weft_token *t, weft_cancel_reason reason)
{
    if (!(word_of(t) & WEFT__TOKEN_SHIELDED))
        weft__token_set(t, weft__reason_below(reason));
}

/* ---- the deadline ---- */

/* Under the lock: the deadline is of no use any more. */
static void untime(weft_token *t)
{
    if (!t->timed)
        return;
    t->timed = false;
    atomic_store_explicit(&t->deadline, WEFT_FOREVER, memory_order_relaxed);
    weft__count_for(t->executor, offsetof(weft__counts, timers_dropped), 1);
}

/* Under the lock. What to poke the coordinator for. */
static uint32_t retime(weft_token *t, int64_t deadline)
{
    bool sooner = deadline < atomic_load_explicit(&t->deadline, memory_order_relaxed);
    if (deadline == WEFT_FOREVER) {
        untime(t);
        return REARM;
    }
    atomic_store_explicit(&t->deadline, deadline, memory_order_relaxed);
    uint32_t counted = t->timed ? 0 : COUNTED;
    if (counted)
        weft__count_for(t->executor, offsetof(weft__counts, timers_armed), 1);
    t->timed = true;
    return (sooner ? REARM | SOONER : REARM) | counted;
}

/* Sets the token if its deadline is one of those until `now`, and it is not closed. */
static bool expire(weft_token *t, int64_t now)
{
    bool expired = false;
    weft__tiny_lock_take(&t->lock);
    if (t->timed && atomic_load_explicit(&t->deadline, memory_order_relaxed) <= now &&
        set_word(t, WEFT__TOKEN_EXPIRED | (uint64_t)WEFT_REASON_TIMEOUT << 1)) {
        t->timed = false;
        atomic_store_explicit(&t->deadline, WEFT_FOREVER, memory_order_relaxed);
        weft__count_for(t->executor, offsetof(weft__counts, timers_fired), 1);
        expired = true;
    }
    weft__tiny_unlock(&t->lock);
    if (expired)
        WEFT__PROBE1(timer__fire, t->executor);
    if (expired && weft__tracing(t->executor)) /* not under the lock: it may take another one */
        weft__note_timer(t->executor, WEFT__NOTE_FIRE);
    if (expired)
        poke(t, SPREAD | REARM, 0);
    return expired;
}

static weft_token *of_link(weft__link *link)
{
    return (weft_token *)(void *)((char *)link - offsetof(weft_token, link));
}

static void token_expire(weft__link *link, weft__coordinator *c)
{
    weft_token *t = of_link(link);
    (void)c;
    /* Another deadline may be on its way: then this was not it. */
    expire(t, t->timer.deadline);
    weft__token_let_go(t); /* the wheel's */
}

/* On the coordinator: brings the wheel in line with the deadline. */
static void rearm(weft_token *t, weft__coordinator *c)
{
    if (weft__timer_armed(&t->timer)) {
        weft__wheel_remove(&c->wheel, &t->timer);
        weft__token_let_go(t);
    }
    int64_t deadline = atomic_load_explicit(&t->deadline, memory_order_relaxed);
    if (deadline == WEFT_FOREVER)
        return;
    t->timer.deadline = deadline;
    weft__token_hold(t);
    weft__wheel_insert(&c->wheel, &t->timer);
}

static void post_deadline(weft_token *t, uint32_t what, int64_t deadline)
{
    int64_t soon = weft__coordinator_soon(&t->executor->coordinator);
    if (what & COUNTED)
        WEFT__PROBE1(timer__arm, t->executor);
    if (what & COUNTED && weft__tracing(t->executor))
        weft__note_timer(t->executor, WEFT__NOTE_ARM);
    if (poke(t, what & ~(uint32_t)COUNTED, soon < deadline ? soon : deadline))
        return;
    weft__tiny_lock_take(&t->lock);
    untime(t);
    weft__tiny_unlock(&t->lock);
}

void weft__token_unarm(weft__link *link)
{
    weft_token *t = of_link(link);
    weft__tiny_lock_take(&t->lock);
    untime(t);
    weft__tiny_unlock(&t->lock);
    weft__token_let_go(t);
}

/* ---- what hangs on it ---- */

/* Takes one member out; NULL: none. It has not left, so whoever will take it out has a reference, to be shared. */
static weft_future *take_member(weft_token *t)
{
    weft_future *job = NULL;
    weft__tiny_lock_take(&t->lock);
    weft__member *m = t->members;
    if (m) {
        t->members = m->next;
        if (m->next)
            m->next->previous = m->next;
        m->previous = NULL;
        job = weft_future_retain(m->job);
    }
    weft__tiny_unlock(&t->lock);
    return job;
}

static void spread(weft_token *t, weft__coordinator *c)
{
    weft_cancel_reason reason = weft__token_reason(word_of(t));
    weft__tiny_lock_take(&t->lock);
    untime(t);
    weft__hooks_due(t, c);
    for (weft_token *child = t->children; child; child = child->next)
        set_below(child, reason);
    weft__tiny_unlock(&t->lock);
    for (weft_future *job; (job = take_member(t));) {
        weft__cancel(job, reason);
        weft__fork_check(t->executor); /* after free_arg; the lock may be taken there */
        weft__unref(job);
    }
}

static void token_handle(weft__link *link, weft__coordinator *c)
{
    weft_token *t = of_link(link);
    /* acq_rel, partner of poke. */
    uint32_t todo = atomic_exchange_explicit(&t->todo, 0, memory_order_acq_rel);
    if (todo & SPREAD)
        spread(t, c);
    rearm(t, c);
    weft__token_let_go(t); /* the message's */
}

static const weft__ops token_ops = {.handle = token_handle, .expire = token_expire};

bool weft__token_is(const weft__link *link)
{
    return weft__link_ops(link) == &token_ops;
}

void weft__member_enlist(weft__member *m, weft_token *t, weft_future *job)
{
    m->job = job;
    m->next = t->members;
    m->previous = m; /* the first points to itself */
    if (m->next)
        m->next->previous = m;
    t->members = m;
}

weft_cancel_reason weft__member_join(weft__member *m, weft_token *t, weft_future *job)
{
    weft_cancel_reason reason = weft__token_due(t);
    if (reason != WEFT_REASON_NONE)
        return reason;
    WEFT_POINT();
    weft__tiny_lock_take(&t->lock);
    /* seq_cst, partner of set_word: not set here means that the coordinator's look at the list comes later. */
    uint64_t word = atomic_load_explicit(&t->word, memory_order_seq_cst);
    if (!is_set(word)) {
        weft__member_enlist(m, t, job);
        atomic_store_explicit(&m->token, weft_token_retain(t), memory_order_relaxed);
    }
    weft__tiny_unlock(&t->lock);
    return is_set(word) ? weft__token_reason(word) : WEFT_REASON_NONE;
}

static void unlist(weft__member *m, weft_token *t)
{
    weft__tiny_lock_take(&t->lock);
    if (m->previous) {
        if (m->next)
            m->next->previous = m == t->members ? m->next : m->previous;
        if (m == t->members)
            t->members = m->next;
        else
            m->previous->next = m->next;
        m->previous = NULL;
    }
    weft__tiny_unlock(&t->lock);
}

void weft__member_unlist(weft__member *m)
{
    weft_token *t = atomic_load_explicit(&m->token, memory_order_relaxed);
    if (t)
        unlist(m, t);
}

void weft__member_leave(weft__member *m)
{
    if (!atomic_load_explicit(&m->token, memory_order_relaxed))
        return;
    /* One of several that come leaves for all. Acquire: the list's entry, from who joined, if that is another
     * thread. */
    weft_token *t = atomic_exchange_explicit(&m->token, NULL, memory_order_acquire);
    if (!t)
        return;
    unlist(m, t);
    weft_token_release(t);
}

/* ---- looking ---- */

weft_cancel_reason weft__token_due(weft_token *t)
{
    uint64_t own = word_of(t);
    if (is_set(own))
        return weft__token_reason(own);
    for (weft_token *above = t; above; above = above->parent) {
        int64_t deadline = atomic_load_explicit(&above->deadline, memory_order_relaxed);
        if (deadline != WEFT_FOREVER && deadline <= weft__executor_now(above->executor))
            expire(above, deadline);
        uint64_t word = word_of(above);
        if (is_set(word)) {
            if (above != t)
                weft__token_set(t, weft__reason_below(weft__token_reason(word)));
            return weft__token_reason(word_of(t));
        }
        if (word & WEFT__TOKEN_SHIELDED)
            break;
    }
    return WEFT_REASON_NONE;
}

bool weft_token_cancelled(const weft_token *t)
{
    for (; t; t = t->parent) {
        uint64_t word = word_of(t);
        if (is_set(word))
            return true;
        if (word & WEFT__TOKEN_SHIELDED)
            break;
    }
    return false;
}

bool weft_token_expired(const weft_token *t)
{
    return t && word_of(t) & WEFT__TOKEN_EXPIRED;
}

/* ---- life ---- */

weft_token *weft__token_new(weft_executor *e, uint64_t bits)
{
    weft__port *port = weft__port_get(e);
    weft_token *t = port ? weft__slab_alloc(&port->heap, WEFT__TOKEN) : NULL;
    if (!t)
        return weft__refuse(-ENOMEM);
    atomic_store_explicit(&t->link.ops, &token_ops, memory_order_relaxed);
    t->executor = e;
    t->parent = NULL;
    atomic_init(&t->todo, 0);
    weft__tiny_init(&t->lock);
    t->children = NULL;
    t->members = NULL;
    t->hooks = NULL;
    t->next = t->previous = NULL;
    t->timed = false;
    weft__timer_init(&t->timer);
    atomic_init(&t->deadline, WEFT_FOREVER);
    atomic_init(&t->holds, 1);
    /* Release, partner of the look of weft__tokens_shut, which may come across it at once. */
    atomic_store_explicit(&t->word, WEFT__TOKEN_REF | bits, memory_order_release);
    return t;
}

void weft__token_adopt(weft_token *t, weft_token *parent)
{
    t->parent = weft_token_retain(parent);
    weft__tiny_lock_take(&parent->lock);
    t->previous = NULL;
    t->next = parent->children;
    if (t->next)
        t->next->previous = t;
    parent->children = t;
    /* seq_cst, likewise. */
    uint64_t word = atomic_load_explicit(&parent->word, memory_order_seq_cst);
    weft__tiny_unlock(&parent->lock);
    if (is_set(word))
        set_below(t, weft__token_reason(word));
}

static void leave_parent(weft_token *t)
{
    weft_token *parent = t->parent;
    weft__tiny_lock_take(&parent->lock);
    if (t->next)
        t->next->previous = t->previous;
    if (t->previous)
        t->previous->next = t->next;
    else
        parent->children = t->next;
    weft__tiny_unlock(&parent->lock);
}

/* The last reference is gone: no member, no child, nobody who could cancel it. */
static void reap(weft_token *t)
{
    weft__hooks_drop(t);
    weft__tiny_lock_take(&t->lock);
    bool timed = t->timed;
    untime(t);
    weft__tiny_unlock(&t->lock);
    if (timed)
        poke(t, REARM, weft__coordinator_soon(&t->executor->coordinator));
    if (t->parent)
        leave_parent(t);
    weft__token_let_go(t);
}

weft_token *weft_token_retain(weft_token *t)
{
    if (t && !weft__stale(t->executor))
        atomic_fetch_add_explicit(&t->word, WEFT__TOKEN_REF, memory_order_relaxed);
    return t;
}

/* In a loop, since a chain of tokens may go at once. */
void weft_token_release(weft_token *t)
{
    while (t && !weft__stale(t->executor)) {
        if (atomic_fetch_sub_explicit(&t->word, WEFT__TOKEN_REF, memory_order_acq_rel) >> 32 != 1)
            return;
        weft_token *parent = t->parent;
        reap(t);
        t = parent;
    }
}

weft_token *weft_token_create(weft_executor *e, weft_token *parent, int64_t timeout, unsigned flags)
{
    if (flags & ~(unsigned)WEFT_SHIELDED)
        return weft__refuse(-EINVAL);
    if (!e && parent)
        e = parent->executor;
    if (parent && weft__stale(parent->executor))
        return weft__refuse(-ESTALE);
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    if (weft__refused_phase(e))
        return weft__refuse(-ESHUTDOWN);
    weft_token *t = weft__token_new(e, flags & WEFT_SHIELDED ? WEFT__TOKEN_SHIELDED : 0);
    if (!t)
        return NULL;
    int64_t deadline = weft__deadline(weft__executor_now(e), timeout > 0 ? timeout : 0);
    uint32_t what = retime(t, deadline); /* before anybody else can see it */
    if (parent) {
        weft__token_due(parent);
        weft__token_adopt(t, parent);
    }
    if (deadline != WEFT_FOREVER)
        post_deadline(t, what, deadline);
    return t;
}

/* ---- what the program says ---- */

void weft_token_cancel(weft_token *t)
{
    if (!t || weft__stale(t->executor))
        return;
    int before = errno; /* a signal handler leaves it as it was */
    weft__token_set(t, WEFT_REASON_USER);
    errno = before;
}

int weft_token_reschedule(weft_token *t, int64_t timeout)
{
    if (!t)
        return -EINVAL;
    if (weft__stale(t->executor))
        return -ESTALE;
    /* With its executor its deadline has gone, and so may have the clock. */
    bool gone = weft__refused_phase(t->executor);
    int64_t deadline = gone ? 0 : weft__deadline(weft__executor_now(t->executor), timeout > 0 ? timeout : 0);
    int code = 0;
    uint32_t what = 0;
    weft__tiny_lock_take(&t->lock);
    uint64_t word = word_of(t);
    if (word & (WEFT__TOKEN_EXPIRED | WEFT__TOKEN_CLOSED)) {
        code = -EALREADY;
    } else if (!is_set(word) && !gone) {
        what = retime(t, deadline);
    }
    weft__tiny_unlock(&t->lock);
    if (what)
        post_deadline(t, what, deadline);
    return code;
}

int weft_token_close(weft_token *t)
{
    if (!t)
        return -EINVAL;
    if (weft__stale(t->executor))
        return -ESTALE;
    weft__tiny_lock_take(&t->lock);
    /* acq_rel, with set_word: who is told that it had expired sees what came before. The lock orders it with expire. */
    uint64_t word = atomic_fetch_or_explicit(&t->word, WEFT__TOKEN_CLOSED, memory_order_acq_rel);
    bool timed = t->timed;
    untime(t);
    weft__tiny_unlock(&t->lock);
    if (timed)
        poke(t, REARM, weft__coordinator_soon(&t->executor->coordinator));
    return word & WEFT__TOKEN_EXPIRED ? -ETIMEDOUT : 0;
}
