/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * hpack_encoder.c: fields to header blocks. Only constants enter the table (HPACK_INDEX), so it is
 * small: a ring of entries over a ring of octets. Encoding never allocates: what finds no room in
 * the rings is sent as a literal, and hpack_encoder_wants tells the owner, who may give larger ones
 * before the next block. So each connection has the rings that its constants need, and one that
 * never sends a second block has none. The table may be smaller than the peer's: entries we have
 * dropped early are simply never referred to again. */
#include "base/limits.h"
#include "base/sys.h"
#include "h2/hpack_private.h"

#define ENCODER_OCTETS  LIMIT_HPACK_ENCODER_TABLE
#define ENCODER_ENTRIES 32u /* entries of at least 32 octets; a power of two */

struct encoder_entry {
    uint16_t at, name_len, value_len; /* in octets, wrapping never splits an entry */
    uint16_t hash;
};
/* The rings: one block, entries first. */
static const struct encoder_size {
    uint16_t entries, octets; /* a power of two; each step has room for all of the one before */
} encoder_sizes[] = { { 0, 0 }, { 4, 128 }, { 16, 384 }, { ENCODER_ENTRIES, ENCODER_OCTETS } };
struct hpack_encoder {
    struct hpack_epoch now;     /* the first member: see hpack_encoder_epoch */
    struct encoder_entry *ring; /* newest at (head - 1) */
    char *octets;
    uint32_t head, count, size, limit;
    uint32_t update_least, update_last; /* size updates owed to the decoder */
    bool update_two, wants;
    uint8_t step; /* in encoder_sizes */
    uint16_t octets_at;
};

static size_t encoder_block(unsigned step)
{
    return encoder_sizes[step].entries * sizeof(struct encoder_entry) + encoder_sizes[step].octets;
}

static void encoder_rings(struct hpack_encoder *e, void *block, unsigned step)
{
    e->ring = block;
    e->octets = (char *)(e->ring + encoder_sizes[step].entries);
    e->step = (uint8_t)step;
}

BASE_COLD struct hpack_encoder *hpack_encoder_new(void)
{
    struct hpack_encoder *e = sys.calloc(1, sizeof *e);
    if (e)
        e->limit = min_size(ENCODER_OCTETS, 4096);
    return e;
}

void hpack_encoder_free(struct hpack_encoder *e)
{
    if (e)
        sys.free(e->ring);
    sys.free(e);
}

static uint32_t encoder_mask(const struct hpack_encoder *e)
{
    return encoder_sizes[e->step].entries - 1u;
}

static struct encoder_entry *encoder_at(const struct hpack_encoder *e, uint32_t age)
{
    return &e->ring[(e->head - 1 - age) & encoder_mask(e)];
}

size_t hpack_encoder_wants(const struct hpack_encoder *e)
{
    return e->wants ? encoder_block(e->step + 1u) : 0;
}

BASE_COLD void *hpack_encoder_grow(struct hpack_encoder *e, void *block, size_t size)
{
    if (hpack_encoder_wants(e) != size)
        return block; /* somebody else was faster */
    struct hpack_encoder old = *e;
    uint32_t octets = 0;
    encoder_rings(e, block, e->step + 1u);
    for (uint32_t i = 0; i < old.count; i++) {
        const struct encoder_entry *x = encoder_at(&old, old.count - 1 - i);
        uint32_t n = (uint32_t)x->name_len + x->value_len;
        e->ring[i] = *x;
        e->ring[i].at = (uint16_t)octets;
        memcpy(e->octets + octets, old.octets + x->at, n);
        octets += n;
    }
    e->head = old.count;
    e->octets_at = (uint16_t)octets;
    e->wants = false;
    return old.ring;
}

static void encoder_drop_oldest(struct hpack_encoder *e)
{
    const struct encoder_entry *old = encoder_at(e, --e->count);
    e->now.n++;
    e->size -= old->name_len + old->value_len + HPACK_ENTRY_COST;
}

BASE_COLD void hpack_encoder_resize(struct hpack_encoder *e, uint32_t peer_max)
{
    uint32_t limit = (uint32_t)min_size(peer_max, ENCODER_OCTETS);
    e->now.n++;
    while (e->size > limit)
        encoder_drop_oldest(e);
    e->limit = limit;
    /* The decoder's table may not exceed peer_max: it must hear of it, least first (RFC 7541 4.2).
     */
    if (!e->now.owed)
        e->update_least = peer_max;
    else if (peer_max < e->update_least)
        e->update_least = peer_max;
    e->update_last = limit;
    e->now.owed = true;
    e->update_two = e->update_least < limit;
}

uint8_t *hpack_int_encode(uint8_t *p, uint8_t flags, unsigned bits, size_t value)
{
    size_t most = (1u << bits) - 1;
    if (value < most) {
        *p++ = (uint8_t)(flags | value);
        return p;
    }
    *p++ = (uint8_t)(flags | most);
    for (value -= most; value >= 0x80; value >>= 7)
        *p++ = (uint8_t)(0x80 | (value & 0x7f));
    *p++ = (uint8_t)value;
    return p;
}

static uint8_t *encoder_string(uint8_t *p, const char *s, size_t n, bool huffman)
{
    size_t packed = huffman ? huffman_encoded_size((const uint8_t *)s, n) : n;
    if (huffman && packed < n) {
        p = hpack_int_encode(p, 0x80, 7, packed);
        return huffman_encode(p, (const uint8_t *)s, n);
    }
    p = hpack_int_encode(p, 0, 7, n);
    if (n)
        memcpy(p, s, n);
    return p + n;
}

/* -- lookup ---------------------------------------------------------------------------------- */

/* Full match, or *name_index of one that has the name. */
static uint32_t encoder_static(const char *name, size_t name_len, const char *value,
                               size_t value_len, uint32_t *name_index)
{
    if (name_len + 1 >= countof(hpack_static_starts))
        return 0;
    for (unsigned i = hpack_static_starts[name_len]; i < hpack_static_starts[name_len + 1]; i++) {
        uint32_t index = hpack_static_by_len[i];
        const struct h2_field *f = &hpack_static[index];
        if (memcmp(f->name, name, name_len) != 0)
            continue;
        if (f->value_len == value_len && memcmp(f->value, value, value_len) == 0)
            return index;
        if (!*name_index)
            *name_index = index;
    }
    return 0;
}

static uint16_t encoder_hash(const char *name, size_t name_len, const char *value, size_t value_len)
{
    unsigned h = (unsigned)(name_len * 31 + value_len * 7);
    if (name_len)
        h += (uint8_t)name[name_len - 1] * 17u;
    if (value_len)
        h += (uint8_t)value[value_len - 1] * 13u + (uint8_t)value[value_len / 2];
    return (uint16_t)h;
}

static uint32_t encoder_dynamic(struct hpack_encoder *e, uint16_t hash, const char *name,
                                size_t name_len, const char *value, size_t value_len)
{
    for (uint32_t age = 0; age < e->count; age++) {
        const struct encoder_entry *x = encoder_at(e, age);
        if (x->hash == hash && x->name_len == name_len && x->value_len == value_len &&
            memcmp(e->octets + x->at, name, name_len) == 0 &&
            memcmp(e->octets + x->at + name_len, value, value_len) == 0)
            return HPACK_STATIC + 1 + age;
    }
    return 0;
}

/* Do the octets of some live entry lie in [at, at + n)? */
static bool encoder_overlaps(struct hpack_encoder *e, uint32_t at, uint32_t n)
{
    if (!e->count)
        return false;
    const struct encoder_entry *x = encoder_at(e, e->count - 1); /* the oldest is met first */
    return x->at < at + n && at < (uint32_t)x->at + x->name_len + x->value_len;
}

/* Room for n octets in the rings as they are; false: none without dropping what the peer's table
 * would still hold, and larger ones may be had. */
static bool encoder_fits(struct hpack_encoder *e, size_t n)
{
    const struct encoder_size *size = &encoder_sizes[e->step];
    uint32_t at = e->octets_at + n > size->octets ? 0 : e->octets_at;
    return e->count < size->entries && n <= size->octets && !encoder_overlaps(e, at, (uint32_t)n);
}

BASE_COLD static bool encoder_insert(struct hpack_encoder *e, uint16_t hash, const char *name,
                                     size_t name_len, const char *value, size_t value_len)
{
    const struct encoder_size *size = &encoder_sizes[e->step];
    size_t n = name_len + value_len;
    if (n + HPACK_ENTRY_COST > e->limit)
        return false;
    if (e->step + 1u < countof(encoder_sizes) && !encoder_fits(e, n)) {
        e->wants = true;
        return false;
    }
    while (e->count && e->size + n + HPACK_ENTRY_COST > e->limit)
        encoder_drop_oldest(e);
    if (e->octets_at + n > size->octets)
        e->octets_at = 0;
    while (encoder_overlaps(e, e->octets_at, (uint32_t)n))
        encoder_drop_oldest(e);
    struct encoder_entry *x = &e->ring[e->head++ & encoder_mask(e)];
    *x = (struct encoder_entry){ e->octets_at, (uint16_t)name_len, (uint16_t)value_len, hash };
    memcpy(e->octets + x->at, name, name_len);
    memcpy(e->octets + x->at + name_len, value, value_len);
    e->octets_at = (uint16_t)(e->octets_at + n);
    e->count++;
    e->now.n++;
    e->size += (uint32_t)(n + HPACK_ENTRY_COST);
    return true;
}

/* -- encoding -------------------------------------------------------------------------------- */

BASE_COLD static uint8_t *encoder_updates(struct hpack_encoder *e, uint8_t *p)
{
    if (!e->now.owed)
        return p;
    if (e->update_two)
        p = hpack_int_encode(p, 0x20, 5, e->update_least);
    e->now.owed = false;
    return hpack_int_encode(p, 0x20, 5, e->update_last);
}

uint8_t *hpack_encode(struct hpack_encoder *e, uint8_t *p, bool first, const char *name,
                      size_t name_len, const char *value, size_t value_len, enum hpack_index how)
{
    uint32_t name_index = 0, index = 0;
    uint16_t hash = 0;
    if (first)
        p = encoder_updates(e, p);
    if (how == HPACK_INDEX) {
        hash = encoder_hash(name, name_len, value, value_len);
        index = encoder_dynamic(e, hash, name, name_len, value, value_len);
    }
    if (!index)
        index = encoder_static(name, name_len, value, value_len, &name_index);
    if (index && how != HPACK_NEVER)
        return hpack_int_encode(p, 0x80, 7, index);
    if (index) /* a secret that equals a static value: still never by index */
        name_index = index;
    /* The table sees the entry as the decoder will: after the block's earlier fields. */
    if (how == HPACK_INDEX && encoder_insert(e, hash, name, name_len, value, value_len))
        p = hpack_int_encode(p, 0x40, 6, name_index);
    else
        p = hpack_int_encode(p, how == HPACK_NEVER ? 0x10 : 0, 4, name_index);
    if (!name_index)
        p = encoder_string(p, name, name_len, true);
    return encoder_string(p, value, value_len, how == HPACK_INDEX || value_len > 16);
}
