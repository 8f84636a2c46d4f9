/* test_token.c: section 6, tokens as stop flags of jobs (CAN-11): trees, reasons, references, ends of executors.
 *
 * Discipline. Queued jobs stand behind a worker at a gate, so that what is asserted of them cannot change. The flag of
 * the token that was cancelled is asserted at once, what hangs on it is waited for. Hooks stand in test_hook.c, the
 * token of a job in test_current_token.c, deadlines in test_scope.c, races in test_token_races.c. */
#include "scopes.h"

static void test_can_11_one_token_stops_many_jobs(void **state)
{
    enum { QUEUED = 8 };
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
    weft_future *running = submit_obedient(executor, token), *queued[QUEUED];
    test_cell *cells[QUEUED], *late = cell_make(NULL, 0), *other = cell_make(NULL, 0);
    for (unsigned i = 0; i < QUEUED; i++) {
        queued[i] = submit_under(executor, token, cells[i] = cell_make(NULL, 0));
    }
    weft_future *without = submit(executor, other);
    assert_false(weft_token_cancelled(token));
    flush(executor);
    assert_int_equal(weft_future_state(queued[0]), WEFT_PENDING);
    weft_token_cancel(token);
    assert_true(weft_token_cancelled(token));
    assert_false(weft_token_expired(token));
    weft_future *born = submit_under(executor, token, late);
    assert_cancelled(born, WEFT_REASON_USER);
    assert_discarded(late);
    for (unsigned i = 0; i < QUEUED; i++) {
        assert_done_soon(queued[i]);
        assert_cancelled(queued[i], WEFT_REASON_USER);
        assert_discarded(cells[i]);
        weft_future_release(queued[i]);
    }
    assert_done_soon(running);
    assert_cancelled(running, WEFT_REASON_USER);
    assert_done_soon(without);
    assert_ok(without, other);
    weft_future_release(running);
    weft_future_release(without);
    weft_future_release(born);
    weft_token_release(token);
    test_destroy(executor);
}

/* CAN-05 by a token: what a job returns in spite of the request stands. */
static void test_can_11_a_job_that_ignores_the_token_keeps_its_outcome(void **state)
{
    const int codes[] = {0, 7, -ECANCELED};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        weft_executor *executor = test_executor(1);
        weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
        test_gate *gate = test_gate_make();
        test_cell *cell = cell_make(gate, codes[i]);
        weft_future *job = submit_under(executor, token, cell);
        assert_true(test_gate_await(gate, 1));
        weft_token_cancel(token);
        flush(executor);
        assert_int_equal(weft_future_state(job), WEFT_RUNNING);
        assert_int_equal(weft_cancel(job), WEFT_CANCEL_ALREADY);
        test_gate_open(gate);
        assert_done_soon(job);
        assert_true(test_get(cell->saw_cancel));
        if (codes[i] == 0) {
            assert_ok(job, cell);
        } else if (codes[i] == 7) {
            assert_err(job, 7);
        } else {
            assert_cancelled(job, WEFT_REASON_USER);
        }
        weft_future_release(job);
        weft_token_release(token);
        test_destroy(executor);
    }
}

static void test_can_11_a_delayed_job_leaves_the_wheel(void **state)
{
    (void)state;
    world here = world_make(1);
    weft_token *token = token_make(here.executor, NULL, WEFT_FOREVER, 0);
    test_cell *cell = cell_make(NULL, 0), *late = cell_make(NULL, 0);
    weft_submit_options options = {.token = token, .delay = 10 * MS, .free_arg = test_cell_free_arg};
    weft_future *job = weft_submit_with(here.executor, test_cell_run, cell, &options);
    assert_timers_soon(1);
    weft_token_cancel(token);
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_USER);
    assert_timers_soon(0);
    weft_future *born = weft_submit_with(here.executor, test_cell_run, late, &options);
    assert_cancelled(born, WEFT_REASON_USER);
    assert_timers_soon(0);
    assert_discarded(cell);
    assert_discarded(late);
    weft_future_release(job);
    weft_future_release(born);
    weft_token_release(token);
    world_end(here);
}

/* A job that a cancelled one was waiting for, and waits in a job that is asked by its token. */
struct waits {
    weft_future *future; /* by the test before submit */
    test_latch *started; /* the same; hit by the job */
    bool awaits;         /* by the test before submit */
    _Atomic(int) answer; /* by the job */
};

static void *wait_in_job(void *argument)
{
    struct waits *self = argument;
    test_latch_hit(self->started);
    int answer = self->awaits ? weft_await(self->future, NULL) : weft_future_wait(self->future, WEFT_FOREVER);
    atomic_store_explicit(&self->answer, answer, memory_order_release);
    return weft_fail(-ECANCELED);
}

static void test_can_11_ends_the_waits_of_a_running_job(void **state)
{
    static struct waits job;
    (void)state;
    for (unsigned awaits = 0; awaits < 2; awaits++) {
        weft_executor *executor = test_executor(1);
        weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
        inputs in = inputs_make(executor, 1);
        job = (struct waits){weft_future_retain(in.future[0]), test_latch_make(), awaits != 0, 1};
        weft_submit_options options = {.token = token};
        weft_future *future = weft_submit_with(executor, wait_in_job, &job, &options);
        assert_true(test_latch_wait(job.started, 1));
        assert_pending(executor, future);
        weft_token_cancel(token);
        assert_done_soon(future);
        assert_cancelled(future, WEFT_REASON_USER);
        assert_int_equal(test_get(job.answer), awaits != 0 ? -ECANCELED : -EINTR);
        if (awaits != 0) {
            assert_cancelled(in.future[0], WEFT_REASON_PARENT);
        } else {
            assert_int_equal(weft_future_state(in.future[0]), WEFT_PENDING);
            weft_future_release(job.future);
        }
        weft_future_release(future);
        weft_token_release(token);
        inputs_free(&in);
        test_destroy(executor);
    }
}

/* The tree. */

static void test_token_is_set_downwards_and_never_upwards(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *root = token_make(executor, NULL, WEFT_FOREVER, 0);
    weft_token *left = token_make(executor, root, WEFT_FOREVER, 0), *right = token_make(NULL, root, WEFT_FOREVER, 0);
    weft_token *below = token_make(executor, left, WEFT_FOREVER, 0);
    weft_token_cancel(left);
    assert_set_soon(below);
    flush(executor);
    assert_false(weft_token_cancelled(root));
    assert_false(weft_token_cancelled(right));
    weft_token_cancel(root);
    assert_set_soon(right);
    weft_token *born = token_make(executor, right, WEFT_FOREVER, 0), *born_below = token_make(executor, born, 10, 0);
    assert_true(weft_token_cancelled(born));
    assert_true(weft_token_cancelled(born_below));
    assert_false(weft_token_expired(born_below));
    weft_token *all[] = {root, left, right, below, born, born_below};
    for (unsigned i = 0; i < 6; i++) {
        weft_token_release(all[i]);
    }
    assert_tokens_soon(0);
    test_destroy(executor);
}

static void test_token_trees_may_be_wide(void **state)
{
    enum { WIDTH = 2000 };
    static weft_token *children[WIDTH];
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *root = token_make(executor, NULL, WEFT_FOREVER, 0);
    for (unsigned i = 0; i < WIDTH; i++) {
        children[i] = token_make(executor, root, WEFT_FOREVER, 0);
    }
    /* A third leaves before, in an order that is not that of coming. */
    for (unsigned i = 0; i < WIDTH; i += 3) {
        weft_token_release(children[(i * 7) % WIDTH]);
        children[(i * 7) % WIDTH] = NULL;
    }
    weft_token_cancel(root);
    for (unsigned i = 0; i < WIDTH; i++) {
        if (children[i] != NULL) {
            assert_set_soon(children[i]);
            weft_token_release(children[i]);
        }
    }
    weft_token_release(root);
    assert_tokens_soon(0);
    test_destroy(executor);
}

/* Neither setting nor releasing takes a stack as deep as the tree: the coordinator and the worker have small ones. */
static void *release_chain(void *leaf)
{
    weft_token_release(leaf);
    return NULL;
}

static void test_token_trees_may_be_deep(void **state)
{
    enum { DEPTH = 2000 };
    const weft_executor_options small = {.workers = 1, .stack_size = 64 * 1024};
    (void)state;
    for (unsigned cancels = 0; cancels < 2; cancels++) {
        weft_executor *executor = test_executor_with(&small);
        weft_token *root = token_make(executor, NULL, WEFT_FOREVER, 0), *leaf = weft_token_retain(root);
        for (unsigned i = 0; i < DEPTH; i++) {
            weft_token *below = token_make(executor, leaf, WEFT_FOREVER, 0);
            weft_token_release(leaf);
            leaf = below;
        }
        hook last = {.number = 0};
        assert_int_equal(weft_token_on_cancel(leaf, hook_run, &last, NULL), 0);
        if (cancels != 0) {
            weft_token_cancel(root);
            assert_hook_soon(&last);
        }
        weft_token_release(root);
        assert_int_equal(weft_await(weft_submit(executor, release_chain, leaf), NULL), 0);
        assert_tokens_soon(0);
        test_destroy(executor);
        assert_int_equal(test_get(last.calls), cancels);
    }
}

static void test_token_trees_over_several_executors(void **state)
{
    (void)state;
    weft_executor *one = test_executor(1), *other = test_executor(1);
    weft_token *root = token_make(one, NULL, WEFT_FOREVER, 0), *middle = token_make(other, root, WEFT_FOREVER, 0);
    weft_token *leaf = token_make(one, middle, WEFT_FOREVER, 0);
    hook hooks[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    weft_token *tokens[] = {root, middle, leaf};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(weft_token_on_cancel(tokens[i], hook_run, &hooks[i], NULL), 0);
    }
    test_gate *gates[] = {test_block(one, 1), test_block(other, 1)};
    test_cell *cells[6];
    weft_future *jobs[6];
    for (unsigned i = 0; i < 6; i++) {
        jobs[i] = submit_under(i < 3 ? one : other, tokens[i % 3], cells[i] = cell_make(NULL, 0));
    }
    weft_token_cancel(root);
    for (unsigned i = 0; i < 6; i++) {
        assert_done_soon(jobs[i]);
        assert_cancelled(jobs[i], i % 3 == 0 ? WEFT_REASON_USER : WEFT_REASON_PARENT);
        assert_discarded(cells[i]);
        weft_future_release(jobs[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_set_soon(tokens[i]);
        assert_hook_soon(&hooks[i]);
        assert_true(pthread_equal(test_get(hooks[i].on), coordinator_of(i == 1 ? other : one)));
        weft_token_release(tokens[i]);
    }
    test_unblock(gates[0]);
    test_unblock(gates[1]);
    test_destroy(one);
    test_destroy(other);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(test_get(hooks[i].calls), 1);
    }
}

static void test_token_of_no_executor_belongs_to_the_parents(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *parent = token_make(executor, NULL, WEFT_FOREVER, 0), *child = token_make(NULL, parent, 5, 0);
    hook here = {.number = 0};
    assert_int_equal(weft_token_on_cancel(child, hook_run, &here, NULL), 0);
    weft_token_cancel(child);
    assert_hook_soon(&here);
    assert_true(pthread_equal(test_get(here.on), coordinator_of(executor)));
    weft_token_release(parent);
    weft_token_release(child);
    test_destroy(executor);
}

static void test_token_of_the_default_executor(void **state)
{
    (void)state;
    weft_token *token = token_make(NULL, NULL, WEFT_FOREVER, 0);
    weft_future *job = submit_obedient(NULL, token);
    weft_token_cancel(token);
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_USER);
    weft_future_release(job);
    weft_token_release(token);
    assert_tokens_soon(0);
}

/* Page 2 of the contract: which reason a job gets, one queued and one born cancelled. */

enum { LEVELS = 3 };
struct reasons {
    bool deadline;  /* by its deadline, else by weft_token_cancel */
    unsigned level; /* of the token that is set; the jobs' own is the last */
    weft_cancel_reason reason;
};

static void check_reason(struct reasons how)
{
    world here = world_make(1);
    weft_token *tokens[LEVELS];
    test_gate *gate = test_block(here.executor, 1);
    for (unsigned i = 0; i < LEVELS; i++) {
        int64_t timeout = how.deadline && how.level == i ? 10 * MS : WEFT_FOREVER;
        tokens[i] = token_make(here.executor, i == 0 ? NULL : tokens[i - 1], timeout, 0);
    }
    test_cell *cells[] = {cell_make(NULL, 0), cell_make(NULL, 0)};
    weft_future *queued = submit_under(here.executor, tokens[LEVELS - 1], cells[0]);
    if (how.deadline) {
        weft_manual_clock_advance(here.clock, 10 * MS + TICK);
    } else {
        weft_token_cancel(tokens[how.level]);
    }
    assert_done_soon(queued);
    assert_cancelled(queued, how.reason);
    assert_set_soon(tokens[LEVELS - 1]);
    weft_future *born = submit_under(here.executor, tokens[LEVELS - 1], cells[1]);
    assert_cancelled(born, how.reason);
    for (unsigned i = 0; i < LEVELS; i++) {
        assert_int_equal(weft_token_cancelled(tokens[i]), i >= how.level);
        assert_int_equal(weft_token_expired(tokens[i]), how.deadline && i == how.level);
        weft_token_release(tokens[i]);
    }
    assert_discarded(cells[0]);
    assert_discarded(cells[1]);
    weft_future_release(queued);
    weft_future_release(born);
    test_unblock(gate);
    world_end(here);
}

static void test_token_reasons_by_who_was_set(void **state)
{
    const struct reasons table[] = {
        {false, 2, WEFT_REASON_USER},   {false, 1, WEFT_REASON_PARENT}, {false, 0, WEFT_REASON_PARENT},
        {true, 2, WEFT_REASON_TIMEOUT}, {true, 1, WEFT_REASON_TIMEOUT}, {true, 0, WEFT_REASON_TIMEOUT},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        check_reason(table[i]);
    }
}

/* Asks in turn by the job's own future, its token, the parent, the parent's deadline; the first one stays. */
static void test_token_reasons_the_first_one_stays(void **state)
{
    const weft_cancel_reason expected[] = {WEFT_REASON_USER, WEFT_REASON_USER, WEFT_REASON_PARENT, WEFT_REASON_TIMEOUT};
    (void)state;
    for (unsigned first = 0; first < 4; first++) {
        static stubborn job;
        world here = world_make(1);
        weft_token *parent = token_make(here.executor, NULL, 10 * MS, 0);
        weft_token *token = token_make(here.executor, parent, WEFT_FOREVER, 0);
        job = (stubborn){test_latch_make(), test_latch_make(), cell_make(test_gate_make(), -ECANCELED)};
        weft_submit_options options = {.token = token};
        weft_future *future = weft_submit_with(here.executor, stubborn_job, &job, &options);
        assert_true(test_latch_wait(job.started, 1));
        for (unsigned i = 0; i < 4; i++) {
            switch ((first + i) % 4) {
            case 0:
                assert_int_equal(weft_cancel(future), i == 0 ? WEFT_CANCEL_REQUESTED : WEFT_CANCEL_ALREADY);
                break;
            case 1:
                weft_token_cancel(token);
                break;
            case 2:
                weft_token_cancel(parent);
                break;
            default:
                weft_manual_clock_advance(here.clock, 10 * MS + TICK);
                break;
            }
            assert_true(test_latch_wait(job.asked, 1));
            flush(here.executor);
        }
        test_gate_open(job.cell->gate);
        assert_done_soon(future);
        assert_cancelled(future, expected[first]);
        weft_future_release(future);
        weft_token_release(parent);
        weft_token_release(token);
        world_end(here);
    }
}

/* Shielded. */

static void test_token_shielded_is_not_reached_from_above(void **state)
{
    (void)state;
    world here = world_make(1);
    test_gate *gate = test_block(here.executor, 1);
    weft_token *parent = token_make(here.executor, NULL, 10 * MS, 0);
    weft_token *before = token_make(here.executor, parent, WEFT_FOREVER, WEFT_SHIELDED);
    weft_token *below = token_make(here.executor, before, WEFT_FOREVER, 0);
    test_cell *cells[] = {cell_make(NULL, 0), cell_make(NULL, 0)}, *stopped = cell_make(NULL, 0);
    weft_future *jobs[] = {submit_under(here.executor, before, cells[0]), submit_under(here.executor, below, cells[1])};
    weft_manual_clock_advance(here.clock, 10 * MS + TICK);
    assert_true(weft_token_expired(parent));
    weft_token *after = token_make(here.executor, parent, WEFT_FOREVER, WEFT_SHIELDED);
    flush(here.executor);
    assert_false(weft_token_cancelled(before) || weft_token_cancelled(below) || weft_token_cancelled(after));
    test_gate *second = test_gate_make();
    weft_future *behind = submit(here.executor, cell_make(second, 0));
    weft_future *queued = submit_under(here.executor, after, stopped);
    test_unblock(gate);
    for (unsigned i = 0; i < 2; i++) {
        assert_done_soon(jobs[i]);
        assert_ok(jobs[i], cells[i]);
        assert_false(test_get(cells[i]->saw_cancel));
        weft_future_release(jobs[i]);
    }
    weft_token_cancel(after);
    assert_done_soon(queued);
    assert_cancelled(queued, WEFT_REASON_USER);
    weft_token_cancel(before);
    assert_set_soon(below);
    test_gate_open(second);
    assert_done_soon(behind);
    weft_token *tokens[] = {parent, before, below, after};
    for (unsigned i = 0; i < 4; i++) {
        weft_token_release(tokens[i]);
    }
    weft_future_release(behind);
    weft_future_release(queued);
    world_end(here);
    assert_discarded(stopped);
}

/* References and ends. */

static void test_token_lives_as_long_as_somebody_holds_it(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
    assert_ptr_equal(weft_token_retain(token), token);
    assert_tokens_soon(1);
    weft_token_release(token);
    assert_tokens_soon(1);
    test_gate *gate = test_gate_make();
    weft_future *job = submit_under(executor, token, cell_make(gate, 0));
    weft_token *child = token_make(executor, token, WEFT_FOREVER, 0);
    weft_token_release(token);
    flush(executor);
    assert_false(weft_token_cancelled(child));
    assert_tokens_soon(2);
    test_gate_open(gate);
    assert_done_soon(job);
    weft_future_release(job);
    weft_token_release(child);
    assert_tokens_soon(0);
    test_destroy(executor);
}

static void test_token_outlives_its_executor(void **state)
{
    (void)state;
    for (unsigned destroyed = 0; destroyed < 2; destroyed++) {
        weft_executor *executor = test_executor(1), *other = test_executor(1);
        weft_token *token = token_make(executor, NULL, 3600 * 1000 * MS, 0);
        weft_token *child = token_make(executor, token, WEFT_FOREVER, 0);
        hook here = {.number = 0};
        weft_callback *handle = NULL, *none = NULL;
        assert_int_equal(weft_token_on_cancel(token, hook_run, &here, &handle), 0);
        assert_int_equal(weft_token_on_cancel(child, hook_run, &here, NULL), 0);
        assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_ALL, test_patience()), 0);
        assert_timers_soon(0);
        if (destroyed != 0) {
            test_destroy(executor);
        } else {
            errno = 0;
            assert_null(weft_token_create(executor, NULL, WEFT_FOREVER, 0));
            assert_int_equal(errno, ESHUTDOWN);
        }
        assert_false(weft_token_expired(token));
        assert_int_equal(weft_token_on_cancel(token, hook_run, &here, &none), -ESHUTDOWN);
        assert_int_equal(weft_token_close(child), 0);
        weft_token_cancel(token);
        assert_true(weft_token_cancelled(token));
        assert_false(weft_token_expired(token));
        test_cell *cell = cell_make(NULL, 0);
        weft_future *born = submit_under(other, token, cell);
        assert_cancelled(born, WEFT_REASON_USER);
        assert_discarded(cell);
        weft_token *below = token_make(other, token, WEFT_FOREVER, 0);
        assert_true(weft_token_cancelled(below));
        assert_int_equal(weft_callback_remove(handle), 0);
        assert_int_equal(test_get(here.calls), 0);
        weft_future_release(born);
        weft_token_release(below);
        weft_token_release(child);
        weft_token_release(token);
        if (destroyed == 0) {
            test_destroy(executor);
        }
        test_destroy(other);
    }
}

/* The last reference goes, and a child is cancelled, after the executor of the parent has gone. */
static void test_token_below_one_of_a_destroyed_executor(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1), *other = test_executor(1);
    weft_token *parent = token_make(executor, NULL, WEFT_FOREVER, 0), *child = token_make(other, parent, 10 * MS, 0);
    test_destroy(executor);
    assert_true(test_until(token_has_expired, child));
    assert_false(weft_token_cancelled(parent));
    weft_token_release(parent);
    test_cell *cell = cell_make(NULL, 0);
    weft_future *born = submit_under(other, child, cell);
    assert_cancelled(born, WEFT_REASON_TIMEOUT);
    weft_future_release(born);
    weft_token_release(child);
    assert_tokens_soon(0);
    test_destroy(other);
}

static void test_token_bad_input(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_callback *handle = NULL;
    hook here = {.number = 0};
    errno = 0;
    assert_null(weft_token_create(executor, NULL, WEFT_FOREVER, 2));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(weft_token_create(executor, NULL, WEFT_FOREVER, WEFT_SHIELDED | 0x80000000u));
    assert_int_equal(errno, EINVAL);
    assert_null(weft_token_retain(NULL));
    weft_token_release(NULL);
    weft_token_cancel(NULL);
    assert_false(weft_token_cancelled(NULL));
    assert_false(weft_token_expired(NULL));
    assert_int_equal(weft_token_reschedule(NULL, 1), -EINVAL);
    assert_int_equal(weft_token_close(NULL), -EINVAL);
    assert_int_equal(weft_token_on_cancel(NULL, hook_run, &here, &handle), -EINVAL);
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, WEFT_SHIELDED);
    assert_int_equal(weft_token_on_cancel(token, NULL, &here, &handle), -EINVAL);
    assert_null(handle);
    weft_token_release(token);
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_can_11_one_token_stops_many_jobs),
        TEST(test_can_11_a_job_that_ignores_the_token_keeps_its_outcome),
        TEST(test_can_11_a_delayed_job_leaves_the_wheel),
        TEST(test_can_11_ends_the_waits_of_a_running_job),
        TEST(test_token_is_set_downwards_and_never_upwards),
        TEST(test_token_trees_may_be_wide),
        TEST(test_token_trees_may_be_deep),
        TEST(test_token_trees_over_several_executors),
        TEST(test_token_of_no_executor_belongs_to_the_parents),
        TEST_DEFAULT(test_token_of_the_default_executor),
        TEST(test_token_reasons_by_who_was_set),
        TEST(test_token_reasons_the_first_one_stays),
        TEST(test_token_shielded_is_not_reached_from_above),
        TEST(test_token_lives_as_long_as_somebody_holds_it),
        TEST(test_token_outlives_its_executor),
        TEST(test_token_below_one_of_a_destroyed_executor),
        TEST(test_token_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
