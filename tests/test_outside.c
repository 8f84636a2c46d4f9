/* test_outside.c: how threads that are not weft's wait for one future after another (futures/outside.c).
 *
 * Discipline. A thread that is seen to await handle after handle naps before it sleeps. What must hold then is that it is
 * told although no worker ever runs out of work, and that its time limits are kept; so each row below begins with jobs
 * that take longer than any spinning, and ends with one that lets the worker go no further. */
#include "fixtures.h"

enum { ROW = 40 }; /* more than make a row */

static void *slow_job(void *arg)
{
    test_pause(MS);
    return arg;
}

/* Two slow jobs, one that blocks at the gate, and quick ones, for one worker. */
static void submit_row(weft_executor *executor, weft_future *row[], test_gate *gate)
{
    for (size_t i = 0; i < ROW; i++) {
        row[i] = weft_submit(executor, i < 2 ? slow_job : i == 2 ? test_gate_job : test_job_return_arg, gate);
        assert_non_null(row[i]);
    }
}

static void await_rest(weft_future *row[])
{
    for (size_t i = 2; i < ROW; i++) {
        assert_int_equal(weft_await(row[i], NULL), 0);
    }
}

/* The worker goes on from the second job to one that blocks: it never looks for work in between. */
static void test_one_after_the_other_before_a_long_job(void **state)
{
    weft_executor *executor = test_executor(1);
    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        weft_future *row[ROW];
        test_gate *gate = test_gate_make();
        submit_row(executor, row, gate);
        assert_int_equal(weft_await(row[0], NULL), 0);
        assert_int_equal(weft_await(row[1], NULL), 0);
        test_gate_open(gate);
        await_rest(row);
    }
    test_destroy(executor);
}

/* A time limit that is shorter than a nap, one that is longer, and what was not done then is done later. */
static void test_one_after_the_other_with_time_limits(void **state)
{
    weft_executor *executor = test_executor(1);
    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        weft_future *row[ROW];
        test_gate *gate = test_gate_make();
        submit_row(executor, row, gate);
        assert_int_equal(weft_await(row[0], NULL), 0);
        assert_int_equal(weft_await(row[1], NULL), 0);
        assert_int_equal(weft_future_wait(row[2], 1000), -ETIMEDOUT);
        int64_t begun = weft_now();
        assert_int_equal(weft_future_wait(row[2], 2 * MS), -ETIMEDOUT);
        assert_true(weft_now() - begun >= 2 * MS);
        assert_int_equal(weft_future_wait(row[ROW - 1], MS), -ETIMEDOUT);
        test_gate_open(gate);
        await_rest(row);
    }
    test_destroy(executor);
}

/* Many rows of jobs that end at once, oldest first and newest first, from several threads: each wait ends. */
static void *many_rows(void *executor)
{
    for (unsigned round = 0; round < test_rounds(400); round++) {
        weft_future *row[ROW];
        for (size_t i = 0; i < ROW; i++) {
            row[i] = weft_submit(executor, test_job_return_arg, &row[i]);
        }
        for (size_t i = 0; i < ROW; i++) {
            size_t at = round % 2 ? i : ROW - 1 - i;
            void *value = NULL;
            TEST_EXPECT(weft_await(row[at], &value) == 0);
            TEST_EXPECT(value == &row[at]);
        }
    }
    return NULL;
}

static void test_rows_of_several_threads(void **state)
{
    weft_executor *executor = test_executor(0);
    pthread_t threads[3];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        threads[i] = test_spawn(many_rows, executor);
    }
    for (size_t i = 0; i < 3; i++) {
        test_join(threads[i]);
    }
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_after_the_other_before_a_long_job),
        TEST(test_one_after_the_other_with_time_limits),
        TEST(test_rows_of_several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
