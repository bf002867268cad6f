/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * A server and a client of helloworld.Greeter whose messages are protobuf-c's. */
#include "protobuf_c.h"
#include "greeter.h"
#include "helloworld.pb-c.h"

static const sennit_codec request_codec =
    PROTOBUF_C_CODEC("helloworld.HelloRequest", &helloworld__hello_request__descriptor);
static const sennit_codec reply_codec =
    PROTOBUF_C_CODEC("helloworld.HelloReply", &helloworld__hello_reply__descriptor);
static const sennit_method say_hello_c = GREETER_METHOD(&request_codec.desc, &reply_codec.desc);

static sennit_err say_hello(sennit_ctx *ctx, const void *request, void *reply)
{
    const Helloworld__HelloRequest *in = *(Helloworld__HelloRequest *const *)request;
    Helloworld__HelloReply *out = sennit_alloc(sennit_ctx_arena(ctx), sizeof *out);
    sennit_str message = sennit_printf(ctx, "Hello %s", in->name);
    if (!out || !message.data)
        return sennit_errorf(SENNIT_RESOURCE_EXHAUSTED, "no memory");
    helloworld__hello_reply__init(out);
    out->message = (char *)(uintptr_t)message.data;
    *(Helloworld__HelloReply **)reply = out;
    return NULL;
}

static void call(sennit_conn *conn, sennit_ctx *ctx)
{
    Helloworld__HelloRequest in = HELLOWORLD__HELLO_REQUEST__INIT, *request = &in;
    Helloworld__HelloReply *reply;
    char name[] = "protobuf-c";
    in.name = name;
    sennit_err err = sennit_call(conn, ctx, &say_hello_c, &request, &reply, NULL, 0);
    if (err)
        log_fatal("could not greet: %s", sennit_err_text(err));
    printf("%s\n", reply->message);
}

int main(void) { return greeter_run(&say_hello_c, say_hello, call); }
