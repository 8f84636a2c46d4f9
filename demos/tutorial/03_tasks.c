/* The same two sayings as two tasks that wait at the same time: 2 s in all.
 *
 * Both jobs are submitted before the first is awaited; that is all that concurrency takes.
 *
 * The pool is one of our own, with a single worker, for two reasons. It fixes the order of the first two lines: one worker
 * starts jobs in the order in which they were submitted, where two workers would race to the terminal. And it shows that
 * a job that waits does not hold its worker up: the second saying begins while the first one sleeps. */
#include <weft/weft.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct saying {
    int64_t delay;
    const char *words;
};

static void *say_something(void *arg)
{
    const struct saying *saying = arg;

    printf("Before %s\n", saying->words);
    /* The pool that runs this job also keeps the time for it. */
    int code = weft_await(weft_sleep(weft_executor_current(), saying->delay, NULL), NULL);
    if (code != 0) {
        return weft_fail(-code);
    }
    printf("After %s\n", saying->words);
    return NULL;
}

static void print_time(const char *what)
{
    time_t now = time(NULL);
    char text[16];

    strftime(text, sizeof text, "%X", localtime(&now));
    printf("%s: %s\n", what, text);
}

int main(void)
{
    struct saying first = {WEFT_SECONDS(1), "Task 1"};
    struct saying second = {WEFT_SECONDS(2), "Task 2"};
    setvbuf(stdout, NULL, _IOLBF, 0);

    weft_executor *pool = weft_executor_create(&(weft_executor_options){.workers = 1});
    if (pool == NULL) {
        fprintf(stderr, "tasks: %s\n", strerror(errno));
        return 1;
    }
    print_time("Started");
    weft_future *task1 = weft_submit(pool, say_something, &first);
    weft_future *task2 = weft_submit(pool, say_something, &second);
    int code1 = weft_await(task1, NULL);
    int code2 = weft_await(task2, NULL); /* also if the first went wrong: its job still reads `second` */
    print_time("Finished");
    weft_executor_destroy(pool);

    if (code1 != 0 || code2 != 0) {
        fprintf(stderr, "tasks: %s\n", weft_strerror(code1 != 0 ? code1 : code2));
        return 1;
    }
    return 0;
}
