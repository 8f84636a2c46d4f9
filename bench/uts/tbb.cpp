/* tbb.cpp: the walk with a oneTBB task_group a node. The calling thread is one of the workers. */
#include "uts.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

namespace {
tbb::global_control *control;
tbb::task_arena *arena;

size_t walk(const uts_node &node)
{
    int n = uts_children(&node);
    if (n == 0)
        return 1;
    uts_node children[UTS_MOST_CHILDREN];
    size_t counts[UTS_MOST_CHILDREN], nodes = 1;
    tbb::task_group group;
    for (int i = 0; i < n; i++) {
        children[i] = uts_child(&node, i);
        if (i < n - 1)
            group.run([child = &children[i], count = &counts[i]] { *count = walk(*child); });
        else
            counts[i] = walk(children[i]);
    }
    group.wait();
    for (int i = 0; i < n; i++)
        nodes += counts[i];
    return nodes;
}
} // namespace

void uts_start(unsigned workers)
{
    control = new tbb::global_control(tbb::global_control::max_allowed_parallelism, workers);
    arena = new tbb::task_arena(static_cast<int>(workers));
}

size_t uts_walk(uts_node root)
{
    return arena->execute([&root] { return walk(root); });
}

void uts_stop()
{
    delete arena;
    delete control;
}
