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

/* Long loops that only save time are played once or twice. */
#define LOCK_SPINS   1
#define MUTEX_SPINS  1
#define CTX_SPINS    1
#define RT_RING      8
#define TIMER_WHEELS 1

uint64_t model_load(const volatile void *p, size_t size, int order);
void model_store(volatile void *p, size_t size, uint64_t v, int order);
enum model_op { MODEL_set, MODEL_add, MODEL_sub, MODEL_or, MODEL_and };
/* What was there. */
uint64_t model_change(volatile void *p, size_t size, enum model_op op, uint64_t v, int order);
bool model_cas(volatile void *p, size_t size, void *expected, uint64_t v, int order, int fail);
void model_fence(int order);
void model_relax(void);

/* One of the weakenings that the script mutants tries: an order, and what becomes of it. */
int model_order(int number, int order, int weaker);
#define MODEL_ORDER(number, order, weaker) model_order(number, order, weaker)

#define HOOK_LOAD(p, o)     ((ATOMIC_VALUE(p))model_load(p, sizeof *(p), o))
#define HOOK_STORE(p, v, o) model_store(p, sizeof *(p), (uint64_t)(ATOMIC_VALUE(p))(v), o)
#define HOOK_EXCHANGE(p, v, o)                                                                     \
    ((ATOMIC_VALUE(p))model_change(p, sizeof *(p), MODEL_set, (uint64_t)(ATOMIC_VALUE(p))(v), o))
#define HOOK_FETCH(op, p, v, o)                                                                    \
    ((ATOMIC_VALUE(p))model_change(p, sizeof *(p), MODEL_##op, (uint64_t)(v), o))
#define HOOK_CAS(p, e, v, o, f) model_cas(p, sizeof *(p), e, (uint64_t)(ATOMIC_VALUE(p))(v), o, f)
#define HOOK_WEAK               HOOK_CAS
#include "atomics.h"
#undef atomic_thread_fence
#define atomic_thread_fence(o) model_fence(o)
#define __builtin_ia32_pause() model_relax()

/* -- what scenes are made of ------------------------------------------------------------------ */

enum { MODEL_THREADS = 3 };
struct model_scene {
    const char *name;
    void (*start)(void); /* plain stores: before the threads */
    void (*fn[MODEL_THREADS])(void);
    void (*end)(void);  /* checks; plain loads see the last stores */
    bool (*rest)(void); /* whether threads may be asleep for ever; NULL: they may not */
    int depth;          /* another bound on deviations than the usual one */
};
extern const struct model_scene base_scenes[], queue_scenes[], prim_scenes[], poll_scenes[],
    work_scenes[];

int model_self(void);
void model_words(const uintptr_t words[MODEL_THREADS]); /* rt_local_word of each, in start */
void model_write(const void *p);                        /* plain data: a race is told */
void model_read(const void *p);
void model_check(bool fine, const char *what);
/* Atomics from p on are read before it is known whether what was read counts: it does if the
 * thread's next compare-and-exchange succeeds, and then must come before who overwrites it. */
void model_tentative(const volatile void *p, size_t size);
void model_sleep(const volatile void *on); /* until model_wake; may wake for nothing else */
void model_wake(const volatile void *on);
bool model_latest(const volatile void *p, size_t size, uint64_t value); /* the last store's */
void model_order_all(void); /* a full fence in each thread, at once (membarrier) */
extern int64_t model_clock_now;

#endif
