/* future.h: the word of a future, and what its parts may do with it.
 *
 * A future is 64 bytes; a job is its own future. Its state, its flags and its references share one 64-bit word, so that
 * every race about it is decided by one compare-and-swap, whoever makes it.
 *
 * The word                                                             who sets it, and when
 *   bits 0-2    state: weft_state, or CLAIMED                          below
 *   bits 3-5    reason of the cancel request (weft_cancel_reason)      with CANCEL; never changes afterwards
 *   bit 6       CANCEL: somebody has asked it to stop                  any thread while not done
 *   bit 7       LOCK: the waiter list is being changed                 any thread, for a few instructions
 *   bit 8       LISTED: the waiter list is not empty                   under LOCK
 *   bit 9       SLEEPER: a thread sleeps on this word                  any thread; cleared by who then wakes them all
 *   bit 10      OBSERVED: its failure has been read or passed on       any holder
 *   bit 11      TAKEN: its value was moved out                         any holder, once done
 *   bits 12-14  verdict: the state it is about to get                  the settler, under LOCK, if there are callbacks
 *   bits 15-38  lent: derived futures attached to it                   by who attaches and who disposes of them
 *   bits 39-63  references
 *
 * Transitions of the state
 *   PENDING -> RUNNING    a worker, or a waiter that runs the job inline, claims the job
 *   PENDING -> CLAIMED    somebody is about to settle it without running it; outside this still reads as PENDING
 *   RUNNING, CLAIMED -> done   by who made the claim, and by nobody else (or by the coordinator in its place, verdict set)
 *   a done state never changes.
 *
 * References. Who holds a weft_future * holds a reference. A job is born with two: its submitter's and its queue
 * entry's, which passes to who takes the entry out. What a derived or timer future is registered with (the list of an
 * input, the wheel, the mailbox) holds it as well, but must not keep it registered when nobody wants it any more; so
 * these are counted apart, in `holds`, together with one for all references. When the last reference goes the future
 * leaves its inputs and timers; when the last hold goes its memory is given back. */
#ifndef WEFT__FUTURE_H
#define WEFT__FUTURE_H

#include "executor.h"

#include <weft/combine.h>
#include <weft/future.h>

typedef struct weft__waiter weft__waiter;
typedef struct weft__member weft__member;
typedef struct weft__options weft__options;

enum { WEFT__CLAIMED = 6 }; /* beside enum weft_state */

#define WEFT__STATE         UINT64_C(7)
#define WEFT__REASON_SHIFT  3
#define WEFT__REASON        (UINT64_C(7) << WEFT__REASON_SHIFT)
#define WEFT__CANCEL        (UINT64_C(1) << 6)
#define WEFT__LOCK          (UINT64_C(1) << 7)
#define WEFT__LISTED        (UINT64_C(1) << 8)
#define WEFT__SLEEPER       (UINT64_C(1) << 9)
#define WEFT__OBSERVED      (UINT64_C(1) << 10)
#define WEFT__TAKEN         (UINT64_C(1) << 11)
#define WEFT__VERDICT_SHIFT 12
#define WEFT__VERDICT       (UINT64_C(7) << WEFT__VERDICT_SHIFT)
#define WEFT__LENT          (UINT64_C(1) << 15)
#define WEFT__LENT_MASK     (UINT64_C(0xffffff) << 15)
#define WEFT__REF           (UINT64_C(1) << 39)
#define WEFT__REF_MASK      (~UINT64_C(0) << 39)
#define WEFT__HALF_FULL     (UINT64_C(1) << 63 | UINT64_C(1) << 38) /* the highest bits of the two counts */

typedef enum weft__kind {
    WEFT__JOB,
    WEFT__PROMISE,
    WEFT__SLEEP,
    WEFT__WAIT_FOR,
    WEFT__SHIELD,
    WEFT__MANY, /* gather, any, map: many.h */
    WEFT__THEN,
    WEFT__FLATTEN
} weft__kind;

/* What a kind of future can do beyond what all can. NULL where there is nothing to do. */
typedef struct weft__future_ops {
    weft__ops link; /* must be first: link.ops points here */
    weft__kind kind;
    enum weft__slab_class memory;
    /* Any thread. The exact answer, and whatever it entails for this future; *next: a future (with a reference) to
     * cancel as well, with the reason given. */
    weft_cancel_effect (*cancel)(weft_future *f, weft_cancel_reason reason, weft_future **next);
    /* On a worker that waits without a time limit: runs jobs that f waits for, as far as that is possible. 0 or a
     * code. */
    int (*help)(weft_future *f, bool awaited);
    /* The future that f mirrors or the one input it waits for; NULL: none. */
    weft_future *(*input)(weft_future *f);
    /* Ends by time, whatever the input does. NULL: no. */
    bool (*timed)(weft_future *f);
    /* Leaves its inputs and timers: nobody wants it any more, or shutdown has CANCELLED it. NULL: it has none. */
    void (*abandon)(weft_future *f);
    /* Does a job that has not ended decide about it? */
    bool (*rests_on_job)(weft_future *f);
    /* The last reference is gone: releases what it holds (not its own memory). */
    void (*dispose)(weft_future *f, uint64_t word);
} weft__future_ops;

struct weft_future {
    _Atomic(uint64_t) word;
    weft__link link;         /* the queue that it is in, or the mailbox; see link.h */
    weft_executor *executor; /* constant; its structure outlives the future */
    union {
        weft_fn *fn;     /* of a job or then until it started */
        uintptr_t outer; /* of one while it runs: the job that it interrupted, with WEFT__RUN_*; its thread's */
        struct {
            _Atomic(uint32_t) todo; /* derived and timer futures: what the coordinator is to do, and whether a timer
                                       counts; derive.c */
            int32_t error;          /* written by the settler before done */
        };
    };
    void *value;           /* a job's argument until it ran; then the value. Written by the settler before done */
    weft__waiter *waiters; /* under LOCK; see settle.c */
    union {
        _Atomic(weft__options *) options; /* of a job or then; NULL: plain. Written before it is published, and by its
                                             own thread when it asks for its token; see weft__options_of */
        void (*free_value)(void *);       /* of a promise */
        _Atomic(uint32_t) holds;          /* of a derived or timer future: see below */
    };
};
_Static_assert(sizeof(weft_future) == 64, "a job takes one cache line");

/* A future with a timer: a sleep, a delayed job, the head of a wait_for and of a then. */
typedef struct weft__timed {
    weft_future base;
    weft__timer timer;      /* the coordinator's; deadline: set before it is armed. WEFT_FOREVER: there is none */
    _Atomic(uint32_t) todo; /* of a delayed job and a then; of the others base.todo. A sleep ends before it */
    /* wait_for.c and then.c: */
    uint8_t flags; /* what was asked for; constant once made */
    union {
        _Atomic(bool) late;     /* wait_for with JOIN: the deadline has passed; the coordinator */
        _Atomic(uint8_t) stage; /* then: see there; whoever learns that the input is done */
    };
    union {
        _Atomic(bool) holds_loan; /* wait_for: the input counts it as attached; whoever clears it gives the loan back */
        _Atomic(bool) made;       /* then: it is on its input; its maker writes, shutdown's walk reads */
    };
} weft__timed;
_Static_assert(offsetof(weft__timed, timer) == offsetof(weft_future, link) + WEFT__TIMER_OFFSET, "see link.h");
_Static_assert(sizeof(weft__timed) <= 96, "a delayed job takes 96 bytes");
_Static_assert(offsetof(weft__timed, todo) <= 88, "a sleep takes 88 bytes");

/* A job's place in the list of a token, whose cancellation it shares. */
struct weft__member {
    weft__member *next, *previous; /* under the token's lock; previous NULL: not listed */
    _Atomic(weft_token *) token;   /* referenced; NULL: none. Written by who makes the job and by its own thread */
    weft_future *job;
};

/* What weft_submit_with was told, the copy that weft_submit_copy made, and the job's tokens. */
struct weft__options {
    const char *name;
    void (*free_arg)(void *);
    void (*free_value)(void *);
    void *copy; /* weft's own copy of the argument, freed when the function has returned; or NULL */
    size_t copy_size;
    uint8_t priority;     /* weft_priority */
    bool counted;         /* in executor->pending */
    uint16_t trace;       /* with trace_id, what the trace that it was submitted in knows the job by; the submitter */
    uint32_t trace_id;    /* 0: nothing */
    int64_t delay;        /* ns; not positive: none */
    int64_t submitted_at; /* ns; 0: this job is not measured */
    weft__member given;   /* to the token that it was submitted with */
    weft__member own;     /* to its own token, which it keeps until it is disposed of (own_token.c) */
};
_Static_assert(sizeof(weft__options) <= 128, "options fit their class");

/* Notified once when a future is done, unless it was detached before. */
struct weft__waiter {
    weft__waiter *next, *previous; /* under the future's LOCK; previous NULL: not attached */
    void (*notify)(weft__waiter *);
};

static inline const weft__future_ops *weft__ops_of(const weft_future *f)
{
    return (const weft__future_ops *)(const void *)weft__link_ops(&f->link);
}

static inline weft__options *weft__options_of(const weft_future *f)
{
    /* Acquire: a job that runs may make its options while others look at it. Partner: weft_current_token. */
    return atomic_load_explicit(&f->options, memory_order_acquire);
}

/* Does it run a function of the program's? */
static inline bool weft__runs_function(const weft_future *f)
{
    weft__kind kind = weft__ops_of(f)->kind;
    return kind == WEFT__JOB || kind == WEFT__THEN;
}

static inline weft_future *weft__link_future(weft__link *link)
{
    return (weft_future *)(void *)((char *)link - offsetof(weft_future, link));
}

/* A job that waits may run another one on its stack; these hang together by `outer`, innermost first. It is kept in the
 * futures and not on the stack, because a job that ends its thread leaves no stack behind. */
enum { WEFT__RUN_TAKEN = 1, WEFT__RUN_AWAITED = 2, WEFT__RUN_OWNED = 4, WEFT__RUN_FLAGS = 7 };

static inline weft_future *weft__outer(const weft_future *job)
{
    return (weft_future *)(job->outer & ~(uintptr_t)WEFT__RUN_FLAGS);
}

static inline uint64_t weft__word(const weft_future *f)
{
    /* Acquire: who sees it done sees the outcome and what the job wrote. Partner: the settling compare-and-swap. */
    return atomic_load_explicit(&f->word, memory_order_acquire);
}

static inline unsigned weft__state(uint64_t word)
{
    return (unsigned)(word & WEFT__STATE);
}

static inline bool weft__done(uint64_t word)
{
    return weft__state(word) - WEFT_SUCCEEDED <= WEFT_TIMED_OUT - WEFT_SUCCEEDED;
}

static inline weft_cancel_reason weft__reason(uint64_t word)
{
    return (weft_cancel_reason)((word & WEFT__REASON) >> WEFT__REASON_SHIFT);
}

static inline uint64_t weft__reason_bits(weft_cancel_reason reason)
{
    return WEFT__CANCEL | (uint64_t)reason << WEFT__REASON_SHIFT;
}

static inline unsigned weft__refs(uint64_t word)
{
    return (unsigned)(word >> 39);
}

/* future.c: birth, references, death. */
bool weft__any_stale(weft_future *const futures[], size_t n); /* was one of them inherited through fork? */
weft_future *weft__future_new(weft_executor *e, const weft__future_ops *ops); /* NULL: errno ENOMEM */
void weft__future_init(weft_future *f, weft_executor *e, const weft__future_ops *ops);
void weft__future_publish(weft_future *f, unsigned references, uint64_t bits);
void weft__future_publish_done(weft_future *f, unsigned references, uint64_t bits); /* bits: the state among them */
void weft__unref(weft_future *f);
void weft__hold(weft_future *f);
void weft__hold_unseen(weft_future *f); /* the same, before it is published */
void weft__let_go(weft_future *f);
void weft__future_reap(weft_future *f, uint64_t word); /* who dropped the last reference */
/* A reference and a loan for a derived future, which may take over the duty to report f's error. -EOVERFLOW: too
 * many. */
int weft__lend(weft_future *f, bool duty);
int weft__outcome_code(weft_future *f, uint64_t word);
void weft__outcome_read(weft_future *f, uint64_t word, weft_outcome *outcome);
uint64_t weft__lend_unlocked(weft_future *f); /* the rare part of what follows: the word once it is not locked */

/* The same of one that is done, without the duty; *word: as it was, or is. False, and nothing done: it is not done, or
 * takes a closer look, which weft__lend has. */
static inline bool weft__lend_done(weft_future *f, uint64_t *word)
{
    uint64_t seen = atomic_load_explicit(&f->word, memory_order_relaxed);
    WEFT_POINT();
    /* An addition cannot refuse, so beyond half of what there is room for each step is looked at: between this look and
     * the addition there are not as many threads as would fill the other half. */
    if (!weft__done(seen) || seen & (WEFT__LOCK | WEFT__HALF_FULL))
        return false;
    /* Acquire: the outcome. And one step with the look at TAKEN by who moves the value out (read.c): it sees the loan,
     * or this sees the mark. Of a mirror he says so by LOCK. */
    *word = atomic_fetch_add_explicit(&f->word, WEFT__REF + WEFT__LENT, memory_order_acq_rel);
    if (WEFT__UNLIKELY(*word & WEFT__LOCK))
        *word = weft__lend_unlocked(f);
    return true;
}

/* Gives both back. */
static inline void weft__unlend(weft_future *f)
{
    uint64_t word = weft__word(f);
    if (weft__refs(word) != 1 || !weft__done(word)) { /* as in weft__unref */
        /* acq_rel: as there; and release, partner of the acquire by who moves the value out and finds no loan
         * (read.c). */
        word = atomic_fetch_sub_explicit(&f->word, WEFT__REF + WEFT__LENT, memory_order_acq_rel);
        if (weft__refs(word) != 1)
            return;
    }
    weft__future_reap(f, word);
}

/* In shutdown's walk: a reference unless f is done or free memory. */
bool weft__try_ref_undone(weft_future *f);
void weft__observe(weft_future *f);
int weft__no_future(void); /* what a call answers that was given NULL: the code of the call that failed before */
const char *weft__name(weft_future *f);
void weft__report_unobserved(weft_executor *e, const char *name, int error);

/* settle.c: claims, the one transition to done, and who is told. */
bool weft__claim(weft_future *f, unsigned state, uint64_t bits);
bool weft__claimed(weft_future *f); /* if not, who claims it later sees what the caller wrote before */
void weft__settle(weft_future *f, unsigned state, unsigned drop);
void weft__settle_verdict(weft_future *f);
uint64_t weft__lock(weft_future *f);
void weft__unlock(weft_future *f, uint64_t clear, uint64_t set);
bool weft__attach(weft_future *f, weft__waiter *node);
/* For a node that others may be detaching already: previous was set to NULL before it could be seen. */
bool weft__attach_seen(weft_future *f, weft__waiter *node);
bool weft__detach(weft_future *f, weft__waiter *node);
/* Sleeps until f's word is no longer `seen`; see settle.c. -ETIMEDOUT. */
int weft__word_sleep(weft_future *f, uint64_t seen, int64_t deadline);
void weft__wait_settled(weft_future *f);

/* Notifies now, or, if this thread is at it further down its stack, there. */
void weft__tell(weft__waiter *node);

/* Around a sleep. A destructor that is called while this thread notifies may wait for what hangs on a node that has not
 * had its turn, or on what is settled during the wait: first does all of these, and later goes back to it. */
bool weft__notify_first(void);
void weft__notify_later(bool interrupted); /* what first answered */

/* On a thread that a job has ended in the middle of it: the rest of what it had to notify, and to dispose of. */
void weft__notify_rest(void);
void weft__dispose_rest(void); /* future.c */

/* A future with many inputs attaches to them without a node. WEFT__BUSY: another one is there, use a node. */
struct weft__many;
enum weft__direct { WEFT__ATTACHED, WEFT__WAS_DONE, WEFT__TWICE, WEFT__BUSY };
enum weft__direct weft__attach_direct(weft_future *f, struct weft__many *g);
bool weft__detach_direct(weft_future *f, struct weft__many *g);
void weft__many_input_done(struct weft__many *g, weft_future *input); /* many.c */

/* batch.c: jobs that are accepted all or none, in the order begin, n times add, queue. */
typedef struct weft__batch {
    weft_executor *executor; /* constant, as the next four */
    const weft_submit_options *given;
    size_t n;
    unsigned references;       /* of each job at its birth, the queue's among them */
    bool own;                  /* the caller is a thread of the executor */
    bool counted;              /* in executor->pending; by begin */
    weft_future *first, *last; /* linked in order; the link of the last is not yet written */
} weft__batch;
/* Admits n jobs with options `given` (NULL: none). 0, or why not; then there is nothing to take back. */
int weft__batch_begin(weft__batch *b, weft_executor *e, size_t n, unsigned references,
                      const weft_submit_options *given);
weft_future *weft__batch_add(weft__batch *b, weft_fn *fn, void *arg); /* NULL: no memory */
int weft__batch_queue(weft__batch *b);                                /* 0, or -ESHUTDOWN */
/* In a job, for a batch of f alone: queues it when the wait for it can no longer be refused, and waits, as weft_await
 * does. 0, it is done; or why it was not queued. Before, nobody can wait for the caller in turn: who does so later is
 * refused, and not the caller, whose stack f may use. */
int weft__batch_queue_and_wait(weft__batch *b, weft_future *f);
void weft__batch_refuse(weft__batch *b); /* after add or queue failed; the arguments stay the caller's */

/* submit.c: for what makes jobs of its own kinds. */
int weft__admit(weft_executor *e, bool own, size_t n, bool *counted);
void weft__unadmit(weft_executor *e, bool counted, size_t n);
weft__options *weft__options_new(weft_executor *e, const weft_submit_options *given, const void *copy, size_t size);
void weft__note_submit(weft_executor *e, weft__options *o); /* if there is a trace; before anybody can see the job */
bool weft__options_valid(const weft_submit_options *o);
/* A job of that kind which no queue has yet, with so many references. NULL: no memory, and o is still the caller's. */
weft_future *weft__job_new(weft_executor *e, const weft__future_ops *ops, weft_fn *fn, void *arg, weft__options *o,
                           unsigned references);
/* Takes back a job that was never queued; its argument is the caller's. */
void weft__job_discard(weft_future *f, unsigned references);
/* Has the coordinator let the job's ops.expire come when its delay is over. The caller keeps his reference. */
void weft__job_delay(weft_future *f);
/* Queues a job that was accepted earlier; its queue reference goes along. On any thread; cannot fail: what can no
 * longer be queued is cancelled. Only of kinds with a timer, whose ops.handle is weft__timed_handle. */
void weft__job_launch(weft_future *f);
/* Makes the job a member of the token that it was submitted with (NULL: none). If that is set already the job is over
 * now, and why is the answer; the queue's reference is the caller's then. */
weft_cancel_reason weft__job_join(weft_future *f, weft_token *token);
void weft__bear_cancelled(weft_future *f, weft_cancel_reason reason); /* accepted, and over before it was queued */

/* token.c */
/* Makes the job a member: it will be cancelled with the token, of which it gets a reference. The answer is the reason
 * if the token is set already: then it has not become one. */
weft_cancel_reason weft__member_join(weft__member *m, weft_token *t, weft_future *job);
void weft__member_leave(weft__member *m);  /* once or more, by several threads too; with a reference to the job */
void weft__member_unlist(weft__member *m); /* the same, but the reference stays */

/* own_token.c */
void weft__own_token_set(weft_future *job, weft_cancel_reason reason); /* the running job was asked to stop */
void weft__own_token_drop(weft__options *o);
void weft__own_tokens_forked(void); /* in the child of a fork */

/* fork_join.c */
void weft__run_stolen(weft_task *task); /* on a thief */
/* On a thread that is being ended, by or inside `job`: what that has forked there is forgotten, and if it is a stolen
 * task of `job` that stands innermost on the stack, the task is completed, and the same done with the job that it has
 * interrupted. Answers the job that is to be settled next. */
weft_future *weft__stolen_abandon(weft_future *job);

/* parallel_reduce.c: on a thread that is being ended, when no thief uses its stack any more. */
void weft__reductions_abandon(void);

/* job.c */
/* Runs a job that the calling job has made for itself, and nobody knows, as if it had come out of the thread's own
 * queue; it consumes the queue's reference. 0, it is done; -EOVERFLOW, and nothing was done. */
int weft__job_run_fresh(weft_future *f);
extern const weft__future_ops weft__job_ops, weft__delayed_ops, weft__child_ops;
void weft__child_due(weft__link *link, weft__coordinator *c);          /* group.c: a child's delay is over */
bool weft__child_waits_for_room(weft_future *f);                       /* group.c: it is in no queue yet */
void weft__options_free(weft_executor *e, weft__options *o);           /* NULL: nothing */
bool weft__cancels_pending(const weft_executor *e);                    /* shutdown in one of the cancelling modes */
unsigned weft__job_abandon(weft_future *f);                            /* 1: it came out of a queue */
void weft__job_end_claimed(weft_future *f, weft_cancel_reason reason); /* cancelled, by who claimed it */
/* Runs a job that the caller has claimed: out of a queue (taken), inside a wait that hands requests on (awaited). */
void weft__job_execute(weft_future *f, uintptr_t how, unsigned drop); /* how: WEFT__RUN_* */
/* Settles one whose function has returned, or was not called; with arg if it has options that own it. */
void weft__job_end(weft_future *f, void *arg, void *value, int failure, unsigned drop);
/* Is f what this worker would run next? Then it comes out of the deque, with the queue's reference. */
bool weft__job_pop_if_newest(weft__thread *t, weft_future *f);
bool weft__chunk_goes_on(weft_future *f); /* map.c: the job is part of a map and goes on without this thread */
bool weft__is_plain_job(const weft_future *f);
bool weft__job_waits_for_time(weft_future *f); /* a delayed job or then whose time has not come */
/* A then shares them from the moment when its input is done. */
void weft__job_taken(weft__link *link, weft__thread *thread);
void weft__job_due(weft__link *link, weft__coordinator *c);
int weft__job_help(weft_future *f, bool awaited);
void weft__job_dispose(weft_future *f, uint64_t word);
void weft__job_argument_release(weft_future *f, void *arg);
void weft__job_cut_off(weft_future *f);        /* CANCELLED(SHUTDOWN) if its function has not started */
void weft__job_cancel_claimed(weft_future *f); /* the caller has claimed it, with the reason */
weft_cancel_effect weft__job_request(weft_future *f, weft_cancel_reason reason); /* it is not pending any more */

/* then.c */
void *weft__then_call(weft_future *f, weft_fn *fn, void *data);
bool weft__then_made(weft_future *f);   /* shutdown may look at it */
bool weft__then_queued(weft_future *f); /* its input is done, and it has not started */
/* CANCELLED(SHUTDOWN) if its function has not started; the input is not asked. */
void weft__then_cut_off(weft_future *f);

/* callback.c: called under LOCK, before done. */
/* Marks the callback as posted and returns its link; the caller posts it with the others of the same future. */
weft__link *weft__callback_posted(weft__waiter *node);
void weft__callback_notify(weft__waiter *node); /* marks a node as a callback's; never called */

/* cancel.c */
weft_cancel_effect weft__cancel(weft_future *f, weft_cancel_reason reason);
bool weft__job_cancelled(weft_future *job); /* asked itself, or through those that await it, or by shutdown */
weft_cancel_reason weft__reason_below(weft_cancel_reason reason);
void weft__request_spread(weft_executor *e); /* a running job was asked to stop: those it concerns look again */

int weft__await(weft_future *f, void **value); /* read.c: weft_await, whatever the future */

/* wait.c */
int weft__wait_done(weft_future *f, int64_t timeout, bool awaits);
/* What a worker is about to block for. The futures are borrowed; one that is done counts as such. */
typedef struct weft__wait {
    bool (*ready)(void *context);
    void *context;
    weft_future *const *futures;
    size_t n;              /* 0, with `all`: it waits for what is not known now, and is never refused as a circle */
    bool all;              /* all of them are needed; else any will do */
    bool passes_cancel_on; /* weft_await: to futures[0] */
    bool deaf;             /* a request to stop does not end it */
} weft__wait;
/* 0 ready, -ETIMEDOUT, -EINTR; refused: -EDEADLK, -EAGAIN. */
int weft__block(const weft__wait *wait, int64_t deadline);
/* In a job: waits as weft_await does for f, which nobody else knows, and has it started (0, or a code) as soon as the
 * wait can no longer be refused. 0, it is done; or the code of start, or a refusal, and then it was not started. */
int weft__wait_start(weft_future *f, int (*start)(void *context), void *context);
bool weft__on_own_stack(weft_future *f);
/* Composites may share their inputs, so there are as many ways down as there are products: a wait looks into so many of
 * them, and as many again after each job that it ran. */
enum { WEFT__HELP_LOOKS = 4096 };
bool weft__help_goes_on(void); /* of a wait that has run something already: may it run more? */
void weft__waits_forked(void); /* in the child of a fork: nobody waits */
/* Held by who follows `input` of futures that are not done, and while a flatten changes what it follows. Leaf but for
 * the LOCK of a word. */
void weft__waits_lock(void);
void weft__waits_unlock(void);
bool weft__stack_is_low(const weft__thread *t);

/* outside.c: on a thread that is not weft's. 0 or -ETIMEDOUT. */
int weft__wait_outside(weft_future *f, int64_t deadline);

/* derive.c: what derived and timer futures have in common. */
enum {
    WEFT__ARM = 1,
    WEFT__DISARM = 2,
    WEFT__PROPAGATE = 4,
    WEFT__LEAVE = 8,
    WEFT__LAUNCH = 16,
    WEFT__ERRANDS = 31, /* all of these; who adds one to none posts the message */
    WEFT__ARMED = 32    /* the timer has neither fired nor been dropped: whoever clears this counts it as one of them */
};
/* Has the coordinator do something for f, at the latest at `deadline` (0: at once). False: it is gone. */
bool weft__poke(weft_future *f, uint32_t what, int64_t deadline);
uint32_t weft__poked(weft_future *f);
void weft__poke_done(weft_future *f); /* gives up the mailbox's hold */
/* Timers of weft__timed futures. arm: computes the deadline and counts the timer, before the future is published (of
 * one that is no job); false: it is never due. Then, once it was published, post has the coordinator arm it; false: the
 * coordinator is gone. Or, of one that is no job, spare: it need not. drop: any thread, once the timer is of no use.
 * fired: false: dropped. pending: neither of the two. */
void weft__timed_handle(weft__link *link, weft__coordinator *c);
bool weft__timed_arm(weft_future *f, int64_t delay);
bool weft__timed_post(weft_future *f, int64_t deadline);
void weft__timed_spare(weft_future *f);
bool weft__timed_pending(weft_future *f);
bool weft__timed_fired(weft_future *f, weft__coordinator *c);
void weft__timed_drop(weft_future *f);
/* May something be derived from the input? 0, -ESTALE or -ESHUTDOWN. */
int weft__derivable(const weft_future *input);
/* A future with one input, of whose executor it is, and with a loan of it; nobody sees it yet. NULL: errno. done: not
 * NULL if the caller treats an input that is done in a way of its own; then *done is its word, and the duty is not taken
 * over, or 0, and it may be done all the same. */
weft_future *weft__derived_new(weft_future *input, const weft__future_ops *ops, bool duty, uint64_t *done);
bool weft__settle_cancelled(weft_future *f, weft_cancel_reason reason);
/* Asks a derived future to stop that stays open until its inputs are done. */
weft_cancel_effect weft__request(weft_future *f, weft_cancel_reason reason);
void weft__mirror(weft_future *f, weft_future *input, bool taken);
/* The first half of it: writes the outcome, returns the state. *bits: of the word, to be set with it. */
unsigned weft__mirrored(weft_future *f, weft_future *input, bool taken, uint64_t *bits);
bool weft__sealed(weft_executor *e);
bool weft__rests_on_job(weft_future *f); /* does a job that has not ended decide about f? tenant.c */
bool weft__refused_phase(weft_executor *e);
size_t weft__index_of(weft_future *f);
size_t weft__many_index(weft_future *f);              /* which input or item decided; 0: none did */
weft_future *weft__many_failed_input(weft_future *f); /* NULL: none failed */
weft_future *const *weft__many_inputs_of(weft_future *f, size_t *n);
void *weft__many_next(void *many); /* in the executor's list; under large_lock */

#endif
