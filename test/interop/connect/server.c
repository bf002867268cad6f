/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * server.c: the server under Connect's conformance suite. One goroutine a call; nothing is shared.
 * Built by run_connect with what the suite's .proto files generate. */
#include "compat.h"
#include "stop.h"

#include <stdio.h>
#include <stdlib.h>

/* Requests that came so far, and what a call's answers are made of. */
struct call {
    sennit_ctx *ctx;
    google_protobuf_Any *requests;
    size_t n, room;
};

static sennit_err set_header(void *ctx, const char *key, sennit_str value)
{
    return sennit_set_header(ctx, key, value);
}

static sennit_err set_trailer(void *ctx, const char *key, sennit_str value)
{
    return sennit_set_trailer(ctx, key, value);
}

static void keep(struct call *c, const sennit_msg_desc *d, const void *request)
{
    if (c->n == c->room) {
        google_protobuf_Any *more = compat_alloc(c->ctx, (c->room * 2 + 4) * sizeof *more);
        if (c->n)
            memcpy(more, c->requests, c->n * sizeof *more);
        c->requests = more, c->room = c->room * 2 + 4;
    }
    c->requests[c->n++] = compat_any(c->ctx, d, request);
}

/* all: headers and timeout, too. */
static const cf_ConformancePayload_RequestInfo *info(struct call *c, bool all)
{
    cf_ConformancePayload_RequestInfo *r = compat_alloc(c->ctx, sizeof *r);
    *r = (cf_ConformancePayload_RequestInfo){ .requests = { c->requests, c->n } };
    if (!all)
        return r;
    struct compat_headers h = compat_headers(c->ctx, sennit_md_in(c->ctx));
    r->request_headers.data = h.data, r->request_headers.len = h.len;
    int64_t deadline = sennit_ctx_deadline(c->ctx);
    r->has_timeout_ms = deadline != INT64_MAX;
    if (r->has_timeout_ms)
        r->timeout_ms = (deadline - sennit_now() + SENNIT_MILLISECOND - 1) / SENNIT_MILLISECOND;
    return r;
}

static sennit_err wait_ms(sennit_ctx *ctx, uint32_t ms)
{
    return ms ? sennit_sleep(ctx, ms * SENNIT_MILLISECOND) : NULL;
}

static sennit_err failure(struct call *c, const cf_Error *e, bool with_info)
{
    sennit_err err = compat_status(e);
    if (!with_info)
        return err;
    google_protobuf_Any any = compat_any(
        c->ctx, &sennit__connectrpc_conformance_v1_ConformancePayload_RequestInfo, info(c, true));
    return sennit_err_detail(err, any.type_url.data, any.value);
}

/* -- one response ----------------------------------------------------------------------------- */

static sennit_err answer(struct call *c, const cf_UnaryResponseDefinition *d,
                         const cf_ConformancePayload **payload)
{
    cf_ConformancePayload *p = compat_alloc(c->ctx, sizeof *p);
    sennit_err err =
        compat_add(c->ctx, d->response_headers.data, d->response_headers.len, set_header, c->ctx);
    if (!err)
        err = compat_add(c->ctx, d->response_trailers.data, d->response_trailers.len, set_trailer,
                         c->ctx);
    if (!err)
        err = wait_ms(c->ctx, d->response_delay_ms);
    if (!err && d->which_response == cf_UnaryResponseDefinition_response_error)
        err = failure(c, d->error, true);
    *p = (cf_ConformancePayload){ .request_info = info(c, true) };
    if (d->which_response == cf_UnaryResponseDefinition_response_response_data)
        p->data = d->response_data;
    *payload = p;
    return err;
}

static sennit_err unary(void *self, sennit_ctx *ctx, const cf_UnaryRequest *q, cf_UnaryResponse *r)
{
    (void)self;
    struct call c = { .ctx = ctx };
    keep(&c, &sennit__connectrpc_conformance_v1_UnaryRequest, q);
    return answer(&c, q->response_definition, &r->payload);
}

static sennit_err idempotent_unary(void *self, sennit_ctx *ctx, const cf_IdempotentUnaryRequest *q,
                                   cf_IdempotentUnaryResponse *r)
{
    (void)self;
    struct call c = { .ctx = ctx };
    keep(&c, &sennit__connectrpc_conformance_v1_IdempotentUnaryRequest, q);
    return answer(&c, q->response_definition, &r->payload);
}

static sennit_err client_stream(void *self, sennit_ctx *ctx,
                                cf_ConformanceService_ClientStreamServer s,
                                cf_ClientStreamResponse *r)
{
    (void)self;
    struct call c = { .ctx = ctx };
    const cf_UnaryResponseDefinition *d =
        &sennit__connectrpc_conformance_v1_UnaryResponseDefinition_empty;
    const cf_ClientStreamRequest *q;
    while ((q = cf_ConformanceService_ClientStreamServer_recv(s))) {
        if (c.n == 0)
            d = cf_UnaryResponseDefinition_copy(sennit_ctx_arena(ctx), q->response_definition);
        keep(&c, &sennit__connectrpc_conformance_v1_ClientStreamRequest, q);
    }
    sennit_err err = cf_ConformanceService_ClientStreamServer_error(s);
    return err ? err : !d ? sennit_no_memory : answer(&c, d, &r->payload);
}

/* -- many responses --------------------------------------------------------------------------- */

static sennit_err begin(struct call *c, const cf_StreamResponseDefinition *d)
{
    sennit_err err =
        compat_add(c->ctx, d->response_headers.data, d->response_headers.len, set_header, c->ctx);
    if (!err)
        err = compat_add(c->ctx, d->response_trailers.data, d->response_trailers.len, set_trailer,
                         c->ctx);
    return err ? err : sennit_send_header(c->ctx);
}

/* All messages that have responses look alike. */
static sennit_err send_one(struct call *c, sennit_stream *s, const cf_StreamResponseDefinition *d,
                           size_t nth, bool with_info)
{
    cf_ConformancePayload p = { .data = d->response_data.data[nth] };
    sennit_err err = wait_ms(c->ctx, d->response_delay_ms);
    if (with_info)
        p.request_info = info(c, nth == 0);
    return err ? err : sennit_send(s, &(cf_ServerStreamResponse){ .payload = &p });
}

static sennit_err send_all(struct call *c, sennit_stream *s, const cf_StreamResponseDefinition *d)
{
    sennit_err err = begin(c, d);
    for (size_t i = 0; i < d->response_data.len && !err; i++)
        err = send_one(c, s, d, i, i == 0);
    if (!err && d->has_error)
        err = failure(c, d->error, d->response_data.len == 0);
    return err;
}

static sennit_err server_stream(void *self, sennit_ctx *ctx, const cf_ServerStreamRequest *q,
                                cf_ConformanceService_ServerStreamServer s)
{
    (void)self;
    struct call c = { .ctx = ctx };
    keep(&c, &sennit__connectrpc_conformance_v1_ServerStreamRequest, q);
    return q->has_response_definition ? send_all(&c, s.s, q->response_definition) : NULL;
}

static sennit_err send_bidi(struct call *c, sennit_stream *s, const cf_StreamResponseDefinition *d,
                            size_t nth, bool with_info)
{
    cf_ConformancePayload p = { .data = d->response_data.data[nth] };
    sennit_err err = wait_ms(c->ctx, d->response_delay_ms);
    if (with_info)
        p.request_info = info(c, nth == 0);
    return err ? err : sennit_send(s, &(cf_BidiStreamResponse){ .payload = &p });
}

static sennit_err bidi_stream(void *self, sennit_ctx *ctx, cf_ConformanceService_BidiStreamServer s)
{
    (void)self;
    struct call c = { .ctx = ctx };
    const cf_StreamResponseDefinition *d = NULL;
    const cf_BidiStreamRequest *q;
    bool full = false;
    size_t sent = 0;
    sennit_err err = NULL;
    while (!err && (q = cf_ConformanceService_BidiStreamServer_recv(s))) {
        if (full)
            c.n = 0; /* only those since the last response */
        keep(&c, &sennit__connectrpc_conformance_v1_BidiStreamRequest, q);
        if (!d) {
            d = cf_StreamResponseDefinition_copy(sennit_ctx_arena(ctx), q->response_definition);
            full = q->full_duplex;
            err = d ? begin(&c, d) : sennit_no_memory;
        }
        if (full && !err && sent == d->response_data.len)
            break; /* nothing left to say: the error, or the end */
        if (full && !err)
            err = send_bidi(&c, s.s, d, sent, true), sent++;
    }
    if (!err)
        err = cf_ConformanceService_BidiStreamServer_error(s);
    for (; !err && d && sent < d->response_data.len; sent++)
        err = send_bidi(&c, s.s, d, sent, sent == 0);
    return !err && d && d->has_error ? failure(&c, d->error, sent == 0) : err;
}

static const cf_ConformanceServiceService service = {
    .Unary = unary,
    .IdempotentUnary = idempotent_unary,
    .ClientStream = client_stream,
    .ServerStream = server_stream,
    .BidiStream = bidi_stream,
};

static sennit_creds *credentials(const cf_ServerCompatRequest *q)
{
    return sennit_tls_new(&(sennit_tls_options){ .cert_pem = q->server_creds->cert,
                                                 .key_pem = q->server_creds->key,
                                                 .ca_pem = compat_given(q->client_tls_cert),
                                                 .client_cert = q->client_tls_cert.len ? 1 : -1 });
}

int main(void)
{
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_new(NULL);
    sennit_str octets;
    cf_ServerCompatRequest q;
    if (sennit_zstd_register() || !compat_read(ctx, &octets) ||
        cf_ServerCompatRequest_decode(sennit_ctx_arena(ctx), octets, &q))
        return 1;
    sennit_auto(sennit_creds) *tls = q.use_tls ? credentials(&q) : NULL;
    sennit_auto(sennit_server) *server = sennit_server_new(&(sennit_server_options){
        .creds = tls ? tls : sennit_insecure(), .max_recv_msg_size = q.message_receive_limit });
    sennit_err err = sennit_listen(server, "127.0.0.1:0");
    if (!err)
        err = cf_ConformanceService_register(server, &service, NULL);
    if (err) {
        fprintf(stderr, "%s\n", sennit_err_text(err));
        return 1;
    }
    sennit_go(stop_on_signal, server);
    const char *port = strrchr(sennit_bound_address(server, 0), ':') + 1;
    cf_ServerCompatResponse r = { .host = sennit_s("127.0.0.1"),
                                  .port = (uint32_t)strtoul(port, NULL, 10),
                                  .pem_cert = q.use_tls ? q.server_creds->cert : sennit_s("") };
    compat_write(cf_ServerCompatResponse_encode(sennit_ctx_arena(ctx), &r));
    return sennit_serve(server) ? 1 : 0;
}
