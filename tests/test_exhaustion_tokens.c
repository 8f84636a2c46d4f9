/* test_exhaustion_tokens.c: each call of tokens, groups and queues, with each of its requests for memory refused in
 * turn (MEM-05). See exhaust.h. */
#include "exhaust.h"

static const weft_submit_options freeing = {.free_arg = test_cell_free_arg};

static int keep_token(world *w, weft_token *token)
{
    w->made_token = token;
    return token != NULL ? 0 : -errno;
}

static int call_token(world *w)
{
    return keep_token(w, weft_token_create(w->executor, NULL, WEFT_FOREVER, 0));
}

static int call_token_below(world *w)
{
    return keep_token(w, weft_token_create(NULL, w->token, WEFT_SECONDS(2), 0));
}

static int call_token_shielded(world *w)
{
    return keep_token(w, weft_token_create(w->executor, w->token, 0, WEFT_SHIELDED));
}

static int call_current_token(world *w)
{
    (void)w;
    return weft_current_token() != NULL ? 0 : -errno;
}

static void hook(void *data)
{
    world *w = data;
    test_latch_hit(w->latch);
}

static int call_hook(world *w)
{
    return hits(w, weft_token_on_cancel(w->token, hook, w, NULL));
}

static int call_hook_with_handle(world *w)
{
    return hits(w, weft_token_on_cancel(w->token, hook, w, &w->handle));
}

static int keep_group(world *w, weft_group *group)
{
    w->made_group = group;
    return group != NULL ? 0 : -errno;
}

static int call_group(world *w)
{
    return keep_group(w, weft_group_create(w->executor, NULL));
}

static int call_group_below(world *w)
{
    const weft_group_options options = {.limit = 1, .timeout = WEFT_SECONDS(5), .parent = w->token};
    return keep_group(w, weft_group_create(w->executor, &options));
}

static int call_group_submit(world *w)
{
    return weft_group_submit(w->group, test_cell_run, w->items);
}

static int call_group_submit_with(world *w)
{
    weft_submit_options options = freeing;
    options.token = w->token;
    return given(w, weft_group_submit_with(w->group, test_cell_run, w->items, &options), 1);
}

static int call_group_submit_delayed(world *w)
{
    weft_submit_options options = freeing;
    options.delay = WEFT_SECONDS(1);
    return given(w, weft_group_submit_with(w->group, test_cell_run, w->items, &options), 1);
}

static int call_group_errors(world *w)
{
    return weft_group_errors(w->joined, NULL) != NULL ? 0 : -errno;
}

static int keep_queue(world *w, weft_queue *queue)
{
    w->made_queue = queue;
    return queue != NULL ? 0 : -errno;
}

static int call_queue(world *w)
{
    return keep_queue(w, weft_queue_create(w->executor));
}

static int call_queue_add(world *w)
{
    return weft_queue_add(w->queue, w->futures[0], w);
}

static int call_queue_add_done(world *w)
{
    return weft_queue_add(w->queue, w->done, w);
}

static int call_queue_fd(world *w)
{
    int fd = weft_queue_fd(w->queue);
    return fd < 0 ? fd : 0;
}

static int call_as_completed(world *w)
{
    weft_future *all[] = {w->futures[0], w->done, w->futures[1], w->futures[0]};
    return keep_queue(w, weft_as_completed(all, 4, WEFT_FOREVER));
}

/* Prepared: one was added. */
static int call_queue_next(world *w)
{
    return weft_queue_next(w->queue, WEFT_MICROSECONDS(100), NULL) == NULL ? in_vain(-errno) : -EPROTO;
}

static const call calls[] = {
    {"token", call_token, ANYWHERE, 0, NULL},
    {"token below", call_token_below, ANYWHERE, 0, NULL},
    {"token shielded", call_token_shielded, ANYWHERE, 0, NULL},
    {"current token", call_current_token, IN_JOB, 0, NULL},
    {"hook", call_hook, ANYWHERE, 0, NULL},
    {"hook with handle", call_hook_with_handle, ANYWHERE, 0, NULL},
    {"group", call_group, ANYWHERE, 0, NULL},
    {"group below", call_group_below, ANYWHERE, 0, NULL},
    {"group submit", call_group_submit, ANYWHERE, 0, NULL},
    {"group submit with", call_group_submit_with, ANYWHERE, 0, NULL},
    {"group submit delayed", call_group_submit_delayed, ANYWHERE, 0, NULL},
    {"group errors", call_group_errors, ANYWHERE, 0, NULL},
    {"queue", call_queue, ANYWHERE, 0, NULL},
    {"queue add", call_queue_add, ANYWHERE, 0, NULL},
    {"queue add done", call_queue_add_done, ANYWHERE, 0, NULL},
    {"queue fd", call_queue_fd, ANYWHERE, FRUGAL, NULL},
    {"as completed", call_as_completed, ANYWHERE, 0, NULL},
    {"queue next", call_queue_next, OUTSIDE | IN_JOB, FRUGAL | MAY_BE_AGAIN, call_queue_add},
};

enum { CALLS = sizeof calls / sizeof calls[0] };

static void test_mem_05_each_call_of_tokens_groups_and_queues_outside(void **state)
{
    (void)state;
    exhaust(calls, CALLS, OUTSIDE);
}

static void test_mem_05_each_call_of_tokens_groups_and_queues_in_a_job(void **state)
{
    (void)state;
    exhaust(calls, CALLS, IN_JOB);
}

static void test_mem_05_each_call_of_tokens_groups_and_queues_in_a_callback(void **state)
{
    (void)state;
    exhaust(calls, CALLS, IN_CALLBACK);
}

int main(void)
{
    heap_install();
    const struct CMUnitTest tests[] = {
        TEST(test_mem_05_each_call_of_tokens_groups_and_queues_outside),
        TEST(test_mem_05_each_call_of_tokens_groups_and_queues_in_a_job),
        TEST(test_mem_05_each_call_of_tokens_groups_and_queues_in_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
