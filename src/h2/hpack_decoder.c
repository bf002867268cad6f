/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * hpack_decoder.c: header blocks to fields (RFC 7541 3, 6).
 * Dynamic entries are blocks of their own in a ring; one that is evicted while a block is decoded
 * may still be pointed to by an earlier field, so it goes to a graveyard that the next block
 * empties. Memory: the table (its size limit plus a header per entry), the scratch for Huffman
 * strings (at most 8/5 of the encoded block) and the field array (LIMIT_HEADER_FIELDS). */
#include "base/limits.h"
#include "base/sys.h"
#include "h2/hpack_private.h"

#define DECODER_INT_OCTETS   5  /* continuation octets of an integer: 2^31 needs no more */
#define DECODER_FIELDS_FIRST 16 /* room of the field array at first */

struct decoder_entry {
    struct decoder_entry *next; /* in the graveyard */
    struct h2_field field;      /* name and value lie behind it */
    uint8_t name_flags;
    uint64_t unseen; /* number of the block that inserted it, all of whose fields are dropped */
};
struct hpack_decoder {
    struct decoder_entry **ring; /* newest at (head - 1) & mask */
    uint32_t mask, head, count, inserted;
    uint32_t size, limit, announced;
    struct decoder_entry *graveyard, *unseen; /* the latter: nothing points to them */
    uint64_t block;                           /* counts blocks, from 1 */
    struct h2_field *fields;
    size_t n_fields, room_fields;
    uint8_t *scratch;
    size_t scratch_cap, scratch_used;
    size_t list_size, max_list; /* of the current block */
    bool over;
};

/* -- life ------------------------------------------------------------------------------------ */

struct hpack_decoder *hpack_decoder_new(uint32_t max_table_size)
{
    struct hpack_decoder *d = sys.calloc(1, sizeof *d);
    if (d)
        d->limit = d->announced = max_table_size;
    return d;
}

static void decoder_bury(struct decoder_entry **graveyard)
{
    while (*graveyard) {
        struct decoder_entry *e = *graveyard;
        *graveyard = e->next;
        sys.free(e);
    }
}

static struct decoder_entry *decoder_entry(const struct hpack_decoder *d, uint32_t age)
{
    return d->ring[(d->head - 1 - age) & d->mask];
}

static void decoder_evict(struct hpack_decoder *d, uint32_t limit)
{
    while (d->size > limit) {
        struct decoder_entry *e = decoder_entry(d, --d->count);
        d->size -= e->field.name_len + e->field.value_len + HPACK_ENTRY_COST;
        struct decoder_entry **graveyard = e->unseen == d->block ? &d->unseen : &d->graveyard;
        e->next = *graveyard;
        *graveyard = e;
    }
}

void hpack_decoder_free(struct hpack_decoder *d)
{
    if (!d)
        return;
    decoder_evict(d, 0);
    decoder_bury(&d->graveyard);
    decoder_bury(&d->unseen);
    sys.free(d->ring);
    sys.free(d->fields);
    sys.free(d->scratch);
    sys.free(d);
}

/* -- integers and strings -------------------------------------------------------------------- */

const uint8_t *hpack_int_decode(const uint8_t *p, const uint8_t *end, unsigned bits, uint32_t *out)
{
    uint32_t most = (1u << bits) - 1, value;
    if (p == end)
        return NULL;
    value = *p++ & most;
    if (value < most) {
        *out = value;
        return p;
    }
    uint64_t sum = value;
    for (unsigned i = 0; i < DECODER_INT_OCTETS; i++) {
        if (p == end)
            return NULL;
        uint8_t c = *p++;
        sum += (uint64_t)(c & 0x7f) << (7 * i);
        if (sum > INT32_MAX)
            return NULL;
        if (c < 0x80) {
            *out = (uint32_t)sum;
            return p;
        }
    }
    return NULL;
}

/* A string literal: in place, or decoded into the scratch (which has room for the whole block). */
static const uint8_t *decoder_string(struct hpack_decoder *d, const uint8_t *p, const uint8_t *end,
                                     const char **s, uint32_t *n)
{
    uint32_t len;
    bool huffman = p < end && (*p & 0x80);
    p = hpack_int_decode(p, end, 7, &len);
    if (!p || len > (size_t)(end - p))
        return NULL;
    *s = (const char *)p;
    *n = len;
    if (huffman) {
        uint8_t *to = d->scratch + d->scratch_used;
        ptrdiff_t got = huffman_decode(to, d->scratch_cap - d->scratch_used, p, len);
        if (got < 0)
            return NULL;
        *s = (const char *)to;
        *n = (uint32_t)got;
        d->scratch_used += (size_t)got;
    }
    return p + len;
}

/* -- the table ------------------------------------------------------------------------------- */

static bool decoder_ring_room(struct hpack_decoder *d)
{
    uint32_t room = d->ring ? d->mask + 1 : 0;
    if (d->count < room)
        return true;
    uint32_t bigger = room ? room * 2 : 8;
    struct decoder_entry **ring = sys.malloc(bigger * sizeof *ring);
    if (!ring)
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        ring[i] = decoder_entry(d, d->count - 1 - i);
    sys.free(d->ring);
    d->ring = ring, d->mask = bigger - 1, d->head = d->count;
    return true;
}

/* f's strings may lie in an entry that this very insertion evicts: the graveyard keeps them. */
static int decoder_insert(struct hpack_decoder *d, struct h2_field *f, uint8_t name_flags)
{
    uint64_t cost = (uint64_t)f->name_len + f->value_len + HPACK_ENTRY_COST;
    decoder_evict(d, cost > d->limit ? 0 : d->limit - (uint32_t)cost);
    if (cost > d->limit)
        return HPACK_OK;
    size_t octets = (size_t)f->name_len + f->value_len + 2;
    struct decoder_entry *e = decoder_ring_room(d) ? sys.malloc(sizeof *e + octets) : NULL;
    if (!e)
        return HPACK_NO_MEMORY;
    char *name = (char *)(e + 1), *value = name + f->name_len + 1;
    memcpy(name, f->name, f->name_len);
    name[f->name_len] = 0;
    memcpy(value, f->value, f->value_len);
    value[f->value_len] = 0;
    e->field = *f;
    e->field.name = name, e->field.value = value, e->field.memo = 0;
    if (++d->inserted == 0)
        d->inserted = 1;
    e->field.entry = d->inserted;
    e->name_flags = name_flags;
    e->unseen =
        d->over ? d->block : 0; /* else a bomb of insertions would be held to the block's end */
    d->ring[d->head++ & d->mask] = e;
    d->count++;
    d->size += (uint32_t)cost;
    *f = e->field;
    decoder_bury(&d->unseen); /* the name was copied */
    return HPACK_OK;
}

void hpack_memo(struct hpack_decoder *d, const struct h2_field *f, uint16_t memo)
{
    uint32_t age = d->inserted - f->entry;
    if (f->entry && age < d->count && decoder_entry(d, age)->field.entry == f->entry)
        decoder_entry(d, age)->field.memo = memo;
}

/* -- fields ---------------------------------------------------------------------------------- */

static int decoder_emit(struct hpack_decoder *d, const struct h2_field *f)
{
    d->list_size += (size_t)f->name_len + f->value_len + HPACK_ENTRY_COST;
    if (d->list_size > d->max_list || d->n_fields == LIMIT_HEADER_FIELDS) {
        d->over = true;
        return d->list_size > LIMIT_HEADER_BOMB * d->max_list ? HPACK_BOMB : HPACK_OK;
    }
    if (d->n_fields == d->room_fields) {
        size_t room = d->room_fields ? d->room_fields * 2 : DECODER_FIELDS_FIRST;
        struct h2_field *fields = sys.realloc(d->fields, room * sizeof *fields);
        if (!fields)
            return HPACK_NO_MEMORY;
        d->fields = fields, d->room_fields = room;
    }
    d->fields[d->n_fields++] = *f;
    return HPACK_OK;
}

/* The field at an index; NULL: there is none. */
static const struct h2_field *decoder_lookup(const struct hpack_decoder *d, uint32_t index)
{
    if (index == 0)
        return NULL;
    if (index <= HPACK_STATIC)
        return &hpack_static[index];
    index -= HPACK_STATIC + 1;
    return index < d->count ? &decoder_entry(d, index)->field : NULL;
}

static uint8_t decoder_name_flags(const struct hpack_decoder *d, uint32_t index)
{
    return index > HPACK_STATIC ? decoder_entry(d, index - HPACK_STATIC - 1)->name_flags : 0;
}

/* A literal, its name by index or in full. bits: of the index; keep: goes into the table. */
static const uint8_t *decoder_literal(struct hpack_decoder *d, const uint8_t *p, const uint8_t *end,
                                      unsigned bits, bool keep, int *result)
{
    struct h2_field f = { .token = H2_TOK_OTHER };
    bool never = bits == 4 && (*p & 0x10);
    uint8_t name_flags;
    uint32_t index;
    *result = HPACK_COMPRESSION_ERROR;
    p = hpack_int_decode(p, end, bits, &index);
    if (!p)
        return NULL;
    if (index) {
        const struct h2_field *named = decoder_lookup(d, index);
        if (!named)
            return NULL;
        f.name = named->name, f.name_len = named->name_len, f.token = named->token;
        name_flags = decoder_name_flags(d, index);
    } else {
        p = decoder_string(d, p, end, &f.name, &f.name_len);
        if (!p)
            return NULL;
        f.token = hpack_name_token(f.name, f.name_len);
        name_flags = hpack_name_flags(f.name, f.name_len);
    }
    p = decoder_string(d, p, end, &f.value, &f.value_len);
    if (!p)
        return NULL;
    f.flags = name_flags | hpack_value_flags(f.value, f.value_len);
    *result = keep ? decoder_insert(d, &f, name_flags) : HPACK_OK;
    if (never)
        f.flags |= H2_FIELD_NEVER;
    if (*result == HPACK_OK)
        *result = decoder_emit(d, &f);
    return p;
}

static const uint8_t *decoder_resize(struct hpack_decoder *d, const uint8_t *p, const uint8_t *end,
                                     int *result)
{
    uint32_t size;
    p = hpack_int_decode(p, end, 5, &size);
    *result = p && size <= d->announced ? HPACK_OK : HPACK_COMPRESSION_ERROR;
    if (*result == HPACK_OK) {
        d->limit = size;
        decoder_evict(d, size);
    }
    return p;
}

static const uint8_t *decoder_indexed(struct hpack_decoder *d, const uint8_t *p, const uint8_t *end,
                                      int *result)
{
    uint32_t index;
    p = hpack_int_decode(p, end, 7, &index);
    const struct h2_field *f = p ? decoder_lookup(d, index) : NULL;
    *result = f ? decoder_emit(d, f) : HPACK_COMPRESSION_ERROR;
    return p;
}

static bool decoder_begin(struct hpack_decoder *d, size_t len, size_t max_list)
{
    size_t need = len / 5 * 8 + 16; /* the shortest code has five bits */
    decoder_bury(&d->graveyard);
    decoder_bury(&d->unseen);
    d->block++;
    d->n_fields = d->list_size = d->scratch_used = 0;
    d->max_list = max_list;
    d->over = false;
    if (need <= d->scratch_cap)
        return true;
    uint8_t *scratch = sys.malloc(need);
    if (!scratch)
        return false;
    sys.free(d->scratch);
    d->scratch = scratch, d->scratch_cap = need;
    return true;
}

int hpack_decode(struct hpack_decoder *d, const uint8_t *block, size_t len, size_t max_list,
                 const struct h2_field **fields, size_t *n)
{
    const uint8_t *p = block, *end = len ? block + len : block; /* NULL may be without octets */
    int result = HPACK_OK;
    *fields = NULL, *n = 0;
    if (!decoder_begin(d, len, max_list))
        return HPACK_NO_MEMORY;
    bool started = false;
    while (p < end && result == HPACK_OK) {
        uint8_t c = *p;
        if ((c & 0xe0) == 0x20) {
            if (started) /* how many came before it matters as little here as to other decoders */
                return HPACK_COMPRESSION_ERROR;
            p = decoder_resize(d, p, end, &result);
            continue;
        }
        started = true;
        if (c & 0x80)
            p = decoder_indexed(d, p, end, &result);
        else if (c & 0x40)
            p = decoder_literal(d, p, end, 6, true, &result);
        else
            p = decoder_literal(d, p, end, 4, false, &result);
    }
    *fields = d->fields, *n = d->n_fields;
    return result != HPACK_OK ? result : d->over ? HPACK_TOO_LARGE : HPACK_OK;
}
