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
#include <stdio.h>

/* What was told to a goroutine that was refused as second receiver: its _error, or _finish, in that
 * goroutine asks for it. */
struct stream_refusal {
    struct stream_refusal *next;
    uint64_t id; /* of the goroutine */
    char text[400];
};
#define STREAM_REFUSALS 16 /* kept per stream; a program that errs more often has been told */

void stream_api_init(struct sennit_stream *st, struct rpc_stream *s, const struct stream_side *side,
                     const sennit_method *m, sennit_ctx *ctx, bool server)
{
    memset(st, 0, sizeof *st);
    st->s = s, st->side = side, st->method = m, st->ctx = ctx, st->server = server;
    st->in = server ? m->request : m->reply;
    st->out = server ? m->reply : m->request;
    arena_init(&st->recv_arena, NULL, 0);
    arena_init(&st->recv_error_arena, NULL, 0);
    arena_init(&st->send_arena, NULL, 0);
}

void stream_api_fini(struct sennit_stream *st)
{
    while (st->refusals) {
        struct stream_refusal *r = st->refusals;
        st->refusals = r->next;
        sys.free(r);
    }
    if (!st->s || !st->s->one_in)
        sys.free(st->held);
    arena_fini(&st->recv_arena);
    arena_fini(&st->recv_error_arena);
    arena_fini(&st->send_arena);
}

/* -- seats ----------------------------------------------------------------------------------- */

static void stream_me(char *text, size_t size)
{
    struct rt_g *g = rt_self();
    if (!g || !rt_describe(g, text, size))
        snprintf(text, size, "a thread");
}

static bool stream_sit(struct stream_seat *seat)
{
    char me[sizeof seat->who];
    uint32_t zero = 0;
    if (!atomic_compare_exchange_strong(&seat->taken, &zero, 1))
        return false;
    stream_me(me, sizeof me);
    lock_take(&seat->lock, LOCK_PRIM);
    memcpy(seat->who, me, sizeof me);
    lock_drop(&seat->lock, LOCK_PRIM);
    return true;
}

static void stream_stand(struct stream_seat *seat) { atomic_store(&seat->taken, 0); }

/* The text for the one who came second. */
static void stream_misuse(const struct sennit_stream *st, struct stream_seat *seat,
                          const char *doing, const char *running, char *text, size_t size)
{
    char me[sizeof seat->who], other[sizeof seat->who];
    stream_me(me, sizeof me);
    lock_take(&seat->lock, LOCK_PRIM);
    memcpy(other, seat->who, sizeof other);
    lock_drop(&seat->lock, LOCK_PRIM);
    snprintf(text, size,
             "%s on stream %s by %s while %s is %s on it: one goroutine may send while another "
             "receives, but two must take turns (the stream goes on undisturbed)",
             doing, st->method->path, me, other[0] ? other : "another goroutine", running);
}

static sennit_err stream_misuse_error(const struct sennit_stream *st, struct stream_seat *seat,
                                      const char *doing, const char *running)
{
    char text[400];
    stream_misuse(st, seat, doing, running, text, sizeof text);
    return sennit_errorf(SENNIT_FAILED_PRECONDITION, "%s", text);
}

/* recv has no error to return: keeps it for this goroutine's _error or _finish. */
static void stream_keep_refusal(struct sennit_stream *st)
{
    struct rt_g *g = rt_self();
    struct stream_refusal *r = sys.malloc(sizeof *r);
    if (!r)
        return;
    r->id = g ? rt_id(g) : 0;
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

static sennit_err stream_refused(struct sennit_stream *st)
{
    struct rt_g *g = rt_self();
    uint64_t id = g ? rt_id(g) : 0;
    lock_take(&st->lock, LOCK_PRIM);
    struct stream_refusal **p = &st->refusals, *r = NULL;
    while (*p && (*p)->id != id)
        p = &(*p)->next;
    if ((r = *p))
        *p = r->next;
    lock_drop(&st->lock, LOCK_PRIM);
    if (!r)
        return NULL;
    sennit_err err = sennit_errorf(SENNIT_FAILED_PRECONDITION, "%s", r->text);
    sys.free(r);
    return err;
}

/* -- sending --------------------------------------------------------------------------------- */

static sennit_err stream_over_error(struct sennit_stream *st)
{
    sennit_err err = NULL;
    if (atomic_load_explicit(&st->s->done, memory_order_acquire))
        err = st->side->status(st);
    return err ? err : sennit_errorf(SENNIT_UNAVAILABLE, "the stream has ended: finish says why");
}

static sennit_err stream_half_close(struct sennit_stream *st)
{
    if (!atomic_exchange(&st->closed_send, true))
        transport_send(st->s, NULL, 0, true);
    return NULL;
}

static sennit_err stream_send_seated(struct sennit_stream *st, const void *msg)
{
    sennit_str framed;
    if (atomic_load(&st->closed_send))
        return sennit_errorf(SENNIT_FAILED_PRECONDITION, "send on stream %s after close_send",
                             st->method->path);
    arena_reset(&st->send_arena);
    sennit_err err = codec_encode(st->out, msg, &st->send_arena, st->max_send, &framed);
    if (err)
        return err;
    enum transport_result r = st->side->send
                                  ? st->side->send(st, framed.data, framed.len)
                                  : transport_send(st->s, framed.data, framed.len, false);
    if (r == TRANSPORT_WAITS && !transport_wait_drained(st->s))
        r = TRANSPORT_DEAD;
    if (r == TRANSPORT_NO_MEMORY)
        return sennit_no_memory;
    return r == TRANSPORT_DEAD || r == TRANSPORT_GONE ? stream_over_error(st) : NULL;
}

sennit_err sennit_send(sennit_stream *st, const void *msg)
{
    if (!st)
        return sennit_no_memory;
    if (st->failed_start)
        return sennit_err_copy(NULL, st->failed_start);
    if (!stream_sit(&st->sender))
        return stream_misuse_error(st, &st->sender, "send", "sending");
    sennit_err err = stream_send_seated(st, msg);
    if (atomic_load(&st->close_wanted))
        stream_half_close(st);
    stream_stand(&st->sender);
    if (atomic_load(&st->close_wanted) &&
        stream_sit(&st->sender)) { /* came just before we stood up */
        stream_half_close(st);
        stream_stand(&st->sender);
    }
    return err;
}

sennit_err sennit_close_send(sennit_stream *st)
{
    if (!st)
        return sennit_no_memory;
    if (st->failed_start || st->server)
        return NULL;
    if (stream_sit(&st->sender)) {
        stream_half_close(st);
        stream_stand(&st->sender);
        return NULL;
    }
    sennit_err err = stream_misuse_error(st, &st->sender, "close_send", "sending");
    atomic_store(&st->close_wanted, true);
    if (stream_sit(&st->sender)) { /* the send has ended meanwhile, perhaps without seeing it */
        stream_half_close(st);
        stream_stand(&st->sender);
    }
    return err;
}

/* -- receiving ------------------------------------------------------------------------------- */

static struct rpc_msg *stream_wait_message(struct sennit_stream *st)
{
    for (;;) {
        bool done = atomic_load_explicit(&st->s->done, memory_order_acquire);
        struct rpc_msg *m = stream_take(st->s);
        if (m)
            return m;
        if (done || (st->server && atomic_load(&st->s->remote_ended)))
            return stream_take(st->s);
        rt_note_wait(&st->s->note, "waiting for a message");
    }
}

static void stream_recv_error(struct sennit_stream *st, sennit_err err)
{
    st->recv_error = sennit_err_copy(&st->recv_error_arena, err);
    if (!st->recv_error)
        st->recv_error = sennit_no_memory;
    atomic_store(&st->recv_failed, true);
    if (!st->server) {
        transport_reset(st->s, TRANSPORT_CANCEL);
        stream_finish(st->s, err->code, sennit_s(st->recv_error->message));
    }
}

static const void *stream_recv_seated(struct sennit_stream *st)
{
    if (atomic_load(&st->recv_failed))
        return NULL;
    if (!st->s->one_in)
        sys.free(st->held);
    st->held = NULL;
    arena_reset(&st->recv_arena);
    struct rpc_msg *m = stream_wait_message(st);
    if (!m)
        return NULL;
    st->held = m;
    void *msg = arena_alloc(&st->recv_arena, st->in->size);
    sennit_err err = msg ? codec_decode(st->in, msg, m->body, m->len, &st->recv_arena,
                                        st->server ? "request" : "response")
                         : sennit_no_memory;
    if (!err)
        return msg;
    stream_recv_error(st, err);
    return NULL;
}

const void *sennit_recv(sennit_stream *st)
{
    if (!st || st->failed_start)
        return NULL;
    if (!stream_sit(&st->receiver)) {
        stream_keep_refusal(st);
        return NULL;
    }
    const void *msg = stream_recv_seated(st);
    stream_stand(&st->receiver);
    return msg;
}

static sennit_err stream_status(struct sennit_stream *st)
{
    if (atomic_load(&st->recv_failed))
        return sennit_err_copy(NULL, st->recv_error);
    if (atomic_load_explicit(&st->s->done, memory_order_acquire))
        return st->side->status(st);
    return NULL;
}

sennit_err sennit_stream_error(sennit_stream *st)
{
    if (!st)
        return sennit_no_memory;
    if (st->failed_start)
        return sennit_err_copy(NULL, st->failed_start);
    sennit_err err = stream_refused(st);
    return err ? err : stream_status(st);
}

/* -- finish (client) ------------------------------------------------------------------------- */

/* The one reply of a client-streaming call, into the caller's struct; it lives as long as ctx. */
static sennit_err stream_take_reply(struct sennit_stream *st, void *reply)
{
    struct rpc_msg *m = stream_wait_message(st);
    while (!atomic_load_explicit(&st->s->done, memory_order_acquire))
        rt_note_wait(&st->s->note, "waiting for the status");
    sennit_err err = st->side->status(st);
    if (err)
        return err;
    if (!m)
        return sennit_errorf(SENNIT_INTERNAL,
                             "cardinality violation: %s ended with OK and without a response",
                             st->method->path);
    return codec_decode(st->in, reply, m->body, m->len, st->s->arena, "response");
}

static sennit_err stream_drain(struct sennit_stream *st)
{
    while (stream_recv_seated(st)) {
    }
    return stream_status(st);
}

sennit_err sennit_finish(sennit_stream *st, void *reply)
{
    bool client_streams = st && (st->method->flags & 1),
         server_streams = st && (st->method->flags & 2);
    if (!st)
        return sennit_no_memory;
    if (reply)
        memcpy(reply, st->in->empty, st->in->size);
    if (st->failed_start)
        return sennit_err_copy(NULL, st->failed_start);
    sennit_err err = stream_refused(st);
    if (err)
        return err;
    if (client_streams) {
        if (stream_sit(&st->sender)) {
            stream_half_close(st);
            stream_stand(&st->sender);
        } else if (!server_streams) {
            return stream_misuse_error(st, &st->sender, "finish", "sending");
        }
    }
    if (!stream_sit(&st->receiver))
        return stream_misuse_error(st, &st->receiver, "finish", "receiving");
    err = server_streams || !reply ? stream_drain(st) : stream_take_reply(st, reply);
    stream_stand(&st->receiver);
    return err;
}

const sennit_md *sennit_stream_header(sennit_stream *st)
{
    if (!st || st->failed_start || st->server)
        return NULL;
    if (!stream_sit(&st->receiver))
        return atomic_load(&st->s->has_header) ? st->s->header : NULL;
    while (!atomic_load_explicit(&st->s->has_header, memory_order_acquire) &&
           !atomic_load_explicit(&st->s->done, memory_order_acquire))
        rt_note_wait(&st->s->note, "waiting for headers");
    stream_stand(&st->receiver);
    return atomic_load(&st->s->has_header) ? st->s->header : NULL;
}

const sennit_md *sennit_stream_trailer(sennit_stream *st)
{
    if (!st || st->failed_start || !atomic_load_explicit(&st->s->done, memory_order_acquire))
        return NULL;
    return st->s->trailer;
}
