/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * decode.h: what the parts of the decoder share. decode_flat.c begins each message and ends those
 * that are flat: numbers and short strings, which need no state but registers. From where it cannot
 * go on decode_bulk.c does, fast as well, through sub-messages and lists; it asks decode.c, which
 * can do all, for what is rare. The state of the latter two belongs to one call of pb_from_octets
 * and lies on its stack. */
#ifndef SENNIT_PB_DECODE_H
#define SENNIT_PB_DECODE_H

#include "pb/pb_private.h"

struct decode_frame {
    const sennit_msg_desc *d; /* NULL: inside an unknown group */
    char *msg;                /* of an unknown group: NULL */
    char *end;                /* of a group: its parent's end */
    bool todo;                /* something is to be done at the end, as for groups and the root: */
    bool maps;                /* a map entry was added: look for duplicates */
    bool strange;             /* a map entry whose closed enum has an unknown value */
    uint8_t first;            /* unknown group: the tag's first octet */
    uint32_t group;           /* number of the group, 0: a length-delimited message */
    const sennit_field *last; /* the field of the sub-message above this one; or a hint, or NULL */
    char *start;              /* unknown group: where its tag began */
};
struct decode {
    char *at;
    char *nul, spare;      /* owed NUL, or &spare */
    bool missing;          /* a message ended without a required field */
    bool done;             /* the root has ended */
    enum pb_result failed; /* in the fast half, where the other would not find it again */
    struct sennit_arena *a;
    struct decode_frame *top, *frames, *brim; /* open messages; brim: no frame here, or too deep */
    size_t room;
    const sennit_wire_options *o;
};

/* Goes on where decode_flat.c stopped: at the tag of one of the root's fields, or its end. */
enum pb_result pb_decode_bulk(struct sennit_arena *a, const sennit_msg_desc *d, char *at, size_t n,
                              const sennit_wire_options *o, void *msg);

/* Into *msg from [buf, buf + n). Whoever goes on by pb_decode_rest sets
 * at, nul and top. */
static inline void decode_begin(struct decode *r, struct decode_frame *root,
                                const sennit_msg_desc *d, void *msg, char *buf, size_t n,
                                struct sennit_arena *a, const sennit_wire_options *o)
{
    r->spare = 0;
    r->missing = r->done = false;
    r->failed = PB_OK;
    r->a = a;
    r->frames = root;
    r->room = PB_FRAMES_INLINE;
    r->brim = root + pb_depth_inline(o);
    r->o = o;
    root->d = d, root->msg = msg, root->end = buf + n;
    root->todo = true;
    root->maps = root->strange = false;
    root->first = 0, root->group = 0;
    root->last = NULL;
}
/* What the bulk leaves: a field that is not plain, or the end of a message; unknown groups whole.
 */
enum pb_result pb_decode_rest(struct decode *r);
/* After the root's end, or an error, which leaves the empty message: the result of it all. */
enum pb_result pb_decode_end(struct decode *r, enum pb_result result);

/* Room behind top, or the error. */
enum pb_result pb_decode_deeper(struct decode *r);
/* The frame of a message that is not the root. */
static inline void decode_open(struct decode_frame *f, const sennit_msg_desc *d, char *msg,
                               char *end, uint32_t group)
{
    f->d = d, f->msg = msg, f->end = end; /* start and first are for unknown groups alone */
    f->todo = group || d->flags >> 16;
    f->maps = f->strange = false;
    f->first = 0, f->group = group;
    f->last = NULL;
}

/* The field in the table, or NULL. */
const sennit_field *pb_decode_find(const struct decode_frame *f, uint32_t number);
/* The values of [r->at, end) are added to a list of numbers; of a closed enum, for which l has room
 * then, those that are unknown go elsewhere. */
enum pb_result pb_decode_packed(struct decode *r, const char *end, const sennit_field *f,
                                struct pb_list *l);
enum pb_result pb_decode_packed_closed(struct decode *r, const char *end, const sennit_field *f,
                                       struct pb_list *l);

/* Elements that a list has room for at first. Big ones grow from one on: what one of them takes
 * shall not be a multiple of its size. */
static inline size_t decode_list_least(size_t size) { return size > 32 ? 1 : 4; }

/* Room for more elements; their number is not yet added to len. NULL: no memory. */
char *pb_decode_list_add(struct decode *r, struct pb_list *l, size_t size, size_t more);
/* Makes room for one more element of a list that is full; false: no memory. */
bool pb_decode_list_grow(struct sennit_arena *a, struct pb_list *l, size_t size);
/* Where the next element goes; len is not yet changed. NULL: no memory. A list may be full when it
 * is empty, or at the powers of two from the least on. */
static inline char *decode_list_next(struct decode *r, struct pb_list *l, size_t size)
{
    size_t len = l->len, least = decode_list_least(size);
    if ((len & (len - 1)) == 0 && len - 1 >= least - 1 && !pb_decode_list_grow(r->a, l, size))
        return NULL;
    return l->data + len * size;
}

/* A varint, and the octet behind it; NULL: it is truncated or too long. In two registers. */
struct decode_varint {
    char *end;
    uint64_t value;
};
struct decode_varint pb_decode_long_varint(char *at, const char *end);
static inline struct decode_varint decode_varint_at(char *at, const char *end)
{
    if (likely(at < end && (uint8_t)*at < 0x80))
        return (struct decode_varint){ at + 1, (uint8_t)*at };
    return pb_decode_long_varint(at, end);
}

static inline enum pb_result decode_no_varint(const char *at, const char *end)
{
    return end - at < 10 ? PB_TRUNCATED : PB_BAD_VARINT;
}

/* A varint as the struct has it. */
static inline void decode_store_varint(uint32_t kind, char *to, uint64_t v)
{
    uint32_t w = (uint32_t)v;
    switch (kind) {
    case SENNIT_KIND_BOOL:
        *(bool *)to = v != 0;
        return;
    case SENNIT_KIND_SINT64:
        v = v >> 1 ^ (0 - (v & 1));
        memcpy(to, &v, 8);
        return;
    case SENNIT_KIND_INT64:
    case SENNIT_KIND_UINT64:
        memcpy(to, &v, 8);
        return;
    case SENNIT_KIND_SINT32:
        w = w >> 1 ^ (0 - (w & 1));
        memcpy(to, &w, 4);
        return;
    default:
        memcpy(to, &w, 4);
    }
}

/* -- plain fields, whose tag is the field's own: the octet behind them, which are at p, or in place
 * of that the field is of these kinds, or (0) needs a longer look
 * ---------------------------------- */

#define DECODE_OTHER    ((char *)0)
#define DECODE_MESSAGE  ((char *)1)
#define DECODE_MESSAGES ((char *)2)
#define DECODE_STRINGS  ((char *)3)
#define DECODE_PACKED   ((char *)4)
#define DECODE_INLINE   static inline __attribute__((always_inline))
static inline bool decode_is_behind(const char *p) { return p > DECODE_PACKED; }
/* Which spares the caller a comparison. */
static inline char *decode_behind(char *p)
{
    if (!decode_is_behind(p))
        __builtin_unreachable();
    return p;
}

DECODE_INLINE char *decode_plain_number(char *to, char *p, const char *end, uint32_t kind,
                                        struct decode_varint longer(char *, const char *))
{
    uint64_t v;
    if (unlikely(p == end))
        return DECODE_OTHER;
    v = (uint8_t)*p++;
    if (unlikely(v >= 0x80)) {
        struct decode_varint whole = longer(p - 1, end);
        if (!whole.end)
            return DECODE_OTHER;
        v = whole.value;
        p = whole.end;
    }
    decode_store_varint(kind, to, v);
    return decode_behind(p);
}

/* A string of PB_SHORT octets at most. */
DECODE_INLINE char *decode_plain_string(const sennit_field *field, char *to, char *p,
                                        const char *end)
{
    if (unlikely(p == end))
        return DECODE_OTHER;
    size_t n = (uint8_t)*p++;
    if (unlikely(n > PB_SHORT || n > (size_t)(end - p)) ||
        (unlikely(pb_short_high(p, n)) && field->flags & SENNIT_FIELD_UTF8))
        return DECODE_OTHER;
    *(sennit_str *)to = (sennit_str){ p, n };
    return decode_behind(p + n);
}

DECODE_INLINE char *decode_plain_fixed(char *to, char *p, const char *end, size_t n)
{
    if (unlikely((size_t)(end - p) < n))
        return DECODE_OTHER;
    memcpy(to, p, n);
    return decode_behind(p + n);
}

#define DECODE_NUMBER(how)                                                                         \
    case SENNIT_PLAIN_##how:                                                                       \
        p = decode_plain_number(to, p, end, SENNIT_KIND_##how, longer);                            \
        break

DECODE_INLINE char *decode_plain(const sennit_field *field, char *msg, char *p, const char *end,
                                 struct decode_varint longer(char *, const char *))
{
    char *to = msg + field->offset;
    switch (pb_plain(field) & 15) {
        DECODE_NUMBER(INT32);
        DECODE_NUMBER(UINT32);
        DECODE_NUMBER(INT64);
        DECODE_NUMBER(BOOL);
        DECODE_NUMBER(SINT32);
        DECODE_NUMBER(SINT64);
    case SENNIT_PLAIN_FIXED32:
        p = decode_plain_fixed(to, p, end, 4);
        break;
    case SENNIT_PLAIN_FIXED64:
        p = decode_plain_fixed(to, p, end, 8);
        break;
    case SENNIT_PLAIN_STRING:
        p = decode_plain_string(field, to, p, end);
        break;
    case SENNIT_PLAIN_MESSAGE:
        return DECODE_MESSAGE;
    case SENNIT_PLAIN_MESSAGES:
        return DECODE_MESSAGES;
    case SENNIT_PLAIN_STRINGS:
        return DECODE_STRINGS;
    case SENNIT_PLAIN_PACKED:
        return DECODE_PACKED;
    default:
        return DECODE_OTHER;
    }
    if (p && field->kind & SENNIT_PLAIN_IF_SET)
        pb_set_has(msg, field->presence);
    return p;
}

#endif
