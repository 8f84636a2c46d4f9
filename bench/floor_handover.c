/* floor_handover.c: what it costs to hand objects to another thread and to have them back, without a pool.
 *
 *     bench_floor_handover
 *
 * W2 with nothing but what no pool can leave out whose jobs are objects of 64 bytes with a word that settles them once:
 * one thread fills each object in and makes it known, 64 at a time; another claims it by a compare-and-swap, since it
 * could have been cancelled, calls its function, and settles it by an exchange, since somebody could wait; and the first
 * takes its result. There is no queue, nothing is allocated, nobody sleeps. */
#include "measure.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { MILLION = 1000000, BATCH = 64 };
enum { PENDING, RUNNING, DONE };

typedef struct object {
    _Atomic(uint64_t) word;
    void *(*fn)(void *);
    void *arg, *value;
    char rest[32];
} object;
_Static_assert(sizeof(object) == 64, "a cache line");

static object *objects;
static _Atomic(size_t) known; /* how many objects are filled in, of all batches together */
static _Atomic(size_t) over;  /* how many are settled; the last one says so */

static void *empty(void *arg)
{
    return arg;
}

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void run(object *o)
{
    uint64_t pending = PENDING;
    bench_check(atomic_compare_exchange_strong_explicit(&o->word, &pending, RUNNING, memory_order_acq_rel,
                                                        memory_order_relaxed),
                "claim");
    o->value = o->fn(o->arg);
    atomic_exchange_explicit(&o->word, DONE, memory_order_acq_rel);
}

static void *serve(void *arg)
{
    for (size_t i = 0; i < 2 * (size_t)MILLION;) {
        size_t end = atomic_load_explicit(&known, memory_order_acquire);
        if (i == end)
            pause_briefly();
        for (; i < end; i++)
            run(&objects[i % MILLION]);
        if (i % MILLION == 0)
            atomic_store_explicit(&over, i, memory_order_release);
    }
    return arg;
}

static void hand_over(size_t from, const char *wall, const char *cpu)
{
    bench_usage before = bench_usage_read();
    for (size_t i = 0; i < MILLION; i++) {
        object *o = &objects[i];
        o->fn = empty;
        o->arg = o;
        atomic_store_explicit(&o->word, PENDING, memory_order_relaxed);
        if ((i + 1) % BATCH == 0 || i + 1 == MILLION)
            atomic_store_explicit(&known, from + i + 1, memory_order_release);
    }
    while (atomic_load_explicit(&over, memory_order_acquire) < from + MILLION)
        pause_briefly();
    for (size_t i = 0; i < MILLION; i++)
        bench_check(atomic_load_explicit(&objects[i].word, memory_order_acquire) == DONE &&
                        objects[i].value == &objects[i],
                    "the result");
    bench_usage after = bench_usage_read();
    bench_report(wall, "ns", bench_share(before.time, after.time, MILLION));
    bench_report(cpu, "ns", bench_share(before.cpu, after.cpu, MILLION));
}

int main(void)
{
    const size_t size = (size_t)MILLION * sizeof *objects;
    pthread_t thread;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bench_check(memory != MAP_FAILED, "memory");
    madvise(memory, size, MADV_HUGEPAGE);
    objects = memory;
    bench_check(pthread_create(&thread, NULL, serve, NULL) == 0, "pthread_create");
    hand_over(0, "hand over and take back, fresh memory", "CPU time of it");
    hand_over(MILLION, "hand over and take back, again", "CPU time of it, again");
    pthread_join(thread, NULL);
    munmap(memory, size);
    return 0;
}
