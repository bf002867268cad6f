/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * pool.c: a list under a lock for each pool. A free block's first octets link it. Under
 * AddressSanitizer nothing is kept, so that the use of a block that was given back is seen. */
#include "base/pool.h"
#include "base/sys.h"

static struct lock pool_lock; /* guards the list of pools */
static struct pool *pool_list;

#if defined(__SANITIZE_ADDRESS__)
#define POOL_KEEPS false
#elif defined(__has_feature)
#define POOL_KEEPS !__has_feature(address_sanitizer)
#else
#define POOL_KEEPS true
#endif

void *pool_take(struct pool *p)
{
    lock_take(&p->lock, LOCK_ARENA);
    void *block = p->first;
    if (block) {
        p->first = *(void **)block;
        p->n--;
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

static void pool_enlist(struct pool *p)
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
    bool kept = POOL_KEEPS && p->n < p->most, first = kept && !p->listed;
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

void pool_stop(void)
{
    for (struct pool *p = pool_list; p; p = p->next) {
        while (p->first) {
            void *block = p->first;
            p->first = *(void **)block;
            pool_free(p, block);
        }
        p->n = 0;
        p->listed = false;
    }
    pool_list = NULL;
}
