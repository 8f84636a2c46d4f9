/* primes.c: the sieve of Eratosthenes, in windows that fit into the first level of cache.
 *
 * Only odd numbers have a place. A window starts where the last one ended; each small prime remembers the place of its
 * next multiple there, so nothing is divided after the start. Between two windows, a fraction of a millisecond, the job
 * looks whether anybody still waits for the answer. */
#include "compute.h"

#include <weft/weft.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 32768 }; /* places, a byte each; one place is one odd number */

/* The odd primes up to the square root of the largest number. */
struct base {
    size_t n;
    uint32_t *prime; /* ascending */
    uint64_t *next;  /* place of the next odd multiple that is to be struck out; place i stands for 2 * i + 1 */
};

static uint32_t square_root(int64_t number)
{
    uint64_t root = 0;

    for (uint64_t bit = UINT64_C(1) << 20; bit != 0; bit >>= 1) {
        if ((root + bit) * (root + bit) <= (uint64_t)number) {
            root += bit;
        }
    }
    return (uint32_t)root;
}

static void free_base(struct base *base)
{
    free(base->prime);
    free(base->next);
}

/* The primes among the small numbers, by a sieve in one piece. False: no memory. */
static bool find_base(struct base *base, uint32_t largest)
{
    size_t places = (size_t)largest / 2 + 1;
    unsigned char *struck = calloc(places, 1);

    base->prime = malloc(places * sizeof *base->prime);
    base->next = malloc(places * sizeof *base->next);
    if (struck == NULL || base->prime == NULL || base->next == NULL) {
        free(struck);
        return false;
    }
    for (uint32_t number = 3; number <= largest; number += 2) {
        if (struck[number / 2]) {
            continue;
        }
        uint64_t square = (uint64_t)number * number;
        base->prime[base->n] = number;
        base->next[base->n++] = square / 2;
        for (uint64_t multiple = square; multiple <= largest; multiple += 2 * (uint64_t)number) {
            struck[multiple / 2] = 1;
        }
    }
    free(struck);
    return true;
}

/* Counts what is left among the places first <= place < end, at most WINDOW of them. */
static int64_t sieve_window(struct base *base, uint64_t first, uint64_t end)
{
    unsigned char struck[WINDOW] = {0};
    size_t length = (size_t)(end - first);
    int64_t count = 0;

    for (size_t i = 0; i < base->n && (uint64_t)base->prime[i] * base->prime[i] / 2 < end; i++) {
        uint64_t place = base->next[i];
        for (; place < end; place += base->prime[i]) {
            struck[place - first] = 1;
        }
        base->next[i] = place;
    }
    for (size_t i = 0; i < length; i++) {
        count += !struck[i];
    }
    return count;
}

int count_primes(int64_t last, int64_t *count)
{
    struct base base = {0};
    int code = 0;

    *count = last >= 2; /* the even one */
    if (last < 3) {
        return 0;
    }
    if (!find_base(&base, square_root(last))) {
        free_base(&base);
        return ENOMEM;
    }
    uint64_t places = (uint64_t)(last - 1) / 2 + 1; /* those of the odd numbers up to the last */
    for (uint64_t first = 1; first < places && code == 0; first += WINDOW) {
        *count += sieve_window(&base, first, first + WINDOW < places ? first + WINDOW : places);
        code = weft_cancelled() ? ECANCELED : 0;
    }
    free_base(&base);
    return code;
}
