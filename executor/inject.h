/* inject.h: the outside queue, by which work comes to the workers from threads that have no deque.
 *
 * What it is. Up to 16 shards, each an intrusive queue of links from many producers to one consumer at a time. A
 * producer hangs a chain of links onto a shard's tail with one CAS and then ties the former newest link to it with one
 * store. A worker that wants to take holds the shard's consumer lock, which is only ever tried, never waited for.
 * First in, first out in each shard; so a producer that keeps to one shard (one hint) keeps its order, and an executor
 * with one shard keeps the order of submission.
 *
 * Discipline. Any thread pushes, closes and looks. Workers take. A link belongs to the queue from the successful push
 * until take hands it out. Only init is for one thread alone.
 *
 * The tail word of a shard:
 *
 *     the stub's address    the shard is empty
 *     a link's address      the newest link
 *     | WEFT__CLOSED        outside pushes are refused; set once, never cleared; own pushes keep it
 *
 * Producers use a CAS and not an exchange, because a push and a close are decided on this one word: a push is before
 * the close, and then the links are in the queue, or after it, and then it has changed nothing.
 *
 * Sleepers. The CAS of tail is the publishing half of a Dekker pair: the producer pushes, then loads the idle word, all
 * seq_cst; a worker writes the idle word, then calls weft__inject_visible. A shard whose lock is held does not count as
 * visible: it is being served. In return its holder loads tail again after it has unlocked, both seq_cst, and if links
 * are left, weft__inject_take says so and its caller notifies.
 *
 * A half-linked push. Between a producer's CAS and its store, the shard is not empty but its consumer cannot reach the
 * new links, nor let go of the link before them, for the producer is going to write to it. The producer may lose the
 * processor there. What follows from that was decided thus:
 *   - The shard counts as visible. A worker may not fall asleep for ever on the grounds that the producer notifies after
 *     its store: that store is not seq_cst (it would cost each submission a second locked instruction, and a wait for
 *     another thread's cache line), so it may reach memory after the producer has read the idle word.
 *   - A take looks a few times for the missing store, which comes within nanoseconds unless its producer was preempted,
 *     and then ends the batch. It never waits.
 *   - So a worker that takes nothing, is told that there is more, and finds the same again after a few rounds has met a
 *     preempted producer. It must neither spin on nor sleep for ever: it naps for 0.1 ms at a time, which also lets a
 *     producer of lower priority run. No notify ends such a nap.
 *
 * Where it comes from. Vyukov's intrusive MPSC queue (1024cores.net); here the last link is released by moving tail
 * back to the stub instead of pushing the stub anew, so that tail alone says whether the shard is empty. */
#ifndef WEFT__INJECT_H
#define WEFT__INJECT_H

#include "atomics.h"
#include "link.h"

#define WEFT__INJECT_SHARDS 16

/* Bit 0 of a shard's tail. Links are aligned, so their addresses leave it free. */
#define WEFT__INJECT_CLOSED ((uintptr_t)1)

typedef struct weft__inject_shard {
    /* The producers' line. */
    alignas(WEFT__PAIR) _Atomic(uintptr_t) tail; /* producers by CAS, a consumer to empty it, close; read by all */

    /* The consumers' line. Producers touch the stub only when the shard is empty. */
    alignas(WEFT__PAIR) _Atomic(uint32_t) lock; /* 1 while a consumer is at work; workers write it, all read it */
    weft__link *first;                          /* under lock: oldest link not taken, NULL: look behind the stub */
    weft__link stub;                            /* `next` is written by the push that finds the shard empty, and
                                                   reset under lock while tail is elsewhere; no ops */
} weft__inject_shard;

typedef struct weft__inject {
    unsigned mask; /* constant: number of shards - 1 */
    weft__inject_shard shards[WEFT__INJECT_SHARDS];
} weft__inject;

/* Makes an open, empty queue of `shards` shards: a power of two, at most WEFT__INJECT_SHARDS. Before it is shared. */
void weft__inject_init(weft__inject *inj, unsigned shards);

/* Any thread: appends the chain first..last, linked by `next` (the next of `last` is ignored), to the shard that `hint`
 * chooses. True: the links are the queue's, and the caller notifies sleepers. False: the queue is closed, nothing was
 * done. The chain costs one locked instruction, whatever its length. */
bool weft__inject_push(weft__inject *inj, unsigned hint, weft__link *first, weft__link *last);

/* The same for work that comes from accepted work: never refused. The caller notifies. */
void weft__inject_push_own(weft__inject *inj, unsigned hint, weft__link *first, weft__link *last);

/* Any thread, any number of times: refuses outside pushes from now on. When it returns, each push that was or will be
 * answered by true has its links in the queue, or they have been taken already. */
void weft__inject_close(weft__inject *inj);

/* A worker: moves up to max links, oldest first, from the first shard that has any, beginning with shard `home`, to
 * `out` and returns how many. A shard that another worker serves is skipped. *more is always written: true if a shard
 * that was served still held links after it was unlocked; a caller that is not about to look again itself then notifies
 * sleepers, for others may have skipped the shard meanwhile. 0 with *more: see "a half-linked push" above. */
unsigned weft__inject_take(weft__inject *inj, unsigned home, weft__link *out[], unsigned max, bool *more);

/* Any thread: is there a shard that holds links and that nobody serves? seq_cst, for a sleeper's last look. */
bool weft__inject_visible(const weft__inject *inj);

/* Any thread: no links in any shard, each looked at once. Stays true only if nobody can push any more. */
bool weft__inject_empty(const weft__inject *inj);

/* Nobody at work: does each shard obey the rules above? For tests. */
bool weft__inject_check(const weft__inject *inj);

#endif
