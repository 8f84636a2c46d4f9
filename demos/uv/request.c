/* request.c: lines into jobs, futures into answers.
 *
 * The job owns its argument and makes its answer, so it needs nothing of the connection and may outlast it. What the
 * queue brings is not the job but the job under its deadline: that is done in time, even if the job has not looked up
 * yet, and then asks it to stop. */
#include "request.h"

#include "../common/arguments.h"
#include "../compute/compute.h"
#include "connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 6, DAY = 24 * 3600 * 1000 };

struct job {
    int64_t last;                  /* of PRIMES */
    struct derivation *derivation; /* of PBKDF2; else NULL */
};

/* ---- in the job ---- */

static void free_job(void *arg)
{
    struct job *job = arg;

    if (job->derivation != NULL) {
        explicit_bzero(job->derivation, sizeof *job->derivation); /* a password */
    }
    free(job->derivation);
    free(job);
}

static int compute(const struct job *job, char *text)
{
    unsigned char key[KEY_MOST];
    int64_t count;

    if (job->derivation == NULL) {
        int code = count_primes(job->last, &count);
        snprintf(text, ANSWER_SIZE, "OK %lld", (long long)count);
        return code;
    }
    int code = derive_key(job->derivation, key);
    if (code == 0) {
        write_hex(stpcpy(text, "OK "), key, job->derivation->key_length);
    }
    return code;
}

/* Its value is the answer. */
static void *run(void *arg)
{
    char *text = malloc(ANSWER_SIZE);
    int code = text == NULL ? ENOMEM : compute(arg, text);

    if (code != 0) {
        free(text);
        return weft_fail(code == ECANCELED ? -ECANCELED : code);
    }
    return text;
}

/* ---- on the loop ---- */

void request_say(struct request *request, const char *answer)
{
    request->length = (size_t)snprintf(request->answer, sizeof request->answer, "%s\n", answer);
    if (request->length >= sizeof request->answer) {
        request->length = sizeof request->answer - 1;
    }
    request->answered = true;
}

static void free_new(struct job *job)
{
    if (job != NULL) {
        free_job(job);
    }
}

/* A job, with room for a derivation or without. */
static struct job *new_job(bool derives)
{
    struct job *job = calloc(1, sizeof *job);

    if (job != NULL && derives) {
        job->derivation = calloc(1, sizeof *job->derivation);
        if (job->derivation == NULL) {
            free(job);
            return NULL;
        }
    }
    return job;
}

/* Puts the job under its deadline into the queue. 0, or an errno; then nobody will hear of it. */
static int send_job(struct request *request, struct job *job)
{
    struct connection *connection = request->connection;
    const weft_submit_options options = {.token = connection->token, .free_arg = free_job, .free_value = free};
    weft_future *future = weft_submit_with(connection->server->pool, run, job, &options);

    if (future == NULL) {
        int code = errno;
        free_job(job);
        return code;
    }
    weft_future *limited = weft_wait_for(future, connection->limit, 0);
    int code = weft_queue_add(connection->server->queue, limited, request);
    if (code != 0) {
        weft_cancel(future);
    }
    weft_future_release(limited);
    weft_future_release(future);
    return -code;
}

static void submit(struct request *request, struct job *job)
{
    struct server *server = request->connection->server;
    int code = job == NULL ? ENOMEM : send_job(request, job);

    if (code == 0) {
        server->counts.taken++;
        return;
    }
    server->counts.refused++;
    request_say(request, code == EAGAIN   ? "ERR busy too many requests wait already"
                         : code == ENOMEM ? "ERR memory there is none left"
                                          : "ERR ending the server is shutting down");
}

void request_finish(struct request *request, weft_future *future)
{
    struct server_counts *counts = &request->connection->server->counts;
    void *text = NULL;

    switch (weft_future_get(future, &text)) {
    case 0:
        counts->answered++;
        request_say(request, text);
        break;
    case -ETIMEDOUT:
        counts->timed_out++;
        request_say(request, "ERR timeout not done within the time limit");
        break;
    case -ECANCELED:
        counts->cancelled++;
        request_say(request, "ERR cancelled the server is shutting down");
        break;
    default:
        counts->failed++;
        request_say(request, "ERR memory there is none left");
    }
    weft_future_release(future);
}

/* ---- lines ---- */

static void begin_primes(struct request *request, char **words, int n)
{
    long last;

    if (n != 2 || !read_integer(words[1], 0, PRIMES_MOST, &last)) {
        request_say(request, "ERR usage PRIMES n, with n from 0 to 1000000000000");
        return;
    }
    struct job *job = new_job(false);
    if (job != NULL) {
        job->last = last;
    }
    submit(request, job);
}

static bool copy_secret(const char *word, unsigned char *bytes, size_t *length)
{
    *length = strlen(word);
    if (*length > SECRET_MOST) {
        return false;
    }
    memcpy(bytes, word, *length);
    return true;
}

static void begin_derivation(struct request *request, char **words, int n)
{
    long iterations, length = KEY_LENGTH;
    struct job *job;

    if (n < 4 || n > 5 || !read_integer(words[3], 1, ITERATIONS_MOST, &iterations) ||
        (n == 5 && !read_integer(words[4], 1, KEY_MOST, &length))) {
        request_say(request,
                    "ERR usage PBKDF2 password salt iterations [length], with at most 1000000000 iterations and "
                    "256 bytes");
        return;
    }
    job = new_job(true);
    if (job != NULL) {
        struct derivation *d = job->derivation;
        d->iterations = iterations;
        d->key_length = (size_t)length;
        if (!copy_secret(words[1], d->password, &d->password_length) ||
            !copy_secret(words[2], d->salt, &d->salt_length)) {
            free_new(job);
            request_say(request, "ERR usage password and salt may have at most 1024 bytes");
            return;
        }
    }
    submit(request, job);
}

static void set_limit(struct request *request, char **words, int n)
{
    int64_t most = request->connection->server->options->limit;
    long milliseconds;

    if (n != 2 || !read_integer(words[1], 1, DAY, &milliseconds)) {
        request_say(request, "ERR usage TIMEOUT ms, with ms from 1 to 86400000");
        return;
    }
    int64_t limit = WEFT_MILLISECONDS(milliseconds);
    request->connection->limit = limit < most ? limit : most;
    request_say(request, limit < most ? "OK" : "OK the server's own limit is shorter");
}

static void say_stats(struct request *request)
{
    char text[ANSWER_SIZE];

    server_describe(request->connection->server, text, sizeof text);
    request_say(request, text);
}

/* Splits at single spaces. The number of words, or MOST_WORDS + 1 if there are more. */
static int split(char *line, char *words[MOST_WORDS])
{
    int n = 0;

    for (;;) {
        if (n == MOST_WORDS) {
            return n + 1;
        }
        words[n++] = line;
        line = strchr(line, ' ');
        if (line == NULL) {
            return n;
        }
        *line++ = '\0';
    }
}

static bool is_text(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)line[i] < ' ') {
            return false;
        }
    }
    return true;
}

void request_begin(struct request *request, char *line, size_t length)
{
    char *words[MOST_WORDS] = {NULL};

    if (!is_text(line, length)) {
        request_say(request, "ERR character a line is text and ends with a newline");
        return;
    }
    line[length] = '\0'; /* where the newline was */
    int n = split(line, words);
    if (strcmp(words[0], "PRIMES") == 0) {
        begin_primes(request, words, n);
    } else if (strcmp(words[0], "PBKDF2") == 0) {
        begin_derivation(request, words, n);
    } else if (strcmp(words[0], "TIMEOUT") == 0) {
        set_limit(request, words, n);
    } else if (strcmp(words[0], "STATS") == 0 && n == 1) {
        say_stats(request);
    } else if (strcmp(words[0], "PING") == 0 && n == 1) {
        request_say(request, "OK");
    } else if (strcmp(words[0], "QUIT") == 0 && n == 1) {
        request->quits = true;
        request_say(request, "OK");
    } else {
        request_say(request, "ERR usage PRIMES, PBKDF2, TIMEOUT, STATS, PING or QUIT");
    }
}
