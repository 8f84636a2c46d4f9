/* picture.c: a file that appears under its name only when it is complete. */
#define _POSIX_C_SOURCE 200809L
#include "picture.h"

#include "../common/picture/png_encoder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_special(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

int picture_open(struct picture_file *file, const char *path)
{
    static const char suffix[] = ".part";

    *file = (struct picture_file){.path = path, .descriptor = -1};
    if (is_special(path)) {
        file->descriptor = open(path, O_WRONLY | O_CLOEXEC);
        return file->descriptor >= 0 ? 0 : errno;
    }
    char *part = malloc(strlen(path) + sizeof suffix);
    if (part == NULL) {
        return ENOMEM;
    }
    strcpy(part, path);
    strcat(part, suffix);
    file->descriptor = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->descriptor < 0) {
        int error = errno;
        free(part);
        return error;
    }
    file->part = part;
    return 0;
}

void picture_abandon(struct picture_file *file)
{
    if (file->descriptor >= 0) {
        close(file->descriptor);
        file->descriptor = -1;
    }
    if (file->part != NULL) {
        unlink(file->part);
        free(file->part);
        file->part = NULL;
    }
}

/* Puts the complete file where it belongs. 0 or an errno. */
static int move(struct picture_file *file)
{
    if (file->part == NULL) {
        return 0;
    }
    if (rename(file->part, file->path) != 0) {
        return errno;
    }
    free(file->part);
    file->part = NULL;
    return 0;
}

const char *picture_write(struct picture_file *file, const unsigned char *pixels, size_t width, size_t height,
                          bool (*stopped)(void *data), void *data)
{
    FILE *stream = fdopen(file->descriptor, "wb");
    if (stream == NULL) {
        return strerror(errno);
    }
    file->descriptor = -1; /* the stream's from here on */
    const char *error = png_encode(stream, pixels, width, height, PNG_DEFAULT_LEVEL, stopped, data);
    if (fclose(stream) != 0 && error == NULL) {
        error = strerror(errno);
    }
    int code = error == NULL ? move(file) : 0;
    return code != 0 ? strerror(code) : error;
}
