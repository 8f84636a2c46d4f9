/* svg.h: a trace as a picture. */
#ifndef TIMELINE_SVG_H
#define TIMELINE_SVG_H

#include "lanes.h"

#include <stdio.h>

struct svg_options {
    double from, to; /* us; what is shown */
    int width;       /* pixels */
};

/* Writes the picture; whether that went well, the stream knows (ferror). False: no memory. */
bool svg_write(FILE *out, const struct trace *trace, const struct svg_options *options);

#endif
