/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * hello_server: the Greeter with health and reflection, for tools such as grpcurl, ghz and
 * grpc-health-probe. Flags as interop_server's. */
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

static const helloworld_GreeterService service = { .SayHello = say_hello };

int main(int argc, char **argv)
{
    const char *port = "10000", *use_tls = "false", *cert = "", *key = "";
    char address[32];
    flags_parse(argc, argv,
                (struct flag[]){ { "port", &port, "The server port", FLAG_INT },
                                 { "use_tls", &use_tls, "Connection uses TLS", FLAG_BOOL },
                                 { "tls_cert_file", &cert, "The TLS cert file", FLAG_STRING },
                                 { "tls_key_file", &key, "The TLS key file", FLAG_STRING },
                                 { 0 } });
    snprintf(address, sizeof address, ":%s", port);
    sennit_auto(sennit_creds) *tls = NULL;
#ifdef SENNIT_TLS
    if (flag_is_true(use_tls))
        tls = sennit_tls_new(&(sennit_tls_options){ .cert_file = cert, .key_file = key });
#endif
    if (flag_is_true(use_tls) && !tls)
        log_fatal("this program was built without TLS");
    sennit_auto(sennit_server) *server =
        sennit_server_new(&(sennit_server_options){ .creds = tls ? tls : sennit_insecure() });
    sennit_err err = sennit_listen(server, address);
    if (err)
        log_fatal("failed to listen: %s", err->message);
    helloworld_Greeter_register(server, &service, NULL);
    sennit_health_register(server);
    sennit_health_set(server, "helloworld.Greeter", true);
    sennit_reflection_register(server);
    sennit_go(stop_on_signal, server);
    log_line("server listening at %s", sennit_bound_address(server, 0));
    err = sennit_serve(server);
    if (err)
        log_fatal("failed to serve: %s", err->message);
    return 0;
}
