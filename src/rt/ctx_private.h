/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * ctx_private.h: between ctx.c (the tree) and ctx_values.c (what hangs on a node). */
#ifndef SENNIT_RT_CTX_PRIVATE_H
#define SENNIT_RT_CTX_PRIVATE_H

#include "rt/ctx.h"

extern struct sennit_ctx ctx_lame; /* what constructors return without memory */

#endif
