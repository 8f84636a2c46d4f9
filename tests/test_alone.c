/* test_alone.c: an executor with one worker, whose ready deque is closed to all others (executor/block.c): what lies in
 * there is neither lost nor run twice, whatever becomes of the thread that has put it there.
 *
 * Discipline. Gates and promises lead the one worker and those that stand in for it; a job counts how often it ran. */
#include "fixtures.h"

#include "future.h"

enum { MANY = 2 * WEFT__READY_CAPACITY };

/* What a job submits before it ends its thread, or waits; cells count their runs. */
typedef struct heap {
    test_cell cells[MANY];
    weft_future *futures[MANY];
    unsigned n;      /* of them; by the test, before */
    test_gate *gate; /* by the test, before; NULL: none */
    weft_future *f;  /* by the test, before: what the job waits for */
    weft_future *outer;
} heap;

static void submit_all(heap *h)
{
    for (unsigned i = 0; i < h->n; i++)
        h->futures[i] = weft_submit(weft_executor_current(), test_cell_run, &h->cells[i]);
}

static void expect_ran_once(heap *h)
{
    for (unsigned i = 0; i < h->n; i++) {
        assert_done_soon(h->futures[i]);
        assert_int_equal(weft_await(h->futures[i], NULL), 0);
        assert_int_equal(test_get(h->cells[i].ran), 1);
    }
}

static void *end_thread(void *unused)
{
    (void)unused;
    pthread_exit(NULL);
}

/* The awaited job is the newest, so it runs inline. The references of the job that awaits it are lost with its stack. */
static void *await_one_that_ends_the_thread(void *argument)
{
    heap *h = argument;
    submit_all(h);
    h->f = weft_submit(weft_executor_current(), end_thread, NULL);
    (void)weft_await(h->f, NULL);
    TEST_FAIL("a thread that had ended");
    return NULL;
}

static void exit_inline_with(unsigned n)
{
    static heap h;
    h = (heap){.n = n};
    weft_executor *executor = test_executor(1);
    weft_future *job = weft_submit(executor, await_one_that_ends_the_thread, &h);
    assert_done_soon(job);
    assert_err(job, -EOWNERDEAD);
    assert_err(h.f, -EOWNERDEAD);
    weft_future_release(h.f);
    weft_future_release(job);
    expect_ran_once(&h);
    weft_stats stats;
    test_destroy(executor);
    (void)stats;
}

static void test_res_02_a_thread_ends_in_an_inline_run(void **state)
{
    (void)state;
    exit_inline_with(0);
    exit_inline_with(WEFT__READY_CAPACITY / 2);
}

/* More than the deque holds: the rest is in the outside queue. */
static void *submit_more_than_fits(void *argument)
{
    submit_all(argument);
    return NULL;
}

static void test_exe_04_more_jobs_than_the_own_deque_holds(void **state)
{
    (void)state;
    static heap h;
    h = (heap){.n = MANY};
    weft_executor *executor = test_executor(1);
    assert_int_equal(weft_await(weft_submit(executor, submit_more_than_fits, &h), NULL), 0);
    expect_ran_once(&h);
    test_destroy(executor);
}

/* One that resumed has to itself what it submits, until it is one too many: then the other thread finds it, though it
 * never looked again for anything else. */
static void *resume_submit_and_end(void *argument)
{
    heap *h = argument;
    TEST_EXPECT(weft_future_wait(h->f, WEFT_FOREVER) == 0);
    submit_all(h);
    return NULL;
}

static void test_blk_01_what_one_that_retires_has_submitted(void **state)
{
    (void)state;
    static heap h;
    for (unsigned round = 0; round < test_rounds(50); round++) {
        weft_executor *executor = test_executor(1);
        inputs in = inputs_make(executor, 1);
        h = (heap){.n = WEFT__READY_CAPACITY / 2, .gate = test_gate_make(), .f = in.future[0]};
        weft_future *job = weft_submit(executor, resume_submit_and_end, &h);
        weft_future *stands_in = weft_submit(executor, test_gate_job, h.gate);
        assert_true(test_gate_await(h.gate, 1));
        assert_int_equal(weft_promise_resolve(in.promise[0], NULL, NULL), 0);
        assert_int_equal(weft_await(job, NULL), 0);
        test_gate_open(h.gate);
        assert_int_equal(weft_await(stands_in, NULL), 0);
        expect_ran_once(&h);
        inputs_free(&in);
        test_destroy(executor);
    }
}

/* A thread that is being ended waits for the thief of what it has forked, and that waits for a job which only another
 * thread can run. */
typedef struct ending {
    weft_future *resumes; /* by the test, before */
    weft_future *job;     /* by the job that ends */
    test_gate *stolen, *submitted;
    _Atomic(int) code; /* of the thief's wait */
} ending;

static void *wait_as_a_thief(void *argument)
{
    ending *e = argument;
    test_gate_pass(e->stolen);
    atomic_store_explicit(&e->code, weft_future_wait(e->job, test_patience()), memory_order_release);
    return NULL;
}

static void *fork_and_end(void *argument)
{
    ending *e = argument;
    weft_task task;
    weft_fork(&task, wait_as_a_thief, e);
    TEST_EXPECT(weft_future_wait(e->resumes, WEFT_FOREVER) == 0); /* here it is stolen */
    e->job = weft_submit(weft_executor_current(), test_job_return_arg, NULL);
    test_gate_open(e->stolen);
    pthread_exit(NULL);
}

static void test_blk_01_a_thread_that_ends_waits_for_a_thief_that_waits(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    ending e = {.resumes = in.future[0], .stolen = test_gate_make(), .code = 1};
    weft_future *job = weft_submit(executor, fork_and_end, &e);
    assert_true(test_gate_await(e.stolen, 1));
    assert_int_equal(weft_promise_resolve(in.promise[0], NULL, NULL), 0);
    assert_done_soon(job);
    assert_err(job, -EOWNERDEAD);
    assert_int_equal(test_get(e.code), 0);
    assert_int_equal(weft_await(e.job, NULL), 0);
    weft_future_release(job);
    inputs_free(&in);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_res_02_a_thread_ends_in_an_inline_run),
        TEST(test_exe_04_more_jobs_than_the_own_deque_holds),
        TEST(test_blk_01_what_one_that_retires_has_submitted),
        TEST(test_blk_01_a_thread_that_ends_waits_for_a_thief_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
