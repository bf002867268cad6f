/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * required.c: whether all required fields are there in a whole tree. Decoding asks only when a
 * message closed without one: the rest of it may come later, in another piece of the same field. */
#include "pb/pb_private.h"

struct required_frame {
    const sennit_msg_desc *d;
    const char *msg;
    uint32_t field;
    size_t elem;
};
struct required {
    struct sennit_arena *a;
    struct required_frame *top, *frames;
    size_t room;
    enum pb_result result;
};

bool pb_has_required(const sennit_msg_desc *d, const void *msg)
{
    const uint32_t *has = msg;
    for (uint32_t n = d->flags >> 16; n; n -= n < 32 ? n : 32, has++)
        if ((~*has & (n < 32 ? (UINT32_C(1) << n) - 1 : UINT32_MAX)) != 0)
            return false;
    return true;
}

static void required_push(struct required *r, const sennit_msg_desc *d, const char *msg)
{
    size_t n = (size_t)(r->top - r->frames) + 1;
    if (n == r->room) {
        struct required_frame *bigger =
            pb_grow_frames(r->a, r->frames, sizeof *bigger, n, &r->room);
        if (!bigger) {
            r->result = PB_NO_MEMORY;
            return;
        }
        r->frames = bigger;
        r->top = bigger + n - 1;
    }
    if (!pb_has_required(d, msg))
        r->result = PB_MISSING;
    *++r->top = (struct required_frame){ .d = d, .msg = msg };
}

/* The next message below the frame's current field; NULL: no more, and the field is done. */
static const char *required_next(struct required_frame *f, const sennit_field *field)
{
    const char *msg = NULL;
    if (field->flags & SENNIT_FIELD_REPEATED) {
        const struct pb_list *l = (const struct pb_list *)(f->msg + field->offset);
        if (f->elem < l->len)
            return l->data + f->elem++ * pb_elem_size(field);
    } else if (f->elem++ == 0 && pb_oneof_is(f->msg, field)) {
        memcpy(&msg, f->msg + field->offset, sizeof msg);
        if (msg == ((const sennit_msg_desc *)field->type)->empty)
            msg = NULL;
    }
    if (!msg) {
        f->elem = 0;
        f->field++;
    }
    return msg;
}

enum pb_result pb_check_required(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a)
{
    struct required_frame frames[PB_FRAMES_INLINE];
    struct required r = { .a = a, .frames = frames, .top = frames, .room = PB_FRAMES_INLINE };
    frames[0] = (struct required_frame){ .d = d, .msg = msg };
    if (!pb_has_required(d, msg))
        return PB_MISSING;
    while (r.result == PB_OK) {
        struct required_frame *f = r.top;
        if (f->field == f->d->n_fields) {
            if (f == r.frames)
                break;
            r.top--;
            continue;
        }
        const sennit_field *field = &f->d->fields[f->field];
        const char *below = pb_is_message(field) ? required_next(f, field) : NULL;
        if (below)
            required_push(&r, field->type, below);
        else if (!pb_is_message(field))
            f->field++;
    }
    return r.result;
}
