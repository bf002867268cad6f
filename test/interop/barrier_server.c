/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * barrier_server: a Greeter whose handlers wait, parked, until -inside of them are there. A server
 * that runs fewer at a time never answers. */
#include "flags.h"
#include "helloworld.sennit.h"
#include "stop.h"

struct barrier {
    sennit_mutex lock; /* guards what follows */
    sennit_cond all_inside;
    long inside, wanted;
    bool stubborn; /* handlers wait on when their call has ended */
};

static sennit_err say_hello(void *self, sennit_ctx *ctx, const helloworld_HelloRequest *request,
                            helloworld_HelloReply *reply)
{
    struct barrier *b = self;
    sennit_ctx *until = b->stubborn ? NULL : ctx;

    sennit_err err = sennit_mutex_lock(&b->lock, until);
    if (err)
        return err;
    if (++b->inside == b->wanted)
        sennit_cond_broadcast(&b->all_inside);
    while (b->inside < b->wanted && !err)
        err = sennit_cond_wait(&b->all_inside, &b->lock, until);
    sennit_mutex_unlock(&b->lock);
    reply->message = sennit_printf(ctx, "Hello %s", request->name.data);
    return err;
}

static const helloworld_GreeterService greeter = { .SayHello = say_hello };

int main(int argc, char **argv)
{
    const char *port = "50051", *inside = "50", *limit = "4294967295", *stubborn = "0";
    struct barrier barrier = { 0 };
    char address[32];

    flags_parse(argc, argv,
                (struct flag[]){ { "port", &port, "The server port", FLAG_INT },
                                 { "inside", &inside, "calls that wait for each other", FLAG_INT },
                                 { "limit", &limit, "streams of a connection", FLAG_INT },
                                 { "stubborn", &stubborn, "1: calls that ended wait on", FLAG_INT },
                                 { 0 } });
    snprintf(address, sizeof address, ":%s", port);
    barrier.wanted = strtol(inside, NULL, 10);
    barrier.stubborn = strtol(stubborn, NULL, 10) != 0;

    sennit_auto(sennit_server) *server = sennit_server_new(&(sennit_server_options){
        .creds = sennit_insecure(), .max_concurrent_streams = (uint32_t)strtoul(limit, NULL, 10) });
    sennit_listen(server, address);
    helloworld_Greeter_register(server, &greeter, &barrier);
    sennit_go(stop_on_signal, server);
    log_line("server listening at %s", sennit_bound_address(server, 0));
    sennit_err err = sennit_serve(server);
    if (err)
        log_fatal("failed to serve: %s", err->message);
    return 0;
}
