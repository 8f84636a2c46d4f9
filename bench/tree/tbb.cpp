/* tbb.cpp: fib with a oneTBB task_group at every level. The calling thread is one of the workers. */
#include "tree.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

namespace {
tbb::global_control *control;
tbb::task_arena *arena;

long fib(int n)
{
    if (n < 2)
        return n;
    long left = 0;
    tbb::task_group group;
    group.run([&left, n] { left = fib(n - 1); });
    long right = fib(n - 2);
    group.wait();
    return left + right;
}
} // namespace

void tree_start(unsigned workers)
{
    control = new tbb::global_control(tbb::global_control::max_allowed_parallelism, workers);
    arena = new tbb::task_arena(static_cast<int>(workers));
}

long tree_fib(int n)
{
    return arena->execute([n] { return fib(n); });
}

void tree_stop()
{
    delete arena;
    delete control;
}
