/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport.c: life of a connection, flushing, stream references.
 * An RPC's octets enter here from transport_out.c (appended to h2_out under the lock) and leave to
 * the socket in transport_flush; what comes back enters in transport_in.c.
 *
 * Flush protocol (any thread):
 *   1. flushing 0 -> 1 makes this thread the flusher; else it becomes 2 and the flusher goes round
 *      once more: no octet appended before the call is left behind.
 *   2. The flusher takes all octets under the lock, sends them without it, lets go of the streams
 *      whose bodies the buffer refers to, and under the lock again gives the buffer back and lets
 *      waiting bodies flow (pump).
 *   3. On -EAGAIN it keeps the rest in `unsent` and leaves; writability wakes the task, which does
 *      the same.
 *   4. It leaves by flushing 1 -> 0; if that fails (2), round again.
 *   What was appended is ordered by the lock; 1 and 4 hand over `unsent` alone.
 * How it ends: see transport_end.c. */
#include "base/limits.h"
#include "base/pool.h"
#include "base/sys.h"
#include "rpc/transport_private.h"
#include <errno.h>
#include <stdio.h>

static void transport_flush_later(struct rt_defer *d)
{
    transport_flush(container_of(d, struct transport, flush));
}

/* As asked for, within what HTTP/2 allows; 0: the default. */
BASE_COLD static uint32_t transport_window(size_t asked, uint32_t usual)
{
    if (!asked)
        return usual;
    return (uint32_t)min_size(max_size(asked, LIMIT_STREAM_WINDOW_LEAST), INT32_MAX);
}

/* Of a body that the out buffer refers to; locked. */
static void transport_hold(struct h2_out_stream *o)
{
    stream_ref(container_of((void *)o, struct rpc_stream, h2));
}

BASE_COLD struct transport *transport_new(struct net_io *io, const struct transport_config *c,
                                          const struct transport_ops *ops, void *owner)
{
    struct h2_config h2 = {
        .server = c->server,
        .max_concurrent_streams = c->max_streams,
        .initial_window = transport_window(c->stream_window, LIMIT_STREAM_WINDOW),
        .connection_window = transport_window(c->conn_window, LIMIT_CONN_WINDOW),
        .static_windows = c->stream_window || c->conn_window,
        .glitches = c->abuse_budget,
        .max_header_list = (uint32_t)c->max_header_list,
        .max_frame = LIMIT_FRAME,
    };
    struct transport *t = sys.calloc(1, sizeof *t);
    if (!t)
        goto no_memory;
    t->in = h2_in_new(&h2);
    if (!t->in || h2_out_init(&t->out, c->server) < 0)
        goto no_machine;
    if (io->gathers)
        t->out.hold = transport_hold;
    t->auth = io->auth, io->auth = NULL;
    io->task = &t->task;
    if (!c->server)
        t->known = sys.calloc(1, sizeof *t->known);
    t->reason = "";
    t->io = io, t->ops = ops, t->owner = owner, t->server = c->server, t->hold = c->server;
    list_init(&t->changed);
    list_init(&t->waiting);
    list_init(&t->starved);
    atomic_init(&t->refs, 2); /* the caller's and the task's */
    rt_task_init(&t->task, transport_task);
    rt_defer_init(&t->flush, transport_flush_later);
    clock_init(t, c);
    return t;
no_machine:
    if (t->in)
        h2_in_free(t->in);
    sys.free(t);
no_memory:
    io->ops->close(io);
    return NULL;
}

BASE_COLD void transport_start(struct transport *t)
{
    if (unlikely(!t->io->fd))
        t->io->ops->start(t->io, &t->task);
    else
        rt_fd_tasks(t->io->fd, &t->task, &t->task);
    if (t->server)
        return; /* begins when the client has */
    lock_take(&t->lock, LOCK_WRITE);
    bool begun = transport_room(t, 0);
    lock_drop(&t->lock, LOCK_WRITE);
    if (!begun)
        transport_fail(t, WHY(NO_MEMORY), "no memory to begin the connection");
    transport_dirty(t);
}

void *transport_owner(struct transport *t) { return t->owner; }
const struct net_auth *transport_auth(struct transport *t) { return t->auth; }
const char *transport_reason(struct transport *t) { return t->reason; }
sennit_code transport_why(struct transport *t) { return t->close_code; }

void transport_ref(struct transport *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

void transport_unref(struct transport *t)
{
    if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    sn_assert(t->closed && list_empty(&t->changed) && list_empty(&t->waiting));
    rt_defer_cancel(&t->flush);
    headers_forget_runs(t);
    h2_in_free(t->in);
    h2_out_fini(&t->out);
    sys.free(t->unsent);
    sys.free(t->known);
    sys.free(t->reason_text);
    sys.free(t->goaway_text);
    sys.free(t->authority);
    net_auth_free(t->auth);
    void (*freed)(void *owner) = t->ops->freed;
    void *owner = t->owner;
    sys.free(t);
    if (freed)
        freed(owner);
}

/* -- room and waking, all under the lock ----------------------------------------------------- */

/* Buffers of the least size are borrowed: a connection keeps none beyond the send. Larger ones it
 * keeps while it is busy. */
static struct pool transport_buffers = { .size = H2_OUT_LEAST, .most = LIMIT_BUFFERS_KEPT };

static void *transport_buffer(size_t size)
{
    return size == H2_OUT_LEAST ? pool_take(&transport_buffers) : sys.malloc(size);
}

/* The encoder's table is too small for this connection's constants; without memory it stays so. */
BASE_COLD static void transport_grow_table(struct transport *t, size_t size)
{
    lock_drop(&t->lock, LOCK_WRITE);
    void *block = sys.malloc(size);
    lock_take(&t->lock, LOCK_WRITE);
    void *old = block ? h2_out_grow_table(&t->out, block, size) : NULL;
    lock_drop(&t->lock, LOCK_WRITE);
    sys.free(old);
    lock_take(&t->lock, LOCK_WRITE);
}

static bool transport_buffer_room(struct transport *t, size_t n)
{
    while (!h2_out_room(&t->out, n)) {
        size_t size = h2_out_grow_size(&t->out, n);
        lock_drop(&t->lock, LOCK_WRITE);
        void *block = transport_buffer(size);
        lock_take(&t->lock, LOCK_WRITE);
        if (!block)
            return h2_out_room(&t->out, n);
        /* Its old one, or block if somebody else was faster. */
        void *old = h2_out_room(&t->out, n) ? block : h2_out_grow(&t->out, block, size);
        if (old) {
            lock_drop(&t->lock, LOCK_WRITE);
            sys.free(old);
            lock_take(&t->lock, LOCK_WRITE);
        }
    }
    return true;
}

/* The connection's first frames. */
BASE_COLD static bool transport_begin(struct transport *t, size_t n)
{
    if (!transport_buffer_room(t, n + H2_OUT_BEGIN))
        return false;
    if (!t->out.begun)
        h2_out_begin(&t->out, h2_in_config(t->in));
    return true;
}

bool transport_room(struct transport *t, size_t n)
{
    size_t table = h2_out_wants(&t->out);
    if (unlikely(table))
        transport_grow_table(t, table);
    if (unlikely(!t->out.begun) && !transport_begin(t, n))
        return false;
    return transport_buffer_room(t, n);
}

void transport_wake(struct transport *t)
{
    if (!t->closed || t->lingering)
        rt_task_wake(&t->task);
}

void transport_quota_wake(struct transport *t)
{
    bool free = t->closed || t->goaway_came || t->close_wanted ||
                t->open_streams < t->out.peer.max_concurrent_streams;
    struct list *n = free ? list_pop_front(&t->waiting) : NULL;
    if (n) {
        struct quota_waiter *w = container_of(n, struct quota_waiter, node);
        w->woken = true;
        rt_note_set(&w->note);
    }
}

/* -- flush ----------------------------------------------------------------------------------- */

void transport_dirty(struct transport *t) { rt_defer(&t->flush); }

static struct h2_ref transport_ref_at(const uint8_t *buf, size_t at)
{
    struct h2_ref ref;
    memcpy(&ref, buf + at, sizeof ref);
    return ref;
}

/* Lets go of what a buffer refers to. */
static void transport_let_refs_go(const uint8_t *buf, size_t at)
{
    while (at) {
        struct h2_ref ref = transport_ref_at(buf, at);
        at = ref.next;
        stream_unref(container_of((void *)ref.s, struct rpc_stream, h2));
    }
}

/* Octets of a buffer and what it refers to, without the first *skip; v grows. */
static void transport_piece(struct iovec *v, int *n, const uint8_t *p, size_t len, size_t *skip)
{
    size_t less = min_size(len, *skip);
    *skip -= less;
    if (len > less)
        v[(*n)++] = (struct iovec){ (void *)(uintptr_t)(p + less), len - less };
}

#define TRANSPORT_PIECES 64
static int transport_pieces(const struct transport *t, struct iovec v[TRANSPORT_PIECES])
{
    size_t skip = t->unsent_at, at = 0, ref = t->unsent_refs;
    int n = 0;
    while (ref && n < TRANSPORT_PIECES - 2) {
        struct h2_ref r = transport_ref_at(t->unsent, ref);
        transport_piece(v, &n, t->unsent + at, ref - at, &skip);
        transport_piece(v, &n, r.octets, r.len, &skip);
        at = ref + sizeof r;
        ref = r.next;
    }
    if (!ref)
        transport_piece(v, &n, t->unsent + at, t->unsent_len - at, &skip);
    return n;
}

/* 1: all sent, 0: blocked, -1: failed. */
static int transport_send_unsent(struct transport *t)
{
    struct iovec v[TRANSPORT_PIECES];
    while (t->unsent_at < t->unsent_octets) {
        ssize_t n = t->io->ops->send(t->io, v, transport_pieces(t, v));
        if (n == -EAGAIN)
            return 0;
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return -1;
        t->unsent_at += (size_t)n;
    }
    return 1;
}

/* Lets waiting bodies flow; locked. */
static void transport_pump(struct transport *t)
{
    if (list_empty(&t->out.pending) || h2_out_octets(&t->out) >= t->out.high_water)
        return;
    transport_room(t, h2_pump_bound(&t->out)); /* without memory the pump uses what room there is */
    h2_out_pump(&t->out);
}

/* Drops the lock; buffers that hold nothing go back to where they were borrowed. */
static void transport_unlock_stripped(struct transport *t)
{
    uint8_t *mine = h2_out_strip(&t->out, H2_OUT_LEAST), *other = NULL;
    if (mine)
        other = h2_out_strip(&t->out, H2_OUT_LEAST);
    lock_drop(&t->lock, LOCK_WRITE);
    pool_give(&transport_buffers, mine);
    pool_give(&transport_buffers, other);
}

bool transport_flush_round(struct transport *t)
{
    if (!t->unsent) {
        lock_take(&t->lock, LOCK_WRITE);
        if (!t->closed && !t->hold)
            transport_pump(t);
        bool got = (!t->closed || t->lingering) && !t->hold &&
                   h2_out_take(&t->out, &t->unsent, &t->unsent_len, &t->unsent_cap);
        t->unsent_refs = t->out.taken_refs, t->unsent_octets = t->out.taken_octets;
        if (!got) {
            transport_unlock_stripped(t);
            return false;
        }
        t->flush_due = false;
        lock_drop(&t->lock, LOCK_WRITE);
        t->unsent_at = 0;
    }
    /* Before the try: no edge is lost. The kernel orders a full socket before its edge. */
    atomic_store_explicit(&t->blocked, true, memory_order_relaxed);
    int sent = t->write_failed ? -1 : transport_send_unsent(t);
    if (sent == 0) {
        lock_take(&t->lock, LOCK_WRITE);
        t->out.held = t->unsent_octets - t->unsent_at;
        lock_drop(&t->lock, LOCK_WRITE);
        return false;
    }
    atomic_store_explicit(&t->blocked, false, memory_order_relaxed);
    uint8_t *buf = t->unsent;
    t->unsent = NULL;
    transport_let_refs_go(buf, t->unsent_refs);
    lock_take(&t->lock, LOCK_WRITE);
    h2_out_give_back(&t->out, buf, t->unsent_cap);
    if (sent < 0) {
        t->write_failed = true;
        transport_wake(t); /* what the peer sent is still read, then the task ends it */
    }
    if ((t->reading_paused || t->put_off) && h2_out_octets(&t->out) < LIMIT_OUT_HIGH_WATER) {
        t->reading_paused = false;
        transport_wake(t);
    }
    transport_unlock_stripped(t);
    return sent > 0;
}

/* True: this thread is the flusher now. False: the flusher will go round again. */
static bool transport_claim(struct transport *t)
{
    for (;;) {
        uint32_t seen = 0;
        if (atomic_compare_exchange_strong_explicit(&t->flushing, &seen, 1, memory_order_acquire,
                                                    memory_order_relaxed))
            return true;
        if (seen == 2 || atomic_compare_exchange_strong_explicit(
                             &t->flushing, &seen, 2, memory_order_relaxed, memory_order_relaxed))
            return false;
    }
}

void transport_flush(struct transport *t)
{
    if (!transport_claim(t))
        return;
    for (;;) {
        while (transport_flush_round(t)) {
        }
        uint32_t one = 1;
        if (atomic_compare_exchange_strong_explicit(&t->flushing, &one, 0, memory_order_release,
                                                    memory_order_relaxed))
            return;
        atomic_store_explicit(&t->flushing, 1, memory_order_relaxed);
    }
}

BASE_COLD void transport_stop_flushing(struct transport *t)
{
    const struct timespec pause = { 0, 50000 };
    uint32_t seen = 0;
    /* A flusher is inside a send that cannot block, so this is short; never given back. */
    while (!atomic_compare_exchange_strong_explicit(&t->flushing, &seen, 1, memory_order_acquire,
                                                    memory_order_relaxed)) {
        sys.futex_wait(&t->flushing, seen, &pause);
        seen = 0;
    }
    /* The last words: another flusher may have left before they were appended. */
    while (transport_flush_round(t)) {
    }
}

BASE_COLD void transport_drop_refs(struct transport *t)
{
    uint8_t *buf = NULL;
    if (t->unsent)
        transport_let_refs_go(t->unsent, t->unsent_refs);
    t->unsent_refs = 0;
    lock_take(&t->lock, LOCK_WRITE);
    size_t refs = h2_out_drop(&t->out, &buf);
    lock_drop(&t->lock, LOCK_WRITE);
    transport_let_refs_go(buf, refs);
    sys.free(buf);
}

BASE_COLD void transport_rest(struct transport *t)
{
    uint8_t *buf = NULL;
    h2_in_rest(t->in);
    headers_forget_runs(t);
    do {
        lock_take(&t->lock, LOCK_WRITE);
        buf = h2_out_strip(&t->out, SIZE_MAX);
        lock_drop(&t->lock, LOCK_WRITE);
        sys.free(buf);
    } while (buf);
}

/* -- the end --------------------------------------------------------------------------------- */

BASE_COLD void transport_note_end(struct transport *t, sennit_code code, const char *text)
{
    t->close_wanted = true;
    t->close_code = code;
    t->reason = text;
}

#define REASON_TEXT 480 /* octets; debug data of the peer's may be cut */

BASE_COLD void transport_fail(struct transport *t, sennit_code code, const char *fmt, ...)
{
    char text[256], *own = sys.malloc(REASON_TEXT);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    lock_take(&t->lock, LOCK_WRITE);
    if (!t->close_wanted) {
        const char *joint = t->goaway_text ? ", received prior goaway: " : "";
        if (own)
            snprintf(own, REASON_TEXT, "%s%s%s", text, joint, t->goaway_text ? t->goaway_text : "");
        transport_note_end(t, code, own ? own : "the connection ended, without memory to say why");
        t->reason_text = own;
        own = NULL;
    }
    transport_wake(t);
    lock_drop(&t->lock, LOCK_WRITE);
    sys.free(own);
}

BASE_COLD void transport_close(struct transport *t, sennit_code code, const char *reason)
{
    lock_take(&t->lock, LOCK_WRITE);
    if (!t->close_wanted && !t->closed && transport_room(t, 64))
        h2_out_goaway(&t->out, t->server ? 0x7fffffff : 0, H2_NO_ERROR, "");
    t->lingers = false; /* at once */
    lock_drop(&t->lock, LOCK_WRITE);
    transport_fail(t, code, "%s", reason);
}

BASE_COLD void transport_drain(struct transport *t)
{
    lock_take(&t->lock, LOCK_WRITE);
    if (t->drain == DRAIN_NONE)
        t->drain = DRAIN_WANTED;
    transport_wake(t);
    lock_drop(&t->lock, LOCK_WRITE);
}

/* -- streams --------------------------------------------------------------------------------- */

void stream_init(struct rpc_stream *s, const struct rpc_stream_ops *ops, struct transport *t,
                 struct sennit_arena *arena)
{
    stream_init_held(s, ops, t, arena);
    if (t)
        transport_ref(t);
}

void stream_init_held(struct rpc_stream *s, const struct rpc_stream_ops *ops, struct transport *t,
                      struct sennit_arena *arena)
{
    stream_init_known(s, ops, t, arena);
    s->request = (struct rpc_request_head){ .timeout = INT64_MAX };
    s->holds = true;
}

void stream_ref(struct rpc_stream *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void stream_unref(struct rpc_stream *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct transport *t = s->t;
    struct head_run *run = s->run;
    sn_assert(s->holds);
    s->ops->free(s);
    if (run)
        headers_run_unref(run);
    if (t)
        transport_unref(t);
}

/* Nobody else has it, and so nobody will: no other thread is told of anything. */
void stream_unref_known(struct rpc_stream *s)
{
    struct head_run *run = s->run;
    if (likely(atomic_load_explicit(&s->refs, memory_order_acquire) == 1 && !s->holds)) {
        s->ops->drop(s);
    } else {
        if (!s->holds) { /* a client's does from the start */
            transport_ref(s->t);
            if (run)
                atomic_fetch_add_explicit(&run->refs, 1, memory_order_relaxed);
            s->holds = true; /* before the reference goes */
        }
        stream_unref(s);
    }
    if (run)
        headers_run_leave(run);
}

bool stream_finish_with(struct rpc_stream *s, struct rpc_msg *m, sennit_code code,
                        sennit_str message, bool unprocessed)
{
    lock_take(&s->lock, LOCK_STREAM);
    bool first = !atomic_load_explicit(&s->done, memory_order_relaxed);
    if (likely(first)) {
        if (m)
            *s->last = m, s->last = &m->next;
        s->code = WHY_CODE(code), s->why = WHY_NUMBER(code);
        s->message = message;
        s->unprocessed = unprocessed;
        atomic_store_explicit(&s->done, true, memory_order_release);
    }
    lock_drop(&s->lock, LOCK_STREAM);
    if (likely(first)) {
        if (s->ops->ended)
            s->ops->ended(s);
        rt_note_set(&s->note); /* last: a unary caller may free s then, but for its reference */
    }
    return first;
}

bool stream_finish(struct rpc_stream *s, sennit_code code, sennit_str message)
{
    return stream_finish_with(s, NULL, code, message, false);
}

BASE_COLD bool stream_finish_unprocessed(struct rpc_stream *s, sennit_code code, sennit_str message)
{
    return stream_finish_with(s, NULL, code, message, true);
}

BASE_COLD void stream_set_trailer(struct rpc_stream *s, sennit_md *md, sennit_str details)
{
    lock_take(&s->lock, LOCK_STREAM);
    if (!atomic_load_explicit(&s->done, memory_order_relaxed))
        s->trailer = md, s->details = details;
    lock_drop(&s->lock, LOCK_STREAM);
}

struct rpc_msg *stream_take(struct rpc_stream *s)
{
    lock_take(&s->lock, LOCK_STREAM);
    struct rpc_msg *m = s->first;
    s->first = NULL;
    s->last = &s->first;
    lock_drop(&s->lock, LOCK_STREAM);
    return m;
}

/* wants and stuck: each side writes its own and then reads the other's (both seq_cst), so that one
 * of the two sees to it that the message under way gets the window it needs. */
void stream_wait_message(struct rpc_stream *s)
{
    struct transport *t = s->t;
    atomic_store(&s->wants, true);
    if (unlikely(atomic_load(&s->stuck))) {
        lock_take(&t->lock, LOCK_WRITE);
        transport_changed(t, s, STREAM_WANTED);
        transport_wake(t);
        lock_drop(&t->lock, LOCK_WRITE);
    }
    rt_note_wait(&s->note, "waiting for a message");
    atomic_store_explicit(&s->wants, false, memory_order_relaxed);
}

void stream_tell_consumed(struct rpc_stream *s)
{
    struct transport *t = s->t;
    lock_take(&t->lock, LOCK_WRITE);
    if (s->known) {
        s->consumed += s->unreported;
        transport_changed(t, s, STREAM_CONSUMED);
        transport_wake(t);
    }
    lock_drop(&t->lock, LOCK_WRITE);
    s->unreported = 0;
}
