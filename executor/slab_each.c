/* slab_each.c: the other form of a slab: every object is an allocation of its own.
 *
 * It is for finding faults: an allocator of the user sees each object and may refuse it, and the address sanitizer
 * knows where each begins and ends and when it went. It is used when weft_set_allocator has been given functions, and
 * always in a build with WEFT_SLAB_EACH; slab_whole.c decides. Speed does not matter: one lock guards all.
 *
 * A prefix in front of the object links it into slab->objects. Each object pins the slab. Any thread calls alloc and
 * free; a heap has no chunk in this form, so both come here from their slow halves. A walk holds the lock and thereby
 * keeps every object that it meets, because free takes the object out of the ring first. */
#include "slab_parts.h"
#include "memory.h"

#include <assert.h>

/* In the bytes before the object. All but the ring are constant while it lives. */
typedef struct prefix {
    weft__ring ring; /* slab->objects; under the slab's lock */
    weft__slab *slab;
    void *memory; /* what the allocator returned */
    enum weft__slab_class class;
} prefix;

static_assert(offsetof(prefix, ring) == 0, "rings are cast to what they list");
static_assert(sizeof(prefix) <= WEFT__LINE, "one line before the object is enough");

static prefix *prefix_of(const void *object)
{
    return (prefix *)((uintptr_t)object - WEFT__LINE);
}

/* The object, its prefix, and what aligning may cost. */
static size_t block_size(enum weft__slab_class class)
{
    return WEFT__LINE + weft__slab_shapes[class].size + WEFT__LINE;
}

void *weft__each_alloc(weft__slab *slab, enum weft__slab_class class)
{
    void *memory = weft__memory_alloc(block_size(class));
    if (memory == NULL) {
        return NULL;
    }
    void *object = (void *)(((uintptr_t)memory + 2 * WEFT__LINE - 1) & ~(uintptr_t)(WEFT__LINE - 1));
    prefix *p = prefix_of(object);
    p->slab = slab;
    p->memory = memory;
    p->class = class;
    /* The word. Relaxed: walkers find the object by the lock that is taken next. */
    atomic_store_explicit((_Atomic(uint64_t) *)object, 0, memory_order_relaxed);
    weft__slab_pin(slab);
    pthread_mutex_lock(&slab->lock);
    ring_insert(&slab->objects, &p->ring);
    slab->live[class]++;
    pthread_mutex_unlock(&slab->lock);
    return object;
}

void weft__each_free(void *object)
{
    prefix *p = prefix_of(object);
    weft__slab *slab = p->slab;
    enum weft__slab_class class = p->class;
    WEFT_POINT();
    pthread_mutex_lock(&slab->lock);
    ring_remove(&p->ring);
    slab->live[class]--;
    pthread_mutex_unlock(&slab->lock);
    weft__memory_free(p->memory, block_size(class));
    WEFT_POINT();
    weft__slab_drop(slab);
}

weft__slab *weft__each_slab(const void *object)
{
    return prefix_of(object)->slab;
}

void weft__each_walk(weft__slab *slab, enum weft__slab_kind kind, void (*visit)(void *object, void *data), void *data)
{
    for (weft__ring *ring = slab->objects.next; ring != &slab->objects; ring = ring->next) {
        if (weft__slab_shapes[((prefix *)ring)->class].kind == kind) {
            visit((char *)ring + WEFT__LINE, data);
        }
    }
}

bool weft__each_check(const weft__slab *slab)
{
    size_t live[WEFT__SLAB_CLASSES] = {0};
    size_t all = 0;
    for (const weft__ring *ring = slab->objects.next; ring != &slab->objects; ring = ring->next) {
        const prefix *p = (const prefix *)ring;
        if (p->slab != slab || ring->next->previous != ring) {
            return false;
        }
        live[p->class]++;
        all++;
    }
    for (int i = 0; i < WEFT__SLAB_CLASSES; i++) {
        if (live[i] != slab->live[i]) {
            return false;
        }
    }
    return atomic_load_explicit(&slab->pins, memory_order_relaxed) - all <= 1 && slab->chunks == 0;
}
