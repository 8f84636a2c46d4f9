/* idle.h: who sleeps, who searches, and how not to lose a wake-up.
 *
 * Interface to the idle word; the protocol is told in idle.c. */
#ifndef WEFT__IDLE_H
#define WEFT__IDLE_H

#include "atomics.h"

struct weft__thread;
struct weft_executor;

enum { WEFT__GROUP = 48 }; /* threads that one idle word covers */

/* Bits 0 to 15: how many threads of the group search. Bits 16 to 63: which of them sleep. */
typedef struct weft__idle_group {
    alignas(WEFT__PAIR) _Atomic(uint64_t) word;
} weft__idle_group;

typedef struct weft__idle {
    weft__idle_group *groups; /* room for every thread that can ever be; constant */
    _Atomic(uint32_t) used;   /* groups that have threads; grows only */
    unsigned searchers;       /* most that search at once in a group; constant */
    /* Outside threads that nap until a worker runs out of work. */
    alignas(WEFT__PAIR) _Atomic(uint32_t) nappers; /* how many; they write it, workers read it */
    _Atomic(uint32_t) nap_bell;                    /* futex: counts rings, by workers */
} weft__idle;

/* Wakes one sleeper if there is one and nobody searches. To be called after every seq_cst store that made work visible;
 * two loads when nobody sleeps, and one more for each further group. Any thread; does not block. */
void weft__notify(struct weft_executor *e);

/* This thread starts to search; false: enough do already. */
bool weft__search_begin(struct weft__thread *t);

/* It found something. Looks for more on everybody's behalf if it was the last searcher. */
void weft__search_end(struct weft__thread *t);

/* Puts this thread to sleep unless there is work, the executor stops, or a thread is to retire: then it returns false
 * at once. Afterwards the thread is counted as searching. */
bool weft__sleep_idle(struct weft__thread *t);

/* Parks a thread that stands in reserve (its sleeping bit is not set) until somebody wakes it; afterwards it is counted
 * as searching, unless the executor stops. */
void weft__park(struct weft__thread *t);
void weft__unpark(struct weft__thread *t);

/* block.c, under roster: a reserve thread joins the sleepers; a sleeper is taken out of them (NULL: none sleeps). */
void weft__idle_admit(struct weft__thread *t);
struct weft__thread *weft__idle_withdraw(struct weft_executor *e);

/* A hint: does a worker sleep now? Any thread. */
bool weft__somebody_sleeps(const struct weft_executor *e);

/* Outside threads: a sleep until a worker runs out of work, but no longer than to the deadline, which must be near: the
 * ring is not exact. begin: what to give to nap, after another look at what it is about; end: always. nap: 0, or
 * -ETIMEDOUT. */
uint32_t weft__nap_begin(struct weft_executor *e);
int weft__nap(struct weft_executor *e, uint32_t bell, int64_t deadline);
void weft__nap_end(struct weft_executor *e);

/* A worker has found no work. */
void weft__nappers_wake(struct weft_executor *e);

/* Wakes every sleeper (stop). */
void weft__notify_all(struct weft_executor *e);

#endif
