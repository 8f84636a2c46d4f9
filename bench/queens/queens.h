/* queens.h: n queens on a board of n by n, none of which attacks another; every library behind this face.
 *
 * Row by row each column is tried; for each that is free so far a task gets a copy of the rows above and goes on below.
 * A board of 12 has 14200 solutions. */
#ifndef BENCH_QUEENS_H
#define BENCH_QUEENS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { QUEENS = 12 };

typedef struct queens_board {
    int rows;             /* that have their queen */
    char columns[QUEENS]; /* where it stands */
} queens_board;

/* Is the queen of the last row safe from those above? */
static inline bool queens_safe(const queens_board *board)
{
    int last = board->rows - 1, column = board->columns[last];
    for (int row = 0; row < last; row++) {
        int aside = column - board->columns[row];
        if (aside == 0 || aside == last - row || aside == row - last)
            return false;
    }
    return true;
}

/* The board with one more row, whose queen stands in `column`. */
static inline queens_board queens_next(const queens_board *board, int column)
{
    queens_board next = *board;
    next.columns[next.rows++] = (char)column;
    return next;
}

/* One pool of `workers` threads a process. */
void queens_start(unsigned workers);
size_t queens_count(void); /* the solutions on a board of QUEENS */
void queens_stop(void);

#ifdef __cplusplus
}
#endif
#endif
