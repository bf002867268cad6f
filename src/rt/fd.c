/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fd.c: sennit_fd: a descriptor for goroutines and plain threads. The system call comes first, the
 * wait only after -EAGAIN.
 *
 * Who is inside is counted, so that free may wait: it marks FD_FREED and wakes those who wait, the
 * number is closed only when all have left, and nobody's read meets another file that got the same
 * number. The last one out sets the note; the word is its last touch but for that. */
#include "base/sys.h"
#include "rt/ctx.h"
#include "rt/err.h"
#include "rt/rt.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#define FD_FREED 0x80000000u

struct sennit_fd {
    struct rt_fd *fd;       /* NULL: could not be made */
    int why;                /* then: -errno */
    _Atomic uint32_t users; /* inside; FD_FREED */
    struct rt_note left;
};
static struct sennit_fd fd_lame = { .why = -ENOMEM };

static sennit_code fd_code(int error)
{
    switch (error) {
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
        return SENNIT_RESOURCE_EXHAUSTED;
    case EACCES:
    case EPERM:
        return SENNIT_PERMISSION_DENIED;
    case EBUSY:
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
        return SENNIT_FAILED_PRECONDITION;
    default:
        return SENNIT_UNAVAILABLE;
    }
}

/* rc: -errno of what. */
static sennit_err fd_error(const char *what, int rc)
{
    const char *text = rc == -EBUSY   ? "another goroutine waits for the same"
                       : rc == -EBADF ? "the descriptor was freed or is not open"
                                      : strerrordesc_np(-rc);
    if (rc == -ENOMEM)
        return sennit_no_memory;
    return sennit_errorf(WHY_AS(WHY(SYSTEM), fd_code(-rc)), "%s: %s", what,
                         text ? text : "unknown error");
}

static void fd_leave(struct sennit_fd *f)
{
    if (atomic_fetch_sub(&f->users, 1) == (FD_FREED | 1))
        rt_note_set(&f->left);
}

/* One kind of system call on f, which may have to wait for a side of it. */
struct fd_op {
    ssize_t (*attempt)(int fd, struct fd_op *op);
    bool writes;
    void *in;
    const void *out;
    size_t size;
};

static ssize_t fd_loop(struct sennit_fd *f, sennit_ctx *ctx, struct fd_op *op)
{
    for (;;) {
        if (ctx && ctx_error_static(ctx))
            return -ECANCELED;
        if (atomic_load_explicit(&f->users, memory_order_relaxed) & FD_FREED)
            return -EBADF;
        ssize_t rc = op->attempt(rt_fd_number(f->fd), op);
        if (rc == -EINTR)
            continue;
        if (rc != -EAGAIN)
            return rc;
        rc = op->writes ? rt_fd_wait_write(f->fd, ctx) : rt_fd_wait_read(f->fd, ctx);
        if (rc < 0)
            return rc;
    }
}

/* NULL and *got, or the reason. */
static sennit_err fd_do(struct sennit_fd *f, sennit_ctx *ctx, struct fd_op *op, const char *what,
                        size_t *got)
{
    if (!f->fd)
        return fd_error(what, f->why);
    atomic_fetch_add(&f->users, 1);
    ctx_enter(ctx);
    ssize_t rc = fd_loop(f, ctx, op);
    sennit_err err = NULL;
    if (rc == -ECANCELED && ctx)
        err = ctx_error_static(ctx);
    ctx_leave(ctx);
    fd_leave(f);
    if (rc >= 0) {
        *got = (size_t)rc;
        return NULL;
    }
    return err ? err : fd_error(what, (int)rc);
}

sennit_fd *sennit_fd_new(int fd)
{
    struct sennit_fd *f = sys.malloc(sizeof *f);
    if (!f) {
        if (fd >= 0)
            sys.close(fd);
        return &fd_lame;
    }
    *f = (struct sennit_fd){ .why = 0 };
    int flags = sys.fcntl(fd, F_GETFL, 0);
    int rc = flags < 0 ? flags : sys.fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (rc >= 0)
        rc = rt_fd_open(fd, &f->fd);
    if (rc < 0) {
        f->why = rc;
        if (fd >= 0)
            sys.close(fd);
    }
    return f;
}

int sennit_fd_number(const sennit_fd *f) { return f->fd ? rt_fd_number(f->fd) : -1; }

void sennit_fd_free(sennit_fd *f)
{
    if (!f || f == &fd_lame)
        return;
    if (f->fd) {
        uint32_t inside = atomic_fetch_or(&f->users, FD_FREED);
        rt_fd_interrupt(f->fd);
        if (inside)
            rt_note_wait(&f->left, "waiting until others have left a descriptor");
        rt_fd_close(f->fd);
    }
    sys.free(f);
}

/* -- the calls ------------------------------------------------------------------------------- */

static ssize_t fd_try_read(int fd, struct fd_op *op) { return sys.read(fd, op->in, op->size); }

sennit_err sennit_fd_read(sennit_fd *f, sennit_ctx *ctx, void *buf, size_t size, size_t *got)
{
    struct fd_op op = { .attempt = fd_try_read, .in = buf, .size = size };
    *got = 0;
    return fd_do(f, ctx, &op, "read", got);
}

/* A socket must not raise SIGPIPE; what is no socket takes write. */
static ssize_t fd_try_write(int fd, struct fd_op *op)
{
    struct iovec v = { (void *)(uintptr_t)op->out, op->size };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
    ssize_t n = sys.sendmsg(fd, &m, MSG_NOSIGNAL);
    return n == -ENOTSOCK ? sys.write(fd, op->out, op->size) : n;
}

sennit_err sennit_fd_write(sennit_fd *f, sennit_ctx *ctx, const void *buf, size_t size)
{
    struct fd_op op = { .attempt = fd_try_write, .writes = true, .out = buf, .size = size };
    while (op.size) {
        size_t n;
        sennit_err err = fd_do(f, ctx, &op, "write", &n);
        if (err)
            return err;
        op.out = (const char *)op.out + n;
        op.size -= n;
    }
    return NULL;
}

static ssize_t fd_try_accept(int fd, struct fd_op *op)
{
    (void)op;
    return sys.accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

sennit_err sennit_fd_accept(sennit_fd *f, sennit_ctx *ctx, sennit_fd **out)
{
    struct fd_op op = { .attempt = fd_try_accept };
    size_t fd;
    *out = NULL;
    sennit_err err = fd_do(f, ctx, &op, "accept", &fd);
    if (!err)
        *out = sennit_fd_new((int)fd);
    return err;
}

static ssize_t fd_try_ready(int fd, struct fd_op *op)
{
    struct pollfd p = { .fd = fd, .events = op->writes ? POLLOUT : POLLIN | POLLRDHUP };
    int rc = sys.poll(&p, 1, 0);
    return rc == 0 ? -EAGAIN : rc;
}

/* in: set once connect has begun. Until it is over a socket is not writable, which is asked for
 * because the edge that came may be that of a new socket; then SO_ERROR tells the outcome. */
static ssize_t fd_try_connect(int fd, struct fd_op *op)
{
    bool *begun = op->in;
    int rc, error = 0;
    if (!*begun) {
        *begun = true;
        rc = sys.connect(fd, op->out, (socklen_t)op->size);
        if (rc == -EAGAIN)
            return -ECONNREFUSED; /* a Unix socket with a full backlog: no edge would come */
        return rc == -EINPROGRESS || rc == -EINTR ? -EAGAIN : rc;
    }
    rc = (int)fd_try_ready(fd, op);
    socklen_t len = sizeof error;
    if (rc >= 0)
        rc = sys.getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return rc < 0 ? rc : -error;
}

sennit_err sennit_fd_connect(sennit_fd *f, sennit_ctx *ctx, const struct sockaddr *to, size_t size)
{
    bool begun = false;
    struct fd_op op = {
        .attempt = fd_try_connect, .writes = true, .in = &begun, .out = to, .size = size
    };
    size_t none;
    return fd_do(f, ctx, &op, "connect", &none);
}

sennit_err sennit_fd_wait(sennit_fd *f, sennit_ctx *ctx, bool writable)
{
    struct fd_op op = { .attempt = fd_try_ready, .writes = writable };
    size_t none;
    return fd_do(f, ctx, &op, "wait", &none);
}
