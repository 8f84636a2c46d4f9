/* server.c: the loop: clients in, completions out, and the end.
 *
 * The queue's descriptor is watched as any other: it is readable while there are futures that are done, and whoever made
 * one so has written to it. So a worker never touches libuv, and the loop never waits for a worker.
 *
 * At the first signal the server takes nothing more and answers what it has taken. When that takes too long, or at the
 * second signal, the token above all connections is cancelled; what is then answered says so. Whoever does not take his
 * answer in another five seconds is closed. When the last connection has gone nothing keeps the loop going, and it ends. */
#include "server.h"

#include "connection.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { BACKLOG = 4096, TURNED_AWAY_MOST = 256, COMPLETIONS_A_TURN = 256 };

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "uv_server: %s: %s\n", what, why);
    return 1;
}

/* ---- completions ---- */

static void drain_queue(uv_poll_t *poll, int status, int events)
{
    struct server *server = poll->data;
    weft_future *future;
    void *tag;

    (void)status;
    (void)events;
    for (int i = 0; i < COMPLETIONS_A_TURN && (future = weft_queue_next(server->queue, 0, &tag)) != NULL; i++) {
        struct request *request = tag;
        request_finish(request, future);
        connection_answered(request);
    }
}

/* ---- how long the loop is away from its clients ---- */

/* Once a turn of the loop, before it waits: how long was it busy since the last time? */
static void about_to_wait(uv_prepare_t *prepare)
{
    struct server *server = prepare->data;
    uint64_t waited = uv_metrics_idle_time(&server->loop), busy = uv_hrtime() - waited;

    if (server->busy != 0 && busy - server->busy > server->longest_turn) {
        server->longest_turn = busy - server->busy;
    }
    server->busy = busy;
}

void server_describe(struct server *server, char *text, size_t size)
{
    const struct server_counts *counts = &server->counts;
    weft_stats jobs = {0};

    weft_executor_stats(server->pool, &jobs);
    snprintf(text, size,
             "OK connections=%u taken=%" PRIu64 " answered=%" PRIu64 " failed=%" PRIu64 " timed_out=%" PRIu64
             " cancelled=%" PRIu64 " refused=%" PRIu64 " workers=%u jobs_submitted=%" PRIu64 " jobs_succeeded=%" PRIu64
             " jobs_failed=%" PRIu64 " jobs_cancelled=%" PRIu64 " jobs_queued=%" PRIu64 " jobs_running=%" PRIu64
             " longest_turn_us=%" PRIu64,
             server->n_connections, counts->taken, counts->answered, counts->failed, counts->timed_out,
             counts->cancelled, counts->refused, weft_executor_workers(server->pool), jobs.submitted, jobs.succeeded,
             jobs.failed, jobs.cancelled, jobs.queued, jobs.running, server->longest_turn / 1000);
}

/* ---- the end ---- */

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

/* Nothing is left to be served. */
static void close_handles(struct server *server)
{
    close_handle((uv_handle_t *)&server->completions);
    close_handle((uv_handle_t *)&server->signals[0]);
    close_handle((uv_handle_t *)&server->signals[1]);
    close_handle((uv_handle_t *)&server->patience);
    close_handle((uv_handle_t *)&server->before);
}

static void each_connection(struct server *server, void (*act)(struct connection *))
{
    struct connection *next;

    for (struct connection *c = server->connections; c != NULL; c = next) {
        next = c->next; /* none is freed inside, for handles are closed later */
        act(c);
    }
}

static void end_next_stage(struct server *server);

static void impatient(uv_timer_t *timer)
{
    end_next_stage(timer->data);
}

static void set_patience(struct server *server, int64_t time)
{
    uv_timer_start(&server->patience, impatient, (uint64_t)(time / 1000000), 0);
}

static void end_next_stage(struct server *server)
{
    switch (server->stage) {
    case SERVER_OPEN:
        server->stage = SERVER_DRAINS;
        close_handle((uv_handle_t *)&server->listener);
        set_patience(server, server->options->drain);
        each_connection(server, connection_end);
        break;
    case SERVER_DRAINS:
        server->stage = SERVER_CANCELS;
        weft_token_cancel(server->token);
        set_patience(server, WEFT_SECONDS(5));
        break;
    case SERVER_CANCELS:
    case SERVER_CLOSES:
        server->stage = SERVER_CLOSES;
        each_connection(server, connection_close);
    }
    if (server->n_connections == 0) {
        close_handles(server);
    }
}

static void signalled(uv_signal_t *handle, int number)
{
    (void)number;
    end_next_stage(handle->data);
}

/* ---- clients ---- */

static void accept_client(struct server *server)
{
    unsigned most = server->options->most_connections;

    server->accept_waits =
        server->n_connections >= most + TURNED_AWAY_MOST || !connection_open(server, server->n_connections >= most);
}

static void client_waits(uv_stream_t *listener, int status)
{
    if (status == 0) {
        accept_client(listener->data);
    }
}

void server_forget(struct server *server)
{
    server->n_connections--;
    if (server->stage != SERVER_OPEN) {
        if (server->n_connections == 0) {
            close_handles(server);
        }
    } else if (server->accept_waits) {
        accept_client(server); /* the listener goes on when this one has been taken */
    }
}

/* ---- the beginning ---- */

static int listen_to_clients(struct server *server)
{
    const struct server_options *options = server->options;
    struct sockaddr_storage address = {0};
    struct sockaddr *name = (struct sockaddr *)&address;
    int length = sizeof address;
    char where[128], numbers[64];

    snprintf(where, sizeof where, "%.80s port %d", options->host, options->port);
    if (uv_ip4_addr(options->host, options->port, (struct sockaddr_in *)name) < 0 &&
        uv_ip6_addr(options->host, options->port, (struct sockaddr_in6 *)name) < 0) {
        return complain(options->host, "not an address in numbers");
    }
    int code = uv_tcp_bind(&server->listener, name, 0);
    if (code == 0) {
        code = uv_listen((uv_stream_t *)&server->listener, BACKLOG, client_waits);
    }
    if (code == 0) {
        code = uv_tcp_getsockname(&server->listener, name, &length);
    }
    if (code < 0) {
        return complain(where, uv_strerror(code));
    }
    if (address.ss_family == AF_INET) {
        uv_ip4_name((struct sockaddr_in *)name, numbers, sizeof numbers);
    } else {
        uv_ip6_name((struct sockaddr_in6 *)name, numbers, sizeof numbers);
    }
    /* The port stands at the same place in both kinds of address. */
    printf("uv_server: listening on %s port %u\n", numbers, (unsigned)ntohs(((struct sockaddr_in *)name)->sin_port));
    return fflush(stdout) == 0 ? 0 : complain("standard output", strerror(errno));
}

/* 0, or 1 after telling what is wrong. */
static int open_pool(struct server *server)
{
    const struct server_options *options = server->options;

    server->pool = weft_executor_create(
        &(weft_executor_options){.workers = options->workers, .max_pending = options->most_pending, .name = "uv"});
    if (server->pool == NULL) {
        return complain("cannot start the workers", strerror(errno));
    }
    server->queue = weft_queue_create(server->pool);
    server->token = weft_token_create(server->pool, NULL, WEFT_FOREVER, 0);
    if (server->queue == NULL || server->token == NULL) {
        return complain("cannot start", strerror(errno));
    }
    return 0;
}

/* 0, or 1 after telling what is wrong; then handles may be open, and the process is to end. */
static int open_handles(struct server *server)
{
    server->listener.data = server->completions.data = server->patience.data = server;
    server->signals[0].data = server->signals[1].data = server->before.data = server;
    uv_timer_init(&server->loop, &server->patience);
    uv_prepare_init(&server->loop, &server->before);
    uv_prepare_start(&server->before, about_to_wait);
    int code = uv_poll_init(&server->loop, &server->completions, weft_queue_fd(server->queue));
    code = code < 0 ? code : uv_poll_start(&server->completions, UV_READABLE, drain_queue);
    code = code < 0 ? code : uv_signal_init(&server->loop, &server->signals[0]);
    code = code < 0 ? code : uv_signal_init(&server->loop, &server->signals[1]);
    code = code < 0 ? code : uv_signal_start(&server->signals[0], signalled, SIGTERM);
    code = code < 0 ? code : uv_signal_start(&server->signals[1], signalled, SIGINT);
    code = code < 0 ? code : uv_tcp_init(&server->loop, &server->listener);
    return code < 0 ? complain("cannot start", uv_strerror(code)) : 0;
}

/* Undoes open_pool(), however far it came. */
static void close_pool(struct server *server)
{
    if (server->pool == NULL) {
        return;
    }
    weft_executor_shutdown(server->pool, WEFT_CANCEL_ALL, WEFT_FOREVER); /* all jobs look whether they are to stop */
    weft_queue_destroy(server->queue);
    weft_token_release(server->token);
    weft_executor_destroy(server->pool);
}

int serve(const struct server_options *options)
{
    static struct server server; /* all else that the loop has hangs on it */
    int code;

    signal(SIGPIPE, SIG_IGN); /* a client that has gone is an error of the write */
    server.options = options;
    code = uv_loop_init(&server.loop);
    code = code < 0 ? code : uv_loop_configure(&server.loop, UV_METRICS_IDLE_TIME);
    if (code < 0) {
        return complain("cannot start", uv_strerror(code));
    }
    int status = open_pool(&server);
    if (status == 0) {
        status = open_handles(&server);
    }
    if (status == 0) {
        status = listen_to_clients(&server);
    }
    if (status == 0) {
        uv_run(&server.loop, UV_RUN_DEFAULT);
        uv_loop_close(&server.loop);
    }
    close_pool(&server);
    return status;
}
