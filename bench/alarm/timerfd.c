/* timerfd.c: the kernel's own timer, one at a time: what a lone timer is late by on this machine whoever waits for it.
 * See alarm.h. */
#include "alarm.h"
#include "measure.h"

#include <sys/timerfd.h>
#include <unistd.h>

static int timer;
static int64_t *noted;

void alarms_start(size_t n)
{
    (void)n;
    timer = timerfd_create(CLOCK_MONOTONIC, 0);
    bench_check(timer >= 0, "timerfd_create");
}

void alarms_arm(size_t i, int64_t delay, int64_t *fired)
{
    struct itimerspec once = {.it_value = {.tv_sec = delay / 1000000000, .tv_nsec = delay % 1000000000}};
    (void)i;
    noted = fired;
    bench_check(timerfd_settime(timer, 0, &once, NULL) == 0, "timerfd_settime");
}

void alarms_wait(size_t n)
{
    uint64_t times;
    (void)n;
    bench_check(read(timer, &times, sizeof times) == sizeof times, "read");
    if (noted)
        *noted = bench_now();
}

void alarms_stop(void)
{
    close(timer);
}
