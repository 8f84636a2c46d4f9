/* loop.h: what a parallel loop and a parallel reduction share.
 *
 * A loop is a range that is cut into pieces; each piece is one call of the program's function. The record of a loop is
 * on the stack of who calls it, or rather of the job that works for the caller, and everything below it lives on stacks
 * too: the halves that are forked off are joined before their frames go. So a loop allocates nothing of its own.
 *
 * Pieces end in two ways that stop the loop: the function says weft_fail, or the job was asked to stop before the piece
 * was begun. A code travels from both halves of a range to the range, and the lower half's goes first. `halt` is only a
 * hint for those above: a piece above a failed one is not begun any more, one below it is. So the code of a failed loop
 * is the one that running it serially would have given, whoever ran what and when.
 *
 * Discipline. All calls here but weft__loop_run are for a job of the loop's executor: its own thread, or one that has
 * stolen a half and works in its name (weft_fork). What the pieces of a half wrote is visible to who has joined it, by
 * the order that weft_join gives. */
#ifndef WEFT__LOOP_H
#define WEFT__LOOP_H

#include "future.h"

#include <weft/parallel.h>

#include <errno.h>

typedef struct weft__loop weft__loop;

struct weft__loop {
    weft_executor *executor;   /* constant, as all but the last two; weft__loop_run */
    int (*body)(weft__loop *); /* does the whole of it, in a job; 0 or a code */
    size_t begin, end;         /* begin < end */
    size_t grain;              /* elements of a piece, the last may have fewer; not 0 */
    void *data;                /* the program's */
    bool open;                 /* its pieces are few and may be long: see weft__loop_offer */
    _Atomic(size_t) halt;      /* no piece that begins above it is begun any more; lowered by whoever saw a failure */
    int code;                  /* of the body; written in the job, read when that is done */
};

enum { WEFT__LOOP_FEW = 64 }; /* pieces */

/* What a half that was never finished gives: its function has ended its thread. */
enum { WEFT__LOOP_UNFINISHED = -EOWNERDEAD };

/* Runs l->body in the calling job if that is one of the loop's executor, else in a job made for it, and waits for
 * that. `executor` as the program gave it; sets l->executor and l->halt. */
int weft__loop_run(weft__loop *l, weft_executor *executor);

/* Before what lies from `begin` on is divided or run: 0; -ECANCELED, not to be begun because the job was asked to
 * stop; -EINTR, because something below has failed: a code that the failed one's goes before. */
int weft__loop_look(weft__loop *l, size_t begin);

/* Before a piece that may take long: a thread that forks lets others have a few tasks at a time and more when it forks
 * or joins again, which it does not in a piece. So it lets them have all now, as far as its deque has room. */
static inline void weft__loop_offer(void)
{
    weft__forks_publish(weft__self.thread);
}

/* Around each call of a function of the program's. The answer of leave is what the function said by weft_fail, 0 for
 * nothing; then no piece above `last` is begun any more. */
static inline void weft__loop_enter(void)
{
    weft__self.failure = 0; /* of a stolen half that ended its thread, if anything: its code tells of that */
}

int weft__loop_leave(weft__loop *l, size_t last);

/* Are there so few pieces that each is to be open to others at once, at the price of some forks? With one worker nobody
 * would take it. */
static inline bool weft__loop_open(const weft__loop *l, size_t pieces)
{
    return pieces <= WEFT__LOOP_FEW && l->executor->workers > 1;
}

/* The number of whole and begun pieces in n elements; n > 0. */
static inline size_t weft__loop_pieces(size_t n, size_t grain)
{
    return (n - 1) / grain + 1;
}

/* Where a range of `size` elements from `begin` on ends. */
static inline size_t weft__loop_end(const weft__loop *l, size_t begin, size_t size)
{
    return l->end - begin > size ? begin + size : l->end;
}

#endif
