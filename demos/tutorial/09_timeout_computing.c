/* Waits at most 1 s for an operation that computes for 400 s.
 *
 * 08_timeout.c with a job that does not wait but works, which is what C programs have pools for. No thread can be stopped
 * safely from outside, so a long computation looks for itself, every so often, whether it is still wanted. The deadline
 * does not depend on that look: the waiter hears of it at 1 s even if every worker is busy. */
#include <weft/weft.h>

#include <errno.h>
#include <stdio.h>

/* A few milliseconds of work: the steps that the numbers from `first` on take to reach 1 by Collatz's rule. */
static uint64_t some_steps(uint64_t first)
{
    uint64_t steps = 0;

    for (uint64_t start = first; start < first + 10000; start++) {
        for (uint64_t n = start; n > 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1) {
            steps++;
        }
    }
    return steps;
}

static void *slow_operation(void *arg)
{
    uint64_t *steps = arg;
    int64_t end = weft_now() + WEFT_SECONDS(400);

    for (uint64_t first = 1; weft_now() < end; first += 10000) {
        if (weft_cancelled()) {
            return weft_fail(-ECANCELED);
        }
        *steps += some_steps(first);
    }
    puts("Completed.");
    return NULL;
}

int main(void)
{
    uint64_t steps = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);

    weft_future *slow = weft_submit(NULL, slow_operation, &steps);
    weft_future *timed = weft_wait_for(slow, WEFT_SECONDS(1), 0);
    int code = weft_await(timed, NULL);
    if (code == -ETIMEDOUT) {
        puts("Timed out!");
    } else if (code != 0) {
        fprintf(stderr, "timeout_computing: %s\n", weft_strerror(code));
        weft_cancel(slow);
    }
    weft_await(slow, NULL); /* the job uses `steps` until it returns, at its next look */
    return code == -ETIMEDOUT ? 0 : 1;
}
