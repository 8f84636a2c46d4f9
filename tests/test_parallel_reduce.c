/* test_parallel_reduce.c: reductions: order, the tree that only the range decides, accumulators, failures.
 *
 * Discipline. The oracles are accumulators that know what they have collected: an interval that must be extended at its
 * upper end and combined with its neighbour, or a fingerprint of all calls in their order. Which thread does what is
 * left to chance, and the tests hold for each schedule. */
#include "loops.h"

#include <stdalign.h>

/* Intervals: combine is not commutative, and notices what is out of order. */

typedef struct interval {
    size_t begin, end; /* end 0: empty */
    uint64_t sum;
} interval;

typedef struct counted {
    size_t begin, end, grain, size;
    weft_executor *executor;        /* pieces expect to run in its jobs */
    size_t fail_at;                 /* element; SIZE_MAX: none */
    size_t fail_combine_at;         /* combine of what ends there; 0: none */
    _Atomic(weft_future *) cancels; /* by a piece; NULL: nothing */
    _Atomic(size_t) calls, combines, odd;
    _Atomic(size_t) highest; /* end of the highest piece */
} counted;

static counted counted_make(weft_executor *executor, size_t begin, size_t end, size_t grain)
{
    return (counted){.begin = begin,
                     .end = end,
                     .grain = grain,
                     .size = sizeof(interval),
                     .executor = executor,
                     .fail_at = SIZE_MAX};
}

static void odd_unless(counted *c, bool holds)
{
    if (!holds) {
        atomic_fetch_add_explicit(&c->odd, 1, memory_order_relaxed);
    }
}

static void add_interval(size_t begin, size_t end, void *accumulator, void *data)
{
    counted *c = data;
    interval *into = accumulator;
    atomic_fetch_add_explicit(&c->calls, 1, memory_order_relaxed);
    odd_unless(c, begin < end && begin >= c->begin && end <= c->end);
    odd_unless(c, c->grain == 0 || ((begin - c->begin) % c->grain == 0 && (end - begin == c->grain || end == c->end)));
    odd_unless(c, into->end == 0 || into->end == begin);
    odd_unless(c, (uintptr_t)accumulator % alignof(max_align_t) == 0);
    odd_unless(c, weft_executor_current() == c->executor);
    if (test_get(c->cancels)) {
        weft_cancel(test_get(c->cancels));
    }
    into->begin = into->end ? into->begin : begin;
    into->end = end;
    for (size_t i = begin; i < end; i++) {
        into->sum += i - c->begin;
        if (i == c->fail_at) {
            weft_fail(7);
            return;
        }
    }
}

static void join_intervals(void *into, const void *from, void *data)
{
    counted *c = data;
    interval *a = into;
    const interval *b = from;
    atomic_fetch_add_explicit(&c->combines, 1, memory_order_relaxed);
    odd_unless(c, a->end == b->begin && a->end > a->begin && b->end > b->begin);
    a->end = b->end;
    a->sum += b->sum;
    if (a->end == c->fail_combine_at) {
        weft_fail(8);
    }
}

static int reduce_counted(counted *c, void *result)
{
    void *identity = calloc(1, c->size);
    assert_non_null(identity);
    int code = weft_parallel_reduce(c->executor, c->begin, c->end, c->grain, c->size, identity, add_interval,
                                    join_intervals, c, result);
    free(identity);
    return code;
}

static uint64_t sum_below(size_t n)
{
    return n % 2 ? (uint64_t)n * ((n - 1) / 2) : (uint64_t)(n / 2) * (n - 1);
}

static void assert_reduced(counted *c)
{
    char room[1024] = {0};
    interval all;
    assert_true(c->size <= sizeof room);
    assert_int_equal(reduce_counted(c, room), 0);
    memcpy(&all, room, sizeof all);
    assert_int_equal(all.begin, c->begin);
    assert_int_equal(all.end, c->end);
    assert_int_equal(all.sum, sum_below(c->end - c->begin));
    assert_int_equal(test_get(c->odd), 0);
}

static void reduces_each(unsigned workers, size_t base)
{
    static const size_t sizes[] = {1, 2, 3, 511, 512, 513, 1000, 20011}, grains[] = {0, 1, 3, 64, 5000, SIZE_MAX};
    weft_executor *executor = test_executor(workers);
    for (size_t i = 0; i < 8 * 6; i++) {
        size_t n = sizes[i % 8];
        counted c = counted_make(executor, base, base + n, grains[i / 8]);
        c.size = i % 3 == 0 ? 300 : sizeof(interval);
        assert_reduced(&c);
        if (c.grain) {
            assert_int_equal(test_get(c.calls), (n - 1) / c.grain + 1);
        }
        assert_true(test_get(c.combines) < 512 && test_get(c.combines) < test_get(c.calls));
    }
    test_destroy(executor);
}

static void test_in_order_one_worker(void **state)
{
    (void)state;
    reduces_each(1, 0);
}

static void test_in_order_two_workers(void **state)
{
    (void)state;
    reduces_each(2, 17);
}

static void test_in_order_eight_workers(void **state)
{
    (void)state;
    reduces_each(8, 0);
}

static void test_in_order_64_workers(void **state)
{
    (void)state;
    reduces_each(64, 4096);
}

static void test_up_to_the_largest_index(void **state)
{
    (void)state;
    reduces_each(test_workers(), SIZE_MAX - 20011);
}

static void count_wide(size_t begin, size_t end, void *accumulator, void *data)
{
    (void)data;
    *(size_t *)accumulator += end - begin;
}

static void add_sizes(void *into, const void *from, void *data)
{
    (void)data;
    *(size_t *)into += *(const size_t *)from;
}

static void test_the_whole_of_size_t(void **state)
{
    (void)state;
    static const size_t grains[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1, SIZE_MAX / 2, SIZE_MAX / 1000, 1 << 30};
    weft_executor *executor = test_executor(0);
    for (int i = 0; i < 5; i++) {
        size_t zero = 0, sum = 1;
        assert_int_equal(weft_parallel_reduce(executor, 0, SIZE_MAX, grains[i], sizeof sum, &zero, count_wide,
                                              add_sizes, NULL, &sum),
                         0);
        assert_true(sum == SIZE_MAX);
    }
    test_destroy(executor);
}

/* The same tree, whoever does what. */

enum { TERMS = 10007 };

static void add_terms(size_t begin, size_t end, void *accumulator, void *data)
{
    const double *terms = data;
    double *sum = accumulator;
    for (size_t i = begin; i < end; i++) {
        *sum += terms[i];
    }
}

static void add_sums(void *into, const void *from, void *data)
{
    (void)data;
    *(double *)into += *(const double *)from;
}

static double *terms_make(void)
{
    static double terms[TERMS];
    uint64_t random = 12345;
    for (size_t i = 0; i < TERMS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        double magnitude = (double)(UINT64_C(1) << (random >> 59));
        terms[i] = ((double)(random >> 32) - 2147483648.0) * magnitude;
    }
    return terms;
}

typedef struct sum_call {
    weft_executor *executor;
    size_t grain;
    double *terms;
    double sum;
} sum_call;

static void *sum_job(void *argument)
{
    sum_call *call = argument;
    double zero = 0;
    TEST_EXPECT(weft_parallel_reduce(call->executor, 0, TERMS, call->grain, sizeof zero, &zero, add_terms, add_sums,
                                     call->terms, &call->sum) == 0);
    return NULL;
}

static void test_sums_are_the_same_bit_for_bit(void **state)
{
    (void)state;
    static const unsigned workers[] = {1, 2, 3, 8, 64};
    static const size_t grains[] = {0, 1, 7, 1000};
    double *terms = terms_make(), first[4] = {0}, serial = 0;
    bool differs = false;
    for (size_t i = 0; i < TERMS; i++) {
        serial += terms[i];
    }
    for (unsigned w = 0; w < 5; w++) {
        weft_executor *executor = test_executor(workers[w]);
        for (unsigned i = 0; i < 4 * test_rounds(10); i++) {
            sum_call call = {executor, grains[i % 4], terms, 0};
            if (i / 4 % 2) {
                sum_job(&call);
            } else {
                assert_int_equal(weft_await(weft_submit(executor, sum_job, &call), NULL), 0);
            }
            if (w == 0 && i < 4) {
                first[i] = call.sum;
                differs = differs || memcmp(&serial, &call.sum, sizeof serial) != 0;
            }
            assert_memory_equal(&first[i % 4], &call.sum, sizeof call.sum);
        }
        test_destroy(executor);
    }
    assert_true(differs); /* else the terms would show nothing */
}

/* A fingerprint of the calls: it tells apart any two trees and any two ways to cut the range. */
typedef struct print {
    uint64_t hash;
    size_t pieces;
    char filler[400];
} print;

static uint64_t mix(uint64_t hash, uint64_t with)
{
    hash = (hash ^ with) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static void print_piece(size_t begin, size_t end, void *accumulator, void *data)
{
    print *p = accumulator;
    (void)data;
    p->hash = mix(mix(p->hash, begin), end + 1);
    p->pieces++;
}

static void print_both(void *into, const void *from, void *data)
{
    print *a = into;
    const print *b = from;
    (void)data;
    a->hash = mix(mix(a->hash, UINT64_C(0xC0B1)), b->hash);
    a->pieces += b->pieces;
}

static void same_tree(size_t n, size_t grain, size_t size)
{
    static const unsigned workers[] = {1, 2, 8};
    uint64_t first = 0;
    for (unsigned w = 0; w < 3; w++) {
        weft_executor *executor = test_executor(workers[w]);
        for (unsigned round = 0; round < test_rounds(5); round++) {
            print none = {.hash = 1}, all = none;
            assert_int_equal(
                weft_parallel_reduce(executor, 3, 3 + n, grain, size, &none, print_piece, print_both, NULL, &all), 0);
            first = first ? first : all.hash;
            assert_int_equal(all.hash, first);
            assert_int_equal(all.pieces, grain ? (n - 1) / grain + 1 : all.pieces);
        }
        test_destroy(executor);
    }
}

static void test_the_tree_is_the_same_each_time(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 100, 512, 513, 1025, 50000, 3000000}, grains[] = {0, 1, 33};
    for (int i = 0; i < 8 * 3; i++) {
        if (sizes[i % 8] < 100000 || i / 8 == 0) {
            same_tree(sizes[i % 8], grains[i / 8], i % 2 ? sizeof(print) : offsetof(print, filler));
        }
    }
}

/* Affine maps modulo 2^64 under composition: neither order nor neighbours may be exchanged. */
typedef struct affine {
    uint64_t a, b;
} affine;

static affine affine_of(size_t i)
{
    return (affine){2 * (uint64_t)i + 3, (uint64_t)i * i + 1};
}

static affine then(affine first, affine second)
{
    return (affine){first.a * second.a, first.b * second.a + second.b};
}

static void apply(size_t begin, size_t end, void *accumulator, void *data)
{
    affine *map = accumulator;
    (void)data;
    for (size_t i = begin; i < end; i++) {
        *map = then(*map, affine_of(i));
    }
}

static void compose(void *into, const void *from, void *data)
{
    (void)data;
    *(affine *)into = then(*(affine *)into, *(const affine *)from);
}

static void test_what_does_not_commute(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(8);
    affine one = {1, 0}, serial = one;
    for (size_t n = 1; n < 3000; n += 1 + n / 3) {
        serial = one;
        apply(0, n, &serial, NULL);
        for (size_t grain = 0; grain < 6; grain++) {
            affine all = {0, 0};
            assert_int_equal(weft_parallel_reduce(executor, 0, n, grain, sizeof all, &one, apply, compose, NULL, &all),
                             0);
            assert_memory_equal(&all, &serial, sizeof all);
        }
    }
    test_destroy(executor);
}

/* Accumulators. */

static void accumulators_of(size_t size, size_t most)
{
    weft_executor *executor = test_executor(0);
    char *result = calloc(1, size);
    assert_non_null(result);
    counted c = counted_make(executor, 0, 5000, 1);
    c.size = size;
    assert_int_equal(reduce_counted(&c, result), 0);
    assert_int_equal(((interval *)(void *)result)->sum, sum_below(5000));
    assert_int_equal(test_get(c.odd), 0);
    assert_int_equal(test_get(c.calls), 5000);
    assert_true(test_get(c.combines) < most);
    assert_true(test_get(c.combines) >= most / 2);
    free(result);
    test_destroy(executor);
}

static void test_sizes_of_accumulators(void **state)
{
    (void)state;
    accumulators_of(sizeof(interval), 512);
    accumulators_of(256, 512);
    accumulators_of(257, 512);
    accumulators_of(8192, 512);
    accumulators_of(65536, 64);
    accumulators_of(1000000, 16);
}

static void count_bytes(size_t begin, size_t end, void *accumulator, void *data)
{
    (void)data;
    *(unsigned char *)accumulator = (unsigned char)(*(unsigned char *)accumulator + (end - begin));
}

static void add_bytes(void *into, const void *from, void *data)
{
    (void)data;
    *(unsigned char *)into = (unsigned char)(*(unsigned char *)into + *(const unsigned char *)from);
}

static void test_one_byte_and_nothing_beside_it(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    unsigned char zero = 0, result[3] = {1, 2, 3};
    assert_int_equal(weft_parallel_reduce(executor, 0, 1000, 0, 1, &zero, count_bytes, add_bytes, NULL, &result[1]), 0);
    assert_int_equal(result[0], 1);
    assert_int_equal(result[1], 1000 % 256);
    assert_int_equal(result[2], 3);
    test_destroy(executor);
}

static void test_the_result_may_be_the_identity(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    size_t both = 0;
    assert_int_equal(
        weft_parallel_reduce(executor, 0, 12345, 10, sizeof both, &both, count_wide, add_sizes, NULL, &both), 0);
    assert_int_equal(both, 12345);
    test_destroy(executor);
}

/* What it answers. */

static void test_an_empty_range_gives_the_identity(void **state)
{
    (void)state;
    size_t identity = 42, result = 0;
    assert_int_equal(
        weft_parallel_reduce(NULL, 9, 9, 0, sizeof result, &identity, count_wide, add_sizes, NULL, &result), 0);
    assert_int_equal(result, 42);
}

static void test_bad_input(void **state)
{
    (void)state;
    weft_executor *e = test_executor(1);
    size_t zero = 0, r = 5;
    assert_int_equal(weft_parallel_reduce(e, 2, 1, 0, 8, &zero, count_wide, add_sizes, NULL, &r), -EINVAL);
    assert_int_equal(weft_parallel_reduce(e, 0, 1, 0, 0, &zero, count_wide, add_sizes, NULL, &r), -EINVAL);
    assert_int_equal(weft_parallel_reduce(e, 0, 1, 0, 8, NULL, count_wide, add_sizes, NULL, &r), -EINVAL);
    assert_int_equal(weft_parallel_reduce(e, 0, 1, 0, 8, &zero, NULL, add_sizes, NULL, &r), -EINVAL);
    assert_int_equal(weft_parallel_reduce(e, 0, 1, 0, 8, &zero, count_wide, NULL, NULL, &r), -EINVAL);
    assert_int_equal(weft_parallel_reduce(e, 0, 1, 0, 8, &zero, count_wide, add_sizes, NULL, NULL), -EINVAL);
    assert_int_equal(weft_parallel_reduce(e, 1, 1, 0, 0, &zero, count_wide, add_sizes, NULL, &r), -EINVAL);
    assert_int_equal(r, 5);
    assert_int_equal(weft_executor_shutdown(e, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(weft_parallel_reduce(e, 0, 1, 0, 8, &zero, count_wide, add_sizes, NULL, &r), -ESHUTDOWN);
    assert_int_equal(r, 5);
    test_destroy(e);
}

static void test_accumulators_beyond_all_memory(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    size_t zero = 0, result = 5;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 512 + 1};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            weft_parallel_reduce(executor, 0, 512, 0, sizes[i], &zero, count_wide, add_sizes, NULL, &result), -ENOMEM);
    }
    assert_int_equal(result, 5);
    test_destroy(executor);
}

static void test_a_failed_piece(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 8; workers *= 2) {
        weft_executor *executor = test_executor(workers);
        for (size_t i = 0; i < test_rounds(60); i++) {
            interval result = {1, 2, 3};
            counted c = counted_make(executor, 0, 2000, i % 4);
            c.fail_at = i * 37 % 2000;
            assert_int_equal(reduce_counted(&c, &result), 7);
            assert_true(result.begin == 1 && result.end == 2 && result.sum == 3);
            assert_int_equal(test_get(c.odd), 0);
            assert_true(test_get(c.calls) >= (c.grain ? c.fail_at / c.grain + 1 : 1));
        }
        test_destroy(executor);
    }
}

static void test_a_failed_combine(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 8; workers *= 2) {
        weft_executor *executor = test_executor(workers);
        for (size_t i = 0; i < test_rounds(60); i++) {
            interval result = {1, 2, 3};
            counted c = counted_make(executor, 0, 512, 1);
            c.fail_combine_at = 2 + i * 74 % 510;
            assert_int_equal(reduce_counted(&c, &result), 8);
            assert_true(result.begin == 1 && result.end == 2 && result.sum == 3);
            assert_int_equal(test_get(c.odd), 0);
            assert_true(test_get(c.calls) >= c.fail_combine_at);
        }
        test_destroy(executor);
    }
}

typedef struct reduce_call {
    counted *c;
    test_gate *gate;
    interval result;
    int code;
} reduce_call;

static void *reduce_job(void *argument)
{
    reduce_call *call = argument;
    interval none = {0, 0, 0};
    test_gate_pass(call->gate);
    counted *c = call->c;
    call->code = weft_parallel_reduce(c->executor, c->begin, c->end, c->grain, sizeof none, &none, add_interval,
                                      join_intervals, c, &call->result);
    return NULL;
}

static void test_cancelled_in_a_piece(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    counted c = counted_make(executor, 0, 5000, 7);
    reduce_call call = {&c, test_gate_make(), {1, 2, 3}, 1};
    weft_future *future = weft_submit(executor, reduce_job, &call);
    atomic_store_explicit(&c.cancels, future, memory_order_release);
    test_gate_open(call.gate);
    assert_int_equal(weft_await(future, NULL), 0);
    assert_int_equal(call.code, -ECANCELED);
    assert_int_equal(test_get(c.calls), 1);
    assert_int_equal(call.result.sum, 3);
    test_destroy(executor);
}

/* A reduction in each piece of a loop. */
typedef struct rows {
    weft_executor *executor;
    _Atomic(uint64_t) sum;
} rows;

static void reduce_rows(size_t begin, size_t end, void *data)
{
    rows *r = data;
    for (size_t i = begin; i < end; i++) {
        size_t zero = 0, sum = 0;
        TEST_EXPECT(
            weft_parallel_reduce(r->executor, 0, i, i % 3, sizeof sum, &zero, count_wide, add_sizes, NULL, &sum) == 0);
        atomic_fetch_add_explicit(&r->sum, sum, memory_order_relaxed);
    }
}

static void test_reductions_in_a_loop(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 8; workers *= 2) {
        rows r = {.executor = test_executor(workers)};
        assert_int_equal(weft_parallel_for(r.executor, 0, 200, workers % 4 / 2, reduce_rows, &r), 0);
        assert_int_equal(test_get(r.sum), sum_below(200));
        test_destroy(r.executor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_in_order_one_worker),
        TEST(test_in_order_two_workers),
        TEST(test_in_order_eight_workers),
        TEST(test_in_order_64_workers),
        TEST(test_up_to_the_largest_index),
        TEST(test_the_whole_of_size_t),
        TEST(test_sums_are_the_same_bit_for_bit),
        TEST(test_the_tree_is_the_same_each_time),
        TEST(test_what_does_not_commute),
        TEST(test_sizes_of_accumulators),
        TEST(test_one_byte_and_nothing_beside_it),
        TEST(test_the_result_may_be_the_identity),
        TEST(test_an_empty_range_gives_the_identity),
        TEST(test_bad_input),
        TEST(test_accumulators_beyond_all_memory),
        TEST(test_a_failed_piece),
        TEST(test_a_failed_combine),
        TEST(test_cancelled_in_a_piece),
        TEST(test_reductions_in_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
