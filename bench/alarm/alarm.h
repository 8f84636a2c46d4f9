/* alarm.h: timers that fire; every library behind this face. w9c.c and w9d.c are written against it. */
#ifndef BENCH_ALARM_H
#define BENCH_ALARM_H

#include <stddef.h>
#include <stdint.h>

/* Makes ready for n timers that are armed and not waited for. */
void alarms_start(size_t n);

/* Arms timer i to fire `delay` ns from now. `fired`: where the moment is to be written at which its function is called;
 * NULL: nobody asks. */
void alarms_arm(size_t i, int64_t delay, int64_t *fired);

/* Blocks until the first n timers have fired, of which timer n - 1 is the last, and gives them back. */
void alarms_wait(size_t n);

void alarms_stop(void);

#endif
