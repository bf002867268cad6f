/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * pipe.c: two byte streams joined in memory, for tests without sockets (sennit_test_dial). Each way
 * is a ring with a limit, so that a peer that does not read stops its sender as a socket would.
 * Readiness wakes the tasks of the two transports; goroutines cannot wait here, so only credentials
 * without a handshake go over it. Freed when both ends are closed. */
#include "base/limits.h"
#include "base/lock.h"
#include "base/sys.h"
#include "net/net.h"
#include <errno.h>

struct pipe_ring {
    size_t at, len;
    uint8_t octets[LIMIT_PIPE];
};

struct pipe_end {
    struct net_io io;
    struct pipe *pipe;
    struct rt_task *task;  /* guarded, as all below; NULL: not started, or closed */
    bool closed, finished; /* finished: it sends no more */
};

struct pipe {
    struct lock lock; /* LOCK_PRIM */
    struct pipe_end end[2];
    struct pipe_ring ring[2]; /* what end[i] has sent */
};

static struct pipe_end *pipe_end_of(struct net_io *io)
{
    return container_of(io, struct pipe_end, io);
}
static size_t pipe_index(const struct pipe_end *e) { return (size_t)(e - e->pipe->end); }

static void pipe_wake(struct pipe_end *e)
{
    if (e->task)
        rt_task_wake(e->task);
}

static size_t pipe_take(struct pipe_ring *r, uint8_t *p, size_t n)
{
    size_t got = min_size(n, r->len);
    for (size_t i = 0, some; i < got; i += some) {
        some = min_size(got - i, LIMIT_PIPE - r->at);
        memcpy(p + i, r->octets + r->at, some);
        r->at = (r->at + some) % LIMIT_PIPE;
    }
    r->len -= got;
    return got;
}

static size_t pipe_put(struct pipe_ring *r, const uint8_t *p, size_t n)
{
    size_t put = min_size(n, LIMIT_PIPE - r->len);
    for (size_t i = 0, some; i < put; i += some) {
        size_t to = (r->at + r->len) % LIMIT_PIPE;
        some = min_size(put - i, LIMIT_PIPE - to);
        memcpy(r->octets + to, p + i, some);
        r->len += some;
    }
    return put;
}

static ssize_t pipe_recv(struct net_io *io, void *p, size_t n)
{
    struct pipe_end *e = pipe_end_of(io);
    struct pipe *pipe = e->pipe;
    size_t other = 1 - pipe_index(e);
    lock_take(&pipe->lock, LOCK_PRIM);
    struct pipe_ring *r = &pipe->ring[other];
    bool full = r->len == LIMIT_PIPE;
    ssize_t got = (ssize_t)pipe_take(r, p, n);
    if (got == 0 && !pipe->end[other].closed && !pipe->end[other].finished)
        got = -EAGAIN;
    io->more = r->len > 0;
    if (full && got > 0)
        pipe_wake(&pipe->end[other]);
    lock_drop(&pipe->lock, LOCK_PRIM);
    return got;
}

static ssize_t pipe_send(struct net_io *io, const struct iovec *v, int n)
{
    struct pipe_end *e = pipe_end_of(io);
    struct pipe *pipe = e->pipe;
    size_t own = pipe_index(e), put = 0, wanted = 0;
    lock_take(&pipe->lock, LOCK_PRIM);
    bool closed = pipe->end[1 - own].closed;
    for (int i = 0; i < n && !closed; i++) {
        put += pipe_put(&pipe->ring[own], v[i].iov_base, v[i].iov_len);
        wanted += v[i].iov_len;
    }
    if (put)
        pipe_wake(&pipe->end[1 - own]);
    lock_drop(&pipe->lock, LOCK_PRIM);
    return closed ? -EPIPE : put || !wanted ? (ssize_t)put : -EAGAIN;
}

static void pipe_close(struct net_io *io)
{
    struct pipe_end *e = pipe_end_of(io);
    struct pipe *pipe = e->pipe;
    struct pipe_end *other = &pipe->end[1 - pipe_index(e)];
    net_auth_free(io->auth);
    lock_take(&pipe->lock, LOCK_PRIM);
    e->task = NULL;
    e->closed = true;
    bool last = other->closed;
    pipe_wake(other);
    lock_drop(&pipe->lock, LOCK_PRIM);
    if (last)
        sys.free(pipe);
}

static int pipe_finish(struct net_io *io)
{
    struct pipe_end *e = pipe_end_of(io);
    struct pipe *pipe = e->pipe;
    lock_take(&pipe->lock, LOCK_PRIM);
    e->finished = true;
    pipe_wake(&pipe->end[1 - pipe_index(e)]);
    lock_drop(&pipe->lock, LOCK_PRIM);
    return 0;
}

static void pipe_start(struct net_io *io, struct rt_task *task)
{
    struct pipe_end *e = pipe_end_of(io);
    lock_take(&e->pipe->lock, LOCK_PRIM);
    e->task = task;
    rt_task_wake(task); /* what came before is not missed */
    lock_drop(&e->pipe->lock, LOCK_PRIM);
}

static const struct net_io_ops pipe_ops = {
    .recv = pipe_recv,
    .send = pipe_send,
    .close = pipe_close,
    .finish = pipe_finish,
    .start = pipe_start,
};

bool net_pipe(struct net_io *ends[2])
{
    struct pipe *pipe = sys.calloc(1, sizeof *pipe);
    for (int i = 0; i < 2 && pipe; i++) {
        pipe->end[i].pipe = pipe;
        pipe->end[i].io.ops = &pipe_ops;
        ends[i] = &pipe->end[i].io;
    }
    return pipe != NULL;
}
