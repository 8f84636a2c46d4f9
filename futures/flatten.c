/* flatten.c: of a future whose value is a future, the inner one.
 *
 * A flatten hangs on the outer future by a node; when that has succeeded, its value is the inner future, and the same
 * node goes there. Whichever of them it follows decides it: the outer one by not succeeding, then the inner one. A
 * failure of its own it has if there is no inner future, or if that one waits for the flatten itself.
 *
 * Circles. All other futures are made of futures that are there already, so none of them can close a circle; a flatten
 * does, when it begins to follow its inner future. Therefore this step, the look whether it would, and the attaching
 * are one, under the lock of the waits (wait.c): of two flattens that hand each other out at the same moment, the
 * second one sees the first. If nobody waits for the flatten yet there is nothing to look for, which spares long chains
 * the walk. Through gathers the look is limited, so a circle through very many inputs may remain unseen.
 *
 * References. Both futures are held until the flatten is disposed of, but for a flatten that has seen a circle: it
 * would hold what holds it, for ever. So it lets go of both at once, under the same lock, which is why who follows
 * `input` of a future that is not done holds it, too.
 *
 * The node has one hold on the flatten from the beginning to the end, on whichever future it is. Whoever takes it off,
 * or is told and has no further use for it, gives the hold up. */
#include "future.h"

#include <errno.h>

enum { OUTER = 1, INNER = 2 }; /* loans */

enum { LOOKS = 1000, DEPTH = 16 }; /* at inputs of gathers, and gathers in gathers, in search of a circle */

typedef struct flatten {
    weft_future base;
    weft__waiter node;              /* on what it follows; settle.c, and under the waits' lock who moves it */
    weft_future *outer;             /* referenced; the maker; NULL: let go of. Under the waits' lock */
    weft_future *inner;             /* referenced; NULL: not known. Under the waits' lock */
    _Atomic(weft_future *) follows; /* outer, inner, or NULL: it has failed by itself. As inner; read by any thread */
    _Atomic(uint32_t) loans;        /* what of the two is lent to it; who clears a bit gives the loan back */
    bool was_taken;                 /* the outer value was gone before; the maker, before outer_done can read it */
} flatten;
_Static_assert(sizeof(flatten) <= 128, "a flatten takes two cache lines");

static flatten *flatten_of(weft_future *f)
{
    return (flatten *)(void *)f;
}

static flatten *of_node(weft__waiter *node)
{
    return (flatten *)(void *)((char *)node - offsetof(flatten, node));
}

/* Acquire, partner of the release in set_follows: the outcome of what it follows may be read through it. */
static weft_future *flatten_input(weft_future *f)
{
    return atomic_load_explicit(&flatten_of(f)->follows, memory_order_acquire);
}

static void set_follows(flatten *x, weft_future *future)
{
    /* Release, partner of the acquire in flatten_input. */
    atomic_store_explicit(&x->follows, future, memory_order_release);
}

static void give_loan_back(flatten *x, uint32_t which, weft_future *input)
{
    /* Relaxed: both futures stay, by the references; the release is for who takes the value next. */
    if (atomic_fetch_and_explicit(&x->loans, ~which, memory_order_relaxed) & which)
        atomic_fetch_sub_explicit(&input->word, WEFT__LENT, memory_order_release);
}

/* After the flatten was settled by something else than what it follows, or was dropped. */
static void leave(flatten *x)
{
    weft__waits_lock();
    weft_future *follows = flatten_input(&x->base);
    bool detached = follows && !weft__done(weft__word(follows)) && weft__detach(follows, &x->node);
    if (x->outer)
        give_loan_back(x, OUTER, x->outer);
    if (x->inner)
        give_loan_back(x, INNER, x->inner);
    weft__waits_unlock();
    if (detached)
        weft__let_go(&x->base); /* the node's */
}

/* ---- circles ---- */

static bool leads_to(weft_future *from, const weft_future *f, unsigned depth, unsigned *looks);

static bool an_input_leads_to(weft_future *many, const weft_future *f, unsigned depth, unsigned *looks)
{
    size_t n = 0;
    weft_future *const *inputs = weft__many_inputs_of(many, &n);
    for (size_t i = 0; i < n && depth > 0 && *looks > 0; i++) {
        (*looks)--;
        if (leads_to(inputs[i], f, depth - 1, looks))
            return true;
    }
    return false;
}

/* Does `from` wait for f? A deadline in between is no way out: the references would still go round. */
static bool leads_to(weft_future *from, const weft_future *f, unsigned depth, unsigned *looks)
{
    while (from && from != f && !weft__done(weft__word(from))) {
        const weft__future_ops *ops = weft__ops_of(from);
        if (ops->kind == WEFT__MANY)
            return an_input_leads_to(from, f, depth, looks);
        from = ops->input ? ops->input(from) : NULL;
    }
    return from == f;
}

static bool closes_circle(weft_future *f, weft_future *inner)
{
    unsigned looks = LOOKS;
    /* Who waits for f has set LISTED before the inner future could be made of it, or under the lock that is held. */
    return inner == f || (weft__word(f) & WEFT__LISTED && leads_to(inner, f, DEPTH, &looks));
}

/* ---- following ---- */

enum step { ATTACHED, WAS_DONE, CIRCLE, TOO_LATE, REFUSED };

/* Lets the flatten follow `inner`. Whoever cancels or drops the flatten gives its loan of the outer future back, under
 * the lock; from then on somebody else may take the inner one out and release it. So it is not touched before the look
 * whether that has happened, and is held before the lock is given up. */
static enum step begin_inner(flatten *x, weft_future *inner, int *code)
{
    weft_future *f = &x->base;
    enum step step = WAS_DONE;
    weft__waits_lock();
    uint64_t word = weft__word(f);
    if (weft__state(word) != WEFT_PENDING || weft__refs(word) == 0) {
        step = TOO_LATE; /* cancelled or dropped; whoever did so looks here afterwards */
    } else if (closes_circle(f, inner)) {
        step = CIRCLE;
    } else if ((*code = weft__lend(inner, false))) {
        step = REFUSED;
    } else {
        x->inner = inner;
        atomic_fetch_or_explicit(&x->loans, INNER, memory_order_relaxed);
        set_follows(x, inner);
        if (weft__attach(inner, &x->node))
            step = ATTACHED;
    }
    weft__waits_unlock();
    return step;
}

static void inner_done(flatten *x, bool was_taken)
{
    weft_future *f = &x->base;
    if (weft__claim(f, WEFT__CLAIMED, 0))
        weft__mirror(f, x->inner, was_taken);
    weft__let_go(f); /* the node's */
}

static void inner_told(weft__waiter *node)
{
    inner_done(of_node(node), false);
}

/* It is its own failure, and no future's. `drops`: it lets go of the outer one. */
static void fail(flatten *x, int error, bool drops)
{
    weft_future *f = &x->base, *outer = NULL;
    if (weft__claim(f, WEFT__CLAIMED, 0)) {
        weft__waits_lock();
        set_follows(x, NULL);
        if (drops) {
            outer = x->outer;
            x->outer = NULL;
        }
        weft__waits_unlock();
        f->error = error;
        weft__settle(f, WEFT_FAILED, 0);
    }
    if (outer) {
        give_loan_back(x, OUTER, outer);
        weft__unref(outer);
    }
    weft__let_go(f); /* the node's */
}

static void outer_succeeded(flatten *x, weft_future *inner)
{
    int code = -EINVAL;
    if (!inner) {
        fail(x, code, false);
        return;
    }
    x->node.notify = inner_told;
    switch (begin_inner(x, inner, &code)) {
    case ATTACHED:
        break;
    case WAS_DONE:
        inner_done(x, weft__word(inner) & WEFT__TAKEN);
        break;
    case CIRCLE:
        fail(x, -ELOOP, true);
        break;
    case TOO_LATE:
        weft__let_go(&x->base);
        break;
    case REFUSED:
        fail(x, code, false);
    }
}

static void outer_done(weft__waiter *node)
{
    flatten *x = of_node(node);
    weft_future *f = &x->base, *outer = x->outer;
    if (weft__state(weft__word(outer)) == WEFT_SUCCEEDED && !x->was_taken) {
        outer_succeeded(x, outer->value);
        return;
    }
    if (weft__claim(f, WEFT__CLAIMED, 0))
        weft__mirror(f, outer, x->was_taken);
    weft__let_go(f); /* the node's */
}

/* ---- what futures can be asked ---- */

/* What it follows, with a reference; NULL: nothing any more. */
static weft_future *follows_retained(weft_future *f)
{
    weft__waits_lock();
    weft_future *follows = weft_future_retain(flatten_input(f));
    weft__waits_unlock();
    return follows;
}

static weft_cancel_effect flatten_cancel(weft_future *f, weft_cancel_reason reason, weft_future **next)
{
    if (!weft__settle_cancelled(f, reason)) {
        weft__wait_settled(f);
        return WEFT_CANCEL_TOO_LATE;
    }
    leave(flatten_of(f));
    *next = follows_retained(f);
    return WEFT_CANCEL_DONE;
}

static void flatten_abandon(weft_future *f)
{
    leave(flatten_of(f));
}

/* Under the waits' lock. */
static bool flatten_rests(weft_future *f)
{
    weft_future *input = flatten_input(f);
    return !input || weft__done(weft__word(input)) || weft__rests_on_job(input);
}

/* First the outer future, then the inner one that it brings. */
static int flatten_help(weft_future *f, bool awaited)
{
    int code = 0;
    weft_future *last = NULL;
    while (!code && !weft__done(weft__word(f)) && weft__help_goes_on()) {
        weft_future *input = follows_retained(f);
        if (!input)
            break;
        const weft__future_ops *ops = weft__ops_of(input);
        bool again = input == last;
        if (!again && ops->help && !weft__done(weft__word(input)))
            code = ops->help(input, awaited);
        weft__unref(input);
        weft__fork_check(f->executor); /* after a destructor */
        if (again)
            break;
        last = input; /* compared only */
    }
    return code;
}

static void give_back(flatten *x, uint32_t which, weft_future *input)
{
    if (!input)
        return;
    if (atomic_load_explicit(&x->loans, memory_order_relaxed) & which)
        weft__unlend(input);
    else
        weft__unref(input);
}

static void flatten_dispose(weft_future *f, uint64_t word)
{
    flatten *x = flatten_of(f);
    (void)word;
    give_back(x, INNER, x->inner);
    give_back(x, OUTER, x->outer);
}

static const weft__future_ops flatten_ops = {
    .kind = WEFT__FLATTEN,
    .memory = WEFT__FUTURE_128,
    .cancel = flatten_cancel,
    .help = flatten_help,
    .input = flatten_input,
    .abandon = flatten_abandon,
    .rests_on_job = flatten_rests,
    .dispose = flatten_dispose,
};

/* ---- making one ---- */

/* A flatten that nobody sees yet, with a loan of the outer future. NULL: errno. */
static flatten *flatten_new(weft_future *outer)
{
    flatten *x = (flatten *)(void *)weft__derived_new(outer, &flatten_ops, true, NULL);
    if (!x)
        return NULL;
    x->node.notify = outer_done;
    x->outer = outer;
    x->inner = NULL;
    x->was_taken = false;
    atomic_init(&x->follows, outer);
    atomic_init(&x->loans, OUTER);
    return x;
}

weft_future *weft_flatten(weft_future *outer)
{
    if (!outer)
        return NULL;
    flatten *x = flatten_new(outer);
    if (!x)
        return NULL;
    weft_future *f = &x->base;
    weft__hold(f);      /* the node's */
    weft__waits_lock(); /* a walk of shutdown that finds it must find the node in its place */
    weft__future_publish(f, 1, 0);
    bool attached = weft__attach(outer, &x->node);
    weft__waits_unlock();
    if (!attached) {
        x->was_taken = weft__word(outer) & WEFT__TAKEN;
        outer_done(&x->node);
    }
    /* Shutdown's walk has passed if the phase says so: see weft__future_publish. */
    if (weft__sealed(f->executor) && weft__settle_cancelled(f, WEFT_REASON_SHUTDOWN))
        flatten_abandon(f);
    return f;
}
