/* many.c: the common part of futures with many inputs. What it is and its discipline stand in many.h. */
#include "many.h"

#include <errno.h>
#include <string.h>

struct weft__many_extra {
    weft__waiter node;
    weft__many *many; /* constant, as the rest */
    weft_future *input;
    weft__many_extra *next; /* of the same future */
};

static size_t map_words(size_t n)
{
    return (n + 63) / 64;
}

/* Which were done when the snapshot was taken. */
static uint64_t *finished(const weft__many *g)
{
    return (uint64_t *)(uintptr_t)(g->inputs + g->n);
}

/* Whose value had been taken before; the maker writes. */
static uint64_t *taken(const weft__many *g)
{
    return finished(g) + map_words(g->n);
}

void *weft__many_tail(const weft__many *g)
{
    return taken(g) + map_words(g->n);
}

static bool bit(const uint64_t *map, size_t i)
{
    return map[i / 64] >> (i % 64) & 1;
}

static void set_bit(uint64_t *map, size_t i)
{
    map[i / 64] |= UINT64_C(1) << (i % 64);
}

/* ---- noting ---- */

static size_t index_of(const weft__many *g, const weft_future *input)
{
    size_t i = 0;
    while (g->inputs[i] != input)
        i++;
    return i;
}

/* seq_cst, with the look at `made`: either the maker sees the note or who made the note sees that it is made. */
static bool note_first(_Atomic(size_t) *place, size_t index)
{
    size_t none = 0;
    return atomic_compare_exchange_strong_explicit(place, &none, index + 1, memory_order_seq_cst, memory_order_relaxed);
}

/* Is the next failure the first one, as far as can be seen, and does it matter? */
static bool failure_matters(weft__many *g, bool shutdown)
{
    if (shutdown) /* release, partner of the acquire load in weft__many_conclude */
        atomic_store_explicit(&g->shut, true, memory_order_release);
    return g->mode != WEFT_SETTLED && !atomic_load_explicit(&g->failed, memory_order_relaxed);
}

bool weft__many_note_failure(weft__many *g, size_t i, bool shutdown)
{
    return failure_matters(g, shutdown) && note_first(&g->failed, i);
}

/* index: of the input, if it is known, else SIZE_MAX. Whether this is the note that decides. */
static bool note_outcome(weft__many *g, weft_future *input, size_t index)
{
    uint64_t word = weft__word(input);
    bool any = weft__many_ops_of(g)->any;
    bool was_taken = weft__state(word) == WEFT_SUCCEEDED && index < g->n && bit(taken(g), index);
    if (weft__state(word) == WEFT_SUCCEEDED && !was_taken)
        return any && !atomic_load_explicit(&g->won, memory_order_relaxed) &&
               note_first(&g->won, index < g->n ? index : index_of(g, input));
    bool shutdown = weft__state(word) == WEFT_CANCELLED && weft__reason(word) == WEFT_REASON_SHUTDOWN;
    return failure_matters(g, shutdown) && note_first(&g->failed, index < g->n ? index : index_of(g, input)) && !any;
}

static bool is_decided(weft__many *g)
{
    _Atomic(size_t) *place = weft__many_ops_of(g)->any ? &g->won : &g->failed;
    return atomic_load_explicit(place, memory_order_seq_cst) != 0; /* see note_first */
}

/* ---- resolving ---- */

void weft__many_snapshot(weft__many *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (weft__done(weft__word(g->inputs[i])))
            set_bit(finished(g), i);
    g->snapshot_taken = true;
}

unsigned weft__many_conclude(weft__many *g)
{
    weft_future *f = &g->base;
    /* Acquire, both, partners of note_first and failure_matters. */
    size_t failed = atomic_load_explicit(&g->failed, memory_order_acquire);
    if (weft__word(f) & WEFT__CANCEL)
        return WEFT_CANCELLED;
    if (atomic_load_explicit(&g->shut, memory_order_acquire)) {
        atomic_fetch_or_explicit(&f->word, weft__reason_bits(WEFT_REASON_SHUTDOWN), memory_order_relaxed);
        return WEFT_CANCELLED;
    }
    if (failed == 0)
        return WEFT_SUCCEEDED;
    weft_outcome outcome;
    weft__many_ops_of(g)->slot(g, failed - 1, &outcome);
    f->error = outcome.error;
    return WEFT_FAILED;
}

static void resolve(weft__many *g)
{
    weft_future *f = &g->base;
    const weft__many_ops *ops = weft__many_ops_of(g);
    if (weft__claim(f, WEFT__CLAIMED, 0))
        weft__settle(f, ops->conclude(g), ops->own);
    weft__let_go(f); /* the inputs' */
}

static bool counted_down(weft__many *g)
{
    /* acq_rel: who comes last sees what the others noted. */
    return atomic_fetch_sub_explicit(&g->left, 1, memory_order_acq_rel) == 1;
}

static void count_down(weft__many *g)
{
    if (counted_down(g))
        resolve(g);
}

static void last_done(weft__waiter *node)
{
    resolve((weft__many *)(void *)((char *)node - offsetof(weft__many, last)));
}

static void first_decided(weft__waiter *node)
{
    weft__many *g = (weft__many *)(void *)((char *)node - offsetof(weft__many, first));
    weft__many_ops_of(g)->decided(g);
    weft__let_go(&g->base);
}

/* Through the thread's list of what to notify: gathers of gathers resolve in a loop. */
void weft__many_input_done(weft__many *g, weft_future *input)
{
    if (note_outcome(g, input, SIZE_MAX) && atomic_load_explicit(&g->made, memory_order_seq_cst)) {
        weft__hold(&g->base);
        weft__tell(&g->first);
    }
    if (counted_down(g))
        weft__tell(&g->last);
}

static void extra_done(weft__waiter *node)
{
    weft__many_extra *x = (weft__many_extra *)(void *)node;
    weft__many_input_done(x->many, x->input);
}

/* ---- on the coordinator ---- */

void weft__many_pass_cancel_on(weft__many *g)
{
    uint64_t word = weft__word(&g->base);
    weft_cancel_reason reason = word & WEFT__CANCEL ? weft__reason_below(weft__reason(word)) : WEFT_REASON_SIBLING;
    for (size_t i = 0; i < g->n; i++)
        if (!weft__done(weft__word(g->inputs[i])))
            weft__cancel(g->inputs[i], reason);
}

void weft__many_leave(weft__many *g)
{
    if (weft__stale(g->base.executor)) /* a free_arg forked when the inputs were asked, and this is the child */
        return;
    weft__hold(&g->base);
    for (size_t i = 0; i < g->n; i++)
        if (weft__detach_direct(g->inputs[i], g))
            count_down(g);
    for (weft__many_extra *x = g->extras; x; x = x->next)
        if (weft__detach(x->input, &x->node))
            count_down(g);
    weft__let_go(&g->base);
}

void weft__many_leave_soon(weft__many *g)
{
    if (!weft__poke(&g->base, WEFT__LEAVE, 0))
        weft__many_leave(g);
}

void weft__many_handle(weft__link *link, weft__coordinator *c)
{
    weft_future *f = weft__link_future(link);
    (void)c;
    uint32_t todo = weft__poked(f);
    uint64_t word = weft__word(f);
    /* A request that was granted is kept, though the future may have been dropped since and its inputs left. */
    if (todo & WEFT__PROPAGATE && (!weft__done(word) || word & WEFT__CANCEL))
        weft__many_pass_cancel_on(weft__many_of(f));
    if (todo & WEFT__LEAVE)
        weft__many_leave(weft__many_of(f));
    weft__poke_done(f);
}

/* ---- what futures can be asked ---- */

weft_cancel_effect weft__many_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next)
{
    (void)next;
    weft_cancel_effect effect = weft__request(f, reason);
    if (effect == WEFT_CANCEL_REQUESTED && !weft__poke(f, WEFT__PROPAGATE, 0))
        weft__many_pass_cancel_on(weft__many_of(f)); /* the inputs may be of executors that still run */
    return effect;
}

/* Newest first: what a job has just submitted is at the young end of its own deque. */
int weft__many_help(weft_future *f, bool awaited)
{
    weft__many *g = weft__many_of(f);
    if (!weft__many_ops_of(g)->needs_all(g) || weft__self.looks == 0)
        return 0;
    weft__self.looks--;
    for (size_t i = g->n; i-- > 0 && !weft__done(weft__word(f)) && weft__help_goes_on();) {
        weft_future *input = g->inputs[i];
        const weft__future_ops *ops = weft__ops_of(input);
        int code = ops->help && !weft__done(weft__word(input)) ? ops->help(input, awaited) : 0;
        if (code)
            return code;
    }
    return 0;
}

bool weft__many_rests(weft_future *f)
{
    bool open = false;
    weft__many *g = weft__many_of(f);
    for (size_t i = 0; i < g->n; i++) {
        weft_future *input = g->inputs[i];
        if (weft__done(weft__word(input)))
            continue;
        open = true;
        if (weft__rests_on_job(input))
            return true;
    }
    return !open; /* all are done: whoever finished the last one is about to resolve it */
}

void weft__many_abandon(weft_future *f)
{
    weft__many_leave(weft__many_of(f));
}

void weft__many_free(weft__many *g)
{
    weft_executor *e = g->base.executor;
    for (weft__many_extra *x = g->extras, *next; x; x = next) {
        next = x->next;
        weft__memory_free(x, sizeof *x);
    }
    /* Acquire, here and in weft_gather_outcomes, partner of the exchange there. */
    weft_outcome *outcomes = atomic_load_explicit(&g->outcomes, memory_order_acquire);
    if (outcomes)
        weft__memory_free(outcomes, weft__many_ops_of(g)->slots(g) * sizeof *outcomes);
    weft__memory_free(g, g->size);
    weft__executor_unpin(e);
}

void weft__many_unlist(weft__many *g)
{
    weft_executor *e = g->base.executor;
    pthread_mutex_lock(&e->large_lock);
    if (g->next)
        g->next->previous = g->previous;
    if (g->previous)
        g->previous->next = g->next;
    else
        e->large = g->next;
    pthread_mutex_unlock(&e->large_lock);
    atomic_fetch_sub_explicit(&e->large_futures, 1, memory_order_relaxed);
}

void weft__many_give_back(const weft__many *g, weft_future *input)
{
    /* Relaxed: who has the last reference. One that was never made has taken over nothing. */
    if (weft__state(weft__word(input)) != WEFT_SUCCEEDED && atomic_load_explicit(&g->made, memory_order_relaxed))
        weft__observe(input);
    weft__unlend(input);
}

void weft__many_dispose(weft_future *f, uint64_t word)
{
    weft__many *g = weft__many_of(f);
    (void)word;
    weft__many_unlist(g);
    for (size_t i = 0; i < g->n; i++) {
        weft__many_prefetch(g->inputs, g->n, i);
        weft__many_give_back(g, g->inputs[i]);
        if (weft__stale(f->executor)) /* a destructor forked, and this is the child */
            return;
    }
    weft__many_free(g);
}

size_t weft__many_index(weft_future *f)
{
    weft__many *g = weft__many_of(f);
    /* Acquire, here and in the next, partner of note_first. */
    size_t won = atomic_load_explicit(&g->won, memory_order_acquire);
    size_t decided = won ? won : atomic_load_explicit(&g->failed, memory_order_acquire);
    return decided ? decided - 1 : 0;
}

weft_future *weft__many_failed_input(weft_future *f)
{
    weft__many *g = weft__many_of(f);
    size_t failed = atomic_load_explicit(&g->failed, memory_order_acquire);
    return failed ? weft__many_ops_of(g)->source(g, failed - 1) : NULL;
}

weft_future *const *weft__many_inputs_of(weft_future *f, size_t *n)
{
    *n = weft__many_of(f)->n;
    return weft__many_of(f)->inputs;
}

void *weft__many_next(void *g)
{
    return ((weft__many *)g)->next;
}

/* ---- making one ---- */

weft__many *weft__many_new(weft_executor *e, const weft__many_ops *ops, size_t n, weft_gather_mode mode, size_t tail)
{
    size_t bitmaps = 2 * map_words(n) * sizeof(uint64_t);
    if (tail > SIZE_MAX / 4 || n > (SIZE_MAX / 4 - sizeof(weft__many)) / (sizeof(weft_future *) + 1))
        return NULL;
    size_t size = sizeof(weft__many) + n * sizeof(weft_future *) + bitmaps + tail;
    weft__many *g = weft__memory_alloc(size);
    if (!g)
        return NULL;
    weft__future_init(&g->base, e, &ops->base);
    atomic_init(&g->base.word, 0);
    g->n = n;
    g->size = size;
    g->mode = (uint8_t)mode;
    g->snapshot_taken = false;
    g->extras = NULL;
    memset(finished(g), 0, bitmaps);
    atomic_init(&g->shut, false);
    atomic_init(&g->left, 1);
    atomic_init(&g->failed, 0);
    atomic_init(&g->won, 0);
    atomic_init(&g->made, false);
    g->last.notify = last_done;
    g->first.notify = first_decided;
    atomic_init(&g->outcomes, NULL);
    weft__executor_pin(e);
    return g;
}

static void list_add(weft__many *g)
{
    weft_executor *e = g->base.executor;
    atomic_fetch_add_explicit(&e->large_futures, 1, memory_order_relaxed);
    pthread_mutex_lock(&e->large_lock);
    g->previous = NULL;
    g->next = e->large;
    if (g->next)
        g->next->previous = g;
    e->large = g;
    pthread_mutex_unlock(&e->large_lock);
}

/* Takes down what is known of an input that is done. */
static void note_done(weft__many *g, size_t i, uint64_t word)
{
    /* Not of the winner of an any: it was noted with its value, and somebody has taken that since. Relaxed: the note that
     * matters is the maker's own, who is the caller. */
    if (weft__state(word) == WEFT_SUCCEEDED && word & WEFT__TAKEN &&
        atomic_load_explicit(&g->won, memory_order_relaxed) != i + 1)
        set_bit(taken(g), i);
    note_outcome(g, g->inputs[i], i);
}

/* Borrows every input, or none, and notes those that are done; *pending: the first that is not. */
static int lend_all(weft__many *g, weft_future *const futures[], size_t *pending)
{
    size_t n = g->n;
    uint64_t dull = weft__many_ops_of(g)->any ? UINT64_MAX : WEFT_SUCCEEDED; /* what need not be noted */
    *pending = n;
    for (size_t i = 0; i < n; i++) {
        weft_future *input = futures[i];
        uint64_t word;
        weft__many_prefetch(futures, n, i);
        g->inputs[i] = input;
        if (WEFT__LIKELY(weft__lend_done(input, &word))) {
            if ((word & (WEFT__STATE | WEFT__TAKEN)) != dull)
                note_done(g, i, word);
            continue;
        }
        int code = weft__lend(input, false);
        if (code) {
            while (i-- > 0)
                weft__unlend(futures[i]);
            return code;
        }
        word = weft__word(input);
        if (weft__done(word))
            note_done(g, i, word); /* in its place: of failures that are there the first is the one that is told */
        else if (*pending == n)
            *pending = i;
    }
    return 0;
}

/* An input that another future holds by its direct place gets a node. */
static int attach_node(weft__many *g, weft_future *input)
{
    weft__many_extra *x = weft__memory_alloc(sizeof *x);
    if (!x)
        return -ENOMEM;
    *x = (weft__many_extra){.node.notify = extra_done, .many = g, .input = input, .next = g->extras};
    g->extras = x;
    if (!weft__attach(input, &x->node))
        extra_done(&x->node);
    return 0;
}

/* *spare: how many are counted and need not be. */
static int attach_input(weft__many *g, size_t i, size_t *spare)
{
    weft_future *input = g->inputs[i];
    if (!weft__done(weft__word(input))) {
        WEFT_POINT();
        switch (weft__attach_direct(input, g)) {
        case WEFT__ATTACHED:
            return 0;
        case WEFT__BUSY:
            return attach_node(g, input);
        case WEFT__TWICE: /* subscribed once */
        case WEFT__WAS_DONE:
            break;
        }
    }
    ++*spare;
    uint64_t word = weft__word(input);
    if (weft__done(word))
        note_done(g, i, word);
    return 0;
}

int weft__many_attach(weft__many *g, size_t from)
{
    int code = 0;
    size_t spare = 0;
    /* Relaxed: before the first is attached nobody else counts. */
    atomic_store_explicit(&g->left, 1 + g->n - from, memory_order_relaxed);
    list_add(g);
    weft__hold(&g->base); /* the inputs' */
    size_t i = from;
    for (; i < g->n && !code; i++)
        code = attach_input(g, i, &spare);
    spare += code ? g->n - i + 1 : 0; /* the one that failed, and those behind it */
    /* Relaxed: the maker's own count is still to come, in weft__many_publish or unmake. */
    if (spare)
        atomic_fetch_sub_explicit(&g->left, spare, memory_order_relaxed);
    return code;
}

void weft__many_publish(weft__many *g)
{
    const weft__many_ops *ops = weft__many_ops_of(g);
    weft__future_publish(&g->base, 1 + ops->own, 0);
    WEFT_POINT();
    /* seq_cst, before the look whether it is decided: see note_first. */
    atomic_store_explicit(&g->made, true, memory_order_seq_cst);
    if (is_decided(g))
        ops->decided(g);
    count_down(g);
}

/* Takes a half-made one back. */
static void unmake(weft__many *g)
{
    /* Nobody will see how it ended, if it did. */
    weft__future_publish(&g->base, 1, WEFT__CLAIMED | WEFT__OBSERVED);
    weft__many_leave(g);
    count_down(g);
    weft__unref(&g->base);
}

static bool entries_valid(weft_future *const futures[], size_t n)
{
    if (n && !futures)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!futures[i])
            return false;
    return true;
}

weft_future *weft__many_make(weft_executor *e, const weft__many_ops *ops, weft_future *const futures[], size_t n,
                             weft_gather_mode mode)
{
    if (!entries_valid(futures, n))
        return weft__refuse(-EINVAL);
    if (weft__any_stale(futures, n))
        return weft__refuse(-ESTALE);
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    if (weft__refused_phase(e))
        return weft__refuse(-ESHUTDOWN);
    weft__many *g = weft__many_new(e, ops, n, mode, 0);
    if (!g)
        return weft__refuse(-ENOMEM);
    size_t pending;
    int code = lend_all(g, futures, &pending);
    if (code) {
        weft__many_free(g);
        return weft__refuse(code);
    }
    code = weft__many_attach(g, pending);
    if (code) {
        unmake(g);
        return weft__refuse(code);
    }
    weft__many_publish(g);
    if (weft__sealed(e) && weft__settle_cancelled(&g->base, WEFT_REASON_SHUTDOWN))
        weft__many_leave(g);
    return &g->base;
}

/* ---- outcomes ---- */

size_t weft__many_inputs(const weft__many *g)
{
    return g->n;
}

weft_future *weft__many_input(const weft__many *g, size_t i)
{
    return g->inputs[i];
}

void weft__many_input_slot(weft__many *g, size_t i, weft_outcome *outcome)
{
    uint64_t word = weft__word(g->inputs[i]);
    if (!weft__done(word) || (g->snapshot_taken && !bit(finished(g), i))) {
        *outcome = (weft_outcome){.state = WEFT_PENDING};
        return;
    }
    weft__outcome_read(g->inputs[i], word, outcome);
    if (bit(taken(g), i))
        *outcome = (weft_outcome){.state = WEFT_FAILED, .error = -ENODATA};
    else if (outcome->state == WEFT_SUCCEEDED)
        outcome->value = g->inputs[i]->value;
}
