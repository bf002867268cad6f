/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * server.c: life of a server: made, registered, listening, serving, stopping, stopped.
 * Errors of making, registering and listening are kept (the first) and told again by sennit_serve,
 * so that a program may check in one place. Stopping: accept loops end and listeners close;
 * connections drain (two-step GOAWAY); after the grace period they are closed, which cancels the
 * handlers; stop returns when the last handler has returned. */
#include "server/server.h"
#include "base/limits.h"
#include "base/sys.h"
#include "rpc/intercept.h"
#include "rt/log.h"
#include <limits.h>
#include <stdlib.h>

static struct sennit_server server_lame; /* of sennit_server_new without memory; never written */

bool server_is_lame(const struct sennit_server *s) { return !s || s == &server_lame; }

void server_fail(struct sennit_server *s, sennit_err err)
{
    lock_take(&s->lock, LOCK_REGISTRY);
    if (!s->failed)
        s->failed = (struct sennit_error *)(uintptr_t)sennit_err_copy(&s->arena, err);
    if (!s->failed)
        s->failed = (struct sennit_error *)(uintptr_t)sennit_no_memory;
    server_changed(s);
    lock_drop(&s->lock, LOCK_REGISTRY);
}

void server_changed(struct sennit_server *s)
{
    list_each(n, &s->waiters) rt_note_set(&container_of(n, struct server_waiter, node)->note);
}

static void server_defaults(sennit_server_options *o)
{
    if (!o->max_recv_msg_size)
        o->max_recv_msg_size = LIMIT_RECV_MESSAGE;
    if (!o->max_header_list_size)
        o->max_header_list_size = LIMIT_HEADER_LIST;
    if (!o->max_concurrent_streams)
        o->max_concurrent_streams = LIMIT_STREAMS;
    if (!o->handshake_timeout)
        o->handshake_timeout = LIMIT_HANDSHAKE_NS;
    if (!o->keepalive_time)
        o->keepalive_time = LIMIT_KEEPALIVE_NS;
    if (o->keepalive_timeout <= 0)
        o->keepalive_timeout = LIMIT_KEEPALIVE_TIMEOUT_NS;
    if (!o->keepalive_min_time)
        o->keepalive_min_time = LIMIT_KEEPALIVE_MIN_TIME_NS;
}

static sennit_duration server_or_never(sennit_duration d) { return d > 0 ? d : 0; }

static struct transport_clock server_clock(const sennit_server_options *o)
{
    return (struct transport_clock){
        .time = server_or_never(o->keepalive_time),
        .timeout = o->keepalive_timeout,
        .min_time = server_or_never(o->keepalive_min_time),
        .permit_without_calls = o->keepalive_permit_without_calls,
        .without_calls = true,
        .max_idle = server_or_never(o->max_connection_idle),
        .max_age = server_or_never(o->max_connection_age),
        .max_age_grace = server_or_never(o->max_connection_age_grace),
    };
}

sennit_server *sennit_server_new_sized(const sennit_server_options *o, size_t size,
                                       size_t interceptor_stride)
{
    struct sennit_server *s = sys.calloc(1, sizeof *s);
    sennit_ctx *ctx = s ? sennit_ctx_new(NULL) : NULL;
    if (!s || sennit_ctx_error(ctx)) {
        sys.free(s);
        return &server_lame;
    }
    if (o)
        memcpy(&s->options, o, min_size(size, sizeof s->options));
    server_defaults(&s->options);
    if (s->options.stats)
        s->stats = *s->options.stats;
    if (s->options.unknown)
        s->unknown = *s->options.unknown;
    s->clock = server_clock(&s->options);
    s->ctx = ctx;
    list_init(&s->listeners);
    list_init(&s->conns);
    list_init(&s->waiters);
    arena_init(&s->arena, NULL, 0);
    if (!intercept_copy(&s->arena, &s->options.interceptors, s->options.n_interceptors,
                        interceptor_stride))
        server_fail(s, sennit_no_memory);
    if (!s->options.creds)
        server_fail(s, sennit_errorf(WHY(CREDS_MISSING),
                                     "no credentials: set sennit_server_options.creds, for plain "
                                     "text to sennit_insecure()"));
    s->options.creds = creds_ref(s->options.creds);
    sennit_err bad = s->options.creds ? creds_prepare(server_creds(s), true) : NULL;
    if (bad)
        server_fail(s, bad);
    return s;
}

/* Locked. A mistake that must not harm a server that is serving: told to the caller alone. */
static bool server_is_late(const struct sennit_server *s)
{
    return s->state != SERVER_NEW || s->serving;
}

sennit_err sennit_register(sennit_server *s, const sennit_service_desc *d, const void *methods,
                           void *self)
{
    if (server_is_lame(s))
        return sennit_no_memory;
    sennit_err err = NULL;
    lock_take(&s->lock, LOCK_REGISTRY);
    bool late = server_is_late(s);
    int result = late ? 0 : registry_add(&s->registry, d, methods, self);
    lock_drop(&s->lock, LOCK_REGISTRY);
    if (late)
        return sennit_errorf(WHY(SERVER_LATE),
                             "service %s registered after sennit_serve: register before", d->name);
    if (result > 0)
        err = sennit_errorf(WHY(SERVICE_TWICE), "service %s is registered twice", d->name);
    else if (result < 0)
        err = sennit_no_memory;
    if (err)
        server_fail(s, err);
    return err;
}

/* -- listening ------------------------------------------------------------------------------- */

/* Takes nl. *late: serving has begun, nl is closed. */
static sennit_err server_add_listener(struct sennit_server *s, struct net_listener *nl, bool *late)
{
    struct server_listener *l = sys.calloc(1, sizeof *l);
    lock_take(&s->lock, LOCK_REGISTRY);
    *late = server_is_late(s);
    if (l && !*late) {
        l->listener = nl, l->server = s;
        memcpy(l->text, nl->text, sizeof l->text);
        list_push_back(&s->listeners, &l->node);
        l = NULL, nl = NULL;
    }
    lock_drop(&s->lock, LOCK_REGISTRY);
    net_listener_close(nl);
    sys.free(l);
    return nl && !*late ? sennit_no_memory : NULL;
}

static sennit_err server_listens_late(void)
{
    return sennit_errorf(WHY(SERVER_LATE), "listen after sennit_serve: listen before");
}

static bool server_may_listen(struct sennit_server *s)
{
    lock_take(&s->lock, LOCK_REGISTRY);
    bool late = server_is_late(s);
    lock_drop(&s->lock, LOCK_REGISTRY);
    return !late;
}

static sennit_err server_listened(struct sennit_server *s, sennit_err err, struct net_listener *nl)
{
    bool late = false;
    if (!err)
        err = server_add_listener(s, nl, &late);
    if (late)
        return server_listens_late();
    if (err)
        server_fail(s, err);
    return err;
}

/* All sockets that systemd hands over under this name. */
static sennit_err server_listen_systemd(struct sennit_server *s, const char *name)
{
    int fds[64], n = net_systemd_fds(name, fds, countof(fds));
    sennit_err err = NULL;
    if (n <= 0 || n > (int)countof(fds))
        err = sennit_errorf(WHY(SYSTEMD), "listen systemd:%s: %s", name,
                            n < 0    ? "not started by socket activation (LISTEN_PID, LISTEN_FDS)"
                            : n == 0 ? "no socket of that name was handed over"
                                     : "more than 64 sockets");
    if (err)
        server_fail(s, err);
    for (int i = 0; i < n && !err; i++)
        err = sennit_listen_fd(s, fds[i]);
    return err;
}

sennit_err sennit_listen(sennit_server *s, const char *address)
{
    struct net_listener *nl = NULL;
    if (server_is_lame(s))
        return sennit_no_memory;
    if (!server_may_listen(s))
        return server_listens_late();
    if (strncmp(address, "systemd:", 8) == 0)
        return server_listen_systemd(s, address + 8);
    if (strncmp(address, "fd:", 3) == 0) {
        char *end;
        long fd = strtol(address + 3, &end, 10);
        if (address[3] && !*end && fd >= 0 && fd <= INT_MAX)
            return sennit_listen_fd(s, (int)fd);
    }
    sennit_err refused = rt_refused(), err = refused ? refused : net_listen(address, &nl);
    return server_listened(s, err, nl);
}

sennit_err sennit_listen_fd(sennit_server *s, int fd)
{
    struct net_listener *nl = NULL;
    if (server_is_lame(s))
        return sennit_no_memory;
    if (!server_may_listen(s))
        return server_listens_late();
    sennit_err refused = rt_refused(), err = refused ? refused : net_listen_fd(fd, &nl);
    return server_listened(s, err, nl);
}

const char *sennit_bound_address(sennit_server *s, size_t nth)
{
    const char *text = "";
    if (server_is_lame(s))
        return text;
    lock_take(&s->lock, LOCK_REGISTRY);
    list_each(n, &s->listeners)
    {
        struct server_listener *l = container_of(n, struct server_listener, node);
        if (nth-- == 0) {
            text = l->text;
            break;
        }
    }
    lock_drop(&s->lock, LOCK_REGISTRY);
    return text;
}

/* -- serving and stopping -------------------------------------------------------------------- */

bool server_wait_change(struct sennit_server *s, int64_t at)
{
    struct server_waiter w = { .note = { 0 } };
    sennit_err late = NULL;
    list_push_back(&s->waiters, &w.node);
    lock_drop(&s->lock, LOCK_REGISTRY);
    if (at == INT64_MAX) {
        rt_note_wait(&w.note, "waiting for the server to stop");
    } else {
        struct sennit_ctx ctx;
        ctx_init(&ctx, NULL, at, NULL, 0);
        late = ctx_note_wait(&ctx, &w.note, "waiting for RPCs to finish");
        ctx_fini(&ctx);
    }
    lock_take(&s->lock, LOCK_REGISTRY);
    list_remove(&w.node);
    return !late;
}

/* Locked. From here on a stop waits for the acceptors, also for those that are yet to start. */
static void server_begin(struct sennit_server *s)
{
    s->serving = true, s->state = SERVER_SERVING;
    list_each(n, &s->listeners) s->n_acceptors++;
}

static sennit_err server_start(struct sennit_server *s)
{
    sennit_err err = NULL;
    list_each(n, &s->listeners)
    {
        struct server_listener *l = container_of(n, struct server_listener, node);
        log_line(LOG_SERVER, SENNIT_LOG_INFO, SENNIT_OK, "serving on %s", l->text);
        if (!err)
            err = rt_go(server_accept_loop, l, l->text, RT_GO_SMALL);
        if (err) {
            lock_take(&s->lock, LOCK_REGISTRY);
            s->n_acceptors--;
            server_changed(s);
            lock_drop(&s->lock, LOCK_REGISTRY);
        }
    }
    return err;
}

sennit_err server_serve_unheard(struct sennit_server *s)
{
    lock_take(&s->lock, LOCK_REGISTRY);
    sennit_err failed = s->failed;
    bool stopped = s->state > SERVER_SERVING;
    if (!failed && s->state == SERVER_NEW)
        s->state = SERVER_SERVING;
    lock_drop(&s->lock, LOCK_REGISTRY);
    return failed    ? sennit_err_copy(NULL, failed)
           : stopped ? sennit_errorf(WHY(SERVE_TWICE), "this server was stopped")
                     : NULL;
}

sennit_err sennit_serve(sennit_server *s)
{
    if (server_is_lame(s))
        return sennit_no_memory;
    sennit_err err = rt_refused();
    if (err)
        return err;
    lock_take(&s->lock, LOCK_REGISTRY);
    bool twice = s->serving || s->state != SERVER_NEW, ready = !s->failed && !twice;
    bool none = list_empty(&s->listeners);
    if (ready && !none)
        server_begin(s);
    sennit_err failed = s->failed;
    lock_drop(&s->lock, LOCK_REGISTRY);
    if (failed)
        return sennit_err_copy(NULL, failed);
    if (twice)
        return sennit_errorf(WHY(SERVE_TWICE),
                             "sennit_serve: this server is serving already, or was stopped");
    if (none)
        return sennit_errorf(WHY(NO_LISTENER),
                             "sennit_serve: no listener: call sennit_listen before");
    if ((err = server_start(s)))
        server_fail(s, err);
    lock_take(&s->lock, LOCK_REGISTRY);
    while (s->state != SERVER_STOPPED && !s->failed)
        server_wait_change(s, INT64_MAX);
    failed = s->failed;
    lock_drop(&s->lock, LOCK_REGISTRY);
    if (failed) {
        sennit_server_stop(s, 0);
        err = sennit_err_copy(NULL, failed);
    }
    lock_take(&s->lock, LOCK_REGISTRY);
    s->serving = false;
    server_changed(s);
    lock_drop(&s->lock, LOCK_REGISTRY);
    return err;
}

/* Calls fn on each connection; the lock is dropped around it. */
static void server_each_conn(struct sennit_server *s, void (*fn)(struct transport *t))
{
    struct transport *some[32];
    struct list seen;
    list_init(&seen);
    lock_take(&s->lock, LOCK_REGISTRY);
    while (!list_empty(&s->conns)) {
        size_t n = 0;
        while (n < countof(some) && !list_empty(&s->conns)) {
            struct list *node = list_pop_front(&s->conns);
            list_push_back(&seen, node);
            some[n] = container_of(node, struct server_conn, node)->t;
            transport_ref(some[n++]);
        }
        lock_drop(&s->lock, LOCK_REGISTRY);
        for (size_t i = 0; i < n; i++) {
            fn(some[i]);
            transport_unref(some[i]);
        }
        lock_take(&s->lock, LOCK_REGISTRY);
    }
    while (!list_empty(&seen))
        list_push_back(&s->conns, list_pop_front(&seen));
    lock_drop(&s->lock, LOCK_REGISTRY);
}

static void server_close_conn(struct transport *t)
{
    transport_close(t, WHY(STOPPED), "the server was stopped");
}

/* Those that no acceptor has. */
static void server_close_listeners(struct sennit_server *s)
{
    list_each(n, &s->listeners)
    {
        struct server_listener *l = container_of(n, struct server_listener, node);
        net_listener_close(l->listener);
        l->listener = NULL;
    }
}

void sennit_server_stop(sennit_server *s, sennit_duration grace)
{
    if (server_is_lame(s))
        return;
    int64_t at = grace < 0 ? INT64_MAX : sennit_now() + grace;
    lock_take(&s->lock, LOCK_REGISTRY);
    bool unserved = s->state == SERVER_NEW, first = unserved || s->state == SERVER_SERVING;
    if (first)
        s->state = SERVER_STOPPING;
    lock_drop(&s->lock, LOCK_REGISTRY);
    if (unserved)
        server_close_listeners(s); /* nobody connects to what will never be served */
    if (first)
        log_line(LOG_SERVER, SENNIT_LOG_INFO, SENNIT_OK, "the server stops");
    sennit_ctx_cancel(s->ctx);
    if (first && grace != 0)
        server_each_conn(s, transport_drain);
    lock_take(&s->lock, LOCK_REGISTRY);
    while (s->n_acceptors || s->n_handshakes || (s->n_conns && grace != 0)) {
        if (!server_wait_change(s, s->n_acceptors || s->n_handshakes ? INT64_MAX : at))
            break;
    }
    lock_drop(&s->lock, LOCK_REGISTRY);
    server_each_conn(s, server_close_conn);
    lock_take(&s->lock, LOCK_REGISTRY);
    while (s->n_conns)
        server_wait_change(s, INT64_MAX);
    s->state = SERVER_STOPPED;
    server_changed(s);
    lock_drop(&s->lock, LOCK_REGISTRY);
}

void sennit_server_free(sennit_server *s)
{
    if (server_is_lame(s))
        return;
    sennit_server_stop(s, 0);
    lock_take(&s->lock, LOCK_REGISTRY);
    while (s->serving || !list_empty(&s->waiters))
        server_wait_change(s, INT64_MAX);
    lock_drop(&s->lock, LOCK_REGISTRY);
    server_close_listeners(s); /* of one whose acceptor could not start */
    list_each_safe(n, next, &s->listeners) sys.free(container_of(n, struct server_listener, node));
    sennit_creds_free(server_creds(s));
    registry_fini(&s->registry);
    sennit_ctx_free(s->ctx);
    arena_fini(&s->arena);
    sys.free(s);
}
