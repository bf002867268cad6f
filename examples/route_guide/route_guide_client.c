/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * A client of routeguide.RouteGuide, one call of each kind: flags and output as grpc-go's. */
#include "flags.h"
#include "route_guide.sennit.h"
#include "tls.h"

static void check(sennit_err err, const char *what)
{
    if (err)
        log_fatal("client.%s failed: %s", what, sennit_err_text(err));
}

/* As Go prints a point: what is zero is left out. */
static sennit_str point_text(sennit_ctx *ctx, const rg_Point *p)
{
    sennit_str latitude =
        p->latitude ? sennit_printf(ctx, "latitude:%d", p->latitude) : sennit_s("");
    const char *space = p->latitude && p->longitude ? " " : "";
    sennit_str longitude =
        p->longitude ? sennit_printf(ctx, "longitude:%d", p->longitude) : sennit_s("");
    return sennit_printf(ctx, "{%s%s%s}", latitude.data, space, longitude.data);
}

static void print_feature(rg_RouteGuideClient client, rg_Point point)
{
    log_line("Getting feature for point (%d, %d)", point.latitude, point.longitude);
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    rg_Feature feature;
    check(rg_RouteGuide_GetFeature(client, ctx, &point, &feature), "GetFeature");
    sennit_str name =
        feature.name.len ? sennit_printf(ctx, "name:\"%s\" ", feature.name.data) : sennit_s("");
    sennit_str location =
        feature.has_location
            ? sennit_printf(ctx, "location:%s", point_text(ctx, feature.location).data)
            : sennit_s("");
    log_line("%s%s", name.data, location.data);
}

static void print_features(rg_RouteGuideClient client, const rg_Rectangle *rectangle)
{
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    log_line("Looking for features within lo:%s hi:%s", point_text(ctx, rectangle->lo).data,
             point_text(ctx, rectangle->hi).data);
    rg_RouteGuide_ListFeaturesClient stream = rg_RouteGuide_ListFeatures(client, ctx, rectangle);
    const rg_Feature *feature;

    while ((feature = rg_RouteGuide_ListFeaturesClient_recv(stream)))
        log_line("Feature: name: \"%s\", point:(%d, %d)", feature->name.data,
                 feature->location->latitude, feature->location->longitude);
    check(rg_RouteGuide_ListFeaturesClient_finish(stream), "ListFeatures");
}

static rg_Point random_point(void)
{
    return (rg_Point){ .latitude = (rand() % 180 - 90) * 10000000,
                       .longitude = (rand() % 360 - 180) * 10000000 };
}

/* As Go prints a summary: what is zero is left out. */
static void print_summary(const rg_RouteSummary *summary)
{
    const struct {
        const char *name;
        int32_t value;
    } fields[] = { { "point_count", summary->point_count },
                   { "feature_count", summary->feature_count },
                   { "distance", summary->distance },
                   { "elapsed_time", summary->elapsed_time } };
    char text[256] = "";

    for (size_t i = 0, n = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].value)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s:%d", n ? " " : "",
                                  fields[i].name, fields[i].value);
    log_line("Route summary: %s", text);
}

static void record_route(rg_RouteGuideClient client)
{
    int n_points = rand() % 100 + 2;
    log_line("Traversing %d points.", n_points);
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    rg_RouteGuide_RecordRouteClient stream = rg_RouteGuide_RecordRoute(client, ctx);
    rg_RouteSummary summary;

    for (int i = 0; i < n_points; i++) {
        rg_Point point = random_point();
        if (rg_RouteGuide_RecordRouteClient_send(stream, &point))
            break; /* finish knows why */
    }
    check(rg_RouteGuide_RecordRouteClient_finish(stream, &summary), "RecordRoute");
    print_summary(&summary);
}

static sennit_err print_notes(void *arg)
{
    rg_RouteGuide_RouteChatClient *stream = arg;
    const rg_RouteNote *note;
    while ((note = rg_RouteGuide_RouteChatClient_recv(*stream)))
        log_line("Got message %s at point(%d, %d)", note->message.data, note->location->latitude,
                 note->location->longitude); /* absent: (0, 0) */
    return rg_RouteGuide_RouteChatClient_finish(*stream);
}

/* One goroutine receives while this one sends, on the same stream. */
static void route_chat(rg_RouteGuideClient client)
{
    static const char *const text[] = { "First", "Second", "Third", "Fourth", "Fifth", "Sixth" };
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    rg_RouteGuide_RouteChatClient stream = rg_RouteGuide_RouteChat(client, ctx);
    sennit_auto(sennit_group) *group = sennit_group_new(ctx);

    check(sennit_group_go(group, print_notes, &stream), "RouteChat");
    for (int i = 0; i < 6; i++) {
        rg_RouteNote note = { .location = &(rg_Point){ .longitude = i % 3 + 1 },
                              .message = sennit_printf(ctx, "%s message", text[i]) };
        if (rg_RouteGuide_RouteChatClient_send(stream, &note))
            break; /* finish knows why */
    }
    rg_RouteGuide_RouteChatClient_close_send(stream); /* its error, too, comes from finish */
    check(sennit_group_wait(group), "RouteChat");
}

int main(int argc, char **argv)
{
    const char *addr = "localhost:50051", *tls = "false", *ca_file = "";
    const char *server_host_override = "x.test.example.com";
    flags_parse(
        argc, argv,
        (struct flag[]){
            { "addr", &addr, "The server address in the format of host:port", FLAG_STRING },
            { "ca_file", &ca_file, "The file containing the CA root cert file", FLAG_STRING },
            { "server_host_override", &server_host_override,
              "The server name used to verify the hostname returned by the TLS handshake",
              FLAG_STRING },
            { "tls", &tls, TLS_TEXT, FLAG_BOOL },
            { 0 } });
    srand((unsigned)sennit_now());

    sennit_auto(sennit_creds) *creds =
        tls_or_plain(tls, &(sennit_tls_options){ .ca_file = tls_file(ca_file),
                                                 .server_name = tls_file(server_host_override) });
    sennit_auto(sennit_conn) *conn = sennit_dial(addr, &(sennit_conn_options){ .creds = creds });
    rg_RouteGuideClient client = { conn };

    print_feature(client, (rg_Point){ .latitude = 409146138, .longitude = -746188906 });
    print_feature(client, (rg_Point){ .latitude = 0 }); /* missing */
    print_features(
        client,
        &(rg_Rectangle){ .lo = &(rg_Point){ .latitude = 400000000, .longitude = -750000000 },
                         .hi = &(rg_Point){ .latitude = 420000000, .longitude = -730000000 } });
    record_route(client);
    route_chat(client);
    return 0;
}
