/* weft.c: the search with weft_fork and weft_join. The calling thread sleeps meanwhile. */
#include "measure.h"
#include "queens.h"

#include <weft/weft.h>

static weft_executor *executor;

void queens_start(unsigned workers)
{
    executor = weft_executor_create(&(weft_executor_options){.workers = workers});
    bench_check(executor != NULL, "weft_executor_create");
}

static void *search(void *argument)
{
    const queens_board *board = argument;
    if (board->rows == QUEENS)
        return (void *)1;
    queens_board next[QUEENS];
    weft_task tasks[QUEENS];
    size_t solutions = 0;
    int n = 0;
    for (int column = 0; column < QUEENS; column++) {
        next[n] = queens_next(board, column);
        if (queens_safe(&next[n])) {
            weft_fork(&tasks[n], search, &next[n]);
            n++;
        }
    }
    while (n-- > 0)
        solutions += (size_t)weft_join(&tasks[n]);
    return (void *)solutions;
}

size_t queens_count(void)
{
    queens_board empty = {0};
    void *solutions = NULL;
    bench_check(weft_run(executor, search, &empty, &solutions) == 0, "weft_run");
    return (size_t)solutions;
}

void queens_stop(void)
{
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
}
