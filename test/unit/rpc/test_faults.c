/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_faults.c: whole RPCs, from sennit_server_new and sennit_dial to the last free, while any one
 * system call or allocation fails. Each call must end in its answer or in an error with a text,
 * nothing may be left behind, and since a fault strikes once, the next try must succeed. */
#include "echo.h"
#include <stdlib.h>
#include <unistd.h>

/* A server that may be struck at any point. */
struct struck {
    sennit_server *server;
    sennit_wait_group done;
    sennit_err served; /* kept in the server's goroutine: only whether there was one */
    _Atomic bool failed;
    bool running;
    char address[128];
};

static void struck_serve(void *arg)
{
    struct struck *s = arg;
    sennit_err err = sennit_serve(s->server);
    if (err) {
        check(err->message[0] && err->code != SENNIT_OK);
        atomic_store(&s->failed, true);
    }
    sennit_wait_group_done(&s->done);
}

/* False: it could not be made whole, and serve says so too. */
static bool struck_start(struct struck *s, const struct echo_service *service, void *self,
                         const char *address)
{
    memset(s, 0, sizeof *s);
    s->server = sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
    check(s->server);
    sennit_err err = sennit_register(s->server, &echo_service_desc, service, self);
    if (!err)
        err = sennit_listen(s->server, address);
    if (err) {
        check(test_under_fault() && err->message[0]);
        sennit_err again = sennit_serve(s->server);
        check(again && again->code == err->code);
        return false;
    }
    snprintf(s->address, sizeof s->address, "%s", sennit_bound_address(s->server, 0));
    sennit_wait_group_add(&s->done, 1);
    s->running = !sennit_go(struck_serve, s);
    if (!s->running)
        sennit_wait_group_done(&s->done);
    check(s->running || test_under_fault());
    return s->running;
}

static void struck_stop(struct struck *s)
{
    if (s->running)
        sennit_server_stop(s->server, 5 * SENNIT_SECOND);
    sennit_wait_group_wait(&s->done, NULL);
    sennit_server_free(s->server);
}

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

/* One call; then, whatever it met, one that waits for a connection and must be answered. */
static void call_twice(const char *address, const char *text)
{
    struct struck s;
    bool up = struck_start(&s, &plain, NULL, address);
    sennit_conn *c = echo_dial(up ? s.address : "127.0.0.1:1");
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    const sennit_call_options none = { 0 }, patient = { .wait_for_ready = 1 };
    bool answered = up && struck_call(c, ctx, text, &none);
    if (up && !answered && !s.failed && !sennit_ctx_error(ctx) && c &&
        sennit_conn_ready(c, ctx) == NULL)
        check(struck_call(c, ctx, text, &patient));
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    struck_stop(&s);
}

TEST_FAULTS(a_whole_unary_call_over_tcp) { call_twice("127.0.0.1:0", "hello"); }
