/* test_fairness.c: jobs that go on for ever leave room for others, wherever these others lie.
 *
 * Discipline. One worker, and a chain: a job that submits itself again until another one has cut it. What cuts it lies
 * in a place to which nobody comes unless the chain's worker looks there although it has jobs of its own: in the deques
 * of a thread that is blocked, or that is one too many, or in the outside queue behind such deques. A chain that nobody
 * cuts ends by itself after MOST_LINKS links, and then the test fails. */
#include "fixtures.h"

#include "future.h"

enum { MOST_LINKS = 20000 };

typedef struct chain {
    _Atomic(bool) cut;       /* by the stranger, or by the job that was left */
    _Atomic(unsigned) links; /* that ran; any worker */
    test_gate *gate;         /* passed by the first link; NULL: none. By the test, before */
    weft_future *never;      /* what links wait for that block; the same */
    weft_future *cutter;     /* by the job that leaves it behind */
    weft_future *resumes;    /* that job waits for it; by the test, before */
    test_latch *left;        /* that job is about to end */
} chain;

static bool goes_on(chain *c)
{
    unsigned n = atomic_fetch_add_explicit(&c->links, 1, memory_order_acq_rel);
    return !test_get(c->cut) && n < MOST_LINKS;
}

static void *link_until_cut(void *argument)
{
    chain *c = argument;
    if (c->gate && test_get(c->links) == 0)
        test_gate_pass(c->gate);
    if (goes_on(c))
        TEST_EXPECT(weft_execute(weft_executor_current(), link_until_cut, c) == 0);
    return NULL;
}

static void *cut_chain(void *argument)
{
    chain *c = argument;
    atomic_store_explicit(&c->cut, true, memory_order_release);
    return NULL;
}

static void expect_cut(chain *c)
{
    assert_true(test_get(c->cut));
    assert_true(test_get(c->links) < MOST_LINKS);
}

/* What stands in takes the older job first, and that one goes on. A timed wait runs nothing on its own stack. */
static void *leave_and_wait(void *argument)
{
    chain *c = argument;
    TEST_EXPECT(weft_execute(weft_executor_current(), link_until_cut, c) == 0);
    weft_future *cutter = weft_submit(weft_executor_current(), cut_chain, c);
    TEST_EXPECT(weft_future_wait(cutter, test_patience()) == 0);
    weft_future_release(cutter);
    return NULL;
}

static void test_exe_07_a_job_left_by_a_blocked_worker_starts(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    chain c = {.cut = false};
    assert_int_equal(weft_await(weft_submit(executor, leave_and_wait, &c), NULL), 0);
    test_destroy(executor);
    expect_cut(&c);
}

/* It resumes while its stand-in is busy, submits, and ends: one of the two threads is too many. */
static void *resume_and_leave(void *argument)
{
    chain *c = argument;
    TEST_EXPECT(weft_future_wait(c->resumes, WEFT_FOREVER) == 0);
    c->cutter = weft_submit(weft_executor_current(), cut_chain, c);
    return NULL;
}

static bool has_left(void *executor)
{
    return atomic_load_explicit(&((weft_executor *)executor)->left_behind, memory_order_relaxed) == 1;
}

static void test_exe_07_a_job_left_by_a_worker_that_retires_starts(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    chain c = {.gate = test_gate_make(), .resumes = in.future[0]};
    weft_future *first = weft_submit(executor, resume_and_leave, &c);
    assert_int_equal(weft_execute(executor, link_until_cut, &c), 0);
    assert_true(test_gate_await(c.gate, 1));
    assert_int_equal(weft_promise_resolve(in.promise[0], NULL, NULL), 0);
    assert_int_equal(weft_await(first, NULL), 0);
    assert_true(test_until(has_left, executor));
    test_gate_open(c.gate);
    assert_done_soon(c.cutter);
    weft_future_release(c.cutter);
    inputs_free(&in);
    test_destroy(executor);
    expect_cut(&c);
}

/* Each link leaves the next one behind and blocks for a moment, so there is always something that was left. */
static void *link_and_block(void *argument)
{
    chain *c = argument;
    if (goes_on(c)) {
        TEST_EXPECT(weft_execute(weft_executor_current(), link_and_block, c) == 0);
        int code = weft_future_wait(c->never, MS);
        TEST_EXPECT(code == -ETIMEDOUT || code == -EAGAIN || test_get(c->cut)); /* then it may be over */
    }
    return NULL;
}

static void test_exe_07_a_stranger_starts_while_jobs_are_left_behind(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    chain c = {.never = in.future[0]};
    test_gate *gate = test_block(executor, 1);
    assert_int_equal(weft_execute(executor, link_and_block, &c), 0);
    for (int i = 0; i < 2 * WEFT__BATCH; i++) /* more than go into an inbox at one go */
        assert_int_equal(weft_execute(executor, test_job_return_arg, NULL), 0);
    weft_future *stranger = weft_submit(executor, cut_chain, &c);
    test_unblock(gate);
    assert_done_soon(stranger);
    weft_future_release(stranger);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, test_patience()), 0); /* no link waits any more */
    inputs_free(&in);
    test_destroy(executor);
    expect_cut(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_exe_07_a_job_left_by_a_blocked_worker_starts),
        TEST(test_exe_07_a_job_left_by_a_worker_that_retires_starts),
        TEST(test_exe_07_a_stranger_starts_while_jobs_are_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
