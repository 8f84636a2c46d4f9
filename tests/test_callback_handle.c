/* test_callback_handle.c: taking a registration back (CBK-05), and what the answer promises (CBK-10).
 *
 * A handle is removed once, before its call (0: it will never run), or after it (-EALREADY: it has returned). Memory
 * that a callback uses may be freed after either answer, which is what the races here do. */
#include "support.h"

/* CBK-05 */

static void test_cbk_05_each_registration_has_its_own_handle(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_latch *latch = test_latch_make();
    weft_callback *handles[3] = {NULL, NULL, NULL};
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(weft_on_done(future, test_hit_latch, latch, &handles[i]), 0);
        assert_non_null(handles[i]);
    }
    assert_true(handles[0] != handles[1] && handles[1] != handles[2] && handles[0] != handles[2]);
    assert_int_equal(test_counters().callbacks, test_base().callbacks + 3);
    assert_int_equal(weft_callback_remove(handles[1]), 0);
    assert_true(test_until_counters(1, 0, 2));
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    test_latch_wait(latch, 2);
    assert_int_equal(weft_callback_remove(handles[0]), -EALREADY);
    assert_true(test_until_counters(1, 0, 1));
    assert_int_equal(weft_callback_remove(handles[2]), -EALREADY);
    assert_true(test_until_counters(1, 0, 0));
    weft_promise_destroy(promise);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_latch_count(latch), 2);
}

static void test_cbk_05_a_handle_not_removed_stays_counted(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_latch *latch = test_latch_make();
    weft_callback *handle = NULL;
    weft_future *done = test_done_future(executor);
    assert_int_equal(weft_on_done(done, test_hit_latch, latch, NULL), 0);
    assert_int_equal(weft_on_done(done, test_hit_latch, latch, &handle), 0);
    test_latch_wait(latch, 2);
    weft_future_release(done);
    test_destroy(executor);
    assert_int_equal(test_counters().callbacks, test_base().callbacks + 1);
    assert_int_equal(weft_callback_remove(handle), -EALREADY);
    assert_int_equal(test_counters().callbacks, test_base().callbacks);
}

/* Registered and removed without the future ever having been DONE: nothing is left on it. */
static void test_cbk_05_removed_in_time_leaves_no_residue(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_latch *latch = test_latch_make();
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    for (int i = 0; i < 1000; i++) {
        weft_callback *handle = NULL;
        assert_int_equal(weft_on_done(future, test_hit_latch, latch, &handle), 0);
        assert_int_equal(weft_callback_remove(handle), 0);
    }
    assert_true(test_until_counters(1, 0, 0));
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    weft_promise_destroy(promise);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_latch_count(latch), 0);
}

struct slow {
    test_gate *gate;
    weft_callback *handle, *victim;
    test_latch *removed;
    _Atomic(bool) returned;
    _Atomic(int) answer, answer_for_victim;
};

static int slow_callback(weft_future *future, void *data)
{
    struct slow *slow = data;
    (void)future;
    test_gate_pass(slow->gate);
    atomic_store_explicit(&slow->returned, true, memory_order_release);
    return 0;
}

static void *remove_slow(void *data)
{
    struct slow *slow = data;
    atomic_store_explicit(&slow->answer, weft_callback_remove(slow->handle), memory_order_release);
    TEST_EXPECT(test_get(slow->returned));
    test_latch_hit(slow->removed);
    return NULL;
}

static void test_cbk_05_remove_waits_while_it_runs_elsewhere(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct slow slow = {.gate = test_gate_make(), .removed = test_latch_make()};
    weft_future *done = test_done_future(executor);
    assert_int_equal(weft_on_done(done, slow_callback, &slow, &slow.handle), 0);
    test_gate_await(slow.gate, 1);
    pthread_t remover = test_spawn(remove_slow, &slow);
    assert_false(test_latch_wait_for(slow.removed, 1, WEFT_MILLISECONDS(50)));
    test_gate_open(slow.gate);
    test_join(remover);
    assert_int_equal(test_get(slow.answer), -EALREADY);
    weft_future_release(done);
    test_destroy(executor);
}

/* Runs with the handles written: removes itself and one that is still to come. */
static int remove_from_inside(weft_future *future, void *data)
{
    struct slow *slow = data;
    (void)future;
    TEST_EXPECT(slow->handle != NULL);
    atomic_store_explicit(&slow->answer, weft_callback_remove(slow->handle), memory_order_release);
    if (slow->victim != NULL) {
        atomic_store_explicit(&slow->answer_for_victim, weft_callback_remove(slow->victim), memory_order_release);
    }
    test_latch_hit(slow->removed);
    return 0;
}

static void test_cbk_05_a_callback_removes_itself_and_a_later_one(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct slow slow = {.removed = test_latch_make(), .answer = 1, .answer_for_victim = 1};
    test_latch *never = test_latch_make(), *last = test_latch_make();
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    assert_int_equal(weft_on_done(future, remove_from_inside, &slow, &slow.handle), 0);
    assert_int_equal(weft_on_done(future, test_hit_latch, never, &slow.victim), 0);
    assert_int_equal(weft_on_done(future, test_hit_latch, last, NULL), 0);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    test_latch_wait(last, 1);
    assert_int_equal(test_get(slow.answer), -EALREADY);
    assert_int_equal(test_get(slow.answer_for_victim), 0);
    weft_promise_destroy(promise);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_latch_count(never), 0);
}

/* The future is DONE before the registration: the handle must be there when the callback runs, however soon. */
static void test_cbk_05_race_the_handle_is_written_before_the_call(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_future *done = test_done_future(executor);
    for (unsigned i = 0; i < test_rounds(2000); i++) {
        struct slow slow = {.removed = test_latch_make(), .answer = 1};
        assert_int_equal(weft_on_done(done, remove_from_inside, &slow, &slow.handle), 0);
        test_latch_wait(slow.removed, 1);
        assert_int_equal(test_get(slow.answer), -EALREADY);
    }
    weft_future_release(done);
    test_destroy(executor);
}

/* CBK-10 */

struct plain {
    int written; /* by the callback, without any synchronisation of its own */
};

static int write_plainly(weft_future *future, void *data)
{
    struct plain *plain = data;
    (void)future;
    plain->written = 1;
    return 0;
}

static void test_cbk_10_ealready_promises_that_it_has_returned(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    unsigned ran = 0;
    for (unsigned i = 0; i < test_rounds(3000); i++) {
        struct plain *plain = calloc(1, sizeof *plain);
        weft_callback *handle = NULL;
        weft_future *job = weft_submit(executor, test_job_return_arg, NULL);
        assert_int_equal(weft_on_done(job, write_plainly, plain, &handle), 0);
        if (i % 3 != 0) {
            assert_done_soon(job);
        }
        for (volatile unsigned spin = 0; spin < (i % 32) * 64; spin++) {
        }
        int answer = weft_callback_remove(handle);
        assert_true(answer == 0 || answer == -EALREADY);
        assert_int_equal(plain->written, answer == 0 ? 0 : 1);
        ran += answer != 0;
        free(plain);
        weft_future_release(job);
    }
    test_destroy(executor);
    print_message("removed after the call: %u\n", ran);
}

int main(void)
{
    const struct CMUnitTest handle[] = {
        TEST(test_cbk_05_each_registration_has_its_own_handle),
        TEST(test_cbk_05_a_handle_not_removed_stays_counted),
        TEST(test_cbk_05_removed_in_time_leaves_no_residue),
        TEST(test_cbk_05_remove_waits_while_it_runs_elsewhere),
        TEST(test_cbk_05_a_callback_removes_itself_and_a_later_one),
        TEST(test_cbk_05_race_the_handle_is_written_before_the_call),
        TEST(test_cbk_10_ealready_promises_that_it_has_returned),
    };
    return cmocka_run_group_tests(handle, NULL, NULL);
}
