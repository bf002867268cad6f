/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_conn.c: a channel's life: idle until the first call, failing fast or waiting, backing off,
 * several addresses, connecting again after its server went away, freed while calls are inside. */
#include "base/sys.h"
#include "client/client.h"
#include "echo.h"
#include <errno.h>
#include <stdlib.h>

static const struct echo_service plain = { .unary = echo_back };
static const sennit_call_options patient = { .wait_for_ready = 1 };

/* A server again on the address of one that was stopped. */
static void start_on(struct echo_server *e, const char *address)
{
    memset(e, 0, sizeof *e);
    e->server = sennit_server_new(&(sennit_server_options){ .creds = echo_creds() });
    check(!sennit_register(e->server, &echo_service_desc, &plain, NULL));
    sennit_err err = sennit_listen(e->server, address);
    check_str(err ? err->message : "", "");
    sennit_wait_group_add(&e->done, 1);
    check(!sennit_go(echo_serve, e));
}

static sennit_err call_patiently(sennit_conn *c, sennit_ctx *ctx)
{
    struct echo_msg q = { .number = 1 }, reply;
    sennit_err err = sennit_call(c, ctx, &echo_methods[0], &q, &reply, &patient, sizeof patient);
    check(err || reply.number == 2);
    return err;
}

TEST(pauses_between_attempts_grow_to_two_minutes_and_differ)
{
    static const struct {
        unsigned attempts;
        double seconds;
    } rows[] = { { 1, 1 }, { 2, 1.6 }, { 3, 2.56 }, { 10, 68.719 }, { 12, 120 }, { 100000, 120 } };
    for (size_t i = 0; i < countof(rows); i++) {
        double least = 1e9, most = 0;
        for (int k = 0; k < 2000; k++) {
            double s = (double)connect_backoff(rows[i].attempts) / (double)SENNIT_SECOND;
            least = s < least ? s : least;
            most = s > most ? s : most;
        }
        check(least >= 0.799 * rows[i].seconds && least < 0.9 * rows[i].seconds);
        check(most <= 1.201 * rows[i].seconds && most > 1.1 * rows[i].seconds);
    }
}

static _Atomic int sockets_made;
static int (*real_socket)(int family, int type, int protocol);
static int counting_socket(int family, int type, int protocol)
{
    atomic_fetch_add(&sockets_made, 1);
    return real_socket(family, type, protocol);
}

TEST(nothing_is_dialled_before_the_first_call_and_once_for_all)
{
    struct echo_server e;
    real_socket = sys.socket;
    sys.socket = counting_socket;
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    int before = sockets_made;
    sennit_conn *c = echo_dial(e.address);
    check_int(sockets_made, before);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    for (int i = 0; i < 20; i++)
        check(!echo_call(c, ctx, "x", &reply));
    check_int(sockets_made, before + 1);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

TEST(addresses_are_tried_in_order_until_one_answers)
{
    struct echo_server e;
    char target[300];
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    snprintf(target, sizeof target, "ipv4:127.0.0.1:1,127.0.0.1:2,%s", e.address);
    sennit_conn *c = echo_dial(target);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg q = { .number = 1 }, reply;
    const sennit_peer *peer = NULL;
    sennit_err err =
        sennit_call(c, ctx, &echo_methods[0], &q, &reply, &(sennit_call_options){ .peer = &peer },
                    sizeof(sennit_call_options));
    check_str(err ? err->message : "", "");
    check_str(peer->address, e.address);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

TEST(a_bad_target_fails_every_call_with_its_reason)
{
    sennit_conn *c = echo_dial("nope:///x");
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    struct echo_msg reply;
    for (int i = 0; i < 3; i++) {
        sennit_err err = echo_call(c, ctx, "x", &reply);
        check(err && err->code == SENNIT_INVALID_ARGUMENT && strstr(err->message, "nope:///x"));
        err = call_patiently(c, ctx);
        check(err && err->code == SENNIT_INVALID_ARGUMENT);
        err = sennit_conn_ready(c, ctx);
        check(err && err->code == SENNIT_INVALID_ARGUMENT);
    }
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
}

TEST(a_name_that_does_not_resolve_fails_fast_and_waits_when_told)
{
    sennit_conn *c = echo_dial("no-such-name.invalid:1");
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "x", &reply);
    check(err && err->code == SENNIT_UNAVAILABLE && strstr(err->message, "no-such-name.invalid"));
    sennit_ctx_reset(ctx, 30 * SENNIT_MILLISECOND);
    err = call_patiently(c, ctx);
    check(err && err->code == SENNIT_DEADLINE_EXCEEDED);
    check(strstr(err->message, "no-such-name.invalid")); /* the last error is not lost */
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
}

TEST(waiting_calls_end_with_their_context_and_with_the_connection)
{
    sennit_conn *c = echo_dial("127.0.0.1:1");
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_MILLISECOND);
    sennit_err err = call_patiently(c, ctx);
    check(err && err->code == SENNIT_DEADLINE_EXCEEDED);
    err = sennit_conn_ready(c, ctx);
    check(err && err->code == SENNIT_DEADLINE_EXCEEDED);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
}

TEST(a_channel_connects_again_when_its_server_is_back)
{
    struct echo_server e;
    char address[128];
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    snprintf(address, sizeof address, "%s", e.address);
    sennit_conn *c = echo_dial(address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 15 * SENNIT_SECOND);
    for (int i = 0; i < 3; i++) {
        check(!call_patiently(c, ctx));
        echo_stop(&e);
        start_on(&e, address);
    }
    check(!call_patiently(c, ctx));
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

struct waiting {
    sennit_conn *conn;
    _Atomic int inside, cancelled;
    sennit_wait_group done;
};

static sennit_err wait_in_handler(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                                  struct echo_msg *r)
{
    struct waiting *w = self;
    (void)q, (void)r;
    atomic_fetch_add(&w->inside, 1);
    return sennit_sleep(ctx, 60 * SENNIT_SECOND);
}

static void call_and_wait(void *arg)
{
    struct waiting *w = arg;
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND);
    struct echo_msg reply;
    sennit_err err = echo_call(w->conn, ctx, "x", &reply);
    check(err);
    atomic_fetch_add(&w->cancelled, err->code == SENNIT_CANCELLED);
    sennit_ctx_free(ctx);
    sennit_wait_group_done(&w->done);
}

TEST(freeing_a_connection_cancels_the_calls_inside_and_waits_for_them)
{
    static const struct echo_service service = { .unary = wait_in_handler };
    struct echo_server e;
    struct waiting w = { .inside = 0 };
    echo_start(&e, &service, &w, (sennit_server_options){ 0 });
    w.conn = echo_dial(e.address);
    sennit_wait_group_add(&w.done, 10);
    for (int i = 0; i < 10; i++)
        check(!sennit_go(call_and_wait, &w));
    while (atomic_load(&w.inside) < 10)
        sennit_sleep(NULL, SENNIT_MILLISECOND);
    sennit_conn_free(w.conn);
    sennit_wait_group_wait(&w.done, NULL);
    check_int(w.cancelled, 10);
    echo_stop(&e);
}

/* -- a server that hangs up ------------------------------------------------------------------- */

struct rude {
    struct net_listener *l;
    int hang_ups;
    sennit_wait_group done;
};

/* Takes connections and closes them at once. */
static void be_rude(void *arg)
{
    struct rude *r = arg;
    for (int i = 0; i < r->hang_ups;) {
        struct net_io *io = NULL;
        int error = net_accept(r->l, &io);
        if (error == -EAGAIN)
            check(rt_fd_wait_read(r->l->fd, NULL) == 0);
        else if (error == 0)
            i++, io->ops->close(io);
    }
    sennit_wait_group_done(&r->done);
}

TEST_PLAIN(a_peer_that_hangs_up_is_unavailable)
{
    struct rude r = { .hang_ups = 1 };
    check(!net_listen("127.0.0.1:0", &r.l));
    sennit_wait_group_add(&r.done, 1);
    check(!sennit_go(be_rude, &r));
    sennit_conn *c = echo_dial(r.l->text);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "x", &reply);
    check(err && err->code == SENNIT_UNAVAILABLE);
    check(strstr(err->message, "error reading server preface"));
    sennit_wait_group_wait(&r.done, NULL);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    net_listener_close(r.l);
}
