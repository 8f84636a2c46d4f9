/* test_overlooked.c: what all other tests would miss. Each case here was written because a fault that was put into the
 * library (tests/faults) had gone unnoticed.
 *
 * Discipline. Two threads that must meet in a certain place are not raced but led there, in one of two ways. A then that
 * an outcome passes through calls its free_arg in the frame of who resolves its input: what is resolved in there is done
 * at once, and those who wait for it are told when the outer call goes on. And at a point (points.h) of one thread
 * something is done that another one could have done at that moment, at each point of a call in turn; a build without
 * points has nothing to do there. */
#include "fixtures.h"
#include "points.h"

#include "future.h"

/* How often the points of the coordinator are gone through: which of them is the k-th is not always the same. */
enum { SWEEPS = 10 };

static void *never(void *value, void *data)
{
    (void)data;
    TEST_FAIL("a function that must not run");
    return value;
}

/* Calls act(data) while a promise of that executor is being rejected. */
static void reject_around(weft_executor *executor, void (*act)(void *data), void *data)
{
    weft_submit_options options = {.free_arg = act};
    inputs in = inputs_make(executor, 1);
    weft_future *then = weft_then_with(in.future[0], never, data, &options);
    assert_non_null(then);
    assert_int_equal(weft_promise_reject(in.promise[0], 5), 0);
    assert_err(then, 5);
    weft_future_release(then);
    inputs_free(&in);
}

/* ---- the order of work ---- */

enum { MOST_LINKS = 100000 };

typedef struct chain {
    _Atomic(bool) cut;       /* by the stranger */
    _Atomic(unsigned) links; /* jobs that ran */
} chain;

static void *link_until_cut(void *argument)
{
    chain *c = argument;
    unsigned n = atomic_fetch_add_explicit(&c->links, 1, memory_order_acq_rel);
    if (!test_get(c->cut) && n < MOST_LINKS)
        TEST_EXPECT(weft_execute(weft_executor_current(), link_until_cut, c) == 0);
    return NULL;
}

static void *cut_chain(void *argument)
{
    chain *c = argument;
    atomic_store_explicit(&c->cut, true, memory_order_release);
    return NULL;
}

/* The worker always has a younger job of its own. */
static void test_exe_07_a_strangers_job_starts_while_jobs_submit_jobs(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    chain c = {false, 0};
    test_gate *gate = test_block(executor, 1);
    assert_int_equal(weft_execute(executor, link_until_cut, &c), 0);
    weft_future *stranger = weft_submit(executor, cut_chain, &c);
    test_unblock(gate);
    assert_done_soon(stranger);
    weft_future_release(stranger);
    test_destroy(executor);
    assert_true(test_get(c.links) < MOST_LINKS);
}

/* ---- shutdown ---- */

/* ---- a push that is not tied yet ---- */

static bool is_asleep(void *executor)
{
    return atomic_load_explicit(&((weft_executor *)executor)->idle.groups[0].word, memory_order_relaxed) >> 16 != 0;
}

/* A producer has looked for sleepers before there was one, and its last store has not arrived. A worker has gone to sleep
 * because the coordinator served the queue just then. So the coordinator, to which the queue looks empty, and the
 * queues after it are empty, is who must wake it. */
static void test_shd_03_a_job_is_being_queued_when_the_coordinator_looks(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft__inject_shard *shard = &executor->inject[WEFT_NORMAL].shards[0];
    weft_future *warm = weft_submit(executor, test_job_return_arg, NULL);
    assert_done_soon(warm);
    weft_future_release(warm);
    weft_future *job = weft__job_new(executor, &weft__job_ops, test_job_return_arg, executor, NULL, 2);
    assert_non_null(job);
    assert_true(test_until(is_asleep, executor));
    weft__count_for(executor, offsetof(weft__counts, submitted), 1);
    atomic_store_explicit(&job->link.next, NULL, memory_order_relaxed);
    uintptr_t before = atomic_exchange_explicit(&shard->tail, (uintptr_t)&job->link, memory_order_seq_cst);
    assert_null(weft__work_take_any(executor));
    atomic_store_explicit(&((weft__link *)before)->next, &job->link, memory_order_release);
    assert_done_soon(job);
    weft_future_release(job);
    test_destroy(executor);
}

typedef struct relay {
    uint64_t k; /* at which point of the coordinator the first job hands over */
    test_gate *first, *second;
    test_latch *armed, *handed_over;
    weft_promise *promise; /* for the second job to keep: that it can is how one sees that it counted */
    _Atomic(bool) came;    /* by the coordinator */
} relay;

static void *run_second(void *argument)
{
    relay *r = argument;
    test_latch_hit(r->handed_over);
    test_gate_pass(r->second);
    TEST_EXPECT(weft_promise_resolve(r->promise, r, NULL) == 0);
    TEST_EXPECT(weft_execute(weft_executor_current(), test_job_return_arg, NULL) == 0);
    return NULL;
}

static void *run_first(void *argument)
{
    relay *r = argument;
    test_gate_pass(r->first);
    TEST_EXPECT(weft_execute(weft_executor_current(), run_second, r) == 0);
    return NULL;
}

static void hand_over(void *data)
{
    relay *r = data;
    atomic_store_explicit(&r->came, true, memory_order_release);
    test_gate_open(r->first);
    test_latch_wait(r->handed_over, 1);
}

static int hand_over_at(weft_future *future, void *data)
{
    relay *r = data;
    (void)future;
    points_at(r->k, hand_over, r);
    test_latch_hit(r->armed);
    return 0;
}

/* One job submits the next and ends, while the coordinator looks whether there is any left. */
static bool relay_in_shutdown(uint64_t k)
{
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    relay r = {k, test_gate_make(), test_gate_make(), test_latch_make(), test_latch_make(), in.promise[0], false};
    weft_future *done = test_done_future(executor);
    assert_int_equal(weft_execute(executor, run_first, &r), 0);
    assert_true(test_gate_await(r.first, 1));
    assert_int_equal(weft_on_done(done, hand_over_at, &r, NULL), 0);
    assert_true(test_latch_wait(r.armed, 1));
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT);
    flush(executor);
    bool came = test_get(r.came);
    test_gate_open(r.first);
    assert_true(test_latch_wait(r.handed_over, 1));
    test_gate_open(r.second);
    weft_future_release(done);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_ok(in.future[0], &r);
    inputs_free(&in);
    test_destroy(executor);
    return came;
}

static void test_shd_02_a_job_hands_over_at_each_point_of_a_drain(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SWEEPS; i++)
        for (uint64_t k = 1; relay_in_shutdown(k); k++)
            ;
}

typedef struct latecomer {
    weft_executor *executor;
    uint64_t k;            /* at which point of the coordinator it is made */
    bool came;             /* by the coordinator, as the next two; read when it has shut down */
    weft_promise *promise; /* NULL: refused */
    weft_future *future;
} latecomer;

static void come_late(void *data)
{
    latecomer *l = data;
    l->came = true;
    l->promise = weft_promise_create(l->executor);
    if (l->promise)
        l->future = weft_promise_future(l->promise);
}

static int come_late_at(weft_future *future, void *data)
{
    latecomer *l = data;
    (void)future;
    points_at(l->k, come_late, l);
    return 0;
}

/* A promise is made at the k-th point of the coordinator after the last callback. */
static bool promise_in_shutdown(uint64_t k)
{
    latecomer l = {.executor = test_executor(1), .k = k};
    weft_future *done = test_done_future(l.executor);
    assert_int_equal(weft_on_done(done, come_late_at, &l, NULL), 0);
    assert_int_equal(weft_executor_shutdown(l.executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    if (l.promise) {
        assert_cancelled(l.future, WEFT_REASON_SHUTDOWN);
        weft_future_release(l.future);
        weft_promise_destroy(l.promise);
    }
    weft_future_release(done);
    test_destroy(l.executor);
    return l.came;
}

static void test_shd_11_a_promise_made_at_each_point_of_a_shutdown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SWEEPS; i++)
        for (uint64_t k = 1; promise_in_shutdown(k); k++)
            ;
}

enum { SLEEPS = 200 }; /* more than a walk has room for */

typedef struct sleeper {
    test_latch *started;
    weft_future *sleeps[SLEEPS];
} sleeper;

static void *wait_for_all_sleeps(void *argument)
{
    sleeper *s = argument;
    test_latch_hit(s->started);
    TEST_EXPECT(weft_wait(s->sleeps, SLEEPS, WEFT_ALL_COMPLETED, WEFT_FOREVER, NULL) == 0);
    return NULL;
}

static void test_shd_11_a_draining_job_waits_for_many_sleeps(void **state)
{
    (void)state;
    static sleeper s;
    weft_executor *executor = test_executor(1);
    s.started = test_latch_make();
    for (size_t i = 0; i < SLEEPS; i++)
        s.sleeps[i] = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
    assert_int_equal(weft_execute(executor, wait_for_all_sleeps, &s), 0);
    assert_true(test_latch_wait(s.started, 1));
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    for (size_t i = 0; i < SLEEPS; i++) {
        assert_cancelled(s.sleeps[i], WEFT_REASON_SHUTDOWN);
        weft_future_release(s.sleeps[i]);
    }
    test_destroy(executor);
}

static void *look_behind_gate(void *gate)
{
    test_gate_pass(gate);
    TEST_EXPECT(weft_cancelled());
    return NULL;
}

/* The job that it waits for runs on its stack, and looks first. */
static void *wait_and_look(void *gate)
{
    weft_future *inner = weft_submit(weft_executor_current(), look_behind_gate, gate);
    TEST_EXPECT(weft_future_wait(inner, WEFT_FOREVER) == 0);
    TEST_EXPECT(weft_cancelled());
    weft_future_release(inner);
    return NULL;
}

static void test_shd_03_each_job_on_a_stack_sees_it(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_gate_make();
    assert_int_equal(weft_execute(executor, wait_and_look, gate), 0);
    assert_true(test_gate_await(gate, 1));
    assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_ALL, 0), -ETIMEDOUT);
    test_gate_open(gate);
    test_destroy(executor);
}

typedef struct mover {
    weft_clock *clock;
    _Atomic(bool) over; /* by the test */
} mover;

static void *move_until_over(void *argument)
{
    mover *m = argument;
    while (!test_get(m->over))
        weft_manual_clock_advance(m->clock, 1);
    return NULL;
}

/* What goes wrong here is seen by AddressSanitizer. */
static void test_exe_12_executors_end_while_their_clock_moves(void **state)
{
    (void)state;
    mover m = {.clock = weft_manual_clock_create()};
    pthread_t thread = test_spawn(move_until_over, &m);
    for (unsigned i = test_rounds(200); i > 0; i--)
        test_destroy(test_executor_clock(1, m.clock));
    atomic_store_explicit(&m.over, true, memory_order_release);
    test_join(thread);
    weft_clock_destroy(m.clock);
}

/* ---- who waits for a future ---- */

typedef struct noted {
    test_log *log;
    int entry;
} noted;

static int note_entry(weft_future *future, void *data)
{
    const noted *n = data;
    (void)future;
    test_note(n->log, n->entry);
    return 0;
}

/* Of three callbacks each set is removed, and then another one is added. */
static void test_cbk_02_added_after_some_were_removed(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (unsigned set = 0; set < 8; set++) {
        inputs in = inputs_make(executor, 1);
        test_log *log = test_log_make();
        noted n[4];
        weft_callback *handle[4];
        int left[4], k = 0;
        for (int i = 0; i < 4; i++) {
            for (unsigned r = 0; i == 3 && r < 3; r++)
                if (set >> r & 1)
                    assert_int_equal(weft_callback_remove(handle[r]), 0);
            n[i] = (noted){log, i};
            assert_int_equal(weft_on_done(in.future[0], note_entry, &n[i], &handle[i]), 0);
            if (i == 3 || !(set >> i & 1))
                left[k++] = i;
        }
        assert_int_equal(weft_promise_resolve(in.promise[0], NULL, NULL), 0);
        assert_true(test_log_wait(log, (size_t)k));
        flush(executor);
        test_assert_log(log, left, (size_t)k, __FILE__, __LINE__);
        for (int i = 0; i < 4; i++)
            if (i == 3 || !(set >> i & 1))
                assert_int_equal(weft_callback_remove(handle[i]), -EALREADY);
        inputs_free(&in);
    }
    test_destroy(executor);
}

typedef struct meeting {
    weft_clock *clock;
    weft_promise *promise;
    weft_future *future, *derived;
} meeting;

/* The future is done, and what hangs on it has not been told. */
static void resolve_and_pass_the_deadline(void *data)
{
    meeting *m = data;
    TEST_EXPECT(weft_promise_resolve(m->promise, m, NULL) == 0);
    TEST_EXPECT(weft_future_done(m->future));
    weft_manual_clock_advance(m->clock, WEFT_SECONDS(2));
    TEST_EXPECT(weft_future_state(m->derived) != WEFT_TIMED_OUT);
}

static void test_wfo_01_a_result_that_is_there_wins(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    inputs in = inputs_make(executor, 1);
    meeting m = {clock, in.promise[0], in.future[0], weft_wait_for(in.future[0], WEFT_SECONDS(1), 0)};
    assert_non_null(m.derived);
    reject_around(executor, resolve_and_pass_the_deadline, &m);
    assert_done_soon(m.derived);
    assert_ok(m.derived, &m);
    weft_future_release(m.derived);
    inputs_free(&in);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void resolve_and_drop(void *data)
{
    meeting *m = data;
    TEST_EXPECT(weft_promise_resolve(m->promise, m->future, NULL) == 0);
    weft_future_release(m->derived);
}

/* The outer future is done, with the inner one as its value, when the flatten is dropped. */
static void test_thn_03_dropped_before_it_is_told(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 2);
    meeting m = {NULL, in.promise[0], in.future[1], weft_flatten(in.future[0])};
    assert_non_null(m.derived);
    reject_around(executor, resolve_and_drop, &m);
    assert_true(test_until_counters(2, 0, 0)); /* it follows nothing */
    inputs_free(&in);
    test_destroy(executor);
}

/* ---- at each point ---- */

static void hit_hook(void *latch)
{
    test_latch_hit(latch);
}

typedef struct visit {
    weft_token *token;
    test_latch *spread; /* hit when the coordinator has seen to all that hangs on the token */
    weft_future *then;
} visit;

static void cancel_token(void *data)
{
    visit *v = data;
    weft_token_cancel(v->token);
    test_latch_wait_for(v->spread, 1, WEFT_SECONDS(1));
}

/* A token is cancelled, and its members are gone through, while a job joins it. True: it had come so far. */
static bool cancel_in_submit(weft_executor *executor, uint64_t k, int64_t delay)
{
    test_cell cell = {.code = 0};
    visit v = {weft_token_create(executor, NULL, WEFT_FOREVER, 0), test_latch_make(), NULL};
    assert_int_equal(weft_token_on_cancel(v.token, hit_hook, v.spread, NULL), 0);
    weft_submit_options options = {.token = v.token, .delay = delay, .free_arg = test_cell_free_arg};
    points_at(k, cancel_token, &v);
    weft_future *job = weft_submit_with(executor, test_cell_run, &cell, &options);
    bool reached = points_reached();
    assert_non_null(job);
    if (!reached)
        weft_token_cancel(v.token);
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_USER);
    assert_int_equal(test_get(cell.ran), 0);
    assert_int_equal(test_get(cell.arg_freed), 1);
    assert_timers_soon(0);
    weft_future_release(job);
    weft_token_release(v.token);
    return reached;
}

static void test_can_11_cancelled_at_each_point_of_a_submit(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    for (uint64_t k = 1; cancel_in_submit(executor, k, 0); k++)
        ;
    for (uint64_t k = 1; cancel_in_submit(executor, k, WEFT_SECONDS(3600)); k++)
        ;
    test_unblock(gate);
    test_destroy(executor);
}

static void cancel_then(void *data)
{
    visit *v = data;
    weft_cancel(v->then);
}

/* A delayed then is cancelled while its input becomes done. */
static bool cancel_in_resolve(weft_executor *executor, uint64_t k)
{
    weft_submit_options options = {.delay = WEFT_SECONDS(3600)};
    inputs in = inputs_make(executor, 1);
    visit v = {.then = weft_then_with(in.future[0], never, NULL, &options)};
    points_at(k, cancel_then, &v);
    assert_int_equal(weft_promise_resolve(in.promise[0], NULL, NULL), 0);
    bool reached = points_reached();
    if (!reached)
        assert_int_equal(weft_cancel(v.then), WEFT_CANCEL_DONE);
    assert_cancelled(v.then, WEFT_REASON_USER);
    assert_timers_soon(0);
    weft_future_release(v.then);
    inputs_free(&in);
    return reached;
}

static void test_thn_04_cancelled_at_each_point_of_the_inputs_end(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    for (uint64_t k = 1; cancel_in_resolve(executor, k); k++)
        ;
    test_destroy(executor);
}

typedef struct overtaking {
    weft_clock *clock;
    weft_executor *executor;
    uint64_t k;
    noted near, far; /* what the callbacks of the sleeps note */
    test_latch *armed;
    weft_future *sleep; /* by the coordinator; NULL: it was not made */
    _Atomic(bool) came; /* by the coordinator */
} overtaking;

/* It is on its way when its time comes, and that of a later one. */
static void sleep_and_move(void *data)
{
    overtaking *o = data;
    o->sleep = weft_sleep(o->executor, 10 * MS, NULL);
    TEST_EXPECT(weft_on_done(o->sleep, note_entry, &o->near, NULL) == 0);
    weft_manual_clock_advance(o->clock, 20 * MS);
    atomic_store_explicit(&o->came, true, memory_order_release);
}

static int sleep_and_move_at(weft_future *future, void *data)
{
    overtaking *o = data;
    (void)future;
    points_at(o->k, sleep_and_move, o);
    test_latch_hit(o->armed);
    return 0;
}

static bool overtake(uint64_t k)
{
    overtaking o = {.clock = weft_manual_clock_create(), .k = k, .armed = test_latch_make()};
    o.executor = test_executor_clock(1, o.clock);
    o.near = (noted){test_log_make(), 1};
    o.far = (noted){o.near.log, 2};
    weft_future *later = weft_sleep(o.executor, 15 * MS, NULL), *done = test_done_future(o.executor);
    assert_int_equal(weft_on_done(later, note_entry, &o.far, NULL), 0);
    assert_int_equal(weft_on_done(done, sleep_and_move_at, &o, NULL), 0);
    assert_true(test_latch_wait(o.armed, 1));
    flush(o.executor);
    bool came = test_get(o.came);
    if (came) {
        assert_true(test_log_wait(o.near.log, 2));
        assert_log(o.near.log, 1, 2);
    }
    weft_future_release(later);
    weft_future_release(done);
    test_destroy(o.executor);
    weft_future_release(o.sleep);
    weft_clock_destroy(o.clock);
    return came;
}

static void test_slp_05_a_sleep_made_at_each_point_of_the_coordinator(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SWEEPS; i++)
        for (uint64_t k = 1; overtake(k); k++)
            ;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_exe_07_a_strangers_job_starts_while_jobs_submit_jobs),
        TEST(test_shd_03_a_job_is_being_queued_when_the_coordinator_looks),
        TEST(test_shd_02_a_job_hands_over_at_each_point_of_a_drain),
        TEST(test_shd_11_a_promise_made_at_each_point_of_a_shutdown),
        TEST(test_shd_11_a_draining_job_waits_for_many_sleeps),
        TEST(test_shd_03_each_job_on_a_stack_sees_it),
        TEST(test_exe_12_executors_end_while_their_clock_moves),
        TEST(test_cbk_02_added_after_some_were_removed),
        TEST(test_wfo_01_a_result_that_is_there_wins),
        TEST(test_thn_03_dropped_before_it_is_told),
        TEST(test_slp_05_a_sleep_made_at_each_point_of_the_coordinator),
        TEST(test_can_11_cancelled_at_each_point_of_a_submit),
        TEST(test_thn_04_cancelled_at_each_point_of_the_inputs_end),
    };
    return points_result(cmocka_run_group_tests(tests, NULL, NULL));
}
