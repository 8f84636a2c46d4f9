/* wait_many.c: weft_wait: a thread that waits for several futures at once, and is woken once.
 *
 * The set of nodes is a block of its own, held by the waiter and by each node that is attached, so it does not matter
 * whether a node's future is done before or after the waiter has gone. */
#include "future.h"

#include <errno.h>

typedef struct wait_set wait_set;

typedef struct set_node {
    weft__waiter node;
    wait_set *set;
    weft_future *future; /* borrowed from the caller of weft_wait, who holds it until he returns; see set_told */
} set_node;

struct wait_set {
    _Atomic(uint32_t) signalled; /* futex of outside threads; 1: the condition holds */
    _Atomic(size_t) left;        /* futures not done, and one for the maker */
    _Atomic(size_t) holders;
    weft_wait_mode mode;
    weft__thread *thread; /* whose bell to ring; NULL: an outside thread */
    size_t n;
    set_node nodes[];
};

static void set_drop(wait_set *set, size_t by)
{
    if (atomic_fetch_sub_explicit(&set->holders, by, memory_order_acq_rel) != by)
        return;
    weft_executor *e = set->thread ? set->thread->executor : NULL;
    weft__memory_free(set, sizeof *set + set->n * sizeof *set->nodes);
    if (e)
        weft__executor_unpin(e);
}

static void signal_set(wait_set *set)
{
    weft__thread *t = set->thread;
    atomic_store_explicit(&set->signalled, 1, memory_order_release);
    if (t)
        weft__bell_ring(t);
    else
        weft__futex_wake(&set->signalled, 1);
}

static bool decides(const wait_set *set, uint64_t word)
{
    unsigned state = weft__state(word);
    return set->mode == WEFT_FIRST_COMPLETED ||
           (set->mode == WEFT_FIRST_EXCEPTION && (state == WEFT_FAILED || state == WEFT_TIMED_OUT));
}

static void one_done(wait_set *set, uint64_t word)
{
    bool last = atomic_fetch_sub_explicit(&set->left, 1, memory_order_acq_rel) == 1;
    if (last || decides(set, word))
        signal_set(set);
}

static void set_told(weft__waiter *node)
{
    set_node *x = (set_node *)(void *)node;
    one_done(x->set, weft__word(x->future));
    weft__unref(x->future);
    set_drop(x->set, 1);
}

static bool set_ready(void *context)
{
    wait_set *set = context;
    return atomic_load_explicit(&set->signalled, memory_order_acquire);
}

static wait_set *set_new(weft_future *const futures[], size_t n, weft_wait_mode mode)
{
    if (n > (SIZE_MAX / 2) / sizeof(set_node))
        return NULL;
    wait_set *set = weft__memory_alloc(sizeof *set + n * sizeof *set->nodes);
    if (!set)
        return NULL;
    atomic_init(&set->signalled, 0);
    atomic_init(&set->left, n + 1);
    atomic_init(&set->holders, n + 1);
    set->mode = mode;
    set->thread = weft__self.thread;
    set->n = n;
    if (set->thread) /* whoever is told last may come when the wait, its job and all of its executor are over */
        weft__executor_pin(set->thread->executor);
    for (size_t i = 0; i < n; i++) {
        set_node *x = &set->nodes[i];
        *x = (set_node){.node.notify = set_told, .set = set, .future = weft_future_retain(futures[i])};
    }
    for (size_t i = 0; i < n; i++)
        if (!weft__attach(futures[i], &set->nodes[i].node))
            set_told(&set->nodes[i].node);
    if (atomic_fetch_sub_explicit(&set->left, 1, memory_order_acq_rel) == 1)
        atomic_store_explicit(&set->signalled, 1, memory_order_release);
    return set;
}

static void set_end(wait_set *set, weft_future *const futures[])
{
    size_t detached = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (!weft__done(weft__word(futures[i])) && weft__detach(futures[i], &set->nodes[i].node)) {
            weft__unref(futures[i]);
            detached++;
        }
    }
    set_drop(set, detached + 1);
}

static int sleep_outside(wait_set *set, int64_t deadline)
{
    int code = 0;
    bool interrupted = weft__notify_first();
    while (!set_ready(set) && code != -ETIMEDOUT)
        code = weft__futex_wait(&set->signalled, 0, deadline);
    weft__notify_later(interrupted);
    return set_ready(set) ? 0 : code;
}

/* A worker without a time limit runs what has not started itself. */
static int help_all(wait_set *set, weft_future *const futures[])
{
    weft__self.looks = WEFT__HELP_LOOKS;
    for (size_t i = set->n; i-- > 0 && !set_ready(set);) {
        if (weft__self.job && weft__job_cancelled(weft__self.job))
            break;
        const weft__future_ops *ops = weft__ops_of(futures[i]);
        int code = ops->help && !weft__done(weft__word(futures[i])) ? ops->help(futures[i], false) : 0;
        if (code)
            return code;
    }
    return 0;
}

static bool any_on_own_stack(weft_future *const futures[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (weft__on_own_stack(futures[i]))
            return true;
    return false;
}

static int wait_for_set(wait_set *set, weft_future *const futures[], int64_t timeout)
{
    weft__self_t *self = &weft__self;
    if (set_ready(set))
        return 0;
    if (self->job && weft__job_cancelled(self->job))
        return set_ready(set) ? 0 : -EINTR;
    if (timeout <= 0)
        return -ETIMEDOUT;
    if (self->coordinator)
        return -EDEADLK;
    if (set->mode == WEFT_ALL_COMPLETED && any_on_own_stack(futures, set->n))
        return -EDEADLK;
    int64_t deadline = timeout == WEFT_FOREVER ? INT64_MAX : weft__deadline(weft__now(), timeout);
    if (!self->thread)
        return sleep_outside(set, deadline);
    /* Not if one of several would do: the one run here might wait for what this thread does next. */
    bool helps = deadline == INT64_MAX && (set->mode == WEFT_ALL_COMPLETED || set->n == 1);
    int code = helps ? help_all(set, futures) : 0;
    if (code || set_ready(set))
        return code;
    if (self->job && weft__job_cancelled(self->job)) /* meanwhile */
        return -EINTR;
    weft__wait wait = {set_ready, set, futures, set->n, set->mode == WEFT_ALL_COMPLETED, false, false};
    code = weft__block(&wait, deadline);
    return code && set_ready(set) ? 0 : code;
}

int weft_wait(weft_future *const futures[], size_t n, weft_wait_mode mode, int64_t timeout, bool done[])
{
    if ((unsigned)mode > WEFT_ALL_COMPLETED || (n && !futures))
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        if (!futures[i])
            return -EINVAL;
    if (weft__any_stale(futures, n))
        return -ESTALE;
    if (n == 0)
        return 0;
    wait_set *set = set_new(futures, n, mode);
    if (!set)
        return -ENOMEM;
    int code = wait_for_set(set, futures, timeout);
    for (size_t i = 0; done && i < n; i++)
        done[i] = weft__done(weft__word(futures[i]));
    set_end(set, futures);
    return code;
}
