/* parallel_for.c: one function over a range, in pieces that several workers run.
 *
 * A range that is longer than a piece is cut in two; the upper half is forked, the lower one cut again. As long as
 * nobody is idle no other thread learns of a fork, and the half comes back at the join for a few nanoseconds. A thief
 * takes the oldest fork, so about half of what its victim has left, and cuts that in the same way. The pieces that
 * one worker runs are in order and lie next to one another.
 *
 * How long a piece is. With a grain, that many elements. Without, what takes about PIECE ns: the first piece has one
 * element, and after each the length is set anew by the clock, at most four times as long as the last. Since a range is
 * cut only when its turn comes, a long range costs no more than the cuts on the way to its beginning before the first
 * piece is timed. A length belongs to a strand: what one thread runs of a loop without a steal in between. A thief
 * begins with the length that its victim had when it forked.
 *
 * What a thread keeps private of its halves nobody can have while it is in a piece. So all of it is offered before a
 * piece of a loop that has few of them, and before one that may be long: after one that was, or as the first of a strand.
 *
 * Where it comes from: Tzannes, Caragea, Barua and Vishkin, "Lazy binary splitting: a run-time adaptive work-stealing
 * scheduler" (PPoPP 2010) for the cutting on demand, here done by the forks' being private until somebody asks; timing
 * pieces to find the grain: Acar, Charguéraud and Rainey, "Oracle-guided scheduling for controlling granularity in
 * implicitly parallel languages" (JFP 2016), without the program's telling what a range costs. */
#include "loop.h"

#include <errno.h>

enum {
    PIECE = 10000,         /* ns: far more than a fork, a join and the look at the clock, far less than a wake-up */
    GROWTH = 4,            /* a piece is at most so many times as long as the one before: elements differ */
    PIECES_PER_WORKER = 8, /* at least so many, however short the elements */
};

typedef struct for_loop {
    weft__loop base;   /* must be first */
    weft_range_fn *fn; /* constant, as the next */
    size_t most;       /* elements of the longest piece */
    bool timed;        /* no grain was given: base.grain is 1 */
    bool watched;      /* timed, and with others to whom pieces may be offered */
} for_loop;

/* Used by its thread alone. */
typedef struct strand {
    const weft__self_t *self; /* of which thread; constant */
    size_t length;            /* a range of up to so many elements is not cut any more */
    int64_t since;            /* the clock when the last piece ended, or when the strand last had to wait */
    bool slow;                /* for all we know the next piece takes so long that an offer costs nothing beside it */
} strand;

/* The upper half of a range, on the stack of who cut it. */
typedef struct half {
    weft_task task;
    for_loop *loop;    /* written before the fork, as the next four */
    strand *strand;    /* of who forked it; if another thread runs it, only a name */
    size_t begin, end; /* elements */
    size_t length;     /* of the strand at the fork */
    int code;          /* before the fork, then by who runs it; read after the join */
    bool stolen;       /* likewise */
} half;

static int run(for_loop *l, strand *s, size_t begin, size_t end);

static void *run_half(void *argument)
{
    half *h = argument;
    if (WEFT__LIKELY(h->strand->self == &weft__self)) {
        h->code = run(h->loop, h->strand, h->begin, h->end);
        return NULL;
    }
    strand own = {&weft__self, h->length, h->loop->timed ? weft__now() : 0, h->loop->watched};
    h->stolen = true;
    h->code = run(h->loop, &own, h->begin, h->end);
    return NULL;
}

/* A piece of n elements took so many ns: how long is the next to be? */
static size_t next_length(const for_loop *l, size_t n, int64_t took)
{
    if (took > PIECE) {
        size_t times = (size_t)(took / PIECE);
        return n > times ? n / times : 1;
    }
    size_t times = took * GROWTH <= PIECE ? GROWTH : (size_t)(PIECE / took);
    return n > l->most / times ? l->most : n * times;
}

static int run_piece(for_loop *l, strand *s, size_t begin, size_t end)
{
    if (l->base.open || s->slow)
        weft__loop_offer();
    weft__loop_enter();
    l->fn(begin, end, l->base.data);
    int code = weft__loop_leave(&l->base, begin);
    if (l->timed) {
        int64_t now = weft__now(), took = now - s->since;
        s->length = next_length(l, end - begin, took);
        s->slow = took > PIECE / 4 && l->watched;
        s->since = now;
    }
    return code;
}

/* The middle of a range, a whole number of pieces from its beginning. */
static size_t middle_of(const for_loop *l, size_t begin, size_t end)
{
    size_t n = end - begin, grain = l->base.grain;
    return begin + (grain == 1 ? n / 2 : weft__loop_pieces(n, grain) / 2 * grain);
}

static int run(for_loop *l, strand *s, size_t begin, size_t end)
{
    int code = weft__loop_look(&l->base, begin);
    if (WEFT__UNLIKELY(code != 0))
        return code;
    if (end - begin <= s->length)
        return run_piece(l, s, begin, end);
    size_t middle = middle_of(l, begin, end);
    half upper = {
        .loop = l, .strand = s, .begin = middle, .end = end, .length = s->length, .code = WEFT__LOOP_UNFINISHED};
    weft_fork(&upper.task, run_half, &upper);
    code = run(l, s, begin, middle);
    weft_join(&upper.task);
    if (WEFT__UNLIKELY(upper.stolen) && l->timed)
        s->since = weft__now();
    return code ? code : upper.code;
}

static int run_all(weft__loop *base)
{
    for_loop *l = (for_loop *)(void *)base;
    l->watched = l->timed && base->executor->workers > 1;
    strand s = {&weft__self, base->grain, l->timed ? weft__now() : 0, l->watched};
    base->open = weft__loop_open(base, weft__loop_pieces(base->end - base->begin, base->grain));
    if (l->timed) {
        l->most = (base->end - base->begin) / PIECES_PER_WORKER / base->executor->workers;
        l->most = l->most ? l->most : 1;
    }
    return run(l, &s, base->begin, base->end);
}

int weft_parallel_for(weft_executor *e, size_t begin, size_t end, size_t grain, weft_range_fn *fn, void *data)
{
    if (!fn || begin > end)
        return -EINVAL;
    if (begin == end)
        return 0;
    for_loop l = {.base = {.body = run_all, .begin = begin, .end = end, .grain = grain ? grain : 1, .data = data},
                  .fn = fn,
                  .timed = grain == 0};
    return weft__loop_run(&l.base, e);
}
