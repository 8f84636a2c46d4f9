/* test_growth.c: memory does not grow, however often something is waited for, timed, cancelled or spawned (MEM-06,
 * I15).
 *
 * Discipline. Each test repeats one thing, up to ten million times, beside what lives all the while: a future that is
 * not done, a token, a group. After the first tenth and at the end the coordinator has seen to all that was dropped
 * (weft_counters_read waits for that), and no more objects are alive than at the start; the bytes and the resident
 * memory of the two must agree within a bound that eight bytes a time would exceed. Resident memory is not compared
 * under a sanitizer, whose own grows. Test builds and sanitizers repeat less. */
#define _GNU_SOURCE
#include "support.h"

#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { BATCH = 1000 };

#define MILLION ((uint64_t)1000000)
#define HOUR    WEFT_SECONDS(3600)

/* What lives while things come and go. */
typedef struct scene {
    weft_executor *executor;
    weft_promise *promises[2];
    weft_future *futures[2]; /* of the promises; not done before the end */
    weft_token *token;
    weft_group *group;
    weft_queue *queue;
    _Atomic(uint64_t) ran; /* jobs; they add, the test's thread reads */
    uint64_t submitted;    /* the test's thread */
    void *arguments[BATCH];
    weft_future *batch[BATCH];
} scene;

static uint64_t scaled(uint64_t n)
{
#ifdef WEFT_TINY
    n /= TEST_TSAN ? 50 : TEST_ASAN ? 20 : 10;
#endif
    return n;
}

static scene *scene_make(void)
{
    static scene s;
    memset(&s, 0, sizeof s);
    s.executor = test_executor(2);
    for (int i = 0; i < 2; i++) {
        s.promises[i] = weft_promise_create(s.executor);
        s.futures[i] = weft_promise_future(s.promises[i]);
        assert_non_null(s.futures[i]);
    }
    s.token = weft_token_create(s.executor, NULL, WEFT_FOREVER, 0);
    assert_non_null(s.token);
    for (int i = 0; i < BATCH; i++) {
        s.arguments[i] = &s;
    }
    return &s;
}

static void scene_end(scene *s)
{
    for (int i = 0; i < 2; i++) {
        weft_future_release(s->futures[i]);
        weft_promise_destroy(s->promises[i]);
    }
    weft_token_release(s->token);
    test_destroy(s->executor);
}

/* Growth. */

typedef struct sample {
    size_t bytes, resident;
} sample;

static size_t resident(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %zu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void *count_job(void *argument)
{
    scene *s = argument;
    atomic_fetch_add_explicit(&s->ran, 1, memory_order_acq_rel);
    return NULL;
}

/* Until at most `behind` of the jobs that were submitted have not run. */
static void catch_up(scene *s, uint64_t behind)
{
    int64_t deadline = weft_now() + test_patience();
    while (test_get(s->ran) + behind < s->submitted) {
        assert_true(weft_now() < deadline);
        sched_yield();
    }
}

static bool same_objects(void *data)
{
    const weft_counters *then = data;
    weft_counters here = test_counters();
    return here.futures == then->futures && here.timers == then->timers && here.callbacks == then->callbacks &&
           here.tokens == then->tokens;
}

/* When no more is alive than at the start. */
static sample sample_take(scene *s, weft_counters *start)
{
    catch_up(s, 0);
    assert_true(test_until(same_objects, start));
    return (sample){test_counters().bytes, resident()};
}

static void assert_same(const sample *early, const sample *late)
{
    const size_t bytes = (size_t)4 << 20, pages = (size_t)6 << 20;
    assert_in_range(late->bytes, 0, early->bytes + bytes);
    if (!TEST_ASAN && !TEST_TSAN) {
        assert_in_range(late->resident, 0, early->resident + pages);
    }
}

/* Does it `n` times, scaled, `each` at a time. */
static void grow(scene *s, uint64_t n, uint64_t each, void (*once)(scene *s))
{
    uint64_t rounds = scaled(n) / each;
    weft_counters start = test_counters();
    sample early = {0, 0};
    for (uint64_t i = 0; i < rounds; i++) {
        if (i == rounds / 10) {
            early = sample_take(s, &start);
        }
        once(s);
    }
    sample late = sample_take(s, &start);
    assert_same(&early, &late);
}

static void grow_alone(uint64_t n, uint64_t each, void (*once)(scene *s))
{
    scene *s = scene_make();
    grow(s, n, each, once);
    scene_end(s);
}

static void let_go(weft_future *future)
{
    assert_non_null(future);
    weft_future_release(future);
}

/* Waits. */

static void look(scene *s)
{
    assert_int_equal(weft_future_wait(s->futures[0], 0), -ETIMEDOUT);
    assert_int_equal(weft_wait(s->futures, 2, WEFT_ALL_COMPLETED, 0, NULL), -ETIMEDOUT);
}

static void wait_in_vain(scene *s)
{
    assert_int_equal(weft_future_wait(s->futures[0], 1), -ETIMEDOUT);
    assert_int_equal(weft_wait(s->futures, 2, WEFT_FIRST_COMPLETED, 1, NULL), -ETIMEDOUT);
}

static void *wait_in_job(void *argument)
{
    scene *s = argument;
    for (int i = 0; i < BATCH; i++) {
        TEST_EXPECT(weft_future_wait(s->futures[i % 2], 1) == -ETIMEDOUT);
    }
    return NULL;
}

static void wait_in_a_job(scene *s)
{
    assert_int_equal(weft_await(weft_submit(s->executor, wait_in_job, s), NULL), 0);
}

static void test_mem_06_waits_that_time_out(void **state)
{
    (void)state;
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* for waits of a nanosecond */
    grow_alone(MILLION, 1, look);
    grow_alone(MILLION / 50, 1, wait_in_vain);
    grow_alone(MILLION / 50, BATCH, wait_in_a_job);
}

/* Derived futures that are dropped or cancelled while their input is not done. */

static void drop_wait_for(scene *s)
{
    let_go(weft_wait_for(s->futures[0], HOUR, 0));
}

static void drop_gather(scene *s)
{
    let_go(weft_gather(s->executor, s->futures, 2, WEFT_SETTLED));
}

static void drop_any(scene *s)
{
    let_go(weft_any(s->executor, s->futures, 2));
}

static void drop_shield(scene *s)
{
    let_go(weft_shield(s->futures[0]));
}

static void drop_flatten(scene *s)
{
    let_go(weft_flatten(s->futures[0]));
}

static void *then_nothing(void *value, void *data)
{
    (void)data;
    return value;
}

/* A request stops at the shield; a then that is dropped alone would stay, for its function is to be run. */
static void cancel_then(scene *s)
{
    weft_future *shield = weft_shield(s->futures[0]);
    weft_future *then = weft_then(shield, then_nothing, s);
    assert_non_null(then);
    assert_int_equal(weft_cancel(then), WEFT_CANCEL_DONE);
    weft_future_release(then);
    weft_future_release(shield);
}

static void test_mem_06_derived_futures_of_one_that_lives(void **state)
{
    (void)state;
    grow_alone(MILLION, 1, drop_wait_for);
    grow_alone(MILLION, 1, drop_gather);
    grow_alone(MILLION, 1, drop_any);
}

static void test_mem_06_mirrors_of_one_that_lives(void **state)
{
    (void)state;
    grow_alone(MILLION, 1, drop_shield);
    grow_alone(MILLION, 1, drop_flatten);
    grow_alone(MILLION, 1, cancel_then);
}

/* What is registered on a future and taken back. */

static int never(weft_future *future, void *data)
{
    (void)future;
    (void)data;
    TEST_FAIL("a callback that was removed is not called");
    return 0;
}

static void add_and_remove(scene *s)
{
    weft_callback *handle = NULL;
    assert_int_equal(weft_on_done(s->futures[0], never, s, &handle), 0);
    assert_int_equal(weft_callback_remove(handle), 0);
}

static void add_to_a_queue(scene *s)
{
    weft_queue *queue = weft_queue_create(s->executor);
    assert_int_equal(weft_queue_add(queue, s->futures[0], s), 0);
    assert_int_equal(weft_queue_add(queue, s->futures[1], s), 0);
    assert_int_equal(weft_queue_add(queue, s->futures[0], s), 0);
    weft_queue_destroy(queue);
}

static void stop_early(scene *s)
{
    weft_queue *queue = weft_as_completed(s->futures, 2, HOUR);
    assert_non_null(queue);
    assert_null(weft_queue_next(queue, 0, NULL));
    weft_queue_destroy(queue);
}

static void test_mem_06_registrations_on_one_that_lives(void **state)
{
    (void)state;
    grow_alone(MILLION, 1, add_and_remove);
    grow_alone(MILLION, 1, add_to_a_queue);
    grow_alone(MILLION, 1, stop_early);
}

static void pass_through_queue(scene *s)
{
    assert_int_equal(weft_submit_many(s->executor, count_job, s->arguments, BATCH, s->batch), 0);
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(weft_queue_add(s->queue, s->batch[i], s), 0);
        weft_future_release(s->batch[i]);
    }
    for (int i = 0; i < BATCH; i++) {
        let_go(weft_queue_next(s->queue, test_patience(), NULL));
    }
}

static void test_mem_06_a_queue_that_lives(void **state)
{
    (void)state;
    scene *s = scene_make();
    s->queue = weft_queue_create(s->executor);
    assert_non_null(s->queue);
    grow(s, MILLION, BATCH, pass_through_queue);
    weft_queue_destroy(s->queue);
    scene_end(s);
}

/* Timeouts that never fire. */

static void cancel_sleep(scene *s)
{
    weft_future *sleep = weft_sleep(s->executor, HOUR, NULL);
    assert_int_equal(weft_cancel(sleep), WEFT_CANCEL_DONE);
    weft_future_release(sleep);
}

static void drop_sleep(scene *s)
{
    let_go(weft_sleep(s->executor, HOUR, NULL));
}

static void cancel_delayed(scene *s)
{
    const weft_submit_options options = {.delay = HOUR};
    weft_future *job = weft_submit_with(s->executor, count_job, s, &options);
    assert_int_equal(weft_cancel(job), WEFT_CANCEL_DONE);
    weft_future_release(job);
}

static void meet_deadline(scene *s)
{
    weft_promise *promise = weft_promise_create(s->executor);
    weft_future *future = weft_promise_future(promise);
    weft_future *bounded = weft_wait_for(future, HOUR, 0);
    assert_int_equal(weft_promise_resolve(promise, s, NULL), 0);
    assert_int_equal(weft_await(bounded, NULL), 0);
    weft_future_release(future);
    weft_promise_destroy(promise);
}

static void close_scope(scene *s)
{
    weft_token *scope = weft_token_create(s->executor, s->token, HOUR, 0);
    assert_int_equal(weft_token_close(scope), 0);
    weft_token_release(scope);
}

static void drop_scope(scene *s)
{
    weft_token *scope = weft_token_create(s->executor, s->token, HOUR, 0);
    assert_non_null(scope);
    weft_token_release(scope);
}

static void move_deadline(scene *s)
{
    assert_int_equal(weft_token_reschedule(s->token, HOUR), 0);
}

static void test_mem_06_timeouts_that_never_fire(void **state)
{
    (void)state;
    grow_alone(MILLION, 1, cancel_sleep);
    grow_alone(MILLION, 1, drop_sleep);
    grow_alone(MILLION, 1, cancel_delayed);
    grow_alone(MILLION, 1, meet_deadline);
}

static void test_mem_06_deadlines_of_scopes(void **state)
{
    (void)state;
    grow_alone(MILLION, 1, close_scope);
    grow_alone(MILLION, 1, drop_scope);
    scene *s = scene_make();
    move_deadline(s); /* from here on it has one */
    grow(s, MILLION, 1, move_deadline);
    scene_end(s);
}

/* Tokens. */

static void token_below(scene *s)
{
    weft_token *token = weft_token_create(NULL, s->token, WEFT_FOREVER, 0);
    assert_non_null(token);
    weft_token_release(token);
}

static void jobs_with_one_token(scene *s)
{
    const weft_submit_options options = {.token = s->token};
    for (int i = 0; i < BATCH; i++) {
        let_go(weft_submit_with(s->executor, count_job, s, &options));
    }
    s->submitted += BATCH;
    catch_up(s, BATCH);
}

static void never_called(void *data)
{
    (void)data;
    TEST_FAIL("a hook that was removed is not called");
}

static void hook_and_unhook(scene *s)
{
    weft_callback *handle = NULL;
    assert_int_equal(weft_token_on_cancel(s->token, never_called, s, &handle), 0);
    assert_int_equal(weft_callback_remove(handle), 0);
}

static void *ask_for_token(void *argument)
{
    TEST_EXPECT(weft_current_token() != NULL);
    return count_job(argument);
}

static void jobs_that_ask_for_theirs(scene *s)
{
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(weft_execute(s->executor, ask_for_token, s), 0);
    }
    s->submitted += BATCH;
    catch_up(s, BATCH);
}

static void test_mem_06_below_one_token(void **state)
{
    (void)state;
    grow_alone(MILLION, 1, token_below);
    grow_alone(MILLION, BATCH, jobs_with_one_token);
    grow_alone(MILLION, 1, hook_and_unhook);
    grow_alone(MILLION, BATCH, jobs_that_ask_for_theirs);
}

/* Groups. */

static void spawn(scene *s)
{
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(weft_group_submit(s->group, count_job, s), 0);
    }
    s->submitted += BATCH;
    catch_up(s, 0);
}

static void live_through_children(unsigned limit)
{
    scene *s = scene_make();
    const weft_group_options options = {.limit = limit, .timeout = HOUR, .parent = s->token};
    s->group = weft_group_create(s->executor, &options);
    assert_non_null(s->group);
    grow(s, MILLION, BATCH, spawn);
    assert_int_equal(weft_group_join(s->group), 0);
    assert_int_equal(weft_group_destroy(s->group), 0);
    scene_end(s);
}

static void come_and_go(scene *s)
{
    const weft_group_options options = {.timeout = HOUR, .parent = s->token};
    weft_group *group = weft_group_create(s->executor, &options);
    assert_int_equal(weft_group_submit(group, count_job, s), 0);
    assert_int_equal(weft_group_join(group), 0);
    assert_int_equal(weft_group_destroy(group), 0);
}

static void test_mem_06_a_group_that_lives(void **state)
{
    (void)state;
    live_through_children(0);
    live_through_children(1);
}

static void test_mem_06_groups_that_come_and_go(void **state)
{
    (void)state;
    grow_alone(MILLION / 10, 1, come_and_go);
}

/* Jobs. */

static void run_batch(scene *s)
{
    assert_int_equal(weft_submit_many(s->executor, count_job, s->arguments, BATCH, NULL), 0);
    s->submitted += BATCH;
    catch_up(s, BATCH);
}

static void await_batch(scene *s)
{
    assert_int_equal(weft_submit_many(s->executor, count_job, s->arguments, BATCH, s->batch), 0);
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(weft_await(s->batch[i], NULL), 0);
    }
}

static void map_batch(scene *s)
{
    assert_int_equal(weft_await(weft_map(s->executor, count_job, s->arguments, BATCH, 0, WEFT_STRICT), NULL), 0);
}

static void chain_batch(scene *s)
{
    for (int i = 0; i < BATCH; i++) {
        weft_future *job = weft_submit(s->executor, count_job, s);
        s->batch[i] = weft_then(job, then_nothing, s);
        weft_future_release(job);
    }
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(weft_await(s->batch[i], NULL), 0);
    }
}

static void test_mem_06_jobs_in_batches(void **state)
{
    (void)state;
    grow_alone(10 * MILLION, BATCH, run_batch);
    grow_alone(MILLION, BATCH, await_batch);
}

static void test_mem_06_maps_and_thens(void **state)
{
    (void)state;
    grow_alone(MILLION, BATCH, map_batch);
    grow_alone(MILLION, BATCH, chain_batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_mem_06_waits_that_time_out),       TEST(test_mem_06_derived_futures_of_one_that_lives),
        TEST(test_mem_06_mirrors_of_one_that_lives), TEST(test_mem_06_registrations_on_one_that_lives),
        TEST(test_mem_06_a_queue_that_lives),        TEST(test_mem_06_timeouts_that_never_fire),
        TEST(test_mem_06_deadlines_of_scopes),       TEST(test_mem_06_below_one_token),
        TEST(test_mem_06_a_group_that_lives),        TEST(test_mem_06_groups_that_come_and_go),
        TEST(test_mem_06_jobs_in_batches),           TEST(test_mem_06_maps_and_thens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
