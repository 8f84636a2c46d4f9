/* test_join_context.c: what runs in a forked function is in the job, wherever it runs; weft_run.
 *
 * Discipline. As in join.h. */
#include "executor.h"
#include "join.h"

#include <alloca.h>

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

/* A join helps its thief with a part of another job, which the task awaits, after the job that awaits this one was
 * asked to stop. The part learns of the request and has its own job's token, that job does not fail for what this one
 * has said, and behind the join all is as before. */
typedef struct helping {
    step task, part;
    test_gate *held;      /* holds the other worker, so that nobody takes what is awaited */
    test_latch *forked;   /* hit when the part can be taken */
    test_gate *requested; /* opened when the outermost job was asked to stop */
} helping;

static void *is_asked(void *unused)
{
    (void)unused;
    TEST_EXPECT(weft_cancelled());
    return weft_current_token();
}

static void *fork_a_part(void *argument)
{
    helping *h = argument;
    weft_task task;
    weft_fork(&task, take_step, &h->part);
    test_latch_hit(h->forked);
    test_latch_wait(h->part.entered, 1);
    TEST_EXPECT(weft_join(&task) == weft_current_token());
    return h;
}

static void *await_the_forker(void *argument)
{
    TEST_EXPECT(weft_await(weft_submit(weft_executor_current(), fork_a_part, argument), NULL) == 0);
    return argument;
}

static void *help_in_a_join(void *argument)
{
    helping *h = argument;
    weft_task task;
    test_gate_open(h->held);
    weft_fork(&task, take_step, &h->task);
    until_stolen(&h->task);
    weft_fail(7);
    test_gate_pass(h->requested);
    TEST_EXPECT(weft_join(&task) == h);
    TEST_EXPECT(pthread_equal(h->part.thread, pthread_self()));
    TEST_EXPECT(weft_cancelled());
    return h;
}

static void *await_the_helper(void *argument)
{
    TEST_EXPECT(weft_await(weft_submit(weft_executor_current(), help_in_a_join, argument), NULL) == 7);
    return argument;
}

static void test_help_leaves_no_trace(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    helping h = {.held = test_block(executor, 1), .forked = test_latch_make(), .requested = test_gate_make()};
    h.task = step_make(await_the_forker, &h, NULL);
    h.part = step_make(is_asked, NULL, NULL);
    weft_future *future = weft_submit(executor, await_the_helper, &h);
    assert_true(test_latch_wait(h.forked, 1));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    test_gate_open(h.requested);
    assert_done_soon(future);
    assert_ok(future, &h);
    weft_future_release(future);
    test_unblock(h.held);
    test_destroy(executor);
}

/* What was forked before a wait belongs to the job that forked it, though the awaited one, which runs on top, has it
 * taken by its own forks. */
typedef struct apart {
    step steps[3];
    test_gate *held; /* holds the other worker until the awaited job runs */
} apart;

static void *own_token(void *unused)
{
    (void)unused;
    return weft_current_token();
}

static void *have_it_taken(void *argument)
{
    apart *a = argument;
    test_gate_open(a->held);
    for (int i = 0; i < 3; i++)
        until_stolen(&a->steps[i]);
    return a;
}

static void *fork_and_await(void *argument)
{
    apart *a = argument;
    weft_task tasks[3];
    for (int i = 0; i < 3; i++)
        weft_fork(&tasks[i], take_step, &a->steps[i]);
    TEST_EXPECT(weft_await(weft_submit(weft_executor_current(), have_it_taken, a), NULL) == 0);
    for (int i = 2; i >= 0; i--)
        TEST_EXPECT(weft_join(&tasks[i]) == weft_current_token());
    return a;
}

static void test_forks_below_an_awaited_job_are_not_its_own(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    apart a = {.held = test_block(executor, 1)};
    for (int i = 0; i < 3; i++)
        a.steps[i] = step_make(own_token, NULL, NULL);
    assert_ptr_equal(run_in(executor, fork_and_await, &a), &a);
    test_unblock(a.held);
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

/* The function waits for the job that waits for it: whoever comes second is told, and that is the function. */
typedef struct pair {
    weft_executor *there;
    test_gate *gate;
    _Atomic(weft_future *) caller;
    _Atomic(int) inner;
    int code;
} pair;

static void *wait_for_caller(void *argument)
{
    pair *p = argument;
    atomic_store_explicit(&p->inner, weft_await(test_get(p->caller), NULL), memory_order_release);
    return p;
}

static void *run_one_that_waits_back(void *argument)
{
    pair *p = argument;
    void *value = NULL;
    test_gate_pass(p->gate);
    p->code = weft_run(p->there, wait_for_caller, p, &value);
    TEST_EXPECT(value == p);
    return NULL;
}

static void test_run_in_a_circle_is_refused_in_the_function(void **state)
{
    (void)state;
    enum { ROUNDS = 100 };
    static pair pairs[ROUNDS];
    weft_executor *here = test_executor(2), *there = test_executor(1);
    for (unsigned round = 0; round < test_rounds(ROUNDS) && round < ROUNDS; round++) {
        pair *p = &pairs[round];
        p->there = round % 2 ? here : there;
        p->gate = test_gate_make();
        p->code = 1;
        weft_future *future = weft_submit(here, run_one_that_waits_back, p);
        atomic_store_explicit(&p->caller, future, memory_order_release);
        test_gate_open(p->gate);
        assert_done_soon(future);
        assert_int_equal(p->code, 0);
        assert_int_equal(test_get(p->inner), -EDEADLK);
        weft_future_release(future);
    }
    test_destroy(there);
    test_destroy(here);
}

/* The function ends the thread, and the job that runs it with it. Nothing is left of either. */
static void *end_the_thread(void *argument)
{
    (void)argument;
    pthread_exit(NULL);
}

static void *run_one_that_ends_it(void *executor)
{
    weft_run(executor, end_the_thread, NULL, NULL);
    return NULL;
}

static void test_run_of_what_ends_the_thread(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned round = 0; round < 10; round++) {
        assert_int_equal(weft_run(executor, run_one_that_ends_it, executor, NULL), -EOWNERDEAD);
    }
    test_destroy(executor);
}

/* A job without much stack left has it run by a thread that stands in. */
static void *tell_where(void *worker)
{
    *(int *)worker = weft_worker_index();
    return worker;
}

static void *run_near_the_end(void *argument)
{
    int worker = -1;
    char *here = (char *)&worker;
    volatile char *most = alloca((size_t)(here - weft__self.thread->stack_low));
    most[0] = 0;
    int code = weft_run(weft_executor_current(), tell_where, &worker, NULL);
    TEST_EXPECT(worker >= 0 && worker != weft_worker_index());
    TEST_EXPECT(most[0] == 0);
    return code ? weft_fail(ENOTSUP) : argument;
}

static void test_run_with_little_stack_runs_elsewhere(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *future = weft_submit(executor, run_near_the_end, executor);
    assert_done_soon(future);
    assert_int_equal(weft_await(future, NULL), 0);
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
        TEST(test_a_thief_is_in_the_job),
        TEST(test_a_request_reaches_the_thief),
        TEST(test_a_request_ends_the_thiefs_wait),
        TEST(test_shutdown_reaches_the_thief),
        TEST(test_a_failure_is_the_jobs),
        TEST(test_a_thief_that_waits_for_its_own_job_is_refused),
        TEST(test_a_circle_through_a_thief_is_refused),
        TEST(test_help_leaves_no_trace),
        TEST(test_forks_below_an_awaited_job_are_not_its_own),
        TEST(test_run_answers_as_await_does),
        TEST(test_run_too_deep_does_not_run),
        TEST(test_run_in_a_circle_is_refused_in_the_function),
        TEST(test_run_of_what_ends_the_thread),
        TEST(test_run_with_little_stack_runs_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
