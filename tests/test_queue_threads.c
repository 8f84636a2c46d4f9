/* test_queue_threads.c: a queue of completions under several threads: who blocks in it, and who wakes whom.
 *
 * Discipline. That a thread is blocked is read in the queue itself, under its lock, and two completions that must both
 * be there before anybody acts on them are made while the test holds that lock. What happens when the queue ends stands
 * in test_queue_end.c. */
#include "fixtures.h"
#include "queue.h"

static weft_queue *queue_make(weft_executor *executor)
{
    weft_queue *queue = weft_queue_create(executor);
    assert_non_null(queue);
    return queue;
}

/* Consumers. */

typedef struct consumer {
    weft_queue *queue;    /* the first three by the test, before it starts */
    int64_t timeout;      /* of each call */
    unsigned most;        /* how many it takes */
    test_latch *started;  /* hit before the first call */
    unsigned taken;       /* how many it took; read when it has ended, as the rest */
    void *tag;            /* of the last one */
    int code;             /* errno of the call that took none, or 0 */
    int64_t waited;       /* in the last call */
    _Atomic(bool) *given; /* by tag; NULL: tags are not looked at */
} consumer;

static void *consume(void *argument)
{
    consumer *c = argument;
    test_latch_hit(c->started);
    while (c->taken < c->most) {
        int64_t start = weft_now();
        weft_future *future = weft_queue_next(c->queue, c->timeout, &c->tag);
        c->waited = weft_now() - start;
        if (future == NULL) {
            c->code = errno;
            break;
        }
        TEST_EXPECT(weft_future_done(future));
        if (c->given != NULL) {
            TEST_EXPECT(!atomic_exchange_explicit(&c->given[(uintptr_t)c->tag], true, memory_order_acq_rel));
        }
        c->taken++;
        weft_future_release(future);
    }
    return NULL;
}

static consumer consumer_of(weft_queue *queue, int64_t timeout, unsigned most)
{
    return (consumer){.queue = queue, .timeout = timeout, .most = most, .started = test_latch_make()};
}

typedef struct crowd {
    weft_queue *queue;
    unsigned blocked;
} crowd;

static bool so_many_block(void *data)
{
    const crowd *wanted = data;
    unsigned found = 0;
    pthread_mutex_lock(&wanted->queue->lock);
    for (const weft__consumer *c = wanted->queue->first; c != NULL; c = c->next) {
        found++;
    }
    pthread_mutex_unlock(&wanted->queue->lock);
    return found == wanted->blocked;
}

static void await_blocked(weft_queue *queue, unsigned n)
{
    crowd wanted = {queue, n};
    assert_true(test_until(so_many_block, &wanted));
}

static void test_queue_wakes_one_that_is_blocked(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (unsigned inside = 0; inside < 2; inside++) {
        for (unsigned timed = 0; timed < 2; timed++) {
            static consumer c;
            weft_queue *queue = queue_make(executor);
            inputs in = inputs_make(executor, 2);
            assert_int_equal(weft_queue_add(queue, in.future[0], &c), 0);
            assert_int_equal(weft_queue_add(queue, in.future[1], NULL), 0);
            c = consumer_of(queue, timed ? test_patience() : WEFT_FOREVER, 1);
            weft_future *job = inside ? weft_submit(executor, consume, &c) : NULL;
            pthread_t thread = inside ? pthread_self() : test_spawn(consume, &c);
            await_blocked(queue, 1);
            weft_promise_resolve(in.promise[0], NULL, NULL);
            if (inside) {
                assert_int_equal(weft_await(job, NULL), 0);
            } else {
                test_join(thread);
            }
            assert_int_equal(c.taken, 1);
            assert_ptr_equal(c.tag, &c);
            weft_queue_destroy(queue);
            inputs_free(&in);
        }
    }
    test_destroy(executor);
}

static void test_queue_next_ends_in_time(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 1);
    assert_int_equal(weft_queue_add(queue, in.future[0], NULL), 0);
    for (unsigned inside = 0; inside < 2; inside++) {
        static consumer c;
        c = consumer_of(queue, 20 * MS, 1);
        if (inside) {
            assert_int_equal(weft_await(weft_submit(executor, consume, &c), NULL), 0);
        } else {
            consume(&c);
        }
        assert_int_equal(c.code, ETIMEDOUT);
        assert_true(c.waited >= 20 * MS);
        assert_true(c.waited <= 20 * MS + test_late());
        await_blocked(queue, 0);
    }
    weft_promise_resolve(in.promise[0], NULL, NULL);
    weft_future_release(weft_queue_next(queue, 0, NULL));
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* In a job, with one worker: others run meanwhile, on a thread that stands in, and not on the stack of the one that
 * waits. */
typedef struct parent {
    weft_executor *executor;
    test_cell *cells[3];
    int64_t timeout;
    int worker;
} parent;

static void *parent_job(void *argument)
{
    parent *self = argument;
    weft_queue *queue = weft_queue_create(NULL);
    self->worker = weft_worker_index();
    for (unsigned i = 0; i < 3; i++) {
        weft_future *child = weft_submit(self->executor, test_cell_run, self->cells[i]);
        TEST_EXPECT(weft_queue_add(queue, child, self->cells[i]) == 0);
        weft_future_release(child);
    }
    for (unsigned i = 0; i < 3; i++) {
        void *tag = NULL, *value = NULL;
        weft_future *child = weft_queue_next(queue, self->timeout, &tag);
        TEST_EXPECT(weft_await(child, &value) == 0 && value == tag);
    }
    TEST_EXPECT(weft_queue_next(queue, self->timeout, NULL) == NULL && errno == ENODATA);
    weft_queue_destroy(queue);
    return NULL;
}

static void test_queue_next_in_a_job_of_a_single_worker(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (unsigned timed = 0; timed < 2; timed++) {
        static parent self;
        self = (parent){executor, {cell_make(NULL, 0), cell_make(NULL, 0), cell_make(NULL, 0)}, WEFT_FOREVER, -1};
        self.timeout = timed ? test_patience() : WEFT_FOREVER;
        assert_int_equal(weft_await(weft_submit(executor, parent_job, &self), NULL), 0);
        assert_int_equal(test_get(self.cells[2]->ran), 1);
        for (unsigned i = 0; i < 3; i++) {
            assert_true(test_get(self.cells[i]->worker) != self.worker);
        }
    }
    test_destroy(executor);
}

static int on_the_coordinator(weft_future *done, void *data)
{
    weft_queue *queue = data;
    TEST_EXPECT(weft_queue_next(queue, WEFT_FOREVER, NULL) == NULL && errno == EDEADLK);
    TEST_EXPECT(weft_queue_next(queue, MS, NULL) == NULL && errno == EDEADLK);
    TEST_EXPECT(weft_queue_next(queue, 0, NULL) == NULL && errno == ETIMEDOUT);
    TEST_EXPECT(weft_queue_add(queue, done, NULL) == 0);
    weft_future *next = weft_queue_next(queue, WEFT_FOREVER, NULL);
    TEST_EXPECT(next == done);
    weft_future_release(next);
    return 0;
}

static void test_queue_next_on_a_coordinator(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 1);
    weft_future *done = test_done_future(executor);
    assert_int_equal(weft_queue_add(queue, in.future[0], NULL), 0);
    assert_int_equal(weft_on_done(done, on_the_coordinator, queue, NULL), 0);
    flush(executor);
    weft_queue_destroy(queue);
    weft_future_release(done);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_queue_next_in_a_job_that_is_asked_to_stop(void **state)
{
    (void)state;
    static consumer c;
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 1);
    assert_int_equal(weft_queue_add(queue, in.future[0], NULL), 0);
    for (unsigned timed = 0; timed < 2; timed++) {
        c = consumer_of(queue, timed ? test_patience() : WEFT_FOREVER, 1);
        weft_future *job = weft_submit(executor, consume, &c);
        await_blocked(queue, 1);
        assert_int_equal(weft_cancel(job), WEFT_CANCEL_REQUESTED);
        assert_int_equal(weft_await(job, NULL), 0);
        assert_int_equal(c.code, EINTR);
        await_blocked(queue, 0);
    }
    assert_int_equal(weft_future_state(in.future[0]), WEFT_PENDING);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

typedef struct late_caller {
    weft_queue *queue;
    weft_future *done;
    test_gate *gate;
} late_caller;

static void *calls_after_the_request(void *argument)
{
    late_caller *self = argument;
    test_gate_pass(self->gate);
    TEST_EXPECT(weft_cancelled());
    TEST_EXPECT(weft_queue_next(self->queue, WEFT_FOREVER, NULL) == NULL && errno == EINTR);
    TEST_EXPECT(weft_queue_next(self->queue, 0, NULL) == NULL && errno == EINTR);
    TEST_EXPECT(weft_queue_add(self->queue, self->done, NULL) == 0);
    weft_future *next = weft_queue_next(self->queue, WEFT_FOREVER, NULL);
    TEST_EXPECT(next == self->done);
    weft_future_release(next);
    weft_queue_destroy(self->queue);
    self->queue = weft_queue_create(NULL);
    TEST_EXPECT(weft_queue_next(self->queue, WEFT_FOREVER, NULL) == NULL && errno == ENODATA);
    return NULL;
}

static void test_queue_next_begun_after_the_request(void **state)
{
    (void)state;
    static late_caller self;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    self = (late_caller){queue_make(executor), test_done_future(executor), test_gate_make()};
    assert_int_equal(weft_queue_add(self.queue, in.future[0], NULL), 0);
    weft_future *job = weft_submit(executor, calls_after_the_request, &self);
    assert_true(test_gate_await(self.gate, 1));
    assert_int_equal(weft_cancel(job), WEFT_CANCEL_REQUESTED);
    test_gate_open(self.gate);
    assert_int_equal(weft_await(job, NULL), 0);
    weft_queue_destroy(self.queue);
    weft_future_release(self.done);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_queue_next_without_a_spare(void **state)
{
    (void)state;
    static consumer c[2];
    weft_executor_options options = {.workers = 1, .max_spares = 1};
    weft_executor *executor = test_executor_with(&options);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 2);
    assert_int_equal(weft_queue_add(queue, in.future[0], NULL), 0);
    assert_int_equal(weft_queue_add(queue, in.future[1], NULL), 0);
    c[0] = c[1] = consumer_of(queue, WEFT_FOREVER, 1);
    weft_future *first = weft_submit(executor, consume, &c[0]);
    await_blocked(queue, 1);
    weft_future *second = weft_submit(executor, consume, &c[1]);
    assert_int_equal(weft_await(second, NULL), 0);
    assert_int_equal(c[1].code, EAGAIN);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_int_equal(weft_await(first, NULL), 0);
    assert_int_equal(c[0].taken, 1);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* One is left for several that are blocked: one gets it, the others are told that there is no more. */
static void test_queue_tells_the_others_that_none_is_left(void **state)
{
    (void)state;
    enum { N = 4 };
    static consumer c[N];
    weft_executor *executor = test_executor(2);
    for (unsigned inside = 0; inside < 2; inside++) {
        weft_queue *queue = queue_make(executor);
        inputs in = inputs_make(executor, 1);
        assert_int_equal(weft_queue_add(queue, in.future[0], NULL), 0);
        pthread_t threads[N];
        weft_future *jobs[N];
        for (unsigned i = 0; i < N; i++) {
            c[i] = consumer_of(queue, WEFT_FOREVER, 2);
            if (inside) {
                jobs[i] = weft_submit(executor, consume, &c[i]);
            } else {
                threads[i] = test_spawn(consume, &c[i]);
            }
        }
        await_blocked(queue, N);
        weft_promise_resolve(in.promise[0], NULL, NULL);
        unsigned taken = 0;
        for (unsigned i = 0; i < N; i++) {
            if (inside) {
                assert_int_equal(weft_await(jobs[i], NULL), 0);
            } else {
                test_join(threads[i]);
            }
            assert_int_equal(c[i].code, ENODATA);
            taken += c[i].taken;
        }
        assert_int_equal(taken, 1);
        weft_queue_destroy(queue);
        inputs_free(&in);
    }
    test_destroy(executor);
}

/* The second of two completions finds nobody to wake, because the first is about to: whoever that wakes has to pass it
 * on. The lock is held until both are there. */
static bool is_pushed(void *queue)
{
    return atomic_load_explicit(&((weft_queue *)queue)->head, memory_order_acquire) > WEFT__QUEUE_CLOSED;
}

static void *resolve(void *promise)
{
    TEST_EXPECT(weft_promise_resolve(promise, NULL, NULL) == 0);
    return NULL;
}

static void test_queue_passes_a_wake_up_on(void **state)
{
    (void)state;
    static consumer c[3];
    weft_executor *executor = test_executor(2);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(weft_queue_add(queue, in.future[i], NULL), 0);
    }
    c[0] = c[1] = c[2] = consumer_of(queue, WEFT_FOREVER, 1);
    pthread_t threads[] = {test_spawn(consume, &c[0]), test_spawn(consume, &c[1])};
    weft_future *job = weft_submit(executor, consume, &c[2]);
    await_blocked(queue, 3);
    pthread_mutex_lock(&queue->lock);
    pthread_t thread = test_spawn(resolve, in.promise[0]);
    assert_true(test_until(is_pushed, queue));
    weft_promise_resolve(in.promise[1], NULL, NULL);
    weft_promise_resolve(in.promise[2], NULL, NULL);
    pthread_mutex_unlock(&queue->lock);
    test_join(thread);
    test_join(threads[0]);
    test_join(threads[1]);
    assert_int_equal(weft_await(job, NULL), 0);
    assert_int_equal(c[0].taken + c[1].taken + c[2].taken, 3);
    weft_queue_destroy(queue);
    inputs_free(&in);
    test_destroy(executor);
}

/* Producers that add and consumers that block, in and outside of jobs, over two executors. Oracle: each tag once. */

enum { PRODUCERS = 2, PER_PRODUCER = 300, ALL = PRODUCERS * PER_PRODUCER };

typedef struct producer {
    weft_queue *queue;
    weft_executor *executors[2];
    uintptr_t first;
    test_barrier *begin;
} producer;

static void *produce(void *argument)
{
    producer *self = argument;
    test_barrier_meet(self->begin);
    for (uintptr_t i = self->first; i < self->first + PER_PRODUCER; i++) {
        weft_future *job = weft_submit(self->executors[i % 2], test_job_return_arg, (void *)i);
        TEST_EXPECT(weft_queue_add(self->queue, job, (void *)i) == 0);
        weft_future_release(job);
    }
    return NULL;
}

static void one_round(weft_executor *executors[2], bool watched)
{
    enum { OUTSIDE = 2, INSIDE = 2, CONSUMERS = OUTSIDE + INSIDE };
    static consumer c[CONSUMERS];
    static _Atomic(bool) given[ALL + 1];
    static producer producers[PRODUCERS];
    weft_queue *queue = queue_make(executors[0]);
    inputs in = inputs_make(executors[0], 1);
    assert_int_equal(weft_queue_add(queue, in.future[0], (void *)0), 0); /* so that it does not run empty too soon */
    assert_true(!watched || weft_queue_fd(queue) >= 0);
    memset((void *)given, 0, sizeof given);
    test_barrier *begin = test_barrier_make(PRODUCERS);
    pthread_t threads[PRODUCERS + OUTSIDE];
    weft_future *jobs[INSIDE];
    for (unsigned i = 0; i < CONSUMERS; i++) {
        c[i] = consumer_of(queue, i % 2 ? WEFT_FOREVER : test_patience(), ALL + 2);
        c[i].given = given;
        if (i < OUTSIDE) {
            threads[i] = test_spawn(consume, &c[i]);
        } else {
            jobs[i - OUTSIDE] = weft_submit(executors[i % 2], consume, &c[i]);
        }
    }
    for (unsigned i = 0; i < PRODUCERS; i++) {
        producers[i] = (producer){queue, {executors[0], executors[1]}, 1 + i * PER_PRODUCER, begin};
        threads[OUTSIDE + i] = test_spawn(produce, &producers[i]);
    }
    for (unsigned i = 0; i < PRODUCERS; i++) {
        test_join(threads[OUTSIDE + i]);
    }
    weft_promise_resolve(in.promise[0], NULL, NULL);
    unsigned taken = 0;
    for (unsigned i = 0; i < CONSUMERS; i++) {
        if (i < OUTSIDE) {
            test_join(threads[i]);
        } else {
            assert_int_equal(weft_await(jobs[i - OUTSIDE], NULL), 0);
        }
        assert_int_equal(c[i].code, ENODATA);
        taken += c[i].taken;
    }
    assert_int_equal(taken, ALL + 1);
    weft_queue_destroy(queue);
    inputs_free(&in);
}

static void test_queue_delivers_each_once_to_many(void **state)
{
    (void)state;
    weft_executor *executors[] = {test_executor(2), test_executor(1)};
    for (unsigned i = 0; i < test_rounds(40); i++) {
        one_round(executors, i % 2);
    }
    test_destroy(executors[0]);
    test_destroy(executors[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_queue_wakes_one_that_is_blocked),
        TEST(test_queue_next_ends_in_time),
        TEST(test_queue_next_in_a_job_of_a_single_worker),
        TEST(test_queue_next_on_a_coordinator),
        TEST(test_queue_next_in_a_job_that_is_asked_to_stop),
        TEST(test_queue_next_begun_after_the_request),
        TEST(test_queue_next_without_a_spare),
        TEST(test_queue_tells_the_others_that_none_is_left),
        TEST(test_queue_passes_a_wake_up_on),
        TEST(test_queue_delivers_each_once_to_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
