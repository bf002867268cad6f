/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * model.h: comes before a real file of src/ and makes each atomic operation in it a step of the
 * model (model.c): another thread may go on, and a load may give an older value, as far as the
 * orders that the source names allow. */
#ifndef SENNIT_MODEL_H
#define SENNIT_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t model_load(const volatile void *p, size_t size, int order);
void model_store(volatile void *p, size_t size, uint64_t v, int order);
/* What was there; op: '=' exchange, '+' '-' '|' '&'. */
uint64_t model_change(volatile void *p, size_t size, char op, uint64_t v, int order);
bool model_cas(volatile void *p, size_t size, void *expected, uint64_t v, int order, int fail);
void model_fence(int order);
void model_relax(void);
void model_write(const void *p); /* plain data: a race is told */
void model_read(const void *p);
void model_check(bool fine, const char *what);

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
#undef atomic_fetch_sub
#undef atomic_thread_fence

#define MODEL_VALUE(p)                 __typeof__((void)0, *(p))
#define atomic_load_explicit(p, o)     ((MODEL_VALUE(p))model_load(p, sizeof *(p), o))
#define atomic_store_explicit(p, v, o) model_store(p, sizeof *(p), (uint64_t)(MODEL_VALUE(p))(v), o)
#define atomic_exchange_explicit(p, v, o)                                                          \
    ((MODEL_VALUE(p))model_change(p, sizeof *(p), '=', (uint64_t)(MODEL_VALUE(p))(v), o))
#define atomic_compare_exchange_strong_explicit(p, e, v, o, f)                                     \
    model_cas(p, sizeof *(p), e, (uint64_t)(MODEL_VALUE(p))(v), o, f)
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit
#define atomic_load(p)                        atomic_load_explicit(p, memory_order_seq_cst)
#define atomic_store(p, v)                    atomic_store_explicit(p, v, memory_order_seq_cst)
#define atomic_exchange(p, v)                 atomic_exchange_explicit(p, v, memory_order_seq_cst)
#define atomic_compare_exchange_strong(p, e, v)                                                    \
    atomic_compare_exchange_strong_explicit(p, e, v, memory_order_seq_cst, memory_order_seq_cst)
#define atomic_fetch_add(p, v)                                                                     \
    ((MODEL_VALUE(p))model_change(p, sizeof *(p), '+', (uint64_t)(v), memory_order_seq_cst))
#define atomic_fetch_sub(p, v)                                                                     \
    ((MODEL_VALUE(p))model_change(p, sizeof *(p), '-', (uint64_t)(v), memory_order_seq_cst))
#define atomic_thread_fence(o) model_fence(o)
#define __builtin_ia32_pause() model_relax()

#endif
