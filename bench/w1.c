/* w1.c: W1, fork-join at its finest, by the calls that are made for it: fib(n) with a task at every level.
 *
 *     bench_w1_LIBRARY [n [workers]]
 *
 * As fib.c, which measures jobs with futures on the way; there the tree is smaller. A spawn is one task made, run and
 * joined, with the call beside it. */
#include "measure.h"
#include "tree.h"

#include <stdio.h>

static long plain(int n)
{
    long a = 0, b = 1;
    for (; n > 0; n--) {
        long sum = a + b;
        a = b;
        b = sum;
    }
    return a;
}

int main(int argc, char **argv)
{
    int n = (int)bench_argument(argc, argv, 1, 37);
    unsigned workers = (unsigned)bench_argument(argc, argv, 2, 1);
    size_t spawns = (size_t)plain(n + 1) - 1;
    char figure[64];
    tree_start(workers);
    bench_check(tree_fib(n < 20 ? n : 20) == plain(n < 20 ? n : 20), "fib");
    bench_usage before = bench_usage_read();
    long value = tree_fib(n);
    bench_usage after = bench_usage_read();
    bench_check(value == plain(n), "fib");
    snprintf(figure, sizeof figure, "a spawn, workers: %u", workers);
    bench_report(figure, "ns", bench_share(before.time, after.time, spawns));
    snprintf(figure, sizeof figure, "CPU time of it, workers: %u", workers);
    bench_report(figure, "ns", bench_share(before.cpu, after.cpu, spawns));
    tree_stop();
    return 0;
}
