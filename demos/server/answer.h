/* answer.h: what is said to a request. On the loop's thread. */
#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H

#include "state.h"

/* The access handler of libmicrohttpd; cls is the server. Called when the head of a request is there, and again when
 * the connection has been resumed. */
enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                       const char *version, const char *upload, size_t *upload_size, void **request);

#endif
