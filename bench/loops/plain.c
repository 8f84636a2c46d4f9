/* plain.c: the loops without any library, on one thread: what the cutting and sharing out of a loop is to be measured
 * against. */
#include "loops.h"

void loops_start(unsigned workers)
{
    (void)workers;
}

uint64_t loops_for(size_t n, loops_body *body, const void *data)
{
    return body(0, n, data);
}

double loops_sum(const double *terms, size_t n)
{
    return loops_add(0, n, terms, 0);
}

void loops_stop(void)
{
}
