/* far.c: fib with two calls into a shared library at every level, one of which calls back: what a spawn would cost if
 * fork and join in a shared library did nothing for it. */
#include "far.h"
#include "tree.h"

#include <stdint.h>

static void *fib(void *arg)
{
    intptr_t n = (intptr_t)arg;
    if (n < 2)
        return arg;
    far_task left;
    far_fork(&left, fib, (void *)(n - 1));
    intptr_t right = (intptr_t)fib((void *)(n - 2));
    return (void *)((intptr_t)far_join(&left) + right);
}

void tree_start(unsigned workers)
{
    (void)workers;
}

long tree_fib(int n)
{
    return (long)(intptr_t)fib((void *)(intptr_t)n);
}

void tree_stop(void)
{
}
