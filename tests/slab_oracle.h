/* slab_oracle.h: how the tests of the slab find out that it is wrong.
 *
 * The oracle is the object's word, which the slab promises to leave alone: a holder swaps its tag in and expects zero,
 * and swaps zero in before it frees and expects its tag; the rest of the object is filled with the tag and compared. So
 * an object that is handed out twice, overlaps another or is changed while it is out is found, on any thread. Threads
 * count faults, since a cmocka assertion may fail on the main thread only. Every test ends with the invariants checked
 * and with the bytes of the process back where they were. */
#ifndef SLAB_ORACLE_H
#define SLAB_ORACLE_H

#include "memory.h"
#include "slab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { MANY = SANITIZED ? 100000 : 1000000, ROUNDS = SANITIZED ? 200 : 1000, CHURN = SANITIZED ? 20000 : 200000 };

static const size_t sizes[WEFT__SLAB_CLASSES] = {64, 88, 96, 128, 192, 96, 128, 128};

static _Atomic(int) faults;
static _Atomic(int) goings;

static inline void expect(bool condition)
{
    if (!condition) {
        atomic_fetch_add_explicit(&faults, 1, memory_order_relaxed);
    }
}

/* What the process held before the test's slab: all of it is back when the slab goes. */
static size_t base;

static inline void gone(void *owner)
{
    expect(owner == &goings && weft__memory_bytes() == base);
    atomic_fetch_add_explicit(&goings, 1, memory_order_relaxed);
}

/* A slab, one heap, and where the process stood before. */
typedef struct stand {
    weft__slab slab;
    weft__heap heap;
    size_t bytes;
} stand;

static inline void stand_begin(stand *s)
{
    s->bytes = weft__memory_bytes();
    base = s->bytes;
    atomic_store_explicit(&goings, 0, memory_order_relaxed);
    atomic_store_explicit(&faults, 0, memory_order_relaxed);
    weft__slab_init(&s->slab, gone, &goings);
    weft__heap_init(&s->heap, &s->slab);
}

static inline int count_goings(void)
{
    return atomic_load_explicit(&goings, memory_order_relaxed);
}

static inline void stand_end(stand *s)
{
    weft__heap_detach(&s->heap);
    assert_true(weft__slab_check(&s->slab));
    assert_int_equal(weft__memory_bytes(), s->bytes);
    assert_int_equal(count_goings(), 0);
    weft__slab_unpin(&s->slab);
    assert_int_equal(count_goings(), 1);
    assert_int_equal(atomic_load_explicit(&faults, memory_order_relaxed), 0);
}

/* The oracle. The low byte of a tag is the class. */

static inline uint64_t make_tag(uint64_t number, enum weft__slab_class class)
{
    return (number + 1) << 8 | class;
}

static inline _Atomic(uint64_t) *word_of(void *object)
{
    return (_Atomic(uint64_t) *)object;
}

static inline void mark(void *object, uint64_t tag)
{
    /* As aligned as its size, to 64 at most. */
    expect((uintptr_t)object % 64 % (sizes[tag & 0xff] & (~sizes[tag & 0xff] + 1)) == 0);
    for (size_t i = 1; i < sizes[tag & 0xff] / 8; i++) {
        ((uint64_t *)object)[i] = tag;
    }
    expect(atomic_exchange_explicit(word_of(object), tag, memory_order_relaxed) == 0);
}

/* Returns the tag. */
static inline uint64_t unmark(void *object)
{
    uint64_t tag = atomic_exchange_explicit(word_of(object), 0, memory_order_relaxed);
    expect(tag != 0 && (tag & 0xff) < WEFT__SLAB_CLASSES);
    for (size_t i = 1; i < sizes[tag & 0xff] / 8; i++) {
        expect(((uint64_t *)object)[i] == tag);
        ((uint64_t *)object)[i] = ~tag; /* a free object is nobody's: the slab may not depend on it */
    }
    return tag;
}

static inline void *get(weft__heap *heap, uint64_t number, enum weft__slab_class class)
{
    void *object = weft__slab_alloc(heap, class);
    expect(object != NULL);
    if (object != NULL) {
        mark(object, make_tag(number, class));
    }
    return object;
}

static inline void put(weft__heap *mine, void *object)
{
    unmark(object);
    weft__slab_free(mine, object);
}

static inline uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
