/* test_orphan.c: futures outlive their executor (I16).
 *
 * After destroy an outcome can be read, a value taken, a reference dropped; nothing new can be hung on the future, and
 * no hook of the executor is called any more. */
#include "support.h"

static void test_fut_i16_futures_outlive_their_executor(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    test_cell read = {.value = &read}, taken = {.value = &taken}, dropped = {.value = &dropped};
    const weft_submit_options options = {.free_value = test_cell_free_value};
    weft_future *one = weft_submit_with(executor, test_cell_run, &read, &options);
    weft_future *two = weft_submit_with(executor, test_cell_run, &taken, &options);
    weft_future *three = weft_submit_with(executor, test_cell_run, &dropped, &options);
    weft_future *failed = weft_submit(executor, test_job_fail_7, NULL);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *orphan = weft_promise_future(promise);
    test_destroy(executor);
    void *value = NULL;
    assert_int_equal(weft_future_get(one, &value), 0);
    assert_ptr_equal(value, &read);
    assert_int_equal(weft_future_wait(one, WEFT_FOREVER), 0);
    assert_int_equal(weft_cancel(one), WEFT_CANCEL_TOO_LATE);
    assert_int_equal(weft_await(two, &value), 0);
    assert_ptr_equal(value, &taken);
    assert_err(failed, 7);
    assert_cancelled(orphan, WEFT_REASON_SHUTDOWN);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), -EALREADY);
    assert_int_equal(weft_promise_reject(promise, 3), -EALREADY);
    weft_promise_destroy(promise);
    weft_future_release(one);
    weft_future_release(three);
    weft_future_release(failed);
    weft_future_release(orphan);
    assert_int_equal(test_get(read.value_freed), 1);
    assert_int_equal(test_get(taken.value_freed), 0);
    assert_int_equal(test_get(dropped.value_freed), 1);
}

static void test_fut_i16_nothing_new_is_made_from_an_orphan(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *orphan = weft_submit(executor, test_job_return_arg, NULL);
    test_destroy(executor);
    errno = 0;
    assert_null(weft_wait_for(orphan, WEFT_FOREVER, 0));
    assert_int_equal(errno, ESHUTDOWN);
    errno = 0;
    assert_null(weft_shield(orphan));
    assert_int_equal(errno, ESHUTDOWN);
    assert_int_equal(weft_wait(&orphan, 1, WEFT_ALL_COMPLETED, 0, NULL), 0);
    weft_future_release(orphan);
}

static void test_cbk_i16_an_orphan_takes_no_callbacks(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_latch *latch = test_latch_make();
    weft_callback *handle = NULL;
    weft_future *orphan = weft_submit(executor, test_job_return_arg, NULL);
    test_destroy(executor);
    assert_int_equal(weft_on_done(orphan, test_hit_latch, latch, NULL), -ESHUTDOWN);
    assert_int_equal(weft_on_done(orphan, test_hit_latch, latch, &handle), -ESHUTDOWN);
    assert_int_equal(test_counters().callbacks, test_base().callbacks);
    weft_future_release(orphan);
    assert_int_equal(test_latch_count(latch), 0);
}

/* What goes unread only after destroy has nobody left to tell; before, the hook is told. */
static void test_orphan_i16_no_hook_is_called_after_destroy(void **state)
{
    (void)state;
    test_hook hook = {.errors = 0};
    const weft_executor_options options = {.workers = 1, .unobserved_error = test_hook_unobserved, .data = &hook};
    weft_executor *executor = test_executor_with(&options);
    weft_future *early = weft_submit(executor, test_job_fail_7, NULL);
    weft_future *late = weft_submit(executor, test_job_fail_7, NULL);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    weft_future_release(early);
    assert_int_equal(test_get(hook.errors), 1);
    test_destroy(executor);
    weft_future_release(late);
    assert_int_equal(test_get(hook.errors), 1);
}

int main(void)
{
    const struct CMUnitTest orphan[] = {
        TEST(test_fut_i16_futures_outlive_their_executor),
        TEST(test_fut_i16_nothing_new_is_made_from_an_orphan),
        TEST(test_cbk_i16_an_orphan_takes_no_callbacks),
        TEST(test_orphan_i16_no_hook_is_called_after_destroy),
    };
    return cmocka_run_group_tests(orphan, NULL, NULL);
}
