/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * stack.c: stacks of two classes, 256 and 64 KiB, cut from slabs of 64 MiB of reserved address
 * space (less where that is limited). NOHUGEPAGE always: one touched octet under huge pages costs
 * 64 KiB. Below each stack lie 64 KiB of guard, so that a frame smaller than that cannot jump over
 * it: MADV_GUARD_INSTALL where the kernel has it (no mapping of its own for each), else mprotect
 * for as many as vm.max_map_count bears, then none: a stack is never refused for lack of a guard;
 * when its goroutine ends, the octets below must still be zero.
 * Stacks a power of two apart would meet in a few sets of the caches, since only their upper ends
 * are in use: so they lie 4 KiB further apart (1000 goroutines that yield: 53 ns of CPU each
 * without this, 27 with). Within the page all tops are at the same place: 16 lines in turn gave 0.6
 * ns more, but then what an idle stream's handler has there needs a second page. A stack belongs to
 * the loop or the goroutine on it, else to a worker's cache or to the pool. Slabs live until
 * rt_shutdown. */
#include "rt/log.h"
#include "rt/rt_private.h"
#include "rt/valgrind.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    STACK_GUARD = 65536,
    STACK_SHIFT = 4096, /* see above: between stacks, so that they do not fall into the same sets */
    STACK_SLAB = 64 << 20,
    STACK_GUARD_INSTALL = 102,
    STACK_CANARY = 256
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
static _Atomic int64_t stack_made, stack_unguarded;
static _Atomic bool stack_no_install; /* the kernel has no guard regions */
static uint32_t stack_mprotects_most;
static bool stack_valgrind; /* it watches us */

static void stack_forget(struct stack_slab *b)
{
    for (uint32_t i = 0; stack_valgrind && i < b->used; i++)
        valgrind_ask(VALGRIND_DEREGISTER, b->stacks[i].valgrind, 0);
}

static bool stack_add_slab(unsigned cls)
{
    size_t unit = STACK_GUARD + STACK_SHIFT + stack_sizes[cls];
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
        slab->stacks[i] = (struct rt_stack){ .base = map + i * unit + STACK_GUARD + STACK_SHIFT,
                                             .size = stack_sizes[cls],
                                             .cls = (uint8_t)cls };
    lock_take(&stack_lock, LOCK_SCHED);
    slab->next = stack_slabs[cls];
    stack_slabs[cls] = slab;
    lock_drop(&stack_lock, LOCK_SCHED);
    return true;
}

/* Guards by mprotect cost two mappings each: three quarters of all may go into them. */
static uint32_t stack_read_most(void)
{
    char text[32];
    int fd = sys.open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : sys.read(fd, text, sizeof text - 1);
    if (fd >= 0)
        sys.close(fd);
    text[n > 0 ? n : 0] = 0;
    long maps = strtol(text, NULL, 10);
    return (uint32_t)(maps > 0 ? maps : 65530) / 8 * 3;
}

/* SENNIT_STACK_GUARDS: "mprotect" as before Linux 6.13, "none" as beyond vm.max_map_count; for
 * tests. */
void rt_stack_start(void)
{
    const char *want = getenv("SENNIT_STACK_GUARDS");
    bool none = want && strcmp(want, "none") == 0;
    stack_valgrind = valgrind_ask(VALGRIND_RUNNING, 0, 0) != 0;
    atomic_store(&stack_no_install, none || (want && strcmp(want, "mprotect") == 0));
    stack_mprotects_most = none ? 0 : stack_read_most();
}

static void stack_unguarded_told(void)
{
    /* Not by the logger: it would want a goroutine, and here one is being made. */
    if (atomic_fetch_add(&stack_unguarded, 1) == 0 && log_on(LOG_RT, SENNIT_LOG_WARN))
        fprintf(stderr, "sennit: further goroutines have no guard below their stacks "
                        "(vm.max_map_count); overflows are noticed when one ends\n");
}

/* Without a guard: the address space below must be as untouched as it was. */
void rt_stack_check(const struct rt_g *g)
{
    const uint64_t *below = (const uint64_t *)(const void *)(g->stack->base - STACK_CANARY);
    for (size_t i = 0; i < STACK_CANARY / sizeof *below; i++)
        if (below[i]) {
            rt_overflow_report(g);
            abort();
        }
}

static void stack_guard(struct rt_stack *s)
{
    char *guard = s->base - STACK_GUARD;
    atomic_fetch_add(&stack_made, 1);
    if (unlikely(stack_valgrind))
        s->valgrind = (uint32_t)valgrind_ask(VALGRIND_REGISTER, (uintptr_t)s->base,
                                             (uintptr_t)s->base + s->size - 1);
    if (!atomic_load(&stack_no_install)) {
        int rc = sys.madvise(guard, STACK_GUARD, STACK_GUARD_INSTALL);
        s->guarded = rc >= 0;
        if (s->guarded)
            return;
        if (rc == -EINVAL)
            atomic_store(&stack_no_install, true);
    }
    if (atomic_fetch_add(&stack_mprotects, 1) < stack_mprotects_most)
        s->guarded = sys.mprotect(guard, STACK_GUARD, PROT_NONE) >= 0;
    if (!s->guarded)
        stack_unguarded_told();
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
    if (s)
        s->clean = false;
    if (cut)
        stack_guard(s);
    return s;
}

struct rt_stack *rt_stack_get_slow(unsigned cls)
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
    stack_forget(slab);
    san_ignore_begin();
    sys.munmap(slab->map, slab->len);
    sys.free(slab);
    san_ignore_end();
}

/* The worker's cache is full, or somebody waits for a stack: it goes to the pool. */
void rt_stack_put_slow(struct rt_stack *s)
{
    unsigned cls = s->cls;
    san_unpoison(s->base, s->size);
    if (SAN_FRESH_STACKS) {
        stack_unmap(s);
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
void rt_stack_refill_slow(struct rt_worker *w, unsigned cls)
{
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

/* What rt_switch restores: see switch_*.S. No memset: TSan would see it, and take the stacks of two
 * goroutines for shared memory. */
void *rt_stack_frame(struct rt_stack *s)
{
    uintptr_t *top = (uintptr_t *)(s->base + s->size - 16);
    san_ignore_begin();
#if defined(__x86_64__)
    volatile uintptr_t *sp = top - 1; /* rt_switch_fresh does the rest */
    *sp = 0;
#elif defined(__aarch64__)
    uintptr_t *sp = top - 20; /* x19..x30, d8..d15 */
    for (volatile uintptr_t *p = sp; p < top; p++)
        *p = 0;
    sp[0] = (uintptr_t)s;
    sp[11] = (uintptr_t)rt_context_entry;
#else
#error "goroutines need a context switch for this processor"
#endif
    san_ignore_end();
    return (void *)sp;
}

bool rt_stack_is_guard(const struct rt_stack *s, const void *addr)
{
    const char *p = addr;
    return p < s->base && p >= s->base - STACK_GUARD;
}

/* The pool's stacks lose their pages; the guards stay. Taken off meanwhile, for a system call must
 * not be made under the lock. */
void rt_stack_trim_pool(void)
{
    for (unsigned cls = 0; cls < RT_STACK_CLASSES; cls++) {
        lock_take(&stack_lock, LOCK_SCHED);
        struct rt_stack *s = stack_pool[cls], *last = NULL;
        stack_pool[cls] = NULL;
        lock_drop(&stack_lock, LOCK_SCHED);
        for (struct rt_stack *i = s; i; last = i, i = i->next)
            if (!i->clean) {
                sys.madvise(i->base, i->size, MADV_DONTNEED);
                i->clean = true;
            }
        if (!s)
            continue;
        lock_take(&stack_lock, LOCK_SCHED);
        last->next = stack_pool[cls];
        stack_pool[cls] = s;
        lock_drop(&stack_lock, LOCK_SCHED);
    }
}

void rt_stack_counts(int64_t *made, int64_t *unguarded)
{
    *made = atomic_load(&stack_made);
    *unguarded = atomic_load(&stack_unguarded);
}

/* At the end of rt_shutdown: nobody else runs. */
void rt_stack_stop(void)
{
    for (unsigned cls = 0; cls < RT_STACK_CLASSES; cls++) {
        while (stack_slabs[cls]) {
            struct stack_slab *b = stack_slabs[cls];
            stack_slabs[cls] = b->next;
            stack_forget(b);
            sys.munmap(b->map, b->len);
            sys.free(b);
        }
        stack_pool[cls] = NULL;
    }
    atomic_store(&stack_mprotects, 0);
    atomic_store(&stack_made, 0);
    atomic_store(&stack_unguarded, 0);
}
