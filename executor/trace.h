/* trace.h: noting down what the threads of an executor do.
 *
 * Whoever does something worth a note asks weft__tracing (executor.h), one load, and calls one of the functions below
 * if it says so. They write to the ring of the calling thread and never wait; trace.c tells how. A writer thread
 * (trace_write.c) carries the rings to a file.
 *
 * Nothing here knows a future: a job is a name and a mark that its maker keeps for it. */
#ifndef WEFT__TRACE_H
#define WEFT__TRACE_H

#include "atomics.h"

#include <pthread.h>
#include <weft/base.h>

#ifdef WEFT_TINY
enum { WEFT__LANE_CAPACITY = 256 };
#else
enum { WEFT__LANE_CAPACITY = 16384 };
#endif

typedef enum weft__note {
    /* Slices: begun and ended. */
    WEFT__NOTE_JOB,
    WEFT__NOTE_TASK, /* forked by a job on another thread */
    WEFT__NOTE_CALLBACK,
    WEFT__NOTE_PARKED,
    WEFT__NOTE_BLOCKED,
    WEFT__NOTE_END,     /* of the innermost; value: 0, or the code that it failed with */
    WEFT__NOTE_UNWOUND, /* the end of all that are open: the thread was ended */
    /* Moments. */
    WEFT__NOTE_SUBMIT,  /* value: the submitting thread's number, if it is not the executor's; else 0 */
    WEFT__NOTE_STEAL,   /* value: whom from, by index */
    WEFT__NOTE_WAKE,    /* value: whom, by index */
    WEFT__NOTE_ARM,     /* value: none */
    WEFT__NOTE_FIRE,    /* value: none */
    WEFT__NOTE_CANCEL,  /* before it began; value: weft_cancel_reason */
    WEFT__NOTE_REQUEST, /* while it runs; the same */
} weft__note;

/* What a job is known by in one trace. Kept by its maker; {0}: by nothing. */
typedef struct weft__mark {
    uint32_t id;
    uint16_t trace; /* the lower bits of its number */
} weft__mark;

enum { WEFT__NAME_SIZE = 46 };

/* One note. Written by the lane's thread, read by the writer once head is beyond it. */
typedef struct weft__record {
    int64_t at;  /* CLOCK_MONOTONIC; each later than the one before in its lane */
    uint32_t id; /* of the job's mark; 0: none */
    int32_t value;
    uint8_t note; /* weft__note */
    bool within;  /* it runs inside a wait for it */
    char name[WEFT__NAME_SIZE];
} weft__record;
_Static_assert(sizeof(weft__record) == 64, "a record is a cache line");

/* A ring with one thread at either end. */
typedef struct weft__lane {
    /* The lane's thread; of the lane outside, who holds outside_lock. */
    alignas(WEFT__PAIR) _Atomic(uint64_t) head; /* records written */
    _Atomic(uint64_t) lost;                     /* records for which there was no room; read by the writer at the end */
    uint64_t owed;                              /* slices that were begun: a place is kept for the end of each */
    int64_t last;                               /* time of the newest record */
    uint32_t next_id;                           /* of a block of them; a multiple of the block: take another */
    /* The writer. */
    alignas(WEFT__PAIR) _Atomic(uint64_t) tail; /* records read */
    uint64_t open;                              /* slices begun and not ended, as far as the file goes */
    int64_t written_at;                         /* time of the newest record in the file */
    bool named;                                 /* the file has the lane's name */
    weft__record ring[WEFT__LANE_CAPACITY];
} weft__lane;

/* A worker's counters when the trace began. */
typedef struct weft__before {
    uint64_t succeeded, failed, stolen, parks;
} weft__before;

/* One trace. Made by weft_trace_start and freed by weft_trace_stop; in between it is reached through the executor. */
typedef struct weft__trace {
    weft_executor *executor; /* constant, as the next six */
    uint32_t number;         /* of this trace in the process, from 1 */
    int64_t began;
    int file;
    unsigned places; /* lanes for threads; behind them the coordinator's, and the one outside */
    pthread_t writer;
    weft__before *before;      /* of each worker */
    _Atomic(uint32_t) kicked;  /* futex: the writer has something to do; set by anyone, cleared by the writer */
    _Atomic(bool) ending;      /* by stop, before the last kick; read by the writer */
    _Atomic(uint32_t) next_id; /* the next block of ids; any lane */
    _Atomic(uint64_t) lost;    /* by threads for which there was no memory for a lane */
    int error;                 /* the first that writing met; the writer, then who joined it */
    char *buffer;              /* the writer's, as the next two */
    size_t filled;
    bool any;                      /* an event was written, so that the next needs a comma */
    _Atomic(weft__lane *) lanes[]; /* entry of a spare: written under roster when it is started */
} weft__trace;

/* On any thread. The mark of a job that is being submitted under this name (NULL: none). */
weft__mark weft__trace_submitted(weft_executor *e, const char *name);

/* On a thread of the executor: a slice begins. The answer goes to weft__trace_end; 0: it is not noted. */
uint32_t weft__trace_begin(weft_executor *e, weft__note note, const char *name, weft__mark mark, bool within);
void weft__trace_end(weft_executor *e, uint32_t begun, int code);

/* On any thread: a moment. */
void weft__trace_moment(weft_executor *e, weft__note note, int value, const char *name, weft__mark mark);

void weft__note_timer(weft_executor *e, weft__note note);

/* On a thread whose stack is no more. */
void weft__trace_unwound(weft_executor *e);

/* Under roster: a thread has been made. */
void weft__trace_thread(weft_executor *e, unsigned index);

/* Ends the trace, if there is one. The caller is not a coordinator. -EALREADY: there is none. */
int weft__trace_finish(weft_executor *e);

/* trace_write.c */
void *weft__trace_write(void *trace);
void weft__trace_kick(weft__trace *trace);

#endif
