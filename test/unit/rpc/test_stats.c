/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_stats.c: the events of RPCs and connections, on both sides. */
#include "talk.h"

/* What one side's hook heard: a letter each, of RPCs and of connections apart. */
struct heard {
    sennit_mutex mu;
    bool client;
    char rpc[64], conn[16];
    char end[128];             /* how the connection ended */
    int tags, metadata, peers; /* that were right */
    sennit_wait_group ended;   /* connections */
};
static const char letters[] = "?boiehHtTcC"; /* BEGIN, OUT_MESSAGE, IN_MESSAGE, END, ... */

static void hear_connection(struct heard *h, const sennit_event *e)
{
    check(!e->method && e->peer && e->peer->address[0]);
    size_t n = strlen(h->conn);
    h->conn[n] = letters[e->kind];
    if (e->kind != SENNIT_EVENT_CONN_END)
        return;
    snprintf(h->end, sizeof h->end, "%s %s", sennit_err_reason(e->status), e->status->message);
    sennit_wait_group_done(&h->ended);
}

static void hear_rpc(struct heard *h, const sennit_event *e)
{
    size_t n = strlen(h->rpc);
    check(n + 1 < sizeof h->rpc);
    h->rpc[n] = letters[e->kind];
    check(e->tag && e->begin > 0);
    if (e->kind == SENNIT_EVENT_BEGIN)
        *e->tag = h;
    h->tags += *e->tag == h;
    bool header = e->kind == SENNIT_EVENT_OUT_HEADER || e->kind == SENNIT_EVENT_IN_HEADER;
    h->peers += header && e->peer && strcmp(e->peer->auth_type, ECHO_AUTH) == 0;
    const sennit_str *x = sennit_md_get(e->metadata, "x", 0);
    h->metadata += x && strcmp(x->data, header ? "head" : "tail") == 0;
}

static void hear(void *self, sennit_ctx *ctx, const sennit_event *e)
{
    struct heard *h = self;
    check_int(e->client, h->client);
    check(sennit_goroutine_id() != 0 || test_under_fault());
    sennit_mutex_lock(&h->mu, NULL);
    if (e->kind >= SENNIT_EVENT_CONN_BEGIN)
        hear_connection(h, e);
    else
        hear_rpc(h, e);
    check(!ctx == (e->kind >= SENNIT_EVENT_CONN_BEGIN));
    sennit_mutex_unlock(&h->mu);
}

static sennit_err with_metadata(sennit_ctx *ctx)
{
    sennit_err err = sennit_set_header(ctx, "x", sennit_s("head"));
    return err ? err : sennit_set_trailer(ctx, "x", sennit_s("tail"));
}

static sennit_err answer_unary(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                               struct echo_msg *r)
{
    (void)self;
    r->number = q->number;
    sennit_err err = with_metadata(ctx);
    return err || q->number >= 0 ? err : sennit_errorf(SENNIT_ABORTED, "as asked");
}

static sennit_err answer_chat(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    sennit_err err = with_metadata(ctx);
    return err ? err : echo_chat(self, ctx, s);
}
static const struct echo_service service = { .unary = answer_unary, .chat = answer_chat };

struct pair {
    struct heard client, server;
    struct talk t;
};

static void pair_start(struct pair *p)
{
    static sennit_stats_hook client, server;
    *p = (struct pair){ .client.client = true };
    client = (sennit_stats_hook){ &p->client, hear };
    server = (sennit_stats_hook){ &p->server, hear };
    sennit_wait_group_add(&p->client.ended, 1);
    sennit_wait_group_add(&p->server.ended, 1);
    echo_start(&p->t.e, &service, NULL, (sennit_server_options){ .stats = &server });
    p->t.conn = sennit_dial(p->t.e.address,
                            &(sennit_conn_options){ .creds = echo_creds(), .stats = &client });
    p->t.ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
}

static void pair_stop(struct pair *p)
{
    sennit_ctx_free(p->t.ctx);
    sennit_conn_free(p->t.conn);
    check(!sennit_wait_group_wait(&p->client.ended, NULL));
    check(!sennit_wait_group_wait(&p->server.ended, NULL));
    check_str(p->client.conn, "cC");
    check_str(p->server.conn, "cC");
    check_str(p->client.end, "SENNIT-E214 grpc: the client connection is closing");
    check(strncmp(p->server.end, "SENNIT-E2", 9) == 0); /* EOF, or the client's GOAWAY */
    echo_stop(&p->t.e);
}

static sennit_call_options sends_metadata(sennit_ctx *ctx)
{
    sennit_md *md = sennit_md_make(ctx);
    check(!sennit_md_add(md, "x", sennit_s("head")));
    return (sennit_call_options){ .metadata = md };
}

TEST(a_unary_call_is_told_from_beginning_to_end_on_both_sides)
{
    struct pair p;
    struct echo_msg q = { .number = 1 }, reply;
    pair_start(&p);
    sennit_call_options o = sends_metadata(p.t.ctx);
    check_str(said(sennit_call(p.t.conn, p.t.ctx, &echo_methods[0], &q, &reply, &o, sizeof o)),
              "fine");
    pair_stop(&p);
    check_str(p.client.rpc, "bohHTie");
    check_str(p.server.rpc, "bHiohte");
    check_int(p.client.tags, 7);
    check_int(p.server.tags, 7);
    check_int(p.client.metadata, 3); /* header both ways, trailer */
    check_int(p.server.metadata, 3);
    check_int(p.client.peers, 2);
    check_int(p.server.peers, 2);
}

TEST(an_error_has_no_headers_of_its_own)
{
    struct pair p;
    struct echo_msg q = { .number = -1 }, reply;
    pair_start(&p);
    check_str(said(sennit_call(p.t.conn, p.t.ctx, &echo_methods[0], &q, &reply, NULL, 0)),
              "as asked");
    pair_stop(&p);
    check_str(p.client.rpc, "bohTe");
    check_str(p.server.rpc, "bHite");
}

TEST(a_stream_tells_of_each_message)
{
    struct pair p;
    pair_start(&p);
    sennit_call_options o = sends_metadata(p.t.ctx);
    sennit_stream *s = sennit_start(p.t.conn, p.t.ctx, &echo_methods[CHAT], NULL, &o, sizeof o);
    for (int i = 0; i < 2; i++) {
        check(!sennit_send(s, &(struct echo_msg){ .number = i }));
        check(sennit_recv(s));
    }
    check(!sennit_finish(s, NULL));
    pair_stop(&p);
    check_str(p.client.rpc, "bhoHioiTe");
    check_str(p.server.rpc, "bHiohiote");
    check_int(p.client.metadata, 3);
    check_int(p.server.metadata, 3);
}

TEST(a_call_that_never_left_has_a_beginning_and_an_end)
{
    struct heard h = { .client = true };
    sennit_stats_hook hook = { &h, hear };
    sennit_conn *c = sennit_dial("ipv4:127.0.0.1:1",
                                 &(sennit_conn_options){ .creds = echo_creds(), .stats = &hook });
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
    struct echo_msg reply;
    check_int(code_of(echo_call(c, ctx, "hello", &reply)), SENNIT_UNAVAILABLE);
    sennit_stream *s = sennit_start(c, ctx, &echo_methods[CHAT], NULL, NULL, 0);
    check_int(code_of(sennit_finish(s, NULL)), SENNIT_UNAVAILABLE);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    check_str(h.rpc, "bebe");
    check_str(h.conn, "");
}

TEST_FAULTS(events_end_with_the_rpc_whatever_fails)
{
    static sennit_stats_hook hook;
    static struct heard h;
    h = (struct heard){ .client = true };
    hook = (sennit_stats_hook){ &h, hear };
    sennit_wait_group_add(&h.ended, 100);
    sennit_conn *c = sennit_dial("ipv4:127.0.0.1:1",
                                 &(sennit_conn_options){ .creds = echo_creds(), .stats = &hook });
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
    struct echo_msg reply;
    check(echo_call(c, ctx, "hello", &reply));
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    size_t n = strlen(h.rpc);
    check(n == 0 || (h.rpc[0] == 'b' && h.rpc[n - 1] == 'e'));
}
