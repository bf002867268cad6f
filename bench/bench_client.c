/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * The client half: conns x streams goroutines. unary: each in a loop of calls on one context that
 * it resets. stream: each keeps `window` messages in flight on a stream of its own. idle: each
 * opens a stream, has one echo on it and ends; the streams stay open until stdin ends. open:
 * bench_open.c; mix: bench_mix.c. One clock reading a call serves both as its end and as the next
 * one's start. With many streams only each 16th call is sampled, so that the shared counters do not
 * show in the result. */
#include "bench_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Why recv gave nothing. */
static sennit_err ended_early(bench_Bench_StreamClient s)
{
    sennit_err err = bench_Bench_StreamClient_finish(s);
    return err ? err : sennit_errorf(SENNIT_DATA_LOSS, "the stream ended early");
}

static sennit_err stream_loop(struct load *load, bench_Bench_StreamClient s)
{
    int64_t messages = 0, now = sennit_now();
    sennit_err err = NULL;

    do {
        int64_t start = now;
        const bench_Msg *reply = bench_Bench_StreamClient_recv(s);
        err = reply ? load_check(&load->message, reply) : ended_early(s);
        now = sennit_now();
        if (load->args->window == 1 && (++messages & load->sample_mask) == 0)
            load_count(load, now - start);
        else if (load->args->window != 1)
            messages++;
        if (!err && now < load->end)
            err = bench_Bench_StreamClient_send(s, &load->message);
    } while (!err && now < load->end);
    bench_Bench_StreamClient_close_send(s);
    while (!err && bench_Bench_StreamClient_recv(s))
        messages++;
    atomic_fetch_add(&load->calls, messages);
    return err ? err : bench_Bench_StreamClient_finish(s);
}

static sennit_err one_flow(void *arg)
{
    struct stream *one = arg;
    struct load *load = one->load;
    bool idle = strcmp(load->args->mode, "idle") == 0;
    bench_Bench_StreamClient s = bench_Bench_Stream(one->client, load->ctx);
    sennit_err err = NULL;

    for (long i = 0; i < (idle ? 1 : load->args->window) && !err; i++)
        err = bench_Bench_StreamClient_send(s, &load->message);
    if (err || !idle)
        return err ? err : stream_loop(load, s);
    const bench_Msg *reply = bench_Bench_StreamClient_recv(s);
    atomic_fetch_add(&load->calls, 1);
    return reply ? load_check(&load->message, reply) : ended_early(s);
}

static sennit_err one_stream(void *arg)
{
    struct stream *s = arg;
    struct load *load = s->load;
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_new(NULL);
    int64_t calls = 0, start = sennit_now();
    sennit_err err = NULL;

    while (start < load->end && !err) {
        bench_Msg reply;
        err = bench_Bench_Unary(s->client, ctx, &load->message, &reply);
        if (!err)
            err = load_check(&load->message, &reply);
        sennit_ctx_reset(ctx, INT64_MAX);
        int64_t now = sennit_now();
        if ((++calls & load->sample_mask) == 0)
            load_count(load, now - start);
        start = now;
    }
    atomic_fetch_add(&load->calls, calls);
    return err;
}

static long rss_kb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f && fscanf(f, "%*s %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int64_t us_of(struct timeval before, struct timeval after)
{
    return (after.tv_sec - before.tv_sec) * INT64_C(1000000) + after.tv_usec - before.tv_usec;
}

/* Connects all, one call each, so that no connecting is measured. */
static sennit_err open_conns(const struct bench_args *a, const struct load *load,
                             sennit_conn **conns)
{
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND);
    sennit_err err = NULL;
    const sennit_creds *creds = bench_creds(a);
    char target[64];

    snprintf(target, sizeof target, "127.0.0.1:%s", a->port);
    for (long i = 0; i < a->conns && !err; i++) {
        bench_Msg reply;
        conns[i] = sennit_dial(target, &(sennit_conn_options){ .creds = creds, .no_proxy = true });
        err = bench_Bench_Unary((bench_BenchClient){ conns[i] }, ctx, &load->message, &reply);
    }
    sennit_creds_free((sennit_creds *)creds);
    return err;
}

static sennit_err run_streams(const struct bench_args *a, struct load *load, sennit_conn **conns,
                              struct stream *streams)
{
    sennit_auto(sennit_group) *group = sennit_group_new(NULL);
    sennit_fn one = strcmp(a->mode, "unary") == 0 ? one_stream
                    : strcmp(a->mode, "mix") == 0 ? load_mixed
                                                  : one_flow;

    for (long i = 0; i < a->conns * a->streams; i++) {
        streams[i] = (struct stream){ load, { conns[i % a->conns] } };
        if (strcmp(a->mode, "open") != 0)
            sennit_group_go(group, one, &streams[i]);
    }
    if (strcmp(a->mode, "open") == 0)
        return load_open_loop(load, streams, a->conns * a->streams);
    return sennit_group_wait(group);
}

static sennit_err measure(const struct bench_args *a, struct load *load, sennit_conn **conns,
                          struct stream *streams)
{
    struct rusage before, after;

    sennit_err err = open_conns(a, load, conns);
    if (err)
        return err;
    long rss0 = rss_kb();
    getrusage(RUSAGE_SELF, &before);
    int64_t start = sennit_now();
    load->end = start + (int64_t)(a->secs * 1e9);
    err = run_streams(a, load, conns, streams);
    if (err)
        return err;
    double secs = (double)(sennit_now() - start) / 1e9;
    getrusage(RUSAGE_SELF, &after);
    printf("{\"n\":%lld,\"secs\":%.6f,\"user_us\":%lld,\"sys_us\":%lld,\"rss0_kb\":%ld,"
           "\"rss1_kb\":%ld,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f}\n",
           (long long)load->calls, secs, (long long)us_of(before.ru_utime, after.ru_utime),
           (long long)us_of(before.ru_stime, after.ru_stime), rss0, rss_kb(),
           load_percentile(load, 500), load_percentile(load, 990), load_percentile(load, 999));
    fflush(stdout);
    while (strcmp(a->mode, "idle") == 0 && getchar() != EOF) {
    }
    return NULL;
}

int bench_client(const struct bench_args *a)
{
    struct load *load = calloc(1, sizeof *load);
    sennit_conn **conns = calloc((size_t)a->conns + 1, sizeof *conns);
    struct stream *streams = calloc((size_t)(a->conns * a->streams) + 1, sizeof *streams);
    char *payload = malloc((size_t)a->size + 1);
    sennit_err err = sennit_no_memory;

    if (load && conns && streams && payload) {
        memset(payload, 'x', (size_t)a->size);
        load->message.payload = (sennit_str){ payload, (size_t)a->size };
        load->sample_mask = a->conns * a->streams > 8 ? 15 : 0;
        load->args = a;
        load->ctx = sennit_ctx_new(NULL);
        err = measure(a, load, conns, streams);
        sennit_ctx_free(load->ctx);
    }
    if (err)
        fprintf(stderr, "bench: %s\n", sennit_err_text(err));
    for (long i = 0; conns && i < a->conns; i++)
        sennit_conn_free(conns[i]);
    free(load);
    free(conns);
    free(streams);
    free(payload);
    return err != NULL;
}
