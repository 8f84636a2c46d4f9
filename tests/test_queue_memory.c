/* test_queue_memory.c: queues of completions when there is no memory (MEM-01), and that what was accepted needs none
 * (I14).
 *
 * The program brings its own allocator before any other call: it counts, and refuses the k-th request from when it is
 * told, or all from the k-th on. A script is run for k = 1, 2, ... until it asks for fewer than k blocks; each call is
 * either refused, with its code and without a trace, or holds. */
#include "fixtures.h"
#include "queue.h"

enum { HEADER = 16 };

static struct {
    _Atomic(size_t) requests, refusals, blocks;
    _Atomic(size_t) refuse_at; /* number of the first request to refuse; 0: none. Written by the test's thread */
    _Atomic(bool) for_good;    /* and all after it. Written by the test's thread */
} heap;

static void *heap_alloc(size_t size, void *data)
{
    (void)data;
    size_t number = atomic_fetch_add_explicit(&heap.requests, 1, memory_order_acq_rel) + 1;
    size_t at = test_get(heap.refuse_at);
    if (at != 0 && (number == at || (number > at && test_get(heap.for_good)))) {
        atomic_fetch_add_explicit(&heap.refusals, 1, memory_order_acq_rel);
        return NULL;
    }
    char *block = malloc(size + HEADER);
    if (block == NULL) {
        return NULL;
    }
    atomic_fetch_add_explicit(&heap.blocks, 1, memory_order_acq_rel);
    memset(block, 0xC3, size + HEADER);
    return block + HEADER;
}

static void heap_free(void *memory, void *data)
{
    (void)data;
    if (memory != NULL) {
        atomic_fetch_sub_explicit(&heap.blocks, 1, memory_order_acq_rel);
        free((char *)memory - HEADER);
    }
}

static void refuse(size_t k, bool for_good)
{
    atomic_store_explicit(&heap.refusals, 0, memory_order_release);
    atomic_store_explicit(&heap.for_good, for_good, memory_order_release);
    atomic_store_explicit(&heap.refuse_at, k == 0 ? 0 : test_get(heap.requests) + k, memory_order_release);
}

/* What a script uses is made before memory gets short. */
enum { FUTURES = 200 };
typedef struct scene {
    weft_promise *promises[FUTURES];
    weft_future *futures[FUTURES];
} scene;

static void scene_make(scene *s, weft_executor *executor)
{
    for (unsigned i = 0; i < FUTURES; i++) {
        s->promises[i] = weft_promise_create(executor);
        s->futures[i] = weft_promise_future(s->promises[i]);
        assert_non_null(s->futures[i]);
    }
}

static void scene_end(scene *s)
{
    for (unsigned i = 0; i < FUTURES; i++) {
        weft_future_release(s->futures[i]);
        weft_promise_destroy(s->promises[i]);
    }
}

static size_t drain(weft_queue *queue)
{
    size_t n = 0;
    for (weft_future *next; (next = weft_queue_next(queue, 0, NULL)); n++) {
        weft_future_release(next);
    }
    assert_int_equal(errno, ENODATA);
    return n;
}

static size_t create_and_add(scene *s)
{
    size_t added = 0;
    errno = 0;
    weft_queue *queue = weft_queue_create(NULL);
    if (queue == NULL) {
        assert_int_equal(errno, ENOMEM);
        return 0;
    }
    for (unsigned i = 0; i < FUTURES; i++) {
        int code = weft_queue_add(queue, s->futures[i], NULL);
        assert_true(code == 0 || code == -ENOMEM);
        assert_true((code == 0) == (s->futures[i]->waiters != NULL));
        added += code == 0;
    }
    refuse(1, true); /* from here on nothing may need memory */
    assert_true(weft_queue_fd(queue) >= 0);
    for (unsigned i = 0; i < FUTURES; i++) {
        assert_int_equal(weft_promise_resolve(s->promises[i], NULL, NULL), 0);
    }
    assert_int_equal(drain(queue), added);
    assert_int_equal(test_get(heap.refusals), 0);
    weft_queue_destroy(queue);
    return added;
}

static size_t complete_all(scene *s)
{
    errno = 0;
    weft_queue *queue = weft_as_completed(s->futures, FUTURES, WEFT_FOREVER);
    if (queue == NULL) {
        assert_int_equal(errno, ENOMEM);
        return 0;
    }
    refuse(1, true);
    for (unsigned i = 0; i < FUTURES; i++) {
        assert_int_equal(weft_promise_resolve(s->promises[i], NULL, NULL), 0);
    }
    assert_int_equal(drain(queue), FUTURES);
    assert_int_equal(test_get(heap.refusals), 0);
    weft_queue_destroy(queue);
    return FUTURES;
}

static void with_every_request_refused(size_t (*script)(scene *s), size_t least_refused)
{
    for (unsigned for_good = 0; for_good < 2; for_good++) {
        size_t k = 1;
        for (bool refused = true; refused; k++) {
            static scene s;
            weft_executor *executor = test_executor(1);
            scene_make(&s, executor);
            size_t blocks = test_get(heap.blocks), requests = test_get(heap.requests);
            refuse(k, for_good);
            size_t came = script(&s);
            size_t asked = test_get(heap.requests) - requests;
            refuse(0, false);
            refused = asked >= k;
            assert_true(refused || came == FUTURES);
            assert_int_equal(test_get(heap.blocks), blocks);
            scene_end(&s);
            test_destroy(executor);
            assert_counters_at_base();
        }
        assert_true(k > least_refused);
    }
}

static void test_mem_01_queue_create_and_add(void **state)
{
    (void)state;
    with_every_request_refused(create_and_add, 3);
}

static void test_mem_01_as_completed(void **state)
{
    (void)state;
    with_every_request_refused(complete_all, 2);
}

int main(void)
{
    weft_set_allocator(heap_alloc, heap_free, NULL);
    const struct CMUnitTest tests[] = {
        TEST(test_mem_01_queue_create_and_add),
        TEST(test_mem_01_as_completed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
