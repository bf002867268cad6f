/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * decode.c: octets to structs by tables, without native recursion: open messages are frames on an
 * explicit stack, so depth costs 48 octets each and has one limit.
 * Strings become views into the caller's buffer. Each needs a NUL behind it, where the next tag's
 * first octet lies (or the spare octet): the NUL is owed (`nul`) and paid when that octet has been
 * read. Whoever copies raw octets (unknown fields) puts the read octet back into the copy.
 * Memory: arrays double, so they take at most twice their final size plus what doubling left
 * behind; everything is bounded by the arena's cap. */
#include "pb/decode.h"

void pb_init(const sennit_msg_desc *d, void *msg) { memcpy(msg, d->empty, d->size); }

/* -- numbers --------------------------------------------------------------------------------- */

static inline enum pb_result decode_number_at(struct decode *r, const char *end, uint64_t *out)
{
    struct decode_varint v = decode_varint_at(r->at, end);
    if (unlikely(!v.end))
        return decode_no_varint(r->at, end);
    *out = v.value;
    r->at = v.end;
    return PB_OK;
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

/* One scalar of f's own wire type into the struct or array. */
static enum pb_result decode_scalar(struct decode *r, const char *end, const sennit_field *f,
                                    char *to)
{
    uint64_t v;
    size_t n = pb_kind_wire[pb_kind(f)] == PB_FIXED64 ? 8 : 4;
    if (pb_kind_wire[pb_kind(f)] == PB_VARINT) {
        enum pb_result result = decode_number_at(r, end, &v);
        if (result == PB_OK)
            decode_store_varint(pb_kind(f), to, v);
        return result;
    }
    if ((size_t)(end - r->at) < n)
        return PB_TRUNCATED;
    memcpy(to, r->at, n); /* both architectures are little-endian */
    r->at += n;
    return PB_OK;
}

/* n more octets of the message's unknown fields; NULL: no memory. They double as arrays do. */
static char *decode_more_unknown(struct decode *r, const struct decode_frame *f, size_t n)
{
    sennit_str *u = (sennit_str *)(f->msg + f->d->unknown);
    struct pb_list l = { (char *)(uintptr_t)u->data, u->len ? u->len + 1 : 0 }; /* with its NUL */
    char *to = pb_decode_list_add(r, &l, 1, u->len ? n : n + 1);
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
    const sennit_field *field = parent->last;
    char octets[20];
    sennit_str body;
    enum pb_result result = pb_encode_msg(entry->d, entry->msg, r->a, 0, &body);
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

enum pb_result pb_decode_packed_closed(struct decode *r, const char *end, const sennit_field *f,
                                       struct pb_list *l)
{
    while (r->at < end) {
        char *to = l->data + 4 * l->len;
        enum pb_result result = decode_scalar(r, end, f, to);
        bool strange = result == PB_OK && decode_is_strange(f, to);
        if (strange)
            result = decode_keep_enum(r, f, to);
        if (result != PB_OK)
            return result;
        l->len += !strange;
    }
    return PB_OK;
}

/* -- frames ---------------------------------------------------------------------------------- */

enum pb_result pb_decode_deeper(struct decode *r)
{
    size_t n = (size_t)(r->top - r->frames) + 1;
    size_t limit = pb_depth(r->o);
    if (n >= limit)
        return PB_TOO_DEEP;
    struct decode_frame *bigger = pb_grow_frames(r->a, r->frames, sizeof *bigger, n, &r->room);
    if (!bigger)
        return PB_NO_MEMORY;
    r->frames = bigger;
    r->top = bigger + n - 1;
    r->brim = bigger + min_size(r->room, limit);
    return PB_OK;
}

static enum pb_result decode_push(struct decode *r, const sennit_msg_desc *d, char *msg, char *end,
                                  uint32_t group)
{
    enum pb_result result = r->top + 1 == r->brim ? pb_decode_deeper(r) : PB_OK;
    if (result == PB_OK)
        decode_open(++r->top, d, msg, end, group);
    return result;
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
        result = decode_number_at(r, f->end, &v);
        break;
    case PB_FIXED64:
    case PB_FIXED32:
        v = (tag & 7) == PB_FIXED64 ? 8 : 4;
        if ((size_t)(f->end - r->at) < v)
            return PB_TRUNCATED;
        r->at += v;
        break;
    case PB_LENGTH:
        result = decode_number_at(r, f->end, &v);
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
    if (result == PB_OK && unknown && r->top->d)
        result = decode_keep(r, r->top, start, first);
    return result;
}

/* -- fields ---------------------------------------------------------------------------------- */

const sennit_field *pb_decode_find(const struct decode_frame *f, uint32_t number)
{
    const sennit_msg_desc *d = f->d;
    if (likely(number - 1 < d->n_dense))
        return &d->fields[number - 1];
    const sennit_field *last = f->last;
    if (last && last->number == number)
        return last;
    if (last && last + 1 < d->fields + d->n_fields && last[1].number == number)
        return last + 1;
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
        char *to = pb_decode_list_add(r, l, d->size, 1);
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
    enum pb_result result = decode_number_at(r, f->end, &n);
    if (result != PB_OK)
        return result;
    if (n > (uint64_t)(f->end - r->at))
        return PB_TRUNCATED;
    char *end = r->at + n;
    if (pb_kind(field) == SENNIT_KIND_MESSAGE) {
        char *msg = decode_sub(r, f, field);
        return msg ? decode_push(r, field->type, msg, end, 0) : PB_NO_MEMORY;
    }
    struct pb_list *l = (struct pb_list *)(f->msg + field->offset);
    if (pb_kind_wire[pb_kind(field)] != PB_LENGTH)
        return pb_decode_packed(r, end, field, l);
    if (!(field->flags & SENNIT_FIELD_REPEATED)) {
        bool same;
        return decode_string(r, field, decode_place(f, field, &same), n);
    }
    char *to = pb_decode_list_add(r, l, sizeof(sennit_str), 1);
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
    char *to = pb_decode_list_add(r, l, sizeof value, 1);
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
        char *to = pb_decode_list_add(r, l, pb_kind_size[pb_kind(field)], 1);
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
    const sennit_field *field = f->d ? pb_decode_find(f, tag >> 3) : NULL;
    if (!field)
        return decode_unknown(r, tag, start, first);
    f->last = field;
    uint8_t wire = pb_kind_wire[pb_kind(field)];
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

/* -- the whole ------------------------------------------------------------------------------- */

/* A field, or the end of a message. */
static enum pb_result decode_step(struct decode *r)
{
    const struct decode_frame *f = r->top;
    if (r->at < f->end)
        return decode_field(r);
    if (f->group)
        return PB_TRUNCATED;
    enum pb_result result = decode_complete(r);
    r->done = f == r->frames;
    r->top -= !r->done;
    return result;
}

enum pb_result pb_decode_rest(struct decode *r)
{
    enum pb_result result;
    do
        result = decode_step(r);
    while (result == PB_OK && !r->top->d);
    return result;
}

enum pb_result pb_decode_end(struct decode *r, enum pb_result result)
{
    const struct decode_frame *root = r->frames;
    *r->nul = 0;
    if (result == PB_OK && r->missing && !r->o->partial)
        result = pb_check_required(root->d, root->msg, r->a);
    if (result != PB_OK)
        pb_init(root->d, root->msg);
    return result;
}

enum pb_result pb_decode_msg(const sennit_msg_desc *d, void *msg, char *buf, size_t n,
                             struct sennit_arena *a, uint32_t depth)
{
    const sennit_wire_options o = { .depth = depth };
    return pb_decode_with(d, msg, buf, n, a, &o);
}
