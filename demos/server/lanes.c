/* lanes.c: a ring of spans for each worker.
 *
 * Each ring is written by its worker and read by the thread of the server, under a mutex of its own that is almost
 * never contended: a piece of work takes milliseconds, and the reader comes some times a second. Pieces of one job that
 * follow one another closely become one span, so a ring reaches many seconds back. */
#include "lanes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static const int64_t closely = 300000; /* ns */

/* Everything under the mutex: written by the worker, read by anyone. */
struct lane {
    pthread_mutex_t mutex;
    struct span spans[MOST_SPANS]; /* a ring: span number n is at n % MOST_SPANS */
    size_t count;                  /* how many there ever were */
    uint64_t parks;                /* of the worker, when the last one began */
};

struct lanes {
    struct lane lanes[MOST_LANES];
    /* Counted up by the jobs, read by anyone. Relaxed: only counts, from which nobody concludes that anything else has
     * happened. */
    _Atomic(uint64_t) waits[WAIT_BUCKETS], waited;
    _Atomic(unsigned) used; /* raised by the jobs, read by anyone; relaxed for the same reason */
};

struct lanes *lanes_create(void)
{
    struct lanes *lanes = calloc(1, sizeof *lanes);

    for (size_t i = 0; lanes != NULL && i < MOST_LANES; i++) {
        pthread_mutex_init(&lanes->lanes[i].mutex, NULL);
    }
    return lanes;
}

void lanes_destroy(struct lanes *lanes)
{
    for (size_t i = 0; lanes != NULL && i < MOST_LANES; i++) {
        pthread_mutex_destroy(&lanes->lanes[i].mutex);
    }
    free(lanes);
}

/* The calling worker's, or NULL. */
static struct lane *own_lane(struct lanes *lanes)
{
    int worker = weft_worker_index();

    return worker >= 0 && worker < MOST_LANES ? &lanes->lanes[worker] : NULL;
}

static struct span *last_span(struct lane *lane)
{
    return lane->count > 0 ? &lane->spans[(lane->count - 1) % MOST_SPANS] : NULL;
}

/* For the calling worker, whose index is below MOST_LANES. */
static void count_lane(struct lanes *lanes)
{
    unsigned needed = (unsigned)weft_worker_index() + 1;
    unsigned used = atomic_load_explicit(&lanes->used, memory_order_relaxed);

    while (used < needed && !atomic_compare_exchange_weak_explicit(&lanes->used, &used, needed, memory_order_relaxed,
                                                                   memory_order_relaxed)) {
    }
}

void lanes_begin(struct lanes *lanes, uint64_t job, bool stolen)
{
    struct lane *lane = own_lane(lanes);
    if (lane == NULL) {
        return;
    }
    count_lane(lanes);
    weft_stats stats = {0};
    weft_worker_stats(weft_executor_current(), (unsigned)weft_worker_index(), &stats);
    int64_t now = weft_now();
    pthread_mutex_lock(&lane->mutex);
    struct span *last = last_span(lane);
    if (last != NULL && last->job == job && last->stolen == stolen && now - last->end < closely) {
        last->end = 0;
    } else {
        lane->spans[lane->count++ % MOST_SPANS] =
            (struct span){.begin = now, .job = job, .stolen = stolen, .parked = stats.parks != lane->parks};
    }
    lane->parks = stats.parks;
    pthread_mutex_unlock(&lane->mutex);
}

void lanes_end(struct lanes *lanes, bool stopped)
{
    struct lane *lane = own_lane(lanes);
    if (lane == NULL) {
        return;
    }
    pthread_mutex_lock(&lane->mutex);
    struct span *last = last_span(lane);
    last->end = weft_now();
    last->stopped = stopped;
    pthread_mutex_unlock(&lane->mutex);
}

void lanes_started(struct lanes *lanes, int64_t waited)
{
    size_t bucket = 0;

    while (bucket + 1 < WAIT_BUCKETS && waited >> (bucket + 10) > 0) {
        bucket++;
    }
    atomic_fetch_add_explicit(&lanes->waits[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&lanes->waited, (uint64_t)waited, memory_order_relaxed);
}

unsigned lanes_used(struct lanes *lanes)
{
    return atomic_load_explicit(&lanes->used, memory_order_relaxed);
}

size_t lanes_read(struct lanes *lanes, unsigned worker, int64_t since, struct span spans[MOST_SPANS], uint64_t *parks)
{
    struct lane *lane = &lanes->lanes[worker];
    size_t count = 0;

    pthread_mutex_lock(&lane->mutex);
    size_t first = lane->count > MOST_SPANS ? lane->count - MOST_SPANS : 0;
    for (size_t i = first; i < lane->count; i++) {
        const struct span *span = &lane->spans[i % MOST_SPANS];
        if (span->end == 0 || span->end >= since) {
            spans[count++] = *span;
        }
    }
    *parks = lane->parks;
    pthread_mutex_unlock(&lane->mutex);
    return count;
}

void lanes_waits(struct lanes *lanes, uint64_t buckets[WAIT_BUCKETS], uint64_t *sum)
{
    for (size_t i = 0; i < WAIT_BUCKETS; i++) {
        buckets[i] = atomic_load_explicit(&lanes->waits[i], memory_order_relaxed);
    }
    *sum = atomic_load_explicit(&lanes->waited, memory_order_relaxed);
}
