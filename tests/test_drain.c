/* test_drain.c: what still happens while an executor drains or cancels (SHD-09), what does not hold it up (SHD-11), and
 * a process that ends without asking it (SHD-13).
 *
 * A gate job keeps the executor from becoming quiet for as long as a test looks at the state in between. The last case
 * starts this program again with an argument, because it is about what happens after main. */
#define _GNU_SOURCE
#include "support.h"

#include <sys/wait.h>
#include <unistd.h>

static const weft_shutdown_mode modes[] = {WEFT_DRAIN, WEFT_CANCEL_PENDING, WEFT_CANCEL_ALL};

/* A job that makes more work once the shutdown has begun. */
struct child {
    test_gate *gate;
    weft_future *future;
    int code, execute, many, sleep_code;
    weft_future *sleep;
};

/* At the gate until the shutdown has begun, then tries to make more work. */
static void *submit_child(void *arg)
{
    struct child *child = arg;
    void *args[] = {NULL};
    weft_future *futures[] = {NULL};
    test_gate_pass(child->gate);
    errno = 0;
    child->future = weft_submit(weft_executor_current(), test_job_return_arg, child);
    child->code = child->future == NULL ? errno : 0;
    child->execute = weft_execute(weft_executor_current(), test_job_return_arg, NULL);
    child->many = weft_submit_many(weft_executor_current(), test_job_return_arg, args, 1, futures);
    weft_future_release(futures[0]);
    errno = 0;
    child->sleep = weft_sleep(weft_executor_current(), WEFT_SECONDS(3600), NULL);
    child->sleep_code = child->sleep == NULL ? errno : 0;
    return NULL;
}

static void test_shd_05_a_weaker_mode_afterwards_changes_nothing(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct child child = {.gate = test_gate_make()};
    weft_future *mother = weft_submit(executor, submit_child, &child);
    test_gate_await(child.gate, 1);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_CANCEL_ALL, 0), -ETIMEDOUT);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT);
    test_gate_open(child.gate);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(child.code, ESHUTDOWN);
    weft_future_release(child.sleep);
    weft_future_release(mother);
    test_destroy(executor);
}

/* SHD-09 */

static void test_shd_09_while_draining_own_children_are_accepted(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct child child = {.gate = test_gate_make()};
    weft_future *mother = weft_submit(executor, submit_child, &child);
    test_gate_await(child.gate, 1);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT);
    test_gate_open(child.gate);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(child.code, 0);
    assert_int_equal(child.execute, 0);
    assert_int_equal(child.many, 0);
    assert_ok(child.future, &child);
    assert_non_null(child.sleep);
    assert_cancelled(child.sleep, WEFT_REASON_SHUTDOWN);
    weft_future_release(child.future);
    weft_future_release(child.sleep);
    weft_future_release(mother);
    test_destroy(executor);
}

static void test_shd_09_while_cancelling_own_children_are_refused(void **state)
{
    (void)state;
    for (int i = 1; i < 3; i++) {
        weft_executor *executor = test_executor(1);
        struct child child = {.gate = test_gate_make()};
        weft_future *mother = weft_submit(executor, submit_child, &child);
        test_gate_await(child.gate, 1);
        assert_int_equal(weft_executor_shutdown(executor, modes[i], 0), -ETIMEDOUT);
        test_gate_open(child.gate);
        assert_int_equal(weft_executor_shutdown(executor, modes[i], WEFT_FOREVER), 0);
        assert_int_equal(child.code, ESHUTDOWN);
        assert_int_equal(child.execute, -ESHUTDOWN);
        assert_int_equal(child.many, -ESHUTDOWN);
        weft_future_release(child.sleep);
        assert_ok(mother, NULL);
        weft_future_release(mother);
        test_destroy(executor);
    }
}

struct tree {
    test_gate *gate;
    unsigned depth;
    _Atomic(unsigned) leaves;
};

struct branch {
    struct tree *tree;
    unsigned depth;
};

/* Divide and conquer: two children by value, gathered and awaited, or left to themselves. */
static void *grow(void *arg)
{
    const struct branch *branch = arg;
    weft_executor *executor = weft_executor_current();
    if (branch->depth == 0) {
        atomic_fetch_add_explicit(&branch->tree->leaves, 1, memory_order_relaxed);
        return NULL;
    }
    struct branch below = {branch->tree, branch->depth - 1};
    if (branch->depth == branch->tree->depth) {
        test_gate_pass(branch->tree->gate);
    }
    weft_future *children[2] = {weft_submit_copy(executor, grow, &below, sizeof below),
                                weft_submit_copy(executor, grow, &below, sizeof below)};
    if (branch->depth % 2 == 0) {
        weft_future *both = weft_gather(executor, children, 2, WEFT_FIRST_ERROR);
        TEST_EXPECT(weft_await(both, NULL) == 0);
    }
    weft_future_release(children[0]);
    weft_future_release(children[1]);
    return NULL;
}

static void test_shd_09_divide_and_conquer_drains(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    struct tree tree = {.gate = test_gate_make(), .depth = 8};
    struct branch root = {&tree, 8};
    assert_int_equal(weft_execute(executor, grow, &root), 0);
    test_gate_await(tree.gate, 1);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT);
    test_gate_open(tree.gate);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(test_get(tree.leaves), 256);
    test_destroy(executor);
}

static void *delay_a_job(void *arg)
{
    test_cell *cell = arg;
    const weft_submit_options later = {.delay = WEFT_SECONDS(3600), .free_arg = test_cell_free_arg};
    test_gate_pass(cell->gate);
    return weft_submit_with(weft_executor_current(), test_cell_run, cell, &later);
}

static void test_shd_09_a_delayed_job_made_while_draining_is_born_cancelled(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    test_cell cell = {.gate = test_gate_make()};
    weft_future *mother = weft_submit(executor, delay_a_job, &cell);
    void *delayed = NULL;
    test_gate_await(cell.gate, 1);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, 0), -ETIMEDOUT);
    test_gate_open(cell.gate);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(weft_await(mother, &delayed), 0);
    assert_non_null(delayed);
    assert_cancelled(delayed, WEFT_REASON_SHUTDOWN);
    assert_int_equal(test_get(cell.ran), 0);
    assert_int_equal(test_get(cell.arg_freed), 1);
    weft_future_release(delayed);
    test_destroy(executor);
}

/* SHD-11 */

/* Everything that only time or a promise could resolve, beside a job that is still running. */
static void check_waiting_is_not_drained(weft_shutdown_mode mode)
{
    enum { N = 7 };
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *promised = weft_promise_future(promise);
    test_cell delayed = {.code = 0};
    const weft_submit_options later = {.delay = WEFT_SECONDS(3600), .free_arg = test_cell_free_arg};
    weft_future *sleep = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
    weft_future *inputs[] = {promised, sleep};
    weft_future *waiting[N] = {sleep,
                               weft_submit_with(executor, test_cell_run, &delayed, &later),
                               weft_wait_for(promised, WEFT_SECONDS(3600), 0),
                               weft_wait_for(promised, WEFT_FOREVER, WEFT_NO_CANCEL),
                               weft_shield(promised),
                               weft_gather(executor, inputs, 2, WEFT_SETTLED),
                               weft_gather(executor, &promised, 1, WEFT_FIRST_ERROR)};
    assert_int_equal(weft_executor_shutdown(executor, mode, 0), -ETIMEDOUT);
    for (int i = 0; i < N; i++) {
        assert_non_null(waiting[i]);
        assert_done_soon(waiting[i]);
        assert_cancelled(waiting[i], WEFT_REASON_SHUTDOWN);
        weft_future_release(waiting[i]);
    }
    assert_int_equal(test_gate_inside(gate), 1);
    test_unblock(gate);
    assert_int_equal(weft_executor_shutdown(executor, mode, WEFT_FOREVER), 0);
    assert_cancelled(promised, WEFT_REASON_SHUTDOWN);
    assert_int_equal(weft_promise_resolve(promise, NULL, NULL), -EALREADY);
    weft_promise_destroy(promise);
    weft_future_release(promised);
    test_destroy(executor);
    assert_int_equal(test_get(delayed.ran), 0);
    assert_int_equal(test_get(delayed.arg_freed), 1);
}

static void test_shd_11_waiting_is_not_drained_in_any_mode(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        check_waiting_is_not_drained(modes[i]);
    }
}

static void test_shd_11_an_hour_of_sleep_does_not_hold_up_destroy(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        weft_executor *executor = test_executor(1);
        weft_future *sleep = weft_sleep(executor, WEFT_SECONDS(3600), NULL);
        int64_t begun = weft_now();
        if (i == 0) {
            assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, test_patience()), 0);
        }
        test_destroy(executor);
        assert_true(weft_now() - begun < test_patience());
        assert_cancelled(sleep, WEFT_REASON_SHUTDOWN);
        weft_future_release(sleep);
    }
}

static void *wait_for_future(void *future)
{
    return (void *)(intptr_t)weft_future_wait(future, WEFT_FOREVER);
}

static void test_shd_11_a_thread_blocked_on_a_promise_wakes(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    weft_promise *promise = weft_promise_create(executor);
    weft_future *future = weft_promise_future(promise);
    pthread_t waiter = test_spawn(wait_for_future, future);
    test_pause(WEFT_MILLISECONDS(5));
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_null(test_join(waiter));
    assert_cancelled(future, WEFT_REASON_SHUTDOWN);
    weft_promise_destroy(promise);
    weft_future_release(future);
    test_destroy(executor);
}

/* Promises stay open until the jobs are done: one of them may still resolve it. */
struct keeper {
    test_gate *gate;
    weft_promise *promise;
    int answer;
};

static void *keep_promise(void *arg)
{
    struct keeper *keeper = arg;
    test_gate_pass(keeper->gate);
    keeper->answer = weft_promise_resolve(keeper->promise, keeper, NULL);
    return keeper;
}

static void test_shd_11_a_draining_job_may_keep_its_promise(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(1);
    struct keeper keeper = {test_gate_make(), weft_promise_create(executor), 1};
    weft_future *promised = weft_promise_future(keeper.promise);
    weft_future *job = weft_submit(executor, keep_promise, &keeper);
    weft_future *bounded = weft_wait_for(job, WEFT_SECONDS(3600), 0);
    weft_future *gather = weft_gather(executor, &job, 1, WEFT_STRICT);
    test_gate_await(keeper.gate, 1);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_MILLISECONDS(10)), -ETIMEDOUT);
    assert_int_equal(weft_future_state(promised), WEFT_PENDING);
    test_gate_open(keeper.gate);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_int_equal(keeper.answer, 0);
    assert_ok(promised, &keeper);
    assert_ok(job, &keeper);
    assert_ok(bounded, &keeper);
    assert_ok(gather, NULL);
    weft_promise_destroy(keeper.promise);
    weft_future_release(promised);
    weft_future_release(job);
    weft_future_release(bounded);
    weft_future_release(gather);
    test_destroy(executor);
}

/* A gather whose inputs the shutdown cancels is itself CANCELLED(SHUTDOWN), not failed, in each gather mode. */
static void test_shd_11_a_gather_of_cancelled_inputs_is_cancelled(void **state)
{
    (void)state;
    const weft_gather_mode gather_modes[] = {WEFT_FIRST_ERROR, WEFT_SETTLED, WEFT_STRICT};
    for (int i = 0; i < 9; i++) {
        weft_executor *executor = test_executor(1);
        test_gate *gate = test_block(executor, 1);
        weft_future *inputs[] = {weft_submit(executor, test_job_return_arg, NULL),
                                 weft_sleep(executor, WEFT_SECONDS(3600), NULL)};
        weft_future *gather = weft_gather(executor, inputs, 2, gather_modes[i % 3]);
        assert_int_equal(weft_executor_shutdown(executor, modes[i / 3], 0), -ETIMEDOUT);
        test_unblock(gate);
        assert_int_equal(weft_executor_shutdown(executor, modes[i / 3], WEFT_FOREVER), 0);
        assert_cancelled(gather, WEFT_REASON_SHUTDOWN);
        weft_future_release(gather);
        weft_future_release(inputs[0]);
        weft_future_release(inputs[1]);
        test_destroy(executor);
    }
}

/* SHD-13 */

static void *sleep_ten_seconds(void *latch)
{
    test_latch_hit(latch);
    test_pause(WEFT_SECONDS(10));
    return NULL;
}

/* In the child: a long job runs and main returns. Static, so that a leak checker finds the executor. */
static int return_from_main(bool by_default)
{
    static weft_executor *executor;
    static weft_future *job;
    const weft_executor_options options = {.workers = 2};
    test_latch *latch = test_latch_make();
    executor = by_default ? NULL : weft_executor_create(&options);
    job = weft_submit(executor, sleep_ten_seconds, latch);
    return job != NULL && test_latch_wait(latch, 1) ? 17 : 1;
}

static void check_exit(const char *argument)
{
    int64_t begun = weft_now();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "test_drain", argument, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(weft_now() - begun < WEFT_SECONDS(6));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 17);
}

static void test_shd_13_the_process_exits_at_once(void **state)
{
    (void)state;
    check_exit("--return-from-main");
    check_exit("--return-from-main-default");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strncmp(argv[1], "--return-from-main", 18) == 0) {
        return return_from_main(strcmp(argv[1], "--return-from-main-default") == 0);
    }
    const struct CMUnitTest drain[] = {
        TEST(test_shd_05_a_weaker_mode_afterwards_changes_nothing),
        TEST(test_shd_09_while_draining_own_children_are_accepted),
        TEST(test_shd_09_while_cancelling_own_children_are_refused),
        TEST(test_shd_09_divide_and_conquer_drains),
        TEST(test_shd_09_a_delayed_job_made_while_draining_is_born_cancelled),
        TEST(test_shd_11_waiting_is_not_drained_in_any_mode),
        TEST(test_shd_11_an_hour_of_sleep_does_not_hold_up_destroy),
        TEST(test_shd_11_a_thread_blocked_on_a_promise_wakes),
        TEST(test_shd_11_a_draining_job_may_keep_its_promise),
        TEST(test_shd_11_a_gather_of_cancelled_inputs_is_cancelled),
        TEST(test_shd_13_the_process_exits_at_once),
    };
    return cmocka_run_group_tests(drain, NULL, NULL);
}
