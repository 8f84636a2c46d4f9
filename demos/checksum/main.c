/* checksum: what sha256sum prints, for whole trees, on every CPU.
 *
 *     checksum [--jobs N] [--timeout SECONDS] [--trace FILE] [PATH...]
 *
 * This file reads the command line. The rest: walk finds the files, hash is the job, output writes the lines, survey adds
 * up what there is to do, and run holds them together. */
#define _POSIX_C_SOURCE 200809L
#include "run.h"

#include "../common/arguments.h"

#include <weft/weft.h>

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MOST_JOBS = 512 };
static const double longest_timeout = 1e9; /* seconds: some thirty years */

static const char usage_text[] =
    "usage: checksum [--jobs N] [--timeout SECONDS] [--trace FILE] [PATH...]\n"
    "\n"
    "Prints the SHA-256 of each file as sha256sum does, in the order given. A directory stands for the regular\n"
    "files below it, in the byte order of their paths; links below it are not followed. Without a path, or for\n"
    "the path -, the standard input is read.\n"
    "\n"
    "  -j, --jobs N           hash N files at a time (1 to 512; default: as many as there are CPUs)\n"
    "  -t, --timeout SECONDS  give up on a file that takes longer, say so and go on\n"
    "  -T, --trace FILE       write what the workers did to FILE, for ui.perfetto.dev or the demo timeline\n"
    "  -h, --help             print this\n"
    "\n"
    "Status: 0; 1 if a file could not be read in time or at all; 2 for a mistake in the command line;\n"
    "130 after Ctrl-C.\n";

static int usage(void)
{
    fputs(usage_text, stderr);
    return 2;
}

static int bad_value(const char *option, const char *value, const char *wanted)
{
    fprintf(stderr, "checksum: %s: '%s' is not %s\n", option, value, wanted);
    return usage();
}

/* One option. 0, or the exit status. */
static int take_option(int option, struct run_options *options)
{
    long jobs;
    double seconds;

    switch (option) {
    case 'j':
        if (!read_integer(optarg, 1, MOST_JOBS, &jobs)) {
            return bad_value("--jobs", optarg, "a number from 1 to 512");
        }
        options->workers = (unsigned)jobs;
        return 0;
    case 't':
        if (!read_real(optarg, 0, longest_timeout, &seconds) || seconds <= 0) {
            return bad_value("--timeout", optarg, "a number of seconds above 0");
        }
        options->limit = WEFT_SECONDS(seconds);
        return 0;
    case 'T':
        options->trace = optarg;
        return 0;
    default:
        return usage(); /* getopt has said what is wrong */
    }
}

/* There is only one standard input to read. */
static bool twice_standard_input(const struct run_options *options)
{
    int times = 0;

    for (size_t i = 0; i < options->n_paths; i++) {
        times += strcmp(options->paths[i], "-") == 0;
    }
    return times > 1;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"jobs", required_argument, NULL, 'j'},
                                                 {"timeout", required_argument, NULL, 't'},
                                                 {"trace", required_argument, NULL, 'T'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    static char *standard_input[] = {"-"};
    struct run_options options = {.limit = WEFT_FOREVER};
    int option;

    while ((option = getopt_long(argc, argv, "j:t:T:h", long_options, NULL)) != -1) {
        if (option == 'h') {
            return fputs(usage_text, stdout) < 0 || fflush(stdout) != 0;
        }
        int status = take_option(option, &options);
        if (status != 0) {
            return status;
        }
    }
    options.paths = optind < argc ? argv + optind : standard_input;
    options.n_paths = optind < argc ? (size_t)(argc - optind) : 1;
    if (twice_standard_input(&options)) {
        fputs("checksum: -: the standard input can be read only once\n", stderr);
        return usage();
    }
    return run(&options);
}
