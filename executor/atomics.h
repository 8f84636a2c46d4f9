/* atomics.h: what every data structure of the executor may include, and nothing more.
 *
 * The lock-free files hold no system call and no thread; they include this header and link.h alone, so the same source
 * compiles in release, under the sanitizers, under a test scheduler and in a model checker. Orders are always explicit
 * (atomic_*_explicit); there is no standalone fence anywhere, because ThreadSanitizer cannot see one and because a pair
 * of seq_cst accesses says which two accesses form the Dekker pair. */
#ifndef WEFT__ATOMICS_H
#define WEFT__ATOMICS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two lines: adjacent-line prefetchers pull pairs, so what two threads write is kept a pair apart. */
#define WEFT__LINE 64
#define WEFT__PAIR 128

#define WEFT__LIKELY(x)   __builtin_expect(!!(x), 1)
#define WEFT__UNLIKELY(x) __builtin_expect(!!(x), 0)

/* What the compiler is not to decide anew in each build: the short way of submit and await is in line all along, and
 * does not lead through code for other cases. */
#define WEFT__ALWAYS_INLINE static inline __attribute__((always_inline))
#define WEFT__NOINLINE      __attribute__((noinline))

/* Marks a place between two steps of a protocol where another thread may come in. Nothing in a release build; in a test
 * build (WEFT_TEST_POINTS) it yields, spins or goes on, as tests/points.c decides from its seed. */
#ifdef WEFT_TEST_POINTS
void weft__point(void);
#define WEFT_POINT() weft__point()
#else
#define WEFT_POINT() ((void)0)
#endif

/* Tells the processor that this is a spin loop. */
static inline void weft__pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
