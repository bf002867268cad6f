/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * status.c: the mapping tables of the gRPC documents (http-grpc-status-mapping, PROTOCOL-HTTP2) and
 * the percent-encoding of grpc-message. */
#include "rpc/status.h"

bool status_parse(const char *s, size_t n, sennit_code *code)
{
    unsigned value = 0;
    *code = SENNIT_UNKNOWN;
    if (n == 0 || n > 10 || (n > 1 && s[0] == '0'))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        if (value < 100000)
            value = value * 10 + (unsigned)(s[i] - '0');
    }
    if (value <= SENNIT_UNAUTHENTICATED)
        *code = (sennit_code)value;
    return true;
}

bool status_is_callers(sennit_code code)
{
    switch (code) {
    case SENNIT_OK:
    case SENNIT_INVALID_ARGUMENT:
    case SENNIT_NOT_FOUND:
    case SENNIT_ALREADY_EXISTS:
    case SENNIT_FAILED_PRECONDITION:
    case SENNIT_ABORTED:
    case SENNIT_OUT_OF_RANGE:
    case SENNIT_DATA_LOSS:
        return true;
    default:
        return false;
    }
}

sennit_code status_from_http(unsigned http)
{
    switch (http) {
    case 400:
    case 431:
        return SENNIT_INTERNAL;
    case 401:
        return SENNIT_UNAUTHENTICATED;
    case 403:
        return SENNIT_PERMISSION_DENIED;
    case 404:
        return SENNIT_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return SENNIT_UNAVAILABLE;
    default:
        return SENNIT_UNKNOWN;
    }
}

sennit_code status_from_rst(uint32_t h2_code, bool own_deadline)
{
    static const uint8_t map[] = {
        /* NO_ERROR */ SENNIT_INTERNAL,
        /* PROTOCOL_ERROR */ SENNIT_INTERNAL,
        /* INTERNAL_ERROR */ SENNIT_INTERNAL,
        /* FLOW_CONTROL_ERROR */ SENNIT_INTERNAL,
        /* SETTINGS_TIMEOUT */ SENNIT_INTERNAL,
        /* STREAM_CLOSED */ SENNIT_INTERNAL,
        /* FRAME_SIZE_ERROR */ SENNIT_INTERNAL,
        /* REFUSED_STREAM */ SENNIT_UNAVAILABLE,
        /* CANCEL */ SENNIT_CANCELLED,
        /* COMPRESSION_ERROR */ SENNIT_INTERNAL,
        /* CONNECT_ERROR */ SENNIT_INTERNAL,
        /* ENHANCE_YOUR_CALM */ SENNIT_RESOURCE_EXHAUSTED,
        /* INADEQUATE_SECURITY */ SENNIT_PERMISSION_DENIED,
        /* HTTP_1_1_REQUIRED */ SENNIT_INTERNAL,
    };
    if (h2_code >= countof(map))
        return SENNIT_UNKNOWN;
    if (map[h2_code] == SENNIT_CANCELLED && own_deadline)
        return SENNIT_DEADLINE_EXCEEDED;
    return (sennit_code)map[h2_code];
}

static bool status_plain(unsigned char c) { return c >= 0x20 && c <= 0x7e && c != '%'; }

size_t status_message_encoded(const char *s, size_t n)
{
    size_t size = n;
    for (size_t i = 0; i < n; i++)
        size += status_plain((unsigned char)s[i]) ? 0 : 2;
    return size;
}

char *status_message_encode(char *to, const char *s, size_t n)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (status_plain(c)) {
            *to++ = (char)c;
        } else {
            *to++ = '%', *to++ = hex[c >> 4], *to++ = hex[c & 15];
        }
    }
    return to;
}

static int status_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

sennit_str status_message_decode(struct sennit_arena *a, const char *s, size_t n)
{
    char *to = arena_alloc(a, n + 1);
    size_t len = 0;
    if (!to)
        return (sennit_str){ "", 0 };
    for (size_t i = 0; i < n; i++) {
        int high = s[i] == '%' && i + 2 < n ? status_hex(s[i + 1]) : -1;
        int low = high >= 0 ? status_hex(s[i + 2]) : -1;
        if (low >= 0) {
            to[len++] = (char)(high << 4 | low);
            i += 2;
        } else {
            to[len++] = s[i];
        }
    }
    to[len] = 0;
    return (sennit_str){ to, len };
}
