/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * g.c: the goroutine records: chunks of them that are never given back before rt_shutdown (so that
 * a dump may walk them), a cache of each worker, a pool for all. A free one is all zero but for
 * next, id and state. Also ids, names and counts. Anyone may make one; only the worker on which it
 * ended frees it. */
#include "rt/rt_private.h"
#include <stdio.h>

/* Records in a chunk: few at first, for a small program is to stay small; later so many that its
 * head, and what malloc adds, are less than an octet for each. */
enum { G_BATCH = 64, G_CHUNK = 512 };

struct g_chunk {
    struct g_chunk *next;
    int n;
    struct rt_g g[];
};

static struct lock g_lock; /* guards what follows */
static struct g_chunk *g_chunks;
static int64_t g_made;
static struct rt_g *g_pool;

static struct rt_g *g_next(const struct rt_g *g) { return (struct rt_g *)g->next; }

/* Returns G_BATCH new ones; the others go to the pool. NULL: no memory. */
static struct rt_g *g_chunk_new(int n)
{
    size_t size = sizeof(struct g_chunk) + (size_t)n * sizeof(struct rt_g);
    san_ignore_begin();
    struct g_chunk *c = sys.aligned_alloc(64, size);
    if (c)
        memset(c, 0, size);
    san_ignore_end();
    if (!c)
        return NULL;
    c->n = n;
    for (int i = 0; i + 1 < n; i++)
        c->g[i].next = i + 1 == G_BATCH ? 0 : (uintptr_t)&c->g[i + 1];
    lock_take(&g_lock, LOCK_SCHED);
    c->next = g_chunks;
    g_chunks = c;
    g_made += n;
    if (n > G_BATCH) {
        c->g[n - 1].next = (uintptr_t)g_pool;
        g_pool = &c->g[G_BATCH];
    }
    lock_drop(&g_lock, LOCK_SCHED);
    return &c->g[0];
}

/* A batch from the pool, or of a new chunk. NULL: no memory. */
static struct rt_g *g_batch(void)
{
    lock_take(&g_lock, LOCK_SCHED);
    int n = g_made < G_CHUNK ? G_BATCH : G_CHUNK;
    struct rt_g *first = g_pool, *last = first;
    for (int i = 1; last && i < G_BATCH && g_next(last); i++)
        last = g_next(last);
    if (last) {
        g_pool = g_next(last);
        last->next = 0;
    }
    lock_drop(&g_lock, LOCK_SCHED);
    return first ? first : g_chunk_new(n);
}

static void g_give(struct rt_g *first)
{
    struct rt_g *last = first;
    if (!first)
        return;
    while (g_next(last))
        last = g_next(last);
    lock_take(&g_lock, LOCK_SCHED);
    last->next = (uintptr_t)g_pool;
    g_pool = first;
    lock_drop(&g_lock, LOCK_SCHED);
}

static struct rt_g *g_new_of_thread(void)
{
    struct rt_g *g = g_batch();
    if (!g)
        return NULL;
    g_give(g_next(g));
    g->id = atomic_fetch_add(&rt_state.ids, 1) + 1;
    return g;
}

struct rt_g *rt_g_new_slow(struct rt_worker *w)
{
    if (!w)
        return g_new_of_thread();
    if (!w->g_cache)
        w->g_cache = g_batch();
    if (!w->g_cache)
        return NULL;
    w->g_cached = 0;
    for (struct rt_g *g = w->g_cache; g; g = g_next(g))
        w->g_cached++;
    if (w->id_next == w->id_end) {
        w->id_next = atomic_fetch_add(&rt_state.ids, RT_IDS) + 1;
        w->id_end = w->id_next + RT_IDS;
    }
    return rt_g_new(w);
}

/* Half of a full cache goes to the pool. */
void rt_g_free_slow(struct rt_worker *w)
{
    struct rt_g *keep = w->g_cache;
    for (int i = 1; i < RT_G_CACHE / 2; i++)
        keep = g_next(keep);
    struct rt_g *rest = g_next(keep);
    keep->next = 0;
    w->g_cached = RT_G_CACHE / 2;
    g_give(rest);
}

void rt_g_each(void (*fn)(const struct rt_g *g, void *arg), void *arg)
{
    lock_take(&g_lock, LOCK_SCHED);
    for (struct g_chunk *c = g_chunks; c; c = c->next)
        for (int i = 0; i < c->n; i++)
            if (atomic_load_explicit(&c->g[i].state, memory_order_relaxed) != RT_G_FREE)
                fn(&c->g[i], arg);
    lock_drop(&g_lock, LOCK_SCHED);
}

/* New chunks come first in the list, so that a walk in turns meets none twice. */
void *rt_g_next_chunk(void *chunk, struct rt_g **gs, int *n)
{
    struct g_chunk *c = chunk;
    lock_take(&g_lock, LOCK_SCHED);
    c = c ? c->next : g_chunks;
    lock_drop(&g_lock, LOCK_SCHED);
    *gs = c ? c->g : NULL;
    *n = c ? c->n : 0;
    return c;
}

/* At the end of rt_shutdown: nobody else runs. */
void rt_g_stop(void)
{
    while (g_chunks) {
        struct g_chunk *c = g_chunks;
        g_chunks = c->next;
        sys.free(c);
    }
    g_pool = NULL;
    g_made = 0;
}

static int64_t g_spawned(void)
{
    int64_t n = atomic_load(&rt_state.spawned);
    for (uint32_t i = 0; i < atomic_load(&rt_state.n_workers); i++)
        n += atomic_load(&atomic_load(&rt_state.workers[i])->spawned);
    return n;
}

/* Ends are counted first: one that ends meanwhile is then seen as alive, never the reverse. */
int64_t rt_g_live(void)
{
    int64_t n = -atomic_load(&rt_state.ended);
    for (uint32_t i = 0; i < atomic_load(&rt_state.n_workers); i++)
        n -= atomic_load(&atomic_load(&rt_state.workers[i])->ended);
    return n + g_spawned();
}

static void g_count_parked(const struct rt_g *g, void *arg)
{
    int64_t *n = arg;
    *n += atomic_load_explicit(&g->state, memory_order_relaxed) == RT_G_PARKED;
}

struct rt_counts rt_counts(void)
{
    struct rt_counts c = { .goroutines = rt_g_live(),
                           .fds = rt_netpoll_fds(),
                           .timers = rt_timers_armed() - rt_trim_armed(),
                           .spawned = g_spawned() };
    rt_g_each(g_count_parked, &c.parked);
    int64_t n = atomic_load(&rt_state.enlisted), target = rt_state.target;
    c.workers = n < target ? n : target;
    c.spare_workers = n - c.workers;
    return c;
}

uint64_t rt_id(const struct rt_g *g) { return g->id; }

/* Records are not given back before rt_shutdown, so g may be read; its id may just be changing. */
bool rt_alive(const struct rt_g *g, uint64_t id)
{
    return atomic_load_explicit(&g->state, memory_order_relaxed) != RT_G_FREE &&
           __atomic_load_n(&g->id, __ATOMIC_RELAXED) == id;
}
const char *rt_name(const struct rt_g *g) { return g->name ? g->name : ""; }

const char *rt_describe(const struct rt_g *g, char *buf, size_t size)
{
    const char *kind = g->flags & RT_G_THREAD ? "thread" : "goroutine", *name = rt_name(g);
    if (*name)
        snprintf(buf, size, "%s %llu (%s)", kind, (unsigned long long)g->id, name);
    else
        snprintf(buf, size, "%s %llu", kind, (unsigned long long)g->id);
    return buf;
}

void rt_set_name(const char *name)
{
    struct rt_g *g = rt_self();
    if (g)
        g->name = name;
}
