/* thread.h: what weft keeps for each thread that it meets.
 *
 * weft__thread is a worker or a spare of one executor; its deques, its park word and its bell. It lives as long as the
 * executor's structure, so that a late wake-up finds it.
 * weft__port is what one thread needs to hand work to one executor: a heap of its slab and the counters that only this
 * thread writes. A worker has its own; an outside thread gets one at its first submit, and leaves it to be adopted by
 * another thread when it ends.
 * weft__self is this thread's thread-local part; a constant-initialised block of static TLS, so reaching it costs one
 * instruction in the shared library too. */
#ifndef WEFT__THREAD_H
#define WEFT__THREAD_H

#include "deque.h"
#include "forks.h"
#include "link.h"
#include "slab.h"
#include "spin.h"

#include <pthread.h>
#include <weft/base.h>

/* Written by its thread alone, read by anyone: a relaxed load and a release store, no read-modify-write. */
typedef struct weft__counts {
    _Atomic(uint64_t) submitted; /* links handed to a queue; raised before they are visible */
    _Atomic(uint64_t) returned;  /* of those, refused by a closed queue after all */
    _Atomic(uint64_t) finished;  /* links taken out of a queue and dealt with */
    _Atomic(uint64_t) succeeded, failed, cancelled, timed_out;
    _Atomic(uint64_t) stolen, parks, wakes, inline_runs, callbacks;
    _Atomic(uint64_t) timers_armed, timers_fired, timers_dropped;
    _Atomic(uint64_t) busy_ns;
} weft__counts;

typedef struct weft__port {
    weft__heap heap; /* used by the owner alone */
    weft__counts counts;
    weft_executor *executor;  /* constant */
    struct weft__port *next;  /* in the executor's list; ports_lock */
    struct weft__port *mine;  /* in the owning thread's list; ports_lock */
    struct weft__self *owner; /* NULL: free to be adopted; ports_lock */
    unsigned unmeasured;      /* submits until one has its latency taken, every WEFT__MEASURE-th; owner only */
    _Atomic(uint32_t) in_trace; /* 1 while the owner, a thread of the executor, writes to its trace; see trace.c */
    unsigned hint;            /* which shard of the outside queue this thread pushes to */
    /* Of an outside thread, owner only: how it waited for jobs of this executor lately; see futures/outside.c. */
    unsigned naps;          /* that it may take in vain */
    uint64_t slept_at;      /* how many jobs it had submitted here when it slept last */
    int64_t in_a_row_since; /* when it slept first after it had submitted the last of these */
    bool left;              /* its executor is gone and its heap given up; ports_lock */
    bool embedded;          /* part of a weft__thread or of the coordinator */
} weft__port;

typedef struct weft__thread {
    alignas(WEFT__PAIR) weft__forks forks; /* what the jobs on this stack have forked */
    weft__deque ready; /* jobs submitted by jobs: owner at the young end, thieves at the old one; a closed one if
                          `alone` */
    weft__deque inbox; /* jobs taken from outside in a batch: everybody at the old end */
    /* Owner only. */
    weft_executor *executor; /* constant, as the next two */
    unsigned index;
    bool alone;      /* the executor has one worker: nobody steals until this one publishes; see block.c */
    unsigned tick;   /* jobs run since the last look outside */
    bool left_first; /* the next look out of turn goes first to what was left behind; see worker.c */
    uint32_t random;
    unsigned misses;           /* times in a row that work was visible and not to be had */
    weft__spin spin;           /* rounds of searching that paid off lately; see worker.c */
    bool searching;            /* this thread is counted in the idle word */
    bool off_duty;             /* it is blocked in a wait, but for a free_arg that runs meanwhile; futures/wait.c */
    _Atomic(bool) started;     /* worker_start has answered 0 on this thread */
    unsigned depth;            /* inline runs on this stack, and stolen tasks run inside a join */
    _Atomic(uint32_t) running; /* 1: a job from a queue is on this stack; written by the owner, read by stats */
    char *stack_low;           /* below this address no job is run inline */
    pthread_t id;
    weft__port port;
    int64_t parked_at;
    _Atomic(uint64_t)
        latency[64]; /* of the jobs that were measured, by power of two of ns; written here, read by stats */

    alignas(WEFT__PAIR) _Atomic(uint32_t) park; /* idle.c: 0 none, 1 token, 2 asleep */
    _Atomic(uint32_t) bell;                     /* block.c: counts rings while the thread is blocked in a wait */
    /* Under the executor's roster. */
    struct weft__thread *next_reserve;
    struct weft__thread *next_blocked, **link_blocked;
    struct weft__thread *next_waiting, **link_waiting; /* process-wide list of waits; futures/wait.c's lock */
    weft_future *job;                                  /* that waits; the same lock */
    weft_future *const *awaits;                        /* the futures it is blocked on; the same lock */
    size_t awaits_count;
    uint32_t blocked_note; /* what began in the trace with its being blocked (trace.h); owner only */
    bool awaits_uncut; /* a request to stop does not end the wait */
    bool awaits_all;   /* it needs them all; else any of them will do */
    bool visited; /* by a search among the waits, as the next; the same lock */
    bool stuck;
    bool in_reserve;
    _Atomic(bool) left; /* counted in left_behind; written under roster, read by workers */
} weft__thread;

struct weft__waiter;

typedef struct weft__self {
    weft__thread *thread;                  /* this thread is a worker or a spare */
    struct weft__coordinator *coordinator; /* this thread is a coordinator */
    weft_future *job;                      /* the job that runs here now; what it interrupted hangs on it (future.h) */
    uint32_t job_epoch;                    /* cancel_epoch when weft_cancelled last looked outwards from it */
    int failure;                           /* what weft_fail said in it; 0 nothing */
    weft_task *stolen; /* the innermost task of another thread that runs here; its `outer` the next */
    bool draining;     /* settle is already at work further down this stack */
    unsigned looks;    /* left to weft__rests_on_job, or to a wait that helps */
    bool disposing;    /* likewise, of disposing of futures */
    struct weft__reduce_block *reductions; /* blocks of reductions on this stack, innermost first; parallel_reduce.c */
    unsigned nested;   /* destructors of values, one in another */
    weft__link *disposals;
    struct weft__waiter *drain_first, *drain_last;
    uint64_t port_id;  /* executor of the port below, 0 none */
    weft__port *port;  /* last used */
    weft__port *ports; /* all of this thread's; ports_lock */
    unsigned ordinal;  /* 1.. in order of appearance, 0 not yet */
    weft__spin spin;   /* of a thread that is not weft's, before it sleeps; see futures/outside.c */
    bool registered;   /* the thread-exit hook is set */
} weft__self_t;

/* Not with gcc's undefined-behaviour sanitizer, which comes with the address sanitizer here: its check for NULL uses
 * the flags of the addition that forms the address, and the linker relaxes that addition to a lea, which sets none. */
#if defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define WEFT__TLS __attribute__((tls_model("initial-exec"), visibility("hidden")))
#else
#define WEFT__TLS
#endif
extern _Thread_local weft__self_t weft__self WEFT__TLS;

WEFT__ALWAYS_INLINE void weft__count(_Atomic(uint64_t) *counter, uint64_t by)
{
    /* Single writer; readers (stats, shutdown's sums) pair with the release. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_release);
}

/* This thread's port to e; made or adopted if need be. NULL: no memory. */
weft__port *weft__port_get(weft_executor *e);

/* This thread's port to e if it has one at hand, else NULL; never allocates. */
weft__port *weft__port_find(weft_executor *e);

/* Gives up this thread's heaps in executors that are gone. */
void weft__ports_trim(void);

/* Frees what ports e still has; from the last unpin. */
void weft__ports_free(weft_executor *e);

void weft__port_embed(weft__port *port, weft_executor *e);

int weft__thread_launch(weft__thread *thread);
void weft__thread_free(weft__thread *thread);

/* The bell of a thread that is blocked in a wait: read it, look at what you wait for, wait while it has not rung
 * since. */
void weft__bell_ring(weft__thread *thread);
uint32_t weft__bell_read(weft__thread *thread);
void weft__bell_wait(weft__thread *thread, uint32_t seen, int64_t deadline);

/* Sum of one counter over all ports of e; read in an order that lets shutdown conclude (see shutdown.c). */
uint64_t weft__ports_sum(weft_executor *e, size_t offset);

extern _Atomic(size_t) weft__threads_live; /* threads that the library runs, in the process */

/* Sets the hook that runs when this thread ends. 0, or -EAGAIN/-ENOMEM. */
int weft__thread_register(void);

/* In the child of a fork, on its only thread: from now on that is a thread of the program's, which has no port yet. */
void weft__threads_forked(void);

#endif
