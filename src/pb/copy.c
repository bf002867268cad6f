/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * copy.c: deep copies into an arena, by tables, without native recursion. */
#include "pb/pb_private.h"

struct copy_frame {
    const sennit_msg_desc *d;
    char *msg;      /* the copy; still points to the original's parts in fields[field ..) */
    uint32_t field; /* the next one to copy */
    size_t elem;    /* the next element of a repeated message field */
};
struct copy {
    struct sennit_arena *a;
    struct copy_frame *top, *frames;
    size_t room;
    bool failed;
};

static void copy_string(struct copy *c, char *at)
{
    sennit_str s;
    memcpy(&s, at, sizeof s);
    s = arena_str(c->a, s.data ? s.data : "", s.data ? s.len : 0);
    c->failed |= !s.data;
    memcpy(at, &s, sizeof s);
}

static char *copy_octets(struct copy *c, const char *from, size_t n)
{
    char *to = arena_alloc(c->a, n ? n : 1);
    if (to && n)
        memcpy(to, from, n);
    c->failed |= !to;
    return to;
}

static void copy_push(struct copy *c, const sennit_msg_desc *d, char *msg)
{
    size_t n = (size_t)(c->top - c->frames) + 1;
    if (n >= LIMIT_PB_DEPTH) {
        c->failed = true;
        return;
    }
    if (n == c->room) {
        struct copy_frame *bigger = pb_grow_frames(c->a, c->frames, sizeof *bigger, n, &c->room);
        c->failed |= !bigger;
        if (!bigger)
            return;
        c->frames = bigger;
        c->top = bigger + n - 1;
    }
    copy_string(c, msg + d->unknown);
    *++c->top = (struct copy_frame){ .d = d, .msg = msg };
}

/* One step of a repeated field of messages; the array itself is copied at the first. */
static void copy_messages(struct copy *c, struct copy_frame *f, const sennit_field *field)
{
    struct pb_list *l = (struct pb_list *)(f->msg + field->offset);
    size_t size = pb_elem_size(field);
    if (f->elem == 0 && l->len)
        l->data = copy_octets(c, l->data, l->len * size);
    if (c->failed || f->elem == l->len) {
        f->elem = 0;
        f->field++;
        return;
    }
    char *msg = l->data + f->elem++ * size;
    copy_push(c, field->type, msg);
}

static void copy_repeated(struct copy *c, struct copy_frame *f, const sennit_field *field)
{
    struct pb_list *l = (struct pb_list *)(f->msg + field->offset);
    if (pb_is_message(field)) {
        copy_messages(c, f, field);
        return;
    }
    f->field++;
    if (!l->len)
        return;
    l->data = copy_octets(c, l->data, l->len * pb_kind_size[pb_kind(field)]);
    for (size_t i = 0; !c->failed && pb_kind_wire[pb_kind(field)] == PB_LENGTH && i < l->len; i++)
        copy_string(c, l->data + i * sizeof(sennit_str));
}

static void copy_field(struct copy *c)
{
    struct copy_frame *f = c->top;
    const sennit_field *field = &f->d->fields[f->field];
    if (field->flags & SENNIT_FIELD_REPEATED) {
        copy_repeated(c, f, field);
        return;
    }
    f->field++;
    if (!pb_oneof_is(f->msg, field))
        return;
    if (pb_is_message(field)) {
        const sennit_msg_desc *d = field->type;
        char *msg;
        memcpy(&msg, f->msg + field->offset, sizeof msg);
        if (!msg || msg == d->empty)
            return;
        msg = copy_octets(c, msg, d->size);
        memcpy(f->msg + field->offset, &msg, sizeof msg);
        if (msg)
            copy_push(c, d, msg);
    } else if (pb_kind_wire[pb_kind(field)] == PB_LENGTH) {
        copy_string(c, f->msg + field->offset);
    }
}

void *pb_copy(struct sennit_arena *a, const sennit_msg_desc *d, const void *msg)
{
    struct copy_frame frames[PB_FRAMES_INLINE];
    struct copy c = { .a = a, .frames = frames, .top = frames, .room = PB_FRAMES_INLINE };
    char *copy = copy_octets(&c, msg, d->size);
    if (!copy)
        return NULL;
    copy_string(&c, copy + d->unknown);
    frames[0] = (struct copy_frame){ .d = d, .msg = copy };
    while (!c.failed) {
        if (c.top->field < c.top->d->n_fields)
            copy_field(&c);
        else if (c.top == c.frames)
            break;
        else
            c.top--;
    }
    return c.failed ? NULL : copy;
}
