/* weft/weft.h: every public header but testing.h and fork_inline.h.
 *
 * Read in this order: base.h for codes, time and threads, executor.h for who runs, future.h for what is awaited,
 * combine.h for futures made of others, cancel.h for tokens and scopes, group.h for jobs that end together, parallel.h
 * for one job on several workers, queue.h for event loops, trace.h for what all of that looks like while it runs. */
#ifndef WEFT_WEFT_H
#define WEFT_WEFT_H

#include <weft/base.h>
#include <weft/cancel.h>
#include <weft/combine.h>
#include <weft/executor.h>
#include <weft/future.h>
#include <weft/group.h>
#include <weft/parallel.h>
#include <weft/queue.h>
#include <weft/trace.h>

#endif
