/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * runq.c: where runnable items wait: a ring and a hand-off slot (LIFO) of each worker, an inbox for
 * what must run on one worker, and global queues.
 *
 * The ring's protocol. tail is written by the owner alone, head by who takes something.
 *   push   1 h = head (acquire)  2 if tail - h < size: ring[tail % size] = item
 *          3 tail + 1 (release)
 *   steal  1 h = head  2 t = tail (acquire)  3 copies half of h..t
 *          4 CAS head h -> h + n (release), else again
 *   pop, shared  1 h = head  2 item = ring[h % size]  3 CAS head h -> h + 1, else again
 * Step 3 of push orders the item before the tail that a thief acquires. A thief that read a slot
 * which the owner has since reused has also read an old h: its CAS fails, since head only grows
 * (2^32 wraps between the two steps of one thief are not possible). Step 4 of steal, acquired by
 * step 1 of push, brings the owner's reuse of a slot after the thief's read of it. The owner's own
 * reads need no order: it reads what it wrote.
 * The LIFO slot is filled by its owner alone; a thief takes it only from a worker that has been in
 * the same tick for 3 us (rt_lifo_steal).
 *
 * Most workers are never stolen from, and a locked instruction is a quarter of a switch. So ring
 * and slot are OWNED at first: then their owner takes from them by plain loads and stores, and a
 * thief must claim them first. Thieves do all under steal_lock.
 *   pop    1 popping = 1  2 asym_light  3 claim is OWNED: takes  4 popping = 0; else 4, pop shared
 *   claim  1 claim = CLAIMED  2 asym_heavy  3 waits until popping is 0  4 claim = SHARED
 *   turn   1, 2 and 3 as pop  4 ring[tail] = who leaves, head + 1, tail + 1  5 its registers are
 *          saved, the stack is changed  6 popping = 0
 *   own    (the owner, after RUNQ_OWN_AFTER pops without a theft; under steal_lock) claim = OWNED
 * A pop that read OWNED though 1 of claim is done did so before the heavy fence: then 3 of claim
 * sees that it is popping, or all that it wrote. A turn (a yield) is a pop that lasts until the
 * switch is over: so who leaves may stand in the ring before its registers are saved, for nobody
 * can take it before 6, and 6 brings what was saved. Without the fence the thief goes away, and the
 * owner's next pop, which is none that owns, sets SHARED itself. The fence costs the thief 1 to
 * 2 us and the owner 1: as much as RUNQ_OWN_AFTER pops save. */
#include "rt/rt_private.h"

enum { RUNQ_BATCH = RT_RING / 8, RUNQ_OWN_AFTER = 1024, RUNQ_PATIENCE = 1000 };

static void runq_list_push(uintptr_t *head, uintptr_t *tail, uintptr_t first, uintptr_t last)
{
    rt_item_link(last, 0);
    if (*tail)
        rt_item_link(*tail, first);
    else
        *head = first;
    *tail = last;
}

static uintptr_t runq_list_pop(uintptr_t *head, uintptr_t *tail)
{
    uintptr_t item = *head;
    *head = rt_item_next(item);
    if (!*head)
        *tail = 0;
    return item;
}

/* Under the lock: so many more. Who reads it without the lock guesses, or comes after a fence; who
 * makes work known passes one in rt_wake_one. The same holds for inbox_len. */
static void runq_count(uint32_t more)
{
    _Atomic uint32_t *len = &rt_state.queue_len;
    atomic_store_explicit(len, atomic_load_explicit(len, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

void rt_global_push(uintptr_t first, uintptr_t last, uint32_t n)
{
    struct rt_state *s = &rt_state;
    lock_take(&s->queue_lock, LOCK_SCHED);
    runq_list_push(&s->queue_head, &s->queue_tail, first, last);
    runq_count(n);
    lock_drop(&s->queue_lock, LOCK_SCHED);
}

/* The ring is full: a good part of it goes to the global queue, with the new item. */
static bool runq_overflow(struct rt_worker *w, uintptr_t item, uint32_t h)
{
    uintptr_t batch[RUNQ_BATCH + 1];
    uint32_t n = RUNQ_BATCH;
    for (uint32_t i = 0; i < n; i++)
        batch[i] = atomic_load_explicit(&w->ring[(h + i) % RT_RING], memory_order_relaxed);
    if (!atomic_compare_exchange_strong_explicit(&w->head, &h, h + n, memory_order_relaxed,
                                                 memory_order_relaxed))
        return false;
    batch[n++] = item;
    for (uint32_t i = 0; i + 1 < n; i++)
        rt_item_link(batch[i], batch[i + 1]);
    rt_global_push(batch[0], batch[n - 1], n);
    return true;
}

void rt_ring_push_slow(struct rt_worker *w, uintptr_t item)
{
    for (;;) {
        uint32_t h = atomic_load_explicit(&w->head, memory_order_relaxed);
        uint32_t t = atomic_load_explicit(&w->tail, memory_order_relaxed);
        if (t - h < RT_RING) {
            rt_ring_push(w, item);
            return;
        }
        if (runq_overflow(w, item, h))
            return;
    }
}

uint32_t rt_ring_len(struct rt_worker *w)
{
    uint32_t h = atomic_load_explicit(&w->head, memory_order_relaxed);
    uint32_t n = atomic_load_explicit(&w->tail, memory_order_relaxed) - h;
    return n > RT_RING ? RT_RING : n; /* h was old */
}

uint32_t rt_local_len(struct rt_worker *w)
{
    return rt_ring_len(w) + (atomic_load_explicit(&w->lifo, memory_order_relaxed) != 0);
}

static void runq_own(struct rt_worker *w)
{
    uint32_t stolen = atomic_load_explicit(&w->stolen, memory_order_relaxed);
    bool quiet = stolen == w->seen_stolen;
    w->unstolen = 0;
    w->seen_stolen = stolen;
    if (!quiet || !rt_state.can_claim)
        return;
    lock_take(&w->steal_lock, LOCK_SCHED);
    atomic_store_explicit(&w->claim, RT_OWNED, memory_order_relaxed);
    lock_drop(&w->steal_lock, LOCK_SCHED);
}

static uintptr_t runq_pop(struct rt_worker *w)
{
    for (;;) {
        uint32_t h = atomic_load_explicit(&w->head, memory_order_relaxed);
        uint32_t n = atomic_load_explicit(&w->tail, memory_order_relaxed) - h;
        if (n == 0)
            return 0;
        uintptr_t item = rt_ring_slot(w, h);
        if (likely(atomic_compare_exchange_weak_explicit(&w->head, &h, h + 1, memory_order_relaxed,
                                                         memory_order_relaxed))) {
            if (n > 4)
                rt_prefetch(rt_ring_slot(w, h + 2), rt_ring_slot(w, h + 4));
            return item;
        }
    }
}

/* rt_local_pop of what thieves may take from. */
uintptr_t rt_shared_pop(struct rt_worker *w)
{
    if (unlikely(atomic_load_explicit(&w->claim, memory_order_relaxed) == RT_CLAIMED))
        atomic_store_explicit(&w->claim, RT_SHARED, memory_order_release);
    if (unlikely(++w->unstolen >= RUNQ_OWN_AFTER))
        runq_own(w);
    if (atomic_load_explicit(&w->lifo, memory_order_relaxed)) {
        uintptr_t item = w->lifo_run >= 3 ? runq_pop(w) : 0;
        w->lifo_run = item ? 0 : w->lifo_run + 1;
        if (!item)
            item = atomic_exchange_explicit(&w->lifo, 0, memory_order_relaxed); /* our own */
        if (item)
            return item;
    }
    w->lifo_run = 0;
    return runq_pop(w);
}

/* Under steal_lock. False: from does not give anything away just now. */
static bool runq_claim(struct rt_worker *from)
{
    uint32_t claim = atomic_load_explicit(&from->claim, memory_order_acquire);
    if (likely(claim == RT_SHARED))
        return true;
    atomic_store_explicit(&from->claim, RT_CLAIMED, memory_order_relaxed);
    if (!asym_heavy())
        return false;
    for (int i = 0; atomic_load_explicit(&from->popping, memory_order_acquire); i++) {
        if (i == RUNQ_PATIENCE)
            return false; /* it was preempted there */
        rt_relax();
    }
    atomic_store_explicit(&from->claim, RT_SHARED, memory_order_relaxed);
    return true;
}

/* Moves half of from's ring into w's, which is empty, and returns one of them. */
static uintptr_t runq_take_half(struct rt_worker *w, struct rt_worker *from)
{
    uint32_t t = atomic_load_explicit(&w->tail, memory_order_relaxed);
    for (;;) {
        uint32_t h = atomic_load_explicit(&from->head, memory_order_relaxed);
        uint32_t n = atomic_load_explicit(&from->tail, memory_order_acquire) - h;
        n -= n / 2;
        if (n == 0)
            return 0;
        if (n > RT_RING / 2)
            continue; /* head and tail were not of one moment */
        for (uint32_t i = 0; i < n; i++)
            atomic_store_explicit(&w->ring[(t + i) % RT_RING], rt_ring_slot(from, h + i),
                                  memory_order_relaxed);
        if (!atomic_compare_exchange_strong_explicit(&from->head, &h, h + n, memory_order_release,
                                                     memory_order_relaxed))
            continue;
        uintptr_t item = rt_ring_slot(w, t + n - 1);
        atomic_store_explicit(&w->tail, t + n - 1, memory_order_release);
        return item;
    }
}

static void runq_stolen(struct rt_worker *from)
{
    atomic_store_explicit(&from->stolen,
                          atomic_load_explicit(&from->stolen, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

uintptr_t rt_ring_steal(struct rt_worker *w, struct rt_worker *from)
{
    if (rt_ring_len(from) == 0)
        return 0;
    lock_take(&from->steal_lock, LOCK_SCHED);
    uintptr_t item = runq_claim(from) ? runq_take_half(w, from) : 0;
    if (item)
        runq_stolen(from);
    lock_drop(&from->steal_lock, LOCK_SCHED);
    return item;
}

uintptr_t rt_lifo_steal(struct rt_worker *from)
{
    uintptr_t item = atomic_load_explicit(&from->lifo, memory_order_relaxed);
    uint64_t tick = atomic_load_explicit(&from->tick, memory_order_relaxed);
    if (!item)
        return 0;
    for (int64_t end = sys_now() + 3000; sys_now() < end;)
        rt_relax();
    if (atomic_load_explicit(&from->tick, memory_order_relaxed) != tick ||
        atomic_load_explicit(&from->lifo, memory_order_relaxed) != item)
        return 0;
    lock_take(&from->steal_lock, LOCK_SCHED);
    item = runq_claim(from) ? atomic_exchange_explicit(&from->lifo, 0, memory_order_acquire) : 0;
    if (item)
        runq_stolen(from);
    lock_drop(&from->steal_lock, LOCK_SCHED);
    return item;
}

/* One item, and a fair share of the others into w's ring. */
uintptr_t rt_global_pop(struct rt_worker *w)
{
    struct rt_state *s = &rt_state;
    if (atomic_load_explicit(&s->queue_len, memory_order_relaxed) == 0)
        return 0;
    uint32_t room = (RT_RING - rt_ring_len(w)) / 2;
    lock_take(&s->queue_lock, LOCK_SCHED);
    uint32_t len = atomic_load_explicit(&s->queue_len, memory_order_relaxed);
    uintptr_t item = len ? runq_list_pop(&s->queue_head, &s->queue_tail) : 0;
    uint32_t n = len / (s->target + 1);
    n = n > room ? room : n;
    n = n + 1 > len ? (len ? len - 1 : 0) : n;
    for (uint32_t i = 0; i < n; i++)
        rt_ring_push(w, runq_list_pop(&s->queue_head, &s->queue_tail)); /* there is room */
    runq_count(-(n + (item != 0)));
    lock_drop(&s->queue_lock, LOCK_SCHED);
    return item;
}

void rt_inbox_push(struct rt_worker *w, uintptr_t item)
{
    lock_take(&w->inbox_lock, LOCK_SCHED);
    runq_list_push(&w->inbox_head, &w->inbox_tail, item, item);
    atomic_fetch_add_explicit(&w->inbox_len, 1, memory_order_relaxed);
    rt_call_worker(w);
    lock_drop(&w->inbox_lock, LOCK_SCHED);
}

uintptr_t rt_inbox_pop(struct rt_worker *w)
{
    if (atomic_load_explicit(&w->inbox_len, memory_order_relaxed) == 0)
        return 0;
    uintptr_t item = 0;
    lock_take(&w->inbox_lock, LOCK_SCHED);
    if (w->inbox_head) {
        item = runq_list_pop(&w->inbox_head, &w->inbox_tail);
        atomic_fetch_sub_explicit(&w->inbox_len, 1, memory_order_relaxed);
    }
    lock_drop(&w->inbox_lock, LOCK_SCHED);
    return item;
}

/* No stack could be had for g: it waits until one comes free, or until an idle worker tries again
 * (see rt_idle_limit), which the poller is told that sleeps longer. */
void rt_starve(struct rt_g *g)
{
    struct rt_state *s = &rt_state;
    lock_take(&s->queue_lock, LOCK_SCHED);
    g->next = s->starving;
    s->starving = rt_item_g(g);
    atomic_fetch_add(&s->starved, 1);
    lock_drop(&s->queue_lock, LOCK_SCHED);
    rt_netpoll_timer(rt_idle_limit());
}

void rt_starved_wake(void)
{
    struct rt_state *s = &rt_state;
    lock_take(&s->queue_lock, LOCK_SCHED);
    uint32_t n = 0;
    while (s->starving) {
        uintptr_t item = s->starving;
        s->starving = rt_item_next(item);
        runq_list_push(&s->queue_head, &s->queue_tail, item, item);
        n++;
    }
    atomic_store_explicit(&s->starved, 0, memory_order_relaxed);
    runq_count(n);
    lock_drop(&s->queue_lock, LOCK_SCHED);
}

/* Fresh goroutines that a worker kept for resumed ones came across. */
void rt_fresh_hold(struct rt_g *g)
{
    struct rt_state *s = &rt_state;
    lock_take(&s->queue_lock, LOCK_SCHED);
    g->next = s->fresh_head;
    s->fresh_head = rt_item_g(g);
    atomic_fetch_add_explicit(&s->fresh_len, 1, memory_order_relaxed);
    lock_drop(&s->queue_lock, LOCK_SCHED);
}

uintptr_t rt_fresh_pop(void)
{
    struct rt_state *s = &rt_state;
    if (atomic_load_explicit(&s->fresh_len, memory_order_relaxed) == 0)
        return 0;
    lock_take(&s->queue_lock, LOCK_SCHED);
    uintptr_t item = s->fresh_head;
    if (item) {
        s->fresh_head = rt_item_next(item);
        atomic_fetch_sub_explicit(&s->fresh_len, 1, memory_order_relaxed);
    }
    lock_drop(&s->queue_lock, LOCK_SCHED);
    return item;
}

/* At the end of rt_shutdown: nobody else runs. */
void rt_queue_reset(void)
{
    struct rt_state *s = &rt_state;
    s->queue_head = s->queue_tail = s->starving = s->fresh_head = 0;
    atomic_store(&s->queue_len, 0);
    atomic_store(&s->starved, 0);
    atomic_store(&s->fresh_len, 0);
}
