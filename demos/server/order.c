/* order.c: strict readers, built on those of the command line. */
#include "order.h"

#include "../common/arguments.h"

#include <limits.h>
#include <string.h>

static const char prefix[] = "/tiles/";

enum { DEFAULT_DEADLINE = 2000, DEFAULT_ITERATIONS = 500 };

bool order_is_tile(const char *path)
{
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

static bool read_place(const char *path, struct tile_place *place)
{
    const char *text = path + strlen(prefix);

    if (!take_integer(&text, 0, DEEPEST_ZOOM, &place->zoom)) {
        return false;
    }
    long last = (1L << place->zoom) - 1;
    return take_character(&text, '/') && take_integer(&text, 0, last, &place->column) && take_character(&text, '/') &&
           take_integer(&text, 0, last, &place->row) && strcmp(text, ".png") == 0;
}

static bool read_number(const char *text, long low, long high, long fallback, long *value)
{
    *value = fallback;
    return text == NULL || read_integer(text, low, high, value);
}

static bool read_priority(const char *text, weft_priority *priority)
{
    static const char *const names[] = {[WEFT_NORMAL] = "normal", [WEFT_HIGH] = "high", [WEFT_LOW] = "low"};

    *priority = WEFT_NORMAL;
    if (text == NULL) {
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *priority = (weft_priority)i;
            return true;
        }
    }
    return false;
}

const char *order_read(const char *path, query_fn *query, void *request, struct tile_order *order)
{
    if (!read_place(path, &order->place)) {
        return "no such tile; /tiles/ZOOM/COLUMN/ROW.png with ZOOM up to 40, COLUMN and ROW below 2^ZOOM\n";
    }
    if (!read_number(query(request, "deadline"), 1, LONGEST_DEADLINE, DEFAULT_DEADLINE, &order->deadline)) {
        return "deadline: milliseconds, 1 to 60000\n";
    }
    if (!read_number(query(request, "iterations"), 1, MOST_ITERATIONS, DEFAULT_ITERATIONS, &order->iterations)) {
        return "iterations: 1 to 100000\n";
    }
    if (!read_priority(query(request, "priority"), &order->priority)) {
        return "priority: high, normal or low\n";
    }
    return NULL;
}

bool order_read_count(const char *text, int64_t fallback, int64_t *count)
{
    long value = 0;

    if (text != NULL && !read_integer(text, 0, LONG_MAX, &value)) {
        return false;
    }
    *count = text != NULL ? value : fallback;
    return true;
}
