/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * message.h: whole messages of an RPC, between what users hold and what the wire carries: codec,
 * compression, size limits, and the stats hook that is told of each. Runs in the RPC's goroutine.
 */
#ifndef SENNIT_RPC_MESSAGE_H
#define SENNIT_RPC_MESSAGE_H

#include "rpc/codec.h"
#include "rpc/compress.h"
#include "rpc/transport.h"

/* What the hook is told about the RPC. */
struct message_rpc {
    const sennit_stats_hook *stats; /* NULL: nobody listens */
    const sennit_method *method;
    sennit_ctx *ctx;
    int64_t begin;
    void *tag; /* the hook's own */
    bool client;
};
void message_tell_begin(struct message_rpc *r);
static inline void message_begin(struct message_rpc *r, const sennit_stats_hook *stats,
                                 const sennit_method *m, sennit_ctx *ctx, bool client)
{
    *r = (struct message_rpc){ .stats = stats, .method = m, .ctx = ctx, .client = client };
    if (unlikely(stats != NULL))
        message_tell_begin(r);
}
void message_tell_end(struct message_rpc *r, sennit_err status);
static inline void message_end(struct message_rpc *r, sennit_err status)
{
    if (unlikely(r->stats != NULL))
        message_tell_end(r, status);
}
/* Header or trailer; peer may be NULL. */
void message_tell_metadata(struct message_rpc *r, sennit_event_kind kind, const sennit_md *md,
                           const sennit_peer *peer);
static inline void message_metadata(struct message_rpc *r, sennit_event_kind kind,
                                    const sennit_md *md, const sennit_peer *peer)
{
    if (unlikely(r->stats != NULL))
        message_tell_metadata(r, kind, md, peer);
}
/* A connection; status: of its end. From a goroutine or thread. */
void message_connection(const sennit_stats_hook *stats, sennit_event_kind kind, bool client,
                        const sennit_peer *peer, sennit_err status);
/* msg, framed, in a. c NULL: plain. max: of the message itself; 0: no limit. */
sennit_err message_encode_more(struct message_rpc *r, const sennit_compressor *c, const void *msg,
                               struct sennit_arena *a, size_t max, sennit_str *framed);
static inline sennit_err message_encode(struct message_rpc *r, const sennit_compressor *c,
                                        const void *msg, struct sennit_arena *a, size_t max,
                                        sennit_str *framed)
{
    if (unlikely(c || r->stats))
        return message_encode_more(r, c, msg, a, max, framed);
    return codec_encode(r->client ? r->method->request : r->method->reply, msg, a, max, framed);
}
/* Opens m, which came on s, into to; what that points to lies in a and in m. */
sennit_err message_decode_more(struct message_rpc *r, const struct rpc_stream *s, struct rpc_msg *m,
                               void *to, struct sennit_arena *a);
static inline sennit_err message_decode(struct message_rpc *r, const struct rpc_stream *s,
                                        struct rpc_msg *m, void *to, struct sennit_arena *a)
{
    if (unlikely(m->compressed || r->stats))
        return message_decode_more(r, s, m, to, a);
    return codec_decode(r->client ? r->method->reply : r->method->request, to, m->body, m->len, a,
                        r->client ? "response" : "request");
}

#endif
