/* test_limits.c: what executor/README.md states of bytes and limits beyond test_numbers: what each kind of object
 * takes, how deep waits may nest, how many threads stand in, how many workers there may be.
 *
 * Bytes are not read off the structures: the slab tells what it has given, and the counters what an array has taken. */
#include "support.h"

#include "future.h"
#include "token.h"

/* ---- bytes ---- */

static unsigned bytes_of(const void *object)
{
    return weft__chunk_of(object)->size;
}

static void *nothing(void *arg)
{
    return arg;
}

static void *follow(void *value, void *data)
{
    (void)data;
    return value;
}

static void hook(void *data)
{
    (void)data;
}

/* How large the job is that this runs in; by the job, read after the join. */
static void *measure_self(void *bytes)
{
    *(unsigned *)bytes = bytes_of(weft__self.job);
    return NULL;
}

/* With one worker; skips the test if each object is an allocation of its own, as under the address sanitizer. */
static weft_executor *executor_of_chunks(void)
{
    weft_executor *executor = test_executor(1);
    if (executor->slab.each) {
        test_destroy(executor);
        skip();
    }
    return executor;
}

static void check_future(weft_future *future, unsigned bytes)
{
    assert_non_null(future);
    assert_int_equal(bytes_of(future), bytes);
    weft_cancel(future);
    weft_future_release(future);
}

static void test_bytes_of_each_kind(void **state)
{
    (void)state;
    weft_executor *executor = executor_of_chunks();
    test_gate *gate = test_block(executor, 1);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    const weft_submit_options plain = {.name = "plain"}, delayed = {.delay = WEFT_SECONDS(3600)};
    assert_int_equal(bytes_of(future), 64);
    check_future(weft_submit(executor, nothing, NULL), 64);
    check_future(weft_sleep(executor, WEFT_SECONDS(3600), NULL), 88);
    check_future(weft_submit_with(executor, nothing, NULL, &delayed), 96);
    check_future(weft_wait_for(future, WEFT_SECONDS(3600), WEFT_NO_CANCEL), 128);
    check_future(weft_shield(future), 128);
    weft_future *with = weft_submit_with(executor, nothing, NULL, &plain);
    assert_int_equal(bytes_of(weft__options_of(with)), 128);
    check_future(with, 64);
    check_future(weft_flatten(future), 128);
    assert_true(weft_future_done(future)); /* the flatten has passed its cancel on */
    check_future(weft_then(future, follow, NULL), 128);
    weft_future_release(future);
    weft_promise_destroy(promise);
    test_unblock(gate);
    test_destroy(executor);
}

static void test_bytes_of_tokens_hooks_and_children(void **state)
{
    (void)state;
    weft_executor *executor = executor_of_chunks();
    weft_token *token = weft_token_create(executor, NULL, WEFT_FOREVER, 0);
    assert_non_null(token);
    assert_int_equal(bytes_of(token), 128);
    weft_callback *handle = NULL;
    assert_int_equal(weft_token_on_cancel(token, hook, NULL, &handle), 0);
    assert_int_equal(bytes_of(handle), 96);
    assert_int_equal(weft_callback_remove(handle), 0);
    weft_token_release(token);
    weft_future *future = test_done_future(executor);
    assert_int_equal(weft_on_done(future, test_hit_latch, test_latch_make(), &handle), 0);
    assert_int_equal(bytes_of(handle), 96);
    weft_callback_remove(handle);
    weft_future_release(future);
    unsigned child = 0;
    weft_group *group = weft_group_create(executor, NULL);
    assert_int_equal(weft_group_submit(group, measure_self, &child), 0);
    assert_int_equal(weft_group_join(group), 0);
    assert_int_equal(weft_group_destroy(group), 0);
    assert_int_equal(child, 192);
    test_destroy(executor);
}

enum { FEW = 64, MANY = 6464, PENDING = 64 };
static weft_future *futures[MANY];
static void *items[MANY];

static size_t bytes_of_queue(size_t n)
{
    size_t before = test_counters().bytes;
    weft_queue *queue = weft_as_completed(futures, n, WEFT_FOREVER);
    size_t bytes = test_counters().bytes - before;
    assert_non_null(queue);
    weft_queue_destroy(queue);
    return bytes;
}

/* One chunk, so that nothing but the items makes a difference. */
static size_t bytes_of_map(weft_executor *executor, size_t n)
{
    size_t before = test_counters().bytes;
    weft_future *map = weft_map(executor, nothing, items, n, n, WEFT_SETTLED);
    assert_non_null(map);
    assert_int_equal(weft_future_wait(map, WEFT_FOREVER), 0);
    size_t bytes = test_counters().bytes - before;
    weft_future_release(map);
    assert_true(test_until_counters(MANY, 0, 0)); /* the worker has let go of it */
    return bytes;
}

static size_t bytes_of_outcomes(weft_executor *executor, size_t n)
{
    weft_future *gather = weft_gather(executor, futures, n, WEFT_SETTLED);
    size_t before = test_counters().bytes;
    assert_non_null(weft_gather_outcomes(gather, NULL));
    size_t bytes = test_counters().bytes - before;
    weft_future_release(gather);
    return bytes;
}

static void test_bytes_for_each_entry(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (size_t i = 0; i < MANY; i++) {
        futures[i] = test_done_future(executor);
        items[i] = &items[i];
    }
    bytes_of_map(executor, FEW); /* the slab has what it needs for the others */
    assert_int_equal(bytes_of_map(executor, MANY) - bytes_of_map(executor, FEW), (MANY - FEW) * 16);
    assert_int_equal(bytes_of_queue(MANY) - bytes_of_queue(FEW), (MANY - FEW) * 48);
    assert_int_equal(bytes_of_outcomes(executor, MANY) - bytes_of_outcomes(executor, FEW), (MANY - FEW) * 32);
    for (size_t i = 0; i < MANY; i++) {
        weft_future_release(futures[i]);
    }
    test_destroy(executor);
}

/* A second gather over inputs that are still open takes 48 bytes more for each. */
static void test_bytes_of_a_second_gather(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promises[PENDING];
    weft_future *open[PENDING], *gathers[2];
    size_t bytes[2];
    for (size_t i = 0; i < PENDING; i++) {
        promises[i] = weft_promise_create(executor);
        open[i] = weft_promise_future(promises[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        size_t before = test_counters().bytes;
        gathers[i] = weft_gather(executor, open, PENDING, WEFT_SETTLED);
        bytes[i] = test_counters().bytes - before;
    }
    assert_int_equal(bytes[1] - bytes[0], PENDING * 48);
    for (size_t i = 0; i < PENDING; i++) {
        weft_promise_resolve(promises[i], NULL, NULL);
        weft_promise_destroy(promises[i]);
        weft_future_release(open[i]);
    }
    weft_future_release(gathers[0]);
    weft_future_release(gathers[1]);
    test_destroy(executor);
}

static void test_bytes_of_a_timer_wheel(void **state)
{
    (void)state;
    assert_int_equal((sizeof(weft__wheel) + 512) / 1024, 74);
}

/* ---- how deep, how many ---- */

/* The one worker's, until the test has awaited the first job. */
static struct {
    weft_executor *executor;
    unsigned depth;   /* of the job that was entered last */
    unsigned refused; /* waits that answered -EOVERFLOW */
} nest;

/* A job that awaits another one of its kind, until that is refused. */
static void *deeper(void *arg)
{
    nest.depth++;
    weft_future *next = weft_submit(nest.executor, deeper, arg);
    int code = weft_await(next, NULL);
    if (code == -EOVERFLOW) {
        nest.refused++;
        TEST_EXPECT(weft_cancel(next) == WEFT_CANCEL_DONE);
        weft_future_release(next);
    } else {
        TEST_EXPECT(code == 0);
    }
    return arg;
}

static void test_waits_nested_on_one_stack(void **state)
{
    (void)state;
    const weft_executor_options options = {.workers = 1, .stack_size = (size_t)64 << 20};
    nest.executor = test_executor_with(&options);
    nest.depth = nest.refused = 0;
    assert_int_equal(weft_await(weft_submit(nest.executor, deeper, NULL), NULL), 0);
    assert_int_equal(nest.depth, 4096 + 1); /* the first one runs in no wait */
    assert_int_equal(nest.refused, 1);
    test_destroy(nest.executor);
}

typedef struct crowd {
    weft_future *future;    /* what all wait for; the test */
    _Atomic(unsigned) full; /* waits that answered -EAGAIN; the jobs */
    test_latch *refused;
} crowd;

static void *wait_in_a_crowd(void *argument)
{
    crowd *c = argument;
    int code = weft_future_wait(c->future, WEFT_FOREVER);
    if (code == -EAGAIN) {
        atomic_fetch_add_explicit(&c->full, 1, memory_order_relaxed);
        test_latch_hit(c->refused);
    } else {
        TEST_EXPECT(code == 0);
    }
    return NULL;
}

/* With 256 spares 256 jobs can block; whoever comes next is told, and so is the one after it, on the same thread. */
static void test_spares_by_default(void **state)
{
    (void)state;
    enum { SPARES = 256, JOBS = SPARES + 2 };
    static weft_future *jobs[JOBS];
    const weft_executor_options options = {.workers = 1, .stack_size = 256 * 1024};
    weft_executor *executor = test_executor_with(&options);
    weft_promise *promise = weft_promise_create(executor);
    crowd c = {.future = weft_promise_future(promise), .refused = test_latch_make()};
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = weft_submit(executor, wait_in_a_crowd, &c);
        assert_non_null(jobs[i]);
    }
    assert_true(test_latch_wait(c.refused, JOBS - SPARES));
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(weft_await(jobs[i], NULL), 0);
    }
    assert_int_equal(test_get(c.full), JOBS - SPARES);
    weft_promise_destroy(promise);
    weft_future_release(c.future);
    test_destroy(executor);
}

static void check_refused(const weft_executor_options *options)
{
    errno = 0;
    assert_null(weft_executor_create(options));
    assert_int_equal(errno, EINVAL);
}

static void test_most_workers_and_spares(void **state)
{
    (void)state;
    const weft_executor_options workers = {.workers = 1025}, spares = {.workers = 1, .max_spares = 4097};
    check_refused(&workers);
    check_refused(&spares);
    const weft_executor_options most_spares = {.workers = 1, .max_spares = 4096};
    test_destroy(test_executor_with(&most_spares));
#if !TEST_TSAN && !TEST_ASAN
    const weft_executor_options most_workers = {.workers = 1024, .stack_size = 64 * 1024};
    weft_executor *executor = test_executor_with(&most_workers);
    assert_int_equal(weft_executor_workers(executor), 1024);
    test_destroy(executor);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_of_each_kind),     TEST(test_bytes_of_tokens_hooks_and_children),
        TEST(test_bytes_for_each_entry),   TEST(test_bytes_of_a_second_gather),
        TEST(test_bytes_of_a_timer_wheel), TEST(test_waits_nested_on_one_stack),
        TEST(test_spares_by_default),      TEST(test_most_workers_and_spares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
