/* gomp.c: fib with an OpenMP task at every level, in the runtime of the compiler. The calling thread is one of the
 * workers. */
#include "tree.h"

static int threads;

void tree_start(unsigned workers)
{
    threads = (int)workers;
}

static long fib(int n)
{
    if (n < 2)
        return n;
    long left = 0;
#pragma omp task default(none) firstprivate(n) shared(left)
    left = fib(n - 1);
    long right = fib(n - 2);
#pragma omp taskwait
    return left + right;
}

long tree_fib(int n)
{
    long value = 0;
#pragma omp parallel num_threads(threads)
#pragma omp single
    value = fib(n);
    return value;
}

void tree_stop(void)
{
}
