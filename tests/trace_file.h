/* trace_file.h: a trace read back, and everything checked that must hold of any.
 *
 * Discipline. trace_read asserts, so it is for the test's own thread: that the file is JSON; that each event has what
 * its phase asks for; that in a lane times do not go back and slices are nested, each with an end; that each arrow has
 * one beginning, and an end that is not earlier; that lanes have names. What it read is then there to be searched.
 * The parser is that of demos/timeline, which trusts nothing either. */
#ifndef WEFT_TESTS_TRACE_FILE_H
#define WEFT_TESTS_TRACE_FILE_H

#include "fixtures.h"

#include "json.h"

#include <sys/stat.h>
#include <unistd.h>

enum { TRACE_LANES = 512, TRACE_WORKERS = 64, TRACE_DEPTH = 64 };

typedef struct trace_event {
    char phase, name[128], category[16], outcome[16], reason[16], job[128];
    unsigned tid;
    double at;
    uint32_t id; /* 0: none */
    int code, from, worker;
    bool within;
    unsigned depth; /* slices around it in its lane */
    double to;      /* of a B: when its E came */
    size_t arrow;   /* of an f: which event its s is */
    char ended[16]; /* of a B: its E's outcome */
    int ended_code; /* likewise */
} trace_event;

typedef struct trace_lane {
    double last;
    size_t open[TRACE_DEPTH];
    unsigned depth;
    bool named;
    char name[64];
} trace_lane;

typedef struct trace_file {
    trace_event *events;
    size_t n, room;
    trace_lane lanes[TRACE_LANES];
    double lost;
    unsigned n_workers;
    double succeeded[TRACE_WORKERS], failed[TRACE_WORKERS], stolen[TRACE_WORKERS], parks[TRACE_WORKERS];
} trace_file;

/* ---- where files are ---- */

/* A new name in `path`, of at least 64 bytes; the file is there and empty. */
static inline void trace_path(char *path)
{
    strcpy(path, "/tmp/weft-test-trace-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
}

static inline char *trace_load(const char *path, size_t *size)
{
    struct stat st;
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &st), 0);
    char *text = malloc((size_t)st.st_size + 1);
    assert_non_null(text);
    *size = fread(text, 1, (size_t)st.st_size, in);
    assert_int_equal(*size, st.st_size);
    fclose(in);
    return text;
}

/* ---- reading ---- */

static inline int read_int(struct json *json)
{
    double number = 0;
    json_number(json, &number);
    return (int)number;
}

static inline void read_event_args(struct json *json, trace_event *e, char *lane_name)
{
    char key[24];
    for (bool first = json_open(json, '{'); json_key(json, &first, key, sizeof key);) {
        if (strcmp(key, "id") == 0)
            e->id = (uint32_t)read_int(json);
        else if (strcmp(key, "code") == 0)
            e->code = read_int(json);
        else if (strcmp(key, "from") == 0)
            e->from = read_int(json);
        else if (strcmp(key, "worker") == 0)
            e->worker = read_int(json);
        else if (strcmp(key, "outcome") == 0)
            json_string(json, e->outcome, sizeof e->outcome);
        else if (strcmp(key, "reason") == 0)
            json_string(json, e->reason, sizeof e->reason);
        else if (strcmp(key, "job") == 0)
            json_string(json, e->job, sizeof e->job);
        else if (strcmp(key, "name") == 0)
            json_string(json, lane_name, 64);
        else if (strcmp(key, "within_wait") == 0)
            e->within = json_skip(json);
        else
            json_skip(json);
    }
}

enum { HAS_TS = 1, HAS_ID = 2, HAS_DUR = 4, HAS_NAME = 8, HAS_CAT = 16, HAS_SCOPE = 32, HAS_BIND = 64, HAS_ARGS = 128 };

static inline unsigned read_event_members(struct json *json, trace_event *e, char *lane_name)
{
    char key[24], text[8];
    double number;
    unsigned has = 0;
    *e = (trace_event){.from = -1, .worker = -1};
    for (bool first = json_open(json, '{'); json_key(json, &first, key, sizeof key);) {
        if (strcmp(key, "ph") == 0 && json_string(json, text, sizeof text)) {
            e->phase = text[0];
        } else if (strcmp(key, "pid") == 0) {
            assert_int_equal(read_int(json), 1);
        } else if (strcmp(key, "tid") == 0) {
            e->tid = (unsigned)read_int(json);
        } else if (strcmp(key, "ts") == 0 && json_number(json, &e->at)) {
            has |= HAS_TS;
        } else if (strcmp(key, "dur") == 0 && json_number(json, &number)) {
            has |= HAS_DUR;
            assert_true(number > 0);
        } else if (strcmp(key, "id") == 0) {
            has |= HAS_ID;
            e->id = (uint32_t)read_int(json);
        } else if (strcmp(key, "name") == 0 && json_string(json, e->name, sizeof e->name)) {
            has |= HAS_NAME;
        } else if (strcmp(key, "cat") == 0 && json_string(json, e->category, sizeof e->category)) {
            has |= HAS_CAT;
        } else if (strcmp(key, "s") == 0 && json_string(json, text, sizeof text)) {
            has |= HAS_SCOPE;
            assert_string_equal(text, "t");
        } else if (strcmp(key, "bp") == 0 && json_string(json, text, sizeof text)) {
            has |= HAS_BIND;
            assert_string_equal(text, "e");
        } else if (strcmp(key, "args") == 0) {
            has |= HAS_ARGS;
            read_event_args(json, e, lane_name);
        } else {
            fail_msg("member %s", key);
        }
    }
    return has;
}

/* Exactly what its phase asks for. */
static inline void check_members(const trace_event *e, unsigned has)
{
    switch (e->phase) {
    case 'M':
        assert_int_equal(has, HAS_NAME | HAS_ARGS);
        break;
    case 'B':
        assert_int_equal(has & ~(unsigned)HAS_ARGS, HAS_TS | HAS_NAME | HAS_CAT);
        assert_true(e->name[0] != '\0');
        break;
    case 'E':
        assert_int_equal(has, HAS_TS | HAS_ARGS);
        assert_true(strcmp(e->outcome, "succeeded") == 0 || strcmp(e->outcome, "failed") == 0 ||
                    strcmp(e->outcome, "cancelled") == 0 || strcmp(e->outcome, "unfinished") == 0);
        assert_true((strcmp(e->outcome, "failed") == 0 || strcmp(e->outcome, "cancelled") == 0) == (e->code != 0));
        break;
    case 'X':
        assert_int_equal(has, HAS_TS | HAS_DUR | HAS_NAME | HAS_CAT | HAS_ARGS);
        break;
    case 's':
        assert_int_equal(has, HAS_TS | HAS_ID | HAS_NAME | HAS_CAT);
        break;
    case 'f':
        assert_int_equal(has, HAS_TS | HAS_ID | HAS_NAME | HAS_CAT | HAS_BIND);
        break;
    case 'i':
        assert_int_equal(has, HAS_TS | HAS_NAME | HAS_CAT | HAS_SCOPE | HAS_ARGS);
        break;
    default:
        fail_msg("phase %c", e->phase);
    }
}

static inline void nest(trace_file *file, trace_lane *lane, size_t i)
{
    trace_event *e = &file->events[i];
    e->depth = lane->depth;
    if (e->phase == 'B') {
        assert_true(lane->depth < TRACE_DEPTH);
        lane->open[lane->depth++] = i;
    } else if (e->phase == 'E') {
        assert_true(lane->depth > 0);
        trace_event *begun = &file->events[lane->open[--lane->depth]];
        begun->to = e->at;
        begun->ended_code = e->code;
        strcpy(begun->ended, e->outcome);
    } else if (e->phase == 'f') {
        assert_true(lane->depth > 0); /* bound to the slice around it */
        assert_int_equal(file->events[lane->open[lane->depth - 1]].id, e->id);
    }
}

static inline void read_one_event(struct json *json, trace_file *file)
{
    char lane_name[64] = "";
    if (file->n == file->room) {
        file->room = file->room ? file->room * 2 : 256;
        file->events = realloc(file->events, file->room * sizeof *file->events);
        assert_non_null(file->events);
    }
    trace_event *e = &file->events[file->n];
    unsigned has = read_event_members(json, e, lane_name);
    check_members(e, has);
    assert_true(e->tid >= 1 && e->tid < TRACE_LANES);
    trace_lane *lane = &file->lanes[e->tid];
    if (e->phase == 'M') {
        if (strcmp(e->name, "thread_name") == 0) {
            assert_false(lane->named);
            lane->named = true;
            strcpy(lane->name, lane_name);
        }
        return;
    }
    assert_true(lane->named);
    assert_true(e->at >= lane->last);
    lane->last = e->at;
    nest(file, lane, file->n++);
}

static inline void read_counters(struct json *json, trace_file *file)
{
    char key[24];
    for (bool more = json_open(json, '['); json_element(json, &more);) {
        unsigned i = file->n_workers++;
        assert_true(i < TRACE_WORKERS);
        for (bool first = json_open(json, '{'); json_key(json, &first, key, sizeof key);) {
            if (strcmp(key, "worker") == 0)
                assert_int_equal(read_int(json), i);
            else if (strcmp(key, "succeeded") == 0)
                json_number(json, &file->succeeded[i]);
            else if (strcmp(key, "failed") == 0)
                json_number(json, &file->failed[i]);
            else if (strcmp(key, "stolen") == 0)
                json_number(json, &file->stolen[i]);
            else if (strcmp(key, "parks") == 0)
                json_number(json, &file->parks[i]);
            else
                fail_msg("member %s", key);
        }
    }
}

static inline void read_other(struct json *json, trace_file *file)
{
    char key[24], text[64];
    for (bool first = json_open(json, '{'); json_key(json, &first, key, sizeof key);) {
        if (strcmp(key, "lost") == 0)
            json_number(json, &file->lost);
        else if (strcmp(key, "workers") == 0)
            read_counters(json, file);
        else
            json_string(json, text, sizeof text);
    }
}

/* ---- arrows ---- */

static inline int by_id(const void *a, const void *b)
{
    const trace_event *x = *(trace_event *const *)a, *y = *(trace_event *const *)b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->phase == 'f') - (y->phase == 'f');
}

static inline void check_arrows(trace_file *file)
{
    size_t n = 0;
    trace_event **ends = malloc((file->n + 1) * sizeof(trace_event *));
    assert_non_null(ends);
    for (size_t i = 0; i < file->n; i++)
        if (file->events[i].phase == 's' || file->events[i].phase == 'f')
            ends[n++] = &file->events[i];
    qsort(ends, n, sizeof *ends, by_id);
    for (size_t i = 0; i < n; i++) {
        assert_true(ends[i]->id != 0);
        bool continues = i > 0 && ends[i - 1]->id == ends[i]->id;
        if (ends[i]->phase == 's') {
            assert_false(continues);
        } else {
            assert_true(continues && ends[i - 1]->phase == 's');
            assert_true(ends[i - 1]->at < ends[i]->at + 1); /* us: a clock may be coarse */
            ends[i]->arrow = (size_t)(ends[i - 1] - file->events);
        }
    }
    free(ends);
}

/* ---- the whole ---- */

/* Reads, checks and removes the file. To be freed by trace_free. */
static inline trace_file *trace_read(const char *path)
{
    struct json json;
    char key[24], text[8];
    size_t size;
    unsigned members = 0;
    char *bytes = trace_load(path, &size);
    trace_file *file = calloc(1, sizeof *file);
    assert_non_null(file);
    json_begin(&json, bytes, size);
    for (bool top = json_open(&json, '{'); json_key(&json, &top, key, sizeof key); members++) {
        if (strcmp(key, "traceEvents") == 0) {
            for (bool first = json_open(&json, '['); json_element(&json, &first);)
                read_one_event(&json, file);
        } else if (strcmp(key, "otherData") == 0) {
            read_other(&json, file);
        } else {
            assert_string_equal(key, "displayTimeUnit");
            json_string(&json, text, sizeof text);
            assert_string_equal(text, "ns");
        }
    }
    json_finish(&json);
    if (json.error)
        fail_msg("%s:%zu: %s", path, json_line(&json), json.error);
    assert_int_equal(members, 3);
    for (unsigned i = 0; i < TRACE_LANES; i++)
        assert_int_equal(file->lanes[i].depth, 0);
    check_arrows(file);
    free(bytes);
    unlink(path);
    return file;
}

static inline void trace_free(trace_file *file)
{
    free(file->events);
    free(file);
}

/* ---- what is in it ---- */

/* How many events of that phase; NULL: of any category, of any name. */
static inline unsigned trace_count(const trace_file *file, char phase, const char *category, const char *name)
{
    unsigned n = 0;
    for (size_t i = 0; i < file->n; i++) {
        const trace_event *e = &file->events[i];
        n += e->phase == phase && (!category || strcmp(e->category, category) == 0) &&
             (!name || strcmp(e->name, name) == 0);
    }
    return n;
}

/* The first, or the only one; NULL: there is none. */
static inline const trace_event *trace_find(const trace_file *file, char phase, const char *category, const char *name)
{
    for (size_t i = 0; i < file->n; i++) {
        const trace_event *e = &file->events[i];
        if (e->phase == phase && (!category || strcmp(e->category, category) == 0) &&
            (!name || strcmp(e->name, name) == 0))
            return e;
    }
    return NULL;
}

static inline bool lane_is(const trace_file *file, unsigned tid, const char *end)
{
    size_t n = strlen(file->lanes[tid].name), m = strlen(end);
    return n >= m && strcmp(file->lanes[tid].name + n - m, end) == 0;
}

#endif
