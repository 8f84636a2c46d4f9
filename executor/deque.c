/* deque.c: where the owner of a deque and its thieves meet.
 *
 * The private half of push and pop is inline in deque.h, which also tells the discipline. Here are the steps that move
 * split, and the thief. `limit` is the owner's copy of split: during a call the two differ, between calls they do not.
 *
 * Between the owner's calls top <= split holds, with thieves at work as well: a thief that acts on an old split claims
 * at most the one entry at which the owner's load found top, and the owner never leaves split below the end of it. */
#include "deque.h"

void weft__deque_init(weft__deque *d, _Atomic(void *) *slots, size_t capacity, uint64_t window)
{
    atomic_init(&d->bottom, 0);
    d->limit = 0;
    d->slots = slots;
    d->mask = (uint64_t)capacity - 1;
    d->window = window;
    atomic_init(&d->top, 0);
    atomic_init(&d->split, 0);
    d->ring = slots;
    d->ring_mask = d->mask;
    for (size_t i = 0; i < capacity; i++) {
        atomic_init(&slots[i], NULL);
    }
}

/* Owner: raises split. */
void weft__deque_raise(weft__deque *d, uint64_t split)
{
    d->limit = split;
    WEFT_POINT();
    /* seq_cst: release for the slots below it, with a thief's load of split; and the publishing half of the Dekker pair
     * whose other half is a sleeper's write of the idle word followed by weft__deque_visible. */
    atomic_store_explicit(&d->split, split, memory_order_seq_cst);
    WEFT_POINT();
}

/* Owner, the entry being stored: nothing else is public, so everything becomes public; or the private part has
 * outgrown the window, so half a window stays private. For an open deque both come to the same. */
enum weft__push weft__deque_push_visible(weft__deque *d, uint64_t top)
{
    bool hungry = !weft__deque_below(top, d->limit);

    weft__deque_raise(d, weft__deque_bottom(d) - (hungry ? 0 : d->window / 2));
    return WEFT__PUSH_VISIBLE;
}

/* Owner: puts split back where it was before the retraction: top has got there. */
static void restore(weft__deque *d)
{
    /* release: as every store of split. Not seq_cst: split is not above top, so no entry becomes visible. */
    atomic_store_explicit(&d->split, d->limit, memory_order_release);
}

/* Owner, split being retracted to or below `top`: fights the thieves for the entry at `top`, the last one. */
static void *take_last(weft__deque *d, uint64_t top)
{
    /* relaxed: the owner's own store. */
    void *x = atomic_load_explicit(&d->slots[top & d->mask], memory_order_relaxed);

    WEFT_POINT();
    /* seq_cst, with the same CAS in a thief: one of them moves top past the entry. Losing teaches nothing that the
     * acquire load of top in the next push does not. */
    if (!atomic_compare_exchange_strong_explicit(&d->top, &top, top + 1, memory_order_seq_cst, memory_order_relaxed)) {
        x = NULL;
    }
    WEFT_POINT();
    restore(d);
    return x;
}

/* Owner: keeps [split, bottom) private and takes the newest of it. */
static void *take_private(weft__deque *d, uint64_t split)
{
    uint64_t bottom = weft__deque_bottom(d) - 1;

    d->limit = split;
    weft__deque_bottom_set(d, bottom);
    /* relaxed: the owner's own store. */
    return atomic_load_explicit(&d->slots[bottom & d->mask], memory_order_relaxed);
}

/* How many of n public entries the owner takes back: half, at most a window, at least the one that it is to return. */
static uint64_t share(const weft__deque *d, uint64_t n)
{
    uint64_t most = d->window > 0 ? d->window : 1;
    uint64_t half = (n + 1) / 2;

    return half < most ? half : most;
}

/* Owner, nothing being private: takes some of the public part back, and the newest of that. */
void *weft__deque_pop_public(weft__deque *d, bool *raised)
{
    uint64_t end = d->limit;

    *raised = false;
    WEFT_POINT();
    /* relaxed: an old value only makes the share larger; what counts is the load after the retraction. */
    uint64_t top = atomic_load_explicit(&d->top, memory_order_relaxed);
    if (!weft__deque_below(top, end)) {
        return NULL;
    }
    uint64_t kept = end - share(d, end - top);
    WEFT_POINT();
    /* seq_cst, both: the owner's half of the agreement with weft__deque_steal, which loads top and then split. */
    atomic_store_explicit(&d->split, kept, memory_order_seq_cst);
    WEFT_POINT();
    top = atomic_load_explicit(&d->top, memory_order_seq_cst);

    if (weft__deque_below(top, kept)) {
        return take_private(d, kept);
    }
    if (!weft__deque_below(top, end)) {
        restore(d);
        return NULL;
    }
    if (top + 1 == end) {
        return take_last(d, top);
    }
    /* Thieves came past the new split: the entry at top is contested and stays public, the rest is the owner's. */
    weft__deque_raise(d, top + 1);
    *raised = true;
    return take_private(d, top + 1);
}

bool weft__deque_look(const weft__deque *d, weft__deque_seen *seen)
{
    WEFT_POINT();
    /* seq_cst, both, in this order: the thief's half of the agreement with weft__deque_pop_public. The load of split is
     * also the acquire that makes the slots below it readable. */
    uint64_t top = atomic_load_explicit(&d->top, memory_order_seq_cst);
    WEFT_POINT();
    uint64_t split = atomic_load_explicit(&d->split, memory_order_seq_cst);
    if (!weft__deque_below(top, split)) {
        return false;
    }
    WEFT_POINT();
    /* relaxed: ordered by the load of split. If the slot is overwritten meanwhile, top has moved and the CAS fails. */
    seen->entry = atomic_load_explicit(&d->ring[top & d->ring_mask], memory_order_relaxed);
    seen->top = top;
    return true;
}

bool weft__deque_take_seen(weft__deque *d, weft__deque_seen seen)
{
    WEFT_POINT();
    /* seq_cst: in one order with the owner's retraction; and the release that ends the reading of the slot, with the
     * acquire load of top in push. A loser has read nothing that it keeps: relaxed. */
    return atomic_compare_exchange_strong_explicit(&d->top, &seen.top, seen.top + 1, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

void *weft__deque_steal(weft__deque *d)
{
    weft__deque_seen seen;

    if (!weft__deque_look(d, &seen)) {
        return NULL;
    }
    return weft__deque_take_seen(d, seen) ? seen.entry : WEFT__STEAL_RETRY;
}

bool weft__deque_visible(const weft__deque *d)
{
    WEFT_POINT();
    /* seq_cst, both: they follow the sleeper's write of the idle word in the single order; the partner is the store in
     * weft__deque_raise, which the owner's load of the idle word follows. */
    uint64_t top = atomic_load_explicit(&d->top, memory_order_seq_cst);
    WEFT_POINT();
    return weft__deque_below(top, atomic_load_explicit(&d->split, memory_order_seq_cst));
}

size_t weft__deque_size(const weft__deque *d)
{
    /* relaxed, both: an estimate. */
    uint64_t top = atomic_load_explicit(&d->top, memory_order_relaxed);
    uint64_t split = atomic_load_explicit(&d->split, memory_order_relaxed);

    return weft__deque_below(top, split) ? (size_t)(split - top) : 0;
}

size_t weft__deque_length(const weft__deque *d)
{
    /* relaxed: an estimate. */
    uint64_t top = atomic_load_explicit(&d->top, memory_order_relaxed);
    uint64_t bottom = weft__deque_bottom(d);

    return weft__deque_below(top, bottom) ? (size_t)(bottom - top) : 0;
}

bool weft__deque_publish(weft__deque *d)
{
    uint64_t bottom = weft__deque_bottom(d);

    if (bottom == d->limit) {
        return false;
    }
    weft__deque_raise(d, bottom);
    return true;
}

bool weft__deque_check(const weft__deque *d)
{
    /* relaxed, all: nobody else is at work. */
    uint64_t top = atomic_load_explicit(&d->top, memory_order_relaxed);
    uint64_t split = atomic_load_explicit(&d->split, memory_order_relaxed);
    uint64_t bottom = weft__deque_bottom(d);
    bool ordered = split == d->limit && !weft__deque_below(split, top) && !weft__deque_below(bottom, split);

    if (!ordered || bottom - top > d->mask + 1 || bottom - split > d->window) {
        return false;
    }
    for (uint64_t i = top; i != bottom; i++) {
        void *x = atomic_load_explicit(&d->slots[i & d->mask], memory_order_relaxed);
        if (x == NULL || x == WEFT__STEAL_RETRY) {
            return false;
        }
    }
    return true;
}
