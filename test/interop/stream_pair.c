/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * stream_pair: one end of a bidirectional stream on which both ends send and receive at once, each
 * half in its own goroutine; the messages follow from their number, and what comes is checked. The
 * twin of streams/main.go. */
#include "echo.sennit.h"
#include "flags.h"
#include "stop.h"

#define MOST 70000

struct half {
    sennit_stream *s;
    uint32_t seed, n;
    bool client;
};

static uint32_t pattern_next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static size_t pattern_size(uint32_t *seed) /* log-uniform, 0 to 70,000 */
{
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
    char *text = malloc(MOST);
    sennit_err err = NULL;

    for (uint32_t i = 0; i < h->n && !err; i++) {
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
    char *text = malloc(MOST);
    sennit_err err = NULL;

    for (uint32_t i = 0; i < h->n && !err; i++) {
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

static sennit_err both(sennit_ctx *ctx, sennit_stream *s, uint32_t n, bool client)
{
    struct half out = { s, client ? 1 : 2, n, client }, in = { s, client ? 2 : 1, n, client };
    sennit_auto(sennit_group) *group = sennit_group_new(ctx);

    sennit_group_go(group, send_all, &out);
    sennit_group_go(group, receive_all, &in);
    return sennit_group_wait(group);
}

static sennit_err chat(void *self, sennit_ctx *ctx, echo_Echo_BidirectionalStreamingEchoServer s)
{
    return both(ctx, s.s, *(uint32_t *)self, false);
}

static const echo_EchoService service = { .BidirectionalStreamingEcho = chat };

static void serve(const char *port, uint32_t n)
{
    char address[32];
    snprintf(address, sizeof address, "localhost:%s", port);
    sennit_auto(sennit_server) *server =
        sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
    sennit_listen(server, address);
    echo_Echo_register(server, &service, &n);
    sennit_go(stop_on_signal, server);
    log_line("server listening at %s", sennit_bound_address(server, 0));
    sennit_err err = sennit_serve(server);
    if (err)
        log_fatal("failed to serve: %s", err->message);
}

int main(int argc, char **argv)
{
    const char *addr = "", *port = "0", *messages = "20000";
    flags_parse(argc, argv,
                (struct flag[]){ { "addr", &addr, "the address to connect to", FLAG_STRING },
                                 { "port", &port, "the port to serve on", FLAG_INT },
                                 { "messages", &messages, "each way", FLAG_INT },
                                 { 0 } });
    uint32_t n = (uint32_t)strtoul(messages, NULL, 10);
    if (!*addr) {
        serve(port, n);
        return 0;
    }
    sennit_auto(sennit_conn) *conn =
        sennit_dial(addr, &(sennit_conn_options){ .creds = sennit_insecure() });
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 100 * SENNIT_SECOND);
    echo_EchoClient client = { conn };
    echo_Echo_BidirectionalStreamingEchoClient s =
        echo_Echo_BidirectionalStreamingEcho(client, ctx);
    sennit_err err = both(ctx, s.s, n, true);
    if (!err)
        err = sennit_finish(s.s, NULL);
    if (err)
        log_fatal("%s", sennit_err_text(err));
    printf("%u messages each way, all right\n", n);
    return 0;
}
