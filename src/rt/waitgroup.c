/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * waitgroup.c: sennit_wait_group. The step to zero is made under the guard, and who sees zero
 * passes through the guard before it returns, or is woken after it was dropped: so a waiter may
 * free the wait group at once, though the last one to be done is still on its way out. Any
 * goroutine or thread. */
#include "rt/prim.h"

struct waitgroup_rep {
    _Atomic int64_t count;
    struct lock guard;
    struct prim_waiter *waiters; /* guarded */
} __attribute__((may_alias));
_Static_assert(sizeof(struct waitgroup_rep) <= sizeof(sennit_wait_group), "large enough");

/* Locked: the count has come to zero. Those with a note are woken; the others are left in a ring of
 * their own, to be woken when the guard is dropped. */
static struct prim_waiter *waitgroup_wake(struct waitgroup_rep *g)
{
    struct prim_waiter *w, *rest = NULL;
    while ((w = prim_pop(&g->waiters)))
        if (w->g)
            prim_push_back(&rest, w);
        else
            rt_note_set(&w->note);
    return rest;
}

void sennit_wait_group_add(sennit_wait_group *group, int n)
{
    struct waitgroup_rep *g = (struct waitgroup_rep *)group;
    while (n < 0) {
        sennit_wait_group_done(group);
        n++;
    }
    atomic_fetch_add_explicit(&g->count, n, memory_order_relaxed);
}

void sennit_wait_group_done(sennit_wait_group *group)
{
    struct waitgroup_rep *g = (struct waitgroup_rep *)group;
    struct prim_waiter *rest = NULL, *w;
    int64_t c = atomic_load_explicit(&g->count, memory_order_relaxed);
    while (c > 1)
        if (atomic_compare_exchange_weak_explicit(&g->count, &c, c - 1, memory_order_release,
                                                  memory_order_relaxed))
            return;
    lock_take(&g->guard, LOCK_PRIM);
    int64_t now = atomic_fetch_sub_explicit(&g->count, 1, memory_order_acq_rel) - 1;
    if (now < 0)
        prim_misuse("a wait group is done more often than was added");
    if (now == 0 && g->waiters)
        rest = waitgroup_wake(g);
    lock_drop(&g->guard, LOCK_PRIM);
    while ((w = prim_pop(&rest)))
        rt_unpark(w->g);
}

static sennit_err waitgroup_wait_ctx(struct waitgroup_rep *g, struct prim_waiter *w,
                                     sennit_ctx *ctx)
{
    lock_drop(&g->guard, LOCK_PRIM);
    sennit_err ended = ctx_note_wait(ctx, &w->note, "waiting for a wait group");
    lock_take(&g->guard, LOCK_PRIM);
    if (w->next)
        prim_remove(&g->waiters, w);
    else
        ended = NULL;
    lock_drop(&g->guard, LOCK_PRIM);
    return ended;
}

sennit_err sennit_wait_group_wait(sennit_wait_group *group, sennit_ctx *ctx)
{
    struct waitgroup_rep *g = (struct waitgroup_rep *)group;
    lock_take(&g->guard, LOCK_PRIM);
    if (atomic_load_explicit(&g->count, memory_order_acquire) <= 0) {
        lock_drop(&g->guard, LOCK_PRIM);
        return NULL;
    }
    struct prim_waiter w = { .g = NULL };
    prim_push_back(&g->waiters, &w);
    if (ctx)
        return waitgroup_wait_ctx(g, &w, ctx);
    rt_park_under(&g->guard, &w.g, "waiting for a wait group");
    return NULL;
}
