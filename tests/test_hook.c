/* test_hook.c: section 6, hooks on tokens (CAN-12): when they are called, where, in which order, and how they are taken
 * back; and weft_token_cancel in signal handlers.
 *
 * Discipline. A hook that must be seen running stands at a gate. What must not have happened yet is asserted on the
 * coordinator itself (on_coordinator), where nothing else can happen meanwhile. */
#include "scopes.h"

#include <signal.h>

static void add_hook(weft_token *token, hook *which, weft_callback **handle)
{
    assert_int_equal(weft_token_on_cancel(token, hook_run, which, handle), 0);
}

/* A job that blocks in a condition of its own, which only a hook can end. */
struct sleeper {
    test_latch *asleep; /* by the test before submit; hit by the job */
    test_gate *wake;    /* the same; opened by the hook */
    weft_token *token;  /* the same */
    _Atomic(unsigned) woken;
};

static void wake_sleeper(void *data)
{
    struct sleeper *self = data;
    atomic_fetch_add_explicit(&self->woken, 1, memory_order_acq_rel);
    test_gate_open(self->wake);
}

static void *sleep_until_woken(void *argument)
{
    struct sleeper *self = argument;
    weft_callback *handle = NULL;
    TEST_EXPECT(weft_token_on_cancel(self->token, wake_sleeper, self, &handle) == 0);
    test_latch_hit(self->asleep);
    test_gate_pass(self->wake);
    TEST_EXPECT(weft_callback_remove(handle) == -EALREADY);
    TEST_EXPECT(test_get(self->woken) == 1);
    return weft_fail(weft_cancelled() ? -ECANCELED : 5);
}

static void test_can_12_wakes_a_job_that_blocks_by_itself(void **state)
{
    static struct sleeper sleeper;
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
    sleeper = (struct sleeper){.asleep = test_latch_make(), .wake = test_gate_make(), .token = token};
    weft_submit_options options = {.token = token};
    weft_future *job = weft_submit_with(executor, sleep_until_woken, &sleeper, &options);
    assert_true(test_latch_wait(sleeper.asleep, 1));
    flush(executor);
    assert_int_equal(test_get(sleeper.woken), 0);
    weft_token_cancel(token);
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_USER);
    weft_future_release(job);
    weft_token_release(token);
    test_destroy(executor);
}

static void test_can_12_called_once_in_order_on_the_coordinator(void **state)
{
    enum { HOOKS = 5 };
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
    test_log *log = test_log_make();
    hook hooks[HOOKS];
    for (int i = 0; i < HOOKS; i++) {
        hooks[i] = (hook){.log = log, .number = i};
        add_hook(token, &hooks[i], NULL);
    }
    flush(executor);
    assert_int_equal(test_log_size(log), 0);
    weft_token_cancel(token);
    weft_token_cancel(token);
    assert_true(test_log_wait(log, HOOKS));
    flush(executor);
    assert_log(log, 0, 1, 2, 3, 4);
    for (int i = 0; i < HOOKS; i++) {
        assert_true(pthread_equal(test_get(hooks[i].on), coordinator_of(executor)));
    }
    assert_true(test_until_counters(0, 0, 0));
    weft_token_release(token);
    test_destroy(executor);
}

static void test_can_12_registered_after_the_token_was_set(void **state)
{
    (void)state;
    world here = world_make(1);
    weft_token *token = token_make(here.executor, NULL, 10 * MS, 0);
    weft_token *child = token_make(here.executor, token, WEFT_FOREVER, 0);
    weft_manual_clock_advance(here.clock, 10 * MS + TICK);
    weft_token *born = token_make(here.executor, token, WEFT_FOREVER, 0);
    weft_token *all[] = {token, child, born};
    hook hooks[3];
    for (int i = 0; i < 3; i++) {
        assert_set_soon(all[i]);
        hooks[i] = (hook){.number = i};
        add_hook(all[i], &hooks[i], NULL);
        assert_hook_soon(&hooks[i]);
        weft_token_release(all[i]);
    }
    world_end(here);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(test_get(hooks[i].calls), 1);
    }
}

/* On the coordinator, so that a call inside the registering one would show. */
static void register_on_a_set_token(void *data)
{
    static hook late;
    weft_callback *handle = NULL;
    late = (hook){.number = 0};
    TEST_EXPECT(weft_token_cancelled(data));
    TEST_EXPECT(weft_token_on_cancel(data, hook_run, &late, NULL) == 0);
    TEST_EXPECT(test_get(late.calls) == 0);
    TEST_EXPECT(weft_token_on_cancel(data, hook_run, &late, &handle) == 0);
    TEST_EXPECT(test_get(late.calls) == 0);
    TEST_EXPECT(weft_callback_remove(handle) == 0);
}

static void test_can_12_never_inside_the_registering_call(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
    weft_token_cancel(token);
    on_coordinator(executor, register_on_a_set_token, token);
    assert_true(test_until_counters(0, 0, 0));
    weft_token_release(token);
    test_destroy(executor);
}

/* The same for the call that sets the token. */
struct setting {
    weft_token *token; /* by the test */
    hook *hook;        /* by the test */
};

static void set_and_look(void *data)
{
    struct setting *self = data;
    weft_token_cancel(self->token);
    TEST_EXPECT(weft_token_cancelled(self->token));
    TEST_EXPECT(test_get(self->hook->calls) == 0);
}

static void test_can_12_never_inside_the_setting_call(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    hook here = {.number = 0};
    struct setting both = {token_make(executor, NULL, WEFT_FOREVER, 0), &here};
    add_hook(both.token, &here, NULL);
    on_coordinator(executor, set_and_look, &both);
    assert_hook_soon(&here);
    weft_token_release(both.token);
    test_destroy(executor);
    assert_int_equal(test_get(here.calls), 1);
}

static void test_can_12_removed_in_time_it_is_never_called(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
    test_log *log = test_log_make();
    hook hooks[3];
    weft_callback *handles[3];
    for (int i = 0; i < 3; i++) {
        hooks[i] = (hook){.log = log, .number = i};
        add_hook(token, &hooks[i], &handles[i]);
    }
    assert_true(test_until_counters(0, 0, 3));
    assert_int_equal(weft_callback_remove(handles[1]), 0);
    assert_true(test_until_counters(0, 0, 2));
    weft_token_cancel(token);
    assert_true(test_log_wait(log, 2));
    flush(executor);
    assert_log(log, 0, 2);
    assert_true(test_until_counters(0, 0, 2));
    assert_int_equal(weft_callback_remove(handles[0]), -EALREADY);
    assert_int_equal(weft_callback_remove(handles[2]), -EALREADY);
    assert_true(test_until_counters(0, 0, 0));
    weft_token_release(token);
    test_destroy(executor);
}

struct remover {
    weft_callback *handle; /* by the test before the thread starts */
    test_latch *over;      /* the same; hit when the removal has returned */
    hook *hook;            /* by the test before */
    int answer;            /* by the thread before the hit */
};

static void *remove_hook(void *argument)
{
    struct remover *self = argument;
    self->answer = weft_callback_remove(self->handle);
    TEST_EXPECT(test_get(self->hook->calls) == 1);
    test_latch_hit(self->over);
    return NULL;
}

static void test_can_12_remove_waits_while_it_runs(void **state)
{
    (void)state;
    for (unsigned in_job = 0; in_job < 2; in_job++) {
        weft_executor *executor = test_executor(1);
        weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
        hook here = {.gate = test_gate_make()};
        struct remover remover = {.over = test_latch_make(), .hook = &here};
        add_hook(token, &here, &remover.handle);
        weft_token_cancel(token);
        assert_true(test_gate_await(here.gate, 1));
        weft_future *job = in_job != 0 ? weft_submit(executor, remove_hook, &remover) : NULL;
        pthread_t thread = in_job != 0 ? pthread_self() : test_spawn(remove_hook, &remover);
        assert_false(test_latch_wait_for(remover.over, 1, 20 * MS));
        test_gate_open(here.gate);
        assert_true(test_latch_wait(remover.over, 1));
        if (in_job != 0) {
            assert_int_equal(weft_await(job, NULL), 0);
        } else {
            test_join(thread);
        }
        assert_int_equal(remover.answer, -EALREADY);
        weft_token_release(token);
        test_destroy(executor);
    }
}

/* In a hook. */
struct inside {
    weft_token *token;          /* by the test */
    weft_future *pending;       /* by the test */
    weft_group *group;          /* by the test; it has a child that runs */
    weft_executor *executor;    /* by the test */
    weft_callback *own, *later; /* by the test, before the token is set */
    weft_future *submitted;     /* by the hook */
    hook *added;                /* by the test; registered by the hook */
    _Atomic(unsigned) calls;    /* finished calls */
};

static void use_weft_in_a_hook(void *data)
{
    struct inside *self = data;
    TEST_EXPECT(weft_token_cancelled(self->token));
    TEST_EXPECT(weft_future_wait(self->pending, WEFT_FOREVER) == -EDEADLK);
    TEST_EXPECT(weft_group_join(self->group) == -EDEADLK);
    TEST_EXPECT(weft_executor_shutdown(self->executor, WEFT_DRAIN, 0) == -EDEADLK);
    errno = 0;
    TEST_EXPECT(weft_current_token() == NULL && errno == EINVAL);
    TEST_EXPECT(weft_callback_remove(self->own) == -EALREADY);
    TEST_EXPECT(weft_callback_remove(self->later) == 0);
    TEST_EXPECT(weft_token_on_cancel(self->token, hook_run, self->added, NULL) == 0);
    TEST_EXPECT(test_get(self->added->calls) == 0);
    TEST_EXPECT(weft_cancel(self->pending) == WEFT_CANCEL_DONE);
    self->submitted = weft_submit(self->executor, test_job_return_arg, self);
    weft_group_cancel(self->group);
    atomic_fetch_add_explicit(&self->calls, 1, memory_order_acq_rel);
}

static bool has_run(void *data)
{
    return test_get(((struct inside *)data)->calls) != 0;
}

static void test_can_12_what_a_hook_may_do(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    inputs in = inputs_make(executor, 1);
    hook added = {.number = 1}, later = {.number = 2};
    struct inside here = {.token = token_make(executor, NULL, WEFT_FOREVER, 0),
                          .pending = in.future[0],
                          .group = group_make(executor, NULL),
                          .executor = executor,
                          .added = &added};
    test_latch *started = test_latch_make();
    assert_int_equal(weft_group_submit(here.group, test_job_until_cancelled, started), 0);
    assert_true(test_latch_wait(started, 1));
    assert_int_equal(weft_token_on_cancel(here.token, use_weft_in_a_hook, &here, &here.own), 0);
    add_hook(here.token, &later, &here.later);
    weft_token_cancel(here.token);
    assert_true(test_until(has_run, &here));
    assert_hook_soon(&added);
    assert_joins(here.group, -ECANCELED);
    assert_non_null(here.submitted);
    assert_done_soon(here.submitted);
    assert_ok(here.submitted, &here);
    assert_cancelled(in.future[0], WEFT_REASON_USER);
    weft_future_release(here.submitted);
    weft_token_release(here.token);
    inputs_free(&in);
    test_destroy(executor);
    assert_int_equal(test_get(here.calls), 1);
    assert_int_equal(test_get(added.calls), 1);
    assert_int_equal(test_get(later.calls), 0);
}

static void test_hook_does_not_hold_the_token(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    hook here = {.number = 0};
    weft_callback *handle = NULL;
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
    add_hook(token, &here, NULL);
    assert_true(test_until_counters(0, 0, 1));
    weft_token_release(token);
    assert_tokens_soon(0);
    assert_true(test_until_counters(0, 0, 0));
    token = token_make(executor, NULL, WEFT_FOREVER, 0);
    add_hook(token, &here, &handle);
    weft_token_release(token);
    assert_true(test_until_counters(0, 0, 1));
    assert_int_equal(weft_callback_remove(handle), 0);
    assert_true(test_until_counters(0, 0, 0));
    assert_tokens_soon(0);
    test_destroy(executor);
    assert_int_equal(test_get(here.calls), 0);
}

/* The job holds the token, and ends only after it was set. */
static void test_hook_of_a_token_that_only_a_job_holds(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_token *root = token_make(executor, NULL, WEFT_FOREVER, 0);
    weft_token *token = token_make(executor, root, WEFT_FOREVER, 0);
    hook here = {.number = 0};
    add_hook(token, &here, NULL);
    weft_future *job = submit_obedient(executor, token);
    weft_token_release(token);
    weft_token_cancel(root);
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_PARENT);
    weft_future_release(job);
    weft_token_release(root);
    test_destroy(executor);
    assert_int_equal(test_get(here.calls), 1);
}

/* Signal handlers. */

static weft_token *_Atomic signalled;
static _Atomic(unsigned) handled;

static void cancel_in_handler(int number)
{
    (void)number;
    weft_token_cancel(test_get(signalled));
    atomic_fetch_add_explicit(&handled, 1, memory_order_acq_rel);
}

static struct sigaction install_handler(void)
{
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = cancel_in_handler;
    action.sa_flags = SA_RESTART;
    assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
    atomic_store_explicit(&handled, 0, memory_order_release);
    return old;
}

static void test_token_cancel_in_a_signal_handler(void **state)
{
    (void)state;
    struct sigaction old = install_handler();
    weft_executor *executor = test_executor(1);
    weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0);
    hook here = {.number = 0};
    add_hook(token, &here, NULL);
    weft_future *job = submit_obedient(executor, token);
    atomic_store_explicit(&signalled, token, memory_order_release);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(test_get(handled), 1);
    assert_true(weft_token_cancelled(token));
    assert_done_soon(job);
    assert_cancelled(job, WEFT_REASON_USER);
    assert_hook_soon(&here);
    weft_future_release(job);
    weft_token_release(token);
    test_destroy(executor);
    assert_int_equal(test_get(here.calls), 1);
    sigaction(SIGUSR1, &old, NULL);
}

static void send_signal(void *thread)
{
    TEST_EXPECT(pthread_kill(*(pthread_t *)thread, SIGUSR1) == 0);
}

/* The handler interrupts this thread in the middle of calls that work on the same token: nothing may be locked or half
 * done that the handler needs. */
static void test_token_cancel_in_a_handler_that_interrupts_weft(void **state)
{
    enum { JOBS = 4 };
    static rival other;
    static hook hooks[2];
    pthread_t self = pthread_self();
    (void)state;
    struct sigaction old = install_handler();
    weft_executor *executor = test_executor(1);
    rival_start(&other);
    for (unsigned round = 0; round < test_rounds(3000); round++) {
        test_cell *cells[JOBS];
        weft_future *jobs[JOBS];
        weft_callback *handles[2];
        weft_token *token = token_make(executor, NULL, WEFT_FOREVER, 0), *children[2];
        atomic_store_explicit(&signalled, token, memory_order_release);
        rival_go(&other, send_signal, &self);
        for (unsigned i = 0; i < JOBS; i++) {
            jobs[i] = submit_under(executor, token, cells[i] = cell_make(NULL, 0));
        }
        for (unsigned i = 0; i < 2; i++) {
            hooks[i] = (hook){.number = (int)i};
            children[i] = token_make(executor, token, 3600 * 1000 * MS, 0);
            add_hook(i == 0 ? token : children[i], &hooks[i], &handles[i]);
            assert_int_equal(weft_token_reschedule(children[i], WEFT_FOREVER), 0);
        }
        int removed = weft_callback_remove(handles[0]);
        assert_int_equal(test_get(hooks[0].calls), removed == 0 ? 0 : 1);
        assert_int_equal(weft_token_close(token), 0);
        rival_wait(&other);
        while (test_get(handled) != round + 1) {
            sched_yield();
        }
        assert_true(weft_token_cancelled(token));
        for (unsigned i = 0; i < JOBS; i++) {
            assert_done_soon(jobs[i]);
            bool ran = weft_future_state(jobs[i]) == WEFT_SUCCEEDED;
            weft_future_release(jobs[i]);
            assert_int_equal(test_get(cells[i]->ran), ran ? 1 : 0);
            assert_int_equal(test_get(cells[i]->arg_freed), 1);
        }
        assert_hook_soon(&hooks[1]);
        assert_int_equal(weft_callback_remove(handles[1]), -EALREADY);
        assert_set_soon(children[0]);
        weft_token_release(children[0]);
        weft_token_release(children[1]);
        weft_token_release(token);
    }
    rival_stop(&other);
    test_destroy(executor);
    sigaction(SIGUSR1, &old, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_can_12_wakes_a_job_that_blocks_by_itself),
        TEST(test_can_12_called_once_in_order_on_the_coordinator),
        TEST(test_can_12_registered_after_the_token_was_set),
        TEST(test_can_12_never_inside_the_registering_call),
        TEST(test_can_12_never_inside_the_setting_call),
        TEST(test_can_12_removed_in_time_it_is_never_called),
        TEST(test_can_12_remove_waits_while_it_runs),
        TEST(test_can_12_what_a_hook_may_do),
        TEST(test_hook_does_not_hold_the_token),
        TEST(test_hook_of_a_token_that_only_a_job_holds),
        TEST(test_token_cancel_in_a_signal_handler),
        TEST(test_token_cancel_in_a_handler_that_interrupts_weft),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
