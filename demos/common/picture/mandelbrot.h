/* mandelbrot.h: the picture as a function: which colour has this rectangle of it?
 *
 * Nothing here knows of the other rectangles, so any number of threads may compute at the same time. */
#ifndef DEMOS_MANDELBROT_H
#define DEMOS_MANDELBROT_H

#include <stdbool.h>
#include <stddef.h>

enum { CHANNELS = 3 }; /* red, green, blue: a byte each */

/* What part of the plane is shown, how large and how exactly. Read only while it is drawn. */
struct view {
    double center_x, center_y;
    double zoom; /* 1 shows the whole set */
    size_t width, height;
    long iterations; /* after which a point counts as inside */
};

/* A part of the picture, in pixels. */
struct rectangle {
    size_t left, top, width, height;
};

/* Draws `part` into `pixels`, row by row without gaps. Asks `stopped` before each pixel, and gives up if it says yes:
 * then false, and the pixels are not to be used. */
bool mandelbrot_draw(const struct view *view, const struct rectangle *part, unsigned char *pixels,
                     bool (*stopped)(void));

#endif
