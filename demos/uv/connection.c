/* connection.c: reading, answering in order, and ending in whatever way.
 *
 * Two ways to end. Gently: nothing more is taken, what was taken is answered, our end is closed, and what the client
 * still sends is thrown away until it has closed too; a close with unread input would make the system throw away our
 * last answers. At once: the token is cancelled and the handles closed; the connection is freed when the last of its
 * requests has come out of the queue.
 *
 * The timer runs out on a client that sends no line and takes no answer, not on one that waits for a computation. */
#include "connection.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINGER = 1000 }; /* ms for a client to close, after its last answer */

static void advance(struct connection *c);

/* ---- freeing ---- */

static void free_when_over(struct connection *c)
{
    struct server *server = c->server;

    if (c->handles > 0 || c->outstanding > 0) {
        return;
    }
    *c->place = c->next;
    if (c->next != NULL) {
        c->next->place = c->place;
    }
    weft_token_release(c->token);
    free(c);
    server_forget(server);
}

static void handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;

    if (handle == (uv_handle_t *)&c->departure) {
        close(c->watched);
    }
    c->handles--;
    free_when_over(c);
}

/* Frees those of its requests that have an answer; the queue has the others. */
static void drop_answered(struct connection *c)
{
    struct request **place = &c->first;

    while (*place != NULL) {
        struct request *request = *place;
        if (request->answered) {
            *place = request->next;
            c->outstanding--;
            free(request);
        } else {
            place = &request->next;
        }
    }
}

void connection_close(struct connection *c)
{
    if (c->closing) {
        return;
    }
    c->closing = true;
    if (c->token != NULL) {
        weft_token_cancel(c->token);
    }
    drop_answered(c);
    if (c->watched >= 0) {
        uv_close((uv_handle_t *)&c->departure, handle_closed);
    }
    uv_close((uv_handle_t *)&c->patience, handle_closed);
    uv_close((uv_handle_t *)&c->socket, handle_closed); /* what was being written is told first */
}

/* ---- ending gently ---- */

static void shut(uv_shutdown_t *request, int status)
{
    if (status < 0) {
        connection_close(request->handle->data);
    }
}

static void shut_when_answered(struct connection *c)
{
    if (!c->ending || c->shut || c->closing || c->outstanding > 0) {
        return;
    }
    c->shut = true;
    uv_timer_set_repeat(&c->patience, LINGER);
    uv_timer_again(&c->patience);
    if (uv_shutdown(&c->shutting, (uv_stream_t *)&c->socket, shut) < 0) {
        connection_close(c);
    }
}

void connection_end(struct connection *c)
{
    c->ending = true;
    c->filled = 0;
    shut_when_answered(c);
}

/* ---- answers ---- */

static void written(uv_write_t *writing, int status)
{
    struct request *request = writing->data;
    struct connection *c = request->connection;

    free(request);
    c->outstanding--;
    if (c->closing) {
        free_when_over(c);
        return;
    }
    if (status < 0) {
        connection_close(c);
        return;
    }
    uv_timer_again(&c->patience);
    shut_when_answered(c);
    advance(c);
}

/* Hands the answers that are due to the socket. */
static void write_answers(struct connection *c)
{
    while (c->first != NULL && c->first->answered && !c->closing) {
        struct request *request = c->first;
        uv_buf_t buffer = uv_buf_init(request->answer, (unsigned)request->length);
        request->writing.data = request;
        if (uv_write(&request->writing, (uv_stream_t *)&c->socket, &buffer, 1, written) < 0) {
            connection_close(c);
            return;
        }
        c->first = request->next;
    }
}

void connection_answered(struct request *request)
{
    struct connection *c = request->connection;

    c->computing--;
    if (c->closing) {
        drop_answered(c);
        free_when_over(c);
        return;
    }
    uv_timer_again(&c->patience);
    write_answers(c);
}

/* ---- requests ---- */

static struct request *add_request(struct connection *c)
{
    struct request *request = calloc(1, sizeof *request);

    if (request == NULL) {
        return NULL;
    }
    request->connection = c;
    if (c->first == NULL) {
        c->first = request;
    } else {
        c->last->next = request;
    }
    c->last = request;
    c->outstanding++;
    return request;
}

/* False: no memory even to say so. */
static bool take_line(struct connection *c, char *line, size_t length)
{
    struct request *request = add_request(c);

    if (request == NULL) {
        return false;
    }
    request_begin(request, line, length);
    c->computing += !request->answered;
    c->ending |= request->quits;
    return true;
}

static bool refuse_line(struct connection *c)
{
    struct request *request = add_request(c);

    if (request == NULL) {
        return false;
    }
    request_say(request, "ERR length a line has at most 4095 bytes");
    c->ending = true;
    return true;
}

/* Takes as many lines as may be taken now. False: no memory. */
static bool take_lines(struct connection *c)
{
    size_t taken = 0;
    bool good = true;

    while (good && !c->ending && c->outstanding < MOST_REQUESTS) {
        char *line = c->input + taken, *end = memchr(line, '\n', c->filled - taken);
        if (end == NULL) {
            good = taken > 0 || c->filled < INPUT_SIZE || refuse_line(c);
            break;
        }
        size_t length = (size_t)(end - line);
        taken += length + 1;
        good = take_line(c, line, length > 0 && line[length - 1] == '\r' ? length - 1 : length);
    }
    if (c->ending) {
        taken = c->filled;
    }
    if (taken > 0) {
        uv_timer_again(&c->patience);
        memmove(c->input, c->input + taken, c->filled - taken);
        c->filled -= taken;
    }
    return good;
}

/* ---- reading ---- */

static void offer_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct connection *c = handle->data;

    (void)suggested;
    *buffer = uv_buf_init(c->input + c->filled, (unsigned)(INPUT_SIZE - c->filled));
}

static void received(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    struct connection *c = stream->data;

    (void)buffer;
    if (length < 0) {
        connection_close(c); /* it has left, or the network has */
        return;
    }
    if (length > 0 && !c->ending) {
        c->filled += (size_t)length;
        advance(c);
    }
}

/* Does what can be done now: takes lines, hands out answers, reads or stops reading. */
static void advance(struct connection *c)
{
    if (!take_lines(c)) {
        connection_close(c);
        return;
    }
    write_answers(c);
    shut_when_answered(c);
    bool read = c->filled < INPUT_SIZE;
    if (c->closing || read == c->reading) {
        return;
    }
    c->reading = read;
    if (!read) {
        uv_read_stop((uv_stream_t *)&c->socket);
    } else if (uv_read_start((uv_stream_t *)&c->socket, offer_room, received) < 0) {
        connection_close(c);
    }
}

/* ---- opening ---- */

static void impatient(uv_timer_t *timer)
{
    struct connection *c = timer->data;

    if (c->computing == 0) { /* else it is us who keep it waiting */
        connection_close(c);
    }
}

static void departed(uv_poll_t *departure, int status, int events)
{
    (void)status;
    (void)events;
    connection_close(departure->data);
}

/* False: no descriptor. */
static bool watch_departure(struct connection *c)
{
    uv_os_fd_t descriptor;

    if (uv_fileno((uv_handle_t *)&c->socket, &descriptor) < 0) {
        return false;
    }
    c->watched = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (c->watched < 0) {
        return false;
    }
    if (uv_poll_init(&c->server->loop, &c->departure, c->watched) < 0) {
        close(c->watched);
        c->watched = -1;
        return false;
    }
    c->handles++;
    return uv_poll_start(&c->departure, UV_DISCONNECT, departed) == 0;
}

/* Its timer, limit and token. False: something of that is not to be had. */
static bool prepare(struct connection *c)
{
    const struct server_options *options = c->server->options;
    uint64_t idle = (uint64_t)(options->idle / 1000000);

    c->limit = options->limit;
    c->token = weft_token_create(c->server->pool, c->server->token, WEFT_FOREVER, 0);
    uv_tcp_nodelay(&c->socket, 1);
    return c->token != NULL && watch_departure(c) && uv_timer_start(&c->patience, impatient, idle, idle) == 0;
}

static bool turn_away(struct connection *c)
{
    struct request *request = add_request(c);

    if (request == NULL) {
        return false;
    }
    request_say(request, "ERR busy too many connections");
    c->ending = true;
    return true;
}

static void enlist(struct connection *c)
{
    struct server *server = c->server;

    c->next = server->connections;
    c->place = &server->connections;
    if (c->next != NULL) {
        c->next->place = &c->next;
    }
    server->connections = c;
    server->n_connections++;
}

bool connection_open(struct server *server, bool turned_away)
{
    struct connection *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return false;
    }
    c->server = server;
    c->socket.data = c->patience.data = c->departure.data = c;
    c->watched = -1;
    uv_timer_init(&server->loop, &c->patience);
    uv_tcp_init(&server->loop, &c->socket);
    c->handles = 2;
    enlist(c);
    if (uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&c->socket) < 0 || !prepare(c) ||
        (turned_away && !turn_away(c))) {
        connection_close(c);
        return true;
    }
    advance(c);
    return true;
}
