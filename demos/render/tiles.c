/* tiles.c: cutting the picture up, and the job that draws one piece.
 *
 * Tiles cost very different amounts of work, a hundredfold between the rim and the depths; there are many more of them than
 * workers, so that none is left with a long one at the end. They are submitted from the middle outwards: workers take
 * submitted jobs in that order, so what a deadline leaves undone is the rim of the picture. */
#include "tiles.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 32 };

struct tile {
    struct tiles *all;
    struct rectangle part;
    double from_middle; /* squared distance in pixels */
};

struct tiles {
    /* Written by tiles_start() before the jobs are submitted. */
    const struct view *view;
    unsigned char *pixels; /* each job writes its own part */
    size_t count;
    struct tile *tiles;
    /* Written by tiles_start(), used by its thread. */
    weft_future **futures;
    weft_future *gather;
    /* Counted up by the jobs, read by anyone. */
    _Atomic(size_t) drawn;
};

static void *draw_tile(void *arg)
{
    const struct tile *tile = arg;
    const struct rectangle *part = &tile->part;
    struct tiles *all = tile->all;
    unsigned char drawn[TILE * TILE * CHANNELS];

    if (!mandelbrot_draw(all->view, part, drawn, weft_cancelled)) {
        return weft_fail(-ECANCELED);
    }
    for (size_t row = 0; row < part->height; row++) {
        unsigned char *line = all->pixels + ((part->top + row) * all->view->width + part->left) * CHANNELS;
        memcpy(line, drawn + row * part->width * CHANNELS, part->width * CHANNELS);
    }
    /* Relaxed: only a count. Whoever uses the pixels waits for the future. */
    atomic_fetch_add_explicit(&all->drawn, 1, memory_order_relaxed);
    return NULL;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void cut(struct tiles *all)
{
    const struct view *view = all->view;
    size_t across = (view->width + TILE - 1) / TILE;

    for (size_t i = 0; i < all->count; i++) {
        struct tile *tile = &all->tiles[i];
        size_t left = i % across * TILE, top = i / across * TILE;
        double x = (double)(left + TILE / 2) - (double)view->width / 2;
        double y = (double)(top + TILE / 2) - (double)view->height / 2;
        tile->all = all;
        tile->part =
            (struct rectangle){left, top, smaller(TILE, view->width - left), smaller(TILE, view->height - top)};
        tile->from_middle = x * x + y * y;
    }
}

static int by_distance(const void *a, const void *b)
{
    const struct tile *first = a, *second = b;

    return (first->from_middle > second->from_middle) - (first->from_middle < second->from_middle);
}

/* Submits all or nothing, and gathers. 0 or an errno. */
static int submit(struct tiles *all, weft_executor *executor)
{
    void **args = calloc(all->count, sizeof *args);
    if (args == NULL) {
        return ENOMEM;
    }
    for (size_t i = 0; i < all->count; i++) {
        args[i] = &all->tiles[i];
    }
    int code = weft_submit_many(executor, draw_tile, args, all->count, all->futures);
    free(args);
    if (code != 0) {
        return -code;
    }
    /* WEFT_SETTLED: done when every tile is, whatever became of it. */
    all->gather = weft_gather(executor, all->futures, all->count, WEFT_SETTLED);
    if (all->gather != NULL) {
        return 0;
    }
    code = errno;
    for (size_t i = 0; i < all->count; i++) {
        weft_cancel(all->futures[i]);
        weft_future_wait(all->futures[i], WEFT_FOREVER);
    }
    return code;
}

struct tiles *tiles_start(weft_executor *executor, const struct view *view, unsigned char *pixels)
{
    struct tiles *all = calloc(1, sizeof *all);
    if (all == NULL) {
        return NULL;
    }
    all->view = view;
    all->pixels = pixels;
    all->count = ((view->width + TILE - 1) / TILE) * ((view->height + TILE - 1) / TILE);
    all->tiles = calloc(all->count, sizeof *all->tiles);
    all->futures = calloc(all->count, sizeof(weft_future *));
    int code = ENOMEM;
    if (all->tiles != NULL && all->futures != NULL) {
        cut(all);
        qsort(all->tiles, all->count, sizeof *all->tiles, by_distance);
        code = submit(all, executor);
    }
    if (code != 0) {
        tiles_close(all);
        errno = code;
        return NULL;
    }
    return all;
}

weft_future *tiles_future(const struct tiles *tiles)
{
    return tiles->gather;
}

size_t tiles_count(const struct tiles *tiles)
{
    return tiles->count;
}

size_t tiles_drawn(const struct tiles *tiles)
{
    /* Relaxed: paired with the addition in draw_tile(). */
    return atomic_load_explicit(&tiles->drawn, memory_order_relaxed);
}

void tiles_close(struct tiles *tiles)
{
    if (tiles == NULL) {
        return;
    }
    weft_future_release(tiles->gather);
    for (size_t i = 0; tiles->futures != NULL && i < tiles->count; i++) {
        weft_future_release(tiles->futures[i]);
    }
    free(tiles->futures);
    free(tiles->tiles);
    free(tiles);
}
