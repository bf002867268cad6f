/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * decode_list.c: what both halves of the decoder use and what must be fast: long numbers, lists
 * that grow, and packed numbers. Lists double, in place if they are the arena's last. */
#include "pb/decode.h"

/* The seven low bits of each octet, together: the first one's are the lowest. */
static inline uint64_t decode_sevens(uint64_t v)
{
    v &= UINT64_C(0x7f7f7f7f7f7f7f7f);
    v = (v & UINT64_C(0x007f007f007f007f)) | (v & UINT64_C(0x7f007f007f007f00)) >> 1;
    v = (v & UINT64_C(0x00003fff00003fff)) | (v & UINT64_C(0x3fff00003fff0000)) >> 2;
    return (v & UINT64_C(0x000000000fffffff)) | (v & UINT64_C(0x0fffffff00000000)) >> 4;
}

/* Of three octets or more: where there are eight, all that belong to the number at once. */
static __attribute__((noinline)) struct decode_varint decode_longer_varint(char *at,
                                                                           const char *end)
{
    uint64_t v = 0;
    int shift = 0;
    if (end - at >= 8) {
        memcpy(&v, at, 8);
        uint64_t stop = ~v & UINT64_C(0x8080808080808080);
        v &= stop ^ (stop - 1); /* all, if none stops */
        v = decode_sevens(v);
        if (likely(stop))
            return (struct decode_varint){ at + __builtin_ctzll(stop) / 8 + 1, v };
        at += 8;
        shift = 56;
    }
    for (; shift < 70 && at < end; shift += 7) {
        uint64_t c = (uint8_t)*at++;
        v |= (c & 0x7f) << shift;
        if (c < 0x80)
            return (struct decode_varint){ at, v };
    }
    return (struct decode_varint){ NULL, 0 };
}

struct decode_varint pb_decode_long_varint(char *at, const char *end)
{
    if (end - at < 3)
        return decode_longer_varint(at, end);
    uint64_t v = (uint8_t)at[0] & 0x7f;
    uint8_t c = (uint8_t)at[1];
    v |= (uint64_t)(c & 0x7f) << 7;
    if (c < 0x80)
        return (struct decode_varint){ at + 2, v };
    c = (uint8_t)at[2];
    v |= (uint64_t)c << 14;
    return c < 0x80 ? (struct decode_varint){ at + 3, v } : decode_longer_varint(at, end);
}

/* What a list of len elements, which are some, has room for. */
static inline size_t decode_list_room(size_t len, size_t size)
{
    size_t least = decode_list_least(size);
    return len <= least ? least : (size_t)1 << (64 - __builtin_clzll(len - 1));
}

/* From room for `have` elements to room for `want`. */
static inline bool decode_list_move(struct sennit_arena *a, struct pb_list *l, size_t size,
                                    size_t have, size_t want)
{
    if (want > LIMIT_PB_SIZE || size > SIZE_MAX / LIMIT_PB_SIZE)
        return false;
    if (have && arena_extend(a, l->data, have * size, want * size))
        return true;
    char *data = arena_alloc(a, want * size);
    if (!data)
        return false;
    if (have)
        memcpy(data, l->data, l->len * size);
    l->data = data;
    return true;
}

bool pb_decode_list_grow(struct sennit_arena *a, struct pb_list *l, size_t size)
{
    size_t len = l->len;
    return decode_list_move(a, l, size, len, len ? 2 * len : decode_list_least(size));
}

char *pb_decode_list_add(struct decode *r, struct pb_list *l, size_t size, size_t more)
{
    size_t have = l->len ? decode_list_room(l->len, size) : 0;
    size_t want = decode_list_room(l->len + more, size);
    if (want > have && !decode_list_move(r->a, l, size, have, want))
        return NULL;
    return l->data + l->len * size;
}

/* How many varints end in [p, end). */
static size_t decode_count_varints(const char *p, const char *end)
{
    size_t n = 0;
    for (; end - p >= 8; p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        n += (~v >> 7 & UINT64_C(0x0101010101010101)) * UINT64_C(0x0101010101010101) >> 56;
    }
    for (; p < end; p++)
        n += (uint8_t)*p < 0x80;
    return n;
}

static enum pb_result decode_packed_fixed(struct decode *r, const char *end, size_t size,
                                          struct pb_list *l)
{
    size_t octets = (size_t)(end - r->at), n = octets / size;
    char *to = pb_decode_list_add(r, l, size, n ? n : 1);
    if (!to)
        return PB_NO_MEMORY;
    if (octets % size)
        return PB_TRUNCATED;
    memcpy(to, r->at, octets);
    l->len += n;
    r->at += octets;
    return PB_OK;
}

/* For each kind a loop of its own. r->at ends at a number that is none, or at the end. */
static inline __attribute__((always_inline)) void
decode_packed_as(struct decode *r, const char *end, uint32_t kind, size_t size, char *to)
{
    char *at = r->at;
    for (; at < end; to += size) {
        struct decode_varint v = decode_varint_at(at, end);
        if (unlikely(!v.end))
            break;
        decode_store_varint(kind, to, v.value);
        at = v.end;
    }
    r->at = at;
}

enum pb_result pb_decode_packed(struct decode *r, const char *end, const sennit_field *f,
                                struct pb_list *l)
{
    size_t size = pb_kind_size[pb_kind(f)], n;
    if (r->at == end)
        return PB_OK;
    if (pb_kind_wire[pb_kind(f)] != PB_VARINT)
        return decode_packed_fixed(r, end, size, l);
    n = decode_count_varints(r->at, end);
    char *to = pb_decode_list_add(r, l, size, n ? n : 1);
    if (!to)
        return PB_NO_MEMORY;
    if (f->flags & SENNIT_FIELD_CLOSED)
        return pb_decode_packed_closed(r, end, f, l);
    if (size == 4 && pb_kind(f) != SENNIT_KIND_SINT32)
        decode_packed_as(r, end, SENNIT_KIND_INT32, 4, to);
    else if (size == 8 && pb_kind(f) != SENNIT_KIND_SINT64)
        decode_packed_as(r, end, SENNIT_KIND_INT64, 8, to);
    else
        decode_packed_as(r, end, pb_kind(f), size, to);
    if (r->at < end)
        return decode_no_varint(r->at, end);
    l->len += n;
    return PB_OK;
}
