/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_out_streams.c: the sending half of streams. Ids and header blocks are made in the order in
 * which they go out, since both have to rise respectively match the peer's HPACK table. A body goes
 * out as far as windows and high water allow; what is left waits where its owner keeps it, and
 * waiting bodies take turns of one frame. Small bodies that fit do not queue behind large ones.
 * Guarded like struct h2_out. */
#include "h2/h2_out_private.h"

#define OUT_LEAST_PIECE  1024u  /* when room, not a window, is short: no crumbs */
#define OUT_LEAST_WINDOW 16384u /* of the connection, that is open: less is what crumbs make */

/* -- life ------------------------------------------------------------------------------------ */

static void out_link(struct h2_out *o, struct h2_out_stream *s, uint32_t id)
{
    sn_assert(s->id == 0);
    s->id = id;
    s->window = o->peer.initial_window;
    s->kept = 0;
    s->body = NULL, s->body_len = 0;
    s->local_closed = false;
    list_init(&s->pending);
    list_push_back(&o->all, &s->all);
}

bool h2_out_open(struct h2_out *o, struct h2_out_stream *s)
{
    sn_assert(!o->server);
    if (o->next_id > H2_MAX_WINDOW)
        return false;
    out_link(o, s, o->next_id);
    o->next_id += 2;
    return true;
}

void h2_out_accept(struct h2_out *o, struct h2_out_stream *s, uint32_t id)
{
    sn_assert(o->server && id % 2 == 1);
    out_link(o, s, id);
}

/* The body of s waits no more. */
static void out_let_go(struct h2_out *o, struct h2_out_stream *s)
{
    o->kept -= s->kept;
    s->kept = 0;
}

bool h2_out_shut(const struct h2_out *o)
{
    return o->kept >= LIMIT_KEPT &&
           (o->window < OUT_LEAST_WINDOW || o->peer.initial_window < OUT_LEAST_PIECE);
}

static inline void out_unlink(struct h2_out *o, struct h2_out_stream *s)
{
    if (unlikely(s->kept))
        out_let_go(o, s);
    if (unlikely(!list_empty(&s->pending)))
        list_remove(&s->pending);
    list_remove(&s->all);
    s->body = NULL, s->body_len = 0;
}

void h2_out_unlink(struct h2_out *o, struct h2_out_stream *s)
{
    if (s->id != 0) /* else it was never linked: its list nodes may be raw */
        out_unlink(o, s);
}

static inline void out_local_end(struct h2_out *o, struct h2_out_stream *s)
{
    s->local_closed = true;
    out_unlink(o, s);
}

BASE_COLD void h2_out_rst_id(struct h2_out *o, uint32_t id, uint32_t code)
{
    store_be32(h2_out_frame(o, 4, H2_RST_STREAM, 0, id), code);
}

BASE_COLD void h2_out_rst(struct h2_out *o, struct h2_out_stream *s, uint32_t code)
{
    if (s->id == 0)
        return;
    h2_out_rst_id(o, s->id, code);
    out_local_end(o, s);
}

/* -- header blocks --------------------------------------------------------------------------- */

size_t h2_headers_bound(const struct h2_header *h, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += hpack_encode_bound(h[i].name_len, h[i].value_len);
    return size + (size / H2_DEFAULT_FRAME + 1) * H2_FRAME_HEADER;
}

/* The block of n octets lies in one piece after room for the first frame header, at p. Cuts it into
 * frames, from the end, so that every octet moves once. */
static void out_cut_block(struct h2_out *o, uint8_t *p, size_t n, unsigned flags, uint32_t id)
{
    size_t more = n ? (n - 1) / H2_DEFAULT_FRAME : 0;
    for (size_t i = more; i > 0; i--) {
        size_t at = i * H2_DEFAULT_FRAME;
        size_t len = i == more ? n - at : H2_DEFAULT_FRAME;
        uint8_t *frame = p + at + i * H2_FRAME_HEADER;
        memmove(frame + H2_FRAME_HEADER, p + H2_FRAME_HEADER + at, len);
        h2_out_frame_header(frame, len, H2_CONTINUATION, i == more ? H2_END_HEADERS : 0, id);
    }
    h2_out_frame_header(p, more ? H2_DEFAULT_FRAME : n, H2_HEADERS,
                        flags | (more ? 0 : H2_END_HEADERS), id);
    o->len += n + (more + 1) * H2_FRAME_HEADER;
    o->answered = true;
}

static uint8_t *out_encode(struct h2_out *o, uint8_t *p, const struct h2_header *h, size_t n,
                           bool first)
{
    for (size_t i = 0; i < n; i++)
        p = hpack_encode(o->hpack, p, first && i == 0, h[i].name, h[i].name_len, h[i].value,
                         h[i].value_len, h[i].how);
    return p;
}

static uint8_t *out_block_start(const struct h2_out *o, const struct h2_out_stream *s)
{
    sn_assert(s->id && !s->local_closed && s->body_len == 0);
    return o->buf + o->len + H2_FRAME_HEADER;
}

static void out_block_end(struct h2_out *o, struct h2_out_stream *s, const uint8_t *end,
                          bool end_stream)
{
    uint8_t *frame = o->buf + o->len;
    sn_assert((size_t)(end - frame) <= o->cap - o->len);
    out_cut_block(o, frame, (size_t)(end - frame) - H2_FRAME_HEADER, end_stream ? H2_END_STREAM : 0,
                  s->id);
    if (end_stream)
        out_local_end(o, s);
}

BASE_COLD void h2_out_headers(struct h2_out *o, struct h2_out_stream *s, const struct h2_header *h,
                              size_t n, bool end_stream)
{
    sn_assert(h2_out_room(o, h2_headers_bound(h, n)));
    out_block_end(o, s, out_encode(o, out_block_start(o, s), h, n, true), end_stream);
}

bool h2_out_ready(const struct h2_out *o, const struct h2_ready *r)
{
    return r->epoch && r->epoch == hpack_encoder_epoch(o->hpack);
}

/* Constants that were just encoded: kept if all of them are indexes, that is, a table that has not
 * changed made one octet of each. */
static void out_keep(struct h2_ready *r, uint64_t before, uint64_t after, const uint8_t *p,
                     size_t len, size_t n)
{
    r->epoch = 0;
    if (!before || before != after || len != n || len > sizeof r->octets)
        return;
    r->epoch = after;
    r->len = (uint8_t)len;
    memcpy(r->octets, p, len);
}

void h2_out_headers_ready(struct h2_out *o, struct h2_out_stream *s, struct h2_ready *ready,
                          const struct h2_header *constants, size_t n_constants,
                          const struct h2_header *h, size_t n, bool end_stream)
{
    uint8_t *start = out_block_start(o, s), *p = start;
    if (likely(h2_out_ready(o, ready))) {
        memcpy(p, ready->octets, sizeof ready->octets); /* the bound is more for each field */
        p += ready->len;
    } else {
        uint64_t epoch = hpack_encoder_epoch(o->hpack);
        p = out_encode(o, p, constants, n_constants, true);
        out_keep(ready, epoch, hpack_encoder_epoch(o->hpack), start, (size_t)(p - start),
                 n_constants);
    }
    out_block_end(o, s, out_encode(o, p, h, n, false), end_stream);
}

/* -- bodies ---------------------------------------------------------------------------------- */

size_t h2_data_bound(const struct h2_out *o, const struct h2_out_stream *s, size_t len)
{
    (void)s;
    size_t n = min_size(len, o->high_water + H2_DEFAULT_FRAME);
    return n + (n / H2_DEFAULT_FRAME + 1) * H2_FRAME_HEADER;
}

void h2_out_enqueue(struct h2_out *o, struct h2_out_stream *s)
{
    if (s->body_len == 0)
        return;
    if (s->window <= 0)
        list_remove(&s->pending);
    else if (list_empty(&s->pending))
        list_push_back(&o->pending, &s->pending);
}

size_t h2_ref_bound(const struct h2_out *o, size_t len)
{
    if (!o->hold)
        return h2_data_bound(o, NULL, len);
    size_t n = min_size(len, o->high_water + H2_DEFAULT_FRAME);
    return (n / H2_DEFAULT_FRAME + 1) * (H2_FRAME_HEADER + sizeof(struct h2_ref)) + H2_REF_LEAST;
}

static bool out_by_ref(const struct h2_out *o, const struct h2_out_stream *s, size_t n)
{
    return s->lasts && o->hold && n >= H2_REF_LEAST;
}

/* How long the next DATA frame of s may be now; 0: it has to wait. */
static size_t out_piece_size(const struct h2_out *o, const struct h2_out_stream *s)
{
    if (h2_out_octets(o) >= o->high_water || s->window <= 0 || o->window <= 0)
        return 0;
    size_t n = min_size(s->body_len, H2_DEFAULT_FRAME);
    n = min_size(n, (size_t)s->window);
    n = min_size(n, (size_t)o->window);
    size_t room = out_by_ref(o, s, n) ? sizeof(struct h2_ref) : n;
    if (h2_out_room(o, room + H2_FRAME_HEADER))
        return n;
    if (!h2_out_room(o, OUT_LEAST_PIECE + H2_FRAME_HEADER))
        return 0;
    return o->cap - o->len - H2_FRAME_HEADER;
}

/* A frame of n octets at s->body, which stay there. */
BASE_COLD static void out_refer(struct h2_out *o, struct h2_out_stream *s, size_t n, unsigned flags)
{
    struct h2_ref ref = { .octets = s->body, .len = n, .s = s };
    uint8_t *p = o->buf + o->len;
    h2_out_frame_header(p, n, H2_DATA, flags, s->id);
    size_t at = o->len + H2_FRAME_HEADER;
    memcpy(o->buf + at, &ref, sizeof ref);
    if (o->last_ref)
        memcpy(o->buf + o->last_ref + offsetof(struct h2_ref, next), &at, sizeof at);
    else
        o->refs = at;
    o->last_ref = at;
    o->len = at + sizeof ref;
    o->ref_octets += n - sizeof ref;
    o->hold(s);
}

/* Appends one DATA frame; false: it has to wait. */
static bool out_piece(struct h2_out *o, struct h2_out_stream *s)
{
    size_t n = out_piece_size(o, s);
    if (n == 0)
        return false;
    bool end = n == s->body_len && s->end_after_body;
    if (out_by_ref(o, s, n)) {
        out_refer(o, s, n, end ? H2_END_STREAM : 0);
    } else {
        o->tail = o->len;
        memcpy(h2_out_frame(o, n, H2_DATA, end ? H2_END_STREAM : 0, s->id), s->body, n);
        o->tail_end = o->len, o->tail_id = end ? 0 : s->id;
    }
    if (n == s->body_len || n >= OUT_LEAST_PIECE) /* a piece cut tiny by the window earns nothing */
        h2_out_earn(o, n);
    h2_out_spend(o, s, n);
    s->body += n;
    s->body_len -= n;
    if (end)
        out_local_end(o, s);
    return true;
}

static bool out_body(struct h2_out *o, struct h2_out_stream *s, const uint8_t *body, size_t len,
                     bool end_stream)
{
    sn_assert(s->id && !s->local_closed && s->body_len == 0);
    if (len == 0) {
        if (end_stream) {
            h2_out_frame(o, 0, H2_DATA, H2_END_STREAM, s->id);
            o->answered = true;
            out_local_end(o, s);
        }
        return true;
    }
    s->body = body, s->body_len = len;
    s->end_after_body = end_stream;
    /* Others wait: a large body takes its turn with them after its first frame. */
    bool queue = !list_empty(&o->pending) && len > H2_DEFAULT_FRAME;
    while (s->body_len && out_piece(o, s) && !queue)
        ;
    h2_out_enqueue(o, s);
    if (s->body_len) {
        s->kept = LIMIT_KEPT_CALL + (uint32_t)min_size(len, LIMIT_KEPT_EACH);
        o->kept += s->kept;
    }
    return s->body_len == 0;
}

bool h2_out_data(struct h2_out *o, struct h2_out_stream *s, const uint8_t *body, size_t len,
                 bool end_stream)
{
    s->lasts = false;
    return out_body(o, s, body, len, end_stream);
}

bool h2_out_small(struct h2_out *o, struct h2_out_stream *s, const uint8_t *body, size_t len)
{
    if (len - 1 >= H2_DEFAULT_FRAME || s->body_len || s->window < (int64_t)len ||
        o->window < (int64_t)len || !h2_out_room(o, len + H2_FRAME_HEADER) ||
        h2_out_octets(o) >= o->high_water)
        return false;
    sn_assert(s->id && !s->local_closed);
    uint8_t *p = o->buf + o->len;
    o->tail = o->len, o->tail_id = s->id;
    h2_out_frame_header(p, len, H2_DATA, 0, s->id);
    copy_small(p + H2_FRAME_HEADER, body, len);
    o->tail_end = o->len += H2_FRAME_HEADER + len;
    h2_out_earn(o, len);
    h2_out_spend(o, s, len);
    return true;
}

bool h2_out_ref(struct h2_out *o, struct h2_out_stream *s, const uint8_t *body, size_t len,
                bool end_stream)
{
    s->lasts = true;
    return out_body(o, s, body, len, end_stream);
}

/* Room that the blocks of a whole message take at most, without frame headers. */
static size_t out_blocks_bound(const struct h2_header *h, size_t n)
{
    size_t size = 2 * sizeof((struct h2_ready){ 0 }).octets;
    for (size_t i = 0; i < n; i++)
        size += hpack_encode_bound(h[i].name_len, h[i].value_len);
    return size;
}

static inline uint8_t *out_put_ready(uint8_t *p, const struct h2_ready *r)
{
    memcpy(p, r->octets, sizeof r->octets); /* all of them: a copy of known length is cheaper */
    return p + r->len;
}

/* A small message with all its blocks, now. */
static inline bool out_goes_whole(const struct h2_out *o, int64_t window, size_t blocks, size_t len)
{
    return len - 1 < H2_REF_LEAST && (int64_t)len <= window && (int64_t)len <= o->window &&
           h2_out_octets(o) < o->high_water && blocks <= H2_DEFAULT_FRAME &&
           h2_out_room(o, 3 * H2_FRAME_HEADER + blocks + len);
}

bool h2_out_whole(struct h2_out *o, struct h2_out_stream *s, const struct h2_ready *head,
                  const struct h2_header *h, size_t n, const uint8_t *body, size_t len,
                  const struct h2_ready *tail)
{
    uint64_t epoch = hpack_encoder_epoch(o->hpack);
    if (!epoch || head->epoch != epoch || tail->epoch != epoch ||
        !out_goes_whole(o, s->window, out_blocks_bound(h, n), len))
        return false;
    sn_assert(s->id && !s->local_closed && s->body_len == 0);
    uint8_t *frame = o->buf + o->len, *p = out_put_ready(frame + H2_FRAME_HEADER, head);
    p = out_encode(o, p, h, n, false);
    h2_out_frame_header(frame, (size_t)(p - frame) - H2_FRAME_HEADER, H2_HEADERS, H2_END_HEADERS,
                        s->id);
    h2_out_frame_header(p, len, H2_DATA, 0, s->id);
    p = (uint8_t *)mempcpy(p + H2_FRAME_HEADER, body, len);
    h2_out_frame_header(p, tail->len, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, s->id);
    p = out_put_ready(p + H2_FRAME_HEADER, tail);
    o->len = (size_t)(p - o->buf);
    h2_out_earn(o, len);
    h2_out_spend(o, s, len);
    out_local_end(o, s);
    return true;
}

bool h2_out_request(struct h2_out *o, struct h2_out_stream *s, const struct h2_ready *head,
                    const struct h2_header *h, size_t n, const uint8_t *body, size_t len)
{
    uint64_t epoch = hpack_encoder_epoch(o->hpack);
    uint32_t id = o->next_id;
    if (unlikely(!epoch || head->epoch != epoch || id > H2_MAX_WINDOW ||
                 !out_goes_whole(o, o->peer.initial_window, out_blocks_bound(h, n), len)))
        return false;
    sn_assert(!o->server && s->id == 0);
    uint8_t *frame = o->buf + o->len, *p = out_put_ready(frame + H2_FRAME_HEADER, head);
    p = out_encode(o, p, h, n, false);
    h2_out_frame_header(frame, (size_t)(p - frame) - H2_FRAME_HEADER, H2_HEADERS, H2_END_HEADERS,
                        id);
    h2_out_frame_header(p, len, H2_DATA, H2_END_STREAM, id);
    p = (uint8_t *)mempcpy(p + H2_FRAME_HEADER, body, len);
    o->len = (size_t)(p - o->buf);
    o->next_id = id + 2;
    s->id = id;
    s->window = o->peer.initial_window;
    s->local_closed = true;
    h2_out_earn(o, len);
    h2_out_spend(o, s, len);
    return true;
}

bool h2_out_answer(struct h2_out *o, uint32_t id, const struct h2_ready *head, const uint8_t *body,
                   size_t len, const struct h2_ready *tail)
{
    uint64_t epoch = hpack_encoder_epoch(o->hpack);
    if (unlikely(!epoch || head->epoch != epoch || tail->epoch != epoch ||
                 !out_goes_whole(o, o->peer.initial_window, 2 * sizeof head->octets, len)))
        return false;
    uint8_t *p = o->buf + o->len;
    h2_out_frame_header(p, head->len, H2_HEADERS, H2_END_HEADERS, id);
    p = out_put_ready(p + H2_FRAME_HEADER, head);
    h2_out_frame_header(p, len, H2_DATA, 0, id);
    p = (uint8_t *)mempcpy(p + H2_FRAME_HEADER, body, len);
    h2_out_frame_header(p, tail->len, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, id);
    p = out_put_ready(p + H2_FRAME_HEADER, tail);
    o->len = (size_t)(p - o->buf);
    o->answered = true;
    o->window -= (int64_t)len;
    h2_out_earn(o, len);
    return true;
}

BASE_COLD size_t h2_pump_bound(const struct h2_out *o)
{
    const struct h2_out_stream *s = container_of(o->pending.next, struct h2_out_stream, pending);
    size_t n = o->high_water / 4;
    return s->lasts ? h2_ref_bound(o, n) : n;
}

BASE_COLD void h2_out_pump(struct h2_out *o)
{
    while (!list_empty(&o->pending)) {
        struct h2_out_stream *s = container_of(o->pending.next, struct h2_out_stream, pending);
        if (!out_piece(o, s))
            return;
        list_remove(&s->pending);
        h2_out_enqueue(o, s);
        if (s->body_len == 0)
            out_let_go(o, s);
        if (s->body_len == 0 && s->on_drained)
            s->on_drained(s); /* may append, queue again, or end */
    }
}
