/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * group.c: goroutines that end before their group does. The group embeds its context and counts
 * with a wait group, whose last `done` is the last touch of a member. The first error is kept as a
 * copy of the group's own, since its maker's ring ends with the maker. */
#include "base/sys.h"
#include "rt/ctx_private.h"
#include "rt/err.h"

struct sennit_group {
    struct sennit_ctx ctx;
    sennit_wait_group running;
    struct lock lock;
    sennit_err first; /* guarded; from err_hold */
    bool lame;
};

struct group_member {
    struct sennit_group *group;
    sennit_fn fn;
    void *arg;
};

static void group_fail(sennit_group *g, sennit_err err)
{
    sennit_err held = err_hold(err);
    lock_take(&g->lock, LOCK_PRIM);
    bool first = !g->first;
    if (first)
        g->first = held;
    lock_drop(&g->lock, LOCK_PRIM);
    if (!first)
        err_drop(held);
    ctx_end(&g->ctx, CTX_CANCELLED);
}

static void group_run(void *arg)
{
    struct group_member m = *(struct group_member *)arg;
    sys.free(arg);
    sennit_err err = m.fn(m.arg);
    if (err)
        group_fail(m.group, err);
    sennit_wait_group_done(&m.group->running);
}

/* What group_new returns without memory. */
static struct sennit_group group_lame = { .lame = true };

sennit_group *sennit_group_new(sennit_ctx *ctx)
{
    struct sennit_group *g = sys.malloc(sizeof *g);
    if (!g)
        return &group_lame;
    memset(g, 0, sizeof *g);
    ctx_init(&g->ctx, ctx, INT64_MAX, NULL, 0);
    return g;
}

sennit_ctx *sennit_group_ctx(sennit_group *g) { return g->lame ? &ctx_lame : &g->ctx; }

sennit_err sennit_group_go(sennit_group *g, sennit_fn fn, void *arg)
{
    if (g->lame)
        return sennit_no_memory;
    sennit_err err = sennit_no_memory;
    struct group_member *m = sys.malloc(sizeof *m);
    if (m) {
        *m = (struct group_member){ g, fn, arg };
        sennit_wait_group_add(&g->running, 1);
        err = rt_go(group_run, m, "group", 0);
        if (!err)
            return NULL;
        sys.free(m);
        sennit_wait_group_done(&g->running);
    }
    group_fail(g, err);
    return err;
}

sennit_err sennit_group_wait(sennit_group *g)
{
    if (g->lame)
        return sennit_no_memory;
    (void)sennit_wait_group_wait(&g->running, NULL);
    lock_take(&g->lock, LOCK_PRIM);
    sennit_err first = g->first;
    lock_drop(&g->lock, LOCK_PRIM);
    return err_own(first);
}

void sennit_group_free(sennit_group *g)
{
    if (!g || g->lame)
        return;
    ctx_end(&g->ctx, CTX_CANCELLED);
    (void)sennit_wait_group_wait(&g->running, NULL);
    ctx_fini(&g->ctx);
    err_drop(g->first);
    sys.free(g);
}
