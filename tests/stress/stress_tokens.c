/* stress_tokens.c: two threads do two things to one token at once; every outcome must be legal.
 *
 * The pairs and their outcomes stand in tokens_table.h. Besides, what the token is told must reach what hangs on it,
 * and nothing else may: each job with a token that was set ends as cancelled without anybody's help, with the reason
 * that is due; each hook is called exactly once, or never, as weft_callback_remove then says; a token below is set if
 * and only if it must be; the answers of close and reschedule agree with weft_token_expired.
 *
 * Discipline. Each racer owns a reference to the token and drops it after acting. The main thread has one as well,
 * unless an action of the pair is to release; then there is no job that would hold one either, so the last reference is
 * raced for. A job's own token is made right before the meeting, since only a running job has one.
 *
 * A shutdown is raced on an executor for each batch. What is submitted, made or registered then may be refused with
 * ESHUTDOWN; what was accepted is over when shutdown answers 0, and a hook was called or is taken back, as ever.
 *
 * Usage: stress_tokens [seconds [workers [seed [text]]]]. */
#include "race.h"
#include "tokens_table.h"

/* A job that obeys, with all that is counted of it. */
typedef struct passenger {
    weft_future *future;         /* by who submitted it */
    _Atomic(bool) go;            /* by a racer or the main thread: it may end */
    _Atomic(weft_token *) token; /* CURRENT: its own token, with the references; by the job */
    bool wanted;                 /* CURRENT: it shall ask for its token; constant */
    _Atomic(unsigned) entered, arg_freed;
} passenger;

typedef struct hook {
    weft_callback *handle;      /* by who registered it */
    bool refused;               /* likewise */
    _Atomic(unsigned) called;   /* by the coordinator: how often it has begun */
    _Atomic(unsigned) returned; /* likewise: how often it is over */
} hook;

typedef struct seat {
    int code;                  /* by its racer: what the call answered */
    weft_cancel_effect effect; /* by its racer, of CANCEL_JOB */
    passenger job;             /* by its racer, of SUBMIT */
    weft_token *child;         /* by its racer, of CHILD */
    hook hook;                 /* by its racer; of UNHOOK by the main thread */
} seat;

typedef struct item {
    weft_token *token, *above; /* by the main thread; both racers read them */
    passenger rider;           /* submitted before with the token, or the job whose own it is */
    hook watch;                /* registered before, where nobody else keeps the token */
    seat seats[2];
} item;

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

static void choose(unsigned number)
{
    unsigned left = number;
    for (scene.row = rows;; scene.row++) {
        for (unsigned k = 0; k < TOKENS; k++) {
            if ((scene.row->kinds & 1U << k) != 0 && left-- == 0) {
                scene.kind = (kind)k;
                race_name(token_names[k], action_names[scene.row->left], action_names[scene.row->right]);
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

/* What weft is given. */

static void free_arg(void *argument)
{
    count(&((passenger *)argument)->arg_freed);
}

/* Three references: for the racers and for the main thread, which has no use for its own if the pair releases. */
static void *ride(void *argument)
{
    passenger *self = argument;
    count(&self->entered);
    if (self->wanted) {
        weft_token *token = weft_current_token();
        weft_token_retain(token);
        weft_token_retain(token);
        if (!has(RELEASE)) {
            weft_token_retain(token);
        }
        atomic_store_explicit(&self->token, token, memory_order_release);
    }
    while (!atomic_load_explicit(&self->go, memory_order_acquire) && !weft_cancelled()) {
        sched_yield();
    }
    return weft_cancelled() ? weft_fail(-ECANCELED) : NULL;
}

static void hooked(void *data)
{
    hook *self = data;
    count(&self->called);
    count(&self->returned);
}

static void board(passenger *self, weft_token *token)
{
    weft_submit_options options = {.token = token, .free_arg = free_arg};
    self->future = weft_submit_with(scene.executor, ride, self, &options);
    race_check(self->future != NULL || (has(SHUT_DOWN) && errno == ESHUTDOWN), "a submit with a token is accepted");
}

static void watch(hook *self, weft_token *token)
{
    int code = weft_token_on_cancel(token, hooked, self, &self->handle);
    race_check(code == 0 || (has(SHUT_DOWN) && code == -ESHUTDOWN), "a hook is registered");
    self->refused = code != 0;
}

/* Before the meeting. */

static void make_token(item *self, unsigned i)
{
    int64_t timeout = has(EXPIRE) ? (int64_t)(i + 1) * RACE_STEP : scene.kind == PLAIN ? WEFT_FOREVER : RACE_HOUR;
    if (scene.kind == BELOW || scene.kind == SHIELDED) {
        self->above = weft_token_create(scene.executor, NULL, WEFT_FOREVER, 0);
        race_require(self->above != NULL);
    }
    self->token = weft_token_create(scene.executor, self->above, timeout, scene.kind == SHIELDED ? WEFT_SHIELDED : 0);
    race_require(self->token != NULL);
    weft_token_retain(self->token);
    if (!has(RELEASE)) {
        weft_token_retain(self->token);
        board(&self->rider, self->token);
    }
}

/* What the pair before left running would keep this one from a worker, if nothing stops it. */
static void borrow_token(item *self)
{
    bool stopped = has(CANCEL) || has(CANCEL_JOB);
    if (self > items && !stopped) {
        atomic_store_explicit(&self[-1].rider.go, true, memory_order_release);
    }
    for (unsigned who = 0; who < 2; who++) {
        atomic_store_explicit(&self->seats[who].job.go, !stopped, memory_order_relaxed);
    }
    self->rider.wanted = true;
    board(&self->rider, NULL);
    RACE_UNTIL((self->token = atomic_load_explicit(&self->rider.token, memory_order_acquire)) != NULL);
}

static void set_up(unsigned i)
{
    item *self = &items[i];
    memset(self, 0, sizeof *self);
    if (scene.kind == CURRENT) {
        borrow_token(self);
    } else {
        make_token(self, i);
    }
    if (has(RELEASE)) {
        watch(&self->watch, self->token);
    }
    for (unsigned who = 0; who < 2; who++) {
        if (action_of(who) == UNHOOK) {
            watch(&self->seats[who].hook, self->token);
        }
    }
}

static void set_up_batch(void)
{
    if (has(SHUT_DOWN)) {
        scene.executor = race_executor(scene.workers, scene.clock);
        scene.at = race_random(0, RACE_ROOM / 2);
        scene.mode = (weft_shutdown_mode)race_random(0, 3);
    }
    for (unsigned i = 0; scene.kind != CURRENT && i < RACE_ROOM; i++) {
        set_up(i);
    }
}

static void prepare(unsigned i)
{
    if (scene.kind == CURRENT) {
        set_up(i);
    }
}

/* The meeting. */

static void act(unsigned i, unsigned who)
{
    item *self = &items[i];
    seat *mine = &self->seats[who];
    switch (action_of(who)) {
    case CANCEL:
        weft_token_cancel(self->token);
        race_check(weft_token_cancelled(self->token), "a token is set on return");
        break;
    case CANCEL_ABOVE:
        weft_token_cancel(self->above);
        break;
    case CANCEL_JOB:
        mine->effect = weft_cancel(self->rider.future);
        break;
    case EXPIRE:
        weft_manual_clock_advance(scene.clock, RACE_STEP);
        break;
    case HURRY:
        mine->code = weft_token_reschedule(self->token, 0);
        break;
    case CLOSE:
        mine->code = weft_token_close(self->token);
        break;
    case RESCHEDULE:
        mine->code = weft_token_reschedule(self->token, 2 * RACE_HOUR);
        break;
    case FORGO:
        mine->code = weft_token_reschedule(self->token, WEFT_FOREVER);
        break;
    case SUBMIT:
        board(&mine->job, self->token);
        break;
    case HOOK:
        watch(&mine->hook, self->token);
        break;
    case UNHOOK:
        mine->code = weft_callback_remove(mine->hook.handle);
        race_check(counted(&mine->hook.called) == counted(&mine->hook.returned), "a hook taken back does not run");
        break;
    case CHILD:
        mine->child = weft_token_create(NULL, self->token, WEFT_FOREVER, i % 2 == 0 ? 0 : WEFT_SHIELDED);
        race_check(mine->child != NULL || (has(SHUT_DOWN) && errno == ESHUTDOWN), "a token below is made");
        if (mine->child != NULL) {
            watch(&mine->hook, mine->child);
        }
        break;
    case END:
        atomic_store_explicit(&self->rider.go, true, memory_order_release);
        break;
    case SHUT_DOWN:
        mine->code = i == scene.at ? weft_executor_shutdown(scene.executor, scene.mode, 0) : 0;
        break;
    default:
        break;
    }
    weft_token_release(self->token);
}

/* How it ended. */

static unsigned answer_of(const item *self, unsigned who)
{
    int code = self->seats[who].code;
    switch (action_of(who)) {
    case CLOSE:
        race_check(code == 0 || code == -ETIMEDOUT, "close answers");
        return code == 0 ? YES : NO;
    case HURRY:
    case RESCHEDULE:
    case FORGO:
        race_check(code == 0 || code == -EALREADY, "reschedule answers");
        return code == 0 ? YES : NO;
    default:
        return MUTE;
    }
}

/* Must the token be set, by what was done and answered? */
static bool must_be_set(const item *self)
{
    unsigned left = answer_of(self, 0), right = answer_of(self, 1);
    if (has(CANCEL) || (has(CANCEL_ABOVE) && scene.kind == BELOW)) {
        return true;
    }
    if (has(EXPIRE)) {
        return right != YES;
    }
    if (has(HURRY)) {
        return left == YES && right != YES;
    }
    return has(CANCEL_JOB) && (self->seats[0].effect == WEFT_CANCEL_REQUESTED || scene.row->right == CANCEL_JOB);
}

/* A job that holds the token: cancelled without help if that is set; else it ends when it may. */
static void see_job(const item *self, passenger *job, bool set, bool expired, bool may_end)
{
    weft_outcome outcome = {.state = WEFT_PENDING};
    if (job->future == NULL) {
        return;
    }
    race_check(weft_future_wait(job->future, WEFT_FOREVER) == 0, "a job ends");
    race_check(weft_future_outcome(job->future, &outcome) == 0, "its outcome can be read");
    race_check(counted(&job->arg_freed) == 1, "free_arg runs once, before the job is done");
    race_check(counted(&job->entered) <= 1, "a function is entered at most once");
    if (outcome.state == WEFT_CANCELLED) {
        bool above = has(CANCEL_ABOVE) && scene.kind == BELOW;
        weft_cancel_reason reason = outcome.reason;
        race_check(set, "a job is cancelled only if its token is set");
        race_check(reason == WEFT_REASON_USER     ? has(CANCEL) || has(CANCEL_JOB)
                   : reason == WEFT_REASON_PARENT ? above || (job != &self->rider && has(CANCEL_JOB))
                                                  : reason == WEFT_REASON_TIMEOUT && expired,
                   "the reason is one of those that there were");
        race_check(!expired || reason == WEFT_REASON_TIMEOUT, "an expired scope gives its reason");
    } else {
        race_check(outcome.state == WEFT_SUCCEEDED && (!set || may_end), "a job with a token that is set is cancelled");
        race_check(counted(&job->entered) == 1, "a job that succeeded ran");
    }
    weft_future_release(job->future);
}

/* Called once if the token was set, and known to be over. */
static void see_hook(hook *self, bool set)
{
    RACE_UNTIL(!set || counted(&self->returned) > 0);
    int code = weft_callback_remove(self->handle);
    race_check(code == (set ? -EALREADY : 0), "a hook has run if the token is set");
    race_check(counted(&self->called) == set, "a hook runs exactly once");
}

/* The token may have gone before the hook was called. */
static void see_loose_hook(hook *self)
{
    if (self->refused) {
        race_check(counted(&self->called) == 0, "a hook that was refused is not called");
        return;
    }
    int code = weft_callback_remove(self->handle);
    race_check(code == 0 || code == -EALREADY, "a hook is taken back, or has run");
    race_check(counted(&self->called) == (code == -EALREADY), "a hook runs exactly once, or never");
}

static void see_seat(item *self, unsigned who, bool set, bool expired)
{
    seat *mine = &self->seats[who];
    bool below = set && (self - items) % 2 == 0;
    switch (action_of(who)) {
    case SUBMIT:
        see_job(self, &mine->job, set, expired, false);
        break;
    case HOOK:
        if (has(RELEASE)) {
            see_loose_hook(&mine->hook);
        } else {
            see_hook(&mine->hook, set);
        }
        break;
    case UNHOOK:
        race_check(mine->code == 0 || mine->code == -EALREADY, "a hook is taken back, or has run");
        race_check(counted(&mine->hook.called) == (mine->code == -EALREADY), "a hook runs exactly once, or never");
        race_check(set || mine->code == 0, "a hook is called only if the token is set");
        break;
    case CHILD:
        see_hook(&mine->hook, below);
        race_check(weft_token_cancelled(mine->child) == below, "a token below is set if it must be");
        race_check(!weft_token_expired(mine->child), "another one's deadline is not its own");
        weft_token_release(mine->child);
        break;
    default:
        break;
    }
}

static void see_item(item *self)
{
    bool set = must_be_set(self), expired = false;
    if (!has(RELEASE)) {
        RACE_UNTIL(!set || weft_token_cancelled(self->token));
        expired = weft_token_expired(self->token);
        unsigned end = expired ? EXPIRED : set ? SET : CLEAR;
        unsigned left = answer_of(self, 0), right = answer_of(self, 1);
        race_check_outcome((scene.row->legal & IS(left, right, end)) != 0,
                           left == NO || right == NO ? "one refused" : "none refused", end_names[end]);
    } else {
        see_loose_hook(&self->watch);
        expired = set && (has(EXPIRE) || has(HURRY));
    }
    see_job(self, &self->rider, set, expired, has(END));
    see_seat(self, 0, set, expired);
    see_seat(self, 1, set, expired);
    if (!has(RELEASE)) {
        race_check(weft_token_cancelled(self->token) == set, "a token is set if it must be");
        race_check(weft_token_expired(self->token) == expired, "an expiry stands");
        weft_token_release(self->token);
    }
    weft_token_release(self->above);
}

/* Behind a shutdown: everything is over, and nobody has to be waited for. */
static void see_shut_job(passenger *job)
{
    if (job->future != NULL) {
        weft_state state = weft_future_state(job->future);
        race_check(state == WEFT_SUCCEEDED || state == WEFT_CANCELLED, "every job is over when shutdown is");
        race_check(counted(&job->arg_freed) == 1, "free_arg runs once, before the job is done");
        race_check(counted(&job->entered) <= 1, "a function is entered at most once");
        race_check(state != WEFT_SUCCEEDED || counted(&job->entered) == 1, "a job that succeeded ran");
    }
    weft_future_release(job->future);
}

static void see_shut(item *self)
{
    seat *mine = &self->seats[1];
    if (!has(RELEASE)) {
        unsigned end = weft_token_expired(self->token) ? EXPIRED : weft_token_cancelled(self->token) ? SET : CLEAR;
        unsigned answer = answer_of(self, 1);
        race_check_outcome((scene.row->legal & IS(MUTE, answer, end)) != 0, answer == NO ? "refused" : "not refused",
                           end_names[end]);
        weft_token_release(self->token);
    } else {
        see_loose_hook(&self->watch);
    }
    see_shut_job(&self->rider);
    see_shut_job(&mine->job);
    if (has(UNHOOK)) {
        see_seat(self, 1, false, false);
    } else if (mine->hook.handle != NULL) {
        see_loose_hook(&mine->hook);
    }
    weft_token_release(mine->child);
    weft_token_release(self->above);
}

static unsigned check_shut(void)
{
    for (unsigned i = 0; i < RACE_ROOM; i++) {
        atomic_store_explicit(&items[i].rider.go, true, memory_order_release);
        atomic_store_explicit(&items[i].seats[1].job.go, true, memory_order_release);
    }
    race_check(weft_executor_shutdown(scene.executor, scene.mode, WEFT_FOREVER) == 0, "the executor is quiet");
    for (unsigned i = 0; i < RACE_ROOM; i++) {
        see_shut(&items[i]);
    }
    race_check(weft_executor_destroy(scene.executor) == 0, "the executor goes");
    return RACE_ROOM - scene.at;
}

/* All of them before one is waited for: the others may have taken the workers. */
static void let_go(item *self)
{
    if (!must_be_set(self)) {
        atomic_store_explicit(&self->rider.go, true, memory_order_release);
        atomic_store_explicit(&self->seats[0].job.go, true, memory_order_release);
        atomic_store_explicit(&self->seats[1].job.go, true, memory_order_release);
    }
}

static unsigned check_batch(void)
{
    if (has(SHUT_DOWN)) {
        return check_shut();
    }
    for (unsigned i = 0; i < RACE_ROOM; i++) {
        let_go(&items[i]);
    }
    for (unsigned i = 0; i < RACE_ROOM; i++) {
        see_item(&items[i]);
    }
    return RACE_ROOM;
}

static const char *quiet(void)
{
    return NULL;
}

int main(int count, char **arguments)
{
    race_program program = {.name = "stress_tokens",
                            .batch = RACE_ROOM,
                            .workers = 4,
                            .choose = choose,
                            .open = open_turn,
                            .close = close_turn,
                            .set_up = set_up_batch,
                            .prepare = prepare,
                            .act = act,
                            .check = check_batch,
                            .quiet = quiet};
    for (unsigned i = 0; i < ROWS; i++) {
        for (unsigned kinds = rows[i].kinds; kinds != 0; kinds &= kinds - 1) {
            program.pairs++;
        }
    }
    return race_main(&program, count, arguments);
}
