/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_out.c: the buffer that frames are appended to, and the frames that belong to the connection.
 * Nothing here or in h2_out_streams.c allocates but h2_out_init, the encoder: every append is
 * preceded by making room outside the lock, and asserts that it is there. Two buffers take turns,
 * one filling, one being sent; an idle connection's owner takes both away. Guarded by the
 * connection's write lock, which the owner of struct h2_out holds. */
#include "h2/h2_out_private.h"

/* -- buffer ---------------------------------------------------------------------------------- */

uint8_t *h2_out_frame(struct h2_out *o, size_t len, enum h2_frame_type type, unsigned flags,
                      uint32_t id)
{
    sn_assert(h2_out_room(o, H2_FRAME_HEADER + len) && len <= H2_DEFAULT_FRAME);
    uint8_t *p = o->buf + o->len;
    h2_out_frame_header(p, len, type, flags, id);
    o->len += H2_FRAME_HEADER + len;
    return p + H2_FRAME_HEADER;
}

size_t h2_out_grow_size(const struct h2_out *o, size_t n)
{
    size_t size = H2_OUT_LEAST;
    while (size < o->len + n)
        size *= 2;
    return size;
}

void *h2_out_grow(struct h2_out *o, void *block, size_t size)
{
    if (size <= o->cap || size < o->len)
        return block;
    void *old = o->buf;
    if (o->len)
        memcpy(block, o->buf, o->len);
    o->buf = block;
    o->cap = size;
    return old;
}

bool h2_out_take(struct h2_out *o, uint8_t **buf, size_t *len, size_t *cap)
{
    if (o->taken || o->len == 0)
        return false;
    *buf = o->buf, *len = o->len, *cap = o->cap;
    o->taken_refs = o->refs, o->taken_octets = o->len + o->ref_octets;
    o->refs = o->last_ref = o->ref_octets = o->tail_id = 0;
    o->buf = o->spare, o->cap = o->spare_cap, o->len = 0;
    o->spare = NULL, o->spare_cap = 0;
    o->taken = true;
    return true;
}

void h2_out_give_back(struct h2_out *o, uint8_t *buf, size_t cap)
{
    sn_assert(o->taken && !o->spare);
    o->taken = false;
    o->held = 0;
    if (!o->buf) {
        o->buf = buf, o->cap = cap;
        return;
    }
    o->spare = buf, o->spare_cap = cap;
}

BASE_COLD size_t h2_out_drop(struct h2_out *o, uint8_t **buf)
{
    size_t refs = o->refs;
    if (!refs)
        return 0;
    *buf = o->buf;
    o->buf = NULL;
    o->len = o->cap = o->refs = o->last_ref = o->ref_octets = o->tail_id = 0;
    return refs;
}

uint8_t *h2_out_strip(struct h2_out *o, size_t most)
{
    uint8_t *buf = NULL;
    if (o->spare && o->spare_cap <= most) {
        buf = o->spare;
        o->spare = NULL, o->spare_cap = 0;
    } else if (o->len == 0 && o->cap <= most) {
        buf = o->buf;
        o->buf = NULL, o->cap = 0;
    }
    return buf;
}

size_t h2_out_wants(const struct h2_out *o) { return hpack_encoder_wants(o->hpack); }

void *h2_out_grow_table(struct h2_out *o, void *block, size_t size)
{
    return hpack_encoder_grow(o->hpack, block, size);
}

/* -- life ------------------------------------------------------------------------------------ */

static uint8_t *out_setting(uint8_t *p, enum h2_setting id, uint32_t value)
{
    store_be16(p, (uint16_t)id);
    store_be32(p + 2, value);
    return p + 6;
}

BASE_COLD static void out_first_settings(struct h2_out *o, const struct h2_config *c)
{
    uint8_t body[6 * 6], *p = body;
    if (LIMIT_HPACK_TABLE != H2_DEFAULT_TABLE)
        p = out_setting(p, H2_SET_HEADER_TABLE_SIZE, LIMIT_HPACK_TABLE);
    if (c->server)
        p = out_setting(p, H2_SET_MAX_CONCURRENT_STREAMS, c->max_concurrent_streams);
    else
        p = out_setting(p, H2_SET_ENABLE_PUSH, 0);
    if (c->initial_window != H2_DEFAULT_WINDOW)
        p = out_setting(p, H2_SET_INITIAL_WINDOW_SIZE, c->initial_window);
    if (c->max_frame != H2_DEFAULT_FRAME)
        p = out_setting(p, H2_SET_MAX_FRAME_SIZE, c->max_frame);
    p = out_setting(p, H2_SET_MAX_HEADER_LIST_SIZE, c->max_header_list);
    size_t n = (size_t)(p - body);
    memcpy(h2_out_frame(o, n, H2_SETTINGS, 0, 0), body, n);
}

BASE_COLD int h2_out_init(struct h2_out *o, bool server)
{
    *o = (struct h2_out){ .window = H2_DEFAULT_WINDOW,
                          .next_id = 1,
                          .peer = H2_SETTINGS_DEFAULT,
                          .high_water = LIMIT_OUT_HIGH_WATER,
                          .server = server };
    list_init(&o->pending);
    list_init(&o->all);
    o->hpack = hpack_encoder_new();
    return o->hpack ? 0 : -1;
}

BASE_COLD void h2_out_begin(struct h2_out *o, const struct h2_config *c)
{
    sn_assert(!o->begun && o->len == 0 && h2_out_room(o, H2_OUT_BEGIN));
    o->begun = true;
    if (!o->server) {
        memcpy(o->buf, H2_PREFACE, H2_PREFACE_LEN);
        o->len = H2_PREFACE_LEN;
    }
    out_first_settings(o, c);
    if (c->connection_window > H2_DEFAULT_WINDOW)
        h2_out_window_update(o, 0, c->connection_window - H2_DEFAULT_WINDOW);
}

BASE_COLD void h2_out_fini(struct h2_out *o)
{
    hpack_encoder_free(o->hpack);
    sys.free(o->buf);
    sys.free(o->spare);
    o->hpack = NULL;
    o->buf = o->spare = NULL;
    o->len = o->cap = o->spare_cap = 0;
}

/* -- frames of the connection ---------------------------------------------------------------- */

BASE_COLD bool h2_out_settings(struct h2_out *o, const struct h2_settings *peer)
{
    int64_t delta = (int64_t)peer->initial_window - o->peer.initial_window;
    list_each(n, &o->all)
    {
        struct h2_out_stream *s = container_of(n, struct h2_out_stream, all);
        if (s->window + delta > H2_MAX_WINDOW)
            return false;
        s->window += delta;
        h2_out_enqueue(o, s);
    }
    if (peer->header_table_size != o->peer.header_table_size ||
        peer->least_table_size < o->peer.header_table_size) {
        if (peer->least_table_size < peer->header_table_size)
            hpack_encoder_resize(o->hpack, peer->least_table_size);
        hpack_encoder_resize(o->hpack, peer->header_table_size);
    }
    o->peer = *peer;
    h2_out_frame(o, 0, H2_SETTINGS, H2_ACK, 0);
    return true;
}

bool h2_out_window(struct h2_out *o, struct h2_out_stream *s, uint32_t increment)
{
    int64_t *window = s ? &s->window : &o->window;
    if (*window + increment > H2_MAX_WINDOW)
        return false;
    *window += increment;
    if (s)
        h2_out_enqueue(o, s);
    return true;
}

void h2_out_window_update(struct h2_out *o, uint32_t id, uint32_t increment)
{
    sn_assert(increment > 0 && increment <= H2_MAX_WINDOW);
    store_be32(h2_out_frame(o, 4, H2_WINDOW_UPDATE, 0, id), increment);
}

void h2_out_ping(struct h2_out *o, const uint8_t opaque[8], bool ack)
{
    memcpy(h2_out_frame(o, 8, H2_PING, ack ? H2_ACK : 0, 0), opaque, 8);
}

/* 17 octets of room and the text's; a text without room is cut short. */
BASE_COLD void h2_out_goaway(struct h2_out *o, uint32_t last_id, uint32_t code, const char *text)
{
    size_t n = text ? min_size(strlen(text), LIMIT_GOAWAY_TEXT) : 0;
    sn_assert(h2_out_room(o, H2_FRAME_HEADER + 8));
    n = min_size(n, o->cap - o->len - H2_FRAME_HEADER - 8);
    uint8_t *p = h2_out_frame(o, 8 + n, H2_GOAWAY, 0, 0);
    store_be32(p, last_id);
    store_be32(p + 4, code);
    if (n)
        memcpy(p + 8, text, n);
}
