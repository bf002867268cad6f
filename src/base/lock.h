/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * lock.h: a spin-then-futex mutex of four bytes for short sections. Any thread or goroutine may
 * take it; nobody may park, call the system (but for the lock's own futex) or run user code while
 * holding it. Order, checked in debug builds by rank (a lock may be taken only while all held ones
 * have a lower rank): LOCK_REGISTRY < LOCK_CONN < LOCK_CTX < LOCK_STREAM < LOCK_WRITE < LOCK_ARENA
 * < LOCK_PRIM < LOCK_TIMER < LOCK_SCHED < LOCK_BLOCKS. {0} is unlocked and of rank 0 (unchecked).
 */
#ifndef SENNIT_BASE_LOCK_H
#define SENNIT_BASE_LOCK_H

#include "base/asym.h"
#include "base/base.h"

enum lock_rank {
    LOCK_UNRANKED,
    LOCK_REGISTRY,
    LOCK_CONN,
    LOCK_CTX,
    LOCK_STREAM,
    LOCK_WRITE,
    LOCK_ARENA,
    LOCK_PRIM,
    LOCK_TIMER,
    LOCK_SCHED,
    LOCK_BLOCKS
};
struct lock {
    _Atomic uint32_t state; /* 0 free, 1 held */
};

void lock_slow(struct lock *l);
void lock_wake(struct lock *l);
extern _Atomic uint32_t lock_sleepers __attribute__((visibility("hidden"))); /* see lock.c */
extern _Atomic bool lock_forked; /* in a forked child: who would have to wait is told instead */
#ifdef SENNIT_CHECKS
void lock_note_taken(struct lock *l, int rank);
void lock_note_released(struct lock *l, int rank);
#else
static inline void lock_note_taken(struct lock *l, int rank) { (void)l, (void)rank; }
static inline void lock_note_released(struct lock *l, int rank) { (void)l, (void)rank; }
#endif

/* Without the rank check, which knows no order among locks of one rank: for who takes several. */
static inline void lock_take_unranked(struct lock *l)
{
    uint32_t zero = 0;
    if (unlikely(!atomic_compare_exchange_strong_explicit(&l->state, &zero, 1, memory_order_acquire,
                                                          memory_order_relaxed)))
        lock_slow(l);
}
static inline void lock_drop_unranked(struct lock *l)
{
    atomic_store_explicit(&l->state, 0, memory_order_release);
    asym_light();
    if (unlikely(atomic_load_explicit(&lock_sleepers, memory_order_relaxed) != 0))
        lock_wake(l);
}

static inline void lock_take(struct lock *l, int rank)
{
    lock_take_unranked(l);
    lock_note_taken(l, rank);
}
static inline void lock_drop(struct lock *l, int rank)
{
    lock_note_released(l, rank);
    lock_drop_unranked(l);
}

#endif
