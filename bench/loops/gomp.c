/* gomp.c: OpenMP loops in the runtime of the compiler: chunks for the taking where the cost is not known (dynamic, a
 * thousandth of the range each), an even share for each thread in the sum. The calling thread is one of the workers. */
#include "loops.h"

static int threads;

void loops_start(unsigned workers)
{
    threads = (int)workers;
}

uint64_t loops_for(size_t n, loops_body *body, const void *data)
{
    size_t chunk = n > 1000 ? n / 1000 : 1, chunks = (n + chunk - 1) / chunk;
    uint64_t sum = 0;
#pragma omp parallel for schedule(dynamic) num_threads(threads) reduction(+ : sum)
    for (size_t i = 0; i < chunks; i++) {
        size_t begin = i * chunk, end = n - begin > chunk ? begin + chunk : n;
        sum += body(begin, end, data);
    }
    return sum;
}

double loops_sum(const double *terms, size_t n)
{
    double sum = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : sum)
    for (int i = 0; i < threads; i++)
        sum += loops_add(n / (size_t)threads * (size_t)i, i + 1 < threads ? n / (size_t)threads * (size_t)(i + 1) : n,
                         terms, 0);
    return sum;
}

void loops_stop(void)
{
}
