/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * stack.c: stacks of two classes, 256 and 64 KiB, cut from slabs of 64 MiB of reserved address
 * space (less where that is limited). NOHUGEPAGE always: one touched octet under huge pages costs
 * 64 KiB. Below each stack lie 64 KiB of guard, so that a frame smaller than that cannot jump over
 * it: MADV_GUARD_INSTALL where the kernel has it (no mapping of its own for each), else mprotect
 * for as many as vm.max_map_count bears, then none: a stack is never refused for lack of a guard.
 * A stack belongs to the loop or the goroutine on it, else to a worker's cache or to the pool.
 * Slabs live until rt_shutdown. */
#include "rt/rt_private.h"
#include <stdio.h>
#include <sys/mman.h>

enum {
    STACK_GUARD = 65536,
    STACK_SLAB = 64 << 20,
    STACK_MPROTECTS = 20000, /* two mappings each; the default vm.max_map_count is 65530 */
    STACK_GUARD_INSTALL = 102
};
static const uint32_t stack_sizes[RT_STACK_CLASSES] = { 256 << 10, 64 << 10 };

struct stack_slab {
    struct stack_slab *next;
    char *map;
    size_t len;
    uint32_t used, n;
    struct rt_stack stacks[];
};

static struct lock stack_lock; /* guards the two below, and each slab's used */
static struct stack_slab *stack_slabs[RT_STACK_CLASSES];
static struct rt_stack *stack_pool[RT_STACK_CLASSES];
static _Atomic uint32_t stack_mprotects;
static _Atomic bool stack_no_install; /* the kernel has no guard regions */

static bool stack_add_slab(unsigned cls)
{
    size_t unit = STACK_GUARD + stack_sizes[cls];
    size_t len = SAN_FRESH_STACKS ? unit : STACK_SLAB;
    char *map = NULL;
    for (; !map && (len >= 2 * unit || SAN_FRESH_STACKS); len = map ? len : len / 2)
        map = sys.mmap(len, PROT_READ | PROT_WRITE, MAP_NORESERVE | MAP_STACK);
    if (!map)
        return false;
    uint32_t n = (uint32_t)(len / unit);
    struct stack_slab *slab = sys.calloc(1, sizeof *slab + n * sizeof slab->stacks[0]);
    if (!slab) {
        sys.munmap(map, len);
        return false;
    }
    sys.madvise(map, len, MADV_NOHUGEPAGE);
    slab->map = map, slab->len = len, slab->n = n;
    for (uint32_t i = 0; i < n; i++)
        slab->stacks[i] = (struct rt_stack){ .base = map + i * unit + STACK_GUARD,
                                             .size = stack_sizes[cls],
                                             .cls = (uint8_t)cls };
    lock_take(&stack_lock, LOCK_SCHED);
    slab->next = stack_slabs[cls];
    stack_slabs[cls] = slab;
    lock_drop(&stack_lock, LOCK_SCHED);
    return true;
}

static void stack_guard(struct rt_stack *s)
{
    char *guard = s->base - STACK_GUARD;
    if (!atomic_load(&stack_no_install)) {
        int rc = sys.madvise(guard, STACK_GUARD, STACK_GUARD_INSTALL);
        s->guarded = rc >= 0;
        if (s->guarded)
            return;
        if (rc == -EINVAL)
            atomic_store(&stack_no_install, true);
    }
    if (atomic_fetch_add(&stack_mprotects, 1) < STACK_MPROTECTS)
        s->guarded = sys.mprotect(guard, STACK_GUARD, PROT_NONE) >= 0;
}

/* From the pool, or cut from the newest slab that has room. */
static struct rt_stack *stack_take(unsigned cls)
{
    lock_take(&stack_lock, LOCK_SCHED);
    struct rt_stack *s = stack_pool[cls];
    if (s)
        stack_pool[cls] = s->next;
    bool cut = false;
    for (struct stack_slab *b = stack_slabs[cls]; !s && b; b = b->used < b->n ? b : NULL)
        if (b->used < b->n) {
            s = &b->stacks[b->used++];
            cut = true;
        }
    lock_drop(&stack_lock, LOCK_SCHED);
    if (cut)
        stack_guard(s);
    return s;
}

static struct rt_stack *stack_get_new(unsigned cls)
{
    san_ignore_begin();
    struct rt_stack *s = stack_take(cls);
    for (int tries = 0; !s && tries < 8 && stack_add_slab(cls); tries++)
        s = stack_take(cls); /* another may have emptied the new slab */
    san_ignore_end();
    if (s)
        san_unpoison(s->base, s->size);
    return s;
}

struct rt_stack *rt_stack_get(struct rt_worker *w, unsigned cls)
{
    struct rt_stack *s = w->stacks[cls];
    if (!s)
        return stack_get_new(cls);
    w->stacks[cls] = s->next;
    w->n_stacks[cls]--;
    return s;
}

/* Of a slab with one stack, for TSan: see sanitize.h. */
static void stack_unmap(struct rt_stack *s)
{
    struct stack_slab *slab = container_of(s, struct stack_slab, stacks[0]);
    lock_take(&stack_lock, LOCK_SCHED);
    struct stack_slab **p = &stack_slabs[s->cls];
    while (*p != slab)
        p = &(*p)->next;
    *p = slab->next;
    lock_drop(&stack_lock, LOCK_SCHED);
    san_ignore_begin();
    sys.munmap(slab->map, slab->len);
    sys.free(slab);
    san_ignore_end();
}

void rt_stack_put(struct rt_worker *w, struct rt_stack *s)
{
    unsigned cls = s->cls;
    san_unpoison(s->base, s->size);
    if (SAN_FRESH_STACKS) {
        stack_unmap(s);
    } else if (w->n_stacks[cls] < RT_STACK_CACHE) {
        s->next = w->stacks[cls];
        w->stacks[cls] = s;
        w->n_stacks[cls]++;
    } else {
        lock_take(&stack_lock, LOCK_SCHED);
        s->next = stack_pool[cls];
        stack_pool[cls] = s;
        lock_drop(&stack_lock, LOCK_SCHED);
    }
    if (unlikely(atomic_load_explicit(&rt_state.starved, memory_order_relaxed)))
        rt_starved_wake();
}

/* Keeps the next stack at hand and its top page touched: a page fault or a system call must not
 * come where a goroutine parks, for its caller may hold a lock until commit. */
void rt_stack_refill(struct rt_worker *w, unsigned cls)
{
    if (likely(w->stacks[cls] != NULL))
        return;
    struct rt_stack *s = rt_stack_get(w, cls);
    if (!s)
        return;
    rt_stack_frame(s);
    s->next = NULL;
    w->stacks[cls] = s;
    w->n_stacks[cls] = 1;
}

void rt_stack_flush(struct rt_worker *w)
{
    for (unsigned cls = 0; cls < RT_STACK_CLASSES; cls++) {
        struct rt_stack *last = w->stacks[cls];
        if (!last)
            continue;
        while (last->next)
            last = last->next;
        lock_take(&stack_lock, LOCK_SCHED);
        last->next = stack_pool[cls];
        stack_pool[cls] = w->stacks[cls];
        lock_drop(&stack_lock, LOCK_SCHED);
        w->stacks[cls] = NULL;
        w->n_stacks[cls] = 0;
    }
}

/* What rt_switch pops: see switch_*.S. */
void *rt_stack_frame(struct rt_stack *s)
{
    uintptr_t *top = (uintptr_t *)(s->base + s->size - 16);
    san_ignore_begin();
#if defined(__x86_64__)
    uintptr_t *sp = top - 7; /* r15 r14 r13 r12 rbx rbp, return address */
    memset(sp, 0, 7 * sizeof *sp);
    sp[3] = (uintptr_t)s;
    sp[6] = (uintptr_t)rt_context_entry;
#elif defined(__aarch64__)
    uintptr_t *sp = top - 20; /* x19..x30, d8..d15 */
    memset(sp, 0, 20 * sizeof *sp);
    sp[0] = (uintptr_t)s;
    sp[11] = (uintptr_t)rt_context_entry;
#else
#error "goroutines need a context switch for this processor"
#endif
    san_ignore_end();
    return sp;
}

bool rt_stack_is_guard(const struct rt_stack *s, const void *addr)
{
    const char *p = addr;
    return p < s->base && p >= s->base - STACK_GUARD;
}

/* At the end of rt_shutdown: nobody else runs. */
void rt_stack_stop(void)
{
    for (unsigned cls = 0; cls < RT_STACK_CLASSES; cls++) {
        while (stack_slabs[cls]) {
            struct stack_slab *b = stack_slabs[cls];
            stack_slabs[cls] = b->next;
            sys.munmap(b->map, b->len);
            sys.free(b);
        }
        stack_pool[cls] = NULL;
    }
    atomic_store(&stack_mprotects, 0);
}
