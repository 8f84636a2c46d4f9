/* arguments.h: numbers on a command line, read strictly.
 *
 * Each reader takes what it wants from the front of *text, moves *text behind it and says whether it was there and within
 * its bounds; on false nothing has moved and nothing is written. So `640x480` is an integer, an 'x' and an integer, and a
 * text is a number and nothing else if *text is at its end afterwards.
 *
 * Any thread; no state. */
#ifndef DEMOS_ARGUMENTS_H
#define DEMOS_ARGUMENTS_H

#include <stdbool.h>

/* Decimal digits, low <= value <= high; no sign, no space before. low must not be negative. */
bool take_integer(const char **text, long low, long high, long *value);

/* A decimal number such as 2, .5, -0.75 or 1e6, low <= value <= high; no space before, no hexadecimal, inf or nan. */
bool take_real(const char **text, double low, double high, double *value);

/* This one character. */
bool take_character(const char **text, char character);

/* The same readers for a text that holds one number and nothing behind it. */
bool read_integer(const char *text, long low, long high, long *value);
bool read_real(const char *text, double low, double high, double *value);

#endif
