/* own_token.c: the token of a job.
 *
 * It is made when the job first asks for it, and hangs on the job's options, which are made for the occasion if there
 * are none. The job is a member of it, so that to cancel the token asks the job; and whoever asks the job to stop sets
 * it, as a token below the job: what is submitted with it is below, too. The two sides meet like this: the job stores
 * the token and then looks whether it was asked; the one who asks marks the job's word and then looks for a token. All
 * four are seq_cst, so at least one of them sees the other's.
 *
 * A job that runs inline, inside another one's weft_await, is asked to stop together with that one. So the outer one
 * gets a token too, and the inner one's is put below it.
 *
 * Several threads may be in one job, in functions that it has forked, and ask for its token at a time. So options and
 * token come to be by a compare-and-swap each, and a lock decides who puts a token below another.
 *
 * The job keeps its reference until it is disposed of, because who asks it to stop may be looking at the token while it
 * ends. It is taken off the token's list when its function has returned. */
#include "token.h"

#include <errno.h>

static weft__options *options_made(weft_future *job)
{
    static const weft_submit_options none;
    weft__options *o = weft__options_of(job);
    if (o)
        return o;
    o = weft__options_new(job->executor, &none, NULL, 0);
    weft__options *other = NULL;
    /* Release by being seq_cst; partner of weft__options_of, and the acquire here if another thread was first. */
    if (!o ||
        atomic_compare_exchange_strong_explicit(&job->options, &other, o, memory_order_seq_cst, memory_order_acquire))
        return o;
    weft__options_free(job->executor, o);
    return other;
}

static weft_token *token_of(const weft_future *job)
{
    const weft__options *o = atomic_load_explicit(&job->options, memory_order_seq_cst);
    return o ? atomic_load_explicit(&o->own.token, memory_order_seq_cst) : NULL;
}

static weft_token *make(weft_future *job)
{
    weft__options *o = options_made(job);
    weft_token *t = o ? weft__token_new(job->executor, WEFT__TOKEN_OWN) : NULL;
    if (!t)
        return NULL;
    weft_token *other = NULL;
    if (!atomic_compare_exchange_strong_explicit(&o->own.token, &other, t, memory_order_seq_cst,
                                                 memory_order_seq_cst)) {
        weft_token_release(t);
        return other;
    }
    WEFT_POINT();
    weft__tiny_lock_take(&t->lock);
    weft__member_enlist(&o->own, t, job);
    /* seq_cst, as in weft__member_join: set already means that the coordinator may have looked at the list before. */
    uint64_t set = atomic_load_explicit(&t->word, memory_order_seq_cst);
    weft__tiny_unlock(&t->lock);
    if (set & WEFT__TOKEN_SET)
        weft__job_request(job, weft__token_reason(set));
    /* Partner of weft__own_token_set; also for a job that is not the current one but awaits it. */
    uint64_t word = atomic_load_explicit(&job->word, memory_order_seq_cst);
    if (word & WEFT__CANCEL)
        weft__token_set(t, weft__reason_below(weft__reason(word)));
    return t;
}

static weft_future *awaited_by(const weft_future *job)
{
    return job->outer & WEFT__RUN_AWAITED ? weft__outer(job) : NULL;
}

/* Guards the parents of tokens of jobs, while they are made. No other lock is held by who takes it. */
static pthread_mutex_t placing = PTHREAD_MUTEX_INITIALIZER;

void weft__own_tokens_forked(void)
{
    placing = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* Has the job a token, with those of all that await it above? */
static bool is_placed(const weft_future *job)
{
    const weft_token *t = token_of(job);
    if (!t || !awaited_by(job))
        return t != NULL;
    pthread_mutex_lock(&placing);
    bool below = t->parent != NULL;
    pthread_mutex_unlock(&placing);
    return below;
}

/* Makes the tokens of the job and of those that await it on this stack. All of them first, and then, since nothing can
 * fail any more, puts each below the next: so one that has a parent has them all. Before that the program knows none of
 * them. NULL: no memory; what was made waits for the next call. */
static weft_token *make_up_to_known(weft_future *job)
{
    for (weft_future *f = job; f && !is_placed(f); f = awaited_by(f))
        if (!token_of(f) && !make(f))
            return NULL;
    for (weft_future *f = job; awaited_by(f); f = awaited_by(f)) {
        pthread_mutex_lock(&placing);
        if (!token_of(f)->parent)
            weft__token_adopt(token_of(f), token_of(awaited_by(f)));
        pthread_mutex_unlock(&placing);
    }
    return token_of(job);
}

static weft_cancel_reason reason_of(const weft_future *job)
{
    return weft__reason(weft__word(job));
}

weft_token *weft_current_token(void)
{
    weft_future *job = weft__self.job;
    if (!job)
        return weft__refuse(-EINVAL);
    if (weft__stale(job->executor))
        return weft__refuse(-ESTALE);
    bool known = is_placed(job);
    weft_token *t = known ? token_of(job) : make_up_to_known(job);
    if (!t)
        return weft__refuse(-ENOMEM);
    /* Those outside of it are seen to by weft__job_cancelled: it looks outwards, and what it finds reaches this token.
     * One that is known may have been made by a job that this one awaited, behind the back of a shutdown. */
    if (known ? weft_cancelled() : weft__job_cancelled(job))
        weft__token_set(t, weft__reason_below(reason_of(job)));
    return t;
}

void weft__own_token_set(weft_future *job, weft_cancel_reason reason)
{
    weft_token *t = token_of(job);
    if (t)
        weft__token_set(t, weft__reason_below(reason));
}

void weft__own_token_drop(weft__options *o)
{
    weft_token_release(atomic_load_explicit(&o->own.token, memory_order_relaxed));
}

/* ---- shutdown ---- */

enum { FEW = 64 };

typedef struct found {
    weft_token *tokens[FEW];
    size_t n;
} found;

/* A walk may not free, so it takes references. */
static void visit(void *object, void *data)
{
    weft_token *t = object;
    found *f = data;
    uint64_t word = atomic_load_explicit(&t->word, memory_order_acquire);
    do {
        if (f->n == FEW || word < WEFT__TOKEN_REF || (word & (WEFT__TOKEN_OWN | WEFT__TOKEN_SET)) != WEFT__TOKEN_OWN)
            return;
    } while (!atomic_compare_exchange_weak_explicit(&t->word, &word, word + WEFT__TOKEN_REF, memory_order_acq_rel,
                                                    memory_order_acquire));
    f->tokens[f->n++] = t;
}

void weft__tokens_shut(weft_executor *e)
{
    found f;
    do {
        f.n = 0;
        weft__slab_walk(&e->slab, WEFT__KIND_TOKEN, visit, &f);
        for (size_t i = 0; i < f.n; i++) {
            weft__token_set(f.tokens[i], WEFT_REASON_SHUTDOWN);
            weft_token_release(f.tokens[i]);
        }
    } while (f.n > 0);
}
