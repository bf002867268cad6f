/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * client.h: what the client's files share. conn.c: the channel as users see it (state, picking,
 * end); connect.c: the goroutine that resolves and dials with backoff; call.c: unary calls. */
#ifndef SENNIT_CLIENT_CLIENT_H
#define SENNIT_CLIENT_CLIENT_H

#include "net/net.h"
#include "rpc/transport.h"
#include "rt/ctx.h"

enum conn_state { CONN_IDLE, CONN_CONNECTING, CONN_READY, CONN_FAILED, CONN_SHUTDOWN };

struct conn_waiter {
    struct list node;
    struct rt_note note;
};

struct sennit_conn {
    _Atomic uint32_t refs; /* the user's and the streams': memory only, see conn_enter */
    sennit_conn_options options;
    sennit_stats_hook stats;      /* a copy; event NULL: none */
    sennit_call_creds call_creds; /* what options.call_creds points to */
    struct net_target target;
    struct net_proxy proxy;                       /* of the environment, if it is to be used */
    sennit_dialer dialer;                         /* dial NULL: ours */
    struct net_io *(*pipe)(void *to, int *error); /* of sennit_test_dial; NULL: none */
    void *pipe_to;
    bool plain;                         /* options.compressor is none */
    const char *name;                   /* the target as it was given; in arena */
    const char *authority, *user_agent; /* in arena */
    struct sennit_arena arena;          /* filled by dial only */
    const struct sennit_error *bad;     /* in arena: why every RPC fails; NULL: fine */
    sennit_ctx *ctx;                    /* ends with the connection: dialling stops */
    struct lock lock;                   /* LOCK_CONN; guards what follows */
    enum conn_state state;
    sennit_duration keepalive_time; /* grows when the server finds it too short */
    struct transport *t;            /* READY: held */
    struct list links;              /* all that have not closed, the draining ones too */
    struct list waiters;
    size_t users;          /* calls, the connector and links inside */
    sennit_code last_code; /* with its reason, see rt/why.h */
    char last_error[512];  /* of the last attempt that failed */
    unsigned attempts;     /* that failed in a row */
    bool connecting;       /* the connector's goroutine lives */
};

/* One attempt's connection; the transport's owner. */
struct client_link {
    struct list node;         /* in conn->links; guarded by its lock */
    struct sennit_conn *conn; /* counted in its users until the link has closed */
    struct transport *t;
    struct transport_clock clock;
    struct rt_note note;
    _Atomic int state; /* enum link_state */
    bool told;         /* the stats hook has heard of its beginning */
};
enum link_state { LINK_NEW, LINK_READY, LINK_CLOSED };

/* A transport to call on, with a reference; parks until there is one. NULL: *err says why. */
struct transport *conn_pick(struct sennit_conn *c, sennit_ctx *ctx, bool wait_for_ready,
                            sennit_err *err);
/* conn_enter and conn_pick at once, when there is nothing to wait for. NULL: neither was done. */
static inline struct transport *conn_take(struct sennit_conn *c)
{
    lock_take(&c->lock, LOCK_CONN);
    struct transport *t = c->state == CONN_READY ? c->t : NULL;
    if (likely(t != NULL)) {
        c->users++;
        transport_ref(t);
    }
    lock_drop(&c->lock, LOCK_CONN);
    return t;
}
/* t takes no more streams: the next call connects anew. */
void conn_forget(struct sennit_conn *c, struct transport *t);
void conn_wake(struct sennit_conn *c);  /* locked: the state changed */
bool conn_enter(struct sennit_conn *c); /* false: shutting down */
void conn_leave(struct sennit_conn *c);
void conn_ref(struct sennit_conn *c);
void conn_unref(struct sennit_conn *c);
sennit_duration connect_backoff(unsigned attempts); /* after so many failed in a row */
void connect_run(void *conn);                       /* the connector's goroutine */

#endif
