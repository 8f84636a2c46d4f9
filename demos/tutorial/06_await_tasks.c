/* Multiplies and adds at the same time: two jobs as tasks, 1 s in all.
 *
 * What a job returns is the value of its future, and weft_await() hands it over. A value is a void *: here the number
 * itself travels in it, a larger result would travel as a pointer to memory that changes its owner on the way.
 *
 * Both jobs end in the same instant, so which of them would print first is anybody's guess. Where the order of two lines
 * matters it is asked for: the jobs return their results, and main, which awaits one after the other, prints them. (The
 * order of the first two lines comes from the single worker, as in 03_tasks.c.) */
#include <weft/weft.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct pair {
    int first, second;
};

static void *mult(void *arg)
{
    const struct pair *pair = arg;

    puts("Calculating multiplication...");
    int code = weft_await(weft_sleep(weft_executor_current(), WEFT_SECONDS(1), NULL), NULL);
    if (code != 0) {
        return weft_fail(-code);
    }
    return (void *)((intptr_t)pair->first * pair->second);
}

static void *add(void *arg)
{
    const struct pair *pair = arg;

    puts("Calculating sum...");
    int code = weft_await(weft_sleep(weft_executor_current(), WEFT_SECONDS(1), NULL), NULL);
    if (code != 0) {
        return weft_fail(-code);
    }
    return (void *)((intptr_t)pair->first + pair->second);
}

int main(void)
{
    struct pair pair = {10, 20};
    void *product = NULL, *sum = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0);

    weft_executor *pool = weft_executor_create(&(weft_executor_options){.workers = 1});
    if (pool == NULL) {
        fprintf(stderr, "await_tasks: %s\n", strerror(errno));
        return 1;
    }
    weft_future *mult_task = weft_submit(pool, mult, &pair);
    weft_future *add_task = weft_submit(pool, add, &pair);

    int code = weft_await(mult_task, &product);
    if (code == 0) {
        printf("%d multiplied by %d is %jd\n", pair.first, pair.second, (intmax_t)(intptr_t)product);
    }
    int add_code = weft_await(add_task, &sum);
    if (add_code == 0) {
        printf("Sum of %d and %d is %jd\n", pair.first, pair.second, (intmax_t)(intptr_t)sum);
    }
    weft_executor_destroy(pool);

    if (code != 0 || add_code != 0) {
        fprintf(stderr, "await_tasks: %s\n", weft_strerror(code != 0 ? code : add_code));
        return 1;
    }
    return 0;
}
