/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * net.h: addresses, listening, dialling, byte streams over the runtime's netpoller. */
#ifndef SENNIT_NET_NET_H
#define SENNIT_NET_NET_H

#include "base/arena.h"
#include "rt/rt.h"
#include "rt/why.h"
#include "sennit.h"
#include <sys/socket.h>

#define NET_ADDR_TEXT 128 /* "[v6%scope]:port", "unix:/path" */
struct net_addr {
    socklen_t len;
    struct sockaddr_storage sa;
};
/* "127.0.0.1:50051", "[::1]:50051", "unix:/path", "unix:@abstract". Never parks. */
const char *net_addr_text(const struct net_addr *a, char buf[NET_ADDR_TEXT]);

/* -- resolving ------------------------------------------------------------------------------- */
struct net_addrs {
    struct net_addr *list; /* sys.malloc'ed by net_resolve; freed by net_addrs_free */
    size_t n;
};
/* What a target string means, by gRPC's naming rules (scheme dns default; "dns:///h:p", "dns:h:p",
 * "ipv4:a:p,b:p", "ipv6:[a]:p", "unix:path", "unix:///path", "unix-abstract:name", "vsock:cid:p",
 * "passthrough:///h:p"; default port 443). Fails with INVALID_ARGUMENT-like text in err. */
struct net_target {
    enum { NET_TARGET_DNS, NET_TARGET_LITERAL, NET_TARGET_UNIX } kind;
    char host[256], port[32]; /* DNS */
    struct net_addrs literal; /* LITERAL and UNIX */
    char authority[320];      /* default :authority ("localhost" for unix) */
};
sennit_err net_target_parse(const char *target, struct net_target *out);
void net_target_fini(struct net_target *t);
/* getaddrinfo off the workers; parks. Errors are UNAVAILABLE and name host and reason. */
sennit_err net_resolve(const struct net_target *t, struct net_addrs *out);
void net_addrs_free(struct net_addrs *a);

struct net_io; /* below */

/* -- a proxy of the environment --------------------------------------------------------------- */
struct net_proxy {
    bool used;
    struct net_target at;
    char connect[300]; /* "host:port" that it is asked for */
    char basic[352];   /* user and password, encoded; "": none */
};
/* The one for t, if any: then p->used. Fails if the environment names one that cannot be used. */
sennit_err net_proxy_find(const struct net_target *t, struct net_proxy *p);
/* Asks the proxy at the other end of io for its target; parks. */
sennit_err net_proxy_connect(const struct net_proxy *p, struct net_io *io, sennit_ctx *ctx);

/* -- what is known of the other end, once its credentials have been seen ---------------------- */
struct net_auth {
    const char *scheme;         /* of requests on this connection */
    bool secure;                /* secrets may be sent */
    sennit_peer peer;           /* texts live here and in arena */
    struct sennit_arena *arena; /* of kinds that look or have a session; else NULL */
    char text[];                /* both addresses */
};
void net_auth_free(struct net_auth *a);

/* -- byte streams: plain sockets, and sessions over them (secure.c) --------------------------- */
#define NET_RECV_MIN 32768 /* octets that every recv must offer to a stream of records */
struct net_io;
struct net_io_ops {
    /* >= 0, or -errno; -EAGAIN: wait for readiness (task or goroutine). 0 from recv: the peer's
     * end. recv sets io->more. After -EAGAIN send must be offered the same octets again, or more
     * that begin with them. One thread may be in recv and one in send. */
    ssize_t (*recv)(struct net_io *io, void *p, size_t n);
    ssize_t (*send)(struct net_io *io, const struct iovec *v, int n);
    void (*close)(struct net_io *io); /* and frees; nobody else is inside */
    /* The peer reads an end behind what was sent; recv goes on, and what it gives may be still
     * secured. 0, or -EAGAIN: call again when it is writable. Nobody else is inside. */
    int (*finish)(struct net_io *io);
    /* Where there is no fd: from now on readiness wakes task, and once at once. */
    void (*start)(struct net_io *io, struct rt_task *task);
};
struct net_io {
    const struct net_io_ops *ops;
    struct rt_fd *fd; /* NULL: a pipe in memory */
    /* Woken when recv or send gave -EAGAIN only because the other one was busy. Set before two
     * threads use io. */
    struct rt_task *task;
    bool gathers;       /* send takes any number of pieces; else one */
    bool records;       /* recv must be offered NET_RECV_MIN at least */
    bool more;          /* after recv: octets may be left that no edge will tell of: recv again */
    const char *reason; /* after recv failed: why, if the number does not tell; lives as io does */
    struct net_auth *auth; /* set by creds_handshake; who takes it sets NULL, and frees it */
};
/* Two ends in memory, with room for LIMIT_PIPE octets each way. False: no memory. */
bool net_pipe(struct net_io *ends[2]);
/* Asks the kernel; one that it does not know has no octets. */
void net_io_names(const struct net_io *io, struct net_addr *local, struct net_addr *peer);
/* Wraps a connected, non-blocking socket; on failure the fd is closed. NULL: no memory, *err set.
 */
struct net_io *net_io_plain(int fd, int *error);
/* The same for a socket of somebody else's, which is made non-blocking; takes fd. */
struct net_io *net_io_given(int fd, int *error);
/* Connects; parks until done, at (absolute; INT64_MAX: none) or ctx's end. On failure NULL and
 * *error = -errno (-ETIMEDOUT, -ECANCELED included). Sets TCP_NODELAY. */
struct net_io *net_dial(const struct net_addr *a, sennit_ctx *ctx, int *error);

/* "dial tcp 127.0.0.1:50051: connect: connection refused"; op is "dial" or "listen", error -errno.
 * Returns the length that was written. */
size_t net_error_text(char *buf, size_t size, const char *op, const struct net_addr *a, int error);
const char *net_errno_text(int error); /* as Go prints it: "connection refused" */

/* -- listening ------------------------------------------------------------------------------- */
struct net_listener {
    struct rt_fd *fd;
    struct net_addr local;
    char text[NET_ADDR_TEXT];
    char unlink_path[108]; /* of a unix socket that we made */
};
/* "host:port", ":port", "[::]:0" (dual stack, as Go: "[::]:p" and ":p" take IPv4 too),
 * "unix:/path". Errors name address and reason ("listen tcp 127.0.0.1:50051: bind: address already
 * in use"). */
sennit_err net_listen(const char *address, struct net_listener **out);
sennit_err net_listen_fd(int fd,
                         struct net_listener **out); /* inherited; takes the fd on success */
/* The sockets that systemd hands over (sd_listen_fds): how many of them have this name ("": all),
 * the first max into fds. -1: LISTEN_FDS is not meant for this process. */
int net_systemd_fds(const char *name, int *fds, int max);
/* One connection; -EAGAIN: none now. Other errors are sorted by net_accept_verdict. */
int net_accept(struct net_listener *l, struct net_io **out);
enum net_verdict { NET_RETRY_NOW, NET_RETRY_LATER, NET_FATAL };
enum net_verdict net_accept_verdict(int error);
void net_listener_close(struct net_listener *l);

#endif
