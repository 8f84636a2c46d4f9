/* weft_wait_for.c: a weft_wait_for a timer, around a promise that nobody resolves. The promises are there before and are
 * not counted. To cancel the wait_for cancels what it waits for as well. See timer.h and weft.c. */
#include "measure.h"
#include "timer.h"

#include <weft/testing.h>
#include <weft/weft.h>

#include <stdlib.h>

static weft_executor *executor;
static weft_promise **promises;
static weft_future **inputs, **results;
static size_t count;

void timers_start(size_t n)
{
    executor = weft_executor_create(&(weft_executor_options){.workers = 1});
    bench_check(executor != NULL, "weft_executor_create");
    promises = bench_touched(n * sizeof *promises);
    inputs = bench_touched(n * sizeof *inputs);
    results = bench_touched(n * sizeof *results);
    count = n;
    for (size_t i = 0; i < n; i++) {
        promises[i] = weft_promise_create(executor);
        inputs[i] = weft_promise_future(promises[i]);
    }
    bench_check(inputs[n - 1] != NULL, "weft_promise_create");
}

void timers_arm(size_t i, int64_t delay)
{
    results[i] = weft_wait_for(inputs[i], delay, 0);
}

void timers_cancel(size_t i)
{
    weft_cancel(results[i]);
    weft_future_release(results[i]);
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
    for (size_t i = 0; i < count; i++) {
        weft_promise_destroy(promises[i]);
        weft_future_release(inputs[i]);
    }
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
    free(promises);
    free(inputs);
    free(results);
}
