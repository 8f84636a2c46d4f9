/* queue.c: completions, in the order in which they come, for threads that ask for the next one and for event loops.
 *
 * Each future that was added has an entry with a node in its waiter list. Whoever settles the future pushes the entry
 * on a stack that any thread can push to (the newest entry's address in one word, `head`); consumers take the whole
 * stack under the queue's lock, turn it round into the list `ready`, and deliver from there. So a worker that finishes
 * a job makes one compare-and-swap and goes on, whatever the consumers are doing; it takes the lock only if somebody
 * sleeps or watches, and then it has a system call to make anyway. The stack with bits is that of executor/mailbox.c.
 *
 * The word. Under the lock, and only while nothing is ready, a consumer that is about to sleep puts ASLEEP there, and
 * who leaves a queue that has a descriptor puts WATCHED. The push that replaces the bits by its entry owes an answer:
 * it comes in under the lock and wakes or raises. Both are on one word, so there is no pair of looks that could miss
 * each other: either the bits are set first and the push sees them, or the push is first and the bits are not set (the
 * compare-and-swap in `seek_rest` expects a word without an entry). A push whose compare-and-swap meets the value that
 * it read long ago, after the same entry was delivered, used again and pushed again, does no harm: all that it
 * concludes from the value, what comes below its entry and what it owes, is true of the word as it is now, and nobody
 * takes single entries off the stack.
 *
 * Invariant, whenever nobody has the lock, with "ready" for what is in the list or on the stack:
 *     nothing ready   ASLEEP is set if a consumer sleeps, WATCHED if there is a descriptor, which is not readable
 *     ready           each sleeping consumer has one before it that was told and is on its way to the lock, and a
 *                     descriptor is readable; or a push has cleared the bits and is on its way to the lock
 *     none outstanding   nobody sleeps
 * `leave` makes it hold again at the end of each stay under the lock, whatever was done there; so to answer for a push
 * is just to come in and leave. Of many pushes only the first answers; a consumer that was told and finds more passes
 * it on, and one that gives up at that very moment has to come in and leave as well, which passes it on too.
 *
 * What a push may touch. Up to its compare-and-swap the queue stands because the entry is outstanding. With it the
 * entry is the consumers': it may be delivered and used again at once, and the queue destroyed. So a push that owes
 * nothing touches nothing more. For one that owes an answer destroy waits: bits are set and seen gone only under the
 * lock, so the pushes that have cleared some can be counted there (`cleared`), and each counts itself when it comes
 * (`answered`). The interleaving that this is for: a push clears WATCHED; a consumer polls, delivers its entry, and
 * destroys the queue; the push would then raise a descriptor that by now is somebody else's. There may be several such
 * pushes at a time, because consumers set the bits again without waiting for the answer to the last ones.
 *
 * Destroy does not wait for a future that is being settled: its node may be further down in the caller's own stack, in
 * a free_value that a settler calls. Entries that can neither be detached nor found in the queue are on their way;
 * destroy adds their number to `late`, each of their settlers finds CLOSED and subtracts one, and whoever makes it 0
 * frees the queue. Until destroy has added, it is not above 0, so none of them can mistake itself for the last.
 *
 * Memory. Entries are made in chunks of the queue's own and are used again; a queue that runs empty gives all chunks
 * but one back. Nothing hangs on an executor, so a queue survives all of them.
 *
 * Model: tests/model/queue.pml.
 *
 * Locks: the queue's is taken before a future's (as_completed.c), never the other way round; bells are rung and futexes
 * woken under it, so that the sleeper, who takes it before it returns, is still there. */
#include "queue.h"

#include <errno.h>

#ifdef WEFT_TINY
enum { ENTRIES_IN_CHUNK = 2 };
#else
enum { ENTRIES_IN_CHUNK = 84 }; /* 4 KiB */
#endif

static const uintptr_t bits_of_head = 7;

static weft__completion *entry_of(uintptr_t head)
{
    return (weft__completion *)(head & ~bits_of_head);
}

static weft__completion *next_of(const weft__completion *entry)
{
    return weft__node_completion(entry->node.next);
}

/* ---- under the lock: what rests, sleeps and watches ---- */

/* seen: a value of head, read under the lock. Bits that we put there and that an entry has replaced: its push owes us
 * an answer. */
static void note_cleared(weft_queue *q, uintptr_t seen)
{
    if (!entry_of(seen) || !q->asked)
        return;
    q->cleared++;
    q->asked = 0;
}

/* Nothing is in the list. True: nor on the stack, and the next push finds what it is to do in the word. */
static bool seek_rest(weft_queue *q)
{
    /* A watched queue has its bit there for good; the other one comes and goes with those who sleep. */
    uintptr_t wanted = (uintptr_t)((q->first ? WEFT__QUEUE_ASLEEP : 0) | (q->event >= 0 ? WEFT__QUEUE_WATCHED : 0));
    /* Relaxed: an entry missed here is one that comes later; the next steps are on the same word. */
    uintptr_t seen = atomic_load_explicit(&q->head, memory_order_relaxed);
    while (!entry_of(seen)) {
        if (seen == wanted)
            return true;
        WEFT_POINT();
        /* Relaxed: the bits pass nothing on. Who finds them comes in by the lock. */
        if (atomic_compare_exchange_weak_explicit(&q->head, &seen, wanted, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            q->asked = wanted;
            return true;
        }
    }
    note_cleared(q, seen);
    return false;
}

static void unlist(weft_queue *q, weft__consumer *c)
{
    *(c->previous ? &c->previous->next : &q->first) = c->next;
    *(c->next ? &c->next->previous : &q->last) = c->previous;
}

static void tell_first(weft_queue *q)
{
    weft__consumer *c = q->first;
    unlist(q, c);
    q->coming++;
    /* Relaxed, as in was_told: who sees it takes the lock next, and that orders all the rest. */
    atomic_store_explicit(&c->told, 1, memory_order_relaxed);
    if (c->thread)
        weft__bell_ring(c->thread); /* it stays: its job cannot return before it has had the lock */
    else
        weft__futex_wake(&c->told, 1);
}

/* Unlocks, with the invariant in force. */
static void leave(weft_queue *q)
{
    bool some = q->ready || !seek_rest(q);
    if (q->event >= 0 && some != q->raised) {
        q->raised = some;
        if (some)
            weft__event_raise(q->event);
        else
            weft__event_lower(q->event); /* a push that came meanwhile has cleared WATCHED and waits for the lock */
    }
    while (q->first && (q->outstanding == 0 || (some && q->coming == 0)))
        tell_first(q);
    pthread_mutex_unlock(&q->lock);
}

/* ---- settlers ---- */

static void free_chunks(weft__completions *chunk)
{
    while (chunk) {
        weft__completions *next = chunk->next;
        weft__memory_free(chunk, sizeof *chunk + chunk->n * sizeof *chunk->entries);
        chunk = next;
    }
}

static void queue_free(weft_queue *q)
{
    pthread_mutex_destroy(&q->lock);
    if (!q->fixed)
        free_chunks(q->chunks);
    weft__zeroed_free(q, q->size);
}

/* For a push that cleared bits. */
static void answer(weft_queue *q)
{
    WEFT_POINT();
    pthread_mutex_lock(&q->lock);
    /* Relaxed: under the lock, but for the futex. */
    atomic_fetch_add_explicit(&q->answered, 1, memory_order_relaxed);
    if (atomic_load_explicit(&q->head, memory_order_relaxed) != WEFT__QUEUE_CLOSED) {
        leave(q);
        return;
    }
    weft__futex_wake(&q->answered, 1);
    pthread_mutex_unlock(&q->lock);
}

/* The queue was destroyed while this entry was on its way. */
static void come_late(weft__completion *entry)
{
    weft_queue *q = entry->queue;
    weft_future *f = entry->future;
    WEFT_POINT();
    /* acq_rel: who frees comes after what all others did there. */
    if (atomic_fetch_sub_explicit(&q->late, 1, memory_order_acq_rel) == 1)
        queue_free(q);
    weft_future_release(f);
}

void weft__completion_done(weft__waiter *node)
{
    weft__completion *entry = weft__node_completion(node);
    weft_queue *q = entry->queue;
    WEFT_POINT();
    /* Acquire, here and below: for CLOSED alone; what the destroyer and consumers before it did to the entry. */
    uintptr_t seen = atomic_load_explicit(&q->head, memory_order_acquire);
    do {
        if (seen == WEFT__QUEUE_CLOSED) {
            come_late(entry);
            return;
        }
        node->next = weft__node_of(entry_of(seen));
        WEFT_POINT();
        /* Release, partner of the acquire in `take`: the entry, and that its future is done. Later pushes continue the
         * release sequence, being read-modify-writes. */
    } while (!atomic_compare_exchange_weak_explicit(&q->head, &seen, (uintptr_t)entry, memory_order_release,
                                                    memory_order_acquire));
    if (WEFT__UNLIKELY(seen & bits_of_head))
        answer(q);
}

/* ---- making and adding ---- */

weft_queue *weft__queue_new(size_t size)
{
    weft_queue *q = weft__fork_watch() ? NULL : weft__zeroed_alloc(size);
    if (!q)
        return weft__refuse(-ENOMEM);
    pthread_mutex_init(&q->lock, NULL);
    q->size = size;
    q->generation = weft__generation;
    q->event = -1;
    q->deadline = INT64_MAX;
    return q;
}

weft_queue *weft_queue_create(weft_executor *executor)
{
    if (executor && weft__stale(executor))
        return weft__refuse(-ESTALE);
    /* No more of it: see Memory, above. */
    return weft__queue_new(sizeof(weft_queue));
}

static weft__completions *chunk_new(void)
{
    size_t n = ENTRIES_IN_CHUNK;
    weft__completions *chunk = weft__memory_alloc(sizeof *chunk + n * sizeof *chunk->entries);
    if (!chunk)
        return NULL;
    *chunk = (weft__completions){.n = n};
    for (size_t i = 0; i < n; i++)
        chunk->entries[i].future = NULL; /* who looks for what is outstanding passes over it */
    return chunk;
}

/* From *chunk if there is no other; it is NULL then. */
static weft__completion *take_unused(weft_queue *q, weft__completions **chunk)
{
    weft__completion *entry = q->unused;
    if (entry) {
        q->unused = next_of(entry);
        return entry;
    }
    if (q->untouched == 0 && *chunk) {
        (*chunk)->next = q->chunks;
        q->chunks = *chunk;
        q->untouched = (*chunk)->n;
        *chunk = NULL;
    }
    return q->untouched ? &q->chunks->entries[--q->untouched] : NULL;
}

static weft__completion *entry_new(weft_queue *q, weft_future *f, void *tag)
{
    weft__completions *chunk = NULL;
    pthread_mutex_lock(&q->lock);
    weft__completion *entry = take_unused(q, &chunk);
    if (!entry) { /* the allocator may be the program's, and is not called under a lock */
        pthread_mutex_unlock(&q->lock);
        chunk = chunk_new();
        if (!chunk)
            return NULL;
        pthread_mutex_lock(&q->lock);
        entry = take_unused(q, &chunk);
    }
    if (entry) {
        entry->node.notify = weft__completion_done;
        entry->queue = q;
        entry->future = weft_future_retain(f);
        entry->tag = tag;
        q->outstanding++; /* nothing that `leave` would look at: nobody sleeps while it is 0 */
    }
    pthread_mutex_unlock(&q->lock);
    free_chunks(chunk); /* somebody else was first */
    return entry;
}

int weft_queue_add(weft_queue *q, weft_future *f, void *tag)
{
    if (!q)
        return -EINVAL;
    if (weft__inherited(q->generation) || (f && weft__stale(f->executor)))
        return -ESTALE;
    if (q->fixed)
        return -EINVAL;
    if (!f)
        return weft__no_future();
    weft__completion *entry = entry_new(q, f, tag);
    if (!entry)
        return -ENOMEM;
    WEFT_POINT();
    if (!weft__attach(f, &entry->node))
        weft__completion_done(&entry->node);
    return 0;
}

/* ---- delivering ---- */

static weft__completion *reverse(weft__completion *entry)
{
    weft__completion *done = NULL;
    while (entry) {
        weft__completion *next = next_of(entry);
        entry->node.next = weft__node_of(done);
        done = entry;
        entry = next;
    }
    return done;
}

static weft__completion *take_stack(weft_queue *q)
{
    /* Relaxed: a look. */
    if (!entry_of(atomic_load_explicit(&q->head, memory_order_relaxed)))
        return NULL;
    WEFT_POINT();
    /* Acquire: of every push in it. Nobody else takes entries away, so there is one still. */
    uintptr_t seen = atomic_exchange_explicit(&q->head, 0, memory_order_acquire);
    note_cleared(q, seen);
    return reverse(entry_of(seen));
}

/* The oldest entry that is ready; NULL: none. */
static weft__completion *take(weft_queue *q)
{
    for (;;) {
        if (!q->ready)
            q->ready = take_stack(q);
        weft__completion *entry = q->ready;
        if (!entry)
            return NULL;
        q->ready = next_of(entry);
        if (entry->future)
            return entry;
        q->early--; /* it was delivered before it came */
    }
}

/* The oldest future that is done, or NULL and a code if there never will be one unless more are added. */
static weft_future *deliver(weft_queue *q, void **tag, int *code)
{
    weft__completion *entry = take(q);
    if (!entry && q->outstanding && q->expired)
        entry = weft__queue_early(q);
    if (!entry) {
        if (!q->outstanding)
            *code = q->gave_up ? -ETIMEDOUT : -ENODATA;
        return NULL;
    }
    weft_future *f = entry->future;
    if (tag)
        *tag = entry->tag;
    entry->future = NULL;
    q->outstanding--;
    if (!q->fixed) {
        entry->node.next = weft__node_of(q->unused);
        q->unused = entry;
    }
    return f;
}

/* A queue that has run empty keeps one chunk. Returns the others, to be freed when the lock is free. */
static weft__completions *surplus(weft_queue *q)
{
    if (q->outstanding || !q->chunks)
        return NULL;
    weft__completions *others = q->chunks->next;
    q->chunks->next = NULL;
    if (others) {
        q->unused = NULL;
        q->untouched = q->chunks->n;
    }
    return others;
}

/* ---- waiting ---- */

static bool was_told(void *context)
{
    weft__consumer *c = context;
    return atomic_load_explicit(&c->told, memory_order_relaxed);
}

static int sleep_outside(weft__consumer *c, int64_t deadline)
{
    int code = 0;
    while (!was_told(c) && code != -ETIMEDOUT)
        code = weft__futex_wait(&c->told, 0, deadline);
    return was_told(c) ? 0 : code;
}

/* Comes with the lock and goes with it. 0: look again; or why there was no sleep, or no more of it. */
static int sleep_until(weft_queue *q, int64_t deadline)
{
    weft__consumer c = {.previous = q->last, .thread = weft__self.thread};
    *(q->last ? &q->last->next : &q->first) = &c;
    q->last = &c;
    leave(q);
    /* What a worker waits for is not one future but whichever comes, so it runs none of them here, and the search for
     * waits in a circle finds no end to follow. */
    weft__wait wait = {.ready = was_told, .context = &c, .all = true};
    int code = c.thread ? weft__block(&wait, deadline) : sleep_outside(&c, deadline);
    WEFT_POINT();
    pthread_mutex_lock(&q->lock);
    if (was_told(&c))
        q->coming--;
    else
        unlist(q, &c);
    return code;
}

/* Why this thread may not wait. */
static int refusal(int64_t timeout)
{
    const weft__self_t *self = &weft__self;
    if (self->job && weft__job_cancelled(self->job))
        return -EINTR;
    if (timeout <= 0)
        return -ETIMEDOUT;
    return self->coordinator ? -EDEADLK : 0;
}

static weft_future *take_next(weft_queue *q, int64_t timeout, void **tag)
{
    int64_t deadline = timeout <= 0 || timeout == WEFT_FOREVER ? INT64_MAX : weft__deadline(weft__now(), timeout);
    if (deadline > q->deadline)
        deadline = q->deadline;
    weft__completion *given_up = NULL;
    weft_future *f;
    int code = 0;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        int end = 0;
        if (q->deadline != INT64_MAX && !q->expired)
            given_up = weft__queue_expire(q);
        f = deliver(q, tag, &end);
        if (!f && (end || code))
            code = end ? end : code;
        else if (!f)
            code = refusal(timeout);
        if (f || code)
            break;
        code = sleep_until(q, deadline);
    }
    weft__completions *unneeded = surplus(q);
    leave(q);
    free_chunks(unneeded);
    weft__queue_release(given_up);
    if (!f)
        errno = -code;
    return f;
}

weft_future *weft_queue_next(weft_queue *q, int64_t timeout, void **tag)
{
    if (!q)
        return weft__refuse(-EINVAL);
    if (weft__inherited(q->generation))
        return weft__refuse(-ESTALE);
    /* Before it is known to wait: a destructor that this calls may take from the queue as well. Or fork. */
    bool interrupted = weft__notify_first();
    weft_future *f = weft__inherited(q->generation) ? weft__refuse(-ESTALE) : take_next(q, timeout, tag);
    weft__notify_later(interrupted);
    return f;
}

int weft_queue_fd(weft_queue *q)
{
    if (!q)
        return -EINVAL;
    if (weft__inherited(q->generation))
        return -ESTALE;
    pthread_mutex_lock(&q->lock);
    if (q->event < 0)
        q->event = weft__event_open();
    int event = q->event;
    leave(q);
    return event;
}

/* ---- the end ---- */

/* Takes entries off their futures and chains them. Nobody else uses the queue any more but those who settle. They are
 * not released yet: a last reference may run functions of the program, and one of those may fork, after which the lists
 * of the other futures must not be touched. */
static weft__completion *detach_all(weft_queue *q)
{
    weft__completion *detached = NULL;
    for (weft__completions *chunk = q->chunks; chunk; chunk = chunk->next) {
        for (size_t i = 0; i < chunk->n; i++) {
            weft__completion *entry = &chunk->entries[i];
            if (!entry->future || weft__done(weft__word(entry->future)) || !weft__detach(entry->future, &entry->node))
                continue;
            entry->node.next = weft__node_of(detached);
            detached = entry;
        }
    }
    return detached;
}

/* Refuses further pushes and waits for those that owe an answer. What was on the stack goes to *newest. */
static void close_queue(weft_queue *q, weft__completion **newest)
{
    pthread_mutex_lock(&q->lock);
    /* acq_rel: acquire as `take`; release, partner of the acquire of a late push: all that was done to its entry. */
    uintptr_t seen = atomic_exchange_explicit(&q->head, WEFT__QUEUE_CLOSED, memory_order_acq_rel);
    *newest = entry_of(seen);
    note_cleared(q, seen);
    uint32_t answered;
    while ((answered = atomic_load_explicit(&q->answered, memory_order_relaxed)) != q->cleared) {
        pthread_mutex_unlock(&q->lock);
        weft__futex_wait(&q->answered, answered, INT64_MAX);
        pthread_mutex_lock(&q->lock);
    }
    if (q->event >= 0)
        weft__event_close(q->event);
    pthread_mutex_unlock(&q->lock);
}

static size_t release_all(weft__completion *entry)
{
    size_t n = 0;
    for (; entry; entry = next_of(entry), n++)
        weft_future_release(entry->future); /* NULL: delivered early */
    return n;
}

void weft_queue_destroy(weft_queue *q)
{
    weft__completion *newest;
    if (!q || weft__inherited(q->generation))
        return;
    weft__completion *detached = detach_all(q);
    WEFT_POINT();
    close_queue(q, &newest);
    size_t gone = release_all(detached) + release_all(newest) + release_all(q->ready);
    if (weft__inherited(q->generation)) /* a destructor forked, and this is the child */
        return;
    ptrdiff_t late = (ptrdiff_t)(q->outstanding + q->early - gone);
    WEFT_POINT();
    /* acq_rel: who frees comes after what all others did there. */
    if (atomic_fetch_add_explicit(&q->late, late, memory_order_acq_rel) + late == 0)
        queue_free(q);
}
