/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sim_points.h: comes before each file of src/ that has atomics, and makes of each use of one a
 * point at which another thread may go on. Where the library spins until another has moved on, that
 * one is given its turn. The orders are those of the source, and mean nothing here: see test/model.
 */
#ifndef SENNIT_SIM_POINTS_H
#define SENNIT_SIM_POINTS_H

#include <stdatomic.h>
#include <stdbool.h>

extern int sim_points_left; /* until the next change of threads */
extern unsigned sim_focus;  /* of SIM_SITES groups of places the one where it changes often */
void sim_point_hit(bool focus);
int sim_weakly(void); /* a weak exchange fails although it need not */
enum { SIM_SITES = 61 };
static inline void sim_point(unsigned site)
{
    bool focus = site % SIM_SITES == sim_focus;
    if (--sim_points_left <= 0 || focus)
        sim_point_hit(focus);
}
#define SIM_SITE ((unsigned)(__LINE__ * 31 + sizeof __FILE__))

#ifndef __clang__ /* whose built-ins take no _Atomic */
#define HOOK_LOAD(p, o)                                                                            \
    __extension__({                                                                                \
        __auto_type ptr_ = (p);                                                                    \
        ATOMIC_VALUE(ptr_) value_;                                                                 \
        sim_point(SIM_SITE);                                                                       \
        __atomic_load(ptr_, &value_, o);                                                           \
        value_;                                                                                    \
    })
#define HOOK_STORE(p, v, o)                                                                        \
    __extension__({                                                                                \
        __auto_type ptr_ = (p);                                                                    \
        ATOMIC_VALUE(ptr_) value_ = (v);                                                           \
        sim_point(SIM_SITE);                                                                       \
        __atomic_store(ptr_, &value_, o);                                                          \
    })
#define HOOK_EXCHANGE(p, v, o)                                                                     \
    __extension__({                                                                                \
        __auto_type ptr_ = (p);                                                                    \
        ATOMIC_VALUE(ptr_) value_ = (v), was_;                                                     \
        sim_point(SIM_SITE);                                                                       \
        __atomic_exchange(ptr_, &value_, &was_, o);                                                \
        was_;                                                                                      \
    })
#define HOOK_CAS(p, e, v, o, f)                                                                    \
    __extension__({                                                                                \
        __auto_type ptr_ = (p);                                                                    \
        ATOMIC_VALUE(ptr_) value_ = (v);                                                           \
        sim_point(SIM_SITE);                                                                       \
        __atomic_compare_exchange(ptr_, (e), &value_, 0, o, f);                                    \
    })
#define HOOK_WEAK(p, e, v, o, f)                                                                   \
    __extension__({                                                                                \
        __auto_type weak_ = (p);                                                                   \
        __auto_type expected_ = (e);                                                               \
        bool did_ = false;                                                                         \
        if (sim_weakly())                                                                          \
            *expected_ = HOOK_LOAD(weak_, f);                                                      \
        else                                                                                       \
            did_ = HOOK_CAS(weak_, expected_, v, o, f);                                            \
        did_;                                                                                      \
    })
#define HOOK_FETCH(op, p, v, o) (sim_point(SIM_SITE), __atomic_fetch_##op(p, v, o))
#include "atomics.h"
#endif

#ifdef SIM_RELAX
#include "rt/rt_private.h"
void sim_relax(void);
#define rt_relax sim_relax
uintptr_t sim_local_pop(struct rt_worker *w);
#define rt_local_pop sim_local_pop
#endif

#endif
