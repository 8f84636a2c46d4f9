/* slab_parts.h: what the files of the slab share, and nobody else includes.
 *
 *     slab.c         chunks: how they are taken, shared and given back
 *     slab_whole.c   a slab as a whole: its life, and the calls that look at all of its objects
 *     slab_each.c    the other form of a slab, where every object is an allocation of its own */
#ifndef WEFT__SLAB_PARTS_H
#define WEFT__SLAB_PARTS_H

#include "slab.h"

/* What the enum weft__slab_class stands for. */
typedef struct weft__slab_shape {
    uint32_t size; /* of an object */
    enum weft__slab_kind kind;
} weft__slab_shape;

extern const weft__slab_shape weft__slab_shapes[WEFT__SLAB_CLASSES];

/* Stands in chunk->heap where there is none; only its address is used. */
extern const weft__heap weft__no_heap;

enum { WEFT__CHUNK_HEADER = sizeof(weft__chunk) };

/* A chunk's free objects that make it worth listing. */
static inline uint32_t chunk_wanted(const weft__chunk *chunk)
{
    return chunk->capacity / 8 != 0 ? chunk->capacity / 8 : 1;
}

/* slab_whole.c: any thread. The caller has a pin already; one more; and one less, the caller's last touch of the
 * slab. */
void weft__slab_pin(weft__slab *slab);
void weft__slab_drop(weft__slab *slab);

/* slab_each.c: alloc, free and of in that form, and the walk, under the lock. */
void *weft__each_alloc(weft__slab *slab, enum weft__slab_class class);
void weft__each_free(void *object);
weft__slab *weft__each_slab(const void *object);
void weft__each_walk(weft__slab *slab, enum weft__slab_kind kind, void (*visit)(void *object, void *data), void *data);
bool weft__each_check(const weft__slab *slab);

static inline void ring_init(weft__ring *ring)
{
    ring->next = ring->previous = ring;
}

static inline bool ring_empty(const weft__ring *ring)
{
    return ring->next == ring;
}

static inline void ring_insert(weft__ring *after, weft__ring *entry)
{
    entry->next = after->next;
    entry->previous = after;
    after->next->previous = entry;
    after->next = entry;
}

static inline void ring_remove(weft__ring *entry)
{
    entry->next->previous = entry->previous;
    entry->previous->next = entry->next;
}

/* The parts of chunk->remote. */

static inline uint32_t remote_head(uint64_t remote)
{
    return (uint32_t)(remote & 0xffff);
}

static inline uint32_t remote_freed(uint64_t remote)
{
    return (uint32_t)(remote >> 16 & 0xffff);
}

static inline uint32_t remote_goal(uint64_t remote)
{
    return (uint32_t)(remote >> 32 & 0xffff);
}

static inline uint64_t remote_pack(uint32_t head, uint32_t freed, uint32_t goal)
{
    return (uint64_t)goal << 32 | (uint64_t)freed << 16 | head;
}

/* The length of the free list. The list may change meanwhile if the caller is not the holder: then the answer is a
 * guess, and bounded, as a list that changes could be followed in a circle. Relaxed: see weft__slab_alloc. */
static inline uint32_t chunk_idle(const weft__chunk *chunk)
{
    uint32_t n = 0;
    uint32_t offset = atomic_load_explicit(&chunk->free, memory_order_relaxed);
    for (; offset != 0 && n < chunk->capacity; n++) {
        offset = weft__link_load(chunk, offset);
    }
    return n;
}

/* Objects handed out at least once. Relaxed: the holder's own; or a guess. */
static inline uint32_t chunk_carved(const weft__chunk *chunk)
{
    return (atomic_load_explicit(&chunk->bump, memory_order_relaxed) - WEFT__CHUNK_HEADER) / chunk->size;
}

/* Regions, under the lock. */

static inline weft__chunk *region_chunk(weft__region *region, uint32_t index)
{
    return (weft__chunk *)((char *)weft__chunk_of(region) + index * WEFT__CHUNK_SIZE);
}

static inline uint32_t region_index(const weft__chunk *chunk)
{
    return (uint32_t)(((uintptr_t)chunk - (uintptr_t)weft__chunk_of(chunk->region)) / WEFT__CHUNK_SIZE);
}

static inline uint32_t region_all(const weft__region *region)
{
    return UINT32_MAX >> (32 - region->chunks);
}

static inline size_t region_bytes(const weft__region *region)
{
    return region->chunks * WEFT__CHUNK_SIZE;
}

#endif
