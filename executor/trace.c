/* trace.c: rings that the threads of an executor write to, and the beginning and end of a trace.
 *
 * A lane is a ring with one writing thread and one reading thread: the lane's own, which never waits, and the trace's
 * writer (trace_write.c). head is the lane's, tail the writer's; each is published with release and read by the other
 * side with acquire, so a record is written before it is read and read before it is written over. If there is no room
 * the newest is dropped and counted: so what stands in the file is all that happened, up to the gap. The beginning of a
 * slice takes the place of its end in advance (`owed`), for an end without a beginning, or the reverse, would spoil all
 * that follows in the lane.
 *
 * Threads that are not the executor's share a lane, and its thread's end, under outside_lock: a few instructions. It is
 * taken under no other lock, and not in signal handlers, since weft_token_cancel notes nothing.
 *
 * Coming and going. A trace can end, and its memory be freed, while a thread is about to write to it. So each thread of
 * the executor says that it is inside (in_trace of its port) before it reads where the trace is, and whoever ends the
 * trace takes it away before he looks whether anybody is inside:
 *   a thread:  in_trace = 1 (seq_cst); trace = e->trace (seq_cst); ... in_trace = 0 (release)
 *   the end:   e->trace = NULL (seq_cst); until in_trace == 0 (seq_cst)
 * By the single order of these, of the two at least one sees the other (Dekker's pair). Only the end ever waits, for a
 * few instructions. Who writes at the end of a slice compares the number of the trace with that of its beginning.
 *
 * Off. Nobody comes here. What every job goes through (submit, run, await) has a short form for plain jobs, which asks
 * one word whether it may be taken at all; a trace puts a bit into that word, `detour`, and the long forms ask for the
 * trace. So the short forms are as they are without tracing, to the instruction.
 *
 * Fork. A child refuses start and stop, and leaves the functions of the program's on weft's threads without coming by
 * here. The parent's writer notices nothing.
 *
 * The ring is that of Lamport (1977), "Concurrent reading and writing"; to keep a place for each end is weft's. */
#include "trace.h"

#include "executor.h"

#include <errno.h>
#include <string.h>
#include <weft/trace.h>

enum { IDS = 1024, BUFFER_SIZE = 65536, PATIENCE = 200, NAP_NS = 100000 };

static _Atomic(uint32_t) last_number;

/* ---- a thread's way in and out ---- */

typedef struct visit {
    weft_executor *executor;
    weft__port *port; /* of a thread of the executor; NULL: outside_lock is held */
    weft__trace *trace;
    weft__lane *lane;
    _Atomic(uint32_t) *bell; /* not NULL: the writer is to be woken */
} visit;

static unsigned coordinator_place(const weft_executor *e)
{
    return e->workers + e->max_spares;
}

static unsigned find_place(weft_executor *e, weft__port **port)
{
    const weft__self_t *self = &weft__self;
    if (self->thread && self->thread->executor == e) {
        *port = &self->thread->port;
        return self->thread->index;
    }
    bool coordinator = self->coordinator && self->coordinator->executor == e;
    *port = coordinator ? &self->coordinator->port : NULL;
    return coordinator_place(e) + !coordinator;
}

static void leave(visit *v)
{
    /* Release: what was written, for who ends the trace. */
    if (v->port)
        atomic_store_explicit(&v->port->in_trace, 0, memory_order_release);
    else
        pthread_mutex_unlock(&v->executor->outside_lock);
    if (v->bell) /* the trace may be gone: the address will do */
        weft__futex_wake(v->bell, 1);
}

/* False: there is nothing to write to, and nothing to leave. */
static bool enter(visit *v, weft_executor *e)
{
    *v = (visit){.executor = e};
    unsigned place = find_place(e, &v->port);
    if (v->port)
        atomic_store_explicit(&v->port->in_trace, 1, memory_order_seq_cst);
    else
        pthread_mutex_lock(&e->outside_lock);
    WEFT_POINT();
    v->trace = atomic_load_explicit(&e->trace, memory_order_seq_cst);
    /* Acquire, partner of the release in weft__trace_thread. */
    v->lane = v->trace ? atomic_load_explicit(&v->trace->lanes[place], memory_order_acquire) : NULL;
    if (v->lane)
        return true;
    if (v->trace)
        atomic_fetch_add_explicit(&v->trace->lost, 1, memory_order_relaxed);
    leave(v);
    return false;
}

/* ---- writing ---- */

/* Sets the flag that the writer waits for; true: it may be asleep. */
static bool kick(weft__trace *trace)
{
    /* Relaxed: who finds it set leaves it to the writer to find what he wrote, which it does within the same half of
     * the ring or at the end. acq_rel, partner of the exchange in weft__trace_write. */
    return atomic_load_explicit(&trace->kicked, memory_order_relaxed) == 0 &&
           atomic_exchange_explicit(&trace->kicked, 1, memory_order_acq_rel) == 0;
}

void weft__trace_kick(weft__trace *trace)
{
    if (kick(trace))
        weft__futex_wake(&trace->kicked, 1);
}

/* So many places must be free beside those that are owed; this one is to be written to. NULL: there are not. */
static weft__record *place_for(weft__lane *lane, unsigned places)
{
    uint64_t head = atomic_load_explicit(&lane->head, memory_order_relaxed);
    /* Acquire, partner of the writer's release: it has read what will be written over. */
    uint64_t used = head - atomic_load_explicit(&lane->tail, memory_order_acquire);
    if (WEFT__LIKELY(used + lane->owed + places <= WEFT__LANE_CAPACITY))
        return &lane->ring[head % WEFT__LANE_CAPACITY];
    uint64_t lost = atomic_load_explicit(&lane->lost, memory_order_relaxed);
    atomic_store_explicit(&lane->lost, lost + 1,
                          memory_order_relaxed); /* a sum; read when the lane has its last word */
    return NULL;
}

static void publish(visit *v, weft__record *r, weft__note note, int value)
{
    weft__lane *lane = v->lane;
    int64_t now = weft__now();
    r->at = lane->last = now > lane->last ? now : lane->last + 1;
    r->note = (uint8_t)note;
    r->value = value;
    uint64_t head = atomic_load_explicit(&lane->head, memory_order_relaxed) + 1;
    /* Release: the record. */
    atomic_store_explicit(&lane->head, head, memory_order_release);
    uint64_t used = head - atomic_load_explicit(&lane->tail, memory_order_relaxed);
    if (used >= WEFT__LANE_CAPACITY / 2 && kick(v->trace))
        v->bell = &v->trace->kicked;
}

static void set_name(weft__record *r, const char *name)
{
    size_t n = name ? strnlen(name, WEFT__NAME_SIZE - 1) : 0;
    if (n)
        memcpy(r->name, name, n);
    r->name[n] = '\0';
}

/* 0: it was not submitted in this trace. */
static uint32_t id_in(const weft__trace *trace, weft__mark mark)
{
    return mark.trace == (uint16_t)trace->number ? mark.id : 0;
}

weft__mark weft__trace_submitted(weft_executor *e, const char *name)
{
    weft__mark mark = {0, 0};
    visit v;
    if (!enter(&v, e))
        return mark;
    weft__record *r = place_for(v.lane, 1);
    if (r) {
        if (v.lane->next_id % IDS == 0) /* relaxed: only that no two lanes get the same */
            v.lane->next_id = atomic_fetch_add_explicit(&v.trace->next_id, IDS, memory_order_relaxed);
        mark = (weft__mark){v.lane->next_id++, (uint16_t)v.trace->number};
        r->id = mark.id;
        r->within = false;
        set_name(r, name);
        publish(&v, r, WEFT__NOTE_SUBMIT, v.port ? 0 : (int)weft__self.ordinal);
    }
    leave(&v);
    return mark;
}

uint32_t weft__trace_begin(weft_executor *e, weft__note note, const char *name, weft__mark mark, bool within)
{
    uint32_t begun = 0;
    visit v;
    if (!enter(&v, e))
        return 0;
    weft__record *r = place_for(v.lane, 2);
    if (r) {
        r->id = id_in(v.trace, mark);
        r->within = within;
        set_name(r, name);
        v.lane->owed++;
        publish(&v, r, note, 0);
        begun = v.trace->number;
    }
    leave(&v);
    return begun;
}

void weft__trace_end(weft_executor *e, uint32_t begun, int code)
{
    visit v;
    if (!begun || !enter(&v, e))
        return;
    if (v.trace->number == begun && v.lane->owed > 0) {
        v.lane->owed--;
        weft__record *r = place_for(v.lane, 1); /* there is: see the essay */
        r->id = 0;
        r->name[0] = '\0';
        publish(&v, r, WEFT__NOTE_END, code);
    }
    leave(&v);
}

void weft__trace_unwound(weft_executor *e)
{
    visit v;
    if (!enter(&v, e))
        return;
    if (v.lane->owed > 0) {
        v.lane->owed = 0;
        weft__record *r = place_for(v.lane, 1);
        r->id = 0;
        r->name[0] = '\0';
        publish(&v, r, WEFT__NOTE_UNWOUND, 0);
    }
    leave(&v);
}

void weft__trace_moment(weft_executor *e, weft__note note, int value, const char *name, weft__mark mark)
{
    visit v;
    if (!enter(&v, e))
        return;
    weft__record *r = place_for(v.lane, 1);
    if (r) {
        r->id = id_in(v.trace, mark);
        r->within = false;
        set_name(r, name);
        publish(&v, r, note, value);
    }
    leave(&v);
}

void weft__note_timer(weft_executor *e, weft__note note)
{
    weft__trace_moment(e, note, 0, NULL, (weft__mark){0, 0});
}

/* ---- memory ---- */

static weft__lane *lane_new(void)
{
    /* What is not written to is not touched: the ring. */
    char *raw = weft__memory_alloc(sizeof(weft__lane) + WEFT__PAIR);
    if (!raw)
        return NULL;
    size_t ahead = WEFT__PAIR - (uintptr_t)raw % WEFT__PAIR; /* 1 to 128; its last byte says how many */
    raw[ahead - 1] = (char)(ahead - 1);
    weft__lane *lane = (weft__lane *)(void *)(raw + ahead);
    memset(lane, 0, offsetof(weft__lane, ring));
    return lane;
}

static void lane_free(weft__lane *lane)
{
    char *start = (char *)lane;
    if (lane)
        weft__memory_free(start - start[-1] - 1, sizeof(weft__lane) + WEFT__PAIR);
}

static size_t trace_size(const weft_executor *e)
{
    return sizeof(weft__trace) + (coordinator_place(e) + 2) * sizeof(_Atomic(weft__lane *));
}

static void trace_free(weft__trace *trace)
{
    weft_executor *e = trace->executor;
    /* Relaxed: nobody else has it any more. */
    for (unsigned i = 0; i < trace->places + 2; i++)
        lane_free(atomic_load_explicit(&trace->lanes[i], memory_order_relaxed));
    weft__memory_free(trace->buffer, BUFFER_SIZE);
    weft__memory_free(trace->before, e->workers * sizeof *trace->before);
    weft__memory_free(trace, trace_size(e));
}

static void note_counters(weft__trace *trace)
{
    weft_stats stats;
    for (unsigned i = 0; i < trace->executor->workers; i++) {
        weft_worker_stats(trace->executor, i, &stats);
        trace->before[i] = (weft__before){stats.succeeded, stats.failed, stats.stolen, stats.parks};
    }
}

/* With the lanes of the coordinator and outside. NULL: no memory. */
static weft__trace *trace_new(weft_executor *e)
{
    weft__trace *trace = weft__memory_alloc(trace_size(e));
    if (!trace)
        return NULL;
    memset(trace, 0, trace_size(e));
    trace->executor = e;
    trace->places = coordinator_place(e);
    trace->buffer = weft__memory_alloc(BUFFER_SIZE);
    trace->before = weft__memory_alloc(e->workers * sizeof *trace->before);
    weft__lane *own = lane_new(), *outside = lane_new();
    /* Relaxed: the trace is published later. */
    atomic_store_explicit(&trace->lanes[trace->places], own, memory_order_relaxed);
    atomic_store_explicit(&trace->lanes[trace->places + 1], outside, memory_order_relaxed);
    if (trace->buffer && trace->before && own && outside)
        return trace;
    trace_free(trace);
    return NULL;
}

/* Relaxed: published with the trace, or before the thread starts that writes there. */
static bool lane_make(weft__trace *trace, unsigned place)
{
    if (atomic_load_explicit(&trace->lanes[place], memory_order_relaxed))
        return true;
    weft__lane *lane = lane_new();
    /* Release, partner of enter, which is another thread's only if that was started since, and of the writer. */
    atomic_store_explicit(&trace->lanes[place], lane, memory_order_release);
    return lane != NULL;
}

void weft__trace_thread(weft_executor *e, unsigned index)
{
    weft__trace *trace = atomic_load_explicit(&e->trace, memory_order_relaxed); /* written under roster */
    if (trace)
        (void)lane_make(trace, index); /* without one its notes are counted as lost */
}

/* ---- beginning and end ---- */

/* Ends the writer; what it met first. */
static int end_writer(weft__trace *trace)
{
    atomic_store_explicit(&trace->ending, true, memory_order_release); /* partner: the writer's acquire */
    weft__trace_kick(trace);
    pthread_join(trace->writer, NULL);
    int code = weft__file_close(trace->file);
    return trace->error ? trace->error : code;
}

/* All threads that there are get lanes, and all that will be made. */
static int show(weft__trace *trace)
{
    weft_executor *e = trace->executor;
    bool complete = true;
    note_counters(trace);
    pthread_mutex_lock(&e->roster);
    unsigned n = atomic_load_explicit(&e->thread_count, memory_order_relaxed);
    for (unsigned i = 0; i < n && complete; i++)
        complete = lane_make(trace, i);
    if (complete) {
        atomic_store_explicit(&e->trace, trace, memory_order_seq_cst);
        /* Release, partner of the acquire by who submits: he sees the trace then. */
        atomic_fetch_or_explicit(&e->detour, WEFT__DETOUR_TRACED, memory_order_release);
    }
    pthread_mutex_unlock(&e->roster);
    return complete ? 0 : -ENOMEM;
}

/* Under trace_lock. */
static int begin_trace(weft_executor *e, const char *path)
{
    if (atomic_load_explicit(&e->trace, memory_order_relaxed))
        return -EBUSY;
    weft__trace *trace = trace_new(e);
    if (!trace)
        return -ENOMEM;
    trace->number = atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
    trace->began = weft__now();
    atomic_init(&trace->next_id, IDS);
    int code = trace->file = weft__file_create(path);
    if (code >= 0) {
        code = weft__thread_start(&trace->writer, 0, "weft-trace", weft__trace_write, trace);
        if (code)
            weft__file_close(trace->file);
        else if ((code = show(trace)))
            end_writer(trace);
    }
    if (code)
        trace_free(trace);
    return code;
}

static void wait_until_out(_Atomic(uint32_t) *in_trace)
{
    /* Partner of enter, and of the release in leave. */
    for (unsigned i = 0; atomic_load_explicit(in_trace, memory_order_seq_cst); i++)
        if (i < PATIENCE)
            weft__pause();
        else /* it is off its CPU, and may need this one */
            weft__futex_wait(in_trace, 1, weft__now() + NAP_NS);
}

/* Takes the trace away from all threads. NULL: there is none. */
static weft__trace *hide(weft_executor *e)
{
    pthread_mutex_lock(&e->roster);
    weft__trace *trace = atomic_exchange_explicit(&e->trace, NULL, memory_order_seq_cst);
    atomic_fetch_and_explicit(&e->detour, ~(uint32_t)WEFT__DETOUR_TRACED, memory_order_relaxed);
    unsigned n = atomic_load_explicit(&e->thread_count, memory_order_relaxed);
    pthread_mutex_unlock(&e->roster);
    for (unsigned i = 0; trace && i < n; i++)
        wait_until_out(&e->threads[i]->port.in_trace);
    wait_until_out(&e->coordinator.port.in_trace);
    pthread_mutex_lock(&e->outside_lock);
    pthread_mutex_unlock(&e->outside_lock);
    return trace;
}

int weft__trace_finish(weft_executor *e)
{
    int state, code = -EALREADY;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_mutex_lock(&e->trace_lock);
    weft__trace *trace = hide(e);
    if (trace) {
        code = end_writer(trace);
        trace_free(trace);
    }
    pthread_mutex_unlock(&e->trace_lock);
    pthread_setcancelstate(state, NULL);
    return code;
}

/* The executor that is meant; NULL: *code says why not. */
static weft_executor *traceable(weft_executor *e, int *code)
{
    if (!e && !(e = weft_executor_default())) {
        *code = -errno;
        return NULL;
    }
    *code = weft__stale(e) ? -ESTALE : weft__self.coordinator ? -EDEADLK : 0;
    return *code ? NULL : e;
}

int weft_trace_start(weft_executor *executor, const char *path)
{
    int state, code;
    if (!path)
        return -EINVAL;
    weft_executor *e = traceable(executor, &code);
    if (!e)
        return code;
    if (weft__phase(e) != WEFT__OPEN)
        return -ESHUTDOWN;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_mutex_lock(&e->trace_lock);
    code = begin_trace(e, path);
    pthread_mutex_unlock(&e->trace_lock);
    pthread_setcancelstate(state, NULL);
    return code;
}

int weft_trace_stop(weft_executor *executor)
{
    int code;
    weft_executor *e = traceable(executor, &code);
    return e ? weft__trace_finish(e) : code;
}
