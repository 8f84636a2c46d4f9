/* lanes.h: a trace as lanes with slices, arrows and moments.
 *
 * What weft_trace_start writes, read back; of other programs' traces in the Trace Event Format, what is of these kinds.
 * Everything belongs to who reads; nothing changes afterwards. */
#ifndef TIMELINE_LANES_H
#define TIMELINE_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAME_SIZE = 64, MOST_LANES = 8192, MOST_ITEMS = 4000000 };

enum kind { KIND_JOB, KIND_TASK, KIND_CALLBACK, KIND_PARKED, KIND_BLOCKED, KIND_OTHER };
enum outcome { OUTCOME_NONE, OUTCOME_SUCCEEDED, OUTCOME_FAILED, OUTCOME_CANCELLED, OUTCOME_UNFINISHED };

struct lane {
    int64_t tid;
    char name[NAME_SIZE];
    double order;     /* lanes are shown from small to large */
    double last;      /* time of its newest event */
    unsigned depth;   /* slices that are open, while reading */
    unsigned deepest; /* the most that ever were */
    size_t *open;     /* which they are; depth of them */
    size_t open_room;
    size_t jobs[5]; /* by enum outcome */
    size_t steals, parks;
    double busy; /* us in outermost slices other than parked */
};

struct slice {
    size_t lane;     /* index into lanes */
    unsigned depth;  /* 0: outermost */
    double from, to; /* us */
    enum kind kind;
    enum outcome outcome;
    char name[NAME_SIZE];
};

/* Either end of an arrow. */
struct arrow_end {
    double id, at;
    size_t lane;
};

enum moment_kind { MOMENT_STEAL, MOMENT_WAKE, MOMENT_TIMER, MOMENT_CANCEL, MOMENT_SUBMIT };

struct moment {
    size_t lane;
    double at;
    enum moment_kind kind;
};

/* What a worker's counters grew by during the trace. */
struct counters {
    double succeeded, failed, stolen;
};

struct trace {
    struct lane *lanes;
    size_t n_lanes, lanes_room;
    struct slice *slices; /* in the order of the file: of a lane, by beginning */
    size_t n_slices, slices_room;
    struct arrow_end *starts, *ends; /* of arrows; starts sorted by id once read */
    size_t n_starts, starts_room, n_ends, ends_room;
    struct moment *moments;
    size_t n_moments, moments_room;
    double from, to;           /* us; the span of all events */
    double lost;               /* events that the file says it lacks */
    struct counters *counters; /* of each worker, as the file says */
    size_t n_counters, counters_room;
    char title[NAME_SIZE];
};

/* Reads a trace from memory. NULL: it is one; otherwise what is wrong with it, and *line where. Either way
 * trace_free follows. */
const char *trace_read(struct trace *trace, const char *text, size_t size, size_t *line);
void trace_free(struct trace *trace);

/* The lane of worker i; NULL: there is none. */
const struct lane *trace_worker_lane(const struct trace *trace, size_t i);

/* The beginning of the arrow with this id; NULL: there is none. */
const struct arrow_end *trace_arrow_start(const struct trace *trace, double id);

#endif
