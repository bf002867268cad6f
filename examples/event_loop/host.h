/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * host.h: what the three examples share: a host with data that its own thread alone may touch, a
 * server of helloworld.Greeter, and a client of it in the same loop. Only the loops differ. */
#ifndef EXAMPLES_EVENT_LOOP_HOST_H
#define EXAMPLES_EVENT_LOOP_HOST_H

#include "flags.h"
#include "helloworld.sennit.h"

struct host {
    sennit_server *server;
    int served; /* of the loop's thread alone: so no lock */
    bool done;
};

/* On the stack of main: for hosts that look at it (PostgreSQL, Ruby, Lua, PHP). */
static inline sennit_err host_count(void *host)
{
    ((struct host *)host)->served++;
    return NULL;
}

/* In a goroutine, but nowhere else than inside sennit_loop_run. */
static inline sennit_err host_say_hello(void *host, sennit_ctx *ctx,
                                        const helloworld_HelloRequest *request,
                                        helloworld_HelloReply *reply)
{
    reply->message = sennit_printf(ctx, "Hello %s", request->name.data);
    return sennit_on_host(host_count, host);
}

static inline void host_serve(void *host)
{
    sennit_err err = sennit_serve(((struct host *)host)->server);
    if (err)
        log_fatal("failed to serve: %s", err->message);
}

/* Three calls, 20 ms apart, then the host may end. */
static inline void host_call(void *arg)
{
    struct host *host = arg;
    sennit_auto(sennit_conn) *conn =
        sennit_dial(sennit_bound_address(host->server, 0),
                    &(sennit_conn_options){ .creds = sennit_insecure() });
    helloworld_GreeterClient greeter = { conn };
    for (int i = 0; i < 3; i++) {
        sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, SENNIT_SECOND);
        helloworld_HelloRequest request = { .name = sennit_s("loop") };
        helloworld_HelloReply reply;
        sennit_err err = helloworld_Greeter_SayHello(greeter, ctx, &request, &reply);
        if (err)
            log_fatal("could not greet: %s", sennit_err_text(err));
        printf("%s\n", reply.message.data);
        sennit_sleep(NULL, 20 * SENNIT_MILLISECOND);
    }
    host->done = true;
}

static inline void host_start(struct host *host)
{
    static const helloworld_GreeterService service = { .SayHello = host_say_hello };
    sennit_err err = sennit_runtime(&(sennit_runtime_options){ .threads = SENNIT_THREADS_NONE });
    if (err)
        log_fatal("%s", err->message);
    host->server = sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
    helloworld_Greeter_register(host->server, &service, host);
    if ((err = sennit_listen(host->server, "127.0.0.1:0")) || (err = sennit_go(host_serve, host)) ||
        (err = sennit_go(host_call, host)))
        log_fatal("failed to start: %s", err->message);
}

static inline int host_end(struct host *host)
{
    sennit_server_free(host->server); /* waits, so the loop runs inside of it */
    printf("served %d\n", host->served);
    return host->served == 3 ? 0 : 1;
}

#endif
