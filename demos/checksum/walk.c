/* walk.c: a stack of directories, each with its sorted names.
 *
 * The name of a directory is kept with a '/' behind it. That does three things at once: it tells directories from files,
 * it is how the name continues the path, and it makes plain strcmp() sort the names of one directory as the whole paths
 * below it would sort ("a.txt" before "a/x", because '.' comes before '/').
 *
 * Names are sorted by a merge sort of our own: qsort() cannot be stopped, and among a million names it takes longer than
 * somebody who pressed Ctrl-C should wait. */
#define _DEFAULT_SOURCE
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAMES_BETWEEN_LOOKS = 1024, SMALLEST_BLOCK = 1024, LARGEST_BLOCK = 1024 * 1024 };

/* Memory for many names: a million of them are freed with some twenty calls. */
struct block {
    struct block *previous;
    size_t used, size;
    char bytes[];
};

struct directory {
    char **names;
    size_t n, next, capacity;
    struct block *block; /* the newest of those that hold the names */
    size_t path_length;  /* of the directory's own path, with its '/', in walk->path */
};

struct walk {
    char *const *roots;
    size_t n_roots, next_root;
    struct directory *stack; /* the innermost directory last */
    size_t depth, capacity;
    char *path; /* of the innermost directory */
    size_t path_capacity;
    bool (*stopped)(void *data);
    void *data;
};

struct walk *walk_open(char *const paths[], size_t n, bool (*stopped)(void *data), void *data)
{
    struct walk *walk = calloc(1, sizeof *walk);

    if (walk != NULL) {
        *walk = (struct walk){.roots = paths, .n_roots = n, .stopped = stopped, .data = data};
    }
    return walk;
}

static void free_names(struct directory *directory)
{
    while (directory->block != NULL) {
        struct block *previous = directory->block->previous;
        free(directory->block);
        directory->block = previous;
    }
    free(directory->names);
}

void walk_close(struct walk *walk)
{
    if (walk == NULL) {
        return;
    }
    for (size_t i = 0; i < walk->depth; i++) {
        free_names(&walk->stack[i]);
    }
    free(walk->stack);
    free(walk->path);
    free(walk);
}

/* ---- sorting ---- */

/* Merges the sorted from[begin, middle) and from[middle, end) into to[begin, end). */
static void merge(char **from, char **to, size_t begin, size_t middle, size_t end)
{
    size_t left = begin, right = middle;

    for (size_t i = begin; i < end; i++) {
        bool take_left = right == end || (left < middle && strcmp(from[left], from[right]) <= 0);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Sorts *names, which may be exchanged for another array of the same size. 0, -ENOMEM, -ECANCELED. */
static int sort_names(const struct walk *walk, char ***names, size_t n)
{
    char **from = *names, **to = n > 1 ? malloc(n * sizeof *to) : NULL;
    bool stopped = false;

    if (n > 1 && to == NULL) {
        return -ENOMEM;
    }
    for (size_t width = 1; width < n && !stopped; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            merge(from, to, begin, smaller(begin + width, n), smaller(begin + 2 * width, n));
        }
        char **merged = to;
        to = from;
        from = merged;
        stopped = walk->stopped(walk->data);
    }
    *names = from;
    free(to);
    return stopped ? -ECANCELED : 0;
}

/* ---- reading a directory ---- */

static unsigned char type_of(int directory, const struct dirent *entry)
{
    struct stat status;

    if (entry->d_type != DT_UNKNOWN) {
        return entry->d_type;
    }
    /* A file system that does not say it in the directory. What cannot be looked at is taken for a file: the attempt to
     * read it will tell why. */
    if (fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return DT_REG;
    }
    return S_ISREG(status.st_mode) ? DT_REG : S_ISDIR(status.st_mode) ? DT_DIR : DT_LNK;
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Room for `size` bytes beside the other names of the directory. */
static char *allot(struct directory *directory, size_t size)
{
    struct block *block = directory->block;

    if (block == NULL || block->size - block->used < size) {
        size_t capacity = block == NULL ? SMALLEST_BLOCK : smaller(2 * block->size, LARGEST_BLOCK);
        block = malloc(sizeof *block + capacity); /* even the smallest holds the longest name */
        if (block == NULL) {
            return NULL;
        }
        *block = (struct block){.previous = directory->block, .size = capacity};
        directory->block = block;
    }
    char *bytes = block->bytes + block->used;
    block->used += size;
    return bytes;
}

/* 0, -ENOMEM. */
static int add_name(struct directory *directory, const char *name, bool is_directory)
{
    if (directory->n == directory->capacity) {
        size_t capacity = directory->capacity == 0 ? 16 : 2 * directory->capacity;
        char **names = realloc(directory->names, capacity * sizeof *names);
        if (names == NULL) {
            return -ENOMEM;
        }
        directory->names = names;
        directory->capacity = capacity;
    }
    size_t length = strlen(name);
    char *copy = allot(directory, length + 2);
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, name, length);
    memcpy(copy + length, is_directory ? "/" : "", is_directory ? 2 : 1);
    directory->names[directory->n++] = copy;
    return 0;
}

/* Reads all names of a stream into `directory`. 0; a positive errno of the directory; -ENOMEM, -ECANCELED. */
static int read_names(const struct walk *walk, DIR *stream, struct directory *directory)
{
    for (size_t looked_at = 1;; looked_at++) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            return errno;
        }
        if (looked_at % NAMES_BETWEEN_LOOKS == 0 && walk->stopped(walk->data)) {
            return -ECANCELED;
        }
        unsigned char type = is_dot(entry->d_name) ? DT_LNK : type_of(dirfd(stream), entry);
        if ((type == DT_REG || type == DT_DIR) && add_name(directory, entry->d_name, type == DT_DIR) != 0) {
            return -ENOMEM;
        }
    }
}

/* Opens the directory at walk->path and pushes it. 0; a positive errno of the directory; -ENOMEM, -ECANCELED. */
static int push_directory(struct walk *walk)
{
    if (walk->depth == walk->capacity) {
        size_t capacity = walk->capacity == 0 ? 16 : 2 * walk->capacity;
        struct directory *stack = realloc(walk->stack, capacity * sizeof *stack);
        if (stack == NULL) {
            return -ENOMEM;
        }
        walk->stack = stack;
        walk->capacity = capacity;
    }
    DIR *stream = opendir(walk->path);
    if (stream == NULL) {
        return errno == ENOMEM ? -ENOMEM : errno;
    }
    struct directory directory = {.path_length = strlen(walk->path)};
    int code = read_names(walk, stream, &directory);
    closedir(stream);
    if (code == 0) {
        code = sort_names(walk, &directory.names, directory.n);
    }
    if (code != 0) {
        free_names(&directory);
        return code;
    }
    walk->stack[walk->depth++] = directory;
    return 0;
}

/* ---- walking ---- */

/* Makes walk->path its first `length` bytes and `name`. 0, -ENOMEM. */
static int set_path(struct walk *walk, size_t length, const char *name)
{
    size_t size = length + strlen(name) + 2; /* and one for a '/' */

    if (size > walk->path_capacity) {
        char *path = realloc(walk->path, 2 * size);
        if (path == NULL) {
            return -ENOMEM;
        }
        walk->path = path;
        walk->path_capacity = 2 * size;
    }
    strcpy(walk->path + length, name);
    return 0;
}

/* The item for walk->path. 1, -ENOMEM. */
static int give(const struct walk *walk, int error, struct walk_item *item)
{
    *item = (struct walk_item){.path = strdup(walk->path), .error = error};
    return item->path != NULL ? 1 : -ENOMEM;
}

/* Goes into the directory at walk->path, which ends in '/'. 0, or what walk_next() is to return. */
static int enter(struct walk *walk, struct walk_item *item)
{
    int code = push_directory(walk);
    if (code <= 0) {
        return code;
    }
    size_t length = strlen(walk->path);
    if (length > 1) {
        walk->path[length - 1] = '\0'; /* complaints name it as its owner would */
    }
    return give(walk, code, item);
}

/* The next path given. 0 if that was a directory, which is entered; else as walk_next(). */
static int next_root(struct walk *walk, struct walk_item *item)
{
    const char *root = walk->roots[walk->next_root++];
    struct stat status;

    if (set_path(walk, 0, root) != 0) {
        return -ENOMEM;
    }
    if (strcmp(root, "-") == 0) {
        return give(walk, 0, item);
    }
    if (stat(root, &status) != 0) {
        return give(walk, errno, item);
    }
    if (!S_ISDIR(status.st_mode)) {
        return give(walk, 0, item);
    }
    size_t length = strlen(root);
    if (length > 0 && root[length - 1] != '/') {
        strcpy(walk->path + length, "/");
    }
    return enter(walk, item);
}

/* The next name of the innermost directory. 0 if that was a directory, which is entered, or if there was none left; else
 * as walk_next(). */
static int next_name(struct walk *walk, struct walk_item *item)
{
    struct directory *directory = &walk->stack[walk->depth - 1];

    if (directory->next == directory->n) {
        free_names(directory);
        walk->depth--;
        return 0;
    }
    const char *name = directory->names[directory->next++];
    if (set_path(walk, directory->path_length, name) != 0) {
        return -ENOMEM;
    }
    return name[strlen(name) - 1] == '/' ? enter(walk, item) : give(walk, 0, item);
}

int walk_next(struct walk *walk, struct walk_item *item)
{
    int code = 0;

    while (code == 0 && (walk->depth > 0 || walk->next_root < walk->n_roots)) {
        code = walk->depth > 0 ? next_name(walk, item) : next_root(walk, item);
        if (code == 0 && walk->stopped(walk->data)) {
            code = -ECANCELED;
        }
    }
    return code;
}
