/* w9c.c: a million timers that are due within one second.
 *
 *     bench_w9c_LIBRARY [timers]
 *
 * They are armed one after the other for random moments of a second that begins when all should be armed; the first of
 * them for its beginning, the last for its end. The CPU time is that of the whole process from the first to be armed to the last given back. How
 * late it was called is asked of every thousandth, the first among them: a library that has to sort its timers at the last
 * moment does so there. */
#include "alarm.h"
#include "measure.h"

#include <stdlib.h>

enum { ASKED = 1000, LEAD = 2 };

static const int64_t second = 1000000000;

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

int main(int argc, char **argv)
{
    size_t n = bench_argument(argc, argv, 1, 1000000);
    size_t step = n > ASKED ? n / ASKED : 1, asked = (n - 1) / step + 1;
    int64_t *fired = bench_touched(asked * sizeof *fired), *due = bench_touched(asked * sizeof *due);
    alarms_start(n);
    bench_usage before = bench_usage_read();
    int64_t begin = before.time + LEAD * second;
    uint64_t state = 88172645463325252;
    for (size_t i = 0; i < n; i++) {
        int64_t deadline = begin + (i == 0       ? 0
                                    : i == n - 1 ? second
                                                 : (int64_t)(random_next(&state) % (uint64_t)second));
        if (i % step == 0)
            due[i / step] = deadline;
        alarms_arm(i, deadline - bench_now(), i % step == 0 ? &fired[i / step] : NULL);
    }
    bench_check(bench_now() < begin, "arming in time");
    alarms_wait(n);
    bench_usage after = bench_usage_read();
    for (size_t i = 0; i < asked; i++) {
        bench_check(fired[i] >= due[i], "no timer is early");
        fired[i] -= due[i];
    }
    bench_report("CPU time", "ms", (double)(after.cpu - before.cpu) / 1e6);
    bench_report("first callback, late by", "ms", (double)fired[0] / 1e6);
    qsort(fired, asked, sizeof *fired, by_size);
    bench_report("late by, p50", "ms", (double)fired[asked / 2] / 1e6);
    bench_report("late by, p99", "ms", (double)fired[asked * 99 / 100] / 1e6);
    alarms_stop();
    free(fired);
    free(due);
    return 0;
}
