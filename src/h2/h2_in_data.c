/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_in_data.c: DATA and the receive windows. DATA is passed on in the caller's buffer, in as many
 * pieces as it arrives in. A frame is charged to both windows when its header is read. The
 * connection's window is given back then and there (it bounds only what is in flight); a stream's
 * when its reader has consumed, so that window + consumed but not given back + unread octets is
 * always the initial window plus what h2_in_grant added. Padding counts as consumed with the
 * frame's last piece. Owned by the connection's reader, as the struct h2_in. */
#include "h2/h2_in_private.h"

#define IN_LATE_DATA_FREE 256u /* larger late frames pay with their own octets */

/* DATA for a stream that is not there any more. */
static bool in_closed_data(struct h2_in *in, struct h2_event *ev)
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
    if (in->frame.len < IN_LATE_DATA_FREE)
        h2_in_spend(in, H2_GLITCH_CLOSED);
    return true;
}

static bool in_step_data(struct h2_in *in, struct h2_event *ev)
{
    struct h2_in_stream *s = h2_in_find(in, in->frame.id);
    if (!s) /* forgotten between two pieces */
        return h2_in_skip(in, in->rest);
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

/* The length without padding is known. */
static bool in_data_length(struct h2_in *in, struct h2_event *ev)
{
    struct h2_in_stream *s = h2_in_find(in, in->frame.id);
    uint32_t n = in->rest - in->pad;
    bool end = in->frame.flags & H2_END_STREAM;
    if (!s)
        return h2_in_skip(in, in->rest);
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
    return true;
}

static bool in_step_data_pad(struct h2_in *in, struct h2_event *ev)
{
    if (in->at == in->end)
        return false;
    in->pad = *in->at++;
    in->rest--;
    if (in->pad > in->rest)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "more padding than frame");
    in->pad_credit = in->pad + 1;
    return in_data_length(in, ev);
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
    struct h2_in_stream *s = h2_in_find(in, in->frame.id);
    if (!s)
        return in_closed_data(in, ev);
    h2_in_skip(in, n);
    if (s->remote_closed)
        return h2_in_stream_error(in, ev, s->id, H2_STREAM_CLOSED, "DATA after END_STREAM");
    if (!s->has_headers)
        return h2_in_stream_error(in, ev, s->id, H2_PROTOCOL_ERROR, "DATA before HEADERS");
    if (n && n > s->window + in->slack)
        return h2_in_stream_error(in, ev, s->id, H2_FLOW_CONTROL_ERROR, "stream window exceeded");
    s->window -= n;
    in->pad = in->pad_credit = 0;
    if (likely(!(in->frame.flags & H2_PADDED)))
        return in_data_length(in, ev);
    in->step = in_step_data_pad;
    return true;
}

/* -- giving back ----------------------------------------------------------------------------- */

uint32_t h2_in_consumed(struct h2_in *in, uint32_t id, uint32_t n)
{
    struct h2_in_stream *s = h2_in_find(in, id);
    if (!s || s->remote_closed)
        return 0;
    uint32_t from_excess = (uint32_t)min_size(s->excess, n);
    s->excess -= from_excess;
    s->back += n - from_excess;
    if (s->back == 0 || s->back < in->c.initial_window / 4)
        return 0;
    uint32_t increment = s->back;
    s->back = 0;
    s->window += increment;
    return increment;
}

uint32_t h2_in_grant(struct h2_in *in, uint32_t id, uint32_t n)
{
    struct h2_in_stream *s = h2_in_find(in, id);
    n = (uint32_t)min_size(n, H2_MAX_WINDOW);
    if (!s || s->remote_closed || s->window >= (int64_t)n)
        return 0;
    uint32_t increment = (uint32_t)min_size((size_t)((int64_t)n - s->window), H2_MAX_WINDOW);
    uint32_t due = (uint32_t)min_size(s->back, increment);
    s->back -= due;
    s->excess += increment - due;
    s->window += increment;
    return increment;
}

uint32_t h2_in_connection_credit(struct h2_in *in)
{
    if (in->window_back < in->window_full / 4)
        return 0;
    uint32_t increment = in->window_back;
    in->window_back = 0;
    in->window += increment;
    return increment;
}
