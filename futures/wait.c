/* wait.c: threads that wait for a future.
 *
 * What an outside thread does is told in outside.c. A worker first helps: a job that has not started it runs itself, on
 * its own stack, and for a composite that needs all of its inputs it does so with each; it never runs anything that it
 * does not have to wait for, so a wait adds no dependency that the program did not have. What runs elsewhere it waits
 * for with a node on the future that rings its bell, while another thread stands in for it (executor/block.c); the bell
 * also rings when the job that waits is asked to stop. On the coordinator nothing waits. */
#include "future.h"

#include <errno.h>

enum { SPINS = 200 };

/* ---- which waits could never end ---- */

/* Guards the list of untimed waits in workers, and what future.h says of weft__waits_lock. */
static pthread_mutex_t waits_lock = PTHREAD_MUTEX_INITIALIZER;
static weft__thread *waits;

void weft__waits_lock(void)
{
    pthread_mutex_lock(&waits_lock);
}

void weft__waits_unlock(void)
{
    pthread_mutex_unlock(&waits_lock);
}

static bool on_stack(const weft_future *job, const weft_future *f)
{
    while (job && job != f)
        job = weft__outer(job);
    return job != NULL;
}

static weft_future *source_of(weft_future *f)
{
    for (;;) {
        const weft__future_ops *ops = weft__ops_of(f);
        bool open = ops->input && !(ops->timed && ops->timed(f)) && !weft__done(weft__word(f));
        weft_future *input = open ? ops->input(f) : NULL;
        if (!input)
            return f;
        f = input;
    }
}

/* A job that was asked to stop is about to leave its wait. */
static bool is_leaving(const weft__thread *waiter)
{
    return !waiter->awaits_uncut && waiter->job && weft__word(waiter->job) & WEFT__CANCEL;
}

static bool needs_of_lead_to(const weft__thread *t, const weft__thread *waiter);

/* Follows who waits for what from f on: is t among them? Several threads may wait in one job, in functions that it has
 * forked. A thread is looked through once: visited. */
static bool leads_to(const weft__thread *t, weft_future *f)
{
    f = source_of(f);
    if (weft__done(weft__word(f)))
        return false;
    for (weft__thread *other = waits; other; other = other->next_waiting) {
        if (!on_stack(other->job, f))
            continue;
        if (other == t)
            return true;
        if (other->visited || is_leaving(other))
            continue;
        other->visited = true;
        if (needs_of_lead_to(t, other))
            return true;
    }
    return false;
}

static bool needs_of_lead_to(const weft__thread *t, const weft__thread *waiter)
{
    for (size_t i = 0; i < waiter->awaits_count; i++)
        if (leads_to(t, waiter->awaits[i]))
            return true;
    return false;
}

/* Is none of the jobs on whose end f hangs held up by a thread that is stuck? */
static bool comes_some_day(weft_future *f)
{
    f = source_of(f);
    if (weft__done(weft__word(f)))
        return true;
    for (weft__thread *other = waits; other; other = other->next_waiting)
        if (other->stuck && on_stack(other->job, f))
            return false;
    return true;
}

static bool goes_on_some_day(const weft__thread *waiter)
{
    if (is_leaving(waiter))
        return true;
    for (size_t i = 0; i < waiter->awaits_count; i++)
        if (comes_some_day(waiter->awaits[i]) != waiter->awaits_all)
            return !waiter->awaits_all;
    return waiter->awaits_all;
}

/* Of all that wait, takes away who can go on, until nobody is left who can: is t among the rest? */
static bool is_stuck(weft__thread *t)
{
    bool found = true;
    t->stuck = false; /* a destructor's wait within one that has a time limit is not among them */
    for (weft__thread *w = waits; w; w = w->next_waiting)
        w->stuck = true;
    while (found) {
        found = false;
        for (weft__thread *w = waits; w; w = w->next_waiting) {
            if (w->stuck && goes_on_some_day(w)) {
                w->stuck = false;
                found = true;
            }
        }
    }
    return t->stuck;
}

/* Under waits_lock, t being registered. A job that was asked to stop is not refused, as in is_leaving: what it waits for
 * would cut short its wait. The search that is dear takes place only if some way leads back to t. */
static bool would_wait_for_itself(weft__thread *t, const weft__wait *wait)
{
    if (!wait->passes_cancel_on && !wait->deaf && t->job && weft__job_cancelled(t->job))
        return false;
    for (weft__thread *w = waits; w; w = w->next_waiting)
        w->visited = false;
    return needs_of_lead_to(t, t) && is_stuck(t);
}

/* Under waits_lock: what t needs from now on, and for which job. */
static void needs(weft__thread *t, weft_future *job, const weft__wait *wait)
{
    t->job = job;
    t->awaits = wait->futures;
    t->awaits_count = wait->n;
    t->awaits_all = wait->all;
    t->awaits_uncut = wait->passes_cancel_on;
}

static void unlist(weft__thread *t)
{
    *t->link_waiting = t->next_waiting;
    if (t->next_waiting)
        t->next_waiting->link_waiting = t->link_waiting;
    t->awaits_count = 0;
}

/* One that is refused is not seen by others: it goes on. */
static int wait_register(weft__thread *t, const weft__wait *wait)
{
    pthread_mutex_lock(&waits_lock);
    needs(t, weft__self.job, wait);
    t->next_waiting = waits;
    t->link_waiting = &waits;
    if (waits)
        waits->link_waiting = &t->next_waiting;
    waits = t;
    bool never = would_wait_for_itself(t, wait);
    if (never)
        unlist(t);
    pthread_mutex_unlock(&waits_lock);
    return never ? -EDEADLK : 0;
}

static void wait_unregister(weft__thread *t)
{
    pthread_mutex_lock(&waits_lock);
    unlist(t);
    pthread_mutex_unlock(&waits_lock);
}

/* ---- blocking in a worker ---- */

static int block_loop(weft__thread *t, const weft__wait *wait, int64_t deadline)
{
    bool passed_on = false;
    for (;;) {
        uint32_t bell = weft__bell_read(t);
        if (wait->ready(wait->context))
            return 0;
        if (weft__self.job && !passed_on && !wait->deaf && weft__job_cancelled(weft__self.job)) {
            if (!wait->passes_cancel_on)
                return -EINTR;
            uint64_t word = weft__word(weft__self.job);
            weft__cancel(wait->futures[0], weft__reason_below(weft__reason(word)));
            weft__fork_check(t->executor); /* after free_arg */
            weft__block_continued(t);      /* likewise: it may have submitted */
            passed_on = true;
            continue;
        }
        if (deadline != INT64_MAX && weft__now() >= deadline)
            return -ETIMEDOUT;
        weft__bell_wait(t, bell, deadline);
    }
}

/* A free_arg, called by the loop above for a job that the wait has cancelled, waits in turn. The thread is off duty
 * already, and stays so; it is known as one that needs what this wait is for, and then again what the outer one is. */
static int block_within(weft__thread *t, const weft__wait *wait, int64_t deadline, bool untimed)
{
    weft_future *outer_job = t->job;
    const weft__wait outer = {NULL, NULL, t->awaits, t->awaits_count, t->awaits_all, t->awaits_uncut, false};
    bool never = false;
    if (untimed) {
        pthread_mutex_lock(&waits_lock);
        needs(t, weft__self.job, wait);
        never = would_wait_for_itself(t, wait);
        if (never)
            needs(t, outer_job, &outer);
        pthread_mutex_unlock(&waits_lock);
    }
    if (never)
        return -EDEADLK;
    weft__block_continued(t);
    int code = block_loop(t, wait, deadline);
    if (untimed) {
        pthread_mutex_lock(&waits_lock);
        needs(t, outer_job, &outer);
        pthread_mutex_unlock(&waits_lock);
    }
    return code;
}

static int block_on_duty(weft__thread *t, const weft__wait *wait, int64_t deadline, bool untimed)
{
    WEFT_POINT();
    int code = untimed ? wait_register(t, wait) : 0;
    if (code)
        return code;
    code = weft__block_begin(t);
    if (!code) {
        t->off_duty = true;
        code = block_loop(t, wait, deadline);
        t->off_duty = false;
        weft__block_end(t);
    }
    if (untimed)
        wait_unregister(t);
    return code;
}

int weft__block(const weft__wait *wait, int64_t deadline)
{
    weft__thread *t = weft__self.thread;
    bool untimed = deadline == INT64_MAX && wait->n > 0; /* of something that is no future no circle is known */
    bool interrupted = weft__notify_first();
    weft__fork_check(t->executor); /* after destructors */
    int code = t->off_duty ? block_within(t, wait, deadline, untimed) : block_on_duty(t, wait, deadline, untimed);
    weft__notify_later(interrupted);
    return code;
}

/* ---- one future ---- */

typedef struct bell_node {
    weft__waiter node;
    weft__thread *thread;
    _Atomic(bool) told;
} bell_node;

static void ring(weft__waiter *node)
{
    bell_node *b = (bell_node *)(void *)node;
    weft__thread *t = b->thread;
    /* Release, partner of was_told. After this store the waiter may return and its stack be reused. */
    weft_executor *e = t->executor;
    bool foreign = !weft__own_thread(e); /* nothing but a pin makes its end wait for this thread */
    if (foreign)
        weft__executor_pin(e);
    atomic_store_explicit(&b->told, true, memory_order_release);
    weft__bell_ring(t);
    if (foreign)
        weft__executor_unpin(e);
}

static bool was_told(void *context)
{
    bell_node *b = context;
    return atomic_load_explicit(&b->told, memory_order_acquire);
}

static int wait_blocked(weft__thread *t, weft_future *f, int64_t deadline, bool awaits)
{
    bell_node b = {.node.notify = ring, .thread = t};
    if (!weft__attach(f, &b.node))
        return 0;
    weft__wait wait = {was_told, &b, &f, 1, true, awaits, false};
    int code = weft__block(&wait, deadline);
    if (code && !weft__detach(f, &b.node)) {
        /* It was done at the last moment and the news is on its way to this stack. */
        for (uint32_t bell = weft__bell_read(t); !was_told(&b); bell = weft__bell_read(t))
            weft__bell_wait(t, bell, INT64_MAX);
        code = 0;
    }
    return code;
}

typedef struct starting {
    bell_node bell;
    int (*start)(void *context);
    void *context;
    bool started;
    int code; /* of start */
} starting;

/* Looked at for the first time when the wait is registered and another thread stands in. */
static bool start_or_told(void *context)
{
    starting *s = context;
    if (!s->started) {
        s->started = true;
        s->code = s->start(s->context);
        weft__block_continued(s->bell.thread); /* it may have submitted it here */
    }
    return s->code || was_told(&s->bell);
}

int weft__wait_start(weft_future *f, int (*start)(void *context), void *context)
{
    starting s = {{.node.notify = ring, .thread = weft__self.thread}, start, context, false, 0};
    weft__attach(f, &s.bell.node); /* nobody else knows f, so it is not done */
    weft__wait wait = {start_or_told, &s, &f, 1, true, true, false};
    int code = weft__block(&wait, INT64_MAX);
    if (!code)
        code = s.code;
    if (code)
        weft__detach(f, &s.bell.node);
    return code;
}

static bool done_soon(weft_future *f, const weft_executor *e)
{
    for (unsigned i = 0; e->may_spin && i < SPINS; i++) {
        if (weft__done(weft__word(f)))
            return true;
        weft__pause();
    }
    return false;
}

void weft__waits_forked(void)
{
    waits_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    waits = NULL;
}

bool weft__on_own_stack(weft_future *f)
{
    /* What is on a stack runs: the walk is spared for what has not started. */
    bool derived = weft__ops_of(f)->input != NULL;
    if (derived)
        weft__waits_lock();
    weft_future *source = source_of(f);
    bool on_own_stack = weft__state(weft__word(source)) == WEFT_RUNNING && on_stack(weft__self.job, source);
    if (derived)
        weft__waits_unlock();
    return on_own_stack;
}

/* Not in a job that was asked to stop: weft_await passes that on to what it waits for, other waits end. */
bool weft__help_goes_on(void)
{
    weft__self_t *self = &weft__self;
    return !weft__stack_is_low(self->thread) && !(self->job && weft__job_cancelled(self->job));
}

static int wait_in_worker(weft__thread *t, weft_future *f, int64_t deadline, bool awaits)
{
    if (weft__on_own_stack(f))
        return -EDEADLK;
    const weft__future_ops *ops = weft__ops_of(f);
    if (deadline == INT64_MAX && ops->help) {
        weft__self.looks = WEFT__HELP_LOOKS;
        int code = ops->help(f, awaits);
        if (code)
            return code;
        if (weft__done(weft__word(f)))
            return 0;
    }
    if (weft__self.job && weft__job_cancelled(weft__self.job)) { /* meanwhile */
        if (!awaits)
            return -EINTR;
        weft__cancel(f, weft__reason_below(weft__reason(weft__word(weft__self.job))));
        weft__fork_check(t->executor); /* after free_arg */
    }
    return done_soon(f, t->executor) ? 0 : wait_blocked(t, f, deadline, awaits);
}

int weft__wait_done(weft_future *f, int64_t timeout, bool awaits)
{
    weft__self_t *self = &weft__self;
    if (weft__stale(f->executor))
        return -ESTALE;
    if (weft__done(weft__word(f)))
        return 0;
    if (self->job && !awaits && weft__job_cancelled(self->job))
        return weft__done(weft__word(f)) ? 0 : -EINTR;
    if (timeout <= 0)
        return -ETIMEDOUT;
    if (self->coordinator)
        return -EDEADLK;
    int64_t deadline = timeout == WEFT_FOREVER ? INT64_MAX : weft__deadline(weft__now(), timeout);
    return self->thread ? wait_in_worker(self->thread, f, deadline, awaits) : weft__wait_outside(f, deadline);
}

int weft_future_wait(weft_future *f, int64_t timeout)
{
    return f ? weft__wait_done(f, timeout, false) : weft__no_future();
}
