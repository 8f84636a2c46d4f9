/* weft_inline.c: fib with a fork and a join at every level, by weft/fork_inline.h. The calling thread sleeps
 * meanwhile. */
#include "measure.h"
#include "tree.h"

#include <weft/fork_inline.h>
#include <weft/weft.h>

static weft_executor *executor;

void tree_start(unsigned workers)
{
    executor = weft_executor_create(&(weft_executor_options){.workers = workers});
    bench_check(executor != NULL, "weft_executor_create");
}

static void *fib(void *arg)
{
    intptr_t n = (intptr_t)arg;
    if (n < 2)
        return arg;
    weft_task left;
    weft_fork_inline(&left, fib, (void *)(n - 1));
    intptr_t right = (intptr_t)fib((void *)(n - 2));
    return (void *)((intptr_t)weft_join_inline(&left, fib, (void *)(n - 1)) + right);
}

long tree_fib(int n)
{
    void *value = NULL;
    bench_check(weft_run(executor, fib, (void *)(intptr_t)n, &value) == 0, "weft_run");
    return (long)(intptr_t)value;
}

void tree_stop(void)
{
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
}
