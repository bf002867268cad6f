/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * note.c: one waiter, any number of setters.
 *
 * state  0 clear, 1 set, else the waiting rt_g.
 *   set   CAS 0 -> 1, 1 -> 1, or g -> 1 and then unpark g: who does the last one is the only one
 *   wait  exchange 1 -> 0, or park with CAS 0 -> g (fails when it was set meanwhile), then 1 -> 0
 * The waiter's changes say nothing to setters but who g is, and that its registers are saved.
 * The setter's CAS is its last touch of the note: a waiter that saw the note may free it. */
#include "rt/rt_private.h"

void rt_note_set(struct rt_note *n)
{
    uintptr_t s = atomic_load_explicit(&n->state, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&n->state, &s, 1, memory_order_acq_rel,
                                                  memory_order_relaxed))
        ;
    if (s > 1)
        rt_unpark((struct rt_g *)s);
}

static bool note_commit(struct rt_g *g, void *arg)
{
    struct rt_note *n = arg;
    uintptr_t clear = 0;
    bool parked = atomic_compare_exchange_strong_explicit(
        &n->state, &clear, (uintptr_t)g, memory_order_release, memory_order_relaxed);
    sn_assert(parked || clear == 1); /* a second waiter */
    return parked;
}

void rt_note_wait(struct rt_note *n, const char *reason)
{
    uintptr_t set = 1;
    while (!atomic_compare_exchange_strong_explicit(&n->state, &set, 0, memory_order_acquire,
                                                    memory_order_relaxed)) {
        rt_park(note_commit, n, reason);
        set = 1;
    }
}
