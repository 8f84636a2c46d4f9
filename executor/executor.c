/* executor.c: making an executor, finding it, and taking it down. The protocol of shutting down is in shutdown.c. */
#include "executor.h"

#include "clock.h"
#include "topology.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER; /* the list and the default */
static weft_executor *list;
static _Atomic(weft_executor *) default_executor;
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER; /* of the default: one thread at a time */
static _Atomic(uint64_t) last_id;

void *weft__zeroed_alloc(size_t size)
{
    char *raw = weft__memory_alloc(size + WEFT__PAIR);
    if (!raw)
        return NULL;
    uintptr_t start = ((uintptr_t)raw + WEFT__PAIR) & ~(uintptr_t)(WEFT__PAIR - 1);
    char *memory = raw + (start - (uintptr_t)raw);
    memory[-1] = (char)(memory - raw - 1); /* 0 to 127: how far back the block begins */
    memset(memory, 0, size);
    return memory;
}

void weft__zeroed_free(void *memory, size_t size)
{
    char *start = memory;
    weft__memory_free(start - start[-1] - 1, size + WEFT__PAIR);
}

int64_t weft__executor_now(const weft_executor *e)
{
    return weft__clock_read(e->clock);
}

bool weft__own_thread(const weft_executor *e)
{
    const weft__self_t *self = &weft__self;
    return (self->thread && self->thread->executor == e) || (self->coordinator && self->coordinator->executor == e);
}

static void list_add(weft_executor *e)
{
    pthread_mutex_lock(&list_lock);
    e->next_executor = list;
    if (list)
        list->previous_executor = e;
    list = e;
    e->listed = true;
    weft__memory_keep(true);
    pthread_mutex_unlock(&list_lock);
}

static void list_remove(weft_executor *e)
{
    pthread_mutex_lock(&list_lock);
    if (e->next_executor)
        e->next_executor->previous_executor = e->previous_executor;
    if (e->previous_executor)
        e->previous_executor->next_executor = e->next_executor;
    else
        list = e->next_executor;
    if (!list)
        weft__memory_keep(false);
    pthread_mutex_unlock(&list_lock);
}

/* False: it is being freed. */
bool weft__executor_try_pin(weft_executor *e)
{
    uint32_t references = atomic_load_explicit(&e->references, memory_order_relaxed);
    while (references > 0)
        if (atomic_compare_exchange_weak_explicit(&e->references, &references, references + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* The executor with the smallest id above this one, pinned; NULL: there is none. */
static weft_executor *list_next(uint64_t id)
{
    weft_executor *best;
    pthread_mutex_lock(&list_lock);
    do {
        best = NULL;
        for (weft_executor *e = list; e; e = e->next_executor)
            if (e->id > id && (!best || e->id < best->id) && atomic_load_explicit(&e->references, memory_order_relaxed))
                best = e;
    } while (best && !weft__executor_try_pin(best));
    pthread_mutex_unlock(&list_lock);
    return best;
}

void weft__executors_each(void (*visit)(weft_executor *e, void *data), void *data)
{
    uint64_t id = 0;
    for (weft_executor *e; (e = list_next(id)); weft__executor_unpin(e)) {
        id = e->id;
        visit(e, data);
    }
}

void weft__executors_forked(void)
{
    list_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    making = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    list = NULL;
    /* Relaxed: there is one thread. */
    atomic_store_explicit(&default_executor, NULL, memory_order_relaxed);
}

/* The last reference is gone: no thread, no future, nobody in a call. */
static void executor_free(weft_executor *e)
{
    if (e->listed)
        list_remove(e);
    weft__ports_free(e);
    unsigned n = atomic_load_explicit(&e->thread_count, memory_order_relaxed);
    for (unsigned i = 0; i < n; i++)
        weft__thread_free(e->threads[i]);
    pthread_mutex_destroy(&e->roster);
    pthread_mutex_destroy(&e->large_lock);
    pthread_mutex_destroy(&e->trace_lock);
    pthread_mutex_destroy(&e->outside_lock);
    unsigned places = e->workers + e->max_spares;
    weft__zeroed_free(e->idle.groups, sizeof *e->idle.groups * (places / WEFT__GROUP + 1));
    weft__memory_free(e->threads, sizeof *e->threads * places);
    weft__zeroed_free(e, sizeof *e);
}

void weft__executor_pin(weft_executor *e)
{
    atomic_fetch_add_explicit(&e->references, 1, memory_order_relaxed);
}

void weft__executor_unpin(weft_executor *e)
{
    /* acq_rel: what others did with the structure comes before it is freed. */
    if (atomic_fetch_sub_explicit(&e->references, 1, memory_order_acq_rel) == 1)
        executor_free(e);
}

static void slab_gone(void *owner)
{
    weft__executor_unpin(owner);
}

static bool options_valid(const weft_executor_options *o)
{
    return o->workers <= WEFT__MAX_WORKERS && o->max_spares <= WEFT__MAX_SPARES;
}

static void take_options(weft_executor *e, const weft_executor_options *o)
{
    unsigned cpus = weft__cpus_allowed();
    e->workers = o->workers ? o->workers : (cpus < WEFT__MAX_WORKERS ? cpus : WEFT__MAX_WORKERS);
    e->max_spares = o->max_spares ? o->max_spares : WEFT__DEFAULT_SPARES;
    e->may_spin = e->workers <= cpus && cpus > 1 && !weft__cpu_quota();
    e->cpu_to_spare = e->may_spin && e->workers < cpus;
    e->stack_size = o->stack_size;
    strncpy(e->name, o->name ? o->name : "weft", sizeof e->name - 1);
    e->worker_start = o->worker_start;
    e->worker_stop = o->worker_stop;
    e->unobserved_error = o->unobserved_error;
    e->data = o->data;
    e->clock = o->clock;
    e->max_pending = o->max_pending;
    e->tenant = &weft__futures_tenant;
}

static unsigned shards_for(unsigned workers)
{
    unsigned shards = 1;
    while (shards < 16 && shards * 4 < workers)
        shards *= 2;
    return shards;
}

/* Everything but the threads. NULL: no memory. */
static weft_executor *executor_new(const weft_executor_options *options)
{
    weft_executor *e = weft__zeroed_alloc(sizeof *e);
    if (!e)
        return NULL;
    take_options(e, options);
    unsigned places = e->workers + e->max_spares;
    e->threads = weft__memory_alloc(sizeof *e->threads * places);
    e->idle.groups = e->threads ? weft__zeroed_alloc(sizeof *e->idle.groups * (places / WEFT__GROUP + 1)) : NULL;
    if (!e->idle.groups) {
        if (e->threads)
            weft__memory_free(e->threads, sizeof *e->threads * places);
        weft__zeroed_free(e, sizeof *e);
        return NULL;
    }
    unsigned group = e->workers < WEFT__GROUP ? e->workers : WEFT__GROUP;
    e->idle.searchers = group / 2 ? group / 2 : 1;
    for (unsigned p = 0; p < 3; p++)
        weft__inject_init(&e->inject[p], shards_for(e->workers));
    e->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    e->generation = weft__generation;
    atomic_init(&e->staying, 1);    /* the coordinator */
    atomic_init(&e->references, 2); /* the creator and the slab */
    weft__slab_init(&e->slab, slab_gone, e);
    pthread_mutex_init(&e->roster, NULL);
    pthread_mutex_init(&e->large_lock, NULL);
    pthread_mutex_init(&e->trace_lock, NULL);
    pthread_mutex_init(&e->outside_lock, NULL);
    return e;
}

static void join_threads(weft_executor *e)
{
    unsigned n = atomic_load_explicit(&e->thread_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        pthread_mutex_lock(&e->roster);
        pthread_t id = e->threads[i]->id;
        pthread_mutex_unlock(&e->roster);
        pthread_join(id, NULL);
    }
}

void weft__report_over(weft_executor *e)
{
    /* seq_cst, as the partners below: who is the last either sees that destroy waits, or destroy that there is none. */
    if (atomic_fetch_sub_explicit(&e->reports, 1, memory_order_seq_cst) == 1 &&
        atomic_load_explicit(&e->phase, memory_order_seq_cst) == WEFT__GONE)
        weft__futex_wake(&e->reports, INT_MAX);
}

/* Threads of the program may be telling it of a failed outcome that they have dropped. See weft__report_unobserved. */
static void wait_for_reports(weft_executor *e)
{
    for (uint32_t n; (n = atomic_load_explicit(&e->reports, memory_order_seq_cst)) > 0;)
        weft__futex_wait(&e->reports, n, INT64_MAX);
}

static void executor_end(weft_executor *e)
{
    join_threads(e);
    weft__coordinator_join(e);
    weft__trace_finish(e);
    atomic_store_explicit(&e->phase, WEFT__GONE, memory_order_seq_cst);
    WEFT_POINT();
    wait_for_reports(e);
    weft__ports_trim();
    weft__slab_unpin(&e->slab);
    weft__executor_unpin(e);
}

static weft_executor *create(const weft_executor_options *options)
{
    weft_executor *e = weft__fork_watch() ? NULL : executor_new(options);
    if (!e)
        return weft__refuse(-ENOMEM);
    int result = weft__coordinator_start(e);
    if (result) {
        weft__slab_unpin(&e->slab);
        weft__executor_unpin(e);
        return weft__refuse(result);
    }
    list_add(e); /* only now: who finds it there may send its coordinator a message */
    pthread_mutex_lock(&e->roster);
    for (unsigned i = 0; i < e->workers && !result; i++)
        result = weft__thread_spawn(e);
    pthread_mutex_unlock(&e->roster);
    if (result) {
        weft__shutdown_begin(e, WEFT_CANCEL_ALL);
        weft__shutdown_wait(e, WEFT_FOREVER);
        executor_end(e);
        return weft__refuse(result);
    }
    return e;
}

weft_executor *weft_executor_create(const weft_executor_options *options)
{
    static const weft_executor_options defaults;
    options = options ? options : &defaults;
    if (!options_valid(options))
        return weft__refuse(-EINVAL);
    if (weft__clock_stale(options->clock))
        return weft__refuse(-ESTALE);
    /* Files are read to count the CPUs, and threads joined if one of them cannot be started: what pthread_cancel would
     * end the thread in, half-way, and perhaps while it makes the default executor. */
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    weft_executor *e = create(options);
    pthread_setcancelstate(state, NULL);
    return e;
}

int weft_executor_shutdown(weft_executor *e, weft_shutdown_mode mode, int64_t timeout)
{
    if (!e || (unsigned)mode > WEFT_CANCEL_ALL)
        return -EINVAL;
    if (weft__stale(e))
        return -ESTALE;
    if (weft__own_thread(e))
        return -EDEADLK;
    weft__executor_pin(e); /* another thread may destroy it while this one waits */
    weft__shutdown_begin(e, mode);
    bool quiet = weft__shutdown_wait(e, timeout);
    weft__executor_unpin(e);
    return quiet ? 0 : -ETIMEDOUT;
}

int weft_executor_destroy(weft_executor *e)
{
    if (!e)
        return -EINVAL;
    if (weft__stale(e))
        return -ESTALE;
    if (weft__own_thread(e))
        return -EDEADLK;
    weft_executor *own = e;
    /* acq_rel, with the store in weft_executor_default: the next use makes another one, after this. */
    atomic_compare_exchange_strong_explicit(&default_executor, &own, NULL, memory_order_acq_rel, memory_order_relaxed);
    weft__shutdown_begin(e, WEFT_DRAIN);
    weft__shutdown_wait(e, WEFT_FOREVER);
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* threads are joined: as in create */
    executor_end(e);
    pthread_setcancelstate(state, NULL);
    return 0;
}

weft_executor *weft_executor_default(void)
{
    /* Acquire, partner of the release below: all of the executor. */
    weft_executor *e = atomic_load_explicit(&default_executor, memory_order_acquire);
    if (e)
        return e;
    pthread_mutex_lock(&making);
    e = atomic_load_explicit(&default_executor, memory_order_acquire);
    if (!e) {
        e = weft_executor_create(NULL);
        atomic_store_explicit(&default_executor, e, memory_order_release);
    }
    pthread_mutex_unlock(&making);
    return e;
}

void *weft__refuse(int code)
{
    errno = -code;
    return NULL;
}

weft_executor *weft__executor_or_default(weft_executor *e)
{
    if (!e)
        return weft_executor_default();
    return weft__stale(e) ? weft__refuse(-ESTALE) : e;
}

weft_executor *weft_executor_current(void)
{
    return weft__self.job ? weft__self.thread->executor : NULL; /* a job runs on a thread of its executor */
}

unsigned weft_executor_workers(const weft_executor *e)
{
    if (!e)
        e = weft_executor_default();
    return e ? e->workers : 0;
}

int weft_worker_index(void)
{
    return weft__self.thread ? (int)weft__self.thread->index : -1;
}

bool weft__enqueue_outside(weft_executor *e, unsigned priority, weft__link *first, weft__link *last, size_t n)
{
    return weft__enqueue_by(weft__port_find(e), e, priority, first, last, n);
}

WEFT__NOINLINE bool weft__enqueue_by(weft__port *port, weft_executor *e, unsigned priority, weft__link *first,
                                     weft__link *last, size_t n)
{
    weft__count(&port->counts.submitted, n);
    if (!weft__inject_push(&e->inject[priority], port->hint, first, last)) {
        weft__count(&port->counts.returned, n);
        weft__coordinator_news(&e->coordinator); /* it may have summed in between */
        return false;
    }
    weft__notify(e);
    return true;
}

void weft__enqueue_own(weft_executor *e, unsigned priority, weft__link *link)
{
    weft__thread *t = weft__self.thread;
    weft__port *port = weft__port_find(e);
    weft__count(&port->counts.submitted, 1);
    if (priority == WEFT_NORMAL && t && t->executor == e && weft__ready_add(t, link))
        return;
    weft__inject_push_own(&e->inject[priority], port->hint, link, link);
    weft__notify(e);
}

void weft__enqueue_again(weft__thread *t, weft__link *link)
{
    if (weft__ready_add(t, link))
        return;
    weft__inject_push_own(&t->executor->inject[WEFT_NORMAL], t->port.hint, link, link);
    weft__notify(t->executor);
}
