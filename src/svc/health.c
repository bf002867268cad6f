/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * health.c: grpc.health.v1.Health. A server owns one table of statuses, which lives in its arena:
 * entries are only added. Watchers hang on the table with a note each; who changes a status sets
 * them all, and each looks for itself. When the server stops accepting, all is NOT_SERVING and the
 * watchers' streams end, so that they do not hold up its end. */
#include "base/sys.h"
#include "health.sennit.h"
#include "rt/why.h"
#include "server/server.h"

struct health_entry {
    struct health_entry *next;
    const char *service;
    size_t len;
    int32_t status;
};

struct server_health {
    struct sennit_server *server;
    struct ctx_watch stop;
    struct lock lock; /* LOCK_PRIM; guards what follows */
    struct health_entry *first, **last;
    struct list watchers;
    bool drained, stopping;
};

struct health_watcher {
    struct list node;
    struct rt_note note;
};

/* Locked. */
static void health_changed(struct server_health *h)
{
    list_each(n, &h->watchers) rt_note_set(&container_of(n, struct health_watcher, node)->note);
}

static struct health_entry *health_find(const struct server_health *h, sennit_str service)
{
    struct health_entry *e = h->first;
    while (e && (e->len != service.len || memcmp(e->service, service.data, e->len) != 0))
        e = e->next;
    return e;
}

static int32_t health_status(const struct server_health *h, const struct health_entry *e)
{
    return h->drained || h->stopping ? hv_HealthCheckResponse_ServingStatus_NOT_SERVING : e->status;
}

static sennit_err health_check(void *self, sennit_ctx *ctx, const hv_HealthCheckRequest *request,
                               hv_HealthCheckResponse *reply)
{
    struct server_health *h = self;
    (void)ctx;
    lock_take(&h->lock, LOCK_PRIM);
    const struct health_entry *e = health_find(h, request->service);
    if (e)
        reply->status = health_status(h, e);
    lock_drop(&h->lock, LOCK_PRIM);
    return e ? NULL : sennit_errorf(WHY(NO_SERVICE), "unknown service");
}

static sennit_err health_list(void *self, sennit_ctx *ctx, const hv_HealthListRequest *request,
                              hv_HealthListResponse *reply)
{
    struct server_health *h = self;
    (void)request;
    size_t n = 0, i = 0;
    lock_take(&h->lock, LOCK_PRIM);
    for (struct health_entry *e = h->first; e; e = e->next)
        n++;
    lock_drop(&h->lock, LOCK_PRIM);
    hv_HealthListResponse_StatusesEntry *list =
        sennit_alloc(sennit_ctx_arena(ctx), n * sizeof *list);
    hv_HealthCheckResponse *status = sennit_alloc(sennit_ctx_arena(ctx), n * sizeof *status);
    if (!list || !status)
        return sennit_no_memory;
    lock_take(&h->lock, LOCK_PRIM);
    for (struct health_entry *e = h->first; e && i < n; e = e->next, i++) {
        status[i] = (hv_HealthCheckResponse){ .status = health_status(h, e) };
        list[i] = (hv_HealthListResponse_StatusesEntry){ .key = { e->service, e->len },
                                                         .value = &status[i] };
    }
    lock_drop(&h->lock, LOCK_PRIM);
    reply->statuses.data = list;
    reply->statuses.len = n;
    return NULL;
}

static sennit_err health_watch(void *self, sennit_ctx *ctx, const hv_HealthCheckRequest *request,
                               hv_Health_WatchServer stream)
{
    struct server_health *h = self;
    struct health_watcher w = { .note = { 0 } };
    int32_t told = -1;
    bool stopping = false;
    sennit_err err = NULL;
    lock_take(&h->lock, LOCK_PRIM);
    list_push_back(&h->watchers, &w.node);
    lock_drop(&h->lock, LOCK_PRIM);
    while (!err) {
        lock_take(&h->lock, LOCK_PRIM);
        const struct health_entry *e = health_find(h, request->service);
        int32_t now =
            e ? health_status(h, e) : hv_HealthCheckResponse_ServingStatus_SERVICE_UNKNOWN;
        stopping = h->stopping;
        lock_drop(&h->lock, LOCK_PRIM);
        if (now != told)
            err = hv_Health_WatchServer_send(stream, &(hv_HealthCheckResponse){ .status = now });
        told = now;
        if (!err && stopping)
            err = sennit_errorf(WHY(STOPPED), "the server is stopping");
        if (!err)
            err = ctx_note_wait(ctx, &w.note, "watching a service's health");
    }
    lock_take(&h->lock, LOCK_PRIM);
    list_remove(&w.node);
    lock_drop(&h->lock, LOCK_PRIM);
    return err;
}

static void health_stop(struct ctx_watch *w)
{
    struct server_health *h = container_of(w, struct server_health, stop);
    lock_take(&h->lock, LOCK_PRIM);
    h->stopping = true;
    health_changed(h);
    lock_drop(&h->lock, LOCK_PRIM);
}

static void *health_alloc(struct sennit_server *s, size_t size)
{
    lock_take(&s->lock, LOCK_REGISTRY);
    void *p = arena_zalloc(&s->arena, size);
    lock_drop(&s->lock, LOCK_REGISTRY);
    return p;
}

static sennit_err health_set(struct server_health *h, const char *service, int32_t status)
{
    size_t len = strlen(service);
    struct health_entry *fresh = health_alloc(h->server, sizeof *fresh + len + 1);
    if (!fresh)
        return sennit_no_memory;
    *fresh = (struct health_entry){ .service = (char *)(fresh + 1), .len = len };
    memcpy(fresh + 1, service, len + 1);
    lock_take(&h->lock, LOCK_PRIM);
    struct health_entry *e = health_find(h, (sennit_str){ service, len });
    if (!e)
        e = fresh, *h->last = fresh, h->last = &fresh->next;
    e->status = status;
    health_changed(h);
    lock_drop(&h->lock, LOCK_PRIM);
    return NULL;
}

/* -- public ----------------------------------------------------------------------------------- */

sennit_err sennit_health_register(sennit_server *s)
{
    static const hv_HealthService service = { .Check = health_check,
                                              .List = health_list,
                                              .Watch = health_watch };
    if (!s || !s->ctx)
        return sennit_no_memory;
    struct server_health *h = health_alloc(s, sizeof *h);
    if (!h)
        return sennit_no_memory;
    h->server = s;
    h->last = &h->first;
    list_init(&h->watchers);
    sennit_err err = health_set(h, "", hv_HealthCheckResponse_ServingStatus_SERVING);
    if (!err)
        err = hv_Health_register(s, &service, h);
    if (err)
        return err;
    ctx_watch_add(s->ctx, &h->stop, health_stop);
    atomic_store(&s->health, h);
    return NULL;
}

static struct server_health *health_of(sennit_server *s)
{
    return s ? atomic_load(&s->health) : NULL;
}

static sennit_err health_missing(const char *what)
{
    return sennit_errorf(WHY(HEALTH), "%s: call sennit_health_register on the server before", what);
}

sennit_err sennit_health_set(sennit_server *s, const char *service, bool serving)
{
    struct server_health *h = health_of(s);
    return h ? health_set(h, service ? service : "",
                          serving ? hv_HealthCheckResponse_ServingStatus_SERVING
                                  : hv_HealthCheckResponse_ServingStatus_NOT_SERVING)
             : health_missing("sennit_health_set");
}

sennit_err sennit_health_drain(sennit_server *s, bool on)
{
    struct server_health *h = health_of(s);
    if (!h)
        return health_missing("sennit_health_drain");
    lock_take(&h->lock, LOCK_PRIM);
    h->drained = on;
    health_changed(h);
    lock_drop(&h->lock, LOCK_PRIM);
    return NULL;
}
