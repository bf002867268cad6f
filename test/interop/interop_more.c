/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * interop_more.c: the cases about compression, many calls at once, and the negative HTTP/2 cases,
 * in which the server misbehaves as grpc's http2-interop-test-descriptions has it. */
#include "interop_client.h"

/* -- compression ------------------------------------------------------------------------------ */

static sennit_err compressed_unary(gt_TestServiceClient c, sennit_ctx *ctx, bool expect,
                                   const char *compressor)
{
    gt_BoolValue flag = { .value = expect };
    gt_SimpleRequest q = { .expect_compressed = &flag,
                           .response_size = 314159,
                           .payload = interop_zeros(ctx, 271828) };
    gt_SimpleResponse reply;
    sennit_err err = gt_TestService_UnaryCall_with(
        c, ctx, &(sennit_call_options){ .compressor = compressor }, &q, &reply);
    if (!err && reply.payload->body.len != 314159)
        err = interop_wrong("a payload of %zu octets", reply.payload->body.len);
    return err;
}

static sennit_err client_compressed_unary(const struct interop *in, gt_TestServiceClient c,
                                          sennit_ctx *ctx)
{
    (void)in;
    sennit_err err = interop_expect(compressed_unary(c, ctx, true, "identity"),
                                    SENNIT_INVALID_ARGUMENT, NULL); /* the probe */
    if (!err)
        err = compressed_unary(c, ctx, true, "gzip");
    return err ? err : compressed_unary(c, ctx, false, "identity");
}

static sennit_err server_compressed_unary(const struct interop *in, gt_TestServiceClient c,
                                          sennit_ctx *ctx)
{
    (void)in;
    for (int i = 1; i >= 0; i--) {
        gt_BoolValue flag = { .value = i };
        gt_SimpleRequest q = { .response_compressed = &flag,
                               .response_size = 314159,
                               .payload = interop_zeros(ctx, 271828) };
        gt_SimpleResponse reply;
        sennit_err err = gt_TestService_UnaryCall(c, ctx, &q, &reply);
        if (err)
            return err;
        if (compressed_seen(ctx) != flag.value || reply.payload->body.len != 314159)
            return interop_wrong("the response was %scompressed, of %zu octets",
                                 compressed_seen(ctx) ? "" : "not ", reply.payload->body.len);
    }
    return NULL;
}

static sennit_err send_input(gt_TestService_StreamingInputCallClient s, sennit_ctx *ctx,
                             bool expect, bool compress, int32_t n)
{
    gt_BoolValue flag = { .value = expect };
    gt_StreamingInputCallRequest m = { .expect_compressed = &flag,
                                       .payload = interop_zeros(ctx, n) };
    sennit_stream_compress(s.s, compress);
    return gt_TestService_StreamingInputCallClient_send(s, &m);
}

static sennit_err client_compressed_streaming(const struct interop *in, gt_TestServiceClient c,
                                              sennit_ctx *ctx)
{
    (void)in;
    gt_StreamingInputCallResponse reply;
    sennit_call_options o = { .compressor = "gzip" };
    gt_TestService_StreamingInputCallClient probe =
        gt_TestService_StreamingInputCall_with(c, ctx, &o);
    send_input(probe, ctx, true, false, 27182);
    sennit_err err = interop_expect(gt_TestService_StreamingInputCallClient_finish(probe, &reply),
                                    SENNIT_INVALID_ARGUMENT, NULL);
    if (err)
        return err;
    gt_TestService_StreamingInputCallClient s = gt_TestService_StreamingInputCall_with(c, ctx, &o);
    send_input(s, ctx, true, true, 27182);
    send_input(s, ctx, false, false, 45904);
    err = gt_TestService_StreamingInputCallClient_finish(s, &reply);
    if (!err && reply.aggregated_payload_size != 73086)
        err = interop_wrong("sum %d instead of 73086", reply.aggregated_payload_size);
    return err;
}

static sennit_err server_compressed_streaming(const struct interop *in, gt_TestServiceClient c,
                                              sennit_ctx *ctx)
{
    (void)in;
    static const gt_BoolValue yes = { .value = true }, no = { .value = false };
    const gt_ResponseParameters p[] = { { .size = 31415, .compressed = &yes },
                                        { .size = 92653, .compressed = &no } };
    gt_StreamingOutputCallRequest q = { .response_parameters = { p, 2 } };
    gt_TestService_StreamingOutputCallClient s = gt_TestService_StreamingOutputCall(c, ctx, &q);
    const gt_StreamingOutputCallResponse *m;
    int n = 0;
    while (n < 2 && (m = gt_TestService_StreamingOutputCallClient_recv(s))) {
        if (compressed_seen(ctx) != p[n].compressed->value ||
            m->payload->body.len != (size_t)p[n].size)
            return interop_wrong("response %d was %scompressed, of %zu octets", n,
                                 compressed_seen(ctx) ? "" : "not ", m->payload->body.len);
        n++;
    }
    sennit_err err = gt_TestService_StreamingOutputCallClient_finish(s);
    return err ? err : n == 2 ? NULL : interop_wrong("%d responses", n);
}

/* -- many ------------------------------------------------------------------------------------- */

struct unary {
    gt_TestServiceClient c;
    sennit_ctx *ctx;
};

static sennit_err unary_run(void *arg)
{
    struct unary *u = arg;
    sennit_auto(sennit_ctx) *own = sennit_ctx_new(u->ctx);
    return interop_large(u->c, own, NULL, 271828, 314159);
}

static sennit_err many_unary(gt_TestServiceClient c, sennit_ctx *ctx, int n)
{
    struct unary u = { c, ctx };
    sennit_auto(sennit_group) *group = sennit_group_new(ctx);
    u.ctx = sennit_group_ctx(group);
    for (int i = 0; i < n; i++)
        sennit_group_go(group, unary_run, &u);
    return sennit_group_wait(group);
}

static sennit_err concurrent_large(const struct interop *in, gt_TestServiceClient c,
                                   sennit_ctx *ctx)
{
    (void)in;
    return many_unary(c, ctx, 1000);
}

static long number(const char *text) { return strtol(text, NULL, 0); }

struct soak_run {
    const struct interop *in;
    gt_TestServiceClient c;
    sennit_ctx *ctx;
    bool fresh; /* a channel of its own for each call */
    int iterations;
    _Atomic int done, failed;
};

static sennit_err soak_call(const struct soak_run *r, sennit_ctx *ctx)
{
    const struct soak *o = &r->in->soak;
    sennit_auto(sennit_conn) *own = r->fresh ? interop_dial(r->in) : NULL;
    gt_TestServiceClient c = own ? (gt_TestServiceClient){ own } : r->c;
    int64_t start = sennit_now(), most = number(o->latency_ms) * SENNIT_MILLISECOND;
    sennit_err err = interop_large(c, ctx, NULL, (int32_t)number(o->request_size),
                                   (int32_t)number(o->response_size));
    if (!err && sennit_now() - start > most)
        err = interop_wrong("the call took %lld ms",
                            (long long)((sennit_now() - start) / SENNIT_MILLISECOND));
    return err;
}

static sennit_err soak_thread(void *arg)
{
    struct soak_run *r = arg;
    int64_t pause = number(r->in->soak.pause_ms) * SENNIT_MILLISECOND;
    for (int i = 0; i < r->iterations; i++) {
        sennit_auto(sennit_ctx) *ctx = sennit_ctx_new(r->ctx);
        if (sennit_ctx_error(ctx))
            return NULL; /* the overall timeout: what is missing shows in done */
        int64_t start = sennit_now();
        sennit_err err = soak_call(r, ctx);
        if (err)
            log_line("soak iteration %d failed: %s", i, sennit_err_text(err));
        r->failed += err != NULL;
        r->done++;
        if (start + pause > sennit_now())
            sennit_sleep(ctx, start + pause - sennit_now());
    }
    return NULL;
}

static sennit_err soak(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx,
                       bool fresh)
{
    int threads = (int)number(in->soak.threads), iterations = (int)number(in->soak.iterations);
    sennit_auto(sennit_ctx) *own =
        sennit_ctx_timeout(ctx, number(in->soak.overall_seconds) * SENNIT_SECOND);
    if (threads < 1 || iterations % threads)
        return interop_wrong("soak_iterations must be a multiple of soak_num_threads");
    struct soak_run r = { in, c, own, fresh, iterations / threads, 0, 0 };
    sennit_auto(sennit_group) *group = sennit_group_new(NULL);
    for (int i = 0; i < threads; i++)
        sennit_group_go(group, soak_thread, &r);
    sennit_err err = sennit_group_wait(group);
    log_line("soak test: %d of %d iterations, %d failures", r.done, iterations, r.failed);
    if (!err && (r.done < iterations || r.failed > number(in->soak.max_failures)))
        err = interop_wrong("too few iterations, or too many failures");
    return err;
}

static sennit_err rpc_soak(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    return soak(in, c, ctx, false);
}

static sennit_err channel_soak(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    return soak(in, c, ctx, true);
}

const struct interop_case interop_more[] = {
    { "client_compressed_unary", client_compressed_unary },
    { "server_compressed_unary", server_compressed_unary },
    { "client_compressed_streaming", client_compressed_streaming },
    { "server_compressed_streaming", server_compressed_streaming },
    { "concurrent_large_unary", concurrent_large },
    { "rpc_soak", rpc_soak },
    { "channel_soak", channel_soak },
    { NULL, NULL },
};

/* -- negative HTTP/2 -------------------------------------------------------------------------- */

static sennit_err succeeds(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    (void)in;
    return interop_large(c, ctx, NULL, 271828, 314159);
}

/* Two calls; the first one's connection goes away behind it. */
static sennit_err goaway(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    sennit_err err = succeeds(in, c, ctx);
    if (!err)
        err = sennit_sleep(ctx, SENNIT_SECOND);
    return err ? err : succeeds(in, c, ctx);
}

static sennit_err fails(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    return interop_expect(succeeds(in, c, ctx), SENNIT_INTERNAL, NULL);
}

/* The limit of one stream comes after the connection: ten calls then take turns. */
static sennit_err max_streams(const struct interop *in, gt_TestServiceClient c, sennit_ctx *ctx)
{
    sennit_err err = succeeds(in, c, ctx);
    if (!err)
        err = sennit_sleep(ctx, SENNIT_SECOND);
    return err ? err : many_unary(c, ctx, 10);
}

const struct interop_case interop_negative[] = {
    { "goaway", goaway },
    { "rst_after_header", fails },
    { "rst_during_data", fails },
    { "rst_after_data", fails },
    { "ping", succeeds },
    { "max_streams", max_streams },
    { "data_frame_padding", succeeds },
    { "no_df_padding_sanity_test", succeeds },
    { NULL, NULL },
};
