/* uv.c: libuv as a pool: uv_queue_work, and the submitting thread runs the loop on which jobs end. See pool.h.
 *
 * The requests stand in one array, which is the cheapest way to keep them and hence libuv's best. A loop belongs to one
 * thread, so every submitting thread has its own; the threads that run the jobs are the process's. */
#include "measure.h"
#include "pool.h"

#include <uv.h>

#include <stdio.h>
#include <stdlib.h>

static uv_loop_t first_loop;
static _Thread_local uv_loop_t *loop;
static uv_work_t *requests;
static pool_job *the_job;
static unsigned char *done;

void pool_start(unsigned workers, size_t most, pool_job *job)
{
    char size[16];
    snprintf(size, sizeof size, "%u", workers);
    setenv("UV_THREADPOOL_SIZE", size, 1);
    loop = &first_loop;
    bench_check(uv_loop_init(loop) == 0, "uv_loop_init");
    requests = malloc(most * sizeof *requests);
    bench_check(requests != NULL, "malloc");
    done = bench_touched(most);
    the_job = job;
}

static void work(uv_work_t *request)
{
    the_job(request->data);
}

static void after_work(uv_work_t *request, int status)
{
    (void)status;
    done[request - requests] = 1;
}

void pool_submit(size_t i, void *arg)
{
    done[i] = 0;
    requests[i].data = arg;
    uv_queue_work(loop, &requests[i], work, after_work);
}

void pool_enter(void)
{
    loop = malloc(sizeof *loop);
    bench_check(loop && uv_loop_init(loop) == 0, "uv_loop_init");
}

void pool_leave(void)
{
    bench_check(uv_loop_close(loop) == 0, "uv_loop_close");
    free(loop);
}

void pool_wait_some(size_t first, size_t n)
{
    uv_run(loop, UV_RUN_DEFAULT);
    while (n-- > 0)
        bench_check(done[first + n], "uv_run");
}

void pool_wait(size_t i)
{
    while (!done[i])
        uv_run(loop, UV_RUN_ONCE);
}

void pool_wait_all(size_t n)
{
    uv_run(loop, UV_RUN_DEFAULT);
    while (n-- > 0)
        bench_check(done[n], "uv_run");
}

void pool_release(size_t n)
{
    (void)n;
}

size_t pool_bytes(void)
{
    return 0;
}

void pool_stop(void)
{
    uv_loop_close(loop);
    free(requests);
    free(done);
}
