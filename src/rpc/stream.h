/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * stream.h: what users hold as sennit_stream, for both sides. The side (client or server) fills it
 * and provides two calls; stream.c does sending, receiving and the reporting of misuse.
 *
 * Sharing (law 5): `sender` and `receiver` hold the goroutine that is inside; a second one finds it
 * taken, gets an error that names both, and touches nothing else. */
#ifndef SENNIT_RPC_STREAM_H
#define SENNIT_RPC_STREAM_H

#include "rpc/transport.h"
#include "rt/ctx.h"

struct stream_refusal;

/* Who is inside one half of a stream. */
struct stream_seat {
    _Atomic uint32_t taken;
    struct lock lock; /* guards who, for the error's text only */
    char who[96];
};

struct stream_side {
    /* The status as an error, after s->done; NULL: OK. */
    sennit_err (*status)(struct sennit_stream *st);
    /* Server: headers go out with the first message. */
    enum transport_result (*send)(struct sennit_stream *st, const char *framed, size_t len);
};

struct sennit_stream {
    struct rpc_stream *s;
    const struct stream_side *side;
    const sennit_method *method;
    const sennit_msg_desc *in, *out;
    sennit_ctx *ctx;
    size_t max_send;
    bool server;
    const struct sennit_error *failed_start; /* client: no RPC came to be; lives with ctx */

    struct stream_seat sender, receiver;
    _Atomic bool close_wanted; /* close_send met a running send: half-close when it is done */
    _Atomic bool closed_send;
    _Atomic bool finished;

    /* Of the receiver. */
    struct sennit_arena recv_arena;
    struct rpc_msg *held; /* what the last receive returned lies in it */
    void *msg;
    _Atomic bool recv_failed;
    struct sennit_arena recv_error_arena;
    const struct sennit_error *recv_error; /* decode error; in recv_error_arena */
    /* Of the sender. */
    struct sennit_arena send_arena;

    struct lock lock; /* guards refusals */
    struct stream_refusal *refusals;
};

void stream_api_init(struct sennit_stream *st, struct rpc_stream *s, const struct stream_side *side,
                     const sennit_method *m, sennit_ctx *ctx, bool server);
/* Frees what it holds; nobody may be inside. */
void stream_api_fini(struct sennit_stream *st);

#endif
