/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_in_streams.c: the streams that live, and the memory of those that died. Entries lie in the
 * hash table itself: opening and closing a stream allocates nothing once the table has its size.
 * Its hash is the id itself, for ids rise, and who comes with a longer way from home goes before
 * those with a shorter one ("robin hood"): then a gap ends at the first entry that is at home.
 * Ids that left are kept in three short rings, by how they ended, since RFC 9113 wants late frames
 * treated differently; every id below the greatest one opened is closed in any case. Owned by the
 * connection's reader, as the struct h2_in. */
#include "h2/h2_in_private.h"

#define IN_TABLE_FIRST 2u /* half of it is used: most connections have one stream at a time */
#define IN_RING_FIRST  4u

struct h2_in_stream *h2_in_look_up(struct h2_in *in, uint32_t id)
{
    const struct h2_in_table *t = &in->table;
    if (t->count == 0 || id == 0)
        return NULL;
    for (uint32_t i = in_slot(t, id); t->slots[i].id; i = (i + 1) & (t->cap - 1)) {
        if (t->slots[i].id == id)
            return in->latest = &t->slots[i];
    }
    return NULL;
}

static uint32_t in_way(const struct h2_in_table *t, uint32_t i)
{
    return (i - in_slot(t, t->slots[i].id)) & (t->cap - 1);
}

/* Somebody else is there: room is made before the first one with a shorter way. */
struct h2_in_stream *h2_in_make_room(const struct h2_in_table *t, uint32_t i)
{
    uint32_t mask = t->cap - 1, end;
    for (uint32_t way = 0; t->slots[i].id && in_way(t, i) >= way; way++)
        i = (i + 1) & mask;
    for (end = i; t->slots[end].id; end = (end + 1) & mask)
        ;
    for (uint32_t before; end != i; end = before) {
        before = (end - 1) & mask;
        t->slots[end] = t->slots[before];
    }
    return &t->slots[i];
}

bool h2_in_table_grow(struct h2_in_table *t)
{
    struct h2_in_table bigger = { .cap = t->cap ? 2 * t->cap : IN_TABLE_FIRST, .count = t->count };
    bigger.slots = sys.calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (uint32_t i = 0; i < t->cap; i++) {
        if (t->slots[i].id)
            *in_free_slot(&bigger, t->slots[i].id) = t->slots[i];
    }
    sys.free(t->slots);
    *t = bigger;
    return true;
}

/* Closes the gap, so that every entry stays reachable from its slot without tombstones. */
static inline void in_table_remove(struct h2_in_table *t, struct h2_in_stream *s)
{
    uint32_t mask = t->cap - 1, gap = (uint32_t)(s - t->slots), i = (gap + 1) & mask;
    while (unlikely(t->slots[i].id && in_slot(t, t->slots[i].id) != i)) {
        t->slots[gap] = t->slots[i];
        gap = i;
        i = (i + 1) & mask;
    }
    t->slots[gap].id = 0;
    t->count--;
}

/* -- closed ids ------------------------------------------------------------------------------ */

/* Full: twice the room, while there is memory and the limit allows it; else from its start. False:
 * there is none. */
BASE_COLD static bool in_ring_turn(struct h2_in_ring *r)
{
    uint32_t cap = r->cap ? 2u * r->cap : IN_RING_FIRST;
    uint32_t *ids = cap <= LIMIT_CLOSED_STREAMS ? sys.realloc(r->ids, cap * sizeof *ids) : NULL;
    if (!ids) {
        r->at = 0;
        return r->cap != 0;
    }
    memset(ids + r->cap, 0, (cap - r->cap) * sizeof *ids);
    r->ids = ids;
    r->at = r->cap;
    r->cap = (uint16_t)cap;
    return true;
}

static inline void in_ring_add(struct h2_in_ring *r, uint32_t id)
{
    if (unlikely(r->at == r->cap) && !in_ring_turn(r))
        return; /* without memory it is forgotten how the stream was closed */
    r->ids[r->at++] = id;
}

static bool in_ring_has(const struct h2_in_ring *r, uint32_t id)
{
    for (size_t i = 0; i < r->cap; i++) {
        if (r->ids[i] == id)
            return true;
    }
    return false;
}

void h2_in_streams_fini(struct h2_in *in)
{
    sys.free(in->table.slots);
    sys.free(in->we_reset.ids);
    sys.free(in->answered.ids);
    sys.free(in->peer_reset.ids);
    sys.free(in->ended.ids);
}

void h2_in_remember(struct h2_in *in, uint32_t id, enum h2_in_closed how)
{
    in_ring_add(likely(how == H2_IN_ENDED) ? &in->ended
                : how == H2_IN_WE_RESET    ? &in->we_reset
                : how == H2_IN_ANSWERED    ? &in->answered
                                           : &in->peer_reset,
                id);
}

enum h2_in_closed h2_in_how_closed(const struct h2_in *in, uint32_t id)
{
    if (in_ring_has(&in->we_reset, id))
        return H2_IN_WE_RESET;
    if (in_ring_has(&in->answered, id))
        return H2_IN_ANSWERED;
    if (in_ring_has(&in->peer_reset, id))
        return H2_IN_PEER_RESET;
    return in_ring_has(&in->ended, id) ? H2_IN_ENDED : H2_IN_UNKNOWN;
}

void h2_in_late_end(struct h2_in *in, uint32_t id, enum h2_in_closed how)
{
    if (how != H2_IN_ANSWERED)
        return;
    for (size_t i = 0; i < in->answered.cap; i++) {
        if (in->answered.ids[i] == id)
            in->answered.ids[i] = 0;
    }
    h2_in_remember(in, id, H2_IN_ENDED);
    h2_in_refill(in, 1);
}

bool h2_in_idle(const struct h2_in *in, uint32_t id) { return id % 2 == 0 || id > in->opened; }

static inline void in_ended(struct h2_in *in, struct h2_in_stream *s)
{
    in_ring_add(&in->ended, s->id);
    in->grown -= s->grown;
    if (likely(!s->no_refill))
        in_refill(in, LIMIT_GLITCH_REFILL);
    in_table_remove(&in->table, s);
}

void h2_in_remove(struct h2_in *in, struct h2_in_stream *s, enum h2_in_closed how)
{
    if (likely(how == H2_IN_ENDED)) {
        in_ended(in, s);
        return;
    }
    h2_in_remember(in, s->id, how);
    in->grown -= s->grown;
    in_table_remove(&in->table, s);
}

void h2_in_remote_end(struct h2_in *in, struct h2_in_stream *s, struct h2_event *ev)
{
    s->remote_closed = true;
    if (s->local_closed) {
        ev->gone = true;
        h2_in_remove(in, s, H2_IN_ENDED);
    }
}

/* -- what the writers did -------------------------------------------------------------------- */

int h2_in_opened(struct h2_in *in, uint32_t id, void *user, bool end)
{
    sn_assert(!in->c.server && id % 2 == 1 && id > in->opened);
    struct h2_in_stream *s = h2_in_add(in, id);
    in->opened = id;
    if (!s)
        return -1;
    s->user = user;
    s->local_closed = end;
    return 0;
}

void h2_in_set_user(struct h2_in *in, uint32_t id, void *user)
{
    struct h2_in_stream *s = h2_in_find(in, id);
    if (s)
        s->user = user;
}

bool h2_in_local_end(struct h2_in *in, uint32_t id)
{
    struct h2_in_stream *s = h2_in_find(in, id);
    if (!s)
        return false;
    s->local_closed = true;
    if (!s->remote_closed)
        return false;
    in_ended(in, s);
    return true;
}

void h2_in_local_ends(struct h2_in *in, const uint32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct h2_in_stream *s = h2_in_find(in, ids[i]);
        if (unlikely(!s))
            continue;
        sn_assert(s->remote_closed);
        in_ended(in, s);
    }
}

void h2_in_forget(struct h2_in *in, uint32_t id, enum h2_reset why)
{
    struct h2_in_stream *s = h2_in_find(in, id);
    if (!s)
        return;
    if (why == H2_RESET_ANSWERED && s->remote_closed) { /* its end crossed our reset */
        s->no_refill = true;
        h2_in_remove(in, s, H2_IN_ENDED);
        return;
    }
    h2_in_remove(in, s, why == H2_RESET_ANSWERED ? H2_IN_ANSWERED : H2_IN_WE_RESET);
    if (why != H2_RESET_OURS)
        h2_in_spend(in, H2_GLITCH_RESET);
}

void h2_in_drain(struct h2_in *in) { in->draining = true; }

uint32_t h2_in_last_id(const struct h2_in *in) { return in->processed; }

size_t h2_in_streams(const struct h2_in *in) { return in->table.count; }

/* The cursor stays on a slot that was emptied, since removing moves a later entry into it. */
bool h2_in_pop_above(struct h2_in *in, uint32_t last_id, void **user)
{
    struct h2_in_table *t = &in->table;
    for (; in->above_at < t->cap; in->above_at++) {
        struct h2_in_stream *s = &t->slots[in->above_at];
        if (s->id > last_id) {
            *user = s->user;
            h2_in_remove(in, s, H2_IN_WE_RESET);
            return true;
        }
    }
    in->above_at = 0;
    return false;
}

/* The table is not mended: lookups may miss from here on, which is harmless at the end. */
bool h2_in_pop(struct h2_in *in, void **user)
{
    struct h2_in_table *t = &in->table;
    for (; in->pop_at < t->cap; in->pop_at++) {
        struct h2_in_stream *s = &t->slots[in->pop_at];
        if (s->id) {
            *user = s->user;
            s->id = 0;
            t->count--;
            return true;
        }
    }
    return false;
}
