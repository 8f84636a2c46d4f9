/* libevent.c: libevent's timers, in one array of events, in the heap of an event_base. See alarm.h. */
#include "alarm.h"
#include "measure.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <stdlib.h>

static struct event_base *base;
static struct event *timers;

void alarms_start(size_t n)
{
    base = event_base_new();
    timers = malloc(n * sizeof *timers);
    bench_check(base && timers, "event_base_new");
}

static void note(evutil_socket_t fd, short what, void *fired)
{
    (void)fd;
    (void)what;
    if (fired)
        *(int64_t *)fired = bench_now();
}

void alarms_arm(size_t i, int64_t delay, int64_t *fired)
{
    struct timeval t = {.tv_sec = delay / 1000000000, .tv_usec = (delay % 1000000000 + 999) / 1000};
    bench_check(evtimer_assign(&timers[i], base, note, fired) == 0, "evtimer_assign");
    bench_check(evtimer_add(&timers[i], &t) == 0, "evtimer_add");
}

void alarms_wait(size_t n)
{
    (void)n;
    bench_check(event_base_dispatch(base) >= 0, "event_base_dispatch");
}

void alarms_stop(void)
{
    event_base_free(base);
    free(timers);
}
