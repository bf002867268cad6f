/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_connection.c: one connection as seen from inside: stream ids that run out (RFC 9113 5.1.1;
 * the id is set by the test, since 2^30 calls are too many), and what options announce. */
#include "base/limits.h"
#include "client/client.h"
#include "echo.h"
#include "h2/h2_frame.h"
#include "rpc/transport_private.h"

static sennit_err say(void *self, sennit_ctx *ctx, const struct echo_msg *q, struct echo_msg *r)
{
    (void)self, (void)ctx;
    r->number = q->number + 1;
    return NULL;
}
static sennit_err chat(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    const struct echo_msg *m;
    (void)self, (void)ctx;
    while ((m = sennit_recv(s))) {
        sennit_err err = sennit_send(s, m);
        if (err)
            return err;
    }
    return sennit_stream_error(s);
}
static const struct echo_service service = { .unary = say, .chat = chat };

static void call(sennit_conn *c, sennit_ctx *ctx, int64_t number)
{
    struct echo_msg q = { .number = number }, reply;
    sennit_err err = sennit_call(c, ctx, &echo_methods[0], &q, &reply, NULL, 0);
    check_str(err ? err->message : "fine", "fine");
    check_int(reply.number, number + 1);
}

TEST(when_ids_run_out_a_new_connection_is_made)
{
    struct echo_server e;
    echo_start(&e, &service, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 15 * SENNIT_SECOND);
    call(c, ctx, 1);
    struct transport *first = c->t;
    transport_ref(first);
    lock_take(&first->lock, LOCK_WRITE);
    first->out.next_id = H2_MAX_WINDOW - 2;
    lock_drop(&first->lock, LOCK_WRITE);
    sennit_stream *s = sennit_start(c, ctx, &echo_methods[3], NULL, NULL, 0); /* the last but one */
    call(c, ctx, 2);                                                          /* the last */
    check(c->t == first);
    call(c, ctx, 3);
    check(c->t && c->t != first);
    struct echo_msg m = { .number = 7 };
    check(!sennit_send(s, &m)); /* the old connection serves what it has */
    const struct echo_msg *back = sennit_recv(s);
    check(back && back->number == 7);
    check(!sennit_finish(s, NULL));
    transport_unref(first);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

/* The client's view of what the server announced, and the reverse is the same code. */
static void announced(sennit_server_options o, uint32_t stream, int64_t connection)
{
    struct echo_server e;
    echo_start(&e, &service, NULL, o);
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 15 * SENNIT_SECOND);
    call(c, ctx, 1);
    lock_take(&c->t->lock, LOCK_WRITE);
    check_int(c->t->out.peer.initial_window, stream);
    int64_t window = c->t->out.window;
    lock_drop(&c->t->lock, LOCK_WRITE);
    check(window <= connection && window > connection - 1000);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

TEST(windows_are_announced_as_the_options_say)
{
    announced((sennit_server_options){ 0 }, LIMIT_STREAM_WINDOW, LIMIT_CONN_WINDOW);
    announced((sennit_server_options){ .initial_window_size = 1 << 20,
                                       .initial_conn_window_size = 8 << 20 },
              1 << 20, 8 << 20);
    announced((sennit_server_options){ .initial_window_size = 5 }, LIMIT_STREAM_WINDOW_LEAST,
              LIMIT_CONN_WINDOW);
    announced((sennit_server_options){ .initial_window_size = SIZE_MAX,
                                       .initial_conn_window_size = SIZE_MAX },
              INT32_MAX, INT32_MAX);
}
