/* clock.h: real time, or time that a test moves. */
#ifndef WEFT__CLOCK_H
#define WEFT__CLOCK_H

#include "link.h"

#include <weft/testing.h>

struct weft__coordinator;

/* ns; clock NULL: CLOCK_MONOTONIC. Any thread. */
int64_t weft__clock_read(const weft_clock *clock);

/* Was it inherited through fork? NULL: no. */
bool weft__clock_stale(const weft_clock *clock);

/* A coordinator takes part in the clock's advances from here to there. */
void weft__clock_join(weft_clock *clock, struct weft__coordinator *c);
void weft__clock_leave(weft_clock *clock, struct weft__coordinator *c);

/* Any thread but a coordinator: waits until c has dealt with everything sent to it so far and with every timer that is
 * due by now; not for callbacks, but for the one that it is in. */
void weft__clock_settle(struct weft__coordinator *c);

/* On the coordinator, to those whose ticks had arrived when it last read the clock: all is resolved that was due
 * then. */
void weft__clock_answer(weft__link *asked);

#endif
