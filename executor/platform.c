/* platform.c: the system calls, and nothing that decides anything.
 *
 * Discipline. Every function may be called on any thread, keeps no state of its own, takes no lock and leaves errno as
 * it found it: code of a user's job may be anywhere above in the stack, and a wake that he did not ask for must not
 * change what he reads there.
 *
 * Sleeping. A futex compares the word and goes to sleep in one step under the kernel's lock of that address, so a waker
 * that changes the word first and calls weft__futex_wake second is never missed. The kernel's own copy of the word
 * orders nothing in C: after a wait the caller reads the word again with the order that it needs. FUTEX_WAIT_BITSET is
 * used rather than FUTEX_WAIT because it takes an absolute time: a wait that a signal broke is begun again with the
 * same deadline, and the time that is left needs no arithmetic. Signals end a wait with 0, as any other reason to look
 * again.
 *
 * Threads. The new thread inherits the mask that its creator holds at that moment, so the mask is narrowed around
 * pthread_create and put back at once; to narrow it in the new thread would leave a gap in which a handler of the host
 * program could run there. Signals that report a fault of the running instruction stay open, because a blocked one
 * kills the process without a word to the handler that the host has installed. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS INT64_C(1000000000)

/* What the 64-bit form of the system call reads, whatever time_t is in this C library. */
struct kernel_time {
    int64_t seconds;
    int64_t nanoseconds;
};

/* 32-bit architectures have a second system call for 64-bit time; elsewhere the first one takes it already. */
#ifdef SYS_futex_time64
#define FUTEX_CALL SYS_futex_time64
#else
#define FUTEX_CALL SYS_futex
#endif

int weft__futex_wait(const _Atomic(uint32_t) *word, uint32_t expected, int64_t deadline)
{
    int caller_errno = errno;
    int64_t from_zero = deadline < 0 ? 0 : deadline; /* the kernel refuses a negative time: it is just as past as 0 */
    struct kernel_time until = {from_zero / NANOSECONDS, from_zero % NANOSECONDS};
    int code = 0;
    if (syscall(FUTEX_CALL, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                deadline == INT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY) != 0 &&
        errno == ETIMEDOUT)
        code = -ETIMEDOUT;
    errno = caller_errno;
    return code;
}

void weft__futex_wake(const _Atomic(uint32_t) *word, int n)
{
    /* EFAULT is no error here: the sleeper may have been woken by the change of the word alone, gone on, and given the
     * memory back before this call. A wake that meets another use of the same address is one more reason to look
     * again. */
    int caller_errno = errno;
    (void)syscall(FUTEX_CALL, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n, NULL, NULL, 0);
    errno = caller_errno;
}

int64_t weft__now(void)
{
    struct timespec now;
    /* Cannot fail for this clock and this pointer, and stays in user space where the kernel offers a vDSO. */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NANOSECONDS + (int64_t)now.tv_nsec;
}

int64_t weft__deadline(int64_t now, int64_t delay)
{
    if (delay <= 0)
        return now;
    return delay >= INT64_MAX - (now > 0 ? now : 0) ? INT64_MAX : now + delay;
}

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

/* Gives back what lies before and behind the aligned part of a mapping that was made too large on purpose. */
static char *trim(char *raw, size_t raw_size, size_t size, size_t alignment)
{
    char *aligned = raw + (round_up((uintptr_t)raw, alignment) - (uintptr_t)raw);
    size_t before = (size_t)(aligned - raw);
    size_t behind = raw_size - before - size;
    if (before > 0)
        (void)munmap(raw, before);
    if (behind > 0)
        (void)munmap(aligned + size, behind);
    return aligned;
}

void *weft__pages_map(size_t size, size_t alignment, bool huge)
{
    int caller_errno = errno;
    char *pages = NULL;
    size_t page = page_size();
    if (size == 0 || size > SIZE_MAX - page || round_up(size, page) > SIZE_MAX - alignment)
        return NULL;
    size = round_up(size, page);
    size_t raw_size = alignment > page ? size + alignment - page : size;
    void *raw = mmap(NULL, raw_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw != MAP_FAILED) {
        pages = raw_size > size ? trim(raw, raw_size, size, alignment) : raw;
        if (huge)
            (void)madvise(pages, size, MADV_HUGEPAGE); /* advice only: a kernel without huge pages says EINVAL */
    }
    errno = caller_errno;
    return pages;
}

void weft__pages_unmap(void *pages, size_t size)
{
    int caller_errno = errno;
    if (pages != NULL)
        (void)munmap(pages, round_up(size, page_size()));
    errno = caller_errno;
}

int weft__event_open(void)
{
    int caller_errno = errno;
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        event = errno == EMFILE || errno == ENFILE ? -errno : -ENOMEM;
    errno = caller_errno;
    return event;
}

/* The plain system call: the functions of the C library that bear these names end a thread that was asked to end by
 * pthread_cancel, whatever lock it holds. */
static void event_call(long number, int event, uint64_t *count)
{
    int caller_errno = errno;
    (void)syscall(number, event, count, sizeof *count);
    errno = caller_errno;
}

void weft__event_raise(int event)
{
    uint64_t one = 1;
    event_call(SYS_write, event, &one);
}

void weft__event_lower(int event)
{
    uint64_t count;
    event_call(SYS_read, event, &count);
}

void weft__event_close(int event)
{
    int caller_errno = errno;
    (void)syscall(SYS_close, event);
    errno = caller_errno;
}

int weft__file_create(const char *path)
{
    int caller_errno = errno, file;
    do
        file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    while (file < 0 && errno == EINTR); /* a file that is a pipe without a reader */
    int code = file < 0 ? -errno : file;
    errno = caller_errno;
    return code;
}

int weft__file_write(int file, const char *bytes, size_t n)
{
    int caller_errno = errno, code = 0;
    while (n > 0 && !code) {
        ssize_t written = write(file, bytes, n);
        if (written > 0) {
            bytes += written;
            n -= (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            code = written == 0 ? -EIO : -errno;
        }
    }
    errno = caller_errno;
    return code;
}

int weft__file_close(int file)
{
    int caller_errno = errno;
    int code = close(file) ? -errno : 0;
    errno = caller_errno;
    return code == -EINTR ? 0 : code; /* on Linux it is closed all the same */
}

static void block_asynchronous_signals(sigset_t *callers)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t mask;
    sigfillset(&mask);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&mask, faults[i]);
    (void)pthread_sigmask(SIG_SETMASK, &mask, callers);
}

/* 0, or an errno: a stack below the system's least is raised to it, since "as small as possible" is what was meant. */
static int set_stack_size(pthread_attr_t *attributes, size_t stack_size)
{
    long least_or_error = sysconf(_SC_THREAD_STACK_MIN);
    size_t least = least_or_error > 0 ? (size_t)least_or_error : (size_t)PTHREAD_STACK_MIN;
    size_t page = page_size();
    if (stack_size == 0)
        return 0;
    if (stack_size > SIZE_MAX - page)
        return EAGAIN;
    return pthread_attr_setstacksize(attributes, round_up(stack_size < least ? least : stack_size, page));
}

static int create_masked(pthread_t *id, const pthread_attr_t *attributes, void *(*body)(void *), void *arg)
{
    sigset_t callers;
    block_asynchronous_signals(&callers);
    int error = pthread_create(id, attributes, body, arg);
    (void)pthread_sigmask(SIG_SETMASK, &callers, NULL);
    return error;
}

/* The creator names the thread, so the name is there when weft__thread_start returns. A joinable thread keeps its id
 * until it is joined, so it does not matter if it has ended meanwhile. */
static void set_name(pthread_t id, const char *name)
{
    char cut[16];
    size_t length = strnlen(name, sizeof cut - 1);
    memcpy(cut, name, length);
    cut[length] = '\0';
    (void)pthread_setname_np(id, cut);
}

int weft__thread_start(pthread_t *id, size_t stack_size, const char *name, void *(*body)(void *), void *arg)
{
    int caller_errno = errno;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error == 0) {
        error = set_stack_size(&attributes, stack_size);
        if (error == 0)
            error = create_masked(id, &attributes, body, arg);
        (void)pthread_attr_destroy(&attributes);
    }
    if (error == 0)
        set_name(*id, name);
    errno = caller_errno;
    return error == 0 ? 0 : -EAGAIN;
}

void weft__thread_exact(void)
{
    int caller_errno = errno;
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    errno = caller_errno;
}
