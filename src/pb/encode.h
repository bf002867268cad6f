/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode.h: what the parts of the encoder share. encode_flat.c begins each message and ends those
 * that are flat: numbers and short strings, which need no state but registers. From where it cannot
 * go on encode_bulk.c does, fast as well, through sub-messages; it asks encode.c, which can do all,
 * for what is rare. The state of the latter two belongs to one call of pb_encode_with and lies on
 * its stack. */
#ifndef SENNIT_PB_ENCODE_H
#define SENNIT_PB_ENCODE_H

#include "pb/pb_private.h"

#define ENCODE_FIRST 256u /* octets of the first block of its own */
#define ENCODE_FIELD 32u  /* room for a number or length, a tag, and eight octets in front */

#define ENCODE_INLINE static inline __attribute__((always_inline))

struct encode_frame {
    const char *msg;
    const sennit_field *field, *first; /* [first, field) are still to be written */
    bool map;                          /* an entry: key and value always go out */
    bool started;                      /* the repeated field's elem is set */
    size_t elem;           /* elements [0, elem) of the current repeated field are to be written */
    const uint32_t *order; /* of a map by its keys; NULL: as it is */
    size_t mark;           /* octets written before this message */
};
struct encode {
    char *at, *start, *end; /* written: [at, end); free: [start, at), behind the headroom */
    uintptr_t low;          /* from there on there is room for ENCODE_FIELD in front */
    bool tail;              /* [start, end) is the tail of the arena's block, not yet taken */
    struct sennit_arena *a;
    const struct pb_encode_how *how;
    struct encode_frame *top, *frames, *brim; /* open messages; brim: no frame here, or too deep */
    size_t room;
    enum pb_result result;
};

/* Goes on where encode_flat.c stopped: what is behind `at` is written, at the end of the arena's
 * block, and the first n fields are still to be. NULL: nothing is, not even unknown fields. */
sennit_str pb_encode_bulk(struct sennit_arena *a, const sennit_msg_desc *d, const void *msg,
                          const struct pb_encode_how *how, char *at, size_t n);
/* What the bulk stops at: the field in front of w->top->field, or the end of a message that is not
 * the root. */
void pb_encode_rest(struct encode *w);

/* Takes a new block that has room for n more octets in front; false: the result is set. */
bool pb_encode_grow(struct encode *w, size_t n);
/* The elements of a repeated field that is no message. All are written in front of `at`; the new
 * front, or NULL: w->result is set. */
char *pb_encode_list(struct encode *w, char *at, const sennit_field *f, const struct pb_list *l);
char *pb_encode_strings(struct encode *w, char *at, const sennit_field *f, const struct pb_list *l);
char *pb_encode_packed(struct encode *w, char *at, const sennit_field *f, const struct pb_list *l);
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

/* Behind the first n fields, which are NULL if there are none. */
static inline const sennit_field *encode_behind(const sennit_msg_desc *d, size_t n)
{
    return (const sennit_field *)((uintptr_t)d->fields + n * sizeof *d->fields);
}
static inline const sennit_field *encode_last(const sennit_msg_desc *d)
{
    return encode_behind(d, d->n_fields);
}

/* Of the arena's block [at, a->end - 1) is taken, with the headroom, and a NUL behind it. */
static inline void encode_take_tail(struct sennit_arena *a, const char *at, size_t headroom)
{
    a->end = a->at + ((size_t)(at - headroom - a->at) & ~(size_t)7);
}

/* As pb_encode_bulk's arguments say: the root, in memory at the end of the arena's block, or in new
 * memory. w->result says whether it went well. */
static inline void encode_begin(struct encode *w, struct encode_frame *root, struct sennit_arena *a,
                                const sennit_msg_desc *d, const void *msg,
                                const struct pb_encode_how *how, char *at, size_t n)
{
    w->a = a, w->how = how;
    w->room = PB_FRAMES_INLINE;
    w->top = w->frames = root;
    w->brim = root + pb_depth_inline(&how->o);
    w->result = PB_OK;
    root->msg = msg;
    root->first = d->fields;
    root->field = encode_behind(d, n);
    root->map = root->started = false;
    w->tail = !a->shared && (size_t)(a->end - a->at) > how->headroom + 2 * (size_t)ENCODE_FIELD;
    if (likely(w->tail)) {
        encode_free_from(w, a->at + how->headroom);
        w->end = a->end - 1;
        w->at = at ? at : w->end;
        *w->end = 0;
    } else {
        w->at = w->end = NULL;
        encode_free_from(w, NULL);
        if (!pb_encode_grow(w, ENCODE_FIELD))
            return;
    }
    if (!at)
        pb_encode_octets(w, *(const sennit_str *)(root->msg + d->unknown));
}

/* After the last field, or an error: the octets become the arena's own. */
static inline sennit_str encode_end(struct encode *w)
{
    if (unlikely(w->result == PB_OK && encode_written(w) > LIMIT_PB_SIZE))
        w->result = PB_TOO_LARGE;
    if (unlikely(w->result != PB_OK))
        return (sennit_str){ NULL, w->result };
    if (w->tail)
        encode_take_tail(w->a, w->at, w->how->headroom);
    return (sennit_str){ w->at, encode_written(w) };
}

static inline bool encode_is_done(const struct encode *w)
{
    return w->top == w->frames && w->top->field == w->top->first;
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
/* Seven bits to each octet, of the lower 56; decode_sevens is its inverse. */
static inline uint64_t encode_sevens(uint64_t v)
{
    v = (v & UINT64_C(0x000000000fffffff)) | (v & UINT64_C(0x00fffffff0000000)) << 4;
    v = (v & UINT64_C(0x00003fff00003fff)) | (v & UINT64_C(0x0fffc0000fffc000)) << 2;
    return (v & UINT64_C(0x007f007f007f007f)) | (v & UINT64_C(0x3f803f803f803f80)) << 1;
}

/* v has at least two octets. Up to eight are stored at once, with others in front, where nothing is
 * yet. */
ENCODE_INLINE char *encode_long(char *at, uint64_t v)
{
    if (v < 0x4000)
        return encode_two(at, v);
    if (likely(v < 1 << 28)) { /* three or four */
        uint32_t short_by = v < 1 << 21, w = (uint32_t)v;
        w = (w & 0x7f) | (w << 1 & 0x7f00) | (w << 2 & 0x7f0000) | (w << 3 & 0x7f000000);
        w = w << 8 * short_by | 0x808080;
        memcpy(at - 4, &w, 4);
        return at - 4 + short_by;
    }
    uint64_t high = v >> 56;
    if (unlikely(high)) {
        if (high < 0x80)
            *--at = (char)high;
        else
            at = encode_two(at, high);
        v = encode_sevens(v) | UINT64_C(0x8080808080808080);
        memcpy(at - 8, &v, 8);
        return at - 8;
    }
    size_t n = ((size_t)(63 - __builtin_clzll(v)) * 9 + 73) / 64;
    v = encode_sevens(v) << (-8 * n & 63) | UINT64_C(0x0080808080808080);
    memcpy(at - 8, &v, 8);
    return at - n;
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

/* The octets of a plain field's tag; and those in front of a number. */
static inline char *encode_tag_octets(char *at, uint32_t tag)
{
    if (likely(tag < 0x80)) {
        *--at = (char)tag;
        return at;
    }
    memcpy(at - 2, &tag, 2);
    return at - 2;
}
ENCODE_INLINE char *encode_plain_number(char *at, uint32_t tag, uint64_t v,
                                        char *longer(char *, uint64_t))
{
    if (likely(tag < 0x80 && v < 0x80)) {
        uint16_t both = (uint16_t)(tag | v << 8);
        memcpy(at - 2, &both, 2);
        return at - 2;
    }
    if (likely(v < 0x80))
        *--at = (char)v;
    else
        at = longer(at, v);
    return encode_tag_octets(at, tag);
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

/* Both copy, and tell whether some octet is not ASCII: more than PB_SHORT, and up to so many. */
uint64_t pb_encode_copy(char *to, const char *from, size_t n);
static inline uint64_t encode_short(char *to, const char *from, size_t n)
{
    uint64_t first = 0, last = 0;
    if (n >= 16) {
        pb_pair one = pb_pair_at(from), two = pb_pair_at(from + n - 16);
        memcpy(to, &one, 16);
        memcpy(to + n - 16, &two, 16);
        return pb_high(one | two);
    }
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
    } else if (n) {
        first = (uint8_t)from[0], last = (uint64_t)(uint8_t)from[n / 2] << 8 | (uint8_t)from[n - 1];
        to[n / 2] = (char)(last >> 8);
        to[n - 1] = (char)last;
        to[0] = (char)first;
    }
    return (first | last) & PB_HIGH;
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
    uint64_t high =
        s.len <= PB_SHORT ? encode_short(at, s.data, s.len) : pb_encode_copy(at, s.data, s.len);
    if (unlikely(high) && f->flags & SENNIT_FIELD_UTF8 && !pb_utf8_valid(s.data, s.len)) {
        w->result = PB_BAD_UTF8;
        return NULL;
    }
    return encode_tagged(at, f->number << 3 | PB_LENGTH, s.len);
}

/* -- plain fields: numbers and short strings, in front of `at`, where there is ENCODE_FIELD -----
 */

#define ENCODE_IF_SET (SENNIT_PLAIN_IF_SET >> 8)

/* What is done about a value: with a has-bit, and else unless it is zero. */
#define ENCODE_PLAIN(how, value, zero, where)                                                      \
    case SENNIT_PLAIN_##how | ENCODE_IF_SET:                                                       \
        value;                                                                                     \
        if (pb_has(msg, field->presence))                                                          \
            goto where;                                                                            \
        return at;                                                                                 \
    case SENNIT_PLAIN_##how:                                                                       \
        value;                                                                                     \
        if (!(zero))                                                                               \
            goto where;                                                                            \
        return at
#define ENCODE_NUMBER(how)                                                                         \
    ENCODE_PLAIN(how, v = encode_load(SENNIT_KIND_##how, from), v == 0, number)

/* In place of a front: the field is of these, or one (also a string) that needs a closer look. */
#define ENCODE_OTHER    ((char *)0)
#define ENCODE_MESSAGE  ((char *)1)
#define ENCODE_MESSAGES ((char *)2)
#define ENCODE_STRINGS  ((char *)3)
#define ENCODE_PACKED   ((char *)4)
static inline bool encode_is_front(const char *at) { return at > ENCODE_PACKED; }

/* The new front, a string's only if it is not below `low`, if there is any; or one of the above. */
ENCODE_INLINE char *encode_plain(char *at, const char *msg, const sennit_field *field,
                                 uintptr_t low)
{
    const char *from = msg + field->offset;
    uint64_t v;
    sennit_str s;
    switch (pb_plain(field) & 31) {
        ENCODE_NUMBER(INT32);
        ENCODE_NUMBER(UINT32);
        ENCODE_NUMBER(INT64);
        ENCODE_NUMBER(BOOL);
        ENCODE_NUMBER(SINT32);
        ENCODE_NUMBER(SINT64);
        ENCODE_PLAIN(FIXED32, v = encode_load32(from), v == 0, four);
        ENCODE_PLAIN(FIXED64, v = encode_load64(from), v == 0, eight);
        ENCODE_PLAIN(STRING, memcpy(&s, from, sizeof s), s.len == 0, string);
    case SENNIT_PLAIN_MESSAGE:
        return ENCODE_MESSAGE;
    case SENNIT_PLAIN_MESSAGES:
        return ENCODE_MESSAGES;
    case SENNIT_PLAIN_STRINGS:
        return ENCODE_STRINGS;
    case SENNIT_PLAIN_PACKED:
        return ENCODE_PACKED;
    case 0:
    default:
        return ENCODE_OTHER;
    }
four:
    memcpy(at - 4, &v, 4);
    at = encode_tag_octets(at - 4, pb_tag(field));
    goto made;
eight:
    memcpy(at - 8, &v, 8);
    at = encode_tag_octets(at - 8, pb_tag(field));
    goto made;
string:
    if (unlikely(!s.data || s.len > PB_SHORT || (low && (uintptr_t)at - low < s.len)))
        return ENCODE_OTHER;
    at -= s.len;
    if (unlikely(encode_short(at, s.data, s.len)) && field->flags & SENNIT_FIELD_UTF8)
        return ENCODE_OTHER;
    at = encode_plain_number(at, pb_tag(field), s.len, pb_encode_long_varint);
    goto made;
number:
    at = encode_plain_number(at, pb_tag(field), v, encode_long);
made:
    if (!encode_is_front(at))
        __builtin_unreachable();
    return at;
}

#endif
