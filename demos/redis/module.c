/* module.c: commands that compute, for a Redis 7 server that goes on serving meanwhile.
 *
 *     loadmodule weft.so [workers N] [max-pending N] [timeout MILLISECONDS]
 *
 *     WEFT.PRIMES n [TIMEOUT ms]                                        how many primes there are up to n
 *     WEFT.PBKDF2 password salt iterations [length] [TIMEOUT ms]        a key, in hexadecimal digits
 *     WEFT.STATS                                                        counters; INFO shows them too
 *     WEFT.DRAIN                                                        refuses new work, OK when all of it is answered
 *
 * This file reads arguments, loads and unloads; request.c is what happens to a command, api.c the way to the server.
 *
 * A server that forks (BGSAVE, a rewrite of its log) needs nothing of this module in the child: no command runs there,
 * and weft's threads are not there. When the server shuts down, it reads and writes nothing more for its clients; so
 * what is still computed then is asked to stop, and the pool is ended. Who wants every answer sends WEFT.DRAIN first. */
#include "request.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum { LONGEST_TIMEOUT = 24 * 3600 * 1000, MOST_WORKERS = 512, MOST_PENDING = 1000000 };
static const int64_t patience = WEFT_SECONDS(5); /* with jobs that are to stop when the server does */

/* Written when the module is loaded and unloaded; main thread. */
static struct {
    weft_executor *pool; /* NULL: the server is shutting down */
    long long timeout;   /* of commands that name none, ms */
    long long workers, max_pending;
} module;

__attribute__((visibility("default"))) int RedisModule_OnLoad(redis_context *context, redis_string **arguments, int n);
__attribute__((visibility("default"))) int RedisModule_OnUnload(redis_context *context);

/* ---- arguments ---- */

static bool take_number(const redis_string *argument, long long low, long long high, long long *value)
{
    long long number;

    if (redis_string_to_integer(argument, &number) != REDIS_OK || number < low || number > high) {
        return false;
    }
    *value = number;
    return true;
}

static bool is_word(const redis_string *argument, const char *word)
{
    size_t length;
    const char *bytes = redis_string_bytes(argument, &length);

    return length == strlen(word) && strncasecmp(bytes, word, length) == 0;
}

static bool take_bytes(const redis_string *argument, unsigned char *bytes, size_t *length)
{
    size_t given;
    const char *from = redis_string_bytes(argument, &given);

    if (given > SECRET_MOST) {
        return false;
    }
    memcpy(bytes, from, given);
    *length = given;
    return true;
}

/* Takes `TIMEOUT ms` off the end, if it is there. NULL, or what is wrong. */
static const char *take_timeout(redis_string **arguments, int *n, long long *timeout)
{
    *timeout = module.timeout;
    if (*n < 3 || !is_word(arguments[*n - 2], "TIMEOUT")) {
        return NULL;
    }
    if (!take_number(arguments[*n - 1], 1, LONGEST_TIMEOUT, timeout)) {
        return "ERR TIMEOUT must be a number of milliseconds from 1 to 86400000";
    }
    *n -= 2;
    return NULL;
}

/* NULL, or why this client cannot wait or nobody can now. */
static const char *refusal(redis_context *context)
{
    if ((redis_context_flags(context) & (REDIS_IN_SCRIPT | REDIS_IN_TRANSACTION | REDIS_MUST_NOT_BLOCK)) != 0) {
        return "ERR weft: not in a script or transaction, where nothing can wait";
    }
    return requests_draining() || module.pool == NULL ? "DRAINING weft: no new work is taken" : NULL;
}

/* ---- commands ---- */

static const char *fill_primes(struct request *request, redis_string **arguments)
{
    long long last;

    if (!take_number(arguments[1], 0, PRIMES_MOST, &last)) {
        return "ERR n must be a number from 0 to 1000000000000";
    }
    request->last = last;
    return NULL;
}

static const char *fill_derivation(struct request *request, redis_string **arguments, int n)
{
    struct derivation *d = &request->derivation;
    long long iterations, length = KEY_LENGTH;

    if (!take_bytes(arguments[1], d->password, &d->password_length) ||
        !take_bytes(arguments[2], d->salt, &d->salt_length)) {
        return "ERR password and salt may have at most 1024 bytes";
    }
    if (!take_number(arguments[3], 1, ITERATIONS_MOST, &iterations)) {
        return "ERR iterations must be a number from 1 to 1000000000";
    }
    if (n == 5 && !take_number(arguments[4], 1, KEY_MOST, &length)) {
        return "ERR length must be a number of bytes from 1 to 256";
    }
    d->iterations = iterations;
    d->key_length = (size_t)length;
    return NULL;
}

static int run_command(redis_context *context, enum request_kind kind, redis_string **arguments, int n)
{
    long long timeout;
    const char *error = take_timeout(arguments, &n, &timeout);

    if (error != NULL) {
        return redis_reply_error(context, error);
    }
    if (kind == REQUEST_PRIMES ? n != 2 : n != 4 && n != 5) {
        return redis_wrong_arity(context);
    }
    error = refusal(context);
    if (error != NULL) {
        return redis_reply_error(context, error);
    }
    struct request *request = request_new(kind);
    if (request == NULL) {
        return redis_reply_error(context, "OOM weft: no memory");
    }
    error = kind == REQUEST_PRIMES ? fill_primes(request, arguments) : fill_derivation(request, arguments, n);
    if (error != NULL) {
        request_free(request);
        return redis_reply_error(context, error);
    }
    request_start(module.pool, context, request, timeout);
    return REDIS_OK;
}

static int primes(redis_context *context, redis_string **arguments, int n)
{
    return run_command(context, REQUEST_PRIMES, arguments, n);
}

static int derive(redis_context *context, redis_string **arguments, int n)
{
    return run_command(context, REQUEST_DERIVE, arguments, n);
}

static int drain(redis_context *context, redis_string **arguments, int n)
{
    (void)arguments;
    if (n != 1) {
        return redis_wrong_arity(context);
    }
    if ((redis_context_flags(context) & (REDIS_IN_SCRIPT | REDIS_IN_TRANSACTION | REDIS_MUST_NOT_BLOCK)) != 0) {
        return redis_reply_error(context, "ERR weft: not in a script or transaction, where nothing can wait");
    }
    struct request *request = request_new(REQUEST_DRAIN);
    if (request == NULL) {
        return redis_reply_error(context, "OOM weft: no memory");
    }
    request_drain(context, request);
    return REDIS_OK;
}

/* ---- counters ---- */

struct counter {
    const char *name;
    unsigned long long value;
};

enum { COUNTERS = 18 };

static void read_counters(struct counter counters[COUNTERS])
{
    const struct request_counts *requests = requests_counts();
    weft_stats jobs = {0};

    if (module.pool != NULL) {
        weft_executor_stats(module.pool, &jobs);
    }
    const struct counter read[COUNTERS] = {
        {"commands_accepted", requests->accepted},
        {"commands_answered", requests->answered},
        {"commands_timed_out", requests->timed_out},
        {"commands_left", requests->left},
        {"commands_refused", requests->refused},
        {"commands_outstanding", requests->outstanding},
        {"workers", module.pool != NULL ? weft_executor_workers(module.pool) : 0},
        {"jobs_submitted", jobs.submitted},
        {"jobs_refused", jobs.refused},
        {"jobs_succeeded", jobs.succeeded},
        {"jobs_failed", jobs.failed},
        {"jobs_cancelled", jobs.cancelled},
        {"jobs_queued", jobs.queued},
        {"jobs_running", jobs.running},
        {"jobs_stolen", jobs.stolen},
        {"worker_parks", jobs.parks},
        {"worker_wakes", jobs.wakes},
        {"worker_busy_ns", jobs.busy_ns},
    };
    memcpy(counters, read, sizeof read);
}

static int stats(redis_context *context, redis_string **arguments, int n)
{
    struct counter counters[COUNTERS];

    (void)arguments;
    if (n != 1) {
        return redis_wrong_arity(context);
    }
    read_counters(counters);
    redis_reply_map(context, COUNTERS);
    for (int i = 0; i < COUNTERS; i++) {
        redis_reply_bytes(context, counters[i].name, strlen(counters[i].name));
        redis_reply_integer(context, (long long)counters[i].value);
    }
    return REDIS_OK;
}

static void fill_info(redis_info *info, int for_crash_report)
{
    struct counter counters[COUNTERS];

    if (for_crash_report || redis_info_section(info, "") != REDIS_OK) {
        return;
    }
    read_counters(counters);
    for (int i = 0; i < COUNTERS; i++) {
        redis_info_number(info, counters[i].name, counters[i].value);
    }
}

/* ---- beginning and end ---- */

/* From here on nothing is computed; the server answers nobody any more. */
static void end(redis_context *context, redis_event event, uint64_t part, void *data)
{
    (void)event;
    (void)part;
    (void)data;
    weft_executor *pool = module.pool;
    if (pool == NULL) {
        return;
    }
    unsigned long long outstanding = requests_counts()->outstanding;
    module.pool = NULL;
    if (weft_executor_shutdown(pool, WEFT_CANCEL_ALL, patience) != 0) {
        redis_log(context, "warning", "weft: some jobs do not stop; their threads are left to the end of the process");
        return;
    }
    weft_executor_destroy(pool);
    redis_log(context, "notice", "weft: pool ended, %llu commands were not answered", outstanding);
}

/* Pairs of a name and a number. NULL, or the argument that is wrong. */
static const redis_string *read_options(redis_string **arguments, int n)
{
    const struct {
        const char *name;
        long long most;
        long long *value;
    } options[] = {{"workers", MOST_WORKERS, &module.workers},
                   {"max-pending", MOST_PENDING, &module.max_pending},
                   {"timeout", LONGEST_TIMEOUT, &module.timeout}};
    const int kinds = sizeof options / sizeof options[0];

    for (int i = 0; i < n; i += 2) {
        int kind = 0;
        while (kind < kinds && !is_word(arguments[i], options[kind].name)) {
            kind++;
        }
        if (kind == kinds || i + 1 == n) {
            return arguments[i];
        }
        if (!take_number(arguments[i + 1], 1, options[kind].most, options[kind].value)) {
            return arguments[i + 1];
        }
    }
    return NULL;
}

static bool create_commands(redis_context *context)
{
    /* What has a password in it is shown in no log. */
    return redis_create_command(context, "weft.primes", primes, "readonly deny-script", 0, 0, 0) == REDIS_OK &&
           redis_create_command(context, "weft.pbkdf2", derive, "readonly deny-script no-monitor no-slowlog", 0, 0,
                                0) == REDIS_OK &&
           redis_create_command(context, "weft.drain", drain, "admin deny-script", 0, 0, 0) == REDIS_OK &&
           redis_create_command(context, "weft.stats", stats, "readonly fast", 0, 0, 0) == REDIS_OK &&
           redis_register_info(context, fill_info) == REDIS_OK &&
           redis_subscribe(context, (redis_event){REDIS_EVENT_SHUTDOWN, 1}, end) == REDIS_OK;
}

int RedisModule_OnLoad(redis_context *context, redis_string **arguments, int n)
{
    if (!redis_api_find(context, "weft", WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH)) {
        return REDIS_ERROR;
    }
    requests_reset();
    module.timeout = 30000;
    module.workers = 0;
    module.max_pending = 10000;
    const redis_string *wrong = read_options(arguments, n);
    if (wrong != NULL) {
        redis_log(context, "warning", "weft: '%s': wanted are workers 1 to %d, max-pending 1 to %d, timeout 1 to %d ms",
                  redis_string_bytes(wrong, &(size_t){0}), MOST_WORKERS, MOST_PENDING, LONGEST_TIMEOUT);
        return REDIS_ERROR;
    }
    module.pool = weft_executor_create(&(weft_executor_options){
        .workers = (unsigned)module.workers, .max_pending = (size_t)module.max_pending, .name = "weft"});
    if (module.pool == NULL) {
        redis_log(context, "warning", "weft: cannot start the workers: %s", strerror(errno));
        return REDIS_ERROR;
    }
    if (!create_commands(context)) {
        weft_executor_destroy(module.pool);
        return REDIS_ERROR;
    }
    redis_log(context, "notice", "weft: %u workers", weft_executor_workers(module.pool));
    return REDIS_OK;
}

/* The server does not unload a module that has clients waiting, so nothing is left to be done. */
int RedisModule_OnUnload(redis_context *context)
{
    (void)context;
    if (module.pool != NULL) {
        weft_executor_destroy(module.pool);
        module.pool = NULL;
    }
    return REDIS_OK;
}
