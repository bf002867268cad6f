/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * A client of helloworld.Greeter: flags and output as grpc-go's greeter_client. */
#include "flags.h"
#include "helloworld.sennit.h"

int main(int argc, char **argv)
{
    const char *addr = "localhost:50051", *name = "world";

    flags_parse(argc, argv,
                (struct flag[]){ { "addr", &addr, "the address to connect to", FLAG_STRING },
                                 { "name", &name, "Name to greet", FLAG_STRING },
                                 { 0 } });

    sennit_auto(sennit_conn) *conn =
        sennit_dial(addr, &(sennit_conn_options){ .creds = sennit_insecure() });
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, SENNIT_SECOND);
    helloworld_GreeterClient greeter = { conn };
    helloworld_HelloRequest request = { .name = sennit_s(name) };
    helloworld_HelloReply reply;
    sennit_err err = helloworld_Greeter_SayHello(greeter, ctx, &request, &reply);
    if (err)
        log_fatal("could not greet: %s", sennit_err_text(err));
    log_line("Greeting: %s", reply.message.data);
    return 0;
}
