/* json.c: see json.h. RFC 8259, without exceptions. */
#include "json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void json_begin(struct json *json, const char *text, size_t size)
{
    *json = (struct json){.at = text, .end = text + size, .start = text};
}

bool json_fail(struct json *json, const char *what)
{
    if (json->error == NULL) {
        json->error = what;
    }
    return false;
}

size_t json_line(const struct json *json)
{
    size_t line = 1;

    for (const char *c = json->start; c < json->at; c++) {
        line += *c == '\n';
    }
    return line;
}

static void skip_space(struct json *json)
{
    while (json->at < json->end && memchr(" \t\r\n", *json->at, 4) != NULL) {
        json->at++;
    }
}

char json_peek(struct json *json)
{
    if (json->error != NULL) {
        return 0;
    }
    skip_space(json);
    return (char)(json->at < json->end ? *json->at : 0);
}

static bool take(struct json *json, char wanted)
{
    if (json_peek(json) != wanted || json->at == json->end) {
        return false;
    }
    json->at++;
    return true;
}

/* ---- strings ---- */

/* Where decoded characters go. */
struct sink {
    char *text;
    size_t size, length;
    bool full; /* from the first character that did not fit */
};

static void put_character(struct sink *sink, const char *bytes, size_t n)
{
    sink->full = sink->full || sink->length + n >= sink->size;
    if (!sink->full) {
        memcpy(sink->text + sink->length, bytes, n);
        sink->length += n;
    }
}

static void put_code(struct sink *sink, uint32_t code)
{
    char bytes[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n; i-- > 0; code >>= 6) {
        bytes[i] = (char)(i > 0 ? 0x80 | (code & 0x3f) : lead[n] | code);
    }
    put_character(sink, bytes, n);
}

static bool take_hex(struct json *json, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, json->at++) {
        if (json->at == json->end) {
            return json_fail(json, "a text without an end");
        }
        char c = *json->at;
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10
                                                : 16;
        if (digit == 16) {
            return json_fail(json, "\\u without four hexadecimal digits");
        }
        *code = *code * 16 + digit;
    }
    return true;
}

/* Behind "\u". */
static bool take_unicode(struct json *json, struct sink *sink)
{
    uint32_t code, low;

    if (!take_hex(json, &code)) {
        return false;
    }
    if (code >= 0xd800 && code < 0xe000) {
        bool pair = code < 0xdc00 && json->end - json->at >= 6 && json->at[0] == '\\' && json->at[1] == 'u';
        if (pair) {
            json->at += 2;
            if (!take_hex(json, &low)) {
                return false;
            }
            pair = low >= 0xdc00 && low < 0xe000;
        }
        if (!pair) {
            return json_fail(json, "half a surrogate pair");
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    put_code(sink, code == 0 ? 0xfffd : code); /* a 0 would end the text */
    return true;
}

/* Behind the backslash. */
static bool take_escape(struct json *json, struct sink *sink)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

    if (json->at == json->end) {
        return json_fail(json, "a text without an end");
    }
    char c = *json->at++;
    if (c == 'u') {
        return take_unicode(json, sink);
    }
    const char *place = c != 0 ? strchr(from, c) : NULL;
    if (place == NULL) {
        return json_fail(json, "an unknown escape in a text");
    }
    put_character(sink, &to[place - from], 1);
    return true;
}

/* How long the UTF-8 character at s is; 0: it is none. */
static size_t character_length(const unsigned char *s, size_t left)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

    if (n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0))) ||
        (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90)))) {
        return 0;
    }
    return n;
}

bool json_string(struct json *json, char *text, size_t size)
{
    struct sink sink = {.text = text, .size = size};

    text[0] = '\0';
    if (!take(json, '"')) {
        return json_fail(json, "a text was expected");
    }
    while (json->at < json->end && *json->at != '"') {
        unsigned char c = (unsigned char)*json->at;
        if (c == '\\') {
            json->at++;
            if (!take_escape(json, &sink)) {
                return false;
            }
            continue;
        }
        size_t n = character_length((const unsigned char *)json->at, (size_t)(json->end - json->at));
        if (c < ' ' || n == 0) {
            return json_fail(json, c < ' ' ? "a control character in a text" : "a text that is no UTF-8");
        }
        put_character(&sink, json->at, n);
        json->at += n;
    }
    if (json->at == json->end) {
        return json_fail(json, "a text without an end");
    }
    json->at++;
    text[sink.length] = '\0';
    return true;
}

/* ---- numbers ---- */

static size_t count_digits(const char *at, const char *end)
{
    const char *c = at;

    while (c < end && *c >= '0' && *c <= '9') {
        c++;
    }
    return (size_t)(c - at);
}

/* Behind a number that begins at `at`; NULL: there is none. */
static const char *number_end(const char *at, const char *end)
{
    const char *c = at + (at < end && *at == '-');
    size_t digits = count_digits(c, end);

    if (digits == 0 || (digits > 1 && *c == '0')) {
        return NULL;
    }
    c += digits;
    if (c < end && *c == '.') {
        digits = count_digits(++c, end);
        if (digits == 0) {
            return NULL;
        }
        c += digits;
    }
    if (c < end && (*c == 'e' || *c == 'E')) {
        c++;
        c += c < end && (*c == '+' || *c == '-');
        digits = count_digits(c, end);
        if (digits == 0) {
            return NULL;
        }
        c += digits;
    }
    return c;
}

bool json_number(struct json *json, double *number)
{
    enum { LONGEST = 64 };
    char copy[LONGEST + 1]; /* strtod wants an end */

    json_peek(json);
    const char *end = json->error != NULL ? NULL : number_end(json->at, json->end);
    if (end == NULL || end - json->at > LONGEST) {
        return json_fail(json, end == NULL ? "a number was expected" : "a number of too many digits");
    }
    memcpy(copy, json->at, (size_t)(end - json->at));
    copy[end - json->at] = '\0';
    *number = strtod(copy, NULL);
    if (!isfinite(*number)) {
        return json_fail(json, "a number that is too large");
    }
    json->at = end;
    return true;
}

/* ---- objects and arrays ---- */

bool json_open(struct json *json, char bracket)
{
    if (!take(json, bracket)) {
        return json_fail(json, bracket == '{' ? "an object was expected" : "an array was expected");
    }
    if (json->depth == JSON_DEPTH) {
        return json_fail(json, "nested too deep");
    }
    json->depth++;
    return true;
}

/* Before a member or element; false: there is none. */
static bool next(struct json *json, bool *first, char bracket)
{
    if (json->error != NULL) {
        return false;
    }
    if (take(json, bracket)) {
        json->depth--;
        return false;
    }
    if (!*first && !take(json, ',')) {
        return json_fail(json, "a comma or a closing bracket was expected");
    }
    *first = false;
    return true;
}

bool json_key(struct json *json, bool *first, char *key, size_t size)
{
    if (!next(json, first, '}') || !json_string(json, key, size)) {
        return false;
    }
    return take(json, ':') || json_fail(json, "a colon was expected");
}

bool json_element(struct json *json, bool *first)
{
    return next(json, first, ']');
}

static bool take_word(struct json *json, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(json->end - json->at) < n || memcmp(json->at, word, n) != 0) {
        return json_fail(json, "a value was expected");
    }
    json->at += n;
    return true;
}

/* Recursion ends at JSON_DEPTH. */
bool json_skip(struct json *json)
{
    char key[2];
    double number;
    bool first;

    switch (json_peek(json)) {
    case '{':
        for (first = json_open(json, '{'); json_key(json, &first, key, sizeof key);) {
            json_skip(json);
        }
        break;
    case '[':
        for (first = json_open(json, '['); json_element(json, &first);) {
            json_skip(json);
        }
        break;
    case '"':
        return json_string(json, key, sizeof key);
    case 't':
        return take_word(json, "true");
    case 'f':
        return take_word(json, "false");
    case 'n':
        return take_word(json, "null");
    default:
        return json_number(json, &number);
    }
    return json->error == NULL;
}

bool json_finish(struct json *json)
{
    json_peek(json);
    if (json->error == NULL && json->at < json->end) {
        return json_fail(json, "something behind the end");
    }
    return json->error == NULL;
}
