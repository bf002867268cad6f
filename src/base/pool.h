/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * pool.h: blocks of one size that are borrowed for a moment by whoever is busy (a turn of reading,
 * a batch being sent), so that what is idle holds none and what is busy asks the system for none.
 * The runtime trims them with the system's blocks: once a second while it works, and twice after.
 * Any thread; a pool is static, and its initialiser names the first four members. */
#ifndef SENNIT_BASE_POOL_H
#define SENNIT_BASE_POOL_H

#include "base/lock.h"

struct pool {
    size_t size;    /* octets of a block, the first of which are the pool's while it is there */
    unsigned most;  /* blocks that are kept */
    size_t cleared; /* octets of a fresh block that are zeroed */
    void (*fini)(void *block); /* before it is freed; or NULL */
    struct lock lock;
    unsigned n, least; /* there are; and were at least since the last trim. Guarded, as the rest */
    void *first;
    struct pool *next; /* of those that were used, for pool_stop */
    bool listed;
};

void *pool_take(struct pool *p); /* as it was given, but for its first pointer; NULL: no memory */
/* Also what sys.malloc gave, of that size. NULL is fine. */
void pool_give(struct pool *p, void *block);
/* Frees what nobody has needed since the last call. True: some are left, call again. */
bool pool_trim(void);
/* Blocks of one pool that one owner gave back and may take again in a moment, without the lock. */
struct pool_stock {
    void *first;
};
static inline void *pool_stock_take(struct pool *p, struct pool_stock *s)
{
    void *block = s->first;
    if (unlikely(!block))
        return pool_take(p);
    s->first = *(void **)block;
    return block;
}
static inline void pool_stock_give(struct pool *p, struct pool_stock *s, void *block)
{
    if (!BASE_KEEPS) {
        pool_give(p, block);
        return;
    }
    *(void **)block = s->first;
    s->first = block;
}
void pool_give_stock(struct pool *p, struct pool_stock *s); /* all of it: the moment is over */
void pool_stop(void); /* frees what all pools keep; nobody else runs */

#endif
