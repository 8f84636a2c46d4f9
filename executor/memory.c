/* memory.c: the allocator hook and one counter.
 *
 * The hook is process-wide because memory outlives executors and passes between them. It is set before the first other
 * call, hence by one thread while no other uses weft; everything here reads it without synchronisation.
 *
 * The counter is a sum of sizes, moved by relaxed additions from any thread: it orders nothing. A reader that wants an
 * exact figure has joined or otherwise synchronised with the threads that allocate. */
#include "memory.h"
#include "platform.h"

#include <weft/testing.h>

#include <stdlib.h>

/* Large blocks (WEFT__MEMORY_LARGE) are gathers of very many, and their outcomes. They are mapped, so that they lie on
 * huge pages: to touch those for the first time costs a quarter, and is still a good part of what a gather of done
 * inputs costs. So while there is an executor the one that was freed last is kept for the next, if it is not larger than
 * WEFT__MEMORY_KEPT. What is kept is not counted: it is given back.
 *
 * Some blocks are freed when the last executor is gone, a queue's for one. Who puts a block away looks at `keeping`
 * again afterwards, and who ends the keeping empties the place afterwards (seq_cst, all four): one of them finds it. */
enum { HUGE_PAGE = 2 << 20 };

typedef struct large {
    size_t size; /* of the mapping, this header included; constant */
    alignas(WEFT__LINE) char block[];
} large;

/* Nobody uses it. Taken out and put in by exchanges, so whoever has it out has it alone. */
static _Atomic(large *) kept;
static _Atomic(bool) keeping;

bool weft__memory_custom;

/* Written by weft_set_allocator, read by alloc and free on any thread; see above. */
static struct {
    void *(*alloc)(size_t size, void *data);
    void (*free_)(void *memory, void *data);
    void *data;
} hook;

/* Added to and read on any thread. */
static _Atomic(size_t) bytes;

void weft_set_allocator(void *(*alloc)(size_t size, void *data), void (*free_)(void *memory, void *data), void *data)
{
    weft__memory_custom = alloc != NULL;
    hook.alloc = alloc;
    hook.free_ = free_;
    hook.data = data;
}

static void count(size_t size)
{
    atomic_fetch_add_explicit(&bytes, size, memory_order_relaxed); /* a sum; nobody acts on its order */
}

static void uncount(size_t size)
{
    atomic_fetch_sub_explicit(&bytes, size, memory_order_relaxed); /* likewise */
}

static bool is_large(size_t size)
{
#ifdef WEFT_SLAB_EACH
    (void)size;
    return false; /* AddressSanitizer is to see each block */
#else
    return size >= WEFT__MEMORY_LARGE && !weft__memory_custom;
#endif
}

static void large_unmap(large *l)
{
    if (l != NULL) {
        weft__pages_unmap(l, l->size);
    }
}

/* Acquire and release too: what the last user wrote comes before what the next one writes. */
static large *kept_exchange(large *l)
{
    return atomic_exchange_explicit(&kept, l, memory_order_seq_cst);
}

static bool is_keeping(void)
{
    return atomic_load_explicit(&keeping, memory_order_seq_cst);
}

/* At most twice as large as it need be. NULL: no memory. */
static void *large_alloc(size_t size)
{
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size_t whole = sizeof(large) + size;
    large *l = kept_exchange(NULL);
    if (l == NULL || l->size < whole || l->size / 2 > whole) {
        large_unmap(l); /* the program has turned to other sizes */
        l = weft__pages_map(whole, HUGE_PAGE, true);
        if (l == NULL) {
            return NULL;
        }
        l->size = whole;
    }
    return l->block;
}

static void large_free(void *block)
{
    large *l = (large *)(void *)((char *)block - offsetof(large, block));
    if (l->size > WEFT__MEMORY_KEPT || !is_keeping()) {
        large_unmap(l);
        return;
    }
    large_unmap(kept_exchange(l));
    WEFT_POINT();
    if (!is_keeping()) {
        large_unmap(kept_exchange(NULL));
    }
}

void weft__memory_keep(bool keep)
{
    atomic_store_explicit(&keeping, keep, memory_order_seq_cst);
    WEFT_POINT();
    if (!keep) {
        large_unmap(kept_exchange(NULL));
    }
}

void *weft__memory_alloc(size_t size)
{
    void *memory;
    if (weft__memory_custom) {
        memory = hook.alloc(size, hook.data);
    } else {
        memory = is_large(size) ? large_alloc(size) : malloc(size);
    }
    if (memory != NULL) {
        count(size);
    }
    return memory;
}

void weft__memory_free(void *memory, size_t size)
{
    if (memory == NULL) {
        return;
    }
    uncount(size);
    if (is_large(size)) {
        large_free(memory);
    } else if (!weft__memory_custom) {
        free(memory);
    } else if (hook.free_ != NULL) { /* without one, the user's memory is an arena that is dropped as a whole */
        hook.free_(memory, hook.data);
    }
}

void *weft__memory_map(size_t size, size_t alignment, bool huge)
{
    void *pages = weft__pages_map(size, alignment, huge);
    if (pages != NULL) {
        count(size);
    }
    return pages;
}

void weft__memory_unmap(void *pages, size_t size)
{
    uncount(size);
    weft__pages_unmap(pages, size);
}

void weft__memory_forked(void)
{
    atomic_store_explicit(&kept, NULL, memory_order_relaxed); /* the parent's; here on the only thread */
    atomic_store_explicit(&keeping, false, memory_order_relaxed);
    atomic_store_explicit(&bytes, 0, memory_order_relaxed); /* likewise */
}

size_t weft__memory_bytes(void)
{
    return atomic_load_explicit(&bytes, memory_order_relaxed); /* see the essay */
}
