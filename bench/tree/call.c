/* call.c: fib with a plain call at every level, through a pointer that the compiler cannot see through: what a spawn
 * would cost if fork and join were free. */
#include "tree.h"

#include <stdint.h>

static void *fib(void *arg);
static void *(*volatile function)(void *) = fib;

static void *fib(void *arg)
{
    intptr_t n = (intptr_t)arg;
    if (n < 2)
        return arg;
    intptr_t right = (intptr_t)function((void *)(n - 2));
    return (void *)((intptr_t)function((void *)(n - 1)) + right);
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
