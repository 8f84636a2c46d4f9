/* memory.h: where weft's memory comes from, and how much of it is out.
 *
 * Blocks that are large, odd or rare (queues' rings, thread structures, argument copies, gathers, groups) come from one
 * pair of functions that a program may replace; objects come from slabs (slab.h), whose pages are mapped here so that
 * they are counted. */
#ifndef WEFT__MEMORY_H
#define WEFT__MEMORY_H

#include "atomics.h"

/* True from weft_set_allocator with a user's functions until they are taken back. Written by weft_set_allocator alone,
 * which the contract puts before every other call; so it is plain. */
extern bool weft__memory_custom;

/* Sizes from which on a block is a mapping of its own, and up to which one such is kept (memory.c). */
#ifdef WEFT_TINY
enum { WEFT__MEMORY_LARGE = 16 << 10, WEFT__MEMORY_KEPT = 64 << 10 };
#else
enum { WEFT__MEMORY_LARGE = 4 << 20, WEFT__MEMORY_KEPT = 32 << 20 };
#endif

/* Any thread. The content is undefined, the alignment that of malloc. NULL: no memory. */
void *weft__memory_alloc(size_t size);

/* Any thread. `size` is the one given to alloc. NULL is allowed. */
void weft__memory_free(void *memory, size_t size);

/* weft__pages_map and weft__pages_unmap of platform.h, counted. */
void *weft__memory_map(size_t size, size_t alignment, bool huge);
void weft__memory_unmap(void *pages, size_t size);

/* Whether a freed block may be kept for later: while there is an executor. Not called on two threads at once. */
void weft__memory_keep(bool keep);

/* Bytes taken by alloc and map, and not given back by free and unmap. */
size_t weft__memory_bytes(void);

/* In the child of a fork, on its only thread: what the parent had taken does not count. */
void weft__memory_forked(void);

#endif
