/* Waits at most 1 s for an operation that sleeps for 400 s.
 *
 * weft_wait_for() answers "was it done in time?" and, at the deadline, asks the job to stop. Whether it has stopped is
 * another question, with another future to ask: the job's own. */
#include <weft/weft.h>

#include <errno.h>
#include <stdio.h>

static void *slow_operation(void *arg)
{
    /* A request to stop this job passes through weft_await() to what it awaits: the sleep ends early, cancelled. */
    int code = weft_await(weft_sleep(NULL, WEFT_SECONDS(400), NULL), NULL);
    if (code != 0) {
        return weft_fail(code == -ECANCELED ? code : -code);
    }
    puts("Completed.");
    return arg;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);

    weft_future *slow = weft_submit(NULL, slow_operation, NULL);
    weft_future *timed = weft_wait_for(slow, WEFT_SECONDS(1), 0);
    int code = weft_await(timed, NULL);
    if (code == -ETIMEDOUT) {
        puts("Timed out!");
    } else if (code != 0) {
        fprintf(stderr, "timeout: %s\n", weft_strerror(code));
        weft_cancel(slow);
    }
    weft_await(slow, NULL); /* done only when the function has returned: from here on nothing of it is running */
    return code == -ETIMEDOUT ? 0 : 1;
}
