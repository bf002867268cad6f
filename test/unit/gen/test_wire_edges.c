/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_wire_edges.c: what lies on either side of a limit, of a step of eight or sixteen octets, and
 * of a list's room: the fast halves of decoder and encoder take other ways there. Every buffer ends
 * where its octets do, but for the spare one, so that AddressSanitizer sees a step too far. */
#include <stdlib.h>
#include <sys/mman.h>

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

#define SCALARS  (&sennit__sennit_test_Scalars)
#define REPEATED (&sennit__sennit_test_Repeated)

static struct sennit_arena arena;

/* Decodes a copy of the octets into *to, which lives until the next call. */
static enum pb_result decoded(const sennit_msg_desc *d, sennit_str octets, void *to)
{
    static char *exact;
    free(exact);
    exact = octets.data ? malloc(octets.len + 1) : NULL;
    if (!exact)
        return PB_NO_MEMORY;
    memcpy(exact, octets.data, octets.len);
    return pb_decode_msg(d, to, exact, octets.len, &arena, 0);
}

/* There and back. */
static void comes_back(const sennit_msg_desc *d, const void *msg, void *to)
{
    sennit_str wire, again;
    check_int(pb_encode_msg(d, msg, &arena, 0, &wire), PB_OK);
    check_int(decoded(d, wire, to), PB_OK);
    check_int(pb_encode_msg(d, to, &arena, 0, &again), PB_OK);
    check(wire.len == again.len && memcmp(wire.data, again.data, wire.len) == 0);
    check(pb_size(d, msg) == wire.len);
}

static void number_comes_back(uint64_t v)
{
    sennit_test_Scalars m = { .f_int64 = (int64_t)v,
                              .f_uint64 = v,
                              .f_int32 = (int32_t)v,
                              .f_uint32 = (uint32_t)v,
                              .f_enum = (int32_t)v,
                              .f_sint32 = (int32_t)v,
                              .f_sint64 = (int64_t)v },
                        out;
    comes_back(SCALARS, &m, &out);
    check(out.f_int64 == m.f_int64 && out.f_uint64 == v && out.f_int32 == m.f_int32);
    check(out.f_uint32 == m.f_uint32 && out.f_enum == m.f_enum);
    check(out.f_sint32 == m.f_sint32 && out.f_sint64 == m.f_sint64);
    /* Packed, with others around it; the last octets of the buffer are its own. */
    const int64_t longs[] = { (int64_t)v, 1, (int64_t)v, (int64_t)v };
    const int32_t ints[] = { (int32_t)v, -1, (int32_t)v };
    sennit_test_Repeated list = { .f_int64 = { longs, 4 },
                                  .f_int32 = { ints, 3 },
                                  .f_sint64 = { longs, 3 },
                                  .f_sint32 = { ints, 3 },
                                  .unpacked_int32 = { ints, 3 } },
                         back;
    comes_back(REPEATED, &list, &back);
    check(back.f_int64.len == 4 && memcmp(back.f_int64.data, longs, sizeof longs) == 0);
    check(back.f_sint64.len == 3 && memcmp(back.f_sint64.data, longs, 24) == 0);
    check(back.f_sint32.len == 3 && memcmp(back.f_sint32.data, ints, sizeof ints) == 0);
    check(back.unpacked_int32.len == 3);
}

TEST(numbers_of_every_length_come_back)
{
    for (int bit = 0; bit < 64; bit++) {
        uint64_t v = UINT64_C(1) << bit;
        arena_init(&arena, NULL, 0);
        number_comes_back(v);
        number_comes_back(v - 1);
        number_comes_back(v + 1);
        number_comes_back(~v);
        number_comes_back(0 - v);
        arena_fini(&arena);
    }
}

/* One octet that is not ASCII at every place of strings of every length. */
TEST(strings_are_checked_to_the_last_octet)
{
    enum { MOST = 70 };
    char text[MOST + 1];
    for (size_t n = 0; n <= MOST; n++) {
        arena_init(&arena, NULL, 0);
        for (size_t i = 0; i <= n; i++) {
            memset(text, 'a', n);
            text[i] = i < n ? (char)0x80 : 0;
            sennit_str s = { text, n };
            bool good = i == n;
            sennit_test_Scalars m = { .f_string = s }, out;
            sennit_test_Repeated list = { .f_string = { &s, 1 } };
            sennit_str wire;
            check_int(pb_encode_msg(SCALARS, &m, &arena, 0, &wire), good ? PB_OK : PB_BAD_UTF8);
            check_int(pb_encode_msg(REPEATED, &list, &arena, 0, &wire), good ? PB_OK : PB_BAD_UTF8);
            m = (sennit_test_Scalars){ .f_bytes = s };
            comes_back(SCALARS, &m, &out);
            check(out.f_bytes.len == n && memcmp(out.f_bytes.data, text, n) == 0);
            check_int(out.f_bytes.data[n], 0);
            check_int(pb_encode_msg(SCALARS, &m, &arena, 0, &wire), PB_OK);
            if (wire.len)
                ((char *)(uintptr_t)wire.data)[0] = 9 << 3 | 2; /* f_string */
            check_int(decoded(SCALARS, wire, &out), good ? PB_OK : PB_BAD_UTF8);
        }
        arena_fini(&arena);
    }
}

TEST(lists_of_every_length_come_back)
{
    enum { MOST = 70 };
    static sennit_str strings[MOST];
    static sennit_test_Scalars scalars[MOST];
    static int32_t ints[MOST];
    for (int i = 0; i < MOST; i++) {
        strings[i] = (sennit_str){ "0123456789", (size_t)i % 11 };
        scalars[i].f_int32 = ints[i] = i;
        scalars[i].f_string = strings[i];
    }
    for (size_t n = 0; n <= MOST; n++) {
        sennit_test_Repeated m = { .f_string = { strings, n },
                                   .f_message = { scalars, n },
                                   .unpacked_int32 = { ints, n },
                                   .f_int32 = { ints, n } },
                             out, both;
        sennit_str wire, twice;
        arena_init(&arena, NULL, 0);
        comes_back(REPEATED, &m, &out);
        check_int(pb_encode_msg(REPEATED, &m, &arena, 0, &wire), PB_OK);
        /* Again behind itself: all lists are appended to, packed ones in two pieces. */
        char *copy = arena_alloc(&arena, 2 * wire.len + 1);
        memcpy(copy, wire.data, wire.len);
        memcpy(copy + wire.len, wire.data, wire.len);
        twice = (sennit_str){ copy, 2 * wire.len };
        check_int(decoded(REPEATED, twice, &both), PB_OK);
        check(both.f_string.len == 2 * n && both.f_message.len == 2 * n);
        check(both.f_int32.len == 2 * n && both.unpacked_int32.len == 2 * n);
        for (size_t i = 0; i < 2 * n; i++) {
            check_int(both.f_message.data[i].f_int32, ints[i % n]);
            check_int(both.f_message.data[i].f_string.len, strings[i % n].len);
            check_int(both.f_string.data[i].len, strings[i % n].len);
            check(both.f_int32.data[i] == ints[i % n] &&
                  both.unpacked_int32.data[i] == ints[i % n]);
        }
        arena_fini(&arena);
    }
}

/* A chain of so many messages. */
static enum pb_result nested(size_t levels)
{
    static sennit_old_Old chain[LIMIT_PB_DEPTH + 1], out;
    sennit_wire_options deep = { .depth = 2 * LIMIT_PB_DEPTH };
    sennit_str wire;
    for (size_t i = 0; i < levels; i++)
        chain[i] = (sennit_old_Old){ .has_must = 1, .older = i ? &chain[i - 1] : NULL };
    check_int(pb_encode_with(&sennit__sennit_old_Old, &chain[levels - 1], &arena, 0, &deep, &wire),
              PB_OK);
    enum pb_result r = decoded(&sennit__sennit_old_Old, wire, &out);
    check_int(pb_encode_msg(&sennit__sennit_old_Old, &chain[levels - 1], &arena, 0, &wire), r);
    check(!pb_copy(&arena, &sennit__sennit_old_Old, &chain[levels - 1]) == (r != PB_OK));
    return r;
}

TEST(a_hundred_levels_are_all_there_may_be)
{
    arena_init(&arena, NULL, 0);
    check_int(nested(LIMIT_PB_DEPTH - 1), PB_OK);
    check_int(nested(LIMIT_PB_DEPTH), PB_OK);
    check_int(nested(LIMIT_PB_DEPTH + 1), PB_TOO_DEEP);
    arena_fini(&arena);
}

/* Address space alone: what is too large is refused before it is read. */
TEST(two_gibibytes_are_too_much)
{
    size_t room = (size_t)LIMIT_PB_SIZE + 4096;
    char *vast = mmap(NULL, room, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(vast != MAP_FAILED);
    sennit_test_Scalars m;
    arena_init(&arena, NULL, 0);
    check_int(pb_decode_msg(SCALARS, &m, vast, LIMIT_PB_SIZE, &arena, 0), PB_BAD_TAG); /* read */
    check_int(pb_decode_msg(SCALARS, &m, vast, (size_t)LIMIT_PB_SIZE + 1, &arena, 0), PB_TOO_LARGE);
    /* A length that is just within, and one that is not. */
    memcpy(vast, "\x62\xfa\xff\xff\xff\x07", 6);
    check_int(pb_decode_msg(SCALARS, &m, vast, LIMIT_PB_SIZE, &arena, 0), PB_TRUNCATED);
    memcpy(vast, "\x62\xf9\xff\xff\xff\x07", 6);
    check_int(pb_decode_msg(SCALARS, &m, vast, LIMIT_PB_SIZE, &arena, 0), PB_OK);
    check(m.f_bytes.len == LIMIT_PB_SIZE - 6);
    static const size_t lengths[] = { (size_t)LIMIT_PB_SIZE + 1,
                                      UINT32_MAX,
                                      (size_t)1 << 32,
                                      ((size_t)1 << 32) + 1,
                                      INT64_MAX,
                                      SIZE_MAX - 31,
                                      SIZE_MAX };
    sennit_str wire;
    for (size_t i = 0; i < countof(lengths); i++) {
        sennit_str s = { vast, lengths[i] };
        sennit_test_Repeated list = { .f_bytes = { &s, 1 } };
        m = (sennit_test_Scalars){ .f_bytes = s };
        check_int(pb_encode_msg(SCALARS, &m, &arena, 0, &wire), PB_TOO_LARGE);
        check_int(pb_encode_msg(REPEATED, &list, &arena, 0, &wire), PB_TOO_LARGE);
        m = (sennit_test_Scalars){ .unknown_fields = s };
        check_int(pb_encode_msg(SCALARS, &m, &arena, 0, &wire), PB_TOO_LARGE);
    }
    m = (sennit_test_Scalars){ .f_bytes = { vast, LIMIT_PB_SIZE } };
    check_int(pb_encode_msg(SCALARS, &m, &arena, 0, &wire), PB_NO_MEMORY); /* the arena's cap */
    arena_fini(&arena);
    munmap(vast, room);
}
