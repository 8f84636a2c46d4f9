/* fork.h: what a forked child may still do with what it inherited: nothing but ask.
 *
 * Interface to the process's generation; how a child is made fit to use weft again is told in fork.c. The check itself,
 * weft__stale, stands in executor.h. */
#ifndef WEFT__FORK_H
#define WEFT__FORK_H

#include "atomics.h"

#if defined(__GNUC__)
#define WEFT__HIDDEN __attribute__((visibility("hidden")))
#else
#define WEFT__HIDDEN
#endif

/* 0 in a process that has used weft since its own exec, or whose parent never did; in a forked child another number
 * than in any of its ancestors. Executors and clocks keep the one they were made under. Written by the child's handler,
 * while the process has one thread; read by any thread, all of which were started later: so it is plain. Hidden, which
 * spares the shared library an indirection. */
extern uint32_t weft__generation WEFT__HIDDEN;

/* Was what was made under `generation` inherited through fork? */
static inline bool weft__inherited(uint32_t generation)
{
    return generation != weft__generation;
}

/* Sees to it that children know they are children. Before the first object of weft that could be inherited. 0 or
 * -ENOMEM. Any thread. */
int weft__fork_watch(void);

/* Ends a thread that was weft's own in the parent and whose function of the program's has returned in the child. */
_Noreturn void weft__fork_leave(void);

#endif
