/* weft/base.h: codes, time and names, which every other header uses.
 *
 * Codes. A call that can fail returns 0, or a negative errno that speaks about the call: -ETIMEDOUT, -EINVAL. A
 * positive code is always the one that the program's own job failed with. One int therefore carries both and never
 * mixes them. A call that makes an object returns the object, or NULL with errno set to the positive errno.
 *
 * Futures as values. Every call that takes a future takes NULL too. One that makes a future out of it returns NULL and
 * leaves errno as it is, so a chain of calls needs one check, where its result is read.
 *
 * References. A call that returns a future gives its caller one reference, to be released once.
 *
 * Time. int64_t nanoseconds of CLOCK_MONOTONIC, which setting the wall clock does not move. Arguments named timeout or
 * delay count from the call; zero and negative mean "already due"; WEFT_FOREVER, and anything that would end beyond the
 * range of int64_t, means "never". In an option struct 0 means that there is none.
 *
 * Threads. Which call may be made where:
 *
 *   call                                outside     in a job        on a coordinator      in a forked child, on what
 *                                                                   (callback, hook)      it inherited
 *   executor_create, _default           yes         yes             yes                   yes: of its own
 *   executor_shutdown                   blocks      -EDEADLK on its own, else as outside  -ESTALE
 *   executor_destroy                    blocks      -EDEADLK on its own, else as outside  -ESTALE
 *   executor_workers                    yes         yes             yes                   as it was at the fork
 *   executor_current, worker_index      yes         yes             yes                   NULL, -1
 *   executor_stats, worker_stats        yes         yes             yes                   -ESTALE
 *   submit*, execute, submit_many       yes         yes             yes                   ESTALE
 *   cancelled, fail, current_token      no use      yes             no use                of its own jobs only
 *   future_state, _done, _cancelled     yes         yes             yes                   as it was at the fork
 *   future_retain, _release             yes         yes             yes                   do nothing
 *   future_outcome                      yes         yes             yes                   -ESTALE
 *   future_wait, _get, _take, await,    block       block           only what needs no    -ESTALE
 *     weft_wait, queue_next                                         wait, else -EDEADLK
 *   cancel                              yes         yes             yes                   WEFT_CANCEL_TOO_LATE
 *   on_done, token_on_cancel            yes         yes             yes                   -ESTALE
 *   callback_remove                     blocks      blocks          blocks; -EALREADY     -ESTALE
 *                                                                   on its own
 *   promise_create, _future, _resolve,  yes         yes             yes                   ESTALE; future returns it,
 *     _reject, _destroy                                                                   destroy does nothing
 *   gather, any, wait_for, shield,      yes         yes             yes                   ESTALE
 *     sleep, then*, flatten, map*,
 *     as_completed, gather_outcomes
 *   fork, join                          run at      yes             run at once           run at once; join of what
 *                                       once                                              was forked before: see there
 *   run, parallel_for, parallel_reduce  block       block           -EDEADLK              -ESTALE
 *   queue_create, _add, _fd, _destroy   yes         yes             yes                   ESTALE; destroy does nothing
 *   token_create, _reschedule, _close   yes         yes             yes                   ESTALE
 *   token_retain, _release,             yes         yes             yes                   do nothing; as it was at
 *     _cancelled, _expired                                                                the fork
 *   token_cancel                        yes         yes             yes                   does nothing
 *   group_create, _submit*, _cancel,    yes         yes             yes                   ESTALE; cancel does nothing
 *     _errors, _destroy
 *   group_join                          blocks      blocks, but     if all are over,      -ESTALE
 *                                                   in a child:     else -EDEADLK
 *                                                   -EDEADLK
 *   trace_start, _stop                  block       block           -EDEADLK              -ESTALE
 *   now, strerror, version, the macros  yes         yes             yes                   yes
 *
 * In a signal handler only weft_token_cancel may be called, on any thread of the program. weft's own threads block
 * every signal that is not the fault of the running instruction, so handlers run on threads of the program. "Blocks" in
 * a job means that a spare thread stands in for its worker (weft/future.h).
 *
 * fork. A child inherits memory but only the thread that forked. There, every call that is given an executor, a future,
 * a promise, a token or anything else that the parent made answers -ESTALE (NULL and ESTALE in errno) at once, whether
 * a future is done or not, and changes nothing; it does so too if only one of several futures was inherited. What
 * returns no code does nothing, weft_cancel answers WEFT_CANCEL_TOO_LATE, and queries (state, done, workers) tell how
 * things stood. No function, callback, hook or destructor of the parent's objects is called. Executors that the child
 * makes, the default one included, work as ever, and counters count the child's own things alone. The parent notices
 * nothing. A child may itself fork. The thread may fork inside a job, a callback or a hook: in the child it is a thread
 * of the program's from then on, and when that function returns, the thread ends, as if by pthread_exit; if it is the
 * last one, so does the process, with status 0. Not to be called in a signal handler that may have interrupted a call
 * of weft.
 *
 * pthread_cancel. No call is a cancellation point; a function of the program's that one calls (a destructor, a hook)
 * must not be one either.
 *
 * Options. Structs of options start as {0}, which stands for every default. New members are only ever appended. */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C++" { /* so that the header may stand inside a program's own extern "C" */
#include <type_traits>
}

extern "C" {
#endif

#if defined(__GNUC__)
#define WEFT_API __attribute__((visibility("default")))
#else
#define WEFT_API
#endif

/* The version of this header; weft_version tells that of the library which is loaded. */
#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0

typedef struct weft_executor weft_executor;
typedef struct weft_future weft_future;
typedef struct weft_promise weft_promise;
typedef struct weft_token weft_token;
typedef struct weft_group weft_group;
typedef struct weft_queue weft_queue;
typedef struct weft_callback weft_callback;
typedef struct weft_clock weft_clock;

/* As a timeout or a delay: without end. As a point in time: never. */
#define WEFT_FOREVER INT64_MAX

/* x seconds, milliseconds, microseconds as int64_t nanoseconds, where x is any arithmetic value: WEFT_SECONDS(1.5),
 * WEFT_MILLISECONDS(retries * 20u). Integers of up to 64 bits are exact, floating-point values are rounded to the
 * nearest nanosecond, and what lies beyond the range becomes INT64_MAX (WEFT_FOREVER) or INT64_MIN. NaN becomes 0,
 * "already due": a mistake in arithmetic then shows at once and not as a program that hangs. A constant x makes a
 * constant initialiser. x may be evaluated more than once: no x++. In C++ the three macros need C++17; the rest of weft
 * does not. */
#define WEFT_SECONDS(x)      WEFT__SCALED(x, 1000000000)
#define WEFT_MILLISECONDS(x) WEFT__SCALED(x, 1000000)
#define WEFT_MICROSECONDS(x) WEFT__SCALED(x, 1000)

/* The time now on CLOCK_MONOTONIC, in nanoseconds. Any thread; does not block; cannot fail. Times of a manual clock
 * (weft/testing.h) have nothing to do with it. */
WEFT_API int64_t weft_now(void);

/* An English text for any code that a call of weft can return: negative codes of weft's own by what they mean there, 0
 * as success, positive codes as being the job's own, which weft cannot know. The string is static, never NULL, and the
 * program must not free it. Any thread; does not block. */
WEFT_API const char *weft_strerror(int code);

/* The version of the loaded library: major * 10000 + minor * 100 + patch. Any thread. */
WEFT_API unsigned weft_version(void);

#ifdef __cplusplus
}
#endif

/* How the time macros work; not for use by name. The unary plus promotes what is narrower than an int. A product is
 * formed only where it fits; in C this is asked by a quotient that is zero, because compilers warn about a comparison
 * that an int is too narrow to ever fail. */
#if defined(__cplusplus) && __cplusplus >= 201703L
extern "C++" {
template <typename number> constexpr int64_t weft__scaled(number x, int64_t unit)
{
    if constexpr (std::is_floating_point_v<number>) {
        using real = decltype(x * 1.0);
        const real scaled = static_cast<real>(x) * static_cast<real>(unit);
        if (!(scaled < static_cast<real>(INT64_MAX)))
            return scaled > 0 ? INT64_MAX : 0;
        if (scaled <= static_cast<real>(INT64_MIN))
            return INT64_MIN;
        const int64_t whole = static_cast<int64_t>(scaled);
        const real rest = scaled - static_cast<real>(whole);
        return whole + (rest >= static_cast<real>(0.5)) - (rest <= static_cast<real>(-0.5));
    } else if (x > 0) {
        const bool fits = static_cast<uint64_t>(x) <= static_cast<uint64_t>(INT64_MAX / unit);
        return fits ? static_cast<int64_t>(x) * unit : INT64_MAX;
    } else {
        return static_cast<int64_t>(x) >= INT64_MIN / unit ? static_cast<int64_t>(x) * unit : INT64_MIN;
    }
}
}
#define WEFT__SCALED(x, unit) weft__scaled(+(x), INT64_C(unit))
#elif !defined(__cplusplus)
#define WEFT__SCALED(x, unit)                                                                                          \
    _Generic(+(x), float                                                                                               \
             : WEFT__SCALED_REAL(double, x, unit), double                                                              \
             : WEFT__SCALED_REAL(double, x, unit), long double                                                         \
             : WEFT__SCALED_REAL(long double, x, unit), default                                                        \
             : WEFT__SCALED_WHOLE(x, unit))
#define WEFT__SCALED_WHOLE(x, unit)                                                                                    \
    ((x) > 0 ? ((uint64_t)(x) / (uint64_t)(INT64_MAX / INT64_C(unit) + 1) ? INT64_MAX : (int64_t)(x)*INT64_C(unit))    \
             : ((int64_t)(x) / (INT64_MIN / INT64_C(unit) - 1) ? INT64_MIN : (int64_t)(x)*INT64_C(unit)))
#define WEFT__SCALED_REAL(real, x, unit)                                                                               \
    ((real)(x) * (real)(unit) < (real)INT64_MAX                                                                        \
         ? ((real)(x) * (real)(unit) > (real)INT64_MIN ? WEFT__ROUNDED(real, (real)(x) * (real)(unit)) : INT64_MIN)    \
         : ((real)(x) > 0 ? INT64_MAX : INT64_C(0)))
#define WEFT__ROUNDED(real, scaled)                                                                                    \
    ((int64_t)(scaled) + ((scaled) - (real)(int64_t)(scaled) >= (real)0.5) -                                           \
     ((scaled) - (real)(int64_t)(scaled) <= -(real)0.5))
#endif

#endif
