/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode_bulk.c: the encoder's fast half: one loop over the fields from the last to the first,
 * through sub-messages, whose state is in registers; one jump a field, by its kind. Anything else
 * goes to encode.c. */
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
    *p = (struct put){ w->at, f->msg, f->field, f->d->fields, f };
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

/* A repeated field that is no message, in front of `at`; NULL: w->result is set. */
static __attribute__((noinline)) char *put_list(struct encode *w, char *at, const char *msg,
                                                const sennit_field *field)
{
    const struct pb_list *l = (const struct pb_list *)(msg + field->offset);
    if (!l->data || !l->len)
        return at;
    w->at = at;
    pb_encode_list(w, field, l);
    return w->result == PB_OK ? w->at : NULL;
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
        char *at = put_list(w, p->at, p->msg, field);
        p->at = at ? at : p->at;
        return at ? PUT_DONE : PUT_STOPS;
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

/* Goes into the field's message, if there is one; false: encode.c must look, or an error. */
PUT_INLINE bool put_enter(struct encode *w, struct put *p, const sennit_field *field)
{
    struct encode_frame *f = p->f;
    uint32_t flags = field->flags;
    bool map = flags & SENNIT_FIELD_MAP;
    if (unlikely(flags & SENNIT_FIELD_REQUIRED || (map && w->o->deterministic) || f + 1 == w->brim))
        return false;
    const char *sub = flags & SENNIT_FIELD_REPEATED ? put_element(f, field) : put_single(f, field);
    if (!sub)
        return true;
    w->at = p->at;
    f->field = field + 1;
    bool good = encode_frame(w, f + 1, field->type, sub, map);
    put_load(p, w);
    return good;
}

/* In front of a message's fields: its length and tag; its parent goes on. false: it is the root, or
 * a group. */
PUT_INLINE bool put_close(struct encode *w, struct put *p)
{
    const struct encode_frame *f = p->f;
    if (unlikely(f == w->frames || f[-1].field[-1].kind == SENNIT_KIND_GROUP))
        return false;
    struct encode_frame *parent = p->f - 1;
    const sennit_field *field = parent->field - 1;
    size_t len = (size_t)(w->end - p->at) - f->mark;
    p->at = encode_tagged(p->at, field->number << 3 | PB_LENGTH, len);
    p->f = parent;
    p->msg = parent->msg, p->first = parent->d->fields;
    p->field = field->flags & SENNIT_FIELD_REPEATED ? field + 1 : field;
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

PUT_INLINE bool put_value(struct encode *w, struct put *p, const sennit_field *field)
{
    switch (field->kind) {
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

/* The next field, or the front of a message; false: encode.c must look, it is the end, or an error.
 */
PUT_INLINE bool put_one(struct encode *w, struct put *p)
{
    if (unlikely(!put_room(w, p)))
        return false;
    if (p->field == p->first)
        return put_close(w, p);
    if (likely(put_value(w, p, --p->field)))
        return true;
    p->field++;
    return false;
}

enum pb_result pb_encode_with(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                              size_t headroom, const sennit_wire_options *o, sennit_str *out)
{
    struct encode_frame frames[PB_FRAMES_INLINE];
    struct encode w;
    struct put p;
    encode_begin(&w, frames, d, msg, a, headroom, o);
    while (likely(w.result == PB_OK)) {
        put_load(&p, &w);
        while (put_one(&w, &p))
            ;
        put_save(&p, &w);
        if (likely(w.result != PB_OK || encode_is_done(&w)))
            break;
        pb_encode_rest(&w);
    }
    return encode_end(&w, out);
}
