/* gather.c: one future for many, in its three modes.
 *
 * FIRST_ERROR and SETTLED differ in what the first failure does: FIRST_ERROR is resolved by it, on the spot, with a
 * snapshot of the others, and leaves them; in SETTLED it is not even noted. STRICT has the coordinator ask the others
 * to stop and then waits for all, as SETTLED does.
 *
 * A gather that was asked to stop waits for its inputs in every mode. So the claim of a failure and a request are
 * decided by the word: whichever comes first. The rest is many.c's. The outcomes of any future with many inputs are
 * read here. */
#include "many.h"

#include <errno.h>

static bool claim_unless_cancelled(weft_future *f)
{
    uint64_t word = weft__word(f);
    do {
        if (word & WEFT__CANCEL || weft__state(word) != WEFT_PENDING)
            return false;
        /* acq_rel, as in weft__claim; its partner is the request. */
    } while (!atomic_compare_exchange_weak_explicit(&f->word, &word, word | WEFT__CLAIMED, memory_order_acq_rel,
                                                    memory_order_acquire));
    return true;
}

static void gather_decided(weft__many *g)
{
    weft_future *f = &g->base;
    if (g->mode == WEFT_STRICT) {
        weft__poke(f, WEFT__PROPAGATE, 0);
        return;
    }
    if (!claim_unless_cancelled(f))
        return;
    weft__many_snapshot(g);
    weft__settle(f, weft__many_conclude(g), 0);
    weft__many_leave_soon(g);
}

/* In FIRST_ERROR one failure may be all that is waited for, and what a worker runs might wait for what comes after. */
static bool gather_needs_all(const weft__many *g)
{
    return g->mode != WEFT_FIRST_ERROR || g->n <= 1;
}

static const weft__many_ops gather_ops = {
    .base =
        {
            .link = {.handle = weft__many_handle},
            .kind = WEFT__MANY,
            .memory = WEFT__SLAB_CLASSES,
            .cancel = weft__many_cancel,
            .help = weft__many_help,
            .abandon = weft__many_abandon,
            .rests_on_job = weft__many_rests,
            .dispose = weft__many_dispose,
        },
    .decided = gather_decided,
    .conclude = weft__many_conclude,
    .needs_all = gather_needs_all,
    .slots = weft__many_inputs,
    .slot = weft__many_input_slot,
    .source = weft__many_input,
};

weft_future *weft_gather(weft_executor *e, weft_future *const futures[], size_t n, weft_gather_mode mode)
{
    if ((unsigned)mode > WEFT_STRICT)
        return weft__refuse(-EINVAL);
    return weft__many_make(e, &gather_ops, futures, n, mode);
}

const weft_outcome *weft_gather_outcomes(weft_future *f, size_t *n)
{
    static const weft_outcome none;
    if (!f)
        return NULL;
    if (weft__stale(f->executor))
        return weft__refuse(-ESTALE);
    if (weft__ops_of(f)->kind != WEFT__MANY)
        return weft__refuse(-EINVAL);
    if (!weft__done(weft__word(f))) {
        errno = EINPROGRESS;
        return NULL;
    }
    weft__many *g = weft__many_of(f);
    const weft__many_ops *ops = weft__many_ops_of(g);
    size_t slots = ops->slots(g);
    weft__observe(f);
    if (n)
        *n = slots;
    if (slots == 0)
        return &none;
    weft_outcome *outcomes = atomic_load_explicit(&g->outcomes, memory_order_acquire);
    if (outcomes)
        return outcomes;
    weft_outcome *made = weft__memory_alloc(slots * sizeof *made);
    if (!made)
        return weft__refuse(-ENOMEM);
    for (size_t i = 0; i < slots; i++)
        ops->slot(g, i, &made[i]);
    /* Two readers may have made one each: the first stays. acq_rel: what is in it, partner of the load above. */
    if (atomic_compare_exchange_strong_explicit(&g->outcomes, &outcomes, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    weft__memory_free(made, slots * sizeof *made);
    return outcomes;
}
