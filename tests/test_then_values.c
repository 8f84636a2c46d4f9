/* test_then_values.c: what a then owns and lends: values of its own and its input's, arguments of refused calls, and
 * the duty to report errors (sections 14 and 18).
 *
 * Discipline. What the hook was told is compared after the executor was destroyed, when it is not called any more. */
#include "follower.h"

static test_hook hook;

static weft_executor *hooked(void)
{
    weft_executor_options options = {.workers = 1, .unobserved_error = test_hook_unobserved, .data = &hook};
    memset(&hook, 0, sizeof hook);
    return test_executor_with(&options);
}

static void assert_reported(unsigned times, int error, const char *name)
{
    assert_int_equal(test_get(hook.errors), times);
    if (times != 0) {
        const char *last = test_get(hook.last_name);
        assert_int_equal(test_get(hook.last_error), error);
        assert_non_null(last);
        assert_string_equal(last, name);
    }
}

static void drop_named_then(weft_executor *executor, int input_code, int code, const char *name)
{
    weft_submit_options options = {.name = name};
    weft_future *input = submit_named(executor, cell_make(NULL, input_code), "input");
    weft_future_release(weft_then_with(input, follower_run, follower_make(NULL, code), &options));
    weft_future_release(input);
}

static void test_drp_01_an_error_is_reported_by_its_name(void **state)
{
    (void)state;
    weft_executor *executor = hooked();
    drop_named_then(executor, 0, 5, "then");
    test_destroy(executor);
    assert_reported(1, 5, "then");
    executor = hooked();
    drop_named_then(executor, 6, 0, "then");
    test_destroy(executor);
    assert_reported(1, 6, "then");
    executor = hooked();
    drop_named_then(executor, 7, 0, NULL);
    test_destroy(executor);
    assert_reported(1, 7, "input");
}

static void test_drp_02_duty_goes_to_the_then(void **state)
{
    (void)state;
    weft_executor *executor = hooked();
    weft_future *input = submit_named(executor, cell_make(NULL, 7), "input");
    weft_future *then = then_of(input, follower_make(NULL, 0)), *any = then_any_of(input, follower_make(NULL, 0));
    weft_future_release(input);
    assert_int_equal(weft_await(then, NULL), 7);
    assert_int_equal(weft_await(any, NULL), 0);
    test_destroy(executor);
    assert_reported(0, 0, NULL);
}

static void test_drp_03_dropped_it_still_runs(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 1);
    weft_submit_options options = {.free_arg = follower_free, .free_value = follower_free_value};
    follower *f = follower_make(NULL, 0);
    weft_future_release(weft_then_with(in.future[0], follower_run, f, &options));
    assert_int_equal(weft_promise_resolve(in.promise[0], &in, NULL), 0);
    inputs_free(&in);
    test_destroy(executor);
    assert_ran(f);
    assert_ptr_equal(f->value, &in);
    assert_int_equal(test_get(f->value_freed), 1);
}

/* The input's value goes when the result does, and not before; it cannot be taken meanwhile. */
static void test_thn_01_the_inputs_value_stays(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell *cell = cell_make(NULL, 0);
    void *value = NULL;
    weft_future *input = submit(executor, cell);
    follower *f = follower_make(NULL, 0);
    f->result = cell; /* the value itself, for which only the input has a destructor */
    weft_future *then = then_of(input, f);
    assert_done_soon(then);
    assert_int_equal(weft_future_take(input, &value), -EBUSY);
    weft_future_release(input);
    assert_ok(then, cell);
    assert_int_equal(test_get(cell->value_freed), 0);
    weft_future_release(then);
    assert_int_equal(test_get(cell->value_freed), 1);
    test_destroy(executor);
}

static void test_thn_01_its_own_value(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *done = test_done_future(executor);
    weft_submit_options options = {.free_value = follower_free_value};
    follower *f[3];
    weft_future *then[3];
    for (unsigned i = 0; i < 3; i++) {
        then[i] = weft_then_with(done, follower_run, f[i] = follower_make(NULL, 0), &options);
        assert_done_soon(then[i]);
    }
    void *value = NULL;
    weft_future *shield = weft_shield(then[2]);
    assert_int_equal(weft_future_take(then[2], &value), -EBUSY);
    weft_future_release(shield);
    assert_int_equal(weft_future_take(then[2], &value), 0);
    assert_ptr_equal(value, f[2]);
    assert_int_equal(weft_future_take(then[2], &value), -ENODATA);
    weft_future_release(then[2]);
    weft_future_release(then[0]);
    assert_int_equal(weft_await(then[1], &value), 0);
    assert_ptr_equal(value, f[1]);
    assert_int_equal(test_get(f[0]->value_freed), 1);
    assert_int_equal(test_get(f[1]->value_freed) + test_get(f[2]->value_freed), 0);
    weft_future_release(done);
    test_destroy(executor);
}

static void test_mem_01_bad_arguments(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *done = test_done_future(executor);
    weft_submit_options bad = {.priority = (weft_priority)7, .free_arg = follower_free};
    follower *f = follower_make(NULL, 0);
    errno = EAGAIN;
    assert_null(weft_then(NULL, follower_run, NULL));
    assert_null(weft_then(NULL, NULL, NULL));
    assert_null(weft_then_any_with(NULL, follower_run_any, NULL, &bad));
    assert_int_equal(errno, EAGAIN);
    for (unsigned i = 0; i < 4; i++) {
        errno = 0;
        assert_null(i == 0   ? weft_then(done, NULL, f)
                    : i == 1 ? weft_then_any(done, NULL, f)
                    : i == 2 ? weft_then_with(done, follower_run, f, &bad)
                             : weft_then_any_with(done, follower_run_any, f, &bad));
        assert_int_equal(errno, EINVAL);
    }
    assert_int_equal(test_get(f->arg_freed), 0);
    test_destroy(executor);
    errno = 0;
    assert_null(weft_then(done, follower_run, f));
    assert_int_equal(errno, ESHUTDOWN);
    weft_future_release(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_drp_01_an_error_is_reported_by_its_name),
        TEST(test_drp_02_duty_goes_to_the_then),
        TEST(test_drp_03_dropped_it_still_runs),
        TEST(test_thn_01_the_inputs_value_stays),
        TEST(test_thn_01_its_own_value),
        TEST(test_mem_01_bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
