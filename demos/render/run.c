/* run.c: the main thread: starts the tiles, waits for them, for the deadline or for an interruption, and writes the file.
 *
 * The deadline is one weft_wait_for() around the gather of all tiles. With WEFT_JOIN its future is done only when every
 * tile is, drawn or cancelled; from then on nobody writes to the pixels. A tile looks before each pixel whether it is still
 * wanted, so that comes no later than a pixel after the deadline. */
#include "run.h"

#include "../common/interrupt.h"
#include "../common/progress.h"
#include "picture.h"
#include "tiles.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char plain = 58; /* the grey of tiles that were not drawn in time */

/* Everything belongs to the main thread; the jobs have `pixels` while they run. */
struct run {
    weft_executor *pool;
    struct interrupt *interrupt;
    struct progress progress;
    struct picture_file file;
    unsigned char *pixels;
    struct tiles *tiles;
    weft_future *drawing; /* all tiles, with their deadline if there is one */
};

static int complain(struct run *run, const char *what, const char *why)
{
    progress_clear(&run->progress);
    fprintf(stderr, "render: %s: %s\n", what, why);
    return 1;
}

static bool stopped(void *data)
{
    const struct run *run = data;

    return weft_future_done(interrupt_future(run->interrupt));
}

/* 0, or 1 after telling what is wrong. */
static int open_run(struct run *run, const struct run_options *options)
{
    size_t size = options->view.width * options->view.height * CHANNELS;

    progress_start(&run->progress, PROGRESS_TILES);
    int code = picture_open(&run->file, options->path);
    if (code != 0) {
        return complain(run, options->path, strerror(code));
    }
    run->pixels = malloc(size);
    if (run->pixels == NULL) {
        return complain(run, "no memory for a picture of that size", strerror(errno));
    }
    memset(run->pixels, plain, size);
    run->pool = weft_executor_create(&(weft_executor_options){.workers = options->workers, .name = "render"});
    if (run->pool == NULL) {
        return complain(run, "cannot start the workers", strerror(errno));
    }
    run->interrupt = interrupt_open(run->pool);
    if (run->interrupt == NULL) {
        return complain(run, "cannot start", strerror(errno));
    }
    return 0;
}

/* Undoes open_run() and draw(), however far they came. */
static void close_run(struct run *run)
{
    progress_clear(&run->progress);
    if (run->pool != NULL) {
        weft_executor_shutdown(run->pool, WEFT_CANCEL_ALL, WEFT_FOREVER); /* after this no job runs and none will */
    }
    weft_future_release(run->drawing);
    tiles_close(run->tiles);
    interrupt_close(run->interrupt);
    if (run->pool != NULL) {
        weft_executor_destroy(run->pool);
    }
    free(run->pixels);
    picture_abandon(&run->file);
}

/* Draws until the tiles are done, the deadline is past, or there is an interruption. 0, or 1 after telling. */
static int draw(struct run *run, const struct run_options *options)
{
    bool done[2] = {false, false};

    run->tiles = tiles_start(run->pool, &options->view, run->pixels);
    if (run->tiles == NULL) {
        return complain(run, "cannot start drawing", strerror(errno));
    }
    run->drawing = options->limit == WEFT_FOREVER ? weft_future_retain(tiles_future(run->tiles))
                                                  : weft_wait_for(tiles_future(run->tiles), options->limit, WEFT_JOIN);
    if (run->drawing == NULL) {
        return complain(run, "cannot set the deadline", strerror(errno));
    }
    weft_future *futures[] = {run->drawing, interrupt_future(run->interrupt)};
    int code = -ETIMEDOUT;
    while (code == -ETIMEDOUT) {
        progress_draw(&run->progress, tiles_drawn(run->tiles), tiles_count(run->tiles));
        code = weft_wait(futures, 2, WEFT_FIRST_COMPLETED, progress_interval(&run->progress), done);
    }
    progress_clear(&run->progress);
    return code == 0 ? 0 : complain(run, "cannot wait", weft_strerror(code));
}

static void summarise(const struct run *run, int64_t took)
{
    size_t count = tiles_count(run->tiles), drawn = tiles_drawn(run->tiles);

    fprintf(stderr, "render: %zu of %zu tiles drawn in %.2f s", drawn, count, (double)took / 1e9);
    if (drawn < count) {
        fprintf(stderr, ", %zu missed the deadline and are left plain", count - drawn);
    }
    fputc('\n', stderr);
}

/* 0, or 1 after telling. */
static int draw_and_write(struct run *run, const struct run_options *options)
{
    int64_t start = weft_now();

    if (draw(run, options) != 0) {
        return 1;
    }
    if (stopped(run)) {
        return 0;
    }
    summarise(run, weft_now() - start);
    const char *error = picture_write(&run->file, run->pixels, options->view.width, options->view.height, stopped, run);
    return error == NULL || stopped(run) ? 0 : complain(run, options->path, error);
}

int run(const struct run_options *options)
{
    struct run run = {.file = {.descriptor = -1}};
    int signal = 0;

    interrupt_block();
    int status = open_run(&run, options);
    if (status == 0) {
        status = draw_and_write(&run, options);
        signal = interrupt_signal(run.interrupt);
    }
    close_run(&run);
    return signal != 0 ? 128 + signal : status;
}
