/* gomp.c: the search with OpenMP tasks, in the runtime of the compiler. The calling thread is one of the workers. */
#include "queens.h"

static int threads;

void queens_start(unsigned workers)
{
    threads = (int)workers;
}

static size_t search(const queens_board *board)
{
    if (board->rows == QUEENS)
        return 1;
    queens_board next[QUEENS];
    size_t counts[QUEENS], solutions = 0;
    int n = 0;
    for (int column = 0; column < QUEENS; column++) {
        const queens_board *below = &next[n];
        size_t *count = &counts[n];
        next[n] = queens_next(board, column);
        if (!queens_safe(below))
            continue;
        n++;
#pragma omp task default(none) firstprivate(below, count)
        *count = search(below);
    }
#pragma omp taskwait
    while (n-- > 0)
        solutions += counts[n];
    return solutions;
}

size_t queens_count(void)
{
    queens_board empty = {0};
    size_t solutions = 0;
#pragma omp parallel num_threads(threads)
#pragma omp single
    solutions = search(&empty);
    return solutions;
}

void queens_stop(void)
{
}
