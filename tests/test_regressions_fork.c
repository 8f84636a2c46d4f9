/* test_regressions_fork.c: defects that review found where code of the program's forks and returns to weft in the
 * child, or in tokens' messages, each with the case that would show it again.
 *
 * Discipline. A destructor takes the lock that weft takes next and forks: in the child it stays taken, as if by a
 * thread that is not there, so a child that goes on where it must not hangs, and its alarm ends it. What else it must
 * not do is counted in `home`. */
#define _GNU_SOURCE
#include "child.h"

#include "queue.h"
#include "token.h"

static _Atomic(unsigned) forks_left;
static pid_t child; /* by who forked, before it counts down */

static bool in_child(void)
{
    return getpid() != home->parent;
}

/* Forks if it is its turn; take and give the lock in question. */
static void fork_under(void (*take)(void *), void (*give)(void *), void *lock)
{
    if (in_child()) {
        note_stray();
        return;
    }
    unsigned one = 1;
    if (!atomic_compare_exchange_strong_explicit(&forks_left, &one, 0, memory_order_acq_rel, memory_order_relaxed)) {
        return;
    }
    take(lock);
    child = child_fork();
    if (child == 0) {
        child_finished();
        return;
    }
    bool ended_well = child_ended_well(child);
    give(lock);
    TEST_EXPECT(ended_well);
}

static void arm_fork(void)
{
    atomic_store_explicit(&forks_left, 1, memory_order_release);
}

static bool has_forked(void)
{
    return atomic_load_explicit(&forks_left, memory_order_acquire) == 0;
}

static void take_token(void *lock)
{
    weft__tiny_lock_take(&((weft_token *)lock)->lock);
}

static void give_token(void *lock)
{
    weft__tiny_unlock(&((weft_token *)lock)->lock);
}

static void take_queue(void *lock)
{
    pthread_mutex_lock(&((weft_queue *)lock)->lock);
}

static void give_queue(void *lock)
{
    pthread_mutex_unlock(&((weft_queue *)lock)->lock);
}

static void take_word(void *lock)
{
    weft__lock(lock);
}

static void give_word(void *lock)
{
    weft__unlock(lock, 0, 0);
}

static void take_none(void *lock)
{
    (void)lock;
}

static weft_token *the_token; /* by the test, before the fork can come; as the next two */
static weft_queue *the_queue;
static weft_future *the_future;

static void fork_under_token(void *memory)
{
    (void)memory;
    fork_under(take_token, give_token, the_token);
}

static void fork_under_queue(void *memory)
{
    (void)memory;
    fork_under(take_queue, give_queue, the_queue);
}

static void fork_under_word(void *memory)
{
    (void)memory;
    fork_under(take_word, give_word, the_future);
}

static void fork_under_none(void *memory)
{
    (void)memory;
    fork_under(take_none, take_none, NULL);
}

static void count_stray(void *memory)
{
    (void)memory;
    note_stray();
}

/* On a thread of the program's the child comes back to here. */
static void end_child(void)
{
    if (in_child()) {
        child_expect_counters_zero();
        _exit(0);
    }
    assert_children(1);
}

/* A token asks its jobs to stop one after the other; free_arg of the first forks. */
static void test_frk_01_from_free_arg_of_a_job_that_its_token_cancels(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    the_token = weft_token_create(executor, NULL, WEFT_FOREVER, 0);
    const weft_submit_options options = {.token = the_token, .free_arg = fork_under_token};
    weft_future *jobs[3];
    for (unsigned i = 0; i < 3; i++) {
        jobs[i] = weft_submit_with(executor, test_job_return_arg, NULL, &options);
    }
    arm_fork();
    weft_token_cancel(the_token);
    for (unsigned i = 0; i < 3; i++) {
        assert_done_soon(jobs[i]);
        assert_cancelled(jobs[i], WEFT_REASON_USER);
        weft_future_release(jobs[i]);
    }
    assert_children(1);
    test_unblock(gate);
    weft_token_release(the_token);
    test_destroy(executor);
}

static void release_and_fork(void *inner)
{
    fork_under_queue(NULL);
    weft_future_release(inner);
}

/* An open future of which somebody else gets the last reference: with it goes the value of the future that it
 * follows. */
static weft_future *open_with_value(weft_executor *executor, weft_promise *open)
{
    weft_promise *promise = weft_promise_create(executor);
    weft_future *outer = weft_promise_future(promise);
    assert_int_equal(weft_promise_resolve(promise, weft_promise_future(open), release_and_fork), 0);
    weft_future *flat = weft_flatten(outer);
    assert_false(weft_future_done(flat));
    weft_promise_destroy(promise);
    weft_future_release(outer);
    return flat;
}

/* What is open is released by destroy itself; the first of three forks. */
static void test_frk_01_from_a_destructor_in_the_end_of_a_queue(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *open = weft_promise_create(executor);
    the_queue = weft_queue_create(executor);
    for (unsigned i = 0; i < 3; i++) {
        weft_future *flat = open_with_value(executor, open);
        assert_int_equal(weft_queue_add(the_queue, flat, NULL), 0);
        weft_future_release(flat);
    }
    arm_fork();
    weft_queue_destroy(the_queue);
    end_child();
    assert_true(has_forked());
    weft_promise_destroy(open);
    test_destroy(executor);
}

/* The value of a future that is ready in the queue. */
static void test_frk_01_from_a_value_that_was_never_read(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    the_queue = weft_queue_create(executor);
    for (unsigned i = 0; i < 3; i++) {
        weft_promise *promise = weft_promise_create(executor);
        weft_future *future = weft_promise_future(promise);
        assert_int_equal(weft_promise_resolve(promise, executor, fork_under_none), 0);
        assert_int_equal(weft_queue_add(the_queue, future, NULL), 0);
        weft_future_release(future);
        weft_promise_destroy(promise);
    }
    arm_fork();
    weft_queue_destroy(the_queue);
    end_child();
    test_destroy(executor);
}

static void *follow(void *value, void *data)
{
    (void)data;
    return value;
}

/* A then that is not run because its input failed releases its data. In the child it stays what it was. */
static void test_frk_01_from_free_arg_of_a_then_that_passes_through(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *input = weft_promise_future(promise);
    const weft_submit_options options = {.free_arg = fork_under_word};
    the_future = weft_then_with(input, follow, NULL, &options);
    assert_non_null(the_future);
    weft_future *shield = weft_shield(the_future);
    arm_fork();
    int code = weft_promise_reject(promise, 7);
    if (in_child()) {
        CHILD_EXPECT(weft_future_state(the_future) == WEFT_PENDING && weft_future_state(shield) == WEFT_PENDING);
    }
    end_child();
    assert_int_equal(code, 0);
    assert_err(the_future, 7);
    assert_err(shield, 7);
    weft_future_release(shield);
    weft_future_release(the_future);
    weft_future_release(input);
    weft_promise_destroy(promise);
    test_destroy(executor);
}

static void *fail_with_value(void *item)
{
    note_stray();
    weft_fail(7);
    return item;
}

static void *end_thread(void *item)
{
    note_stray();
    (void)item;
    pthread_exit(NULL);
}

/* Of an item, the argument; the value beside its failure and the other items are not the child's business. */
static void test_frk_01_from_free_arg_of_an_item(void **state)
{
    (void)state;
    weft_fn *functions[] = {fail_with_value, end_thread};
    const weft_submit_options options = {.free_arg = fork_under_none, .free_value = count_stray};
    void *items[] = {&home, &home, &home};
    for (unsigned i = 0; i < 2; i++) {
        weft_executor *executor = test_executor(1);
        arm_fork();
        weft_future *map = weft_map_with(executor, functions[i], items, 3, 3, WEFT_SETTLED, &options);
        assert_done_soon(map);
        assert_children(1);
        weft_future_release(map);
        test_destroy(executor);
    }
}

/* A job that is asked to stop hands the request on to what it awaits, whose free_arg forks, on the worker that
 * waits: while it sleeps there, or at once, if the request was there before. */
typedef struct awaiting {
    test_latch *waits;
    bool asked_before;
} awaiting;

static void *await_delayed(void *arg)
{
    const awaiting *how = arg;
    const weft_submit_options options = {.delay = WEFT_SECONDS(3600), .free_arg = fork_under_none};
    weft_future *later = weft_submit_with(weft_executor_current(), test_job_return_arg, NULL, &options);
    test_latch_hit(how->waits);
    while (how->asked_before && !weft_cancelled()) {
        sched_yield();
    }
    int code = weft_await(later, NULL);
    note_stray();
    TEST_EXPECT(code == -ECANCELED);
    return NULL;
}

static bool is_blocked(void *executor)
{
    return atomic_load_explicit(&((weft_executor *)executor)->blocked_count, memory_order_relaxed) == 1;
}

static void assert_fork_while_awaiting(bool asked_before)
{
    weft_executor *executor = test_executor(1);
    awaiting how = {test_latch_make(), asked_before};
    arm_fork();
    weft_future *job = weft_submit(executor, await_delayed, &how);
    assert_true(test_latch_wait(how.waits, 1));
    assert_true(asked_before || test_until(is_blocked, executor));
    assert_int_equal(weft_cancel(job), WEFT_CANCEL_REQUESTED);
    assert_done_soon(job);
    assert_children(1);
    weft_future_release(job);
    test_destroy(executor);
}

static void test_frk_01_from_free_arg_of_what_a_job_awaits(void **state)
{
    (void)state;
    assert_fork_while_awaiting(false);
}

static void test_frk_01_from_free_arg_of_what_a_job_comes_to_await(void **state)
{
    (void)state;
    assert_fork_while_awaiting(true);
}

/* A job that joins a group runs its children itself, and lets go of them; their values' destructor forks. */
static void *return_group(void *group)
{
    return group;
}

static void *join_group(void *executor)
{
    const weft_submit_options options = {.free_value = fork_under_none};
    weft_group *group = weft_group_create(executor, NULL);
    for (unsigned i = 0; i < 3; i++) {
        TEST_EXPECT(weft_group_submit_with(group, return_group, group, &options) == 0);
    }
    int code = weft_group_join(group);
    note_stray();
    TEST_EXPECT(code == 0);
    weft_group_destroy(group);
    return NULL;
}

static void test_frk_01_from_a_value_of_a_child_that_the_join_runs(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    arm_fork();
    weft_future *job = weft_submit(executor, join_group, executor);
    assert_done_soon(job);
    assert_children(1);
    weft_future_release(job);
    test_destroy(executor);
}

/* The coordinator passes the cancellation of an any on to its inputs, and leaves them; free_arg of the first forks. */
static void test_frk_01_from_free_arg_of_an_input(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    const weft_submit_options options = {.free_arg = fork_under_word};
    weft_future *jobs[] = {weft_submit_with(executor, test_job_return_arg, NULL, &options),
                           weft_submit(executor, test_job_return_arg, NULL)};
    the_future = jobs[1];
    weft_future *any = weft_any(executor, jobs, 2);
    arm_fork();
    assert_int_equal(weft_cancel(any), WEFT_CANCEL_DONE);
    for (unsigned i = 0; i < 2; i++) {
        assert_done_soon(jobs[i]);
        assert_cancelled(jobs[i], WEFT_REASON_PARENT);
        weft_future_release(jobs[i]);
    }
    assert_children(1);
    weft_future_release(any);
    test_unblock(gate);
    test_destroy(executor);
}

static bool coordinator_sleeps_long(void *executor)
{
    weft__coordinator *c = &((weft_executor *)executor)->coordinator;
    return !atomic_load_explicit(&c->lingers, memory_order_relaxed) &&
           atomic_load_explicit(&c->mailbox.head, memory_order_relaxed) == 1;
}

static bool is_expired(void *token)
{
    return weft_token_expired(token);
}

/* Two deadlines, each nearer than the one before. The message with the first was sent when the coordinator seemed to be
 * awake, so that it would see it anyway; by then it sleeps, until a timer that is far off but not further than the
 * first. The second must not take that message for enough. */
static void test_token_whose_deadline_comes_nearer_twice(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *far_off = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
    weft_token *token = weft_token_create(executor, NULL, WEFT_FOREVER, 0);
    weft__coordinator *c = &executor->coordinator;
    assert_true(test_until(coordinator_sleeps_long, executor));
    atomic_store_explicit(&c->lingers, true, memory_order_relaxed); /* what the caller saw an instant earlier */
    assert_int_equal(weft_token_reschedule(token, WEFT_SECONDS(7200)), 0);
    atomic_store_explicit(&c->lingers, false, memory_order_relaxed);
    assert_int_equal(weft_token_reschedule(token, MS), 0);
    assert_true(test_until(is_expired, token));
    weft_token_release(token);
    weft_cancel(far_off);
    weft_future_release(far_off);
    test_destroy(executor);
}

int main(void)
{
    home_make();
    const struct CMUnitTest tests[] = {
        TEST(test_frk_01_from_free_arg_of_a_job_that_its_token_cancels),
        TEST(test_frk_01_from_a_destructor_in_the_end_of_a_queue),
        TEST(test_frk_01_from_a_value_that_was_never_read),
        TEST(test_frk_01_from_free_arg_of_a_then_that_passes_through),
        TEST(test_frk_01_from_free_arg_of_an_item),
        TEST(test_frk_01_from_free_arg_of_what_a_job_awaits),
        TEST(test_frk_01_from_free_arg_of_what_a_job_comes_to_await),
        TEST(test_frk_01_from_a_value_of_a_child_that_the_join_runs),
        TEST(test_frk_01_from_free_arg_of_an_input),
        TEST(test_token_whose_deadline_comes_nearer_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
