/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Octets that nobody looks into, in the same calls: for proxies, and for formats of one's own. This
 * one greets by adding to the request's string, whose field has the number of the reply's. */
#include "greeter.h"

static const sennit_method say_hello_raw = GREETER_METHOD(&sennit_raw_desc, &sennit_raw_desc);

static sennit_err say_hello(sennit_ctx *ctx, const void *request, void *reply)
{
    sennit_str in = ((const sennit_raw *)request)->octets;
    if (in.len < 2 || in.data[0] != 0x0a || (size_t)in.data[1] != in.len - 2 || in.len > 100)
        return sennit_errorf(SENNIT_INVALID_ARGUMENT, "not a short name");
    sennit_str out =
        sennit_printf(ctx, "\n%cHello %s", (int)(in.len - 2 + strlen("Hello ")), in.data + 2);
    ((sennit_raw *)reply)->octets = out;
    return NULL;
}

static void call(sennit_conn *conn, sennit_ctx *ctx)
{
    sennit_raw request = { sennit_s("\n\3raw") }, reply;
    sennit_err err = sennit_call(conn, ctx, &say_hello_raw, &request, &reply, NULL, 0);
    if (err)
        log_fatal("could not greet: %s", sennit_err_text(err));
    printf("%s\n", reply.octets.data + 2);
}

int main(void) { return greeter_run(&say_hello_raw, say_hello, call); }
