/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * A server of helloworld.Greeter: flags and output as grpc-go's greeter_server. */
#include "flags.h"
#include "helloworld.sennit.h"
#include "stop.h"

/* Runs in its own goroutine, one for each RPC. */
static sennit_err say_hello(void *self, sennit_ctx *ctx, const helloworld_HelloRequest *request,
                            helloworld_HelloReply *reply)
{
    (void)self;
    log_line("Received: %s", request->name.data);
    reply->message = sennit_printf(ctx, "Hello %s", request->name.data);
    return NULL;
}

static const helloworld_GreeterService greeter = { .SayHello = say_hello };

int main(int argc, char **argv)
{
    const char *address = flags_address(argc, argv, "The server port");

    sennit_auto(sennit_server) *server =
        sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
    sennit_err err = sennit_listen(server, address);
    if (err)
        log_fatal("failed to listen: %s", err->message);
    helloworld_Greeter_register(server, &greeter, NULL);
    sennit_go(stop_on_signal, server);
    log_line("server listening at %s", sennit_bound_address(server, 0));
    err = sennit_serve(server); /* also tells what register had to say */
    if (err)
        log_fatal("failed to serve: %s", err->message);
    return 0;
}
