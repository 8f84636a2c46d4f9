/* settle.c: how a future becomes done, and how those who wait for it are told.
 *
 * One party claims the right to settle (weft__claim: out of PENDING, once), writes the outcome with plain stores, and
 * settles: one compare-and-swap that makes the state visible, drops the settler's reference and clears SLEEPER. After
 * it the settler touches nothing of the future but its address, in the wake-up of those who sleep on the word.
 *
 * Waiters. Three kinds are told: threads that sleep on the word itself (SLEEPER), one future with many inputs without a
 * node of its own (the low bit of the last link marks it), and nodes in a list. LOCK guards the list. It is held for a
 * few instructions by who attaches, detaches or settles, one at a time, and never while foreign code runs; who finds it
 * held spins a little and then sleeps on the word like any SLEEPER. Several at once only by who takes a value through
 * mirrors, from the top down (read.c).
 *   - The settler of a future with a list takes LOCK, takes the whole list, and gives LOCK up in the same step that
 *     makes the future done.
 *   - If LOCK is held by an attacher when the settler comes, the settler waits for it. (To leave the list to the
 *     attacher would be quicker, but then the future could be seen done before its callbacks are posted.)
 *   - So each node is either taken by the settler, and notified once, or detached, and never notified.
 * A taken node has previous == NULL; its next links it into the notifying thread's own list of what to notify, so that
 * a chain of derived futures of any length settles in a loop, not by recursion.
 *
 * Callbacks must run in the order in which their futures resolved, across futures. So a callback is posted to the
 * coordinator before its future can be seen done: whoever sees it and then settles another one posts later. The
 * coordinator may get there before the settler; the verdict in the word lets it complete the transition itself.
 *
 * Model: tests/model/future.pml. */
#include "future.h"

enum { LOCK_SPINS = 64 };

/* ---- notifying ---- */

static void drain(weft__self_t *self)
{
    self->draining = true;
    for (weft__waiter *node; (node = self->drain_first);) {
        self->drain_first = node->next;
        if (!self->drain_first)
            self->drain_last = NULL;
        node->notify(node);
    }
    self->draining = false;
}

static void notify_all(weft__waiter *first, weft__waiter *last)
{
    weft__self_t *self = &weft__self;
    if (!first)
        return;
    last->next = NULL;
    if (self->drain_last)
        self->drain_last->next = first;
    else
        self->drain_first = first;
    self->drain_last = last;
    if (!self->draining) /* else further down this stack somebody is at it */
        drain(self);
}

void weft__notify_rest(void)
{
    drain(&weft__self);
}

bool weft__notify_first(void)
{
    weft__self_t *self = &weft__self;
    if (WEFT__LIKELY(!self->draining))
        return false;
    drain(self);
    return true;
}

void weft__notify_later(bool interrupted)
{
    if (WEFT__UNLIKELY(interrupted))
        weft__self.draining = true;
}

void weft__tell(weft__waiter *node)
{
    notify_all(node, node);
}

static struct weft__many *direct_of(const weft__waiter *link)
{
    return (uintptr_t)link & 1 ? (struct weft__many *)((uintptr_t)link - 1) : NULL;
}

static weft__waiter *direct_link(struct weft__many *g)
{
    return (weft__waiter *)((uintptr_t)g + 1);
}

/* What the future had to notify; the list is taken out under LOCK. */
typedef struct taken {
    weft__waiter *first, *last;
    struct weft__many *direct;
} taken;

/* Callbacks are not notified but posted, in one piece: what one of them registers comes after the others. */
static taken take_list(weft_future *f)
{
    taken t = {NULL, NULL, NULL};
    weft__link *first = NULL, *last = NULL;
    weft__waiter *node = f->waiters;
    f->waiters = NULL;
    while (node && !(t.direct = direct_of(node))) {
        weft__waiter *next = node->next;
        node->previous = NULL;
        if (node->notify == weft__callback_notify) {
            weft__link *link = weft__callback_posted(node);
            if (last)
                atomic_store_explicit(&last->next, link, memory_order_relaxed);
            else
                first = link;
            last = link;
        } else {
            if (t.last)
                t.last->next = node;
            else
                t.first = node;
            t.last = node;
        }
        node = next;
    }
    /* The mailbox is open: it closes after the last future of the executor is done and its callbacks have run. */
    if (first)
        weft__coordinator_post_chain(&f->executor->coordinator, first, last, 0);
    return t;
}

static bool has_callbacks(const weft_future *f)
{
    for (const weft__waiter *node = f->waiters; node && !direct_of(node); node = node->next)
        if (node->notify == weft__callback_notify)
            return true;
    return false;
}

/* `f` may be gone unless the gather holds it, which it does. */
static void notify_taken(taken t, weft_future *f)
{
    uint32_t generation = weft__generation;
    if (t.direct)
        weft__many_input_done(t.direct, f);
    if (weft__inherited(generation)) /* a destructor forked, and this is the child */
        return;
    notify_all(t.first, t.last);
}

/* ---- the word's lock ---- */

int weft__word_sleep(weft_future *f, uint64_t seen, int64_t deadline)
{
    uint64_t asleep = seen | WEFT__SLEEPER;
    if (seen != asleep &&
        !atomic_compare_exchange_strong_explicit(&f->word, &seen, asleep, memory_order_relaxed, memory_order_relaxed))
        return 0;
    return weft__futex_wait(weft__futex_half(&f->word), (uint32_t)asleep, deadline);
}

static void wake_sleepers(weft_future *f)
{
    weft__futex_wake(weft__futex_half(&f->word), INT32_MAX);
}

uint64_t weft__lock(weft_future *f)
{
    uint64_t word = atomic_load_explicit(&f->word, memory_order_relaxed);
    for (unsigned spins = 0;;) {
        if (!(word & WEFT__LOCK)) {
            /* Acquire: the list as the last holder left it. */
            if (atomic_compare_exchange_weak_explicit(&f->word, &word, word | WEFT__LOCK, memory_order_acq_rel,
                                                      memory_order_relaxed))
                return word | WEFT__LOCK;
            continue;
        }
        if (++spins < LOCK_SPINS)
            weft__pause();
        else
            weft__word_sleep(f, word, INT64_MAX);
        word = atomic_load_explicit(&f->word, memory_order_relaxed);
    }
}

void weft__unlock(weft_future *f, uint64_t clear, uint64_t set)
{
    uint64_t word = atomic_load_explicit(&f->word, memory_order_relaxed);
    /* Release: the list as we leave it; the next to lock acquires. */
    while (!atomic_compare_exchange_weak_explicit(&f->word, &word, (word & ~(WEFT__LOCK | WEFT__SLEEPER | clear)) | set,
                                                  memory_order_release, memory_order_relaxed))
        ;
    if (word & WEFT__SLEEPER)
        wake_sleepers(f);
}

/* ---- the waiter list ---- */

static void append(weft_future *f, weft__waiter *node)
{
    weft__waiter *first = f->waiters;
    if (!first || direct_of(first)) {
        node->next = first;
        node->previous = node;
        f->waiters = node;
    } else {
        weft__waiter *last = first->previous;
        node->next = last->next; /* NULL or the gather */
        node->previous = last;
        last->next = node;
        first->previous = node;
    }
}

static void unlink_node(weft_future *f, weft__waiter *node)
{
    weft__waiter *first = f->waiters, *next = node->next;
    bool is_last = !next || direct_of(next);
    if (node == first) {
        f->waiters = next;
        if (!is_last)
            next->previous = first->previous;
    } else {
        node->previous->next = next;
        if (is_last)
            first->previous = node->previous;
        else
            next->previous = node->previous;
    }
    node->previous = NULL;
}

static uint64_t listed_bit(const weft_future *f)
{
    return f->waiters ? WEFT__LISTED : 0;
}

bool weft__attach_seen(weft_future *f, weft__waiter *node)
{
    if (weft__done(weft__word(f)))
        return false;
    if (weft__done(weft__lock(f))) {
        weft__unlock(f, 0, 0);
        return false;
    }
    append(f, node);
    weft__unlock(f, 0, WEFT__LISTED);
    return true;
}

bool weft__attach(weft_future *f, weft__waiter *node)
{
    node->previous = NULL;
    return weft__attach_seen(f, node);
}

bool weft__detach(weft_future *f, weft__waiter *node)
{
    weft__lock(f);
    bool attached = node->previous != NULL;
    if (attached)
        unlink_node(f, node);
    weft__unlock(f, listed_bit(f) ^ WEFT__LISTED, 0);
    return attached;
}

static weft__waiter **direct_place(weft_future *f)
{
    weft__waiter *first = f->waiters;
    if (!first || direct_of(first))
        return &f->waiters;
    return &first->previous->next;
}

enum weft__direct weft__attach_direct(weft_future *f, struct weft__many *g)
{
    if (weft__done(weft__word(f)))
        return WEFT__WAS_DONE;
    if (weft__done(weft__lock(f))) {
        weft__unlock(f, 0, 0);
        return WEFT__WAS_DONE;
    }
    weft__waiter **place = direct_place(f);
    enum weft__direct result = !*place ? WEFT__ATTACHED : direct_of(*place) == g ? WEFT__TWICE : WEFT__BUSY;
    if (result == WEFT__ATTACHED)
        *place = direct_link(g);
    weft__unlock(f, 0, listed_bit(f));
    return result;
}

bool weft__detach_direct(weft_future *f, struct weft__many *g)
{
    weft__lock(f);
    weft__waiter **place = direct_place(f);
    bool attached = *place && direct_of(*place) == g;
    if (attached)
        *place = NULL;
    weft__unlock(f, listed_bit(f) ^ WEFT__LISTED, 0);
    return attached;
}

/* ---- claiming and settling ---- */

bool weft__claim(weft_future *f, unsigned state, uint64_t bits)
{
    uint64_t word = atomic_load_explicit(&f->word, memory_order_relaxed);
    do {
        if (weft__state(word) != WEFT_PENDING)
            return false;
        /* The first reason stays. Acquire, partner of the release in weft__future_publish and in submit: what the maker
         * wrote. The outcome is published later, by settle. */
    } while (!atomic_compare_exchange_weak_explicit(&f->word, &word, word | state | (word & WEFT__CANCEL ? 0 : bits),
                                                    memory_order_acq_rel, memory_order_relaxed));
    return true;
}

bool weft__claimed(weft_future *f)
{
    /* A read-modify-write of the word, so it is before or after the claim, which is one as well: whoever claims
     * afterwards acquires what this thread wrote. */
    return weft__state(atomic_fetch_or_explicit(&f->word, 0, memory_order_acq_rel)) != WEFT_PENDING;
}

static uint64_t settled(uint64_t word, unsigned state, unsigned drop)
{
    return ((word & ~(WEFT__STATE | WEFT__SLEEPER | WEFT__VERDICT)) | state) - drop * WEFT__REF;
}

static void settle_listed(weft_future *f, unsigned state, unsigned drop)
{
    weft__lock(f);
    if (has_callbacks(f)) {
        /* From here on the coordinator may make it done, and who has the last reference, a promise's owner in a callback
         * for one, give that up before this thread is through; so it takes one of its own. The verdict was 0. */
        atomic_fetch_add_explicit(&f->word, WEFT__REF + ((uint64_t)state << WEFT__VERDICT_SHIFT), memory_order_release);
        drop++;
    }
    taken t = take_list(f);
    /* What is to be notified holds references to f; a list of nodes alone does not. */
    uint64_t word = atomic_load_explicit(&f->word, memory_order_relaxed), next;
    do
        next = settled(word, state, drop) & ~(WEFT__LOCK | WEFT__LISTED);
    while (!atomic_compare_exchange_weak_explicit(&f->word, &word, next, memory_order_acq_rel, memory_order_relaxed));
    if (word & WEFT__SLEEPER)
        wake_sleepers(f);
    if (drop && weft__refs(next) == 0)
        weft__future_reap(f, next);
    notify_taken(t, f);
}

void weft__settle(weft_future *f, unsigned state, unsigned drop)
{
    uint64_t word = atomic_load_explicit(&f->word, memory_order_relaxed), next;
    do {
        if (word & (WEFT__LISTED | WEFT__LOCK)) {
            settle_listed(f, state, drop);
            return;
        }
        next = settled(word, state, drop);
        /* Release: the outcome and all that the job wrote. Acquire: if this was the last reference, everybody's use. */
    } while (!atomic_compare_exchange_weak_explicit(&f->word, &word, next, memory_order_acq_rel, memory_order_relaxed));
    if (WEFT__UNLIKELY(word & WEFT__SLEEPER))
        wake_sleepers(f);
    if (drop && weft__refs(next) == 0)
        weft__future_reap(f, next);
}

void weft__settle_verdict(weft_future *f)
{
    uint64_t word = weft__word(f);
    while (!weft__done(word)) {
        uint64_t verdict = (word & WEFT__VERDICT) >> WEFT__VERDICT_SHIFT;
        uint64_t next = (word & ~(WEFT__STATE | WEFT__SLEEPER)) | verdict;
        if (atomic_compare_exchange_weak_explicit(&f->word, &word, next, memory_order_acq_rel, memory_order_acquire)) {
            if (word & WEFT__SLEEPER)
                wake_sleepers(f);
            return;
        }
    }
}

void weft__wait_settled(weft_future *f)
{
    uint64_t word = weft__word(f);
    for (unsigned spins = 0; !weft__done(word); word = weft__word(f)) {
        if (++spins < LOCK_SPINS)
            weft__pause();
        else
            weft__word_sleep(f, word, INT64_MAX);
    }
}
