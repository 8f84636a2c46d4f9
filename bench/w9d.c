/* w9d.c: how late a lone timer is.
 *
 *     bench_w9d_LIBRARY [times]
 *
 * One timer at a time, due in 1 to 11 ms, and nothing else to do. The lateness is from the moment for which it was asked
 * to the call of its function. */
#include "alarm.h"
#include "measure.h"

#include <stdlib.h>

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    size_t n = bench_argument(argc, argv, 1, 300);
    int64_t *late = bench_touched(n * sizeof *late);
    uint32_t random = 2463534242;
    alarms_start(1);
    for (size_t i = 0; i < n; i++) {
        random = random * 1664525 + 1013904223;
        int64_t fired = 0, delay = 1000000 + random % 10000000, begin = bench_now();
        alarms_arm(0, delay, &fired);
        alarms_wait(1);
        late[i] = fired - begin - delay;
        bench_check(late[i] >= 0, "no timer is early");
    }
    alarms_stop();
    qsort(late, n, sizeof *late, by_size);
    bench_report("late by, p50", "us", (double)late[n / 2] / 1e3);
    bench_report("late by, p99", "us", (double)late[n * 99 / 100] / 1e3);
    free(late);
    return 0;
}
