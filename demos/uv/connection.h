/* connection.h: a client: lines in, answers out in the order of the lines.
 *
 * A client may send many requests at once. So many are computed at a time; more lines wait in the connection's buffer,
 * and when that is full nothing more is read until an answer has gone out. That bounds the memory of a connection,
 * whatever it sends, and whether or not it reads.
 *
 * A client that closes its end wants nothing more: what is computed for it is cancelled, with one token. That is noticed
 * when it arrives, also if nothing is read and lines stand before it: a second descriptor of the same socket is watched
 * for it. Only if it cannot arrive, because the client has filled the system's buffers as well, the next answer is what
 * brings it to light. */
#ifndef DEMOS_UV_CONNECTION_H
#define DEMOS_UV_CONNECTION_H

#include "request.h"
#include "server.h"

enum { MOST_REQUESTS = 16, INPUT_SIZE = 4096 };

struct connection {
    uv_tcp_t socket; /* its data is the connection */
    uv_timer_t patience;
    uv_poll_t departure;
    int watched; /* its descriptor; negative: there is none, nor a handle */
    struct server *server;
    struct connection *next, **place; /* in the server's list */
    weft_token *token;                /* of all its jobs */
    int64_t limit;                    /* ns, of its next requests */

    struct request *first, *last; /* not yet handed to the socket, oldest first */
    unsigned outstanding;         /* these, and those that the socket has */
    unsigned computing;           /* those of them that have no answer yet */

    char input[INPUT_SIZE]; /* what is not part of a request yet */
    size_t filled;
    bool reading;
    bool ending;  /* takes no more requests; closes when all are answered */
    bool shut;    /* our end is closed; the client's, not yet */
    bool closing; /* both are; what is left is to be freed */
    unsigned handles;
    uv_shutdown_t shutting;
};

/* Accepts the client that the listener has. If `turned_away`, it is only told that there are too many. False: not
 * accepted, for want of memory. */
bool connection_open(struct server *server, bool turned_away);

/* Answers what it has taken, and takes no more. */
void connection_end(struct connection *connection);

/* Ends it now. */
void connection_close(struct connection *connection);

/* The request's answer is there. */
void connection_answered(struct request *request);

#endif
