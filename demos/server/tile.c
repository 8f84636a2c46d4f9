/* tile.c: the job that draws a tile, in bands that idle workers may steal.
 *
 * The request for a tile is one job. It draws by a loop over bands of rows (weft_parallel_for), so when there are fewer
 * tiles than workers, the idle ones take bands of a tile that another one has begun. All look at weft_cancelled()
 * before each pixel: it turns true when the deadline has passed or when the client has left, wherever the band runs.
 *
 * Two futures: the job's own, and the one under the deadline, which is what the server waits for. At the deadline the
 * second is done at once, whatever the job is doing, so the client gets its answer in time; the argument belongs to
 * weft (free_arg), so it lasts until the job has stopped too. */
#define _POSIX_C_SOURCE 200809L
#include "tile.h"

#include "../common/picture/mandelbrot.h"
#include "../common/picture/png_encoder.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { BAND_ROWS = 8 };

/* What zoom 0 shows: a square around the whole set. */
static const double whole_left = -2.25, whole_top = 1.5, whole_side = 3;
/* What mandelbrot.h calls a zoom of 1 shows this much of the plane along the shorter side. */
static const double unit_side = 2.6;

/* Written by tile_submit(), then the job's; freed by weft when the job is over. */
struct tile {
    weft_executor *executor;
    struct lanes *lanes;
    struct view view;
    uint64_t number;
    int64_t submitted;
    int worker;            /* who began the job: written before the bands are forked, read in them */
    unsigned char *pixels; /* each band writes its own rows */
};

static struct view view_of(const struct tile_order *order)
{
    double side = whole_side / (double)(1ULL << order->place.zoom);

    return (struct view){.center_x = whole_left + ((double)order->place.column + 0.5) * side,
                         .center_y = whole_top - ((double)order->place.row + 0.5) * side,
                         .zoom = unit_side / side,
                         .width = TILE_SIDE,
                         .height = TILE_SIDE,
                         .iterations = order->iterations};
}

static void draw_band(size_t begin, size_t end, void *data)
{
    const struct tile *tile = data;
    struct rectangle band = {.left = 0, .top = begin, .width = TILE_SIDE, .height = end - begin};

    lanes_begin(tile->lanes, tile->number, weft_worker_index() != tile->worker);
    bool complete = mandelbrot_draw(&tile->view, &band, tile->pixels + begin * TILE_SIDE * CHANNELS, weft_cancelled);
    lanes_end(tile->lanes, !complete);
}

static void free_picture(void *value)
{
    struct tile_picture *picture = value;

    if (picture != NULL) {
        free(picture->bytes);
        free(picture);
    }
}

static bool stopped(void *data)
{
    (void)data;
    return weft_cancelled();
}

/* The pixels as a PNG file in memory; NULL, or no memory. */
static struct tile_picture *encode(const struct tile *tile)
{
    struct tile_picture *picture = calloc(1, sizeof *picture);
    char *bytes = NULL;
    if (picture == NULL) {
        return NULL;
    }
    FILE *stream = open_memstream(&bytes, &picture->size);
    if (stream == NULL) {
        free(picture);
        return NULL;
    }
    const char *error = png_encode(stream, tile->pixels, TILE_SIDE, TILE_SIDE, PNG_QUICK_LEVEL, stopped, NULL);
    bool failed = fclose(stream) != 0 || error != NULL;
    picture->bytes = (unsigned char *)bytes;
    if (failed) {
        free_picture(picture);
        return NULL;
    }
    return picture;
}

static void *draw_tile(void *arg)
{
    struct tile *tile = arg;

    lanes_started(tile->lanes, weft_now() - tile->submitted);
    tile->worker = weft_worker_index();
    tile->pixels = malloc((size_t)TILE_SIDE * TILE_SIDE * CHANNELS);
    if (tile->pixels == NULL) {
        return weft_fail(ENOMEM);
    }
    int code = weft_parallel_for(tile->executor, 0, TILE_SIDE, BAND_ROWS, draw_band, tile);
    if (code != 0 || weft_cancelled()) {
        return weft_fail(code > 0 ? code : -ECANCELED);
    }
    lanes_begin(tile->lanes, tile->number, false);
    struct tile_picture *picture = encode(tile);
    lanes_end(tile->lanes, picture == NULL);
    if (picture == NULL) {
        return weft_fail(weft_cancelled() ? -ECANCELED : ENOMEM);
    }
    return picture;
}

static void free_tile(void *arg)
{
    struct tile *tile = arg;

    free(tile->pixels);
    free(tile);
}

/* Submits the job; NULL and errno. */
static weft_future *submit(struct tile *tile, weft_priority priority)
{
    const weft_submit_options options = {
        .name = "tile", .priority = priority, .free_arg = free_tile, .free_value = free_picture};

    weft_future *job = weft_submit_with(tile->executor, draw_tile, tile, &options);
    if (job == NULL) {
        int code = errno;
        free_tile(tile);
        errno = code;
    }
    return job;
}

weft_future *tile_submit(weft_executor *executor, struct lanes *lanes, const struct tile_order *order)
{
    static _Atomic(uint64_t) numbers; /* relaxed: each caller gets another one, in whatever order */
    struct tile *tile = calloc(1, sizeof *tile);
    if (tile == NULL) {
        return NULL;
    }
    tile->executor = executor;
    tile->lanes = lanes;
    tile->view = view_of(order);
    tile->number = atomic_fetch_add_explicit(&numbers, 1, memory_order_relaxed) + 1;
    tile->submitted = weft_now();
    weft_future *job = submit(tile, order->priority);
    weft_future *bounded = weft_wait_for(job, WEFT_MILLISECONDS(order->deadline), 0);
    if (bounded == NULL && job != NULL) {
        int code = errno;
        weft_cancel(job);
        errno = code;
    }
    weft_future_release(job);
    return bounded;
}
