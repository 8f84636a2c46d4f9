/* stage.h: scenes of many calls together, played with each of their requests for memory refused in turn.
 *
 * Discipline. A scene makes things on a stage, every call of it possibly refused, and says how they end; the stage ends
 * them so, or by a shutdown in one of the modes, and then holds everybody to account: each future that was returned is
 * done; each function, free_arg and free_value of what was accepted has run once or, if it was cancelled before, never,
 * and none of what was refused; each callback and hook once, or never if it was taken back; the counters are at the
 * base.
 *
 * A scene is played with the k-th request refused, with all from the k-th on, for k = 1, 2, ... until none was refused,
 * and once with all memory gone between the making and the reading: then not one request may be made. Jobs use what is
 * here too, so complaints are made by TEST_EXPECT. */
#ifndef WEFT_TESTS_STAGE_H
#define WEFT_TESTS_STAGE_H

#include "refusing.h"

enum { PARTS = 96, KEPT = 96, CALLS = 32 };

typedef enum { NATURAL, DRAINED, PENDING_CANCELLED, ALL_CANCELLED, ENDINGS } ending;

typedef struct stage stage;

/* An argument of a job or item, and its value too. */
typedef struct part {
    test_cell cell; /* must be first: jobs get its address */
    stage *stage;
    _Atomic(bool) accepted; /* by whoever made the call */
    bool plain;             /* neither free_arg nor free_value was given */
    bool sure;              /* it runs unless it is cancelled by a shutdown */
} part;

/* A callback or a hook. */
typedef struct registration {
    _Atomic(unsigned) calls; /* the coordinator */
    bool accepted;           /* the test's thread, as all below */
    bool sure;               /* it is called, unless by a shutdown there is no cause */
    weft_callback *handle;   /* NULL: none was asked for, or it was handed back */
} registration;

typedef struct scene {
    const char *name;
    void (*make)(stage *s);
    void (*ready)(stage *s); /* waits until its jobs have asked for all that they ask for. NULL: they ask for nothing */
    void (*end)(
        stage *s); /* naturally; needs no memory. The gate is open and the promises are resolved. NULL: nothing */
    void (*read)(stage *s); /* reads and gives back what the stage does not know of, however it ended; may be refused */
    bool creates;           /* the executor is made when memory is refused already */
} scene;

struct stage {
    const scene *scene;
    ending how;
    weft_clock *clock;
    weft_executor *executor;
    test_gate *gate; /* holds jobs of the scene until it ends */
    /* The scene's cast; the test's thread. */
    part parts[PARTS];
    registration calls[CALLS];
    weft_future *kept[KEPT];
    _Atomic(size_t) n_parts;
    size_t n_calls, n_kept;
    _Atomic(unsigned) asked;   /* jobs that have asked for memory; they add */
    _Atomic(unsigned) refused; /* calls that were refused; any thread */
    weft_promise *promises[2]; /* NULL: it was refused. The first succeeds, the second fails */
    weft_future *futures[2];   /* theirs, kept */
    void *own;                 /* the scene's */
    /* Calls of the executor's hooks; any thread. reports: of jobs named "unread". */
    _Atomic(unsigned) starts, stops, reports;
    part *unread; /* fails, and nobody looks. NULL: there is none */
};

static const weft_submit_options freeing = {.free_arg = test_cell_free_arg, .free_value = test_cell_free_value};

/* For scenes: calls that may be refused. */

/* True if it held. */
static inline bool held(stage *s, int code)
{
    if (code != 0) {
        TEST_EXPECT(code == -ENOMEM);
        atomic_fetch_add_explicit(&s->refused, 1, memory_order_acq_rel);
    }
    return code == 0;
}

static inline void *got(stage *s, void *object)
{
    held(s, object != NULL ? 0 : -errno);
    return object;
}

static inline weft_future *keep(stage *s, weft_future *future)
{
    if (got(s, future) != NULL) {
        assert_true(s->n_kept < KEPT);
        s->kept[s->n_kept++] = future;
    }
    return future;
}

/* Makes an object; a future that is to be kept; one out of another, unless that was refused. */
#define GET(s, call)       (errno = 0, got((s), (call)))
#define TRY(s, call)       (errno = 0, keep((s), (call)))
#define ON(s, input, call) ((input) != NULL ? TRY((s), (call)) : NULL)

static inline part *part_next(stage *s, bool sure)
{
    size_t i = atomic_fetch_add_explicit(&s->n_parts, 1, memory_order_acq_rel);
    TEST_EXPECT(i < PARTS);
    part *p = &s->parts[i % PARTS];
    p->stage = s;
    p->cell.value = p;
    p->sure = sure;
    return p;
}

static inline bool accept(part *p, bool accepted)
{
    atomic_store_explicit(&p->accepted, accepted, memory_order_release);
    return accepted;
}

/* A job that runs fn with a part of its own. NULL options: none beyond those that free. */
static inline weft_future *job(stage *s, weft_fn *fn, const weft_submit_options *options, bool sure)
{
    weft_submit_options all = options != NULL ? *options : freeing;
    part *p = part_next(s, sure);
    all.free_arg = test_cell_free_arg;
    all.free_value = test_cell_free_value;
    weft_future *future = TRY(s, weft_submit_with(s->executor, fn, p, &all));
    accept(p, future != NULL);
    return future;
}

static inline weft_future *gated(stage *s, bool sure)
{
    part *p = part_next(s, sure);
    p->cell.gate = s->gate;
    weft_future *future = TRY(s, weft_submit_with(s->executor, test_cell_run, p, &freeing));
    accept(p, future != NULL);
    return future;
}

static inline int called(weft_future *future, void *data)
{
    registration *r = data;
    TEST_EXPECT(weft_future_done(future));
    atomic_fetch_add_explicit(&r->calls, 1, memory_order_acq_rel);
    return 0;
}

static inline void hooked(void *data)
{
    registration *r = data;
    atomic_fetch_add_explicit(&r->calls, 1, memory_order_acq_rel);
}

static inline registration *registration_next(stage *s, bool sure)
{
    assert_true(s->n_calls < CALLS);
    s->calls[s->n_calls].sure = sure;
    return &s->calls[s->n_calls++];
}

/* A callback with a handle and one without. */
static inline void watch(stage *s, weft_future *future)
{
    for (int i = 0; future != NULL && i < 2; i++) {
        registration *r = registration_next(s, true);
        r->accepted = held(s, weft_on_done(future, called, r, i == 0 ? &r->handle : NULL));
        TEST_EXPECT(r->accepted || r->handle == NULL);
    }
}

static inline void hook_on(stage *s, weft_token *token, bool sure)
{
    for (int i = 0; token != NULL && i < 2; i++) {
        registration *r = registration_next(s, sure);
        r->accepted = held(s, weft_token_on_cancel(token, hooked, r, i == 0 ? &r->handle : NULL));
        TEST_EXPECT(r->accepted || r->handle == NULL);
    }
}

/* The executor's hooks. */

static inline int worker_starts(unsigned worker, void *data)
{
    stage *s = data;
    (void)worker;
    atomic_fetch_add_explicit(&s->starts, 1, memory_order_acq_rel);
    return 0;
}

static inline void worker_stops(unsigned worker, void *data)
{
    stage *s = data;
    (void)worker;
    atomic_fetch_add_explicit(&s->stops, 1, memory_order_acq_rel);
}

static inline void error_unread(const char *name, int error, void *data)
{
    stage *s = data;
    if (name != NULL && strcmp(name, "unread") == 0) {
        TEST_EXPECT(error == 4);
        atomic_fetch_add_explicit(&s->reports, 1, memory_order_acq_rel);
    }
}

/* A job that fails, dropped at once. */
static inline void unread_failure(stage *s)
{
    weft_submit_options options = freeing;
    options.name = "unread";
    s->unread = part_next(s, true);
    s->unread->cell.code = 4;
    weft_future *future = GET(s, weft_submit_with(s->executor, test_cell_run, s->unread, &options));
    accept(s->unread, future != NULL);
    weft_future_release(future);
}

/* Two promises and their futures, of which at most one is refused in the end. */
static inline void two_promises(stage *s)
{
    for (int i = 0; i < 2; i++) {
        s->promises[i] = GET(s, weft_promise_create(s->executor));
        s->futures[i] = s->promises[i] != NULL ? keep(s, weft_promise_future(s->promises[i])) : NULL;
    }
}

/* The end. */

static inline void end_promises(stage *s)
{
    part *value = part_next(s, false);
    int code = s->promises[0] != NULL ? weft_promise_resolve(s->promises[0], value, test_cell_free_value) : -EINVAL;
    TEST_EXPECT(code == 0 || s->promises[0] == NULL || s->how != NATURAL);
    atomic_store_explicit(&value->cell.ran, code == 0, memory_order_release); /* its value is there to be freed */
    atomic_store_explicit(&value->cell.arg_freed, code == 0, memory_order_release);
    accept(value, code == 0);
    code = s->promises[1] != NULL ? weft_promise_reject(s->promises[1], 5) : 0;
    TEST_EXPECT(code == 0 || s->how != NATURAL);
    for (int i = 0; i < 2; i++) {
        weft_promise_destroy(s->promises[i]);
    }
}

static inline bool all_called(void *data)
{
    stage *s = data;
    for (size_t i = 0; i < s->n_calls; i++) {
        registration *r = &s->calls[i];
        if (r->accepted && r->sure && test_get(r->calls) == 0) {
            return false;
        }
    }
    return true;
}

/* Time goes on meanwhile, for a delay may begin only when a job has ended. */
static inline bool all_done(void *data)
{
    stage *s = data;
    weft_manual_clock_advance(s->clock, WEFT_SECONDS(1));
    for (size_t i = 0; i < s->n_kept; i++) {
        if (!weft_future_done(s->kept[i])) {
            return false;
        }
    }
    return true;
}

static inline void end_naturally(stage *s)
{
    test_gate_open(s->gate);
    end_promises(s);
    if (s->scene->end != NULL) {
        s->scene->end(s);
    }
    weft_manual_clock_advance(s->clock, WEFT_SECONDS(20));
    assert_true(test_until(all_done, s));
    assert_true(test_until(all_called, s));
}

static inline void end_by_shutdown(stage *s)
{
    const weft_shutdown_mode modes[] = {
        [DRAINED] = WEFT_DRAIN, [PENDING_CANCELLED] = WEFT_CANCEL_PENDING, [ALL_CANCELLED] = WEFT_CANCEL_ALL};
    int code = weft_executor_shutdown(s->executor, modes[s->how], 0);
    assert_true(code == 0 || code == -ETIMEDOUT);
    test_gate_open(s->gate);
    end_promises(s);
    assert_int_equal(weft_executor_shutdown(s->executor, modes[s->how], WEFT_FOREVER), 0);
    for (size_t i = 0; i < s->n_kept; i++) {
        assert_true(weft_future_done(s->kept[i]));
    }
}

/* The account. */

static inline void settle_part(part *p, ending how)
{
    unsigned ran = test_get(p->cell.ran), accepted = test_get(p->accepted);
    unsigned valued = p->cell.code == 0 ? ran : 0;
    assert_in_range(ran, 0, accepted);
    assert_true(ran == accepted || !p->sure || how == PENDING_CANCELLED || how == ALL_CANCELLED);
    assert_int_equal(test_get(p->cell.arg_freed), p->plain ? 0 : accepted);
    assert_int_equal(test_get(p->cell.value_freed), p->plain ? 0 : valued);
}

static inline void settle_registration(registration *r, ending how)
{
    unsigned calls = test_get(r->calls);
    assert_in_range(calls, 0, r->accepted);
    assert_true(calls == r->accepted || !r->sure || how != NATURAL);
    if (r->handle != NULL) {
        int code = weft_callback_remove(r->handle);
        assert_int_equal(test_get(r->calls), code == -EALREADY);
        assert_true(code == 0 || code == -EALREADY);
    }
}

static inline void account(stage *s)
{
    for (size_t i = 0; i < test_get(s->n_parts); i++) {
        settle_part(&s->parts[i], s->how);
    }
    assert_int_equal(test_get(s->starts), test_get(s->stops));
    assert_int_equal(test_get(s->reports), s->unread != NULL ? test_get(s->unread->cell.ran) : 0);
    assert_counters_at_base();
    assert_int_equal(test_get(refuser.bytes), test_base().bytes);
    assert_true(test_get(s->refused) == 0 || test_get(refuser.refusals) != 0);
}

/* The play. */

static inline bool stage_make(stage *s, const scene *what, ending how)
{
    memset(s, 0, sizeof *s);
    s->scene = what;
    s->how = how;
    s->gate = test_gate_make();
    s->clock = GET(s, weft_manual_clock_create());
    if (s->clock == NULL) {
        return false;
    }
    const weft_executor_options options = {.workers = 2,
                                           .name = "stage",
                                           .worker_start = worker_starts,
                                           .worker_stop = worker_stops,
                                           .unobserved_error = error_unread,
                                           .data = s,
                                           .clock = s->clock};
    s->executor = GET(s, weft_executor_create(&options));
    return s->executor != NULL;
}

static inline void stage_end(stage *s, bool without_memory)
{
    if (without_memory && s->scene->ready != NULL) {
        s->scene->ready(s);
    }
    if (without_memory) {
        refuse(1, true);
    }
    if (s->how == NATURAL) {
        end_naturally(s);
    } else {
        end_by_shutdown(s);
    }
    if (without_memory) {
        assert_int_equal(test_get(refuser.refusals), 0);
        refuse_nothing();
    }
    for (size_t i = 0; i < s->n_calls; i++) {
        settle_registration(&s->calls[i], s->how);
    }
    if (s->scene->read != NULL) {
        s->scene->read(s);
    }
    for (size_t i = 0; i < s->n_kept; i++) {
        weft_future_release(s->kept[i]);
    }
    test_destroy(s->executor);
}

/* k = 0: no request is refused in the making, and none may come in the end. */
static inline void play(const scene *what, ending how, size_t k, bool for_good)
{
    static stage s;
    refuse_nothing();
    if (what->creates && k != 0) {
        refuse(k, for_good);
    }
    if (stage_make(&s, what, how)) {
        if (!what->creates && k != 0) {
            refuse(k, for_good);
        }
        what->make(&s);
        stage_end(&s, k == 0);
    }
    weft_clock_destroy(s.clock);
    refuse_nothing();
    account(&s);
}

/* Every ending; the scene asks for memory at least `least` times. */
static inline void play_all(const scene *what, size_t least)
{
    for (int i = 0; i < 2 * ENDINGS; i++) {
        ending how = (ending)(i / 2);
        size_t k = 0;
        do {
            play(what, how, ++k, i % 2 != 0);
        } while (test_get(refuser.refusals) != 0);
        assert_true(k > least);
        play(what, how, 0, false);
    }
}

#endif
