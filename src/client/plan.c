/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * plan.c: see plan.h. Nothing here parks but call_open_stream (stream quota). */
#include "client/plan.h"
#include "base/limits.h"
#include "rpc/details.h"

bool call_plan_init(struct call_plan *p, struct sennit_conn *conn, sennit_ctx *ctx,
                    const sennit_method *m, const sennit_call_options *o, size_t size)
{
    zero_words(p, sizeof *p);
    p->conn = conn, p->ctx = ctx, p->method = m;
    if (o)
        memcpy(&p->o, o, min_size(size, sizeof p->o));
    if (p->o.credentials)
        p->creds = *p->o.credentials;
    return conn && conn->ctx;
}

/* The call's own choice, or the connection's. */
static sennit_err call_choose_compressor(struct call_plan *p)
{
    if (likely(p->conn->plain && !p->o.compressor))
        return NULL;
    const char *name = p->o.compressor ? p->o.compressor : p->conn->options.compressor;
    if (compress_is_identity(name))
        return NULL;
    p->compressor = compress_named(name);
    return p->compressor ? NULL
                         : sennit_errorf(WHY_AS(WHY(COMPRESSOR), SENNIT_INTERNAL),
                                         "grpc: Compressor is not installed for requested "
                                         "grpc-encoding \"%s\"",
                                         name);
}

sennit_err call_check(struct call_plan *p)
{
    sennit_err refused = rt_refused();
    if (refused)
        return refused;
    if (p->conn->bad)
        return sennit_err_copy(NULL, p->conn->bad);
    if (!p->ctx)
        return sennit_errorf(WHY(NO_CONTEXT),
                             "%s: a call needs a context (the reply lives as long as it): pass "
                             "sennit_ctx_timeout(NULL, ...)",
                             p->method->path);
    sennit_err err = call_choose_compressor(p);
    return err ? err : sennit_ctx_error(p->ctx);
}

size_t call_recv_limit(const struct call_plan *p)
{
    size_t limit = p->conn->options.max_recv_msg_size, own = p->o.max_recv_msg_size;
    return own && own < limit ? own : limit;
}

size_t call_send_limit(const struct call_plan *p)
{
    size_t limit = p->conn->options.max_send_msg_size, own = p->o.max_send_msg_size;
    return own && (!limit || own < limit) ? own : limit;
}

sennit_err call_encode(struct call_plan *p, struct sennit_arena *a, sennit_str *framed)
{
    return message_encode(&p->rpc, p->compressor, p->request, a, call_send_limit(p), framed);
}

sennit_err call_open_stream(struct call_plan *p, struct rpc_stream *s, sennit_str framed, bool end,
                            bool *gone)
{
    const sennit_md *creds = NULL;
    sennit_err err = NULL;
    if (unlikely(p->conn->options.call_creds || p->o.credentials))
        err = call_creds_md(p, s, &creds);
    if (err)
        return err;
    struct rpc_request r = {
        .path = p->method->path,
        .scheme = transport_auth(s->t)->scheme,
        .authority = p->o.authority ? p->o.authority : p->conn->authority,
        .user_agent = p->conn->user_agent,
        .encoding = p->compressor ? p->compressor->name : NULL,
        .deadline = p->ctx->deadline,
        .md = { ctx_slot_get(p->ctx, CTX_SLOT_MD_OUT), p->o.metadata, creds },
        .body = framed.data,
        .len = framed.len,
        .end = end,
    };
    message_metadata(&p->rpc, SENNIT_EVENT_OUT_HEADER, p->o.metadata, &transport_auth(s->t)->peer);
    switch (transport_open(s->t, s, p->ctx, &r)) {
    case TRANSPORT_OK:
    case TRANSPORT_WAITS:
    case TRANSPORT_DEAD:
        return NULL;
    case TRANSPORT_GONE:
        *gone = true;
        return NULL;
    case TRANSPORT_TOO_LARGE:
        return sennit_errorf(WHY_AS(WHY(HEADERS_TOO_LARGE), SENNIT_INTERNAL),
                             "the metadata of %s is larger than the server takes "
                             "(SETTINGS_MAX_HEADER_LIST_SIZE)",
                             p->method->path);
    case TRANSPORT_ENDED:
        return sennit_ctx_error(p->ctx);
    case TRANSPORT_NO_MEMORY:
        break;
    }
    return sennit_no_memory;
}

BASE_COLD sennit_err call_status_error(struct rpc_stream *s, struct sennit_arena *a,
                                       int64_t deadline)
{
    sennit_code code = STREAM_WHY(s);
    if (WHY_CODE(code) == SENNIT_CANCELLED && deadline <= sennit_now())
        code = WHY(DEADLINE);
    if (code == SENNIT_OK)
        return NULL;
    sennit_err err = sennit_errorf(code, "%.*s", (int)min_size(s->message.len, LIMIT_ERROR_TEXT),
                                   s->message.data);
    return s->details.len ? details_attach(a, err, s->details) : err;
}

BASE_COLD void call_tell_metadata(struct call_plan *p, struct rpc_stream *s)
{
    if (atomic_load_explicit(&s->has_header, memory_order_acquire))
        message_metadata(&p->rpc, SENNIT_EVENT_IN_HEADER, s->header, &transport_auth(s->t)->peer);
    message_metadata(&p->rpc, SENNIT_EVENT_IN_TRAILER, s->trailer, NULL);
}

bool call_wants_more(const struct call_plan *p) { return p->o.header || p->o.trailer || p->o.peer; }

BASE_COLD void call_hand_out(struct rpc_stream *s, struct call_handout *h)
{
    if (h->o.header)
        *h->o.header =
            atomic_load_explicit(&s->has_header, memory_order_acquire) ? s->header : NULL;
    if (h->o.trailer)
        *h->o.trailer = s->trailer;
    if (h->o.peer)
        *h->o.peer = &transport_auth(s->t)->peer; /* the stream holds the transport */
}
