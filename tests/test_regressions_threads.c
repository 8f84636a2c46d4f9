/* test_regressions_threads.c: defects that review found where two threads meet by chance: values taken and lent,
 * callbacks, the end of executors and of threads. What needs no chance is in test_regressions.c.
 *
 * Discipline. Each race is repeated on a thread of its own against the test's, released by a spinning hand-over, with a
 * pause that changes from round to round; the oracle is that the answers of both sides agree, and that the counters are
 * back at the end. */
#define _GNU_SOURCE
#include "fixtures.h"

#include <sched.h>

/* The rival thread: does step(data) once for each round that the test calls. */
typedef struct rival {
    void (*step)(void *data); /* by the test before the thread starts */
    void *data;               /* the same */
    _Atomic(unsigned) called; /* by the test; with what is handed over before it */
    _Atomic(unsigned) did;    /* by the rival; with what it found */
    _Atomic(bool) over;       /* by the test */
    pthread_t thread;         /* the test's thread */
} rival;

static void *rival_body(void *argument)
{
    rival *r = argument;
    for (unsigned round = 1; !test_get(r->over); round++) {
        while (test_get(r->called) < round && !test_get(r->over)) {
            sched_yield();
        }
        if (test_get(r->called) < round) {
            break;
        }
        r->step(r->data);
        atomic_store_explicit(&r->did, round, memory_order_release);
    }
    return NULL;
}

static void rival_start(rival *r, void (*step)(void *data), void *data)
{
    *r = (rival){.step = step, .data = data};
    r->thread = test_spawn(rival_body, r);
}

static void rival_call(rival *r)
{
    atomic_fetch_add_explicit(&r->called, 1, memory_order_acq_rel);
}

static void rival_wait(rival *r)
{
    while (test_get(r->did) < test_get(r->called)) {
        sched_yield();
    }
}

static void rival_end(rival *r)
{
    atomic_store_explicit(&r->over, true, memory_order_release);
    test_join(r->thread);
}

static _Atomic(unsigned) idle_turns;

static void spin(unsigned turns)
{
    while (turns-- > 0) {
        atomic_load_explicit(&idle_turns, memory_order_acquire);
    }
}

static _Atomic(unsigned) freed;

static void count_freed(void *value)
{
    (void)value;
    atomic_fetch_add_explicit(&freed, 1, memory_order_acq_rel);
}

/* Values. */

typedef struct take_race {
    weft_future *future; /* by the test before the call */
    int code;            /* by the rival */
} take_race;

static void take_step(void *data)
{
    take_race *race = data;
    void *value = NULL;
    race->code = weft_future_take(race->future, &value);
}

/* Taken or lent; what is not taken is freed once, and only with the last that lends it. */
static void check_taken_or_lent(bool gathered)
{
    weft_executor *executor = test_executor(1);
    take_race race;
    rival taker;
    rival_start(&taker, take_step, &race);
    for (unsigned round = 0; round < test_rounds(20000); round++) {
        weft_promise *promise = weft_promise_create(executor);
        race.future = weft_promise_future(promise);
        atomic_store_explicit(&freed, 0, memory_order_relaxed);
        assert_int_equal(weft_promise_resolve(promise, executor, count_freed), 0);
        rival_call(&taker);
        spin(round % 64 * 4);
        weft_future *above = gathered ? gather(executor, &race.future, 1, WEFT_SETTLED) : weft_shield(race.future);
        assert_non_null(above);
        rival_wait(&taker);
        assert_true(race.code == 0 || race.code == -EBUSY);
        weft_outcome outcome;
        if (gathered) {
            outcome = *slots(above, 1);
        } else {
            assert_int_equal(weft_future_outcome(above, &outcome), 0);
        }
        assert_ptr_equal(outcome.value, race.code == 0 ? NULL : executor);
        assert_int_equal(outcome.error, race.code == 0 ? -ENODATA : 0);
        weft_future_release(race.future);
        weft_promise_destroy(promise);
        assert_int_equal(test_get(freed), 0);
        weft_future_release(above);
        assert_true(test_get(freed) <= (race.code == 0 ? 0 : 1));
    }
    rival_end(&taker);
    test_destroy(executor);
}

static void test_res_03_a_value_is_taken_or_lent_to_a_shield(void **state)
{
    (void)state;
    check_taken_or_lent(false);
}

static void test_res_03_a_value_is_taken_or_lent_to_a_gather(void **state)
{
    (void)state;
    check_taken_or_lent(true);
}

static void test_shi_01_a_shield_made_before_the_take_has_the_value(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    for (unsigned round = 0; round < test_rounds(20000); round++) {
        weft_future *future = weft_submit(executor, test_job_return_arg, executor);
        weft_future *above = round % 2 ? weft_shield(future) : weft_wait_for(future, WEFT_FOREVER, 0);
        assert_non_null(above);
        assert_int_equal(weft_future_wait(future, test_patience()), 0);
        assert_int_equal(weft_future_take(future, NULL), 0);
        void *value = NULL;
        assert_int_equal(weft_future_get(above, &value), 0);
        assert_ptr_equal(value, executor);
        weft_future_release(future);
        weft_future_release(above);
    }
    test_destroy(executor);
}

/* Reasons. */

static void test_can_10_a_reason_is_one_of_two(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (unsigned round = 0; round < test_rounds(50000); round++) {
        weft_future *future = weft_submit(executor, test_job_cancel_self, NULL);
        spin(round % 256);
        weft_cancel_effect effect = weft_cancel(future);
        assert_int_equal(weft_future_wait(future, test_patience()), 0);
        weft_outcome outcome;
        assert_int_equal(weft_future_outcome(future, &outcome), 0);
        assert_int_equal(outcome.state, WEFT_CANCELLED);
        if (effect == WEFT_CANCEL_DONE) {
            assert_int_equal(outcome.reason, WEFT_REASON_USER);
        } else if (outcome.reason != WEFT_REASON_USER) {
            assert_int_equal(outcome.reason, WEFT_REASON_SELF);
        }
        weft_future_release(future);
    }
    test_destroy(executor);
}

static void test_gat_04_a_drain_does_not_cancel_a_gather_of_jobs(void **state)
{
    (void)state;
    for (unsigned round = 0; round < test_rounds(300); round++) {
        weft_executor *executor = test_executor(1);
        weft_future *future = weft_submit(executor, test_job_return_arg, NULL);
        weft_future *above = gather(executor, &future, 1, WEFT_SETTLED);
        spin(round % 100 * 16);
        assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, test_patience()), 0);
        assert_ok(future, NULL);
        assert_ok(above, NULL);
        weft_future_release(future);
        weft_future_release(above);
        test_destroy(executor);
    }
}

/* Callbacks. */

typedef struct callback_race {
    weft_future *future;   /* by the test before the call */
    int code;              /* by the rival */
    _Atomic(unsigned) ran; /* digits in the order in which the callbacks ran; the coordinator */
} callback_race;

typedef struct digit {
    callback_race *race; /* constant */
    unsigned value;      /* constant */
} digit;

static int append(weft_future *future, void *data)
{
    const digit *d = data;
    (void)future;
    atomic_store_explicit(&d->race->ran, test_get(d->race->ran) * 10 + d->value, memory_order_release);
    return 0;
}

static callback_race callbacks;
static digit digits[] = {{&callbacks, 1}, {&callbacks, 2}, {&callbacks, 3}};

static void attach_step(void *data)
{
    callback_race *race = data;
    race->code = weft_on_done(race->future, append, &digits[1], NULL);
}

static bool three_ran(void *data)
{
    (void)data;
    return test_get(callbacks.ran) > 99;
}

static void test_cbk_02_the_order_stays_when_one_is_added_as_it_settles(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    rival attacher;
    rival_start(&attacher, attach_step, &callbacks);
    for (unsigned round = 0; round < test_rounds(3000); round++) {
        weft_promise *promise = weft_promise_create(executor);
        callbacks.future = weft_promise_future(promise);
        atomic_store_explicit(&callbacks.ran, 0, memory_order_relaxed);
        assert_int_equal(weft_on_done(callbacks.future, append, &digits[0], NULL), 0);
        rival_call(&attacher);
        spin(round % 64 * 4);
        assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
        rival_wait(&attacher);
        assert_int_equal(callbacks.code, 0);
        assert_int_equal(weft_on_done(callbacks.future, append, &digits[2], NULL), 0);
        assert_true(test_until(three_ran, NULL));
        assert_int_equal(test_get(callbacks.ran), 123);
        weft_future_release(callbacks.future);
        weft_promise_destroy(promise);
    }
    rival_end(&attacher);
    test_destroy(executor);
}

static void test_cbk_03_none_is_lost_when_one_is_added_at_shutdown(void **state)
{
    (void)state;
    rival attacher;
    rival_start(&attacher, attach_step, &callbacks);
    for (unsigned round = 0; round < test_rounds(400); round++) {
        weft_executor *executor = test_executor(1);
        weft_promise *promise = weft_promise_create(executor);
        callbacks.future = weft_promise_future(promise);
        atomic_store_explicit(&callbacks.ran, 0, memory_order_relaxed);
        assert_int_equal(weft_on_done(callbacks.future, append, &digits[0], NULL), 0);
        rival_call(&attacher);
        spin(round % 128 * 8);
        assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
        assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, test_patience()), 0);
        rival_wait(&attacher);
        assert_true(callbacks.code == 0 || callbacks.code == -ESHUTDOWN);
        weft_future_release(callbacks.future);
        weft_promise_destroy(promise);
        test_destroy(executor);
        assert_int_equal(test_get(callbacks.ran), callbacks.code == 0 ? 12 : 1);
    }
    rival_end(&attacher);
}

/* Shutdown. */

enum { MOST_SUBMITTED = 2000 };

typedef struct submit_race {
    weft_executor *executor;             /* by the test before the call */
    weft_future *future[MOST_SUBMITTED]; /* by the rival */
    unsigned n;                          /* by the rival */
    int code;                            /* errno of the refusal; by the rival */
} submit_race;

static void submit_step(void *data)
{
    submit_race *race = data;
    race->code = 0;
    for (race->n = 0; race->n < MOST_SUBMITTED; race->n++) {
        race->future[race->n] = weft_submit(race->executor, test_job_return_arg, NULL);
        if (race->future[race->n] == NULL) {
            race->code = errno;
            return;
        }
    }
}

static void test_shd_01_what_was_accepted_is_done_after_shutdown(void **state)
{
    (void)state;
    static submit_race race;
    rival submitter;
    rival_start(&submitter, submit_step, &race);
    for (unsigned round = 0; round < test_rounds(800); round++) {
        race.executor = test_executor(2);
        rival_call(&submitter);
        spin(round % 128 * 32);
        assert_int_equal(weft_executor_shutdown(race.executor, (weft_shutdown_mode)(round % 3), test_patience()), 0);
        rival_wait(&submitter);
        assert_true(race.n == MOST_SUBMITTED || race.code == ESHUTDOWN);
        for (unsigned i = 0; i < race.n; i++) {
            assert_true(weft_future_done(race.future[i]));
            weft_future_release(race.future[i]);
        }
        test_destroy(race.executor);
    }
    rival_end(&submitter);
}

static void cancel_step(void *data)
{
    weft_future *const *sleep = data;
    weft_cancel(*sleep);
    weft_future_release(*sleep);
}

static void test_slp_03_a_sleep_cancelled_as_its_executor_goes(void **state)
{
    (void)state;
    weft_future *sleep = NULL;
    rival canceller;
    rival_start(&canceller, cancel_step, &sleep);
    for (unsigned round = 0; round < test_rounds(400); round++) {
        weft_executor *executor = test_executor(1);
        sleep = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
        assert_non_null(sleep);
        rival_call(&canceller);
        spin(round % 128 * 8);
        test_destroy(executor);
        rival_wait(&canceller);
    }
    rival_end(&canceller);
}

/* Hooks that need another executor while their own one stops. */

static weft_executor *elsewhere;

static void *sleep_elsewhere(void *argument)
{
    weft_future *sleep = weft_sleep(elsewhere, (int64_t)(uintptr_t)argument, NULL);
    TEST_EXPECT(weft_await(sleep, NULL) == 0);
    return NULL;
}

static void wait_elsewhere(unsigned worker, void *data)
{
    (void)worker;
    (void)data;
    TEST_EXPECT(weft_await(weft_submit(elsewhere, test_job_return_arg, NULL), NULL) == 0);
}

static void test_exe_09_worker_stop_may_wait_for_another_executor(void **state)
{
    (void)state;
    elsewhere = test_executor(2);
    for (unsigned round = 0; round < test_rounds(200); round++) {
        const weft_executor_options options = {.workers = 4, .worker_stop = wait_elsewhere};
        weft_executor *executor = test_executor_with(&options);
        for (uintptr_t k = 0; k < 8; k++) {
            assert_int_equal(weft_execute(executor, sleep_elsewhere, (void *)((round * 8 + k) * 977 % 50000)), 0);
        }
        assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, test_patience()), 0);
        test_destroy(executor);
    }
    test_destroy(elsewhere);
}

static void *wait_for_argument(void *future)
{
    weft_wait((weft_future *const[]){future}, 1, WEFT_ALL_COMPLETED, 0, NULL);
    int code = weft_future_wait(future, WEFT_FOREVER);
    TEST_EXPECT(code == 0 || code == -EINTR);
    return NULL;
}

static void test_exe_12_the_waiting_executor_is_destroyed_after_the_wait(void **state)
{
    (void)state;
    weft_executor *other = test_executor(1);
    for (unsigned round = 0; round < test_rounds(600); round++) {
        weft_executor *executor = test_executor(1);
        weft_future *awaited = weft_submit(other, test_job_return_arg, NULL);
        weft_future *waiter = weft_submit(executor, wait_for_argument, awaited);
        spin(round % 64 * 16);
        if (round % 2) {
            weft_cancel(waiter);
        }
        assert_int_equal(weft_future_wait(waiter, test_patience()), 0);
        test_destroy(executor);
        assert_int_equal(weft_future_wait(awaited, test_patience()), 0);
        weft_future_release(waiter);
        weft_future_release(awaited);
    }
    test_destroy(other);
}

/* Threads of the program that end, or count, while an executor goes. */

typedef struct user {
    weft_executor *executor; /* by the test before the thread starts */
    test_barrier *barrier;   /* the same */
    unsigned turns;          /* the same */
} user;

static void *use_and_end(void *argument)
{
    const user *u = argument;
    TEST_EXPECT(weft_await(weft_submit(u->executor, test_job_return_arg, NULL), NULL) == 0);
    test_barrier_meet(u->barrier);
    spin(u->turns);
    return NULL;
}

static void test_exe_01_threads_end_while_the_executor_goes(void **state)
{
    (void)state;
    enum { USERS = 3 };
    test_barrier *barrier = test_barrier_make(USERS + 1);
    for (unsigned round = 0; round < test_rounds(600); round++) {
        weft_executor *executor = test_executor(1);
        user users[USERS];
        pthread_t threads[USERS];
        for (unsigned k = 0; k < USERS; k++) {
            users[k] = (user){executor, barrier, (round * USERS + k) * 7919 % 20000};
            threads[k] = test_spawn(use_and_end, &users[k]);
        }
        test_barrier_meet(barrier);
        test_destroy(executor);
        for (unsigned k = 0; k < USERS; k++) {
            test_join(threads[k]);
        }
    }
}

typedef struct count_race {
    _Atomic(bool) over;      /* by the test */
    _Atomic(unsigned) reads; /* by the counting thread */
} count_race;

static void *count_always(void *argument)
{
    count_race *race = argument;
    while (!test_get(race->over)) {
        weft_counters counters;
        weft_counters_read(&counters);
        atomic_fetch_add_explicit(&race->reads, 1, memory_order_acq_rel);
    }
    return NULL;
}

static void *make_many(void *argument)
{
    (void)argument;
    for (unsigned round = 0; round < test_rounds(400); round++) {
        const weft_executor_options options = {.workers = 1};
        weft_executor *executor = weft_executor_create(&options);
        TEST_EXPECT(executor != NULL);
        TEST_EXPECT(weft_executor_destroy(executor) == 0);
    }
    return NULL;
}

static void test_exe_02_counting_while_executors_come_and_go(void **state)
{
    (void)state;
    count_race race = {.reads = 0};
    pthread_t counter = test_spawn(count_always, &race);
    pthread_t maker = test_spawn(make_many, NULL);
    make_many(NULL);
    test_join(maker);
    atomic_store_explicit(&race.over, true, memory_order_release);
    test_join(counter);
    assert_true(test_get(race.reads) > 0);
}

/* A child of a job that blocks must not wait for the outside to fall silent. */

typedef struct load {
    weft_executor *executor;  /* by the test before the threads start */
    test_latch *child;        /* the same */
    _Atomic(bool) over;       /* by the test */
    _Atomic(unsigned) queued; /* leaves submitted and not yet run */
} load;

static load outside;

enum { BATCH = 100, BACKLOG = TEST_TSAN ? 5000 : 50000 };

static void *leaf(void *argument)
{
    (void)argument;
    spin(1000);
    atomic_fetch_sub_explicit(&outside.queued, 1, memory_order_acq_rel);
    return NULL;
}

static void *feed(void *argument)
{
    (void)argument;
    while (!test_get(outside.over)) {
        if (test_get(outside.queued) >= BACKLOG) {
            sched_yield();
            continue;
        }
        atomic_fetch_add_explicit(&outside.queued, BATCH, memory_order_acq_rel);
        TEST_EXPECT(weft_submit_many(outside.executor, leaf, NULL, BATCH, NULL) == 0);
    }
    return NULL;
}

static void *hit_child(void *argument)
{
    test_latch_hit(argument);
    return NULL;
}

static void *leave_a_child(void *argument)
{
    TEST_EXPECT(weft_execute(outside.executor, hit_child, outside.child) == 0);
    TEST_EXPECT(weft_future_wait(argument, 100 * MS) == -ETIMEDOUT);
    return NULL;
}

static void test_exe_07_a_child_starts_while_jobs_keep_coming(void **state)
{
    (void)state;
    outside = (load){.executor = test_executor(1), .child = test_latch_make()};
    weft_promise *promise = weft_promise_create(outside.executor);
    weft_future *pending = weft_promise_future(promise);
    weft_future *parent = weft_submit(outside.executor, leave_a_child, pending);
    pthread_t feeders[2] = {test_spawn(feed, NULL), test_spawn(feed, NULL)};
    assert_true(test_latch_wait(outside.child, 1));
    assert_done_soon(parent);
    atomic_store_explicit(&outside.over, true, memory_order_release);
    test_join(feeders[0]);
    test_join(feeders[1]);
    weft_future_release(parent);
    weft_future_release(pending);
    weft_promise_destroy(promise);
    test_destroy(outside.executor);
}

int main(void)
{
    const struct CMUnitTest regressions[] = {
        TEST(test_res_03_a_value_is_taken_or_lent_to_a_shield),
        TEST(test_res_03_a_value_is_taken_or_lent_to_a_gather),
        TEST(test_shi_01_a_shield_made_before_the_take_has_the_value),
        TEST(test_can_10_a_reason_is_one_of_two),
        TEST(test_gat_04_a_drain_does_not_cancel_a_gather_of_jobs),
        TEST(test_cbk_02_the_order_stays_when_one_is_added_as_it_settles),
        TEST(test_cbk_03_none_is_lost_when_one_is_added_at_shutdown),
        TEST(test_shd_01_what_was_accepted_is_done_after_shutdown),
        TEST(test_slp_03_a_sleep_cancelled_as_its_executor_goes),
        TEST(test_exe_09_worker_stop_may_wait_for_another_executor),
        TEST(test_exe_12_the_waiting_executor_is_destroyed_after_the_wait),
        TEST(test_exe_01_threads_end_while_the_executor_goes),
        TEST(test_exe_02_counting_while_executors_come_and_go),
        TEST(test_exe_07_a_child_starts_while_jobs_keep_coming),
    };
    return cmocka_run_group_tests(regressions, NULL, NULL);
}
