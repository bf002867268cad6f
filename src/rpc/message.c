/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * message.c: see message.h. */
#include "rpc/message.h"

BASE_COLD static void message_tell(struct message_rpc *r, sennit_event *e)
{
    e->tag = &r->tag;
    e->client = r->client;
    e->method = r->method;
    e->begin = r->begin;
    r->stats->event(r->stats->self, r->ctx, e);
}

void message_tell_begin(struct message_rpc *r)
{
    r->begin = sennit_now();
    message_tell(r, &(sennit_event){ .kind = SENNIT_EVENT_BEGIN });
}

void message_tell_end(struct message_rpc *r, sennit_err status)
{
    message_tell(r, &(sennit_event){ .kind = SENNIT_EVENT_END, .status = status });
}

void message_tell_metadata(struct message_rpc *r, sennit_event_kind kind, const sennit_md *md,
                           const sennit_peer *peer)
{
    message_tell(r, &(sennit_event){ .kind = kind, .metadata = md, .peer = peer });
}

BASE_COLD void message_connection(const sennit_stats_hook *stats, sennit_event_kind kind,
                                  bool client, const sennit_peer *peer, sennit_err status)
{
    sennit_event e = { .kind = kind, .client = client, .peer = peer, .status = status };
    if (stats->event)
        stats->event(stats->self, NULL, &e);
}

BASE_COLD sennit_err message_encode_more(struct message_rpc *r, const sennit_compressor *c,
                                         const void *msg, struct sennit_arena *a, size_t max,
                                         sennit_str *framed)
{
    sennit_err err =
        codec_encode(r->client ? r->method->request : r->method->reply, msg, a, max, framed);
    size_t size = framed->len - CODEC_PREFIX;
    if (!err && unlikely(c))
        err = compress_framed(c, a, framed);
    if (!err && unlikely(r->stats))
        message_tell(r, &(sennit_event){ .kind = SENNIT_EVENT_OUT_MESSAGE,
                                         .size = size,
                                         .wire_size = framed->len,
                                         .compressed = framed->data[0] == 1 });
    return err;
}

BASE_COLD sennit_err message_decode_more(struct message_rpc *r, const struct rpc_stream *s,
                                         struct rpc_msg *m, void *to, struct sennit_arena *a)
{
    const char *what = r->client ? "response" : "request";
    char *body = m->body;
    size_t len = m->len;
    if (unlikely(m->compressed)) {
        sennit_err err =
            compress_open(s->in_compressor, s->request.encoding, a, s->max_recv, &body, &len, what);
        if (err)
            return err;
    }
    if (unlikely(r->stats))
        message_tell(r, &(sennit_event){ .kind = SENNIT_EVENT_IN_MESSAGE,
                                         .size = len,
                                         .wire_size = m->len + CODEC_PREFIX,
                                         .compressed = m->compressed });
    return codec_decode(r->client ? r->method->reply : r->method->request, to, body, len, a, what);
}
