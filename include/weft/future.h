/* weft/future.h: what is awaited.
 *
 * A job is a function that runs once on a worker; what it returns is its value. A future is a handle on an outcome that
 * comes later: of a job, of a promise that the program resolves itself, or of other futures (weft/combine.h). It is
 * pending, then done in one of four ways, once and for good:
 *
 *   state            code           who decides it
 *   WEFT_SUCCEEDED   0              the job returned; the value is there
 *   WEFT_FAILED      positive       `return weft_fail(code)`
 *                    negative       weft: -EOWNERDEAD (the job ended its thread, or a promise was dropped),
 *                                   -ENOTRECOVERABLE (the executor is broken), -ENODATA, -EINVAL, -ELOOP, -EOVERFLOW
 *                                   (combine.h); -ECANCELED or -ETIMEDOUT: an input that was cancelled or timed out, or
 *                                   an item that was cancelled, decided a gather, any or map
 *   WEFT_CANCELLED   -ECANCELED     a request that came before the start, or that the job acknowledged
 *   WEFT_TIMED_OUT   -ETIMEDOUT     a deadline (combine.h)
 *
 * Ownership.
 *    1. A call that returns a future gives the caller one reference. weft_future_release and weft_await take one away,
 *       no other call does, and a weft_await that was refused does not.
 *    2. To drop a future is not to cancel it: accepted work runs to its end, and its outcome is then destroyed.
 *    3. A refused call owns nothing: arguments, values and references stay with the caller.
 *    4. The argument is the caller's until submit succeeds. With free_arg it is weft's from then on; without, it must
 *       stay valid until the job's future is done, which implies that the function is not running and never will.
 *    5. free_arg runs once, after the function returned or was discarded, and before the future is done.
 *    6. The value is held by the future. weft_future_get lends it for as long as the caller holds the future.
 *    7. weft_future_take and weft_await move it out to the caller, once for all holders of the future.
 *    8. A value that nobody took goes to free_value once, with the last reference; without free_value weft frees none.
 *    9. Futures made from this one lend its value and hold a reference to it; while there is one, a value that has a
 *       free_value can be lent but not taken from here. Through what mirrors it, it can (weft/combine.h).
 *   10. Outcomes can be read and futures released after their executor was destroyed.
 *   11. A promise has one owner and ends with weft_promise_destroy; its future lives on. A handle of a callback or hook
 *       must go to weft_callback_remove once, whatever became of the callback.
 *   12. Tokens are counted like futures. Jobs, groups and tokens below hold references of their own; hooks hold none.
 *   13. A group belongs to who made it and outlives its children; it holds their values for free_value alone, and their
 *       errors until it is destroyed. A queue belongs to who made it; it holds each future until it has given it out.
 *   14. A map copies the array of its items. Their arguments are the caller's, or free_arg's, as with any job; the
 *       values are the map's, lent by weft_gather_outcomes, and go to free_value with it.
 *
 * Requests to stop. weft_cancel asks. A job that has not started is cancelled on the spot. A running job is not
 * interrupted: weft_cancelled answers true in it from then on, its waits answer -EINTR, and it ends as it likes. If it
 * returns weft_fail(-ECANCELED), it is cancelled; a value or an error that it returns in spite of the request stands. A
 * request is never taken back, and the reason of the first one stays.
 *
 * Order. What a thread wrote before it submitted a job is visible in the job, and what the job wrote is visible to
 * whoever sees its future done, by whatever call.
 *
 * Waiting in a job is safe, also with one worker. A wait without end for a job that has not started runs it then and
 * there, on the waiter's stack; in any other wait a spare thread stands in for the worker. Nothing but what is waited
 * for is ever run inside a wait.
 *
 * Codes of the blocking calls, for a wait that is refused (the future is as it was):
 *   -EDEADLK    it could never end: a job waits for itself or in a circle, or the caller is the coordinator. Certain
 *               for jobs that wait for each other directly; through futures made of others it is found where possible
 *   -EOVERFLOW  too many waits run what they wait for, nested on one stack (the limit is 4096)
 *   -EAGAIN     no thread is left to stand in for this worker (max_spares, or the system has none)
 *   -EINTR      the calling job has been asked to stop (not weft_await, which hands the request on)
 *   -ESTALE     the future was inherited through fork, done or not
 * For NULL in place of a future they answer -errno, as the call that failed left it, or -EINVAL if errno is 0. */
#ifndef WEFT_FUTURE_H
#define WEFT_FUTURE_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A job: what it returns is its value. Start routines of pthreads are jobs as they stand. */
typedef void *weft_fn(void *arg);

/* Which of the jobs not yet started goes first; a running job is never interrupted for another. */
typedef enum { WEFT_NORMAL, WEFT_HIGH, WEFT_LOW } weft_priority;

/* What a submit may say beyond function and argument; {0}: nothing. Read during the call only. */
typedef struct weft_submit_options {
    /* For traces and reports of errors; not copied: must outlive the job and its future. NULL: none. */
    const char *name;
    /* The job is cancelled together with this token, and born cancelled if it is set already. The job takes a reference
     * of its own. NULL: none. */
    weft_token *token;
    /* Not started before this many ns have passed; 0 or negative: at once. Until then it takes no worker. */
    int64_t delay;
    weft_priority priority;
    /* Called once for the argument (NULL too), before the future is done; NULL: the argument stays the caller's. Runs
     * on a worker or, if the job never starts, on the thread that cancels it. */
    void (*free_arg)(void *arg);
    /* Called once for a value (NULL too) that nobody took, or that was returned beside weft_fail; on whatever thread
     * drops the last reference. NULL: weft leaves values alone. */
    void (*free_value)(void *value);
} weft_submit_options;

/* Submits fn(arg) as a job. Returns its future, or NULL and errno; does not block.
 * From outside, jobs of one priority start in the order of their submission if there is one worker, and about in that
 * order if there are more; what a job submits goes to its own worker, which may start the newest first.
 *   EINVAL           fn is NULL, or the priority is none
 *   ENOMEM           no memory
 *   EAGAIN           max_pending jobs wait already (submits from outside only)
 *   ESHUTDOWN        shutdown has begun; while draining only submits from outside are refused so
 *   ENOTRECOVERABLE  a worker_start failed
 *   ESTALE           the executor, or the token in the options, was inherited through fork
 * and, for the default executor, the codes of weft_executor_create. */
WEFT_API weft_future *weft_submit(weft_executor *executor, weft_fn *fn, void *arg);

/* As weft_submit, with options; NULL options: none. A token that is set already is no error: the job is accepted, never
 * runs, and its future is cancelled from birth. */
WEFT_API weft_future *weft_submit_with(weft_executor *executor, weft_fn *fn, void *arg,
                                       const weft_submit_options *options);

/* As weft_submit, but the job gets weft's own copy of the `size` bytes at arg, aligned for any object and valid until
 * it returns; the caller's may go when the call returns. EINVAL also: arg is NULL and size is not 0. */
WEFT_API weft_future *weft_submit_copy(weft_executor *executor, weft_fn *fn, const void *arg, size_t size);

/* Submits fn(args[i]) for each i below n, at less cost than one by one; all or none. The futures go to futures[i], a
 * reference each; futures NULL: no futures, as weft_execute. args NULL: every argument is NULL. 0, or the codes of
 * weft_submit, negative; then nothing was started and what futures[] holds is of no use. n = 0: 0. */
WEFT_API int weft_submit_many(weft_executor *executor, weft_fn *fn, void *const args[], size_t n,
                              weft_future *futures[]);

/* Submits fn(arg) without a future. Its value goes nowhere, its failure to unobserved_error. 0, or the codes of
 * weft_submit, negative. */
WEFT_API int weft_execute(weft_executor *executor, weft_fn *fn, void *arg);

/* Has the calling job been asked to stop, by whatever way? Cheap enough for inner loops; once true it stays true.
 * false outside a job. */
WEFT_API bool weft_cancelled(void);

/* `return weft_fail(code);` ends the calling job with code > 0 as failed with that code, with -ECANCELED as cancelled:
 * with the reason of the request, or WEFT_REASON_SELF if there was none. Any other code counts as EINVAL. It returns
 * NULL and only takes a note: the job ends where it returns, the last call counts, and a value that it returns all the
 * same goes to free_value. No effect outside a job. */
WEFT_API void *weft_fail(int code);

/* PENDING: not started, or waiting for others. RUNNING: jobs, and a then, whose function has been entered. The others
 * are done. */
typedef enum { WEFT_PENDING, WEFT_RUNNING, WEFT_SUCCEEDED, WEFT_FAILED, WEFT_CANCELLED, WEFT_TIMED_OUT } weft_state;

/* Why it was cancelled. */
typedef enum {
    WEFT_REASON_NONE,     /* it was not */
    WEFT_REASON_USER,     /* weft_cancel on the future itself, or the cancellation of its token */
    WEFT_REASON_TIMEOUT,  /* a deadline: of a wait_for, or of a token on the way up */
    WEFT_REASON_SIBLING,  /* another input failed where all must succeed */
    WEFT_REASON_PARENT,   /* a future made from it, or a token above its own, was cancelled */
    WEFT_REASON_SHUTDOWN, /* its executor was shut down */
    WEFT_REASON_SELF      /* weft_fail(-ECANCELED) or weft_promise_reject(-ECANCELED) that nobody had asked for */
} weft_cancel_reason;

/* How a future has ended. */
typedef struct weft_outcome {
    weft_state state;
    int error;                 /* 0, or the code; -ECANCELED and -ETIMEDOUT for those states */
    void *value;               /* lent, as by weft_future_get; NULL unless WEFT_SUCCEEDED, or if it was taken */
    size_t index;              /* which input decided it, in futures made of several; else 0 */
    weft_cancel_reason reason; /* why, if WEFT_CANCELLED; WEFT_REASON_TIMEOUT if WEFT_TIMED_OUT; else NONE */
} weft_outcome;

/* One more reference to the future, which is returned; NULL for NULL. Any thread that holds one; does not block. There
 * must never be more than 33554431 (2^25 - 1) to one future, which is not checked. Inherited through fork: returned as
 * it is. */
WEFT_API weft_future *weft_future_retain(weft_future *future);

/* Gives one reference back; NULL: nothing. With the last one a value that nobody took goes to free_value, and a failure
 * that nobody read to unobserved_error, both on this thread; if the future is not done yet, when and where it is. Does
 * not block. Inherited through fork: nothing. */
WEFT_API void weft_future_release(weft_future *future);

/* Where the future stands now. None of the three blocks or counts as reading the outcome. weft_future_done: in any of
 * the four end states; weft_future_cancelled: in WEFT_CANCELLED. NULL: WEFT_FAILED, true, false. Inherited through
 * fork: as it stood then. */
WEFT_API weft_state weft_future_state(const weft_future *future);
WEFT_API bool weft_future_done(const weft_future *future);
WEFT_API bool weft_future_cancelled(const weft_future *future);

/* Writes the outcome to *outcome, without waiting; it counts as read. 0; -EINPROGRESS: not done, *outcome is as it was;
 * -EINVAL: outcome is NULL; -ESTALE. NULL as the waits. */
WEFT_API int weft_future_outcome(weft_future *future, weft_outcome *outcome);

/* Blocks until the future is done, at most for `timeout` ns; 0 or negative only looks. It tells nothing of the outcome
 * and does not count as reading it. That the callbacks have run is not promised.
 *   0           done
 *   -ETIMEDOUT  not done in time; the future is not touched
 *   and the codes of a refused wait */
WEFT_API int weft_future_wait(weft_future *future, int64_t timeout);

/* Blocks until the future is done and returns its outcome; the value is lent to *value for as long as the caller holds
 * the future. value may be NULL. *value is written only with 0.
 *   0           succeeded
 *   positive    the job's own code
 *   -ECANCELED  cancelled
 *   -ETIMEDOUT  timed out: the future's own outcome
 *   -ENODATA    it succeeded, but the value has been taken
 *   other negative codes: how weft failed it (see the table above), and the codes of a refused wait */
WEFT_API int weft_future_get(weft_future *future, void **value);

/* As weft_future_get, but moves the value out to the caller: weft will not destroy it. The reference stays. Of a future
 * that mirrors another one it is taken from that one; of a gather nothing can be taken.
 *   -EBUSY    the value has a free_value and is lent to another future that was made from this one
 *   -ENODATA  taken before */
WEFT_API int weft_future_take(weft_future *future, void **value);

/* Takes the value and releases the future: what pthread_join is to a thread. Returns the outcome, as weft_future_get.
 * value NULL takes nothing: the value goes its way (free_value), and -EBUSY and -ENODATA cannot come. Whenever the wait
 * itself is refused (-EDEADLK, -EOVERFLOW, -EAGAIN, -ESTALE) or the value cannot be taken (-EBUSY, -ENODATA) the caller
 * keeps the reference. In a job that is asked to stop it does not end early: it hands the request on to the future and
 * returns when that is done, so what the awaited job uses stays valid. */
WEFT_API int weft_await(weft_future *future, void **value);

/* What a request to cancel has met. It is exact: what happens afterwards agrees with it. */
typedef enum {
    WEFT_CANCEL_DONE,      /* cancelled on return; a job's function will never be entered */
    WEFT_CANCEL_REQUESTED, /* the request is new; a running job or unfinished inputs have been asked to stop */
    WEFT_CANCEL_ALREADY,   /* an earlier request stands */
    WEFT_CANCEL_TOO_LATE   /* it was done before; also for NULL and for futures inherited through fork */
} weft_cancel_effect;

/* Asks for the future's cancellation, with WEFT_REASON_USER. Promises, sleeps and jobs not started: WEFT_CANCEL_DONE.
 * Running jobs: WEFT_CANCEL_REQUESTED. Futures made of others: see weft/combine.h. Does not block; free_arg of a job
 * that has not started runs inside. */
WEFT_API weft_cancel_effect weft_cancel(weft_future *future);

/* A callback: on the coordinator, after the future is done; the future is lent for the call. It must be short and gets
 * -EDEADLK from anything that would wait; it may submit, cancel, resolve, add and remove callbacks. A result other than
 * 0 goes to unobserved_error and changes nothing. */
typedef int weft_done_fn(weft_future *future, void *data);

/* Has fn(future, data) called once, when the future is done or soon if it is; never inside this call. Callbacks of one
 * future run in the order in which they were added, and across the futures of one executor in the order in which those
 * became done. handle may be NULL; else *handle is written before the callback can run, and must be handed to
 * weft_callback_remove once. The future is kept until the callback has run. Does not block.
 *   0           registered
 *   -ENOMEM     no memory
 *   -EINVAL     fn is NULL
 *   -ESHUTDOWN  the future's executor has been shut down, so nobody is left to run it; *handle is NULL or as it was
 *   -ESTALE     inherited through fork
 *   NULL as the waits */
WEFT_API int weft_on_done(weft_future *future, weft_done_fn *fn, void *data, weft_callback **handle);

/* Takes a callback, or a hook (weft/cancel.h), back and ends its handle; once for each. If it is running on another
 * thread, this waits until it has returned, so afterwards what `data` points to is no longer in use. From another
 * executor's coordinator too; two coordinators that do so to each other at once wait for ever.
 *   0          it was not called and never will be
 *   -EALREADY  it has run; or this is the callback itself, for which nothing is waited
 *   -EINVAL    handle is NULL
 *   -ESTALE    inherited through fork; nothing was done */
WEFT_API int weft_callback_remove(weft_callback *handle);

/* A promise is the other end of a future: what the program resolves when something has happened that is not a job. It
 * has one owner, who ends it with weft_promise_destroy. NULL and errno: ENOMEM, ESHUTDOWN (after a shutdown, not while
 * it drains), ESTALE, and those of the default executor. Does not block. */
WEFT_API weft_promise *weft_promise_create(weft_executor *executor);

/* The future of a promise, one new reference for each call; NULL for NULL. It stays valid after the promise is gone. Inherited
 * through fork: as weft_future_retain. */
WEFT_API weft_future *weft_promise_future(weft_promise *promise);

/* Makes the future succeed with the value, which is then the future's: free_value (or NULL) destroys it if nobody takes
 * it. Any thread, does not block; waiters are woken, callbacks run later.
 *   0          it did
 *   -EALREADY  the future was done (cancelled, perhaps): the value stays the caller's
 *   -EINVAL    promise is NULL
 *   -ESTALE    inherited through fork */
WEFT_API int weft_promise_resolve(weft_promise *promise, void *value, void (*free_value)(void *));

/* Makes the future fail with code > 0, or be cancelled (WEFT_REASON_SELF) with -ECANCELED. 0 and codes as
 * weft_promise_resolve; -EINVAL also: any other code, and nothing is changed. */
WEFT_API int weft_promise_reject(weft_promise *promise, int code);

/* Ends the promise, not its future; one that is unresolved fails with -EOWNERDEAD. NULL, or inherited through
 * fork: nothing. Does not block. */
WEFT_API void weft_promise_destroy(weft_promise *promise);

#ifdef __cplusplus
}
#endif
#endif
