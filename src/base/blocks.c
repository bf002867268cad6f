/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * blocks.c: a stack of free blocks for each size class, four classes an octave. A block belongs to
 * whoever took it; here it holds only the pointer to the next one. All of them together stay below
 * LIMIT_BLOCKS_KEPT, and the runtime trims them once a second while it has work and twice after. */
#include "base/blocks.h"
#include "base/limits.h"
#include "base/lock.h"
#include <malloc.h>

#define BLOCKS_LEAST_LOG 14u /* 16 KiB: smaller ones the system's allocator keeps itself */
#define BLOCKS_CLASSES   33u /* to 4 MiB, a message of the default limit */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BLOCKS_OFF 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BLOCKS_OFF 1 /* they are to see every free */
#endif

struct block {
    struct block *next;
};
struct block_class {
    struct block *top;
    uint32_t n, least; /* how many there are; and were at least, since the last trim */
};

static struct lock blocks_lock;
static struct block_class blocks_classes[BLOCKS_CLASSES];
static size_t blocks_kept; /* octets */

static size_t blocks_class_size(unsigned c)
{
    return (size_t)(4 + c % 4) << (BLOCKS_LEAST_LOG - 2 + c / 4);
}

/* The largest class that is not above size, which is at least 16 KiB. */
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
    if (likely(size <= (size_t)3 << (BLOCKS_LEAST_LOG - 2)) ||
        size > blocks_class_size(BLOCKS_CLASSES - 1))
        return BLOCKS_CLASSES;
    if (size <= (size_t)1 << BLOCKS_LEAST_LOG)
        return 0;
    unsigned c = blocks_class_below(size);
    return c + (blocks_class_size(c) < size);
}

size_t blocks_size(size_t size)
{
    unsigned c = blocks_class_of(size);
    return c < BLOCKS_CLASSES ? blocks_class_size(c) : size;
}

void *blocks_take(size_t size)
{
    unsigned c = blocks_class_of(size);
    if (likely(c >= BLOCKS_CLASSES))
        return NULL;
    struct block_class *k = &blocks_classes[c];
    lock_take(&blocks_lock, LOCK_BLOCKS);
    struct block *b = k->top;
    if (b) {
        k->top = b->next;
        k->least = (uint32_t)min_size(k->least, --k->n);
        blocks_kept -= blocks_class_size(c);
    }
    lock_drop(&blocks_lock, LOCK_BLOCKS);
    return b;
}

bool blocks_keep(void *p)
{
    size_t size = malloc_usable_size(p);
    if (likely(size < (size_t)1 << BLOCKS_LEAST_LOG) || blocks_class_of(size) >= BLOCKS_CLASSES)
        return false;
    unsigned c = blocks_class_below(size);
    struct block *b = p;
    bool room = false;
    lock_take(&blocks_lock, LOCK_BLOCKS);
    if (blocks_kept + blocks_class_size(c) <= LIMIT_BLOCKS_KEPT) {
        b->next = blocks_classes[c].top;
        blocks_classes[c].top = b;
        blocks_classes[c].n++;
        blocks_kept += blocks_class_size(c);
        room = true;
    }
    lock_drop(&blocks_lock, LOCK_BLOCKS);
    return room;
}

bool blocks_trim(void (*release)(void *))
{
    struct block *spare = NULL;
    lock_take(&blocks_lock, LOCK_BLOCKS);
    for (unsigned c = 0; c < BLOCKS_CLASSES; c++) {
        struct block_class *k = &blocks_classes[c];
        for (; k->least; k->least--, k->n--) {
            struct block *b = k->top;
            k->top = b->next;
            b->next = spare;
            spare = b;
            blocks_kept -= blocks_class_size(c);
        }
        k->least = k->n;
    }
    bool left = blocks_kept > 0;
    lock_drop(&blocks_lock, LOCK_BLOCKS);
    while (spare) {
        struct block *b = spare;
        spare = b->next;
        release(b);
    }
    return left;
}
