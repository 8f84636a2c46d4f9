/* test_current_token.c: the token of the calling job: it is set when the job is asked, and setting it asks the job.
 *
 * Discipline. The jobs look for themselves (TEST_EXPECT) and wait for the flag with patience, because a request reaches
 * a token soon and not at once. Jobs that must run inside a wait for them are submitted on an executor of one worker by
 * the job that awaits them. */
#include "points.h"
#include "scopes.h"

#include "token.h"

static void look_outside_a_job(void *data)
{
    (void)data;
    errno = 0;
    TEST_EXPECT(weft_current_token() == NULL);
    TEST_EXPECT(errno == EINVAL);
}

static void test_current_token_outside_a_job_is_none(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    look_outside_a_job(NULL);
    on_coordinator(executor, look_outside_a_job, NULL);
    test_destroy(executor);
}

/* What a job found. */
struct finder {
    test_gate *gate;            /* by the test before submit; passed by the job, or NULL */
    test_latch *asked;          /* the same; hit by the job when it was asked, or NULL: it does not wait for that */
    weft_token *_Atomic token;  /* by the job; with a reference, unless `borrows` */
    weft_future *_Atomic below; /* by the job: one submitted under its token, if there is a cell */
    test_cell *cell;            /* by the test before submit, or NULL */
    bool looks_late;            /* by the test: asks for the token only when it was asked to stop */
    bool borrows;               /* by the test */
};

static weft_token *look_for_token(struct finder *self)
{
    weft_token *token = weft_current_token();
    TEST_EXPECT(token != NULL && weft_current_token() == token);
    atomic_store_explicit(&self->token, self->borrows ? token : weft_token_retain(token), memory_order_release);
    return token;
}

static void submit_below(struct finder *self)
{
    weft_submit_options options = {.token = weft_current_token(), .free_arg = test_cell_free_arg};
    weft_future *below = weft_submit_with(weft_executor_current(), test_cell_run, self->cell, &options);
    TEST_EXPECT(below != NULL);
    atomic_store_explicit(&self->below, below, memory_order_release);
}

static void *find_token(void *argument)
{
    struct finder *self = argument;
    weft_token *token = self->looks_late ? NULL : look_for_token(self);
    TEST_EXPECT(!weft_token_cancelled(token));
    if (self->cell != NULL) {
        submit_below(self);
    }
    if (self->gate != NULL) {
        test_gate_pass(self->gate);
    }
    if (self->asked != NULL) {
        int64_t deadline = weft_now() + test_patience();
        while (!weft_cancelled() && weft_now() < deadline) {
            test_pause(20000);
        }
        token = self->looks_late ? look_for_token(self) : token;
        TEST_EXPECT(test_until(token_is_set, token));
        TEST_EXPECT(!weft_token_expired(token));
        TEST_EXPECT(weft_current_token() == token);
        test_latch_hit(self->asked);
        return weft_fail(-ECANCELED);
    }
    return self;
}

static bool found_a_token(void *data)
{
    return test_get(((struct finder *)data)->token) != NULL;
}

static void test_current_token_is_the_jobs_own(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    weft_token *above = token_make(executor, NULL, WEFT_FOREVER, 0);
    test_gate *gate = test_gate_make();
    struct finder finders[2] = {{.gate = gate}, {.gate = gate}};
    weft_submit_options options = {.token = above};
    weft_future *jobs[] = {weft_submit_with(executor, find_token, &finders[0], &options),
                           weft_submit_with(executor, find_token, &finders[1], &options)};
    assert_true(test_gate_await(gate, 2));
    assert_true(test_get(finders[0].token) != test_get(finders[1].token));
    assert_true(test_get(finders[0].token) != above);
    test_gate_open(gate);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(weft_await(jobs[i], NULL), 0);
        assert_false(weft_token_cancelled(test_get(finders[i].token)));
        weft_token_release(test_get(finders[i].token));
    }
    weft_token_release(above);
    assert_tokens_soon(0);
    test_destroy(executor);
}

static void test_current_token_borrowed_goes_with_the_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct finder finder = {.borrows = true};
    assert_int_equal(weft_await(weft_submit(executor, find_token, &finder), NULL), 0);
    assert_tokens_soon(0);
    assert_int_equal(weft_execute(executor, find_token, &finder), 0);
    flush(executor);
    test_destroy(executor);
}

/* Asked by its future, by the token it was submitted with, by that one's parent. */
static void test_current_token_is_set_when_the_job_is_asked(void **state)
{
    const weft_cancel_reason reasons[] = {WEFT_REASON_USER, WEFT_REASON_USER, WEFT_REASON_PARENT};
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        weft_executor *executor = test_executor(1);
        weft_token *parent = token_make(executor, NULL, WEFT_FOREVER, 0);
        weft_token *token = token_make(executor, parent, WEFT_FOREVER, 0);
        struct finder finder = {.gate = test_gate_make(), .asked = test_latch_make(), .looks_late = i >= 3};
        weft_submit_options options = {.token = token};
        weft_future *job = weft_submit_with(executor, find_token, &finder, &options);
        assert_true(test_gate_await(finder.gate, 1));
        if (i % 3 == 0) {
            assert_int_equal(weft_cancel(job), WEFT_CANCEL_REQUESTED);
        } else {
            weft_token_cancel(i % 3 == 1 ? token : parent);
        }
        flush(executor);
        test_gate_open(finder.gate);
        assert_true(test_latch_wait(finder.asked, 1));
        assert_done_soon(job);
        assert_cancelled(job, reasons[i % 3]);
        assert_int_equal(weft_token_cancelled(token), i % 3 != 0);
        weft_future_release(job);
        weft_token_release(test_get(finder.token));
        weft_token_release(token);
        weft_token_release(parent);
        test_destroy(executor);
    }
}

static void test_current_token_set_by_others_asks_the_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *above = token_make(executor, NULL, WEFT_FOREVER, 0);
    struct finder finder = {.asked = test_latch_make()};
    weft_submit_options options = {.token = above};
    weft_future *job = weft_submit_with(executor, find_token, &finder, &options);
    assert_true(test_until(found_a_token, &finder));
    weft_token_cancel(test_get(finder.token));
    assert_true(test_latch_wait(finder.asked, 1));
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_USER);
    flush(executor);
    assert_false(weft_token_cancelled(above));
    weft_future_release(job);
    weft_token_release(test_get(finder.token));
    weft_token_release(above);
    test_destroy(executor);
}

/* Jobs below: page 2 of the contract. The request on the job's own future comes from above its token. */
static void test_current_token_stops_what_was_submitted_with_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        world here = world_make(1);
        weft_token *parent = token_make(here.executor, NULL, i == 2 ? 10 * MS : WEFT_FOREVER, 0);
        struct finder finder = {
            .gate = test_gate_make(), .asked = i == 3 ? NULL : test_latch_make(), .cell = cell_make(NULL, 0)};
        weft_submit_options options = {.token = parent};
        weft_future *job = weft_submit_with(here.executor, find_token, &finder, &options);
        assert_true(test_gate_await(finder.gate, 1));
        weft_future *below = test_get(finder.below);
        assert_pending(here.executor, below);
        switch (i) {
        case 0:
            assert_int_equal(weft_cancel(job), WEFT_CANCEL_REQUESTED);
            break;
        case 1:
            weft_token_cancel(parent);
            break;
        case 2:
            weft_manual_clock_advance(here.clock, 10 * MS + TICK);
            break;
        default:
            weft_token_cancel(test_get(finder.token));
            break;
        }
        assert_done_soon(below);
        if (i == 0) {
            weft_outcome outcome;
            assert_int_equal(weft_future_outcome(below, &outcome), 0);
            assert_true(outcome.reason == WEFT_REASON_USER || outcome.reason == WEFT_REASON_PARENT);
        } else {
            const weft_cancel_reason reasons[] = {0, WEFT_REASON_PARENT, WEFT_REASON_TIMEOUT, WEFT_REASON_USER};
            assert_cancelled(below, reasons[i]);
        }
        assert_discarded(finder.cell);
        test_gate_open(finder.gate);
        assert_done_soon(job);
        weft_future_release(job);
        weft_future_release(below);
        weft_token_release(test_get(finder.token));
        weft_token_release(parent);
        world_end(here);
    }
}

/* A token that outlives its job is a token like any other; that the job ended does not set it. */
static void test_current_token_outlives_its_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct finder finder = {.cell = cell_make(test_gate_make(), -ECANCELED)};
    assert_int_equal(weft_await(weft_submit(executor, find_token, &finder), NULL), 0);
    assert_true(test_gate_await(finder.cell->gate, 1));
    weft_token *token = test_get(finder.token);
    flush(executor);
    assert_false(weft_token_cancelled(token));
    weft_token_cancel(token);
    flush(executor);
    test_gate_open(finder.cell->gate);
    weft_future *below = test_get(finder.below);
    assert_done_soon(below);
    assert_true(test_get(finder.cell->saw_cancel));
    assert_cancelled(below, WEFT_REASON_USER);
    weft_future_release(below);
    test_destroy(executor);
    assert_true(weft_token_cancelled(token));
    weft_token_release(token);
}

static void *take_token_and_end_thread(void *argument)
{
    TEST_EXPECT(look_for_token(argument) != NULL);
    pthread_exit(NULL);
}

static void test_current_token_of_a_job_that_ends_its_thread(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct finder finder = {.borrows = false};
    weft_future *job = weft_submit(executor, take_token_and_end_thread, &finder);
    assert_done_soon(job);
    assert_err(job, -EOWNERDEAD);
    flush(executor);
    assert_false(weft_token_cancelled(test_get(finder.token)));
    weft_token_release(test_get(finder.token));
    weft_future_release(job);
    assert_tokens_soon(0);
    test_destroy(executor);
}

/* BLK-10: a job that runs inside another one's wait for it has a token of its own. */
struct inline_pair {
    weft_token *outer, *inner; /* by the jobs; borrowed while they run */
    pthread_t outer_thread;    /* by the outer job */
    bool cancels_itself;       /* by the test: the inner job sets its own token */
    test_latch *inside;        /* by the test; hit by the inner job when it is inside */
    _Atomic(bool) was_asked;   /* by the inner job */
};

static void *inner_job(void *argument)
{
    struct inline_pair *self = argument;
    TEST_EXPECT(pthread_equal(pthread_self(), self->outer_thread));
    self->inner = weft_current_token();
    TEST_EXPECT(self->inner != NULL && self->inner != self->outer);
    TEST_EXPECT(!weft_token_cancelled(self->inner));
    if (self->cancels_itself) {
        weft_token_cancel(self->inner);
        TEST_EXPECT(weft_token_cancelled(self->inner));
    }
    test_latch_hit(self->inside);
    int64_t deadline = weft_now() + test_patience();
    while (!weft_cancelled() && weft_now() < deadline) {
        test_pause(20000);
    }
    TEST_EXPECT(weft_cancelled());
    TEST_EXPECT(test_until(token_is_set, self->inner));
    TEST_EXPECT(weft_current_token() == self->inner);
    return weft_fail(-ECANCELED);
}

static void *outer_job(void *argument)
{
    struct inline_pair *self = argument;
    self->outer_thread = pthread_self();
    self->outer = weft_current_token();
    weft_future *inner = weft_submit(weft_executor_current(), inner_job, self);
    TEST_EXPECT(weft_await(inner, NULL) == -ECANCELED);
    TEST_EXPECT(weft_current_token() == self->outer);
    if (self->cancels_itself) {
        TEST_EXPECT(!weft_cancelled() && !weft_token_cancelled(self->outer));
    } else {
        TEST_EXPECT(weft_cancelled() && test_until(token_is_set, self->outer));
    }
    return self;
}

static void test_blk_10_an_inline_job_has_a_token_of_its_own(void **state)
{
    (void)state;
    for (unsigned itself = 0; itself < 2; itself++) {
        weft_executor *executor = test_executor(1);
        struct inline_pair both = {.cancels_itself = itself != 0, .inside = test_latch_make()};
        weft_future *outer = weft_submit(executor, outer_job, &both);
        assert_true(test_latch_wait(both.inside, 1));
        if (itself == 0) {
            assert_int_equal(weft_cancel(outer), WEFT_CANCEL_REQUESTED);
        }
        assert_done_soon(outer);
        assert_ok(outer, &both);
        weft_future_release(outer);
        assert_tokens_soon(0);
        test_destroy(executor);
    }
}

/* SHD-03: what running jobs see of a shutdown; one blocks in a condition of its own and is woken by a hook. */
struct blocked {
    test_gate *gate;         /* by the test; opened by the hook, or by the test */
    _Atomic(bool) set;       /* by the job: its token, after the gate */
    _Atomic(unsigned) hooks; /* calls of the hook */
    test_cell *cell;         /* by the test: submitted below the job's token, to the other executor */
    weft_executor *other;    /* by the test */
    weft_future *below;      /* by the job before it comes to the gate */
};

static void open_by_hook(void *data)
{
    struct blocked *self = data;
    atomic_fetch_add_explicit(&self->hooks, 1, memory_order_acq_rel);
    test_gate_open(self->gate);
}

static void *block_with_hook(void *argument)
{
    struct blocked *self = argument;
    weft_token *token = weft_current_token();
    weft_callback *handle = NULL;
    weft_submit_options options = {.token = token, .free_arg = test_cell_free_arg};
    TEST_EXPECT(weft_token_on_cancel(token, open_by_hook, self, &handle) == 0);
    self->below = weft_submit_with(self->other, test_cell_run, self->cell, &options);
    test_gate_pass(self->gate);
    atomic_store_explicit(&self->set, weft_token_cancelled(token), memory_order_release);
    TEST_EXPECT(weft_callback_remove(handle) == (weft_token_cancelled(token) ? -EALREADY : 0));
    return weft_cancelled() ? weft_fail(-ECANCELED) : self;
}

static void test_shd_03_tokens_of_running_jobs(void **state)
{
    (void)state;
    for (int mode = WEFT_DRAIN; mode <= WEFT_CANCEL_ALL; mode++) {
        weft_executor *executor = test_executor(1), *other = test_executor(1);
        weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
        test_gate *hold = test_block(other, 1);
        struct blocked here = {.gate = test_gate_make(), .cell = cell_make(NULL, 0), .other = other};
        weft_submit_options options = {.token = token};
        weft_future *job = weft_submit_with(executor, block_with_hook, &here, &options);
        assert_true(test_gate_await(here.gate, 1));
        if (mode != WEFT_CANCEL_ALL) {
            assert_int_equal(weft_executor_shutdown(executor, (weft_shutdown_mode)mode, 10 * MS), -ETIMEDOUT);
            test_gate_open(here.gate);
        }
        assert_int_equal(weft_executor_shutdown(executor, (weft_shutdown_mode)mode, test_patience()), 0);
        assert_int_equal(test_get(here.set), mode == WEFT_CANCEL_ALL);
        assert_int_equal(test_get(here.hooks), mode == WEFT_CANCEL_ALL ? 1 : 0);
        assert_false(weft_token_cancelled(token));
        if (mode == WEFT_CANCEL_ALL) {
            assert_cancelled(job, WEFT_REASON_SHUTDOWN);
            assert_done_soon(here.below);
            assert_cancelled(here.below, WEFT_REASON_SHUTDOWN);
            assert_discarded(here.cell);
        } else {
            assert_ok(job, &here);
        }
        test_unblock(hold);
        assert_done_soon(here.below);
        assert_int_equal(test_get(here.cell->ran), mode == WEFT_CANCEL_ALL ? 0 : 1);
        weft_future_release(job);
        weft_future_release(here.below);
        weft_token_release(token);
        test_destroy(executor);
        test_destroy(other);
    }
}

/* ---- two threads in one job ---- */

/* What a function could do that the job has forked, as soon as it would find a token: to make one here might be to come
 * back into the slab where this thread stands in it. */
static void cancel_own_token(void *job)
{
    weft_counters counters;
    const weft__options *options = weft__options_of(job);
    weft_token *token = options ? atomic_load_explicit(&options->own.token, memory_order_acquire) : NULL;
    if (!token)
        return;
    TEST_EXPECT(weft_current_token() == token);
    weft_token_cancel(token);
    /* The coordinator sees to what hangs on it now, unless the thread whose point this is has the list in hand. */
    if (atomic_load_explicit(&token->lock.word, memory_order_relaxed) == 0)
        weft_counters_read(&counters);
}

static bool is_asked(void *unused)
{
    (void)unused;
    return weft_cancelled();
}

static void *find_it_set(void *k)
{
    points_at((uintptr_t)k, cancel_own_token, weft__self.job);
    weft_token *token = weft_current_token();
    bool reached = points_reached();
    TEST_EXPECT(weft_current_token() == token);
    TEST_EXPECT(!weft_token_cancelled(token) || test_until(is_asked, NULL));
    return reached ? k : NULL;
}

/* Another thread that is in the same job sets the token, and all that it knows of is seen to, at each point while this
 * thread makes it. */
static void test_current_token_is_set_while_it_is_made(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    void *reached = executor;
    for (uintptr_t k = 1; reached; k++) {
        weft_future *job = weft_submit(executor, find_it_set, (void *)k);
        assert_done_soon(job);
        assert_int_equal(weft_await(job, &reached), 0);
    }
    assert_tokens_soon(0);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_current_token_outside_a_job_is_none),
        TEST(test_current_token_is_the_jobs_own),
        TEST(test_current_token_borrowed_goes_with_the_job),
        TEST(test_current_token_is_set_when_the_job_is_asked),
        TEST(test_current_token_set_by_others_asks_the_job),
        TEST(test_current_token_stops_what_was_submitted_with_it),
        TEST(test_current_token_outlives_its_job),
        TEST(test_current_token_of_a_job_that_ends_its_thread),
        TEST(test_blk_10_an_inline_job_has_a_token_of_its_own),
        TEST(test_shd_03_tokens_of_running_jobs),
        TEST(test_current_token_is_set_while_it_is_made),
    };
    return points_result(cmocka_run_group_tests(tests, NULL, NULL));
}
