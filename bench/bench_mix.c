/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Mixed load, for endurance: each goroutine goes on with a unary call, a stream of some messages, a
 * call whose deadline may pass, or one that is cancelled meanwhile, as chance will have it. Every
 * outcome that is none of the expected ends the run. */
#include "bench_load.h"

struct mixer {
    struct stream *stream;
    sennit_ctx *ctx;
    uint64_t random;
    int64_t calls;
};

/* Of any size up to the run's. */
static bench_Msg mix_message(struct mixer *m)
{
    bench_Msg message = m->stream->load->message;
    message.payload.len = load_random(&m->random, message.payload.len + 1);
    return message;
}

static sennit_err mix_expect(sennit_err err, sennit_code also)
{
    return err && err->code == also ? NULL : err;
}

static sennit_err mix_unary(struct mixer *m, sennit_code also)
{
    bench_Msg message = mix_message(m), reply;
    sennit_err err = bench_Bench_Unary(m->stream->client, m->ctx, &message, &reply);
    return err ? mix_expect(err, also) : load_check(&message, &reply);
}

static sennit_err mix_stream(struct mixer *m)
{
    bench_Bench_StreamClient s = bench_Bench_Stream(m->stream->client, m->ctx);
    sennit_err err = NULL;
    for (uint64_t i = load_random(&m->random, 16); !err && i; i--) {
        bench_Msg message = mix_message(m);
        err = bench_Bench_StreamClient_send(s, &message);
        const bench_Msg *reply = err ? NULL : bench_Bench_StreamClient_recv(s);
        if (reply)
            err = load_check(&message, reply);
        else
            return bench_Bench_StreamClient_finish(s);
    }
    bench_Bench_StreamClient_close_send(s);
    sennit_err end = bench_Bench_StreamClient_finish(s);
    return err ? err : end;
}

/* The stream is left in its middle. */
static sennit_err mix_stream_cancelled(struct mixer *m)
{
    bench_Bench_StreamClient s = bench_Bench_Stream(m->stream->client, m->ctx);
    bench_Msg message = mix_message(m);
    for (uint64_t i = load_random(&m->random, 4); i; i--)
        if (bench_Bench_StreamClient_send(s, &message))
            break;
    sennit_ctx_cancel(m->ctx);
    return mix_expect(bench_Bench_StreamClient_finish(s), SENNIT_CANCELLED);
}

static void mix_cancel(void *ctx) { sennit_ctx_cancel(ctx); }

/* By another goroutine, before, while or after it goes. */
static sennit_err mix_unary_cancelled(struct mixer *m)
{
    if (sennit_go(mix_cancel, m->ctx))
        return sennit_no_memory;
    sennit_err err = mix_unary(m, SENNIT_CANCELLED);
    while (!sennit_ctx_error(m->ctx)) /* it needs the context until then */
        sennit_yield();
    return err;
}

static sennit_err mix_one(struct mixer *m)
{
    uint64_t kind = load_random(&m->random, 100);
    if (kind < 60)
        return mix_unary(m, SENNIT_OK);
    if (kind < 80)
        return mix_stream(m);
    if (kind < 85)
        return mix_stream_cancelled(m);
    if (kind < 90)
        return mix_unary_cancelled(m);
    sennit_ctx_reset(m->ctx, (sennit_duration)load_random(&m->random, 2 * SENNIT_MILLISECOND));
    return mix_unary(m, SENNIT_DEADLINE_EXCEEDED);
}

sennit_err load_mixed(void *arg)
{
    struct mixer m = { arg, sennit_ctx_new(NULL), 88172645463325252u ^ (uintptr_t)arg, 0 };
    struct load *load = m.stream->load;
    sennit_err err = NULL;

    for (int64_t now = sennit_now(), start; !err && (start = now) < load->end; m.calls++) {
        err = mix_one(&m);
        sennit_ctx_reset(m.ctx, INT64_MAX);
        now = sennit_now();
        if ((m.calls & load->sample_mask) == 0)
            load_count(load, now - start);
    }
    atomic_fetch_add(&load->calls, m.calls);
    sennit_ctx_free(m.ctx);
    return err;
}
