/* request.h: a command whose client waits while a job computes the answer.
 *
 * Who does what:
 *
 *   main thread     makes the request, blocks the client, submits the job; answers, or learns that the client has gone;
 *                   frees the request
 *   a worker        computes, then hands the client back to the main thread
 *
 * A request has a token: its deadline is the time limit, and it is cancelled when the client has gone. A job that will
 * then never start is handed back by who cancels it, the executor's coordinator. Either way it is done in the one place
 * that weft calls exactly once for each accepted job, its free_arg, so each client is handed back exactly once. What the
 * worker wrote reaches the main thread with the server's lock around its list of clients to be unblocked.
 *
 * All calls: main thread. */
#ifndef DEMOS_REDIS_REQUEST_H
#define DEMOS_REDIS_REQUEST_H

#include "../compute/compute.h"
#include "api.h"

#include <weft/weft.h>

enum request_kind { REQUEST_PRIMES, REQUEST_DERIVE, REQUEST_DRAIN };

struct request {
    enum request_kind kind;
    int64_t last;                 /* of PRIMES */
    struct derivation derivation; /* of PBKDF2 */

    /* Written by the worker before it hands the client back, read by the main thread afterwards. */
    int code; /* 0, or an errno: ECANCELED at first, since a job that is never started writes nothing */
    int64_t count;
    unsigned char key[KEY_MOST];

    /* The main thread's. */
    enum { REQUEST_LEFT, REQUEST_ANSWERED, REQUEST_TIMED_OUT } fate;
    redis_blocked *blocked; /* read by who hands it back; constant */
    weft_token *token;      /* NULL: no memory for it, or it is a DRAIN */
    struct request *next;   /* in its bucket; of a DRAIN, among those that drain */
};

/* What has become of commands since the module was loaded; at rest, accepted is the sum of the next three. */
struct request_counts {
    unsigned long long accepted, answered, timed_out, left, refused, outstanding;
};

/* A zeroed request, to be filled in; request_start() takes it over. NULL: no memory. */
struct request *request_new(enum request_kind kind);
void request_free(struct request *request);

/* Blocks the client and submits the job, which may take so long, queueing included. */
void request_start(weft_executor *pool, redis_context *context, struct request *request, long long milliseconds);

/* Blocks the client until no other request is outstanding; from now on requests are refused. */
void request_drain(redis_context *context, struct request *request);
bool requests_draining(void);

/* For a module that is loaded once more. */
void requests_reset(void);
const struct request_counts *requests_counts(void);

#endif
