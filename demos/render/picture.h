/* picture.h: writing the finished picture to a PNG file.
 *
 * The file is opened before the picture is computed, so that a mistake in its name costs no computation. It is written
 * beside the place where it belongs and moved there when it is complete: whatever happens, there is the old picture or the
 * new one under its name, never half of one. (What is not a regular file, such as /dev/null, is written to directly.)
 *
 * One thread. */
#ifndef RENDER_PICTURE_H
#define RENDER_PICTURE_H

#include <stdbool.h>
#include <stddef.h>

struct picture_file {
    const char *path;
    char *part;     /* the path that is written to; NULL: `path` itself */
    int descriptor; /* -1: not open */
};

/* 0 or an errno. */
int picture_open(struct picture_file *file, const char *path);

/* Writes, and moves the file to its place. Asks `stopped` before each row. NULL, or in words what went wrong; "stopped" if told so. */
const char *picture_write(struct picture_file *file, const unsigned char *pixels, size_t width, size_t height,
                          bool (*stopped)(void *data), void *data);

/* Closes what is still open and removes what is not complete; the end of every path. */
void picture_abandon(struct picture_file *file);

#endif
