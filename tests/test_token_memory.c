/* test_token_memory.c: tokens, hooks and groups without memory: what is refused leaves no trace (MEM-01), and what was
 * accepted needs none (I14): to cancel, expire, reschedule, join and collect failures.
 *
 * Discipline. The program brings its own allocator before any other call. It refuses the k-th request, for k = 1, 2,
 * ... until a script of all calls needs no more than that; or all requests, for as long as the test says. */
#include "scopes.h"

enum { HEADER = 16 };

static struct {
    _Atomic(size_t) requests, blocks; /* any thread */
    _Atomic(size_t) refuse_at;        /* number of the first request to refuse; 0: none. Written by the test's thread */
    _Atomic(bool) for_good;           /* refuse all from there on. Written by the test's thread */
} heap;

static void *heap_alloc(size_t size, void *data)
{
    size_t number = atomic_fetch_add_explicit(&heap.requests, 1, memory_order_acq_rel) + 1,
           at = test_get(heap.refuse_at);
    (void)data;
    if (at != 0 && (number == at || (number > at && test_get(heap.for_good)))) {
        return NULL;
    }
    char *block = malloc(size + HEADER);
    if (block == NULL) {
        return NULL;
    }
    memset(block, 0xC3, size + HEADER);
    atomic_fetch_add_explicit(&heap.blocks, 1, memory_order_acq_rel);
    return block + HEADER;
}

static void heap_free(void *memory, void *data)
{
    (void)data;
    if (memory != NULL) {
        atomic_fetch_sub_explicit(&heap.blocks, 1, memory_order_acq_rel);
        free((char *)memory - HEADER);
    }
}

/* From now on the k-th request is refused; for good: and all after it. k = 0: none. */
static void refuse(size_t k, bool for_good)
{
    atomic_store_explicit(&heap.refuse_at, 0, memory_order_release);
    atomic_store_explicit(&heap.for_good, for_good, memory_order_release);
    atomic_store_explicit(&heap.refuse_at, k == 0 ? 0 : test_get(heap.requests) + k, memory_order_release);
}

/* A job that asks for its token, and for a hook on it. */
struct asks {
    hook hook;            /* by the test */
    _Atomic(int) answers; /* by the job: how many of the two calls were refused */
};

static void *ask_for_token(void *argument)
{
    struct asks *self = argument;
    weft_callback *handle = NULL;
    errno = 0;
    weft_token *token = weft_current_token();
    if (token == NULL) {
        TEST_EXPECT(errno == ENOMEM);
        atomic_store_explicit(&self->answers, 2, memory_order_release);
        return NULL;
    }
    int answer = weft_token_on_cancel(token, hook_run, &self->hook, &handle);
    TEST_EXPECT(answer == 0 || answer == -ENOMEM);
    TEST_EXPECT((answer == 0) == (handle != NULL));
    TEST_EXPECT(answer != 0 || weft_callback_remove(handle) == 0);
    atomic_store_explicit(&self->answers, answer != 0, memory_order_release);
    return NULL;
}

/* Each call of the script is refused with its code and leaves nothing, or holds. Returns how many were refused. */
static unsigned run_script(world here, size_t k)
{
    unsigned refused = 0;
    hook hook_of = {.number = 0};
    struct asks asks = {.answers = 0};
    test_cell *cells[3] = {cell_make(NULL, 0), cell_make(NULL, 0), cell_make(NULL, 0)};
    int answers[3];
    weft_callback *handle = NULL;
    refuse(k, false);
    errno = 0;
    weft_token *token = weft_token_create(here.executor, NULL, 3600 * 1000 * MS, 0);
    assert_true(token != NULL || errno == ENOMEM);
    errno = 0;
    weft_token *child = weft_token_create(here.executor, token, WEFT_FOREVER, 0);
    assert_true(child != NULL || errno == ENOMEM);
    refused += (unsigned)(token == NULL) + (unsigned)(child == NULL);
    int answer = token != NULL ? weft_token_on_cancel(token, hook_run, &hook_of, &handle) : -ENOMEM;
    assert_true(answer == 0 || (answer == -ENOMEM && handle == NULL));
    refused += answer != 0;
    weft_submit_options options = {.token = child, .free_arg = test_cell_free_arg};
    errno = 0;
    weft_future *job = weft_submit_with(here.executor, test_cell_run, cells[0], &options);
    assert_true(job != NULL || errno == ENOMEM);
    answers[0] = job != NULL ? 0 : -ENOMEM;
    weft_future *asking = weft_submit(here.executor, ask_for_token, &asks);
    refused += (unsigned)(job == NULL) + (unsigned)(asking == NULL);
    if (asking != NULL) {
        assert_done_soon(asking);
        refused += (unsigned)test_get(asks.answers);
    }
    errno = 0;
    const weft_group_options below = {.parent = token, .timeout = 3600 * 1000 * MS, .limit = 1};
    weft_group *group = weft_group_create(here.executor, &below);
    assert_true(group != NULL || errno == ENOMEM);
    refused += group == NULL;
    options.delay = 10 * MS;
    answers[1] = group != NULL ? group_add(group, cells[1]) : -ENOMEM;
    answers[2] = group != NULL ? weft_group_submit_with(group, test_cell_run, cells[2], &options) : -ENOMEM;
    for (unsigned i = 1; i < 3; i++) {
        assert_true(answers[i] == 0 || answers[i] == -ENOMEM);
        refused += answers[i] != 0;
    }
    if (group != NULL) {
        weft_manual_clock_advance(here.clock, 10 * MS + TICK);
        assert_int_equal(weft_group_join(group), 0);
        size_t n = 7;
        errno = 0;
        const weft_outcome *errors = weft_group_errors(group, &n);
        assert_true(errors != NULL ? n == 0 : errno == ENOMEM);
        refused += errors == NULL;
        assert_int_equal(weft_group_destroy(group), 0);
    }
    if (job != NULL) {
        assert_done_soon(job);
        weft_future_release(job);
    }
    refuse(0, false);
    weft_future_release(asking);
    if (handle != NULL) {
        assert_int_equal(weft_callback_remove(handle), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(test_get(cells[i]->ran), answers[i] == 0 ? 1 : 0);
        assert_int_equal(test_get(cells[i]->arg_freed), answers[i] == 0 ? 1 : 0);
    }
    weft_token_release(token);
    weft_token_release(child);
    assert_tokens_soon(0);
    assert_timers_soon(0);
    assert_true(test_until_counters(0, 0, 0));
    return refused;
}

static void test_mem_01_tokens_and_groups_without_memory(void **state)
{
    (void)state;
    bool enough = false;
    unsigned seen = 0;
    /* A new executor each time, whose slabs are empty. Requests that it makes by itself may be the one refused, which
     * no call then sees; so the end is a k that was not reached. */
    for (size_t k = 1; !enough; k++) {
        assert_true(k < 200);
        world here = world_make(1);
        flush(here.executor);
        size_t at = test_get(heap.requests) + k;
        seen += run_script(here, k);
        enough = test_get(heap.requests) < at;
        world_end(here);
    }
    assert_true(seen >= 8);
}

/* I14: from here on there is no memory at all. */
static void test_mem_01_nothing_is_allocated_after_acceptance(void **state)
{
    enum { CHILDREN = 6 };
    (void)state;
    world here = world_make(2);
    weft_executor *other = test_executor(1);
    weft_token *root = token_make(here.executor, NULL, WEFT_FOREVER, 0);
    weft_token *scope = token_make(here.executor, NULL, 20 * MS, 0);
    weft_token *below = token_make(other, scope, WEFT_FOREVER, 0);
    hook hooks[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    weft_token *tokens[] = {root, scope, below};
    test_gate *hold = test_block(other, 1), *gate = test_gate_make();
    test_cell *queued = cell_make(NULL, 0), *cells[CHILDREN];
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(weft_token_on_cancel(tokens[i], hook_run, &hooks[i], NULL), 0);
    }
    weft_future *job = submit_under(other, below, queued);
    weft_future *running = submit_obedient(here.executor, root);
    const weft_group_options options = {.limit = 1, .timeout = 3600 * 1000 * MS};
    weft_group *group = group_make(here.executor, &options), *stopped = group_make(here.executor, &options);
    for (int i = 0; i < CHILDREN; i++) {
        assert_int_equal(group_add(group, cells[i] = cell_make(gate, i == 0 ? 7 : 0)), 0);
        assert_int_equal(weft_group_submit(stopped, test_job_return_arg, NULL), 0);
    }
    assert_true(test_gate_await(gate, 1));
    refuse(1, true);
    assert_int_equal(weft_token_reschedule(scope, 30 * MS), 0);
    assert_int_equal(weft_token_reschedule(scope, 10 * MS), 0);
    assert_int_equal(weft_token_reschedule(root, 3600 * 1000 * MS), 0);
    weft_manual_clock_advance(here.clock, 10 * MS + TICK);
    assert_true(weft_token_expired(scope));
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_TIMEOUT);
    weft_token_cancel(root);
    assert_done_soon(running);
    assert_cancelled(running, WEFT_REASON_USER);
    weft_group_cancel(stopped);
    test_gate_open(gate);
    assert_int_equal(weft_group_join(group), 7);
    int code = weft_group_join(stopped);
    assert_int_equal(code, -ECANCELED);
    for (unsigned i = 0; i < 3; i++) {
        assert_hook_soon(&hooks[i]);
    }
    errno = 0;
    assert_null(weft_group_errors(group, NULL));
    assert_int_equal(errno, ENOMEM);
    refuse(0, false);
    size_t n = 0;
    const weft_outcome *errors = weft_group_errors(group, &n);
    assert_int_equal(n, 1);
    assert_slot(&errors[0], WEFT_FAILED, 7, NULL);
    assert_ran(cells[0], 0);
    assert_int_equal(weft_group_destroy(group), 0);
    assert_int_equal(weft_group_destroy(stopped), 0);
    test_unblock(hold);
    for (unsigned i = 0; i < 3; i++) {
        weft_token_release(tokens[i]);
    }
    weft_future_release(job);
    weft_future_release(running);
    test_destroy(other);
    world_end(here);
    assert_discarded(queued);
}

int main(void)
{
    weft_set_allocator(heap_alloc, heap_free, NULL);
    const struct CMUnitTest tests[] = {
        TEST(test_mem_01_tokens_and_groups_without_memory),
        TEST(test_mem_01_nothing_is_allocated_after_acceptance),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed == 0 && test_get(heap.blocks) != 0) {
        fprintf(stderr, "blocks that were not given back: %zu\n", test_get(heap.blocks));
        failed = 1;
    }
    return failed;
}
