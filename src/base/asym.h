/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * asym.h: a fence in two halves: the frequent side pays nothing, the rare one makes all threads of
 * the process pass a full fence (membarrier: 0.5 us alone, 1.6 us beside a busy thread). Where
 *     A: store x   (anything)   load y          B: store y   asym_heavy   load x
 * run at once, at least one of them sees the other's store. Without membarrier (before Linux 4.14,
 * or a sandbox that forbids it) asym_heavy says so, and B must do without. */
#ifndef SENNIT_BASE_ASYM_H
#define SENNIT_BASE_ASYM_H

#include <stdatomic.h>
#include <stdbool.h>

bool asym_heavy(void);
bool asym_ready(void); /* false: asym_heavy cannot help here */

/* A's fence, between its store and its load: it keeps only the compiler from changing their order.
 */
static inline void asym_light(void) { atomic_signal_fence(memory_order_seq_cst); }

#endif
