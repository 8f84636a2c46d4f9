/* interrupt.h: Ctrl-C as a future.
 *
 * A signal handler may do next to nothing, and a flag that it sets is seen only by those who keep looking. So the signals
 * SIGINT and SIGTERM are blocked and taken up by a thread of their own, which resolves a promise. The program then waits
 * for "the next result, or the end" with one weft_wait() over two futures, and looks at nothing in between.
 *
 * Jobs that sit in poll() cannot wait for a future as well: for them there is a descriptor that becomes readable.
 *
 * A second signal ends the process at once, for the case that winding down itself gets stuck (a dead network disk). */
#ifndef DEMOS_INTERRUPT_H
#define DEMOS_INTERRUPT_H

#include <weft/weft.h>

struct interrupt;

/* Main thread, first of all, before there are other threads (weft's take no signals anyway): from here on the two signals
 * end nothing by themselves; they wait for interrupt_open(). */
void interrupt_block(void);

/* After interrupt_block(). The future belongs to `executor` and is cancelled if that is shut down first. NULL: errno says
 * why. */
struct interrupt *interrupt_open(weft_executor *executor);

/* Stops the watching thread. Not before the jobs that use the descriptor are done. NULL does nothing. */
void interrupt_close(struct interrupt *interrupt);

/* The rest: any thread, at once. */

/* Succeeds at the first signal. Lent until interrupt_close(). */
weft_future *interrupt_future(const struct interrupt *interrupt);

/* Readable from the first signal on; never to be read from. */
int interrupt_descriptor(const struct interrupt *interrupt);

/* The first signal's number, 0 before there was one. */
int interrupt_signal(const struct interrupt *interrupt);

#endif
