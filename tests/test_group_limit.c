/* test_group_limit.c: section 16, groups with a limit (GRP-10), delays, priorities, max_pending, and what a shutdown
 * makes of children that run, are queued, or wait in the group.
 *
 * Discipline. How many run at once is counted by the children themselves; that no more do is seen when those that run
 * stand at a gate and the coordinator has acted on all that happened before. */
#include "scopes.h"

static weft_group *group_limited(weft_executor *executor, unsigned limit)
{
    const weft_group_options options = {.limit = limit};
    return group_make(executor, &options);
}

/* Children that count themselves. */
struct crowd {
    weft_group *group;        /* by the test */
    _Atomic(unsigned) inside; /* by the children */
    _Atomic(unsigned) most;   /* by the children */
    _Atomic(unsigned) ran;    /* by the children */
    unsigned limit;           /* by the test */
};

static void enter_crowd(struct crowd *crowd)
{
    unsigned inside = atomic_fetch_add_explicit(&crowd->inside, 1, memory_order_acq_rel) + 1;
    unsigned most = test_get(crowd->most);
    while (inside > most && !atomic_compare_exchange_weak_explicit(&crowd->most, &most, inside, memory_order_acq_rel,
                                                                   memory_order_acquire)) {
    }
    TEST_EXPECT(inside <= crowd->limit);
    for (unsigned i = 0; i < 20; i++) {
        sched_yield();
    }
    atomic_fetch_add_explicit(&crowd->ran, 1, memory_order_acq_rel);
    atomic_fetch_sub_explicit(&crowd->inside, 1, memory_order_acq_rel);
}

static void *be_in_crowd(void *argument)
{
    enter_crowd(argument);
    return NULL;
}

static void *join_crowd(void *argument)
{
    struct crowd *crowd = argument;
    TEST_EXPECT(weft_group_join(crowd->group) == 0);
    return NULL;
}

static void test_grp_10_never_more_than_the_limit(void **state)
{
    enum { CHILDREN = 200 };
    (void)state;
    for (unsigned limit = 1; limit <= 3; limit++) {
        for (unsigned in_job = 0; in_job < 2; in_job++) {
            weft_executor *executor = test_executor(4);
            struct crowd crowd = {.group = group_limited(executor, limit), .limit = limit};
            for (unsigned i = 0; i < CHILDREN; i++) {
                assert_int_equal(weft_group_submit(crowd.group, be_in_crowd, &crowd), 0);
            }
            if (in_job != 0) {
                assert_int_equal(weft_await(weft_submit(executor, join_crowd, &crowd), NULL), 0);
            }
            assert_joins(crowd.group, 0);
            assert_int_equal(test_get(crowd.ran), CHILDREN);
            test_destroy(executor);
        }
    }
}

/* As many as may run do, and the others take no worker. */
static void test_grp_10_as_many_as_the_limit_run(void **state)
{
    enum { CHILDREN = 6, LIMIT = 2 };
    (void)state;
    weft_executor *executor = test_executor(3);
    weft_group *group = group_limited(executor, LIMIT);
    test_gate *gate = test_gate_make();
    test_cell *cells[CHILDREN], *beside = cell_make(NULL, 0);
    for (unsigned i = 0; i < CHILDREN; i++) {
        assert_int_equal(group_add(group, cells[i] = cell_make(gate, 0)), 0);
    }
    assert_true(test_gate_await(gate, LIMIT));
    weft_future *other = submit(executor, beside);
    assert_done_soon(other);
    flush(executor);
    assert_int_equal(test_gate_reached(gate), LIMIT);
    test_gate_open(gate);
    assert_joins(group, 0);
    for (unsigned i = 0; i < CHILDREN; i++) {
        assert_ran(cells[i], 1);
    }
    weft_future_release(other);
    test_destroy(executor);
}

/* Those that wait start in the order of their submission. */
static _Atomic(unsigned) numbers_seen;

static void *note_number(void *number)
{
    TEST_EXPECT(atomic_fetch_add_explicit(&numbers_seen, 1, memory_order_acq_rel) == (unsigned)(uintptr_t)number);
    return NULL;
}

static void test_grp_10_of_one_keeps_the_order(void **state)
{
    enum { CHILDREN = 100 };
    (void)state;
    weft_executor *executor = test_executor(2);
    weft_group *group = group_limited(executor, 1);
    atomic_store_explicit(&numbers_seen, 0, memory_order_release);
    for (unsigned i = 0; i < CHILDREN; i++) {
        assert_int_equal(weft_group_submit(group, note_number, (void *)(uintptr_t)i), 0);
    }
    assert_joins(group, 0);
    assert_int_equal(test_get(numbers_seen), CHILDREN);
    test_destroy(executor);
}

/* Children that submit to the group which holds them back. */
struct nest {
    struct crowd crowd;
    _Atomic(unsigned) left; /* how many may still be submitted */
};

static void *submit_two_more(void *argument)
{
    struct nest *nest = argument;
    for (unsigned i = 0; i < 2; i++) {
        unsigned left = test_get(nest->left);
        while (left != 0 && !atomic_compare_exchange_weak_explicit(&nest->left, &left, left - 1, memory_order_acq_rel,
                                                                   memory_order_acquire)) {
        }
        if (left != 0) {
            TEST_EXPECT(weft_group_submit(nest->crowd.group, submit_two_more, nest) == 0);
        }
    }
    enter_crowd(&nest->crowd);
    return NULL;
}

static void test_grp_10_children_submit_under_the_limit(void **state)
{
    enum { CHILDREN = 500 };
    (void)state;
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        weft_executor *executor = test_executor(workers);
        struct nest nest = {.crowd = {.group = group_limited(executor, workers == 4 ? 2 : 1), .limit = 2},
                            .left = CHILDREN};
        nest.crowd.limit = workers == 4 ? 2 : 1;
        assert_int_equal(weft_group_submit(nest.crowd.group, submit_two_more, &nest), 0);
        assert_joins(nest.crowd.group, 0);
        assert_int_equal(test_get(nest.crowd.ran), CHILDREN + 1);
        test_destroy(executor);
    }
}

/* Places that come free in other ways than by a return. */
static void *end_thread(void *argument)
{
    (void)argument;
    pthread_exit(NULL);
}

static void test_grp_10_a_child_that_ends_its_thread_gives_its_place_back(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_group *group = group_limited(executor, 1);
    test_cell *cells[3];
    test_gate *gate = test_gate_make();
    assert_int_equal(group_add(group, cells[0] = cell_make(gate, -ECANCELED)), 0);
    assert_int_equal(weft_group_submit(group, end_thread, NULL), 0);
    assert_int_equal(group_add(group, cells[1] = cell_make(NULL, 0)), 0);
    assert_int_equal(group_add(group, cells[2] = cell_make(NULL, 0)), 0);
    test_gate_open(gate);
    assert_joins(group, -EOWNERDEAD);
    assert_ran(cells[0], 0);
    for (unsigned i = 1; i < 3; i++) { /* run before the request was carried to it, or never */
        assert_int_equal(test_get(cells[i]->arg_freed), 1);
        assert_int_equal(test_get(cells[i]->value_freed), test_get(cells[i]->ran));
    }
    test_destroy(executor);
}

/* One that is queued, let in or waiting, is cancelled alone by a token of its own: the next one comes in. */
static void test_grp_10_cancelled_children_give_their_places_back(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    weft_group *group = group_limited(executor, 1);
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
    weft_submit_options options = {.token = token, .free_arg = test_cell_free_arg};
    test_cell *cells[4];
    for (unsigned i = 0; i < 4; i++) {
        cells[i] = cell_make(NULL, 0);
        assert_int_equal(i % 2 == 0 ? weft_group_submit_with(group, test_cell_run, cells[i], &options)
                                    : group_add(group, cells[i]),
                         0);
    }
    weft_token_cancel(token);
    flush(executor);
    assert_discarded(cells[0]);
    assert_discarded(cells[2]);
    test_unblock(gate);
    assert_joins(group, 0);
    assert_ran(cells[1], 1);
    assert_ran(cells[3], 1);
    weft_token_release(token);
    test_destroy(executor);
}

static void test_grp_10_cancel_discards_those_that_wait(void **state)
{
    enum { WAITING = 20 };
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        world here = world_make(2);
        const weft_group_options options = {.limit = 1, .timeout = 10 * MS};
        weft_group *group = group_make(here.executor, &options);
        test_gate *gate = test_gate_make();
        test_cell *first = cell_make(gate, way == 2 ? 7 : 0), *cells[WAITING];
        assert_int_equal(group_add(group, first), 0);
        assert_true(test_gate_await(gate, 1));
        for (unsigned i = 0; i < WAITING; i++) {
            assert_int_equal(group_add(group, cells[i] = cell_make(NULL, 0)), 0);
        }
        if (way == 0) {
            weft_group_cancel(group);
        } else if (way == 1) {
            weft_manual_clock_advance(here.clock, 10 * MS + TICK);
        }
        flush(here.executor);
        for (unsigned i = 0; way < 2 && i < WAITING; i++) {
            assert_discarded(cells[i]);
        }
        test_gate_open(gate);
        const int codes[] = {-ECANCELED, -ETIMEDOUT, 7};
        assert_joins(group, codes[way]);
        assert_ran(first, way == 2 ? 0 : 1);
        for (unsigned i = 0; i < WAITING; i++) {
            assert_int_equal(test_get(cells[i]->arg_freed), 1);
            assert_int_equal(test_get(cells[i]->value_freed), test_get(cells[i]->ran));
        }
        assert_timers_soon(0);
        world_end(here);
    }
}

/* Delays. */

static int add_delayed(weft_group *group, test_cell *cell, int64_t delay)
{
    weft_submit_options options = {.delay = delay, .free_arg = test_cell_free_arg, .free_value = test_cell_free_value};
    return weft_group_submit_with(group, test_cell_run, cell, &options);
}

static void test_grp_10_a_delayed_child_counts_when_it_is_due(void **state)
{
    (void)state;
    world here = world_make(2);
    weft_group *group = group_limited(here.executor, 1);
    test_gate *gate = test_gate_make();
    test_cell *delayed = cell_make(NULL, 0), *first = cell_make(NULL, 0), *second = cell_make(gate, 0);
    assert_int_equal(add_delayed(group, delayed, 10 * MS), 0);
    assert_int_equal(group_add(group, first), 0);
    assert_int_equal(group_add(group, second), 0);
    assert_true(test_gate_await(gate, 1));
    assert_int_equal(test_get(first->returned), 1);
    joiner other = {.group = group, .over = test_latch_make()};
    pthread_t thread = test_spawn(join_group, &other);
    weft_manual_clock_advance(here.clock, 10 * MS - 1);
    flush(here.executor);
    assert_int_equal(test_get(delayed->ran), 0);
    weft_manual_clock_advance(here.clock, 1 + TICK);
    flush(here.executor);
    assert_timers_soon(0);
    assert_int_equal(test_get(delayed->ran), 0);
    test_gate_open(gate);
    test_join(thread);
    assert_int_equal(other.code, 0);
    assert_ran(delayed, 1);
    assert_ran(first, 1);
    assert_ran(second, 1);
    assert_int_equal(weft_group_destroy(group), 0);
    world_end(here);
}

/* The join waits for a delayed child, and a request ends it without waiting for its time. */
static void test_grp_10_delayed_children_are_stopped_at_once(void **state)
{
    (void)state;
    for (unsigned limit = 0; limit < 2; limit++) {
        world here = world_make(1);
        weft_group *group = group_limited(here.executor, limit);
        test_cell *cells[] = {cell_make(NULL, 0), cell_make(NULL, 0), cell_make(NULL, 0)};
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(add_delayed(group, cells[i], 3600 * 1000 * MS), 0);
        }
        assert_int_equal(add_delayed(group, cells[2], WEFT_FOREVER), 0);
        joiner other = {.group = group, .over = test_latch_make()};
        pthread_t thread = test_spawn(join_group, &other);
        assert_false(test_latch_wait_for(other.over, 1, 20 * MS));
        weft_group_cancel(group);
        test_join(thread);
        assert_int_equal(other.code, -ECANCELED);
        for (unsigned i = 0; i < 3; i++) {
            assert_discarded(cells[i]);
        }
        assert_timers_soon(0);
        assert_int_equal(weft_group_destroy(group), 0);
        world_end(here);
    }
}

/* A join in a job of the only worker: it must not keep the delayed child from its worker. */
static void test_grp_10_a_job_joins_a_delayed_child(void **state)
{
    (void)state;
    world here = world_make(1);
    struct crowd crowd = {.group = group_limited(here.executor, 1), .limit = 1};
    test_cell *delayed = cell_make(NULL, 0);
    assert_int_equal(add_delayed(crowd.group, delayed, 10 * MS), 0);
    weft_future *job = weft_submit(here.executor, join_crowd, &crowd);
    assert_pending(here.executor, job);
    weft_manual_clock_advance(here.clock, 10 * MS + TICK);
    assert_done_soon(job);
    assert_ran(delayed, 1);
    weft_future_release(job);
    assert_joins(crowd.group, 0);
    world_end(here);
}

/* Priorities and max_pending. */

struct noted {
    test_log *log; /* by the test */
    int number;    /* by the test */
};

static void *note_job(void *argument)
{
    struct noted *self = argument;
    test_note(self->log, self->number);
    return NULL;
}

static void test_group_children_have_priorities(void **state)
{
    const weft_priority priorities[] = {WEFT_LOW, WEFT_NORMAL, WEFT_HIGH, WEFT_NORMAL};
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    weft_group *group = group_make(executor, NULL);
    test_log *log = test_log_make();
    struct noted jobs[4];
    for (int i = 0; i < 4; i++) {
        const weft_submit_options options = {.priority = priorities[i]};
        jobs[i] = (struct noted){log, i};
        assert_int_equal(weft_group_submit_with(group, note_job, &jobs[i], &options), 0);
    }
    test_unblock(gate);
    assert_joins(group, 0);
    assert_log(log, 2, 1, 3, 0);
    test_destroy(executor);
}

static void *submit_many_to(void *group)
{
    for (unsigned i = 0; i < 10; i++) {
        TEST_EXPECT(weft_group_submit(group, test_job_return_arg, NULL) == 0);
    }
    return NULL;
}

static void test_mem_04_a_group_heeds_max_pending(void **state)
{
    (void)state;
    for (unsigned limit = 0; limit < 2; limit++) {
        const weft_executor_options options = {.workers = 1, .max_pending = 2};
        weft_executor *executor = test_executor_with(&options);
        test_gate *gate = test_block(executor, 1);
        weft_group *group = group_limited(executor, limit);
        test_cell *cells[5];
        unsigned accepted = 0;
        for (unsigned i = 0; i < 5; i++) {
            int answer = group_add(group, cells[i] = cell_make(NULL, 0));
            assert_true(answer == 0 || answer == -EAGAIN);
            assert_true(limit != 0 || answer == (i < 2 ? 0 : -EAGAIN));
            accepted += answer == 0;
            cells[i]->code = answer == 0 ? 0 : 1;
        }
        test_unblock(gate);
        while (test_counters().futures != test_base().futures) {
            sched_yield();
        }
        assert_true(accepted >= 2);
        assert_int_equal(weft_group_submit(group, submit_many_to, group), 0);
        assert_joins(group, 0);
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(test_get(cells[i]->ran), cells[i]->code == 0 ? 1 : 0);
            assert_int_equal(test_get(cells[i]->arg_freed), cells[i]->code == 0 ? 1 : 0);
        }
        test_destroy(executor);
    }
}

/* Shutdown. */

enum { RUNNING = 2, BEHIND = 10 };

struct shut {
    weft_executor *executor; /* by the test */
    int mode;                /* by the test */
};

static void *shut_down(void *argument)
{
    struct shut *self = argument;
    TEST_EXPECT(weft_executor_shutdown(self->executor, (weft_shutdown_mode)self->mode, WEFT_FOREVER) == 0);
    return NULL;
}

static bool refuses(void *group)
{
    test_cell *late = cell_make(NULL, 0);
    return weft_group_submit(group, test_cell_run, late) == -ESHUTDOWN;
}

/* limit 0: those behind are in the queues, else they wait in the group; one is delayed. */
static void shut_down_with_children(int mode, unsigned limit)
{
    world here = world_make(RUNNING);
    weft_group *group = group_limited(here.executor, limit);
    test_gate *gate = test_gate_make();
    test_cell *running[RUNNING], *behind[BEHIND], *delayed = cell_make(NULL, 0);
    unsigned n = limit == 1 ? 1 : RUNNING;
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(group_add(group, running[i] = cell_make(gate, 0)), 0);
    }
    assert_true(test_gate_await(gate, n));
    test_gate *rest = test_block(here.executor, RUNNING - n);
    for (unsigned i = 0; i < BEHIND; i++) {
        assert_int_equal(group_add(group, behind[i] = cell_make(NULL, 0)), 0);
    }
    assert_int_equal(add_delayed(group, delayed, 3600 * 1000 * MS), 0);
    struct shut both = {here.executor, mode};
    pthread_t thread = test_spawn(shut_down, &both);
    assert_true(test_until(refuses, group));
    if (mode != WEFT_DRAIN && limit == 0) { /* what is queued does not wait for what runs */
        while (test_get(behind[BEHIND - 1]->arg_freed) == 0) {
            sched_yield();
        }
    }
    test_gate_open(gate);
    test_unblock(rest);
    test_join(thread);
    for (unsigned i = 0; i < n; i++) {
        assert_ran(running[i], 1);
        assert_int_equal(test_get(running[i]->saw_cancel), mode == WEFT_CANCEL_ALL);
    }
    for (unsigned i = 0; i < BEHIND; i++) {
        if (mode == WEFT_DRAIN) {
            assert_ran(behind[i], 1);
        } else {
            assert_discarded(behind[i]);
        }
    }
    assert_discarded(delayed);
    assert_timers_soon(0);
    int code = weft_group_join(group);
    assert_true(code == 0 || code == -ECANCELED);
    assert_int_equal(weft_group_destroy(group), 0);
    world_end(here);
}

static void test_shd_02_children_are_drained(void **state)
{
    (void)state;
    for (unsigned limit = 0; limit < 3; limit++) {
        shut_down_with_children(WEFT_DRAIN, limit);
    }
}

static void test_shd_03_children_are_cancelled(void **state)
{
    (void)state;
    for (unsigned limit = 0; limit < 3; limit++) {
        shut_down_with_children(WEFT_CANCEL_PENDING, limit);
        shut_down_with_children(WEFT_CANCEL_ALL, limit);
    }
}

/* SHD-09: what children submit while it drains is accepted, also what waits under the limit; the drain waits for it. */
static void test_shd_09_children_submit_while_it_drains(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 2; workers++) {
        weft_executor *executor = test_executor(workers);
        struct nest nest = {.crowd = {.group = group_limited(executor, 1), .limit = 1}, .left = 100};
        test_gate *gate = test_block(executor, workers);
        assert_int_equal(weft_group_submit(nest.crowd.group, submit_two_more, &nest), 0);
        assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT);
        test_unblock(gate);
        assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
        assert_int_equal(test_get(nest.crowd.ran), 101);
        assert_joins(nest.crowd.group, 0);
        test_destroy(executor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_grp_10_never_more_than_the_limit),
        TEST(test_grp_10_as_many_as_the_limit_run),
        TEST(test_grp_10_of_one_keeps_the_order),
        TEST(test_grp_10_children_submit_under_the_limit),
        TEST(test_grp_10_a_child_that_ends_its_thread_gives_its_place_back),
        TEST(test_grp_10_cancelled_children_give_their_places_back),
        TEST(test_grp_10_cancel_discards_those_that_wait),
        TEST(test_grp_10_a_delayed_child_counts_when_it_is_due),
        TEST(test_grp_10_delayed_children_are_stopped_at_once),
        TEST(test_grp_10_a_job_joins_a_delayed_child),
        TEST(test_group_children_have_priorities),
        TEST(test_mem_04_a_group_heeds_max_pending),
        TEST(test_shd_02_children_are_drained),
        TEST(test_shd_03_children_are_cancelled),
        TEST(test_shd_09_children_submit_while_it_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
