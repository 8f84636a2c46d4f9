/* glib.c: GLib's thread pool, and a flag a job. See pool.h. */
#include "flag.h"
#include "measure.h"
#include "pool.h"

#include <glib.h>

#include <stdlib.h>

typedef struct slot {
    void *arg;
    uint32_t done;
} slot;

static GThreadPool *pool;
static slot *slots;
static pool_job *the_job;

static void run(gpointer data, gpointer user_data)
{
    slot *s = data;
    (void)user_data;
    the_job(s->arg);
    bench_flag_set(&s->done);
}

void pool_start(unsigned workers, size_t most, pool_job *job)
{
    pool = g_thread_pool_new(run, NULL, (gint)workers, TRUE, NULL);
    bench_check(pool != NULL, "g_thread_pool_new");
    slots = bench_touched(most * sizeof *slots);
    the_job = job;
}

void pool_submit(size_t i, void *arg)
{
    slots[i].arg = arg;
    bench_flag_clear(&slots[i].done);
    g_thread_pool_push(pool, &slots[i], NULL);
}

void pool_enter(void)
{
}

void pool_leave(void)
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
    g_thread_pool_free(pool, FALSE, TRUE);
    free(slots);
}
