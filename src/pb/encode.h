/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode.h: what the two halves of the encoder share: encode.c, which can do all, and
 * encode_bulk.c, which does what is plain, fast, and asks the other for the rest. The state belongs
 * to one call of pb_encode_with and lies on its stack. */
#ifndef SENNIT_PB_ENCODE_H
#define SENNIT_PB_ENCODE_H

#include "pb/pb_private.h"

#define ENCODE_FIRST 256u /* octets of the first block of its own */
#define ENCODE_FIELD 32u  /* room for a number or length, a tag, and eight octets in front */

struct encode_frame {
    const sennit_msg_desc *d;
    const char *msg;
    const sennit_field *field; /* those in front of it are still to be written */
    bool map;                  /* an entry: key and value always go out */
    bool started;              /* the repeated field's elem is set */
    size_t elem;           /* elements [0, elem) of the current repeated field are to be written */
    const uint32_t *order; /* of a map by its keys; NULL: as it is */
    size_t mark;           /* octets written before this message */
};
struct encode {
    char *at, *start, *end; /* written: [at, end); free: [start, at), behind the headroom */
    uintptr_t low;          /* from there on there is room for ENCODE_FIELD in front */
    bool tail;              /* [start, end) is the tail of the arena's block, not yet taken */
    struct sennit_arena *a;
    size_t headroom;
    const sennit_wire_options *o;
    struct encode_frame *top, *frames, *brim; /* open messages; brim: no frame here, or too deep */
    size_t room;
    enum pb_result result;
};

/* What the fast half stops at: the field in front of w->top->field, or the end of a message that is
 * not the root. */
void pb_encode_rest(struct encode *w);

/* Takes a new block that has room for n more octets in front; false: the result is set. */
bool pb_encode_grow(struct encode *w, size_t n);
/* The elements of a repeated field that is no message. */
void pb_encode_list(struct encode *w, const sennit_field *f, const struct pb_list *l);
bool pb_encode_octets(struct encode *w, sennit_str s);

static inline size_t encode_written(const struct encode *w) { return (size_t)(w->end - w->at); }

static inline bool encode_room(struct encode *w, size_t n)
{
    return likely((size_t)(w->at - w->start) >= n) || pb_encode_grow(w, n);
}

static inline void encode_free_from(struct encode *w, char *start)
{
    w->start = start;
    w->low = (uintptr_t)start + ENCODE_FIELD;
}

/* The frame of a message: its unknown fields come first, for they stand last. false: w->result is
 * set. */
static inline bool encode_frame(struct encode *w, struct encode_frame *f, const sennit_msg_desc *d,
                                const void *msg, bool map)
{
    w->top = f;
    f->d = d, f->msg = msg;
    f->field = d->n_fields ? d->fields + d->n_fields : d->fields; /* which then is NULL */
    f->map = map, f->started = false;
    f->mark = encode_written(w);
    const sennit_str *unknown = (const sennit_str *)(f->msg + d->unknown);
    return likely(!unknown->len) || pb_encode_octets(w, *unknown);
}

/* The root is on top, in memory at the end of the arena's block, or in new memory. w->result says
 * whether it went well. */
static inline void encode_begin(struct encode *w, struct encode_frame *root,
                                const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                                size_t headroom, const sennit_wire_options *o)
{
    w->a = a;
    w->headroom = headroom;
    w->o = o;
    w->room = PB_FRAMES_INLINE;
    w->frames = root;
    w->brim = root + pb_depth_inline(o);
    w->result = PB_OK;
    w->tail = !a->shared && (size_t)(a->end - a->at) > headroom + 2 * ENCODE_FIELD;
    if (likely(w->tail)) {
        encode_free_from(w, a->at + headroom);
        w->at = w->end = a->end - 1;
        *w->end = 0;
    } else {
        w->at = w->end = NULL;
        encode_free_from(w, NULL);
        if (!pb_encode_grow(w, ENCODE_FIELD))
            return;
    }
    encode_frame(w, root, d, msg, false);
}

/* Of the arena's block what is written is taken. */
static inline void encode_take(struct encode *w)
{
    if (w->tail)
        w->a->end = w->a->at + ((size_t)(w->at - w->headroom - w->a->at) & ~(size_t)7);
}

/* After the last field, or an error: the octets become the arena's own. */
static inline enum pb_result encode_end(struct encode *w, sennit_str *out)
{
    if (unlikely(w->result == PB_OK && encode_written(w) > LIMIT_PB_SIZE))
        w->result = PB_TOO_LARGE;
    if (unlikely(w->result != PB_OK)) {
        *out = (sennit_str){ "", 0 };
        return w->result;
    }
    encode_take(w);
    *out = (sennit_str){ w->at, encode_written(w) };
    return PB_OK;
}

static inline bool encode_is_done(const struct encode *w)
{
    return w->top == w->frames && w->top->field == w->top->d->fields;
}

/* -- numbers. All are written in front of `at`, where there is ENCODE_FIELD; the new front ------
 */

/* Of 0x80 and more, below 0x4000. */
static inline char *encode_two(char *at, uint64_t v)
{
    uint16_t two = (uint16_t)((v & 0x7f) | 0x80 | v >> 7 << 8);
    memcpy(at - 2, &two, 2);
    return at - 2;
}
char *pb_encode_long_varint(char *at, uint64_t v);
static inline char *encode_varint(char *at, uint64_t v)
{
    if (likely(v < 0x80)) {
        *--at = (char)v;
        return at;
    }
    return pb_encode_long_varint(at, v);
}

/* A tag in front of a number. Mostly either has one octet. */
char *pb_encode_long_tagged(char *at, uint32_t tag, uint64_t v);
static inline char *encode_tagged(char *at, uint32_t tag, uint64_t v)
{
    if (likely((tag | v) < 0x80)) {
        uint16_t both = (uint16_t)(tag | v << 8);
        memcpy(at - 2, &both, 2);
        return at - 2;
    }
    return pb_encode_long_tagged(at, tag, v);
}

static inline char *encode_tag(char *at, uint32_t number, uint32_t wire)
{
    return encode_varint(at, (uint64_t)number << 3 | wire);
}

static inline uint32_t encode_load32(const char *from)
{
    uint32_t v;
    memcpy(&v, from, 4);
    return v;
}

static inline uint64_t encode_load64(const char *from)
{
    uint64_t v;
    memcpy(&v, from, 8);
    return v;
}

/* The bits that a number has in its struct, as they go on the wire. */
static inline uint64_t encode_load(uint32_t kind, const char *from)
{
    switch (kind) {
    case SENNIT_KIND_BOOL:
        return *(const uint8_t *)from != 0;
    case SENNIT_KIND_INT32:
    case SENNIT_KIND_ENUM:
        return (uint64_t)(int64_t)(int32_t)encode_load32(from);
    case SENNIT_KIND_SINT32: {
        uint32_t v = encode_load32(from);
        return v << 1 ^ (0 - (v >> 31));
    }
    case SENNIT_KIND_UINT32:
    case SENNIT_KIND_FIXED32:
    case SENNIT_KIND_SFIXED32:
    case SENNIT_KIND_FLOAT:
        return encode_load32(from);
    case SENNIT_KIND_SINT64: {
        uint64_t v = encode_load64(from);
        return v << 1 ^ (0 - (v >> 63));
    }
    default:
        return encode_load64(from);
    }
}

/* -- strings ---------------------------------------------------------------------------------- */

/* Both copy, and tell whether it is ASCII: more than 16 octets, and up to so many. */
bool pb_encode_copy(char *to, const char *from, size_t n);
static inline bool encode_short(char *to, const char *from, size_t n)
{
    uint64_t first = 0, last = 0;
    if (n >= 8) {
        memcpy(&first, from, 8);
        memcpy(&last, from + n - 8, 8);
        memcpy(to, &first, 8);
        memcpy(to + n - 8, &last, 8);
    } else if (n >= 4) {
        memcpy(&first, from, 4);
        memcpy(&last, from + n - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + n - 4, &last, 4);
    } else {
        for (size_t i = 0; i < n; i++)
            first |= (uint8_t)(to[i] = from[i]);
    }
    return ((first | last) & UINT64_C(0x8080808080808080)) == 0;
}

/* The string with its length and tag in front of `at`; NULL: w->result is set. */
static inline char *encode_string(struct encode *w, char *at, const sennit_field *f, sennit_str s)
{
    intptr_t room = (intptr_t)((uintptr_t)at - w->low); /* beyond the ENCODE_FIELD */
    if (unlikely(room < 0 || (size_t)room < s.len)) {
        w->at = at;
        if (!pb_encode_grow(w, s.len <= LIMIT_PB_SIZE ? s.len + ENCODE_FIELD : SIZE_MAX))
            return NULL;
        at = w->at;
    }
    at -= s.len;
    bool ascii = s.len <= 16 ? encode_short(at, s.data, s.len) : pb_encode_copy(at, s.data, s.len);
    if (unlikely(!ascii) && f->flags & SENNIT_FIELD_UTF8 && !pb_utf8_valid(s.data, s.len)) {
        w->result = PB_BAD_UTF8;
        return NULL;
    }
    return encode_tagged(at, f->number << 3 | PB_LENGTH, s.len);
}

#endif
