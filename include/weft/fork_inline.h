/* weft/fork_inline.h: weft_fork and weft_join with their common path in the program itself.
 *
 * For innermost recursions only, where a fork is followed by a few nanoseconds of work: the two calls below do what
 * weft_fork and weft_join do (weft/parallel.h), and may be mixed with them, but are compiled into the program, and
 * where the function is a constant the join is a direct call to it, which a compiler may inline.
 *
 * The price: this header knows how weft keeps the forks of a thread, so a program that includes it fits the one version
 * of the shared library whose soname it was linked with; weft/weft.h does not include it. The compiler must understand
 * __atomic_load_n and __thread (gcc, clang).
 *
 * How it works. The forks of a thread that no other thread may take yet are a list, newest first, which only that
 * thread touches: to fork is to put a task in front, to join is to take it away and call. While too few tasks can be
 * taken by others, `wanted` is set, which the two paths look at; only then does the owner, inside the library, make
 * tasks visible to others. On threads that run no jobs `wanted` is always set and the library decides. */
#ifndef WEFT_FORK_INLINE_H
#define WEFT_FORK_INLINE_H

#include <weft/parallel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The members are weft's own. */
typedef struct weft_fork_list {
    uint32_t wanted;   /* set by any thread, cleared by the owner; atomic */
    char apart[124];   /* the owner writes what follows at every fork, others must not come near that line */
    weft_task *newest; /* the owner's alone, as the next; &oldest: there is none */
    weft_task oldest;  /* stands for what is below the list: its next is the oldest */
} weft_fork_list;

/* Sanitizers that look at addresses want the general way to thread-local variables. */
#if defined(__SANITIZE_ADDRESS__)
#define WEFT__FORK_TLS
#else
#define WEFT__FORK_TLS __attribute__((tls_model("initial-exec")))
#endif
extern WEFT_API __thread weft_fork_list *weft_fork_here WEFT__FORK_TLS;

static inline void weft_fork_inline(weft_task *task, weft_fn *fn, void *arg)
{
    weft_fork_list *list = weft_fork_here;
    /* Relaxed: a request is only a request. The library looks again, in the order that matters. */
    if (__builtin_expect(__atomic_load_n(&list->wanted, __ATOMIC_RELAXED) != 0, 0)) {
        weft_fork(task, fn, arg);
        return;
    }
    weft_task *newest = list->newest;
    task->fn = fn;
    task->arg = arg;
    task->previous = newest;
    newest->next = task;
    list->newest = task;
}

/* fn and arg as they were forked: where nobody has taken the task, fn(arg) is called from here. */
static inline void *weft_join_inline(weft_task *task, weft_fn *fn, void *arg)
{
    weft_fork_list *list = weft_fork_here;
    /* Relaxed, as above. */
    if (__builtin_expect(list->newest != task || __atomic_load_n(&list->wanted, __ATOMIC_RELAXED) != 0, 0))
        return weft_join(task);
    list->newest = task->previous;
    return fn(arg);
}

#ifdef __cplusplus
}
#endif

#endif
