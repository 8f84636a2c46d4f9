/* test_parallel_edges.c: parallel loops: what a failure, a request or a refusal leaves to others, and how a range is cut
 * where no grain was given.
 *
 * Discipline. Pieces that must be at work together meet at a barrier, and what a thread has done after its piece is read
 * from the executor's counters. Where the library alone decides who comes first, rounds are repeated with an oracle
 * that holds for each order. */
#include "loops.h"

/* Three threads are in a piece each. The lowest fails, then the highest, then the one between them goes on: with nothing,
 * as the lowest failure still counts. */

enum { TRIO = 3 };

typedef struct trio {
    weft_executor *executor;
    test_barrier *barrier;
    test_latch *failed;            /* by the highest, before it returns */
    _Atomic(unsigned) calls;       /* of pieces */
    _Atomic(size_t) begins[TRIO];  /* of the first pieces */
    _Atomic(unsigned) beyond_look; /* of who goes on last: passes time */
} trio;

static bool somebody_stands_in(void *executor)
{
    weft_stats stats;
    return weft_executor_stats(executor, &stats) == 0 && stats.spares > 0;
}

static size_t highest(trio *t)
{
    size_t top = 0;
    for (int i = 0; i < TRIO; i++) {
        top = test_get(t->begins[i]) > top ? test_get(t->begins[i]) : top;
    }
    return top;
}

static void fail_lowest_first(size_t begin, size_t end, void *data)
{
    trio *t = data;
    (void)end;
    unsigned call = atomic_fetch_add_explicit(&t->calls, 1, memory_order_relaxed);
    if (call >= TRIO) {
        return;
    }
    atomic_store_explicit(&t->begins[call], begin, memory_order_release);
    test_barrier_meet(t->barrier);
    if (begin == 0) {
        weft_fail(1);
    } else if (begin == highest(t)) {
        test_until(somebody_stands_in, t->executor); /* for the lowest one's thread, which has left its piece */
        weft_fail(2);
        test_latch_hit(t->failed);
    } else {
        test_latch_wait(t->failed, 1);
        for (int i = 0; i < 20000; i++) {
            test_get(t->beyond_look);
        }
    }
}

static void test_a_failure_above_the_lowest_opens_nothing(void **state)
{
    (void)state;
    for (unsigned round = 0; round < test_rounds(10); round++) {
        trio t = {.executor = test_executor(TRIO), .barrier = test_barrier_make(TRIO), .failed = test_latch_make()};
        assert_int_equal(weft_parallel_for(t.executor, 0, 2000, 1, fail_lowest_first, &t), 1);
        assert_int_equal(test_get(t.calls), TRIO);
        test_destroy(t.executor);
    }
}

/* A combine that fails is a failure of what it would have made. */

typedef struct combined {
    size_t fail_at;         /* the combine of what ends there fails */
    _Atomic(size_t) calls;  /* of pieces */
    _Atomic(size_t) failed; /* combines */
} combined;

typedef struct reach {
    size_t end;
} reach;

static void reach_to(size_t begin, size_t end, void *accumulator, void *data)
{
    combined *c = data;
    (void)begin;
    ((reach *)accumulator)->end = end;
    atomic_fetch_add_explicit(&c->calls, 1, memory_order_relaxed);
}

static void reach_further(void *into, const void *from, void *data)
{
    combined *c = data;
    ((reach *)into)->end = ((const reach *)from)->end;
    if (((reach *)into)->end == c->fail_at) {
        atomic_fetch_add_explicit(&c->failed, 1, memory_order_relaxed);
        weft_fail(6);
    }
}

static void test_after_a_failed_combine_nothing_above_is_begun(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (size_t fail_at = 2; fail_at <= 512; fail_at += 2) { /* where a right side of one piece ends */
        combined c = {.fail_at = fail_at};
        reach none = {0}, result = {7};
        assert_int_equal(
            weft_parallel_reduce(executor, 0, 512, 1, sizeof none, &none, reach_to, reach_further, &c, &result), 6);
        assert_int_equal(test_get(c.failed), 1);
        assert_int_equal(test_get(c.calls), fail_at);
        assert_int_equal(result.end, 7);
    }
    test_destroy(executor);
}

/* Requests. */

typedef struct heard {
    test_latch *begun;
    _Atomic(unsigned) calls;
} heard;

static bool asked_to_stop(void *data)
{
    (void)data;
    return weft_cancelled();
}

static void wait_for_request(size_t begin, size_t end, void *data)
{
    heard *h = data;
    (void)begin;
    (void)end;
    atomic_fetch_add_explicit(&h->calls, 1, memory_order_relaxed);
    test_latch_hit(h->begun);
    test_until(asked_to_stop, NULL);
}

typedef struct heard_call {
    weft_executor *there;
    heard h;
    int code;
} heard_call;

static void *loop_elsewhere(void *argument)
{
    heard_call *call = argument;
    call->code = weft_parallel_for(call->there, 0, 1000, 1, wait_for_request, &call->h);
    return NULL;
}

static void test_pieces_hear_of_a_request_from_another_executor(void **state)
{
    (void)state;
    weft_executor *here = test_executor(1), *there = test_executor(2);
    heard_call call = {there, {.begun = test_latch_make()}, 1};
    weft_future *future = weft_submit(here, loop_elsewhere, &call);
    assert_true(test_latch_wait(call.h.begun, 2));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    assert_int_equal(weft_await(future, NULL), 0);
    assert_int_equal(call.code, -ECANCELED);
    assert_int_equal(test_get(call.h.calls), 2);
    test_destroy(there);
    test_destroy(here);
}

/* A destructor on a worker that nobody can stand in for. */

typedef struct refused {
    weft_executor *there;
    _Atomic(unsigned) calls;
    _Atomic(bool) returned;
    int code;
    size_t pieces;
} refused;

static void take_a_while(size_t begin, size_t end, void *data)
{
    refused *r = data;
    (void)begin;
    (void)end;
    atomic_fetch_add_explicit(&r->calls, 1, memory_order_relaxed);
    for (int64_t until = weft_now() + WEFT_MICROSECONDS(50); weft_now() < until;) {
        TEST_EXPECT(!test_get(r->returned));
    }
}

static void loop_in_destructor(void *argument)
{
    refused *r = argument;
    r->code = weft_parallel_for(r->there, 0, r->pieces, 1, take_a_while, r);
    atomic_store_explicit(&r->returned, true, memory_order_release);
}

static void *waits_for(void *future)
{
    weft_future_wait(future, WEFT_FOREVER);
    return NULL;
}

static void destroy_with_loop(weft_executor *here, refused *r)
{
    const weft_submit_options options = {.free_arg = loop_in_destructor};
    assert_int_equal(weft_await(weft_submit_with(here, test_job_return_arg, r, &options), NULL), 0);
    assert_true(test_get(r->returned));
}

static void test_a_destructor_for_which_nobody_can_stand_in(void **state)
{
    (void)state;
    weft_executor *here = test_executor_with(&(weft_executor_options){.workers = 1, .max_spares = 1});
    weft_executor *there = test_executor(1);
    weft_promise *promise = weft_promise_create(here);
    weft_future *future = weft_promise_future(promise);
    weft_future *waits = weft_submit(here, waits_for, future);
    assert_true(test_until(somebody_stands_in, here)); /* the one spare stands in */
    test_gate *gate = test_block(there, 1);
    refused r = {.there = there, .pieces = 3};
    destroy_with_loop(here, &r);
    assert_int_equal(r.code, -EAGAIN);
    assert_int_equal(test_get(r.calls), 0);
    test_unblock(gate);
    for (size_t round = 0; round < test_rounds(100); round++) {
        refused again = {.there = there, .pieces = 1 + round % 3};
        assert_int_equal(weft_await(weft_submit(there, test_job_return_arg, NULL), NULL), 0); /* keeps it awake */
        destroy_with_loop(here, &again);
        unsigned calls = test_get(again.calls); /* begun, and then asked to stop: perhaps before the first piece */
        assert_true(again.code == 0            ? calls == again.pieces
                    : again.code == -ECANCELED ? calls < again.pieces
                                               : again.code == -EAGAIN && calls == 0);
    }
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    assert_int_equal(weft_await(waits, NULL), 0);
    weft_future_release(future);
    weft_promise_destroy(promise);
    test_destroy(there);
    test_destroy(here);
}

/* Without a grain. */

typedef struct lengths {
    _Atomic(size_t) calls, longest, elements;
} lengths;

static void note_length(size_t begin, size_t end, void *data)
{
    lengths *l = data;
    atomic_fetch_add_explicit(&l->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->elements, end - begin, memory_order_relaxed);
    for (size_t longest = test_get(l->longest);
         longest < end - begin && !atomic_compare_exchange_weak_explicit(&l->longest, &longest, end - begin,
                                                                         memory_order_relaxed, memory_order_relaxed);)
        ;
}

static void test_pieces_grow_to_an_eighth_a_worker(void **state)
{
    (void)state;
    enum { N = 1000000 };
    for (unsigned workers = 1; workers <= 8; workers *= 2) {
        weft_executor *executor = test_executor(workers);
        lengths l = {0};
        assert_int_equal(weft_parallel_for(executor, 0, N, 0, note_length, &l), 0);
        assert_int_equal(test_get(l.elements), N);
        assert_true(test_get(l.longest) <= N / 8 / workers);
        assert_true(test_get(l.calls) < N / 100);
        test_destroy(executor);
    }
}

/* All pieces take long, and one as long as there are others. */

#ifdef WEFT_TINY
enum { SLOW = 16 }; /* few forks find room there */
#else
enum { SLOW = 400 };
#endif

typedef struct last_one {
    size_t waits; /* the element that is to be the last */
    _Atomic(size_t) done;
} last_one;

static bool others_are_done(void *data)
{
    return test_get(((last_one *)data)->done) == SLOW - 1;
}

static void slow_and_one_slower(size_t begin, size_t end, void *data)
{
    last_one *l = data;
    TEST_EXPECT(end - begin == 1);
    for (int64_t until = weft_now() + WEFT_MICROSECONDS(15); weft_now() < until;) {
    }
    if (begin == l->waits) {
        test_until(others_are_done, l);
    }
    atomic_fetch_add_explicit(&l->done, end - begin, memory_order_release);
}

static void test_a_long_piece_among_slow_ones_keeps_no_other_back(void **state)
{
    (void)state;
    static const size_t waits[] = {0, 1, SLOW / 7, SLOW / 2, SLOW - 3, SLOW - 1};
    for (unsigned workers = 2; workers <= 4; workers++) {
        weft_executor *executor = test_executor(workers);
        for (int i = 0; i < 6; i++) {
            last_one l = {.waits = waits[i]};
            assert_int_equal(weft_parallel_for(executor, 0, SLOW, 0, slow_and_one_slower, &l), 0);
            assert_int_equal(test_get(l.done), SLOW);
        }
        test_destroy(executor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_failure_above_the_lowest_opens_nothing),
        TEST(test_after_a_failed_combine_nothing_above_is_begun),
        TEST(test_pieces_hear_of_a_request_from_another_executor),
        TEST(test_a_destructor_for_which_nobody_can_stand_in),
        TEST(test_pieces_grow_to_an_eighth_a_worker),
        TEST(test_a_long_piece_among_slow_ones_keeps_no_other_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
