/* w6queens.c: W6, queens on a board of 12: a search with up to twelve tasks a node, and no node known to be the last.
 *
 *     bench_w6queens_LIBRARY [workers] */
#include "measure.h"
#include "queens/queens.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    unsigned workers = (unsigned)bench_argument(argc, argv, 1, 2);
    char figure[64];
    queens_start(workers);
    bench_usage before = bench_usage_read();
    size_t solutions = queens_count();
    bench_usage after = bench_usage_read();
    bench_check(solutions == 14200, "the number of solutions");
    snprintf(figure, sizeof figure, "the search, workers: %u", workers);
    bench_report(figure, "ms", bench_share(before.time, after.time, 1000000));
    snprintf(figure, sizeof figure, "CPU time of it by %u", workers);
    bench_report(figure, "ms", bench_share(before.cpu, after.cpu, 1000000));
    queens_stop();
    return 0;
}
