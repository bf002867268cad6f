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

/* A tag of two octets at at[-1], behind which *at moves: its number and wire type; octets become
 * what it is on the wire. 0: decode.c must look. */
BULK_INLINE uint32_t bulk_long_tag(const struct bulk *b, char **at, uint32_t *octets)
{
    if (*at == b->end || (uint8_t) * *at >= 0x80)
        return 0;
    uint32_t second = (uint8_t) * (*at)++;
    *octets |= second << 8;
    return (*octets & 0x7f) | second << 7;
}

/* The field of the tag, or NULL: decode.c must look. */
BULK_INLINE const sennit_field *bulk_field(const struct bulk *b, uint32_t tag)
{
    uint32_t index = (tag >> 3) - 1;
    if (unlikely(index >= b->d->n_dense))
        return bulk_find(b->f, tag >> 3);
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
                           uint32_t flags, char *place)
{
    const sennit_msg_desc *d = field->type;
    char *to;
    if (flags & SENNIT_FIELD_REPEATED) {
        struct pb_list *l = (struct pb_list *)place;
        to = decode_list_next(r, l, d->size);
        if (to) {
            l->len++;
            if (flags & SENNIT_FIELD_MAP)
                f->maps = f->todo = true;
        }
    } else {
        if (unlikely(flags & SENNIT_FIELD_ONEOF))
            return NULL;
        if (flags & SENNIT_FIELD_HAS)
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

/* Goes into the sub-message at p; false: decode.c must look. flags are the field's, or those of
 * them that are known and matter. */
BULK_INLINE bool bulk_enter(struct decode *r, struct bulk *b, const sennit_field *field,
                            uint32_t flags, char *p)
{
    struct decode_frame *f = b->f;
    uint64_t n;
    p = bulk_varint(p, b->end, &n);
    if (unlikely(!p || n > (uint64_t)(b->end - p) || f + 1 == r->brim))
        return false;
    char *to = bulk_sub(r, f, field, flags, b->msg + field->offset);
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
BULK_INLINE bool bulk_string(struct decode *r, struct bulk *b, const sennit_field *field,
                             uint32_t flags, char *p)
{
    uint64_t n;
    char *to;
    p = bulk_varint(p, b->end, &n);
    if (unlikely(!p || n > (uint64_t)(b->end - p)) ||
        (field->flags & SENNIT_FIELD_UTF8 && !pb_utf8_fast(p, n)))
        return false;
    if (flags & SENNIT_FIELD_REPEATED) {
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
        !pb_kind_size[pb_kind(field)] || pb_kind_wire[pb_kind(field)] == PB_LENGTH)
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

/* A field by its kind and flags; false: decode.c must look. */
BULK_INLINE bool bulk_other(struct decode *r, struct bulk *b, const sennit_field *field, char *p,
                            uint32_t tag)
{
    switch (pb_kind(field)) {
    case SENNIT_KIND_STRING:
    case SENNIT_KIND_BYTES:
        return likely((tag & 7) == PB_LENGTH) && bulk_string(r, b, field, field->flags, p);
    case SENNIT_KIND_MESSAGE:
        return likely((tag & 7) == PB_LENGTH) && bulk_enter(r, b, field, field->flags, p);
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

/* One field; false: decode.c must look. */
BULK_INLINE bool bulk_one(struct decode *r, struct bulk *b)
{
    uint32_t octets = (uint8_t)*b->at, tag = octets;
    char *p = b->at + 1;
    if (unlikely(tag >= 0x80) && !(tag = bulk_long_tag(b, &p, &octets)))
        return false;
    const sennit_field *field = bulk_field(b, tag);
    if (unlikely(!field))
        return false;
    char *next = DECODE_OTHER;
    if (likely(octets == pb_tag(field)))
        next = decode_plain(field, b->msg, p, b->end, pb_decode_long_varint);
    if (likely(decode_is_behind(next)))
        return bulk_next(b, next);
    switch ((uintptr_t)next) {
    case (uintptr_t)DECODE_MESSAGE:
        return bulk_enter(r, b, field, SENNIT_FIELD_HAS, p);
    case (uintptr_t)DECODE_MESSAGES:
        return bulk_enter(r, b, field, SENNIT_FIELD_REPEATED, p);
    case (uintptr_t)DECODE_STRINGS:
        return bulk_string(r, b, field, SENNIT_FIELD_REPEATED, p);
    case (uintptr_t)DECODE_PACKED:
        p = bulk_packed(r, b->f, field, p, tag);
        return p && bulk_next(b, p);
    default:
        return bulk_other(r, b, field, p, tag);
    }
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

enum pb_result pb_decode_bulk(struct sennit_arena *a, const sennit_msg_desc *d, char *at, size_t n,
                              const sennit_wire_options *o, void *msg)
{
    struct decode_frame frames[PB_FRAMES_INLINE];
    struct decode r;
    struct bulk b = { .at = at };
    decode_begin(&r, frames, d, msg, at, n, a, o);
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
