/* test_group.c: section 16, groups without a limit (GRP-01 to 06, 11): children, errors, joining, ends.
 *
 * Discipline. Children stand at gates, so that who ends first is the test's choice; a group's deadline is one of a
 * manual clock. That a join waits is seen by a thread that joins and has not come back when everything else has
 * happened. What a limit and a shutdown do stands in test_group_limit.c, nesting in test_group_tree.c, races in
 * test_group_races.c. */
#include "scopes.h"

/* Two hooks of the executor: that nobody is told of a child's failure. */
static weft_executor *executor_with_hook(unsigned workers, test_hook *unobserved)
{
    const weft_executor_options options = {
        .workers = workers, .unobserved_error = test_hook_unobserved, .data = unobserved};
    return test_executor_with(&options);
}

static void test_grp_01_join_waits_for_all_and_late_ones(void **state)
{
    enum { CHILDREN = 6 };
    (void)state;
    weft_executor *executor = test_executor(2);
    weft_group *group = group_make(executor, NULL);
    test_gate *gate = test_gate_make();
    test_cell *cells[CHILDREN];
    for (unsigned i = 0; i < CHILDREN / 2; i++) {
        assert_int_equal(group_add(group, cells[i] = cell_make(gate, 0)), 0);
    }
    joiner other = {.group = group, .over = test_latch_make()};
    pthread_t thread = test_spawn(join_group, &other);
    assert_true(test_gate_await(gate, 2));
    for (unsigned i = CHILDREN / 2; i < CHILDREN; i++) {
        assert_int_equal(group_add(group, cells[i] = cell_make(gate, 0)), 0);
    }
    assert_false(test_latch_wait_for(other.over, 1, 20 * MS));
    assert_int_equal(weft_group_destroy(group), -EBUSY);
    test_gate_open(gate);
    test_join(thread);
    assert_int_equal(other.code, 0);
    for (unsigned i = 0; i < CHILDREN; i++) {
        assert_ran(cells[i], 1);
        assert_false(test_get(cells[i]->saw_cancel));
    }
    assert_int_equal(weft_group_join(group), 0);
    size_t n = 7;
    assert_non_null(weft_group_errors(group, &n));
    assert_int_equal(n, 0);
    assert_int_equal(weft_group_destroy(group), 0);
    test_destroy(executor);
}

/* Children of children: a tree that grows while the join waits. */
struct grower {
    weft_group *group;     /* by the test */
    _Atomic(unsigned) ran; /* by the children */
};

static _Atomic(unsigned) depth_of[64];
static struct grower growing;

static void *grow(void *argument)
{
    unsigned depth = test_get(*(_Atomic(unsigned) *)argument);
    atomic_fetch_add_explicit(&growing.ran, 1, memory_order_acq_rel);
    for (unsigned i = 0; depth > 0 && i < 2; i++) {
        TEST_EXPECT(weft_group_submit(growing.group, grow, &depth_of[depth - 1]) == 0);
    }
    return NULL;
}

static void test_grp_01_children_submit_children(void **state)
{
    enum { DEPTH = 8 };
    (void)state;
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        weft_executor *executor = test_executor(workers);
        growing = (struct grower){.group = group_make(executor, NULL)};
        for (unsigned i = 0; i <= DEPTH; i++) {
            atomic_store_explicit(&depth_of[i], i, memory_order_release);
        }
        assert_int_equal(weft_group_submit(growing.group, grow, &depth_of[DEPTH]), 0);
        assert_int_equal(weft_group_join(growing.group), 0);
        assert_int_equal(test_get(growing.ran), (2u << DEPTH) - 1);
        assert_int_equal(weft_group_destroy(growing.group), 0);
        test_destroy(executor);
    }
}

static void test_grp_01_an_empty_group(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_group *group = group_make(executor, NULL);
    assert_int_equal(weft_group_destroy(group), -EBUSY);
    assert_joins(group, 0);
    test_destroy(executor);
}

/* Frees on the stack of who joins what the children use, for many rounds: a last child must not look back. */
static void test_grp_01_destroyed_right_after_the_join(void **state)
{
    enum { CHILDREN = 3 };
    (void)state;
    weft_executor *executor = test_executor(2);
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        test_cell cells[CHILDREN];
        weft_group *group = group_make(executor, NULL);
        memset(cells, 0, sizeof cells);
        for (unsigned i = 0; i < CHILDREN; i++) {
            cells[i].value = &cells[i];
            cells[i].code = round % 5 == 0 && i == 1 ? 7 : 0;
            int answer = group_add(group, &cells[i]);
            assert_true(answer == 0 || (answer == -ECANCELED && i == 2 && cells[1].code != 0));
            if (answer != 0) {
                cells[i].arg_freed = 1; /* the caller's, who has it back */
            }
            if (i == 0) {
                stagger(round);
            }
        }
        assert_joins(group, cells[1].code);
        assert_ran(&cells[1], cells[1].code == 0 ? 1 : 0);
        for (unsigned i = 0; i < CHILDREN; i += 2) {
            assert_int_equal(test_get(cells[i].arg_freed), 1);
            assert_int_equal(test_get(cells[i].value_freed), test_get(cells[i].ran));
        }
        memset(cells, 0x5A, sizeof cells);
    }
    test_destroy(executor);
}

static void test_grp_02_one_child_fails(void **state)
{
    (void)state;
    test_hook unobserved = {.errors = 0};
    weft_executor *executor = executor_with_hook(2, &unobserved);
    weft_group *group = group_make(executor, NULL);
    static stubborn job;
    job = (stubborn){test_latch_make(), test_latch_make(), cell_make(test_gate_make(), 0)};
    test_gate *gate = test_gate_make();
    test_cell *fails = cell_make(gate, 7), *queued = cell_make(NULL, 0), *late = cell_make(NULL, 0);
    assert_int_equal(weft_group_submit(group, stubborn_job, &job), 0);
    assert_true(test_latch_wait(job.started, 1));
    assert_int_equal(group_add(group, fails), 0);
    assert_true(test_gate_await(gate, 1));
    assert_int_equal(group_add(group, queued), 0);
    joiner other = {.group = group, .over = test_latch_make()};
    pthread_t thread = test_spawn(join_group, &other);
    test_gate_open(gate);
    assert_true(test_latch_wait(job.asked, 1));
    assert_int_equal(group_add(group, late), -ECANCELED);
    assert_int_equal(test_get(late->arg_freed) + test_get(late->ran), 0);
    assert_false(test_latch_wait_for(other.over, 1, 20 * MS));
    test_gate_open(job.cell->gate);
    test_join(thread);
    assert_int_equal(other.code, 7);
    assert_ran(fails, 0);
    /* Its worker took the queued one before the request came, or never. */
    assert_true(test_get(queued->ran) <= 1);
    assert_int_equal(test_get(queued->arg_freed), 1);
    assert_int_equal(weft_group_destroy(group), 0);
    test_destroy(executor);
    assert_int_equal(test_get(unobserved.errors), 0);
}

static void *return_minus_one(void *argument)
{
    (void)argument;
    return weft_fail(-1000);
}

static void *end_thread(void *argument)
{
    test_cell *cell = argument;
    atomic_fetch_add_explicit(&cell->ran, 1, memory_order_acq_rel);
    atomic_fetch_add_explicit(&cell->returned, 1, memory_order_acq_rel);
    pthread_exit(NULL);
}

/* A code that is none counts as EINVAL; a child that ends its thread as -EOWNERDEAD; all as failures of the group. */
static void test_grp_02_other_ways_to_fail(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 2; way++) {
        test_hook unobserved = {.errors = 0};
        weft_executor *executor = executor_with_hook(1, &unobserved);
        weft_group *group = group_make(executor, NULL);
        test_cell *cell = cell_make(NULL, 0), *queued = cell_make(NULL, 0);
        weft_submit_options options = {.free_arg = test_cell_free_arg, .free_value = test_cell_free_value};
        int code = way == 0 ? EINVAL : -EOWNERDEAD;
        assert_int_equal(weft_group_submit_with(group, way == 0 ? return_minus_one : end_thread, cell, &options), 0);
        int answer = group_add(group, queued);
        assert_true(answer == 0 || answer == -ECANCELED);
        assert_int_equal(weft_group_join(group), code);
        size_t n = 0;
        const weft_outcome *errors = weft_group_errors(group, &n);
        assert_int_equal(n, 1);
        assert_slot(&errors[0], WEFT_FAILED, code, NULL);
        assert_int_equal(errors[0].index, 0);
        assert_int_equal(test_get(cell->arg_freed), 1);
        assert_int_equal(test_get(cell->value_freed), 0);
        assert_int_equal(test_get(queued->arg_freed), answer == 0 ? 1 : 0);
        assert_int_equal(weft_group_destroy(group), 0);
        test_destroy(executor);
        assert_int_equal(test_get(unobserved.errors), 0);
    }
}

/* The destructor of a child's value waits, while the thread that ended the child has others to tell: first for what is
 * only launched when this thread tells it, then for what another thread tells. */
typedef struct waiting {
    weft_executor *executor;
    weft_promise *promise;
    test_latch *over;
} waiting;

static void *next(void *value, void *data)
{
    (void)data;
    return value;
}

static void *resolve_it(void *promise)
{
    TEST_EXPECT(weft_promise_resolve(promise, NULL, NULL) == 0);
    return NULL;
}

static void wait_in_destructor(void *value)
{
    waiting *self = value;
    weft_future *job = weft_submit(self->executor, test_job_return_arg, NULL);
    weft_future *after = weft_then(job, next, NULL);
    TEST_EXPECT(weft_await(after, NULL) == 0);
    weft_future_release(job);
    weft_future *promised = weft_promise_future(self->promise);
    weft_future *then = weft_then(promised, next, NULL);
    weft_future_release(weft_submit(self->executor, resolve_it, self->promise));
    TEST_EXPECT(weft_wait(&then, 1, WEFT_ALL_COMPLETED, WEFT_FOREVER, NULL) == 0);
    weft_future_release(then);
    weft_future_release(promised);
    test_latch_hit(self->over);
}

static void test_a_value_that_waits_as_it_goes(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    static waiting self;
    self = (waiting){executor, weft_promise_create(executor), test_latch_make()};
    weft_group *group = group_make(executor, NULL);
    const weft_submit_options options = {.free_value = wait_in_destructor};
    assert_int_equal(weft_group_submit_with(group, test_job_return_arg, &self, &options), 0);
    assert_true(test_latch_wait(self.over, 1));
    assert_int_equal(weft_group_join(group), 0);
    assert_int_equal(weft_group_destroy(group), 0);
    weft_promise_destroy(self.promise);
    test_destroy(executor);
}

/* An executor that breaks fails the children that have not started. */
static int start_fails(unsigned worker, void *gate)
{
    (void)worker;
    test_gate_pass(gate);
    return 5;
}

static void test_grp_02_the_executor_breaks(void **state)
{
    (void)state;
    test_gate *gate = test_gate_make();
    const weft_executor_options options = {.workers = 1, .worker_start = start_fails, .data = gate};
    weft_executor *executor = test_executor_with(&options);
    weft_group *group = group_make(executor, NULL);
    test_cell *cells[] = {cell_make(NULL, 0), cell_make(NULL, 0)};
    assert_int_equal(group_add(group, cells[0]), 0);
    assert_int_equal(group_add(group, cells[1]), 0);
    test_gate_open(gate);
    assert_int_equal(weft_group_join(group), -ENOTRECOVERABLE);
    assert_discarded(cells[0]);
    assert_discarded(cells[1]);
    assert_int_equal(weft_group_destroy(group), 0);
    group = group_make(executor, NULL);
    assert_int_equal(weft_group_submit(group, test_job_return_arg, NULL), -ENOTRECOVERABLE);
    assert_joins(group, 0);
    test_destroy(executor);
}

static void test_grp_03_a_child_cancelled_alone_is_no_error(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_group *group = group_make(executor, NULL);
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
    test_gate *gate = test_gate_make();
    test_cell *first = cell_make(gate, 0), *stopped = cell_make(NULL, 0), *born = cell_make(NULL, 0);
    test_cell *itself = cell_make(NULL, -ECANCELED), *last = cell_make(NULL, 0);
    weft_submit_options options = {.token = token, .free_arg = test_cell_free_arg};
    assert_int_equal(group_add(group, first), 0);
    assert_true(test_gate_await(gate, 1));
    assert_int_equal(group_add(group, itself), 0);
    assert_int_equal(weft_group_submit_with(group, test_cell_run, stopped, &options), 0);
    assert_int_equal(group_add(group, last), 0);
    weft_token_cancel(token);
    assert_int_equal(weft_group_submit_with(group, test_cell_run, born, &options), 0);
    assert_int_equal(test_get(born->arg_freed), 1);
    flush(executor);
    test_gate_open(gate);
    assert_int_equal(weft_group_join(group), 0);
    size_t n = 7;
    assert_non_null(weft_group_errors(group, &n));
    assert_int_equal(n, 0);
    assert_ran(first, 1);
    assert_ran(itself, 0);
    assert_ran(last, 1);
    assert_false(test_get(last->saw_cancel));
    assert_discarded(stopped);
    assert_discarded(born);
    assert_int_equal(weft_group_destroy(group), 0);
    weft_token_release(token);
    test_destroy(executor);
}

/* A running child sees the request of either token. */
static void test_grp_03_a_token_beside_the_groups(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        weft_executor *executor = test_executor(1);
        weft_group *group = group_make(executor, NULL);
        weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
        weft_submit_options options = {.token = token};
        test_latch *started = test_latch_make();
        assert_int_equal(weft_group_submit_with(group, test_job_until_cancelled, started, &options), 0);
        assert_true(test_latch_wait(started, 1));
        if (i == 0) {
            weft_token_cancel(token);
        } else {
            weft_group_cancel(group);
        }
        assert_joins(group, i == 0 ? 0 : -ECANCELED);
        assert_int_equal(weft_token_cancelled(token), i == 0);
        weft_token_release(token);
        test_destroy(executor);
    }
}

static void test_grp_04_errors_in_the_order_of_the_ends(void **state)
{
    enum { FAILING = 3 };
    const unsigned order[] = {2, 0, 1};
    (void)state;
    test_hook unobserved = {.errors = 0};
    weft_executor *executor = executor_with_hook(5, &unobserved);
    weft_group *group = group_make(executor, NULL);
    test_gate *gates[FAILING], *idle = test_gate_make();
    test_latch *latch = test_latch_make();
    /* Numbers: 0 succeeds, 1 to 3 fail, 4 is cancelled by the group. */
    assert_int_equal(weft_group_submit(group, test_gate_job, idle), 0);
    for (int i = 0; i < FAILING; i++) {
        gates[i] = test_gate_make();
        assert_int_equal(group_add(group, cell_make(gates[i], 11 + i)), 0);
        assert_true(test_gate_await(gates[i], 1));
    }
    assert_int_equal(weft_group_submit(group, test_job_until_cancelled, latch), 0);
    assert_true(test_latch_wait(latch, 1));
    errno = 0;
    assert_null(weft_group_errors(group, NULL));
    assert_int_equal(errno, EINPROGRESS);
    weft_stats stats;
    for (unsigned i = 0; i < FAILING; i++) {
        test_gate_open(gates[order[i]]);
        do { /* the next one only when this one has ended */
            assert_int_equal(weft_executor_stats(executor, &stats), 0);
            sched_yield();
        } while (stats.failed != i + 1);
        flush(executor);
    }
    test_gate_open(idle);
    assert_int_equal(weft_group_join(group), 13);
    size_t n = 0;
    const weft_outcome *errors = weft_group_errors(group, &n);
    assert_non_null(errors);
    assert_int_equal(n, FAILING);
    for (unsigned i = 0; i < FAILING; i++) {
        assert_slot(&errors[i], WEFT_FAILED, 11 + (int)order[i], NULL);
        assert_int_equal(errors[i].index, order[i] + 1);
        assert_int_equal(errors[i].reason, WEFT_REASON_NONE);
    }
    assert_ptr_equal(weft_group_errors(group, NULL), errors);
    assert_int_equal(weft_group_join(group), 13);
    assert_int_equal(weft_group_destroy(group), 0);
    test_destroy(executor);
    assert_int_equal(test_get(unobserved.errors), 0);
}

static void test_grp_05_calls_in_wrong_states(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_group *group = group_make(executor, NULL);
    test_cell *cell = cell_make(NULL, 0), *late = cell_make(NULL, 0);
    const weft_submit_options bad = {.priority = (weft_priority)17, .free_arg = test_cell_free_arg};
    assert_int_equal(weft_group_submit(NULL, test_cell_run, cell), -EINVAL);
    assert_int_equal(weft_group_submit(group, NULL, cell), -EINVAL);
    assert_int_equal(weft_group_submit_with(group, test_cell_run, cell, &bad), -EINVAL);
    assert_int_equal(weft_group_submit_with(group, NULL, cell, NULL), -EINVAL);
    assert_int_equal(weft_group_join(NULL), -EINVAL);
    assert_int_equal(weft_group_destroy(NULL), 0);
    weft_group_cancel(NULL);
    errno = 0;
    assert_null(weft_group_errors(NULL, NULL));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(test_get(cell->ran) + test_get(cell->arg_freed), 0);
    assert_int_equal(weft_group_submit_with(group, test_cell_run, cell, NULL), 0);
    assert_int_equal(weft_group_destroy(group), -EBUSY);
    assert_int_equal(weft_group_join(group), 0);
    assert_int_equal(test_get(cell->returned), 1);
    assert_int_equal(group_add(group, late), -EALREADY);
    assert_int_equal(weft_group_submit(group, test_cell_run, late), -EALREADY);
    weft_group_cancel(group);
    assert_int_equal(weft_group_join(group), 0);
    assert_int_equal(weft_group_destroy(group), 0);
    assert_int_equal(test_get(late->ran) + test_get(late->arg_freed), 0);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, test_patience()), 0);
    errno = 0;
    assert_null(weft_group_create(executor, NULL));
    assert_int_equal(errno, ESHUTDOWN);
    test_destroy(executor);
}

static void test_grp_06_cancel_asks_all_children(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_group *group = group_make(executor, NULL);
    static stubborn job;
    job = (stubborn){test_latch_make(), test_latch_make(), cell_make(test_gate_make(), 0)};
    test_cell *queued = cell_make(NULL, 0), *late = cell_make(NULL, 0);
    assert_int_equal(weft_group_submit(group, stubborn_job, &job), 0);
    assert_true(test_latch_wait(job.started, 1));
    assert_int_equal(group_add(group, queued), 0);
    weft_group_cancel(group);
    assert_int_equal(group_add(group, late), -ECANCELED);
    joiner other = {.group = group, .over = test_latch_make()};
    pthread_t thread = test_spawn(join_group, &other);
    assert_true(test_latch_wait(job.asked, 1));
    assert_discarded(queued);
    assert_false(test_latch_wait_for(other.over, 1, 20 * MS));
    weft_group_cancel(group);
    test_gate_open(job.cell->gate);
    test_join(thread);
    assert_int_equal(other.code, -ECANCELED);
    assert_int_equal(test_get(late->ran) + test_get(late->arg_freed), 0);
    assert_int_equal(weft_group_destroy(group), 0);
    test_destroy(executor);
}

/* What outranks what: a child's failure the deadline, that a cancel; and each counts after the last child's end. */
static void ranks(bool fails, bool expires, bool cancels, int code)
{
    world here = world_make(1);
    const weft_group_options options = {.timeout = 10 * MS};
    weft_group *group = group_make(here.executor, &options);
    test_cell *cell = cell_make(NULL, fails ? 7 : 0);
    assert_int_equal(group_add(group, cell), 0);
    while (test_get(cell->arg_freed) == 0) {
        sched_yield();
    }
    flush(here.executor);
    if (expires) {
        weft_manual_clock_advance(here.clock, 10 * MS + TICK);
    }
    if (cancels) {
        weft_group_cancel(group);
    }
    assert_int_equal(weft_group_join(group), code);
    assert_timers_soon(0);
    weft_manual_clock_advance(here.clock, 20 * MS);
    assert_int_equal(weft_group_join(group), code);
    assert_ran(cell, fails ? 0 : 1);
    assert_int_equal(weft_group_destroy(group), 0);
    world_end(here);
}

static void test_grp_06_what_the_join_answers(void **state)
{
    (void)state;
    ranks(false, false, false, 0);
    ranks(true, false, false, 7);
    ranks(true, true, true, 7);
    ranks(true, false, true, 7);
    ranks(false, true, false, -ETIMEDOUT);
    ranks(false, true, true, -ETIMEDOUT);
    ranks(false, false, true, -ECANCELED);
}

static void test_grp_11_the_join_waits_for_children_that_ignore_the_deadline(void **state)
{
    (void)state;
    world here = world_make(1);
    const weft_group_options options = {.timeout = 10 * MS};
    weft_group *group = group_make(here.executor, &options);
    test_gate *gate = test_gate_make();
    test_cell *running = cell_make(gate, 0), *queued = cell_make(NULL, 0), *late = cell_make(NULL, 0);
    assert_int_equal(group_add(group, running), 0);
    assert_true(test_gate_await(gate, 1));
    assert_int_equal(group_add(group, queued), 0);
    weft_manual_clock_advance(here.clock, 10 * MS - 1);
    flush(here.executor);
    assert_int_equal(test_get(queued->arg_freed), 0);
    joiner other = {.group = group, .over = test_latch_make()};
    pthread_t thread = test_spawn(join_group, &other);
    weft_manual_clock_advance(here.clock, 1 + TICK);
    flush(here.executor);
    assert_discarded(queued);
    assert_int_equal(group_add(group, late), -ECANCELED);
    assert_false(test_latch_wait_for(other.over, 1, 20 * MS));
    test_gate_open(gate);
    test_join(thread);
    assert_int_equal(other.code, -ETIMEDOUT);
    assert_ran(running, 1);
    assert_true(test_get(running->saw_cancel));
    assert_int_equal(test_get(late->ran) + test_get(late->arg_freed), 0);
    assert_timers_soon(0);
    assert_int_equal(weft_group_destroy(group), 0);
    world_end(here);
}

static void test_grp_11_deadlines_that_are_due_at_once_or_none(void **state)
{
    (void)state;
    const int64_t timeouts[] = {-1, INT64_MIN, 0, WEFT_FOREVER};
    for (unsigned i = 0; i < 4; i++) {
        world here = world_make(1);
        const weft_group_options options = {.timeout = timeouts[i]};
        weft_group *group = group_make(here.executor, &options);
        test_cell *cell = cell_make(NULL, 0);
        assert_int_equal(group_add(group, cell), i < 2 ? -ECANCELED : 0);
        flush(here.executor);
        assert_timers_soon(0);
        weft_manual_clock_advance(here.clock, 3600 * 1000 * MS);
        assert_joins(group, i < 2 ? -ETIMEDOUT : 0);
        assert_int_equal(test_get(cell->ran), i < 2 ? 0 : 1);
        assert_int_equal(test_get(cell->arg_freed), i < 2 ? 0 : 1);
        world_end(here);
    }
}

/* Values and arguments: each goes back once, NULL values as well; without free_value nobody touches one. */
static _Atomic(unsigned) nulls_freed;

static void count_null(void *value)
{
    TEST_EXPECT(value == NULL);
    atomic_fetch_add_explicit(&nulls_freed, 1, memory_order_acq_rel);
}

static void test_grp_01_values_of_children_are_freed(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_group *group = group_make(executor, NULL);
    test_cell *kept = cell_make(NULL, 0), *freed = cell_make(NULL, 0);
    const weft_submit_options null = {.free_value = count_null, .free_arg = count_null};
    atomic_store_explicit(&nulls_freed, 0, memory_order_release);
    assert_int_equal(weft_group_submit(group, test_cell_run, kept), 0);
    assert_int_equal(group_add(group, freed), 0);
    assert_int_equal(weft_group_submit_with(group, test_job_return_arg, NULL, &null), 0);
    assert_joins(group, 0);
    assert_int_equal(test_get(nulls_freed), 2);
    assert_ran(freed, 1);
    assert_int_equal(test_get(kept->returned), 1);
    assert_int_equal(test_get(kept->arg_freed) + test_get(kept->value_freed), 0);
    assert_true(test_until_counters(0, 0, 0)); /* who ended the last one gives it back after the join was told */
    test_destroy(executor);
}

static void test_group_of_the_default_executor(void **state)
{
    (void)state;
    weft_group *group = group_make(NULL, NULL);
    test_cell *cells[] = {cell_make(NULL, 0), cell_make(NULL, 0)};
    assert_int_equal(group_add(group, cells[0]), 0);
    assert_int_equal(group_add(group, cells[1]), 0);
    assert_joins(group, 0);
    assert_ran(cells[0], 1);
    assert_ran(cells[1], 1);
    assert_tokens_soon(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_grp_01_join_waits_for_all_and_late_ones),
        TEST(test_grp_01_children_submit_children),
        TEST(test_grp_01_an_empty_group),
        TEST(test_grp_01_destroyed_right_after_the_join),
        TEST(test_grp_02_one_child_fails),
        TEST(test_grp_02_other_ways_to_fail),
        TEST(test_a_value_that_waits_as_it_goes),
        TEST(test_grp_02_the_executor_breaks),
        TEST(test_grp_03_a_child_cancelled_alone_is_no_error),
        TEST(test_grp_03_a_token_beside_the_groups),
        TEST(test_grp_04_errors_in_the_order_of_the_ends),
        TEST(test_grp_05_calls_in_wrong_states),
        TEST(test_grp_06_cancel_asks_all_children),
        TEST(test_grp_06_what_the_join_answers),
        TEST(test_grp_11_the_join_waits_for_children_that_ignore_the_deadline),
        TEST(test_grp_11_deadlines_that_are_due_at_once_or_none),
        TEST(test_grp_01_values_of_children_are_freed),
        TEST_DEFAULT(test_group_of_the_default_executor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
