/* png_encoder.c: libpng, whose errors come as long jumps.
 *
 * What must survive the jump lives in a structure outside the frame that set it, so that no variable is left in doubt.
 * */
#define _POSIX_C_SOURCE 200809L
#include "png_encoder.h"

#include <errno.h>
#include <png.h>
#include <string.h>

/* On the stack of png_encode(), for the thread that called it. */
struct encoder {
    png_structp png;
    png_infop info;
    FILE *stream;
    int level;
    bool (*stopped)(void *data);
    void *data;
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

static void encode_rows(struct encoder *encoder, const unsigned char *pixels, size_t width, size_t height)
{
    if (setjmp(png_jmpbuf(encoder->png)) != 0) {
        return;
    }
    png_init_io(encoder->png, encoder->stream);
    if (encoder->level >= 0) {
        png_set_compression_level(encoder->png, encoder->level);
    }
    png_set_IHDR(encoder->png, encoder->info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(encoder->png, encoder->info);
    for (size_t row = 0; row < height; row++) {
        if (encoder->stopped(encoder->data)) {
            encoder->error = "stopped";
            return;
        }
        png_write_row(encoder->png, pixels + row * width * 3);
    }
    png_write_end(encoder->png, encoder->info);
}

const char *png_encode(FILE *stream, const unsigned char *pixels, size_t width, size_t height, int level,
                       bool (*stopped)(void *data), void *data)
{
    struct encoder encoder = {.stream = stream, .level = level, .stopped = stopped, .data = data};

    encoder.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &encoder, keep_error, ignore_warning);
    encoder.info = encoder.png != NULL ? png_create_info_struct(encoder.png) : NULL;
    if (encoder.info == NULL) {
        encoder.error = strerror(ENOMEM);
    } else {
        errno = 0;
        encode_rows(&encoder, pixels, width, height);
    }
    png_destroy_write_struct(&encoder.png, &encoder.info);
    return encoder.error;
}
