/* slab.c: chunks, and how they change hands.
 *
 * The shape is that of mimalloc (Leijen, Zorn, de Moura 2019): small pages of one size, found from an object by masking
 * its address, each with a free list for its owner and a list for everybody else, so that frees of different pages
 * never meet. It differs in that a full chunk is let go by its thread at once, so that no thread has to look through
 * its full chunks and there is nothing to hand over when a thread ends.
 *
 * Holding. A chunk is HELD by exactly one thread, or by none:
 *
 *     active   a heap has it; the heap's thread holds it, takes from it and gives back to it
 *     caretaken   a thread has a decision to make about it: release it, list it or leave it
 *     left     nobody holds it; if it is also LISTED (in slab->partial) then a heap may take it
 *
 * Whether a chunk is held is part of the word that every free changes, remote = {head, freed, goal}:
 *
 *     head    offset of the object that others freed last, linked to the one before in the chunk's table; 0: none
 *     freed   how many these are
 *     goal    0: the chunk is held. Otherwise the value of `freed` at which somebody must take care of the chunk
 *
 *     from                 to                      who                                       where
 *     {h, f, g}            {o, f + 1, g}           any thread frees o, g != f + 1            weft__slab_free_remote
 *     {h, f, f + 1}        {o, f + 1, 0}           any thread frees o and becomes caretaker  weft__slab_free_remote
 *     {h, f, 0}            {0, 0, 0}               the heap's thread collects                collect
 *     {h, f, 0}            {h, f, g}, g > f        the holder leaves it                      leave
 *     {h, f, g}, listed    {h, f, 0}               a heap takes it, under the lock           take_partial
 *
 * The goal that a holder sets is the number at which all objects are free if the chunk is listed, else the one at which
 * enough are free to list it. So of the threads that free, exactly one meets the goal, and by the same compare-and-swap
 * it becomes the holder.
 *
 * Who may touch a chunk: (1) the holder; (2) a thread that has an object of it which it has not freed yet, up to the
 * compare-and-swap that frees it; (3) a thread with the slab's lock, as long as the chunk is in a region's used part:
 * walks, and heaps that look through slab->partial. Only a holder that has found every object free releases a chunk,
 * and it does so under the lock. Then there is no (2), because no object is out; no (3), because it has the lock; and
 * no second (1). That holds in each of the interleavings that look dangerous:
 *
 *   - Two threads free the last two objects of a listed chunk. The one whose compare-and-swap comes second meets the
 *     goal and releases. The first does not touch the chunk after its own.
 *   - A thread meets the goal of an unlisted chunk and goes to list it; meanwhile the others are freed. These see goal
 *     0 and leave everything to the caretaker, which compares the word again when it gives up holding: it finds all
 *     free and releases instead. Nobody else could have released it.
 *   - A heap takes a listed chunk while the last object is freed. Both change the word. If the free is first, the chunk
 *     is held (goal 0) and the heap passes it over; the caretaker waits for the lock, then takes it out of the list and
 *     releases it. If the heap is first, the free finds goal 0 and is one of the frees that the heap will collect.
 *   - The caretaker inserts into the list under the lock but leaves the chunk after unlocking: as long as it holds the
 *     chunk, the chunk and therefore the slab cannot go, so it never unlocks a lock that has been freed.
 *
 * Lifetime of the slab: pins counts the creator and the chunks in use. Whoever releases a chunk drops its pin after it
 * has unlocked and as its last step, so when the last pin goes nobody is inside the slab.
 *
 * The lock is taken when a chunk changes hands: at most a few times for each eighth of a chunk's objects.
 *
 * Order. What a free writes (the link, and all that its thread did with the object) is released by its
 * compare-and-swap; all changes of remote are read-modify-writes, so each of them continues the release sequences of
 * the frees before it, and one acquire by collect, leave or take_partial covers them all. The same word, released by
 * leave, hands the plain fields of the chunk from one holder to the next. */
#include "slab_parts.h"
#include "memory.h"

#include <assert.h>

enum {
    REGION_CHUNKS = 4, /* 256 KiB, as long as the slab is small */
#ifdef WEFT_TINY
    CAPACITY_MAX = 16,
    BATCH = 2,
    REGION_CHUNKS_LARGE = 8,
    LARGE_FROM = 1024 * 1024
#else
    CAPACITY_MAX = 65535,
    BATCH = 32,               /* objects that a heap carves, or at least collects, at a time */
    REGION_CHUNKS_LARGE = 32, /* 2 MiB: one huge page */
    LARGE_FROM = 1024 * 1024  /* bytes mapped, from which on regions are large */
#endif
};

static_assert(WEFT__CHUNK_HEADER % 64 == 0, "objects are aligned to 64 bytes, those of 96 to 32, those of 88 to 8");
static_assert(offsetof(weft__chunk, ring) == 0 && offsetof(weft__region, ring) == 0,
              "rings are cast to what they list");
static_assert(sizeof(weft__region) == WEFT__LINE, "the region fits where the header has room");

const weft__slab_shape weft__slab_shapes[WEFT__SLAB_CLASSES] = {
    [WEFT__FUTURE_64] = {64, WEFT__KIND_FUTURE},   [WEFT__FUTURE_88] = {88, WEFT__KIND_FUTURE},
    [WEFT__FUTURE_96] = {96, WEFT__KIND_FUTURE},   [WEFT__FUTURE_128] = {128, WEFT__KIND_FUTURE},
    [WEFT__FUTURE_192] = {192, WEFT__KIND_FUTURE}, [WEFT__CALLBACK] = {96, WEFT__KIND_CALLBACK},
    [WEFT__OPTIONS] = {128, WEFT__KIND_OPTIONS},   [WEFT__TOKEN] = {128, WEFT__KIND_TOKEN},
};

const weft__chunk weft__chunk_none = {.free = 0};
const weft__heap weft__no_heap = {.slab = NULL};

/* Regions, under the lock. */

static weft__region *region_map(uint32_t chunks)
{
    size_t size = chunks * WEFT__CHUNK_SIZE;
    bool huge = chunks == REGION_CHUNKS_LARGE;
    weft__chunk *pages = weft__memory_map(size, huge ? size : WEFT__CHUNK_SIZE, huge);
    if (pages == NULL) {
        return NULL;
    }
    weft__region *region = &pages->first;
    region->chunks = chunks;
    region->unused = region_all(region);
    return region;
}

/* A region that has an unused chunk and is in slab->regions. NULL: no memory. */
static weft__region *region_find(weft__slab *slab)
{
    weft__region *region = (weft__region *)slab->regions.next;
    if (!ring_empty(&slab->regions) && region->unused != 0) {
        return region;
    }
    region = slab->spare;
    slab->spare = NULL;
    if (region == NULL) {
        region = slab->bytes >= LARGE_FROM ? region_map(REGION_CHUNKS_LARGE) : NULL;
        region = region != NULL ? region : region_map(REGION_CHUNKS);
        if (region == NULL) {
            return NULL;
        }
        slab->bytes += region_bytes(region);
    }
    ring_insert(&slab->regions, &region->ring);
    return region;
}

/* Takes the region, which has no used chunk, out of the slab unless it is to be the spare. */
static void region_retire(weft__slab *slab, weft__region *region, weft__ring *gone)
{
    ring_remove(&region->ring);
    if (slab->chunks != 0 && slab->spare == NULL) {
        slab->spare = region;
        return;
    }
    ring_insert(gone, &region->ring);
    slab->bytes -= region_bytes(region);
    if (slab->chunks == 0 && slab->spare != NULL) {
        ring_insert(gone, &slab->spare->ring);
        slab->bytes -= region_bytes(slab->spare);
        slab->spare = NULL;
    }
}

/* Chunks. */

static void chunk_init(weft__chunk *chunk, weft__slab *slab, weft__region *region, enum weft__slab_class class)
{
    uint32_t size = weft__slab_shapes[class].size;
    uint32_t fit = (uint32_t)((WEFT__CHUNK_SIZE - WEFT__CHUNK_HEADER) / size);
    chunk->slab = slab;
    chunk->region = region;
    chunk->class = class;
    chunk->size = size;
    chunk->capacity = fit < CAPACITY_MAX ? fit : CAPACITY_MAX;
    chunk->end = WEFT__CHUNK_HEADER + chunk->capacity * size;
    chunk->listed = false;
    chunk->limit = WEFT__CHUNK_HEADER;
    /* Relaxed: nobody else knows the chunk yet; a walk will come by the lock. */
    atomic_store_explicit(&chunk->bump, WEFT__CHUNK_HEADER, memory_order_relaxed);
    atomic_store_explicit(&chunk->free, 0, memory_order_relaxed);
    atomic_store_explicit(&chunk->remote, 0, memory_order_relaxed); /* held */
    atomic_store_explicit(&chunk->heap, (weft__heap *)&weft__no_heap, memory_order_relaxed);
}

/* A chunk that was not in use, held by the caller. Under the lock. NULL: no memory. */
static weft__chunk *take_fresh(weft__slab *slab, enum weft__slab_class class)
{
    weft__region *region = region_find(slab);
    if (region == NULL) {
        return NULL;
    }
    uint32_t index = (uint32_t)__builtin_ctz(region->unused);
    region->unused &= region->unused - 1;
    if (region->unused == 0) { /* behind those that have one */
        ring_remove(&region->ring);
        ring_insert(slab->regions.previous, &region->ring);
    }
    weft__chunk *chunk = region_chunk(region, index);
    chunk_init(chunk, slab, region, class);
    slab->chunks++;
    weft__slab_pin(slab);
    return chunk;
}

/* Takes hold of a listed chunk and takes it out of the list. Under the lock. NULL: there is none that is not held. */
static weft__chunk *take_partial(weft__slab *slab, enum weft__slab_class class)
{
    weft__ring *end = &slab->partial[class];
    for (weft__ring *ring = end->next; ring != end; ring = ring->next) {
        weft__chunk *chunk = (weft__chunk *)ring;
        /* Relaxed: only the exchange below decides. */
        uint64_t old = atomic_load_explicit(&chunk->remote, memory_order_relaxed);
        while (remote_goal(old) != 0) {
            uint64_t held = remote_pack(remote_head(old), remote_freed(old), 0);
            WEFT_POINT();
            /* Acquire: pairs with the release by which the last holder left it, whose plain fields are ours now. */
            if (atomic_compare_exchange_weak_explicit(&chunk->remote, &old, held, memory_order_acquire,
                                                      memory_order_relaxed)) {
                ring_remove(&chunk->ring);
                chunk->listed = false;
                return chunk;
            }
        }
    }
    return NULL;
}

/* The holder of a chunk whose objects are all free gives it back. */
static void release(weft__chunk *chunk)
{
    weft__slab *slab = chunk->slab;
    weft__region *region = chunk->region;
    weft__ring gone;
    ring_init(&gone);
    pthread_mutex_lock(&slab->lock);
    if (chunk->listed) {
        ring_remove(&chunk->ring);
    }
    slab->chunks--;
    if (region->unused == 0) { /* to the front, with those that have one */
        ring_remove(&region->ring);
        ring_insert(&slab->regions, &region->ring);
    }
    region->unused |= (uint32_t)1 << region_index(chunk);
    if (region->unused == region_all(region)) {
        region_retire(slab, region, &gone);
    }
    pthread_mutex_unlock(&slab->lock);
    WEFT_POINT();
    while (!ring_empty(&gone)) {
        region = (weft__region *)gone.next;
        ring_remove(&region->ring);
        weft__memory_unmap(weft__chunk_of(region), region_bytes(region));
    }
    weft__slab_drop(slab);
}

static void list(weft__chunk *chunk)
{
    weft__slab *slab = chunk->slab;
    pthread_mutex_lock(&slab->lock);
    ring_insert(&slab->partial[chunk->class], &chunk->ring);
    chunk->listed = true;
    pthread_mutex_unlock(&slab->lock);
}

/* The holder, which has taken the chunk from its heap if it was in one, decides what becomes of it and holds it no
 * more. */
static void leave(weft__chunk *chunk)
{
    uint32_t capacity = chunk->capacity;
    uint32_t wanted = chunk_wanted(chunk);
    /* Acquire: pairs with the release of every free so far, and of the last holder; see "Order". */
    uint64_t old = atomic_load_explicit(&chunk->remote, memory_order_acquire);
    uint32_t carved = chunk_carved(chunk);
    for (;;) {
        uint32_t freed = remote_freed(old);
        uint32_t live = carved - chunk->idle - freed;
        if (live == 0) {
            release(chunk);
            return;
        }
        if (!chunk->listed && capacity - live >= wanted) {
            list(chunk);
        }
        uint32_t goal = chunk->listed ? freed + live : freed + live + wanted - capacity;
        uint64_t left = remote_pack(remote_head(old), freed, goal);
        WEFT_POINT();
        /* Release: pairs with the acquire of the next holder, in leave or take_partial. Acquire on failure: as
         * above. */
        if (atomic_compare_exchange_weak_explicit(&chunk->remote, &old, left, memory_order_release,
                                                  memory_order_acquire)) {
            return;
        }
    }
}

/* The heap's thread gives up its chunk. */
static void disown(weft__chunk *chunk)
{
    chunk->idle = chunk_idle(chunk);
    /* Relaxed: of all threads that read it, only this one could have found its heap there. */
    atomic_store_explicit(&chunk->heap, (weft__heap *)&weft__no_heap, memory_order_relaxed);
    WEFT_POINT();
    leave(chunk);
}

/* Alloc, beyond the free list. Relaxed accesses to bump and free are the holder's to what it alone writes. */

static bool has_free(const weft__chunk *chunk)
{
    return atomic_load_explicit(&chunk->free, memory_order_relaxed) != 0;
}

/* Moves what others have freed, if that is at least `least` objects, to the empty free list. */
static bool collect(weft__chunk *chunk, uint32_t least)
{
    /* Relaxed: a guess. We hold the chunk, so the count can only grow until the exchange. */
    if (remote_freed(atomic_load_explicit(&chunk->remote, memory_order_relaxed)) < least) {
        return false;
    }
    WEFT_POINT();
    /* Acquire: pairs with the release in weft__slab_free_remote, for the links and all earlier uses of the objects. */
    uint64_t old = atomic_exchange_explicit(&chunk->remote, 0, memory_order_acquire);
    atomic_store_explicit(&chunk->free, remote_head(old), memory_order_relaxed);
    return true;
}

/* Lets bump go on for another batch. */
static bool extend(weft__chunk *chunk)
{
    uint32_t left = (chunk->end - chunk->limit) / chunk->size;
    chunk->limit += (left < BATCH ? left : BATCH) * chunk->size;
    return left != 0;
}

/* Makes a chunk with room the heap's active one, in place of the one it has. */
static bool replace(weft__heap *heap, enum weft__slab_class class)
{
    weft__slab *slab = heap->slab;
    pthread_mutex_lock(&slab->lock);
    weft__chunk *chunk = take_partial(slab, class);
    if (chunk == NULL) {
        chunk = take_fresh(slab, class);
    }
    pthread_mutex_unlock(&slab->lock);
    if (chunk == NULL) {
        return false;
    }
    weft__chunk *full = heap->active[class];
    heap->active[class] = chunk;
    /* Relaxed: of all threads that read it, only this one may find its heap there. */
    atomic_store_explicit(&chunk->heap, heap, memory_order_relaxed);
    if (full != &weft__chunk_none) {
        disown(full);
    }
    return true;
}

/* The active chunk has neither a free object nor room below its limit. Gets it one of both, or another chunk that has.
 * False: no memory. */
static bool refill(weft__heap *heap, enum weft__slab_class class)
{
    weft__chunk *chunk = heap->active[class];
    bool some = chunk != &weft__chunk_none;
    if (some && (collect(chunk, BATCH) || extend(chunk))) {
        return true;
    }
    if (!replace(heap, class)) {
        return some && collect(chunk, 1);
    }
    chunk = heap->active[class];
    return has_free(chunk) || weft__chunk_has_room(chunk) || collect(chunk, 1) || extend(chunk);
}

void *weft__slab_alloc_slow(weft__heap *heap, enum weft__slab_class class)
{
    if (heap->slab->each) {
        return weft__each_alloc(heap->slab, class);
    }
    if (!refill(heap, class)) {
        return NULL;
    }
    weft__chunk *chunk = heap->active[class];
    return has_free(chunk) ? weft__slab_alloc(heap, class) : weft__chunk_carve(chunk);
}

void weft__slab_free_remote(void *object)
{
    if (atomic_load_explicit(&weft__slab_each, memory_order_relaxed)) { /* as in weft__slab_free */
        weft__each_free(object);
        return;
    }
    weft__chunk *chunk = weft__chunk_of(object);
    uint32_t offset = weft__chunk_offset(object);
    uint64_t old = atomic_load_explicit(&chunk->remote, memory_order_relaxed); /* a guess */
    for (;;) {
        uint32_t freed = remote_freed(old) + 1;
        uint32_t goal = remote_goal(old);
        bool met = freed == goal;
        weft__link_store(chunk, offset, remote_head(old));
        uint64_t new = remote_pack(offset, freed, met ? 0 : goal);
        WEFT_POINT();
        /* Release: pairs with the acquire in collect and leave. That a head came back in between does no harm, since
         * objects leave the list only all at once. */
        if (atomic_compare_exchange_weak_explicit(&chunk->remote, &old, new, memory_order_release,
                                                  memory_order_relaxed)) {
            if (met) {
                WEFT_POINT();
                leave(chunk);
            }
            return;
        }
    }
}

/* Heaps. */

void weft__heap_init(weft__heap *heap, weft__slab *slab)
{
    heap->slab = slab;
    for (int i = 0; i < WEFT__SLAB_CLASSES; i++) {
        heap->active[i] = (weft__chunk *)&weft__chunk_none; /* never written: it has nothing to take */
    }
}

void weft__heap_detach(weft__heap *heap)
{
    for (int i = 0; i < WEFT__SLAB_CLASSES; i++) {
        weft__chunk *chunk = heap->active[i];
        if (chunk == &weft__chunk_none) {
            continue;
        }
        heap->active[i] = (weft__chunk *)&weft__chunk_none;
        disown(chunk);
    }
}
