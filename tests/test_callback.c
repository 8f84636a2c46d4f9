/* test_callback.c: callbacks on futures (CBK and I9): once each, in order, on the coordinator, never inside the call
 * that caused them.
 *
 * The coordinator is one thread, so a callback that stands at a gate holds it: what must be asynchronous is then seen
 * not to have happened, without a clock. */
#include "support.h"

/* What a callback saw. One record a registration; the latch is hit last. */
struct record {
    test_latch *latch;
    test_log *log;
    int number, answer;
    _Atomic(unsigned) calls;
    weft_outcome outcome;
    int outcome_code;
    weft_future *future;
    pthread_t thread;
    int worker;
    weft_executor *current;
};

static int note_call(weft_future *future, void *data)
{
    struct record *record = data;
    record->future = future;
    record->outcome_code = weft_future_outcome(future, &record->outcome);
    record->thread = pthread_self();
    record->worker = weft_worker_index();
    record->current = weft_executor_current();
    atomic_fetch_add_explicit(&record->calls, 1, memory_order_acq_rel);
    if (record->log != NULL) {
        test_note(record->log, record->number);
    }
    int answer = record->answer; /* the record may be used anew once the latch is hit */
    test_latch_hit(record->latch);
    return answer;
}

static int pass_gate(weft_future *future, void *gate)
{
    (void)future;
    test_gate_pass(gate);
    return 0;
}

/* Stops the coordinator in a callback until the gate opens. */
static test_gate *hold_coordinator(weft_executor *executor)
{
    test_gate *gate = test_gate_make();
    weft_future *future = test_done_future(executor);
    assert_int_equal(weft_on_done(future, pass_gate, gate, NULL), 0);
    test_gate_await(gate, 1);
    weft_future_release(future);
    return gate;
}

/* CBK-01 */

static void check_called(weft_future *future, weft_state state, int error, weft_cancel_reason reason)
{
    struct record record = {.latch = test_latch_make()};
    assert_int_equal(weft_on_done(future, note_call, &record, NULL), 0);
    test_latch_wait(record.latch, 1);
    assert_int_equal(test_get(record.calls), 1);
    assert_ptr_equal(record.future, future);
    assert_int_equal(record.outcome_code, 0);
    assert_int_equal(record.outcome.state, state);
    assert_int_equal(record.outcome.error, error);
    assert_int_equal(record.outcome.reason, reason);
    weft_future_release(future);
}

static void test_cbk_01_called_once_with_a_readable_outcome(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (int done_before = 0; done_before < 2; done_before++) {
        test_gate *blocker = test_block(executor, 1);
        weft_future *ok = weft_submit(executor, test_job_return_arg, NULL);
        weft_future *bad = weft_submit(executor, test_job_fail_7, NULL);
        weft_future *self = weft_submit(executor, test_job_cancel_self, NULL);
        weft_future *user = weft_submit(executor, test_job_return_arg, NULL);
        struct record early = {.latch = test_latch_make()};
        assert_int_equal(weft_on_done(ok, note_call, &early, NULL), 0);
        assert_int_equal(test_latch_count(early.latch), 0);
        assert_int_equal(weft_cancel(user), WEFT_CANCEL_DONE);
        test_unblock(blocker);
        if (done_before) {
            assert_done_soon(self);
        }
        check_called(bad, WEFT_FAILED, 7, WEFT_REASON_NONE);
        check_called(self, WEFT_CANCELLED, -ECANCELED, WEFT_REASON_SELF);
        check_called(user, WEFT_CANCELLED, -ECANCELED, WEFT_REASON_USER);
        test_latch_wait(early.latch, 1);
        assert_int_equal(early.outcome.state, WEFT_SUCCEEDED);
        check_called(ok, WEFT_SUCCEEDED, 0, WEFT_REASON_NONE);
        assert_int_equal(test_get(early.calls), 1);
    }
    test_destroy(executor);
}

/* The callback keeps its future alive, so the last handle may be dropped at once. */
static void test_cbk_01_runs_although_the_last_handle_is_gone(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct record record = {.latch = test_latch_make()};
    test_gate *gate = test_gate_make();
    weft_future *job = weft_submit(executor, test_gate_job, gate);
    assert_int_equal(weft_on_done(job, note_call, &record, NULL), 0);
    weft_future_release(job);
    test_gate_open(gate);
    test_latch_wait(record.latch, 1);
    assert_int_equal(record.outcome_code, 0);
    assert_ptr_equal(record.outcome.value, gate);
    test_destroy(executor);
    assert_int_equal(test_get(record.calls), 1);
}

/* CBK-02 */

static void test_cbk_02_registration_order(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct record records[3];
    test_log *log = test_log_make();
    test_latch *latch = test_latch_make();
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    for (int i = 0; i < 3; i++) {
        records[i] = (struct record){.latch = latch, .log = log, .number = i};
        assert_int_equal(weft_on_done(future, note_call, &records[i], NULL), 0);
    }
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    test_latch_wait(latch, 3);
    assert_log(log, 0, 1, 2);
    weft_promise_destroy(promise);
    weft_future_release(future);
    test_destroy(executor);
}

enum { MANY = 32 };

static void check_in_order(test_log *log, int n)
{
    assert_int_equal(test_log_size(log), n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(test_log_at(log, (size_t)i), i);
    }
}

/* The future becomes DONE somewhere in the middle of the registrations: neither the order nor a call is lost. */
static void test_cbk_02_race_of_registrations_with_the_end(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (unsigned round = 0; round < test_rounds(1000); round++) {
        struct record records[MANY];
        test_log *log = test_log_make();
        test_latch *latch = test_latch_make();
        weft_future *job = weft_submit(executor, test_job_return_arg, NULL);
        for (int i = 0; i < MANY; i++) {
            records[i] = (struct record){.latch = latch, .log = log, .number = i};
            assert_int_equal(weft_on_done(job, note_call, &records[i], NULL), 0);
        }
        weft_future_release(job);
        test_latch_wait(latch, MANY);
        check_in_order(log, MANY);
    }
    test_destroy(executor);
}

struct registrar {
    test_barrier *start;
    weft_future *future;
    test_latch *latch;
    unsigned rounds;
};

static void *register_four(void *arg)
{
    struct registrar *registrar = arg;
    for (unsigned i = 0; i < registrar->rounds; i++) {
        test_barrier_meet(registrar->start);
        for (int j = 0; j < 4; j++) {
            TEST_EXPECT(weft_on_done(registrar->future, test_hit_latch, registrar->latch, NULL) == 0);
        }
        test_barrier_meet(registrar->start);
    }
    return NULL;
}

static void test_cbk_02_race_of_registering_threads_loses_none(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    weft_executor *executor = test_executor(1);
    struct registrar registrar = {.start = test_barrier_make(THREADS + 1), .rounds = test_rounds(500)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = test_spawn(register_four, &registrar);
    }
    for (unsigned i = 0; i < registrar.rounds; i++) {
        weft_promise *promise = weft_promise_create(executor);
        registrar.future = weft_promise_future(promise);
        registrar.latch = test_latch_make();
        test_barrier_meet(registrar.start);
        assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
        test_barrier_meet(registrar.start);
        test_latch_wait(registrar.latch, 4 * THREADS);
        weft_promise_destroy(promise);
        weft_future_release(registrar.future);
        assert_true(test_until_counters(0, 0, 0));
        assert_int_equal(test_latch_count(registrar.latch), 4 * THREADS);
    }
    for (int i = 0; i < THREADS; i++) {
        test_join(threads[i]);
    }
    test_destroy(executor);
}

static void test_cbk_02_across_futures_in_the_order_of_resolving(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct record records[6];
    weft_promise *promises[3];
    weft_future *futures[3];
    test_log *log = test_log_make();
    test_latch *latch = test_latch_make();
    test_gate *held = hold_coordinator(executor);
    for (int i = 0; i < 3; i++) {
        promises[i] = weft_promise_create(executor);
        futures[i] = weft_promise_future(promises[i]);
    }
    for (int i = 0; i < 6; i++) {
        records[i] = (struct record){.latch = latch, .log = log, .number = i};
        assert_int_equal(weft_on_done(futures[i % 3], note_call, &records[i], NULL), 0);
    }
    assert_int_equal(weft_promise_resolve(promises[2], NULL, NULL), 0);
    assert_int_equal(weft_cancel(futures[0]), WEFT_CANCEL_DONE);
    assert_int_equal(weft_promise_reject(promises[1], 1), 0);
    test_gate_open(held);
    test_latch_wait(latch, 6);
    assert_log(log, 2, 5, 0, 3, 1, 4);
    for (int i = 0; i < 3; i++) {
        weft_promise_destroy(promises[i]);
        weft_future_release(futures[i]);
    }
    test_destroy(executor);
}

/* Sleeps that are due at the same look of the clock, and what the callbacks of the first two saw of the last. */
enum { DUE = 64, MILLISECOND = 1000000 };
struct due {
    weft_future *last;
    bool done_at[2];
    unsigned calls;
    test_latch *latch;
};

static int look_at_last(weft_future *future, void *data)
{
    (void)future;
    struct due *due = data;
    due->done_at[due->calls++] = weft_future_state(due->last) != WEFT_PENDING;
    test_latch_hit(due->latch);
    return 0;
}

/* Early, so that it is not late for many others; and the next one not before the others, since it might take long. */
static void test_cbk_02_one_callback_among_many_timers(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    weft_future *sleeps[DUE];
    struct due due = {.latch = test_latch_make()};
    for (unsigned i = 0; i < DUE; i++)
        sleeps[i] = weft_sleep(executor, (int64_t)(i + 1) * MILLISECOND, NULL);
    due.last = sleeps[DUE - 1];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(weft_on_done(sleeps[i], look_at_last, &due, NULL), 0);
    weft_manual_clock_advance(clock, DUE * MILLISECOND);
    test_latch_wait(due.latch, 2);
    assert_false(due.done_at[0]);
    assert_true(due.done_at[1]);
    for (unsigned i = 0; i < DUE; i++)
        weft_future_release(sleeps[i]);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

/* A callback may destroy another executor on the same clock, even while somebody waits for its own to catch up. */
static int destroy_other(weft_future *future, void *other)
{
    (void)future;
    test_pause(10 * MILLISECOND); /* in which the next advance comes, if this one is not waiting still */
    TEST_EXPECT(weft_executor_destroy(other) == 0);
    return 0;
}

static void *advance_twice(void *clock)
{
    weft_manual_clock_advance(clock, MILLISECOND);
    weft_manual_clock_advance(clock, MILLISECOND);
    return NULL;
}

static void test_cbk_02_destroys_another_executor_of_the_clock(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    weft_executor *other = test_executor_clock(1, clock);
    weft_future *sleep = weft_sleep(executor, MILLISECOND, NULL);
    assert_int_equal(weft_on_done(sleep, destroy_other, other, NULL), 0);
    test_join(test_spawn(advance_twice, clock));
    weft_future_release(sleep);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

/* CBK-03 */

static void test_cbk_03_on_a_done_future_later_and_on_the_coordinator(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct record record = {.latch = test_latch_make()};
    test_gate *held = hold_coordinator(executor);
    weft_future *done = test_done_future(executor);
    assert_int_equal(weft_on_done(done, note_call, &record, NULL), 0);
    assert_int_equal(test_get(record.calls), 0);
    test_pause(WEFT_MILLISECONDS(20));
    assert_int_equal(test_get(record.calls), 0);
    test_gate_open(held);
    test_latch_wait(record.latch, 1);
    assert_false(pthread_equal(record.thread, pthread_self()));
    weft_future_release(done);
    test_destroy(executor);
    assert_int_equal(test_get(record.calls), 1);
}

static pthread_mutex_t held_by_caller = PTHREAD_MUTEX_INITIALIZER;

static int lock_as_the_caller_does(weft_future *future, void *latch)
{
    (void)future;
    pthread_mutex_lock(&held_by_caller);
    test_latch_hit(latch);
    pthread_mutex_unlock(&held_by_caller);
    return 0;
}

/* A caller that holds a lock which its callback wants: add, resolve, cancel and release all return. */
static void test_cbk_03_never_inside_the_callers_frame(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_latch *latch = test_latch_make();
    weft_promise *promises[3];
    weft_future *futures[3];
    for (int i = 0; i < 3; i++) {
        promises[i] = weft_promise_create(executor);
        futures[i] = weft_promise_future(promises[i]);
        assert_int_equal(weft_on_done(futures[i], lock_as_the_caller_does, latch, NULL), 0);
    }
    weft_future *done = test_done_future(executor);
    pthread_mutex_lock(&held_by_caller);
    assert_int_equal(weft_on_done(done, lock_as_the_caller_does, latch, NULL), 0);
    assert_int_equal(weft_promise_resolve(promises[0], NULL, NULL), 0);
    assert_int_equal(weft_promise_reject(promises[1], 2), 0);
    assert_int_equal(weft_cancel(futures[2]), WEFT_CANCEL_DONE);
    for (int i = 0; i < 3; i++) {
        weft_promise_destroy(promises[i]);
        weft_future_release(futures[i]);
    }
    weft_future_release(done);
    assert_int_equal(test_latch_count(latch), 0);
    pthread_mutex_unlock(&held_by_caller);
    test_latch_wait(latch, 4);
    test_destroy(executor);
    assert_int_equal(test_latch_count(latch), 4);
}

/* CBK-04 */

static void *cancel_it(void *future)
{
    TEST_EXPECT(weft_cancel(future) == WEFT_CANCEL_DONE);
    return NULL;
}

static void test_cbk_04_always_on_the_coordinator(void **state)
{
    (void)state;
    enum { WAYS = 5 };
    weft_executor *executor = test_executor(1);
    struct record records[WAYS];
    test_latch *latch = test_latch_make();
    test_cell cell = {.code = 0};
    weft_promise *promises[3] = {weft_promise_create(executor), weft_promise_create(executor),
                                 weft_promise_create(executor)};
    weft_future *futures[WAYS] = {weft_submit(executor, test_cell_run, &cell), weft_promise_future(promises[0]),
                                  weft_promise_future(promises[1]), weft_promise_future(promises[2]),
                                  weft_sleep(executor, 0, NULL)};
    for (int i = 0; i < WAYS; i++) {
        records[i] = (struct record){.latch = latch, .number = i};
        assert_int_equal(weft_on_done(futures[i], note_call, &records[i], NULL), 0);
    }
    test_join(test_spawn(cancel_it, futures[1]));
    assert_int_equal(weft_promise_resolve(promises[1], NULL, NULL), 0);
    for (int i = 0; i < 3; i++) {
        weft_promise_destroy(promises[i]);
    }
    for (int i = 0; i < WAYS; i++) {
        weft_future_release(futures[i]);
    }
    test_latch_wait(latch, WAYS);
    for (int i = 0; i < WAYS; i++) {
        assert_true(pthread_equal(records[i].thread, records[0].thread));
        assert_false(pthread_equal(records[i].thread, pthread_self()));
        assert_int_equal(records[i].worker, -1);
        assert_null(records[i].current);
        assert_int_equal(test_get(records[i].calls), 1);
    }
    assert_int_equal(records[3].outcome.error, -EOWNERDEAD);
    test_destroy(executor);
}

/* CBK-07 */

static void test_cbk_07_a_non_zero_answer_is_reported(void **state)
{
    (void)state;
    test_hook hook = {.errors = 0};
    const weft_executor_options options = {.workers = 1, .unobserved_error = test_hook_unobserved, .data = &hook};
    const weft_submit_options named = {.name = "reporter"};
    weft_executor *executor = test_executor_with(&options);
    const int answers[] = {42, -5};
    for (unsigned i = 0; i < 2; i++) {
        struct record records[3];
        test_latch *latch = test_latch_make();
        test_log *log = test_log_make();
        test_gate *blocker = test_block(executor, 1);
        weft_future *job = weft_submit_with(executor, test_job_return_arg, &hook, &named);
        for (int j = 0; j < 3; j++) {
            records[j] = (struct record){.latch = latch, .log = log, .number = j, .answer = j == 1 ? answers[i] : 0};
            assert_int_equal(weft_on_done(job, note_call, &records[j], NULL), 0);
        }
        test_unblock(blocker);
        test_latch_wait(latch, 3);
        assert_log(log, 0, 1, 2);
        assert_ok(job, &hook);
        weft_future_release(job);
        assert_true(test_until_counters(0, 0, 0));
        assert_int_equal(test_get(hook.errors), i + 1);
        assert_int_equal(test_get(hook.last_error), answers[i]);
        assert_string_equal(test_get(hook.last_name), "reporter");
    }
    test_destroy(executor);
    assert_int_equal(test_get(hook.errors), 2);
}

/* Reading the outcome inside a callback is reading it; a callback that does not look leaves the error unread. */
static void test_cbk_07_a_look_inside_a_callback_counts_as_reading(void **state)
{
    (void)state;
    test_hook hook = {.errors = 0};
    const weft_executor_options options = {.workers = 1, .unobserved_error = test_hook_unobserved, .data = &hook};
    weft_executor *executor = test_executor_with(&options);
    struct record record = {.latch = test_latch_make()};
    weft_future *read = weft_submit(executor, test_job_fail_7, NULL);
    assert_int_equal(weft_on_done(read, note_call, &record, NULL), 0);
    weft_future_release(read);
    assert_true(test_until_counters(0, 0, 0));
    test_latch_wait(record.latch, 1);
    assert_int_equal(test_get(hook.errors), 0);
    weft_future *unread = weft_submit(executor, test_job_fail_7, NULL);
    assert_int_equal(weft_on_done(unread, test_hit_latch, record.latch, NULL), 0);
    weft_future_release(unread);
    test_destroy(executor);
    assert_int_equal(test_latch_count(record.latch), 2);
    assert_int_equal(test_get(hook.errors), 1);
    assert_int_equal(test_get(hook.last_error), 7);
}

/* I12 */

struct blocking {
    weft_future *pending, *done;
    test_latch *latch;
};

static int try_to_block(weft_future *future, void *data)
{
    struct blocking *blocking = data;
    void *value = NULL;
    bool flags[2];
    weft_future *both[] = {blocking->done, blocking->pending};
    TEST_EXPECT(weft_future_wait(blocking->pending, 0) == -ETIMEDOUT);
    TEST_EXPECT(weft_future_wait(blocking->pending, WEFT_FOREVER) == -EDEADLK);
    TEST_EXPECT(weft_future_wait(blocking->pending, WEFT_SECONDS(60)) == -EDEADLK);
    TEST_EXPECT(weft_future_get(blocking->pending, &value) == -EDEADLK);
    TEST_EXPECT(weft_future_take(blocking->pending, &value) == -EDEADLK);
    TEST_EXPECT(weft_await(blocking->pending, &value) == -EDEADLK);
    TEST_EXPECT(weft_wait(both, 2, WEFT_ALL_COMPLETED, WEFT_FOREVER, flags) == -EDEADLK);
    TEST_EXPECT(weft_wait(both, 2, WEFT_FIRST_COMPLETED, WEFT_FOREVER, flags) == 0);
    TEST_EXPECT(flags[0] && !flags[1]);
    TEST_EXPECT(weft_future_wait(future, WEFT_FOREVER) == 0);
    TEST_EXPECT(weft_future_get(blocking->done, &value) == 0);
    TEST_EXPECT(weft_await(blocking->done, &value) == 0);
    test_latch_hit(blocking->latch);
    return 0;
}

static void test_cbk_i12_a_callback_cannot_block(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    struct blocking blocking = {.pending = weft_promise_future(promise), .latch = test_latch_make()};
    blocking.done = test_done_future(executor);
    weft_future *trigger = test_done_future(executor);
    assert_int_equal(weft_on_done(trigger, try_to_block, &blocking, NULL), 0);
    test_latch_wait(blocking.latch, 1);
    assert_int_equal(weft_future_state(blocking.pending), WEFT_PENDING);
    weft_future_release(trigger);
    weft_future_release(blocking.pending);
    weft_promise_destroy(promise);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest callback[] = {
        TEST(test_cbk_01_called_once_with_a_readable_outcome),
        TEST(test_cbk_01_runs_although_the_last_handle_is_gone),
        TEST(test_cbk_02_registration_order),
        TEST(test_cbk_02_race_of_registrations_with_the_end),
        TEST(test_cbk_02_race_of_registering_threads_loses_none),
        TEST(test_cbk_02_across_futures_in_the_order_of_resolving),
        TEST(test_cbk_02_one_callback_among_many_timers),
        TEST(test_cbk_02_destroys_another_executor_of_the_clock),
        TEST(test_cbk_03_on_a_done_future_later_and_on_the_coordinator),
        TEST(test_cbk_03_never_inside_the_callers_frame),
        TEST(test_cbk_04_always_on_the_coordinator),
        TEST(test_cbk_07_a_non_zero_answer_is_reported),
        TEST(test_cbk_07_a_look_inside_a_callback_counts_as_reading),
        TEST(test_cbk_i12_a_callback_cannot_block),
    };
    return cmocka_run_group_tests(callback, NULL, NULL);
}
