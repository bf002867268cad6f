/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * prim.c: parking under a guard, and waiting for a once. The context is a source as the others are,
 * so that exactly one of them sets the note: had two, the later one would write to a stack frame
 * that is gone. */
#include "rt/prim.h"
#include "rt/rt_private.h"
#include <stdio.h>
#include <stdlib.h>

void prim_misuse(const char *what)
{
    char who[160];
    struct rt_g *g = rt_self();
    fprintf(stderr, "sennit: %s, by %s\n", what, g ? rt_describe(g, who, sizeof who) : "a thread");
    abort();
}

#ifdef RT_TSAN
void rt_park_drop(struct lock *l) { lock_drop(l, LOCK_PRIM); }
#endif

static void prim_ctx_ended(struct ctx_watch *w)
{
    struct prim_once *o = container_of(w, struct prim_once, watch);
    if (prim_claim(o))
        prim_done(o, PRIM_CTX, false);
}

int prim_wait(struct prim_once *o, sennit_ctx *ctx, const char *reason)
{
    if (!ctx) {
        rt_note_wait(&o->note, reason);
        return o->which;
    }
    ctx_enter(ctx);
    bool watched = ctx_watch_add(ctx, &o->watch, prim_ctx_ended);
    if (!watched && prim_claim(o))
        o->which = PRIM_CTX, o->ok = false;
    else
        rt_note_wait(&o->note, reason);
    if (watched)
        ctx_watch_del(&o->watch);
    o->err = ctx_error_static(ctx);
    ctx_leave(ctx);
    return o->which;
}
