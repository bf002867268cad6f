/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * dispatch.c: requests to handlers.
 * An RPC enters here from the reader (new_stream, accept, request) and leaves to the user's
 * function in a goroutine of its own, started only when the request message is complete; its answer
 * goes to transport_respond. A call is one block: stream, context and the arena's first octets
 * together; it is freed when the reader and the handler have both let go. */
#include "base/limits.h"
#include "base/pool.h"
#include "base/sys.h"
#include "rpc/codec.h"
#include "rpc/compress.h"
#include "rpc/details.h"
#include "rpc/intercept.h"
#include "rpc/stream.h"
#include "rt/log.h"
#include "server/server.h"

/* Octets of the arenas' first blocks, metadata and messages of a small call without an allocation:
 * of the context's, where the reader puts what comes in, and of the handler's own. A deadline
 * and little metadata where messages come one by one and have memory of their own: what all calls
 * of a connection begin with is theirs together. */
#define CALL_FIRST_BLOCK  768u
#define CALL_OWN_BLOCK    512u
#define CALL_FIRST_STREAM 128u

/* What lives as long as the handler: on its stack, whose page is there anyway. */
struct dispatch_frame {
    struct rpc_handler h;
    struct message_rpc rpc;
    struct sennit_stream stream; /* streaming methods only */
};

struct server_call {
    struct rpc_stream s;
    struct dispatch_frame *f; /* while the handler runs */
    struct sennit_ctx ctx;
    struct ctx_watch watch;
    const struct server_method *m;
    struct server_conn *conn;
    bool watched, started, small;
    struct list put_off; /* in conn->put_off; holds a reference */
    /* Of the handler's goroutine alone, so without a lock: messages, decoded and encoded. It lives
     * as long as the call, for the transport may refer to the answer. A small call has none: its
     * first block begins here. */
    struct sennit_arena own;
    char first[];
};
#define CALL_SMALL (offsetof(struct server_call, own) + CALL_FIRST_STREAM)

/* Unary calls come and go by the thousand: the system is not asked for each. */
static struct pool dispatch_calls = {
    .size = sizeof(struct server_call) + CALL_FIRST_BLOCK + CALL_OWN_BLOCK, .most = LIMIT_CALLS_KEPT
};
static struct pool dispatch_small_calls = { .size = CALL_SMALL, .most = LIMIT_CALLS_KEPT };

static struct server_call *dispatch_call(struct rpc_stream *s)
{
    return container_of(s, struct server_call, s);
}

/* -- the reader's side ----------------------------------------------------------------------- */

/* The peer reset the stream, or the connection is over: the handler's context ends. */
static void dispatch_ended(struct rpc_stream *s) { ctx_end(&dispatch_call(s)->ctx, CTX_CANCELLED); }

/* NULL: it was small, and is given back. */
static inline struct server_call *dispatch_fini(struct rpc_stream *s)
{
    struct server_call *c = dispatch_call(s);
    if (unlikely(c->watched))
        ctx_watch_del(&c->watch);
    if (unlikely(!s->one_in && s->first))
        rpc_msg_free_all(s->first);
    ctx_fini_quick(&c->ctx);
    if (unlikely(c->small)) {
        pool_give(&dispatch_small_calls, c);
        return NULL;
    }
    if (unlikely(c->own.blocks != NULL))
        arena_fini(&c->own);
    return c;
}

static void dispatch_free(struct rpc_stream *s) { pool_give(&dispatch_calls, dispatch_fini(s)); }

/* The reader takes it again for one of the next requests. */
static void dispatch_drop(struct rpc_stream *s)
{
    struct server_conn *conn = dispatch_call(s)->conn;
    struct server_call *c = dispatch_fini(s);
    if (likely(c != NULL))
        pool_stock_give(&dispatch_calls, &conn->calls, c);
}

void dispatch_turned(struct transport *t)
{
    struct server_conn *conn = transport_owner(t);
    if (conn->calls.first)
        pool_give_stock(&dispatch_calls, &conn->calls);
}

static void dispatch_request(struct rpc_stream *s);
static void dispatch_start(struct server_call *c);
static const struct rpc_stream_ops dispatch_ops = {
    .request = dispatch_request,
    .ended = dispatch_ended,
    .free = dispatch_free,
    .drop = dispatch_drop,
};

/* The method that a path's table entry was found to mean; NULL: it was not looked up yet. */
static const struct server_method *dispatch_remembered(const struct server_registry *r,
                                                       uint16_t memo)
{
    return memo && memo <= r->room ? &r->slots[memo - 1] : NULL;
}

struct rpc_stream *dispatch_new_stream(struct transport *t, uint16_t memo)
{
    struct server_conn *conn = transport_owner(t);
    struct sennit_server *server = conn->server;
    uint32_t ended = atomic_load_explicit(&conn->ended, memory_order_relaxed);
    if (conn->started - ended >= server->options.max_concurrent_streams)
        return NULL; /* reset streams whose handlers still run count, too */
    const struct server_method *m = dispatch_remembered(&server->registry, memo);
    bool small = m && (m->method->flags & 1);
    struct server_call *c =
        small ? pool_take(&dispatch_small_calls) : pool_stock_take(&dispatch_calls, &conn->calls);
    if (!c)
        return NULL;
    c = __builtin_assume_aligned(c, _Alignof(struct server_call)); /* so its arenas' blocks are */
    c->f = NULL, c->m = NULL; /* s and ctx see to themselves, watch and put_off when linked */
    c->watched = c->started = false, c->small = small;
    ctx_init_root(&c->ctx, INT64_MAX, small ? (char *)&c->own : c->first,
                  small ? CALL_FIRST_STREAM : CALL_FIRST_BLOCK);
    c->ctx.arena.shared = false; /* the reader's alone until dispatch_share */
    if (likely(!small))
        arena_init(&c->own, c->first + CALL_FIRST_BLOCK, CALL_OWN_BLOCK);
    stream_init_known(&c->s, &dispatch_ops, t, &c->ctx.arena);
    c->s.max_recv = server->options.max_recv_msg_size;
    c->conn = conn;
    return &c->s;
}

BASE_COLD static void dispatch_answer(struct rpc_stream *s, sennit_code code, sennit_str message)
{
    s->failed_in = true;
    log_line(LOG_SERVER, SENNIT_LOG_DEBUG, code, "%s of %s is refused: %s", s->request.path,
             transport_auth(s->t)->peer.address, message.data);
    transport_respond(s, &(struct rpc_response){ .end = true, .code = code, .message = message });
}

/* grpc-go's words for paths that lead nowhere. */
BASE_COLD static void dispatch_unknown(struct rpc_stream *s, const struct server_registry *r)
{
    const char *path = s->request.path, *slash;
    sennit_str text;
    if (path[0] != '/' || !(slash = strchr(path + 1, '/'))) {
        text = arena_printf(s->arena, "malformed method name: \"%s\"", path);
    } else {
        size_t n = (size_t)(slash - path) - 1;
        if (registry_has_service(r, path + 1, n))
            text = arena_printf(s->arena, "unknown method %s for service %.*s", slash + 1, (int)n,
                                path + 1);
        else
            text = arena_printf(s->arena, "unknown service %.*s", (int)n, path + 1);
    }
    dispatch_answer(s, WHY(NO_METHOD), text.data ? text : sennit_s("unknown method"));
}

/* The deadline passed while the handler runs: answer for it; its own answer will find the stream
 * closed. Ends of other kinds need no answer. */
BASE_COLD static void dispatch_expired(struct ctx_watch *w)
{
    struct server_call *c = container_of(w, struct server_call, watch);
    if (atomic_load(&c->ctx.state) != CTX_EXPIRED)
        return;
    sennit_str text = sennit_s("context deadline exceeded");
    transport_respond(
        &c->s, &(struct rpc_response){ .end = true, .code = WHY(DEADLINE), .message = text });
    stream_finish(&c->s, WHY(DEADLINE), text); /* wakes who waits in the stream */
}

/* NULL: fine. */
static const struct server_method *dispatch_find(struct rpc_stream *s,
                                                 const struct server_registry *r)
{
    const struct rpc_request_head *q = &s->request;
    const struct server_method *m = dispatch_remembered(r, q->memo);
    if (m)
        return m;
    m = registry_find(r, q->path, q->path_len);
    size_t slot = m ? (size_t)(m - r->slots) + 1 : 0;
    if (slot && slot <= UINT16_MAX)
        transport_memo(s, (uint16_t)slot);
    return m;
}

BASE_COLD static sennit_err dispatch_invoke_unknown(const void *service, void *self,
                                                    sennit_ctx *ctx, const void *request,
                                                    void *reply, sennit_stream *stream)
{
    const sennit_unknown *u = service;
    (void)request, (void)reply;
    return u->handle(self, ctx, stream);
}

/* For the user's handler of unknown methods: an entry that lives as long as the call. */
BASE_COLD static const struct server_method *dispatch_own_method(struct rpc_stream *s,
                                                                 const struct sennit_server *server)
{
    struct {
        struct server_method entry;
        sennit_method method;
    } *own = arena_alloc(s->arena, sizeof *own);
    if (!own)
        return NULL;
    own->method = (sennit_method){ .version = SENNIT_TABLES,
                                   .flags = 3,
                                   .path = s->request.path,
                                   .request = &sennit_raw_desc,
                                   .reply = &sennit_raw_desc,
                                   .invoke = dispatch_invoke_unknown };
    own->entry = (struct server_method){ .method = &own->method,
                                         .service = &server->unknown,
                                         .self = server->unknown.self };
    return &own->entry;
}

/* From here on others than the reader may use the call's arena. Not written twice: after the first
 * time they may be reading it. */
static void dispatch_share(struct server_call *c)
{
    if (!c->ctx.arena.shared)
        c->ctx.arena.shared = true;
}

__attribute__((noinline)) static void dispatch_accept_any(struct rpc_stream *s)
{
    struct server_call *c = dispatch_call(s);
    const struct rpc_request_head *q = &s->request;
    struct sennit_server *server = c->conn->server;
    const struct server_method *m = dispatch_find(s, &server->registry);
    if (!m && server->unknown.handle && strchr(q->path + (q->path[0] == '/'), '/'))
        m = dispatch_own_method(s, server);
    if (!m) {
        dispatch_unknown(s, &server->registry);
        return;
    }
    if (unlikely(q->encoding) && !s->in_compressor && !compress_is_identity(q->encoding)) {
        sennit_str text = arena_printf(s->arena,
                                       "grpc: Decompressor is not installed for "
                                       "grpc-encoding \"%s\"",
                                       q->encoding);
        s->failed_in = true;
        transport_respond(s, &(struct rpc_response){
                                 .end = true,
                                 .code = WHY_AS(WHY(ENCODING), SENNIT_UNIMPLEMENTED),
                                 .message = text.data ? text : sennit_s("unknown grpc-encoding"),
                                 .accept_encoding = compress_accept() });
        return;
    }
    c->m = m;
    s->one_in = !(m->method->flags & 1);
    if (unlikely(q->timeout != INT64_MAX)) {
        dispatch_share(c);
        int64_t now = sennit_now();
        c->ctx.deadline = q->timeout > INT64_MAX - now ? INT64_MAX : now + q->timeout;
        c->watched = ctx_watch_add(&c->ctx, &c->watch, dispatch_expired);
        if (!c->watched) {
            dispatch_answer(s, WHY(DEADLINE), sennit_s("context deadline exceeded"));
            return;
        }
    }
    if (unlikely(m->method->flags & 1))
        dispatch_start(c); /* it reads while the peer still sends */
}

void dispatch_accept(struct rpc_stream *s)
{
    struct server_call *c = dispatch_call(s);
    const struct rpc_request_head *q = &s->request;
    const struct server_method *m = dispatch_remembered(&c->conn->server->registry, q->memo);
    if (unlikely(!m || q->encoding || q->timeout != INT64_MAX || m->method->flags & 1)) {
        dispatch_accept_any(s);
        return;
    }
    c->m = m;
    s->one_in = true;
}

/* -- the handler's goroutine ----------------------------------------------------------------- */

static const char *dispatch_encoding(struct server_call *c)
{
    const sennit_compressor *own = atomic_load_explicit(&c->f->h.compressor, memory_order_relaxed);
    return own ? own->name : NULL;
}

/* Told only where compression is used at all: to all others it is one more field in each answer. */
static inline const char *dispatch_accepts(struct server_call *c)
{
    return unlikely(c->s.request.encoding || dispatch_encoding(c)) ? compress_accept() : NULL;
}

static const sennit_peer *dispatch_peer(const struct server_call *c)
{
    return &transport_auth(c->s.t)->peer;
}

/* To the stats hook, before they go out. */
static void dispatch_tell_header(struct server_call *c)
{
    message_metadata(&c->f->rpc, SENNIT_EVENT_OUT_HEADER, c->f->h.header, dispatch_peer(c));
}

BASE_COLD static sennit_err dispatch_send_header(struct rpc_handler *h)
{
    struct server_call *c = container_of(h->s, struct server_call, s);
    dispatch_tell_header(c);
    enum transport_result r =
        transport_respond(&c->s, &(struct rpc_response){ .header = c->f->h.header,
                                                         .encoding = dispatch_encoding(c),
                                                         .accept_encoding = dispatch_accepts(c) });
    if (r == TRANSPORT_OK)
        return NULL;
    sennit_err ended = sennit_ctx_error(&c->ctx);
    return r == TRANSPORT_NO_MEMORY ? sennit_no_memory
           : ended                  ? ended
                                    : sennit_errorf(WHY(STREAM_OVER), "the stream is over");
}

static inline void dispatch_prepare(struct server_call *c, struct dispatch_frame *f)
{
    f->h = (struct rpc_handler){ .method = c->m->method,
                                 .s = &c->s,
                                 .send_header = dispatch_send_header };
    atomic_init(&f->h.compressor, c->s.in_compressor); /* the answer is as the request */
    c->f = f;
    c->ctx.slot[CTX_SLOT_RPC] = &f->h;
}

/* The RPC as its handler's stream sees it, once it is over. */
static sennit_err dispatch_stream_status(struct sennit_stream *st, struct rpc_stream *s)
{
    sennit_err ended = sennit_ctx_error(st->ctx);
    if (s->code == SENNIT_CANCELLED && ended)
        return ended;
    return s->code == SENNIT_OK ? NULL : sennit_errorf(STREAM_WHY(s), "%s", s->message.data);
}

/* Headers go out with the first message. */
static enum transport_result dispatch_stream_send(struct sennit_stream *st, const char *framed,
                                                  size_t len, struct rpc_stream **to)
{
    struct rpc_stream *s = *to = atomic_load_explicit(&st->s, memory_order_relaxed); /* for good */
    if (likely(atomic_load_explicit(&s->sent_head, memory_order_acquire))) {
        st->steady = !st->rpc->stats && !dispatch_encoding(dispatch_call(s)); /* which is final */
        return transport_send(s, framed, len, false);
    }
    struct rpc_handler *h = handler_of(st->ctx);
    lock_take(&h->lock, LOCK_STREAM);
    h->header_sent = true;
    lock_drop(&h->lock, LOCK_STREAM);
    struct server_call *c = dispatch_call(s);
    dispatch_tell_header(c);
    return transport_respond(s, &(struct rpc_response){ .header = h->header,
                                                        .body = framed,
                                                        .len = len,
                                                        .encoding = dispatch_encoding(c),
                                                        .accept_encoding = dispatch_accepts(c) });
}

static const sennit_compressor *dispatch_compressor(struct sennit_stream *st)
{
    return atomic_load(&dispatch_call(atomic_load(&st->s))->f->h.compressor);
}

static const struct stream_side dispatch_side = { .status = dispatch_stream_status,
                                                  .send = dispatch_stream_send,
                                                  .compressor = dispatch_compressor };

static bool dispatch_streams(const struct server_call *c) { return c->m->method->flags & 3; }

static void dispatch_open_stream(struct server_call *c)
{
    stream_api_init(&c->f->stream, &c->s, &dispatch_side, &c->f->rpc);
    c->f->stream.max_send = c->conn->server->options.max_send_msg_size;
}

/* Where the handler's messages are. */
static struct sennit_arena *dispatch_messages(struct server_call *c)
{
    return c->small ? &c->ctx.arena : &c->own;
}

/* Decodes the request of a method that takes one. *request stays NULL for the others. */
static sennit_err dispatch_take_request(struct server_call *c, void **request)
{
    const sennit_method *m = c->m->method;
    if (m->flags & 1)
        return NULL;
    struct sennit_arena *a = dispatch_messages(c);
    *request = arena_alloc(a, m->request->size);
    struct rpc_msg *msg = c->s.first; /* the only one, and whole before this goroutine began */
    if (!*request || !msg)
        return sennit_no_memory;
    return message_decode(&c->f->rpc, &c->s, msg, *request, a);
}

struct dispatch_inner {
    struct server_call *c;
    const void *request;
    void *reply;
};

static inline sennit_err dispatch_method(struct server_call *c, sennit_ctx *ctx,
                                         const void *request, void *reply)
{
    const sennit_method *m = c->m->method;
    if (reply)
        memcpy(reply, m->reply->empty, m->reply->size);
    return m->invoke(c->m->service, c->m->self, ctx, request, reply,
                     m->flags & 3 ? &c->f->stream : NULL);
}

/* Behind the interceptors; a stream's request and reply they do not see. */
static sennit_err dispatch_innermost(void *arg, sennit_ctx *ctx, const void *request, void *reply)
{
    const struct dispatch_inner *in = arg;
    struct server_call *c = in->c;
    if (c->m->method->flags & 3)
        request = in->request, reply = in->reply;
    return dispatch_method(c, ctx ? ctx : &c->ctx, request, reply);
}

static sennit_err dispatch_invoke(struct server_call *c, const void *request, void *reply)
{
    const sennit_server_options *o = &c->conn->server->options;
    if (likely(!o->n_interceptors))
        return dispatch_method(c, &c->ctx, request, reply);
    struct dispatch_inner in = { c, request, reply };
    bool stream = (c->m->method->flags & 3) != 0;
    if (reply) /* is seen by them before the handler has it */
        memcpy(reply, c->m->method->reply->empty, c->m->method->reply->size);
    struct intercept_call call = { .list = o->interceptors,
                                   .n = o->n_interceptors,
                                   .method = c->m->method,
                                   .stream = stream,
                                   .last = dispatch_innermost,
                                   .arg = &in };
    return intercept_run(&call, &c->ctx, stream ? NULL : request, stream ? NULL : reply);
}

#define DISPATCH_DROP 4096u /* octets of a request */

/* The answer may wait for the peer's window as long as that likes: a large request is not held
 * meanwhile. Who still uses the context may be reading it. */
static void dispatch_drop_request(struct server_call *c)
{
    struct rpc_msg *m = c->s.one_in ? c->s.first : NULL; /* of others it is the reader's, too */
    if (!m || m->len < DISPATCH_DROP || !ctx_unused(&c->ctx))
        return;
    c->s.first = NULL, c->s.last = &c->s.first; /* there is no second one */
    arena_drop(&c->ctx.arena, m, sizeof *m + m->len + 1);
}

/* dispatch_call_user for one message each way, plain, where nobody else listens. */
static inline sennit_err dispatch_call_plain(struct server_call *c, struct dispatch_frame *f,
                                             sennit_str *framed)
{
    const sennit_method *m = c->m->method;
    struct sennit_arena *a = &c->own;
    size_t asked = ((size_t)m->request->size + 7) & ~(size_t)7;
    char *request = arena_alloc(a, asked + m->reply->size), *reply = request + asked;
    struct rpc_msg *msg = c->s.first;
    if (unlikely(!request))
        return sennit_no_memory;
    sennit_err err = codec_decode(m->request, request, msg->body, msg->len, a, "request");
    if (unlikely(err))
        return err;
    memcpy(reply, m->reply->empty, m->reply->size);
    err = m->invoke(c->m->service, c->m->self, &c->ctx, request, reply, NULL);
    if (unlikely(err))
        return err;
    size_t most = c->conn->server->options.max_send_msg_size;
    const sennit_compressor *own = atomic_load_explicit(&f->h.compressor, memory_order_acquire);
    err = likely(!own) ? codec_encode(m->reply, reply, a, most, framed)
                       : message_encode(&f->rpc, own, reply, a, most, framed);
    if (unlikely(msg->len >= DISPATCH_DROP))
        dispatch_drop_request(c);
    return err;
}

/* Nothing that dispatch_call_plain leaves out. */
static inline bool dispatch_is_plain(const struct server_call *c, const struct sennit_server *s)
{
    return !(c->m->method->flags & 3) && !s->stats.event && !s->options.n_interceptors &&
           c->s.first && !c->s.first->compressed;
}

/* Decodes, calls the user's function, encodes: what it returns is the status. */
static sennit_err dispatch_call_user(struct server_call *c, sennit_str *framed)
{
    const sennit_method *m = c->m->method;
    struct sennit_arena *a = dispatch_messages(c);
    bool replies = !(m->flags & 2);
    void *request = NULL, *reply = replies ? arena_alloc(a, m->reply->size) : NULL;
    if (replies && !reply)
        return sennit_no_memory;
    sennit_err err = dispatch_take_request(c, &request);
    if (err)
        return err;
    err = dispatch_invoke(c, request, reply);
    if (err || !reply)
        return err;
    err = message_encode(&c->f->rpc, atomic_load(&c->f->h.compressor), reply, a,
                         c->conn->server->options.max_send_msg_size, framed);
    dispatch_drop_request(c);
    return err;
}

static void dispatch_tell_end(struct server_call *c, sennit_err err)
{
    struct dispatch_frame *f = c->f;
    if (!err && !atomic_load(&c->s.sent_head)) /* an error's are in the trailers' block */
        dispatch_tell_header(c);
    message_metadata(&f->rpc, SENNIT_EVENT_OUT_TRAILER, f->h.trailer, NULL);
    message_end(&f->rpc, err);
}

/* An answer of any kind. True: it waits for the peer's window, and goes without us. */
static bool dispatch_respond(struct server_call *c, sennit_err err, sennit_str framed)
{
    struct rpc_response r = {
        .header = c->f->h.header,
        .trailer = c->f->h.trailer,
        .encoding = err ? NULL : dispatch_encoding(c),
        .accept_encoding = dispatch_accepts(c),
        .end = true,
        .leaves = !err && !c->f->h.trailer && !dispatch_streams(c),
        .body = err ? NULL : framed.data,
        .len = err ? 0 : framed.len,
    };
    if (err) {
        r.code = err->code;
        r.message = sennit_s(err->message);
        r.details = details_encode(&c->ctx.arena, err);
    }
    enum transport_result result = transport_respond(&c->s, &r);
    if (result == TRANSPORT_NO_MEMORY)
        transport_reset(&c->s, TRANSPORT_CANCEL); /* no memory to say more */
    return result == TRANSPORT_WAITS;
}

/* The answer may wait as long as the peer likes: of all that the call needed, it alone is held. The
 * handler has left its context, and the reader has told all of a unary request. */
BASE_COLD static void dispatch_keep_answer(struct server_call *c, sennit_str framed)
{
    arena_keep_only(&c->own, framed.data);
    if (!c->ctx.cleanups)
        arena_keep_only(&c->ctx.arena, framed.data);
}

/* Other goroutines may still be inside the stream, or hold the context: they are woken, and waited
 * for. In a call without stream nobody but the handler waits, and it is here. */
static void dispatch_leave(struct server_call *c)
{
    bool streams = dispatch_streams(c);
    if (unlikely(c->watched))
        ctx_watch_del(&c->watch);
    c->watched = false;
    if (streams)
        stream_finish(&c->s, WHY(RETURNED), sennit_s("the handler has returned"));
    ctx_retire(&c->ctx);
    if (streams)
        stream_api_fini(&c->f->stream);
    c->ctx.slot[CTX_SLOT_RPC] = NULL;
    c->f = NULL;
}

__attribute__((noinline)) static sennit_err dispatch_call_odd(struct server_call *c,
                                                              sennit_str *framed)
{
    struct message_rpc *rpc = &c->f->rpc;
    message_metadata(rpc, SENNIT_EVENT_IN_HEADER, c->s.header, dispatch_peer(c));
    if (dispatch_streams(c))
        dispatch_open_stream(c);
    sennit_err err = dispatch_call_user(c, framed);
    if (unlikely(rpc->stats))
        dispatch_tell_end(c, err);
    return err;
}

static void dispatch_run(void *arg)
{
    struct server_call *c = arg;
    struct dispatch_frame f;
    sennit_str framed = { NULL, 0 };
    struct sennit_server *server = c->conn->server;
    dispatch_prepare(c, &f);
    message_begin(&f.rpc, server->stats.event ? &server->stats : NULL, c->m->method, &c->ctx,
                  false);
    sennit_err err = likely(dispatch_is_plain(c, server)) ? dispatch_call_plain(c, &f, &framed)
                                                          : dispatch_call_odd(c, &framed);
    /* Before the answer: the peer may open the next stream as soon as it has that. */
    atomic_fetch_add_explicit(&c->conn->ended, 1, memory_order_relaxed);
    lock_take(&f.h.lock, LOCK_STREAM);
    f.h.over = true;
    lock_drop(&f.h.lock, LOCK_STREAM);
    bool plain = !err && framed.data && !f.h.header && !f.h.trailer && !dispatch_accepts(c);
    bool left = false;
    if (unlikely(!plain || !transport_answer(&c->s, framed.data, framed.len)))
        left = dispatch_respond(c, err, framed);
    dispatch_leave(c);
    if (unlikely(left))
        dispatch_keep_answer(c, framed);
    stream_unref(&c->s);
}

static inline void dispatch_go(struct server_call *c)
{
    struct rpc_stream *s = &c->s;
    const sennit_server_options *o = &c->conn->server->options;
    unsigned flags = (o->small_stacks ? RT_GO_SMALL : 0) | (o->pin ? RT_GO_PIN : 0);
    if (rt_go(dispatch_run, c, c->m->method->path, flags)) {
        dispatch_answer(s, WHY(NO_MEMORY), sennit_s("no memory for a goroutine"));
        c->conn->started--;
        stream_unref(s);
    }
}

/* A peer that does not read its answers has no handlers begun for more: they would only hold
 * stacks. A request that ends meanwhile begins with the others, and sees that it has ended. */
static inline void dispatch_begin(struct server_call *c)
{
    c->started = true;
    dispatch_share(c);
    stream_ref(&c->s);
    c->conn->started++;
    if (unlikely(transport_put_off(c->s.t)))
        list_push_back(&c->conn->put_off, &c->put_off);
    else
        dispatch_go(c);
}

static void dispatch_start(struct server_call *c) { dispatch_begin(c); }

static void dispatch_request(struct rpc_stream *s)
{
    struct server_call *c = dispatch_call(s);
    if (likely(c->m && !c->started))
        dispatch_begin(c);
}

BASE_COLD void dispatch_put_off(struct transport *t)
{
    struct server_conn *conn = transport_owner(t);
    for (struct list *n; (n = list_pop_front(&conn->put_off));)
        dispatch_go(container_of(n, struct server_call, put_off));
}
