/* topology.c: the affinity mask and the CPU quota of the control groups, of which the smaller one counts.
 *
 * A container that may use half a CPU of a machine with 64 shows 64 in its mask. Sixty-four workers there would spend
 * the quota of each period in its first moment and then all stand still together, lock holders included.
 *
 * Where a quota is found. A process is in one group of each hierarchy (/proc/self/cgroup). In the unified hierarchy
 * (version 2) a group's quota is the file cpu.max, in the hierarchy of the cpu controller (version 1), which other
 * controllers may share, the files cpu.cfs_quota_us and cpu.cfs_period_us. The quotas of all groups above hold as well.
 * A hierarchy is visible where it is mounted (/proc/self/mountinfo), and a mount shows the groups from its root
 * downwards only: so the path of the process's group, minus the mount's root, is looked up below the mount point, and
 * from there level by level up to it.
 *
 * Namespaces. Both files count paths from the root of the reader's cgroup namespace, and write what lies above it as
 * "/..". A mount whose root is higher up than the group in that sense shows an ancestor, so its own quota applies; a
 * mount whose root is somewhere else shows strangers, whose quotas do not.
 *
 * Discipline. Any thread; nothing is kept between calls. The buffers are pages of their own, since the caller may run
 * on a small stack and malloc is not weft's to use behind the program's allocator. Lines and paths that are longer than
 * the buffers are passed over: no quota is better than a guess. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "topology.h"

#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, INPUT_SIZE = 16384, MASK_BYTES_LEAST = 128, MASK_BYTES_MOST = 8192 };

/* A file, line by line. */
struct input {
    int fd;
    bool skipping; /* in a line that did not fit */
    size_t begin;  /* data[begin..end) has been read from the file and not been handed out */
    size_t end;    /* at most INPUT_SIZE - 1: a terminator has room behind it */
    char data[INPUT_SIZE];
};

/* All that one reading needs; its reader owns it. */
struct reading {
    const char *root;
    struct weft__topology *out;
    char unified[PATH_SIZE]; /* the process's group in version 2; empty: in none */
    char legacy[PATH_SIZE];  /* the same for the cpu controller of version 1 */
    char path[PATH_SIZE];    /* of the group that is being looked at */
    char file[PATH_SIZE];    /* being opened */
    unsigned long mask[MASK_BYTES_MOST / sizeof(unsigned long)];
    struct input input;
};

static ssize_t read_some(int fd, char *into, size_t size)
{
    ssize_t n;
    do
        n = read(fd, into, size);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool input_open(struct reading *r, const char *name)
{
    if (snprintf(r->file, sizeof r->file, "%s%s", r->root, name) >= (int)sizeof r->file)
        return false;
    r->input.fd = open(r->file, O_RDONLY | O_CLOEXEC);
    r->input.begin = r->input.end = 0;
    r->input.skipping = false;
    return r->input.fd >= 0;
}

/* Room is made at the end of the data; a line that fills all of it is given up. One byte stays free for a
 * terminator. */
static bool input_fill(struct input *in)
{
    memmove(in->data, in->data + in->begin, in->end - in->begin);
    in->end -= in->begin;
    in->begin = 0;
    if (in->end == sizeof in->data - 1) {
        in->skipping = true;
        in->end = 0;
    }
    ssize_t n = read_some(in->fd, in->data + in->end, sizeof in->data - 1 - in->end);
    if (n <= 0)
        return false;
    in->end += (size_t)n;
    return true;
}

/* The next line, terminated; the last one may lack its newline. NULL: no more. */
static char *input_take(struct input *in)
{
    char *newline;
    while ((newline = memchr(in->data + in->begin, '\n', in->end - in->begin)) == NULL && input_fill(in))
        ;
    char *line = in->data + in->begin;
    if (newline == NULL && in->begin == in->end)
        return NULL;
    if (newline == NULL)
        newline = in->data + in->end++; /* the byte kept free */
    *newline = '\0';
    in->begin = (size_t)(newline - in->data) + 1;
    return line;
}

/* The next line that fits; valid until the next call. */
static char *input_line(struct input *in)
{
    char *line;
    bool cut;
    do {
        line = input_take(in);
        cut = in->skipping;
        in->skipping = false;
    } while (line != NULL && cut);
    return line;
}

/* What stands in a file of one short line; empty if it cannot be read. */
static void read_short(struct reading *r, const char *directory, const char *name, char *into, size_t size)
{
    ssize_t n = -1;
    into[0] = '\0';
    if (snprintf(r->file, sizeof r->file, "%s%s/%s", r->root, directory, name) >= (int)sizeof r->file)
        return;
    int fd = open(r->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    n = read_some(fd, into, size - 1);
    into[n > 0 ? n : 0] = '\0';
    (void)close(fd);
}

static bool list_contains(const char *list, const char *item)
{
    size_t length = strlen(item);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, item, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

static void copy_path(char *into, const char *path)
{
    size_t length = strlen(path);
    if (length < PATH_SIZE)
        memcpy(into, path, length + 1);
}

/* /proc/self/cgroup has a line `id:controllers:path` for each hierarchy; version 2 has no controllers there. */
static void find_groups(struct reading *r)
{
    if (!input_open(r, "/proc/self/cgroup"))
        return;
    for (char *line; (line = input_line(&r->input)) != NULL;) {
        char *path = line;
        char *id = strsep(&path, ":");
        char *controllers = strsep(&path, ":");
        if (path == NULL || path[0] != '/')
            continue;
        if (strcmp(id, "0") == 0 && controllers[0] == '\0')
            copy_path(r->unified, path);
        else if (list_contains(controllers, "cpu"))
            copy_path(r->legacy, path);
    }
    (void)close(r->input.fd);
}

/* The fields of a line of /proc/self/mountinfo that matter here, in the line itself. */
struct mount {
    char *root;  /* which path of the hierarchy is mounted */
    char *point; /* where */
    char *type;
    char *options; /* of the file system: for version 1 its controllers */
};

/* `id parent device root point options [more...] - type source options` */
static bool mount_parse(char *line, struct mount *m)
{
    char *field[6];
    char *rest = line;
    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++)
        field[i] = strsep(&rest, " ");
    char *more;
    do
        more = strsep(&rest, " ");
    while (more != NULL && strcmp(more, "-") != 0);
    m->root = field[3];
    m->point = field[4];
    m->type = strsep(&rest, " ");
    (void)strsep(&rest, " ");
    m->options = rest;
    return rest != NULL;
}

/* The kernel writes blanks and backslashes in paths as three octal digits. */
static void unescape(char *path)
{
    char *to = path;
    for (const char *from = path; *from != '\0'; to++) {
        bool octal = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
                     from[3] >= '0' && from[3] <= '7';
        *to = octal ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += octal ? 4 : 1;
    }
    *to = '\0';
}

/* How many levels above the namespace's root a path begins. */
static size_t levels_up(const char *path)
{
    size_t n = 0;
    while (strncmp(path + 3 * n, "/..", 3) == 0 && (path[3 * n + 3] == '/' || path[3 * n + 3] == '\0'))
        n++;
    return n;
}

/* The part of the group's path that lies below the mount's root, "" for the root itself; NULL: it is not below. */
static const char *below(const char *root, const char *group)
{
    size_t root_up = levels_up(root);
    size_t group_up = levels_up(group);
    size_t length = strlen(root);
    if (root[3 * root_up] == '\0' || strcmp(root + 3 * root_up, "/") == 0) {
        if (root_up != group_up)
            return root_up > group_up ? "" : NULL; /* higher up is an ancestor, but the way down from it is not told */
        length = 3 * root_up;
    } else if (strncmp(root, group, length) != 0 || (group[length] != '/' && group[length] != '\0')) {
        return NULL;
    }
    return strcmp(group + length, "/") == 0 ? "" : group + length;
}

/* The quota may be a part of a CPU: the workers are rounded up, but any shortage makes spinning a waste. */
static void apply(struct weft__topology *out, unsigned long long quota, unsigned long long period)
{
    if (quota == 0 || period == 0)
        return;
    unsigned long long whole = quota / period;
    unsigned long long cpus = whole + (quota % period != 0);
    if (whole < out->mask)
        out->limited = true;
    if (cpus < out->quota)
        out->quota = (unsigned)cpus;
}

/* cpu.max holds `quota period`, or `max period` for none. */
static void apply_unified(struct reading *r)
{
    char text[64];
    read_short(r, r->path, "cpu.max", text, sizeof text);
    if (text[0] < '0' || text[0] > '9')
        return;
    char *end;
    unsigned long long quota = strtoull(text, &end, 10);
    apply(r->out, quota, strtoull(end, NULL, 10));
}

/* The quota is -1 for none. */
static void apply_legacy(struct reading *r)
{
    char quota[64];
    char period[64];
    read_short(r, r->path, "cpu.cfs_quota_us", quota, sizeof quota);
    read_short(r, r->path, "cpu.cfs_period_us", period, sizeof period);
    if (quota[0] >= '0' && quota[0] <= '9' && period[0] >= '0' && period[0] <= '9')
        apply(r->out, strtoull(quota, NULL, 10), strtoull(period, NULL, 10));
}

/* From the process's group up to the mount point, which is the last one that can be seen. */
static void apply_upwards(struct reading *r, struct mount *m, const char *group, void (*apply_one)(struct reading *r))
{
    unescape(m->root);
    unescape(m->point);
    const char *rest = below(m->root, group);
    if (rest == NULL || snprintf(r->path, sizeof r->path, "%s%s", m->point, rest) >= (int)sizeof r->path)
        return;
    size_t top = strlen(m->point);
    for (;;) {
        apply_one(r);
        char *last = strrchr(r->path, '/');
        if (last == NULL || (size_t)(last - r->path) < top)
            return;
        *last = '\0';
    }
}

static void read_quotas(struct reading *r)
{
    struct mount m;
    find_groups(r);
    if (!input_open(r, "/proc/self/mountinfo"))
        return;
    for (char *line; (line = input_line(&r->input)) != NULL;) {
        if (!mount_parse(line, &m))
            continue;
        if (strcmp(m.type, "cgroup2") == 0 && r->unified[0] != '\0')
            apply_upwards(r, &m, r->unified, apply_unified);
        else if (strcmp(m.type, "cgroup") == 0 && r->legacy[0] != '\0' && list_contains(m.options, "cpu"))
            apply_upwards(r, &m, r->legacy, apply_legacy);
    }
    (void)close(r->input.fd);
}

/* The kernel refuses a buffer that is smaller than its own mask, and does not say how large that is. */
static unsigned read_mask(unsigned long *mask)
{
    for (size_t bytes = MASK_BYTES_LEAST; bytes <= MASK_BYTES_MOST; bytes *= 2) {
        unsigned cpus = 0;
        if (sched_getaffinity(0, bytes, (cpu_set_t *)(void *)mask) != 0)
            continue;
        for (size_t i = 0; i < bytes / sizeof *mask; i++)
            cpus += (unsigned)__builtin_popcountl(mask[i]);
        return cpus;
    }
    return 0;
}

void weft__topology_read(const char *root, struct weft__topology *out)
{
    int caller_errno = errno;
    *out = (struct weft__topology){.mask = 1, .quota = UINT_MAX, .limited = false};
    struct reading *r = weft__pages_map(sizeof *r, 4096, false);
    if (r != NULL) {
        unsigned cpus = read_mask(r->mask);
        out->mask = cpus > 0 ? cpus : 1;
        r->root = root;
        r->out = out;
        read_quotas(r);
        weft__pages_unmap(r, sizeof *r);
    }
    errno = caller_errno;
}

unsigned weft__cpus_allowed(void)
{
    struct weft__topology topology;
    weft__topology_read("", &topology);
    return topology.quota < topology.mask ? topology.quota : topology.mask;
}

bool weft__cpu_quota(void)
{
    struct weft__topology topology;
    weft__topology_read("", &topology);
    return topology.limited;
}
