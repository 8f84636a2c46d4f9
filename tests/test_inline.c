/* test_inline.c: what a job has submitted and awaits at once runs on its stack (futures/await.c), and all the same
 * every rule about jobs holds for it: ends of threads, requests, others who know it, stacks that are small, broken
 * executors.
 *
 * Discipline. With one worker, or with the others at a gate, what a job has submitted last is what it awaits first. */
#include "fixtures.h"

#include "future.h"

enum { MANY = 2 * WEFT__READY_CAPACITY };

/* What a job submits; cells count their runs. */
typedef struct heap {
    test_cell cells[MANY];
    weft_future *futures[MANY];
    unsigned n;     /* of them; by the test, before, or by the job */
    bool older;     /* the job awaits what it has submitted first; by the test, before */
    weft_future *f; /* what it awaits; by the job */
} heap;

static void *end_thread(void *unused)
{
    (void)unused;
    pthread_exit(NULL);
}

/* The references of the job that awaits it are lost with its stack. One that is older than others runs inline as well,
 * but its place in the deque is still taken. */
static void *await_one_that_ends_the_thread(void *argument)
{
    heap *h = argument;
    if (h->older)
        h->f = weft_submit(weft_executor_current(), end_thread, NULL);
    for (unsigned i = 0; i < h->n; i++)
        h->futures[i] = weft_submit(weft_executor_current(), test_cell_run, &h->cells[i]);
    if (!h->older)
        h->f = weft_submit(weft_executor_current(), end_thread, NULL);
    (void)weft_await(h->f, NULL);
    TEST_FAIL("a thread that had ended");
    return NULL;
}

static void exit_inline_with(unsigned n, bool older)
{
    static heap h;
    h = (heap){.n = n, .older = older};
    weft_executor *executor = test_executor(1);
    weft_future *job = weft_submit(executor, await_one_that_ends_the_thread, &h);
    assert_done_soon(job);
    assert_err(job, -EOWNERDEAD);
    assert_err(h.f, -EOWNERDEAD);
    weft_future_release(h.f);
    weft_future_release(job);
    for (unsigned i = 0; i < n; i++) {
        assert_done_soon(h.futures[i]);
        assert_int_equal(weft_await(h.futures[i], NULL), 0);
        assert_int_equal(test_get(h.cells[i].ran), 1);
    }
    test_destroy(executor);
}

static void test_res_02_a_thread_ends_in_an_inline_run(void **state)
{
    (void)state;
    for (int older = 0; older < 2; older++) {
        exit_inline_with(0, older);
        exit_inline_with(WEFT__READY_CAPACITY / 2, older);
        exit_inline_with(MANY, older);
    }
}

/* What a job awaits is its newest, but has been cancelled, or has started elsewhere, so it does not run inline. Its
 * place in the deque is empty afterwards, and so the executor comes to its end. */
static void *await_what_was_cancelled(void *argument)
{
    heap *h = argument;
    for (h->n = 0; h->n < 4; h->n++) {
        weft_future *f = weft_submit(weft_executor_current(), test_cell_run, &h->cells[h->n]);
        weft_future *other = h->n % 2 ? weft_future_retain(f) : NULL;
        TEST_EXPECT(weft_cancel(f) == WEFT_CANCEL_DONE);
        TEST_EXPECT(weft_await(f, NULL) == -ECANCELED);
        weft_future_release(other);
    }
    return NULL;
}

static void test_can_01_cancelled_before_it_could_run_inline(void **state)
{
    (void)state;
    static heap h;
    for (unsigned workers = 1; workers <= 2; workers++) {
        h = (heap){.n = 0};
        weft_executor *executor = test_executor(workers);
        test_gate *gate = workers > 1 ? test_block(executor, workers - 1) : NULL;
        assert_int_equal(weft_await(weft_submit(executor, await_what_was_cancelled, &h), NULL), 0);
        if (gate)
            test_unblock(gate);
        test_destroy(executor);
        for (unsigned i = 0; i < h.n; i++)
            assert_int_equal(test_get(h.cells[i].ran), 0);
    }
}

/* Of a job that is run inline others may know: those who wait, those who keep it, and what was made of it. */
typedef struct known {
    weft_executor *executor;
    weft_future *f, *made;
    test_gate *gate; /* passed by the job itself */
    void *value;     /* of the await */
} known;

static void *pass_and_return(void *argument)
{
    known *k = argument;
    test_gate_pass(k->gate);
    return k;
}

static void *await_what_is_known(void *argument)
{
    known *k = argument;
    k->f = weft_submit(k->executor, pass_and_return, k);
    k->made = weft_gather(k->executor, &k->f, 1, WEFT_SETTLED);
    weft_future *own = weft_future_retain(k->f);
    TEST_EXPECT(weft_await(own, &k->value) == 0);
    return NULL;
}

static void *wait_outside(void *argument)
{
    known *k = argument;
    TEST_EXPECT(weft_future_wait(k->f, test_patience()) == 0);
    return NULL;
}

static bool is_waited_for(void *argument)
{
    return weft__word(((known *)argument)->f) & WEFT__SLEEPER;
}

static void test_res_02_others_know_what_runs_inline(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 2; workers++) {
        known k = {.executor = test_executor(workers), .gate = test_gate_make()};
        test_gate *gate = workers > 1 ? test_block(k.executor, workers - 1) : NULL;
        weft_future *job = weft_submit(k.executor, await_what_is_known, &k);
        assert_true(test_gate_await(k.gate, 1));
        pthread_t waiter = test_spawn(wait_outside, &k);
        assert_true(test_until(is_waited_for, &k));
        test_gate_open(k.gate);
        test_join(waiter);
        assert_int_equal(weft_await(job, NULL), 0);
        assert_ptr_equal(k.value, &k);
        assert_done_soon(k.made);
        weft_future_release(k.made);
        assert_ok(k.f, NULL); /* its value was taken */
        weft_future_release(k.f);
        if (gate)
            test_unblock(gate);
        test_destroy(k.executor);
    }
}

/* Waits that are nested deeper than a small stack allows: the innermost one blocks, and it goes on on another stack.
 * ThreadSanitizer keeps things of its own on a stack. */
enum { DEEP = 300, FRAME = 16384, STACK = (TEST_TSAN ? 4096 : 512) * 1024 };

static void *nest(void *argument)
{
    volatile char frame[FRAME];
    uintptr_t n = (uintptr_t)argument;
    void *below = NULL;
    frame[0] = frame[FRAME - 1] = (char)n;
    if (n > 0)
        TEST_EXPECT(weft_await(weft_submit(weft_executor_current(), nest, (void *)(n - 1)), &below) == 0);
    TEST_EXPECT(frame[0] == (char)n && frame[FRAME - 1] == (char)n);
    return (void *)((uintptr_t)below + 1);
}

static void test_blk_02_nested_beyond_a_small_stack(void **state)
{
    (void)state;
    const weft_executor_options options = {.workers = 1, .stack_size = STACK};
    weft_executor *executor = test_executor_with(&options);
    void *value = NULL;
    assert_int_equal(weft_await(weft_submit(executor, nest, (void *)(uintptr_t)DEEP), &value), 0);
    assert_int_equal((uintptr_t)value, DEEP + 1);
    test_destroy(executor);
}

/* The second worker's start fails while the first one's job is about to await what it has submitted. */
typedef struct breaking {
    test_gate *starts; /* passed by the second worker's hook */
    test_cell cell;
    weft_executor *executor;
    int code; /* of the await; by the job */
} breaking;

static int refuse_the_second(unsigned worker, void *data)
{
    breaking *b = data;
    return worker == 1 && test_gate_pass(b->starts);
}

static bool is_broken(void *executor)
{
    return atomic_load_explicit(&((weft_executor *)executor)->broken, memory_order_acquire) != 0;
}

static void *await_when_broken(void *argument)
{
    breaking *b = argument;
    weft_future *f = weft_submit(b->executor, test_cell_run, &b->cell);
    test_gate_open(b->starts);
    for (int64_t deadline = weft_now() + test_patience(); !is_broken(b->executor) && weft_now() < deadline;)
        ;
    b->code = weft_await(f, NULL);
    TEST_EXPECT(weft_submit(b->executor, test_cell_run, &b->cell) == NULL && errno == ENOTRECOVERABLE);
    return NULL;
}

static void test_exe_10_broken_before_it_could_run_inline(void **state)
{
    (void)state;
    for (unsigned round = 0; round < test_rounds(50); round++) {
        static breaking b;
        b = (breaking){.starts = test_gate_make()};
        const weft_executor_options options = {.workers = 2, .worker_start = refuse_the_second, .data = &b};
        b.executor = test_executor_with(&options);
        assert_true(test_gate_await(b.starts, 1));
        assert_int_equal(weft_await(weft_submit(b.executor, await_when_broken, &b), NULL), 0);
        assert_int_equal(b.code, -ENOTRECOVERABLE);
        assert_int_equal(weft_execute(b.executor, test_cell_run, &b.cell), -ENOTRECOVERABLE);
        assert_int_equal(test_get(b.cell.ran), 0);
        test_destroy(b.executor);
    }
}

/* Shutdown has begun, and the coordinator has not come to it yet. */
static void *await_after_the_gate(void *argument)
{
    known *k = argument;
    k->f = weft_submit(k->executor, test_cell_run, k->value);
    test_gate_pass(k->gate);
    TEST_EXPECT(weft_await(k->f, NULL) == -ECANCELED);
    return NULL;
}

static int hold_coordinator(weft_future *future, void *gate)
{
    (void)future;
    test_gate_pass(gate);
    return 0;
}

static void test_shd_03_an_await_after_the_beginning_of_a_shutdown(void **state)
{
    (void)state;
    test_cell cell = {.value = NULL};
    known k = {.executor = test_executor(1), .gate = test_gate_make(), .value = &cell};
    test_gate *held = test_gate_make();
    weft_future *done = test_done_future(k.executor);
    assert_int_equal(weft_on_done(done, hold_coordinator, held, NULL), 0);
    assert_true(test_gate_await(held, 1));
    weft_future *job = weft_submit(k.executor, await_after_the_gate, &k);
    assert_true(test_gate_await(k.gate, 1));
    assert_int_equal(weft_executor_shutdown(k.executor, WEFT_CANCEL_PENDING, 0), -ETIMEDOUT);
    test_gate_open(k.gate);
    assert_done_soon(job);
    test_gate_open(held);
    assert_int_equal(weft_await(job, NULL), 0);
    assert_int_equal(test_get(cell.ran), 0);
    weft_future_release(done);
    test_destroy(k.executor);
}

/* A job that was told nothing asks for its token, which outlives it and is cancelled afterwards. */
static void *ask_for_token(void *unused)
{
    (void)unused;
    return weft_token_retain(weft_current_token());
}

static void *await_one_with_a_token(void *argument)
{
    void *token = NULL;
    TEST_EXPECT(weft_await(weft_submit(weft_executor_current(), ask_for_token, argument), &token) == 0);
    return token;
}

static void test_can_11_a_token_outlives_its_job(void **state)
{
    (void)state;
    weft_fn *const ways[] = {ask_for_token, await_one_with_a_token};
    weft_executor *executor = test_executor(1);
    for (int way = 0; way < 2; way++) {
        void *token = NULL;
        assert_int_equal(weft_await(weft_submit(executor, ways[way], NULL), &token), 0);
        assert_non_null(token);
        assert_true(test_until_counters(0, 0, 0));
        weft_token_cancel(token);
        /* It is asked of the coordinator, which comes to it before it comes to this. */
        weft_future *later = weft_sleep(executor, 1, NULL);
        assert_done_soon(later);
        weft_future_release(later);
        weft_token_release(token);
    }
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_res_02_a_thread_ends_in_an_inline_run),
        TEST(test_can_01_cancelled_before_it_could_run_inline),
        TEST(test_res_02_others_know_what_runs_inline),
        TEST(test_blk_02_nested_beyond_a_small_stack),
        TEST(test_exe_10_broken_before_it_could_run_inline),
        TEST(test_can_11_a_token_outlives_its_job),
        TEST(test_shd_03_an_await_after_the_beginning_of_a_shutdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
