/* test_slab.c: the slab on one thread: what it hands out, its bookkeeping, its lifetime, and lack of memory. */
#include "slab_oracle.h"

#include <weft/testing.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static void test_slab_alloc_and_free_in_order(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    static void *objects[WEFT__SLAB_CLASSES][1000];
    for (int c = 0; c < WEFT__SLAB_CLASSES; c++) {
        for (int i = 0; i < 1000; i++) {
            objects[c][i] = get(&s.heap, (uint64_t)i, (enum weft__slab_class)c);
            assert_ptr_equal(weft__slab_of(objects[c][i]), &s.slab);
        }
        assert_true(weft__slab_check(&s.slab));
    }
    assert_int_equal(weft__slab_live(&s.slab, WEFT__KIND_FUTURE), 5000);
    assert_int_equal(weft__slab_live(&s.slab, WEFT__KIND_CALLBACK), 1000);
    assert_int_equal(weft__slab_live(&s.slab, WEFT__KIND_OPTIONS), 1000);
    assert_int_equal(weft__slab_live(&s.slab, WEFT__KIND_TOKEN), 1000);
    for (int c = 0; c < WEFT__SLAB_CLASSES; c++) {
        for (int i = 0; i < 1000; i++) {
            put(&s.heap, objects[c][i]);
        }
        assert_true(weft__slab_check(&s.slab));
    }
    for (int kind = WEFT__KIND_FUTURE; kind <= WEFT__KIND_TOKEN; kind++) {
        assert_int_equal(weft__slab_live(&s.slab, (enum weft__slab_kind)kind), 0);
    }
    stand_end(&s);
}

static void test_slab_reuses_the_last_freed_first(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    if (s.slab.each) {
        stand_end(&s);
        skip();
    }
    void *a = get(&s.heap, 1, WEFT__FUTURE_64);
    void *b = get(&s.heap, 2, WEFT__FUTURE_64);
    put(&s.heap, a);
    put(&s.heap, b);
    assert_ptr_equal(get(&s.heap, 3, WEFT__FUTURE_64), b);
    assert_ptr_equal(get(&s.heap, 4, WEFT__FUTURE_64), a);
    put(&s.heap, a);
    put(&s.heap, b);
    stand_end(&s);
}

static void test_slab_leaves_the_word_alone(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    if (s.slab.each) {
        stand_end(&s);
        skip();
    }
    enum { FREED = 10 };
    void *objects[FREED];
    for (int i = 0; i < FREED; i++) {
        objects[i] = weft__slab_alloc(&s.heap, WEFT__FUTURE_96);
        atomic_store_explicit(word_of(objects[i]), (uint64_t)i + 1, memory_order_relaxed);
    }
    for (int i = 0; i < FREED; i++) { /* three by another thread, as far as the slab can tell */
        weft__slab_free(i < 3 ? NULL : &s.heap, objects[i]);
    }
    for (int i = FREED - 1; i >= 3; i--) {
        assert_ptr_equal(weft__slab_alloc(&s.heap, WEFT__FUTURE_96), objects[i]);
        assert_int_equal(atomic_load_explicit(word_of(objects[i]), memory_order_relaxed), i + 1);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(atomic_load_explicit(word_of(objects[i]), memory_order_relaxed), i + 1);
    }
    void *fresh = weft__slab_alloc(&s.heap, WEFT__FUTURE_96);
    uint64_t word = atomic_load_explicit(word_of(fresh), memory_order_relaxed);
    assert_true(fresh == objects[2] ? word == 3 : word == 0);
    weft__slab_free(&s.heap, fresh);
    for (int i = 3; i < FREED; i++) {
        weft__slab_free(&s.heap, objects[i]);
    }
    stand_end(&s);
}

/* A chunk that had one class and now has another hands out zero words too. */
static void test_slab_zeroes_the_word_of_recycled_chunks(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    static void *objects[3000];
    void *pin = get(&s.heap, 0, WEFT__TOKEN); /* so that the region stays */
    for (int c = 0; c < WEFT__CALLBACK; c++) {
        for (int i = 0; i < 3000; i++) {
            objects[i] = weft__slab_alloc(&s.heap, (enum weft__slab_class)c);
            assert_int_equal(atomic_load_explicit(word_of(objects[i]), memory_order_relaxed), 0);
            memset((char *)objects[i] + 8, 0xff, sizes[c] - 8);
        }
        for (int i = 0; i < 3000; i++) {
            weft__slab_free(i % 2 ? &s.heap : NULL, objects[i]);
        }
        weft__heap_detach(&s.heap);
        assert_true(weft__slab_check(&s.slab));
    }
    put(NULL, pin);
    stand_end(&s);
}

/* Objects of a heap that was given up: they live on, their chunk is taken by another heap, the last one releases it. */
static void test_slab_detached_heap(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    void *objects[100];
    for (int i = 0; i < 100; i++) {
        objects[i] = get(&s.heap, (uint64_t)i, WEFT__FUTURE_128);
    }
    for (int i = 0; i < 50; i++) {
        put(&s.heap, objects[i]);
    }
    weft__heap_detach(&s.heap);
    assert_true(weft__slab_check(&s.slab));
    assert_int_equal(weft__slab_live(&s.slab, WEFT__KIND_FUTURE), 50);
    weft__heap other;
    weft__heap_init(&other, &s.slab);
    objects[0] = get(&other, 0, WEFT__FUTURE_128);
#ifndef WEFT_TINY
    if (!s.slab.each) {
        assert_ptr_equal(objects[0], objects[49]);
    }
#endif
    assert_true(weft__slab_check(&s.slab));
    put(&s.heap, objects[0]);
    for (int i = 50; i < 100; i++) {
        put(i % 2 ? &other : &s.heap, objects[i]);
        assert_true(weft__slab_check(&s.slab));
    }
    weft__heap_detach(&other);
    assert_int_equal(weft__slab_live(&s.slab, WEFT__KIND_FUTURE), 0);
    stand_end(&s);
}

/* Random allocs and frees, local and remote, of one thread, checked after every few steps. */
static void test_slab_random_steps(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    enum { SLOTS = 5000 };
    static void *objects[SLOTS];
    memset(objects, 0, sizeof objects);
    uint32_t random = 88172645;
    for (int step = 0; step < CHURN; step++) {
        void **slot = &objects[next_random(&random) % SLOTS];
        uint32_t r = next_random(&random);
        if (*slot != NULL) {
            put(r % 3 ? &s.heap : NULL, *slot);
            *slot = NULL;
        } else if (r % 16 < 12 || step < CHURN / 2) {
            *slot = get(&s.heap, r, (enum weft__slab_class)(r >> 8) % WEFT__SLAB_CLASSES);
        }
        if (r >> 16 == 7) {
            weft__heap_detach(&s.heap);
        }
        if (step % 1000 == 0) {
            assert_true(weft__slab_check(&s.slab));
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        if (objects[i] != NULL) {
            put(i % 2 ? &s.heap : NULL, objects[i]);
        }
    }
    stand_end(&s);
}

/* Walks. */

typedef struct census {
    size_t live, slots;
} census;

static void take_census(void *object, void *data)
{
    census *c = data;
    uint64_t tag = atomic_load_explicit(word_of(object), memory_order_relaxed);
    expect(tag == 0 || (tag & 0xff) == WEFT__CALLBACK);
    c->live += tag != 0;
    c->slots++;
}

static void test_slab_walk_finds_all(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    static void *objects[2000];
    void *other = get(&s.heap, 0, WEFT__FUTURE_96);
    for (int i = 0; i < 2000; i++) {
        objects[i] = get(&s.heap, (uint64_t)i, WEFT__CALLBACK);
    }
    census c = {0, 0};
    weft__slab_walk(&s.slab, WEFT__KIND_CALLBACK, take_census, &c);
    assert_int_equal(c.live, 2000);
    assert_int_equal(c.slots, 2000);
    for (int i = 0; i < 2000; i += 2) {
        put(i % 4 ? &s.heap : NULL, objects[i]);
    }
    c = (census){0, 0};
    weft__slab_walk(&s.slab, WEFT__KIND_CALLBACK, take_census, &c);
    assert_int_equal(c.live, 1000);
    assert_in_range(c.slots, 1000, 2000);
    for (int i = 1; i < 2000; i += 2) {
        put(&s.heap, objects[i]);
    }
    put(&s.heap, other);
    stand_end(&s);
}

/* Lifetime. */

static void test_slab_outlives_its_creator(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    void *a = get(&s.heap, 1, WEFT__FUTURE_64);
    void *b = get(&s.heap, 2, WEFT__TOKEN);
    assert_int_equal(weft__slab_live_total(WEFT__KIND_TOKEN), 1);
    weft__slab_unpin(&s.slab);
    assert_int_equal(count_goings(), 0);
    put(&s.heap, a);
    weft__heap_detach(&s.heap);
    assert_int_equal(count_goings(), 0);
    assert_int_equal(weft__slab_live_total(WEFT__KIND_TOKEN), 1);
    put(NULL, b);
    assert_int_equal(count_goings(), 1);
    assert_int_equal(weft__memory_bytes(), s.bytes);
    assert_int_equal(weft__slab_live_total(WEFT__KIND_TOKEN), 0);
    weft__heap_detach(&s.heap); /* has no chunks: does not touch the slab */
    assert_int_equal(atomic_load_explicit(&faults, memory_order_relaxed), 0);
}

/* The user's allocator. */

typedef struct purse {
    size_t calls, fail_at, out;
} purse;

static void *purse_alloc(size_t size, void *data)
{
    purse *p = data;
    if (++p->calls == p->fail_at) {
        return NULL;
    }
    p->out++;
    return malloc(size);
}

static void purse_free(void *memory, void *data)
{
    ((purse *)data)->out--;
    free(memory);
}

static void test_slab_custom_allocator_fails_at_k(void **state)
{
    (void)state;
    enum { OBJECTS = 20 };
    for (size_t k = 1; k <= OBJECTS + 1; k++) {
        purse p = {0, k, 0};
        weft_set_allocator(purse_alloc, purse_free, &p);
        stand s;
        stand_begin(&s);
        assert_true(s.slab.each);
        void *objects[OBJECTS];
        size_t got = 0;
        for (int i = 0; i < OBJECTS; i++) {
            enum weft__slab_class class = (enum weft__slab_class)(i % WEFT__SLAB_CLASSES);
            void *object = weft__slab_alloc(&s.heap, class);
            assert_int_equal(object == NULL, (size_t)i + 1 == k);
            if (object != NULL) {
                mark(object, make_tag((uint64_t)i, class));
                assert_ptr_equal(weft__slab_of(object), &s.slab);
                objects[got++] = object;
            }
            assert_true(weft__slab_check(&s.slab));
        }
        assert_int_equal(p.out, got);
        assert_int_equal(p.calls, OBJECTS);
        for (size_t i = 0; i < got; i++) {
            put(i % 2 ? &s.heap : NULL, objects[i]);
        }
        assert_int_equal(p.out, 0);
        stand_end(&s);
        weft_set_allocator(NULL, NULL, NULL);
    }
}

/* A slab does not change its form while one lives, and takes the form that is asked for when none does. */
static void test_slab_form_is_fixed_while_one_lives(void **state)
{
    (void)state;
    purse p = {0, 0, 0};
    weft_set_allocator(purse_alloc, purse_free, &p);
    stand s, t;
    stand_begin(&s);
    void *object = get(&s.heap, 1, WEFT__FUTURE_64);
    assert_int_equal(p.out, 1);
    stand_begin(&t);
    assert_true(t.slab.each);
    weft__slab_unpin(&t.slab);
    assert_int_equal(count_goings(), 1);
    atomic_store_explicit(&goings, 0, memory_order_relaxed);
    base = s.bytes;
    put(NULL, object);
    stand_end(&s);
    weft_set_allocator(NULL, NULL, NULL);
    stand_begin(&s);
#ifndef WEFT_SLAB_EACH
    assert_false(s.slab.each);
#endif
    stand_end(&s);
}

static void test_memory_bytes_and_hook(void **state)
{
    (void)state;
    size_t bytes = weft__memory_bytes();
    void *plain = weft__memory_alloc(1000);
    assert_non_null(plain);
    assert_int_equal(weft__memory_bytes(), bytes + 1000);
    weft__memory_free(plain, 1000);
    weft__memory_free(NULL, 5);
    purse p = {0, 2, 0};
    assert_false(weft__memory_custom);
    weft_set_allocator(purse_alloc, purse_free, &p);
    assert_true(weft__memory_custom);
    void *block = weft__memory_alloc(10);
    assert_null(weft__memory_alloc(10));
    assert_int_equal(weft__memory_bytes(), bytes + 10);
    weft__memory_free(block, 10);
    assert_int_equal(p.out, 0);
    weft_set_allocator(NULL, NULL, NULL);
    assert_false(weft__memory_custom);
    assert_int_equal(weft__memory_bytes(), bytes);
}

/* Is the page that the pointer leads to mapped? */
static bool is_mapped(void *p)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char resident;
    return mincore((char *)p - (uintptr_t)p % page, page, &resident) == 0 || errno != ENOMEM;
}

/* Has its mapping gone, or has the next one taken its place? */
static bool is_gone(void *block, const void *next)
{
    return block == next || !is_mapped(block);
}

static void *large_block(size_t size)
{
    size_t bytes = weft__memory_bytes();
    void *block = weft__memory_alloc(size);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % alignof(max_align_t), 0);
    assert_int_equal(weft__memory_bytes(), bytes + size);
    memset(block, 0x5a, size);
    return block;
}

/* The large block that was freed last is there for the next one that is about as large, and goes if there is none. */
static void test_memory_keeps_one_large_block(void **state)
{
    (void)state;
#ifdef WEFT_SLAB_EACH
    skip();
#endif
    enum { SIZE = 2 * WEFT__MEMORY_LARGE };
    size_t bytes = weft__memory_bytes();
    weft__memory_keep(true);
    void *first = large_block(SIZE), *second = large_block(SIZE);
    assert_ptr_not_equal(first, second);
    weft__memory_free(first, SIZE);
    assert_ptr_equal(large_block(SIZE - 1000), first);
    weft__memory_free(second, SIZE);
    assert_true(is_mapped(second));
    weft__memory_free(first, SIZE - 1000); /* one is kept, not two */
    assert_true(is_mapped(first));
    assert_false(is_mapped(second));
    void *larger = large_block(SIZE + 1000); /* what is kept is too small */
    assert_true(is_gone(first, larger));
    weft__memory_free(larger, SIZE + 1000);
    void *smaller = large_block(SIZE - WEFT__MEMORY_LARGE); /* and this more than twice as large */
    assert_true(is_gone(larger, smaller));
    weft__memory_free(smaller, SIZE - WEFT__MEMORY_LARGE);
    assert_true(is_mapped(smaller));
    void *huge = large_block(WEFT__MEMORY_KEPT + 1);
    weft__memory_free(huge, WEFT__MEMORY_KEPT + 1);
    assert_false(is_mapped(huge));
    first = large_block(SIZE);
    weft__memory_free(first, SIZE);
    assert_true(is_mapped(first));
    weft__memory_keep(false); /* the last executor is gone */
    assert_false(is_mapped(first));
    second = large_block(SIZE);
    weft__memory_free(second, SIZE);
    assert_false(is_mapped(second));
    assert_null(weft__memory_alloc(SIZE_MAX - 10));
    assert_int_equal(weft__memory_bytes(), bytes);
}

static void *many[100000];

/* Without memory alloc says so; what is out stays sound, and alloc works again afterwards. */
static void test_slab_out_of_memory(void **state)
{
    (void)state;
    stand s;
    stand_begin(&s);
    if (SANITIZED || s.slab.each) {
        stand_end(&s);
        skip();
    }
    struct rlimit before, now;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    now = before;
    now.rlim_cur = (rlim_t)1 << 20; /* below what is mapped already: every map fails */
    int got = 0;
    assert_int_equal(setrlimit(RLIMIT_AS, &now), 0);
    void *none = weft__slab_alloc(&s.heap, WEFT__FUTURE_192);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_null(none);
    many[got++] = get(&s.heap, 1, WEFT__FUTURE_192);
    assert_int_equal(setrlimit(RLIMIT_AS, &now), 0);
    while ((none = weft__slab_alloc(&s.heap, WEFT__FUTURE_192)) != NULL) {
        mark(none, make_tag(1, WEFT__FUTURE_192));
        many[got++] = none;
    }
    put(NULL, many[--got]); /* one that only the remote list of the active chunk can give again */
    void *again = weft__slab_alloc(&s.heap, WEFT__FUTURE_192);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_ptr_equal(again, many[got]);
    mark(again, make_tag(2, WEFT__FUTURE_192));
    put(&s.heap, again);
    assert_true(weft__slab_check(&s.slab));
    many[got++] = get(&s.heap, 1, WEFT__FUTURE_192);
    many[got++] = get(&s.heap, 1, WEFT__FUTURE_192);
    while (got > 0) {
        put(&s.heap, many[--got]);
    }
    stand_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_bytes_and_hook),
        cmocka_unit_test(test_memory_keeps_one_large_block),
        cmocka_unit_test(test_slab_alloc_and_free_in_order),
        cmocka_unit_test(test_slab_reuses_the_last_freed_first),
        cmocka_unit_test(test_slab_leaves_the_word_alone),
        cmocka_unit_test(test_slab_zeroes_the_word_of_recycled_chunks),
        cmocka_unit_test(test_slab_detached_heap),
        cmocka_unit_test(test_slab_random_steps),
        cmocka_unit_test(test_slab_walk_finds_all),
        cmocka_unit_test(test_slab_outlives_its_creator),
        cmocka_unit_test(test_slab_custom_allocator_fails_at_k),
        cmocka_unit_test(test_slab_form_is_fixed_while_one_lives),
        cmocka_unit_test(test_slab_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
