/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * asym.h: a fence in two halves: the frequent side pays nothing, the rare one makes all threads of
 * the process pass a full fence (membarrier: 0.5 us alone, 1.6 us beside a busy thread). Where
 *     A: store x   (anything)   load y          B: store y   asym_heavy   load x
 * run at once, at least one of them sees the other's store. Without membarrier (before Linux 4.14,
 * or a sandbox that forbids it) asym_heavy says so, and B must do without. */
#ifndef SENNIT_RT_ASYM_H
#define SENNIT_RT_ASYM_H

#include <stdbool.h>

bool asym_heavy(void);

#endif
