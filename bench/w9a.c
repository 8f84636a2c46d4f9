/* w9a.c: a million pending timers: what one takes to arm, to keep and to cancel.
 *
 *     bench_w9a_LIBRARY [timers]
 *
 * They are due at random within an hour that begins in an hour, so none fires. "By the caller" is the time of the calls;
 * the whole is until a thread behind it, if there is one, has caught up. Armed twice: in fresh memory, and again. */
#include "measure.h"
#include "timer.h"

enum { HOUR = 3600 };

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int64_t arm_all(size_t n)
{
    const int64_t hour = INT64_C(1000000000) * HOUR;
    uint64_t state = 88172645463325252;
    for (size_t i = 0; i < n; i++)
        timers_arm(i, hour + (int64_t)(random_next(&state) % (uint64_t)hour));
    int64_t called = bench_now();
    timers_settle();
    return called;
}

static int64_t cancel_all(size_t n)
{
    for (size_t i = 0; i < n; i++)
        timers_cancel(i);
    int64_t called = bench_now();
    timers_settle();
    return called;
}

static void fresh(size_t n)
{
    size_t peak = bench_peak_memory(), bytes = timers_bytes();
    int64_t start = bench_now();
    arm_all(n);
    bench_report("arm, in fresh memory", "ns", bench_share(start, bench_now(), n));
    bench_report("memory beside the handle", "B", (double)(bench_peak_memory() - peak) / (double)n);
    if (timers_bytes())
        bench_report("the same, counted by the library", "B", (double)(timers_bytes() - bytes) / (double)n);
    start = bench_now();
    int64_t called = cancel_all(n);
    bench_report("cancel", "ns", bench_share(start, bench_now(), n));
    bench_report("cancel, by the caller", "ns", bench_share(start, called, n));
}

static void again(size_t n)
{
    int64_t start = bench_now();
    int64_t called = arm_all(n);
    bench_report("arm again", "ns", bench_share(start, bench_now(), n));
    bench_report("arm again, by the caller", "ns", bench_share(start, called, n));
    cancel_all(n);
}

int main(int argc, char **argv)
{
    size_t n = bench_argument(argc, argv, 1, 1000000);
    timers_start(n);
    fresh(n);
    again(n);
    timers_stop();
    return 0;
}
