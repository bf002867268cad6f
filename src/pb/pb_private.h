/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * pb_private.h: what decode.c, encode.c and copy.c share: the shape of generated structs. */
#ifndef SENNIT_PB_PB_PRIVATE_H
#define SENNIT_PB_PB_PRIVATE_H

#include "base/limits.h"
#include "pb/pb.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum pb_wire { PB_VARINT, PB_FIXED64, PB_LENGTH, PB_START_GROUP, PB_END_GROUP, PB_FIXED32 };

#define PB_FRAMES_INLINE 12 /* deeper messages take their stack from the arena */

/* A repeated field. */
struct pb_list {
    char *data;
    size_t len;
};

extern const uint8_t pb_kind_wire[19]; /* by sennit_kind */
extern const uint8_t pb_kind_size[19]; /* octets of an element in the struct; 0: a message */

static inline uint32_t pb_kind(const sennit_field *f) { return (uint8_t)f->kind; }
/* How it is written, of SENNIT_PLAIN; 0: not that plain. And the octets of its tag. Both are loaded
 * alone: both architectures are little-endian. */
static inline uint32_t pb_plain(const sennit_field *f) { return ((const uint8_t *)&f->kind)[1]; }
static inline uint32_t pb_tag(const sennit_field *f)
{
    uint16_t octets;
    memcpy(&octets, (const uint8_t *)&f->kind + 2, sizeof octets);
    return octets;
}

#define PB_HIGH  UINT64_C(0x8080808080808080)
#define PB_SHORT 32u /* octets of a string that is looked at, or copied, at once */

/* Sixteen octets at once; pb_high: not 0 if one of them is not ASCII. */
typedef uint64_t pb_pair __attribute__((vector_size(16)));
static inline pb_pair pb_pair_at(const char *s)
{
    pb_pair v;
    memcpy(&v, s, sizeof v);
    return v;
}
static inline uint64_t pb_high(pb_pair v)
{
#ifdef __SSE2__
    return (uint32_t)_mm_movemask_epi8((__m128i)v);
#else
    return (v[0] | v[1]) & PB_HIGH;
#endif
}
/* The same of n octets, PB_SHORT at most: those from the front, and those from the end, overlap. */
static inline uint64_t pb_short_high(const char *s, size_t n)
{
    uint64_t first = 0, last = 0;
    if (n >= 16)
        return pb_high(pb_pair_at(s) | pb_pair_at(s + n - 16));
    if (n >= 8) {
        memcpy(&first, s, 8);
        memcpy(&last, s + n - 8, 8);
    } else if (n >= 4) {
        memcpy(&first, s, 4);
        memcpy(&last, s + n - 4, 4);
    } else if (n) {
        first = (uint8_t)s[0], last = (uint64_t)(uint8_t)s[n / 2] << 8 | (uint8_t)s[n - 1];
    }
    return (first | last) & PB_HIGH;
}

/* UTF-8? Short ASCII is told here. */
static inline bool pb_utf8_fast(const char *s, size_t n)
{
    return (likely(n <= PB_SHORT) && likely(!pb_short_high(s, n))) || pb_utf8_valid(s, n);
}

/* *msg becomes the empty message. Structs are words, for they hold pointers. */
#define PB_FILL_SMALL 192u
static inline void pb_fill_small(const sennit_msg_desc *d, char *msg)
{
    const char *from = d->empty;
    size_t n = d->size;
    pb_pair two;
    for (size_t i = 0; i + 16 < n; i += 16) {
        two = pb_pair_at(from + i);
        memcpy(msg + i, &two, 16);
    }
    two = pb_pair_at(from + n - 16);
    memcpy(msg + n - 16, &two, 16);
}
static inline void pb_fill(const sennit_msg_desc *d, char *msg)
{
    if (d->size > PB_FILL_SMALL || d->size < 16)
        memcpy(msg, d->empty, d->size);
    else
        pb_fill_small(d, msg);
}

/* Frames that may be open, and how many of those that lie inline are among them. */
static inline size_t pb_depth(const sennit_wire_options *o)
{
    return o->depth ? o->depth : LIMIT_PB_DEPTH;
}
static inline size_t pb_depth_inline(const sennit_wire_options *o)
{
    return unlikely(o->depth - 1u < PB_FRAMES_INLINE) ? o->depth : PB_FRAMES_INLINE;
}

static inline bool pb_is_message(const sennit_field *f)
{
    return pb_kind(f) == SENNIT_KIND_MESSAGE || pb_kind(f) == SENNIT_KIND_GROUP;
}
static inline size_t pb_elem_size(const sennit_field *f)
{
    return pb_is_message(f) ? ((const sennit_msg_desc *)f->type)->size : pb_kind_size[pb_kind(f)];
}
static inline bool pb_has(const void *msg, uint32_t bit)
{
    return ((const uint32_t *)msg)[bit / 32] >> (bit % 32) & 1;
}
static inline void pb_set_has(void *msg, uint32_t bit)
{
    ((uint32_t *)msg)[bit / 32] |= UINT32_C(1) << (bit % 32);
}

/* Whether all required fields of this one message are there. */
bool pb_has_required(const sennit_msg_desc *d, const void *msg);
/* Whether a oneof's field is the set one; true for fields that are in none. */
static inline bool pb_oneof_is(const void *msg, const sennit_field *f)
{
    uint32_t which = f->number;
    if (f->flags & SENNIT_FIELD_ONEOF)
        memcpy(&which, (const char *)msg + f->presence, sizeof which);
    return which == f->number;
}

/* Whether the field is there: set, or not empty. map: the message is an entry, whose fields always
 * are. */
bool pb_present(const void *msg, const sennit_field *field, bool map);

/* The field at s: its tag and octets as a whole; 0: none, or broken. *value is that of a varint or
 * fixed field, *body the content of a length-delimited field or group. */
struct pb_raw {
    uint32_t tag;
    uint64_t value;
    sennit_str body;
};
size_t pb_raw_next(const char *s, size_t n, struct pb_raw *out);
/* Type id and content of a message set's item. */
bool pb_set_item(sennit_str body, uint32_t *type_id, sennit_str *message);
/* Writes v at s, which has room for ten octets; how many it took. */
size_t pb_put_varint(char *s, uint64_t v);

/* Later keys win: keeps the place of the first, the value of the last. */
enum pb_result pb_map_dedupe(struct sennit_arena *a, const sennit_field *f, struct pb_list *l);
/* Doubles a stack of frames into the arena; *room is its size. NULL: no memory. */
void *pb_grow_frames(struct sennit_arena *a, const void *frames, size_t frame_size, size_t n,
                     size_t *room);

#endif
