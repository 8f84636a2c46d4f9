/* run.h: the whole of a run: draw the tiles, in time or not, and write the picture. */
#ifndef RENDER_RUN_H
#define RENDER_RUN_H

#include "../common/picture/mandelbrot.h"

#include <stdint.h>

struct run_options {
    struct view view;
    const char *path;
    unsigned workers; /* 0: as many as there are CPUs */
    int64_t limit;    /* ns for all tiles together; WEFT_FOREVER: none */
};

/* The exit status: 0; 1 if something went wrong, which stderr tells; 128 + n after signal n. */
int run(const struct run_options *options);

#endif
