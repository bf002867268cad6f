/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * base64.c: plain table-driven base64. Values are small and rare, so clarity wins over speed. */
#include "base/base64.h"

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(char *to, const void *from, size_t n)
{
    const uint8_t *p = from;
    for (; n >= 3; n -= 3, p += 3) {
        uint32_t v = load_be24(p);
        *to++ = base64_digits[v >> 18], *to++ = base64_digits[v >> 12 & 63];
        *to++ = base64_digits[v >> 6 & 63], *to++ = base64_digits[v & 63];
    }
    if (n) {
        uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
        *to++ = base64_digits[v >> 18], *to++ = base64_digits[v >> 12 & 63];
        if (n == 2)
            *to++ = base64_digits[v >> 6 & 63];
    }
    return to;
}

/* url: of either alphabet. */
static int base64_value(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (url && (c == '-' || c == '_'))
        return c == '-' ? 62 : 63;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static ptrdiff_t base64_read(char *to, const char *s, size_t n, bool url)
{
    char *start = to;
    uint32_t v = 0;
    if (n % 4 == 0 && n > 0 && s[n - 1] == '=')
        n -= s[n - 2] == '=' ? 2 : 1;
    if (n % 4 == 1)
        return -1;
    for (size_t i = 0; i < n; i++) {
        int digit = base64_value(s[i], url);
        if (digit < 0)
            return -1;
        v = v << 6 | (uint32_t)digit;
        if (i % 4 == 3)
            *to++ = (char)(v >> 16), *to++ = (char)(v >> 8), *to++ = (char)v;
    }
    if (n % 4 == 2)
        *to++ = (char)(v >> 4);
    if (n % 4 == 3)
        *to++ = (char)(v >> 10), *to++ = (char)(v >> 2);
    return to - start;
}

ptrdiff_t base64_decode(char *to, const char *s, size_t n) { return base64_read(to, s, n, false); }
ptrdiff_t base64_decode_any(char *to, const char *s, size_t n)
{
    return base64_read(to, s, n, true);
}
