/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * random.c: one shared splitmix counter. Each call takes the next state by an atomic add, so it
 * needs no thread-local (which a migrating goroutine must not keep) and no lock. */
#include "base/random.h"
#include "base/sys.h"
#include <stdatomic.h>

static _Atomic uint64_t random_state;

static void random_seed(void)
{
    uint64_t seed = 0, none = 0;
    if (sys.getrandom(&seed, sizeof seed) != (ssize_t)sizeof seed)
        seed = (uint64_t)sys_now();
    seed |= 1;
    atomic_compare_exchange_strong_explicit(&random_state, &none, seed, memory_order_relaxed,
                                            memory_order_relaxed);
}

uint32_t random_u32(void)
{
    if (unlikely(atomic_load_explicit(&random_state, memory_order_relaxed) == 0))
        random_seed();
    uint64_t z = atomic_fetch_add_explicit(&random_state, UINT64_C(0x9e3779b97f4a7c15),
                                           memory_order_relaxed);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 32);
}
