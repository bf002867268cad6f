/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * blocks.c: a stack of free blocks for each size class, four classes an octave. A block belongs to
 * whoever took it; here it holds only the pointer to the next one. All of them together stay below
 * LIMIT_BLOCKS_KEPT, and the runtime trims them once a second while it has work and twice after.
 * Below 16 KiB the system's allocator is fast itself, but has a heap for each thread: what one
 * thread frees is of no use to the next one, each heap grows to the most that was ever in use, and
 * pieces of all sizes lie between each other. So sizes that come and go by the thousand are made
 * class sizes by who wants them (blocks_size), and those alone are kept: for all threads. */
#include "base/blocks.h"
#include "base/limits.h"
#include "base/lock.h"
#include <malloc.h>
#include <stdatomic.h>

#define BLOCKS_LEAST_LOG 9u     /* 512 octets */
#define BLOCKS_CLASSES   53u    /* to 4 MiB, a message of the default limit */
#define BLOCKS_LARGE     16384u /* from here on every size is made a class size */
#define BLOCKS_SPARE     24u    /* octets that the system's allocator gives for nothing, at most */
#if defined(BASE_ASAN) || defined(BASE_TSAN)
#define BLOCKS_OFF 1 /* they are to see every free */
#endif

struct block {
    struct block *next;
};
struct block_class {
    struct lock lock;
    uint32_t n, least; /* how many there are; and were at least, since the last trim */
    struct block *top;
};

static struct block_class blocks_classes[BLOCKS_CLASSES];
static _Atomic size_t blocks_kept; /* octets */

static size_t blocks_class_size(unsigned c)
{
    return (size_t)(4 + c % 4) << (BLOCKS_LEAST_LOG - 2 + c / 4);
}

/* The largest class that is not above size, which is not below the least one. */
static unsigned blocks_class_below(size_t size)
{
    unsigned log = 63 - (unsigned)__builtin_clzll(size);
    return (log - BLOCKS_LEAST_LOG) * 4 + (unsigned)(size >> (log - 2)) % 4;
}

/* The class that a request is served from; BLOCKS_CLASSES: none. */
static unsigned blocks_class_of(size_t size)
{
#ifdef BLOCKS_OFF
    return BLOCKS_CLASSES;
#endif
    if (likely(size < (size_t)1 << BLOCKS_LEAST_LOG) ||
        size > blocks_class_size(BLOCKS_CLASSES - 1))
        return BLOCKS_CLASSES;
    unsigned c = blocks_class_below(size);
    return c + (blocks_class_size(c) < size);
}

size_t blocks_size(size_t size)
{
    unsigned c = blocks_class_of(size);
    return c < BLOCKS_CLASSES ? blocks_class_size(c) : size;
}

size_t blocks_large(size_t size) { return size < BLOCKS_LARGE ? size : blocks_size(size); }

void *blocks_take(size_t size)
{
    unsigned c = blocks_class_of(size);
    if (likely(c >= BLOCKS_CLASSES) || (size < BLOCKS_LARGE && blocks_class_size(c) != size))
        return NULL;
    struct block_class *k = &blocks_classes[c];
    lock_take(&k->lock, LOCK_BLOCKS);
    struct block *b = k->top;
    if (b) {
        k->top = b->next;
        k->least = (uint32_t)min_size(k->least, --k->n);
    }
    lock_drop(&k->lock, LOCK_BLOCKS);
    if (b)
        atomic_fetch_sub_explicit(&blocks_kept, blocks_class_size(c), memory_order_relaxed);
    return b;
}

bool blocks_keep(void *p)
{
    size_t usable = malloc_usable_size(p);
    if (likely(usable < (size_t)1 << BLOCKS_LEAST_LOG) || blocks_class_of(usable) >= BLOCKS_CLASSES)
        return false;
    unsigned c = blocks_class_below(usable);
    size_t size = blocks_class_size(c);
    if (size < BLOCKS_LARGE && usable - size > BLOCKS_SPARE)
        return false; /* of another size */
    if (atomic_fetch_add_explicit(&blocks_kept, size, memory_order_relaxed) + size >
        LIMIT_BLOCKS_KEPT) {
        atomic_fetch_sub_explicit(&blocks_kept, size, memory_order_relaxed);
        return false;
    }
    struct block_class *k = &blocks_classes[c];
    struct block *b = p;
    lock_take(&k->lock, LOCK_BLOCKS);
    b->next = k->top;
    k->top = b;
    k->n++;
    lock_drop(&k->lock, LOCK_BLOCKS);
    return true;
}

BASE_COLD bool blocks_trim(void (*release)(void *))
{
    size_t left = 0;
    for (unsigned c = 0; c < BLOCKS_CLASSES; c++) {
        struct block_class *k = &blocks_classes[c];
        struct block *spare = NULL;
        lock_take(&k->lock, LOCK_BLOCKS);
        for (; k->least; k->least--, k->n--) {
            struct block *b = k->top;
            k->top = b->next;
            b->next = spare;
            spare = b;
        }
        k->least = k->n;
        left += k->n;
        lock_drop(&k->lock, LOCK_BLOCKS);
        while (spare) {
            struct block *b = spare;
            spare = b->next;
            atomic_fetch_sub_explicit(&blocks_kept, blocks_class_size(c), memory_order_relaxed);
            release(b);
        }
    }
    return left > 0;
}
