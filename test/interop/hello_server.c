/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * hello_server: the Greeter with health and reflection, for tools such as grpcurl, ghz and
 * grpc-health-probe. Flags as interop_server's. */
#include "helloworld.sennit.h"
#include "official_server.h"

static sennit_err say_hello(void *self, sennit_ctx *ctx, const helloworld_HelloRequest *request,
                            helloworld_HelloReply *reply)
{
    (void)self;
    reply->message = sennit_printf(ctx, "Hello %s", request->name.data);
    return NULL;
}

static const helloworld_GreeterService service = { .SayHello = say_hello };

static void add_services(sennit_server *server)
{
    helloworld_Greeter_register(server, &service, NULL);
    sennit_health_set(server, "helloworld.Greeter", true);
}

int main(int argc, char **argv)
{
    return official_serve(argc, argv, (sennit_server_options){ 0 }, add_services);
}
