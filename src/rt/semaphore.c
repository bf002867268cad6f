/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * semaphore.c: sennit_semaphore and sennit_once. A permit goes to who waits longest: none is taken
 * past the queue. All under the guard; who was given a permit passes through it before it returns,
 * so that it may free the semaphore if it knows that nobody else uses it. */
#include "rt/prim.h"

struct semaphore_rep {
    struct lock guard;
    uint32_t permits;            /* guarded; not 0: nobody waits */
    struct prim_waiter *waiters; /* guarded */
} __attribute__((may_alias));
_Static_assert(sizeof(struct semaphore_rep) <= sizeof(sennit_semaphore), "large enough");

/* state: 1 once fn has returned. */
struct once_rep {
    sennit_mutex mutex;
    _Atomic uint32_t done;
} __attribute__((may_alias));
_Static_assert(sizeof(struct once_rep) <= sizeof(sennit_once), "the public struct is large enough");

sennit_err sennit_semaphore_acquire(sennit_semaphore *semaphore, sennit_ctx *ctx)
{
    struct semaphore_rep *s = (struct semaphore_rep *)semaphore;
    struct prim_waiter w = { .granted = false };
    lock_take(&s->guard, LOCK_PRIM);
    bool got = s->permits > 0;
    if (got)
        s->permits--;
    else
        prim_push_back(&s->waiters, &w);
    lock_drop(&s->guard, LOCK_PRIM);
    if (got)
        return NULL;
    sennit_err ended = ctx_note_wait(ctx, &w.note, "waiting for a semaphore");
    lock_take(&s->guard, LOCK_PRIM);
    if (w.granted)
        ended = NULL;
    else
        prim_remove(&s->waiters, &w);
    lock_drop(&s->guard, LOCK_PRIM);
    return ended;
}

bool sennit_semaphore_try(sennit_semaphore *semaphore)
{
    struct semaphore_rep *s = (struct semaphore_rep *)semaphore;
    lock_take(&s->guard, LOCK_PRIM);
    bool got = s->permits > 0;
    s->permits -= got;
    lock_drop(&s->guard, LOCK_PRIM);
    return got;
}

void sennit_semaphore_release(sennit_semaphore *semaphore, uint32_t n)
{
    struct semaphore_rep *s = (struct semaphore_rep *)semaphore;
    struct prim_waiter *w;
    lock_take(&s->guard, LOCK_PRIM);
    for (; n && (w = prim_pop(&s->waiters)) != NULL; n--) {
        w->granted = true;
        rt_note_set(&w->note);
    }
    s->permits += n;
    lock_drop(&s->guard, LOCK_PRIM);
}

void sennit_once_do(sennit_once *once, void (*fn)(void *arg), void *arg)
{
    struct once_rep *o = (struct once_rep *)once;
    if (likely(atomic_load_explicit(&o->done, memory_order_acquire)))
        return;
    (void)sennit_mutex_lock(&o->mutex, NULL);
    if (!atomic_load_explicit(&o->done, memory_order_relaxed)) {
        fn(arg);
        atomic_store_explicit(&o->done, 1, memory_order_release);
    }
    sennit_mutex_unlock(&o->mutex);
}
