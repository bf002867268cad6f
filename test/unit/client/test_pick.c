/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_pick.c: what an RPC meets while its channel connects. */
#include "echo.h"

TEST(refused_connection_fails_the_call_however_soon_it_is_refused)
{
    for (int i = 0; i < 300; i++) {
        sennit_conn *c = echo_dial("127.0.0.1:1");
        /* Less than the first pause between attempts: a call that missed its end would time out. */
        sennit_ctx *ctx = sennit_ctx_timeout(NULL, 700 * SENNIT_MILLISECOND);
        struct echo_msg reply;
        sennit_err err = echo_call(c, ctx, "x", &reply);
        check(err && err->code == SENNIT_UNAVAILABLE);
        sennit_ctx_free(ctx);
        sennit_conn_free(c);
    }
}
