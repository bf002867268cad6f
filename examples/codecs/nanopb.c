/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * A server and a client of helloworld.Greeter whose messages are nanopb's: strings are arrays, as
 * long as helloworld.options says, which also takes the package out of nanopb's names, for those of
 * generated code would be the same. */
#include "nanopb.h"
#include "greeter.h"
#include "helloworld.pb.h"

static const sennit_codec request_codec = NANOPB_CODEC("helloworld.HelloRequest", HelloRequest);
static const sennit_codec reply_codec = NANOPB_CODEC("helloworld.HelloReply", HelloReply);
static const sennit_method say_hello_nano = GREETER_METHOD(&request_codec.desc, &reply_codec.desc);

static sennit_err say_hello(sennit_ctx *ctx, const void *request, void *reply)
{
    const HelloRequest *in = request;
    HelloReply *out = reply;
    (void)ctx;
    snprintf(out->message, sizeof out->message, "Hello %s", in->name);
    return NULL;
}

static void call(sennit_conn *conn, sennit_ctx *ctx)
{
    HelloRequest request = { .name = "nanopb" };
    HelloReply reply;
    sennit_err err = sennit_call(conn, ctx, &say_hello_nano, &request, &reply, NULL, 0);
    if (err)
        log_fatal("could not greet: %s", sennit_err_text(err));
    printf("%s\n", reply.message);
}

int main(void) { return greeter_run(&say_hello_nano, say_hello, call); }
