/* test_group_tree.c: section 16, groups in jobs: recursion, nesting by weft_current_token and parents, who may join and
 * who is refused, reasons below a group.
 *
 * Discipline. Recursion runs on one worker, where a join that only waited would hang. Futures that a child submits
 * under its own token show the reason that travels below a group, which the children, having no future, cannot show. */
#include "scopes.h"

/* One group a level: the children of a level are joined by it, on whatever worker it runs. */
struct fib {
    unsigned n;      /* by who makes it */
    unsigned limit;  /* the same: of the groups below */
    bool nested;     /* the same: below the token of the job */
    unsigned result; /* by the job */
};

static void *fib_job(void *argument)
{
    struct fib *self = argument;
    if (self->n < 2) {
        self->result = self->n;
        return NULL;
    }
    struct fib below[2];
    weft_group_options options = {.limit = self->limit, .parent = self->nested ? weft_current_token() : NULL};
    weft_group *group = weft_group_create(weft_executor_current(), &options);
    if (!TEST_EXPECT(group != NULL)) {
        return weft_fail(ENOMEM);
    }
    for (unsigned i = 0; i < 2; i++) {
        below[i] = (struct fib){.n = self->n - 1 - i, .limit = self->limit, .nested = self->nested};
        TEST_EXPECT(weft_group_submit(group, fib_job, &below[i]) == 0);
    }
    TEST_EXPECT(weft_group_join(group) == 0);
    TEST_EXPECT(weft_group_destroy(group) == 0);
    self->result = below[0].result + below[1].result;
    return NULL;
}

static void recursion(unsigned n, unsigned workers, unsigned limit, bool nested, unsigned expected)
{
    weft_executor *executor = test_executor(workers);
    struct fib top = {.n = n, .limit = limit, .nested = nested};
    assert_int_equal(weft_await(weft_submit(executor, fib_job, &top), NULL), 0);
    assert_int_equal(top.result, expected);
    test_destroy(executor);
}

static void test_grp_01_recursion_with_a_group_a_level(void **state)
{
    (void)state;
    recursion(18, 1, 0, false, 2584);
    recursion(16, 3, 0, false, 987);
    recursion(14, 1, 0, true, 377);
    recursion(14, 2, 0, true, 377);
}

static void test_grp_10_recursion_under_limits(void **state)
{
    (void)state;
    recursion(14, 1, 1, false, 377);
    recursion(12, 3, 1, true, 144);
    recursion(12, 2, 2, false, 144);
}

/* A chain of groups, each child joining the next one: as deep as waits may nest on a stack, and deeper. */
struct chain {
    unsigned left; /* levels below; by who makes it */
};

static void *chain_job(void *argument)
{
    struct chain *self = argument;
    if (self->left == 0) {
        return NULL;
    }
    struct chain below = {self->left - 1};
    weft_group *group = weft_group_create(weft_executor_current(), NULL);
    TEST_EXPECT(weft_group_submit(group, chain_job, &below) == 0);
    int code = weft_group_join(group);
    TEST_EXPECT(code == 0);
    if (code == 0) {
        TEST_EXPECT(weft_group_destroy(group) == 0);
    }
    return NULL;
}

static void test_grp_01_groups_nest_a_thousand_deep(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct chain top = {.left = 1000};
    assert_int_equal(weft_await(weft_submit(executor, chain_job, &top), NULL), 0);
    test_destroy(executor);
}

/* GRP-06: groups in groups, two children to each, three levels; a request from above reaches the leaves. */
struct tree {
    weft_executor *executor; /* by the test */
    test_latch *leaves;      /* hit by each leaf that runs */
    _Atomic(unsigned) asked; /* leaves that saw the request */
    _Atomic(unsigned) joins; /* joins that answered -ECANCELED */
};

struct branch {
    struct tree *tree;
    unsigned level;
};

static void *branch_job(void *argument)
{
    struct branch *self = argument;
    struct tree *tree = self->tree;
    if (self->level == 0) {
        test_job_until_cancelled(tree->leaves);
        atomic_fetch_add_explicit(&tree->asked, weft_cancelled(), memory_order_acq_rel);
        return weft_fail(-ECANCELED);
    }
    struct branch below = {tree, self->level - 1};
    const weft_group_options options = {.parent = weft_current_token()};
    weft_group *group = weft_group_create(tree->executor, &options);
    TEST_EXPECT(weft_group_submit(group, branch_job, &below) == 0);
    TEST_EXPECT(weft_group_submit(group, branch_job, &below) == 0);
    int code = weft_group_join(group);
    TEST_EXPECT(code == -ECANCELED);
    atomic_fetch_add_explicit(&tree->joins, code == -ECANCELED, memory_order_acq_rel);
    TEST_EXPECT(weft_group_destroy(group) == 0);
    return weft_fail(-ECANCELED);
}

static void test_grp_06_requests_reach_all_levels(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 5; way++) {
        world here = world_make(8);
        struct tree tree = {.executor = here.executor, .leaves = test_latch_make()};
        struct branch top = {&tree, 2};
        weft_token *parent = token_make(here.executor, NULL, way == 2 ? 10 * MS : WEFT_FOREVER, 0);
        const weft_group_options options = {.parent = parent, .timeout = way == 3 ? 10 * MS : 0};
        weft_group *group = group_make(here.executor, &options);
        assert_int_equal(weft_group_submit(group, branch_job, &top), 0);
        assert_true(test_latch_wait(tree.leaves, 4));
        switch (way) {
        case 0:
            weft_group_cancel(group);
            break;
        case 1:
            weft_token_cancel(parent);
            break;
        case 4:
            assert_int_equal(weft_group_submit(group, test_job_fail_7, NULL), 0);
            break;
        default:
            weft_manual_clock_advance(here.clock, 10 * MS + TICK);
            break;
        }
        const int codes[] = {-ECANCELED, -ECANCELED, -ECANCELED, -ETIMEDOUT, 7};
        assert_joins(group, codes[way]);
        assert_int_equal(test_get(tree.asked), 4);
        assert_int_equal(test_get(tree.joins), 3);
        weft_token_release(parent);
        world_end(here);
    }
}

/* A scope inside fails or ends alone; what is around it does not hear of it (I6). */
static void *inner_group_fails(void *argument)
{
    test_cell *cell = argument;
    weft_token *token = weft_current_token();
    const weft_group_options options = {.parent = token};
    weft_group *group = weft_group_create(weft_executor_current(), &options);
    TEST_EXPECT(weft_group_submit(group, test_job_fail_7, NULL) == 0);
    TEST_EXPECT(weft_group_join(group) == 7);
    TEST_EXPECT(weft_group_destroy(group) == 0);
    group = weft_group_create(weft_executor_current(), &options);
    weft_group_cancel(group);
    TEST_EXPECT(weft_group_join(group) == -ECANCELED);
    TEST_EXPECT(weft_group_destroy(group) == 0);
    TEST_EXPECT(!weft_cancelled() && !weft_token_cancelled(token));
    return test_cell_run(cell);
}

static void test_grp_06_what_happens_inside_stays_inside(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    weft_group *group = group_make(executor, NULL);
    test_cell *cell = cell_make(NULL, 0), *beside = cell_make(NULL, 0);
    assert_int_equal(weft_group_submit(group, inner_group_fails, cell), 0);
    assert_int_equal(group_add(group, beside), 0);
    assert_joins(group, 0);
    assert_false(test_get(cell->saw_cancel));
    assert_ran(beside, 1);
    test_destroy(executor);
}

/* Page 2: the reason that reaches a job below a child of the group; it stands behind a gate on another executor. */
struct below {
    weft_executor *other;  /* by the test */
    test_cell *cell;       /* by the test */
    weft_future *future;   /* by the child before it hits the latch */
    test_latch *submitted; /* by the test */
};

static void *submit_below(void *argument)
{
    struct below *self = argument;
    weft_submit_options options = {.token = weft_current_token(), .free_arg = test_cell_free_arg};
    self->future = weft_submit_with(self->other, test_cell_run, self->cell, &options);
    TEST_EXPECT(self->future != NULL);
    return test_job_until_cancelled(self->submitted);
}

static void test_grp_06_reasons_below_a_group(void **state)
{
    const weft_cancel_reason reasons[] = {WEFT_REASON_PARENT, WEFT_REASON_TIMEOUT, WEFT_REASON_PARENT,
                                          WEFT_REASON_PARENT, WEFT_REASON_TIMEOUT, WEFT_REASON_SHUTDOWN};
    (void)state;
    for (unsigned way = 0; way < 6; way++) {
        world here = world_make(2);
        weft_executor *other = test_executor(1);
        test_gate *gate = test_block(other, 1);
        weft_token *parent = token_make(here.executor, NULL, way == 4 ? 10 * MS : WEFT_FOREVER, 0);
        const weft_group_options options = {.parent = parent, .timeout = way == 1 ? 10 * MS : 0};
        weft_group *group = group_make(here.executor, &options);
        struct below child = {.other = other, .cell = cell_make(NULL, 0), .submitted = test_latch_make()};
        assert_int_equal(weft_group_submit(group, submit_below, &child), 0);
        assert_true(test_latch_wait(child.submitted, 1));
        switch (way) {
        case 0:
            weft_group_cancel(group);
            break;
        case 2: /* a sibling */
            assert_int_equal(weft_group_submit(group, test_job_fail_7, NULL), 0);
            break;
        case 3:
            weft_token_cancel(parent);
            break;
        case 5:
            assert_int_equal(weft_executor_shutdown(here.executor, WEFT_CANCEL_ALL, WEFT_FOREVER), 0);
            break;
        default:
            weft_manual_clock_advance(here.clock, 10 * MS + TICK);
            break;
        }
        assert_done_soon(child.future);
        assert_cancelled(child.future, reasons[way]);
        assert_discarded(child.cell);
        int code = weft_group_join(group);
        const int codes[] = {-ECANCELED, -ETIMEDOUT, 7, -ECANCELED, -ECANCELED};
        assert_true(way == 5 ? code == 0 || code == -ECANCELED : code == codes[way]);
        assert_int_equal(weft_group_destroy(group), 0);
        weft_future_release(child.future);
        weft_token_release(parent);
        test_unblock(gate);
        test_destroy(other);
        world_end(here);
    }
}

/* Below a token that is set, or whose deadline has passed, a group is born stopped; below a shielded one it is not. */
static void test_grp_06_below_a_token_that_is_set(void **state)
{
    (void)state;
    for (unsigned shielded = 0; shielded < 2; shielded++) {
        weft_executor *executor = test_executor(1);
        weft_token *set = token_make(executor, NULL, WEFT_FOREVER, 0);
        weft_token_cancel(set);
        weft_token *parent = token_make(executor, set, WEFT_FOREVER, shielded != 0 ? WEFT_SHIELDED : 0);
        const weft_group_options options = {.parent = parent};
        weft_group *group = group_make(executor, &options);
        weft_token_release(parent);
        weft_token_release(set);
        test_cell *cell = cell_make(NULL, 0);
        assert_int_equal(group_add(group, cell), shielded != 0 ? 0 : -ECANCELED);
        assert_joins(group, shielded != 0 ? 0 : -ECANCELED);
        assert_int_equal(test_get(cell->ran), shielded);
        assert_int_equal(test_get(cell->arg_freed), shielded);
        test_destroy(executor);
    }
}

/* SCP-08 in a job that was asked to stop: it cleans up by a group below a shielded scope, and waits for that. */
static void *clean_up(void *argument)
{
    test_cell **cells = argument;
    test_gate_pass(cells[0]->gate);
    cells[0]->gate = NULL;
    TEST_EXPECT(weft_cancelled());
    weft_token *shield = weft_token_create(NULL, weft_current_token(), WEFT_FOREVER, WEFT_SHIELDED);
    const weft_group_options options = {.parent = shield};
    weft_group *group = weft_group_create(weft_executor_current(), &options);
    for (unsigned i = 0; i < 3; i++) {
        TEST_EXPECT(group_add(group, cells[i]) == 0);
    }
    TEST_EXPECT(weft_group_join(group) == 0);
    TEST_EXPECT(weft_group_destroy(group) == 0);
    weft_token_release(shield);
    return weft_fail(-ECANCELED);
}

static void test_scp_08_a_stopped_job_cleans_up_in_a_group(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    test_cell *cells[] = {cell_make(gate, 0), cell_make(NULL, 0), cell_make(NULL, 0)};
    weft_future *job = weft_submit(executor, clean_up, cells);
    assert_true(test_gate_await(gate, 1));
    assert_int_equal(weft_cancel(job), WEFT_CANCEL_REQUESTED);
    test_gate_open(gate);
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_USER);
    for (unsigned i = 0; i < 3; i++) {
        assert_ran(cells[i], 1);
        assert_false(test_get(cells[i]->saw_cancel));
    }
    weft_future_release(job);
    test_destroy(executor);
}

/* A request to the job that joins does not end its join, nor does it reach children that are not below its token. */
static void test_grp_06_a_join_is_not_ended_by_a_request(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 2; workers++) {
        weft_executor *executor = test_executor(workers);
        weft_group *group = group_make(executor, NULL);
        test_gate *gate = test_gate_make();
        test_cell *cell = cell_make(gate, 0);
        joiner joins = {.group = group, .over = test_latch_make()};
        assert_int_equal(group_add(group, cell), 0);
        assert_true(test_gate_await(gate, 1));
        weft_future *job = workers == 2 ? weft_submit(executor, join_group, &joins) : NULL;
        pthread_t thread = workers == 1 ? test_spawn(join_group, &joins) : pthread_self();
        if (job != NULL) {
            assert_true(test_until_state(job, WEFT_RUNNING));
            assert_int_equal(weft_cancel(job), WEFT_CANCEL_REQUESTED);
        }
        assert_false(test_latch_wait_for(joins.over, 1, 20 * MS));
        test_gate_open(gate);
        assert_true(test_latch_wait(joins.over, 1));
        assert_int_equal(joins.code, 0);
        assert_false(test_get(cell->saw_cancel));
        if (job != NULL) {
            assert_done_soon(job);
            weft_future_release(job);
        } else {
            test_join(thread);
        }
        assert_int_equal(weft_group_destroy(group), 0);
        test_destroy(executor);
    }
}

/* Who is refused. */
static void *join_from_child(void *group)
{
    TEST_EXPECT(weft_group_join(group) == -EDEADLK);
    TEST_EXPECT(weft_group_destroy(group) == -EBUSY);
    return NULL;
}

static void join_from_callback(void *group)
{
    TEST_EXPECT(weft_group_join(group) == -EDEADLK);
}

static void test_grp_05_joins_that_are_refused(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_group *group = group_make(executor, NULL);
    test_gate *gate = test_gate_make();
    assert_int_equal(weft_group_submit(group, test_gate_job, gate), 0);
    assert_int_equal(weft_group_submit(group, join_from_child, group), 0);
    on_coordinator(executor, join_from_callback, group);
    test_gate_open(gate);
    assert_joins(group, 0);
    test_destroy(executor);
}

/* No spare left: the join is refused, and can be tried again. */
static void *join_without_spares(void *argument)
{
    joiner *self = argument;
    self->code = weft_group_join(self->group);
    return NULL;
}

static void test_grp_05_a_join_without_a_spare_is_refused(void **state)
{
    (void)state;
    const weft_executor_options options = {.workers = 1, .max_spares = 1};
    weft_executor *executor = test_executor_with(&options), *other = test_executor(1);
    weft_group *group = group_make(other, NULL);
    test_gate *gate = test_gate_make();
    assert_int_equal(weft_group_submit(group, test_gate_job, gate), 0);
    joiner blocked = {.group = group, .over = test_latch_make()}, refused = {.group = group};
    weft_future *first = weft_submit(executor, join_group, &blocked);
    assert_int_equal(weft_await(weft_submit(executor, join_without_spares, &refused), NULL), 0);
    assert_int_equal(refused.code, -EAGAIN);
    test_gate_open(gate);
    assert_done_soon(first);
    assert_int_equal(blocked.code, 0);
    weft_future_release(first);
    assert_joins(group, 0);
    test_destroy(executor);
    test_destroy(other);
}

/* Joined from outside, by jobs of its own executor and of another one, all at once. */
static void test_grp_01_joined_by_several(void **state)
{
    enum { EACH = 2 };
    (void)state;
    for (int code = 0; code <= 7; code += 7) {
        weft_executor *executor = test_executor(2), *other = test_executor(1);
        weft_group *group = group_make(executor, NULL);
        test_gate *gate = test_gate_make();
        test_cell *cell = cell_make(gate, code);
        joiner joiners[3 * EACH];
        pthread_t threads[EACH];
        weft_future *jobs[2 * EACH];
        test_latch *over = test_latch_make();
        assert_int_equal(group_add(group, cell), 0);
        assert_true(test_gate_await(gate, 1));
        for (unsigned i = 0; i < 3 * EACH; i++) {
            joiners[i] = (joiner){.group = group, .over = over};
        }
        for (unsigned i = 0; i < EACH; i++) {
            threads[i] = test_spawn(join_group, &joiners[i]);
            jobs[i] = weft_submit(executor, join_group, &joiners[EACH + i]);
            jobs[EACH + i] = weft_submit(other, join_group, &joiners[2 * EACH + i]);
        }
        assert_false(test_latch_wait_for(over, 1, 20 * MS));
        test_gate_open(gate);
        assert_true(test_latch_wait(over, 3 * EACH));
        for (unsigned i = 0; i < EACH; i++) {
            test_join(threads[i]);
        }
        for (unsigned i = 0; i < 2 * EACH; i++) {
            assert_int_equal(weft_await(jobs[i], NULL), 0);
        }
        for (unsigned i = 0; i < 3 * EACH; i++) {
            assert_int_equal(joiners[i].code, code);
        }
        assert_ran(cell, code == 0 ? 1 : 0);
        assert_int_equal(weft_group_destroy(group), 0);
        test_destroy(executor);
        test_destroy(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_grp_01_recursion_with_a_group_a_level),    TEST(test_grp_10_recursion_under_limits),
        TEST(test_grp_01_groups_nest_a_thousand_deep),       TEST(test_grp_06_requests_reach_all_levels),
        TEST(test_grp_06_what_happens_inside_stays_inside),  TEST(test_grp_06_reasons_below_a_group),
        TEST(test_grp_06_below_a_token_that_is_set),         TEST(test_scp_08_a_stopped_job_cleans_up_in_a_group),
        TEST(test_grp_06_a_join_is_not_ended_by_a_request),  TEST(test_grp_05_joins_that_are_refused),
        TEST(test_grp_05_a_join_without_a_spare_is_refused), TEST(test_grp_01_joined_by_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
