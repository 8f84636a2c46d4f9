/* mandelbrot.c: escape time with its derivative, shaded as a relief.
 *
 * A point c is iterated, z -> z^2 + c from 0, until z leaves a large disk. How many steps that takes, made continuous
 * with the logarithm of where z arrived (the normalised iteration count), gives the colour. The derivative dz/dc, which
 * is iterated along, gives two more things: the distance to the set, which darkens the finest threads, and the
 * direction in which the potential falls, which is lit from one side as if it were the slope of a hill. Each pixel is
 * the mean of samples x samples points, since the set has no smooth edges. */
#include "mandelbrot.h"

#include <math.h>

static const int samples = 2;

#define ESCAPE_SQUARED 1e6 /* far beyond 4: the continuous count is only exact far from the set */

static const double pi = 3.14159265358979323846;

struct colour {
    double red, green, blue; /* linear light, 0 to 1 */
};

/* Where a point went. */
struct orbit {
    bool inside;
    double steps;            /* until it escaped, continuous */
    double distance;         /* to the set, estimated */
    double slope_x, slope_y; /* unit vector: the direction in which the potential changes */
};

/* The two largest parts of the inside, the cardioid and the disk at its left, are known without iterating. */
static bool surely_inside(double x, double y)
{
    double a = x - 0.25, q = a * a + y * y;

    return q * (q + a) <= 0.25 * y * y || (x + 1) * (x + 1) + y * y <= 0.0625;
}

static struct orbit follow(double x, double y, long iterations)
{
    struct orbit orbit = {.inside = true};
    double zx = 0, zy = 0, dx = 0, dy = 0, norm = 0;
    long step = 0;

    if (surely_inside(x, y)) {
        return orbit;
    }
    for (; step < iterations && norm <= ESCAPE_SQUARED; step++) {
        double next_dx = 2 * (zx * dx - zy * dy) + 1;
        dy = 2 * (zx * dy + zy * dx);
        dx = next_dx;
        double next_zx = zx * zx - zy * zy + x;
        zy = 2 * zx * zy + y;
        zx = next_zx;
        norm = zx * zx + zy * zy;
    }
    if (norm <= ESCAPE_SQUARED) {
        return orbit;
    }
    double derivative = sqrt(dx * dx + dy * dy), z = sqrt(norm);
    orbit.inside = false;
    orbit.steps = (double)step - log2(log(norm) / log(ESCAPE_SQUARED));
    orbit.distance = z * log(z) / derivative;
    orbit.slope_x = (zx * dx + zy * dy) / (z * derivative);
    orbit.slope_y = (zy * dx - zx * dy) / (z * derivative);
    return orbit;
}

/* A closed round of colours, once for each unit of t. */
static struct colour palette(double t)
{
    return (struct colour){0.45 + 0.45 * cos(2 * pi * (t + 0.55)), 0.38 + 0.36 * cos(2 * pi * (t + 0.46)),
                           0.36 + 0.34 * cos(2 * pi * (t + 0.30))};
}

/* pixel_size: the distance on the plane between two pixels. */
static struct colour shade(const struct orbit *orbit, double pixel_size)
{
    static const double light_x = -0.6, light_y = 0.8, light_height = 1.4;

    if (orbit->inside) {
        return (struct colour){0.004, 0.004, 0.010};
    }
    struct colour colour = palette(log2(1 + orbit->steps) * 0.55);
    double lit = (orbit->slope_x * light_x + orbit->slope_y * light_y + light_height) / (1 + light_height);
    double edge = tanh(0.9 * sqrt(orbit->distance / pixel_size));
    double brightness = (0.15 + 0.95 * lit * lit) * edge;
    return (struct colour){colour.red * brightness, colour.green * brightness, colour.blue * brightness};
}

static unsigned char to_byte(double light)
{
    double value = 255 * pow(light, 1 / 2.2) + 0.5; /* the eye's scale */

    return value >= 255 ? 255 : (unsigned char)value;
}

static void draw_pixel(const struct view *view, size_t column, size_t row, unsigned char *pixel)
{
    double shorter = (double)(view->width < view->height ? view->width : view->height);
    double size = 2.6 / (view->zoom * shorter);
    struct colour sum = {0, 0, 0};

    for (int i = 0; i < samples * samples; i++) {
        double u = (double)column + (i % samples + 0.5) / samples - (double)view->width / 2;
        double v = (double)row + (i / samples + 0.5) / samples - (double)view->height / 2;
        struct orbit orbit = follow(view->center_x + u * size, view->center_y - v * size, view->iterations);
        struct colour colour = shade(&orbit, size);
        sum.red += colour.red;
        sum.green += colour.green;
        sum.blue += colour.blue;
    }
    pixel[0] = to_byte(sum.red / (samples * samples));
    pixel[1] = to_byte(sum.green / (samples * samples));
    pixel[2] = to_byte(sum.blue / (samples * samples));
}

bool mandelbrot_draw(const struct view *view, const struct rectangle *part, unsigned char *pixels,
                     bool (*stopped)(void))
{
    for (size_t i = 0; i < part->width * part->height; i++) {
        if (stopped()) {
            return false;
        }
        draw_pixel(view, part->left + i % part->width, part->top + i / part->width, pixels + i * CHANNELS);
    }
    return true;
}
