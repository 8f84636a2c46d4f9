/* timer.h: many timers that never fire; every library behind this face. w9a.c is written against it. */
#ifndef BENCH_TIMER_H
#define BENCH_TIMER_H

#include <stddef.h>
#include <stdint.h>

/* Makes ready for n timers: what stands for them in the program is there and touched afterwards, but no timer is. */
void timers_start(size_t n);

/* Arms timer i to fire `delay` ns from now. */
void timers_arm(size_t i, int64_t delay);

/* Cancels timer i and gives it back. */
void timers_cancel(size_t i);

/* Blocks until whatever arming and cancelling has left to other threads is done. */
void timers_settle(void);

/* Bytes that the library has taken by its own count; 0: it keeps none. */
size_t timers_bytes(void);

void timers_stop(void);

#endif
