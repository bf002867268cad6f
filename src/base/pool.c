/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * pool.c: a list under a lock for each pool. A free block's first octets link it. Under
 * AddressSanitizer nothing is kept, so that the use of a block that was given back is seen. */
#include "base/pool.h"
#include "base/sys.h"

static struct lock pool_lock; /* guards the list of pools */
static struct pool *pool_list;

void *pool_take(struct pool *p)
{
    lock_take(&p->lock, LOCK_ARENA);
    void *block = p->first;
    if (block) {
        p->first = *(void **)block;
        p->least = (unsigned)min_size(p->least, --p->n);
    }
    lock_drop(&p->lock, LOCK_ARENA);
    if (block)
        return block;
    block = sys.malloc(p->size);
    return block && p->cleared ? memset(block, 0, p->cleared) : block;
}

static void pool_free(struct pool *p, void *block)
{
    if (p->fini)
        p->fini(block);
    sys.free(block);
}

BASE_COLD static void pool_enlist(struct pool *p)
{
    lock_take(&pool_lock, LOCK_ARENA);
    p->next = pool_list;
    pool_list = p;
    lock_drop(&pool_lock, LOCK_ARENA);
}

void pool_give(struct pool *p, void *block)
{
    if (!block)
        return;
    lock_take(&p->lock, LOCK_ARENA);
    bool kept = BASE_KEEPS && p->n < p->most, first = kept && !p->listed;
    if (kept) {
        *(void **)block = p->first;
        p->first = block;
        p->n++;
        p->listed = true;
    }
    lock_drop(&p->lock, LOCK_ARENA);
    if (!kept)
        pool_free(p, block);
    else if (unlikely(first))
        pool_enlist(p);
}

/* The last n of them; unlinks them from the others. */
BASE_COLD static void *pool_cut(struct pool *p, unsigned n)
{
    void **at = &p->first, *rest;
    for (unsigned i = n; i < p->n; i++)
        at = *at;
    rest = *at;
    *at = NULL;
    p->n -= n;
    return rest;
}

BASE_COLD static void pool_free_all(struct pool *p, void *block)
{
    while (block) {
        void *next = *(void **)block;
        pool_free(p, block);
        block = next;
    }
}

BASE_COLD bool pool_trim(void)
{
    bool left = false;
    lock_take(&pool_lock, LOCK_ARENA);
    struct pool *p = pool_list; /* none leaves the list before pool_stop */
    lock_drop(&pool_lock, LOCK_ARENA);
    for (; p; p = p->next) {
        lock_take(&p->lock, LOCK_ARENA);
        void *spare = pool_cut(p, p->least);
        p->least = p->n;
        left = left || p->n;
        lock_drop(&p->lock, LOCK_ARENA);
        pool_free_all(p, spare);
    }
    return left;
}

void pool_give_stock(struct pool *p, struct pool_stock *s)
{
    for (void *block = s->first, *next; block; block = next) {
        next = *(void **)block;
        pool_give(p, block);
    }
    s->first = NULL;
}

BASE_COLD void pool_stop(void)
{
    for (struct pool *p = pool_list; p; p = p->next) {
        pool_free_all(p, pool_cut(p, p->n));
        p->least = 0;
        p->listed = false;
    }
    pool_list = NULL;
}
