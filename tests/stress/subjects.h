/* subjects.h: the futures that are raced for, how they are made, and who counts.
 *
 * Discipline. An item is one future with everything below it. Each racer owns a reference to it and drops that after
 * acting; where an action of the pair is to release, the main thread keeps none, so the last reference is raced for.
 * Whatever weft is given to run or to destroy is a `work`, which counts what is done to it: a function is entered, an
 * argument freed, a value freed, and in the end each number must be exact (I7, I8). A work lives in its item, so it is
 * there whoever comes late. Time is a manual clock: the n-th item of a batch is due at the n-th step. */
#ifndef WEFT_TESTS_SUBJECTS_H
#define WEFT_TESTS_SUBJECTS_H

#include "race.h"
#include "races_table.h"

/* One thing that weft is given: a function with its argument, or a value. The counts are stored with release by who
 * ends the work and read with acquire by who then looks at the rest. */
typedef struct work {
    _Atomic(bool) go;              /* by a racer or the main thread: the function may return */
    bool obeys;                    /* the function looks at requests; constant */
    bool accepted;                 /* weft took the function and will free its argument; by who handed it over */
    _Atomic(unsigned) entered;     /* by the thread that runs it */
    _Atomic(unsigned) valued;      /* weft has been given the value; likewise, or by who resolved the promise */
    _Atomic(unsigned) arg_freed;   /* by whichever thread frees */
    _Atomic(unsigned) value_freed; /* likewise */
} work;

/* The works of an item: a job's or an inner job's function, a map's second, the function of a then, what each racer
 * hands over, what the main thread resolves in the end. */
enum { W_JOB, W_SECOND, W_THEN, W_SEAT, W_END = W_SEAT + 2, WORKS = W_END + 2 };

/* One of the two racers' view of one item. */
typedef struct seat {
    weft_future *derived;        /* by its racer, for DETACH by the main thread: what is attached */
    weft_queue *left;            /* by the main thread: what DETACH ends, if it is a queue */
    weft_callback *handle;       /* by the main thread: what REMOVE takes back */
    weft_cancel_effect effect;   /* by its racer, if its action is CANCEL */
    int code;                    /* by its racer: what the call answered */
    _Atomic(unsigned) called;    /* by the coordinator: how often the callback ran */
    _Atomic(unsigned) delivered; /* by the main thread: how often the queue gave it out */
} seat;

typedef struct item {
    weft_future *future;      /* by the main thread at setup, with MAKE by its racer; both racers read it */
    weft_future *inner;       /* by whoever made the future: a job, or another input, below a derived one */
    weft_promise *promise[2]; /* likewise: the input that the pair is about, and the other one */
    weft_future *inside;      /* FLATTEN: what its outer promise is to be resolved with; NULL: it was */
    bool kept;                /* the main thread holds a reference, so the outcome can be read at the end */
    work works[WORKS];
    seat seats[2];
} item;

static item items[RACE_ROOM];

/* The pair and its executor; written by the main thread while the rival is idle. */
static struct {
    kind kind;
    action actions[2];
    weft_executor *executor;
    unsigned workers;
    weft_clock *clock;
    weft_queue *queues[2];
} scene;

static inline bool has(action wanted)
{
    return scene.actions[0] == wanted || scene.actions[1] == wanted;
}

static inline const subject *about(void)
{
    return &subjects[scene.kind];
}

/* The functions that weft is given. */

static inline void free_arg(void *argument)
{
    count(&((work *)argument)->arg_freed);
}

static inline void free_value(void *value)
{
    count(&((work *)value)->value_freed);
}

static inline void *job_run(void *argument)
{
    work *self = argument;
    count(&self->entered);
    while (!atomic_load_explicit(&self->go, memory_order_acquire) && !(self->obeys && weft_cancelled())) {
        sched_yield();
    }
    race_check(counted(&self->arg_freed) == 0, "the argument lives while the function runs");
    if (self->obeys && weft_cancelled()) {
        return weft_fail(-ECANCELED);
    }
    count(&self->valued);
    return self;
}

/* What is lent must not have been destroyed. */
static inline void check_lent(const void *value)
{
    race_check(value == NULL || counted(&((const work *)value)->value_freed) == 0, "a value that is lent lives");
}

static inline void *then_run(void *value, void *data)
{
    check_lent(value);
    void *result = job_run(data);
    check_lent(value);
    return result;
}

static inline void *then_any_run(const weft_outcome *outcome, void *data)
{
    race_check(state_of(outcome->state) != UNSEEN, "a then_any sees a done future");
    return then_run(outcome->value, data);
}

static inline int on_done(weft_future *future, void *data)
{
    race_check(weft_future_done(future), "a callback sees a done future");
    count(&((seat *)data)->called);
    return 0;
}

static inline void release_value(void *future)
{
    weft_future_release(future);
}

/* Making the futures. Where a part is refused the rest gets NULL and passes it on. */

static inline weft_future *submitted(work *w, int64_t delay)
{
    weft_submit_options options = {.delay = delay, .free_arg = free_arg, .free_value = free_value};
    weft_future *future = weft_submit_with(scene.executor, job_run, w, &options);
    w->accepted = future != NULL;
    return future;
}

static inline weft_future *promised(item *self, unsigned which)
{
    self->promise[which] = weft_promise_create(scene.executor);
    return weft_promise_future(self->promise[which]);
}

/* Resolves a promise with that work as its value, and notes whether weft took it. */
static inline int resolve(weft_promise *promise, work *w)
{
    count(&w->valued);
    int code = weft_promise_resolve(promise, w, free_value);
    if (code != 0) {
        atomic_store_explicit(&w->valued, 0, memory_order_release);
    }
    return code;
}

static inline int complete(item *self, unsigned which, work *w)
{
    if (scene.kind != FLATTEN || which != 0) {
        return resolve(self->promise[which], w);
    }
    int code = weft_promise_resolve(self->promise[0], self->inside, release_value);
    if (code == 0) {
        self->inside = NULL;
    }
    return code;
}

/* The other input stays open if the pair is about it, or if a cancel must find it, whatever the first one does. */
static inline bool other_open(void)
{
    return has(COMPLETE_OTHER) || has(FAIL_OTHER) || (has(FAIL) && has(CANCEL));
}

/* Three inputs: one that has ended, the one that the pair is about, and the other, which ends at once unless it is to
 * stay open. For an any those that have ended have failed. */
static inline weft_future *gathered(item *self, int mode)
{
    bool any = scene.kind == ANY_OF;
    weft_promise *ended = weft_promise_create(scene.executor);
    weft_future *inputs[] = {weft_promise_future(ended), promised(self, 0), promised(self, 1)};
    if (any) {
        weft_promise_reject(ended, 9);
    } else {
        weft_promise_resolve(ended, NULL, NULL);
    }
    weft_promise_destroy(ended);
    if (!other_open()) {
        if (any) {
            weft_promise_reject(self->promise[1], 9);
        } else {
            resolve(self->promise[1], &self->works[W_END + 1]);
        }
    }
    weft_future *future =
        any ? weft_any(scene.executor, inputs, 3) : weft_gather(scene.executor, inputs, 3, (weft_gather_mode)mode);
    weft_future_release(inputs[0]);
    weft_future_release(inputs[1]);
    self->inner = inputs[2];
    return future;
}

static inline weft_future *mapped(item *self, weft_gather_mode mode)
{
    void *works[] = {&self->works[W_JOB], &self->works[W_SECOND]};
    weft_submit_options each = {.free_arg = free_arg, .free_value = free_value};
    weft_future *future = weft_map_with(scene.executor, job_run, works, 2, 1, mode, &each);
    self->works[W_JOB].accepted = self->works[W_SECOND].accepted = future != NULL;
    return future;
}

static inline weft_future *followed(weft_future *input, work *w)
{
    weft_submit_options options = {.free_arg = free_arg, .free_value = free_value};
    bool sees_all = scene.kind == THEN_ANY || scene.kind == THEN_ANY_JOB;
    weft_future *future =
        sees_all ? weft_then_any_with(input, then_any_run, w, &options) : weft_then_with(input, then_run, w, &options);
    w->accepted = future != NULL;
    return future;
}

static inline weft_future *flattened(item *self)
{
    bool inner = scene.kind == FLATTEN_INNER;
    weft_promise *outer = inner ? weft_promise_create(scene.executor) : NULL;
    weft_future *input = inner ? weft_promise_future(outer) : promised(self, 0);
    self->inside = promised(self, !inner);
    if (!inner && !other_open()) {
        resolve(self->promise[1], &self->works[W_END + 1]);
    }
    weft_future *future = weft_flatten(input);
    if (inner && weft_promise_resolve(outer, self->inside, release_value) == 0) {
        self->inside = NULL;
    }
    weft_promise_destroy(outer);
    weft_future_release(input);
    return future;
}

/* A future over one input, which it alone holds; an inner job is kept, to be looked at later. */
static inline weft_future *derived(item *self, int64_t timeout)
{
    static const unsigned flags[SUBJECTS] = {[JOINED] = WEFT_JOIN,
                                             [JOINED_JOB] = WEFT_JOIN,
                                             [LEFT] = WEFT_NO_CANCEL,
                                             [LEFT_JOB] = WEFT_NO_CANCEL,
                                             [LEFT_JOINED] = WEFT_NO_CANCEL | WEFT_JOIN};
    bool of_job = (about()->traits & INNER) != 0, done = scene.kind == THEN_QUEUED || scene.kind == THEN_RUNNING;
    weft_future *input = of_job ? submitted(&self->works[W_JOB], 0) : promised(self, 0), *future;
    if (done) {
        resolve(self->promise[0], &self->works[W_END]);
    }
    switch (scene.kind) {
    case SHIELD:
        future = weft_shield(input);
        break;
    case SETTLED_JOB:
        future = weft_gather(scene.executor, &input, 1, WEFT_SETTLED);
        break;
    case ANY_JOB:
        future = weft_any(scene.executor, &input, 1);
        break;
    case THEN_PROMISE:
    case THEN_JOB:
    case THEN_QUEUED:
    case THEN_RUNNING:
    case THEN_ANY:
    case THEN_ANY_JOB:
        future = followed(input, &self->works[W_THEN]);
        break;
    default:
        future = weft_wait_for(input, timeout, flags[scene.kind]);
        break;
    }
    if (of_job) {
        self->inner = input;
    } else {
        weft_future_release(input);
    }
    return future;
}

static inline weft_future *make(item *self, int64_t timeout)
{
    switch (scene.kind) {
    case JOB:
    case OBEYING_JOB:
    case FREE_JOB:
        return submitted(&self->works[W_JOB], 0);
    case DELAYED_JOB:
        return submitted(&self->works[W_JOB], timeout);
    case PROMISE:
        return promised(self, 0);
    case FIRST:
    case ANY_OF:
        return gathered(self, WEFT_FIRST_ERROR);
    case SETTLED:
        return gathered(self, WEFT_SETTLED);
    case STRICT:
        return gathered(self, WEFT_STRICT);
    case MAP:
        return mapped(self, WEFT_FIRST_ERROR);
    case FREE_MAP:
        return mapped(self, WEFT_STRICT);
    case SLEEP:
        return weft_sleep(scene.executor, timeout, &self->works[W_JOB]);
    case FLATTEN:
    case FLATTEN_INNER:
        return flattened(self);
    default:
        return derived(self, timeout);
    }
}

/* What the main thread attaches beforehand, for a racer to end. */
static inline void attach_before(item *self, unsigned who)
{
    seat *mine = &self->seats[who];
    if (scene.actions[who] == REMOVE) {
        mine->code = weft_on_done(self->future, on_done, mine, &mine->handle);
        return;
    }
    switch ((self - items) % 4) {
    case 0:
        mine->derived = weft_wait_for(self->future, RACE_HOUR, 0);
        break;
    case 1:
        mine->derived = weft_any(scene.executor, &self->future, 1);
        break;
    case 2:
        mine->derived = weft_gather(scene.executor, &self->future, 1, WEFT_FIRST_ERROR);
        break;
    default:
        mine->left = weft_as_completed(&self->future, 1, WEFT_FOREVER);
        break;
    }
    race_check(mine->derived != NULL || mine->left != NULL, "attaching before succeeds");
}

/* Which functions need no help: those of futures that end by themselves, and a then's behind what the pair is about. */
static inline bool runs_freely(unsigned which)
{
    switch (which) {
    case W_JOB:
        return (about()->traits & TOGETHER) != 0 || scene.kind == DELAYED_JOB;
    case W_SECOND:
        return scene.kind == FREE_MAP;
    case W_THEN:
        return scene.kind != THEN_RUNNING;
    default:
        return true;
    }
}

static inline void set_up(unsigned i)
{
    item *self = &items[i];
    memset(self, 0, sizeof *self);
    for (unsigned w = 0; w < WORKS; w++) {
        atomic_store_explicit(&self->works[w].go, runs_freely(w), memory_order_relaxed);
    }
    self->works[W_JOB].obeys = scene.kind == OBEYING_JOB;
    self->kept = !has(RELEASE) && !has(MAKE);
    if (has(MAKE)) {
        return;
    }
    self->future = make(self, has(TIME_OUT) ? (int64_t)(i + 1) * RACE_STEP : RACE_HOUR);
    race_require(self->future != NULL);
    weft_future_retain(self->future);
    if (self->kept) {
        weft_future_retain(self->future);
    }
    for (unsigned who = 0; who < 2; who++) {
        if (scene.actions[who] == REMOVE || scene.actions[who] == DETACH) {
            attach_before(self, who);
        }
    }
}

#endif
