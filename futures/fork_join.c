/* fork_join.c: functions that a job forks, run by it or by thieves, always as part of the job.
 *
 * Where tasks are, and how they become visible to thieves, is told in executor/forks.c; here is what the program calls,
 * and what makes a stolen function part of the job that forked it.
 *
 * The context travels with the task. While a thief runs it, weft__self.job is the job, so weft_cancelled, the token,
 * the registration of waits and the walk outwards along `outer` are as on the job's own thread: what stands on that
 * thread's stack below the job waits for it, and therefore for the task, wherever that runs. So several threads may be
 * in one job at a time; what they share of it is its word and its options (own_token.c), both made for that. The rest
 * of weft__self, the failure above all, is the thread's; a failure goes home with the value, and is the job's from the
 * join on, as if it had been said there.
 *
 * Who joins a stolen task first helps the thief, with what the thief has forked in it, and only then blocks. As long as
 * the task is not done there is nothing else in the thief's deque: it stole when it had nothing visible itself, as a
 * thread that looks for work or as one that waits in a join, whose older tasks are taken likewise; and what it has run
 * on top since belongs to the task (Wagner and Calder, "Leapfrogging", PPoPP 1993). When the task is done the deque may
 * fill with anything, so who helps takes from it only what was there before (weft__forks_steal_part). So a join adds no
 * dependency, and what it runs fits into the job that waits.
 *
 * A thread may be ended by a function that it has stolen. It then keeps no stack, so which tasks were on it is noted in
 * the tasks, whose memory the owner keeps: `outer`, and in `interrupted` the job that ran here before. */
#include "future.h"

#include <errno.h>

enum { SPINS = 200 };

/* ---- stolen ---- */

static uint32_t note_task(weft_executor *e, const weft_task *task)
{
    return weft__trace_begin(e, WEFT__NOTE_TASK, weft__name(task->job), (weft__mark){0, 0}, false);
}

void weft__run_stolen(weft_task *task)
{
    weft__self_t *self = &weft__self;
    weft_executor *e = self->thread->executor;
    uint32_t epoch = self->job_epoch;
    int failure = self->failure;
    task->interrupted = self->job;
    task->outer = self->stolen;
    task->next = self->thread->forks.published; /* see weft__forks_abandon */
    self->stolen = task;
    self->job = task->job;
    self->job_epoch = atomic_load_explicit(&e->cancel_epoch, memory_order_relaxed) - 1; /* as in weft__call_as_job */
    self->failure = 0;
    uint32_t noted = weft__tracing(e) ? note_task(e, task) : 0;
    void *value = task->fn(task->arg);
    weft__fork_check(e);
    int own = self->failure;
    if (WEFT__UNLIKELY(noted))
        weft__trace_end(e, noted, own);
    self->failure = failure;
    self->job_epoch = epoch;
    self->job = task->interrupted;
    self->stolen = task->outer;
    weft__fork_done(task, value, own);
}

weft_future *weft__stolen_abandon(weft_future *job)
{
    weft__self_t *self = &weft__self;
    for (;;) {
        weft_task *task = self->stolen;
        weft__forks_abandon(self->thread, job, task);
        if (!task || task->job != job)
            return job;
        job = task->interrupted;
        self->stolen = task->outer;
        weft__fork_done(task, NULL, -EOWNERDEAD);
    }
}

/* ---- joining what was stolen ---- */

static bool is_done(void *task)
{
    return weft__fork_is_done(task);
}

/* Runs something that the task waits for. */
static bool help(weft__thread *t, weft_task *task)
{
    weft__thread *thief = atomic_load_explicit(weft__fork_thief(task), memory_order_acquire);
    if (!thief || t->depth >= WEFT__INLINE_DEPTH || weft__stack_is_low(t))
        return false;
    weft_task *part = weft__forks_steal_part(t, thief, task);
    if (!part)
        return false;
    t->depth++;
    weft__run_stolen(part);
    t->depth--;
    return true;
}

static bool done_soon(weft__thread *t, weft_task *task)
{
    unsigned rounds = t->executor->may_spin ? SPINS : 1;
    for (unsigned i = 0; i < rounds && !is_done(task);) {
        if (help(t, task)) {
            i = 0;
        } else {
            weft__pause();
            i++;
        }
    }
    return is_done(task);
}

static void wait_blocked(weft__thread *t, weft_task *task)
{
    uint32_t running = WEFT__FORK_RUNNING;
    WEFT_POINT();
    /* Acquire if it fails: the task is done. Partner: the exchange in weft__fork_done. */
    if (!atomic_compare_exchange_strong_explicit(weft__fork_state(task), &running, WEFT__FORK_AWAITED,
                                                 memory_order_acq_rel, memory_order_acquire))
        return;
    weft__wait wait = {.ready = is_done, .context = task, .all = true, .deaf = true};
    if (!weft__block(&wait, INT64_MAX))
        return;
    /* Nobody can stand in, because all the spares that there may be are in use; so this place is lost until the thief
     * has come to its end. */
    for (uint32_t bell = weft__bell_read(t); !is_done(task); bell = weft__bell_read(t))
        weft__bell_wait(t, bell, INT64_MAX);
}

static void *join_stolen(weft__thread *t, weft_task *task)
{
    if (!done_soon(t, task))
        wait_blocked(t, task);
    t->forks.published = task->below;
    if (task->failure)
        weft__self.failure = task->failure;
    return task->arg;
}

/* ---- what the program calls ---- */

/* The task was forked by a job of the parent process, and is joined by the same function in the child. */
static void *join_inherited(weft_task *task)
{
    bool raised = false;
    if (!task->previous) {
        if (is_done(task))
            return task->arg;
        /* Of what was inherited, this deque is this thread's own: no thread of the parent can have left it halfway. */
        weft__thread *owner = task->owner;
        if (!weft__deque_pop(&owner->forks.visible, &raised))
            return NULL;
    }
    return task->fn(task->arg);
}

/* Others can take too little from here, or the thread runs no jobs. */
static __attribute__((noinline)) void fork_wanted(weft_fork_list *list, weft_task *task)
{
    if (list == &weft__forks_nowhere) {
        weft_fn *fn = task->fn;
        task->fn = NULL;
        task->arg = fn(task->arg);
        return;
    }
    weft__fork_push(list, task);
    weft__forks_publish(weft__self.thread);
}

static __attribute__((noinline)) void *join_visible(weft_fork_list *list, weft_task *task)
{
    weft__thread *t = weft__self.thread;
    if (!task->fn)
        return task->arg;
    if (list == &weft__forks_nowhere)
        return join_inherited(task);
    if (list->newest == task) {
        list->newest = task->previous;
        weft__forks_publish(t);
    } else if (!weft__forks_take_back(t, task)) {
        return join_stolen(t, task);
    }
    return task->fn(task->arg);
}

void weft_fork(weft_task *task, weft_fn *fn, void *arg)
{
    weft_fork_list *list = weft_fork_here;
    task->fn = fn;
    task->arg = arg;
    /* Relaxed: it orders nothing; see forks.c. */
    if (WEFT__UNLIKELY(atomic_load_explicit((_Atomic(uint32_t) *)(void *)&list->wanted, memory_order_relaxed)))
        fork_wanted(list, task);
    else
        weft__fork_push(list, task);
}

void *weft_join(weft_task *task)
{
    weft_fork_list *list = weft_fork_here;
    if (WEFT__UNLIKELY(list->newest != task ||
                       atomic_load_explicit((_Atomic(uint32_t) *)(void *)&list->wanted, memory_order_relaxed)))
        return join_visible(list, task);
    list->newest = task->previous;
    return task->fn(task->arg);
}

/* In a job. What is made for it is begun here, or when the wait for it can no longer be refused. */
static int run_in_job(weft_executor *e, weft_fn *fn, void *arg, void **value)
{
    weft__batch batch;
    weft__thread *t = weft__self.thread;
    bool here = t->executor == e && !weft__stack_is_low(t);
    int code = weft__batch_begin(&batch, e, 1, 2, NULL);
    if (code)
        return code;
    weft_future *f = weft__batch_add(&batch, fn, arg);
    if (f)
        code = here ? weft__job_run_fresh(f) : weft__batch_queue_and_wait(&batch, f);
    else
        code = -ENOMEM;
    if (code) {
        weft__batch_refuse(&batch);
        return code;
    }
    return weft_await(f, value);
}

/* The wait for it was refused, in a destructor on a worker. The function must not run when weft_run has returned, since
 * its argument may be gone; if it runs already, it does so on a worker of its own, and comes to its end. */
static bool taken_back(weft_future *f)
{
    if (weft__claim(f, WEFT__CLAIMED, 0)) {
        weft__job_end_claimed(f, WEFT_REASON_SELF);
        weft_future_release(f);
        return true;
    }
    weft__wait_settled(f);
    return false;
}

int weft_run(weft_executor *executor, weft_fn *fn, void *arg, void **value)
{
    if (weft__self.coordinator)
        return -EDEADLK;
    if (!fn)
        return -EINVAL;
    if (!(executor = weft__executor_or_default(executor)))
        return -errno;
    if (weft__self.job)
        return run_in_job(executor, fn, arg, value);
    weft_future *f = weft_submit(executor, fn, arg);
    if (!f)
        return -errno;
    int refused = weft__wait_done(f, WEFT_FOREVER, true);
    return refused && taken_back(f) ? refused : weft_await(f, value);
}
