/* The frame of the example in weft/queue.h: an event loop that watches the descriptor, and the example as what it does
 * when the descriptor is readable. Each future must come once, with its tag and its value. */
#include <weft/weft.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>

enum { JOBS = 100 };

static int arguments[JOBS], times[JOBS]; /* times each has come */
static int finished, wrong;

static void *work(void *argument)
{
    return argument;
}

static void finish(void *tag, weft_future *future)
{
    void *value = NULL;
    wrong += weft_await(future, &value) != 0 || value != tag;
    times[(int *)tag - arguments]++;
    finished++;
}

static void readable(weft_queue *queue)
{
    weft_future *future;
    void *tag;
#include "example.h"
}

int main(void)
{
    weft_queue *queue = weft_queue_create(NULL);
    struct pollfd loop = {.fd = weft_queue_fd(queue), .events = POLLIN};
    for (int i = 0; i < JOBS; i++) {
        weft_future *future = weft_submit(NULL, work, &arguments[i]);
        wrong += weft_queue_add(queue, future, &arguments[i]) != 0;
        weft_future_release(future);
    }
    while (finished < JOBS && !wrong)
        if (poll(&loop, 1, -1) == 1) {
            readable(queue);
            wrong += errno != (finished == JOBS ? ENODATA : ETIMEDOUT);
        }
    weft_queue_destroy(queue);
    for (int i = 0; i < JOBS; i++)
        wrong += times[i] != 1;
    if (wrong)
        printf("%d of %d came, %d wrong\n", finished, JOBS, wrong);
    return wrong > 0;
}
