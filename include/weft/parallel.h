/* weft/parallel.h: one job on several workers: fork-join.
 *
 * A job forks a function that may run beside it, goes on, and joins it:
 *
 *     static void *sum(void *arg)
 *     {
 *         range *r = arg, left, right;
 *         if (!split(r, &left, &right))
 *             return add_up(r);
 *         weft_task task;
 *         weft_fork(&task, sum, &right);
 *         void *first = sum(&left);
 *         return both(first, weft_join(&task));
 *     }
 *
 * A fork makes no future and allocates nothing; it costs a few instructions. The function is run by the thread that
 * joins it, as a plain call, unless an idle worker of the same executor took it before: the oldest first, which in a
 * recursion is the largest part. So a program forks wherever there is something to do at the same time, and need not
 * know how many workers there are.
 *
 * What runs in a forked function is part of the job that forked it, on whatever thread: weft_cancelled, weft_executor_
 * current and weft_current_token answer as in the job itself, waits are ended by a request to stop as its own are, and
 * a job that waits for itself is refused. weft_fail makes the job fail, from the join of the function on; the last call
 * counts. weft_worker_index and thread-local variables are those of the thread, which may change from function to
 * function but not within one.
 *
 * Discipline. Forks are strictly nested: a function joins all that it has forked before it returns, in reverse order.
 * What a function wrote before a fork is visible in the forked one, and what that wrote is visible after the join. A
 * function that ends its thread (pthread_exit) ends with NULL if another worker took it, and fails the job with
 * -EOWNERDEAD as of the join; run by the joining thread it ends the job itself, as in any job. */
#ifndef WEFT_PARALLEL_H
#define WEFT_PARALLEL_H

#include <weft/future.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room for one forked function, on the stack of who forks or wherever else it lasts until the join. The members are
 * weft's own, and need not be initialised. */
typedef struct weft_task {
    struct weft_task *next, *previous; /* while only its own thread knows it */
    weft_fn *fn;                       /* NULL: it was run when it was forked */
    void *arg;                         /* then, or once another thread has run it, what fn returned */
    /* Of one that others may take. */
    uint32_t state;
    int failure;
    void *owner, *thief, *interrupted;
    weft_future *job;
    struct weft_task *below, *outer;
} weft_task;

/* Lets fn(arg) run beside what follows, at the latest in weft_join(task). Cannot fail; does not block. `task` must stay
 * where it is until then.
 * Outside a job and in callbacks fn(arg) is run at once, and in worker_start and worker_stop at the latest in the join,
 * by the calling thread. So it is in a forked child, too, even in a job that was inherited. */
WEFT_API void weft_fork(weft_task *task, weft_fn *fn, void *arg);

/* Returns what the function returned, having run it if nobody else did. To be called once for each weft_fork, in
 * reverse order, by the function that forked. Blocks only for a function that another worker has taken; that worker is
 * then helped with what it has forked in it, and if there is nothing to help with, a spare thread stands in. A request
 * to stop does not end it. In a forked child: of a task that was forked before, NULL if another worker had taken it and
 * was not done with it. */
WEFT_API void *weft_join(weft_task *task);

/* Runs fn(arg) as a job of the executor (NULL: the default one) and waits for it: weft_submit and weft_await in one,
 * for entering fork-join from outside. Where value is not NULL, what fn returned goes there. From a job it is the same,
 * with the function run on the caller's stack. 0, or the code with which the job ended, or
 *   -EDEADLK         called on a coordinator
 *   -EOVERFLOW       from a job: too many waits nested on one stack; fn was not run, or, as it may be with
 *   -EAGAIN          no thread left to stand in for this worker, was left to run by itself
 *   and, negative, the codes of weft_submit: fn was not run */
WEFT_API int weft_run(weft_executor *executor, weft_fn *fn, void *arg, void **value);

#ifdef __cplusplus
}
#endif

#endif
