/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * local.c: what belongs to one goroutine: its local values, id, name, thread. Only the goroutine
 * itself (or the plain thread, by its stand-in) touches its list, so there is no lock. Values are
 * few: a list, newest first. */
#include "rt/rt_private.h"

struct rt_local {
    struct rt_local *next;
    const sennit_goroutine_local *key;
    void *value;
};

static struct rt_local *local_find(struct rt_g *g, const sennit_goroutine_local *key)
{
    struct rt_local *l = g ? g->locals : NULL;
    while (l && l->key != key)
        l = l->next;
    return l;
}

void *sennit_goroutine_get(const sennit_goroutine_local *key)
{
    struct rt_local *l = local_find(rt_self(), key);
    return l ? l->value : NULL;
}

sennit_err sennit_goroutine_set(const sennit_goroutine_local *key, void *value)
{
    struct rt_g *g = rt_self();
    struct rt_local *l = local_find(g, key);
    if (!l) {
        l = g ? sys.malloc(sizeof *l) : NULL;
        if (!l)
            return sennit_no_memory;
        *l = (struct rt_local){ .next = g->locals, .key = key };
        g->locals = l;
    }
    l->value = value;
    return NULL;
}

/* A destructor may set values again: they end, too. */
void rt_locals_end(struct rt_g *g)
{
    struct rt_local *l;
    while ((l = g->locals)) {
        g->locals = l->next;
        if (l->key->destroy && l->value)
            l->key->destroy(l->value);
        sys.free(l);
    }
}

uint64_t sennit_goroutine_id(void)
{
    struct rt_g *g = rt_self();
    return g ? g->id : 0;
}

const char *sennit_goroutine_name(void)
{
    struct rt_g *g = rt_self();
    return g ? rt_name(g) : "";
}

void sennit_goroutine_set_name(const char *name) { rt_set_name(name); }

void sennit_lock_thread(void)
{
    struct rt_worker *w = rt_worker();
    if (!w || !w->cur || w->cur->pin)
        return;
    w->cur->pin = w;
    w->cur->flags |= RT_G_LOCKED;
    atomic_fetch_add(&w->pinned, 1);
}

void sennit_unlock_thread(void)
{
    struct rt_worker *w = rt_worker();
    if (!w || !w->cur || !(w->cur->flags & RT_G_LOCKED))
        return;
    w->cur->flags &= (uint8_t)~RT_G_LOCKED;
    w->cur->pin = NULL;
    atomic_fetch_sub(&w->pinned, 1);
}
