/* timeline: turns a trace (weft/trace.h) into a picture of lanes.
 *
 *     timeline [--from MS] [--to MS] [--width PIXELS] TRACE [SVG]
 *     timeline --check TRACE
 *
 * This file reads the command line and the files. json.c takes the trace apart, lanes.c makes lanes of it, svg.c draws
 * them. */
#define _POSIX_C_SOURCE 200809L
#include "svg.h"

#include "../common/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const size_t most_bytes = (size_t)1 << 30;

static const char usage_text[] =
    "usage: timeline [--from MS] [--to MS] [--width PIXELS] TRACE [SVG]\n"
    "       timeline --check TRACE\n"
    "\n"
    "Draws the lanes of a trace that weft_trace_start wrote, as SVG, to the file SVG or the standard output.\n"
    "TRACE may be - for the standard input.\n"
    "\n"
    "  -f, --from MS       begin at this time, in milliseconds of the trace\n"
    "  -t, --to MS         end at this time\n"
    "  -w, --width PIXELS  how wide the picture is (400 to 100000; default: 1600)\n"
    "  -c, --check         draw nothing: print what each worker's lane shows beside what its counters say\n"
    "  -h, --help          print this\n"
    "\n"
    "Status: 0; 1 if the trace cannot be read or is none, if the picture cannot be written, or if lanes and counters\n"
    "differ although no event was lost; 2 for a mistake in the command line.\n";

struct settings {
    struct svg_options svg;
    bool has_from, has_to, check;
};

static int usage(void)
{
    fputs(usage_text, stderr);
    return 2;
}

static int bad_value(const char *option, const char *value, const char *wanted)
{
    fprintf(stderr, "timeline: %s: '%s' is not %s\n", option, value, wanted);
    return usage();
}

static int fail(const char *name, const char *what)
{
    fprintf(stderr, "timeline: %s: %s\n", name, what);
    return 1;
}

static int take_option(int option, struct settings *settings)
{
    double ms;
    long width;

    switch (option) {
    case 'f':
    case 't':
        if (!read_real(optarg, 0, 1e12, &ms)) {
            return bad_value(option == 'f' ? "--from" : "--to", optarg, "a number of milliseconds");
        }
        *(option == 'f' ? &settings->svg.from : &settings->svg.to) = ms * 1e3;
        *(option == 'f' ? &settings->has_from : &settings->has_to) = true;
        return 0;
    case 'w':
        if (!read_integer(optarg, 400, 100000, &width)) {
            return bad_value("--width", optarg, "a number from 400 to 100000");
        }
        settings->svg.width = (int)width;
        return 0;
    case 'c':
        settings->check = true;
        return 0;
    default:
        return usage(); /* getopt has said what is wrong */
    }
}

/* All of a stream, to be freed. NULL: *what says why not. */
static char *read_all(FILE *in, size_t *size, const char **what)
{
    size_t room = 1 << 16;
    char *text = malloc(room);

    *size = 0;
    while (text != NULL) {
        *size += fread(text + *size, 1, room - *size, in);
        if (*size < room) {
            break;
        }
        room *= 2;
        char *larger = room <= most_bytes ? realloc(text, room) : NULL;
        if (larger == NULL) {
            free(text);
            *what = room <= most_bytes ? "no memory" : "larger than a gigabyte";
            return NULL;
        }
        text = larger;
    }
    if (text == NULL || ferror(in)) {
        *what = text == NULL ? "no memory" : strerror(errno);
        free(text);
        return NULL;
    }
    return text;
}

/* The bytes of the file; NULL, after a message: none. */
static char *load(const char *path, size_t *size)
{
    const char *what = NULL;
    bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "rb");
    char *text = NULL;

    if (in == NULL) {
        fail(path, strerror(errno));
        return NULL;
    }
    text = read_all(in, size, &what);
    if (text == NULL) {
        fail(path, what);
    }
    if (!standard) {
        fclose(in);
    }
    return text;
}

/* The exit status. */
static int store(const char *path, const struct trace *trace, const struct svg_options *options)
{
    FILE *out = path != NULL ? fopen(path, "wb") : stdout;
    const char *name = path != NULL ? path : "standard output";

    if (out == NULL) {
        return fail(path, strerror(errno));
    }
    bool drawn = svg_write(out, trace, options);
    bool written = fflush(out) == 0 && !ferror(out);
    int error = errno;
    if (path != NULL && fclose(out) != 0) {
        error = errno;
        written = false;
    }
    if (!drawn) {
        return fail(name, "no memory");
    }
    return written ? 0 : fail(name, strerror(error));
}

/* Lanes against counters. The exit status. */
static int check(const char *from, const struct trace *trace)
{
    static const struct lane none;
    bool agree = trace->n_counters > 0;

    printf("%-16s %18s %18s %18s   %s\n", "", "succeeded", "failed", "stolen", "lane / counter");
    for (size_t i = 0; i < trace->n_counters; i++) {
        const struct counters *c = &trace->counters[i];
        const struct lane *lane = trace_worker_lane(trace, i);
        lane = lane != NULL ? lane : &none;
        double shown[] = {(double)lane->jobs[OUTCOME_SUCCEEDED], (double)lane->jobs[OUTCOME_FAILED],
                          (double)lane->steals};
        agree = agree && shown[0] == c->succeeded && shown[1] == c->failed && shown[2] == c->stolen;
        printf("worker %-9zu %8.0f /%8.0f %8.0f /%8.0f %8.0f /%8.0f\n", i, shown[0], c->succeeded, shown[1], c->failed,
               shown[2], c->stolen);
    }
    printf("%.0f events lost\n", trace->lost);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return fail("standard output", strerror(errno));
    }
    return agree || trace->lost > 0 ? 0 : fail(from, "the lanes are not what the counters say");
}

static int draw(const char *from, const char *to, struct settings *settings)
{
    struct trace trace;
    size_t size, line;
    char *text = load(from, &size);

    if (text == NULL) {
        return 1;
    }
    int status = 1;
    const char *mistake = trace_read(&trace, text, size, &line);
    if (mistake != NULL) {
        fprintf(stderr, "timeline: %s:%zu: %s\n", from, line, mistake);
    } else {
        if (settings->check) {
            status = check(from, &trace);
            trace_free(&trace);
            free(text);
            return status;
        }
        settings->svg.from = settings->has_from ? settings->svg.from : trace.from;
        settings->svg.to = settings->has_to ? settings->svg.to : trace.to;
        if (settings->svg.from > settings->svg.to) {
            fail(from, "nothing is left between --from and --to");
        } else {
            status = store(to, &trace, &settings->svg);
        }
    }
    trace_free(&trace);
    free(text);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"from", required_argument, NULL, 'f'},  {"to", required_argument, NULL, 't'},
        {"width", required_argument, NULL, 'w'}, {"check", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    struct settings settings = {.svg = {.width = 1600}};
    int option;

    while ((option = getopt_long(argc, argv, "f:t:w:ch", long_options, NULL)) != -1) {
        if (option == 'h') {
            return fputs(usage_text, stdout) < 0 || fflush(stdout) != 0;
        }
        int status = take_option(option, &settings);
        if (status != 0) {
            return status;
        }
    }
    if (argc - optind < 1 || argc - optind > (settings.check ? 1 : 2)) {
        return usage();
    }
    return draw(argv[optind], argc - optind == 2 ? argv[optind + 1] : NULL, &settings);
}
