/* test_drop.c: section 18, dropped futures and unread errors (DRP), and the duty to report errors (0.3, 0.4).
 *
 * Discipline. Each executor has a hook that counts. The hook may run on whichever thread drops last, so a test first
 * destroys the executor, after which no hook is called any more, and then compares the count: exactly once, or never.
 * For the line that WEFT_DEBUG makes appear on stderr the program runs itself again as a child (see main). */
#define _GNU_SOURCE
#include "fixtures.h"

#include "executor.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static test_hook hook;

static weft_executor *hooked_executor(weft_clock *clock)
{
    weft_executor_options options = {
        .workers = test_workers(), .unobserved_error = test_hook_unobserved, .data = &hook, .clock = clock};
    memset(&hook, 0, sizeof hook);
    return test_executor_with(&options);
}

static void assert_reported(unsigned times, int error, const char *name)
{
    assert_int_equal(test_get(hook.errors), times);
    if (times != 0) {
        assert_int_equal(test_get(hook.last_error), error);
        if (name != NULL) {
            const char *last = test_get(hook.last_name);
            assert_non_null(last);
            assert_string_equal(last, name);
        }
    }
}

static weft_future *failed(weft_executor *executor, const char *name)
{
    weft_future *future = submit_named(executor, cell_make(NULL, 7), name);
    assert_done_soon(future);
    return future;
}

static void test_drp_01_unread_error_is_reported_once(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    weft_future *future = failed(executor, "unread");
    weft_future *more = weft_future_retain(future);
    assert_int_equal(weft_future_state(future), WEFT_FAILED);
    assert_true(weft_future_done(future));
    assert_false(weft_future_cancelled(future));
    assert_int_equal(weft_future_wait(future, WEFT_FOREVER), 0);
    bool done[1];
    assert_int_equal(weft_wait(&future, 1, WEFT_ALL_COMPLETED, WEFT_FOREVER, done), 0);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_TOO_LATE);
    weft_future_release(future);
    flush(executor);
    assert_reported(0, 0, NULL);
    weft_future_release(more);
    test_destroy(executor);
    assert_reported(1, 7, "unread");
}

static void test_drp_01_dropped_before_it_failed(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    test_gate *gate = test_gate_make();
    weft_future_release(submit_named(executor, cell_make(gate, 9), "dropped"));
    assert_true(test_gate_await(gate, 1));
    test_gate_open(gate);
    test_destroy(executor);
    assert_reported(1, 9, "dropped");
}

static void test_drp_01_fire_and_forget(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    assert_int_equal(weft_execute(executor, test_job_fail_7, NULL), 0);
    assert_int_equal(weft_execute(executor, test_job_cancel_self, NULL), 0);
    assert_int_equal(weft_execute(executor, test_job_return_arg, &hook), 0);
    test_destroy(executor);
    assert_reported(1, 7, NULL);
}

static bool one_error_in_hook(void *data)
{
    (void)data;
    return test_get(hook.errors) == 1;
}

static void test_drp_01_promise(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    inputs in = inputs_make(executor, 2);
    weft_promise_reject(in.promise[0], 8);
    weft_future_release(in.future[0]);
    weft_promise_destroy(in.promise[0]);
    assert_true(test_until(one_error_in_hook, NULL));
    assert_reported(1, 8, NULL);
    weft_promise_destroy(in.promise[1]);
    weft_future_release(in.future[1]);
    test_destroy(executor);
    assert_reported(2, -EOWNERDEAD, NULL);
}

static bool one_error_counted(void *executor)
{
    weft_stats stats;
    return weft_executor_stats(executor, &stats) == 0 && stats.unobserved_errors == 1;
}

static void test_drp_01_without_a_hook_it_is_counted(void **state)
{
    (void)state;
    weft_stats stats;
    weft_executor *executor = test_executor(1);
    weft_future *future = failed(executor, "counted");
    assert_int_equal(weft_executor_stats(executor, &stats), 0);
    assert_int_equal(stats.unobserved_errors, 0);
    weft_future_release(future);
    assert_true(test_until(one_error_counted, executor));
    assert_int_equal(weft_await(weft_submit(executor, test_job_fail_7, NULL), NULL), 7);
    assert_int_equal(weft_executor_stats(executor, &stats), 0);
    assert_int_equal(stats.unobserved_errors, 1);
    test_destroy(executor);
}

/* The child: one error that nobody reads, and no hook. */
static int leave_an_error_unread(void)
{
    weft_executor *executor = weft_executor_create(NULL);
    weft_submit_options options = {.name = "forgotten"};
    weft_future_release(weft_submit_with(executor, test_job_fail_7, NULL, &options));
    return weft_executor_destroy(executor) == 0 ? 0 : 1;
}

/* Runs the child with WEFT_DEBUG set or not and returns how many lines it wrote to stderr. */
static unsigned lines_of_child(bool debug)
{
    char self[] = "/proc/self/exe", argument[] = "unread", *arguments[] = {self, argument, NULL};
    int ends[2];
    pid_t child;
    posix_spawn_file_actions_t actions;
    assert_int_equal(debug ? setenv("WEFT_DEBUG", "1", 1) : unsetenv("WEFT_DEBUG"), 0);
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    assert_int_equal(posix_spawn(&child, self, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    unsigned lines = 0;
    char text;
    while (read(ends[0], &text, 1) == 1) {
        lines += text == '\n';
    }
    close(ends[0]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return lines;
}

static void test_drp_01_one_line_on_stderr_only_if_asked(void **state)
{
    (void)state;
    const char *found = getenv("WEFT_DEBUG");
    char *before = found != NULL ? strdup(found) : NULL;
    assert_int_equal(lines_of_child(false), 0);
    assert_int_equal(lines_of_child(true), 1);
    assert_int_equal(before != NULL ? setenv("WEFT_DEBUG", before, 1) : unsetenv("WEFT_DEBUG"), 0);
    free(before);
}

/* I16 and 0.4: after destroy returned no hook is called. */
static void test_drp_01_dropped_after_destroy(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    weft_future *future = failed(executor, "late");
    test_destroy(executor);
    weft_future_release(future);
    assert_reported(0, 0, NULL);
}

static int read_in_callback(weft_future *future, void *latch)
{
    weft_outcome outcome;
    TEST_EXPECT(weft_future_outcome(future, &outcome) == 0);
    test_latch_hit(latch);
    return 0;
}

static void test_drp_02_each_way_of_reading(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 6; way++) {
        weft_executor *executor = hooked_executor(NULL);
        weft_future *future = failed(executor, "read");
        weft_outcome outcome;
        void *value = NULL;
        if (way == 0) {
            assert_int_equal(weft_future_outcome(future, &outcome), 0);
        } else if (way == 1) {
            assert_int_equal(weft_future_get(future, &value), 7);
        } else if (way == 2) {
            assert_int_equal(weft_future_take(future, &value), 7);
        } else if (way == 3) {
            assert_int_equal(weft_await(weft_future_retain(future), &value), 7);
        } else if (way == 4) {
            assert_int_equal(weft_await(weft_future_retain(future), NULL), 7);
        } else {
            test_latch *latch = test_latch_make();
            assert_int_equal(weft_on_done(future, read_in_callback, latch, NULL), 0);
            assert_true(test_latch_wait(latch, 1));
        }
        weft_future_release(future);
        test_destroy(executor);
        assert_reported(0, 0, NULL);
    }
}

/* A callback that does not look has not read. */
static void test_drp_02_callback_alone_is_no_reading(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    weft_future *future = failed(executor, "unread");
    test_latch *latch = test_latch_make();
    assert_int_equal(weft_on_done(future, hit, latch, NULL), 0);
    assert_true(test_latch_wait(latch, 1));
    weft_future_release(future);
    test_destroy(executor);
    assert_reported(1, 7, "unread");
}

static void test_drp_02_cancelled_and_timed_out_are_no_errors(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    inputs in = inputs_make(executor, 2);
    weft_future *timed = weft_wait_for(in.future[0], 0, 0);
    assert_done_soon(timed);
    assert_int_equal(weft_cancel(in.future[1]), WEFT_CANCEL_DONE);
    assert_done_soon(in.future[0]);
    weft_future *own = weft_submit(executor, test_job_cancel_self, NULL);
    assert_done_soon(own);
    weft_future_release(own);
    weft_future_release(timed);
    inputs_free(&in);
    test_destroy(executor);
    assert_reported(0, 0, NULL);
}

/* The duty goes to the derived future: reported there, once, under the name of the input that failed. */
enum { BY_GATHER, BY_STRICT, BY_WAIT_FOR, BY_JOIN, BY_SHIELD, BY_TWO, DERIVED };

static weft_future *derived_from(weft_executor *executor, weft_future *future, unsigned kind)
{
    weft_future *middle, *outer;
    switch (kind) {
    case BY_GATHER:
        return gather(executor, &future, 1, WEFT_FIRST_ERROR);
    case BY_STRICT:
        return gather(executor, &future, 1, WEFT_STRICT);
    case BY_WAIT_FOR:
        return weft_wait_for(future, WEFT_FOREVER, 0);
    case BY_JOIN:
        return weft_wait_for(future, 3600 * 1000 * MS, WEFT_JOIN);
    case BY_SHIELD:
        return weft_shield(future);
    default:
        middle = weft_shield(future);
        outer = weft_wait_for(middle, WEFT_FOREVER, 0);
        weft_future_release(middle);
        return outer;
    }
}

static void duty_of_derived(unsigned kind, bool pending, bool read)
{
    weft_executor *executor = hooked_executor(NULL);
    test_gate *gate = test_gate_make();
    weft_future *future = submit_named(executor, cell_make(gate, 7), "input");
    if (!pending) {
        test_gate_open(gate);
        assert_done_soon(future);
    }
    weft_future *derived = derived_from(executor, future, kind);
    assert_non_null(derived);
    weft_future_release(future);
    test_gate_open(gate);
    assert_done_soon(derived);
    flush(executor);
    assert_reported(0, 0, NULL);
    if (read) {
        assert_int_equal(weft_await(derived, NULL), 7);
    } else {
        weft_future_release(derived);
    }
    test_destroy(executor);
    assert_reported(read ? 0 : 1, 7, "input");
}

static void test_drp_02_duty_goes_to_the_derived_future(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < DERIVED; kind++) {
        for (unsigned i = 0; i < 4; i++) {
            duty_of_derived(kind, i % 2 != 0, i / 2 != 0);
        }
    }
}

/* SETTLED succeeds with the failures in its slots, so there is nothing to report. */
static void test_drp_02_settled_gather_has_no_error(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    weft_future *futures[] = {failed(executor, "one"), failed(executor, "two")};
    weft_future *all = gather(executor, futures, 2, WEFT_SETTLED);
    assert_done_soon(all);
    weft_future_release(futures[0]);
    weft_future_release(futures[1]);
    weft_future_release(all);
    test_destroy(executor);
    assert_reported(0, 0, NULL);
}

/* FIRST_ERROR: the second failure was handed over, too, and is not reported on its own. */
static void test_drp_02_later_failures_of_a_gather(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    inputs in = inputs_make(executor, 2);
    weft_future *all = gather(executor, in.future, 2, WEFT_FIRST_ERROR);
    weft_promise_reject(in.promise[0], 5);
    assert_done_soon(all);
    weft_promise_reject(in.promise[1], 6);
    weft_future_release(all);
    inputs_free(&in);
    test_destroy(executor);
    assert_reported(1, 5, NULL);
}

/* "For good": a gather or wait_for that ended otherwise, or was dropped, took the duty with it. */
static void test_drp_02_duty_does_not_come_back(void **state)
{
    (void)state;
    for (unsigned kind = BY_GATHER; kind < BY_SHIELD; kind++) {
        for (unsigned dropped = 0; dropped < 2; dropped++) {
            weft_executor *executor = hooked_executor(NULL);
            test_gate *gate = test_gate_make();
            weft_future *future = submit_named(executor, cell_make(gate, 7), "input");
            weft_future *derived = derived_from(executor, future, kind);
            assert_true(test_gate_await(gate, 1));
            if (dropped != 0) {
                weft_future_release(derived);
            } else {
                weft_cancel(derived);
            }
            test_gate_open(gate);
            assert_done_soon(future);
            weft_future_release(future);
            if (dropped == 0) {
                assert_done_soon(derived);
                weft_future_release(derived);
            }
            test_destroy(executor);
            assert_reported(0, 0, NULL);
        }
    }
}

/* A shield takes the duty over only when it mirrors. */
static void test_drp_02_shield_that_did_not_mirror(void **state)
{
    (void)state;
    for (unsigned dropped = 0; dropped < 2; dropped++) {
        weft_executor *executor = hooked_executor(NULL);
        test_gate *gate = test_gate_make();
        weft_future *future = submit_named(executor, cell_make(gate, 7), "input");
        weft_future *shield = weft_shield(future);
        assert_true(test_gate_await(gate, 1));
        if (dropped == 0) {
            assert_int_equal(weft_cancel(shield), WEFT_CANCEL_DONE);
        }
        weft_future_release(shield);
        flush(executor);
        test_gate_open(gate);
        assert_done_soon(future);
        weft_future_release(future);
        test_destroy(executor);
        assert_reported(1, 7, "input");
    }
}

static void test_drp_03_dropped_work_runs_to_its_end(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *running = cell_make(gate, 0), *queued = cell_make(NULL, 0), *stopped = cell_make(NULL, 0);
    weft_future_release(submit(executor, running));
    assert_true(test_gate_await(gate, 1));
    weft_future_release(submit(executor, queued));
    weft_future *future = submit(executor, stopped);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_DONE);
    weft_future_release(future);
    test_gate_open(gate);
    test_destroy(executor);
    test_cell *ended[] = {running, queued};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(test_get(ended[i]->ran), 1);
        assert_false(test_get(ended[i]->saw_cancel));
        assert_int_equal(test_get(ended[i]->arg_freed), 1);
        assert_true(test_get(ended[i]->freed_after_return));
        assert_int_equal(test_get(ended[i]->value_freed), 1);
    }
    assert_int_equal(test_get(stopped->ran), 0);
    assert_int_equal(test_get(stopped->arg_freed), 1);
    assert_int_equal(test_get(stopped->value_freed), 0);
}

static void test_drp_03_cancel_then_release_of_a_running_job(void **state)
{
    (void)state;
    static stubborn job;
    weft_executor *executor = test_executor(1);
    weft_future *future = submit_stubborn(executor, &job, -ECANCELED);
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    weft_future_release(future);
    assert_true(test_latch_wait(job.asked, 1));
    test_gate_open(job.cell->gate);
    test_destroy(executor);
    assert_int_equal(test_get(job.cell->returned), 1);
}

/* I16: what an outside thread took from an executor goes with the last future, though the thread lives on. */
typedef struct lodger {
    weft_executor *executor;
    test_gate *gate;
} lodger;

static void *submits_and_stays(void *argument)
{
    lodger *self = argument;
    TEST_EXPECT(weft_await(weft_submit(self->executor, test_job_return_arg, NULL), NULL) == 0);
    test_gate_pass(self->gate);
    return NULL;
}

static void test_drp_03_memory_goes_with_the_last_thread_that_submitted(void **state)
{
    (void)state;
    static lodger self;
    weft_executor *executor = test_executor(1);
    self = (lodger){executor, test_gate_make()};
    pthread_t thread = test_spawn(submits_and_stays, &self);
    assert_true(test_gate_await(self.gate, 1));
    test_destroy(executor);
    test_gate_open(self.gate);
    test_join(thread);
}

static void *wait_for_owner(void *future)
{
    void *value = NULL;
    TEST_EXPECT(weft_future_get(future, &value) == -EOWNERDEAD);
    return NULL;
}

/* The promise that no hook is called after destroy, where the hook runs on a thread that destroy does not join. */
typedef struct slow_hook {
    weft_executor *executor;
    test_latch *begun;
    _Atomic(bool) over; /* by the hook; read by the test after destroy */
} slow_hook;

static bool is_gone(void *executor)
{
    return weft__phase(executor) == WEFT__GONE;
}

static void stay_until_it_is_gone(const char *name, int error, void *data)
{
    slow_hook *self = data;
    (void)name;
    TEST_EXPECT(error == 7);
    test_latch_hit(self->begun);
    TEST_EXPECT(test_until(is_gone, self->executor));
    test_pause(5 * MS); /* in which destroy could return */
    atomic_store_explicit(&self->over, true, memory_order_release);
}

static void *release_it(void *future)
{
    weft_future_release(future);
    return NULL;
}

static void test_drp_01_destroy_waits_for_a_hook_on_another_thread(void **state)
{
    (void)state;
    static slow_hook self;
    weft_executor_options options = {.workers = 1, .unobserved_error = stay_until_it_is_gone, .data = &self};
    weft_executor *executor = test_executor_with(&options);
    self = (slow_hook){.executor = executor, .begun = test_latch_make()};
    pthread_t thread = test_spawn(release_it, failed(executor, NULL));
    assert_true(test_latch_wait(self.begun, 1));
    assert_int_equal(weft_executor_destroy(executor), 0);
    assert_true(test_get(self.over));
    test_join(thread);
}

static void test_drp_04_promise_destroyed_unresolved(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    weft_future *all = gather(executor, &future, 1, WEFT_FIRST_ERROR);
    test_latch *latch = test_latch_make();
    assert_int_equal(weft_on_done(future, hit, latch, NULL), 0);
    pthread_t thread = test_spawn(wait_for_owner, future);
    test_pause(2 * MS);
    weft_promise_destroy(promise);
    test_join(thread);
    assert_true(test_latch_wait(latch, 1));
    assert_err(future, -EOWNERDEAD);
    assert_done_soon(all);
    assert_failed_at(all, -EOWNERDEAD, 0);
    weft_future_release(all);
    weft_future_release(future);
    test_destroy(executor);
    assert_reported(0, 0, NULL);
}

static void test_drp_04_resolved_promise_keeps_its_outcome(void **state)
{
    (void)state;
    weft_executor *executor = hooked_executor(NULL);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    test_cell *cell = cell_make(NULL, 0);
    assert_int_equal(weft_promise_resolve(promise, cell, test_cell_free_value), 0);
    weft_promise_destroy(promise);
    assert_ok(future, cell);
    assert_int_equal(test_get(cell->value_freed), 0);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_get(cell->value_freed), 1);
    assert_reported(0, 0, NULL);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        TEST(test_drp_01_unread_error_is_reported_once),
        TEST(test_drp_01_dropped_before_it_failed),
        TEST(test_drp_01_fire_and_forget),
        TEST(test_drp_01_promise),
        TEST(test_drp_01_without_a_hook_it_is_counted),
        TEST(test_drp_01_one_line_on_stderr_only_if_asked),
        TEST(test_drp_01_dropped_after_destroy),
        TEST(test_drp_01_destroy_waits_for_a_hook_on_another_thread),
        TEST(test_drp_02_each_way_of_reading),
        TEST(test_drp_02_callback_alone_is_no_reading),
        TEST(test_drp_02_cancelled_and_timed_out_are_no_errors),
        TEST(test_drp_02_duty_goes_to_the_derived_future),
        TEST(test_drp_02_settled_gather_has_no_error),
        TEST(test_drp_02_later_failures_of_a_gather),
        TEST(test_drp_02_duty_does_not_come_back),
        TEST(test_drp_02_shield_that_did_not_mirror),
        TEST(test_drp_03_dropped_work_runs_to_its_end),
        TEST(test_drp_03_cancel_then_release_of_a_running_job),
        TEST(test_drp_03_memory_goes_with_the_last_thread_that_submitted),
        TEST(test_drp_04_promise_destroyed_unresolved),
        TEST(test_drp_04_resolved_promise_keeps_its_outcome),
    };
    if (count == 2 && strcmp(arguments[1], "unread") == 0) {
        return leave_an_error_unread();
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
