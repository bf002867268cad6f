/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * pb_protobuf_c.c: the same with protobuf-c, and an allocator that only moves a pointer: its
 * best. */
#include "bench_pb.pb-c.h"
#include "values.h"

static char block[65536];
static size_t used;
static uint8_t octets[1024], hello_octets[64], out[1024];
static size_t len, hello_len;
static Pbbench__Mid *mid;
static Pbbench__Hello *hello;

static void *take(void *data, size_t n)
{
    (void)data;
    void *p = block + used;
    used += (n + 15) & ~(size_t)15;
    return p;
}
static void give(void *data, void *p) { (void)data, (void)p; }
static ProtobufCAllocator bump = { take, give, NULL };

static size_t hello_decode(void)
{
    used = 0;
    return pbbench__hello__unpack(&bump, hello_len, hello_octets) ? hello_len : 0;
}
static size_t mid_decode(void)
{
    used = 0;
    return pbbench__mid__unpack(&bump, len, octets) ? len : 0;
}
static size_t hello_encode(void)
{
    size_t n = pbbench__hello__get_packed_size(hello);
    return n <= sizeof out ? pbbench__hello__pack(hello, out) : 0;
}
static size_t mid_encode(void)
{
    size_t n = pbbench__mid__get_packed_size(mid);
    return n <= sizeof out ? pbbench__mid__pack(mid, out) : 0;
}

int main(int argc, char **argv)
{
    Pbbench__Hello h = PBBENCH__HELLO__INIT;
    h.name = HELLO_NAME;
    hello_len = pbbench__hello__pack(hello = &h, hello_octets);
    FILE *file = fopen(getenv("MID_OCTETS"), "rb");
    len = file ? fread(octets, 1, sizeof octets, file) : 0;
    mid = pbbench__mid__unpack(NULL, len, octets);
    if (!mid)
        return 1;
    time_case(argc, argv, "hello_decode", hello_decode);
    time_case(argc, argv, "hello_encode", hello_encode);
    time_case(argc, argv, "mid_decode", mid_decode);
    time_case(argc, argv, "mid_encode", mid_encode);
    return 0;
}
