/* loop.c: where a loop runs, and what its pieces have in common.
 *
 * In a job of the loop's executor it runs in place: that job's thread begins with it, and others steal halves from it.
 * From everywhere else a job is submitted, and the caller waits for it as weft_await does. The record of the loop is on
 * the caller's stack, so the wait must not be refused once the job can be begun. Outside nothing refuses it. In a job
 * of another executor the wait comes first: when it is registered, for others to see that they must not wait for this
 * job in turn, and another thread stands in for this one, the loop's job goes into the queue.
 *
 * weft_fail takes its note in a field of the thread. That field is set aside for the whole loop and cleared before each
 * piece, so what a piece says is the loop's and the job that calls the loop fails only if it says so itself. */
#include "loop.h"

/* A half that ended the thread of who had stolen it has failed the loop, and counts there by its place in the range; it
 * must not fail the job, whose failure would go before those of the pieces below it. */
static void run_here(weft__loop *l)
{
    int outer_failure = weft__self.failure;
    l->code = l->body(l);
    weft__self.failure = outer_failure;
}

static void *in_job(void *loop)
{
    run_here(loop);
    return NULL;
}

/* The job's outcome if it did not come to its end, else the loop's. */
static int outcome(const weft__loop *l, weft_future *f)
{
    int code = weft_await(f, NULL);
    return code ? code : l->code;
}

static int run_from_foreign_job(weft__loop *l)
{
    weft__batch batch;
    int code = weft__batch_begin(&batch, l->executor, 1, 2, NULL);
    if (code)
        return code;
    weft_future *f = weft__batch_add(&batch, in_job, l);
    code = f ? weft__batch_queue_and_wait(&batch, f) : -ENOMEM;
    if (code) {
        weft__batch_refuse(&batch);
        return code;
    }
    return outcome(l, f);
}

/* On a thread of the program's, or in a destructor that runs on a worker. */
static int run_from_outside(weft__loop *l)
{
    weft_future *f = weft_submit(l->executor, in_job, l);
    if (!f)
        return -errno;
    int refused = weft__wait_done(f, WEFT_FOREVER, true);
    if (!refused)
        return outcome(l, f);
    /* Nobody can stand in, or it is too deep; but what f runs uses this stack. */
    bool never_run = weft_cancel(f) == WEFT_CANCEL_DONE;
    weft__wait_settled(f);
    int code = outcome(l, f);
    return never_run ? refused : code;
}

int weft__loop_run(weft__loop *l, weft_executor *executor)
{
    weft__self_t *self = &weft__self;
    l->executor = weft__executor_or_default(executor);
    if (!l->executor)
        return -errno;
    if (self->coordinator)
        return -EDEADLK;
    l->code = 0;
    atomic_init(&l->halt, SIZE_MAX);
    if (!self->job)
        return run_from_outside(l);
    if (self->job->executor != l->executor)
        return run_from_foreign_job(l);
    run_here(l);
    return l->code;
}

int weft__loop_look(weft__loop *l, size_t begin)
{
    /* relaxed: a hint; a piece that is begun all the same does no harm. */
    if (WEFT__UNLIKELY(begin > atomic_load_explicit(&l->halt, memory_order_relaxed)))
        return -EINTR;
    return WEFT__UNLIKELY(weft_cancelled()) ? -ECANCELED : 0;
}

int weft__loop_leave(weft__loop *l, size_t last)
{
    weft__fork_check(l->executor);
    int code = weft__self.failure;
    if (WEFT__LIKELY(code == 0))
        return 0;
    /* relaxed, as the look: nothing is read on the strength of it. */
    size_t halt = atomic_load_explicit(&l->halt, memory_order_relaxed);
    while (last < halt &&
           !atomic_compare_exchange_weak_explicit(&l->halt, &halt, last, memory_order_relaxed, memory_order_relaxed))
        ;
    return code;
}
