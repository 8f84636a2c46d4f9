/* measure.c: clocks, memory and the lines that bench/run reads. See measure.h.
 *
 * Peak memory is VmHWM of /proc/self/status, which counts pages that are resident, so memory that a library reserves but
 * does not touch is not held against it, and what it has given back before the peak is not missed. */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static int64_t clock_read(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t bench_now(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

static int64_t switches_of(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (int64_t)usage.ru_nvcsw + usage.ru_nivcsw;
}

bench_usage bench_usage_read(void)
{
    bench_usage u;
    int64_t own, later;
    int tries = 20; /* under a tracer each call takes longer than that */
    /* Both clocks at one moment, as nearly as may be: again if this thread was held up in between. */
    do {
        own = clock_read(CLOCK_THREAD_CPUTIME_ID);
        u.cpu = clock_read(CLOCK_PROCESS_CPUTIME_ID);
        later = clock_read(CLOCK_THREAD_CPUTIME_ID);
    } while (later - own > 3000 && --tries > 0);
    u.others = u.cpu - (own + later) / 2;
    u.switches = switches_of(RUSAGE_SELF) - switches_of(RUSAGE_THREAD);
    u.time = bench_now();
    return u;
}

void bench_check(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

size_t bench_peak_memory(void)
{
    char line[256];
    size_t kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    bench_check(status != NULL, "/proc/self/status");
    while (fgets(line, sizeof line, status))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kilobytes = strtoul(line + 6, NULL, 10);
    fclose(status);
    return kilobytes * 1024;
}

size_t bench_argument(int argc, char **argv, int i, size_t otherwise)
{
    if (i >= argc)
        return otherwise;
    char *end;
    size_t value = strtoul(argv[i], &end, 10);
    bench_check(*argv[i] && !*end, "reading a number from the command line");
    return value;
}

void bench_report(const char *figure, const char *unit, double value)
{
    printf("%s\t%s\t%.2f\n", figure, unit, value);
}

double bench_share(int64_t from, int64_t to, size_t n)
{
    return (double)(to - from) / (double)n;
}

void *bench_touched(size_t n)
{
    void *memory = malloc(n);
    bench_check(memory != NULL, "malloc");
    memset(memory, 1, n); /* not calloc: the compiler may turn malloc and zeros into it, which touches nothing */
    memset(memory, 0, n);
    return memory;
}
