/* gather.c: one future for many.
 *
 * A gather takes eight bytes an input: it attaches to each without a node of its own (settle.c, "direct"), and only where
 * another gather is there already it makes one. Inputs that are done at the start cost a look and a reference. Each
 * input that becomes done counts down; whoever brings the count to zero resolves the gather, on the spot: one hop to
 * the coordinator would cost two context switches and win nothing, since the claim on the gather's word already makes the
 * step happen once. What goes to the coordinator is whatever touches all inputs: passing a cancel on, and taking the
 * gather off the inputs that are still open when FIRST_ERROR has its answer.
 *
 * The count includes one for the maker, so nothing resolves while inputs are being attached. All inputs together have one
 * hold on the gather; whoever counts down to zero gives it up. */
#include "future.h"

#include <errno.h>
#include <string.h>

typedef struct extra extra;
typedef struct weft__gather {
    weft_future base;
    size_t n;                             /* constant */
    size_t size;                          /* of this block; constant */
    weft_gather_mode mode;                /* constant */
    _Atomic(bool) shut;                   /* an input was cancelled by shutdown */
    bool snapshot_taken;                  /* by who claimed the gather, before done */
    _Atomic(size_t) left;                 /* inputs not done, and one for the maker while it is at it */
    _Atomic(bool) made;                   /* all inputs are attached; before, a failure is only noted */
    weft__waiter last, first;             /* queued when the last input is done, and when the first has failed */
    _Atomic(size_t) failed;               /* 1 + index of the first input that failed; 0 none */
    _Atomic(weft_outcome *) outcomes;     /* made when first asked for */
    extra *extras;                        /* nodes on inputs that had a gather already; constant once made */
    struct weft__gather *next, *previous; /* the executor's large futures; large_lock */
    weft_future *inputs[];                /* and behind them two bitmaps, see below */
} gather;

struct extra {
    weft__waiter node;
    gather *gather;
    weft_future *input;
    extra *next;
};

static gather *gather_of(weft_future *f)
{
    return (gather *)(void *)f;
}

/* Which were done when the snapshot was taken. */
static uint64_t *finished(const gather *g)
{
    return (uint64_t *)(uintptr_t)(g->inputs + g->n);
}

/* Whose value had been taken before; the maker writes. */
static uint64_t *taken(const gather *g)
{
    return finished(g) + (g->n + 63) / 64;
}

static bool bit(const uint64_t *map, size_t i)
{
    return map[i / 64] >> (i % 64) & 1;
}

static void set_bit(uint64_t *map, size_t i)
{
    map[i / 64] |= UINT64_C(1) << (i % 64);
}

/* ---- resolving ---- */

static void take_snapshot(gather *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (weft__done(weft__word(g->inputs[i])))
            set_bit(finished(g), i);
    g->snapshot_taken = true;
}

static int input_error(const gather *g, size_t i)
{
    return bit(taken(g), i) ? -ENODATA : weft__outcome_code(g->inputs[i], weft__word(g->inputs[i]));
}

/* The state that the inputs decide; writes error and reason. The caller has claimed the gather. */
static unsigned decide(gather *g)
{
    weft_future *f = &g->base;
    size_t failed = atomic_load_explicit(&g->failed, memory_order_acquire);
    if (weft__word(f) & WEFT__CANCEL)
        return WEFT_CANCELLED;
    if (atomic_load_explicit(&g->shut, memory_order_acquire)) {
        atomic_fetch_or_explicit(&f->word, weft__reason_bits(WEFT_REASON_SHUTDOWN), memory_order_relaxed);
        return WEFT_CANCELLED;
    }
    if (failed == 0 || g->mode == WEFT_SETTLED)
        return WEFT_SUCCEEDED;
    f->error = input_error(g, failed - 1);
    return WEFT_FAILED;
}

static bool claim_unless_cancelled(weft_future *f)
{
    uint64_t word = weft__word(f);
    do {
        if (word & WEFT__CANCEL || weft__state(word) != WEFT_PENDING)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&f->word, &word, word | WEFT__CLAIMED, memory_order_acq_rel,
                                                    memory_order_acquire));
    return true;
}

static void leave_inputs(gather *g);

/* An input has failed, the first to do so. May be called twice. */
static void first_failure(gather *g)
{
    weft_future *f = &g->base;
    if (g->mode == WEFT_STRICT) {
        weft__poke(f, WEFT__PROPAGATE, 0);
        return;
    }
    /* FIRST_ERROR. A gather that was asked to stop waits for its inputs. */
    if (!claim_unless_cancelled(f))
        return;
    take_snapshot(g);
    weft__settle(f, decide(g), 0);
    if (!weft__poke(f, WEFT__LEAVE, 0))
        leave_inputs(g);
}

static size_t index_of(const gather *g, const weft_future *input)
{
    size_t i = 0;
    while (g->inputs[i] != input)
        i++;
    return i;
}

/* Whether it was the first failure. */
static bool note_outcome(gather *g, weft_future *input, size_t index)
{
    uint64_t word = weft__word(input);
    bool was_taken = weft__state(word) == WEFT_SUCCEEDED && index < g->n && bit(taken(g), index);
    if (weft__state(word) == WEFT_SUCCEEDED && !was_taken)
        return false;
    if (weft__state(word) == WEFT_CANCELLED && weft__reason(word) == WEFT_REASON_SHUTDOWN)
        atomic_store_explicit(&g->shut, true, memory_order_release);
    size_t none = 0;
    if (g->mode == WEFT_SETTLED || atomic_load_explicit(&g->failed, memory_order_relaxed))
        return false;
    size_t failed = 1 + (index < g->n ? index : index_of(g, input));
    /* seq_cst, with the look at `made`: either the maker sees the failure or who noted it sees that it is made. */
    return atomic_compare_exchange_strong_explicit(&g->failed, &none, failed, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

static void resolve(gather *g)
{
    weft_future *f = &g->base;
    if (weft__claim(f, WEFT__CLAIMED, 0))
        weft__settle(f, decide(g), 0);
    weft__let_go(f); /* the inputs' */
}

static bool counted_down(gather *g)
{
    /* acq_rel: who comes last sees what the others noted. */
    return atomic_fetch_sub_explicit(&g->left, 1, memory_order_acq_rel) == 1;
}

static void count_down(gather *g)
{
    if (counted_down(g))
        resolve(g);
}

static void last_done(weft__waiter *node)
{
    resolve((gather *)(void *)((char *)node - offsetof(gather, last)));
}

static void first_failed(weft__waiter *node)
{
    gather *g = (gather *)(void *)((char *)node - offsetof(gather, first));
    first_failure(g);
    weft__let_go(&g->base);
}

/* Through the thread's list of what to notify: gathers of gathers resolve in a loop. */
void weft__gather_input_done(gather *g, weft_future *input)
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
    extra *x = (extra *)(void *)node;
    weft__gather_input_done(x->gather, x->input);
}

/* ---- on the coordinator ---- */

static void pass_cancel_on(gather *g)
{
    uint64_t word = weft__word(&g->base);
    weft_cancel_reason reason = word & WEFT__CANCEL ? weft__reason_below(weft__reason(word)) : WEFT_REASON_SIBLING;
    for (size_t i = 0; i < g->n; i++)
        if (!weft__done(weft__word(g->inputs[i])))
            weft__cancel(g->inputs[i], reason);
}

static void leave_inputs(gather *g)
{
    weft__hold(&g->base);
    for (size_t i = 0; i < g->n; i++)
        if (weft__detach_direct(g->inputs[i], g))
            count_down(g);
    for (extra *x = g->extras; x; x = x->next)
        if (weft__detach(x->input, &x->node))
            count_down(g);
    weft__let_go(&g->base);
}

static void gather_handle(weft__link *link, weft__coordinator *c)
{
    weft_future *f = weft__link_future(link);
    (void)c;
    uint32_t todo = weft__poked(f);
    if (todo & WEFT__PROPAGATE && !weft__done(weft__word(f)))
        pass_cancel_on(gather_of(f));
    if (todo & WEFT__LEAVE)
        leave_inputs(gather_of(f));
    weft__poke_done(f);
}

/* ---- what futures can be asked ---- */

static weft_cancel_effect gather_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next)
{
    (void)next;
    weft_cancel_effect effect = weft__request(f, reason);
    if (effect == WEFT_CANCEL_REQUESTED)
        weft__poke(f, WEFT__PROPAGATE, 0);
    return effect;
}

/* Newest first: what a job has just submitted is at the young end of its own deque. */
static int gather_help(weft_future *f, bool awaited)
{
    gather *g = gather_of(f);
    /* One failure may be all that is waited for, and what is run here might wait for what comes after it. */
    if (g->mode == WEFT_FIRST_ERROR && g->n > 1)
        return 0;
    for (size_t i = g->n; i-- > 0 && !weft__done(weft__word(f)) && !weft__stack_is_low(weft__self.thread);) {
        if (!awaited && weft__self.job && weft__job_cancelled(weft__self.job))
            break;
        weft_future *input = g->inputs[i];
        const weft__future_ops *ops = weft__ops_of(input);
        int code = ops->help && !weft__done(weft__word(input)) ? ops->help(input, awaited) : 0;
        if (code)
            return code;
    }
    return 0;
}

static bool gather_rests(weft_future *f)
{
    bool open = false;
    gather *g = gather_of(f);
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

static void gather_abandon(weft_future *f)
{
    leave_inputs(gather_of(f));
}

static void gather_free(gather *g)
{
    weft_executor *e = g->base.executor;
    for (extra *x = g->extras, *next; x; x = next) {
        next = x->next;
        weft__memory_free(x, sizeof *x);
    }
    weft_outcome *outcomes = atomic_load_explicit(&g->outcomes, memory_order_acquire);
    if (outcomes)
        weft__memory_free(outcomes, g->n * sizeof *outcomes);
    weft__memory_free(g, g->size);
    weft__executor_unpin(e);
}

static void list_remove(gather *g)
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

static void gather_dispose(weft_future *f, uint64_t word)
{
    gather *g = gather_of(f);
    (void)word;
    list_remove(g);
    for (size_t i = 0; i < g->n; i++)
        weft__unlend(g->inputs[i]);
    gather_free(g);
}

static const weft__future_ops gather_ops = {
    .link = {.handle = gather_handle},
    .kind = WEFT__GATHER,
    .memory = WEFT__SLAB_CLASSES,
    .cancel = gather_cancel,
    .help = gather_help,
    .abandon = gather_abandon,
    .rests_on_job = gather_rests,
    .dispose = gather_dispose,
};

size_t weft__gather_index(weft_future *f)
{
    size_t failed = atomic_load_explicit(&gather_of(f)->failed, memory_order_acquire);
    return failed ? failed - 1 : 0;
}

weft_future *weft__gather_failed_input(weft_future *f)
{
    gather *g = gather_of(f);
    size_t failed = atomic_load_explicit(&g->failed, memory_order_acquire);
    return failed ? g->inputs[failed - 1] : NULL;
}

void *weft__gather_next(void *g)
{
    return ((gather *)g)->next;
}

/* ---- making one ---- */

static gather *gather_new(weft_executor *e, size_t n, weft_gather_mode mode)
{
    size_t words = (n + 63) / 64;
    if (n > (SIZE_MAX / 2 - sizeof(gather)) / (sizeof(weft_future *) + 1))
        return NULL;
    size_t size = sizeof(gather) + n * sizeof(weft_future *) + 2 * words * sizeof(uint64_t);
    gather *g = weft__memory_alloc(size);
    if (!g)
        return NULL;
    weft__future_init(&g->base, e, &gather_ops);
    atomic_init(&g->base.word, 0);
    g->n = n;
    g->size = size;
    g->mode = mode;
    g->snapshot_taken = false;
    g->extras = NULL;
    memset(finished(g), 0, 2 * words * sizeof(uint64_t));
    atomic_init(&g->shut, false);
    atomic_init(&g->left, 1);
    atomic_init(&g->failed, 0);
    atomic_init(&g->made, false);
    g->last.notify = last_done;
    g->first.notify = first_failed;
    atomic_init(&g->outcomes, NULL);
    weft__executor_pin(e);
    return g;
}

static void list_add(gather *g)
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

/* Borrows every input, or none. */
static int lend_all(gather *g, weft_future *const futures[])
{
    for (size_t i = 0; i < g->n; i++) {
        int code = weft__lend(futures[i], false);
        if (code) {
            while (i-- > 0)
                weft__unlend(futures[i]);
            return code;
        }
        g->inputs[i] = futures[i];
    }
    return 0;
}

/* An input that another gather holds by its direct place gets a node. */
static int attach_node(gather *g, weft_future *input)
{
    extra *x = weft__memory_alloc(sizeof *x);
    if (!x)
        return -ENOMEM;
    *x = (extra){.node.notify = extra_done, .gather = g, .input = input, .next = g->extras};
    g->extras = x;
    atomic_fetch_add_explicit(&g->left, 1, memory_order_relaxed);
    if (!weft__attach(input, &x->node))
        extra_done(&x->node);
    return 0;
}

static int attach_input(gather *g, size_t i)
{
    weft_future *input = g->inputs[i];
    uint64_t word = weft__word(input);
    if (!weft__done(word)) {
        atomic_fetch_add_explicit(&g->left, 1, memory_order_relaxed);
        switch (weft__attach_direct(input, g)) {
        case WEFT__ATTACHED:
            return 0;
        case WEFT__BUSY:
            atomic_fetch_sub_explicit(&g->left, 1, memory_order_relaxed);
            return attach_node(g, input);
        case WEFT__TWICE:
        case WEFT__WAS_DONE:
            atomic_fetch_sub_explicit(&g->left, 1, memory_order_relaxed);
        }
        word = weft__word(input);
        if (!weft__done(word))
            return 0; /* the same future twice: subscribed once */
    }
    if (weft__state(word) == WEFT_SUCCEEDED && word & WEFT__TAKEN)
        set_bit(taken(g), i);
    note_outcome(g, input, i);
    return 0;
}

/* Takes a half-made gather back. */
static void unmake(gather *g)
{
    /* Nobody will see how it ended, if it did. */
    weft__future_publish(&g->base, 1, WEFT__CLAIMED | WEFT__OBSERVED);
    leave_inputs(g);
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

static weft_future *refuse(int code)
{
    errno = code;
    return NULL;
}

weft_future *weft_gather(weft_executor *e, weft_future *const futures[], size_t n, weft_gather_mode mode)
{
    if ((unsigned)mode > WEFT_STRICT || !entries_valid(futures, n))
        return refuse(EINVAL);
    if (!(e = weft__executor_or_default(e)))
        return NULL;
    if (weft__refused_phase(e))
        return refuse(ESHUTDOWN);
    gather *g = gather_new(e, n, mode);
    if (!g)
        return refuse(ENOMEM);
    int code = lend_all(g, futures);
    if (code) {
        gather_free(g);
        return refuse(-code);
    }
    list_add(g);
    weft__hold(&g->base); /* the inputs' */
    for (size_t i = 0; i < n && !code; i++)
        code = attach_input(g, i);
    if (code) {
        unmake(g);
        return refuse(-code);
    }
    for (size_t i = 0; i < n; i++)
        weft__observe(futures[i]);
    weft__future_publish(&g->base, 1, 0);
    atomic_store_explicit(&g->made, true, memory_order_seq_cst);
    if (atomic_load_explicit(&g->failed, memory_order_seq_cst))
        first_failure(g);
    count_down(g);
    if (weft__sealed(e) && weft__settle_cancelled(&g->base, WEFT_REASON_SHUTDOWN))
        leave_inputs(g);
    return &g->base;
}

/* ---- outcomes ---- */

static void fill(gather *g, weft_outcome *outcomes)
{
    for (size_t i = 0; i < g->n; i++) {
        uint64_t word = weft__word(g->inputs[i]);
        bool open = !weft__done(word) || (g->snapshot_taken && !bit(finished(g), i));
        if (open) {
            outcomes[i] = (weft_outcome){.state = WEFT_PENDING};
            continue;
        }
        weft__outcome_read(g->inputs[i], word, &outcomes[i]);
        if (bit(taken(g), i))
            outcomes[i] = (weft_outcome){.state = WEFT_FAILED, .error = -ENODATA};
        else if (outcomes[i].state == WEFT_SUCCEEDED)
            outcomes[i].value = g->inputs[i]->value;
    }
}

const weft_outcome *weft_gather_outcomes(weft_future *f, size_t *n)
{
    static const weft_outcome none;
    if (!f)
        return NULL;
    if (weft__ops_of(f)->kind != WEFT__GATHER) {
        errno = EINVAL;
        return NULL;
    }
    gather *g = gather_of(f);
    if (!weft__done(weft__word(f))) {
        errno = EINPROGRESS;
        return NULL;
    }
    weft__observe(f);
    if (n)
        *n = g->n;
    if (g->n == 0)
        return &none;
    weft_outcome *outcomes = atomic_load_explicit(&g->outcomes, memory_order_acquire);
    if (outcomes)
        return outcomes;
    weft_outcome *made = weft__memory_alloc(g->n * sizeof *made);
    if (!made) {
        errno = ENOMEM;
        return NULL;
    }
    fill(g, made);
    /* Two readers may have made one each: the first stays. */
    if (atomic_compare_exchange_strong_explicit(&g->outcomes, &outcomes, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    weft__memory_free(made, g->n * sizeof *made);
    return outcomes;
}
