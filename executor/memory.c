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

/* From this size on a block is worth asking for huge pages: to touch it for the first time costs a quarter then. */
enum { HUGE_FROM = 4 << 20 };

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

void *weft__memory_alloc(size_t size)
{
    void *memory = weft__memory_custom ? hook.alloc(size, hook.data) : malloc(size);
    if (memory == NULL) {
        return NULL;
    }
    count(size);
    if (size >= HUGE_FROM && !weft__memory_custom) {
        weft__pages_ask_huge(memory, size);
    }
    return memory;
}

void weft__memory_free(void *memory, size_t size)
{
    if (memory == NULL) {
        return;
    }
    uncount(size);
    if (!weft__memory_custom) {
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
    atomic_store_explicit(&bytes, 0, memory_order_relaxed); /* likewise */
}

size_t weft__memory_bytes(void)
{
    return atomic_load_explicit(&bytes, memory_order_relaxed); /* see the essay */
}
