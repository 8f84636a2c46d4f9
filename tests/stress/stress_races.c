/* stress_races.c: two threads do two things to one future at once, a great many times; every outcome must be legal.
 *
 * In the style of OpenJDK's jcstress: each pair of actions has its table of legal outcomes (races_table.h), and a round
 * that ends otherwise fails the pair. Besides, whatever was seen of a future must agree (I1), the answer of weft_cancel
 * must fit the outcome (I5), and functions, callbacks, free_arg and free_value must have run exactly once or, where that
 * is the rule, never (I7, I8, I9).
 *
 * Discipline. The main thread sets up a batch of futures, walks through it in lockstep with the rival thread, each doing
 * its own action, and then ends and checks every future alone. Each racer owns a reference to each future and drops it
 * after acting; where an action of the pair is to release, the main thread keeps none, so the last reference is raced
 * for. Time is a manual clock: the n-th future of a batch is due at the n-th step of a millisecond.
 *
 * Usage: stress_races [seconds [workers [seed]]]. A hang ends the program with the name of the pair. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/testing.h>
#include <weft/weft.h>

#include "races_table.h"

#define STEP ((int64_t)1000000)           /* between the deadlines of a batch */
#define TICK ((int64_t)65536)             /* the timer tick: an expiry comes at most this late */
#define HOUR ((int64_t)3600 * 1000000000) /* never, in a batch */

enum { BATCH = 64, HANG_SECONDS = 120 };

/* One of the two racers' view of one future. */
typedef struct seat {
    weft_future *derived;      /* by its racer: what it attached */
    weft_cancel_effect effect; /* by its racer, if its action is CANCEL */
    int code;                  /* by its racer: what the call answered */
    _Atomic(unsigned) called;  /* by the coordinator: how often the callback ran */
} seat;

typedef struct item {
    weft_future *future;      /* by the main thread at setup; both racers read it */
    weft_future *inner;       /* by the main thread: the job, or the other input, below a derived future */
    weft_promise *promise[2]; /* by the main thread: the input that the pair is about, and the other one of a gather */
    bool kept;                /* the main thread holds a reference, so the outcome can be read at the end */
    _Atomic(bool) go;         /* by a racer or the main thread: the job may end */
    _Atomic(unsigned) ran;    /* by the worker */
    _Atomic(unsigned) valued; /* by the worker: it returned a value */
    seat seats[2];
} item;

static item items[BATCH];

/* The pair that is being run; written by the main thread while the rival is idle. */
static struct {
    kind kind;
    action actions[2];
    uint32_t legal;
    char name[96];
    weft_executor *executor;
    weft_clock *clock;
    uint64_t jobs, values; /* expected calls of free_arg and free_value */
    const char *failure;   /* the first one; NULL: none */
} pair;

static _Atomic(uint64_t) args_freed, values_freed;     /* by whichever thread frees; compared by the main thread */
static _Atomic(unsigned) position[2];                  /* by each racer: how far it has come; read by the other */
static _Atomic(unsigned) batches_begun, batches_ended; /* by the main thread, by the rival; of this pair */
static _Atomic(bool) over;                             /* by the main thread */
static uint32_t random_state[2];                       /* each racer's own */

static bool check(bool holds, const char *what)
{
    if (!holds && pair.failure == NULL) {
        pair.failure = what;
    }
    return holds;
}

static void require(bool made)
{
    if (!made) {
        perror("stress_races: setting up");
        exit(1);
    }
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static bool has(action wanted)
{
    return pair.actions[0] == wanted || pair.actions[1] == wanted;
}

/* What the pair is done to. */

static bool obeys(void)
{
    return pair.kind == OBEYING_JOB;
}

static void *job_run(void *argument)
{
    item *self = argument;
    atomic_fetch_add_explicit(&self->ran, 1, memory_order_relaxed);
    while (!atomic_load_explicit(&self->go, memory_order_acquire) && !(obeys() && weft_cancelled())) {
        sched_yield();
    }
    if (obeys() && weft_cancelled()) {
        return weft_fail(-ECANCELED);
    }
    atomic_fetch_add_explicit(&self->valued, 1, memory_order_relaxed);
    return self;
}

/* Release, so that the main thread, which waits for the count, sees what the job did before. */
static void count_arg(void *argument)
{
    (void)argument;
    atomic_fetch_add_explicit(&args_freed, 1, memory_order_release);
}

static void count_value(void *value)
{
    (void)value;
    atomic_fetch_add_explicit(&values_freed, 1, memory_order_relaxed);
}

static weft_future *submit(item *self)
{
    weft_submit_options options = {.free_arg = count_arg, .free_value = count_value};
    pair.jobs++;
    return weft_submit_with(pair.executor, job_run, self, &options);
}

static weft_future *promised(item *self, unsigned which)
{
    self->promise[which] = weft_promise_create(pair.executor);
    return weft_promise_future(self->promise[which]);
}

/* Three inputs: one that has ended, the one that the pair is about, and the other, which ends at once unless the pair is
 * about it as well, or needs one that stays open: a cancel must reach it, whatever the first one does. */
static weft_future *gathered(item *self, weft_gather_mode mode)
{
    bool other_open = has(COMPLETE_OTHER) || has(FAIL_OTHER) || (has(FAIL) && has(CANCEL));
    weft_promise *ended = weft_promise_create(pair.executor);
    weft_future *inputs[] = {weft_promise_future(ended), promised(self, 0), promised(self, 1)};
    weft_promise_resolve(ended, NULL, NULL);
    weft_promise_destroy(ended);
    if (!other_open) {
        weft_promise_resolve(self->promise[1], NULL, NULL);
    }
    weft_future *future = weft_gather(pair.executor, inputs, 3, mode);
    weft_future_release(inputs[0]);
    weft_future_release(inputs[1]);
    self->inner = inputs[2];
    return future;
}

/* A derived future of one input, which it alone holds; an inner job is kept, to be looked at later. */
static weft_future *derived(item *self, int64_t timeout, unsigned flags)
{
    bool of_job = pair.kind == TIMED_JOB || pair.kind == JOINED_JOB || pair.kind == SETTLED_JOB;
    weft_future *input = of_job ? submit(self) : promised(self, 0);
    weft_future *future = pair.kind == SHIELD        ? weft_shield(input)
                          : pair.kind == SETTLED_JOB ? weft_gather(pair.executor, &input, 1, WEFT_SETTLED)
                                                     : weft_wait_for(input, timeout, flags);
    if (of_job) {
        self->inner = input;
    } else {
        weft_future_release(input);
    }
    return future;
}

static weft_future *make(item *self, int64_t timeout)
{
    switch (pair.kind) {
    case JOB:
    case OBEYING_JOB:
    case FREE_JOB:
        return submit(self);
    case PROMISE:
        return promised(self, 0);
    case FIRST:
        return gathered(self, WEFT_FIRST_ERROR);
    case SETTLED:
        return gathered(self, WEFT_SETTLED);
    case STRICT:
        return gathered(self, WEFT_STRICT);
    case SLEEP:
        return weft_sleep(pair.executor, timeout, self);
    case JOINED:
    case JOINED_JOB:
        return derived(self, timeout, WEFT_JOIN);
    default:
        return derived(self, timeout, 0);
    }
}

static void set_up(unsigned i)
{
    item *self = &items[i];
    memset(self, 0, sizeof *self);
    atomic_store_explicit(&self->go, pair.kind == FREE_JOB, memory_order_relaxed);
    self->future = make(self, has(TIME_OUT) ? (int64_t)(i + 1) * STEP : HOUR);
    require(self->future != NULL);
    weft_future_retain(self->future);
    self->kept = !has(RELEASE);
    if (self->kept) {
        weft_future_retain(self->future);
    }
}

/* What the pair does. */

static int on_done(weft_future *future, void *data)
{
    seat *self = data;
    atomic_fetch_add_explicit(&self->called, weft_future_done(future) ? 1 : 1000, memory_order_release);
    return 0;
}

/* An untimed wait only where the other racer ends the future; else one that looks for as long as a race lasts. */
static int wait_or_look(item *self, action other)
{
    const subject *about = &subjects[pair.kind];
    void *value = NULL;
    bool ends =
        other == about->ending || (other == TIME_OUT && pair.kind == TIMED) || (other == CANCEL && about->cancel_ends);
    if (!ends) {
        int code = weft_future_wait(self->future, 20000);
        return code == 0 || code == -ETIMEDOUT ? -EINPROGRESS : -EPROTO;
    }
    return weft_future_get(self->future, &value);
}

static void act(item *self, unsigned who)
{
    seat *mine = &self->seats[who];
    switch (pair.actions[who]) {
    case COMPLETE:
        atomic_store_explicit(&self->go, true, memory_order_release);
        mine->code = self->promise[0] != NULL ? weft_promise_resolve(self->promise[0], self, count_value) : 0;
        break;
    case FAIL:
        mine->code = weft_promise_reject(self->promise[0], 7);
        break;
    case COMPLETE_OTHER:
        mine->code = weft_promise_resolve(self->promise[1], self, count_value);
        break;
    case FAIL_OTHER:
        mine->code = weft_promise_reject(self->promise[1], 8);
        break;
    case TIME_OUT:
        weft_manual_clock_advance(pair.clock, STEP);
        break;
    case CANCEL:
        mine->effect = weft_cancel(self->future);
        break;
    case GATHER:
        mine->derived = weft_gather(pair.executor, &self->future, 1, (weft_gather_mode)((self - items) % 3));
        break;
    case WAIT_FOR:
        mine->derived = weft_wait_for(self->future, WEFT_FOREVER, 0);
        break;
    case CALLBACK:
        mine->code = weft_on_done(self->future, on_done, mine, NULL);
        break;
    case WAIT:
        mine->code = wait_or_look(self, pair.actions[1 - who]);
        break;
    default:
        break;
    }
    weft_future_release(self->future);
}

/* Both racers come to each future together; then one of them dawdles a little, at random. The position is stored with
 * release and read with acquire, so what the main thread set up is there. */
static void meet(unsigned i, unsigned who)
{
    atomic_store_explicit(&position[who], i + 1, memory_order_release);
    for (unsigned spins = 1; atomic_load_explicit(&position[1 - who], memory_order_acquire) < i + 1; spins++) {
        if (spins % 512 == 0) {
            sched_yield();
        }
    }
    unsigned dawdle = next_random(&random_state[who]) % 256;
    for (unsigned j = 0; dawdle > 128 && j < dawdle; j++) {
        atomic_load_explicit(&position[who], memory_order_relaxed);
    }
}

static void walk(unsigned who)
{
    for (unsigned i = 0; i < BATCH; i++) {
        if (who == 0 && pair.kind == FREE_JOB) {
            set_up(i);
        }
        meet(i, who);
        act(&items[i], who);
    }
}

/* Lives as long as a pair, so that what it keeps of the executor goes with it. */
static void *rival(void *unused)
{
    (void)unused;
    for (unsigned batch = 1;; batch++) {
        while (atomic_load_explicit(&batches_begun, memory_order_acquire) < batch) {
            if (atomic_load_explicit(&over, memory_order_acquire)) {
                return NULL;
            }
            sched_yield();
        }
        walk(1);
        atomic_store_explicit(&batches_ended, batch, memory_order_release);
    }
}

/* How it ended. */

/* Every observer sees the same end (I1). */
static void see(unsigned *seen, unsigned state, const char *what)
{
    check(state != UNSEEN, what);
    check(*seen == UNSEEN || *seen == state, what);
    *seen = state;
}

static void see_kept(item *self, unsigned *seen)
{
    weft_outcome outcome;
    check(weft_future_wait(self->future, WEFT_FOREVER) == 0, "the future ends");
    check(weft_future_outcome(self->future, &outcome) == 0, "the outcome can be read");
    see(seen, state_of(outcome.state), "the outcome agrees with what others saw");
    if (outcome.state == WEFT_CANCELLED) {
        check(outcome.reason == WEFT_REASON_USER, "cancelled by the user's cancel");
    }
    if (outcome.state == WEFT_FAILED && has(FAIL_OTHER)) {
        check(outcome.error == (outcome.index == 2 ? 8 : 7), "the index fits the error");
        check(outcome.index == 1 || outcome.index == 2, "the index is one of those that failed");
    }
}

static void see_derived(seat *mine, action made_by, unsigned *seen)
{
    size_t n = 0;
    if (!check(mine->derived != NULL, "attaching succeeds")) {
        return;
    }
    check(weft_future_wait(mine->derived, WEFT_FOREVER) == 0, "the derived future ends");
    if (made_by == WAIT_FOR) {
        see(seen, state_of(weft_future_state(mine->derived)), "the wait_for mirrors");
    } else {
        const weft_outcome *slots = weft_gather_outcomes(mine->derived, &n);
        see(seen, slots != NULL && n == 1 ? state_of(slots[0].state) : UNSEEN, "the slot of the gather agrees");
    }
    weft_future_release(mine->derived);
}

static void see_seat(item *self, unsigned who, unsigned *seen)
{
    seat *mine = &self->seats[who];
    switch (pair.actions[who]) {
    case GATHER:
    case WAIT_FOR:
        see_derived(mine, pair.actions[who], seen);
        break;
    case CALLBACK:
        check(mine->code == 0, "registering succeeds");
        while (atomic_load_explicit(&mine->called, memory_order_acquire) == 0) {
            sched_yield();
        }
        break;
    case WAIT:
        if (mine->code != -EINPROGRESS) {
            see(seen, state_of_code(mine->code), "the wait agrees");
        }
        break;
    default:
        break;
    }
}

/* The answer of the one cancel, or of the one of two that was first; NONE if nobody cancelled. */
static unsigned effect_of(const item *self)
{
    static const unsigned effects[] = {NOW, ASKED, AGAIN, LATE};
    unsigned left = pair.actions[0] == CANCEL ? effects[self->seats[0].effect] : NONE;
    unsigned right = pair.actions[1] == CANCEL ? effects[self->seats[1].effect] : NONE;
    if (left == NONE || right == NONE) {
        return left == NONE ? right : left;
    }
    bool left_first = left == NOW || left == ASKED, right_first = right == NOW || right == ASKED;
    check(!(left_first && right_first), "only one cancel is the first");
    check(left_first || right_first || (left == LATE && right == LATE), "one cancel is the first");
    return right_first ? right : left;
}

static void judge(item *self, unsigned seen)
{
    unsigned effect = effect_of(self);
    uint32_t legal = pair.legal;
    for (unsigned state = OK; state <= TIM; state++) {
        if (seen == UNSEEN && (legal & IS(effect, state)) != 0) {
            seen = state;
        }
    }
    check(seen != UNSEEN && (legal & IS(effect, seen)) != 0, "the outcome is in the table");
    if (pair.kind == JOB || pair.kind == OBEYING_JOB || pair.kind == FREE_JOB) {
        check(atomic_load_explicit(&self->ran, memory_order_relaxed) == (effect == NOW ? 0 : 1),
              "the function ran once, or never if cancelled before");
    }
    for (unsigned who = 0; who < 2; who++) {
        check(atomic_load_explicit(&self->seats[who].called, memory_order_acquire) == (pair.actions[who] == CALLBACK),
              "the callback ran once");
    }
}

/* Lets everything end that the pair left open, and counts the values that weft took over. */
static void end_all(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        item *self = &items[i];
        for (unsigned who = 0; who < 2; who++) {
            bool resolves = pair.actions[who] == COMPLETE || pair.actions[who] == COMPLETE_OTHER;
            pair.values += resolves && self->promise[0] != NULL && self->seats[who].code == 0;
        }
        if (self->kept && self->inner != NULL && pair.kind >= JOINED && weft_future_cancelled(self->future)) {
            check(weft_future_done(self->inner), "what joins is quiet when it is CANCELLED");
        }
        atomic_store_explicit(&self->go, true, memory_order_release);
        for (unsigned which = 0; which < 2; which++) {
            if (self->promise[which] != NULL) {
                pair.values += weft_promise_resolve(self->promise[which], self, count_value) == 0;
                weft_promise_destroy(self->promise[which]);
            }
        }
    }
    if (pair.kind == SLEEP) {
        weft_manual_clock_advance(pair.clock, 2 * HOUR);
    }
    while (atomic_load_explicit(&args_freed, memory_order_acquire) < pair.jobs) {
        sched_yield();
    }
}

static void check_all(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        item *self = &items[i];
        unsigned seen = UNSEEN;
        if (self->kept) {
            see_kept(self, &seen);
            weft_future_release(self->future);
        }
        see_seat(self, 0, &seen);
        see_seat(self, 1, &seen);
        judge(self, seen);
        pair.values += atomic_load_explicit(&self->valued, memory_order_relaxed);
        weft_future_release(self->inner);
    }
}

static void run_batch(void)
{
    for (unsigned i = 0; pair.kind != FREE_JOB && i < BATCH; i++) {
        set_up(i);
    }
    if (has(TIME_OUT)) {
        weft_manual_clock_advance(pair.clock, 2 * TICK);
    }
    atomic_store_explicit(&position[0], 0, memory_order_relaxed);
    atomic_store_explicit(&position[1], 0, memory_order_relaxed);
    unsigned batch = atomic_load_explicit(&batches_begun, memory_order_relaxed) + 1;
    atomic_store_explicit(&batches_begun, batch, memory_order_release);
    walk(0);
    while (atomic_load_explicit(&batches_ended, memory_order_acquire) < batch) {
        sched_yield();
    }
    end_all();
    check_all();
}

/* With a rival, for as long as the budget lasts; returns how many rounds that were. */
static unsigned run_batches(int64_t budget)
{
    unsigned rounds = 0;
    pthread_t thread;
    int64_t end = weft_now() + budget;
    atomic_store_explicit(&batches_begun, 0, memory_order_relaxed);
    atomic_store_explicit(&batches_ended, 0, memory_order_relaxed);
    atomic_store_explicit(&over, false, memory_order_relaxed);
    require(pthread_create(&thread, NULL, rival, NULL) == 0);
    do {
        run_batch();
        rounds += BATCH;
    } while (weft_now() < end && pair.failure == NULL);
    atomic_store_explicit(&over, true, memory_order_release);
    pthread_join(thread, NULL);
    return rounds;
}

static void report_hang(int number)
{
    static const char before[] = "HANG: ";
    (void)number;
    if (write(STDOUT_FILENO, before, sizeof before - 1) < 0 || write(STDOUT_FILENO, pair.name, strlen(pair.name)) < 0 ||
        write(STDOUT_FILENO, "\n", 1) < 0) {
        _exit(2);
    }
    _exit(1);
}

/* Nothing may be left when the executor is gone. */
static void check_counters(const weft_counters *before)
{
    weft_counters after;
    weft_counters_read(&after);
    check(after.futures == before->futures, "no future is left");
    check(after.timers == before->timers, "no timer is left");
    check(after.callbacks == before->callbacks, "no callback is left");
    check(after.tokens == before->tokens, "no token is left");
    check(after.threads == before->threads, "no thread is left");
    check(after.bytes == before->bytes, "no memory is left");
    check(atomic_load_explicit(&args_freed, memory_order_acquire) == pair.jobs, "free_arg ran once a job");
    check(atomic_load_explicit(&values_freed, memory_order_acquire) == pair.values, "free_value ran once a value");
}

static bool run_pair(kind about, action left, action right, uint32_t legal, int64_t budget, unsigned workers)
{
    weft_counters before;
    memset(&pair, 0, sizeof pair);
    pair.kind = about;
    pair.actions[0] = left;
    pair.actions[1] = right;
    pair.legal = legal;
    snprintf(pair.name, sizeof pair.name, "%s: %s, %s", subjects[about].name, action_names[left], action_names[right]);
    atomic_store_explicit(&args_freed, 0, memory_order_relaxed);
    atomic_store_explicit(&values_freed, 0, memory_order_relaxed);
    alarm(HANG_SECONDS + (unsigned)(budget / 1000000000));
    weft_counters_read(&before);
    pair.clock = weft_manual_clock_create();
    weft_executor_options options = {.workers = workers, .clock = pair.clock};
    pair.executor = weft_executor_create(&options);
    require(pair.executor != NULL);
    unsigned rounds = run_batches(budget);
    weft_executor_destroy(pair.executor);
    weft_clock_destroy(pair.clock);
    check_counters(&before);
    alarm(0);
    printf("%-48s %8u rounds  %s%s\n", pair.name, rounds,
           pair.failure == NULL ? "ok" : "FAILED: ", pair.failure == NULL ? "" : pair.failure);
    fflush(stdout);
    return pair.failure == NULL;
}

int main(int count, char **arguments)
{
    enum { SHAPES = sizeof shapes / sizeof shapes[0], EXTRAS = sizeof extras / sizeof extras[0] };
    double seconds = count > 1 ? strtod(arguments[1], NULL) : 10;
    unsigned workers = count > 2 ? (unsigned)strtoul(arguments[2], NULL, 10) : 8;
    uint32_t seed = count > 3 ? (uint32_t)strtoul(arguments[3], NULL, 10) : (uint32_t)weft_now() ^ (uint32_t)getpid();
    int64_t budget = (int64_t)(seconds * 1e9 / (SUBJECTS * SHAPES + EXTRAS));
    unsigned passed = 0, failed = 0;
    random_state[0] = seed | 1;
    random_state[1] = (seed * 2654435761U) | 1;
    printf("seed %u, %u workers\n", seed, workers);
    signal(SIGALRM, report_hang);
    for (unsigned i = 0; i < SUBJECTS; i++) {
        for (unsigned j = 0; j < SHAPES; j++) {
            const subject *about = &subjects[i];
            action left = shapes[j].left == ENDING ? about->ending : shapes[j].left;
            bool ok = run_pair((kind)i, left, shapes[j].right, legal_of(about, &shapes[j]), budget, workers);
            passed += ok;
            failed += !ok;
        }
    }
    for (unsigned i = 0; i < EXTRAS; i++) {
        const extra *row = &extras[i];
        bool ok = run_pair(row->kind, row->left, row->right, row->legal, budget, workers);
        passed += ok;
        failed += !ok;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
