/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * pb_sennit.c: decoding and encoding with Sennit: strings checked for UTF-8 and ended by NULs, in
 * place as RPCs do it, and memory from an arena that is reset. */
#include "bench_pb.sennit.h"
#include "values.h"

static sennit_arena *arena;
static char mid_octets[1024], hello_octets[64], copy[1024];
static size_t mid_len, hello_len;

static const pbbench_Point where = { .latitude = 524000000, .longitude = -13400000 };
static const pbbench_Point origin = { .latitude = -1, .longitude = 2 };
static pbbench_Item items[3];
static const uint32_t codes[] = { 1, 200, 30000, 4000000, 5 };
static sennit_str tags[3];
static pbbench_Mid mid;
static pbbench_Hello hello;

static void fill(void)
{
    for (int i = 0; i < 3; i++) {
        static const char *const ids[] = { "item-1", "item-2", "item-3" };
        static const char *const words[] = { "red", "green", "blue" };
        items[i] = (pbbench_Item){ sennit_s(ids[i]), (uint32_t)i + 1, 9.99, { "", 0 } };
        tags[i] = sennit_s(words[i]);
    }
    hello.name = sennit_s(HELLO_NAME);
    mid = (pbbench_Mid){ .id = sennit_s(MID_ID),
                         .created = 1700000000000,
                         .version = 3,
                         .state = pbbench_State_STATE_ACTIVE,
                         .active = true,
                         .score = 0.75,
                         .ratio = 0.5f,
                         .title = sennit_s(MID_TITLE),
                         .text = sennit_s(MID_TEXT),
                         .token = { MID_TOKEN, 16 },
                         .where = &where,
                         .items = { items, 3 },
                         .codes = { codes, 5 },
                         .tags = { tags, 3 },
                         .hash = 0x1234567890abcdef,
                         .total = 1234567,
                         .delta = -77,
                         .check = 0xdeadbeef,
                         .author = sennit_s(MID_AUTHOR),
                         .origin = &origin };
}

static size_t decode(const sennit_msg_desc *d, void *msg, const char *octets, size_t n)
{
    static const sennit_wire_options in_place = { .in_place = true };
    memcpy(copy, octets, n); /* as the read slab's octets are moved to the message's own buffer */
    sennit_arena_reset(arena);
    sennit_str s = { copy, n };
    return sennit_msg_decode_sized(arena, d, s, &in_place, sizeof in_place, msg) ? 0 : n;
}

static size_t hello_decode(void)
{
    static pbbench_Hello m;
    return decode(&sennit__pbbench_Hello, &m, hello_octets, hello_len);
}
static size_t mid_decode(void)
{
    static pbbench_Mid m;
    return decode(&sennit__pbbench_Mid, &m, mid_octets, mid_len);
}
static size_t hello_encode(void)
{
    sennit_arena_reset(arena);
    return pbbench_Hello_encode(arena, &hello).len;
}
static size_t mid_encode(void)
{
    sennit_arena_reset(arena);
    return pbbench_Mid_encode(arena, &mid).len;
}

int main(int argc, char **argv)
{
    fill();
    arena = sennit_arena_new();
    sennit_str s = pbbench_Mid_encode(arena, &mid);
    memcpy(mid_octets, s.data, mid_len = s.len);
    s = pbbench_Hello_encode(arena, &hello);
    memcpy(hello_octets, s.data, hello_len = s.len);
    if (argc > 1 && !strcmp(argv[1], "octets"))
        return fwrite(mid_octets, 1, mid_len, stdout) != mid_len;
    time_case(argc, argv, "hello_decode", hello_decode);
    time_case(argc, argv, "hello_encode", hello_encode);
    time_case(argc, argv, "mid_decode", mid_decode);
    time_case(argc, argv, "mid_encode", mid_encode);
    sennit_arena_free(arena);
    return 0;
}
