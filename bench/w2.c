/* w2.c: a million empty jobs with handles, submitted by one outside thread, held, then awaited together.
 *
 *     bench_w2_LIBRARY [workers [jobs]]
 *
 * The first batch is that of a fresh process: what the library keeps for a job is touched for the first time, and that
 * costs more than its queue. The second batch finds the memory of the first, and shows the queue. What a job costs is the
 * time from the first submit until the last is known to be done; to give the handles back is timed by itself. */
#include "measure.h"
#include "pool.h"

static void *empty(void *arg)
{
    return arg;
}

static void submit_all(size_t n)
{
    for (size_t i = 0; i < n; i++)
        pool_submit(i, NULL);
}

static void report_memory(size_t peak, size_t bytes, size_t n)
{
    bench_report("memory beside the handles", "B", (double)(bench_peak_memory() - peak) / (double)n);
    if (pool_bytes())
        bench_report("the same, counted by the library", "B", (double)(pool_bytes() - bytes) / (double)n);
}

static void first_batch(size_t n)
{
    size_t peak = bench_peak_memory(), bytes = pool_bytes();
    bench_usage before = bench_usage_read();
    submit_all(n);
    int64_t submitted = bench_now();
    pool_wait_all(n);
    bench_usage done = bench_usage_read();
    report_memory(peak, bytes, n);
    int64_t reported = bench_now();
    pool_release(n);
    bench_report("submit until all are done", "ns", bench_share(before.time, done.time, n));
    bench_report("of it to submit", "ns", bench_share(before.time, submitted, n));
    bench_report("CPU time of it, all threads", "ns", bench_share(before.cpu, done.cpu, n));
    bench_report("release", "ns", bench_share(reported, bench_now(), n));
}

static void second_batch(size_t n)
{
    bench_usage before = bench_usage_read();
    submit_all(n);
    pool_wait_all(n);
    bench_usage done = bench_usage_read();
    pool_release(n);
    bench_report("second batch, until all are done", "ns", bench_share(before.time, done.time, n));
    bench_report("CPU time of it", "ns", bench_share(before.cpu, done.cpu, n));
}

int main(int argc, char **argv)
{
    unsigned workers = (unsigned)bench_argument(argc, argv, 1, 2);
    size_t jobs = bench_argument(argc, argv, 2, 1000000), few = jobs < 100 ? jobs : 100;
    pool_start(workers, jobs, empty);
    submit_all(few); /* so that the threads are there */
    pool_wait_all(few);
    pool_release(few);
    first_batch(jobs);
    second_batch(jobs);
    pool_stop();
    return 0;
}
