/* weft.c: a weft_sleep a timer, with a callback where the moment is asked for. See alarm.h. */
#include "alarm.h"
#include "measure.h"

#include <weft/weft.h>

#include <stdlib.h>

static weft_executor *executor;
static weft_future **futures;

void alarms_start(size_t n)
{
    executor = weft_executor_create(&(weft_executor_options){.workers = 1});
    bench_check(executor != NULL, "weft_executor_create");
    futures = bench_touched(n * sizeof *futures);
}

static int note(weft_future *future, void *fired)
{
    (void)future;
    *(int64_t *)fired = bench_now();
    return 0;
}

void alarms_arm(size_t i, int64_t delay, int64_t *fired)
{
    futures[i] = weft_sleep(executor, delay, NULL);
    if (fired)
        bench_check(weft_on_done(futures[i], note, fired, NULL) == 0, "weft_on_done");
}

static int mark(weft_future *future, void *promise)
{
    (void)future;
    return weft_promise_resolve(promise, NULL, NULL);
}

/* Callbacks run in the order in which their futures resolve, so behind this one there are no more to come. */
void alarms_wait(size_t n)
{
    weft_promise *promise = weft_promise_create(executor);
    weft_future *all_fired = weft_promise_future(promise);
    bench_check(weft_on_done(futures[n - 1], mark, promise, NULL) == 0, "weft_on_done");
    bench_check(weft_await(all_fired, NULL) == 0, "weft_await");
    weft_promise_destroy(promise);
    for (size_t i = 0; i < n; i++)
        weft_future_release(futures[i]);
}

void alarms_stop(void)
{
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
    free(futures);
}
