/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * lock.c: the slow half of lock.h, and the rank check of debug builds.
 *
 *   take   CAS state 0 -> 1
 *   drop   1 state = 0   2 asym_light   3 sleepers > 0: if the lock's bucket has some, too, wakes
 *          one, by the address
 *   sleep  1 bucket + 1, sleepers + 1   2 asym_heavy   3 CAS state 0 -> 1, or sleeps while it is 1,
 *          and again   4 both - 1
 * If 3 of drop reads 0 though 1 of sleep is done, it did so before the heavy fence, and then 3 of
 * sleep sees the lock free. So a drop is a plain store: the second locked instruction of each
 * section (2 of 4.4 ns) is paid by who sleeps, after 200 turns in vain. The counts lie
 * outside of the lock, which may be freed once it is dropped.
 * Without the fence a sleeper looks again each millisecond. */
#include "base/lock.h"
#include "base/sys.h"
#include <stdio.h>
#include <stdlib.h>

/* About the length of the longest section; beyond it sleeping is cheaper. (A model has fewer of
 * this and of other numbers that time or memory, not the protocol, asks for.) */
#ifndef LOCK_SPINS
#define LOCK_SPINS 200
#endif

static inline void lock_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

_Atomic bool lock_forked;
_Atomic uint32_t lock_sleepers;
static _Atomic uint32_t lock_buckets[64]; /* the same, by the lock's address */

static _Atomic uint32_t *lock_bucket(const struct lock *l)
{
    return &lock_buckets[((uintptr_t)l >> 4) % countof(lock_buckets)];
}

/* The thread that holds the lock does not exist in a forked child. */
static void lock_check_fork(void)
{
    if (likely(!atomic_load_explicit(&lock_forked, memory_order_relaxed)))
        return;
    fprintf(stderr, "sennit: the library was in use before this process was forked: here only exec "
                    "and exit are allowed\n");
    abort();
}

void lock_slow(struct lock *l)
{
    lock_check_fork();
    for (int i = 0; i < LOCK_SPINS; i++) {
        uint32_t zero = 0;
        if (atomic_load_explicit(&l->state, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&l->state, &zero, 1, memory_order_acquire,
                                                    memory_order_relaxed))
            return;
        lock_relax();
    }
    _Atomic uint32_t *bucket = lock_bucket(l);
    atomic_fetch_add_explicit(bucket, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&lock_sleepers, 1, memory_order_relaxed);
    struct timespec tick = { 0, 1000000 }, *limit = asym_heavy() ? NULL : &tick;
    for (uint32_t zero = 0; !atomic_compare_exchange_strong_explicit(
             &l->state, &zero, 1, memory_order_acquire, memory_order_relaxed);
         zero = 0)
        sys.futex_wait(&l->state, 1, limit);
    atomic_fetch_sub_explicit(&lock_sleepers, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(bucket, 1, memory_order_relaxed);
}

/* l itself may be gone. */
void lock_wake(struct lock *l)
{
    if (atomic_load_explicit(lock_bucket(l), memory_order_relaxed))
        sys.futex_wake(&l->state, 1);
}

#ifdef SENNIT_CHECKS
#define LOCK_HELD_MOST 16
/* The records are the thread's; ThreadSanitizer, to which each goroutine is a thread of its own,
 * would take their use for a race. */
#define LOCK_UNWATCHED __attribute__((no_sanitize("thread")))
static _Thread_local struct lock_held {
    int rank[LOCK_HELD_MOST], n;
} lock_held;

/* Own function, never inlined: a goroutine that migrated must not meet a cached address. No lock is
 * held over a park, so what is counted here belongs to this thread. */
LOCK_UNWATCHED static __attribute__((noinline)) struct lock_held *lock_mine(void)
{
    struct lock_held *h = &lock_held;
    __asm__ volatile("" : "+r"(h));
    return h;
}

LOCK_UNWATCHED void lock_note_taken(struct lock *l, int rank)
{
    struct lock_held *h = lock_mine();
    (void)l;
    for (int i = 0; i < h->n; i++) {
        if (rank != LOCK_UNRANKED && h->rank[i] >= rank) {
            fprintf(stderr, "sennit: lock of rank %d taken while one of rank %d is held\n", rank,
                    h->rank[i]);
            abort();
        }
    }
    sn_assert(h->n < LOCK_HELD_MOST);
    h->rank[h->n++] = rank;
}

LOCK_UNWATCHED void lock_note_released(struct lock *l, int rank)
{
    struct lock_held *h = lock_mine();
    (void)l;
    for (int i = h->n; i-- > 0;) {
        if (h->rank[i] == rank) {
            h->rank[i] = h->rank[--h->n];
            return;
        }
    }
    sn_assert(!"a lock is released that this thread does not hold");
}
#endif
