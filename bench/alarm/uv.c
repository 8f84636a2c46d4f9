/* uv.c: libuv's timers, in one array. It counts in ms, and from the moment at which its loop last looked at the clock;
 * so it is told the time before each alarm, and a delay is rounded up, with one ms for what its look at the clock
 * rounded down: otherwise a timer would be early now and then. See alarm.h. */
#include "alarm.h"
#include "measure.h"

#include <uv.h>

#include <stdlib.h>

static uv_loop_t loop;
static uv_timer_t *timers;

void alarms_start(size_t n)
{
    bench_check(uv_loop_init(&loop) == 0, "uv_loop_init");
    timers = malloc(n * sizeof *timers);
    bench_check(timers != NULL, "malloc");
}

static void note(uv_timer_t *timer)
{
    if (timer->data)
        *(int64_t *)timer->data = bench_now();
}

void alarms_arm(size_t i, int64_t delay, int64_t *fired)
{
    uv_update_time(&loop);
    uv_timer_init(&loop, &timers[i]);
    timers[i].data = fired;
    uv_timer_start(&timers[i], note, ((uint64_t)delay + 1999999) / 1000000, 0);
}

void alarms_wait(size_t n)
{
    (void)n;
    uv_run(&loop, UV_RUN_DEFAULT);
}

void alarms_stop(void)
{
    free(timers);
}
