/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * interop_cases.c: the cases of grpc's interop-test-descriptions that need a well-behaved server.
 */
#include "interop_client.h"

const gt_Payload *interop_zeros(sennit_ctx *ctx, int32_t n)
{
    gt_Payload *p = sennit_alloc(sennit_ctx_arena(ctx), sizeof *p + (size_t)n);
    if (!p)
        return NULL;
    memset(p, 0, sizeof *p + (size_t)n);
    p->body = (sennit_str){ (const char *)(p + 1), (size_t)n };
    return p;
}

sennit_err interop_expect(sennit_err err, sennit_code code, const char *text)
{
    if (!err || err->code != code)
        return interop_wrong("got %s, wanted code %d", err ? sennit_err_text(err) : "OK", code);
    if (text && strcmp(err->message, text) != 0)
        return interop_wrong("got message \"%s\", wanted \"%s\"", err->message, text);
    return NULL;
}

static sennit_err check_payload(const gt_Payload *p, bool has, size_t n)
{
    if (!has || p->type != gt_PayloadType_COMPRESSABLE || p->body.len != n)
        return interop_wrong("a payload of %zu octets instead of %zu", p->body.len, n);
    return NULL;
}

sennit_err interop_large(gt_TestServiceClient c, sennit_ctx *ctx, const sennit_call_options *o,
                         int32_t request, int32_t response)
{
    static const sennit_call_options none;
    gt_SimpleRequest q = { .response_size = response, .payload = interop_zeros(ctx, request) };
    gt_SimpleResponse reply;
    sennit_err err = gt_TestService_UnaryCall_with(c, ctx, o ? o : &none, &q, &reply);
    return err ? err : check_payload(reply.payload, reply.has_payload, (size_t)response);
}

static sennit_err empty_unary(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    (void)in;
    gt_Empty reply;
    sennit_err err =
        gt_TestService_EmptyCall(c, ctx, &(gt_Empty){ .unknown_fields = { NULL, 0 } }, &reply);
    if (!err && reply.unknown_fields.len)
        err = interop_wrong("the reply is not empty");
    return err;
}

static sennit_err large_unary(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    (void)in;
    return interop_large(c, ctx, NULL, 271828, 314159);
}

static const int32_t request_sizes[] = { 27182, 8, 1828, 45904 };
static const int32_t response_sizes[] = { 31415, 9, 2653, 58979 };

static sennit_err client_streaming(const struct interop *in, gt_TestServiceClient c,
                                   sennit_ctx *ctx)
{
    (void)in;
    gt_TestService_StreamingInputCallClient s = gt_TestService_StreamingInputCall(c, ctx);
    gt_StreamingInputCallResponse reply;
    for (int i = 0; i < 4; i++) {
        gt_StreamingInputCallRequest m = { .payload = interop_zeros(ctx, request_sizes[i]) };
        if (gt_TestService_StreamingInputCallClient_send(s, &m))
            break;
    }
    sennit_err err = gt_TestService_StreamingInputCallClient_finish(s, &reply);
    if (!err && reply.aggregated_payload_size != 74922)
        err = interop_wrong("sum %d instead of 74922", reply.aggregated_payload_size);
    return err;
}

static sennit_err server_streaming(const struct interop *in, gt_TestServiceClient c,
                                   sennit_ctx *ctx)
{
    (void)in;
    gt_ResponseParameters p[4];
    for (int i = 0; i < 4; i++)
        p[i] = (gt_ResponseParameters){ .size = response_sizes[i] };
    gt_StreamingOutputCallRequest q = { .response_parameters = { p, 4 } };
    gt_TestService_StreamingOutputCallClient s = gt_TestService_StreamingOutputCall(c, ctx, &q);
    const gt_StreamingOutputCallResponse *m;
    sennit_err err = NULL;
    int n = 0;
    while (!err && (m = gt_TestService_StreamingOutputCallClient_recv(s)))
        err = n < 4 ? check_payload(m->payload, m->has_payload, (size_t)response_sizes[n++])
                    : interop_wrong("more than four responses");
    sennit_err end = gt_TestService_StreamingOutputCallClient_finish(s);
    return err ? err : end ? end : n == 4 ? NULL : interop_wrong("%d responses", n);
}

/* One request on the duplex stream that asks for one response, and that response. */
static sennit_err ping(gt_TestService_FullDuplexCallClient s, sennit_ctx *ctx, int32_t request,
                       int32_t response)
{
    gt_ResponseParameters p = { .size = response };
    gt_StreamingOutputCallRequest q = { .response_parameters = { &p, 1 },
                                        .payload = interop_zeros(ctx, request) };
    sennit_err err = gt_TestService_FullDuplexCallClient_send(s, &q);
    const gt_StreamingOutputCallResponse *m =
        err ? NULL : gt_TestService_FullDuplexCallClient_recv(s);
    if (m)
        return check_payload(m->payload, m->has_payload, (size_t)response);
    sennit_err end = gt_TestService_FullDuplexCallClient_finish(s);
    return end ? end : err ? err : interop_wrong("the stream ended before its response");
}

/* No more messages, then OK. */
static sennit_err duplex_end(gt_TestService_FullDuplexCallClient s)
{
    gt_TestService_FullDuplexCallClient_close_send(s);
    if (gt_TestService_FullDuplexCallClient_recv(s))
        return interop_wrong("more responses than were due");
    return gt_TestService_FullDuplexCallClient_finish(s);
}

static sennit_err ping_pong(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    (void)in;
    gt_TestService_FullDuplexCallClient s = gt_TestService_FullDuplexCall(c, ctx);
    sennit_err err = NULL;
    for (int i = 0; i < 4 && !err; i++)
        err = ping(s, ctx, request_sizes[i], response_sizes[i]);
    return err ? err : duplex_end(s);
}

/* Not of the official list: a call that a script holds open. Each line of standard input is a size:
 * a message is asked for and "got" written; the end of the lines ends the call. */
static sennit_err ping_pong_by_lines(const struct interop *in, gt_TestServiceClient c,
                                     sennit_ctx *ctx)
{
    (void)in;
    gt_TestService_FullDuplexCallClient s = gt_TestService_FullDuplexCall(c, ctx);
    sennit_err err = NULL;
    char line[16];
    while (!err && fgets(line, sizeof line, stdin)) {
        err = ping(s, ctx, 1, (int32_t)strtol(line, NULL, 10));
        if (!err)
            log_line("got");
    }
    return err ? err : duplex_end(s);
}

static sennit_err empty_stream(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    (void)in;
    return duplex_end(gt_TestService_FullDuplexCall(c, ctx));
}

static sennit_err check_echo(const sennit_md *header, const sennit_md *trailer)
{
    const sennit_str *a = sennit_md_get(header, "x-grpc-test-echo-initial", 0);
    const sennit_str *b = sennit_md_get(trailer, "x-grpc-test-echo-trailing-bin", 0);
    if (!a || strcmp(a->data, "test_initial_metadata_value") != 0)
        return interop_wrong("the header came back as \"%s\"", a ? a->data : "(none)");
    if (!b || b->len != 3 || memcmp(b->data, "\xab\xab\xab", 3) != 0)
        return interop_wrong("the trailer did not come back");
    return NULL;
}

static sennit_err custom_metadata(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    (void)in;
    const sennit_md *header = NULL, *trailer = NULL;
    sennit_md *md = sennit_md_make(ctx);
    sennit_err err =
        sennit_md_add(md, "x-grpc-test-echo-initial", sennit_s("test_initial_metadata_value"));
    if (!err)
        err = sennit_md_add(md, "x-grpc-test-echo-trailing-bin", sennit_s("\xab\xab\xab"));
    sennit_call_options o = { .metadata = md, .header = &header, .trailer = &trailer };
    if (!err)
        err = interop_large(c, ctx, &o, 1, 1);
    if (!err)
        err = check_echo(header, trailer);
    if (err)
        return err;
    header = trailer = NULL;
    gt_TestService_FullDuplexCallClient s = gt_TestService_FullDuplexCall_with(c, ctx, &o);
    err = ping(s, ctx, 1, 1);
    if (!err)
        err = duplex_end(s);
    return err ? err : check_echo(header, trailer);
}

/* The status is echoed by a unary call, and by a stream if duplex. */
static sennit_err echoed_status(gt_TestServiceClient c, sennit_ctx *ctx, const char *text,
                                bool duplex)
{
    gt_EchoStatus status = { .code = SENNIT_UNKNOWN, .message = sennit_s(text) };
    gt_SimpleResponse reply;
    sennit_err err = interop_expect(
        gt_TestService_UnaryCall(c, ctx, &(gt_SimpleRequest){ .response_status = &status }, &reply),
        SENNIT_UNKNOWN, text);
    if (err || !duplex)
        return err;
    gt_TestService_FullDuplexCallClient s = gt_TestService_FullDuplexCall(c, ctx);
    gt_StreamingOutputCallRequest q = { .response_status = &status };
    err = gt_TestService_FullDuplexCallClient_send(s, &q);
    gt_TestService_FullDuplexCallClient_close_send(s);
    return err ? err
               : interop_expect(gt_TestService_FullDuplexCallClient_finish(s), SENNIT_UNKNOWN,
                                text);
}

static sennit_err status_code(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    (void)in;
    return echoed_status(c, ctx, "test status message", true);
}

static sennit_err special_status(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    (void)in;
    return echoed_status(c, ctx,
                         "\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP "
                         "\xf0\x9f\x98\x88\t\n",
                         false);
}

static sennit_err unimplemented_method(const struct interop *in, gt_TestServiceClient c,
                                       sennit_ctx *ctx)
{
    (void)in;
    gt_Empty empty = { .unknown_fields = { NULL, 0 } }, reply;
    return interop_expect(gt_TestService_UnimplementedCall(c, ctx, &empty, &reply),
                          SENNIT_UNIMPLEMENTED, NULL);
}

static sennit_err unimplemented_service(const struct interop *in, gt_TestServiceClient c,
                                        sennit_ctx *ctx)
{
    (void)in;
    gt_UnimplementedServiceClient other = { c.conn };
    gt_Empty empty = { .unknown_fields = { NULL, 0 } }, reply;
    return interop_expect(gt_UnimplementedService_UnimplementedCall(other, ctx, &empty, &reply),
                          SENNIT_UNIMPLEMENTED, NULL);
}

static sennit_err cancel_after_begin(const struct interop *in, gt_TestServiceClient c,
                                     sennit_ctx *ctx)
{
    (void)in;
    sennit_auto(sennit_ctx) *own = sennit_ctx_new(ctx);
    gt_TestService_StreamingInputCallClient s = gt_TestService_StreamingInputCall(c, own);
    gt_StreamingInputCallResponse reply;
    sennit_ctx_cancel(own);
    return interop_expect(gt_TestService_StreamingInputCallClient_finish(s, &reply),
                          SENNIT_CANCELLED, NULL);
}

static sennit_err cancel_after_first(const struct interop *in, gt_TestServiceClient c,
                                     sennit_ctx *ctx)
{
    (void)in;
    sennit_auto(sennit_ctx) *own = sennit_ctx_new(ctx);
    gt_TestService_FullDuplexCallClient s = gt_TestService_FullDuplexCall(c, own);
    sennit_err err = ping(s, own, 27182, 31415);
    sennit_ctx_cancel(own);
    return err ? err
               : interop_expect(gt_TestService_FullDuplexCallClient_finish(s), SENNIT_CANCELLED,
                                NULL);
}

static sennit_err timeout_on_sleeping(const struct interop *in, gt_TestServiceClient c,
                                      sennit_ctx *ctx)
{
    (void)in;
    sennit_auto(sennit_ctx) *own = sennit_ctx_timeout(ctx, SENNIT_MILLISECOND);
    gt_TestService_FullDuplexCallClient s = gt_TestService_FullDuplexCall(c, own);
    gt_StreamingOutputCallRequest q = { .payload = interop_zeros(own, 27182) };
    gt_TestService_FullDuplexCallClient_send(s, &q); /* may find the stream ended */
    while (gt_TestService_FullDuplexCallClient_recv(s)) {
    }
    return interop_expect(gt_TestService_FullDuplexCallClient_finish(s), SENNIT_DEADLINE_EXCEEDED,
                          NULL);
}

const struct interop_case interop_cases[] = {
    { "empty_unary", empty_unary },
    { "large_unary", large_unary },
    { "client_streaming", client_streaming },
    { "server_streaming", server_streaming },
    { "ping_pong", ping_pong },
    { "ping_pong_by_lines", ping_pong_by_lines },
    { "empty_stream", empty_stream },
    { "custom_metadata", custom_metadata },
    { "status_code_and_message", status_code },
    { "special_status_message", special_status },
    { "unimplemented_method", unimplemented_method },
    { "unimplemented_service", unimplemented_service },
    { "cancel_after_begin", cancel_after_begin },
    { "cancel_after_first_response", cancel_after_first },
    { "timeout_on_sleeping_server", timeout_on_sleeping },
    { NULL, NULL },
};
