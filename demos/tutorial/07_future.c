/* A future with no job behind it, asked what has become of it before and after it is cancelled.
 *
 * A promise is the writing end of such a future: the program resolves or rejects it when it likes. It is the bridge from
 * whatever else a program waits for (a signal, a reply, a button) to everything that takes a future. */
#include <weft/weft.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void print_bool(bool value)
{
    puts(value ? "true" : "false");
}

int main(void)
{
    weft_promise *promise = weft_promise_create(NULL);
    if (promise == NULL) {
        fprintf(stderr, "future: %s\n", strerror(errno));
        return 1;
    }
    weft_future *future = weft_promise_future(promise);
    print_bool(weft_future_done(future));
    print_bool(weft_future_cancelled(future));
    weft_cancel(future); /* nothing runs behind it, so it is cancelled when this returns */
    print_bool(weft_future_done(future));
    print_bool(weft_future_cancelled(future));

    weft_future_release(future);
    weft_promise_destroy(promise);
    return 0;
}
