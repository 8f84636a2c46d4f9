/* clients.c: a record for each connection, and the watch over it.
 *
 * libmicrohttpd looks at no socket whose connection is suspended, and so does not notice when a client leaves while its
 * tile is being drawn. So the loop watches the sockets itself: each stands in the loop's epoll set beside
 * libmicrohttpd's own, armed with EPOLLRDHUP when it is suspended and for one event. Being told so while the connection
 * is not suspended any more does no harm, as the phase says so.
 *
 * A client that closes only its sending direction after the request (as `nc -N` does) counts as gone; browsers and the
 * usual libraries do not do that.
 *
 * libmicrohttpd's own timeout begins anew with each byte, so a client that sends one every few seconds could keep its
 * connection for hours. Therefore there is a limit for a whole request as well, and for taking the answer. */
#define _GNU_SOURCE
#include "clients.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* For sending a request, from when the connection is free for it, and for taking the answer. */
#define LONGEST_EXCHANGE WEFT_SECONDS(30)

/* ---- the records ---- */

static void add_client(struct server *server, struct client *client)
{
    client->next = server->clients;
    if (client->next != NULL) {
        client->next->previous = client;
    }
    server->clients = client;
    server->client_count++;
    server->counts.connections++;
}

static void remove_client(struct server *server, struct client *client)
{
    if (client->previous != NULL) {
        client->previous->next = client->next;
    } else {
        server->clients = client->next;
    }
    if (client->next != NULL) {
        client->next->previous = client->previous;
    }
    server->client_count--;
}

static void open_client(struct server *server, struct MHD_Connection *connection, void **socket_context)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct client *client = info != NULL ? calloc(1, sizeof *client) : NULL;
    if (client == NULL) {
        return; /* its requests will be refused */
    }
    client->connection = connection;
    client->socket = info->connect_fd;
    client->since = weft_now();
    struct epoll_event nothing_yet = {.events = EPOLLONESHOT, .data.ptr = client};
    if (epoll_ctl(server->events, EPOLL_CTL_ADD, client->socket, &nothing_yet) != 0) {
        free(client);
        return;
    }
    add_client(server, client);
    *socket_context = client;
}

static void close_client(struct server *server, struct client *client)
{
    epoll_ctl(server->events, EPOLL_CTL_DEL, client->socket, NULL);
    if (client->answering) {
        server->answering--;
    }
    if (client->tile != NULL) { /* resumed, but libmicrohttpd found nobody there before it asked for the answer */
        server->counts.left++;
        clients_forget_tile(server, client);
    }
    remove_client(server, client);
    free(client);
    server->closed = true;
}

void clients_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
                    enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        open_client(cls, connection, socket_context);
    } else if (*socket_context != NULL) {
        close_client(cls, *socket_context);
        *socket_context = NULL;
    }
}

void clients_completed(void *cls, struct MHD_Connection *connection, void **request,
                       enum MHD_RequestTerminationCode code)
{
    struct server *server = cls;
    struct client *client = clients_of(connection);

    (void)request;
    (void)code;
    if (client != NULL && client->answering) {
        client->answering = false;
        client->since = weft_now();
        server->answering--;
    }
}

struct client *clients_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

/* ---- tiles ---- */

int clients_await(struct server *server, struct client *client, weft_future *tile)
{
    struct epoll_event hang_up = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = client};

    int code = weft_queue_add(server->finished, tile, client);
    if (code != 0) {
        return -code;
    }
    /* Cannot fail: the socket is in the set. One that has hung up already is reported at once. */
    epoll_ctl(server->events, EPOLL_CTL_MOD, client->socket, &hang_up);
    client->tile = tile;
    client->phase = DRAWING;
    client->left = false;
    server->drawing++;
    MHD_suspend_connection(client->connection);
    return 0;
}

void clients_forget_tile(struct server *server, struct client *client)
{
    if (client->tile != NULL) {
        weft_future_release(client->tile);
        client->tile = NULL;
        client->phase = READING;
        server->drawing--;
    }
}

void clients_hang_up(struct client *client)
{
    if (client->phase == DRAWING) {
        client->left = true;
        weft_cancel(client->tile); /* done on the spot, and delivered like any other */
    }
}

void clients_deliver(struct server *server)
{
    void *tag;
    weft_future *future;

    while ((future = weft_queue_next(server->finished, 0, &tag)) != NULL) {
        struct client *client = tag;
        client->phase = DRAWN;
        MHD_resume_connection(client->connection);
        weft_future_release(future);
    }
}

void clients_cancel_all(struct server *server)
{
    for (struct client *client = server->clients; client != NULL; client = client->next) {
        if (client->phase == DRAWING) {
            weft_cancel(client->tile);
        }
    }
}

void clients_sweep(struct server *server)
{
    int64_t now = weft_now();

    for (struct client *client = server->clients; client != NULL; client = client->next) {
        if (client->phase == READING && now - client->since > LONGEST_EXCHANGE) {
            shutdown(client->socket, SHUT_RDWR); /* libmicrohttpd finds it at its end, and closes it */
        }
    }
}
