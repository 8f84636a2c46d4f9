/* slab_whole.c: a slab as a whole: its life, and the calls that look at all of its objects.
 *
 * The slabs of the process form a ring, for two purposes: the figures of the whole process count objects that have
 * outlived their executors, and the form of the slabs (chunks, or one allocation for each object) is chosen when there
 * is none, so that free, which is given nothing but an address, can tell by one flag what it has before it.
 *
 * Lifetime. pins counts the creator and the chunks in use (or the objects). A pin is dropped without the lock and as
 * the dropping thread's last step, so when the last one goes nobody is inside the slab, not even in the tail of an
 * unlock.
 *
 * Walk, live and check hold the slab's lock. Chunks are put into use and out of it under the lock, so those that a
 * caller meets stay; objects in them come and go meanwhile.
 *
 * Locks: the registry's before a slab's. Nothing is called under them but the visitor of a walk. */
#include "slab_parts.h"
#include "memory.h"

#include <assert.h>

static_assert(offsetof(weft__slab, registry) == 0, "rings are cast to what they list");

_Atomic(bool) weft__slab_each;

/* Guards the ring of all slabs. Taken when a slab comes or goes, and by live_total. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static weft__ring registry = {&registry, &registry};

void weft__slab_pin(weft__slab *slab)
{
    /* Relaxed: whoever allocates relies on the creator's pin, so the count is not 0 here and nothing hangs on it. */
    atomic_fetch_add_explicit(&slab->pins, 1, memory_order_relaxed);
}

void weft__slab_drop(weft__slab *slab)
{
    /* Release: what this thread did in the slab comes before the count that it leaves. Acquire: who leaves zero comes
     * after all the others that dropped a pin. */
    if (atomic_fetch_sub_explicit(&slab->pins, 1, memory_order_acq_rel) != 1) {
        return;
    }
    WEFT_POINT();
    pthread_mutex_lock(&registry_lock);
    ring_remove(&slab->registry);
    pthread_mutex_unlock(&registry_lock);
    pthread_mutex_destroy(&slab->lock);
    slab->last_gone(slab->owner);
}

void weft__slab_init(weft__slab *slab, void (*last_gone)(void *owner), void *owner)
{
    *slab = (weft__slab){.lock = PTHREAD_MUTEX_INITIALIZER, .last_gone = last_gone, .owner = owner};
    ring_init(&slab->regions);
    ring_init(&slab->objects);
    for (int i = 0; i < WEFT__SLAB_CLASSES; i++) {
        ring_init(&slab->partial[i]);
    }
    atomic_init(&slab->pins, 1);
    pthread_mutex_lock(&registry_lock);
    if (ring_empty(&registry)) {
#ifdef WEFT_SLAB_EACH
        bool each = true;
#else
        bool each = weft__memory_custom;
#endif
        /* Relaxed: the objects that make others ask come from a slab made after this. */
        atomic_store_explicit(&weft__slab_each, each, memory_order_relaxed);
    }
    slab->each = atomic_load_explicit(&weft__slab_each, memory_order_relaxed); /* written under the same lock */
    ring_insert(&registry, &slab->registry);
    pthread_mutex_unlock(&registry_lock);
}

void weft__slab_unpin(weft__slab *slab)
{
    weft__slab_drop(slab);
}

void weft__slab_forked(void)
{
    registry_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    ring_init(&registry);
}

weft__slab *weft__slab_of(const void *object)
{
    if (atomic_load_explicit(&weft__slab_each, memory_order_relaxed)) { /* as in weft__slab_free */
        return weft__each_slab(object);
    }
    return weft__chunk_of(object)->slab;
}

/* Looking at all chunks, under the lock. */

static weft__chunk *next_used(weft__region *region, uint32_t index)
{
    uint32_t used = ~region->unused & region_all(region);
    used &= index < 32 ? UINT32_MAX << index : 0;
    return used != 0 ? region_chunk(region, (uint32_t)__builtin_ctz(used)) : NULL;
}

/* The first chunk in use, if `chunk` is NULL, or the next one. NULL: that was the last. */
static weft__chunk *next_chunk(const weft__slab *slab, const weft__chunk *chunk)
{
    weft__region *region = chunk != NULL ? chunk->region : (weft__region *)slab->regions.next;
    uint32_t index = chunk != NULL ? region_index(chunk) + 1 : 0;
    while (&region->ring != &slab->regions) {
        weft__chunk *next = next_used(region, index);
        if (next != NULL) {
            return next;
        }
        region = (weft__region *)region->ring.next;
        index = 0;
    }
    return NULL;
}

static void walk_chunk(weft__chunk *chunk, void (*visit)(void *object, void *data), void *data)
{
    /* Acquire: pairs with the release in carve, which has set the words of all objects below. */
    uint32_t end = atomic_load_explicit(&chunk->bump, memory_order_acquire);
    for (uint32_t offset = WEFT__CHUNK_HEADER; offset < end; offset += chunk->size) {
        visit((char *)chunk + offset, data);
    }
}

void weft__slab_walk(weft__slab *slab, enum weft__slab_kind kind, void (*visit)(void *object, void *data), void *data)
{
    pthread_mutex_lock(&slab->lock);
    if (slab->each) {
        weft__each_walk(slab, kind, visit, data);
    }
    for (weft__chunk *chunk = next_chunk(slab, NULL); chunk != NULL; chunk = next_chunk(slab, chunk)) {
        if (weft__slab_shapes[chunk->class].kind == kind) {
            walk_chunk(chunk, visit, data);
        }
    }
    pthread_mutex_unlock(&slab->lock);
}

/* Live objects of a chunk while others change it: a figure made of three that are read one after the other. */
static size_t count_chunk(const weft__chunk *chunk)
{
    uint32_t freed = remote_freed(atomic_load_explicit(&chunk->remote, memory_order_relaxed)) + chunk_idle(chunk);
    uint32_t carved = chunk_carved(chunk);
    return carved > freed ? carved - freed : 0;
}

size_t weft__slab_live(const weft__slab *slab, enum weft__slab_kind kind)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&slab->lock; /* the one part that a reader writes */
    size_t live = 0;
    pthread_mutex_lock(lock);
    for (int i = 0; i < WEFT__SLAB_CLASSES; i++) {
        live += weft__slab_shapes[i].kind == kind ? slab->live[i] : 0;
    }
    for (weft__chunk *chunk = next_chunk(slab, NULL); chunk != NULL; chunk = next_chunk(slab, chunk)) {
        live += weft__slab_shapes[chunk->class].kind == kind ? count_chunk(chunk) : 0;
    }
    pthread_mutex_unlock(lock);
    return live;
}

size_t weft__slab_live_total(enum weft__slab_kind kind)
{
    size_t live = 0;
    pthread_mutex_lock(&registry_lock);
    for (weft__ring *ring = registry.next; ring != &registry; ring = ring->next) {
        live += weft__slab_live((weft__slab *)ring, kind);
    }
    pthread_mutex_unlock(&registry_lock);
    return live;
}

/* Invariants, while no other thread uses the slab. */

/* How many objects the list from `offset` on has, each below bump, at an object's place and in no list so far.
 * UINT32_MAX: one is not. */
static uint32_t check_list(const weft__chunk *chunk, uint32_t offset, bool seen[])
{
    uint32_t n = 0;
    uint32_t end = atomic_load_explicit(&chunk->bump, memory_order_relaxed);
    for (; offset != 0; offset = weft__link_load(chunk, offset)) {
        bool inside = offset >= WEFT__CHUNK_HEADER && offset < end;
        if (!inside || (offset - WEFT__CHUNK_HEADER) % chunk->size != 0 || seen[offset / 64]) {
            return UINT32_MAX;
        }
        seen[offset / 64] = true;
        n++;
    }
    return n;
}

/* An object is in the free list, in the remote list, never handed out, or live; in one of these. */
static bool check_objects(const weft__chunk *chunk)
{
    bool seen[WEFT__CHUNK_SIZE / 64] = {false};
    uint64_t remote = atomic_load_explicit(&chunk->remote, memory_order_relaxed);
    uint32_t bump = atomic_load_explicit(&chunk->bump, memory_order_relaxed);
    uint32_t here = check_list(chunk, atomic_load_explicit(&chunk->free, memory_order_relaxed), seen);
    uint32_t away = check_list(chunk, remote_head(remote), seen);
    bool bounds = bump <= chunk->limit && chunk->limit <= chunk->end && chunk->end <= WEFT__CHUNK_SIZE;
    return bounds && here != UINT32_MAX && away == remote_freed(remote) && here + away <= chunk_carved(chunk);
}

/* A chunk is held exactly if a heap has it; otherwise it has live objects and the right goal. */
static bool check_holding(const weft__chunk *chunk)
{
    uint64_t remote = atomic_load_explicit(&chunk->remote, memory_order_relaxed);
    uint32_t freed = remote_freed(remote);
    uint32_t goal = remote_goal(remote);
    weft__heap *heap = atomic_load_explicit(&chunk->heap, memory_order_relaxed);
    if (heap != &weft__no_heap) {
        return goal == 0 && !chunk->listed && heap->slab == chunk->slab && heap->active[chunk->class] == chunk;
    }
    uint32_t all = chunk_carved(chunk) - chunk->idle;
    uint32_t live = all - freed;
    bool room = chunk->capacity - live >= chunk_wanted(chunk);
    return chunk->idle == chunk_idle(chunk) && live != 0 && goal > freed && room == chunk->listed &&
           goal == (chunk->listed ? all : all + chunk_wanted(chunk) - chunk->capacity);
}

static bool check_regions(const weft__slab *slab, size_t *bytes)
{
    bool full = false;
    *bytes = slab->spare != NULL ? region_bytes(slab->spare) : 0;
    for (const weft__ring *ring = slab->regions.next; ring != &slab->regions; ring = ring->next) {
        const weft__region *region = (const weft__region *)ring;
        bool late = full && region->unused != 0;
        if (ring->next->previous != ring || late || region->unused == region_all(region)) {
            return false;
        }
        full = region->unused == 0;
        *bytes += region_bytes(region);
    }
    return slab->spare == NULL || slab->chunks != 0;
}

static size_t count_listed(const weft__slab *slab)
{
    size_t n = 0;
    for (int i = 0; i < WEFT__SLAB_CLASSES; i++) {
        for (const weft__ring *ring = slab->partial[i].next; ring != &slab->partial[i]; ring = ring->next) {
            n += ((const weft__chunk *)ring)->listed && (int)((const weft__chunk *)ring)->class == i;
        }
    }
    return n;
}

static bool check_chunks(const weft__slab *slab)
{
    size_t bytes, chunks = 0, listed = 0;
    if (!check_regions(slab, &bytes)) {
        return false;
    }
    for (weft__chunk *chunk = next_chunk(slab, NULL); chunk != NULL; chunk = next_chunk(slab, chunk)) {
        if (chunk->slab != slab || !check_objects(chunk) || !check_holding(chunk)) {
            return false;
        }
        chunks++;
        listed += chunk->listed;
    }
    size_t pins = atomic_load_explicit(&slab->pins, memory_order_relaxed) - chunks;
    return bytes == slab->bytes && chunks == slab->chunks && listed == count_listed(slab) && pins <= 1;
}

bool weft__slab_check(weft__slab *slab)
{
    pthread_mutex_lock(&slab->lock);
    bool sound = slab->each ? weft__each_check(slab) : check_chunks(slab);
    pthread_mutex_unlock(&slab->lock);
    return sound;
}
