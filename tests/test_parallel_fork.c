/* test_parallel_fork.c: parallel loops and fork (FRK): what a child may do with an executor that it inherited, and what
 * becomes of a child that is made in a piece.
 *
 * Discipline. As child.h tells: a child checks with CHILD_EXPECT and reports in the shared page. */
#define _GNU_SOURCE
#include "child.h"
#include "loops.h"

static int status_of(pid_t child)
{
    int status = -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}

static void never_range(size_t begin, size_t end, void *data)
{
    (void)begin;
    (void)end;
    (void)data;
    const bool ran_on_an_inherited_executor = true;
    CHILD_EXPECT(!ran_on_an_inherited_executor);
}

static void never_reduce(size_t begin, size_t end, void *accumulator, void *data)
{
    (void)accumulator;
    never_range(begin, end, data);
}

static void never_combine(void *into, const void *from, void *data)
{
    (void)into;
    (void)from;
    never_range(0, 0, data);
}

static void expect_refused(weft_executor *executor)
{
    size_t zero = 0, sum = 5;
    static char large[1000], result[1000];
    CHILD_EXPECT(weft_parallel_for(executor, 0, 10, 0, never_range, NULL) == -ESTALE);
    CHILD_EXPECT(weft_parallel_for(executor, 0, 0, 0, never_range, NULL) == 0);
    CHILD_EXPECT(weft_parallel_reduce(executor, 0, 10, 1, 8, &zero, never_reduce, never_combine, NULL, &sum) ==
                 -ESTALE);
    CHILD_EXPECT(weft_parallel_reduce(executor, 0, 10, 0, 1000, large, never_reduce, never_combine, NULL, result) ==
                 -ESTALE);
    CHILD_EXPECT(sum == 5);
}

static void count(size_t begin, size_t end, void *sum)
{
    atomic_fetch_add_explicit((_Atomic(size_t) *)sum, end - begin, memory_order_relaxed);
}

static void test_frk_in_a_child_of_an_outside_thread(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    _Atomic(size_t) sum = 0;
    assert_int_equal(weft_parallel_for(executor, 0, 100, 1, count, &sum), 0);
    pid_t child = child_fork();
    if (child == 0) {
        expect_refused(executor);
        CHILD_EXPECT(weft_parallel_for(NULL, 0, 1000, 0, count, &sum) == 0);
        CHILD_EXPECT(test_get(sum) == 1100);
        _exit(test_get(home->failures) != 0);
    }
    assert_int_equal(status_of(child), 0);
    assert_int_equal(weft_parallel_for(executor, 0, 100, 1, count, &sum), 0);
    assert_int_equal(test_get(sum), 200);
    test_destroy(executor);
}

/* The child of a piece ends behind it, the parent's loop goes on. */
typedef struct forking {
    weft_executor *executor;
    _Atomic(size_t) sum;
    _Atomic(pid_t) child;
} forking;

static void fork_in_one(size_t begin, size_t end, void *data)
{
    forking *f = data;
    if (begin <= 17 && 17 < end) {
        pid_t child = child_fork();
        if (child == 0) {
            expect_refused(f->executor);
            return;
        }
        atomic_store_explicit(&f->child, child, memory_order_release);
    }
    note_stray();
    atomic_fetch_add_explicit(&f->sum, end - begin, memory_order_relaxed);
}

static void fork_in_reduce(size_t begin, size_t end, void *accumulator, void *data)
{
    *(size_t *)accumulator += end - begin;
    fork_in_one(begin, end, data);
}

static void add_sizes(void *into, const void *from, void *data)
{
    (void)data;
    *(size_t *)into += *(const size_t *)from;
}

static void test_frk_a_child_of_a_piece_ends_behind_it(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        forking f = {.executor = test_executor(workers)};
        for (size_t grain = 0; grain < 3; grain++) {
            size_t zero = 0, sum = 0;
            assert_int_equal(weft_parallel_for(f.executor, 0, 100, grain, fork_in_one, &f), 0);
            assert_int_equal(status_of(test_get(f.child)), 0);
            assert_int_equal(
                weft_parallel_reduce(f.executor, 0, 100, grain, sizeof sum, &zero, fork_in_reduce, add_sizes, &f, &sum),
                0);
            assert_int_equal(status_of(test_get(f.child)), 0);
            assert_int_equal(sum, 100);
        }
        assert_int_equal(test_get(f.sum), 600);
        test_destroy(f.executor);
    }
    assert_int_equal(test_get(home->strays), 0);
    assert_int_equal(test_get(home->failures), 0);
}

int main(void)
{
    home_make();
    const struct CMUnitTest tests[] = {
        TEST(test_frk_in_a_child_of_an_outside_thread),
        TEST(test_frk_a_child_of_a_piece_ends_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
