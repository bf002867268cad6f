/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * defer.c: deferred flushes. Each worker has a list of its own (by its index), so that what one
 * worker makes dirty is batched there; any thread may flush any list.
 *
 *   defer   1 queued 0 -> 1 (RMW; was 1: done)  2 linked under the list's lock
 *   flush   1 popped under the lock, running + 1  2 queued = 0 (RMW)  3 fn  4 running - 1
 *   cancel  1 taken off its list if it is on one  2 waits until running is 0
 * Step 1 of defer and step 2 of flush are read-modify-writes of one word: who finds queued == 1 has
 * its changes seen by the fn that comes, and who links d again does so after it was taken off. A
 * flush touches d last in step 4 (a futex wake by address may follow), so that who waits in cancel
 * may free it. All else is ordered by the list's lock. */
#include "rt/rt_private.h"

enum { DEFER_LISTS = 64, DEFER_WAITER = 1u << 31, DEFER_NS = 50000 };

struct defer_list {
    _Alignas(64) struct lock lock;
    struct list head; /* oldest first; guarded by lock */
    _Atomic uint32_t len;
    _Atomic int64_t oldest; /* since of the first */
};
static struct defer_list defer_lists[DEFER_LISTS];

static struct defer_list *defer_of(unsigned index) { return &defer_lists[index % DEFER_LISTS]; }

void rt_defer_init(struct rt_defer *d, void (*fn)(struct rt_defer *d))
{
    list_init(&d->node);
    d->fn = fn;
    atomic_init(&d->queued, 0);
    atomic_init(&d->running, 0);
    atomic_init(&d->list, 0);
    d->since = 0;
}

static void defer_finished(struct rt_defer *d)
{
    _Atomic uint32_t *running = &d->running;
    if (atomic_fetch_sub_explicit(running, 1, memory_order_release) == (DEFER_WAITER | 1))
        sys.futex_wake(running, INT32_MAX);
}

static void defer_run(struct rt_defer *d)
{
    atomic_exchange_explicit(&d->queued, 0, memory_order_acq_rel);
    d->fn(d);
    defer_finished(d);
}

void rt_defer(struct rt_defer *d)
{
    if (atomic_exchange_explicit(&d->queued, 1, memory_order_acq_rel))
        return;
    struct rt_worker *w = rt_worker();
    if (!w && !rt_is_helper()) {
        atomic_fetch_add_explicit(&d->running, 1, memory_order_relaxed);
        defer_run(d);
        return;
    }
    uint32_t index = w ? w->index % DEFER_LISTS : 0;
    struct defer_list *l = defer_of(index);
    int64_t now = sys_now();
    lock_take(&l->lock, LOCK_TIMER);
    if (!l->head.next)
        list_init(&l->head);
    if (list_empty(&l->head))
        atomic_store_explicit(&l->oldest, now, memory_order_relaxed);
    d->since = now;
    atomic_store_explicit(&d->list, index, memory_order_relaxed);
    list_push_back(&l->head, &d->node);
    atomic_fetch_add_explicit(&l->len, 1, memory_order_relaxed);
    lock_drop(&l->lock, LOCK_TIMER);
    if (w)
        rt_call_self(w);
}

/* Under l's lock. */
static void defer_unlink(struct defer_list *l, struct rt_defer *d)
{
    list_remove(&d->node);
    atomic_fetch_sub_explicit(&l->len, 1, memory_order_relaxed);
    if (!list_empty(&l->head))
        atomic_store_explicit(&l->oldest, container_of(l->head.next, struct rt_defer, node)->since,
                              memory_order_relaxed);
}

/* One that was queued before `before`. */
static struct rt_defer *defer_pop(struct defer_list *l, int64_t before)
{
    struct rt_defer *d = NULL;
    lock_take(&l->lock, LOCK_TIMER);
    if (l->head.next && !list_empty(&l->head)) {
        d = container_of(l->head.next, struct rt_defer, node);
        if (d->since > before) {
            d = NULL;
        } else {
            defer_unlink(l, d);
            atomic_fetch_add_explicit(&d->running, 1, memory_order_relaxed);
        }
    }
    lock_drop(&l->lock, LOCK_TIMER);
    return d;
}

bool rt_defer_pending(unsigned index)
{
    return atomic_load_explicit(&defer_of(index)->len, memory_order_relaxed) != 0;
}

_Atomic uint32_t *rt_defer_count(unsigned index) { return &defer_of(index)->len; }

bool rt_defer_old(struct rt_worker *w)
{
    return sys_now() - atomic_load_explicit(&defer_of(w->index)->oldest, memory_order_relaxed) >=
           DEFER_NS;
}

/* Those queued until now; what their functions queue waits for the next flush. */
void rt_defer_flush(unsigned index)
{
    if (!rt_defer_pending(index))
        return;
    int64_t now = sys_now();
    for (struct rt_defer *d; (d = defer_pop(defer_of(index), now)) != NULL;)
        defer_run(d);
}

void rt_defer_flush_old(int64_t before)
{
    for (unsigned i = 0; i < DEFER_LISTS; i++)
        if (rt_defer_pending(i))
            for (struct rt_defer *d; (d = defer_pop(defer_of(i), before)) != NULL;)
                defer_run(d);
}

void rt_defer_cancel(struct rt_defer *d)
{
    for (;;) {
        uint32_t index = atomic_load_explicit(&d->list, memory_order_relaxed);
        struct defer_list *l = defer_of(index);
        lock_take(&l->lock, LOCK_TIMER);
        bool same = atomic_load_explicit(&d->list, memory_order_relaxed) == index;
        if (same && !list_empty(&d->node)) {
            defer_unlink(l, d);
            atomic_exchange_explicit(&d->queued, 0, memory_order_relaxed);
        }
        lock_drop(&l->lock, LOCK_TIMER);
        if (!same)
            continue;
        uint32_t n = atomic_load_explicit(&d->running, memory_order_acquire);
        if ((n & ~DEFER_WAITER) == 0 && !atomic_load_explicit(&d->queued, memory_order_relaxed))
            break;
        if (n & ~DEFER_WAITER) {
            uint32_t want = n | DEFER_WAITER;
            if (n == want || atomic_compare_exchange_strong_explicit(
                                 &d->running, &n, want, memory_order_relaxed, memory_order_relaxed))
                sys.futex_wait(&d->running, want, NULL);
        } else {
            rt_relax(); /* between queued = 1 and the list */
        }
    }
    atomic_store_explicit(&d->running, 0, memory_order_relaxed);
}

/* At the end of rt_shutdown: nobody else runs. */
void rt_defer_stop(void) { memset(defer_lists, 0, sizeof defer_lists); }
