/* wheel.c: the wheel inside weft by itself, without futures and the coordinator. Linked with the static library, since
 * the shared one does not show it. The timers stand in one array. See timer.h. */
#include "measure.h"
#include "timer.h"
#include "timer_wheel.h"

#include <stdlib.h>

static weft__wheel *wheel;
static weft__timer *timers;

void timers_start(size_t n)
{
    wheel = malloc(sizeof *wheel);
    timers = malloc(n * sizeof *timers);
    bench_check(wheel && timers, "malloc");
    weft__wheel_init(wheel, 0);
}

void timers_arm(size_t i, int64_t delay)
{
    weft__timer_init(&timers[i]);
    timers[i].deadline = delay;
    weft__wheel_insert(wheel, &timers[i]);
}

void timers_cancel(size_t i)
{
    weft__wheel_remove(wheel, &timers[i]);
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
    free(timers);
    free(wheel);
}
