/* as_completed.c: a queue of completions whose futures are known from the start, with a deadline for all of them.
 *
 * The queue and its entries are one block. Futures that are done already are put into the list of what is ready, in the
 * array's order, before any other is attached, so none that becomes done meanwhile can come before them. A future that
 * stands in the array twice is found by a table of addresses that lives as long as the call.
 *
 * The deadline. No timer is set: what the deadline decides is only what weft_queue_next answers, so the first call that
 * finds it passed decides it, under the queue's lock, by taking each entry off its future. One that could be detached
 * is given up: its future was not done. One that could not is in the hands of the settler, so its future is done or
 * will be within a few instructions, and it is delivered, even if it is not in the queue yet: to wait for that could be
 * to wait for something further down on this very stack. Its push comes later and is then passed over.
 *
 * Those that were given up are chained by their nodes, which are the caller's after a detach, and released when the
 * lock is free: a last reference may run functions of the program. */
#include "queue.h"

#include <errno.h>

/* ---- the deadline ---- */

/* The reference goes from the future's field to the tag, so that the entry counts as empty. */
static void give_up(weft_queue *q, weft__completion *entry, weft__completion *others)
{
    entry->tag = entry->future;
    entry->future = NULL;
    entry->node.next = weft__node_of(others);
    q->outstanding--;
    q->gave_up = true;
}

weft__completion *weft__queue_expire(weft_queue *q)
{
    weft__completion *given_up = NULL;
    if (weft__now() < q->deadline)
        return NULL;
    q->expired = true;
    for (size_t i = 0; i < q->chunks->n; i++) {
        weft__completion *entry = &q->chunks->entries[i];
        if (!entry->future || weft__done(weft__word(entry->future)) || !weft__detach(entry->future, &entry->node))
            continue;
        give_up(q, entry, given_up);
        given_up = entry;
    }
    return given_up;
}

void weft__queue_release(weft__completion *given_up)
{
    while (given_up) {
        weft__completion *next = weft__node_completion(given_up->node.next);
        weft__unref(given_up->tag);
        given_up = next;
    }
}

weft__completion *weft__queue_early(weft_queue *q)
{
    while (!q->chunks->entries[q->cursor].future)
        q->cursor++;
    q->early++;
    return &q->chunks->entries[q->cursor];
}

/* ---- making one ---- */

typedef struct seen_set {
    weft_future **places; /* a power of two of them, at least twice as many as futures */
    size_t mask;
} seen_set;

static bool seen_make(seen_set *seen, size_t n)
{
    size_t places = 2;
    while (places < 2 * n)
        places *= 2;
    seen->mask = places - 1;
    seen->places = weft__memory_alloc(places * sizeof(weft_future *));
    for (size_t i = 0; seen->places && i < places; i++)
        seen->places[i] = NULL;
    return seen->places != NULL;
}

static void seen_free(seen_set *seen)
{
    weft__memory_free(seen->places, (seen->mask + 1) * sizeof(weft_future *));
}

/* False: it was there already. */
static bool seen_add(seen_set *seen, weft_future *f)
{
    /* Futures are 64 bytes or more apart; the multiplication spreads what differs above that. */
    uint64_t hash = (uint64_t)((uintptr_t)f >> 6) * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (size_t)(hash >> 32) & seen->mask;
    for (; seen->places[i]; i = (i + 1) & seen->mask)
        if (seen->places[i] == f)
            return false;
    seen->places[i] = f;
    return true;
}

/* One entry for each future, no other thread involved yet; those that are done become ready. */
static void fill(weft_queue *q, weft_future *const futures[], size_t n, seen_set *seen)
{
    weft__completion *last = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!seen_add(seen, futures[i]))
            continue;
        weft__completion *entry = &q->chunks->entries[q->outstanding++];
        *entry = (weft__completion){.node.notify = weft__completion_done,
                                    .queue = q,
                                    .future = weft_future_retain(futures[i]),
                                    .tag = (void *)(uintptr_t)i};
        if (!weft__done(weft__word(futures[i])))
            continue;
        entry->node.previous = &entry->node; /* for attach_others, which makes it NULL: not attached */
        if (last)
            last->node.next = &entry->node;
        else
            q->ready = entry;
        last = entry;
    }
    q->chunks->n = q->outstanding;
}

static void attach_others(weft_queue *q)
{
    for (size_t i = 0; i < q->chunks->n; i++) {
        weft__completion *entry = &q->chunks->entries[i];
        bool is_ready = entry->node.previous != NULL;
        entry->node.previous = NULL;
        if (!is_ready && !weft__attach(entry->future, &entry->node))
            weft__completion_done(&entry->node);
    }
}

static size_t block_size(size_t n)
{
    return sizeof(weft_queue) + sizeof(weft__completions) + n * sizeof(weft__completion);
}

static weft_queue *queue_of(weft_future *const futures[], size_t n, int64_t deadline)
{
    seen_set seen;
    if (n > SIZE_MAX / 4 / sizeof(weft__completion) || !seen_make(&seen, n))
        return weft__refuse(-ENOMEM);
    weft_queue *q = weft__queue_new(block_size(n));
    if (q) {
        q->fixed = true;
        q->deadline = deadline;
        q->chunks = (weft__completions *)(void *)(q + 1);
        fill(q, futures, n, &seen);
        attach_others(q);
    }
    seen_free(&seen);
    return q;
}

weft_queue *weft_as_completed(weft_future *const futures[], size_t n, int64_t timeout)
{
    bool valid = !n || futures;
    for (size_t i = 0; valid && i < n; i++)
        valid = futures[i] != NULL;
    if (!valid)
        return weft__refuse(-EINVAL);
    if (weft__any_stale(futures, n))
        return weft__refuse(-ESTALE);
    return queue_of(futures, n, timeout == WEFT_FOREVER ? INT64_MAX : weft__deadline(weft__now(), timeout));
}
