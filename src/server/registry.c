/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * registry.c: methods by full path. Filled before serving, then read by every reader without a
 * lock. */
#include "base/sys.h"
#include "server/server.h"

static uint32_t registry_hash(const char *s, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 16777619u;
    return h;
}

static void registry_put(struct server_registry *r, const struct server_method *m)
{
    size_t i = m->hash & (r->room - 1);
    while (r->slots[i].method)
        i = (i + 1) & (r->room - 1);
    r->slots[i] = *m;
    r->n++;
}

/* Room for more methods at half load. */
static bool registry_grow(struct server_registry *r, size_t more)
{
    size_t room = r->room ? r->room : 16;
    while ((r->n + more) * 2 > room)
        room *= 2;
    if (room == r->room)
        return true;
    struct server_registry bigger = *r;
    bigger.slots = sys.calloc(room, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    bigger.room = room, bigger.n = 0;
    for (size_t i = 0; i < r->room; i++) {
        if (r->slots[i].method)
            registry_put(&bigger, &r->slots[i]);
    }
    sys.free(r->slots);
    *r = bigger;
    return true;
}

bool registry_has_service(const struct server_registry *r, const char *name, size_t len)
{
    for (size_t i = 0; i < r->n_services; i++) {
        if (strlen(r->services[i]->name) == len && memcmp(r->services[i]->name, name, len) == 0)
            return true;
    }
    return false;
}

int registry_add(struct server_registry *r, const sennit_service_desc *d, const void *methods,
                 void *self)
{
    if (registry_has_service(r, d->name, strlen(d->name)))
        return 1;
    const sennit_service_desc **services =
        sys.realloc(r->services, (r->n_services + 1) * sizeof(void *));
    if (!services)
        return -1;
    r->services = services;
    if (!registry_grow(r, d->n_methods))
        return -1;
    r->services[r->n_services++] = d;
    for (uint32_t i = 0; i < d->n_methods; i++) {
        struct server_method m = { .method = &d->methods[i], .service = methods, .self = self };
        m.path_len = (uint32_t)strlen(m.method->path);
        m.hash = registry_hash(m.method->path, m.path_len);
        registry_put(r, &m);
    }
    return 0;
}

const struct server_method *registry_find(const struct server_registry *r, const char *path,
                                          size_t len)
{
    if (!r->room)
        return NULL;
    uint32_t hash = registry_hash(path, len);
    for (size_t i = hash & (r->room - 1); r->slots[i].method; i = (i + 1) & (r->room - 1)) {
        const struct server_method *m = &r->slots[i];
        if (m->hash == hash && m->path_len == len && memcmp(m->method->path, path, len) == 0)
            return m;
    }
    return NULL;
}

void registry_fini(struct server_registry *r)
{
    sys.free(r->slots);
    sys.free(r->services);
}
