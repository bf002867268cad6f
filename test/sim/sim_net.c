/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sim_net.c: descriptors, epoll, clock and a network that exist in this file alone. A connection is
 * two queues of segments, each with the time at which it arrives; epoll is edge-triggered as the
 * kernel's: a change marks each registration of the descriptor, and a wait looks at what is true of
 * the marked ones then. Faults are drawn where the kernel would have them. */
#include "sim.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { NET_FDS = 128, NET_FIRST = 64, NET_REGS = 64, NET_BACKLOG = 64 };
enum net_kind { NET_CLOSED, NET_SOCKET, NET_LISTENER, NET_EPOLL, NET_EVENT, NET_TIMER };

struct net_seg {
    struct net_seg *next;
    int64_t at;
    size_t len, off;
    char data[];
};
struct net_reg {
    int fd;
    uint32_t events;
    uint64_t data;
    bool used, marked;
};
struct net_fd {
    enum net_kind kind;
    /* sockets */
    bool connected, connecting, eof, reset, wants_room, dead;
    int error, peer;                                              /* peer: a descriptor, -1: gone */
    int64_t eof_at, reset_at, connect_at, kick_at, stalled_until; /* 0: never */
    struct net_seg *first, *last;                                 /* on their way, then arrived */
    size_t held;                                                  /* octets of them */
    bool arrived;                                                 /* the first was told of */
    uint16_t port, peer_port;
    /* listeners */
    int backlog[NET_BACKLOG], n_backlog;
    /* events, timers */
    uint64_t count;
    int64_t at;
    /* epoll */
    struct net_reg reg[NET_REGS];
};
static struct net_fd net_fds[NET_FDS];
static uint16_t net_port = 20000;

static struct net_fd *net_of(int fd)
{
    int i = fd - NET_FIRST;
    if (i < 0 || i >= NET_FDS || net_fds[i].kind == NET_CLOSED)
        return NULL;
    return &net_fds[i];
}
static int net_number(const struct net_fd *f) { return (int)(f - net_fds) + NET_FIRST; }

static int net_new(enum net_kind kind)
{
    if (sim_chance(sim.o.no_descriptor))
        return -EMFILE;
    for (int i = 0; i < NET_FDS; i++)
        if (net_fds[i].kind == NET_CLOSED) {
            memset(&net_fds[i], 0, sizeof net_fds[i]);
            net_fds[i].kind = kind;
            net_fds[i].peer = -1;
            return i + NET_FIRST;
        }
    return -EMFILE;
}

int sim_net_open(void)
{
    int n = 0;
    for (int i = 0; i < NET_FDS; i++)
        n += net_fds[i].kind != NET_CLOSED;
    return n;
}

/* -- what is true of a descriptor ------------------------------------------------------------ */

static bool net_has_data(const struct net_fd *f) { return f->first && f->first->at <= sim.now; }

static size_t net_room(const struct net_fd *f)
{
    const struct net_fd *p = net_of(f->peer);
    if (!p)
        return sim.o.window;
    return p->held >= sim.o.window ? 0 : sim.o.window - p->held;
}

static uint32_t net_state(const struct net_fd *f);

static bool net_epoll_ready(const struct net_fd *e)
{
    for (int i = 0; i < NET_REGS; i++) {
        const struct net_fd *f = e->reg[i].used && e->reg[i].marked ? net_of(e->reg[i].fd) : NULL;
        if (f && (net_state(f) & (e->reg[i].events | EPOLLERR | EPOLLHUP)))
            return true;
    }
    return false;
}

static uint32_t net_state(const struct net_fd *f)
{
    switch (f->kind) {
    case NET_SOCKET:
        if (f->reset || f->error)
            return EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP;
        if (!f->connected)
            return 0;
        return (net_has_data(f) ? EPOLLIN : 0) | (f->eof ? EPOLLIN | EPOLLRDHUP : 0) |
               (net_room(f) ? EPOLLOUT : 0);
    case NET_LISTENER:
        return f->n_backlog ? EPOLLIN : 0;
    case NET_EPOLL:
        return net_epoll_ready(f) ? EPOLLIN : 0;
    case NET_EVENT:
        return (f->count ? EPOLLIN : 0) | EPOLLOUT;
    case NET_TIMER:
        return f->count ? EPOLLIN : 0;
    default:
        return 0;
    }
}

/* Something changed on f: an edge for each registration; one epoll may watch another. */
static void net_edge(const struct net_fd *f)
{
    int fd = net_number(f);
    for (int i = 0; i < NET_FDS; i++) {
        struct net_fd *e = &net_fds[i];
        for (int k = 0; e->kind == NET_EPOLL && k < NET_REGS; k++)
            if (e->reg[k].used && e->reg[k].fd == fd && !e->reg[k].marked) {
                e->reg[k].marked = true;
                if (f->kind != NET_EPOLL)
                    net_edge(e);
            }
    }
}

/* -- time ------------------------------------------------------------------------------------ */

static void net_connect_done(struct net_fd *f);

/* All that has happened until now is seen. */
static void net_settle(void)
{
    for (int i = 0; i < NET_FDS; i++) {
        struct net_fd *f = &net_fds[i];
        bool edge = false;
        if (f->kind == NET_TIMER && f->at && f->at <= sim.now) {
            f->at = 0, f->count++;
            edge = true;
        }
        if (f->kind == NET_SOCKET) {
            if (f->connecting && f->connect_at <= sim.now) {
                net_connect_done(f);
                edge = true;
            }
            if (net_has_data(f) && !f->arrived)
                f->arrived = edge = true;
            if (f->eof_at && f->eof_at <= sim.now && !f->eof)
                f->eof = edge = true;
            if (f->reset_at && f->reset_at <= sim.now && !f->reset)
                f->reset = edge = true;
            if (f->kick_at && f->kick_at <= sim.now) {
                f->kick_at = 0;
                edge = true;
            }
        }
        if (edge)
            net_edge(f);
    }
}

bool sim_net_readable(int fd)
{
    const struct net_fd *f = net_of(fd);
    net_settle();
    return f && (net_state(f) & EPOLLIN);
}

static int64_t net_sooner(int64_t a, int64_t b) { return b > sim.now && b < a ? b : a; }

int64_t sim_net_next(void)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < NET_FDS; i++) {
        const struct net_fd *f = &net_fds[i];
        if (f->kind == NET_TIMER)
            next = net_sooner(next, f->at);
        if (f->kind != NET_SOCKET)
            continue;
        if (f->connecting)
            next = net_sooner(next, f->connect_at);
        for (const struct net_seg *s = f->first; s; s = s->next)
            next = net_sooner(next, s->at);
        next = net_sooner(next, f->eof_at);
        next = net_sooner(next, f->reset_at);
        next = net_sooner(next, f->kick_at);
    }
    return next;
}

void sim_net_go_to(int64_t time)
{
    sim.now = time;
    sim_note("time", time, 0);
    net_settle();
}

static int net_clock(clockid_t id, struct timespec *ts)
{
    (void)id;
    sim.now += sim.o.tick ? sim_random(sim.o.tick) : 50;
    sim_preempt(sim.o.preempt);
    *ts = (struct timespec){ sim.now / 1000000000, sim.now % 1000000000 };
    return 0;
}

static int64_t net_delay(void)
{
    return 1 + sim.o.latency + (sim.o.jitter ? sim_random(sim.o.jitter) : 0);
}

/* When what is sent now to f arrives; in order. */
static int64_t net_arrival(struct net_fd *f)
{
    int64_t at = sim.now + net_delay();
    if (f->stalled_until <= sim.now && sim_chance(sim.o.stall)) {
        f->stalled_until = sim_random(2) ? INT64_MAX / 2 : sim.now + sim_random(2000000000);
        sim_note("stall", net_number(f), f->stalled_until);
    }
    if (f->stalled_until > sim.now)
        at += f->stalled_until - sim.now;
    if (f->last && f->last->at > at)
        at = f->last->at;
    return at;
}

/* -- sockets --------------------------------------------------------------------------------- */

static int net_socket(int family, int type, int protocol)
{
    (void)family, (void)type, (void)protocol;
    int fd = net_new(NET_SOCKET);
    sim_note("socket", fd, 0);
    return fd;
}

static uint16_t net_port_of(const struct sockaddr *sa)
{
    return ntohs(((const struct sockaddr_in *)(const void *)sa)->sin_port);
}

static struct net_fd *net_listener(uint16_t port)
{
    for (int i = 0; i < NET_FDS; i++)
        if (net_fds[i].kind == NET_LISTENER && net_fds[i].port == port)
            return &net_fds[i];
    return NULL;
}

static int net_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
    (void)len;
    uint16_t port = net_port_of(sa);
    if (port && net_listener(port))
        return -EADDRINUSE;
    net_of(fd)->port = port ? port : net_port++;
    return 0;
}

static int net_listen_call(int fd, int n)
{
    (void)n;
    net_of(fd)->kind = NET_LISTENER;
    return 0;
}

static int net_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    struct net_fd *f = net_of(fd);
    (void)len;
    f->connecting = true;
    f->peer_port = net_port_of(sa);
    f->port = net_port++;
    f->connect_at = sim.now + 2 * net_delay();
    if (sim_chance(sim.o.stall))
        f->connect_at = sim.now + INT64_C(127000000000);
    sim_note("connect", fd, f->connect_at);
    return sim_chance(sim.o.interrupt) ? -EINTR : -EINPROGRESS;
}

static void net_connect_done(struct net_fd *f)
{
    struct net_fd *l = net_listener(f->peer_port);
    f->connecting = false;
    if (!l || l->n_backlog == NET_BACKLOG || sim_chance(sim.o.refuse)) {
        f->error = ECONNREFUSED;
        return;
    }
    bool faults = sim.faults;
    sim.faults = false; /* the kernel has what it needs for this */
    int fd = net_new(NET_SOCKET);
    sim.faults = faults;
    struct net_fd *s = net_of(fd);
    s->connected = f->connected = true;
    s->port = f->peer_port, s->peer_port = f->port;
    s->peer = net_number(f), f->peer = fd;
    l->backlog[l->n_backlog++] = fd;
    net_edge(l);
}

static void net_name(uint16_t port, struct sockaddr *sa, socklen_t *len)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    memcpy(sa, &in, *len < sizeof in ? *len : sizeof in);
    *len = sizeof in;
}
static int net_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
    net_name(net_of(fd)->port, sa, len);
    return 0;
}
static int net_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
    net_name(net_of(fd)->peer_port, sa, len);
    return net_of(fd)->connected ? 0 : -ENOTCONN;
}
static int net_getsockopt(int fd, int level, int name, void *v, socklen_t *len)
{
    struct net_fd *f = net_of(fd);
    (void)level, (void)len;
    *(int *)v = name == SO_ERROR ? f->error : f->kind == NET_LISTENER;
    if (name == SO_ERROR)
        f->error = 0;
    return 0;
}
static int net_setsockopt(int fd, int level, int name, const void *v, socklen_t len)
{
    (void)fd, (void)level, (void)name, (void)v, (void)len;
    return 0;
}

static int net_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    static const int odd[] = { EINTR, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO };
    struct net_fd *l = net_of(fd);
    (void)sa, (void)len, (void)flags;
    if (sim_chance(sim.o.no_descriptor))
        return -odd[sim_random(countof(odd))];
    if (!l->n_backlog)
        return -EAGAIN;
    int s = l->backlog[0];
    memmove(l->backlog, l->backlog + 1, (size_t)--l->n_backlog * sizeof(int));
    sim_note("accept", s, 0);
    return s;
}

static void net_reset(struct net_fd *f)
{
    struct net_fd *p = net_of(f->peer);
    sim_note("reset", net_number(f), 0);
    f->reset = true;
    net_edge(f);
    if (p)
        p->reset_at = sim.now + net_delay();
}

/* Faults of a socket in use. */
static int net_trouble(struct net_fd *f)
{
    struct net_fd *p = net_of(f->peer);
    if (sim_chance(sim.o.interrupt))
        return -EINTR;
    if (sim_chance(sim.o.reset))
        net_reset(f);
    if (p && !p->eof_at && sim_chance(sim.o.half_close)) {
        p->eof_at = net_arrival(p);
        sim_note("half-close", net_number(f), 0);
    }
    if (sim_chance(sim.o.again)) {
        f->kick_at = sim.now + net_delay();
        return -EAGAIN;
    }
    return 0;
}

static ssize_t net_recv(int fd, void *buf, size_t n, int flags)
{
    struct net_fd *f = net_of(fd);
    size_t got = 0;
    (void)flags;
    sim_preempt(sim.o.preempt);
    net_settle();
    int trouble = net_trouble(f);
    if (trouble)
        return trouble;
    if (f->reset)
        return -ECONNRESET;
    size_t most = sim_chance(sim.o.short_io) ? 1 + sim_random(40) : n;
    most = most < n ? most : n;
    while (got < most && net_has_data(f)) {
        struct net_seg *s = f->first;
        size_t k = s->len - s->off < most - got ? s->len - s->off : most - got;
        memcpy((char *)buf + got, s->data + s->off, k);
        got += k, s->off += k;
        if (s->off == s->len) {
            f->first = s->next;
            f->last = f->first ? f->last : NULL;
            free(s);
        }
    }
    f->held -= got;
    f->arrived = net_has_data(f);
    struct net_fd *p = net_of(f->peer);
    if (got && p && p->wants_room && f->held < sim.o.window / 2) {
        p->wants_room = false;
        net_edge(p);
    }
    sim_note("recv", fd, (int64_t)got);
    return got ? (ssize_t)got : f->eof ? 0 : -EAGAIN;
}

static void net_push(struct net_fd *p, const char *data, size_t n)
{
    struct net_seg *s = malloc(sizeof *s + n);
    s->next = NULL, s->len = n, s->off = 0;
    s->at = net_arrival(p);
    memcpy(s->data, data, n);
    if (p->last)
        p->last->next = s;
    else
        p->first = s;
    p->last = s;
    p->held += n;
}

static ssize_t net_send(struct net_fd *f, const char *data, size_t n)
{
    struct net_fd *p = net_of(f->peer);
    size_t room = net_room(f);
    if (!p) { /* closed: the peer's kernel answers with a reset */
        if (!f->reset_at)
            f->reset_at = sim.now + 2 * net_delay();
        return (ssize_t)n;
    }
    if (room == 0) {
        f->wants_room = true;
        return -EAGAIN;
    }
    n = n < room ? n : room;
    if (sim_chance(sim.o.short_io))
        n = n < 40 ? n : 1 + sim_random(40);
    for (size_t at = 0; at < n;) {
        size_t k = n - at;
        if (k > 1 && sim_order(sim.o.split))
            k = 1 + sim_random((uint32_t)k);
        net_push(p, data + at, k);
        at += k;
    }
    return (ssize_t)n;
}

static ssize_t net_sendmsg(int fd, const struct msghdr *m, int flags)
{
    struct net_fd *f = net_of(fd);
    ssize_t sent = 0;
    (void)flags;
    net_settle();
    int trouble = net_trouble(f);
    if (trouble)
        return trouble;
    if (f->reset)
        return sim_random(2) ? -EPIPE : -ECONNRESET;
    for (size_t i = 0; i < m->msg_iovlen; i++) {
        size_t n = m->msg_iov[i].iov_len;
        ssize_t k = n ? net_send(f, m->msg_iov[i].iov_base, n) : 0;
        if (k < 0) {
            sent = sent ? sent : k;
            break;
        }
        sent += k;
        if ((size_t)k < n) {
            f->wants_room = true;
            f->kick_at = f->kick_at ? f->kick_at : net_room(f) ? sim.now + net_delay() : 0;
            break;
        }
    }
    sim_note("send", fd, sent);
    sim_preempt(sim.o.preempt);
    return sent;
}

static int net_close(int fd)
{
    struct net_fd *f = net_of(fd);
    if (!f)
        sim_fail("close of descriptor %d, which is not open", fd);
    sim_note("close", fd, 0);
    struct net_fd *p = f->kind == NET_SOCKET ? net_of(f->peer) : NULL;
    for (int i = 0; f->kind == NET_LISTENER && i < f->n_backlog; i++)
        net_close(f->backlog[i]);
    if (p) {
        p->peer = -1;
        if (f->first && f->first->at <= sim.now)
            p->reset_at = net_arrival(p); /* with unread octets: a reset */
        else if (!p->eof_at)
            p->eof_at = net_arrival(p);
    }
    while (f->first) {
        struct net_seg *s = f->first;
        f->first = s->next;
        free(s);
    }
    for (int i = 0; i < NET_FDS; i++)
        for (int k = 0; net_fds[i].kind == NET_EPOLL && k < NET_REGS; k++)
            if (net_fds[i].reg[k].fd == fd)
                net_fds[i].reg[k].used = false;
    f->kind = NET_CLOSED;
    sim_preempt(sim.o.preempt);
    return 0;
}

void sim_net_heal(void)
{
    for (int i = 0; i < NET_FDS; i++) {
        struct net_fd *f = &net_fds[i];
        if (f->kind != NET_SOCKET || f->stalled_until <= sim.now)
            continue;
        bool for_ever = f->stalled_until > sim.now + INT64_C(1000000000000);
        for (struct net_seg *s = f->first; s; s = s->next)
            s->at = s->at > sim.now ? sim.now + 1 : s->at;
        f->eof_at = f->eof_at > sim.now ? sim.now + 1 : f->eof_at;
        f->reset_at = f->reset_at > sim.now ? sim.now + 1 : f->reset_at;
        f->stalled_until = 0;
        if (for_ever)
            net_reset(f);
    }
}

/* -- epoll and its friends ------------------------------------------------------------------- */

static int net_epoll_create(int flags)
{
    (void)flags;
    return net_new(NET_EPOLL);
}

static int net_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
    struct net_fd *e = net_of(ep);
    if (!net_of(fd))
        return -EBADF;
    if (op == EPOLL_CTL_ADD && sim_chance(sim.o.no_descriptor))
        return sim_random(2) ? -ENOSPC : -ENOMEM;
    for (int i = 0; i < NET_REGS; i++) {
        struct net_reg *r = &e->reg[i];
        if (op == EPOLL_CTL_DEL && r->used && r->fd == fd) {
            r->used = false;
            return 0;
        }
        if (op == EPOLL_CTL_ADD && !r->used) {
            *r = (struct net_reg){ fd, ev->events, ev->data.u64, true, true };
            if (net_state(net_of(fd)) & r->events)
                net_edge(e);
            return 0;
        }
    }
    return op == EPOLL_CTL_DEL ? -ENOENT : -ENOSPC;
}

static int net_fetch(struct net_fd *e, struct epoll_event *ev, int max)
{
    int n = 0, start = (int)sim_random(NET_REGS);
    for (int i = 0; i < NET_REGS && n < max; i++) {
        struct net_reg *r = &e->reg[(start + i) % NET_REGS];
        struct net_fd *f = r->used && r->marked ? net_of(r->fd) : NULL;
        uint32_t state = f ? net_state(f) & (r->events | EPOLLERR | EPOLLHUP) : 0;
        if (!f)
            continue;
        r->marked = state && !(r->events & EPOLLET);
        if (state) {
            ev[n].events = state;
            ev[n++].data.u64 = r->data;
            sim_note("event", r->fd, state);
        }
    }
    return n;
}

static bool net_is_ready(void *epoll)
{
    net_settle();
    return net_epoll_ready(epoll);
}

static int net_epoll_wait(int ep, struct epoll_event *ev, int max, const struct timespec *timeout)
{
    struct net_fd *e = net_of(ep);
    int64_t end =
        timeout ? sim.now + timeout->tv_sec * INT64_C(1000000000) + timeout->tv_nsec : INT64_MAX;
    if (sim_chance(sim.o.interrupt))
        return -EINTR;
    sim_preempt(sim.o.preempt);
    for (;;) {
        net_settle();
        int n = net_fetch(e, ev, max);
        if (n)
            sim_preempt(sim.o.preempt); /* an event may be old when it is looked at */
        if (n || end <= sim.now)
            return n;
        sim_wait(net_is_ready, e, end);
    }
}

static int net_eventfd(unsigned initial, int flags)
{
    (void)flags;
    int fd = net_new(NET_EVENT);
    if (fd >= 0)
        net_of(fd)->count = initial;
    return fd;
}
static int net_timerfd(clockid_t id, int flags)
{
    (void)id, (void)flags;
    return net_new(NET_TIMER);
}
static int net_timerfd_set(int fd, int flags, const struct itimerspec *t)
{
    (void)flags;
    struct net_fd *f = net_of(fd);
    f->count = 0;
    f->at = t->it_value.tv_sec * INT64_C(1000000000) + t->it_value.tv_nsec;
    sim_note("timer", f->at, 0);
    return 0;
}

static ssize_t net_read(int fd, void *p, size_t n)
{
    struct net_fd *f = net_of(fd);
    if (!f || n < 8)
        return -EBADF;
    if (!f->count)
        return -EAGAIN;
    memcpy(p, &f->count, 8);
    f->count = 0;
    return 8;
}
static ssize_t net_write(int fd, const void *p, size_t n)
{
    struct net_fd *f = net_of(fd);
    (void)p;
    if (fd <= 2)
        return (ssize_t)fwrite(p, 1, n, stderr);
    if (!f)
        return -EBADF;
    f->count++;
    net_edge(f);
    sim_preempt(sim.o.preempt);
    return (ssize_t)n;
}

/* -- the rest -------------------------------------------------------------------------------- */

static int net_open_file(const char *path, int flags)
{
    (void)path, (void)flags;
    return -ENOENT;
}
static int net_fcntl(int fd, int cmd, long arg)
{
    (void)fd, (void)cmd, (void)arg;
    return 0;
}
static ssize_t net_getrandom(void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((char *)p)[i] = (char)sim_random(256);
    return (ssize_t)n;
}

void sim_net_install(void)
{
    sim.now = 1000000000;
    sys.socket = net_socket, sys.bind = net_bind, sys.listen = net_listen_call;
    sys.accept4 = net_accept4, sys.connect = net_connect;
    sys.getsockname = net_getsockname, sys.getpeername = net_getpeername;
    sys.getsockopt = net_getsockopt, sys.setsockopt = net_setsockopt;
    sys.close = net_close, sys.open = net_open_file, sys.fcntl = net_fcntl;
    sys.read = net_read, sys.write = net_write;
    sys.recv = net_recv, sys.sendmsg = net_sendmsg;
    sys.epoll_create1 = net_epoll_create, sys.epoll_ctl = net_epoll_ctl;
    sys.epoll_pwait2 = net_epoll_wait, sys.eventfd = net_eventfd;
    sys.timerfd_create = net_timerfd, sys.timerfd_settime = net_timerfd_set;
    sys.clock_gettime = net_clock;
    sys.getrandom = net_getrandom;
    sys.short_io = sim.o.short_io != 0;
}
