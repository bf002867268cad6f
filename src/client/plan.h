/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * plan.h: what unary and streaming calls share: options, limits, opening, the final status. */
#ifndef SENNIT_CLIENT_PLAN_H
#define SENNIT_CLIENT_PLAN_H

#include "client/client.h"
#include "rpc/message.h"

#define CALL_ATTEMPTS 5 /* transparent retries of what never left, or the peer never saw */

/* Everything about one call that its attempts share. */
struct call_plan {
    struct sennit_conn *conn;
    sennit_ctx *ctx;
    const sennit_method *method;
    const void *request;
    void *reply;
    sennit_call_options o;
    const sennit_compressor *compressor; /* NULL: plain */
    struct message_rpc rpc;
    sennit_call_creds creds; /* o.credentials points to the caller's, who may be gone */
};
/* Where header, trailer and peer are handed out. */
struct call_handout {
    sennit_call_options o;
};

/* False: conn is the lame one. */
bool call_plan_init(struct call_plan *p, struct sennit_conn *conn, sennit_ctx *ctx,
                    const sennit_method *m, const sennit_call_options *o, size_t size);
sennit_err call_check(struct call_plan *p);
size_t call_recv_limit(const struct call_plan *p);
size_t call_send_limit(const struct call_plan *p); /* 0: none */
sennit_err call_encode(struct call_plan *p, struct sennit_arena *a, sennit_str *framed);
/* Sends headers and, if framed.data, the message. *gone: nothing was sent, pick another connection.
 */
sennit_err call_open_stream(struct call_plan *p, struct rpc_stream *s, sennit_str framed, bool end,
                            bool *gone);
/* What the connection's and the call's credentials add for this attempt; *out NULL: nothing. Runs
 * the user's code. */
sennit_err call_creds_md(const struct call_plan *p, struct rpc_stream *s, const sennit_md **out);
/* After done: NULL for OK. a: where details are unpacked. */
sennit_err call_status_error(struct rpc_stream *s, struct sennit_arena *a, int64_t deadline);
/* The stats hook: what came on s, which is done. */
void call_tell_metadata(struct call_plan *p, struct rpc_stream *s);
/* Header, trailer or peer: then the call must live on with the context. */
bool call_wants_more(const struct call_plan *p);
void call_hand_out(struct rpc_stream *s, struct call_handout *h);

#endif
