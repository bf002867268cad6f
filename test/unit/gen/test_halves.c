/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_halves.c: what the fast halves of decoder and encoder do is what the others alone would do.
 * Here they are asked for every field. Random messages of all kinds of fields, of which some octets
 * are wrong, go through both. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "harness.h"
#include "pb/decode.h"
#include "pb/encode.h"

#include "all_kinds.sennit.h"
#include "old_kinds.sennit.h"

sennit_err sennit_not_implemented(const sennit_method *m)
{
    (void)m;
    return NULL;
}

static enum pb_result slow_decode_with(const sennit_msg_desc *d, void *msg, char *buf, size_t n,
                                       struct sennit_arena *a, const sennit_wire_options *o)
{
    struct decode_frame frames[PB_FRAMES_INLINE];
    struct decode r;
    enum pb_result result = PB_OK;
    pb_init(d, msg);
    decode_begin(&r, frames, d, msg, buf, n, a, o);
    r.at = buf;
    r.nul = &r.spare;
    r.top = frames;
    while (result == PB_OK && !r.done)
        result = pb_decode_rest(&r);
    return pb_decode_end(&r, result);
}
static enum pb_result slow_encode_with(const sennit_msg_desc *d, const void *msg,
                                       struct sennit_arena *a, size_t headroom,
                                       const sennit_wire_options *o, sennit_str *out)
{
    struct encode_frame frames[PB_FRAMES_INLINE];
    struct encode w;
    const struct pb_encode_how how = { *o, (uint32_t)headroom };
    encode_begin(&w, frames, a, d, msg, &how, NULL, d->n_fields);
    while (w.result == PB_OK && !encode_is_done(&w))
        pb_encode_rest(&w);
    *out = encode_end(&w);
    return out->data ? PB_OK : (enum pb_result)out->len;
}

static uint64_t state;
static uint32_t below(uint32_t n)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)((state >> 33) % n);
}

struct octets {
    char data[4096];
    size_t n;
};
static void add(struct octets *o, const void *p, size_t n)
{
    if (n <= sizeof o->data - o->n) {
        memcpy(o->data + o->n, p, n);
        o->n += n;
    }
}
static void add_varint(struct octets *o, uint64_t v)
{
    char octets[10];
    add(o, octets, pb_put_varint(octets, v));
}

static uint64_t number(void)
{
    uint64_t v = (uint64_t)below(UINT32_MAX) << 32 | below(UINT32_MAX);
    return below(4) ? v >> below(64) : 0 - (v >> below(64));
}

static void add_text(struct octets *o)
{
    char text[40];
    size_t n = below(sizeof text);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + below(26));
    if (n > 1 && !below(4))
        memcpy(text + below((uint32_t)n - 1), "\303\251", 2); /* é, or wrong, if it is cut */
    add_varint(o, n);
    add(o, text, n);
}

static void add_message(struct octets *o, const sennit_msg_desc *d, int depth);

static void add_value(struct octets *o, const sennit_field *f, uint32_t wire, int depth)
{
    struct octets *inner;
    uint64_t v = number();
    if (wire == PB_VARINT) {
        add_varint(o, v);
    } else if (wire == PB_FIXED64 || wire == PB_FIXED32) {
        add(o, &v, wire == PB_FIXED64 ? 8 : 4);
    } else if (wire == PB_START_GROUP) {
        if (pb_is_message(f) && depth)
            add_message(o, f->type, depth - 1);
        add_varint(o, f->number << 3 | PB_END_GROUP);
    } else if (pb_kind_wire[pb_kind(f)] == PB_LENGTH && !pb_is_message(f)) {
        add_text(o);
    } else if ((inner = calloc(1, sizeof *inner))) { /* a message, or packed */
        if (pb_is_message(f) && depth)
            add_message(inner, f->type, depth - 1);
        for (uint32_t i = pb_is_message(f) ? 0 : below(6); i > 0; i--)
            add_value(inner, f, pb_kind_wire[pb_kind(f)], 0);
        add_varint(o, inner->n);
        add(o, inner->data, inner->n);
        free(inner);
    }
}

static void add_message(struct octets *o, const sennit_msg_desc *d, int depth)
{
    for (uint32_t i = below(12); i > 0 && d->n_fields; i--) {
        const sennit_field *f = &d->fields[below(d->n_fields)];
        uint32_t wire = pb_kind_wire[pb_kind(f)];
        if (f->flags & SENNIT_FIELD_REPEATED && below(2))
            wire = wire == PB_START_GROUP ? wire : PB_LENGTH;
        if (!below(40))
            wire = below(8);
        add_varint(o, (uint64_t)f->number << 3 | wire);
        add_value(o, f, wire, depth);
    }
}

/* Some octets become others, or are left out. */
static void spoil(struct octets *o)
{
    for (uint32_t i = below(3); i > 0 && o->n; i--) {
        uint32_t at = below((uint32_t)o->n);
        if (below(2))
            o->data[at] = (char)below(256);
        else
            memmove(o->data + at, o->data + at + 1, --o->n - at);
    }
}

static void *both_decode(const sennit_msg_desc *d, const struct octets *o, bool slow,
                         struct sennit_arena *a, const sennit_wire_options *how,
                         enum pb_result *result)
{
    char *exact = malloc(o->n + 1), *msg = arena_alloc(a, d->size);
    check(exact && msg);
    memcpy(exact, o->data, o->n);
    *result = (slow ? slow_decode_with : pb_decode_with)(d, msg, exact, o->n, a, how);
    void *copy = *result == PB_OK ? pb_copy(a, d, msg) : NULL; /* exact goes, strings with it */
    free(exact);
    return copy;
}

static bool one(const sennit_msg_desc *d, const struct octets *o)
{
    struct sennit_arena a, b;
    enum pb_result fast, slow;
    sennit_str x, y;
    sennit_wire_options how = { .depth = below(5) ? 0 : 1 + below(4), .partial = below(4) != 0 };
    arena_init(&a, NULL, 0);
    arena_init(&b, NULL, 0);
    void *m = both_decode(d, o, false, &a, &how, &fast);
    void *n = both_decode(d, o, true, &b, &how, &slow);
    check_int(fast, slow);
    if (m && n) {
        how.deterministic = below(2);
        how.depth = below(5) ? 0 : 1 + below(4);
        fast = pb_encode_with(d, m, &a, below(9), &how, &x);
        slow = slow_encode_with(d, n, &b, below(9), &how, &y);
        check_int(fast, slow);
        check(fast != PB_OK || (x.len == y.len && memcmp(x.data, y.data, x.len) == 0));
    }
    arena_fini(&a);
    arena_fini(&b);
    return m != NULL;
}

static const sennit_msg_desc *const types[] = {
    &sennit__sennit_test_Scalars, &sennit__sennit_test_Optionals, &sennit__sennit_test_Repeated,
    &sennit__sennit_test_Maps,    &sennit__sennit_test_Words,     &sennit__sennit_old_Old,
};

/* The table as a plugin wrote it that knew nothing of SENNIT_PLAIN, and those it leads to. */
static const sennit_msg_desc *older(const sennit_msg_desc *d)
{
    static struct {
        const sennit_msg_desc *from;
        sennit_msg_desc to;
        sennit_field fields[32];
    } all[40];
    size_t i = 0;
    for (; i < countof(all) && all[i].from; i++)
        if (all[i].from == d)
            return &all[i].to;
    check(i < countof(all) && d->n_fields <= countof(all[i].fields));
    all[i].from = d;
    all[i].to = *d;
    all[i].to.fields = all[i].fields;
    for (uint32_t k = 0; k < d->n_fields; k++) {
        sennit_field *f = &all[i].fields[k];
        *f = d->fields[k];
        f->kind = pb_kind(f);
        if (pb_is_message(f))
            f->type = older(f->type);
    }
    return &all[i].to;
}

/* Tables of both ages decode and encode alike. */
static void both_ages(const sennit_msg_desc *d, const struct octets *o)
{
    static const sennit_wire_options how = { .partial = true };
    struct sennit_arena a, b;
    enum pb_result now, then;
    sennit_str x, y;
    arena_init(&a, NULL, 0);
    arena_init(&b, NULL, 0);
    void *m = both_decode(d, o, false, &a, &how, &now);
    void *n = both_decode(older(d), o, false, &b, &how, &then);
    check_int(now, then);
    if (m && n) {
        check_int(pb_encode_with(d, m, &a, 0, &how, &x), PB_OK);
        check_int(pb_encode_with(older(d), n, &b, 0, &how, &y), PB_OK);
        check(x.len == y.len && memcmp(x.data, y.data, x.len) == 0);
    }
    arena_fini(&a);
    arena_fini(&b);
}

TEST(older_tables_do_the_same)
{
    state = test_seed();
    for (int i = 0; i < 20000; i++) {
        const sennit_msg_desc *d = types[i % countof(types)];
        struct octets o = { .n = 0 };
        add_message(&o, d, 3);
        if (below(3) == 0)
            spoil(&o);
        both_ages(d, &o);
    }
}

TEST_WITH(both_halves_agree, 60, false)
{
    enum { TIMES = 60000 };
    int good = 0;
    state = test_seed();
    for (int i = 0; i < TIMES; i++) {
        const sennit_msg_desc *d = types[i % countof(types)];
        struct octets o = { .n = 0 };
        add_message(&o, d, 3);
        if (below(3) == 0)
            spoil(&o);
        good += one(d, &o);
    }
    check(good > TIMES / 4 && good < TIMES);
}
