/* idle.c: the idle word.
 *
 * A group of up to 48 threads shares one word: how many of them search for work, and which of them sleep. Whoever makes
 * work visible reads it; whoever goes to sleep or stops searching changes it. The rules:
 *
 *   1. Work is made visible by a seq_cst store or read-modify-write, and then notify() loads the word, seq_cst.
 *   2. A thread that goes to sleep changes the word (seq_cst) and then looks at every queue again, seq_cst.
 *   3. A thread that stops searching because it found work changes the word and, if it was the last of its group, looks
 *      at every queue again and calls notify() if it sees something.
 *   4. notify() does nothing while somebody searches: rules 2 and 3 make that searcher see the work, or find another
 *      thread for it. Otherwise it takes one sleeping bit out of the word, counts its owner as a searcher in the same
 *      step, and wakes it. So of many notifiers one wakes one thread, and there is no herd.
 *
 * By 1 and 2, of a notifier and a thread falling asleep at least one sees the other (Dekker's pair; neither access may
 * be weaker than seq_cst, since on both sides a store must not pass a later load). With more than one group the
 * argument holds thread by thread: a notifier that found nobody asleep in a group read its word before the sleeper
 * changed it.
 *
 * No thread polls: a park has no time limit, and an idle executor makes no system call.
 *
 * The word after Go's and Tokio's counts of searching threads; the bitmap, which lets a waker choose and claim the
 * sleeper in the one step that makes it a searcher, is weft's. Model: tests/model/idle.pml. */
#include "executor.h"

enum { PARK_NONE, PARK_TOKEN, PARK_ASLEEP };

static const uint64_t searching_mask = 0xffff;

static _Atomic(uint64_t) *group_word(struct weft__thread *t)
{
    return &t->executor->idle.groups[t->index / WEFT__GROUP].word;
}

static uint64_t sleeping_bit(const struct weft__thread *t)
{
    return UINT64_C(1) << (16 + t->index % WEFT__GROUP);
}

void weft__unpark(struct weft__thread *t)
{
    /* Release: what the waker did is seen by the woken. An exchange, not a store: only who finds it asleep pays the
     * system call. Partner: the compare-and-swap and loads of weft__park. */
    if (atomic_exchange_explicit(&t->park, PARK_TOKEN, memory_order_acq_rel) == PARK_ASLEEP)
        weft__futex_wake(&t->park, 1);
}

void weft__park(struct weft__thread *t)
{
    uint32_t none = PARK_NONE;
    if (atomic_compare_exchange_strong_explicit(&t->park, &none, PARK_ASLEEP, memory_order_acq_rel,
                                                memory_order_acquire)) {
        weft_executor *e = t->executor;
        uint32_t noted =
            weft__tracing(e) ? weft__trace_begin(e, WEFT__NOTE_PARKED, NULL, (weft__mark){0, 0}, false) : 0;
        WEFT__PROBE1(park, t->index);
        int64_t from = weft__now();
        weft__count(&t->port.counts.busy_ns, (uint64_t)(from - t->parked_at));
        weft__count(&t->port.counts.parks, 1);
        while (atomic_load_explicit(&t->park, memory_order_acquire) == PARK_ASLEEP)
            weft__futex_wait(&t->park, PARK_ASLEEP, INT64_MAX);
        WEFT__PROBE1(unpark, t->index);
        weft__trace_end(e, noted, 0);
        t->parked_at = weft__now();
        weft__spin_slept(&t->spin, t->parked_at - from);
    }
    /* Only a thread that was claimed is unparked, and it is claimed once a sleep, so no token can be lost here. */
    atomic_store_explicit(&t->park, PARK_NONE, memory_order_relaxed);
}

/* Claims one sleeper of a group; false: none sleeps there, or somebody searches (*searched). */
static bool claim(_Atomic(uint64_t) *word, uint64_t *claimed, bool *searched)
{
    uint64_t v = atomic_load_explicit(word, memory_order_seq_cst); /* rule 1 */
    for (;;) {
        if ((*searched = (v & searching_mask) != 0) || v == 0)
            return false;
        uint64_t bit = v & (~v + 1);
        WEFT_POINT();
        if (atomic_compare_exchange_weak_explicit(word, &v, (v & ~bit) + 1, memory_order_seq_cst,
                                                  memory_order_seq_cst)) {
            *claimed = bit;
            return true;
        }
    }
}

static void wake_claimed(weft_executor *e, unsigned group, uint64_t bit)
{
    unsigned index = group * WEFT__GROUP + (unsigned)__builtin_ctzll(bit) - 16;
    weft__count_for(e, offsetof(weft__counts, wakes), 1);
    WEFT__PROBE1(wake, index);
    if (weft__tracing(e))
        weft__trace_moment(e, WEFT__NOTE_WAKE, (int)index, NULL, (weft__mark){0, 0});
    weft__unpark(e->threads[index]);
}

void weft__notify(weft_executor *e)
{
    unsigned used = atomic_load_explicit(&e->idle.used, memory_order_seq_cst);
    for (unsigned g = 0; g < used; g++) {
        uint64_t bit = 0;
        bool searched = false;
        if (claim(&e->idle.groups[g].word, &bit, &searched)) {
            wake_claimed(e, g, bit);
            return;
        }
        if (searched)
            return;
    }
}

void weft__notify_all(weft_executor *e)
{
    unsigned used = atomic_load_explicit(&e->idle.used, memory_order_seq_cst);
    for (unsigned g = 0; g < used; g++) {
        uint64_t v = atomic_load_explicit(&e->idle.groups[g].word, memory_order_seq_cst);
        while (v & ~searching_mask) {
            uint64_t bit = (v & ~searching_mask) & (~(v & ~searching_mask) + 1);
            if (atomic_compare_exchange_weak_explicit(&e->idle.groups[g].word, &v, (v & ~bit) + 1, memory_order_seq_cst,
                                                      memory_order_seq_cst)) {
                wake_claimed(e, g, bit);
                v = atomic_load_explicit(&e->idle.groups[g].word, memory_order_seq_cst);
            }
        }
    }
}

bool weft__search_begin(struct weft__thread *t)
{
    _Atomic(uint64_t) *word = group_word(t);
    if ((atomic_load_explicit(word, memory_order_relaxed) & searching_mask) >= t->executor->idle.searchers)
        return false;
    /* seq_cst: a notifier that reads the count and stands down relies on the looks at the queues that follow. */
    atomic_fetch_add_explicit(word, 1, memory_order_seq_cst);
    t->searching = true;
    return true;
}

void weft__search_end(struct weft__thread *t)
{
    t->searching = false;
    uint64_t v = atomic_fetch_sub_explicit(group_word(t), 1, memory_order_seq_cst); /* rule 3 */
    WEFT_POINT();
    /* With one group, nobody asleep in it means nobody to wake. A push that met this searcher has not looked at the
     * other groups, if there are any. */
    weft_executor *e = t->executor;
    bool any = (v & ~searching_mask) || atomic_load_explicit(&e->idle.used, memory_order_seq_cst) > 1;
    if ((v & searching_mask) == 1 && any && weft__work_visible(e))
        weft__notify(e);
}

/* Is there a reason not to sleep? Looked at after the sleeping bit was set: rule 2. */
static bool wanted(weft_executor *e)
{
    return weft__work_visible(e) || atomic_load_explicit(&e->stopping, memory_order_seq_cst) ||
           atomic_load_explicit(&e->surplus, memory_order_seq_cst);
}

bool weft__sleep_idle(struct weft__thread *t)
{
    _Atomic(uint64_t) *word = group_word(t);
    uint64_t bit = sleeping_bit(t);
    atomic_fetch_add_explicit(word, bit - (t->searching ? 1 : 0), memory_order_seq_cst);
    t->searching = false;
    WEFT_POINT();
    /* The last thread to run out of work is who knows that a shutdown may be complete; after the change of the word, so
     * that either it sees the shutdown or the coordinator, which reads the word, sees all that it finished. */
    if (atomic_load_explicit(&t->executor->phase, memory_order_seq_cst) == WEFT__CLOSING)
        weft__coordinator_news(&t->executor->coordinator);
    if (wanted(t->executor)) {
        uint64_t v = atomic_load_explicit(word, memory_order_relaxed);
        while (v & bit) {
            if (atomic_compare_exchange_weak_explicit(word, &v, (v & ~bit) + 1, memory_order_seq_cst,
                                                      memory_order_relaxed)) {
                t->searching = true;
                return false;
            }
        }
        /* The bit is gone: a waker has claimed this thread and its token is on the way, or a thread that resumed from a
         * wait has put this one in reserve and looks at the queues itself (weft__block_end). Either way: park. */
    }
    weft__park(t);
    t->searching = true;
    return true;
}

bool weft__somebody_sleeps(const weft_executor *e)
{
    /* Relaxed: a hint. */
    unsigned used = atomic_load_explicit(&e->idle.used, memory_order_relaxed);
    for (unsigned g = 0; g < used; g++)
        if (atomic_load_explicit(&e->idle.groups[g].word, memory_order_relaxed) & ~searching_mask)
            return true;
    return false;
}

uint32_t weft__nap_begin(weft_executor *e)
{
    /* seq_cst, before the caller's look at what it waits for: the worker settles that first and then reads the count. On
     * machines where the settling step is not seq_cst with that load a ring may be missed, which the time limit makes
     * good. */
    atomic_fetch_add_explicit(&e->idle.nappers, 1, memory_order_seq_cst);
    return atomic_load_explicit(&e->idle.nap_bell, memory_order_acquire);
}

int weft__nap(weft_executor *e, uint32_t bell, int64_t deadline)
{
    return weft__futex_wait(&e->idle.nap_bell, bell, deadline);
}

void weft__nap_end(weft_executor *e)
{
    atomic_fetch_sub_explicit(&e->idle.nappers, 1, memory_order_relaxed);
}

void weft__nappers_wake(weft_executor *e)
{
    if (WEFT__LIKELY(atomic_load_explicit(&e->idle.nappers, memory_order_seq_cst) == 0))
        return;
    atomic_fetch_add_explicit(&e->idle.nap_bell, 1, memory_order_release);
    weft__futex_wake(&e->idle.nap_bell, INT32_MAX);
}

void weft__idle_admit(struct weft__thread *t)
{
    /* The thread is parked or about to be; the caller looks at the queues on its behalf (rule 2). */
    atomic_fetch_add_explicit(group_word(t), sleeping_bit(t), memory_order_seq_cst);
}

struct weft__thread *weft__idle_withdraw(weft_executor *e)
{
    /* From the last group and the highest bit downwards: spares before workers. */
    for (unsigned g = atomic_load_explicit(&e->idle.used, memory_order_relaxed); g-- > 0;) {
        _Atomic(uint64_t) *word = &e->idle.groups[g].word;
        uint64_t v = atomic_load_explicit(word, memory_order_seq_cst);
        while (v & ~searching_mask) {
            unsigned top = 63 - (unsigned)__builtin_clzll(v);
            if (atomic_compare_exchange_weak_explicit(word, &v, v & ~(UINT64_C(1) << top), memory_order_seq_cst,
                                                      memory_order_seq_cst))
                return e->threads[g * WEFT__GROUP + top - 16];
        }
    }
    return NULL;
}
