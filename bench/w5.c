/* w5.c: how small independent jobs may be: an outside thread submits jobs of G microseconds each and waits for them all,
 * in the order of submission, newest first, and at once.
 *
 *     bench_w5_LIBRARY [workers [G in ns]]
 *
 * Efficiency is the time that bare threads, as many as workers or as CPUs if those are fewer, take for the same work
 * without any pool, in per cent of the time from the first submit until the last job is known to be done. The submitter
 * has no CPU of its own if there are as many workers as CPUs: what it costs, it takes from them. G goes up in steps of a
 * quarter of an octave, and a step that is efficient enough counts if the next one is, too. With a G on the command line
 * this one alone is measured.
 *
 * A job counts down a number. How long that takes is not the same from one second to the next on CPUs that share a core
 * or a machine with others; so the bare threads run before and after each run of the pool, and G is what a job takes
 * while all CPUs are busy. */
#include "measure.h"
#include "pool.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_JOBS = 40000, REPEATS = 5, MOST_BARE = 64 };

typedef enum order { IN_ORDER, NEWEST_FIRST, AT_ONCE, ORDERS } order;

static const char *const order_names[ORDERS] = {"in order", "newest first", "at once"};

static uint64_t turns; /* of the loop, in a job; written before the jobs are submitted */
static unsigned bare;  /* bare threads; written by main before there are any */

__attribute__((noinline)) static void spin(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        __asm__ volatile("" ::: "memory"); /* so that the loop stays */
}

static void *work(void *arg)
{
    spin(turns);
    return arg;
}

typedef struct bare_thread {
    pthread_t id;
    pthread_barrier_t *start;
    uint64_t turns;
    int64_t took;
} bare_thread;

static void *bare_main(void *arg)
{
    bare_thread *t = arg;
    pthread_barrier_wait(t->start);
    int64_t from = bench_now();
    spin(t->turns);
    t->took = bench_now() - from;
    return NULL;
}

/* ns that so many turns take, shared out to the bare threads. */
static double bare_time(double all_turns)
{
    bare_thread threads[MOST_BARE];
    pthread_barrier_t start;
    double sum = 0;
    bench_check(pthread_barrier_init(&start, NULL, bare) == 0, "pthread_barrier_init");
    for (unsigned i = 0; i < bare; i++) {
        threads[i] = (bare_thread){.start = &start, .turns = (uint64_t)(all_turns / bare)};
        bench_check(pthread_create(&threads[i].id, NULL, bare_main, &threads[i]) == 0, "pthread_create");
    }
    for (unsigned i = 0; i < bare; i++) {
        pthread_join(threads[i].id, NULL);
        sum += (double)threads[i].took;
    }
    pthread_barrier_destroy(&start);
    return sum / bare;
}

static int less(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[], size_t n)
{
    qsort(values, n, sizeof *values, less);
    return values[n / 2];
}

/* How often the loop turns in a ns of each bare thread. */
static double calibrate(void)
{
    enum { LOOKS = 21, TURNS = 4000000 };
    double looks[LOOKS];
    for (int i = 0; i < LOOKS; i++)
        looks[i] = TURNS / bare_time((double)TURNS * bare);
    return median(looks, LOOKS);
}

static void wait_for(size_t n, order how)
{
    if (how == AT_ONCE)
        pool_wait_all(n);
    for (size_t i = 0; i < n && how != AT_ONCE; i++)
        pool_wait(how == IN_ORDER ? i : n - 1 - i);
}

static double run_once(size_t n, order how)
{
    int64_t from = bench_now();
    for (size_t i = 0; i < n; i++)
        pool_submit(i, NULL);
    wait_for(n, how);
    int64_t to = bench_now();
    pool_release(n);
    return (double)(to - from);
}

/* The median of several runs, each of some 10 ms of work a thread. */
static double efficiency(double ns, order how)
{
    double found[REPEATS];
    double jobs = bare * 10e6 / ns;
    size_t n = jobs < MOST_JOBS ? (size_t)jobs : MOST_JOBS;
    double all_turns = (double)turns * (double)n;
    for (int i = 0; i < REPEATS; i++) {
        double before = bare_time(all_turns), took = run_once(n, how), after = bare_time(all_turns);
        found[i] = 100 * (before + after) / 2 / took;
    }
    return median(found, REPEATS);
}

/* The smallest G with `percent`, and with which the next one has it as well; 0: there is none. */
static double smallest(const double efficient[], const double ns[], int n, double percent)
{
    for (int i = 0; i + 1 < n; i++)
        if (efficient[i] >= percent && efficient[i + 1] >= percent)
            return ns[i] / 1000;
    return 0;
}

static void measure_series(double per_ns, order how)
{
    enum { STEPS = 40 };
    double ns[STEPS], found[STEPS];
    int n = 0;
    for (int after = 0; n < STEPS && after < 3; n++) {
        ns[n] = 125 * pow(2, n / 4.0);
        turns = (uint64_t)(ns[n] * per_ns);
        found[n] = efficiency(ns[n], how);
        after = found[n] >= 90 ? after + 1 : 0;
    }
    char figure[64];
    for (int percent = 50; percent <= 90; percent += 40) {
        snprintf(figure, sizeof figure, "awaited %s, smallest G with %d %%", order_names[how], percent);
        bench_report(figure, "us", smallest(found, ns, n, percent));
    }
}

static void measure_one(double per_ns, size_t ns)
{
    char figure[64];
    turns = (uint64_t)((double)ns * per_ns);
    for (order how = IN_ORDER; how < ORDERS; how++) {
        snprintf(figure, sizeof figure, "efficiency, awaited %s", order_names[how]);
        bench_report(figure, "%", efficiency((double)ns, how));
    }
}

int main(int argc, char **argv)
{
    unsigned workers = (unsigned)bench_argument(argc, argv, 1, 2);
    size_t ns = bench_argument(argc, argv, 2, 0);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    bare = workers < cpus ? workers : (unsigned)cpus;
    bench_check(bare > 0 && bare <= MOST_BARE, "so many workers");
    double per_ns = calibrate();
    pool_start(workers, MOST_JOBS, work);
    turns = 1;
    run_once(MOST_JOBS, AT_ONCE); /* so that threads and memory are there */
    if (ns) {
        measure_one(per_ns, ns);
    } else {
        for (order how = IN_ORDER; how < ORDERS; how++)
            measure_series(per_ns, how);
    }
    pool_stop();
    return 0;
}
