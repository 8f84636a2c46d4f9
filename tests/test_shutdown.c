/* test_shutdown.c: how an executor ends (SHD, and what 0.4 says of shutdown and draining).
 *
 * A gate job keeps the executor from becoming quiet for as long as a test looks at the state in between. */
#include "support.h"

static const weft_shutdown_mode modes[] = {WEFT_DRAIN, WEFT_CANCEL_PENDING, WEFT_CANCEL_ALL};

/* A thread in shutdown or in destroy. */
struct closing {
    weft_executor *executor;
    weft_shutdown_mode mode;
    int64_t timeout;
    bool destroy;
    test_latch *begun, *ended;
    _Atomic(int) answer;
    pthread_t thread;
};

static void *close_executor(void *arg)
{
    struct closing *closing = arg;
    test_latch_hit(closing->begun);
    int answer = closing->destroy ? weft_executor_destroy(closing->executor)
                                  : weft_executor_shutdown(closing->executor, closing->mode, closing->timeout);
    atomic_store_explicit(&closing->answer, answer, memory_order_release);
    test_latch_hit(closing->ended);
    return NULL;
}

static void start_closing(struct closing *closing, weft_executor *executor, weft_shutdown_mode mode)
{
    closing->executor = executor;
    closing->mode = mode;
    closing->timeout = WEFT_FOREVER;
    closing->begun = test_latch_make();
    closing->ended = test_latch_make();
    closing->thread = test_spawn(close_executor, closing);
    test_latch_wait(closing->begun, 1);
}

static int finish_closing(struct closing *closing)
{
    test_join(closing->thread);
    return test_get(closing->answer);
}

/* SHD-01 */

static void check_refused(weft_executor *executor)
{
    test_cell cell = {.code = 0};
    void *args[] = {&cell, &cell};
    weft_future *futures[] = {NULL, NULL};
    const weft_submit_options options = {.free_arg = test_cell_free_arg, .free_value = test_cell_free_value};
    const weft_submit_options delayed = {.free_arg = test_cell_free_arg, .delay = 1};
    errno = 0;
    assert_null(weft_submit(executor, test_cell_run, &cell));
    assert_int_equal(errno, ESHUTDOWN);
    errno = 0;
    assert_null(weft_submit_with(executor, test_cell_run, &cell, &options));
    assert_int_equal(errno, ESHUTDOWN);
    errno = 0;
    assert_null(weft_submit_with(executor, test_cell_run, &cell, &delayed));
    assert_int_equal(errno, ESHUTDOWN);
    errno = 0;
    assert_null(weft_submit_copy(executor, test_cell_run, &cell, sizeof cell));
    assert_int_equal(errno, ESHUTDOWN);
    assert_int_equal(weft_submit_many(executor, test_cell_run, args, 2, futures), -ESHUTDOWN);
    assert_int_equal(weft_execute(executor, test_cell_run, &cell), -ESHUTDOWN);
    assert_int_equal(test_get(cell.ran) + test_get(cell.arg_freed) + test_get(cell.value_freed), 0);
}

static void test_shd_01_submit_from_outside_is_refused_once_shutdown_began(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        weft_executor *executor = test_executor(1);
        test_gate *gate = test_block(executor, 1);
        assert_int_equal(weft_executor_shutdown(executor, modes[i], 0), -ETIMEDOUT);
        check_refused(executor);
        test_unblock(gate);
        assert_int_equal(weft_executor_shutdown(executor, modes[i], WEFT_FOREVER), 0);
        check_refused(executor);
        errno = 0;
        assert_null(weft_sleep(executor, 0, NULL));
        assert_int_equal(errno, ESHUTDOWN);
        errno = 0;
        assert_null(weft_promise_create(executor));
        assert_int_equal(errno, ESHUTDOWN);
        test_destroy(executor);
    }
}

struct outsider {
    weft_executor *other;
    int answer, code;
};

static void *submit_to_other(void *arg)
{
    struct outsider *outsider = arg;
    errno = 0;
    weft_future *future = weft_submit(outsider->other, test_job_return_arg, NULL);
    outsider->code = future == NULL ? errno : 0;
    weft_future_release(future);
    outsider->answer = weft_execute(outsider->other, test_job_return_arg, NULL);
    return NULL;
}

static void test_shd_01_a_job_of_another_executor_is_outside(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1), *other = test_executor(1);
    struct outsider outsider = {.other = executor};
    test_gate *gate = test_block(executor, 1);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT);
    assert_int_equal(weft_await(weft_submit(other, submit_to_other, &outsider), NULL), 0);
    assert_int_equal(outsider.code, ESHUTDOWN);
    assert_int_equal(outsider.answer, -ESHUTDOWN);
    test_unblock(gate);
    test_destroy(executor);
    test_destroy(other);
}

/* Threads submit while another shuts down: what was accepted is DONE when it returns, what was not is untouched. */
struct submitter {
    weft_executor *executor;
    test_barrier *start;
    unsigned accepted;
    _Atomic(unsigned) ran;
};

static void *count_run(void *arg)
{
    struct submitter *submitter = arg;
    atomic_fetch_add_explicit(&submitter->ran, 1, memory_order_relaxed);
    return NULL;
}

static void *submit_until_refused(void *arg)
{
    struct submitter *submitter = arg;
    test_barrier_meet(submitter->start);
    while (submitter->accepted < 100000) {
        weft_future *future = weft_submit(submitter->executor, count_run, submitter);
        if (future == NULL) {
            TEST_EXPECT(errno == ESHUTDOWN);
            break;
        }
        submitter->accepted++;
        weft_future_release(future);
    }
    return NULL;
}

static void test_shd_01_race_of_submits_with_shutdown(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    for (unsigned round = 0; round < test_rounds(60); round++) {
        weft_executor *executor = test_executor(2);
        struct submitter submitters[THREADS];
        pthread_t threads[THREADS];
        test_barrier *start = test_barrier_make(THREADS + 1);
        for (int i = 0; i < THREADS; i++) {
            submitters[i] = (struct submitter){.executor = executor, .start = start};
            threads[i] = test_spawn(submit_until_refused, &submitters[i]);
        }
        test_barrier_meet(start);
        test_pause((round % 8) * 30000);
        assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
        for (int i = 0; i < THREADS; i++) {
            test_join(threads[i]);
            assert_int_equal(test_get(submitters[i].ran), submitters[i].accepted);
        }
        test_destroy(executor);
    }
}

/* SHD-02 */

enum { JOBS = 50 };

static void test_shd_02_drain_ends_every_job_and_callback(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    test_latch *latch = test_latch_make();
    test_cell cells[JOBS];
    weft_future *jobs[JOBS];
    memset(cells, 0, sizeof cells);
    for (int i = 0; i < JOBS; i++) {
        cells[i].value = &cells[i];
        cells[i].code = i % 5 == 0 ? i + 1 : 0;
        jobs[i] = weft_submit(executor, test_cell_run, &cells[i]);
        assert_int_equal(weft_on_done(jobs[i], test_hit_latch, latch, NULL), 0);
    }
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(test_latch_count(latch), JOBS);
    for (int i = 0; i < JOBS; i++) {
        assert_true(weft_future_done(jobs[i]));
        if (cells[i].code != 0) {
            assert_err(jobs[i], cells[i].code);
        } else {
            assert_ok(jobs[i], &cells[i]);
        }
        assert_int_equal(test_get(cells[i].ran), 1);
        assert_false(test_get(cells[i].saw_cancel));
        weft_future_release(jobs[i]);
    }
    test_destroy(executor);
}

static void test_shd_02_destroy_drains(void **state)
{
    (void)state;
    for (unsigned round = 0; round < test_rounds(100); round++) {
        weft_executor *executor = test_executor(0);
        test_cell cells[JOBS];
        memset(cells, 0, sizeof cells);
        for (int i = 0; i < JOBS; i++) {
            assert_int_equal(weft_execute(executor, test_cell_run, &cells[i]), 0);
        }
        test_destroy(executor);
        for (int i = 0; i < JOBS; i++) {
            assert_int_equal(test_get(cells[i].returned), 1);
        }
    }
}

static void test_shd_02_an_idle_executor_ends_at_once(void **state)
{
    (void)state;
    for (unsigned round = 0; round < test_rounds(100); round++) {
        weft_executor *executor = test_executor(1 + round % 4);
        if (round % 2 == 0) {
            assert_int_equal(weft_executor_shutdown(executor, modes[round % 3], WEFT_FOREVER), 0);
        }
        test_destroy(executor);
    }
}

/* Quiet includes the destructors and callbacks that weft's own threads run. */
static test_gate *slow_destructor;

static void free_slowly(void *value)
{
    (void)value;
    test_gate_pass(slow_destructor);
}

static void test_shd_02_quiet_includes_destructors(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct closing closing = {.answer = 1};
    test_gate *gate = test_gate_make();
    const weft_submit_options freeing = {.free_value = free_slowly};
    slow_destructor = test_gate_make();
    weft_future *job = weft_submit_with(executor, test_gate_job, gate, &freeing);
    weft_future_release(job);
    test_gate_open(gate);
    test_gate_await(slow_destructor, 1);
    start_closing(&closing, executor, WEFT_DRAIN);
    assert_false(test_latch_wait_for(closing.ended, 1, WEFT_MILLISECONDS(30)));
    test_gate_open(slow_destructor);
    assert_int_equal(finish_closing(&closing), 0);
    test_destroy(executor);
}

static int pass_gate(weft_future *future, void *gate)
{
    (void)future;
    test_gate_pass(gate);
    return 0;
}

static void test_shd_02_quiet_includes_callbacks(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct closing closing = {.answer = 1};
    test_gate *gate = test_gate_make();
    test_latch *after = test_latch_make();
    weft_future *done = test_done_future(executor);
    assert_int_equal(weft_on_done(done, pass_gate, gate, NULL), 0);
    assert_int_equal(weft_on_done(done, test_hit_latch, after, NULL), 0);
    weft_future_release(done);
    test_gate_await(gate, 1);
    start_closing(&closing, executor, WEFT_CANCEL_ALL);
    assert_false(test_latch_wait_for(closing.ended, 1, WEFT_MILLISECONDS(30)));
    test_gate_open(gate);
    assert_int_equal(finish_closing(&closing), 0);
    assert_int_equal(test_latch_count(after), 1);
    test_destroy(executor);
}

/* SHD-03 */

static void check_cancelling(weft_shutdown_mode mode)
{
    enum { WORKERS = 2 };
    weft_executor *executor = test_executor(WORKERS);
    test_gate *gate = test_gate_make();
    test_cell cells[JOBS];
    weft_future *jobs[JOBS];
    const weft_submit_options freeing = {.free_arg = test_cell_free_arg};
    memset(cells, 0, sizeof cells);
    for (int i = 0; i < JOBS; i++) {
        cells[i].gate = gate;
        cells[i].value = &cells[i];
        jobs[i] = weft_submit_with(executor, test_cell_run, &cells[i], &freeing);
        if (i == WORKERS - 1) {
            test_gate_await(gate, WORKERS);
        }
    }
    assert_int_equal(weft_executor_shutdown(executor, mode, WEFT_MILLISECONDS(10)), -ETIMEDOUT);
    for (int i = WORKERS; i < JOBS; i++) {
        assert_done_soon(jobs[i]);
        assert_cancelled(jobs[i], WEFT_REASON_SHUTDOWN);
        assert_int_equal(test_get(cells[i].arg_freed), 1);
    }
    assert_int_equal(weft_future_state(jobs[0]), WEFT_RUNNING);
    test_gate_open(gate);
    assert_int_equal(weft_executor_shutdown(executor, mode, WEFT_FOREVER), 0);
    for (int i = 0; i < JOBS; i++) {
        assert_true(weft_future_done(jobs[i]));
        assert_int_equal(test_get(cells[i].ran), i < WORKERS ? 1 : 0);
        assert_int_equal(test_get(cells[i].arg_freed), 1);
        if (i < WORKERS) {
            assert_ok(jobs[i], &cells[i]);
            assert_int_equal(test_get(cells[i].saw_cancel), mode == WEFT_CANCEL_ALL);
        }
        weft_future_release(jobs[i]);
    }
    test_destroy(executor);
}

static void test_shd_03_cancel_pending_lets_running_jobs_be(void **state)
{
    (void)state;
    check_cancelling(WEFT_CANCEL_PENDING);
}

static void test_shd_03_cancel_all_asks_running_jobs_too(void **state)
{
    (void)state;
    check_cancelling(WEFT_CANCEL_ALL);
}

enum { MORE = 100 }; /* than shutdown finds in one walk, if it has to walk for them */

/* What a busy worker has submitted itself, in each of the ways in which that comes into its own queue. */
typedef struct busy {
    weft_executor *executor;
    test_gate *gate;
    weft_future *plain, *with_options, *then, *more[MORE];
    test_cell cells[4];
} busy;

static void *run_cell(void *value, void *cell)
{
    (void)value;
    return test_cell_run(cell);
}

static void *submit_and_be_busy(void *arg)
{
    busy *b = arg;
    const weft_submit_options freeing = {.free_arg = test_cell_free_arg};
    weft_promise *promise = weft_promise_create(b->executor);
    weft_future *future = weft_promise_future(promise);
    b->plain = weft_submit(b->executor, test_cell_run, &b->cells[0]);
    b->with_options = weft_submit_with(b->executor, test_cell_run, &b->cells[1], &freeing);
    b->then = weft_then(future, run_cell, &b->cells[2]);
    weft_promise_resolve(promise, NULL, NULL); /* here, so the then is this worker's */
    weft_future_release(future);
    weft_promise_destroy(promise);
    for (int i = 0; i < MORE; i++) {
        b->more[i] = weft_submit(b->executor, test_cell_run, &b->cells[3]);
    }
    test_gate_pass(b->gate);
    return NULL;
}

static void check_jobs_of_a_busy_worker(unsigned workers)
{
    busy b = {.executor = test_executor(workers), .gate = test_gate_make()};
    test_gate *others = workers > 1 ? test_block(b.executor, workers - 1) : NULL;
    weft_future *job = weft_submit(b.executor, submit_and_be_busy, &b);
    test_gate_await(b.gate, 1);
    assert_int_equal(weft_executor_shutdown(b.executor, WEFT_CANCEL_PENDING, WEFT_MILLISECONDS(10)), -ETIMEDOUT);
    weft_future *queued[] = {b.plain, b.with_options, b.then};
    for (int i = 0; i < 3; i++) {
        assert_done_soon(queued[i]);
        assert_cancelled(queued[i], WEFT_REASON_SHUTDOWN);
        assert_int_equal(test_get(b.cells[i].ran), 0);
        weft_future_release(queued[i]);
    }
    assert_int_equal(test_get(b.cells[1].arg_freed), 1);
    for (int i = 0; i < MORE; i++) {
        assert_done_soon(b.more[i]);
        assert_cancelled(b.more[i], WEFT_REASON_SHUTDOWN);
        weft_future_release(b.more[i]);
    }
    assert_int_equal(test_get(b.cells[3].ran), 0);
    assert_int_equal(weft_future_state(job), WEFT_RUNNING);
    test_gate_open(b.gate);
    if (others) {
        test_unblock(others);
    }
    assert_int_equal(weft_await(job, NULL), 0);
    test_destroy(b.executor);
}

static void test_shd_03_cancel_pending_finds_what_a_busy_worker_submitted(void **state)
{
    (void)state;
    check_jobs_of_a_busy_worker(1);
    check_jobs_of_a_busy_worker(2);
}

static void test_shd_03_a_job_that_obeys_is_cancelled_by_shutdown(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_latch *running = test_latch_make();
    weft_future *obeys = weft_submit(executor, test_job_until_cancelled, running);
    test_latch_wait(running, 1);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_ALL, WEFT_FOREVER), 0);
    assert_cancelled(obeys, WEFT_REASON_SHUTDOWN);
    weft_future_release(obeys);
    test_destroy(executor);
}

/* The first reason stays: a job that the user had asked to stop before is CANCELLED(USER). */
static void test_shd_03_an_earlier_reason_stays(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell cell = {.code = -ECANCELED, .gate = test_gate_make()};
    weft_future *job = weft_submit(executor, test_cell_run, &cell);
    test_gate_await(cell.gate, 1);
    assert_int_equal(weft_cancel(job), WEFT_CANCEL_REQUESTED);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_ALL, 0), -ETIMEDOUT);
    assert_int_equal(weft_cancel(job), WEFT_CANCEL_ALREADY);
    test_gate_open(cell.gate);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_ALL, WEFT_FOREVER), 0);
    assert_cancelled(job, WEFT_REASON_USER);
    weft_future_release(job);
    test_destroy(executor);
}

/* Shutdown against jobs that are just starting and against users that cancel: each job has one of the outcomes that the
 * rules allow and its argument is released once. */
static void test_shd_03_race_of_cancelling_with_starting_jobs(void **state)
{
    (void)state;
    const weft_submit_options freeing = {.free_arg = test_cell_free_arg};
    for (unsigned round = 0; round < test_rounds(200); round++) {
        weft_executor *executor = test_executor(2);
        test_cell cells[JOBS];
        weft_future *jobs[JOBS];
        memset(cells, 0, sizeof cells);
        for (int i = 0; i < JOBS; i++) {
            cells[i].value = &cells[i];
            jobs[i] = weft_submit_with(executor, test_cell_run, &cells[i], &freeing);
        }
        weft_cancel(jobs[JOBS / 2]);
        assert_int_equal(weft_executor_shutdown(executor, modes[1 + round % 2], WEFT_FOREVER), 0);
        for (int i = 0; i < JOBS; i++) {
            weft_outcome outcome;
            assert_int_equal(weft_future_outcome(jobs[i], &outcome), 0);
            assert_int_equal(test_get(cells[i].ran), outcome.state == WEFT_SUCCEEDED ? 1 : 0);
            assert_int_equal(test_get(cells[i].arg_freed), 1);
            if (outcome.state != WEFT_SUCCEEDED) {
                assert_int_equal(outcome.state, WEFT_CANCELLED);
                assert_true(outcome.reason == WEFT_REASON_SHUTDOWN ||
                            (i == JOBS / 2 && outcome.reason == WEFT_REASON_USER));
            }
            weft_future_release(jobs[i]);
        }
        test_destroy(executor);
    }
}

/* SHD-05 */

static void test_shd_05_four_threads_shut_down_at_once(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    weft_executor *executor = test_executor(2);
    struct closing closings[THREADS];
    test_gate *gate = test_block(executor, 2);
    memset(closings, 0, sizeof closings);
    for (int i = 0; i < THREADS; i++) {
        start_closing(&closings[i], executor, WEFT_DRAIN);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_false(test_latch_wait_for(closings[i].ended, 1, WEFT_MILLISECONDS(10)));
    }
    test_unblock(gate);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(finish_closing(&closings[i]), 0);
    }
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_ALL, 0), 0);
    test_destroy(executor);
}

static void test_shd_05_the_stronger_mode_takes_effect_meanwhile(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct closing drain = {.answer = 1}, cancel = {.answer = 1};
    test_cell running = {.value = &running, .gate = test_gate_make()}, queued = {.code = 0};
    weft_future *one = weft_submit(executor, test_cell_run, &running);
    weft_future *two = weft_submit(executor, test_cell_run, &queued);
    test_gate_await(running.gate, 1);
    start_closing(&drain, executor, WEFT_DRAIN);
    assert_false(test_latch_wait_for(drain.ended, 1, WEFT_MILLISECONDS(10)));
    assert_int_equal(weft_future_state(two), WEFT_PENDING);
    start_closing(&cancel, executor, WEFT_CANCEL_PENDING);
    assert_done_soon(two);
    assert_cancelled(two, WEFT_REASON_SHUTDOWN);
    assert_false(test_latch_wait_for(drain.ended, 1, WEFT_MILLISECONDS(5)));
    assert_false(test_latch_wait_for(cancel.ended, 1, WEFT_MILLISECONDS(5)));
    test_gate_open(running.gate);
    assert_int_equal(finish_closing(&drain), 0);
    assert_int_equal(finish_closing(&cancel), 0);
    assert_ok(one, &running);
    assert_int_equal(test_get(queued.ran), 0);
    weft_future_release(one);
    weft_future_release(two);
    test_destroy(executor);
}

/* SHD-06 */

static void test_shd_06_without_waiting_it_returns_at_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell cells[JOBS];
    weft_future *jobs[JOBS];
    memset(cells, 0, sizeof cells);
    for (int i = 0; i < JOBS; i++) {
        cells[i].gate = gate;
        cells[i].value = &cells[i];
        jobs[i] = weft_submit(executor, test_cell_run, &cells[i]);
    }
    int64_t begun = weft_now();
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, -1), -ETIMEDOUT);
    assert_true(weft_now() - begun < test_late());
    test_gate_open(gate);
    test_destroy(executor);
    for (int i = 0; i < JOBS; i++) {
        assert_ok(jobs[i], &cells[i]);
        weft_future_release(jobs[i]);
    }
}

/* SHD-07 */

static void test_shd_07_a_bounded_shutdown_gives_up_and_may_come_again(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        weft_executor *executor = test_executor(1);
        test_gate *gate = test_block(executor, 1);
        int64_t limit = WEFT_MILLISECONDS(50), begun = weft_now();
        assert_int_equal(weft_executor_shutdown(executor, modes[i], limit), -ETIMEDOUT);
        int64_t took = weft_now() - begun;
        assert_true(took >= limit);
        assert_true(took <= limit + test_late());
        test_unblock(gate);
        assert_int_equal(weft_executor_shutdown(executor, modes[i], test_patience()), 0);
        assert_int_equal(weft_executor_shutdown(executor, modes[i], 0), 0);
        test_destroy(executor);
    }
}

/* A manual clock governs the coordinator, not blocking waits. */
static void test_shd_07_a_manual_clock_does_not_stop_the_bound(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    test_gate *gate = test_block(executor, 1);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_MILLISECONDS(5)), -ETIMEDOUT);
    test_unblock(gate);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_shd_07_destroy_waits_for_quiet(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct closing destroying = {.destroy = true, .answer = 1};
    test_gate *gate = test_block(executor, 1);
    start_closing(&destroying, executor, WEFT_DRAIN);
    assert_false(test_latch_wait_for(destroying.ended, 1, WEFT_MILLISECONDS(60)));
    test_unblock(gate);
    assert_int_equal(finish_closing(&destroying), 0);
}

static void test_shd_07_destroy_while_another_thread_shuts_down(void **state)
{
    (void)state;
    for (unsigned round = 0; round < test_rounds(20); round++) {
        weft_executor *executor = test_executor(2);
        struct closing closing = {.answer = 1}, destroying = {.destroy = true, .answer = 1};
        test_gate *gate = test_block(executor, 2);
        start_closing(&closing, executor, modes[round % 3]);
        assert_false(test_latch_wait_for(closing.ended, 1, WEFT_MILLISECONDS(10)));
        start_closing(&destroying, executor, WEFT_DRAIN);
        assert_false(test_latch_wait_for(destroying.ended, 1, WEFT_MILLISECONDS(5)));
        test_unblock(gate);
        assert_int_equal(finish_closing(&closing), 0);
        assert_int_equal(finish_closing(&destroying), 0);
    }
}

/* SHD-08 */

struct suicide {
    weft_executor *executor;
    test_latch *latch;
};

static void try_to_close(weft_executor *executor)
{
    for (int i = 0; i < 3; i++) {
        TEST_EXPECT(weft_executor_shutdown(executor, modes[i], WEFT_FOREVER) == -EDEADLK);
        TEST_EXPECT(weft_executor_shutdown(executor, modes[i], WEFT_SECONDS(1)) == -EDEADLK);
        TEST_EXPECT(weft_executor_shutdown(executor, modes[i], 0) == -EDEADLK);
    }
    TEST_EXPECT(weft_executor_destroy(executor) == -EDEADLK);
}

static void *close_from_job(void *arg)
{
    struct suicide *suicide = arg;
    try_to_close(suicide->executor);
    return arg;
}

static int close_from_callback(weft_future *future, void *arg)
{
    struct suicide *suicide = arg;
    (void)future;
    try_to_close(suicide->executor);
    test_latch_hit(suicide->latch);
    return 0;
}

static void close_from_destructor(void *arg)
{
    struct suicide *suicide = arg;
    try_to_close(suicide->executor);
    test_latch_hit(suicide->latch);
}

static void test_shd_08_from_its_own_threads_is_edeadlk_without_effect(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct suicide suicide = {executor, test_latch_make()};
    const weft_submit_options freeing = {.free_arg = close_from_destructor};
    weft_future *sleep = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
    weft_future *job = weft_submit_with(executor, close_from_job, &suicide, &freeing);
    assert_done_soon(job);
    assert_ok(job, &suicide);
    test_latch_wait(suicide.latch, 1);
    assert_int_equal(weft_on_done(job, close_from_callback, &suicide, NULL), 0);
    test_latch_wait(suicide.latch, 2);
    weft_future_release(job);
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    assert_int_equal(weft_future_state(sleep), WEFT_PENDING);
    weft_promise_destroy(weft_promise_create(executor));
    assert_int_equal(weft_cancel(sleep), WEFT_CANCEL_DONE);
    weft_future_release(sleep);
    test_destroy(executor);
}

static void *close_other(void *executor)
{
    TEST_EXPECT(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER) == 0);
    TEST_EXPECT(weft_executor_destroy(executor) == 0);
    return NULL;
}

static void test_shd_08_from_another_executors_job_is_allowed(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1), *other = test_executor(1);
    test_cell cell = {.code = 0};
    assert_int_equal(weft_execute(other, test_cell_run, &cell), 0);
    assert_int_equal(weft_await(weft_submit(executor, close_other, other), NULL), 0);
    assert_int_equal(test_get(cell.returned), 1);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest shutdown[] = {
        TEST(test_shd_01_submit_from_outside_is_refused_once_shutdown_began),
        TEST(test_shd_01_a_job_of_another_executor_is_outside),
        TEST(test_shd_01_race_of_submits_with_shutdown),
        TEST(test_shd_02_drain_ends_every_job_and_callback),
        TEST(test_shd_02_destroy_drains),
        TEST(test_shd_02_an_idle_executor_ends_at_once),
        TEST(test_shd_02_quiet_includes_destructors),
        TEST(test_shd_02_quiet_includes_callbacks),
        TEST(test_shd_03_cancel_pending_lets_running_jobs_be),
        TEST(test_shd_03_cancel_all_asks_running_jobs_too),
        TEST(test_shd_03_cancel_pending_finds_what_a_busy_worker_submitted),
        TEST(test_shd_03_a_job_that_obeys_is_cancelled_by_shutdown),
        TEST(test_shd_03_an_earlier_reason_stays),
        TEST(test_shd_03_race_of_cancelling_with_starting_jobs),
        TEST(test_shd_05_four_threads_shut_down_at_once),
        TEST(test_shd_05_the_stronger_mode_takes_effect_meanwhile),
        TEST(test_shd_06_without_waiting_it_returns_at_once),
        TEST(test_shd_07_a_bounded_shutdown_gives_up_and_may_come_again),
        TEST(test_shd_07_a_manual_clock_does_not_stop_the_bound),
        TEST(test_shd_07_destroy_waits_for_quiet),
        TEST(test_shd_07_destroy_while_another_thread_shuts_down),
        TEST(test_shd_08_from_its_own_threads_is_edeadlk_without_effect),
        TEST(test_shd_08_from_another_executors_job_is_allowed),
    };
    return cmocka_run_group_tests(shutdown, NULL, NULL);
}
