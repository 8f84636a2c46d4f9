/* points.c: see points.h. */
#define _GNU_SOURCE
#include "points.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PATIENCE_S = 60 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t seed;                   /* written once, by make_seed */
static _Atomic(uint64_t) threads;       /* how many threads have a sequence */
static _Thread_local uint64_t sequence; /* state of this thread's sequence; 0: none yet */

/* What points_at asked for; the thread's own. */
static _Thread_local struct {
    void (*act)(void *data); /* NULL: nothing, or it has been done */
    void *data;
    uint64_t left; /* points until then */
} visit;

static void make_seed(void)
{
    const char *text = getenv("WEFT_SEED");
    struct timespec now;

    if (text != NULL) {
        seed = strtoull(text, NULL, 0);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    seed = (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec;
}

/* splitmix64: spreads consecutive numbers over the whole range. */
static uint64_t spread(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t points_random(uint64_t n)
{
    if (sequence == 0) {
        pthread_once(&once, make_seed);
        sequence = spread(seed + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed)) | 1;
    }
    sequence ^= sequence << 13;
    sequence ^= sequence >> 7;
    sequence ^= sequence << 17;
    return (sequence >> 16) % n;
}

void points_at(uint64_t k, void (*act)(void *data), void *data)
{
    visit.act = act;
    visit.data = data;
    visit.left = k;
}

bool points_reached(void)
{
    bool reached = visit.act == NULL;
    visit.act = NULL;
    return reached;
}

static void call_visit(void)
{
    void (*act)(void *data) = visit.act;
    visit.act = NULL;
    act(visit.data);
}

void weft__point(void)
{
    uint64_t r = points_random(256);

    if (visit.act != NULL && --visit.left == 0) {
        call_visit();
    }

    if (r == 0) {
        sched_yield();
    } else if (r < 16) {
        for (uint64_t i = 0; i < r * 8; i++) {
            weft__pause();
        }
    }
}

uint64_t points_rounds(uint64_t n)
{
    const char *factor = getenv("WEFT_TEST_FACTOR");

    if (factor != NULL) {
        n *= strtoull(factor, NULL, 0);
    }
    n /= POINTS_TSAN ? 20 : POINTS_ASAN ? 4 : 1;
    return n > 0 ? n : 1;
}

static int64_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec;
}

bool points_await(const _Atomic(uint64_t) *counter, uint64_t least)
{
    int64_t end = seconds() + PATIENCE_S;

    for (unsigned i = 1; atomic_load_explicit(counter, memory_order_acquire) < least; i++) {
        sched_yield();
        if (i % 1024 == 0 && seconds() > end) {
            return false;
        }
    }
    return true;
}

int points_result(int failed)
{
    if (failed != 0) {
        pthread_once(&once, make_seed);
        fprintf(stderr, "WEFT_SEED=%llu\n", (unsigned long long)seed);
    }
    return failed;
}
