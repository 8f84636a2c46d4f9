/* test_group_races.c: a group under several threads at once: submits, cancel, join, and the ends of children.
 *
 * Discipline. Chance chooses the order, so each race is repeated. The oracle: a submit that was accepted means a
 * function entered at most once and free_arg called exactly once before the join returns; one that was refused means
 * neither; what the join answers is what the children and the requests allow, and nothing runs after it. */
#include "scopes.h"

/* Accepted: run once or discarded; refused: untouched. Read as soon as the join has returned. */
static void check_child(test_cell *cell, int answer)
{
    unsigned ran = test_get(cell->ran);
    assert_int_equal(test_get(cell->arg_freed), answer == 0 ? 1 : 0);
    assert_true(ran <= (answer == 0 ? 1u : 0u));
    assert_int_equal(test_get(cell->returned), ran);
    assert_int_equal(test_get(cell->value_freed), cell->code == 0 ? ran : 0);
    assert_true(answer != 0 || test_get(cell->freed_after_return));
}

static void cancel_group(void *group)
{
    weft_group_cancel(group);
}

static void test_grp_06_race_of_cancel_with_submits(void **state)
{
    enum { CHILDREN = 8 };
    static rival other;
    (void)state;
    weft_executor *executor = test_executor(2);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        const weft_group_options options = {.limit = round % 3};
        weft_group *group = group_make(executor, &options);
        test_cell *cells[CHILDREN];
        int answers[CHILDREN];
        rival_go(&other, cancel_group, group);
        stagger(round);
        for (unsigned i = 0; i < CHILDREN; i++) {
            answers[i] = group_add(group, cells[i] = cell_make(NULL, 0));
            assert_true(answers[i] == 0 || answers[i] == -ECANCELED);
            assert_true(i == 0 || answers[i - 1] == 0 || answers[i] != 0);
        }
        if (round % 2 == 0) {
            rival_wait(&other);
        }
        int code = weft_group_join(group);
        for (unsigned i = 0; i < CHILDREN; i++) {
            check_child(cells[i], answers[i]);
        }
        rival_wait(&other);
        assert_true(code == -ECANCELED || (code == 0 && round % 2 != 0 && answers[CHILDREN - 1] == 0));
        assert_int_equal(weft_group_join(group), code);
        assert_int_equal(weft_group_destroy(group), 0);
    }
    rival_stop(&other);
    test_destroy(executor);
}

/* The same by a token above, on another executor's coordinator. */
static void test_grp_06_race_of_a_token_above_with_submits(void **state)
{
    enum { CHILDREN = 4 };
    static rival other;
    (void)state;
    weft_executor *executor = test_executor(1), *second = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(3000); round++) {
        weft_token *parent = token_make(round % 2 == 0 ? executor : second, NULL, WEFT_FOREVER, 0);
        weft_token *beside = token_make(second, round % 4 < 2 ? parent : NULL, WEFT_FOREVER, 0);
        const weft_group_options options = {.parent = parent, .limit = round % 3};
        const weft_submit_options with = {
            .token = beside, .free_arg = test_cell_free_arg, .free_value = test_cell_free_value};
        weft_group *group = group_make(executor, &options);
        test_cell *cells[CHILDREN];
        int answers[CHILDREN];
        rival_go(&other, cancel_token, round % 5 == 0 ? beside : parent);
        stagger(round);
        for (unsigned i = 0; i < CHILDREN; i++) {
            answers[i] = weft_group_submit_with(group, test_cell_run, cells[i] = cell_make(NULL, 0), &with);
            assert_true(answers[i] == 0 || (answers[i] == -ECANCELED && round % 5 != 0));
        }
        int code = weft_group_join(group);
        for (unsigned i = 0; i < CHILDREN; i++) {
            check_child(cells[i], answers[i]);
        }
        assert_true(code == 0 || (code == -ECANCELED && round % 5 != 0));
        assert_int_equal(weft_group_destroy(group), 0);
        rival_wait(&other);
        weft_token_release(beside);
        weft_token_release(parent);
    }
    rival_stop(&other);
    assert_tokens_soon(0);
    test_destroy(executor);
    test_destroy(second);
}

/* Submits from outside until the group says that it is over; the join meanwhile. One child at a time, so that the group
 * is empty again and again. */
struct feeder {
    weft_group *group;       /* by the test */
    weft_fn *fn;             /* by the test */
    unsigned accepted;       /* by the thread */
    int last;                /* by the thread: the answer that made it stop */
    _Atomic(unsigned) ran;   /* by the children */
    _Atomic(unsigned) freed; /* by free_arg */
};

static void *count_run(void *argument)
{
    struct feeder *self = argument;
    atomic_fetch_add_explicit(&self->ran, 1, memory_order_acq_rel);
    return NULL;
}

static void count_freed(void *argument)
{
    struct feeder *self = argument;
    atomic_fetch_add_explicit(&self->freed, 1, memory_order_acq_rel);
}

static void *feed(void *argument)
{
    struct feeder *self = argument;
    const weft_submit_options options = {.free_arg = count_freed};
    while ((self->last = weft_group_submit_with(self->group, self->fn, self, &options)) == 0) {
        self->accepted++;
        while (test_get(self->freed) != self->accepted) {
            sched_yield();
        }
    }
    return NULL;
}

static void test_grp_01_race_of_join_with_submits_from_outside(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    for (unsigned round = 0; round < test_rounds(1000); round++) {
        const weft_group_options options = {.limit = round % 3};
        struct feeder feeders[2] = {{.fn = count_run}, {.fn = count_run}};
        weft_group *group = group_make(executor, &options);
        feeders[0].group = feeders[1].group = group;
        pthread_t threads[] = {test_spawn(feed, &feeders[0]), test_spawn(feed, &feeders[1])};
        stagger(round);
        assert_int_equal(weft_group_join(group), 0);
        unsigned ran[] = {test_get(feeders[0].ran), test_get(feeders[1].ran)};
        unsigned freed[] = {test_get(feeders[0].freed), test_get(feeders[1].freed)};
        for (unsigned i = 0; i < 2; i++) {
            test_join(threads[i]);
            assert_int_equal(feeders[i].last, -EALREADY);
            assert_int_equal(feeders[i].accepted, ran[i]);
            assert_int_equal(test_get(feeders[i].ran), ran[i]);
            assert_int_equal(freed[i], ran[i]);
        }
        assert_int_equal(weft_group_destroy(group), 0);
    }
    test_destroy(executor);
}

/* A child that fails, a cancel and a join at once. */
static void test_grp_02_race_of_a_failure_with_cancel_and_join(void **state)
{
    enum { CHILDREN = 3 };
    static rival other;
    (void)state;
    weft_executor *executor = test_executor(2);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(5000); round++) {
        const weft_group_options options = {.limit = round % 3};
        weft_group *group = group_make(executor, &options);
        test_cell *cells[CHILDREN];
        int answers[CHILDREN];
        for (unsigned i = 0; i < CHILDREN; i++) {
            answers[i] = group_add(group, cells[i] = cell_make(NULL, i == round % CHILDREN ? 7 : 0));
        }
        rival_go(&other, cancel_group, group);
        stagger(round / 3);
        int code = weft_group_join(group);
        size_t n = 9;
        assert_non_null(weft_group_errors(group, &n));
        for (unsigned i = 0; i < CHILDREN; i++) {
            check_child(cells[i], answers[i]);
        }
        bool failed = test_get(cells[round % CHILDREN]->ran) != 0;
        assert_int_equal(n, failed ? 1 : 0);
        assert_int_equal(code, failed ? 7 : -ECANCELED);
        rival_wait(&other);
        assert_int_equal(weft_group_destroy(group), 0);
    }
    rival_stop(&other);
    test_destroy(executor);
}

/* All children fail at once, on several workers: each is in the list once, with its own number and code. */
static void test_grp_04_race_of_failures(void **state)
{
    enum { CHILDREN = 4 };
    (void)state;
    weft_executor *executor = test_executor(CHILDREN);
    for (unsigned round = 0; round < test_rounds(2000); round++) {
        weft_group *group = group_make(executor, NULL);
        test_gate *gate = test_gate_make();
        test_cell *cells[CHILDREN];
        bool seen[CHILDREN] = {false};
        for (int i = 0; i < CHILDREN; i++) {
            assert_int_equal(group_add(group, cells[i] = cell_make(gate, 20 + i)), 0);
        }
        assert_true(test_gate_await(gate, CHILDREN));
        test_gate_open(gate);
        int code = weft_group_join(group);
        size_t n = 0;
        const weft_outcome *errors = weft_group_errors(group, &n);
        assert_int_equal(n, CHILDREN);
        assert_int_equal(errors[0].error, code);
        for (unsigned i = 0; i < CHILDREN; i++) {
            assert_true(errors[i].index < CHILDREN && !seen[errors[i].index]);
            assert_slot(&errors[i], WEFT_FAILED, 20 + (int)errors[i].index, NULL);
            seen[errors[i].index] = true;
            check_child(cells[i], 0);
        }
        assert_int_equal(weft_group_destroy(group), 0);
    }
    test_destroy(executor);
}

/* A numbered failure keeps its number although others were refused before and after it. */
static void test_grp_04_race_of_numbers_with_refusals(void **state)
{
    static rival other;
    (void)state;
    weft_executor *executor = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(2000); round++) {
        weft_token *stop = token_make(executor, NULL, WEFT_FOREVER, 0);
        const weft_group_options options = {.parent = stop};
        weft_group *group = group_make(executor, &options);
        size_t accepted = 0;
        rival_go(&other, cancel_token, stop);
        test_cell *cells[6];
        int answers[6];
        for (unsigned i = 0; i < 6; i++) {
            answers[i] = group_add(group, cells[i] = cell_make(NULL, 100 + (int)accepted));
            accepted += answers[i] == 0;
        }
        int code = weft_group_join(group);
        size_t n = 9;
        const weft_outcome *errors = weft_group_errors(group, &n);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(errors[i].error, 100 + (int)errors[i].index);
        }
        assert_true(n > 0 ? code == errors[0].error : code == -ECANCELED || code == 0);
        for (unsigned i = 0; i < 6; i++) {
            check_child(cells[i], answers[i]);
        }
        assert_int_equal(weft_group_destroy(group), 0);
        rival_wait(&other);
        weft_token_release(stop);
    }
    rival_stop(&other);
    test_destroy(executor);
}

/* The deadline passes while children end and others are submitted. */
static void test_grp_11_race_of_the_deadline_with_ends_and_submits(void **state)
{
    enum { CHILDREN = 6 };
    (void)state;
    weft_executor *executor = test_executor(2);
    for (unsigned round = 0; round < test_rounds(2000); round++) {
        const weft_group_options options = {.limit = round % 3, .timeout = 1 + (int64_t)(round % 40) * 2000};
        weft_group *group = group_make(executor, &options);
        test_cell *cells[CHILDREN];
        int answers[CHILDREN];
        unsigned ran = 0;
        for (unsigned i = 0; i < CHILDREN; i++) {
            answers[i] = group_add(group, cells[i] = cell_make(NULL, 0));
            assert_true(answers[i] == 0 || answers[i] == -ECANCELED);
        }
        int code = weft_group_join(group);
        assert_true(code == 0 || code == -ETIMEDOUT);
        for (unsigned i = 0; i < CHILDREN; i++) {
            check_child(cells[i], answers[i]);
            ran += test_get(cells[i]->ran);
        }
        assert_true(code != 0 || ran == CHILDREN);
        assert_int_equal(weft_group_destroy(group), 0);
    }
    assert_timers_soon(0);
    test_destroy(executor);
}

/* Delayed children become due while the group is cancelled and joined. */
static void test_grp_10_race_of_delays_with_cancel(void **state)
{
    enum { CHILDREN = 4 };
    static rival other;
    (void)state;
    weft_executor *executor = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(2000); round++) {
        const weft_group_options options = {.limit = round % 3};
        weft_group *group = group_make(executor, &options);
        test_cell *cells[CHILDREN];
        int answers[CHILDREN];
        for (unsigned i = 0; i < CHILDREN; i++) {
            const weft_submit_options delayed = {.delay = 1 + (int64_t)((round + i * 7) % 30) * 2000,
                                                 .free_arg = test_cell_free_arg,
                                                 .free_value = test_cell_free_value};
            cells[i] = cell_make(NULL, 0);
            answers[i] = weft_group_submit_with(group, test_cell_run, cells[i], &delayed);
            assert_int_equal(answers[i], 0);
        }
        if (round % 4 != 0) {
            stagger(round);
            rival_go(&other, cancel_group, group);
        }
        int code = weft_group_join(group);
        for (unsigned i = 0; i < CHILDREN; i++) {
            check_child(cells[i], answers[i]);
            assert_int_equal(test_get(cells[i]->ran), code == 0 ? 1 : test_get(cells[i]->ran));
        }
        rival_wait(&other);
        assert_true(code == 0 || (code == -ECANCELED && round % 4 != 0));
        assert_int_equal(weft_group_destroy(group), 0);
    }
    rival_stop(&other);
    assert_timers_soon(0);
    test_destroy(executor);
}

/* Several join at once, one of them destroys as soon as all have come back; children end meanwhile on other workers. */
static void test_grp_01_race_of_joins(void **state)
{
    enum { JOINERS = 2 };
    (void)state;
    weft_executor *executor = test_executor(2);
    for (unsigned round = 0; round < test_rounds(1000); round++) {
        const weft_group_options options = {.limit = round % 2};
        weft_group *group = group_make(executor, &options);
        joiner joiners[JOINERS];
        pthread_t thread;
        test_cell *cells[4];
        test_latch *over = test_latch_make();
        for (unsigned i = 0; i < JOINERS; i++) {
            joiners[i] = (joiner){.group = group, .over = over};
        }
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(group_add(group, cells[i] = cell_make(NULL, 0)), 0);
        }
        weft_future *job = weft_submit(executor, join_group, &joiners[0]);
        thread = test_spawn(join_group, &joiners[1]);
        assert_int_equal(weft_group_join(group), 0);
        for (unsigned i = 0; i < 4; i++) {
            check_child(cells[i], 0);
            assert_int_equal(test_get(cells[i]->ran), 1);
        }
        test_join(thread);
        assert_int_equal(weft_await(job, NULL), 0);
        assert_int_equal(joiners[0].code | joiners[1].code, 0);
        assert_int_equal(weft_group_destroy(group), 0);
    }
    test_destroy(executor);
}

/* Shutdown in each mode while children are submitted and the group is joined. */
struct downfall {
    weft_executor *executor; /* by the test */
    weft_shutdown_mode mode; /* by the test */
};

static void shut_down(void *data)
{
    struct downfall *self = data;
    TEST_EXPECT(weft_executor_shutdown(self->executor, self->mode, WEFT_FOREVER) == 0);
}

static void test_shd_03_race_of_shutdown_with_submits(void **state)
{
    enum { CHILDREN = 12 };
    static rival other;
    (void)state;
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(600); round++) {
        struct downfall both = {test_executor(1 + round % 2), (weft_shutdown_mode)(round % 3)};
        const weft_group_options options = {.limit = round / 3 % 3};
        weft_group *group = group_make(both.executor, &options);
        test_cell *cells[CHILDREN];
        int answers[CHILDREN];
        rival_go(&other, shut_down, &both);
        stagger(round);
        for (unsigned i = 0; i < CHILDREN; i++) {
            answers[i] = group_add(group, cells[i] = cell_make(NULL, 0));
            assert_true(answers[i] == 0 || answers[i] == -ESHUTDOWN);
        }
        int code = weft_group_join(group);
        assert_true(code == 0 || (code == -ECANCELED && both.mode != WEFT_DRAIN));
        for (unsigned i = 0; i < CHILDREN; i++) {
            check_child(cells[i], answers[i]);
            assert_true(both.mode != WEFT_DRAIN || answers[i] != 0 || test_get(cells[i]->ran) == 1);
        }
        rival_wait(&other);
        assert_int_equal(weft_group_destroy(group), 0);
        test_destroy(both.executor);
    }
    rival_stop(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_grp_06_race_of_cancel_with_submits),
        TEST(test_grp_06_race_of_a_token_above_with_submits),
        TEST(test_grp_01_race_of_join_with_submits_from_outside),
        TEST(test_grp_02_race_of_a_failure_with_cancel_and_join),
        TEST(test_grp_04_race_of_failures),
        TEST(test_grp_04_race_of_numbers_with_refusals),
        TEST(test_grp_11_race_of_the_deadline_with_ends_and_submits),
        TEST(test_grp_10_race_of_delays_with_cancel),
        TEST(test_grp_01_race_of_joins),
        TEST(test_shd_03_race_of_shutdown_with_submits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
