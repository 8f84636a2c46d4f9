/* test_regressions_tokens.c: defects that review found in tokens, hooks and groups, each with the case that would show
 * it again.
 *
 * Discipline. As in fixtures.h. Where two threads must meet by chance the meeting is repeated, and what tells is a
 * count: of tokens, timers or calls of free_arg. */
#include "fixtures.h"

static weft_token *token_of(weft_executor *executor)
{
    weft_token *token = weft_token_create(executor, NULL, WEFT_FOREVER, 0);
    assert_non_null(token);
    return token;
}

static void *do_nothing(void *argument)
{
    return argument;
}

/* Two threads, met once a round: the second one does `act` while the test goes on. */
typedef struct duel {
    test_barrier *barrier;
    void (*act)(struct duel *duel);
    weft_token *token;  /* of the round, by the test before the barrier */
    unsigned rounds, i; /* i: by the second thread */
} duel;

static void *second(void *argument)
{
    duel *d = argument;
    for (d->i = 0; d->i < d->rounds; d->i++) {
        if (!test_barrier_meet(d->barrier)) {
            break;
        }
        d->act(d);
        if (!test_barrier_meet(d->barrier)) {
            break;
        }
    }
    return NULL;
}

static void act_cancel(duel *d)
{
    for (unsigned i = 0; i < d->i % 64 * 8; i++) {
        atomic_signal_fence(memory_order_seq_cst);
    }
    weft_token_cancel(d->token);
}

static duel duel_make(unsigned rounds, void (*act)(duel *d))
{
    return (duel){.barrier = test_barrier_make(2), .act = act, .rounds = test_rounds(rounds)};
}

/* ---- the token of a job ---- */

typedef struct nested {
    weft_executor *executor;
    weft_future *_Atomic outer; /* by the test, for the job */
    test_gate *gate;
    bool inner_set, outer_set; /* by the jobs */
} nested;

static void *nested_inner(void *argument)
{
    nested *n = argument;
    TEST_EXPECT(weft_cancel(atomic_load_explicit(&n->outer, memory_order_acquire)) == WEFT_CANCEL_REQUESTED);
    n->inner_set = weft_token_cancelled(weft_current_token());
    return NULL;
}

static void *nested_outer(void *argument)
{
    nested *n = argument;
    test_gate_pass(n->gate);
    TEST_EXPECT(weft_await(weft_submit(n->executor, nested_inner, n), NULL) == 0);
    n->outer_set = weft_token_cancelled(weft_current_token());
    return NULL;
}

/* A job that was asked to stop while the job that it awaits made the tokens of both. */
static void test_scp_04_token_made_by_an_inner_job_is_set(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    nested n = {.executor = executor, .gate = test_gate_make()};
    weft_future *outer = weft_submit(executor, nested_outer, &n);
    assert_non_null(outer);
    atomic_store_explicit(&n.outer, outer, memory_order_release);
    test_gate_open(n.gate);
    assert_done_soon(outer);
    assert_true(n.inner_set);
    assert_true(n.outer_set);
    weft_future_release(outer);
    test_destroy(executor);
}

/* The allocator of this program: refuses the calling thread's n-th request from now, if n is not 0. */
static _Thread_local unsigned refuse_in;

static void *heap_alloc(size_t size, void *data)
{
    (void)data;
    return refuse_in && --refuse_in == 0 ? NULL : malloc(size);
}

static void heap_free(void *memory, void *data)
{
    (void)data;
    free(memory);
}

typedef struct starved {
    nested n;
    unsigned nth;
    bool refused;
} starved;

static void *starved_inner(void *argument)
{
    starved *s = argument;
    refuse_in = s->nth;
    weft_token *token = weft_current_token();
    s->refused = refuse_in == 0;
    refuse_in = 0;
    TEST_EXPECT(token || errno == ENOMEM);
    token = token ? token : weft_current_token();
    TEST_EXPECT(token != NULL && token == weft_current_token());
    TEST_EXPECT(!weft_token_cancelled(token));
    TEST_EXPECT(weft_cancel(atomic_load_explicit(&s->n.outer, memory_order_acquire)) == WEFT_CANCEL_REQUESTED);
    TEST_EXPECT(weft_token_cancelled(token));
    return NULL;
}

static void *starved_outer(void *argument)
{
    starved *s = argument;
    test_gate_pass(s->n.gate);
    TEST_EXPECT(weft_await(weft_submit(s->n.executor, starved_inner, s), NULL) == 0);
    return NULL;
}

/* The tokens of a job and of the one that awaits it hang together, whichever allocation was refused at first. */
static void test_mem_01_tokens_of_awaited_jobs_hang_together(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    starved s = {.n.executor = executor, .refused = true};
    for (s.nth = 1; s.refused; s.nth++) {
        s.n.gate = test_gate_make();
        weft_future *outer = weft_submit(executor, starved_outer, &s);
        assert_non_null(outer);
        atomic_store_explicit(&s.n.outer, outer, memory_order_release);
        test_gate_open(s.n.gate);
        assert_done_soon(outer);
        weft_future_release(outer);
    }
    assert_true(s.nth > 4);
    test_destroy(executor);
}

/* ---- born cancelled ---- */

typedef struct closing {
    weft_executor *executor;
    test_latch *quiet;
    pthread_t thread;
} closing;

static void *shut_down(void *argument)
{
    closing *c = argument;
    TEST_EXPECT(weft_executor_shutdown(c->executor, WEFT_DRAIN, WEFT_FOREVER) == 0);
    test_latch_hit(c->quiet);
    return NULL;
}

/* Runs inside the submit: the shutdown begins and looks what there is. */
static void free_while_closing(void *argument)
{
    closing *c = argument;
    c->thread = test_spawn(shut_down, c);
    test_latch_wait_for(c->quiet, 1, 50 * MS);
}

static void test_shd_02_ends_while_a_job_is_born_cancelled(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *token = token_of(executor);
    weft_token_cancel(token);
    closing c = {.executor = executor, .quiet = test_latch_make()};
    weft_submit_options options = {.token = token, .free_arg = free_while_closing};
    weft_future *future = weft_submit_with(executor, do_nothing, &c, &options);
    assert_non_null(future);
    assert_cancelled(future, WEFT_REASON_USER);
    bool ended = test_latch_wait(c.quiet, 1);
    weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER); /* sends news, so that a broken library goes on, too */
    test_join(c.thread);
    assert_true(ended);
    weft_stats stats;
    assert_int_equal(weft_executor_stats(executor, &stats), 0);
    assert_int_equal(stats.submitted, 1);
    assert_int_equal(stats.cancelled, 1);
    weft_future_release(future);
    weft_token_release(token);
    test_destroy(executor);
}

/* ---- a member's timer ---- */

static void free_slowly(void *latch)
{
    test_latch_wait_for(latch, 1, MS / 2); /* nobody hits it: as long as it takes the submit to arm the timer */
}

/* What the coordinator is kept busy with, so that it is awake when the token is set. */
typedef struct starter {
    _Atomic(bool) ready, go; /* by the coordinator; by the test */
    unsigned delay;          /* by the test before */
    weft_token *token;       /* the same */
} starter;

static void cancel_at_go(void *data)
{
    starter *s = data;
    int64_t deadline = weft_now() + test_patience();
    atomic_store_explicit(&s->ready, true, memory_order_release);
    while (!test_get(s->go) && weft_now() < deadline) {
    }
    for (unsigned i = 0; i < s->delay; i++) {
        atomic_signal_fence(memory_order_seq_cst);
    }
    weft_token_cancel(s->token);
}

/* A delayed job is cancelled between becoming a member and arming its timer, and its canceller is in free_arg when the
 * submit looks: the timer must not stay. */
static void test_scp_01_cancelled_while_its_timer_is_armed(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_latch *latch = test_latch_make();
    for (unsigned i = 0; i < test_rounds(1000); i++) {
        starter s = {.delay = i * 37 % 400, .token = token_of(executor)};
        weft_token *start = token_of(executor);
        weft_submit_options options = {.token = s.token, .free_arg = free_slowly, .delay = 3600 * 1000 * MS};
        assert_int_equal(weft_token_on_cancel(start, cancel_at_go, &s, NULL), 0);
        weft_token_cancel(start);
        int64_t deadline = weft_now() + test_patience();
        while (!test_get(s.ready) && weft_now() < deadline) {
        }
        atomic_store_explicit(&s.go, true, memory_order_release);
        weft_future *future = weft_submit_with(executor, do_nothing, latch, &options);
        assert_non_null(future);
        assert_done_soon(future);
        assert_true(test_until_counters(1, 0, 0));
        weft_future_release(future);
        weft_token_release(start);
        weft_token_release(s.token);
    }
    test_destroy(executor);
}

/* ---- two tokens ---- */

/* The group stops its child while that becomes a member of a second token, which must not keep it. */
static void test_grp_06_child_leaves_its_second_token(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *other = token_of(executor);
    duel d = duel_make(4000, act_cancel);
    pthread_t thread = test_spawn(second, &d);
    for (unsigned i = 0; i < d.rounds; i++) {
        d.token = token_of(executor);
        weft_group_options options = {.parent = d.token};
        weft_group *group = weft_group_create(executor, &options);
        assert_non_null(group);
        assert_true(test_barrier_meet(d.barrier));
        int code = 0;
        while (code == 0) {
            code = weft_group_submit_with(group, do_nothing, NULL, &(weft_submit_options){.token = other});
        }
        assert_int_equal(code, -ECANCELED);
        assert_true(test_barrier_meet(d.barrier));
        assert_int_equal(weft_group_join(group), -ECANCELED);
        assert_int_equal(weft_group_destroy(group), 0);
        weft_token_release(d.token);
    }
    test_join(thread);
    weft_token_cancel(other); /* meets what is still listed */
    flush(executor);
    weft_token_release(other); /* and is counted, if somebody still has a reference */
    test_destroy(executor);
}

typedef struct freed {
    weft_executor *executor;
    weft_token *token;
    test_barrier *barrier;
} freed;

static void *cancel_and_shut(void *argument)
{
    freed *f = argument;
    test_barrier_meet(f->barrier);
    weft_token_cancel(f->token);
    weft_executor_shutdown(f->executor, WEFT_DRAIN, 0);
    return NULL;
}

static void count_free(void *counter)
{
    atomic_fetch_add_explicit((_Atomic(unsigned) *)counter, 1, memory_order_relaxed);
}

/* The queue is closed after the token has cancelled the job: its argument was released, so it was accepted. */
static void test_exe_01_refused_or_cancelled_but_not_both(void **state)
{
    (void)state;
    static _Atomic(unsigned) frees[100000];
    for (unsigned round = 0; round < test_rounds(60); round++) {
        weft_executor *coordinator = test_executor(1);
        weft_executor_options few = {.workers = 1, .max_pending = SIZE_MAX};
        freed f = {.executor = test_executor_with(&few), .token = token_of(coordinator), test_barrier_make(2)};
        pthread_t thread = test_spawn(cancel_and_shut, &f);
        weft_submit_options options = {.token = f.token, .free_arg = count_free};
        assert_true(test_barrier_meet(f.barrier));
        unsigned n = 0;
        weft_future *future = NULL;
        do {
            atomic_store_explicit(&frees[n], 0, memory_order_relaxed);
            future = weft_submit_with(f.executor, do_nothing, &frees[n], &options);
            weft_future_release(future);
        } while (future && ++n < 99999);
        assert_true(!future || n == 99999);
        test_join(thread);
        test_destroy(f.executor);
        flush(coordinator);
        for (unsigned i = 0; i <= n; i++) {
            assert_int_equal(atomic_load_explicit(&frees[i], memory_order_relaxed), i < n || future);
        }
        weft_token_release(f.token);
        test_destroy(coordinator);
    }
}

/* ---- groups whose last child is cancelled while it arrives ---- */

/* A delayed child's time comes while a token of another executor cancels it; whoever joined frees the group at once. */
static void test_grp_06_child_is_due_while_it_is_cancelled(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1), *other = test_executor(1);
    duel d = duel_make(3000, act_cancel);
    pthread_t thread = test_spawn(second, &d);
    for (unsigned i = 0; i < d.rounds; i++) {
        d.token = token_of(other);
        weft_group *group = weft_group_create(executor, NULL);
        assert_non_null(group);
        weft_submit_options options = {.token = d.token, .delay = 20000 + i % 32 * 1000};
        assert_int_equal(weft_group_submit_with(group, do_nothing, NULL, &options), 0);
        assert_true(test_barrier_meet(d.barrier));
        assert_int_equal(weft_group_join(group), 0);
        assert_int_equal(weft_group_destroy(group), 0);
        assert_true(test_barrier_meet(d.barrier));
        weft_token_release(d.token);
    }
    test_join(thread);
    test_destroy(executor);
    test_destroy(other);
}

/* ---- the coordinator is told in time ---- */

static void hit_hook(void *latch)
{
    test_latch_hit(latch);
}

/* A deadline that is far away is posted without waking a coordinator that is about to look anyway; a cancel that joins
 * this message must not wait for that. */
static void test_scp_02_cancel_does_not_wait_behind_a_deadline(void **state)
{
    (void)state;
    enum { TIMES = 100 };
    weft_executor *executor = test_executor(1);
    weft_token *nearer =
        weft_token_create(executor, NULL, 1800 * 1000 * MS, 0); /* when the coordinator would wake up */
    int64_t waited = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        flush(executor); /* from now on the coordinator lingers */
        test_pause(200000);
        test_latch *latch = test_latch_make();
        weft_token *token = weft_token_create(executor, NULL, 3600 * 1000 * MS, 0);
        assert_int_equal(weft_token_on_cancel(token, hit_hook, latch, NULL), 0);
        int64_t start = weft_now();
        weft_token_cancel(token);
        assert_true(test_latch_wait(latch, 1));
        waited += weft_now() - start;
        weft_token_release(token);
    }
    weft_token_release(nearer);
    assert_true(waited < TIMES * 4 * MS * (TEST_TSAN || TEST_ASAN ? 4 : 1));
    test_destroy(executor);
}

/* ---- hooks in order ---- */

typedef struct noted {
    test_log *log;
    int entry;
} noted;

static void note_hook(void *data)
{
    noted *n = data;
    test_note(n->log, n->entry);
}

/* One hook is there before the token is set, the other comes when it is, perhaps before the coordinator knows. */
static void test_cbk_02_late_hook_comes_after_the_early_ones(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    duel d = duel_make(4000, act_cancel);
    pthread_t thread = test_spawn(second, &d);
    for (unsigned i = 0; i < d.rounds; i++) {
        noted hooks[2] = {{test_log_make(), 1}, {NULL, 2}};
        hooks[1].log = hooks[0].log;
        d.token = token_of(executor);
        assert_int_equal(weft_token_on_cancel(d.token, note_hook, &hooks[0], NULL), 0);
        assert_true(test_barrier_meet(d.barrier));
        while (!weft_token_cancelled(d.token)) {
        }
        assert_int_equal(weft_token_on_cancel(d.token, note_hook, &hooks[1], NULL), 0);
        assert_true(test_log_wait(hooks[0].log, 2));
        assert_log(hooks[0].log, 1, 2);
        assert_true(test_barrier_meet(d.barrier));
        weft_token_release(d.token);
    }
    test_join(thread);
    test_destroy(executor);
}

/* ---- tokens that outlive their executor ---- */

static void test_scp_06_reschedule_after_the_executor_has_gone(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    weft_token *token = weft_token_create(executor, NULL, 3600 * 1000 * MS, 0);
    assert_non_null(token);
    test_destroy(executor);
    weft_clock_destroy(clock);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(weft_token_reschedule(token, 1), 0);
        assert_int_equal(test_counters().timers, test_base().timers);
        assert_false(weft_token_cancelled(token));
    }
    assert_int_equal(weft_token_close(token), 0);
    assert_int_equal(weft_token_reschedule(token, 1), -EALREADY);
    weft_token_cancel(token);
    weft_token_release(token);
}

int main(void)
{
    weft_set_allocator(heap_alloc, heap_free, NULL);
    const struct CMUnitTest tests[] = {
        TEST(test_scp_04_token_made_by_an_inner_job_is_set),
        TEST(test_mem_01_tokens_of_awaited_jobs_hang_together),
        TEST(test_shd_02_ends_while_a_job_is_born_cancelled),
        TEST(test_scp_01_cancelled_while_its_timer_is_armed),
        TEST(test_grp_06_child_leaves_its_second_token),
        TEST(test_exe_01_refused_or_cancelled_but_not_both),
        TEST(test_grp_06_child_is_due_while_it_is_cancelled),
        TEST(test_scp_02_cancel_does_not_wait_behind_a_deadline),
        TEST(test_cbk_02_late_hook_comes_after_the_early_ones),
        TEST(test_scp_06_reschedule_after_the_executor_has_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
