/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * hpack_fields.c: what a field's name and value are, judged once per table entry and not per
 * request: tokens for the names that matter, and the characters that RFC 9113 8.2.1 forbids. */
#include "h2/hpack_private.h"

static const struct hpack_name {
    const char *name;
    uint8_t len, token;
} hpack_names[] = {
#define NAME(s, t)                                                                                 \
    {                                                                                              \
        s, sizeof s - 1, H2_TOK_##t                                                                \
    }
    NAME(":authority", AUTHORITY),
    NAME(":method", METHOD),
    NAME(":path", PATH),
    NAME(":scheme", SCHEME),
    NAME(":status", STATUS),
    NAME(":protocol", PROTOCOL),
    NAME("content-type", CONTENT_TYPE),
    NAME("content-length", CONTENT_LENGTH),
    NAME("te", TE),
    NAME("user-agent", USER_AGENT),
    NAME("host", HOST),
    NAME("connection", CONNECTION),
    NAME("proxy-connection", CONNECTION),
    NAME("keep-alive", CONNECTION),
    NAME("transfer-encoding", CONNECTION),
    NAME("upgrade", CONNECTION),
    NAME("grpc-timeout", GRPC_TIMEOUT),
    NAME("grpc-status", GRPC_STATUS),
    NAME("grpc-message", GRPC_MESSAGE),
    NAME("grpc-status-details-bin", GRPC_STATUS_DETAILS),
    NAME("grpc-encoding", GRPC_ENCODING),
    NAME("grpc-accept-encoding", GRPC_ACCEPT_ENCODING),
    NAME("cookie", COOKIE),
};

uint8_t hpack_name_token(const char *name, size_t n)
{
    for (size_t i = 0; i < countof(hpack_names); i++) {
        if (hpack_names[i].len == n && memcmp(hpack_names[i].name, name, n) == 0)
            return hpack_names[i].token;
    }
    if (n && name[0] == ':')
        return H2_TOK_UNKNOWN_PSEUDO;
    return n >= 5 && memcmp(name, "grpc-", 5) == 0 ? H2_TOK_GRPC_OTHER : H2_TOK_OTHER;
}

/* Token characters of RFC 9110 5.6.2, without upper case. */
static bool hpack_name_char(uint8_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return true;
    return c && c < 0x80 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

uint8_t hpack_name_flags(const char *name, size_t n)
{
    uint8_t flags = n > 4 && memcmp(name + n - 4, "-bin", 4) == 0 ? H2_FIELD_BIN : 0;
    size_t i = n && name[0] == ':';
    if (i == n)
        return flags | H2_FIELD_BAD;
    for (; i < n; i++) {
        if (!hpack_name_char((uint8_t)name[i]))
            return flags | H2_FIELD_BAD;
    }
    return flags;
}

uint8_t hpack_value_flags(const char *value, size_t n)
{
    if (n && (value[0] == ' ' || value[0] == '\t' || value[n - 1] == ' ' || value[n - 1] == '\t'))
        return H2_FIELD_BAD;
    for (size_t i = 0; i < n; i++) {
        if (value[i] == 0 || value[i] == '\r' || value[i] == '\n')
            return H2_FIELD_BAD;
    }
    return 0;
}
