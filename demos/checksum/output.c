/* output.c: a buffer of one pipe write, escaping on the way in, poll() on the way out. */
#define _POSIX_C_SOURCE 200809L
#include "output.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

void output_start(struct output *output, int stop_descriptor)
{
    output->stop_descriptor = stop_descriptor;
    output->error = 0;
    output->used = 0;
}

/* Waits until stdout takes a write. 0; -1 with output->error set, or if everything is to stop and stdout is not ready. */
static int wait_writable(struct output *output)
{
    struct pollfd events[] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                              {.fd = output->stop_descriptor, .events = POLLIN}};

    while (poll(events, 2, -1) < 0) {
        if (errno != EINTR) {
            output->error = errno;
            return -1;
        }
    }
    return events[0].revents != 0 ? 0 : -1;
}

void output_flush(struct output *output)
{
    size_t written = 0;

    while (written < output->used && output->error == 0 && wait_writable(output) == 0) {
        ssize_t n = write(STDOUT_FILENO, output->buffer + written, output->used - written);
        if (n >= 0) {
            written += (size_t)n;
        } else if (errno != EINTR && errno != EAGAIN) {
            output->error = errno;
        }
    }
    output->used = 0;
}

static void put(struct output *output, const char *bytes, size_t size)
{
    while (size > 0) {
        size_t room = OUTPUT_BUFFER - output->used;
        size_t n = size < room ? size : room;
        memcpy(output->buffer + output->used, bytes, n);
        output->used += n;
        bytes += n;
        size -= n;
        if (output->used == OUTPUT_BUFFER) {
            output_flush(output);
        }
    }
}

static void put_escaped(struct output *output, const char *path)
{
    for (; *path != '\0'; path++) {
        switch (*path) {
        case '\\':
            put(output, "\\\\", 2);
            break;
        case '\n':
            put(output, "\\n", 2);
            break;
        case '\r':
            put(output, "\\r", 2);
            break;
        default:
            put(output, path, 1);
        }
    }
}

void output_line(struct output *output, const unsigned char *digest, size_t digest_size, const char *path)
{
    static const char figures[] = "0123456789abcdef";
    bool strange = strpbrk(path, "\\\n\r") != NULL;

    if (strange) {
        put(output, "\\", 1);
    }
    for (size_t i = 0; i < digest_size; i++) {
        char pair[2] = {figures[digest[i] >> 4], figures[digest[i] & 15]};
        put(output, pair, 2);
    }
    put(output, "  ", 2);
    if (strange) {
        put_escaped(output, path);
    } else {
        put(output, path, strlen(path));
    }
    put(output, "\n", 1);
}
