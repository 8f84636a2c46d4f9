/* state.h: what the files of the server share.
 *
 * All of it belongs to the one thread that runs the loop in server.c: libmicrohttpd calls back on it alone, completions
 * are read on it, and so there is no lock. Workers see only their tiles (tile.c) and the lanes. */
#ifndef SERVER_STATE_H
#define SERVER_STATE_H

#include "lanes.h"
#include "server.h"

#include <weft/weft.h>

#include <microhttpd.h>

/* What a connection is doing. */
enum phase {
    READING, /* nothing, or its request is coming in, or its answer is going out */
    DRAWING, /* suspended until its tile is done */
    DRAWN    /* resumed: its handler is about to be called again, for the answer */
};

/* One connection, from when it was accepted until libmicrohttpd closes it. */
struct client {
    struct client *previous, *next; /* in server.clients */
    struct MHD_Connection *connection;
    int socket; /* libmicrohttpd's; only watched and shut down here */
    enum phase phase;
    bool left;         /* the client closed the connection while its tile was being drawn */
    bool answering;    /* an answer was handed over and is not yet sent */
    int64_t since;     /* when it was accepted, or its last answer was sent */
    weft_future *tile; /* NULL unless DRAWING or DRAWN */
};

/* Counts since the start. A tile that was asked for and not malformed ends in one of the five after it. */
struct counts {
    uint64_t connections, requests;
    uint64_t tiles;
    uint64_t drawn, late, refused, left, failed; /* 200; 504; 503; client gone; 500, or 503 at the end */
    uint64_t malformed;                          /* 4xx said by answer.c, of whatever request */
};

struct server {
    const struct server_options *options;
    weft_executor *executor;
    struct lanes *lanes;
    weft_queue *finished; /* tiles that are done or past their deadline; the tag is the client */
    struct MHD_Daemon *daemon;
    int events;   /* epoll: of libmicrohttpd, the queue, the signals and clients that hang up */
    int signals;  /* signalfd */
    int listener; /* until libmicrohttpd has it; -1 */
    unsigned port;
    struct client *clients;
    size_t client_count;
    size_t drawing;   /* clients in phase DRAWING or DRAWN */
    size_t answering; /* answers handed over and not yet sent */
    bool closed; /* a connection was closed since libmicrohttpd ran: it may accept again, but only looks when it runs */
    bool draining;
    int64_t started, drain_until; /* ns of weft_now() */
    struct counts counts;
};

#endif
