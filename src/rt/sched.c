/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sched.c: how goroutines start, park, resume and end.
 *
 * Run-to-block start. rt_stack_main is a loop on a pooled stack; it calls a fresh goroutine as a
 * plain function on that very stack. If that never parks there was no switch and no stack to set
 * up. If it parks, the stack stays with it and the worker goes on elsewhere; when it ends, perhaps
 * on another worker, the loop goes on there. So the loop keeps nothing across the call but its
 * stack.
 *
 * After-switch action. Who leaves a context says in w->after what is to be done with it, and the
 * context that comes next does that first (sched_arrive): a goroutine is committed, queued again,
 * or its stack freed only when its registers are saved. Nothing else may make a goroutine visible.
 *
 *   park   1 next is chosen  2 rt_switch saves sp in g  3 on the other stack: state = PARKED, which
 *          releases sp to who trims or dumps it  4 commit(g) publishes g; false: it is queued
 *   unpark 1 state is PARKED (asserted)  2 state = QUEUED  3 queue
 *
 *   yield  the same with QUEUED for 3 and the ring for 4; or a turn of the ring, see runq.c, where
 * it stands in the ring at 1, but cannot be taken from there before 3
 *
 * A parking goroutine takes the next one from its worker's own queue; for all else (tasks, timers,
 * polling, global queue, no stack at hand) it goes back to the worker's native stack: worker.c.
 * Not instrumented by TSan: see sanitize.h. */
#include "rt/rt_private.h"
#include <sched.h>

/* On each switch: as one piece of code, which saves its registers once. */
#define SCHED_INLINE __attribute__((always_inline)) static inline

struct rt_state rt_state = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* Whether, with n in the ring now, an idle worker is to be looked for. One item alone is for its
 * own worker. From the third on somebody has looked already: who falls asleep later looks at the
 * ring first, and who was woken wakes the next. (n is a guess, for thieves are at work: so each
 * 16th one counts, too, and sysmon stands behind.) Saves a fence for each spawn of a burst. */
static inline bool sched_wake_due(const struct rt_worker *w, uint32_t n)
{
    n += w->held != 0;
    n += atomic_load_explicit(&w->lifo, memory_order_relaxed) != 0;
    return n == 2 || n == 3 || n % 16 == 0;
}

static inline bool sched_stuck(const struct rt_worker *w) /* what it queues would wait for it */
{
    return unlikely(atomic_load_explicit(&w->status, memory_order_relaxed) == RT_STUCK);
}

static inline void sched_wake(void)
{
    if (!atomic_load_explicit(&rt_state.rest_until, memory_order_relaxed))
        rt_wake_for_burst();
}

static inline uint32_t sched_ring_len(struct rt_worker *w) /* its owner asks */
{
    return atomic_load_explicit(&w->tail, memory_order_relaxed) -
           atomic_load_explicit(&w->head, memory_order_relaxed);
}

/* To the end of the queue of w, which runs here. */
SCHED_INLINE void sched_push(struct rt_worker *w, uintptr_t item)
{
    if (unlikely(sched_wake_due(w, rt_ring_push(w, item))))
        sched_wake();
}

/* Puts an item where it will run; hand_off: soon and here, ahead of others. From anywhere. */
void rt_ready(uintptr_t item, bool hand_off)
{
    struct rt_worker *w = rt_worker();
    struct rt_worker *pin = rt_item_is_task(item) ? NULL : rt_g_of(item)->pin;
    if (unlikely(pin != NULL)) {
        rt_inbox_push(pin, item);
        if (pin != w)
            rt_wake_worker(pin);
        return;
    }
    if (!w || sched_stuck(w)) {
        rt_global_push(item, item, 1);
        rt_wake_one();
        return;
    }
    if (hand_off && w->cur)
        item = rt_lifo_put(w, item);
    if (!item && sched_ring_len(w) == 0)
        return; /* one alone */
    if (item)
        sched_push(w, item);
    else if (sched_wake_due(w, sched_ring_len(w)))
        sched_wake();
}

/* An item that was runnable all the time goes to the end of the queue: no more work than before, so
 * nobody is to be woken; not on a stuck worker either, which comes to its loop just now. */
SCHED_INLINE void sched_requeue(struct rt_worker *w, struct rt_g *g)
{
    if (unlikely(g->pin != NULL))
        rt_ready(rt_item_g(g), false);
    else
        rt_ring_push(w, rt_item_g(g));
}

static struct rt_stack *sched_give_stack(struct rt_worker *w, struct rt_g *g, struct rt_stack *s)
{
    g->stack = s;
    if (unlikely(g->flags & RT_GO_PIN)) {
        g->pin = w;
        atomic_fetch_add(&w->pinned, 1);
    }
#ifdef RT_TSAN
    san_fiber_switch(w->seed_fiber); /* a new fiber comes after whoever makes it: so nobody does */
    g->fiber = san_fiber_new();
#endif
    return s;
}

SCHED_INLINE void sched_tick(struct rt_worker *w)
{
    atomic_store_explicit(&w->tick, atomic_load_explicit(&w->tick, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void sched_bury(struct rt_worker *w, struct rt_g *g)
{
    struct rt_stack *s = g->stack;
    san_fiber_free(g->fiber);
    rt_g_free(w, g);
    rt_stack_put(w, s);
}

/* Commits may lead anywhere in the runtime, and belong to nobody. */
static void sched_commit(struct rt_worker *w, struct rt_g *g)
{
    struct rt_g *cur = w->cur;
    w->cur = NULL;
    san_acquire(g);
    atomic_store_explicit(&g->state, RT_G_PARKED, memory_order_release);
    if (!w->after.commit(g, w->after.arg)) {
        atomic_store_explicit(&g->state, RT_G_QUEUED, memory_order_relaxed);
        sched_requeue(w, g);
    }
    w->cur = cur;
}

SCHED_INLINE void sched_run_after(struct rt_worker *w)
{
    struct rt_g *g = w->after.g;
    if (likely(w->after.what == RT_TURN)) {
        rt_own_end(w);
    } else if (w->after.what == RT_QUEUE) {
        sched_requeue(w, g);
    } else if (w->after.what == RT_DROP) {
        san_acquire(g);
        atomic_store_explicit(&g->state, RT_G_PARKED, memory_order_release);
        rt_park_drop(w->after.under);
    } else if (w->after.what == RT_BURY) {
        sched_bury(w, g);
    } else if (w->after.what == RT_COMMIT) {
        sched_commit(w, g);
    }
}

/* The first thing in a context that was switched to, that of g, or the native one. */
SCHED_INLINE struct rt_worker *sched_arrive(struct rt_g *g)
{
    struct rt_worker *w = rt_worker_here();
    san_finish_switch(g ? g->fake : w->native_fake);
    sched_run_after(w);
    san_ignore_end();
    san_fiber_switch(g ? g->fiber : w->native_fiber);
    if (g)
        san_acquire(g);
    return w;
}

/* A catch block may park, and a destructor while the stack is unwound. What the C++ runtime keeps
 * of that belongs to the thread: it is taken along, and who comes next finds none. */
__attribute__((noinline)) static void sched_caught_take(struct rt_worker *w, struct rt_caught *to)
{
    *to = *w->caught;
    *w->caught = (struct rt_caught){ NULL, 0 };
}

SCHED_INLINE bool sched_catches(const struct rt_worker *w)
{
    return unlikely(w->caught != NULL) && (w->caught->exceptions || w->caught->uncaught);
}

/* From now on the worker is about next (NULL: the native stack), whose registers come with the
 * switch; who leaves has it at hand. */
SCHED_INLINE void sched_set_out(struct rt_worker *w, struct rt_g *next)
{
    w->cur = next;
    sched_tick(w);
    if (next)
        atomic_store_explicit(&next->state, RT_G_RUNNING, memory_order_relaxed);
}

/* Leaves the context of self (NULL: the native one) for next, or for the native stack. A fresh next
 * needs a cached stack. fake NULL: the context does not come back. Returns the worker that it comes
 * back on. */
SCHED_INLINE struct rt_worker *sched_leave(struct rt_worker *w, void **save, void **fake,
                                           struct rt_g *self, struct rt_g *next)
{
    struct rt_stack *s = NULL;
    struct rt_caught caught, *has_caught = NULL;
    bool fresh = next && !next->stack;
    if (sched_catches(w)) {
        has_caught = &caught;
        sched_caught_take(w, &caught);
    }
    sched_set_out(w, next);
    if (fresh) {
        s = sched_give_stack(w, next, rt_stack_get(w, rt_g_class(next)));
    } else if (next) {
        s = next->stack;
        if (rt_trimming(next))
            rt_trim_wait(next);
    }
    san_start_switch(fake, s ? s->base : w->native_lo, s ? s->size : w->native_size);
    san_fiber_switch(w->commit_fiber);
    san_ignore_begin();
    if (fresh)
        rt_switch_fresh(save, s);
    else if (fake)
        rt_switch(save, next ? next->sp : w->native_sp);
    else
        rt_switch_last(next ? next->sp : w->native_sp);
    w = sched_arrive(self);
    if (unlikely(has_caught != NULL))
        *w->caught = caught;
    return w;
}

/* The same, from one goroutine that comes back to another that has run before, and nothing is out
 * of the ordinary. */
SCHED_INLINE struct rt_worker *sched_switch(struct rt_worker *w, struct rt_g *self,
                                            struct rt_g *next)
{
    sched_set_out(w, next);
    san_start_switch(&self->fake, next->stack->base, next->stack->size);
    san_fiber_switch(w->commit_fiber);
    san_ignore_begin();
    rt_switch(&self->sp, next->sp);
    return sched_arrive(self);
}

enum { SCHED_DEFER_ROUNDS = 4 };

/* It was called, or after so many starts: timers, poller and global queue want a look, if there is
 * anything at all. What is deferred is asked for its age each fourth time, for that reads the
 * clock; sysmon sees to it should these take long. As in rt_call_answer the limit comes first: a
 * call that this store takes back was made before, and the fence shows what it was for. */
__attribute__((noinline)) static bool sched_native_due(struct rt_worker *w)
{
    if (rt_defer_pending(w->index)) {
        atomic_store_explicit(&w->limit, rt_tick(w) + SCHED_DEFER_ROUNDS, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst);
        if (rt_defer_due(w))
            return true;
    } else {
        rt_call_answer(w);
    }
    if (atomic_load_explicit(&w->inbox_len, memory_order_relaxed) ||
        atomic_load_explicit(&w->status, memory_order_relaxed) != RT_RUN ||
        atomic_load_explicit(&rt_state.stopping, memory_order_relaxed))
        return true;
    if (!rt_look_due(w))
        return false;
    if (atomic_load_explicit(&rt_state.queue_len, memory_order_relaxed) || rt_netpoll_fds() ||
        rt_timers_next() != INT64_MAX)
        return true;
    rt_looked(w);
    return false;
}

static inline bool sched_called(const struct rt_worker *w)
{
    return unlikely(rt_tick(w) >= atomic_load_explicit(&w->limit, memory_order_relaxed));
}

/* The next goroutine to switch to, or NULL for the native stack. here: a stack about to be free. */
SCHED_INLINE struct rt_g *sched_next(struct rt_worker *w, const struct rt_stack *here)
{
    if (sched_called(w) && sched_native_due(w))
        return NULL;
    uintptr_t item = rt_local_pop(w);
    if (!item)
        return NULL;
    if (rt_item_is_task(item)) {
        w->held = item;
        return NULL;
    }
    struct rt_g *g = rt_g_of(item);
    unsigned cls = rt_g_class(g);
    if (!g->stack && (w->resumed_only || (!w->stacks[cls] && !(here && here->cls == cls)))) {
        w->held = item;
        return NULL;
    }
    return g;
}

/* In the goroutine that ends: its last words. It may have come to another worker. */
static void sched_end(struct rt_g *g)
{
    if (unlikely(g->locals != NULL))
        rt_locals_end(g);
    if (unlikely(!g->stack->guarded))
        rt_stack_check(g);
    if (g->errors && rt_errors_free)
        rt_errors_free(g->errors);
    g->errors = NULL;
    struct rt_worker *w = rt_worker();
    if (g->pin)
        atomic_fetch_sub(&g->pin->pinned, 1);
    if (!(g->flags & RT_GO_SYSTEM))
        atomic_store_explicit(&w->ended, atomic_load_explicit(&w->ended, memory_order_relaxed) + 1,
                              memory_order_release);
}

/* Entered by rt_context_entry with a goroutine in w->cur; never returns. Used by assembler,
 * which link-time optimisation does not see. */
__attribute__((used)) void rt_stack_main(struct rt_stack *s)
{
    rt_stack_refill(sched_arrive(rt_worker_here()->cur), 0); /* for it took the last, perhaps */
    for (;;) {
        struct rt_g *g = rt_worker_here()->cur;
        g->fn(g->u.arg);
        sched_end(g);
        struct rt_worker *w = rt_worker_here();
        struct rt_g *next = sched_next(w, SAN_FRESH_STACKS ? NULL : s);
        if (!SAN_FRESH_STACKS && next && !next->stack && rt_g_class(next) == s->cls) {
            sched_give_stack(w, next, s);
            rt_g_free(w, g);
            w->cur = next;
            sched_tick(w);
            atomic_store_explicit(&next->state, RT_G_RUNNING, memory_order_relaxed);
            continue;
        }
        void *nobody;
        w->after.what = RT_BURY;
        w->after.g = g;
        sched_leave(w, &nobody, NULL, g, next);
        __builtin_unreachable();
    }
}

void rt_run_g(struct rt_worker *w, struct rt_g *g)
{
    if (!g->stack) {
        rt_stack_refill(w, rt_g_class(g));
        if (!w->stacks[rt_g_class(g)]) {
            rt_starve(g);
            return;
        }
    }
    w->after.what = RT_NOTHING;
    sched_leave(w, &w->native_sp, &w->native_fake, NULL, g);
}

__attribute__((noinline)) static void sched_park_thread(rt_commit_fn *commit, void *arg,
                                                        const char *reason)
{
    struct rt_g own = { .flags = RT_G_THREAD }, *self = rt_thread_self();
    struct rt_g *g = self ? self : &own; /* without memory a thread still can wait */
    bool host = rt_loop_mine();
    if (host) { /* what runs in the loop may come to wait on this thread, too */
        own.flags |= RT_G_HOST;
        own.id = g->id, own.name = g->name;
        g = &own;
    }
    int saved = errno;
    g->reason = reason;
    atomic_store_explicit(&g->wake, 0, memory_order_relaxed); /* commit publishes it */
    san_release(g);
    if (commit(g, arg)) {
        while (atomic_load_explicit(&g->wake, memory_order_acquire) == 0) {
            if (unlikely(host)) {
                rt_loop_wait(&g->wake);
                continue;
            }
            if (likely(atomic_load_explicit(&rt_state.running, memory_order_relaxed))) {
                sys.futex_wait(&g->wake, 0, NULL);
                continue;
            }
            if (rt_refused())
                rt_fork_stop(reason);
            struct timespec tick = { 0, 1000000 }; /* no worker could be made: see to timers */
            sys.futex_wait(&g->wake, 0, &tick);
            rt_timers_run(sys_now());
        }
    }
    san_acquire(g);
    g->reason = NULL;
    errno = saved;
}

__attribute__((noinline)) static struct rt_worker *sched_park_slow(struct rt_worker *w,
                                                                   struct rt_g *g)
{
    return sched_leave(w, &g->sp, &g->fake, g, sched_next(w, NULL));
}

/* w->after says what commits it. */
SCHED_INLINE void sched_park(struct rt_worker *w, struct rt_g *g, const char *reason)
{
    int saved = *w->errno_at;
    rt_held_check(g, reason);
    g->reason = reason;
    g->u.since = atomic_load_explicit(&rt_state.coarse, memory_order_relaxed);
    san_release(g);
    w->after.g = g;
    struct rt_g *next = sched_called(w) || sched_catches(w) ? NULL : rt_lifo_take(w);
    w = likely(next != NULL) ? sched_switch(w, g, next) : sched_park_slow(w, g);
    g->reason = NULL;
    *w->errno_at = saved; /* of the thread that it runs on now */
}

void rt_park(rt_commit_fn *commit, void *arg, const char *reason)
{
    struct rt_worker *w = rt_worker();
    if (!w) {
        sched_park_thread(commit, arg, reason);
        return;
    }
    sn_assert(w->cur); /* a task must not park */
    w->after.what = RT_COMMIT;
    w->after.commit = commit;
    w->after.arg = arg;
    sched_park(w, w->cur, reason);
}

struct sched_under {
    struct lock *lock;
    struct rt_g **self;
};

static bool sched_commit_under(struct rt_g *g, void *arg)
{
    struct sched_under *u = arg;
    *u->self = g;
    rt_park_drop(u->lock);
    return true;
}

void rt_park_under(struct lock *l, struct rt_g **self, const char *reason)
{
    struct rt_worker *w = rt_worker();
    if (!w) {
        struct sched_under u = { l, self };
        sched_park_thread(sched_commit_under, &u, reason);
        return;
    }
    sn_assert(w->cur);
    *self = w->cur;
    w->after.what = RT_DROP;
    w->after.under = l;
    sched_park(w, w->cur, reason);
}

__attribute__((noinline)) static void sched_unpark_thread(struct rt_g *g)
{
    _Atomic uint32_t *word = &g->wake; /* g may be gone after the store */
    bool host = g->flags & RT_G_HOST;
    atomic_store_explicit(word, 1, memory_order_release);
    if (unlikely(host))
        rt_loop_kick();
    else
        sys.futex_wake(word, 1);
}

void rt_unpark(struct rt_g *g)
{
    san_release(g);
    if (unlikely(g->flags & RT_G_THREAD)) {
        sched_unpark_thread(g);
        return;
    }
    sn_assert(atomic_load_explicit(&g->state, memory_order_relaxed) == RT_G_PARKED);
    atomic_store_explicit(&g->state, RT_G_QUEUED, memory_order_relaxed);
    uintptr_t word = rt_thread_word();
    struct rt_worker *w = (struct rt_worker *)(word - 1);
    if (unlikely(!(word & 1) || g->pin || !w->cur || rt_lifo_full(w) || sched_stuck(w))) {
        rt_ready(rt_item_g(g), true);
        return;
    }
    rt_lifo_fill(w, rt_item_g(g));
    uint32_t n = sched_ring_len(w);
    if (n && sched_wake_due(w, n))
        sched_wake();
}

/* Takes the ring's first for g, which goes to its end. NULL: something is out of the ordinary. */
SCHED_INLINE struct rt_g *sched_turn(struct rt_worker *w, const struct rt_g *g)
{
    return sched_called(w) || g->pin || sched_catches(w) ? NULL : rt_ring_turn(w, g);
}

__attribute__((noinline)) static void sched_yield_slow(struct rt_worker *w, struct rt_g *g)
{
    struct rt_g *next = sched_next(w, NULL);
    if (!next && !w->held && !sched_called(w) && rt_local_len(w) == 0 &&
        !rt_state.none) { /* a host's budget must end */
        sched_tick(w);
        return; /* nobody waits */
    }
    int saved = *w->errno_at;
    atomic_store_explicit(&g->state, RT_G_QUEUED, memory_order_relaxed);
    w->after.what = RT_QUEUE;
    w->after.g = g;
    w = sched_leave(w, &g->sp, &g->fake, g, next);
    *w->errno_at = saved;
}

__attribute__((noinline)) static void sched_yield_elsewhere(void)
{
    if (rt_loop_mine())
        rt_loop_turn();
    else
        sched_yield();
}

void sennit_yield(void)
{
    uintptr_t word = rt_thread_word();
    struct rt_worker *w = (struct rt_worker *)(word - 1); /* once it is known that it is one */
    struct rt_g *g;
    if (unlikely(!(word & 1) || !(g = w->cur))) {
        sched_yield_elsewhere();
        return;
    }
    rt_held_check(g, "yielding");
    struct rt_g *next = sched_turn(w, g);
    if (unlikely(!next)) {
        sched_yield_slow(w, g);
        return;
    }
    int saved = *w->errno_at;
    atomic_store_explicit(&g->state, RT_G_QUEUED, memory_order_relaxed);
    w->after.what = RT_TURN;
    w = sched_switch(w, g, next);
    *w->errno_at = saved;
}

sennit_err rt_go(void (*fn)(void *arg), void *arg, const char *name, unsigned flags)
{
    struct rt_worker *w = rt_worker();
    if (unlikely(!w && !rt_start())) {
        sennit_err refused = rt_refused();
        return refused ? refused : sennit_no_memory;
    }
    struct rt_g *g = rt_g_new(w);
    if (!g)
        return sennit_no_memory;
    g->fn = fn;
    g->u.arg = arg;
    g->name = name;
    g->flags = (uint8_t)flags;
    atomic_store_explicit(&g->state, RT_G_QUEUED, memory_order_relaxed);
    if (flags & RT_GO_SYSTEM)
        ;
    else if (w)
        atomic_store_explicit(&w->spawned,
                              atomic_load_explicit(&w->spawned, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    else
        atomic_fetch_add(&rt_state.spawned, 1);
    san_release(g);
    if (likely(w && !sched_stuck(w)))
        sched_push(w, rt_item_g(g));
    else
        rt_ready(rt_item_g(g), false);
    return NULL;
}

sennit_err sennit_go_sized(const sennit_go_options *o, size_t size, void (*fn)(void *), void *arg)
{
    if (likely(!o))
        return rt_go(fn, arg, NULL, 0);
    sennit_go_options own = { 0 };
    memcpy(&own, o, min_size(size, sizeof own));
    unsigned flags = (own.small_stack ? RT_GO_SMALL : 0u) | (own.pin ? RT_GO_PIN : 0u);
    return rt_go(fn, arg, own.name, flags);
}

int64_t sennit_now(void) { return sys_now(); }
