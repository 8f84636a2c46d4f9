/* w4.c: round trips: one outside thread submits an empty job, waits for it, gives its handle back, and so on; back to
 * back and with pauses.
 *
 *     bench_w4_LIBRARY [workers [trips [trips with a pause of 1 ms before each]]]
 *
 * Back to back, the threads of the pool need not have gone to sleep when the next job comes; after a pause they have.
 * Each trip is timed by itself: the median says what the path costs, the 99th percentile how often the scheduler of the
 * system gets into its way. */
#include "measure.h"
#include "pool.h"

#include <stdlib.h>
#include <time.h>

static void *empty(void *arg)
{
    return arg;
}

static void rest(void)
{
    struct timespec t = {.tv_nsec = 1000000};
    bench_check(nanosleep(&t, NULL) == 0, "nanosleep");
}

static int64_t round_trip(void)
{
    int64_t from = bench_now();
    pool_submit(0, NULL);
    pool_wait(0);
    int64_t to = bench_now();
    pool_release(1);
    return to - from;
}

static int earlier(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts the times. */
static double percentile(int64_t times[], size_t n, size_t percent)
{
    qsort(times, n, sizeof *times, earlier);
    return (double)times[n * percent / 100] / 1000;
}

int main(int argc, char **argv)
{
    unsigned workers = (unsigned)bench_argument(argc, argv, 1, 2);
    size_t trips = bench_argument(argc, argv, 2, 20000), paused = bench_argument(argc, argv, 3, 1000);
    bench_check(trips > 0 && paused > 0, "no trips");
    int64_t *times = bench_touched((trips > paused ? trips : paused) * sizeof *times);
    pool_start(workers, 1, empty);
    for (size_t i = 0; i < 100; i++) /* so that the threads are there */
        round_trip();
    bench_usage before = bench_usage_read();
    for (size_t i = 0; i < trips; i++)
        times[i] = round_trip();
    bench_usage after = bench_usage_read();
    bench_report("back to back, p50", "us", percentile(times, trips, 50));
    bench_report("back to back, p99", "us", percentile(times, trips, 99));
    bench_report("CPU time of it", "us", bench_share(before.cpu, after.cpu, trips) / 1000);
    before = bench_usage_read();
    for (size_t i = 0; i < paused; i++) {
        rest();
        times[i] = round_trip();
    }
    after = bench_usage_read();
    bench_report("with pauses of 1 ms, p50", "us", percentile(times, paused, 50));
    bench_report("with pauses of 1 ms, p99", "us", percentile(times, paused, 99));
    bench_report("CPU time of it, with pauses", "us", bench_share(before.cpu, after.cpu, paused) / 1000);
    pool_stop();
    free(times);
    return 0;
}
