/* many.h: a future with many inputs, the common part of gather, any and map.
 *
 * It takes 8 1/4 bytes an input, a pointer and two bits: it attaches to each without a node of its own (settle.c,
 * "direct"), and only where another such future is there already it makes one. Inputs that are done at the start cost a
 * look and a reference. Each input that becomes done counts down; whoever brings the count to zero resolves the future,
 * on the spot: one hop to the coordinator would cost two context switches and win nothing, since the claim on the word
 * already makes the step happen once. What goes to the coordinator is whatever touches all inputs: passing a cancel on,
 * and leaving those that are still open when the answer is there already.
 *
 * Making one goes through the inputs once to borrow them, and what is done already is dealt with in passing; only from
 * the first one on that is not does it go through them again, to attach.
 *
 * Discipline. Inputs become done on any thread; each is noted before it is counted down, so who comes last sees all
 * notes. The count begins with one for each input that is still to be attached and one for the maker, who takes back at
 * the end his own and those of the inputs that he did not have to attach to; so nothing resolves while inputs are being
 * attached, and what would decide before the rest is done is only noted until the future is `made`. All inputs together
 * have one hold on it; whoever counts down to zero gives it up.
 *
 * It is answerable for the failures of its inputs: none is reported as unread, whenever it comes. As that is asked when
 * the last reference goes, it is enough that the mark is there when the loans are given back. */
#ifndef WEFT__MANY_H
#define WEFT__MANY_H

#include "future.h"

typedef struct weft__many weft__many;
typedef struct weft__many_extra weft__many_extra;

/* A kind of future with many inputs. */
typedef struct weft__many_ops {
    weft__future_ops base; /* must be first */
    bool any;              /* the first success decides, and not the first failure */
    unsigned own; /* references that it has to itself until it is done: 1 if its work goes on when it is dropped */
    /* The first input that decides is noted: what follows at once. Any thread; perhaps twice. */
    void (*decided)(weft__many *g);
    /* Who has claimed it: writes the outcome, returns the state. */
    unsigned (*conclude)(weft__many *g);
    /* Are all inputs needed? Then a worker that waits may run each of them itself. */
    bool (*needs_all)(const weft__many *g);
    /* How many outcomes weft_gather_outcomes shows, and one of them, once it is done. slot also while it is claimed,
     * for the failure that decides. */
    size_t (*slots)(const weft__many *g);
    void (*slot)(weft__many *g, size_t i, weft_outcome *outcome);
    weft_future *(*source)(const weft__many *g, size_t slot); /* the input that such an outcome came from */
} weft__many_ops;

struct weft__many {
    weft_future base;
    size_t n;                         /* inputs; constant */
    size_t size;                      /* of this block; constant */
    uint8_t mode;                     /* weft_gather_mode; constant */
    bool snapshot_taken;              /* by who claimed it, before done */
    _Atomic(bool) made;               /* all inputs are attached; before, what decides is only noted */
    _Atomic(bool) shut;               /* an input was cancelled by shutdown; any settler */
    _Atomic(size_t) left;             /* inputs not done, and one for the maker while it is at it */
    weft__waiter last, first;         /* queued when the last input is done, and when the first has decided */
    _Atomic(size_t) failed;           /* 1 + index of the first input, or item, that failed; 0 none; any settler */
    _Atomic(size_t) won;              /* of an any: the same of the first that succeeded */
    _Atomic(weft_outcome *) outcomes; /* made when first asked for, by any holder */
    weft__many_extra *extras;         /* nodes on inputs that had a direct one already; constant once made */
    weft__many *next, *previous;      /* the executor's large futures; large_lock */
    weft_future *inputs[];            /* by the maker; behind them two bitmaps, and the tail */
};

static inline weft__many *weft__many_of(weft_future *f)
{
    return (weft__many *)(void *)f;
}

static inline const weft__many_ops *weft__many_ops_of(const weft__many *g)
{
    return (const weft__many_ops *)(const void *)weft__ops_of(&g->base);
}

/* A million inputs do not fit into any cache: whoever writes to the i-th asks for the one some steps ahead. */
static inline void weft__many_prefetch(weft_future *const inputs[], size_t n, size_t i)
{
    enum { AHEAD = 32 };
    __builtin_prefetch(inputs[i + AHEAD < n ? i + AHEAD : i], 1);
}

/* Making one: new, inputs[], attach, publish. If attach fails: see weft__many_make. */

/* With `tail` bytes of its kind's own; pins the executor. NULL: no memory. */
weft__many *weft__many_new(weft_executor *e, const weft__many_ops *ops, size_t n, weft_gather_mode mode, size_t tail);
void *weft__many_tail(const weft__many *g);
void weft__many_free(weft__many *g); /* the block and what hangs on it; not what it holds of its inputs */
/* To all inputs from the first that is not done, at `from`; what comes before is in the notes. 0 or -ENOMEM; cannot
 * fail if nobody else derives from them. */
int weft__many_attach(weft__many *g, size_t from);
void weft__many_publish(weft__many *g);

/* Gather and any: all of it. NULL and errno. */
weft_future *weft__many_make(weft_executor *e, const weft__many_ops *ops, weft_future *const futures[], size_t n,
                             weft_gather_mode mode);

/* Notes the first failure of input or item i, and whether shutdown was its reason. True: it is the first. */
bool weft__many_note_failure(weft__many *g, size_t i, bool shutdown);

/* Who has claimed it, before settling: what is done now is what its outcomes will show. */
void weft__many_snapshot(weft__many *g);
unsigned weft__many_conclude(weft__many *g); /* all inputs are needed: the modes of gather and map */

/* The coordinator, or who finds that there is none: asks the inputs that are not done to stop; lets go of them. */
void weft__many_pass_cancel_on(weft__many *g);
void weft__many_leave(weft__many *g);
void weft__many_leave_soon(weft__many *g); /* has the coordinator do it */

/* Parts of weft__future_ops. */
void weft__many_handle(weft__link *link, weft__coordinator *c);
weft_cancel_effect weft__many_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next);
int weft__many_help(weft_future *f, bool awaited);
void weft__many_abandon(weft_future *f);
bool weft__many_rests(weft_future *f);
void weft__many_dispose(weft_future *f, uint64_t word);
void weft__many_unlist(weft__many *g);                              /* the first step of disposing of one */
void weft__many_give_back(const weft__many *g, weft_future *input); /* then, for each input: the loan, and the duty */

/* Slots of gather and any: their inputs. */
size_t weft__many_inputs(const weft__many *g);
weft_future *weft__many_input(const weft__many *g, size_t i);
void weft__many_input_slot(weft__many *g, size_t i, weft_outcome *outcome);

#endif
