/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_unary.c: unary calls over TCP in one process: our client, our server. */
#include "echo.h"
#include <pthread.h>
#include <stdlib.h>

static const struct echo_service plain = { .unary = echo_back };

TEST(unary_call_answers)
{
    struct echo_server e;
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    for (int i = 0; i < 100; i++) {
        sennit_err err = echo_call(c, ctx, "hello", &reply);
        check_str(err ? err->message : "fine", "fine");
        check_str(reply.text.data, "hello");
        check_int(reply.number, 1);
        sennit_ctx_reset(ctx, 10 * SENNIT_SECOND);
    }
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

TEST(reply_lives_as_long_as_its_context_even_when_the_connection_is_freed)
{
    struct echo_server e;
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    check(!echo_call(c, ctx, "still here", &reply));
    sennit_conn_free(c);
    echo_stop(&e);
    check_str(reply.text.data, "still here");
    sennit_ctx_free(ctx);
}

TEST(large_messages_cross_both_windows)
{
    struct echo_server e;
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 15 * SENNIT_SECOND);
    struct echo_msg reply;
    for (size_t n = 1; n < 4000000; n = n * 7 + 3) {
        char *text = malloc(n + 1);
        memset(text, 'x', n);
        text[n] = 0;
        sennit_err err = echo_call(c, ctx, text, &reply);
        check_str(err ? err->message : "fine", "fine");
        check_int(reply.text.len, n);
        check(strcmp(reply.text.data, text) == 0);
        free(text);
        sennit_ctx_reset(ctx, 15 * SENNIT_SECOND);
    }
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

TEST(message_over_the_limit_is_resource_exhausted)
{
    struct echo_server e;
    echo_start(&e, &plain, NULL, (sennit_server_options){ .max_recv_msg_size = 1000 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    char text[2001];
    memset(text, 'y', 2000);
    text[2000] = 0;
    sennit_err err = echo_call(c, ctx, text, &reply);
    check(err && err->code == SENNIT_RESOURCE_EXHAUSTED);
    check_str(err->message, "grpc: received message larger than max (2003 vs. 1000)");
    check_str(reply.text.data, "");
    check(!echo_call(c, ctx, "small", &reply));
    struct echo_msg q = { .text = sennit_s("0123456789") };
    err =
        sennit_call(c, ctx, &echo_methods[0], &q, &reply,
                    &(sennit_call_options){ .max_recv_msg_size = 5 }, sizeof(sennit_call_options));
    check(err && err->code == SENNIT_RESOURCE_EXHAUSTED);
    err =
        sennit_call(c, ctx, &echo_methods[0], &q, &reply,
                    &(sennit_call_options){ .max_send_msg_size = 5 }, sizeof(sennit_call_options));
    check(err && err->code == SENNIT_RESOURCE_EXHAUSTED);
    check_str(err->message, "trying to send message larger than max (12 vs. 5)");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

/* -- errors and metadata --------------------------------------------------------------------- */

static sennit_err not_found(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                            struct echo_msg *r)
{
    (void)self, (void)q;
    r->number = 5;
    check(!sennit_set_trailer(ctx, "why", sennit_s("because")));
    return sennit_err_detail(
        sennit_errorf(SENNIT_NOT_FOUND, "no %s: 100%% \n\xe2\x98\xba", q->text.data),
        "type.example/x", (sennit_str){ "a\0b", 3 });
}

TEST(error_of_the_handler_is_the_status_with_details_and_trailer)
{
    static const struct echo_service s = { .unary = not_found };
    struct echo_server e;
    echo_start(&e, &s, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg q = { .text = sennit_s("luck") }, reply;
    const sennit_md *trailer = NULL;
    const sennit_peer *peer = NULL;
    sennit_err err = sennit_call(c, ctx, &echo_methods[0], &q, &reply,
                                 &(sennit_call_options){ .trailer = &trailer, .peer = &peer },
                                 sizeof(sennit_call_options));
    check(err && err->code == SENNIT_NOT_FOUND);
    check_str(err->message, "no luck: 100% \n\xe2\x98\xba");
    check_int(err->n_details, 1);
    check_str(err->details[0].type_url, "type.example/x");
    check_int(err->details[0].value.len, 3);
    check_int(reply.number, 0);
    check_str(sennit_md_get(trailer, "why", 0)->data, "because");
    check_str(peer->address, e.address);
    check_str(sennit_err_text(err),
              "rpc error: code = NotFound desc = no luck: 100% \n\xe2\x98\xba");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

static sennit_err mirror_metadata(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                                  struct echo_msg *r)
{
    const char *key;
    const sennit_str *value;
    (void)self;
    r->text = q->text;
    for (size_t i = 0; (value = sennit_md_at(sennit_md_in(ctx), i, &key)); i++) {
        if (key[0] == 'x') {
            check(!sennit_set_header(ctx, key, *value));
            check(!sennit_set_trailer(ctx, key, *value));
        }
    }
    check_str(sennit_handler_method(ctx)->path, "/test.Echo/Unary");
    check_str(sennit_handler_peer(ctx)->auth_type, ECHO_AUTH);
    check_str(sennit_handler_authority(ctx), sennit_handler_peer(ctx)->local_address);
    check(strstr(sennit_md_get(sennit_md_in(ctx), "user-agent", 0)->data, "grpc-c-sennit/"));
    check(!sennit_send_header(ctx));
    sennit_err err = sennit_set_header(ctx, "late", sennit_s("v"));
    check(err && err->code == SENNIT_FAILED_PRECONDITION);
    return NULL;
}

TEST(metadata_travels_both_ways_ascii_and_binary)
{
    static const struct echo_service s = { .unary = mirror_metadata };
    struct echo_server e;
    echo_start(&e, &s, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg q = { .text = sennit_s("m") }, reply;
    const sennit_md *header = NULL, *trailer = NULL;
    sennit_md *md = sennit_md_make(ctx);
    check(!sennit_md_add(sennit_md_out(ctx), "x-a", sennit_s("one")));
    check(!sennit_md_add(md, "x-a", sennit_s("two")));
    check(!sennit_md_add(md, "x-b-bin", (sennit_str){ "\0\xff,", 3 }));
    check(!sennit_md_add(md, "x-empty", sennit_s("")));
    check(sennit_md_add(md, "grpc-x", sennit_s("v")) && sennit_md_add(md, "Upper", sennit_s("v")));
    check(sennit_md_add(md, "x-c", sennit_s("\n")) != NULL);
    static const char *const reserved[] = { "te",         "content-type", "user-agent",   "host",
                                            "connection", ":path",        "grpc-timeout", "grpc-",
                                            "",           "a b" };
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        sennit_err no = sennit_md_add(md, reserved[i], sennit_s("v"));
        check(no && no->code == SENNIT_INVALID_ARGUMENT);
        check_str(sennit_err_reason(no), "SENNIT-E111");
    }
    sennit_err err = sennit_call(
        c, ctx, &echo_methods[0], &q, &reply,
        &(sennit_call_options){ .metadata = md, .header = &header, .trailer = &trailer },
        sizeof(sennit_call_options));
    check_str(err ? err->message : "fine", "fine");
    for (int i = 0; i < 2; i++) {
        const sennit_md *m = i ? trailer : header;
        check_str(sennit_md_get(m, "x-a", 0)->data, "one");
        check_str(sennit_md_get(m, "x-a", 1)->data, "two");
        check_int(sennit_md_get(m, "x-b-bin", 0)->len, 3);
        check(memcmp(sennit_md_get(m, "x-b-bin", 0)->data, "\0\xff,", 3) == 0);
        check_str(sennit_md_get(m, "x-empty", 0)->data, "");
    }
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

/* All requests of a connection begin alike, and what they begin with is read once: what a call adds
 * is its own. */
TEST(each_call_has_the_metadata_that_it_brought_and_no_other)
{
    static const struct echo_service s = { .unary = mirror_metadata };
    struct echo_server e;
    echo_start(&e, &s, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    for (unsigned i = 0; i < 24; i++) {
        struct echo_msg q = { .number = 1 }, reply;
        const sennit_md *trailer = NULL;
        sennit_md *md = i % 4 ? sennit_md_make(ctx) : NULL;
        for (unsigned k = 0; k < i % 4 * 2; k++)
            check(!sennit_md_add(md, "x-k", sennit_printf(ctx, "%u of %u", k, i)));
        sennit_call_options o = { .metadata = md, .trailer = &trailer };
        check(!sennit_call(c, ctx, &echo_methods[0], &q, &reply, &o, sizeof o));
        for (unsigned k = 0; k < i % 4 * 2; k++)
            check_str(sennit_md_get(trailer, "x-k", k)->data,
                      sennit_printf(ctx, "%u of %u", k, i).data);
        check(!sennit_md_get(trailer, "x-k", i % 4 * 2));
    }
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

static sennit_err tell_authority(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                                 struct echo_msg *r)
{
    (void)self, (void)q;
    r->text = sennit_printf(ctx, "%s", sennit_handler_authority(ctx));
    return NULL;
}

TEST(each_call_sees_the_authority_that_it_asked_for)
{
    static const struct echo_service s = { .unary = tell_authority };
    static const char *const asked[] = {
        "a.test", "a.test", "b.test", "a.test:443", "a.test", "a"
    };
    struct echo_server e;
    echo_start(&e, &s, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct echo_msg q = { .number = 1 }, reply;
        sennit_call_options o = { .authority = asked[i] };
        check(!sennit_call(c, ctx, &echo_methods[0], &q, &reply, &o, sizeof o));
        check_str(reply.text.data, asked[i]);
    }
    check(!sennit_handler_authority(ctx)); /* no handler's */
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

TEST(unknown_and_unwritten_methods_are_unimplemented)
{
    static const struct echo_service none = { 0 };
    struct echo_server e;
    echo_start(&e, &none, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    static const struct {
        const char *path, *text;
    } rows[] = {
        { "/test.Echo/Unary", "method Unary not implemented" },
        { "/test.Echo/Nope", "unknown method Nope for service test.Echo" },
        { "/other.Svc/M", "unknown service other.Svc" },
        { "/noslash", "malformed method name: \"/noslash\"" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sennit_method m = echo_methods[0];
        struct echo_msg q = { .number = 1 }, reply;
        m.path = rows[i].path;
        sennit_err err = sennit_call(c, ctx, &m, &q, &reply, NULL, 0);
        check(err && err->code == SENNIT_UNIMPLEMENTED);
        check_str(err->message, rows[i].text);
    }
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

/* What is remembered of a method goes by its path, not by where that lies. */
TEST(a_path_that_changes_in_its_place_is_another_method)
{
    static const struct echo_service none = { 0 };
    struct echo_server e;
    char path[128];
    echo_start(&e, &none, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    sennit_method m = echo_methods[0];
    m.path = path;
    for (int i = 0; i < 24; i++) { /* four times each; every third is longer than is remembered */
        char text[128], name[80] = "M";
        name[0] = (char)('K' + i / 4);
        if (i / 4 % 3 == 2)
            memset(name + 1, 'x', 70);
        snprintf(path, sizeof path, "/test.Echo/%s", name);
        snprintf(text, sizeof text, "unknown method %s for service test.Echo", name);
        struct echo_msg q = { .number = 1 }, reply;
        sennit_err err = sennit_call(c, ctx, &m, &q, &reply, NULL, 0);
        check(err && err->code == SENNIT_UNIMPLEMENTED);
        check_str(err->message, text);
    }
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

/* -- ends ------------------------------------------------------------------------------------ */

struct ending {
    sennit_chan *ended;
    _Atomic bool inside; /* a handler has begun */
    sennit_ctx *ctx;     /* to be cancelled then */
};

static sennit_err wait_for_end(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                               struct echo_msg *r)
{
    struct ending *e = self;
    (void)q, (void)r;
    atomic_store(&e->inside, true);
    sennit_err err = sennit_sleep(ctx, 60 * SENNIT_SECOND);
    int code = err ? (int)err->code : 0;
    sennit_chan_send(e->ended, NULL, &code);
    return err;
}

TEST(deadline_ends_client_and_handler)
{
    static const struct echo_service s = { .unary = wait_for_end };
    struct echo_server e;
    struct ending end = { .ended = sennit_chan_new(sizeof(int), 20) };
    echo_start(&e, &s, &end, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    check(!sennit_conn_ready(c, NULL));
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    struct echo_msg reply;
    int code = 0;
    sennit_err err = NULL;
    /* On a slow machine a short deadline may pass before the call has left. */
    for (int64_t time = 20; !atomic_load(&end.inside); time *= 2) {
        sennit_ctx_reset(ctx, time * SENNIT_MILLISECOND);
        err = echo_call(c, ctx, "x", &reply);
        check(err && err->code == SENNIT_DEADLINE_EXCEEDED);
    }
    check(!sennit_chan_recv(end.ended, NULL, &code));
    check(code == SENNIT_DEADLINE_EXCEEDED || code == SENNIT_CANCELLED);
    err = echo_call(c, ctx, "x", &reply);
    check(err && err->code == SENNIT_DEADLINE_EXCEEDED);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
    sennit_chan_free(end.ended);
}

static void cancel_when_inside(void *arg)
{
    struct ending *e = arg;
    while (!atomic_load(&e->inside))
        sennit_sleep(NULL, SENNIT_MILLISECOND);
    sennit_ctx_cancel(e->ctx);
}

TEST(cancel_wakes_the_caller_and_ends_the_handler)
{
    static const struct echo_service s = { .unary = wait_for_end };
    struct echo_server e;
    struct ending end = { .ended = sennit_chan_new(sizeof(int), 4) };
    echo_start(&e, &s, &end, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    check(!sennit_conn_ready(c, NULL));
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    struct echo_msg reply;
    int code = 0;
    end.ctx = ctx;
    check(!sennit_go(cancel_when_inside, &end));
    sennit_err err = echo_call(c, ctx, "x", &reply);
    check(err && err->code == SENNIT_CANCELLED);
    check(!sennit_chan_recv(end.ended, NULL, &code));
    check_int(code, SENNIT_CANCELLED);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
    sennit_chan_free(end.ended);
}

TEST(nobody_there_fails_fast_and_names_the_address)
{
    sennit_conn *c = echo_dial("127.0.0.1:1");
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "x", &reply);
    check(err && err->code == SENNIT_UNAVAILABLE);
    check_str(
        sennit_err_text(err),
        "rpc error: code = Unavailable desc = connection error: desc = "
        "\"transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused\"");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
}

TEST(no_credentials_fail_the_call_and_serve)
{
    sennit_conn *c = sennit_dial("127.0.0.1:1", &(sennit_conn_options){ 0 });
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "x", &reply);
    check(err && err->code == SENNIT_FAILED_PRECONDITION && strstr(err->message, "credentials"));
    sennit_server *s = sennit_server_new(&(sennit_server_options){ 0 });
    err = sennit_serve(s);
    check(err && err->code == SENNIT_FAILED_PRECONDITION && strstr(err->message, "credentials"));
    sennit_server_free(s);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
}

TEST(service_registered_twice_is_told_by_register_and_serve)
{
    sennit_server *s = sennit_server_new(&(sennit_server_options){ .creds = echo_creds() });
    check(!sennit_register(s, &echo_service_desc, &plain, NULL));
    sennit_err err = sennit_register(s, &echo_service_desc, &plain, NULL);
    check(err && err->code == SENNIT_ALREADY_EXISTS);
    err = sennit_serve(s);
    check(err && err->code == SENNIT_ALREADY_EXISTS);
    check_str(err->message, "service test.Echo is registered twice");
    sennit_server_free(s);
}

TEST(wait_for_ready_waits_for_the_server)
{
    struct echo_server e;
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    char address[128];
    snprintf(address, sizeof address, "%s", e.address);
    echo_stop(&e);
    sennit_conn *c = echo_dial(address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 15 * SENNIT_SECOND);
    struct echo_msg q = { .text = sennit_s("w") }, reply;
    sennit_err err = echo_call(c, ctx, "x", &reply);
    check(err && err->code == SENNIT_UNAVAILABLE);
    memset(&e, 0, sizeof e);
    e.server = sennit_server_new(&(sennit_server_options){ .creds = echo_creds() });
    check(!sennit_register(e.server, &echo_service_desc, &plain, NULL));
    check(!sennit_listen(e.server, address));
    sennit_wait_group_add(&e.done, 1);
    check(!sennit_go(echo_serve, &e));
    err = sennit_call(c, ctx, &echo_methods[0], &q, &reply,
                      &(sennit_call_options){ .wait_for_ready = 1 }, sizeof(sennit_call_options));
    check_str(err ? err->message : "fine", "fine");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

/* -- sharing --------------------------------------------------------------------------------- */

struct sharing {
    sennit_conn *conn;
    int calls;
    _Atomic int right, wrong;
    sennit_wait_group done;
};

static void share_calls(void *arg)
{
    struct sharing *s = arg;
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 60 * SENNIT_SECOND);
    for (int i = 0; i < s->calls; i++) {
        char text[32];
        struct echo_msg reply;
        snprintf(text, sizeof text, "%p %d", (void *)ctx, i);
        sennit_err err = echo_call(s->conn, ctx, text, &reply);
        if (!err && strcmp(reply.text.data, text) == 0)
            s->right++;
        else
            s->wrong++;
        sennit_ctx_reset(ctx, 60 * SENNIT_SECOND);
    }
    sennit_ctx_free(ctx);
    sennit_wait_group_done(&s->done);
}

static void *share_thread(void *arg)
{
    share_calls(arg);
    return NULL;
}

TEST_WITH(goroutines_and_threads_share_one_connection, 60, false)
{
    struct echo_server e;
    struct sharing s = { .calls = 100 };
    pthread_t threads[8];
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    s.conn = echo_dial(e.address);
    sennit_wait_group_add(&s.done, 108);
    for (int i = 0; i < 100; i++)
        check(!sennit_go(share_calls, &s));
    for (int i = 0; i < 8; i++)
        check(pthread_create(&threads[i], NULL, share_thread, &s) == 0);
    sennit_wait_group_wait(&s.done, NULL);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    check_int(s.wrong, 0);
    check_int(s.right, 10800);
    sennit_conn_free(s.conn);
    echo_stop(&e);
}

struct barrier {
    _Atomic int inside;
    int wanted;
    sennit_chan *open;
};

static sennit_err at_barrier(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                             struct echo_msg *r)
{
    struct barrier *b = self;
    (void)q;
    if (++b->inside == b->wanted)
        sennit_chan_close(b->open);
    sennit_chan_recv(b->open, ctx, &(char){ 0 });
    r->number = b->inside;
    return NULL;
}

TEST_WITH(a_thousand_handlers_wait_at_a_barrier, 60, false)
{
    static const struct echo_service service = { .unary = at_barrier };
    struct echo_server e;
    struct barrier b = { .wanted = 1000, .open = sennit_chan_new(1, 0) };
    struct sharing s = { .calls = 1 };
    echo_start(&e, &service, &b, (sennit_server_options){ .max_concurrent_streams = 2000 });
    s.conn = echo_dial(e.address);
    sennit_wait_group_add(&s.done, 1000);
    for (int i = 0; i < 1000; i++)
        check(!sennit_go(share_calls, &s));
    sennit_wait_group_wait(&s.done, NULL);
    check_int(b.inside, 1000);
    sennit_conn_free(s.conn);
    echo_stop(&e);
    sennit_chan_free(b.open);
}

TEST_WITH(calls_above_the_stream_limit_wait_their_turn, 60, false)
{
    struct echo_server e;
    struct sharing s = { .calls = 20 };
    echo_start(&e, &plain, NULL, (sennit_server_options){ .max_concurrent_streams = 3 });
    s.conn = echo_dial(e.address);
    sennit_wait_group_add(&s.done, 50);
    for (int i = 0; i < 50; i++)
        check(!sennit_go(share_calls, &s));
    sennit_wait_group_wait(&s.done, NULL);
    check_int(s.wrong, 0);
    check_int(s.right, 1000);
    sennit_conn_free(s.conn);
    echo_stop(&e);
}

static void stop_server(void *arg)
{
    struct echo_server *e = arg;
    sennit_sleep(NULL, 10 * SENNIT_MILLISECOND);
    sennit_server_stop(e->server, SENNIT_SECOND);
}

TEST_WITH(server_stopped_under_load_ends_every_call, 60, false)
{
    struct echo_server e;
    struct sharing s = { .calls = 300 };
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    s.conn = echo_dial(e.address);
    sennit_wait_group_add(&s.done, 20);
    check(!sennit_go(stop_server, &e));
    for (int i = 0; i < 20; i++)
        check(!sennit_go(share_calls, &s));
    sennit_wait_group_wait(&s.done, NULL);
    check_int(s.right + s.wrong, 6000);
    sennit_conn_free(s.conn);
    echo_stop(&e);
}
