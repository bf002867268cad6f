/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * interop_server: grpc.testing.TestService with the official flags, for the official interop
 * clients of any language. Beyond grpc-go's server it has what the compression cases ask for and
 * HalfDuplexCall, and health and reflection for the other tools of run_clients. One goroutine a
 * call; nothing is shared. */
#include "grpc_testing.sennit.h"
#include "interop_compressed.h"
#include "official_server.h"

#define BODY_MOST (16 << 20) /* octets of a response somebody may ask for */

/* n zeros that live as long as ctx. */
static sennit_err make_payload(sennit_ctx *ctx, int32_t n, gt_Payload **to)
{
    if (n < 0 || n > BODY_MOST)
        return sennit_errorf(SENNIT_INVALID_ARGUMENT, "a payload of %d octets", n);
    char *body = sennit_alloc(sennit_ctx_arena(ctx), sizeof(gt_Payload) + (size_t)n);
    if (!body)
        return sennit_no_memory;
    memset(body, 0, sizeof(gt_Payload) + (size_t)n);
    *to = (gt_Payload *)(void *)body;
    **to = (gt_Payload){ .body = { body + sizeof(gt_Payload), (size_t)n } };
    return NULL;
}

static sennit_err echo_status(const gt_EchoStatus *s)
{
    if (s->code == 0)
        return NULL;
    return sennit_errorf((sennit_code)s->code, "%.*s", (int)s->message.len, s->message.data);
}

static sennit_err echo_metadata(sennit_ctx *ctx)
{
    const sennit_md *in = sennit_md_in(ctx);
    const sennit_str *initial = sennit_md_get(in, "x-grpc-test-echo-initial", 0);
    const sennit_str *trailing = sennit_md_get(in, "x-grpc-test-echo-trailing-bin", 0);
    sennit_err err = NULL;
    if (initial)
        err = sennit_set_header(ctx, "x-grpc-test-echo-initial", *initial);
    if (trailing && !err)
        err = sennit_set_trailer(ctx, "x-grpc-test-echo-trailing-bin", *trailing);
    return err;
}

static sennit_err check_compressed(sennit_ctx *ctx, bool has, const gt_BoolValue *expected)
{
    if (!has || expected->value == compressed_seen(ctx))
        return NULL;
    return sennit_errorf(SENNIT_INVALID_ARGUMENT, "the request was %s, against expect_compressed",
                         expected->value ? "not compressed" : "compressed");
}

static sennit_err empty_call(void *self, sennit_ctx *ctx, const gt_Empty *request, gt_Empty *reply)
{
    (void)self, (void)request, (void)reply;
    return echo_metadata(ctx);
}

static sennit_err unary_call(void *self, sennit_ctx *ctx, const gt_SimpleRequest *request,
                             gt_SimpleResponse *reply)
{
    (void)self;
    gt_Payload *payload = NULL;
    sennit_err err =
        check_compressed(ctx, request->has_expect_compressed, request->expect_compressed);
    if (!err)
        err = echo_metadata(ctx);
    if (!err)
        err = echo_status(request->response_status);
    if (!err && request->has_response_compressed)
        err = sennit_set_compressor(ctx, request->response_compressed->value ? "gzip" : "identity");
    if (!err)
        err = make_payload(ctx, request->response_size, &payload);
    reply->payload = payload;
    return err;
}

/* What one request of a streaming call asks for. */
static sennit_err send_responses(sennit_ctx *ctx, const gt_StreamingOutputCallRequest *request,
                                 sennit_stream *s)
{
    sennit_err err = echo_status(request->response_status);
    for (size_t i = 0; i < request->response_parameters.len && !err; i++) {
        const gt_ResponseParameters *p = &request->response_parameters.data[i];
        sennit_auto(sennit_ctx) *own = sennit_ctx_new(ctx); /* a payload lives for one turn */
        gt_Payload *payload = NULL;
        if (p->interval_us > 0)
            err = sennit_sleep(ctx, p->interval_us * INT64_C(1000));
        if (!err)
            err = make_payload(own, p->size, &payload);
        if (err)
            return err;
        if (p->has_compressed)
            sennit_stream_compress(s, p->compressed->value);
        err = sennit_send(s, &(gt_StreamingOutputCallResponse){ .payload = payload });
    }
    return err;
}

static sennit_err streaming_output(void *self, sennit_ctx *ctx,
                                   const gt_StreamingOutputCallRequest *request,
                                   gt_TestService_StreamingOutputCallServer stream)
{
    (void)self;
    sennit_err err = NULL;
    for (size_t i = 0; i < request->response_parameters.len && !err; i++) {
        const gt_ResponseParameters *p = &request->response_parameters.data[i];
        if (p->has_compressed && p->compressed->value) {
            err = sennit_set_compressor(ctx, "gzip");
            break;
        }
    }
    return err ? err : send_responses(ctx, request, stream.s);
}

static sennit_err streaming_input(void *self, sennit_ctx *ctx,
                                  gt_TestService_StreamingInputCallServer stream,
                                  gt_StreamingInputCallResponse *reply)
{
    (void)self;
    const gt_StreamingInputCallRequest *m;
    int64_t sum = 0;
    while ((m = gt_TestService_StreamingInputCallServer_recv(stream))) {
        sennit_err err = check_compressed(ctx, m->has_expect_compressed, m->expect_compressed);
        if (err)
            return err;
        sum += (int64_t)m->payload->body.len;
    }
    reply->aggregated_payload_size = sum > INT32_MAX ? INT32_MAX : (int32_t)sum;
    return gt_TestService_StreamingInputCallServer_error(stream);
}

static sennit_err full_duplex(void *self, sennit_ctx *ctx,
                              gt_TestService_FullDuplexCallServer stream)
{
    (void)self;
    const gt_StreamingOutputCallRequest *m;
    sennit_err err = echo_metadata(ctx);
    while (!err && (m = gt_TestService_FullDuplexCallServer_recv(stream)))
        err = send_responses(ctx, m, stream.s);
    return err ? err : gt_TestService_FullDuplexCallServer_error(stream);
}

/* Answers begin when all requests have come. */
static sennit_err half_duplex(void *self, sennit_ctx *ctx,
                              gt_TestService_HalfDuplexCallServer stream)
{
    (void)self;
    struct kept {
        struct kept *next;
        const gt_StreamingOutputCallRequest *m;
    } *first = NULL, **end = &first;
    const gt_StreamingOutputCallRequest *m;
    sennit_arena *a = sennit_ctx_arena(ctx);
    while ((m = gt_TestService_HalfDuplexCallServer_recv(stream))) {
        struct kept *k = sennit_alloc(a, sizeof *k);
        const gt_StreamingOutputCallRequest *copy = gt_StreamingOutputCallRequest_copy(a, m);
        if (!k || !copy)
            return sennit_no_memory;
        *k = (struct kept){ .m = copy };
        *end = k, end = &k->next;
    }
    sennit_err err = gt_TestService_HalfDuplexCallServer_error(stream);
    for (struct kept *k = first; k && !err; k = k->next)
        err = send_responses(ctx, k->m, stream.s);
    return err;
}

static const gt_TestServiceService service = {
    .EmptyCall = empty_call,
    .UnaryCall = unary_call,
    .CacheableUnaryCall = unary_call,
    .StreamingOutputCall = streaming_output,
    .StreamingInputCall = streaming_input,
    .FullDuplexCall = full_duplex,
    .HalfDuplexCall = half_duplex,
};

static void add_services(sennit_server *server) { gt_TestService_register(server, &service, NULL); }

int main(int argc, char **argv)
{
    return official_serve(argc, argv,
                          (sennit_server_options){ .max_concurrent_streams = 1024,
                                                   .max_recv_msg_size = BODY_MOST,
                                                   .stats = &compressed_stats },
                          add_services);
}
