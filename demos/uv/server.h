/* server.h: one libuv loop, one pool, and the queue between them.
 *
 * Everything here and in connection.c belongs to the loop's thread; jobs see nothing of it. What a job has computed comes
 * back through the queue, whose descriptor the loop watches. */
#ifndef DEMOS_UV_SERVER_H
#define DEMOS_UV_SERVER_H

#include <weft/weft.h>

#include <uv.h>

#include <stdbool.h>
#include <stdint.h>

struct server_options {
    const char *host;
    int port;                  /* 0: the system chooses */
    unsigned workers;          /* 0: one a CPU */
    unsigned most_connections; /* more are told so, and closed */
    size_t most_pending;       /* jobs that wait; more are refused */
    int64_t limit;             /* ns that a request may take */
    int64_t idle;              /* ns without a line from a client, or without its taking an answer */
    int64_t drain;             /* ns after a signal until what is still computed is cancelled */
};

struct connection;

/* What became of requests that compute; at rest, taken is the sum of the next four. */
struct server_counts {
    uint64_t taken, answered, failed, timed_out, cancelled, refused;
};

struct server {
    const struct server_options *options;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_poll_t completions; /* of the queue's descriptor */
    uv_signal_t signals[2];
    uv_timer_t patience;         /* at the end */
    uv_prepare_t before;         /* each wait */
    uint64_t busy, longest_turn; /* ns not spent waiting until the last wait; the most between two of them */

    weft_executor *pool;
    weft_queue *queue;
    weft_token *token; /* above those of the connections */

    struct connection *connections;
    unsigned n_connections;
    bool accept_waits; /* a client is there that could not be accepted */
    enum { SERVER_OPEN, SERVER_DRAINS, SERVER_CANCELS, SERVER_CLOSES } stage;
    struct server_counts counts;
};

/* Serves until a signal. 0, or 1 after telling what is wrong on stderr. */
int serve(const struct server_options *options);

/* A connection is gone: there is room for another one, or it was the last. */
void server_forget(struct server *server);

/* Writes one line of counters, without its end, of at most `size` bytes. */
void server_describe(struct server *server, char *text, size_t size);

#endif
