/* hash.c: opening, reading and digesting, each stoppable.
 *
 * Regular files are read straight away: the longest that one read() can take is a chunk. Pipes, terminals and sockets may
 * have nothing to read for ever, so before each read the job sleeps in poll(), which also wakes it when everything is to
 * stop or when the file's time is over.
 *
 * The time limit of a file counts from when a worker takes it up, not from when it was queued behind some thousand others.
 * So it is the job that puts the limit on its own future, with weft_wait_for(). */
#define _POSIX_C_SOURCE 200809L
#include "hash.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024 };

/* A worker's tools, made by hash_worker_start() on that worker. */
static _Thread_local struct {
    EVP_MD_CTX *context;
    unsigned char *chunk;
} tools;

int hashing_open(struct hashing *hashing)
{
    *hashing = (struct hashing){.limit = WEFT_FOREVER, .stop_descriptor = -1};
    /* Fetched once: by its name it would be looked up, under a lock, for each file. */
    hashing->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (hashing->sha256 == NULL) {
        return ENOMEM;
    }
    int code = pthread_mutex_init(&hashing->submitting, NULL);
    if (code != 0) {
        EVP_MD_free(hashing->sha256);
    }
    return code;
}

void hashing_close(struct hashing *hashing)
{
    pthread_mutex_destroy(&hashing->submitting);
    EVP_MD_free(hashing->sha256);
}

int hash_worker_start(unsigned worker, void *hashing)
{
    (void)worker;
    (void)hashing;
    tools.context = EVP_MD_CTX_new();
    tools.chunk = malloc(CHUNK);
    if (tools.context == NULL || tools.chunk == NULL) {
        EVP_MD_CTX_free(tools.context);
        free(tools.chunk);
        return ENOMEM;
    }
    return 0;
}

void hash_worker_stop(unsigned worker, void *hashing)
{
    (void)worker;
    (void)hashing;
    EVP_MD_CTX_free(tools.context);
    free(tools.chunk);
}

/* ---- reading ---- */

/* A file that is being read. */
struct source {
    int descriptor;
    bool waits; /* not a regular file: reading it may wait for somebody to write */
    int stop_descriptor;
    int64_t deadline; /* on weft_now()'s clock; WEFT_FOREVER: none */
};

static int poll_timeout(int64_t deadline)
{
    if (deadline == WEFT_FOREVER) {
        return -1;
    }
    int64_t left = deadline - weft_now();
    if (left <= 0) {
        return 1; /* the request to stop is on its way */
    }
    int64_t milliseconds = (left - 1) / WEFT_MILLISECONDS(1) + 1; /* rounded up: never too early */
    return milliseconds < 1000000 ? (int)milliseconds : 1000000;
}

/* Sleeps until there is something to read. 0, an errno, or -ECANCELED. */
static int wait_readable(const struct source *source)
{
    struct pollfd events[] = {{.fd = source->descriptor, .events = POLLIN},
                              {.fd = source->stop_descriptor, .events = POLLIN}};

    for (;;) {
        int ready = poll(events, 2, poll_timeout(source->deadline));
        if (ready < 0 && errno != EINTR) {
            return errno;
        }
        if (weft_cancelled() || events[1].revents != 0) {
            return -ECANCELED;
        }
        if (ready > 0) {
            return 0;
        }
    }
}

/* The next chunk into tools.chunk. Its size, 0 at the end; a negative errno, which is -ECANCELED if the job is to stop. */
static ssize_t read_chunk(const struct source *source)
{
    for (;;) {
        if (weft_cancelled()) {
            return -ECANCELED;
        }
        int code = source->waits ? wait_readable(source) : 0;
        if (code != 0) {
            return code < 0 ? code : -code;
        }
        ssize_t size = read(source->descriptor, tools.chunk, CHUNK);
        if (size >= 0) {
            return size;
        }
        if (errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
    }
}

/* 0 and a digest; an errno; -ECANCELED. */
static int digest_source(struct file *file, const struct source *source)
{
    struct hashing *hashing = file->hashing;
    int ok = EVP_DigestInit_ex2(tools.context, hashing->sha256, NULL);

    while (ok) {
        ssize_t size = read_chunk(source);
        if (size < 0) {
            return size == -ECANCELED ? -ECANCELED : (int)-size;
        }
        if (size == 0) {
            ok = EVP_DigestFinal_ex(tools.context, file->digest, NULL);
            return ok ? 0 : EIO;
        }
        ok = EVP_DigestUpdate(tools.context, tools.chunk, (size_t)size);
        /* Relaxed: a figure for the progress line, from which nothing else follows. */
        atomic_fetch_add_explicit(&hashing->bytes, (uint64_t)size, memory_order_relaxed);
    }
    return EIO; /* libcrypto gives no errno */
}

/* A descriptor for file->path, or -1 with errno. */
static int open_path(const char *path)
{
    if (strcmp(path, "-") == 0) {
        return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    }
    /* O_NONBLOCK, or opening a pipe would wait, deaf, for somebody to open its other end. */
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/* 0 and a digest; an errno; -ECANCELED. */
static int digest_path(struct file *file, int64_t deadline)
{
    struct stat status;
    int code = 0;

    int descriptor = open_path(file->path);
    if (descriptor < 0) {
        return errno;
    }
    if (fstat(descriptor, &status) != 0) {
        code = errno;
    } else {
        struct source source = {.descriptor = descriptor,
                                .waits = !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode),
                                .stop_descriptor = file->hashing->stop_descriptor,
                                .deadline = deadline};
        code = digest_source(file, &source);
    }
    close(descriptor);
    return code;
}

/* ---- the job ---- */

/* Starts the clock of the file whose job is running. 0 or an errno. */
static int limit_time(struct file *file)
{
    pthread_mutex_lock(&file->hashing->submitting);
    weft_future *job = file->job;
    pthread_mutex_unlock(&file->hashing->submitting);
    /* WEFT_JOIN: what is timed is done when the job is, so whoever waits for it may free the file. */
    file->timed = weft_wait_for(job, file->hashing->limit, WEFT_JOIN);
    return file->timed != NULL ? 0 : errno;
}

static void *hash_file(void *arg)
{
    struct file *file = arg;
    int64_t limit = file->hashing->limit;
    int code = 0;

    if (limit != WEFT_FOREVER) {
        code = limit_time(file);
    }
    if (code == 0) {
        code = digest_path(file, limit == WEFT_FOREVER ? WEFT_FOREVER : weft_now() + limit);
    }
    return code == 0 ? file : weft_fail(code);
}

/* With the last part of its path, which lives as long as the job. */
static weft_future *submit_named(weft_executor *executor, struct file *file)
{
    const char *slash = strrchr(file->path, '/');
    weft_submit_options options = {.name = slash != NULL ? slash + 1 : file->path};

    return weft_submit_with(executor, hash_file, file, &options);
}

int hash_submit(weft_executor *executor, struct file *file)
{
    pthread_mutex_lock(&file->hashing->submitting);
    file->job = file->hashing->traced ? submit_named(executor, file) : weft_submit(executor, hash_file, file);
    int code = file->job != NULL ? 0 : errno;
    pthread_mutex_unlock(&file->hashing->submitting);
    return code;
}

int hash_settle(struct file *file)
{
    weft_future_wait(file->job, WEFT_FOREVER); /* `timed` is there, if ever, when the job is done */
    int code = weft_await(file->timed != NULL ? file->timed : file->job, NULL);
    if (file->timed != NULL) {
        weft_future_release(file->job);
    }
    return code;
}

void hash_drop(struct file *file)
{
    weft_future_release(file->timed);
    weft_future_release(file->job);
}
