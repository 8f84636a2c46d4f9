/* order.h: what a request asks for, read from its path and its query.
 *
 * Nothing that comes from outside is believed: each number is decimal digits within its bounds, or the request is
 * refused. */
#ifndef SERVER_ORDER_H
#define SERVER_ORDER_H

#include "tile.h"

enum { LONGEST_DEADLINE = 60000 }; /* ms */

/* A parameter of the query by its name: its value, NULL if it is not there or without a "=". */
typedef const char *query_fn(void *request, const char *name);

/* Is this the path of a tile, whether it makes sense or not? */
bool order_is_tile(const char *path);

/* Reads /tiles/ZOOM/COLUMN/ROW.png, and deadline, priority and iterations from the query. NULL, or in words what is
 * wrong with it; then *order is not to be used. */
const char *order_read(const char *path, query_fn *query, void *request, struct tile_order *order);

/* A count of microseconds, for example; `fallback` if text is NULL. */
bool order_read_count(const char *text, int64_t fallback, int64_t *count);

#endif
