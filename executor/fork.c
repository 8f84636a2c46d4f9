/* fork.c: weft in the child of a fork.
 *
 * A child has all of its parent's memory and one of its threads. Every executor in it is a ruin: no worker will ever
 * take a job, no coordinator will look at the time, and any lock may be held by a thread that is not there. So the
 * child leaves them as they are. Each call compares the generation under which its object was made with that of the
 * process, and refuses before it reads anything that changes, takes a lock or writes a byte. Nothing is freed: the
 * pages are shared with the parent for as long as nobody writes to them.
 *
 * What is the process's and not an object's is made new by the handler below: the lists and their locks, the counters,
 * the default executor, and this thread's thread-local part. Then an executor that the child makes works as in any
 * process.
 *
 * No handler runs before the fork or in the parent. The custom of taking every lock before a fork serves to hand the
 * child consistent data, and this child forgets whatever those locks guard. So fork is as fast as without weft, no lock
 * order has to be kept with the program's own handlers, and a fork from inside a hook cannot meet a lock of its own.
 *
 * A fork from a job leaves the child on a worker's stack, and one from a callback on the coordinator's. The program's
 * function goes on there like any thread of the program's; when it returns to weft there is nothing to return to, and
 * the thread ends. As the last one of its process it ends that too, with status 0. Wherever code of the program's is
 * called on a thread of weft's, weft__fork_check follows. Elsewhere (a destructor that forks while the program releases
 * a future) the call returns to the program as soon as it can.
 *
 * The generation as a guard is that of a process id compared at each entry, without the system call. */
#include "fork.h"

#include "executor.h"

#include <errno.h>

uint32_t weft__generation;

static _Atomic(bool) watching; /* set after a registration; any thread */

/* The child's only thread, before fork returns there. May run more than once for one fork, see weft__fork_watch. */
static void forked(void)
{
    if (++weft__generation == 0)
        weft__generation = 1;
    weft__memory_forked();
    weft__slab_forked();
    weft__executors_forked();
    weft__threads_forked();
    weft__futures_tenant.forked();
}

/* Two threads that come here first may both register. That does no harm, and a lock or a once would: a fork in the
 * middle of the registration would leave it taken in the child. */
int weft__fork_watch(void)
{
    /* Acquire, partner of the release below: the registration comes before what its caller makes. */
    if (atomic_load_explicit(&watching, memory_order_acquire))
        return 0;
    if (pthread_atfork(NULL, NULL, forked))
        return -ENOMEM;
    atomic_store_explicit(&watching, true, memory_order_release);
    return 0;
}

void weft__fork_leave(void)
{
    pthread_exit(NULL);
}
