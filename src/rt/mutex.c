/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * mutex.c: sennit_mutex and sennit_cond, for goroutines and plain threads alike.
 *
 * The state word has three bits; while LOCKED is set the others change under the guard only. Nobody
 * owns a mutex by queueing: who comes by may take a free one, which keeps the cache and the core
 * warm, and unlock wakes at most one waiter at a time (WOKEN: it is on its way). A waiter that was
 * woken in vain and has waited for MUTEX_PATIENCE_NS is given the mutex by hand, LOCKED staying
 * set, so none starves. (By hand after three wake-ups, as it once was, costs a switch for each:
 * 39 ns of CPU an operation with 8 goroutines on 2 workers.)
 *
 * While nobody in the whole process waits for a mutex, workers unlock by a plain store:
 *   unlock  1 popping = 1   2 asym_light   3 mutex_waits is ALONE: state = 0 (release), else by CAS
 *           4 popping = 0 (release)
 *   wait    1 mutex_waits + WAIT   2 if it was not settled: asym_heavy, waits until each worker's
 *           popping was 0, mutex_waits | SETTLED   3 queues, which sets WAITERS, and so on
 *           4 mutex_waits - WAIT
 *   sysmon  each look: nobody waits, and it is settled: mutex_waits = ALONE
 * An unlock that read ALONE though 1 of wait is done did so before the heavy fence: then 2 of wait
 * sees it popping, or that the mutex is free. So no plain store meets the bits of a waiter. (The
 * second locked instruction is 2.2 of 4.5 ns; a fence for each wait would cost it 2 us.) Without
 * the fence mutex_waits is never ALONE; threads that are no workers always unlock by CAS.
 *
 * Memory: who gets the mutex may free it once unlocked. So unlock clears LOCKED after it has
 * dropped the guard, and a waiter that was granted the mutex passes through the guard before it
 * returns. */
#include "base/sys.h"
#include "rt/prim.h"
#include "rt/rt_private.h"
#include <sched.h>

enum { MUTEX_LOCKED = 1, MUTEX_WAITERS = 2, MUTEX_WOKEN = 4 };
enum { MUTEX_PATIENCE_NS = 1000000, MUTEX_PATIENCE_TURNS = 1000 };
#ifndef MUTEX_SPINS
#define MUTEX_SPINS 30
#endif

struct mutex_rep {
    _Atomic uint16_t state;
    _Atomic uint16_t guess; /* what an unlock may find in it; only a guess */
    struct lock guard;
    struct prim_waiter *waiters; /* guarded */
} __attribute__((may_alias));
_Static_assert(sizeof(struct mutex_rep) <= sizeof(sennit_mutex),
               "the public struct is large enough");

struct cond_rep {
    struct lock guard;
    struct prim_waiter *waiters; /* guarded */
} __attribute__((may_alias));
_Static_assert(sizeof(struct cond_rep) <= sizeof(sennit_cond), "the public struct is large enough");

/* -- mutex ----------------------------------------------------------------------------------- */

static inline bool mutex_try(struct mutex_rep *m, uint16_t clear)
{
    uint16_t s = atomic_load_explicit(&m->state, memory_order_relaxed);
    while (!(s & MUTEX_LOCKED))
        if (atomic_compare_exchange_weak_explicit(&m->state, &s, (s | MUTEX_LOCKED) & ~clear,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

static bool mutex_spin(struct mutex_rep *m, uint16_t clear)
{
    for (int i = 0; i < MUTEX_SPINS; i++) {
        if (mutex_try(m, clear))
            return true;
        rt_relax();
    }
    return false;
}

/* Takes the mutex (true) or queues w; clear: MUTEX_WOKEN if w was woken before. */
static bool mutex_queue(struct mutex_rep *m, struct prim_waiter *w, uint16_t clear)
{
    lock_take(&m->guard, LOCK_PRIM);
    bool got = false, queued = false;
    uint16_t s = atomic_load_explicit(&m->state, memory_order_relaxed);
    while (!got && !queued) {
        uint16_t to = (s & MUTEX_LOCKED) ? s | MUTEX_WAITERS : s | MUTEX_LOCKED;
        if (atomic_compare_exchange_weak_explicit(&m->state, &s, to & ~clear, memory_order_acquire,
                                                  memory_order_relaxed)) {
            got = !(s & MUTEX_LOCKED);
            queued = !got;
        }
    }
    if (queued && w->lost)
        prim_push_front(&m->waiters, w);
    else if (queued)
        prim_push_back(&m->waiters, w);
    lock_drop(&m->guard, LOCK_PRIM);
    return got;
}

/* Guarded, LOCKED is set: wakes the first waiter, or gives it the mutex (true). */
static bool mutex_pass(struct mutex_rep *m)
{
    struct prim_waiter *w = prim_pop(&m->waiters);
    if (!w)
        return false;
    w->granted = w->lost && sys_now() - w->since > MUTEX_PATIENCE_NS;
    uint16_t s = MUTEX_LOCKED | (m->waiters ? MUTEX_WAITERS : 0) | (w->granted ? 0 : MUTEX_WOKEN);
    atomic_store_explicit(&m->state, s, memory_order_relaxed);
    bool granted = w->granted;
    rt_note_set(&w->note);
    return granted;
}

/* Unlocks it by a store, if the state allows. */
static inline bool mutex_release_alone(struct mutex_rep *m)
{
    struct rt_worker *w = rt_worker();
    if (!w)
        return false;
    atomic_store_explicit(&w->popping, 1, memory_order_relaxed);
    asym_light();
    bool alone =
        atomic_load_explicit(&rt_state.mutex_waits, memory_order_relaxed) == RT_MUTEX_ALONE &&
        atomic_load_explicit(&m->state, memory_order_relaxed) == MUTEX_LOCKED;
    if (likely(alone))
        atomic_store_explicit(&m->state, 0, memory_order_release);
    rt_own_end(w);
    return alone;
}

/* From here to mutex_wait_end nobody unlocks a mutex by a store. */
static void mutex_wait_begin(void)
{
    struct rt_state *s = &rt_state;
    uint32_t was = atomic_fetch_add_explicit(&s->mutex_waits, RT_MUTEX_WAIT, memory_order_acquire);
    if (was & RT_MUTEX_SETTLED || !asym_heavy())
        return;
    for (uint32_t i = 0; i < atomic_load_explicit(&s->n_workers, memory_order_acquire); i++) {
        struct rt_worker *w = atomic_load_explicit(&s->workers[i], memory_order_relaxed);
        for (int n = 0; atomic_load_explicit(&w->popping, memory_order_acquire); n++) {
            if (n < MUTEX_PATIENCE_TURNS)
                rt_relax();
            else
                sched_yield(); /* it was preempted there */
        }
    }
    atomic_fetch_or_explicit(&s->mutex_waits, RT_MUTEX_SETTLED, memory_order_release);
}

static void mutex_wait_end(void)
{
    atomic_fetch_sub_explicit(&rt_state.mutex_waits, RT_MUTEX_WAIT, memory_order_relaxed);
}

void rt_mutex_calm(void)
{
    uint32_t calm = RT_MUTEX_ALONE + RT_MUTEX_SETTLED;
    if (atomic_load_explicit(&rt_state.mutex_waits, memory_order_relaxed) == calm)
        atomic_compare_exchange_strong_explicit(&rt_state.mutex_waits, &calm, RT_MUTEX_ALONE,
                                                memory_order_relaxed, memory_order_relaxed);
}

/* Nobody waits, or one that is coming was woken before: no need to wake. The first attempt guesses
 * the state: a load would wait for the lock's locked instruction. Nothing is touched after the
 * CAS. */
static inline bool mutex_release(struct mutex_rep *m)
{
    uint16_t s = MUTEX_LOCKED | atomic_load_explicit(&m->guess, memory_order_relaxed);
    do {
        uint16_t to = s & (uint16_t)~MUTEX_LOCKED;
        if (likely(atomic_compare_exchange_weak_explicit(&m->state, &s, to, memory_order_release,
                                                         memory_order_relaxed)))
            return true;
        atomic_store_explicit(&m->guess, s & MUTEX_WOKEN ? s : 0, memory_order_relaxed);
    } while (s == MUTEX_LOCKED || (s & MUTEX_WOKEN && s & MUTEX_LOCKED));
    return false;
}

/* Wakes one, or gives it the mutex (true). If not, m is still to be released, and by mutex_release:
 * the woken one may have found it locked and queued again, so that there is nobody on the way any
 * more. */
__attribute__((noinline)) static bool mutex_unlock_slow(struct mutex_rep *m)
{
    if (!(atomic_load_explicit(&m->state, memory_order_relaxed) & MUTEX_LOCKED))
        prim_misuse("unlock of a mutex that is not locked");
    lock_take(&m->guard, LOCK_PRIM);
    bool granted = mutex_pass(m);
    lock_drop(&m->guard, LOCK_PRIM);
    return granted;
}

static inline void mutex_unlock(struct mutex_rep *m)
{
    while (unlikely(!mutex_release(m)))
        if (mutex_unlock_slow(m))
            return;
}

/* Guarded: gives a wake-up back. True: nobody has the mutex and others wait, so it was taken for
 * them, to be unlocked. */
static bool mutex_unwake(struct mutex_rep *m)
{
    uint16_t s = atomic_load_explicit(&m->state, memory_order_relaxed), to;
    do {
        to = s & ~MUTEX_WOKEN;
        if (!(s & MUTEX_LOCKED) && (s & MUTEX_WAITERS))
            to |= MUTEX_LOCKED;
    } while (!atomic_compare_exchange_weak_explicit(&m->state, &s, to, memory_order_acquire,
                                                    memory_order_relaxed));
    return !(s & MUTEX_LOCKED) && (to & MUTEX_LOCKED);
}

/* The context of w ended while it waited. True: it had been given the mutex before. */
static bool mutex_abandon(struct mutex_rep *m, struct prim_waiter *w)
{
    bool taken = false;
    lock_take(&m->guard, LOCK_PRIM);
    bool granted = w->granted;
    if (w->next) {
        prim_remove(&m->waiters, w);
        if (!m->waiters)
            atomic_fetch_and_explicit(&m->state, ~MUTEX_WAITERS, memory_order_relaxed);
    } else if (!granted) {
        taken = mutex_unwake(m);
    }
    lock_drop(&m->guard, LOCK_PRIM);
    if (taken)
        mutex_unlock(m);
    return granted;
}

static sennit_err mutex_wait(struct mutex_rep *m, sennit_ctx *ctx)
{
    struct prim_waiter w = { .lost = false };
    uint16_t clear = 0;
    while (!mutex_spin(m, clear) && !mutex_queue(m, &w, clear)) {
        sennit_err ended = ctx_note_wait(ctx, &w.note, "waiting for a mutex");
        if (ended)
            return mutex_abandon(m, &w) ? NULL : ended;
        lock_take(&m->guard, LOCK_PRIM);
        bool granted = w.granted, waits = w.next != NULL;
        lock_drop(&m->guard, LOCK_PRIM);
        if (granted)
            return NULL;
        sn_assert(!waits);
        if (!w.lost)
            w.since = sys_now();
        w.lost = true;
        clear = MUTEX_WOKEN;
    }
    return NULL;
}

__attribute__((noinline)) static sennit_err mutex_lock_slow(struct mutex_rep *m, sennit_ctx *ctx)
{
    if (mutex_spin(m, 0))
        return NULL;
    mutex_wait_begin();
    sennit_err err = mutex_wait(m, ctx);
    mutex_wait_end();
    return err;
}

sennit_err sennit_mutex_lock(sennit_mutex *mutex, sennit_ctx *ctx)
{
    struct mutex_rep *m = (struct mutex_rep *)mutex;
    if (!(atomic_fetch_or_explicit(&m->state, MUTEX_LOCKED, memory_order_acquire) & MUTEX_LOCKED))
        return NULL; /* one instruction, whatever the other bits are */
    return mutex_lock_slow(m, ctx);
}

void sennit_mutex_unlock(sennit_mutex *mutex)
{
    struct mutex_rep *m = (struct mutex_rep *)mutex;
    if (unlikely(!mutex_release_alone(m)))
        mutex_unlock(m);
}

/* -- cond ------------------------------------------------------------------------------------ */

sennit_err sennit_cond_wait(sennit_cond *cond, sennit_mutex *mutex, sennit_ctx *ctx)
{
    struct cond_rep *c = (struct cond_rep *)cond;
    struct prim_waiter w = { .lost = false };
    lock_take(&c->guard, LOCK_PRIM);
    prim_push_back(&c->waiters, &w);
    lock_drop(&c->guard, LOCK_PRIM);
    sennit_mutex_unlock(mutex);
    sennit_err ended = ctx_note_wait(ctx, &w.note, "waiting for a condition");
    lock_take(&c->guard, LOCK_PRIM);
    if (w.next)
        prim_remove(&c->waiters, &w);
    else
        ended = NULL; /* it was signalled: that must not be lost */
    lock_drop(&c->guard, LOCK_PRIM);
    (void)sennit_mutex_lock(mutex, NULL);
    return ended;
}

void sennit_cond_signal(sennit_cond *cond)
{
    struct cond_rep *c = (struct cond_rep *)cond;
    lock_take(&c->guard, LOCK_PRIM);
    struct prim_waiter *w = prim_pop(&c->waiters);
    if (w)
        rt_note_set(&w->note);
    lock_drop(&c->guard, LOCK_PRIM);
}

void sennit_cond_broadcast(sennit_cond *cond)
{
    struct cond_rep *c = (struct cond_rep *)cond;
    struct prim_waiter *w;
    lock_take(&c->guard, LOCK_PRIM);
    while ((w = prim_pop(&c->waiters)))
        rt_note_set(&w->note);
    lock_drop(&c->guard, LOCK_PRIM);
}
