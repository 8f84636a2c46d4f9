/* output.h: the lines of `sha256sum`, on stdout, without getting stuck there.
 *
 * A reader that does not read (a pager, a full pipe) would hold a plain write() for ever, and Ctrl-C with it. So a write is
 * made only when it will not wait, or the wait ends when everything is to stop.
 *
 * One thread. */
#ifndef CHECKSUM_OUTPUT_H
#define CHECKSUM_OUTPUT_H

#include <stddef.h>

/* What poll() calls writable takes this much without waiting: PIPE_BUF, on Linux. */
enum { OUTPUT_BUFFER = 4096 };

/* All fields belong to output.c; `error` may be read. */
struct output {
    int stop_descriptor;
    int error; /* the errno of the first write that failed; from then on nothing is written */
    size_t used;
    char buffer[OUTPUT_BUFFER];
};

/* stop_descriptor: readable when everything is to stop. */
void output_start(struct output *output, int stop_descriptor);

/* Buffers "<digest>  <path>\n". As sha256sum does, a path with a backslash, line feed or carriage return has these
 * written as \\, \n and \r, and the line then begins with a backslash. */
void output_line(struct output *output, const unsigned char *digest, size_t digest_size, const char *path);

/* Writes out what is buffered. When everything is to stop: only what can be written at once. */
void output_flush(struct output *output);

#endif
