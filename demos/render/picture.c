/* picture.c: libpng, whose errors come as long jumps.
 *
 * What must survive the jump lives in a structure outside the frame that set it, so that no variable is left in doubt. */
#define _POSIX_C_SOURCE 200809L
#include "picture.h"

#include <errno.h>
#include <fcntl.h>
#include <png.h>
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

/* ---- encoding ---- */

struct encoder {
    png_structp png;
    png_infop info;
    FILE *stream;
    const char *error; /* NULL: none so far */
};

static void keep_error(png_structp png, png_const_charp message)
{
    struct encoder *encoder = png_get_error_ptr(png);

    (void)message; /* libpng's "Write Error" says less than errno does */
    if (encoder->error == NULL) {
        encoder->error = errno != 0 ? strerror(errno) : "the picture cannot be encoded";
    }
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void encode_rows(struct encoder *encoder, const unsigned char *pixels, size_t width, size_t height,
                        bool (*stopped)(void *data), void *data)
{
    if (setjmp(png_jmpbuf(encoder->png)) != 0) {
        return;
    }
    png_init_io(encoder->png, encoder->stream);
    png_set_IHDR(encoder->png, encoder->info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(encoder->png, encoder->info);
    for (size_t row = 0; row < height; row++) {
        if (stopped(data)) {
            encoder->error = "stopped";
            return;
        }
        png_write_row(encoder->png, pixels + row * width * 3);
    }
    png_write_end(encoder->png, encoder->info);
}

static const char *encode(FILE *stream, const unsigned char *pixels, size_t width, size_t height,
                          bool (*stopped)(void *data), void *data)
{
    struct encoder encoder = {.stream = stream};

    encoder.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &encoder, keep_error, ignore_warning);
    encoder.info = encoder.png != NULL ? png_create_info_struct(encoder.png) : NULL;
    if (encoder.info == NULL) {
        encoder.error = strerror(ENOMEM);
    } else {
        errno = 0;
        encode_rows(&encoder, pixels, width, height, stopped, data);
    }
    png_destroy_write_struct(&encoder.png, &encoder.info);
    return encoder.error;
}

const char *picture_write(struct picture_file *file, const unsigned char *pixels, size_t width, size_t height,
                          bool (*stopped)(void *data), void *data)
{
    FILE *stream = fdopen(file->descriptor, "wb");
    if (stream == NULL) {
        return strerror(errno);
    }
    file->descriptor = -1; /* the stream's from here on */
    const char *error = encode(stream, pixels, width, height, stopped, data);
    if (fclose(stream) != 0 && error == NULL) {
        error = strerror(errno);
    }
    int code = error == NULL ? move(file) : 0;
    return code != 0 ? strerror(code) : error;
}
