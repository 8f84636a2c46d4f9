/* request.c: from BlockClient to the one UnblockClient.
 *
 * The server knows a waiting client by its handle, and hands the disconnection nothing else; so requests are found by
 * handle, in a table. One client has one request at a time, and the number of clients is limited.
 *
 * The order of events. A client is handed back by the job, whatever became of it: then the server asks for the answer,
 * or finds that nobody is there, and in the end calls released(). If the client goes before that, the job is asked to
 * stop, and the request lives on until the job has let go of it. So a client is answered at most once, and a request
 * freed once.
 *
 * Why the server's own time limit is not used, the last argument of BlockClient: in Redis 7.0, if it is reached between
 * UnblockClient on a worker and the next turn of the server's loop, the client gets neither the answer nor the word that
 * the time is up. Of ten thousand commands with random limits it loses some dozen answers so. With the deadline in the
 * token the client is handed back once, whichever came first, and none is lost. */
#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096 };

/* All of it the main thread's. */
static struct {
    struct request *buckets[BUCKETS];
    struct request *drains; /* those that wait until nothing is outstanding */
    struct request_counts counts;
    bool draining;
} all;

static struct request **bucket_of(const redis_blocked *blocked)
{
    return &all.buckets[((uint64_t)(uintptr_t)blocked * UINT64_C(0x9e3779b97f4a7c15)) >> 52];
}

/* Where the request of that client hangs; what hangs there is NULL if there is none. */
static struct request **find(const redis_blocked *blocked)
{
    struct request **place = bucket_of(blocked);

    while (*place != NULL && (*place)->blocked != blocked) {
        place = &(*place)->next;
    }
    return place;
}

struct request *request_new(enum request_kind kind)
{
    struct request *request = calloc(1, sizeof *request);

    if (request != NULL) {
        request->kind = kind;
        request->code = ECANCELED;
    }
    return request;
}

/* What it held may have been a password. */
void request_free(struct request *request)
{
    explicit_bzero(request, sizeof *request);
    free(request);
}

/* ---- on a worker ---- */

static void *compute(void *arg)
{
    struct request *request = arg;

    request->code = request->kind == REQUEST_PRIMES ? count_primes(request->last, &request->count)
                                                    : derive_key(&request->derivation, request->key);
    return request->code != 0 ? weft_fail(request->code == ECANCELED ? -ECANCELED : request->code) : NULL;
}

/* Once for each accepted job, on a worker or on whatever thread cancels it. */
static void hand_back(void *arg)
{
    struct request *request = arg;

    redis_unblock(request->blocked, request);
}

/* ---- on the main thread ---- */

static int reply_failure(redis_context *context, struct request *request)
{
    if (request->code == ECANCELED && weft_token_expired(request->token)) {
        request->fate = REQUEST_TIMED_OUT;
        return redis_reply_error(context, "TIMEOUT weft: not done within its time limit");
    }
    switch (request->code) {
    case ENOMEM:
        return redis_reply_error(context, "OOM weft: no memory for this computation");
    case EAGAIN:
        return redis_reply_error(context, "OVERLOADED weft: too many commands wait already");
    default:
        return redis_reply_error(context, "CANCELED weft: the server is shutting down");
    }
}

static int answer(redis_context *context, redis_string **arguments, int n)
{
    struct request *request = redis_blocked_data(context);
    char text[2 * KEY_MOST + 1];

    (void)arguments;
    (void)n;
    request->fate = REQUEST_ANSWERED;
    if (request->code != 0) {
        return reply_failure(context, request);
    }
    switch (request->kind) {
    case REQUEST_PRIMES:
        return redis_reply_integer(context, request->count);
    case REQUEST_DERIVE:
        write_hex(text, request->key, request->derivation.key_length);
        return redis_reply_bytes(context, text, 2 * request->derivation.key_length);
    default:
        return redis_reply_status(context, "OK");
    }
}

static void gone(redis_context *context, redis_blocked *blocked)
{
    struct request *request = *find(blocked);

    (void)context;
    if (request != NULL) {
        weft_token_cancel(request->token);
    }
}

/* Those that wait for the end need wait no longer. */
static void end_drains(void)
{
    while (all.drains != NULL) {
        struct request *drain = all.drains;
        all.drains = drain->next;
        redis_unblock(drain->blocked, drain);
    }
}

/* The last that the server does with a client that was handed back; also of one that has gone. */
static void released(redis_context *context, void *data)
{
    struct request *request = data;

    (void)context;
    *find(request->blocked) = request->next;
    switch (request->fate) {
    case REQUEST_ANSWERED:
        all.counts.answered++;
        break;
    case REQUEST_TIMED_OUT:
        all.counts.timed_out++;
        break;
    case REQUEST_LEFT:
        all.counts.left++;
        break;
    }
    weft_token_release(request->token);
    request_free(request);
    if (--all.counts.outstanding == 0) {
        end_drains();
    }
}

static void enter(struct request *request)
{
    struct request **bucket = bucket_of(request->blocked);

    request->next = *bucket;
    *bucket = request;
    all.counts.outstanding++;
    all.counts.accepted++;
}

/* 0, or an errno; then the request is as it was. */
static int submit(weft_executor *pool, struct request *request, long long milliseconds)
{
    request->token = weft_token_create(pool, NULL, milliseconds * 1000000, 0);
    if (request->token == NULL) {
        return errno;
    }
    const weft_submit_options options = {.name = request->kind == REQUEST_PRIMES ? "WEFT.PRIMES" : "WEFT.PBKDF2",
                                         .token = request->token,
                                         .free_arg = hand_back};
    weft_future *job = weft_submit_with(pool, compute, request, &options);
    if (job == NULL) {
        return errno;
    }
    weft_future_release(job); /* it runs all the same, and tells in its own way */
    return 0;
}

void request_start(weft_executor *pool, redis_context *context, struct request *request, long long milliseconds)
{
    request->blocked = redis_block(context, answer, NULL, released, 0);
    redis_on_disconnect(request->blocked, gone);
    enter(request);
    int code = submit(pool, request, milliseconds);
    if (code != 0) {
        all.counts.refused++;
        request->code = code;
        redis_unblock(request->blocked, request);
    }
}

/* ---- the end ---- */

static void drain_released(redis_context *context, void *data)
{
    (void)context;
    free(data);
}

/* It would wait for a client that has gone. */
static void drain_gone(redis_context *context, redis_blocked *blocked)
{
    struct request **place = &all.drains;

    (void)context;
    while (*place != NULL && (*place)->blocked != blocked) {
        place = &(*place)->next;
    }
    struct request *drain = *place;
    if (drain != NULL) { /* else it has been handed back already */
        *place = drain->next;
        redis_unblock(blocked, drain);
    }
}

void request_drain(redis_context *context, struct request *request)
{
    all.draining = true;
    request->code = 0;
    request->blocked = redis_block(context, answer, NULL, drain_released, 0);
    redis_on_disconnect(request->blocked, drain_gone);
    request->next = all.drains;
    all.drains = request;
    if (all.counts.outstanding == 0) {
        end_drains();
    }
}

bool requests_draining(void)
{
    return all.draining;
}

void requests_reset(void)
{
    memset(&all, 0, sizeof all);
}

const struct request_counts *requests_counts(void)
{
    return &all.counts;
}
