/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * out.c: octets that grow in an arena, for text and for wire octets written forward. */
#include "pb/format.h"

#include <stdio.h>

char *pb_out_room(struct pb_out *o, size_t n)
{
    if (o->result != PB_OK)
        return NULL;
    if (n > LIMIT_PB_SIZE || o->len + n > LIMIT_PB_SIZE) {
        o->result = PB_TOO_LARGE;
        return NULL;
    }
    if (o->cap - o->len <= n) { /* one more: for a NUL */
        size_t cap = max_size(max_size(o->cap * 2, 256), o->len + n + 1);
        char *bigger = arena_alloc(o->a, cap);
        if (!bigger) {
            o->result = PB_NO_MEMORY;
            return NULL;
        }
        if (o->len)
            memcpy(bigger, o->data, o->len);
        o->data = bigger;
        o->cap = cap;
    }
    return o->data + o->len;
}

void pb_out_add(struct pb_out *o, const void *p, size_t n)
{
    char *to = pb_out_room(o, n);
    if (to && n)
        memcpy(to, p, n);
    if (to)
        o->len += n;
}

void pb_out_text(struct pb_out *o, const char *z) { pb_out_add(o, z, strlen(z)); }

void pb_out_printf(struct pb_out *o, const char *fmt, ...)
{
    char line[128];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    sn_assert(n >= 0 && (size_t)n < sizeof line); /* numbers only */
    pb_out_add(o, line, (size_t)n);
}

void pb_out_varint(struct pb_out *o, uint64_t v)
{
    char *to = pb_out_room(o, 10);
    if (to)
        o->len += pb_put_varint(to, v);
}

void pb_out_tag(struct pb_out *o, uint32_t number, enum pb_wire wire)
{
    pb_out_varint(o, (uint64_t)number << 3 | wire);
}

void pb_out_number(struct pb_out *o, const sennit_field *f, uint64_t bits)
{
    pb_out_tag(o, f->number, pb_kind_wire[pb_kind(f)]);
    if (pb_kind(f) == SENNIT_KIND_SINT32 || pb_kind(f) == SENNIT_KIND_SINT64)
        bits = bits << 1 ^ (0 - (bits >> 63));
    if (pb_kind_wire[pb_kind(f)] == PB_VARINT)
        pb_out_varint(o, bits);
    else
        pb_out_add(o, &bits, pb_kind_size[pb_kind(f)]);
}

void pb_out_octets(struct pb_out *o, uint32_t number, sennit_str s)
{
    pb_out_tag(o, number, PB_LENGTH);
    pb_out_varint(o, s.len);
    pb_out_add(o, s.data, s.len);
}

void pb_out_close(struct pb_out *o, size_t mark)
{
    char octets[10];
    size_t len = o->len - mark, n = pb_put_varint(octets, len);
    if (!pb_out_room(o, n))
        return;
    memmove(o->data + mark + n, o->data + mark, len);
    memcpy(o->data + mark, octets, n);
    o->len += n;
}
