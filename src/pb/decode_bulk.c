/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * decode_bulk.c: the decoder's fast half: one loop over the octets, whose state is in registers,
 * goes through all fields that are plain and through sub-messages. A field costs one look into the
 * message's table and one jump by its kind. Anything else, and what is broken, goes to decode.c,
 * with nothing of that field done that it would not do again. */
#include "pb/decode.h"

/* What the loop knows of the innermost message. The compiler takes it apart into registers: all
 * that is handed its address is inlined. */
struct bulk {
    char *at, *msg, *end;
    const sennit_msg_desc *d;
    struct decode_frame *f;
};
#define BULK_INLINE static inline __attribute__((always_inline))

BULK_INLINE void bulk_load(struct bulk *b, struct decode_frame *f)
{
    b->f = f;
    b->d = f->d, b->msg = f->msg, b->end = f->end;
}

/* A field that is not among the dense ones; NULL: unknown. */
static __attribute__((noinline)) const sennit_field *bulk_find(struct decode_frame *f,
                                                               uint32_t number)
{
    const sennit_field *field = pb_decode_find(f, number);
    if (field)
        f->last = field;
    return field;
}

/* The field of the tag that begins with the octet in *tag and goes on at *at, behind which *at
 * moves; *tag becomes the whole of it. NULL: decode.c must look. */
BULK_INLINE const sennit_field *bulk_field(const struct bulk *b, char **at, uint32_t *tag)
{
    if (*tag >= 0x80) {
        if (*at == b->end || (uint8_t) * *at >= 0x80)
            return NULL;
        *tag = (*tag & 0x7f) | (uint32_t)(uint8_t) * (*at)++ << 7;
    }
    uint32_t index = (*tag >> 3) - 1;
    if (unlikely(index >= b->d->n_dense))
        return bulk_find(b->f, *tag >> 3);
    const sennit_field *field = &b->d->fields[index];
    if (!field)
        __builtin_unreachable();
    return field;
}

/* A number, or the length of a value; the octet behind it, or NULL. */
BULK_INLINE char *bulk_varint(char *p, const char *end, uint64_t *v)
{
    if (unlikely(p == end))
        return NULL;
    *v = (uint8_t)*p;
    if (likely(*v < 0x80))
        return p + 1;
    struct decode_varint more = pb_decode_long_varint(p, end);
    *v = more.value;
    return more.end;
}

#define BULK_RARE    (SENNIT_FIELD_ONEOF | SENNIT_FIELD_CLOSED | SENNIT_FIELD_REPEATED)
#define BULK_SPECIAL (SENNIT_FIELD_HAS | BULK_RARE)

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
BULK_INLINE char *bulk_place(struct decode *r, char *msg, const sennit_field *field, size_t size)
{
    uint32_t flags = field->flags;
    char *to = msg + field->offset;
    if (unlikely(flags & BULK_SPECIAL)) {
        if (flags & BULK_RARE)
            return bulk_place_rare(r, msg, field, size);
        pb_set_has(msg, field->presence);
    }
    if (!to)
        __builtin_unreachable(); /* which spares the callers a test */
    return to;
}

/* A field's value is done, up to p. The first octet of its tag gives way to a NUL, for a string may
 * end there. */
BULK_INLINE bool bulk_next(struct bulk *b, char *p)
{
    *b->at = 0;
    b->at = p;
    return true;
}

/* The struct that a sub-message goes into: a new one, or (merging) the one that is there. NULL:
 * decode.c must look. */
BULK_INLINE char *bulk_sub(struct decode *r, struct decode_frame *f, const sennit_field *field,
                           char *place)
{
    const sennit_msg_desc *d = field->type;
    char *to;
    if (field->flags & SENNIT_FIELD_REPEATED) {
        struct pb_list *l = (struct pb_list *)place;
        to = decode_list_next(r, l, d->size);
        if (to) {
            l->len++;
            if (field->flags & SENNIT_FIELD_MAP)
                f->maps = f->todo = true;
        }
    } else {
        if (unlikely(field->flags & SENNIT_FIELD_ONEOF))
            return NULL;
        if (field->flags & SENNIT_FIELD_HAS)
            pb_set_has(f->msg, field->presence);
        to = *(char **)place;
        if (unlikely(to && to != d->empty))
            return to;
        to = arena_alloc(r->a, d->size);
        if (to)
            *(char **)place = to;
    }
    if (likely(to))
        pb_fill(d, to);
    return to;
}

/* Goes into the sub-message at p; false: decode.c must look. */
BULK_INLINE bool bulk_enter(struct decode *r, struct bulk *b, const sennit_field *field, char *p)
{
    struct decode_frame *f = b->f;
    uint64_t n;
    p = bulk_varint(p, b->end, &n);
    if (unlikely(!p || n > (uint64_t)(b->end - p) || f + 1 == r->brim))
        return false;
    char *to = bulk_sub(r, f, field, b->msg + field->offset);
    if (unlikely(!to))
        return false;
    f->last = field;
    decode_open(++f, field->type, to, p + n, 0);
    b->f = f;
    b->msg = to, b->end = p + n;
    b->d = field->type;
    return bulk_next(b, p);
}

/* Each stores the value at p; false: decode.c must look. */
BULK_INLINE bool bulk_string(struct decode *r, struct bulk *b, const sennit_field *field, char *p)
{
    uint64_t n;
    char *to;
    p = bulk_varint(p, b->end, &n);
    if (unlikely(!p || n > (uint64_t)(b->end - p)) ||
        (field->flags & SENNIT_FIELD_UTF8 && !pb_utf8_fast(p, n)))
        return false;
    if (field->flags & SENNIT_FIELD_REPEATED) {
        struct pb_list *l = (struct pb_list *)(b->msg + field->offset);
        to = decode_list_next(r, l, sizeof(sennit_str));
        if (unlikely(!to))
            return false;
        l->len++;
    } else {
        to = bulk_place(r, b->msg, field, sizeof(sennit_str));
    }
    *(sennit_str *)to = (sennit_str){ p, n };
    return bulk_next(b, p + n);
}

BULK_INLINE bool bulk_number(struct decode *r, struct bulk *b, const sennit_field *field, char *p,
                             uint32_t kind, size_t size)
{
    uint64_t v;
    char *to;
    p = bulk_varint(p, b->end, &v);
    if (unlikely(!p) || !(to = bulk_place(r, b->msg, field, size)))
        return false;
    decode_store_varint(kind, to, v);
    return bulk_next(b, p);
}

BULK_INLINE bool bulk_fixed(struct decode *r, struct bulk *b, const sennit_field *field, char *p,
                            size_t size)
{
    char *to;
    if (unlikely((size_t)(b->end - p) < size) || !(to = bulk_place(r, b->msg, field, size)))
        return false;
    memcpy(to, p, size);
    return bulk_next(b, p + size);
}

/* Numbers, packed, behind the tag that ends at p; NULL: something else, or an error. What was added
 * stays added, so an error of those is the result of it all. */
static __attribute__((noinline)) char *bulk_packed(struct decode *r, struct decode_frame *f,
                                                   const sennit_field *field, char *p, uint32_t tag)
{
    uint64_t n;
    if ((tag & 7) != PB_LENGTH || !(field->flags & SENNIT_FIELD_REPEATED) ||
        !pb_kind_size[field->kind] || pb_kind_wire[field->kind] == PB_LENGTH)
        return NULL;
    p = bulk_varint(p, f->end, &n);
    if (!p || n > (uint64_t)(f->end - p))
        return NULL;
    r->top = f;
    r->at = p;
    r->failed = pb_decode_packed(r, p + n, field, (struct pb_list *)(f->msg + field->offset));
    return r->failed == PB_OK ? p + n : NULL;
}

/* Out of the messages that have ended, as far as nothing is to be done about them; false: there it
 * stands at an end. */
BULK_INLINE bool bulk_leave(struct bulk *b)
{
    struct decode_frame *f = b->f;
    while (b->at == f->end && !f->todo)
        f--;
    bulk_load(b, f);
    return b->at != b->end;
}

/* Cases of bulk_one: kinds that are stored in the same way. */
#define BULK_VARINT(kind, size)                                                                    \
    if (unlikely((tag & 7) != PB_VARINT))                                                          \
        break;                                                                                     \
    return bulk_number(r, b, field, p, SENNIT_KIND_##kind, size)
#define BULK_FIXED(wire, size)                                                                     \
    if (unlikely((tag & 7) != (wire)))                                                             \
        break;                                                                                     \
    return bulk_fixed(r, b, field, p, size)

/* One field; false: decode.c must look. */
BULK_INLINE bool bulk_one(struct decode *r, struct bulk *b)
{
    uint32_t tag = (uint8_t)*b->at;
    char *p = b->at + 1;
    const sennit_field *field = bulk_field(b, &p, &tag);
    if (unlikely(!field))
        return false;
    switch (field->kind) {
    case SENNIT_KIND_STRING:
    case SENNIT_KIND_BYTES:
        return likely((tag & 7) == PB_LENGTH) && bulk_string(r, b, field, p);
    case SENNIT_KIND_MESSAGE:
        return likely((tag & 7) == PB_LENGTH) && bulk_enter(r, b, field, p);
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
    case 0:
    case SENNIT_KIND_GROUP:
        return false;
    default:
        __builtin_unreachable(); /* which spares a comparison */
    }
    p = bulk_packed(r, b->f, field, p, tag);
    return p && bulk_next(b, p);
}

/* What the loop stopped at. */
static __attribute__((noinline)) enum pb_result bulk_stop(struct decode *r, struct decode_frame *f,
                                                          char *at)
{
    r->at = r->nul = at; /* whoever reads that octet next puts a NUL there */
    r->top = f;
    return r->failed == PB_OK ? pb_decode_rest(r) : r->failed;
}

/* Whether the root has ended, and nothing is left to do for it. */
BULK_INLINE bool bulk_is_done(const struct decode *r, const struct bulk *b)
{
    return b->at == b->end && b->f == r->frames && !b->f->maps && !(b->d->flags >> 16);
}

enum pb_result pb_decode_with(const sennit_msg_desc *d, void *msg, char *buf, size_t n,
                              struct sennit_arena *a, const sennit_wire_options *o)
{
    struct decode_frame frames[PB_FRAMES_INLINE];
    struct decode r;
    struct bulk b = { .at = buf };
    decode_begin(&r, frames, d, msg, buf, n, a, o);
    if (unlikely(n > LIMIT_PB_SIZE))
        return PB_TOO_LARGE;
    bulk_load(&b, frames);
    for (;;) {
        if (likely(b.at != b.end || bulk_leave(&b))) {
            if (likely(bulk_one(&r, &b)))
                continue;
        } else if (likely(bulk_is_done(&r, &b))) {
            *b.at = 0; /* if one is missing decode.c was asked, and has set r.nul */
            return likely(!r.missing) ? PB_OK : pb_decode_end(&r, PB_OK);
        }
        enum pb_result result = bulk_stop(&r, b.f, b.at);
        if (result != PB_OK || r.done)
            return pb_decode_end(&r, result);
        b.at = r.at;
        bulk_load(&b, r.top);
    }
}
