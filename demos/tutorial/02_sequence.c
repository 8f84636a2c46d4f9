/* Two sayings, one awaited after the other: 1 s and then 2 s, so 3 s in all.
 *
 * A future that is awaited as soon as it was made is no more than a function call on another thread. 03_tasks.c changes
 * the order of two lines and saves a second. */
#include <weft/weft.h>

#include <stdio.h>
#include <time.h>

struct saying {
    int64_t delay; /* ns, as every time in weft */
    const char *words;
};

static void *say_something(void *arg)
{
    const struct saying *saying = arg;

    printf("Before %s\n", saying->words);
    int code = weft_await(weft_sleep(NULL, saying->delay, NULL), NULL);
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
    /* The jobs read these; they may stand on main's stack because main stays until both jobs are done. */
    struct saying first = {WEFT_SECONDS(1), "Task 1"};
    struct saying second = {WEFT_SECONDS(2), "Task 2"};
    setvbuf(stdout, NULL, _IOLBF, 0);

    print_time("Started");
    int code = weft_await(weft_submit(NULL, say_something, &first), NULL);
    if (code == 0) {
        code = weft_await(weft_submit(NULL, say_something, &second), NULL);
    }
    if (code != 0) {
        fprintf(stderr, "sequence: %s\n", weft_strerror(code));
        return 1;
    }
    print_time("Finished");
    return 0;
}
