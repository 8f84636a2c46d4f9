/* w6uts.c: W6, the tree T1 of the unbalanced tree search: tasks of about a hundred nanoseconds, in subtrees whose sizes
 * differ by orders of magnitude.
 *
 *     bench_w6uts_LIBRARY [workers] */
#include "measure.h"
#include "uts/uts.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    unsigned workers = (unsigned)bench_argument(argc, argv, 1, 2);
    char figure[64];
    uts_start(workers);
    bench_usage before = bench_usage_read();
    size_t nodes = uts_walk(uts_root());
    bench_usage after = bench_usage_read();
    bench_check(nodes == 4130071, "the number of nodes");
    snprintf(figure, sizeof figure, "the tree, workers: %u", workers);
    bench_report(figure, "ms", bench_share(before.time, after.time, 1000000));
    snprintf(figure, sizeof figure, "CPU time of it by %u", workers);
    bench_report(figure, "ms", bench_share(before.cpu, after.cpu, 1000000));
    uts_stop();
    return 0;
}
