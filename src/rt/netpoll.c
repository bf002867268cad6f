/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * netpoll.c: one edge-triggered epoll for all fds. struct rt_fd lives in slabs that stay until
 * rt_shutdown; the epoll data word holds its address and 16 bits of its generation, so an event
 * that was fetched before a close finds another generation and is dropped.
 *
 * Each side (reading, writing) of an fd has, under the fd's lock: ready (an edge came and nobody
 * has used it), a waiter (record on its stack) or a task. An edge goes to the task, else to the
 * waiter, else sets ready. A wait that finds ready clears it and returns at once: the caller tries
 * the system call again. A waiter publishes itself in its park's commit, under the lock, where it
 * looks at ready and at its own cancel mark once more. Tasks are woken under the lock, so that
 * after rt_fd_close none is.
 *
 * The poller's sleep. netpoll_until is the time until which somebody sleeps in epoll, 0: nobody.
 * The poller stores it, then reads the wheels' next; who sets an earlier timer stores that, then
 * reads netpoll_until (all seq_cst): one of them sees the other. */
#include "rt/ctx.h"
#include "rt/rt_private.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

enum { NETPOLL_SLAB = 64, NETPOLL_EVENTS = 120 };

/* A core that sleeps costs 24 us of CPU to wake (a virtual machine's), and its latency. So the
 * poller looks for a while before it blocks, but only while that pays: a wait that ended soon adds
 * to its luck, a look that found nothing takes most of it, and with little it blocks at once. An
 * idle process therefore stays asleep. */
enum {
    NETPOLL_SPIN_NS = 50000,  /* how long it looks */
    NETPOLL_SPINS = 200,      /* and how often at most, should the clock stand still */
    NETPOLL_SOON_NS = 100000, /* a wait as short as this, with its wake-up, would have been found */
    NETPOLL_LUCK_LEAST = 8,
    NETPOLL_LUCK_MOST = 32
};

struct fd_waiter {
    struct ctx_watch watch;
    struct rt_fd *fd;
    struct rt_g *g;
    int side;
    bool ended; /* ctx has ended; guarded by fd->lock */
    int result;
};
struct fd_side {
    struct fd_waiter *waiter;
    struct rt_task *task;
};
struct rt_fd {
    struct lock lock; /* guards all but number */
    int number;
    uint16_t generation;
    bool open, interrupted;
    _Atomic bool hung_up;   /* set before the edge is passed on, read without the lock */
    bool ready[2];          /* of each side */
    struct fd_side side[2]; /* reading, writing */
    struct rt_fd *next_free;
};
struct fd_slab {
    struct fd_slab *next;
    struct rt_fd fds[NETPOLL_SLAB];
};

static struct lock netpoll_lock; /* guards the two below */
static struct fd_slab *netpoll_slabs;
static struct rt_fd *netpoll_free;
static int netpoll_ep = -1, netpoll_event = -1, netpoll_timer = -1; /* the last one: loop.c's */
static int64_t netpoll_armed;    /* when netpoll_timer is due, 0: it was and is not set */
static _Atomic int netpoll_luck; /* the poller's; a hint */
static _Atomic int64_t netpoll_last, netpoll_until, netpoll_open_fds;

int64_t rt_netpoll_last(void) { return atomic_load_explicit(&netpoll_last, memory_order_relaxed); }
int64_t rt_netpoll_fds(void) { return atomic_load(&netpoll_open_fds); }

int rt_netpoll_fd(void) { return netpoll_ep; }

static int netpoll_open_timer(void)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.u64 = 0 };
    netpoll_armed = 0;
    netpoll_timer = sys.timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return netpoll_timer < 0 ? netpoll_timer
                             : sys.epoll_ctl(netpoll_ep, EPOLL_CTL_ADD, netpoll_timer, &ev);
}

int rt_netpoll_open(void)
{
    int rc = sys.epoll_create1(EPOLL_CLOEXEC);
    if (rc < 0)
        return rc;
    netpoll_ep = rc;
    rc = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rc >= 0) {
        netpoll_event = rc;
        struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.u64 = 0 };
        rc = sys.epoll_ctl(netpoll_ep, EPOLL_CTL_ADD, netpoll_event, &ev);
    }
    if (rc >= 0 && rt_state.none)
        rc = netpoll_open_timer();
    atomic_store(&netpoll_last, 0);
    if (rc < 0)
        rt_netpoll_close();
    return rc < 0 ? rc : 0;
}

/* At the end of rt_shutdown, or when the start failed: nobody else runs. */
void rt_netpoll_close(void)
{
    if (netpoll_timer >= 0)
        sys.close(netpoll_timer);
    if (netpoll_event >= 0)
        sys.close(netpoll_event);
    if (netpoll_ep >= 0)
        sys.close(netpoll_ep);
    netpoll_ep = netpoll_event = netpoll_timer = -1;
    while (netpoll_slabs) {
        struct fd_slab *s = netpoll_slabs;
        netpoll_slabs = s->next;
        sys.free(s);
    }
    netpoll_free = NULL;
    atomic_store(&netpoll_open_fds, 0);
    atomic_store(&netpoll_until, 0);
}

static void netpoll_edge(struct rt_fd *f, int side)
{
    struct fd_side *s = &f->side[side];
    if (s->task) {
        rt_task_wake(s->task);
    } else if (s->waiter) {
        struct fd_waiter *r = s->waiter;
        s->waiter = NULL;
        rt_unpark(r->g);
    } else {
        f->ready[side] = true;
    }
}

static void netpoll_dispatch(const struct epoll_event *ev)
{
    struct rt_fd *f = (struct rt_fd *)(uintptr_t)(ev->data.u64 & (((uint64_t)1 << 48) - 1));
    if (!f)
        return; /* the eventfd, whose edge has done its work */
    lock_take(&f->lock, LOCK_PRIM);
    if (f->open && f->generation == ev->data.u64 >> 48) {
        if (ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            atomic_store_explicit(&f->hung_up, true, memory_order_relaxed);
        if (ev->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            netpoll_edge(f, 0);
        if (ev->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            netpoll_edge(f, 1);
    }
    lock_drop(&f->lock, LOCK_PRIM);
}

static int netpoll_fetch(const struct timespec *timeout)
{
    struct epoll_event ev[NETPOLL_EVENTS];
    int n = sys.epoll_pwait2(netpoll_ep, ev, NETPOLL_EVENTS, timeout);
    san_acquire(&netpoll_ep);
    atomic_store_explicit(&netpoll_until, 0, memory_order_relaxed); /* seen late: one wake more */
    for (int i = 0; i < n; i++)
        netpoll_dispatch(&ev[i]);
    return n;
}

void rt_netpoll_check(void)
{
    static const struct timespec zero;
    struct epoll_event ev[NETPOLL_EVENTS];
    if (atomic_load_explicit(&netpoll_open_fds, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&netpoll_last, sys_now(), memory_order_relaxed);
    int n = sys.epoll_pwait2(netpoll_ep, ev, NETPOLL_EVENTS, &zero);
    san_acquire(&netpoll_ep);
    for (int i = 0; i < n; i++) {
        /* An edge that was meant for the sleeper must reach it: an edge is given to one only. */
        if (ev[i].data.u64 == 0 && atomic_load(&rt_state.in_epoll))
            rt_netpoll_wake();
        netpoll_dispatch(&ev[i]);
    }
}

/* Publishes until when the poller sleeps. Who sets an earlier timer, or begins to wait for a stack,
 * looks at that afterwards (rt_netpoll_timer): so we look at theirs once more. */
static int64_t netpoll_sleep(int64_t limit)
{
    int64_t until = rt_timers_next();
    for (;;) {
        until = until < limit ? until : limit;
        atomic_store(&netpoll_until, until);
        int64_t again = rt_timers_next();
        if (limit == INT64_MAX)
            limit = rt_idle_limit();
        if (again >= until && limit >= until)
            return until;
        until = again;
    }
}

/* The loop is left: its host sleeps, not we. One that is due too early costs an empty turn, moving
 * it at each deadline that was met a system call: so it is moved when it is too late only. */
void rt_netpoll_arm(int64_t limit)
{
    int64_t until = netpoll_sleep(limit);
    if (until == INT64_MAX ||
        (netpoll_armed && netpoll_armed <= until && netpoll_armed > sys_now()))
        return;
    netpoll_armed = until > 0 ? until : 1;
    struct itimerspec t = { .it_value = { netpoll_armed / 1000000000,
                                          netpoll_armed % 1000000000 } };
    sys.timerfd_settime(netpoll_timer, TFD_TIMER_ABSTIME, &t);
}

static void netpoll_more_luck(void)
{
    int luck = atomic_load_explicit(&netpoll_luck, memory_order_relaxed);
    if (luck < NETPOLL_LUCK_MOST)
        atomic_store_explicit(&netpoll_luck, luck + 1, memory_order_relaxed);
}

/* True: an event came, or a timer is due. */
static bool netpoll_spin(int64_t limit)
{
    static const struct timespec zero;
    struct rt_state *s = &rt_state;
    int32_t running = atomic_load_explicit(&s->enlisted, memory_order_relaxed) -
                      (int32_t)atomic_load_explicit(&s->n_idle, memory_order_relaxed);
    int luck = atomic_load_explicit(&netpoll_luck, memory_order_relaxed);
    if (luck < NETPOLL_LUCK_LEAST || running >= (int32_t)s->cpus)
        return false;
    int64_t next = rt_timers_next(), end = sys_now() + NETPOLL_SPIN_NS;
    next = next < limit ? next : limit;
    for (int i = 0; i < NETPOLL_SPINS; i++) {
        if (netpoll_fetch(&zero) > 0) {
            netpoll_more_luck();
            return true;
        }
        int64_t now = sys_now();
        if (now >= next)
            return true;
        if (now >= end)
            break;
        for (int k = 0; k < 16; k++)
            rt_relax();
    }
    atomic_store_explicit(&netpoll_luck, luck / 4, memory_order_relaxed);
    return false;
}

/* One thread at a time: the poller. */
void rt_netpoll_block(int64_t limit)
{
    if (!netpoll_spin(limit)) {
        int64_t until = netpoll_sleep(limit);
        int64_t now = sys_now(), left = until - now;
        left = left < 0 ? 0 : left;
        struct timespec ts = { left / 1000000000, left % 1000000000 };
        if (netpoll_fetch(until == INT64_MAX ? NULL : &ts) > 0 && sys_now() - now < NETPOLL_SOON_NS)
            netpoll_more_luck();
    }
    int64_t now = sys_now();
    atomic_store_explicit(&rt_state.coarse, now, memory_order_relaxed);
    atomic_store_explicit(&netpoll_last, now, memory_order_relaxed);
    rt_timers_run(now);
}

void rt_netpoll_wake(void)
{
    uint64_t one = 1;
    sys.write(netpoll_event, &one, sizeof one);
}

void rt_netpoll_timer(int64_t at)
{
    if (at < atomic_load(&netpoll_until))
        rt_netpoll_wake();
}

/* -- fds ------------------------------------------------------------------------------------- */

static struct rt_fd *netpoll_new(void)
{
    lock_take(&netpoll_lock, LOCK_SCHED);
    struct rt_fd *f = netpoll_free;
    if (f)
        netpoll_free = f->next_free;
    lock_drop(&netpoll_lock, LOCK_SCHED);
    if (f)
        return f;
    struct fd_slab *s = sys.calloc(1, sizeof *s);
    if (!s)
        return NULL;
    for (int i = 1; i + 1 < NETPOLL_SLAB; i++)
        s->fds[i].next_free = &s->fds[i + 1];
    lock_take(&netpoll_lock, LOCK_SCHED);
    s->next = netpoll_slabs;
    netpoll_slabs = s;
    s->fds[NETPOLL_SLAB - 1].next_free = netpoll_free;
    netpoll_free = &s->fds[1];
    lock_drop(&netpoll_lock, LOCK_SCHED);
    return &s->fds[0];
}

static void fd_no_sides(struct rt_fd *f)
{
    f->side[0] = f->side[1] = (struct fd_side){ 0 };
    f->ready[0] = f->ready[1] = false;
}

static void netpoll_give(struct rt_fd *f)
{
    lock_take(&netpoll_lock, LOCK_SCHED);
    f->next_free = netpoll_free;
    netpoll_free = f;
    lock_drop(&netpoll_lock, LOCK_SCHED);
}

int rt_fd_open(int fd, struct rt_fd **out)
{
    if (!rt_start())
        return -ENOMEM;
    struct rt_fd *f = netpoll_new();
    if (!f)
        return -ENOMEM;
    lock_take(&f->lock, LOCK_PRIM);
    f->number = fd;
    f->open = true;
    f->interrupted = false;
    atomic_store_explicit(&f->hung_up, false, memory_order_relaxed);
    fd_no_sides(f);
    uint64_t word = (uintptr_t)f | (uint64_t)f->generation << 48;
    lock_drop(&f->lock, LOCK_PRIM);
    struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                              .data.u64 = word };
    san_release(&netpoll_ep); /* f is handed on by the kernel */
    int rc = sys.epoll_ctl(netpoll_ep, EPOLL_CTL_ADD, fd, &ev);
    if (rc < 0) {
        lock_take(&f->lock, LOCK_PRIM);
        f->open = false;
        lock_drop(&f->lock, LOCK_PRIM);
        netpoll_give(f);
        return rc;
    }
    atomic_fetch_add_explicit(&netpoll_open_fds, 1, memory_order_relaxed);
    *out = f;
    return 0;
}

int rt_fd_number(const struct rt_fd *f) { return f->number; }
bool rt_fd_hung_up(const struct rt_fd *f)
{
    return atomic_load_explicit(&f->hung_up, memory_order_relaxed); /* after the edge */
}

static bool netpoll_commit(struct rt_g *g, void *arg)
{
    struct fd_waiter *r = arg;
    struct rt_fd *f = r->fd;
    struct fd_side *s = &f->side[r->side];
    lock_take(&f->lock, LOCK_PRIM);
    bool park = false;
    if (!f->open || f->interrupted) {
        r->result = -EBADF;
    } else if (r->ended) {
        r->result = -ECANCELED;
    } else if (s->waiter) {
        r->result = -EBUSY;
    } else if (f->ready[r->side]) {
        f->ready[r->side] = false;
    } else {
        r->g = g;
        s->waiter = r;
        park = true;
    }
    lock_drop(&f->lock, LOCK_PRIM);
    return park;
}

static void netpoll_ctx_ended(struct ctx_watch *watch)
{
    struct fd_waiter *r = container_of(watch, struct fd_waiter, watch);
    struct rt_fd *f = r->fd;
    struct rt_g *g = NULL;
    lock_take(&f->lock, LOCK_PRIM);
    r->ended = true;
    if (f->side[r->side].waiter == r) {
        f->side[r->side].waiter = NULL;
        r->result = -ECANCELED;
        g = r->g;
    }
    lock_drop(&f->lock, LOCK_PRIM);
    if (g)
        rt_unpark(g);
}

static int netpoll_wait(struct rt_fd *f, sennit_ctx *ctx, int side)
{
    struct fd_waiter r = { .fd = f, .side = side };
    if (ctx && !ctx_watch_add(ctx, &r.watch, netpoll_ctx_ended))
        return -ECANCELED;
    rt_park(netpoll_commit, &r, side ? "write" : "read");
    if (ctx)
        ctx_watch_del(&r.watch);
    return r.result;
}

int rt_fd_wait_read(struct rt_fd *f, sennit_ctx *ctx) { return netpoll_wait(f, ctx, 0); }
int rt_fd_wait_write(struct rt_fd *f, sennit_ctx *ctx) { return netpoll_wait(f, ctx, 1); }

void rt_fd_tasks(struct rt_fd *f, struct rt_task *r, struct rt_task *w)
{
    lock_take(&f->lock, LOCK_PRIM);
    f->side[0].task = r;
    f->side[1].task = w;
    for (int i = 0; i < 2; i++)
        if (f->side[i].task)
            rt_task_wake(f->side[i].task);
    lock_drop(&f->lock, LOCK_PRIM);
}

/* Locked: takes both waiters off; they are to be woken, g of each or NULL. */
static void netpoll_expel(struct rt_fd *f, struct rt_g *g[2])
{
    for (int i = 0; i < 2; i++) {
        struct fd_waiter *r = f->side[i].waiter;
        g[i] = r ? r->g : NULL;
        if (r)
            r->result = -EBADF;
        f->side[i].waiter = NULL;
    }
}

static void netpoll_unpark(struct rt_g *g[2])
{
    for (int i = 0; i < 2; i++)
        if (g[i])
            rt_unpark(g[i]);
}

void rt_fd_interrupt(struct rt_fd *f)
{
    struct rt_g *g[2];
    lock_take(&f->lock, LOCK_PRIM);
    f->interrupted = true;
    netpoll_expel(f, g);
    lock_drop(&f->lock, LOCK_PRIM);
    netpoll_unpark(g);
}

void rt_fd_close(struct rt_fd *f)
{
    struct rt_g *g[2];
    lock_take(&f->lock, LOCK_PRIM);
    sn_assert(f->open);
    int fd = f->number;
    f->open = false;
    f->generation++;
    netpoll_expel(f, g);
    fd_no_sides(f);
    lock_drop(&f->lock, LOCK_PRIM);
    struct epoll_event none = { 0 };
    if (!rt_refused()) /* a forked child shares the parent's epoll */
        sys.epoll_ctl(netpoll_ep, EPOLL_CTL_DEL, fd, &none);
    sys.close(fd);
    atomic_fetch_sub_explicit(&netpoll_open_fds, 1, memory_order_relaxed);
    netpoll_give(f);
    netpoll_unpark(g);
}
