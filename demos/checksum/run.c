/* run.c: the main thread: a window that slides over the files.
 *
 * The walk goes ahead, the output follows, and between them stand at most WINDOW files, submitted and not yet printed:
 * enough for every worker to find work even when one file takes long, and so few that a million files need no more memory
 * than a thousand. Files leave the window in the order in which they came in, and so the output has the order of the walk
 * whoever finishes first.
 *
 * The main thread waits for the oldest file or for an interruption, whichever comes first; only if there is a progress
 * line to draw does it wake in between. What it does itself (walking, printing) asks about the interruption as it goes. */
#define _POSIX_C_SOURCE 200809L
#include "run.h"

#include "../common/interrupt.h"
#include "../common/progress.h"
#include "hash.h"
#include "output.h"
#include "survey.h"
#include "walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 4096 };

/* A place in the window. */
struct slot {
    struct file file;
    int error; /* not 0: there is no job, because of this */
};

/* Everything belongs to the main thread; what jobs may touch is said in hash.h and survey.h. */
struct run {
    weft_executor *pool;
    struct interrupt *interrupt;
    struct hashing hashing;
    struct walk *walk;
    struct survey *survey; /* NULL: nobody looks at the progress */
    struct progress progress;
    struct output output;
    bool lines_on_terminal; /* the lines go where the progress line may stand */
    struct slot *window;    /* WINDOW of them, used as a ring */
    size_t oldest, count;
    int64_t limit;
    int status;
};

/* ---- messages ---- */

/* The progress line would stand in the way. */
static FILE *message(struct run *run)
{
    progress_clear(&run->progress);
    fputs("checksum: ", stderr);
    run->status = 1;
    return stderr;
}

/* A name may hold anything; what a terminal would act on is shown as '?'. */
static void print_name(FILE *stream, const char *name)
{
    for (; *name != '\0'; name++) {
        unsigned char byte = (unsigned char)*name;
        fputc(byte < ' ' || byte == 127 ? '?' : byte, stream);
    }
}

static void report(struct run *run, const char *path, int code)
{
    FILE *stream = message(run);

    print_name(stream, path);
    if (code == -ETIMEDOUT) {
        fprintf(stream, ": timed out after %g s\n", (double)run->limit / 1e9);
    } else {
        fprintf(stream, ": %s\n", code > 0 ? strerror(code) : weft_strerror(code));
    }
}

static void give_up(struct run *run, const char *what, int error)
{
    fprintf(message(run), "%s: %s\n", what, strerror(error));
}

/* ---- the window ---- */

static bool stopped(void *data)
{
    const struct run *run = data;

    return weft_future_done(interrupt_future(run->interrupt));
}

/* Takes a walk's item into the window. */
static void admit(struct run *run, const struct walk_item *item)
{
    struct slot *slot = &run->window[(run->oldest + run->count++) % WINDOW];

    *slot = (struct slot){.file = {.hashing = &run->hashing, .path = item->path}, .error = item->error};
    if (slot->error == 0) {
        slot->error = hash_submit(run->pool, &slot->file);
    }
}

/* 1: the window is full; otherwise what walk_next() says. */
static int fill_window(struct run *run)
{
    struct walk_item item;
    int code = 1;

    while (run->count < WINDOW && (code = walk_next(run->walk, &item)) == 1) {
        admit(run, &item);
    }
    return code;
}

static bool oldest_done(const struct run *run)
{
    const struct slot *slot = &run->window[run->oldest];

    return slot->error != 0 || weft_future_done(slot->file.job);
}

/* Prints the oldest file, which is done, and lets it go. */
static void settle_oldest(struct run *run)
{
    struct slot *slot = &run->window[run->oldest];
    int code = slot->error != 0 ? slot->error : hash_settle(&slot->file);

    if (code == 0) {
        output_line(&run->output, slot->file.digest, DIGEST_SIZE, slot->file.path);
    } else {
        report(run, slot->file.path, code);
    }
    free(slot->file.path);
    run->oldest = (run->oldest + 1) % WINDOW;
    run->count--;
}

/* Waits until the oldest file is done, or there is an interruption, or the progress line is due. 0 or a negative errno. */
static int wait_for_oldest(struct run *run)
{
    weft_future *futures[] = {run->window[run->oldest].file.job, interrupt_future(run->interrupt)};
    bool done[2];

    int code = weft_wait(futures, 2, WEFT_FIRST_COMPLETED, progress_interval(&run->progress), done);
    return code == -ETIMEDOUT ? 0 : code;
}

static void show(struct run *run)
{
    if (!progress_shown(&run->progress)) {
        return;
    }
    /* Relaxed: paired with the jobs' additions; a figure to look at. */
    uint64_t bytes = atomic_load_explicit(&run->hashing.bytes, memory_order_relaxed);
    progress_draw(&run->progress, bytes, survey_bytes(run->survey));
}

/* Prints what is done at the front of the window. */
static void settle_front(struct run *run)
{
    if (run->count == 0 || !oldest_done(run)) {
        return;
    }
    while (run->count > 0 && oldest_done(run) && !stopped(run)) {
        settle_oldest(run);
    }
    if (run->lines_on_terminal) {
        progress_clear(&run->progress);
    }
    output_flush(&run->output);
}

/* All files, or those until an interruption; what goes wrong is told. */
static void work(struct run *run)
{
    while (!stopped(run) && run->output.error == 0) {
        int walked = fill_window(run);
        if (walked == -ENOMEM) {
            give_up(run, "cannot walk on", ENOMEM);
            return;
        }
        if (run->count == 0) {
            return;
        }
        settle_front(run);
        show(run);
        if (run->count == 0 || oldest_done(run)) {
            continue;
        }
        int code = wait_for_oldest(run);
        if (code != 0) {
            give_up(run, "cannot wait", -code);
            return;
        }
    }
}

/* ---- the life of a run ---- */

static int open_run(struct run *run, const struct run_options *options)
{
    weft_executor_options pool_options = {.workers = options->workers,
                                          .name = "checksum",
                                          .worker_start = hash_worker_start,
                                          .worker_stop = hash_worker_stop,
                                          .data = &run->hashing};

    run->lines_on_terminal = isatty(STDOUT_FILENO);
    run->limit = options->limit;
    run->hashing.limit = options->limit;
    run->pool = weft_executor_create(&pool_options);
    if (run->pool == NULL) {
        give_up(run, "cannot start the workers", errno);
        return -1;
    }
    int code = options->trace != NULL ? weft_trace_start(run->pool, options->trace) : 0;
    if (code != 0) {
        print_name(message(run), options->trace);
        fprintf(stderr, ": %s\n", weft_strerror(code));
        return -1;
    }
    run->hashing.traced = options->trace != NULL;
    run->interrupt = interrupt_open(run->pool);
    run->window = calloc(WINDOW, sizeof *run->window);
    if (run->interrupt == NULL || run->window == NULL) {
        give_up(run, "cannot start", errno);
        return -1;
    }
    run->hashing.stop_descriptor = interrupt_descriptor(run->interrupt);
    output_start(&run->output, run->hashing.stop_descriptor);
    run->walk = walk_open(options->paths, options->n_paths, stopped, run);
    if (run->walk == NULL) {
        give_up(run, "cannot start", errno);
        return -1;
    }
    if (progress_shown(&run->progress)) {
        run->survey = survey_start(run->pool, options->paths, options->n_paths); /* without it there is only no bar */
    }
    return 0;
}

/* Undoes open_run(), however far it came. */
static void close_run(struct run *run)
{
    progress_clear(&run->progress);
    if (run->pool != NULL) {
        /* After this no job runs and none will: the window may go. */
        weft_executor_shutdown(run->pool, WEFT_CANCEL_ALL, WEFT_FOREVER);
        int code = run->hashing.traced ? weft_trace_stop(run->pool) : 0;
        if (code != 0) {
            give_up(run, "cannot write the trace", -code);
        }
    }
    for (; run->count > 0; run->count--) {
        struct file *file = &run->window[run->oldest].file;
        hash_drop(file);
        free(file->path);
        run->oldest = (run->oldest + 1) % WINDOW;
    }
    survey_close(run->survey);
    walk_close(run->walk);
    free(run->window);
    interrupt_close(run->interrupt);
    if (run->pool != NULL) {
        weft_executor_destroy(run->pool);
    }
}

int run(const struct run_options *options)
{
    struct run run = {.status = 0};
    int signal = 0;

    interrupt_block();
    progress_start(&run.progress, PROGRESS_BYTES);
    int code = hashing_open(&run.hashing);
    if (code != 0) {
        give_up(&run, "cannot set up SHA-256", code);
        return run.status;
    }
    if (open_run(&run, options) == 0) {
        work(&run);
        output_flush(&run.output);
        signal = interrupt_signal(run.interrupt);
        if (run.output.error != 0) {
            give_up(&run, "write error", run.output.error);
        }
    }
    close_run(&run);
    hashing_close(&run.hashing);
    return signal != 0 ? 128 + signal : run.status;
}
