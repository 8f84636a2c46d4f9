/* w7.c: what a pool costs that has nothing to do: CPU time and context switches of its threads after a burst of jobs.
 *
 *     bench_w7_LIBRARY [workers [seconds [jobs]]]
 *
 * What its threads do on their way to sleep counts as "settling", 0.1 s long; from then on they ought to do nothing. */
#include "measure.h"
#include "pool.h"

#include <time.h>

static void *empty(void *arg)
{
    return arg;
}

static void rest(size_t milliseconds)
{
    struct timespec t = {.tv_sec = (time_t)(milliseconds / 1000), .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    bench_check(nanosleep(&t, NULL) == 0, "nanosleep");
}

int main(int argc, char **argv)
{
    unsigned workers = (unsigned)bench_argument(argc, argv, 1, 2);
    size_t seconds = bench_argument(argc, argv, 2, 5), jobs = bench_argument(argc, argv, 3, 100000);
    pool_start(workers, jobs, empty);
    for (size_t i = 0; i < jobs; i++)
        pool_submit(i, NULL);
    pool_wait_all(jobs);
    pool_release(jobs);
    bench_usage burst = bench_usage_read();
    rest(100);
    bench_usage settled = bench_usage_read();
    rest(seconds * 1000);
    bench_usage end = bench_usage_read();
    bench_report("CPU time, settling", "us", (double)(settled.others - burst.others) / 1000);
    bench_report("context switches, settling", "times", (double)(settled.switches - burst.switches));
    bench_report("CPU time, idle", "us", (double)(end.others - settled.others) / 1000);
    bench_report("context switches, idle", "times", (double)(end.switches - settled.switches));
    pool_stop();
    return 0;
}
