/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * stream.c (client): starts streaming calls. An RPC enters here from generated code (sennit_start)
 * and leaves to transport_open; sending and receiving are rpc/stream.c's. The stream is one block
 * chained to the caller's context: when that is freed or reset, an unfinished stream is cancelled
 * and all of it goes, so an abandoned stream never leaks. */
#include "rpc/stream.h"
#include "base/limits.h"
#include "base/sys.h"
#include "client/client.h"
#include "client/plan.h"

#define STREAM_FIRST_BLOCK 1024 /* octets: headers and the first request without an allocation */

struct client_stream {
    struct rpc_stream s;
    struct sennit_stream api;
    struct ctx_cleanup cleanup;
    struct ctx_watch watch;
    bool watched;
    struct sennit_arena arena;
    struct call_handout out;
    char first[STREAM_FIRST_BLOCK];
};

static struct client_stream *client_stream_of(struct rpc_stream *s)
{
    return container_of(s, struct client_stream, s);
}

static void client_stream_ended(struct rpc_stream *s) { (void)s; }

static void client_stream_free(struct rpc_stream *s)
{
    struct client_stream *c = client_stream_of(s);
    for (struct rpc_msg *m = s->first; m && !s->one_in;) {
        struct rpc_msg *next = m->next;
        sys.free(m);
        m = next;
    }
    arena_fini(&c->arena);
    sys.free(c);
}

static const struct rpc_stream_ops client_stream_ops = { .ended = client_stream_ended,
                                                         .free = client_stream_free };

static void client_stream_cleanup(struct ctx_cleanup *cleanup)
{
    struct client_stream *c = container_of(cleanup, struct client_stream, cleanup);
    if (c->watched)
        ctx_watch_del(&c->watch);
    if (c->s.t)
        transport_reset(&c->s, TRANSPORT_CANCEL);
    stream_api_fini(&c->api);
    stream_unref(&c->s);
}

static void client_stream_ctx_ended(struct ctx_watch *w)
{
    struct client_stream *c = container_of(w, struct client_stream, watch);
    bool late = atomic_load(&w->ctx->state) == CTX_EXPIRED;
    stream_finish(&c->s, late ? SENNIT_DEADLINE_EXCEEDED : SENNIT_CANCELLED,
                  sennit_s(late ? "context deadline exceeded" : "context canceled"));
    transport_reset(&c->s, TRANSPORT_CANCEL);
}

/* After done: fills what the caller asked for, makes the error. */
static sennit_err client_stream_status(struct sennit_stream *st)
{
    struct client_stream *c = client_stream_of(st->s);
    call_hand_out(&c->s, &c->out);
    return call_status_error(&c->s, &c->arena, sennit_ctx_deadline(st->ctx));
}

static const struct stream_side client_stream_side = { .status = client_stream_status };

static struct client_stream *client_stream_new(const struct call_plan *p, struct transport *t)
{
    struct client_stream *c = sys.malloc(sizeof *c);
    if (!c)
        return NULL;
    memset(c, 0, offsetof(struct client_stream, first));
    arena_init(&c->arena, c->first, sizeof c->first);
    c->arena.shared = true; /* the reader keeps metadata there while the owner reads */
    stream_init(&c->s, &client_stream_ops, t, &c->arena);
    c->s.max_recv = call_recv_limit(p);
    c->s.one_in = !(p->method->flags & 2);
    stream_api_init(&c->api, &c->s, &client_stream_side, p->method, p->ctx, false);
    c->api.max_send = call_send_limit(p);
    c->out.o = p->o;
    c->out.auth_type = call_auth_type(p);
    c->cleanup.fn = client_stream_cleanup;
    return c;
}

/* *again: the connection was gone before anything was sent. */
static sennit_err client_stream_open(const struct call_plan *p, struct client_stream *c,
                                     bool *again)
{
    sennit_str framed = { NULL, 0 };
    if (p->request) {
        sennit_err err = call_encode(p, &c->arena, &framed);
        if (err)
            return err;
        atomic_store(&c->api.closed_send, true);
    }
    return call_open_stream(p, &c->s, framed, p->request != NULL, again);
}

/* A stream whose start failed: it tells err from every call. */
static sennit_stream *client_stream_failed(const struct call_plan *p, struct client_stream *c,
                                           sennit_err err)
{
    if (!c)
        c = client_stream_new(p, NULL);
    if (!c)
        return NULL;
    c->api.failed_start = sennit_err_copy(&c->arena, err);
    if (!c->api.failed_start)
        c->api.failed_start = sennit_no_memory;
    ctx_cleanup_add(p->ctx, &c->cleanup);
    return &c->api;
}

static sennit_stream *client_stream_attempt(const struct call_plan *p, bool *again)
{
    sennit_err err = NULL;
    struct transport *t = conn_pick(p->conn, p->ctx, p->o.wait_for_ready > 0, &err);
    if (!t)
        return client_stream_failed(p, NULL, err);
    struct client_stream *c = client_stream_new(p, t);
    if (!c) {
        transport_unref(t);
        return NULL;
    }
    *again = false;
    err = client_stream_open(p, c, again);
    if (*again) {
        conn_forget(p->conn, t);
        stream_api_fini(&c->api);
        stream_unref(&c->s);
        transport_unref(t);
        return NULL;
    }
    transport_unref(t);
    if (err)
        return client_stream_failed(p, c, err);
    c->watched = ctx_watch_add(p->ctx, &c->watch, client_stream_ctx_ended);
    if (!c->watched) {
        c->watch.ctx = p->ctx;
        client_stream_ctx_ended(&c->watch);
    }
    ctx_cleanup_add(p->ctx, &c->cleanup);
    return &c->api;
}

sennit_stream *sennit_start(sennit_conn *conn, sennit_ctx *ctx, const sennit_method *m,
                            const void *request, const sennit_call_options *o, size_t size)
{
    struct call_plan p;
    if (!ctx || !call_plan_init(&p, conn, ctx, m, o, size))
        return NULL;
    p.request = request;
    sennit_err err = call_check(&p);
    if (!err && !conn_enter(conn))
        err = sennit_errorf(SENNIT_CANCELLED, "grpc: the client connection is closing");
    if (err)
        return client_stream_failed(&p, NULL, err);
    sennit_stream *st = NULL;
    bool again = true;
    for (int i = 0; again && i < CALL_ATTEMPTS; i++) {
        again = false;
        st = client_stream_attempt(&p, &again);
    }
    conn_leave(conn);
    if (!st && again)
        st = client_stream_failed(&p, NULL,
                                  sennit_errorf(SENNIT_UNAVAILABLE,
                                                "%s: no connection stayed up long enough to start",
                                                m->path));
    return st;
}
