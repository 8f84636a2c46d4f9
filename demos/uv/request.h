/* request.h: one line from a client, and what is answered.
 *
 *     PRIMES n                                     OK 25
 *     PBKDF2 password salt iterations [length]     OK 4ddcd8f6...
 *     TIMEOUT ms                                   OK, and this connection's later requests have that limit
 *     STATS, PING, QUIT
 *
 * Whatever else: ERR, a word for programs, and a text for people. The loop's thread. */
#ifndef DEMOS_UV_REQUEST_H
#define DEMOS_UV_REQUEST_H

#include <weft/weft.h>

#include <uv.h>

#include <stdbool.h>

enum { ANSWER_SIZE = 1024 };

struct connection;

struct request {
    struct connection *connection;
    struct request *next; /* a later one of the same connection */
    bool answered;
    bool quits;                   /* the last of its connection */
    char answer[ANSWER_SIZE + 1]; /* with its newline, without a zero when it is written */
    size_t length;
    uv_write_t writing;
};

/* Takes a line of `length` bytes, which it may change. Either the answer is there on return, or a job was submitted and
 * the server's queue will bring it. */
void request_begin(struct request *request, char *line, size_t length);

/* The queue has brought its future, whose reference is taken over. */
void request_finish(struct request *request, weft_future *future);

/* Sets the answer. */
void request_say(struct request *request, const char *answer);

#endif
