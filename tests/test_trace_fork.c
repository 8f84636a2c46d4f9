/* test_trace_fork.c: a fork while the executor is traced: the child leaves the trace alone, the parent's is whole. */
#include "child.h"
#include "trace_file.h"

static char path[64];

static void *nothing(void *arg)
{
    return arg;
}

/* In the child: what it inherited is refused, and an executor of its own can be traced. */
static void child_traces(weft_executor *inherited)
{
    char own[80];
    snprintf(own, sizeof own, "%s.child", path);
    CHILD_EXPECT(weft_trace_stop(inherited) == -ESTALE);
    CHILD_EXPECT(weft_trace_start(inherited, own) == -ESTALE);
    weft_executor_options options = {.workers = 1};
    weft_executor *executor = weft_executor_create(&options);
    CHILD_EXPECT(executor != NULL);
    CHILD_EXPECT(weft_trace_start(executor, own) == 0);
    CHILD_EXPECT(weft_await(weft_submit(executor, nothing, NULL), NULL) == 0);
    CHILD_EXPECT(weft_trace_stop(executor) == 0);
    CHILD_EXPECT(weft_executor_destroy(executor) == 0);
    CHILD_EXPECT(unlink(own) == 0);
    child_finished();
}

static void *fork_here(void *executor)
{
    pid_t child = child_fork();
    if (child == 0)
        child_traces(executor); /* the thread ends when this returns to weft, and with it the child */
    else
        TEST_EXPECT(child_ended_well(child));
    return NULL;
}

/* Not on a thread of weft's, where the child would go on with the test. */
static void fork_outside(weft_executor *executor)
{
    pid_t child = child_fork();
    if (child == 0) {
        child_traces(executor);
        _exit(0);
    }
    assert_true(child_ended_well(child));
}

static int fork_in_callback(weft_future *future, void *executor)
{
    (void)future;
    fork_here(executor);
    return 0;
}

static void test_frk_01_a_fork_while_a_trace_is_written(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    trace_path(path);
    assert_int_equal(weft_trace_start(executor, path), 0);
    fork_outside(executor);
    weft_future *job = weft_submit(executor, fork_here, executor);
    assert_done_soon(job);
    assert_int_equal(weft_on_done(job, fork_in_callback, executor, NULL), 0);
    flush(executor);
    assert_int_equal(weft_trace_stop(executor), 0);
    trace_file *file = trace_read(path);
    assert_int_equal(trace_count(file, 'B', "job", NULL), 1);
    assert_string_equal(trace_find(file, 'B', "job", NULL)->ended, "succeeded");
    assert_true(trace_count(file, 'B', "callback", NULL) >= 1);
    trace_free(file);
    weft_future_release(job);
    assert_children(3);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_frk_01_a_fork_while_a_trace_is_written),
    };
    home_make();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
