/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode_bulk.c: the encoder's fast half: one loop over the fields from the last to the first,
 * through sub-messages, whose state is in registers; one jump a field, by its kind. */
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
    if (v < 0x4000) {
        uint16_t two = (uint16_t)((v & 0x7f) | 0x80 | v >> 7 << 8);
        memcpy(at - 2, &two, 2);
        return at - 2;
    }
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

typedef uint64_t put_pair __attribute__((vector_size(16)));
/* The last sixteen first: those before them may overlap them. */
bool pb_encode_copy(char *to, const char *from, size_t n)
{
    put_pair all, two;
    memcpy(&all, from + n - 16, 16);
    memcpy(to + n - 16, &all, 16);
    for (size_t i = 0; i + 16 < n; i += 16) {
        memcpy(&two, from + i, 16);
        memcpy(to + i, &two, 16);
        all |= two;
    }
    return ((all[0] | all[1]) & UINT64_C(0x8080808080808080)) == 0;
}

#define PUT_PRESENCE (SENNIT_FIELD_HAS | SENNIT_FIELD_ONEOF)
#define PUT_RARE     (SENNIT_FIELD_REPEATED | SENNIT_FIELD_REQUIRED)

/* Whether a field with presence is set. */
static inline bool put_is_set(const char *msg, const sennit_field *field)
{
    return field->flags & SENNIT_FIELD_HAS ? pb_has(msg, field->presence)
                                           : encode_load32(msg + field->presence) == field->number;
}

/* Whether a singular number or string goes out; map: if its value, or length, is zero, too. */
static inline bool put_goes(const char *msg, const sennit_field *field, uint64_t map,
                            uint64_t value)
{
    if (unlikely(field->flags & PUT_PRESENCE))
        return put_is_set(msg, field);
    return (value | map) != 0;
}

/* kind is a constant. */
static inline char *put_number(char *at, const char *msg, const sennit_field *field, uint64_t map,
                               uint32_t kind)
{
    uint64_t bits = encode_load(kind, msg + field->offset);
    return put_goes(msg, field, map, bits) ? encode_tagged(at, field->number << 3, bits) : at;
}

static inline char *put_fixed(char *at, const char *msg, const sennit_field *field, uint64_t map,
                              size_t n)
{
    const char *from = msg + field->offset;
    uint64_t bits = n == 8 ? encode_load64(from) : encode_load32(from);
    if (!put_goes(msg, field, map, bits))
        return at;
    memcpy(at - n, &bits, n);
    return encode_tag(at - n, field->number, n == 8 ? PB_FIXED64 : PB_FIXED32);
}

/* NULL: an error. */
static inline char *put_string(struct encode *w, char *at, const char *msg,
                               const sennit_field *field, uint64_t map)
{
    sennit_str s;
    memcpy(&s, msg + field->offset, sizeof s);
    s.len = s.data ? s.len : 0;
    return put_goes(msg, field, map, s.len) ? encode_string(w, at, field, s) : at;
}

/* A repeated field that is no message; NULL: encode.c must look, or an error. */
static inline char *put_list(struct encode *w, char *at, const char *msg, const sennit_field *field)
{
    const struct pb_list *l = (const struct pb_list *)(msg + field->offset);
    if (unlikely(!(field->flags & SENNIT_FIELD_REPEATED) || field->kind == SENNIT_KIND_GROUP))
        return NULL;
    if (!l->data || !l->len)
        return at;
    w->at = at;
    pb_encode_list(w, field, l);
    return w->result == PB_OK ? w->at : NULL;
}

/* The message in a singular field; NULL: it is absent. */
static inline const char *put_single(const struct encode_frame *f, const sennit_field *field)
{
    const sennit_msg_desc *d = field->type;
    const char *sub;
    memcpy(&sub, f->msg + field->offset, sizeof sub);
    if (field->flags & SENNIT_FIELD_ONEOF ? put_is_set(f->msg, field) : f->map)
        return sub ? sub : d->empty;
    if (field->flags & SENNIT_FIELD_ONEOF || !sub)
        return NULL;
    bool own = sub != d->empty;
    return own || (field->flags & SENNIT_FIELD_HAS && pb_has(f->msg, field->presence)) ? sub : NULL;
}

/* Of a repeated field the element to write next; NULL: no more. */
static inline const char *put_element(struct encode_frame *f, const sennit_field *field)
{
    const struct pb_list *l = (const struct pb_list *)(f->msg + field->offset);
    if (!f->started) {
        f->elem = l->data ? l->len : 0;
        f->order = NULL;
    }
    f->started = f->elem != 0;
    return f->elem ? l->data + --f->elem * ((const sennit_msg_desc *)field->type)->size : NULL;
}

/* In front of a message's fields: its length and tag; its parent goes on. NULL: it is the root, or
 * a group. */
static inline char *put_close(struct encode *w, char *at)
{
    const struct encode_frame *f = w->top;
    if (unlikely(f == w->frames || f[-1].field[-1].kind == SENNIT_KIND_GROUP))
        return NULL;
    const sennit_field *field = f[-1].field - 1;
    w->top--;
    if (!(field->flags & SENNIT_FIELD_REPEATED))
        w->top->field = field;
    size_t len = (size_t)(w->end - at) - f->mark;
    return encode_tagged(at, field->number << 3 | PB_LENGTH, len);
}

/* Goes into the field's message, if there is one; the front. NULL: encode.c must look, or an
 * error. */
static inline char *put_enter(struct encode *w, char *at, const sennit_field *field)
{
    struct encode_frame *f = w->top;
    uint32_t flags = field->flags;
    bool map = flags & SENNIT_FIELD_MAP;
    if (unlikely(flags & SENNIT_FIELD_REQUIRED || (map && w->o->deterministic)))
        return NULL;
    const char *sub = flags & SENNIT_FIELD_REPEATED ? put_element(f, field) : put_single(f, field);
    f->field = field;
    if (!sub)
        return at;
    w->at = at;
    f->field = field + 1;
    return encode_push(w, field->type, sub, map) ? w->at : NULL;
}

/* More room, if there is little; NULL: w->result is set. */
static inline char *put_room(struct encode *w, char *at)
{
    if (likely((size_t)(at - w->start) >= ENCODE_FIELD))
        return at;
    w->at = at;
    return pb_encode_grow(w, ENCODE_FIELD) ? w->at : NULL;
}

/* A case of pb_encode_bulk, for kinds that go out in the same way. */
#define PUT(call)                                                                                  \
    front = call;                                                                                  \
    break
#define PUT_NUMBER(kind) PUT(put_number(at, msg, field, map, SENNIT_KIND_##kind))
#define PUT_FIXED(n)     PUT(put_fixed(at, msg, field, map, n))

/* What is in registers of the message on top. */
#define PUT_TOP                                                                                    \
    first = w->top->d->fields, field = w->top->field, msg = w->top->msg, map = w->top->map

/* While it goes, the field of w->top is in `field`. */
void pb_encode_bulk(struct encode *w)
{
    const sennit_field *first, *field;
    const char *msg;
    uint64_t map;
    char *at = w->at, *front;
    PUT_TOP;
    for (;;) {
        at = put_room(w, at);
        if (unlikely(!at))
            return;
        if (field == first) {
            front = put_close(w, at);
            if (!front)
                break;
            at = front;
            PUT_TOP;
            continue;
        }
        uint32_t kind = (--field)->kind;
        if (unlikely(field->flags & PUT_RARE) && kind != SENNIT_KIND_MESSAGE)
            kind = 0;
        switch (kind) {
        case 0:
            PUT(put_list(w, at, msg, field));
        case SENNIT_KIND_STRING:
        case SENNIT_KIND_BYTES:
            PUT(put_string(w, at, msg, field, map));
        case SENNIT_KIND_MESSAGE:
            front = put_enter(w, at, field);
            if (unlikely(!front))
                break;
            at = front;
            PUT_TOP;
            continue;
        case SENNIT_KIND_INT32:
        case SENNIT_KIND_ENUM:
            PUT_NUMBER(INT32);
        case SENNIT_KIND_UINT32:
            PUT_NUMBER(UINT32);
        case SENNIT_KIND_INT64:
        case SENNIT_KIND_UINT64:
            PUT_NUMBER(INT64);
        case SENNIT_KIND_BOOL:
            PUT_NUMBER(BOOL);
        case SENNIT_KIND_SINT32:
            PUT_NUMBER(SINT32);
        case SENNIT_KIND_SINT64:
            PUT_NUMBER(SINT64);
        case SENNIT_KIND_FIXED32:
        case SENNIT_KIND_SFIXED32:
        case SENNIT_KIND_FLOAT:
            PUT_FIXED(4);
        case SENNIT_KIND_FIXED64:
        case SENNIT_KIND_SFIXED64:
        case SENNIT_KIND_DOUBLE:
            PUT_FIXED(8);
        default:
            front = NULL;
        }
        if (unlikely(!front)) {
            field++;
            break;
        }
        at = front;
    }
    w->at = at;
    w->top->field = field;
}
