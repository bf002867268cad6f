// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Compiled by the test suite only: generated headers in C++, with what is particular to them there
// (anonymous unions, unnamed structs, keywords).
#include "all_kinds.sennit.h"
#include "old_kinds.sennit.h"
#include "route_guide.sennit.h"

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
