/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * seeded_race: two handlers that never park write one variable without a lock. Built for TSan,
 * which must report it: goroutines that share a thread are still apart. The server, the client and
 * both handlers are in this process; seeded_race.py reads the report. */
#include "helloworld.sennit.h"

#include <stdio.h>

static int unguarded;

static sennit_err racing_handler(void *self, sennit_ctx *ctx,
                                 const helloworld_HelloRequest *request,
                                 helloworld_HelloReply *reply)
{
    (void)self, (void)ctx;
    unguarded++;
    reply->message = request->name;
    return NULL;
}

static const helloworld_GreeterService greeter = { .SayHello = racing_handler };

struct race {
    sennit_server *server;
    sennit_conn *conn;
};

static sennit_err serve(void *arg)
{
    struct race *race = arg;
    return sennit_serve(race->server);
}

static sennit_err call(void *arg)
{
    struct race *race = arg;
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    sennit_err err = NULL;

    for (int i = 0; i < 100 && !err; i++) {
        helloworld_HelloReply reply;
        err = helloworld_Greeter_SayHello((helloworld_GreeterClient){ race->conn }, ctx,
                                          &(helloworld_HelloRequest){ .name = sennit_s("race") },
                                          &reply);
        sennit_ctx_reset(ctx, 10 * SENNIT_SECOND);
    }
    return err;
}

int main(void)
{
    sennit_auto(sennit_server) *server =
        sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
    helloworld_Greeter_register(server, &greeter, NULL);
    sennit_listen(server, "127.0.0.1:0");
    sennit_auto(sennit_conn) *conn = sennit_dial(
        sennit_bound_address(server, 0), &(sennit_conn_options){ .creds = sennit_insecure() });
    struct race race = { server, conn };
    sennit_auto(sennit_group) *servers = sennit_group_new(NULL);
    sennit_auto(sennit_group) *callers = sennit_group_new(NULL);

    sennit_group_go(servers, serve, &race);
    for (int i = 0; i < 4; i++)
        sennit_group_go(callers, call, &race);
    sennit_err err = sennit_group_wait(callers);
    sennit_server_stop(server, SENNIT_SECOND);
    if (!err)
        err = sennit_group_wait(servers);
    printf("%s after %d calls\n", err ? sennit_err_text(err) : "done", unguarded);
    return err != NULL;
}
