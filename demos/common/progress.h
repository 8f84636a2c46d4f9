/* progress.h: one line on the terminal that says how far the work is, how fast it goes and how long it will take.
 *
 * It is drawn on stderr, and only if that is a terminal: a log file gets none of it. The one thread that owns the line
 * (main) draws it whenever a wait of progress_interval() has passed, and clears it before it writes anything else to the
 * same terminal. */
#ifndef DEMOS_PROGRESS_H
#define DEMOS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_unit {
    PROGRESS_BYTES, /* shown scaled: 3.2 MB, 480 MB/s */
    PROGRESS_TILES
};

/* All fields belong to progress.c. */
struct progress {
    enum progress_unit unit;
    bool shown;          /* whether stderr is a terminal */
    bool drawn;          /* whether the line stands there now */
    int64_t measured_at; /* ns, when the rate was measured last */
    double measured;     /* how much was done then */
    double rate;         /* per second, smoothed over the last seconds; 0: not known yet */
};

void progress_start(struct progress *progress, enum progress_unit unit);

/* Whether there is a terminal to draw on: else progress_draw() does nothing and nobody need count. */
bool progress_shown(const struct progress *progress);

/* How long to wait at most until the next progress_draw(), ns: WEFT_FOREVER if there is nothing to draw on. */
int64_t progress_interval(const struct progress *progress);

/* `total` 0: not known yet, so there is neither bar nor time left. While the line stands there, calls closer together than
 * half an interval do nothing. */
void progress_draw(struct progress *progress, uint64_t done, uint64_t total);

/* Removes the line; the next progress_draw() draws it again. */
void progress_clear(struct progress *progress);

#endif
