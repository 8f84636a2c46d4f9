/* test_queue_end.c: a queue of completions that is destroyed while its futures become done.
 *
 * Discipline. Once as a race, in which whatever happens the futures are as if there had been no queue, and the
 * descriptor is closed when destroy returns; and once for each place where a settler may be at that time, where it is
 * stopped. To stop one between the moment when its future is done and the one when the queue learns of it, a node with
 * a gate is attached to the future before it is added: nodes are told in the order in which they were attached. */
#include "fixtures.h"
#include "queue.h"

#include <fcntl.h>
#include <poll.h>

static weft_queue *queue_make(weft_executor *executor)
{
    weft_queue *queue = weft_queue_create(executor);
    assert_non_null(queue);
    return queue;
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

typedef struct resolver {
    inputs in;
    test_barrier *begin; /* NULL: at once */
} resolver;

static void *resolve_all(void *argument)
{
    resolver *self = argument;
    if (self->begin != NULL) {
        test_barrier_meet(self->begin);
    }
    for (size_t i = 0; i < self->in.n; i++) {
        weft_promise_resolve(self->in.promise[i], NULL, NULL);
    }
    return NULL;
}

/* Destroyed when some of the futures may be done, some at it, some not, and those that came perhaps delivered. */
static void test_queue_destroyed_while_futures_become_done(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (unsigned i = 0; i < test_rounds(1500); i++) {
        weft_queue *queue = queue_make(executor);
        inputs in = inputs_make(executor, MOST);
        int fd = i % 2 ? weft_queue_fd(queue) : -1;
        for (unsigned j = 0; j < MOST; j++) {
            assert_int_equal(weft_queue_add(queue, in.future[j], NULL), 0);
        }
        resolver other = {in, test_barrier_make(2)};
        pthread_t thread = test_spawn(resolve_all, &other);
        test_barrier_meet(other.begin);
        for (unsigned taken = 0; taken < i / 2 % (MOST + 1);) {
            if (fd >= 0 && i % 3 && !readable(fd)) {
                continue;
            }
            weft_future *next = weft_queue_next(queue, i % 3 ? 0 : test_patience(), NULL);
            taken += next != NULL;
            weft_future_release(next);
        }
        weft_queue_destroy(queue);
        assert_true(fd < 0 || fcntl(fd, F_GETFD) == -1);
        test_join(thread);
        for (unsigned j = 0; j < MOST; j++) {
            assert_ok(in.future[j], NULL);
        }
        inputs_free(&in);
    }
    test_destroy(executor);
}

typedef struct destroyer {
    weft_queue *queue;
    test_latch *returned;
} destroyer;

static void *destroy(void *argument)
{
    destroyer *self = argument;
    weft_queue_destroy(self->queue);
    test_latch_hit(self->returned);
    return NULL;
}

/* A push that has cleared bits and not yet answered, its entry delivered: destroy waits for it. The push is made by
 * hand, so that it can stop there. */
static void test_queue_destroyed_while_an_answer_is_owed(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 1);
    assert_true(weft_queue_fd(queue) >= 0);
    assert_int_equal(weft_queue_add(queue, in.future[0], NULL), 0);
    weft__completion *entry = weft__node_completion(in.future[0]->waiters);
    assert_true(weft__detach(in.future[0], &entry->node));
    weft_promise_resolve(in.promise[0], NULL, NULL);
    entry->node.next = NULL;
    uintptr_t seen = atomic_exchange_explicit(&queue->head, (uintptr_t)entry, memory_order_acq_rel);
    assert_int_equal(seen, WEFT__QUEUE_WATCHED);
    weft_future_release(weft_queue_next(queue, 0, NULL));
    destroyer other = {queue, test_latch_make()};
    pthread_t thread = test_spawn(destroy, &other);
    test_pause(10 * MS);
    assert_int_equal(test_latch_count(other.returned), 0);
    pthread_mutex_lock(&queue->lock);
    atomic_fetch_add_explicit(&queue->answered, 1, memory_order_relaxed);
    weft__futex_wake(&queue->answered, 1);
    pthread_mutex_unlock(&queue->lock);
    test_join(thread);
    inputs_free(&in);
    test_destroy(executor);
}

/* A node that is told before the queue's, and stops the settler, or destroys the queue on its stack. */
typedef struct stop {
    weft__waiter node; /* must be first */
    test_gate *gate;   /* NULL: none */
    weft_queue *queue; /* to destroy; NULL: none */
} stop;

static void stopped(weft__waiter *node)
{
    stop *self = (stop *)(void *)node;
    if (self->gate != NULL) {
        test_gate_pass(self->gate);
    }
    weft_queue_destroy(self->queue);
}

static void test_queue_destroyed_before_its_settlers_come(void **state)
{
    (void)state;
    static stop stops[2];
    weft_executor *executor = test_executor(1);
    for (unsigned first = 0; first < 2; first++) {
        weft_queue *queue = queue_make(executor);
        inputs in = inputs_make(executor, 4);
        for (unsigned i = 0; i < 2; i++) {
            stops[i] = (stop){{.notify = stopped}, test_gate_make(), NULL};
            assert_true(weft__attach(in.future[i], &stops[i].node));
        }
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(weft_queue_add(queue, in.future[i], NULL), 0);
        }
        resolver halves[] = {{.in = {.n = 1, .promise = {in.promise[0]}}},
                             {.in = {.n = 1, .promise = {in.promise[1]}}}};
        pthread_t threads[] = {test_spawn(resolve_all, &halves[0]), test_spawn(resolve_all, &halves[1])};
        assert_true(test_gate_await(stops[0].gate, 1) && test_gate_await(stops[1].gate, 1));
        weft_promise_resolve(in.promise[2], NULL, NULL);
        if (first) {
            test_gate_open(stops[0].gate); /* one arrives in time, or at the very end */
        }
        weft_queue_destroy(queue);
        for (unsigned i = 0; i < 2; i++) {
            test_gate_open(stops[i].gate);
            test_join(threads[i]);
        }
        assert_int_equal(weft_future_state(in.future[3]), WEFT_PENDING);
        inputs_free(&in);
    }
    test_destroy(executor);
}

static void test_queue_destroyed_on_the_stack_of_a_settler(void **state)
{
    (void)state;
    static stop self;
    weft_executor *executor = test_executor(1);
    weft_queue *queue = queue_make(executor);
    inputs in = inputs_make(executor, 2);
    assert_true(weft_queue_fd(queue) >= 0);
    self = (stop){{.notify = stopped}, NULL, queue};
    assert_true(weft__attach(in.future[0], &self.node));
    assert_int_equal(weft_queue_add(queue, in.future[0], NULL), 0);
    assert_int_equal(weft_queue_add(queue, in.future[0], NULL), 0);
    assert_int_equal(weft_queue_add(queue, in.future[1], NULL), 0);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_int_equal(weft_future_state(in.future[1]), WEFT_PENDING);
    assert_null(in.future[1]->waiters);
    inputs_free(&in);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_queue_destroyed_while_futures_become_done),
        TEST(test_queue_destroyed_while_an_answer_is_owed),
        TEST(test_queue_destroyed_before_its_settlers_come),
        TEST(test_queue_destroyed_on_the_stack_of_a_settler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
