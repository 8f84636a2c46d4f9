/* json.h: reads JSON from memory, value by value, and trusts nothing.
 *
 * A cursor goes through the text once; each function takes one thing from it. After the first mistake all of them fail
 * and change nothing more, so a reader may look at `error` at the end alone. Nothing is allocated. Numbers are finite,
 * strings are well-formed UTF-8 once decoded, nesting ends at JSON_DEPTH. One thread. */
#ifndef TIMELINE_JSON_H
#define TIMELINE_JSON_H

#include <stdbool.h>
#include <stddef.h>

enum { JSON_DEPTH = 64 };

struct json {
    const char *at, *end; /* what is left */
    const char *start;
    const char *error; /* NULL: no mistake so far */
    unsigned depth;    /* arrays and objects that are open */
};

void json_begin(struct json *json, const char *text, size_t size);

/* Says what is wrong, here; the first mistake counts. Always false. */
bool json_fail(struct json *json, const char *what);

/* The line of the mistake, or of what comes next; from 1. */
size_t json_line(const struct json *json);

/* The first character of the next value: one of {["tfn-0123456789; 0: there is none. */
char json_peek(struct json *json);

/* Begins an object or array; then, for each member or element, next; false: it is closed, or there was a mistake.
 *     for (bool first = json_open(json, '{'); json_key(json, &first, key, sizeof key);) ...a value is taken...
 * `first` tells next whether a comma must come before. A key that does not fit is cut. */
bool json_open(struct json *json, char bracket);
bool json_key(struct json *json, bool *first, char *key, size_t size);
bool json_element(struct json *json, bool *first);

/* One value of that kind. A string that does not fit is cut between characters, and ends with a 0 in any case. */
bool json_string(struct json *json, char *text, size_t size);
bool json_number(struct json *json, double *number);
bool json_skip(struct json *json); /* any value */

/* Nothing but white space is left. */
bool json_finish(struct json *json);

#endif
