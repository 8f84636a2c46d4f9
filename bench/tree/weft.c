/* weft.c: fib through futures: a weft_submit and a weft_await at every level. The calling thread sleeps meanwhile. */
#include "measure.h"
#include "tree.h"

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
    void *left = NULL;
    weft_future *future = weft_submit(executor, fib, (void *)(n - 1));
    intptr_t right = (intptr_t)fib((void *)(n - 2));
    bench_check(weft_await(future, &left) == 0, "weft_await");
    return (void *)((intptr_t)left + right);
}

long tree_fib(int n)
{
    void *value = NULL;
    bench_check(weft_await(weft_submit(executor, fib, (void *)(intptr_t)n), &value) == 0, "weft_await");
    return (long)(intptr_t)value;
}

void tree_stop(void)
{
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
}
