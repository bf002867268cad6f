/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sim_mem.c: memory at addresses that are the same in each run (channels are locked by address, so
 * an address is a decision), and that tells of double frees, writes past the end and, by what it
 * leaves in freed blocks, of reads after free. With AddressSanitizer its own allocator stays. */
#include "rt/sanitize.h"
#include "sim.h"
#include <stdlib.h>
#include <sys/mman.h>

#define MEM_HEAP   ((char *)0x100000000000)
#define MEM_STACKS ((char *)0x200000000000)
enum { MEM_LIVE = 0x5e111170, MEM_FREE = 0xdeadf4ee, MEM_CLASSES = 40 };

struct mem_block {
    uint32_t magic, cls;
    size_t size;
    struct mem_block *next;
    void *caller; /* who asked for it; what follows is aligned to 32 */
};

static struct sys_table mem_real;
static char *mem_at, *mem_map_at = MEM_STACKS;
static struct mem_block *mem_pool[MEM_CLASSES];
static int64_t mem_live;

int64_t sim_mem_live(void) { return mem_live; }

/* Who asked for what is left, as addr2line wants it. */
void sim_mem_list(void)
{
    extern const char __executable_start[];
    char *at = MEM_HEAP;
    while (at < mem_at) {
        const struct mem_block *b = (const struct mem_block *)at;
        if (b->magic == MEM_LIVE)
            fprintf(stderr, "  %zu octets asked for by %#zx\n", b->size,
                    (size_t)((char *)b->caller - __executable_start));
        at += (size_t)1 << b->cls;
    }
}

static unsigned mem_class(size_t size)
{
    unsigned c = 6;
    while (((size_t)1 << c) < size)
        c++;
    return c;
}

static void *mem_new(size_t size, bool zero, void *caller)
{
    sim_preempt(sim.o.preempt);
    if (sim_chance(sim.o.no_memory)) {
        sim_note("no memory", (int64_t)size, 0);
        return NULL;
    }
    unsigned c = mem_class(size + sizeof(struct mem_block) + 8);
    struct mem_block *b = mem_pool[c];
    if (b) {
        if (b->magic != MEM_FREE)
            sim_fail("a freed block was written to");
        mem_pool[c] = b->next;
    } else {
        b = (struct mem_block *)mem_at;
        mem_at += (size_t)1 << c;
    }
    *b = (struct mem_block){ MEM_LIVE, c, size, NULL, caller };
    memset(b + 1, zero ? 0 : 0xa5, size);
    memset((char *)(b + 1) + size, 0x5a, 8);
    mem_live++;
    return b + 1;
}

static void mem_free(void *p)
{
    struct mem_block *b = (struct mem_block *)p - 1;
    static const char guard[8] = { 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a };
    if (!p)
        return;
    if (b->magic != MEM_LIVE)
        sim_fail("a block is freed that is not live (twice?)");
    if (memcmp((char *)p + b->size, guard, sizeof guard) != 0)
        sim_fail("a block of %zu octets was written past its end", b->size);
    b->magic = MEM_FREE;
    memset(p, 0xdd, b->size);
    b->next = mem_pool[b->cls];
    mem_pool[b->cls] = b;
    mem_live--;
}

static void *mem_malloc(size_t size) { return mem_new(size, false, __builtin_return_address(0)); }
static void *mem_calloc(size_t n, size_t size)
{
    return mem_new(n * size, true, __builtin_return_address(0));
}
static void *mem_aligned(size_t align, size_t size)
{
    (void)align; /* workers only, whose _Alignas(64) is for speed */
    return mem_new(size, false, __builtin_return_address(0));
}
static void *mem_realloc(void *p, size_t size)
{
    void *q = mem_new(size, false, __builtin_return_address(0));
    if (q && p) {
        size_t old = ((struct mem_block *)p - 1)->size;
        memcpy(q, p, old < size ? old : size);
        mem_free(p);
    }
    return q;
}

static void *mem_mmap(size_t len, int prot, int flags)
{
    if (sim_chance(sim.o.no_memory))
        return NULL;
    void *p = mmap(mem_map_at, len, prot, flags | MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                   -1, 0);
    mem_map_at += (len + 0xffff) & ~(size_t)0xffff;
    return p == MAP_FAILED ? NULL : p;
}

#ifdef RT_ASAN
static void *mem_counted(void *p)
{
    mem_live += p != NULL;
    return p;
}
static void *mem_asan_malloc(size_t n)
{
    return sim_chance(sim.o.no_memory) ? NULL : mem_counted(malloc(n));
}
static void *mem_asan_calloc(size_t n, size_t size)
{
    return sim_chance(sim.o.no_memory) ? NULL : mem_counted(calloc(n, size));
}
static void *mem_asan_realloc(void *p, size_t n)
{
    void *q = sim_chance(sim.o.no_memory) ? NULL : realloc(p, n);
    mem_live += q && !p;
    return q;
}
static void *mem_asan_aligned(size_t a, size_t n) { return mem_counted(aligned_alloc(a, n)); }
static void mem_asan_free(void *p)
{
    mem_live -= p != NULL;
    free(p);
}
#endif

void sim_mem_install(void)
{
    mem_real = sys;
    mem_at = mmap(MEM_HEAP, (size_t)1 << 36, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (mem_at == MAP_FAILED)
        sim_fail("no room for the heap");
    sys.malloc = mem_malloc, sys.calloc = mem_calloc, sys.realloc = mem_realloc;
    sys.aligned_alloc = mem_aligned, sys.free = mem_free, sys.mmap = mem_mmap;
#ifdef RT_ASAN
    sys.malloc = mem_asan_malloc, sys.calloc = mem_asan_calloc, sys.realloc = mem_asan_realloc;
    sys.aligned_alloc = mem_asan_aligned, sys.free = mem_asan_free;
#endif
}
