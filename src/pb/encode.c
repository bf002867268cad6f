/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode.c: structs to octets in one pass, written backwards: a sub-message's length is known when
 * its front is reached, so nothing is measured beforehand. No native recursion: open messages are
 * frames. Fields go out ascending by number, unknown ones last; the same message gives the same
 * octets.
 * The octets grow down from the end of the arena's current block, so that what was not needed is
 * still the arena's; where that is too small, or the arena is shared, they move to blocks of their
 * own, doubling. */
#include "pb/encode.h"

/* -- octets ----------------------------------------------------------------------------------- */

/* Takes a new block that has room for n more octets in front; false: the result is set. */
bool pb_encode_grow(struct encode *w, size_t n)
{
    size_t have = encode_written(w), want = ENCODE_FIRST;
    size_t most = LIMIT_PB_SIZE + (size_t)ENCODE_FIELD; /* the room is more than what is written */
    if (n > most || have > most - n) {
        w->result = PB_TOO_LARGE;
        return false;
    }
    want = max_size(want, 2 * (size_t)(w->end - w->start) + 2 * w->how->headroom);
    while (want < have + n + w->how->headroom + 1)
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
    encode_free_from(w, bigger + w->how->headroom);
    w->end = end, w->at = end - have;
    w->tail = false;
    return true;
}

/* Arena memory for something else meanwhile: not out of what is written. */
static void *encode_alloc(struct encode *w, size_t n)
{
    struct sennit_arena *a = w->a;
    char *end = a->end, *block = a->at;
    if (w->tail)
        encode_take_tail(a, w->at, w->how->headroom);
    char *taken = a->end;
    void *p = arena_alloc(a, n);
    if (!p)
        w->result = PB_NO_MEMORY;
    if (w->tail && a->end == taken && a->at >= block) { /* the block is still the current one */
        a->end = end;
        char *start = a->at + w->how->headroom;
        encode_free_from(w, start > w->at ? w->at : start);
    } else {
        w->tail = false;
    }
    return p;
}

/* -- messages and repeated fields ------------------------------------------------------------- */

/* They are in front of all else of their message, for they stand last. */
bool pb_encode_octets(struct encode *w, sennit_str s)
{
    if (!s.data || !s.len)
        return true;
    if (!encode_room(w, s.len <= LIMIT_PB_SIZE ? s.len : SIZE_MAX))
        return false;
    w->at -= s.len;
    memcpy(w->at, s.data, s.len);
    return true;
}

/* Room behind top for a frame; false: the result is set. */
static bool encode_deeper(struct encode *w)
{
    size_t n = (size_t)(w->top - w->frames) + 1;
    if (n >= pb_depth(&w->how->o)) {
        w->result = PB_TOO_DEEP;
        return false;
    }
    struct encode_frame *bigger = encode_alloc(w, w->room * 2 * sizeof *bigger);
    if (!bigger)
        return false;
    memcpy(bigger, w->frames, n * sizeof *bigger);
    w->room *= 2;
    w->frames = bigger;
    w->top = bigger + n - 1;
    w->brim = bigger + min_size(w->room, pb_depth(&w->how->o));
    return true;
}

/* Opens a message within the one on top. */
static bool encode_push(struct encode *w, const sennit_msg_desc *d, const void *msg, bool map)
{
    if (w->top + 1 == w->brim && !encode_deeper(w))
        return false;
    *++w->top = (struct encode_frame){ .msg = msg,
                                       .field = encode_last(d),
                                       .first = d->fields,
                                       .map = map,
                                       .mark = encode_written(w) };
    const sennit_str *unknown = (const sennit_str *)(w->top->msg + d->unknown);
    return pb_encode_octets(w, *unknown);
}

/* Opens a sub-message; what closes it is encode_close. */
static void encode_open(struct encode *w, const sennit_field *f, const void *msg)
{
    const sennit_msg_desc *d = f->type;
    if (pb_kind(f) == SENNIT_KIND_GROUP && encode_room(w, ENCODE_FIELD))
        w->at = encode_tag(w->at, f->number, PB_END_GROUP);
    encode_push(w, d, msg ? msg : d->empty, (f->flags & SENNIT_FIELD_MAP) != 0);
}

/* -- maps in the order of their keys ---------------------------------------------------------- */

static int encode_compare(const sennit_field *key, const char *a, const char *b)
{
    a += key->offset, b += key->offset;
    if (pb_kind_wire[pb_kind(key)] == PB_LENGTH) {
        sennit_str s, t;
        memcpy(&s, a, sizeof s);
        memcpy(&t, b, sizeof t);
        size_t n = s.data && t.data ? min_size(s.len, t.len) : 0;
        int c = n ? memcmp(s.data, t.data, n) : 0;
        return c ? c : (s.len > t.len) - (s.len < t.len);
    }
    int64_t v = 0, u = 0;
    memcpy(&v, a, pb_kind_size[pb_kind(key)]);
    memcpy(&u, b, pb_kind_size[pb_kind(key)]);
    if (pb_kind_size[pb_kind(key)] == 4 && pb_kind(key) != SENNIT_KIND_UINT32 &&
        pb_kind(key) != SENNIT_KIND_FIXED32)
        v = (int32_t)v, u = (int32_t)u;
    if (pb_kind(key) == SENNIT_KIND_UINT64 || pb_kind(key) == SENNIT_KIND_FIXED64)
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

static void encode_list(struct encode *w, const sennit_field *field, const struct pb_list *l)
{
    char *at = pb_encode_list(w, w->at, field, l);
    w->at = at ? at : w->at;
}

static void encode_repeated(struct encode *w, const sennit_field *field)
{
    struct encode_frame *f = w->top;
    const struct pb_list *l = (const struct pb_list *)(f->msg + field->offset);
    size_t n = l->data ? l->len : 0;
    if (!pb_is_message(field)) {
        f->field--;
        if (n)
            encode_list(w, field, l);
        return;
    }
    if (!f->started) {
        f->started = true;
        f->elem = n;
        f->order = NULL;
        if (field->flags & SENNIT_FIELD_MAP && w->how->o.deterministic && n > 1)
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

/* A field of any kind. */
static void encode_field(struct encode *w)
{
    struct encode_frame *f = w->top;
    const sennit_field *field = f->field - 1;
    const char *from = f->msg + field->offset;
    if (field->flags & SENNIT_FIELD_REPEATED) {
        encode_repeated(w, field);
    } else if (!pb_present(f->msg, field, f->map)) {
        f->field--;
        if (field->flags & SENNIT_FIELD_REQUIRED && !w->how->o.partial)
            w->result = PB_MISSING;
    } else if (pb_is_message(field)) {
        const void *msg;
        memcpy(&msg, from, sizeof msg);
        encode_open(w, field, msg);
    } else {
        const struct pb_list one = { (char *)(uintptr_t)from, 1 };
        f->field--;
        encode_list(w, field, &one);
    }
}

/* The innermost message is written: its length and tag go in front. */
static void encode_close(struct encode *w)
{
    size_t len = encode_written(w) - w->top->mark;
    struct encode_frame *parent = --w->top;
    const sennit_field *field = parent->field - 1;
    if (!encode_room(w, ENCODE_FIELD))
        return;
    if (pb_kind(field) == SENNIT_KIND_GROUP) {
        w->at = encode_tag(w->at, field->number, PB_START_GROUP);
    } else {
        w->at = encode_varint(w->at, len);
        w->at = encode_tag(w->at, field->number, PB_LENGTH);
    }
    if (!(field->flags & SENNIT_FIELD_REPEATED))
        parent->field--;
}

void pb_encode_rest(struct encode *w)
{
    const struct encode_frame *f = w->top;
    if (f->field != f->first)
        encode_field(w);
    else
        encode_close(w);
}

enum pb_result pb_encode_with(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                              size_t headroom, const sennit_wire_options *o, sennit_str *out)
{
    const struct pb_encode_how how = { *o, (uint32_t)headroom };
    *out = pb_to_octets(a, d, msg, &how);
    enum pb_result result = out->data ? PB_OK : (enum pb_result)out->len;
    if (!out->data)
        *out = (sennit_str){ "", 0 };
    return result;
}

enum pb_result pb_encode_msg(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                             size_t headroom, sennit_str *out)
{
    static const sennit_wire_options plain;
    return pb_encode_with(d, msg, a, headroom, &plain, out);
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
