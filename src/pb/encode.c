/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode.c: structs to octets in one pass, written backwards: a sub-message's length is known when
 * its front is reached, so nothing is measured beforehand. No native recursion: open messages are
 * frames. Fields go out ascending by number, unknown ones last; the same message gives the same
 * octets. */
#include "pb/pb_private.h"

#define ENCODE_FIRST 256u /* octets of the first buffer */

struct encode_frame {
    const sennit_msg_desc *d;
    const char *msg;
    uint32_t field; /* fields[0 .. field) are still to be written */
    bool map;       /* an entry: key and value always go out */
    bool started;   /* the repeated field's elem is set */
    size_t elem;    /* elements [0, elem) of the current repeated field are to be written */
    size_t mark;    /* octets written before this message */
};
struct encode {
    char *at, *start, *end; /* written: [at, end) */
    size_t written;
    bool counting; /* nothing is written: the arena holds frames only */
    struct sennit_arena *a;
    size_t headroom;
    struct encode_frame *top, *frames;
    size_t room;
    enum pb_result result;
};

/* -- octets ----------------------------------------------------------------------------------- */

/* Makes room for n more octets in front; false: the result is set. */
static bool encode_room(struct encode *w, size_t n)
{
    size_t have = (size_t)(w->end - w->at), size = (size_t)(w->end - w->start);
    if (w->written + n > LIMIT_PB_SIZE) {
        w->result = PB_TOO_LARGE;
        return false;
    }
    if (w->counting || (size_t)(w->at - w->start) >= n + w->headroom)
        return true;
    size_t want = size ? size * 2 : ENCODE_FIRST;
    while (want < have + n + w->headroom)
        want *= 2;
    char *bigger = arena_alloc(w->a, want);
    if (!bigger) {
        w->result = PB_NO_MEMORY;
        return false;
    }
    if (have)
        memcpy(bigger + want - have, w->at, have);
    w->start = bigger, w->end = bigger + want, w->at = w->end - have;
    return true;
}

static void encode_octets(struct encode *w, const void *p, size_t n)
{
    if (n == 0 || !encode_room(w, n))
        return;
    w->written += n;
    if (!w->counting) {
        w->at -= n;
        memcpy(w->at, p, n);
    }
}

static void encode_varint(struct encode *w, uint64_t v)
{
    char octets[10];
    size_t n = 0;
    do {
        octets[n++] = (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v);
    encode_octets(w, octets, n);
}

static void encode_tag(struct encode *w, uint32_t number, enum pb_wire wire)
{
    encode_varint(w, (uint64_t)number << 3 | wire);
}

static void encode_string(struct encode *w, const sennit_field *f, const char *from)
{
    sennit_str s;
    memcpy(&s, from, sizeof s);
    size_t n = s.data ? s.len : 0;
    if (n && (f->flags & SENNIT_FIELD_UTF8) && !pb_utf8_valid(s.data, n)) {
        w->result = PB_BAD_UTF8;
        return;
    }
    encode_octets(w, s.data, n);
    encode_varint(w, n);
}

/* The value alone, without tag. */
static void encode_scalar(struct encode *w, const sennit_field *f, const char *from)
{
    uint64_t v = 0;
    memcpy(&v, from, pb_kind_size[f->kind] <= 8 ? pb_kind_size[f->kind] : 0);
    switch (f->kind) {
    case SENNIT_KIND_BOOL:
        v = v != 0;
        break;
    case SENNIT_KIND_INT32:
    case SENNIT_KIND_ENUM:
        v = (uint64_t)(int64_t)(int32_t)v;
        break;
    case SENNIT_KIND_SINT32:
        v = (uint32_t)v << 1 ^ (0 - ((uint32_t)v >> 31));
        v = (uint32_t)v;
        break;
    case SENNIT_KIND_SINT64:
        v = v << 1 ^ (0 - (v >> 63));
        break;
    case SENNIT_KIND_STRING:
    case SENNIT_KIND_BYTES:
        encode_string(w, f, from);
        return;
    default:
        break;
    }
    if (pb_kind_wire[f->kind] == PB_VARINT)
        encode_varint(w, v);
    else
        encode_octets(w, from, pb_kind_size[f->kind]);
}

/* -- fields ----------------------------------------------------------------------------------- */

static void encode_push(struct encode *w, const sennit_msg_desc *d, const void *msg, bool map)
{
    size_t n = (size_t)(w->top - w->frames) + 1;
    if (n >= LIMIT_PB_DEPTH) {
        w->result = PB_TOO_DEEP;
        return;
    }
    if (n == w->room) {
        struct encode_frame *bigger = pb_grow_frames(w->a, w->frames, sizeof *bigger, n, &w->room);
        if (!bigger) {
            w->result = PB_NO_MEMORY;
            return;
        }
        w->frames = bigger;
        w->top = bigger + n - 1;
    }
    *++w->top = (struct encode_frame){
        .d = d, .msg = msg, .field = d->n_fields, .map = map, .mark = w->written
    };
    const sennit_str *u = (const sennit_str *)(w->top->msg + d->unknown);
    encode_octets(w, u->data, u->data ? u->len : 0);
}

static void encode_packed(struct encode *w, const sennit_field *f, const struct pb_list *l)
{
    size_t mark = w->written, size = pb_kind_size[f->kind];
    for (size_t i = l->len; i-- > 0 && w->result == PB_OK;)
        encode_scalar(w, f, l->data + i * size);
    encode_varint(w, w->written - mark);
    encode_tag(w, f->number, PB_LENGTH);
}

/* Opens a sub-message; what closes it is encode_close. */
static void encode_open(struct encode *w, const sennit_field *f, const void *msg)
{
    const sennit_msg_desc *d = f->type;
    if (f->kind == SENNIT_KIND_GROUP)
        encode_tag(w, f->number, PB_END_GROUP);
    encode_push(w, d, msg ? msg : d->empty, (f->flags & SENNIT_FIELD_MAP) != 0);
}

static void encode_repeated(struct encode *w, const sennit_field *field)
{
    struct encode_frame *f = w->top;
    const struct pb_list *l = (const struct pb_list *)(f->msg + field->offset);
    size_t n = l->data ? l->len : 0;
    if (!pb_is_message(field)) {
        f->field--;
        if (n && (field->flags & SENNIT_FIELD_PACKED)) {
            encode_packed(w, field, l);
            return;
        }
        for (size_t i = n; i-- > 0 && w->result == PB_OK;) {
            encode_scalar(w, field, l->data + i * pb_kind_size[field->kind]);
            encode_tag(w, field->number, pb_kind_wire[field->kind]);
        }
        return;
    }
    if (!f->started) {
        f->started = true;
        f->elem = n;
    }
    if (f->elem == 0) {
        f->started = false;
        f->field--;
        return;
    }
    f->elem--;
    encode_open(w, field, l->data + f->elem * pb_elem_size(field));
}

static void encode_field(struct encode *w)
{
    struct encode_frame *f = w->top;
    const sennit_field *field = &f->d->fields[f->field - 1];
    if (field->flags & SENNIT_FIELD_REPEATED) {
        encode_repeated(w, field);
    } else if (!pb_present(f->msg, field, f->map)) {
        f->field--;
        if (field->flags & SENNIT_FIELD_REQUIRED)
            w->result = PB_MISSING;
    } else if (pb_is_message(field)) {
        const void *msg;
        memcpy(&msg, f->msg + field->offset, sizeof msg);
        encode_open(w, field, msg);
    } else {
        f->field--;
        encode_scalar(w, field, f->msg + field->offset);
        encode_tag(w, field->number, pb_kind_wire[field->kind]);
    }
}

/* The innermost message is written: its length and tag go in front. */
static void encode_close(struct encode *w)
{
    size_t len = w->written - w->top->mark;
    struct encode_frame *parent = --w->top;
    const sennit_field *field = &parent->d->fields[parent->field - 1];
    if (field->kind == SENNIT_KIND_GROUP) {
        encode_tag(w, field->number, PB_START_GROUP);
    } else {
        encode_varint(w, len);
        encode_tag(w, field->number, PB_LENGTH);
    }
    if (!(field->flags & SENNIT_FIELD_REPEATED))
        parent->field--;
}

static enum pb_result encode_run(struct encode *w, const sennit_msg_desc *d, const void *msg,
                                 struct encode_frame *frames)
{
    const sennit_str *u = (const sennit_str *)((const char *)msg + d->unknown);
    w->frames = w->top = frames;
    frames[0] = (struct encode_frame){ .d = d, .msg = msg, .field = d->n_fields };
    encode_octets(w, u->data, u->data ? u->len : 0);
    while (w->result == PB_OK) {
        if (w->top->field)
            encode_field(w);
        else if (w->top == w->frames)
            break;
        else
            encode_close(w);
    }
    return w->result;
}

enum pb_result pb_encode(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                         size_t headroom, sennit_str *out)
{
    struct encode_frame frames[PB_FRAMES_INLINE];
    struct encode w = { .a = a, .headroom = headroom, .room = PB_FRAMES_INLINE };
    *out = (sennit_str){ "", 0 };
    if (!encode_room(&w, 1) || encode_run(&w, d, msg, frames) != PB_OK)
        return w.result;
    *out = (sennit_str){ w.at, w.written };
    return PB_OK;
}

size_t pb_size(const sennit_msg_desc *d, const void *msg)
{
    struct encode_frame frames[PB_FRAMES_INLINE];
    struct sennit_arena deep;
    struct encode w = { .a = &deep, .counting = true, .room = PB_FRAMES_INLINE };
    arena_init(&deep, NULL, 0);
    enum pb_result result = encode_run(&w, d, msg, frames);
    arena_fini(&deep);
    return result == PB_OK ? w.written : SIZE_MAX;
}
