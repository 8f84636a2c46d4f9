/* server.c: one thread, one loop, for everything but the drawing.
 *
 * The loop sleeps in a single epoll_wait() for five kinds of things: libmicrohttpd's own epoll set, in which all
 * sockets are that it wants to read or write; the queue of weft futures that are done (weft_queue_fd); the signals;
 * clients that hang up while their tile is being drawn; and, while there are connections, a second that has passed. So
 * every record is used by one thread alone and nothing needs a lock: workers draw, the coordinator of weft keeps the
 * deadlines, and both reach the loop through the queue only. Without connections nothing wakes it at all.
 *
 * The order of a round matters: first hang-ups, whose records are sure to exist still, then completions, then
 * libmicrohttpd, which may close connections and free their records.
 *
 * The end. At the first signal the server stops accepting, answers 503 to what still comes in on open connections, and
 * gives the tiles that are being drawn some seconds of grace; then they are cancelled. Each is answered in any case. At
 * a second signal the process ends at once. */
#define _GNU_SOURCE
#include "server.h"

#include "answer.h"
#include "clients.h"
#include "state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IDLE_SECONDS = 15,        /* after which libmicrohttpd closes a connection on which nothing moves */
    HEAD_BYTES = 16 * 1024,   /* for a request and the head of its answer */
    EVENTS = 64,              /* read at a time */
    OTHER_DESCRIPTORS = 64,   /* what the process needs beside those of clients */
    LAST_ANSWERS_SECONDS = 2, /* at the end, for answers to be sent */
    SWEEP_MILLISECONDS = 1000
};

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "server: %s: %s\n", what, why);
    return 1;
}

/* ---- opening ---- */

bool server_address_valid(const char *address)
{
    struct in_addr parsed;

    return inet_pton(AF_INET, address, &parsed) == 1;
}

/* Beyond the number that is answered, libmicrohttpd takes some more connections, which are told so with 503; the rest
 * wait in the kernel, unread. */
static unsigned connection_limit(const struct server_options *options)
{
    return options->connections + options->connections / 4 + 16;
}

/* A descriptor for each connection, if the system lets us. */
static int raise_descriptors(const struct server_options *options)
{
    struct rlimit limit;
    rlim_t needed = connection_limit(options) + OTHER_DESCRIPTORS;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) {
        return 0;
    }
    if (limit.rlim_max < needed) {
        return complain("--connections", "more than this process may have descriptors (ulimit -n)");
    }
    limit.rlim_cur = needed;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : complain("--connections", strerror(errno));
}

static int open_listener(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server->options->port)};
    socklen_t size = sizeof address;
    int one = 1;

    inet_pton(AF_INET, server->options->address, &address.sin_addr);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server->listener < 0 || setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(server->listener, (struct sockaddr *)&address, size) != 0 || listen(server->listener, SOMAXCONN) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &size) != 0) {
        fprintf(stderr, "server: cannot listen on %s, port %u: %s\n", server->options->address, server->options->port,
                strerror(errno));
        return 1;
    }
    server->port = ntohs(address.sin_port);
    return 0;
}

static int watch(struct server *server, int descriptor, const void *tag)
{
    struct epoll_event readable = {.events = EPOLLIN, .data.ptr = (void *)(uintptr_t)tag};

    return epoll_ctl(server->events, EPOLL_CTL_ADD, descriptor, &readable);
}

static int open_pool(struct server *server)
{
    server->executor = weft_executor_create(&(weft_executor_options){
        .workers = server->options->workers, .name = "tiles", .max_pending = server->options->queue});
    if (server->executor == NULL) {
        return complain("cannot start the workers", strerror(errno));
    }
    server->finished = weft_queue_create(server->executor);
    int descriptor = server->finished != NULL ? weft_queue_fd(server->finished) : -errno;
    if (descriptor < 0) {
        return complain("cannot make a queue", weft_strerror(descriptor));
    }
    if (watch(server, descriptor, &server->finished) != 0) {
        return complain("cannot watch the queue", strerror(errno));
    }
    return 0;
}

static int open_daemon(struct server *server)
{
    server->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, answer, server,
                                      MHD_OPTION_LISTEN_SOCKET, server->listener, MHD_OPTION_CONNECTION_LIMIT,
                                      connection_limit(server->options), MHD_OPTION_CONNECTION_TIMEOUT,
                                      (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES,
                                      MHD_OPTION_NOTIFY_CONNECTION, clients_notify, server, MHD_OPTION_NOTIFY_COMPLETED,
                                      clients_completed, server, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (server->daemon == NULL) {
        return complain("cannot start libmicrohttpd", strerror(errno));
    }
    server->listener = -1; /* libmicrohttpd's from here on */
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || watch(server, info->epoll_fd, &server->daemon) != 0) {
        return complain("cannot watch the connections", strerror(errno));
    }
    return 0;
}

/* The signals that end the server are read from a descriptor, so they must be blocked before there are threads. */
static int open_loop(struct server *server)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    server->events = epoll_create1(EPOLL_CLOEXEC);
    server->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    server->lanes = lanes_create();
    if (server->events < 0 || server->signals < 0 || server->lanes == NULL ||
        watch(server, server->signals, &server->signals) != 0) {
        return complain("cannot start", strerror(errno));
    }
    return 0;
}

static int open_server(struct server *server)
{
    int status = raise_descriptors(server->options);

    if (status == 0) {
        status = open_loop(server);
    }
    if (status == 0) {
        status = open_listener(server);
    }
    if (status == 0) {
        status = open_pool(server);
    }
    return status == 0 ? open_daemon(server) : status;
}

/* Undoes open_server(), however far it came. */
static void close_server(struct server *server)
{
    if (server->executor != NULL) {
        weft_executor_shutdown(server->executor, WEFT_CANCEL_ALL, WEFT_FOREVER); /* jobs stop at their next pixel */
    }
    if (server->daemon != NULL) {
        MHD_stop_daemon(server->daemon);
    }
    weft_queue_destroy(server->finished);
    if (server->executor != NULL) {
        weft_executor_destroy(server->executor);
    }
    lanes_destroy(server->lanes);
    const int descriptors[] = {server->listener, server->signals, server->events};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (descriptors[i] >= 0) {
            close(descriptors[i]);
        }
    }
}

/* ---- the loop ---- */

/* Milliseconds until the loop has something to do that no descriptor tells of; -1: it has not. */
static int next_timeout(const struct server *server)
{
    int milliseconds = server->closed ? 0 : server->client_count > 0 ? SWEEP_MILLISECONDS : -1;
    MHD_UNSIGNED_LONG_LONG wish;

    if (MHD_get_timeout(server->daemon, &wish) == MHD_YES &&
        (milliseconds < 0 || wish < (MHD_UNSIGNED_LONG_LONG)milliseconds)) {
        milliseconds = wish < INT_MAX ? (int)wish : INT_MAX;
    }
    if (server->draining && (milliseconds < 0 || milliseconds > 20)) {
        milliseconds = 20;
    }
    return milliseconds;
}

static void begin_drain(struct server *server)
{
    struct signalfd_siginfo info;

    if (read(server->signals, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    if (server->draining) {
        _exit(128 + (int)info.ssi_signo);
    }
    server->draining = true;
    server->drain_until = weft_now() + server->options->grace;
    int listener = MHD_quiesce_daemon(server->daemon);
    if (listener >= 0) {
        close(listener);
    }
}

static void take_events(struct server *server, int timeout)
{
    struct epoll_event events[EVENTS];

    int count = epoll_wait(server->events, events, EVENTS, timeout);
    for (int i = 0; i < count; i++) {
        void *tag = events[i].data.ptr;
        if (tag == &server->signals) {
            begin_drain(server);
        } else if (tag != &server->daemon && tag != &server->finished) {
            clients_hang_up(tag);
        }
    }
}

static void take_round(struct server *server, int64_t *swept)
{
    take_events(server, next_timeout(server));
    clients_deliver(server);
    server->closed = false;
    MHD_run(server->daemon);
    if (weft_now() - *swept >= WEFT_MILLISECONDS(SWEEP_MILLISECONDS)) {
        clients_sweep(server);
        *swept = weft_now();
    }
}

/* Until a signal has come and everything that was begun is answered. */
static void serve(struct server *server)
{
    int64_t swept = weft_now();

    while (!server->draining || (server->drawing > 0 && weft_now() < server->drain_until)) {
        take_round(server, &swept);
    }
    clients_cancel_all(server);
    int64_t last = weft_now() + WEFT_SECONDS(LAST_ANSWERS_SECONDS);
    while (server->drawing > 0 || (server->answering > 0 && weft_now() < last)) {
        take_round(server, &swept);
    }
}

static void summarise(const struct server *server)
{
    const struct counts *counts = &server->counts;

    fprintf(stderr, "server: %llu requests; %llu tiles: %llu drawn, %llu late, %llu refused, %llu left, %llu failed\n",
            (unsigned long long)counts->requests, (unsigned long long)counts->tiles, (unsigned long long)counts->drawn,
            (unsigned long long)counts->late, (unsigned long long)counts->refused, (unsigned long long)counts->left,
            (unsigned long long)counts->failed);
}

int server_run(const struct server_options *options)
{
    struct server server = {.options = options, .events = -1, .signals = -1, .listener = -1, .started = weft_now()};

    int status = open_server(&server);
    if (status == 0) {
        printf("server: open http://%s:%u/\n", options->address, server.port);
        fflush(stdout);
        serve(&server);
        summarise(&server);
    }
    close_server(&server);
    return status;
}
