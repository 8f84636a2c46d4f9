/* test_result.c: what a future holds. Which code means what (FUT-07), who owns values and arguments (RES), and
 * who may see what was written before (I10).
 *
 * Destructors count their calls, so "exactly once" is a number. Values and arguments are cells on the test's stack: a
 * library that touched one after DONE would be caught by AddressSanitizer. */
#include "support.h"

#include <limits.h>

/* FUT-07 */

static void *fail_with(void *code)
{
    return weft_fail(*(int *)code);
}

static void test_fut_07_job_codes_are_not_mistaken_for_the_calls_own(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    int codes[] = {ETIMEDOUT, ECANCELED, EDEADLK, EINPROGRESS, EINTR, EINVAL, 1, INT_MAX};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        void *value = NULL;
        weft_future *job = weft_submit(executor, fail_with, &codes[i]);
        weft_promise *promise = weft_promise_create(executor);
        weft_future *promised = weft_promise_future(promise);
        assert_int_equal(weft_promise_reject(promise, codes[i]), 0);
        assert_int_equal(weft_future_wait(job, test_patience()), 0);
        assert_int_equal(weft_future_wait(promised, 0), 0);
        assert_err(job, codes[i]);
        assert_err(promised, codes[i]);
        assert_false(weft_future_cancelled(job));
        assert_int_equal(weft_future_get(job, &value), codes[i]);
        assert_int_equal(weft_future_take(job, &value), codes[i]);
        assert_int_equal(weft_await(job, &value), codes[i]);
        assert_int_equal(weft_await(promised, &value), codes[i]);
        weft_promise_destroy(promise);
    }
    test_destroy(executor);
}

static void test_fut_07_any_other_code_of_a_job_is_einval(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    int codes[] = {0, -1, -ETIMEDOUT, -EINVAL, INT_MIN};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        weft_future *job = weft_submit(executor, fail_with, &codes[i]);
        assert_done_soon(job);
        assert_err(job, EINVAL);
        weft_future_release(job);
    }
    test_destroy(executor);
}

/* A failure belongs to the job that declared it, also when another job runs inline in the middle of it. */
struct nest {
    weft_executor *executor;
    int outer_code, inner_code, seen;
};

static void *inner_job(void *arg)
{
    struct nest *nest = arg;
    return nest->inner_code != 0 ? weft_fail(nest->inner_code) : nest;
}

static void *outer_job(void *arg)
{
    struct nest *nest = arg;
    weft_future *inner = weft_submit(nest->executor, inner_job, nest);
    if (nest->outer_code != 0) {
        weft_fail(nest->outer_code);
    }
    nest->seen = weft_await(inner, NULL);
    return nest;
}

static void test_fut_07_a_failure_stays_with_its_own_job(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (int i = 0; i < 4; i++) {
        struct nest nest = {executor, (i & 1) != 0 ? 11 : 0, (i & 2) != 0 ? 22 : 0, -1};
        weft_future *outer = weft_submit(executor, outer_job, &nest);
        assert_int_equal(weft_await(outer, NULL), nest.outer_code);
        assert_int_equal(nest.seen, nest.inner_code);
    }
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    test_destroy(executor);
}

/* RES-01 */

static void test_res_01_reads_lend_and_the_last_reference_destroys(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    test_cell cell = {.value = &cell};
    const weft_submit_options options = {.free_value = test_cell_free_value};
    weft_future *job = weft_submit_with(executor, test_cell_run, &cell, &options);
    weft_future *again = weft_future_retain(job);
    void *one = NULL, *two = NULL;
    assert_int_equal(weft_future_get(job, &one), 0);
    assert_int_equal(weft_future_get(again, &two), 0);
    assert_ptr_equal(one, &cell);
    assert_ptr_equal(two, &cell);
    assert_ok(job, &cell);
    assert_ok(job, &cell);
    weft_future_release(job);
    assert_int_equal(test_get(cell.value_freed), 0);
    assert_ok(again, &cell);
    weft_future_release(again);
    assert_true(test_until_counters(0, 0, 0));
    assert_int_equal(test_get(cell.value_freed), 1);
    test_destroy(executor);
    assert_int_equal(test_get(cell.value_freed), 1);
}

static _Atomic(unsigned) nulls_freed, others_freed;

static void count_null(void *value)
{
    atomic_fetch_add_explicit(value == NULL ? &nulls_freed : &others_freed, 1, memory_order_acq_rel);
}

static void test_res_01_null_is_a_value_like_any_other(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    const weft_submit_options options = {.free_value = count_null};
    unsigned before = test_get(nulls_freed);
    weft_future *job = weft_submit_with(executor, test_job_return_arg, NULL, &options);
    void *value = &value;
    assert_int_equal(weft_future_get(job, &value), 0);
    assert_null(value);
    assert_ok(job, NULL);
    weft_future_release(job);
    assert_true(test_until_counters(0, 0, 0));
    assert_int_equal(test_get(nulls_freed), before + 1);
    value = &value;
    job = weft_submit_with(executor, test_job_return_arg, NULL, &options);
    assert_int_equal(weft_await(job, &value), 0);
    assert_null(value);
    test_destroy(executor);
    assert_int_equal(test_get(nulls_freed), before + 1);
    assert_int_equal(test_get(others_freed), 0);
}

static void test_res_01_without_a_destructor_nothing_is_freed(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    char *block = malloc(16);
    assert_non_null(block);
    strcpy(block, "still here");
    weft_future *job = weft_submit(executor, test_job_return_arg, block);
    weft_promise *promise = weft_promise_create(executor);
    assert_int_equal(weft_promise_resolve(promise, block, NULL), 0);
    weft_promise_destroy(promise);
    assert_done_soon(job);
    weft_future_release(job);
    test_destroy(executor);
    assert_string_equal(block, "still here");
    free(block);
}

static void test_res_01_a_promised_value_is_destroyed_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell seen = {.code = 0}, unseen = {.code = 0};
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    assert_int_equal(weft_promise_resolve(promise, &seen, test_cell_free_value), 0);
    weft_future_release(future);
    assert_int_equal(test_get(seen.value_freed), 0);
    weft_promise_destroy(promise);
    promise = weft_promise_create(executor);
    assert_int_equal(weft_promise_resolve(promise, &unseen, test_cell_free_value), 0);
    weft_promise_destroy(promise);
    test_destroy(executor);
    assert_int_equal(test_get(seen.value_freed), 1);
    assert_int_equal(test_get(unseen.value_freed), 1);
}

static void test_res_01_await_for_no_value_leaves_it_to_the_others(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    test_cell cell = {.value = &cell};
    const weft_submit_options options = {.free_value = test_cell_free_value};
    weft_future *job = weft_submit_with(executor, test_cell_run, &cell, &options);
    weft_future *other = weft_future_retain(job);
    assert_int_equal(weft_await(job, NULL), 0);
    assert_int_equal(test_get(cell.value_freed), 0);
    assert_ok(other, &cell);
    assert_int_equal(weft_await(other, NULL), 0);
    assert_true(test_until_counters(0, 0, 0));
    assert_int_equal(test_get(cell.value_freed), 1);
    test_destroy(executor);
}

/* A value that a job returns after every handle to it is gone has nobody but the library to destroy it. */
static void test_res_01_a_detached_job_has_its_value_destroyed(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    test_cell cell = {.value = &cell, .gate = test_gate_make()};
    const weft_submit_options options = {.free_value = test_cell_free_value, .free_arg = test_cell_free_arg};
    weft_future *job = weft_submit_with(executor, test_cell_run, &cell, &options);
    test_gate_await(cell.gate, 1);
    weft_future_release(job);
    test_gate_open(cell.gate);
    assert_true(test_until_counters(0, 0, 0));
    test_destroy(executor);
    assert_int_equal(test_get(cell.returned), 1);
    assert_int_equal(test_get(cell.arg_freed), 1);
    assert_int_equal(test_get(cell.value_freed), 1);
}

/* RES-02 */

static void *fail_beside_a_value(void *arg)
{
    test_cell *cell = arg;
    atomic_fetch_add_explicit(&cell->ran, 1, memory_order_acq_rel);
    TEST_EXPECT(weft_fail(cell->code) == NULL);
    return cell->value;
}

static void check_failed_value(weft_executor *executor, int code, void (*free_value)(void *), bool value)
{
    test_cell cell = {.code = code};
    cell.value = value ? &cell : NULL;
    const weft_submit_options options = {.free_value = free_value};
    weft_future *job = weft_submit_with(executor, fail_beside_a_value, &cell, &options);
    assert_done_soon(job);
    assert_int_equal(test_get(cell.value_freed), value && free_value == test_cell_free_value ? 1 : 0);
    if (code > 0) {
        assert_err(job, code);
    } else {
        assert_cancelled(job, WEFT_REASON_SELF);
    }
    void *none = NULL;
    assert_int_equal(weft_future_take(job, &none), code);
    assert_null(none);
    weft_future_release(job);
    assert_true(test_until_counters(0, 0, 0));
    assert_int_equal(test_get(cell.value_freed), value && free_value == test_cell_free_value ? 1 : 0);
    assert_int_equal(test_get(cell.ran), 1);
}

static void test_res_02_a_value_beside_a_failure_is_destroyed_before_done(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    unsigned nulls = test_get(nulls_freed);
    for (unsigned i = 0; i < test_rounds(200); i++) {
        check_failed_value(executor, 7, test_cell_free_value, true);
        check_failed_value(executor, -ECANCELED, test_cell_free_value, true);
    }
    check_failed_value(executor, 7, NULL, true);
    check_failed_value(executor, 7, count_null, false);
    check_failed_value(executor, -ECANCELED, count_null, false);
    test_destroy(executor);
    assert_int_equal(test_get(nulls_freed), nulls);
}

/* RES-03 */

static void test_res_03_take_moves_the_value_out_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    test_cell cell = {.value = &cell};
    const weft_submit_options options = {.free_value = test_cell_free_value};
    weft_future *job = weft_submit_with(executor, test_cell_run, &cell, &options);
    void *value = NULL;
    assert_int_equal(weft_future_take(job, &value), 0);
    assert_ptr_equal(value, &cell);
    value = executor;
    assert_int_equal(weft_future_take(job, &value), -ENODATA);
    assert_int_equal(weft_future_get(job, &value), -ENODATA);
    assert_int_equal(weft_await(job, &value), -ENODATA);
    assert_int_equal(weft_future_wait(job, 0), 0);
    assert_int_equal(weft_future_state(job), WEFT_SUCCEEDED);
    assert_ok(job, NULL);
    assert_int_equal(weft_await(job, NULL), 0);
    test_destroy(executor);
    assert_int_equal(test_get(cell.value_freed), 0);
}

static void test_res_03_a_promised_value_can_be_taken_too(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell cell = {.code = 0};
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    assert_int_equal(weft_promise_resolve(promise, &cell, test_cell_free_value), 0);
    void *value = NULL;
    assert_int_equal(weft_future_take(future, &value), 0);
    assert_ptr_equal(value, &cell);
    assert_int_equal(weft_future_take(future, &value), -ENODATA);
    weft_promise_destroy(promise);
    weft_future_release(future);
    test_destroy(executor);
    assert_int_equal(test_get(cell.value_freed), 0);
}

static void test_res_03_take_waits_for_the_value(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    weft_future *job = weft_submit(executor, test_job_return_arg, future);
    void *value = NULL;
    assert_int_equal(weft_future_take(job, &value), 0);
    assert_ptr_equal(value, future);
    weft_future_release(job);
    assert_int_equal(weft_promise_reject(promise, -ECANCELED), 0);
    assert_int_equal(weft_future_take(future, &value), -ECANCELED);
    assert_int_equal(weft_future_take(future, &value), -ECANCELED);
    weft_promise_destroy(promise);
    weft_future_release(future);
    test_destroy(executor);
}

struct taking {
    test_barrier *start;
    weft_future *future;
    unsigned rounds;
    _Atomic(unsigned) taken, refused;
};

static void *take_often(void *arg)
{
    struct taking *taking = arg;
    for (unsigned i = 0; i < taking->rounds; i++) {
        test_barrier_meet(taking->start);
        void *value = NULL;
        int answer = weft_future_take(taking->future, &value);
        TEST_EXPECT(answer == 0 || answer == -ENODATA);
        TEST_EXPECT((value == taking) == (answer == 0));
        atomic_fetch_add_explicit(answer == 0 ? &taking->taken : &taking->refused, 1, memory_order_acq_rel);
        weft_future_release(taking->future);
        test_barrier_meet(taking->start);
    }
    return NULL;
}

static void test_res_03_race_of_takers_has_one_winner(void **state)
{
    (void)state;
    enum { TAKERS = 4 };
    weft_executor *executor = test_executor(0);
    struct taking taking = {.start = test_barrier_make(TAKERS + 1), .rounds = test_rounds(1000)};
    const weft_submit_options options = {.free_value = count_null};
    unsigned nulls = test_get(nulls_freed), others = test_get(others_freed);
    pthread_t threads[TAKERS];
    for (int i = 0; i < TAKERS; i++) {
        threads[i] = test_spawn(take_often, &taking);
    }
    for (unsigned i = 0; i < taking.rounds; i++) {
        taking.future = weft_submit_with(executor, test_job_return_arg, &taking, &options);
        for (int j = 1; j < TAKERS; j++) {
            weft_future_retain(taking.future);
        }
        test_barrier_meet(taking.start);
        test_barrier_meet(taking.start);
        assert_int_equal(test_get(taking.taken), i + 1);
    }
    for (int i = 0; i < TAKERS; i++) {
        test_join(threads[i]);
    }
    assert_int_equal(test_get(taking.refused), taking.rounds * (TAKERS - 1));
    test_destroy(executor);
    assert_int_equal(test_get(nulls_freed), nulls);
    assert_int_equal(test_get(others_freed), others);
}

static void test_res_03_a_lent_value_with_a_destructor_cannot_be_taken(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    test_cell owned = {.value = &owned}, plain = {.value = &plain};
    const weft_submit_options options = {.free_value = test_cell_free_value};
    weft_future *inputs[] = {weft_submit_with(executor, test_cell_run, &owned, &options),
                             weft_submit(executor, test_cell_run, &plain)};
    weft_future *gather = weft_gather(executor, inputs, 2, WEFT_SETTLED);
    void *value = NULL;
    assert_done_soon(gather);
    assert_int_equal(weft_future_take(inputs[0], &value), -EBUSY);
    assert_int_equal(weft_await(inputs[0], &value), -EBUSY);
    assert_int_equal(weft_future_take(inputs[1], &value), 0);
    assert_ptr_equal(value, &plain);
    assert_int_equal(weft_future_get(inputs[0], &value), 0);
    assert_ptr_equal(value, &owned);
    weft_future_release(gather);
    assert_true(test_until_counters(2, 0, 0));
    assert_int_equal(weft_await(inputs[0], &value), 0);
    assert_ptr_equal(value, &owned);
    weft_future_release(inputs[1]);
    test_destroy(executor);
    assert_int_equal(test_get(owned.value_freed), 0);
}

/* RES-05 */

static void test_res_05_the_argument_is_freed_once_and_before_done(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    const weft_submit_options options = {.free_arg = test_cell_free_arg};
    for (unsigned i = 0; i < test_rounds(300); i++) {
        test_cell ok = {.value = &ok}, bad = {.code = 3}, discarded = {.code = 0};
        test_gate *blocker = test_block(executor, 1);
        weft_future *one = weft_submit_with(executor, test_cell_run, &ok, &options);
        weft_future *two = weft_submit_with(executor, test_cell_run, &bad, &options);
        weft_future *three = weft_submit_with(executor, test_cell_run, &discarded, &options);
        assert_int_equal(weft_cancel(three), WEFT_CANCEL_DONE);
        assert_int_equal(test_get(discarded.arg_freed), 1);
        assert_cancelled(three, WEFT_REASON_USER);
        test_unblock(blocker);
        assert_done_soon(one);
        assert_int_equal(test_get(ok.arg_freed), 1);
        assert_true(test_get(ok.freed_after_return));
        assert_done_soon(two);
        assert_int_equal(test_get(bad.arg_freed), 1);
        assert_err(two, 3);
        weft_future_release(one);
        weft_future_release(two);
        weft_future_release(three);
        assert_true(test_until_counters(0, 0, 0));
        assert_int_equal(test_get(discarded.ran), 0);
        assert_int_equal(test_get(ok.arg_freed) + test_get(bad.arg_freed) + test_get(discarded.arg_freed), 3);
    }
    test_destroy(executor);
}

static void test_res_05_a_null_argument_is_freed_too(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    const weft_submit_options options = {.free_arg = count_null};
    unsigned nulls = test_get(nulls_freed);
    assert_int_equal(weft_await(weft_submit_with(executor, test_job_return_arg, NULL, &options), NULL), 0);
    assert_int_equal(test_get(nulls_freed), nulls + 1);
    test_destroy(executor);
}

/* Cancel arrives while the job is about to start, is running, or has ended. The answer must agree with what happened,
 * and the argument goes once, whoever let it go. */
static void test_res_05_race_of_cancel_with_the_start(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    const weft_submit_options options = {.free_arg = test_cell_free_arg, .free_value = test_cell_free_value};
    for (unsigned i = 0; i < test_rounds(5000); i++) {
        test_cell cell = {.value = &cell};
        weft_future *job = weft_submit_with(executor, test_cell_run, &cell, &options);
        for (volatile unsigned spin = 0; spin < (i % 64) * 16; spin++) {
        }
        weft_cancel_effect effect = weft_cancel(job);
        if (effect == WEFT_CANCEL_DONE) {
            assert_cancelled(job, WEFT_REASON_USER);
            assert_int_equal(test_get(cell.ran), 0);
        } else {
            assert_true(effect == WEFT_CANCEL_REQUESTED || effect == WEFT_CANCEL_TOO_LATE);
            assert_done_soon(job);
            assert_ok(job, &cell);
            assert_int_equal(test_get(cell.ran), 1);
        }
        assert_int_equal(test_get(cell.arg_freed), 1);
        assert_int_equal(weft_cancel(job), WEFT_CANCEL_TOO_LATE);
        weft_future_release(job);
        assert_true(test_until_counters(0, 0, 0));
        assert_int_equal(test_get(cell.arg_freed), 1);
        assert_int_equal(test_get(cell.value_freed), effect == WEFT_CANCEL_DONE ? 0 : 1);
    }
    test_destroy(executor);
}

struct parcel {
    _Alignas(max_align_t) char text[200];
};

static void *check_parcel(void *arg)
{
    const struct parcel *parcel = arg;
    TEST_EXPECT((uintptr_t)arg % _Alignof(max_align_t) == 0);
    TEST_EXPECT(strcmp(parcel->text, "as it was") == 0);
    return NULL;
}

static void test_res_05_submit_copy_keeps_its_own_copy(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *blocker = test_block(executor, 1);
    struct parcel parcel = {"as it was"};
    weft_future *run = weft_submit_copy(executor, check_parcel, &parcel, sizeof parcel);
    weft_future *gone = weft_submit_copy(executor, check_parcel, &parcel, sizeof parcel);
    weft_future *empty = weft_submit_copy(executor, test_job_return_arg, NULL, 0);
    assert_non_null(run);
    assert_non_null(gone);
    assert_non_null(empty);
    memset(&parcel, 'x', sizeof parcel);
    assert_int_equal(weft_cancel(gone), WEFT_CANCEL_DONE);
    test_unblock(blocker);
    assert_int_equal(weft_await(run, NULL), 0);
    assert_int_equal(weft_await(gone, NULL), -ECANCELED);
    assert_int_equal(weft_await(empty, NULL), 0);
    test_destroy(executor);
}

/* I10: plain memory, written on one side and read on the other; ThreadSanitizer is the judge, the values the
 * witness. */

static void *double_it(void *arg)
{
    int *number = arg;
    *number *= 2;
    return number;
}

static void test_fut_i10_writes_are_visible_by_any_way_of_seeing_done(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (int i = 0; i < (int)test_rounds(500); i++) {
        int number = i;
        weft_future *job = weft_submit(executor, double_it, &number);
        weft_outcome outcome;
        switch (i % 6) {
        case 0:
            while (!weft_future_done(job)) {
            }
            break;
        case 1:
            while (weft_future_state(job) != WEFT_SUCCEEDED) {
            }
            break;
        case 2:
            while (weft_future_outcome(job, &outcome) != 0) {
            }
            break;
        case 3:
            assert_int_equal(weft_future_wait(job, test_patience()), 0);
            break;
        case 4:
            while (weft_future_wait(job, 0) != 0) {
            }
            break;
        default:
            assert_int_equal(weft_wait(&job, 1, WEFT_ALL_COMPLETED, WEFT_FOREVER, NULL), 0);
            break;
        }
        assert_int_equal(number, 2 * i);
        weft_future_release(job);
    }
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest result[] = {
        TEST(test_fut_07_job_codes_are_not_mistaken_for_the_calls_own),
        TEST(test_fut_07_any_other_code_of_a_job_is_einval),
        TEST(test_fut_07_a_failure_stays_with_its_own_job),
        TEST(test_res_01_reads_lend_and_the_last_reference_destroys),
        TEST(test_res_01_null_is_a_value_like_any_other),
        TEST(test_res_01_without_a_destructor_nothing_is_freed),
        TEST(test_res_01_a_promised_value_is_destroyed_once),
        TEST(test_res_01_await_for_no_value_leaves_it_to_the_others),
        TEST(test_res_01_a_detached_job_has_its_value_destroyed),
        TEST(test_res_02_a_value_beside_a_failure_is_destroyed_before_done),
        TEST(test_res_03_take_moves_the_value_out_once),
        TEST(test_res_03_a_promised_value_can_be_taken_too),
        TEST(test_res_03_take_waits_for_the_value),
        TEST(test_res_03_race_of_takers_has_one_winner),
        TEST(test_res_03_a_lent_value_with_a_destructor_cannot_be_taken),
        TEST(test_res_05_the_argument_is_freed_once_and_before_done),
        TEST(test_res_05_a_null_argument_is_freed_too),
        TEST(test_res_05_race_of_cancel_with_the_start),
        TEST(test_res_05_submit_copy_keeps_its_own_copy),
        TEST(test_fut_i10_writes_are_visible_by_any_way_of_seeing_done),
    };
    return cmocka_run_group_tests(result, NULL, NULL);
}
