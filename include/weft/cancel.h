/* weft/cancel.h: tokens, scopes, and what is told of a request to stop.
 *
 * A token is a stop flag that goes one way: clear, then set, for good. Jobs are submitted with it
 * (weft_submit_options.token) and are asked to stop together; hooks registered on it are called. Tokens form a tree:
 * what is set is set downwards, to every token made below it and their jobs, never upwards. So after a part of the work
 * was stopped, the rest goes on with the token it has, and nothing has to be taken back.
 *
 * A scope is a token with a deadline. When that passes the token is set, with WEFT_REASON_TIMEOUT, and has expired. A
 * deadline holds for everything below, so the deadline in force is the smallest on the way up. weft_token_close ends
 * the scope: its deadline is gone, and the answer says whether it was met.
 *
 * 1. What a request to stop does, to what
 *      a job not started     cancelled on the spot, its function never entered, free_arg called
 *      a running job         weft_cancelled() answers true from then on, waits answer -EINTR, weft_await hands the
 *                            request on to what it awaits; its own token (weft_current_token) is set
 *      a token               set, and everything below it that is not shielded
 *      a promise, a sleep    cancelled on the spot
 *      a wait_for, a shield, an any, a flatten, a then that has not started
 *                            cancelled on the spot; all but a shield and a wait_for with WEFT_NO_CANCEL ask their
 *                            inputs
 *      a gather, a map, a wait_for with WEFT_JOIN
 *                            asked, and cancelled when its inputs are done
 *      a group               closed to new children, its children asked
 *
 * 2. The reason that is recorded (weft_outcome.reason); the first one stays
 *      weft_cancel on the future itself                                     WEFT_REASON_USER
 *      the token that the job was submitted with                            that token's own
 *      a deadline, wherever above                                           WEFT_REASON_TIMEOUT
 *      any other request from further above, or from a composite            WEFT_REASON_PARENT
 *      a WEFT_STRICT gather or map, or a group, of which another one failed WEFT_REASON_SIBLING (further down: PARENT)
 *      shutdown                                                             WEFT_REASON_SHUTDOWN
 *      weft_fail(-ECANCELED) unasked, weft_promise_reject(-ECANCELED)       WEFT_REASON_SELF
 *
 * 3. When. The token's own flag is set when weft_token_cancel returns. What hangs on it follows soon, on the coordinator
 *    of the executor that each token belongs to; deadlines do not wait for workers. Until the request has reached a job
 *    that has not started, it may still start. A job submitted later with a token that is set, or whose deadline has
 *    passed, is accepted and born cancelled.
 *
 *    Once its executor is shut down a token can still be set and read, but it has no deadline any more and calls no
 *    hook, and jobs of other executors that are further down are not asked. So let the top of a tree belong to the
 *    executor that lasts longest.
 *
 * Ownership. weft_token_create gives the caller one reference. Jobs, tokens below and groups hold references of their
 * own, so a token may be released as soon as the program has no more to say to it; its deadline stays in force for
 * them. Hooks do not hold the token: one that has not been called when the token goes will not be.
 *
 * Threads. All calls here may be made from outside, from jobs and from callbacks, and none blocks unless its comment
 * says so. weft_token_cancel alone may be made from a signal handler. For NULL in place of a token the calls that
 * return a code answer -EINVAL, the queries false, weft_token_retain NULL, the others do nothing. Inherited through
 * fork: where nothing else is said they do nothing, and queries tell how things stood. */
#ifndef WEFT_CANCEL_H
#define WEFT_CANCEL_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A token that is shielded is not reached by what happens above it; its own deadline and its own cancel count. For the
 * work of cleaning up after a cancellation. */
enum { WEFT_SHIELDED = 1 };

/* A token below `parent` (NULL: below none), with a deadline `timeout` ns from now on the executor's clock;
 * WEFT_FOREVER: none; zero or negative: already due, which shows soon but not inside this call. executor (NULL: the
 * default one, or the parent's if there is a parent) is whose coordinator expires it and calls its hooks; the parent
 * may belong to another. Below a token that is set the new one is born set, unless it is shielded. NULL and errno:
 *   EINVAL     an unknown flag
 *   ENOMEM     no memory
 *   ESHUTDOWN  the executor has been shut down; while it drains tokens can be made
 *   ESTALE     executor or parent was inherited through fork
 * and, for the default executor, the codes of weft_executor_create. */
WEFT_API weft_token *weft_token_create(weft_executor *executor, weft_token *parent, int64_t timeout, unsigned flags);

/* One more reference to the token, which is returned. */
WEFT_API weft_token *weft_token_retain(weft_token *token);

/* Gives one reference to the token up. */
WEFT_API void weft_token_release(weft_token *token);

/* Sets the token, with WEFT_REASON_USER unless it is set already. Async-signal-safe, the only call of weft that is. The
 * caller needs a reference; what the program does afterwards may happen before the jobs have been asked. */
WEFT_API void weft_token_cancel(weft_token *token);

/* Is the token set, or one above it that it is not shielded from? */
WEFT_API bool weft_token_cancelled(const weft_token *token);

/* Is the token set because its own deadline passed? False for one that was set before, or closed in time, or whose parent's
 * deadline passed. */
WEFT_API bool weft_token_expired(const weft_token *token);

/* Moves the deadline to `timeout` ns from now; WEFT_FOREVER takes it away. Cannot fail for want of memory. On a token
 * that is set but not expired, or whose executor is shut down, it does nothing and answers 0.
 *   0          moved
 *   -EALREADY  it has expired, or was closed
 *   -ESTALE    inherited through fork */
WEFT_API int weft_token_reschedule(weft_token *token, int64_t timeout);

/* Ends the scope: the deadline is gone and its timer too. The token can still be cancelled and used. May be called
 * again.
 *   0           it had not expired, and never will
 *   -ETIMEDOUT  it had
 *   -ESTALE     inherited through fork */
WEFT_API int weft_token_close(weft_token *token);

/* Has hook(data) called once when the token is set, or soon if it is: on the coordinator, in the order of registration,
 * never inside this call. It must be short and gets -EDEADLK from whatever would wait. handle may be NULL; else *handle
 * is written before the hook can be called, and must be handed to weft_callback_remove once, which waits while the hook
 * runs on another thread: so a job can take back a hook that points to its stack. If the token goes first, the hook is
 * never called, and weft_callback_remove answers 0.
 *   0           registered
 *   -EINVAL     hook is NULL
 *   -ENOMEM     no memory
 *   -ESHUTDOWN  the token's executor has been shut down; *handle is NULL or as it was
 *   -ESTALE     inherited through fork */
WEFT_API int weft_token_on_cancel(weft_token *token, void (*hook)(void *data), void *data, weft_callback **handle);

/* The token of the calling job: set when the job is asked to stop, and setting it asks the job. Made when first asked
 * for, borrowed (retain it to keep it), the same at each call in one job. Of a job that runs inside another one's
 * weft_await it is below that one's. NULL: not in a job (errno EINVAL), no memory (errno ENOMEM), or the executor was
 * inherited through fork (errno ESTALE). */
WEFT_API weft_token *weft_current_token(void);

#ifdef __cplusplus
}
#endif
#endif
