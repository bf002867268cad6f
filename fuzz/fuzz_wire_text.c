/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_wire_text.c: the small grammars of gRPC's headers against oracles without tables. The first
 * octet chooses: base64 of "-bin" values, percent-encoding of grpc-message, grpc-timeout,
 * grpc-status. */
#include "base/arena.h"
#include "base/base64.h"
#include "fuzz.h"
#include "rpc/status.h"
#include "rpc/timeout.h"

/* -- base64 ----------------------------------------------------------------------------------- */

static int sextet(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}
/* Octets, or -1, by RFC 4648 4: bits that are cut off do not matter to it, padding is all or none.
 */
static ptrdiff_t slow_base64(char *to, const char *s, size_t n)
{
    size_t pad = 0, got = 0;
    while (pad < n && pad < 2 && s[n - 1 - pad] == '=')
        pad++;
    if ((pad && n % 4) || (n - pad) % 4 == 1)
        return -1;
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < n - pad; i++) {
        int v = sextet(s[i]);
        if (v < 0)
            return -1;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8)
            to[got++] = (char)(bits >> (have -= 8));
    }
    return (ptrdiff_t)got;
}

static void base64(const char *s, size_t n)
{
    char *a = malloc(n / 4 * 3 + 3), *b = malloc(n + 3), *text = malloc(BASE64_ENCODED(n) + 1);
    demand(a && b && text);
    ptrdiff_t got = base64_decode(a, s, n), want = slow_base64(b, s, n);
    demand(got == want);
    demand(got <= 0 || memcmp(a, b, (size_t)got) == 0);
    char *end = base64_encode(text, s, n);
    demand((size_t)(end - text) == BASE64_ENCODED(n));
    demand(base64_decode(b, text, (size_t)(end - text)) == (ptrdiff_t)n);
    demand(n == 0 || memcmp(b, s, n) == 0);
    free(a), free(b), free(text);
}

/* -- percent ---------------------------------------------------------------------------------- */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}
static void percent(const char *s, size_t n)
{
    struct sennit_arena arena;
    arena_init(&arena, NULL, 0);
    sennit_str got = status_message_decode(&arena, s, n);
    size_t k = 0;
    for (size_t i = 0; i < n; k++) {
        bool escape = s[i] == '%' && n - i > 2 && hex(s[i + 1]) >= 0 && hex(s[i + 2]) >= 0;
        char c = escape ? (char)(hex(s[i + 1]) << 4 | hex(s[i + 2])) : s[i];
        demand(k < got.len && got.data[k] == c);
        i += escape ? 3 : 1;
    }
    demand(k == got.len && got.data[k] == 0);
    size_t room = status_message_encoded(s, n);
    char *text = malloc(room + 1);
    demand(text && (size_t)(status_message_encode(text, s, n) - text) == room);
    for (size_t i = 0; i < room; i++)
        demand(text[i] >= 0x20 && text[i] <= 0x7e);
    got = status_message_decode(&arena, text, room);
    demand(got.len == n && (n == 0 || memcmp(got.data, s, n) == 0));
    free(text);
    arena_fini(&arena);
}

/* -- timeout, status -------------------------------------------------------------------------- */

static void timeout(const char *s, size_t n)
{
    static const char units[] = "HMSmun";
    static const int64_t scale[] = { 3600000000000, 60000000000, 1000000000, 1000000, 1000, 1 };
    bool good = n >= 2 && n <= 9 && s[n - 1] && strchr(units, s[n - 1]);
    int64_t value = 0;
    for (size_t i = 0; good && i + 1 < n; i++) {
        good = s[i] >= '0' && s[i] <= '9';
        value = value * 10 + (s[i] - '0');
    }
    sennit_duration d = -1;
    demand(timeout_parse(s, n, &d) == good);
    if (good) {
        int64_t unit = scale[strchr(units, s[n - 1]) - units];
        demand(d == (value > INT64_MAX / unit ? INT64_MAX : value * unit));
    }
    if (n >= 8) {
        int64_t left;
        char text[TIMEOUT_TEXT];
        memcpy(&left, s, 8);
        size_t len = timeout_format(left, text);
        demand(len <= 9 && timeout_parse(text, len, &d));
        demand(d >= left || d == 99999999 * scale[0]); /* never earlier than asked */
    }
}

static void status(const char *s, size_t n)
{
    sennit_code code = SENNIT_OK;
    bool digits = n > 0;
    for (size_t i = 0; i < n; i++)
        digits = digits && s[i] >= '0' && s[i] <= '9';
    bool got = status_parse(s, n, &code);
    demand(!got || digits);
    demand((unsigned)code <= 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static void (*const what[])(const char *s, size_t n) = { base64, percent, timeout, status };
    if (n == 0)
        return 0;
    char *copy = malloc(n); /* of exactly that size: reading on is seen */
    demand(copy);
    memcpy(copy, p + 1, n - 1);
    what[p[0] % 4](copy, n - 1);
    free(copy);
    return 0;
}
