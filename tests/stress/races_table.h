/* races_table.h: which futures the stress programs race for, which pairs of actions, and what may come of each.
 *
 * Discipline. An outcome is a pair: what the (first) weft_cancel answered, and how the future ended. A pair of actions
 * has a set of legal ones; everything else fails it. Constant data, read by both racers. */
#ifndef WEFT_TESTS_RACES_TABLE_H
#define WEFT_TESTS_RACES_TABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <weft/future.h>

typedef enum {
    COMPLETE,       /* the input that it is about succeeds, or its function may end */
    FAIL,           /* that input fails, with 7 */
    COMPLETE_OTHER, /* a second input succeeds */
    FAIL_OTHER,     /* a second input fails, with 8 */
    TIME_OUT,       /* the clock reaches its time */
    CANCEL,
    RELEASE,
    GATHER,
    WAIT_FOR,
    THEN,
    ANY,
    CALLBACK,
    QUEUE,  /* weft_queue_add */
    REMOVE, /* takes back a callback that was registered before */
    DETACH, /* ends something that was attached before: a wait_for, an any, a gather, an as_completed */
    WAIT,
    SHUT_DOWN,
    MAKE,
    NOTHING,
    ENDING, /* in tables: what ends the future well */
    ACTIONS
} action;

static const char *const action_names[ACTIONS] = {
    "complete", "fail", "complete other", "fail other", "time out", "cancel", "release",   "gather", "wait_for", "then",
    "any",      "call", "queue",          "remove",     "detach",   "wait",   "shut down", "make",   "run",      "end"};

typedef enum {
    JOB,
    OBEYING_JOB,
    FREE_JOB,
    DELAYED_JOB,
    PROMISE,
    TIMED,
    TIMED_JOB,
    JOINED,
    JOINED_JOB,
    LEFT,
    LEFT_JOB,
    LEFT_JOINED,
    FIRST,
    SETTLED,
    STRICT,
    SETTLED_JOB,
    ANY_OF,
    ANY_JOB,
    MAP,
    FREE_MAP,
    SHIELD,
    SLEEP,
    THEN_PROMISE,
    THEN_JOB,
    THEN_QUEUED,
    THEN_RUNNING,
    THEN_ANY,
    THEN_ANY_JOB,
    FLATTEN,
    FLATTEN_INNER,
    SUBJECTS
} kind;

/* Outcomes: a set of pairs of what weft_cancel answered (NONE: nobody asked) and how the future ended. */
enum { NOW, ASKED, AGAIN, LATE, NONE };
enum { OK, ERR, CAN, TIM, UNSEEN };
static const char *const effect_names[] = {"cancelled now", "asked", "asked again", "too late", "nobody asked"};
static const char *const state_names[] = {"succeeded", "failed", "cancelled", "timed out", "not seen"};
#define IS(effect, state) (UINT32_C(1) << ((effect)*4 + (state)))
#define ENDS(state)       IS(NONE, state)

/* What a future is, as far as the oracles care. */
enum {
    RUNS = 1,     /* a function of its own: entered once, or never after a cancel that was in time */
    INNER = 2,    /* over a job, which is looked at as well */
    JOINS = 4,    /* when it is cancelled, what is below it is over */
    SPARES = 8,   /* asks nothing of what is below it */
    TOGETHER = 16 /* made right before the meeting: it is starting by itself */
};

/* The three sets: when its own end meets a bystander, when a cancel meets one, when both meet. */
typedef struct subject {
    const char *name;
    action ending;    /* the action that ends it well */
    bool cancel_ends; /* a cancel ends it without further help, so that one may wait for that */
    unsigned traits;
    uint32_t ended, cancelled, race;
} subject;

/* Cancelled on the spot; asked, and cancelled when its inputs are done; asked as a function that runs. */
#define ON_THE_SPOT ENDS(OK), IS(NOW, CAN), IS(NOW, CAN) | IS(LATE, OK)
#define IN_THE_END  ENDS(OK), IS(ASKED, CAN), IS(ASKED, CAN) | IS(LATE, OK)
#define AS_A_JOB    ENDS(OK), IS(NOW, CAN) | IS(ASKED, OK), IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK)
#define AT_ANY_TIME ENDS(OK), IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK), IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK)

static const subject subjects[SUBJECTS] = {
    [JOB] = {"job", COMPLETE, false, RUNS, AS_A_JOB},
    [OBEYING_JOB] = {"obeying job", COMPLETE, true, RUNS, ENDS(OK), IS(NOW, CAN) | IS(ASKED, CAN),
                     IS(NOW, CAN) | IS(ASKED, CAN) | IS(ASKED, OK) | IS(LATE, OK)},
    [FREE_JOB] = {"starting job", NOTHING, true, RUNS | TOGETHER, AT_ANY_TIME},
    [DELAYED_JOB] = {"delayed job", TIME_OUT, true, RUNS, ENDS(OK), IS(NOW, CAN),
                     IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK)},
    [PROMISE] = {"promise", COMPLETE, true, 0, ON_THE_SPOT},
    [TIMED] = {"wait_for", COMPLETE, true, 0, ON_THE_SPOT},
    [TIMED_JOB] = {"wait_for of a job", COMPLETE, true, INNER, ON_THE_SPOT},
    [JOINED] = {"joining wait_for", COMPLETE, true, JOINS, IN_THE_END},
    [JOINED_JOB] = {"joining wait_for of a job", COMPLETE, false, INNER | JOINS, IN_THE_END},
    [LEFT] = {"sparing wait_for", COMPLETE, true, SPARES, ON_THE_SPOT},
    [LEFT_JOB] = {"sparing wait_for of a job", COMPLETE, true, INNER | SPARES, ON_THE_SPOT},
    [LEFT_JOINED] = {"sparing, joining wait_for", COMPLETE, false, SPARES | JOINS, IN_THE_END},
    [FIRST] = {"gather FIRST_ERROR", COMPLETE, true, JOINS, IN_THE_END},
    [SETTLED] = {"gather SETTLED", COMPLETE, true, JOINS, IN_THE_END},
    [STRICT] = {"gather STRICT", COMPLETE, true, JOINS, IN_THE_END},
    [SETTLED_JOB] = {"gather of a job", COMPLETE, false, INNER | JOINS, IN_THE_END},
    [ANY_OF] = {"any", COMPLETE, true, 0, ON_THE_SPOT},
    [ANY_JOB] = {"any of a job", COMPLETE, true, INNER, ON_THE_SPOT},
    [MAP] = {"map", COMPLETE, false, JOINS, IN_THE_END},
    [FREE_MAP] = {"starting map", NOTHING, true, JOINS | TOGETHER, ENDS(OK), IS(ASKED, CAN) | IS(LATE, OK),
                  IS(ASKED, CAN) | IS(LATE, OK)},
    [SHIELD] = {"shield", COMPLETE, true, SPARES, ON_THE_SPOT},
    [SLEEP] = {"sleep", TIME_OUT, true, 0, ON_THE_SPOT},
    [THEN_PROMISE] = {"then", COMPLETE, true, RUNS, ENDS(OK), IS(NOW, CAN),
                      IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK)},
    [THEN_JOB] = {"then of a job", COMPLETE, true, RUNS | INNER, ENDS(OK), IS(NOW, CAN),
                  IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK)},
    [THEN_QUEUED] = {"starting then", NOTHING, true, RUNS | TOGETHER, AT_ANY_TIME},
    [THEN_RUNNING] = {"running then", COMPLETE, false, RUNS, AS_A_JOB},
    [THEN_ANY] = {"then_any", COMPLETE, true, RUNS, ENDS(OK), IS(NOW, CAN),
                  IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK)},
    [THEN_ANY_JOB] = {"then_any of a job", COMPLETE, true, RUNS | INNER, ENDS(OK), IS(NOW, CAN),
                      IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK)},
    [FLATTEN] = {"flatten", COMPLETE, true, 0, ON_THE_SPOT},
    [FLATTEN_INNER] = {"flatten of an inner", COMPLETE, true, 0, ON_THE_SPOT},
};

/* Pairs that every future goes through; ENDING stands for the subject's own, and `legal` names the set that applies. */
typedef struct shape {
    action left, right;
    enum { ENDED, CANCELLED, RACE } legal;
} shape;

static const shape shapes[] = {
    {ENDING, CANCEL, RACE},       {ENDING, RELEASE, ENDED},    {ENDING, GATHER, ENDED},
    {ENDING, WAIT_FOR, ENDED},    {ENDING, THEN, ENDED},       {ENDING, ANY, ENDED},
    {ENDING, CALLBACK, ENDED},    {ENDING, QUEUE, ENDED},      {ENDING, REMOVE, ENDED},
    {ENDING, DETACH, ENDED},      {ENDING, WAIT, ENDED},       {CANCEL, CANCEL, CANCELLED},
    {CANCEL, RELEASE, CANCELLED}, {CANCEL, GATHER, CANCELLED}, {CANCEL, WAIT_FOR, CANCELLED},
    {CANCEL, THEN, CANCELLED},    {CANCEL, ANY, CANCELLED},    {CANCEL, CALLBACK, CANCELLED},
    {CANCEL, QUEUE, CANCELLED},   {CANCEL, REMOVE, CANCELLED}, {CANCEL, DETACH, CANCELLED},
    {CANCEL, WAIT, CANCELLED},    {RELEASE, RELEASE, ENDED},   {RELEASE, GATHER, ENDED},
    {RELEASE, WAIT_FOR, ENDED},   {RELEASE, THEN, ENDED},      {RELEASE, ANY, ENDED},
    {RELEASE, CALLBACK, ENDED},   {RELEASE, QUEUE, ENDED},     {RELEASE, REMOVE, ENDED},
    {RELEASE, DETACH, ENDED},     {RELEASE, WAIT, ENDED},      {GATHER, WAIT_FOR, ENDED},
    {GATHER, CALLBACK, ENDED},    {GATHER, DETACH, ENDED},     {THEN, ANY, ENDED},
    {THEN, QUEUE, ENDED},         {CALLBACK, CALLBACK, ENDED}, {CALLBACK, REMOVE, ENDED},
    {QUEUE, DETACH, ENDED},       {WAIT, WAIT, ENDED},
};

/* Pairs that only some futures can meet. */
typedef struct extra {
    kind kind;
    action left, right;
    uint32_t legal;
} extra;

/* The deadline of a wait_for against everybody. */
#define DEADLINE(kind, cancelled)                                                                                      \
    {kind, TIME_OUT, COMPLETE, ENDS(OK) | ENDS(TIM)}, {kind, TIME_OUT, CANCEL, (cancelled) | IS(LATE, TIM)},           \
    {                                                                                                                  \
        kind, TIME_OUT, RELEASE, ENDS(TIM) | ENDS(OK)                                                                  \
    }
#define DEADLINE_ALONE(kind)                                                                                           \
    {kind, TIME_OUT, GATHER, ENDS(TIM)}, {kind, TIME_OUT, WAIT_FOR, ENDS(TIM)}, {kind, TIME_OUT, THEN, ENDS(TIM)},     \
        {kind, TIME_OUT, ANY, ENDS(TIM)}, {kind, TIME_OUT, CALLBACK, ENDS(TIM)}, {kind, TIME_OUT, QUEUE, ENDS(TIM)},   \
        {kind, TIME_OUT, REMOVE, ENDS(TIM)}, {kind, TIME_OUT, DETACH, ENDS(TIM)},                                      \
    {                                                                                                                  \
        kind, TIME_OUT, WAIT, ENDS(TIM)                                                                                \
    }

static const extra extras[] = {
    {PROMISE, COMPLETE, COMPLETE, ENDS(OK)},
    {PROMISE, COMPLETE, FAIL, ENDS(OK) | ENDS(ERR)},
    {PROMISE, FAIL, CANCEL, IS(NOW, CAN) | IS(LATE, ERR)},
    {PROMISE, FAIL, RELEASE, ENDS(ERR)},
    DEADLINE(TIMED, IS(NOW, CAN)),
    {TIMED, TIME_OUT, FAIL, ENDS(ERR) | ENDS(TIM)},
    DEADLINE_ALONE(TIMED),
    DEADLINE(TIMED_JOB, IS(NOW, CAN)),
    DEADLINE(JOINED, IS(ASKED, CAN)),
    {JOINED, TIME_OUT, FAIL, ENDS(ERR) | ENDS(TIM)},
    DEADLINE_ALONE(JOINED),
    /* Its job ends with a value all the same, or had not started at the deadline. */
    {JOINED_JOB, TIME_OUT, COMPLETE, ENDS(OK) | ENDS(TIM)},
    {JOINED_JOB, TIME_OUT, CANCEL, IS(ASKED, CAN) | IS(LATE, TIM)},
    DEADLINE(LEFT, IS(NOW, CAN)),
    {LEFT, TIME_OUT, FAIL, ENDS(ERR) | ENDS(TIM)},
    DEADLINE_ALONE(LEFT),
    DEADLINE(LEFT_JOB, IS(NOW, CAN)),
    {LEFT_JOINED, TIME_OUT, COMPLETE, ENDS(OK)},
    {LEFT_JOINED, TIME_OUT, CANCEL, IS(ASKED, CAN)},
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
    {ANY_OF, FAIL, CANCEL, IS(NOW, CAN) | IS(LATE, ERR)},
    {ANY_OF, FAIL, FAIL_OTHER, ENDS(ERR)},
    {ANY_OF, FAIL, COMPLETE_OTHER, ENDS(OK)},
    {ANY_OF, COMPLETE, FAIL_OTHER, ENDS(OK)},
    {ANY_OF, COMPLETE, COMPLETE_OTHER, ENDS(OK)},
    {SHIELD, FAIL, CANCEL, IS(NOW, CAN) | IS(LATE, ERR)},
    {THEN_PROMISE, FAIL, CANCEL, IS(NOW, CAN) | IS(LATE, ERR)},
    {THEN_PROMISE, FAIL, RELEASE, ENDS(ERR)},
    {THEN_PROMISE, COMPLETE, FAIL, ENDS(OK) | ENDS(ERR)},
    {THEN_ANY, FAIL, CANCEL, IS(NOW, CAN) | IS(ASKED, OK) | IS(LATE, OK)},
    {THEN_ANY, FAIL, RELEASE, ENDS(OK)},
    {THEN_ANY, COMPLETE, FAIL, ENDS(OK)},
    {FLATTEN, FAIL, CANCEL, IS(NOW, CAN) | IS(LATE, ERR)},
    {FLATTEN, COMPLETE, COMPLETE_OTHER, ENDS(OK)},
    {FLATTEN, COMPLETE, FAIL_OTHER, ENDS(ERR)},
    {FLATTEN, FAIL, COMPLETE_OTHER, ENDS(ERR)},
    {FLATTEN_INNER, FAIL, CANCEL, IS(NOW, CAN) | IS(LATE, ERR)},
};

enum { SHAPES = sizeof shapes / sizeof shapes[0], EXTRAS = sizeof extras / sizeof extras[0] };

/* How a future ended, from its state or from what get answered. */
static inline unsigned state_of(weft_state state)
{
    static const unsigned states[] = {UNSEEN, UNSEEN, OK, ERR, CAN, TIM};
    return states[state];
}

static inline unsigned state_of_code(int code)
{
    return code == 0 ? OK : code == -ECANCELED ? CAN : code == -ETIMEDOUT ? TIM : code > 0 ? ERR : UNSEEN;
}

static inline uint32_t legal_of(const subject *about, const shape *pair)
{
    return pair->legal == RACE ? about->race : pair->legal == CANCELLED ? about->cancelled : about->ended;
}

#endif
