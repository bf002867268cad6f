/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * connect.c: the goroutine that makes a channel's connection: resolve, try each address in order,
 * wait for the server's SETTINGS, back off and try again (gRPC connection-backoff: 1 s, x1.6, up to
 * 120 s, +-20 %; each attempt gets 20 s). It ends once connected, or with the channel. While it
 * lives the channel counts it as a user. */
#include "base/limits.h"
#include "base/random.h"
#include "base/sys.h"
#include "client/client.h"
#include "net/creds.h"
#include "rpc/message.h"
#include "rt/log.h"
#include <stdio.h>

/* -- a link: what the transport tells of itself ---------------------------------------------- */

static void connect_ready(struct transport *t)
{
    struct client_link *l = transport_owner(t);
    int fresh = LINK_NEW;
    if (atomic_compare_exchange_strong(&l->state, &fresh, LINK_READY))
        rt_note_set(&l->note);
}

static void connect_draining(struct transport *t)
{
    struct client_link *l = transport_owner(t);
    struct sennit_conn *c = l->conn;
    lock_take(&c->lock, LOCK_CONN);
    bool slower = transport_pinged_too_much(t) && c->keepalive_time > 0 &&
                  c->keepalive_time < LIMIT_KEEPALIVE_NS;
    if (slower)
        c->keepalive_time *= 2;
    sennit_duration now = c->keepalive_time;
    lock_drop(&c->lock, LOCK_CONN);
    if (slower)
        log_line(LOG_CLIENT, SENNIT_LOG_WARN, WHY(PINGS),
                 "%s says too_many_pings: keepalive_time is %lld ms from now on", c->name,
                 (long long)(now / SENNIT_MILLISECOND));
    conn_forget(c, t);
}

/* Calls that ended may keep the transport longer than the channel lives. */
static void connect_leave(struct client_link *l)
{
    conn_leave(l->conn);
    l->conn = NULL;
    transport_unref(l->t); /* the owner's */
}

static void connect_tell_end(void *link)
{
    struct client_link *l = link;
    message_connection(&l->conn->stats, SENNIT_EVENT_CONN_END, true, &transport_auth(l->t)->peer,
                       sennit_errorf(transport_why(l->t), "%s", transport_reason(l->t)));
    connect_leave(l);
}

static void connect_closed(struct transport *t, const char *reason)
{
    struct client_link *l = transport_owner(t);
    (void)reason;
    atomic_store(&l->state, LINK_CLOSED);
    rt_note_set(&l->note);
    conn_forget(l->conn, t);
    lock_take(&l->conn->lock, LOCK_CONN);
    list_remove(&l->node);
    bool told = l->told;
    lock_drop(&l->conn->lock, LOCK_CONN);
    /* This is a task: the user's hook wants a goroutine. */
    if (!told || rt_go(connect_tell_end, l, "sennit stats", RT_GO_SYSTEM))
        connect_leave(l);
}

static void connect_freed(void *owner) { sys.free(owner); }

static const struct transport_ops connect_ops = {
    .ready = connect_ready,
    .draining = connect_draining,
    .closed = connect_closed,
    .freed = connect_freed,
};

#define CONNECT_DIAL "connection error: desc = \"transport: Error while dialing: %s\""

/* -- one attempt ----------------------------------------------------------------------------- */

/* Keeps the text for fail-fast RPCs, in grpc-go's words, and the reason: a WHY(). */
static void connect_failed(struct sennit_conn *c, sennit_code why, const char *fmt,
                           const char *what)
{
    lock_take(&c->lock, LOCK_CONN);
    c->last_code = WHY_AS(why, SENNIT_UNAVAILABLE);
    snprintf(c->last_error, sizeof c->last_error, fmt, what);
    lock_drop(&c->lock, LOCK_CONN);
    log_line(LOG_CLIENT, SENNIT_LOG_INFO, why, "no connection to %s: %s", c->name, what);
}

static struct transport_clock connect_clock(struct sennit_conn *c)
{
    const sennit_conn_options *o = &c->options;
    lock_take(&c->lock, LOCK_CONN);
    sennit_duration time = c->keepalive_time;
    lock_drop(&c->lock, LOCK_CONN);
    return (struct transport_clock){
        .time = time,
        .timeout = o->keepalive_timeout > 0 ? o->keepalive_timeout : LIMIT_KEEPALIVE_TIMEOUT_NS,
        .without_calls = o->keepalive_without_calls,
    };
}

/* In the connector's goroutine, before any call has l. */
static struct transport *connect_told(struct sennit_conn *c, struct client_link *l)
{
    const sennit_peer *peer = &transport_auth(l->t)->peer;
    message_connection(&c->stats, SENNIT_EVENT_CONN_BEGIN, true, peer, NULL);
    lock_take(&c->lock, LOCK_CONN);
    bool closed = list_empty(&l->node);
    l->told = c->stats.event && !closed;
    lock_drop(&c->lock, LOCK_CONN);
    if (closed && c->stats.event) /* meanwhile */
        message_connection(&c->stats, SENNIT_EVENT_CONN_END, true, peer,
                           sennit_errorf(transport_why(l->t), "%s", transport_reason(l->t)));
    return l->t;
}

/* The owner's reference to a transport that has its preface; NULL: failed. */
static struct transport *connect_handshake(struct sennit_conn *c, struct net_io *io,
                                           sennit_ctx *ctx)
{
    struct client_link *l = sys.calloc(1, sizeof *l);
    struct transport_config config = {
        .max_header_list = c->options.max_header_list_size,
        .stream_window = c->options.initial_window_size,
        .conn_window = c->options.initial_conn_window_size,
        .clock = l ? &l->clock : NULL,
        .abuse_budget = c->options.abuse_budget,
    };
    if (!l) {
        io->ops->close(io);
        connect_failed(c, WHY(NO_MEMORY), "%s", "no memory for a connection");
        return NULL;
    }
    list_init(&l->node);
    l->conn = c;
    l->clock = connect_clock(c);
    struct transport *t = transport_new(io, &config, &connect_ops, l);
    if (!t) {
        sys.free(l);
        connect_failed(c, WHY(NO_MEMORY), "%s", "no memory for a connection");
        return NULL;
    }
    l->t = t;
    lock_take(&c->lock, LOCK_CONN);
    c->users++;
    list_push_back(&c->links, &l->node);
    lock_drop(&c->lock, LOCK_CONN);
    transport_ref(t); /* the caller's; connect_closed drops the owner's */
    transport_start(t);
    sennit_err late = NULL;
    while (atomic_load(&l->state) == LINK_NEW && !late)
        late = ctx_note_wait(ctx, &l->note, "waiting for the server's SETTINGS");
    if (atomic_load(&l->state) == LINK_READY)
        return connect_told(c, l);
    connect_failed(c, late ? WHY(NO_PREFACE) : transport_why(t),
                   "connection error: desc = \"error reading server preface: %s\"",
                   late ? late->message : transport_reason(t));
    transport_close(t, WHY(NO_PREFACE), "the server did not send its preface in time");
    transport_unref(t);
    return NULL;
}

/* A connected stream with its peer's credentials seen; NULL: failed. */
static struct net_io *connect_secure(struct sennit_conn *c, struct net_io *io, sennit_ctx *ctx)
{
    sennit_err err = NULL;
    sennit_creds *creds = (sennit_creds *)(uintptr_t)c->options.creds;
    io = creds_handshake(creds, io, false, c->authority, ctx, &err);
    if (!io)
        connect_failed(c, WHY_OF(err),
                       "connection error: desc = \"transport: authentication handshake failed: "
                       "%s\"",
                       err->message);
    return io;
}

/* Takes io, which leads to the server. */
static struct transport *connect_stream(struct sennit_conn *c, struct net_io *io, sennit_ctx *ctx)
{
    io = connect_secure(c, io, ctx);
    return io ? connect_handshake(c, io, ctx) : NULL;
}

/* False: the proxy refused, and io is closed. */
static bool connect_through(struct sennit_conn *c, struct net_io *io, sennit_ctx *ctx)
{
    sennit_err err = c->proxy.used ? net_proxy_connect(&c->proxy, io, ctx) : NULL;
    if (!err)
        return true;
    connect_failed(c, WHY_OF(err), CONNECT_DIAL, err->message);
    io->ops->close(io);
    return false;
}

static struct transport *connect_address(struct sennit_conn *c, const struct net_addr *a)
{
    struct sennit_ctx ctx;
    int error = 0;
    ctx_init(&ctx, c->ctx, sennit_now() + LIMIT_CONNECT_NS, NULL, 0);
    struct net_io *io = net_dial(a, &ctx, &error);
    struct transport *t = NULL;
    if (!io) {
        char text[256];
        net_error_text(text, sizeof text, "dial", a, error);
        connect_failed(c, WHY(DIAL), CONNECT_DIAL, text);
    } else if (connect_through(c, io, &ctx)) {
        t = connect_stream(c, io, &ctx);
    }
    ctx_fini(&ctx);
    return t;
}

/* By the user's function, in the channel's own goroutine. */
static struct transport *connect_custom(struct sennit_conn *c)
{
    struct sennit_ctx ctx;
    ctx_init(&ctx, c->ctx, sennit_now() + LIMIT_CONNECT_NS, NULL, 0);
    int error = c->pipe ? 0 : c->dialer.dial(c->dialer.self, &ctx, c->name);
    struct net_io *io = c->pipe     ? c->pipe(c->pipe_to, &error)
                        : error < 0 ? NULL
                                    : net_io_given(error, &error);
    struct transport *t = NULL;
    if (io)
        t = connect_stream(c, io, &ctx);
    else
        connect_failed(c, WHY(DIAL), CONNECT_DIAL, net_errno_text(-error));
    ctx_fini(&ctx);
    return t;
}

/* Each address in order: the target's, or its proxy's. */
static struct transport *connect_any(struct sennit_conn *c)
{
    struct net_addrs resolved = { NULL, 0 };
    const struct net_target *to = c->proxy.used ? &c->proxy.at : &c->target;
    const struct net_addrs *addrs = &to->literal;
    struct transport *t = NULL;
    if (to->kind == NET_TARGET_DNS) {
        sennit_err err = net_resolve(to, &resolved);
        if (err)
            connect_failed(c, WHY_OF(err), "name resolver error: %s", err->message);
        addrs = &resolved;
    }
    for (size_t i = 0; i < addrs->n && !t && !sennit_ctx_error(c->ctx); i++)
        t = connect_address(c, &addrs->list[i]);
    net_addrs_free(&resolved);
    return t;
}

/* True: connected (or shut down): nothing more to do. */
static bool connect_attempt(struct sennit_conn *c)
{
    struct transport *t = c->dialer.dial || c->pipe ? connect_custom(c) : connect_any(c);
    if (!t)
        return false;
    struct client_link *l = transport_owner(t);
    lock_take(&c->lock, LOCK_CONN);
    /* A link that closed since has told conn_forget already, or will: the order does not matter. */
    bool use = c->state != CONN_SHUTDOWN && atomic_load(&l->state) == LINK_READY;
    if (use) {
        c->t = t; /* takes our reference; one more to look at the link below */
        transport_ref(t);
        c->state = CONN_READY;
        c->attempts = 0;
        conn_wake(c);
    }
    bool shut = c->state == CONN_SHUTDOWN;
    lock_drop(&c->lock, LOCK_CONN);
    if (use)
        log_line(LOG_CLIENT, SENNIT_LOG_DEBUG, SENNIT_OK, "connected to %s at %s", c->name,
                 transport_auth(t)->peer.address);
    if (!use) {
        if (!shut) /* it has ended since its handshake: the calls that wait want to know why */
            connect_failed(c, transport_why(t), "connection error: desc = \"%s\"",
                           transport_reason(t));
        transport_close(t, WHY(CLOSING), "grpc: the client connection is closing");
        transport_unref(t);
        return shut;
    }
    if (atomic_load(&l->state) == LINK_CLOSED)
        conn_forget(c, t);
    transport_unref(t);
    return true;
}

sennit_duration connect_backoff(unsigned attempts)
{
    double pause = (double)LIMIT_BACKOFF_FIRST_NS;
    for (unsigned i = 1; i < attempts && pause < (double)LIMIT_BACKOFF_MAX_NS; i++)
        pause *= 1.6;
    if (pause > (double)LIMIT_BACKOFF_MAX_NS)
        pause = (double)LIMIT_BACKOFF_MAX_NS;
    return (sennit_duration)(pause * (0.8 + 0.4 * (random_u32() / 4294967296.0)));
}

void connect_run(void *conn)
{
    struct sennit_conn *c = conn;
    while (!sennit_ctx_error(c->ctx)) {
        int64_t began = sennit_now();
        if (connect_attempt(c))
            break;
        lock_take(&c->lock, LOCK_CONN);
        sennit_duration pause = connect_backoff(++c->attempts) - (sennit_now() - began);
        if (c->state != CONN_SHUTDOWN)
            c->state = CONN_FAILED;
        conn_wake(c);
        lock_drop(&c->lock, LOCK_CONN);
        if (pause > 0 && sennit_sleep(c->ctx, pause))
            break;
    }
    lock_take(&c->lock, LOCK_CONN);
    c->connecting = false;
    conn_wake(c);
    lock_drop(&c->lock, LOCK_CONN);
    conn_leave(c);
}
