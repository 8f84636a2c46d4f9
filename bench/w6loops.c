/* w6loops.c: parallel loops of which nothing is known in advance: many tiny elements, a few of very different cost, a
 * sum of ten million doubles, and a loop that is over at once.
 *
 *     bench_w6loops_LIBRARY [workers] */
#include "loops/loops.h"
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>

enum { TINY = 100000000, STEEP = 20000, SUM = 10000000, SMALL = 1000, SMALL_TIMES = 20000 };

static unsigned workers;

static void report(const char *what, const char *unit, int64_t from, int64_t to, size_t by)
{
    char figure[80];
    snprintf(figure, sizeof figure, "%s, workers: %u", what, workers);
    bench_report(figure, unit, bench_share(from, to, by));
}

static void loop(const char *what, size_t n, loops_body *body)
{
    int64_t before = bench_now();
    uint64_t sum = loops_for(n, body, NULL);
    int64_t after = bench_now();
    bench_check(sum == body(0, n, NULL), what);
    report(what, "ms", before, after, 1000000);
}

static void sums(void)
{
    double *terms = bench_touched(SUM * sizeof *terms);
    for (size_t i = 0; i < SUM; i++)
        terms[i] = (double)(i % 1000);
    double wanted = loops_add(0, SUM, terms, 0);
    bench_check(loops_sum(terms, SUM) == wanted, "the sum");
    int64_t before = bench_now();
    bench_check(loops_sum(terms, SUM) == wanted, "the sum");
    report("sum of 10M doubles", "ms", before, bench_now(), 1000000);
    free(terms);
}

static void small_loops(void)
{
    int64_t before = bench_now();
    for (int i = 0; i < SMALL_TIMES; i++)
        loops_for(SMALL, loops_tiny, NULL);
    report("a loop of 1000 tiny elements", "us", before, bench_now(), (size_t)SMALL_TIMES * 1000);
}

int main(int argc, char **argv)
{
    workers = (unsigned)bench_argument(argc, argv, 1, 2);
    loops_start(workers);
    loop("100M tiny elements", TINY, loops_tiny);
    loop("20k elements of steep cost", STEEP, loops_steep);
    sums();
    small_loops();
    loops_stop();
    return 0;
}
