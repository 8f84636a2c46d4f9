/* gomp.c: the walk with OpenMP tasks, in the runtime of the compiler. The calling thread is one of the workers. */
#include "uts.h"

static int threads;

void uts_start(unsigned workers)
{
    threads = (int)workers;
}

static size_t walk(const uts_node *node)
{
    int n = uts_children(node);
    uts_node children[UTS_MOST_CHILDREN];
    size_t counts[UTS_MOST_CHILDREN], nodes = 1;
    for (int i = 0; i < n; i++) {
        const uts_node *child = &children[i];
        size_t *count = &counts[i];
        children[i] = uts_child(node, i);
        if (i < n - 1) {
#pragma omp task default(none) firstprivate(child, count)
            *count = walk(child);
        } else {
            *count = walk(child);
        }
    }
    if (n > 1) {
#pragma omp taskwait
    }
    for (int i = 0; i < n; i++)
        nodes += counts[i];
    return nodes;
}

size_t uts_walk(uts_node root)
{
    size_t nodes = 0;
#pragma omp parallel num_threads(threads)
#pragma omp single
    nodes = walk(&root);
    return nodes;
}

void uts_stop(void)
{
}
