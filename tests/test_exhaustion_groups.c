/* test_exhaustion_groups.c: tokens and groups in combination, the token of a job inside another one, and the limit of
 * jobs that wait, with each of their requests for memory refused in turn (MEM-05, I14). stage.h tells how scenes are
 * played. */
#include "stage.h"

/* Tokens, scopes and hooks. */

typedef struct tokens {
    weft_token *root, *scope, *shielded, *closed;
} tokens;

/* Asks for its own token, hooks on to it and makes another below it; whatever of this is refused. */
static void *token_job(void *argument)
{
    part *p = argument;
    stage *s = p->stage;
    weft_token *own = GET(s, weft_current_token());
    TEST_EXPECT(own == NULL || weft_current_token() == own);
    if (own != NULL) {
        registration unused = {.accepted = false};
        weft_callback *handle = NULL;
        bool hooked_on = held(s, weft_token_on_cancel(own, hooked, &unused, &handle));
        weft_token *below = GET(s, weft_token_create(NULL, own, WEFT_SECONDS(1), 0));
        weft_token_release(below);
        int code = hooked_on ? weft_callback_remove(handle) : 0;
        TEST_EXPECT(code == 0 ? test_get(unused.calls) == 0 : code == -EALREADY);
    }
    atomic_fetch_add_explicit(&s->asked, 1, memory_order_acq_rel);
    return test_cell_run(p);
}

/* Those that start later ask for nothing: there may be no memory left by then. */
static void job_below(stage *s, weft_token *token, int64_t delay)
{
    const weft_submit_options options = {.token = token, .delay = delay, .name = "below"};
    if (token != NULL) {
        job(s, delay == 0 ? token_job : test_cell_run, &options, false);
    }
}

static weft_token *scope(stage *s, weft_token *parent, int64_t timeout, unsigned flags)
{
    return parent != NULL ? GET(s, weft_token_create(NULL, parent, timeout, flags)) : NULL;
}

static void *then_nothing(void *value, void *data)
{
    (void)data;
    return value;
}

static void make_tokens(stage *s)
{
    static tokens t;
    t = (tokens){.root = NULL};
    s->own = &t;
    two_promises(s);
    t.root = GET(s, weft_token_create(s->executor, NULL, WEFT_FOREVER, 0));
    t.scope = scope(s, t.root, WEFT_SECONDS(2), 0);
    t.shielded = scope(s, t.root, WEFT_FOREVER, WEFT_SHIELDED);
    t.closed = scope(s, t.root, WEFT_SECONDS(1), 0);
    hook_on(s, t.root, true);
    hook_on(s, t.scope, true);
    hook_on(s, t.shielded, false);
    job_below(s, t.root, 0);
    job_below(s, t.scope, 0);
    job_below(s, t.scope, WEFT_SECONDS(5));
    job_below(s, t.shielded, WEFT_SECONDS(5));
    weft_submit_options options = {.token = t.scope};
    ON(s, s->futures[0], weft_then_with(s->futures[0], then_nothing, s, &options));
    for (int i = 0; i < 2 && t.scope != NULL; i++) { /* it may be told otherwise without memory */
        assert_int_equal(weft_token_reschedule(t.scope, WEFT_SECONDS(1)), 0);
    }
    assert_true(t.closed == NULL || weft_token_close(t.closed) == 0);
    job_below(s, t.closed, 0);
}

static bool tokens_have_asked(void *data)
{
    stage *s = data;
    return test_get(s->asked) == 3;
}

static void ready_tokens(stage *s)
{
    assert_true(test_until(tokens_have_asked, s));
}

static void end_tokens(stage *s)
{
    tokens *t = s->own;
    weft_manual_clock_advance(s->clock, WEFT_SECONDS(2));
    assert_true(t->scope == NULL || weft_token_expired(t->scope));
    assert_true(t->scope == NULL || weft_token_close(t->scope) == -ETIMEDOUT);
    assert_false(weft_token_cancelled(t->root));
    weft_token_cancel(t->root);
    assert_true(t->closed == NULL || (weft_token_cancelled(t->closed) && !weft_token_expired(t->closed)));
    assert_false(weft_token_cancelled(t->shielded));
}

static void read_tokens(stage *s)
{
    tokens *t = s->own;
    weft_token_release(weft_token_retain(t->root));
    weft_token_release(t->root);
    weft_token_release(t->scope);
    weft_token_release(t->shielded);
    weft_token_release(t->closed);
}

static void test_mem_05_tokens_together(void **state)
{
    const scene all = {
        .name = "tokens", .make = make_tokens, .ready = ready_tokens, .end = end_tokens, .read = read_tokens};
    (void)state;
    play_all(&all, 20);
}

/* A token that a job was given is set when the job is asked, however little memory there was when it was made; also if
 * the job runs inside the wait of another one, and that one is asked. */

typedef struct nest {
    size_t k;
    bool for_good;
    test_latch *asked;
    bool had_token, was_set; /* the inner job */
} nest;

static void *inner_job(void *argument)
{
    nest *n = argument;
    refuse(n->k, n->for_good);
    weft_token *own = weft_current_token();
    refuse_nothing();
    n->had_token = own != NULL;
    test_job_until_cancelled(n->asked);
    n->was_set = weft_token_cancelled(own);
    return weft_fail(-ECANCELED);
}

static void *outer_job(void *argument)
{
    TEST_EXPECT(weft_await(weft_submit(weft_executor_current(), inner_job, argument), NULL) == -ECANCELED);
    return NULL;
}

static void ask_inline(size_t k, bool for_good)
{
    weft_executor *executor = test_executor(1);
    nest n = {.k = k, .for_good = for_good, .asked = test_latch_make()};
    weft_future *outer = weft_submit(executor, outer_job, &n);
    assert_true(test_latch_wait(n.asked, 1));
    assert_int_equal(weft_cancel(outer), WEFT_CANCEL_REQUESTED);
    assert_int_equal(weft_await(outer, NULL), 0);
    test_destroy(executor);
    assert_true(n.was_set == n.had_token);
}

static void test_mem_05_a_token_of_a_job_in_a_job(void **state)
{
    (void)state;
    refuse_nothing();
    for (int for_good = 0; for_good < 2; for_good++) {
        size_t k = 0;
        do {
            ask_inline(++k, for_good);
            assert_counters_at_base();
        } while (test_get(refuser.refusals) != 0);
        assert_true(k > 2);
    }
}

/* Groups. */

enum { N_GROUPS = 3 };

typedef struct groups {
    weft_token *parent;
    weft_group *group[N_GROUPS]; /* with a limit and a deadline; one whose child fails; one that stays empty */
    bool failing;                /* the child that fails was accepted */
} groups;

static bool child(stage *s, weft_group *group, weft_fn *fn, const weft_submit_options *options, test_gate *gate,
                  int code)
{
    weft_submit_options all = options != NULL ? *options : freeing;
    part *p = part_next(s, false);
    p->cell.gate = gate;
    p->cell.code = code;
    all.free_arg = test_cell_free_arg;
    all.free_value = test_cell_free_value;
    int answer = group != NULL ? weft_group_submit_with(group, fn, p, &all) : -ENOMEM;
    bool late = answer == -ECANCELED; /* the group has failed */
    return accept(p, late ? false : held(s, answer));
}

/* Submits another child. */
static void *spawning_job(void *argument)
{
    part *p = argument, *plain = part_next(p->stage, false);
    groups *g = p->stage->own;
    plain->plain = true;
    int code = weft_group_submit(g->group[0], test_cell_run, plain);
    bool stopped = code == -ECANCELED || code == -ESHUTDOWN;
    accept(plain, stopped ? false : held(p->stage, code));
    atomic_fetch_add_explicit(&p->stage->asked, 1, memory_order_acq_rel);
    return test_cell_run(p);
}

static void make_groups(stage *s)
{
    static groups g;
    const weft_submit_options later = {.delay = WEFT_SECONDS(1), .priority = WEFT_HIGH};
    g = (groups){.parent = NULL};
    s->own = &g;
    g.parent = GET(s, weft_token_create(s->executor, NULL, WEFT_FOREVER, 0));
    const weft_group_options options = {.limit = 2, .timeout = WEFT_SECONDS(10), .parent = g.parent};
    weft_submit_options with = {.token = g.parent};
    for (int i = 0; i < N_GROUPS; i++) {
        g.group[i] = GET(s, weft_group_create(s->executor, i == 0 ? &options : NULL));
    }
    child(s, g.group[0], spawning_job, NULL, NULL, 0);
    for (int i = 0; i < 4; i++) {
        child(s, g.group[0], test_cell_run, NULL, s->gate, 0);
    }
    child(s, g.group[0], test_cell_run, &with, NULL, 0);
    child(s, g.group[0], test_cell_run, &later, NULL, 0);
    child(s, g.group[1], test_cell_run, NULL, s->gate, 0);
    child(s, g.group[1], test_cell_run, &later, NULL, 0);
    g.failing = child(s, g.group[1], test_cell_run, NULL, NULL, 9);
}

static bool groups_have_asked(void *data)
{
    stage *s = data;
    return test_get(s->asked) == 1;
}

static void ready_groups(stage *s)
{
    assert_true(test_until(groups_have_asked, s));
}

/* The delayed children come, or are cancelled, before anybody joins. */
static void end_groups(stage *s)
{
    groups *g = s->own;
    weft_manual_clock_advance(s->clock, WEFT_SECONDS(2));
    for (int i = 0; i < N_GROUPS; i++) {
        int code = g->group[i] != NULL ? weft_group_join(g->group[i]) : 0;
        assert_int_equal(code, i == 1 && g->failing ? 9 : 0);
    }
}

static void read_groups(stage *s)
{
    groups *g = s->own;
    for (int i = 0; i < N_GROUPS; i++) {
        size_t n = 0;
        if (g->group[i] == NULL) {
            continue;
        }
        weft_group_cancel(g->group[i]); /* after a join, or after a shutdown, too late */
        int code = weft_group_join(g->group[i]);
        assert_true(code == 0 || code == -ECANCELED || (i == 1 && g->failing && code == 9));
        const weft_outcome *errors = weft_group_errors(g->group[i], &n);
        if (errors == NULL) {
            assert_int_equal(errno, ENOMEM);
            refuse_nothing();
            errors = weft_group_errors(g->group[i], &n);
        }
        assert_non_null(errors);
        assert_int_equal(n, code == 9);
        assert_true(n == 0 || (errors[0].error == 9 && errors[0].state == WEFT_FAILED));
        assert_int_equal(weft_group_destroy(g->group[i]), 0);
    }
    weft_token_release(g->parent);
}

static void test_mem_05_groups_together(void **state)
{
    const scene all = {
        .name = "groups", .make = make_groups, .ready = ready_groups, .end = end_groups, .read = read_groups};
    (void)state;
    play_all(&all, 25);
}

/* A place among those that may wait is given back by a submit that was refused for want of memory. */

enum { PLACES = 3 };

static int submit_somehow(weft_executor *executor, weft_group *group, int how, test_cell *cell)
{
    void *arguments[] = {cell, cell};
    weft_future *future = NULL;
    int code = 0;
    errno = 0;
    if (how == 0) {
        future = weft_submit_with(executor, test_cell_run, cell, &(weft_submit_options){.name = "x"});
    } else if (how == 1) {
        future = weft_submit_copy(executor, test_job_return_arg, cell, sizeof *cell);
    } else if (how == 2) {
        future = weft_submit_with(executor, test_cell_run, cell, &(weft_submit_options){.delay = WEFT_SECONDS(1)});
    } else if (how == 3) {
        code = weft_submit_many(executor, test_cell_run, arguments, 2, NULL);
    } else if (how == 4) {
        code = weft_group_submit(group, test_cell_run, cell);
    } else {
        future = weft_map(executor, test_cell_run, arguments, 2, 1, WEFT_SETTLED);
    }
    code = future == NULL && (how <= 2 || how == 5) ? -errno : code;
    weft_future_release(future);
    return code;
}

static void fill_after_refusals(int how)
{
    test_cell cell = {.code = 0};
    int code;
    size_t k = 0;
    do {
        const weft_executor_options options = {.workers = 1, .max_pending = PLACES};
        weft_executor *executor = test_executor_with(&options);
        weft_group *group = weft_group_create(executor, NULL);
        test_gate *gate = test_block(executor, 1);
        refuse(++k, false);
        code = submit_somehow(executor, group, how, &cell);
        refuse_nothing();
        if (code != 0) {
            assert_int_equal(code, -ENOMEM);
            for (int i = 0; i < PLACES; i++) {
                assert_int_equal(weft_execute(executor, test_cell_run, &cell), 0);
            }
            assert_int_equal(weft_execute(executor, test_cell_run, &cell), -EAGAIN);
        }
        test_unblock(gate);
        assert_int_equal(weft_group_join(group), 0);
        assert_int_equal(weft_group_destroy(group), 0);
        test_destroy(executor);
        assert_counters_at_base();
    } while (code != 0);
    assert_true(k > 1);
}

static void test_mem_05_a_refused_submit_gives_its_place_back(void **state)
{
    (void)state;
    refuse_nothing();
    for (int how = 0; how <= 5; how++) {
        fill_after_refusals(how);
    }
}

int main(void)
{
    heap_install();
    const struct CMUnitTest tests[] = {
        TEST(test_mem_05_tokens_together),
        TEST(test_mem_05_a_token_of_a_job_in_a_job),
        TEST(test_mem_05_groups_together),
        TEST(test_mem_05_a_refused_submit_gives_its_place_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
