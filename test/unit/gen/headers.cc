// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Compiled by the test suite only: generated headers in C++, with what is particular to them there
// (anonymous unions, unnamed structs, keywords).
#include "all_kinds.sennit.h"
#include "old_kinds.sennit.h"
#include "route_guide.sennit.h"
#include "sennit.hpp"

sennit_err cpp_call(sennit_conn *conn, sennit_ctx *ctx)
{
    sennit_test_Choice choice = {};
    choice.which_choice = sennit_test_Choice_choice_number;
    choice.number = 1;
    sennit_test_Words words = {};
    words.class_ = sennit_s("c");
    words.register_.len = choice.which_second;
    rg_RouteGuideClient client = { conn };
    rg_Point point = {};
    point.latitude = static_cast<int32_t>(words.register_.len);
    rg_Feature feature;
    return rg_RouteGuide_GetFeature(client, ctx, &point, &feature);
}

// Handles of sennit.hpp are moved, strings cross without a copy.
sennit_err cpp_handles(sennit::conn conn, std::string_view name)
{
    sennit::arena arena{sennit_arena_new()};
    sennit::ctx ctx{sennit_ctx_new(nullptr)};
    sennit_test_Choice choice = {};
    choice.which_choice = sennit_test_Choice_choice_text;
    choice.text = sennit::str(name);
    sennit_test_Choice *copy = sennit_test_Choice_copy(arena.get(), &choice);
    sennit::conn moved = std::move(conn);
    if (!copy || sennit::view(copy->text) != name)
        return sennit_no_memory;
    return sennit_conn_ready(moved.get(), ctx.get());
}
