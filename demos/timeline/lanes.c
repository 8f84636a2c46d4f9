/* lanes.c: from events to lanes.
 *
 * Each event is read into one struct, whatever the order of its members, and then applied. What must hold is checked:
 * in a lane times only grow, and no slice ends that has not begun. Slices that are open at the end (a file that was
 * cut off is no JSON, so these come from other programs) end with the trace. */
#include "lanes.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

/* One event, as far as it matters here. */
struct event {
    char phase[4], name[NAME_SIZE], category[16], outcome[16], lane_name[NAME_SIZE];
    double tid, at, duration, id, sort_index;
    bool has_tid, has_at, has_id, has_sort_index;
};

/* ---- growing ---- */

/* Room for one more; NULL: there is no memory, or there are too many. */
static void *grow(void *items, size_t n, size_t *room, size_t size, size_t most)
{
    if (n < *room) {
        return items;
    }
    size_t more = *room > 0 ? *room * 2 : 64;
    void *larger = n < most ? realloc(items, more * size) : NULL;
    if (larger != NULL) {
        *room = more;
    }
    return larger;
}

/* The place of a new item at the end of a list of the trace; NULL, after a complaint: none. */
#define APPEND(json, items, n, room, most) append((json), (void **)&(items), &(n), &(room), sizeof *(items), (most))

static void *append(struct json *json, void **items, size_t *n, size_t *room, size_t size, size_t most)
{
    void *larger = grow(*items, *n, room, size, most);

    if (larger == NULL) {
        json_fail(json, *n < most ? "no memory" : "more events or lanes than this program takes");
        return NULL;
    }
    *items = larger;
    void *place = (char *)larger + (*n)++ * size;
    memset(place, 0, size);
    return place;
}

/* ---- reading an event ---- */

static void read_arguments(struct json *json, struct event *event)
{
    char key[24];

    if (json_peek(json) != '{') {
        json_skip(json);
        return;
    }
    for (bool first = json_open(json, '{'); json_key(json, &first, key, sizeof key);) {
        if (strcmp(key, "outcome") == 0 && json_peek(json) == '"') {
            json_string(json, event->outcome, sizeof event->outcome);
        } else if (strcmp(key, "name") == 0 && json_peek(json) == '"') {
            json_string(json, event->lane_name, sizeof event->lane_name);
        } else if (strcmp(key, "sort_index") == 0) {
            event->has_sort_index = json_number(json, &event->sort_index);
        } else {
            json_skip(json);
        }
    }
}

static void read_event(struct json *json, struct event *event)
{
    char key[16];

    *event = (struct event){.phase = ""};
    for (bool first = json_open(json, '{'); json_key(json, &first, key, sizeof key);) {
        if (strcmp(key, "ph") == 0) {
            json_string(json, event->phase, sizeof event->phase);
        } else if (strcmp(key, "name") == 0) {
            json_string(json, event->name, sizeof event->name);
        } else if (strcmp(key, "cat") == 0) {
            json_string(json, event->category, sizeof event->category);
        } else if (strcmp(key, "tid") == 0) {
            event->has_tid = json_number(json, &event->tid);
        } else if (strcmp(key, "ts") == 0) {
            event->has_at = json_number(json, &event->at);
        } else if (strcmp(key, "dur") == 0) {
            json_number(json, &event->duration);
        } else if (strcmp(key, "id") == 0 && json_peek(json) != '"') {
            event->has_id = json_number(json, &event->id);
        } else if (strcmp(key, "args") == 0) {
            read_arguments(json, event);
        } else {
            json_skip(json);
        }
    }
}

/* ---- lanes ---- */

static struct lane *find_lane(struct json *json, struct trace *trace, const struct event *event)
{
    if (!event->has_tid || event->tid < 0 || event->tid > 1e9) {
        json_fail(json, "an event without a lane (tid from 0 to 1000000000)");
        return NULL;
    }
    int64_t tid = (int64_t)event->tid;
    for (size_t i = 0; i < trace->n_lanes; i++) {
        if (trace->lanes[i].tid == tid) {
            return &trace->lanes[i];
        }
    }
    struct lane *lane = APPEND(json, trace->lanes, trace->n_lanes, trace->lanes_room, MOST_LANES);
    if (lane != NULL) {
        lane->tid = tid;
        lane->order = (double)tid;
        lane->last = -1;
    }
    return lane;
}

static void apply_name(struct trace *trace, struct lane *lane, const struct event *event)
{
    if (strcmp(event->name, "thread_name") == 0) {
        memcpy(lane->name, event->lane_name, sizeof lane->name);
    } else if (strcmp(event->name, "thread_sort_index") == 0 && event->has_sort_index) {
        lane->order = event->sort_index;
    } else if (strcmp(event->name, "process_name") == 0) {
        memcpy(trace->title, event->lane_name, sizeof trace->title);
    }
}

/* ---- slices ---- */

static enum kind kind_of(const char *category)
{
    static const char *const categories[] = {"job", "task", "callback", "park", "block"};

    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++) {
        if (strcmp(category, categories[i]) == 0) {
            return (enum kind)i;
        }
    }
    return KIND_OTHER;
}

static enum outcome outcome_of(const char *text)
{
    static const char *const outcomes[] = {"", "succeeded", "failed", "cancelled", "unfinished"};

    for (size_t i = 1; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        if (strcmp(text, outcomes[i]) == 0) {
            return (enum outcome)i;
        }
    }
    return OUTCOME_NONE;
}

static struct slice *new_slice(struct json *json, struct trace *trace, const struct lane *lane,
                               const struct event *event)
{
    struct slice *slice = APPEND(json, trace->slices, trace->n_slices, trace->slices_room, MOST_ITEMS);

    if (slice != NULL) {
        slice->lane = (size_t)(lane - trace->lanes);
        slice->depth = lane->depth;
        slice->from = slice->to = event->at;
        slice->kind = kind_of(event->category);
        memcpy(slice->name, event->name, sizeof slice->name);
    }
    return slice;
}

static void begin_slice(struct json *json, struct trace *trace, struct lane *lane, const struct event *event)
{
    size_t *open = grow(lane->open, lane->depth, &lane->open_room, sizeof *open, MOST_ITEMS);

    if (open == NULL) {
        json_fail(json, "no memory");
        return;
    }
    lane->open = open;
    if (new_slice(json, trace, lane, event) == NULL) {
        return;
    }
    lane->open[lane->depth++] = trace->n_slices - 1;
    lane->deepest = lane->depth > lane->deepest ? lane->depth : lane->deepest;
}

static void end_slice(struct trace *trace, struct lane *lane, double at, enum outcome outcome)
{
    struct slice *slice = &trace->slices[lane->open[--lane->depth]];

    slice->to = at;
    slice->outcome = outcome;
    if (slice->kind == KIND_JOB) {
        lane->jobs[outcome]++;
    }
    lane->parks += slice->kind == KIND_PARKED;
    if (lane->depth == 0 && slice->kind != KIND_PARKED) {
        lane->busy += slice->to - slice->from;
    }
}

/* ---- arrows and moments ---- */

static void add_arrow_end(struct json *json, struct trace *trace, const struct lane *lane, const struct event *event)
{
    struct arrow_end *end = event->phase[0] == 's'
                                ? APPEND(json, trace->starts, trace->n_starts, trace->starts_room, MOST_ITEMS)
                                : APPEND(json, trace->ends, trace->n_ends, trace->ends_room, MOST_ITEMS);

    if (end != NULL) {
        *end = (struct arrow_end){event->id, event->at, (size_t)(lane - trace->lanes)};
    }
}

static void add_moment(struct json *json, struct trace *trace, struct lane *lane, const struct event *event)
{
    static const char *const categories[] = {"steal", "wake", "timer", "cancel", "submit"};
    size_t kind = 0;

    while (kind < sizeof categories / sizeof categories[0] && strcmp(event->category, categories[kind]) != 0) {
        kind++;
    }
    if (kind == sizeof categories / sizeof categories[0]) {
        return;
    }
    struct moment *moment = APPEND(json, trace->moments, trace->n_moments, trace->moments_room, MOST_ITEMS);
    if (moment != NULL) {
        *moment = (struct moment){(size_t)(lane - trace->lanes), event->at, (enum moment_kind)kind};
        lane->steals += kind == MOMENT_STEAL;
    }
}

/* A slice that comes in one piece. */
static void add_whole(struct json *json, struct trace *trace, struct lane *lane, const struct event *event)
{
    if (event->duration < 0) {
        json_fail(json, "a slice that ends before it begins");
    } else if (strcmp(event->category, "submit") == 0) {
        add_moment(json, trace, lane, event);
    } else {
        struct slice *slice = new_slice(json, trace, lane, event);
        if (slice != NULL) {
            slice->to += event->duration;
            lane->deepest = lane->depth + 1 > lane->deepest ? lane->depth + 1 : lane->deepest;
        }
    }
}

/* ---- the whole ---- */

static void apply_timed(struct json *json, struct trace *trace, struct lane *lane, const struct event *event)
{
    if (!event->has_at || event->at < lane->last) {
        json_fail(json,
                  event->has_at ? "in a lane, an event that comes before the one above it" : "an event without a time");
        return;
    }
    lane->last = event->at;
    trace->from = event->at < trace->from ? event->at : trace->from;
    trace->to = event->at + event->duration > trace->to ? event->at + event->duration : trace->to;
    switch (event->phase[0]) {
    case 'B':
        begin_slice(json, trace, lane, event);
        break;
    case 'E':
        if (lane->depth == 0) {
            json_fail(json, "the end of a slice that has not begun");
        } else {
            end_slice(trace, lane, event->at, outcome_of(event->outcome));
        }
        break;
    case 'X':
        add_whole(json, trace, lane, event);
        break;
    case 's':
    case 'f':
        if (event->has_id) {
            add_arrow_end(json, trace, lane, event);
        }
        break;
    default:
        add_moment(json, trace, lane, event);
        break;
    }
}

static void apply(struct json *json, struct trace *trace, const struct event *event)
{
    if (json->error != NULL || event->phase[0] == '\0' || event->phase[1] != '\0' ||
        strchr("MBEXsfi", event->phase[0]) == NULL) {
        return; /* counters and the like */
    }
    struct lane *lane = find_lane(json, trace, event);
    if (lane == NULL) {
        return;
    }
    if (event->phase[0] == 'M') {
        apply_name(trace, lane, event);
    } else {
        apply_timed(json, trace, lane, event);
    }
}

static void read_events(struct json *json, struct trace *trace)
{
    struct event event;

    for (bool first = json_open(json, '['); json_element(json, &first);) {
        read_event(json, &event);
        apply(json, trace, &event);
    }
}

static void read_worker(struct json *json, struct counters *counters)
{
    char key[16];

    for (bool first = json_open(json, '{'); json_key(json, &first, key, sizeof key);) {
        if (strcmp(key, "succeeded") == 0) {
            json_number(json, &counters->succeeded);
        } else if (strcmp(key, "failed") == 0) {
            json_number(json, &counters->failed);
        } else if (strcmp(key, "stolen") == 0) {
            json_number(json, &counters->stolen);
        } else {
            json_skip(json);
        }
    }
}

static void read_workers(struct json *json, struct trace *trace)
{
    for (bool first = json_open(json, '['); json_element(json, &first);) {
        struct counters *counters = APPEND(json, trace->counters, trace->n_counters, trace->counters_room, MOST_LANES);
        if (counters != NULL) {
            read_worker(json, counters);
        }
    }
}

static void read_other(struct json *json, struct trace *trace)
{
    char key[16];

    for (bool first = json_open(json, '{'); json_key(json, &first, key, sizeof key);) {
        if (strcmp(key, "lost") == 0) {
            json_number(json, &trace->lost);
        } else if (strcmp(key, "workers") == 0 && json_peek(json) == '[') {
            read_workers(json, trace);
        } else {
            json_skip(json);
        }
    }
}

static int compare_ids(const void *a, const void *b)
{
    const struct arrow_end *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

static void close_lanes(struct trace *trace)
{
    for (size_t i = 0; i < trace->n_lanes; i++) {
        while (trace->lanes[i].depth > 0) {
            end_slice(trace, &trace->lanes[i], trace->to, OUTCOME_UNFINISHED);
        }
    }
    if (trace->from > trace->to) {
        trace->from = trace->to = 0; /* no event at all */
    }
    if (trace->n_starts > 0) {
        qsort(trace->starts, trace->n_starts, sizeof *trace->starts, compare_ids);
    }
}

const char *trace_read(struct trace *trace, const char *text, size_t size, size_t *line)
{
    struct json json;
    char key[24];
    bool any = false;

    *trace = (struct trace){.from = 1e300, .to = -1e300};
    json_begin(&json, text, size);
    if (json_peek(&json) == '[') { /* the other form of the format: the array alone */
        any = true;
        read_events(&json, trace);
    } else {
        for (bool first = json_open(&json, '{'); json_key(&json, &first, key, sizeof key);) {
            if (strcmp(key, "traceEvents") == 0) {
                any = true;
                read_events(&json, trace);
            } else if (strcmp(key, "otherData") == 0 && json_peek(&json) == '{') {
                read_other(&json, trace);
            } else {
                json_skip(&json);
            }
        }
    }
    json_finish(&json);
    *line = json_line(&json);
    if (json.error == NULL && !any) {
        return "no trace: there are no traceEvents";
    }
    if (json.error == NULL) {
        close_lanes(trace);
    }
    return json.error;
}

void trace_free(struct trace *trace)
{
    for (size_t i = 0; i < trace->n_lanes; i++) {
        free(trace->lanes[i].open);
    }
    free(trace->lanes);
    free(trace->slices);
    free(trace->starts);
    free(trace->ends);
    free(trace->moments);
    free(trace->counters);
}

const struct lane *trace_worker_lane(const struct trace *trace, size_t i)
{
    for (size_t k = 0; k < trace->n_lanes; k++) {
        if (trace->lanes[k].tid == (int64_t)i + 1) {
            return &trace->lanes[k];
        }
    }
    return NULL;
}

const struct arrow_end *trace_arrow_start(const struct trace *trace, double id)
{
    struct arrow_end wanted = {.id = id};

    return trace->n_starts > 0 ? bsearch(&wanted, trace->starts, trace->n_starts, sizeof *trace->starts, compare_ids)
                               : NULL;
}
