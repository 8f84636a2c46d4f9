/* exhaust.h: one call of the API, made again and again with each of its requests for memory refused in turn.
 *
 * Discipline. A world is a small executor with a gate, two promises, a token, two groups and a queue, made while there
 * is memory. In it one call is made with the k-th request refused, once or from there on for good; outside, in a job or
 * in a callback; for k = 1, 2, ... until nothing was refused. A call that was refused must have left no trace: the
 * state words of its inputs are as they were, bit for bit, and so are the counters, and no argument was touched. What
 * held is brought to its end, without memory if it is refused for good. Then everything is back at the base.
 *
 * The calls run on any thread and so do not assert; all else belongs to the test's thread. */
#ifndef WEFT_TESTS_EXHAUST_H
#define WEFT_TESTS_EXHAUST_H

#include "refusing.h"

#include "future.h"

enum { ITEMS = 8 };

struct call;

typedef struct world {
    /* Made by the test's thread before the call. */
    const struct call *what;
    weft_clock *clock;
    weft_executor *executor;
    test_gate *gate; /* one of the two workers stands here */
    weft_promise *promises[2];
    weft_future *futures[2]; /* theirs; the first is to succeed with `value`, the second to fail */
    weft_future *done;       /* a gather over an input that failed; its outcomes were not asked for */
    weft_token *token;
    weft_group *group, *joined; /* joined: one child failed; its errors were not asked for */
    weft_queue *queue;
    test_latch *latch, *called;
    test_cell value;
    void *arguments[ITEMS]; /* the addresses of the items */
    /* How the call is to be refused. */
    size_t k;
    bool for_good;
    /* What the call was given and what it made; the thread that makes it. */
    test_cell items[ITEMS];
    size_t n_given; /* of the items so many will be handed to free_arg */
    weft_future *made[ITEMS];
    size_t n_made;
    weft_token *made_token;
    weft_group *made_group;
    weft_queue *made_queue;
    weft_executor *made_executor;
    weft_clock *made_clock;
    weft_callback *handle;
    unsigned expected_hits; /* of `latch` */
    int code;
    bool words_differ;
} world;

enum { OUTSIDE = 1, IN_JOB = 2, IN_CALLBACK = 4, ANYWHERE = 7 };

typedef struct call {
    const char *name;
    int (*make)(world *w); /* 0: it held; else a negative code */
    unsigned places;
    unsigned traits;
    int (*prepare)(world *w); /* on the test's thread while there is memory; NULL: nothing */
} call;

enum {
    FRUGAL = 1,        /* it may get by without any memory */
    MAKES_DEFAULT = 2, /* it may leave the default executor behind */
    MAY_BE_AGAIN = 4   /* EAGAIN is another of its answers to the lack of memory: no thread to stand in */
};

/* For the calls: they note what was made and turn errno into a code. */

static inline int made(world *w, weft_future *future)
{
    if (future == NULL) {
        return -errno;
    }
    w->made[w->n_made++] = future;
    return 0;
}

static inline int given(world *w, int code, size_t n)
{
    w->n_given = code == 0 ? n : 0;
    return code;
}

static inline int hits(world *w, int code)
{
    w->expected_hits = code == 0;
    return code;
}

/* A timeout is what was to be expected. */
static inline int in_vain(int code)
{
    return code == -ETIMEDOUT ? 0 : code;
}

/* The world. */

#define CHECK(w, condition) check_at((w), (condition), #condition, __FILE__, __LINE__)
static inline void check_at(const world *w, bool holds, const char *what, const char *file, int line)
{
    if (!holds) {
        print_error("%s, request %zu refused%s: does not hold: %s\n", w->what->name, w->k,
                    w->for_good ? " for good" : "", what);
    }
    _assert_true(holds, what, file, line);
}

static inline bool has(const world *w, unsigned trait)
{
    return (w->what->traits & trait) != 0;
}

static inline weft_future *failed_gather(weft_executor *executor)
{
    weft_promise *promise = weft_promise_create(executor);
    weft_future *input = weft_promise_future(promise);
    assert_int_equal(weft_promise_reject(promise, 3), 0);
    weft_promise_destroy(promise);
    weft_future *gather = weft_gather(executor, &input, 1, WEFT_FIRST_ERROR);
    assert_non_null(gather);
    weft_future_release(input);
    return gather;
}

static inline weft_group *failed_group(weft_executor *executor)
{
    weft_group *group = weft_group_create(executor, NULL);
    assert_non_null(group);
    assert_int_equal(weft_group_submit(group, test_job_fail_7, NULL), 0);
    assert_int_equal(weft_group_join(group), 7);
    return group;
}

static inline void world_make(world *w, const call *what)
{
    *w = (world){.what = what};
    w->clock = weft_manual_clock_create();
    w->executor = test_executor_clock(2, w->clock);
    w->latch = test_latch_make();
    w->called = test_latch_make();
    for (int i = 0; i < 2; i++) {
        w->promises[i] = weft_promise_create(w->executor);
        w->futures[i] = weft_promise_future(w->promises[i]);
        assert_non_null(w->futures[i]);
    }
    for (int i = 0; i < ITEMS; i++) {
        w->arguments[i] = &w->items[i];
    }
    w->done = failed_gather(w->executor);
    w->joined = failed_group(w->executor);
    w->token = weft_token_create(w->executor, NULL, WEFT_FOREVER, 0);
    w->group = weft_group_create(w->executor, NULL);
    w->queue = weft_queue_create(w->executor);
    assert_true(w->token != NULL && w->group != NULL && w->queue != NULL);
    w->gate = test_block(w->executor, 1);
    assert_true(what->prepare == NULL || what->prepare(w) == 0);
}

/* The attempt, in each of the places. */

static inline void attempt(world *w)
{
    uint64_t before[2] = {weft__word(w->futures[0]), weft__word(w->futures[1])};
    refuse(w->k, w->for_good);
    errno = 0;
    w->code = w->what->make(w);
    if (!w->for_good) {
        refuse_nothing();
    }
    w->words_differ = before[0] != weft__word(w->futures[0]) || before[1] != weft__word(w->futures[1]);
}

static inline void *attempt_in_job(void *argument)
{
    attempt(argument);
    return NULL;
}

static inline int attempt_in_callback(weft_future *future, void *argument)
{
    world *w = argument;
    (void)future;
    attempt(w);
    test_latch_hit(w->called);
    return 0;
}

static inline void attempt_in(world *w, unsigned place)
{
    if (place == OUTSIDE) {
        attempt(w);
    } else if (place == IN_JOB) {
        weft_future *job = weft_submit(w->executor, attempt_in_job, w);
        assert_done_soon(job);
        weft_future_release(job);
    } else {
        assert_int_equal(weft_on_done(w->done, attempt_in_callback, w, NULL), 0);
        assert_true(test_latch_wait(w->called, 1));
    }
}

static inline weft_stats stats_of(const world *w)
{
    weft_stats stats;
    assert_int_equal(weft_executor_stats(w->executor, &stats), 0);
    return stats;
}

static inline void check_refused(world *w, unsigned place, const weft_counters *before)
{
    weft_counters after = test_counters();
    CHECK(w, w->code == -ENOMEM || (has(w, MAY_BE_AGAIN) && w->code == -EAGAIN));
    CHECK(w, !w->words_differ);
    CHECK(w, w->handle == NULL);
    CHECK(w, stats_of(w).refused == 0); /* that counts refusals for other reasons */
    for (int i = 0; i < ITEMS; i++) {
        CHECK(w, test_get(w->items[i].ran) == 0 && test_get(w->items[i].arg_freed) == 0);
    }
    if (has(w, MAKES_DEFAULT)) {
        return;
    }
    CHECK(w, after.timers == before->timers && after.tokens == before->tokens);
    CHECK(w, after.futures == before->futures);
    CHECK(w, place == IN_CALLBACK || after.callbacks == before->callbacks); /* that one may still be returning */
    CHECK(w, has(w, MAY_BE_AGAIN) || after.threads == before->threads);
}

/* Its end. */

static inline void end_futures(world *w)
{
    test_unblock(w->gate);
    CHECK(w, weft_promise_resolve(w->promises[0], &w->value, test_cell_free_value) == 0);
    CHECK(w, weft_promise_reject(w->promises[1], 5) == 0);
    weft_manual_clock_advance(w->clock, WEFT_SECONDS(60));
    while (w->n_made != 0) {
        weft_future *future = w->made[--w->n_made];
        CHECK(w, weft_future_wait(future, test_patience()) == 0);
        weft_future_release(future);
    }
    weft_token_cancel(w->token);
    test_latch_wait(w->latch, w->expected_hits);
    CHECK(w, w->handle == NULL || weft_callback_remove(w->handle) == -EALREADY);
}

static inline void end_groups(world *w)
{
    int code = w->made_group != NULL ? weft_group_join(w->made_group) : 0;
    CHECK(w, code == 0 || code == -ECANCELED || code == -ETIMEDOUT);
    CHECK(w, weft_group_join(w->group) == 0);
    CHECK(w, weft_group_destroy(w->group) == 0);
    CHECK(w, weft_group_destroy(w->joined) == 0);
    CHECK(w, weft_group_destroy(w->made_group) == 0);
    weft_queue_destroy(w->queue);
    weft_queue_destroy(w->made_queue);
    weft_token_release(w->token);
    weft_token_release(w->made_token);
}

static inline void end_executors(world *w)
{
    if (has(w, MAKES_DEFAULT)) {
        refuse_nothing();
        w->made_executor = weft_executor_default();
    }
    CHECK(w, w->made_executor == NULL || weft_executor_destroy(w->made_executor) == 0);
    weft_clock_destroy(w->made_clock);
    test_destroy(w->executor);
    weft_clock_destroy(w->clock);
}

/* After a refusal nothing is attached to the input any more, so its value can be taken. */
static inline void end_inputs(world *w)
{
    void *value = NULL;
    if (w->code != 0) {
        CHECK(w, weft_future_take(w->futures[0], &value) == 0);
        CHECK(w, value == &w->value);
    }
    weft_future_release(w->done);
    for (int i = 0; i < 2; i++) {
        weft_future_release(w->futures[i]);
        weft_promise_destroy(w->promises[i]);
    }
}

static inline void world_end(world *w)
{
    end_futures(w);
    end_groups(w);
    end_inputs(w);
    end_executors(w);
    refuse_nothing();
    CHECK(w, test_get(w->value.value_freed) == (w->code == 0));
    for (size_t i = 0; i < ITEMS; i++) {
        CHECK(w, test_get(w->items[i].arg_freed) == (i < w->n_given));
        CHECK(w, test_get(w->items[i].ran) <= (w->code == 0));
    }
    assert_counters_at_base();
    CHECK(w, test_get(refuser.bytes) == test_base().bytes);
}

static inline void exhaust_call(const call *what, unsigned place, bool for_good)
{
    static world w;
    weft_counters before;
    size_t refusals;
    size_t k = 0, refused = 0;
    do {
        world_make(&w, what);
        before = test_counters();
        w.k = ++k;
        w.for_good = for_good;
        attempt_in(&w, place);
        refusals = test_get(refuser.refusals);
        if (w.code != 0) {
            CHECK(&w, refusals != 0);
            check_refused(&w, place, &before);
            refused++;
        }
        world_end(&w);
    } while (refusals != 0);
    CHECK(&w, refused != 0 || has(&w, FRUGAL));
}

static inline void exhaust(const call *calls, size_t n, unsigned place)
{
    refuse_nothing();
    for (size_t i = 0; i < n; i++) {
        if ((calls[i].places & place) != 0) {
            exhaust_call(&calls[i], place, false);
            exhaust_call(&calls[i], place, true);
        }
    }
}

#endif
