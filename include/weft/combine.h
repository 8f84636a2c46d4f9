/* weft/combine.h: futures of futures.
 *
 * A derived future is decided by others, its inputs, by time, or by both. It is done as soon as the input that decides
 * it is, on the thread that makes that one done; what time decides, the coordinator resolves. The functions of a then
 * and of a map run on workers, as jobs. It holds a reference of its own to each input, so the caller may release his at
 * once, and leaves nothing behind on them when it is done. The inputs may belong to several executors; what has a
 * single input (wait_for, shield, then, flatten) belongs to that one's.
 *
 * Its value is a view: it lends what the inputs hold. So a value that has a free_value cannot be taken from an input
 * while a derived future is attached to it (-EBUSY). Taking through a wait_for, shield, flatten or any takes from the
 * input that it mirrors, unless another derived future is attached to that one as well. An input whose value was taken
 * before stands as failed with -ENODATA.
 *
 * What "done" says. A job future that is done no longer uses its argument; nor does a then its data. Another derived
 * one says nothing about the jobs below it, except where it waits for them: a map, WEFT_STRICT, WEFT_SETTLED,
 * WEFT_JOIN, and a gather that was cancelled.
 *
 * Cancelling a derived future asks all of its inputs that are not done to stop, with WEFT_REASON_PARENT, or the reason
 * itself if it was a deadline or shutdown; weft_shield is what stops this. A request to a gather, a map or a wait_for
 * with WEFT_JOIN that is not done answers WEFT_CANCEL_REQUESTED (a second one WEFT_CANCEL_ALREADY), and it is cancelled
 * when its inputs are done. A then whose function has started is asked as a running job is. All others are cancelled on
 * the spot (WEFT_CANCEL_DONE).
 *
 * Errors. The duty to read a failure passes from the inputs to the derived future; in a shield, and from the inner
 * future of a flatten, only if it mirrors the failure. A derived future that is dropped detaches and cancels nothing;
 * but a then that was dropped still runs its function, and a map its items.
 *
 * Calls here may be made from outside, from jobs and from callbacks, never from a signal handler; only weft_wait
 * blocks. Those that make a future give the caller one reference, or NULL and errno, and then nothing is left behind:
 *   EINVAL           a NULL entry in an array (or NULL for an array that has entries), an unknown mode or flag
 *   ENOMEM           no memory
 *   ESHUTDOWN        the executor that it would belong to has been shut down; not while it drains, but for a map from
 *                    outside
 *   EOVERFLOW        16777215 (2^24 - 1) derived futures show one of the inputs already, or it has 33554431 references
 *   ESTALE           an executor, future or token inherited through fork
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

/* The outcomes of a gather's or an any's inputs, or of a map's items, in their order, and how many in *n; n may be
 * NULL. Lent while the caller holds the gather; with n = 0 not to be read from, but not NULL. A gather that failed
 * early, or an any that was decided early, is a snapshot: what was not done then stays WEFT_PENDING in it. It counts as
 * reading the gather's outcome. Any thread; does not block. NULL and errno:
 *   EINPROGRESS  not done
 *   EINVAL       neither gather, any nor map
 *   ENOMEM       no memory for them, which is taken at the first such call
 *   ESTALE       inherited through fork
 * NULL for NULL, and errno as it is. */
WEFT_API const weft_outcome *weft_gather_outcomes(weft_future *gather, size_t *n);

/* Succeeds as soon as one of n futures has, with its value; weft_outcome.index says which. If none does, it fails when
 * all are done, with the code of the first that failed (-ECANCELED, -ETIMEDOUT for one that was cancelled or timed out)
 * and its index. The others are left alone when one has won. EINVAL also: n = 0. Outcomes and executor as with
 * weft_gather. */
WEFT_API weft_future *weft_any(weft_executor *executor, weft_future *const futures[], size_t n);

/* What weft_wait waits for.
 *   WEFT_FIRST_COMPLETED  one is done, however it ended
 *   WEFT_FIRST_EXCEPTION  one has failed or timed out (to be cancelled does not count), or all are done
 *   WEFT_ALL_COMPLETED    all are done */
typedef enum { WEFT_FIRST_COMPLETED, WEFT_FIRST_EXCEPTION, WEFT_ALL_COMPLETED } weft_wait_mode;

/* Blocks until the mode is met, at most for `timeout` ns; 0 or negative only looks. Cancels nothing, takes nothing,
 * does not count as reading. done[i], if done is not NULL, says on return whether futures[i] is done; it is not written
 * with -EINVAL, -ENOMEM and -ESTALE. n = 0: 0 at once.
 *   0           met
 *   -ETIMEDOUT  not in time
 *   -EINVAL     a NULL entry, NULL for an array that has entries, an unknown mode
 *   -ENOMEM     no memory
 *   and the codes of a refused wait (weft/future.h): -EDEADLK, -EOVERFLOW, -EAGAIN, -EINTR, -ESTALE */
WEFT_API int weft_wait(weft_future *const futures[], size_t n, weft_wait_mode mode, int64_t timeout, bool done[]);

/* The futures in the order in which they become done: a queue (weft/queue.h) to be read with weft_queue_next, whose tag
 * is the future's index in the array, (void *)(uintptr_t)i. Those done already come first, in the array's order; a
 * future that stands in the array twice comes once, with its first index; then weft_queue_next answers ENODATA.
 * `timeout` ns after this call, by CLOCK_MONOTONIC whatever the executors' clocks, the queue gives out what is done and
 * from then on ETIMEDOUT; WEFT_FOREVER: no such limit. Cancels nothing, and the duty to read failures stays with the
 * futures. The caller ends it with weft_queue_destroy, before it is empty if he likes. Does not block. NULL and errno:
 *   EINVAL  a NULL entry, or NULL for an array that has entries
 *   ENOMEM  no memory
 *   ESTALE  a future inherited through fork */
WEFT_API weft_queue *weft_as_completed(weft_future *const futures[], size_t n, int64_t timeout);

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

/* A function that is run as a job of its own when a future is done. value: of the future that it follows, lent for the
 * call. What it returns and says by weft_fail is the outcome, as with any job. */
typedef void *weft_then_fn(void *value, void *data);
typedef void *weft_then_any_fn(const weft_outcome *outcome, void *data);

/* Runs fn(value, data) on the pool of the future's executor after that has succeeded; if it ends otherwise, so does the
 * result, and fn is not run. Never inside this call or inside the one that makes the future done. The worker that
 * finished the future may run it next. The result is WEFT_PENDING until fn has started, then WEFT_RUNNING.
 *
 * To cancel it before fn has started cancels it on the spot, fn is never run, and the future is asked to stop as well;
 * afterwards it is cancelled like any running job. While another outcome is passing through, and free_arg is running
 * for that, the answer is WEFT_CANCEL_TOO_LATE though it is not done yet. To drop it does not keep fn from being run.
 * While the result is held, so is the future, and its value stays lent: fn may return the value itself, or a part of
 * it. */
WEFT_API weft_future *weft_then(weft_future *future, weft_then_fn *fn, void *data);

/* The same after any outcome, which fn gets to see and may recover from. Lent for the call. Of a future that shutdown
 * cancelled it is cancelled too. */
WEFT_API weft_future *weft_then_any(weft_future *future, weft_then_any_fn *fn, void *data);

/* With options, as weft_submit_with has them: name, token, priority; a delay that counts from the moment when the
 * future is done; free_arg for data, whether fn was run or not; free_value for what fn returned. NULL options: none.
 * EINVAL also, here and above: fn is NULL, or the priority is none. */
WEFT_API weft_future *weft_then_with(weft_future *future, weft_then_fn *fn, void *data,
                                     const weft_submit_options *options);
WEFT_API weft_future *weft_then_any_with(weft_future *future, weft_then_any_fn *fn, void *data,
                                         const weft_submit_options *options);

/* Of a future whose value is a weft_future *, the inner one: has the outcome of the inner one when that is done, and of
 * the outer one if that does not succeed. It takes a reference of its own to the inner one as soon as the outer one is
 * done; until then somebody must keep it, best the outer one by having weft_future_release for free_value. A NULL inner
 * makes it fail with -EINVAL, one that waits for the result itself with -ELOOP, one that has no room for another
 * derived future with -EOVERFLOW. Cancelled on the spot, the request goes to whichever of the two is open. It belongs
 * to the outer one's executor. */
WEFT_API weft_future *weft_flatten(weft_future *future);

/* Runs fn(items[i]) for each i below n, `chunk` items to a job (0: weft chooses), and is done when every item is or
 * will never be run: so a map that is done is quiet, in each mode. The array is copied; items must not be NULL. Each
 * item has an outcome of its own in weft_gather_outcomes, whatever the chunks: weft_fail and weft_cancelled in fn are
 * of the item. The map's own value is NULL.
 *
 *   WEFT_FIRST_ERROR, WEFT_STRICT   succeeds if all items do; else fails with the first failure's code and index
 *                                   (-ECANCELED for an item that was cancelled) when all are over. STRICT does not
 *                                   start any more items then (WEFT_REASON_SIBLING) and asks the running ones
 *   WEFT_SETTLED                    succeeds however the items end
 *
 * To cancel it asks for the chunks' cancellation: items that have not been started never are. A map that is dropped
 * runs all of its items. n = 0: done on return. Codes as weft_gather and weft_submit (EINVAL: fn is NULL, a NULL item,
 * an unknown mode or priority); all or none of the chunks are submitted. */
WEFT_API weft_future *weft_map(weft_executor *executor, weft_fn *fn, void *const items[], size_t n, size_t chunk,
                               weft_gather_mode mode);

/* With options for each item: free_arg is called for each item once, free_value for each value that the map still holds
 * when it goes; a token stops items as a request to the map does, but they then count as cancelled inputs and not as a
 * cancelled map; name, priority and delay are of the chunks. NULL options: none. */
WEFT_API weft_future *weft_map_with(weft_executor *executor, weft_fn *fn, void *const items[], size_t n, size_t chunk,
                                    weft_gather_mode mode, const weft_submit_options *each);

#ifdef __cplusplus
}
#endif
#endif
