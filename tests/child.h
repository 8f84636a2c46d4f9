/* child.h: what the tests of fork share: children that report, code of the program's that must not run in them, and an
 * executor with one of everything on it.
 *
 * Discipline. What the processes tell each other lies in one shared page, `home`. A child uses weft and this header
 * alone: the monitor of support.c may be held, and its condition waited on, by threads that are not there. It checks
 * with CHILD_EXPECT, which reports and counts in `home`, so a child that ends with status 0 because its last thread
 * ended can still have failed. Each child sets an alarm, so who waits for it waits for a while only. */
#ifndef WEFT_TESTS_CHILD_H
#define WEFT_TESTS_CHILD_H

#include "fixtures.h"

#include "future.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct shared {
    pid_t parent;               /* of the whole test program; by main */
    _Atomic(unsigned) failures; /* of CHILD_EXPECT; any process */
    _Atomic(unsigned) strays;   /* code of the parent's objects that ran in another process */
    _Atomic(unsigned) finished; /* children that came to their end */
} shared;

static shared *home;

/* ThreadSanitizer does not let the child of a program with threads start any. */
enum { CHILD_THREADS = !TEST_TSAN };

#define CHILD_EXPECT(condition)                                                                                        \
    (test_expect((condition), #condition, __FILE__, __LINE__)                                                          \
         ? 0u                                                                                                          \
         : atomic_fetch_add_explicit(&home->failures, 1, memory_order_relaxed))

static inline void home_make(void)
{
    home = mmap(NULL, sizeof *home, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (home == MAP_FAILED) {
        exit(1);
    }
    home->parent = getpid();
    setvbuf(stdout, NULL, _IONBF, 0); /* a child that ends by itself would print again what waits there */
}

static inline void note_stray(void)
{
    if (getpid() != home->parent) {
        atomic_fetch_add_explicit(&home->strays, 1, memory_order_relaxed);
    }
}

/* In the child it arms the alarm, whose handler is the watchdog's, and returns 0. */
static inline pid_t child_fork(void)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(TEST_TSAN ? 120 : 20);
    }
    return child;
}

static inline void child_finished(void)
{
    atomic_fetch_add_explicit(&home->finished, 1, memory_order_relaxed);
}

/* Waits until the child has ended; whether that was with status 0. On any thread. */
static inline bool child_ended_well(pid_t child)
{
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* After `children` of them: each came to its end, nothing failed, nothing ran where it should not. */
#define assert_children(children)                                                                                      \
    do {                                                                                                               \
        assert_int_equal(atomic_exchange_explicit(&home->finished, 0, memory_order_relaxed), (children));              \
        assert_int_equal(atomic_exchange_explicit(&home->failures, 0, memory_order_relaxed), 0);                       \
        assert_int_equal(atomic_exchange_explicit(&home->strays, 0, memory_order_relaxed), 0);                         \
    } while (0)

/* A child makes an executor of its own. */

static inline void *add_one(void *counter)
{
    atomic_fetch_add_explicit((_Atomic(size_t) *)counter, 1, memory_order_relaxed);
    return counter;
}

static inline int set_flag(weft_future *future, void *flag)
{
    (void)future;
    atomic_store_explicit((_Atomic(bool) *)flag, true, memory_order_release);
    return 0;
}

static inline void *wait_without_end(void *future)
{
    return weft_future_get(future, NULL) == 0 ? future : NULL;
}

static inline void child_expect_counters_zero(void)
{
    weft_counters c = test_counters();
    CHILD_EXPECT(c.futures == 0 && c.timers == 0 && c.callbacks == 0 && c.tokens == 0);
    CHILD_EXPECT(c.threads == 0);
    CHILD_EXPECT(c.bytes == 0);
}

static inline void child_uses(weft_executor *executor, size_t jobs)
{
    enum { MOST_JOBS = 1000 };
    _Atomic(size_t) ran = 0;
    _Atomic(bool) called = false;
    weft_future *futures[MOST_JOBS];
    for (size_t i = 0; i < jobs; i++) {
        CHILD_EXPECT((futures[i] = weft_submit(executor, add_one, &ran)) != NULL);
    }
    weft_future *all = weft_gather(executor, futures, jobs, WEFT_SETTLED);
    weft_future *slept = weft_sleep(executor, MS, NULL), *timed = weft_wait_for(slept, WEFT_SECONDS(20), 0);
    weft_future *waits = weft_submit(executor, wait_without_end, slept);
    CHILD_EXPECT(weft_await(waits, NULL) == 0);
    CHILD_EXPECT(weft_await(slept, NULL) == 0 && weft_await(timed, NULL) == 0);
    CHILD_EXPECT(weft_on_done(all, set_flag, &called, NULL) == 0);
    CHILD_EXPECT(weft_future_get(all, NULL) == 0);
    CHILD_EXPECT(atomic_load_explicit(&ran, memory_order_relaxed) == jobs);
    for (size_t i = 0; i < jobs; i++) {
        void *value = NULL;
        CHILD_EXPECT(weft_future_get(futures[i], &value) == 0 && value == (void *)&ran);
        weft_future_release(futures[i]);
    }
    weft_future_release(all);
    /* The callback comes behind the gather; what comes behind the callback has seen it. */
    while (!atomic_load_explicit(&called, memory_order_acquire)) {
        weft_await(weft_sleep(executor, MS, NULL), NULL);
    }
}

#if TEST_ASAN
/* What a child inherited is never freed there. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return getpid() != home->parent;
}
#endif

#endif
