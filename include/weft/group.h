/* weft/group.h: structured concurrency: jobs that are begun together, stopped together, and all over when join returns.
 *
 * A group is a scope with children: jobs whose futures nobody holds, because the group waits for all of them. If one
 * fails, the others are asked to stop (WEFT_REASON_SIBLING) and new ones are refused. weft_group_join returns when
 * every child is over, whatever happened, so what the children use may live on the stack of who joins.
 *
 *     weft_group *group = weft_group_create(NULL, NULL);
 *     for (size_t i = 0; i < n; i++)
 *         weft_group_submit(group, work, &items[i]);
 *     int error = weft_group_join(group);
 *     weft_group_destroy(group);
 *
 * Here the code of submit need not be looked at: what was refused is not run, and a group whose submits are refused for
 * its own sake says so at the join. Look where each item counts: that there was no memory or no room, or that the
 * executor was shut down, is told by submit alone.
 *
 * Life: create, submit from any thread that knows the group (children too), join, destroy. Between join and destroy the
 * errors may be read. The group belongs to who made it; children need no reference to it, since it outlives them.
 *
 * Threads. Calls may be made from outside, from jobs and, but for join, from callbacks; none from a signal handler,
 * where weft_token_cancel on a token above the group does the same. After a fork all answer -ESTALE, or NULL with
 * ESTALE; weft_group_cancel does nothing.
 *
 * Source: Trio's nurseries (N. J. Smith, 2018), asyncio.TaskGroup, Go's errgroup. */
#ifndef WEFT_GROUP_H
#define WEFT_GROUP_H

#include <weft/future.h>

#ifdef __cplusplus
extern "C" {
#endif

/* {0}: no limit, no deadline, no parent. Read during weft_group_create only. */
typedef struct weft_group_options {
    /* How many children may run at a time, 0: any number. Those beyond wait in the group and take no worker. */
    unsigned limit;
    /* ns from creation after which the children are asked to stop (WEFT_REASON_TIMEOUT); 0: none; negative: at once. */
    int64_t timeout;
    /* What stops the group as well: a token, of which the group holds a reference. NULL: none. */
    weft_token *parent;
} weft_group_options;

/* An empty group of jobs of that executor (NULL: the default one); options NULL: none. Does not block. NULL and errno:
 *   ENOMEM     no memory
 *   ESHUTDOWN  the executor has been shut down; while it drains groups can be made
 *   ESTALE     executor or parent was inherited through fork
 * and, for the default executor, the codes of weft_executor_create. */
WEFT_API weft_group *weft_group_create(weft_executor *executor, const weft_group_options *options);

/* Submits fn(arg) as a child. Does not block, with a limit neither. 0, or the argument is still the caller's:
 *   -ECANCELED  the group has failed or was cancelled, or its deadline or one above it has passed
 *   -EALREADY   the join is over
 *   -EINVAL     group or fn is NULL
 *   and the codes of weft_submit: -ENOMEM, -EAGAIN, -ESHUTDOWN, -ENOTRECOVERABLE, -ESTALE */
WEFT_API int weft_group_submit(weft_group *group, weft_fn *fn, void *arg);

/* As weft_group_submit, with options; NULL options: none. A token there is a second one beside the group's: either
 * stops the child. A value that the child returns goes to free_value before the join returns. The delay of a child
 * counts from here, and while it lasts the child does not count against the limit. -EINVAL also: the priority is
 * none. */
WEFT_API int weft_group_submit_with(weft_group *group, weft_fn *fn, void *arg, const weft_submit_options *options);

/* Asks all children to stop (WEFT_REASON_USER) and refuses new ones. Those that have not started when the request
 * reaches them are never run. The join will answer -ECANCELED unless a child failed, or -ETIMEDOUT if the deadline had
 * passed before. Does not block: children are asked on the coordinator. NULL: nothing. */
WEFT_API void weft_group_cancel(weft_group *group);

/* Blocks until every child is over, also those that are submitted meanwhile; a request to stop the calling job does not
 * end it. In a job it runs children that have not started. May be called again, and by several threads.
 *   0           all is well; children that were cancelled on their own count as well
 *   positive    the code of the first child that failed; negative -EOWNERDEAD or -ENOTRECOVERABLE likewise
 *   -ETIMEDOUT  the group's deadline passed
 *   -ECANCELED  the group was cancelled, or something above it was, for whatever reason, or shutdown cancelled a child
 *   -EDEADLK    refused: on a coordinator, or in a child of the group
 *   -EAGAIN, -EOVERFLOW  refused as any wait (weft/future.h); try again
 *   -EINVAL     NULL
 *   -ESTALE     inherited through fork */
WEFT_API int weft_group_join(weft_group *group);

/* After a join: the failures, in the order in which the children ended; *n of them (n may be NULL); `index` is the
 * child's number in the order of submission, from 0; refused ones have none. Cancellations are no failures. Lent until
 * the group is destroyed. Without failures *n is 0 and the result not NULL. Does not block. NULL and errno:
 *   EINPROGRESS  not joined yet
 *   EINVAL       NULL
 *   ENOMEM       no memory for them, which is taken at the first such call
 *   ESTALE       inherited through fork */
WEFT_API const weft_outcome *weft_group_errors(weft_group *group, size_t *n);

/* Ends the group. 0; -EBUSY: it has not been joined, nothing happens; -ESTALE. NULL: 0. Does not block. */
WEFT_API int weft_group_destroy(weft_group *group);

#ifdef __cplusplus
}
#endif
#endif
