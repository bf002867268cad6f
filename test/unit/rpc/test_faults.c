/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_faults.c: whole RPCs, from sennit_server_new and sennit_dial to the last free, while any one
 * system call or allocation fails. Each call must end in its answer or in an error with a text,
 * nothing may be left behind, and since a fault strikes once, the next try must succeed. */
#include "struck.h"
#include <stdlib.h>
#include <unistd.h>

/* True: answered. False: a clean error, and only while a fault may strike. */
static bool struck_call(sennit_conn *c, sennit_ctx *ctx, const char *text,
                        const sennit_call_options *o)
{
    struct echo_msg q = { .text = sennit_s(text), .number = 6 }, reply;
    sennit_err err = sennit_call(c, ctx, &echo_methods[0], &q, &reply, o, sizeof *o);
    if (!err) {
        check_str(reply.text.data, text);
        check_int(reply.number, 7);
        return true;
    }
    if (!test_under_fault())
        test_failed(__FILE__, __LINE__, "%s", sennit_err_text(err));
    check(err->message[0]);
    if (err->code == SENNIT_DEADLINE_EXCEEDED)
        test_failed(__FILE__, __LINE__, "only the deadline ended the call: %s", err->message);
    check_int(reply.number, 0);
    check_str(reply.text.data, "");
    return false;
}

static const struct echo_service plain = { .unary = echo_back };

/* -- unary ------------------------------------------------------------------------------------ */

/* One call, and if that failed one that waits for a connection: the fault is past, so that one must
 * be answered, on the same connection object and by the same server. */
TEST_FAULTS(a_unary_call_then_one_that_recovers)
{
    struct struck s;
    bool up = struck_start(&s, &plain, NULL, "127.0.0.1:0");
    sennit_conn *c = echo_dial(up ? s.address : "127.0.0.1:1");
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    const sennit_call_options none = { 0 }, patient = { .wait_for_ready = 1 };
    if (up && !struck_call(c, ctx, "hello", &none) && !s.failed && !sennit_ctx_error(ctx) &&
        !sennit_conn_ready(c, ctx))
        check(struck_call(c, ctx, "hello", &patient));
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    struck_stop(&s);
}

static void one_call(const char *address, const char *target, const char *text)
{
    struct struck s;
    bool up = struck_start(&s, &plain, NULL, address);
    sennit_conn *c = echo_dial(target ? target : s.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    if (up)
        struck_call(c, ctx, text, &(sennit_call_options){ 0 });
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    struck_stop(&s);
}

TEST_FAULTS(a_unary_call_over_a_unix_socket)
{
    char path[64];
    snprintf(path, sizeof path, "unix:/tmp/sennit-faults-%d", (int)getpid());
    one_call(path, path, "local");
    if (test_under_fault())
        unlink(path + strlen("unix:")); /* one that could not be listened on stays */
    check(access(path + strlen("unix:"), F_OK) != 0);
}

TEST_FAULTS(a_unary_call_to_a_name)
{
    struct struck s;
    char target[64];
    bool up = struck_start(&s, &plain, NULL, "localhost:0");
    snprintf(target, sizeof target, "dns:///localhost:%s", up ? strrchr(s.address, ':') + 1 : "1");
    sennit_conn *c = echo_dial(target);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    if (up)
        struck_call(c, ctx, "named", &(sennit_call_options){ 0 });
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    struck_stop(&s);
}

TEST_FAULTS(a_message_larger_than_the_windows)
{
    static char text[300001];
    memset(text, 'w', sizeof text - 1);
    one_call("127.0.0.1:0", NULL, text);
}

static sennit_err tell_all(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                           struct echo_msg *r)
{
    const sennit_str *in = sennit_md_get(sennit_md_in(ctx), "x-in-bin", 0);
    (void)self, (void)r;
    sennit_err err = sennit_set_header(ctx, "x-header-bin", in ? *in : sennit_s("none"));
    if (!err)
        err = sennit_send_header(ctx);
    if (!err)
        err = sennit_set_trailer(ctx, "x-trailer", sennit_printf(ctx, "t%s", q->text.data));
    if (err)
        return err;
    return sennit_err_detail(sennit_errorf(SENNIT_NOT_FOUND, "no %s", q->text.data), "type/x",
                             sennit_s("detail"));
}

TEST_FAULTS(metadata_and_details_of_an_error)
{
    static const struct echo_service service = { .unary = tell_all };
    struct struck s;
    bool up = struck_start(&s, &service, NULL, "127.0.0.1:0");
    sennit_conn *c = echo_dial(up ? s.address : "127.0.0.1:1");
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg q = { .text = sennit_s("luck") }, reply;
    const sennit_md *header = NULL, *trailer = NULL;
    const sennit_peer *peer = NULL;
    sennit_md *md = sennit_md_make(ctx);
    sennit_err err = sennit_md_add(md, "x-in-bin", (sennit_str){ "\0\1", 2 });
    check(!err || test_under_fault());
    if (up && !err) {
        err =
            sennit_call(c, ctx, &echo_methods[0], &q, &reply,
                        &(sennit_call_options){
                            .metadata = md, .header = &header, .trailer = &trailer, .peer = &peer },
                        sizeof(sennit_call_options));
        check(err && err->message[0] && err->code != SENNIT_DEADLINE_EXCEEDED);
        if (!test_under_fault()) {
            check_int(err->code, SENNIT_NOT_FOUND);
            check_int(err->n_details, 1);
            check_str(sennit_md_get(trailer, "x-trailer", 0)->data, "tluck");
        }
    }
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    struck_stop(&s);
}

enum { MANY = 30 }; /* more than a header list holds by itself */

/* Each pair comes back in the header and in the trailer; what is secret stays so on its way. The
 * status is a number that no name is for. */
static sennit_err send_many(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                            struct echo_msg *r)
{
    const char *key;
    const sennit_str *value;
    sennit_err err = NULL;
    (void)self, (void)q, (void)r;
    for (size_t i = 0; !err && (value = sennit_md_at(sennit_md_in(ctx), i, &key)); i++) {
        if (strcmp(key, "user-agent") == 0)
            continue;
        err = sennit_set_header(ctx, key, *value);
        if (!err)
            err = sennit_set_trailer(ctx, key, *value);
    }
    if (!err)
        err = sennit_send_header(ctx);
    return err ? err : sennit_errorf((sennit_code)99, "a hundred less one");
}

static void check_many(const sennit_md *md)
{
    const char *key;
    check_str(sennit_md_get(md, "authorization", 0)->data, "secret");
    for (size_t i = 0; i < MANY; i++) {
        const sennit_str *value = sennit_md_at(md, i + 1, &key);
        check_str(key, i % 2 ? "x-text" : "x-octets-bin");
        check(value && value->len == 2 && value->data[1] == (char)('a' + i));
    }
    check(!sennit_md_at(md, MANY + 1, NULL));
}

TEST_FAULTS(more_metadata_than_most_calls_have)
{
    static const struct echo_service service = { .unary = send_many };
    struct struck s;
    bool up = struck_start(&s, &service, NULL, "127.0.0.1:0");
    sennit_conn *c = echo_dial(up ? s.address : "127.0.0.1:1");
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg q = { .text = sennit_s("q") }, reply;
    const sennit_md *header = NULL, *trailer = NULL;
    sennit_md *md = sennit_md_make(ctx);
    sennit_err err = sennit_md_add(md, "authorization", sennit_s("secret"));
    for (size_t i = 0; i < MANY && !err; i++) {
        const char value[2] = { i % 2 ? '.' : 0, (char)('a' + i) };
        err = sennit_md_add(md, i % 2 ? "x-text" : "x-octets-bin", (sennit_str){ value, 2 });
    }
    check(!err || test_under_fault());
    if (up && !err) {
        err = sennit_call(
            c, ctx, &echo_methods[0], &q, &reply,
            &(sennit_call_options){ .metadata = md, .header = &header, .trailer = &trailer },
            sizeof(sennit_call_options));
        check(err && err->message[0] && err->code != SENNIT_DEADLINE_EXCEEDED);
        if (!test_under_fault()) {
            check_int(err->code, SENNIT_UNKNOWN); /* so clients read a number without a name */
            check_str(err->message, "a hundred less one");
            check_many(header);
            check_many(trailer);
        }
    }
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    struck_stop(&s);
}

/* -- ends ------------------------------------------------------------------------------------- */

struct ending {
    struct rt_note inside;
    sennit_ctx *ctx;
};

static sennit_err wait_for_the_end(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                                   struct echo_msg *r)
{
    struct ending *e = self;
    (void)q, (void)r;
    rt_note_set(&e->inside);
    return sennit_sleep(ctx, 60 * SENNIT_SECOND);
}

static void cancel_inside(void *arg)
{
    struct ending *e = arg;
    rt_note_wait(&e->inside, "for the handler");
    sennit_ctx_cancel(e->ctx);
}

TEST_FAULTS(a_call_that_is_cancelled_while_its_handler_runs)
{
    static const struct echo_service service = { .unary = wait_for_the_end };
    struct struck s;
    struct ending e = { .ctx = sennit_ctx_new(NULL) };
    sennit_wait_group done = { { 0 } };
    bool up = struck_start(&s, &service, &e, "127.0.0.1:0");
    sennit_conn *c = echo_dial(up ? s.address : "127.0.0.1:1");
    struct echo_msg reply;
    bool canceller = up && !sennit_go(cancel_inside, &e);
    (void)done;
    if (canceller) {
        sennit_err err = echo_call(c, e.ctx, "x", &reply);
        check(err && err->message[0]);
        check(err->code == SENNIT_CANCELLED || test_under_fault());
        rt_note_set(&e.inside); /* when the call did not come so far */
    }
    sennit_conn_free(c);
    struck_stop(&s);
    while (rt_counts().goroutines)
        sennit_sleep(NULL, SENNIT_MILLISECOND); /* the canceller */
    sennit_ctx_free(e.ctx);
}

TEST_FAULTS(a_server_that_is_stopped_while_a_handler_runs)
{
    static const struct echo_service service = { .unary = wait_for_the_end };
    struct struck s;
    struct ending e = { .ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND) };
    bool up = struck_start(&s, &service, &e, "127.0.0.1:0");
    sennit_conn *c = echo_dial(up ? s.address : "127.0.0.1:1");
    struct echo_msg q = { .number = 1 };
    sennit_group *g = sennit_group_new(e.ctx);
    sennit_stream *st =
        up ? sennit_start(c, sennit_group_ctx(g), &echo_methods[3], NULL, NULL, 0) : NULL;
    if (st)
        sennit_send(st, &q); /* unimplemented: a stream that ends by itself */
    if (up)
        sennit_server_stop(s.server, 0);
    if (st) {
        sennit_err err = sennit_finish(st, NULL);
        check(err && err->message[0]);
    }
    sennit_group_free(g);
    sennit_ctx_free(e.ctx);
    sennit_conn_free(c);
    struck_stop(&s);
}
