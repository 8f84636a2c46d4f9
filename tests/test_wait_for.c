/* test_wait_for.c: section 10, wait_for (WFO), its flags, and what the rules say of deadlines and requests besides
 * (I11, I15, 0.3, 0.4).
 *
 * Discipline. Time is a manual clock; a deadline of 10 ms is proven by two advances, one that ends a nanosecond before
 * it and one that passes it by more than a timer tick. weft_manual_clock_advance returns when what became due is
 * resolved, so the wrapper's state is asserted without waiting; what the coordinator then does to the inner future is
 * waited for. */
#include "fixtures.h"

typedef struct world {
    weft_clock *clock;
    weft_executor *executor;
} world;

static world world_make(unsigned workers)
{
    world here = {.clock = weft_manual_clock_create()};
    assert_non_null(here.clock);
    here.executor = test_executor_clock(workers, here.clock);
    return here;
}

static void world_end(world here)
{
    test_destroy(here.executor);
    weft_clock_destroy(here.clock);
}

static weft_future *timed(weft_future *inner, int64_t timeout, unsigned flags)
{
    weft_future *future = weft_wait_for(inner, timeout, flags);
    assert_non_null(future);
    return future;
}

/* From 0 to a nanosecond before 10 ms, where nothing may have happened, and then past it. */
static void pass_10_ms(world here, weft_future *wrapper)
{
    weft_manual_clock_advance(here.clock, 10 * MS - 1);
    assert_pending(here.executor, wrapper);
    weft_manual_clock_advance(here.clock, 1 + TICK);
}

static void test_wfo_01_mirrors_what_ends_in_time(void **state)
{
    (void)state;
    const unsigned flags[] = {0, WEFT_JOIN, WEFT_NO_CANCEL, WEFT_JOIN | WEFT_NO_CANCEL};
    for (unsigned i = 0; i < 4; i++) {
        world here = world_make(0);
        inputs in = inputs_make(here.executor, 3);
        weft_future *wrappers[3];
        for (unsigned j = 0; j < 3; j++) {
            wrappers[j] = timed(in.future[j], 10 * MS, flags[i]);
        }
        weft_manual_clock_advance(here.clock, 10 * MS - 1);
        weft_promise_resolve(in.promise[0], &in, NULL);
        weft_promise_reject(in.promise[1], 7);
        assert_int_equal(weft_cancel(in.future[2]), WEFT_CANCEL_DONE);
        for (unsigned j = 0; j < 3; j++) {
            assert_done_soon(wrappers[j]);
        }
        weft_manual_clock_advance(here.clock, 20 * MS);
        assert_ok(wrappers[0], &in);
        assert_err(wrappers[1], 7);
        assert_cancelled(wrappers[2], WEFT_REASON_USER);
        assert_timers_soon(0);
        for (unsigned j = 0; j < 3; j++) {
            weft_future_release(wrappers[j]);
        }
        inputs_free(&in);
        world_end(here);
    }
}

static void test_wfo_01_mirrors_the_reason_of_a_running_job(void **state)
{
    (void)state;
    world here = world_make(2);
    test_latch *started = test_latch_make();
    weft_future *inner = weft_submit(here.executor, test_job_until_cancelled, started);
    weft_future *unasked = weft_submit(here.executor, test_job_cancel_self, NULL);
    weft_future *wrapper = timed(inner, 10 * MS, 0), *other = timed(unasked, 10 * MS, 0);
    assert_true(test_latch_wait(started, 1));
    assert_int_equal(weft_cancel(inner), WEFT_CANCEL_REQUESTED);
    assert_done_soon(wrapper);
    assert_cancelled(wrapper, WEFT_REASON_USER);
    assert_done_soon(other);
    assert_cancelled(other, WEFT_REASON_SELF);
    weft_future_release(wrapper);
    weft_future_release(other);
    weft_future_release(inner);
    weft_future_release(unasked);
    world_end(here);
}

static void queued_inner_at_the_deadline(unsigned flags)
{
    world here = world_make(1);
    test_gate *gate = test_block(here.executor, 1);
    test_cell *cell = cell_make(NULL, 0);
    weft_future *inner = submit(here.executor, cell);
    weft_future *wrapper = timed(inner, 10 * MS, flags);
    pass_10_ms(here, wrapper);
    assert_done_soon(inner);
    assert_cancelled(inner, WEFT_REASON_TIMEOUT);
    assert_int_equal(test_get(cell->arg_freed), 1);
    assert_done_soon(wrapper);
    assert_timed_out(wrapper);
    assert_int_equal(weft_cancel(wrapper), WEFT_CANCEL_TOO_LATE);
    void *value = NULL;
    assert_int_equal(weft_await(wrapper, &value), -ETIMEDOUT);
    assert_int_equal(weft_await(inner, &value), -ECANCELED);
    test_unblock(gate);
    world_end(here);
    assert_int_equal(test_get(cell->ran), 0);
}

static void test_wfo_02_queued_inner_is_cancelled_at_the_deadline(void **state)
{
    (void)state;
    queued_inner_at_the_deadline(0);
    queued_inner_at_the_deadline(WEFT_JOIN);
}

static void test_wfo_02_promise_is_cancelled_at_the_deadline(void **state)
{
    (void)state;
    world here = world_make(0);
    inputs in = inputs_make(here.executor, 1);
    weft_future *wrapper = timed(in.future[0], 10 * MS, 0);
    pass_10_ms(here, wrapper);
    assert_timed_out(wrapper);
    assert_done_soon(in.future[0]);
    assert_cancelled(in.future[0], WEFT_REASON_TIMEOUT);
    assert_int_equal(weft_promise_resolve(in.promise[0], NULL, NULL), -EALREADY);
    weft_future_release(wrapper);
    inputs_free(&in);
    world_end(here);
}

static void test_wfo_03_deadline_passes_while_running(void **state)
{
    (void)state;
    static stubborn job;
    void *value = NULL;
    world here = world_make(1);
    weft_future *inner = submit_stubborn(here.executor, &job, 0);
    weft_future *wrapper = timed(inner, 10 * MS, 0);
    pass_10_ms(here, wrapper);
    assert_int_equal(weft_future_state(wrapper), WEFT_TIMED_OUT);
    assert_true(test_latch_wait(job.asked, 1));
    assert_int_equal(weft_future_state(inner), WEFT_RUNNING);
    assert_int_equal(weft_cancel(inner), WEFT_CANCEL_ALREADY);
    assert_timers_soon(0);
    test_gate_open(job.cell->gate);
    assert_done_soon(inner);
    assert_ok(inner, job.cell);
    assert_timed_out(wrapper);
    assert_int_equal(weft_future_get(wrapper, &value), -ETIMEDOUT);
    assert_int_equal(weft_await(wrapper, NULL), -ETIMEDOUT);
    assert_int_equal(weft_await(inner, &value), 0);
    assert_ptr_equal(value, job.cell);
    world_end(here);
}

/* I11: no worker is free, and the deadline is met all the same. */
static void test_wfo_03_deadline_on_the_real_clock_with_busy_workers(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    inputs in = inputs_make(executor, 1);
    int64_t start = weft_now();
    weft_future *wrapper = timed(in.future[0], 30 * MS, WEFT_NO_CANCEL);
    assert_int_equal(weft_future_wait(wrapper, test_patience()), 0);
    int64_t took = weft_now() - start;
    assert_timed_out(wrapper);
    assert_true(took >= 30 * MS);
    assert_true(took <= 30 * MS + 250 * MS);
    weft_future_release(wrapper);
    inputs_free(&in);
    test_unblock(gate);
    test_destroy(executor);
}

static void join_after_the_deadline(int code)
{
    static stubborn job;
    world here = world_make(1);
    weft_future *inner = submit_stubborn(here.executor, &job, code);
    weft_future *wrapper = timed(inner, 10 * MS, WEFT_JOIN);
    pass_10_ms(here, wrapper);
    assert_true(test_latch_wait(job.asked, 1));
    assert_pending(here.executor, wrapper);
    assert_timers_soon(0);
    test_gate_open(job.cell->gate);
    assert_done_soon(wrapper);
    assert_true(weft_future_done(inner));
    if (code == 0) {
        assert_ok(wrapper, job.cell);
    } else if (code == -ECANCELED) {
        assert_timed_out(wrapper);
        assert_cancelled(inner, WEFT_REASON_TIMEOUT);
    } else {
        assert_err(wrapper, code);
    }
    weft_future_release(wrapper);
    weft_future_release(inner);
    world_end(here);
}

static void test_wfo_04_join_waits_for_the_inner_future(void **state)
{
    (void)state;
    join_after_the_deadline(-ECANCELED);
    join_after_the_deadline(0);
    join_after_the_deadline(7);
}

static void test_wfo_05_no_cancel_leaves_the_inner_future_alone(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 2; way++) {
        world here = world_make(1);
        test_gate *gate = test_gate_make();
        test_cell *cell = cell_make(gate, 0);
        weft_future *inner = submit(here.executor, cell);
        weft_future *shield = way == 0 ? weft_future_retain(inner) : weft_shield(inner);
        weft_future *wrapper = timed(shield, 10 * MS, way == 0 ? WEFT_NO_CANCEL : 0);
        assert_true(test_gate_await(gate, 1));
        pass_10_ms(here, wrapper);
        assert_timed_out(wrapper);
        flush(here.executor);
        assert_int_equal(weft_future_state(inner), WEFT_RUNNING);
        if (way == 1) {
            assert_cancelled(shield, WEFT_REASON_TIMEOUT);
        }
        test_gate_open(gate);
        assert_done_soon(inner);
        assert_false(test_get(cell->saw_cancel));
        assert_ok(inner, cell);
        weft_future_release(wrapper);
        weft_future_release(shield);
        weft_future_release(inner);
        world_end(here);
    }
}

static void test_wfo_05_no_cancel_with_join_waits_in_peace(void **state)
{
    (void)state;
    world here = world_make(1);
    test_gate *gate = test_gate_make();
    test_cell *cell = cell_make(gate, 0);
    weft_future *inner = submit(here.executor, cell);
    weft_future *wrapper = timed(inner, 10 * MS, WEFT_JOIN | WEFT_NO_CANCEL);
    assert_true(test_gate_await(gate, 1));
    pass_10_ms(here, wrapper);
    assert_pending(here.executor, wrapper);
    test_gate_open(gate);
    assert_done_soon(wrapper);
    assert_false(test_get(cell->saw_cancel));
    assert_ok(wrapper, cell);
    weft_future_release(wrapper);
    weft_future_release(inner);
    world_end(here);
}

static void test_wfo_06_timeout_zero_and_negative(void **state)
{
    (void)state;
    const int64_t timeouts[] = {0, -1, INT64_MIN};
    for (unsigned i = 0; i < 3; i++) {
        static stubborn job;
        world here = world_make(1);
        weft_future *ended = weft_submit(here.executor, test_job_return_arg, &here);
        assert_done_soon(ended);
        weft_future *running = submit_stubborn(here.executor, &job, 0);
        test_cell *cell = cell_make(NULL, 0);
        weft_future *queued = submit(here.executor, cell);
        weft_future *of_ended = timed(ended, timeouts[i], 0);
        weft_future *of_queued = timed(queued, timeouts[i], 0);
        weft_future *of_running = timed(running, timeouts[i], 0);
        assert_done_soon(of_ended);
        assert_ok(of_ended, &here);
        assert_done_soon(of_queued);
        assert_timed_out(of_queued);
        assert_done_soon(of_running);
        assert_timed_out(of_running);
        assert_done_soon(queued);
        assert_cancelled(queued, WEFT_REASON_TIMEOUT);
        assert_true(test_latch_wait(job.asked, 1));
        test_gate_open(job.cell->gate);
        assert_done_soon(running);
        assert_ok(running, job.cell);
        weft_future *all[] = {ended, running, queued, of_ended, of_queued, of_running};
        for (unsigned j = 0; j < 6; j++) {
            weft_future_release(all[j]);
        }
        world_end(here);
        assert_int_equal(test_get(cell->ran), 0);
    }
}

static void test_wfo_07_forever_arms_no_timer(void **state)
{
    (void)state;
    world here = world_make(1);
    inputs in = inputs_make(here.executor, 2);
    weft_future *finite = timed(in.future[1], 10 * MS, 0);
    assert_timers_soon(1);
    weft_future *wrapper = timed(in.future[0], WEFT_FOREVER, 0);
    flush(here.executor);
    assert_timers_soon(1);
    weft_future_release(finite);
    assert_timers_soon(0);
    weft_manual_clock_advance(here.clock, INT64_MAX / 2);
    assert_pending(here.executor, wrapper);
    weft_promise_resolve(in.promise[0], &in, NULL);
    assert_done_soon(wrapper);
    assert_ok(wrapper, &in);
    weft_future_release(wrapper);
    inputs_free(&in);
    world_end(here);
}

static void test_wfo_10_cancel_of_the_wrapper(void **state)
{
    (void)state;
    static stubborn job;
    world here = world_make(1);
    weft_future *running = submit_stubborn(here.executor, &job, -ECANCELED);
    test_cell *cell = cell_make(NULL, 0);
    weft_future *queued = submit(here.executor, cell);
    weft_future *of_running = timed(running, 10 * MS, 0), *of_queued = timed(queued, 10 * MS, 0);
    assert_int_equal(weft_cancel(of_running), WEFT_CANCEL_DONE);
    assert_cancelled(of_running, WEFT_REASON_USER);
    assert_int_equal(weft_cancel(of_queued), WEFT_CANCEL_DONE);
    assert_cancelled(of_queued, WEFT_REASON_USER);
    assert_int_equal(weft_cancel(of_queued), WEFT_CANCEL_TOO_LATE);
    assert_true(test_latch_wait(job.asked, 1));
    assert_done_soon(queued);
    assert_cancelled(queued, WEFT_REASON_PARENT);
    assert_timers_soon(0);
    weft_manual_clock_advance(here.clock, 20 * MS);
    assert_cancelled(of_running, WEFT_REASON_USER);
    test_gate_open(job.cell->gate);
    assert_done_soon(running);
    assert_cancelled(running, WEFT_REASON_PARENT);
    weft_future *all[] = {running, queued, of_running, of_queued};
    for (unsigned i = 0; i < 4; i++) {
        weft_future_release(all[i]);
    }
    world_end(here);
    assert_int_equal(test_get(cell->ran), 0);
}

/* With JOIN the cancel is a request; CANCELLED when the inner future is DONE, however that ends, also after the
 * deadline. */
static void cancel_of_a_joining_wrapper(int code, bool after_the_deadline)
{
    static stubborn job;
    world here = world_make(1);
    weft_future *inner = submit_stubborn(here.executor, &job, code);
    weft_future *wrapper = timed(inner, 10 * MS, WEFT_JOIN);
    if (after_the_deadline) {
        pass_10_ms(here, wrapper);
        assert_true(test_latch_wait(job.asked, 1));
    }
    assert_int_equal(weft_cancel(wrapper), WEFT_CANCEL_REQUESTED);
    assert_int_equal(weft_cancel(wrapper), WEFT_CANCEL_ALREADY);
    assert_true(test_latch_wait(job.asked, 1));
    assert_pending(here.executor, wrapper);
    test_gate_open(job.cell->gate);
    assert_done_soon(wrapper);
    assert_true(weft_future_done(inner));
    assert_cancelled(wrapper, WEFT_REASON_USER);
    if (code == -ECANCELED) {
        assert_cancelled(inner, after_the_deadline ? WEFT_REASON_TIMEOUT : WEFT_REASON_PARENT);
    }
    weft_future_release(wrapper);
    weft_future_release(inner);
    world_end(here);
}

static void test_wfo_10_cancel_of_a_joining_wrapper_is_a_request(void **state)
{
    (void)state;
    cancel_of_a_joining_wrapper(-ECANCELED, false);
    cancel_of_a_joining_wrapper(0, false);
    cancel_of_a_joining_wrapper(7, false);
    cancel_of_a_joining_wrapper(0, true);
    cancel_of_a_joining_wrapper(-ECANCELED, true);
}

/* 0.4: NO_CANCEL passes no cancel on, not the user's either. */
static void test_wfo_10_no_cancel_stops_the_users_cancel(void **state)
{
    (void)state;
    for (unsigned join = 0; join < 2; join++) {
        world here = world_make(1);
        test_gate *gate = test_gate_make();
        test_cell *cell = cell_make(gate, 0);
        weft_future *inner = submit(here.executor, cell);
        weft_future *wrapper = timed(inner, 10 * MS, WEFT_NO_CANCEL | (join != 0 ? WEFT_JOIN : 0));
        assert_true(test_gate_await(gate, 1));
        assert_int_equal(weft_cancel(wrapper), join != 0 ? WEFT_CANCEL_REQUESTED : WEFT_CANCEL_DONE);
        flush(here.executor);
        assert_int_equal(weft_future_done(wrapper), join == 0);
        test_gate_open(gate);
        assert_done_soon(wrapper);
        assert_done_soon(inner);
        assert_cancelled(wrapper, WEFT_REASON_USER);
        assert_false(test_get(cell->saw_cancel));
        assert_ok(inner, cell);
        weft_future_release(wrapper);
        weft_future_release(inner);
        world_end(here);
    }
}

/* WFO-12: the job uses its argument until it returns, whoever still looks. */
static void *uses_its_argument(void *argument)
{
    test_cell *cell = *(test_cell **)argument;
    test_cell_run(cell);
    TEST_EXPECT(*(test_cell **)argument == cell);
    return NULL;
}

static void frees_its_argument(void *argument)
{
    test_cell_free_arg(*(test_cell **)argument);
    free(argument);
}

static void test_wfo_12_argument_is_safe_after_the_deadline(void **state)
{
    (void)state;
    for (unsigned walks_away = 0; walks_away < 2; walks_away++) {
        world here = world_make(1);
        test_gate *gate = test_gate_make();
        test_cell *cell = cell_make(gate, 0), **argument = malloc(sizeof *argument);
        *argument = cell;
        weft_submit_options options = {.free_arg = walks_away != 0 ? frees_its_argument : NULL};
        weft_future *inner = weft_submit_with(here.executor, uses_its_argument, argument, &options);
        assert_true(test_gate_await(gate, 1));
        weft_future *wrapper = timed(inner, 10 * MS, 0);
        pass_10_ms(here, wrapper);
        assert_int_equal(weft_await(wrapper, NULL), -ETIMEDOUT);
        flush(here.executor);
        assert_int_equal(test_get(cell->arg_freed), 0);
        if (walks_away != 0) {
            weft_future_release(inner);
            test_gate_open(gate);
        } else {
            test_gate_open(gate);
            assert_int_equal(weft_await(inner, NULL), 0);
            assert_int_equal(test_get(cell->returned), 1);
            free(argument);
        }
        world_end(here);
        assert_int_equal(test_get(cell->arg_freed), walks_away);
        assert_int_equal(test_get(cell->returned), 1);
    }
}

/* I15: deadlines far away of jobs that end at once neither stay in the wheel nor in memory. */
static void test_wfo_13_a_million_deadlines_leave_nothing(void **state)
{
    enum { BATCH = 1000 };
    static weft_future *wrappers[BATCH];
    size_t after_first = 0;
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned batch = 0; batch < test_rounds(1000000 / BATCH); batch++) {
        for (unsigned i = 0; i < BATCH; i++) {
            weft_future *inner = weft_submit(executor, test_job_return_arg, NULL);
            wrappers[i] = timed(inner, 3600 * 1000 * MS, 0);
            weft_future_release(inner);
        }
        for (unsigned i = 0; i < BATCH; i++) {
            assert_int_equal(weft_await(wrappers[i], NULL), 0);
        }
        assert_timers_soon(0);
        size_t bytes = test_counters().bytes;
        after_first = batch == 0 ? bytes : after_first;
        assert_true(bytes <= 2 * after_first + (1 << 20));
    }
    assert_true(test_until_counters(0, 0, 0));
    test_destroy(executor);
}

static void test_wfo_nested_deadlines(void **state)
{
    (void)state;
    const int64_t outer_first[] = {20 * MS, 10 * MS}, inner_first[] = {10 * MS, 20 * MS};
    const int64_t *both[] = {outer_first, inner_first};
    for (unsigned i = 0; i < 2; i++) {
        world here = world_make(0);
        inputs in = inputs_make(here.executor, 1);
        weft_future *below = timed(in.future[0], both[i][0], 0), *above = timed(below, both[i][1], 0);
        pass_10_ms(here, above);
        assert_done_soon(above);
        assert_timed_out(above);
        assert_done_soon(below);
        if (i == 0) {
            assert_cancelled(below, WEFT_REASON_TIMEOUT);
        } else {
            assert_timed_out(below);
        }
        assert_done_soon(in.future[0]);
        assert_cancelled(in.future[0], WEFT_REASON_TIMEOUT);
        assert_timers_soon(0);
        weft_future_release(above);
        weft_future_release(below);
        inputs_free(&in);
        world_end(here);
    }
}

static void test_wfo_dropped_wrapper_has_no_deadline(void **state)
{
    (void)state;
    world here = world_make(0);
    inputs in = inputs_make(here.executor, 1);
    weft_future_release(timed(in.future[0], 10 * MS, 0));
    assert_timers_soon(0);
    weft_manual_clock_advance(here.clock, 20 * MS);
    assert_pending(here.executor, in.future[0]);
    inputs_free(&in);
    world_end(here);
}

static void test_wfo_shutdown_and_after(void **state)
{
    (void)state;
    for (int mode = WEFT_DRAIN; mode <= WEFT_CANCEL_ALL; mode++) {
        world here = world_make(0);
        inputs in = inputs_make(here.executor, 2);
        weft_promise_resolve(in.promise[1], &in, NULL);
        weft_future *wrapper = timed(in.future[0], 3600 * 1000 * MS, 0);
        assert_int_equal(weft_executor_shutdown(here.executor, (weft_shutdown_mode)mode, test_patience()), 0);
        assert_cancelled(wrapper, WEFT_REASON_SHUTDOWN);
        assert_timers_soon(0);
        world_end(here);
        errno = 0;
        assert_null(weft_wait_for(in.future[1], 10 * MS, 0));
        assert_int_equal(errno, ESHUTDOWN);
        assert_ok(in.future[1], &in);
        weft_future_release(wrapper);
        inputs_free(&in);
    }
}

static void test_wfo_of_null_is_null(void **state)
{
    (void)state;
    errno = ENOMEM;
    assert_null(weft_wait_for(NULL, 10 * MS, 0));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(weft_await(weft_wait_for(NULL, 0, WEFT_JOIN), NULL), -ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wfo_01_mirrors_what_ends_in_time),
        TEST(test_wfo_01_mirrors_the_reason_of_a_running_job),
        TEST(test_wfo_02_queued_inner_is_cancelled_at_the_deadline),
        TEST(test_wfo_02_promise_is_cancelled_at_the_deadline),
        TEST(test_wfo_03_deadline_passes_while_running),
        TEST(test_wfo_03_deadline_on_the_real_clock_with_busy_workers),
        TEST(test_wfo_04_join_waits_for_the_inner_future),
        TEST(test_wfo_05_no_cancel_leaves_the_inner_future_alone),
        TEST(test_wfo_05_no_cancel_with_join_waits_in_peace),
        TEST(test_wfo_06_timeout_zero_and_negative),
        TEST(test_wfo_07_forever_arms_no_timer),
        TEST(test_wfo_10_cancel_of_the_wrapper),
        TEST(test_wfo_10_cancel_of_a_joining_wrapper_is_a_request),
        TEST(test_wfo_10_no_cancel_stops_the_users_cancel),
        TEST(test_wfo_12_argument_is_safe_after_the_deadline),
        TEST(test_wfo_13_a_million_deadlines_leave_nothing),
        TEST(test_wfo_nested_deadlines),
        TEST(test_wfo_dropped_wrapper_has_no_deadline),
        TEST(test_wfo_shutdown_and_after),
        TEST(test_wfo_of_null_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
