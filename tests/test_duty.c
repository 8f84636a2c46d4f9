/* test_duty.c: threads that block and those that stand in for them (executor/block.c, futures/wait.c).
 *
 * Discipline. The one worker blocks while the thread that stood in for it is about to fall asleep: a job waits, another
 * thread stands in and runs a second job, the first resumes: so both are on duty, one of them too many. Then the first
 * submits a child, which only its own thread can see, and waits for it with a time limit, so that it does not run the
 * child itself: it makes it visible and counts on the other thread. That one is held at one point of its way to sleep
 * until the first has resumed, and at a later one until the first has blocked. Every pair of points is tried; without
 * points in the build there is one round, which is left to chance. */
#include "fixtures.h"

#include "executor.h"
#include "points.h"

#ifdef WEFT_TEST_POINTS
enum { FIRST_POINTS = 4, LATER_POINTS = 64 };
#else
enum { FIRST_POINTS = 1, LATER_POINTS = 1 };
#endif

typedef struct scene {
    weft_executor *executor; /* by the test, as the next four, before the jobs are submitted */
    weft_future *promised;
    test_gate *go_on;
    test_latch *at_first;
    uint64_t first, later;  /* points */
    _Atomic(bool) resumed;  /* by the first job */
    _Atomic(bool) at_later; /* by the stand-in */
    _Atomic(bool) over;     /* by the test: nobody waits any more */
} scene;

static void let_it_block(void *argument)
{
    scene *s = argument;
    atomic_store(&s->at_later, true);
    test_gate_open(s->go_on);
    /* Until only this thread can end the wait. */
    while (atomic_load(&s->executor->blocked_count) == 0 && !atomic_load(&s->over)) {
        test_pause(1000);
    }
}

static void let_it_resume(void *argument)
{
    scene *s = argument;
    test_latch_hit(s->at_first);
    while (!atomic_load(&s->resumed)) {
        test_pause(1000);
    }
    points_at(s->later, let_it_block, s);
}

static void *stand_in(void *argument)
{
    scene *s = argument;
    points_at(s->first, let_it_resume, s);
    return argument;
}

static void *wait_twice(void *argument)
{
    scene *s = argument;
    TEST_EXPECT(weft_future_wait(s->promised, WEFT_FOREVER) == 0);
    atomic_store(&s->resumed, true);
    test_gate_pass(s->go_on);
    weft_future *child = weft_submit(s->executor, test_job_return_arg, NULL);
    TEST_EXPECT(weft_future_wait(child, test_patience()) == 0);
    weft_future_release(child);
    return argument;
}

static bool play(uint64_t first, uint64_t later)
{
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    scene s = {executor, weft_promise_future(promise), test_gate_make(), test_latch_make(), first, later, false, false,
               false};
    weft_future *waits = weft_submit(executor, wait_twice, &s), *stands_in = weft_submit(executor, stand_in, &s);
    test_latch_wait_for(s.at_first, 1, 5 * MS);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    int64_t patience = weft_now() + 5 * MS;
    while (!atomic_load(&s.at_later) && weft_now() < patience) {
        test_pause(1000);
    }
    test_gate_open(s.go_on);
    void *value = NULL;
    assert_int_equal(weft_await(waits, &value), 0);
    atomic_store(&s.over, true);
    assert_int_equal(weft_await(stands_in, NULL), 0);
    weft_future_release(s.promised);
    weft_promise_destroy(promise);
    test_destroy(executor);
    return atomic_load(&s.at_later);
}

static void test_a_child_is_seen_by_who_is_about_to_sleep(void **state)
{
    (void)state;
    unsigned reached = 0;
    for (uint64_t first = 1; first <= FIRST_POINTS; first++) {
        for (uint64_t later = 1; later <= LATER_POINTS; later++) {
            reached += play(first, later);
        }
    }
    assert_true(FIRST_POINTS == 1 || reached >= 16);
}

/* ---- destructors that wait in a wait ---- */

/* A job awaits another executor's job that has not started, and is asked to stop: so it cancels that one, whose
 * destructor runs on the blocked thread, submits, and waits in turn. */
typedef struct nest {
    weft_executor *own, *other; /* by the test */
    weft_future *awaited;       /* the same */
    test_gate *running;         /* of a job that the destructor awaits */
    test_latch *in_destructor;
    _Atomic(unsigned) ran; /* children of the destructor */
} nest;

static void *note_run(void *argument)
{
    nest *n = argument;
    atomic_fetch_add(&n->ran, 1);
    return argument;
}

static void wait_in_destructor(void *argument)
{
    nest *n = argument;
    weft_future *running = weft_submit(n->other, test_gate_job, n->running);
    weft_future *child = weft_submit(n->own, note_run, n);
    TEST_EXPECT(test_gate_await(n->running, 1));
    test_latch_hit(n->in_destructor);
    TEST_EXPECT(weft_await(running, NULL) == 0);
    weft_future_release(child);
}

static void *await_and_be_asked(void *argument)
{
    nest *n = argument;
    TEST_EXPECT(weft_await(n->awaited, NULL) == -ECANCELED);
    return argument;
}

static void test_a_destructor_waits_in_a_wait(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1), *busy = test_executor(1), *other = test_executor(1);
    nest n = {executor, other, NULL, test_gate_make(), test_latch_make(), 0};
    weft_submit_options options = {.free_arg = wait_in_destructor};
    test_gate *gate = test_block(busy, 1);
    n.awaited = weft_submit_with(busy, test_job_return_arg, &n, &options);
    weft_future *job = weft_submit(executor, await_and_be_asked, &n);
    while (atomic_load(&executor->blocked_count) == 0) {
        test_pause(20000);
    }
    assert_int_equal(weft_cancel(job), WEFT_CANCEL_REQUESTED);
    assert_true(test_latch_wait(n.in_destructor, 1));
    /* The child was submitted by a thread that is off duty: its stand-in runs it. */
    int64_t patience = weft_now() + test_patience();
    while (atomic_load(&n.ran) == 0 && weft_now() < patience) {
        test_pause(20000);
    }
    assert_int_equal(atomic_load(&n.ran), 1);
    test_gate_open(n.running);
    assert_done_soon(job);
    assert_ok(job, &n);
    weft_future_release(job);
    test_unblock(gate);
    test_destroy(other);
    test_destroy(busy);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_a_child_is_seen_by_who_is_about_to_sleep),
                                       TEST(test_a_destructor_waits_in_a_wait)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
