/* test_slab_threads.c: the slab under several threads: remote frees, chunks that change hands, walks, the last pin. */
#define _GNU_SOURCE
#include "slab_oracle.h"

/* Threads that put objects into shared slots and free what they find there, whoever made it. */

enum { SHARED = 2048 };
static _Atomic(void *) shared[SHARED];

typedef struct churner {
    pthread_t thread;
    weft__slab *slab;
    uint32_t seed;
    int steps;
} churner;

static void *churn(void *argument)
{
    churner *c = argument;
    weft__heap heap;
    weft__heap_init(&heap, c->slab);
    uint32_t random = c->seed;
    for (int i = 0; i < c->steps; i++) {
        uint32_t r = next_random(&random);
        enum weft__slab_class class =
            r % 8 < 5 ? WEFT__FUTURE_192 : (enum weft__slab_class)(r >> 3) % WEFT__SLAB_CLASSES;
        void *mine = r >> 28 < 7 ? NULL : get(&heap, r, class);
        void *found = atomic_exchange_explicit(&shared[(r >> 8) % SHARED], mine, memory_order_acq_rel);
        if (found != NULL) {
            put(r & 1 ? &heap : NULL, found);
        }
        if (r >> 16 == 99) {
            weft__heap_detach(&heap);
        }
    }
    weft__heap_detach(&heap);
    return NULL;
}

static void empty_shared(weft__heap *mine)
{
    for (int i = 0; i < SHARED; i++) {
        void *found = atomic_exchange_explicit(&shared[i], NULL, memory_order_acq_rel);
        if (found != NULL) {
            put(mine, found);
        }
    }
}

static void start_churners(churner *churners, int n, weft__slab *slab)
{
    for (int i = 0; i < n; i++) {
        churners[i] = (churner){.slab = slab, .seed = 2463534242u + (uint32_t)i * 7919, .steps = CHURN / n};
        assert_int_equal(pthread_create(&churners[i].thread, NULL, churn, &churners[i]), 0);
    }
}

static void join_churners(churner *churners, int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(pthread_join(churners[i].thread, NULL), 0);
    }
}

static void test_slab_remote_frees_with_churn(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++) {
        stand s;
        churner churners[4];
        stand_begin(&s);
        start_churners(churners, n, &s.slab);
        join_churners(churners, n);
        assert_true(weft__slab_check(&s.slab));
        empty_shared(&s.heap);
        assert_int_equal(weft__slab_live(&s.slab, WEFT__KIND_FUTURE), 0);
        stand_end(&s);
    }
}

static void look_at_word(void *object, void *data)
{
    uint64_t tag = atomic_load_explicit(word_of(object), memory_order_relaxed);
    expect((tag & 0xff) <= WEFT__FUTURE_192);
    *(size_t *)data += tag != 0;
}

static void test_slab_walk_while_others_churn(void **state)
{
    (void)state;
    stand s;
    churner churners[2];
    stand_begin(&s);
    void *objects[500];
    for (int i = 0; i < 500; i++) {
        objects[i] = get(&s.heap, (uint64_t)i, WEFT__FUTURE_64);
    }
    start_churners(churners, 2, &s.slab);
    for (int i = 0; i < ROUNDS / 10; i++) {
        size_t live = 0;
        weft__slab_walk(&s.slab, WEFT__KIND_FUTURE, look_at_word, &live);
        expect(live >= 500);
        expect(weft__slab_live(&s.slab, WEFT__KIND_FUTURE) < CHURN);
        expect(weft__slab_live_total(WEFT__KIND_TOKEN) < CHURN);
    }
    join_churners(churners, 2);
    empty_shared(&s.heap);
    for (int i = 0; i < 500; i++) {
        put(&s.heap, objects[i]);
    }
    stand_end(&s);
}

/* Chunks change hands: threads free all objects of chunks that nobody has, all at once, while a heap takes from
 * them. */

enum { FREERS = 3, SHARE = 400 };

typedef struct freer {
    pthread_t thread;
    pthread_barrier_t *gate;
    void **objects; /* SHARE of them each round, written before the gate */
} freer;

static void *free_rounds(void *argument)
{
    freer *f = argument;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(f->gate);
        for (int i = 0; i < SHARE; i++) {
            put(NULL, f->objects[i]);
        }
        pthread_barrier_wait(f->gate);
    }
    return NULL;
}

/* Every FREERS-th object to the same thread, so that they meet in each chunk. */
static void fill_shares(weft__heap *heap, void *objects[FREERS][SHARE], int round)
{
    for (int i = 0; i < FREERS * SHARE; i++) {
        objects[i % FREERS][i / FREERS] = get(heap, (uint64_t)(round + i), WEFT__FUTURE_192);
    }
    if (round % 2) {
        weft__heap_detach(heap);
    }
}

static void test_slab_last_frees_race(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    static void *objects[FREERS][SHARE];
    void *mine[SHARE];
    freer freers[FREERS];
    pthread_barrier_t gate;
    pthread_barrier_init(&gate, NULL, FREERS + 1);
    for (int i = 0; i < FREERS; i++) {
        freers[i] = (freer){.gate = &gate, .objects = objects[i]};
        assert_int_equal(pthread_create(&freers[i].thread, NULL, free_rounds, &freers[i]), 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        fill_shares(&s.heap, objects, round);
        pthread_barrier_wait(&gate);
        for (int i = 0; i < SHARE && round % 4 < 2; i++) {
            mine[i] = get(&s.heap, (uint64_t)i, WEFT__FUTURE_192);
        }
        for (int i = 0; i < SHARE && round % 4 < 2; i++) {
            put(&s.heap, mine[i]);
        }
        pthread_barrier_wait(&gate);
        expect(weft__slab_check(&s.slab));
        expect(weft__slab_live(&s.slab, WEFT__KIND_FUTURE) == 0);
    }
    for (int i = 0; i < FREERS; i++) {
        pthread_join(freers[i].thread, NULL);
    }
    pthread_barrier_destroy(&gate);
    stand_end(&s);
}

/* A great many. */

static void *many[MANY];

static void *free_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < MANY; i++) {
        put(NULL, many[i]);
    }
    return NULL;
}

static void test_slab_many_held_then_freed_elsewhere(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    for (int i = 0; i < MANY; i++) {
        many[i] = get(&s.heap, (uint64_t)i, WEFT__FUTURE_64);
    }
    assert_true(weft__slab_check(&s.slab));
    assert_int_equal(weft__slab_live(&s.slab, WEFT__KIND_FUTURE), MANY);
#ifndef WEFT_TINY
    if (!s.slab.each) {
        assert_in_range((weft__memory_bytes() - s.bytes) / (MANY / 1000), 64 * 1000, SANITIZED ? 90 * 1000 : 70 * 1000);
    }
#endif
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_many, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(weft__slab_live(&s.slab, WEFT__KIND_FUTURE), 0);
    assert_true(weft__slab_check(&s.slab));
    assert_in_range(weft__memory_bytes() - s.bytes, 0, 2 * 32 * WEFT__CHUNK_SIZE); /* one in use and one spare */
    stand_end(&s);
}

/* Lifetime. */

static void free_slab(void *owner)
{
    expect(weft__memory_bytes() == base);
    atomic_fetch_add_explicit(&goings, 1, memory_order_relaxed);
    memset(owner, 0xa5, sizeof(weft__slab));
    free(owner);
}

static void *free_one_round(void *argument)
{
    freer *f = argument;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(f->gate);
        put(NULL, f->objects[0]);
        pthread_barrier_wait(f->gate);
    }
    return NULL;
}

/* The creator's unpin, the heap's detach and the last two frees at once: one of them, once, is the last. */
static void test_slab_last_gone_once(void **state)
{
    (void)state;
    base = weft__memory_bytes();
    void *objects[2];
    freer freers[2];
    pthread_barrier_t gate;
    pthread_barrier_init(&gate, NULL, 3);
    atomic_store_explicit(&faults, 0, memory_order_relaxed);
    for (int i = 0; i < 2; i++) {
        freers[i] = (freer){.gate = &gate, .objects = &objects[i]};
        assert_int_equal(pthread_create(&freers[i].thread, NULL, free_one_round, &freers[i]), 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        weft__slab *slab = malloc(sizeof *slab);
        weft__heap heap;
        atomic_store_explicit(&goings, 0, memory_order_relaxed);
        weft__slab_init(slab, free_slab, slab);
        weft__heap_init(&heap, slab);
        objects[0] = get(&heap, 0, WEFT__FUTURE_64);
        objects[1] = get(&heap, 1, round % 2 ? WEFT__FUTURE_64 : WEFT__OPTIONS);
        if (round % 3 == 0) {
            weft__heap_detach(&heap);
        }
        expect(count_goings() == 0);
        pthread_barrier_wait(&gate);
        weft__slab_unpin(slab);
        weft__heap_detach(&heap);
        pthread_barrier_wait(&gate);
        expect(count_goings() == 1);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(freers[i].thread, NULL);
    }
    pthread_barrier_destroy(&gate);
    assert_int_equal(weft__memory_bytes(), base);
    assert_int_equal(atomic_load_explicit(&faults, memory_order_relaxed), 0);
}

static void test_slab_threads_that_end(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    for (int round = 0; round < ROUNDS / 20; round++) {
        churner c = {.slab = &s.slab, .seed = 77 + (uint32_t)round, .steps = 3000};
        assert_int_equal(pthread_create(&c.thread, NULL, churn, &c), 0);
        pthread_join(c.thread, NULL);
        assert_true(weft__slab_check(&s.slab));
    }
    empty_shared(NULL);
    assert_int_equal(weft__memory_bytes(), s.bytes);
    stand_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slab_remote_frees_with_churn), cmocka_unit_test(test_slab_walk_while_others_churn),
        cmocka_unit_test(test_slab_last_frees_race),         cmocka_unit_test(test_slab_many_held_then_freed_elsewhere),
        cmocka_unit_test(test_slab_last_gone_once),          cmocka_unit_test(test_slab_threads_that_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
