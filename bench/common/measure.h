/* measure.h: what every benchmark program measures with, and how it says what it has found.
 *
 * A program runs one workload of one library once, in a process of its own, and prints a line for each figure: what it
 * is, its unit, its value, with tabs between. bench/run starts the programs again and again, in turns, and makes tables of
 * the lines. So no program repeats, averages or compares anything itself. A program that cannot do its work ends with
 * status 1: figures of half a run would look good.
 *
 * Discipline: one thread, the one that runs main, calls all of this. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a process has used up to now. */
typedef struct bench_usage {
    int64_t time;     /* ns of CLOCK_MONOTONIC */
    int64_t cpu;      /* ns of CPU, all threads */
    int64_t others;   /* ns of CPU, all threads but this one */
    int64_t switches; /* context switches of all threads but this one, voluntary or not */
} bench_usage;

bench_usage bench_usage_read(void);

/* Ns of CLOCK_MONOTONIC. */
int64_t bench_now(void);

/* The most memory that the process has had resident so far, in bytes; never less than what it has now. */
size_t bench_peak_memory(void);

/* The number that stands at argv[i], or `otherwise` if there are fewer; ends the program if it is none. */
size_t bench_argument(int argc, char **argv, int i, size_t otherwise);

/* Prints one figure. */
void bench_report(const char *figure, const char *unit, double value);

/* ns from one moment to another, shared out to n operations. */
double bench_share(int64_t from, int64_t to, size_t n);

/* Ends the program with a message unless `good`. */
void bench_check(int good, const char *what);

/* n zeroed bytes whose pages have all been touched, so that they cost nothing later on. */
void *bench_touched(size_t n);

#ifdef __cplusplus
}
#endif
#endif
