/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_in_frames.c: control frames. A table says how long each may be and who reads its payload; the
 * payload is handed over whole, in the caller's buffer or collected. RFC 7540's priorities are
 * checked for form and then ignored, PUSH_PROMISE is an error in both roles since we forbid it.
 * Owned by the connection's reader, as the struct h2_in. */
#include "h2/h2_in_private.h"

static bool in_tell(struct h2_event *ev, enum h2_event_kind kind, const struct h2_in_stream *s)
{
    *ev = (struct h2_event){ .kind = kind, .id = s ? s->id : 0, .user = s ? s->user : NULL };
    return true;
}

BASE_COLD static bool in_priority(struct h2_in *in, struct h2_event *ev, const uint8_t *p)
{
    h2_in_spend(in, H2_GLITCH_PRIORITY);
    if ((load_be32(p) & 0x7fffffff) == in->frame.id)
        return h2_in_stream_error(in, ev, in->frame.id, H2_PROTOCOL_ERROR,
                                  "stream depends on itself");
    return true;
}

static bool in_rst(struct h2_in *in, struct h2_event *ev, const uint8_t *p)
{
    struct h2_in_stream *s = h2_in_find(in, in->frame.id);
    if (!s) {
        if (h2_in_idle(in, in->frame.id))
            return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "RST_STREAM on an idle stream");
        h2_in_spend(in, H2_GLITCH_CLOSED);
        return true;
    }
    in_tell(ev, H2_EV_RST, s);
    ev->code = load_be32(p);
    h2_in_remove(in, s, H2_IN_PEER_RESET);
    if (in->c.server) /* a server can only reset what we opened: that bounds itself */
        h2_in_spend(in, H2_GLITCH_RESET);
    return true;
}

BASE_COLD static enum h2_error in_set_one(struct h2_in *in, unsigned id, uint32_t v)
{
    struct h2_settings *s = &in->peer;
    if (id == H2_SET_HEADER_TABLE_SIZE) {
        s->header_table_size = v;
        s->least_table_size = (uint32_t)min_size(s->least_table_size, v);
    } else if (id == H2_SET_ENABLE_PUSH) {
        if (v > (in->c.server ? 1u : 0u)) /* a server must not say 1 */
            return H2_PROTOCOL_ERROR;
        s->enable_push = v;
    } else if (id == H2_SET_MAX_CONCURRENT_STREAMS) {
        s->max_concurrent_streams = v;
    } else if (id == H2_SET_INITIAL_WINDOW_SIZE) {
        if (v > H2_MAX_WINDOW)
            return H2_FLOW_CONTROL_ERROR;
        s->initial_window = v;
    } else if (id == H2_SET_MAX_FRAME_SIZE) {
        if (v < H2_DEFAULT_FRAME || v > H2_MAX_FRAME)
            return H2_PROTOCOL_ERROR;
        s->max_frame = v;
    } else if (id == H2_SET_MAX_HEADER_LIST_SIZE) {
        s->max_header_list = v;
    }
    return H2_NO_ERROR;
}

BASE_COLD static bool in_settings_ack(struct h2_in *in, struct h2_event *ev)
{
    if (in->acked) /* we send SETTINGS once */
        h2_in_spend(in, H2_GLITCH_SETTINGS);
    in->acked = true;
    in->slack = 0;
    return in_tell(ev, H2_EV_SETTINGS_ACK, NULL);
}

BASE_COLD static bool in_settings(struct h2_in *in, struct h2_event *ev, const uint8_t *p)
{
    if (in->frame.flags & H2_ACK)
        return in_settings_ack(in, ev);
    h2_in_spend(in, H2_GLITCH_SETTINGS);
    in->settled = true;
    for (uint32_t i = 0; i < in->frame.len; i += 6) {
        enum h2_error e = in_set_one(in, load_be16(p + i), load_be32(p + i + 2));
        if (e != H2_NO_ERROR)
            return h2_in_fail(in, ev, e, "a SETTINGS value is out of range");
    }
    return in_tell(ev, H2_EV_SETTINGS, NULL);
}

static bool in_ping(struct h2_in *in, struct h2_event *ev, const uint8_t *p)
{
    bool ack = in->frame.flags & H2_ACK;
    h2_in_spend(in, H2_GLITCH_PING);
    in_tell(ev, ack ? H2_EV_PING_ACK : H2_EV_PING, NULL);
    memcpy(ev->opaque, p, 8);
    return true;
}

BASE_COLD static bool in_goaway(struct h2_in *in, struct h2_event *ev, const uint8_t *p)
{
    uint32_t last = load_be32(p) & 0x7fffffff;
    h2_in_spend(in, H2_GLITCH_GOAWAY);
    /* A server may be told any id: it opens no streams. */
    if (!in->c.server && last && last % 2 == 0)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "GOAWAY with a last id that is not ours");
    if (!in->c.server && in->going && last > in->going_at)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "GOAWAY with a risen last id");
    in->going = true, in->going_at = last;
    in_tell(ev, H2_EV_GOAWAY, NULL);
    ev->last_id = last;
    ev->code = load_be32(p + 4);
    ev->data = p + 8;
    ev->len = in->need - 8;
    return true;
}

static bool in_window_update(struct h2_in *in, struct h2_event *ev, const uint8_t *p)
{
    uint32_t id = in->frame.id, increment = load_be32(p) & 0x7fffffff;
    struct h2_in_stream *s = id ? h2_in_find(in, id) : NULL;
    if (id && !s) {
        if (h2_in_idle(in, id))
            return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream");
        h2_in_spend(in, H2_GLITCH_CLOSED);
        return true;
    }
    if (increment == 0 && id)
        return h2_in_stream_error(in, ev, id, H2_PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
    if (increment == 0)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
    if (in->updates)
        in->updates--, in->counts[H2_GLITCH_WINDOW_UPDATE]++; /* an answer to DATA */
    else
        h2_in_spend(in, H2_GLITCH_WINDOW_UPDATE);
    in_tell(ev, H2_EV_WINDOW, s);
    ev->increment = increment;
    return true;
}

/* -- lengths --------------------------------------------------------------------------------- */

static const struct {
    bool (*whole)(struct h2_in *in, struct h2_event *ev, const uint8_t *payload);
    uint32_t least, most;
} in_controls[H2_FRAME_TYPES] = {
    [H2_PRIORITY] = { in_priority, 5, 5 },
    [H2_RST_STREAM] = { in_rst, 4, 4 },
    [H2_SETTINGS] = { in_settings, 0, H2_MAX_FRAME },
    [H2_PING] = { in_ping, 8, 8 },
    [H2_GOAWAY] = { in_goaway, 8, H2_MAX_FRAME },
    [H2_WINDOW_UPDATE] = { in_window_update, 4, 4 },
};

static bool in_step_whole(struct h2_in *in, struct h2_event *ev)
{
    const uint8_t *p;
    int got = h2_in_collect(in, ev, &p);
    if (got <= 0)
        return got < 0;
    h2_in_skip(in, in->frame.len - in->need); /* before: the handler may fail the connection */
    return in->whole(in, ev, p);
}

BASE_COLD static bool in_settings_length(struct h2_in *in, struct h2_event *ev)
{
    if (in->frame.len % 6 || ((in->frame.flags & H2_ACK) && in->frame.len))
        return h2_in_fail(in, ev, H2_FRAME_SIZE_ERROR, "SETTINGS of a wrong length");
    if (in->frame.len > 6 * LIMIT_SETTINGS_ENTRIES)
        return h2_in_fail(in, ev, H2_ENHANCE_YOUR_CALM, "too many entries in SETTINGS");
    return false;
}

bool h2_in_begin_control(struct h2_in *in, struct h2_event *ev)
{
    const struct h2_in_frame *f = &in->frame;
    if (f->type == H2_PUSH_PROMISE)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "PUSH_PROMISE");
    if (f->len < in_controls[f->type].least || f->len > in_controls[f->type].most) {
        if (f->type != H2_PRIORITY)
            return h2_in_fail(in, ev, H2_FRAME_SIZE_ERROR, "frame of a wrong length");
        h2_in_skip(in, f->len);
        return h2_in_stream_error(in, ev, f->id, H2_FRAME_SIZE_ERROR, "PRIORITY of a wrong length");
    }
    if (f->type == H2_SETTINGS && in_settings_length(in, ev))
        return true;
    in->need = (uint32_t)min_size(f->len, 8 + LIMIT_GOAWAY_TEXT);
    in->whole = in_controls[f->type].whole;
    in->step = in_step_whole;
    return true;
}
