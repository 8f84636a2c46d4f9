/* tile.h: one square of the picture, as a job with a deadline. */
#ifndef SERVER_TILE_H
#define SERVER_TILE_H

#include "lanes.h"

#include <weft/weft.h>

enum { TILE_SIDE = 256, DEEPEST_ZOOM = 40, MOST_ITERATIONS = 100000 };

/* Which tile. Zoom 0 is a single tile that shows the whole set; each zoom after it has twice as many each way. */
struct tile_place {
    long zoom, column, row; /* 0 <= column, row < 2^zoom */
};

/* How it is to be drawn. */
struct tile_order {
    struct tile_place place;
    long iterations;
    long deadline; /* ms from the request on; how long the client is willing to wait */
    weft_priority priority;
};

/* What comes of it: a PNG file. */
struct tile_picture {
    unsigned char *bytes;
    size_t size;
};

/* Submits the job. The future has a struct tile_picture, lent for as long as the future is held; it is WEFT_TIMED_OUT
 * at the deadline and cancelled as soon as it is asked to be, and in both cases the job stops at its next pixel. NULL:
 * errno says why; EAGAIN: too many wait already. */
weft_future *tile_submit(weft_executor *executor, struct lanes *lanes, const struct tile_order *order);

#endif
