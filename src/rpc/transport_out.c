/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport_out.c: what goroutines send.
 * An RPC enters here from client/call.c (transport_open) or server/dispatch.c (transport_respond)
 * and leaves as octets in h2_out, which transport_flush sends. Header lists are made before the
 * lock is taken, memory is obtained outside it; inside, one short section allocates the id,
 * encodes, appends and links, so that ids rise on the wire and HPACK order is wire order. */
#include "base/limits.h"
#include "base/sys.h"
#include "rpc/compress.h"
#include "rpc/transport_private.h"
#include "rt/ctx.h"

/* The lock orders them; who reads without it wants a hint. */
static inline void transport_note(_Atomic bool *it)
{
    atomic_store_explicit(it, true, memory_order_release);
}

/* Called by h2_out, under the lock, when a waiting body is wholly appended. */
static void transport_body_drained(struct h2_out_stream *o)
{
    struct rpc_stream *s = container_of(o, struct rpc_stream, h2);
    s->body_waits = false;
    if (s->leaves && s->known) {
        transport_changed(s->t, s, STREAM_DRAINED);
        transport_wake(s->t);
    }
    if (o->local_closed && !s->local_ended) {
        s->local_ended = true;
        transport_changed(s->t, s, STREAM_LOCAL_END);
        if (s->t->drain != DRAIN_NONE)
            transport_wake(s->t);
    }
    rt_note_set(&s->drained);
}

/* A body waits; locked. */
static void transport_note_tight(struct transport *t)
{
    if (t->out.kept >= LIMIT_KEPT)
        atomic_store_explicit(&t->tight, true, memory_order_relaxed);
}

void transport_prepare(struct rpc_stream *s)
{
    struct h2_out_stream *o = stream_out(s);
    zero_words(o, sizeof *o);
    list_init(&o->pending);
    list_init(&o->all);
    o->on_drained = transport_body_drained;
}

BASE_COLD struct h2_out_stream *transport_accept(struct rpc_stream *s)
{
    struct h2_out_stream *o = stream_out(s);
    transport_prepare(s);
    h2_out_accept(&s->t->out, o, s->id);
    return o;
}

/* -- stream quota ---------------------------------------------------------------------------- */

/* Locked on entry and exit. False: ctx ended, or no need to go on waiting (see t). */
BASE_COLD static bool transport_wait_quota(struct transport *t, sennit_ctx *ctx)
{
    struct quota_waiter w = { .woken = false };
    list_push_back(&t->waiting, &w.node);
    lock_drop(&t->lock, LOCK_WRITE);
    sennit_err ended = ctx_note_wait(ctx, &w.note, "waiting for the peer's stream limit");
    lock_take(&t->lock, LOCK_WRITE);
    list_remove(&w.node);
    if (ended && w.woken)
        transport_quota_wake(t); /* pass the turn on */
    return !ended;
}

static bool transport_over(const struct transport *t)
{
    return t->closed || t->close_wanted || t->goaway_came;
}

static enum transport_result transport_take_slot(struct transport *t, sennit_ctx *ctx)
{
    while (!transport_over(t) && t->open_streams >= t->out.peer.max_concurrent_streams) {
        if (!transport_wait_quota(t, ctx))
            return TRANSPORT_ENDED;
    }
    return transport_over(t) ? TRANSPORT_GONE : TRANSPORT_OK;
}

/* -- client ---------------------------------------------------------------------------------- */

static uint32_t transport_headers_bound(size_t size)
{
    return (uint32_t)(size + (size / LIMIT_FRAME + 1) * 9);
}

static bool transport_is_ready(const struct ready_request *q, const struct rpc_request *r)
{
    return strcmp(q->path, r->path) == 0 && q->authority == r->authority &&
           q->user_agent == r->user_agent && q->encoding == r->encoding && q->scheme == r->scheme &&
           q->accept_encoding == compress_accept();
}

/* Where the encoded constants of requests like r are kept; NULL: nowhere. Locked. */
static struct ready_request *transport_ready(struct transport *t, const struct rpc_request *r)
{
    if (!t->known || !r->path[0])
        return NULL;
    struct ready_request *q = t->known->requests;
    q += (uint32_t)((uintptr_t)r->path * 0x9e3779b9u) >> 16 & (READY_REQUESTS - 1);
    if (likely(transport_is_ready(q, r)))
        return q;
    size_t path_len = strlen(r->path);
    if (path_len >= READY_PATH)
        return NULL;
    *q = (struct ready_request){ .scheme = r->scheme,
                                 .authority = r->authority,
                                 .user_agent = r->user_agent,
                                 .encoding = r->encoding,
                                 .accept_encoding = compress_accept(),
                                 .size = headers_request_size(r) };
    memcpy(q->path, r->path, path_len);
    return q;
}

static void transport_append_head(struct transport *t, struct h2_out_stream *o,
                                  struct ready_request *q, const struct header_list *l,
                                  const struct rpc_request *r)
{
    struct h2_header constants[HEADERS_CONSTANTS];
    struct h2_ready none = { 0 }, *ready = q ? &q->ready : &none;
    size_t n = 0;
    if (unlikely(!h2_out_ready(&t->out, ready)))
        n = headers_request_constants(constants, r);
    h2_out_headers_ready(&t->out, o, ready, constants, n, l->h, l->n,
                         r->end && r->len == 0 && !r->body);
}

/* Head, and perhaps body and end, are appended. */
static inline void transport_opened(struct transport *t, struct rpc_stream *s)
{
    const struct h2_out_stream *o = stream_out(s);
    s->id = o->id;
    s->known = s->counted = true;
    transport_note(&s->sent_head);
    t->open_streams++;
    if (unlikely(t->dormant)) {
        t->dormant = false;
        t->timer_fired = true; /* a ping may be due */
        transport_wake(t);
    }
    stream_ref(s); /* the reader's */
    if (likely(o->local_closed))
        transport_note(&s->local_ended);
    transport_changed(t, s, STREAM_OPENED | (o->local_closed ? STREAM_LOCAL_END : 0));
}

BASE_COLD static enum transport_result
transport_append_request(struct transport *t, struct rpc_stream *s, struct ready_request *q,
                         const struct header_list *l, const struct rpc_request *r)
{
    struct h2_out_stream *o = stream_out(s);
    if (!h2_out_open(&t->out, o)) {
        t->goaway_came = true; /* ids are exhausted: as if the peer had said so */
        transport_wake(t);
        return TRANSPORT_GONE;
    }
    transport_append_head(t, o, q, l, r);
    bool all = !r->body || h2_out_ref(&t->out, o, (const uint8_t *)r->body, r->len, r->end);
    s->body_waits = !all;
    transport_opened(t, s);
    return all ? TRANSPORT_OK : TRANSPORT_WAITS;
}

/* Locked; the lock may be dropped meanwhile, and then all is looked at again. */
static enum transport_result transport_open_locked(struct transport *t, struct rpc_stream *s,
                                                   sennit_ctx *ctx, const struct header_list *l,
                                                   const struct rpc_request *r)
{
    for (bool made = false;; made = true) {
        enum transport_result result = transport_take_slot(t, ctx);
        if (result != TRANSPORT_OK)
            return result;
        struct ready_request *q = transport_ready(t, r);
        size_t size = l->size + (q ? q->size : headers_request_size(r));
        if (size > t->out.peer.max_header_list)
            return TRANSPORT_TOO_LARGE;
        if (likely(q && r->end &&
                   h2_out_request(&t->out, stream_out(s), &q->ready, l->h, l->n,
                                  (const uint8_t *)r->body, r->len))) {
            transport_opened(t, s);
            return TRANSPORT_OK;
        }
        size_t room = transport_headers_bound(size) + h2_ref_bound(&t->out, r->len);
        if (t->out.begun && h2_out_room(&t->out, room) && (made || !h2_out_wants(&t->out)))
            return transport_append_request(t, s, q, l, r);
        if (!transport_room(t, room))
            return TRANSPORT_NO_MEMORY;
    }
}

enum transport_result transport_open(struct transport *t, struct rpc_stream *s, sennit_ctx *ctx,
                                     const struct rpc_request *r)
{
    struct header_list l;
    headers_request(&l, s->arena, r);
    if (l.failed)
        return TRANSPORT_NO_MEMORY;
    transport_prepare(s);
    lock_take(&t->lock, LOCK_WRITE);
    enum transport_result result = transport_open_locked(t, s, ctx, &l, r);
    lock_drop(&t->lock, LOCK_WRITE);
    if (result == TRANSPORT_OK || result == TRANSPORT_WAITS)
        transport_dirty(t);
    return result;
}

/* A message that cannot go at once, or the end. Locked on entry, not on exit. */
__attribute__((noinline)) static enum transport_result transport_send_any(struct transport *t,
                                                                          struct rpc_stream *s,
                                                                          const char *body,
                                                                          size_t len, bool end)
{
    struct h2_out_stream *o = stream_out(s);
    enum transport_result result = TRANSPORT_DEAD;
    if (!transport_room(t, h2_data_bound(&t->out, o, len))) {
        result = TRANSPORT_NO_MEMORY;
    } else if (!t->closed && !s->dead && !s->local_ended) { /* the lock was dropped */
        bool all = h2_out_data(&t->out, o, (const uint8_t *)body, len, end);
        s->body_waits = !all;
        result = all ? TRANSPORT_OK : TRANSPORT_WAITS;
        if (o->local_closed && !s->local_ended) {
            s->local_ended = true;
            transport_changed(t, s, STREAM_LOCAL_END);
        }
    }
    lock_drop(&t->lock, LOCK_WRITE);
    if (result == TRANSPORT_OK || result == TRANSPORT_WAITS)
        transport_dirty(t);
    return result;
}

enum transport_result transport_send(struct rpc_stream *s, const char *body, size_t len, bool end)
{
    struct transport *t = s->t;
    struct h2_out_stream *o = stream_out(s);
    const uint8_t *octets = (const uint8_t *)body;
    lock_take(&t->lock, LOCK_WRITE);
    if (unlikely(t->closed || s->dead ||
                 atomic_load_explicit(&s->local_ended, memory_order_relaxed))) {
        lock_drop(&t->lock, LOCK_WRITE);
        return TRANSPORT_DEAD;
    }
    if (unlikely(end ||
                 (!h2_out_join(&t->out, o, octets, len) && !h2_out_small(&t->out, o, octets, len))))
        return transport_send_any(t, s, body, len, end);
    bool due = t->flush_due; /* of whoever set it: that one's flush comes after this, too */
    t->flush_due = true;
    lock_drop(&t->lock, LOCK_WRITE);
    if (!due)
        transport_dirty(t);
    return TRANSPORT_OK;
}

/* -- server ---------------------------------------------------------------------------------- */

static void transport_local_end_more(struct transport *t, struct rpc_stream *s)
{
    if (!s->end_seen && s->known) {
        /* The peer has more to send that nobody reads: tell it to stop (RFC 9113 8.1). */
        h2_out_rst(&t->out, transport_out(s), H2_NO_ERROR);
        transport_changed(t, s, STREAM_RESET);
    }
    if (t->drain != DRAIN_NONE)
        transport_wake(t);
}

/* The end of a response is appended: the stream is over for our side. Locked. */
static inline void transport_local_end(struct transport *t, struct rpc_stream *s)
{
    transport_note(&s->local_ended);
    transport_changed(t, s, STREAM_LOCAL_END);
    if (unlikely(!atomic_load_explicit(&s->end_seen, memory_order_acquire) ||
                 t->drain != DRAIN_NONE))
        transport_local_end_more(t, s);
}

static void transport_append_list(struct transport *t, struct h2_out_stream *o,
                                  struct h2_ready *ready, const struct header_list *l, bool end)
{
    h2_out_headers_ready(&t->out, o, ready, l->h, l->n_constants, l->h + l->n_constants,
                         l->n - l->n_constants, end);
}

static enum transport_result transport_append_response(struct transport *t, struct rpc_stream *s,
                                                       const struct header_list *head,
                                                       const struct header_list *tail,
                                                       const struct rpc_response *r)
{
    struct h2_ready none = { 0 };
    if (t->closed || s->dead || s->local_ended)
        return TRANSPORT_DEAD;
    struct h2_out_stream *o = transport_out(s);
    if (o->body_len) { /* ended by its deadline while a message is partly on the wire */
        h2_out_rst(&t->out, o, H2_CANCEL);
        s->dead = true, s->local_ended = true;
        transport_changed(t, s, STREAM_RESET);
        rt_note_set(&s->drained);
        return TRANSPORT_OK;
    }
    if (head->n && s->sent_head)
        return TRANSPORT_GONE; /* another goroutine sent them meanwhile: make the lists anew */
    if (head->n)
        transport_append_list(t, o, &t->ready_head, head, !r->body && tail->n == 0 && r->end);
    s->sent_head = true;
    bool all = true;
    if (r->body && r->end)
        all = h2_out_ref(&t->out, o, (const uint8_t *)r->body, r->len, false);
    else if (r->body)
        all = h2_out_data(&t->out, o, (const uint8_t *)r->body, r->len, false);
    if (!all) {
        s->body_waits = true;
        return TRANSPORT_WAITS;
    }
    if (tail->n)
        transport_append_list(t, o, r->code == SENNIT_OK ? &t->ready_tail : &none, tail, true);
    if (r->end)
        transport_local_end(t, s);
    return TRANSPORT_OK;
}

bool transport_answer(struct rpc_stream *s, const char *body, size_t len)
{
    struct transport *t = s->t;
    bool ended = atomic_load_explicit(&s->end_seen, memory_order_acquire);
    lock_take(&t->lock, LOCK_WRITE);
    bool first = t->out.len == 0; /* else who appended that has a flush to come, of all */
    bool sent = !t->closed && !s->dead &&
                !atomic_load_explicit(&s->local_ended, memory_order_relaxed) &&
                !atomic_load_explicit(&s->sent_head, memory_order_relaxed);
    if (likely(sent && ended && stream_out(s)->id == 0))
        sent = h2_out_answer(&t->out, s->id, &t->ready_head, (const uint8_t *)body, len,
                             &t->ready_tail);
    else if (sent)
        sent = h2_out_whole(&t->out, transport_out(s), &t->ready_head, NULL, 0,
                            (const uint8_t *)body, len, &t->ready_tail);
    if (likely(sent)) {
        transport_note(&s->sent_head);
        transport_local_end(t, s);
    }
    lock_drop(&t->lock, LOCK_WRITE);
    if (unlikely(first) && sent)
        transport_dirty(t);
    return sent;
}

static enum transport_result transport_respond_once(struct rpc_stream *s,
                                                    const struct rpc_response *r)
{
    struct transport *t = s->t;
    struct header_list head, tail;
    bool with_head = !atomic_load_explicit(&s->sent_head, memory_order_relaxed);
    headers_response(&head, s->arena, r, with_head ? r->header : NULL);
    tail.n = 0, tail.failed = false, tail.arena = s->arena;
    if (r->end && with_head && !r->body) { /* Trailers-Only: one block */
        headers_trailers(&head, r);
    } else if (r->end) {
        tail.h = tail.first, tail.room = HEADERS_INLINE, tail.size = 0;
        headers_trailers(&tail, r);
        tail.n_constants = 1; /* grpc-status */
    }
    if (!with_head)
        head.n = 0;
    if (head.failed || tail.failed)
        return TRANSPORT_NO_MEMORY;
    size_t room = transport_headers_bound(head.n ? head.size : 0) +
                  transport_headers_bound(tail.n ? tail.size : 0) + 16;
    lock_take(&t->lock, LOCK_WRITE);
    enum transport_result result = TRANSPORT_NO_MEMORY;
    room += r->end ? h2_ref_bound(&t->out, r->len) : h2_data_bound(&t->out, stream_out(s), r->len);
    if (transport_room(t, room))
        result = transport_append_response(t, s, &head, &tail, r);
    lock_drop(&t->lock, LOCK_WRITE);
    if (result == TRANSPORT_OK || result == TRANSPORT_WAITS)
        transport_dirty(t);
    return result;
}

/* False: it need not wait, or is over. */
BASE_COLD static bool transport_leave(struct rpc_stream *s)
{
    struct transport *t = s->t;
    lock_take(&t->lock, LOCK_WRITE);
    s->leaves = s->body_waits && !s->dead && !t->closed;
    transport_note_tight(t);
    lock_drop(&t->lock, LOCK_WRITE);
    return s->leaves;
}

BASE_COLD void transport_end_left(struct rpc_stream *s)
{
    struct rpc_response end = { .end = true };
    if (transport_respond_once(s, &end) == TRANSPORT_NO_MEMORY)
        transport_reset(s, TRANSPORT_CANCEL);
}

enum transport_result transport_respond(struct rpc_stream *s, const struct rpc_response *r)
{
    enum transport_result result;
    do
        result = transport_respond_once(s, r);
    while (result == TRANSPORT_GONE);
    if (result != TRANSPORT_WAITS)
        return result;
    if (r->leaves && transport_leave(s))
        return TRANSPORT_WAITS;
    if (!transport_wait_drained(s))
        return TRANSPORT_DEAD;
    struct rpc_response rest = *r;
    rest.body = NULL, rest.len = 0;
    return rest.end ? transport_respond_once(s, &rest) : TRANSPORT_OK;
}

BASE_COLD void transport_respond_http(struct rpc_stream *s, unsigned status, sennit_code code,
                                      const char *text)
{
    struct transport *t = s->t;
    struct header_list head;
    size_t len = strlen(text);
    headers_http(&head, s->arena, status, code, text);
    if (head.failed)
        return;
    lock_take(&t->lock, LOCK_WRITE);
    if (transport_room(t, h2_headers_bound(head.h, head.n) + len + 64) && !s->dead) {
        struct h2_out_stream *o = transport_out(s);
        h2_out_headers(&t->out, o, head.h, head.n, false);
        s->sent_head = true;
        /* Without a window for one line it waits like any body: text is static. */
        if (h2_out_data(&t->out, o, (const uint8_t *)text, len, true))
            transport_local_end(t, s);
    }
    lock_drop(&t->lock, LOCK_WRITE);
    transport_dirty(t);
}

/* -- both ------------------------------------------------------------------------------------ */

BASE_COLD bool transport_wait_drained(struct rpc_stream *s)
{
    struct transport *t = s->t;
    for (;;) {
        lock_take(&t->lock, LOCK_WRITE);
        bool over = t->closed || s->dead, waits = s->body_waits;
        transport_note_tight(t);
        lock_drop(&t->lock, LOCK_WRITE);
        if (!waits)
            return true; /* also when the stream has ended since */
        if (over)
            return false;
        rt_note_wait(&s->drained, "waiting for the peer's flow-control window");
    }
}

BASE_COLD void transport_reset(struct rpc_stream *s, uint32_t h2_code)
{
    struct transport *t = s->t;
    bool dirty = false;
    if (stream_over(s))
        return;
    lock_take(&t->lock, LOCK_WRITE);
    if (!t->closed && !s->dead && s->known && transport_room(t, 16) && !s->dead && !t->closed) {
        h2_out_rst(&t->out, transport_out(s), h2_code);
        s->dead = true, s->local_ended = true;
        transport_changed(t, s, STREAM_RESET);
        transport_wake(t); /* lets go of it without waiting for the peer */
        rt_note_set(&s->drained);
        dirty = true;
    }
    lock_drop(&t->lock, LOCK_WRITE);
    if (dirty)
        transport_dirty(t);
}
