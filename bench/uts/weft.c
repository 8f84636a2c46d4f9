/* weft.c: the walk with weft_fork and weft_join. The calling thread sleeps meanwhile. */
#include "measure.h"
#include "uts.h"

#include <weft/weft.h>

static weft_executor *executor;

void uts_start(unsigned workers)
{
    executor = weft_executor_create(&(weft_executor_options){.workers = workers});
    bench_check(executor != NULL, "weft_executor_create");
}

static void *walk(void *argument)
{
    const uts_node *node = argument;
    int n = uts_children(node);
    uts_node children[UTS_MOST_CHILDREN];
    weft_task tasks[UTS_MOST_CHILDREN];
    size_t nodes = 1;
    for (int i = 0; i < n; i++) {
        children[i] = uts_child(node, i);
        if (i < n - 1)
            weft_fork(&tasks[i], walk, &children[i]);
        else
            nodes += (size_t)walk(&children[i]);
    }
    for (int i = n - 1; i-- > 0;)
        nodes += (size_t)weft_join(&tasks[i]);
    return (void *)nodes;
}

size_t uts_walk(uts_node root)
{
    void *nodes = NULL;
    bench_check(weft_run(executor, walk, &root, &nodes) == 0, "weft_run");
    return (size_t)nodes;
}

void uts_stop(void)
{
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
}
