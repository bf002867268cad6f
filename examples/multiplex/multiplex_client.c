/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Two kinds of client on one connection: flags and output as grpc-go's features/multiplex/client,
 * whose second heading is kept although the call is UnaryEcho. */
#include "echo.sennit.h"
#include "flags.h"
#include "helloworld.sennit.h"

static void call_say_hello(helloworld_GreeterClient client, const char *name)
{
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, SENNIT_SECOND);
    helloworld_HelloRequest request = { .name = sennit_s(name) };
    helloworld_HelloReply reply;

    sennit_err err = helloworld_Greeter_SayHello(client, ctx, &request, &reply);
    if (err)
        log_fatal("client.SayHello(_) = _, %s", sennit_err_text(err));
    printf("Greeting:  %s\n", reply.message.data);
}

static void call_unary_echo(echo_EchoClient client, const char *message)
{
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    echo_EchoRequest request = { .message = sennit_s(message) };
    echo_EchoResponse response;

    sennit_err err = echo_Echo_UnaryEcho(client, ctx, &request, &response);
    if (err)
        log_fatal("client.UnaryEcho(_) = _, %s: ", sennit_err_text(err));
    printf("UnaryEcho:  %s\n", response.message.data);
}

int main(int argc, char **argv)
{
    const char *addr = "localhost:50051";

    flags_parse(
        argc, argv,
        (struct flag[]){ { "addr", &addr, "the address to connect to", FLAG_STRING }, { 0 } });
    sennit_auto(sennit_conn) *conn =
        sennit_dial(addr, &(sennit_conn_options){ .creds = sennit_insecure() });

    printf("--- calling helloworld.Greeter/SayHello ---\n");
    call_say_hello((helloworld_GreeterClient){ conn }, "multiplex");
    printf("\n--- calling routeguide.RouteGuide/GetFeature ---\n");
    call_unary_echo((echo_EchoClient){ conn }, "this is examples/multiplex");
    return 0;
}
