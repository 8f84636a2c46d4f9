/* weft/trace.h: what an executor's threads did, and when, as a picture.
 *
 * A trace is a file of JSON in the Trace Event Format, which https://ui.perfetto.dev and chrome://tracing open, and of
 * which demos/timeline makes an SVG. Each worker, each spare and the coordinator has a lane, and all threads outside
 * share one. The lanes show
 *
 *   slices    jobs, by their names (weft_submit_options.name, "job" if they have none), with their outcome; functions
 *             that a worker took from another one's job (cat "task"); callbacks; a worker that is blocked in a wait, or
 *             parked for lack of work
 *   arrows    from where a job was submitted to where it was started
 *   instants  steals, wakes, timers armed and fired, requests to stop
 *
 * Times are microseconds since the start of the trace on CLOCK_MONOTONIC, exact to the nanosecond; in a lane they only
 * grow. Jobs that began before the start are not shown; what is under way at the end is, up to there, with the outcome
 * "unfinished". At the end of the file stand, in otherData, what the workers' counters (weft_worker_stats) grew by
 * meanwhile, and how many events were lost.
 *
 * What it costs. Nothing while it is off. While it is on, each thread writes to a ring of its own, of 16384 events and
 * 1 MiB, and never waits; outside threads share theirs under a lock. A thread of the trace's own carries the events to
 * the file, asleep until a ring is half full, so that a trace may last as long as there is room for its file. If it
 * cannot keep up, because the disk is slow, the newest events are dropped: they are counted, and a dropped start takes
 * its end along, so that the rest stays well-formed. Names are cut to 45 bytes. Jobs take 128 bytes more each. */
#ifndef WEFT_TRACE_H
#define WEFT_TRACE_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Begins a trace of the executor (NULL: the default one) in the file `path`, which is made, or emptied if it is there;
 * what the caller submits from now on is in it. Blocks for as long as it takes to open the file; in a job no thread
 * stands in for the worker meanwhile. One trace an executor at a time, and no two in one file. Any thread but a
 * coordinator.
 *   0           begun
 *   -EINVAL     path is NULL
 *   -EBUSY      the executor is being traced
 *   -ENOENT, -EACCES, -EISDIR and what else open(2) says of the path; also -EMFILE
 *   -ENOMEM     no memory for the rings
 *   -EAGAIN     the system has no thread left
 *   -ESHUTDOWN  the executor is being shut down
 *   -EDEADLK    on a coordinator, which must not wait for a disk
 *   -ESTALE     inherited through fork
 *   for NULL as the executor the codes of weft_executor_create too
 * When it fails there is no trace, and nothing to be stopped; the file may have been made. */
WEFT_API int weft_trace_start(weft_executor *executor, const char *path);

/* Ends the trace: all that happened before is in the file when this returns. Blocks until it is written, as start
 * does. An executor that has been shut down can still be asked; one that is destroyed ends its trace by itself; a
 * process that ends without either leaves a file without an end. Any thread but a coordinator; if several call at once,
 * one of them ends it.
 *   0         the file is complete
 *   -EALREADY it is not being traced, or no longer
 *   -ENOSPC, -EIO, -EPIPE, -EDQUOT and what else write(2) or close(2) says: the trace has ended, the file is cut off
 *   -EDEADLK  on a coordinator; the trace goes on
 *   -ESTALE   inherited through fork: the parent's trace goes on, in the parent
 *   for NULL as the executor the codes of weft_executor_create too */
WEFT_API int weft_trace_stop(weft_executor *executor);

#ifdef __cplusplus
}
#endif
#endif
