/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * io.c: the plain byte stream, and dialling one. */
#include "base/sys.h"
#include "net/net.h"
#include "rt/ctx.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define IO_LINGER_READS 256 /* of 1 KiB: about what a peer may have in flight */

struct io_plain {
    struct net_io io;
    int fd;
};

static ssize_t io_plain_recv(struct net_io *io, void *p, size_t n)
{
    if (rt_refused())
        return -EDEADLK; /* the parent's connection */
    ssize_t got = sys.recv(container_of(io, struct io_plain, io)->fd, p, n, 0);
    /* A short read has drained the socket: what comes later makes a new edge. */
    io->more = got > 0 && ((size_t)got == n || sys.short_io || rt_fd_hung_up(io->fd));
    return got;
}

static ssize_t io_plain_send(struct net_io *io, const struct iovec *v, int n)
{
    if (rt_refused())
        return -EDEADLK;
    struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = (size_t)n };
    return sys.sendmsg(container_of(io, struct io_plain, io)->fd, &m, MSG_NOSIGNAL);
}

/* Octets that lie unread when a socket is closed make it answer with a reset, which may overtake
 * the GOAWAY or alert that says why. What is there already is thrown away first. */
static void io_plain_linger(int fd)
{
    char rest[1024];
    for (int i = 0; i < IO_LINGER_READS; i++) {
        if (sys.recv(fd, rest, sizeof rest, MSG_DONTWAIT) <= 0)
            return;
    }
}

static void io_plain_close(struct net_io *io)
{
    io_plain_linger(container_of(io, struct io_plain, io)->fd);
    rt_fd_close(io->fd);
    net_auth_free(io->auth);
    sys.free(container_of(io, struct io_plain, io));
}

static int io_plain_finish(struct net_io *io)
{
    if (!rt_refused())
        sys.shutdown(container_of(io, struct io_plain, io)->fd, SHUT_WR);
    return 0;
}

static const struct net_io_ops io_plain_ops = {
    .recv = io_plain_recv,
    .send = io_plain_send,
    .close = io_plain_close,
    .finish = io_plain_finish,
};

static void io_name(int (*get)(int, struct sockaddr *, socklen_t *), int fd, struct net_addr *a)
{
    memset(a, 0, sizeof *a);
    a->len = sizeof a->sa;
    if (get(fd, (struct sockaddr *)&a->sa, &a->len) < 0)
        memset(a, 0, sizeof *a); /* only a text is missing */
}

void net_io_names(const struct net_io *io, struct net_addr *local, struct net_addr *peer)
{
    io_name(sys.getsockname, rt_fd_number(io->fd), local);
    io_name(sys.getpeername, rt_fd_number(io->fd), peer);
}

struct net_io *net_io_plain(int fd, int *error)
{
    const int one = 1;
    struct io_plain *p = sys.calloc(1, sizeof *p);
    *error = p ? rt_fd_open(fd, &p->io.fd) : -ENOMEM;
    if (*error < 0) {
        sys.free(p);
        sys.close(fd);
        return NULL;
    }
    p->io.ops = &io_plain_ops;
    p->io.gathers = true;
    p->fd = fd;
    sys.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* fails where there is none */
    return &p->io;
}

struct net_io *net_io_given(int fd, int *error)
{
    int flags = sys.fcntl(fd, F_GETFL, 0);
    int set = flags < 0 ? flags : sys.fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (set >= 0)
        return net_io_plain(fd, error);
    *error = set;
    sys.close(fd);
    return NULL;
}

/* Waits for a connect in progress; 0 or -errno. */
static int io_wait_connected(struct net_io *io, int fd, sennit_ctx *ctx)
{
    int waited = rt_fd_wait_write(io->fd, ctx), result = 0;
    socklen_t len = sizeof result;
    if (waited == -ECANCELED) {
        sennit_err ended = sennit_ctx_error(ctx);
        return ended && ended->code == SENNIT_DEADLINE_EXCEEDED ? -ETIMEDOUT : -ECANCELED;
    }
    if (waited < 0)
        return waited;
    int asked = sys.getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &len);
    return asked < 0 ? asked : -result;
}

struct net_io *net_dial(const struct net_addr *a, sennit_ctx *ctx, int *error)
{
    int fd = sys.socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *error = fd;
        return NULL;
    }
    int result = sys.connect(fd, (const struct sockaddr *)&a->sa, a->len);
    if (result < 0 && result != -EINPROGRESS && result != -EINTR) {
        sys.close(fd);
        *error = result;
        return NULL;
    }
    struct net_io *io = net_io_plain(fd, error);
    if (!io)
        return NULL;
    *error = result < 0 ? io_wait_connected(io, fd, ctx) : 0;
    if (*error < 0) {
        io->ops->close(io);
        return NULL;
    }
    return io;
}
