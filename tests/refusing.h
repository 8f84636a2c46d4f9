/* refusing.h: an allocator that counts, refuses and has a cap, for the tests of what happens without memory.
 *
 * Discipline. A program hands it over (heap_install) before any other call of weft. One thread at a time says what is
 * refused, the test's or one that this waits for; alloc and free are called on any thread. Requests are numbered as
 * they come, so which of them is the k-th depends on the threads where several ask at once; a test that goes through
 * all k does not care. Memory is handed out full of a pattern, because what malloc returns is often zero; what is given
 * back must be what was handed out. */
#ifndef WEFT_TESTS_REFUSING_H
#define WEFT_TESTS_REFUSING_H

#include "support.h"

enum { HEAP_HEADER = 16, HEAP_STAMP = 0x5EED };

static struct {
    _Atomic(size_t) requests, refusals, blocks, bytes; /* any thread */
    _Atomic(size_t) refuse_at; /* number of the first request to refuse; 0: none. Written by who refuses, as the next */
    _Atomic(bool) for_good;    /* refuse all from there on */
    _Atomic(size_t) cap;       /* most bytes at a time. Written by the test's thread */
} refuser = {.cap = SIZE_MAX};

static inline bool heap_refuses(size_t size)
{
    size_t number = atomic_fetch_add_explicit(&refuser.requests, 1, memory_order_acq_rel) + 1;
    size_t at = test_get(refuser.refuse_at);
    bool chosen = at != 0 && (number == at || (number > at && test_get(refuser.for_good)));
    size_t cap = test_get(refuser.cap), bytes = test_get(refuser.bytes);
    return chosen || size > cap || bytes > cap - size;
}

static inline void *heap_alloc(size_t size, void *data)
{
    TEST_EXPECT(data == &refuser);
    if (heap_refuses(size)) {
        atomic_fetch_add_explicit(&refuser.refusals, 1, memory_order_acq_rel);
        return NULL;
    }
    size_t *block = malloc(size + HEAP_HEADER);
    if (block == NULL) {
        return NULL;
    }
    block[0] = size;
    block[1] = HEAP_STAMP;
    memset((char *)block + HEAP_HEADER, 0xC3, size);
    atomic_fetch_add_explicit(&refuser.blocks, 1, memory_order_acq_rel);
    atomic_fetch_add_explicit(&refuser.bytes, size, memory_order_acq_rel);
    return (char *)block + HEAP_HEADER;
}

static inline void heap_free(void *memory, void *data)
{
    TEST_EXPECT(data == &refuser);
    if (memory == NULL) {
        return;
    }
    size_t *block = (size_t *)(void *)((char *)memory - HEAP_HEADER);
    TEST_EXPECT(block[1] == HEAP_STAMP);
    block[1] = 0;
    atomic_fetch_sub_explicit(&refuser.bytes, block[0], memory_order_acq_rel);
    atomic_fetch_sub_explicit(&refuser.blocks, 1, memory_order_acq_rel);
    free(block);
}

static inline void heap_install(void)
{
    weft_set_allocator(heap_alloc, heap_free, &refuser);
}

/* From now on the k-th request (1: the next) is refused; for good: and all after it. */
static inline void refuse(size_t k, bool for_good)
{
    atomic_store_explicit(&refuser.refusals, 0, memory_order_release);
    atomic_store_explicit(&refuser.for_good, for_good, memory_order_release);
    atomic_store_explicit(&refuser.refuse_at, test_get(refuser.requests) + k, memory_order_release);
}

static inline void refuse_nothing(void)
{
    atomic_store_explicit(&refuser.refuse_at, 0, memory_order_release);
}

#endif
