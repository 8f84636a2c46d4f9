/* weft/queue.h: completions for an event loop.
 *
 * Futures are added to a queue and come out of it in the order in which they became done, each once, with the tag that
 * it was added with. A thread reads them with weft_queue_next; an event loop watches weft_queue_fd, with epoll, poll,
 * libuv or libevent, and reads with a timeout of 0 until the queue answers NULL:
 *
 *     while ((future = weft_queue_next(queue, 0, &tag)))
 *         finish(tag, future);
 *
 * The thread that makes a future done appends it; no coordinator comes in between, and the descriptor is written to
 * only when the queue was empty and somebody has asked for it. A queue that is destroyed leaves its futures as they
 * are.
 *
 * The loop ends when nothing more is to be had now: errno says whether something is outstanding (ETIMEDOUT) or not
 * (ENODATA). To be added and delivered does not count as reading: whoever gets a future reads it, and releases it.
 *
 * Threads. All calls but destroy may be made by several threads at once, outside, in jobs and in callbacks; only
 * weft_queue_next blocks. Destroy must come last. */
#ifndef WEFT_QUEUE_H
#define WEFT_QUEUE_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An empty queue. executor: the one that it goes with, or NULL; it makes no difference, as futures of any executor may
 * be added and the queue may outlive them all. Does not block. NULL and errno: ENOMEM, ESTALE. */
WEFT_API weft_queue *weft_queue_create(weft_executor *executor);

/* Has the future delivered once, when it is done, or now if it is. The queue holds a reference until then. The same
 * future may be added again and is then delivered again. Does not block.
 *   0        added
 *   -ENOMEM  no memory
 *   -EINVAL  queue is NULL, or it is one of weft_as_completed
 *   -ESTALE  inherited through fork
 *   NULL in place of the future: as the waits (weft/future.h) */
WEFT_API int weft_queue_add(weft_queue *queue, weft_future *future, void *tag);

/* The next future that is done, with a reference for the caller, and its tag in *tag (tag may be NULL). Blocks for at
 * most `timeout` ns; zero or negative only looks. NULL and errno:
 *   ETIMEDOUT  none in time. A future is appended by who makes it done, right afterwards: another thread that has seen
 *              it done may still find it missing for an instant
 *   ENODATA    none is outstanding; so a blocked caller is told when another one took the last
 *   EDEADLK    it would have to wait, on a coordinator
 *   EINTR      the calling job has been asked to stop, and nothing is there
 *   EAGAIN     as other waits in a job (weft/future.h)
 *   EINVAL     queue is NULL
 *   ESTALE     inherited through fork */
WEFT_API weft_future *weft_queue_next(weft_queue *queue, int64_t timeout, void **tag);

/* A descriptor that is readable while completions wait in the queue; the same at each call, the queue's own: watch it,
 * but do not read or close it. May be readable once too often when several threads read the queue. Negative: -EMFILE,
 * -ENFILE, -ENOMEM, -EINVAL, -ESTALE. */
WEFT_API int weft_queue_fd(weft_queue *queue);

/* Ends the queue: takes it off the futures it still waits for, releases those not read, closes the descriptor. Waits
 * for no future, at most, for an instant, for a thread that is waking another one. NULL, or inherited through fork:
 * nothing. */
WEFT_API void weft_queue_destroy(weft_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
