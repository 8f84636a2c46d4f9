/* test_parallel_memory.c: parallel loops with each request for memory refused in turn (I14): a loop in a job asks for
 * none, one from outside for its job before anything is run, a reduction for its accumulators before that.
 *
 * Discipline. The program's allocator is refusing.h's; what is refused is said before the call by the thread that makes
 * it. A call that was refused must have run no piece, and must succeed when it is made again. */
#include "loops.h"
#include "refusing.h"

typedef struct attempt {
    weft_executor *executor;
    cover *c;
    size_t k; /* of the request to be refused; 0: all */
    int code;
    size_t refusals, requests;
} attempt;

static void *attempt_loop(void *argument)
{
    attempt *a = argument;
    size_t before = test_get(refuser.requests);
    refuse(a->k ? a->k : 1, a->k == 0);
    a->code = cover_run(a->executor, a->c);
    refuse_nothing();
    a->requests = test_get(refuser.requests) - before;
    a->refusals = test_get(refuser.refusals);
    return NULL;
}

static void test_a_loop_in_a_job_needs_no_memory(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        weft_executor *executor = test_executor(workers);
        for (size_t grain = 0; grain < 3; grain++) {
            attempt a = {.executor = executor, .c = cover_make(0, 2000, grain)};
            assert_int_equal(weft_await(weft_submit(executor, attempt_loop, &a), NULL), 0);
            assert_int_equal(a.code, 0);
            assert_covered(a.c);
            assert_true(workers > 1 || a.requests == 0); /* else a thread may have been wanted, to stand in for one */
            free(a.c);
        }
        test_destroy(executor);
    }
}

/* From the test's thread, or in a job of another executor, until nothing is refused any more. */
static void each_request(weft_executor *from)
{
    size_t refused = 0;
    attempt a = {.k = 0, .refusals = 1};
    while (a.refusals) {
        a.executor = test_executor(2);
        a.c = cover_make(0, 500, 3);
        a.k++;
        if (from) {
            assert_int_equal(weft_await(weft_submit(from, attempt_loop, &a), NULL), 0);
        } else {
            attempt_loop(&a);
        }
        if (a.code) {
            assert_true(a.code == -ENOMEM || (from && a.code == -EAGAIN));
            assert_int_equal(test_get(a.c->calls), 0);
            refused++;
            assert_int_equal(cover_run(a.executor, a.c), 0);
        }
        assert_covered(a.c);
        free(a.c);
        test_destroy(a.executor);
    }
    assert_true(refused > 0);
}

static void test_a_loop_from_outside(void **state)
{
    (void)state;
    each_request(NULL);
}

static void test_a_loop_from_a_job_of_another_executor(void **state)
{
    (void)state;
    weft_executor *here = test_executor(1);
    each_request(here);
    test_destroy(here);
}

enum { LARGE = 1000 };

static void count_large(size_t begin, size_t end, void *accumulator, void *calls)
{
    *(size_t *)accumulator += end - begin;
    atomic_fetch_add_explicit((_Atomic(size_t) *)calls, 1, memory_order_relaxed);
}

static void add_large(void *into, const void *from, void *data)
{
    (void)data;
    *(size_t *)into += *(const size_t *)from;
}

static void test_large_accumulators(void **state)
{
    (void)state;
    static size_t zero[LARGE], sum[LARGE];
    weft_executor *executor = test_executor(2);
    size_t refusals = 1;
    for (size_t k = 1; refusals; k++) {
        _Atomic(size_t) calls = 0;
        refuse(k, false);
        int code = weft_parallel_reduce(executor, 0, 5000, 0, sizeof sum, zero, count_large, add_large, &calls, sum);
        refuse_nothing();
        refusals = test_get(refuser.refusals);
        assert_int_equal(sum[0], code == 0 ? 5000 : 0);
        assert_true(code == 0 || (code == -ENOMEM && test_get(calls) == 0 && refusals > 0));
        assert_true(k > 1 || code == -ENOMEM);
    }
    test_destroy(executor);
}

static void test_small_accumulators_need_no_memory(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    size_t nothing = 0, sum = 0, before = 0;
    _Atomic(size_t) calls = 0;
    assert_int_equal(weft_parallel_reduce(executor, 0, 5000, 0, 8, &nothing, count_large, add_large, &calls, &sum), 0);
    before = test_get(refuser.requests);
    assert_int_equal(weft_parallel_reduce(executor, 0, 5000, 0, 8, &nothing, count_large, add_large, &calls, &sum), 0);
    assert_true(test_get(refuser.requests) - before <= 1); /* the job */
    assert_int_equal(sum, 5000);
    test_destroy(executor);
}

int main(void)
{
    heap_install();
    const struct CMUnitTest tests[] = {
        TEST(test_a_loop_in_a_job_needs_no_memory),       TEST(test_a_loop_from_outside),
        TEST(test_a_loop_from_a_job_of_another_executor), TEST(test_large_accumulators),
        TEST(test_small_accumulators_need_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
