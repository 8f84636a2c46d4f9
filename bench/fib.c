/* fib.c: fork-join at its finest, a task at every level of fib(n).
 *
 *     bench_fib_LIBRARY [n [workers]]
 *
 * A figure is the time of the whole by the number of tasks made, fib(n + 1) - 1, so the call beside each task and the
 * two leaves at the end are part of what a task costs. */
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
    int n = (int)bench_argument(argc, argv, 1, 30);
    unsigned workers = (unsigned)bench_argument(argc, argv, 2, 1);
    size_t tasks = (size_t)plain(n + 1) - 1;
    char figure[64];
    tree_start(workers);
    bench_check(tree_fib(n < 20 ? n : 20) == plain(n < 20 ? n : 20), "fib");
    bench_usage before = bench_usage_read();
    long value = tree_fib(n);
    bench_usage after = bench_usage_read();
    bench_check(value == plain(n), "fib");
    snprintf(figure, sizeof figure, "a task, workers: %u", workers);
    bench_report(figure, "ns", bench_share(before.time, after.time, tasks));
    snprintf(figure, sizeof figure, "CPU time of it, workers: %u", workers);
    bench_report(figure, "ns", bench_share(before.cpu, after.cpu, tasks));
    tree_stop();
    return 0;
}
