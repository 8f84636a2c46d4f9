/* test_queue_epoll.c: a queue's descriptor in event loops: how they are woken, and that they always are.
 *
 * Discipline. The loops wait with the patience of the tests and never look at the queue on their own account, so a
 * wake-up that does not come is a failure and not a delay. Where the order matters, futures are promises that the test's
 * own thread resolves. */
#include "fixtures.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

static weft_queue *queue_make(weft_executor *executor)
{
    weft_queue *queue = weft_queue_create(executor);
    assert_non_null(queue);
    return queue;
}

static int epoll_make(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    assert_true(epoll >= 0);
    return epoll;
}

static void watch(int epoll, int operation, weft_queue *queue, uint32_t flags)
{
    struct epoll_event event = {.events = EPOLLIN | flags, .data = {.ptr = queue}};
    assert_int_equal(epoll_ctl(epoll, operation, weft_queue_fd(queue), &event), 0);
}

/* The queue that is told to be readable within `milliseconds`; NULL: none. */
static weft_queue *told(int epoll, int64_t milliseconds)
{
    struct epoll_event event;
    int n = epoll_wait(epoll, &event, 1, (int)milliseconds);
    assert_true(n == 0 || (n == 1 && (event.events & ~(uint32_t)EPOLLIN) == 0));
    return n == 1 ? event.data.ptr : NULL;
}

/* How many futures it gives out now; errno as the last look left it. */
static unsigned drain(weft_queue *queue)
{
    unsigned n = 0;
    for (weft_future *future; (future = weft_queue_next(queue, 0, NULL)); n++) {
        assert_true(weft_future_done(future));
        weft_future_release(future);
    }
    return n;
}

static void add(weft_queue *queue, weft_future *future)
{
    assert_int_equal(weft_queue_add(queue, future, future), 0);
}

/* A new promise's future is added, and stays as one of `in`. */
static inputs inputs_added(weft_executor *executor, weft_queue *queue, unsigned n)
{
    inputs in = inputs_make(executor, n);
    for (unsigned i = 0; i < n; i++) {
        add(queue, in.future[i]);
    }
    return in;
}

static void test_queue_in_a_set_of_several(void **state)
{
    (void)state;
    enum { QUEUES = 3 };
    weft_executor *executor = test_executor(1);
    int epoll = epoll_make();
    weft_queue *queues[QUEUES];
    inputs in[QUEUES];
    for (unsigned i = 0; i < QUEUES; i++) {
        queues[i] = queue_make(executor);
        in[i] = inputs_added(executor, queues[i], 2);
        watch(epoll, EPOLL_CTL_ADD, queues[i], 0);
    }
    assert_null(told(epoll, 0));
    for (unsigned i = 0; i < QUEUES; i++) {
        weft_promise_resolve(in[i].promise[1], NULL, NULL);
        assert_ptr_equal(told(epoll, 0), queues[i]);
        assert_int_equal(drain(queues[i]), 1);
        assert_int_equal(errno, ETIMEDOUT);
        assert_null(told(epoll, 0));
    }
    weft_promise_resolve(in[0].promise[0], NULL, NULL);
    weft_promise_resolve(in[2].promise[0], NULL, NULL);
    weft_queue_destroy(queues[0]); /* while it is readable: the set forgets it */
    assert_ptr_equal(told(epoll, 0), queues[2]);
    assert_int_equal(drain(queues[2]), 1);
    weft_promise_resolve(in[1].promise[0], NULL, NULL);
    assert_ptr_equal(told(epoll, 0), queues[1]);
    weft_queue_destroy(queues[1]);
    weft_queue_destroy(queues[2]);
    assert_null(told(epoll, 0));
    close(epoll);
    for (unsigned i = 0; i < QUEUES; i++) {
        inputs_free(&in[i]);
    }
    test_destroy(executor);
}

/* Level-triggered, a loop may take one at a time and is told again. */
static void test_queue_taken_one_a_turn(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    int epoll = epoll_make();
    inputs in = inputs_added(executor, queue, 4);
    watch(epoll, EPOLL_CTL_ADD, queue, 0);
    for (unsigned i = 0; i < 4; i++) {
        weft_promise_resolve(in.promise[i], NULL, NULL);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_ptr_equal(told(epoll, 0), queue);
        weft_future *next = weft_queue_next(queue, 0, NULL);
        assert_ptr_equal(next, in.future[i]);
        weft_future_release(next);
    }
    assert_null(told(epoll, 0)); /* without having asked once more and got NULL */
    close(epoll);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* Edge-triggered, each completion that comes to an emptied queue is an edge of its own. */
static void test_queue_edge_after_each_emptying(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    int epoll = epoll_make();
    watch(epoll, EPOLL_CTL_ADD, queue, EPOLLET);
    for (unsigned round = 0; round < 100; round++) {
        inputs in = inputs_added(executor, queue, 3);
        weft_promise_resolve(in.promise[0], NULL, NULL);
        if (round % 2) {
            weft_promise_resolve(in.promise[1], NULL, NULL);
        }
        assert_ptr_equal(told(epoll, 0), queue);
        assert_null(told(epoll, 0));
        assert_int_equal(drain(queue), 1 + round % 2);
        assert_null(told(epoll, 0));
        weft_promise_resolve(in.promise[2], NULL, NULL);
        assert_ptr_equal(told(epoll, 0), queue);
        weft_promise_resolve(in.promise[1], NULL, NULL);
        assert_int_equal(drain(queue), 2 - round % 2);
        assert_int_equal(errno, ENODATA);
        inputs_free(&in);
    }
    close(epoll);
    weft_queue_destroy(queue);
    test_destroy(executor);
}

static void test_queue_armed_once_and_again(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    int epoll = epoll_make();
    inputs in = inputs_added(executor, queue, 3);
    watch(epoll, EPOLL_CTL_ADD, queue, EPOLLONESHOT);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_ptr_equal(told(epoll, 0), queue);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    assert_null(told(epoll, 0));
    assert_int_equal(drain(queue), 2);
    weft_promise_resolve(in.promise[2], NULL, NULL); /* while it is not armed */
    assert_null(told(epoll, 0));
    watch(epoll, EPOLL_CTL_MOD, queue, EPOLLONESHOT);
    assert_ptr_equal(told(epoll, 0), queue);
    assert_int_equal(drain(queue), 1);
    watch(epoll, EPOLL_CTL_MOD, queue, EPOLLONESHOT);
    assert_null(told(epoll, 0));
    close(epoll);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* A set in a set, and poll on that: a loop inside another one. */
static void test_queue_in_a_set_in_a_set(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    int inner = epoll_make(), outer = epoll_make();
    inputs in = inputs_added(executor, queue, 1);
    struct epoll_event event = {.events = EPOLLIN};
    struct pollfd poll_outer = {.fd = outer, .events = POLLIN};
    watch(inner, EPOLL_CTL_ADD, queue, 0);
    assert_int_equal(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event), 0);
    assert_int_equal(poll(&poll_outer, 1, 0), 0);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_int_equal(poll(&poll_outer, 1, 0), 1);
    assert_ptr_equal(told(inner, 0), queue);
    assert_int_equal(drain(queue), 1);
    assert_int_equal(poll(&poll_outer, 1, 0), 0);
    close(inner);
    close(outer);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* What ends without a worker wakes the loop as well: by the loop's own thread, by time, by shutdown. */
static void test_queue_told_of_every_way_to_end(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    weft_queue *queue = queue_make(executor);
    int epoll = epoll_make();
    watch(epoll, EPOLL_CTL_ADD, queue, 0);
    inputs in = inputs_added(executor, queue, 3);
    weft_token *token = weft_token_create(executor, NULL, WEFT_FOREVER, 0);
    test_gate *gate = test_block(executor, 1);
    weft_submit_options with_token = {.token = token};
    weft_future *waiting = weft_submit_with(executor, test_job_return_arg, NULL, &with_token);
    weft_future *limited = weft_wait_for(in.future[2], 10 * MS, WEFT_NO_CANCEL);
    add(queue, waiting);
    add(queue, limited);

    assert_int_equal(weft_cancel(in.future[0]), WEFT_CANCEL_DONE);
    assert_ptr_equal(told(epoll, 0), queue);
    assert_int_equal(drain(queue), 1);
    weft_manual_clock_advance(clock, 10 * MS + TICK);
    assert_ptr_equal(told(epoll, test_patience() / MS), queue);
    assert_int_equal(drain(queue), 1);
    assert_timed_out(limited);
    weft_token_cancel(token);
    assert_ptr_equal(told(epoll, test_patience() / MS), queue);
    assert_int_equal(drain(queue), 1);
    assert_cancelled(waiting, WEFT_REASON_USER);
    assert_null(told(epoll, 0));

    test_unblock(gate);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_ptr_equal(told(epoll, 0), queue);
    assert_int_equal(drain(queue), 2);
    assert_int_equal(errno, ENODATA);
    weft_future_release(waiting);
    weft_future_release(limited);
    weft_token_release(token);
    close(epoll);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

/* A loop as servers have it: each answer brings the next request, some of which the loop cancels or gives no time. It
 * sleeps until it is told, so one wake-up too few hangs it. */
static void one_server(weft_executor *executor, uint32_t flags, unsigned clients, unsigned requests)
{
    weft_queue *queue = queue_make(executor);
    int epoll = epoll_make();
    unsigned outcomes[WEFT_TIMED_OUT + 1] = {0}, sent = 0, received = 0;
    watch(epoll, EPOLL_CTL_ADD, queue, flags);
    for (unsigned free = clients; received < requests;) {
        for (; free > 0 && sent < requests; free--, sent++) {
            weft_future *job = weft_submit(executor, test_job_return_arg, NULL);
            weft_future *limited = sent % 5 == 1 ? weft_wait_for(job, sent % 10 == 1 ? 0 : MS / 10, 0) : NULL;
            add(queue, limited ? limited : job);
            if (sent % 7 == 3) {
                weft_cancel(job);
            }
            weft_future_release(limited);
            weft_future_release(job);
        }
        assert_ptr_equal(told(epoll, test_patience() / MS), queue);
        for (weft_future *done; (done = weft_queue_next(queue, 0, NULL)); free++, received++) {
            outcomes[weft_future_state(done)]++;
            weft_outcome outcome;
            assert_int_equal(weft_future_outcome(done, &outcome), 0);
            weft_future_release(done);
        }
    }
    assert_int_equal(errno, ENODATA);
    assert_null(told(epoll, 0));
    assert_int_equal(outcomes[WEFT_SUCCEEDED] + outcomes[WEFT_CANCELLED] + outcomes[WEFT_TIMED_OUT], requests);
    assert_true(outcomes[WEFT_SUCCEEDED] > 0);
    close(epoll);
    weft_queue_destroy(queue);
}

static void test_queue_of_a_server(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned clients = 1; clients <= 64; clients *= 4) {
        one_server(executor, 0, clients, test_rounds(1000));
        one_server(executor, EPOLLET, clients, test_rounds(1000));
    }
    test_destroy(executor);
}

/* Several threads at one set, beside one that blocks in the queue itself. */

enum { LOOPS = 2, CROWD = 300 };

typedef struct loop {
    weft_queue *queue;
    int epoll;
    bool blocks;              /* in weft_queue_next instead */
    _Atomic(unsigned) *given; /* of each tag; counted by who gets it */
    _Atomic(unsigned) *total; /* deliveries, by all */
    unsigned taken;           /* by the thread; read after its end */
} loop;

static void take(loop *self, weft_future *future, uintptr_t tag)
{
    weft_future_release(future);
    atomic_fetch_add_explicit(&self->given[tag], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(self->total, 1, memory_order_relaxed);
    self->taken++;
}

static void *run_loop(void *argument)
{
    loop *self = argument;
    struct epoll_event event;
    void *tag;
    if (self->blocks) {
        for (weft_future *future; (future = weft_queue_next(self->queue, test_patience(), &tag));) {
            take(self, future, (uintptr_t)tag);
        }
        TEST_EXPECT(errno == ENODATA);
        return NULL;
    }
    /* Who finds nothing ends only when all have been delivered; until then there is a wake-up to come, for this loop or
     * for another one. */
    while (atomic_load_explicit(self->total, memory_order_relaxed) < CROWD) {
        if (epoll_wait(self->epoll, &event, 1, 10) == 0) {
            continue;
        }
        for (weft_future *future; (future = weft_queue_next(self->queue, 0, &tag));) {
            take(self, future, (uintptr_t)tag);
        }
    }
    return NULL;
}

static void one_crowd(weft_executor *executor, uint32_t flags, bool blocks)
{
    static _Atomic(unsigned) given[CROWD], total;
    loop loops[LOOPS + 1];
    pthread_t threads[LOOPS + 1];
    unsigned n = LOOPS + blocks, taken = 0;
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 1);
    int epoll = epoll_make();
    watch(epoll, EPOLL_CTL_ADD, queue, flags);
    memset((void *)given, 0, sizeof given);
    atomic_store_explicit(&total, 0, memory_order_relaxed);
    assert_int_equal(weft_queue_add(queue, in.future[0], (void *)0), 0); /* so that it does not run empty too soon */
    for (unsigned i = 0; i < n; i++) {
        loops[i] = (loop){.queue = queue, .epoll = epoll, .blocks = i == LOOPS, .given = given, .total = &total};
        threads[i] = test_spawn(run_loop, &loops[i]);
    }
    for (uintptr_t i = 1; i < CROWD; i++) {
        weft_future *job = weft_submit(executor, test_job_return_arg, NULL);
        assert_int_equal(weft_queue_add(queue, job, (void *)i), 0);
        weft_future_release(job);
    }
    weft_promise_resolve(in.promise[0], NULL, NULL);
    for (unsigned i = 0; i < n; i++) {
        test_join(threads[i]);
        taken += loops[i].taken;
    }
    assert_int_equal(taken, CROWD);
    for (unsigned i = 0; i < CROWD; i++) {
        assert_int_equal(test_get(given[i]), 1);
    }
    close(epoll);
    weft_queue_destroy(queue);
    inputs_free(&in);
}

static void test_queue_watched_by_several_threads(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned i = 0; i < test_rounds(20); i++) {
        one_crowd(executor, i % 2 ? (uint32_t)EPOLLET : 0, i % 4 >= 2);
    }
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_queue_in_a_set_of_several),
        TEST(test_queue_taken_one_a_turn),
        TEST(test_queue_edge_after_each_emptying),
        TEST(test_queue_armed_once_and_again),
        TEST(test_queue_in_a_set_in_a_set),
        TEST(test_queue_told_of_every_way_to_end),
        TEST(test_queue_of_a_server),
        TEST(test_queue_watched_by_several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
