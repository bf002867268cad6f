/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_intercept.c: interceptors of both sides, methods nobody has, and calls by raw octets. */
#include "talk.h"

/* Writes its mark before and after; self is the mark. */
static char trail[64];
static sennit_mutex trail_mu;

static void leave_mark(char mark)
{
    sennit_mutex_lock(&trail_mu, NULL);
    size_t n = strlen(trail);
    if (n + 1 < sizeof trail)
        trail[n] = mark, trail[n + 1] = 0;
    sennit_mutex_unlock(&trail_mu);
}

static sennit_err mark_unary(void *self, sennit_ctx *ctx, const sennit_method *m, const void *q,
                             void *r, sennit_next *next)
{
    leave_mark(*(const char *)self);
    check_str(m->path, "/test.Echo/Unary");
    sennit_err err = sennit_next_call(next, ctx, q, r);
    leave_mark((char)(*(const char *)self + 'A' - 'a'));
    return err;
}

static sennit_err mark_stream(void *self, sennit_ctx *ctx, const sennit_method *m,
                              sennit_next *next)
{
    leave_mark(*(const char *)self);
    check_str(m->path, "/test.Echo/Chat");
    sennit_err err = sennit_next_call(next, ctx, NULL, NULL);
    leave_mark((char)(*(const char *)self + 'A' - 'a'));
    return err;
}

static const struct echo_service echoes = { .unary = echo_back, .chat = echo_chat };

static void chained_start(struct talk *t, const sennit_interceptor *client, size_t n_client,
                          const sennit_interceptor *server, size_t n_server)
{
    trail[0] = 0;
    echo_start(&t->e, &echoes, NULL,
               (sennit_server_options){ .interceptors = server, .n_interceptors = n_server });
    t->conn = sennit_dial(t->e.address, &(sennit_conn_options){ .creds = echo_creds(),
                                                                .interceptors = client,
                                                                .n_interceptors = n_client });
    t->ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
}

TEST(chains_of_both_sides_run_from_the_outermost_in)
{
    const sennit_interceptor client[] = { { "a", mark_unary, mark_stream },
                                          { "x", NULL, NULL },
                                          { "b", mark_unary, mark_stream } };
    const sennit_interceptor server[] = { { "c", mark_unary, mark_stream },
                                          { "d", mark_unary, NULL } };
    struct talk t;
    struct echo_msg reply;
    chained_start(&t, client, 3, server, 2);
    check(!echo_call(t.conn, t.ctx, "hello", &reply));
    check_str(reply.text.data, "hello");
    check_str(trail, "abcdDCBA");
    trail[0] = 0;
    sennit_stream *s = talk_open(&t, CHAT, NULL);
    check(!sennit_send(s, &(struct echo_msg){ .number = 7 }));
    const struct echo_msg *m = sennit_recv(s);
    check(m && m->number == 7);
    check(!sennit_finish(s, NULL));
    talk_stop(&t);
    check_int(strlen(trail), 6); /* the server's end and the client's start are apart */
    check(strstr(trail, "ab") == trail && strchr(trail, 'c') && strchr(trail, 'C'));
}

static sennit_err refuse_unary(void *self, sennit_ctx *ctx, const sennit_method *m, const void *q,
                               void *r, sennit_next *next)
{
    (void)self, (void)ctx, (void)m, (void)q, (void)r, (void)next;
    return sennit_errorf(SENNIT_UNAUTHENTICATED, "not you");
}
static sennit_err refuse_stream(void *self, sennit_ctx *ctx, const sennit_method *m,
                                sennit_next *next)
{
    (void)m;
    if (self) {
        sennit_err err = sennit_next_call(next, ctx, NULL, NULL);
        check(!err);
    }
    return sennit_errorf(SENNIT_UNAUTHENTICATED, "not you");
}

TEST(one_that_does_not_call_next_decides_the_status)
{
    const sennit_interceptor no = { NULL, refuse_unary, refuse_stream };
    const sennit_interceptor late = { "late", refuse_unary, refuse_stream };
    for (int side = 0; side < 3; side++) {
        struct talk t;
        struct echo_msg reply;
        chained_start(&t, side == 2 ? &late : &no, side != 1, &no, side == 1);
        check_str(said(echo_call(t.conn, t.ctx, "hello", &reply)), "not you");
        check_str(reply.text.data, "");
        sennit_stream *s = talk_open(&t, CHAT, NULL);
        check(!sennit_recv(s));
        sennit_err err = sennit_finish(s, NULL);
        check_int(code_of(err), SENNIT_UNAUTHENTICATED);
        check_str(said(err), "not you");
        talk_stop(&t);
    }
}

/* Asks twice; the second time with metadata of its own, under a context of its own. */
static sennit_err ask_twice(void *self, sennit_ctx *ctx, const sennit_method *m, const void *q,
                            void *r, sennit_next *next)
{
    (void)m, (void)self;
    sennit_err err = sennit_next_call(next, ctx, q, r);
    check_str(said(err), "no key");
    sennit_ctx *own = sennit_ctx_new(ctx);
    check(!sennit_md_add(sennit_md_out(own), "key", sennit_s("sesame")));
    err = sennit_next_call(next, own, q, r);
    struct echo_msg *copy = err ? NULL : sennit_msg_copy(sennit_ctx_arena(ctx), &echo_desc, r);
    sennit_ctx_free(own);
    if (copy)
        memcpy(r, copy, sizeof *copy);
    return err;
}
static sennit_err want_key(void *self, sennit_ctx *ctx, const sennit_method *m, const void *q,
                           void *r, sennit_next *next)
{
    (void)m, (void)self;
    if (!sennit_md_get(sennit_md_in(ctx), "key", 0))
        return sennit_errorf(SENNIT_UNAUTHENTICATED, "no key");
    return sennit_next_call(next, ctx, q, r);
}

TEST(a_client_side_one_may_call_again_with_other_metadata)
{
    const sennit_interceptor client = { .unary = ask_twice }, server = { .unary = want_key };
    struct talk t;
    struct echo_msg reply;
    chained_start(&t, &client, 1, &server, 1);
    check_str(said(echo_call(t.conn, t.ctx, "hello", &reply)), "fine");
    check_str(reply.text.data, "hello");
    talk_stop(&t);
}

/* Sends every octet back, and the method's name in a trailer. */
static sennit_err mirror(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    const sennit_raw *m;
    (void)self;
    check(!sennit_set_trailer(ctx, "method", sennit_s(sennit_handler_method(ctx)->path)));
    while ((m = sennit_recv(s))) {
        sennit_err err = sennit_send(s, m);
        if (err)
            return err;
    }
    return sennit_stream_error(s);
}

TEST(unknown_methods_go_to_their_handler_and_raw_octets_both_ways)
{
    const sennit_unknown unknown = { .handle = mirror };
    struct talk t;
    talk_start(&t, &echoes, NULL, (sennit_server_options){ .unknown = &unknown });
    const sennit_method m = { SENNIT_TABLES,    0,   "/no.Such/Method", &sennit_raw_desc,
                              &sennit_raw_desc, NULL };
    const sennit_md *trailer = NULL;
    sennit_call_options o = { .trailer = &trailer };
    sennit_raw q = { { "\xff\0\x01 no protobuf", 15 } }, reply;
    sennit_err err = sennit_call(t.conn, t.ctx, &m, &q, &reply, &o, sizeof o);
    check_str(said(err), "fine");
    check(reply.octets.len == 15 && memcmp(reply.octets.data, q.octets.data, 15) == 0);
    check_str(sennit_md_get(trailer, "method", 0)->data, "/no.Such/Method");
    struct echo_msg known;
    check(!echo_call(t.conn, t.ctx, "still here", &known));
    check_str(known.text.data, "still here");
    talk_stop(&t);
}

static sennit_err mark_any(void *self, sennit_ctx *ctx, const sennit_method *m, sennit_next *next)
{
    leave_mark(*(const char *)self);
    check_str(m->path, "/no.Such/Stream");
    return sennit_next_call(next, ctx, NULL, NULL);
}

/* A proxy's half: an RPC of any kind, by its octets, without generated code on either side. */
TEST(unknown_streams_pass_the_interceptors_and_malformed_paths_do_not)
{
    const sennit_unknown unknown = { .handle = mirror };
    const sennit_interceptor in = { "u", NULL, mark_any };
    struct talk t;
    trail[0] = 0;
    talk_start(
        &t, &echoes, NULL,
        (sennit_server_options){ .unknown = &unknown, .interceptors = &in, .n_interceptors = 1 });
    const sennit_method m = { SENNIT_TABLES,    3,   "/no.Such/Stream", &sennit_raw_desc,
                              &sennit_raw_desc, NULL };
    sennit_stream *s = sennit_start(t.conn, t.ctx, &m, NULL, NULL, 0);
    for (char i = 0; i < 3; i++) {
        sennit_raw q = { { &i, 1 } };
        check(!sennit_send(s, &q));
        const sennit_raw *r = sennit_recv(s);
        check(r && r->octets.len == 1 && r->octets.data[0] == i);
    }
    check(!sennit_finish(s, NULL));
    check_str(sennit_md_get(sennit_stream_trailer(s), "method", 0)->data, "/no.Such/Stream");
    check_str(trail, "u");
    const sennit_method bad = { SENNIT_TABLES,    0,   "/nowhere", &sennit_raw_desc,
                                &sennit_raw_desc, NULL };
    sennit_raw q = { { "", 0 } }, reply;
    sennit_err err = sennit_call(t.conn, t.ctx, &bad, &q, &reply, NULL, 0);
    check_int(code_of(err), SENNIT_UNIMPLEMENTED);
    check_str(said(err), "malformed method name: \"/nowhere\"");
    talk_stop(&t);
}

static sennit_err decline(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    (void)self, (void)ctx, (void)s;
    return sennit_errorf(SENNIT_PERMISSION_DENIED, "not here");
}

TEST(an_unknown_handler_may_refuse)
{
    const sennit_unknown unknown = { .handle = decline };
    struct talk t;
    talk_start(&t, &echoes, NULL, (sennit_server_options){ .unknown = &unknown });
    const sennit_method m = { SENNIT_TABLES,    0,   "/no.Such/Method", &sennit_raw_desc,
                              &sennit_raw_desc, NULL };
    sennit_raw q = { { "x", 1 } }, reply;
    sennit_err err = sennit_call(t.conn, t.ctx, &m, &q, &reply, NULL, 0);
    check_int(code_of(err), SENNIT_PERMISSION_DENIED);
    check_str(said(err), "not here");
    check_str(sennit_err_reason(err), ""); /* the peer's, not the library's */
    talk_stop(&t);
}
