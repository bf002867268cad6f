/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * accept.c: one goroutine per listener turns sockets into transports. A connection enters here from
 * net/listen.c and leaves as a transport whose reader calls dispatch.c. A handshake has a goroutine
 * of its own, so that a slow peer keeps nobody waiting; afterwards idle connections hold none.
 * Accept errors are sorted: again at once, after a pause, or the end of serving. */
#include "base/limits.h"
#include "base/sys.h"
#include "rpc/message.h"
#include "rt/log.h"
#include "server/server.h"
#include <errno.h>

#define ACCEPT_PAUSE_FIRST (5 * SENNIT_MILLISECOND)
#define ACCEPT_PAUSE_MAX                                                                           \
    (50 * SENNIT_MILLISECOND) /* back within 0.1 s of the first free descriptor */

static void accept_tell_end(void *transport)
{
    struct transport *t = transport;
    struct server_conn *c = transport_owner(t);
    message_connection(&c->server->stats, SENNIT_EVENT_CONN_END, false, &transport_auth(t)->peer,
                       sennit_errorf(transport_why(t), "%s", transport_reason(t)));
    transport_unref(t);
}

static void accept_closed(struct transport *t, const char *reason)
{
    (void)reason;
    struct server_conn *c = transport_owner(t);
    struct sennit_server *s = c->server;
    lock_take(&s->lock, LOCK_REGISTRY);
    list_remove(&c->node);
    c->t = NULL;
    lock_drop(&s->lock, LOCK_REGISTRY);
    /* This is a task: the user's hook wants a goroutine. */
    if (!s->stats.event || rt_go(accept_tell_end, t, "sennit stats", RT_GO_SYSTEM))
        transport_unref(t);
}

/* No call is left: each held the transport. */
static void accept_freed(void *owner)
{
    struct server_conn *c = owner;
    struct sennit_server *s = c->server;
    sys.free(c);
    lock_take(&s->lock, LOCK_REGISTRY);
    s->n_conns--;
    server_changed(s);
    lock_drop(&s->lock, LOCK_REGISTRY);
}

static const struct transport_ops accept_ops = {
    .new_stream = dispatch_new_stream,
    .accept = dispatch_accept,
    .room = dispatch_put_off,
    .turned = dispatch_turned,
    .closed = accept_closed,
    .freed = accept_freed,
};

/* io: its handshake is done. timeout: for the peer's preface. */
static void accept_conn(struct sennit_server *s, struct net_io *io, sennit_duration timeout)
{
    struct server_conn *c = sys.calloc(1, sizeof *c);
    if (!c) {
        io->ops->close(io);
        return;
    }
    list_init(&c->put_off);
    struct transport_config config = {
        .server = true,
        .max_streams = s->options.max_concurrent_streams,
        .max_header_list = s->options.max_header_list_size,
        .stream_window = s->options.initial_window_size,
        .conn_window = s->options.initial_conn_window_size,
        .abuse_budget = s->options.abuse_budget,
        .handshake_timeout = timeout,
        .clock = &s->clock,
    };
    list_init(&c->node);
    c->server = s;
    struct transport *t = transport_new(io, &config, &accept_ops, c);
    if (!t) {
        sys.free(c);
        return;
    }
    c->t = t;
    transport_ref(t); /* accept_closed may drop the owner's before start has returned */
    lock_take(&s->lock, LOCK_REGISTRY);
    list_push_back(&s->conns, &c->node);
    s->n_conns++;
    bool stopping = s->state != SERVER_SERVING;
    lock_drop(&s->lock, LOCK_REGISTRY);
    message_connection(&s->stats, SENNIT_EVENT_CONN_BEGIN, false, &transport_auth(t)->peer, NULL);
    transport_start(t);
    if (stopping)
        transport_drain(t);
    transport_unref(t);
}

/* -- handshakes -- */

struct accept_shake {
    struct sennit_server *server;
    struct net_io *io;
};

static void accept_log_refused(sennit_err err)
{
    static _Atomic int64_t last;
    bool confused = err->reason == WHY_NUMBER(WHY(WANTS_PLAIN));
    sennit_log_level level = confused && log_on(LOG_SERVER, SENNIT_LOG_WARN) && log_seldom(&last)
                                 ? SENNIT_LOG_WARN
                                 : SENNIT_LOG_INFO;
    log_line(LOG_SERVER, level, WHY_OF(err), "a connection was refused: %s", err->message);
}

/* A peer that fails is dropped: it has been told why, as far as its protocol can say it. */
static void accept_secure(struct sennit_server *s, struct net_io *io)
{
    struct sennit_ctx ctx;
    sennit_err err = NULL;
    int64_t at = sennit_now() + s->options.handshake_timeout;
    ctx_init(&ctx, s->ctx, at, NULL, 0);
    io = creds_handshake(server_creds(s), io, true, NULL, &ctx, &err);
    ctx_fini(&ctx);
    int64_t left = at - sennit_now();
    if (io)
        accept_conn(s, io, left > 0 ? left : 1);
    else
        accept_log_refused(err);
}

static void accept_shaken(struct sennit_server *s)
{
    lock_take(&s->lock, LOCK_REGISTRY);
    s->n_handshakes--;
    server_changed(s);
    lock_drop(&s->lock, LOCK_REGISTRY);
}

static void accept_shake_run(void *shake)
{
    struct accept_shake *h = shake;
    struct sennit_server *s = h->server;
    accept_secure(s, h->io);
    sys.free(h);
    accept_shaken(s);
}

/* Waits when there are too many: the others stay in the kernel's backlog. */
static void accept_shake(struct sennit_server *s, struct net_io *io)
{
    struct accept_shake *h = sys.malloc(sizeof *h);
    lock_take(&s->lock, LOCK_REGISTRY);
    while (s->n_handshakes >= LIMIT_HANDSHAKES)
        server_wait_change(s, INT64_MAX);
    s->n_handshakes++;
    lock_drop(&s->lock, LOCK_REGISTRY);
    if (h) {
        h->server = s, h->io = io;
        if (!rt_go(accept_shake_run, h, "sennit handshake", RT_GO_SYSTEM))
            return;
    }
    sys.free(h);
    io->ops->close(io);
    accept_shaken(s);
}

static void accept_io(struct sennit_server *s, struct net_io *io)
{
    if (creds_parks(server_creds(s)))
        accept_shake(s, io);
    else
        accept_secure(s, io);
}

/* True: a stop waits until accept_shaken. */
static bool accept_enter(struct sennit_server *s)
{
    lock_take(&s->lock, LOCK_REGISTRY);
    bool serves = s->state == SERVER_SERVING;
    s->n_handshakes += serves;
    lock_drop(&s->lock, LOCK_REGISTRY);
    return serves;
}

bool server_accept_io(struct sennit_server *s, struct net_io *io)
{
    if (!accept_enter(s)) {
        io->ops->close(io);
        return false;
    }
    accept_io(s, io);
    accept_shaken(s);
    return true;
}

sennit_err sennit_accept_fd(sennit_server *s, int fd)
{
    int error = -EBADF;
    if (server_is_lame(s)) {
        sys.close(fd);
        return sennit_no_memory;
    }
    bool serves = accept_enter(s);
    struct net_io *io = serves ? net_io_given(fd, &error) : NULL;
    if (io)
        accept_io(s, io);
    if (!serves) {
        sys.close(fd);
        return sennit_errorf(WHY(NOT_SERVING), "sennit_accept_fd: not serving");
    }
    accept_shaken(s);
    return io ? NULL : sennit_errorf(WHY(SYSTEM), "sennit_accept_fd: %s", net_errno_text(-error));
}

/* Sleeps before the next try; false: the server stops. */
static bool accept_pause(struct sennit_server *s, sennit_duration *pause)
{
    *pause = *pause ? *pause * 2 : ACCEPT_PAUSE_FIRST;
    if (*pause > ACCEPT_PAUSE_MAX)
        *pause = ACCEPT_PAUSE_MAX;
    return sennit_sleep(s->ctx, *pause) == NULL;
}

/* One accept; false: this listener is done. */
static bool accept_one(struct server_listener *l, sennit_duration *pause)
{
    static _Atomic int64_t told;
    struct sennit_server *s = l->server;
    struct net_io *io = NULL;
    int error = net_accept(l->listener, &io);
    if (error == 0) {
        *pause = 0;
        accept_io(s, io);
        return true;
    }
    if (error == -EAGAIN) {
        error = rt_fd_wait_read(l->listener->fd, s->ctx);
        return error == 0;
    }
    switch (net_accept_verdict(error)) {
    case NET_RETRY_NOW:
        return true;
    case NET_RETRY_LATER:
        if (log_on(LOG_SERVER, SENNIT_LOG_WARN) && log_seldom(&told))
            log_write(LOG_SERVER, SENNIT_LOG_WARN, WHY(SYSTEM),
                      "accept on %s: %s; it is tried again", l->listener->text,
                      net_errno_text(-error));
        return accept_pause(s, pause);
    case NET_FATAL:
        break;
    }
    if (!sennit_ctx_error(s->ctx))
        server_fail(
            s, sennit_errorf(WHY(SYSTEM), "accept on %s: %s", l->text, net_errno_text(-error)));
    return false;
}

void server_accept_loop(void *listener)
{
    struct server_listener *l = listener;
    struct sennit_server *s = l->server;
    sennit_duration pause = 0;
    while (!sennit_ctx_error(s->ctx) && accept_one(l, &pause)) {
    }
    net_listener_close(l->listener);
    l->listener = NULL;
    lock_take(&s->lock, LOCK_REGISTRY);
    s->n_acceptors--;
    server_changed(s);
    lock_drop(&s->lock, LOCK_REGISTRY);
}
