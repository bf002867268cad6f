/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * random.h: cheap chance for jitter and fairness; not for secrets. */
#ifndef SENNIT_BASE_RANDOM_H
#define SENNIT_BASE_RANDOM_H

#include "base/base.h"

uint32_t random_u32(void); /* from any thread; seeded once from the system */

#endif
