/* test_join.c: fork-join on one worker and, with gates, on several: order, results, context, and what a join does.
 *
 * Discipline. A test that needs a task to be stolen forks it and then forks and joins trifles until it was entered by
 * another thread: a thread offers its tasks when it forks or joins. What decides an outcome stands behind a latch or a
 * gate. Process forks stand in test_join_fork.c, races in test_join_threads.c. */
#include "fixtures.h"

#include <weft/fork_inline.h>

static void *run_in(weft_executor *executor, weft_fn *fn, void *arg)
{
    void *value = NULL;
    assert_int_equal(weft_run(executor, fn, arg, &value), 0);
    return value;
}

/* A function that notes who runs it, says so, passes a gate and does something. */
typedef struct step {
    weft_fn *fn; /* set by the test, as the next three; what it does, NULL: nothing */
    void *arg;
    test_latch *entered;
    test_gate *gate;    /* NULL: none */
    pthread_t thread;   /* written by the function, read after the join */
    _Atomic(bool) runs; /* set by the function once thread is written */
} step;

static void *take_step(void *argument)
{
    step *s = argument;
    s->thread = pthread_self();
    atomic_store_explicit(&s->runs, true, memory_order_release);
    test_latch_hit(s->entered);
    if (s->gate)
        test_gate_pass(s->gate);
    return s->fn ? s->fn(s->arg) : s;
}

static void *trifle(void *arg)
{
    return arg;
}

/* In a job: returns when the task that was just forked is being run by another thread. */
static void until_stolen(step *s)
{
    int64_t deadline = weft_now() + test_patience();
    while (!atomic_load_explicit(&s->runs, memory_order_acquire) && weft_now() < deadline) {
        weft_task poke;
        weft_fork(&poke, trifle, NULL);
        test_pause(20000);
        weft_join(&poke);
    }
    TEST_EXPECT(atomic_load_explicit(&s->runs, memory_order_acquire) && !pthread_equal(s->thread, pthread_self()));
}

static step step_make(weft_fn *fn, void *arg, test_gate *gate)
{
    return (step){.fn = fn, .arg = arg, .entered = test_latch_make(), .gate = gate};
}

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

static void *fib(void *argument)
{
    uintptr_t n = (uintptr_t)argument;
    if (n < 2)
        return argument;
    weft_task left;
    weft_fork(&left, fib, (void *)(n - 1));
    uintptr_t right = (uintptr_t)fib((void *)(n - 2));
    return (void *)((uintptr_t)weft_join(&left) + right);
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

static void *steal_one(void *argument)
{
    step *s = argument;
    weft_task task;
    weft_fork(&task, take_step, s);
    until_stolen(s);
    if (s->gate)
        test_gate_open(s->gate);
    return weft_join(&task);
}

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

/* Who takes tasks says so, and the next fork is for others again. */
static void test_what_is_forked_after_a_theft_can_be_taken(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    asking a = {.gate = test_block(executor, 1)};
    for (int i = 0; i < 3; i++) {
        a.steps[i] = step_make(NULL, NULL, NULL);
    }
    run_in(executor, fork_after_theft, &a);
    test_unblock(a.gate);
    test_destroy(executor);
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

/* ---- context ---- */

static void *look_around(void *argument)
{
    weft_executor *executor = argument;
    TEST_EXPECT(weft_executor_current() == executor);
    TEST_EXPECT(!weft_cancelled());
    weft_token *token = weft_current_token();
    TEST_EXPECT(token != NULL);
    return token;
}

static void *same_token(void *argument)
{
    step *s = argument;
    s->arg = weft_executor_current();
    void *stolen = steal_one(s);
    weft_token *token = weft_current_token();
    TEST_EXPECT(stolen == token);
    return NULL;
}

static void test_a_thief_is_in_the_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    step s = step_make(look_around, NULL, NULL);
    run_in(executor, same_token, &s);
    test_destroy(executor);
}

static void *until_cancelled(void *argument)
{
    step *s = argument;
    int64_t deadline = weft_now() + test_patience();
    while (!weft_cancelled() && weft_now() < deadline)
        test_pause(20000);
    TEST_EXPECT(weft_cancelled());
    return s;
}

static void *join_and_acknowledge(void *argument)
{
    steal_one(argument);
    TEST_EXPECT(weft_cancelled());
    return weft_fail(-ECANCELED);
}

static void test_a_request_reaches_the_thief(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    step s = step_make(until_cancelled, NULL, NULL);
    weft_future *future = weft_submit(executor, join_and_acknowledge, &s);
    assert_true(test_latch_wait(s.entered, 1));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    assert_done_soon(future);
    assert_cancelled(future, WEFT_REASON_USER);
    weft_future_release(future);
    test_destroy(executor);
}

static void *wait_until_interrupted(void *argument)
{
    TEST_EXPECT(weft_future_wait(argument, WEFT_FOREVER) == -EINTR);
    return argument;
}

static void test_a_request_ends_the_thiefs_wait(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    inputs in = inputs_make(executor, 1);
    step s = step_make(wait_until_interrupted, in.future[0], NULL);
    weft_future *future = weft_submit(executor, join_and_acknowledge, &s);
    assert_true(test_latch_wait(s.entered, 1));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    assert_done_soon(future);
    assert_cancelled(future, WEFT_REASON_USER);
    weft_future_release(future);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_shutdown_reaches_the_thief(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    step s = step_make(until_cancelled, NULL, NULL);
    weft_future *future = weft_submit(executor, join_and_acknowledge, &s);
    assert_true(test_latch_wait(s.entered, 1));
    assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_ALL, WEFT_FOREVER), 0);
    assert_cancelled(future, WEFT_REASON_SHUTDOWN);
    weft_future_release(future);
    test_destroy(executor);
}

/* The same whether it is stolen or not. */
static void *fail_7(void *argument)
{
    weft_fail(7);
    return argument;
}

static void *fork_a_failure(void *argument)
{
    weft_task task;
    weft_fork(&task, fail_7, argument);
    TEST_EXPECT(weft_join(&task) == argument);
    return argument;
}

static void test_a_failure_is_the_jobs(void **state)
{
    (void)state;
    weft_executor *one = test_executor(1), *two = test_executor(2);
    step s = step_make(fail_7, &s, NULL);
    assert_int_equal(weft_run(one, fork_a_failure, NULL, NULL), 7);
    assert_int_equal(weft_run(two, steal_one, &s, NULL), 7);
    test_destroy(one);
    test_destroy(two);
}

static void *thief_waits_for_the_job(void *argument)
{
    weft_future *const *self = argument;
    TEST_EXPECT(weft_future_wait(*self, WEFT_FOREVER) == -EDEADLK);
    return argument;
}

typedef struct circle {
    weft_future *self, *other;
    test_latch *submitted;
    step s;
} circle;

static void *steal_when_submitted(void *argument)
{
    circle *c = argument;
    test_latch_wait(c->submitted, 1);
    return steal_one(&c->s);
}

static void test_a_thief_that_waits_for_its_own_job_is_refused(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    circle c = {.submitted = test_latch_make()};
    c.s = step_make(thief_waits_for_the_job, &c.self, NULL);
    c.self = weft_submit(executor, steal_when_submitted, &c);
    test_latch_hit(c.submitted);
    assert_done_soon(c.self);
    assert_ok(c.self, &c.self);
    weft_future_release(c.self);
    test_destroy(executor);
}

/* The job waits in a join, its thief for another job, and that one for the first: whoever comes last is refused. */
static void *thief_waits_for_other(void *argument)
{
    circle *c = argument;
    return (void *)(intptr_t)weft_future_wait(c->other, WEFT_FOREVER);
}

static void *other_waits_for_self(void *argument)
{
    circle *c = argument;
    return (void *)(intptr_t)weft_future_wait(c->self, WEFT_FOREVER);
}

static void test_a_circle_through_a_thief_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < test_rounds(20); i++) {
        weft_executor *executor = test_executor(3);
        circle c = {.submitted = test_latch_make()};
        void *mine = NULL, *others = NULL;
        c.s = step_make(thief_waits_for_other, &c, NULL);
        c.self = weft_submit(executor, steal_when_submitted, &c);
        c.other = weft_submit(executor, other_waits_for_self, &c);
        test_latch_hit(c.submitted);
        assert_done_soon(c.self);
        assert_done_soon(c.other);
        assert_int_equal(weft_future_get(c.self, &mine), 0);
        assert_int_equal(weft_future_get(c.other, &others), 0);
        assert_int_equal(((intptr_t)mine == -EDEADLK) + ((intptr_t)others == -EDEADLK), 1);
        weft_future_release(c.self);
        weft_future_release(c.other);
        test_destroy(executor);
    }
}

/* ---- the end of a thread ---- */

static void *exit_thread(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
    return NULL;
}

static void *steal_and_return(void *argument)
{
    TEST_EXPECT(steal_one(argument) == NULL);
    return argument;
}

static void test_a_thief_that_ends_its_thread_fails_the_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    step s = step_make(exit_thread, NULL, NULL);
    assert_int_equal(weft_run(executor, steal_and_return, &s, NULL), -EOWNERDEAD);
    assert_int_equal((uintptr_t)run_in(executor, fib, (void *)12), 144); /* both workers are there */
    test_destroy(executor);
}

/* A job ends its thread while a thief runs what it has forked, with more of it visible and more private. */
static void *exit_with_open_forks(void *argument)
{
    weft_task tasks[10];
    weft_fork(&tasks[0], take_step, argument);
    until_stolen(argument);
    for (int i = 1; i < 9; i++)
        weft_fork(&tasks[i], trifle, NULL);
    weft_fork(&tasks[9], exit_thread, NULL);
    return weft_join(&tasks[9]);
}

static void *linger(void *argument)
{
    step *s = argument;
    test_pause(MS);
    return s;
}

static void test_a_job_that_ends_its_thread_waits_for_its_thieves(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    step s = step_make(linger, NULL, NULL);
    assert_int_equal(weft_run(executor, exit_with_open_forks, &s, NULL), -EOWNERDEAD);
    assert_int_equal((uintptr_t)run_in(executor, fib, (void *)12), 144);
    test_destroy(executor);
}

/* ---- weft_run ---- */

static void *run_inside(void *argument)
{
    void *value = NULL;
    TEST_EXPECT(weft_run(weft_executor_current(), test_job_return_arg, argument, &value) == 0);
    TEST_EXPECT(value == argument);
    TEST_EXPECT(weft_run(weft_executor_current(), test_job_fail_7, NULL, NULL) == 7);
    TEST_EXPECT(weft_run(weft_executor_current(), test_job_cancel_self, NULL, NULL) == -ECANCELED);
    return argument;
}

static void test_run_answers_as_await_does(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    assert_ptr_equal(run_in(executor, run_inside, &executor), &executor);
    assert_int_equal(weft_run(executor, test_job_fail_7, NULL, NULL), 7);
    assert_int_equal(weft_run(executor, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(weft_run(executor, trifle, NULL, NULL), -ESHUTDOWN);
    test_destroy(executor);
}

static void *run_deeper(void *argument)
{
    unsigned *depth = argument;
    ++*depth;
    int code = weft_run(weft_executor_current(), run_deeper, depth, NULL);
    return code ? weft_fail(code == -EOVERFLOW ? EOVERFLOW : code > 0 ? code : ENOTSUP) : NULL;
}

static void test_run_too_deep_does_not_run(void **state)
{
    (void)state;
    unsigned depth = 0;
    weft_executor *executor = test_executor_with(
        &(weft_executor_options){.workers = 1, .stack_size = (size_t)(TEST_ASAN || TEST_TSAN ? 512 : 64) << 20});
    assert_int_equal(weft_run(executor, run_deeper, &depth, NULL), EOVERFLOW);
    assert_int_equal(depth, 4097);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_worker_runs_each_in_its_join),
        TEST(test_outside_a_job_it_runs_at_once),
        TEST(test_in_a_callback_it_runs_at_once),
        TEST(test_in_a_hook_each_runs_in_its_join),
        TEST(test_recursion_for_any_number_of_workers),
        TEST(test_a_hundred_thousand_open_forks),
        TEST(test_deep_recursion),
        TEST(test_an_idle_worker_takes_it),
        TEST(test_the_oldest_is_stolen_first),
        TEST(test_what_is_forked_after_a_theft_can_be_taken),
        TEST(test_a_join_that_blocks_gives_its_worker_away),
        TEST(test_what_a_blocked_job_has_forked_can_be_taken),
        TEST(test_a_job_inside_a_wait_has_its_own_forks),
        TEST(test_forked_functions_may_block),
        TEST(test_a_thief_is_in_the_job),
        TEST(test_a_request_reaches_the_thief),
        TEST(test_a_request_ends_the_thiefs_wait),
        TEST(test_shutdown_reaches_the_thief),
        TEST(test_a_failure_is_the_jobs),
        TEST(test_a_thief_that_waits_for_its_own_job_is_refused),
        TEST(test_a_circle_through_a_thief_is_refused),
        TEST(test_a_thief_that_ends_its_thread_fails_the_job),
        TEST(test_a_job_that_ends_its_thread_waits_for_its_thieves),
        TEST(test_run_answers_as_await_does),
        TEST(test_run_too_deep_does_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
