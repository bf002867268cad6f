/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * listen.c: listening sockets: TCP (dual-stack for ":port" and "[::]:port", as Go does), unix
 * paths, inherited descriptors. Host names are resolved in the caller's goroutine (it parks). */
#include "base/sys.h"
#include "net/net.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#define LISTEN_BACKLOG 4096 /* the kernel clamps it to somaxconn */

/* Takes fd in any case. */
static sennit_err listen_wrap(int fd, struct net_listener **out)
{
    struct net_listener *l = sys.calloc(1, sizeof *l);
    int error = -ENOMEM;
    if (l) {
        l->local.len = sizeof l->local.sa; /* without its address nobody would find it */
        error = sys.getsockname(fd, (struct sockaddr *)&l->local.sa, &l->local.len);
    }
    if (error >= 0)
        error = rt_fd_open(fd, &l->fd);
    if (error < 0) {
        sys.free(l);
        sys.close(fd);
        return error == -ENOMEM ? sennit_no_memory
                                : sennit_errorf(WHY(LISTEN), "listen: %s", net_errno_text(-error));
    }
    net_addr_text(&l->local, l->text);
    *out = l;
    return NULL;
}

/* A bound and listening socket, or -errno. */
static int listen_open(const struct net_addr *a)
{
    const int one = 1, zero = 0;
    int fd = sys.socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    if (a->sa.ss_family == AF_INET || a->sa.ss_family == AF_INET6)
        sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->sa.ss_family == AF_INET6)
        sys.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    int error = sys.bind(fd, (const struct sockaddr *)&a->sa, a->len);
    if (error == 0)
        error = sys.listen(fd, LISTEN_BACKLOG);
    if (error < 0) {
        sys.close(fd);
        return error;
    }
    return fd;
}

static sennit_err listen_at(const struct net_addr *a, int fd, struct net_listener **out)
{
    char text[256];
    if (fd >= 0)
        return listen_wrap(fd, out);
    net_error_text(text, sizeof text, "listen", a, fd);
    return sennit_errorf(WHY(LISTEN), "%s", text);
}

/* ":port", "[::]:port": every address, both families where there are two. */
static sennit_err listen_everywhere(const char *address, struct net_listener **out)
{
    const char *port = strrchr(address, ':') + 1;
    char target[64];
    struct net_target t;
    snprintf(target, sizeof target, "ipv6:[::]:%s", port);
    sennit_err err = net_target_parse(target, &t);
    int fd = err ? -EINVAL : listen_open(&t.literal.list[0]);
    if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) {
        net_target_fini(&t);
        snprintf(target, sizeof target, "ipv4:0.0.0.0:%s", port);
        err = net_target_parse(target, &t);
        fd = err ? -EINVAL : listen_open(&t.literal.list[0]);
    }
    if (!err)
        err = fd >= 0 ? listen_wrap(fd, out)
                      : sennit_errorf(WHY(LISTEN), "listen tcp %s: bind: %s", address,
                                      net_errno_text(-fd));
    net_target_fini(&t);
    return err;
}

/* A socket file that nobody listens on any more is in the way: removes it. */
static bool listen_remove_stale(const struct net_addr *a)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->sa;
    int fd = sys.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int result = sys.connect(fd, (const struct sockaddr *)&a->sa, a->len);
    sys.close(fd);
    return result == -ECONNREFUSED && sys.unlink(un->sun_path) == 0;
}

static sennit_err listen_unix(const struct net_addr *a, struct net_listener **out)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->sa;
    int fd = listen_open(a);
    if (fd == -EADDRINUSE && un->sun_path[0] && listen_remove_stale(a))
        fd = listen_open(a);
    sennit_err err = listen_at(a, fd, out);
    if (!err && un->sun_path[0])
        snprintf((*out)->unlink_path, sizeof(*out)->unlink_path, "%s", un->sun_path);
    return err;
}

sennit_err net_listen(const char *address, struct net_listener **out)
{
    struct net_target t;
    struct net_addrs found = { NULL, 0 };
    *out = NULL;
    if (address[0] == ':')
        return listen_everywhere(address, out);
    if (strncmp(address, "[::]:", 5) == 0)
        return listen_everywhere(address, out);
    if (!strchr(address, ':'))
        return sennit_errorf(WHY(LISTEN_ADDRESS), "listen tcp: address %s: missing port in address",
                             address);
    sennit_err err = net_target_parse(address, &t);
    if (!err && t.kind == NET_TARGET_DNS)
        err = net_resolve(&t, &found);
    const struct net_addr *a = found.n ? &found.list[0] : t.literal.n ? &t.literal.list[0] : NULL;
    if (!err && a)
        err = t.kind == NET_TARGET_UNIX ? listen_unix(a, out) : listen_at(a, listen_open(a), out);
    else if (!err)
        err = sennit_errorf(WHY(LISTEN), "listen %s: the name has no address", address);
    net_addrs_free(&found);
    net_target_fini(&t);
    return err;
}

sennit_err net_listen_fd(int fd, struct net_listener **out)
{
    int listening = 0;
    socklen_t len = sizeof listening;
    *out = NULL;
    if (sys.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
        return sennit_errorf(WHY(LISTEN_ADDRESS), "descriptor %d is not a listening stream socket",
                             fd);
    int flags = sys.fcntl(fd, F_GETFL, 0);
    if (flags < 0 || sys.fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return sennit_errorf(WHY(LISTEN_ADDRESS), "descriptor %d cannot be made non-blocking", fd);
    return listen_wrap(fd, out);
}

int net_accept(struct net_listener *l, struct net_io **out)
{
    int error = 0;
    int fd = sys.accept4(rt_fd_number(l->fd), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return fd;
    *out = net_io_plain(fd, &error);
    return *out ? 0 : error == -EAGAIN ? -ENOMEM : error;
}

enum net_verdict net_accept_verdict(int error)
{
    switch (-error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: /* a firewall's word on one connection */
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ECONNRESET:
    case ETIMEDOUT:
        return NET_RETRY_NOW;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC: /* epoll's watch limit */
        return NET_RETRY_LATER;
    default:
        return NET_FATAL;
    }
}

void net_listener_close(struct net_listener *l)
{
    if (!l)
        return;
    rt_fd_close(l->fd);
    if (l->unlink_path[0])
        sys.unlink(l->unlink_path);
    sys.free(l);
}
