// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// pb_cpp.cc: the same with protobuf's C++: decoding into an arena with a block of its own, encoding
// into a string that keeps its memory.
#include "bench_pb.pb.h"
#include "values.h"

#include <google/protobuf/arena.h>

static char block[65536];
static std::string octets, hello_octets, out;
static pbbench::Mid mid;
static pbbench::Hello hello;

template <class T> static size_t decode(const std::string &from)
{
    google::protobuf::ArenaOptions o;
    o.initial_block = block;
    o.initial_block_size = sizeof block;
    google::protobuf::Arena arena(o);
    T *m = google::protobuf::Arena::CreateMessage<T>(&arena);
    return m->ParseFromString(from) ? from.size() : 0;
}
static size_t hello_decode() { return decode<pbbench::Hello>(hello_octets); }
static size_t mid_decode() { return decode<pbbench::Mid>(octets); }
static size_t hello_encode() { return hello.SerializeToString(&out) ? out.size() : 0; }
static size_t mid_encode() { return mid.SerializeToString(&out) ? out.size() : 0; }

int main(int argc, char **argv)
{
    static char buffer[1024];
    FILE *file = fopen(getenv("MID_OCTETS"), "rb");
    octets.assign(buffer, file ? fread(buffer, 1, sizeof buffer, file) : 0);
    hello.set_name(HELLO_NAME);
    hello_octets = hello.SerializeAsString();
    if (!mid.ParseFromString(octets) || mid.SerializeAsString() != octets)
        return 1;
    time_case(argc, argv, "hello_decode", hello_decode);
    time_case(argc, argv, "hello_encode", hello_encode);
    time_case(argc, argv, "mid_decode", mid_decode);
    time_case(argc, argv, "mid_encode", mid_encode);
    return 0;
}
