/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode.h: what the two halves of the encoder share: encode.c, which can do all, and
 * encode_bulk.c, which does what is plain, fast. The state belongs to one call of pb_encode_with
 * and lies on its stack. */
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
    bool tail;              /* [start, end) is the tail of the arena's block, not yet taken */
    struct sennit_arena *a;
    size_t headroom;
    const sennit_wire_options *o;
    struct encode_frame *top, *frames, *brim; /* open messages; brim: no frame here, or too deep */
    size_t room, depth;
    enum pb_result result;
};

/* Plain fields, as many as follow one another, through sub-messages as well. What it stops at is
 * for encode.c. */
void pb_encode_bulk(struct encode *w);

/* Takes a new block that has room for n more octets in front; false: the result is set. */
bool pb_encode_grow(struct encode *w, size_t n);
/* Room behind top for a frame; false: the result is set. */
bool pb_encode_deeper(struct encode *w);
/* The elements of a repeated field that is no message. */
void pb_encode_list(struct encode *w, const sennit_field *f, const struct pb_list *l);
bool pb_encode_octets(struct encode *w, sennit_str s);

static inline size_t encode_written(const struct encode *w) { return (size_t)(w->end - w->at); }

static inline bool encode_room(struct encode *w, size_t n)
{
    return likely((size_t)(w->at - w->start) >= n) || pb_encode_grow(w, n);
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

/* Opens a message within the one on top. */
static inline bool encode_push(struct encode *w, const sennit_msg_desc *d, const void *msg,
                               bool map)
{
    if (unlikely(w->top + 1 == w->brim) && !pb_encode_deeper(w))
        return false;
    return encode_frame(w, w->top + 1, d, msg, map);
}

/* -- numbers. All are written in front of `at`, where there is ENCODE_FIELD; the new front ------
 */

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
static inline char *encode_tagged(char *at, uint32_t tag, uint64_t v)
{
    if (likely((tag | v) < 0x80)) {
        uint16_t both = (uint16_t)(tag | v << 8);
        memcpy(at - 2, &both, 2);
        return at - 2;
    }
    return encode_varint(encode_varint(at, v), tag);
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
    size_t room = (size_t)(at - w->start);
    if (unlikely(room < s.len || room - s.len < ENCODE_FIELD)) {
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
