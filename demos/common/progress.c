/* progress.c: measuring the rate, and fitting bar and figures into the terminal's width.
 *
 * The rate is a running mean in which the last RATE_SECONDS weigh about half: steady enough to read, and it still follows
 * when the work becomes slower. A line is written with a single write, so that it does not flicker. */
#define _DEFAULT_SOURCE
#include "progress.h"

#include <weft/weft.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define INTERVAL     WEFT_MILLISECONDS(100)
#define RATE_SECONDS 2.0

enum { WIDEST = 200, NARROWEST_BAR = 8 };

void progress_start(struct progress *progress, enum progress_unit unit)
{
    const char *terminal = getenv("TERM");

    *progress = (struct progress){.unit = unit, .measured_at = weft_now()};
    progress->shown = isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

bool progress_shown(const struct progress *progress)
{
    return progress->shown;
}

int64_t progress_interval(const struct progress *progress)
{
    return progress->shown ? INTERVAL : WEFT_FOREVER;
}

static void measure_rate(struct progress *progress, double done, int64_t now)
{
    double seconds = (double)(now - progress->measured_at) / 1e9;
    double rate = (done - progress->measured) / seconds;
    double weight = progress->rate > 0 ? seconds / (seconds + RATE_SECONDS) : 1;

    progress->rate += weight * (rate - progress->rate);
    progress->measured_at = now;
    progress->measured = done;
}

/* "1.23 GB", or "17 tiles". */
static void format_amount(char *text, size_t size, enum progress_unit unit, double amount)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    size_t prefix = 0;

    if (unit == PROGRESS_TILES) {
        snprintf(text, size, "%.0f tiles", amount);
        return;
    }
    while (amount >= 999.5 && prefix + 1 < sizeof prefixes / sizeof prefixes[0]) {
        amount /= 1000;
        prefix++;
    }
    snprintf(text, size, "%.*f %sB", prefix == 0 || amount >= 99.5 ? 0 : 1, amount, prefixes[prefix]);
}

/* "0:07 left", "2:03:15 left"; nothing if there is no telling. */
static void format_left(char *text, size_t size, double seconds)
{
    text[0] = '\0';
    if (seconds >= 0 && seconds < 3600) {
        snprintf(text, size, "  %d:%02d left", (int)seconds / 60, (int)seconds % 60);
    } else if (seconds >= 3600 && seconds < 360000) {
        int minutes = (int)seconds / 60;
        snprintf(text, size, "  %d:%02d:%02d left", minutes / 60, minutes % 60, (int)seconds % 60);
    }
}

static size_t terminal_width(void)
{
    struct winsize window;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0) {
        return 80;
    }
    return window.ws_col < WIDEST ? window.ws_col : WIDEST;
}

/* Writes "[####----]  42%" into text, `width` columns and a terminating zero; an empty text if that is too narrow. */
static void format_bar(char *text, size_t width, double fraction)
{
    const size_t frame = strlen("[] 100%");

    text[0] = '\0';
    if (width < frame + NARROWEST_BAR) {
        return;
    }
    size_t cells = width - frame;
    size_t full = (size_t)((double)cells * fraction);
    text[0] = '[';
    memset(text + 1, '#', full);
    memset(text + 1 + full, '-', cells - full);
    snprintf(text + 1 + cells, frame, "] %3d%%", (int)(100 * fraction));
}

static void write_line(const char *line)
{
    fputs(line, stderr);
    fflush(stderr);
}

void progress_draw(struct progress *progress, uint64_t done, uint64_t total)
{
    int64_t now = weft_now();
    char amount[32], rate[32], left[32], figures[128], bar[WIDEST + 1] = "", line[WIDEST + 160];

    bool due = now - progress->measured_at >= INTERVAL / 2;
    if (!progress->shown || (progress->drawn && !due)) {
        return;
    }
    if (due) {
        measure_rate(progress, (double)done, now);
    }
    format_amount(amount, sizeof amount, progress->unit, (double)done);
    format_amount(rate, sizeof rate, progress->unit, progress->rate);
    format_left(left, sizeof left,
                total >= done && total > 0 && progress->rate > 0 ? (double)(total - done) / progress->rate : -1);
    int length = snprintf(figures, sizeof figures, "  %s  %s/s%s", amount, rate, left);

    size_t width = terminal_width() - 1; /* the last column stays free, or the cursor would go to the next line */
    if (total > 0 && width > (size_t)length) {
        format_bar(bar, width - (size_t)length, done < total ? (double)done / (double)total : 1);
    }
    snprintf(line, sizeof line, "\r%s%.*s\033[K", bar, (int)(width - strlen(bar)),
             bar[0] != '\0' ? figures : figures + 2);
    write_line(line);
    progress->drawn = true;
}

void progress_clear(struct progress *progress)
{
    if (progress->drawn) {
        write_line("\r\033[K");
        progress->drawn = false;
    }
}
