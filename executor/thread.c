/* thread.c: thread-local state, ports, and what happens when a thread ends.
 *
 * Ports. A thread that hands work to an executor has a port there: memory to make futures from and counters to write
 * without a read-modify-write. Both belong to the executor's structure and are reached through a one-entry cache in
 * thread-local storage. When an outside thread ends, its ports stay with their executors, free to be adopted: a server
 * that starts a thread for each connection does not grow the list.
 *
 * `ports_lock` guards both lists (an executor's ports, a thread's ports) and is taken at the first submit of a thread
 * to an executor, at the end of a thread, at the end of an executor, and by who sums counters.
 *
 * A job that calls pthread_exit takes its worker's thread with it. The hook that runs at a thread's end settles the
 * jobs that were on its stack and starts another thread in the same weft__thread, so its queues are served on. If the
 * system will not give a thread, the ending one goes on working inside its own hook: nothing that was accepted is
 * lost. */
#include "executor.h"

#include <errno.h>

_Thread_local weft__self_t weft__self WEFT__TLS;
_Atomic(size_t) weft__threads_live;

static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;
static _Atomic(unsigned) ordinals;

static void adopt(weft__self_t *self, weft__port *port)
{
    port->owner = self;
    port->naps = 0;
    /* Relaxed: what another owner has counted was seen with the lock. */
    port->slept_at = atomic_load_explicit(&port->counts.submitted, memory_order_relaxed);
    port->mine = self->ports;
    self->ports = port;
}

/* Gives up one of this thread's ports; false: it has none left. */
static bool give_up_port(weft__self_t *self)
{
    bool pinned = false;
    pthread_mutex_lock(&ports_lock);
    weft__port *port = self->ports;
    weft_executor *e = port ? port->executor : NULL;
    if (port) {
        self->ports = port->mine;
        pinned = weft__executor_try_pin(e); /* the last chunk of its heap may be what keeps it */
        if (!pinned)
            port->owner = NULL; /* weft__ports_free is about to free it; its heap is empty */
    }
    pthread_mutex_unlock(&ports_lock);
    if (!pinned)
        return port != NULL;
    weft__heap_detach(&port->heap);
    pthread_mutex_lock(&ports_lock);
    port->owner = NULL;
    pthread_mutex_unlock(&ports_lock);
    weft__executor_unpin(e);
    return true;
}

/* A job, or what another one has forked, ended this worker's thread: see above. */
static void replace_worker(weft__self_t *self)
{
    weft__thread *t = self->thread;
    weft_executor *e = t->executor;
    weft_future *job = self->job;
    weft__forks_leave();
    self->job = NULL;
    if (weft__tracing(e))
        weft__trace_unwound(e);
    unsigned taken = e->tenant->abandon(job);
    self->stolen = NULL;
    if (weft__stale(e)) /* a destructor forked: there is nobody to replace */
        return;
    weft__count(&t->port.counts.finished, taken);
    self->draining = false;
    atomic_store_explicit(&t->running, 0, memory_order_relaxed);
    t->depth = 0;
    t->searching = false;
    pthread_mutex_lock(&e->roster); /* destroy joins t->id under it */
    pthread_t own = t->id;
    self->thread = NULL;
    int refused = weft__thread_launch(t);
    pthread_mutex_unlock(&e->roster);
    if (!refused) {
        pthread_detach(own);
        return;
    }
    t->id = own;
    weft__worker_main(t);
}

static void thread_ended(void *value)
{
    weft__self_t *self = value;
    self->registered = false; /* the key's value is NULL by now: who goes on working here sets the hook anew */
    if (self->thread && self->job)
        replace_worker(self);
    while (give_up_port(self))
        ;
    self->port = NULL;
    self->port_id = 0;
    self->registered = false;
}

static void make_key(void)
{
    key_error = pthread_key_create(&key, thread_ended);
}

int weft__thread_register(void)
{
    weft__self_t *self = &weft__self;
    if (self->registered)
        return 0;
    pthread_once(&key_once, make_key);
    if (key_error)
        return -EAGAIN;
    if (pthread_setspecific(key, self))
        return -ENOMEM;
    self->registered = true;
    if (self->ordinal == 0)
        self->ordinal = atomic_fetch_add_explicit(&ordinals, 1, memory_order_relaxed) + 1;
    return 0;
}

void weft__threads_forked(void)
{
    weft__self_t *self = &weft__self;
    ports_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    /* Relaxed: there is one thread. */
    atomic_store_explicit(&weft__threads_live, 0, memory_order_relaxed);
    weft__forks_leave();
    /* The hook at the thread's end is inherited with the key's value. */
    *self = (weft__self_t){.ordinal = self->ordinal, .registered = self->registered};
}

void weft__port_embed(weft__port *port, weft_executor *e)
{
    port->executor = e;
    port->unmeasured = WEFT__MEASURE - 1;
    port->embedded = true;
    weft__heap_init(&port->heap, &e->slab);
}

static weft__port *port_listed(weft__self_t *self, weft_executor *e)
{
    for (weft__port *port = self->ports; port; port = port->mine)
        if (port->executor == e)
            return port;
    return NULL;
}

static weft__port *port_free_one(weft_executor *e)
{
    for (weft__port *port = e->ports; port; port = port->next)
        if (!port->owner)
            return port;
    return NULL;
}

static weft__port *port_new(weft_executor *e)
{
    weft__port *port = weft__memory_alloc(sizeof *port);
    if (!port)
        return NULL;
    *port = (weft__port){.executor = e, .unmeasured = WEFT__MEASURE - 1, .next = e->ports};
    weft__heap_init(&port->heap, &e->slab);
    e->ports = port;
    return port;
}

static weft__port *port_seek(weft__self_t *self, weft_executor *e)
{
    if (weft__thread_register())
        return NULL;
    weft__ports_trim();
    pthread_mutex_lock(&ports_lock);
    weft__port *port = port_listed(self, e);
    if (!port) {
        port = port_free_one(e);
        if (!port)
            port = port_new(e);
        if (port) {
            port->hint = self->ordinal;
            adopt(self, port);
        }
    }
    pthread_mutex_unlock(&ports_lock);
    return port;
}

weft__port *weft__port_find(weft_executor *e)
{
    weft__self_t *self = &weft__self;
    if (self->thread && self->thread->executor == e)
        return &self->thread->port;
    if (self->port_id == e->id)
        return self->port;
    if (self->coordinator && self->coordinator->executor == e)
        return &self->coordinator->port;
    return NULL;
}

weft__port *weft__port_get(weft_executor *e)
{
    weft__port *port = weft__port_find(e);
    if (WEFT__LIKELY(port != NULL))
        return port;
    weft__self_t *self = &weft__self;
    port = port_seek(self, e);
    if (port) {
        self->port = port;
        self->port_id = e->id;
    }
    return port;
}

/* One of this thread's ports to an executor that is gone; pinned, so that it stays while its heap is given up. */
static weft__port *port_of_the_gone(void)
{
    pthread_mutex_lock(&ports_lock);
    weft__port *port = weft__self.ports;
    while (port && (weft__phase(port->executor) != WEFT__GONE || port->left ||
                    !weft__executor_try_pin(port->executor))) /* being freed: nothing left to give up */
        port = port->mine;
    if (port)
        port->left = true;
    pthread_mutex_unlock(&ports_lock);
    return port;
}

void weft__ports_trim(void)
{
    for (weft__port *port; (port = port_of_the_gone());) {
        weft_executor *e = port->executor;
        weft__heap_detach(&port->heap);
        weft__executor_unpin(e);
    }
}

void weft__ports_free(weft_executor *e)
{
    pthread_mutex_lock(&ports_lock);
    for (weft__port *port = e->ports; port;) {
        weft__port *next = port->next;
        if (port->owner) {
            weft__port **link = &port->owner->ports;
            while (*link != port)
                link = &(*link)->mine;
            *link = port->mine;
        }
        weft__memory_free(port, sizeof *port);
        port = next;
    }
    e->ports = NULL;
    pthread_mutex_unlock(&ports_lock);
}

static uint64_t counter_at(weft__port *port, size_t offset)
{
    return atomic_load_explicit((_Atomic(uint64_t) *)(void *)((char *)&port->counts + offset), memory_order_acquire);
}

uint64_t weft__ports_sum(weft_executor *e, size_t offset)
{
    uint64_t sum = counter_at(&e->coordinator.port, offset);
    unsigned n = atomic_load_explicit(&e->thread_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++)
        sum += counter_at(&e->threads[i]->port, offset);
    pthread_mutex_lock(&ports_lock);
    for (weft__port *port = e->ports; port; port = port->next)
        sum += counter_at(port, offset);
    pthread_mutex_unlock(&ports_lock);
    return sum;
}
