/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * quote.c: see quote.h. Escaped, because what a peer sent may be meant for a terminal or a log's
 * reader. */
#include "base/quote.h"

const char *quote_line(char *to, size_t size, const void *octets, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *s = octets;
    size_t len = 0, i = 0;
    while (i < n && (s[i] == '\r' || s[i] == '\n'))
        i++;
    for (; i < n && s[i] != '\r' && s[i] != '\n'; i++) {
        bool plain = s[i] >= 0x20 && s[i] <= 0x7e && s[i] != '"' && s[i] != '\\';
        if (len + (plain ? 1 : 4) + sizeof "..." > size) {
            memcpy(to + len, "...", 3);
            len += 3;
            break;
        }
        if (plain) {
            to[len++] = (char)s[i];
        } else {
            to[len++] = '\\', to[len++] = 'x';
            to[len++] = hex[s[i] >> 4], to[len++] = hex[s[i] & 15];
        }
    }
    to[len] = 0;
    return to;
}
