/* stats.c: counters, read. What every job moves has one writer for each thread; what is rare, or counted by threads
 * without a port, is shared. All are read relaxed or stronger; a snapshot is not one moment. */
#include "clock.h"
#include "executor.h"

#include <errno.h>
#include <string.h>

void weft__count_for(weft_executor *e, size_t offset, uint64_t by)
{
    weft__port *port = weft__port_find(e);
    weft__counts *counts = port ? &port->counts : &e->stray;
    _Atomic(uint64_t) *counter = (_Atomic(uint64_t) *)(void *)((char *)counts + offset);
    if (port)
        weft__count(counter, by);
    else
        atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

static uint64_t total(const weft_executor *e, size_t offset)
{
    /* The sum takes a lock of the process and changes nothing. */
    weft_executor *executor = (weft_executor *)(uintptr_t)e;
    const _Atomic(uint64_t) *stray = (const _Atomic(uint64_t) *)(const void *)((const char *)&e->stray + offset);
    return weft__ports_sum(executor, offset) + atomic_load_explicit(stray, memory_order_relaxed);
}

#define TOTAL(e, counter) total(e, offsetof(weft__counts, counter))

static uint64_t running(const weft_executor *e)
{
    uint64_t n = 0;
    unsigned threads = atomic_load_explicit(&e->thread_count, memory_order_acquire);
    for (unsigned i = 0; i < threads; i++)
        n += atomic_load_explicit(&e->threads[i]->running, memory_order_relaxed);
    return n;
}

static void add_latency(const weft__thread *t, weft_stats *stats)
{
    for (size_t i = 0; i < 64; i++)
        stats->latency_ns_log2[i] += atomic_load_explicit(&t->latency[i], memory_order_relaxed);
}

int weft_executor_stats(const weft_executor *e, weft_stats *stats)
{
    if (!stats)
        return -EINVAL;
    if (!e && !(e = weft_executor_default()))
        return -errno;
    if (weft__stale(e))
        return -ESTALE;
    memset(stats, 0, sizeof *stats);
    uint64_t finished = TOTAL(e, finished) + TOTAL(e, returned);
    uint64_t submitted = TOTAL(e, submitted);
    uint64_t now_running = running(e);
    uint64_t unqueued = atomic_load_explicit(&e->unqueued, memory_order_relaxed);
    stats->submitted = submitted - TOTAL(e, returned) + unqueued;
    stats->refused = atomic_load_explicit(&e->refused, memory_order_relaxed);
    stats->succeeded = TOTAL(e, succeeded);
    stats->failed = TOTAL(e, failed);
    stats->cancelled = TOTAL(e, cancelled);
    stats->timed_out = TOTAL(e, timed_out);
    stats->unobserved_errors = atomic_load_explicit(&e->unobserved, memory_order_relaxed);
    stats->stolen = TOTAL(e, stolen);
    stats->parks = TOTAL(e, parks);
    stats->wakes = TOTAL(e, wakes);
    stats->inline_runs = TOTAL(e, inline_runs);
    stats->timers_armed = TOTAL(e, timers_armed);
    stats->timers_fired = TOTAL(e, timers_fired);
    stats->callbacks = TOTAL(e, callbacks);
    stats->running = now_running;
    stats->queued = submitted > finished + now_running ? submitted - finished - now_running : 0;
    uint32_t threads_and_coordinator = atomic_load_explicit(&e->staying, memory_order_relaxed);
    stats->spares = threads_and_coordinator > e->workers + 1 ? threads_and_coordinator - e->workers - 1 : 0;
    stats->busy_ns = TOTAL(e, busy_ns);
    unsigned threads = atomic_load_explicit(&e->thread_count, memory_order_acquire);
    for (unsigned i = 0; i < threads; i++)
        add_latency(e->threads[i], stats);
    return 0;
}

static uint64_t read_one(const _Atomic(uint64_t) *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

int weft_worker_stats(const weft_executor *e, unsigned worker, weft_stats *stats)
{
    if (!stats)
        return -EINVAL;
    if (!e && !(e = weft_executor_default()))
        return -errno;
    if (weft__stale(e))
        return -ESTALE;
    if (worker >= atomic_load_explicit(&e->thread_count, memory_order_acquire))
        return -EINVAL;
    memset(stats, 0, sizeof *stats);
    const weft__thread *t = e->threads[worker];
    const weft__counts *c = &t->port.counts;
    stats->submitted = read_one(&c->submitted);
    stats->succeeded = read_one(&c->succeeded);
    stats->failed = read_one(&c->failed);
    stats->cancelled = read_one(&c->cancelled);
    stats->timed_out = read_one(&c->timed_out);
    stats->stolen = read_one(&c->stolen);
    stats->parks = read_one(&c->parks);
    stats->wakes = read_one(&c->wakes);
    stats->inline_runs = read_one(&c->inline_runs);
    stats->timers_armed = read_one(&c->timers_armed);
    stats->running = atomic_load_explicit(&t->running, memory_order_relaxed);
    stats->queued = weft__deque_length(&t->ready) + weft__deque_length(&t->inbox);
    stats->busy_ns = read_one(&c->busy_ns);
    add_latency(t, stats);
    return 0;
}

static void settle_coordinator(weft_executor *e, void *data)
{
    (void)data;
    if (!weft__self.coordinator && atomic_load_explicit(&e->coordinator.in_callback, memory_order_acquire) == 0)
        weft__clock_settle(&e->coordinator);
}

static void add_executor(weft_executor *e, void *data)
{
    weft_counters *counters = data;
    counters->futures += atomic_load_explicit(&e->large_futures, memory_order_relaxed);
    counters->timers += (size_t)(TOTAL(e, timers_armed) - TOTAL(e, timers_fired) - TOTAL(e, timers_dropped));
}

void weft_counters_read(weft_counters *counters)
{
    if (!counters)
        return;
    memset(counters, 0, sizeof *counters);
    weft__ports_trim();
    /* What was disarmed or dropped may still be on its way to a coordinator that sleeps. */
    weft__executors_each(settle_coordinator, NULL);
    weft__executors_each(add_executor, counters);
    counters->futures += weft__slab_live_total(WEFT__KIND_FUTURE);
    counters->callbacks = weft__slab_live_total(WEFT__KIND_CALLBACK);
    counters->tokens = weft__slab_live_total(WEFT__KIND_TOKEN);
    counters->threads = atomic_load_explicit(&weft__threads_live, memory_order_relaxed);
    counters->bytes = weft__memory_bytes();
}
