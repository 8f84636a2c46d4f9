/* Says hello, waits a second, says hello again: the smallest program with a job that waits.
 *
 * A job is an ordinary function `void *fn(void *)`. weft_submit() hands it to a pool of threads and returns at once, with
 * a future: the handle on what will come of it. weft_await() waits for that and gives the future back. NULL as the pool
 * means the default one, made at its first use with a thread for each CPU; nobody has to destroy it. */
#include <weft/weft.h>

#include <stdio.h>

static void *hello(void *arg)
{
    puts("Hello world!");
    /* weft_sleep() is a future too, one that only time resolves. Awaiting it holds nothing up: as long as this job
     * waits, another thread stands in for its worker. */
    int code = weft_await(weft_sleep(NULL, WEFT_SECONDS(1), NULL), NULL);
    if (code != 0) {
        return weft_fail(-code); /* weft's codes are negative, those that a job fails with are positive */
    }
    puts("Hello again!");
    return arg;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* each line when it is said, into a pipe as well */

    /* No check between the two calls: where weft_submit() fails, weft_await() of its NULL says why. */
    int code = weft_await(weft_submit(NULL, hello, NULL), NULL);
    if (code != 0) {
        fprintf(stderr, "hello: %s\n", weft_strerror(code));
        return 1;
    }
    return 0;
}
