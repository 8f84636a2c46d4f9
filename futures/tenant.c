/* tenant.c: what the executor asks of futures when it shuts down, and when a job ends its thread.
 *
 * Nothing is listed while an executor lives: what is pending at shutdown is found by walking its slab, and the few
 * futures that are too large for it. A walk may not free, so it takes references, a buffer full at a time. Jobs are
 * left to the queues, but for those that no queue has (with a delay, or waiting for room in a group) and those in a
 * queue that is closed to all but its owner (executor/block.c): these are cancelled where they are, and the owner drops
 * them when he comes to them. */
#include "future.h"
#include "token.h"

enum { FEW = 64, LOOKS = 1000 };

/* Inputs shared by many composites are looked at many times, so the looks are limited; beyond, the answer is yes, and
 * what was in truth waiting for time or a promise is cancelled with the last sweep instead of the first. */
bool weft__rests_on_job(weft_future *f)
{
    const weft__future_ops *ops = weft__ops_of(f);
    if (!ops->rests_on_job)
        return false;
    if (weft__self.looks == 0)
        return true;
    weft__self.looks--;
    return ops->rests_on_job(f);
}

typedef struct catch
{
    weft_future **found;
    size_t room, n;
    bool jobs_gone; /* no job runs any more */
    bool queued;    /* what has not started falls, and may be in a closed queue */
    bool missed;    /* there was more than room */
}
catch;

/* A job that has not started and that nobody but a busy worker can reach? Also of memory that is being made into
 * something else. A job that is still being submitted is not enclosed: it may yet be refused. */
static bool is_enclosed(const weft_future *f)
{
    uint64_t word = weft__word(f);
    return weft__refs(word) > 0 && weft__state(word) == WEFT_PENDING && weft__link_enclosed(&f->link);
}

static bool falls_now(weft_future *f, const catch *c)
{
    const weft__future_ops *ops = weft__ops_of(f);
    if (ops->kind == WEFT__JOB)
        return weft__job_waits_for_time(f) || (c->queued && is_enclosed(f)) ||
               (weft__cancels_pending(f->executor) && weft__child_waits_for_room(f));
    if (ops->kind == WEFT__THEN && !weft__then_made(f))
        return false; /* its maker looks at the seal next */
    if (ops->kind == WEFT__THEN && c->queued && weft__then_queued(f))
        return true;
    if (c->jobs_gone || ops->kind == WEFT__SLEEP)
        return true;
    if (ops->kind == WEFT__PROMISE)
        return false;
    weft__self.looks = LOOKS;
    weft__waits_lock();
    bool rests = weft__rests_on_job(f);
    weft__waits_unlock();
    return !rests;
}

/* Gives a reference back inside a walk, where nothing may be freed. */
static bool unref_in_walk(weft_future *f)
{
    uint64_t word = weft__word(f);
    while (weft__refs(word) > 1)
        if (atomic_compare_exchange_weak_explicit(&f->word, &word, word - WEFT__REF, memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    return false;
}

/* Catches what is to be cancelled now, and what lost its last other reference while it was looked at. */
static void visit(void *object, void *data)
{
    weft_future *f = object;
    catch *c = data;
    /* seq_cst, after the seal or the phase was written; partner of weft__future_publish, after which the maker looks at
     * these. */
    uint64_t word = atomic_load_explicit(&f->word, memory_order_seq_cst);
    if (weft__refs(word) == 0 || weft__done(word))
        return;
    if (weft__is_plain_job(f) && !(c->queued && is_enclosed(f)))
        return;
    if (c->n == c->room) {
        c->missed = true;
        return;
    }
    if (weft__try_ref_undone(f) && (falls_now(f, c) || !unref_in_walk(f)))
        c->found[c->n++] = f;
}

static void visit_large(weft_executor *e, catch *c)
{
    pthread_mutex_lock(&e->large_lock);
    for (void *g = e->large; g; g = weft__many_next(g))
        visit(g, c);
    pthread_mutex_unlock(&e->large_lock);
}

/* Settles f as CANCELLED(SHUTDOWN) whatever its inputs do. */
static void cut_off(weft_future *f)
{
    const weft__future_ops *ops = weft__ops_of(f);
    if (ops->kind == WEFT__JOB) {
        weft__job_cut_off(f);
    } else if (ops->kind == WEFT__THEN) {
        weft__then_cut_off(f);
    } else if (ops->abandon && ops->kind != WEFT__SLEEP) {
        if (weft__settle_cancelled(f, WEFT_REASON_SHUTDOWN))
            ops->abandon(f);
    } else {
        weft__cancel(f, WEFT_REASON_SHUTDOWN);
    }
}

/* One buffer full. Whether there was anything to cancel. */
static bool sweep_once(weft_executor *e, catch *c)
{
    c->n = 0;
    c->missed = false;
    weft__slab_walk(&e->slab, WEFT__KIND_FUTURE, visit, c);
    visit_large(e, c);
    bool any = false;
    for (size_t i = 0; i < c->n; i++) {
        if (falls_now(c->found[i], c)) {
            cut_off(c->found[i]);
            any = true;
        }
        weft__unref(c->found[i]);
        weft__fork_check(e); /* after destructors */
    }
    return any;
}

/* Goes on until a walk has room for all that it finds. A larger buffer, if it can be had, saves walks. */
static bool sweep(weft_executor *e, bool jobs_gone)
{
    weft_future *few[FEW];
    bool queued = e->workers == 1 && weft__cancels_pending(e);
    catch c = {.found = few, .room = FEW, .jobs_gone = jobs_gone, .queued = queued};
    bool any = sweep_once(e, &c);
    if (!c.missed)
        return any;
    size_t room = weft__slab_live(&e->slab, WEFT__KIND_FUTURE) + FEW;
    weft_future **many = weft__memory_alloc(room * sizeof *many);
    if (many)
        c = (catch){.found = many, .room = room, .jobs_gone = jobs_gone, .queued = queued};
    do
        sweep_once(e, &c);
    while (c.missed);
    if (many)
        weft__memory_free(many, room * sizeof *many);
    return true;
}

static void shut(weft_executor *e, weft_shutdown_mode mode)
{
    sweep(e, false);
    if (mode == WEFT_DRAIN)
        return;
    if (mode == WEFT_CANCEL_ALL)
        weft__tokens_shut(e);
    /* The coordinator takes part in emptying the queues: workers may be busy for long. A job that is taken now is
     * cancelled (futures/job.c). */
    for (weft__link *link; (link = weft__work_take_any(e));) {
        weft__link_ops(link)->run(link, NULL);
        weft__fork_check(e);
        weft__count(&e->coordinator.port.counts.finished, 1);
    }
}

static bool sweep_rest(weft_executor *e)
{
    return sweep(e, true);
}

/* The last round is over; what is left in the wheel belongs to futures that are done or dropped. */
static void unarm(weft__link *link)
{
    if (weft__token_is(link))
        weft__token_unarm(link);
    else
        weft__poke_done(weft__link_future(link));
}

static unsigned abandon(weft_future *job)
{
    weft__self_t *self = &weft__self;
    unsigned taken = 0;
    /* What the thread was at when it ended, in a destructor, is taken up again here. */
    self->draining = self->disposing = false;
    self->nested = 0;
    job = weft__stolen_abandon(job);
    for (weft_future *outer; job; job = weft__stolen_abandon(outer)) {
        const weft_executor *e = job->executor;
        outer = weft__outer(job);
        taken += weft__job_abandon(job);
        if (weft__stale(e)) /* a destructor forked, and this is the child */
            return taken;
    }
    weft__reductions_abandon();
    weft__notify_rest();
    weft__dispose_rest();
    return taken;
}

static void forked(void)
{
    weft__waits_forked();
    weft__own_tokens_forked();
}

const weft__tenant weft__futures_tenant = {.shut = shut,
                                           .sweep = sweep_rest,
                                           .run_stolen = weft__run_stolen,
                                           .abandon = abandon,
                                           .unarm = unarm,
                                           .forked = forked};
