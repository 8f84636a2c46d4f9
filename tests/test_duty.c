/* test_duty.c: the one worker blocks while the thread that stood in for it is about to fall asleep (executor/block.c).
 *
 * Discipline. A job waits, another thread stands in and runs a second job, the first resumes: so both are on duty, one
 * of them too many. Then the first submits a child, which only its own thread can see, and waits for it with a time
 * limit, so that it does not run the child itself: it makes it visible and counts on the other thread. That one is held
 * at one point of its way to sleep until the first has resumed, and at a later one until the first has blocked. Every
 * pair of points is tried; without points in the build there is one round, which is left to chance. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_a_child_is_seen_by_who_is_about_to_sleep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
