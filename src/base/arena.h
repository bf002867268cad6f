/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * arena.h: bump allocation for what lives as long as a context or a call. Freed all at once. Not
 * for two goroutines at once, unless `shared` is set, which makes sennit_alloc take the arena's
 * lock. The first block may be handed in (embedded in a call), so that small calls never allocate.
 */
#ifndef SENNIT_BASE_ARENA_H
#define SENNIT_BASE_ARENA_H

#include "base/limits.h"
#include "base/lock.h"
#include "sennit.h"

struct arena_block; /* header of each malloc'ed block */

struct sennit_arena {
    char *at, *end;             /* free part of the current block, 8-aligned start */
    struct arena_block *blocks; /* newest first; NULL: only the handed-in one */
    char *first;                /* handed-in block or NULL */
    size_t first_size;
    size_t used, cap; /* octets taken from the system; limit (LIMIT_ARENA_CAP) */
    struct lock lock;
    bool shared, failed; /* failed: an allocation was refused once */
};

/* first may be NULL. Nothing is allocated here. */
static inline void arena_init(struct sennit_arena *a, void *first, size_t first_size)
{
    size_t skip = first ? -(uintptr_t)first & 7 : 0;
    zero_words(a, sizeof *a);
    if (first && first_size > skip) {
        a->first = (char *)first + skip;
        a->first_size = (first_size - skip) & ~(size_t)7;
        a->at = a->first;
        a->end = a->first + a->first_size;
    }
    a->cap = LIMIT_ARENA_CAP;
}
void arena_fini(struct sennit_arena *a); /* frees all blocks; a may be init'ed again */
void arena_reset(struct sennit_arena *a);
/* The same, for who seldom takes more than the block that was handed in. */
static inline void arena_rewind(struct sennit_arena *a)
{
    if (likely(!a->blocks && !a->failed))
        a->at = a->first;
    else
        arena_reset(a);
}
/* Gives back what arena_alloc gave for so many octets, if that had a block of its own (large ones
 * do); nothing may point to it. */
void arena_drop(struct sennit_arena *a, const void *p, size_t size);
/* Frees all blocks but that in which p lies; nothing may point to the others. What was handed in
 * stays, but is of no more use. */
void arena_keep_only(struct sennit_arena *a, const void *p);
void *arena_alloc_slow(struct sennit_arena *a, size_t size, size_t align);

/* 8-aligned, not zeroed; NULL: no memory or over the cap. */
static inline void *arena_alloc(struct sennit_arena *a, size_t size)
{
    size_t n = (size + 7) & ~(size_t)7;
    if (likely(!a->shared && n >= size && n - 1 < (size_t)(a->end - a->at))) { /* 0 is slow */
        void *p = a->at;
        a->at += n;
        return p;
    }
    return arena_alloc_slow(a, size, 8);
}
/* Makes what was taken last larger, in its place; false: it was not the last, or no room is left.
 */
static inline bool arena_extend(struct sennit_arena *a, const char *p, size_t size, size_t larger)
{
    size_t n = (size + 7) & ~(size_t)7, want = (larger + 7) & ~(size_t)7;
    if (a->shared || p + n != a->at || a->at == a->first || want < larger ||
        want - n > (size_t)(a->end - a->at))
        return false;
    a->at += want - n;
    return true;
}
void *arena_zalloc(struct sennit_arena *a, size_t size);
/* Copies n octets and adds a NUL. NULL data: no memory. */
sennit_str arena_str(struct sennit_arena *a, const void *data, size_t n);
sennit_str arena_vprintf(struct sennit_arena *a, const char *fmt, va_list ap);
sennit_str arena_printf(struct sennit_arena *a, const char *fmt, ...) SENNIT_PRINTF(2, 3);

#endif
