/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * stream.c: the public calls on streams, the same for client and server.
 * A message enters here from generated code (sennit_send), is encoded in the sender's arena and
 * goes to transport_send; what the reader queued leaves here decoded (sennit_recv). One goroutine
 * may send while another receives; a second sender or receiver is refused with an error that names
 * both and disturbs nobody. */
#include "rpc/stream.h"
#include "base/sys.h"
#include "rpc/codec.h"
#include "rt/why.h"
#include <stdio.h>

/* What was told to a goroutine that was refused as second receiver: its _error, or _finish, in that
 * goroutine asks for it. */
struct stream_refusal {
    struct stream_refusal *next;
    uint64_t id; /* of the goroutine */
    char text[480];
};
#define STREAM_REFUSALS 16 /* kept per stream; a program that errs more often has been told */

#define STREAM_SEND_FIRST 512 /* octets: small messages are encoded on the sender's stack */
#define STREAM_INLINE     __attribute__((always_inline)) static inline
#define STREAM_HELD_SWEEP 4 /* receivers before those whose goroutine has ended are looked for */

struct stream_header_waiter {
    struct list node;
    struct rt_note note;
};

static void stream_held_init(struct stream_held *h)
{
    h->next = NULL, h->who = 0, h->msg = NULL;
    arena_init(&h->arena, h->first, sizeof h->first);
}

void stream_api_init(struct sennit_stream *st, struct rpc_stream *s, const struct stream_side *side,
                     struct message_rpc *rpc)
{
    const sennit_method *m = rpc->method;
    bool server = !rpc->client;
    memset(st, 0, offsetof(struct sennit_stream, own));
    atomic_init(&st->s, s);
    st->side = side, st->method = m, st->ctx = rpc->ctx, st->server = server, st->rpc = rpc;
    st->in = server ? m->request : m->reply;
    st->one_in = !(m->flags & (server ? 1 : 2));
    st->handler = server ? rt_me() : 0;
    seat_init(&st->sender);
    seat_init(&st->receiver);
    list_init(&st->header_waiters);
    arena_init(&st->kept, NULL, 0);
    stream_held_init(&st->own);
    st->held = &st->own;
}

static struct rpc_stream *stream_now(struct sennit_stream *st)
{
    return atomic_load_explicit(&st->s, memory_order_acquire);
}

/* Lets go of the message that h's goroutine received last. Those of one_in streams lie in the
 * call's arena; a block goes when nobody has, or will be given, a message of it. */
static void stream_let_go(struct sennit_stream *st, struct stream_held *h)
{
    struct rpc_msg *m = h->msg;
    h->msg = NULL;
    if (m && --m->holders == 0 && m->more == 0 && !st->one_in)
        rpc_msg_free(m);
}

void stream_api_fini(struct sennit_stream *st)
{
    while (st->refusals) {
        struct stream_refusal *r = st->refusals;
        st->refusals = r->next;
        sys.free(r);
    }
    for (struct stream_held *h = st->held, *next; h; h = next) {
        next = h->next;
        stream_let_go(st, h);
        arena_fini(&h->arena);
        if (h != &st->own)
            sys.free(h);
    }
    if (!st->one_in)
        rpc_msg_free_all(st->queue);
    arena_fini(&st->kept);
}

/* -- seats ------------------------------------------------------------------------------------ */

BASE_COLD static const char *stream_my_name(void)
{
    struct rt_g *g = rt_self();
    return g ? rt_name(g) : "";
}

static inline bool stream_sit(struct seat *seat, uint64_t me)
{
    return likely(seat_at_home(seat, me)) ? seat_take_home(seat, me)
                                          : seat_take_guest(seat, me, stream_my_name());
}

/* The handler's own calls are over before its context is. */
static void stream_enter(struct sennit_stream *st, uint64_t me)
{
    if (me != st->handler)
        ctx_enter(st->ctx);
}

static void stream_leave(struct sennit_stream *st, uint64_t me)
{
    if (me != st->handler)
        ctx_leave(st->ctx);
}

BASE_COLD static void stream_who(uint64_t who, const char *name, char *text, size_t size)
{
    const char *kind = who & RT_THREAD_ID ? "thread" : "goroutine";
    unsigned long long id = who & ~RT_THREAD_ID;
    if (!who)
        snprintf(text, size, "another goroutine (which has just left)");
    else if (name && *name)
        snprintf(text, size, "%s %llu (%s)", kind, id, name);
    else
        snprintf(text, size, "%s %llu", kind, id);
}

/* The text for the one who came second. */
BASE_COLD static void stream_misuse(const struct sennit_stream *st, struct seat *seat,
                                    const char *doing, const char *running, char *text, size_t size)
{
    char me[96], other[96];
    const char *name;
    uint64_t holder = seat_holder(seat, &name);
    stream_who(rt_me(), stream_my_name(), me, sizeof me);
    stream_who(holder, name, other, sizeof other);
    snprintf(text, size,
             "%s on stream %s by %s while %s is %s on it: one goroutine may send while another "
             "receives, but two must take turns (the stream goes on undisturbed)",
             doing, st->method->path, me, other, running);
}

BASE_COLD static sennit_err stream_misuse_error(const struct sennit_stream *st, struct seat *seat,
                                                const char *doing, const char *running)
{
    char text[480];
    stream_misuse(st, seat, doing, running, text, sizeof text);
    return sennit_errorf(WHY(STREAM_SHARED), "%s", text);
}

/* recv has no error to return: keeps it for this goroutine's _error or _finish. */
BASE_COLD static void stream_keep_refusal(struct sennit_stream *st)
{
    struct stream_refusal *r = sys.malloc(sizeof *r);
    if (!r)
        return;
    r->id = rt_me();
    stream_misuse(st, &st->receiver, "recv", "receiving", r->text, sizeof r->text);
    size_t n = 0;
    lock_take(&st->lock, LOCK_PRIM);
    for (struct stream_refusal *o = st->refusals; o; o = o->next)
        n++;
    if (n < STREAM_REFUSALS)
        r->next = st->refusals, st->refusals = r, r = NULL;
    lock_drop(&st->lock, LOCK_PRIM);
    sys.free(r);
}

BASE_COLD static sennit_err stream_refused(struct sennit_stream *st)
{
    uint64_t id = rt_me();
    lock_take(&st->lock, LOCK_PRIM);
    struct stream_refusal **p = &st->refusals, *r = NULL;
    while (*p && (*p)->id != id)
        p = &(*p)->next;
    if ((r = *p))
        *p = r->next;
    lock_drop(&st->lock, LOCK_PRIM);
    if (!r)
        return NULL;
    sennit_err err = sennit_errorf(WHY(STREAM_SHARED), "%s", r->text);
    sys.free(r);
    return err;
}

/* -- attempts --------------------------------------------------------------------------------- */

static bool stream_done(const struct rpc_stream *s)
{
    return atomic_load_explicit(&s->done, memory_order_acquire);
}

/* s has ended: is there another attempt in its place? */
BASE_COLD static bool stream_again(struct sennit_stream *st, struct rpc_stream *s)
{
    return s->unprocessed && st->side->again && st->side->again(st, s);
}

/* -- sending ---------------------------------------------------------------------------------- */

BASE_COLD static sennit_err stream_over_error(struct sennit_stream *st, struct rpc_stream *s)
{
    sennit_err err = stream_done(s) ? st->side->status(st, s) : NULL;
    return err ? err
               : sennit_errorf(WHY(STREAM_OVER),
                               "send on stream %s: it has ended; finish, or "
                               "the next receive, says why",
                               st->method->path);
}

BASE_COLD static void stream_half_close(struct sennit_stream *st)
{
    if (!atomic_exchange(&st->closed_send, true))
        st->side->half_close(st);
}

/* The current attempt refused the message: true if another one has it now. */
BASE_COLD static bool stream_sent_again(struct sennit_stream *st, struct rpc_stream *s)
{
    while (!st->server && !stream_done(s))
        rt_note_wait(&s->drained, "waiting for a stream's end");
    if (!stream_done(s) || !stream_again(st, s))
        return false;
    return transport_wait_drained(stream_now(st));
}

/* As message_encode and message_decode, with the usual way here. */
static inline sennit_err stream_encode(struct sennit_stream *st, const sennit_compressor *c,
                                       const void *msg, struct sennit_arena *a, sennit_str *framed)
{
    if (unlikely(c || st->rpc->stats))
        return message_encode(st->rpc, c, msg, a, st->max_send, framed);
    const sennit_method *m = st->method;
    return codec_encode(st->server ? m->reply : m->request, msg, a, st->max_send, framed);
}

static inline sennit_err stream_decode(struct sennit_stream *st, struct rpc_msg *m, void *to,
                                       struct sennit_arena *a)
{
    if (unlikely(m->compressed || st->rpc->stats))
        return message_decode(st->rpc, stream_now(st), m, to, a);
    return codec_decode(st->in, to, m->body, m->len, a, st->server ? "request" : "response");
}

static sennit_err stream_send_failed(struct sennit_stream *st, enum transport_result r,
                                     struct rpc_stream *s)
{
    if (r == TRANSPORT_WAITS)
        r = transport_wait_drained(s) ? TRANSPORT_OK : TRANSPORT_DEAD;
    if (r == TRANSPORT_NO_MEMORY)
        return sennit_no_memory;
    if (r != TRANSPORT_DEAD && r != TRANSPORT_GONE)
        return NULL;
    return stream_sent_again(st, s) ? NULL : stream_over_error(st, stream_now(st));
}

/* Any message, on any stream. */
__attribute__((noinline)) static sennit_err stream_send_any(struct sennit_stream *st,
                                                            const void *msg, struct sennit_arena *a)
{
    sennit_str framed;
    if (atomic_load(&st->closed_send))
        return sennit_errorf(WHY(SEND_CLOSED), "send on stream %s after close_send",
                             st->method->path);
    struct rpc_stream *s = stream_now(st);
    if (stream_done(s) && !stream_again(st, s))
        return stream_over_error(st, s);
    const sennit_compressor *c = st->side->compressor(st);
    if (atomic_load_explicit(&st->plain, memory_order_relaxed))
        c = NULL;
    sennit_err err = stream_encode(st, c, msg, a, &framed);
    if (err)
        return err;
    enum transport_result r = st->side->send(st, framed.data, framed.len, &s);
    return r == TRANSPORT_OK ? NULL : stream_send_failed(st, r, s);
}

/* The transport has let go of the message when this returns: sent, copied, or its stream is over.
 */
STREAM_INLINE sennit_err stream_send_seated(struct sennit_stream *st, const void *msg)
{
    sennit_err err = NULL;
    sennit_str framed = { NULL, 0 };
    struct sennit_arena a;
    char first[STREAM_SEND_FIRST];
    struct rpc_stream *s = stream_now(st);
    arena_init(&a, first, sizeof first);
    if (likely(st->steady && !atomic_load_explicit(&st->closed_send, memory_order_relaxed) &&
               !stream_done(s))) {
        const sennit_msg_desc *d = st->server ? st->method->reply : st->method->request;
        err = codec_encode(d, msg, &a, st->max_send, &framed);
        if (likely(!err)) {
            enum transport_result r = transport_send(s, framed.data, framed.len, false);
            if (unlikely(r != TRANSPORT_OK))
                err = stream_send_failed(st, r, s);
        }
    } else {
        err = stream_send_any(st, msg, &a);
    }
    if (unlikely(a.blocks))
        arena_fini(&a);
    return err;
}

/* A close_send that met a send leaves close_wanted, and then, behind a seat_fence, tries the seat
 * itself: one of the two sees it. */
BASE_COLD static void stream_close_if_wanted(struct sennit_stream *st, uint64_t me)
{
    while (unlikely(atomic_load(&st->close_wanted)) && !atomic_load(&st->closed_send) &&
           stream_sit(&st->sender, me)) {
        stream_half_close(st);
        seat_leave(&st->sender, me);
    }
}

STREAM_INLINE sennit_err stream_send(struct sennit_stream *st, const void *msg, uint64_t me)
{
    if (!stream_sit(&st->sender, me))
        return stream_misuse_error(st, &st->sender, "send", "sending");
    sennit_err err = stream_send_seated(st, msg);
    seat_leave(&st->sender, me);
    if (unlikely(atomic_load(&st->close_wanted)))
        stream_close_if_wanted(st, me);
    return err;
}

sennit_err sennit_send(sennit_stream *st, const void *msg)
{
    if (!st)
        return sennit_no_memory;
    if (st->failed_start)
        return sennit_err_copy(NULL, st->failed_start);
    uint64_t me = rt_me();
    stream_enter(st, me);
    sennit_err err = stream_send(st, msg, me);
    stream_leave(st, me);
    return err;
}

BASE_COLD void sennit_stream_compress(sennit_stream *st, bool on)
{
    if (st)
        atomic_store(&st->plain, !on);
}

/* False: another goroutine is sending (text says which), and what it sends will be the last. */
BASE_COLD static bool stream_close_send(struct sennit_stream *st, char *text, size_t size)
{
    uint64_t me = rt_me();
    if (!stream_sit(&st->sender, me)) {
        stream_misuse(st, &st->sender, "close_send", "sending", text, size);
        atomic_store(&st->close_wanted, true);
        seat_fence();
        stream_close_if_wanted(st, me);
        return false;
    }
    stream_half_close(st);
    seat_leave(&st->sender, me);
    return true;
}

BASE_COLD sennit_err sennit_close_send(sennit_stream *st)
{
    if (!st)
        return sennit_no_memory;
    if (st->failed_start || st->server)
        return NULL;
    ctx_enter(st->ctx);
    char text[480];
    bool done = stream_close_send(st, text, sizeof text);
    sennit_err err = done ? NULL : sennit_errorf(WHY(STREAM_SHARED), "%s", text);
    ctx_leave(st->ctx);
    return err;
}

/* -- receiving -------------------------------------------------------------------------------- */

/* An idle stream holds no memory but its own. */
BASE_COLD static void stream_idle(struct stream_held *h)
{
    if (h && h->arena.blocks) {
        arena_fini(&h->arena);
        arena_init(&h->arena, h->first, sizeof h->first);
    }
}

/* The next message of those that were taken. */
static inline struct rpc_msg *stream_step(struct sennit_stream *st)
{
    struct rpc_msg *m = st->queue;
    if (m->more) {
        char *prefix = m->body + m->len;
        m->len = load_be32((const uint8_t *)prefix + 1);
        m->body = prefix + 5;
        m->more -= 5 + m->len;
    }
    if (!m->more)
        st->queue = m->next;
    return m;
}

/* h: the caller's, which is released; or NULL. */
static struct rpc_msg *stream_next(struct sennit_stream *st, struct stream_held *h)
{
    if (likely(st->queue))
        return stream_step(st);
    for (bool look = false;; look = true) {
        struct rpc_stream *s = stream_now(st);
        bool over = stream_done(s) || (st->server && atomic_load(&s->remote_ended));
        /* Who queues a message sets the note afterwards: without it none is there, or it comes. */
        if (look || over || s->one_in || rt_note_is_set(&s->note))
            st->queue = stream_take(s);
        if (st->queue)
            return stream_step(st);
        if (!over) {
            stream_idle(h);
            stream_wait_message(s);
        } else if (!stream_done(s) || !stream_again(st, s))
            return NULL;
    }
}

static void stream_release(struct sennit_stream *st, struct stream_held *h)
{
    stream_let_go(st, h);
    arena_rewind(&h->arena);
}

/* One whose goroutine has ended; NULL: none. Threads are kept: there are few. */
BASE_COLD static struct stream_held *stream_held_orphan(struct sennit_stream *st)
{
    size_t n = 0;
    for (struct stream_held *h = st->held; h; h = h->next)
        n++;
    for (struct stream_held *h = n < STREAM_HELD_SWEEP ? NULL : st->held; h; h = h->next) {
        if (!(h->who & RT_THREAD_ID) && !rt_alive(h->g, h->who))
            return h;
    }
    return NULL;
}

/* What the calling goroutine received before is released. NULL: no memory. */
static struct stream_held *stream_held_mine(struct sennit_stream *st, uint64_t me)
{
    struct stream_held *h = st->held;
    while (h && h->who != me)
        h = h->next;
    if (!h && !st->own.who)
        h = &st->own;
    if (!h)
        h = stream_held_orphan(st);
    if (h) {
        stream_release(st, h);
    } else if ((h = sys.malloc(sizeof *h))) {
        stream_held_init(h);
        h->next = st->held;
        st->held = h;
    }
    if (h && unlikely(h->who != me))
        h->who = me, h->g = rt_self();
    return h;
}

BASE_COLD static void stream_recv_error(struct sennit_stream *st, sennit_err err)
{
    struct rpc_stream *s = stream_now(st);
    st->recv_error = sennit_err_copy(&st->kept, err);
    atomic_store(&st->recv_failed, true);
    if (!st->server) {
        stream_finish(s, WHY_OF(err), sennit_s(st->recv_error->message));
        transport_reset(s, TRANSPORT_CANCEL);
    }
}

/* Client: the stats hook, once: the response's headers are there. */
BASE_COLD static void stream_tell_header(struct sennit_stream *st)
{
    struct rpc_stream *s = stream_now(st);
    if (!st->server && s && atomic_load(&s->has_header) && !atomic_exchange(&st->told_header, true))
        message_metadata(st->rpc, SENNIT_EVENT_IN_HEADER, s->header, &transport_auth(s->t)->peer);
}

/* Waits for a message and holds it in the caller's place; NULL: there is none. */
__attribute__((noinline)) static struct stream_held *stream_recv_any(struct sennit_stream *st,
                                                                     uint64_t me)
{
    struct stream_held *h = stream_held_mine(st, me);
    struct rpc_msg *m = h ? stream_next(st, h) : NULL;
    if (!h)
        stream_recv_error(st, sennit_no_memory);
    if (!m)
        return NULL;
    h->msg = m;
    m->holders++;
    return h;
}

STREAM_INLINE const void *stream_recv_seated(struct sennit_stream *st, uint64_t me)
{
    if (atomic_load_explicit(&st->recv_failed, memory_order_relaxed)) /* of the receiver */
        return NULL;
    struct stream_held *h = st->held;
    struct rpc_msg *m = st->queue;
    if (likely(m && h && h->msg == m && h->who == me)) { /* the next one of the same block */
        stream_step(st);
        arena_rewind(&h->arena);
    } else {
        h = stream_recv_any(st, me);
        if (!h)
            return NULL;
        m = h->msg;
    }
    if (unlikely(st->rpc->stats))
        stream_tell_header(st);
    void *msg = arena_alloc(&h->arena, st->in->size);
    sennit_err err = msg ? stream_decode(st, m, msg, &h->arena) : sennit_no_memory;
    stream_consumed(stream_now(st), m->len);
    if (!err)
        return msg;
    stream_recv_error(st, err);
    return NULL;
}

const void *sennit_recv(sennit_stream *st)
{
    const void *msg = NULL;
    if (!st || st->failed_start)
        return NULL;
    uint64_t me = rt_me();
    stream_enter(st, me);
    if (likely(stream_sit(&st->receiver, me))) {
        msg = stream_recv_seated(st, me);
        seat_leave(&st->receiver, me);
    } else {
        stream_keep_refusal(st);
    }
    stream_leave(st, me);
    return msg;
}

BASE_COLD static sennit_err stream_status(struct sennit_stream *st)
{
    struct rpc_stream *s = stream_now(st);
    if (atomic_load(&st->recv_failed))
        return sennit_err_copy(NULL, st->recv_error);
    return stream_done(s) ? st->side->status(st, s) : NULL;
}

BASE_COLD sennit_err sennit_stream_error(sennit_stream *st)
{
    if (!st)
        return sennit_no_memory;
    if (st->failed_start)
        return sennit_err_copy(NULL, st->failed_start);
    ctx_enter(st->ctx);
    sennit_err err = stream_refused(st);
    if (!err)
        err = stream_status(st);
    ctx_leave(st->ctx);
    return err;
}

/* -- finish (client) -------------------------------------------------------------------------- */

/* The one reply of a client-streaming call, into the caller's struct; it lives as long as ctx. */
BASE_COLD static sennit_err stream_take_reply(struct sennit_stream *st, void *reply)
{
    struct rpc_msg *m = stream_next(st, NULL);
    struct rpc_stream *s = stream_now(st);
    while (!stream_done(s))
        rt_note_wait(&s->note, "waiting for the status");
    sennit_err err = st->side->status(st, s);
    if (err)
        return err;
    if (!m)
        return sennit_errorf(WHY(CARDINALITY),
                             "cardinality violation: %s ended with OK and without a response",
                             st->method->path);
    return message_decode(st->rpc, s, m, reply, s->arena);
}

BASE_COLD static sennit_err stream_drain(struct sennit_stream *st, uint64_t me)
{
    while (stream_recv_seated(st, me)) {
    }
    return stream_status(st);
}

BASE_COLD static sennit_err stream_finish_call(struct sennit_stream *st, void *reply)
{
    bool client_streams = st->method->flags & 1, server_streams = st->method->flags & 2;
    char text[480];
    uint64_t me = rt_me();
    sennit_err err = stream_refused(st);
    if (err)
        return err;
    if (client_streams && !server_streams) { /* finish is a sender, too */
        if (!stream_sit(&st->sender, me))
            return stream_misuse_error(st, &st->sender, "finish", "sending");
        stream_half_close(st);
        seat_leave(&st->sender, me);
    } else if (client_streams) {
        stream_close_send(st, text, sizeof text);
    }
    if (!stream_sit(&st->receiver, me))
        return stream_misuse_error(st, &st->receiver, "finish", "receiving");
    err = server_streams || !reply ? stream_drain(st, me) : stream_take_reply(st, reply);
    seat_leave(&st->receiver, me);
    stream_api_tell_end(st, err);
    return err;
}

BASE_COLD void stream_api_tell_end(struct sennit_stream *st, sennit_err status)
{
    if (likely(!st->rpc->stats) || atomic_exchange(&st->told_end, true))
        return;
    struct rpc_stream *s = stream_now(st);
    stream_tell_header(st);
    if (s && stream_done(s))
        message_metadata(st->rpc, SENNIT_EVENT_IN_TRAILER, s->trailer, NULL);
    message_end(st->rpc, status);
}

BASE_COLD sennit_err sennit_finish(sennit_stream *st, void *reply)
{
    if (!st)
        return sennit_no_memory;
    if (reply)
        memcpy(reply, st->in->empty, st->in->size);
    if (st->failed_start)
        return sennit_err_copy(NULL, st->failed_start);
    ctx_enter(st->ctx);
    sennit_err err = stream_finish_call(st, reply);
    ctx_leave(st->ctx);
    return err;
}

/* -- header and trailer (client) -------------------------------------------------------------- */

BASE_COLD void stream_api_wake_header(struct sennit_stream *st)
{
    lock_take(&st->lock, LOCK_PRIM);
    list_each(n, &st->header_waiters)
        rt_note_set(&container_of(n, struct stream_header_waiter, node)->note);
    lock_drop(&st->lock, LOCK_PRIM);
}

BASE_COLD static const sennit_md *stream_wait_header(struct sennit_stream *st)
{
    struct stream_header_waiter w = { .note = { 0 } };
    struct rpc_stream *s;
    lock_take(&st->lock, LOCK_PRIM);
    list_push_back(&st->header_waiters, &w.node);
    lock_drop(&st->lock, LOCK_PRIM);
    for (;;) {
        s = stream_now(st);
        bool done = stream_done(s);
        if (atomic_load_explicit(&s->has_header, memory_order_acquire))
            break;
        if (!done)
            rt_note_wait(&w.note, "waiting for headers");
        else if (!stream_again(st, s))
            break;
    }
    lock_take(&st->lock, LOCK_PRIM);
    list_remove(&w.node);
    lock_drop(&st->lock, LOCK_PRIM);
    return atomic_load_explicit(&s->has_header, memory_order_acquire) ? s->header : NULL;
}

BASE_COLD const sennit_md *sennit_stream_header(sennit_stream *st)
{
    if (!st || st->failed_start || st->server)
        return NULL;
    ctx_enter(st->ctx);
    const sennit_md *md = stream_wait_header(st);
    ctx_leave(st->ctx);
    return md;
}

BASE_COLD const sennit_md *sennit_stream_trailer(sennit_stream *st)
{
    if (!st || st->failed_start || st->server)
        return NULL;
    struct rpc_stream *s = stream_now(st);
    return stream_done(s) ? s->trailer : NULL;
}
