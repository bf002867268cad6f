/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * creds.h: what credentials are inside. A kind of credentials either looks at the socket (insecure,
 * local) or gives a session: a machine that turns plain octets into secured ones and back, without
 * sockets, threads and the runtime. creds.c and secure.c do the rest for every kind: the handshake
 * in the caller's goroutine, and the byte stream that a session and a socket make together.
 * This header is shared with sennit_tls, which is a library of its own: it calls only what sennit.h
 * exports, and `version` keeps libraries of different releases apart. */
#ifndef SENNIT_NET_CREDS_H
#define SENNIT_NET_CREDS_H

#include "net/net.h"
#include <stdatomic.h>

#define CREDS_VERSION 1u

/* Used by one thread at a time. Input is what `in` points to; a call takes from its front. Output
 * is appended at out + out_len, up to out_room. */
struct net_session {
    const struct net_session_ops *ops;
    const uint8_t *in;
    size_t in_len;
    uint8_t *out;
    size_t out_len, out_room;
    const char *failed; /* why, after -EPROTO: valid until free */
};
struct net_session_ops {
    /* 0: done; -EAGAIN: wants more input; -ENOBUFS: wants more room, then the same call again;
     * -EPROTO: failed (what is in out is for the peer all the same). */
    int (*handshake)(struct net_session *s);
    /* Plain octets: how many; 0: the peer's end; errors as above. */
    ssize_t (*read)(struct net_session *s, void *p, size_t n);
    ssize_t (*write)(struct net_session *s, const void *p, size_t n);
    void (*shutdown)(struct net_session *s); /* our end into out, if there is room */
    /* Fills what is known of the peer; texts in a. False: no memory. */
    bool (*describe)(struct net_session *s, sennit_arena *a, sennit_peer *peer);
    void (*free)(struct net_session *s);
};
/* Octets that a session may add to n plain ones, control records included. */
#define NET_SESSION_OVERHEAD(n) (512 + ((n) / 512 + 1) * 64)
/* Octets of plain text that may come out of a read beyond those fed in since the last one. */
#define NET_SESSION_HELD 17408

struct creds_ops {
    /* Before the first connection of a role: NULL, or why none can be made. */
    sennit_err (*prepare)(struct sennit_creds *c, bool server);
    /* host: whom a client wants to meet, a name or an address without brackets. */
    struct net_session *(*session)(struct sennit_creds *c, bool server, const char *host,
                                   sennit_err *err);
    /* For kinds without a session: NULL, or why this socket will not do. */
    sennit_err (*look)(struct net_io *io, struct net_auth *auth);
    void (*free)(struct sennit_creds *c);
};
struct sennit_creds {
    uint32_t version;      /* CREDS_VERSION */
    _Atomic uint32_t refs; /* 0: static */
    const struct creds_ops *ops;
    const char *scheme;      /* of :scheme */
    const char *auth_type;   /* of sennit_peer */
    const char *server_name; /* whom to expect instead of the target's host; or NULL */
    bool secure;             /* secrets may be sent */
};

/* Takes a reference; NULL for NULL. */
sennit_creds *creds_ref(const sennit_creds *c);
sennit_err creds_prepare(sennit_creds *c, bool server);
/* True: creds_handshake may park, and so wants a goroutine of its own. */
bool creds_parks(const sennit_creds *c);
/* False: no connection with them is fit for secrets. */
bool creds_may_be_secure(const sennit_creds *c);
/* Secures io, whose auth is then set; takes io in any case. authority: "host:port", for clients.
 * NULL: *err says why. Parks until done or ctx has ended. */
struct net_io *creds_handshake(sennit_creds *c, struct net_io *io, bool server,
                               const char *authority, sennit_ctx *ctx, sennit_err *err);
/* The stream of a session over raw, once the handshake is done; parks. Takes both in any case. */
struct net_io *net_secure(struct net_session *s, struct net_io *raw, sennit_ctx *ctx,
                          sennit_err *err);

#endif
