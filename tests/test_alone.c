/* test_alone.c: an executor with one worker, whose ready deque is closed to all others (executor/block.c): what lies in
 * there is neither lost nor run twice, whatever becomes of the thread that has put it there.
 *
 * Discipline. Gates and promises lead the one worker and those that stand in for it; a job counts how often it ran. */
#include "fixtures.h"
#include "points.h"

#include "future.h"

enum { MANY = 2 * WEFT__READY_CAPACITY };

/* What a job submits before it ends or waits; cells count their runs. */
typedef struct heap {
    test_cell cells[MANY];
    weft_future *futures[MANY];
    unsigned n;      /* of them; by the test, before */
    test_gate *gate; /* by the test, before; NULL: none */
    weft_future *f;  /* by the test, before; what the job waits for */
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

/* The stand-in runs out of work and goes to sleep. At one point of it the job that was blocked resumes, and at a later
 * one that job blocks again, with another one in its deque: there is a thread on duty too many, so nobody is admitted,
 * and whether the one on duty sees what was published is the question. */
typedef struct falling {
    weft_executor *executor;
    uint64_t resume, block; /* at which points; by the test, before, as the next two */
    weft_future *resumes;
    weft_promise *promise;
    test_latch *resumed, *falls; /* the job has resumed; the stand-in is about to fall asleep */
    test_gate *gate;             /* the job passes it before it blocks again */
    weft_future *left;           /* by the job */
    _Atomic(bool) came;          /* at the first point; by the stand-in */
    _Atomic(bool) over;          /* its second wait is; by the job */
    int code;                    /* of that wait; by the job */
} falling;

static bool is_blocked(void *argument)
{
    falling *f = argument;
    return atomic_load_explicit(&f->executor->blocked_count, memory_order_acquire) == 1 || test_get(f->over);
}

static void let_it_block(void *argument)
{
    falling *f = argument;
    test_gate_open(f->gate);
    test_until(is_blocked, f);
}

static void let_it_resume(void *argument)
{
    falling *f = argument;
    atomic_store_explicit(&f->came, true, memory_order_release);
    weft_promise_resolve(f->promise, NULL, NULL);
    test_latch_wait(f->resumed, 1);
    points_at(f->block, let_it_block, f);
}

static void *fall_asleep(void *argument)
{
    falling *f = argument;
    test_latch_hit(f->falls);
    points_at(f->resume, let_it_resume, f);
    return NULL;
}

static void *block_twice(void *argument)
{
    falling *f = argument;
    TEST_EXPECT(weft_future_wait(f->resumes, WEFT_FOREVER) == 0);
    f->left = weft_submit(f->executor, test_job_return_arg, NULL);
    test_latch_hit(f->resumed);
    test_gate_pass(f->gate);
    f->code = weft_future_wait(f->left, test_patience());
    atomic_store_explicit(&f->over, true, memory_order_release);
    return NULL;
}

/* Has the stand-in come to rest, or the first point? */
static bool rests_or_came(void *argument)
{
    falling *f = argument;
    const weft__thread *t = f->executor->threads[1];
    return test_get(f->came) || atomic_load_explicit(&t->park, memory_order_acquire) == 2;
}

static bool rests_or_blocked(void *argument)
{
    falling *f = argument;
    const weft__thread *t = f->executor->threads[1];
    return test_gate_reached(f->gate) && (atomic_load_explicit(&t->park, memory_order_acquire) == 2 || is_blocked(f));
}

/* Whether both points were come to. */
static bool block_again_at(uint64_t resume, uint64_t block)
{
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    falling f = {.executor = executor,
                 .resume = resume,
                 .block = block,
                 .resumes = in.future[0],
                 .promise = in.promise[0],
                 .resumed = test_latch_make(),
                 .falls = test_latch_make(),
                 .gate = test_gate_make()};
    weft_future *job = weft_submit(executor, block_twice, &f);
    assert_int_equal(weft_execute(executor, fall_asleep, &f), 0);
    assert_true(test_latch_wait(f.falls, 1));
    assert_true(test_until(rests_or_came, &f));
    bool came = test_get(f.came);
    if (!came)
        weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_true(test_until(rests_or_blocked, &f));
    bool blocked = test_gate_inside(f.gate) == 0;
    test_gate_open(f.gate);
    assert_int_equal(weft_await(job, NULL), 0);
    assert_int_equal(f.code, 0);
    assert_int_equal(weft_await(f.left, NULL), 0);
    inputs_free(&in);
    test_destroy(executor);
    return came && blocked;
}

static void test_blk_01_blocks_again_while_the_stand_in_falls_asleep(void **state)
{
    (void)state;
    unsigned n = 0, step = TEST_TSAN ? 5 : 1;
    for (uint64_t resume = 1, block = 2; block > 1; resume += step)
        for (block = 1; block_again_at(resume, block); block += step)
            n++;
    print_message("%u pairs of points\n", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_exe_04_more_jobs_than_the_own_deque_holds),
        TEST(test_blk_01_what_one_that_retires_has_submitted),
        TEST(test_blk_01_a_thread_that_ends_waits_for_a_thief_that_waits),
        TEST(test_blk_01_blocks_again_while_the_stand_in_falls_asleep),
    };
    return points_result(cmocka_run_group_tests(tests, NULL, NULL));
}
