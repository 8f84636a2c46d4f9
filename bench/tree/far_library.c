/* far_library.c: see far.h. */
#include "far.h"

void far_fork(far_task *task, void *(*fn)(void *), void *arg)
{
    task->fn = fn;
    task->arg = arg;
}

void *far_join(far_task *task)
{
    return task->fn(task->arg);
}
