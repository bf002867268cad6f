/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * creds.c: credentials of every kind from the outside; plain text and local ones, which need no
 * library. Nothing here falls back to a weaker kind. */
#include "net/creds.h"
#include "base/sys.h"
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/un.h>

/* -- kinds without a session ------------------------------------------------------------------ */

static const struct creds_ops creds_plain_ops;
static struct sennit_creds creds_plain = {
    .version = CREDS_VERSION,
    .ops = &creds_plain_ops,
    .scheme = "http",
    .auth_type = "insecure",
};

const sennit_creds *sennit_insecure(void) { return &creds_plain; }

static bool creds_loopback(const struct net_addr *a)
{
    if (a->sa.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
    return a->sa.ss_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
            (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == 127));
}

/* Both ends on this machine. A unix socket's peer is named by the kernel; on loopback anybody with
 * the right to capture packets reads along, so secrets are not sent there. */
static sennit_err creds_local_look(struct net_io *io, struct net_auth *auth)
{
    struct net_addr local, peer;
    net_io_names(io, &local, &peer);
    if (local.sa.ss_family == AF_UNIX) {
        struct ucred who;
        socklen_t len = sizeof who;
        int error = sys.getsockopt(rt_fd_number(io->fd), SOL_SOCKET, SO_PEERCRED, &who, &len);
        if (error < 0)
            return sennit_errorf(WHY(NOT_LOCAL), "local credentials: SO_PEERCRED: %s",
                                 net_errno_text(-error));
        sennit_str identity = arena_printf(auth->arena, "uid:%u", who.uid);
        if (!identity.data)
            return sennit_no_memory;
        auth->peer.identity = identity.data;
        auth->peer.pid = who.pid, auth->peer.uid = who.uid, auth->peer.gid = who.gid;
        auth->secure = true;
        return NULL;
    }
    if (creds_loopback(&peer) && creds_loopback(&local))
        return NULL;
    return sennit_errorf(WHY(NOT_LOCAL),
                         "local credentials: %s is not on this machine (want a unix socket or "
                         "loopback)",
                         auth->peer.address);
}

static const struct creds_ops creds_local_ops = { .look = creds_local_look };
static struct sennit_creds creds_local = {
    .version = CREDS_VERSION,
    .ops = &creds_local_ops,
    .scheme = "http",
    .auth_type = "local",
};

const sennit_creds *sennit_local(void) { return &creds_local; }

/* -- every kind ------------------------------------------------------------------------------- */

sennit_creds *creds_ref(const sennit_creds *c)
{
    sennit_creds *mine = (sennit_creds *)(uintptr_t)c;
    if (mine && mine->version == CREDS_VERSION && atomic_load(&mine->refs))
        atomic_fetch_add(&mine->refs, 1);
    return mine;
}

void sennit_creds_free(sennit_creds *c)
{
    if (!c || c->version != CREDS_VERSION || !atomic_load(&c->refs))
        return;
    if (atomic_fetch_sub(&c->refs, 1) == 1)
        c->ops->free(c);
}

sennit_err creds_prepare(sennit_creds *c, bool server)
{
    if (c->version != CREDS_VERSION)
        return sennit_errorf(WHY(CREDS_RELEASE),
                             "the credentials were made by another release of the library that "
                             "secures connections: install the same version of both");
    return c->ops->prepare ? c->ops->prepare(c, server) : NULL;
}

bool creds_parks(const sennit_creds *c) { return c->ops->session != NULL; }

bool creds_may_be_secure(const sennit_creds *c)
{
    return c->version == CREDS_VERSION && (c->secure || c->ops->look);
}

/* Exactly as large as it must be: each connection has one. */
static struct net_auth *creds_auth(const sennit_creds *c, const struct net_io *io)
{
    struct net_addr local, peer;
    char local_text[NET_ADDR_TEXT], peer_text[NET_ADDR_TEXT];
    if (io->fd) {
        net_io_names(io, &local, &peer);
        net_addr_text(&local, local_text), net_addr_text(&peer, peer_text);
    } else {
        memcpy(local_text, "pipe", 5), memcpy(peer_text, "pipe", 5);
    }
    size_t local_size = strlen(local_text) + 1, peer_size = strlen(peer_text) + 1;
    struct net_auth *a = sys.calloc(1, sizeof *a + peer_size + local_size);
    if (!a)
        return NULL;
    if (c->ops->look || c->ops->session) {
        a->arena = sennit_arena_new();
        if (!a->arena) {
            sys.free(a);
            return NULL;
        }
    }
    a->scheme = c->scheme, a->secure = c->secure;
    a->peer = (sennit_peer){
        .address = memcpy(a->text, peer_text, peer_size),
        .local_address = memcpy(a->text + peer_size, local_text, local_size),
        .auth_type = c->auth_type,
        .identity = "",
        .subject = "",
        .protocol = "",
        .cipher = "",
        .pid = -1,
        .uid = -1,
        .gid = -1,
    };
    return a;
}

void net_auth_free(struct net_auth *a)
{
    if (!a)
        return;
    sennit_arena_free(a->arena);
    sys.free(a);
}

/* "host", "host:port", "[v6]:port": the host alone. */
static void creds_host(char *host, size_t size, const char *authority)
{
    const char *colon = strchr(authority, ':');
    size_t n = strlen(authority);
    if (authority[0] == '[')
        n = strcspn(++authority, "]");
    else if (colon && colon == strrchr(authority, ':'))
        n = (size_t)(colon - authority);
    snprintf(host, size, "%.*s", (int)n, authority);
}

static struct net_io *creds_secure(sennit_creds *c, struct net_io *io, bool server,
                                   const char *authority, sennit_ctx *ctx, struct net_auth *auth,
                                   sennit_err *err)
{
    char host[256] = "";
    if (!server)
        creds_host(host, sizeof host, c->server_name ? c->server_name : authority);
    struct net_session *s = c->ops->session(c, server, host, err);
    if (!s) {
        io->ops->close(io);
        return NULL;
    }
    io = net_secure(s, io, ctx, err);
    if (io && !s->ops->describe(s, auth->arena, &auth->peer)) {
        io->ops->close(io);
        *err = sennit_no_memory;
        return NULL;
    }
    return io;
}

struct net_io *creds_handshake(sennit_creds *c, struct net_io *io, bool server,
                               const char *authority, sennit_ctx *ctx, sennit_err *err)
{
    struct net_auth *auth = creds_auth(c, io);
    *err = auth ? NULL : sennit_no_memory;
    if (auth && c->ops->look)
        *err = c->ops->look(io, auth);
    if (*err) {
        io->ops->close(io);
        io = NULL;
    } else if (c->ops->session) {
        io = creds_secure(c, io, server, authority, ctx, auth, err);
        atomic_fetch_add(io ? &rt_handshakes : &rt_failed_handshakes, 1);
    }
    if (!io) {
        net_auth_free(auth);
        return NULL;
    }
    io->auth = auth;
    return io;
}
