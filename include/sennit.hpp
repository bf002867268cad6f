// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// sennit.hpp: sennit.h for C++17: handles that free themselves, and strings. Everything else is used
// as it is in C; generated headers are C++ as well.
//
//     sennit::arena a{sennit_arena_new()};
//     sennit::conn c{sennit_dial("localhost:50051", &options)};
//     helloworld_HelloRequest q = {};
//     q.name = sennit::str(name); // a std::string that outlives the call
#ifndef SENNIT_HPP
#define SENNIT_HPP

#include "sennit.h"

#include <memory>
#include <string_view>

namespace sennit {

template <auto Free> struct deleter {
    template <class T> void operator()(T *p) const noexcept { Free(p); }
};
template <class T, auto Free> using handle = std::unique_ptr<T, deleter<Free>>;

using arena = handle<sennit_arena, sennit_arena_free>;
using conn = handle<sennit_conn, sennit_conn_free>;
using ctx = handle<sennit_ctx, sennit_ctx_free>;
using server = handle<sennit_server, sennit_server_free>;

// A view of what the caller owns, for a message to send.
inline sennit_str str(std::string_view s) noexcept
{
    sennit_str v = {s.data(), s.size()};
    return v;
}

// A view of what a message holds; it lives as long as the message.
inline std::string_view view(sennit_str s) noexcept
{
    return s.data ? std::string_view(s.data, s.len) : std::string_view();
}

} // namespace sennit

#endif
