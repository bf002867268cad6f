/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_stream.c: streaming calls over TCP in one process: our client, our server. */
#include "talk.h"
#include <stdlib.h>

/* -- the four kinds -------------------------------------------------------------------------- */

static sennit_err count_up(void *self, sennit_ctx *ctx, const struct echo_msg *q, sennit_stream *s)
{
    (void)self;
    sennit_err err = NULL;
    for (int64_t i = 0; i < q->number && !err; i++)
        err = sennit_send(s, &(struct echo_msg){ .text = q->text, .number = i });
    check(!err || sennit_ctx_error(ctx) || test_under_fault());
    return err;
}

static sennit_err add_up(void *self, sennit_ctx *ctx, sennit_stream *s, struct echo_msg *r)
{
    const struct echo_msg *m;
    (void)self;
    int64_t n = 0;
    while ((m = sennit_recv(s))) {
        n++;
        r->number += m->number;
    }
    r->text = sennit_printf(ctx, "%d", (int)n);
    return sennit_stream_error(s);
}

static const struct echo_service streams = {
    .unary = echo_back, .list = count_up, .collect = add_up, .chat = echo_chat
};

TEST(server_streaming_hands_over_every_message_in_order)
{
    struct talk t;
    talk_start(&t, &streams, NULL, (sennit_server_options){ 0 });
    static const int counts[] = { 0, 1, 2, 1000 };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct echo_msg q = { .text = sennit_s("row"), .number = counts[i] };
        sennit_stream *s = talk_open(&t, LIST, &q);
        const struct echo_msg *m;
        int64_t n = 0;
        while ((m = sennit_recv(s))) {
            check_int(m->number, n);
            check_str(m->text.data, "row");
            n++;
        }
        check_int(n, counts[i]);
        check_str(said(sennit_stream_error(s)), "fine");
        check_str(said(sennit_finish(s, NULL)), "fine");
    }
    talk_stop(&t);
}

TEST(client_streaming_hands_over_every_message_and_takes_the_reply)
{
    struct talk t;
    talk_start(&t, &streams, NULL, (sennit_server_options){ 0 });
    static const int counts[] = { 0, 1, 500 };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct echo_msg reply;
        char want[16];
        sennit_stream *s = talk_open(&t, COLLECT, NULL);
        for (int64_t n = 0; n < counts[i]; n++)
            check_str(said(sennit_send(s, &(struct echo_msg){ .number = n })), "fine");
        check_str(said(sennit_finish(s, &reply)), "fine");
        snprintf(want, sizeof want, "%d", counts[i]);
        check_str(reply.text.data, want);
        check_int(reply.number, (int64_t)counts[i] * (counts[i] - 1) / 2);
    }
    talk_stop(&t);
}

TEST(both_sides_take_turns_on_one_stream)
{
    struct talk t;
    talk_start(&t, &streams, NULL, (sennit_server_options){ 0 });
    sennit_stream *s = talk_open(&t, CHAT, NULL);
    for (int64_t i = 0; i < 500; i++) {
        check_str(said(sennit_send(s, &(struct echo_msg){ .number = i })), "fine");
        const struct echo_msg *m = sennit_recv(s);
        check(m);
        check_int(m->number, i);
    }
    check_str(said(sennit_close_send(s)), "fine");
    check_str(said(sennit_close_send(s)), "fine");
    check(!sennit_recv(s));
    check_str(said(sennit_finish(s, NULL)), "fine");
    check_int(code_of(sennit_send(s, &(struct echo_msg){ 0 })), SENNIT_FAILED_PRECONDITION);
    talk_stop(&t);
}

/* Every step may fail; nothing may be left behind, nobody may hang. */
static void streams_of_each_kind(struct talk *t)
{
    struct echo_msg q = { .text = sennit_s("x"), .number = 2 }, reply;
    sennit_stream *s = talk_open(t, LIST, &q);
    while (sennit_recv(s)) {
    }
    sennit_err err = sennit_finish(s, NULL);
    check(!err || test_under_fault());
    s = talk_open(t, COLLECT, NULL);
    err = sennit_send(s, &q);
    check(!err || test_under_fault());
    err = sennit_finish(s, &reply);
    check(!err || test_under_fault());
    s = talk_open(t, CHAT, NULL);
    err = sennit_send(s, &q);
    check(!err || test_under_fault());
    sennit_close_send(s);
    check(sennit_recv(s) || test_under_fault());
    err = sennit_finish(s, NULL);
    check(!err || test_under_fault());
}

static void serve_until_stopped(void *arg)
{
    struct echo_server *e = arg;
    sennit_err err = sennit_serve(e->server);
    check(!err || test_under_fault());
    sennit_wait_group_done(&e->done);
}

TEST_FAULTS(one_short_stream_of_each_kind)
{
    struct talk t = { 0 };
    sennit_server_options o = { .creds = echo_creds() };
    t.e.server = sennit_server_new(&o);
    sennit_err err = sennit_register(t.e.server, &echo_service_desc, &streams, NULL);
    check(!err || test_under_fault());
    err = sennit_listen(t.e.server, "127.0.0.1:0");
    check(!err || test_under_fault());
    t.conn = echo_dial(sennit_bound_address(t.e.server, 0));
    t.ctx = sennit_ctx_timeout(NULL, (test_under_fault() ? 1 : 20) * SENNIT_SECOND);
    sennit_wait_group_add(&t.e.done, 1);
    bool served = !sennit_go(serve_until_stopped, &t.e);
    if (served)
        streams_of_each_kind(&t);
    else
        sennit_wait_group_done(&t.e.done);
    talk_stop(&t);
}

/* -- S4: one sends while another receives ----------------------------------------------------- */

/* A message whose length, place and octets follow from its number. */
struct pattern {
    uint32_t seed;
};
static uint32_t pattern_next(struct pattern *p)
{
    p->seed = p->seed * 1664525u + 1013904223u;
    return p->seed >> 8;
}
static size_t pattern_size(struct pattern *p) /* log-uniform, 0 to 70,000 */
{
    uint32_t bits = pattern_next(p) % 17;
    size_t n = bits ? (1u << bits) - 1 : 0;
    return n ? (pattern_next(p) % n) * 70000u / 65535u : 0;
}
static void pattern_fill(char *p, size_t n, uint32_t i)
{
    for (size_t k = 0; k < n; k++)
        p[k] = (char)('a' + (i * 31 + k * 7) % 26);
}

struct half {
    sennit_stream *s;
    uint32_t seed, n;
    bool client;
    sennit_err failed;
    sennit_wait_group *done;
};

static void send_half(void *arg)
{
    struct half *h = arg;
    struct pattern p = { h->seed };
    char *octets = malloc(70001);
    for (uint32_t i = 0; i < h->n; i++) {
        size_t n = pattern_size(&p);
        pattern_fill(octets, n, i);
        struct echo_msg m = { .text = { octets, n }, .number = i };
        check_str(said(sennit_send(h->s, &m)), "fine");
    }
    free(octets);
    if (h->client)
        check_str(said(sennit_close_send(h->s)), "fine");
    sennit_wait_group_done(h->done);
}

static void recv_half(void *arg)
{
    struct half *h = arg;
    struct pattern p = { h->seed };
    char *want = malloc(70001);
    for (uint32_t i = 0; i < h->n; i++) {
        size_t n = pattern_size(&p);
        const struct echo_msg *m = sennit_recv(h->s);
        if (!m)
            test_failed(__FILE__, __LINE__, "message %u: %s", i, said(sennit_stream_error(h->s)));
        pattern_fill(want, n, i);
        check_int(m->number, i);
        check_int(m->text.len, n);
        check(memcmp(m->text.data, want, n) == 0);
    }
    check(!sennit_recv(h->s));
    check_str(said(sennit_stream_error(h->s)), "fine");
    free(want);
    sennit_wait_group_done(h->done);
}

static void both_halves(sennit_stream *s, uint32_t n, bool client)
{
    sennit_wait_group done = { { 0 } };
    struct half out = { .s = s, .seed = client ? 1 : 2, .n = n, .client = client, .done = &done };
    struct half in = { .s = s, .seed = client ? 2 : 1, .n = n, .client = client, .done = &done };
    sennit_wait_group_add(&done, client ? 2 : 1);
    if (client) {
        check(!sennit_go(send_half, &out));
        check(!sennit_go(recv_half, &in));
        sennit_wait_group_wait(&done, NULL);
        return;
    }
    check(!sennit_go(recv_half, &in)); /* the server's stream ends when its handler returns */
    sennit_wait_group_add(&done, 1);
    send_half(&out);
    sennit_wait_group_wait(&done, NULL);
}

static sennit_err both_at_once(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    (void)ctx;
    both_halves(s, *(uint32_t *)self, false);
    return NULL;
}

TEST_WITH(one_goroutine_sends_while_another_receives_on_both_ends, 120, false)
{
    static const struct echo_service service = { .chat = both_at_once };
    const char *asked = getenv("SENNIT_STREAM_MESSAGES"); /* the soak asks for more */
    uint32_t n = asked              ? (uint32_t)strtoul(asked, NULL, 10)
                 : test_short_io()  ? 200
                 : test_sanitized() ? 2000
                                    : 20000;
    struct talk t;
    talk_start(&t, &service, &n, (sennit_server_options){ 0 });
    sennit_stream *s = talk_open(&t, CHAT, NULL);
    both_halves(s, n, true);
    check_str(said(sennit_finish(s, NULL)), "fine");
    talk_stop(&t);
}

/* -- back-pressure and large messages --------------------------------------------------------- */

static void cross(struct talk *t, const char *octets, size_t n)
{
    struct echo_msg message = { .text = { octets, n } }, reply;
    sennit_stream *s = sennit_start(t->conn, t->ctx, &echo_methods[CHAT], NULL, NULL, 0);
    for (int i = 0; i < 2; i++) {
        check_str(said(sennit_send(s, &message)), "fine");
        const struct echo_msg *m = sennit_recv(s);
        check(m);
        check_int(m->text.len, n);
        check(memcmp(m->text.data, octets, n) == 0);
    }
    check_str(said(sennit_finish(s, NULL)), "fine");
    check_str(said(sennit_call(t->conn, t->ctx, &echo_methods[0], &message, &reply, NULL, 0)),
              "fine");
    check_int(reply.text.len, n);
    check(memcmp(reply.text.data, octets, n) == 0);
}

TEST(a_message_larger_than_every_window_crosses_in_both_directions)
{
    static const size_t sizes[] = { 300000, 8 << 20, 64 << 20 };
    size_t used = test_short_io() ? 1 : test_sanitized() ? 2 : 3, limit = (64 << 20) + 64;
    struct talk t;
    talk_start(&t, &streams, NULL, (sennit_server_options){ .max_recv_msg_size = limit });
    sennit_conn_free(t.conn);
    t.conn = sennit_dial(
        t.e.address, &(sennit_conn_options){ .creds = echo_creds(), .max_recv_msg_size = limit });
    char *octets = malloc(sizes[used - 1]);
    pattern_fill(octets, sizes[used - 1], 7);
    for (size_t i = 0; i < used; i++)
        cross(&t, octets, sizes[i]);
    free(octets);
    talk_stop(&t);
}

TEST(a_stream_that_nobody_reads_stops_its_sender_and_no_other_stream)
{
    static const struct echo_service service = { .unary = echo_back, .chat = read_when_told };
    static char octets[200000];
    sennit_chan *go = sennit_chan_new(sizeof(int), 1);
    struct talk t;
    int n = 1;
    talk_start(&t, &service, go, (sennit_server_options){ 0 });
    memset(octets, 'x', sizeof octets);
    sennit_wait_group done = { { 0 } };
    sennit_stream *slow = talk_open(&t, CHAT, NULL);
    struct half h = { .s = slow, .n = 400, .seed = 99, .client = true, .done = &done };
    sennit_wait_group_add(&done, 1);
    check(!sennit_go(send_half, &h)); /* more than the window, so it parks */
    for (int i = 0; i < 20; i++) {
        struct echo_msg large = { .text = { octets, sizeof octets } }, reply;
        sennit_err err = sennit_call(t.conn, t.ctx, &echo_methods[0], &large, &reply, NULL, 0);
        check_str(said(err), "fine");
    }
    check(seat_taken(&slow->sender));
    check(!sennit_chan_send(go, NULL, &n));
    struct pattern p = { 99 };
    for (int i = 0; i < 400; i++) {
        const struct echo_msg *m = sennit_recv(slow);
        check(m);
        check_int(m->text.len, pattern_size(&p));
    }
    check(!sennit_recv(slow));
    sennit_wait_group_wait(&done, NULL);
    check_str(said(sennit_finish(slow, NULL)), "fine");
    talk_stop(&t);
    sennit_chan_free(go);
}

#define MANY 1000
static void one_of_many(void *arg)
{
    struct half *h = arg;
    for (int64_t i = 0; i < 20; i++) {
        check_str(said(sennit_send(h->s, &(struct echo_msg){ .number = i })), "fine");
        const struct echo_msg *m = sennit_recv(h->s);
        check(m && m->number == i);
        sennit_yield();
    }
    check_str(said(sennit_finish(h->s, NULL)), "fine");
    sennit_wait_group_done(h->done);
}

TEST_WITH(a_thousand_streams_take_turns_on_one_connection, 60, false)
{
    struct talk t;
    struct half *h = calloc(MANY, sizeof *h);
    sennit_wait_group done = { { 0 } };
    talk_start(&t, &streams, NULL, (sennit_server_options){ .max_concurrent_streams = MANY });
    sennit_wait_group_add(&done, MANY);
    for (int i = 0; i < MANY; i++) {
        h[i] = (struct half){ .s = talk_open(&t, CHAT, NULL), .done = &done };
        check(!sennit_go(one_of_many, &h[i]));
    }
    sennit_wait_group_wait(&done, NULL);
    talk_stop(&t);
    free(h);
}

/* Handlers that all wait, parked, until the last one is inside. */
struct barrier {
    sennit_mutex lock;
    sennit_cond all;
    int inside;
};
static sennit_err wait_for_all(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    struct barrier *b = self;
    const struct echo_msg *m = sennit_recv(s);
    sennit_err err = sennit_mutex_lock(&b->lock, ctx);
    if (err)
        return err;
    if (++b->inside == MANY)
        sennit_cond_broadcast(&b->all);
    while (b->inside < MANY && !err)
        err = sennit_cond_wait(&b->all, &b->lock, ctx);
    sennit_mutex_unlock(&b->lock);
    return err || !m ? err : sennit_send(s, m);
}

TEST_WITH(a_thousand_streaming_handlers_are_inside_at_once, 60, false)
{
    static const struct echo_service service = { .chat = wait_for_all };
    struct barrier b = { .inside = 0 };
    struct talk t;
    sennit_stream **s = calloc(MANY, sizeof(sennit_stream *));
    setenv("SENNIT_MAXPROCS", "2", 1);
    talk_start(&t, &service, &b, (sennit_server_options){ .max_concurrent_streams = MANY });
    for (int i = 0; i < MANY; i++) {
        s[i] = talk_open(&t, CHAT, NULL);
        check_str(said(sennit_send(s[i], &(struct echo_msg){ .number = i })), "fine");
    }
    for (int i = 0; i < MANY; i++) {
        const struct echo_msg *m = sennit_recv(s[i]);
        check(m && m->number == i);
        check_str(said(sennit_finish(s[i], NULL)), "fine");
    }
    talk_stop(&t);
    free(s);
}

/* -- headers, trailers, errors ---------------------------------------------------------------- */

static sennit_err with_metadata(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    (void)self;
    check_str(sennit_md_get(sennit_md_in(ctx), "x-asked", 0)->data, "yes");
    check(!sennit_set_header(ctx, "x-head", sennit_s("early")));
    check(!sennit_send_header(ctx));
    check_int(code_of(sennit_set_header(ctx, "x-late", sennit_s("no"))),
              SENNIT_FAILED_PRECONDITION);
    while (sennit_recv(s)) {
    }
    check(!sennit_set_trailer(ctx, "x-tail", sennit_s("late")));
    return sennit_errorf(SENNIT_ABORTED, "as wished");
}

static void wait_for_header(void *arg)
{
    struct half *h = arg;
    const sennit_md *md = sennit_stream_header(h->s);
    check_str(sennit_md_get(md, "x-head", 0)->data, "early");
    sennit_wait_group_done(h->done);
}

TEST(headers_come_first_and_trailers_with_the_status)
{
    static const struct echo_service service = { .chat = with_metadata };
    struct talk t;
    sennit_wait_group done = { { 0 } };
    talk_start(&t, &service, NULL, (sennit_server_options){ 0 });
    check(!sennit_md_add(sennit_md_out(t.ctx), "x-asked", sennit_s("yes")));
    const sennit_md *header = NULL, *trailer = NULL;
    const sennit_peer *peer = NULL;
    sennit_call_options o = { .header = &header, .trailer = &trailer, .peer = &peer };
    sennit_stream *s = sennit_start(t.conn, t.ctx, &echo_methods[CHAT], NULL, &o, sizeof o);
    struct half h = { .s = s, .done = &done };
    sennit_wait_group_add(&done, 2);
    check(!sennit_go(wait_for_header, &h));
    check(!sennit_go(wait_for_header, &h));
    check_str(sennit_md_get(sennit_stream_header(s), "x-head", 0)->data, "early");
    check(!sennit_stream_trailer(s));
    sennit_err err = sennit_finish(s, NULL);
    check_int(code_of(err), SENNIT_ABORTED);
    check_str(err->message, "as wished");
    check_str(sennit_md_get(sennit_stream_trailer(s), "x-tail", 0)->data, "late");
    check_str(sennit_md_get(header, "x-head", 0)->data, "early");
    check_str(sennit_md_get(trailer, "x-tail", 0)->data, "late");
    check_str(peer->address, t.e.address);
    check_int(code_of(sennit_stream_error(s)), SENNIT_ABORTED); /* again and again */
    check_int(code_of(sennit_finish(s, NULL)), SENNIT_ABORTED);
    sennit_wait_group_wait(&done, NULL);
    talk_stop(&t);
}

static sennit_err refuse_at_once(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    (void)self, (void)ctx, (void)s;
    return sennit_errorf(SENNIT_PERMISSION_DENIED, "no");
}
static sennit_err refuse_list(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                              sennit_stream *s)
{
    (void)q;
    return refuse_at_once(self, ctx, s);
}

TEST(an_early_error_is_trailers_only_and_reaches_every_call)
{
    static const struct echo_service service = { .chat = refuse_at_once, .list = refuse_list };
    static char octets[300000];
    struct talk t;
    memset(octets, 'x', sizeof octets);
    talk_start(&t, &service, NULL, (sennit_server_options){ 0 });
    sennit_stream *s = talk_open(&t, CHAT, NULL);
    check(!sennit_stream_header(s));
    check(!sennit_recv(s));
    check_int(code_of(sennit_stream_error(s)), SENNIT_PERMISSION_DENIED);
    check_int(code_of(sennit_send(s, &(struct echo_msg){ 0 })), SENNIT_PERMISSION_DENIED);
    check_int(code_of(sennit_finish(s, NULL)), SENNIT_PERMISSION_DENIED);
    s = talk_open(&t, CHAT, NULL); /* a sender that waits for window hears of it */
    sennit_err err = NULL;
    while (!err)
        err = sennit_send(s, &(struct echo_msg){ .text = { octets, sizeof octets } });
    check_int(code_of(sennit_finish(s, NULL)), SENNIT_PERMISSION_DENIED);
    s = talk_open(&t, LIST, &(struct echo_msg){ .number = 1 });
    check(!sennit_recv(s));
    check_int(code_of(sennit_finish(s, NULL)), SENNIT_PERMISSION_DENIED);
    talk_stop(&t);
}

/* -- cardinality: a client that takes a method for another kind ------------------------------- */

static sennit_err two_replies(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                              sennit_stream *s)
{
    (void)self, (void)ctx;
    for (int i = 0; i < q->number; i++)
        if (sennit_send(s, q))
            break;
    return NULL;
}

TEST(wrong_numbers_of_messages_are_internal_errors)
{
    static const struct echo_service service = { .unary = echo_back, .list = two_replies };
    struct talk t;
    struct echo_msg reply;
    talk_start(&t, &service, NULL, (sennit_server_options){ 0 });
    sennit_method as_unary = echo_methods[LIST]; /* the server streams, the client expects one */
    as_unary.flags = 0;
    for (int n = 0; n <= 2; n++) {
        sennit_err err = sennit_call(t.conn, t.ctx, &as_unary, &(struct echo_msg){ .number = n },
                                     &reply, NULL, 0);
        check_int(code_of(err), n == 1 ? 0 : SENNIT_INTERNAL);
        check(n == 1 || strstr(err->message, "cardinality violation"));
    }
    sennit_method as_stream = echo_methods[0]; /* the client streams, the server expects one */
    as_stream.flags = 3;
    for (int n = 0; n <= 2; n++) {
        sennit_stream *s = sennit_start(t.conn, t.ctx, &as_stream, NULL, NULL, 0);
        for (int i = 0; i < n; i++)
            if (sennit_send(s, &(struct echo_msg){ .number = i }))
                break;
        sennit_err err = sennit_finish(s, NULL);
        check_int(code_of(err), n == 1 ? 0 : SENNIT_INTERNAL);
        check(n == 1 || strstr(err->message, "cardinality violation"));
    }
    talk_stop(&t);
}

/* -- ends: cancel, deadline, loss, stop ------------------------------------------------------- */

/* Parks in recv and tells what ended it. */
static sennit_err tell_end(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    sennit_chan *ends = self;
    int code = -1;
    sennit_chan_send(ends, NULL, &code); /* it runs */
    while (sennit_recv(s)) {
    }
    code = code_of(sennit_stream_error(s));
    check(code == 0 || sennit_ctx_error(ctx));
    sennit_chan_send(ends, NULL, &code);
    return sennit_stream_error(s);
}

/* Never reads; sends until that fails. */
static sennit_err flood(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    sennit_chan *ends = self;
    static char octets[100000];
    int code = -1;
    (void)ctx;
    sennit_chan_send(ends, NULL, &code);
    sennit_err err = NULL;
    while (!err)
        err = sennit_send(s, &(struct echo_msg){ .text = { octets, sizeof octets - 1 } });
    code = code_of(err);
    sennit_chan_send(ends, NULL, &code);
    return err;
}

struct ender {
    struct talk t;
    sennit_chan *ends;
    sennit_stream *s;
    sennit_ctx *ctx;
    sennit_wait_group done;
    int want;
};

static void ender_recv(void *arg)
{
    struct ender *e = arg;
    while (sennit_recv(e->s)) {
    }
    check_int(code_of(sennit_stream_error(e->s)), e->want);
    sennit_wait_group_done(&e->done);
}
static void ender_send(void *arg)
{
    struct ender *e = arg;
    static char octets[100000];
    memset(octets, 'x', sizeof octets);
    while (!sennit_send(e->s, &(struct echo_msg){ .text = { octets, sizeof octets } })) {
    }
    sennit_wait_group_done(&e->done);
}

/* One goroutine of the client parks in send, another in recv, the handler in `handler`. */
static void ender_start(struct ender *e, const struct echo_service *service,
                        sennit_duration timeout, int want)
{
    int code = 0;
    memset(e, 0, sizeof *e);
    e->ends = sennit_chan_new(sizeof(int), 8);
    e->want = want;
    talk_start(&e->t, service, e->ends, (sennit_server_options){ 0 });
    check(!sennit_conn_ready(e->t.conn, e->t.ctx));
    e->ctx = sennit_ctx_timeout(NULL, timeout);
    e->s = sennit_start(e->t.conn, e->ctx, &echo_methods[CHAT], NULL, NULL, 0);
    check(!sennit_chan_recv(e->ends, NULL, &code));
    sennit_wait_group_add(&e->done, 2);
    check(!sennit_go(ender_recv, e));
    check(!sennit_go(ender_send, e));
    while (!seat_taken(&e->s->sender) || !seat_taken(&e->s->receiver))
        sennit_sleep(NULL, SENNIT_MILLISECOND);
}
static void ender_stop(struct ender *e, bool told)
{
    int code = 0;
    sennit_wait_group_wait(&e->done, NULL);
    check_int(code_of(sennit_finish(e->s, NULL)), e->want);
    if (told) {
        check(!sennit_chan_recv(e->ends, NULL, &code));
        check(code != 0);
    }
    sennit_ctx_free(e->ctx);
    talk_stop(&e->t);
    sennit_chan_free(e->ends);
}

static const struct echo_service stuck_in_send = { .chat = flood };
static const struct echo_service stuck_in_recv = { .chat = tell_end };

TEST(cancelling_wakes_sender_receiver_and_handler)
{
    for (int i = 0; i < 2; i++) {
        struct ender e;
        ender_start(&e, i ? &stuck_in_recv : &stuck_in_send, 60 * SENNIT_SECOND, SENNIT_CANCELLED);
        sennit_ctx_cancel(e.ctx);
        ender_stop(&e, true);
    }
}

TEST(a_deadline_wakes_sender_receiver_and_handler)
{
    for (int i = 0; i < 2; i++) {
        struct ender e;
        ender_start(&e, i ? &stuck_in_recv : &stuck_in_send, 300 * SENNIT_MILLISECOND,
                    SENNIT_DEADLINE_EXCEEDED);
        ender_stop(&e, true);
    }
}

TEST(freeing_the_connection_wakes_sender_receiver_and_handler)
{
    struct ender e;
    ender_start(&e, &stuck_in_send, 60 * SENNIT_SECOND, SENNIT_CANCELLED);
    sennit_conn_free(e.t.conn);
    e.t.conn = NULL;
    ender_stop(&e, true);
}

TEST(stopping_the_server_wakes_sender_receiver_and_handler)
{
    struct ender e;
    ender_start(&e, &stuck_in_send, 60 * SENNIT_SECOND, SENNIT_UNAVAILABLE);
    e.t.e.stopping = true;
    sennit_server_stop(e.t.e.server, 0);
    ender_stop(&e, true);
}

TEST(an_abandoned_stream_is_cancelled_with_its_context)
{
    struct talk t;
    int code = 0;
    sennit_chan *ends = sennit_chan_new(sizeof(int), 8);
    talk_start(&t, &stuck_in_recv, ends, (sennit_server_options){ 0 });
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    check(sennit_start(t.conn, ctx, &echo_methods[CHAT], NULL, NULL, 0));
    check(!sennit_chan_recv(ends, NULL, &code)); /* it runs */
    sennit_ctx_free(ctx);
    check(!sennit_chan_recv(ends, NULL, &code));
    check_int(code, SENNIT_CANCELLED);
    talk_stop(&t);
    sennit_chan_free(ends);
}

static void stop_gracefully(void *arg)
{
    sennit_server_stop(((struct echo_server *)arg)->server, 30 * SENNIT_SECOND);
}

TEST(a_graceful_stop_lets_running_streams_finish)
{
    struct talk t;
    talk_start(&t, &streams, NULL, (sennit_server_options){ 0 });
    sennit_stream *s = talk_open(&t, CHAT, NULL);
    check_str(said(sennit_send(s, &(struct echo_msg){ .number = 1 })), "fine");
    check(sennit_recv(s));
    t.e.stopping = true;
    check(!sennit_go(stop_gracefully, &t.e));
    /* New calls find no connection; the old stream goes on. */
    struct echo_msg reply;
    sennit_err err = NULL;
    while (!err) {
        sennit_ctx *ctx = sennit_ctx_timeout(NULL, 15 * SENNIT_SECOND);
        err = echo_call(t.conn, ctx, "x", &reply);
        err = err ? sennit_err_copy(NULL, err) : NULL;
        sennit_ctx_free(ctx);
    }
    if (code_of(err) != SENNIT_UNAVAILABLE)
        test_failed(__FILE__, __LINE__, "code %d: %s", code_of(err), said(err));
    for (int64_t i = 2; i < 50; i++) {
        check_str(said(sennit_send(s, &(struct echo_msg){ .number = i })), "fine");
        const struct echo_msg *m = sennit_recv(s);
        check(m && m->number == i);
    }
    check_str(said(sennit_finish(s, NULL)), "fine");
    talk_stop(&t);
}
