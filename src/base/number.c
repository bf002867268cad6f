/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * number.c: libc reads and writes the decimals, this file keeps the locale out. */
#include "base/number.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER_LONGEST 1000

static size_t number_plain(char *s)
{
    for (char *p = s; *p; p++)
        if (!(*p >= '0' && *p <= '9') && !strchr("+-e", *p))
            *p = '.';
    return strlen(s);
}

size_t number_print(char *to, double v, bool is_float)
{
    int digits = is_float ? 6 : 15, most = is_float ? 9 : 17;
    for (;; digits++) {
        snprintf(to, NUMBER_MAX, "%.*g", digits, v);
        if (digits == most || (is_float ? strtof(to, NULL) == (float)v : strtod(to, NULL) == v))
            return number_plain(to);
    }
}

static const char *number_digits(const char *s, const char *end)
{
    while (s < end && *s >= '0' && *s <= '9')
        s++;
    return s;
}

static bool number_is_one(const char *s, const char *end)
{
    s += s < end && *s == '-';
    const char *digits = s, *dot = NULL;
    s = number_digits(s, end);
    if (s < end && *s == '.')
        dot = s, s = number_digits(s + 1, end);
    if (s - digits - (dot != NULL) < 1)
        return false;
    if (s < end && (*s == 'e' || *s == 'E')) {
        s++;
        s += s < end && (*s == '+' || *s == '-');
        digits = s;
        s = number_digits(s, end);
        if (s == digits)
            return false;
    }
    return s == end;
}

bool number_parse(const char *s, size_t n, double *v)
{
    char copy[NUMBER_LONGEST + 8];
    if (n > NUMBER_LONGEST || !number_is_one(s, s + n))
        return false;
    memcpy(copy, s, n);
    copy[n] = 0;
    const char *point = localeconv()->decimal_point;
    char *dot = strchr(copy, '.');
    if (dot && point[0] != '.') {
        size_t wide = strlen(point);
        if (wide > 7)
            return false;
        memmove(dot + wide, dot + 1, strlen(dot + 1) + 1);
        memcpy(dot, point, wide);
    }
    *v = strtod(copy, NULL);
    return true;
}

/* Digits alone, after the sign; false: there is more, or it is over 64 bits. */
static bool number_whole(const char *s, size_t n, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned digit = (unsigned)(s[i] - '0');
        if (digit > 9 || *v > (UINT64_MAX - digit) / 10)
            return false;
        *v = *v * 10 + digit;
    }
    return n > 0;
}

bool number_parse_int(const char *s, size_t n, int64_t *v)
{
    bool minus = n && s[0] == '-';
    uint64_t u;
    double d;
    if (number_whole(s + minus, n - minus, &u)) {
        if (u > (uint64_t)INT64_MAX + minus)
            return false;
        *v = (int64_t)(minus ? 0 - u : u);
        return true;
    }
    if (!number_parse(s, n, &d) || !(d >= -0x1p63 && d < 0x1p63) || d != (double)(int64_t)d)
        return false;
    *v = (int64_t)d;
    return true;
}

bool number_parse_uint(const char *s, size_t n, uint64_t *v)
{
    double d;
    if (number_whole(s, n, v))
        return true;
    if (!number_parse(s, n, &d) || !(d >= 0 && d < 0x1p64) || d != (double)(uint64_t)d)
        return false;
    *v = (uint64_t)d;
    return true;
}
