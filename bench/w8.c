/* w8.c: gather.
 *
 *     bench_w8_weft [workers [children]]
 *
 * Of children that are done already it is the price of a child in the gather alone. With the submits it is compared with
 * a loop that waits for the same jobs one by one, newest first, so that it sleeps only about once. */
#include "measure.h"

#include <weft/weft.h>

static weft_executor *executor;
static weft_future **futures;

static void *empty(void *arg)
{
    return arg;
}

static void submit_all(size_t n)
{
    for (size_t i = 0; i < n; i++)
        futures[i] = weft_submit(executor, empty, NULL);
}

static void release_all(size_t n)
{
    for (size_t i = 0; i < n; i++)
        weft_future_release(futures[i]);
}

static void wait_newest_first(size_t n)
{
    while (n-- > 0)
        bench_check(weft_future_wait(futures[n], WEFT_FOREVER) == 0, "weft_future_wait");
}

/* Twice: the first gather's own memory is fresh, the second finds it touched. */
static void done_children(size_t n, const char *figure, const char *release_figure)
{
    int64_t start = bench_now();
    weft_future *gather = weft_gather(executor, futures, n, WEFT_FIRST_ERROR);
    bench_check(weft_future_wait(gather, WEFT_FOREVER) == 0, "weft_gather");
    int64_t done = bench_now();
    weft_future_release(gather);
    int64_t released = bench_now();
    bench_report(figure, "ns", bench_share(start, done, n));
    bench_report(release_figure, "ns", bench_share(done, released, n));
}

static void submit_and_gather(size_t n)
{
    int64_t start = bench_now();
    submit_all(n);
    weft_future *gather = weft_gather(executor, futures, n, WEFT_FIRST_ERROR);
    bench_check(weft_future_wait(gather, WEFT_FOREVER) == 0, "weft_gather");
    bench_report("submit and gather, a child", "ns", bench_share(start, bench_now(), n));
    weft_future_release(gather);
}

static void submit_and_wait(size_t n)
{
    int64_t start = bench_now();
    submit_all(n);
    wait_newest_first(n);
    bench_report("submit and wait in a loop, a job", "ns", bench_share(start, bench_now(), n));
}

int main(int argc, char **argv)
{
    unsigned workers = (unsigned)bench_argument(argc, argv, 1, 2);
    size_t n = bench_argument(argc, argv, 2, 1000000);
    executor = weft_executor_create(&(weft_executor_options){.workers = workers});
    bench_check(executor != NULL, "weft_executor_create");
    futures = bench_touched(n * sizeof *futures);
    submit_all(n);
    wait_newest_first(n);
    done_children(n, "gather, a child that is done", "release of the gather, a child");
    done_children(n, "gather again, a child that is done", "release of it, a child");
    release_all(n); /* from here on the memory is there for all that follow */
    submit_and_wait(n);
    release_all(n);
    submit_and_gather(n);
    release_all(n);
    bench_check(weft_executor_destroy(executor) == 0, "weft_executor_destroy");
    return 0;
}
