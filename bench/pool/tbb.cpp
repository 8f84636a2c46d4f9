/* tbb.cpp: oneTBB as a pool, an arena into which tasks are enqueued, and a flag a job. See pool.h.
 *
 * The arena keeps no place for the submitting thread, and the process may have one thread more than there are workers. */
#include "flag.h"
#include "measure.h"
#include "pool.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cstdlib>

namespace {
struct slot {
    void *arg;
    uint32_t done;
};

tbb::global_control *control;
tbb::task_arena *arena;
slot *slots;
pool_job *the_job;
} // namespace

void pool_start(unsigned workers, size_t most, pool_job *job)
{
    control = new tbb::global_control(tbb::global_control::max_allowed_parallelism, workers + 1);
    arena = new tbb::task_arena(static_cast<int>(workers), 0);
    arena->initialize();
    slots = static_cast<slot *>(bench_touched(most * sizeof *slots));
    the_job = job;
}

void pool_submit(size_t i, void *arg)
{
    slot *s = &slots[i];
    s->arg = arg;
    bench_flag_clear(&s->done);
    arena->enqueue([s] {
        the_job(s->arg);
        bench_flag_set(&s->done);
    });
}

void pool_enter()
{
}

void pool_leave()
{
}

void pool_wait_some(size_t first, size_t n)
{
    while (n-- > 0)
        bench_flag_wait(&slots[first + n].done);
}

void pool_wait(size_t i)
{
    bench_flag_wait(&slots[i].done);
}

void pool_wait_all(size_t n)
{
    while (n-- > 0)
        bench_flag_wait(&slots[n].done);
}

void pool_release(size_t)
{
}

size_t pool_bytes()
{
    return 0;
}

void pool_stop()
{
    delete arena;
    delete control;
    free(slots);
}
