/* actions.h: what the two racers do to an item, and what the main thread does with it in the end.
 *
 * Discipline. act is called by both racers at once, each for its own seat; each drops its reference to the future
 * there. The rest is the main thread's, while the rival stands still. */
#ifndef WEFT_TESTS_ACTIONS_H
#define WEFT_TESTS_ACTIONS_H

#include "subjects.h"

/* An untimed wait only where the other racer ends the future; else one that looks for as long as a race lasts. */
static inline int wait_or_look(item *self, bool ends)
{
    void *value = NULL;
    if (!ends) {
        int code = weft_future_wait(self->future, 5000);
        return code == 0 || code == -ETIMEDOUT ? -EINPROGRESS : -EPROTO;
    }
    int code = weft_future_get(self->future, &value);
    check_lent(code == 0 ? value : NULL);
    return code;
}

static inline weft_cancel_effect cancel(weft_future *future)
{
    weft_cancel_effect effect = weft_cancel(future);
    race_check(effect != WEFT_CANCEL_DONE || weft_future_cancelled(future), "cancelled on return");
    /* An outcome that passes through a then is fixed before its free_arg runs, and the then is done afterwards. */
    race_check(effect != WEFT_CANCEL_TOO_LATE || scene.kind >= THEN_PROMISE || weft_future_done(future),
               "too late means done");
    return effect;
}

static inline weft_future *follow(item *self, unsigned who)
{
    weft_submit_options options = {.free_arg = free_arg, .free_value = free_value};
    work *w = &self->works[W_SEAT + who];
    weft_future *future = weft_then_with(self->future, then_run, w, &options);
    w->accepted = future != NULL;
    return future;
}

static inline void let_go(item *self)
{
    for (unsigned w = 0; w <= W_THEN; w++) {
        atomic_store_explicit(&self->works[w].go, true, memory_order_release);
    }
}

static inline int act_complete(item *self, unsigned who, unsigned which)
{
    let_go(self);
    return self->promise[which] != NULL ? complete(self, which, &self->works[W_SEAT + who]) : 0;
}

static inline void act_detach(seat *mine)
{
    if (mine->left != NULL) {
        weft_queue_destroy(mine->left);
    }
    weft_future_release(mine->derived);
    mine->derived = NULL;
}

static inline bool attaches(action one)
{
    return one == GATHER || one == WAIT_FOR || one == THEN || one == ANY;
}

/* One action; `ends`: another one makes sure that the future ends. */
static inline void act(item *self, unsigned who, bool ends)
{
    seat *mine = &self->seats[who];
    switch (scene.actions[who]) {
    case COMPLETE:
        mine->code = act_complete(self, who, 0);
        break;
    case FAIL:
        mine->code = weft_promise_reject(self->promise[0], 7);
        break;
    case COMPLETE_OTHER:
        mine->code = complete(self, 1, &self->works[W_SEAT + who]);
        break;
    case FAIL_OTHER:
        mine->code = weft_promise_reject(self->promise[1], 8);
        break;
    case TIME_OUT:
        weft_manual_clock_advance(scene.clock, RACE_STEP);
        break;
    case CANCEL:
        mine->effect = cancel(self->future);
        break;
    case GATHER:
        mine->derived = weft_gather(scene.executor, &self->future, 1, (weft_gather_mode)((self - items) % 3));
        break;
    case WAIT_FOR:
        mine->derived = weft_wait_for(self->future, WEFT_FOREVER, 0);
        break;
    case THEN:
        mine->derived = follow(self, who);
        break;
    case ANY:
        mine->derived = weft_any(scene.executor, &self->future, 1);
        break;
    case CALLBACK:
        mine->code = weft_on_done(self->future, on_done, mine, NULL);
        break;
    case QUEUE:
        mine->code = weft_queue_add(scene.queues[who], self->future, mine);
        break;
    case REMOVE:
        mine->code = mine->code == 0 ? weft_callback_remove(mine->handle) : 0;
        race_check(counted(&mine->called) == (mine->code == -EALREADY), "a callback that has run has run");
        break;
    case DETACH:
        act_detach(mine);
        break;
    case WAIT:
        mine->code = wait_or_look(self, ends);
        break;
    case MAKE:
        self->future = make(self, RACE_HOUR);
        self->kept = self->future != NULL;
        return;
    default:
        break;
    }
    if (mine->derived == NULL && attaches(scene.actions[who])) {
        mine->code = errno;
    }
    if (!has(MAKE)) {
        weft_future_release(self->future);
    }
}

/* What the main thread does in the end. */

/* Every observer sees the same end (I1). */
static inline void see(unsigned *seen, unsigned state, const char *what)
{
    race_check(state != UNSEEN, what);
    race_check(*seen == UNSEEN || *seen == state, what);
    *seen = state;
}

/* What a racer has seen that attached no future of its own; how often his callback is to have run. */
static inline unsigned see_registered(const seat *mine, action did, unsigned *seen)
{
    switch (did) {
    case REMOVE:
        race_check(mine->code == 0 || mine->code == -EALREADY, "the callback is taken back, or has run");
        return mine->code == -EALREADY;
    case QUEUE:
        race_check(mine->code == 0, "adding succeeds");
        race_check(counted(&mine->delivered) == 1, "the queue gives it out once");
        return 0;
    case WAIT:
        if (mine->code != -EINPROGRESS) {
            see(seen, state_of_code(mine->code), "the wait agrees");
        }
        return 0;
    default:
        return 0;
    }
}

/* The answer of the one cancel, or of the one of two that was first; NONE if nobody cancelled. */
static inline unsigned effect_of(const item *self)
{
    static const unsigned effects[] = {NOW, ASKED, AGAIN, LATE};
    unsigned left = scene.actions[0] == CANCEL ? effects[self->seats[0].effect] : NONE;
    unsigned right = scene.actions[1] == CANCEL ? effects[self->seats[1].effect] : NONE;
    if (left == NONE || right == NONE) {
        return left == NONE ? right : left;
    }
    bool left_first = left == NOW || left == ASKED, right_first = right == NOW || right == ASKED;
    race_check(!(left_first && right_first), "only one cancel is the first");
    race_check(left_first || right_first || (left == LATE && right == LATE), "one cancel is the first");
    return right_first ? right : left;
}

/* Gives out what the queue of that racer holds, all of it. */
static inline void read_queue(unsigned who)
{
    void *tag = NULL;
    weft_future *future;
    while ((future = weft_queue_next(scene.queues[who], RACE_HOUR, &tag)) != NULL) {
        race_check(weft_future_done(future), "what a queue gives out is done");
        count(&((seat *)tag)->delivered);
        weft_future_release(future);
    }
    race_check(errno == ENODATA, "the queue ends");
}

/* For the pairs that need them. */
static inline void open_queues(void)
{
    for (unsigned who = 0; who < 2; who++) {
        scene.queues[who] = scene.actions[who] == QUEUE ? weft_queue_create(scene.executor) : NULL;
        race_require(scene.actions[who] != QUEUE || scene.queues[who] != NULL);
    }
}

static inline void close_queues(void)
{
    weft_queue_destroy(scene.queues[0]);
    weft_queue_destroy(scene.queues[1]);
}

/* Lets everything of the batch end that the pair left open: first the functions, then the promises. */
static inline void end_functions(void)
{
    for (unsigned i = 0; i < race.program->batch; i++) {
        let_go(&items[i]);
    }
}

static inline void end_promises(void)
{
    for (unsigned i = 0; i < race.program->batch; i++) {
        item *self = &items[i];
        for (unsigned which = 0; which < 2; which++) {
            if (self->promise[which] != NULL && counted(&self->works[W_END + which].valued) == 0) {
                complete(self, which, &self->works[W_END + which]);
            }
            weft_promise_destroy(self->promise[which]);
        }
    }
}

/* Each function once or never, each argument and each value exactly once; else which of them is not over. */
static inline const char *works_left(void)
{
    for (unsigned i = 0; i < race.program->batch; i++) {
        for (unsigned w = 0; w < WORKS; w++) {
            const work *one = &items[i].works[w];
            if (counted(&one->arg_freed) != one->accepted) {
                return "free_arg runs exactly once";
            }
            if (counted(&one->value_freed) != counted(&one->valued)) {
                return "free_value runs exactly once";
            }
            if (counted(&one->entered) > one->accepted) {
                return "a function is entered at most once";
            }
        }
    }
    return NULL;
}

#endif
