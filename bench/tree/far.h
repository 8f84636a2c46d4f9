/* far.h: two functions in a shared library of their own, which do what no fork and join of a shared library can do
 * without: keep what is to be called, and call it. */
#ifndef BENCH_FAR_H
#define BENCH_FAR_H

typedef struct far_task {
    void *(*fn)(void *);
    void *arg;
} far_task;

void far_fork(far_task *task, void *(*fn)(void *), void *arg);
void *far_join(far_task *task);

#endif
