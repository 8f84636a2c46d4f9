/* render: the Mandelbrot set as a PNG file, drawn on every CPU.
 *
 *     render [--size WxH] [--center X,Y] [--zoom Z] [--iterations N] [--jobs N] [--deadline SECONDS] FILE
 *
 * This file reads the command line. The rest: mandelbrot knows the colours, tiles makes jobs of them, picture writes the
 * file, and run holds them together. */
#include "run.h"

#include "../common/arguments.h"

#include <weft/weft.h>

#include <getopt.h>
#include <stdio.h>

enum { MOST_JOBS = 512, LARGEST_SIDE = 16384, MOST_ITERATIONS = 1000000 };
static const double longest_deadline = 1e9, largest_zoom = 1e13;

static const char usage_text[] =
    "usage: render [--size WxH] [--center X,Y] [--zoom Z] [--iterations N] [--jobs N] [--deadline SECONDS] FILE\n"
    "\n"
    "Draws the Mandelbrot set and writes it to FILE as PNG.\n"
    "\n"
    "  -s, --size WxH          in pixels (each 1 to 16384; default 1600x1200)\n"
    "  -c, --center X,Y        what point is in the middle (each -4 to 4; default: in Seahorse Valley)\n"
    "  -z, --zoom Z            how much larger than the whole set (1e-2 to 1e13; default 400)\n"
    "  -i, --iterations N      how long to follow a point (1 to 1000000; default 2000)\n"
    "  -j, --jobs N            draw N tiles at a time (1 to 512; default: as many as there are CPUs)\n"
    "  -d, --deadline SECONDS  write then what there is; tiles that are not drawn stay grey\n"
    "  -h, --help              print this\n"
    "\n"
    "Status: 0, also if tiles missed the deadline; 1 for a failure; 2 for a mistake in the command line; 130 after\n"
    "Ctrl-C, which leaves no half-written file.\n";

static int usage(void)
{
    fputs(usage_text, stderr);
    return 2;
}

static bool read_size(const char *text, struct view *view)
{
    long width, height;

    if (!take_integer(&text, 1, LARGEST_SIDE, &width) || !take_character(&text, 'x') ||
        !read_integer(text, 1, LARGEST_SIDE, &height)) {
        return false;
    }
    view->width = (size_t)width;
    view->height = (size_t)height;
    return true;
}

static bool read_center(const char *text, struct view *view)
{
    return take_real(&text, -4, 4, &view->center_x) && take_character(&text, ',') &&
           read_real(text, -4, 4, &view->center_y);
}

static bool read_jobs(const char *text, unsigned *workers)
{
    long jobs;

    if (!read_integer(text, 1, MOST_JOBS, &jobs)) {
        return false;
    }
    *workers = (unsigned)jobs;
    return true;
}

static bool read_deadline(const char *text, int64_t *limit)
{
    double seconds;

    if (!read_real(text, 0, longest_deadline, &seconds) || seconds <= 0) {
        return false;
    }
    *limit = WEFT_SECONDS(seconds);
    return true;
}

static bool take_option(int option, struct run_options *options)
{
    switch (option) {
    case 's':
        return read_size(optarg, &options->view);
    case 'c':
        return read_center(optarg, &options->view);
    case 'z':
        return read_real(optarg, 1e-2, largest_zoom, &options->view.zoom);
    case 'i':
        return read_integer(optarg, 1, MOST_ITERATIONS, &options->view.iterations);
    case 'j':
        return read_jobs(optarg, &options->workers);
    default:
        return read_deadline(optarg, &options->limit);
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
        {"size", required_argument, NULL, 's'}, {"center", required_argument, NULL, 'c'},
        {"zoom", required_argument, NULL, 'z'}, {"iterations", required_argument, NULL, 'i'},
        {"jobs", required_argument, NULL, 'j'}, {"deadline", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    struct run_options options = {
        .view =
            {.center_x = -0.7453, .center_y = 0.1127, .zoom = 400, .width = 1600, .height = 1200, .iterations = 2000},
        .limit = WEFT_FOREVER};
    int option;

    while ((option = getopt_long(argc, argv, "s:c:z:i:j:d:h", long_options, NULL)) != -1) {
        if (option == 'h') {
            return fputs(usage_text, stdout) < 0 || fflush(stdout) != 0;
        }
        if (option == '?') {
            return usage(); /* getopt has said what is wrong */
        }
        if (!take_option(option, &options)) {
            fprintf(stderr, "render: --%s: '%s' is malformed or out of range\n", name_of(option, long_options), optarg);
            return usage();
        }
    }
    if (argc - optind != 1) {
        fprintf(stderr, "render: %s\n", optind < argc ? "more than one output file" : "no output file");
        return usage();
    }
    options.path = argv[optind];
    return run(&options);
}
