/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * seat.c: how a seat stops being a home.
 *
 *   owner enters  1 inside = 1   2 asym_light   3 home is still its own: it is in
 *                   else  4 who CAS 0 -> own number; fails: refused   5 inside = 0
 *   owner leaves  inside = 0
 *   other enters  1 who CAS 0 -> its number and "looks"; fails: refused   2 home = open and
 *                 asym_heavy, unless that was done before   3 inside is 1: who = 0, refused
 *                 4 who = its number: it is in
 *   Who finds one that looks in who waits for what becomes of that: it may be nothing.
 *   other leaves  who = 0
 * By 3 of the owner and 2 and 3 of the other one not both come in. An owner that finds its home
 * open in 3 stays visible as inside meanwhile, so that it is the other one who gives way; or that
 * one has looked before, and then is in. So one of the two comes in. */
#include "base/seat.h"
#include "base/sys.h"

#define SEAT_SPINS 200

static inline void seat_relax(int spins)
{
    static const struct timespec pause = { 0, 50000 };
    _Atomic uint32_t nobody = 0;
    if (spins >= SEAT_SPINS)
        sys.futex_wait(&nobody, 0, &pause);
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

void seat_init(struct seat *s)
{
    memset(s, 0, sizeof *s);
    if (!asym_ready())
        atomic_init(&s->home, SEAT_OPEN);
}

void seat_fence(void)
{
    static const struct timespec pause = { 0, 1000000 };
    _Atomic uint32_t nobody = 0;
    if (!asym_heavy()) /* if homes there are, it was there once; what was stored is seen by then */
        sys.futex_wait(&nobody, 0, &pause);
}

static bool seat_grab(struct seat *s, uint64_t as)
{
    for (int spins = 0;; spins++) {
        uint64_t who = 0;
        if (atomic_compare_exchange_strong(&s->who, &who, as))
            return true;
        if (!(who & SEAT_LOOKS))
            return false;
        seat_relax(spins);
    }
}

bool seat_take_late(struct seat *s, uint64_t me)
{
    bool mine = seat_grab(s, me);
    if (mine)
        atomic_store_explicit(&s->name, atomic_load_explicit(&s->home_name, memory_order_relaxed),
                              memory_order_relaxed);
    atomic_store_explicit(&s->inside, false, memory_order_relaxed);
    return mine;
}

bool seat_take_guest(struct seat *s, uint64_t me, const char *name)
{
    uint64_t home = 0;
    if (atomic_compare_exchange_strong_explicit(&s->home, &home, me, memory_order_relaxed,
                                                memory_order_relaxed)) {
        atomic_store_explicit(&s->home_name, name, memory_order_relaxed);
        return seat_take_home(s, me);
    }
    if (!seat_grab(s, me | SEAT_LOOKS))
        return false;
    if (!(home & SEAT_OPEN)) {
        atomic_store_explicit(&s->home, home | SEAT_OPEN, memory_order_relaxed);
        seat_fence();
    }
    if (atomic_load_explicit(&s->inside, memory_order_acquire)) {
        atomic_store_explicit(&s->who, 0, memory_order_release);
        return false;
    }
    atomic_store_explicit(&s->name, name, memory_order_relaxed);
    atomic_store_explicit(&s->who, me, memory_order_relaxed);
    return true;
}

uint64_t seat_holder(struct seat *s, const char **name)
{
    uint64_t who = atomic_load_explicit(&s->who, memory_order_relaxed);
    bool home = !who && atomic_load_explicit(&s->inside, memory_order_relaxed);
    *name = atomic_load_explicit(home ? &s->home_name : &s->name, memory_order_relaxed);
    if (home)
        who = atomic_load_explicit(&s->home, memory_order_relaxed);
    return who & ~(SEAT_LOOKS | SEAT_OPEN);
}
