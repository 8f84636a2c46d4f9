/* svg.c: the picture: a row for each lane, time from left to right.
 *
 * A slice is a box, one within another stands below it, and its colour is that of its name. What is too narrow to be
 * seen is drawn once for each pixel and not once for each slice, so the picture of a million jobs is no larger than the
 * window of the viewer asks for; likewise moments, and arrows between lanes, of which MOST_ARROWS are drawn at most.
 * What failed has a red edge, what was cancelled a dashed one. The pointer shows a slice's name and time (title). */
#include "svg.h"

#include <stdlib.h>
#include <string.h>

enum { MARGIN = 16, LABEL = 168, HEAD = 64, FOOT = 36, ROW = 20, GAP = 14, MOST_ROWS = 6, MOST_ARROWS = 200 };

struct row {
    int top, rows;           /* pixels; how many slices deep it is shown */
    double drawn[MOST_ROWS]; /* up to where, by depth, in pixels */
    double marked[5];        /* likewise, moments by kind */
};

struct picture {
    FILE *out;
    const struct trace *trace;
    const struct svg_options *options;
    struct row *rows; /* by lane */
    size_t *order;    /* lanes from top to bottom */
    int height;
};

/* ---- text ---- */

static void put_text(FILE *out, const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s != '\0'; s++) {
        if (*s == '&' || *s == '<' || *s == '>' || *s == '"' || *s == '\'') {
            fprintf(out, "&#%d;", *s);
        } else if (*s < ' ' || *s == 127 || (s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe)) {
            fputs("&#xfffd;", out); /* what XML does not allow */
            s += *s == 0xef ? 2 : 0;
        } else {
            fputc(*s, out);
        }
    }
}

static void put_duration(FILE *out, double us)
{
    if (us < 1000) {
        fprintf(out, "%.3g µs", us);
    } else if (us < 1e6) {
        fprintf(out, "%.3g ms", us / 1e3);
    } else {
        fprintf(out, "%.4g s", us / 1e6);
    }
}

/* ---- places ---- */

static double scale(const struct picture *p)
{
    double span = p->options->to - p->options->from;

    return (p->options->width - 2 * MARGIN - LABEL) / (span > 0 ? span : 1);
}

static double x_of(const struct picture *p, double at)
{
    double from = p->options->from, to = p->options->to;

    return MARGIN + LABEL + ((at < from ? from : at > to ? to : at) - from) * scale(p);
}

static bool outside(const struct picture *p, double from, double to)
{
    return to < p->options->from || from > p->options->to;
}

/* ---- slices ---- */

static unsigned hue_of(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *name != '\0'; name++) {
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    }
    return hash % 360;
}

static void put_colour(const struct picture *p, const struct slice *s)
{
    switch (s->kind) {
    case KIND_PARKED:
        fputs(" class=\"parked\"", p->out);
        break;
    case KIND_BLOCKED:
        fputs(" class=\"blocked\"", p->out);
        break;
    default:
        fprintf(p->out, " fill=\"hsl(%u,%s)\"", hue_of(s->name), s->kind == KIND_TASK ? "45%,75%" : "60%,62%");
        break;
    }
    if (s->outcome == OUTCOME_FAILED) {
        fputs(" stroke=\"#c00\" stroke-width=\"1.5\"", p->out);
    } else if (s->outcome == OUTCOME_CANCELLED) {
        fputs(" stroke=\"#333\" stroke-dasharray=\"3,2\"", p->out);
    }
}

static void draw_slice(struct picture *p, const struct slice *s)
{
    static const char *const outcomes[] = {"", "", ", failed", ", cancelled", ", unfinished"};
    struct row *row = &p->rows[s->lane];

    if (outside(p, s->from, s->to) || s->depth >= (unsigned)row->rows) {
        return;
    }
    double x = x_of(p, s->from), end = x_of(p, s->to);
    end = end - x < 0.75 ? x + 0.75 : end;
    if (end <= row->drawn[s->depth]) {
        return; /* nothing that could be seen */
    }
    row->drawn[s->depth] = end;
    double width = end - x;
    int y = row->top + (int)s->depth * ROW;
    fprintf(p->out, "<rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\"", x, y, width, ROW - 2);
    put_colour(p, s);
    fputs("><title>", p->out);
    put_text(p->out, s->name);
    fputs(", ", p->out);
    put_duration(p->out, s->to - s->from);
    fprintf(p->out, "%s</title></rect>\n", outcomes[s->outcome]);
    if (width > 7 * (double)strlen(s->name) + 6 && s->kind != KIND_PARKED) {
        fprintf(p->out, "<text x=\"%.2f\" y=\"%d\" class=\"name\">", x + 3, y + ROW - 7);
        put_text(p->out, s->name);
        fputs("</text>\n", p->out);
    }
}

/* ---- moments and arrows ---- */

static void draw_moment(struct picture *p, const struct moment *m)
{
    static const char *const classes[] = {"steal", "wake", "timer", "cancel", "submit"};
    struct row *row = &p->rows[m->lane];

    if (outside(p, m->at, m->at)) {
        return;
    }
    double x = x_of(p, m->at);
    if (x < row->marked[m->kind] + 1) {
        return;
    }
    row->marked[m->kind] = x;
    fprintf(p->out, "<path class=\"%s\" d=\"M%.2f %dl-3 -6h6z\"><title>%s, ", classes[m->kind], x, row->top,
            classes[m->kind]);
    put_duration(p->out, m->at);
    fputs("</title></path>\n", p->out);
}

/* The other end, if the arrow goes from lane to lane and can be seen. */
static const struct arrow_end *start_of(const struct picture *p, const struct arrow_end *end)
{
    const struct arrow_end *start = trace_arrow_start(p->trace, end->id);

    bool drawn = start != NULL && start->lane != end->lane && start->at <= end->at && !outside(p, end->at, end->at);
    return drawn ? start : NULL;
}

static void draw_arrow(struct picture *p, const struct arrow_end *start, const struct arrow_end *end)
{
    int from = p->rows[start->lane].top, to = p->rows[end->lane].top;
    double x1 = x_of(p, start->at), x2 = x_of(p, end->at);

    fprintf(p->out, "<path class=\"arrow\" d=\"M%.2f %dC%.2f %d %.2f %d %.2f %d\"/>\n", x1, from, x1 + 12, from,
            x2 - 12, to, x2, to);
}

/* Each n-th, if they are too many. */
static void draw_arrows(struct picture *p)
{
    size_t seen = 0, n = 0;

    for (size_t i = 0; i < p->trace->n_ends; i++) {
        n += start_of(p, &p->trace->ends[i]) != NULL;
    }
    size_t step = n / MOST_ARROWS + 1;
    for (size_t i = 0; i < p->trace->n_ends; i++) {
        const struct arrow_end *start = start_of(p, &p->trace->ends[i]);
        if (start != NULL && seen++ % step == 0) {
            draw_arrow(p, start, &p->trace->ends[i]);
        }
    }
}

/* ---- around it ---- */

static void draw_label(struct picture *p, size_t i)
{
    const struct lane *lane = &p->trace->lanes[i];
    double span = p->trace->to - p->trace->from;
    size_t jobs = 0;

    for (size_t k = 0; k < 5; k++) {
        jobs += lane->jobs[k];
    }
    fprintf(p->out, "<text x=\"%d\" y=\"%d\" class=\"lane\">", MARGIN, p->rows[i].top + 13);
    put_text(p->out, lane->name[0] != '\0' ? lane->name : "?");
    fputs("</text>\n", p->out);
    if (jobs > 0 || lane->steals > 0) {
        fprintf(p->out, "<text x=\"%d\" y=\"%d\" class=\"figures\">%zu jobs, %zu steals, %.0f%%</text>\n", MARGIN,
                p->rows[i].top + 25, jobs, lane->steals, span > 0 ? 100 * lane->busy / span : 0);
    }
}

/* A step of 1, 2 or 5 times a power of ten, with at most `most` of them in the span. */
static double tick_step(double span, int most)
{
    double step = 1e-3;

    for (int i = 0; span / step > most; i++) {
        step *= i % 3 == 1 ? 2.5 : 2;
    }
    return step;
}

static void draw_axis(struct picture *p)
{
    double span = p->options->to - p->options->from;
    double step = tick_step(span, 12);

    for (int i = 0; i * step <= span && i < 100; i++) {
        double x = x_of(p, p->options->from + i * step);
        fprintf(p->out, "<path class=\"grid\" d=\"M%.2f %dV%d\"/>\n<text x=\"%.2f\" y=\"%d\" class=\"tick\">", x,
                HEAD - GAP, p->height - FOOT, x, HEAD - GAP - 4);
        put_duration(p->out, i * step);
        fputs("</text>\n", p->out);
    }
}

static void draw_legend(struct picture *p)
{
    static const char *const names[] = {"steal", "wake", "timer", "cancel", "submit"};
    int y = p->height - 12;

    for (int i = 0; i < 5; i++) {
        int x = MARGIN + LABEL + i * 80;
        fprintf(p->out,
                "<path class=\"%s\" d=\"M%d %dl-3 -6h6z\"/><text x=\"%d\" y=\"%d\" class=\"figures\">%s</text>\n",
                names[i], x, y, x + 8, y, names[i]);
    }
    fprintf(p->out,
            "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"9\" class=\"parked\"/>"
            "<text x=\"%d\" y=\"%d\" class=\"figures\">parked</text>\n"
            "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"9\" class=\"blocked\"/>"
            "<text x=\"%d\" y=\"%d\" class=\"figures\">blocked in a wait</text>\n",
            MARGIN + LABEL + 400, y - 8, MARGIN + LABEL + 420, y, MARGIN + LABEL + 480, y - 8, MARGIN + LABEL + 500, y);
}

static void draw_head(struct picture *p)
{
    const struct trace *t = p->trace;

    fprintf(p->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n"
            "<style>text{font:12px sans-serif;fill:#222}.name{font-size:10px}.lane{font-weight:bold}"
            ".figures{font-size:10px;fill:#666}.tick{font-size:10px;fill:#888;text-anchor:middle}"
            ".grid{stroke:#e4e4e4;fill:none}.parked{fill:#ececec}.blocked{fill:#f6e3b4}"
            ".arrow{stroke:#4a6fa5;stroke-opacity:.35;fill:none}.steal{fill:#d9480f}.wake{fill:#2b8a3e}"
            ".timer{fill:#862e9c}.cancel{fill:#c00}.submit{fill:#4a6fa5}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"22\" class=\"lane\">",
            p->options->width, p->height, p->options->width, p->height, MARGIN);
    put_text(p->out, t->title[0] != '\0' ? t->title : "trace");
    fputs("</text><text x=\"184\" y=\"22\">", p->out);
    put_duration(p->out, p->options->to - p->options->from);
    if (p->options->from > t->from) {
        fputs(" from ", p->out);
        put_duration(p->out, p->options->from);
    }
    fprintf(p->out, ", %zu lanes, %zu slices", t->n_lanes, t->n_slices);
    if (t->lost > 0) {
        fprintf(p->out, ", %.0f events lost", t->lost);
    }
    fputs("</text>\n", p->out);
}

static const struct trace *sorted; /* by sort_lanes, for compare_lanes */

static int compare_lanes(const void *a, const void *b)
{
    const struct lane *x = &sorted->lanes[*(const size_t *)a], *y = &sorted->lanes[*(const size_t *)b];

    return x->order != y->order ? (x->order > y->order) - (x->order < y->order) : (x->tid > y->tid) - (x->tid < y->tid);
}

static void lay_out(struct picture *p)
{
    size_t n = p->trace->n_lanes;
    int y = HEAD;

    for (size_t i = 0; i < n; i++) {
        p->order[i] = i;
    }
    sorted = p->trace;
    qsort(p->order, n, sizeof *p->order, compare_lanes);
    for (size_t i = 0; i < n; i++) {
        struct row *row = &p->rows[p->order[i]];
        unsigned deepest = p->trace->lanes[p->order[i]].deepest;
        row->top = y;
        row->rows = deepest < 1 ? 1 : deepest > MOST_ROWS ? MOST_ROWS : (int)deepest;
        for (size_t k = 0; k < 5; k++) {
            row->marked[k] = -2;
        }
        y += row->rows * ROW + GAP;
    }
    p->height = y + FOOT;
}

bool svg_write(FILE *out, const struct trace *trace, const struct svg_options *options)
{
    size_t n = trace->n_lanes;
    struct picture p = {.out = out, .trace = trace, .options = options};

    p.rows = calloc(n + 1, sizeof *p.rows);
    p.order = calloc(n + 1, sizeof *p.order);
    if (p.rows != NULL && p.order != NULL) {
        lay_out(&p);
        draw_head(&p);
        draw_axis(&p);
        for (size_t i = 0; i < n; i++) {
            draw_label(&p, i);
        }
        draw_arrows(&p);
        for (size_t i = 0; i < trace->n_slices; i++) {
            draw_slice(&p, &trace->slices[i]);
        }
        for (size_t i = 0; i < trace->n_moments; i++) {
            draw_moment(&p, &trace->moments[i]);
        }
        draw_legend(&p);
        fputs("</svg>\n", out);
    }
    bool drawn = p.rows != NULL && p.order != NULL;
    free(p.rows);
    free(p.order);
    return drawn;
}
