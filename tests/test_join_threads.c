/* test_join_threads.c: fork-join as a race: many thieves, many jobs, everything at once, with an oracle.
 *
 * Discipline. The oracle is that each forked function runs once and its value arrives: sums over trees whose shape
 * comes from a seed. What else may happen in a forked function (a wait, a token, a failure, the end of its thread) is
 * mixed in by the same seed, so that the expected outcome can be worked out without running it. */
#include "fixtures.h"

#include "executor.h"

#include <weft/fork_inline.h>

enum { THIEVES = 8 };

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352dU;
    x ^= x >> 15;
    x *= 0x846ca68bU;
    return x ^ x >> 16;
}

/* A tree of nodes, each with up to three children, as far as `depth` goes. */
typedef struct node {
    uint32_t seed;
    unsigned depth;
} node;

static node child_of(const node *n, unsigned i)
{
    return (node){mix(n->seed + i + 1), n->depth - 1};
}

static unsigned children_of(const node *n)
{
    return n->depth == 0 ? 0 : n->seed % 4;
}

static uintptr_t count(node n)
{
    uintptr_t sum = 1;
    for (unsigned i = 0; i < children_of(&n); i++)
        sum += count(child_of(&n, i));
    return sum;
}

static void *count_forked(void *argument)
{
    const node *n = argument;
    unsigned k = children_of(n);
    weft_task tasks[3];
    node children[3];
    uintptr_t sum = 1;
    for (unsigned i = 0; i < k; i++) {
        children[i] = child_of(n, i);
        if (n->seed & 16)
            weft_fork(&tasks[i], count_forked, &children[i]);
        else
            weft_fork_inline(&tasks[i], count_forked, &children[i]);
    }
    for (unsigned i = k; i-- > 0;)
        sum +=
            (uintptr_t)(n->seed & 32 ? weft_join(&tasks[i]) : weft_join_inline(&tasks[i], count_forked, &children[i]));
    return (void *)sum;
}

static void test_trees_with_many_thieves(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(THIEVES);
    for (unsigned i = 0; i < test_rounds(200); i++) {
        node root = {mix(i) | 3, 9};
        void *value = NULL;
        assert_int_equal(weft_run(executor, count_forked, &root, &value), 0);
        assert_int_equal((uintptr_t)value, count(root));
    }
    test_destroy(executor);
}

static void test_many_jobs_fork_at_a_time(void **state)
{
    (void)state;
    enum { JOBS = 32 };
    weft_executor *executor = test_executor(THIEVES);
    for (unsigned round = 0; round < test_rounds(10); round++) {
        static node roots[JOBS];
        weft_future *futures[JOBS];
        for (unsigned i = 0; i < JOBS; i++) {
            roots[i] = (node){mix(round * JOBS + i) | 2, 8};
            futures[i] = weft_submit(executor, count_forked, &roots[i]);
        }
        for (unsigned i = 0; i < JOBS; i++) {
            void *value = NULL;
            assert_int_equal(weft_await(futures[i], &value), 0);
            assert_int_equal((uintptr_t)value, count(roots[i]));
        }
    }
    test_destroy(executor);
}

/* Nodes that wait for a job, which forks in turn, for a moment, or for another thread's promise. */
static void *wait_in_the_middle(void *argument)
{
    const node *n = argument;
    unsigned k = children_of(n);
    weft_task tasks[3];
    node children[3];
    uintptr_t sum = 1;
    for (unsigned i = 0; i < k; i++) {
        children[i] = child_of(n, i);
        weft_fork(&tasks[i], wait_in_the_middle, &children[i]);
    }
    if (n->seed % 16 == 5) {
        node below = {n->seed, n->depth < 3 ? n->depth : 3};
        void *value = NULL;
        TEST_EXPECT(weft_await(weft_submit(weft_executor_current(), count_forked, &below), &value) == 0);
        TEST_EXPECT((uintptr_t)value == count(below));
    } else if (n->seed % 64 == 6) {
        TEST_EXPECT(weft_await(weft_sleep(weft_executor_current(), 1, NULL), NULL) == 0);
    } else if (n->seed % 16 == 7) {
        TEST_EXPECT(weft_current_token() != NULL);
    }
    for (unsigned i = k; i-- > 0;)
        sum += (uintptr_t)weft_join(&tasks[i]);
    return (void *)sum;
}

static void waiting_on(unsigned workers)
{
    weft_executor *executor = test_executor(workers);
    for (unsigned i = 0; i < test_rounds(40); i++) {
        node root = {mix(i) | 3, 7};
        void *value = NULL;
        assert_int_equal(weft_run(executor, wait_in_the_middle, &root, &value), 0);
        assert_int_equal((uintptr_t)value, count(root));
    }
    test_destroy(executor);
}

static void test_forked_functions_wait(void **state)
{
    (void)state;
    waiting_on(1);
    waiting_on(2);
    waiting_on(THIEVES);
}

/* A job forks while the other worker is about to fall asleep, and then neither forks nor joins. It is not left alone
 * with what it has forked. */
static void *enter(void *argument)
{
    _Atomic(bool) *entered = argument;
    atomic_store_explicit(entered, true, memory_order_release);
    return NULL;
}

static void *fork_to_one_that_falls_asleep(void *argument)
{
    int64_t patience = test_patience();
    for (unsigned i = 0; i < test_rounds(1000); i++) {
        _Atomic(bool) entered = false;
        weft_task task;
        int64_t pause_end = weft_now() + (int64_t)(mix(i) % 64) * 1000;
        while (weft_now() < pause_end)
            ;
        weft_fork(&task, enter, &entered);
        int64_t deadline = weft_now() + patience;
        while (!atomic_load_explicit(&entered, memory_order_acquire) && weft_now() < deadline)
            ;
        bool taken = TEST_EXPECT(atomic_load_explicit(&entered, memory_order_acquire));
        weft_join(&task);
        if (!taken)
            break;
    }
    return argument;
}

static void test_no_fork_is_overlooked(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    assert_int_equal(weft_run(executor, fork_to_one_that_falls_asleep, NULL, NULL), 0);
    test_destroy(executor);
}

/* All ask for the token of their job at a time: there is one. */
static void *ask_for_token(void *argument)
{
    weft_task task;
    unsigned depth = *(unsigned *)argument, below = depth - 1;
    if (depth == 0)
        return weft_current_token();
    weft_fork(&task, ask_for_token, &below);
    weft_token *one = ask_for_token(&below), *other = weft_join(&task);
    TEST_EXPECT(one != NULL && one == other);
    return one;
}

static void *await_token(void *argument)
{
    void *token = NULL;
    TEST_EXPECT(weft_await(weft_submit(weft_executor_current(), ask_for_token, argument), &token) == 0);
    TEST_EXPECT(token != NULL);
    return NULL;
}

static void test_one_token_for_all(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(THIEVES);
    for (unsigned i = 0; i < test_rounds(300); i++) {
        unsigned depth = 5;
        assert_int_equal(weft_run(executor, i % 2 ? ask_for_token : await_token, &depth, NULL), 0);
    }
    test_destroy(executor);
}

/* The job is cancelled at any moment, by its token from inside or from outside: every function sees it or has ended. */
static void *until_told(void *argument)
{
    weft_task task;
    unsigned depth = *(unsigned *)argument, below = depth - 1;
    if (depth == 0) {
        int64_t deadline = weft_now() + test_patience();
        while (!weft_cancelled() && weft_now() < deadline)
            ;
        return (void *)(uintptr_t)weft_cancelled();
    }
    weft_fork(&task, until_told, &below);
    if (depth == 3)
        weft_token_cancel(weft_current_token());
    bool one = until_told(&below) != NULL, other = weft_join(&task) != NULL;
    TEST_EXPECT(one && other);
    return one && other ? argument : NULL;
}

static void test_a_request_reaches_all(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(THIEVES);
    for (unsigned i = 0; i < test_rounds(200); i++) {
        unsigned depth = i % 2 ? 2 : 4; /* from outside, or by itself */
        weft_future *future = weft_submit(executor, until_told, &depth);
        if (depth == 2)
            weft_cancel(future);
        assert_done_soon(future);
        assert_true(weft_future_state(future) == WEFT_SUCCEEDED || weft_future_cancelled(future));
        weft_future_release(future);
    }
    test_destroy(executor);
}

/* Threads end in the middle. Whichever it is, own or stolen, the job fails with -EOWNERDEAD. */
static void *end_at_a_leaf(void *argument)
{
    const node *n = argument;
    weft_task tasks[3];
    node children[3];
    if (n->depth == 0)
        pthread_exit(NULL);
    for (unsigned i = 0; i < 3; i++) {
        children[i] = (node){mix(n->seed + i), i == 1 ? n->depth - 1 : 2};
        weft_fork(&tasks[i], i == 1 ? end_at_a_leaf : count_forked, &children[i]);
    }
    for (unsigned i = 3; i-- > 0;)
        weft_join(&tasks[i]);
    return NULL;
}

static void test_threads_end_in_forked_functions(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(THIEVES);
    for (unsigned i = 0; i < test_rounds(200); i++) {
        node root = {mix(i), 3}, tree = {mix(i) | 3, 5};
        void *value = NULL;
        assert_int_equal(weft_run(executor, end_at_a_leaf, &root, NULL), -EOWNERDEAD);
        assert_int_equal(weft_run(executor, count_forked, &tree, &value), 0);
        assert_int_equal((uintptr_t)value, count(tree));
    }
    test_destroy(executor);
}

/* Two threads wait in one job, in the order in which the gates let them: the thief for a job that waits for this one in
 * turn, and then the owner for something that will come. Who follows the job must not be content with the latter. */
typedef struct two_waits {
    weft_future *self, *other, *promised; /* by the test, before the gates */
    test_gate *begun, *thief, *owner;
    _Atomic(int) of_thief, of_other; /* what their waits answered */
} two_waits;

static void *wait_on_thief(void *argument)
{
    two_waits *w = argument;
    test_gate_pass(w->thief);
    atomic_store(&w->of_thief, weft_future_wait(w->other, WEFT_FOREVER));
    return NULL;
}

static void *wait_on_owner(void *argument)
{
    two_waits *w = argument;
    weft_task task;
    weft_fork(&task, wait_on_thief, w);
    test_gate_pass(w->owner);
    TEST_EXPECT(weft_future_wait(w->promised, WEFT_FOREVER) == 0);
    return weft_join(&task);
}

static void *wait_in_other(void *argument)
{
    two_waits *w = argument;
    test_gate_pass(w->begun);
    atomic_store(&w->of_other, weft_future_wait(w->self, WEFT_FOREVER));
    return NULL;
}

static void wait_until_blocked(weft_executor *executor, unsigned threads)
{
    while (atomic_load(&executor->blocked_count) < threads) {
        test_pause(20000);
    }
}

static void test_a_circle_beside_another_wait_is_refused(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(3);
    two_waits w = {.begun = test_gate_make(), .thief = test_gate_make(), .owner = test_gate_make(), .of_thief = -1};
    weft_promise *promise = weft_promise_create(executor);
    w.promised = weft_promise_future(promise);
    w.other = weft_submit(executor, wait_in_other, &w);
    w.self = weft_submit(executor, wait_on_owner, &w);
    assert_true(test_gate_await(w.begun, 1) && test_gate_await(w.owner, 1) && test_gate_await(w.thief, 1));
    test_gate_open(w.thief);
    wait_until_blocked(executor, 1);
    test_gate_open(w.owner);
    wait_until_blocked(executor, 2);
    test_gate_open(w.begun);
    assert_done_soon(w.other);
    assert_int_equal(test_get(w.of_other), -EDEADLK);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    assert_done_soon(w.self);
    assert_int_equal(test_get(w.of_thief), 0);
    weft_future_release(w.self);
    weft_future_release(w.other);
    weft_future_release(w.promised);
    weft_promise_destroy(promise);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_trees_with_many_thieves),
        TEST(test_many_jobs_fork_at_a_time),
        TEST(test_forked_functions_wait),
        TEST(test_no_fork_is_overlooked),
        TEST(test_one_token_for_all),
        TEST(test_a_request_reaches_all),
        TEST(test_threads_end_in_forked_functions),
        TEST(test_a_circle_beside_another_wait_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
