/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * decode_bulk.c: the decoder's fast half: one loop over the octets, whose state is in registers,
 * goes through all fields that are plain and through sub-messages. A field costs one look into the
 * message's table and one jump by its kind and wire type. Anything else ends the loop, with nothing
 * of that field done that the other half would not do again: see decode.h. */
#include "pb/decode.h"

/* The field of the tag that begins with the octet in *tag and goes on at *at, behind which *at
 * moves; *tag becomes the whole of it. NULL: decode.c must look. */
static inline const sennit_field *bulk_field(struct decode_frame *f, const sennit_msg_desc *d,
                                             char **at, const char *end, uint32_t *whole)
{
    const sennit_field *field;
    char *p = *at;
    uint32_t tag = *whole;
    if (tag >= 0x80) {
        if (p == end || (uint8_t)*p >= 0x80)
            return NULL;
        tag = (tag & 0x7f) | (uint32_t)(uint8_t)*p++ << 7;
    }
    uint32_t index = (tag >> 3) - 1;
    *at = p;
    if (likely(index < d->n_dense)) {
        field = &d->fields[index];
        if (!field)
            __builtin_unreachable();
    } else {
        field = pb_decode_find(f, tag >> 3);
        if (!field)
            return NULL;
        f->last = field;
    }
    *whole = tag;
    return field;
}

#define BULK_RARE (SENNIT_FIELD_ONEOF | SENNIT_FIELD_REPEATED | SENNIT_FIELD_CLOSED)

/* As bulk_place, for fields that are not as plain. */
static __attribute__((noinline)) char *bulk_place_rare(struct decode *r, char *msg,
                                                       const sennit_field *field, size_t size)
{
    if (field->flags & SENNIT_FIELD_CLOSED)
        return NULL;
    if (field->flags & SENNIT_FIELD_ONEOF) {
        *(uint32_t *)(msg + field->presence) = field->number;
        return msg + field->offset;
    }
    struct pb_list *l = (struct pb_list *)(msg + field->offset);
    char *to = decode_list_next(r, l, size);
    l->len += to != NULL;
    return to;
}

/* Where the value of a field goes, marked as there. NULL: decode.c must look. */
static inline char *bulk_place(struct decode *r, char *msg, const sennit_field *field, size_t size)
{
    uint32_t flags = field->flags;
    char *to = msg + field->offset;
    if (unlikely(flags & (SENNIT_FIELD_HAS | BULK_RARE))) {
        if (flags & BULK_RARE)
            return bulk_place_rare(r, msg, field, size);
        pb_set_has(msg, field->presence);
    }
    if (!to)
        __builtin_unreachable(); /* which spares the callers a test */
    return to;
}

/* A length-delimited value begins at the result and has *n octets; NULL: truncated. */
static inline char *bulk_length(char *p, const char *end, uint64_t *n)
{
    struct decode_varint v = decode_varint_at(p, end);
    *n = v.value;
    return likely(v.end && v.value <= (uint64_t)(end - v.end)) ? v.end : NULL;
}

/* The end of the string at p; NULL: decode.c must look. */
static inline char *bulk_string(struct decode *r, char *p, const char *end, char *msg,
                                const sennit_field *field)
{
    uint64_t n;
    char *to;
    p = bulk_length(p, end, &n);
    if (unlikely(!p) || (field->flags & SENNIT_FIELD_UTF8 && !pb_utf8_fast(p, n)))
        return NULL;
    if (field->flags & SENNIT_FIELD_REPEATED) {
        struct pb_list *l = (struct pb_list *)(msg + field->offset);
        if (!(to = decode_list_next(r, l, sizeof(sennit_str))))
            return NULL;
        l->len++;
    } else {
        to = bulk_place(r, msg, field, sizeof(sennit_str));
    }
    *(sennit_str *)to = (sennit_str){ p, n };
    return p + n;
}

/* The struct that a sub-message goes into: a new one, or (merging) the one that is there. NULL:
 * decode.c must look. */
static inline char *bulk_sub(struct decode *r, struct decode_frame *f, const sennit_field *field)
{
    const sennit_msg_desc *d = field->type;
    char *at = f->msg + field->offset, *to;
    if (field->flags & SENNIT_FIELD_REPEATED) {
        struct pb_list *l = (struct pb_list *)at;
        to = decode_list_next(r, l, d->size);
        if (to) {
            pb_fill(d, to);
            l->len++;
            if (field->flags & SENNIT_FIELD_MAP)
                f->maps = f->todo = true;
        }
        return to;
    }
    if (unlikely(field->flags & SENNIT_FIELD_ONEOF))
        return NULL;
    if (field->flags & SENNIT_FIELD_HAS)
        pb_set_has(f->msg, field->presence);
    to = *(char **)at;
    if (unlikely(to && to != d->empty))
        return to;
    to = arena_alloc(r->a, d->size);
    if (to) {
        pb_fill(d, to);
        *(char **)at = to;
    }
    return to;
}

/* Goes into the sub-message at p; the octet where it begins, or NULL. */
static inline char *bulk_enter(struct decode *r, const sennit_field *field, char *p,
                               const char *end)
{
    struct decode_frame *f = r->top;
    uint64_t n;
    p = bulk_length(p, end, &n);
    if (unlikely(!p || f + 1 == r->brim))
        return NULL;
    f->last = field;
    char *to = bulk_sub(r, f, field);
    if (unlikely(!to))
        return NULL;
    decode_open(r, field->type, to, p + n, 0);
    return p;
}

/* Numbers, packed; NULL: something else, or an error. What was added stays added, so an error of
 * those is *result. */
static char *bulk_packed(struct decode *r, const sennit_field *field, char *p, uint32_t tag,
                         enum pb_result *result)
{
    struct decode_frame *f = r->top;
    uint64_t n;
    if ((tag & 7) != PB_LENGTH || !(field->flags & SENNIT_FIELD_REPEATED) ||
        pb_kind_wire[field->kind] == PB_LENGTH || pb_kind_wire[field->kind] == PB_START_GROUP)
        return NULL;
    p = bulk_length(p, f->end, &n);
    if (!p)
        return NULL;
    r->at = p;
    *result = pb_decode_packed(r, p + n, field, (struct pb_list *)(f->msg + field->offset));
    return *result == PB_OK ? p + n : NULL;
}

/* The message that goes on when one has ended: its parent, or further out, as far as nothing is to
 * be done about them. */
static inline struct decode_frame *bulk_leave(struct decode_frame *f, const char *at)
{
    while (at == f->end && !f->todo)
        f--;
    return f;
}

/* A number of n octets in the struct, its kind a constant; its end, or NULL: decode.c must look. */
static inline char *bulk_varint(struct decode *r, char *p, const char *end, uint32_t kind, size_t n,
                                char *msg, const sennit_field *field)
{
    struct decode_varint v = decode_varint_at(p, end);
    char *to;
    if (unlikely(!v.end) || !(to = bulk_place(r, msg, field, n)))
        return NULL;
    decode_store_varint(kind, to, v.value);
    return v.end;
}

static inline char *bulk_fixed(struct decode *r, char *p, const char *end, size_t n, char *msg,
                               const sennit_field *field)
{
    char *to;
    if ((size_t)(end - p) < n || !(to = bulk_place(r, msg, field, n)))
        return NULL;
    memcpy(to, p, n);
    return p + n;
}

/* Cases of pb_decode_bulk: kinds that are stored in the same way. */
#define BULK_VARINT(kind, n)                                                                       \
    if ((tag & 7) != PB_VARINT)                                                                    \
        goto packed;                                                                               \
    p = bulk_varint(r, p, end, SENNIT_KIND_##kind, n, msg, field);                                 \
    break
#define BULK_FIXED(wire, n)                                                                        \
    if ((tag & 7) != (wire))                                                                       \
        goto packed;                                                                               \
    p = bulk_fixed(r, p, end, n, msg, field);                                                      \
    break

/* The octet at `at` is in `tag`, and a NUL in its place, for a string may end there. */
enum pb_result pb_decode_bulk(struct decode *r)
{
    struct decode_frame *f = r->top;
    char *at = r->at, *msg = f->msg, *end = f->end;
    enum pb_result result = PB_OK;
    uint8_t first = 0;
    for (;;) {
        if (unlikely(at == end)) {
            f = bulk_leave(f, at);
            r->top = f;
            msg = f->msg, end = f->end;
            if (at == end)
                break;
        }
        uint32_t tag = first = (uint8_t)*at;
        char *p = at + 1;
        *at = 0;
        const sennit_field *field = bulk_field(f, f->d, &p, end, &tag);
        if (unlikely(!field))
            goto stop;
        switch (field->kind) {
        case SENNIT_KIND_STRING:
        case SENNIT_KIND_BYTES:
            p = (tag & 7) == PB_LENGTH ? bulk_string(r, p, end, msg, field) : NULL;
            break;
        case SENNIT_KIND_MESSAGE:
            p = (tag & 7) == PB_LENGTH ? bulk_enter(r, field, p, end) : NULL;
            f = r->top;
            msg = f->msg, end = f->end;
            break;
        case SENNIT_KIND_INT32:
        case SENNIT_KIND_UINT32:
        case SENNIT_KIND_ENUM:
            BULK_VARINT(INT32, 4);
        case SENNIT_KIND_INT64:
        case SENNIT_KIND_UINT64:
            BULK_VARINT(INT64, 8);
        case SENNIT_KIND_BOOL:
            BULK_VARINT(BOOL, 1);
        case SENNIT_KIND_SINT32:
            BULK_VARINT(SINT32, 4);
        case SENNIT_KIND_SINT64:
            BULK_VARINT(SINT64, 8);
        case SENNIT_KIND_FIXED32:
        case SENNIT_KIND_SFIXED32:
        case SENNIT_KIND_FLOAT:
            BULK_FIXED(PB_FIXED32, 4);
        case SENNIT_KIND_FIXED64:
        case SENNIT_KIND_SFIXED64:
        case SENNIT_KIND_DOUBLE:
            BULK_FIXED(PB_FIXED64, 8);
        default:
        packed:
            p = bulk_packed(r, field, p, tag, &result);
        }
        if (unlikely(!p))
            goto stop;
        at = p;
    }
    r->at = r->nul = at;
    return result;
stop:
    *at = (char)first;
    r->at = r->nul = at; /* whoever reads that octet next puts the NUL there again */
    return result;
}
