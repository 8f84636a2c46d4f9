/* test_as_completed.c: section 9, as_completed (ASC), with CAN-02's part of it.
 *
 * Discipline. Futures are promises that the test resolves, so the order is the test's. Only the deadline is on the real
 * clock: what is asserted of it is that nothing ends early, and the rest by deadlines that lie in the past or far off.
 * A settler is stopped between done and told as in test_queue_end.c. */
#include "fixtures.h"
#include "queue.h"

#include <poll.h>

static weft_queue *completed(weft_future *const futures[], size_t n, int64_t timeout)
{
    weft_queue *queue = weft_as_completed(futures, n, timeout);
    assert_non_null(queue);
    return queue;
}

/* Takes the reference that is delivered. */
#define assert_next(queue, future, index) assert_next_at((queue), (future), (index), __FILE__, __LINE__)
static void assert_next_at(weft_queue *queue, weft_future *future, uintptr_t index, const char *file, int line)
{
    void *tag = &tag;
    weft_future *next = weft_queue_next(queue, 0, &tag);
    _assert_int_equal((uintptr_t)next, (uintptr_t)future, file, line);
    _assert_int_equal((uintptr_t)tag, index, file, line);
    weft_future_release(next);
}

#define assert_none(queue, timeout, code) assert_none_at((queue), (timeout), (code), __FILE__, __LINE__)
static void assert_none_at(weft_queue *queue, int64_t timeout, int code, const char *file, int line)
{
    errno = 0;
    weft_future *next = weft_queue_next(queue, timeout, NULL);
    int found = errno;
    _assert_int_equal((uintptr_t)next, 0, file, line);
    _assert_int_equal((uintptr_t)found, (uintptr_t)code, file, line);
}

/* I15: nothing of ours hangs on it. */
static void assert_unattached(const weft_future *future)
{
    assert_null(future->waiters);
    assert_int_equal(weft__word(future) & WEFT__LISTED, 0);
}

static void test_asc_01_done_first_then_as_they_complete(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 4);
    weft_promise_resolve(in.promise[3], NULL, NULL);
    weft_promise_reject(in.promise[1], 7);
    weft_future *all[] = {in.future[0], in.future[1], in.future[0], in.future[2],
                          in.future[3], in.future[1], in.future[2], in.future[3]};
    weft_queue *queue = completed(all, 8, WEFT_FOREVER);
    weft_promise_resolve(in.promise[2], NULL, NULL);
    assert_next(queue, in.future[1], 1);
    assert_next(queue, in.future[3], 4);
    assert_next(queue, in.future[2], 3);
    assert_none(queue, 0, ETIMEDOUT);
    assert_int_equal(weft_cancel(in.future[0]), WEFT_CANCEL_DONE);
    assert_next(queue, in.future[0], 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_none(queue, i == 0 ? 0 : WEFT_FOREVER, ENODATA);
    }
    assert_err(in.future[1], 7);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_asc_01_of_none(void **state)
{
    (void)state;
    const int64_t timeouts[] = {0, -1, MS, WEFT_FOREVER};
    for (unsigned i = 0; i < 4; i++) {
        weft_queue *queue = completed(NULL, 0, timeouts[i]);
        assert_none(queue, 0, ENODATA);
        assert_none(queue, WEFT_FOREVER, ENODATA);
        weft_queue_destroy(queue);
    }
}

static void test_asc_01_bad_arrays(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_future *done = test_done_future(executor), *futures[] = {done, NULL, done};
    errno = 0;
    assert_null(weft_as_completed(NULL, 1, 0));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(weft_as_completed(futures, 3, 0));
    assert_int_equal(errno, EINVAL);
    weft_queue *queue = completed(futures, 1, WEFT_FOREVER);
    assert_int_equal(weft_queue_add(queue, done, NULL), -EINVAL);
    assert_next(queue, done, 0);
    weft_queue_destroy(queue);
    weft_future_release(done);
    test_destroy(executor);
}

/* Many jobs of two executors, each several times in the array: each comes once, under its first index. */
static void test_asc_01_many_with_duplicates(void **state)
{
    (void)state;
    enum { N = 700, ARRAY = 3 * N };
    static weft_future *array[ARRAY];
    static bool came[ARRAY];
    weft_executor *executors[] = {test_executor(2), test_executor(1)};
    memset(came, 0, sizeof came);
    for (uintptr_t i = 0; i < ARRAY; i++) {
        array[i] = i < N ? weft_submit(executors[i % 2], test_job_return_arg, (void *)i) : array[i * 7 % N];
        assert_non_null(array[i]);
    }
    weft_queue *queue = completed(array, ARRAY, test_patience());
    for (unsigned i = 0; i < N; i++) {
        void *tag = NULL;
        weft_future *next = weft_queue_next(queue, WEFT_FOREVER, &tag);
        assert_ptr_equal(next, array[(uintptr_t)tag]);
        assert_true((uintptr_t)tag < N && !came[(uintptr_t)tag]);
        came[(uintptr_t)tag] = true;
        assert_ok(next, tag);
        weft_future_release(next);
    }
    assert_none(queue, 0, ENODATA);
    weft_queue_destroy(queue);
    for (unsigned i = 0; i < N; i++) {
        weft_future_release(array[i]);
    }
    test_destroy(executors[0]);
    test_destroy(executors[1]);
}

/* The array and the caller's references are needed during the call only. */
static void test_asc_01_holds_the_futures(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *cell = cell_make(gate, 0);
    weft_future *futures[] = {submit(executor, cell)};
    weft_queue *queue = completed(futures, 1, WEFT_FOREVER);
    weft_future_release(futures[0]);
    futures[0] = NULL;
    test_gate_open(gate);
    void *value = NULL;
    assert_int_equal(weft_await(weft_queue_next(queue, test_patience(), NULL), &value), 0);
    assert_ptr_equal(value, cell);
    weft_queue_destroy(queue);
    test_destroy(executor);
}

static void test_asc_02_timeout_zero(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned negative = 0; negative < 2; negative++) {
        inputs in = inputs_make(executor, 4);
        weft_promise_resolve(in.promise[2], NULL, NULL);
        weft_promise_resolve(in.promise[1], NULL, NULL);
        weft_queue *queue = completed(in.future, 4, negative ? -5 : 0);
        assert_next(queue, in.future[1], 1);
        assert_unattached(in.future[0]);
        assert_unattached(in.future[3]);
        weft_promise_resolve(in.promise[3], NULL, NULL);
        assert_next(queue, in.future[2], 2);
        for (unsigned i = 0; i < 3; i++) {
            assert_none(queue, i == 0 ? 0 : WEFT_FOREVER, ETIMEDOUT);
        }
        assert_int_equal(weft_future_state(in.future[0]), WEFT_PENDING);
        weft_queue_destroy(queue);
        inputs_free(&in);
    }
    test_destroy(executor);
}

/* The deadline counts from the creation, for all calls together, also for one that would wait for ever. */
static void test_asc_02_deadline_on_the_real_clock(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    int64_t start = weft_now();
    weft_queue *queue = completed(in.future, 2, 40 * MS);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    assert_next(queue, in.future[1], 1);
    assert_none(queue, 0, ETIMEDOUT);
    assert_none(queue, 5 * MS, ETIMEDOUT); /* the smaller of the two */
    assert_true(weft_now() - start >= 5 * MS);
    assert_none(queue, WEFT_FOREVER, ETIMEDOUT);
    int64_t took = weft_now() - start;
    assert_true(took >= 40 * MS);
    assert_true(took <= 40 * MS + test_late());
    assert_int_equal(weft_future_state(in.future[0]), WEFT_PENDING);
    assert_unattached(in.future[0]);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_none(queue, 0, ETIMEDOUT);
    assert_none(queue, WEFT_FOREVER, ETIMEDOUT);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* A timeout of one call does not end the queue. */
static void test_asc_02_a_call_that_ends_before_the_deadline(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 1);
    weft_queue *queue = completed(in.future, 1, test_patience());
    assert_none(queue, 5 * MS, ETIMEDOUT);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_next(queue, in.future[0], 0);
    assert_none(queue, 0, ENODATA);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* Nothing was missed, so the end is the ordinary one, however late it is asked for. */
static void test_asc_02_all_done_in_time(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    weft_queue *queue = completed(in.future, 2, 0);
    assert_next(queue, in.future[0], 0);
    assert_next(queue, in.future[1], 1);
    assert_none(queue, 0, ENODATA);
    assert_none(queue, WEFT_FOREVER, ENODATA);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

typedef struct blocked {
    weft_queue *queue; /* by the test, before it starts */
    weft_future *future;
    int code;
    int64_t ended;
} blocked;

static void *blocks(void *argument)
{
    blocked *self = argument;
    self->future = weft_queue_next(self->queue, WEFT_FOREVER, NULL);
    self->code = self->future ? 0 : errno;
    self->ended = weft_now();
    return NULL;
}

static void test_asc_02_all_that_are_blocked_see_the_deadline(void **state)
{
    (void)state;
    static blocked b[4];
    weft_executor *executor = test_executor(2);
    inputs in = inputs_make(executor, 2);
    int64_t start = weft_now();
    weft_queue *queue = completed(in.future, 2, 40 * MS);
    for (unsigned i = 0; i < 4; i++) {
        b[i] = (blocked){.queue = queue};
    }
    pthread_t threads[] = {test_spawn(blocks, &b[0]), test_spawn(blocks, &b[1])};
    weft_future *jobs[] = {weft_submit(executor, blocks, &b[2]), weft_submit(executor, blocks, &b[3])};
    for (unsigned i = 0; i < 2; i++) {
        test_join(threads[i]);
        assert_int_equal(weft_await(jobs[i], NULL), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(b[i].code, ETIMEDOUT);
        assert_true(b[i].ended - start >= 40 * MS);
    }
    assert_unattached(in.future[0]);
    assert_unattached(in.future[1]);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* A settler that is stopped when its future is done and the queue not told of it. */
typedef struct stop {
    weft__waiter node; /* must be first */
    test_gate *gate;   /* NULL: looks at the queue on this stack instead */
    weft_queue *queue;
    weft_future *future;
} stop;

static void stopped(weft__waiter *node)
{
    stop *self = (stop *)(void *)node;
    if (self->gate != NULL) {
        test_gate_pass(self->gate);
        return;
    }
    weft_future *next = weft_queue_next(self->queue, 0, NULL);
    TEST_EXPECT(next == self->future);
    weft_future_release(next);
    TEST_EXPECT(weft_queue_next(self->queue, WEFT_FOREVER, NULL) == NULL && errno == ETIMEDOUT);
}

static void *resolve(void *promise)
{
    TEST_EXPECT(weft_promise_resolve(promise, NULL, NULL) == 0);
    return NULL;
}

/* What is done at the deadline is delivered, though it is only on its way; and destroy does not wait for it. */
static void test_asc_02_done_at_the_deadline_and_on_its_way(void **state)
{
    (void)state;
    static stop self;
    weft_executor *executor = test_executor(0);
    for (unsigned when = 0; when < 3; when++) { /* its push comes before the next call, before destroy, after it */
        inputs in = inputs_make(executor, 3);
        self = (stop){.node.notify = stopped, .gate = test_gate_make()};
        assert_true(weft__attach(in.future[1], &self.node));
        weft_queue *queue = completed(in.future, 3, 0);
        pthread_t thread = test_spawn(resolve, in.promise[1]);
        assert_true(test_gate_await(self.gate, 1));
        weft_promise_resolve(in.promise[2], NULL, NULL);
        assert_next(queue, in.future[2], 2);
        assert_next(queue, in.future[1], 1);
        if (when == 0) {
            test_gate_open(self.gate);
            test_join(thread);
        }
        assert_none(queue, WEFT_FOREVER, ETIMEDOUT);
        if (when == 1) {
            test_gate_open(self.gate);
            test_join(thread);
        }
        weft_queue_destroy(queue);
        if (when == 2) {
            test_gate_open(self.gate);
            test_join(thread);
        }
        assert_unattached(in.future[0]);
        assert_ok(in.future[1], NULL);
        inputs_free(&in);
    }
    test_destroy(executor);
}

static void test_asc_02_deadline_found_on_the_stack_of_a_settler(void **state)
{
    (void)state;
    static stop self;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    self = (stop){.node.notify = stopped, .future = in.future[0]};
    assert_true(weft__attach(in.future[0], &self.node));
    self.queue = completed(in.future, 2, 0);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_none(self.queue, 0, ETIMEDOUT);
    weft_queue_destroy(self.queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* The deadline passes while futures become done. Each comes once or not at all; once there is none, none comes. */
static void *resolve_four(void *argument)
{
    inputs *in = argument;
    for (unsigned i = 0; i < MOST; i++) {
        resolve(in->promise[i]);
    }
    return NULL;
}

static void test_asc_02_deadline_races_with_completion(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned i = 0; i < test_rounds(1500); i++) {
        inputs in = inputs_make(executor, MOST);
        weft_queue *queue = completed(in.future, MOST, (int64_t)(i % 16) * 20000);
        pthread_t thread = test_spawn(resolve_four, &in);
        unsigned came = 0;
        for (weft_future *next; (next = weft_queue_next(queue, WEFT_FOREVER, NULL)); came++) {
            assert_true(weft_future_done(next));
            weft_future_release(next);
        }
        assert_int_equal(errno, came == MOST ? ENODATA : ETIMEDOUT);
        if (i % 2) {
            weft_queue_destroy(queue);
        }
        test_join(thread);
        if (i % 2 == 0) {
            assert_none(queue, 0, came == MOST ? ENODATA : ETIMEDOUT);
            weft_queue_destroy(queue);
        }
        inputs_free(&in);
    }
    test_destroy(executor);
}

static void test_asc_03_stopped_and_resumed(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 3);
    weft_queue *queue = completed(in.future, 3, WEFT_FOREVER);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_next(queue, in.future[1], 1);
    weft_promise_resolve(in.promise[2], NULL, NULL);
    assert_int_equal(weft_future_wait(in.future[2], 0), 0);
    assert_next(queue, in.future[0], 0);
    assert_next(queue, in.future[2], 2);
    assert_none(queue, 0, ENODATA);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_asc_03_destroyed_early(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    test_cell *cell = cell_make(NULL, 0);
    inputs in = inputs_make(executor, 3);
    weft_future *futures[] = {in.future[0], submit(executor, cell), in.future[1], in.future[2]};
    weft_queue *queue = completed(futures, 4, WEFT_FOREVER);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    weft_promise_resolve(in.promise[1], NULL, NULL);
    assert_next(queue, futures[0], 0);
    weft_queue_destroy(queue);
    for (unsigned i = 0; i < 4; i++) {
        assert_unattached(futures[i]);
    }
    assert_int_equal(weft_future_state(futures[1]), WEFT_PENDING);
    assert_int_equal(weft_promise_resolve(in.promise[2], NULL, NULL), 0);
    test_unblock(gate);
    assert_done_soon(futures[1]);
    assert_ok(futures[1], cell);
    weft_future_release(futures[1]);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_asc_03_with_a_descriptor(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    weft_queue *queue = completed(in.future, 2, WEFT_FOREVER);
    struct pollfd p = {.fd = weft_queue_fd(queue), .events = POLLIN};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(poll(&p, 1, 0), 0);
        weft_promise_resolve(in.promise[i], NULL, NULL);
        assert_int_equal(poll(&p, 1, 0), 1);
        assert_next(queue, in.future[i], i);
    }
    assert_int_equal(poll(&p, 1, 0), 0);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* The worker that would come to the job stands at a gate all the time. */
static void test_can_02_as_completed_sees_it_at_once(void **state)
{
    (void)state;
    static blocked b[3];
    weft_executor *executor = test_executor(2);
    weft_executor *other = test_executor(1);
    test_gate *gate = test_block(executor, 2);
    weft_future *queued = submit(executor, cell_make(NULL, 0));
    pthread_t threads[2];
    for (unsigned i = 0; i < 3; i++) {
        b[i] = (blocked){.queue = completed(&queued, 1, i ? WEFT_FOREVER : test_patience())};
    }
    threads[0] = test_spawn(blocks, &b[0]);
    threads[1] = test_spawn(blocks, &b[1]);
    weft_future *job = weft_submit(other, blocks, &b[2]);
    assert_int_equal(weft_cancel(queued), WEFT_CANCEL_DONE);
    test_join(threads[0]);
    test_join(threads[1]);
    assert_int_equal(weft_await(job, NULL), 0);
    assert_int_equal(test_gate_inside(gate), 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(b[i].future, queued);
        assert_cancelled(b[i].future, WEFT_REASON_USER);
        weft_future_release(b[i].future);
        assert_none(b[i].queue, WEFT_FOREVER, ENODATA);
        weft_queue_destroy(b[i].queue);
    }
    weft_future_release(queued);
    test_unblock(gate);
    test_destroy(other);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_asc_01_done_first_then_as_they_complete),
        TEST(test_asc_01_of_none),
        TEST(test_asc_01_bad_arrays),
        TEST(test_asc_01_many_with_duplicates),
        TEST(test_asc_01_holds_the_futures),
        TEST(test_asc_02_timeout_zero),
        TEST(test_asc_02_deadline_on_the_real_clock),
        TEST(test_asc_02_a_call_that_ends_before_the_deadline),
        TEST(test_asc_02_all_done_in_time),
        TEST(test_asc_02_all_that_are_blocked_see_the_deadline),
        TEST(test_asc_02_done_at_the_deadline_and_on_its_way),
        TEST(test_asc_02_deadline_found_on_the_stack_of_a_settler),
        TEST(test_asc_02_deadline_races_with_completion),
        TEST(test_asc_03_stopped_and_resumed),
        TEST(test_asc_03_destroyed_early),
        TEST(test_asc_03_with_a_descriptor),
        TEST(test_can_02_as_completed_sees_it_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
