/* stress_shutdown.c: an executor is shut down by one thread while another does something to each of its futures.
 *
 * Each batch has an executor of its own. The racers meet at the first few items; at one of them, drawn at random, the
 * first racer begins the shutdown, in a mode drawn at random. The rival goes on alone with its action, item by item, at
 * a pace drawn at random, so it is at work in every step of the shutdown in turn. Counted as meetings are the items
 * that it came to before the executor was quiet. When shutdown has answered 0, every future must be done already,
 * without anybody waiting for it, with an outcome from the table; in every second batch it is read after the executor
 * was destroyed. What was attached meanwhile mirrors, or was itself cancelled, or refused (I2, I16); functions,
 * callbacks, free_arg and free_value have run exactly once.
 *
 * Usage: stress_shutdown [seconds [workers [seed [text]]]]. */
#include "actions.h"

enum { BATCH = RACE_ROOM, TOGETHER_UP_TO = 8, PACES = 12 };

/* Which futures nothing but time and promises could end, so that a drain cancels them as well; the others rest on jobs,
 * which only the stronger modes cancel. */
static const bool falls[SUBJECTS] = {
    [DELAYED_JOB] = true,  [PROMISE] = true,     [TIMED] = true,   [JOINED] = true,
    [LEFT] = true,         [LEFT_JOINED] = true, [FIRST] = true,   [SETTLED] = true,
    [STRICT] = true,       [ANY_OF] = true,      [SHIELD] = true,  [SLEEP] = true,
    [THEN_PROMISE] = true, [THEN_ANY] = true,    [FLATTEN] = true, [FLATTEN_INNER] = true};

/* What meets the shutdown of each future; ENDING is its own. */
static const action rivals[] = {ENDING,   CANCEL, RELEASE, GATHER, WAIT_FOR, THEN, ANY,
                                CALLBACK, QUEUE,  REMOVE,  DETACH, WAIT,     MAKE, SHUT_DOWN};

/* And of some; ENDS as without a shutdown. */
typedef struct extra_rival {
    kind kind;
    action action;
    uint32_t ends;
} extra_rival;

static const extra_rival extra_rivals[] = {
    {PROMISE, FAIL, ENDS(ERR)},    {TIMED, TIME_OUT, ENDS(TIM)}, {TIMED_JOB, TIME_OUT, ENDS(TIM) | ENDS(OK)},
    {JOINED, TIME_OUT, ENDS(TIM)}, {LEFT, TIME_OUT, ENDS(TIM)},  {LEFT_JOB, TIME_OUT, ENDS(TIM) | ENDS(OK)},
    {FIRST, FAIL, ENDS(ERR)},      {SETTLED, FAIL, ENDS(OK)},    {STRICT, FAIL, ENDS(ERR)},
    {ANY_OF, FAIL, ENDS(ERR)},     {SHIELD, FAIL, ENDS(ERR)},    {THEN_PROMISE, FAIL, ENDS(ERR)},
    {THEN_ANY, FAIL, ENDS(OK)},    {FLATTEN, FAIL, ENDS(ERR)},   {FLATTEN_INNER, FAIL, ENDS(ERR)},
};

enum {
    RIVALS = sizeof rivals / sizeof rivals[0],
    EXTRA_RIVALS = sizeof extra_rivals / sizeof extra_rivals[0],
    PAIRS = (int)SUBJECTS * RIVALS + EXTRA_RIVALS
};

/* Of the batch; by the main thread while the rival is idle, but for the last three. */
static struct {
    uint32_t ends;               /* how the future ends if the shutdown comes too late for it, or does not touch it */
    weft_shutdown_mode modes[2]; /* of the shutdown, and of the rival's if that is its action */
    unsigned at;                 /* the item with which it begins */
    unsigned pace;               /* how long the rival dawdles at most before each item behind that one */
    unsigned number;
    unsigned met;        /* by the rival: the items that it came to after the beginning and before the end */
    _Atomic(bool) quiet; /* by the first racer; read by the rival. An item more or less does not matter */
    _Atomic(bool) acted; /* by the rival: it is through; read by the first racer, which need not wait any longer */
} batch;

static void choose(unsigned number)
{
    bool common = number < (unsigned)SUBJECTS * RIVALS;
    const extra_rival *row = common ? NULL : &extra_rivals[number - (unsigned)SUBJECTS * RIVALS];
    scene.kind = common ? (kind)(number / RIVALS) : row->kind;
    scene.actions[0] = SHUT_DOWN;
    scene.actions[1] = common ? rivals[number % RIVALS] : row->action;
    if (scene.actions[1] == ENDING) {
        scene.actions[1] = about()->ending;
    }
    batch.ends = !common ? row->ends : scene.actions[1] == CANCEL ? about()->race : about()->ended;
    race_name(about()->name, action_names[SHUT_DOWN], action_names[scene.actions[1]]);
}

static void open_turn(unsigned workers)
{
    batch.number = 0;
    scene.clock = weft_manual_clock_create();
    race_require(scene.clock != NULL);
    scene.workers = workers;
}

static void close_turn(void)
{
    weft_clock_destroy(scene.clock);
}

static void set_up_batch(void)
{
    scene.executor = race_executor(scene.workers, scene.clock);
    batch.number++;
    batch.modes[0] = (weft_shutdown_mode)race_random(0, 3);
    batch.modes[1] = (weft_shutdown_mode)race_random(0, 3);
    batch.at = race_random(0, TOGETHER_UP_TO);
    batch.pace = 1U << race_random(0, PACES);
    batch.met = 0;
    atomic_store_explicit(&batch.quiet, false, memory_order_relaxed);
    atomic_store_explicit(&batch.acted, false, memory_order_relaxed);
    open_queues();
    for (unsigned i = 0; i < BATCH; i++) {
        set_up(i);
    }
}

static bool meets(unsigned i)
{
    return i <= batch.at;
}

static int shut_down(unsigned who, int64_t timeout)
{
    int code = weft_executor_shutdown(scene.executor, batch.modes[who], timeout);
    race_check(code == 0 || code == -ETIMEDOUT, "shutdown answers");
    return code;
}

/* Begins it, and watches it for as long as the rival is at it. */
static void act_first(unsigned i)
{
    if (i == batch.at) {
        int code = shut_down(0, 0);
        while (code != 0 && !atomic_load_explicit(&batch.acted, memory_order_relaxed)) {
            code = shut_down(0, 20000);
        }
        atomic_store_explicit(&batch.quiet, true, memory_order_relaxed);
    }
}

static void act_rival(unsigned i)
{
    if (i > batch.at) {
        race_dawdle(1, race_random(1, batch.pace));
    }
    if (i >= batch.at && !atomic_load_explicit(&batch.quiet, memory_order_relaxed)) {
        batch.met++;
    }
    if (i == batch.at && scene.actions[1] == SHUT_DOWN) {
        shut_down(1, 0);
    }
}

static void act_one(unsigned i, unsigned who)
{
    if (who == 0) {
        act_first(i);
    } else {
        act_rival(i);
    }
    act(&items[i], who, i == batch.at && falls[scene.kind]);
    if (who == 1 && i == BATCH - 1) {
        atomic_store_explicit(&batch.acted, true, memory_order_relaxed);
    }
}

/* How it ended. */

static bool cancelling(void)
{
    return batch.modes[0] != WEFT_DRAIN || (scene.actions[1] == SHUT_DOWN && batch.modes[1] != WEFT_DRAIN);
}

/* The outcomes that are legal in the mode that stands. */
static uint32_t legal(void)
{
    uint32_t set = batch.ends;
    if (scene.actions[1] == MAKE || cancelling() || falls[scene.kind]) {
        set |= scene.actions[1] == CANCEL ? IS(LATE, CAN) | IS(AGAIN, CAN) : ENDS(CAN);
    }
    if (scene.actions[1] == CANCEL && cancelling() && !falls[scene.kind]) {
        set |= IS(AGAIN, OK);
    }
    return set;
}

static void see_kept(item *self, unsigned *seen)
{
    weft_outcome outcome = {.state = WEFT_PENDING};
    unsigned effect = effect_of(self);
    race_check(weft_future_outcome(self->future, &outcome) == 0, "the outcome can be read");
    see(seen, state_of(outcome.state), "the outcome agrees with what others saw");
    check_lent(outcome.value);
    if (outcome.state == WEFT_CANCELLED) {
        race_check(outcome.reason == (effect == NOW || effect == ASKED ? WEFT_REASON_USER : WEFT_REASON_SHUTDOWN),
                   "the reason is that of the first request");
    }
}

/* What was attached mirrors, or was cancelled as well, or refused. */
static void see_derived(const item *self, unsigned who, unsigned *seen)
{
    const seat *mine = &self->seats[who];
    weft_outcome outcome = {.state = WEFT_PENDING};
    if (mine->derived == NULL) {
        race_check(mine->code == ESHUTDOWN, "what cannot be attached is refused with ESHUTDOWN");
        return;
    }
    race_check(weft_future_outcome(mine->derived, &outcome) == 0, "what was attached is done when shutdown is");
    unsigned state = state_of(outcome.state);
    race_check(scene.actions[who] != THEN || counted(&self->works[W_SEAT + who].entered) == (state == OK),
               "the then ran once, if at all");
    if (outcome.reason == WEFT_REASON_SHUTDOWN) {
        return;
    }
    if (scene.actions[who] == WAIT_FOR || scene.actions[who] == THEN) {
        see(seen, state, "the derived future mirrors");
    } else {
        const weft_outcome *slots = weft_gather_outcomes(mine->derived, &(size_t){0});
        see(seen, slots != NULL ? state_of(slots[0].state) : UNSEEN, "the slot agrees");
    }
}

static void see_seat(const item *self, unsigned who, unsigned *seen)
{
    const seat *mine = &self->seats[who];
    unsigned calls = 0;
    switch (scene.actions[who]) {
    case GATHER:
    case WAIT_FOR:
    case THEN:
    case ANY:
        see_derived(self, who, seen);
        break;
    case CALLBACK:
        race_check(mine->code == 0 || mine->code == -ESHUTDOWN, "registering succeeds, or is refused");
        calls = mine->code == 0;
        break;
    default:
        calls = see_registered(mine, scene.actions[who], seen);
        break;
    }
    race_check(counted(&mine->called) == calls, "the callback runs exactly once");
}

static void judge(const item *self, unsigned seen)
{
    unsigned effect = effect_of(self);
    const work *own = &self->works[self->works[W_THEN].accepted ? W_THEN : W_JOB];
    uint32_t set = legal() >> effect * 4 & 15;
    race_check_outcome(seen == UNSEEN ? set != 0 : (set >> seen & 1) != 0, effect_names[effect], state_names[seen]);
    if (seen != UNSEEN && (about()->traits & RUNS) != 0) {
        unsigned entered = counted(&own->entered);
        race_check(seen != OK || entered == 1, "a function that succeeded ran");
        race_check(seen != ERR || entered == 0, "a then whose input failed did not run");
        race_check(effect != NOW || entered == 0, "what is cancelled on return never runs");
    }
    if (scene.kind == PROMISE && seen != UNSEEN) {
        unsigned resolved = counted(&self->works[W_SEAT + 1].valued) + counted(&self->works[W_END].valued);
        race_check(scene.actions[1] == THEN || resolved == (seen == OK), "a promise that was kept has succeeded");
    }
}

static void look_at_all(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        item *self = &items[i];
        unsigned seen = UNSEEN;
        if (self->kept) {
            see_kept(self, &seen);
        }
        see_seat(self, 1, &seen);
        judge(self, seen);
    }
}

static void drop_all(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        item *self = &items[i];
        weft_future_release(self->kept ? self->future : NULL);
        weft_future_release(self->seats[1].derived);
        weft_future_release(self->inner);
        weft_future_release(self->inside);
    }
    close_queues();
}

static unsigned check_batch(void)
{
    end_functions(); /* promises it has to end itself */
    race_check(weft_executor_shutdown(scene.executor, batch.modes[0], WEFT_FOREVER) == 0, "the executor is quiet");
    for (unsigned i = 0; i < BATCH; i++) {
        race_check(!items[i].kept || weft_future_done(items[i].future), "every future is done when shutdown is");
    }
    end_promises();
    bool late = batch.number % 2 == 0;
    if (late) {
        race_check(weft_executor_destroy(scene.executor) == 0, "the executor goes");
    }
    if (scene.actions[1] == QUEUE) {
        read_queue(1);
    }
    look_at_all();
    drop_all();
    if (!late) {
        race_check(weft_executor_destroy(scene.executor) == 0, "the executor goes");
    }
    return batch.met;
}

static const race_program program = {.name = "stress_shutdown",
                                     .pairs = PAIRS,
                                     .batch = BATCH,
                                     .workers = 2,
                                     .choose = choose,
                                     .open = open_turn,
                                     .close = close_turn,
                                     .set_up = set_up_batch,
                                     .meets = meets,
                                     .act = act_one,
                                     .check = check_batch,
                                     .quiet = works_left};

int main(int count, char **arguments)
{
    return race_main(&program, count, arguments);
}
