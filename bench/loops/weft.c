/* weft.c: weft_parallel_for and weft_parallel_reduce, with a grain of 0, called from outside. */
#include "loops.h"
#include "measure.h"

#include <stdatomic.h>
#include <weft/weft.h>

static weft_executor *executor;

typedef struct loop {
    loops_body *body;
    const void *data;
    _Atomic(uint64_t) sum;
} loop;

void loops_start(unsigned workers)
{
    executor = weft_executor_create(&(weft_executor_options){.workers = workers});
    bench_check(executor != NULL, "weft_executor_create");
}

static void piece(size_t begin, size_t end, void *data)
{
    loop *l = data;
    atomic_fetch_add_explicit(&l->sum, l->body(begin, end, l->data), memory_order_relaxed);
}

uint64_t loops_for(size_t n, loops_body *body, const void *data)
{
    loop l = {body, data, 0};
    bench_check(weft_parallel_for(executor, 0, n, 0, piece, &l) == 0, "weft_parallel_for");
    return l.sum;
}

static void add(size_t begin, size_t end, void *accumulator, void *terms)
{
    double *sum = accumulator;
    *sum = loops_add(begin, end, terms, *sum);
}

static void add_both(void *into, const void *from, void *terms)
{
    (void)terms;
    *(double *)into += *(const double *)from;
}

double loops_sum(const double *terms, size_t n)
{
    double zero = 0, sum = 0;
    bench_check(
        weft_parallel_reduce(executor, 0, n, 0, sizeof sum, &zero, add, add_both, (void *)(uintptr_t)terms, &sum) == 0,
        "weft_parallel_reduce");
    return sum;
}

void loops_stop(void)
{
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
}
