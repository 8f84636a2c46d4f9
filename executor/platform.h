/* platform.h: every system call that weft makes, but those by which topology.c counts CPUs, in one thin layer.
 *
 * Parking is a matter of futexes (FUTEX_PRIVATE), timed by absolute CLOCK_MONOTONIC deadlines. Nothing here allocates
 * through malloc, prints or aborts. */
#ifndef WEFT__PLATFORM_H
#define WEFT__PLATFORM_H

#include "atomics.h"

#include <pthread.h>

/* Sleeps while *word == expected, at most until the absolute CLOCK_MONOTONIC time `deadline` in ns (INT64_MAX: for
 * ever). 0: woken, or the word differed, or a signal came: look again. -ETIMEDOUT: the deadline has passed. */
int weft__futex_wait(const _Atomic(uint32_t) *word, uint32_t expected, int64_t deadline);

/* Wakes at most n sleepers on `word`. Uses the address alone: the memory may be gone already. */
void weft__futex_wake(const _Atomic(uint32_t) *word, int n);

/* The half of a 64-bit word that a futex can sleep on: its low 32 bits. */
static inline const _Atomic(uint32_t) *weft__futex_half(const _Atomic(uint64_t) *word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (const _Atomic(uint32_t) *)(const void *)word;
#else
    return (const _Atomic(uint32_t) *)(const void *)word + 1;
#endif
}

/* CLOCK_MONOTONIC in ns. */
int64_t weft__now(void);

/* now + delay, WEFT_FOREVER if that is beyond the end of time. */
int64_t weft__deadline(int64_t now, int64_t delay);

/* Zeroed, private pages, aligned to `alignment` (a power of two of at least a page); huge: ask for huge pages.
 * NULL: no memory. */
void *weft__pages_map(size_t size, size_t alignment, bool huge);
void weft__pages_unmap(void *pages, size_t size);

/* A descriptor to be watched for reading, not readable yet; closed on exec. Negative: -EMFILE, -ENFILE, -ENOMEM. Raise
 * makes it readable, lower no longer so; neither blocks. None of the four is a cancellation point of pthreads, so they
 * may be called under a lock. */
int weft__event_open(void);
void weft__event_raise(int event);
void weft__event_lower(int event);
void weft__event_close(int event);

/* The file at `path`, made or emptied, to be written; closed on exec. Or a negative errno. Write writes it all: 0, or a
 * negative errno, and SIGPIPE is the caller's affair. Close: likewise. These three may block. */
int weft__file_create(const char *path);
int weft__file_write(int file, const char *bytes, size_t n);
int weft__file_close(int file);

/* A thread with every asynchronous signal blocked (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT stay
 * open), named `name` (cut to 15 characters). stack_size 0: the system's default. 0, or -EAGAIN. */
int weft__thread_start(pthread_t *id, size_t stack_size, const char *name, void *(*body)(void *), void *arg);

/* Has the calling thread woken at its deadlines, and not up to 50 us later, as Linux does to wake several together
 * (prctl(2), PR_SET_TIMERSLACK). Where that is refused, it is late by so much. */
void weft__thread_exact(void);

#endif
