/* executor.h: the structures of a running executor, and who may touch them.
 *
 * An executor is a set of threads (workers, and spares that stand in for workers blocked in a wait), the outside queue
 * that they share, one coordinator that owns time, and the slab that its futures live in. What a job or a future is,
 * this half of the library does not know: it moves weft__links and calls their operations (link.h).
 *
 * Lifetime. weft_executor_destroy joins every thread, but the structure itself stays as long as an object of its slab
 * lives: a future that outlives its executor can still look at it and learn that it is gone. `references` counts the
 * creator, the slab (while it has chunks) and short-lived pins; who drops the last one frees.
 *
 * Locks. `roster` guards the census of threads (reserve, surplus, blocked) and is never taken for a plain job: when a
 * worker blocks in a wait, resumes, retires, starts or is replaced, when blocked jobs are asked to stop, by shutdown
 * and by traces. `ports_lock` guards the list of ports. No user code runs under either. */
#ifndef WEFT__EXECUTOR_H
#define WEFT__EXECUTOR_H

#include "coordinator.h"
#include "deque.h"
#include "fork.h"
#include "idle.h"
#include "inject.h"
#include "link.h"
#include "memory.h"
#include "platform.h"
#include "probe.h"
#include "slab.h"
#include "thread.h"
#include "trace.h"

#include <weft/executor.h>
#include <weft/future.h>

#include <pthread.h>

/* The test build makes rare things common. */
#ifdef WEFT_TINY
enum { WEFT__READY_CAPACITY = 4, WEFT__INBOX_CAPACITY = 4, WEFT__BATCH = 2, WEFT__FAIR_TICK = 3 };
#else
enum { WEFT__READY_CAPACITY = 1024, WEFT__INBOX_CAPACITY = 64, WEFT__BATCH = 32, WEFT__FAIR_TICK = 61 };
#endif

enum {
    WEFT__MAX_WORKERS = 1024,
    WEFT__DEFAULT_SPARES = 256,
    WEFT__MAX_SPARES = 4096,
    WEFT__MEASURE = 64,        /* one job in so many has its time in the queue taken */
    WEFT__INLINE_DEPTH = 4096, /* waits that run what they await, nested on one stack */
};

/* Where an executor stands. Written under nothing, by compare-and-swap upwards only; read by every submit. */
enum weft__phase {
    WEFT__OPEN,
    WEFT__CLOSING, /* shutdown has begun: outside submits are refused */
    WEFT__QUIET,   /* nothing runs and nothing ever will; the mailbox is closed */
    WEFT__GONE,    /* destroyed: the threads are joined */
};

/* Why the short forms for plain jobs are closed: these ask for neither (submit.c, job.c, await.c of futures/). */
enum { WEFT__DETOUR_BROKEN = 1, WEFT__DETOUR_TRACED = 2 };

/* What the half of the library that knows futures does for the executor (futures/tenant.c). */
typedef struct weft__tenant {
    /* On the coordinator when shutdown begins or grows stronger: cancels what will not be drained. */
    void (*shut)(struct weft_executor *executor, weft_shutdown_mode mode);
    /* On the coordinator when no job runs or waits any more: cancels what no job can resolve. True: found something. */
    bool (*sweep)(struct weft_executor *executor);
    /* On a thief: runs a task that a job of this executor has forked on another thread. */
    void (*run_stolen)(weft_task *task);
    /* On a thread that a job has ended (pthread_exit): settles the jobs and stolen tasks that were on its stack,
     * innermost first, each when no thief runs a task that it has forked there (weft__forks_abandon). Returns how many
     * of the jobs came out of a queue. */
    unsigned (*abandon)(weft_future *job);
    /* On the coordinator, at the very end: gives up the reference of a timer that was still in the wheel. */
    void (*unarm)(weft__link *link);
    /* In the child of a fork, on its only thread: forgets what is kept for the process. */
    void (*forked)(void);
} weft__tenant;

extern const weft__tenant weft__futures_tenant;

struct weft_executor {
    /* Read by every submit, written at most a few times. */
    alignas(WEFT__PAIR) uint64_t id; /* never used twice in a process; constant */
    uint32_t generation;             /* weft__generation when it was made; constant */
    _Atomic(uint32_t) phase;         /* enum weft__phase */
    _Atomic(uint32_t) mode;          /* weft_shutdown_mode in force; meaningful from WEFT__CLOSING on */
    _Atomic(bool) sealed;            /* set before the last walk: promises and derived futures are refused */
    _Atomic(int32_t) broken;         /* not 0: worker_start failed; -ENOTRECOVERABLE from then on */
    _Atomic(uint32_t) detour;        /* WEFT__DETOUR_*; not 0: submit, run and await go the long way */
    _Atomic(uint32_t) stopping;      /* quiet: the threads are to end */
    _Atomic(uint32_t) cancel_epoch;  /* grows with each request to a running job; weft_cancelled() compares it */
    _Atomic(uint32_t) surplus;       /* threads to retire; written under roster, read by each worker's loop */
    _Atomic(uint32_t) thread_count;  /* entries of threads[]; written under roster, grows only */
    unsigned workers;                /* constant, as all below */
    unsigned max_spares;
    bool may_spin;                /* no CPU quota, and not more workers than CPUs */
    bool cpu_to_spare;            /* and fewer */
    _Atomic(weft__trace *) trace; /* NULL: none; written under roster and trace_lock, see trace.c */
    size_t stack_size;
    const weft__tenant *tenant;
    char name[16];
    int (*worker_start)(unsigned worker, void *data);
    void (*worker_stop)(unsigned worker, void *data);
    void (*unobserved_error)(const char *name, int error, void *data);
    void *data;
    weft_clock *clock;
    struct weft__thread **threads; /* room for workers + max_spares; entry written before thread_count grows */
    size_t max_pending;
    alignas(WEFT__PAIR) _Atomic(size_t) pending; /* outside jobs accepted and not started, kept if max_pending is set */

    weft__idle idle;
    weft__inject inject[3]; /* by weft_priority: normal, high, low */
    weft__coordinator coordinator;
    weft__slab slab;

    /* Under roster. */
    alignas(WEFT__PAIR) pthread_mutex_t roster;
    struct weft__thread *reserve; /* parked threads that stand in for nobody */
    struct weft__thread *blocked; /* threads blocked in a wait (also counted, for a look without the lock) */
    _Atomic(uint32_t) blocked_count;
    _Atomic(uint32_t) left_behind; /* threads off duty that left jobs in their deques; written under roster */

    /* Under ports_lock (process-wide, thread.c). */
    weft__port *ports;

    _Atomic(uint32_t) references;
    _Atomic(uint32_t) staying;    /* threads and coordinator that have not had their last word */
    _Atomic(uint32_t) quiet;      /* futex: 1 once WEFT__QUIET and none stays */
    _Atomic(uint64_t) unobserved; /* failed outcomes that nobody read */
    _Atomic(uint32_t) reports;    /* of such that are being told to the program; futex of destroy */
    _Atomic(uint64_t) refused;    /* submits */
    _Atomic(uint64_t) kept_open;  /* what was accepted and will come into a queue some day: shutdown waits; see there */
    _Atomic(uint64_t) unqueued;   /* jobs that were cancelled as they were submitted, which no queue has had */
    weft__counts stray;           /* counted by threads without a port, with read-modify-writes */
    _Atomic(size_t) large_futures; /* live futures that are too large for the slab; listed below */
    void *large;                   /* their list; large_lock */
    pthread_mutex_t large_lock;
    pthread_mutex_t trace_lock;          /* one thread at a time begins or ends a trace; taken before roster */
    pthread_mutex_t outside_lock;        /* the trace's lane of threads that are not this executor's; a leaf */
    struct weft_executor *next_executor; /* in the process's list, under its lock */
    struct weft_executor *previous_executor;
    bool listed; /* it is in that list; the creator, then who frees it */
};

static inline uint32_t weft__phase(const weft_executor *e)
{
    return atomic_load_explicit(&e->phase, memory_order_acquire);
}

/* Was it inherited through fork? Each public call asks this first; afterwards nothing of it may be touched but what is
 * constant, and the words of its futures may be read. In a process that was not forked this is one load. */
static inline bool weft__stale(const weft_executor *e)
{
    return WEFT__UNLIKELY(weft__generation != 0) && weft__inherited(e->generation);
}

/* After code of the program's on a thread of e: does not return if that has forked and this is the child. */
static inline void weft__fork_check(const weft_executor *e)
{
    if (weft__stale(e))
        weft__fork_leave();
}

/* weft__port_get and weft__port_find for who is likely to have used e last, and not to be its worker. */
static inline weft__port *weft__port_used(weft_executor *e)
{
    return WEFT__LIKELY(weft__self.port_id == e->id) ? weft__self.port : weft__port_get(e);
}

static inline weft__port *weft__port_known(weft_executor *e)
{
    return WEFT__LIKELY(weft__self.port_id == e->id) ? weft__self.port : weft__port_find(e);
}

/* Is there a trace that what happens here should be noted in? */
static inline bool weft__tracing(const weft_executor *e)
{
    /* Relaxed: a guess; who follows it looks again (trace.c). */
    return WEFT__UNLIKELY(atomic_load_explicit(&e->trace, memory_order_relaxed) != NULL);
}

/* ns on the clock that governs this executor's deadlines. */
int64_t weft__executor_now(const weft_executor *e);

/* Keeps the structure (not the threads) in being. */
void weft__executor_pin(weft_executor *e);
void weft__executor_unpin(weft_executor *e);
bool weft__executor_try_pin(weft_executor *e); /* false: it is being freed; under a lock that executor_free takes */

/* The answer of a call that makes something: sets errno to -code, returns NULL. */
void *weft__refuse(int code);

/* The default executor as weft_executor_default returns it, or `e`; NULL with errno set, ESTALE if e was inherited. */
weft_executor *weft__executor_or_default(weft_executor *e);

/* In the child of a fork, on its only thread: there is no executor, and no default one. */
void weft__executors_forked(void);

/* Calls visit for every executor of the process whose structure still stands, pinned, under no lock. */
void weft__executors_each(void (*visit)(weft_executor *e, void *data), void *data);

/* How a job reaches a worker. All count the job as submitted first, so that shutdown sees it. */
bool weft__enqueue_outside(weft_executor *e, unsigned priority, weft__link *first, weft__link *last, size_t n);
void weft__enqueue_own(weft_executor *e, unsigned priority, weft__link *link);
/* The first, with the calling thread's port to e at hand. */
bool weft__enqueue_by(weft__port *port, weft_executor *e, unsigned priority, weft__link *first, weft__link *last,
                      size_t n);

/* Into the calling thread's own ready deque, and whoever sleeps is told if others can see it. Not counted. False: the
 * deque is full. */
static inline bool weft__ready_add(struct weft__thread *t, weft__link *link)
{
    if (t->alone) {
        weft__link_enclose(link);
        return weft__deque_keep(&t->ready, link);
    }
    if (WEFT__UNLIKELY(weft__deque_push(&t->ready, link) == WEFT__PUSH_FULL))
        return false;
    weft__notify(t->executor);
    return true;
}

/* The newest link of the calling thread's own ready deque. NULL: it is empty. */
static inline weft__link *weft__ready_take(struct weft__thread *t)
{
    bool raised = false;
    weft__link *link = weft__deque_take(&t->ready);
    if (link)
        return link;
    link = weft__deque_pop(&t->ready, &raised);
    if (WEFT__UNLIKELY(raised))
        weft__notify(t->executor);
    return link;
}

/* A worker puts back what it took out of its deque by mistake. */
void weft__enqueue_again(struct weft__thread *thread, weft__link *link);

/* worker.c */
void weft__run(struct weft__thread *thread, weft__link *link);
weft__link *weft__work_find(struct weft__thread *thread);
bool weft__work_visible(weft_executor *e);
weft__link *weft__work_take_any(weft_executor *e); /* as a thief, from any thread; NULL: nothing to be had */
void *weft__worker_main(void *thread);

/* block.c: see there. */
int weft__thread_spawn(weft_executor *e);
int weft__block_begin(struct weft__thread *thread);
void weft__block_continued(struct weft__thread *thread);
void weft__block_end(struct weft__thread *thread);
void weft__blocked_wake_all(weft_executor *e);
bool weft__retire(struct weft__thread *thread);

/* shutdown.c: on the coordinator, whenever it has nothing else to do while closing. True: there may be more to do. */
bool weft__shutdown_step(weft_executor *e);
void weft__shutdown_begin(weft_executor *e, weft_shutdown_mode mode);
void weft__shutdown_left(weft_executor *e); /* a thread of e is about to end */

/* A call of unobserved_error, counted in `reports`, is over; who reports keeps the executor's structure in being. */
void weft__report_over(weft_executor *e);

/* For work that is accepted but not in a queue yet, and in none for a while: shutdown does not get past its jobs before
 * it is over. keep_open: false, and nothing done, if shutdown has begun and the caller is not a thread of e. */
bool weft__keep_open(weft_executor *e);
void weft__need_not_stay_open(weft_executor *e);
bool weft__shutdown_wait(weft_executor *e, int64_t timeout);

/* stats.c: counts for an executor from any thread, whether or not it has a port there. `offset` of weft__counts. */
void weft__count_for(weft_executor *e, size_t offset, uint64_t by);

/* Zeroed memory on a pair of cache lines of its own; NULL: none. */
void *weft__zeroed_alloc(size_t size);
void weft__zeroed_free(void *memory, size_t size);

/* Is the caller one of e's own threads: a worker, a spare, the coordinator? */
bool weft__own_thread(const weft_executor *e);

#endif
