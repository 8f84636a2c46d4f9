/* uts.h: the unbalanced tree search of Olivier, Huan, Liu, Prins, Dinan, Sadayappan and Tseng ("UTS: an unbalanced tree
 * search benchmark", LCPC 2006), and every library that walks the tree behind this face.
 *
 * A node is a state of twenty bytes, a SHA-1 digest; the state of its i-th child is the digest of its own and of i. How
 * many children it has comes out of its state, by a geometric distribution of mean 4 down to a depth of 10. So nobody
 * knows a subtree's size before he has walked it. The tree from the root of seed 19, which the paper calls T1, has
 * 4130071 nodes.
 *
 * A walk makes a task of each child but the last of a node, walks the last itself and waits for the tasks. */
#ifndef BENCH_UTS_H
#define BENCH_UTS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { UTS_MOST_CHILDREN = 100 };

typedef struct uts_node {
    uint32_t state[5]; /* the digest, in words */
    int depth;
} uts_node;

/* node.c: the tree itself. */
uts_node uts_root(void);
int uts_children(const uts_node *node);
uts_node uts_child(const uts_node *node, int i);

/* One pool of `workers` threads a process. */
void uts_start(unsigned workers);
size_t uts_walk(uts_node root); /* the number of nodes */
void uts_stop(void);

#ifdef __cplusplus
}
#endif
#endif
