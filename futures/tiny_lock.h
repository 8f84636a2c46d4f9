/* tiny_lock.h: a lock in four bytes, for objects that are many and seldom contended.
 *
 * Free, held, or held with sleepers; who finds it held says so in the word and sleeps on it. A pthread mutex would take
 * forty bytes, of a token's 128. Unlocking touches nothing of the object after the exchange but the word's address, so
 * who locked last may free the object. From U. Drepper, "Futexes are tricky" (2011), the third mutex there. */
#ifndef WEFT__TINY_LOCK_H
#define WEFT__TINY_LOCK_H

#include "platform.h"

enum { WEFT__UNLOCKED, WEFT__LOCKED, WEFT__SLEPT_ON };

typedef struct weft__tiny_lock {
    _Atomic(uint32_t) word;
} weft__tiny_lock;

static inline void weft__tiny_init(weft__tiny_lock *lock)
{
    atomic_init(&lock->word, WEFT__UNLOCKED);
}

static inline void weft__tiny_lock_take(weft__tiny_lock *lock)
{
    uint32_t seen = WEFT__UNLOCKED;
    /* Acquire, here and below: what the last holder wrote; partner of the release in weft__tiny_unlock. */
    if (atomic_compare_exchange_strong_explicit(&lock->word, &seen, WEFT__LOCKED, memory_order_acquire,
                                                memory_order_relaxed))
        return;
    WEFT_POINT();
    while (atomic_exchange_explicit(&lock->word, WEFT__SLEPT_ON, memory_order_acquire) != WEFT__UNLOCKED)
        weft__futex_wait(&lock->word, WEFT__SLEPT_ON, INT64_MAX);
}

static inline void weft__tiny_unlock(weft__tiny_lock *lock)
{
    WEFT_POINT();
    if (atomic_exchange_explicit(&lock->word, WEFT__UNLOCKED, memory_order_release) == WEFT__SLEPT_ON)
        weft__futex_wake(&lock->word, 1);
}

#endif
