/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode.c: structs to octets in one pass, written backwards: a sub-message's length is known when
 * its front is reached, so nothing is measured beforehand. No native recursion: open messages are
 * frames. Fields go out ascending by number, unknown ones last; the same message gives the same
 * octets.
 * The octets grow down from the end of the arena's current block, so that what was not needed is
 * still the arena's; where that is too small, or the arena is shared, they move to blocks of their
 * own, doubling. */
#include "pb/pb_private.h"

#define ENCODE_FIRST 256u /* octets of the first block of its own */
#define ENCODE_FIELD 32u  /* tag and length, or tag and number, of any field */

struct encode_frame {
    const sennit_msg_desc *d;
    const char *msg;
    uint32_t field;        /* fields[0 .. field) are still to be written */
    bool map;              /* an entry: key and value always go out */
    bool started;          /* the repeated field's elem is set */
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
    uint32_t depth;
    struct encode_frame *top, *frames;
    size_t room;
    enum pb_result result;
};

/* -- octets ----------------------------------------------------------------------------------- */

static inline size_t encode_written(const struct encode *w) { return (size_t)(w->end - w->at); }

/* Takes a new block that has room for n more octets in front; false: the result is set. */
static bool encode_grow(struct encode *w, size_t n)
{
    size_t have = encode_written(w), want = ENCODE_FIRST;
    if (n > LIMIT_PB_SIZE || have + n > LIMIT_PB_SIZE + (size_t)ENCODE_FIELD) {
        w->result = PB_TOO_LARGE;
        return false;
    }
    want = max_size(want, 2 * (size_t)(w->end - w->start) + 2 * w->headroom);
    while (want < have + n + w->headroom + 1)
        want *= 2;
    char *bigger = arena_alloc(w->a, want); /* more than the tail has: it is not taken from there */
    if (!bigger) {
        w->result = PB_NO_MEMORY;
        return false;
    }
    char *end = bigger + want - 1;
    *end = 0;
    if (have)
        memcpy(end - have, w->at, have);
    w->start = bigger + w->headroom;
    w->end = end, w->at = end - have;
    w->tail = false;
    return true;
}

static inline bool encode_room(struct encode *w, size_t n)
{
    return likely((size_t)(w->at - w->start) >= n) || encode_grow(w, n);
}

static void encode_begin(struct encode *w)
{
    struct sennit_arena *a = w->a;
    if (!a->shared && (size_t)(a->end - a->at) > w->headroom + 2 * ENCODE_FIELD) {
        w->tail = true;
        w->start = a->at + w->headroom;
        w->at = w->end = a->end - 1;
        *w->end = 0;
    } else {
        encode_grow(w, ENCODE_FIELD);
    }
}

/* The octets become the arena's own. */
static void encode_end(struct encode *w)
{
    if (w->tail)
        w->a->end = w->a->at + ((size_t)(w->at - w->headroom - w->a->at) & ~(size_t)7);
}

/* Arena memory for something else meanwhile: not out of what is written. */
static void *encode_alloc(struct encode *w, size_t n)
{
    struct sennit_arena *a = w->a;
    char *end = a->end, *block = a->at;
    encode_end(w);
    char *taken = a->end;
    void *p = arena_alloc(a, n);
    if (!p)
        w->result = PB_NO_MEMORY;
    if (w->tail && a->end == taken && a->at >= block) { /* the block is still the current one */
        a->end = end;
        w->start = a->at + w->headroom;
        if (w->start > w->at)
            w->start = w->at;
    } else {
        w->tail = false;
    }
    return p;
}

static inline char *encode_varint(char *at, uint64_t v)
{
    if (likely(v < 0x80)) {
        *--at = (char)v;
        return at;
    }
    size_t n = ((size_t)(63 - __builtin_clzll(v)) * 9 + 73) / 64;
    char *p = at -= n;
    for (; v > 0x7f; v >>= 7)
        *p++ = (char)(v | 0x80);
    *p = (char)v;
    return at;
}

static inline char *encode_tag(char *at, uint32_t number, uint32_t wire)
{
    return encode_varint(at, (uint64_t)number << 3 | wire);
}

/* -- values ----------------------------------------------------------------------------------- */

/* The string in front of *at, which moves; false: the result is set. */
static bool encode_string(struct encode *w, const sennit_field *f, sennit_str s, char **at)
{
    if (f->flags & SENNIT_FIELD_UTF8 && !pb_utf8_valid(s.data, s.len)) {
        w->result = PB_BAD_UTF8;
        return false;
    }
    if ((size_t)(*at - w->start) < s.len + ENCODE_FIELD) {
        w->at = *at;
        if (!encode_grow(w, s.len + ENCODE_FIELD))
            return false;
        *at = w->at;
    }
    *at -= s.len;
    if (s.len)
        memcpy(*at, s.data, s.len);
    *at = encode_varint(*at, s.len);
    return true;
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

/* A number without its tag; there is room. */
static inline char *encode_number(char *at, uint32_t wire, uint64_t bits)
{
    if (wire == PB_VARINT)
        return encode_varint(at, bits);
    size_t n = wire == PB_FIXED64 ? 8 : 4;
    at -= n;
    memcpy(at, &bits, n);
    return at;
}

/* -- the bulk --------------------------------------------------------------------------------- */

/* Whether the field goes out: 1, 0; or, -1, if its value is not zero. */
static inline int encode_presence(const char *msg, const sennit_field *field)
{
    if (field->flags & SENNIT_FIELD_HAS)
        return pb_has(msg, field->presence);
    return field->flags & SENNIT_FIELD_ONEOF ? encode_load32(msg + field->presence) == field->number
                                             : -1;
}

/* Of a oneof, the number of the field that is set decides, not the pointer. */
static inline bool encode_message_is_absent(const char *from, const sennit_field *field)
{
    const void *msg;
    memcpy(&msg, from, sizeof msg);
    if (field->flags & SENNIT_FIELD_ONEOF)
        return false;
    return !msg || (msg == ((const sennit_msg_desc *)field->type)->empty &&
                    !(field->flags & SENNIT_FIELD_HAS));
}

/* The field with its tag in front of at; what is absent leaves at as it is. NULL: the result is
 * set.
 */
static inline char *encode_fixed(char *at, const sennit_field *field, const char *from, size_t n,
                                 int there)
{
    uint64_t bits = n == 8 ? encode_load64(from) : encode_load32(from);
    if (there < 0 && !bits)
        return at;
    at -= n;
    memcpy(at, &bits, n);
    return encode_tag(at, field->number, n == 8 ? PB_FIXED64 : PB_FIXED32);
}

static inline char *encode_text(struct encode *w, char *at, const sennit_field *field,
                                const char *from, int there)
{
    sennit_str s;
    memcpy(&s, from, sizeof s);
    s.len = s.data ? s.len : 0;
    if (there < 0 && !s.len)
        return at;
    return encode_string(w, field, s, &at) ? encode_tag(at, field->number, PB_LENGTH) : NULL;
}

/* Singular numbers and strings, and messages that are absent, as many as follow one another. What
 * it stops at is for encode_field. */
static void encode_bulk(struct encode *w, struct encode_frame *f)
{
    const sennit_field *first = f->d->fields, *field;
    const char *msg = f->msg;
    char *at = w->at;
    for (; f->field; f->field--) {
        field = first + f->field - 1;
        uint32_t kind = field->kind;
        const char *from = msg + field->offset;
        uint64_t bits;
        if (field->flags & (SENNIT_FIELD_REPEATED | SENNIT_FIELD_REQUIRED))
            break;
        if (kind == SENNIT_KIND_MESSAGE || kind == SENNIT_KIND_GROUP) {
            if (!f->map && encode_message_is_absent(from, field))
                continue;
            break;
        }
        int there = f->map ? 1 : encode_presence(msg, field);
        if (!there)
            continue;
        if (unlikely((size_t)(at - w->start) < ENCODE_FIELD)) {
            w->at = at;
            if (!encode_grow(w, ENCODE_FIELD))
                return;
            at = w->at;
        }
        switch (kind) {
        case SENNIT_KIND_STRING:
        case SENNIT_KIND_BYTES:
            at = encode_text(w, at, field, from, there);
            if (!at)
                return;
            continue;
        case SENNIT_KIND_DOUBLE:
        case SENNIT_KIND_FIXED64:
        case SENNIT_KIND_SFIXED64:
            at = encode_fixed(at, field, from, 8, there);
            continue;
        case SENNIT_KIND_FLOAT:
        case SENNIT_KIND_FIXED32:
        case SENNIT_KIND_SFIXED32:
            at = encode_fixed(at, field, from, 4, there);
            continue;
        default:
            bits = encode_load(kind, from);
        }
        if (there > 0 || bits)
            at = encode_tag(encode_varint(at, bits), field->number, PB_VARINT);
    }
    w->at = at;
}

/* -- messages and repeated fields ------------------------------------------------------------- */

static bool encode_octets(struct encode *w, sennit_str s)
{
    if (!s.data || !s.len)
        return true;
    if (!encode_room(w, s.len))
        return false;
    w->at -= s.len;
    memcpy(w->at, s.data, s.len);
    return true;
}

static void encode_push(struct encode *w, const sennit_msg_desc *d, const void *msg, bool map)
{
    size_t n = (size_t)(w->top - w->frames) + 1;
    if (n >= w->depth) {
        w->result = PB_TOO_DEEP;
        return;
    }
    if (unlikely(n == w->room)) {
        struct encode_frame *bigger = encode_alloc(w, w->room * 2 * sizeof *bigger);
        if (!bigger)
            return;
        memcpy(bigger, w->frames, n * sizeof *bigger);
        w->room *= 2;
        w->frames = bigger;
        w->top = bigger + n - 1;
    }
    struct encode_frame *f = ++w->top;
    f->d = d, f->msg = msg;
    f->field = d->n_fields;
    f->map = map, f->started = false;
    f->mark = encode_written(w);
    encode_octets(w, *(const sennit_str *)(f->msg + d->unknown));
}

static void encode_packed(struct encode *w, const sennit_field *f, const struct pb_list *l)
{
    size_t mark = encode_written(w), size = pb_kind_size[f->kind];
    uint32_t wire = pb_kind_wire[f->kind];
    for (size_t i = l->len; i-- > 0 && encode_room(w, ENCODE_FIELD);)
        w->at = encode_number(w->at, wire, encode_load(f->kind, l->data + i * size));
    if (w->result == PB_OK && encode_room(w, ENCODE_FIELD)) {
        w->at = encode_varint(w->at, encode_written(w) - mark);
        w->at = encode_tag(w->at, f->number, PB_LENGTH);
    }
}

static void encode_unpacked(struct encode *w, const sennit_field *f, const struct pb_list *l)
{
    size_t size = pb_kind_size[f->kind];
    uint32_t wire = pb_kind_wire[f->kind];
    for (size_t i = l->len; i-- > 0 && encode_room(w, ENCODE_FIELD);) {
        const char *from = l->data + i * size;
        if (wire == PB_LENGTH) {
            sennit_str s;
            memcpy(&s, from, sizeof s);
            s.len = s.data ? s.len : 0;
            if (!encode_string(w, f, s, &w->at))
                return;
        } else {
            w->at = encode_number(w->at, wire, encode_load(f->kind, from));
        }
        w->at = encode_tag(w->at, f->number, wire);
    }
}

/* Opens a sub-message; what closes it is encode_close. */
static void encode_open(struct encode *w, const sennit_field *f, const void *msg)
{
    const sennit_msg_desc *d = f->type;
    if (f->kind == SENNIT_KIND_GROUP && encode_room(w, ENCODE_FIELD))
        w->at = encode_tag(w->at, f->number, PB_END_GROUP);
    encode_push(w, d, msg ? msg : d->empty, (f->flags & SENNIT_FIELD_MAP) != 0);
}

/* -- maps in the order of their keys ---------------------------------------------------------- */

static int encode_compare(const sennit_field *key, const char *a, const char *b)
{
    a += key->offset, b += key->offset;
    if (pb_kind_wire[key->kind] == PB_LENGTH) {
        sennit_str s, t;
        memcpy(&s, a, sizeof s);
        memcpy(&t, b, sizeof t);
        size_t n = s.data && t.data ? min_size(s.len, t.len) : 0;
        int c = n ? memcmp(s.data, t.data, n) : 0;
        return c ? c : (s.len > t.len) - (s.len < t.len);
    }
    int64_t v = 0, u = 0;
    memcpy(&v, a, pb_kind_size[key->kind]);
    memcpy(&u, b, pb_kind_size[key->kind]);
    if (pb_kind_size[key->kind] == 4 && key->kind != SENNIT_KIND_UINT32 &&
        key->kind != SENNIT_KIND_FIXED32)
        v = (int32_t)v, u = (int32_t)u;
    if (key->kind == SENNIT_KIND_UINT64 || key->kind == SENNIT_KIND_FIXED64)
        return ((uint64_t)v > (uint64_t)u) - ((uint64_t)v < (uint64_t)u);
    return (v > u) - (v < u);
}

/* Merges the sorted runs [low, mid) and [mid, high) of from into to. */
static void encode_merge(const sennit_field *f, const struct pb_list *l, const uint32_t *from,
                         uint32_t *to, size_t low, size_t mid, size_t high)
{
    const sennit_msg_desc *entry = f->type;
    size_t i = low, k = mid;
    for (size_t at = low; at < high; at++) {
        bool first = k == high;
        if (i < mid && k < high)
            first = encode_compare(&entry->fields[0], l->data + from[i] * (size_t)entry->size,
                                   l->data + from[k] * (size_t)entry->size) <= 0;
        to[at] = first ? from[i++] : from[k++];
    }
}

/* Indices of the map's entries in the order of their keys; NULL: the result is set. A merge sort
 * from below: libc's qsort allocates, and knows no context. */
static const uint32_t *encode_order(struct encode *w, const sennit_field *f,
                                    const struct pb_list *l)
{
    size_t n = l->len;
    uint32_t *from = n < LIMIT_PB_SIZE ? encode_alloc(w, 2 * n * sizeof *from) : NULL;
    if (!from)
        return NULL;
    uint32_t *to = from + n;
    for (size_t i = 0; i < n; i++)
        from[i] = (uint32_t)i;
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t i = 0; i < n; i += 2 * run)
            encode_merge(f, l, from, to, i, min_size(i + run, n), min_size(i + 2 * run, n));
        uint32_t *swap = from;
        from = to, to = swap;
    }
    return from;
}

static void encode_repeated(struct encode *w, const sennit_field *field)
{
    struct encode_frame *f = w->top;
    const struct pb_list *l = (const struct pb_list *)(f->msg + field->offset);
    size_t n = l->data ? l->len : 0;
    if (!pb_is_message(field)) {
        f->field--;
        if (n && field->flags & SENNIT_FIELD_PACKED)
            encode_packed(w, field, l);
        else if (n)
            encode_unpacked(w, field, l);
        return;
    }
    if (!f->started) {
        f->started = true;
        f->elem = n;
        f->order = NULL;
        if (field->flags & SENNIT_FIELD_MAP && w->o->deterministic && n > 1)
            f->order = encode_order(w, field, l);
    }
    if (f->elem == 0) {
        f->started = false;
        f->field--;
        return;
    }
    f->elem--;
    size_t elem = f->order ? f->order[f->elem] : f->elem;
    encode_open(w, field, l->data + elem * pb_elem_size(field));
}

/* The field that encode_bulk stopped at. */
static void encode_field(struct encode *w)
{
    struct encode_frame *f = w->top;
    const sennit_field *field = &f->d->fields[f->field - 1];
    const char *from = f->msg + field->offset;
    if (field->flags & SENNIT_FIELD_REPEATED) {
        encode_repeated(w, field);
    } else if (!pb_present(f->msg, field, f->map)) {
        f->field--;
        if (field->flags & SENNIT_FIELD_REQUIRED && !w->o->partial)
            w->result = PB_MISSING;
    } else if (pb_is_message(field)) {
        const void *msg;
        memcpy(&msg, from, sizeof msg);
        encode_open(w, field, msg);
    } else {
        const struct pb_list one = { (char *)(uintptr_t)from, 1 };
        f->field--;
        encode_unpacked(w, field, &one);
    }
}

/* The innermost message is written: its length and tag go in front. */
static void encode_close(struct encode *w)
{
    size_t len = encode_written(w) - w->top->mark;
    struct encode_frame *parent = --w->top;
    const sennit_field *field = &parent->d->fields[parent->field - 1];
    if (!encode_room(w, ENCODE_FIELD))
        return;
    if (field->kind == SENNIT_KIND_GROUP) {
        w->at = encode_tag(w->at, field->number, PB_START_GROUP);
    } else {
        w->at = encode_varint(w->at, len);
        w->at = encode_tag(w->at, field->number, PB_LENGTH);
    }
    if (!(field->flags & SENNIT_FIELD_REPEATED))
        parent->field--;
}

static enum pb_result encode_run(struct encode *w, const sennit_msg_desc *d, const void *msg)
{
    struct encode_frame *f = w->frames;
    f->d = d, f->msg = msg;
    f->field = d->n_fields;
    f->map = f->started = false;
    f->mark = 0;
    encode_octets(w, *(const sennit_str *)((const char *)msg + d->unknown));
    while (w->result == PB_OK) {
        f = w->top;
        encode_bulk(w, f);
        if (w->result != PB_OK)
            break;
        if (f->field)
            encode_field(w);
        else if (f == w->frames)
            break;
        else
            encode_close(w);
    }
    if (w->result == PB_OK && encode_written(w) > LIMIT_PB_SIZE)
        w->result = PB_TOO_LARGE;
    return w->result;
}

enum pb_result pb_encode(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                         size_t headroom, sennit_str *out)
{
    static const sennit_wire_options plain;
    return pb_encode_with(d, msg, a, headroom, &plain, out);
}

enum pb_result pb_encode_with(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                              size_t headroom, const sennit_wire_options *o, sennit_str *out)
{
    struct encode_frame frames[PB_FRAMES_INLINE];
    struct encode w = { .a = a, .headroom = headroom, .room = PB_FRAMES_INLINE, .o = o };
    w.depth = o->depth ? o->depth : LIMIT_PB_DEPTH;
    w.frames = w.top = frames;
    *out = (sennit_str){ "", 0 };
    encode_begin(&w);
    if (w.result != PB_OK || encode_run(&w, d, msg) != PB_OK)
        return w.result;
    encode_end(&w);
    *out = (sennit_str){ w.at, encode_written(&w) };
    return PB_OK;
}

/* By encoding: a message that is sized and then encoded costs twice, which nobody needs here. */
size_t pb_size(const sennit_msg_desc *d, const void *msg)
{
    static const sennit_wire_options partial = { .partial = true };
    struct sennit_arena scratch;
    sennit_str out;
    arena_init(&scratch, NULL, 0);
    scratch.cap = 4 * (size_t)LIMIT_PB_SIZE;
    enum pb_result result = pb_encode_with(d, msg, &scratch, 0, &partial, &out);
    arena_fini(&scratch);
    return result == PB_OK ? out.len : SIZE_MAX;
}
