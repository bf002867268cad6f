/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * interop_compressed.c: see interop_compressed.h. */
#include "interop_compressed.h"

static char compressed_key;

static void compressed_note(void *self, sennit_ctx *ctx, const sennit_event *e)
{
    (void)self;
    if (e->kind == SENNIT_EVENT_IN_MESSAGE)
        sennit_ctx_set(ctx, &compressed_key, e->compressed ? &compressed_key : NULL);
}

const sennit_stats_hook compressed_stats = { .event = compressed_note };

bool compressed_seen(sennit_ctx *ctx) { return sennit_ctx_get(ctx, &compressed_key) != NULL; }
