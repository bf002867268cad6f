/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * select.c: waiting for the first of several things. First all channels are locked, by address, and
 * the cases are looked at from a random one on; if none can go on, a waiter per case is hung up
 * (channels still under those locks, so that nothing comes between), all with one once, which one
 * source claims. Then all are taken back. Everything lives on the caller's stack, or with many
 * cases in one block.
 *
 * An fd case waits on an epoll of its own: it is itself an fd that the netpoller can watch,
 * whatever else watches the user's fd, and it says whether the fd is ready now. */
#include "base/random.h"
#include "base/sys.h"
#include "rt/chan_private.h"
#include "rt/fdwatch.h"
#include <sys/epoll.h>

enum { SELECT_FEW = 8 };

struct select_case {
    struct prim_once *once;
    int index;
    bool on, ready, ok, hung;
    union {
        struct chan_waiter chan;
        struct rt_timer timer;
        struct ctx_watch watch;
        struct fdwatch *fd;
        int ep;
    } u;
};

struct select_wait {
    struct prim_once once;
    int n, n_chans;
    char *user; /* cases, stride apart */
    size_t stride;
    struct select_case *cases;
    sennit_chan **chans; /* ascending, each once */
};

static sennit_case *select_user(const struct select_wait *s, int i)
{
    return (sennit_case *)(s->user + (size_t)i * s->stride);
}

static bool select_is_chan(const sennit_case *u)
{
    return u->kind == SENNIT_CASE_RECV || u->kind == SENNIT_CASE_SEND;
}

static bool select_is_fd(const sennit_case *u)
{
    return u->kind == SENNIT_CASE_READABLE || u->kind == SENNIT_CASE_WRITABLE;
}

/* -- channels -------------------------------------------------------------------------------- */

static void select_add_chan(struct select_wait *s, sennit_chan *c)
{
    int at = s->n_chans;
    while (at > 0 && (uintptr_t)s->chans[at - 1] > (uintptr_t)c)
        at--;
    if (at > 0 && s->chans[at - 1] == c)
        return;
    memmove(&s->chans[at + 1], &s->chans[at], (size_t)(s->n_chans - at) * sizeof *s->chans);
    s->chans[at] = c;
    s->n_chans++;
}

static void select_lock(const struct select_wait *s)
{
    for (int i = 0; i < s->n_chans; i++)
        lock_take_unranked(&s->chans[i]->lock); /* by address: see select_add_chan */
}

static void select_unlock(const struct select_wait *s)
{
    for (int i = s->n_chans; i-- > 0;)
        lock_drop_unranked(&s->chans[i]->lock);
}

static bool select_try(const struct select_wait *s, int i)
{
    struct select_case *c = &s->cases[i];
    sennit_case *u = select_user(s, i);
    if (!c->on)
        return false;
    if (u->kind == SENNIT_CASE_RECV)
        return chan_try_recv(u->chan, u->recv, &c->ok);
    if (u->kind == SENNIT_CASE_SEND)
        return chan_try_send(u->chan, u->send, &c->ok);
    return c->ready;
}

static int select_try_all(const struct select_wait *s)
{
    if (s->n <= 0)
        return -1;
    int i = s->n > 1 ? (int)(random_u32() % (uint32_t)s->n) : 0;
    for (int k = 0; k < s->n; k++, i = i + 1 == s->n ? 0 : i + 1)
        if (select_try(s, i))
            return i;
    return -1;
}

static void select_hang_chans(struct select_wait *s)
{
    for (int i = 0; i < s->n; i++) {
        struct select_case *c = &s->cases[i];
        const sennit_case *u = select_user(s, i);
        if (!c->on || !select_is_chan(u))
            continue;
        bool send = u->kind == SENNIT_CASE_SEND;
        c->u.chan = (struct chan_waiter){ .once = &s->once, .index = i };
        if (send)
            c->u.chan.elem.from = u->send;
        else
            c->u.chan.elem.to = u->recv;
        list_push_back(send ? &u->chan->senders : &u->chan->receivers, &c->u.chan.node);
        c->hung = true;
    }
}

/* -- fds ------------------------------------------------------------------------------------- */

static bool select_fd_ready(int ep)
{
    static const struct timespec zero;
    struct epoll_event ev;
    return sys.epoll_pwait2(ep, &ev, 1, &zero) > 0;
}

/* An fd that cannot be waited for is ready, as poll has it; one that is none is so with ok false.
 */
static void select_open_fd(struct select_case *c, const sennit_case *u)
{
    struct epoll_event ev = { .events = u->kind == SENNIT_CASE_READABLE ? EPOLLIN | EPOLLRDHUP
                                                                        : EPOLLOUT };
    int ep = sys.epoll_create1(EPOLL_CLOEXEC);
    int rc = ep < 0 ? ep : sys.epoll_ctl(ep, EPOLL_CTL_ADD, u->fd, &ev);
    c->u.ep = ep;
    c->hung = ep >= 0;
    c->ready = rc < 0 || select_fd_ready(ep);
    c->ok = rc >= 0 || rc == -EPERM;
}

static void select_came(void *arg)
{
    struct select_case *c = arg;
    if (prim_claim(c->once))
        prim_done(c->once, c->index, true);
}

static void select_watch_fd(struct select_case *c)
{
    if (fdwatch_new(c->u.ep, select_fd_ready, select_came, c, &c->u.fd) == 0)
        return;
    c->hung = false;
    if (prim_claim(c->once))
        prim_done(c->once, c->index, false);
}

/* -- timers, contexts ------------------------------------------------------------------------ */

static void select_timer_came(struct rt_timer *t)
{
    select_came(container_of(t, struct select_case, u.timer));
}

static void select_ctx_came(struct ctx_watch *w)
{
    select_came(container_of(w, struct select_case, u.watch));
}

static void select_hang(struct select_case *c, const sennit_case *u)
{
    switch (u->kind) {
    case SENNIT_CASE_TIMER:
        if (u->at == INT64_MAX)
            break;
        rt_timer_init(&c->u.timer, select_timer_came);
        rt_timer_set(&c->u.timer, u->at);
        c->hung = true;
        break;
    case SENNIT_CASE_CTX:
        ctx_enter(u->ctx);
        c->hung = true;
        if (!ctx_watch_add(u->ctx, &c->u.watch, select_ctx_came))
            select_came(c);
        break;
    case SENNIT_CASE_READABLE:
    case SENNIT_CASE_WRITABLE:
        select_watch_fd(c);
        break;
    default:
        break;
    }
}

/* -- all of it ------------------------------------------------------------------------------- */

/* What can be told without a channel's lock. */
static void select_prepare(struct select_wait *s)
{
    for (int i = 0; i < s->n; i++) {
        struct select_case *c = &s->cases[i];
        const sennit_case *u = select_user(s, i);
        c->once = &s->once, c->index = i;
        c->on = c->ok = true;
        c->ready = c->hung = false;
        if (select_is_chan(u) && u->chan)
            select_add_chan(s, u->chan);
        else if (u->kind == SENNIT_CASE_TIMER)
            c->ready = u->at <= sennit_now();
        else if (u->kind == SENNIT_CASE_CTX)
            c->ready = sennit_ctx_error(u->ctx) != NULL;
        else if (select_is_fd(u))
            select_open_fd(c, u);
        else
            c->on = false;
    }
}

/* which: the case that was claimed; a claimed channel waiter is off its queue. */
static void select_take_back(struct select_wait *s, int which, bool waited)
{
    for (int i = 0; i < s->n; i++) {
        struct select_case *c = &s->cases[i];
        const sennit_case *u = select_user(s, i);
        if (!c->hung)
            continue;
        if (select_is_chan(u) && i != which) {
            lock_take(&u->chan->lock, LOCK_PRIM);
            chan_dequeue(u->chan, &c->u.chan);
            lock_drop(&u->chan->lock, LOCK_PRIM);
        } else if (u->kind == SENNIT_CASE_TIMER) {
            rt_timer_stop_wait(&c->u.timer);
        } else if (u->kind == SENNIT_CASE_CTX) {
            ctx_watch_del(&c->u.watch);
            ctx_leave(u->ctx);
        } else if (select_is_fd(u) && waited) {
            fdwatch_free(c->u.fd);
        } else if (select_is_fd(u)) {
            sys.close(c->u.ep);
        }
    }
}

static int select_run(struct select_wait *s, sennit_ctx *ctx)
{
    memset(&s->once, 0, offsetof(struct prim_once, watch));
    select_prepare(s);
    select_lock(s);
    int which = select_try_all(s);
    bool waits = which < 0;
    if (waits)
        select_hang_chans(s);
    select_unlock(s);
    if (waits) {
        for (int i = 0; i < s->n; i++)
            if (s->cases[i].on)
                select_hang(&s->cases[i], select_user(s, i));
        which = prim_wait(&s->once, ctx, "waiting in select");
        if (which >= 0)
            s->cases[which].ok = s->once.ok;
    }
    select_take_back(s, which, waits);
    if (which >= 0)
        select_user(s, which)->ok = s->cases[which].ok;
    return which;
}

int sennit_select_sized(sennit_ctx *ctx, sennit_case *cases, int n, size_t stride)
{
    struct select_wait s = { .n = n < 0 ? 0 : n, .user = (char *)cases, .stride = stride };
    if (n <= SELECT_FEW) {
        struct select_case few[SELECT_FEW];
        sennit_chan *chans[SELECT_FEW];
        s.cases = few, s.chans = chans;
        return select_run(&s, ctx);
    }
    size_t each = sizeof *s.cases + sizeof *s.chans;
    s.cases = (size_t)n < SIZE_MAX / each ? sys.malloc((size_t)n * each) : NULL;
    if (!s.cases)
        return -1;
    s.chans = (sennit_chan **)(s.cases + n);
    int which = select_run(&s, ctx);
    sys.free(s.cases);
    return which;
}
