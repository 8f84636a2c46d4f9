/* server: an explorer of the Mandelbrot set, to be watched in a browser.
 *
 *     server [--address A] [--port N] [--jobs N] [--queue N] [--connections N] [--grace SECONDS]
 *
 * This file reads the command line. The rest: server holds connections and jobs together in one loop, answer decides
 * what is said to a request, order reads what it asks for, tile draws, lanes notes who does what, report puts it into
 * words, and page/ is what the browser gets. */
#include "server.h"

#include "../common/arguments.h"

#include <weft/weft.h>

#include <getopt.h>
#include <stdio.h>

static const char usage_text[] =
    "usage: server [--address A] [--port N] [--jobs N] [--queue N] [--connections N] [--grace SECONDS]\n"
    "\n"
    "Serves an explorer of the Mandelbrot set over HTTP and prints the address to open.\n"
    "\n"
    "  -a, --address A          IPv4 address to listen on (default 127.0.0.1, this machine only)\n"
    "  -p, --port N             port to listen on (default 8080; 0: any that is free)\n"
    "  -j, --jobs N             draw with N workers (1 to 512; default: as many as there are CPUs)\n"
    "  -q, --queue N            tiles that may wait to be drawn before more are refused (1 to 65536; default 128)\n"
    "  -c, --connections N      connections before more are refused (1 to 16384; default 512)\n"
    "  -g, --grace SECONDS      at SIGTERM, time for what is being drawn (0 to 3600; default 5)\n"
    "  -h, --help               print this\n"
    "\n"
    "Status: 0 after SIGTERM or SIGINT; 1 for a failure; 2 for a mistake in the command line. A second signal ends it "
    "at\n"
    "once.\n";

static int usage(void)
{
    fputs(usage_text, stderr);
    return 2;
}

static bool read_count(const char *text, long low, long high, unsigned *count)
{
    long value;

    if (!read_integer(text, low, high, &value)) {
        return false;
    }
    *count = (unsigned)value;
    return true;
}

static bool read_grace(const char *text, int64_t *grace)
{
    double seconds;

    if (!read_real(text, 0, 3600, &seconds)) {
        return false;
    }
    *grace = WEFT_SECONDS(seconds);
    return true;
}

static bool take_option(int option, struct server_options *options)
{
    switch (option) {
    case 'a':
        options->address = optarg;
        return server_address_valid(optarg);
    case 'p':
        return read_count(optarg, 0, 65535, &options->port);
    case 'j':
        return read_count(optarg, 1, 512, &options->workers);
    case 'q':
        return read_count(optarg, 1, 65536, &options->queue);
    case 'c':
        return read_count(optarg, 1, 16384, &options->connections);
    default:
        return read_grace(optarg, &options->grace);
    }
}

static const char *name_of(int option, const struct option *options)
{
    while (options->name != NULL && options->val != option) {
        options++;
    }
    return options->name;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"address", required_argument, NULL, 'a'}, {"port", required_argument, NULL, 'p'},
        {"jobs", required_argument, NULL, 'j'},    {"queue", required_argument, NULL, 'q'},
        {"grace", required_argument, NULL, 'g'},   {"connections", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    struct server_options options = {
        .address = "127.0.0.1", .port = 8080, .queue = 128, .connections = 512, .grace = WEFT_SECONDS(5)};
    int option;

    while ((option = getopt_long(argc, argv, "a:p:j:q:c:g:h", long_options, NULL)) != -1) {
        if (option == 'h') {
            return fputs(usage_text, stdout) < 0 || fflush(stdout) != 0;
        }
        if (option == '?') {
            return usage(); /* getopt has said what is wrong */
        }
        if (!take_option(option, &options)) {
            fprintf(stderr, "server: --%s: '%s' is malformed or out of range\n", name_of(option, long_options), optarg);
            return usage();
        }
    }
    if (optind < argc) {
        fprintf(stderr, "server: '%s' is one argument too many\n", argv[optind]);
        return usage();
    }
    return server_run(&options);
}
