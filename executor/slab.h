/* slab.h: memory for the objects of one executor: futures, callbacks, options, tokens.
 *
 * Every thread that allocates has a heap for each executor that it uses. A heap holds, for each size class, one chunk
 * of 64 KiB, from which its thread takes and to which it gives back without any atomic read-modify-write. Another
 * thread gives an object back with one compare-and-swap on a word of the object's chunk. slab.c tells how chunks change
 * hands.
 *
 * Free objects are linked by a table in the head of their chunk, not through their own bytes. So a list that another
 * thread has left is followed through a few lines of the table, where links in the objects would make each alloc wait
 * for a line of the other thread's cache; and nothing of a free object is touched. The first eight bytes of an object
 * are its word: the slab sets it to zero when it hands the memory out for the first time and never afterwards, so that
 * a visitor of weft__slab_walk may look at objects which others free and take meanwhile. The other bytes are undefined
 * after alloc.
 *
 * Calls and threads:
 *     init, unpin                the creator; unpin once, after which nobody calls alloc
 *     heap_init, heap_detach,    the thread that owns the heap, or one that has joined it
 *     alloc
 *     free, of                   any thread; `mine` is the calling thread's heap of any executor, or NULL
 *     walk, live, live_total     any thread, while the slab is pinned
 *     check                      any thread, while no other thread uses the slab */
#ifndef WEFT__SLAB_H
#define WEFT__SLAB_H

#include "atomics.h"

#include <pthread.h>

#define WEFT__CHUNK_SIZE ((size_t)65536)

enum weft__slab_class {
    WEFT__FUTURE_64,
    WEFT__FUTURE_88,
    WEFT__FUTURE_96,
    WEFT__FUTURE_128,
    WEFT__FUTURE_192,
    WEFT__CALLBACK, /* 96 bytes */
    WEFT__OPTIONS,  /* 128 bytes */
    WEFT__TOKEN,    /* 128 bytes */
    WEFT__SLAB_CLASSES
};

enum weft__slab_kind { WEFT__KIND_FUTURE, WEFT__KIND_CALLBACK, WEFT__KIND_OPTIONS, WEFT__KIND_TOKEN };

typedef struct weft__slab weft__slab;
typedef struct weft__heap weft__heap;
typedef struct weft__chunk weft__chunk;
typedef struct weft__region weft__region;

/* A circular list with a sentinel. The first member of whatever is listed. */
typedef struct weft__ring {
    struct weft__ring *next, *previous; /* under the lock of the slab */
} weft__ring;

/* What is mapped and unmapped: a row of chunks. It lies in the header of the first of them. */
struct weft__region {
    weft__ring ring;       /* slab->regions; under the slab's lock */
    uint32_t chunks;       /* how many it has; set when mapped */
    uint32_t unused;       /* a bit for each chunk that is not in use; under the slab's lock */
    char padding[64 - 24]; /* nobody's */
};

/* The header of a chunk, at an address that is a multiple of WEFT__CHUNK_SIZE. "Holder" is defined in slab.c. */
struct weft__chunk {
    /* Written when the chunk changes hands, read at every free. */
    alignas(WEFT__PAIR) weft__ring ring; /* slab->partial[class] if listed; under the slab's lock */
    _Atomic(weft__heap *) heap;          /* the heap that has it, never NULL; written by the holder, read by any thread,
                                            which learns only whether it is its own heap */
    weft__slab *slab;                    /* constant while the chunk is in use, as are the next five */
    weft__region *region;
    enum weft__slab_class class;
    uint32_t size;     /* of an object */
    uint32_t capacity; /* objects */
    uint32_t end;      /* offset after the last object */
    bool listed;       /* whether it is in slab->partial; the holder's */

    /* The holder's: written at every alloc and free of the thread whose heap has the chunk. */
    alignas(WEFT__PAIR) _Atomic(uint32_t) free; /* offset of the first free object, 0: none; weft__slab_live reads it */
    _Atomic(uint32_t) bump;                     /* offset of the first object never handed out; walkers read it */
    uint32_t limit;                             /* bump goes so far before the remote list is looked at again */
    uint32_t idle;                              /* how many are in the free list, while no heap has the chunk */

    /* Any thread's: the objects freed by others, {head, freed, goal}; see slab.c. */
    alignas(WEFT__PAIR) _Atomic(uint64_t) remote;
    alignas(WEFT__LINE) weft__region first; /* the region, in its first chunk; unused in the others */

    /* For each free object the offset of the next one in the same list, 0: none. Written by who frees it, read by who
     * takes it; weft__slab_live reads too. Objects are 64 bytes or more apart, so each has an entry of its own. */
    _Atomic(uint16_t) links[WEFT__CHUNK_SIZE / 64];
};

/* A thread's view of a slab. The owning thread writes and reads it; others compare its address only. */
struct weft__heap {
    weft__slab *slab;                        /* set by heap_init */
    weft__chunk *active[WEFT__SLAB_CLASSES]; /* never NULL: &weft__chunk_none stands for no chunk */
};

struct weft__slab {
    weft__ring registry;  /* all slabs of the process; under the registry's lock */
    pthread_mutex_t lock; /* chunks and regions change hands under it */
    bool each;            /* every object is an allocation of its own; set by init */

    /* Under the lock. */
    weft__ring regions;                     /* those with an unused chunk first */
    weft__ring partial[WEFT__SLAB_CLASSES]; /* chunks without a heap that have room */
    weft__ring objects;                     /* all live objects, if each */
    size_t live[WEFT__SLAB_CLASSES];        /* how many of them */
    size_t chunks;                          /* in use */
    size_t bytes;                           /* mapped */
    weft__region *spare;                    /* one region without a used chunk, kept while others are in use */

    _Atomic(size_t) pins;           /* the creator's, one for each chunk in use (or each object); any thread */
    void (*last_gone)(void *owner); /* set by init, called by whoever drops the last pin */
    void *owner;
};

/* Holds nothing and never will. Read only. */
extern const weft__chunk weft__chunk_none;

/* Whether the slabs of this process are of the one-allocation-each form. Written while there is no slab at all. */
extern _Atomic(bool) weft__slab_each;

/* Cannot fail. last_gone(owner) is called exactly once, on any thread, after unpin and after the last object was freed
 * and the last heap detached; the slab is not touched afterwards, so it may free the memory that the slab lies in. */
void weft__slab_init(weft__slab *slab, void (*last_gone)(void *owner), void *owner);
void weft__slab_unpin(weft__slab *slab);

void weft__heap_init(weft__heap *heap, weft__slab *slab);

/* Gives up the heap's chunks. The heap may be used again while the slab is pinned. A heap without chunks does not touch
 * its slab, which may be gone. */
void weft__heap_detach(weft__heap *heap);

/* Visits every object of this kind that was ever handed out and whose memory is still held, live or free: the visitor
 * tells them apart by their word. The slab's lock is held, so the visitor may not call alloc or free, nor release what
 * would. An object handed out after the walk began may be missed. */
void weft__slab_walk(weft__slab *slab, enum weft__slab_kind kind, void (*visit)(void *object, void *data), void *data);

/* Objects handed out and not freed: exact when nobody allocates or frees meanwhile. The second counts all slabs of the
 * process, those too whose creators have dropped their pins. */
size_t weft__slab_live(const weft__slab *slab, enum weft__slab_kind kind);
size_t weft__slab_live_total(enum weft__slab_kind kind);

/* Whether the invariants hold. */
bool weft__slab_check(weft__slab *slab);

/* In the child of a fork, on its only thread: forgets the parent's slabs, which the child must not touch any more. */
void weft__slab_forked(void);

/* The rare halves of alloc and free; not to be called otherwise. */
void *weft__slab_alloc_slow(weft__heap *heap, enum weft__slab_class class);
void weft__slab_free_remote(void *object);

static inline weft__chunk *weft__chunk_of(const void *object)
{
    return (weft__chunk *)((uintptr_t)object & ~(uintptr_t)(WEFT__CHUNK_SIZE - 1));
}

static inline uint32_t weft__chunk_offset(const void *object)
{
    return (uint32_t)((uintptr_t)object & (WEFT__CHUNK_SIZE - 1));
}

/* The link of the object at `offset`. Relaxed: it is passed on with the list that the object is in. */
static inline uint32_t weft__link_load(const weft__chunk *chunk, uint32_t offset)
{
    return atomic_load_explicit(&chunk->links[offset / 64], memory_order_relaxed);
}

static inline void weft__link_store(weft__chunk *chunk, uint32_t offset, uint32_t next)
{
    atomic_store_explicit(&chunk->links[offset / 64], (uint16_t)next, memory_order_relaxed);
}

/* The common halves of alloc and free. chunk->free is relaxed: the holder alone changes it, and weft__slab_live, which
 * follows the list, wants a figure, not an order. */

static inline bool weft__chunk_has_room(const weft__chunk *chunk)
{
    return atomic_load_explicit(&chunk->bump, memory_order_relaxed) != chunk->limit; /* relaxed: as above */
}

/* The next object that was never handed out; there is room. */
static inline void *weft__chunk_carve(weft__chunk *chunk)
{
    uint32_t offset = atomic_load_explicit(&chunk->bump, memory_order_relaxed);
    void *object = (char *)chunk + offset;
    /* The word. A chunk that had another class before holds anything. Release: a walk that reads the new bump, by an
     * acquire, reads this zero or what was written after it. */
    atomic_store_explicit((_Atomic(uint64_t) *)object, 0, memory_order_relaxed);
    atomic_store_explicit(&chunk->bump, offset + chunk->size, memory_order_release);
    return object;
}

/* NULL: no memory. */
WEFT__ALWAYS_INLINE void *weft__slab_alloc(weft__heap *heap, enum weft__slab_class class)
{
    weft__chunk *chunk = heap->active[class];
    uint32_t offset = atomic_load_explicit(&chunk->free, memory_order_relaxed);
    if (WEFT__UNLIKELY(offset == 0)) {
        return weft__chunk_has_room(chunk) ? weft__chunk_carve(chunk) : weft__slab_alloc_slow(heap, class);
    }
    atomic_store_explicit(&chunk->free, weft__link_load(chunk, offset), memory_order_relaxed);
    return (char *)chunk + offset;
}

/* The caller has no pointer into the object left. Touches nothing of the slab after the object was given back, unless
 * this call made the chunk change hands. */
static inline void weft__slab_free(weft__heap *mine, void *object)
{
    /* Relaxed: the mode changes only while there is no slab, so whoever passed the object here passed the mode too. */
    if (WEFT__UNLIKELY(atomic_load_explicit(&weft__slab_each, memory_order_relaxed))) {
        weft__slab_free_remote(object);
        return;
    }
    weft__chunk *chunk = weft__chunk_of(object);
    /* Relaxed: only this thread stores `mine` there and takes it away, so it cannot read an outdated answer to the only
     * question it asks. */
    if (WEFT__UNLIKELY(atomic_load_explicit(&chunk->heap, memory_order_relaxed) != mine)) {
        weft__slab_free_remote(object);
        return;
    }
    uint32_t offset = weft__chunk_offset(object);
    weft__link_store(chunk, offset, atomic_load_explicit(&chunk->free, memory_order_relaxed));
    atomic_store_explicit(&chunk->free, offset, memory_order_relaxed);
}

/* The slab that a live object came from. */
weft__slab *weft__slab_of(const void *object);

#endif
