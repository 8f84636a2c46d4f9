/* test_matrix_fork.c: the last column of the table in weft/base.h: every call in a forked child, on inherited objects
 * of every kind.
 *
 * Discipline. Nothing may hang, whatever locks the parent held: the thread that forks holds those that it can reach,
 * and what the child would take of them stays taken for ever. The parent then ends everything and finds it as it
 * was. */
#define _GNU_SOURCE
#include "matrix.h"

#include "queue.h"
#include "token.h"

#include <signal.h>

enum { FUTURES = 2 * DERIVED + 4, TOKENS = 4 };

typedef struct estate {
    weft_executor *executor;
    place where;
    weft_promise *promise;
    weft_future *future[FUTURES];
    weft_state state[FUTURES];
    weft_token *token[TOKENS]; /* one; one below it with a deadline; one that is set; a job's own */
    bool cancelled[TOKENS];
    weft_callback *callback, *hook;
    weft_group *group, *joined;
    weft_queue *queue, *completed; /* with something ready and something open */
    test_gate *gate;
} estate;

#define EXPECT_NULL(call) (errno = 0, CHILD_EXPECT((call) == NULL && errno == ESTALE))

static void child_asks_future(const estate *x, weft_future *f, weft_state state, weft_executor *own)
{
    void *value = NULL;
    weft_outcome outcome;
    weft_callback *handle = NULL;
    weft_future *made[DERIVED];
    CHILD_EXPECT(weft_future_state(f) == state && weft_future_done(f) == (state > WEFT_RUNNING));
    CHILD_EXPECT(weft_future_cancelled(f) == (state == WEFT_CANCELLED));
    CHILD_EXPECT(weft_future_outcome(f, &outcome) == -ESTALE && weft_future_wait(f, WEFT_FOREVER) == -ESTALE);
    CHILD_EXPECT(weft_future_get(f, &value) == -ESTALE && weft_future_take(f, &value) == -ESTALE);
    CHILD_EXPECT(weft_await(f, &value) == -ESTALE);
    CHILD_EXPECT(weft_wait(&f, 1, WEFT_ALL_COMPLETED, WEFT_FOREVER, NULL) == -ESTALE);
    CHILD_EXPECT(weft_cancel(f) == WEFT_CANCEL_TOO_LATE);
    CHILD_EXPECT(weft_on_done(f, nothing, NULL, &handle) == -ESTALE && handle == NULL);
    derive(x->executor, f, made);
    for (unsigned i = 0; i < DERIVED; i++) {
        CHILD_EXPECT(made[i] == NULL);
    }
    EXPECT_NULL(weft_gather(own, &f, 1, WEFT_STRICT));
    EXPECT_NULL(weft_any(own, &f, 1));
    EXPECT_NULL(weft_then(f, follow, NULL));
    EXPECT_NULL(weft_flatten(f));
    EXPECT_NULL(weft_as_completed(&f, 1, WEFT_FOREVER));
    EXPECT_NULL(weft_gather_outcomes(f, NULL));
    CHILD_EXPECT(weft_queue_add(x->queue, f, NULL) == -ESTALE);
    CHILD_EXPECT(weft_queue_add(x->completed, f, NULL) == -ESTALE);
    CHILD_EXPECT(weft_future_retain(f) == f);
    weft_future_release(f);
    weft_future_release(f);
}

static void child_asks_queue(weft_queue *queue)
{
    EXPECT_NULL(weft_queue_next(queue, 0, NULL));
    EXPECT_NULL(weft_queue_next(queue, WEFT_FOREVER, NULL));
    CHILD_EXPECT(weft_queue_fd(queue) == -ESTALE);
    CHILD_EXPECT(weft_queue_add(queue, NULL, NULL) == -ESTALE);
    weft_queue_destroy(queue);
    weft_queue_destroy(queue);
}

static void child_asks_token(weft_token *token, bool cancelled, weft_executor *own)
{
    void *items[] = {&home};
    const weft_submit_options options = {.token = token};
    const weft_group_options below = {.parent = token};
    CHILD_EXPECT(weft_token_retain(token) == token);
    CHILD_EXPECT(weft_token_cancelled(token) == cancelled);
    weft_token_cancel(token);
    CHILD_EXPECT(weft_token_cancelled(token) == cancelled && !weft_token_expired(token));
    CHILD_EXPECT(weft_token_reschedule(token, 0) == -ESTALE && weft_token_close(token) == -ESTALE);
    CHILD_EXPECT(weft_token_on_cancel(token, no_hook, NULL, NULL) == -ESTALE);
    EXPECT_NULL(weft_token_create(own, token, 0, 0));
    EXPECT_NULL(weft_token_create(NULL, token, WEFT_FOREVER, WEFT_SHIELDED));
    EXPECT_NULL(weft_submit_with(own, succeed, NULL, &options));
    EXPECT_NULL(weft_map_with(own, succeed, items, 1, 0, WEFT_SETTLED, &options));
    EXPECT_NULL(weft_group_create(own, &below));
    weft_token_release(token);
    weft_token_release(token);
}

static void child_asks_group(weft_group *group)
{
    size_t n = 9;
    CHILD_EXPECT(weft_group_submit(group, succeed, NULL) == -ESTALE);
    CHILD_EXPECT(weft_group_submit_with(group, succeed, NULL, NULL) == -ESTALE);
    weft_group_cancel(group);
    CHILD_EXPECT(weft_group_join(group) == -ESTALE);
    EXPECT_NULL(weft_group_errors(group, &n));
    CHILD_EXPECT(weft_group_destroy(group) == -ESTALE && n == 9);
}

static void child_asks_executor(const estate *x)
{
    weft_stats stats;
    EXPECT_NULL(weft_submit(x->executor, succeed, NULL));
    EXPECT_NULL(weft_submit_with(x->executor, succeed, NULL, NULL));
    EXPECT_NULL(weft_submit_copy(x->executor, succeed, &stats, sizeof stats));
    CHILD_EXPECT(weft_submit_many(x->executor, succeed, NULL, 1, NULL) == -ESTALE);
    CHILD_EXPECT(weft_execute(x->executor, succeed, NULL) == -ESTALE);
    CHILD_EXPECT(weft_executor_stats(x->executor, &stats) == -ESTALE);
    CHILD_EXPECT(weft_worker_stats(x->executor, 0, &stats) == -ESTALE);
    CHILD_EXPECT(weft_executor_shutdown(x->executor, WEFT_DRAIN, WEFT_FOREVER) == -ESTALE);
    CHILD_EXPECT(weft_executor_destroy(x->executor) == -ESTALE && weft_executor_workers(x->executor) == 1);
    CHILD_EXPECT(weft_executor_current() == NULL && weft_worker_index() == -1 && !weft_cancelled());
    CHILD_EXPECT(weft_current_token() == NULL && weft_fail(3) == NULL);
    EXPECT_NULL(weft_promise_create(x->executor));
    EXPECT_NULL(weft_queue_create(x->executor));
    EXPECT_NULL(weft_token_create(x->executor, NULL, 0, 0));
    EXPECT_NULL(weft_group_create(x->executor, NULL));
    EXPECT_NULL(weft_sleep(x->executor, 0, NULL));
    CHILD_EXPECT(weft_promise_resolve(x->promise, NULL, NULL) == -ESTALE);
    CHILD_EXPECT(weft_promise_reject(x->promise, 7) == -ESTALE);
    CHILD_EXPECT(weft_promise_future(x->promise) != NULL);
    weft_promise_destroy(x->promise);
    CHILD_EXPECT(weft_callback_remove(x->callback) == -ESTALE && weft_callback_remove(x->hook) == -ESTALE);
}

/* In a signal handler: what was inherited and what is the child's own. */
static weft_token *_Atomic to_cancel[2];

static void cancel_both(int number)
{
    (void)number;
    for (unsigned i = 0; i < 2; i++) {
        weft_token_cancel(atomic_load_explicit(&to_cancel[i], memory_order_relaxed));
    }
}

static void child_cancels_in_a_handler(const estate *x, weft_executor *own)
{
    weft_token *token = own ? weft_token_create(own, NULL, WEFT_FOREVER, 0) : NULL;
    atomic_store_explicit(&to_cancel[0], x->token[0], memory_order_relaxed);
    atomic_store_explicit(&to_cancel[1], token, memory_order_relaxed);
    struct sigaction action = {.sa_handler = cancel_both}, before;
    sigset_t open, mask;
    sigemptyset(&open);
    sigaddset(&open, SIGUSR1);
    sigaction(SIGUSR1, &action, &before);
    pthread_sigmask(SIG_UNBLOCK, &open, &mask);
    raise(SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGUSR1, &before, NULL);
    CHILD_EXPECT(!weft_token_cancelled(x->token[0]) && weft_token_cancelled(token) == (own != NULL));
    weft_token_release(token);
}

static void child_asks(const estate *x)
{
    weft_executor *own = CHILD_THREADS ? weft_executor_create(NULL) : NULL;
    CHILD_EXPECT(!CHILD_THREADS || own);
    child_asks_executor(x);
    for (unsigned i = 0; i < FUTURES; i++) {
        child_asks_future(x, x->future[i], x->state[i], own ? own : x->executor);
    }
    for (unsigned i = 0; i < TOKENS; i++) {
        child_asks_token(x->token[i], x->cancelled[i], own ? own : x->executor);
    }
    child_asks_group(x->group);
    child_asks_group(x->joined);
    child_cancels_in_a_handler(x, own);
    child_asks_queue(x->queue);
    child_asks_queue(x->completed);
    if (own) {
        weft_queue *queue = weft_queue_create(own);
        CHILD_EXPECT(weft_queue_add(queue, x->future[0], NULL) == -ESTALE);
        weft_queue_destroy(queue);
        child_uses(own, 10);
        CHILD_EXPECT(weft_executor_destroy(own) == 0);
    }
    child_expect_counters_zero();
    child_finished();
}

/* With every lock held that can be reached from here. */
static void fork_here(estate *x)
{
    pthread_mutex_lock(&x->queue->lock);
    pthread_mutex_lock(&x->completed->lock);
    for (unsigned i = 0; i < TOKENS; i++) {
        weft__tiny_lock_take(&x->token[i]->lock);
    }
    weft__waits_lock();
    for (unsigned i = 0; i < FUTURES; i++) {
        weft__lock(x->future[i]);
    }
    pid_t child = child_fork();
    if (child == 0) {
        child_asks(x);
        if (x->where == OUTSIDE) {
            _exit(0);
        }
        return; /* into weft, where this thread and its process end */
    }
    bool ended_well = child_ended_well(child);
    for (unsigned i = 0; i < FUTURES; i++) {
        weft__unlock(x->future[i], 0, 0);
    }
    weft__waits_unlock();
    for (unsigned i = 0; i < TOKENS; i++) {
        weft__tiny_unlock(&x->token[i]->lock);
    }
    pthread_mutex_unlock(&x->completed->lock);
    pthread_mutex_unlock(&x->queue->lock);
    TEST_EXPECT(ended_well);
}

static void *run_at_gate(void *arg)
{
    estate *x = arg;
    x->token[3] = weft_token_retain(weft_current_token());
    TEST_EXPECT(test_gate_pass(x->gate));
    if (x->where == JOB) {
        fork_here(x);
    }
    return x;
}

static int fork_in_callback(weft_future *future, void *arg)
{
    (void)future;
    fork_here(arg);
    return 0;
}

static void fork_in_hook(void *arg)
{
    fork_here(arg);
}

static void estate_futures(estate *x, weft_future *inner)
{
    weft_promise *kept = weft_promise_create(x->executor);
    weft_future *done = weft_promise_future(kept);
    assert_int_equal(weft_promise_resolve(kept, inner, NULL), 0);
    x->promise = weft_promise_create(x->executor);
    weft_future *open = x->future[0] = weft_promise_future(x->promise);
    derive(x->executor, open, &x->future[4]);
    derive(x->executor, done, &x->future[4 + DERIVED]);
    for (unsigned i = 4; i < FUTURES; i++) {
        bool ends_by_itself = i >= 4 + DERIVED || i == 9 || i >= 4 + DERIVED - 2; /* the sleep and the maps */
        assert_non_null(x->future[i]);
        if (ends_by_itself) {
            assert_done_soon(x->future[i]);
        }
    }
    weft_future *both[] = {done, open};
    x->completed = weft_as_completed(both, 2, WEFT_FOREVER);
    x->queue = weft_queue_create(x->executor);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(weft_queue_add(x->queue, both[i], NULL), 0);
    }
    assert_true(weft_queue_fd(x->queue) >= 0);
    weft_future_release(done);
    weft_promise_destroy(kept);
}

static void estate_make(estate *x, place where, weft_future **inner)
{
    const weft_executor_options one = {.workers = 1};
    const weft_submit_options later = {.delay = WEFT_SECONDS(3600)};
    *x = (estate){.executor = test_executor_with(&one), .where = where, .gate = test_gate_make()};
    *inner = test_done_future(x->executor);
    estate_futures(x, *inner);
    x->joined = weft_group_create(x->executor, NULL);
    assert_int_equal(weft_group_join(x->joined), 0);
    x->future[1] = weft_submit(x->executor, run_at_gate, x);
    assert_true(test_gate_await(x->gate, 1));
    x->future[2] = weft_submit(x->executor, succeed, NULL);
    x->future[3] = weft_submit_with(x->executor, succeed, NULL, &later);
    x->group = weft_group_create(x->executor, NULL);
    assert_int_equal(weft_group_submit(x->group, succeed, NULL), 0);
    x->token[0] = weft_token_create(x->executor, NULL, WEFT_FOREVER, 0);
    x->token[1] = weft_token_create(x->executor, x->token[0], WEFT_SECONDS(3600), 0);
    x->token[2] = weft_token_create(x->executor, NULL, WEFT_FOREVER, 0);
    weft_token_cancel(x->token[2]);
    assert_int_equal(weft_token_on_cancel(x->token[0], no_hook, NULL, &x->hook), 0);
    assert_int_equal(weft_on_done(x->future[0], nothing, NULL, &x->callback), 0);
    flush(x->executor); /* so that the coordinator has nothing more to do when the locks are taken */
    for (unsigned i = 0; i < FUTURES; i++) {
        x->state[i] = weft_future_state(x->future[i]);
    }
    for (unsigned i = 0; i < TOKENS; i++) {
        x->cancelled[i] = weft_token_cancelled(x->token[i]);
    }
}

/* In the parent everything goes on as if nothing had been. */
static void estate_end(estate *x, weft_future *inner)
{
    assert_int_equal(weft_callback_remove(x->callback), 0);
    assert_int_equal(weft_callback_remove(x->hook), 0);
    assert_int_equal(weft_promise_resolve(x->promise, inner, NULL), 0);
    test_gate_open(x->gate);
    assert_int_equal(weft_cancel(x->future[3]), WEFT_CANCEL_DONE);
    for (unsigned i = 0; i < FUTURES; i++) {
        assert_done_soon(x->future[i]);
        assert_int_equal(weft_future_state(x->future[i]), i == 3 ? WEFT_CANCELLED : WEFT_SUCCEEDED);
    }
    weft_queue *queues[] = {x->queue, x->completed};
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned n = 0; n < 2; n++) {
            weft_future *next = weft_queue_next(queues[i], test_patience(), NULL);
            assert_non_null(next);
            weft_future_release(next);
        }
        weft_queue_destroy(queues[i]);
    }
    for (unsigned i = 0; i < FUTURES; i++) {
        weft_future_release(x->future[i]);
    }
    assert_int_equal(weft_group_join(x->group), 0);
    assert_int_equal(weft_group_destroy(x->group), 0);
    assert_int_equal(weft_group_destroy(x->joined), 0);
    for (unsigned i = 0; i < TOKENS; i++) {
        assert_int_equal(weft_token_cancelled(x->token[i]), x->cancelled[i]);
        weft_token_release(x->token[i]);
    }
    weft_promise_destroy(x->promise);
    weft_future_release(inner);
    test_destroy(x->executor);
}

static void fork_from(place where)
{
    static estate x;
    weft_future *inner;
    estate_make(&x, where, &inner);
    if (where == OUTSIDE) {
        fork_here(&x);
    } else if (where == JOB) {
        test_gate_open(x.gate);
        assert_done_soon(x.future[1]);
    } else if (where == CALLBACK) {
        weft_future *done = test_done_future(x.executor);
        assert_int_equal(weft_on_done(done, fork_in_callback, &x, NULL), 0);
        weft_future_release(done);
    } else {
        assert_int_equal(weft_token_on_cancel(x.token[2], fork_in_hook, &x, NULL), 0);
    }
    flush(x.executor);
    assert_children(1);
    estate_end(&x, inner);
}

static void test_matrix_frk_01_in_a_child_of_a_thread_outside(void **state)
{
    (void)state;
    fork_from(OUTSIDE);
}

static void test_matrix_frk_01_in_a_child_of_a_job(void **state)
{
    (void)state;
    fork_from(JOB);
}

static void test_matrix_frk_01_in_a_child_of_a_callback(void **state)
{
    (void)state;
    fork_from(CALLBACK);
}

static void test_matrix_frk_01_in_a_child_of_a_hook(void **state)
{
    (void)state;
    fork_from(HOOK);
}

int main(void)
{
    home_make();
    const struct CMUnitTest tests[] = {
        TEST(test_matrix_frk_01_in_a_child_of_a_thread_outside),
        TEST(test_matrix_frk_01_in_a_child_of_a_job),
        TEST(test_matrix_frk_01_in_a_child_of_a_callback),
        TEST(test_matrix_frk_01_in_a_child_of_a_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
