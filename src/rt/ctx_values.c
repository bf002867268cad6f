/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * ctx_values.c: what hangs on a context: values by key, slots of the layers above, cleanups, text
 * and memory of its arena. Any thread may be in here; the lock of the tree's root guards the lists.
 * Memory is had before the lock is taken. Without memory nothing can be reported by these calls, so
 * the context ends with RESOURCE_EXHAUSTED and its RPC with it. */
#include "rt/ctx_private.h"
#include "rt/err.h"

struct ctx_value {
    struct ctx_value *next;
    const void *key;
    void *value;
};

/* Locked. */
static struct ctx_value *ctx_value_find(const struct sennit_ctx *ctx, const void *key)
{
    struct ctx_value *v = ctx->values;
    while (v && v->key != key)
        v = v->next;
    return v;
}

static bool ctx_value_change(struct sennit_ctx *ctx, const void *key, void *value)
{
    lock_take(&ctx->root->lock, LOCK_CTX);
    struct ctx_value *v = ctx_value_find(ctx, key);
    if (v)
        v->value = value;
    lock_drop(&ctx->root->lock, LOCK_CTX);
    return v != NULL;
}

void sennit_ctx_set(sennit_ctx *ctx, const void *key, void *value)
{
    if (!ctx || ctx == &ctx_lame || ctx_value_change(ctx, key, value))
        return;
    struct ctx_value *v = arena_alloc(&ctx->arena, sizeof *v), *other;
    if (!v) {
        ctx_end_because(ctx, sennit_no_memory);
        return;
    }
    v->key = key, v->value = value;
    lock_take(&ctx->root->lock, LOCK_CTX);
    other = ctx_value_find(ctx, key); /* set meanwhile by another goroutine */
    if (other)
        other->value = value;
    else
        v->next = ctx->values, ctx->values = v;
    lock_drop(&ctx->root->lock, LOCK_CTX);
}

void *sennit_ctx_get(sennit_ctx *ctx, const void *key)
{
    if (!ctx)
        return NULL;
    struct lock *l = &ctx->root->lock;
    struct ctx_value *v = NULL;
    lock_take(l, LOCK_CTX);
    for (; ctx && !v; ctx = ctx->parent)
        v = ctx_value_find(ctx, key);
    void *value = v ? v->value : NULL;
    lock_drop(l, LOCK_CTX);
    return value;
}

void *ctx_slot_get(struct sennit_ctx *ctx, enum ctx_slot slot)
{
    while (ctx && !ctx->slot[slot])
        ctx = ctx->parent;
    return ctx ? ctx->slot[slot] : NULL;
}

void ctx_cleanup_add(struct sennit_ctx *ctx, struct ctx_cleanup *c)
{
    lock_take(&ctx->root->lock, LOCK_CTX);
    c->next = ctx->cleanups;
    ctx->cleanups = c;
    lock_drop(&ctx->root->lock, LOCK_CTX);
}

void sennit_ctx_cap(sennit_ctx *ctx, size_t bytes)
{
    if (!ctx || ctx == &ctx_lame)
        return;
    lock_take(&ctx->arena.lock, LOCK_ARENA);
    ctx->arena.cap = bytes;
    lock_drop(&ctx->arena.lock, LOCK_ARENA);
}

sennit_arena *sennit_ctx_arena(sennit_ctx *ctx) { return ctx ? &ctx->arena : &ctx_lame.arena; }

sennit_str sennit_printf(sennit_ctx *ctx, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sennit_str s = arena_vprintf(sennit_ctx_arena(ctx), fmt, ap);
    va_end(ap);
    if (s.data)
        return s;
    if (ctx)
        ctx_end_because(ctx, sennit_no_memory);
    return (sennit_str){ "", 0 };
}
