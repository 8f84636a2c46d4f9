/* races_table.h: which pairs of actions stress_races.c tries on which futures, and what may come of each.
 *
 * Discipline. An outcome is a pair: what the (first) weft_cancel answered, and how the future ended. A pair of actions
 * has a set of legal ones; everything else fails it. Constant data, read by the main thread and the rival. */
#ifndef WEFT_TESTS_RACES_TABLE_H
#define WEFT_TESTS_RACES_TABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <weft/future.h>

typedef enum {
    COMPLETE,
    FAIL,
    COMPLETE_OTHER,
    FAIL_OTHER,
    TIME_OUT,
    CANCEL,
    RELEASE,
    GATHER,
    WAIT_FOR,
    CALLBACK,
    WAIT,
    NOTHING,
    ENDING
} action;

static const char *const action_names[] = {"complete", "fail",   "complete other", "fail other", "time out", "cancel",
                                           "release",  "gather", "wait_for",       "on_done",    "wait",     "run"};

typedef enum {
    JOB,
    OBEYING_JOB,
    FREE_JOB,
    PROMISE,
    TIMED,
    TIMED_JOB,
    JOINED,
    JOINED_JOB,
    FIRST,
    SETTLED,
    STRICT,
    SETTLED_JOB,
    SHIELD,
    SLEEP,
    SUBJECTS
} kind;

/* Outcomes: a set of pairs of what weft_cancel answered (NONE: nobody asked) and how the future ended. */
enum { NOW, ASKED, AGAIN, LATE, NONE };
enum { OK, ERR, CAN, TIM, UNSEEN };
#define IS(effect, state) (UINT32_C(1) << ((effect)*4 + (state)))
#define ENDS(state)       IS(NONE, state)

/* What may come of each future: when its own end meets a bystander, when a cancel meets one, when both meet. */
typedef struct subject {
    const char *name;
    action ending;    /* the action that ends it well */
    bool cancel_ends; /* a cancel ends it without further help, so that one may wait for that */
    uint32_t ended, cancelled, race;
} subject;

static const subject subjects[SUBJECTS] = {
    [JOB] = {"job", COMPLETE, false, ENDS(OK), IS(NOW, CAN) | IS(ASKED, OK),
             IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK)},
    [OBEYING_JOB] = {"obeying job", COMPLETE, true, ENDS(OK), IS(NOW, CAN) | IS(ASKED, CAN),
                     IS(NOW, CAN) | IS(ASKED, CAN) | IS(ASKED, OK) | IS(LATE, OK)},
    [FREE_JOB] = {"starting job", NOTHING, true, ENDS(OK), IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK),
                  IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK)},
    [PROMISE] = {"promise", COMPLETE, true, ENDS(OK), IS(NOW, CAN), IS(NOW, CAN) | IS(LATE, OK)},
    [TIMED] = {"wait_for", COMPLETE, true, ENDS(OK), IS(NOW, CAN), IS(NOW, CAN) | IS(LATE, OK)},
    [TIMED_JOB] = {"wait_for of a job", COMPLETE, true, ENDS(OK), IS(NOW, CAN), IS(NOW, CAN) | IS(LATE, OK)},
    [JOINED] = {"joining wait_for", COMPLETE, true, ENDS(OK), IS(ASKED, CAN), IS(ASKED, CAN) | IS(LATE, OK)},
    [JOINED_JOB] = {"joining wait_for of a job", COMPLETE, false, ENDS(OK), IS(ASKED, CAN),
                    IS(ASKED, CAN) | IS(LATE, OK)},
    [FIRST] = {"gather FIRST_ERROR", COMPLETE, true, ENDS(OK), IS(ASKED, CAN), IS(ASKED, CAN) | IS(LATE, OK)},
    [SETTLED] = {"gather SETTLED", COMPLETE, true, ENDS(OK), IS(ASKED, CAN), IS(ASKED, CAN) | IS(LATE, OK)},
    [STRICT] = {"gather STRICT", COMPLETE, true, ENDS(OK), IS(ASKED, CAN), IS(ASKED, CAN) | IS(LATE, OK)},
    [SETTLED_JOB] = {"gather of a job", COMPLETE, false, ENDS(OK), IS(ASKED, CAN), IS(ASKED, CAN) | IS(LATE, OK)},
    [SHIELD] = {"shield", COMPLETE, true, ENDS(OK), IS(NOW, CAN), IS(NOW, CAN) | IS(LATE, OK)},
    [SLEEP] = {"sleep", TIME_OUT, true, ENDS(OK), IS(NOW, CAN), IS(NOW, CAN) | IS(LATE, OK)},
};

/* Pairs that every future goes through; ENDING stands for the subject's own, and `legal` names the set that applies. */
typedef struct shape {
    action left, right;
    enum { ENDED, CANCELLED, RACE } legal;
} shape;

static const shape shapes[] = {
    {ENDING, CANCEL, RACE},        {ENDING, GATHER, ENDED},     {ENDING, WAIT_FOR, ENDED},
    {ENDING, CALLBACK, ENDED},     {ENDING, WAIT, ENDED},       {ENDING, RELEASE, ENDED},
    {CANCEL, CANCEL, CANCELLED},   {CANCEL, GATHER, CANCELLED}, {CANCEL, WAIT_FOR, CANCELLED},
    {CANCEL, CALLBACK, CANCELLED}, {CANCEL, WAIT, CANCELLED},   {CANCEL, RELEASE, CANCELLED},
    {RELEASE, RELEASE, ENDED},     {RELEASE, GATHER, ENDED},    {RELEASE, WAIT_FOR, ENDED},
    {RELEASE, CALLBACK, ENDED},    {RELEASE, WAIT, ENDED},      {GATHER, WAIT_FOR, ENDED},
    {GATHER, CALLBACK, ENDED},     {CALLBACK, CALLBACK, ENDED}, {WAIT, WAIT, ENDED},
};

/* Pairs that only some futures can meet. */
typedef struct extra {
    kind kind;
    action left, right;
    uint32_t legal;
} extra;

static const extra extras[] = {
    {PROMISE, COMPLETE, COMPLETE, ENDS(OK)},
    {PROMISE, COMPLETE, FAIL, ENDS(OK) | ENDS(ERR)},
    {PROMISE, FAIL, CANCEL, IS(NOW, CAN) | IS(LATE, ERR)},
    {PROMISE, FAIL, RELEASE, ENDS(ERR)},
    {TIMED, TIME_OUT, COMPLETE, ENDS(OK) | ENDS(TIM)},
    {TIMED, TIME_OUT, FAIL, ENDS(ERR) | ENDS(TIM)},
    {TIMED, TIME_OUT, CANCEL, IS(NOW, CAN) | IS(LATE, TIM)},
    {TIMED, TIME_OUT, GATHER, ENDS(TIM)},
    {TIMED, TIME_OUT, WAIT_FOR, ENDS(TIM)},
    {TIMED, TIME_OUT, CALLBACK, ENDS(TIM)},
    {TIMED, TIME_OUT, WAIT, ENDS(TIM)},
    {TIMED, TIME_OUT, RELEASE, ENDS(TIM) | ENDS(OK)},
    {TIMED_JOB, TIME_OUT, COMPLETE, ENDS(OK) | ENDS(TIM)},
    {TIMED_JOB, TIME_OUT, CANCEL, IS(NOW, CAN) | IS(LATE, TIM)},
    {TIMED_JOB, TIME_OUT, RELEASE, ENDS(TIM) | ENDS(OK)},
    {JOINED, TIME_OUT, COMPLETE, ENDS(OK) | ENDS(TIM)},
    {JOINED, TIME_OUT, CANCEL, IS(ASKED, CAN) | IS(LATE, TIM)},
    {JOINED, TIME_OUT, RELEASE, ENDS(TIM) | ENDS(OK)},
    {JOINED_JOB, TIME_OUT, COMPLETE, ENDS(OK) | ENDS(TIM)},
    {JOINED_JOB, TIME_OUT, CANCEL, IS(ASKED, CAN) | IS(LATE, TIM)},
    {FIRST, FAIL, CANCEL, IS(ASKED, CAN) | IS(LATE, ERR)},
    {FIRST, FAIL, FAIL_OTHER, ENDS(ERR)},
    {FIRST, COMPLETE, FAIL_OTHER, ENDS(ERR)},
    {FIRST, COMPLETE, COMPLETE_OTHER, ENDS(OK)},
    {SETTLED, FAIL, CANCEL, IS(ASKED, CAN) | IS(LATE, OK)},
    {SETTLED, FAIL, FAIL_OTHER, ENDS(OK)},
    {SETTLED, COMPLETE, COMPLETE_OTHER, ENDS(OK)},
    {STRICT, FAIL, CANCEL, IS(ASKED, CAN) | IS(LATE, ERR)},
    {STRICT, FAIL, FAIL_OTHER, ENDS(ERR)},
    {STRICT, COMPLETE, FAIL_OTHER, ENDS(ERR)},
    {STRICT, COMPLETE, COMPLETE_OTHER, ENDS(OK)},
    {SHIELD, FAIL, CANCEL, IS(NOW, CAN) | IS(LATE, ERR)},
};

/* How a future ended, from its state or from what get answered. */
static inline unsigned state_of(weft_state state)
{
    static const unsigned states[] = {UNSEEN, UNSEEN, OK, ERR, CAN, TIM};
    return states[state];
}

static inline unsigned state_of_code(int code)
{
    return code == 0 ? OK : code > 0 ? ERR : code == -ECANCELED ? CAN : code == -ETIMEDOUT ? TIM : UNSEEN;
}

static inline uint32_t legal_of(const subject *about, const shape *pair)
{
    return pair->legal == RACE ? about->race : pair->legal == CANCELLED ? about->cancelled : about->ended;
}

#endif
