/* test_meanwhile.c: inputs that end, and values that are moved out, while something is being made of them.
 *
 * Discipline. What another thread could do in the midst of such a call is done there, at each point (points.h) of the
 * call in turn, and the call's result must be the same wherever it was. A build without points does it afterwards. */
#include "fixtures.h"
#include "points.h"

#include "future.h"

static void *never(void *value, void *data)
{
    (void)data;
    TEST_FAIL("a function that must not run");
    return value;
}

static weft_future *first_error(weft_future *input)
{
    return weft_gather(input->executor, &input, 1, WEFT_FIRST_ERROR);
}

static weft_future *strict(weft_future *input)
{
    return weft_gather(input->executor, &input, 1, WEFT_STRICT);
}

static weft_future *twice(weft_future *input)
{
    return weft_gather(input->executor, (weft_future *[]){input, input}, 2, WEFT_FIRST_ERROR);
}

static weft_future *any(weft_future *input)
{
    return weft_any(input->executor, &input, 1);
}

static weft_future *with_deadline(weft_future *input)
{
    return weft_wait_for(input, WEFT_SECONDS(3600), 0);
}

static weft_future *joining(weft_future *input)
{
    return weft_wait_for(input, WEFT_SECONDS(3600), WEFT_JOIN);
}

static weft_future *then_never(weft_future *input)
{
    return weft_then(input, never, NULL);
}

typedef struct kind {
    weft_future *(*make)(weft_future *input);
    bool mirrors; /* its value is the input's */
} kind;

static const kind kinds[] = {{first_error, false},  {strict, false}, {twice, false},     {any, true},
                             {with_deadline, true}, {joining, true}, {weft_shield, true}};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* How often the points of the coordinator are gone through: which of them is the k-th is not always the same. */
enum { SWEEPS = 10 };

/* ---- the input ends ---- */

static void reject(void *promise)
{
    TEST_EXPECT(weft_promise_reject(promise, 5) == 0);
}

static void resolve(void *promise)
{
    TEST_EXPECT(weft_promise_resolve(promise, promise, NULL) == 0);
}

/* True: act came in at the k-th point. The result is done then, and its timer no longer counts. */
static bool made_meanwhile(weft_executor *executor, weft_future *(*make)(weft_future *), void (*act)(void *),
                           uint64_t k, const void *value)
{
    inputs in = inputs_make(executor, 1);
    points_at(k, act, in.promise[0]);
    weft_future *made = make(in.future[0]);
    bool reached = points_reached();
    assert_non_null(made);
    if (!reached)
        act(in.promise[0]);
    assert_true(weft_future_done(made));
    if (act == reject)
        assert_err(made, 5);
    else
        assert_ok(made, value ? in.promise[0] : NULL);
    assert_timers_soon(0);
    weft_future_release(made);
    inputs_free(&in);
    return reached;
}

static void test_meanwhile_an_input_fails(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned i = 0; i < KINDS; i++)
        for (uint64_t k = 1; made_meanwhile(executor, kinds[i].make, reject, k, NULL); k++)
            ;
    for (uint64_t k = 1; made_meanwhile(executor, then_never, reject, k, NULL); k++)
        ;
    test_destroy(executor);
}

static void test_meanwhile_an_input_succeeds(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned i = 0; i < KINDS; i++)
        for (uint64_t k = 1; made_meanwhile(executor, kinds[i].make, resolve, k, kinds[i].mirrors ? kinds : NULL); k++)
            ;
    test_destroy(executor);
}

/* ---- the value is moved out ---- */

typedef struct taking {
    weft_future *mirror;
    pthread_t thread;
    _Atomic(bool) locked; /* the mirror is: by the thread that takes */
    _Atomic(bool) over;   /* by the same: it has come to an end */
    int code;             /* of the take; by the same, before it ends */
} taking;

static bool is_lent(void *mirror)
{
    return weft__word(mirror) & WEFT__LENT_MASK;
}

/* It has seen that nobody else has a loan. Now somebody takes one, if he has not looked yet whether he may. */
static void linger(void *data)
{
    taking *t = data;
    int64_t until = weft_now() + 20 * MS;
    atomic_store_explicit(&t->locked, true, memory_order_release);
    while (!is_lent(t->mirror) && weft_now() < until)
        weft__pause();
}

static void *take(void *argument)
{
    taking *t = argument;
    void *value = NULL;
    points_at(1, linger, t);
    t->code = weft_future_take(t->mirror, &value);
    points_reached();
    atomic_store_explicit(&t->over, true, memory_order_release);
    return value;
}

static bool is_on_its_way(void *taking_)
{
    taking *t = taking_;
    return test_get(t->locked) || test_get(t->over);
}

static void begin_to_take(void *data)
{
    taking *t = data;
    t->thread = test_spawn(take, t);
    TEST_EXPECT(test_until(is_on_its_way, t));
}

/* The value of a mirror is either moved out or lent, whoever comes first. */
static bool taken_meanwhile(weft_executor *executor, const kind *of, uint64_t k)
{
    test_cell *cell = cell_make(NULL, 0);
    weft_future *job = submit(executor, cell);
    assert_done_soon(job);
    taking t = {.mirror = weft_shield(job)};
    points_at(k, begin_to_take, &t);
    weft_future *made = of->make(t.mirror);
    bool reached = points_reached();
    assert_non_null(made);
    if (!reached)
        begin_to_take(&t);
    void *value = test_join(t.thread);
    assert_true(t.code == 0 || t.code == -EBUSY);
    assert_true(reached || t.code == -EBUSY);
    assert_ptr_equal(value, t.code == 0 ? cell : NULL);
    if (t.code == 0)
        assert_err(made, -ENODATA);
    else
        assert_ok(made, of->mirrors ? cell : NULL);
    weft_future_release(made);
    weft_future_release(t.mirror);
    weft_future_release(job);
    assert_true(test_until_counters(0, 0, 0));
    assert_int_equal(test_get(cell->value_freed), t.code != 0);
    return reached;
}

static void test_meanwhile_a_value_is_taken_through_a_mirror(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned i = 0; i < KINDS; i++)
        for (uint64_t k = 1; taken_meanwhile(executor, &kinds[i], k); k++)
            ;
    test_destroy(executor);
}

/* ---- its executor shuts down ---- */

typedef struct latecomer {
    weft_executor *executor;
    bool any;           /* or a gather */
    weft_future *input; /* of another executor */
    uint64_t k;         /* at which point of the coordinator it is made */
    bool came;          /* by the coordinator, as the next one; read when it has shut down */
    weft_future *made;  /* NULL: refused */
} latecomer;

static void come_late(void *data)
{
    latecomer *l = data;
    l->came = true;
    l->made = l->any ? weft_any(l->executor, &l->input, 1) : weft_gather(l->executor, &l->input, 1, WEFT_SETTLED);
}

static int come_late_at(weft_future *future, void *data)
{
    latecomer *l = data;
    (void)future;
    points_at(l->k, come_late, l);
    return 0;
}

/* What it waits for goes on. So whether the last walk of a shutdown finds it or its maker sees that it came too late,
 * one of them ends it. */
static bool made_in_shutdown(weft_executor *other, bool any_, uint64_t k)
{
    inputs in = inputs_make(other, 1);
    latecomer l = {.executor = test_executor(1), .any = any_, .input = in.future[0], .k = k};
    weft_future *done = test_done_future(l.executor);
    assert_int_equal(weft_on_done(done, come_late_at, &l, NULL), 0);
    assert_int_equal(weft_executor_shutdown(l.executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    if (l.made) {
        assert_true(weft_future_done(l.made));
        assert_cancelled(l.made, WEFT_REASON_SHUTDOWN);
        weft_future_release(l.made);
    }
    assert_false(weft_future_done(in.future[0]));
    weft_future_release(done);
    test_destroy(l.executor);
    inputs_free(&in);
    return l.came;
}

static void test_meanwhile_an_executor_shuts_down(void **state)
{
    (void)state;
    weft_executor *other = test_executor(1);
    for (unsigned i = 0; i < SWEEPS; i++)
        for (uint64_t k = 1; made_in_shutdown(other, i % 2, k); k++)
            ;
    test_destroy(other);
}

static void begin_to_drain(void *executor)
{
    weft_counters counters;
    TEST_EXPECT(weft_executor_shutdown(executor, WEFT_DRAIN, 0) == -ETIMEDOUT);
    weft_counters_read(&counters); /* the coordinator has walked through all that there is */
}

/* A job keeps the executor from ending, so the input is open for as long; what only that decides falls at once. */
static bool made_in_drain(const kind *of, uint64_t k)
{
    weft_executor *executor = test_executor(1);
    test_gate *gate = test_block(executor, 1);
    inputs in = inputs_make(executor, 1);
    points_at(k, begin_to_drain, executor);
    weft_future *made = of->make(in.future[0]);
    bool reached = points_reached();
    assert_non_null(made);
    if (!reached)
        begin_to_drain(executor);
    assert_false(weft_future_done(in.future[0]));
    test_unblock(gate);
    assert_int_equal(weft_executor_shutdown(executor, WEFT_DRAIN, WEFT_FOREVER), 0);
    assert_true(weft_future_done(made));
    assert_cancelled(made, WEFT_REASON_SHUTDOWN);
    weft_future_release(made);
    inputs_free(&in);
    test_destroy(executor);
    assert_true(test_until_counters(0, 0, 0));
    return reached;
}

static void test_meanwhile_an_executor_begins_to_drain(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++)
        for (uint64_t k = 1; made_in_drain(&kinds[i], k); k++)
            ;
}

/* ---- too many ---- */

static void assert_one_more(weft_future *future, bool fits)
{
    for (unsigned i = 0; i < KINDS; i++) {
        errno = 0;
        weft_future *made = kinds[i].make(future);
        if (kinds[i].make == twice && fits) { /* the first place alone */
            assert_null(made);
        } else {
            assert_int_equal(made != NULL, fits);
        }
        assert_int_equal(errno, made ? 0 : EOVERFLOW);
        weft_future_release(made);
        assert_true(test_until_counters(2, 0, 0)); /* it is gone */
    }
}

/* Of loans and of references, of a future that is done and of one that is not. */
static void test_meanwhile_no_room_for_another(void **state)
{
    static const uint64_t ones[] = {WEFT__LENT, WEFT__REF}, masks[] = {WEFT__LENT_MASK, WEFT__REF_MASK};
    (void)state;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 2);
    resolve(in.promise[0]);
    for (unsigned i = 0; i < 4; i++) {
        weft_future *future = in.future[i / 2];
        uint64_t one = ones[i % 2], mask = masks[i % 2];
        uint64_t room = (mask - (weft__word(future) & mask)) / one;
        atomic_fetch_add_explicit(&future->word, (room - 1) * one, memory_order_relaxed);
        assert_one_more(future, true);
        atomic_fetch_add_explicit(&future->word, one, memory_order_relaxed);
        assert_one_more(future, false);
        atomic_fetch_sub_explicit(&future->word, room * one, memory_order_relaxed);
    }
    inputs_free(&in);
    test_destroy(executor);
}

/* ---- a wait is about to close a circle, and is asked to stop ---- */

typedef struct circle {
    weft_executor *executor;    /* by the test before submit */
    uint64_t k;                 /* the same */
    weft_future *_Atomic first; /* by the test: waits for the second once that has been asked to stop */
    _Atomic(bool) there;        /* by the second: it is at its point */
    bool reached;               /* by the second */
    int code;                   /* the same: of its wait */
} circle;

static weft_future *read_soon(weft_future *_Atomic *place)
{
    weft_future *future;
    while ((future = atomic_load_explicit(place, memory_order_acquire)) == NULL)
        test_pause(20000);
    return future;
}

/* The first asks the second to stop, and waits for it. Whether it waits already makes no difference to the result; if
 * this point has a lock that it needs, it does so afterwards. */
static void let_the_first_wait(void *argument)
{
    circle *c = argument;
    atomic_store_explicit(&c->there, true, memory_order_release);
    int64_t deadline = weft_now() + 50 * MS;
    while (!weft_cancelled() && weft_now() < deadline)
        test_pause(20000);
    test_pause(2 * MS);
}

static void *second_job(void *argument)
{
    circle *c = argument;
    weft_future *first = read_soon(&c->first);
    points_at(c->k, let_the_first_wait, c);
    c->code = weft_future_wait(first, WEFT_FOREVER);
    c->reached = points_reached();
    return NULL;
}

static void *first_job(void *argument)
{
    circle *c = argument;
    weft_future *second = weft_submit(c->executor, second_job, c);
    TEST_EXPECT(second != NULL);
    /* There may be no such point; then the second waits by now, or will be asked to stop before it does. */
    for (int i = 0; i < 200 && !atomic_load_explicit(&c->there, memory_order_acquire); i++)
        test_pause(MS);
    weft_cancel(second);
    TEST_EXPECT(weft_future_wait(second, WEFT_FOREVER) == 0);
    weft_future_release(second);
    return NULL;
}

static bool asked_to_stop_at(weft_executor *executor, uint64_t k)
{
    circle c = {.executor = executor, .k = k};
    weft_future *first = weft_submit(executor, first_job, &c);
    assert_non_null(first);
    atomic_store_explicit(&c.first, first, memory_order_release);
    assert_done_soon(first);
    assert_int_equal(c.code, -EINTR);
    weft_future_release(first);
    return c.reached;
}

static void test_blk_04_meanwhile_a_waiter_is_asked_to_stop(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(2);
    for (uint64_t k = 1; asked_to_stop_at(executor, k); k++)
        ;
    test_destroy(executor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_meanwhile_an_input_fails),
        TEST(test_meanwhile_an_input_succeeds),
        TEST(test_meanwhile_a_value_is_taken_through_a_mirror),
        TEST(test_meanwhile_an_executor_shuts_down),
        TEST(test_meanwhile_an_executor_begins_to_drain),
        TEST(test_meanwhile_no_room_for_another),
        TEST(test_blk_04_meanwhile_a_waiter_is_asked_to_stop),
    };
    return points_result(cmocka_run_group_tests(tests, NULL, NULL));
}
