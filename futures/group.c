/* group.c: jobs that are begun together, stopped together, and all over when join returns.
 *
 * A group is a token and a count. The token carries every way to stop it: cancel, deadline, what is above, and a child
 * that failed (reason SIBLING); each child is a member of it. The count is under the group's lock, like all that join
 * and the children share.
 *
 * A child is a job with a few words more, whose second reference is the group's. It is told of its end like any waiter,
 * by a node on the job; a child that failed is kept, in the order of the ends, as the record of its failure: so nothing
 * is allocated for it (I14).
 *
 *   place of a child    enters it                           leaves it
 *     COMING            when it is counted                  at once, or when its delay is over
 *     WAITING           there is no room under the limit    when another one ends, oldest first; or it is cancelled
 *     LET               into the executor's queues          it is done
 *
 * The limit counts the children that have been let into the queues. So it is never exceeded, and since nobody blocks
 * for room, nested use cannot lock up: room comes from children that end, not from those that submit.
 *
 * Whoever ends the last child touches nothing of the group after he has given the lock back, because join may take it
 * next and the group may then be destroyed.
 *
 * Source: Trio's nurseries, asyncio.TaskGroup, errgroup; the limit queues where Go's blocks (golang/go#27837). */
#include "token.h"

#include <weft/group.h>

#include <errno.h>

typedef enum { COMING, WAITING, LET } place;

typedef struct group_child {
    weft__timed timed;
    weft__waiter node;                   /* on the job itself */
    weft__member member;                 /* to the group's token */
    weft_group *group;                   /* constant; its memory stays while the child is counted */
    struct group_child *next, *previous; /* in the list of its place, or among the failed; the group's lock */
    uint32_t number;                     /* in the order of submission; set when it is counted */
    _Atomic(uint32_t) where;             /* a place; written under the group's lock, read by shutdown's walk too */
} group_child;
_Static_assert(sizeof(group_child) <= 192, "a child fits its class");

typedef struct child_list {
    group_child *first, *last;
} child_list;

/* A worker that joins; on its stack. */
typedef struct joiner {
    weft__thread *thread;
    struct joiner *next, **link; /* the group's lock */
} joiner;

struct weft_group {
    weft_executor *executor; /* pinned; constant, as the next two */
    weft_token *token;
    unsigned limit;
    weft__tiny_lock lock;
    /* Changed under the lock; live and joined are read without it. */
    unsigned running;            /* children that are LET */
    _Atomic(uint32_t) submitted; /* children that were accepted */
    _Atomic(size_t) live;        /* children that are not over */
    _Atomic(bool) shut;          /* a child was cancelled by shutdown */
    _Atomic(bool) joined;        /* no more children */
    int result;                  /* of the join */
    child_list waiting, let, failed;
    joiner *joiners;
    _Atomic(uint32_t) bell;         /* futex of those who join from outside */
    _Atomic(weft_outcome *) errors; /* made when first asked for after the join, by any thread; then constant */
};

static group_child *child_of(weft_future *f)
{
    return (group_child *)(void *)f;
}

static group_child *child_of_node(weft__waiter *node)
{
    return (group_child *)(void *)((char *)node - offsetof(group_child, node));
}

static bool all_over(const weft_group *g)
{
    /* Acquire, partner of count_out: what the children wrote. */
    return atomic_load_explicit(&g->live, memory_order_acquire) == 0;
}

/* ---- places; under the lock ---- */

static place place_of(const group_child *c)
{
    return (place)atomic_load_explicit(&c->where, memory_order_relaxed);
}

static void set_place(group_child *c, place where)
{
    atomic_store_explicit(&c->where, where, memory_order_relaxed);
}

static void list_append(child_list *list, group_child *c)
{
    c->next = NULL;
    c->previous = list->last;
    if (list->last)
        list->last->next = c;
    else
        list->first = c;
    list->last = c;
}

static void list_remove(child_list *list, group_child *c)
{
    if (c->next)
        c->next->previous = c->previous;
    else
        list->last = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else
        list->first = c->next;
}

/* Whether the child may go into the queues. If it may not it waits, and its queue's reference with it. */
static bool let_in(weft_group *g, group_child *c)
{
    bool room = g->limit == 0 || g->running < g->limit;
    set_place(c, room ? LET : WAITING);
    g->running += room;
    list_append(room ? &g->let : &g->waiting, c);
    return room;
}

/* The oldest of those that wait, if there is room. */
static group_child *next_to_let(weft_group *g)
{
    group_child *c = g->waiting.first;
    if (!c || g->running >= g->limit)
        return NULL;
    list_remove(&g->waiting, c);
    let_in(g, c);
    return c;
}

/* Everybody who joins looks again. Under the lock, so that none of them can have returned. */
static void wake_joiners(weft_group *g)
{
    /* Release, partner of the look in wait_until_over. */
    atomic_fetch_add_explicit(&g->bell, 1, memory_order_release);
    weft__futex_wake(&g->bell, INT32_MAX);
    for (joiner *j = g->joiners; j; j = j->next)
        weft__bell_ring(j->thread);
}

/* Whether it was waiting: then its queue's reference is left over. */
static bool count_out(weft_group *g, group_child *c)
{
    bool waited = place_of(c) == WAITING;
    if (place_of(c) != COMING)
        list_remove(waited ? &g->waiting : &g->let, c);
    if (place_of(c) == LET)
        g->running--;
    /* acq_rel: what the children wrote, from one to the next; partner of all_over. */
    if (atomic_fetch_sub_explicit(&g->live, 1, memory_order_acq_rel) == 1)
        wake_joiners(g);
    return waited;
}

/* ---- a child's ways ---- */

/* Nobody can ask for the value; its destructor is to have run when join returns. */
static void drop_value(weft_future *f, uint64_t word)
{
    const weft__options *o = weft__options_of(f);
    if (weft__state(word) != WEFT_SUCCEEDED || !o || !o->free_value)
        return;
    atomic_fetch_or_explicit(&f->word, WEFT__TAKEN, memory_order_relaxed);
    o->free_value(f->value);
}

/* The node's notification, after the child is done; this is the group's reference. */
static void child_over(weft__waiter *node)
{
    group_child *c = child_of_node(node);
    weft_future *f = &c->timed.base;
    weft_group *g = c->group;
    weft_executor *e = f->executor;
    uint64_t word = weft__word(f);
    bool failed = weft__state(word) == WEFT_FAILED;
    weft__member_leave(&c->member);
    if (failed) {
        weft__observe(f);
        weft__token_set(g->token, WEFT_REASON_SIBLING);
    }
    if (weft__state(word) == WEFT_CANCELLED && weft__reason(word) == WEFT_REASON_SHUTDOWN)
        atomic_store_explicit(&g->shut, true, memory_order_relaxed); /* ordered by the lock */
    drop_value(f, word);
    weft__fork_check(e); /* the lock may be taken in a child */
    WEFT_POINT();
    weft__tiny_lock_take(&g->lock);
    bool waited = count_out(g, c);
    if (failed)
        list_append(&g->failed, c);
    group_child *next = next_to_let(g);
    weft__tiny_unlock(&g->lock); /* the last touch of the group, unless there is another child */
    if (next)
        weft__job_launch(&next->timed.base);
    if (waited)
        weft__unref(f);
    if (!failed)
        weft__unref(f);
    weft__need_not_stay_open(e);
}

/* The child is no longer COMING, unless it is over. Whether its queue's reference is the caller's to pass on. A child
 * that is over, cancelled, may be counted out already, and then its group may be gone; while its list of waiters is
 * locked and the node is there it cannot come so far. */
static bool place_child(group_child *c, bool *over)
{
    weft_future *f = &c->timed.base;
    bool let = false;
    WEFT_POINT();
    weft__lock(f);
    *over = c->node.previous == NULL;
    if (!*over) {
        weft__tiny_lock_take(&c->group->lock);
        let = let_in(c->group, c);
        weft__tiny_unlock(&c->group->lock);
    }
    weft__unlock(f, 0, 0);
    return let;
}

void weft__child_due(weft__link *link, weft__coordinator *coordinator)
{
    weft_future *f = weft__link_future(link);
    bool over = true;
    if (weft__timed_fired(f, coordinator) && place_child(child_of(f), &over))
        weft__job_launch(f);
    else if (over)
        weft__unref(f); /* the wheel's, which would have become the queue's */
}

bool weft__child_waits_for_room(weft_future *f)
{
    /* Only a guess by the time that it is used; what is started meanwhile is not cancelled. */
    return weft__link_ops(&f->link) == &weft__child_ops.link && place_of(child_of(f)) == WAITING;
}

/* ---- submitting ---- */

static group_child *child_new(weft_group *g, weft_fn *fn, void *arg, weft__options *o, unsigned references)
{
    weft_future *f = weft__job_new(g->executor, &weft__child_ops, fn, arg, o, references);
    if (!f)
        return NULL;
    group_child *c = child_of(f);
    c->group = g;
    set_place(c, COMING);
    c->node.notify = child_over;
    c->member.previous = NULL;
    atomic_init(&c->member.token, NULL);
    weft__attach(f, &c->node);
    return c;
}

static int count_in(weft_group *g, group_child *c)
{
    weft__tiny_lock_take(&g->lock);
    bool late = atomic_load_explicit(&g->joined, memory_order_relaxed);
    if (!late)
        atomic_fetch_add_explicit(&g->live, 1, memory_order_relaxed);
    weft__tiny_unlock(&g->lock);
    if (late)
        return -EALREADY;
    if (!weft__member_join(&c->member, g->token, &c->timed.base)) {
        /* Relaxed: it is read after the join, which the lock orders. */
        c->number = atomic_fetch_add_explicit(&g->submitted, 1, memory_order_relaxed);
        return 0;
    }
    weft__tiny_lock_take(&g->lock);
    count_out(g, c);
    weft__tiny_unlock(&g->lock);
    return -ECANCELED;
}

/* The child is counted. It may be over at any moment, by its tokens, and the group gone. */
static void start(group_child *c, weft_token *token, bool delayed)
{
    weft_future *f = &c->timed.base;
    bool over = weft__job_join(f, token) != WEFT_REASON_NONE;
    if (delayed) {
        if (!over)
            weft__job_delay(f);
    } else if (!over && place_child(c, &over)) {
        weft__job_launch(f);
    } else if (over) {
        weft__unref(f); /* the queue's */
    }
}

static int admit(const weft_group *g, bool *counted)
{
    weft_executor *e = g->executor;
    if (weft__stale(e))
        return -ESTALE;
    /* Acquire, here and below, partner of the release in weft_group_join; the lock has the last word in count_in. */
    if (atomic_load_explicit(&g->joined, memory_order_acquire))
        return -EALREADY;
    if (weft__token_due(g->token))
        return -ECANCELED;
    return weft__admit(e, weft__own_thread(e), 1, counted);
}

/* For the executor's figures: what it has refused, and not the group. */
static int refused(weft_executor *e, int code)
{
    if (code == -EAGAIN || code == -ESHUTDOWN || code == -ENOTRECOVERABLE)
        atomic_fetch_add_explicit(&e->refused, 1, memory_order_relaxed);
    return code;
}

static int submit(weft_group *g, weft_fn *fn, void *arg, const weft_submit_options *given)
{
    weft_executor *e = g->executor;
    bool counted = false, delayed = given->delay > 0;
    unsigned references = delayed ? 1 : 2; /* the group's; and the queue's, which the wheel brings along */
    int code = admit(g, &counted);
    if (code)
        return refused(e, code);
    weft__options *o = weft__options_new(e, given, NULL, 0);
    group_child *c = o ? child_new(g, fn, arg, o, references + 1) : NULL;
    if (!c) {
        weft__options_free(e, o);
        weft__unadmit(e, counted, 1);
        return -ENOMEM;
    }
    o->counted = counted;
    code = weft__keep_open(e) ? count_in(g, c) : -ESHUTDOWN;
    if (code) {
        if (code != -ESHUTDOWN)
            weft__need_not_stay_open(e);
        weft__detach(&c->timed.base, &c->node);
        weft__unadmit(e, counted, 1);
        weft__job_discard(&c->timed.base, references + 1);
        return refused(e, code);
    }
    start(c, given->token, delayed);
    weft__unref(&c->timed.base); /* ours: till here it could not go */
    return 0;
}

int weft_group_submit(weft_group *g, weft_fn *fn, void *arg)
{
    static const weft_submit_options none;
    return g && fn ? submit(g, fn, arg, &none) : -EINVAL;
}

int weft_group_submit_with(weft_group *g, weft_fn *fn, void *arg, const weft_submit_options *options)
{
    static const weft_submit_options none;
    if (!g || !fn || !weft__options_valid(options))
        return -EINVAL;
    if (options && options->token && weft__stale(options->token->executor))
        return -ESTALE;
    return submit(g, fn, arg, options ? options : &none);
}

void weft_group_cancel(weft_group *g)
{
    if (g)
        weft_token_cancel(g->token);
}

/* ---- joining ---- */

static bool in_child_of(const weft_group *g)
{
    for (weft_future *job = weft__self.job; job; job = weft__outer(job))
        if (weft__link_ops(&job->link) == &weft__child_ops.link && child_of(job)->group == g)
            return true;
    return false;
}

/* The newest child that has been let in and not been started, with a reference. */
static weft_future *startable(weft_group *g)
{
    weft__tiny_lock_take(&g->lock);
    group_child *c = g->let.last;
    while (c && weft__state(weft__word(&c->timed.base)) != WEFT_PENDING)
        c = c->previous;
    weft_future *f = c ? weft_future_retain(&c->timed.base) : NULL;
    weft__tiny_unlock(&g->lock);
    return f;
}

/* Runs children on this stack, as long as that gets on. 0 or a code. */
static int help(weft_group *g)
{
    for (weft_future *f; !all_over(g) && (f = startable(g));) {
        int code = weft__child_ops.help(f, false);
        bool stuck = weft__state(weft__word(f)) == WEFT_PENDING;
        weft__unref(f);
        weft__fork_check(g->executor); /* after a destructor; the lock may be taken there */
        if (code || stuck)
            return code;
    }
    return 0;
}

static bool over_for_joiner(void *context)
{
    return all_over(context);
}

static int wait_in_worker(weft_group *g)
{
    int code = help(g);
    if (code || all_over(g))
        return code;
    joiner j = {.thread = weft__self.thread, .link = &g->joiners};
    weft__tiny_lock_take(&g->lock);
    j.next = g->joiners;
    if (j.next)
        j.next->link = &j.next;
    g->joiners = &j;
    weft__tiny_unlock(&g->lock);
    weft__wait wait = {.ready = over_for_joiner, .context = g, .deaf = true};
    code = weft__block(&wait, INT64_MAX);
    weft__tiny_lock_take(&g->lock);
    *j.link = j.next;
    if (j.next)
        j.next->link = j.link;
    weft__tiny_unlock(&g->lock);
    return all_over(g) ? 0 : code;
}

static int sleep_outside(weft_group *g)
{
    bool interrupted = weft__notify_first();
    bool stale = weft__stale(g->executor); /* a destructor that it has called forked, and this is the child */
    while (!stale) {
        /* Acquire, partner of wake_joiners: read before the look, so that a ring after it ends the sleep. */
        uint32_t bell = atomic_load_explicit(&g->bell, memory_order_acquire);
        if (all_over(g))
            break;
        weft__futex_wait(&g->bell, bell, INT64_MAX);
    }
    weft__notify_later(interrupted);
    return stale ? -ESTALE : 0;
}

static int wait_until_over(weft_group *g)
{
    if (all_over(g))
        return 0;
    if (weft__self.coordinator || in_child_of(g))
        return -EDEADLK;
    if (weft__self.thread)
        return wait_in_worker(g);
    return sleep_outside(g);
}

static int result_of(const weft_group *g)
{
    /* Acquire, partner of set_word in token.c. */
    uint64_t word = atomic_load_explicit(&g->token->word, memory_order_acquire);
    if (g->failed.first)
        return g->failed.first->timed.base.error;
    if (word & WEFT__TOKEN_EXPIRED)
        return -ETIMEDOUT;
    return word & WEFT__TOKEN_SET || atomic_load_explicit(&g->shut, memory_order_relaxed) ? -ECANCELED : 0;
}

int weft_group_join(weft_group *g)
{
    if (!g)
        return -EINVAL;
    if (weft__stale(g->executor))
        return -ESTALE;
    for (;;) {
        int code = wait_until_over(g);
        if (code)
            return code;
        weft__token_due(g->token); /* a deadline that has passed counts, handled or not */
        /* Behind whoever counted the last child out, who holds the lock until he is through. */
        weft__tiny_lock_take(&g->lock);
        bool over = all_over(g);
        if (over && !atomic_load_explicit(&g->joined, memory_order_relaxed)) {
            g->result = result_of(g);
            atomic_store_explicit(&g->joined, true, memory_order_release);
        }
        code = g->result;
        weft__tiny_unlock(&g->lock);
        if (!over)
            continue; /* somebody submitted another one */
        weft_token_close(g->token);
        return code;
    }
}

/* ---- afterwards ---- */

/* The failed do not change any more, once the group is joined. */
static size_t count_failed(const weft_group *g)
{
    size_t n = 0;
    for (const group_child *c = g->failed.first; c; c = c->next)
        n++;
    return n;
}

static weft_outcome *collect(const weft_group *g, size_t n)
{
    weft_outcome *errors = weft__memory_alloc((n + 1) * sizeof *errors), *next = errors;
    for (const group_child *c = g->failed.first; errors && c; c = c->next)
        *next++ = (weft_outcome){.state = WEFT_FAILED, .error = c->timed.base.error, .index = c->number};
    return errors;
}

const weft_outcome *weft_group_errors(weft_group *g, size_t *n)
{
    if (g && weft__stale(g->executor))
        return weft__refuse(-ESTALE);
    if (!g || !atomic_load_explicit(&g->joined, memory_order_acquire)) {
        errno = g ? EINPROGRESS : EINVAL;
        return NULL;
    }
    weft_outcome *errors = atomic_load_explicit(&g->errors, memory_order_acquire);
    size_t failures = count_failed(g);
    if (!errors) {
        /* Not under the lock, which is for a few instructions. acq_rel: what is in it; partner of the load above. */
        weft_outcome *made = collect(g, failures);
        if (!made)
            return weft__refuse(-ENOMEM);
        if (atomic_compare_exchange_strong_explicit(&g->errors, &errors, made, memory_order_acq_rel,
                                                    memory_order_acquire))
            errors = made;
        else
            weft__memory_free(made, (failures + 1) * sizeof *made);
    }
    if (n)
        *n = failures;
    return errors;
}

/* ---- life ---- */

weft_group *weft_group_create(weft_executor *e, const weft_group_options *options)
{
    static const weft_group_options none;
    const weft_group_options *o = options ? options : &none;
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    if (o->parent && weft__stale(o->parent->executor))
        return weft__refuse(-ESTALE);
    weft_group *g = weft__memory_alloc(sizeof *g);
    if (!g)
        return weft__refuse(-ENOMEM);
    *g = (weft_group){.executor = e, .limit = o->limit};
    g->token = weft_token_create(e, o->parent, o->timeout ? o->timeout : WEFT_FOREVER, 0);
    if (!g->token) {
        weft__memory_free(g, sizeof *g);
        return NULL;
    }
    weft__executor_pin(e);
    return g;
}

int weft_group_destroy(weft_group *g)
{
    if (!g)
        return 0;
    if (weft__stale(g->executor))
        return -ESTALE;
    if (!atomic_load_explicit(&g->joined, memory_order_acquire))
        return -EBUSY;
    weft_executor *e = g->executor;
    /* Acquire, partner of the exchange in weft_group_errors. */
    weft_outcome *errors = atomic_load_explicit(&g->errors, memory_order_acquire);
    if (errors)
        weft__memory_free(errors, (count_failed(g) + 1) * sizeof *errors);
    for (group_child *c = g->failed.first, *next; c; c = next) {
        next = c->next;
        weft__unref(&c->timed.base);
    }
    weft_token_release(g->token);
    weft__memory_free(g, sizeof *g);
    weft__executor_unpin(e);
    return 0;
}
