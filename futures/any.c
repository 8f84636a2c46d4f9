/* any.c: the first of many that succeeds.
 *
 * The first input to succeed is noted in `won` and resolves the any on the spot, with its value and a snapshot of the
 * others, which the coordinator then leaves. The first failure is noted too, for the case that none succeeds: then
 * whoever counts down to zero resolves it as a gather is resolved. Who claims the word decides: between two winners,
 * and between a winner and a request, which cancels an any at once.
 *
 * An any that won mirrors its winner: take and await go through to it (read.c). That asks for one loan of the winner to
 * the any, and one only; a future that stands in the array more than once was lent more than once, so the winner's
 * other loans are given back before the any can be seen done. The references stay until it goes, as all do. */
#include "many.h"

#include <errno.h>

/* The winner, of one that has succeeded. */
static weft_future *winner_of(const weft__many *g)
{
    return g->inputs[atomic_load_explicit(&g->won, memory_order_acquire) - 1];
}

/* The other places of the winner in the array hold nothing of it but a reference. */
static bool is_surplus(const weft__many *g, size_t i)
{
    return g->inputs[i] == winner_of(g) && i + 1 != atomic_load_explicit(&g->won, memory_order_relaxed);
}

static unsigned any_conclude(weft__many *g)
{
    if (!atomic_load_explicit(&g->won, memory_order_acquire))
        return weft__many_conclude(g);
    for (size_t i = 0; i < g->n; i++)
        if (is_surplus(g, i)) /* release: as in weft__unlend */
            atomic_fetch_sub_explicit(&g->inputs[i]->word, WEFT__LENT, memory_order_release);
    g->base.value = winner_of(g)->value;
    return WEFT_SUCCEEDED;
}

static void any_decided(weft__many *g)
{
    weft_future *f = &g->base;
    if (!weft__claim(f, WEFT__CLAIMED, 0))
        return;
    weft__many_snapshot(g);
    weft__settle(f, any_conclude(g), 0);
    weft__many_leave_soon(g);
}

static weft_future *any_input(weft_future *f)
{
    return weft__state(weft__word(f)) == WEFT_SUCCEEDED ? winner_of(weft__many_of(f)) : NULL;
}

static weft_cancel_effect any_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next)
{
    weft__many *g = weft__many_of(f);
    (void)next;
    if (!weft__claim(f, WEFT__CLAIMED, weft__reason_bits(reason))) {
        weft__wait_settled(f);
        return WEFT_CANCEL_TOO_LATE;
    }
    weft__many_snapshot(g);
    weft__settle(f, WEFT_CANCELLED, 0);
    if (!weft__poke(f, WEFT__PROPAGATE | WEFT__LEAVE, 0)) { /* the inputs may be of executors that still run */
        weft__many_pass_cancel_on(g);
        weft__many_leave(g);
    }
    return WEFT_CANCEL_DONE;
}

/* Other than a gather, it is done before its request is passed on. */
static void any_handle(weft__link *link, weft__coordinator *c)
{
    weft_future *f = weft__link_future(link);
    (void)c;
    uint32_t todo = weft__poked(f);
    if (todo & WEFT__PROPAGATE)
        weft__many_pass_cancel_on(weft__many_of(f));
    if (todo & WEFT__LEAVE)
        weft__many_leave(weft__many_of(f));
    weft__poke_done(f);
}

/* One success may be all that is waited for. */
static bool any_needs_all(const weft__many *g)
{
    return g->n == 1;
}

/* The winner's value is not shown where it was moved out through the any. */
static void any_slot(weft__many *g, size_t i, weft_outcome *outcome)
{
    uint64_t word = weft__word(&g->base);
    weft__many_input_slot(g, i, outcome);
    if (weft__state(word) == WEFT_SUCCEEDED && word & WEFT__TAKEN && g->inputs[i] == winner_of(g))
        outcome->value = NULL;
}

static void any_dispose(weft_future *f, uint64_t word)
{
    weft__many *g = weft__many_of(f);
    /* One that is dropped while it is pending ends without a winner. Relaxed: who disposes comes after all notes. */
    bool won = weft__state(word) == WEFT_SUCCEEDED && atomic_load_explicit(&g->won, memory_order_relaxed);
    weft__many_unlist(g);
    for (size_t i = 0; i < g->n; i++) {
        if (won && is_surplus(g, i))
            weft__unref(g->inputs[i]);
        else
            weft__many_give_back(g, g->inputs[i]);
        if (weft__stale(f->executor)) /* a destructor forked, and this is the child */
            return;
    }
    weft__many_free(g);
}

static const weft__many_ops any_ops = {
    .base =
        {
            .link = {.handle = any_handle},
            .kind = WEFT__MANY,
            .memory = WEFT__SLAB_CLASSES,
            .cancel = any_cancel,
            .help = weft__many_help,
            .input = any_input,
            .abandon = weft__many_abandon,
            .rests_on_job = weft__many_rests,
            .dispose = any_dispose,
        },
    .any = true,
    .decided = any_decided,
    .conclude = any_conclude,
    .needs_all = any_needs_all,
    .slots = weft__many_inputs,
    .slot = any_slot,
    .source = weft__many_input,
};

weft_future *weft_any(weft_executor *e, weft_future *const futures[], size_t n)
{
    if (n == 0)
        return weft__refuse(-EINVAL);
    return weft__many_make(e, &any_ops, futures, n, WEFT_FIRST_ERROR);
}
