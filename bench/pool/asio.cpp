/* asio.cpp: Boost.Asio's thread pool with std::packaged_task, the handles being std::future. See pool.h. */
#include "measure.h"
#include "pool.h"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <future>
#include <vector>

namespace {
boost::asio::thread_pool *pool;
std::vector<std::future<void>> *futures;
pool_job *the_job;
} // namespace

void pool_start(unsigned workers, size_t most, pool_job *job)
{
    pool = new boost::asio::thread_pool(workers);
    futures = new std::vector<std::future<void>>(most);
    the_job = job;
}

void pool_submit(size_t i, void *arg)
{
    std::packaged_task<void()> task([arg] { the_job(arg); });
    (*futures)[i] = task.get_future();
    boost::asio::post(*pool, std::move(task));
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
        (*futures)[first + n].wait();
}

void pool_wait(size_t i)
{
    (*futures)[i].wait();
}

void pool_wait_all(size_t n)
{
    while (n-- > 0)
        (*futures)[n].wait();
}

void pool_release(size_t n)
{
    for (size_t i = 0; i < n; i++)
        (*futures)[i] = {};
}

size_t pool_bytes()
{
    return 0;
}

void pool_stop()
{
    pool->join();
    delete pool;
    delete futures;
}
