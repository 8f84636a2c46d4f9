/* answer.c: paths and what belongs to them.
 *
 *     /                       the page; its other files beside it
 *     /tiles/Z/X/Y.png        200 the tile, 504 it was not done at its deadline, 503 too many wait already, 500
 *     /stats                  what the page's side panel shows, as JSON
 *     /metrics                for Prometheus
 *     /healthz                200, or 503 while the server is ending
 *
 * A tile is the only thing that is not answered at once: its job is submitted, the connection suspended, and this
 * handler called again when the job's future is done. The body of the answer is the value of that future, lent to
 * libmicrohttpd together with a reference that it releases once the last byte is sent: nothing is copied. */
#include "answer.h"

#include "clients.h"
#include "order.h"
#include "page.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- sending ---- */

static const char page_policy[] = "default-src 'self'; connect-src 'self' http://*.localhost:*; img-src 'self' data:";

/* Hands the response over. NULL stands for no memory: the connection is then closed. */
static enum MHD_Result respond(struct server *server, struct client *client, unsigned status,
                               struct MHD_Response *response, const char *type)
{
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Content-Security-Policy", page_policy);
    /* The page may ask for tiles by other names of this host, to have more connections than browsers open to one. */
    MHD_add_response_header(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    }
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    if (server->draining || server->client_count > server->options->connections) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    enum MHD_Result result = MHD_queue_response(client->connection, status, response);
    MHD_destroy_response(response);
    if (result == MHD_YES) {
        client->answering = true;
        client->since = weft_now();
        server->answering++;
    }
    return result;
}

/* `text` is a constant. */
static enum MHD_Result say(struct server *server, struct client *client, unsigned status, const char *text)
{
    if (status >= 400 && status < 500) {
        server->counts.malformed++;
    }
    return respond(server, client, status,
                   MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT),
                   "text/plain; charset=utf-8");
}

/* `text` is to be freed, or NULL for no memory. */
static enum MHD_Result send_text(struct server *server, struct client *client, char *text, const char *type)
{
    if (text == NULL) {
        return say(server, client, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory\n");
    }
    return respond(server, client, MHD_HTTP_OK,
                   MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE), type);
}

/* ---- tiles ---- */

static const char *query_of(void *request, const char *name)
{
    return MHD_lookup_connection_value(request, MHD_GET_ARGUMENT_KIND, name);
}

static void release_tile(void *tile)
{
    weft_future_release(tile);
}

static enum MHD_Result refuse_tile(struct server *server, struct client *client, int code)
{
    if (code == EAGAIN) {
        server->counts.refused++;
        return say(server, client, MHD_HTTP_SERVICE_UNAVAILABLE, "too many tiles wait to be drawn\n");
    }
    server->counts.failed++;
    return say(server, client, MHD_HTTP_INTERNAL_SERVER_ERROR, "the tile cannot be drawn\n");
}

static enum MHD_Result order_tile(struct server *server, struct client *client, const char *path)
{
    struct tile_order order;
    const char *mistake = order_read(path, query_of, client->connection, &order);
    if (mistake != NULL) {
        return say(server, client, MHD_HTTP_BAD_REQUEST, mistake);
    }
    server->counts.tiles++;
    weft_future *tile = tile_submit(server->executor, server->lanes, &order);
    int code = tile == NULL ? errno : clients_await(server, client, tile);
    if (code == 0) {
        return MHD_YES;
    }
    if (tile != NULL) {
        weft_cancel(tile);
        weft_future_release(tile);
    }
    return refuse_tile(server, client, code);
}

static enum MHD_Result send_picture(struct server *server, struct client *client, const struct tile_picture *picture)
{
    weft_future *tile = weft_future_retain(client->tile);
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(picture->size, picture->bytes, release_tile, tile);

    if (response == NULL) {
        weft_future_release(tile);
    }
    server->counts.drawn++;
    return respond(server, client, MHD_HTTP_OK, response, "image/png");
}

static enum MHD_Result finish_tile(struct server *server, struct client *client)
{
    void *picture = NULL;
    enum MHD_Result result;

    int code = weft_future_get(client->tile, &picture); /* it is done: does not wait */
    if (code == 0) {
        result = send_picture(server, client, picture);
    } else if (client->left) {
        server->counts.left++;
        result = MHD_NO; /* closes the connection; nobody is there to read */
    } else if (code == -ETIMEDOUT) {
        server->counts.late++;
        result = say(server, client, MHD_HTTP_GATEWAY_TIMEOUT, "the tile was not done at its deadline\n");
    } else {
        server->counts.failed++;
        result = say(server, client, code == -ECANCELED ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_INTERNAL_SERVER_ERROR,
                     code == -ECANCELED ? "the server is ending\n" : "the tile could not be drawn\n");
    }
    clients_forget_tile(server, client);
    return result;
}

/* ---- everything else ---- */

static enum MHD_Result send_stats(struct server *server, struct client *client)
{
    int64_t since;

    if (!order_read_count(query_of(client->connection, "since"), 0, &since)) {
        return say(server, client, MHD_HTTP_BAD_REQUEST, "since: microseconds since the server's start\n");
    }
    return send_text(server, client, report_json(server, since), "application/json");
}

static enum MHD_Result send_page(struct server *server, struct client *client, const char *path)
{
    if (strcmp(path, "/") == 0) {
        path = "/index.html";
    }
    for (size_t i = 0; i < page_file_count; i++) {
        const struct page_file *file = &page_files[i];
        if (strcmp(path, file->path) == 0) {
            return respond(
                server, client, MHD_HTTP_OK,
                MHD_create_response_from_buffer(file->size, (void *)(uintptr_t)file->bytes, MHD_RESPMEM_PERSISTENT),
                file->type);
        }
    }
    return say(server, client, MHD_HTTP_NOT_FOUND, "there is nothing of that name\n");
}

static enum MHD_Result route(struct server *server, struct client *client, const char *path, const char *method)
{
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        return say(server, client, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    if (server->draining) {
        return say(server, client, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is ending\n");
    }
    if (server->client_count > server->options->connections) {
        return say(server, client, MHD_HTTP_SERVICE_UNAVAILABLE, "too many connections\n");
    }
    if (order_is_tile(path)) {
        return order_tile(server, client, path);
    }
    if (strcmp(path, "/stats") == 0) {
        return send_stats(server, client);
    }
    if (strcmp(path, "/metrics") == 0) {
        return send_text(server, client, report_metrics(server), "text/plain; version=0.0.4; charset=utf-8");
    }
    if (strcmp(path, "/healthz") == 0) {
        return say(server, client, MHD_HTTP_OK, "ok\n");
    }
    return send_page(server, client, path);
}

enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                       const char *version, const char *upload, size_t *upload_size, void **request)
{
    struct server *server = cls;
    struct client *client = clients_of(connection);

    (void)version;
    (void)upload;
    (void)upload_size;
    (void)request;
    if (client == NULL) {
        return MHD_NO;
    }
    if (client->tile != NULL) {
        return client->phase == DRAWN ? finish_tile(server, client) : MHD_YES;
    }
    server->counts.requests++;
    return route(server, client, url, method);
}
