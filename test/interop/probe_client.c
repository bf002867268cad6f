/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * probe_client: what the tests against misbehaving servers drive. One plain-text connection to
 * 127.0.0.1 with default options; calls one after the other on /bench.Bench/Unary or
 * /bench.Bench/Stream, whose echo is checked octet by octet. A line for each call, as it ends:
 *     OK                     NAME: message (gRPC's spelling, CODE_n for others)
 *     BAD_ECHO: why          DATA_LOSS: why (messages are missing, or there are too many)
 * Exit status: 0 the last call was OK, 1 it was not, 64 usage, 77 this build lacks the option. The
 * main thread makes the calls; in stream mode a goroutine sends while another one receives. */
#include "bench.sennit.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 64, EXIT_NOT_OFFERED = 77 };
#define LAST_DEADLINE (5 * SENNIT_SECOND) /* of the last call of several */

struct probe {
    long port, calls, deadline_ms, size, messages, stall_ms, keepalive_ms, keepalive_timeout_ms;
    bool stream, wait_ready;
    sennit_conn *conn;
    char *octets; /* room for one payload */
};

struct verdict {
    const char *name; /* of a failure that is no status; NULL: err, or all is well */
    char why[160];
};

/* -- payloads --------------------------------------------------------------------------------- */

static sennit_str payload(char *octets, long size, long call, long message)
{
    for (long i = 0; i < size; i++)
        octets[i] = (char)((call * 31 + message * 7 + i) & 255);
    return (sennit_str){ octets, (size_t)size };
}

static bool check_echo(const struct probe *p, sennit_str got, long call, long message,
                       struct verdict *v)
{
    v->name = "BAD_ECHO";
    if (got.len != (size_t)p->size) {
        snprintf(v->why, sizeof v->why, "message %ld has %zu octets of %ld", message, got.len,
                 p->size);
        return false;
    }
    for (long i = 0; i < p->size; i++) {
        int wanted = (int)((call * 31 + message * 7 + i) & 255);
        if ((unsigned char)got.data[i] == wanted)
            continue;
        snprintf(v->why, sizeof v->why, "octet %ld of message %ld is %d, not %d", i, message,
                 (unsigned char)got.data[i], wanted);
        return false;
    }
    v->name = NULL;
    return true;
}

/* -- calls ------------------------------------------------------------------------------------ */

static sennit_err call_unary(struct probe *p, sennit_ctx *ctx, const sennit_call_options *o,
                             long call, struct verdict *v)
{
    bench_BenchClient client = { p->conn };
    bench_Msg request = { .payload = payload(p->octets, p->size, call, 0) }, reply;
    sennit_err err = bench_Bench_Unary_with(client, ctx, o, &request, &reply);
    if (!err)
        check_echo(p, reply.payload, call, 0, v);
    return err;
}

struct sending {
    struct probe *p;
    bench_Bench_StreamClient stream;
    long call;
};

/* What goes wrong here, the receiver is told as the status. */
static sennit_err send_all(void *arg)
{
    struct sending *s = arg;
    sennit_err err = NULL;
    for (long k = 0; k < s->p->messages && !err; k++)
        err = bench_Bench_StreamClient_send(
            s->stream, &(bench_Msg){ .payload = payload(s->p->octets, s->p->size, s->call, k) });
    bench_Bench_StreamClient_close_send(s->stream);
    return NULL;
}

static sennit_err receive_all(struct probe *p, sennit_ctx *ctx, bench_Bench_StreamClient stream,
                              long call, struct verdict *v)
{
    const bench_Msg *m;
    long k = 0;
    if (p->stall_ms)
        sennit_sleep(ctx, p->stall_ms * SENNIT_MILLISECOND);
    for (; (m = bench_Bench_StreamClient_recv(stream)); k++) {
        if (k < p->messages && !check_echo(p, m->payload, call, k, v)) {
            sennit_ctx_cancel(ctx);
            return NULL;
        }
    }
    sennit_err err = bench_Bench_StreamClient_finish(stream);
    if (!err && k != p->messages) {
        v->name = "DATA_LOSS";
        snprintf(v->why, sizeof v->why, "%ld messages came back of %ld", k, p->messages);
    }
    return err;
}

static sennit_err call_stream(struct probe *p, sennit_ctx *ctx, const sennit_call_options *o,
                              long call, struct verdict *v)
{
    bench_BenchClient client = { p->conn };
    struct sending s = { p, bench_Bench_Stream_with(client, ctx, o), call };
    sennit_auto(sennit_group) *group = sennit_group_new(NULL);
    sennit_err err = sennit_group_go(group, send_all, &s);
    if (err)
        return err;
    err = receive_all(p, ctx, s.stream, call, v);
    sennit_err sent = sennit_group_wait(group);
    return err ? err : sent;
}

/* -- what came of it -------------------------------------------------------------------------- */

static void print_line(const char *name, const char *text)
{
    printf("%s: ", name);
    for (; *text; text++)
        putchar((unsigned char)*text < 32 ? '?' : *text);
    putchar('\n');
}

static bool report(sennit_err err, const struct verdict *v)
{
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    char other[32];
    if (err && (unsigned)err->code < sizeof names / sizeof *names) {
        print_line(names[err->code], err->message);
    } else if (err) {
        snprintf(other, sizeof other, "CODE_%d", (int)err->code);
        print_line(other, err->message);
    } else if (v->name) {
        print_line(v->name, v->why);
    } else {
        puts("OK");
    }
    fflush(stdout);
    return !err && !v->name;
}

static bool probe_one(struct probe *p, long call)
{
    bool last = p->calls > 1 && call == p->calls - 1;
    sennit_call_options o = { .wait_for_ready = last || p->wait_ready };
    sennit_auto(sennit_ctx) *ctx =
        sennit_ctx_timeout(NULL, last ? LAST_DEADLINE : p->deadline_ms * SENNIT_MILLISECOND);
    struct verdict v = { 0 };
    sennit_err err =
        p->stream ? call_stream(p, ctx, &o, call, &v) : call_unary(p, ctx, &o, call, &v);
    return report(err, &v);
}

/* -- command line ----------------------------------------------------------------------------- */

static int usage(const char *what)
{
    fprintf(stderr,
            "probe_client: %s\n"
            "usage: probe_client --port P [--mode unary|stream] [--calls N] [--deadline-ms D]\n"
            "       [--size B] [--messages M] [--wait-ready] [--stall-ms S]\n"
            "       [--keepalive-ms K --keepalive-timeout-ms T]\n",
            what);
    return EXIT_USAGE;
}

static bool parse_number(const char *text, long least, long *to)
{
    char *end;
    if (!text || *text < '0' || *text > '9')
        return false;
    *to = strtol(text, &end, 10);
    return !*end && *to >= least && *to <= INT_MAX;
}

static const char *parse(struct probe *p, int argc, char **argv)
{
    const struct {
        const char *name;
        long *to, least;
    } numbers[] = {
        { "--port", &p->port, 1 },
        { "--calls", &p->calls, 1 },
        { "--deadline-ms", &p->deadline_ms, 1 },
        { "--size", &p->size, 0 },
        { "--messages", &p->messages, 0 },
        { "--stall-ms", &p->stall_ms, 0 },
        { "--keepalive-ms", &p->keepalive_ms, 1 },
        { "--keepalive-timeout-ms", &p->keepalive_timeout_ms, 1 },
    };
    for (int i = 1; i < argc; i++) {
        size_t k = 0, n = sizeof numbers / sizeof *numbers;
        while (k < n && strcmp(argv[i], numbers[k].name) != 0)
            k++;
        const char *value = argv[i + 1]; /* NULL at the end */
        if (k < n && parse_number(value, numbers[k].least, numbers[k].to))
            i++;
        else if (k < n)
            return "a number is wrong";
        else if (strcmp(argv[i], "--wait-ready") == 0)
            p->wait_ready = true;
        else if (strcmp(argv[i], "--mode") == 0 && value &&
                 (strcmp(value, "unary") == 0 || strcmp(value, "stream") == 0))
            p->stream = value[0] == 's', i++;
        else
            return "unknown argument";
    }
    return p->port == 0 || p->port > 65535 ? "--port is missing or too large" : NULL;
}

int main(int argc, char **argv)
{
    struct probe p = { .calls = 1, .deadline_ms = 2000, .size = 16, .messages = 1 };
    sennit_conn_options options = { .creds = sennit_insecure() };
    char target[32];
    const char *wrong = parse(&p, argc, argv);
    if (wrong)
        return usage(wrong);
#ifdef PROBE_KEEPALIVE
    options.keepalive_time = p.keepalive_ms * SENNIT_MILLISECOND;
    options.keepalive_timeout = p.keepalive_timeout_ms * SENNIT_MILLISECOND;
#else
    if (p.keepalive_ms || p.keepalive_timeout_ms)
        return EXIT_NOT_OFFERED;
#endif
    p.octets = malloc((size_t)p.size + 1);
    if (!p.octets)
        return usage("no memory for a payload of that size");
    snprintf(target, sizeof target, "127.0.0.1:%ld", p.port);
    p.conn = sennit_dial(target, &options);
    bool good = false;
    for (long call = 0; call < p.calls; call++)
        good = probe_one(&p, call);
    sennit_conn_free(p.conn);
    free(p.octets);
    return good ? 0 : 1;
}
