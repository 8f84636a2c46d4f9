/* test_trace.c: what is in a trace: jobs with their names, outcomes and arrows, nested and stolen functions, waits,
 * timers, requests, callbacks; texts of any kind; what was dropped.
 *
 * Each test reads its file back with trace_file.h, which checks what must hold of any trace. Numbers are those of the
 * executor's counters wherever these count the same. */
#include "trace_file.h"

#include <fcntl.h>
#include <pthread.h>

static char path[64];

static weft_executor *traced(weft_executor *executor)
{
    trace_path(path);
    assert_int_equal(weft_trace_start(executor, path), 0);
    return executor;
}

static trace_file *stopped(weft_executor *executor)
{
    assert_int_equal(weft_trace_stop(executor), 0);
    return trace_read(path);
}

static weft_future *submit_job(weft_executor *executor, const char *name, weft_fn *fn, void *arg)
{
    weft_submit_options options = {.name = name};
    weft_future *future = weft_submit_with(executor, fn, arg, &options);
    assert_non_null(future);
    return future;
}

static void finish(weft_future *future)
{
    assert_done_soon(future);
    weft_future_release(future);
}

/* ---- jobs ---- */

static void check_job(const trace_file *file, const char *name, const char *outcome, int code)
{
    assert_int_equal(trace_count(file, 'B', "job", name), 1);
    const trace_event *e = trace_find(file, 'B', "job", name);
    assert_string_equal(e->ended, outcome);
    assert_int_equal(e->ended_code, code);
    assert_true(e->id != 0);
}

static void test_jobs_have_names_outcomes_and_arrows(void **state)
{
    (void)state;
    weft_executor *executor = traced(test_executor(0));
    weft_future *good = submit_job(executor, "good", test_job_return_arg, NULL);
    weft_future *bad = submit_job(executor, "bad", test_job_fail_7, NULL);
    weft_future *gone = submit_job(executor, "gone", test_job_cancel_self, NULL);
    weft_future *plain = weft_submit(executor, test_job_return_arg, NULL);
    assert_done_soon(good);
    assert_done_soon(bad);
    assert_done_soon(gone);
    assert_done_soon(plain);
    assert_err(bad, 7);
    trace_file *file = stopped(executor);
    check_job(file, "good", "succeeded", 0);
    check_job(file, "bad", "failed", 7);
    check_job(file, "gone", "cancelled", -ECANCELED);
    check_job(file, "job", "succeeded", 0);
    assert_int_equal(trace_count(file, 's', "flow", NULL), 4);
    assert_int_equal(trace_count(file, 'f', "flow", NULL), 4);
    assert_int_equal(trace_count(file, 'X', "submit", NULL), 4);
    assert_true(lane_is(file, trace_find(file, 's', NULL, NULL)->tid, "outside"));
    assert_true(file->lost == 0);
    trace_free(file);
    weft_future_release(good);
    weft_future_release(bad);
    weft_future_release(gone);
    weft_future_release(plain);
    test_destroy(executor);
}

/* Every way to make a job. */
static void *then_fn(void *value, void *data)
{
    (void)data;
    return value;
}

static void test_every_kind_of_job_has_an_arrow(void **state)
{
    (void)state;
    enum { MANY = 5, ITEMS = 6 };
    weft_executor *executor = traced(test_executor(0));
    int local = 1;
    void *items[ITEMS];
    for (int i = 0; i < ITEMS; i++)
        items[i] = &local;
    weft_future *many[MANY], *one;
    assert_int_equal(weft_submit_many(executor, test_job_return_arg, NULL, MANY, many), 0);
    assert_non_null(one = weft_submit_copy(executor, test_job_return_arg, &local, sizeof local));
    weft_future *then = weft_then(one, then_fn, NULL);
    weft_submit_options late = {.name = "late", .delay = MS};
    weft_future *delayed = weft_submit_with(executor, test_job_return_arg, NULL, &late);
    weft_future *map = weft_map(executor, test_job_return_arg, items, ITEMS, 2, WEFT_SETTLED);
    weft_group *group = weft_group_create(executor, NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(weft_group_submit(group, test_job_return_arg, NULL), 0);
    assert_int_equal(weft_group_join(group), 0);
    weft_group_destroy(group);
    for (int i = 0; i < MANY; i++)
        finish(many[i]);
    finish(then);
    finish(one);
    finish(delayed);
    finish(map);
    trace_file *file = stopped(executor);
    unsigned jobs = MANY + 1 + 1 + 1 + ITEMS / 2 + 3;
    assert_int_equal(trace_count(file, 'B', "job", NULL), jobs);
    assert_int_equal(trace_count(file, 's', NULL, NULL), jobs);
    assert_int_equal(trace_count(file, 'f', NULL, NULL), jobs);
    trace_free(file);
    test_destroy(executor);
}

static void *nothing(void *arg)
{
    return arg;
}

static void *submit_and_await(void *executor)
{
    weft_await(submit_job(executor, "inner", nothing, NULL), NULL);
    return NULL;
}

static void test_a_job_that_runs_in_a_wait_stands_within_the_one_that_waits(void **state)
{
    (void)state;
    weft_executor *executor = traced(test_executor(1));
    finish(submit_job(executor, "outer", submit_and_await, executor));
    trace_file *file = stopped(executor);
    const trace_event *outer = trace_find(file, 'B', "job", "outer"), *inner = trace_find(file, 'B', "job", "inner");
    assert_non_null(outer);
    assert_non_null(inner);
    assert_int_equal(outer->tid, inner->tid);
    assert_int_equal(inner->depth, outer->depth + 1);
    assert_true(inner->within && !outer->within);
    assert_true(outer->at < inner->at && inner->to < outer->to);
    trace_free(file);
    test_destroy(executor);
}

/* ---- lanes and counters ---- */

static void *submit_some(void *executor)
{
    weft_future *futures[3];
    for (int i = 0; i < 3; i++)
        futures[i] = weft_submit(executor, i == 1 ? test_job_fail_7 : nothing, NULL);
    for (int i = 0; i < 3; i++)
        weft_await(futures[i], NULL);
    return NULL;
}

static unsigned in_lane(const trace_file *file, unsigned tid, const char *category, const char *outcome)
{
    unsigned n = 0;
    for (size_t i = 0; i < file->n; i++) {
        const trace_event *e = &file->events[i];
        n += e->tid == tid && strcmp(e->category, category) == 0 && (!outcome || strcmp(e->ended, outcome) == 0);
    }
    return n;
}

static void check_lanes(weft_executor *executor, const trace_file *file, const weft_stats *before)
{
    unsigned workers = weft_executor_workers(executor);
    assert_int_equal(file->n_workers, workers);
    for (unsigned i = 0; i < workers; i++) {
        weft_stats now;
        assert_int_equal(weft_worker_stats(executor, i, &now), 0);
        assert_true(file->succeeded[i] == (double)(now.succeeded - before[i].succeeded));
        assert_true(file->failed[i] == (double)(now.failed - before[i].failed));
        assert_true(file->stolen[i] == (double)(now.stolen - before[i].stolen));
        if (file->lost > 0) /* a small ring and a busy machine */
            continue;
        assert_int_equal(in_lane(file, i + 1, "job", "succeeded"), file->succeeded[i]);
        assert_int_equal(in_lane(file, i + 1, "job", "failed"), file->failed[i]);
        assert_int_equal(in_lane(file, i + 1, "steal", NULL), file->stolen[i]);
    }
}

static void test_lanes_agree_with_the_counters(void **state)
{
    (void)state;
    enum { JOBS = 100 };
    for (int round = 0; round < 5; round++) {
        weft_executor *executor = test_executor(0);
        weft_stats before[TRACE_WORKERS];
        weft_future *futures[JOBS];
        for (int i = 0; i < 9; i++) /* not from 0; from outside one by one, so that nothing is left to be stolen */
            finish(weft_submit(executor, nothing, NULL));
        for (unsigned i = 0; i < weft_executor_workers(executor); i++)
            assert_int_equal(weft_worker_stats(executor, i, &before[i]), 0);
        traced(executor);
        for (int i = 0; i < JOBS; i++)
            assert_non_null(futures[i] = weft_submit(executor, submit_some, executor));
        for (int i = 0; i < JOBS; i++)
            finish(futures[i]);
        assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
        trace_file *file = stopped(executor);
        check_lanes(executor, file, before);
        trace_free(file);
        test_destroy(executor);
    }
}

/* ---- waits, thieves, callbacks ---- */

static void *wait_for_promise(void *future)
{
    weft_future_wait(future, WEFT_FOREVER);
    return NULL;
}

static void test_a_blocked_job_shows_and_so_does_the_spare(void **state)
{
    (void)state;
    weft_executor *executor = traced(test_executor(1));
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    weft_future *waits = submit_job(executor, "waits", wait_for_promise, future);
    finish(submit_job(executor, "meanwhile", nothing, NULL)); /* the only worker is blocked: a spare runs it */
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    finish(waits);
    weft_future_release(future);
    weft_promise_destroy(promise);
    trace_file *file = stopped(executor);
    const trace_event *blocked = trace_find(file, 'B', "block", "blocked");
    const trace_event *job = trace_find(file, 'B', "job", "waits"), *other = trace_find(file, 'B', "job", "meanwhile");
    assert_non_null(blocked);
    assert_int_equal(blocked->tid, job->tid);
    assert_int_equal(blocked->depth, job->depth + 1);
    assert_int_equal(other->tid, 2);
    assert_true(lane_is(file, 2, "-1"));
    trace_free(file);
    test_destroy(executor);
}

static void *meet(void *barrier)
{
    test_barrier_meet(barrier);
    return weft_fail(9);
}

static void *fork_and_meet(void *barrier)
{
    weft_task task;
    weft_fork(&task, meet, barrier);
    test_barrier_meet(barrier); /* somebody else must have taken it */
    weft_join(&task);
    return NULL;
}

static void test_a_stolen_function_shows_under_its_job_s_name(void **state)
{
    (void)state;
    weft_executor *executor = traced(test_executor(2));
    finish(submit_job(executor, "forks", fork_and_meet, test_barrier_make(2)));
    trace_file *file = stopped(executor);
    const trace_event *job = trace_find(file, 'B', "job", "forks"), *task = trace_find(file, 'B', "task", "forks");
    assert_non_null(task);
    assert_true(task->tid != job->tid && task->to < job->to);
    assert_string_equal(task->ended, "failed");
    assert_int_equal(task->ended_code, 9);
    const trace_event *steal = trace_find(file, 'i', "steal", NULL);
    assert_non_null(steal);
    assert_int_equal(steal->tid, task->tid);
    assert_int_equal(steal->from + 1, job->tid);
    trace_free(file);
    test_destroy(executor);
}

static void test_callbacks_show_on_the_coordinator(void **state)
{
    (void)state;
    weft_executor *executor = traced(test_executor(0));
    test_latch *latch = test_latch_make();
    weft_future *future = weft_submit(executor, nothing, NULL);
    assert_int_equal(weft_on_done(future, test_hit_latch, latch, NULL), 0);
    assert_true(test_latch_wait(latch, 1));
    flush(executor);
    flush(executor); /* the first one's own callback has ended */
    finish(future);
    trace_file *file = stopped(executor);
    assert_true(trace_count(file, 'B', "callback", NULL) >= 2);
    assert_true(lane_is(file, trace_find(file, 'B', "callback", NULL)->tid, "-timer"));
    trace_free(file);
    test_destroy(executor);
}

static void test_parks_and_wakes_show(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_stats stats = {0};
    finish(weft_submit(executor, nothing, NULL));
    for (int64_t until = weft_now() + test_patience(); stats.parks < 1 && weft_now() < until; test_pause(MS))
        assert_int_equal(weft_executor_stats(executor, &stats), 0);
    traced(executor);
    finish(weft_submit(executor, nothing, NULL)); /* wakes it */
    uint64_t parks = stats.parks;
    for (int64_t until = weft_now() + test_patience(); stats.parks == parks && weft_now() < until; test_pause(MS))
        assert_int_equal(weft_executor_stats(executor, &stats), 0);
    trace_file *file = stopped(executor);
    assert_int_equal(trace_find(file, 'i', "wake", NULL)->worker, 0);
    const trace_event *parked = trace_find(file, 'B', "park", "parked");
    assert_non_null(parked);
    assert_string_equal(parked->ended, "unfinished");
    assert_true(parked->at > trace_find(file, 'B', "job", NULL)->to);
    trace_free(file);
    test_destroy(executor);
}

/* ---- timers and requests ---- */

static void test_timers_armed_and_fired_as_counted(void **state)
{
    (void)state;
    enum { SLEEPS = 7 };
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = traced(test_executor_clock(0, clock));
    weft_future *sleeps[SLEEPS];
    for (int i = 0; i < SLEEPS; i++)
        sleeps[i] = weft_sleep(executor, (i + 1) * MS, NULL);
    weft_token *token = weft_token_create(executor, NULL, 3 * MS, 0);
    weft_submit_options late = {.delay = 2 * MS};
    weft_future *delayed = weft_submit_with(executor, nothing, NULL, &late);
    assert_int_equal(weft_token_reschedule(token, 4 * MS), 0);
    weft_manual_clock_advance(clock, 5 * MS);
    finish(delayed);
    weft_stats stats;
    assert_int_equal(weft_executor_stats(executor, &stats), 0);
    trace_file *file = stopped(executor);
    assert_int_equal(trace_count(file, 'i', "timer", "timer armed"), stats.timers_armed);
    assert_int_equal(trace_count(file, 'i', "timer", "timer fired"), stats.timers_fired);
    assert_int_equal(stats.timers_armed, SLEEPS + 2);
    assert_int_equal(stats.timers_fired, 5 + 2);
    trace_free(file);
    for (int i = 0; i < SLEEPS; i++)
        weft_future_release(sleeps[i]);
    weft_token_release(token);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_requests_show_with_their_reason(void **state)
{
    (void)state;
    weft_executor *executor = traced(test_executor(1));
    test_latch *latch = test_latch_make();
    weft_future *running = submit_job(executor, "running", test_job_until_cancelled, latch);
    assert_true(test_latch_wait(latch, 1));
    weft_future *queued = submit_job(executor, "queued", nothing, NULL);
    assert_int_equal(weft_cancel(queued), WEFT_CANCEL_DONE);
    assert_int_equal(weft_cancel(running), WEFT_CANCEL_REQUESTED);
    finish(queued);
    finish(running);
    trace_file *file = stopped(executor);
    const trace_event *cancel = trace_find(file, 'i', "cancel", "cancel");
    const trace_event *asked = trace_find(file, 'i', "cancel", "stop asked");
    assert_string_equal(cancel->job, "queued");
    assert_string_equal(cancel->reason, "user");
    assert_string_equal(asked->job, "running");
    assert_string_equal(asked->reason, "user");
    assert_int_equal(asked->id, trace_find(file, 'B', "job", "running")->id);
    assert_null(trace_find(file, 'B', "job", "queued"));
    assert_string_equal(trace_find(file, 'B', "job", "running")->ended, "cancelled");
    assert_int_equal(trace_count(file, 's', NULL, NULL), 2);
    assert_int_equal(trace_count(file, 'f', NULL, NULL), 1);
    trace_free(file);
    test_destroy(executor);
}

/* ---- texts ---- */

#define E_ACUTE "\xc3\xa9"

static void test_names_of_any_kind_are_written_as_json(void **state)
{
    (void)state;
    static const struct {
        const char *given, *read;
    } names[] = {
        {"a \"quoted\" \\ name", "a \"quoted\" \\ name"},
        {"line\nand\ttab\x01\x7f", "line\nand\ttab\x01\x7f"},
        {"\xff\xc3(\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"caf" E_ACUTE " \xe2\x82\xac \xf0\x9f\x98\x80", "caf" E_ACUTE " \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789",
         "012345678901234567890123456789012345678901234"},
        {"01234567890123456789012345678901234567890123" E_ACUTE "45678",
         "01234567890123456789012345678901234567890123\xef\xbf\xbd"},
    };
    enum { NAMES = sizeof names / sizeof names[0] };
    weft_executor_options options = {.workers = 1, .name = "a\"b\xff<&"};
    weft_executor *executor = traced(test_executor_with(&options));
    for (size_t i = 0; i < NAMES; i++)
        finish(submit_job(executor, names[i].given, nothing, NULL));
    trace_file *file = stopped(executor);
    for (size_t i = 0; i < NAMES; i++) {
        assert_int_equal(trace_count(file, 'B', "job", names[i].read), 1);
        uint32_t id = trace_find(file, 'B', "job", names[i].read)->id;
        unsigned submits = 0;
        for (size_t k = 0; k < file->n; k++)
            submits += file->events[k].phase == 'X' && file->events[k].id == id &&
                       strcmp(file->events[k].job, names[i].read) == 0;
        assert_int_equal(submits, 1);
    }
    assert_string_equal(file->lanes[1].name, "a\"b\xef\xbf\xbd<&-0");
    trace_free(file);
    test_destroy(executor);
}

/* ---- beginning and end in the midst of things ---- */

static void test_what_is_under_way_at_the_end_is_unfinished_and_not_in_the_next(void **state)
{
    (void)state;
    weft_executor *executor = traced(test_executor(1));
    test_gate *gate = test_gate_make();
    weft_future *held = submit_job(executor, "held", test_gate_job, gate);
    weft_future *behind = submit_job(executor, "behind", nothing, NULL);
    assert_true(test_gate_await(gate, 1));
    trace_file *first = stopped(executor);
    assert_string_equal(trace_find(first, 'B', "job", "held")->ended, "unfinished");
    assert_null(trace_find(first, 'B', "job", "behind"));
    assert_int_equal(trace_count(first, 's', NULL, NULL), 2);
    traced(executor);
    test_gate_open(gate);
    finish(held);
    finish(behind);
    trace_file *second = stopped(executor);
    assert_null(trace_find(second, 'B', "job", "held"));
    assert_int_equal(trace_find(second, 'B', "job", "behind")->id, 0); /* submitted in the other one */
    assert_int_equal(trace_count(second, 'f', NULL, NULL), 0);
    trace_free(first);
    trace_free(second);
    test_destroy(executor);
}

/* ---- what does not fit ---- */

/* A disk that stands still: a pipe that nobody reads. The workers go on all the same, and what was dropped is counted.
 * Once it is read, the trace is
 * complete but for these. */
static void *copy_to_the_end(void *files)
{
    const int *fd = files;
    char *bytes = malloc(1 << 16);
    for (ssize_t n; (n = read(fd[0], bytes, 1 << 16)) != 0;)
        if (n < 0 || write(fd[1], bytes, (size_t)n) != n) {
            TEST_FAIL("copy");
            break;
        }
    free(bytes);
    return NULL;
}

static void test_a_file_that_stands_still_holds_up_nobody_and_drops_are_counted(void **state)
{
    (void)state;
    enum { JOBS = 40000 };
    char fifo[80];
    trace_path(path);
    snprintf(fifo, sizeof fifo, "%s.pipe", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int ends[2] = {open(fifo, O_RDONLY | O_NONBLOCK), open(path, O_WRONLY | O_TRUNC)};
    assert_true(ends[0] >= 0 && ends[1] >= 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, 0), 0);
    weft_executor *executor = test_executor(0);
    assert_int_equal(weft_trace_start(executor, fifo), 0);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(weft_execute(executor, nothing, NULL), 0);
    weft_future *last = weft_submit(executor, nothing, NULL);
    finish(last);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0); /* all have run */
    pthread_t reader = test_spawn(copy_to_the_end, ends);
    assert_int_equal(weft_trace_stop(executor), 0);
    test_join(reader);
    close(ends[0]);
    close(ends[1]);
    unlink(fifo);
    trace_file *file = trace_read(path);
    unsigned begun = trace_count(file, 'B', "job", NULL), submitted = trace_count(file, 's', NULL, NULL);
    assert_true(file->lost > 0);
    assert_true(begun < JOBS && submitted < JOBS);
    assert_true(begun + submitted + file->lost >= 2 * JOBS);
    double run = 0;
    for (unsigned i = 0; i < file->n_workers; i++)
        run += file->succeeded[i];
    assert_true(run == JOBS + 1);
    trace_free(file);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_jobs_have_names_outcomes_and_arrows),
        TEST(test_every_kind_of_job_has_an_arrow),
        TEST(test_a_job_that_runs_in_a_wait_stands_within_the_one_that_waits),
        TEST(test_lanes_agree_with_the_counters),
        TEST(test_a_blocked_job_shows_and_so_does_the_spare),
        TEST(test_a_stolen_function_shows_under_its_job_s_name),
        TEST(test_callbacks_show_on_the_coordinator),
        TEST(test_parks_and_wakes_show),
        TEST(test_timers_armed_and_fired_as_counted),
        TEST(test_requests_show_with_their_reason),
        TEST(test_names_of_any_kind_are_written_as_json),
        TEST(test_what_is_under_way_at_the_end_is_unfinished_and_not_in_the_next),
        TEST(test_a_file_that_stands_still_holds_up_nobody_and_drops_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
