/* flag.h: a futex word that says whether a job is done, for libraries whose jobs have no handle.
 *
 * This is the cheapest handle there is: four bytes, and a system call only where somebody sleeps. One thread waits, one
 * sets. In a header, and with the compiler's own atomic operations, because both C and C++ include it. */
#ifndef BENCH_FLAG_H
#define BENCH_FLAG_H

#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BENCH_FLAG_OPEN, BENCH_FLAG_SET, BENCH_FLAG_AWAITED };

static inline void bench_flag_clear(uint32_t *flag)
{
    __atomic_store_n(flag, BENCH_FLAG_OPEN, __ATOMIC_RELAXED); /* the submit that follows publishes it */
}

/* Release: who sees the flag set sees what the job wrote. */
static inline void bench_flag_set(uint32_t *flag)
{
    if (__atomic_exchange_n(flag, BENCH_FLAG_SET, __ATOMIC_RELEASE) == BENCH_FLAG_AWAITED)
        syscall(SYS_futex, flag, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Acquire: the partner of bench_flag_set. */
static inline void bench_flag_wait(uint32_t *flag)
{
    for (;;) {
        uint32_t seen = __atomic_load_n(flag, __ATOMIC_ACQUIRE);
        if (seen == BENCH_FLAG_SET)
            return;
        if (seen == BENCH_FLAG_OPEN &&
            !__atomic_compare_exchange_n(flag, &seen, BENCH_FLAG_AWAITED, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
            continue;
        syscall(SYS_futex, flag, FUTEX_WAIT_PRIVATE, BENCH_FLAG_AWAITED, NULL, NULL, 0);
    }
}

#endif
