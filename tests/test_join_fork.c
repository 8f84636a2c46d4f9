/* test_join_fork.c: a job that has forked functions forks its process: what the child may join.
 *
 * Discipline. As in test_fork.c: the child is the thread that forked, uses weft and child.h alone, and ends when its
 * function returns to weft. What was stolen and what was not is arranged with two workers and gates before the fork. */
#define _GNU_SOURCE
#include "child.h"

typedef struct scene {
    test_gate *gate;     /* the stolen function stands here in the parent */
    _Atomic(bool) runs;  /* it has been stolen */
    _Atomic(bool) ended; /* the one before it is done on its thief */
    pthread_t thief;
} scene;

static void *answer(void *arg)
{
    return arg;
}

static void *end_at_once(void *argument)
{
    scene *s = argument;
    s->thief = pthread_self();
    atomic_store_explicit(&s->ended, true, memory_order_release);
    return s;
}

static void *stand_at_gate(void *argument)
{
    scene *s = argument;
    atomic_store_explicit(&s->runs, true, memory_order_release);
    test_gate_pass(s->gate);
    return s;
}

static void until(_Atomic(bool) *flag)
{
    int64_t deadline = weft_now() + test_patience();
    while (!atomic_load_explicit(flag, memory_order_acquire) && weft_now() < deadline) {
        weft_task poke;
        weft_fork(&poke, answer, NULL);
        test_pause(20000);
        weft_join(&poke);
    }
    TEST_EXPECT(atomic_load_explicit(flag, memory_order_acquire));
}

static uintptr_t fib(uintptr_t n);

static void *fib_forked(void *n)
{
    return (void *)fib((uintptr_t)n);
}

static uintptr_t fib(uintptr_t n)
{
    weft_task task;
    if (n < 2)
        return n;
    weft_fork(&task, fib_forked, (void *)(n - 1));
    uintptr_t right = fib(n - 2);
    return right + (uintptr_t)weft_join(&task);
}

/* One done on its thief, one running there, and six more that are visible or private. */
static void *fork_process(void *argument)
{
    scene *s = argument;
    weft_task done, stolen, rest[6];
    weft_fork(&done, end_at_once, s);
    until(&s->ended);
    weft_fork(&stolen, stand_at_gate, s);
    until(&s->runs);
    for (int i = 0; i < 6; i++)
        weft_fork(&rest[i], answer, &rest[i]);
    pid_t child = child_fork();
    for (int i = 5; i >= 0; i--) {
        void *value = weft_join(&rest[i]);
        if (child == 0)
            CHILD_EXPECT(value == &rest[i]);
        else
            TEST_EXPECT(value == &rest[i]);
    }
    if (child == 0) {
        CHILD_EXPECT(fib(10) == 55);
        CHILD_EXPECT(weft_join(&stolen) == NULL);
        CHILD_EXPECT(weft_join(&done) == s);
        child_finished();
        return NULL;
    }
    TEST_EXPECT(child_ended_well(child));
    test_gate_open(s->gate);
    TEST_EXPECT(weft_join(&stolen) == s);
    TEST_EXPECT(weft_join(&done) == s);
    TEST_EXPECT(fib(10) == 55);
    return s;
}

static void test_child_joins_what_was_not_stolen(void **state)
{
    (void)state;
    for (unsigned i = 0; i < test_rounds(20); i++) {
        weft_executor *executor = test_executor(2);
        scene s = {.gate = test_gate_make()};
        void *value = NULL;
        assert_int_equal(weft_run(executor, fork_process, &s, &value), 0);
        assert_ptr_equal(value, &s);
        assert_children(1);
        test_destroy(executor);
    }
}

/* A forked function forks its process, on its own thread and on a thief. */
static void *fork_inside(void *argument)
{
    scene *s = argument;
    atomic_store_explicit(&s->runs, true, memory_order_release);
    pid_t child = child_fork();
    CHILD_EXPECT(fib(10) == 55);
    if (child == 0) {
        child_finished();
        return NULL;
    }
    TEST_EXPECT(child_ended_well(child));
    return s;
}

static void *fork_in_forked(void *argument)
{
    scene *s = argument;
    weft_task task;
    pid_t self = getpid();
    weft_fork(&task, fork_inside, s);
    if (s->gate)
        until(&s->runs); /* the gate stands for "stolen" here */
    void *value = weft_join(&task);
    if (getpid() == self)
        TEST_EXPECT(value == s);
    return s;
}

static void test_a_forked_function_forks_the_process(void **state)
{
    (void)state;
    for (unsigned i = 0; i < test_rounds(20); i++) {
        weft_executor *executor = test_executor(i % 2 ? 1 : 2);
        scene s = {.gate = i % 2 ? NULL : test_gate_make()};
        void *value = NULL;
        assert_int_equal(weft_run(executor, fork_in_forked, &s, &value), 0);
        assert_ptr_equal(value, &s);
        assert_children(1);
        test_destroy(executor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_child_joins_what_was_not_stolen),
        TEST(test_a_forked_function_forks_the_process),
    };
    home_make();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
