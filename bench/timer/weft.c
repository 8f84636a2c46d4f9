/* weft.c: a weft_sleep a timer. A sleep that is due at once is handled after all that was asked for before it, so to wait
 * for one is to wait for the coordinator. See timer.h. */
#include "measure.h"
#include "timer.h"

#include <weft/testing.h>
#include <weft/weft.h>

#include <stdlib.h>

static weft_executor *executor;
static weft_future **futures;

void timers_start(size_t n)
{
    executor = weft_executor_create(&(weft_executor_options){.workers = 1});
    bench_check(executor != NULL, "weft_executor_create");
    futures = bench_touched(n * sizeof *futures);
}

void timers_arm(size_t i, int64_t delay)
{
    futures[i] = weft_sleep(executor, delay, NULL);
}

void timers_cancel(size_t i)
{
    weft_cancel(futures[i]);
    weft_future_release(futures[i]);
}

void timers_settle(void)
{
    bench_check(weft_await(weft_sleep(executor, 0, NULL), NULL) == 0, "weft_sleep");
}

size_t timers_bytes(void)
{
    weft_counters counters;
    weft_counters_read(&counters);
    return counters.bytes;
}

void timers_stop(void)
{
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
    free(futures);
}
