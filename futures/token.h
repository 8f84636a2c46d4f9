/* token.h: a token, its members, and what the rest of futures/ does with them.
 *
 * The word                                                     who sets it, and when
 *   bit 0       SET: it was cancelled or has expired            any thread, also in a signal handler; for good
 *   bits 1-3    reason                                          with SET
 *   bit 4       EXPIRED: by its own deadline                    with SET, under the lock
 *   bit 5       CLOSED: the deadline is void                    weft_token_close, under the lock
 *   bit 6       SHIELDED: what is above does not count          at birth
 *   bit 7       OWN: it is the token of a job                   at birth
 *   bits 32-63  references
 *
 * One compare-and-swap out of "not SET" decides between cancel and deadline; the lock decides between deadline, close
 * and reschedule. The flag is all that weft_token_cancel changes, together with a message to the coordinator: whatever
 * needs the lock or memory of its own happens there.
 *
 * What hangs on a token. Tokens below it, jobs ("members") and hooks are in lists under its lock. A job or token that
 * comes looks at SET under the lock, and the coordinator takes the lock after SET was there: so each is either found in
 * the list or has seen the flag.
 *
 * References. The program's; one of each job submitted with it, each token below it and its group. The last one takes
 * the token out of the tree and off the wheel. Its memory goes with the last hold: one for all references, one each for
 * the mailbox, the wheel and every hook.
 *
 * Lock order: a token's lock, then nothing: what is called under it takes no lock. Children are set under their
 * parent's lock, which needs no lock of theirs. */
#ifndef WEFT__TOKEN_H
#define WEFT__TOKEN_H

#include "future.h"
#include "tiny_lock.h"

#include <weft/cancel.h>

#define WEFT__TOKEN_SET      UINT64_C(1)
#define WEFT__TOKEN_EXPIRED  (UINT64_C(1) << 4)
#define WEFT__TOKEN_CLOSED   (UINT64_C(1) << 5)
#define WEFT__TOKEN_SHIELDED (UINT64_C(1) << 6)
#define WEFT__TOKEN_OWN      (UINT64_C(1) << 7)
#define WEFT__TOKEN_REF      (UINT64_C(1) << 32)

struct weft_token {
    _Atomic(uint64_t) word;
    weft__link link;             /* the coordinator's mailbox while todo is not empty */
    weft_executor *executor;     /* constant, as parent; its structure outlives the token */
    weft_token *parent;          /* referenced; NULL: none */
    _Atomic(uint32_t) todo;      /* what the coordinator is to do; who adds to an empty set posts the token */
    weft__tiny_lock lock;        /* of the lists, and of deadline and timed when they change */
    weft_token *children;        /* under lock */
    weft__member *members;       /* under lock */
    weft__timer timer;           /* the coordinator's */
    weft__waiter *hooks;         /* under lock: callbacks' nodes, oldest first, the first one's previous is the last */
    weft_token *next, *previous; /* siblings; the parent's lock */
    _Atomic(int64_t) deadline;   /* the one in force, WEFT_FOREVER: none; written under lock, read by anyone */
    _Atomic(uint32_t) holds;
    bool timed; /* the deadline counts as an armed timer; under lock */
};
_Static_assert(sizeof(weft_token) <= 128, "a token fits its class");
_Static_assert(offsetof(weft_token, timer) == offsetof(weft_token, link) + WEFT__TIMER_OFFSET, "see link.h");

static inline weft_cancel_reason weft__token_reason(uint64_t word)
{
    return (weft_cancel_reason)((word >> 1) & 7);
}

/* Sets the token unless it is set already, and has what hangs on it follow. Async-signal-safe. */
void weft__token_set(weft_token *t, weft_cancel_reason reason);

/* Is it set, or would it be if the coordinator had seen to all that is due? Then why, as jobs submitted with it learn
 * it; else WEFT_REASON_NONE. Not in a signal handler. */
weft_cancel_reason weft__token_due(weft_token *t);

/* own_token.c: a token without parent or deadline and with those bits, and one reference for the caller. NULL: errno.
 * Puts t below a parent; if that is set, so is t. The list of members, under the lock. */
weft_token *weft__token_new(weft_executor *e, uint64_t bits);
void weft__token_adopt(weft_token *t, weft_token *parent);
void weft__member_enlist(weft__member *m, weft_token *t, weft_future *job);

void weft__token_unarm(weft__link *link);    /* tenant.c, at the very end: its timer will not come */
bool weft__token_is(const weft__link *link); /* is this the link of a token? */
void weft__tokens_shut(weft_executor *e);    /* tenant.c: sets the tokens of running jobs (WEFT_REASON_SHUTDOWN) */

/* Holds on the memory, for hooks. */
void weft__token_hold(weft_token *t);
void weft__token_let_go(weft_token *t);

/* hook.c: on the coordinator: hands the token's hooks to it, in order; and when the token goes: drops them. */
void weft__hooks_due(weft_token *t, weft__coordinator *c);
void weft__hooks_drop(weft_token *t);

#endif
