/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode_list.c: what both halves of the encoder use and what must be fast: long numbers, long
 * strings, and repeated fields that are no messages. */
#include "pb/encode.h"

/* Seven bits to each octet; decode_sevens is its inverse. */
static inline uint64_t encode_sevens(uint64_t v)
{
    v = (v & UINT64_C(0x000000000fffffff)) | (v & UINT64_C(0x00fffffff0000000)) << 4;
    v = (v & UINT64_C(0x00003fff00003fff)) | (v & UINT64_C(0x0fffc0000fffc000)) << 2;
    return (v & UINT64_C(0x007f007f007f007f)) | (v & UINT64_C(0x3f803f803f803f80)) << 1;
}

/* v has at least two octets. Up to eight are stored at once, with zeros in front, where nothing is
 * yet. */
char *pb_encode_long_varint(char *at, uint64_t v)
{
    if (v < 0x4000)
        return encode_two(at, v);
    size_t n = ((size_t)(63 - __builtin_clzll(v)) * 9 + 73) / 64;
    if (likely(n <= 8)) {
        uint64_t more = UINT64_C(0x8080808080808080) >> 8 * (9 - n);
        uint64_t octets = (encode_sevens(v) | more) << (8 * (8 - n));
        memcpy(at - 8, &octets, 8);
        return at - n;
    }
    char *p = at -= n;
    for (; v > 0x7f; v >>= 7)
        *p++ = (char)(v | 0x80);
    *p = (char)v;
    return at;
}

char *pb_encode_long_tagged(char *at, uint32_t tag, uint64_t v)
{
    if (v < 0x80)
        *--at = (char)v;
    else
        at = v < 0x4000 ? encode_two(at, v) : pb_encode_long_varint(at, v);
    if (tag < 0x80) {
        *--at = (char)tag;
        return at;
    }
    return likely(tag < 0x4000) ? encode_two(at, tag) : pb_encode_long_varint(at, tag);
}

typedef uint64_t encode_pair __attribute__((vector_size(16)));
/* The last sixteen first: those before them may overlap them. */
bool pb_encode_copy(char *to, const char *from, size_t n)
{
    encode_pair all, two;
    memcpy(&all, from + n - 16, 16);
    memcpy(to + n - 16, &all, 16);
    for (size_t i = 0; i + 16 < n; i += 16) {
        memcpy(&two, from + i, 16);
        memcpy(to + i, &two, 16);
        all |= two;
    }
    return ((all[0] | all[1]) & UINT64_C(0x8080808080808080)) == 0;
}

/* kind is a constant, or not. */
static inline __attribute__((always_inline)) void
encode_numbers(struct encode *w, uint32_t kind, size_t size, const struct pb_list *l)
{
    const char *from = l->data + l->len * size;
    char *at = w->at;
    while (from != l->data) {
        if (unlikely((uintptr_t)at < w->low)) {
            w->at = at;
            if (!pb_encode_grow(w, ENCODE_FIELD))
                return;
            at = w->at;
        }
        from -= size;
        at = encode_varint(at, encode_load(kind, from));
    }
    w->at = at;
}

static void encode_packed(struct encode *w, const sennit_field *f, const struct pb_list *l)
{
    size_t mark = encode_written(w), size = pb_kind_size[f->kind];
    if (pb_kind_wire[f->kind] != PB_VARINT)
        pb_encode_octets(w, (sennit_str){ l->data, l->len * size });
    else if (f->kind == SENNIT_KIND_UINT32)
        encode_numbers(w, SENNIT_KIND_UINT32, 4, l);
    else if (size == 8 && f->kind != SENNIT_KIND_SINT64)
        encode_numbers(w, SENNIT_KIND_INT64, 8, l);
    else
        encode_numbers(w, f->kind, size, l);
    if (w->result == PB_OK && encode_room(w, ENCODE_FIELD))
        w->at = encode_tagged(w->at, f->number << 3 | PB_LENGTH, encode_written(w) - mark);
}

static void encode_strings(struct encode *w, const sennit_field *f, const struct pb_list *l)
{
    char *at = w->at;
    for (size_t i = l->len; i-- > 0 && at;) {
        sennit_str s;
        memcpy(&s, l->data + i * sizeof s, sizeof s);
        s.len = s.data ? s.len : 0;
        at = encode_string(w, at, f, s);
    }
    w->at = at ? at : w->at;
}

static void encode_unpacked(struct encode *w, const sennit_field *f, const struct pb_list *l)
{
    size_t size = pb_kind_size[f->kind];
    uint32_t wire = pb_kind_wire[f->kind];
    for (size_t i = l->len; i-- > 0 && encode_room(w, ENCODE_FIELD);) {
        uint64_t bits = encode_load(f->kind, l->data + i * size);
        size_t n = wire == PB_FIXED64 ? 8 : 4;
        if (wire == PB_VARINT) {
            w->at = encode_varint(w->at, bits);
        } else {
            w->at -= n;
            memcpy(w->at, &bits, n);
        }
        w->at = encode_tag(w->at, f->number, wire);
    }
}

void pb_encode_list(struct encode *w, const sennit_field *f, const struct pb_list *l)
{
    if (pb_kind_wire[f->kind] == PB_LENGTH)
        encode_strings(w, f, l);
    else if (f->flags & SENNIT_FIELD_PACKED)
        encode_packed(w, f, l);
    else
        encode_unpacked(w, f, l);
}
