/* test_unload.c: the shared library in a program that opens and closes it, as one with plug-ins does.
 *
 * What threads have used weft cannot be known when it is closed, nor made to forget it: each runs a destructor of weft's
 * when it ends. So the shared library stays in memory once it is there. */
#include "fixtures.h"

#include <dlfcn.h>
#include <string.h>

typedef struct plugin {
    void *handle;              /* by the test */
    test_latch *used, *closed; /* the same */
} plugin;

/* A pointer to a function as dlsym gives it. */
#define FIND(p, function, name)                                                                                        \
    do {                                                                                                               \
        void *found = dlsym((p)->handle, name);                                                                        \
        TEST_EXPECT(found != NULL);                                                                                    \
        memcpy(&(function), &found, sizeof(found));                                                                    \
    } while (0)

static void *same(void *argument)
{
    return argument;
}

static void *use_and_end(void *argument)
{
    plugin *p = argument;
    weft_executor *(*create)(const weft_executor_options *);
    weft_future *(*submit_job)(weft_executor *, weft_fn *, void *);
    int (*await)(weft_future *, void **);
    int (*destroy)(weft_executor *);
    FIND(p, create, "weft_executor_create");
    FIND(p, submit_job, "weft_submit");
    FIND(p, await, "weft_await");
    FIND(p, destroy, "weft_executor_destroy");
    weft_executor *executor = create(&(weft_executor_options){.workers = test_workers()});
    TEST_EXPECT(executor != NULL);
    void *value = NULL;
    TEST_EXPECT(await(submit_job(executor, same, p), &value) == 0 && value == p);
    TEST_EXPECT(destroy(executor) == 0);
    test_latch_hit(p->used);
    test_latch_wait(p->closed, 1);
    return NULL;
}

static void test_a_thread_that_used_it_ends_after_it_was_closed(void **state)
{
    (void)state;
    plugin p = {
        .handle = dlopen(WEFT_LIBRARY, RTLD_NOW | RTLD_LOCAL), .used = test_latch_make(), .closed = test_latch_make()};
    pthread_t thread;
    assert_non_null(p.handle);
    assert_int_equal(pthread_create(&thread, NULL, use_and_end, &p), 0);
    assert_true(test_latch_wait(p.used, 1));
    assert_int_equal(dlclose(p.handle), 0);
    test_latch_hit(p.closed);
    assert_int_equal(pthread_join(thread, NULL), 0);
    void *again = dlopen(WEFT_LIBRARY, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(again);
    dlclose(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_thread_that_used_it_ends_after_it_was_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
