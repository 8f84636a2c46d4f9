/* report.c: counters as JSON and as Prometheus metrics.
 *
 * Times in the JSON are microseconds since the start of the server: short to write, and exact in a browser's numbers.
 * */
#define _POSIX_C_SOURCE 200809L
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A text that grows. NULL stream: no memory. */
struct text {
    char *bytes;
    size_t size;
    FILE *stream;
};

static void open_text(struct text *text)
{
    *text = (struct text){0};
    text->stream = open_memstream(&text->bytes, &text->size);
}

static char *close_text(struct text *text)
{
    if (fclose(text->stream) == 0) {
        return text->bytes;
    }
    free(text->bytes);
    return NULL;
}

/* Workers, and spares up to the last that has run a part of a tile. */
static unsigned lane_count(const struct server *server)
{
    unsigned workers = weft_executor_workers(server->executor), used = lanes_used(server->lanes);
    unsigned count = used > workers ? used : workers;

    return count < MOST_LANES ? count : MOST_LANES;
}

/* ---- JSON ---- */

static int64_t microseconds(const struct server *server, int64_t time)
{
    return (time - server->started) / 1000;
}

static void write_counts(FILE *stream, const struct server *server)
{
    const struct counts *counts = &server->counts;

    fprintf(stream,
            "\"http\":{\"connections\":%zu,\"requests\":%" PRIu64 ",\"malformed\":%" PRIu64 "},"
            "\"tiles\":{\"asked\":%" PRIu64 ",\"open\":%zu,\"drawn\":%" PRIu64 ",\"late\":%" PRIu64
            ",\"refused\":%" PRIu64 ",\"left\":%" PRIu64 ",\"failed\":%" PRIu64 "},",
            server->client_count, counts->requests, counts->malformed, counts->tiles, server->drawing, counts->drawn,
            counts->late, counts->refused, counts->left, counts->failed);
}

static void write_jobs(FILE *stream, const struct server *server)
{
    weft_stats stats = {0};

    weft_executor_stats(server->executor, &stats);
    fprintf(stream,
            "\"jobs\":{\"submitted\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"succeeded\":%" PRIu64 ",\"failed\":%" PRIu64
            ",\"cancelled\":%" PRIu64 ",\"timed_out\":%" PRIu64 ",\"queued\":%" PRIu64 ",\"running\":%" PRIu64
            ",\"stolen\":%" PRIu64 ",\"parks\":%" PRIu64 ",\"wakes\":%" PRIu64 ",\"timers_armed\":%" PRIu64
            ",\"timers_fired\":%" PRIu64 ",\"spares\":%" PRIu64 "},",
            stats.submitted, stats.refused, stats.succeeded, stats.failed, stats.cancelled, stats.timed_out,
            stats.queued, stats.running, stats.stolen, stats.parks, stats.wakes, stats.timers_armed, stats.timers_fired,
            stats.spares);
}

static void write_waits(FILE *stream, const struct server *server)
{
    uint64_t buckets[WAIT_BUCKETS], sum;

    lanes_waits(server->lanes, buckets, &sum);
    fputs("\"waits\":[", stream);
    for (size_t i = 0; i < WAIT_BUCKETS; i++) {
        fprintf(stream, "%s%" PRIu64, i > 0 ? "," : "", buckets[i]);
    }
    fputs("],", stream);
}

/* [begin, end (0: runs still), job, flags: 1 stolen, 2 parked before, 4 stopped] */
static void write_span(FILE *stream, const struct server *server, const struct span *span)
{
    fprintf(stream, "[%" PRId64 ",%" PRId64 ",%" PRIu64 ",%d]", microseconds(server, span->begin),
            span->end != 0 ? microseconds(server, span->end) : 0, span->job,
            (span->stolen ? 1 : 0) + (span->parked ? 2 : 0) + (span->stopped ? 4 : 0));
}

static void write_lane(FILE *stream, const struct server *server, unsigned worker, int64_t since)
{
    struct span spans[MOST_SPANS];
    weft_stats stats = {0};
    uint64_t parks;

    weft_worker_stats(server->executor, worker, &stats);
    size_t count = lanes_read(server->lanes, worker, server->started + since, spans, &parks);
    fprintf(stream, "{\"worker\":%u,\"busy\":%" PRIu64 ",\"stolen\":%" PRIu64 ",\"parks\":%" PRIu64 ",\"parked\":%s,",
            worker, stats.busy_ns / 1000, stats.stolen, stats.parks, stats.parks != parks ? "true" : "false");
    fputs("\"spans\":[", stream);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? "," : "", stream);
        write_span(stream, server, &spans[i]);
    }
    fputs("]}", stream);
}

char *report_json(const struct server *server, int64_t since)
{
    struct text text;

    open_text(&text);
    if (text.stream == NULL) {
        return NULL;
    }
    /* What is beyond now, or beyond the range, asks for nothing. */
    int64_t now = weft_now(), latest = microseconds(server, now);
    since = (since < latest ? since : latest) * 1000;
    fprintf(text.stream, "{\"now\":%" PRId64 ",\"workers\":%u,", latest, weft_executor_workers(server->executor));
    write_counts(text.stream, server);
    write_jobs(text.stream, server);
    write_waits(text.stream, server);
    fputs("\"lanes\":[", text.stream);
    for (unsigned worker = 0; worker < lane_count(server); worker++) {
        fputs(worker > 0 ? "," : "", text.stream);
        write_lane(text.stream, server, worker, since);
    }
    fputs("]}\n", text.stream);
    return close_text(&text);
}

/* ---- Prometheus ---- */

static void write_head(FILE *stream, const char *name, const char *type, const char *help)
{
    fprintf(stream, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_metric(FILE *stream, const char *name, const char *type, const char *help, uint64_t value)
{
    write_head(stream, name, type, help);
    fprintf(stream, "%s %" PRIu64 "\n", name, value);
}

static void write_tile_metrics(FILE *stream, const struct server *server)
{
    static const char name[] = "server_tiles_total";
    const struct counts *counts = &server->counts;

    write_metric(stream, "server_connections", "gauge", "Connections that are open.", server->client_count);
    write_metric(stream, "server_connections_accepted_total", "counter", "Connections so far.", counts->connections);
    write_metric(stream, "server_requests_total", "counter", "Requests whose head was read.", counts->requests);
    write_metric(stream, "server_malformed_total", "counter", "Requests answered with 4xx.", counts->malformed);
    write_metric(stream, "server_tiles_asked_total", "counter", "Requests for tiles.", counts->tiles);
    write_metric(stream, "server_tiles_open", "gauge", "Requests for tiles not yet answered.", server->drawing);
    write_head(stream, name, "counter", "Requests for tiles, by how they ended.");
    fprintf(stream, "%s{end=\"drawn\"} %" PRIu64 "\n", name, counts->drawn);
    fprintf(stream, "%s{end=\"late\"} %" PRIu64 "\n", name, counts->late);
    fprintf(stream, "%s{end=\"refused\"} %" PRIu64 "\n", name, counts->refused);
    fprintf(stream, "%s{end=\"left\"} %" PRIu64 "\n", name, counts->left);
    fprintf(stream, "%s{end=\"failed\"} %" PRIu64 "\n", name, counts->failed);
}

static void write_job_metrics(FILE *stream, const weft_stats *stats)
{
    static const char name[] = "weft_jobs_total";

    write_metric(stream, "weft_jobs_submitted_total", "counter", "Jobs accepted.", stats->submitted);
    write_metric(stream, "weft_jobs_refused_total", "counter", "Jobs refused.", stats->refused);
    write_head(stream, name, "counter", "Jobs that are over, by how they ended.");
    fprintf(stream, "%s{end=\"succeeded\"} %" PRIu64 "\n", name, stats->succeeded);
    fprintf(stream, "%s{end=\"failed\"} %" PRIu64 "\n", name, stats->failed);
    fprintf(stream, "%s{end=\"cancelled\"} %" PRIu64 "\n", name, stats->cancelled);
    fprintf(stream, "%s{end=\"timed_out\"} %" PRIu64 "\n", name, stats->timed_out);
    write_metric(stream, "weft_jobs_queued", "gauge", "Jobs accepted and not started.", stats->queued);
    write_metric(stream, "weft_jobs_running", "gauge", "Jobs started and not done.", stats->running);
    write_metric(stream, "weft_wakes_total", "counter", "Times a sleeping worker was woken.", stats->wakes);
    write_metric(stream, "weft_timers_armed_total", "counter", "Timers armed.", stats->timers_armed);
    write_metric(stream, "weft_timers_fired_total", "counter", "Timers fired.", stats->timers_fired);
}

static void write_worker_metrics(FILE *stream, const struct server *server)
{
    weft_stats stats[MOST_LANES] = {{0}};
    unsigned count = lane_count(server);

    for (unsigned worker = 0; worker < count; worker++) {
        weft_worker_stats(server->executor, worker, &stats[worker]);
    }
    write_head(stream, "weft_steals_total", "counter", "Jobs taken from the queue of another worker.");
    for (unsigned worker = 0; worker < count; worker++) {
        fprintf(stream, "weft_steals_total{worker=\"%u\"} %" PRIu64 "\n", worker, stats[worker].stolen);
    }
    write_head(stream, "weft_parks_total", "counter", "Times a worker went to sleep for lack of work.");
    for (unsigned worker = 0; worker < count; worker++) {
        fprintf(stream, "weft_parks_total{worker=\"%u\"} %" PRIu64 "\n", worker, stats[worker].parks);
    }
    write_head(stream, "weft_busy_seconds_total", "counter", "Time awake, up to the last going to sleep.");
    for (unsigned worker = 0; worker < count; worker++) {
        fprintf(stream, "weft_busy_seconds_total{worker=\"%u\"} %.6f\n", worker, (double)stats[worker].busy_ns / 1e9);
    }
}

static void write_wait_metrics(FILE *stream, const struct server *server)
{
    static const char name[] = "server_tile_wait_seconds";
    uint64_t buckets[WAIT_BUCKETS], sum, count = 0;

    lanes_waits(server->lanes, buckets, &sum);
    write_head(stream, name, "histogram", "From the request for a tile to the start of its job.");
    for (size_t i = 0; i < WAIT_BUCKETS; i++) {
        count += buckets[i];
        if (i + 1 < WAIT_BUCKETS) {
            fprintf(stream, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name, (double)(1ULL << (i + 10)) / 1e9, count);
        }
    }
    fprintf(stream, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n%s_count %" PRIu64 "\n", name, count, name,
            (double)sum / 1e9, name, count);
}

char *report_metrics(const struct server *server)
{
    weft_stats stats = {0};
    struct text text;

    open_text(&text);
    if (text.stream == NULL) {
        return NULL;
    }
    weft_executor_stats(server->executor, &stats);
    write_tile_metrics(text.stream, server);
    write_job_metrics(text.stream, &stats);
    write_worker_metrics(text.stream, server);
    write_wait_metrics(text.stream, server);
    return close_text(&text);
}
