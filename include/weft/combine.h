/* weft/combine.h: futures of futures.
 *
 * A derived future is decided by others, its inputs, by time, or by both. It is done as soon as the input that decides
 * it is, on the thread that makes that one done; what time decides, the coordinator resolves. It holds a reference of
 * its own to each input, so the caller may release his at once, and leaves nothing behind on them when it is done. The
 * inputs may belong to several executors; a wait_for and a shield belong to that of their input.
 *
 * Its value is a view: it lends what the inputs hold. So a value that has a free_value cannot be taken from an input
 * while a derived future is attached to it (-EBUSY). Taking through a wait_for or a shield takes from the input that it
 * mirrors, unless another derived future is attached to that one as well. An input whose value was taken before stands
 * as failed with -ENODATA.
 *
 * What "done" says. A job future that is done no longer uses its argument. A derived one says nothing about the jobs
 * below it, except where it waits for them: WEFT_STRICT, WEFT_JOIN, and a gather that was cancelled.
 *
 * Cancelling a derived future asks all of its inputs that are not done to stop, with WEFT_REASON_PARENT; weft_shield is
 * what stops this. A request to a gather that is not done answers WEFT_CANCEL_REQUESTED, and it is cancelled when its
 * inputs are done; so does a wait_for with WEFT_JOIN. Any other wait_for, a shield and a sleep are cancelled on the
 * spot (WEFT_CANCEL_DONE).
 *
 * Errors. The duty to read a failure passes from the inputs to the derived future, in a shield only if it mirrors the
 * failure. A derived future that is dropped detaches and cancels nothing.
 *
 * Calls here may be made from outside, from jobs and from callbacks, never from a signal handler; only weft_wait
 * blocks. Those that make a future give the caller one reference, or NULL and errno, and then nothing is left behind:
 *   EINVAL           a NULL entry in an array (or NULL for an array that has entries), an unknown mode or flag
 *   ENOMEM           no memory
 *   ESHUTDOWN        the executor that it would belong to is shut down
 *   EOVERFLOW        16777215 (2^24 - 1) derived futures show one of the inputs already
 *   ESTALE           an executor or future inherited through fork
 * and for the default executor, if it has to be made, the codes of weft_executor_create.
 * For a NULL in the place of a single future they return NULL and leave errno alone. */
#ifndef WEFT_COMBINE_H
#define WEFT_COMBINE_H

#include <weft/future.h>

#ifdef __cplusplus
extern "C" {
#endif

/* When a gather is done, and how.
 *   WEFT_FIRST_ERROR  succeeds when all have; fails as soon as one has not, with its code (-ECANCELED or -ETIMEDOUT if
 *                     it was cancelled or timed out) and its index; the others go on, untouched
 *   WEFT_SETTLED      succeeds when all are done, however they ended
 *   WEFT_STRICT       as soon as one has not succeeded the others are asked to stop (WEFT_REASON_SIBLING); fails with
 *                     the first failure when all are done, so that nothing is running any more */
typedef enum { WEFT_FIRST_ERROR, WEFT_SETTLED, WEFT_STRICT } weft_gather_mode;

/* A future of n futures. The array is read during the call only; a future may stand in it more than once. n = 0: done
 * on return, succeeded. executor (NULL: the default one) runs its callbacks and passes on its cancellation. Its value
 * is NULL; each input's outcome is in weft_gather_outcomes. */
WEFT_API weft_future *weft_gather(weft_executor *executor, weft_future *const futures[], size_t n,
                                  weft_gather_mode mode);

/* The outcomes of a gather's inputs, in their order, and how many in *n; n may be NULL. Lent while the caller holds the
 * gather; with n = 0 not to be read from, but not NULL. A gather that failed early is a snapshot: what was not done
 * then stays WEFT_PENDING in it. It counts as reading the gather's outcome. NULL and errno: EINPROGRESS: not done;
 * EINVAL: not a gather; ENOMEM: no memory for them, which is taken at the first such call; ESTALE. Any thread; does not
 * block. */
WEFT_API const weft_outcome *weft_gather_outcomes(weft_future *gather, size_t *n);

/* What weft_wait waits for.
 *   WEFT_FIRST_COMPLETED  one is done, however it ended
 *   WEFT_FIRST_EXCEPTION  one has failed or timed out (to be cancelled does not count), or all are done
 *   WEFT_ALL_COMPLETED    all are done */
typedef enum { WEFT_FIRST_COMPLETED, WEFT_FIRST_EXCEPTION, WEFT_ALL_COMPLETED } weft_wait_mode;

/* Blocks until the mode is met, at most for `timeout` ns; 0 or negative only looks. Cancels nothing, takes nothing,
 * does not count as reading. done[i], if done is not NULL, says on return whether futures[i] is done; it is not written
 * with -EINVAL and -ENOMEM. n = 0: 0 at once.
 *   0           met
 *   -ETIMEDOUT  not in time
 *   -EINVAL     a NULL entry, NULL for an array that has entries, an unknown mode
 *   -ENOMEM     no memory
 *   and the codes of a refused wait (weft/future.h): -EDEADLK, -EOVERFLOW, -EAGAIN, -EINTR, -ESTALE */
WEFT_API int weft_wait(weft_future *const futures[], size_t n, weft_wait_mode mode, int64_t timeout, bool done[]);

/* Flags of weft_wait_for. WEFT_JOIN: done only when the future is done. WEFT_NO_CANCEL: leave the future alone. */
enum { WEFT_JOIN = 1, WEFT_NO_CANCEL = 2 };

/* The future under a deadline. If the future is done within `timeout` ns, the result has the same outcome. If not, the
 * result is WEFT_TIMED_OUT at the deadline, whatever the job is doing, and the job is asked to stop with
 * WEFT_REASON_TIMEOUT: one that has not started never will, one that runs goes on until it looks. Two questions, two
 * futures: the result says whether the deadline was met, the future itself when the job has stopped, and until then the
 * job's argument is in use. A deadline is never early; if at the deadline the future is done, its outcome wins.
 *
 * With WEFT_JOIN the request is made at the deadline, but the result is done when the future is: WEFT_TIMED_OUT if that
 * was cancelled, its value or error if it ended so all the same. With WEFT_NO_CANCEL nothing is ever asked of the
 * future, neither at the deadline nor when the result is cancelled. WEFT_FOREVER: no deadline and no timer. Zero or
 * negative: mirrors a future that is done, and times out any other. */
WEFT_API weft_future *weft_wait_for(weft_future *future, int64_t timeout, unsigned flags);

/* Has the outcome of the future, but stops requests: to cancel the shield cancels the shield alone, at once. Of a
 * future that is done it is done on return. */
WEFT_API weft_future *weft_shield(weft_future *future);

/* Succeeds with `value` when `delay` ns have passed, never before; zero or negative: soon, but not inside the call.
 * executor (NULL: the default one) keeps the time, by its own clock. The value stays the program's: weft never frees
 * it. While the executor is shutting down a sleep is cancelled from birth (WEFT_REASON_SHUTDOWN). */
WEFT_API weft_future *weft_sleep(weft_executor *executor, int64_t delay, void *value);

#ifdef __cplusplus
}
#endif
#endif
