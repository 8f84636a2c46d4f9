/* loops.h: parallel loops; every library behind this face. No library is told how many elements make a good piece.
 *
 * The bodies are in body.c, compiled once for all, and handle a range a call: so what differs between the libraries is
 * how they cut the range and who runs what. */
#ifndef BENCH_LOOPS_H
#define BENCH_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* body.c */
typedef uint64_t loops_body(size_t begin, size_t end, const void *data); /* what the range adds up to */
loops_body loops_tiny;                                                   /* an element is a few instructions */
loops_body loops_steep; /* the last elements cost thousands of times what the first do */
double loops_add(size_t begin, size_t end, const double *terms, double sum);

/* One pool of `workers` threads a process. */
void loops_start(unsigned workers);
uint64_t loops_for(size_t n, loops_body *body, const void *data); /* parallel for; each piece adds to one atomic */
double loops_sum(const double *terms, size_t n);                  /* parallel reduce */
void loops_stop(void);

#ifdef __cplusplus
}
#endif
#endif
