/* tbb.cpp: the search with a oneTBB task_group a node. The calling thread is one of the workers. */
#include "queens.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

namespace {
tbb::global_control *control;
tbb::task_arena *arena;

size_t search(const queens_board &board)
{
    if (board.rows == QUEENS)
        return 1;
    queens_board next[QUEENS];
    size_t counts[QUEENS], solutions = 0;
    int n = 0;
    tbb::task_group group;
    for (int column = 0; column < QUEENS; column++) {
        next[n] = queens_next(&board, column);
        if (queens_safe(&next[n])) {
            group.run([below = &next[n], count = &counts[n]] { *count = search(*below); });
            n++;
        }
    }
    group.wait();
    while (n-- > 0)
        solutions += counts[n];
    return solutions;
}
} // namespace

void queens_start(unsigned workers)
{
    control = new tbb::global_control(tbb::global_control::max_allowed_parallelism, workers);
    arena = new tbb::task_arena(static_cast<int>(workers));
}

size_t queens_count()
{
    return arena->execute([] { return search(queens_board{}); });
}

void queens_stop()
{
    delete arena;
    delete control;
}
