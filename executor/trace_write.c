/* trace_write.c: the thread that carries a trace to its file, and the file's format.
 *
 * Discipline. One thread a trace. It sleeps until somebody kicks it: a lane that is half full, or the end. It takes the
 * lanes one after the other; each is in the order of time, the file is not, which viewers do not ask for. It alone
 * writes the tails, the buffer and the file. An error ends the writing but not the reading: the rings are emptied on.
 *
 * Format. The Trace Event Format, as JSON: an object with an array of events. B and E are a slice's beginning and end,
 * X a whole one, s and f an arrow's, i a moment, M a name. A submit is a slice of one nanosecond, so that the arrow
 * begins somewhere on lanes where nothing runs; records of a lane are at least so far apart. An arrow's end is bound to
 * the slice around it ("bp":"e"), the job. What is open at the end is closed there.
 *
 * Texts come from the program and may hold anything: what JSON must not contain is escaped, and what is no UTF-8, also
 * because a name was cut within a character, becomes U+FFFD. */
#include "trace.h"

#include "executor.h"

#include <errno.h>

enum { BUFFER_SIZE = 65536, MOST_OF_AN_EVENT = 1024 };

/* ---- text ---- */

static void flush(weft__trace *t)
{
    if (!t->error)
        t->error = weft__file_write(t->file, t->buffer, t->filled);
    t->filled = 0;
}

static void put(weft__trace *t, const char *text)
{
    while (*text)
        t->buffer[t->filled++] = *text++;
}

static void put_number(weft__trace *t, uint64_t n)
{
    char digits[20];
    size_t i = 0;
    do
        digits[i++] = (char)('0' + n % 10);
    while (n /= 10);
    while (i > 0)
        t->buffer[t->filled++] = digits[--i];
}

static void put_signed(weft__trace *t, int64_t n)
{
    if (n < 0)
        t->buffer[t->filled++] = '-';
    put_number(t, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

/* ns as microseconds. */
static void put_time(weft__trace *t, int64_t ns)
{
    uint64_t n = ns > 0 ? (uint64_t)ns : 0;
    put_number(t, n / 1000);
    t->buffer[t->filled++] = '.';
    for (uint64_t unit = 100; unit; unit /= 10)
        t->buffer[t->filled++] = (char)('0' + n / unit % 10);
}

/* How many bytes a well-formed character takes that starts here; 0: none does. The text ends with a 0. */
static unsigned character_length(const unsigned char *s)
{
    unsigned n = s[0] < 0x80                   ? 1
                 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                 : (s[0] & 0xf0) == 0xe0       ? 3
                 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                               : 0;
    for (unsigned i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool outside = (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90);
    return overlong || outside ? 0 : n;
}

static void put_escaped(weft__trace *t, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    put(t, "\\u00");
    t->buffer[t->filled++] = hex[byte >> 4];
    t->buffer[t->filled++] = hex[byte & 15];
}

static void put_string(weft__trace *t, const char *text)
{
    put(t, "\"");
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        unsigned n = character_length(s);
        if (n == 0) {
            put(t, "\\ufffd");
            s++;
        } else if (*s < ' ' || *s == '"' || *s == '\\' || *s == 127) {
            put_escaped(t, *s++);
        } else {
            while (n-- > 0)
                t->buffer[t->filled++] = (char)*s++;
        }
    }
    put(t, "\"");
}

/* ---- events ---- */

static void begin_event(weft__trace *t, const char *phase, unsigned place)
{
    if (t->filled > BUFFER_SIZE - MOST_OF_AN_EVENT)
        flush(t);
    put(t, t->any ? ",\n{\"ph\":\"" : "\n{\"ph\":\"");
    t->any = true;
    put(t, phase);
    put(t, "\",\"pid\":1,\"tid\":");
    put_number(t, place + 1); /* not 0, which viewers take for the idle thread */
}

static void put_when(weft__trace *t, int64_t at)
{
    put(t, ",\"ts\":");
    put_time(t, at - t->began);
}

static void put_label(weft__trace *t, const char *name, const char *category)
{
    put(t, ",\"name\":");
    put_string(t, name);
    put(t, ",\"cat\":\"");
    put(t, category);
    put(t, "\"");
}

static void name_lane(weft__trace *t, unsigned place)
{
    begin_event(t, "M", place);
    put(t, ",\"name\":\"thread_name\",\"args\":{\"name\":");
    if (place > t->places) {
        put(t, "\"outside\"");
    } else {
        put_string(t, t->executor->name);
        t->filled--; /* the quote */
        put(t, place == t->places ? "-timer" : "-");
        if (place < t->places)
            put_number(t, place);
        put(t, "\"");
    }
    put(t, "}}");
    begin_event(t, "M", place);
    put(t, ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":");
    put_number(t, place > t->places ? 0 : place == t->places ? 1 : place + 2); /* outside above, then the coordinator */
    put(t, "}}");
}

static void write_arrow(weft__trace *t, const char *phase, unsigned place, const weft__record *r)
{
    begin_event(t, phase, place);
    put_when(t, r->at);
    put_label(t, "submit", "flow");
    put(t, ",\"id\":");
    put_number(t, r->id);
    put(t, *phase == 'f' ? ",\"bp\":\"e\"}" : "}");
}

static void write_begin(weft__trace *t, unsigned place, const weft__record *r)
{
    static const struct {
        const char *name, *category;
    } kinds[] = {[WEFT__NOTE_JOB] = {"job", "job"},
                 [WEFT__NOTE_TASK] = {"task", "task"},
                 [WEFT__NOTE_CALLBACK] = {"callback", "callback"},
                 [WEFT__NOTE_PARKED] = {"parked", "park"},
                 [WEFT__NOTE_BLOCKED] = {"blocked", "block"}};
    begin_event(t, "B", place);
    put_when(t, r->at);
    put_label(t, r->name[0] ? r->name : kinds[r->note].name, kinds[r->note].category);
    if (r->id || r->within) {
        put(t, ",\"args\":{");
        if (r->id) {
            put(t, "\"id\":");
            put_number(t, r->id);
        }
        if (r->within)
            put(t, r->id ? ",\"within_wait\":true" : "\"within_wait\":true");
        put(t, "}");
    }
    put(t, "}");
    if (r->id)
        write_arrow(t, "f", place, r);
}

/* outcome NULL: there is none to tell. */
static void write_end(weft__trace *t, unsigned place, int64_t at, const char *outcome, int code)
{
    begin_event(t, "E", place);
    put_when(t, at);
    if (outcome) {
        put(t, ",\"args\":{\"outcome\":\"");
        put(t, outcome);
        put(t, "\"");
        if (code) {
            put(t, ",\"code\":");
            put_signed(t, code);
        }
        put(t, "}");
    }
    put(t, "}");
}

static void write_submit(weft__trace *t, unsigned place, const weft__record *r)
{
    begin_event(t, "X", place);
    put_when(t, r->at);
    put(t, ",\"dur\":0.001");
    put_label(t, "submit", "submit");
    put(t, ",\"args\":{\"id\":");
    put_number(t, r->id);
    if (r->name[0]) {
        put(t, ",\"job\":");
        put_string(t, r->name);
    }
    if (r->value) {
        put(t, ",\"thread\":");
        put_signed(t, r->value);
    }
    put(t, "}}");
    write_arrow(t, "s", place, r);
}

static void write_moment(weft__trace *t, unsigned place, const weft__record *r)
{
    static const char *const reasons[] = {"none", "user", "timeout", "sibling", "parent", "shutdown", "self"};
    static const struct {
        const char *name, *category, *value;
    } kinds[] = {
        [WEFT__NOTE_STEAL] = {"steal", "steal", "from"},   [WEFT__NOTE_WAKE] = {"wake", "wake", "worker"},
        [WEFT__NOTE_ARM] = {"timer armed", "timer", NULL}, [WEFT__NOTE_FIRE] = {"timer fired", "timer", NULL},
        [WEFT__NOTE_CANCEL] = {"cancel", "cancel", NULL},  [WEFT__NOTE_REQUEST] = {"stop asked", "cancel", NULL}};
    begin_event(t, "i", place);
    put_when(t, r->at);
    put(t, ",\"s\":\"t\"");
    put_label(t, kinds[r->note].name, kinds[r->note].category);
    put(t, ",\"args\":{");
    const char *comma = "";
    if (kinds[r->note].value) {
        put(t, "\"");
        put(t, kinds[r->note].value);
        put(t, "\":");
        put_signed(t, r->value);
        comma = ",";
    } else if (r->note == WEFT__NOTE_CANCEL || r->note == WEFT__NOTE_REQUEST) {
        put(t, "\"reason\":\"");
        put(t, reasons[(unsigned)r->value <= WEFT_REASON_SELF ? r->value : 0]);
        put(t, "\"");
        comma = ",";
    }
    if (r->id) {
        put(t, comma);
        put(t, "\"id\":");
        put_number(t, r->id);
        comma = ",";
    }
    if (r->name[0]) {
        put(t, comma);
        put(t, "\"job\":");
        put_string(t, r->name);
    }
    put(t, "}}");
}

static const char *outcome_of(int code)
{
    return code == 0 ? "succeeded" : code == -ECANCELED ? "cancelled" : "failed";
}

static void write_record(weft__trace *t, unsigned place, weft__lane *lane, const weft__record *r)
{
    switch (r->note) {
    case WEFT__NOTE_JOB:
    case WEFT__NOTE_TASK:
    case WEFT__NOTE_CALLBACK:
    case WEFT__NOTE_PARKED:
    case WEFT__NOTE_BLOCKED:
        lane->open++;
        write_begin(t, place, r);
        break;
    case WEFT__NOTE_END:
        lane->open--;
        write_end(t, place, r->at, outcome_of(r->value), r->value);
        break;
    case WEFT__NOTE_UNWOUND:
        for (; lane->open > 0; lane->open--)
            write_end(t, place, r->at, "failed", -EOWNERDEAD);
        break;
    case WEFT__NOTE_SUBMIT:
        write_submit(t, place, r);
        break;
    default:
        write_moment(t, place, r);
        break;
    }
    lane->written_at = r->at;
}

/* ---- the whole ---- */

static void empty_lane(weft__trace *t, unsigned place)
{
    /* Acquire, partners of lane_make and publish. */
    weft__lane *lane = atomic_load_explicit(&t->lanes[place], memory_order_acquire);
    if (!lane)
        return;
    uint64_t head = atomic_load_explicit(&lane->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
    if (!lane->named)
        name_lane(t, place);
    lane->named = true;
    while (tail != head) {
        write_record(t, place, lane, &lane->ring[tail % WEFT__LANE_CAPACITY]);
        /* Release: it has been read; partner of place_for. */
        atomic_store_explicit(&lane->tail, ++tail, memory_order_release);
    }
}

/* All threads are out, so what is read here does not change. */
static uint64_t close_lanes(weft__trace *t)
{
    uint64_t lost = atomic_load_explicit(&t->lost, memory_order_relaxed);
    int64_t now = weft__now();
    for (unsigned place = 0; place < t->places + 2; place++) {
        weft__lane *lane = atomic_load_explicit(&t->lanes[place], memory_order_relaxed);
        if (!lane)
            continue;
        for (; lane->open > 0; lane->open--)
            write_end(t, place, now > lane->written_at ? now : lane->written_at, "unfinished", 0);
        lost += atomic_load_explicit(&lane->lost, memory_order_relaxed);
    }
    return lost;
}

static void put_field(weft__trace *t, const char *name, uint64_t n)
{
    put(t, ",\"");
    put(t, name);
    put(t, "\":");
    put_number(t, n);
}

static void write_counters(weft__trace *t)
{
    weft_stats now;
    put(t, ",\"workers\":[");
    for (unsigned i = 0; i < t->executor->workers; i++) {
        const weft__before *before = &t->before[i];
        weft_worker_stats(t->executor, i, &now);
        if (t->filled > BUFFER_SIZE - MOST_OF_AN_EVENT)
            flush(t);
        put(t, i ? ",\n{\"worker\":" : "\n{\"worker\":");
        put_number(t, i);
        put_field(t, "succeeded", now.succeeded - before->succeeded);
        put_field(t, "failed", now.failed - before->failed);
        put_field(t, "stolen", now.stolen - before->stolen);
        put_field(t, "parks", now.parks - before->parks);
        put(t, "}");
    }
    put(t, "\n]");
}

static void write_foot(weft__trace *t)
{
    uint64_t lost = close_lanes(t);
    if (t->filled > BUFFER_SIZE - MOST_OF_AN_EVENT)
        flush(t);
    put(t, "\n],\n\"displayTimeUnit\":\"ns\",\n\"otherData\":{\"source\":\"weft\",\"executor\":");
    put_string(t, t->executor->name);
    put_field(t, "lost", lost);
    write_counters(t);
    put(t, "}}\n");
    flush(t);
}

void *weft__trace_write(void *trace)
{
    weft__trace *t = trace;
    put(t, "{\"traceEvents\":[");
    begin_event(t, "M", 0);
    put(t, ",\"name\":\"process_name\",\"args\":{\"name\":");
    put_string(t, t->executor->name);
    put(t, "}}");
    for (bool ending = false; !ending;) {
        while (atomic_load_explicit(&t->kicked, memory_order_relaxed) == 0)
            weft__futex_wait(&t->kicked, 0, INT64_MAX);
        /* Before the look at the lanes, so that a kick for what they do not show yet is found afterwards. acq_rel,
         * partner of kick. */
        atomic_exchange_explicit(&t->kicked, 0, memory_order_acq_rel);
        ending = atomic_load_explicit(&t->ending, memory_order_acquire);
        for (unsigned place = 0; place < t->places + 2; place++)
            empty_lane(t, place);
    }
    write_foot(t);
    return NULL;
}
