/* Two greetings gathered into one future, and how long they took together: 1.00 s.
 *
 * weft_gather() makes one future of many. Its mode says when that is done and what a failure means; WEFT_FIRST_ERROR is
 * what asyncio.gather does unless told otherwise: done when all are, or as soon as one of them fails. */
#include <weft/weft.h>

#include <stdio.h>

static void *greetings(void *arg)
{
    puts("Welcome");
    int code = weft_await(weft_sleep(NULL, WEFT_SECONDS(1), NULL), NULL);
    if (code != 0) {
        return weft_fail(-code);
    }
    puts("Goodbye");
    return arg;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);

    int64_t start = weft_now();
    weft_future *tasks[] = {weft_submit(NULL, greetings, NULL), weft_submit(NULL, greetings, NULL)};
    int code = weft_await(weft_gather(NULL, tasks, 2, WEFT_FIRST_ERROR), NULL);
    double elapsed = (double)(weft_now() - start) / 1e9;
    /* The gather held references of its own; these two are still ours to give back. */
    weft_future_release(tasks[0]);
    weft_future_release(tasks[1]);

    if (code != 0) {
        fprintf(stderr, "gather: %s\n", weft_strerror(code));
        return 1;
    }
    printf("__main__ executed in %0.2f seconds.\n", elapsed); /* Python's name for the program that was started */
    return 0;
}
