/* topology.h: how many CPUs this process may use. */
#ifndef WEFT__TOPOLOGY_H
#define WEFT__TOPOLOGY_H

#include <stdbool.h>

/* Filled by weft__topology_read for its caller alone. */
struct weft__topology {
    unsigned mask;  /* CPUs in the affinity mask of the calling thread, at least 1 */
    unsigned quota; /* CPUs that the tightest quota pays for, rounded up, at least 1; UINT_MAX: there is no quota */
    bool limited;   /* a quota pays for less time than the mask has CPUs, by however little */
};

/* Reads mask and quota anew. `root` stands before every file name that is opened, "" for the system itself; tests give
 * a tree of their own. What cannot be read limits nothing. */
void weft__topology_read(const char *root, struct weft__topology *out);

/* The smaller of mask and quota: as many workers as can make progress at once. At least 1. */
unsigned weft__cpus_allowed(void);

/* Is a quota below the mask in force? Spinning would then use up time that the jobs need. */
bool weft__cpu_quota(void);

#endif
