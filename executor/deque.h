/* deque.h: the bounded split work-stealing deque.
 *
 * What it is. A ring of entries with three indices, top <= split <= bottom:
 *
 *     top            split           bottom
 *      |    public     |    private    |
 *      oldest                     newest
 *
 * Thieves take the oldest public entry, at top. The owner pushes and pops at bottom, and while it stays inside the
 * private part it needs neither a read-modify-write nor a fence: nobody else looks there. The owner raises split to
 * make entries public and lowers it to take some back; only then do the two sides have to agree.
 *
 *   - A SPLIT deque (window > 0) keeps at most `window` entries private. It publishes when a push or a pop finds the
 *     public part empty (thieves are hungry) and when the private part outgrows the window. It takes back half of the
 *     public part, and at most a window of it.
 *   - An OPEN deque (window == 0) publishes every push and takes back one entry a pop: split == bottom between calls.
 *   - A CLOSED deque is a split one with a window as large as the ring, to which its owner adds by `keep` alone and
 *     from which it takes by `take` first: nothing becomes public before the owner calls publish. It is for an owner
 *     from whom nobody needs to steal as long as it does not say otherwise. pop then only takes back what was
 *     published.
 *
 * Discipline. One owner thread calls init, push, pop, keep, take, take_this, publish, newest and check; any thread
 * calls steal or its halves, visible, size and length. When the ownership moves to another thread, the caller orders
 * the two with something of its own (a join, or the hand-over of a lock). Entries are never NULL and never
 * WEFT__STEAL_RETRY. Indices are 64 bits wide and compared by their difference, so they may wrap. Nothing is allocated
 * and the ring never grows: a full deque refuses, and the caller has a better place for the entry (it runs it, or puts
 * it into the outside queue).
 *
 * What orders what.
 *   - Entries: every store of split is a release or stronger and follows the stores of all slots below it, so a thief
 *     that acquires any value of split may read each slot below that value. There is no relaxed store of split
 *     anywhere: it would not carry on the release of an earlier one.
 *   - Slot reuse: a thief reads the slot before its successful CAS of top; the owner overwrites the slot only after an
 *     acquire load that saw that top. A thief that read too late loses its CAS, because top has moved on.
 *   - Who gets a contested entry: the owner lowers split, then loads top; a thief loads top, then split; all four are
 *     seq_cst. A thief that sees a top above the one which the owner saw has therefore seen the lowered split as well.
 *     So the entry at the owner's top is the only one that a thief with an old split can still claim. The owner leaves
 *     it alone, or fights for it with a CAS if it is the only one left.
 *   - Sleepers: every store that raises split above top is seq_cst and is reported to the caller, which then loads the
 *     idle word (seq_cst); a worker that falls asleep writes the idle word and then calls weft__deque_visible (seq_cst
 *     loads). One of the two sees the other.
 *
 * Where it comes from. Chase and Lev, "Dynamic circular work-stealing deque" (SPAA 2005); Le, Pop, Cohen and Zappa
 * Nardelli, "Correct and efficient work-stealing for weak memory models" (PPoPP 2013); the private part from van Dijk
 * and van de Pol, "Lace: non-blocking split deque for work-stealing" (2014), here on two words and in plain C11. */
#ifndef WEFT__DEQUE_H
#define WEFT__DEQUE_H

#include "atomics.h"

/* What weft__deque_steal answers when another thread took the entry first: the deque may hold more. */
#define WEFT__STEAL_RETRY ((void *)1)

enum weft__push {
    WEFT__PUSH_FULL,    /* nothing was done: the ring holds `capacity` entries */
    WEFT__PUSH_PRIVATE, /* stored; no thief can see more than before */
    WEFT__PUSH_VISIBLE, /* stored, and thieves can see more than before: the caller notifies sleepers */
};

typedef struct weft__deque {
    /* The owner's line: thieves never touch it. */
    alignas(WEFT__PAIR) _Atomic(uint64_t) bottom; /* owner: index of the next push; atomic for `length` alone */
    uint64_t limit;                               /* owner: its copy of `split`, equal to it between calls */
    _Atomic(void *) *slots;                       /* constant; the slots below split are read by thieves */
    uint64_t mask;                                /* constant: capacity - 1 */
    uint64_t window;                              /* constant: most entries kept private; 0: an open deque */

    /* The shared line, a pair away so that a thief's CAS does not pull the owner's line. The owner reads top at every
     * push; the line stays in its cache until somebody steals. */
    alignas(WEFT__PAIR) _Atomic(uint64_t) top; /* thieves by CAS, owner by CAS for the last entry; read by all */
    _Atomic(uint64_t) split;                   /* owner writes, all read; [top, split) is public */
    _Atomic(void *) *ring;                     /* constant: `slots` for thieves, which stay off the owner's line */
    uint64_t ring_mask;                        /* constant: `mask` for thieves */
} weft__deque;

/* Makes an empty deque of `capacity` (a power of two) slots, which the caller provides and keeps. Before it is
 * shared. */
void weft__deque_init(weft__deque *d, _Atomic(void *) *slots, size_t capacity, uint64_t window);

/* Any thread: takes the oldest public entry. NULL: none to be seen. WEFT__STEAL_RETRY: lost a race. */
void *weft__deque_steal(weft__deque *d);

/* Any thread: the two halves of it, for who has to know something about the entry before it is his. look finds the
 * oldest public entry; false: none to be seen. take_seen takes that one; false: another thread has. The entry at top
 * leaves the deque only by a change of top, whoever takes it, and top never comes back. So one that take_seen has taken
 * was in the deque, and public, from the look on. */
typedef struct weft__deque_seen {
    uint64_t top;
    void *entry;
} weft__deque_seen;
bool weft__deque_look(const weft__deque *d, weft__deque_seen *seen);
bool weft__deque_take_seen(weft__deque *d, weft__deque_seen seen);

/* Any thread: would a thief find something? seq_cst, for the look that a sleeper takes after it has said that it
 * sleeps. Entries that the owner is just taking back may be missed: the owner then holds them itself, or raises split
 * again and says so. */
bool weft__deque_visible(const weft__deque *d);

/* Any thread: how many entries are public, about. */
size_t weft__deque_size(const weft__deque *d);

/* Any thread: how many entries there are, private ones too, about. */
size_t weft__deque_length(const weft__deque *d);

/* Owner: makes all entries public. True: split was raised, the caller notifies sleepers. */
bool weft__deque_publish(weft__deque *d);

/* Owner, and no thief at work: do the indices and slots obey the rules above? For tests. */
bool weft__deque_check(const weft__deque *d);

/* The slow halves of push and pop. */
void weft__deque_raise(weft__deque *d, uint64_t split);
enum weft__push weft__deque_push_visible(weft__deque *d, uint64_t top);
void *weft__deque_pop_public(weft__deque *d, bool *raised);

/* Is index a below index b? They are never 2^63 apart. */
static inline bool weft__deque_below(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

/* Owner: where the next push goes. relaxed, as the store: it is the owner's own, and others only want a figure. */
static inline uint64_t weft__deque_bottom(const weft__deque *d)
{
    return atomic_load_explicit(&d->bottom, memory_order_relaxed);
}

static inline void weft__deque_bottom_set(weft__deque *d, uint64_t bottom)
{
    atomic_store_explicit(&d->bottom, bottom, memory_order_relaxed);
}

/* Owner of a closed deque: adds x as the newest entry, which nobody else can see. False: the ring is full. The owner of
 * an open one may add several so, and publish follows at once: one step makes them all public. */
static inline bool weft__deque_keep(weft__deque *d, void *x)
{
    uint64_t bottom = weft__deque_bottom(d);

    WEFT_POINT();
    /* acquire: as in push. */
    if (WEFT__UNLIKELY(bottom - atomic_load_explicit(&d->top, memory_order_acquire) > d->mask)) {
        return false;
    }
    /* relaxed: whoever publishes it later does so by a store of split. */
    atomic_store_explicit(&d->slots[bottom & d->mask], x, memory_order_relaxed);
    weft__deque_bottom_set(d, bottom + 1);
    return true;
}

/* Owner of a closed deque: takes the newest entry if it is private, NULL if none is. */
static inline void *weft__deque_take(weft__deque *d)
{
    uint64_t bottom = weft__deque_bottom(d);

    if (bottom == d->limit) {
        return NULL;
    }
    weft__deque_bottom_set(d, bottom - 1);
    /* relaxed: the owner's own store. */
    return atomic_load_explicit(&d->slots[(bottom - 1) & d->mask], memory_order_relaxed);
}

/* Owner of a closed deque: takes x if that is the newest entry and private. */
static inline bool weft__deque_take_this(weft__deque *d, const void *x)
{
    uint64_t bottom = weft__deque_bottom(d);

    /* relaxed: as in take. */
    if (bottom == d->limit || atomic_load_explicit(&d->slots[(bottom - 1) & d->mask], memory_order_relaxed) != x) {
        return false;
    }
    weft__deque_bottom_set(d, bottom - 1);
    return true;
}

/* Owner: adds x as the newest entry. */
static inline enum weft__push weft__deque_push(weft__deque *d, void *x)
{
    uint64_t bottom = weft__deque_bottom(d);

    WEFT_POINT();
    /* acquire, with the thieves' CAS of top: they have read the slots below it, which this push may overwrite. */
    uint64_t top = atomic_load_explicit(&d->top, memory_order_acquire);
    if (WEFT__UNLIKELY(bottom - top > d->mask)) {
        return WEFT__PUSH_FULL;
    }
    WEFT_POINT();
    /* relaxed: the store that raises split above this index publishes it. */
    atomic_store_explicit(&d->slots[bottom & d->mask], x, memory_order_relaxed);
    weft__deque_bottom_set(d, bottom + 1);
    if (WEFT__UNLIKELY(!weft__deque_below(top, d->limit) || bottom + 1 - d->limit > d->window)) {
        return weft__deque_push_visible(d, top);
    }
    return WEFT__PUSH_PRIVATE;
}

/* Owner: takes the newest entry, NULL if there is none. *raised is always written: true if thieves can see more than
 * before, and then the caller notifies sleepers. */
static inline void *weft__deque_pop(weft__deque *d, bool *raised)
{
    if (weft__deque_bottom(d) == d->limit) {
        return weft__deque_pop_public(d, raised);
    }
    uint64_t bottom = weft__deque_bottom(d) - 1;
    weft__deque_bottom_set(d, bottom);
    /* relaxed: the owner's own store, which no other thread can have replaced. */
    void *x = atomic_load_explicit(&d->slots[bottom & d->mask], memory_order_relaxed);
    *raised = false;
    WEFT_POINT();
    /* relaxed: nothing is read on the strength of it; an old value only puts the publication off. */
    uint64_t top = atomic_load_explicit(&d->top, memory_order_relaxed);
    if (WEFT__UNLIKELY(!weft__deque_below(top, d->limit)) && bottom != d->limit) {
        weft__deque_raise(d, bottom);
        *raised = true;
    }
    return x;
}

/* Owner: the entry that pop would return if nobody stole it meanwhile, NULL if there is none. A public one may be gone
 * by the time of the pop. */
static inline void *weft__deque_newest(const weft__deque *d)
{
    /* relaxed, both: the slot is the owner's own store, and top only tells whether to look. */
    uint64_t bottom = weft__deque_bottom(d);
    if (bottom == d->limit && !weft__deque_below(atomic_load_explicit(&d->top, memory_order_relaxed), d->limit)) {
        return NULL;
    }
    return atomic_load_explicit(&d->slots[(bottom - 1) & d->mask], memory_order_relaxed);
}

#endif
