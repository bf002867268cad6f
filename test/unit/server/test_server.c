/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_server.c: a server's life: many services, several listeners, an inherited one, draining,
 * stopping, and what is refused by then. */
#include "base/sys.h"
#include "echo.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

static const struct echo_service plain = { .unary = echo_back };

static void call_right(const char *address)
{
    sennit_conn *c = echo_dial(address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "hello", &reply);
    check_str(err ? err->message : "", "");
    check_str(reply.text.data, "hello");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
}

static sennit_server *server_new(void)
{
    return sennit_server_new(&(sennit_server_options){ .creds = echo_creds() });
}

/* Starts what has been made; echo_stop stops it. */
static void start(struct echo_server *e, sennit_server *s)
{
    memset(e, 0, sizeof *e);
    e->server = s;
    sennit_wait_group_add(&e->done, 1);
    check(!sennit_go(echo_serve, e));
}

TEST(every_listener_of_a_server_is_served)
{
    struct echo_server e;
    char socket[64], tcp[3][128];
    sennit_server *s = server_new();
    snprintf(socket, sizeof socket, "unix:/tmp/sennit-server-%d", (int)getpid());
    check(!sennit_register(s, &echo_service_desc, &plain, NULL));
    for (int i = 0; i < 3; i++)
        check(!sennit_listen(s, "127.0.0.1:0"));
    check(!sennit_listen(s, socket));
    check_str(sennit_bound_address(s, 3), socket);
    check_str(sennit_bound_address(s, 4), "");
    for (size_t i = 0; i < 3; i++)
        snprintf(tcp[i], sizeof tcp[i], "%s", sennit_bound_address(s, i));
    check(strcmp(tcp[0], tcp[1]) != 0 && strcmp(tcp[1], tcp[2]) != 0);
    start(&e, s);
    for (int i = 0; i < 3; i++)
        call_right(tcp[i]);
    call_right(socket);
    echo_stop(&e);
    check(access(socket + 5, F_OK) != 0);
}

TEST(an_inherited_listener_is_served_and_closed)
{
    struct echo_server e;
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char address[128];
    int fd = sys.socket(AF_INET, SOCK_STREAM, 0); /* blocking, as a parent makes them */
    check(bind(fd, (struct sockaddr *)&in, sizeof in) == 0 && listen(fd, 10) == 0);
    sennit_server *s = server_new();
    check(!sennit_register(s, &echo_service_desc, &plain, NULL));
    check(!sennit_listen_fd(s, fd));
    snprintf(address, sizeof address, "%s", sennit_bound_address(s, 0));
    check(strncmp(address, "127.0.0.1:", 10) == 0);
    start(&e, s);
    call_right(address);
    echo_stop(&e);
    check(fcntl(fd, F_GETFD) < 0);
}

TEST(errors_of_listening_come_again_from_serve)
{
    sennit_server *s = server_new();
    sennit_err err = sennit_listen(s, "127.0.0.1:port");
    check(err);
    sennit_err again = sennit_serve(s);
    check(again && again->code == err->code);
    check_str(again->message, err->message);
    sennit_server_free(s);
    s = server_new();
    check(sennit_listen_fd(s, -1));
    check(sennit_serve(s));
    sennit_server_free(s);
    s = server_new();
    err = sennit_serve(s);
    check(err && err->code == SENNIT_FAILED_PRECONDITION && strstr(err->message, "listener"));
    sennit_server_free(s);
}

/* -- many services ---------------------------------------------------------------------------- */

enum { SERVICES = 60 };

TEST(methods_of_many_services_are_told_apart)
{
    static char names[SERVICES][32], paths[SERVICES][48];
    static sennit_method methods[SERVICES];
    static sennit_service_desc services[SERVICES];
    struct echo_server e;
    char address[128];
    sennit_server *s = server_new();
    for (int i = 0; i < SERVICES; i++) {
        snprintf(names[i], sizeof names[i], "test.Many%d", i);
        snprintf(paths[i], sizeof paths[i], "/test.Many%d/Unary", i);
        methods[i] = echo_methods[0];
        methods[i].path = paths[i];
        services[i] = (sennit_service_desc){ SENNIT_TABLES, 1, names[i], &methods[i], NULL };
        check(!sennit_register(s, &services[i], &plain, NULL));
    }
    check(!sennit_listen(s, "127.0.0.1:0"));
    snprintf(address, sizeof address, "%s", sennit_bound_address(s, 0));
    start(&e, s);
    sennit_conn *c = echo_dial(address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND);
    struct echo_msg q = { .number = 1 }, reply;
    for (int i = 0; i < SERVICES; i++) {
        check(!sennit_call(c, ctx, &methods[i], &q, &reply, NULL, 0));
        check_int(reply.number, 2);
    }
    sennit_method none = methods[0];
    none.path = "/test.Many60/Unary";
    sennit_err err = sennit_call(c, ctx, &none, &q, &reply, NULL, 0);
    check(err && err->code == SENNIT_UNIMPLEMENTED);
    check_str(err->message, "unknown service test.Many60");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

TEST(nothing_is_registered_or_listened_on_after_serve)
{
    static const sennit_service_desc other = { SENNIT_TABLES, 0, "test.Other", NULL, NULL };
    struct echo_server e;
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    call_right(e.address); /* so it serves */
    sennit_err err = sennit_register(e.server, &other, NULL, NULL);
    check(err && err->code == SENNIT_FAILED_PRECONDITION);
    err = sennit_listen(e.server, "127.0.0.1:0");
    check(err && err->code == SENNIT_FAILED_PRECONDITION);
    sennit_server_stop(e.server, 0);
    sennit_wait_group_wait(&e.done, NULL);
    err = sennit_serve(e.server);
    check(err);
    sennit_server_free(e.server);
}

/* -- stopping --------------------------------------------------------------------------------- */

struct gate {
    struct rt_note inside;
    sennit_chan *open;
    _Atomic int ended_by; /* code that the handler's wait gave; -1: it was let through */
};

static sennit_err at_gate(void *self, sennit_ctx *ctx, const struct echo_msg *q, struct echo_msg *r)
{
    struct gate *g = self;
    char c;
    rt_note_set(&g->inside);
    sennit_err err = sennit_chan_recv(g->open, ctx, &c);
    atomic_store(&g->ended_by, err ? (int)err->code : -1);
    r->text = q->text;
    return err;
}
static const struct echo_service gated = { .unary = at_gate };

struct caller {
    sennit_conn *conn;
    sennit_ctx *ctx;
    struct echo_msg reply;
    sennit_code code;
    sennit_wait_group done;
};

static void call_gate(void *arg)
{
    struct caller *c = arg;
    sennit_err err = echo_call(c->conn, c->ctx, "through", &c->reply);
    c->code = err ? err->code : SENNIT_OK;
    sennit_wait_group_done(&c->done);
}

static void call_inside(struct caller *c, struct gate *g, struct echo_server *e)
{
    memset(c, 0, sizeof *c);
    memset(g, 0, sizeof *g);
    g->open = sennit_chan_new(1, 1);
    echo_start(e, &gated, g, (sennit_server_options){ 0 });
    c->conn = echo_dial(e->address);
    c->ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND);
    sennit_wait_group_add(&c->done, 1);
    check(!sennit_go(call_gate, c));
    rt_note_wait(&g->inside, "for the handler");
}

static void leave(struct caller *c, struct gate *g, struct echo_server *e)
{
    sennit_ctx_free(c->ctx);
    sennit_conn_free(c->conn);
    echo_stop(e);
    sennit_chan_free(g->open);
}

struct stopper {
    sennit_server *server;
    sennit_duration grace;
    sennit_wait_group done;
};
static void stop(void *arg)
{
    struct stopper *s = arg;
    sennit_server_stop(s->server, s->grace);
    sennit_wait_group_done(&s->done);
}

TEST(a_graceful_stop_lets_running_calls_finish_and_refuses_new_ones)
{
    struct echo_server e;
    struct gate g;
    struct caller c;
    call_inside(&c, &g, &e);
    struct stopper s = { .server = e.server, .grace = -1 };
    sennit_wait_group_add(&s.done, 1);
    check(!sennit_go(stop, &s));
    sennit_err err = NULL;
    for (;;) { /* until the listener is closed */
        sennit_conn *late = echo_dial(e.address);
        sennit_ctx *ctx = sennit_ctx_timeout(NULL, 50 * SENNIT_MILLISECOND);
        struct echo_msg q = { .number = 1 }, reply;
        sennit_method nope = echo_methods[0]; /* as long as it is served: UNIMPLEMENTED */
        nope.path = "/test.Echo/Nope";
        err = sennit_call(late, ctx, &nope, &q, &reply, NULL, 0);
        check(err);
        sennit_code code = err->code;
        sennit_ctx_free(ctx);
        sennit_conn_free(late);
        if (code == SENNIT_UNAVAILABLE)
            break;
    }
    check_int(g.ended_by, 0);
    check(!sennit_chan_send(g.open, NULL, "x"));
    sennit_wait_group_wait(&c.done, NULL);
    sennit_wait_group_wait(&s.done, NULL);
    check_int(c.code, SENNIT_OK);
    check_str(c.reply.text.data, "through");
    check_int(g.ended_by, -1);
    leave(&c, &g, &e);
}

TEST(a_stop_at_once_cancels_handlers_and_returns_when_they_have)
{
    struct echo_server e;
    struct gate g;
    struct caller c;
    call_inside(&c, &g, &e);
    sennit_server_stop(e.server, 0);
    check_int(g.ended_by, SENNIT_CANCELLED);
    sennit_wait_group_wait(&c.done, NULL);
    check_int(c.code, SENNIT_UNAVAILABLE);
    leave(&c, &g, &e);
}

TEST(a_grace_period_that_passes_ends_the_handlers)
{
    struct echo_server e;
    struct gate g;
    struct caller c;
    call_inside(&c, &g, &e);
    sennit_server_stop(e.server, 30 * SENNIT_MILLISECOND);
    check_int(g.ended_by, SENNIT_CANCELLED);
    sennit_wait_group_wait(&c.done, NULL);
    check_int(c.code, SENNIT_UNAVAILABLE);
    leave(&c, &g, &e);
}

TEST(many_may_stop_a_server_at_once)
{
    struct echo_server e;
    struct stopper s[4];
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    call_right(e.address);
    e.stopping = true;
    for (int i = 0; i < 4; i++) {
        s[i] = (struct stopper){ .server = e.server, .grace = i * SENNIT_MILLISECOND };
        sennit_wait_group_add(&s[i].done, 1);
        check(!sennit_go(stop, &s[i]));
    }
    for (int i = 0; i < 4; i++)
        sennit_wait_group_wait(&s[i].done, NULL);
    echo_stop(&e);
}

TEST(a_server_that_never_served_is_freed)
{
    sennit_server *s = server_new();
    check(!sennit_register(s, &echo_service_desc, &plain, NULL));
    check(!sennit_listen(s, "127.0.0.1:0"));
    sennit_server_free(s);
    sennit_server_free(server_new());
    s = server_new();
    sennit_server_stop(s, -1);
    sennit_err err = sennit_serve(s);
    check(err && err->code == SENNIT_FAILED_PRECONDITION);
    sennit_server_free(s);
}

TEST(a_server_stopped_before_it_served_lets_nobody_wait)
{
    char address[128];
    sennit_server *s = server_new();
    check(!sennit_listen(s, "127.0.0.1:0"));
    const char *bound = sennit_bound_address(s, 0);
    snprintf(address, sizeof address, "%s", bound);
    sennit_server_stop(s, -1);
    check_str(bound, address); /* it lives as long as the server */
    check(sennit_serve(s));
    sennit_conn *c = echo_dial(address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "anybody?", &reply);
    check(err && err->code == SENNIT_UNAVAILABLE && strstr(err->message, "refused"));
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    sennit_server_free(s);
}

TEST(serve_fails_when_its_listener_is_taken_away)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    check(bind(fd, (struct sockaddr *)&in, sizeof in) == 0 && listen(fd, 10) == 0);
    int other = dup(fd);
    sennit_server *s = server_new();
    check(!sennit_listen_fd(s, fd));
    check(shutdown(other, SHUT_RDWR) == 0);
    sennit_err err = sennit_serve(s);
    check(err && err->code == SENNIT_UNAVAILABLE && strstr(err->message, "accept on 127.0.0.1:"));
    close(other);
    sennit_server_free(s);
}

/* -- what meets the start of serving ----------------------------------------------------------- */

static void serve_at_once(void *arg)
{
    struct echo_server *e = arg;
    sennit_err err = sennit_serve(e->server);
    check(!err || err->code == SENNIT_FAILED_PRECONDITION); /* stopped before */
    sennit_wait_group_done(&e->done);
}

/* Listening beside serve either comes in time, and is served, or is told that it came late. */
TEST_WITH(listening_and_stopping_beside_serve, 60, false)
{
    int counts[2] = { 0 };
    for (int i = 0; i < 200; i++) {
        struct echo_server e;
        memset(&e, 0, sizeof e);
        e.server = server_new();
        check(!sennit_register(e.server, &echo_service_desc, &plain, NULL));
        check(!sennit_listen(e.server, "127.0.0.1:0"));
        sennit_wait_group_add(&e.done, 1);
        check(!sennit_go(serve_at_once, &e));
        if (i % 4) {
            sennit_err err = sennit_listen(e.server, "127.0.0.1:0");
            check(!err || err->code == SENNIT_FAILED_PRECONDITION);
            if (err)
                check_str(sennit_bound_address(e.server, 1), "");
            else
                call_right(sennit_bound_address(e.server, 1));
            counts[err != NULL]++;
        }
        sennit_server_stop(e.server, 0);
        sennit_wait_group_wait(&e.done, NULL);
        sennit_server_free(e.server);
    }
    check_int(counts[0] + counts[1], 150);
}
