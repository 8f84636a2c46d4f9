/* uv_server: a TCP server on a libuv loop that computes on a weft pool.
 *
 *     uv_server [--host ADDRESS] [--port N] [--jobs N] [--timeout SECONDS] ...
 *
 * This file reads the command line. The rest: request is the line protocol, connection is a client, server is the loop,
 * and ../compute/ is what the jobs do. */
#include "server.h"

#include "../common/arguments.h"

#include <getopt.h>
#include <stdio.h>

enum { MOST_JOBS = 512, MOST_CONNECTIONS = 10000, MOST_PENDING = 1000000, DAY = 24 * 3600 };

static const char usage_text[] =
    "usage: uv_server [OPTION...]\n"
    "\n"
    "Answers lines of text over TCP: PRIMES n, PBKDF2 password salt iterations [length], TIMEOUT ms, STATS, PING, "
    "QUIT.\n"
    "Ends at SIGTERM or Ctrl-C, when what was asked for has been answered.\n"
    "\n"
    "  -a, --host ADDRESS       where to listen (127.0.0.1)\n"
    "  -p, --port N             and on which port; 0: one that is free (7300)\n"
    "  -j, --jobs N             compute N requests at a time, 1 to 512 (as many as there are CPUs)\n"
    "  -t, --timeout SECONDS    a request may take so long (30)\n"
    "  -c, --connections N      so many clients at a time, 1 to 10000 (1000); each takes two descriptors\n"
    "  -n, --pending N          so many requests may wait for a worker, 1 to 1000000 (1000)\n"
    "  -i, --idle SECONDS       close on a client that neither asks nor takes its answers (60)\n"
    "  -d, --drain SECONDS      at the end, cancel what is still computed after so long (5)\n"
    "  -h, --help               print this\n"
    "\n"
    "Status: 0; 1 if it cannot serve; 2 for a mistake in the command line.\n";

static int usage(void)
{
    fputs(usage_text, stderr);
    return 2;
}

static int bad_value(const char *option, const char *value, const char *wanted)
{
    fprintf(stderr, "uv_server: %s: '%s' is not %s\n", option, value, wanted);
    return usage();
}

static bool take_seconds(int64_t *time)
{
    double seconds;

    if (!read_real(optarg, 0.001, DAY, &seconds)) {
        return false;
    }
    *time = WEFT_SECONDS(seconds);
    return true;
}

/* One option. 0, or the exit status. */
static int take_option(int option, struct server_options *options)
{
    static const char a_time[] = "a number of seconds from 0.001 to 86400";
    long number;

    switch (option) {
    case 'a':
        options->host = optarg;
        return 0;
    case 'p':
        if (!read_integer(optarg, 0, 65535, &number)) {
            return bad_value("--port", optarg, "a number from 0 to 65535");
        }
        options->port = (int)number;
        return 0;
    case 'j':
        if (!read_integer(optarg, 1, MOST_JOBS, &number)) {
            return bad_value("--jobs", optarg, "a number from 1 to 512");
        }
        options->workers = (unsigned)number;
        return 0;
    case 'c':
        if (!read_integer(optarg, 1, MOST_CONNECTIONS, &number)) {
            return bad_value("--connections", optarg, "a number from 1 to 10000");
        }
        options->most_connections = (unsigned)number;
        return 0;
    case 'n':
        if (!read_integer(optarg, 1, MOST_PENDING, &number)) {
            return bad_value("--pending", optarg, "a number from 1 to 1000000");
        }
        options->most_pending = (size_t)number;
        return 0;
    case 't':
        return take_seconds(&options->limit) ? 0 : bad_value("--timeout", optarg, a_time);
    case 'i':
        return take_seconds(&options->idle) ? 0 : bad_value("--idle", optarg, a_time);
    case 'd':
        return take_seconds(&options->drain) ? 0 : bad_value("--drain", optarg, a_time);
    default:
        return usage(); /* getopt has said what is wrong */
    }
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"host", required_argument, NULL, 'a'},
                                                 {"port", required_argument, NULL, 'p'},
                                                 {"jobs", required_argument, NULL, 'j'},
                                                 {"timeout", required_argument, NULL, 't'},
                                                 {"connections", required_argument, NULL, 'c'},
                                                 {"pending", required_argument, NULL, 'n'},
                                                 {"idle", required_argument, NULL, 'i'},
                                                 {"drain", required_argument, NULL, 'd'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    struct server_options options = {.host = "127.0.0.1",
                                     .port = 7300,
                                     .most_connections = 1000,
                                     .most_pending = 1000,
                                     .limit = WEFT_SECONDS(30),
                                     .idle = WEFT_SECONDS(60),
                                     .drain = WEFT_SECONDS(5)};
    int option;

    while ((option = getopt_long(argc, argv, "a:p:j:t:c:n:i:d:h", long_options, NULL)) != -1) {
        if (option == 'h') {
            return fputs(usage_text, stdout) < 0 || fflush(stdout) != 0;
        }
        int status = take_option(option, &options);
        if (status != 0) {
            return status;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "uv_server: %s: it takes options only\n", argv[optind]);
        return usage();
    }
    return serve(&options);
}
