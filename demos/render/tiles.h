/* tiles.h: a picture as a gather of jobs, one a tile. */
#ifndef RENDER_TILES_H
#define RENDER_TILES_H

#include "../common/picture/mandelbrot.h"

#include <weft/weft.h>

struct tiles;

/* Submits all tiles of `view`, those in the middle first, to be drawn into `pixels` (view->width x view->height). A tile
 * is written in one go when it is complete; until then its pixels stay as they are. Both arguments must stay until all
 * tiles are done. NULL: errno says why, and nothing is running. */
struct tiles *tiles_start(weft_executor *executor, const struct view *view, unsigned char *pixels);

/* Done when all tiles are; its cancellation is theirs. Lent until tiles_close(). */
weft_future *tiles_future(const struct tiles *tiles);

size_t tiles_count(const struct tiles *tiles);

/* How many have been drawn so far. Any thread. */
size_t tiles_drawn(const struct tiles *tiles);

/* When all are done, or after the executor was shut down. NULL does nothing. */
void tiles_close(struct tiles *tiles);

#endif
