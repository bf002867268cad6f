/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * The open loop: calls begin when they are due, at random distances about the mean, and wait for
 * nobody; what a call waits before it begins counts as latency. A closed loop would hold back its
 * own load whenever the server stands still, and so hide it. One goroutine paces, and yields rather
 * than sleeps: no timer is as fine. The callers take what is due from a channel. */
#include "bench_load.h"

struct open_loop {
    struct load *load;
    sennit_chan *due; /* of int64_t: when a call should have begun */
};

struct caller {
    struct open_loop *loop;
    struct stream *stream;
};

static sennit_err open_caller(void *arg)
{
    struct caller *me = arg;
    struct load *load = me->loop->load;
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_new(NULL);
    sennit_err err = NULL;
    int64_t due;

    while (!err && !sennit_chan_recv(me->loop->due, NULL, &due)) {
        bench_Msg reply;
        err = bench_Bench_Unary(me->stream->client, ctx, &load->message, &reply);
        if (!err)
            err = load_check(&load->message, &reply);
        load_count(load, sennit_now() - due);
        atomic_fetch_add_explicit(&load->calls, 1, memory_order_relaxed);
        sennit_ctx_reset(ctx, INT64_MAX);
    }
    return err;
}

static sennit_err open_pace(void *arg)
{
    struct open_loop *loop = arg;
    int64_t mean = 1000000000 / loop->load->args->rate, next = sennit_now();
    uint64_t random = 88172645463325252u;
    sennit_err err = NULL;

    while (!err && next < loop->load->end) {
        for (int64_t now = sennit_now(); !err && next <= now;) {
            err = sennit_chan_send(loop->due, NULL, &next);
            next += (int64_t)load_random(&random, (uint64_t)(2 * mean + 1));
        }
        sennit_yield();
    }
    sennit_chan_close(loop->due);
    return err;
}

sennit_err load_open_loop(struct load *load, struct stream *streams, long n)
{
    struct open_loop loop = { load, sennit_chan_new(sizeof(int64_t), 1u << 20) };
    struct caller *callers = sennit_alloc(sennit_ctx_arena(load->ctx), (size_t)n * sizeof *callers);
    if (!loop.due || !callers) {
        sennit_chan_free(loop.due);
        return sennit_no_memory;
    }
    sennit_group *group = sennit_group_new(NULL);
    for (long i = 0; i < n; i++) {
        callers[i] = (struct caller){ &loop, &streams[i] };
        sennit_group_go(group, open_caller, &callers[i]);
    }
    sennit_group_go(group, open_pace, &loop);
    sennit_err err = sennit_group_wait(group);
    sennit_group_free(group);
    sennit_chan_free(loop.due);
    return err;
}
