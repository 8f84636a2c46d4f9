/* map.c: one function over many items, several of them to a job.
 *
 * A map is a future whose inputs are its own chunks: ordinary jobs that nobody else sees, submitted as one batch. The
 * block holds the items with their outcomes and a record for each chunk; so an item costs 16 bytes and a call, and all
 * that jobs have (stealing, help in waits, priority, delay, requests, shutdown) holds for chunks without a line here.
 *
 * What a caller sees is per item, whatever the chunks. Before each item a chunk looks whether it is to go on; the items
 * that are left when its function has returned, or when it is discarded unstarted, are skipped by its free_arg, which
 * runs exactly once in either case and before the chunk is done: with the reason that stands on the chunk's word by
 * then. The first item to fail is noted in `failed`, as the first input of a gather is.
 *
 * Discipline. An item's record and a chunk's `at` are written by whoever runs or discards the chunk, one thread at a
 * time; the queues order one after the other. They are read when the map is done, which the countdown orders behind all
 * of them. The map has a reference to itself until then: dropped, it runs on, and its failure is reported at its end.
 *
 * An item that ends its thread fails alone. Its chunk stays a running job and goes through a queue once more, by a link
 * of its own, for the job's may still be where the job was taken inline from; the next worker goes on behind the
 * item. */
#include "many.h"

#include <errno.h>

enum { CHUNKS_PER_WORKER = 4 }; /* enough for thieves to even out what differs; few enough to cost nothing */

typedef struct item {
    void *value;   /* the argument; once it ran, the value */
    int32_t error; /* as in weft_outcome, as the rest */
    uint8_t state; /* WEFT_PENDING, WEFT_RUNNING while its function runs, then as it ended */
    uint8_t reason;
} item;

typedef struct chunk {
    weft__link link;  /* of the queue, after an item has ended its thread */
    weft__many *many; /* constant */
    size_t at;        /* the item that runs, or is next */
} chunk;

typedef struct map {
    weft_fn *fn;                /* constant, as the next four */
    void (*free_arg)(void *);   /* of each item */
    void (*free_value)(void *); /* likewise */
    size_t n;                   /* items */
    size_t chunk;               /* items of a chunk; the last may have fewer */
    item items[];               /* and behind them the chunks */
} map;

static map *map_of(const weft__many *g)
{
    return weft__many_tail(g);
}

static chunk *chunks_of(map *m)
{
    return (chunk *)(void *)(m->items + m->n);
}

static size_t number_of(const chunk *c)
{
    return (size_t)(c - chunks_of(map_of(c->many)));
}

/* One behind its last item. */
static size_t end_of(const chunk *c)
{
    const map *m = map_of(c->many);
    size_t first = number_of(c) * m->chunk;
    return m->n - first < m->chunk ? m->n : first + m->chunk;
}

static weft_future *job_of(const chunk *c)
{
    return c->many->inputs[number_of(c)];
}

/* ---- items ---- */

static void map_decided(weft__many *g)
{
    if (g->mode == WEFT_STRICT)
        weft__poke(&g->base, WEFT__PROPAGATE, 0);
}

static void record(weft__many *g, size_t i, weft_state state, int error, weft_cancel_reason reason)
{
    item *it = &map_of(g)->items[i];
    it->state = (uint8_t)state;
    it->error = error;
    it->reason = (uint8_t)reason;
    if (state != WEFT_SUCCEEDED && weft__many_note_failure(g, i, reason == WEFT_REASON_SHUTDOWN) &&
        atomic_load_explicit(&g->made, memory_order_seq_cst)) /* see many.c, note_first */
        map_decided(g);
}

static void record_failure(weft__many *g, size_t i, int failure)
{
    weft_future *job = weft__self.job;
    if (failure != -ECANCELED)
        record(g, i, WEFT_FAILED, failure, WEFT_REASON_NONE);
    else /* SELF is the item's alone and must not get on the chunk's word */
        record(g, i, WEFT_CANCELLED, failure,
               weft__job_cancelled(job) ? weft__reason(weft__word(job)) : WEFT_REASON_SELF);
}

static void run_item(weft__many *g, chunk *c)
{
    const map *m = map_of(g);
    item *it = &map_of(g)->items[c->at];
    void *arg = it->value;
    it->state = WEFT_RUNNING;
    weft__self.failure = 0;
    void *value = m->fn(arg);
    weft__fork_check(g->base.executor);
    int failure = weft__self.failure;
    it->value = failure ? NULL : value;
    if (failure)
        record_failure(g, c->at, failure);
    else
        record(g, c->at, WEFT_SUCCEEDED, 0, WEFT_REASON_NONE);
    if (m->free_arg) {
        m->free_arg(arg);
        weft__fork_check(g->base.executor);
    }
    if (failure && value && m->free_value) {
        m->free_value(value);
        weft__fork_check(g->base.executor);
    }
    c->at++;
}

/* Between items: is the chunk to stop? What concerns all chunks need not have reached this one yet. */
static bool is_stopped(weft__many *g)
{
    weft_future *job = weft__self.job;
    uint64_t word = weft__word(&g->base);
    if (WEFT__UNLIKELY(word & WEFT__CANCEL))
        weft__cancel(job, weft__reason_below(weft__reason(word)));
    else if (WEFT__UNLIKELY(weft__cancels_pending(job->executor)))
        weft__cancel(job, WEFT_REASON_SHUTDOWN);
    else if (g->mode == WEFT_STRICT && atomic_load_explicit(&g->failed, memory_order_relaxed))
        weft__cancel(job, WEFT_REASON_SIBLING);
    return weft_cancelled();
}

/* ---- chunks ---- */

static void *run_chunk(void *argument)
{
    chunk *c = argument;
    weft__many *g = c->many;
    size_t end = end_of(c);
    while (c->at < end && !is_stopped(g))
        run_item(g, c);
    weft__self.failure = 0;
    return NULL;
}

/* The chunk's free_arg. What it has not run by now will not be run: it was asked to stop, or its executor is broken. */
static void end_chunk(void *argument)
{
    chunk *c = argument;
    weft__many *g = c->many;
    map *m = map_of(g);
    size_t end = end_of(c);
    uint64_t word = weft__word(job_of(c));
    int broken = atomic_load_explicit(&g->base.executor->broken, memory_order_acquire);
    while (c->at < end) {
        size_t i = c->at++;
        void *arg = m->items[i].value;
        m->items[i].value = NULL;
        if (word & WEFT__CANCEL)
            record(g, i, WEFT_CANCELLED, -ECANCELED, weft__reason(word));
        else
            record(g, i, WEFT_FAILED, broken, WEFT_REASON_NONE);
        if (m->free_arg)
            m->free_arg(arg);
        if (weft__stale(g->base.executor)) /* it forked, and this is the child */
            return;
    }
}

/* A worker, or the coordinator when it empties the queues, in which case no item is run. */
static void chunk_taken(weft__link *link, weft__thread *thread)
{
    weft_future *job = job_of((chunk *)(void *)link);
    (void)thread;
    job->fn = run_chunk;
    weft__job_execute(job, WEFT__RUN_TAKEN, 1);
}

static const weft__ops chunk_ops = {.run = chunk_taken};

/* In the hook of a thread that is ending. */
bool weft__chunk_goes_on(weft_future *f)
{
    weft__options *o = weft__options_of(f);
    if (!o || o->free_arg != end_chunk)
        return false;
    chunk *c = f->value;
    weft__many *g = c->many;
    map *m = map_of(g);
    item *it = c->at < end_of(c) ? &m->items[c->at] : NULL;
    if (it && it->state == WEFT_RUNNING) {
        void *arg = it->value;
        it->value = NULL;
        record(g, c->at, WEFT_FAILED, -EOWNERDEAD, WEFT_REASON_NONE);
        if (m->free_arg)
            m->free_arg(arg);
        if (weft__stale(g->base.executor)) /* it forked, and this is the child */
            return true;
    }
    if (it && it->state != WEFT_PENDING)
        c->at++;
    o->counted = false; /* it has started: see count_started in job.c */
    if (!(f->outer & WEFT__RUN_TAKEN))
        weft_future_retain(f); /* the queue's; else that of the queue that it came from */
    weft__enqueue_own(f->executor, o->priority, &c->link);
    return true;
}

/* ---- the map ---- */

static bool map_needs_all(const weft__many *g)
{
    (void)g;
    return true;
}

static size_t map_slots(const weft__many *g)
{
    return map_of(g)->n;
}

static void map_slot(weft__many *g, size_t i, weft_outcome *outcome)
{
    const item *it = &map_of(g)->items[i];
    *outcome = (weft_outcome){.state = (weft_state)it->state,
                              .error = it->error,
                              .value = it->state == WEFT_SUCCEEDED ? it->value : NULL,
                              .reason = (weft_cancel_reason)it->reason};
}

static weft_future *map_source(const weft__many *g, size_t slot)
{
    return g->inputs[slot / map_of(g)->chunk];
}

static void map_dispose(weft_future *f, uint64_t word)
{
    weft__many *g = weft__many_of(f);
    const map *m = map_of(g);
    (void)word;
    weft__many_unlist(g);
    for (size_t i = 0; i < g->n; i++)
        weft__unref(g->inputs[i]);
    for (size_t i = 0; i < m->n && m->free_value; i++)
        if (m->items[i].state == WEFT_SUCCEEDED) {
            m->free_value(m->items[i].value);
            if (weft__stale(f->executor)) /* it forked, and this is the child */
                return;
        }
    weft__many_free(g);
}

static const weft__many_ops map_ops = {
    .base =
        {
            .link = {.handle = weft__many_handle},
            .kind = WEFT__MANY,
            .memory = WEFT__SLAB_CLASSES,
            .cancel = weft__many_cancel,
            .help = weft__many_help,
            .rests_on_job = weft__many_rests,
            .dispose = map_dispose,
        },
    .own = 1,
    .decided = map_decided,
    .conclude = weft__many_conclude,
    .needs_all = map_needs_all,
    .slots = map_slots,
    .slot = map_slot,
    .source = map_source,
};

/* ---- making one ---- */

/* Items to a chunk, if the caller leaves it to us. A map must not be refused for the number of chunks that we chose. */
static size_t choose_chunk(const weft_executor *e, size_t n)
{
    size_t chunks = (size_t)e->workers * CHUNKS_PER_WORKER;
    if (e->max_pending && chunks > e->max_pending)
        chunks = e->max_pending;
    return n ? (n - 1) / chunks + 1 : 1;
}

static weft__many *map_new(weft_executor *e, weft_fn *fn, void *const items[], size_t n, size_t chunk_size,
                           weft_gather_mode mode, const weft_submit_options *each)
{
    size_t chunks = n / chunk_size + (n % chunk_size != 0);
    weft__many *g = weft__many_new(e, &map_ops, chunks, mode, sizeof(map) + n * sizeof(item) + chunks * sizeof(chunk));
    if (!g)
        return NULL;
    map *m = map_of(g);
    *m = (map){.fn = fn, .n = n, .chunk = chunk_size};
    if (each) {
        m->free_arg = each->free_arg;
        m->free_value = each->free_value;
    }
    for (size_t i = 0; i < n; i++)
        m->items[i] = (item){.value = items[i], .state = WEFT_PENDING};
    for (size_t i = 0; i < chunks; i++) {
        chunk *c = &chunks_of(m)[i];
        atomic_init(&c->link.next, NULL);
        atomic_init(&c->link.ops, &chunk_ops);
        c->many = g;
        c->at = i * chunk_size;
    }
    return g;
}

/* Makes the chunks' jobs and queues them: all or none. 0 or a code. */
static int submit_chunks(weft__many *g, weft__batch *batch)
{
    chunk *chunks = chunks_of(map_of(g));
    for (size_t i = 0; i < g->n; i++) {
        g->inputs[i] = weft__batch_add(batch, run_chunk, &chunks[i]);
        if (!g->inputs[i])
            return -ENOMEM;
        weft__observe(g->inputs[i]); /* what it has to say the items say */
    }
    return weft__batch_queue(batch);
}

static int map_start(weft_executor *e, weft__many *g, const weft_submit_options *each)
{
    static const weft_submit_options none;
    weft_submit_options given = each ? *each : none;
    weft__batch batch;
    given.free_arg = end_chunk;
    given.free_value = NULL;
    int code = weft__batch_begin(&batch, e, g->n, 2, &given);
    if (code)
        return code;
    code = submit_chunks(g, &batch);
    if (code)
        weft__batch_refuse(&batch);
    return code;
}

static bool items_valid(void *const items[], size_t n)
{
    if (n && !items)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!items[i])
            return false;
    return true;
}

weft_future *weft_map_with(weft_executor *e, weft_fn *fn, void *const items[], size_t n, size_t chunk_size,
                           weft_gather_mode mode, const weft_submit_options *each)
{
    if (!fn || (unsigned)mode > WEFT_STRICT || !weft__options_valid(each))
        return weft__refuse(-EINVAL);
    if (items && n > SIZE_MAX / 8 / (sizeof(item) + sizeof(chunk))) /* no array is so long */
        return weft__refuse(-ENOMEM);
    if (!items_valid(items, n))
        return weft__refuse(-EINVAL);
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    if (weft__refused_phase(e))
        return weft__refuse(-ESHUTDOWN);
    weft__many *g = map_new(e, fn, items, n, chunk_size ? chunk_size : choose_chunk(e, n), mode, each);
    if (!g)
        return weft__refuse(-ENOMEM);
    int code = n ? map_start(e, g, each) : 0;
    if (code) {
        weft__many_free(g);
        return weft__refuse(code);
    }
    weft__many_attach(g, 0); /* the chunks are its own: it finds their direct place free */
    weft__many_publish(g);
    return &g->base;
}

weft_future *weft_map(weft_executor *e, weft_fn *fn, void *const items[], size_t n, size_t chunk_size,
                      weft_gather_mode mode)
{
    return weft_map_with(e, fn, items, n, chunk_size, mode, NULL);
}
