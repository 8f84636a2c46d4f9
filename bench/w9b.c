/* w9b.c: what a deadline adds to a job that ends in time.
 *
 *     bench_w9b_weft [workers [jobs]]
 *
 * Batches of jobs are submitted and awaited, with a weft_wait_for around each and without; the difference is the
 * deadline's. A round is not counted, so that both find their memory touched. Then the same from four outside threads
 * at once, each with a quarter of the jobs. A deadline around jobs that are done already is timed by itself. */
#include "measure.h"

#include <weft/weft.h>

#include <pthread.h>
#include <stdbool.h>

enum { THREADS = 4 };

static weft_executor *executor;

typedef struct share {
    weft_future **futures;
    size_t n;
    bool deadline;
} share;

static void *empty(void *arg)
{
    return arg;
}

static weft_future *under_deadline(weft_future *job)
{
    weft_future *result = weft_wait_for(job, WEFT_SECONDS(60), 0);
    weft_future_release(job);
    return result;
}

static void *submit_and_await(void *arg)
{
    const share *s = arg;
    for (size_t i = 0; i < s->n; i++) {
        weft_future *job = weft_submit(executor, empty, NULL);
        s->futures[i] = s->deadline ? under_deadline(job) : job;
    }
    for (size_t i = s->n; i-- > 0;)
        bench_check(weft_await(s->futures[i], NULL) == 0, "weft_await");
    return NULL;
}

static bench_usage batch(weft_future **futures, size_t n, unsigned threads, bool deadline)
{
    pthread_t ids[THREADS];
    share shares[THREADS];
    bench_usage before = bench_usage_read();
    for (unsigned t = 0; t < threads; t++) {
        shares[t] = (share){futures + n / threads * t, n / threads, deadline};
        if (t > 0)
            bench_check(pthread_create(&ids[t], NULL, submit_and_await, &shares[t]) == 0, "pthread_create");
    }
    submit_and_await(&shares[0]);
    for (unsigned t = 1; t < threads; t++)
        pthread_join(ids[t], NULL);
    bench_usage after = bench_usage_read();
    return (bench_usage){.time = after.time - before.time, .cpu = after.cpu - before.cpu};
}

static void compare(weft_future **futures, size_t n, unsigned threads, const char *time, const char *cpu)
{
    batch(futures, n, threads, true);
    bench_usage without = batch(futures, n, threads, false), with = batch(futures, n, threads, true);
    bench_report(time, "ns", bench_share(without.time, with.time, n));
    bench_report(cpu, "ns", bench_share(without.cpu, with.cpu, n));
}

static void already_done(weft_future **futures, size_t n)
{
    for (size_t i = 0; i < n; i++)
        futures[i] = weft_submit(executor, empty, NULL);
    for (size_t i = n; i-- > 0;)
        bench_check(weft_future_wait(futures[i], WEFT_FOREVER) == 0, "weft_future_wait");
    int64_t start = bench_now();
    for (size_t i = 0; i < n; i++)
        weft_future_release(weft_wait_for(futures[i], WEFT_SECONDS(60), 0));
    bench_report("made and released, the job being done", "ns", bench_share(start, bench_now(), n));
    for (size_t i = 0; i < n; i++)
        weft_future_release(futures[i]);
}

int main(int argc, char **argv)
{
    unsigned workers = (unsigned)bench_argument(argc, argv, 1, 2);
    size_t n = bench_argument(argc, argv, 2, 200000);
    executor = weft_executor_create(&(weft_executor_options){.workers = workers});
    bench_check(executor != NULL, "weft_executor_create");
    weft_future **futures = bench_touched(n * sizeof *futures);
    compare(futures, n, 1, "added to a job", "CPU time of it");
    compare(futures, n, THREADS, "added to a job, from 4 threads", "CPU time of it, from 4 threads");
    already_done(futures, n);
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
    return 0;
}
