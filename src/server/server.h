/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * server.h: what the server's files share.
 * Lock order: server->lock (LOCK_REGISTRY) before any transport's lock. The method table is written
 * before serve and only read afterwards, without a lock. */
#ifndef SENNIT_SERVER_SERVER_H
#define SENNIT_SERVER_SERVER_H

#include "base/list.h"
#include "base/pool.h"
#include "net/creds.h"
#include "rpc/handler.h"
#include "rpc/transport.h"
#include "rt/ctx.h"

struct server_method {
    const sennit_method *method;
    const void *service; /* the user's function table */
    void *self;
    uint32_t hash, path_len;
};
struct server_registry {
    struct server_method *slots; /* open addressing; method NULL: free */
    size_t n, room;
    const sennit_service_desc **services;
    size_t n_services;
};
/* 0; -1 no memory; 1 a service of that name is there. */
int registry_add(struct server_registry *r, const sennit_service_desc *d, const void *methods,
                 void *self);
const struct server_method *registry_find(const struct server_registry *r, const char *path,
                                          size_t len);
bool registry_has_service(const struct server_registry *r, const char *name, size_t len);
void registry_fini(struct server_registry *r);

struct server_health;
enum server_state { SERVER_NEW, SERVER_SERVING, SERVER_STOPPING, SERVER_STOPPED };

struct server_listener {
    struct list node;
    struct net_listener *listener; /* NULL: closed; its acceptor's while there is one */
    struct sennit_server *server;
    char text[NET_ADDR_TEXT]; /* where it is bound: lives as long as the server */
};

struct sennit_server {
    sennit_server_options options;
    sennit_stats_hook stats;                /* a copy; event NULL: none */
    sennit_unknown unknown;                 /* likewise */
    struct transport_clock clock;           /* of every connection, from options */
    _Atomic(struct server_health *) health; /* in arena; of src/svc/health.c */
    struct server_registry registry;
    sennit_ctx *ctx; /* ends when the server stops accepting */
    struct lock lock;
    /* Guarded by lock. */
    enum server_state state;
    struct list listeners, conns;
    size_t n_conns, n_acceptors;
    size_t n_handshakes;         /* goroutines in accept.c that secure a connection */
    bool serving;                /* sennit_serve is inside */
    struct sennit_error *failed; /* first error of new, register, listen, accept */
    struct sennit_arena arena;   /* of failed and bound addresses; guarded by lock, too */
    struct list waiters;         /* struct server_waiter: told of each change of a count */
};
static inline sennit_creds *server_creds(const struct sennit_server *s)
{
    return (sennit_creds *)(uintptr_t)s->options.creds; /* our own reference */
}
struct server_waiter {
    struct list node;
    struct rt_note note;
};
bool server_is_lame(const struct sennit_server *s); /* made without memory; or NULL */
/* Serves what comes by server_accept_io, without sennit_serve; again: no effect. */
sennit_err server_serve_unheard(struct sennit_server *s);
void server_fail(struct sennit_server *s, sennit_err err); /* keeps the first */
void server_changed(struct sennit_server *s); /* locked: wakes those who wait for a count */
/* Waits for a change; locked on entry and exit. False: at (INT64_MAX: none) has passed. */
bool server_wait_change(struct sennit_server *s, int64_t at);

/* accept.c */
struct server_conn {
    struct list node; /* in server->conns */
    struct sennit_server *server;
    struct transport *t;    /* its owner's reference, until closed */
    _Atomic uint32_t ended; /* handlers */
    uint32_t started;       /* reader only, as what follows */
    struct pool_stock calls;
    struct list put_off; /* calls that begin when the peer reads again */
};
void server_accept_loop(void *listener);
/* A connection that is not from a listener; takes io. False: not serving. */
bool server_accept_io(struct sennit_server *s, struct net_io *io);

/* dispatch.c */
struct rpc_stream *dispatch_new_stream(struct transport *t, uint16_t memo);
void dispatch_accept(struct rpc_stream *s);
void dispatch_turned(struct transport *t);
void dispatch_put_off(struct transport *t); /* what was put off begins */

#endif
