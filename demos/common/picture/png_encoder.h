/* png_encoder.h: pixels to a PNG stream.
 *
 * Any number of threads may encode at the same time, each into a stream of its own. */
#ifndef DEMOS_PNG_ENCODER_H
#define DEMOS_PNG_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* How hard to compress: 1 is quick, 9 is small; -1 leaves it to zlib. */
enum { PNG_QUICK_LEVEL = 2, PNG_DEFAULT_LEVEL = -1 };

/* Writes width x height pixels, red, green and blue a byte each, row by row without gaps. Asks stopped(data) before
 * each row. NULL, or in words what went wrong; "stopped" if told so. The stream stays open, and what was written to it.
 * */
const char *png_encode(FILE *stream, const unsigned char *pixels, size_t width, size_t height, int level,
                       bool (*stopped)(void *data), void *data);

#endif
