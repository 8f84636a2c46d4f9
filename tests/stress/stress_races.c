/* stress_races.c: two threads do two things to one future at once, a great many times; every outcome must be legal.
 *
 * The pairs and their outcomes stand in races_table.h, the futures in subjects.h, the actions in actions.h, how it is
 * run in race.h. Besides, whatever was seen of a future must agree (I1), the answer of weft_cancel must fit the outcome
 * (I5), functions, callbacks, free_arg and free_value must have run exactly once or, where that is the rule, never (I7,
 * I8, I9), what joins is quiet (I3), and nothing is left when a batch is over (I15).
 *
 * Usage: stress_races [seconds [workers [seed [text]]]]. */
#include "actions.h"

enum { PAIRS = (int)SUBJECTS * SHAPES + EXTRAS };

static uint32_t legal; /* of the pair; by the main thread while the rival is idle */

static void choose(unsigned number)
{
    if (number < (unsigned)SUBJECTS * SHAPES) {
        const shape *pair = &shapes[number % SHAPES];
        scene.kind = (kind)(number / SHAPES);
        scene.actions[0] = pair->left == ENDING ? about()->ending : pair->left;
        scene.actions[1] = pair->right;
        legal = legal_of(about(), pair);
    } else {
        const extra *row = &extras[number - (unsigned)SUBJECTS * SHAPES];
        scene.kind = row->kind;
        scene.actions[0] = row->left;
        scene.actions[1] = row->right;
        legal = row->legal;
    }
    race_name(about()->name, action_names[scene.actions[0]], action_names[scene.actions[1]]);
}

static void open_turn(unsigned workers)
{
    scene.workers = workers;
    scene.clock = weft_manual_clock_create();
    scene.executor = race_executor(workers, scene.clock);
    open_queues();
}

static void close_turn(void)
{
    close_queues();
    race_check(weft_executor_destroy(scene.executor) == 0, "the executor goes");
    weft_clock_destroy(scene.clock);
}

static bool together(void)
{
    return (about()->traits & TOGETHER) != 0;
}

static void set_up_batch(void)
{
    for (unsigned i = 0; !together() && i < RACE_ROOM; i++) {
        set_up(i);
    }
}

static void prepare(unsigned i)
{
    if (together()) {
        set_up(i);
    }
}

static void act_one(unsigned i, unsigned who)
{
    action other = scene.actions[1 - who];
    act(&items[i], who,
        together() || other == about()->ending || other == TIME_OUT || (other == CANCEL && about()->cancel_ends));
}

/* How it ended. */

static void see_failure(const item *self, const weft_outcome *outcome)
{
    if (scene.kind == ANY_OF) {
        race_check(outcome->index == 0 && outcome->error == 9, "an any fails with the first failure");
    } else if (scene.kind == FLATTEN) {
        race_check(outcome->error == (self->seats[0].code == 0 && has(COMPLETE) ? 8 : 7), "a flatten has that error");
    } else if (has(FAIL_OTHER)) {
        race_check(outcome->error == (outcome->index == 2 ? 8 : 7), "the index fits the error");
        race_check(outcome->index == 1 || outcome->index == 2, "the index is one of those that failed");
    } else {
        race_check(outcome->error == 7, "it fails with that error");
    }
}

static void see_kept(item *self, unsigned *seen)
{
    weft_outcome outcome = {.state = WEFT_PENDING};
    race_check(weft_future_wait(self->future, WEFT_FOREVER) == 0, "the future ends");
    race_check(weft_future_outcome(self->future, &outcome) == 0, "the outcome can be read");
    see(seen, state_of(outcome.state), "the outcome agrees with what others saw");
    check_lent(outcome.value);
    race_check((outcome.reason == WEFT_REASON_USER) == (outcome.state == WEFT_CANCELLED), "the reason is the user's");
    if (outcome.state == WEFT_FAILED) {
        see_failure(self, &outcome);
    }
    if (outcome.state == WEFT_SUCCEEDED && scene.kind == ANY_OF && has(COMPLETE) && has(COMPLETE_OTHER)) {
        race_check(outcome.index == 1 || outcome.index == 2, "an any has one of the two");
        race_check(outcome.value == &self->works[W_SEAT - 1 + outcome.index], "an any has the value of its index");
    }
}

static void see_derived(const item *self, unsigned who, unsigned *seen)
{
    const seat *mine = &self->seats[who];
    size_t n = 0;
    const weft_outcome *slots;
    if (!race_check(mine->derived != NULL, "attaching succeeds")) {
        return;
    }
    race_check(weft_future_wait(mine->derived, WEFT_FOREVER) == 0, "the derived future ends");
    unsigned state = state_of(weft_future_state(mine->derived));
    switch (scene.actions[who]) {
    case WAIT_FOR:
        see(seen, state, "the wait_for mirrors");
        break;
    case THEN:
        see(seen, state, "the then follows");
        race_check(counted(&self->works[W_SEAT + who].entered) == (state == OK), "the then ran once, if at all");
        break;
    default:
        slots = weft_gather_outcomes(mine->derived, &n);
        see(seen, slots != NULL && n == 1 ? state_of(slots[0].state) : UNSEEN, "the slot agrees");
        race_check((state == OK) ==
                       (*seen == OK || (scene.actions[who] == GATHER && (self - items) % 3 == WEFT_SETTLED)),
                   "gather and any end as their input does");
        break;
    }
    weft_future_release(mine->derived);
}

static void see_seat(item *self, unsigned who, unsigned *seen)
{
    seat *mine = &self->seats[who];
    unsigned calls = 0;
    switch (scene.actions[who]) {
    case GATHER:
    case WAIT_FOR:
    case THEN:
    case ANY:
        see_derived(self, who, seen);
        break;
    case CALLBACK:
        calls = 1;
        race_check(mine->code == 0, "registering succeeds");
        RACE_UNTIL(counted(&mine->called) > 0);
        break;
    default:
        calls = see_registered(mine, scene.actions[who], seen);
        break;
    }
    race_check(counted(&mine->called) == calls, "the callback runs exactly once");
}

/* Which functions must have been entered; those of the two seats are looked at where they are seen. */
static void judge_functions(const item *self, unsigned effect, unsigned seen)
{
    unsigned traits = about()->traits;
    const work *own = &self->works[self->works[W_THEN].accepted ? W_THEN : W_JOB];
    if ((traits & RUNS) != 0) {
        race_check(counted(&own->entered) == !(effect == NOW || seen == ERR), "the function runs once, or never");
    }
    if ((traits & INNER) != 0 && (seen == OK || (traits & SPARES) != 0)) {
        race_check(counted(&self->works[W_JOB].entered) == 1, "the inner job runs");
    }
    if (self->works[W_SECOND].accepted && seen == OK) {
        race_check(counted(&self->works[W_JOB].entered) == 1 && counted(&self->works[W_SECOND].entered) == 1,
                   "each item of the map runs");
    }
}

static void judge(const item *self, unsigned seen)
{
    unsigned effect = effect_of(self), set = legal >> effect * 4 & 15;
    if (seen == UNSEEN && (set & (set - 1)) == 0) {
        seen = set == 1 << OK ? OK : set == 1 << ERR ? ERR : set == 1 << CAN ? CAN : set == 1 << TIM ? TIM : UNSEEN;
    }
    race_check_outcome(seen == UNSEEN ? set != 0 : (set >> seen & 1) != 0, effect_names[effect], state_names[seen]);
    if (seen != UNSEEN) {
        judge_functions(self, effect, seen);
    }
    if ((about()->traits & SPARES) != 0 && self->promise[0] != NULL && !has(FAIL)) {
        unsigned resolved = counted(&self->works[W_SEAT].valued) + counted(&self->works[W_SEAT + 1].valued) +
                            counted(&self->works[W_END].valued);
        for (unsigned who = 0; who < 2; who++) {
            resolved -= scene.actions[who] == THEN && counted(&self->works[W_SEAT + who].valued) != 0;
        }
        race_check(resolved == 1, "what is spared is not cancelled");
    }
}

/* What joins and is cancelled is quiet, before anybody helps it (I3). */
static void check_joined(const item *self)
{
    if ((about()->traits & JOINS) == 0 || !self->kept || !weft_future_cancelled(self->future)) {
        return;
    }
    race_check(self->inner == NULL || weft_future_done(self->inner), "what joins is quiet when it is CANCELLED");
    for (unsigned w = 0; w <= W_SECOND; w++) {
        race_check(counted(&self->works[w].arg_freed) == self->works[w].accepted,
                   "a map is quiet when it is CANCELLED");
    }
}

static bool arguments_freed(void)
{
    for (unsigned i = 0; i < RACE_ROOM; i++) {
        for (unsigned w = 0; w < WORKS; w++) {
            if (items[i].works[w].accepted && counted(&items[i].works[w].arg_freed) == 0) {
                return false;
            }
        }
    }
    return true;
}

static unsigned check_batch(void)
{
    for (unsigned i = 0; i < RACE_ROOM; i++) {
        check_joined(&items[i]);
    }
    end_functions();
    end_promises();
    if (has(TIME_OUT) || scene.kind == SLEEP || scene.kind == DELAYED_JOB) {
        weft_manual_clock_advance(scene.clock, 2 * RACE_HOUR);
    }
    for (unsigned who = 0; who < 2; who++) {
        if (scene.actions[who] == QUEUE) {
            read_queue(who);
        }
    }
    RACE_UNTIL(arguments_freed());
    for (unsigned i = 0; i < RACE_ROOM; i++) {
        item *self = &items[i];
        unsigned seen = UNSEEN;
        if (self->kept) {
            see_kept(self, &seen);
        }
        see_seat(self, 0, &seen);
        see_seat(self, 1, &seen);
        judge(self, seen);
        if (self->kept) {
            weft_future_release(self->future);
        }
        weft_future_release(self->inner);
        weft_future_release(self->inside);
    }
    return RACE_ROOM;
}

static const race_program program = {.name = "stress_races",
                                     .pairs = PAIRS,
                                     .batch = RACE_ROOM,
                                     .workers = 8,
                                     .choose = choose,
                                     .open = open_turn,
                                     .close = close_turn,
                                     .set_up = set_up_batch,
                                     .prepare = prepare,
                                     .act = act_one,
                                     .check = check_batch,
                                     .quiet = works_left};

int main(int count, char **arguments)
{
    return race_main(&program, count, arguments);
}
