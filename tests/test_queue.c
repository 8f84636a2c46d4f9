/* test_queue.c: a queue of completions as one thread sees it: what comes out, when and how, and its descriptor.
 *
 * Discipline. Futures are promises that the test itself resolves, so the order of completion is the test's; whoever
 * resolves has also appended when the call returns, so what is asserted does not depend on time. Several threads at one
 * queue stand in test_queue_threads.c, its end in test_queue_end.c,
 * its memory in test_queue_memory.c. */
#include "fixtures.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

static weft_queue *queue_make(weft_executor *executor)
{
    weft_queue *queue = weft_queue_create(executor);
    assert_non_null(queue);
    return queue;
}

static void *tag_of(uintptr_t number)
{
    return (void *)number;
}

/* Takes the reference that is delivered. */
#define assert_next(queue, future, number) assert_next_at((queue), (future), (number), __FILE__, __LINE__)
static void assert_next_at(weft_queue *queue, weft_future *future, uintptr_t number, const char *file, int line)
{
    void *tag = &tag;
    weft_future *next = weft_queue_next(queue, 0, &tag);
    _assert_int_equal((uintptr_t)next, (uintptr_t)future, file, line);
    _assert_int_equal((uintptr_t)tag, number, file, line);
    _assert_true(weft_future_done(next), "done", file, line);
    weft_future_release(next);
}

#define assert_none(queue, timeout, code) assert_none_at((queue), (timeout), (code), __FILE__, __LINE__)
static void assert_none_at(weft_queue *queue, int64_t timeout, int code, const char *file, int line)
{
    void *tag = &tag;
    errno = 0;
    weft_future *next = weft_queue_next(queue, timeout, &tag);
    int found = errno;
    _assert_int_equal((uintptr_t)next, 0, file, line);
    _assert_int_equal((uintptr_t)found, (uintptr_t)code, file, line);
    _assert_int_equal((uintptr_t)tag, (uintptr_t)&tag, file, line);
}

static void test_queue_that_is_empty(void **state)
{
    (void)state;
    weft_queue *queue = queue_make(NULL);
    assert_none(queue, 0, ENODATA);
    assert_none(queue, -1, ENODATA);
    assert_none(queue, WEFT_FOREVER, ENODATA);
    weft_queue_destroy(queue);
    weft_queue_destroy(NULL);
}

static void test_queue_delivers_in_order_of_completion(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(weft_queue_add(queue, in.future[i], tag_of(i + 10)), 0);
    }
    assert_none(queue, 0, ETIMEDOUT);
    weft_promise_resolve(in.promise[2], NULL, NULL);
    weft_promise_reject(in.promise[0], 7);
    assert_next(queue, in.future[2], 12);
    assert_int_equal(weft_cancel(in.future[3]), WEFT_CANCEL_DONE);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    assert_next(queue, in.future[0], 10);
    assert_next(queue, in.future[3], 13);
    assert_next(queue, in.future[1], 11);
    assert_none(queue, 0, ENODATA);
    assert_none(queue, WEFT_FOREVER, ENODATA);
    assert_err(in.future[0], 7);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_queue_takes_futures_that_are_done_and_the_same_one_again(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_queue *queue = queue_make(NULL);
    inputs in = inputs_make(executor, 2);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_int_equal(weft_queue_add(queue, in.future[1], tag_of(1)), 0);
    assert_int_equal(weft_queue_add(queue, in.future[0], NULL), 0);
    assert_int_equal(weft_queue_add(queue, in.future[1], tag_of(3)), 0);
    assert_int_equal(weft_queue_add(queue, in.future[0], tag_of(4)), 0);
    assert_next(queue, in.future[0], 0);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    assert_int_equal(weft_queue_add(queue, in.future[0], tag_of(5)), 0);
    assert_next(queue, in.future[0], 4);
    assert_next(queue, in.future[1], 1);
    weft_future *third = weft_queue_next(queue, WEFT_FOREVER, NULL);
    assert_ptr_equal(third, in.future[1]);
    weft_future_release(third);
    assert_next(queue, in.future[0], 5);
    assert_none(queue, 0, ENODATA);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_queue_refuses_what_is_null(void **state)
{
    (void)state;
    weft_queue *queue = queue_make(NULL);
    errno = 0;
    assert_int_equal(weft_queue_add(queue, NULL, NULL), -EINVAL);
    errno = EAGAIN;
    assert_int_equal(weft_queue_add(queue, NULL, NULL), -EAGAIN);
    assert_int_equal(weft_queue_add(NULL, NULL, NULL), -EINVAL);
    assert_none(NULL, WEFT_FOREVER, EINVAL);
    assert_int_equal(weft_queue_fd(NULL), -EINVAL);
    assert_none(queue, 0, ENODATA);
    weft_queue_destroy(queue);
}

static void test_queue_leaves_errno_alone_when_it_delivers(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_queue *queue = queue_make(executor);
    assert_true(weft_queue_fd(queue) >= 0);
    weft_future *done = test_done_future(executor);
    errno = EDOM;
    assert_int_equal(weft_queue_add(queue, done, NULL), 0);
    assert_next(queue, done, 0);
    assert_int_equal(errno, EDOM);
    weft_queue_destroy(queue);
    assert_int_equal(errno, EDOM);
    weft_future_release(done);
    test_destroy(executor);
}

static void test_queue_holds_what_was_added(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    test_gate *gate = test_gate_make();
    test_cell *cell = cell_make(gate, 0);
    weft_future *future = submit(executor, cell);
    assert_int_equal(weft_queue_add(queue, future, cell), 0);
    weft_future_release(future);
    test_gate_open(gate);
    void *tag = NULL, *value = NULL;
    future = weft_queue_next(queue, test_patience(), &tag);
    assert_non_null(future);
    assert_ptr_equal(tag, cell);
    assert_int_equal(test_get(cell->value_freed), 0);
    assert_int_equal(weft_await(future, &value), 0);
    assert_ptr_equal(value, cell);
    weft_queue_destroy(queue);
    test_destroy(executor);
}

/* To be delivered, or released by destroy, is not to be read. */
static void test_queue_does_not_read(void **state)
{
    (void)state;
    static test_hook hook;
    weft_executor_options options = {.workers = 1, .unobserved_error = test_hook_unobserved, .data = &hook};
    weft_executor *executor = test_executor_with(&options);
    unsigned calls = test_get(hook.errors);
    for (unsigned delivered = 0; delivered < 2; delivered++) {
        weft_queue *queue = queue_make(executor);
        inputs in = inputs_make(executor, 1);
        assert_int_equal(weft_queue_add(queue, in.future[0], NULL), 0);
        weft_promise_reject(in.promise[0], 7);
        inputs_free(&in);
        assert_int_equal(test_get(hook.errors), calls + delivered);
        if (delivered) {
            weft_future_release(weft_queue_next(queue, 0, NULL));
            assert_int_equal(test_get(hook.errors), calls + 2);
        }
        weft_queue_destroy(queue);
        assert_int_equal(test_get(hook.errors), calls + 1 + delivered);
    }
    test_destroy(executor);
}

static void test_queue_destroyed_leaves_its_futures(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    test_gate *gate = test_block(executor, 1);
    test_cell *cell = cell_make(NULL, 0);
    weft_future *job = submit(executor, cell);
    inputs in = inputs_make(executor, 2);
    assert_int_equal(weft_queue_add(queue, job, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(weft_queue_add(queue, in.future[i], NULL), 0);
        assert_int_equal(weft_queue_add(queue, in.future[i], NULL), 0);
    }
    weft_promise_resolve(in.promise[0], &in, NULL);
    weft_queue_destroy(queue);
    assert_int_equal(weft_future_state(job), WEFT_PENDING);
    assert_int_equal(weft_future_state(in.future[1]), WEFT_PENDING);
    assert_int_equal(weft_promise_resolve(in.promise[1], &in, NULL), 0);
    assert_ok(in.future[0], &in);
    assert_ok(in.future[1], &in);
    test_unblock(gate);
    assert_done_soon(job);
    assert_ok(job, cell);
    weft_future_release(job);
    inputs_free(&in);
    test_destroy(executor);
}

/* EXE-12's rule for queues; and the queue is there when the executors are not. */
static void test_queue_of_several_executors_outlives_them(void **state)
{
    (void)state;
    weft_executor *executors[] = {test_executor(1), test_executor(2)};
    weft_queue *queue = queue_make(executors[0]);
    weft_future *jobs[8];
    for (uintptr_t i = 0; i < 8; i++) {
        jobs[i] = weft_submit(executors[i % 2], test_job_return_arg, tag_of(i));
        assert_int_equal(weft_queue_add(queue, jobs[i], tag_of(i)), 0);
    }
    inputs in = inputs_make(executors[0], 1);
    assert_int_equal(weft_queue_add(queue, in.future[0], tag_of(8)), 0);
    test_destroy(executors[0]);
    test_destroy(executors[1]);
    unsigned seen = 0;
    for (unsigned i = 0; i < 9; i++) {
        void *tag = NULL;
        weft_future *next = weft_queue_next(queue, 0, &tag);
        assert_non_null(next);
        seen |= 1u << (uintptr_t)tag;
        if ((uintptr_t)tag == 8) {
            assert_cancelled(next, WEFT_REASON_SHUTDOWN);
        } else {
            assert_ok(next, tag);
        }
        weft_future_release(next);
    }
    assert_int_equal(seen, 0x1ff);
    assert_none(queue, 0, ENODATA);
    assert_int_equal(weft_queue_add(queue, jobs[5], tag_of(50)), 0);
    assert_next(queue, jobs[5], 50);
    weft_queue_destroy(queue);
    for (unsigned i = 0; i < 8; i++) {
        weft_future_release(jobs[i]);
    }
    inputs_free(&in);
}

static void test_queue_of_derived_and_timer_futures(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 2);
    weft_future *futures[] = {weft_sleep(executor, 20 * MS, NULL), weft_wait_for(in.future[1], 10 * MS, 0),
                              gather(executor, in.future, 2, WEFT_SETTLED), weft_shield(in.future[0])};
    for (uintptr_t i = 0; i < 4; i++) {
        assert_int_equal(weft_queue_add(queue, futures[i], tag_of(i)), 0);
    }
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_next(queue, futures[3], 3);
    assert_none(queue, 0, ETIMEDOUT);
    weft_manual_clock_advance(clock, 20 * MS + TICK);
    const uintptr_t order[] = {1, 2, 0}; /* the deadline cancels the gather's last input; where that comes is open */
    unsigned seen = 0;
    for (unsigned i = 0; i < 3; i++) {
        void *tag = NULL;
        weft_future *next = weft_queue_next(queue, test_patience(), &tag);
        assert_ptr_equal(next, futures[(uintptr_t)tag]);
        assert_true(i != 0 || (uintptr_t)tag == order[0]);
        seen |= 1u << (uintptr_t)tag;
        weft_future_release(next);
    }
    assert_int_equal(seen, 7);
    weft_queue_destroy(queue);
    for (unsigned i = 0; i < 4; i++) {
        weft_future_release(futures[i]);
    }
    inputs_free(&in);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

/* What it took for a crowd goes back when the queue runs empty, but for a few KiB. */
static void test_queue_gives_memory_back_when_empty(void **state)
{
    (void)state;
    enum { CROWD = 5000 };
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 1);
    for (unsigned round = 0; round < 3; round++) {
        size_t before = test_counters().bytes;
        for (uintptr_t i = 0; i < CROWD; i++) {
            assert_int_equal(weft_queue_add(queue, in.future[0], tag_of(i)), 0);
        }
        assert_true(test_counters().bytes >= before + CROWD * 32);
        if (round == 0) {
            weft_promise_resolve(in.promise[0], NULL, NULL);
        }
        for (uintptr_t i = 0; i < CROWD; i++) {
            assert_next(queue, in.future[0], i);
        }
        assert_none(queue, 0, ENODATA);
        assert_true(test_counters().bytes <= before + 8192);
    }
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* The descriptor. */

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

static void test_queue_fd_is_readable_while_completions_wait(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 4);
    for (uintptr_t i = 0; i < 4; i++) {
        assert_int_equal(weft_queue_add(queue, in.future[i], tag_of(i)), 0);
    }
    int fd = weft_queue_fd(queue);
    assert_true(fd >= 0);
    assert_int_equal(weft_queue_fd(queue), fd);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    for (unsigned round = 0; round < 2; round++) {
        uintptr_t one = 2 * round, other = one + 1;
        assert_false(readable(fd));
        weft_promise_resolve(in.promise[one], NULL, NULL);
        assert_true(readable(fd));
        weft_promise_resolve(in.promise[other], NULL, NULL);
        assert_true(readable(fd));
        assert_next(queue, in.future[one], one);
        assert_true(readable(fd));
        assert_next(queue, in.future[other], other);
        assert_false(readable(fd));
        assert_none(queue, 0, round == 0 ? ETIMEDOUT : ENODATA);
        assert_false(readable(fd));
    }
    weft_queue_destroy(queue);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_queue_fd_asked_for_late(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_queue *queue = queue_make(executor);
    weft_future *done = test_done_future(executor);
    assert_int_equal(weft_queue_add(queue, done, tag_of(1)), 0);
    assert_int_equal(weft_queue_add(queue, done, tag_of(2)), 0);
    assert_next(queue, done, 1);
    int fd = weft_queue_fd(queue);
    assert_true(readable(fd));
    assert_next(queue, done, 2);
    assert_false(readable(fd));
    assert_int_equal(weft_queue_add(queue, done, tag_of(3)), 0);
    assert_true(readable(fd));
    weft_queue_destroy(queue);
    weft_future_release(done);
    test_destroy(executor);
}

/* Written once for many completions: seen by reading the count, which a program must not do. */
static void test_queue_fd_is_written_once(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_queue *queue = queue_make(executor);
    weft_future *done = test_done_future(executor);
    int fd = weft_queue_fd(queue);
    for (uintptr_t i = 0; i < 100; i++) {
        assert_int_equal(weft_queue_add(queue, done, tag_of(i)), 0);
        if (i == 50) {
            assert_next(queue, done, 0);
        }
    }
    uint64_t count = 0;
    assert_int_equal(read(fd, &count, sizeof count), sizeof count);
    assert_int_equal(count, 1);
    weft_queue_destroy(queue);
    weft_future_release(done);
    test_destroy(executor);
}

static void test_queue_fd_with_epoll(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    for (unsigned edge = 0; edge < 2; edge++) {
        enum { JOBS = 500 };
        weft_queue *queue = queue_make(executor);
        int watch = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event event = {.events = EPOLLIN | (edge ? (uint32_t)EPOLLET : 0)};
        assert_true(watch >= 0);
        assert_int_equal(epoll_ctl(watch, EPOLL_CTL_ADD, weft_queue_fd(queue), &event), 0);
        for (uintptr_t i = 0; i < JOBS; i++) {
            weft_future *job = weft_submit(executor, test_job_return_arg, tag_of(i));
            assert_int_equal(weft_queue_add(queue, job, tag_of(i)), 0);
            weft_future_release(job);
        }
        for (unsigned left = JOBS; left > 0;) {
            assert_int_equal(epoll_wait(watch, &event, 1, (int)(test_patience() / MS)), 1);
            void *tag = NULL;
            for (weft_future *job; (job = weft_queue_next(queue, 0, &tag)); left--) {
                assert_ok(job, tag);
                weft_future_release(job);
            }
        }
        assert_int_equal(errno, ENODATA);
        assert_int_equal(epoll_wait(watch, &event, 1, 0), 0);
        weft_queue_destroy(queue);
        assert_int_equal(epoll_wait(watch, &event, 1, 0), 0);
        close(watch);
    }
    test_destroy(executor);
}

static void test_queue_fd_when_there_is_none_left(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_queue *queue = queue_make(executor);
    weft_future *done = test_done_future(executor);
    assert_int_equal(weft_queue_add(queue, done, tag_of(1)), 0);
    struct rlimit usual, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    none = usual;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    errno = EDOM;
    int refused = weft_queue_fd(queue), caller_errno = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    assert_int_equal(refused, -EMFILE);
    assert_int_equal(caller_errno, EDOM);
    int fd = weft_queue_fd(queue);
    assert_true(fd >= 0 && readable(fd));
    assert_next(queue, done, 1);
    weft_queue_destroy(queue);
    weft_future_release(done);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_queue_that_is_empty),
        TEST(test_queue_delivers_in_order_of_completion),
        TEST(test_queue_takes_futures_that_are_done_and_the_same_one_again),
        TEST(test_queue_refuses_what_is_null),
        TEST(test_queue_leaves_errno_alone_when_it_delivers),
        TEST(test_queue_holds_what_was_added),
        TEST(test_queue_does_not_read),
        TEST(test_queue_destroyed_leaves_its_futures),
        TEST(test_queue_of_several_executors_outlives_them),
        TEST(test_queue_of_derived_and_timer_futures),
        TEST(test_queue_gives_memory_back_when_empty),
        TEST(test_queue_fd_is_readable_while_completions_wait),
        TEST(test_queue_fd_asked_for_late),
        TEST(test_queue_fd_is_written_once),
        TEST(test_queue_fd_with_epoll),
        TEST(test_queue_fd_when_there_is_none_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
