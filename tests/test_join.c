/* test_join.c: fork-join on one worker and, with gates, on several: order, results, and what a join does.
 *
 * Discipline. As in join.h. Context, failures and weft_run stand in test_join_context.c, the ends of threads in
 * test_join_end.c, process forks in test_join_fork.c, races in test_join_threads.c. */
#include "join.h"
#include "points.h"

/* ---- order and results ---- */

typedef struct order {
    test_log *log;
    int entry;
} order;

static void *note_order(void *argument)
{
    order *o = argument;
    test_note(o->log, o->entry);
    return o;
}

static void *three_forks(void *log)
{
    weft_task tasks[3];
    order orders[3];
    for (int i = 0; i < 3; i++) {
        orders[i] = (order){log, i};
        weft_fork(&tasks[i], note_order, &orders[i]);
    }
    test_note(log, 9);
    for (int i = 2; i >= 0; i--)
        TEST_EXPECT(weft_join(&tasks[i]) == &orders[i]);
    return NULL;
}

static void test_one_worker_runs_each_in_its_join(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_log *log = test_log_make();
    run_in(executor, three_forks, log);
    assert_log(log, 9, 2, 1, 0);
    test_destroy(executor);
}

static void test_outside_a_job_it_runs_at_once(void **state)
{
    (void)state;
    test_log *log = test_log_make();
    three_forks(log);
    assert_log(log, 0, 1, 2, 9);
    weft_task task;
    weft_fork_inline(&task, trifle, log);
    assert_ptr_equal(weft_join_inline(&task, trifle, log), log);
}

static int fork_in_callback(weft_future *future, void *log)
{
    (void)future;
    three_forks(log);
    TEST_EXPECT(weft_run(NULL, trifle, NULL, NULL) == -EDEADLK);
    return 0;
}

static void test_in_a_callback_it_runs_at_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    test_log *log = test_log_make();
    weft_future *done = test_done_future(executor);
    assert_int_equal(weft_on_done(done, fork_in_callback, log, NULL), 0);
    flush(executor);
    assert_log(log, 0, 1, 2, 9);
    weft_future_release(done);
    test_destroy(executor);
}

static test_log *hook_log;

static int fork_in_start(unsigned worker, void *data)
{
    (void)data;
    if (worker == 0)
        three_forks(hook_log);
    return 0;
}

static void test_in_a_hook_each_runs_in_its_join(void **state)
{
    (void)state;
    hook_log = test_log_make();
    weft_executor *executor = test_executor_with(&(weft_executor_options){.workers = 3, .worker_start = fork_in_start});
    assert_true(test_log_wait(hook_log, 4));
    assert_log(hook_log, 9, 2, 1, 0);
    test_destroy(executor);
}

/* When weft has done with a thread of its own, destructors of the program's may still run there. */
static pthread_key_t late_key;

static void fork_late(void *log)
{
    three_forks(log);
}

static void *set_late(void *log)
{
    TEST_EXPECT(pthread_setspecific(late_key, log) == 0);
    return log;
}

static void test_at_the_end_of_a_worker_it_runs_at_once(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&late_key, fork_late), 0);
    test_log *log = test_log_make();
    weft_executor *executor = test_executor(1);
    run_in(executor, set_late, log);
    test_destroy(executor);
    assert_log(log, 0, 1, 2, 9);
    pthread_key_delete(late_key);
}

static void *fib_inline(void *argument)
{
    uintptr_t n = (uintptr_t)argument;
    if (n < 2)
        return argument;
    weft_task left, none;
    weft_fork_inline(&left, fib_inline, (void *)(n - 1));
    weft_fork(&none, fib, (void *)1);
    uintptr_t right = (uintptr_t)fib_inline((void *)(n - 2));
    uintptr_t one = (uintptr_t)weft_join_inline(&none, fib, (void *)1);
    return (void *)((uintptr_t)weft_join_inline(&left, fib_inline, (void *)(n - 1)) + right + one - 1);
}

static void test_recursion_for_any_number_of_workers(void **state)
{
    (void)state;
    static const unsigned workers[] = {1, 2, 3, 8, 64};
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        weft_executor *executor = test_executor(workers[i]);
        assert_int_equal((uintptr_t)run_in(executor, fib, (void *)16), 987);
        assert_int_equal((uintptr_t)run_in(executor, fib_inline, (void *)14), 377);
        test_destroy(executor);
    }
}

enum { MANY = 100000 };
static weft_task many[MANY];
static int many_of[MANY];

static void *count_up(void *argument)
{
    ++*(int *)argument;
    return argument;
}

/* More than any ring has room for, all open at a time. */
static void *fork_many(void *arg)
{
    for (size_t i = 0; i < MANY; i++)
        weft_fork(&many[i], count_up, &many_of[i]);
    for (size_t i = MANY; i-- > 0;)
        TEST_EXPECT(weft_join(&many[i]) == &many_of[i]);
    return arg;
}

static void many_on(unsigned workers)
{
    weft_executor *executor = test_executor(workers);
    memset(many_of, 0, sizeof many_of);
    run_in(executor, fork_many, NULL);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(many_of[i], 1);
    test_destroy(executor);
}

static void test_a_hundred_thousand_open_forks(void **state)
{
    (void)state;
    many_on(1);
    many_on(0);
}

static void *deep(void *argument)
{
    uintptr_t n = (uintptr_t)argument;
    if (n == 0)
        return NULL;
    weft_task task;
    weft_fork(&task, trifle, argument);
    uintptr_t below = (uintptr_t)deep((void *)(n - 1));
    return (void *)(below + (weft_join(&task) == argument));
}

static void test_deep_recursion(void **state)
{
    (void)state;
    weft_executor *executor =
        test_executor_with(&(weft_executor_options){.workers = test_workers(), .stack_size = (size_t)256 << 20});
    const uintptr_t levels = TEST_TSAN ? 10000 : MANY; /* clang's ThreadSanitizer knows 64 Ki frames */
    assert_int_equal((uintptr_t)run_in(executor, deep, (void *)levels), levels);
    test_destroy(executor);
}

/* ---- stolen ---- */

static void test_an_idle_worker_takes_it(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    step s = step_make(NULL, NULL, test_gate_make());
    assert_ptr_equal(run_in(executor, steal_one, &s), &s);
    assert_false(pthread_equal(s.thread, pthread_self()));
    test_destroy(executor);
}

/* Until somebody is idle there are none of them to be stolen, so the oldest is what goes first. */
static void *steal_oldest(void *argument)
{
    step *steps = argument;
    weft_task tasks[3];
    for (int i = 0; i < 3; i++)
        weft_fork(&tasks[i], take_step, &steps[i]);
    until_stolen(&steps[0]);
    TEST_EXPECT(!atomic_load_explicit(&steps[1].runs, memory_order_acquire));
    for (int i = 2; i > 0; i--) {
        weft_join(&tasks[i]);
        TEST_EXPECT(pthread_equal(steps[i].thread, pthread_self()));
    }
    test_gate_open(steps[0].gate);
    weft_join(&tasks[0]);
    return NULL;
}

static void test_the_oldest_is_stolen_first(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    test_gate *gate = test_gate_make();
    static step steps[3];
    for (int i = 0; i < 3; i++)
        steps[i] = step_make(NULL, NULL, i == 0 ? gate : NULL);
    run_in(executor, steal_oldest, steps);
    test_destroy(executor);
}

typedef struct asking {
    step steps[3];
    test_gate *gate; /* holds the other worker; opened by the job */
} asking;

static void *fork_after_theft(void *argument)
{
    asking *a = argument;
    weft_task tasks[3];
    weft_fork(&tasks[0], take_step, &a->steps[0]);
    weft_fork(&tasks[1], take_step, &a->steps[1]); /* now two can be taken, which is enough */
    test_gate_open(a->gate);
    TEST_EXPECT(test_latch_wait(a->steps[0].entered, 1) && test_latch_wait(a->steps[1].entered, 1));
    weft_fork(&tasks[2], take_step, &a->steps[2]);
    TEST_EXPECT(test_latch_wait(a->steps[2].entered, 1));
    for (int i = 2; i >= 0; i--) {
        weft_join(&tasks[i]);
    }
    return NULL;
}

/* The job has one of two workers, the other stands at a gate until the job opens it. */
static void run_asking(weft_fn *job, bool returns_first)
{
    weft_executor *executor = test_executor(2);
    asking a = {.gate = test_block(executor, 1)};
    for (int i = 0; i < 3; i++) {
        a.steps[i] = step_make(NULL, NULL, NULL);
    }
    assert_ptr_equal(run_in(executor, job, &a), returns_first ? &a.steps[0] : NULL);
    test_unblock(a.gate);
    test_destroy(executor);
}

/* Who takes tasks says so, and the next fork is for others again. */
static void test_what_is_forked_after_a_theft_can_be_taken(void **state)
{
    (void)state;
    run_asking(fork_after_theft, false);
}

static void *fork_after_a_join(void *argument)
{
    asking *a = argument;
    weft_task tasks[3];
    weft_fork(&tasks[0], take_step, &a->steps[0]);
    weft_fork(&tasks[1], take_step, &a->steps[1]); /* two can be taken */
    weft_join(&tasks[1]);                          /* and now only one */
    weft_fork(&tasks[2], take_step, &a->steps[2]);
    test_gate_open(a->gate);
    TEST_EXPECT(test_latch_wait(a->steps[2].entered, 1));
    weft_join(&tasks[2]);
    return weft_join(&tasks[0]);
}

static void test_what_is_forked_after_a_join_can_be_taken(void **state)
{
    (void)state;
    run_asking(fork_after_a_join, true);
}

/* The owner waits for a task whose thief stands at a gate: its worker runs other jobs meanwhile. */
static void *join_at_gate(void *argument)
{
    step *s = argument;
    weft_task task;
    weft_fork(&task, take_step, s);
    until_stolen(s);
    return weft_join(&task);
}

static void test_a_join_that_blocks_gives_its_worker_away(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    step s = step_make(NULL, NULL, test_gate_make());
    weft_future *future = weft_submit(executor, join_at_gate, &s);
    assert_true(test_gate_await(s.gate, 1));
    int arg = 0;
    assert_ptr_equal(run_in(executor, trifle, &arg), &arg);
    assert_false(weft_future_done(future));
    test_gate_open(s.gate);
    assert_done_soon(future);
    assert_ok(future, &s);
    weft_future_release(future);
    test_destroy(executor);
}

/* And goes on to do so when its job is asked to stop. */
static void test_a_join_that_blocks_does_not_hear_a_request(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    step s = step_make(NULL, NULL, test_gate_make());
    weft_future *future = weft_submit(executor, join_at_gate, &s);
    assert_true(test_gate_await(s.gate, 1));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    for (int i = 0; i < 10; i++) {
        weft_future *other = weft_submit(executor, trifle, NULL);
        assert_done_soon(other);
        weft_future_release(other);
        test_pause(MS);
    }
    assert_false(weft_future_done(future));
    test_gate_open(s.gate);
    assert_done_soon(future);
    assert_ok(future, &s);
    weft_future_release(future);
    test_destroy(executor);
}

/* One worker: what a waiting job has forked is taken by the spare that stands in, which also runs what it waits for. */
typedef struct one_place {
    weft_future *awaited;
    weft_promise *promise;
    step s;
} one_place;

static void *resolve_when_stolen(void *argument)
{
    one_place *p = argument;
    TEST_EXPECT(weft_promise_resolve(p->promise, p, NULL) == 0);
    return p;
}

static void *wait_with_a_fork(void *argument)
{
    one_place *p = argument;
    weft_task task;
    weft_fork(&task, take_step, &p->s);
    TEST_EXPECT(weft_future_wait(p->awaited, WEFT_FOREVER) == 0);
    TEST_EXPECT(!pthread_equal(p->s.thread, pthread_self()));
    return weft_join(&task);
}

static void test_what_a_blocked_job_has_forked_can_be_taken(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    one_place p = {.promise = weft_promise_create(executor)};
    p.awaited = weft_promise_future(p.promise);
    p.s = step_make(resolve_when_stolen, &p, NULL);
    assert_ptr_equal(run_in(executor, wait_with_a_fork, &p), &p);
    weft_future_release(p.awaited);
    weft_promise_destroy(p.promise);
    test_destroy(executor);
}

/* A job that is run inside a wait has forks of its own, on top of those that are open below. */
static void *await_between(void *argument)
{
    weft_task tasks[8];
    void *value = NULL;
    for (uintptr_t i = 0; i < 8; i++)
        weft_fork(&tasks[i], fib, (void *)i);
    TEST_EXPECT(weft_await(weft_submit(weft_executor_current(), fib, (void *)12), &value) == 0);
    TEST_EXPECT((uintptr_t)value == 144);
    static const uintptr_t expected[] = {0, 1, 1, 2, 3, 5, 8, 13};
    for (uintptr_t i = 8; i-- > 0;)
        TEST_EXPECT((uintptr_t)weft_join(&tasks[i]) == expected[i]);
    return argument;
}

static void test_a_job_inside_a_wait_has_its_own_forks(void **state)
{
    (void)state;
    weft_executor *executors[] = {test_executor(1), test_executor(0), test_executor(3)};
    for (int i = 0; i < 3; i++) {
        run_in(executors[i], await_between, NULL);
        test_destroy(executors[i]);
    }
}

static void *sleep_and_wait(void *argument)
{
    TEST_EXPECT(weft_await(weft_sleep(weft_executor_current(), MS, NULL), NULL) == 0);
    void *value = NULL;
    TEST_EXPECT(weft_run(weft_executor_current(), fib, (void *)7, &value) == 0);
    TEST_EXPECT((uintptr_t)value == 13);
    return argument;
}

static void *blocking_forks(void *argument)
{
    weft_task tasks[6];
    for (uintptr_t i = 0; i < 6; i++)
        weft_fork(&tasks[i], sleep_and_wait, &tasks[i]);
    for (uintptr_t i = 6; i-- > 0;)
        TEST_EXPECT(weft_join(&tasks[i]) == &tasks[i]);
    return argument;
}

static void test_forked_functions_may_block(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    run_in(executor, blocking_forks, NULL);
    test_destroy(executor);
}

/* A thief ends its task and goes on to another job while the owner is about to help it with that task. The other job
 * has nothing to do with the join: it may need a lock that is held over it, or what comes behind it. */
typedef struct passing {
    uint64_t k; /* the point of the join at which the thief goes on */
    step s;     /* stolen; stands at a gate */
    test_gate *joins, *joined;
    test_latch *forked;    /* hit by the other job when others can take what it has forked */
    pthread_t owner;       /* written by the job, read by what the other one has forked */
    _Atomic(bool) joining; /* by the job: it is in the join */
} passing;

static void go_on(void *argument)
{
    passing *p = argument;
    test_gate_open(p->s.gate);
    test_latch_wait(p->forked, 1);
}

static void *join_while_it_goes_on(void *argument)
{
    passing *p = argument;
    weft_task task;
    weft_fork(&task, take_step, &p->s);
    until_stolen(&p->s);
    p->owner = pthread_self();
    test_gate_pass(p->joins);
    atomic_store_explicit(&p->joining, true, memory_order_release);
#ifdef WEFT_TEST_POINTS
    points_at(p->k, go_on, p);
#else
    go_on(p);
#endif
    weft_join(&task);
    TEST_EXPECT(points_reached());
    atomic_store_explicit(&p->joining, false, memory_order_release);
    test_gate_open(p->joined);
    return NULL;
}

static void *not_in_the_join(void *argument)
{
    passing *p = argument;
    TEST_EXPECT(!atomic_load_explicit(&p->joining, memory_order_acquire) || !pthread_equal(p->owner, pthread_self()));
    return p;
}

static void *fork_something_else(void *argument)
{
    passing *p = argument;
    weft_task task;
    weft_fork(&task, not_in_the_join, p);
    test_latch_hit(p->forked);
    test_gate_pass(p->joined);
    return weft_join(&task);
}

static void test_a_join_helps_with_nothing_else(void **state)
{
    (void)state;
    for (uint64_t k = 1; k <= 5; k++) {
        weft_executor *executor = test_executor(2);
        passing p = {.k = k, .joins = test_gate_make(), .joined = test_gate_make(), .forked = test_latch_make()};
        p.s = step_make(NULL, NULL, test_gate_make());
        weft_future *future = weft_submit(executor, join_while_it_goes_on, &p);
        assert_true(test_latch_wait(p.s.entered, 1));
        weft_future *other = weft_submit(executor, fork_something_else, &p);
        test_gate_open(p.joins);
        assert_done_soon(future);
        assert_done_soon(other);
        assert_ok(future, NULL);
        assert_ok(other, &p);
        weft_future_release(future);
        weft_future_release(other);
        test_destroy(executor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_worker_runs_each_in_its_join),
        TEST(test_outside_a_job_it_runs_at_once),
        TEST(test_in_a_callback_it_runs_at_once),
        TEST(test_in_a_hook_each_runs_in_its_join),
        TEST(test_at_the_end_of_a_worker_it_runs_at_once),
        TEST(test_recursion_for_any_number_of_workers),
        TEST(test_a_hundred_thousand_open_forks),
        TEST(test_deep_recursion),
        TEST(test_an_idle_worker_takes_it),
        TEST(test_the_oldest_is_stolen_first),
        TEST(test_what_is_forked_after_a_theft_can_be_taken),
        TEST(test_what_is_forked_after_a_join_can_be_taken),
        TEST(test_a_join_that_blocks_gives_its_worker_away),
        TEST(test_a_join_that_blocks_does_not_hear_a_request),
        TEST(test_what_a_blocked_job_has_forked_can_be_taken),
        TEST(test_a_job_inside_a_wait_has_its_own_forks),
        TEST(test_forked_functions_may_block),
        TEST(test_a_join_helps_with_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
