/* test_memory.c: what happens when there is no memory (MEM-01), and that nothing accepted ever needs more (I14).
 *
 * The program brings its own allocator, which it hands over before any other call. It counts, it can refuse the k-th
 * request or all from the k-th on, and it has a cap. A script of every call is run for k = 1, 2, ... until k is beyond
 * what the script asks for: each call is either refused with its documented code and without a trace, or holds. */
#define _GNU_SOURCE
#include "refusing.h"

#include <sys/mman.h>

static bool bytes_agree(void *data)
{
    (void)data;
    return test_counters().bytes == test_get(refuser.bytes);
}

static void test_mem_01_the_counter_of_bytes_is_the_allocators(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    weft_future *job = weft_submit(executor, test_job_return_arg, NULL);
    assert_done_soon(job);
    assert_true(test_until(bytes_agree, NULL));
    assert_true(test_counters().bytes > test_base().bytes);
    weft_future_release(job);
    test_destroy(executor);
    assert_int_equal(test_counters().bytes, test_get(refuser.bytes));
}

/* The script. */

enum { KEPT = 64, CELLS = 24 };

struct script {
    weft_clock *clock;
    weft_executor *executor;
    weft_future *kept[KEPT];
    size_t n_kept, n_cells, accepted, accepted_callbacks;
    test_cell cells[CELLS];
    bool accepted_cell[CELLS];
    test_gate *gate;
    test_latch *latch;
    weft_callback *handles[4];
    size_t n_handles;
};

/* Keeps what a call returned; NULL is a refusal, which has to be for want of memory. */
static weft_future *keep(struct script *script, weft_future *future)
{
    if (future == NULL) {
        assert_int_equal(errno, ENOMEM);
    } else {
        assert_true(script->n_kept < KEPT);
        script->kept[script->n_kept++] = future;
    }
    errno = 0;
    return future;
}

#define TRY(script, call) (errno = 0, keep((script), (call)))

static int check_code(int code)
{
    assert_true(code == 0 || code == -ENOMEM);
    return code;
}

static test_cell *next_cell(struct script *script)
{
    assert_true(script->n_cells < CELLS);
    test_cell *cell = &script->cells[script->n_cells++];
    cell->value = cell;
    return cell;
}

static void accept_cell(struct script *script, test_cell *cell, bool accepted)
{
    script->accepted_cell[cell - script->cells] = accepted;
}

static const weft_submit_options freeing = {.free_arg = test_cell_free_arg, .free_value = test_cell_free_value};

static void *submit_inside(void *arg)
{
    test_cell *cell = arg;
    errno = 0;
    weft_future *child = weft_submit_with(weft_executor_current(), test_cell_run, cell, &freeing);
    if (child == NULL) {
        TEST_EXPECT(errno == ENOMEM);
        return NULL;
    }
    int code = weft_await(child, NULL);
    if (code != 0) { /* no thread to stand in; the reference has stayed here */
        TEST_EXPECT(code == -EAGAIN || code == -ENOMEM);
        weft_future_release(child);
    }
    return NULL;
}

static void script_submits(struct script *script)
{
    test_cell *cell = next_cell(script), *delayed = next_cell(script), *executed = next_cell(script);
    weft_submit_options later = freeing;
    later.delay = WEFT_SECONDS(5);
    TRY(script, weft_submit(script->executor, test_gate_job, script->gate));
    accept_cell(script, cell, TRY(script, weft_submit_with(script->executor, test_cell_run, cell, &freeing)) != NULL);
    accept_cell(script, delayed,
                TRY(script, weft_submit_with(script->executor, test_cell_run, delayed, &later)) != NULL);
    TRY(script, weft_submit_copy(script->executor, test_job_return_arg, script, 400));
    TRY(script, weft_submit(script->executor, submit_inside, next_cell(script)));
    check_code(weft_execute(script->executor, test_cell_run, executed));
}

static void script_many(struct script *script)
{
    enum { N = 8 };
    void *args[N];
    weft_future *futures[N] = {NULL};
    for (int i = 0; i < N; i++) {
        args[i] = next_cell(script);
    }
    int code = check_code(weft_submit_many(script->executor, test_cell_run, args, N, futures));
    for (int i = 0; i < N; i++) {
        if (code == 0) {
            assert_non_null(keep(script, futures[i]));
        }
    }
}

static void script_derived(struct script *script)
{
    weft_future *sleep = TRY(script, weft_sleep(script->executor, WEFT_SECONDS(3), script));
    weft_future *first = script->n_kept != 0 ? script->kept[0] : NULL;
    weft_future *inputs[] = {first, sleep};
    if (first == NULL || sleep == NULL) {
        return;
    }
    TRY(script, weft_gather(script->executor, inputs, 2, WEFT_SETTLED));
    TRY(script, weft_gather(script->executor, inputs, 2, WEFT_FIRST_ERROR));
    TRY(script, weft_gather(script->executor, inputs, 2, WEFT_STRICT));
    TRY(script, weft_any(script->executor, inputs, 2));
    TRY(script, weft_map(script->executor, test_job_return_arg, (void *const *)inputs, 2, 1, WEFT_SETTLED));
    TRY(script, weft_wait_for(sleep, WEFT_SECONDS(10), WEFT_NO_CANCEL));
    TRY(script, weft_wait_for(first, WEFT_SECONDS(1), WEFT_JOIN));
    TRY(script, weft_shield(sleep));
    int code = weft_wait(inputs, 2, WEFT_ALL_COMPLETED, 0, NULL);
    assert_true(code == -ETIMEDOUT || code == -ENOMEM || code == 0);
    for (int i = 0; i < 2; i++) {
        if (check_code(weft_on_done(inputs[i], test_hit_latch, script->latch, NULL)) == 0) {
            script->accepted_callbacks++;
        }
        if (check_code(weft_on_done(inputs[i], test_hit_latch, script->latch, &script->handles[script->n_handles])) ==
            0) {
            script->accepted_callbacks++;
            script->n_handles++;
        }
    }
}

static void script_promise(struct script *script)
{
    errno = 0;
    weft_promise *promise = weft_promise_create(script->executor);
    if (promise == NULL) {
        assert_int_equal(errno, ENOMEM);
        return;
    }
    weft_future *future = keep(script, weft_promise_future(promise));
    assert_non_null(future);
    TRY(script, weft_shield(future));
    TRY(script, weft_wait_for(future, WEFT_FOREVER, 0));
    assert_int_equal(weft_promise_resolve(promise, script, NULL), 0);
    weft_promise_destroy(promise);
}

static void script_end(struct script *script)
{
    test_gate_open(script->gate);
    if (script->accepted_cell[0]) {
        assert_done_soon(script->kept[0]); /* the gate's job or the cell's: a deadline hangs on it */
    }
    weft_manual_clock_advance(script->clock, WEFT_SECONDS(60));
    for (size_t i = 0; i < script->n_kept; i++) {
        assert_done_soon(script->kept[i]);
        weft_future_release(script->kept[i]);
    }
    test_latch_wait(script->latch, (unsigned)script->accepted_callbacks);
    while (script->n_handles != 0) {
        assert_int_equal(weft_callback_remove(script->handles[--script->n_handles]), -EALREADY);
    }
    assert_int_equal(weft_executor_shutdown(script->executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    test_destroy(script->executor);
    for (size_t i = 0; i < 2; i++) {
        unsigned expected = script->accepted_cell[i] ? 1 : 0;
        assert_int_equal(test_get(script->cells[i].ran), expected);
        assert_int_equal(test_get(script->cells[i].arg_freed), expected);
        assert_int_equal(test_get(script->cells[i].value_freed), expected);
    }
}

static void run_script(void)
{
    struct script script;
    memset(&script, 0, sizeof script);
    script.gate = test_gate_make();
    script.latch = test_latch_make();
    errno = 0;
    script.clock = weft_manual_clock_create();
    if (script.clock == NULL) {
        assert_int_equal(errno, ENOMEM);
        return;
    }
    const weft_executor_options options = {.workers = 2, .clock = script.clock, .name = "script"};
    errno = 0;
    script.executor = weft_executor_create(&options);
    if (script.executor != NULL) {
        script_submits(&script);
        script_many(&script);
        script_derived(&script);
        script_promise(&script);
        script_end(&script);
    } else {
        assert_int_equal(errno, ENOMEM);
    }
    weft_clock_destroy(script.clock);
}

static void run_script_for_each_k(bool for_good)
{
    size_t k = 0;
    do {
        refuse(++k, for_good);
        run_script();
        refuse_nothing();
        assert_counters_at_base();
        assert_int_equal(test_get(refuser.bytes), test_base().bytes);
    } while (test_get(refuser.refusals) != 0 && k < 10000);
    print_message("the script made %zu requests\n", k - 1);
    assert_true(k > 1);
    assert_int_equal(test_get(refuser.refusals), 0);
}

static void test_mem_01_the_kth_request_is_refused(void **state)
{
    (void)state;
    run_script_for_each_k(false);
}

static void test_mem_01_all_from_the_kth_on_are_refused(void **state)
{
    (void)state;
    run_script_for_each_k(true);
}

/* Each call alone, again and again until there is no memory left for it. Those accepted before must hold. */

enum { ENOUGH = 200000 };

static weft_future *made[ENOUGH];

static void *return_nothing(void *value, void *data)
{
    (void)value;
    (void)data;
    return NULL;
}

static weft_future *make_one(int kind, weft_executor *executor, weft_future *input)
{
    switch (kind) {
    case 0:
        return weft_submit(executor, test_job_return_arg, NULL);
    case 1:
        return weft_submit_copy(executor, test_job_return_arg, made, 100);
    case 2:
        return weft_sleep(executor, WEFT_SECONDS(1), NULL);
    case 3:
        return weft_wait_for(input, WEFT_SECONDS(1), 0);
    case 4:
        return weft_shield(input);
    case 5:
        return weft_gather(executor, &input, 1, WEFT_SETTLED);
    case 6:
        return weft_then(input, return_nothing, NULL);
    case 7:
        return weft_any(executor, &input, 1);
    default: {
        weft_submit_options options = {.name = "then", .delay = WEFT_SECONDS(1)};
        return weft_then_with(input, return_nothing, NULL, &options);
    }
    }
}

static void exhaust(int kind)
{
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    test_cell value = {.code = 0};
    weft_promise *promise = weft_promise_create(executor);
    weft_future *input = weft_promise_future(promise);
    size_t n = 0;
    refuse(1, true);
    do {
        errno = 0;
        made[n] = make_one(kind, executor, input);
    } while (made[n] != NULL && ++n < ENOUGH);
    assert_true(n < ENOUGH);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(weft_promise_resolve(promise, &value, test_cell_free_value), 0);
    weft_manual_clock_advance(clock, WEFT_SECONDS(5));
    for (size_t i = 0; i < n; i++) {
        assert_done_soon(made[i]);
        assert_int_equal(weft_future_state(made[i]), WEFT_SUCCEEDED);
        weft_future_release(made[i]);
    }
    assert_true(test_until_counters(1, 0, 0));
    void *taken = NULL;
    assert_int_equal(weft_await(input, &taken), 0); /* nothing is attached to it any more */
    assert_ptr_equal(taken, &value);
    weft_promise_destroy(promise);
    refuse_nothing();
    test_destroy(executor);
    weft_clock_destroy(clock);
    assert_int_equal(test_get(value.value_freed), 0);
}

static void test_mem_01_refused_for_want_of_memory_leaves_no_trace(void **state)
{
    (void)state;
    for (int kind = 0; kind < 9; kind++) {
        exhaust(kind);
    }
}

static void test_mem_01_a_refused_callback_is_not_registered(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    test_latch *latch = test_latch_make();
    unsigned accepted = 0;
    int code = 0;
    refuse(1, true);
    while (accepted < ENOUGH && (code = weft_on_done(future, test_hit_latch, latch, NULL)) == 0) {
        accepted++;
    }
    assert_int_equal(code, -ENOMEM);
    assert_int_equal(test_counters().callbacks, test_base().callbacks + accepted);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), 0);
    weft_promise_destroy(promise);
    weft_future_release(future);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(test_latch_count(latch), accepted);
    refuse_nothing();
    test_destroy(executor);
}

enum { BATCH = 500 };

/* What was refused for want of memory takes no place of those that max_pending gives. */
static void check_places(weft_executor *executor, unsigned places)
{
    test_gate *gate = test_block(executor, 1);
    for (unsigned i = 0; i < places; i++)
        assert_int_equal(weft_execute(executor, test_job_return_arg, NULL), 0);
    assert_int_equal(weft_execute(executor, test_job_return_arg, NULL), -EAGAIN);
    test_unblock(gate);
}

static void test_mem_04_a_refused_submit_takes_no_place(void **state)
{
    (void)state;
    const weft_executor_options options = {.workers = 1, .max_pending = 100};
    weft_executor *executor = test_executor_with(&options);
    test_gate *gate = test_block(executor, 1);
    int code = 0;
    refuse(1, true);
    while (code == 0)
        code = weft_execute(executor, test_job_return_arg, NULL);
    refuse_nothing();
    assert_int_equal(code, -ENOMEM);
    test_unblock(gate);
    check_places(executor, 100);
    test_destroy(executor);
}

static void test_mem_01_a_batch_is_all_or_nothing(void **state)
{
    (void)state;
    static test_cell cells[BATCH];
    static void *args[BATCH];
    static weft_future *futures[BATCH];
    const weft_executor_options options = {.workers = 1, .max_pending = BATCH};
    int code = -ENOMEM;
    for (size_t k = 1; code != 0; k++) {
        weft_executor *executor = test_executor_with(&options);
        memset(cells, 0, sizeof cells);
        for (int i = 0; i < BATCH; i++) {
            args[i] = &cells[i];
            futures[i] = NULL;
        }
        refuse(k, true);
        code = check_code(weft_submit_many(executor, test_cell_run, args, BATCH, futures));
        refuse_nothing();
        for (int i = 0; code == 0 && i < BATCH; i++) {
            assert_int_equal(weft_await(futures[i], NULL), 0);
        }
        check_places(executor, BATCH);
        test_destroy(executor);
        for (int i = 0; i < BATCH; i++) {
            assert_int_equal(test_get(cells[i].ran), code == 0 ? 1 : 0);
        }
        assert_counters_at_base();
    }
}

static void test_mem_01_a_map_is_all_or_nothing(void **state)
{
    (void)state;
    static test_cell cells[BATCH];
    static void *items[BATCH];
    weft_future *map = NULL;
    for (size_t k = 1; !map; k++) {
        weft_executor *executor = test_executor(1);
        memset(cells, 0, sizeof cells);
        for (int i = 0; i < BATCH; i++) {
            items[i] = cells[i].value = &cells[i];
        }
        refuse(k, true);
        errno = 0;
        map = weft_map_with(executor, test_cell_run, items, BATCH, 2, WEFT_STRICT, &freeing);
        assert_true(map != NULL || errno == ENOMEM);
        if (map) { /* and it needs no more (I14) */
            assert_done_soon(map);
            assert_ok(map, NULL);
        }
        refuse_nothing();
        weft_future_release(map);
        test_destroy(executor);
        for (int i = 0; i < BATCH; i++) {
            assert_int_equal(test_get(cells[i].ran), map ? 1 : 0);
            assert_int_equal(test_get(cells[i].arg_freed), map ? 1 : 0);
        }
        assert_counters_at_base();
    }
}

/* I14 */

/* Everything that can be pending, made while there is memory. */
struct pending {
    weft_clock *clock;
    weft_executor *executor;
    test_gate *gate;
    test_latch *latch;
    weft_promise *promises[3];
    weft_future *promised[3], *queued[8], *delayed, *sleeps[4], *bounded[3], *gathers[3], *shield;
    weft_callback *handle;
    test_cell cells[9];
};

static void make_pending(struct pending *p)
{
    weft_submit_options later = freeing;
    memset(p, 0, sizeof *p);
    later.delay = WEFT_SECONDS(10);
    p->clock = weft_manual_clock_create();
    p->executor = test_executor_clock(1, p->clock);
    p->latch = test_latch_make();
    p->gate = test_block(p->executor, 1);
    for (int i = 0; i < 9; i++) {
        p->cells[i].value = &p->cells[i];
    }
    for (int i = 0; i < 8; i++) {
        p->queued[i] = weft_submit_with(p->executor, test_cell_run, &p->cells[i], &freeing);
    }
    p->delayed = weft_submit_with(p->executor, test_cell_run, &p->cells[8], &later);
    for (int i = 0; i < 3; i++) {
        p->promises[i] = weft_promise_create(p->executor);
        p->promised[i] = weft_promise_future(p->promises[i]);
        assert_int_equal(weft_on_done(p->promised[i], test_hit_latch, p->latch, NULL), 0);
    }
    for (int i = 0; i < 4; i++) {
        p->sleeps[i] = weft_sleep(p->executor, WEFT_SECONDS(i + 1), NULL);
        assert_int_equal(weft_on_done(p->sleeps[i], test_hit_latch, p->latch, NULL), 0);
    }
    p->bounded[0] = weft_wait_for(p->queued[0], WEFT_SECONDS(1), 0);
    p->bounded[1] = weft_wait_for(p->queued[1], WEFT_SECONDS(3600), WEFT_JOIN);
    p->bounded[2] = weft_wait_for(p->queued[2], WEFT_SECONDS(1), WEFT_NO_CANCEL);
    p->gathers[0] = weft_gather(p->executor, p->promised, 3, WEFT_SETTLED);
    p->gathers[1] = weft_gather(p->executor, p->sleeps, 4, WEFT_FIRST_ERROR);
    p->gathers[2] = weft_gather(p->executor, p->queued + 4, 4, WEFT_STRICT);
    p->shield = weft_shield(p->queued[3]);
    assert_int_equal(weft_on_done(p->queued[3], test_hit_latch, p->latch, &p->handle), 0);
}

static void release_all(weft_future **futures, int n)
{
    for (int i = 0; i < n; i++) {
        assert_non_null(futures[i]);
        assert_true(weft_future_done(futures[i]));
        weft_future_release(futures[i]);
    }
}

static void drop_pending(struct pending *p)
{
    for (int i = 0; i < 3; i++) {
        weft_promise_destroy(p->promises[i]);
    }
    release_all(p->promised, 3);
    release_all(p->queued, 8);
    release_all(&p->delayed, 1);
    release_all(p->sleeps, 4);
    release_all(p->bounded, 3);
    release_all(p->gathers, 3);
    release_all(&p->shield, 1);
    test_destroy(p->executor);
    weft_clock_destroy(p->clock);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(test_get(p->cells[i].arg_freed), 1);
        assert_int_equal(test_get(p->cells[i].value_freed), test_get(p->cells[i].ran));
    }
}

static void test_mem_i14_completing_cancelling_and_expiring_do_not_allocate(void **state)
{
    (void)state;
    static struct pending p;
    make_pending(&p);
    refuse(1, true);
    assert_int_equal(weft_callback_remove(p.handle), 0);
    assert_int_equal(weft_cancel(p.queued[7]), WEFT_CANCEL_DONE);
    assert_int_equal(weft_cancel(p.sleeps[3]), WEFT_CANCEL_DONE);
    weft_cancel_effect effect =
        weft_cancel(p.gathers[2]); /* its first failure may have brought it to its end already */
    assert_true(effect == WEFT_CANCEL_REQUESTED || effect == WEFT_CANCEL_TOO_LATE);
    assert_int_equal(weft_promise_resolve(p.promises[0], &p, NULL), 0);
    assert_int_equal(weft_promise_reject(p.promises[1], 4), 0);
    assert_int_equal(weft_promise_reject(p.promises[2], -ECANCELED), 0);
    weft_manual_clock_advance(p.clock, WEFT_SECONDS(2));
    assert_timed_out(p.bounded[0]);
    assert_timed_out(p.bounded[2]);
    assert_done_soon(p.queued[0]);
    assert_cancelled(p.queued[0], WEFT_REASON_TIMEOUT);
    test_unblock(p.gate);
    weft_manual_clock_advance(p.clock, WEFT_SECONDS(10));
    assert_done_soon(p.delayed);
    assert_ok(p.delayed, &p.cells[8]);
    assert_done_soon(p.queued[3]);
    assert_done_soon(p.shield);
    assert_ok(p.shield, &p.cells[3]);
    assert_done_soon(p.bounded[1]);
    assert_done_soon(p.gathers[0]);
    assert_ok(p.gathers[0], NULL);
    assert_done_soon(p.gathers[1]);
    assert_err(p.gathers[1], -ECANCELED);
    assert_done_soon(p.gathers[2]);
    assert_int_equal(weft_executor_shutdown(p.executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(test_latch_count(p.latch), 7);
    drop_pending(&p);
    assert_int_equal(test_get(refuser.refusals), 0);
    refuse_nothing();
}

static void test_mem_i14_shutting_down_does_not_allocate(void **state)
{
    (void)state;
    const weft_shutdown_mode modes[] = {WEFT_DRAIN, WEFT_CANCEL_PENDING, WEFT_CANCEL_ALL};
    static struct pending p;
    for (int i = 0; i < 3; i++) {
        make_pending(&p);
        refuse(1, true);
        assert_int_equal(weft_executor_shutdown(p.executor, modes[i], 0), -ETIMEDOUT);
        test_unblock(p.gate);
        assert_int_equal(weft_executor_shutdown(p.executor, modes[i], WEFT_FOREVER), 0);
        assert_int_equal(weft_callback_remove(p.handle), -EALREADY);
        assert_int_equal(test_latch_count(p.latch), 8);
        drop_pending(&p);
        assert_int_equal(test_get(refuser.refusals), 0);
        refuse_nothing();
    }
}

/* Enormous counts. */

static void check_too_much(const void *result)
{
    assert_null(result);
    assert_true(errno == ENOMEM || errno == EINVAL);
    errno = 0;
}

static void test_mem_01_enormous_sizes_are_refused(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    char byte = 0;
    atomic_store_explicit(&refuser.cap, (size_t)64 << 20, memory_order_release);
    check_too_much(weft_submit_copy(executor, test_job_return_arg, &byte, SIZE_MAX));
    check_too_much(weft_submit_copy(executor, test_job_return_arg, &byte, SIZE_MAX - 64));
    check_too_much(weft_submit_copy(executor, test_job_return_arg, &byte, SIZE_MAX / 2));
    check_too_much(weft_submit_copy(executor, test_job_return_arg, &byte, (size_t)1 << 40));
    assert_int_equal(weft_await(weft_submit(executor, test_job_return_arg, NULL), NULL), 0);
    test_destroy(executor);
    atomic_store_explicit(&refuser.cap, SIZE_MAX, memory_order_release);
}

/* Arrays of 2^30 entries exist, in address space alone: zero pages that nobody has to pay for. */
static void test_mem_01_enormous_counts_are_refused(void **state)
{
    (void)state;
    const size_t n = (size_t)1 << 30, size = n * sizeof(void *);
    void *args = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *futures = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (args == MAP_FAILED || futures == MAP_FAILED) {
        fail_msg("no address space for the arrays");
    }
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    atomic_store_explicit(&refuser.cap, test_get(refuser.bytes) + ((size_t)64 << 20), memory_order_release);
    assert_int_equal(weft_submit_many(executor, test_job_return_arg, args, n, futures), -ENOMEM);
    errno = 0;
    check_too_much(weft_gather(executor, args, n, WEFT_SETTLED));
    check_too_much(weft_map(executor, test_job_return_arg, args, n, 1, WEFT_SETTLED));
    check_too_much(weft_map(executor, test_job_return_arg, args, SIZE_MAX, 1, WEFT_SETTLED));
    atomic_store_explicit(&refuser.cap, SIZE_MAX, memory_order_release);
    assert_true(test_until_counters(1, 0, 0));
    test_unblock(gate);
    test_destroy(executor);
    munmap(args, size);
    munmap(futures, size);
}

int main(void)
{
    heap_install();
    const struct CMUnitTest memory[] = {
        TEST(test_mem_01_the_counter_of_bytes_is_the_allocators),
        TEST(test_mem_01_the_kth_request_is_refused),
        TEST(test_mem_01_all_from_the_kth_on_are_refused),
        TEST(test_mem_01_refused_for_want_of_memory_leaves_no_trace),
        TEST(test_mem_01_a_refused_callback_is_not_registered),
        TEST(test_mem_04_a_refused_submit_takes_no_place),
        TEST(test_mem_01_a_batch_is_all_or_nothing),
        TEST(test_mem_01_a_map_is_all_or_nothing),
        TEST(test_mem_i14_completing_cancelling_and_expiring_do_not_allocate),
        TEST(test_mem_i14_shutting_down_does_not_allocate),
        TEST(test_mem_01_enormous_sizes_are_refused),
        TEST(test_mem_01_enormous_counts_are_refused),
    };
    return cmocka_run_group_tests(memory, NULL, NULL);
}
