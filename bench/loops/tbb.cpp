/* tbb.cpp: oneTBB's parallel_for and parallel_deterministic_reduce, with their own ways to cut; the latter, whose sums
 * repeat as weft's do, needs a grain and gets weft's. The calling thread is one of the workers. */
#include "loops.h"

#include <atomic>
#include <functional>

#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>
#include <tbb/task_arena.h>

namespace {
tbb::global_control *control;
tbb::task_arena *arena;
using range = tbb::blocked_range<size_t>;
} // namespace

void loops_start(unsigned workers)
{
    control = new tbb::global_control(tbb::global_control::max_allowed_parallelism, workers);
    arena = new tbb::task_arena(static_cast<int>(workers));
}

uint64_t loops_for(size_t n, loops_body *body, const void *data)
{
    std::atomic<uint64_t> sum{0};
    arena->execute([&] {
        tbb::parallel_for(range(0, n), [&](const range &r) {
            sum.fetch_add(body(r.begin(), r.end(), data), std::memory_order_relaxed);
        });
    });
    return sum;
}

double loops_sum(const double *terms, size_t n)
{
    return arena->execute([&] {
        return tbb::parallel_deterministic_reduce(
            range(0, n, 4096), 0.0,
            [&](const range &r, double sum) { return loops_add(r.begin(), r.end(), terms, sum); }, std::plus<double>());
    });
}

void loops_stop()
{
    delete arena;
    delete control;
}
