/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_in_data.c: DATA. It is passed on in the caller's buffer, in as many pieces as it arrives in. A
 * frame is charged to both windows when its header is read (h2_in_window.c gives them back).
 * Padding counts as consumed with the frame's last piece. Owned by the connection's reader, as the
 * struct h2_in. */
#include "h2/h2_in_private.h"

/* DATA for a stream that is not there any more. */
BASE_COLD static bool in_closed_data(struct h2_in *in, struct h2_event *ev)
{
    uint32_t id = in->frame.id;
    enum h2_in_closed how = h2_in_how_closed(in, id);
    h2_in_skip(in, in->frame.len);
    if (h2_in_idle(in, id))
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "DATA on an idle stream");
    if (how == H2_IN_ENDED)
        return h2_in_fail(in, ev, H2_STREAM_CLOSED, "DATA on an ended stream");
    /* A server answers; a client may have reset the stream so long ago that it forgot. */
    if (how == H2_IN_PEER_RESET || (how == H2_IN_UNKNOWN && in->c.server))
        return h2_in_stream_error(in, ev, id, H2_STREAM_CLOSED, "DATA on a closed stream");
    if (in->frame.flags & H2_END_STREAM)
        h2_in_late_end(in, id, how);
    else if (in->frame.len == 0) /* the others pay with their octets, as on streams that live */
        h2_in_spend(in, H2_GLITCH_CLOSED);
    return true;
}

/* What has come of the frame's data, padding left alone. */
static inline bool in_data_piece(struct h2_in *in, struct h2_event *ev, struct h2_in_stream *s)
{
    uint32_t left = in->rest - in->pad;
    size_t n = min_size(left, (size_t)(in->end - in->at));
    if (left && n == 0)
        return false;
    *ev = (struct h2_event){ .kind = H2_EV_DATA,
                             .id = s->id,
                             .user = s->user,
                             .data = in->at,
                             .len = n,
                             .credit = (uint32_t)n };
    in->at += n;
    in->rest -= (uint32_t)n;
    if (in->rest > in->pad)
        return true;
    ev->credit += in->pad_credit;
    ev->end_stream = in->frame.flags & H2_END_STREAM;
    if (ev->end_stream)
        h2_in_remote_end(in, s, ev);
    return h2_in_skip(in, in->pad);
}

BASE_COLD static bool in_step_data(struct h2_in *in, struct h2_event *ev)
{
    struct h2_in_stream *s = h2_in_find(in, in->frame.id);
    return s ? in_data_piece(in, ev, s) : h2_in_skip(in, in->rest); /* forgotten between two */
}

/* The length without padding is known. */
static inline bool in_data_length(struct h2_in *in, struct h2_event *ev, struct h2_in_stream *s)
{
    uint32_t n = in->rest - in->pad;
    bool end = in->frame.flags & H2_END_STREAM;
    if (s->content_left >= 0) {
        if (n > s->content_left || (end && n != s->content_left)) {
            h2_in_skip(in, in->rest);
            return h2_in_stream_error(in, ev, s->id, H2_PROTOCOL_ERROR,
                                      "content differs from content-length");
        }
        s->content_left -= n;
    }
    if (n >= LIMIT_GLITCH_OCTETS)
        h2_in_refill(in, n / LIMIT_GLITCH_OCTETS);
    else if (n == 0 && !end)
        h2_in_spend(in, H2_GLITCH_EMPTY_DATA);
    if (n == 0 && !end && in->pad_credit == 0)
        return h2_in_skip(in, 0);
    in->step = in_step_data;
    return in_data_piece(in, ev, s);
}

BASE_COLD static bool in_step_data_pad(struct h2_in *in, struct h2_event *ev)
{
    if (in->at == in->end)
        return false;
    in->pad = *in->at++;
    in->rest--;
    if (in->pad > in->rest)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "more padding than frame");
    in->pad_credit = in->pad + 1;
    struct h2_in_stream *s = h2_in_find(in, in->frame.id);
    return s ? in_data_length(in, ev, s) : h2_in_skip(in, in->rest);
}

/* What h2_in_begin_data would object to, or treat in another way than the usual, is left to it. */
size_t h2_in_with_data(struct h2_in *in, const uint8_t *p, size_t n, struct h2_event *ev)
{
    const uint64_t kind = (uint64_t)H2_DATA << 32 | (uint64_t)H2_END_STREAM << 24;
    struct h2_in_stream *s = in->latest;
    if (n < H2_FRAME_HEADER)
        return 0;
    uint64_t head = load_be64(p);
    uint32_t len = (uint32_t)(head >> 40);
    if ((head & 0xffffffffff) != (kind | ev->id >> 8) || p[8] != (uint8_t)ev->id)
        return 0;
    if (unlikely(len == 0 || len > n - H2_FRAME_HEADER || len > in->c.max_frame ||
                 len > in->window || len > s->window || s->content_left >= 0 || ev->end_stream ||
                 in->too_many || s->id != ev->id))
        return 0;
    in->frames++;
    in->window -= len;
    in->window_back += len;
    in->arrived += len;
    s->window -= len;
    s->remote_closed = true;
    if (len >= LIMIT_GLITCH_OCTETS)
        in_refill(in, len / LIMIT_GLITCH_OCTETS);
    ev->data = p + H2_FRAME_HEADER;
    ev->len = ev->credit = len;
    ev->end_stream = true;
    return H2_FRAME_HEADER + (size_t)len;
}

bool h2_in_begin_data(struct h2_in *in, struct h2_event *ev)
{
    uint32_t n = in->frame.len;
    if (n > in->window)
        return h2_in_fail(in, ev, H2_FLOW_CONTROL_ERROR, "connection window exceeded");
    if ((in->frame.flags & H2_PADDED) && n == 0)
        return h2_in_fail(in, ev, H2_FRAME_SIZE_ERROR, "DATA without its padding length");
    in->window -= n;
    in->window_back += n;
    in->arrived += n;
    struct h2_in_stream *s = h2_in_find(in, in->frame.id);
    if (!s)
        return in_closed_data(in, ev);
    h2_in_skip(in, n);
    if (unlikely(s->remote_closed))
        return h2_in_stream_error(in, ev, s->id, H2_STREAM_CLOSED, "DATA after END_STREAM");
    if (!s->has_headers)
        return h2_in_stream_error(in, ev, s->id, H2_PROTOCOL_ERROR, "DATA before HEADERS");
    if (n && n > s->window + in->slack)
        return h2_in_stream_error(in, ev, s->id, H2_FLOW_CONTROL_ERROR, "stream window exceeded");
    s->window -= n;
    in->pad = in->pad_credit = 0;
    if (likely(!(in->frame.flags & H2_PADDED)))
        return in_data_length(in, ev, s);
    in->step = in_step_data_pad;
    return true;
}

/* -- the usual frames ------------------------------------------------------------------------- */

bool h2_in_runs(const struct h2_in *in)
{
    return !in->step && !in->small_len && !in->block_id && !in->too_many && in->settled;
}

/* Length (but for its first octet), type, flags and id of a frame's header; what follows the length
 * is the id alone if it is DATA without flags. */
static inline uint64_t in_run_word(const uint8_t *header) { return load_be64(header + 1); }
#define IN_RUN_LEN (UINT64_C(0xffff) << 48)

size_t h2_in_run(struct h2_in *in, const uint8_t *p, size_t n, struct h2_run *run)
{
    uint64_t word = n > H2_FRAME_HEADER ? in_run_word(p) : 0, id = word & ~IN_RUN_LEN;
    struct h2_in_stream *s = id <= H2_MAX_WINDOW ? h2_in_find(in, (uint32_t)id) : NULL;
    if (!s || !s->has_headers || s->remote_closed || s->content_left >= 0)
        return 0;
    uint32_t octets = 0, frames = 0, refill = 0;
    int64_t most = s->window < in->window ? s->window : in->window;
    const uint8_t *at = p, *end = p + n;
    do {
        uint32_t len = (uint32_t)(word >> 48);
        if (at[0] || len - 1 >= in->c.max_frame || len > (size_t)(end - at) - H2_FRAME_HEADER ||
            octets + len > most)
            break;
        at += H2_FRAME_HEADER + len;
        octets += len, frames++;
        refill += len / LIMIT_GLITCH_OCTETS;
    } while (end - at > (ptrdiff_t)H2_FRAME_HEADER &&
             ((word = in_run_word(at)) & ~IN_RUN_LEN) == id);
    in_refill(in, refill);
    s->window -= octets;
    in->window -= octets;
    in->window_back += octets;
    in->arrived += octets;
    in->frames += frames;
    run->user = s->user, run->id = s->id, run->octets = octets;
    return (size_t)(at - p);
}
