/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * greeter.h: what the examples of this folder share: helloworld.Greeter with the messages of any
 * runtime, served, called by a client with the same messages, and by one with generated ones. */
#ifndef EXAMPLES_CODECS_GREETER_H
#define EXAMPLES_CODECS_GREETER_H

#include "flags.h"
#include "helloworld.sennit.h"

typedef sennit_err (*greeter_say_hello)(sennit_ctx *ctx, const void *request, void *reply);

/* What generated code has for each method: here the handler is all there is in `methods`. */
static inline sennit_err greeter_invoke(const void *methods, void *self, sennit_ctx *ctx,
                                        const void *request, void *reply, sennit_stream *stream)
{
    (void)self, (void)stream;
    return (*(const greeter_say_hello *)methods)(ctx, request, reply);
}

/* request and reply: &sennit_raw_desc, or the desc of a sennit_codec. */
#define GREETER_METHOD(request, reply)                                                             \
    {                                                                                              \
        SENNIT_TABLES, 0, "/helloworld.Greeter/SayHello", request, reply, greeter_invoke           \
    }

static inline void greeter_serve(void *server)
{
    sennit_err err = sennit_serve(server);
    if (err)
        log_fatal("failed to serve: %s", err->message);
}

/* What the client with generated messages gets. */
static inline void greeter_expect(sennit_conn *conn, const char *name, const char *message)
{
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    helloworld_GreeterClient client = { conn };
    helloworld_HelloRequest request = { .name = sennit_s(name) };
    helloworld_HelloReply reply;
    sennit_err err = helloworld_Greeter_SayHello(client, ctx, &request, &reply);
    if (err || strcmp(reply.message.data, message) != 0)
        log_fatal("%s", err ? sennit_err_text(err) : reply.message.data);
}

/* Serves m by say_hello, and lets `call` call it. */
static inline int greeter_run(const sennit_method *m, greeter_say_hello say_hello,
                              void (*call)(sennit_conn *conn, sennit_ctx *ctx))
{
    const sennit_service_desc service = { SENNIT_TABLES, 1, "helloworld.Greeter", m, NULL };
    sennit_auto(sennit_server) *server =
        sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
    sennit_err err = sennit_register(server, &service, &say_hello, NULL);
    if (err || (err = sennit_listen(server, "127.0.0.1:0")) ||
        (err = sennit_go(greeter_serve, server)))
        log_fatal("failed to start: %s", err->message);
    sennit_auto(sennit_conn) *conn = sennit_dial(
        sennit_bound_address(server, 0), &(sennit_conn_options){ .creds = sennit_insecure() });
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    call(conn, ctx);
    greeter_expect(conn, "generated code", "Hello generated code");
    sennit_server_stop(server, SENNIT_SECOND);
    return 0;
}

#endif
