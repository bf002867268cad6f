/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * secure.c: a byte stream made of a session (creds.h) and a socket. The handshake runs in the
 * caller's goroutine; afterwards the connection's reader (recv) and whoever flushes (send) share
 * the session by a claim that nobody waits for:
 *   1. claim goes 0 -> 1: the session is ours.
 *   2. Not so: it becomes 2, and the call gives -EAGAIN.
 *   3. Who held it puts 0 back, and if it was 2 wakes the task, which flushes and reads again.
 * What the session makes is sent in order: `out` is emptied before anything more is encrypted.
 * Octets whose records the socket did not take count as sent only when it has: send gives -EAGAIN,
 * is offered the same octets again and then says so (`accepted`). Buffers live for one call, so an
 * idle connection holds none: received octets lie at the end of the caller's own buffer while their
 * plain text grows from its front, which cannot overtake them (NET_SESSION_HELD). */
#include "base/limits.h"
#include "base/quote.h"
#include "base/sys.h"
#include "net/creds.h"
#include <errno.h>

#define SECURE_CONTROL 512 /* octets of answers the reader makes: alerts, key updates */

struct io_secure {
    struct net_io io;
    struct net_io *raw;
    struct net_session *s;
    _Atomic uint32_t claim;

    /* Guarded by claim. */
    size_t out_at;   /* octets of s->out that are sent */
    size_t accepted; /* plain octets in s->out, of the send that is offered again */
    uint8_t *big;    /* s->out, when it is not control */
    uint8_t *early;  /* received behind the handshake; for the first recv */
    size_t early_len;
    bool ended, broken, finished;
    uint8_t control[SECURE_CONTROL];
};

static struct io_secure *secure_of(struct net_io *io)
{
    return container_of(io, struct io_secure, io);
}

static bool secure_claim(struct io_secure *c)
{
    for (;;) {
        uint32_t seen = 0;
        if (atomic_compare_exchange_strong(&c->claim, &seen, 1))
            return true;
        if (seen == 2 || atomic_compare_exchange_strong(&c->claim, &seen, 2))
            return false;
    }
}

static void secure_release(struct io_secure *c)
{
    if (atomic_exchange(&c->claim, 0) == 2)
        rt_task_wake(c->io.task);
}

/* -- what is to be sent ----------------------------------------------------------------------- */

/* 0: out is empty; else -EAGAIN, or why the socket takes no more. */
static int secure_flush(struct io_secure *c)
{
    struct net_session *s = c->s;
    while (c->out_at < s->out_len) {
        struct iovec v = { s->out + c->out_at, s->out_len - c->out_at };
        ssize_t n = c->raw->ops->send(c->raw, &v, 1);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EPIPE;
        c->out_at += (size_t)n;
    }
    sys.free(c->big);
    c->big = NULL;
    s->out = c->control, s->out_room = sizeof c->control;
    s->out_len = c->out_at = 0;
    return 0;
}

/* The session is of no more use: the reader must learn it, though the socket may be fine. */
static ssize_t secure_break(struct io_secure *c)
{
    c->broken = true;
    secure_flush(c); /* the alert, if there is one */
    rt_task_wake(c->io.task);
    return -EPROTO;
}

static ssize_t secure_send_claimed(struct io_secure *c, const struct iovec *v)
{
    struct net_session *s = c->s;
    int blocked = c->broken ? -EPIPE : secure_flush(c);
    size_t n = min_size(v->iov_len, LIMIT_SECURE_BATCH);
    if (!blocked && !c->accepted && n) {
        size_t room = n + NET_SESSION_OVERHEAD(n);
        uint8_t *big = sys.malloc(room);
        if (!big)
            return secure_break(c);
        c->big = s->out = big, s->out_room = room;
        while (c->accepted < n) {
            ssize_t took =
                s->ops->write(s, (const char *)v->iov_base + c->accepted, n - c->accepted);
            if (took <= 0)
                return secure_break(c);
            c->accepted += (size_t)took;
        }
        blocked = secure_flush(c);
    }
    if (blocked)
        return blocked;
    n = c->accepted;
    c->accepted = 0;
    return (ssize_t)n;
}

static ssize_t secure_send(struct net_io *io, const struct iovec *v, int n)
{
    struct io_secure *c = secure_of(io);
    sn_assert(n == 1);
    if (!secure_claim(c))
        return -EAGAIN;
    ssize_t result = secure_send_claimed(c, v);
    secure_release(c);
    return result;
}

/* -- what is received ------------------------------------------------------------------------- */

/* Secured octets into p, those behind the handshake first. Sets raw->more. */
static ssize_t secure_fetch(struct io_secure *c, uint8_t *p, size_t n)
{
    if (c->early) {
        size_t len = c->early_len;
        memcpy(p, c->early, len);
        sys.free(c->early);
        c->early = NULL;
        c->raw->more = true;
        return (ssize_t)len;
    }
    return c->raw->ops->recv(c->raw, p, n);
}

/* All plain text of what the session has been fed; *end is 0, -EAGAIN or -EPROTO. */
static size_t secure_open(struct io_secure *c, uint8_t *p, size_t n, ssize_t *end)
{
    struct net_session *s = c->s;
    size_t total = 0;
    for (;;) {
        *end = s->ops->read(s, p + total, n - total);
        if (*end == -ENOBUFS && secure_flush(c) == 0)
            continue;
        if (*end <= 0)
            break;
        total += (size_t)*end;
    }
    if (*end == -ENOBUFS) { /* it makes us answer and reads nothing */
        s->failed = "the peer reads no answers to its control records";
        *end = -EPROTO;
    }
    return total;
}

static ssize_t secure_over(struct io_secure *c)
{
    c->io.more = false;
    if (!c->broken)
        return 0;
    c->io.reason = c->s->failed ? c->s->failed : "no memory for a record";
    return -EPROTO;
}

static ssize_t secure_recv_claimed(struct io_secure *c, uint8_t *p, size_t n)
{
    ssize_t end;
    for (;;) {
        if (c->ended || c->broken)
            return secure_over(c);
        secure_flush(c); /* if it is blocked, writability wakes the task */
        ssize_t got = secure_fetch(c, p + NET_SESSION_HELD, n - NET_SESSION_HELD);
        c->io.more = got > 0 && c->raw->more;
        if (got == 0)
            c->io.reason = "unexpected EOF: the connection was cut without a TLS close_notify";
        if (got <= 0)
            return got ? got : -EPROTO;
        c->s->in = p + NET_SESSION_HELD, c->s->in_len = (size_t)got;
        size_t total = secure_open(c, p, n, &end);
        c->s->in_len = 0;
        c->ended = end == 0;
        if (end == -EPROTO)
            secure_break(c);
        else
            secure_flush(c);
        if (total) {
            c->io.more |= c->ended || c->broken;
            return (ssize_t)total;
        }
        if (end == -EAGAIN && !c->io.more)
            return -EAGAIN;
    }
}

static ssize_t secure_recv(struct net_io *io, void *p, size_t n)
{
    struct io_secure *c = secure_of(io);
    sn_assert(n >= NET_RECV_MIN);
    io->more = false;
    if (unlikely(c->finished)) { /* only the end is waited for */
        ssize_t got = c->raw->ops->recv(c->raw, p, n);
        io->more = got > 0 && c->raw->more;
        return got;
    }
    if (!secure_claim(c))
        return -EAGAIN;
    ssize_t result = secure_recv_claimed(c, p, n);
    secure_release(c);
    return result;
}

/* -- the end ---------------------------------------------------------------------------------- */

static int secure_finish(struct net_io *io)
{
    struct io_secure *c = secure_of(io);
    int blocked = secure_flush(c);
    if (!blocked && !c->broken && !c->finished) {
        c->s->ops->shutdown(c->s);
        c->finished = true;
        blocked = secure_flush(c);
    }
    return blocked == -EAGAIN ? -EAGAIN : c->raw->ops->finish(c->raw);
}

static void secure_close(struct net_io *io)
{
    struct io_secure *c = secure_of(io);
    if (secure_flush(c) == 0 && !c->broken && !c->finished) {
        c->s->ops->shutdown(c->s);
        secure_flush(c);
    }
    c->s->ops->free(c->s);
    c->raw->ops->close(c->raw);
    net_auth_free(io->auth);
    sys.free(c->big);
    sys.free(c->early);
    sys.free(c);
}

static const struct net_io_ops secure_ops = {
    .recv = secure_recv,
    .send = secure_send,
    .close = secure_close,
    .finish = secure_finish,
};

/* -- the handshake ---------------------------------------------------------------------------- */

struct secure_shake {
    struct net_io *raw;
    struct net_session *s;
    sennit_ctx *ctx;
    bool heard; /* the peer's first octets have been seen */
    uint8_t in[LIMIT_HANDSHAKE_READ], out[LIMIT_HANDSHAKE_READ];
};

static sennit_err secure_waited(int waited, sennit_ctx *ctx)
{
    sennit_err ended = sennit_ctx_error(ctx);
    if (waited == 0)
        return NULL;
    if (ended)
        return sennit_errorf(WHY_AS(WHY(HANDSHAKE), ended->code), "%s",
                             ended->code == SENNIT_DEADLINE_EXCEEDED
                                 ? "the peer did not finish the TLS handshake in time"
                                 : ended->message);
    return sennit_errorf(WHY(HANDSHAKE), "%s", net_errno_text(-waited));
}

static sennit_err secure_shake_send(struct secure_shake *h)
{
    size_t at = 0;
    while (at < h->s->out_len) {
        struct iovec v = { h->s->out + at, h->s->out_len - at };
        ssize_t n = h->raw->ops->send(h->raw, &v, 1);
        int waited = n == -EAGAIN ? rt_fd_wait_write(h->raw->fd, h->ctx) : n < 0 ? (int)n : 0;
        if (waited < 0 && waited != -EINTR)
            return secure_waited(waited, h->ctx);
        at += n > 0 ? (size_t)n : 0;
    }
    h->s->out_len = 0;
    return NULL;
}

/* Everything in TLS is a record, which begins with its type: 20 to 23. What begins otherwise is
 * plain text, mostly of somebody who took the one port for the other. It is told so by an alert
 * (protocol_version), by which our clients see it. */
static sennit_err secure_shake_first(struct secure_shake *h)
{
    static const uint8_t alert[] = { 21, 3, 1, 0, 2, 2, 70 };
    char line[64];
    if (h->heard || (h->in[0] >= 20 && h->in[0] <= 23)) {
        h->heard = true;
        return NULL;
    }
    memcpy(h->s->out, alert, sizeof alert);
    h->s->out_len = sizeof alert;
    sennit_err lost = secure_shake_send(h);
    (void)lost; /* it has been told as well as it can be */
    bool h2 = h->in[0] == 0 && (h->s->in_len < 4 || h->in[3] == 4); /* a SETTINGS frame */
    return sennit_errorf(WHY(WANTS_PLAIN),
                         "tls: first record does not look like a TLS handshake: the peer speaks "
                         "plain text (%s)",
                         h2 ? "HTTP/2" : quote_line(line, sizeof line, h->s->in, h->s->in_len));
}

static sennit_err secure_shake_receive(struct secure_shake *h)
{
    for (;;) {
        ssize_t n = h->raw->ops->recv(h->raw, h->in, sizeof h->in);
        if (n > 0) {
            h->s->in = h->in, h->s->in_len = (size_t)n;
            return secure_shake_first(h);
        }
        if (n == 0)
            return sennit_errorf(WHY(HANDSHAKE),
                                 "EOF: the peer closed the connection during the TLS handshake");
        int waited = n == -EAGAIN ? rt_fd_wait_read(h->raw->fd, h->ctx) : (int)n;
        if (waited < 0 && waited != -EINTR)
            return secure_waited(waited, h->ctx);
    }
}

/* The costly part. At most so many goroutines are in it or ready for it, so that a crowd of new
 * connections stands in line here and not before everybody else in the run queue. */
static sennit_err secure_shake_step(struct secure_shake *h, int *step)
{
    static sennit_mutex gates[LIMIT_HANDSHAKE_STEPS];
    static _Atomic uint32_t next;
    sennit_mutex *gate = &gates[atomic_fetch_add(&next, 1) % LIMIT_HANDSHAKE_STEPS];
    sennit_err err = sennit_mutex_lock(gate, h->ctx);
    if (err)
        return secure_waited(-ECANCELED, h->ctx);
    *step = h->s->ops->handshake(h->s);
    sennit_mutex_unlock(gate);
    return NULL;
}

static sennit_err secure_shake_hands(struct secure_shake *h)
{
    h->s->out = h->out, h->s->out_room = sizeof h->out, h->s->out_len = 0;
    for (;;) {
        int step = 0;
        sennit_err err = secure_shake_step(h, &step);
        if (!err)
            err = secure_shake_send(h);
        if (step == -EPROTO)
            return sennit_errorf(WHY(HANDSHAKE), "%s", h->s->failed);
        if (!err && step == -EAGAIN)
            err = secure_shake_receive(h);
        if (err || step == 0)
            return err;
    }
}

static struct net_io *secure_new(struct secure_shake *h)
{
    struct io_secure *c = sys.calloc(1, sizeof *c);
    uint8_t *early = c && h->s->in_len ? sys.malloc(h->s->in_len) : NULL;
    if (!c || (h->s->in_len && !early)) {
        sys.free(c);
        return NULL;
    }
    c->io = (struct net_io){ .ops = &secure_ops, .fd = h->raw->fd, .records = true };
    c->raw = h->raw, c->s = h->s;
    c->early = early, c->early_len = h->s->in_len;
    if (early)
        memcpy(early, h->s->in, h->s->in_len);
    h->s->in_len = 0;
    h->s->out = c->control, h->s->out_room = sizeof c->control;
    return &c->io;
}

struct net_io *net_secure(struct net_session *s, struct net_io *raw, sennit_ctx *ctx,
                          sennit_err *err)
{
    struct net_io *io = NULL;
    struct secure_shake *h = sys.malloc(sizeof *h);
    *err = h ? NULL : sennit_no_memory;
    if (h) {
        h->raw = raw, h->s = s, h->ctx = ctx, h->heard = false;
        *err = secure_shake_hands(h);
        io = *err ? NULL : secure_new(h);
        if (!io && !*err)
            *err = sennit_no_memory;
        sys.free(h);
    }
    if (!io) {
        s->ops->free(s);
        raw->ops->close(raw);
    }
    return io;
}
