/* lanes.h: what each worker has been doing lately, noted by the jobs themselves.
 *
 * A job says when it begins and ends a piece of work; whoever wants to draw it asks for what was noted since some time.
 * Between two pieces a worker either looked for work or was parked: weft's own counter of parks tells which. */
#ifndef SERVER_LANES_H
#define SERVER_LANES_H

#include <weft/weft.h>

/* How many workers and spares have a lane; what others do is not noted. */
enum { MOST_LANES = 64, MOST_SPANS = 256, WAIT_BUCKETS = 24 };

struct span {
    int64_t begin, end; /* ns of CLOCK_MONOTONIC; end 0: it is still running */
    uint64_t job;
    bool stolen;  /* another worker than the one that began the job */
    bool parked;  /* the worker slept between the span before this one and this */
    bool stopped; /* ended early, because the job was asked to stop */
};

struct lanes;

/* NULL: no memory. */
struct lanes *lanes_create(void);

/* After the jobs that note something are done. NULL does nothing. */
void lanes_destroy(struct lanes *lanes);

/* On a worker, around a piece of work that does not wait in between. stolen, stopped: see struct span. */
void lanes_begin(struct lanes *lanes, uint64_t job, bool stolen);
void lanes_end(struct lanes *lanes, bool stopped);

/* In a job: it was started `waited` ns after it had been submitted. */
void lanes_started(struct lanes *lanes, int64_t waited);

/* The rest: any thread. */

/* One more than the highest index of a worker or spare that has noted anything. */
unsigned lanes_used(struct lanes *lanes);

/* The latest spans of a worker that ended at `since` or later, or run still; oldest first, at most MOST_SPANS. Returns
 * how many; *parks is how often the worker had parked when the last of them began. */
size_t lanes_read(struct lanes *lanes, unsigned worker, int64_t since, struct span spans[MOST_SPANS], uint64_t *parks);

/* How long jobs waited to be started: buckets[k] counts those of less than 2^(k+10) ns, and not less than half of it;
 * the first also all shorter, the last all longer ones. *sum is the sum of their ns. */
void lanes_waits(struct lanes *lanes, uint64_t buckets[WAIT_BUCKETS], uint64_t *sum);

#endif
