/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Two services on one server: flags and output as grpc-go's features/multiplex/server. */
#include "echo.sennit.h"
#include "flags.h"
#include "helloworld.sennit.h"
#include "stop.h"

static sennit_err say_hello(void *self, sennit_ctx *ctx, const helloworld_HelloRequest *request,
                            helloworld_HelloReply *reply)
{
    (void)self;
    reply->message = sennit_printf(ctx, "Hello %s", request->name.data);
    return NULL;
}

static sennit_err unary_echo(void *self, sennit_ctx *ctx, const echo_EchoRequest *request,
                             echo_EchoResponse *response)
{
    (void)self, (void)ctx;
    response->message = request->message; /* both live as long as ctx: no copy */
    return NULL;
}

static const helloworld_GreeterService greeter = { .SayHello = say_hello };
static const echo_EchoService echo = { .UnaryEcho = unary_echo }; /* the rest: UNIMPLEMENTED */

int main(int argc, char **argv)
{
    const char *address = flags_address(argc, argv, "the port to serve on");

    sennit_auto(sennit_server) *server =
        sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
    sennit_err err = sennit_listen(server, address);
    if (err)
        log_fatal("failed to listen: %s", err->message);
    printf("server listening at %s\n", sennit_bound_address(server, 0));
    helloworld_Greeter_register(server, &greeter, NULL);
    echo_Echo_register(server, &echo, NULL);
    sennit_go(stop_on_signal, server);
    err = sennit_serve(server);
    if (err)
        log_fatal("failed to serve: %s", err->message);
    return 0;
}
