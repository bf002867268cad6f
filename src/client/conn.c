/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * conn.c: the channel: dial, state, picking, end. An RPC enters here from call.c (conn_pick) and
 * leaves with a transport. States as in gRPC's connectivity semantics: IDLE until the first RPC,
 * CONNECTING, READY, FAILED (transient failure: fail-fast RPCs get the last error, others wait),
 * SHUTDOWN. Pick-first over the addresses of the target. */
#include "base/limits.h"
#include "base/sys.h"
#include "client/client.h"
#include "net/creds.h"
#include "rpc/compress.h"
#include "rpc/intercept.h"

#define CONN_USER_AGENT "grpc-c-sennit/" SENNIT_VERSION

static struct sennit_conn conn_lame; /* of sennit_dial without memory; never written */

static void conn_fail(struct sennit_conn *c, sennit_err err)
{
    if (err && !c->bad)
        c->bad = sennit_err_copy(&c->arena, err);
    if (err && !c->bad)
        c->bad = sennit_no_memory;
}

/* What this version does not do is refused, not ignored. */
static sennit_err conn_check_options(const sennit_conn_options *o)
{
    if (o->service_config_json)
        return sennit_errorf(WHY(UNSUPPORTED), "sennit_conn_options.service_config_json is not "
                                               "supported by this version");
    if (!o->creds)
        return sennit_errorf(WHY(CREDS_MISSING),
                             "no credentials: set sennit_conn_options.creds, for plain text to "
                             "sennit_insecure()");
    if (o->call_creds && !creds_may_be_secure(o->creds))
        return sennit_errorf(
            WHY(CREDS_PLAIN),
            "grpc: the credentials require transport level security: set "
            "sennit_conn_options.creds to TLS, or to local ones for a unix socket");
    return NULL;
}

static void conn_setup(struct sennit_conn *c, const char *target, size_t interceptor_stride)
{
    sennit_conn_options *o = &c->options;
    if (!intercept_copy(&c->arena, &o->interceptors, o->n_interceptors, interceptor_stride))
        conn_fail(c, sennit_no_memory);
    if (!o->max_recv_msg_size)
        o->max_recv_msg_size = LIMIT_RECV_MESSAGE;
    if (!o->max_header_list_size)
        o->max_header_list_size = LIMIT_HEADER_LIST;
    c->keepalive_time = o->keepalive_time > 0 ? o->keepalive_time : 0;
    if (o->call_creds) {
        c->call_creds = *o->call_creds;
        o->call_creds = &c->call_creds;
    }
    conn_fail(c, conn_check_options(o));
    if (o->stats)
        c->stats = *o->stats;
    sennit_str compressor =
        arena_printf(&c->arena, "%s", o->compressor ? o->compressor : "identity");
    if (!compressor.data)
        conn_fail(c, sennit_no_memory);
    o->compressor = compressor.data;
    c->plain = compress_is_identity(o->compressor);
    o->creds = creds_ref(o->creds);
    if (o->creds)
        conn_fail(c, creds_prepare((sennit_creds *)(uintptr_t)o->creds, false));
    conn_fail(c, net_target_parse(target, &c->target));
    if (o->dialer)
        c->dialer = *o->dialer;
    else if (!c->bad && !o->no_proxy)
        conn_fail(c, net_proxy_find(&c->target, &c->proxy));
    const char *named = o->authority          ? o->authority
                        : o->creds && !c->bad ? o->creds->server_name
                                              : NULL;
    sennit_str authority =
        named ? arena_str(&c->arena, named, strlen(named)) : sennit_s(c->target.authority);
    sennit_str agent = o->user_agent ? arena_printf(&c->arena, "%s " CONN_USER_AGENT, o->user_agent)
                                     : sennit_s(CONN_USER_AGENT);
    sennit_str name = arena_str(&c->arena, target, strlen(target));
    c->name = name.data;
    if (!authority.data || !agent.data || !name.data)
        conn_fail(c, sennit_no_memory);
    c->authority = authority.data, c->user_agent = agent.data;
}

sennit_conn *sennit_dial_sized(const char *target, const sennit_conn_options *o, size_t size,
                               size_t interceptor_stride)
{
    struct sennit_conn *c = sys.calloc(1, sizeof *c);
    sennit_ctx *ctx = c ? sennit_ctx_new(NULL) : NULL;
    if (!c || sennit_ctx_error(ctx)) {
        sys.free(c);
        return &conn_lame;
    }
    if (o)
        memcpy(&c->options, o, min_size(size, sizeof c->options));
    c->ctx = ctx;
    atomic_init(&c->refs, 1);
    list_init(&c->waiters);
    list_init(&c->links);
    arena_init(&c->arena, NULL, 0);
    conn_setup(c, target ? target : "", interceptor_stride);
    return c;
}

/* -- inside ---------------------------------------------------------------------------------- */

void conn_wake(struct sennit_conn *c)
{
    list_each(n, &c->waiters) rt_note_set(&container_of(n, struct conn_waiter, node)->note);
}

bool conn_enter(struct sennit_conn *c)
{
    lock_take(&c->lock, LOCK_CONN);
    bool open = c->state != CONN_SHUTDOWN;
    c->users += open;
    lock_drop(&c->lock, LOCK_CONN);
    return open;
}

void conn_leave(struct sennit_conn *c)
{
    lock_take(&c->lock, LOCK_CONN);
    if (--c->users == 0 && c->state == CONN_SHUTDOWN)
        conn_wake(c);
    lock_drop(&c->lock, LOCK_CONN);
}

void conn_ref(struct sennit_conn *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void conn_unref(struct sennit_conn *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    net_target_fini(&c->target);
    net_target_fini(&c->proxy.at);
    arena_fini(&c->arena);
    sys.free(c);
}

/* Locked on entry and exit. The end of ctx, or NULL. */
static sennit_err conn_wait(struct sennit_conn *c, sennit_ctx *ctx)
{
    struct conn_waiter w = { .note = { 0 } };
    list_push_back(&c->waiters, &w.node);
    lock_drop(&c->lock, LOCK_CONN);
    sennit_err ended = ctx_note_wait(ctx, &w.note, "waiting for a connection");
    lock_take(&c->lock, LOCK_CONN);
    list_remove(&w.node);
    return ended;
}

/* Locked. False: no goroutine could be had. */
static bool conn_start_connecting(struct sennit_conn *c)
{
    if (c->connecting)
        return true;
    c->connecting = true;
    c->users++;
    if (c->state == CONN_IDLE)
        c->state = CONN_CONNECTING;
    lock_drop(&c->lock, LOCK_CONN);
    bool started = rt_go(connect_run, c, "sennit connector", RT_GO_SYSTEM) == NULL;
    lock_take(&c->lock, LOCK_CONN);
    if (!started) {
        c->connecting = false;
        c->users--;
        if (c->state == CONN_CONNECTING)
            c->state = CONN_IDLE;
    }
    return started;
}

static sennit_err conn_last_error(struct sennit_conn *c)
{
    char text[sizeof c->last_error];
    sennit_code code = c->last_code;
    memcpy(text, c->last_error, sizeof text);
    lock_drop(&c->lock, LOCK_CONN);
    sennit_err err = sennit_errorf(code, "%s", text);
    lock_take(&c->lock, LOCK_CONN);
    return err;
}

/* One step of picking; locked. True: decided (c->t, or *err). */
static bool conn_pick_step(struct sennit_conn *c, sennit_ctx *ctx, bool wait_for_ready,
                           sennit_err *err)
{
    switch (c->state) {
    case CONN_READY:
        return true;
    case CONN_SHUTDOWN:
        *err = sennit_errorf(WHY(CLOSING), "grpc: the client connection is closing");
        return true;
    case CONN_FAILED:
        if (!wait_for_ready) {
            *err = conn_last_error(c);
            return true;
        }
        break;
    case CONN_IDLE:
    case CONN_CONNECTING:
        break;
    }
    if (!conn_start_connecting(c)) {
        *err = sennit_no_memory;
        return true;
    }
    /* The lock was dropped: what changed meanwhile will not be told again. */
    if (c->state == CONN_READY || c->state == CONN_SHUTDOWN ||
        (c->state == CONN_FAILED && !wait_for_ready) || (c->state == CONN_IDLE && !c->connecting))
        return false;
    *err = conn_wait(c, ctx);
    if (*err && c->last_error[0] && (*err)->code == SENNIT_DEADLINE_EXCEEDED) {
        char text[sizeof c->last_error];
        memcpy(text, c->last_error, sizeof text);
        lock_drop(&c->lock, LOCK_CONN);
        *err = sennit_errorf(WHY(NOT_READY),
                             "context deadline exceeded while waiting for connections to become "
                             "ready; last error: %s",
                             text);
        lock_take(&c->lock, LOCK_CONN);
    }
    return *err != NULL;
}

struct transport *conn_pick(struct sennit_conn *c, sennit_ctx *ctx, bool wait_for_ready,
                            sennit_err *err)
{
    struct transport *t = NULL;
    *err = NULL;
    lock_take(&c->lock, LOCK_CONN);
    while (!conn_pick_step(c, ctx, wait_for_ready, err)) {
    }
    if (!*err) {
        t = c->t;
        sn_assert(t);
        transport_ref(t);
    }
    lock_drop(&c->lock, LOCK_CONN);
    return t;
}

void conn_forget(struct sennit_conn *c, struct transport *t)
{
    lock_take(&c->lock, LOCK_CONN);
    bool ours = c->t == t;
    if (ours) {
        c->t = NULL;
        if (c->state == CONN_READY)
            c->state = CONN_IDLE;
        conn_wake(c);
    }
    lock_drop(&c->lock, LOCK_CONN);
    if (ours)
        transport_unref(t);
}

/* -- public ---------------------------------------------------------------------------------- */

sennit_err sennit_conn_ready(sennit_conn *c, sennit_ctx *ctx)
{
    sennit_err err = rt_refused();
    if (!c || c == &conn_lame)
        return sennit_no_memory;
    if (err)
        return err;
    if (c->bad)
        return sennit_err_copy(NULL, c->bad);
    if (!conn_enter(c))
        return sennit_errorf(WHY(CLOSING), "grpc: the client connection is closing");
    struct transport *t = conn_pick(c, ctx, true, &err);
    if (t)
        transport_unref(t);
    conn_leave(c);
    return err;
}

/* Those that drain after a GOAWAY, too. */
static void conn_close_links(struct sennit_conn *c)
{
    lock_take(&c->lock, LOCK_CONN);
    while (!list_empty(&c->links)) {
        struct client_link *l = container_of(list_pop_front(&c->links), struct client_link, node);
        struct transport *t = l->t;
        transport_ref(t);
        lock_drop(&c->lock, LOCK_CONN);
        transport_close(t, WHY(CLOSING), "grpc: the client connection is closing");
        transport_unref(t);
        lock_take(&c->lock, LOCK_CONN);
    }
    lock_drop(&c->lock, LOCK_CONN);
}

void sennit_conn_free(sennit_conn *c)
{
    if (!c || c == &conn_lame)
        return;
    lock_take(&c->lock, LOCK_CONN);
    struct transport *t = c->t;
    c->t = NULL;
    c->state = CONN_SHUTDOWN;
    conn_wake(c);
    lock_drop(&c->lock, LOCK_CONN);
    sennit_ctx_cancel(c->ctx);
    if (t)
        transport_unref(t);
    conn_close_links(c);
    lock_take(&c->lock, LOCK_CONN);
    while (c->users)
        conn_wait(c, NULL);
    lock_drop(&c->lock, LOCK_CONN);
    sennit_ctx_free(c->ctx);
    sennit_creds_free((sennit_creds *)(uintptr_t)c->options.creds);
    conn_unref(c);
}
