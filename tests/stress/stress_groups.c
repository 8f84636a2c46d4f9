/* stress_groups.c: two threads do two things to one group at once; every outcome must be legal.
 *
 * An outcome is a pair: what weft_group_submit answered, and what the join did. The table stands below. Besides, when a
 * join returns, every child that was accepted is over: entered at most once, not running, its argument freed exactly
 * once; every later join answers the same; the errors are those of the children that failed; never do more children run
 * at a time than the limit allows. What must be stopped by the group's request ends without anybody's help.
 *
 * Discipline. A group has two children that were submitted before the meeting and one more of each racer. The main
 * thread makes it, joins it and destroys it.
 *
 * Usage: stress_groups [seconds [workers [seed [text]]]]. */
#include "race.h"

typedef enum {
    SUBMIT,
    END, /* the first child may end */
    FAIL,
    END_OTHER, /* the second one may */
    FAIL_OTHER,
    CANCEL,
    CANCEL_ABOVE, /* the token above the group */
    TIME_OUT,
    JOIN,
    SHUT_DOWN, /* of the executor, in a mode drawn at random, at one item of the batch */
    ACTIONS
} action;

static const char *const action_names[ACTIONS] = {"submit", "end",          "fail",     "end other", "fail other",
                                                  "cancel", "cancel above", "time out", "join",      "shut down"};

typedef enum { PLAIN, LIMITED, BELOW, TIMED, GROUPS } kind;

static const char *const group_names[GROUPS] = {"group", "group with a limit", "group below a token",
                                                "group with a deadline"};

/* Outcomes: a set of pairs of what the submit answered (MUTE: there was none) and what the join did. */
enum { ACCEPTED, STOPPED, OVER, CLOSED, MUTE };
enum { WELL, FAILED, CANCELLED, LATE };
static const char *const answer_names[] = {"accepted", "-ECANCELED", "-EALREADY", "-ESHUTDOWN", "no submit"};
static const char *const join_names[] = {"0", "a failure", "-ECANCELED", "-ETIMEDOUT"};
#define IS(answer, joined) (UINT32_C(1) << ((answer)*4 + (joined)))
#define ENDS(joined)       IS(MUTE, joined)

enum { ON_TIMED = 1 << TIMED, ON_BELOW = ON_TIMED | 1 << BELOW, ON_ALL = ON_BELOW | 1 << PLAIN | 1 << LIMITED };

typedef struct row {
    unsigned kinds;
    action left, right;
    uint32_t legal;
} row;

static const row rows[] = {
    {ON_ALL, SUBMIT, SUBMIT, IS(ACCEPTED, WELL)},
    {ON_ALL, SUBMIT, END, IS(ACCEPTED, WELL)},
    {ON_ALL, SUBMIT, FAIL, IS(ACCEPTED, FAILED) | IS(STOPPED, FAILED)},
    {ON_ALL, SUBMIT, CANCEL, IS(ACCEPTED, CANCELLED) | IS(STOPPED, CANCELLED)},
    {ON_ALL, SUBMIT, JOIN, IS(ACCEPTED, WELL) | IS(OVER, WELL)},
    {ON_ALL, END, END_OTHER, ENDS(WELL)},
    {ON_ALL, END, FAIL_OTHER, ENDS(FAILED)},
    {ON_ALL, END, CANCEL, ENDS(CANCELLED)},
    {ON_ALL, END, JOIN, ENDS(WELL)},
    {ON_ALL, FAIL, FAIL_OTHER, ENDS(FAILED)},
    {ON_ALL, FAIL, CANCEL, ENDS(FAILED) | ENDS(CANCELLED)},
    {ON_ALL, FAIL, JOIN, ENDS(FAILED)},
    {ON_ALL, CANCEL, CANCEL, ENDS(CANCELLED)},
    {ON_ALL, CANCEL, JOIN, ENDS(CANCELLED)},
    {ON_ALL, JOIN, JOIN, ENDS(WELL)},
    {ON_BELOW, CANCEL_ABOVE, SUBMIT, IS(ACCEPTED, CANCELLED) | IS(STOPPED, CANCELLED)},
    {ON_BELOW, CANCEL_ABOVE, END, ENDS(CANCELLED)},
    {ON_BELOW, CANCEL_ABOVE, FAIL, ENDS(FAILED) | ENDS(CANCELLED)},
    {ON_BELOW, CANCEL_ABOVE, CANCEL, ENDS(CANCELLED)},
    {ON_BELOW, CANCEL_ABOVE, CANCEL_ABOVE, ENDS(CANCELLED)},
    {ON_BELOW, CANCEL_ABOVE, JOIN, ENDS(CANCELLED)},
    {ON_TIMED, TIME_OUT, SUBMIT, IS(ACCEPTED, LATE) | IS(STOPPED, LATE)},
    {ON_TIMED, TIME_OUT, END, ENDS(LATE)},
    {ON_TIMED, TIME_OUT, FAIL, ENDS(FAILED) | ENDS(LATE)},
    {ON_TIMED, TIME_OUT, CANCEL, ENDS(LATE) | ENDS(CANCELLED)},
    {ON_TIMED, TIME_OUT, CANCEL_ABOVE, ENDS(LATE) | ENDS(CANCELLED)},
    {ON_TIMED, TIME_OUT, JOIN, ENDS(LATE)},
    /* A child that the shutdown cancelled is none that failed. */
    {ON_ALL, SHUT_DOWN, SUBMIT,
     IS(ACCEPTED, WELL) | IS(ACCEPTED, CANCELLED) | IS(CLOSED, WELL) | IS(CLOSED, CANCELLED) | IS(STOPPED, CANCELLED)},
    {ON_ALL, SHUT_DOWN, END, ENDS(WELL) | ENDS(CANCELLED)},
    {ON_ALL, SHUT_DOWN, FAIL, ENDS(FAILED) | ENDS(WELL) | ENDS(CANCELLED)},
    {ON_ALL, SHUT_DOWN, CANCEL, ENDS(CANCELLED)},
    {ON_BELOW, SHUT_DOWN, CANCEL_ABOVE, ENDS(CANCELLED)},
    {ON_TIMED, SHUT_DOWN, TIME_OUT, ENDS(LATE) | ENDS(CANCELLED) | ENDS(WELL)},
    {ON_ALL, SHUT_DOWN, JOIN, ENDS(WELL) | ENDS(CANCELLED)},
};

enum { ROWS = sizeof rows / sizeof rows[0], CHILDREN = 4, LIMIT = 1 };

typedef struct item item;

typedef struct child {
    item *of;
    bool accepted;               /* by who submitted it */
    _Atomic(bool) go;            /* by a racer or the main thread: it may end */
    bool fails;                  /* by a racer, before go */
    _Atomic(unsigned) entered;   /* by the worker */
    _Atomic(unsigned) left;      /* likewise: its function has returned */
    _Atomic(unsigned) failed;    /* likewise */
    _Atomic(unsigned) arg_freed; /* by whichever thread frees */
} child;

struct item {
    weft_group *group;         /* by the main thread; both racers read it */
    weft_token *above;         /* likewise */
    child children[CHILDREN];  /* the first two by the main thread, the others one a racer */
    int codes[2];              /* by each racer: what the submit or the join answered */
    _Atomic(unsigned) running; /* by the children */
    _Atomic(bool) joined;      /* by whose join has returned; read by the children */
};

static item items[RACE_ROOM];

/* By the main thread while the rival is idle. */
static struct {
    kind kind;
    const row *row;
    weft_executor *executor;
    unsigned workers;
    weft_clock *clock;
    unsigned at;             /* SHUT_DOWN: the item at which it begins, */
    weft_shutdown_mode mode; /* and how */
} scene;

static bool has(action wanted)
{
    return scene.row->left == wanted || scene.row->right == wanted;
}

static action action_of(unsigned who)
{
    return who == 0 ? scene.row->left : scene.row->right;
}

/* Does the group ask its children to stop, without regard to who is first? */
static bool is_stopped(void)
{
    return has(FAIL) || has(CANCEL) || has(CANCEL_ABOVE) || has(TIME_OUT);
}

static void choose(unsigned number)
{
    unsigned left = number;
    for (scene.row = rows;; scene.row++) {
        for (unsigned k = 0; k < GROUPS; k++) {
            if ((scene.row->kinds & 1U << k) != 0 && left-- == 0) {
                scene.kind = (kind)k;
                race_name(group_names[k], action_names[scene.row->left], action_names[scene.row->right]);
                return;
            }
        }
    }
}

static void open_turn(unsigned workers)
{
    scene.clock = weft_manual_clock_create();
    scene.workers = workers;
    if (!has(SHUT_DOWN)) {
        scene.executor = race_executor(scene.workers, scene.clock);
    }
}

static void close_turn(void)
{
    race_check(has(SHUT_DOWN) || weft_executor_destroy(scene.executor) == 0, "the executor goes");
    weft_clock_destroy(scene.clock);
}

/* What the group is given. */

static void free_arg(void *argument)
{
    count(&((child *)argument)->arg_freed);
}

static bool may_go(const child *self)
{
    return atomic_load_explicit(&self->go, memory_order_acquire);
}

static void *play(void *argument)
{
    child *self = argument;
    count(&self->entered);
    unsigned others = atomic_fetch_add_explicit(&self->of->running, 1, memory_order_acq_rel);
    race_check(scene.kind != LIMITED || others < LIMIT, "no more run than the limit allows");
    while (!may_go(self) && !weft_cancelled()) {
        sched_yield();
    }
    bool go = may_go(self);
    race_check(!atomic_load_explicit(&self->of->joined, memory_order_relaxed), "no child runs after a join");
    atomic_fetch_sub_explicit(&self->of->running, 1, memory_order_acq_rel);
    count(&self->left);
    if (go && self->fails) {
        count(&self->failed);
        return weft_fail(7 + (int)(self - self->of->children));
    }
    return go ? NULL : weft_fail(-ECANCELED);
}

static int submit(item *self, unsigned number)
{
    weft_submit_options options = {.free_arg = free_arg};
    child *one = &self->children[number];
    int code = weft_group_submit_with(self->group, play, one, &options);
    one->accepted = code == 0;
    return code;
}

static void set_up(unsigned i)
{
    item *self = &items[i];
    memset(self, 0, sizeof *self);
    self->above = scene.kind >= BELOW ? weft_token_create(scene.executor, NULL, WEFT_FOREVER, 0) : NULL;
    weft_group_options options = {.limit = scene.kind == LIMITED ? LIMIT : 0,
                                  .timeout = scene.kind != TIMED ? 0
                                             : has(TIME_OUT)     ? (int64_t)(i + 1) * RACE_STEP
                                                                 : RACE_HOUR,
                                  .parent = self->above};
    self->group = weft_group_create(scene.executor, &options);
    race_require(self->group != NULL);
    for (unsigned n = 0; n < CHILDREN; n++) {
        bool waits = is_stopped() || (n == 0 && has(END)) || (n == 1 && (has(END_OTHER) || has(FAIL_OTHER)));
        self->children[n].of = self;
        atomic_store_explicit(&self->children[n].go, !waits, memory_order_relaxed);
    }
    race_require(submit(self, 0) == 0 && submit(self, 1) == 0);
}

static void set_up_batch(void)
{
    if (has(SHUT_DOWN)) {
        scene.executor = race_executor(scene.workers, scene.clock);
        scene.at = race_random(0, RACE_ROOM / 2);
        scene.mode = (weft_shutdown_mode)race_random(0, 3);
    }
    for (unsigned i = 0; i < RACE_ROOM; i++) {
        set_up(i);
    }
}

/* The meeting. */

static void let_go(child *one, bool fails)
{
    one->fails = fails;
    atomic_store_explicit(&one->go, true, memory_order_release);
}

static void act(unsigned i, unsigned who)
{
    item *self = &items[i];
    switch (action_of(who)) {
    case SUBMIT:
        self->codes[who] = submit(self, 2 + who);
        break;
    case END:
        let_go(&self->children[0], false);
        break;
    case FAIL:
        let_go(&self->children[0], true);
        break;
    case END_OTHER:
        let_go(&self->children[1], false);
        break;
    case FAIL_OTHER:
        let_go(&self->children[1], true);
        break;
    case CANCEL:
        weft_group_cancel(self->group);
        break;
    case CANCEL_ABOVE:
        weft_token_cancel(self->above);
        break;
    case TIME_OUT:
        weft_manual_clock_advance(scene.clock, RACE_STEP);
        break;
    case SHUT_DOWN:
        self->codes[who] = i == scene.at ? weft_executor_shutdown(scene.executor, scene.mode, 0) : 0;
        break;
    default:
        self->codes[who] = weft_group_join(self->group);
        atomic_store_explicit(&self->joined, true, memory_order_relaxed);
        break;
    }
}

/* How it ended. */

static unsigned answer_of(const item *self, unsigned who)
{
    switch (self->codes[who]) {
    case 0:
        return ACCEPTED;
    case -ECANCELED:
        return STOPPED;
    case -EALREADY:
        return OVER;
    case -ESHUTDOWN:
        return CLOSED;
    default:
        race_check(false, "a submit answers");
        return ACCEPTED;
    }
}

static unsigned joined(int code)
{
    race_check(code >= 0 || code == -ECANCELED || code == -ETIMEDOUT, "a join answers");
    return code == 0 ? WELL : code > 0 ? FAILED : code == -ETIMEDOUT ? LATE : CANCELLED;
}

static void see_children(const item *self)
{
    for (unsigned n = 0; n < CHILDREN; n++) {
        const child *one = &self->children[n];
        race_check(counted(&one->arg_freed) == one->accepted, "free_arg has run once when a join returns");
        race_check(counted(&one->entered) <= one->accepted, "a function is entered at most once");
        race_check(counted(&one->entered) == counted(&one->left), "no child runs when a join returns");
        race_check(is_stopped() || has(FAIL_OTHER) || has(SHUT_DOWN) || counted(&one->entered) == one->accepted,
                   "each child of a group that is not stopped runs");
    }
}

static void see_errors(const item *self, int code)
{
    size_t n = 0;
    const weft_outcome *errors = weft_group_errors(self->group, &n);
    unsigned failed = 0;
    for (unsigned c = 0; c < CHILDREN; c++) {
        failed += counted(&self->children[c].failed);
    }
    race_check(errors != NULL && n == failed, "the errors are those of the children that failed");
    race_check((code > 0) == (failed > 0), "a join fails if a child did");
    for (size_t e = 0; errors != NULL && e < n; e++) {
        race_check(errors[e].state == WEFT_FAILED && errors[e].error == 7 + (int)errors[e].index,
                   "an error is a child's");
        race_check(e > 0 || errors[e].error == code, "a join answers the first failure");
    }
}

static void see_item(item *self)
{
    race_check(has(JOIN) || weft_group_destroy(self->group) == -EBUSY, "a group is not destroyed before it is joined");
    int code = weft_group_join(self->group);
    unsigned end = joined(code), answers = 0;
    for (unsigned who = 0; who < 2; who++) {
        if (action_of(who) == SUBMIT) {
            answers++;
            unsigned answer = answer_of(self, who);
            race_check_outcome((scene.row->legal & IS(answer, end)) != 0, answer_names[answer], join_names[end]);
        } else if (action_of(who) == JOIN) {
            race_check(self->codes[who] == code, "each join answers the same");
        }
    }
    race_check_outcome(answers > 0 || (scene.row->legal & ENDS(end)) != 0, answer_names[MUTE], join_names[end]);
    see_children(self);
    see_errors(self, code);
    race_check(weft_group_submit(self->group, play, NULL) == -EALREADY, "nothing is accepted after the join");
    race_check(weft_group_destroy(self->group) == 0, "a group that was joined can be destroyed");
    weft_token_release(self->above);
}

static unsigned check_batch(void)
{
    for (unsigned i = 0; has(SHUT_DOWN) && i < RACE_ROOM; i++) {
        for (unsigned n = 0; n < CHILDREN; n++) {
            atomic_store_explicit(&items[i].children[n].go, true, memory_order_release);
        }
    }
    for (unsigned i = 0; i < RACE_ROOM; i++) {
        see_item(&items[i]);
    }
    race_check(!has(SHUT_DOWN) || weft_executor_destroy(scene.executor) == 0, "the executor goes");
    return has(SHUT_DOWN) ? RACE_ROOM - scene.at : RACE_ROOM;
}

static const char *quiet(void)
{
    return NULL;
}

int main(int argc, char **arguments)
{
    race_program program = {.name = "stress_groups",
                            .batch = RACE_ROOM,
                            .workers = 4,
                            .choose = choose,
                            .open = open_turn,
                            .close = close_turn,
                            .set_up = set_up_batch,
                            .act = act,
                            .check = check_batch,
                            .quiet = quiet};
    for (unsigned i = 0; i < ROWS; i++) {
        for (unsigned kinds = rows[i].kinds; kinds != 0; kinds &= kinds - 1) {
            program.pairs++;
        }
    }
    return race_main(&program, argc, arguments);
}
