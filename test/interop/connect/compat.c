/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * compat.c: see compat.h. */
#include "compat.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_MOST (64u << 20)

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void *compat_alloc(sennit_ctx *ctx, size_t n)
{
    void *p = sennit_alloc(sennit_ctx_arena(ctx), n ? n : 1);
    if (!p) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    return p;
}

bool compat_read(sennit_ctx *ctx, sennit_str *octets)
{
    unsigned char head[4];
    if (fread(head, 1, sizeof head, stdin) != sizeof head)
        return false;
    size_t n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (n > MESSAGE_MOST)
        return false;
    char *p = compat_alloc(ctx, n);
    *octets = (sennit_str){ p, n };
    return fread(p, 1, n, stdin) == n;
}

void compat_write(sennit_str octets)
{
    size_t n = octets.len;
    const unsigned char head[4] = { (unsigned char)(n >> 24), (unsigned char)(n >> 16),
                                    (unsigned char)(n >> 8), (unsigned char)n };
    fwrite(head, 1, sizeof head, stdout);
    fwrite(octets.data, 1, n, stdout);
    fflush(stdout);
}

/* -- headers ---------------------------------------------------------------------------------- */

static bool is_binary(sennit_str key)
{
    return key.len > 4 && memcmp(key.data + key.len - 4, "-bin", 4) == 0;
}

static sennit_str encode(sennit_ctx *ctx, sennit_str octets)
{
    const unsigned char *from = (const unsigned char *)octets.data;
    char *to = compat_alloc(ctx, octets.len * 4 / 3 + 4), *p = to;
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0; i < octets.len; i++) {
        bits = bits << 8 | from[i];
        for (held += 8; held >= 6; held -= 6)
            *p++ = digits[bits >> (held - 6) & 63];
    }
    if (held)
        *p++ = digits[bits << (6 - held) & 63];
    return (sennit_str){ to, (size_t)(p - to) };
}

/* What is no base64 stays as it is. */
static sennit_str decode(sennit_ctx *ctx, sennit_str text)
{
    char *to = compat_alloc(ctx, text.len), *p = to;
    uint32_t bits = 0;
    int held = 0;
    while (text.len && text.data[text.len - 1] == '=')
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = memchr(digits, text.data[i], 64);
        if (!at)
            return text;
        bits = bits << 6 | (uint32_t)(at - digits);
        held += 6;
        if (held >= 8)
            *p++ = (char)(bits >> (held -= 8));
    }
    return (sennit_str){ to, (size_t)(p - to) };
}

sennit_err compat_add(sennit_ctx *ctx, const cf_Header *headers, size_t n,
                      sennit_err (*add)(void *to, const char *key, sennit_str value), void *to)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = headers[i].name.len;
        char *key = compat_alloc(ctx, len + 1);
        for (size_t k = 0; k < len; k++)
            key[k] = (char)tolower((unsigned char)headers[i].name.data[k]);
        key[len] = '\0';
        for (size_t k = 0; k < headers[i].value.len; k++) {
            sennit_str value = headers[i].value.data[k];
            sennit_err err =
                add(to, key, is_binary((sennit_str){ key, len }) ? decode(ctx, value) : value);
            if (err)
                return err;
        }
    }
    return NULL;
}

/* With all values of key. */
static cf_Header header(sennit_ctx *ctx, const sennit_md *md, const char *key)
{
    const sennit_str *value;
    bool binary = is_binary(sennit_s(key));
    size_t n = 0;
    while (sennit_md_get(md, key, n))
        n++;
    sennit_str *values = compat_alloc(ctx, n * sizeof *values);
    for (size_t i = 0; i < n; i++) {
        value = sennit_md_get(md, key, i);
        values[i] =
            binary ? encode(ctx, *value) : sennit_printf(ctx, "%.*s", (int)value->len, value->data);
    }
    return (cf_Header){ .name = sennit_printf(ctx, "%s", key), .value = { values, n } };
}

struct compat_headers compat_headers(sennit_ctx *ctx, const sennit_md *md)
{
    const sennit_str *value;
    const char *key;
    size_t n = 0;
    while (md && sennit_md_at(md, n, NULL))
        n++;
    cf_Header *h = compat_alloc(ctx, n * sizeof *h);
    n = 0;
    for (size_t i = 0; md && (value = sennit_md_at(md, i, &key)); i++)
        if (value == sennit_md_get(md, key, 0))
            h[n++] = header(ctx, md, key);
    return (struct compat_headers){ h, n };
}

/* -- errors ----------------------------------------------------------------------------------- */

const cf_Error *compat_error(sennit_ctx *ctx, sennit_err err)
{
    cf_Error *e = compat_alloc(ctx, sizeof *e);
    err = sennit_err_copy(sennit_ctx_arena(ctx), err);
    google_protobuf_Any *details = compat_alloc(ctx, err->n_details * sizeof *details);
    for (size_t i = 0; i < err->n_details; i++)
        details[i] = (google_protobuf_Any){ .type_url = sennit_s(err->details[i].type_url),
                                            .value = err->details[i].value };
    *e = (cf_Error){ .code = (int32_t)err->code,
                     .has_message = 1,
                     .message = sennit_s(err->message),
                     .details = { details, err->n_details } };
    return e;
}

sennit_err compat_status(const cf_Error *e)
{
    sennit_err err =
        sennit_errorf((sennit_code)e->code, "%.*s", (int)e->message.len, e->message.data);
    for (size_t i = 0; i < e->details.len; i++)
        err = sennit_err_detail(err, e->details.data[i].type_url.data, e->details.data[i].value);
    return err;
}

google_protobuf_Any compat_any(sennit_ctx *ctx, const sennit_msg_desc *d, const void *message)
{
    return (google_protobuf_Any){
        .type_url = sennit_printf(ctx, "type.googleapis.com/%s", d->name),
        .value = sennit_msg_encode(sennit_ctx_arena(ctx), d, message),
    };
}
