/* base.c: the calls of weft/base.h: the time, the version, and what the codes mean.
 *
 * Discipline. Any thread, no state, no lock, no allocation. Texts are static, so a caller may keep the pointer.
 *
 * Negative codes mean in weft something narrower than in errno.h (-EDEADLK: this wait could never end), so those that
 * weft makes itself have a text here; any other comes from a system call and has the C library's. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "platform.h"

#include <weft/base.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#ifdef WEFT_TEST_POINTS
/* Programs that bring no point of their own (demos, foreign tests) run a test build as if there were none. */
__attribute__((weak)) void weft__point(void)
{
}
#endif

int64_t weft_now(void)
{
    return weft__now();
}

unsigned weft_version(void)
{
    return WEFT_VERSION_MAJOR * 10000u + WEFT_VERSION_MINOR * 100u + WEFT_VERSION_PATCH;
}

static const struct {
    int error;
    const char *text;
} texts[] = {
    {EAGAIN, "out of threads or room for now: no thread, no spare left for a wait, or too many jobs pending"},
    {EALREADY, "too late: it is already done, expired, removed or closed"},
    {EBUSY, "in use: the value is lent to another future, the group has not been joined, or a trace is under way"},
    {ECANCELED, "cancelled"},
    {EDEADLK, "refused: this wait could never end"},
    {EINPROGRESS, "not done yet"},
    {EINTR, "interrupted: the waiting job has been asked to stop"},
    {EINVAL, "invalid argument"},
    {ELOOP, "the future would have to wait for itself"},
    {ENODATA, "the value has been taken, or nothing is outstanding"},
    {ENOMEM, "out of memory"},
    {ENOTRECOVERABLE, "the executor is broken: a worker could not be started"},
    {EOVERFLOW, "waits are nested too deep, or too many futures derive from one"},
    {EOWNERDEAD, "abandoned: the job ended its thread, or the promise was destroyed unresolved"},
    {ESHUTDOWN, "the executor is shut down"},
    {ESTALE, "inherited through fork: not usable in the child"},
    {ETIMEDOUT, "timed out"},
};

static const char *system_text(int error)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
    const char *text = strerrordesc_np(error);
    if (text != NULL)
        return text;
#else
    (void)error;
#endif
    return "unknown error";
}

const char *weft_strerror(int code)
{
    if (code == 0)
        return "success";
    if (code > 0)
        return "the job's own code";
    if (code == INT_MIN) /* has no positive counterpart */
        return "unknown error";
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].error == -code)
            return texts[i].text;
    }
    return system_text(-code);
}
