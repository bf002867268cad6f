/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_in_answer.c: client: answers that lie whole in the caller's buffer, taken in one step. Nearly
 * every answer to a unary call is HEADERS, one DATA frame and trailers in a row, and both blocks
 * have the octets of the ones before. So a block that came to an event, which its owner has judged,
 * is remembered with its frame, as long as the decoder's table stays as it was; an answer of two
 * such blocks is taken without looking at fields. It must come to what h2_in_next would make of the
 * three frames: all that it would treat in another way, or object to, is left to it.
 * Owned by the connection's reader, as the struct h2_in. */
#include "h2/h2_in_private.h"

static uint64_t answer_key(size_t len, unsigned type, unsigned flags)
{
    return (uint64_t)len << 16 | type << 8 | flags;
}

/* A block of more than fields that are an index each is not remembered: it may change the table, or
 * have secrets in it. */
BASE_COLD void h2_in_learn(struct h2_in *in, const struct h2_event *ev, uint8_t said)
{
    bool first = ev->kind == H2_EV_HEADERS;
    struct h2_in_known *k = first ? &in->known_head : &in->known_tail;
    struct h2_in_stream *s = first ? h2_in_find(in, ev->id) : NULL;
    if (!ev->run || ev->run->n != ev->n_fields || ev->fields_too_large ||
        (first && (!s || s->content_left >= 0)))
        return;
    uint32_t n = ev->run->n;
    size_t at = first ? 0 : HPACK_RUN_OCTETS - n;
    *k = (struct h2_in_known){ 0 };
    memcpy((char *)k->octets + at, hpack_run_octets(ev->run), n);
    memset((char *)k->mask + at, 0xff, n);
    k->key = answer_key(n, H2_HEADERS, H2_END_HEADERS | (first ? 0 : H2_END_STREAM));
    k->len = (uint8_t)n, k->said = said;
    k->epoch = hpack_decoder_epoch(in->hpack);
}

/* Are the octets at p those of k's block? They are compared as two words: for a head they begin at
 * p, for trailers they end 16 octets later. */
static inline bool answer_same(const struct h2_in_known *k, const uint8_t *p)
{
    uint64_t octets[2];
    memcpy(octets, p, sizeof octets);
    return (((octets[0] ^ k->octets[0]) & k->mask[0]) |
            ((octets[1] ^ k->octets[1]) & k->mask[1])) == 0;
}

/* What a frame's header says but for its stream, as answer_key. */
static inline uint64_t answer_frame(const uint8_t *p) { return load_be64(p) >> 24; }

size_t h2_in_answer(struct h2_in *in, const uint8_t *p, size_t n, struct h2_answer *a)
{
    const struct h2_in_known *head = &in->known_head, *tail = &in->known_tail;
    size_t fixed = 3 * H2_FRAME_HEADER + head->len + tail->len;
    if (n <= fixed || answer_frame(p) != head->key || !answer_same(head, p + H2_FRAME_HEADER))
        return 0;
    uint64_t epoch = hpack_decoder_epoch(in->hpack);
    if (unlikely(head->epoch != epoch || tail->epoch != epoch || in->step || in->small_len ||
                 in->block_id || in->too_many))
        return 0;
    const uint8_t *data = p + H2_FRAME_HEADER + head->len;
    uint32_t id = load_be32(p + 5);
    uint64_t key = answer_frame(data);
    size_t len = key >> 16;
    if ((key & 0xffff) != H2_DATA << 8 || len == 0 || len > n - fixed || len > in->c.max_frame ||
        load_be32(data + 5) != id)
        return 0;
    data += H2_FRAME_HEADER;
    const uint8_t *last = data + len, *end = last + H2_FRAME_HEADER + tail->len;
    if (answer_frame(last) != tail->key || load_be32(last + 5) != id ||
        !answer_same(tail, end - sizeof tail->octets))
        return 0;
    struct h2_in_stream *s = h2_in_find(in, id);
    /* A quarter of the window: then an update is due, and perhaps growth. */
    if (unlikely(!s || !s->local_closed || s->has_headers || (int64_t)len > in->window ||
                 len >= in->c.initial_window / 4))
        return 0;
    in->frames += 3;
    in->window -= (uint32_t)len;
    in->window_back += (uint32_t)len;
    in->arrived += len;
    in_refill(in, (uint32_t)len / LIMIT_GLITCH_OCTETS);
    *a = (struct h2_answer){ .id = id,
                             .user = s->user,
                             .data = data,
                             .len = (uint32_t)len,
                             .head = head->said,
                             .tail = tail->said };
    h2_in_remove(in, s, H2_IN_ENDED);
    return (size_t)(end - p);
}
