/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * seat.h: a place for one at a time, where a second one is refused and told who is there, instead
 * of waiting. Nearly always the same one comes again and again: who comes first has it as a home,
 * enters and leaves with plain stores, and pays nothing for the check. The first other one ends
 * that (see seat.c), and then all enter by compare-and-exchange. Who is inside and comes again is
 * refused, too. Names are for texts: they must outlive the seat or, at least, who they name. */
#ifndef SENNIT_BASE_SEAT_H
#define SENNIT_BASE_SEAT_H

#include "base/asym.h"
#include "base/base.h"

/* Numbers of those who enter: not 0, and never those of others who live; bits 61 and 62 clear. */
#define SEAT_OPEN  (UINT64_C(1) << 61) /* in home: it is nobody's home any more */
#define SEAT_LOOKS (UINT64_C(1) << 62) /* in who: not yet inside, looks whether home's owner is */

struct seat {
    _Atomic uint64_t home; /* 0: of nobody yet */
    _Atomic uint64_t who;  /* inside, not by right of home */
    _Atomic(const char *) home_name, name;
    _Atomic bool inside; /* home's owner is */
};

void seat_init(struct seat *s);
bool seat_take_guest(struct seat *s, uint64_t me, const char *name);
bool seat_take_late(struct seat *s, uint64_t me);
/* Who is inside, and the name; 0: nobody, or has just left. */
uint64_t seat_holder(struct seat *s, const char **name);
/* What the caller stored before is seen by who leaves later, or the caller finds the seat free. */
void seat_fence(void);

/* Is it the caller's home? Then seat_take_home, else seat_take_guest. */
static inline bool seat_at_home(struct seat *s, uint64_t me)
{
    return atomic_load_explicit(&s->home, memory_order_relaxed) == me;
}
static inline bool seat_take_home(struct seat *s, uint64_t me)
{
    if (unlikely(atomic_load_explicit(&s->inside, memory_order_relaxed)))
        return false;
    atomic_store_explicit(&s->inside, true, memory_order_relaxed);
    asym_light();
    return likely(seat_at_home(s, me)) || seat_take_late(s, me);
}
static inline void seat_leave(struct seat *s, uint64_t me)
{
    if (likely(atomic_load_explicit(&s->who, memory_order_relaxed) != me))
        atomic_store_explicit(&s->inside, false, memory_order_release);
    else
        atomic_store(&s->who, 0);
    asym_light();
}

#endif
