/* libevent.c: libevent's timers, in one array of events; its caller brings their memory, so it is counted. event_base
 * keeps them in a heap. See timer.h. */
#include "measure.h"
#include "timer.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <stdlib.h>

static struct event_base *base;
static struct event *timers;

void timers_start(size_t n)
{
    base = event_base_new();
    timers = malloc(n * sizeof *timers);
    bench_check(base && timers, "event_base_new");
}

static void fired(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

void timers_arm(size_t i, int64_t delay)
{
    struct timeval t = {.tv_sec = delay / 1000000000, .tv_usec = delay % 1000000000 / 1000};
    bench_check(evtimer_assign(&timers[i], base, fired, NULL) == 0, "evtimer_assign");
    bench_check(evtimer_add(&timers[i], &t) == 0, "evtimer_add");
}

void timers_cancel(size_t i)
{
    evtimer_del(&timers[i]);
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
    event_base_free(base);
    free(timers);
}
