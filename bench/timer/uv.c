/* uv.c: libuv's timers, in one array; its caller brings their memory, so it is counted. See timer.h. */
#include "measure.h"
#include "timer.h"

#include <uv.h>

#include <stdlib.h>

static uv_loop_t loop;
static uv_timer_t *timers;

void timers_start(size_t n)
{
    bench_check(uv_loop_init(&loop) == 0, "uv_loop_init");
    timers = malloc(n * sizeof *timers);
    bench_check(timers != NULL, "malloc");
}

static void fired(uv_timer_t *timer)
{
    (void)timer;
}

void timers_arm(size_t i, int64_t delay)
{
    uv_timer_init(&loop, &timers[i]);
    uv_timer_start(&timers[i], fired, (uint64_t)delay / 1000000, 0);
}

void timers_cancel(size_t i)
{
    uv_timer_stop(&timers[i]);
}

void timers_settle(void)
{
}

size_t timers_bytes(void)
{
    return 0;
}

void timers_stop(void)
{
    free(timers); /* without closing the loop: a million closes are not measured here */
}
