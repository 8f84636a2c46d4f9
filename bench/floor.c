/* floor.c: what the machine itself allows: the least that the operations cost of which every library is made.
 *
 *     bench_floor_machine
 *
 * A target that names a time and no rival is to be read beside these: on another machine both move together. The
 * round trips are those of two threads that do nothing else than wake one another. */
#include "measure.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MILLION = 1000000, TRIPS = 20000, PAUSED_TRIPS = 300 };

typedef struct object {
    struct object *next, **link;
    _Atomic(uint64_t) word;
    char rest[40];
} object;
_Static_assert(sizeof(object) == 64, "a cache line");

static _Atomic(uint32_t) ping, pong;

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void *trusted(void *memory)
{
    bench_check(memory && memory != MAP_FAILED, "memory");
    return memory;
}

static void report(const char *figure, int64_t start, size_t n)
{
    bench_report(figure, "ns", bench_share(start, bench_now(), n));
}

static void calls(void)
{
    const int64_t n = MILLION;
    _Atomic(uint32_t) word = 0;
    int64_t start = bench_now();
    for (int64_t i = 0; i < n; i++)
        bench_now();
    report("read the clock", start, (size_t)n);
    start = bench_now();
    for (int64_t i = 0; i < n / 4; i++)
        syscall(SYS_getppid);
    report("a system call", start, (size_t)n / 4);
    start = bench_now();
    for (int64_t i = 0; i < n / 4; i++)
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    report("a futex wake that wakes nobody", start, (size_t)n / 4);
    start = bench_now();
    for (int64_t i = 0; i < 10 * n; i++)
        atomic_fetch_add_explicit(&word, 1, memory_order_acq_rel);
    report("an atomic add", start, (size_t)n * 10);
}

static void first_touch(int advice, const char *figure)
{
    const size_t size = (size_t)MILLION * sizeof(object);
    char *memory = trusted(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (advice)
        madvise(memory, size, advice);
    int64_t start = bench_now();
    for (size_t i = 0; i < size; i += sizeof(object))
        *(volatile char *)(memory + i) = 1;
    report(figure, start, MILLION);
    munmap(memory, size);
}

/* Of objects in the order in which they stand in memory, as a gather goes through its children. */
static void add_to_each(object *objects)
{
    int64_t start = bench_now();
    for (size_t i = 0; i < MILLION; i++)
        atomic_fetch_add_explicit(&objects[i].word, 1, memory_order_acq_rel);
    report("an atomic add to each of 1M objects", start, MILLION);
}

/* A wheel is at least this: an object goes into one of a number of lists, and comes out again. */
static void link_and_unlink(object *objects)
{
    enum { LISTS = 512 };
    static object *lists[LISTS];
    uint64_t state = 88172645463325252;
    int64_t start = bench_now();
    for (size_t i = 0; i < MILLION; i++) {
        object *o = &objects[i], **list = &lists[random_next(&state) % LISTS];
        o->next = *list;
        o->link = list;
        if (o->next)
            o->next->link = &o->next;
        *list = o;
    }
    report("put one of 1M objects into a list", start, MILLION);
    start = bench_now();
    for (size_t i = 0; i < MILLION; i++) {
        object *o = &objects[i];
        *o->link = o->next;
        if (o->next)
            o->next->link = o->link;
    }
    report("take it out", start, MILLION);
}

/* The least that a future costs at every level of fib: an object is made, claimed by a compare-and-swap, because others
 * may know it, its function called, and the outcome settled by another. No call into a library, no allocator, no queue:
 * the objects are a stack. */
typedef struct level {
    long n, result;
} level;

typedef struct future {
    struct future *next, *waiters;
    _Atomic(uint64_t) word;
    void *(*function)(void *);
    void *argument, *options, *executor, *spare;
} future;
_Static_assert(sizeof(future) == 64, "a cache line");

enum { PENDING, RUNNING, DONE };

static future futures[64];
static future *newest = futures;

static __attribute__((noinline)) future *make(void *(*function)(void *), void *argument)
{
    future *f = newest++;
    f->next = NULL;
    f->waiters = NULL;
    f->function = function;
    f->argument = argument;
    f->options = NULL;
    f->executor = &futures;
    f->spare = NULL;
    atomic_store_explicit(&f->word, PENDING, memory_order_release);
    return f;
}

static bool move(future *f, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(&f->word, &from, to, memory_order_acq_rel, memory_order_relaxed);
}

static __attribute__((noinline)) void claim_run_and_settle(future *f)
{
    bench_check(move(f, PENDING, RUNNING), "nobody else claims it");
    f->argument = f->function(f->argument);
    bench_check(move(f, RUNNING, DONE), "nobody else settles it");
    newest--;
}

static void *fib(void *argument)
{
    level *l = argument;
    if (l->n < 2) {
        l->result = l->n;
        return l;
    }
    level first = {l->n - 1, 0}, second = {l->n - 2, 0};
    future *f = make(fib, &second);
    fib(&first);
    claim_run_and_settle(f);
    l->result = first.result + second.result;
    return l;
}

static void fib_by_objects(void)
{
    enum { TASKS = 1346268 };
    level top = {30, 0};
    int64_t start = bench_now();
    fib(&top);
    bench_check(top.result == 832040, "fib(30)");
    report("make, claim, run and settle an object", start, TASKS);
}

static void await(_Atomic(uint32_t) *word, uint32_t value)
{
    for (;;) {
        uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
        if (seen == value)
            return;
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    }
}

static void tell(_Atomic(uint32_t) *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *answer(void *arg)
{
    for (uint32_t i = 1; i <= TRIPS + PAUSED_TRIPS; i++) {
        await(&ping, i);
        tell(&pong, i);
    }
    return arg;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void trips(uint32_t from, uint32_t n, const struct timespec *pause, const char *figure)
{
    int64_t *took = trusted(malloc(n * sizeof *took));
    for (uint32_t i = 0; i < n; i++) {
        if (pause)
            nanosleep(pause, NULL);
        int64_t start = bench_now();
        tell(&ping, from + i);
        await(&pong, from + i);
        took[i] = bench_now() - start;
    }
    qsort(took, n, sizeof *took, by_size);
    bench_report(figure, "us", (double)took[n / 2] / 1000);
    free(took);
}

int main(void)
{
    pthread_t thread;
    calls();
    first_touch(0, "first touch of a 64-byte object");
    first_touch(MADV_HUGEPAGE, "the same in huge pages");
    object *objects = bench_touched(MILLION * sizeof *objects);
    fib_by_objects();
    add_to_each(objects);
    link_and_unlink(objects);
    free(objects);
    bench_check(pthread_create(&thread, NULL, answer, NULL) == 0, "pthread_create");
    trips(1, TRIPS, NULL, "bare futex round trip, p50");
    trips(TRIPS + 1, PAUSED_TRIPS, &(struct timespec){.tv_nsec = 1000000}, "bare futex round trip, 1 ms pauses, p50");
    pthread_join(thread, NULL);
    return 0;
}
