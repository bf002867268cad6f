/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode_bulk.c: the encoder's fast loop over the fields from the last to the first, through
 * sub-messages, whose state is in registers; one jump a plain field, by how it is written, two for
 * others, by kind. Anything else goes to encode.c. */
#include "pb/encode.h"

/* What the loop knows of the innermost message; the fields in front of `field` are still to be
 * written. The compiler takes it apart into registers: all that is handed its address is inlined.
 */
struct put {
    char *at;
    const char *msg;
    const sennit_field *field, *first;
    struct encode_frame *f;
};
#define PUT_INLINE static inline __attribute__((always_inline))

PUT_INLINE void put_load(struct put *p, const struct encode *w)
{
    struct encode_frame *f = w->top;
    *p = (struct put){ w->at, f->msg, f->field, f->first, f };
}
PUT_INLINE void put_save(const struct put *p, struct encode *w)
{
    w->at = p->at;
    w->top = p->f;
    p->f->field = p->field;
}

#define PUT_PRESENCE (SENNIT_FIELD_HAS | SENNIT_FIELD_ONEOF)

/* Whether a field with presence is set. */
static inline bool put_is_set(const char *msg, const sennit_field *field)
{
    return field->flags & SENNIT_FIELD_HAS ? pb_has(msg, field->presence)
                                           : encode_load32(msg + field->presence) == field->number;
}

/* A repeated field that is no message; false: an error. */
PUT_INLINE bool put_list(struct encode *w, struct put *p, const sennit_field *field,
                         char *put(struct encode *, char *, const sennit_field *,
                                   const struct pb_list *))
{
    const struct pb_list *l = (const struct pb_list *)(p->msg + field->offset);
    if (!l->data || !l->len)
        return true;
    char *at = put(w, p->at, field, l);
    p->at = at ? at : p->at;
    return at;
}

enum put_how { PUT_GOES, PUT_SKIPPED, PUT_DONE, PUT_STOPS };

/* What becomes of a singular number or string whose value, or length, is zero or not. Lists are
 * written here. */
PUT_INLINE enum put_how put_how(struct encode *w, struct put *p, const sennit_field *field,
                                uint64_t value)
{
    uint32_t flags = field->flags;
    if (likely(!(flags & (PUT_PRESENCE | SENNIT_FIELD_REPEATED))))
        return value || p->f->map ? PUT_GOES : PUT_SKIPPED;
    if (flags & SENNIT_FIELD_REPEATED) {
        return put_list(w, p, field, pb_encode_list) ? PUT_DONE : PUT_STOPS;
    }
    if (put_is_set(p->msg, field))
        return PUT_GOES;
    return flags & SENNIT_FIELD_REQUIRED ? PUT_STOPS : PUT_SKIPPED;
}

/* Each writes a field; false: encode.c must look, or an error. kind is a constant. */
PUT_INLINE bool put_number(struct encode *w, struct put *p, const sennit_field *field,
                           uint32_t kind)
{
    uint64_t bits = encode_load(kind, p->msg + field->offset);
    enum put_how how = put_how(w, p, field, bits);
    if (how == PUT_GOES)
        p->at = encode_tagged(p->at, field->number << 3, bits);
    return how != PUT_STOPS;
}

PUT_INLINE bool put_fixed(struct encode *w, struct put *p, const sennit_field *field, size_t n)
{
    const char *from = p->msg + field->offset;
    uint64_t bits = n == 8 ? encode_load64(from) : encode_load32(from);
    enum put_how how = put_how(w, p, field, bits);
    if (how == PUT_GOES) {
        memcpy(p->at - n, &bits, n);
        p->at = encode_tag(p->at - n, field->number, n == 8 ? PB_FIXED64 : PB_FIXED32);
    }
    return how != PUT_STOPS;
}

PUT_INLINE bool put_string(struct encode *w, struct put *p, const sennit_field *field)
{
    sennit_str s;
    memcpy(&s, p->msg + field->offset, sizeof s);
    if (unlikely(!s.data))
        s.len = 0;
    enum put_how how = put_how(w, p, field, s.len);
    if (how != PUT_GOES)
        return how != PUT_STOPS;
    char *at = encode_string(w, p->at, field, s);
    p->at = likely(at) ? at : p->at;
    return at;
}

/* The message in a singular field; NULL: it is absent. */
PUT_INLINE const char *put_single(const struct encode_frame *f, const sennit_field *field)
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
PUT_INLINE const char *put_element(struct encode_frame *f, const sennit_field *field)
{
    const struct pb_list *l = (const struct pb_list *)(f->msg + field->offset);
    if (!f->started) {
        f->elem = l->data ? l->len : 0;
        f->order = NULL;
    }
    f->started = f->elem != 0;
    return f->elem ? l->data + --f->elem * ((const sennit_msg_desc *)field->type)->size : NULL;
}

/* The message becomes the innermost, at f; its unknown fields come first, for they stand last.
 * false: an error. */
PUT_INLINE bool put_open(struct encode *w, struct put *p, struct encode_frame *f,
                         const sennit_msg_desc *d, const char *msg)
{
    p->f = f;
    p->msg = f->msg = msg;
    p->first = f->first = d->fields;
    p->field = encode_last(d);
    f->started = false;
    f->mark = (size_t)(w->end - p->at);
    const sennit_str *unknown = (const sennit_str *)(msg + d->unknown);
    if (likely(!unknown->len))
        return true;
    w->at = p->at;
    bool good = pb_encode_octets(w, *unknown);
    p->at = w->at;
    return good;
}

/* Goes into the field's message, if there is one; false: encode.c must look, or an error. */
PUT_INLINE bool put_enter(struct encode *w, struct put *p, const sennit_field *field)
{
    struct encode_frame *f = p->f;
    uint32_t flags = field->flags;
    bool map = flags & SENNIT_FIELD_MAP;
    if (unlikely(flags & SENNIT_FIELD_REQUIRED || (map && w->how->o.deterministic) ||
                 f + 1 == w->brim))
        return false;
    const char *sub = flags & SENNIT_FIELD_REPEATED ? put_element(f, field) : put_single(f, field);
    if (!sub)
        return true;
    f->field = field + 1;
    f[1].map = map;
    return put_open(w, p, f + 1, field->type, sub);
}

/* The same of a plain field: of a singular one, and of the last of a list. */
PUT_INLINE bool put_enter_plain(struct encode *w, struct put *p, const sennit_field *field,
                                bool list)
{
    struct encode_frame *f = p->f;
    const sennit_msg_desc *d = field->type;
    const char *sub, *from = p->msg + field->offset;
    memcpy(&sub, from, sizeof sub);
    size_t n = list ? ((const struct pb_list *)from)->len : 1;
    if (!sub || !n || (!list && sub == d->empty && !pb_has(p->msg, field->presence)))
        return true;
    if (unlikely(f + 1 == w->brim))
        return false;
    if (list) {
        f->started = true;
        f->elem = n - 1;
        f->order = NULL;
        sub += (n - 1) * d->size;
    }
    f->field = field + 1;
    f[1].map = false;
    return put_open(w, p, f + 1, d, sub);
}

/* In front of a message's fields: its length and tag. Then comes the element in front of it, or its
 * parent goes on. false: it is the root, or a group, or an error. */
PUT_INLINE bool put_close(struct encode *w, struct put *p)
{
    struct encode_frame *f = p->f, *parent = f - 1;
    if (unlikely(f == w->frames))
        return false;
    const sennit_field *field = parent->field - 1;
    size_t len = (size_t)(w->end - p->at) - f->mark;
    if (likely(pb_plain(field)))
        p->at = encode_plain_number(p->at, pb_tag(field), len, pb_encode_long_varint);
    else if (pb_kind(field) == SENNIT_KIND_GROUP)
        return false;
    else
        p->at = encode_tagged(p->at, field->number << 3 | PB_LENGTH, len);
    if (field->flags & SENNIT_FIELD_REPEATED) {
        if (parent->elem && !parent->order) {
            const sennit_msg_desc *d = field->type;
            parent->elem--;
            return put_open(w, p, f, d, p->msg - d->size);
        }
        field += parent->elem != 0;
        parent->started = parent->elem != 0;
    }
    p->f = parent;
    p->msg = parent->msg, p->first = parent->first;
    p->field = field;
    return true;
}

/* More room, if there is little; false: w->result is set. */
PUT_INLINE bool put_room(struct encode *w, struct put *p)
{
    if (likely((uintptr_t)p->at >= w->low))
        return true;
    w->at = p->at;
    bool good = pb_encode_grow(w, ENCODE_FIELD);
    p->at = w->at;
    return good;
}

/* By kind and flags; false: encode.c must look, or an error. */
PUT_INLINE bool put_other(struct encode *w, struct put *p, const sennit_field *field)
{
    switch (pb_kind(field)) {
    case SENNIT_KIND_STRING:
    case SENNIT_KIND_BYTES:
        return put_string(w, p, field);
    case SENNIT_KIND_MESSAGE:
        return put_enter(w, p, field);
    case SENNIT_KIND_INT32:
    case SENNIT_KIND_ENUM:
        return put_number(w, p, field, SENNIT_KIND_INT32);
    case SENNIT_KIND_UINT32:
        return put_number(w, p, field, SENNIT_KIND_UINT32);
    case SENNIT_KIND_INT64:
    case SENNIT_KIND_UINT64:
        return put_number(w, p, field, SENNIT_KIND_INT64);
    case SENNIT_KIND_BOOL:
        return put_number(w, p, field, SENNIT_KIND_BOOL);
    case SENNIT_KIND_SINT32:
        return put_number(w, p, field, SENNIT_KIND_SINT32);
    case SENNIT_KIND_SINT64:
        return put_number(w, p, field, SENNIT_KIND_SINT64);
    case SENNIT_KIND_FIXED32:
    case SENNIT_KIND_SFIXED32:
    case SENNIT_KIND_FLOAT:
        return put_fixed(w, p, field, 4);
    case SENNIT_KIND_FIXED64:
    case SENNIT_KIND_SFIXED64:
    case SENNIT_KIND_DOUBLE:
        return put_fixed(w, p, field, 8);
    case 0:
    case SENNIT_KIND_GROUP:
        return false;
    default:
        __builtin_unreachable(); /* which spares a comparison */
    }
}

PUT_INLINE bool put_value(struct encode *w, struct put *p, const sennit_field *field)
{
    char *at = encode_plain(p->at, p->msg, field, w->low);
    if (likely(encode_is_front(at))) {
        p->at = at;
        return true;
    }
    switch ((uintptr_t)at) {
    case (uintptr_t)ENCODE_MESSAGE:
        return put_enter_plain(w, p, field, false);
    case (uintptr_t)ENCODE_MESSAGES:
        return put_enter_plain(w, p, field, true);
    case (uintptr_t)ENCODE_STRINGS:
        return put_list(w, p, field, pb_encode_strings);
    case (uintptr_t)ENCODE_PACKED:
        return put_list(w, p, field, pb_encode_packed);
    default:
        return put_other(w, p, field);
    }
}

/* The next field, or the front of a message; false: encode.c must look, it is the end, or an error.
 */
PUT_INLINE bool put_one(struct encode *w, struct put *p)
{
    if (unlikely(!put_room(w, p)))
        return false;
    if (p->field == p->first)
        return put_close(w, p);
    p->field--;
    __asm__("" : "+r"(p->field)); /* or the compiler keeps the former, too, at a move a field */
    if (likely(put_value(w, p, p->field)))
        return true;
    p->field++;
    return false;
}

sennit_str pb_encode_bulk(struct sennit_arena *a, const sennit_msg_desc *d, const void *msg,
                          const struct pb_encode_how *how, char *at, size_t n)
{
    struct encode_frame frames[PB_FRAMES_INLINE];
    struct encode w;
    struct put p;
    encode_begin(&w, frames, a, d, msg, how, at, n);
    while (likely(w.result == PB_OK)) {
        put_load(&p, &w);
        while (put_one(&w, &p))
            ;
        put_save(&p, &w);
        if (likely(w.result != PB_OK || encode_is_done(&w)))
            break;
        pb_encode_rest(&w);
    }
    return encode_end(&w);
}
