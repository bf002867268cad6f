/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * interop_compressed.h: whether the last message that came in under a context was compressed. Noted
 * by the stats hook, which runs in the goroutine that receives. */
#ifndef INTEROP_COMPRESSED_H
#define INTEROP_COMPRESSED_H

#include "sennit.h"

extern const sennit_stats_hook compressed_stats;
bool compressed_seen(sennit_ctx *ctx);

#endif
