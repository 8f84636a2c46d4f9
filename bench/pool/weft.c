/* weft.c: weft as a pool. All is awaited by one gather, which costs one wake-up. See pool.h. */
#include "measure.h"
#include "pool.h"

#include <weft/testing.h>
#include <weft/weft.h>

#include <stdlib.h>

static weft_executor *executor;
static weft_future **futures;
static pool_job *the_job;

void pool_start(unsigned workers, size_t most, pool_job *job)
{
    executor = weft_executor_create(&(weft_executor_options){.workers = workers});
    bench_check(executor != NULL, "weft_executor_create");
    futures = bench_touched(most * sizeof *futures);
    the_job = job;
}

void pool_submit(size_t i, void *arg)
{
    futures[i] = weft_submit(executor, the_job, arg);
}

void pool_enter(void)
{
}

void pool_leave(void)
{
}

void pool_wait_some(size_t first, size_t n)
{
    bench_check(weft_await(weft_gather(executor, futures + first, n, WEFT_SETTLED), NULL) == 0, "weft_gather");
}

void pool_wait(size_t i)
{
    bench_check(weft_future_wait(futures[i], WEFT_FOREVER) == 0, "weft_future_wait");
}

void pool_wait_all(size_t n)
{
    bench_check(weft_await(weft_gather(executor, futures, n, WEFT_SETTLED), NULL) == 0, "weft_gather");
}

void pool_release(size_t n)
{
    for (size_t i = 0; i < n; i++)
        weft_future_release(futures[i]);
}

size_t pool_bytes(void)
{
    weft_counters counters;
    weft_counters_read(&counters);
    return counters.bytes;
}

void pool_stop(void)
{
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
    free(futures);
}
