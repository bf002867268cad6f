/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * stream_pair: one end of bidirectional streams on which both ends send and receive at once, each
 * half in its own goroutine; the messages follow from their number, and what comes is checked. With
 * -size all messages have that many octets, and a unary call of one comes first. With -unread
 * another stream, whose client never receives, stands beside them. The twin of streams/main.go. */
#include "echo.sennit.h"
#include "flags.h"
#include "stop.h"

#define MOST 70000

/* As the command line says; written before the first goroutine. */
static struct {
    uint32_t messages, streams;
    size_t size; /* of each message; 0: as the pattern says */
    bool unread;
    sennit_duration keepalive, timeout;
} all;

struct half {
    sennit_stream *s;
    uint32_t seed;
    bool client;
};

static uint32_t pattern_next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static size_t pattern_size(uint32_t *seed) /* log-uniform, 0 to 70,000 */
{
    if (all.size)
        return all.size;
    uint32_t bits = pattern_next(seed) % 17;
    uint32_t n = bits ? (1u << bits) - 1 : 0;
    return n ? (size_t)(pattern_next(seed) % n) * MOST / 65535 : 0;
}

static void pattern_fill(char *p, size_t n, uint32_t i)
{
    for (size_t k = 0; k < n; k++)
        p[k] = (char)('a' + (i * 31 + k * 7) % 26);
}

static sennit_err send_all(void *arg)
{
    struct half *h = arg;
    char *text = malloc(MOST + all.size);
    sennit_err err = NULL;

    for (uint32_t i = 0; i < all.messages && !err; i++) {
        size_t n = pattern_size(&h->seed);
        pattern_fill(text, n, i);
        /* A request and a response of Echo are the same on the wire and in memory. */
        err = sennit_send(h->s, &(echo_EchoRequest){ .message = { text, n } });
    }
    free(text);
    if (h->client)
        sennit_close_send(h->s);
    return err;
}

static sennit_err receive_all(void *arg)
{
    struct half *h = arg;
    char *text = malloc(MOST + all.size);
    sennit_err err = NULL;

    for (uint32_t i = 0; i < all.messages && !err; i++) {
        const echo_EchoRequest *m = sennit_recv(h->s);
        size_t n = pattern_size(&h->seed);
        pattern_fill(text, n, i);
        if (!m)
            err = sennit_stream_error(h->s);
        if (!m && !err)
            err = sennit_errorf(SENNIT_DATA_LOSS, "the stream ended before message %u", i);
        if (m && (m->message.len != n || memcmp(m->message.data, text, n) != 0))
            err = sennit_errorf(SENNIT_DATA_LOSS, "message %u is wrong", i);
    }
    free(text);
    if (!err && sennit_recv(h->s))
        err = sennit_errorf(SENNIT_DATA_LOSS, "more messages than were due");
    return err ? err : sennit_stream_error(h->s);
}

static sennit_err both(sennit_ctx *ctx, sennit_stream *s, bool client)
{
    struct half out = { s, client ? 1 : 2, client }, in = { s, client ? 2 : 1, client };
    sennit_auto(sennit_group) *group = sennit_group_new(ctx);

    sennit_group_go(group, send_all, &out);
    sennit_group_go(group, receive_all, &in);
    return sennit_group_wait(group);
}

/* -- server ----------------------------------------------------------------------------------- */

static sennit_err chat(void *self, sennit_ctx *ctx, echo_Echo_BidirectionalStreamingEchoServer s)
{
    (void)self;
    log_line("stream begins");
    sennit_err err = both(ctx, s.s, false);
    log_line("stream ends: %s", err ? sennit_err_text(err) : "fine");
    return err;
}

static sennit_err echo(void *self, sennit_ctx *ctx, const echo_EchoRequest *q, echo_EchoResponse *r)
{
    (void)self, (void)ctx;
    r->message = q->message;
    return NULL;
}

static const echo_EchoService service = { .UnaryEcho = echo, .BidirectionalStreamingEcho = chat };

static void serve(const char *port)
{
    char address[32];
    snprintf(address, sizeof address, "localhost:%s", port);
    sennit_auto(sennit_server) *server = sennit_server_new(
        &(sennit_server_options){ .creds = sennit_insecure(),
                                  .max_concurrent_streams = all.streams + 1,
                                  .max_recv_msg_size = all.size ? all.size + 64 : 0,
                                  .keepalive_time = all.keepalive,
                                  .keepalive_timeout = all.timeout });
    sennit_listen(server, address);
    echo_Echo_register(server, &service, NULL);
    sennit_go(stop_on_signal, server);
    log_line("server listening at %s", sennit_bound_address(server, 0));
    sennit_err err = sennit_serve(server);
    if (err)
        log_fatal("failed to serve: %s", err->message);
}

/* -- client ----------------------------------------------------------------------------------- */

struct talk {
    echo_EchoClient client;
    sennit_ctx *ctx;
};

static sennit_err one_stream(void *arg)
{
    struct talk *t = arg;
    sennit_stream *s = echo_Echo_BidirectionalStreamingEcho(t->client, t->ctx).s;
    sennit_err err = both(t->ctx, s, true);
    return err ? err : sennit_finish(s, NULL);
}

static sennit_err one_call(struct talk *t)
{
    echo_EchoResponse reply;
    char *text = malloc(all.size);

    pattern_fill(text, all.size, 77);
    sennit_err err = echo_Echo_UnaryEcho(
        t->client, t->ctx, &(echo_EchoRequest){ .message = { text, all.size } }, &reply);
    if (!err && (reply.message.len != all.size || memcmp(reply.message.data, text, all.size) != 0))
        err = sennit_errorf(SENNIT_DATA_LOSS, "the reply is wrong");
    free(text);
    return err;
}

/* The server fills this stream's window and waits there until the others are done. */
static sennit_err beside_unread(struct talk *t, sennit_group *group)
{
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_new(t->ctx);
    if (all.unread)
        echo_Echo_BidirectionalStreamingEcho(t->client, ctx);
    for (uint32_t i = 0; i < all.streams; i++)
        sennit_group_go(group, one_stream, t);
    return sennit_group_wait(group);
}

static void ask(const char *addr)
{
    sennit_auto(sennit_conn) *conn =
        sennit_dial(addr, &(sennit_conn_options){ .creds = sennit_insecure(),
                                                  .max_recv_msg_size = all.size ? all.size + 64 : 0,
                                                  .keepalive_time = all.keepalive,
                                                  .keepalive_timeout = all.timeout });
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 1000 * SENNIT_SECOND);
    struct talk t = { { conn }, ctx };
    sennit_auto(sennit_group) *group = sennit_group_new(ctx);
    sennit_err err = all.size ? one_call(&t) : NULL;
    if (!err)
        err = beside_unread(&t, group);
    if (err)
        log_fatal("%s", sennit_err_text(err));
    printf("%u messages each way, all right\n", all.messages * all.streams);
}

int main(int argc, char **argv)
{
    const char *addr = "", *port = "0", *messages = "20000", *streams = "1", *size = "0";
    const char *unread = "false", *keepalive = "0";
    flags_parse(
        argc, argv,
        (struct flag[]){ { "addr", &addr, "the address to connect to", FLAG_STRING },
                         { "port", &port, "the port to serve on", FLAG_INT },
                         { "messages", &messages, "on each stream, each way", FLAG_INT },
                         { "streams", &streams, "at once", FLAG_INT },
                         { "size", &size, "of each message; 0: they differ", FLAG_INT },
                         { "unread", &unread, "one more stream that is never read", FLAG_BOOL },
                         { "keepalive-ms", &keepalive, "between pings; 0: as usual", FLAG_INT },
                         { 0 } });
    all.messages = (uint32_t)strtoul(messages, NULL, 10);
    all.streams = (uint32_t)strtoul(streams, NULL, 10);
    all.size = strtoul(size, NULL, 10);
    all.unread = flag_is_true(unread);
    all.keepalive = strtol(keepalive, NULL, 10) * SENNIT_MILLISECOND;
    all.timeout = all.keepalive ? 3 * SENNIT_SECOND : 0;
    if (*addr)
        ask(addr);
    else
        serve(port);
    return 0;
}
