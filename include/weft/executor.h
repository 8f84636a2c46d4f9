/* weft/executor.h: who runs.
 *
 * An executor is a number of workers, which run jobs and steal them from one another, and one coordinator, which owns
 * time: it expires deadlines, carries requests to stop to the inputs of a gather and to what hangs on a token, and runs
 * callbacks and hooks. These must be short, for deadlines stand still meanwhile; and no call ever blocks on the
 * coordinator: one that would have to wait there answers -EDEADLK at once.
 *
 * Own threads. "The executor's own threads" are its workers, the spares that stand in for workers which block in a
 * wait, and the coordinator. "From outside" is every other thread, those of another executor included.
 *
 * Life. weft_executor_create starts the threads. weft_executor_shutdown ends the work, as gently as its mode says, and
 * may be bounded in time. weft_executor_destroy drains, joins the threads and frees the executor. Nobody may use an
 * executor during or after its destruction, but for its futures: they may be read and released for as long as they are
 * held. Nothing is done at exit: when main returns, the process ends, jobs or not.
 *
 * Wherever a call takes an executor, NULL is the process-wide default executor (weft_executor_default); only shutdown
 * and destroy refuse it, for to end what others use as well takes its name. */
#ifndef WEFT_EXECUTOR_H
#define WEFT_EXECUTOR_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How an executor is to be made; {0} is a good one. Read during weft_executor_create only; name is copied.
 *
 * The hooks get `data`. They run on weft's threads or, where a future is released, cancelled or resolved by the
 * program, on that thread; several may run at once; never under a lock of weft. They may call weft, but must not wait.
 * After weft_executor_destroy has returned none is called. */
typedef struct weft_executor_options {
    /* How many workers. 0: as many as this process may use CPUs, by its affinity mask and its cgroup's CPU quota. */
    unsigned workers;
    /* What the threads' names begin with; NULL: "weft". */
    const char *name;
    /* How many jobs may wait to be started before submits from outside are refused with EAGAIN. 0: no limit. Submits by
     * the executor's own jobs are never refused for this. */
    size_t max_pending;
    /* How many threads may at most stand in for workers that are blocked in a wait. 0: 256. */
    unsigned max_spares;
    /* The stack of each thread in bytes, raised to the system's least and to whole pages. 0: the system's default. */
    size_t stack_size;
    /* On each worker and each spare before its first job, with its index; NULL: nothing. 0 lets it go on. Anything else
     * breaks the executor: jobs not yet started fail with -ENOTRECOVERABLE, and every later submit is refused so. */
    int (*worker_start)(unsigned worker, void *data);
    /* On each worker and spare whose worker_start answered 0, after its last job, before shutdown returns; NULL:
     * nothing. Not on one whose thread was ended by a job (pthread_exit). */
    void (*worker_stop)(unsigned worker, void *data);
    /* An outcome that failed was dropped and nobody had read it, or a callback returned non-zero: the job's name (NULL:
     * it has none) and the code. NULL: it is counted in weft_stats, and written to standard error only if the
     * environment variable WEFT_DEBUG is set. */
    void (*unobserved_error)(const char *name, int error, void *data);
    /* Handed to the three hooks. */
    void *data;
    /* What the coordinator takes for time. NULL: CLOCK_MONOTONIC. A manual clock (weft/testing.h) must outlive the
     * executor. */
    weft_clock *clock;
} weft_executor_options;

/* What becomes of jobs when an executor is shut down. Each is stronger than the one before it.
 *   WEFT_DRAIN           all accepted jobs run to their end, and so does what they submit meanwhile
 *   WEFT_CANCEL_PENDING  running jobs run to their end; those not yet started are cancelled, children that wait for
 *                        room in their group too
 *   WEFT_CANCEL_ALL      and running jobs are asked to stop (weft_cancelled answers true in them, and their own tokens
 *                        are set); other tokens stay as they are
 * In every mode sleeps, delayed jobs and futures that only time or a promise could resolve are cancelled at once, and
 * promises that are unresolved when the jobs are done are cancelled then. The reason is WEFT_REASON_SHUTDOWN. A drain
 * ends only when the jobs do; a job that waits for ever holds it up for ever. */
typedef enum { WEFT_DRAIN, WEFT_CANCEL_PENDING, WEFT_CANCEL_ALL } weft_shutdown_mode;

/* Makes an executor and starts its workers and its coordinator; options may be NULL. It belongs to the caller, who ends
 * it with weft_executor_destroy. Any thread; does not wait for worker_start. NULL and errno:
 *   EINVAL  more than 1024 workers or 4096 spares
 *   ENOMEM  no memory
 *   EAGAIN  the system has no thread left; those that had been started are gone again
 *   ESTALE  the clock was inherited through fork */
WEFT_API weft_executor *weft_executor_create(const weft_executor_options *options);

/* Ends the work: from now on submits from outside are refused with ESHUTDOWN; in WEFT_DRAIN the executor's own jobs may
 * still submit. Blocks until every accepted job, callback, hook and destructor on weft's threads is done, at most for
 * `timeout`; 0 only starts it. May be called again and from several threads at once: all wait for the same quiet, and
 * the strongest mode that was asked for stands. The executor stays, to be destroyed. From outside only.
 *   0           quiet
 *   -ETIMEDOUT  not yet; the shutdown goes on
 *   -EDEADLK    called from one of the executor's own threads, with whatever timeout; nothing was done
 *   -EINVAL     executor is NULL, unknown mode
 *   -ESTALE     inherited through fork */
WEFT_API int weft_executor_shutdown(weft_executor *executor, weft_shutdown_mode mode, int64_t timeout);

/* Shuts down with WEFT_DRAIN (a stronger mode that was asked for before stands), blocks for as long as that takes,
 * joins the threads and frees the executor. For a bound on the time call weft_executor_shutdown first. From outside
 * only.
 *   0         gone
 *   -EDEADLK  called from one of the executor's own threads; nothing was done
 *   -EINVAL   executor is NULL
 *   -ESTALE   inherited through fork; nothing was done */
WEFT_API int weft_executor_destroy(weft_executor *executor);

/* The process-wide executor, made with default options at first use. It lives as long as the process, unless the
 * program destroys it; the next use then makes another. Any thread. NULL and errno as weft_executor_create; the next
 * call tries again. A forked child gets one of its own. */
WEFT_API weft_executor *weft_executor_default(void);

/* The executor whose job the caller is running, borrowed; NULL outside a job. Does not block. */
WEFT_API weft_executor *weft_executor_current(void);

/* How many workers it has, spares not counted; 0 if it is NULL and there is no default executor to be had. Any thread;
 * does not block. Of one inherited through fork: how many it had. */
WEFT_API unsigned weft_executor_workers(const weft_executor *executor);

/* The index of the calling worker, from 0; spares are numbered from weft_executor_workers upwards. -1 on the
 * coordinator and outside. It does not change during a job, waits included. Does not block. */
WEFT_API int weft_worker_index(void);

/* Counters since the executor was made. Each is read once, without order among them, so sums need not add up while jobs
 * run; when the executor is quiet they are exact. */
typedef struct weft_stats {
    /* Jobs that came into a queue, or were cancelled as they were submitted (one with a delay, and a child that waits for
     * room in its group, comes into a queue later, if at all); jobs refused with EAGAIN, ESHUTDOWN or ENOTRECOVERABLE;
     * jobs by outcome; failures that nobody read, hook or not. */
    uint64_t submitted, refused, succeeded, failed, cancelled, timed_out, unobserved_errors;
    /* Jobs that a worker took from another one's queues, and forked functions from another one's job; times a worker
     * went to sleep for lack of work; times a sleeping worker was woken; jobs that ran inside the wait for them; timers
     * armed, and fired; callbacks that have run. */
    uint64_t stolen, parks, wakes, inline_runs, timers_armed, timers_fired, callbacks;
    /* As it is now: jobs in the queues and not started, jobs started and not done, threads beside the workers. */
    uint64_t queued, running, spares;
    /* Nanoseconds that workers and spares were awake, up to each one's last going to sleep, waits in jobs included; one
     * job in 64 of each thread's single submits, by the time from submit to start: [k] counts those of 2^k to
     * 2^(k+1) - 1 ns, [0] those of 0 ns as well. */
    uint64_t busy_ns, latency_ns_log2[64];
} weft_stats;

/* Writes the counters of the executor, or of one of its workers or spares, to *stats, which belongs to the caller. Of a
 * worker refused, unobserved_errors, timers_fired, callbacks and spares are 0, and queued is what lies in its own
 * queues. Any thread; does not block. 0; -EINVAL: stats is NULL, or there is no such worker; -ESTALE: inherited through
 * fork; for NULL as the executor the codes of weft_executor_create too. */
WEFT_API int weft_executor_stats(const weft_executor *executor, weft_stats *stats);
WEFT_API int weft_worker_stats(const weft_executor *executor, unsigned worker, weft_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
