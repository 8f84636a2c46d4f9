/* The time macros as a program meets them, in C and (header_time.cpp) in C++: every arithmetic type, constants and
 * variables, the ends of the range, and all of it under warnings that are errors. Says with its status how many are
 * wrong. */
#include <weft/base.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define LAST                        INT64_C(9223372036854775) /* as microseconds, the last whole number that fits */
#define CHECK(expression, expected) check(__LINE__, #expression, expression, expected)

static int wrong;

static void check(int line, const char *expression, int64_t is, int64_t expected)
{
    if (is == expected)
        return;
    wrong++;
    printf("%d: %s is %" PRId64 ", expected %" PRId64 "\n", line, expression, is, expected);
}

static const int64_t of_integer = WEFT_SECONDS(2);
static const int64_t of_double = WEFT_SECONDS(0.25);
static const int64_t of_float = WEFT_MILLISECONDS(1.5f);
static const int64_t beyond = WEFT_SECONDS(INT64_MAX);
static const int64_t beyond_unsigned = WEFT_SECONDS(UINT64_MAX);
static const int64_t beyond_double = WEFT_SECONDS(1e30);
static const int64_t before_double = WEFT_SECONDS(-1e30);
static const int64_t before = WEFT_MICROSECONDS(INT64_MIN);
static const struct {
    int64_t delay;
    int64_t timeout;
} in_a_struct = {WEFT_MILLISECONDS(5), WEFT_FOREVER};

static void check_constants(void)
{
    CHECK(of_integer, 2000000000);
    CHECK(of_double, 250000000);
    CHECK(of_float, 1500000);
    CHECK(beyond, INT64_MAX);
    CHECK(beyond_unsigned, INT64_MAX);
    CHECK(beyond_double, INT64_MAX);
    CHECK(before_double, INT64_MIN);
    CHECK(before, INT64_MIN);
    CHECK(in_a_struct.delay, 5000000);
    CHECK(in_a_struct.timeout, INT64_MAX);
    CHECK(WEFT_SECONDS(0), 0);
    CHECK(WEFT_SECONDS(-1), -1000000000);
    CHECK(WEFT_SECONDS(60 * 60), INT64_C(3600000000000));
    CHECK(WEFT_SECONDS(3u), INT64_C(3000000000));
}

static void check_integers(void)
{
    bool yes = true;
    char letter = 3;
    short few = 4;
    unsigned char byte = 200;
    int negative = -3;
    unsigned positive = 7;
    long fits = 9223372036;
    unsigned long long too_many = 9223372037ULL;
    uint64_t most = UINT64_MAX;
    int64_t least = INT64_MIN;
    CHECK(WEFT_SECONDS(yes), 1000000000);
    CHECK(WEFT_SECONDS(letter), INT64_C(3000000000));
    CHECK(WEFT_SECONDS(few), INT64_C(4000000000));
    CHECK(WEFT_SECONDS(byte), INT64_C(200000000000));
    CHECK(WEFT_SECONDS(negative), INT64_C(-3000000000));
    CHECK(WEFT_SECONDS(positive + 1), INT64_C(8000000000));
    CHECK(WEFT_SECONDS(fits), INT64_C(9223372036000000000));
    CHECK(WEFT_SECONDS(too_many), INT64_MAX);
    CHECK(WEFT_SECONDS(most), INT64_MAX);
    CHECK(WEFT_SECONDS(least), INT64_MIN);
    CHECK(WEFT_SECONDS(yes ? 1 : 2), 1000000000);
}

static void check_ends(void)
{
    int64_t last = LAST;
    int64_t first = -LAST;
    CHECK(WEFT_MICROSECONDS(last), LAST * 1000);
    CHECK(WEFT_MICROSECONDS(last + 1), INT64_MAX);
    CHECK(WEFT_MICROSECONDS(first), -LAST * 1000);
    CHECK(WEFT_MICROSECONDS(first - 1), INT64_MIN);
}

static void check_reals(void)
{
    float half = 0.5f;
    double tenth = 0.1;
    const volatile double negative = -2.5;
    long double precise = 9000000000.000000001L;
    double none = (double)NAN;
    double endless = (double)INFINITY;
    CHECK(WEFT_SECONDS(half), 500000000);
    CHECK(WEFT_SECONDS(tenth), 100000000);
    CHECK(WEFT_SECONDS(negative), INT64_C(-2500000000));
    CHECK(WEFT_SECONDS(precise),
          sizeof(long double) > sizeof(double) ? INT64_C(9000000000000000001) : INT64_C(9000000000000000000));
    CHECK(WEFT_SECONDS(none), 0);
    CHECK(WEFT_SECONDS(endless), INT64_MAX);
    CHECK(WEFT_SECONDS(-endless), INT64_MIN);
}

/* Truncation would lose one nanosecond in many of these. */
static void check_rounding(void)
{
    for (int ns = 1; ns < 1000000; ns++) {
        double seconds = ns / 1e9;
        if (WEFT_SECONDS(seconds) != ns || WEFT_SECONDS(-seconds) != -ns)
            wrong++;
    }
}

int main(void)
{
    check_constants();
    check_integers();
    check_ends();
    check_reals();
    check_rounding();
    return wrong > 0;
}
