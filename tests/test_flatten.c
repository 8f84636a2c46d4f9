/* test_flatten.c: section 14, flatten (THN-03): it mirrors the inner future or a failing outer one, takes its values
 * from the inner one, refuses circles, and leaves nothing behind.
 *
 * Discipline. Outer and inner futures are promises where their end matters. An outer promise owns its value, the inner
 * future, as the header advises: weft_future_release is its destructor; so each test also shows that no reference
 * stays. */
#include "pair.h"

static void end_inner(const pair *p, unsigned how)
{
    if (how == 0) {
        assert_int_equal(weft_promise_resolve(p->in.promise[1], p->executor, NULL), 0);
    } else if (how == 1) {
        assert_int_equal(weft_promise_reject(p->in.promise[1], 7), 0);
    } else {
        assert_int_equal(weft_cancel(p->in.future[1]), WEFT_CANCEL_DONE);
    }
}

static void mirrors_the_inner_future(unsigned how, bool inner_first)
{
    pair p = pair_make();
    if (inner_first) {
        end_inner(&p, how);
    } else {
        hand_out(p.in.promise[0], p.in.future[1]);
    }
    assert_pending(p.executor, p.flat);
    if (inner_first) {
        hand_out(p.in.promise[0], p.in.future[1]);
    } else {
        end_inner(&p, how);
    }
    assert_true(weft_future_done(p.flat));
    assert_int_equal(weft_cancel(p.flat), WEFT_CANCEL_TOO_LATE);
    weft_future *late = weft_flatten(p.in.future[0]);
    assert_true(weft_future_done(late));
    for (unsigned i = 0; i < 2; i++) {
        weft_future *flat = i == 0 ? p.flat : late;
        if (how == 0) {
            assert_ok(flat, p.executor);
        } else if (how == 1) {
            assert_err(flat, 7);
        } else {
            assert_cancelled(flat, WEFT_REASON_USER);
        }
    }
    weft_future_release(late);
    pair_end(&p);
}

static void test_thn_03_mirrors_the_inner_future(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        mirrors_the_inner_future(how, false);
        mirrors_the_inner_future(how, true);
    }
}

static void test_thn_03_mirrors_an_outer_one_that_ends_otherwise(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 3);
    weft_future *timed_out = weft_wait_for(in.future[2], 0, WEFT_NO_CANCEL);
    weft_future *flat[] = {weft_flatten(in.future[0]), weft_flatten(in.future[1]), weft_flatten(timed_out)};
    weft_promise_reject(in.promise[0], 7);
    weft_cancel(in.future[1]);
    assert_err(flat[0], 7);
    assert_cancelled(flat[1], WEFT_REASON_USER);
    assert_timed_out(flat[2]);
    for (unsigned i = 0; i < 3; i++) {
        weft_future_release(flat[i]);
    }
    weft_future_release(timed_out);
    inputs_free(&in);
    test_destroy(executor);
}

/* What it is for: a step that starts the next one and answers with its future. */
static void *next_step(void *value, void *data)
{
    uintptr_t left = (uintptr_t)value;
    if (left == 0) {
        return test_done_future(weft_executor_current());
    }
    weft_future *job = weft_submit(NULL, test_job_return_arg, (void *)(left - 1));
    weft_submit_options options = {.free_value = pair_release};
    weft_future *next = weft_then_with(job, next_step, data, &options), *flat = weft_flatten(next);
    weft_future_release(job);
    weft_future_release(next);
    return flat;
}

static void test_thn_03_steps_that_start_the_next_one(void **state)
{
    (void)state;
    weft_executor *executor = weft_executor_default();
    weft_submit_options options = {.free_value = pair_release};
    weft_future *job = weft_submit(executor, test_job_return_arg, (void *)1000);
    weft_future *first = weft_then_with(job, next_step, NULL, &options), *flat = weft_flatten(first);
    weft_future_release(job);
    weft_future_release(first);
    assert_done_soon(flat);
    assert_ok(flat, executor);
    weft_future_release(flat);
}

/* Failures of its own. */

static void test_thn_03_without_an_inner_future(void **state)
{
    (void)state;
    pair p = pair_make();
    assert_int_equal(weft_promise_resolve(p.in.promise[0], NULL, NULL), 0);
    assert_true(weft_future_done(p.flat));
    assert_failed_at(p.flat, -EINVAL, 0);
    pair_end(&p);
}

static void test_thn_03_of_values_that_were_taken(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_future *inner = test_done_future(executor);
    inputs in = inputs_make(executor, 2);
    void *value = NULL;
    for (unsigned i = 0; i < 2; i++) {
        hand_out(in.promise[i], inner);
    }
    assert_int_equal(weft_future_take(in.future[0], &value), 0);
    weft_future_release(value);
    weft_future *outer_taken = weft_flatten(in.future[0]);
    assert_err(outer_taken, -ENODATA);
    assert_int_equal(weft_future_take(inner, &value), 0);
    weft_future *inner_taken = weft_flatten(in.future[1]);
    assert_err(inner_taken, -ENODATA);
    weft_future_release(outer_taken);
    weft_future_release(inner_taken);
    weft_future_release(inner);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_thn_03_of_itself(void **state)
{
    (void)state;
    for (unsigned owned = 0; owned < 2; owned++) {
        pair p = pair_make();
        if (owned) {
            hand_out(p.in.promise[0], p.flat);
        } else {
            assert_int_equal(weft_promise_resolve(p.in.promise[0], p.flat, NULL), 0);
        }
        assert_true(weft_future_done(p.flat));
        assert_failed_at(p.flat, -ELOOP, 0);
        pair_end(&p);
    }
}

/* What waits for the flatten, of each kind, handed out to it. */
static weft_future *around(const pair *p, unsigned kind, follower *f)
{
    weft_future *flat = p->flat, *others[] = {p->in.future[1], flat};
    switch (kind) {
    case 0:
        return weft_shield(flat);
    case 1:
        return weft_wait_for(flat, WEFT_FOREVER, 0);
    case 2: /* the deadline would end it, but they would hold each other for ever */
        return weft_wait_for(flat, WEFT_SECONDS(3600), 0);
    case 3:
        return then_of(flat, f);
    case 4:
        return gather(p->executor, others, 2, WEFT_SETTLED);
    default: {
        weft_future *all = gather(p->executor, others, 2, WEFT_STRICT), *then = then_any_of(all, f);
        weft_future *shield = weft_shield(then);
        weft_future_release(all);
        weft_future_release(then);
        return shield;
    }
    }
}

static void test_thn_03_of_what_waits_for_it(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 6; kind++) {
        pair p = pair_make();
        follower *f = follower_make(NULL, 0);
        weft_future *inner = around(&p, kind, f);
        assert_int_equal(weft_promise_resolve(p.in.promise[0], inner, pair_release), 0);
        assert_true(weft_future_done(p.flat));
        assert_failed_at(p.flat, -ELOOP, 0);
        weft_promise_resolve(p.in.promise[1], NULL, NULL);
        pair_end(&p);
        assert_true(test_get(f->ran) == 0 || kind == 5);
    }
}

/* Three in a ring: the last one to learn of its inner future closes it. */
static void test_thn_03_a_ring(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 3);
    weft_future *flat[3];
    for (unsigned i = 0; i < 3; i++) {
        flat[i] = weft_flatten(in.future[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_false(weft_future_done(flat[i]));
        hand_out(in.promise[i], flat[(i + 1) % 3]);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_done_soon(flat[i]);
        assert_err(flat[i], -ELOOP);
        weft_future_release(flat[i]);
    }
    inputs_free(&in);
    test_destroy(executor);
}

/* Values: they are the inner future's, and the outer one has no say. */

static void test_thn_03_takes_from_the_inner_future(void **state)
{
    (void)state;
    pair p = pair_make();
    test_cell *cell = cell_make(NULL, 0);
    void *value = NULL;
    weft_future *other = weft_shield(p.in.future[0]); /* one more that shows the outer one */
    weft_future *inner = submit(p.executor, cell), *shield = weft_shield(inner);
    hand_out(p.in.promise[0], inner);
    assert_done_soon(p.flat);
    assert_int_equal(weft_future_take(inner, &value), -EBUSY);
    assert_int_equal(weft_future_take(p.flat, &value), -EBUSY); /* the shield shows it, too */
    weft_future_release(shield);
    assert_int_equal(weft_future_take(p.flat, &value), 0);
    assert_ptr_equal(value, cell);
    assert_int_equal(weft_future_get(inner, &value), -ENODATA);
    weft_future_release(other);
    weft_future_release(inner);
    pair_end(&p);
    assert_int_equal(test_get(cell->value_freed), 0);
}

static void test_thn_03_the_inner_value_stays(void **state)
{
    (void)state;
    pair p = pair_make();
    test_cell *cell = cell_make(NULL, 0);
    weft_future *inner = submit(p.executor, cell);
    hand_out(p.in.promise[0], inner);
    weft_future_release(inner);
    assert_done_soon(p.flat);
    inputs_free(&p.in);
    p.in.n = 0;
    assert_ok(p.flat, cell);
    assert_int_equal(test_get(cell->value_freed), 0);
    pair_end(&p);
    assert_int_equal(test_get(cell->value_freed), 1);
}

/* Cancelling and dropping. */

static void test_thn_03_cancel_asks_the_open_one(void **state)
{
    (void)state;
    for (unsigned inner_known = 0; inner_known < 2; inner_known++) {
        pair p = pair_make();
        if (inner_known) {
            hand_out(p.in.promise[0], p.in.future[1]);
        }
        assert_int_equal(weft_cancel(p.flat), WEFT_CANCEL_DONE);
        assert_cancelled(p.flat, WEFT_REASON_USER);
        assert_int_equal(weft_cancel(p.flat), WEFT_CANCEL_TOO_LATE);
        assert_cancelled(p.in.future[inner_known], WEFT_REASON_PARENT);
        assert_int_equal(weft_future_state(p.in.future[1 - inner_known]), inner_known ? WEFT_SUCCEEDED : WEFT_PENDING);
        pair_end(&p);
    }
}

static void test_thn_03_cancelled_it_shows_nothing(void **state)
{
    (void)state;
    static stubborn job;
    pair p = pair_make();
    void *value = NULL;
    weft_future *inner = submit_stubborn(p.executor, &job, 0);
    hand_out(p.in.promise[0], inner);
    assert_int_equal(weft_future_take(p.in.future[0], &value), -EBUSY);
    weft_future *timed = weft_wait_for(p.flat, 0, 0);
    assert_cancelled(p.flat, WEFT_REASON_TIMEOUT);
    assert_true(test_latch_wait(job.asked, 1));
    assert_int_equal(weft_future_take(p.in.future[0], &value), 0); /* the loan is given back, though p.flat is held */
    assert_ptr_equal(value, inner);
    weft_future_release(value);
    test_gate_open(job.cell->gate);
    assert_done_soon(inner);
    assert_ok(inner, job.cell);
    weft_future_release(inner);
    weft_future_release(timed);
    pair_end(&p);
}

static void test_thn_03_cancelled_it_gives_the_inner_value_back(void **state)
{
    (void)state;
    pair p = pair_make();
    test_cell *cell = cell_make(test_gate_make(), 0);
    void *value = NULL;
    weft_future *inner = submit(p.executor, cell);
    hand_out(p.in.promise[0], inner);
    assert_true(test_gate_await(cell->gate, 1));
    assert_int_equal(weft_cancel(p.flat), WEFT_CANCEL_DONE);
    test_gate_open(cell->gate);
    assert_done_soon(inner);
    assert_int_equal(weft_future_take(inner, &value), 0); /* though p.flat is held */
    assert_ptr_equal(value, cell);
    weft_future_release(inner);
    pair_end(&p);
    assert_int_equal(test_get(cell->value_freed), 0);
}

static void test_thn_03_dropped_it_detaches(void **state)
{
    (void)state;
    for (unsigned inner_known = 0; inner_known < 2; inner_known++) {
        pair p = pair_make();
        if (inner_known) {
            hand_out(p.in.promise[0], p.in.future[1]);
        }
        weft_future_release(p.flat);
        p.flat = NULL;
        assert_true(test_until_counters(2, 0, 0)); /* the promises */
        assert_int_equal(weft_future_state(p.in.future[1]), WEFT_PENDING);
        pair_end(&p);
    }
}

/* Errors. */

static test_hook hook;

static void drop_flat(int outer_code, int inner_code, const char *name)
{
    weft_executor_options options = {.workers = 1, .unobserved_error = test_hook_unobserved, .data = &hook};
    memset(&hook, 0, sizeof hook);
    weft_executor *executor = test_executor_with(&options);
    weft_future *inner = submit_named(executor, cell_make(NULL, inner_code), "inner");
    test_cell *cell = cell_make(NULL, outer_code);
    cell->value = inner;
    weft_submit_options named = {.name = "outer", .free_value = pair_release};
    weft_future *outer = weft_submit_with(executor, test_cell_run, cell, &named);
    weft_future *flat = weft_flatten(outer);
    weft_future_release(outer);
    assert_done_soon(flat);
    if (outer_code != 0) {
        weft_future_release(inner);
    }
    weft_future_release(flat);
    test_destroy(executor);
    assert_int_equal(test_get(hook.errors), 1);
    assert_int_equal(test_get(hook.last_error), outer_code + inner_code);
    assert_string_equal(test_get(hook.last_name), name);
}

static void test_drp_02_an_unread_error_is_reported_once(void **state)
{
    (void)state;
    drop_flat(0, 7, "inner");
    drop_flat(8, 0, "outer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_thn_03_mirrors_the_inner_future),
        TEST(test_thn_03_mirrors_an_outer_one_that_ends_otherwise),
        TEST_DEFAULT(test_thn_03_steps_that_start_the_next_one),
        TEST(test_thn_03_without_an_inner_future),
        TEST(test_thn_03_of_values_that_were_taken),
        TEST(test_thn_03_of_itself),
        TEST(test_thn_03_of_what_waits_for_it),
        TEST(test_thn_03_a_ring),
        TEST(test_thn_03_takes_from_the_inner_future),
        TEST(test_thn_03_the_inner_value_stays),
        TEST(test_thn_03_cancel_asks_the_open_one),
        TEST(test_thn_03_cancelled_it_shows_nothing),
        TEST(test_thn_03_cancelled_it_gives_the_inner_value_back),
        TEST(test_thn_03_dropped_it_detaches),
        TEST(test_drp_02_an_unread_error_is_reported_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
