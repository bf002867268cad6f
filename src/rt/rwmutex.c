/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * rwmutex.c: sennit_rwmutex: many readers or one writer, for goroutines and plain threads alike.
 *
 * state: WRITER, WAITERS, and the number of readers above. While WAITERS is set nobody gets in but
 * by rw_admit, under the guard, first come first served: so a writer waits for the readers that are
 * inside, later readers wait for the writer, and none starves.
 *
 * Memory: who gets it may free it once unlocked. So a release is the last touch, made with no guard
 * held, unless somebody waits; those let in under the guard pass through it before they return. */
#include "rt/prim.h"

enum { RW_WRITER = 1, RW_WAITERS = 2, RW_READER = 4 };

struct rw_rep {
    _Atomic uint32_t state;
    struct lock guard;
    struct prim_waiter *waiters; /* guarded; lost: it wants to write */
} __attribute__((may_alias));
_Static_assert(sizeof(struct rw_rep) <= sizeof(sennit_rwmutex),
               "the public struct is large enough");

/* add: RW_WRITER or RW_READER. Under the guard or not; not while others wait. */
static bool rw_try(struct rw_rep *m, uint32_t add)
{
    uint32_t s = atomic_load_explicit(&m->state, memory_order_relaxed);
    uint32_t against = add == RW_WRITER ? ~0u : RW_WRITER | RW_WAITERS;
    while (!(s & against))
        if (atomic_compare_exchange_weak_explicit(&m->state, &s, s + add, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* Guarded: lets in who may go now, in their order. */
static void rw_admit(struct rw_rep *m)
{
    for (;;) {
        struct prim_waiter *w = m->waiters;
        uint32_t s = atomic_load_explicit(&m->state, memory_order_relaxed);
        if (!w) {
            atomic_fetch_and_explicit(&m->state, ~(uint32_t)RW_WAITERS, memory_order_release);
            return;
        }
        if ((s & RW_WRITER) || (w->lost && s >= RW_READER))
            return;
        atomic_fetch_add_explicit(&m->state, w->lost ? RW_WRITER : RW_READER, memory_order_acq_rel);
        prim_remove(&m->waiters, w);
        w->granted = true;
        rt_note_set(&w->note);
    }
}

static sennit_err rw_lock_slow(struct rw_rep *m, sennit_ctx *ctx, uint32_t add, const char *reason)
{
    struct prim_waiter w = { .lost = add == RW_WRITER };
    lock_take(&m->guard, LOCK_PRIM);
    bool got = false;
    for (uint32_t s = 0; !got && !(s & RW_WAITERS);) {
        got = rw_try(m, add);
        if (!got) /* released meanwhile, it is to be tried once more */
            s = atomic_fetch_or_explicit(&m->state, RW_WAITERS, memory_order_acq_rel) | RW_WAITERS;
    }
    if (!got) {
        prim_push_back(&m->waiters, &w);
        rw_admit(m);
    }
    lock_drop(&m->guard, LOCK_PRIM);
    if (got)
        return NULL;
    sennit_err ended = ctx_note_wait(ctx, &w.note, reason);
    lock_take(&m->guard, LOCK_PRIM);
    if (w.granted) {
        ended = NULL;
    } else {
        prim_remove(&m->waiters, &w);
        rw_admit(m);
    }
    lock_drop(&m->guard, LOCK_PRIM);
    return ended;
}

/* The release of sub is the last touch, unless others wait. */
static void rw_unlock(struct rw_rep *m, uint32_t sub)
{
    uint32_t s = atomic_load_explicit(&m->state, memory_order_relaxed);
    for (;;) {
        if (!(sub == RW_WRITER ? s & RW_WRITER : s >= RW_READER && !(s & RW_WRITER)))
            prim_misuse("unlock of an rwmutex that is not locked so");
        bool last = sub == RW_WRITER || s < 2 * RW_READER;
        if (!(s & RW_WAITERS) || !last) {
            if (atomic_compare_exchange_weak_explicit(&m->state, &s, s - sub, memory_order_release,
                                                      memory_order_relaxed))
                return;
            continue;
        }
        lock_take(&m->guard, LOCK_PRIM);
        bool waited = m->waiters != NULL;
        if (waited) {
            atomic_fetch_sub_explicit(&m->state, sub, memory_order_acq_rel);
            rw_admit(m);
        }
        lock_drop(&m->guard, LOCK_PRIM);
        if (waited)
            return;
        s = atomic_load_explicit(&m->state, memory_order_relaxed); /* they have given up */
    }
}

sennit_err sennit_rwmutex_lock(sennit_rwmutex *rw, sennit_ctx *ctx)
{
    struct rw_rep *m = (struct rw_rep *)rw;
    return rw_try(m, RW_WRITER) ? NULL : rw_lock_slow(m, ctx, RW_WRITER, "waiting to write");
}

sennit_err sennit_rwmutex_rlock(sennit_rwmutex *rw, sennit_ctx *ctx)
{
    struct rw_rep *m = (struct rw_rep *)rw;
    return rw_try(m, RW_READER) ? NULL : rw_lock_slow(m, ctx, RW_READER, "waiting to read");
}

void sennit_rwmutex_unlock(sennit_rwmutex *rw) { rw_unlock((struct rw_rep *)rw, RW_WRITER); }
void sennit_rwmutex_runlock(sennit_rwmutex *rw) { rw_unlock((struct rw_rep *)rw, RW_READER); }
