/* points.h: disturbance, seeds and scale for the tests that race threads against each other, and a way to act where a
 * thread stands.
 *
 * WEFT_POINT(), where two threads may meet, becomes a call of weft__point() when they are compiled with -DWEFT_TEST_POINTS.
 * Each thread then draws from its own pseudo-random sequence whether it goes on, spins a little or yields there. The
 * sequences follow from one seed (WEFT_SEED in the environment, else the clock) and from the order in which the threads
 * come to their first point; so a seed does not replay a run, but it does replay the mixture that found something. */
#ifndef WEFT_TESTS_POINTS_H
#define WEFT_TESTS_POINTS_H

#include "atomics.h"

#if defined(__SANITIZE_THREAD__)
#define POINTS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define POINTS_TSAN 1
#endif
#endif
#ifndef POINTS_TSAN
#define POINTS_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define POINTS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POINTS_ASAN 1
#endif
#endif
#ifndef POINTS_ASAN
#define POINTS_ASAN 0
#endif

void weft__point(void);

/* Has the calling thread call act(data) at its k-th point from now (1: the next one), once: there, so to say, another
 * thread comes in. act meets points of its own as ever; it must not need a lock that is held at the point. */
void points_at(uint64_t k, void (*act)(void *data), void *data);

/* Whether act was called; if not, it will not be. */
bool points_reached(void);

/* The calling thread's next pseudo-random number below n. */
uint64_t points_random(uint64_t n);

/* How many repetitions of a race to make: n, fewer under a sanitizer, times WEFT_TEST_FACTOR. */
uint64_t points_rounds(uint64_t n);

/* Waits, yielding, until *counter has reached `least`. False: that took longer than any correct program needs. */
bool points_await(const _Atomic(uint64_t) *counter, uint64_t least);

/* Passes the result of a test program through, and names the seed if it failed. */
int points_result(int failed);

#endif
