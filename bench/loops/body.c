/* body.c: what the elements of the loops cost. */
#include "loops.h"

static uint64_t step(uint64_t x)
{
    x ^= x >> 31;
    return x * UINT64_C(0x9e3779b97f4a7c15);
}

uint64_t loops_tiny(size_t begin, size_t end, const void *data)
{
    uint64_t sum = 0;
    (void)data;
    for (size_t i = begin; i < end; i++)
        sum += step(i);
    return sum;
}

uint64_t loops_steep(size_t begin, size_t end, const void *data)
{
    uint64_t sum = 0;
    (void)data;
    for (size_t i = begin; i < end; i++) {
        uint64_t x = i;
        for (size_t steps = i / 16 * (i / 16); steps > 0; steps -= steps < 100 ? steps : 100)
            x = step(x);
        sum += x;
    }
    return sum;
}

double loops_add(size_t begin, size_t end, const double *terms, double sum)
{
    for (size_t i = begin; i < end; i++)
        sum += terms[i];
    return sum;
}
