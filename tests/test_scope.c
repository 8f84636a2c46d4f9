/* test_scope.c: section 12, tokens with a deadline (SCP), and I6, CAN-14: one that expires never touches its
 * parent.
 *
 * Discipline. Time is a manual clock, and a deadline of 10 ms is proven by two advances, one that ends a nanosecond
 * before it and one that passes it. weft_manual_clock_advance returns when what became due is resolved, so the scope is
 * asserted without waiting; what follows from it is waited for. A clock that is moved on the coordinator itself does
 * not wait, so there a deadline has passed that nobody can have acted on. */
#include "scopes.h"

#define HOUR (3600 * 1000 * MS)

static void assert_open(weft_token *scope)
{
    assert_false(weft_token_cancelled(scope));
    assert_false(weft_token_expired(scope));
}

static void assert_expired(weft_token *scope)
{
    assert_true(weft_token_cancelled(scope));
    assert_true(weft_token_expired(scope));
}

/* From 0 to a nanosecond before 10 ms, where nothing may have happened, and then past it. */
static void pass_10_ms(world here, weft_token *scope)
{
    weft_manual_clock_advance(here.clock, 10 * MS - 1);
    flush(here.executor);
    assert_open(scope);
    weft_manual_clock_advance(here.clock, 1 + TICK);
}

static void test_scp_01_jobs_are_stopped_at_the_deadline(void **state)
{
    (void)state;
    world here = world_make(1);
    weft_token *scope = token_make(here.executor, NULL, 10 * MS, 0);
    weft_future *running = submit_obedient(here.executor, scope);
    test_cell *cells[] = {cell_make(NULL, 0), cell_make(NULL, 0)}, *other = cell_make(NULL, 0);
    weft_future *queued = submit_under(here.executor, scope, cells[0]), *free_one = submit(here.executor, other);
    hook once = {.number = 0};
    assert_int_equal(weft_token_on_cancel(scope, hook_run, &once, NULL), 0);
    assert_timers_soon(1);
    pass_10_ms(here, scope);
    assert_expired(scope);
    assert_timers_soon(0);
    assert_done_soon(queued);
    assert_cancelled(queued, WEFT_REASON_TIMEOUT);
    assert_discarded(cells[0]);
    assert_done_soon(running);
    assert_cancelled(running, WEFT_REASON_TIMEOUT);
    assert_done_soon(free_one);
    assert_ok(free_one, other);
    weft_future *born = submit_under(here.executor, scope, cells[1]);
    assert_cancelled(born, WEFT_REASON_TIMEOUT);
    assert_discarded(cells[1]);
    assert_hook_soon(&once);
    weft_token_cancel(scope);
    assert_expired(scope);
    assert_int_equal(weft_token_close(scope), -ETIMEDOUT);
    assert_int_equal(weft_token_close(scope), -ETIMEDOUT);
    assert_expired(scope);
    weft_future *all[] = {running, queued, free_one, born};
    for (unsigned i = 0; i < 4; i++) {
        weft_future_release(all[i]);
    }
    weft_token_release(scope);
    world_end(here);
    assert_int_equal(test_get(once.calls), 1);
}

/* I11: with all workers busy, on the real clock, not early. */
static void test_scp_01_on_the_real_clock_with_busy_workers(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    test_gate *gate = test_block(executor, 2);
    int64_t begun = weft_now();
    weft_token *scope = token_make(executor, NULL, 20 * MS, 0);
    test_cell *cell = cell_make(NULL, 0);
    weft_future *queued = submit_under(executor, scope, cell);
    assert_int_equal(weft_future_wait(queued, test_patience()), 0);
    int64_t took = weft_now() - begun;
    assert_true(took >= 20 * MS);
    assert_true(took <= 20 * MS + test_late());
    assert_cancelled(queued, WEFT_REASON_TIMEOUT);
    assert_true(weft_token_expired(scope));
    test_unblock(gate);
    weft_future_release(queued);
    weft_token_release(scope);
    test_destroy(executor);
}

static void test_scp_02_closed_in_time(void **state)
{
    (void)state;
    world here = world_make(1);
    weft_token *scope = token_make(here.executor, NULL, 10 * MS, 0);
    test_gate *gate = test_gate_make();
    test_cell *cells[] = {cell_make(gate, 0), cell_make(NULL, 0)}, *late = cell_make(NULL, 0);
    weft_future *running = submit_under(here.executor, scope, cells[0]);
    weft_future *queued = submit_under(here.executor, scope, cells[1]);
    assert_true(test_gate_await(gate, 1));
    weft_manual_clock_advance(here.clock, 10 * MS - 1);
    assert_int_equal(weft_token_close(scope), 0);
    assert_timers_soon(0);
    weft_manual_clock_advance(here.clock, HOUR);
    assert_pending(here.executor, queued);
    assert_open(scope);
    assert_int_equal(weft_token_close(scope), 0);
    test_gate_open(gate);
    weft_future *after = submit_under(here.executor, scope, late);
    assert_done_soon(running);
    assert_done_soon(queued);
    assert_done_soon(after);
    assert_ok(running, cells[0]);
    assert_ok(queued, cells[1]);
    assert_ok(after, late);
    assert_false(test_get(cells[0]->saw_cancel));
    weft_token_cancel(scope);
    assert_true(weft_token_cancelled(scope));
    assert_false(weft_token_expired(scope));
    assert_int_equal(weft_token_close(scope), 0);
    weft_future_release(running);
    weft_future_release(queued);
    weft_future_release(after);
    weft_token_release(scope);
    world_end(here);
}

static void test_scp_02_without_a_deadline_there_is_no_timer(void **state)
{
    const int64_t never[] = {WEFT_FOREVER, WEFT_FOREVER - 1};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        world here = world_make(1);
        weft_manual_clock_advance(here.clock, MS);
        weft_token *finite = token_make(here.executor, NULL, HOUR, 0);
        weft_token *scope = token_make(here.executor, NULL, never[i], 0);
        flush(here.executor);
        assert_timers_soon(1);
        weft_manual_clock_advance(here.clock, INT64_MAX / 2);
        flush(here.executor);
        assert_timers_soon(0);
        assert_expired(finite);
        assert_open(scope);
        assert_int_equal(weft_token_close(scope), 0);
        weft_token_release(scope);
        weft_token_release(finite);
        world_end(here);
    }
}

static void test_scp_02_cancelled_by_the_user_before(void **state)
{
    (void)state;
    world here = world_make(1);
    test_gate *gate = test_block(here.executor, 1);
    weft_token *scope = token_make(here.executor, NULL, 10 * MS, 0);
    test_cell *cells[] = {cell_make(NULL, 0), cell_make(NULL, 0)};
    weft_future *queued = submit_under(here.executor, scope, cells[0]);
    weft_token_cancel(scope);
    assert_done_soon(queued);
    assert_cancelled(queued, WEFT_REASON_USER);
    assert_timers_soon(0);
    weft_manual_clock_advance(here.clock, 20 * MS);
    flush(here.executor);
    assert_false(weft_token_expired(scope));
    assert_true(weft_token_cancelled(scope));
    weft_future *born = submit_under(here.executor, scope, cells[1]);
    assert_cancelled(born, WEFT_REASON_USER);
    assert_int_equal(weft_token_reschedule(scope, 10 * MS), 0);
    flush(here.executor);
    assert_timers_soon(0);
    assert_int_equal(weft_token_close(scope), 0);
    assert_false(weft_token_expired(scope));
    test_unblock(gate);
    weft_future_release(queued);
    weft_future_release(born);
    weft_token_release(scope);
    world_end(here);
}

/* SCP-03: on the coordinator, where the token cannot have expired between two calls. */
struct due {
    world here;               /* by the test */
    int64_t timeout;          /* by the test */
    weft_token *scope;        /* by the errand */
    weft_future *born, *more; /* by the errand */
    test_cell *cells[2];      /* by the test */
    hook once;                /* by the test */
};

static void make_one_that_is_due(void *data)
{
    struct due *self = data;
    self->scope = weft_token_create(self->here.executor, NULL, self->timeout, 0);
    TEST_EXPECT(self->scope != NULL);
    TEST_EXPECT(weft_token_on_cancel(self->scope, hook_run, &self->once, NULL) == 0);
    weft_submit_options options = {.token = self->scope, .free_arg = test_cell_free_arg};
    self->born = weft_submit_with(self->here.executor, test_cell_run, self->cells[0], &options);
    TEST_EXPECT(test_get(self->once.calls) == 0);
}

static void test_scp_03_already_due(void **state)
{
    const int64_t timeouts[] = {0, -1, INT64_MIN};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct due here = {.here = world_make(1), .timeout = timeouts[i], .cells = {cell_make(NULL, 0), NULL}};
        on_coordinator(here.here.executor, make_one_that_is_due, &here);
        assert_true(test_until(token_has_expired, here.scope));
        assert_true(weft_token_cancelled(here.scope));
        assert_done_soon(here.born);
        assert_cancelled(here.born, WEFT_REASON_TIMEOUT);
        assert_discarded(here.cells[0]);
        assert_hook_soon(&here.once);
        assert_int_equal(weft_token_close(here.scope), -ETIMEDOUT);
        assert_timers_soon(0);
        weft_future_release(here.born);
        weft_token_release(here.scope);
        world_end(here.here);
    }
}

/* Born cancelled by a deadline that has passed and that nobody has acted on yet: its own, and its parent's. */
static void pass_the_deadline_unseen(void *data)
{
    struct due *self = data;
    weft_token *below = weft_token_create(self->here.executor, self->scope, WEFT_FOREVER, 0);
    weft_manual_clock_advance(self->here.clock, 10 * MS + TICK);
    weft_submit_options options = {.token = self->scope, .free_arg = test_cell_free_arg};
    self->born = weft_submit_with(self->here.executor, test_cell_run, self->cells[0], &options);
    options.token = below;
    self->more = weft_submit_with(self->here.executor, test_cell_run, self->cells[1], &options);
    TEST_EXPECT(weft_future_state(self->born) == WEFT_CANCELLED);
    TEST_EXPECT(weft_future_state(self->more) == WEFT_CANCELLED);
    weft_token_release(below);
}

static void test_scp_03_born_cancelled_as_soon_as_the_deadline_has_passed(void **state)
{
    (void)state;
    struct due here = {.here = world_make(1), .cells = {cell_make(NULL, 0), cell_make(NULL, 0)}};
    here.scope = token_make(here.here.executor, NULL, 10 * MS, 0);
    on_coordinator(here.here.executor, pass_the_deadline_unseen, &here);
    assert_cancelled(here.born, WEFT_REASON_TIMEOUT);
    assert_cancelled(here.more, WEFT_REASON_TIMEOUT);
    assert_discarded(here.cells[0]);
    assert_discarded(here.cells[1]);
    assert_true(test_until(token_has_expired, here.scope));
    weft_future_release(here.born);
    weft_future_release(here.more);
    weft_token_release(here.scope);
    world_end(here.here);
}

static void test_scp_04_a_child_expires_and_the_parent_goes_on(void **state)
{
    (void)state;
    world here = world_make(1);
    weft_token *parent = token_make(here.executor, NULL, 20 * MS, 0);
    weft_token *child = token_make(here.executor, parent, 10 * MS, 0);
    weft_token *sibling = token_make(here.executor, parent, HOUR, 0);
    assert_timers_soon(3);
    pass_10_ms(here, child);
    assert_expired(child);
    flush(here.executor);
    assert_open(parent);
    assert_open(sibling);
    test_cell *cells[] = {cell_make(NULL, 0), cell_make(NULL, 0)};
    weft_future *jobs[] = {submit_under(here.executor, parent, cells[0]),
                           submit_under(here.executor, sibling, cells[1])};
    for (unsigned i = 0; i < 2; i++) {
        assert_done_soon(jobs[i]);
        assert_ok(jobs[i], cells[i]);
        weft_future_release(jobs[i]);
    }
    weft_manual_clock_advance(here.clock, 10 * MS);
    assert_expired(parent);
    assert_set_soon(sibling);
    assert_false(weft_token_expired(sibling));
    assert_timers_soon(0);
    assert_int_equal(weft_token_close(sibling), 0);
    assert_int_equal(weft_token_close(child), -ETIMEDOUT);
    weft_token_release(parent);
    weft_token_release(child);
    weft_token_release(sibling);
    world_end(here);
}

static void test_can_14_the_parent_goes_on_after_a_nested_scope_expired(void **state)
{
    (void)state;
    world here = world_make(1);
    weft_token *parent = token_make(here.executor, NULL, WEFT_FOREVER, 0);
    for (unsigned i = 0; i < 3; i++) {
        weft_token *scope = token_make(here.executor, parent, 10 * MS, 0);
        weft_future *inside = submit_obedient(here.executor, scope);
        test_cell *cell = cell_make(NULL, 0), *after = cell_make(NULL, 0);
        weft_future *queued = submit_under(here.executor, parent, cell);
        weft_manual_clock_advance(here.clock, 10 * MS + TICK);
        assert_done_soon(inside);
        assert_cancelled(inside, WEFT_REASON_TIMEOUT);
        assert_int_equal(weft_token_close(scope), -ETIMEDOUT);
        assert_false(weft_token_cancelled(parent));
        assert_false(weft_token_expired(parent));
        assert_done_soon(queued);
        assert_ok(queued, cell);
        weft_future *more = submit_under(here.executor, parent, after);
        assert_done_soon(more);
        assert_ok(more, after);
        assert_false(test_get(after->saw_cancel));
        weft_future_release(inside);
        weft_future_release(queued);
        weft_future_release(more);
        weft_token_release(scope);
    }
    assert_false(weft_token_cancelled(parent));
    weft_token_release(parent);
    world_end(here);
}

/* The smallest deadline on the way up is in force, also that of a token which the program has released. */
static void test_scp_04_a_released_parents_deadline_stays_in_force(void **state)
{
    (void)state;
    world here = world_make(1);
    weft_token *parent = token_make(here.executor, NULL, 10 * MS, 0);
    weft_token *child = token_make(here.executor, parent, 20 * MS, 0);
    weft_future *job = submit_obedient(here.executor, child);
    weft_token_release(parent);
    flush(here.executor);
    assert_timers_soon(2);
    pass_10_ms(here, child);
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_TIMEOUT);
    assert_set_soon(child);
    assert_false(weft_token_expired(child));
    weft_manual_clock_advance(here.clock, 20 * MS);
    assert_false(weft_token_expired(child));
    weft_future_release(job);
    weft_token_release(child);
    assert_timers_soon(0);
    world_end(here);
}

static void test_scp_04_a_job_keeps_its_scope_alive(void **state)
{
    (void)state;
    world here = world_make(1);
    weft_token *scope = token_make(here.executor, NULL, 10 * MS, 0);
    weft_future *job = submit_obedient(here.executor, scope);
    weft_token_release(scope);
    flush(here.executor);
    assert_false(weft_future_done(job));
    weft_manual_clock_advance(here.clock, 10 * MS + TICK);
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_TIMEOUT);
    weft_future_release(job);
    assert_tokens_soon(0);
    world_end(here);
}

static void test_scp_04_a_dropped_scope_leaves_the_wheel(void **state)
{
    (void)state;
    world here = world_make(1);
    for (unsigned i = 0; i < 100; i++) {
        weft_token_release(token_make(here.executor, NULL, HOUR, 0));
    }
    assert_timers_soon(0);
    assert_tokens_soon(0);
    world_end(here);
}

/* Each by the clock of its own executor. */
static void test_scp_04_deadlines_over_two_executors(void **state)
{
    (void)state;
    world here = world_make(1), there = world_make(1);
    weft_token *parent = token_make(here.executor, NULL, 10 * MS, 0);
    weft_token *child = token_make(there.executor, parent, 10 * MS, 0);
    weft_token *second = token_make(there.executor, parent, 10 * MS, 0);
    weft_manual_clock_advance(there.clock, 10 * MS - 1);
    assert_open(child);
    assert_int_equal(weft_token_reschedule(second, 20 * MS), 0);
    weft_manual_clock_advance(there.clock, 1 + TICK);
    assert_expired(child);
    assert_open(parent);
    weft_manual_clock_advance(here.clock, 10 * MS + TICK);
    assert_expired(parent);
    assert_set_soon(second);
    assert_false(weft_token_expired(second));
    test_cell *cell = cell_make(NULL, 0);
    weft_future *born = submit_under(there.executor, second, cell);
    assert_cancelled(born, WEFT_REASON_TIMEOUT);
    weft_future_release(born);
    weft_token_release(parent);
    weft_token_release(child);
    weft_token_release(second);
    world_end(here);
    world_end(there);
}

static void test_scp_06_reschedule_later_earlier_and_away(void **state)
{
    (void)state;
    world here = world_make(1);
    weft_token *scope = token_make(here.executor, NULL, 10 * MS, 0);
    assert_int_equal(weft_token_reschedule(scope, 30 * MS), 0);
    weft_manual_clock_advance(here.clock, 20 * MS);
    assert_open(scope);
    assert_timers_soon(1);
    assert_int_equal(weft_token_reschedule(scope, WEFT_FOREVER), 0);
    assert_timers_soon(0);
    weft_manual_clock_advance(here.clock, HOUR);
    assert_open(scope);
    assert_int_equal(weft_token_reschedule(scope, HOUR), 0);
    assert_timers_soon(1);
    assert_int_equal(weft_token_reschedule(scope, 10 * MS), 0);
    pass_10_ms(here, scope);
    assert_expired(scope);
    assert_timers_soon(0);
    const int64_t timeouts[] = {10 * MS, 0, WEFT_FOREVER};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(weft_token_reschedule(scope, timeouts[i]), -EALREADY);
    }
    assert_timers_soon(0);
    assert_expired(scope);
    weft_token_release(scope);
    world_end(here);
}

static void test_scp_06_reschedule_to_now(void **state)
{
    const int64_t before[] = {HOUR, WEFT_FOREVER}, now[] = {0, -1, INT64_MIN};
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        world here = world_make(1);
        weft_token *scope = token_make(here.executor, NULL, before[i % 2], 0);
        assert_int_equal(weft_token_reschedule(scope, now[i / 2]), 0);
        assert_true(test_until(token_has_expired, scope));
        assert_true(weft_token_cancelled(scope));
        assert_timers_soon(0);
        weft_token_release(scope);
        world_end(here);
    }
}

static void test_scp_06_reschedule_after_close(void **state)
{
    const int64_t timeouts[] = {10 * MS, 0, WEFT_FOREVER};
    (void)state;
    world here = world_make(1);
    weft_token *scopes[] = {token_make(here.executor, NULL, 10 * MS, 0),
                            token_make(here.executor, NULL, WEFT_FOREVER, 0)};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(weft_token_close(scopes[i]), 0);
        for (unsigned j = 0; j < 3; j++) {
            assert_int_equal(weft_token_reschedule(scopes[i], timeouts[j]), -EALREADY);
        }
    }
    assert_timers_soon(0);
    weft_manual_clock_advance(here.clock, HOUR);
    for (unsigned i = 0; i < 2; i++) {
        assert_open(scopes[i]);
        weft_token_release(scopes[i]);
    }
    world_end(here);
}

/* Thousands of moves leave one timer, and its memory does not grow. */
static void test_scp_06_a_million_moves_leave_nothing(void **state)
{
    enum { MOVES = 1000 };
    (void)state;
    world here = world_make(1);
    weft_token *scope = token_make(here.executor, NULL, HOUR, 0);
    assert_timers_soon(1);
    size_t before = 0;
    for (unsigned round = 0; round < test_rounds(200); round++) {
        for (unsigned i = 0; i < MOVES; i++) {
            assert_int_equal(weft_token_reschedule(scope, HOUR + (int64_t)((i * 7919) % MOVES) * MS), 0);
        }
        assert_timers_soon(1);
        size_t bytes = test_counters().bytes;
        before = round == 0 ? bytes : before;
        assert_true(bytes <= before + (1 << 16));
    }
    assert_open(scope);
    assert_int_equal(weft_token_close(scope), 0);
    weft_token_release(scope);
    world_end(here);
}

static void test_scp_08_cleaning_up_below_a_cancelled_scope(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 2; way++) {
        world here = world_make(1);
        weft_token *parent = token_make(here.executor, NULL, way == 0 ? WEFT_FOREVER : 0, 0);
        weft_token_cancel(parent);
        assert_set_soon(parent);
        weft_token *plain = token_make(here.executor, parent, 10 * MS, 0);
        weft_token *shielded = token_make(here.executor, parent, 10 * MS, WEFT_SHIELDED);
        test_cell *cells[] = {cell_make(NULL, 0), cell_make(NULL, 0), cell_make(NULL, 0)};
        weft_future *born = submit_under(here.executor, plain, cells[0]);
        assert_true(weft_future_cancelled(born));
        assert_discarded(cells[0]);
        weft_future *cleans = submit_under(here.executor, shielded, cells[1]);
        assert_done_soon(cleans);
        assert_ok(cleans, cells[1]);
        assert_false(test_get(cells[1]->saw_cancel));
        weft_future *slow = submit_obedient(here.executor, shielded);
        pass_10_ms(here, shielded);
        assert_expired(shielded);
        assert_done_soon(slow);
        assert_cancelled(slow, WEFT_REASON_TIMEOUT);
        weft_future *late = submit_under(here.executor, shielded, cells[2]);
        assert_cancelled(late, WEFT_REASON_TIMEOUT);
        assert_true(weft_token_cancelled(plain));
        assert_false(weft_token_expired(plain));
        weft_future *futures[] = {born, cleans, slow, late};
        for (unsigned i = 0; i < 4; i++) {
            weft_future_release(futures[i]);
        }
        weft_token_release(parent);
        weft_token_release(plain);
        weft_token_release(shielded);
        assert_timers_soon(0);
        world_end(here);
    }
}

/* A scope that is open at shutdown holds nothing up in any mode, and its timer goes. */
static void test_scope_open_at_shutdown(void **state)
{
    (void)state;
    for (int mode = WEFT_DRAIN; mode <= WEFT_CANCEL_ALL; mode++) {
        world here = world_make(1);
        weft_token *scope = token_make(here.executor, NULL, HOUR, 0);
        test_cell *cell = cell_make(NULL, 0);
        weft_future *job = submit_under(here.executor, scope, cell);
        assert_done_soon(job);
        assert_int_equal(weft_executor_shutdown(here.executor, (weft_shutdown_mode)mode, test_patience()), 0);
        assert_timers_soon(0);
        weft_manual_clock_advance(here.clock, HOUR + TICK);
        assert_false(weft_token_expired(scope));
        assert_int_equal(weft_token_close(scope), 0);
        weft_future_release(job);
        weft_token_release(scope);
        world_end(here);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_scp_01_jobs_are_stopped_at_the_deadline),
        TEST(test_scp_01_on_the_real_clock_with_busy_workers),
        TEST(test_scp_02_closed_in_time),
        TEST(test_scp_02_without_a_deadline_there_is_no_timer),
        TEST(test_scp_02_cancelled_by_the_user_before),
        TEST(test_scp_03_already_due),
        TEST(test_scp_03_born_cancelled_as_soon_as_the_deadline_has_passed),
        TEST(test_scp_04_a_child_expires_and_the_parent_goes_on),
        TEST(test_can_14_the_parent_goes_on_after_a_nested_scope_expired),
        TEST(test_scp_04_a_released_parents_deadline_stays_in_force),
        TEST(test_scp_04_a_job_keeps_its_scope_alive),
        TEST(test_scp_04_a_dropped_scope_leaves_the_wheel),
        TEST(test_scp_04_deadlines_over_two_executors),
        TEST(test_scp_06_reschedule_later_earlier_and_away),
        TEST(test_scp_06_reschedule_to_now),
        TEST(test_scp_06_reschedule_after_close),
        TEST(test_scp_06_a_million_moves_leave_nothing),
        TEST(test_scp_08_cleaning_up_below_a_cancelled_scope),
        TEST(test_scope_open_at_shutdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
