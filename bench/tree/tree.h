/* tree.h: fork and join; every library behind this face. fib.c is written against it and linked once with each.
 *
 * Every call with n of two or more makes one task for n - 1, computes n - 2 itself and waits for the task: there is no
 * size below which it stops making tasks. */
#ifndef BENCH_TREE_H
#define BENCH_TREE_H

#ifdef __cplusplus
extern "C" {
#endif

/* One pool of `workers` threads a process. */
void tree_start(unsigned workers);
long tree_fib(int n);
void tree_stop(void);

#ifdef __cplusplus
}
#endif
#endif
