/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * stream.c (client): starts streaming calls. An RPC enters here from generated code (sennit_start)
 * and leaves to transport_open; sending and receiving are rpc/stream.c's.
 *
 * The stream is one block chained to the caller's context: when that is freed or reset, an
 * unfinished stream is cancelled and all of it goes, so an abandoned stream never leaks. It has one
 * attempt, or two: what the peer never saw (REFUSED_STREAM, above GOAWAY's last id) is repeated
 * once on another connection (gRPC A6, transparent retry). For that the octets sent so far are
 * kept until the peer answers, up to max_retry_buffer_size. Whoever first finds the attempt ended
 * makes the next, under `repeat`, and a sender appends under it. */
#include "rpc/stream.h"
#include "base/limits.h"
#include "base/pool.h"
#include "base/sys.h"
#include "client/client.h"
#include "client/plan.h"
#include "rpc/intercept.h"

#define STREAM_FIRST_BLOCK 192 /* octets: header lists without an allocation */
#define STREAM_KEPT_FIRST  64  /* octets kept for another attempt, at first */

struct client_stream;
struct client_attempt {
    struct rpc_stream s;
    struct client_stream *owner;
    struct client_attempt *next;
    struct sennit_arena arena;
    char first[STREAM_FIRST_BLOCK];
};

struct client_stream {
    struct sennit_stream api;
    _Atomic uint32_t refs; /* the context's and the attempts' (the reader tells them of events) */
    struct call_plan plan; /* conn is held */
    struct ctx_cleanup cleanup;
    struct ctx_watch watch;
    bool watched;
    struct client_attempt *attempts; /* the newest first */

    sennit_str request; /* framed, in api.kept; of methods that take one message */

    sennit_mutex repeat; /* guards what follows, and is held while an attempt is made */
    _Atomic bool repeated;
    bool repeat_ended;      /* with the end of sending */
    _Atomic bool kept_over; /* answered, repeated, or too much was sent: nothing is kept now */
    char *kept;             /* framed messages; frozen once repeated (the transport refers to it) */
    size_t kept_len, kept_cap, kept_most;
};

/* They come and go by the thousand, made here and freed there: the system is not asked for each. */
static struct pool client_attempts = { .size = sizeof(struct client_attempt),
                                       .most = LIMIT_CALLS_KEPT };
static struct pool client_streams = { .size = sizeof(struct client_stream),
                                      .most = LIMIT_CALLS_KEPT };

static struct client_attempt *client_attempt_of(struct rpc_stream *s)
{
    return container_of(s, struct client_attempt, s);
}

static struct client_stream *client_stream_of(struct sennit_stream *st)
{
    return container_of(st, struct client_stream, api);
}

static void client_stream_unref(struct client_stream *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    stream_api_fini(&c->api);
    sys.free(c->kept);
    conn_unref(c->plan.conn);
    pool_give(&client_streams, c);
}

/* -- attempts --------------------------------------------------------------------------------- */

static void client_attempt_told(struct rpc_stream *s)
{
    stream_api_wake_header(&client_attempt_of(s)->owner->api);
}

static void client_attempt_ended(struct rpc_stream *s)
{
    client_attempt_told(s);
    rt_note_set(&s->drained); /* see stream_sent_again */
}

static void client_attempt_free(struct rpc_stream *s)
{
    struct client_attempt *a = client_attempt_of(s);
    if (!s->one_in)
        rpc_msg_free_all(s->first);
    struct client_stream *c = a->owner;
    arena_fini(&a->arena);
    pool_give(&client_attempts, a);
    client_stream_unref(c);
}

static const struct rpc_stream_ops client_attempt_ops = { .ended = client_attempt_ended,
                                                          .headers = client_attempt_told,
                                                          .free = client_attempt_free };

static struct client_attempt *client_attempt_new(struct client_stream *c, struct transport *t)
{
    struct client_attempt *a = pool_take(&client_attempts);
    if (!a)
        return NULL;
    memset(a, 0, offsetof(struct client_attempt, first));
    arena_init(&a->arena, a->first, sizeof a->first);
    a->arena.shared = true; /* the reader keeps metadata there while the owner reads */
    stream_init(&a->s, &client_attempt_ops, t, &a->arena);
    a->s.max_recv = call_recv_limit(&c->plan);
    a->s.one_in = !(c->plan.method->flags & 2);
    a->owner = c;
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return a;
}

/* One more attempt with body (framed; len 0: headers only). Parks for a connection and for stream
 * quota. */
static sennit_err client_attempt_start(struct client_stream *c, sennit_str body, bool end,
                                       struct client_attempt **out)
{
    struct sennit_conn *conn = c->plan.conn;
    for (int i = 0; i < CALL_ATTEMPTS; i++) {
        sennit_err err = NULL;
        bool gone = false;
        struct transport *t = conn_pick(conn, c->plan.ctx, c->plan.o.wait_for_ready > 0, &err);
        if (!t)
            return err;
        struct client_attempt *a = client_attempt_new(c, t);
        if (a)
            err = call_open_stream(&c->plan, &a->s, body, end, &gone);
        if (gone)
            conn_forget(conn, t);
        transport_unref(t); /* the attempt holds it */
        if (!a)
            return sennit_no_memory;
        if (!err && !gone) {
            *out = a;
            return NULL;
        }
        stream_unref(&a->s);
        if (err)
            return err;
    }
    return sennit_errorf(WHY(REFUSED), "%s: no connection stayed up long enough to start",
                         c->plan.method->path);
}

static void client_stream_end_if_late(struct client_stream *c)
{
    struct rpc_stream *s = atomic_load(&c->api.s);
    sennit_err ended = sennit_ctx_error(c->plan.ctx);
    if (!ended)
        return;
    stream_finish(s, WHY_OF(ended), sennit_s(ended->message));
    transport_reset(s, TRANSPORT_CANCEL);
}

/* Locked by `repeat`. kept_over is set when the new attempt is there (or will never be): until then
 * a sender waits for the lock. */
static bool client_stream_repeat(struct client_stream *c)
{
    struct client_attempt *a;
    sennit_str body = c->request.data ? c->request : (sennit_str){ c->kept, c->kept_len };
    if (atomic_load(&c->kept_over) || !conn_enter(c->plan.conn))
        return false;
    c->repeat_ended = atomic_load(&c->api.closed_send);
    bool started = !client_attempt_start(c, body, c->repeat_ended, &a);
    conn_leave(c->plan.conn);
    if (started) {
        a->next = c->attempts;
        c->attempts = a;
        atomic_store(&c->repeated, true);
        atomic_store_explicit(&c->api.s, &a->s, memory_order_release);
        client_stream_end_if_late(c); /* the watch has fired, and met the old one */
    }
    atomic_store(&c->kept_over, true);
    return started;
}

static bool client_stream_again(struct sennit_stream *st, struct rpc_stream *s)
{
    struct client_stream *c = client_stream_of(st);
    sennit_mutex_lock(&c->repeat, NULL);
    bool other = atomic_load(&st->s) != s || client_stream_repeat(c);
    sennit_mutex_unlock(&c->repeat);
    return other;
}

/* -- sending ---------------------------------------------------------------------------------- */

/* What another attempt would have to repeat. Locked by `repeat`. */
static void client_stream_keep(struct client_stream *c, const char *framed, size_t len)
{
    struct rpc_stream *s = atomic_load(&c->api.s);
    bool answered = atomic_load_explicit(&s->has_header, memory_order_acquire);
    size_t room = c->kept_cap ? c->kept_cap : STREAM_KEPT_FIRST;
    while (room < c->kept_len + len)
        room *= 2;
    bool fits = !answered && c->kept_len + len <= c->kept_most;
    if (fits && room > c->kept_cap) {
        char *more = sys.realloc(c->kept, room);
        fits = more != NULL;
        if (more)
            c->kept = more, c->kept_cap = room;
    }
    if (fits) {
        memcpy(c->kept + c->kept_len, framed, len);
        c->kept_len += len;
        return;
    }
    atomic_store(&c->kept_over, true);
    sys.free(c->kept);
    c->kept = NULL;
    c->kept_len = c->kept_cap = 0;
}

static enum transport_result client_stream_send(struct sennit_stream *st, const char *framed,
                                                size_t len, struct rpc_stream **to)
{
    struct client_stream *c = client_stream_of(st);
    if (!atomic_load_explicit(&c->kept_over, memory_order_acquire)) {
        sennit_mutex_lock(&c->repeat, NULL);
        bool keep = !atomic_load(&c->kept_over);
        enum transport_result r = TRANSPORT_OK;
        if (keep) {
            size_t before = c->kept_len;
            client_stream_keep(c, framed, len);
            *to = atomic_load(&st->s);
            r = transport_send(*to, framed, len, false);
            if (r == TRANSPORT_NO_MEMORY && c->kept)
                c->kept_len = before; /* the sender is told that it was not sent */
        }
        sennit_mutex_unlock(&c->repeat);
        if (keep)
            return r;
    }
    struct rpc_stream *s = *to = atomic_load_explicit(&st->s, memory_order_acquire);
    bool repeated = atomic_load_explicit(&c->repeated, memory_order_relaxed);
    if (repeated && !transport_wait_drained(s))
        return TRANSPORT_DEAD; /* what is repeated goes first */
    st->steady = !st->rpc->stats && !repeated && !c->plan.compressor;
    return transport_send(s, framed, len, false);
}

static void client_stream_half_close(struct sennit_stream *st)
{
    struct client_stream *c = client_stream_of(st);
    sennit_mutex_lock(&c->repeat, NULL);
    struct rpc_stream *s = atomic_load(&st->s);
    bool repeated = atomic_load(&c->repeated), ended = repeated && c->repeat_ended;
    sennit_mutex_unlock(&c->repeat);
    if (ended || (repeated && !transport_wait_drained(s)))
        return;
    if (atomic_load(&s->done) && !atomic_load(&s->end_seen))
        return; /* given up: its reset is on the way, and a clean end before that would be a lie */
    if (transport_send(s, NULL, 0, true) == TRANSPORT_NO_MEMORY) { /* the server would wait on */
        stream_finish(s, WHY(NO_MEMORY), sennit_s(sennit_no_memory->message));
        transport_reset(s, TRANSPORT_CANCEL);
    }
}

/* -- life ------------------------------------------------------------------------------------- */

static const struct sennit_error client_abandoned =
    ERR_FIXED(WHY(ABANDONED), "the stream was not finished");

static void client_stream_cleanup(struct ctx_cleanup *cleanup)
{
    struct client_stream *c = container_of(cleanup, struct client_stream, cleanup);
    if (c->watched)
        ctx_watch_del(&c->watch);
    stream_api_tell_end(&c->api, &client_abandoned);
    while (c->attempts) {
        struct client_attempt *a = c->attempts;
        c->attempts = a->next;
        transport_reset(&a->s, TRANSPORT_CANCEL);
        stream_unref(&a->s);
    }
    client_stream_unref(c);
}

static void client_stream_ctx_ended(struct ctx_watch *w)
{
    struct client_stream *c = container_of(w, struct client_stream, watch);
    struct rpc_stream *s = atomic_load(&c->api.s);
    bool late = atomic_load(&w->ctx->state) == CTX_EXPIRED;
    stream_finish(s, late ? WHY(DEADLINE) : WHY(CANCELLED),
                  sennit_s(late ? "context deadline exceeded" : "context canceled"));
    transport_reset(s, TRANSPORT_CANCEL);
}

/* After done: fills what the caller asked for, makes the error. */
static sennit_err client_stream_status(struct sennit_stream *st, struct rpc_stream *s)
{
    struct client_stream *c = client_stream_of(st);
    call_hand_out(s, &(struct call_handout){ .o = c->plan.o });
    return call_status_error(s, s->arena, sennit_ctx_deadline(st->ctx));
}

static const sennit_compressor *client_stream_compressor(struct sennit_stream *st)
{
    return client_stream_of(st)->plan.compressor;
}

static const struct stream_side client_stream_side = { .status = client_stream_status,
                                                       .compressor = client_stream_compressor,
                                                       .send = client_stream_send,
                                                       .half_close = client_stream_half_close,
                                                       .again = client_stream_again };

static struct client_stream *client_stream_new(const struct call_plan *p)
{
    struct client_stream *c = pool_take(&client_streams);
    if (!c)
        return NULL;
    memset(c, 0, sizeof *c);
    c->plan = *p;
    conn_ref(p->conn);
    atomic_init(&c->refs, 1);
    struct sennit_conn *conn = p->conn;
    message_begin(&c->plan.rpc, conn->stats.event ? &conn->stats : NULL, p->method, p->ctx, true);
    stream_api_init(&c->api, NULL, &client_stream_side, &c->plan.rpc);
    c->api.max_send = call_send_limit(p);
    c->kept_most = p->o.max_retry_buffer_size ? p->o.max_retry_buffer_size : LIMIT_RETRY_BUFFER;
    c->cleanup.fn = client_stream_cleanup;
    return c;
}

/* The stream tells it from every call. */
static void client_stream_fail(struct client_stream *c, sennit_err err)
{
    c->api.failed_start = sennit_err_copy(&c->api.kept, err);
    stream_api_tell_end(&c->api, err);
}

static sennit_err client_stream_open(struct client_stream *c)
{
    sennit_err err = NULL;
    if (c->plan.request) {
        err = call_encode(&c->plan, &c->api.kept, &c->request);
        atomic_store(&c->api.closed_send, true);
    }
    if (!err)
        err = client_attempt_start(c, c->request, c->plan.request != NULL, &c->attempts);
    if (err)
        return err;
    atomic_store(&c->api.s, &c->attempts->s);
    c->watched = ctx_watch_add(c->plan.ctx, &c->watch, client_stream_ctx_ended);
    if (!c->watched)
        client_stream_end_if_late(c);
    return NULL;
}

/* Always a stream, which tells from every call what went wrong; NULL: no memory. */
static struct client_stream *client_stream_begin(const struct call_plan *p)
{
    struct client_stream *c = client_stream_new(p);
    if (!c)
        return NULL;
    sennit_err err = call_check(&c->plan);
    if (!err && !conn_enter(p->conn)) {
        err = sennit_errorf(WHY(CLOSING), "grpc: the client connection is closing");
    } else if (!err) {
        err = client_stream_open(c);
        conn_leave(p->conn);
    }
    if (err)
        client_stream_fail(c, err);
    ctx_cleanup_add(p->ctx, &c->cleanup);
    return c;
}

/* The start of a stream behind interceptors. */
struct client_start {
    const struct call_plan *plan;
    struct client_stream *got; /* the last one that was started */
};

static sennit_err client_stream_innermost(void *arg, sennit_ctx *ctx, const void *request,
                                          void *reply)
{
    struct client_start *start = arg;
    struct call_plan p = *start->plan;
    (void)request, (void)reply;
    p.ctx = ctx && !ctx_is_lame(ctx) ? ctx : p.ctx;
    start->got = client_stream_begin(&p);
    if (!start->got)
        return sennit_no_memory;
    return start->got->api.failed_start ? sennit_err_copy(NULL, start->got->api.failed_start)
                                        : NULL;
}

/* What an interceptor returned is the stream's fate, also when it never called next. */
static struct client_stream *client_stream_intercepted(const struct call_plan *p)
{
    const sennit_conn_options *o = &p->conn->options;
    struct client_start start = { .plan = p };
    struct intercept_call call = { .list = o->interceptors,
                                   .n = o->n_interceptors,
                                   .method = p->method,
                                   .stream = true,
                                   .last = client_stream_innermost,
                                   .arg = &start };
    sennit_err err = intercept_run(&call, p->ctx, NULL, NULL);
    if (!err && !start.got)
        err = sennit_errorf(WHY(NO_STREAM), "%s: an interceptor returned success without a stream",
                            p->method->path);
    if (!err || (start.got && start.got->api.failed_start))
        return start.got;
    if (start.got) { /* nobody has it yet */
        struct rpc_stream *s = atomic_load(&start.got->api.s);
        stream_finish(s, WHY(ABANDONED), sennit_s("an interceptor gave up"));
        transport_reset(s, TRANSPORT_CANCEL);
        client_stream_fail(start.got, err);
        return start.got;
    }
    struct client_stream *c = client_stream_new(p);
    if (c) {
        client_stream_fail(c, err);
        ctx_cleanup_add(p->ctx, &c->cleanup);
    }
    return c;
}

sennit_stream *sennit_start(sennit_conn *conn, sennit_ctx *ctx, const sennit_method *m,
                            const void *request, const sennit_call_options *o, size_t size)
{
    struct call_plan p;
    if (!ctx || ctx_is_lame(ctx) || !call_plan_init(&p, conn, ctx, m, o, size))
        return NULL;
    p.request = request;
    struct client_stream *c = conn->options.n_interceptors && !conn->bad
                                  ? client_stream_intercepted(&p)
                                  : client_stream_begin(&p);
    return c ? &c->api : NULL;
}
