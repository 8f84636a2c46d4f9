/* interrupt.c: one thread that sleeps in poll() until a signal or the end of the program's work.
 *
 * signalfd() turns the blocked signals into something that poll() can wait for, beside an eventfd that interrupt_close()
 * writes to. What the thread does on a signal it does in ordinary code, so it may use all of weft. */
#define _POSIX_C_SOURCE 200809L
#include "interrupt.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct interrupt {
    /* Written once by interrupt_open(), before the thread starts. */
    weft_promise *promise;
    weft_future *future;
    int signals; /* signalfd: read by the thread */
    int raised;  /* eventfd: written by the thread at the first signal, polled by jobs, read by nobody */
    int closing; /* eventfd: written by interrupt_close(), polled by the thread */
    pthread_t thread;
    /* Written by the thread, read by anyone. */
    _Atomic(int) signal;
};

static void ring(int descriptor)
{
    uint64_t one = 1;
    ssize_t written =
        write(descriptor, &one, sizeof one); /* fails only if the counter is full: then it rings already */
    (void)written;
}

static void handle_signal(struct interrupt *interrupt)
{
    struct signalfd_siginfo info;

    if (read(interrupt->signals, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    int number = (int)info.ssi_signo;
    /* Relaxed: this thread is the only one that writes it. */
    if (atomic_load_explicit(&interrupt->signal, memory_order_relaxed) != 0) {
        _exit(128 + number);
    }
    /* Relaxed: whoever sees the future done sees this too, and nobody else concludes anything from it. */
    atomic_store_explicit(&interrupt->signal, number, memory_order_relaxed);
    ring(interrupt->raised);
    weft_promise_resolve(interrupt->promise, NULL, NULL); /* -EALREADY if the pool is being shut down: nobody waits */
}

static void *watch(void *arg)
{
    struct interrupt *interrupt = arg;
    struct pollfd events[] = {{.fd = interrupt->closing, .events = POLLIN},
                              {.fd = interrupt->signals, .events = POLLIN}};

    for (;;) {
        if (poll(events, 2, -1) < 0) {
            continue; /* EINTR */
        }
        if (events[0].revents != 0) {
            return NULL;
        }
        handle_signal(interrupt);
    }
}

static void free_interrupt(struct interrupt *interrupt)
{
    const int descriptors[] = {interrupt->signals, interrupt->raised, interrupt->closing};

    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (descriptors[i] >= 0) {
            close(descriptors[i]);
        }
    }
    weft_future_release(interrupt->future);
    if (interrupt->promise != NULL) {
        weft_promise_destroy(interrupt->promise);
    }
    free(interrupt);
}

static sigset_t both_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

void interrupt_block(void)
{
    sigset_t set = both_signals();

    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

struct interrupt *interrupt_open(weft_executor *executor)
{
    struct interrupt *interrupt = calloc(1, sizeof *interrupt);
    if (interrupt == NULL) {
        return NULL;
    }
    int code = 0;
    sigset_t set = both_signals();
    interrupt->signals = signalfd(-1, &set, SFD_CLOEXEC);
    interrupt->raised = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    interrupt->closing = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    interrupt->promise = weft_promise_create(executor);
    if (interrupt->signals < 0 || interrupt->raised < 0 || interrupt->closing < 0 || interrupt->promise == NULL) {
        code = errno;
    } else {
        interrupt->future = weft_promise_future(interrupt->promise);
        code = pthread_create(&interrupt->thread, NULL, watch, interrupt);
    }
    if (code != 0) {
        free_interrupt(interrupt);
        errno = code;
        return NULL;
    }
    return interrupt;
}

void interrupt_close(struct interrupt *interrupt)
{
    if (interrupt == NULL) {
        return;
    }
    ring(interrupt->closing);
    pthread_join(interrupt->thread, NULL);
    free_interrupt(interrupt);
}

weft_future *interrupt_future(const struct interrupt *interrupt)
{
    return interrupt->future;
}

int interrupt_descriptor(const struct interrupt *interrupt)
{
    return interrupt->raised;
}

int interrupt_signal(const struct interrupt *interrupt)
{
    /* Relaxed: paired with the store in handle_signal(), which says why that is enough. */
    return atomic_load_explicit(&interrupt->signal, memory_order_relaxed);
}
