/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * timer.c: timers in hierarchical wheels of 65.5 us ticks: 256 slots, then seven levels of 64,
 * which reaches past any int64_t. A timer is bound to one wheel by rt_timer_init, for good: so its
 * lock guards all of the timer, and who sets, stops or moves it needs no search. O(1), no
 * allocation.
 *
 * Level and slot follow from the highest bit in which the timer's tick and the wheel's differ; when
 * the wheel comes to a slot of a higher level it spreads it over lower ones. A timer's tick is its
 * time rounded up, so it never fires early, and at most a tick (plus wake-up) late.
 *
 * Firing: one worker at a time works on a wheel (busy); it takes one timer under the lock, state
 * idle, firing = t, drops the lock, runs fn, and does not touch t again, which fn may have freed.
 * rt_timer_stop_wait waits while firing == t. A busy wheel says that it has nothing: what is due in
 * it is that worker's, and a poller that waited for it would spin. That worker says what comes next
 * when it leaves, and tells the poller as one who sets a timer does.
 *
 * Who waits for the next timer: `next` is a lower bound of a wheel's first, published (seq_cst)
 * before rt_netpoll_timer reads how long the poller sleeps; the poller publishes that and then
 * reads `next` again. One of them sees the other. */
#include "rt/rt_private.h"

#ifndef TIMER_WHEELS
#define TIMER_WHEELS 8
#endif
enum { TIMER_LEVELS = 8, TIMER_TICK = 16, TIMER_DUE = 0xffff };
enum timer_state { TIMER_IDLE, TIMER_ARMED };

struct timer_wheel {
    _Alignas(64) struct lock lock;
    _Atomic int64_t next; /* 0 before first use, else lower bound of the first, INT64_MAX: none */
    uint64_t tick;        /* all up to here have fired */
    int64_t armed;
    struct rt_timer *firing;
    bool busy;
    _Atomic uint32_t fired; /* futex of who waits for firing */
    uint32_t waiters;
    struct list due; /* already late when set */
    uint64_t map0[4], map[TIMER_LEVELS];
    struct list slot0[256], slot[TIMER_LEVELS][64]; /* slot[0] is not used */
};
static struct timer_wheel timer_wheels[TIMER_WHEELS];

static unsigned timer_shift(unsigned level) { return level ? 8 + 6 * (level - 1) : 0; }

static uint64_t timer_ticks(int64_t at) /* rounded up */
{
    return at <= 0 ? 0 : ((uint64_t)at + (1u << TIMER_TICK) - 1) >> TIMER_TICK;
}

static int64_t timer_time(uint64_t tick)
{
    return tick >> (63 - TIMER_TICK) ? INT64_MAX : (int64_t)(tick << TIMER_TICK);
}

/* Locked. The clock is read but once: an open wheel's tick needs not be the present one. */
static void timer_open(struct timer_wheel *w)
{
    if (likely(w->due.next != NULL))
        return;
    list_init(&w->due);
    w->tick = (uint64_t)sys_now() >> TIMER_TICK;
    atomic_store_explicit(&w->next, INT64_MAX, memory_order_relaxed);
}

/* Links t by its time; returns when the wheel must be looked at for it. */
static int64_t timer_insert(struct timer_wheel *w, struct rt_timer *t)
{
    uint64_t tick = timer_ticks(t->at);
    if (tick <= w->tick) {
        t->slot = TIMER_DUE;
        list_push_back(&w->due, &t->node);
        return t->at;
    }
    uint64_t diff = tick ^ w->tick;
    unsigned level = diff < 256 ? 0 : (63 - (unsigned)__builtin_clzll(diff) - 8) / 6 + 1;
    unsigned shift = timer_shift(level);
    unsigned index = (unsigned)(tick >> shift) & (level ? 63 : 255);
    struct list *slot = level ? &w->slot[level][index] : &w->slot0[index];
    uint64_t *map = level ? &w->map[level] : &w->map0[index / 64];
    uint64_t bit = (uint64_t)1 << (index % 64);
    if (!(*map & bit)) {
        list_init(slot);
        *map |= bit;
    }
    list_push_back(slot, &t->node);
    t->slot = (uint16_t)(level << 8 | index);
    return timer_time(tick >> shift << shift);
}

/* The lock orders it; a plain assignment would be a locked instruction. */
static inline void timer_state(struct rt_timer *t, enum timer_state state)
{
    atomic_store_explicit(&t->state, state, memory_order_relaxed);
}
static inline bool timer_armed(struct rt_timer *t)
{
    return atomic_load_explicit(&t->state, memory_order_relaxed) == TIMER_ARMED;
}

static void timer_remove(struct timer_wheel *w, struct rt_timer *t)
{
    bool last = t->node.next == t->node.prev;
    list_remove(&t->node);
    if (t->slot == TIMER_DUE || !last)
        return;
    unsigned level = t->slot >> 8, index = t->slot & 255;
    struct list *slot = level ? &w->slot[level][index] : &w->slot0[index];
    uint64_t *map = level ? &w->map[level] : &w->map0[index / 64];
    if (list_empty(slot))
        *map &= ~((uint64_t)1 << (index % 64));
}

/* The tick of the first slot that is not empty, UINT64_MAX: none. A lower level comes first. */
static uint64_t timer_first(const struct timer_wheel *w, unsigned *level, unsigned *index)
{
    for (unsigned i = 0; i < 4; i++)
        if (w->map0[i]) {
            *level = 0;
            *index = i * 64 + (unsigned)__builtin_ctzll(w->map0[i]);
            return (w->tick & ~(uint64_t)255) | *index;
        }
    for (unsigned l = 1; l < TIMER_LEVELS; l++)
        if (w->map[l]) {
            unsigned shift = timer_shift(l);
            *level = l;
            *index = (unsigned)__builtin_ctzll(w->map[l]);
            return (w->tick >> (shift + 6) << (shift + 6)) | (uint64_t)*index << shift;
        }
    return UINT64_MAX;
}

/* Under lock: moves on to now and returns one that is due, unlinked, or NULL. */
static struct rt_timer *timer_take(struct timer_wheel *w, uint64_t now)
{
    while (list_empty(&w->due)) {
        unsigned level = 0, index = 0;
        uint64_t tick = timer_first(w, &level, &index);
        if (tick > now) {
            w->tick = now > w->tick ? now : w->tick;
            atomic_store(&w->next, timer_time(tick));
            return NULL;
        }
        w->tick = tick;
        struct list *slot = level ? &w->slot[level][index] : &w->slot0[index];
        *(level ? &w->map[level] : &w->map0[index / 64]) &= ~((uint64_t)1 << (index % 64));
        while (!list_empty(slot))
            timer_insert(w, container_of(list_pop_front(slot), struct rt_timer, node));
    }
    struct rt_timer *t = container_of(w->due.next, struct rt_timer, node);
    list_remove(&t->node);
    timer_state(t, TIMER_IDLE);
    w->armed--;
    return t;
}

static void timer_run_wheel(struct timer_wheel *w, int64_t now)
{
    struct rt_timer *t;
    lock_take(&w->lock, LOCK_TIMER);
    if (w->busy || !w->due.next) {
        lock_drop(&w->lock, LOCK_TIMER);
        return;
    }
    w->busy = true;
    atomic_store_explicit(&w->next, INT64_MAX, memory_order_relaxed);
    while ((t = timer_take(w, (uint64_t)now >> TIMER_TICK)) != NULL) {
        w->firing = t;
        void (*fn)(struct rt_timer *) = t->fn;
        lock_drop(&w->lock, LOCK_TIMER);
        fn(t);
        lock_take(&w->lock, LOCK_TIMER);
        w->firing = NULL;
        if (w->waiters) {
            atomic_fetch_add_explicit(&w->fired, 1, memory_order_relaxed);
            sys.futex_wake(&w->fired, INT32_MAX);
        }
    }
    w->busy = false;
    int64_t next = atomic_load_explicit(&w->next, memory_order_relaxed);
    lock_drop(&w->lock, LOCK_TIMER);
    rt_netpoll_timer(next);
}

void rt_timers_run(int64_t now)
{
    for (unsigned i = 0; i < TIMER_WHEELS; i++) {
        int64_t next = atomic_load_explicit(&timer_wheels[i].next, memory_order_relaxed);
        if (next && next <= now)
            timer_run_wheel(&timer_wheels[i], now);
    }
}

int64_t rt_timers_next(void)
{
    int64_t first = INT64_MAX;
    for (unsigned i = 0; i < TIMER_WHEELS; i++) {
        int64_t next = atomic_load(&timer_wheels[i].next);
        if (next && next < first)
            first = next;
    }
    return first;
}

int64_t rt_timers_armed(void)
{
    int64_t n = 0;
    for (unsigned i = 0; i < TIMER_WHEELS; i++) {
        lock_take(&timer_wheels[i].lock, LOCK_TIMER);
        n += timer_wheels[i].armed;
        lock_drop(&timer_wheels[i].lock, LOCK_TIMER);
    }
    return n;
}

bool rt_timers_busy(void)
{
    bool busy = false;
    for (unsigned i = 0; i < TIMER_WHEELS; i++) {
        lock_take(&timer_wheels[i].lock, LOCK_TIMER);
        busy |= timer_wheels[i].busy;
        lock_drop(&timer_wheels[i].lock, LOCK_TIMER);
    }
    return busy;
}

void rt_timer_init(struct rt_timer *t, void (*fn)(struct rt_timer *t))
{
    struct rt_worker *w = rt_worker();
    list_init(&t->node);
    t->at = 0;
    t->fn = fn;
    t->wheel = (uint16_t)((w ? w->index : (uintptr_t)t >> 6) % TIMER_WHEELS);
    t->slot = 0;
    atomic_init(&t->state, TIMER_IDLE);
}

void rt_timer_set(struct rt_timer *t, int64_t at)
{
    struct timer_wheel *w = &timer_wheels[t->wheel];
    if (at < 1)
        at = 1;
    if (!rt_worker())
        rt_start();
    lock_take(&w->lock, LOCK_TIMER);
    timer_open(w);
    if (timer_armed(t))
        timer_remove(w, t);
    else
        w->armed++;
    timer_state(t, TIMER_ARMED);
    t->at = at;
    int64_t look = timer_insert(w, t);
    bool first = !w->busy && look < atomic_load_explicit(&w->next, memory_order_relaxed);
    if (first)
        atomic_store(&w->next, look);
    lock_drop(&w->lock, LOCK_TIMER);
    if (first)
        rt_netpoll_timer(look);
}

static bool timer_stop_locked(struct timer_wheel *w, struct rt_timer *t)
{
    if (!timer_armed(t))
        return false;
    timer_remove(w, t);
    timer_state(t, TIMER_IDLE);
    w->armed--;
    return true;
}

bool rt_timer_stop(struct rt_timer *t)
{
    struct timer_wheel *w = &timer_wheels[t->wheel];
    lock_take(&w->lock, LOCK_TIMER);
    bool armed = timer_stop_locked(w, t);
    lock_drop(&w->lock, LOCK_TIMER);
    return armed;
}

bool rt_timer_stop_wait(struct rt_timer *t)
{
    struct timer_wheel *w = &timer_wheels[t->wheel];
    lock_take(&w->lock, LOCK_TIMER);
    bool armed = timer_stop_locked(w, t);
    while (w->firing == t) {
        uint32_t seen = atomic_load_explicit(&w->fired, memory_order_relaxed); /* locked */
        w->waiters++;
        lock_drop(&w->lock, LOCK_TIMER);
        sys.futex_wait(&w->fired, seen, NULL);
        lock_take(&w->lock, LOCK_TIMER);
        w->waiters--;
        armed = timer_stop_locked(w, t) || armed; /* fn may have set it again */
    }
    lock_drop(&w->lock, LOCK_TIMER);
    return armed;
}

/* At the end of rt_shutdown: nobody else runs; what is still armed is forgotten. */
void rt_timers_stop(void)
{
    for (unsigned i = 0; i < TIMER_WHEELS; i++) {
        struct timer_wheel *w = &timer_wheels[i];
        memset(w->map0, 0, sizeof w->map0);
        memset(w->map, 0, sizeof w->map);
        w->due = (struct list){ NULL, NULL };
        w->armed = 0;
        atomic_store(&w->next, 0);
    }
}
