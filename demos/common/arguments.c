/* arguments.c: strtol and strtod, with what they are too lenient about refused beforehand.
 *
 * Both skip white space, take signs, and strtod also takes "inf", "nan" and hexadecimal; none of that is what somebody
 * means who writes `--jobs`. Both stop at the first character that they cannot use, which is the part that is wanted. */
#include "arguments.h"

#include <errno.h>
#include <stdlib.h>

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

bool take_integer(const char **text, long low, long high, long *value)
{
    if (!is_digit(**text)) {
        return false;
    }
    char *end;
    errno = 0;
    long number = strtol(*text, &end, 10);
    if (errno != 0 || number < low || number > high) {
        return false;
    }
    *text = end;
    *value = number;
    return true;
}

static bool starts_decimal(const char *text)
{
    text += *text == '-';
    if (*text == '.') {
        return is_digit(text[1]);
    }
    return is_digit(text[0]) && text[1] != 'x' && text[1] != 'X';
}

bool take_real(const char **text, double low, double high, double *value)
{
    if (!starts_decimal(*text)) {
        return false;
    }
    char *end;
    double number = strtod(*text, &end); /* out of range gives 0 or infinity, which the bounds judge */
    if (!(number >= low && number <= high)) {
        return false;
    }
    *text = end;
    *value = number;
    return true;
}

bool take_character(const char **text, char character)
{
    if (**text != character) {
        return false;
    }
    ++*text;
    return true;
}

bool read_integer(const char *text, long low, long high, long *value)
{
    long number;

    if (!take_integer(&text, low, high, &number) || *text != '\0') {
        return false;
    }
    *value = number;
    return true;
}

bool read_real(const char *text, double low, double high, double *value)
{
    double number;

    if (!take_real(&text, low, high, &number) || *text != '\0') {
        return false;
    }
    *value = number;
    return true;
}
