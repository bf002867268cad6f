/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode_list.c: what both halves of the encoder use and what must be fast: long numbers, long
 * strings, and repeated fields that are no messages. */
#include "pb/encode.h"

/* v has at least two octets. */
__attribute__((noinline)) char *pb_encode_long_varint(char *at, uint64_t v)
{
    return encode_long(at, v);
}

char *pb_encode_long_tagged(char *at, uint32_t tag, uint64_t v)
{
    if (v < 0x80)
        *--at = (char)v;
    else
        at = pb_encode_long_varint(at, v);
    if (tag < 0x80) {
        *--at = (char)tag;
        return at;
    }
    return pb_encode_long_varint(at, tag);
}

/* The last 32 first: those before them may overlap them. */
uint64_t pb_encode_copy(char *to, const char *from, size_t n)
{
    pb_pair all = pb_pair_at(from + n - 32), more = pb_pair_at(from + n - 16);
    memcpy(to + n - 32, &all, 16);
    memcpy(to + n - 16, &more, 16);
    for (size_t i = 0; i + 32 < n; i += 32) {
        pb_pair one = pb_pair_at(from + i), two = pb_pair_at(from + i + 16);
        memcpy(to + i, &one, 16);
        memcpy(to + i + 16, &two, 16);
        all |= one;
        more |= two;
    }
    return pb_high(all | more);
}

/* Room for a field in front of `at`, which may move; NULL: w->result is set. */
static inline char *encode_room_at(struct encode *w, char *at)
{
    if (likely((uintptr_t)at >= w->low))
        return at;
    w->at = at;
    return pb_encode_grow(w, ENCODE_FIELD) ? w->at : NULL;
}

/* kind is a constant, or not. */
static inline __attribute__((always_inline)) char *
encode_numbers(struct encode *w, char *at, uint32_t kind, size_t size, const struct pb_list *l)
{
    const char *first = l->data, *from = first + l->len * size;
    while (from != first) {
        from -= size;
        uint64_t v = encode_load(kind, from);
        if (unlikely((uintptr_t)at < w->low) && !(at = encode_room_at(w, at)))
            return NULL;
        if (likely(v < 0x80))
            *--at = (char)v;
        else
            at = pb_encode_long_varint(at, v);
    }
    return encode_room_at(w, at);
}

char *pb_encode_packed(struct encode *w, char *at, const sennit_field *f, const struct pb_list *l)
{
    uint32_t kind = pb_kind(f);
    size_t mark = (size_t)(w->end - at), size = pb_kind_size[kind];
    if (pb_kind_wire[kind] != PB_VARINT) {
        w->at = at;
        at = pb_encode_octets(w, (sennit_str){ l->data, l->len * size }) ? w->at : NULL;
        at = at ? encode_room_at(w, at) : NULL;
    } else if (kind == SENNIT_KIND_UINT32) {
        at = encode_numbers(w, at, SENNIT_KIND_UINT32, 4, l);
    } else if (size == 8 && kind != SENNIT_KIND_SINT64) {
        at = encode_numbers(w, at, SENNIT_KIND_INT64, 8, l);
    } else {
        at = encode_numbers(w, at, kind, size, l);
    }
    return at ? encode_tagged(at, f->number << 3 | PB_LENGTH, (size_t)(w->end - at) - mark) : NULL;
}

char *pb_encode_strings(struct encode *w, char *at, const sennit_field *f, const struct pb_list *l)
{
    const sennit_str *first = (const sennit_str *)(const void *)l->data, *s = first + l->len;
    while (s-- != first && at)
        at = encode_string(w, at, f, s->data ? *s : (sennit_str){ NULL, 0 });
    return at;
}

static char *encode_unpacked(struct encode *w, char *at, const sennit_field *f,
                             const struct pb_list *l)
{
    size_t size = pb_kind_size[pb_kind(f)];
    uint32_t wire = pb_kind_wire[pb_kind(f)];
    for (size_t i = l->len; i-- > 0 && (at = encode_room_at(w, at));) {
        uint64_t bits = encode_load(pb_kind(f), l->data + i * size);
        size_t n = wire == PB_FIXED64 ? 8 : 4;
        if (wire == PB_VARINT) {
            at = encode_varint(at, bits);
        } else {
            at -= n;
            memcpy(at, &bits, n);
        }
        at = encode_tag(at, f->number, wire);
    }
    return at;
}

char *pb_encode_list(struct encode *w, char *at, const sennit_field *f, const struct pb_list *l)
{
    if (pb_kind_wire[pb_kind(f)] == PB_LENGTH)
        return pb_encode_strings(w, at, f, l);
    return f->flags & SENNIT_FIELD_PACKED ? pb_encode_packed(w, at, f, l)
                                          : encode_unpacked(w, at, f, l);
}
