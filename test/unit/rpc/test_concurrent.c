/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_concurrent.c: many in one connection, and ends that come in the midst of things.
 * doc/concurrency-tests.md lists which behaviours of grpc-go's own tests these and others show. */
#include "base/sys.h"
#include "talk.h"
#include <netdb.h>
#include <stdlib.h>

struct rows {
    int n; /* to send, or until that fails */
    size_t size;
};
static sennit_err send_rows(void *self, sennit_ctx *ctx, const struct echo_msg *q, sennit_stream *s)
{
    static char octets[70000];
    const struct rows *rows = self;
    sennit_err err = NULL;
    (void)ctx;
    for (int i = 0; i < rows->n && !err; i++)
        err = sennit_send(
            s, &(struct echo_msg){ .text = { octets, rows->size }, .number = q->number + i });
    return err;
}

struct reader {
    struct talk *t;
    int64_t first;
    int rows;
    sennit_wait_group *done;
};
static void read_rows(void *arg)
{
    struct reader *r = arg;
    sennit_stream *s = talk_open(r->t, LIST, &(struct echo_msg){ .number = r->first });
    for (int i = 0; i < r->rows; i++) {
        const struct echo_msg *m = sennit_recv(s);
        if (!m)
            test_failed(__FILE__, __LINE__, "row %d: %s", i, said(sennit_stream_error(s)));
        check_int(m->number, r->first + i);
    }
    check(!sennit_recv(s));
    check_str(said(sennit_finish(s, NULL)), "fine");
    sennit_wait_group_done(r->done);
}

TEST(server_streams_at_once_each_get_their_own_rows)
{
    static const struct echo_service service = { .list = send_rows };
    struct rows rows = { .n = 200, .size = 500 };
    struct talk t;
    struct reader r[20];
    sennit_wait_group done = { { 0 } };
    talk_start(&t, &service, &rows, (sennit_server_options){ 0 });
    sennit_wait_group_add(&done, 20);
    for (int i = 0; i < 20; i++) {
        r[i] = (struct reader){ &t, i * 1000, rows.n, &done };
        check(!sennit_go(read_rows, &r[i]));
    }
    sennit_wait_group_wait(&done, NULL);
    talk_stop(&t);
}

TEST(streams_left_halfway_take_no_window_with_them)
{
    static const struct echo_service service = { .list = send_rows };
    struct rows rows = { .n = 100, .size = 1024 };
    struct talk t;
    int times = test_sanitized() || test_short_io() ? 100 : 1000;
    talk_start(&t, &service, &rows, (sennit_server_options){ 0 });
    for (int i = 0; i < times; i++) {
        sennit_ctx *ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND);
        sennit_stream *s =
            sennit_start(t.conn, ctx, &echo_methods[LIST], &(struct echo_msg){ 0 }, NULL, 0);
        for (int k = 0; k < 2; k++)
            check(sennit_recv(s));
        sennit_ctx_free(ctx);
    }
    talk_stop(&t);
}

/* -- the peer's stream limit ------------------------------------------------------------------ */

static const struct echo_service chats = { .unary = echo_back, .chat = echo_chat };

struct late {
    struct talk *t;
    sennit_wait_group done;
};
static void call_in_vain(void *arg)
{
    struct late *l = arg;
    struct echo_msg reply;
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_MILLISECOND);
    check_int(code_of(echo_call(l->t->conn, ctx, "x", &reply)), SENNIT_DEADLINE_EXCEEDED);
    sennit_ctx_free(ctx);
    ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_MILLISECOND);
    sennit_stream *s = sennit_start(l->t->conn, ctx, &echo_methods[CHAT], NULL, NULL, 0);
    check_int(code_of(sennit_finish(s, NULL)), SENNIT_DEADLINE_EXCEEDED);
    sennit_ctx_free(ctx);
    sennit_wait_group_done(&l->done);
}

/* A server whose handler of a reset stream still ends refuses the next one: so more than once. */
static void call_until_taken(struct talk *t)
{
    struct echo_msg reply;
    sennit_err err;
    do {
        err = echo_call(t->conn, t->ctx, "x", &reply);
        check(!err || err->code == SENNIT_UNAVAILABLE);
    } while (err);
}

TEST(waiting_for_the_peers_stream_limit_ends_with_the_deadline_and_the_place_comes_back)
{
    for (int cancel = 0; cancel < 2; cancel++) {
        struct talk t;
        struct late l = { .t = &t };
        talk_start(&t, &chats, NULL, (sennit_server_options){ .max_concurrent_streams = 1 });
        sennit_ctx *ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND);
        sennit_stream *s = sennit_start(t.conn, ctx, &echo_methods[CHAT], NULL, NULL, 0);
        check(!sennit_send(s, &(struct echo_msg){ 0 }) && sennit_recv(s)); /* it has the place */
        sennit_wait_group_add(&l.done, 10);
        for (int i = 0; i < 10; i++)
            check(!sennit_go(call_in_vain, &l));
        sennit_wait_group_wait(&l.done, NULL);
        if (cancel)
            sennit_ctx_cancel(ctx);
        check_int(code_of(sennit_finish(s, NULL)), cancel ? SENNIT_CANCELLED : 0);
        call_until_taken(&t);
        sennit_ctx_free(ctx);
        talk_stop(&t);
    }
}

TEST(a_handler_that_waits_for_window_gives_its_place_back_when_cancelled)
{
    static const struct echo_service service = { .unary = echo_back, .list = send_rows };
    struct rows rows = { .n = 100, .size = 70000 };
    struct talk t;
    talk_start(&t, &service, &rows, (sennit_server_options){ .max_concurrent_streams = 1 });
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND);
    sennit_stream *s =
        sennit_start(t.conn, ctx, &echo_methods[LIST], &(struct echo_msg){ 0 }, NULL, 0);
    check(sennit_recv(s)); /* and no more: the handler fills the window and waits */
    sennit_ctx_cancel(ctx);
    check_int(code_of(sennit_finish(s, NULL)), SENNIT_CANCELLED);
    call_until_taken(&t);
    sennit_ctx_free(ctx);
    talk_stop(&t);
}

/* -- ends that meet --------------------------------------------------------------------------- */

struct stopping {
    struct echo_server *e;
    sennit_wait_group done;
};
static void stop_soon(void *arg)
{
    struct stopping *s = arg;
    s->e->stopping = true;
    sennit_server_stop(s->e->server, SENNIT_SECOND);
    sennit_wait_group_done(&s->done);
}

TEST(closing_a_connection_beside_the_servers_goaway)
{
    for (int i = 0; i < 50; i++) {
        struct talk t;
        struct echo_msg reply;
        talk_start(&t, &chats, NULL, (sennit_server_options){ 0 });
        check_str(said(echo_call(t.conn, t.ctx, "x", &reply)), "fine");
        struct stopping stopping = { .e = &t.e };
        sennit_wait_group_add(&stopping.done, 1);
        check(!sennit_go(stop_soon, &stopping));
        if (i % 2)
            sennit_yield();
        sennit_conn_free(t.conn);
        sennit_wait_group_wait(&stopping.done, NULL);
        t.conn = NULL;
        talk_stop(&t);
    }
}

struct cancelling {
    sennit_ctx *ctx;
    int turns;
    sennit_wait_group done;
};
static void cancel_soon(void *arg)
{
    struct cancelling *c = arg;
    for (int i = 0; i < c->turns; i++)
        sennit_yield();
    sennit_ctx_cancel(c->ctx);
    sennit_wait_group_done(&c->done);
}

/* What a call handed out is the caller's alone once it has returned, whoever still has to learn of
 * the cancellation. */
TEST(what_a_cancelled_call_handed_out_is_left_alone)
{
    struct talk t;
    int times = test_sanitized() || test_short_io() ? 200 : 2000;
    talk_start(&t, &chats, NULL, (sennit_server_options){ 0 });
    for (int i = 0; i < times; i++) {
        const sennit_md *header = NULL, *trailer = NULL;
        const sennit_peer *peer = NULL;
        struct cancelling c = { .ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND),
                                .turns = i % 16 };
        struct echo_msg q = { .text = sennit_s("x"), .number = 1 }, reply;
        sennit_call_options o = { .header = &header, .trailer = &trailer, .peer = &peer };
        sennit_wait_group_add(&c.done, 1);
        check(!sennit_go(cancel_soon, &c));
        sennit_err err = sennit_call(t.conn, c.ctx, &echo_methods[0], &q, &reply, &o, sizeof o);
        check(!err || err->code == SENNIT_CANCELLED);
        check(err || reply.number == 2);
        check(!peer || peer->address[0]);
        check(!header || !sennit_md_get(header, "x-none", 0));
        check(!trailer || !sennit_md_get(trailer, "x-none", 0));
        header = trailer = NULL, peer = NULL;
        sennit_wait_group_wait(&c.done, NULL);
        sennit_ctx_free(c.ctx);
    }
    talk_stop(&t);
}

static sennit_err pour(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    sennit_err err = NULL;
    (void)self, (void)ctx;
    while (!err)
        err = sennit_send(s, &(struct echo_msg){ .text = sennit_s("drop") });
    return err;
}

TEST(cancelling_while_compressed_messages_come_is_cancelled)
{
    static const struct echo_service service = { .chat = pour };
    static const char *const names[] = { "gzip", NULL };
    struct talk t;
    talk_start(&t, &service, NULL, (sennit_server_options){ 0 });
    for (int i = 0; i < 20; i++) {
        sennit_call_options o = { .compressor = names[i % 2] };
        struct cancelling c = { .ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND),
                                .turns = i * 3 };
        sennit_stream *s = sennit_start(t.conn, c.ctx, &echo_methods[CHAT], NULL, &o, sizeof o);
        sennit_wait_group_add(&c.done, 1);
        check(!sennit_go(cancel_soon, &c));
        const struct echo_msg *m;
        while ((m = sennit_recv(s)))
            check_str(m->text.data, "drop");
        check_int(code_of(sennit_stream_error(s)), SENNIT_CANCELLED);
        sennit_wait_group_wait(&c.done, NULL);
        sennit_ctx_free(c.ctx);
    }
    talk_stop(&t);
}

static sennit_err end_as_told(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                              struct echo_msg *r)
{
    (void)self, (void)r;
    sennit_auto(sennit_ctx) *own = sennit_ctx_timeout(ctx, q->number ? 0 : SENNIT_SECOND);
    if (!q->number)
        sennit_ctx_cancel(own);
    return sennit_sleep(own, 60 * SENNIT_SECOND);
}

TEST(a_contexts_error_that_a_handler_returns_is_the_status)
{
    static const struct echo_service service = { .unary = end_as_told };
    struct talk t;
    talk_start(&t, &service, NULL, (sennit_server_options){ 0 });
    for (int64_t i = 0; i < 2; i++) {
        struct echo_msg q = { .number = i }, reply;
        sennit_err err = sennit_call(t.conn, t.ctx, &echo_methods[0], &q, &reply, NULL, 0);
        check_int(code_of(err), i ? SENNIT_DEADLINE_EXCEEDED : SENNIT_CANCELLED);
        check_str(err->message, i ? "context deadline exceeded" : "context canceled");
    }
    talk_stop(&t);
}

/* -- a name that takes its time ---------------------------------------------------------------- */

static int (*real_getaddrinfo)(const char *, const char *, const struct addrinfo *,
                               struct addrinfo **);
static _Atomic bool asked, may_answer;

static int slow_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                            struct addrinfo **out)
{
    atomic_store(&asked, true);
    while (!atomic_load(&may_answer))
        sennit_sleep(NULL, SENNIT_MILLISECOND);
    return real_getaddrinfo(node, service, hints, out);
}

struct patient {
    struct talk *t;
    sennit_conn *conn;
    _Atomic bool over;
    sennit_wait_group done;
};
static void call_by_name(void *arg)
{
    struct patient *p = arg;
    struct echo_msg reply;
    check_str(said(echo_call(p->conn, p->t->ctx, "by name", &reply)), "fine");
    atomic_store(&p->over, true);
    sennit_wait_group_done(&p->done);
}

TEST(a_call_waits_while_its_name_is_looked_up_and_others_do_not)
{
    struct talk t;
    struct patient p = { .t = &t };
    struct echo_msg reply;
    char target[64];
    if (getenv("SENNIT_THREADS")) /* the only thread looks the name up itself */
        return;
    real_getaddrinfo = sys.getaddrinfo;
    sys.getaddrinfo = slow_getaddrinfo;
    talk_start(&t, &chats, NULL, (sennit_server_options){ 0 });
    snprintf(target, sizeof target, "dns:///localhost:%s", strrchr(t.e.address, ':') + 1);
    p.conn = echo_dial(target);
    sennit_wait_group_add(&p.done, 1);
    check(!sennit_go(call_by_name, &p));
    while (!atomic_load(&asked))
        sennit_sleep(NULL, SENNIT_MILLISECOND);
    check_str(said(echo_call(t.conn, t.ctx, "by address", &reply)), "fine");
    check(!atomic_load(&p.over));
    atomic_store(&may_answer, true);
    sennit_wait_group_wait(&p.done, NULL);
    sennit_conn_free(p.conn);
    talk_stop(&t);
    sys.getaddrinfo = real_getaddrinfo;
}
