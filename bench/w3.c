/* w3.c: W2 from four outside threads at once: each submits a quarter of a million empty jobs, holds their handles and
 * waits for its own.
 *
 *     bench_w3_LIBRARY [workers [jobs]]
 *
 * What a job costs is the time from the moment at which all four are let go until the last has seen its last job done,
 * by the number of all jobs. As in w2.c the first batch is that of a fresh process and the second finds its memory. */
#include "measure.h"
#include "pool.h"

#include <pthread.h>

enum { THREADS = 4 };

typedef struct share {
    pthread_t thread;
    size_t first, n; /* the jobs of this thread */
} share;

static pthread_barrier_t go;

static void *empty(void *arg)
{
    return arg;
}

static void submit_and_wait(const share *s)
{
    for (size_t i = s->first; i < s->first + s->n; i++)
        pool_submit(i, NULL);
    pool_wait_some(s->first, s->n);
}

static void *thread_main(void *arg)
{
    pool_enter();
    pthread_barrier_wait(&go);
    submit_and_wait(arg);
    pool_leave();
    return NULL;
}

/* The main thread is one of the four. */
static void batch(size_t n, const char *time, const char *cpu)
{
    share shares[THREADS];
    for (size_t t = 0; t < THREADS; t++) {
        shares[t] = (share){.first = n / THREADS * t, .n = n / THREADS};
        if (t > 0)
            bench_check(pthread_create(&shares[t].thread, NULL, thread_main, &shares[t]) == 0, "pthread_create");
    }
    pthread_barrier_wait(&go);
    bench_usage before = bench_usage_read();
    submit_and_wait(&shares[0]);
    for (size_t t = 1; t < THREADS; t++)
        pthread_join(shares[t].thread, NULL);
    bench_usage done = bench_usage_read();
    pool_release(n);
    bench_report(time, "ns", bench_share(before.time, done.time, n));
    bench_report(cpu, "ns", bench_share(before.cpu, done.cpu, n));
}

int main(int argc, char **argv)
{
    unsigned workers = (unsigned)bench_argument(argc, argv, 1, 2);
    size_t jobs = bench_argument(argc, argv, 2, 1000000) / THREADS * THREADS, few = jobs < 100 ? jobs : 100;
    pool_start(workers, jobs, empty);
    bench_check(pthread_barrier_init(&go, NULL, THREADS) == 0, "pthread_barrier_init");
    for (size_t i = 0; i < few; i++)
        pool_submit(i, NULL); /* so that the threads are there */
    pool_wait_some(0, few);
    pool_release(few);
    batch(jobs, "submit until all are done", "CPU time of it, all threads");
    batch(jobs, "second batch, until all are done", "CPU time of it");
    pool_stop();
    return 0;
}
