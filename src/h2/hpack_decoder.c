/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * hpack_decoder.c: header blocks to fields (RFC 7541 3, 6).
 * Dynamic entries are blocks of their own in a ring; one that is evicted while a block is decoded
 * may still be pointed to by an earlier field, so it goes to a graveyard that the next block
 * empties. Memory: the table (its size limit plus a header per entry), and while a block is decoded
 * the scratch: room for Huffman strings (at most 8/5 of the encoded block) and the field array
 * (LIMIT_HEADER_FIELDS). An idle connection's decoder is the table alone: its owner lends a scratch
 * for each turn of reading. */
#include "base/limits.h"
#include "base/sys.h"
#include "h2/hpack_private.h"

#define DECODER_INT_OCTETS   5  /* continuation octets of an integer: 2^31 needs no more */
#define DECODER_FIELDS_FIRST 16 /* room of the field array at first */

struct decoder_entry {
    union {
        struct h2_field field;      /* its name may be the static table's */
        struct decoder_entry *next; /* in the graveyard */
    };
    uint32_t unseen; /* number of the block that inserted it, all of whose fields are dropped */
    uint8_t name_flags;
    char text[]; /* name, unless static, and value */
};
/* What a block began with: octets that are an index each, and the fields that they are. Peers begin
 * their blocks alike, a client's requests differ in the method at most. */
struct decoder_run {
    struct hpack_run of;
    uint32_t room, list_size;
    uint64_t epoch; /* of the table; another one: it is stale */
    uint8_t octets[HPACK_RUN_OCTETS];
    struct h2_field fields[];
};
struct hpack_decoder {
    struct decoder_entry **ring; /* newest at (head - 1) & mask */
    uint32_t mask, head, count, inserted;
    uint32_t size, limit, announced;
    uint32_t block;                           /* counts blocks; never 0 while one is decoded */
    struct decoder_entry *graveyard, *unseen; /* the latter: nothing points to them */
    struct hpack_scratch *scratch;
    struct decoder_run *runs[HPACK_RUNS]; /* or NULL */
    struct hpack_run *again;              /* of the last block; NULL: it had none that was known */
    uint8_t last, after[HPACK_RUNS];      /* slot that was used; which one came after each */
    uint64_t n_runs;                      /* so many were kept */
    uint64_t epoch, began;                /* counts the table's changes; at the block's begin */
    bool owns_scratch;
};

/* -- life ------------------------------------------------------------------------------------ */

BASE_COLD struct hpack_decoder *hpack_decoder_new(uint32_t max_table_size)
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
    d->epoch++;
    while (d->size > limit) {
        struct decoder_entry *e = decoder_entry(d, --d->count);
        d->size -= e->field.name_len + e->field.value_len + HPACK_ENTRY_COST;
        struct decoder_entry **graveyard = e->unseen == d->block ? &d->unseen : &d->graveyard;
        e->next = *graveyard;
        *graveyard = e;
    }
}

BASE_COLD void hpack_decoder_free(struct hpack_decoder *d)
{
    if (!d)
        return;
    decoder_evict(d, 0);
    decoder_bury(&d->graveyard);
    decoder_bury(&d->unseen);
    hpack_decoder_rest(d);
    sys.free(d->ring);
    if (d->owns_scratch) {
        hpack_scratch_fini(d->scratch);
        sys.free(d->scratch);
    }
    sys.free(d);
}

void hpack_scratch_fini(struct hpack_scratch *s)
{
    sys.free(s->fields);
    sys.free(s->octets);
    *s = (struct hpack_scratch){ 0 };
}

void hpack_decoder_lend(struct hpack_decoder *d, struct hpack_scratch *s)
{
    sn_assert(!d->owns_scratch);
    decoder_bury(&d->graveyard); /* nobody has fields any more */
    decoder_bury(&d->unseen);
    d->scratch = s;
    if (s)
        s->held = 0; /* another decoder's */
}

BASE_COLD void hpack_decoder_rest(struct hpack_decoder *d)
{
    for (size_t i = 0; i < HPACK_RUNS; i++) {
        sys.free(d->runs[i]);
        d->runs[i] = NULL;
    }
    d->again = NULL;
}

BASE_COLD static bool decoder_own_scratch(struct hpack_decoder *d)
{
    d->scratch = sys.calloc(1, sizeof *d->scratch);
    d->owns_scratch = d->scratch != NULL;
    return d->owns_scratch;
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
        struct hpack_scratch *x = d->scratch;
        uint8_t *to = x->octets + x->used;
        ptrdiff_t got = huffman_decode(to, x->cap - x->used, p, len);
        if (got < 0)
            return NULL;
        *s = (const char *)to;
        *n = (uint32_t)got;
        x->used += (size_t)got;
    }
    return p + len;
}

/* -- the table ------------------------------------------------------------------------------- */

BASE_COLD static bool decoder_ring_room(struct hpack_decoder *d)
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

/* f's strings may lie in an entry that this very insertion evicts: the graveyard keeps them.
 * static_name: f->name is the static table's, and needs no copy. */
static int decoder_insert(struct hpack_decoder *d, struct h2_field *f, uint8_t name_flags,
                          bool static_name)
{
    uint64_t cost = (uint64_t)f->name_len + f->value_len + HPACK_ENTRY_COST;
    decoder_evict(d, cost > d->limit ? 0 : d->limit - (uint32_t)cost);
    if (cost > d->limit)
        return HPACK_OK;
    size_t name_size = static_name ? 0 : (size_t)f->name_len + 1;
    size_t size = offsetof(struct decoder_entry, text) + name_size + f->value_len + 1;
    struct decoder_entry *e = decoder_ring_room(d) ? sys.malloc(max_size(size, sizeof *e)) : NULL;
    if (!e)
        return HPACK_NO_MEMORY;
    char *value = e->text + name_size;
    e->field = *f;
    if (!static_name) {
        e->field.name = memcpy(e->text, f->name, f->name_len);
        e->text[f->name_len] = 0;
    }
    memcpy(value, f->value, f->value_len);
    value[f->value_len] = 0;
    e->field.value = value, e->field.memo = 0;
    if (++d->inserted == 0)
        d->inserted = 1;
    e->field.entry = d->inserted;
    e->name_flags = name_flags;
    /* Else a bomb of insertions would be held to the block's end. */
    e->unseen = d->scratch->over ? d->block : 0;
    d->ring[d->head++ & d->mask] = e;
    d->count++;
    d->size += (uint32_t)cost;
    *f = e->field;
    decoder_bury(&d->unseen); /* the name was copied */
    return HPACK_OK;
}

BASE_COLD void hpack_memo(struct hpack_decoder *d, const struct h2_field *f, uint16_t memo)
{
    uint32_t age = d->inserted - f->entry;
    if (f->entry && age < d->count && decoder_entry(d, age)->field.entry == f->entry)
        decoder_entry(d, age)->field.memo = memo;
    d->epoch++; /* runs have copies */
}

/* -- fields ---------------------------------------------------------------------------------- */

static int decoder_emit(struct hpack_decoder *d, const struct h2_field *f)
{
    struct hpack_scratch *x = d->scratch;
    x->list_size += (size_t)f->name_len + f->value_len + HPACK_ENTRY_COST;
    if (x->list_size > x->max_list || x->n_fields == LIMIT_HEADER_FIELDS) {
        x->over = true;
        return x->list_size > LIMIT_HEADER_BOMB * x->max_list ? HPACK_BOMB : HPACK_OK;
    }
    if (x->n_fields == x->room_fields) {
        size_t room = x->room_fields ? x->room_fields * 2 : DECODER_FIELDS_FIRST;
        struct h2_field *fields = sys.realloc(x->fields, room * sizeof *fields);
        if (!fields)
            return HPACK_NO_MEMORY;
        x->fields = fields, x->room_fields = room;
    }
    x->fields[x->n_fields++] = *f;
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

/* The name at an index goes into f. False: there is none. */
static bool decoder_name(const struct hpack_decoder *d, uint32_t index, struct h2_field *f,
                         uint8_t *flags, bool *is_static)
{
    const struct h2_field *named = decoder_lookup(d, index);
    if (!named)
        return false;
    const struct decoder_entry *e =
        index > HPACK_STATIC ? decoder_entry(d, index - HPACK_STATIC - 1) : NULL;
    f->name = named->name, f->name_len = named->name_len, f->token = named->token;
    *flags = e ? e->name_flags : 0;
    *is_static = !e || named->name != e->text;
    return true;
}

/* A literal, its name by index or in full. bits: of the index; keep: goes into the table. */
static const uint8_t *decoder_literal(struct hpack_decoder *d, const uint8_t *p, const uint8_t *end,
                                      unsigned bits, bool keep, int *result)
{
    struct h2_field f = { .token = H2_TOK_OTHER };
    bool never = bits == 4 && (*p & 0x10), static_name = false;
    uint8_t name_flags;
    uint32_t index;
    *result = HPACK_COMPRESSION_ERROR;
    p = hpack_int_decode(p, end, bits, &index);
    if (!p)
        return NULL;
    if (index) {
        if (!decoder_name(d, index, &f, &name_flags, &static_name))
            return NULL;
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
    *result = keep ? decoder_insert(d, &f, name_flags, static_name) : HPACK_OK;
    if (never)
        f.flags |= H2_FIELD_NEVER;
    if (*result == HPACK_OK)
        *result = decoder_emit(d, &f);
    return p;
}

BASE_COLD static const uint8_t *decoder_resize(struct hpack_decoder *d, const uint8_t *p,
                                               const uint8_t *end, int *result)
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
    if (!d->scratch && !decoder_own_scratch(d))
        return false;
    if (++d->block == 0) { /* numbers come again: no old entry may look like a new one */
        for (uint32_t age = 0; age < d->count; age++)
            decoder_entry(d, age)->unseen = 0;
        d->block = 1;
    }
    struct hpack_scratch *x = d->scratch;
    d->began = d->epoch;
    x->n_fields = x->list_size = x->used = 0;
    x->max_list = max_list;
    x->over = false;
    if (need <= x->cap)
        return true;
    uint8_t *octets = sys.malloc(need);
    if (!octets)
        return false;
    sys.free(x->octets);
    x->octets = octets, x->cap = need;
    return true;
}

static bool decoder_in_run(uint8_t octet) { return octet > 0x80 && octet < 0xff; }

/* n: 1 to 16. */
static inline bool decoder_same(const uint8_t *a, const uint8_t *b, uint32_t n)
{
    if (n >= 8)
        return memcmp(a, b, 8) == 0 && memcmp(a + n - 8, b + n - 8, 8) == 0;
    if (n >= 4)
        return memcmp(a, b, 4) == 0 && memcmp(a + n - 4, b + n - 4, 4) == 0;
    return a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1];
}

/* The run at the start of a block, all of it, if it is known. */
static inline struct decoder_run *decoder_find_run(struct hpack_decoder *d, const uint8_t *p,
                                                   size_t len, size_t max_list)
{
    for (unsigned i = 0; i < HPACK_RUNS; i++) { /* most likely as before */
        uint8_t slot = (uint8_t)((d->after[d->last] + i) % HPACK_RUNS);
        struct decoder_run *r = d->runs[slot];
        if (!r || r->epoch != d->epoch || len < r->of.n || !decoder_same(p, r->octets, r->of.n))
            continue;
        if (len > r->of.n && r->of.n < HPACK_RUN_OCTETS && decoder_in_run(p[r->of.n]))
            continue; /* it goes on */
        if (r->list_size > max_list)
            continue;
        d->after[d->last] = slot;
        d->last = slot;
        return r;
    }
    return NULL;
}

/* The block begins with r. False: it is decoded as any other. */
static bool decoder_take_run(struct hpack_decoder *d, const struct decoder_run *r)
{
    struct hpack_scratch *x = d->scratch;
    if (!r || x->room_fields < r->of.n)
        return false;
    if (x->held != r->of.id)
        memcpy(x->fields, r->fields, r->of.n * sizeof *r->fields);
    x->held = r->of.id;
    x->n_fields = r->of.n;
    x->list_size = r->list_size;
    return true;
}

/* A whole block was decoded: what it began with is kept, unless it changed the table itself, so
 * that the same octets mean something else from now on. Without memory it is not kept either. */
BASE_COLD static void decoder_keep(struct hpack_decoder *d, const uint8_t *p, size_t len)
{
    struct hpack_scratch *x = d->scratch;
    uint32_t n = 0, list_size = 0;
    uint8_t slot = (uint8_t)((d->last + 1) % HPACK_RUNS);
    while (n < len && n < HPACK_RUN_OCTETS && decoder_in_run(p[n]))
        n++;
    if (n == 0 || x->over || d->began != d->epoch)
        return;
    struct decoder_run *r = d->runs[slot];
    uint32_t room = r ? r->room : 0;
    if (room < n) {
        r = sys.realloc(r, sizeof *r + n * sizeof *r->fields);
        if (!r)
            return;
        room = n;
    }
    for (uint32_t i = 0; i < n; i++)
        list_size += x->fields[i].name_len + x->fields[i].value_len + HPACK_ENTRY_COST;
    r->of = (struct hpack_run){ .id = ++d->n_runs, .n = n, .slot = slot };
    r->room = room, r->list_size = list_size, r->epoch = d->epoch;
    memcpy(r->octets, p, n);
    memcpy(r->fields, x->fields, n * sizeof *r->fields);
    d->runs[slot] = r;
    d->after[d->last] = slot;
    d->last = slot;
}

struct hpack_run *hpack_decoded_run(const struct hpack_decoder *d) { return d->again; }

const uint8_t *hpack_run_octets(const struct hpack_run *r)
{
    return container_of(r, struct decoder_run, of)->octets;
}

uint64_t hpack_decoder_epoch(const struct hpack_decoder *d) { return d->epoch + 1; }

static __attribute__((noinline)) int decoder_decode(struct hpack_decoder *d, const uint8_t *block,
                                                    size_t len, size_t max_list,
                                                    const struct h2_field **fields, size_t *n)
{
    const struct decoder_run *r = d->again ? container_of(d->again, struct decoder_run, of) : NULL;
    const uint8_t *p = block, *end = len ? block + len : block; /* NULL may be without octets */
    int result = HPACK_OK;
    *fields = NULL, *n = 0;
    if (!decoder_begin(d, len, max_list))
        return HPACK_NO_MEMORY;
    bool started = decoder_take_run(d, r);
    if (started)
        p += r->of.n;
    else
        d->scratch->held = 0;
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
    if (result == HPACK_OK && !r && len)
        decoder_keep(d, block, len);
    *fields = d->scratch->fields, *n = d->scratch->n_fields;
    return result != HPACK_OK ? result : d->scratch->over ? HPACK_TOO_LARGE : HPACK_OK;
}

static __attribute__((noinline)) int decoder_find(struct hpack_decoder *d, const uint8_t *block,
                                                  size_t len, size_t max_list,
                                                  const struct h2_field **fields, size_t *n)
{
    struct decoder_run *r = decoder_find_run(d, block, len, max_list);
    d->again = r ? &r->of : NULL;
    if (unlikely(!r || r->of.n != len))
        return decoder_decode(d, block, len, max_list, fields, n);
    *fields = r->fields, *n = len;
    return HPACK_OK;
}

int hpack_decode(struct hpack_decoder *d, const uint8_t *block, size_t len, size_t max_list,
                 const struct h2_field **fields, size_t *n)
{
    uint8_t slot = d->after[d->last];
    struct decoder_run *r = d->runs[slot];
    if (unlikely(!r || r->of.n != len || r->epoch != d->epoch || r->list_size > max_list ||
                 !decoder_same(block, r->octets, r->of.n)))
        return decoder_find(d, block, len, max_list, fields, n);
    d->last = slot; /* all of it is what was to be expected */
    d->again = &r->of;
    *fields = r->fields, *n = len;
    return HPACK_OK;
}
