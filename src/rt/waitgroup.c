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
        if (w->guard)
            prim_push_back(&rest, w);
        else
            rt_note_set(&w->note);
    return rest;
}

static void waitgroup_change(struct waitgroup_rep *g, int64_t n)
{
    struct prim_waiter *rest = NULL, *w;
    int64_t c = atomic_load_explicit(&g->count, memory_order_relaxed);
    while (c + n > 0)
        if (atomic_compare_exchange_weak_explicit(&g->count, &c, c + n, memory_order_acq_rel,
                                                  memory_order_relaxed))
            return;
    lock_take(&g->guard, LOCK_PRIM);
    int64_t now = atomic_fetch_add_explicit(&g->count, n, memory_order_acq_rel) + n;
    if (now < 0)
        prim_misuse("a wait group is done more often than was added");
    if (now == 0)
        rest = waitgroup_wake(g);
    lock_drop(&g->guard, LOCK_PRIM);
    while ((w = prim_pop(&rest)))
        rt_unpark(w->g);
}

void sennit_wait_group_add(sennit_wait_group *group, int n)
{
    waitgroup_change((struct waitgroup_rep *)group, n);
}

void sennit_wait_group_done(sennit_wait_group *group)
{
    waitgroup_change((struct waitgroup_rep *)group, -1);
}

sennit_err sennit_wait_group_wait(sennit_wait_group *group, sennit_ctx *ctx)
{
    struct waitgroup_rep *g = (struct waitgroup_rep *)group;
    struct prim_waiter w = { .guard = NULL };
    lock_take(&g->guard, LOCK_PRIM);
    bool waits = atomic_load_explicit(&g->count, memory_order_acquire) > 0;
    if (waits)
        prim_push_back(&g->waiters, &w);
    if (waits && !ctx) {
        w.guard = &g->guard;
        prim_park(&w, "waiting for a wait group");
        return NULL;
    }
    lock_drop(&g->guard, LOCK_PRIM);
    if (!waits)
        return NULL;
    sennit_err ended = ctx_note_wait(ctx, &w.note, "waiting for a wait group");
    lock_take(&g->guard, LOCK_PRIM);
    if (w.next)
        prim_remove(&g->waiters, &w);
    else
        ended = NULL;
    lock_drop(&g->guard, LOCK_PRIM);
    return ended;
}
