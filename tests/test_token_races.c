/* test_token_races.c: two threads that act on one token at once, and what may come of it (I1, I5, I8, CAN-12, SCP).
 *
 * Discipline. Chance chooses the order, so each race is repeated; the oracle is that answers, flags, reasons and counts
 * agree: a function was entered once or never, an argument was freed once, a hook was called once or never, and exactly
 * one of close, deadline and cancel came first. */
#include "scopes.h"

#define HOUR (3600 * 1000 * MS)

/* Once or never, as the future says. */
static void check_job(weft_future *job, test_cell *cell, weft_cancel_reason reason)
{
    assert_done_soon(job);
    if (weft_future_state(job) == WEFT_SUCCEEDED) {
        assert_ok(job, cell);
        assert_int_equal(test_get(cell->ran), 1);
    } else {
        assert_cancelled(job, reason);
        assert_int_equal(test_get(cell->ran), 0);
    }
    assert_int_equal(test_get(cell->arg_freed), 1);
    weft_future_release(job);
}

static void test_can_11_race_of_cancel_with_submits(void **state)
{
    enum { JOBS = 8 };
    static rival other;
    (void)state;
    weft_executor *executor = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
        test_cell *cells[JOBS];
        weft_future *jobs[JOBS];
        bool was_set[JOBS];
        rival_go(&other, cancel_token, token);
        stagger(round);
        for (unsigned i = 0; i < JOBS; i++) {
            was_set[i] = weft_token_cancelled(token);
            jobs[i] = submit_under(executor, token, cells[i] = cell_make(NULL, 0));
            assert_true(!was_set[i] || weft_future_cancelled(jobs[i]));
        }
        rival_wait(&other);
        for (unsigned i = 0; i < JOBS; i++) {
            check_job(jobs[i], cells[i], WEFT_REASON_USER);
            assert_true(!was_set[i] || test_get(cells[i]->ran) == 0);
        }
        weft_token_release(token);
    }
    rival_stop(&other);
    test_destroy(executor);
}

/* A job that ends by itself, or as soon as it was asked. */
struct ending {
    _Atomic(bool) started; /* by the job */
    _Atomic(bool) ends;    /* by the test: end now */
    bool asked;            /* by the job before it ends: it saw the request */
};

static void *end_or_be_asked(void *argument)
{
    struct ending *self = argument;
    atomic_store_explicit(&self->started, true, memory_order_release);
    while (!test_get(self->ends) && !weft_cancelled()) {
        sched_yield();
    }
    self->asked = weft_cancelled();
    return self->asked ? weft_fail(-ECANCELED) : self;
}

static void test_can_11_race_of_cancel_with_the_jobs_end(void **state)
{
    static rival other;
    static struct ending job;
    (void)state;
    weft_executor *executor = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        weft_token *parent = token_make(executor, NULL, WEFT_FOREVER, 0);
        weft_token *token = token_make(executor, parent, WEFT_FOREVER, 0);
        weft_submit_options options = {.token = token};
        job = (struct ending){.asked = false};
        weft_future *future = weft_submit_with(executor, end_or_be_asked, &job, &options);
        while (!test_get(job.started)) {
            sched_yield();
        }
        rival_go(&other, cancel_token, round % 2 == 0 ? token : parent);
        stagger(round);
        atomic_store_explicit(&job.ends, true, memory_order_release);
        if (round % 3 == 0) {
            weft_token_release(weft_token_retain(token));
        }
        assert_done_soon(future);
        if (job.asked) {
            assert_cancelled(future, round % 2 == 0 ? WEFT_REASON_USER : WEFT_REASON_PARENT);
        } else {
            assert_ok(future, &job);
        }
        weft_future_release(future);
        rival_wait(&other);
        weft_token_release(token);
        weft_token_release(parent);
    }
    rival_stop(&other);
    test_destroy(executor);
}

static void test_can_12_race_of_cancel_with_hook_removal(void **state)
{
    enum { HOOKS = 3 };
    static rival other;
    static hook hooks[HOOKS];
    (void)state;
    weft_executor *executor = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(10000); round++) {
        weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
        weft_callback *handles[HOOKS];
        int answers[HOOKS];
        unsigned calls[HOOKS];
        for (unsigned i = 0; i < HOOKS; i++) {
            hooks[i] = (hook){.number = (int)i};
            assert_int_equal(weft_token_on_cancel(token, hook_run, &hooks[i], &handles[i]), 0);
        }
        rival_go(&other, cancel_token, token);
        stagger(round * 7);
        for (unsigned i = 0; i < HOOKS; i++) {
            unsigned which = (i + round) % HOOKS;
            answers[which] = weft_callback_remove(handles[which]);
            calls[which] = test_get(hooks[which].calls);
        }
        rival_wait(&other);
        flush(executor);
        for (unsigned i = 0; i < HOOKS; i++) {
            assert_true(answers[i] == 0 || answers[i] == -EALREADY);
            assert_int_equal(calls[i], answers[i] == 0 ? 0 : 1);
            assert_int_equal(test_get(hooks[i].calls), calls[i]);
        }
        weft_token_release(token);
    }
    rival_stop(&other);
    test_destroy(executor);
}

static void test_can_12_race_of_cancel_with_registering(void **state)
{
    enum { HOOKS = 6 };
    static rival other;
    static hook hooks[HOOKS];
    (void)state;
    weft_executor *executor = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
        test_log *log = test_log_make();
        rival_go(&other, cancel_token, token);
        stagger(round);
        for (int i = 0; i < HOOKS; i++) {
            hooks[i] = (hook){.log = log, .number = i};
            assert_int_equal(weft_token_on_cancel(token, hook_run, &hooks[i], NULL), 0);
        }
        rival_wait(&other);
        for (unsigned i = 0; i < HOOKS; i++) {
            assert_hook_soon(&hooks[i]);
        }
        flush(executor);
        assert_log(log, 0, 1, 2, 3, 4, 5);
        weft_token_release(token);
    }
    rival_stop(&other);
    test_destroy(executor);
}

/* Both hold a reference; whoever is last ends the token, perhaps while it is being carried downwards. */
static void cancel_and_release(void *token)
{
    weft_token_cancel(token);
    weft_token_release(token);
}

static void test_token_race_of_cancel_with_the_last_release(void **state)
{
    static rival other;
    static hook hooks[2];
    (void)state;
    weft_executor *executor = test_executor(1), *second = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        weft_token *token = token_make(executor, NULL, round % 4 == 0 ? HOUR : WEFT_FOREVER, 0);
        weft_token *child = token_make(round % 2 == 0 ? executor : second, token, WEFT_FOREVER, 0);
        weft_callback *handle = NULL;
        hooks[0] = hooks[1] = (hook){.number = 0};
        assert_int_equal(weft_token_on_cancel(token, hook_run, &hooks[0], NULL), 0);
        assert_int_equal(weft_token_on_cancel(child, hook_run, &hooks[1], &handle), 0);
        weft_token_retain(token);
        rival_go(&other, cancel_and_release, token);
        stagger(round);
        if (round % 3 == 0) {
            weft_token_release(child);
            child = NULL;
        }
        weft_token_release(token);
        rival_wait(&other);
        if (child != NULL) {
            assert_set_soon(child);
            weft_token_release(child);
        }
        int answer = weft_callback_remove(handle);
        assert_true(answer == 0 || answer == -EALREADY);
        assert_int_equal(test_get(hooks[1].calls), answer == 0 ? 0 : 1);
        flush_both(executor, second);
        assert_true(test_get(hooks[0].calls) <= 1);
        assert_int_equal(test_get(hooks[1].calls), answer == 0 ? 0 : 1);
    }
    rival_stop(&other);
    assert_tokens_soon(0);
    assert_timers_soon(0);
    assert_true(test_until_counters(0, 0, 0));
    test_destroy(executor);
    test_destroy(second);
}

/* Children come and go while the parent is set. */
struct brood {
    weft_executor *executor;  /* by the test */
    weft_token *parent;       /* by the test */
    weft_token *children[16]; /* by the rival */
    bool was_set[16];         /* by the rival: the parent, before the child was made */
};

static void make_children(void *data)
{
    struct brood *self = data;
    for (unsigned i = 0; i < 16; i++) {
        self->was_set[i] = weft_token_cancelled(self->parent);
        self->children[i] = weft_token_create(self->executor, self->parent, WEFT_FOREVER, 0);
        TEST_EXPECT(!self->was_set[i] || weft_token_cancelled(self->children[i]));
        if (i % 3 == 0) {
            weft_token_release(self->children[i]);
            self->children[i] = NULL;
        }
    }
}

static void test_token_race_of_cancel_with_children(void **state)
{
    static rival other;
    static struct brood brood;
    (void)state;
    weft_executor *executor = test_executor(1), *second = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(2000); round++) {
        brood = (struct brood){.executor = round % 2 == 0 ? executor : second,
                               .parent = token_make(executor, NULL, WEFT_FOREVER, 0)};
        rival_go(&other, make_children, &brood);
        stagger(round);
        weft_token_cancel(brood.parent);
        rival_wait(&other);
        for (unsigned i = 0; i < 16; i++) {
            if (brood.children[i] != NULL) {
                assert_set_soon(brood.children[i]);
                weft_token_release(brood.children[i]);
            }
        }
        weft_token_release(brood.parent);
    }
    rival_stop(&other);
    assert_tokens_soon(0);
    test_destroy(executor);
    test_destroy(second);
}

/* Scopes: what the two sides do at once, by round. The deadline is the clock's advance, by the test's own thread. */
struct contest {
    weft_token *scope; /* by the test */
    int answer;        /* by the rival */
};

static void close_scope(void *data)
{
    struct contest *self = data;
    self->answer = weft_token_close(self->scope);
}

static void move_away(void *data)
{
    struct contest *self = data;
    self->answer = weft_token_reschedule(self->scope, WEFT_FOREVER);
}

static void move_near(void *data)
{
    struct contest *self = data;
    self->answer = weft_token_reschedule(self->scope, 0);
}

/* After the two have acted: the job behind the gate says who came first. */
static void check_contest(const struct contest *contest, weft_future *queued, test_cell *cell, bool must_be_set)
{
    weft_token *scope = contest->scope;
    bool expired = weft_token_expired(scope), set = weft_token_cancelled(scope);
    assert_true(set || !must_be_set);
    assert_true(set || !expired);
    if (set) {
        assert_done_soon(queued);
        assert_cancelled(queued, expired ? WEFT_REASON_TIMEOUT : WEFT_REASON_USER);
        assert_discarded(cell);
    } else {
        assert_int_equal(weft_future_state(queued), WEFT_PENDING);
    }
    assert_int_equal(weft_token_close(scope), expired ? -ETIMEDOUT : 0);
    assert_int_equal(weft_token_reschedule(scope, 0), -EALREADY);
    assert_int_equal(weft_token_expired(scope), expired);
}

/* The deadline against a close, a move away, a cancel. */
static void test_scp_race_of_the_deadline(void **state)
{
    static rival other;
    static struct contest contest;
    (void)state;
    world here = world_make(1);
    test_gate *gate = test_block(here.executor, 1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(6000); round++) {
        test_cell *cell = cell_make(NULL, 0);
        contest = (struct contest){.scope = token_make(here.executor, NULL, 10 * MS, 0), .answer = 1};
        weft_future *queued = submit_under(here.executor, contest.scope, cell);
        if (round % 3 == 2) {
            rival_go(&other, cancel_token, contest.scope);
        } else {
            rival_go(&other, round % 3 == 0 ? close_scope : move_away, &contest);
        }
        stagger(round / 3);
        weft_manual_clock_advance(here.clock, 10 * MS + TICK);
        rival_wait(&other);
        flush(here.executor);
        bool expired = weft_token_expired(contest.scope);
        switch (round % 3) {
        case 0:
            assert_int_equal(contest.answer, expired ? -ETIMEDOUT : 0);
            break;
        case 1:
            assert_int_equal(contest.answer, expired ? -EALREADY : 0);
            break;
        default:
            break;
        }
        assert_int_equal(weft_token_cancelled(contest.scope), expired || round % 3 == 2);
        check_contest(&contest, queued, cell, round % 3 == 2);
        weft_cancel(queued);
        weft_future_release(queued);
        weft_token_release(contest.scope);
    }
    rival_stop(&other);
    assert_timers_soon(0);
    test_unblock(gate);
    world_end(here);
}

/* Cancel against close and reschedule; the deadline is far, or is moved to now. */
static void test_scp_race_of_cancel_with_close_and_reschedule(void **state)
{
    static rival other;
    static struct contest contest;
    (void)state;
    world here = world_make(1);
    test_gate *gate = test_block(here.executor, 1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(6000); round++) {
        void (*const acts[])(void *) = {close_scope, move_away, move_near};
        test_cell *cell = cell_make(NULL, 0);
        contest = (struct contest){.scope = token_make(here.executor, NULL, HOUR, 0), .answer = 1};
        weft_future *queued = submit_under(here.executor, contest.scope, cell);
        rival_go(&other, acts[round % 3], &contest);
        stagger(round / 3);
        weft_token_cancel(contest.scope);
        assert_true(weft_token_cancelled(contest.scope));
        rival_wait(&other);
        flush(here.executor);
        assert_int_equal(contest.answer, 0);
        assert_true(round % 3 == 2 || !weft_token_expired(contest.scope));
        check_contest(&contest, queued, cell, true);
        weft_future_release(queued);
        weft_token_release(contest.scope);
    }
    rival_stop(&other);
    assert_timers_soon(0);
    test_unblock(gate);
    world_end(here);
}

/* All at once: the deadline (real time), a cancel, a close, a move; exactly one came first. */
struct melee {
    weft_token *scope;        /* by the test */
    test_barrier *start;      /* by the test */
    _Atomic(int) closed;      /* by its thread: the answer */
    _Atomic(int) rescheduled; /* by its thread: the answer */
};

static void *melee_close(void *data)
{
    struct melee *self = data;
    test_barrier_meet(self->start);
    atomic_store_explicit(&self->closed, weft_token_close(self->scope), memory_order_release);
    return NULL;
}

static void *melee_move(void *data)
{
    struct melee *self = data;
    test_barrier_meet(self->start);
    atomic_store_explicit(&self->rescheduled, weft_token_reschedule(self->scope, HOUR), memory_order_release);
    return NULL;
}

static void *melee_cancel(void *data)
{
    struct melee *self = data;
    test_barrier_meet(self->start);
    weft_token_cancel(self->scope);
    return NULL;
}

static void test_scp_race_of_deadline_cancel_close_and_reschedule(void **state)
{
    (void)state;
    world here = world_make(1);
    test_gate *gate = test_block(here.executor, 1);
    for (unsigned round = 0; round < test_rounds(1000); round++) {
        test_cell *cell = cell_make(NULL, 0);
        struct melee melee = {.scope = token_make(here.executor, NULL, 10 * MS, 0), .start = test_barrier_make(4)};
        weft_future *queued = submit_under(here.executor, melee.scope, cell);
        pthread_t threads[] = {test_spawn(melee_close, &melee), test_spawn(melee_move, &melee),
                               test_spawn(melee_cancel, &melee)};
        test_barrier_meet(melee.start);
        weft_manual_clock_advance(here.clock, 10 * MS + TICK);
        for (unsigned i = 0; i < 3; i++) {
            test_join(threads[i]);
        }
        assert_done_soon(queued);
        bool expired = weft_token_expired(melee.scope);
        assert_int_equal(test_get(melee.closed), expired ? -ETIMEDOUT : 0);
        if (expired) {
            assert_int_equal(test_get(melee.rescheduled), -EALREADY);
        } else {
            assert_true(test_get(melee.rescheduled) == 0 || test_get(melee.rescheduled) == -EALREADY);
        }
        struct contest contest = {.scope = melee.scope};
        check_contest(&contest, queued, cell, true);
        weft_future_release(queued);
        weft_token_release(melee.scope);
    }
    assert_timers_soon(0);
    test_unblock(gate);
    world_end(here);
}

/* The token of a job: its job ends, it is set, and its last reference goes, at once. */
static weft_token *_Atomic lent;

static void *lend_token(void *argument)
{
    struct ending *self = argument;
    atomic_store_explicit(&lent, weft_token_retain(weft_current_token()), memory_order_release);
    return end_or_be_asked(self);
}

static void test_token_race_of_a_jobs_token_with_its_end(void **state)
{
    static rival other;
    static struct ending job;
    (void)state;
    weft_executor *executor = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        job = (struct ending){.asked = false};
        weft_future *future = weft_submit(executor, lend_token, &job);
        while (!test_get(job.started)) {
            sched_yield();
        }
        rival_go(&other, cancel_and_release, test_get(lent));
        stagger(round);
        atomic_store_explicit(&job.ends, true, memory_order_release);
        assert_done_soon(future);
        if (job.asked) {
            assert_cancelled(future, WEFT_REASON_USER);
        } else {
            assert_ok(future, &job);
        }
        weft_future_release(future);
        rival_wait(&other);
    }
    rival_stop(&other);
    assert_tokens_soon(0);
    test_destroy(executor);
}

/* The executor of a token goes while another thread sets it. */
static void test_token_race_of_cancel_with_destroy(void **state)
{
    static rival other;
    static hook once;
    (void)state;
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(300); round++) {
        weft_executor *executor = test_executor(1);
        weft_token *token = token_make(executor, NULL, HOUR, 0), *child = token_make(executor, token, WEFT_FOREVER, 0);
        once = (hook){.number = 0};
        assert_int_equal(weft_token_on_cancel(child, hook_run, &once, NULL), 0);
        test_cell *cell = cell_make(NULL, 0);
        weft_future *job = submit_under(executor, child, cell);
        rival_go(&other, cancel_token, token);
        stagger(round);
        test_destroy(executor);
        unsigned calls = test_get(once.calls);
        check_job(job, cell, WEFT_REASON_PARENT);
        rival_wait(&other);
        assert_true(weft_token_cancelled(token));
        assert_true(calls <= 1);
        assert_int_equal(test_get(once.calls), calls);
        weft_token_release(child);
        weft_token_release(token);
    }
    rival_stop(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_can_11_race_of_cancel_with_submits),
        TEST(test_can_11_race_of_cancel_with_the_jobs_end),
        TEST(test_can_12_race_of_cancel_with_hook_removal),
        TEST(test_can_12_race_of_cancel_with_registering),
        TEST(test_token_race_of_cancel_with_the_last_release),
        TEST(test_token_race_of_cancel_with_children),
        TEST(test_scp_race_of_the_deadline),
        TEST(test_scp_race_of_cancel_with_close_and_reschedule),
        TEST(test_scp_race_of_deadline_cancel_close_and_reschedule),
        TEST(test_token_race_of_a_jobs_token_with_its_end),
        TEST(test_token_race_of_cancel_with_destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
