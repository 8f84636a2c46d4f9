/* weft/testing.h: time, memory and counters under a test's control.
 *
 * Tests of what happens at a deadline are exact only if the test owns time, and tests of what happens without memory
 * only if it owns memory. This header is not part of weft/weft.h: programs that serve users have no need of it. */
#ifndef WEFT_TESTING_H
#define WEFT_TESTING_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A clock that starts at 0 and stands still until it is told otherwise; for weft_executor_options.clock. It governs
 * what the coordinator times (sleeps, delays, deadlines), not how long a blocking call waits. One clock may serve
 * several executors and must outlive them. It belongs to the caller. NULL and errno ENOMEM. In a forked child an
 * inherited one stands still for good, and no executor can be made with it. */
WEFT_API weft_clock *weft_manual_clock_create(void);

/* The time of a clock in ns. Any thread; does not block. */
WEFT_API int64_t weft_clock_now(const weft_clock *clock);

/* Moves the clock on by `by` ns; zero or negative: not at all. Whatever becomes due is resolved in the order of its
 * deadlines, equal ones in the order in which they were made. Blocks until all of their futures are done; callbacks of
 * those may be running still. In a callback it moves the clock and does not wait. Inherited through fork: nothing. */
WEFT_API void weft_manual_clock_advance(weft_clock *clock, int64_t by);

/* Frees the clock; the executors that it governs must be destroyed before. NULL, or inherited through fork:
 * nothing. */
WEFT_API void weft_clock_destroy(weft_clock *clock);

/* Makes weft take its memory by alloc(size, data) and give it back by free_(memory, data), instead of malloc, free and
 * mmap; but for the stacks of threads, and a few pages while it counts the CPUs. alloc returns memory aligned for any
 * object, or NULL, which the call in need then reports as ENOMEM. Both are called on any thread, several at once, and
 * must not call weft. For the whole process, before the first other call of weft; NULL for both: malloc and free again.
 * free_ alone may be NULL: then nothing is given back. */
WEFT_API void weft_set_allocator(void *(*alloc)(size_t size, void *data), void (*free_)(void *memory, void *data),
                                 void *data);

/* What of weft is alive in the process now, over all executors; what was inherited through fork does not count. */
typedef struct weft_counters {
    size_t futures;   /* futures that somebody holds: the program, a queue, another future */
    size_t timers;    /* armed and not yet fired: of sleeps, delays, wait_fors and tokens */
    size_t callbacks; /* and hooks: registered and not yet run, or with a handle that has not been removed */
    size_t tokens;    /* tokens that somebody holds: the program, a job, a group, a token below */
    size_t threads;   /* workers, spares and coordinators */
    size_t bytes;     /* taken from the allocator and not given back */
} weft_counters;

/* Writes the counters to *counters; each is read once, without order among them. So that what was dropped before counts
 * no more, it wakes each coordinator and waits until that has seen to what was sent to it, but for one that runs a
 * callback, and not in callbacks. Hold no lock that a callback takes. Any thread; NULL: nothing. */
WEFT_API void weft_counters_read(weft_counters *counters);

#ifdef __cplusplus
}
#endif
#endif
