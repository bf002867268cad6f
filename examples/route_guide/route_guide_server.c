/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * A server of routeguide.RouteGuide, one method of each kind: flags and answers as grpc-go's. Each
 * handler runs in its own goroutine and simply blocks. Notes are kept for the server's life. */
#include "flags.h"
#include "route_guide_db.h"
#include "stop.h"
#include "tls.h"

#include <math.h>

struct note {
    struct note *next;
    const rg_RouteNote *note;
};

struct guide {
    sennit_mutex mu; /* protects the fields below */
    struct note *first, **end;
    sennit_arena *arena;
};

static bool same(const rg_Point *a, const rg_Point *b)
{
    return a->latitude == b->latitude && a->longitude == b->longitude;
}

static bool in_range(const rg_Point *p, const rg_Rectangle *r)
{
    return p->longitude >= fmin(r->lo->longitude, r->hi->longitude) &&
           p->longitude <= fmax(r->lo->longitude, r->hi->longitude) &&
           p->latitude >= fmin(r->lo->latitude, r->hi->latitude) &&
           p->latitude <= fmax(r->lo->latitude, r->hi->latitude);
}

static double radians(int32_t e7) { return e7 / 1e7 * 3.14159265358979323846 / 180; }

/* The distance between two points in whole metres, by the haversine formula. */
static int32_t distance(const rg_Point *a, const rg_Point *b)
{
    double lat_a = radians(a->latitude), lat_b = radians(b->latitude);
    double sin_lat = sin((lat_b - lat_a) / 2);
    double sin_lng = sin((radians(b->longitude) - radians(a->longitude)) / 2);
    double h = sin_lat * sin_lat + cos(lat_a) * cos(lat_b) * sin_lng * sin_lng;
    h = fmin(fmax(h, 0), 1); /* latitudes beyond the poles come from the wire, too */
    return (int32_t)(6371000 * (2 * atan2(sqrt(h), sqrt(1 - h))));
}

static int32_t clamp(int64_t n) { return n > INT32_MAX ? INT32_MAX : (int32_t)n; }

static const rg_Feature *find(const rg_Point *point)
{
    for (int i = 0; i < n_features; i++)
        if (same(features[i].location, point))
            return &features[i];
    return NULL;
}

static sennit_err get_feature(void *self, sennit_ctx *ctx, const rg_Point *point,
                              rg_Feature *feature)
{
    (void)self, (void)ctx;
    const rg_Feature *found = find(point);
    *feature = found ? *found : (rg_Feature){ .location = point };
    return NULL;
}

static sennit_err list_features(void *self, sennit_ctx *ctx, const rg_Rectangle *rectangle,
                                rg_RouteGuide_ListFeaturesServer stream)
{
    (void)self, (void)ctx;
    sennit_err err = NULL;
    for (int i = 0; i < n_features && !err; i++)
        if (in_range(features[i].location, rectangle))
            err = rg_RouteGuide_ListFeaturesServer_send(stream, &features[i]);
    return err;
}

static sennit_err record_route(void *self, sennit_ctx *ctx, rg_RouteGuide_RecordRouteServer stream,
                               rg_RouteSummary *summary)
{
    (void)self, (void)ctx;
    int64_t start = sennit_now(), points = 0, known = 0, metres = 0;
    const rg_Point *point;
    rg_Point last = { .latitude = 0 };

    while ((point = rg_RouteGuide_RecordRouteServer_recv(stream))) {
        known += find(point) != NULL;
        if (points++ > 0)
            metres += distance(&last, point);
        last = *point; /* a copy: point ends with the next recv */
    }
    summary->point_count = clamp(points);
    summary->feature_count = clamp(known);
    summary->distance = clamp(metres);
    summary->elapsed_time = clamp((sennit_now() - start) / SENNIT_SECOND);
    return rg_RouteGuide_RecordRouteServer_error(stream);
}

/* Appends a copy of note; NULL: no memory. */
static struct note *remember(struct guide *g, const rg_RouteNote *note)
{
    sennit_mutex_lock(&g->mu, NULL);
    const rg_RouteNote *copy = rg_RouteNote_copy(g->arena, note);
    struct note *n = copy ? sennit_alloc(g->arena, sizeof *n) : NULL;
    if (n) {
        *n = (struct note){ .note = copy };
        *g->end = n;
        g->end = &n->next;
    }
    sennit_mutex_unlock(&g->mu);
    return n;
}

static sennit_err route_chat(void *self, sennit_ctx *ctx, rg_RouteGuide_RouteChatServer stream)
{
    (void)ctx;
    struct guide *g = self;
    const rg_RouteNote *note;
    while ((note = rg_RouteGuide_RouteChatServer_recv(stream))) {
        struct note *mine = remember(g, note);
        if (!mine)
            return sennit_no_memory;
        /* No lock: up to and without mine->next, the list no longer changes. A send may park. */
        for (struct note *n = g->first;; n = n->next) {
            sennit_err err = NULL;
            if (same(n->note->location, note->location))
                err = rg_RouteGuide_RouteChatServer_send(stream, n->note);
            if (err)
                return err;
            if (n == mine)
                break;
        }
    }
    return rg_RouteGuide_RouteChatServer_error(stream);
}

static const rg_RouteGuideService service = {
    .GetFeature = get_feature,
    .ListFeatures = list_features,
    .RecordRoute = record_route,
    .RouteChat = route_chat,
};

int main(int argc, char **argv)
{
    const char *port = "50051", *tls = "false", *cert_file = "", *key_file = "";
    char address[64];
    flags_parse(argc, argv,
                (struct flag[]){ { "cert_file", &cert_file, "The TLS cert file", FLAG_STRING },
                                 { "key_file", &key_file, "The TLS key file", FLAG_STRING },
                                 { "port", &port, "The server port", FLAG_INT },
                                 { "tls", &tls, TLS_TEXT, FLAG_BOOL },
                                 { 0 } });
    snprintf(address, sizeof address, "localhost:%s", port);

    sennit_auto(sennit_arena) *arena = sennit_arena_new();
    struct guide guide = { .arena = arena, .end = &guide.first };
    sennit_auto(sennit_creds) *creds =
        tls_or_plain(tls, &(sennit_tls_options){ .cert_file = tls_file(cert_file),
                                                 .key_file = tls_file(key_file) });
    sennit_auto(sennit_server) *server =
        sennit_server_new(&(sennit_server_options){ .creds = creds });
    sennit_err err = sennit_listen(server, address);
    if (err)
        log_fatal("failed to listen: %s", err->message);
    rg_RouteGuide_register(server, &service, &guide);
    sennit_go(stop_on_signal, server);
    err = sennit_serve(server); /* also tells what register had to say */
    if (err)
        log_fatal("failed to serve: %s", err->message);
    return 0;
}
