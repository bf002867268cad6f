/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * call.c: unary calls. An RPC enters here from generated code (sennit_call) and leaves to conn.c
 * for a transport, to the codec and to transport_open; then its goroutine parks on the stream's
 * note until the reader, or the end of its context, has finished the stream. A call is one block
 * with its own arena, so two goroutines of one context never share one. When it has handed out
 * anything (the reply, metadata) the block is chained to the context and lives as long; the reader
 * holds it too until HTTP/2 has let go of the stream. */
#include "base/limits.h"
#include "base/pool.h"
#include "client/plan.h"
#include "rpc/intercept.h"

#define CALL_FIRST_BLOCK                                                                           \
    1024 /* octets: a small call's headers and messages without an allocation */

struct client_call {
    struct rpc_stream s;
    struct ctx_cleanup cleanup;
    struct ctx_watch watch;
    struct call_handout *out; /* in the arena; NULL: not asked for */
    struct sennit_arena arena;
    char first[CALL_FIRST_BLOCK];
};

static struct pool call_pool = { .size = sizeof(struct client_call), .most = LIMIT_CALLS_KEPT };

static void call_free(struct rpc_stream *s)
{
    struct client_call *c = container_of(s, struct client_call, s);
    if (unlikely(c->arena.blocks != NULL))
        arena_fini(&c->arena);
    pool_give(&call_pool, c);
}

static const struct rpc_stream_ops call_ops = { .free = call_free };

static void call_cleanup(struct ctx_cleanup *cleanup)
{
    stream_unref(&container_of(cleanup, struct client_call, cleanup)->s);
}

BASE_COLD static void call_ctx_ended(struct ctx_watch *w)
{
    struct client_call *c = container_of(w, struct client_call, watch);
    bool late = atomic_load(&w->ctx->state) == CTX_EXPIRED;
    stream_finish(&c->s, late ? WHY(DEADLINE) : WHY(CANCELLED),
                  sennit_s(late ? "context deadline exceeded" : "context canceled"));
}

/* Takes the reference on t; also if there is no memory. */
static struct client_call *call_new(const struct call_plan *p, struct transport *t)
{
    struct client_call *c = pool_take(&call_pool);
    if (!c) {
        transport_unref(t);
        return NULL;
    }
    c->out = NULL;
    arena_init(&c->arena, c->first, sizeof c->first);
    stream_init_held(&c->s, &call_ops, t, &c->arena);
    c->s.max_recv = call_recv_limit(p);
    c->s.one_in = true;
    return c;
}

/* What the arena must hold later is taken before the reader, too, allocates there. */
static sennit_err call_open(struct call_plan *p, struct client_call *c, bool *gone)
{
    sennit_str framed;
    if (call_wants_more(p)) {
        c->out = arena_zalloc(&c->arena, sizeof *c->out);
        if (!c->out)
            return sennit_no_memory;
        c->out->o = p->o;
    }
    sennit_err err = call_encode(p, &c->arena, &framed);
    return err ? err : call_open_stream(p, &c->s, framed, true, gone);
}

static sennit_err call_status(struct call_plan *p, struct client_call *c)
{
    if (unlikely(c->s.code != SENNIT_OK))
        return call_status_error(&c->s, &c->arena, sennit_ctx_deadline(p->ctx));
    struct rpc_msg *m = c->s.first; /* the only one; it is done, so nobody adds */
    if (!m)
        return sennit_errorf(WHY(CARDINALITY),
                             "cardinality violation: %s ended with OK and without a response",
                             p->method->path);
    return message_decode(&p->rpc, &c->s, m, p->reply, &c->arena);
}

/* The stream is open: waits for its end and takes the result. *again: nobody saw it. *keeps: the
 * context has the caller's reference now. */
static inline sennit_err call_finish(struct call_plan *p, struct client_call *c, bool watched,
                                     bool *again, bool *keeps)
{
    struct rpc_stream *s = &c->s;
    while (!atomic_load_explicit(&s->done, memory_order_acquire))
        rt_note_wait(&s->note, "waiting for a response");
    if (watched)
        ctx_watch_del(&c->watch);
    if (unlikely(!stream_over(s)))
        transport_reset(s, TRANSPORT_CANCEL);
    *again = s->unprocessed;
    if (*again)
        return NULL;
    if (unlikely(p->rpc.stats))
        call_tell_metadata(p, s);
    sennit_err err = call_status(p, c);
    if (c->out)
        call_hand_out(s, c->out);
    if (likely(c->out || !err)) {
        *keeps = true;
        c->cleanup.fn = call_cleanup;
        ctx_cleanup_add(p->ctx, &c->cleanup);
    }
    return err;
}

/* Takes t, with its reference; NULL: picks one. */
static sennit_err call_attempt(struct call_plan *p, struct transport *t, bool *again)
{
    sennit_err err;
    bool gone = false, keeps = false;
    if (!t && !(t = conn_pick(p->conn, p->ctx, p->o.wait_for_ready > 0, &err)))
        return err;
    struct client_call *c = call_new(p, t);
    if (!c)
        return sennit_no_memory;
    err = call_open(p, c, &gone);
    if (!err && gone) {
        conn_forget(p->conn, c->s.t);
        *again = true;
    } else if (!err) {
        bool watched = ctx_watch_add(p->ctx, &c->watch, call_ctx_ended);
        if (!watched) {
            sennit_err ended = sennit_ctx_error(p->ctx);
            stream_finish(&c->s, ended ? WHY_OF(ended) : WHY(CANCELLED),
                          sennit_s(ended ? ended->message : "context canceled"));
        }
        err = call_finish(p, c, watched, again, &keeps);
    }
    if (unlikely(!keeps))
        stream_unref(&c->s);
    return err;
}

static sennit_err call_run(struct call_plan *p)
{
    sennit_err err = NULL;
    struct transport *t = conn_take(p->conn);
    if (unlikely(!t) && !conn_enter(p->conn))
        return sennit_errorf(WHY(CLOSING), "grpc: the client connection is closing");
    bool again = true;
    for (int i = 0; again && !err && i < CALL_ATTEMPTS; i++, t = NULL) {
        again = false;
        err = call_attempt(p, t, &again);
    }
    conn_leave(p->conn);
    if (again && !err)
        err = sennit_errorf(WHY(REFUSED),
                            "%s: the server refused the call %d times without "
                            "looking at it",
                            p->method->path, CALL_ATTEMPTS);
    return err;
}

/* Without a message: decoding one fills reply itself. */
BASE_COLD static sennit_err call_empty(const sennit_method *m, void *reply, sennit_err err)
{
    memcpy(reply, m->reply->empty, m->reply->size);
    return err;
}

/* Behind the interceptors: each may have put others in place of ctx, request and reply. */
BASE_COLD static sennit_err call_innermost(void *arg, sennit_ctx *ctx, const void *request,
                                           void *reply)
{
    struct call_plan p = *(const struct call_plan *)arg;
    p.ctx = p.rpc.ctx = ctx ? ctx : p.ctx;
    p.request = request, p.reply = reply;
    sennit_err err = sennit_ctx_error(p.ctx);
    if (!err)
        err = call_run(&p);
    return err ? call_empty(p.method, reply, err) : NULL;
}

sennit_err sennit_call(sennit_conn *conn, sennit_ctx *ctx, const sennit_method *m,
                       const void *request, void *reply, const sennit_call_options *o, size_t size)
{
    struct call_plan p;
    if (unlikely(!call_plan_init(&p, conn, ctx, m, o, size)))
        return call_empty(m, reply, sennit_no_memory);
    p.request = request, p.reply = reply;
    sennit_err err = call_check(&p);
    if (unlikely(err))
        return call_empty(m, reply, err);
    message_begin(&p.rpc, conn->stats.event ? &conn->stats : NULL, m, ctx, true);
    if (likely(!conn->options.n_interceptors)) {
        err = call_run(&p);
        if (unlikely(err))
            call_empty(m, reply, err);
    } else {
        call_empty(m, reply, NULL);
        err = intercept_run(&(struct intercept_call){ .list = conn->options.interceptors,
                                                      .n = conn->options.n_interceptors,
                                                      .method = m,
                                                      .last = call_innermost,
                                                      .arg = &p },
                            ctx, request, reply);
    }
    message_end(&p.rpc, err);
    return err;
}
