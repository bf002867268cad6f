/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * timeout.c: grpc-timeout out of and into nanoseconds. */
#include "rpc/timeout.h"

static const struct timeout_unit {
    char letter;
    int64_t ns;
} timeout_units[] = {
    { 'n', 1 },          { 'u', 1000 },        { 'm', 1000000 },
    { 'S', 1000000000 }, { 'M', 60000000000 }, { 'H', 3600000000000 },
};

size_t timeout_format(sennit_duration left, char text[TIMEOUT_TEXT])
{
    const struct timeout_unit *u = timeout_units;
    int64_t value = left > 0 ? left : 1;
    for (; u < timeout_units + countof(timeout_units) - 1; u++) {
        value = left > 0 ? (left - 1) / u->ns + 1 : 1;
        if (value <= 99999999)
            break;
    }
    if (u == timeout_units + countof(timeout_units) - 1)
        value = (left - 1) / u->ns + 1;
    char digits[20];
    size_t n = 0, len = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        text[len++] = digits[--n];
    text[len++] = u->letter;
    text[len] = 0;
    return len;
}

bool timeout_parse(const char *s, size_t n, sennit_duration *out)
{
    int64_t value = 0;
    if (n < 2 || n > 9)
        return false;
    for (size_t i = 0; i + 1 < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        value = value * 10 + (s[i] - '0');
    }
    for (size_t i = 0; i < countof(timeout_units); i++) {
        if (timeout_units[i].letter == s[n - 1]) {
            int64_t ns = timeout_units[i].ns;
            *out = value > INT64_MAX / ns ? INT64_MAX : value * ns;
            return true;
        }
    }
    return false;
}
