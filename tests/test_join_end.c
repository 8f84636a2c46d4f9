/* test_join_end.c: a job that has forked, or a function that was stolen, ends its thread.
 *
 * Discipline. As in join.h. Which thread runs what is arranged with gates, and where it matters with one worker. */
#include "join.h"

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

/* A thread helps in a join and is ended by that. What it joins waits for what it helped with: so the latter has ended
 * before the thread waits for the former. */
typedef struct mutual {
    step task, part;
    test_latch *forked; /* hit when the part can be taken */
} mutual;

static void *fork_the_end(void *argument)
{
    mutual *m = argument;
    weft_task task;
    weft_fork(&task, take_step, &m->part);
    test_latch_hit(m->forked);
    test_latch_wait(m->part.entered, 1);
    TEST_EXPECT(weft_join(&task) == NULL);
    return m;
}

static void *help_to_the_end(void *argument)
{
    mutual *m = argument;
    weft_task task;
    weft_fork(&task, take_step, &m->task);
    until_stolen(&m->task);
    test_latch_wait(m->forked, 1);
    weft_join(&task);
    TEST_FAIL("a join went on whose thread has ended");
    return m;
}

static void test_a_thread_that_helps_ends(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    static mutual m;
    m = (mutual){.forked = test_latch_make()};
    m.task = step_make(fork_the_end, &m, NULL);
    m.part = step_make(exit_thread, NULL, NULL);
    weft_future *future = weft_submit(executor, help_to_the_end, &m);
    assert_done_soon(future);
    assert_int_equal(weft_await(future, NULL), -EOWNERDEAD);
    assert_int_equal((uintptr_t)run_in(executor, fib, (void *)12), 144);
    test_destroy(executor);
}

/* Two threads help each other in turn, and the function that lies below on the thief ends its thread. */
typedef struct in_turn {
    step below, between, above; /* on the thief, on the owner, on the thief */
    test_latch *forked[2];      /* hit when the second and the third can be taken */
} in_turn;

static void *fork_above(void *argument)
{
    in_turn *r = argument;
    weft_task task;
    weft_fork(&task, take_step, &r->above);
    test_latch_hit(r->forked[1]);
    test_latch_wait(r->above.entered, 1);
    TEST_EXPECT(weft_join(&task) == &r->above);
    return r;
}

static void *fork_between(void *argument)
{
    in_turn *r = argument;
    weft_task task;
    weft_fork(&task, take_step, &r->between);
    test_latch_hit(r->forked[0]);
    test_latch_wait(r->forked[1], 1);
    TEST_EXPECT(weft_join(&task) == r);
    TEST_EXPECT(pthread_equal(r->above.thread, pthread_self()));
    pthread_exit(NULL);
    return r;
}

static void *fork_below(void *argument)
{
    in_turn *r = argument;
    weft_task task;
    weft_fork(&task, take_step, &r->below);
    until_stolen(&r->below);
    test_latch_wait(r->forked[0], 1);
    TEST_EXPECT(weft_join(&task) == NULL);
    TEST_EXPECT(pthread_equal(r->between.thread, pthread_self()));
    return r;
}

static void test_what_lies_below_help_ends_its_thread(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    static in_turn r;
    r = (in_turn){.forked = {test_latch_make(), test_latch_make()}};
    r.below = step_make(fork_between, &r, NULL);
    r.between = step_make(fork_above, &r, NULL);
    r.above = step_make(NULL, NULL, NULL);
    weft_future *future = weft_submit(executor, fork_below, &r);
    assert_done_soon(future);
    assert_int_equal(weft_await(future, NULL), -EOWNERDEAD);
    assert_int_equal((uintptr_t)run_in(executor, fib, (void *)12), 144);
    test_destroy(executor);
}

/* A job that runs inside a wait ends the thread. What the waiting job has forked waits for that one elsewhere: so the
 * inner job is over before the thread waits for what the outer one has forked. */
typedef struct nested {
    step task;
    weft_future *inner; /* by the outer job before the gate is opened */
} nested;

static void *wait_for_inner(void *argument)
{
    nested *n = argument;
    TEST_EXPECT(weft_future_wait(n->inner, WEFT_FOREVER) == 0);
    TEST_EXPECT(weft_future_get(n->inner, NULL) == -EOWNERDEAD);
    return n;
}

static void *open_and_exit(void *argument)
{
    nested *n = argument;
    test_gate_open(n->task.gate);
    pthread_exit(NULL);
    return n;
}

static void *wait_with_an_end(void *argument)
{
    nested *n = argument;
    weft_task task;
    weft_fork(&task, take_step, &n->task);
    until_stolen(&n->task);
    n->inner = weft_submit(weft_executor_current(), open_and_exit, n);
    weft_future_wait(n->inner, WEFT_FOREVER);
    TEST_FAIL("a wait went on whose thread has ended");
    return n;
}

static void test_an_inner_job_that_ends_the_thread_is_over_first(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    static nested n;
    n = (nested){.task = step_make(wait_for_inner, &n, test_gate_make())};
    weft_future *future = weft_submit(executor, wait_with_an_end, &n);
    assert_done_soon(future);
    assert_int_equal(weft_await(future, NULL), -EOWNERDEAD);
    weft_future_release(n.inner);
    assert_int_equal((uintptr_t)run_in(executor, fib, (void *)12), 144);
    test_destroy(executor);
}

/* It had so many visible that it was asked for no more. The worker that takes its place offers what it forks all the
 * same. */
static void *exit_with_enough_visible(void *argument)
{
    weft_task tasks[4];
    for (int i = 0; i < 4; i++)
        weft_fork(&tasks[i], trifle, NULL);
    pthread_exit(NULL);
    return argument;
}

typedef struct offer {
    step s;
    test_gate *gate; /* holds the other worker */
} offer;

static void *fork_for_the_other(void *argument)
{
    offer *o = argument;
    test_gate_open(o->gate);
    return steal_one(&o->s);
}

static void test_who_follows_offers_its_forks(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    offer o = {.s = step_make(NULL, NULL, test_gate_make()), .gate = test_block(executor, 1)};
    assert_int_equal(weft_run(executor, exit_with_enough_visible, NULL, NULL), -EOWNERDEAD);
    assert_ptr_equal(run_in(executor, fork_for_the_other, &o), &o.s);
    test_unblock(o.gate);
    test_destroy(executor);
}

/* One worker. What is stolen from a job that ends its thread waits for another job, which needs a thread to run on. */
typedef struct heir {
    step s;
    inputs in; /* 0: the job waits for it to be stolen from; 1: resolved by the other job */
    test_latch *exits;
} heir;

static void *wait_for_other(void *argument)
{
    heir *h = argument;
    TEST_EXPECT(weft_future_wait(h->in.future[1], WEFT_FOREVER) == 0);
    return NULL;
}

static void *resolve_for_heir(void *argument)
{
    heir *h = argument;
    TEST_EXPECT(weft_promise_resolve(h->in.promise[1], NULL, NULL) == 0);
    return h;
}

static void *exit_while_stolen_from(void *argument)
{
    heir *h = argument;
    weft_task task;
    weft_fork(&task, take_step, &h->s);
    TEST_EXPECT(weft_future_wait(h->in.future[0], WEFT_FOREVER) == 0);
    test_latch_hit(h->exits);
    pthread_exit(NULL);
    return NULL;
}

static void test_a_thread_that_ends_keeps_no_place(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    static heir h;
    h = (heir){.in = inputs_make(executor, 2), .exits = test_latch_make()};
    h.s = step_make(wait_for_other, &h, test_gate_make());
    weft_future *future = weft_submit(executor, exit_while_stolen_from, &h);
    assert_true(test_latch_wait(h.s.entered, 1));
    weft_promise_resolve(h.in.promise[0], NULL, NULL);
    assert_true(test_latch_wait(h.exits, 1));
    weft_future *other = weft_submit(executor, resolve_for_heir, &h);
    test_gate_open(h.s.gate);
    assert_done_soon(other);
    assert_done_soon(future);
    assert_ok(other, &h);
    weft_future_release(other);
    assert_int_equal(weft_await(future, NULL), -EOWNERDEAD);
    inputs_free(&h.in);
    assert_int_equal((uintptr_t)run_in(executor, fib, (void *)12), 144);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_thief_that_ends_its_thread_fails_the_job),
        TEST(test_a_job_that_ends_its_thread_waits_for_its_thieves),
        TEST(test_a_thread_that_helps_ends),
        TEST(test_what_lies_below_help_ends_its_thread),
        TEST(test_an_inner_job_that_ends_the_thread_is_over_first),
        TEST(test_who_follows_offers_its_forks),
        TEST(test_a_thread_that_ends_keeps_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
