/* test_exhaustion_together.c: calls in combination, with each of their requests for memory refused in turn (MEM-05,
 * I14). stage.h tells how they are played and what must hold; here are the scenes. */
#include "stage.h"

/* Jobs, and what waits in them. */

/* A second part is for the child. */
static void *parent_job(void *argument)
{
    part *p = argument, *child = part_next(p->stage, true);
    stage *s = p->stage;
    errno = 0;
    weft_future *future = weft_submit_with(weft_executor_current(), test_cell_run, child, &freeing);
    atomic_fetch_add_explicit(&s->asked, 1, memory_order_acq_rel);
    if (accept(child, future != NULL)) {
        int code = weft_await(future, NULL);
        TEST_EXPECT(code == 0 || code == -EAGAIN || (code == -ECANCELED && s->how >= PENDING_CANCELLED));
        if (code == -EAGAIN) { /* no thread to stand in; the reference has stayed here */
            weft_future_release(future);
        }
    } else if (errno != ESHUTDOWN || s->how < PENDING_CANCELLED) {
        held(s, -errno);
    }
    return test_cell_run(p);
}

/* Waits for the first promise. */
static void *blocking_job(void *argument)
{
    part *p = argument;
    weft_future *future = p->stage->own;
    int code = weft_future_wait(future, WEFT_FOREVER);
    TEST_EXPECT(code == 0 || code == -EAGAIN || (code == -EINTR && p->stage->how == ALL_CANCELLED));
    return test_cell_run(p);
}

static void many_jobs(stage *s)
{
    enum { N = 4 };
    part *parts[N];
    void *arguments[N];
    weft_future *futures[N];
    for (int with = 0; with < 2; with++) {
        for (int i = 0; i < N; i++) {
            arguments[i] = parts[i] = part_next(s, true);
            parts[i]->plain = true;
        }
        bool accepted = held(s, weft_submit_many(s->executor, test_cell_run, arguments, N, with ? futures : NULL));
        for (int i = 0; accepted && i < N; i++) {
            accept(parts[i], true);
            if (with) {
                keep(s, futures[i]);
            }
        }
    }
}

static void make_jobs(stage *s)
{
    const weft_submit_options high = {.priority = WEFT_HIGH, .name = "high"}, low = {.priority = WEFT_LOW};
    const weft_submit_options later = {.delay = WEFT_SECONDS(2), .priority = WEFT_HIGH};
    part *plain = part_next(s, true);
    plain->plain = true;
    two_promises(s);
    s->own = s->futures[0];
    gated(s, true);
    job(s, test_cell_run, &high, true);
    job(s, test_cell_run, &low, true);
    job(s, test_cell_run, &later, false);
    job(s, parent_job, NULL, true);
    if (s->own != NULL) {
        job(s, blocking_job, NULL, true);
    }
    weft_future *copied = TRY(s, weft_submit_copy(s->executor, test_job_return_arg, "text", 5));
    accept(plain, held(s, weft_execute(s->executor, test_cell_run, plain)));
    many_jobs(s);
    unread_failure(s);
    watch(s, copied);
    watch(s, s->futures[1]);
    int code = weft_wait(s->kept, s->n_kept, WEFT_FIRST_EXCEPTION, 0, NULL);
    TEST_EXPECT(code == 0 || code == -ETIMEDOUT || code == -ENOMEM);
}

/* One has submitted its child, the other has a spare thread in its place. */
static bool have_asked(void *data)
{
    stage *s = data;
    weft_stats stats;
    return test_get(s->asked) == 1 && weft_executor_stats(s->executor, &stats) == 0 && stats.spares == 1;
}

static void ready_jobs(stage *s)
{
    assert_true(test_until(have_asked, s));
}

static void test_mem_05_jobs_together(void **state)
{
    const scene jobs = {.name = "jobs", .make = make_jobs, .ready = ready_jobs, .creates = true};
    (void)state;
    play_all(&jobs, 30);
}

/* Futures of futures. */

static void *then_part(void *value, void *data)
{
    (void)value;
    return test_cell_run(data);
}

static void *then_any_part(const weft_outcome *outcome, void *data)
{
    TEST_EXPECT(outcome->state >= WEFT_SUCCEEDED);
    return test_cell_run(data);
}

/* Returns the first promise's future, or fails if that was refused. */
static void *inner_job(void *argument)
{
    part *p = argument;
    void *inner = p->stage->own;
    test_cell_run(p);
    return inner != NULL ? weft_future_retain(inner) : weft_fail(6);
}

static void release_future(void *future)
{
    weft_future_release(future);
}

static weft_future *outer(stage *s)
{
    const weft_submit_options options = {.free_value = release_future};
    part *p = part_next(s, false);
    p->plain = true;
    weft_future *future = TRY(s, weft_submit_with(s->executor, inner_job, p, &options));
    accept(p, future != NULL);
    return future;
}

static weft_future *followed(stage *s, weft_future *input, bool any, const weft_submit_options *options)
{
    weft_submit_options all = options != NULL ? *options : freeing;
    part *p = input != NULL ? part_next(s, false) : NULL;
    all.free_arg = test_cell_free_arg;
    all.free_value = test_cell_free_value;
    weft_future *future = any ? ON(s, input, weft_then_any_with(input, then_any_part, p, &all))
                              : ON(s, input, weft_then_with(input, then_part, p, &all));
    if (p != NULL) {
        accept(p, future != NULL);
    }
    return future;
}

static weft_future *mapped(stage *s, size_t chunk, weft_gather_mode mode, int code)
{
    enum { N = 5 };
    part *parts[N];
    void *items[N];
    for (int i = 0; i < N; i++) {
        items[i] = parts[i] = part_next(s, false);
        parts[i]->cell.code = i == 1 ? code : 0;
    }
    weft_future *map = TRY(s, weft_map_with(s->executor, test_cell_run, items, N, chunk, mode, &freeing));
    for (int i = 0; i < N; i++) {
        accept(parts[i], map != NULL);
    }
    return map;
}

static void make_derived(stage *s)
{
    const weft_submit_options later = {.delay = WEFT_SECONDS(1), .priority = WEFT_HIGH, .name = "later"};
    two_promises(s);
    s->own = s->futures[0];
    weft_future *sleep = TRY(s, weft_sleep(s->executor, WEFT_SECONDS(3), s));
    weft_future *inputs[] = {s->futures[0], s->futures[1], gated(s, false), sleep};
    weft_future *then = followed(s, inputs[0], false, NULL);
    weft_future *delayed = followed(s, inputs[1], true, &later);
    followed(s, then, false, &later);
    followed(s, inputs[1], false, NULL);
    weft_future *flat = outer(s);
    flat = ON(s, flat, weft_flatten(flat));
    weft_future *map = mapped(s, 1, WEFT_SETTLED, 8), *strict = mapped(s, 2, WEFT_STRICT, 8);
    mapped(s, 0, WEFT_FIRST_ERROR, 0);
    if (inputs[0] != NULL && inputs[1] != NULL && inputs[2] != NULL && inputs[3] != NULL) {
        weft_future *any = TRY(s, weft_any(s->executor, inputs, 4));
        weft_future *gather = TRY(s, weft_gather(s->executor, inputs, 4, WEFT_STRICT));
        TRY(s, weft_gather(s->executor, inputs, 4, WEFT_SETTLED));
        TRY(s, weft_gather(s->executor, inputs + 1, 2, WEFT_FIRST_ERROR));
        watch(s, ON(s, any, weft_wait_for(any, WEFT_SECONDS(1), 0)));
        ON(s, gather, weft_shield(gather));
    }
    weft_future *bounded = ON(s, flat, weft_wait_for(flat, WEFT_SECONDS(5), WEFT_JOIN));
    ON(s, bounded, weft_shield(bounded));
    ON(s, map, weft_wait_for(map, WEFT_SECONDS(4), WEFT_NO_CANCEL | WEFT_JOIN));
    ON(s, strict, weft_wait_for(strict, WEFT_FOREVER, 0));
    watch(s, delayed);
    watch(s, then);
}

/* Of those that have outcomes they can be had, at the latest when there is memory again. */
static void read_derived(stage *s)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        size_t n = 0;
        errno = 0;
        const weft_outcome *outcomes = weft_gather_outcomes(s->kept[i], &n);
        if (outcomes == NULL && errno == ENOMEM) {
            refuse_nothing();
            outcomes = weft_gather_outcomes(s->kept[i], &n);
        }
        assert_true(outcomes != NULL ? n >= 2 : errno == EINVAL);
        assert_ptr_equal(weft_gather_outcomes(s->kept[i], NULL), outcomes);
    }
}

static void test_mem_05_derived_futures_together(void **state)
{
    const scene derived = {.name = "derived", .make = make_derived, .read = read_derived};
    (void)state;
    play_all(&derived, 60);
}

/* Queues. */

enum { TAGS = 8 };

typedef struct queues {
    weft_queue *queue, *completed, *left;
    unsigned added[TAGS], wanted, distinct;
} queues;

static void add(stage *s, queues *q, weft_queue *queue, weft_future *future, size_t tag)
{
    if (queue != NULL && future != NULL && held(s, weft_queue_add(queue, future, (void *)tag)) && queue == q->queue) {
        q->added[tag]++;
        q->wanted++;
    }
}

static void make_queues(stage *s)
{
    static queues q;
    q = (queues){.queue = NULL};
    s->own = &q;
    q.queue = GET(s, weft_queue_create(s->executor));
    q.left = GET(s, weft_queue_create(s->executor));
    two_promises(s);
    weft_future *ready = TRY(s, weft_gather(s->executor, NULL, 0, WEFT_SETTLED));
    weft_future *inputs[] = {gated(s, true), s->futures[0], s->futures[1], ready, s->futures[0]};
    weft_future *sleep = TRY(s, weft_sleep(s->executor, WEFT_SECONDS(1), NULL));
    for (size_t i = 0; i < 5; i++) {
        add(s, &q, q.queue, inputs[i], i);
        add(s, &q, q.left, inputs[i], i);
    }
    add(s, &q, q.queue, sleep, 5);
    if (q.queue != NULL) {
        int fd = weft_queue_fd(q.queue);
        held(s, fd < 0 ? fd : 0);
    }
    if (inputs[0] != NULL && inputs[1] != NULL && inputs[2] != NULL && ready != NULL) {
        q.completed = GET(s, weft_as_completed(inputs, 5, WEFT_FOREVER));
        q.distinct = q.completed != NULL ? 4 : 0;
        weft_queue *early = GET(s, weft_as_completed(inputs, 5, 0));
        weft_future *first = early != NULL ? weft_queue_next(early, 0, NULL) : NULL;
        TEST_EXPECT(first == ready || early == NULL);
        weft_future_release(first);
        weft_queue_destroy(early);
    }
}

static void drain_queue(weft_queue *queue, unsigned wanted, unsigned added[])
{
    void *tag = NULL;
    for (unsigned i = 0; i < wanted; i++) {
        weft_future *future = weft_queue_next(queue, test_patience(), &tag);
        assert_non_null(future);
        assert_true(weft_future_done(future));
        assert_true(added[(size_t)tag] != 0);
        added[(size_t)tag]--;
        weft_future_release(future);
    }
    assert_null(weft_queue_next(queue, WEFT_FOREVER, &tag));
    assert_int_equal(errno, ENODATA);
}

static void read_queues(stage *s)
{
    queues *q = s->own;
    unsigned once[TAGS] = {1, 1, 1, 1};
    if (q->queue != NULL) {
        drain_queue(q->queue, q->wanted, q->added);
    }
    if (q->completed != NULL) {
        drain_queue(q->completed, q->distinct, once);
    }
    weft_queue_destroy(q->queue);
    weft_queue_destroy(q->completed);
    weft_queue_destroy(q->left);
}

static void test_mem_05_queues_together(void **state)
{
    const scene all = {.name = "queues", .make = make_queues, .read = read_queues};
    (void)state;
    play_all(&all, 15);
}

int main(void)
{
    heap_install();
    const struct CMUnitTest tests[] = {
        TEST(test_mem_05_jobs_together),
        TEST(test_mem_05_derived_futures_together),
        TEST(test_mem_05_queues_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
