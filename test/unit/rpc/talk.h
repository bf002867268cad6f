/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * talk.h: a server, a connection and a context, which nearly every test of streams wants. */
#ifndef SENNIT_TEST_TALK_H
#define SENNIT_TEST_TALK_H

#include "echo.h"
#include "rpc/stream.h"

struct talk {
    struct echo_server e;
    sennit_conn *conn;
    sennit_ctx *ctx;
};
enum { LIST = 1, COLLECT, CHAT };

__attribute__((unused)) static void talk_start(struct talk *t, const struct echo_service *service,
                                               void *self, sennit_server_options o)
{
    echo_start(&t->e, service, self, o);
    t->conn = echo_dial(t->e.address);
    t->ctx = sennit_ctx_timeout(NULL, 60 * SENNIT_SECOND);
}

__attribute__((unused)) static void talk_stop(struct talk *t)
{
    sennit_ctx_free(t->ctx);
    sennit_conn_free(t->conn);
    echo_stop(&t->e);
}

__attribute__((unused)) static sennit_stream *talk_open(struct talk *t, int method,
                                                        const struct echo_msg *q)
{
    return sennit_start(t->conn, t->ctx, &echo_methods[method], q, NULL, 0);
}

__attribute__((unused)) static const char *said(sennit_err err)
{
    return err ? err->message : "fine";
}
__attribute__((unused)) static int code_of(sennit_err err) { return err ? (int)err->code : 0; }

__attribute__((unused)) static bool seat_taken(struct seat *seat)
{
    const char *name;
    return seat_holder(seat, &name) != 0;
}

/* Answers each message with itself. */
__attribute__((unused)) static sennit_err echo_chat(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    const struct echo_msg *m;
    (void)self, (void)ctx;
    while ((m = sennit_recv(s))) {
        sennit_err err = sennit_send(s, m);
        if (err)
            return err;
    }
    return sennit_stream_error(s);
}

/* Reads nothing before self, a channel of int, says so. */
__attribute__((unused)) static sennit_err read_when_told(void *self, sennit_ctx *ctx,
                                                         sennit_stream *s)
{
    int n;
    sennit_err err = sennit_chan_recv(self, ctx, &n);
    return err ? err : echo_chat(NULL, ctx, s);
}

#endif
