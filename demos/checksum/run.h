/* run.h: the whole of a run: walk, hash, print, in that order for each file and all at once for many. */
#ifndef CHECKSUM_RUN_H
#define CHECKSUM_RUN_H

#include <stddef.h>
#include <stdint.h>

struct run_options {
    char **paths;
    size_t n_paths;
    unsigned workers;  /* 0: as many as there are CPUs */
    int64_t limit;     /* ns a file; WEFT_FOREVER: none */
    const char *trace; /* a file for weft_trace_start; NULL: none */
};

/* The exit status: 0; 1 if something went wrong, which stderr tells; 128 + n after signal n. */
int run(const struct run_options *options);

#endif
