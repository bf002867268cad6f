/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * atomics.h: makes each use of <stdatomic.h> in the files that follow a call of five hooks, which
 * the includer has defined: the simulation changes threads there, the model checker chooses what a
 * load sees. Which uses there are stands here, once.
 *   HOOK_LOAD(p, order)  HOOK_STORE(p, v, order)  HOOK_EXCHANGE(p, v, order)
 *   HOOK_FETCH(add | sub | or | and, p, v, order)
 *   HOOK_CAS(p, expected, v, order, order of failure), and HOOK_WEAK of the same. */
#ifndef SENNIT_TEST_ATOMICS_H
#define SENNIT_TEST_ATOMICS_H

#include <stdatomic.h>
#include <stdbool.h>

#define ATOMIC_VALUE(p) __typeof__((void)0, *(p)) /* the type without _Atomic */

#undef atomic_init
#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_weak_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and
#undef atomic_fetch_and_explicit

/* Nobody else knows the object yet. */
#define atomic_init(p, v) ((void)(*(ATOMIC_VALUE(p) *)(p) = (v)))

#define atomic_load_explicit(p, o)                             HOOK_LOAD(p, o)
#define atomic_store_explicit(p, v, o)                         HOOK_STORE(p, v, o)
#define atomic_exchange_explicit(p, v, o)                      HOOK_EXCHANGE(p, v, o)
#define atomic_compare_exchange_strong_explicit(p, e, v, o, f) HOOK_CAS(p, e, v, o, f)
#define atomic_compare_exchange_weak_explicit(p, e, v, o, f)   HOOK_WEAK(p, e, v, o, f)
#define atomic_fetch_add_explicit(p, v, o)                     HOOK_FETCH(add, p, v, o)
#define atomic_fetch_sub_explicit(p, v, o)                     HOOK_FETCH(sub, p, v, o)
#define atomic_fetch_or_explicit(p, v, o)                      HOOK_FETCH(or, p, v, o)
#define atomic_fetch_and_explicit(p, v, o)                     HOOK_FETCH(and, p, v, o)

#define atomic_load(p)         HOOK_LOAD(p, memory_order_seq_cst)
#define atomic_store(p, v)     HOOK_STORE(p, v, memory_order_seq_cst)
#define atomic_exchange(p, v)  HOOK_EXCHANGE(p, v, memory_order_seq_cst)
#define atomic_fetch_add(p, v) HOOK_FETCH(add, p, v, memory_order_seq_cst)
#define atomic_fetch_sub(p, v) HOOK_FETCH(sub, p, v, memory_order_seq_cst)
#define atomic_fetch_or(p, v)  HOOK_FETCH(or, p, v, memory_order_seq_cst)
#define atomic_fetch_and(p, v) HOOK_FETCH(and, p, v, memory_order_seq_cst)
#define atomic_compare_exchange_strong(p, e, v)                                                    \
    HOOK_CAS(p, e, v, memory_order_seq_cst, memory_order_seq_cst)
#define atomic_compare_exchange_weak(p, e, v)                                                      \
    HOOK_WEAK(p, e, v, memory_order_seq_cst, memory_order_seq_cst)

#endif
