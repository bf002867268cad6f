/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * ext.c: extensions. A message keeps them as it got them, among its unknown fields: so copying,
 * merging and sending need no tables, and no registry decides what a received message looks like.
 * Whoever wants one decodes it here by the table of a message with that one field. Message sets
 * wrap each extension in a group 1 { type id 2, octets 3 }. Also the walk over raw fields. */
#include "pb/pb_private.h"

#define EXT_SET_ITEM    1 /* the group */
#define EXT_SET_TYPE_ID 2
#define EXT_SET_MESSAGE 3

size_t pb_put_varint(char *s, uint64_t v)
{
    size_t n = 0;
    for (; v > 0x7f; v >>= 7)
        s[n++] = (char)((v & 0x7f) | 0x80);
    s[n++] = (char)v;
    return n;
}

static size_t ext_varint(const char *s, size_t n, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < n && i < 10; i++) {
        *v |= (uint64_t)(s[i] & 0x7f) << (7 * i & 63);
        if (!(s[i] & 0x80))
            return i + 1;
    }
    return 0;
}

/* One field without what is inside a group: for START_GROUP and END_GROUP the tag alone. */
static size_t ext_shallow(const char *s, size_t n, struct pb_raw *out)
{
    uint64_t v;
    size_t at = ext_varint(s, n, &v), more = 0;
    if (!at || v > UINT32_MAX || v >> 3 == 0)
        return 0;
    *out = (struct pb_raw){ .tag = (uint32_t)v };
    switch (v & 7) {
    case PB_VARINT:
        more = ext_varint(s + at, n - at, &out->value);
        return more ? at + more : 0;
    case PB_LENGTH:
        more = ext_varint(s + at, n - at, &out->value);
        if (!more || out->value > n - at - more)
            return 0;
        out->body = (sennit_str){ s + at + more, (size_t)out->value };
        return at + more + (size_t)out->value;
    case PB_FIXED64:
    case PB_FIXED32:
        more = (v & 7) == PB_FIXED64 ? 8 : 4;
        if (n - at < more)
            return 0;
        memcpy(&out->value, s + at, more);
        return at + more;
    default:
        return (v & 7) == PB_START_GROUP || (v & 7) == PB_END_GROUP ? at : 0;
    }
}

size_t pb_raw_next(const char *s, size_t n, struct pb_raw *out)
{
    size_t at = ext_shallow(s, n, out), start = at, depth = 1;
    if (!at || (out->tag & 7) == PB_END_GROUP)
        return 0;
    if ((out->tag & 7) != PB_START_GROUP)
        return at;
    while (depth) {
        struct pb_raw in;
        size_t more = ext_shallow(s + at, n - at, &in);
        if (!more)
            return 0;
        depth += (in.tag & 7) == PB_START_GROUP;
        depth -= (in.tag & 7) == PB_END_GROUP;
        if (!depth)
            out->body = (sennit_str){ s + start, at - start };
        at += more;
    }
    return at;
}

bool pb_set_item(sennit_str body, uint32_t *type_id, sennit_str *message)
{
    bool id = false, there = false;
    while (body.len) {
        struct pb_raw in;
        size_t n = pb_raw_next(body.data, body.len, &in);
        if (!n)
            return false;
        if (in.tag == (EXT_SET_TYPE_ID << 3 | PB_VARINT) && !id)
            *type_id = (uint32_t)in.value, id = true;
        else if (in.tag == (EXT_SET_MESSAGE << 3 | PB_LENGTH) && !there)
            *message = in.body, there = true;
        body.data += n;
        body.len -= n;
    }
    return id && there;
}

/* Whether this raw field is (a piece of) the extension. */
static bool ext_is(const sennit_msg_desc *ext, const struct pb_raw *raw, sennit_str *message)
{
    uint32_t number = 0;
    if (!(ext->flags & SENNIT_MSG_SET))
        return raw->tag >> 3 == ext->fields[0].number;
    return raw->tag == (EXT_SET_ITEM << 3 | PB_START_GROUP) &&
           pb_set_item(raw->body, &number, message) && number == ext->fields[0].number;
}

/* Copies the fields that are the extension (mine), or the others, to `to`; how many octets. */
static size_t ext_filter(const sennit_msg_desc *ext, sennit_str from, char *to, bool mine)
{
    char *at = to;
    while (from.len) {
        struct pb_raw raw;
        sennit_str message = { NULL, 0 };
        size_t n = pb_raw_next(from.data, from.len, &raw);
        if (!n)
            n = from.len, raw.tag = 0; /* the user's own octets: kept as they are */
        bool is = raw.tag && ext_is(ext, &raw, &message);
        if (is && mine && message.data) {
            at += pb_put_varint(at, (uint64_t)ext->fields[0].number << 3 | PB_LENGTH);
            at += pb_put_varint(at, message.len);
            memcpy(at, message.data, message.len);
            at += message.len;
        } else if (is == mine) {
            memcpy(at, from.data, n);
            at += n;
        }
        from.data += n;
        from.len -= n;
    }
    return (size_t)(at - to);
}

enum pb_result pb_ext_get(const sennit_msg_desc *ext, sennit_str unknown, void *value,
                          struct sennit_arena *a)
{
    pb_init(ext, value);
    if (!unknown.data || !unknown.len)
        return PB_OK;
    char *mine = arena_alloc(a, unknown.len + 1);
    if (!mine)
        return PB_NO_MEMORY;
    return pb_decode_msg(ext, value, mine, ext_filter(ext, unknown, mine, true), a, 0);
}

/* The octets of *value as they stand in the message. */
static enum pb_result ext_encode(const sennit_msg_desc *ext, const void *value,
                                 struct sennit_arena *a, sennit_str *out)
{
    enum pb_result result = pb_encode_msg(ext, value, a, 0, out);
    if (result != PB_OK || !(ext->flags & SENNIT_MSG_SET) || !out->len)
        return result;
    struct pb_raw raw;
    size_t n = 0;
    char *item = arena_alloc(a, out->len + 24);
    if (!item || !pb_raw_next(out->data, out->len, &raw))
        return PB_NO_MEMORY;
    item[n++] = EXT_SET_ITEM << 3 | PB_START_GROUP;
    item[n++] = EXT_SET_TYPE_ID << 3 | PB_VARINT;
    n += pb_put_varint(item + n, ext->fields[0].number);
    item[n++] = EXT_SET_MESSAGE << 3 | PB_LENGTH;
    n += pb_put_varint(item + n, raw.body.len);
    memcpy(item + n, raw.body.data, raw.body.len);
    n += raw.body.len;
    item[n++] = EXT_SET_ITEM << 3 | PB_END_GROUP;
    *out = (sennit_str){ item, n };
    return PB_OK;
}

enum pb_result pb_ext_set(const sennit_msg_desc *ext, sennit_str *unknown, const void *value,
                          struct sennit_arena *a)
{
    sennit_str more = { "", 0 };
    enum pb_result result = value ? ext_encode(ext, value, a, &more) : PB_OK;
    if (result != PB_OK)
        return result;
    size_t have = unknown->data ? unknown->len : 0;
    char *all = arena_alloc(a, have + more.len + 1);
    if (!all)
        return PB_NO_MEMORY;
    size_t n = ext_filter(ext, (sennit_str){ unknown->data, have }, all, false);
    if (more.len)
        memcpy(all + n, more.data, more.len);
    all[n + more.len] = 0;
    *unknown = (sennit_str){ all, n + more.len };
    return PB_OK;
}
