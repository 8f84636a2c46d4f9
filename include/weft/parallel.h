/* weft/parallel.h: one job on several workers: fork-join, and loops and reductions made of it (below).
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
 * know how many workers there are. What can be taken is decided in forks and joins (as many tasks as there are workers,
 * at most four, and more once some were taken), so a job that forks many and then neither forks nor joins for long
 * offers no more meanwhile than it did then.
 *
 * What runs in a forked function is part of the job that forked it, on whatever thread: weft_cancelled, and the
 * likes of weft_executor_current answer as in the job itself, waits are ended by a request to stop as its own are, and a
 * job that waits for itself is refused. weft_fail makes the job fail, from the join of the function on; the last call
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
    struct weft_task *next,
        *previous; /* in the list of its thread, the owner's alone; previous NULL: others may take it, and who has
                      taken it keeps a note in next */
    weft_fn *fn;   /* written at the fork; NULL: it was run there */
    void *arg;     /* then, or once a thief has run it, what fn returned */
    /* Of one that others may take: written by the owner before they can see it, by a thief before it is done. */
    uint32_t state;          /* atomic: the owner and the thief */
    int failure;             /* the thief */
    void *owner;             /* the owner, as the next two */
    weft_future *job;        /* which forked it */
    struct weft_task *below; /* read by the owner alone */
    void *thief;             /* atomic: the thief */
    void *interrupted;       /* the thief, for itself, as the next */
    struct weft_task *outer;
} weft_task;

/* Lets fn(arg) run beside what follows, at the latest in weft_join(task). Cannot fail; does not block. `task` must stay
 * where it is until then.
 * Outside a job and in callbacks fn(arg) is run at once, and in worker_start and worker_stop at the latest in the join,
 * by the calling thread. So it is in a forked child, too, even in a job that was inherited. */
WEFT_API void weft_fork(weft_task *task, weft_fn *fn, void *arg);

/* Returns what the function returned, having run it if nobody else did. To be called once for each weft_fork, in
 * reverse order, by the function that forked. Blocks only for a function that another worker has taken; that worker is
 * then helped with what it has forked in it, and with nothing else; if there is nothing to help with, a spare thread
 * stands in, as long as there is one. A request to stop does not end it. In a forked child: of a task that was forked
 * before, NULL if another worker had taken it and was not done with it. */
WEFT_API void *weft_join(weft_task *task);

/* Runs fn(arg) as a job of the executor (NULL: the default one) and waits for it: weft_submit and weft_await in one,
 * for entering fork-join from outside. Where value is not NULL, what fn returned goes there. From a job it is the same;
 * a job of the same executor runs the function on its own stack, unless that is nearly used up; a request to stop the
 * caller reaches it. When the call returns, fn is
 * not running and never will. 0, or the code with which the job ended, or, if fn was not run,
 *   -EDEADLK         called on a coordinator
 *   -EOVERFLOW       from a job: too many waits nested on one stack
 *   -EAGAIN          from a job: no thread left to stand in for this worker
 *   and, negative, the codes of weft_submit */
WEFT_API int weft_run(weft_executor *executor, weft_fn *fn, void *arg, void **value);

/* Loops.
 *
 * weft_parallel_for and weft_parallel_reduce cut a range into pieces and call a function once for each, on as many
 * workers as are idle. Called in a job of the executor they run in place, as forks of that job, and may be nested;
 * called from anywhere else they run as one job that is submitted for them. Either way the call blocks until every
 * piece that was begun has ended, and then nothing uses `data` any more. Functions of one loop run at the same time as
 * one another, so what they write must be their own or be protected. What the caller wrote before is visible to them,
 * and what they wrote is visible to the caller. What has not been begun of a loop is open to idle workers. A piece keeps
 * no other back while it waits by a call of weft's, nor, in a loop of up to 64 pieces or a reduction of as many
 * accumulators, while it takes long: but for those that follow it in its accumulator. In longer ones a piece that takes
 * long may keep a part of what its thread has left to itself until it ends, in weft_parallel_for without a grain only if
 * it comes after pieces that were over in a few microseconds.
 *
 * A piece may wait and fork, and run loops of its own; weft_cancelled and the like answer as in the job that the loop
 * runs in. weft_fail in a piece fails the loop and not that job: no piece above it is begun any more, those below it
 * still are, so the code that comes back is the one that a serial loop would have stopped with. Once the job is asked
 * to stop no piece is begun any more; a piece that takes long looks at weft_cancelled itself. A loop in a job of
 * another executor hands a request to that job on, as weft_await does.
 *
 * Both return
 *   0                 every piece was run, and none failed
 *   positive          the code of the lowest piece that failed (weft_fail)
 *   -ECANCELED        a piece was not begun because the job was asked to stop, or shutdown came before the job was
 *                     begun; or a piece said weft_fail(-ECANCELED). If one below it had failed, that one's code
 *   -EOWNERDEAD       a piece ended its thread (pthread_exit); pieces beside it may not have been run
 *   -EINVAL           begin > end, a NULL function; and see weft_parallel_reduce
 *   -EDEADLK          called on a coordinator
 *   -ESTALE           an executor inherited through fork
 *   -ENOMEM, -EAGAIN, -ESHUTDOWN, -ENOTRECOVERABLE
 *                     not in a job of the executor: no job could be submitted, for the reasons of weft_submit. Nothing
 *                     was run
 *   -EAGAIN           also in a job of another executor, or in a destructor on a worker: no thread is left to stand in
 *                     for this worker. Nothing was run
 *   and for the default executor, if it has to be made, the codes of weft_executor_create.
 * An empty range gives 0 at once, whatever the executor. Never from a signal handler. */

/* The elements from begin up to, without it, end. */
typedef void weft_range_fn(size_t begin, size_t end, void *data);

/* Calls fn for pieces that together are the range, each element in one of them. executor NULL: the default one.
 *
 * grain is how many elements a piece has, counted from `begin`; only the last may have fewer. 0: weft finds out how
 * many take some microseconds while the loop runs, so that elements of any cost will do; give a grain where single
 * elements cost thousands of times what their neighbours do, or where the places of the cuts matter.
 *
 * Allocates nothing, but for the one job from outside. */
WEFT_API int weft_parallel_for(weft_executor *executor, size_t begin, size_t end, size_t grain, weft_range_fn *fn,
                               void *data);

/* Adds the elements from begin up to end to an accumulator, in their order. */
typedef void weft_reduce_fn(size_t begin, size_t end, void *accumulator, void *data);

/* Adds what `from` has collected to `into`, whose elements lie below those of `from` and reach up to them. What `from`
 * owns may pass to `into`: `from` is not used again. It may say weft_fail, too. */
typedef void weft_combine_fn(void *into, const void *from, void *data);

/* Folds the range into *result, accumulator_size bytes that are written only with 0. Each accumulator begins as a copy
 * of the identity, gets one or more pieces that follow one another, and is combined with its neighbours: combine must
 * be associative with the identity as its neutral element, but need not be commutative. What is left of the
 * accumulators when the loop fails is not handed to anybody; memory that they own should be known to `data` as well.
 *
 * The calls of fn and combine, their ranges and the order in which they are applied to each accumulator are fixed by
 * begin, end, grain and accumulator_size alone. So the result of the same functions is the same bit for bit whatever
 * the number of workers and whoever runs what, sums of floating-point numbers too; with a grain of 0 as well.
 *
 * grain: as above; 0: a 512th of the range, at most 4096 elements. There are at most 512 accumulators at a time; of
 * more than 8 KiB fewer, 4 MiB of them in all, but never fewer than 16. Up to 256 bytes they are on stacks and nothing
 * is allocated, larger ones in one block in advance. They are aligned for every type. The identity must stay as it is
 * during the call; result may be the same memory as the identity.
 *
 *   -EINVAL  also: accumulator_size is 0, identity or result is NULL
 *   -ENOMEM  also: no memory for the accumulators; nothing was run */
WEFT_API int weft_parallel_reduce(weft_executor *executor, size_t begin, size_t end, size_t grain,
                                  size_t accumulator_size, const void *identity, weft_reduce_fn *fn,
                                  weft_combine_fn *combine, void *data, void *result);

#ifdef __cplusplus
}
#endif

#endif
