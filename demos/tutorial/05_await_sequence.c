/* Multiplies, then adds: two jobs, one awaited after the other, 2 s in all.
 *
 * The jobs say what they found. They also return it, and so it becomes the value of their future, but this main has no
 * use for it and passes NULL for the place to put it; 06_await_tasks.c takes the values up. */
#include <weft/weft.h>

#include <stdio.h>

struct pair {
    int first, second;
};

static void *mult(void *arg)
{
    const struct pair *pair = arg;

    puts("Calculating multiplication...");
    int code = weft_await(weft_sleep(NULL, WEFT_SECONDS(1), NULL), NULL);
    if (code != 0) {
        return weft_fail(-code);
    }
    intptr_t product = (intptr_t)pair->first * pair->second;
    printf("%d multiplied by %d is %jd\n", pair->first, pair->second, (intmax_t)product);
    return (void *)product;
}

static void *add(void *arg)
{
    const struct pair *pair = arg;

    puts("Calculating sum...");
    int code = weft_await(weft_sleep(NULL, WEFT_SECONDS(1), NULL), NULL);
    if (code != 0) {
        return weft_fail(-code);
    }
    intptr_t sum = (intptr_t)pair->first + pair->second;
    printf("Sum of %d and %d is %jd\n", pair->first, pair->second, (intmax_t)sum);
    return (void *)sum;
}

int main(void)
{
    struct pair pair = {10, 20};
    setvbuf(stdout, NULL, _IOLBF, 0);

    int code = weft_await(weft_submit(NULL, mult, &pair), NULL);
    if (code == 0) {
        code = weft_await(weft_submit(NULL, add, &pair), NULL);
    }
    if (code != 0) {
        fprintf(stderr, "await_sequence: %s\n", weft_strerror(code));
        return 1;
    }
    return 0;
}
