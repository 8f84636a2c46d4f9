/* A program as those write it who use weft: every public header, a few calls of each kind, an answer. It is built in
 * every way in which weft can be had, by tests/consumer/run. */
#include <weft/fork_inline.h>
#include <weft/testing.h>
#include <weft/weft.h>

#include <stdio.h>

static void *square(void *number)
{
    long *n = number;
    *n *= *n;
    return number;
}

static void *sum_of_squares(void *numbers)
{
    long *n = numbers;
    weft_task task;
    weft_fork_inline(&task, square, &n[1]);
    square(&n[0]);
    weft_join_inline(&task, square, &n[1]);
    n[0] += n[1];
    return NULL;
}

int main(void)
{
    if (weft_version() != WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH) {
        fprintf(stderr, "the headers are not those of the library, %u\n", weft_version());
        return 1;
    }
    long a = 3, b = 4, both[] = {5, 6};
    weft_future *futures[] = {weft_submit(NULL, square, &a), weft_submit(NULL, square, &b)};
    weft_future *all = weft_wait_for(weft_gather(NULL, futures, 2, WEFT_STRICT), WEFT_SECONDS(60), 0);
    int error = weft_await(all, NULL);
    weft_future_release(futures[0]);
    weft_future_release(futures[1]);
    if (!error)
        error = weft_run(NULL, sum_of_squares, both, NULL);
    weft_counters counters;
    weft_counters_read(&counters);
    printf("%ld, %ld and %ld: %s\n", a, b, both[0], weft_strerror(error));
    return error || a != 9 || b != 16 || both[0] != 61 || counters.threads == 0;
}
