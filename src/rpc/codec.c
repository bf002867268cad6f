/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * codec.c: the protobuf codec of RPCs, and the public calls that encode, decode and copy messages.
 */
#include "rpc/codec.h"
#include "base/limits.h"
#include "rt/why.h"

static sennit_code codec_code(enum pb_result r)
{
    return r == PB_NO_MEMORY || r == PB_TOO_LARGE ? SENNIT_RESOURCE_EXHAUSTED : SENNIT_INTERNAL;
}

static const sennit_raw codec_raw_empty = { { "", 0 } };
const sennit_msg_desc sennit_raw_desc = { .version = SENNIT_TABLES,
                                          .size = sizeof(sennit_raw),
                                          .flags = SENNIT_MSG_RAW,
                                          .name = "sennit_raw",
                                          .empty = &codec_raw_empty };

static sennit_str codec_encode_bad(enum pb_result r) { return (sennit_str){ NULL, r }; }

/* Copied behind the headroom, as an encoder would. */
static sennit_str codec_encode_raw(const sennit_raw *raw, struct sennit_arena *a, size_t headroom)
{
    size_t len = raw->octets.data ? raw->octets.len : 0;
    if (len > LIMIT_PB_SIZE)
        return codec_encode_bad(PB_TOO_LARGE);
    char *to = arena_alloc(a, len + headroom);
    if (!to)
        return codec_encode_bad(PB_NO_MEMORY);
    if (len)
        memcpy(to + headroom, raw->octets.data, len);
    return (sennit_str){ to + headroom, len };
}

static sennit_str codec_encode_foreign(const sennit_codec *c, const void *msg,
                                       struct sennit_arena *a, size_t headroom)
{
    size_t len = c->size(c, msg);
    if (len == SIZE_MAX)
        return codec_encode_bad(PB_REFUSED);
    if (len > LIMIT_PB_SIZE)
        return codec_encode_bad(PB_TOO_LARGE);
    char *to = arena_alloc(a, headroom + len + 1);
    if (!to)
        return codec_encode_bad(PB_NO_MEMORY);
    to += headroom;
    to[len] = 0;
    return c->encode(c, msg, to, len) ? (sennit_str){ to, len } : codec_encode_bad(PB_REFUSED);
}

sennit_str codec_to_other(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                          size_t headroom)
{
    return d->flags & SENNIT_MSG_RAW
               ? codec_encode_raw(msg, a, headroom)
               : codec_encode_foreign((const sennit_codec *)d, msg, a, headroom);
}

enum pb_result codec_from_other(const sennit_msg_desc *d, void *msg, char *body, size_t len,
                                struct sennit_arena *a)
{
    const sennit_codec *c = (const sennit_codec *)d;
    body[len] = 0;
    pb_init(d, msg);
    if (d->flags & SENNIT_MSG_RAW)
        *(sennit_raw *)msg = (sennit_raw){ { body, len } };
    else if (!c->decode(c, a, (sennit_str){ body, len }, msg)) {
        pb_init(d, msg);
        return PB_REFUSED;
    }
    return PB_OK;
}

const sennit_wire_options codec_plain;
const struct pb_encode_how codec_bare, codec_prefixed = { .headroom = CODEC_PREFIX };

sennit_err codec_encode_failed(enum pb_result r, const sennit_msg_desc *d, size_t len, size_t max)
{
    if (r == PB_OK)
        return sennit_errorf(WHY(SEND_TOO_LARGE),
                             "trying to send message larger than max (%zu vs. %zu)", len, max);
    return sennit_errorf(WHY_AS(WHY(ENCODE), codec_code(r)), "grpc: error while marshaling %s: %s",
                         d->name, pb_result_text(r));
}

sennit_err codec_decode_failed(enum pb_result r, const sennit_msg_desc *d, size_t len,
                               const char *what)
{
    return sennit_errorf(WHY_AS(WHY(DECODE), codec_code(r)),
                         "grpc: error unmarshalling %s (%s, %zu octets): %s", what, d->name, len,
                         pb_result_text(r));
}

static sennit_err codec_failed(enum pb_result r, const sennit_msg_desc *d, size_t octets)
{
    return sennit_errorf(r == PB_NO_MEMORY ? WHY(NO_MEMORY) : WHY(PARSE), "%s (%zu octets): %s",
                         d->name, octets, pb_result_text(r));
}

static inline sennit_err codec_error(enum pb_result r, const sennit_msg_desc *d, size_t octets)
{
    return likely(r == PB_OK) ? NULL : codec_failed(r, d, octets);
}

/* -- public ----------------------------------------------------------------------------------- */

void *sennit_msg_copy(sennit_arena *a, const sennit_msg_desc *d, const void *msg)
{
    if (likely(!(d->flags & (SENNIT_MSG_RAW | SENNIT_MSG_CODEC))))
        return pb_copy(a, d, msg);
    sennit_str octets; /* others only know how to be written and read */
    void *copy = arena_alloc(a, d->size);
    if (!copy || !(octets = codec_to(d, msg, a, &codec_bare)).data)
        return NULL;
    octets = arena_str(a, octets.data, octets.len);
    bool good = octets.data && codec_from(d, copy, (char *)(uintptr_t)octets.data, octets.len, a,
                                          &codec_plain) == PB_OK;
    return good ? copy : NULL;
}

size_t sennit_msg_size(const sennit_msg_desc *d, const void *msg)
{
    if (d->flags & SENNIT_MSG_CODEC)
        return ((const sennit_codec *)d)->size((const sennit_codec *)d, msg);
    return pb_size(d, msg);
}

const char *sennit_enum_name(const sennit_enum_desc *d, int32_t value)
{
    const sennit_enum_value *v = pb_enum_value(d, value);
    return v ? v->name : NULL;
}

sennit_str sennit_msg_encode(sennit_arena *a, const sennit_msg_desc *d, const void *msg)
{
    sennit_str out = codec_to(d, msg, a, &codec_bare);
    return likely(out.data) ? out : (sennit_str){ NULL, 0 };
}

sennit_err sennit_msg_decode(sennit_arena *a, const sennit_msg_desc *d, sennit_str octets,
                             void *msg)
{
    return sennit_msg_decode_sized(a, d, octets, NULL, 0, msg);
}

/* What the caller's options have, by their size; zero where they have nothing. */
static const sennit_wire_options *codec_wire_options(const sennit_wire_options *o, size_t size,
                                                     sennit_wire_options *all)
{
    *all = codec_plain;
    if (o)
        memcpy(all, o, min_size(size, sizeof *all));
    return all;
}
/* Mostly they are whole. */
#define CODEC_OPTIONS(o, size, all)                                                                \
    (likely((o) && (size) == sizeof *(all)) ? (o) : codec_wire_options(o, size, all))

sennit_err sennit_msg_encode_sized(sennit_arena *a, const sennit_msg_desc *d, const void *msg,
                                   const sennit_wire_options *o, size_t size, sennit_str *octets)
{
    struct pb_encode_how how = { .headroom = 0 };
    how.o = *CODEC_OPTIONS(o, size, &how.o);
    *octets = codec_to(d, msg, a, &how);
    if (likely(octets->data))
        return NULL;
    enum pb_result r = (enum pb_result)octets->len;
    *octets = (sennit_str){ "", 0 };
    return codec_failed(r, d, 0);
}

/* Of any kind, and of octets that are not to be written to. */
static __attribute__((noinline)) sennit_err
codec_decode_copy(sennit_arena *a, const sennit_msg_desc *d, sennit_str octets,
                  const sennit_wire_options *o, size_t size, void *msg)
{
    sennit_wire_options all;
    char *own = (char *)(uintptr_t)octets.data;
    o = CODEC_OPTIONS(o, size, &all);
    if (!o->in_place || !own) {
        octets.len = own ? octets.len : 0;
        own = (char *)(uintptr_t)arena_str(a, own ? own : "", octets.len).data;
        if (!own) {
            pb_init(d, msg);
            return sennit_no_memory;
        }
    }
    return codec_error(codec_from(d, msg, own, octets.len, a, o), d, octets.len);
}

sennit_err sennit_msg_decode_sized(sennit_arena *a, const sennit_msg_desc *d, sennit_str octets,
                                   const sennit_wire_options *o, size_t size, void *msg)
{
    if (unlikely(!o || size != sizeof *o || !o->in_place || !octets.data ||
                 d->flags & (SENNIT_MSG_RAW | SENNIT_MSG_CODEC)))
        return codec_decode_copy(a, d, octets, o, size, msg);
    enum pb_result r = pb_from_octets(a, d, (char *)(uintptr_t)octets.data, octets.len, o, msg);
    return likely(r == PB_OK) ? NULL : codec_failed(r, d, octets.len);
}

sennit_err sennit_ext_get(sennit_arena *a, const sennit_msg_desc *ext, sennit_str unknown,
                          void *value)
{
    return codec_error(pb_ext_get(ext, unknown, value, a), ext, unknown.len);
}

sennit_err sennit_ext_set(sennit_arena *a, const sennit_msg_desc *ext, sennit_str *unknown,
                          const void *value)
{
    return codec_error(pb_ext_set(ext, unknown, value, a), ext, unknown->len);
}

/* What the caller's options have, by their size; zero where they have nothing. */
static sennit_format_options codec_options(const sennit_format_options *o, size_t size)
{
    sennit_format_options all = { 0 };
    if (o)
        memcpy(&all, o, min_size(size, sizeof all));
    return all;
}

static sennit_err codec_text_error(enum pb_result r, const sennit_msg_desc *d,
                                   const struct pb_why *why)
{
    if (r == PB_OK)
        return NULL;
    return sennit_errorf(r == PB_NO_MEMORY ? WHY(NO_MEMORY) : WHY(PARSE), "%s: %s", d->name,
                         why->text[0] ? why->text : pb_result_text(r));
}

static sennit_err codec_no_text(const sennit_msg_desc *d)
{
    return sennit_errorf(WHY(PARSE), "%s is of another runtime: it has no fields here", d->name);
}

sennit_err sennit_json_encode_sized(sennit_arena *a, const sennit_msg_desc *d, const void *msg,
                                    const sennit_format_options *o, size_t size, sennit_str *text)
{
    struct pb_why why;
    sennit_format_options all = codec_options(o, size);
    if (d->flags & SENNIT_MSG_CODEC)
        return codec_no_text(d);
    return codec_text_error(pb_json_encode(a, d, msg, &all, text, &why), d, &why);
}

sennit_err sennit_json_decode_sized(sennit_arena *a, const sennit_msg_desc *d, sennit_str text,
                                    const sennit_format_options *o, size_t size, void *msg)
{
    struct pb_why why;
    sennit_format_options all = codec_options(o, size);
    if (d->flags & SENNIT_MSG_CODEC)
        return codec_no_text(d);
    return codec_text_error(pb_json_decode(a, d, text, &all, msg, &why), d, &why);
}

sennit_err sennit_text_encode_sized(sennit_arena *a, const sennit_msg_desc *d, const void *msg,
                                    const sennit_format_options *o, size_t size, sennit_str *text)
{
    struct pb_why why;
    sennit_format_options all = codec_options(o, size);
    if (d->flags & SENNIT_MSG_CODEC)
        return codec_no_text(d);
    return codec_text_error(pb_text_encode(a, d, msg, &all, text, &why), d, &why);
}

sennit_err sennit_text_decode_sized(sennit_arena *a, const sennit_msg_desc *d, sennit_str text,
                                    const sennit_format_options *o, size_t size, void *msg)
{
    struct pb_why why;
    sennit_format_options all = codec_options(o, size);
    if (d->flags & SENNIT_MSG_CODEC)
        return codec_no_text(d);
    return codec_text_error(pb_text_decode(a, d, text, &all, msg, &why), d, &why);
}
