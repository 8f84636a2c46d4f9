/* The calls of weft/base.h, and the system calls below the library: futex, clock, pages, threads. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform.h"

#include <weft/base.h>

static const int own_codes[] = {EAGAIN,    EALREADY,   EBUSY,     ECANCELED, EDEADLK,  EINPROGRESS,
                                EINTR,     EINVAL,     ELOOP,     ENODATA,   ENOMEM,   ENOTRECOVERABLE,
                                EOVERFLOW, EOWNERDEAD, ESHUTDOWN, ESTALE,    ETIMEDOUT};

static void test_base_strerror_knows_weft_codes(void **state)
{
    (void)state;
    const size_t n = sizeof own_codes / sizeof own_codes[0];
    for (size_t i = 0; i < n; i++) {
        const char *text = weft_strerror(-own_codes[i]);
        assert_string_not_equal(text, "unknown error");
        assert_ptr_equal(text, weft_strerror(-own_codes[i]));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(text, weft_strerror(-own_codes[k]));
    }
}

static void test_base_strerror_of_any_code(void **state)
{
    (void)state;
    assert_string_equal(weft_strerror(0), "success");
    assert_string_equal(weft_strerror(ETIMEDOUT), "the job's own code");
    assert_string_equal(weft_strerror(INT_MAX), "the job's own code");
    assert_string_equal(weft_strerror(INT_MIN), "unknown error");
    assert_string_equal(weft_strerror(-100000), "unknown error");
    assert_true(strlen(weft_strerror(-EMFILE)) > 0);
}

static void test_base_version(void **state)
{
    (void)state;
    assert_int_equal(weft_version(), WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH);
}

static void test_base_now_is_the_monotonic_clock(void **state)
{
    (void)state;
    struct timespec before;
    struct timespec after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    int64_t now = weft_now();
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(before.tv_sec * INT64_C(1000000000) + before.tv_nsec <= now);
    assert_true(now <= after.tv_sec * INT64_C(1000000000) + after.tv_nsec);
}

static void test_base_deadline_saturates(void **state)
{
    (void)state;
    assert_true(weft__deadline(5, 7) == 12);
    assert_true(weft__deadline(5, 0) == 5);
    assert_true(weft__deadline(5, -7) == 5);
    assert_true(weft__deadline(5, INT64_MIN) == 5);
    assert_true(weft__deadline(5, INT64_MAX - 6) == INT64_MAX - 1);
    assert_true(weft__deadline(5, INT64_MAX - 5) == WEFT_FOREVER);
    assert_true(weft__deadline(5, INT64_MAX - 4) == WEFT_FOREVER);
    assert_true(weft__deadline(0, WEFT_FOREVER) == WEFT_FOREVER);
    assert_true(weft__deadline(INT64_MAX, 1) == WEFT_FOREVER);
}

static void test_base_futex_wait_ends_without_a_wake(void **state)
{
    (void)state;
    _Atomic(uint32_t) word = 1;
    int64_t until = weft_now() + WEFT_MILLISECONDS(20);
    errno = E2BIG;
    assert_int_equal(weft__futex_wait(&word, 2, INT64_MAX), 0);
    assert_int_equal(weft__futex_wait(&word, 1, INT64_MIN), -ETIMEDOUT);
    assert_int_equal(weft__futex_wait(&word, 1, 0), -ETIMEDOUT);
    assert_int_equal(weft__futex_wait(&word, 1, until), -ETIMEDOUT);
    assert_true(weft_now() >= until);
    assert_int_equal(errno, E2BIG);
}

static void test_base_futex_half_is_the_low_one(void **state)
{
    (void)state;
    _Atomic(uint64_t) word = UINT64_C(0x1122334455667788);
    assert_int_equal(atomic_load_explicit(weft__futex_half(&word), memory_order_relaxed), 0x55667788);
}

static void test_base_futex_wake_of_memory_that_is_gone(void **state)
{
    (void)state;
    void *gone = weft__pages_map(4096, 4096, false);
    assert_non_null(gone);
    weft__pages_unmap(gone, 4096);
    errno = E2BIG;
    weft__futex_wake(gone, INT_MAX);
    assert_int_equal(errno, E2BIG);
}

struct meeting {
    _Atomic(uint32_t) word;
    size_t stack_size;
    sigset_t mask;
};

static void *look_and_wake(void *arg)
{
    struct meeting *m = arg;
    pthread_attr_t attributes;
    pthread_sigmask(SIG_SETMASK, NULL, &m->mask);
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstacksize(&attributes, &m->stack_size);
        pthread_attr_destroy(&attributes);
    }
    /* release: pairs with the acquire load in meet(), which sees the fields above. */
    atomic_store_explicit(&m->word, 1, memory_order_release);
    weft__futex_wake(&m->word, 1);
    return m;
}

static void meet(struct meeting *m, size_t stack_size, const char *name)
{
    pthread_t id;
    void *result;
    atomic_store_explicit(&m->word, 0, memory_order_relaxed);
    errno = E2BIG;
    assert_int_equal(weft__thread_start(&id, stack_size, name, look_and_wake, m), 0);
    while (atomic_load_explicit(&m->word, memory_order_acquire) == 0)
        assert_int_equal(weft__futex_wait(&m->word, 0, INT64_MAX), 0);
    assert_int_equal(errno, E2BIG);
    assert_int_equal(pthread_join(id, &result), 0);
    assert_ptr_equal(result, m);
}

static void test_base_thread_stack_size(void **state)
{
    (void)state;
    struct meeting m;
    meet(&m, 0, "default");
    assert_true(m.stack_size >= 16384);
    meet(&m, 1, "least");
    assert_true(m.stack_size >= (size_t)sysconf(_SC_THREAD_STACK_MIN));
    meet(&m, 1000001, "uneven");
    assert_true(m.stack_size >= 1000001);
}

static void test_base_thread_refused(void **state)
{
    (void)state;
    struct meeting m;
    pthread_t id;
    sigset_t before;
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    errno = E2BIG;
    assert_int_equal(weft__thread_start(&id, SIZE_MAX, "huge", look_and_wake, &m), -EAGAIN);
    assert_int_equal(weft__thread_start(&id, SIZE_MAX / 4, "huge", look_and_wake, &m), -EAGAIN);
    assert_int_equal(errno, E2BIG);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < NSIG; number++)
        assert_int_equal(sigismember(&before, number), sigismember(&after, number));
}

static void test_base_thread_signal_mask(void **state)
{
    (void)state;
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    static const int asynchronous[] = {SIGTERM, SIGINT, SIGUSR1, SIGALRM, SIGPROF, SIGCHLD, SIGPIPE};
    struct meeting m;
    sigset_t segv;
    sigset_t before;
    sigset_t after;
    sigemptyset(&segv);
    sigaddset(&segv, SIGSEGV);
    pthread_sigmask(SIG_BLOCK, &segv, &before);
    meet(&m, 0, "mask");
    pthread_sigmask(SIG_SETMASK, &before, &after);
    assert_int_equal(sigismember(&after, SIGSEGV), 1);
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        assert_int_equal(sigismember(&m.mask, faults[i]), 0);
    for (size_t i = 0; i < sizeof asynchronous / sizeof asynchronous[0]; i++)
        assert_int_equal(sigismember(&m.mask, asynchronous[i]), 1);
}

static void *wait_for_word(void *arg)
{
    _Atomic(uint32_t) *word = arg;
    while (atomic_load_explicit(word, memory_order_acquire) == 0)
        (void)weft__futex_wait(word, 0, INT64_MAX);
    return NULL;
}

/* The name is there as soon as the thread has been started, and is cut to what the kernel keeps. */
static void test_base_thread_name(void **state)
{
    (void)state;
    _Atomic(uint32_t) word = 0;
    char name[32];
    pthread_t id;
    assert_int_equal(weft__thread_start(&id, 0, "a-name-of-more-than-15", wait_for_word, &word), 0);
    assert_int_equal(pthread_getname_np(id, name, sizeof name), 0);
    assert_string_equal(name, "a-name-of-more-");
    /* release: pairs with the acquire load in wait_for_word(). */
    atomic_store_explicit(&word, 1, memory_order_release);
    weft__futex_wake(&word, 1);
    assert_int_equal(pthread_join(id, NULL), 0);
}

static void test_base_pages_are_zeroed_and_aligned(void **state)
{
    (void)state;
    for (size_t alignment = 4096; alignment <= (size_t)1 << 21; alignment <<= 3) {
        for (size_t size = 1; size <= 300000; size = size * 7 + 1) {
            unsigned char *pages = weft__pages_map(size, alignment, alignment >= (size_t)1 << 21);
            assert_non_null(pages);
            assert_true((uintptr_t)pages % alignment == 0);
            assert_int_equal(pages[0], 0);
            assert_int_equal(pages[size - 1], 0);
            memset(pages, 0xff, size);
            weft__pages_unmap(pages, size);
        }
    }
}

static void test_base_pages_refused(void **state)
{
    (void)state;
    errno = E2BIG;
    assert_null(weft__pages_map(0, 4096, false));
    assert_null(weft__pages_map(SIZE_MAX, 4096, false));
    assert_null(weft__pages_map(SIZE_MAX - 8192, (size_t)1 << 21, false));
    assert_null(weft__pages_map(SIZE_MAX / 4, 4096, false));
    weft__pages_unmap(NULL, 4096);
    assert_int_equal(errno, E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base_strerror_knows_weft_codes),
        cmocka_unit_test(test_base_strerror_of_any_code),
        cmocka_unit_test(test_base_version),
        cmocka_unit_test(test_base_now_is_the_monotonic_clock),
        cmocka_unit_test(test_base_deadline_saturates),
        cmocka_unit_test(test_base_futex_wait_ends_without_a_wake),
        cmocka_unit_test(test_base_futex_half_is_the_low_one),
        cmocka_unit_test(test_base_futex_wake_of_memory_that_is_gone),
        cmocka_unit_test(test_base_thread_stack_size),
        cmocka_unit_test(test_base_thread_refused),
        cmocka_unit_test(test_base_thread_signal_mask),
        cmocka_unit_test(test_base_thread_name),
        cmocka_unit_test(test_base_pages_are_zeroed_and_aligned),
        cmocka_unit_test(test_base_pages_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
