/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * decode.c: octets to structs by tables, without native recursion: open messages are frames on an
 * explicit stack, so depth costs 40 octets each and has one limit.
 * Strings become views into the caller's buffer. Each needs a NUL behind it, where the next tag's
 * first octet lies (or the spare octet): the NUL is owed (`nul`) and paid when that octet has been
 * read. Whoever copies raw octets (unknown fields) puts the read octet back into the copy.
 * Memory: arrays double, so they take at most twice their final size plus what doubling left
 * behind; everything is bounded by the arena's cap. */
#include "pb/pb_private.h"

struct decode_frame {
    const sennit_msg_desc *d; /* NULL: inside an unknown group */
    char *msg;                /* of an unknown group: NULL */
    char *end;                /* of a group: its parent's end */
    uint32_t group;           /* number of the group, 0: a length-delimited message */
    uint32_t expect;          /* index of the field that probably comes next */
    char *start;              /* unknown group: where its tag began */
    uint8_t first;            /* unknown group: the tag's first octet */
    bool todo;                /* something is to be done at the end: */
    bool maps;                /* a map entry was added: look for duplicates */
    bool strange;             /* a map entry whose closed enum has an unknown value */
};
struct decode {
    char *at;
    char *nul, spare; /* owed NUL, or &spare */
    struct sennit_arena *a;
    struct decode_frame *top, *frames;
    size_t room;
    uint32_t depth, limit;
    bool missing; /* a message ended without a required field */
};

void pb_init(const sennit_msg_desc *d, void *msg) { memcpy(msg, d->empty, d->size); }

/* -- numbers --------------------------------------------------------------------------------- */

/* Reads a varint; the end; NULL: it is truncated or too long. */
static char *decode_varint_at(char *at, const char *end, uint64_t *out)
{
    uint64_t v = 0, c;
    for (int shift = 0; shift < 70 && at < end; shift += 7) {
        c = (uint8_t)*at++;
        v |= (c & 0x7f) << (shift & 63);
        if (c < 0x80) {
            *out = v;
            return at;
        }
    }
    return NULL;
}

static enum pb_result decode_varint_slow(struct decode *r, const char *end, uint64_t *out)
{
    char *at = decode_varint_at(r->at, end, out);
    if (!at)
        return end - r->at < 10 ? PB_TRUNCATED : PB_BAD_VARINT;
    r->at = at;
    return PB_OK;
}

static inline enum pb_result decode_varint(struct decode *r, const char *end, uint64_t *out)
{
    if (likely(r->at < end && (uint8_t)*r->at < 0x80)) {
        *out = (uint8_t)*r->at++;
        return PB_OK;
    }
    return decode_varint_slow(r, end, out);
}

/* Tag; the first octet is read before the owed NUL overwrites it. */
static inline enum pb_result decode_tag(struct decode *r, const char *end, uint32_t *tag,
                                        uint8_t *first)
{
    uint32_t value = *first = (uint8_t)*r->at++;
    *r->nul = 0;
    r->nul = &r->spare;
    if (likely(value < 0x80)) {
        *tag = value;
        return value >> 3 ? PB_OK : PB_BAD_TAG;
    }
    value &= 0x7f;
    for (int shift = 7; shift < 35; shift += 7) {
        if (r->at == end)
            return PB_TRUNCATED;
        uint8_t c = (uint8_t)*r->at++;
        if (shift == 28 && c > 0x0f)
            return PB_BAD_TAG;
        value |= (uint32_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *tag = value;
            return value >> 3 ? PB_OK : PB_BAD_TAG;
        }
    }
    return PB_BAD_TAG;
}

static inline void decode_store_varint(const sennit_field *f, char *to, uint64_t v)
{
    switch (f->kind) {
    case SENNIT_KIND_BOOL:
        *(bool *)to = v != 0;
        break;
    case SENNIT_KIND_INT64:
    case SENNIT_KIND_UINT64:
        memcpy(to, &v, 8);
        break;
    case SENNIT_KIND_SINT64:
        v = v >> 1 ^ (0 - (v & 1));
        memcpy(to, &v, 8);
        break;
    case SENNIT_KIND_SINT32: {
        uint32_t w = (uint32_t)v;
        w = w >> 1 ^ (0 - (w & 1));
        memcpy(to, &w, 4);
        break;
    }
    default: {
        uint32_t w = (uint32_t)v;
        memcpy(to, &w, 4);
    }
    }
}

/* One scalar of f's own wire type into the struct or array. */
static enum pb_result decode_scalar(struct decode *r, const char *end, const sennit_field *f,
                                    char *to)
{
    uint64_t v;
    size_t n = pb_kind_wire[f->kind] == PB_FIXED64 ? 8 : 4;
    if (pb_kind_wire[f->kind] == PB_VARINT) {
        enum pb_result result = decode_varint(r, end, &v);
        if (result == PB_OK)
            decode_store_varint(f, to, v);
        return result;
    }
    if ((size_t)(end - r->at) < n)
        return PB_TRUNCATED;
    memcpy(to, r->at, n); /* both architectures are little-endian */
    r->at += n;
    return PB_OK;
}

/* -- arrays ---------------------------------------------------------------------------------- */

/* What a list of len elements has room for. Big ones grow from one on: what one of them takes shall
 * not be a multiple of its size. */
static inline size_t decode_list_room(size_t len, size_t size)
{
    size_t least = size > 32 ? 1 : 4;
    if (len <= least)
        return len ? least : 0;
    return (size_t)1 << (64 - __builtin_clzll(len - 1));
}

/* Room for more elements; their number is not yet added to len. */
static char *decode_list_add(struct decode *r, struct pb_list *l, size_t size, size_t more)
{
    size_t have = decode_list_room(l->len, size), want = decode_list_room(l->len + more, size);
    if (want > have) {
        if (want > LIMIT_PB_SIZE || size > SIZE_MAX / want)
            return NULL;
        char *data = arena_alloc(r->a, want * size);
        if (!data)
            return NULL;
        if (l->len)
            memcpy(data, l->data, l->len * size);
        l->data = data;
    }
    return l->data + l->len * size;
}

/* n more octets of the message's unknown fields; NULL: no memory. They double as arrays do. */
static char *decode_more_unknown(struct decode *r, const struct decode_frame *f, size_t n)
{
    sennit_str *u = (sennit_str *)(f->msg + f->d->unknown);
    struct pb_list l = { (char *)(uintptr_t)u->data, u->len ? u->len + 1 : 0 }; /* with its NUL */
    char *to = decode_list_add(r, &l, 1, u->len ? n : n + 1);
    if (!to)
        return NULL;
    to -= u->len != 0;
    to[n] = 0;
    *u = (sennit_str){ l.data, u->len + n };
    return to;
}

/* Appends [start, at) to the message's unknown fields; first is the octet a NUL may have replaced.
 */
static enum pb_result decode_keep(struct decode *r, const struct decode_frame *f, const char *start,
                                  uint8_t first)
{
    size_t n = (size_t)(r->at - start);
    char *to = decode_more_unknown(r, f, n);
    if (!to)
        return PB_NO_MEMORY;
    memcpy(to, start, n);
    to[0] = (char)first;
    return PB_OK;
}

/* -- closed enums: values without a name are unknown fields ----------------------------------- */

static bool decode_is_strange(const sennit_field *f, const char *value)
{
    int32_t v;
    memcpy(&v, value, sizeof v);
    return !pb_enum_value(f->type, v);
}

static enum pb_result decode_keep_enum(struct decode *r, const sennit_field *f, const char *value)
{
    char octets[20];
    int32_t v;
    memcpy(&v, value, sizeof v);
    size_t n = pb_put_varint(octets, (uint64_t)f->number << 3 | PB_VARINT);
    n += pb_put_varint(octets + n, (uint64_t)(int64_t)v);
    char *to = decode_more_unknown(r, r->top, n);
    if (!to)
        return PB_NO_MEMORY;
    memcpy(to, octets, n);
    return PB_OK;
}

/* The map entry that ended goes to its parent's unknown fields: it is the last of its list. */
static enum pb_result decode_keep_entry(struct decode *r)
{
    const struct decode_frame *entry = r->top, *parent = entry - 1;
    const sennit_field *field = &parent->d->fields[parent->expect - 1];
    char octets[20];
    sennit_str body;
    enum pb_result result = pb_encode(entry->d, entry->msg, r->a, 0, &body);
    if (result != PB_OK)
        return result;
    ((struct pb_list *)(parent->msg + field->offset))->len--;
    size_t n = pb_put_varint(octets, (uint64_t)field->number << 3 | PB_LENGTH);
    n += pb_put_varint(octets + n, body.len);
    char *to = decode_more_unknown(r, parent, n + body.len);
    if (!to)
        return PB_NO_MEMORY;
    memcpy(to, octets, n);
    memcpy(to + n, body.data, body.len);
    return PB_OK;
}

static size_t decode_count_varints(const char *p, const char *end)
{
    size_t n = 0;
    for (; p < end; p++)
        n += (uint8_t)*p < 0x80;
    return n;
}

static enum pb_result decode_packed(struct decode *r, const char *end, const sennit_field *f,
                                    struct pb_list *l)
{
    size_t size = pb_kind_size[f->kind], octets = (size_t)(end - r->at), n;
    if (pb_kind_wire[f->kind] == PB_VARINT)
        n = decode_count_varints(r->at, end);
    else
        n = octets / (pb_kind_wire[f->kind] == PB_FIXED64 ? 8 : 4);
    if (octets == 0)
        return PB_OK;
    char *to = decode_list_add(r, l, size, n ? n : 1);
    if (!to)
        return PB_NO_MEMORY;
    while (r->at < end) {
        enum pb_result result = decode_scalar(r, end, f, to);
        if (result != PB_OK)
            return result;
        if (f->flags & SENNIT_FIELD_CLOSED && decode_is_strange(f, to)) {
            result = decode_keep_enum(r, f, to);
            if (result != PB_OK)
                return result;
            continue;
        }
        to += size;
        l->len++;
    }
    return PB_OK;
}

/* -- frames ---------------------------------------------------------------------------------- */

static enum pb_result decode_push(struct decode *r, const sennit_msg_desc *d, char *msg, char *end,
                                  uint32_t group)
{
    if (r->depth >= r->limit)
        return PB_TOO_DEEP;
    size_t n = (size_t)(r->top - r->frames) + 1;
    if (n == r->room) {
        struct decode_frame *bigger = pb_grow_frames(r->a, r->frames, sizeof *bigger, n, &r->room);
        if (!bigger)
            return PB_NO_MEMORY;
        r->frames = bigger;
        r->top = bigger + n - 1;
    }
    r->depth++;
    struct decode_frame *f = ++r->top; /* start and first are for unknown groups alone */
    f->d = d, f->msg = msg, f->end = end;
    f->group = group;
    f->expect = d ? d->n_dense : 0;
    f->todo = d && d->flags >> 16;
    f->maps = f->strange = false;
    return PB_OK;
}

static enum pb_result decode_maps(struct decode *r, const struct decode_frame *f)
{
    for (uint32_t i = 0; i < f->d->n_fields; i++) {
        const sennit_field *field = &f->d->fields[i];
        if (field->flags & SENNIT_FIELD_MAP) {
            struct pb_list *l = (struct pb_list *)(f->msg + field->offset);
            enum pb_result result = pb_map_dedupe(r->a, field, l);
            if (result != PB_OK)
                return result;
        }
    }
    return PB_OK;
}

/* -- unknown fields -------------------------------------------------------------------------- */

/* Skips the value of a field nobody knows. Groups become frames without a table. */
static enum pb_result decode_unknown(struct decode *r, uint32_t tag, char *start, uint8_t first)
{
    struct decode_frame *f = r->top;
    uint64_t v;
    enum pb_result result = PB_OK;
    switch (tag & 7) {
    case PB_VARINT:
        result = decode_varint(r, f->end, &v);
        break;
    case PB_FIXED64:
    case PB_FIXED32:
        v = (tag & 7) == PB_FIXED64 ? 8 : 4;
        if ((size_t)(f->end - r->at) < v)
            return PB_TRUNCATED;
        r->at += v;
        break;
    case PB_LENGTH:
        result = decode_varint(r, f->end, &v);
        if (result == PB_OK && v > (uint64_t)(f->end - r->at))
            return PB_TRUNCATED;
        if (result == PB_OK)
            r->at += v;
        break;
    case PB_START_GROUP:
        result = decode_push(r, NULL, NULL, f->end, tag >> 3);
        if (result == PB_OK)
            r->top->start = start, r->top->first = first;
        return result;
    default:
        return PB_BAD_TAG;
    }
    return result == PB_OK && f->d ? decode_keep(r, f, start, first) : result;
}

/* The innermost known message is complete; it stays on the stack. */
static enum pb_result decode_complete(struct decode *r)
{
    const struct decode_frame *f = r->top;
    if (f->d->flags >> 16 && !pb_has_required(f->d, f->msg))
        r->missing = true;
    if (f->strange)
        return decode_keep_entry(r);
    return f->maps ? decode_maps(r, f) : PB_OK;
}

/* END_GROUP: closes the innermost group, which must have this number. */
static enum pb_result decode_end_group(struct decode *r, uint32_t number)
{
    struct decode_frame *f = r->top;
    if (f->group != number)
        return PB_BAD_TAG;
    enum pb_result result = f->d ? decode_complete(r) : PB_OK;
    char *start = f->start;
    uint8_t first = f->first;
    bool unknown = !f->d;
    r->top--;
    r->depth--;
    if (result == PB_OK && unknown && r->top->d)
        result = decode_keep(r, r->top, start, first);
    return result;
}

/* -- fields ---------------------------------------------------------------------------------- */

static const sennit_field *decode_find(struct decode_frame *f, uint32_t number)
{
    const sennit_msg_desc *d = f->d;
    if (likely(number - 1 < d->n_dense))
        return &d->fields[number - 1];
    if (f->expect < d->n_fields && d->fields[f->expect].number == number)
        return &d->fields[f->expect];
    uint32_t low = d->n_dense, high = d->n_fields;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (d->fields[mid].number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low < d->n_fields && d->fields[low].number == number ? &d->fields[low] : NULL;
}

/* Where a singular field's value goes; marks it as there. *same: a oneof member was set before. */
static char *decode_place(const struct decode_frame *f, const sennit_field *field, bool *same)
{
    *same = true;
    if (field->flags & SENNIT_FIELD_HAS) {
        pb_set_has(f->msg, field->presence);
    } else if (field->flags & SENNIT_FIELD_ONEOF) {
        uint32_t *which = (uint32_t *)(f->msg + field->presence);
        *same = *which == field->number;
        *which = field->number;
    }
    return f->msg + field->offset;
}

static enum pb_result decode_string(struct decode *r, const sennit_field *field, char *to, size_t n)
{
    if ((field->flags & SENNIT_FIELD_UTF8) && !pb_utf8_valid(r->at, n))
        return PB_BAD_UTF8;
    sennit_str s = { r->at, n };
    memcpy(to, &s, sizeof s);
    r->at += n;
    r->nul = r->at;
    return PB_OK;
}

/* The struct that a sub-message goes into: a new one, or (merging) the one that is there. */
static char *decode_sub(struct decode *r, struct decode_frame *f, const sennit_field *field)
{
    const sennit_msg_desc *d = field->type;
    if (field->flags & SENNIT_FIELD_REPEATED) {
        struct pb_list *l = (struct pb_list *)(f->msg + field->offset);
        char *to = decode_list_add(r, l, d->size, 1);
        if (to) {
            memcpy(to, d->empty, d->size);
            l->len++;
            f->maps |= (field->flags & SENNIT_FIELD_MAP) != 0;
            f->todo |= f->maps;
        }
        return to;
    }
    bool same;
    char **place = (char **)decode_place(f, field, &same);
    if (same && *place && *place != d->empty)
        return *place;
    char *to = arena_alloc(r->a, d->size);
    if (to) {
        memcpy(to, d->empty, d->size);
        *place = to;
    } else {
        *place = (char *)(uintptr_t)d->empty;
    }
    return to;
}

/* A length-delimited value of a known field. */
static enum pb_result decode_length(struct decode *r, const sennit_field *field)
{
    struct decode_frame *f = r->top;
    uint64_t n;
    enum pb_result result = decode_varint(r, f->end, &n);
    if (result != PB_OK)
        return result;
    if (n > (uint64_t)(f->end - r->at))
        return PB_TRUNCATED;
    char *end = r->at + n;
    if (field->kind == SENNIT_KIND_MESSAGE) {
        char *msg = decode_sub(r, f, field);
        return msg ? decode_push(r, field->type, msg, end, 0) : PB_NO_MEMORY;
    }
    struct pb_list *l = (struct pb_list *)(f->msg + field->offset);
    if (pb_kind_wire[field->kind] != PB_LENGTH)
        return decode_packed(r, end, field, l);
    if (!(field->flags & SENNIT_FIELD_REPEATED)) {
        bool same;
        return decode_string(r, field, decode_place(f, field, &same), n);
    }
    char *to = decode_list_add(r, l, sizeof(sennit_str), 1);
    if (!to)
        return PB_NO_MEMORY;
    l->len++;
    return decode_string(r, field, to, n);
}

/* One value of a closed enum. In a map the whole entry is strange. */
static enum pb_result decode_closed(struct decode *r, const sennit_field *field)
{
    struct decode_frame *f = r->top;
    char value[4];
    bool same;
    enum pb_result result = decode_scalar(r, f->end, field, value);
    if (result != PB_OK)
        return result;
    bool strange = decode_is_strange(field, value);
    f->strange = strange && f->d->flags & SENNIT_MSG_MAP_ENTRY;
    f->todo |= f->strange;
    if (strange && !f->strange)
        return decode_keep_enum(r, field, value);
    if (!(field->flags & SENNIT_FIELD_REPEATED)) {
        memcpy(decode_place(f, field, &same), value, sizeof value);
        return PB_OK;
    }
    struct pb_list *l = (struct pb_list *)(f->msg + field->offset);
    char *to = decode_list_add(r, l, sizeof value, 1);
    if (!to)
        return PB_NO_MEMORY;
    memcpy(to, value, sizeof value);
    l->len++;
    return PB_OK;
}

static enum pb_result decode_number(struct decode *r, const sennit_field *field)
{
    struct decode_frame *f = r->top;
    if (unlikely(field->flags & SENNIT_FIELD_CLOSED))
        return decode_closed(r, field);
    if (field->flags & SENNIT_FIELD_REPEATED) {
        struct pb_list *l = (struct pb_list *)(f->msg + field->offset);
        char *to = decode_list_add(r, l, pb_kind_size[field->kind], 1);
        if (!to)
            return PB_NO_MEMORY;
        enum pb_result result = decode_scalar(r, f->end, field, to);
        l->len += result == PB_OK;
        return result;
    }
    bool same;
    return decode_scalar(r, f->end, field, decode_place(f, field, &same));
}

static enum pb_result decode_field(struct decode *r)
{
    struct decode_frame *f = r->top;
    char *start = r->at;
    uint32_t tag;
    uint8_t first;
    enum pb_result result = decode_tag(r, f->end, &tag, &first);
    if (result != PB_OK)
        return result;
    if ((tag & 7) == PB_END_GROUP)
        return f->group ? decode_end_group(r, tag >> 3) : PB_BAD_TAG;
    const sennit_field *field = f->d ? decode_find(f, tag >> 3) : NULL;
    if (!field)
        return decode_unknown(r, tag, start, first);
    f->expect = (uint32_t)(field - f->d->fields) + 1;
    uint8_t wire = pb_kind_wire[field->kind];
    if ((tag & 7) == PB_LENGTH &&
        (wire == PB_LENGTH || (wire != PB_START_GROUP && (field->flags & SENNIT_FIELD_REPEATED))))
        return decode_length(r, field);
    if ((tag & 7) != wire)
        return decode_unknown(r, tag, start, first);
    if (wire == PB_START_GROUP) {
        char *msg = decode_sub(r, f, field);
        return msg ? decode_push(r, field->type, msg, f->end, tag >> 3) : PB_NO_MEMORY;
    }
    return decode_number(r, field);
}

/* -- the bulk --------------------------------------------------------------------------------- */

/* What the fast path does with a kind; the lowest three bits are its wire type. */
#define DECODE_OP(op, wire) ((op) << 3 | (wire))
enum {
    DECODE_V32 = DECODE_OP(0, PB_VARINT),
    DECODE_V64 = DECODE_OP(1, PB_VARINT),
    DECODE_BOOL = DECODE_OP(2, PB_VARINT),
    DECODE_Z32 = DECODE_OP(3, PB_VARINT),
    DECODE_Z64 = DECODE_OP(4, PB_VARINT),
    DECODE_F32 = DECODE_OP(5, PB_FIXED32),
    DECODE_F64 = DECODE_OP(6, PB_FIXED64),
    DECODE_STRING = DECODE_OP(7, PB_LENGTH),
    DECODE_MESSAGE = DECODE_OP(8, PB_LENGTH),
    DECODE_GROUP = DECODE_OP(9, PB_START_GROUP)
};
static const uint8_t decode_op[19] = {
    0,          DECODE_F64,  DECODE_F32,    DECODE_V64,   DECODE_V64,     DECODE_V32,    DECODE_F64,
    DECODE_F32, DECODE_BOOL, DECODE_STRING, DECODE_GROUP, DECODE_MESSAGE, DECODE_STRING, DECODE_V32,
    DECODE_V32, DECODE_F32,  DECODE_F64,    DECODE_Z32,   DECODE_Z64,
};

/* The field of the tag at *at, if it has the field's own wire type; *at moves behind the tag. NULL:
 * decode_field must look. */
static inline const sennit_field *decode_known(struct decode_frame *f, char **at)
{
    const sennit_msg_desc *d = f->d;
    const sennit_field *field;
    char *p = *at;
    uint32_t tag = (uint8_t)*p++, index;
    if (tag >= 0x80) {
        if (p == f->end || (uint8_t)*p >= 0x80)
            return NULL;
        tag = (tag & 0x7f) | (uint32_t)(uint8_t)*p++ << 7;
    }
    index = (tag >> 3) - 1;
    if (unlikely(index >= d->n_dense)) {
        index = f->expect;
        if (index >= d->n_fields || d->fields[index].number != tag >> 3)
            return NULL;
        f->expect = index + 1;
    }
    field = &d->fields[index];
    *at = p;
    return ((decode_op[field->kind] ^ tag) & 7) == 0 ? field : NULL;
}

/* Where the value of a plain field goes, marked as there. NULL: decode_field must look. */
static inline char *decode_plain(struct decode *r, char *msg, const sennit_field *field)
{
    char *to = msg + field->offset;
    uint32_t flags = field->flags;
    if (unlikely(flags & (SENNIT_FIELD_REPEATED | SENNIT_FIELD_CLOSED))) {
        if (decode_op[field->kind] != DECODE_STRING)
            return NULL;
        to = decode_list_add(r, (struct pb_list *)to, sizeof(sennit_str), 1);
        if (to)
            ((struct pb_list *)(msg + field->offset))->len++;
        return to;
    }
    if (flags & SENNIT_FIELD_HAS)
        pb_set_has(msg, field->presence);
    else if (flags & SENNIT_FIELD_ONEOF)
        *(uint32_t *)(msg + field->presence) = field->number;
    return to;
}

/* One varint into the struct; the end; NULL: truncated or too long. */
static inline char *decode_number_at(char *p, const char *end, uint8_t op, char *to)
{
    uint64_t v;
    if (likely(p < end && (uint8_t)*p < 0x80))
        v = (uint8_t)*p++;
    else if (!(p = decode_varint_at(p, end, &v)))
        return NULL;
    uint32_t w = (uint32_t)v;
    if (op == DECODE_V64) {
        memcpy(to, &v, 8);
    } else if (op == DECODE_BOOL) {
        *(bool *)to = v != 0;
    } else if (op == DECODE_Z64) {
        v = v >> 1 ^ (0 - (v & 1));
        memcpy(to, &v, 8);
    } else {
        w = op == DECODE_Z32 ? w >> 1 ^ (0 - (w & 1)) : w;
        memcpy(to, &w, 4);
    }
    return p;
}

/* A length-delimited value begins at the result and has *n octets; NULL: truncated. */
static inline char *decode_length_at(char *p, const char *end, uint64_t *n)
{
    if (likely(p < end && (uint8_t)*p < 0x80))
        *n = (uint8_t)*p++;
    else
        p = decode_varint_at(p, end, n);
    return p && *n <= (uint64_t)(end - p) ? p : NULL;
}

/* Goes into the sub-message whose n octets begin at p. */
static inline enum pb_result decode_enter(struct decode *r, const sennit_field *field, char *p,
                                          uint64_t n)
{
    struct decode_frame *f = r->top;
    f->expect = (uint32_t)(field - f->d->fields) + 1;
    char *msg = decode_sub(r, f, field);
    return msg ? decode_push(r, field->type, msg, p + n, 0) : PB_NO_MEMORY;
}

/* Out of messages that have ended, as far as nothing is to be done about them. */
static inline struct decode_frame *decode_leave(struct decode *r, const char *at)
{
    struct decode_frame *f = r->top;
    while (at == f->end && f != r->frames && !f->todo && !f->group) {
        r->depth--;
        r->top = --f;
    }
    return f;
}

/* Known fields, as many as follow one another, through sub-messages as well, without leaving this
 * function: the bulk of all. What is not plain stays for decode_field, and so does what is broken,
 * which it finds again. */
static enum pb_result decode_bulk(struct decode *r)
{
    struct decode_frame *f = r->top;
    char *at = r->at, *nul = r->nul, *to;
    enum pb_result result = PB_OK;
    while (at < f->end) {
        char *p = at;
        const char *end = f->end;
        uint64_t n;
        const sennit_field *field = decode_known(f, &p);
        if (!field)
            break;
        uint8_t op = decode_op[field->kind];
        if (op == DECODE_STRING) {
            p = decode_length_at(p, end, &n);
            if (!p || (field->flags & SENNIT_FIELD_UTF8 && !pb_utf8_valid(p, n)) ||
                !(to = decode_plain(r, f->msg, field)))
                break;
            *(sennit_str *)to = (sennit_str){ p, n };
            *nul = 0;
            nul = at = p + n;
        } else if (op == DECODE_MESSAGE) {
            p = decode_length_at(p, end, &n);
            if (!p || (result = decode_enter(r, field, p, n)) != PB_OK)
                break;
            f = r->top;
            *nul = 0;
            nul = &r->spare;
            at = p;
        } else {
            if (op == DECODE_GROUP || !(to = decode_plain(r, f->msg, field)))
                break;
            n = op == DECODE_F64 ? 8 : 4;
            if (op < DECODE_F32)
                p = decode_number_at(p, end, op, to);
            else if ((uint64_t)(end - p) < n)
                break;
            else
                memcpy(to, p, op == DECODE_F64 ? 8 : 4), p += n;
            if (!p)
                break;
            *nul = 0;
            nul = &r->spare;
            at = p;
        }
        if (at == f->end)
            f = decode_leave(r, at);
    }
    r->at = at;
    r->nul = nul;
    return result;
}

static enum pb_result decode_run(struct decode *r)
{
    for (;;) {
        enum pb_result result = r->top->d ? decode_bulk(r) : PB_OK;
        struct decode_frame *f = r->top;
        if (unlikely(result != PB_OK))
            return result;
        if (r->at < f->end) {
            result = decode_field(r);
        } else if (f->group) {
            return PB_TRUNCATED;
        } else {
            if (f->todo)
                result = decode_complete(r);
            if (f == r->frames) {
                *r->nul = 0;
                return result;
            }
            r->top--;
            r->depth--;
        }
        if (unlikely(result != PB_OK))
            return result;
    }
}

enum pb_result pb_decode(const sennit_msg_desc *d, void *msg, char *buf, size_t n,
                         struct sennit_arena *a, uint32_t depth)
{
    const sennit_wire_options o = { .depth = depth };
    return pb_decode_with(d, msg, buf, n, a, &o);
}

enum pb_result pb_decode_with(const sennit_msg_desc *d, void *msg, char *buf, size_t n,
                              struct sennit_arena *a, const sennit_wire_options *o)
{
    struct decode_frame frames[PB_FRAMES_INLINE];
    struct decode r = { .at = buf,
                        .a = a,
                        .frames = frames,
                        .top = frames,
                        .room = PB_FRAMES_INLINE,
                        .limit = o->depth ? o->depth : LIMIT_PB_DEPTH };
    r.nul = &r.spare;
    r.depth = 1;
    frames[0] = (struct decode_frame){
        .d = d, .msg = msg, .end = buf + n, .expect = d->n_dense, .todo = d->flags >> 16
    };
    pb_init(d, msg);
    if (n > LIMIT_PB_SIZE)
        return PB_TOO_LARGE;
    enum pb_result result = decode_run(&r);
    if (result == PB_OK && r.missing && !o->partial)
        result = pb_check_required(d, msg, a);
    if (unlikely(result != PB_OK))
        pb_init(d, msg);
    return result;
}
