/* test_exhaustion.c: each call that makes jobs, futures and executors, with each of its requests for memory refused in
 * turn (MEM-05). How it is done and what must hold stands in exhaust.h; tokens, groups and queues have
 * test_exhaustion_tokens. */
#include "exhaust.h"

enum { WIDE = 40 };

static const weft_submit_options freeing = {.free_arg = test_cell_free_arg};

static int call_submit(world *w)
{
    return made(w, weft_submit(w->executor, test_job_return_arg, w));
}

static int call_submit_with(world *w)
{
    return given(w, made(w, weft_submit_with(w->executor, test_cell_run, w->items, &freeing)), 1);
}

static int call_submit_with_token(world *w)
{
    weft_submit_options options = freeing;
    options.token = w->token;
    options.priority = WEFT_HIGH;
    return given(w, made(w, weft_submit_with(w->executor, test_cell_run, w->items, &options)), 1);
}

static int call_submit_delayed(world *w)
{
    weft_submit_options options = freeing;
    options.token = w->token;
    options.delay = WEFT_SECONDS(2);
    return given(w, made(w, weft_submit_with(w->executor, test_cell_run, w->items, &options)), 1);
}

static int call_submit_copy(world *w)
{
    return made(w, weft_submit_copy(w->executor, test_job_return_arg, w, sizeof *w));
}

static int call_submit_many(world *w)
{
    int code = weft_submit_many(w->executor, test_cell_run, w->arguments, ITEMS, w->made);
    w->n_made = code == 0 ? ITEMS : 0;
    return code;
}

static int call_execute_many(world *w)
{
    return weft_submit_many(w->executor, test_cell_run, w->arguments, ITEMS, NULL);
}

static int call_execute(world *w)
{
    return weft_execute(w->executor, test_cell_run, w->items);
}

static int call_sleep(world *w)
{
    return made(w, weft_sleep(w->executor, WEFT_SECONDS(1), w));
}

static int call_promise(world *w)
{
    weft_promise *promise = weft_promise_create(w->executor);
    if (promise == NULL) {
        return -errno;
    }
    int code = made(w, weft_promise_future(promise));
    weft_promise_destroy(promise);
    return code;
}

static int call_on_done(world *w)
{
    return hits(w, weft_on_done(w->futures[0], test_hit_latch, w->latch, NULL));
}

static int call_on_done_with_handle(world *w)
{
    return hits(w, weft_on_done(w->futures[0], test_hit_latch, w->latch, &w->handle));
}

static int call_on_done_of_done(world *w)
{
    return hits(w, weft_on_done(w->done, test_hit_latch, w->latch, &w->handle));
}

static int call_gather(world *w)
{
    return made(w, weft_gather(w->executor, w->futures, 2, WEFT_SETTLED));
}

static int call_gather_first_error(world *w)
{
    return made(w, weft_gather(w->executor, w->futures, 2, WEFT_FIRST_ERROR));
}

/* Prepared, it is in the place of the input where a gather needs no node of its own. */
static int call_gather_strict(world *w)
{
    return made(w, weft_gather(w->executor, w->futures, 2, WEFT_STRICT));
}

static int call_gather_outcomes(world *w)
{
    return weft_gather_outcomes(w->done, NULL) != NULL ? 0 : -errno;
}

static int call_any(world *w)
{
    return made(w, weft_any(w->executor, w->futures, 2));
}

static int call_wait_for(world *w)
{
    return made(w, weft_wait_for(w->futures[0], WEFT_SECONDS(1), WEFT_NO_CANCEL));
}

static int call_wait_for_join(world *w)
{
    return made(w, weft_wait_for(w->futures[0], WEFT_FOREVER, WEFT_JOIN));
}

static int call_shield(world *w)
{
    return made(w, weft_shield(w->futures[0]));
}

static void *then_cell(void *value, void *data)
{
    (void)value;
    return test_cell_run(data);
}

static void *then_any_cell(const weft_outcome *outcome, void *data)
{
    (void)outcome;
    return test_cell_run(data);
}

static int call_then(world *w)
{
    return made(w, weft_then(w->futures[0], then_cell, w->items));
}

static int call_then_any(world *w)
{
    return made(w, weft_then_any(w->futures[1], then_any_cell, w->items));
}

static int call_then_with(world *w)
{
    weft_submit_options options = freeing;
    options.token = w->token;
    options.delay = WEFT_SECONDS(1);
    return given(w, made(w, weft_then_with(w->futures[1], then_cell, w->items, &options)), 1);
}

static int call_then_any_with(world *w)
{
    return given(w, made(w, weft_then_any_with(w->futures[1], then_any_cell, w->items, &freeing)), 1);
}

static int call_then_of_done(world *w)
{
    return given(w, made(w, weft_then_any_with(w->done, then_any_cell, w->items, &freeing)), 1);
}

static int call_flatten(world *w)
{
    return made(w, weft_flatten(w->futures[1])); /* which fails: the other one's value is no future */
}

static int call_map(world *w)
{
    return made(w, weft_map(w->executor, test_cell_run, w->arguments, ITEMS, 1, WEFT_FIRST_ERROR));
}

static int call_map_with(world *w)
{
    weft_submit_options options = freeing;
    options.token = w->token;
    options.delay = WEFT_SECONDS(1);
    return given(w, made(w, weft_map_with(w->executor, test_cell_run, w->arguments, ITEMS, 3, WEFT_STRICT, &options)),
                 ITEMS);
}

static int call_map_of_one(world *w)
{
    return given(w, made(w, weft_map_with(w->executor, test_cell_run, w->arguments, 1, 0, WEFT_SETTLED, &freeing)), 1);
}

static int call_wait(world *w)
{
    weft_future *wide[WIDE];
    for (size_t i = 0; i < WIDE; i++) {
        wide[i] = i == 7 ? w->done : w->futures[i % 2];
    }
    return in_vain(weft_wait(wide, WIDE, WEFT_ALL_COMPLETED, 0, NULL));
}

static int call_blocking_wait(world *w)
{
    return in_vain(weft_wait(w->futures, 2, WEFT_FIRST_COMPLETED, WEFT_MICROSECONDS(100), NULL));
}

static int call_future_wait(world *w)
{
    return in_vain(weft_future_wait(w->futures[0], WEFT_MICROSECONDS(100)));
}

static int call_executor(world *w)
{
    const weft_executor_options options = {.workers = 2, .name = "made", .max_pending = 3};
    w->made_executor = weft_executor_create(&options);
    return w->made_executor != NULL ? 0 : -errno;
}

static int call_default_executor(world *w)
{
    (void)w;
    return weft_executor_default() != NULL ? 0 : -errno;
}

/* The first use makes the default executor, which the call in need of it may then be refused by. */
static int call_sleep_by_default(world *w)
{
    return made(w, weft_sleep(NULL, WEFT_MICROSECONDS(10), w));
}

static int call_clock(world *w)
{
    w->made_clock = weft_manual_clock_create();
    return w->made_clock != NULL ? 0 : -errno;
}

static const call calls[] = {
    {"submit", call_submit, ANYWHERE, 0, NULL},
    {"submit with", call_submit_with, ANYWHERE, 0, NULL},
    {"submit with token", call_submit_with_token, ANYWHERE, 0, NULL},
    {"submit delayed", call_submit_delayed, ANYWHERE, 0, NULL},
    {"submit copy", call_submit_copy, ANYWHERE, 0, NULL},
    {"submit many", call_submit_many, ANYWHERE, 0, NULL},
    {"execute many", call_execute_many, ANYWHERE, 0, NULL},
    {"execute", call_execute, ANYWHERE, 0, NULL},
    {"sleep", call_sleep, ANYWHERE, 0, NULL},
    {"promise", call_promise, ANYWHERE, 0, NULL},
    {"on done", call_on_done, ANYWHERE, 0, NULL},
    {"on done with handle", call_on_done_with_handle, ANYWHERE, 0, NULL},
    {"on done of done", call_on_done_of_done, ANYWHERE, 0, NULL},
    {"gather", call_gather, ANYWHERE, 0, NULL},
    {"gather first error", call_gather_first_error, ANYWHERE, 0, NULL},
    {"gather strict", call_gather_strict, ANYWHERE, 0, NULL},
    {"gather of what has a gather", call_gather_strict, ANYWHERE, 0, call_gather_strict},
    {"gather outcomes", call_gather_outcomes, ANYWHERE, 0, NULL},
    {"any", call_any, ANYWHERE, 0, NULL},
    {"wait for", call_wait_for, ANYWHERE, 0, NULL},
    {"wait for join", call_wait_for_join, ANYWHERE, 0, NULL},
    {"shield", call_shield, ANYWHERE, 0, NULL},
    {"then", call_then, ANYWHERE, 0, NULL},
    {"then any", call_then_any, ANYWHERE, 0, NULL},
    {"then with", call_then_with, ANYWHERE, 0, NULL},
    {"then any with", call_then_any_with, ANYWHERE, 0, NULL},
    {"then of done", call_then_of_done, ANYWHERE, 0, NULL},
    {"flatten", call_flatten, ANYWHERE, 0, NULL},
    {"map", call_map, ANYWHERE, 0, NULL},
    {"map with", call_map_with, ANYWHERE, 0, NULL},
    {"map of one", call_map_of_one, ANYWHERE, 0, NULL},
    {"wait", call_wait, ANYWHERE, FRUGAL, NULL},
    {"blocking wait", call_blocking_wait, OUTSIDE | IN_JOB, FRUGAL | MAY_BE_AGAIN, NULL},
    {"future wait", call_future_wait, OUTSIDE | IN_JOB, FRUGAL | MAY_BE_AGAIN, NULL},
    {"executor", call_executor, ANYWHERE, 0, NULL},
    {"default executor", call_default_executor, ANYWHERE, MAKES_DEFAULT, NULL},
    {"sleep by default", call_sleep_by_default, ANYWHERE, MAKES_DEFAULT, NULL},
    {"clock", call_clock, ANYWHERE, 0, NULL},
};

enum { CALLS = sizeof calls / sizeof calls[0] };

static void test_mem_05_each_call_outside(void **state)
{
    (void)state;
    exhaust(calls, CALLS, OUTSIDE);
}

static void test_mem_05_each_call_in_a_job(void **state)
{
    (void)state;
    exhaust(calls, CALLS, IN_JOB);
}

static void test_mem_05_each_call_in_a_callback(void **state)
{
    (void)state;
    exhaust(calls, CALLS, IN_CALLBACK);
}

int main(void)
{
    heap_install();
    const struct CMUnitTest tests[] = {
        TEST(test_mem_05_each_call_outside),
        TEST(test_mem_05_each_call_in_a_job),
        TEST(test_mem_05_each_call_in_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
