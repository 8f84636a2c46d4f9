/* count.c: what bench/count looks at with callgrind: every operation a number of times, and nothing beside it.
 *
 *     bench_count [times [1]]
 *
 * Times are noisy and instructions are not: run under callgrind, this program asks it for a dump after each operation,
 * with the counts of each thread by itself. So that a count is of one thing, a gate keeps the worker inside a job while
 * the caller submits, and the caller sleeps or has nothing to do while the worker runs what was submitted. One worker,
 * one caller. With a 1 it prints the bytes that each of many objects takes instead. */
#include "measure.h"

#include <weft/testing.h>
#include <weft/weft.h>

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_ZERO_STATS          ((void)0)
#define CALLGRIND_DUMP_STATS_AT(name) ((void)name)
#endif
#if __has_include(<weft/parallel.h>)
#include <weft/parallel.h>
#define HAVE_FORK 1
#endif
#if __has_include(<weft/fork_inline.h>)
#include <weft/fork_inline.h>
#define HAVE_FORK_INLINE 1
#endif

enum { FEW = 64 };

typedef struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int entered, open; /* under the mutex */
} gate;

static weft_executor *executor;
static weft_future **futures;
static size_t times;
static int counting; /* written by main before it submits */

static void *empty(void *arg)
{
    return arg;
}

static void *hold(void *arg)
{
    gate *g = arg;
    pthread_mutex_lock(&g->mutex);
    g->entered = 1;
    pthread_cond_broadcast(&g->changed);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
    return NULL;
}

/* Returns when the worker is inside. */
static weft_future *shut(gate *g)
{
    *g = (gate){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    weft_future *held = weft_submit(executor, hold, g);
    pthread_mutex_lock(&g->mutex);
    while (!g->entered)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
    return held;
}

static void open_gate(gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->open = 1;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

/* Until the workers and the coordinator have nothing left to do. */
static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

static void begin(void)
{
    rest();
    CALLGRIND_ZERO_STATS;
}

static void end(const char *operation)
{
    if (counting)
        CALLGRIND_DUMP_STATS_AT(operation);
}

static void submit_all(void)
{
    for (size_t i = 0; i < times; i++)
        futures[i] = weft_submit(executor, empty, NULL);
}

static void release_all(void)
{
    for (size_t i = 0; i < times; i++)
        weft_future_release(futures[i]);
}

static void await_all(void)
{
    for (size_t i = 0; i < times; i++)
        bench_check(weft_await(futures[i], NULL) == 0, "weft_await");
}

/* Submitted from outside while the worker is held, then run while the caller sleeps. */
static void jobs(void)
{
    gate g;
    weft_future *held = shut(&g);
    begin();
    submit_all();
    end("submit");
    begin();
    open_gate(&g);
    rest();
    end("run and settle");
    begin();
    await_all();
    end("await, done");
    weft_future_release(held);
}

static void gathered(void)
{
    submit_all();
    rest();
    begin();
    weft_future *gather = weft_gather(executor, futures, times, WEFT_FIRST_ERROR);
    end("gather, a done child");
    weft_future_release(gather);
    begin();
    for (size_t i = 0; i < times; i++)
        weft_future_release(weft_wait_for(futures[i], WEFT_SECONDS(60), 0));
    end("wait_for, done");
    begin();
    release_all();
    end("release");
}

static void promises(void)
{
    weft_promise **made = bench_touched(times * sizeof *made);
    begin();
    for (size_t i = 0; i < times; i++) {
        made[i] = weft_promise_create(executor);
        futures[i] = weft_promise_future(made[i]);
    }
    end("promise and its future");
    begin();
    for (size_t i = 0; i < times; i++)
        weft_promise_resolve(made[i], NULL, NULL);
    end("resolve: settle alone");
    for (size_t i = 0; i < times; i++)
        weft_promise_destroy(made[i]);
    release_all();
    free(made);
}

static void timers(void)
{
    begin();
    for (size_t i = 0; i < times; i++)
        futures[i] = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
    rest();
    end("arm");
    begin();
    for (size_t i = 0; i < times; i++) {
        weft_cancel(futures[i]);
        weft_future_release(futures[i]);
    }
    rest();
    end("cancel");
}

static void *submit_and_await(void *arg)
{
    for (size_t i = 0; i < times; i++)
        bench_check(weft_await(weft_submit(executor, empty, NULL), NULL) == 0, "weft_await");
    return arg;
}

#ifdef HAVE_FORK
static void *fork_and_join(void *arg)
{
    weft_task task;
    for (size_t i = 0; i < times; i++) {
        weft_fork(&task, empty, arg);
        weft_join(&task);
    }
    return arg;
}

/* Each by itself, of few enough that they are all forked before one is joined. */
static void *fork_then_join(void *arg)
{
    static weft_task tasks[FEW];
    begin();
    for (size_t i = 0; i < FEW; i++)
        weft_fork(&tasks[i], empty, arg);
    end("fork@64");
    begin();
    for (size_t i = FEW; i-- > 0;)
        weft_join(&tasks[i]);
    end("join@64");
    return arg;
}
#endif

#ifdef HAVE_FORK_INLINE
static void *fork_and_join_inline(void *arg)
{
    weft_task task;
    for (size_t i = 0; i < times; i++) {
        weft_fork_inline(&task, empty, arg);
        weft_join_inline(&task, empty, arg);
    }
    return arg;
}
#endif

/* Runs all of it in one job; the caller sleeps. */
static void in_a_job(weft_fn *fn, const char *operation)
{
    begin();
    weft_future *job = weft_submit(executor, fn, NULL);
    rest();
    end(operation);
    bench_check(weft_await(job, NULL) == 0, "weft_await");
}

static size_t bytes(void)
{
    weft_counters counters;
    weft_counters_read(&counters);
    return counters.bytes;
}

/* What each of many takes, from the library's own count; in an executor of its own, which has nothing to reuse. */
static void size_of(const char *kind, weft_future *(*make)(weft_future *input), int of_inputs)
{
    weft_promise **promises = bench_touched(times * sizeof *promises);
    weft_future **inputs = bench_touched(times * sizeof *inputs);
    executor = weft_executor_create(&(weft_executor_options){.workers = 1});
    for (size_t i = 0; i < times && of_inputs; i++) {
        promises[i] = weft_promise_create(executor);
        inputs[i] = weft_promise_future(promises[i]);
    }
    size_t before = bytes();
    for (size_t i = 0; i < times; i++)
        futures[i] = make(inputs[i]);
    bench_report(kind, "B", (double)(bytes() - before) / (double)times);
    for (size_t i = 0; i < times; i++) {
        weft_future_release(futures[i]);
        if (of_inputs) {
            weft_promise_destroy(promises[i]);
            weft_future_release(inputs[i]);
        }
    }
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
    free(inputs);
    free(promises);
}

static weft_future *make_job(weft_future *input)
{
    (void)input;
    return weft_submit(executor, empty, NULL);
}

static weft_future *make_named_job(weft_future *input)
{
    (void)input;
    return weft_submit_with(executor, empty, NULL, &(weft_submit_options){.name = "named"});
}

static weft_future *make_sleep(weft_future *input)
{
    (void)input;
    return weft_sleep(executor, WEFT_SECONDS(3600), NULL);
}

static weft_future *make_wait_for(weft_future *input)
{
    return weft_wait_for(input, WEFT_SECONDS(3600), 0);
}

static weft_future *make_shield(weft_future *input)
{
    return weft_shield(input);
}

static void *next(void *value, void *data)
{
    (void)data;
    return value;
}

static weft_future *make_then(weft_future *input)
{
    return weft_then(input, next, NULL);
}

static weft_future *make_gather(weft_future *input)
{
    return weft_gather(executor, &input, 1, WEFT_FIRST_ERROR);
}

/* A job is made and done while others are, so as many of them are there at once as are held. */
static void sizes(void)
{
    size_of("bytes, a job", make_job, 0);
    size_of("bytes, a job with options", make_named_job, 0);
    size_of("bytes, a sleep", make_sleep, 0);
    size_of("bytes, a wait_for", make_wait_for, 1);
    size_of("bytes, a shield", make_shield, 1);
    size_of("bytes, a then", make_then, 1);
    size_of("bytes, a gather of one", make_gather, 1);
}

int main(int argc, char **argv)
{
    times = bench_argument(argc, argv, 1, 2000);
    futures = bench_touched(times * sizeof *futures);
    if (bench_argument(argc, argv, 2, 0)) {
        sizes();
        return 0;
    }
    executor = weft_executor_create(&(weft_executor_options){.workers = 1});
    bench_check(executor != NULL, "weft_executor_create");
    for (int turn = 0; turn < 2; turn++) { /* what is done for the first time only is not counted */
        counting = turn == 1;
        jobs();
        gathered();
        promises();
        timers();
        in_a_job(submit_and_await, "submit + await in a job");
#ifdef HAVE_FORK
        in_a_job(fork_and_join, "fork + join");
        bench_check(weft_await(weft_submit(executor, fork_then_join, NULL), NULL) == 0, "weft_await");
#endif
#ifdef HAVE_FORK_INLINE
        in_a_job(fork_and_join_inline, "fork + join, inline");
#endif
    }
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
    return 0;
}
