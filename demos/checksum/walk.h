/* walk.h: the files under some paths, one after the other, in a fixed order.
 *
 * The order: the paths as given; under each directory, its files in the byte order of their whole paths. That is the order
 * of `find PATH -type f | LC_ALL=C sort`, and it does not depend on the file system or on the locale.
 *
 * What counts: a path that is given is followed if it is a symbolic link and taken if it is anything but a directory (a
 * pipe, say); `-` is the standard input. Below a directory only regular files are taken, so that neither a link leads in
 * circles nor a pipe makes it wait.
 *
 * Memory: the names in the directories between the root and where the walk stands, not the tree.
 *
 * One thread at a time a walk; any number of walks. */
#ifndef CHECKSUM_WALK_H
#define CHECKSUM_WALK_H

#include <stdbool.h>
#include <stddef.h>

struct walk;

struct walk_item {
    char *path; /* the caller's from here on, to be freed */
    int error;  /* 0, or the errno for which this path, file or directory, cannot be read */
};

/* `stopped` is asked now and then whether to give up; the paths must stay as long as the walk. NULL: no memory. */
struct walk *walk_open(char *const paths[], size_t n, bool (*stopped)(void *data), void *data);

/* 1 and an item; 0 at the end, however often it is asked; -ECANCELED if `stopped` said so; -ENOMEM. After these two there
 * is only walk_close(). */
int walk_next(struct walk *walk, struct walk_item *item);

/* NULL does nothing. */
void walk_close(struct walk *walk);

#endif
