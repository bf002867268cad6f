/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * stream.h: what users hold as sennit_stream, for both sides. The side (client or server) fills it
 * and provides a few calls; stream.c does sending, receiving and the reporting of misuse.
 *
 * Sharing (law 5): each half has a seat, taken by whoever is inside; a second one finds it taken,
 * gets an error that names both, and touches nothing else. Every call counts as inside the
 * stream's context meanwhile, so that ending that context waits for it; but for those of a server's
 * handler, which is where its context ends.
 *
 * `s` is the attempt under way. A client's may be replaced once, by an attempt that repeats all
 * that was sent, when the peer has not seen the first one; the old one stays valid until the
 * stream is freed. So each step asks for `s` anew. */
#ifndef SENNIT_RPC_STREAM_H
#define SENNIT_RPC_STREAM_H

#include "base/seat.h"
#include "rpc/message.h"
#include "rt/ctx.h"

struct stream_refusal;

/* The message that a goroutine received last: it is valid until that one receives again. */
#define STREAM_HELD_FIRST 104 /* octets: a small message, decoded, without an allocation */
struct stream_held {
    struct stream_held *next;
    uint64_t who; /* 0: free */
    struct rt_g *g;
    struct rpc_msg *msg;
    struct sennit_arena arena; /* of the decoded form */
    char first[STREAM_HELD_FIRST];
};

struct stream_side {
    /* The status as an error, after s->done; NULL: OK. */
    sennit_err (*status)(struct sennit_stream *st, struct rpc_stream *s);
    /* Appends one framed message to the current attempt, *to: what waits, waits there. */
    enum transport_result (*send)(struct sennit_stream *st, const char *framed, size_t len,
                                  struct rpc_stream **to);
    /* What messages are compressed with; NULL: nothing. */
    const sennit_compressor *(*compressor)(struct sennit_stream *st);
    /* Client: half-closes the current attempt. */
    void (*half_close)(struct sennit_stream *st);
    /* Client: s has ended and the peer never saw it. True: there is another attempt. May park. */
    bool (*again)(struct sennit_stream *st, struct rpc_stream *s);
};

struct sennit_stream {
    _Atomic(struct rpc_stream *) s;
    const struct stream_side *side;
    const sennit_method *method;
    const sennit_msg_desc *in;
    struct message_rpc *rpc; /* the side's */
    sennit_ctx *ctx;
    size_t max_send;
    uint64_t handler;    /* server: whose the context is, so that it need not enter it; 0 */
    bool server, one_in; /* one_in: messages lie in the call's arena */
    const struct sennit_error *failed_start; /* client: no RPC came to be; lives with ctx */

    struct seat sender, receiver; /* numbers by rt_me */
    _Atomic bool close_wanted;    /* close_send met a running send: half-close when it is done */
    _Atomic bool closed_send;
    /* Of the sender: encoding and transport_send are all that is left to do, for good: headers are
     * out; no compressor, no stats hook, no repeating. The side's send sets it. */
    bool steady;

    /* Of the receiver. */
    struct stream_held *held; /* one for each goroutine that received; the last one is own */
    struct rpc_msg *queue;    /* taken from the reader and not yet returned */
    _Atomic bool recv_failed;
    struct sennit_arena kept;              /* what lives as long as the stream */
    const struct sennit_error *recv_error; /* decode error; in kept */
    _Atomic bool told_header, told_end;    /* client: the stats hook */
    _Atomic bool plain;                    /* whatever the compressor */

    struct lock lock; /* guards what follows */
    struct stream_refusal *refusals;
    struct list header_waiters;

    struct stream_held own; /* last: not zeroed as a whole */
};

void stream_api_init(struct sennit_stream *st, struct rpc_stream *s, const struct stream_side *side,
                     struct message_rpc *rpc);
/* Frees what it holds; nobody may be inside, nor the transport hold a body of it. */
void stream_api_fini(struct sennit_stream *st);
/* Client: tells the stats hook of the end, once. */
void stream_api_tell_end(struct sennit_stream *st, sennit_err status);
/* From the reader: headers have come, or the end. */
void stream_api_wake_header(struct sennit_stream *st);

#endif
