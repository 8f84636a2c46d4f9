/* worker.c: the loop of a worker.
 *
 * Order of looking for work, and why:
 *   1. high-priority jobs from outside;
 *   2. its own ready deque, newest first: what a job has just submitted is warm in the cache, and fork-join stays deep
 *      before it gets wide;
 *   3. its own inbox, oldest first: the rest of the last batch from outside, so that with one worker jobs from outside
 *      start in the order of their submission;
 *   4. what threads that are blocked or in reserve have left in their deques, of each the inbox first;
 *   5. the outside queue, up to WEFT__BATCH at a time: the first is run, the others go to the inbox, where they can be
 *      stolen;
 *   6. other threads' deques, oldest first, from a random victim on: of each first what its jobs have forked, which
 *      brings a job that has begun to its end sooner, then its ready deque, then its inbox. Jobs from outside come
 *      before that: with all workers busy it does not matter who runs what a job has forked, and to leave it to the job
 *      costs nothing;
 *   7. low-priority jobs.
 * Fairness: after WEFT__FAIR_TICK jobs in a row from its own ready deque, or from what was left behind, a worker takes
 * one from outside (which may lie in an inbox by now), and the next time one that was left behind. So jobs that keep
 * submitting jobs, and jobs that keep blocking, cannot keep strangers waiting for ever, nor what a blocked job has
 * submitted.
 *
 * Everything that can be run can be stolen, or is being run by its holder (a worker has no private slot). With one
 * worker there is nobody to steal, and its ready deque is closed until it goes off duty (block.c). */
#include "executor.h"

#include <errno.h>

enum { NORMAL, HIGH, LOW }; /* weft_priority */

static unsigned random_next(weft__thread *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 17;
    t->random ^= t->random << 5;
    return t->random;
}

static weft__link *take_oldest(weft__deque *d)
{
    void *x;
    do
        x = weft__deque_steal(d);
    while (x == WEFT__STEAL_RETRY);
    return x;
}

/* Takes from one of the outside queues; what is more than one goes to the inbox. */
static weft__link *take_outside(weft__thread *t, unsigned priority, unsigned most)
{
    weft_executor *e = t->executor;
    weft__link *batch[WEFT__BATCH];
    bool more = false;
    unsigned room = WEFT__INBOX_CAPACITY - (unsigned)weft__deque_size(&t->inbox); /* thieves can only add to it */
    unsigned n = weft__inject_take(&e->inject[priority], t->port.hint, batch, most <= room ? most : room + 1, &more);
    for (unsigned i = 1; i < n; i++)
        weft__deque_keep(&t->inbox, batch[i]);
    weft__deque_publish(&t->inbox); /* all in one step */
    if (n > 1 || more)
        weft__notify(e);
    return n ? batch[0] : NULL;
}

static void count_stolen(weft__thread *t, const weft__thread *victim)
{
    weft__count(&t->port.counts.stolen, 1);
    WEFT__PROBE2(steal, t->index, victim->index);
    if (weft__tracing(t->executor))
        weft__trace_moment(t->executor, WEFT__NOTE_STEAL, (int)victim->index, NULL, (weft__mark){0, 0});
}

static weft__link *steal_from(weft__thread *victim)
{
    weft__link *link = take_oldest(&victim->ready);
    return link ? link : take_oldest(&victim->inbox);
}

/* Exactly one of the two, or neither. */
typedef struct find {
    weft__link *link;
    weft_task *task; /* forked by a job on another thread */
} find;

static find steal(weft__thread *t)
{
    weft_executor *e = t->executor;
    unsigned n = atomic_load_explicit(&e->thread_count, memory_order_acquire);
    unsigned first = random_next(t) % n;
    for (unsigned i = 0; i < n; i++) {
        weft__thread *victim = e->threads[(first + i) % n];
        if (victim == t)
            continue;
        find found = {.task = weft__forks_steal(t, victim)};
        if (!found.task && (found.link = steal_from(victim)))
            count_stolen(t, victim);
        if (found.task || found.link)
            return found;
    }
    return (find){NULL, NULL};
}

/* What threads that are blocked or in reserve have left: their inboxes hold older jobs than the outside queue, and
 * their ready deques would have to wait until nothing comes from outside. With one worker the inbox of a thread that
 * has just resumed counts as well, for the sake of the order of submission. strangers: from the inboxes alone. */
static weft__link *take_left_behind(weft__thread *t, bool strangers)
{
    weft_executor *e = t->executor;
    unsigned n = atomic_load_explicit(&e->thread_count, memory_order_acquire);
    bool any = atomic_load_explicit(&e->left_behind, memory_order_relaxed) > 0;
    if (n <= e->workers || (!any && e->workers > 1))
        return NULL;
    for (unsigned i = 0; i < n; i++) {
        weft__thread *other = e->threads[i];
        bool left = atomic_load_explicit(&other->left, memory_order_relaxed);
        weft__link *link = NULL;
        if (other != t && (left || e->workers == 1) &&
            ((link = take_oldest(&other->inbox)) || (left && !strangers && (link = take_oldest(&other->ready))))) {
            count_stolen(t, other);
            return link;
        }
    }
    return NULL;
}

/* In turns: what comes from outside, oldest first, and what was left behind. Either may never come to an end. */
static weft__link *take_fairly(weft__thread *t)
{
    weft__link *link = NULL;
    bool left_first = t->left_first;
    t->tick = 0;
    t->left_first = !left_first;
    if (left_first && (link = take_left_behind(t, false)))
        return link;
    if ((link = take_oldest(&t->inbox)) || (link = take_left_behind(t, true)))
        return link;
    return take_outside(t, NORMAL, 1);
}

static weft__link *take_own(weft__thread *t)
{
    weft__link *link = weft__ready_take(t);
    if (link) {
        t->tick++;
        return link;
    }
    if ((link = take_oldest(&t->inbox)))
        t->tick = 0;
    else if ((link = take_left_behind(t, false)))
        t->tick++;
    return link;
}

static weft__link *look_once(weft__thread *t)
{
    weft_executor *e = t->executor;
    weft__link *link = NULL;
    if (weft__inject_visible(&e->inject[HIGH]) && (link = take_outside(t, HIGH, 1)))
        return link;
    if (t->tick >= WEFT__FAIR_TICK && (link = take_fairly(t)))
        return link;
    if ((link = take_own(t)))
        return link;
    t->tick = 0;
    return take_outside(t, NORMAL, WEFT__BATCH);
}

/* Rounds of looking everywhere, with growing pauses: as many as have paid lately (spin.h), and one where spinning takes
 * the CPU from those who have work. */
static find search(weft__thread *t)
{
    unsigned rounds = t->executor->may_spin ? weft__spin_rounds(&t->spin) : 1;
    for (unsigned i = 0; i < rounds; i++) {
        find found = {.link = look_once(t)};
        if (!found.link)
            found = steal(t);
        if (!found.link && !found.task)
            found.link = take_outside(t, LOW, 1);
        if (found.link || found.task) {
            if (i > 0)
                weft__spin_paid(&t->spin);
            return found;
        }
        if (i == 0)
            weft__nappers_wake(t->executor);
        for (unsigned k = 0; rounds > 1 && k < 8 + i; k++)
            weft__pause();
    }
    weft__spin_failed(&t->spin);
    return (find){NULL, NULL};
}

bool weft__work_visible(weft_executor *e)
{
    for (unsigned p = 0; p < 3; p++)
        if (weft__inject_visible(&e->inject[p]))
            return true;
    unsigned n = atomic_load_explicit(&e->thread_count, memory_order_seq_cst);
    for (unsigned i = 0; i < n; i++)
        if (weft__deque_visible(&e->threads[i]->ready) || weft__deque_visible(&e->threads[i]->inbox) ||
            weft__deque_visible(&e->threads[i]->forks.visible))
            return true;
    return false;
}

weft__link *weft__work_take_any(weft_executor *e)
{
    weft__link *link = NULL;
    bool more = false;
    for (unsigned p = 0; p < 3 && !link; p++) {
        bool left = false;
        weft__inject_take(&e->inject[p], 0, &link, 1, &left);
        more |= left;
    }
    if (more)
        weft__notify(e); /* a worker that found the queue being served may have gone to sleep */
    if (link)
        return link;
    unsigned n = atomic_load_explicit(&e->thread_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++)
        if ((link = steal_from(e->threads[i])))
            return link;
    return NULL;
}

/* Work was seen again and again but could not be had: whoever is putting it in, or is taking it out, is off its CPU. It
 * may need this one. */
static void give_way(weft__thread *t)
{
    enum { PATIENCE = 64, NAP_NS = 100000 };
    if (++t->misses < PATIENCE)
        return;
    t->misses = 0;
    weft__bell_wait(t, weft__bell_read(t), weft__now() + NAP_NS);
}

static void run_task(weft__thread *t, weft_task *task)
{
    if (t->searching)
        weft__search_end(t);
    t->executor->tenant->run_stolen(task);
    t->misses = 0;
}

weft__link *weft__work_find(weft__thread *t)
{
    weft_executor *e = t->executor;
    t->misses = 0;
    for (;;) {
        if (atomic_load_explicit(&e->stopping, memory_order_acquire))
            return NULL;
        if (atomic_load_explicit(&e->surplus, memory_order_relaxed) && weft__retire(t))
            continue;
        find found = {.link = look_once(t)};
        if (!found.link && (t->searching || weft__search_begin(t)))
            found = search(t);
        else if (!found.link)
            weft__nappers_wake(e);
        if (found.link) {
            if (t->searching)
                weft__search_end(t);
            return found.link;
        }
        if (found.task) {
            run_task(t, found.task);
            continue;
        }
        if (weft__sleep_idle(t))
            t->misses = 0;
        else
            give_way(t);
    }
}

void weft__run(weft__thread *t, weft__link *link)
{
    atomic_store_explicit(&t->running, 1, memory_order_relaxed);
    weft__link_ops(link)->run(link, t);
    weft__fork_check(t->executor);
    atomic_store_explicit(&t->running, 0, memory_order_relaxed);
    weft__count(&t->port.counts.finished, 1);
}

static void find_stack(weft__thread *t)
{
    pthread_attr_t attributes;
    void *base = NULL;
    size_t size = 0;
    t->stack_low = NULL;
    if (pthread_getattr_np(pthread_self(), &attributes))
        return;
    if (!pthread_attr_getstack(&attributes, &base, &size))
        t->stack_low = (char *)base + size / 4;
    pthread_attr_destroy(&attributes);
}

static void worker_begin(weft__thread *t)
{
    weft_executor *e = t->executor;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    weft__self.thread = t;
    weft_fork_here = &t->forks.list;
    t->parked_at = weft__now();
    find_stack(t);
    weft__thread_register();
    int refused = e->worker_start ? e->worker_start(t->index, e->data) : 0;
    weft__fork_check(e);
    if (refused) {
        /* In this order: who has seen the code, by an acquire, finds the short forms closed. */
        atomic_fetch_or_explicit(&e->detour, WEFT__DETOUR_BROKEN, memory_order_relaxed);
        atomic_store_explicit(&e->broken, -ENOTRECOVERABLE, memory_order_release);
    }
    /* Written anew by a thread that takes the place of one that its job has ended. */
    atomic_store_explicit(&t->started, !refused, memory_order_release);
}

static void worker_end(weft__thread *t)
{
    weft_executor *e = t->executor;
    if (e->worker_stop && atomic_load_explicit(&t->started, memory_order_relaxed))
        e->worker_stop(t->index, e->data);
    weft__fork_check(e);
    weft__heap_detach(&t->port.heap);
    weft__forks_leave();
    weft__self.thread = NULL;
    atomic_fetch_sub_explicit(&weft__threads_live, 1, memory_order_relaxed);
    weft__shutdown_left(e);
}

static void serve(weft__thread *t)
{
    bool registered = weft__self.registered;
    for (weft__link *link; (link = weft__work_find(t)); weft__run(t, link))
        /* There may have been no memory for the hook when the thread began; a job that ends the thread needs it. */
        if (WEFT__UNLIKELY(!registered))
            registered = weft__thread_register() == 0;
}

/* When a job ends its thread, the hook that settles it (thread.c) runs where the frames below this one have been, and
 * what the job has forked may still be written to by thieves, whom the hook waits for. Between the waits it runs
 * destructors of the program's. So it gets room of its own, as the stack allows, which is left alone until then. */
static void serve_apart(weft__thread *t)
{
    enum { LEAST = 8192, MOST = 32768 };
    char here;
    size_t share = t->stack_low ? (size_t)(&here - t->stack_low) / 8 : LEAST;
    size_t size = share < LEAST ? LEAST : share > MOST ? MOST : share;
    char room[size];
    /* No compiler may leave out or share what it does not know the use of: clang shrinks even a volatile array. */
    __asm__ volatile("" : : "r"(room) : "memory");
    serve(t);
    __asm__ volatile("" : : "r"(room) : "memory"); /* not a tail call */
}

void *weft__worker_main(void *argument)
{
    weft__thread *t = argument;
    /* Who started this thread holds the roster until it can be found by the others. */
    pthread_mutex_lock(&t->executor->roster);
    pthread_mutex_unlock(&t->executor->roster);
    worker_begin(t);
    serve_apart(t);
    worker_end(t);
    return NULL;
}
