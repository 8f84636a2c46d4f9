/* report.h: the state of the server in words. On the loop's thread; nothing waits.
 *
 * Both return a text that the caller frees; NULL: no memory. */
#ifndef SERVER_REPORT_H
#define SERVER_REPORT_H

#include "state.h"

/* For the page: counts, and what the workers did since `since`, microseconds after the server's start. */
char *report_json(const struct server *server, int64_t since);

/* In Prometheus' text format. */
char *report_metrics(const struct server *server);

#endif
