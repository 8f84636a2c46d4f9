/* test_parallel_threads.c: parallel loops on several workers: who gets pieces, what stops a loop that several run, and
 * callers of all kinds.
 *
 * Discipline. Where pieces must run at the same time they meet at a gate or a barrier, so a loop that kept pieces from
 * idle workers would not come to its end; the gate also makes certain what was begun before a request or a failure. */
#include "loops.h"

static const unsigned crowds[] = {1, 2, 4, 8};
enum { CROWDS = 4 };

/* Idle workers get pieces. */

static void meet(size_t begin, size_t end, void *barrier)
{
    TEST_EXPECT(end - begin == 1);
    test_barrier_meet(barrier);
}

typedef struct meeting {
    weft_executor *executor; /* by the test, as the next three */
    unsigned n;
    size_t grain;
    test_barrier *barrier;
    int code;
} meeting;

static void *meet_in_job(void *argument)
{
    meeting *m = argument;
    m->code = weft_parallel_for(m->executor, 0, m->n, m->grain, meet, m->barrier);
    return NULL;
}

static void test_each_idle_worker_gets_a_piece(void **state)
{
    (void)state;
    for (int i = 0; i < CROWDS; i++) {
        meeting m = {.executor = test_executor(crowds[i]), .n = crowds[i]};
        for (unsigned round = 0; round < 4 * test_rounds(5); round++) {
            m.barrier = test_barrier_make(m.n);
            m.grain = round % 2;
            if (round / 2 % 2) {
                meet_in_job(&m);
            } else {
                assert_int_equal(weft_await(weft_submit(m.executor, meet_in_job, &m), NULL), 0);
            }
            assert_int_equal(m.code, 0);
        }
        test_destroy(m.executor);
    }
}

static void meet_and_count(size_t begin, size_t end, void *accumulator, void *barrier)
{
    test_barrier_meet(barrier);
    *(size_t *)accumulator += end - begin;
}

static void add_sizes(void *into, const void *from, void *data)
{
    (void)data;
    *(size_t *)into += *(const size_t *)from;
}

static void test_each_idle_worker_gets_a_part(void **state)
{
    (void)state;
    for (int i = 0; i < CROWDS; i++) {
        weft_executor *executor = test_executor(crowds[i]);
        for (unsigned round = 0; round < test_rounds(10); round++) {
            size_t zero = 0, sum = 0;
            test_barrier *barrier = test_barrier_make(crowds[i]);
            assert_int_equal(weft_parallel_reduce(executor, 0, crowds[i], round % 2, sizeof sum, &zero, meet_and_count,
                                                  add_sizes, barrier, &sum),
                             0);
            assert_int_equal(sum, crowds[i]);
        }
        test_destroy(executor);
    }
}

/* One piece waits for what another one does. */
typedef struct relay {
    weft_promise *promise;
    weft_future *future;
} relay;

static void first_waits_for_last(size_t begin, size_t end, void *data)
{
    relay *r = data;
    if (begin == 0) {
        TEST_EXPECT(weft_future_wait(r->future, WEFT_FOREVER) == 0);
    }
    if (end == 8) {
        TEST_EXPECT(weft_promise_resolve(r->promise, NULL, NULL) == 0);
    }
}

static void test_a_piece_that_blocks_keeps_no_other_back(void **state)
{
    (void)state;
    for (int i = 0; i < CROWDS; i++) {
        weft_executor *executor = test_executor(crowds[i]);
        for (unsigned round = 0; round < test_rounds(10); round++) {
            relay r = {.promise = weft_promise_create(executor)};
            r.future = weft_promise_future(r.promise);
            assert_int_equal(weft_parallel_for(executor, 0, 8, 1, first_waits_for_last, &r), 0);
            weft_future_release(r.future);
            weft_promise_destroy(r.promise);
        }
        test_destroy(executor);
    }
}

static void submit_and_await(size_t begin, size_t end, void *sum)
{
    void *value = NULL;
    for (size_t i = begin; i < end; i++) {
        weft_future *future = weft_submit(weft_executor_current(), test_job_return_arg, (void *)i);
        TEST_EXPECT(weft_await(future, &value) == 0);
        atomic_fetch_add_explicit((_Atomic(size_t) *)sum, (size_t)value, memory_order_relaxed);
    }
}

static void test_pieces_submit_and_await(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    _Atomic(size_t) sum = 0;
    for (size_t grain = 0; grain < 3; grain++) {
        assert_int_equal(weft_parallel_for(executor, 0, 500, grain, submit_and_await, &sum), 0);
    }
    assert_int_equal(test_get(sum), 3 * 499 * 250);
    test_destroy(executor);
}

/* What stops a loop while each worker is in a piece. */

typedef struct crowd {
    cover_call call;
    test_gate *gate;
    weft_future *future; /* of the job that calls; NULL: a thread calls */
    pthread_t thread;
    unsigned n;
} crowd;

static void crowd_start(crowd *cr, unsigned n, bool in_job, size_t grain)
{
    *cr = (crowd){.call = {test_executor(n), cover_make(0, 5000, grain), 1}, .gate = test_gate_make(), .n = n};
    cr->call.c->gate = cr->gate;
    if (in_job) {
        cr->future = weft_submit(cr->call.executor, cover_job, &cr->call);
    } else {
        cr->thread = test_spawn(cover_job, &cr->call);
    }
    assert_true(test_gate_await(cr->gate, n));
}

/* Opens the gate and returns when the loop has; then its code is cr->call.code. */
static void crowd_end(crowd *cr)
{
    test_gate_open(cr->gate);
    if (cr->future) {
        assert_done_soon(cr->future);
        weft_future_release(cr->future);
    } else {
        test_join(cr->thread);
    }
    test_destroy(cr->call.executor);
}

static void test_cancel_begins_no_more_pieces(void **state)
{
    (void)state;
    for (int i = 0; i < CROWDS * 2; i++) {
        crowd cr;
        crowd_start(&cr, crowds[i / 2], true, i % 2 ? 7 : 0);
        assert_int_equal(weft_cancel(cr.future), WEFT_CANCEL_REQUESTED);
        crowd_end(&cr);
        assert_int_equal(cr.call.code, -ECANCELED);
        assert_int_equal(test_get(cr.call.c->calls), cr.n);
        cover_hits(cr.call.c, 0);
        free(cr.call.c);
    }
}

static void test_the_lowest_failure_begins_no_more_pieces(void **state)
{
    (void)state;
    for (int i = 0; i < CROWDS * 2; i++) {
        weft_executor *executor = test_executor(crowds[i / 2]);
        cover *c = cover_make(0, 5000, i % 2 ? 7 : 0);
        c->fail_from = 0;
        c->fail_step = 1; /* each piece fails at once, so each worker has but one, and the lowest is the loop's */
        assert_int_equal(cover_run(executor, c), 1);
        assert_true(test_get(c->calls) >= 1);
        cover_hits(c, 1);
        free(c);
        test_destroy(executor);
    }
}

static void shut_crowd(weft_shutdown_mode mode, bool in_job)
{
    for (int i = 0; i < CROWDS; i++) {
        crowd cr;
        crowd_start(&cr, crowds[i], in_job, 50);
        assert_int_equal(weft_executor_shutdown(cr.call.executor, mode, 0), -ETIMEDOUT);
        crowd_end(&cr);
        if (mode == WEFT_CANCEL_ALL) {
            assert_int_equal(cr.call.code, -ECANCELED);
            assert_int_equal(test_get(cr.call.c->calls), cr.n);
        } else {
            assert_int_equal(cr.call.code, 0);
            assert_covered(cr.call.c);
        }
        free(cr.call.c);
    }
}

static void test_shutdown_lets_a_loop_end(void **state)
{
    (void)state;
    shut_crowd(WEFT_DRAIN, false);
    shut_crowd(WEFT_DRAIN, true);
    shut_crowd(WEFT_CANCEL_PENDING, false);
    shut_crowd(WEFT_CANCEL_PENDING, true);
}

static void test_cancel_all_stops_a_loop(void **state)
{
    (void)state;
    shut_crowd(WEFT_CANCEL_ALL, false);
    shut_crowd(WEFT_CANCEL_ALL, true);
}

static void test_shutdown_before_the_job_begins(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    cover_call call = {executor, cover_make(0, 100, 0), 1};
    pthread_t thread = test_spawn(cover_job, &call);
    weft_stats stats = {0};
    while (stats.submitted < 2) {
        test_pause(100000);
        assert_int_equal(weft_executor_stats(executor, &stats), 0);
    }
    assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_PENDING, 0), -ETIMEDOUT);
    test_unblock(gate);
    test_join(thread);
    assert_int_equal(call.code, -ECANCELED);
    assert_int_equal(test_get(call.c->calls), 0);
    free(call.c);
    test_destroy(executor);
}

/* From a job of another executor. */

static void test_from_a_job_of_another_executor(void **state)
{
    (void)state;
    weft_executor *here = test_executor(1), *there = test_executor(0);
    for (size_t grain = 0; grain < 3; grain++) {
        cover_call call = {there, cover_make(0, 1000, grain), 1};
        call.c->executor = there;
        assert_int_equal(weft_await(weft_submit(here, cover_job, &call), NULL), 0);
        assert_int_equal(call.code, 0);
        assert_covered(call.c);
        free(call.c);
    }
    test_destroy(there);
    test_destroy(here);
}

static void test_a_request_goes_on_to_another_executor(void **state)
{
    (void)state;
    weft_executor *here = test_executor(1), *there = test_executor(2);
    cover_call call = {there, cover_make(0, 1000, 1), 1};
    call.c->gate = test_gate_make();
    weft_future *future = weft_submit(here, cover_job, &call);
    assert_true(test_gate_await(call.c->gate, 2));
    assert_int_equal(weft_cancel(future), WEFT_CANCEL_REQUESTED);
    flush(here);
    weft_future *waits = weft_submit(here, test_job_return_arg, NULL); /* another thread stands in there */
    assert_int_equal(weft_await(waits, NULL), 0);
    test_gate_open(call.c->gate);
    assert_int_equal(weft_await(future, NULL), 0);
    assert_true(call.code == -ECANCELED || call.code == 0);
    free(call.c);
    test_destroy(there);
    test_destroy(here);
}

static void test_another_executor_that_is_shut_down(void **state)
{
    (void)state;
    weft_executor *here = test_executor(1), *there = test_executor(1);
    cover_call call = {there, cover_make(0, 1000, 1), 1};
    assert_int_equal(weft_executor_shutdown(there, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(weft_await(weft_submit(here, cover_job, &call), NULL), 0);
    assert_int_equal(call.code, -ESHUTDOWN);
    assert_int_equal(test_get(call.c->calls), 0);
    free(call.c);
    test_destroy(there);
    test_destroy(here);
}

/* The piece waits for the job that waits for the loop: whoever comes second is told, and that is the piece. */
typedef struct circle {
    weft_executor *there;
    test_gate *gate;
    _Atomic(weft_future *) caller;
    _Atomic(int) piece;
    int code;
} circle;

static void wait_for_caller(size_t begin, size_t end, void *data)
{
    circle *c = data;
    (void)begin;
    (void)end;
    atomic_store_explicit(&c->piece, weft_await(test_get(c->caller), NULL), memory_order_release);
}

static void *circle_job(void *argument)
{
    circle *c = argument;
    test_gate_pass(c->gate);
    c->code = weft_parallel_for(c->there, 0, 1, 0, wait_for_caller, c);
    return NULL;
}

static void test_a_circle_is_refused_in_the_piece(void **state)
{
    (void)state;
    weft_executor *here = test_executor(0), *there = test_executor(1);
    for (unsigned round = 0; round < test_rounds(50); round++) {
        circle c = {.there = there, .gate = test_gate_make(), .code = 1};
        weft_future *future = weft_submit(here, circle_job, &c);
        atomic_store_explicit(&c.caller, future, memory_order_release);
        test_gate_open(c.gate);
        assert_int_equal(weft_await(future, NULL), 0);
        assert_int_equal(c.code, 0);
        assert_int_equal(test_get(c.piece), -EDEADLK);
    }
    test_destroy(there);
    test_destroy(here);
}

/* Many callers. */

enum { CALLERS = 4 };

typedef struct caller {
    weft_executor *executor;
    unsigned rounds;
} caller;

static void *calls_again_and_again(void *argument)
{
    caller *c = argument;
    for (unsigned round = 0; round < c->rounds; round++) {
        cover *range = calloc(1, sizeof *range);
        *range = (cover){.begin = round, .end = round + 1 + round * 37 % 2000, .grain = round % 4};
        TEST_EXPECT(cover_run(c->executor, range) == 0);
        for (size_t i = 0; i < range->end - range->begin; i++) {
            TEST_EXPECT(test_get(range->hits[i]) == 1);
        }
        TEST_EXPECT(test_get(range->odd) == 0);
        free(range);
    }
    return NULL;
}

static void test_several_callers_at_a_time(void **state)
{
    (void)state;
    for (int i = 0; i < CROWDS; i++) {
        pthread_t threads[CALLERS];
        weft_future *futures[CALLERS];
        caller c = {test_executor(crowds[i]), test_rounds(100)};
        for (int k = 0; k < CALLERS; k++) {
            threads[k] = test_spawn(calls_again_and_again, &c);
            futures[k] = weft_submit(c.executor, calls_again_and_again, &c);
        }
        for (int k = 0; k < CALLERS; k++) {
            test_join(threads[k]);
            assert_int_equal(weft_await(futures[k], NULL), 0);
        }
        test_destroy(c.executor);
    }
}

/* Requests that come at any moment: the code says whether all was run. */

static void test_requests_at_any_moment(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    unsigned cancelled = 0;
    for (unsigned round = 0; round < test_rounds(300); round++) {
        cover_call call = {executor, cover_make(0, 3000, 1 + round % 3), 1};
        weft_future *future = weft_submit(executor, cover_job, &call);
        for (unsigned spin = 0; spin < round * 10; spin++) {
            test_get(call.c->calls);
        }
        weft_cancel(future);
        int code = weft_await(future, NULL);
        if (code == -ECANCELED) { /* before it began */
            assert_int_equal(test_get(call.c->calls), 0);
        } else {
            size_t hits = cover_hits(call.c, 0);
            assert_true(call.code == 0 ? hits == 3000 : call.code == -ECANCELED && hits < 3000);
            cancelled += call.code != 0;
        }
        free(call.c);
    }
    (void)cancelled;
    test_destroy(executor);
}

/* A piece ends its thread. */

static void exit_in_the_last(size_t begin, size_t end, void *data)
{
    (void)begin;
    atomic_fetch_add_explicit((_Atomic(size_t) *)data, 1, memory_order_relaxed);
    if (end == 64) {
        pthread_exit(NULL);
    }
}

static void test_a_piece_that_ends_its_thread(void **state)
{
    (void)state;
    for (int i = 0; i < CROWDS; i++) {
        weft_executor *executor = test_executor(crowds[i]);
        for (unsigned round = 0; round < test_rounds(10); round++) {
            _Atomic(size_t) calls = 0;
            assert_int_equal(weft_parallel_for(executor, 0, 64, 1, exit_in_the_last, &calls), -EOWNERDEAD);
            assert_true(test_get(calls) <= 64);
        }
        cover *c = cover_make(0, 100, 1);
        assert_int_equal(cover_run(executor, c), 0);
        assert_covered(c);
        free(c);
        test_destroy(executor);
    }
}

/* The lower piece runs in the job's thread and fails; the upper one, stolen, ends the thief. */
typedef struct ending {
    weft_executor *executor;
    test_barrier *barrier;
    int fails; /* what the lower piece says; 0: nothing */
    int code;
} ending;

static void upper_ends_its_thread(size_t begin, size_t end, void *data)
{
    ending *e = data;
    (void)end;
    test_barrier_meet(e->barrier);
    if (begin == 1) {
        pthread_exit(NULL);
    } else if (e->fails) {
        weft_fail(e->fails);
    }
}

static void upper_part_ends_its_thread(size_t begin, size_t end, void *accumulator, void *data)
{
    (void)accumulator;
    upper_ends_its_thread(begin, end, data);
}

static void *ending_loop(void *argument)
{
    ending *e = argument;
    e->code = weft_parallel_for(e->executor, 0, 2, 1, upper_ends_its_thread, e);
    return NULL;
}

static void *ending_reduction(void *argument)
{
    ending *e = argument;
    size_t zero = 0, sum = 5;
    e->code =
        weft_parallel_reduce(e->executor, 0, 2, 1, sizeof sum, &zero, upper_part_ends_its_thread, add_sizes, e, &sum);
    TEST_EXPECT(sum == 5);
    return NULL;
}

/* The accumulators are too large for the stack; what they are in goes with the thread. */
typedef struct broad {
    unsigned char bytes[1000];
} broad;

static void end_the_caller(size_t begin, size_t end, void *accumulator, void *data)
{
    const pthread_t *own = data;
    (void)begin;
    (void)end;
    ((broad *)accumulator)->bytes[0]++;
    if (pthread_equal(*own, pthread_self())) {
        pthread_exit(NULL);
    }
}

static void add_broad(void *into, const void *from, void *data)
{
    (void)data;
    ((broad *)into)->bytes[0] = (unsigned char)(((broad *)into)->bytes[0] + ((const broad *)from)->bytes[0]);
}

static void *reduce_to_the_end(void *executor)
{
    static const broad none;
    broad sum;
    pthread_t own = pthread_self();
    weft_parallel_reduce(executor, 0, 100, 1, sizeof sum, &none, end_the_caller, add_broad, &own, &sum);
    return NULL;
}

static void test_a_reduction_ends_the_thread_of_its_job(void **state)
{
    (void)state;
    for (int i = 0; i < CROWDS; i++) {
        weft_executor *executor = test_executor(crowds[i]);
        for (unsigned round = 0; round < test_rounds(10); round++) {
            weft_future *future = weft_submit(executor, reduce_to_the_end, executor);
            assert_done_soon(future);
            assert_int_equal(weft_await(future, NULL), -EOWNERDEAD);
        }
        test_destroy(executor); /* and the counters are back at base */
    }
}

static void test_a_failure_below_a_thread_that_ended_counts(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    for (unsigned round = 0; round < 8 * test_rounds(5); round++) {
        ending e = {.executor = executor, .barrier = test_barrier_make(2), .fails = round % 2 ? 3 : 0};
        weft_fn *call = round / 4 % 2 ? ending_reduction : ending_loop;
        if (round / 2 % 2) {
            assert_int_equal(weft_await(weft_submit(executor, call, &e), NULL), 0);
        } else {
            call(&e);
        }
        assert_int_equal(e.code, e.fails ? e.fails : -EOWNERDEAD);
    }
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_idle_worker_gets_a_piece),
        TEST(test_each_idle_worker_gets_a_part),
        TEST(test_a_piece_that_blocks_keeps_no_other_back),
        TEST(test_pieces_submit_and_await),
        TEST(test_cancel_begins_no_more_pieces),
        TEST(test_the_lowest_failure_begins_no_more_pieces),
        TEST(test_shutdown_lets_a_loop_end),
        TEST(test_cancel_all_stops_a_loop),
        TEST(test_shutdown_before_the_job_begins),
        TEST(test_from_a_job_of_another_executor),
        TEST(test_a_request_goes_on_to_another_executor),
        TEST(test_another_executor_that_is_shut_down),
        TEST(test_a_circle_is_refused_in_the_piece),
        TEST(test_several_callers_at_a_time),
        TEST(test_requests_at_any_moment),
        TEST(test_a_piece_that_ends_its_thread),
        TEST(test_a_reduction_ends_the_thread_of_its_job),
        TEST(test_a_failure_below_a_thread_that_ended_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
