/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * arena.c: blocks of 1 KiB doubling to 64 KiB; a request of more than half a block gets one of its
 * own, behind the current one, so that the free rest of the current one is not lost. */
#include "base/arena.h"
#include "base/limits.h"
#include "base/sys.h"
#include <stdio.h>

#define ARENA_FIRST   1024u  /* octets of the first block */
#define ARENA_LARGEST 65536u /* octets of the blocks that small requests share */

struct arena_block {
    struct arena_block *next;
    size_t size; /* with this header */
};

void arena_fini(struct sennit_arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        sys.free(b);
    }
    a->at = a->end = NULL;
    a->used = 0;
}

/* All blocks but the newest small one, which is the result. */
static struct arena_block *arena_free_others(struct arena_block *b)
{
    struct arena_block *kept = NULL;
    while (b) {
        struct arena_block *next = b->next;
        if (!kept && b->size <= ARENA_LARGEST)
            kept = b;
        else
            sys.free(b);
        b = next;
    }
    if (kept)
        kept->next = NULL;
    return kept;
}

/* Begins anew with the one block that is kept, or NULL: a loop of calls then allocates nothing. */
static inline void arena_begin(struct sennit_arena *a, struct arena_block *kept)
{
    a->used = kept ? kept->size : 0;
    a->failed = false;
    if (kept && kept->size - sizeof *kept > a->first_size) {
        a->at = (char *)(kept + 1);
        a->end = (char *)kept + kept->size;
    } else {
        a->at = a->first;
        a->end = a->first ? a->first + a->first_size : NULL;
    }
}

static __attribute__((noinline)) void arena_reset_many(struct sennit_arena *a)
{
    a->blocks = arena_free_others(a->blocks);
    arena_begin(a, a->blocks);
}

/* Mostly there is the one block that is kept, and nothing else to set. */
void arena_reset(struct sennit_arena *a)
{
    struct arena_block *kept = a->blocks;
    size_t size = kept ? kept->size - sizeof *kept : 0;
    if (unlikely(size <= a->first_size || size > ARENA_LARGEST - sizeof *kept || kept->next ||
                 a->failed)) {
        arena_reset_many(a);
        return;
    }
    a->at = (char *)(kept + 1);
    a->end = a->at + size;
}

static struct arena_block *arena_grow(struct sennit_arena *a, size_t size)
{
    size_t whole = sys_size(size);
    if (size > a->cap || a->used > a->cap - size)
        return NULL;
    struct arena_block *b = sys.malloc(whole);
    if (b) {
        b->size = size;
        a->used += size;
    }
    return b;
}

/* The arena is the caller's alone here. n is a multiple of 8. */
static void *arena_take(struct sennit_arena *a, size_t n)
{
    if (n <= (size_t)(a->end - a->at)) {
        void *p = a->at;
        a->at += n;
        return p;
    }
    struct arena_block *newest = a->blocks; /* is it the current one? Its end may have been taken */
    uintptr_t past = newest ? (uintptr_t)a->end - (uintptr_t)(newest + 1) : 0;
    bool shared = newest && past <= newest->size - sizeof *newest;
    size_t size = shared ? min_size(a->blocks->size * 2, ARENA_LARGEST) : ARENA_FIRST;
    bool own = n > (size - sizeof(struct arena_block)) / 2;
    struct arena_block *b = arena_grow(a, own ? n + sizeof *b : size);
    if (!b) {
        a->failed = true;
        return NULL;
    }
    struct arena_block **at = own && shared ? &a->blocks->next : &a->blocks;
    b->next = *at;
    *at = b;
    if (!own) {
        a->at = (char *)(b + 1) + n;
        a->end = (char *)b + b->size;
    }
    return b + 1;
}

void *arena_alloc_slow(struct sennit_arena *a, size_t size, size_t align)
{
    sn_assert(align <= 8);
    if (size > SIZE_MAX - 64)
        return NULL;
    size_t n = size ? (size + 7) & ~(size_t)7 : 8;
    if (!a->shared)
        return arena_take(a, n);
    lock_take(&a->lock, LOCK_ARENA);
    void *p = a->at;
    if (likely(n <= (size_t)(a->end - a->at)))
        a->at += n;
    else
        p = arena_take(a, n);
    lock_drop(&a->lock, LOCK_ARENA);
    return p;
}

BASE_COLD void arena_drop(struct sennit_arena *a, const void *p, size_t size)
{
    size_t n = (size + 7) & ~(size_t)7;
    lock_take(&a->lock, LOCK_ARENA);
    for (struct arena_block **at = &a->blocks, *b; (b = *at); at = &b->next) {
        if ((const void *)(b + 1) != p || b->size != n + sizeof *b)
            continue;
        *at = b->next;
        a->used -= b->size;
        sys.free(b);
        break;
    }
    lock_drop(&a->lock, LOCK_ARENA);
}

BASE_COLD void arena_keep_only(struct sennit_arena *a, const void *p)
{
    lock_take(&a->lock, LOCK_ARENA);
    for (struct arena_block **at = &a->blocks, *b; (b = *at);) {
        if ((uintptr_t)p - (uintptr_t)b < b->size) {
            at = &b->next;
            continue;
        }
        *at = b->next;
        a->used -= b->size;
        sys.free(b);
    }
    a->at = a->end = NULL;
    lock_drop(&a->lock, LOCK_ARENA);
}

void *arena_zalloc(struct sennit_arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    return p ? memset(p, 0, size) : NULL;
}

sennit_str arena_str(struct sennit_arena *a, const void *data, size_t n)
{
    char *p = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;
    if (!p)
        return (sennit_str){ NULL, 0 };
    if (n)
        memcpy(p, data, n);
    p[n] = 0;
    return (sennit_str){ p, n };
}

sennit_str arena_vprintf(struct sennit_arena *a, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (sennit_str){ p, p ? (size_t)n : 0 };
}

sennit_str arena_printf(struct sennit_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sennit_str s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}

/* -- public ---------------------------------------------------------------------------------- */

sennit_arena *sennit_arena_new(void)
{
    struct sennit_arena *a = sys.malloc(sizeof *a);
    if (a)
        arena_init(a, NULL, 0);
    return a;
}

void sennit_arena_free(sennit_arena *a)
{
    if (a) {
        arena_fini(a);
        sys.free(a);
    }
}

void sennit_arena_reset(sennit_arena *a)
{
    if (a)
        arena_reset(a);
}

void *sennit_alloc(sennit_arena *a, size_t size) { return a ? arena_alloc(a, size) : NULL; }
