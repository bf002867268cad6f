/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * chan.c: channels, for goroutines and plain threads alike. An element goes from the sender's
 * memory straight to a waiting receiver's, or through a ring of `capacity` elements. Who finds a
 * waiter claims its once (a select waits on several channels and only one may have it), copies,
 * takes it off the queue and wakes it: the woken one need not come back to the channel. A waiter
 * without a context needs no once: it parks with the lock held, which is dropped once its registers
 * are saved (two locked instructions instead of seven). A waiter
 * that cannot be claimed is passed over; its owner is about to take it off.
 *
 * Free closes, then waits until the queues are empty: those inside were told, or are leaving. */
#include "base/sys.h"
#include "rt/chan_private.h"

static struct sennit_chan chan_lame = {
    .lame = true,
    .closed = true,
    .senders = { &chan_lame.senders, &chan_lame.senders },
    .receivers = { &chan_lame.receivers, &chan_lame.receivers },
};

static struct chan_waiter *chan_waiter_of(struct list *n)
{
    return container_of(n, struct chan_waiter, node);
}

/* The first waiter that could be claimed, off the queue, or NULL. */
static struct chan_waiter *chan_claim(struct list *queue)
{
    list_each(n, queue)
    {
        struct chan_waiter *w = chan_waiter_of(n);
        if (!w->once || prim_claim(w->once)) {
            list_remove(n);
            return w;
        }
    }
    return NULL;
}

/* The last touch of w. */
static void chan_done(struct chan_waiter *w, bool ok)
{
    if (w->once) {
        prim_done(w->once, w->index, ok);
        return;
    }
    w->ok = ok;
    rt_unpark(w->g);
}

static inline void chan_copy(const struct sennit_chan *c, void *to, const void *from)
{
    if (!to || !from)
        return;
    if (likely(c->elem_size == sizeof(void *)))
        memcpy(to, from, sizeof(void *)); /* without a call */
    else
        memcpy(to, from, c->elem_size);
}

static char *chan_slot(struct sennit_chan *c, size_t i)
{
    size_t at = c->head + i;
    return c->buf + (at >= c->capacity ? at - c->capacity : at) * c->elem_size;
}

/* -- halves ---------------------------------------------------------------------------------- */

bool chan_try_send(struct sennit_chan *c, const void *from, bool *ok)
{
    *ok = !c->closed;
    if (c->closed)
        return true;
    struct chan_waiter *w = chan_claim(&c->receivers);
    if (w) {
        chan_copy(c, w->elem.to, from);
        chan_done(w, true);
        return true;
    }
    if (c->len == c->capacity)
        return false;
    chan_copy(c, chan_slot(c, c->len++), from);
    return true;
}

bool chan_try_recv(struct sennit_chan *c, void *to, bool *ok)
{
    struct chan_waiter *w = NULL;
    *ok = true;
    if (c->len) {
        chan_copy(c, to, chan_slot(c, 0));
        c->head = c->head + 1 == c->capacity ? 0 : c->head + 1;
        c->len--;
        w = chan_claim(&c->senders);
        if (w)
            chan_copy(c, chan_slot(c, c->len++), w->elem.from);
    } else {
        w = chan_claim(&c->senders);
        if (!w) {
            *ok = false;
            return c->closed;
        }
        chan_copy(c, to, w->elem.from);
    }
    if (w)
        chan_done(w, true);
    return true;
}

void chan_dequeue(struct sennit_chan *c, struct chan_waiter *w)
{
    list_remove(&w->node);
    if (c->leaver && list_empty(&c->senders) && list_empty(&c->receivers))
        rt_note_set(c->leaver);
}

static void chan_close_queue(struct list *queue)
{
    struct chan_waiter *w;
    while ((w = chan_claim(queue)))
        chan_done(w, false);
}

/* -- public ---------------------------------------------------------------------------------- */

sennit_chan *sennit_chan_new(size_t elem_size, size_t capacity)
{
    size_t size;
    if (__builtin_mul_overflow(elem_size, capacity, &size) ||
        __builtin_add_overflow(size, sizeof(struct sennit_chan), &size))
        return &chan_lame;
    struct sennit_chan *c = sys.malloc(size);
    if (!c)
        return &chan_lame;
    memset(c, 0, sizeof *c);
    c->elem_size = elem_size;
    c->capacity = capacity;
    list_init(&c->senders);
    list_init(&c->receivers);
    return c;
}

static sennit_err chan_wait_ctx(sennit_chan *c, sennit_ctx *ctx, struct chan_waiter *w,
                                const char *reason)
{
    struct prim_once once;
    memset(&once, 0, offsetof(struct prim_once, watch));
    w->once = &once;
    w->index = 0;
    lock_drop(&c->lock, LOCK_PRIM);
    if (prim_wait(&once, ctx, reason) == PRIM_CTX) {
        lock_take(&c->lock, LOCK_PRIM);
        chan_dequeue(c, w);
        lock_drop(&c->lock, LOCK_PRIM);
        return once.err;
    }
    return once.ok ? NULL : sennit_closed;
}

/* Parks in queue, whose lock is held and dropped here. elem: see there. */
static inline sennit_err chan_wait(sennit_chan *c, sennit_ctx *ctx, struct list *queue,
                                   const void *elem, const char *reason)
{
    struct chan_waiter w;
    w.once = NULL;
    w.elem.from = elem;
    list_push_back(queue, &w.node);
    if (unlikely(ctx != NULL))
        return chan_wait_ctx(c, ctx, &w, reason);
    rt_park_under(&c->lock, &w.g, reason);
    return w.ok ? NULL : sennit_closed;
}

static sennit_err chan_result(const struct sennit_chan *c, bool ok)
{
    return likely(ok) ? NULL : c == &chan_lame ? sennit_no_memory : sennit_closed;
}

/* The first in queue if it waits for this channel alone, who thus can be had; or NULL. */
static inline struct chan_waiter *chan_plain(struct list *queue)
{
    struct chan_waiter *w = chan_waiter_of(queue->next);
    return likely(queue->next != queue) && likely(!w->once) ? w : NULL;
}

/* The element has gone between w, which chan_plain gave, and the caller. The lock is dropped before
 * w is woken: until then w stays where it is, for nobody else knows it any more. */
static inline sennit_err chan_met(struct sennit_chan *c, struct chan_waiter *w)
{
    struct rt_g *g = w->g;
    w->node.next->prev = w->node.prev, w->node.prev->next = w->node.next;
    w->ok = true;
    lock_drop(&c->lock, LOCK_PRIM);
    rt_unpark(g);
    return NULL;
}

sennit_err sennit_chan_send(sennit_chan *c, sennit_ctx *ctx, const void *elem)
{
    bool ok;
    lock_take(&c->lock, LOCK_PRIM);
    struct chan_waiter *w = chan_plain(&c->receivers);
    if (w) {
        chan_copy(c, w->elem.to, elem);
        return chan_met(c, w);
    }
    bool full = c->len == c->capacity && list_empty(&c->receivers) && !c->closed;
    if (!full && chan_try_send(c, elem, &ok)) {
        lock_drop(&c->lock, LOCK_PRIM);
        return chan_result(c, ok);
    }
    return chan_wait(c, ctx, &c->senders, elem, "sending to a channel");
}

sennit_err sennit_chan_recv(sennit_chan *c, sennit_ctx *ctx, void *elem)
{
    bool ok;
    lock_take(&c->lock, LOCK_PRIM);
    struct chan_waiter *w = c->len ? NULL : chan_plain(&c->senders);
    if (w) {
        chan_copy(c, elem, w->elem.from);
        return chan_met(c, w);
    }
    bool empty = c->len == 0 && list_empty(&c->senders) && !c->closed;
    if (!empty && chan_try_recv(c, elem, &ok)) {
        lock_drop(&c->lock, LOCK_PRIM);
        return chan_result(c, ok);
    }
    return chan_wait(c, ctx, &c->receivers, elem, "receiving from a channel");
}

sennit_err sennit_chan_close(sennit_chan *c)
{
    lock_take(&c->lock, LOCK_PRIM);
    bool was = c->closed;
    c->closed = true;
    chan_close_queue(&c->receivers);
    chan_close_queue(&c->senders);
    lock_drop(&c->lock, LOCK_PRIM);
    return was ? sennit_closed : NULL;
}

void sennit_chan_free(sennit_chan *c)
{
    if (!c || c == &chan_lame)
        return;
    struct rt_note note = { 0 };
    (void)sennit_chan_close(c);
    lock_take(&c->lock, LOCK_PRIM);
    c->leaver = &note;
    while (!list_empty(&c->senders) || !list_empty(&c->receivers)) {
        lock_drop(&c->lock, LOCK_PRIM);
        rt_note_wait(&note, "waiting until others have left a channel");
        lock_take(&c->lock, LOCK_PRIM);
    }
    lock_drop(&c->lock, LOCK_PRIM);
    sys.free(c);
}
