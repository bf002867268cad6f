/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_in_headers.c: header blocks. A block that comes in one frame lying whole in the caller's
 * buffer is decoded there; otherwise its pieces are collected, bounded in octets and in frames. A
 * block is always decoded, whatever becomes of its stream: HPACK's table depends on every one of
 * them. Owned by the connection's reader, as the struct h2_in. */
#include "h2/h2_in_private.h"

/* -- what a block does to its stream --------------------------------------------------------- */

BASE_COLD static bool in_malformed(struct h2_in *in, struct h2_event *ev, const char *why)
{
    return h2_in_stream_error(in, ev, ev->id, H2_PROTOCOL_ERROR, why);
}

static bool in_nothing_to_tell(struct h2_event *ev)
{
    ev->kind = H2_EV_NONE;
    return true;
}

BASE_COLD static bool in_refuse(struct h2_in *in, struct h2_event *ev)
{
    *ev = (struct h2_event){ .kind = H2_EV_REFUSED, .id = ev->id, .code = H2_REFUSED_STREAM };
    h2_in_remember(in, ev->id, H2_IN_WE_RESET);
    h2_in_spend(in, H2_GLITCH_REFUSED);
    return true;
}

/* Server: a request. */
__attribute__((always_inline)) static inline bool
in_new_stream(struct h2_in *in, struct h2_event *ev, struct hpack_run *run)
{
    int64_t length;
    in->opened = ev->id;
    if (in->draining || in->table.count >= in->c.max_concurrent_streams)
        return in_refuse(in, ev);
    in->processed = ev->id;
    if (in->block_self_dependent)
        return in_malformed(in, ev, "stream depends on itself");
    if (likely(run && run->noted == H2_IN_REQUEST && run->n == ev->n_fields &&
               !ev->fields_too_large)) {
        length = -1;
    } else {
        const char *bad = h2_in_check_request(ev, run, &length);
        if (!bad && ev->end_stream && length > 0)
            bad = "content-length without content";
        if (bad)
            return in_malformed(in, ev, bad);
    }
    struct h2_in_stream *s = h2_in_add(in, ev->id);
    if (!s)
        return in_refuse(in, ev);
    s->has_headers = true;
    s->no_refill = ev->fields_too_large;
    s->content_left = length;
    s->remote_closed = ev->end_stream;
    ev->kind = H2_EV_HEADERS;
    ev->owner = &s->user;
    return true;
}

/* Client: 1xx blocks are dropped, the first other one is the response's head. */
static bool in_response(struct h2_in *in, struct h2_event *ev, struct h2_in_stream *s)
{
    bool interim;
    int64_t length;
    const char *bad = h2_in_check_response(ev, hpack_decoded_run(in->hpack), &length, &interim);
    if (!bad && interim && ev->end_stream)
        bad = "END_STREAM on an interim response";
    if (!bad && ev->end_stream && length > 0)
        bad = "content-length without content";
    if (bad)
        return in_malformed(in, ev, bad);
    if (interim) {
        h2_in_spend(in, H2_GLITCH_INTERIM);
        return in_nothing_to_tell(ev);
    }
    s->has_headers = true;
    s->content_left = length;
    ev->kind = H2_EV_HEADERS;
    if (ev->end_stream)
        h2_in_remote_end(in, s, ev);
    return true;
}

static bool in_trailers(struct h2_in *in, struct h2_event *ev, struct h2_in_stream *s)
{
    const char *bad = h2_in_check_trailers(ev, hpack_decoded_run(in->hpack));
    if (!ev->end_stream)
        bad = "trailers without END_STREAM";
    else if (!bad && s->content_left > 0)
        bad = "less content than content-length";
    if (bad)
        return in_malformed(in, ev, bad);
    ev->kind = H2_EV_TRAILERS;
    h2_in_remote_end(in, s, ev);
    return true;
}

static bool in_later_block(struct h2_in *in, struct h2_event *ev, struct h2_in_stream *s)
{
    ev->user = s->user;
    if (s->remote_closed)
        return h2_in_stream_error(in, ev, ev->id, H2_STREAM_CLOSED, "HEADERS after END_STREAM");
    if (in->block_self_dependent)
        return in_malformed(in, ev, "stream depends on itself");
    return s->has_headers ? in_trailers(in, ev, s) : in_response(in, ev, s);
}

BASE_COLD static bool in_closed_block(struct h2_in *in, struct h2_event *ev)
{
    enum h2_in_closed how = h2_in_how_closed(in, ev->id);
    if (how == H2_IN_ENDED)
        return h2_in_fail(in, ev, H2_STREAM_CLOSED, "HEADERS on an ended stream");
    if (how == H2_IN_PEER_RESET)
        return h2_in_stream_error(in, ev, ev->id, H2_STREAM_CLOSED, "HEADERS on a reset stream");
    if (ev->end_stream)
        h2_in_late_end(in, ev->id, how);
    else
        h2_in_spend(in, H2_GLITCH_CLOSED);
    return in_nothing_to_tell(ev);
}

/* True: that was the connection's end. */
BASE_COLD static bool in_undecoded(struct h2_in *in, struct h2_event *ev, int result)
{
    if (result == HPACK_NO_MEMORY)
        return h2_in_fail(in, ev, H2_INTERNAL_ERROR, "out of memory");
    if (result == HPACK_COMPRESSION_ERROR)
        return h2_in_fail(in, ev, H2_COMPRESSION_ERROR, "header block does not decode");
    if (result == HPACK_BOMB)
        return h2_in_fail(in, ev, H2_ENHANCE_YOUR_CALM, "header list far over the limit");
    h2_in_spend(in, H2_GLITCH_HEADER_LIST);
    return false;
}

/* A whole block: id and END_STREAM are those of its HEADERS frame. */
__attribute__((always_inline)) static inline bool in_block(struct h2_in *in, struct h2_event *ev,
                                                           const uint8_t *p, size_t n)
{
    uint32_t id = in->frame.id;
    const struct h2_field *fields;
    size_t n_fields;
    in->block_id = 0;
    in->block_len = 0;
    h2_in_skip(in, 0);
    int r = hpack_decode(in->hpack, p, n, in->c.max_header_list, &fields, &n_fields);
    if (unlikely(r != HPACK_OK) && in_undecoded(in, ev, r))
        return true;
    struct hpack_run *run = hpack_decoded_run(in->hpack);
    *ev = (struct h2_event){ .id = id,
                             .end_stream = in->block_end_stream,
                             .fields = fields,
                             .n_fields = n_fields,
                             .run = run,
                             .fields_too_large = r == HPACK_TOO_LARGE };
    if (id > in->opened)
        return in_new_stream(in, ev, run);
    struct h2_in_stream *s = h2_in_find(in, id);
    return likely(s) ? in_later_block(in, ev, s) : in_closed_block(in, ev);
}

/* One that came in pieces, or padded. */
BASE_COLD static __attribute__((noinline)) bool in_odd_block(struct h2_in *in, struct h2_event *ev,
                                                             const uint8_t *p, size_t n)
{
    return in_block(in, ev, p, n);
}

/* -- frames ---------------------------------------------------------------------------------- */

/* Keeps a piece of a block for the CONTINUATION frames to come; p may lie in in->block. */
BASE_COLD static bool in_first_piece(struct h2_in *in, struct h2_event *ev, const uint8_t *p,
                                     size_t n)
{
    bool collected = in->block && p >= in->block && p <= in->block + in->block_cap;
    if (collected) {
        memmove(in->block, p, n);
        in->block_len = (uint32_t)n;
    } else if (!h2_in_append(in, p, n)) {
        return h2_in_fail(in, ev, H2_INTERNAL_ERROR, "out of memory");
    }
    in->block_id = in->frame.id;
    in->continuations = 0;
    return h2_in_skip(in, 0);
}

/* The payload of a HEADERS frame, if it was split or is more than the block. */
BASE_COLD static bool in_step_headers(struct h2_in *in, struct h2_event *ev)
{
    const uint8_t *p;
    int got = h2_in_collect(in, ev, &p);
    if (got <= 0)
        return got < 0;
    uint32_t n = in->frame.len, pad = 0;
    if (in->frame.flags & H2_PADDED) {
        if (n == 0)
            return h2_in_fail(in, ev, H2_FRAME_SIZE_ERROR, "HEADERS without its padding length");
        pad = *p++, n--;
    }
    if (in->frame.flags & H2_PRIO) {
        if (n < 5)
            return h2_in_fail(in, ev, H2_FRAME_SIZE_ERROR, "HEADERS without its priority");
        in->block_self_dependent = (load_be32(p) & 0x7fffffff) == in->frame.id;
        p += 5, n -= 5;
    }
    if (pad > n)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "more padding than frame");
    if (in->frame.flags & H2_END_HEADERS)
        return in_odd_block(in, ev, p, n - pad);
    return in_first_piece(in, ev, p, n - pad);
}

/* What is wrong with a HEADERS frame of that id; NULL: nothing, it is one that was opened before.
 */
BASE_COLD static const char *in_wrong_id(struct h2_in *in, uint32_t id)
{
    if (id % 2 == 0 || !in->c.server)
        return "HEADERS on a stream the peer cannot open";
    /* A client's late HEADERS may follow our RST of long ago; only we open streams there. */
    if (!h2_in_find(in, id) && h2_in_how_closed(in, id) == H2_IN_UNKNOWN)
        return "stream ids must rise";
    return NULL;
}

bool h2_in_begin_headers(struct h2_in *in, struct h2_event *ev)
{
    uint32_t id = in->frame.id, n = in->frame.len;
    const uint8_t *p = in->at;
    const uint8_t odd = H2_PADDED | H2_PRIO | H2_END_HEADERS;
    if (unlikely(n > in->block_most))
        return h2_in_fail(in, ev, H2_ENHANCE_YOUR_CALM, "header block too large");
    if (unlikely(id % 2 == 0 || in->c.server != (id > in->opened))) {
        const char *wrong = in_wrong_id(in, id);
        if (wrong)
            return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, wrong);
    }
    in->block_end_stream = in->frame.flags & H2_END_STREAM;
    in->block_self_dependent = false;
    sn_assert(in->block_len == 0);
    if (likely((in->frame.flags & odd) == H2_END_HEADERS && (size_t)(in->end - p) >= n)) {
        in->at = p + n;
        return in_block(in, ev, p, n);
    }
    in->need = n;
    in->step = in_step_headers;
    return true;
}

BASE_COLD static bool in_step_continuation(struct h2_in *in, struct h2_event *ev)
{
    size_t n = min_size(in->rest, (size_t)(in->end - in->at));
    if (!h2_in_append(in, in->at, n))
        return h2_in_fail(in, ev, H2_INTERNAL_ERROR, "out of memory");
    in->at += n;
    in->rest -= (uint32_t)n;
    if (in->rest)
        return false;
    if (in->frame.flags & H2_END_HEADERS)
        return in_odd_block(in, ev, in->block, in->block_len);
    return h2_in_skip(in, 0);
}

BASE_COLD bool h2_in_begin_continuation(struct h2_in *in, struct h2_event *ev)
{
    if (!in->block_id)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "CONTINUATION without HEADERS");
    if (++in->continuations > LIMIT_CONTINUATIONS + in->block_most / H2_DEFAULT_FRAME - 2)
        return h2_in_fail(in, ev, H2_ENHANCE_YOUR_CALM, "too many CONTINUATION frames");
    if (in->block_len + in->frame.len > in->block_most)
        return h2_in_fail(in, ev, H2_ENHANCE_YOUR_CALM, "header block too large");
    if (in->frame.len == 0)
        h2_in_spend(in, H2_GLITCH_EMPTY_CONTINUATION);
    in->rest = in->frame.len;
    in->step = in_step_continuation;
    return true;
}
