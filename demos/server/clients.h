/* clients.h: connections: how many there are, which hang up, which are too slow. On the loop's thread. */
#ifndef SERVER_CLIENTS_H
#define SERVER_CLIENTS_H

#include "state.h"

/* For MHD_OPTION_NOTIFY_CONNECTION and MHD_OPTION_NOTIFY_COMPLETED; cls is the server. */
void clients_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
                    enum MHD_ConnectionNotificationCode code);
void clients_completed(void *cls, struct MHD_Connection *connection, void **request,
                       enum MHD_RequestTerminationCode code);

/* The client of a connection; NULL if there was no memory for it. */
struct client *clients_of(struct MHD_Connection *connection);

/* Suspends the connection until the future is done, and takes the future over. 0 or an errno; then the future is still
 * the caller's. */
int clients_await(struct server *server, struct client *client, weft_future *tile);

/* Gives the future up once the answer has been decided. */
void clients_forget_tile(struct server *server, struct client *client);

/* The socket of this client has hung up: if a tile is being drawn for it, that is cancelled. */
void clients_hang_up(struct client *client);

/* Resumes the connections whose tiles are done. */
void clients_deliver(struct server *server);

/* Asks for the cancellation of all that is being drawn. */
void clients_cancel_all(struct server *server);

/* Disconnects those who have been sending their request, or taking their answer, for too long. */
void clients_sweep(struct server *server);

#endif
