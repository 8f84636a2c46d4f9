/* test_matrix.c: the table of calls in weft/base.h, line by line: outside, in a job, in a callback and in a hook. The
 * column of the forked child stands in test_matrix_fork.c.
 *
 * Discipline. `walk` makes every call at the place where it is called; what would have to wait does so for 10 ms, as
 * the point is which code comes back. */
#define _GNU_SOURCE
#include "matrix.h"

enum { BRIEF = 10 * MS };

/* ---- the columns outside, job and coordinator ---- */

typedef struct visit {
    weft_executor *executor; /* whose job, callback or hook it is */
    weft_executor *other;
    place where;
    test_latch *over;
} visit;

static bool on_coordinator(const visit *v)
{
    return v->where >= CALLBACK;
}

/* What a wait that cannot end answers here. */
static int refusal(const visit *v)
{
    return on_coordinator(v) ? -EDEADLK : -ETIMEDOUT;
}

static void walk_executors(const visit *v)
{
    const weft_executor_options options = {.workers = 1};
    bool own = v->where != OUTSIDE, job = v->where == JOB;
    weft_stats stats;
    weft_executor *made = weft_executor_create(&options);
    TEST_EXPECT(made != NULL);
    TEST_EXPECT(weft_execute(made, succeed, NULL) == 0);
    TEST_EXPECT(weft_executor_shutdown(made, WEFT_DRAIN, WEFT_FOREVER) == 0);
    TEST_EXPECT(weft_executor_destroy(made) == 0);
    TEST_EXPECT(weft_executor_default() != NULL);
    if (own) {
        TEST_EXPECT(weft_executor_shutdown(v->executor, WEFT_DRAIN, 0) == -EDEADLK);
        TEST_EXPECT(weft_executor_shutdown(v->executor, WEFT_CANCEL_ALL, WEFT_FOREVER) == -EDEADLK);
        TEST_EXPECT(weft_executor_destroy(v->executor) == -EDEADLK);
    }
    TEST_EXPECT(weft_executor_workers(v->executor) == 1);
    TEST_EXPECT(weft_executor_current() == (job ? v->executor : NULL));
    TEST_EXPECT(job ? weft_worker_index() >= 0 : weft_worker_index() == -1);
    TEST_EXPECT(weft_executor_stats(v->executor, &stats) == 0);
    TEST_EXPECT(weft_worker_stats(v->executor, 0, &stats) == 0);
}

static void drop(weft_future *future)
{
    TEST_EXPECT(future != NULL);
    weft_future_release(future);
}

static void walk_jobs(const visit *v)
{
    int number = 1;
    weft_future *two[2] = {NULL, NULL};
    const weft_submit_options options = {.priority = WEFT_HIGH};
    drop(weft_submit(v->executor, succeed, NULL));
    drop(weft_submit_with(v->executor, succeed, NULL, &options));
    drop(weft_submit_copy(v->other, succeed, &number, sizeof number));
    TEST_EXPECT(weft_submit_many(v->other, succeed, NULL, 2, two) == 0);
    drop(two[0]);
    drop(two[1]);
    TEST_EXPECT(weft_execute(v->executor, succeed, NULL) == 0);
    TEST_EXPECT(!weft_cancelled());
    weft_token *own = weft_current_token();
    TEST_EXPECT(v->where == JOB ? own != NULL : own == NULL && errno == EINVAL);
    if (v->where != JOB) {
        TEST_EXPECT(weft_fail(7) == NULL);
    }
}

/* Of a future that is done everything can be had anywhere; of one that is not, the answer depends on the place. */
static void walk_waits(const visit *v, weft_future *done, weft_future *open)
{
    void *value = NULL;
    weft_outcome outcome;
    TEST_EXPECT(weft_future_state(open) == WEFT_PENDING && !weft_future_done(open) && !weft_future_cancelled(open));
    TEST_EXPECT(weft_future_outcome(done, &outcome) == 0 && weft_future_outcome(open, &outcome) == -EINPROGRESS);
    TEST_EXPECT(weft_future_wait(done, WEFT_FOREVER) == 0 && weft_future_get(done, &value) == 0);
    TEST_EXPECT(weft_wait(&done, 1, WEFT_ALL_COMPLETED, WEFT_FOREVER, NULL) == 0);
    TEST_EXPECT(weft_future_wait(open, 0) == -ETIMEDOUT);
    TEST_EXPECT(weft_wait(&open, 1, WEFT_ALL_COMPLETED, 0, NULL) == -ETIMEDOUT);
    TEST_EXPECT(weft_future_wait(open, BRIEF) == refusal(v));
    TEST_EXPECT(weft_wait(&open, 1, WEFT_FIRST_COMPLETED, BRIEF, NULL) == refusal(v));
    if (on_coordinator(v)) {
        TEST_EXPECT(weft_future_get(open, &value) == -EDEADLK);
        TEST_EXPECT(weft_future_take(open, &value) == -EDEADLK);
        TEST_EXPECT(weft_await(open, &value) == -EDEADLK);
    }
    TEST_EXPECT(weft_await(weft_future_retain(done), NULL) == 0);
    TEST_EXPECT(weft_future_take(done, &value) == 0);
}

static void walk_queue(const visit *v, weft_future *done, weft_future *open)
{
    weft_future *both[] = {done, open};
    weft_queue *queues[] = {weft_queue_create(v->executor), weft_as_completed(both, 2, WEFT_FOREVER)};
    TEST_EXPECT(weft_queue_add(queues[0], done, NULL) == 0 && weft_queue_add(queues[0], open, NULL) == 0);
    TEST_EXPECT(weft_queue_add(queues[1], open, NULL) == -EINVAL);
    for (unsigned i = 0; i < 2; i++) {
        TEST_EXPECT(weft_queue_fd(queues[i]) >= 0);
        weft_future *next = weft_queue_next(queues[i], WEFT_FOREVER, NULL);
        TEST_EXPECT(next == done);
        weft_future_release(next);
        TEST_EXPECT(weft_queue_next(queues[i], 0, NULL) == NULL && errno == ETIMEDOUT);
        TEST_EXPECT(weft_queue_next(queues[i], BRIEF, NULL) == NULL && errno == -refusal(v));
        weft_queue_destroy(queues[i]);
    }
}

static void walk_promises(const visit *v)
{
    weft_promise *promises[3];
    weft_future *futures[3];
    weft_callback *handle = NULL;
    for (unsigned i = 0; i < 3; i++) {
        promises[i] = weft_promise_create(v->other);
        futures[i] = weft_promise_future(promises[i]);
        TEST_EXPECT(futures[i] != NULL);
    }
    TEST_EXPECT(weft_on_done(futures[0], nothing, NULL, &handle) == 0 && weft_callback_remove(handle) == 0);
    TEST_EXPECT(weft_promise_resolve(promises[0], NULL, NULL) == 0);
    TEST_EXPECT(weft_promise_reject(promises[1], 7) == 0);
    walk_waits(v, futures[0], futures[2]);
    walk_queue(v, futures[0], futures[2]);
    TEST_EXPECT(weft_cancel(futures[2]) == WEFT_CANCEL_DONE);
    weft_outcome outcome;
    TEST_EXPECT(weft_future_outcome(futures[1], &outcome) == 0 && outcome.error == 7);
    for (unsigned i = 0; i < 3; i++) {
        weft_promise_destroy(promises[i]);
        weft_future_release(futures[i]);
    }
}

static void walk_derived(const visit *v)
{
    weft_promise *promise = weft_promise_create(v->executor);
    weft_future *open = weft_promise_future(promise), *made[DERIVED];
    derive(v->executor, open, made);
    for (unsigned i = 0; i < DERIVED; i++) {
        TEST_EXPECT(made[i] != NULL);
    }
    TEST_EXPECT(weft_gather_outcomes(made[0], NULL) == NULL && errno == EINPROGRESS);
    weft_promise_destroy(promise); /* they all fail, or are done by themselves */
    TEST_EXPECT(weft_gather_outcomes(made[0], NULL) != NULL);
    TEST_EXPECT(weft_future_state(made[4]) == WEFT_FAILED);
    for (unsigned i = 0; i < DERIVED; i++) {
        weft_future_release(made[i]);
    }
    weft_future_release(open);
}

static void walk_tokens(const visit *v)
{
    weft_callback *handle = NULL;
    weft_token *token = weft_token_create(v->executor, NULL, WEFT_FOREVER, 0);
    weft_token *below = weft_token_create(v->other, token, WEFT_SECONDS(3600), WEFT_SHIELDED);
    TEST_EXPECT(token != NULL && below != NULL && weft_token_retain(token) == token);
    TEST_EXPECT(weft_token_on_cancel(token, no_hook, NULL, &handle) == 0 && weft_callback_remove(handle) == 0);
    TEST_EXPECT(weft_token_reschedule(below, WEFT_SECONDS(7200)) == 0);
    TEST_EXPECT(weft_token_close(below) == 0 && !weft_token_expired(below));
    weft_token_cancel(token);
    TEST_EXPECT(weft_token_cancelled(token) && !weft_token_cancelled(below));
    weft_token_release(token);
    weft_token_release(token);
    weft_token_release(below);
}

static void *join_own_group(void *group)
{
    return weft_group_join(group) == -EDEADLK ? NULL : weft_fail(7);
}

static void walk_groups(const visit *v)
{
    size_t n = 1;
    weft_group *empty = weft_group_create(v->executor, NULL), *group = weft_group_create(v->other, NULL);
    TEST_EXPECT(weft_group_destroy(empty) == -EBUSY && weft_group_join(empty) == 0 && weft_group_destroy(empty) == 0);
    weft_submit_options later = {.delay = on_coordinator(v) ? WEFT_SECONDS(3600) : 0};
    TEST_EXPECT(weft_group_submit_with(group, join_own_group, group, &later) == 0);
    TEST_EXPECT(weft_group_errors(group, &n) == NULL && errno == EINPROGRESS);
    if (!on_coordinator(v)) {
        TEST_EXPECT(weft_group_submit(group, join_own_group, group) == 0);
        TEST_EXPECT(weft_group_join(group) == 0);
    } else {
        TEST_EXPECT(weft_group_join(group) == -EDEADLK);
        weft_group_cancel(group);
        int code;
        for (int64_t end = weft_now() + test_patience(); (code = weft_group_join(group)) == -EDEADLK;) {
            TEST_EXPECT(weft_now() < end); /* the other coordinator cancels the child */
        }
        TEST_EXPECT(code == -ECANCELED);
    }
    TEST_EXPECT(weft_group_errors(group, &n) != NULL && n == 0);
    TEST_EXPECT(weft_group_destroy(group) == 0);
}

static void walk(const visit *v)
{
    int64_t before = weft_now();
    walk_executors(v);
    walk_jobs(v);
    walk_promises(v);
    walk_derived(v);
    walk_tokens(v);
    walk_groups(v);
    TEST_EXPECT(weft_now() >= before && weft_version() > 0 && weft_strerror(-ESTALE) != NULL);
    if (v->over) {
        test_latch_hit(v->over);
    }
}

static void *walk_in_job(void *v)
{
    walk(v);
    return NULL;
}

static int walk_in_callback(weft_future *future, void *v)
{
    (void)future;
    walk(v);
    return 0;
}

static void walk_in_hook(void *v)
{
    walk(v);
}

static void walk_from(place where)
{
    const weft_executor_options one = {.workers = 1};
    visit v = {test_executor_with(&one), test_executor_with(&one), where, where == OUTSIDE ? NULL : test_latch_make()};
    weft_token *token = weft_token_create(v.executor, NULL, WEFT_FOREVER, 0);
    if (where == OUTSIDE) {
        walk(&v);
    } else if (where == JOB) {
        assert_int_equal(weft_execute(v.executor, walk_in_job, &v), 0);
    } else if (where == CALLBACK) {
        weft_future *done = test_done_future(v.executor);
        assert_int_equal(weft_on_done(done, walk_in_callback, &v, NULL), 0);
        weft_future_release(done);
    } else {
        assert_int_equal(weft_token_on_cancel(token, walk_in_hook, &v, NULL), 0);
        weft_token_cancel(token);
    }
    if (v.over) {
        assert_true(test_latch_wait(v.over, 1));
    }
    weft_token_release(token);
    test_destroy(v.executor);
    test_destroy(v.other);
    test_destroy(weft_executor_default());
}

static void test_matrix_outside(void **state)
{
    (void)state;
    walk_from(OUTSIDE);
}

static void test_matrix_in_a_job(void **state)
{
    (void)state;
    walk_from(JOB);
}

static void test_matrix_in_a_callback(void **state)
{
    (void)state;
    walk_from(CALLBACK);
}

static void test_matrix_in_a_hook(void **state)
{
    (void)state;
    walk_from(HOOK);
}

int main(void)
{
    home_make();
    const struct CMUnitTest tests[] = {
        TEST(test_matrix_outside),
        TEST(test_matrix_in_a_job),
        TEST(test_matrix_in_a_callback),
        TEST(test_matrix_in_a_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
