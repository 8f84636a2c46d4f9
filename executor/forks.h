/* forks.h: the forked functions of a thread, and how others get at them.
 *
 * Interface; the protocol is told in forks.c. */
#ifndef WEFT__FORKS_H
#define WEFT__FORKS_H

#include "deque.h"

#include <weft/fork_inline.h>

struct weft__thread;
struct weft_executor;

#ifdef WEFT_TINY
enum { WEFT__FORKS_CAPACITY = 4, WEFT__FORKS_ENOUGH = 2 };
#else
enum { WEFT__FORKS_CAPACITY = 256, WEFT__FORKS_ENOUGH = 4 };
#endif

/* weft_task.state, from the moment when it is visible. Written by the owner before that; then by compare-and-swap from
 * RUNNING to AWAITED by the owner, and once to DONE by the thief, who touches the task no more. */
enum { WEFT__FORK_RUNNING, WEFT__FORK_AWAITED, WEFT__FORK_DONE };

typedef struct weft__forks {
    weft_fork_list list;  /* tasks that are private to the thread; its members say who may touch them */
    weft_task *published; /* the newest that was made visible and is not joined; owner only, as its `below` */
    uint64_t enough;      /* constant: while fewer are visible, `wanted` is set; 0 with one worker */
    weft__deque visible;  /* those of them that nobody has taken; an open deque of weft_task */
} weft__forks;

/* Which weft_fork_here points to where no job can run: always wanted, never written. */
extern const weft_fork_list weft__forks_nowhere;

static inline _Atomic(uint32_t) *weft__fork_state(weft_task *task)
{
    return (_Atomic(uint32_t) *)(void *)&task->state;
}

static inline bool weft__fork_is_done(weft_task *task)
{
    /* Acquire: what the function has left behind. Partner: the exchange in weft__fork_done. */
    return atomic_load_explicit(weft__fork_state(task), memory_order_acquire) == WEFT__FORK_DONE;
}

/* Who has taken the task, or NULL. Written by the thief, read by the owner. */
static inline _Atomic(void *) *weft__fork_thief(weft_task *task)
{
    return (_Atomic(void *) *)(void *)&task->thief;
}

static inline void weft__fork_push(weft_fork_list *list, weft_task *task)
{
    task->previous = list->newest;
    list->newest->next = task;
    list->newest = task;
}

void weft__forks_init(weft__forks *f, unsigned workers, _Atomic(void *) *slots);

/* Owner: makes what is private visible, the oldest first, as much as there is room for, and wakes somebody. */
void weft__forks_publish(struct weft__thread *t);

/* Owner: takes its newest visible task back; false: a thief has it, and it stays in `published` until that is done. */
bool weft__forks_take_back(struct weft__thread *t, weft_task *task);

/* Any thread: takes the oldest that is visible. NULL: there is none. */
weft_task *weft__forks_steal(struct weft__thread *thief, struct weft__thread *owner);

/* The thread that waits for `task`, which the owner has taken: takes one that was forked on top of it. NULL: none, or
 * the task is done. */
weft_task *weft__forks_steal_part(struct weft__thread *thief, struct weft__thread *owner, weft_task *task);

/* Owner: the tasks that stay private (the others are made visible) are kept apart while another job runs on this stack,
 * and put back. */
typedef struct weft__forks_apart {
    weft_task *oldest, *newest; /* NULL: there are none */
} weft__forks_apart;
weft__forks_apart weft__forks_set_apart(struct weft__thread *t);
void weft__forks_put_back(struct weft__thread *t, weft__forks_apart apart);

/* This thread runs no jobs any more. */
void weft__forks_leave(void);

/* On a thief, which has run the task: hands value and failure to the owner. */
void weft__fork_done(weft_task *task, void *value, int failure);

/* On a thread that is being ended by its job: the tasks that `job` has forked since the thread began with `stolen`
 * (NULL: any), the newest there are, are forgotten; returns when no thief runs one any more. The others must wait:
 * their thieves may be waiting for `job` or for `stolen`. */
void weft__forks_abandon(struct weft__thread *t, const weft_future *job, const weft_task *stolen);

#endif
