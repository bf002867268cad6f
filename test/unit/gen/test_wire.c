/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_wire.c: binary messages that are cut, lie about their lengths, or are nested without end;
 * options of encoding and decoding; memory that ends at every point. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "harness.h"
#include "pb/pb.h"

#include "all_kinds.sennit.h"
#include "old_kinds.sennit.h"

sennit_err sennit_not_implemented(const sennit_method *m)
{
    (void)m;
    return NULL;
}

#define OLD (&sennit__sennit_old_Old)

static struct sennit_arena arena;

/* Decodes a copy that ends where the octets do, but for the spare one. */
static enum pb_result decoded(const sennit_msg_desc *d, void *msg, const void *octets, size_t n)
{
    char *copy = arena_alloc(&arena, n + 1);
    if (!copy)
        return PB_NO_MEMORY;
    memcpy(copy, octets, n);
    return pb_decode_msg(d, msg, copy, n, &arena, 0);
}

/* A message with something of everything. */
static sennit_str large(void)
{
    static const int32_t ints[] = { -1, 0, 300, 70000 };
    static const double doubles[] = { 0.5, -2.5 };
    static sennit_str strings[3];
    static sennit_test_Scalars scalars[2];
    static sennit_test_Repeated m;
    strings[0] = sennit_s("one"), strings[1] = sennit_s(""), strings[2] = sennit_s("h\303\251");
    scalars[0] = (sennit_test_Scalars){ .f_string = sennit_s("inner"), .f_sint64 = INT64_MIN };
    m = (sennit_test_Repeated){ .f_double = { doubles, 2 },
                                .f_int32 = { ints, 4 },
                                .f_string = { strings, 3 },
                                .f_message = { scalars, 2 },
                                .unpacked_int32 = { ints, 4 },
                                .f_sint32 = { ints, 4 },
                                .f_bytes = { strings, 3 },
                                .unknown_fields = { "\xfb\x01\x08\x01\xfc\x01", 6 } };
    sennit_str out;
    check_int(pb_encode_msg(&sennit__sennit_test_Repeated, &m, &arena, 0, &out), PB_OK);
    return out;
}

TEST(every_truncation_is_refused_or_read)
{
    struct sennit_arena own;
    sennit_test_Repeated m;
    arena_init(&arena, NULL, 0);
    sennit_str whole = large();
    for (size_t i = 0; i <= whole.len; i++) {
        char *exact = malloc(i + 1);
        check(exact);
        memcpy(exact, whole.data, i);
        arena_init(&own, NULL, 0);
        enum pb_result r = pb_decode_msg(&sennit__sennit_test_Repeated, &m, exact, i, &own, 0);
        check(r == PB_OK || r == PB_TRUNCATED);
        check(i < whole.len || r == PB_OK);
        arena_fini(&own);
        free(exact);
    }
    arena_fini(&arena);
}

TEST(every_octet_may_be_anything)
{
    struct sennit_arena own;
    sennit_test_Repeated m;
    arena_init(&arena, NULL, 0);
    sennit_str whole = large();
    for (size_t i = 0; i < whole.len; i++)
        for (int c = 0; c < 256; c++) {
            char *exact = malloc(whole.len + 1);
            check(exact);
            memcpy(exact, whole.data, whole.len);
            exact[i] = (char)c;
            arena_init(&own, NULL, 0);
            pb_decode_msg(&sennit__sennit_test_Repeated, &m, exact, whole.len, &own, 0);
            arena_fini(&own);
            free(exact);
        }
    arena_fini(&arena);
}

/* A string, a message, a packed list and an unknown field of more octets than there are. */
TEST(lengths_around_powers_of_two_are_truncations)
{
    static const uint64_t lengths[] = { INT32_MAX,        1ull << 31, UINT32_MAX, 1ull << 32,
                                        (1ull << 32) + 1, INT64_MAX,  1ull << 63, UINT64_MAX };
    static const uint8_t tags[] = { 0x4a, 0x5a, 0x2a, 0x7a };
    sennit_test_Repeated m;
    arena_init(&arena, NULL, 0);
    for (size_t t = 0; t < countof(tags); t++)
        for (size_t i = 0; i < countof(lengths); i++) {
            char octets[16] = { (char)tags[t] };
            size_t n = 1;
            for (uint64_t v = lengths[i]; v || n == 1; v >>= 7)
                octets[n++] = (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
            octets[n++] = 'x';
            check_int(decoded(&sennit__sennit_test_Repeated, &m, octets, n), PB_TRUNCATED);
        }
    check_int(decoded(&sennit__sennit_test_Repeated, &m,
                      "\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 12),
              PB_BAD_VARINT);
    check_int(decoded(&sennit__sennit_test_Repeated, &m, "\x00\x00", 2), PB_BAD_TAG);
    check_int(decoded(&sennit__sennit_test_Repeated, &m, "\x0c", 1), PB_BAD_TAG);
    check_int(decoded(&sennit__sennit_test_Repeated, &m, "\x4a\x01\xff", 3), PB_BAD_UTF8);
    arena_fini(&arena);
}

TEST(depth_has_an_end)
{
    enum { DEPTH = 1000000 };
    sennit_old_Old old;
    arena_init(&arena, NULL, 0);
    char *groups = arena_alloc(&arena, DEPTH + 1);
    check(groups);
    memset(groups, 0x73, DEPTH); /* START_GROUP 14, a known group within which 14 is unknown */
    check_int(pb_decode_msg(&sennit__sennit_old_Old, &old, groups, DEPTH, &arena, 0), PB_TOO_DEEP);
    memset(groups, 0x0b, DEPTH);
    check_int(pb_decode_msg(&sennit__sennit_old_Old, &old, groups, DEPTH, &arena, 0), PB_TOO_DEEP);
    /* Sub-messages with lengths, written from behind. */
    char *end = arena_alloc(&arena, 8 * DEPTH), *at = end + 8 * DEPTH - 1;
    check(end);
    end = at;
    for (size_t i = 0; i < DEPTH; i++) {
        char length[6];
        size_t n = 0;
        for (size_t v = (size_t)(end - at); v || n == 0; v >>= 7)
            length[n++] = (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        at -= n;
        memcpy(at, length, n);
        *--at = 0x01, *--at = (char)0x82; /* field 16: older */
    }
    *end = 0;
    check_int(pb_decode_msg(&sennit__sennit_old_Old, &old, at, (size_t)(end - at), &arena, 0),
              PB_TOO_DEEP);
    arena_fini(&arena);
}

/* What is written has no end either: the caller's structs may go round in a circle. */
TEST(a_message_within_itself_is_too_deep)
{
    static const sennit_wire_options far = { .depth = 1000000, .partial = true };
    sennit_old_Old m = { .has_must = 1, .older = &m };
    sennit_str wire;
    arena_init(&arena, NULL, 0);
    check_int(pb_encode_msg(OLD, &m, &arena, 0, &wire), PB_TOO_DEEP);
    check_int(pb_encode_with(OLD, &m, &arena, 0, &far, &wire), PB_TOO_DEEP);
    check(pb_size(OLD, &m) == SIZE_MAX);
    check(!pb_copy(&arena, OLD, &m));
    arena_fini(&arena);
}

TEST(the_depth_is_an_option)
{
    sennit_old_Old out, inner = { .has_must = 1 }, middle = { .has_must = 1, .older = &inner },
                        outer = { .has_must = 1, .older = &middle };
    sennit_wire_options o = { .depth = 2 };
    sennit_str wire;
    arena_init(&arena, NULL, 0);
    check_int(pb_encode_with(&sennit__sennit_old_Old, &outer, &arena, 0, &o, &wire), PB_TOO_DEEP);
    o.depth = 3;
    check_int(pb_encode_with(&sennit__sennit_old_Old, &outer, &arena, 0, &o, &wire), PB_OK);
    char *copy = arena_alloc(&arena, wire.len + 1);
    memcpy(copy, wire.data, wire.len);
    check_int(pb_decode_with(&sennit__sennit_old_Old, &out, copy, wire.len, &arena, &o), PB_OK);
    o.depth = 2;
    memcpy(copy, wire.data, wire.len);
    check_int(pb_decode_with(&sennit__sennit_old_Old, &out, copy, wire.len, &arena, &o),
              PB_TOO_DEEP);
    arena_fini(&arena);
}

TEST(partial_messages_are_an_option)
{
    sennit_wire_options o = { .partial = true };
    sennit_old_Old out, in = { .has_yes = 1, .yes = false };
    sennit_str wire;
    arena_init(&arena, NULL, 0);
    check_int(pb_encode_with(&sennit__sennit_old_Old, &in, &arena, 0, &o, &wire), PB_OK);
    check_int(wire.len, 2);
    char copy[3];
    memcpy(copy, wire.data, 2);
    check_int(pb_decode_with(&sennit__sennit_old_Old, &out, copy, 2, &arena, &o), PB_OK);
    check(out.has_yes && !out.yes && !out.has_must);
    arena_fini(&arena);
}

TEST(deterministic_maps_are_in_the_order_of_their_keys)
{
    enum { N = 100 };
    static sennit_test_Maps_FInt32Entry ints[N];
    static sennit_test_Maps_FStringEntry strings[3];
    static const char *const keys[] = { "b", "", "ab" };
    static const char *const sorted[] = { "", "ab", "b" };
    sennit_wire_options o = { .deterministic = true };
    sennit_test_Maps out;
    sennit_str wire;
    arena_init(&arena, NULL, 0);
    for (int i = 0; i < N; i++)
        ints[i].key = (i * 37) % N - N / 2;
    for (int i = 0; i < 3; i++)
        strings[i].key = sennit_s(keys[i]);
    sennit_test_Maps in = { .f_int32 = { ints, N }, .f_string = { strings, 3 } };
    check_int(pb_encode_with(&sennit__sennit_test_Maps, &in, &arena, 0, &o, &wire), PB_OK);
    check_int(decoded(&sennit__sennit_test_Maps, &out, wire.data, wire.len), PB_OK);
    check(out.f_int32.len == N && out.f_string.len == 3);
    for (int i = 0; i < N; i++)
        check_int(out.f_int32.data[i].key, i - N / 2);
    for (int i = 0; i < 3; i++)
        check_str(out.f_string.data[i].key.data, sorted[i]);
    arena_fini(&arena);
}

/* What is encoded next stands elsewhere, and what was before stays as it was. */
TEST(encoded_messages_stand_beside_each_other)
{
    sennit_str all[50];
    sennit_test_Scalars m = { .f_string = sennit_s("some text of a message") };
    arena_init(&arena, NULL, 0);
    for (int i = 0; i < 50; i++) {
        m.f_int32 = i;
        check_int(pb_encode_msg(&sennit__sennit_test_Scalars, &m, &arena, (size_t)i % 9, &all[i]),
                  PB_OK);
        memset((char *)(uintptr_t)all[i].data - i % 9, 0xee, (size_t)i % 9);
        memset(arena_alloc(&arena, (size_t)i), 0xdd, (size_t)i);
        check_int(all[i].data[all[i].len], 0);
    }
    for (int i = 0; i < 50; i++) {
        check_int(decoded(&sennit__sennit_test_Scalars, &m, all[i].data, all[i].len), PB_OK);
        check(m.f_int32 == i && m.f_string.len == 22);
    }
    arena_fini(&arena);
}

/* A chain deeper than the frames on the stack, in an arena that others use, too. */
TEST(deep_messages_take_their_frames_from_the_same_arena)
{
    sennit_old_Old chain[60], out;
    sennit_str wire;
    arena_init(&arena, NULL, 0);
    for (int i = 0; i < 60; i++)
        chain[i] = (sennit_old_Old){ .has_must = 1, .must = i, .older = i ? &chain[i - 1] : NULL };
    for (int i = 0; i < 20; i++) {
        check_int(pb_encode_msg(&sennit__sennit_old_Old, &chain[59], &arena, 5, &wire), PB_OK);
        memset(arena_alloc(&arena, 100), 0xdd, 100);
        check_int(decoded(&sennit__sennit_old_Old, &out, wire.data, wire.len), PB_OK);
        const sennit_old_Old *m = &out;
        for (int k = 59; k >= 0; k--, m = m->older)
            check_int(m->must, k);
    }
    arena_fini(&arena);
}

TEST(memory_may_end_anywhere)
{
    arena_init(&arena, NULL, 0);
    sennit_str whole = large();
    char *octets = malloc(whole.len + 1);
    check(octets);
    memcpy(octets, whole.data, whole.len);
    whole.data = octets;
    arena_fini(&arena);
    bool good = false;
    for (size_t cap = 0; !good && cap < (1 << 20); cap += 8) {
        sennit_test_Repeated m;
        sennit_str out;
        arena_init(&arena, NULL, 0);
        arena.cap = cap;
        enum pb_result r = decoded(&sennit__sennit_test_Repeated, &m, whole.data, whole.len);
        if (r == PB_OK)
            r = pb_encode_msg(&sennit__sennit_test_Repeated, &m, &arena, 0, &out);
        if (r == PB_OK && !pb_copy(&arena, &sennit__sennit_test_Repeated, &m))
            r = PB_NO_MEMORY;
        check(r == PB_OK || r == PB_NO_MEMORY);
        good = r == PB_OK;
        check(!good || (out.len == whole.len && memcmp(out.data, whole.data, out.len) == 0));
        arena_fini(&arena);
    }
    check(good);
    free(octets);
}

/* Something of everything that proto2 has, 30 levels deep, with an extension. */
static enum pb_result old_encoded(sennit_str *wire)
{
    static const int32_t levels[] = { sennit_old_Old_Level_LOW }, numbers[] = { 1, -1 };
    static const sennit_old_Old_NamedLevelsEntry entries[] = {
        { .key = { "a", 1 }, .value = sennit_old_Old_Named_NINE },
        { .key = { "b", 1 } },
        { .key = { "a", 1 } },
    };
    static const sennit_old_Old_Group group = { .has_a = 1, .a = 3 };
    sennit_old_Old chain[30];
    sennit_old_more more = { .has_value = 1, .value = 7 };
    for (int i = 0; i < 30; i++)
        chain[i] = (sennit_old_Old){ .has_must = 1,
                                     .older = i ? &chain[i - 1] : NULL,
                                     .group = &group,
                                     .levels = { levels, 1 },
                                     .apart = { numbers, 2 },
                                     .together = { numbers, 2 },
                                     .named_levels = { entries, i % 2 ? 3 : 1 } };
    sennit_str *unknown = &chain[29].unknown_fields;
    enum pb_result r = pb_ext_set(&sennit__sennit_old_more, unknown, &more, &arena);
    return r == PB_OK ? pb_encode_msg(OLD, &chain[29], &arena, 0, wire) : r;
}

static enum pb_result old_comes_back(void)
{
    sennit_old_Old out;
    sennit_old_more more = { .value = 0 };
    sennit_str wire, again = { NULL, 0 };
    enum pb_result r = old_encoded(&wire);
    if (r == PB_OK)
        r = decoded(OLD, &out, wire.data, wire.len);
    const void *copy = r == PB_OK ? pb_copy(&arena, OLD, &out) : NULL;
    if (r == PB_OK)
        r = copy ? pb_encode_msg(OLD, copy, &arena, 0, &again) : PB_NO_MEMORY;
    if (r == PB_OK)
        r = pb_ext_get(&sennit__sennit_old_more, out.unknown_fields, &more, &arena);
    check(r != PB_OK || (more.value == 7 && again.len < wire.len && out.group->a == 3));
    return r;
}

TEST_FAULTS(each_allocation_may_fail)
{
    arena_init(&arena, NULL, 0);
    enum pb_result r = old_comes_back();
    check(r == PB_OK || (r == PB_NO_MEMORY && test_under_fault()));
    arena_fini(&arena);
}

TEST(every_truncation_of_groups_and_maps_is_refused_or_read)
{
    struct sennit_arena own;
    sennit_old_Old m;
    sennit_str whole;
    arena_init(&arena, NULL, 0);
    check_int(old_encoded(&whole), PB_OK);
    for (size_t i = 0; i <= whole.len; i++) {
        char *exact = malloc(i + 1);
        check(exact);
        memcpy(exact, whole.data, i);
        arena_init(&own, NULL, 0);
        enum pb_result r = pb_decode_msg(OLD, &m, exact, i, &own, 0);
        check(r == PB_OK || r == PB_TRUNCATED || (r == PB_MISSING && i == 0));
        check(i < whole.len || r == PB_OK);
        arena_fini(&own);
        free(exact);
    }
    arena_fini(&arena);
}
